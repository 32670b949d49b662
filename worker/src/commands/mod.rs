//! One module a subcommand.

pub mod broker;
mod connector_file;
pub mod dlq;
pub mod jdbc;
mod picture;
pub mod plugins;
pub mod preview;
pub mod quickstart;
mod sample;
pub mod schema;
pub mod standalone;
pub mod transform;
pub mod unit;
pub mod version;

use std::future::Future;
use std::io::{self, Write};

/// Prints a line of a command's answer. A reader that has gone away, such as `head`, is no error.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Returns when the process is told to end: SIGTERM, or Ctrl-C.
pub(crate) fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prints columns below their headings, each as wide as it must be.
pub(crate) fn print_table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in [&headings].into_iter().chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        print_line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
