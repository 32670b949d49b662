//! What the configurations of source and sink have in common.

use std::time::Duration;

use millrace_api::config::ConfigError;
use millrace_api::{Error, Result};

/// The provider of credentials that takes them from `connection.user` and `connection.password`.
pub(crate) const DEFAULT_PROVIDER: &str =
    "io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider";

/// The first problem as an error, for those who start without having asked.
pub(crate) fn refuse(problems: Vec<ConfigError>) -> Result<()> {
    match problems.into_iter().next() {
        Some(problem) => Err(Error::config(problem.message).context("key", problem.key)),
        None => Ok(()),
    }
}

/// A time; less than none is none.
pub(crate) fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}
