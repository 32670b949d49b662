//! Decides which failures of a connector are followed by a restart, and how soon: the keys
//! `errors.restart.*` of the connector, else of its worker.

use std::time::Duration;

use millrace_api::config::ConfigError;
use millrace_api::config::validators::{at_least, one_of};
use millrace_api::{Config, Props, Result};

/// What these keys begin with.
const PREFIX: &str = "errors.restart.";

#[derive(Clone, Debug, Config)]
pub(crate) struct RestartKeys {
    /// Which failures are followed by a restart: none (off, as in Java), those that may go away by themselves (transient), or all (always).
    #[config(key = "errors.restart.policy", default = "transient")]
    #[config(validate = one_of(["off", "transient", "always"]))]
    policy: String,
    /// How long to wait before the first restart, in milliseconds; before each that follows soon, twice as long.
    #[config(key = "errors.restart.backoff.ms", default = 10000, validate = at_least(1i64))]
    backoff_ms: i64,
    /// The longest wait before a restart, in milliseconds.
    #[config(key = "errors.restart.backoff.max.ms", default = 300000, validate = at_least(1i64))]
    backoff_max_ms: i64,
    /// How often a task, or the connector itself, may be restarted by itself within an hour.
    #[config(key = "errors.restart.max.per.hour", default = 10, validate = at_least(1))]
    max_per_hour: i32,
}

/// When to restart, by a connector's configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RestartPolicy {
    pub(crate) which: Which,
    pub(crate) backoff: Duration,
    pub(crate) longest: Duration,
    pub(crate) per_hour: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Which {
    Off,
    Transient,
    Always,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self::parse(&Props::new()).expect("the defaults are valid")
    }
}

impl RestartPolicy {
    /// What a connector's configuration says, and where it says nothing its worker's.
    pub(crate) fn of(connector: &Props, worker: &Props) -> Result<Self> {
        let both = worker.iter().chain(connector).filter(|(key, _)| key.starts_with(PREFIX));
        Self::parse(&both.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn parse(props: &Props) -> Result<Self> {
        let keys = RestartKeys::parse(props)?;
        let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(1));
        Ok(Self {
            which: match keys.policy.as_str() {
                "off" => Which::Off,
                "always" => Which::Always,
                _ => Which::Transient,
            },
            backoff: millis(keys.backoff_ms),
            longest: millis(keys.backoff_max_ms),
            per_hour: usize::try_from(keys.max_per_hour).unwrap_or(1),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.which {
            Which::Off => "off",
            Which::Transient => "transient",
            Which::Always => "always",
        }
    }
}

/// What is wrong with these keys of a connector. Java has none of them, and lists none.
pub(crate) fn check(props: &Props) -> Vec<ConfigError> {
    let values = RestartKeys::config_def().validate(props).into_iter();
    let errors = values.flat_map(|value| {
        let error = |message| ConfigError { key: value.name.clone(), message };
        value.errors.clone().into_iter().map(error).collect::<Vec<_>>()
    });
    errors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_a_connector_does_not_say_its_worker_says() {
        let worker = props(&[
            ("errors.restart.policy", "off"),
            ("errors.restart.max.per.hour", "3"),
            ("topics", "are nobody's here"),
        ]);
        let policy = RestartPolicy::of(&Props::new(), &worker).unwrap();
        assert_eq!((policy.name(), policy.per_hour), ("off", 3));
        let own = props(&[("errors.restart.policy", "always")]);
        let policy = RestartPolicy::of(&own, &worker).unwrap();
        assert_eq!((policy.name(), policy.per_hour), ("always", 3));
        assert_eq!(RestartPolicy::of(&own, &Props::new()).unwrap().per_hour, 10);
        assert!(RestartPolicy::of(&props(&[("errors.restart.policy", "x")]), &worker).is_err());
    }
}
