//! Decides which servers tests use: those that the environment names.

/// What a variable names, if it does: without it, or with `none`, a test has to skip.
///
/// # Panics
/// In CI, when nobody has said so: a test that nobody runs would be taken for one that passes.
pub(crate) fn named(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    let forgotten = value.is_none() && std::env::var_os("CI").is_some();
    assert!(!forgotten, "CI is set and {variable} is not: name a server, or say none");
    let server = value.filter(|server| server != "none");
    if server.is_none() {
        eprintln!("skipped: {variable} names no server");
    }
    server
}
