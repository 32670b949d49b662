//! One module a subcommand.

pub mod broker;
mod connector_file;
pub mod plugins;
pub mod quickstart;
pub mod schema;
pub mod standalone;
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
