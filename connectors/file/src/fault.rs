//! Decides what an operator is told about a file that cannot be used.

use std::io;
use std::path::Path;

use millrace_api::Error;

/// The task's error for trouble with a file: what was tried, why it failed, and the way out.
pub(crate) fn io(what: &str, path: &Path, error: io::Error) -> Error {
    let remedy = match remedy(&error) {
        Some(remedy) => format!("; {remedy}, then restart the task"),
        None => String::new(),
    };
    Error::fatal(format!("{what}: {error}{remedy}"))
        .context("file", path.display())
        .with_source(error)
}

/// The blocking call behind a task did not come back: it panicked, or the worker is shutting down.
pub(crate) fn interrupted(path: &Path, error: tokio::task::JoinError) -> Error {
    Error::fatal("access to the file was interrupted")
        .context("file", path.display())
        .with_source(error)
}

fn remedy(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::NotFound => "create the directory",
        io::ErrorKind::PermissionDenied => "give the worker's user the right to use it",
        io::ErrorKind::NotADirectory => "correct the path: a part of it is no directory",
        io::ErrorKind::IsADirectory => "name a file, not a directory",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::ReadOnlyFilesystem => "mount the file system for writing",
        _ => return None,
    })
}
