//! Decides what `cargo xtask` does: chores of this repository that are no build and no test.

use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask golden [PART]

  golden   ask Java Connect, in the Kafka test image, for the answers under integration/golden/,
           and write them down (needs `integration/setup.sh servers`; about four minutes);
           with PART, only those of files whose names contain it";

#[allow(clippy::print_stderr, reason = "a command line tool speaks to its terminal")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["golden"] => golden(None),
        ["golden", part] => golden(Some(part)),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The recorder is a test that is left out otherwise: it needs the harness, and xtask should build
/// in a second.
fn golden(part: Option<&str>) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = ["test", "-p", "millrace-integration", "--test", "it", "--", "--ignored"];
    let mut command = Command::new(cargo);
    command.args(test).args(["--exact", "golden::record", "rest::record"]);
    if let Some(part) = part {
        command.env("MILLRACE_GOLDEN", part);
    }
    let ended = command.status();
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
