//! The levels of loggers, as `/admin/loggers` reads and sets them (KIP-495, KIP-676, KIP-976).

use serde::Serialize;

/// A logger's level, and when it was last set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggerLevel {
    /// `OFF`, `FATAL`, `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` or `ALL`.
    pub level: String,
    /// Milliseconds since the epoch; none while it is as it was at the start.
    pub last_modified: Option<i64>,
}

/// The loggers of this process, by name. Names are Java's as well as those of our modules: a
/// namespace covers all that begins with it and a dot, or `::`.
pub trait Loggers: Send + Sync {
    /// Every logger that is known, with the level in effect, sorted by name.
    fn all(&self) -> Vec<(String, LoggerLevel)>;

    /// One logger; none when nobody logs under that name.
    fn get(&self, name: &str) -> Option<LoggerLevel>;

    /// Sets the level of a namespace; the answer is the sorted names of the loggers that changed.
    fn set(&self, namespace: &str, level: &str) -> Vec<String>;
}
