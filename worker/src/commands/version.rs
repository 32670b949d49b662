//! `millrace version`.

use std::process::ExitCode;

/// Prints the version and what was built in.
#[allow(clippy::print_stdout, reason = "this is the command's answer")]
pub fn run() -> ExitCode {
    println!("millrace {}", env!("CARGO_PKG_VERSION"));
    println!("REST API and configurations of Kafka Connect 4.3.1");
    let mut connectors = Vec::new();
    for (name, built_in) in [
        ("file", cfg!(feature = "file")),
        ("jdbc", cfg!(feature = "jdbc")),
        ("lake", cfg!(feature = "lake")),
    ] {
        if built_in {
            connectors.push(name);
        }
    }
    println!("connectors: {}", connectors.join(", "));
    ExitCode::SUCCESS
}
