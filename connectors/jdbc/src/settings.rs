//! What the configurations of source and sink have in common.

use std::time::Duration;

use millrace_api::config::ConfigError;
use millrace_api::{Error, Result};

/// The provider of credentials that takes them from `connection.user` and `connection.password`.
pub(crate) const DEFAULT_PROVIDER: &str =
    "io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider";

/// Collects problems of a configuration.
pub(crate) struct Problems(pub(crate) Vec<ConfigError>);

impl Problems {
    pub(crate) fn add(&mut self, key: &str, message: &str) {
        self.0.push(ConfigError { key: key.to_owned(), message: message.to_owned() });
    }

    pub(crate) fn add_where(&mut self, wrong: bool, key: &str, message: &str) {
        if wrong {
            self.add(key, message);
        }
    }

    /// The same problem under each key that is set.
    pub(crate) fn add_to_each(&mut self, keys: &[(&str, bool)], message: &str) {
        for (key, is_set) in keys {
            self.add_where(*is_set, key, message);
        }
    }

    /// The class of an error is not needed where it stands at its key.
    pub(crate) fn add_error<T>(&mut self, key: &str, result: Result<T>) {
        if let Err(error) = result {
            self.add(key, &error.to_string());
        }
    }
}

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
