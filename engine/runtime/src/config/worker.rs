//! The worker's own keys (`WorkerConfig` and `StandaloneConfig` in Java).

use std::time::Duration;

use millrace_api::config::validators::at_least;
use millrace_api::config::{ClassName, Values};
use millrace_api::{Config, ConfigDef, Error, Props, Result};
use millrace_kafka::Properties;

use super::clients;
use super::rest::{Listener, RestConfig, RestKeys};

/// Keys that Java knows and that have no meaning here: accepted without a word.
const JAVA_ONLY: &[&str] = &[
    "plugin.path",
    "plugin.discovery",
    "metric.reporters",
    "metrics.sample.window.ms",
    "metrics.num.samples",
    "metrics.recording.level",
];

/// Prefixes below which every key is for somebody else.
const PREFIXES: &[&str] = &[
    "producer.",
    "consumer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "internal.",
    "config.providers.",
];

#[derive(Clone, Debug, Config)]
pub(crate) struct Keys {
    /// A list of host/port pairs used to establish the initial connection to the Kafka cluster.
    /// `embedded:DIR` runs on a log in that directory instead, inside this process.
    #[config(key = "bootstrap.servers", importance = High)]
    bootstrap_servers: Vec<String>,
    /// Converter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the keys in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro.
    #[config(key = "key.converter", importance = High)]
    key_converter: ClassName,
    /// Converter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the values in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro.
    #[config(key = "value.converter", importance = High)]
    value_converter: ClassName,
    /// HeaderConverter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the header values in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro. By default, the SimpleHeaderConverter is used to serialize header values to strings and deserialize them by inferring the schemas.
    #[config(
        key = "header.converter",
        importance = Low,
        default = "org.apache.kafka.connect.storage.SimpleHeaderConverter"
    )]
    header_converter: ClassName,
    /// Amount of time to wait for tasks to shutdown gracefully. This is the total amount of time, not per task. All task have shutdown triggered, then they are waited on sequentially.
    #[config(key = "task.shutdown.graceful.timeout.ms", importance = Low, default = 5000)]
    task_shutdown_graceful_timeout_ms: i64,
    /// Interval at which to try committing offsets for tasks.
    #[config(key = "offset.flush.interval.ms", importance = Low, default = 60000)]
    offset_flush_interval_ms: i64,
    /// Maximum number of milliseconds to wait for records to flush and partition offset data to be committed to offset storage before cancelling the process and restoring the offset data to be committed in a future attempt.
    #[config(key = "offset.flush.timeout.ms", importance = Low, default = 5000, validate = at_least(0i64))]
    offset_flush_timeout_ms: i64,
    /// Whether the topics of a source connector may be created before it writes to them, if its configuration has keys that begin with topic.creation.
    #[config(key = "topic.creation.enable", importance = Low, default = true)]
    topic_creation_enable: bool,
    /// Whether to remember which topics each connector has used.
    #[config(key = "topic.tracking.enable", importance = Low, default = true)]
    topic_tracking_enable: bool,
    /// Whether users may have the topics that a connector has used forgotten.
    #[config(key = "topic.tracking.allow.reset", importance = Low, default = true)]
    topic_tracking_allow_reset: bool,
    #[config(nested)]
    rest: RestKeys,
}

#[derive(Clone, Debug, Config)]
pub(crate) struct StandaloneKeys {
    #[config(nested)]
    worker: Keys,
    /// File to store source connector offsets
    #[config(key = "offset.storage.file.filename", importance = High)]
    offset_storage_file_filename: String,
}

/// A standalone worker's configuration.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "topic creation and tracking are taken up by the herder next")]
pub struct WorkerConfig {
    /// As written: prefixes, client settings and what plugins read are taken from here.
    pub(crate) props: Props,
    bootstrap_servers: Vec<String>,
    pub(crate) key_converter: ClassName,
    pub(crate) value_converter: ClassName,
    pub(crate) header_converter: ClassName,
    pub(crate) graceful_timeout: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) commit_timeout: Duration,
    /// Topics of sources may be created from `topic.creation.*` (KIP-158).
    pub(crate) topic_creation: bool,
    /// The topics that connectors use are remembered (KIP-558).
    pub(crate) topic_tracking: bool,
    /// REST may have them forgotten (KIP-558).
    pub(crate) topic_tracking_reset: bool,
    /// How the REST API is served.
    pub(crate) rest: RestConfig,
    /// Where source offsets are kept.
    pub offset_file: String,
}

