//! Decides what `cargo xtask` does: chores of this repository that are no build and no test.

use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask golden

  golden   ask Java Connect, in the Kafka test image, for the answers under integration/golden/,
           and write them down (needs `integration/setup.sh servers`; about two minutes)";

#[allow(clippy::print_stderr, reason = "a command line tool speaks to its terminal")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["golden"] => golden(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The recorder is a test that is left out otherwise: it needs the harness, and xtask should build
/// in a second.
fn golden() -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = ["test", "-p", "millrace-integration", "--test", "it", "--", "--ignored"];
    let ended = Command::new(cargo).args(test).args(["--exact", "golden::record"]).status();
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
