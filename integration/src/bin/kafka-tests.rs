//! Runs the tests of `engine/kafka` where there is a broker: without one, many of them skip.
//!
//! `kafka-tests [ARGUMENT]...` starts one, builds the tests, and hands them the arguments: names to
//! filter by, or `--nocapture`.

use millrace_integration::brokers::Brokers;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// What `make checks` builds, so that nothing is left to build. With the crate alone cargo would
/// choose other features of what it needs, and build that once more.
const BUILD: [&str; 8] = [
    "test",
    "--locked",
    "--workspace",
    "--exclude=millrace-integration",
    "--lib",
    "--test=it",
    "--no-run",
    "--message-format=json-render-diagnostics",
];

fn main() -> ExitCode {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/kafka");
    let crate_folder = crate_folder.canonicalize().expect("the crate is in the clone");
    let tests = executables(&crate_folder);
    assert!(tests.len() == 2, "the crate's own tests and those of its interface: {tests:?}");
    let broker = Brokers::start(1, &[]);
    let mut passed = true;
    for test in tests {
        eprintln!("     Running {test}");
        let status = Command::new(&test)
            .args(std::env::args_os().skip(1))
            .current_dir(&crate_folder)
            // As cargo would: snapshots are found by it.
            .env("CARGO_MANIFEST_DIR", &crate_folder)
            // Nothing may skip: see `engine/kafka/tests/it/named.rs`.
            .env("CI", "true")
            .env("MILLRACE_TEST_BOOTSTRAP", broker.bootstrap())
            .env("MILLRACE_TEST_CONTAINER", broker.container(0))
            .status();
        passed &= status.expect("what was built can be run").success();
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The tests of the crate in this folder, built.
fn executables(crate_folder: &Path) -> Vec<String> {
    let mut cargo = Command::new("cargo");
    cargo.args(BUILD).current_dir(crate_folder).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "cargo cannot build the tests");
    let manifest = crate_folder.join("Cargo.toml");
    let told = String::from_utf8_lossy(&output.stdout);
    let built = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    built
        .filter(|built| built["manifest_path"].as_str().map(Path::new) == Some(&manifest))
        .filter_map(|built| built["executable"].as_str().map(str::to_owned))
        .collect()
}