impl WorkerConfig {
    /// Parses a standalone worker's properties. Keys nobody knows are warned about, with the
    /// nearest name: they may be meant for a plugin.
    pub fn parse(props: Props) -> Result<Self> {
        let def = StandaloneKeys::config_def();
        warn_of_unknown(&def, &props);
        let values: Values = def.parse(&props)?;
        let StandaloneKeys { worker, offset_storage_file_filename } =
            StandaloneKeys::from_values(&values)?;
        refuse_unsupported(&props)?;
        if worker.bootstrap_servers.is_empty() {
            return Err(Error::config(
                "Invalid value [] for configuration bootstrap.servers: must not be empty",
            ));
        }
        let rest = RestConfig::new(worker.rest, &props)?;
        Ok(Self {
            props,
            bootstrap_servers: worker.bootstrap_servers,
            key_converter: worker.key_converter,
            value_converter: worker.value_converter,
            header_converter: worker.header_converter,
            graceful_timeout: millis(worker.task_shutdown_graceful_timeout_ms),
            // At 0 a task would do nothing but commit.
            commit_interval: millis(worker.offset_flush_interval_ms).max(Duration::from_millis(1)),
            commit_timeout: millis(worker.offset_flush_timeout_ms),
            topic_creation: worker.topic_creation_enable,
            topic_tracking: worker.topic_tracking_enable,
            topic_tracking_reset: worker.topic_tracking_allow_reset,
            rest,
            offset_file: offset_storage_file_filename,
        })
    }

    /// The settings of the worker's own Kafka client.
    pub fn client_properties(&self) -> Properties {
        clients::worker(&self.props)
    }

    /// Where the Kafka cluster is first looked for.
    pub fn bootstrap_servers(&self) -> &[String] {
        &self.bootstrap_servers
    }

    /// Where the REST API listens, in the order written.
    pub fn listeners(&self) -> &[Listener] {
        &self.rest.listeners
    }
}

/// Keys that protect something, and the values with which nothing is lost without them. To go on
/// would hand `${file:…}` to clients as if it were the secret, or open what was to be closed.
const PROTECTING: &[(&str, &[&str])] = &[
    ("config.providers", &[""]),
    ("rest.extension.classes", &[""]),
    (
        "connector.client.config.override.policy",
        &[
            "",
            "all",
            "org.apache.kafka.connect.connector.policy.allconnectorclientconfigoverridepolicy",
        ],
    ),
];

fn refuse_unsupported(props: &Props) -> Result<()> {
    for (key, harmless) in PROTECTING {
        let Some(value) = props.get(*key).map(|v| v.trim()) else { continue };
        if !harmless.contains(&value.to_ascii_lowercase().as_str()) {
            return Err(Error::config(format!("{key}={value} is not supported yet"))
                .context("remedy", "remove it, if the worker may run without what it does"));
        }
    }
    Ok(())
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn warn_of_unknown(def: &ConfigDef, props: &Props) {
    for unknown in def.unknown_keys(props) {
        let key = unknown.key.as_str();
        let known = JAVA_ONLY.contains(&key) || PREFIXES.iter().any(|p| key.starts_with(p));
        match unknown.nearest {
            _ if known => {}
            Some(nearest) => {
                tracing::warn!("unknown worker configuration {key}; did you mean {nearest}?");
            }
            None => tracing::debug!("worker configuration {key} is passed on to plugins"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(extra: &[(&str, &str)]) -> Props {
        let base = [
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("offset.storage.file.filename", "/tmp/connect.offsets"),
        ];
        base.iter().chain(extra).map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn defaults_are_javas() {
        let config = WorkerConfig::parse(props(&[])).unwrap();
        assert_eq!(config.commit_interval, Duration::from_secs(60));
        assert_eq!(config.graceful_timeout, Duration::from_secs(5));
        assert_eq!(config.rest.listeners, [Listener { host: String::new(), port: 8083 }]);
    }

    #[test]
    fn errors_name_key_and_value() {
        let error =
            |extra: &[(&str, &str)]| WorkerConfig::parse(props(extra)).unwrap_err().to_string();
        assert_eq!(
            error(&[("offset.flush.interval.ms", "soon")]),
            "Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG"
        );
        for listener in ["8083", "ftp://:1", "http://localhost", "http://localhost:99999"] {
            assert!(error(&[("listeners", listener)]).contains(listener));
        }
        for protecting in ["config.providers", "connector.client.config.override.policy"] {
            assert!(error(&[(protecting, "x")]).contains(protecting));
        }
        let mut without = props(&[]);
        without.remove("key.converter");
        assert_eq!(
            WorkerConfig::parse(without).unwrap_err().to_string(),
            "Missing required configuration \"key.converter\" which has no default value."
        );
    }
}
