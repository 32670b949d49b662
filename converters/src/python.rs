//! Gives what we write to readers that know nothing of us: Python's libraries.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a script of `integration/oracle` on lines and gives what it prints. None where the libraries
/// are not installed, but never in CI.
pub(crate) fn python(script: &str, lines: &[String]) -> Option<String> {
    let libraries = cache().join("python-oracles");
    if !libraries.join("requirements.txt").exists() {
        let remedy = "run `integration/setup.sh tests`";
        assert!(std::env::var_os("CI").is_none(), "Python's readers are not there: {remedy}");
        let mut err = std::io::stderr();
        writeln!(err, "SKIPPED: Python's readers are not there; {remedy}").unwrap();
        return None;
    }
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration/oracle");
    let mut command = Command::new("python3");
    // Scripts share a module, of which nothing is to be left beside the sources.
    command.arg("-B").arg(oracle.join(script));
    command.env("PYTHONPATH", libraries).env("PYTHONUTF8", "1");
    let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = reader.stdin.take().unwrap();
    let text = lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").unwrap();
        text
    });
    // It may print while it reads.
    let sent = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = reader.wait_with_output().unwrap();
    let sent = sent.join().unwrap();
    assert!(output.status.success() && sent.is_ok(), "{script} failed: see above");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Where `setup.sh` keeps what it makes.
fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("millrace")
}
