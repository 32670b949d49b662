//! The framework's keys of a connector (`ConnectorConfig`, `SourceConnectorConfig` and
//! `SinkConnectorConfig` in Java), and the checks that reach past single keys.

use millrace_api::config::validators::{
    Validator, at_least, non_empty_string_without_control_chars, one_of,
};
use millrace_api::config::{ClassName, ConfigError};
use millrace_api::{Config, ConfigDef, Error, PluginKind, Props, Result};
use millrace_kafka::Subscription;
use regex::Regex;

use crate::task::errors::ErrorConfig;

const COMMON: &str = "Common";
const ERRORS: &str = "Error Handling";

/// Keys of sources and sinks.
#[derive(Clone, Debug, Config)]
#[allow(dead_code, reason = "some keys are read by name elsewhere, but defined here")]
pub(crate) struct CommonConfig {
    /// Globally unique name to use for this connector.
    #[config(key = "name", importance = High, validate = non_empty_string_without_control_chars)]
    #[config(group = COMMON, order = 1, width = Medium, display = "Connector name")]
    pub(crate) name: String,
    /// Name or alias of the class for this connector. Must be a subclass of org.apache.kafka.connect.connector.Connector. If the connector is org.apache.kafka.connect.file.FileStreamSinkConnector, you can either specify this full name,  or use "FileStreamSink" or "FileStreamSinkConnector" to make the configuration a bit shorter
    #[config(key = "connector.class", importance = High)]
    #[config(group = COMMON, order = 2, width = Long, display = "Connector class")]
    pub(crate) connector_class: String,
    /// Maximum number of tasks to use for this connector.
    #[config(key = "tasks.max", importance = High, default = 1, validate = at_least(1))]
    #[config(group = COMMON, order = 4, width = Short, display = "Tasks max")]
    pub(crate) tasks_max: i32,
    /// (Deprecated) Whether to enforce that the tasks.max property is respected by the connector. By default, connectors that generate too many tasks will fail, and existing sets of tasks that exceed the tasks.max property will also be failed. If this property is set to false, then connectors will be allowed to generate more than the maximum number of tasks, and existing sets of tasks that exceed the tasks.max property will be allowed to run. This property is deprecated and will be removed in an upcoming major release.
    #[config(key = "tasks.max.enforce", importance = Low, default = true)]
    #[config(group = COMMON, order = 5, width = Short, display = "Enforce tasks max")]
    pub(crate) tasks_max_enforce: bool,
    /// Converter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the keys in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro.
    #[config(key = "key.converter", importance = Low)]
    #[config(group = COMMON, order = 6, width = Short, display = "Key converter class")]
    pub(crate) key_converter: Option<ClassName>,
    /// Converter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the values in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro.
    #[config(key = "value.converter", importance = Low)]
    #[config(group = COMMON, order = 8, width = Short, display = "Value converter class")]
    pub(crate) value_converter: Option<ClassName>,
    /// HeaderConverter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the header values in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro. By default, the SimpleHeaderConverter is used to serialize header values to strings and deserialize them by inferring the schemas.
    #[config(key = "header.converter", importance = Low)]
    #[config(group = COMMON, order = 10, width = Short, display = "Header converter class")]
    pub(crate) header_converter: Option<ClassName>,
    /// Aliases for the transformations to be applied to records.
    #[config(key = "transforms", importance = Low, default = "", validate = unique_aliases)]
    #[config(group = "Transforms", order = 12, width = Long, display = "Transforms")]
    pub(crate) transforms: Vec<String>,
    /// Aliases for the predicates used by transformations.
    #[config(key = "predicates", importance = Low, default = "", validate = unique_aliases)]
    #[config(group = "Predicates", order = 13, width = Long, display = "Predicates")]
    pub(crate) predicates: Vec<String>,
    /// The maximum duration in milliseconds that a failed operation will be reattempted. The default is 0, which means no retries will be attempted. Use -1 for infinite retries.
    #[config(key = "errors.retry.timeout", importance = Medium, default = 0)]
    #[config(group = ERRORS, order = 1, width = Medium, display = "Retry Timeout for Errors")]
    pub(crate) errors_retry_timeout: i64,
    /// The maximum duration in milliseconds between consecutive retry attempts. Jitter will be added to the delay once this limit is reached to prevent thundering herd issues.
    #[config(key = "errors.retry.delay.max.ms", importance = Medium, default = 60000)]
    #[config(group = ERRORS, order = 2, width = Medium)]
    #[config(display = "Maximum Delay Between Retries for Errors")]
    pub(crate) errors_retry_delay_max_ms: i64,
    /// Behavior for tolerating errors during connector operation. 'none' is the default value and signals that any error will result in an immediate connector task failure; 'all' changes the behavior to skip over problematic records.
    #[config(key = "errors.tolerance", importance = Medium, default = "none")]
    #[config(validate = one_of(["none", "all"]), group = ERRORS, order = 3, width = Short)]
    #[config(display = "Error Tolerance")]
    pub(crate) errors_tolerance: String,
    /// If true, write each error and the details of the failed operation and problematic record to the Connect application log. This is 'false' by default, so that only errors that are not tolerated are reported.
    #[config(key = "errors.log.enable", importance = Medium, default = false)]
    #[config(group = ERRORS, order = 4, width = Short, display = "Log Errors")]
    pub(crate) errors_log_enable: bool,
    /// Whether to include in the log the Connect record that resulted in a failure. For sink records, the topic, partition, offset, and timestamp will be logged. For source records, the key and value (and their schemas), all headers, and the timestamp, Kafka topic, Kafka partition, source partition, and source offset will be logged. This is 'false' by default, which will prevent record keys, values, and headers from being written to log files.
    #[config(key = "errors.log.include.messages", importance = Medium, default = false)]
    #[config(group = ERRORS, order = 5, width = Short, display = "Log Error Details")]
    pub(crate) errors_log_include_messages: bool,
}

/// Keys of sinks alone.
#[derive(Clone, Debug, Config)]
pub(crate) struct SinkKeys {
    /// List of topics to consume, separated by commas
    #[config(key = "topics", importance = High, default = "")]
    #[config(group = COMMON, order = 4, width = Long, display = "Topics")]
    pub(crate) topics: Vec<String>,
    /// Regular expression giving topics to consume. Under the hood, the regex is compiled to a <code>java.util.regex.Pattern</code>. Only one of topics or topics.regex should be specified.
    #[config(key = "topics.regex", importance = High, default = "")]
    #[config(group = COMMON, order = 4, width = Long, display = "Topics regex")]
    pub(crate) topics_regex: String,
    /// The name of the topic to be used as the dead letter queue (DLQ) for messages that result in an error when processed by this sink connector, or its transformations or converters. The topic name is blank by default, which means that no messages are to be recorded in the DLQ.
    #[config(key = "errors.deadletterqueue.topic.name", importance = Medium, default = "")]
    #[config(group = ERRORS, order = 6, width = Medium, display = "Dead Letter Queue Topic Name")]
    pub(crate) dead_letter_queue: String,
    /// Replication factor used to create the dead letter queue topic when it doesn't already exist.
    #[config(key = "errors.deadletterqueue.topic.replication.factor", importance = Medium)]
    #[config(default = 3, group = ERRORS, order = 7, width = Medium)]
    #[config(display = "Dead Letter Queue Topic Replication Factor")]
    pub(crate) dead_letter_queue_replication_factor: i16,
    /// If true, add headers containing error context to the messages written to the dead letter queue. To avoid clashing with headers from the original record, all error context header keys, all error context header keys will start with <code>__connect.errors.</code>
    #[config(key = "errors.deadletterqueue.context.headers.enable", importance = Medium)]
    #[config(default = false, group = ERRORS, order = 8, width = Medium)]
    #[config(display = "Enable Error Context Headers")]
    pub(crate) dead_letter_queue_context: bool,
}

/// Aliases of transformations or predicates: each once.
fn unique_aliases() -> Validator {
    Validator::new("unique aliases", |value| {
        let aliases = value.as_list().unwrap_or_default();
        match (1..aliases.len()).any(|i| aliases[..i].contains(&aliases[i])) {
            true => Err("Duplicate alias provided.".to_owned()),
            false => Ok(()),
        }
    })
}

/// The framework's definition for a connector of this kind.
pub(crate) fn definition(kind: PluginKind) -> ConfigDef {
    match kind {
        PluginKind::Sink => SinkKeys::config_def()
            .keys()
            .iter()
            .cloned()
            .fold(CommonConfig::config_def(), |d, k| d.define(k)),
        _ => CommonConfig::config_def(),
    }
}

/// A connector's configuration as the framework reads it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectorConfig {
    pub(crate) common: CommonConfig,
    /// What a sink consumes.
    pub(crate) sink: Option<SinkKeys>,
    /// As written.
    pub(crate) props: Props,
}

impl ConnectorConfig {
    /// Parses the framework's keys.
    pub(crate) fn parse(kind: PluginKind, props: &Props) -> Result<Self> {
        let sink = match kind {
            PluginKind::Sink => Some(SinkKeys::parse(props)?),
            _ => None,
        };
        Ok(Self { common: CommonConfig::parse(props)?, sink, props: props.clone() })
    }

    pub(crate) fn errors(&self) -> ErrorConfig {
        let queue = self.sink.as_ref().filter(|s| !s.dead_letter_queue.is_empty());
        ErrorConfig {
            tolerate_all: self.common.errors_tolerance == "all",
            log: self.common.errors_log_enable,
            log_messages: self.common.errors_log_include_messages,
            dead_letter_queue: queue
                .map(|s| (s.dead_letter_queue.clone(), s.dead_letter_queue_context)),
        }
    }

    /// The topics that a sink consumes.
    pub(crate) fn subscription(&self) -> Result<Subscription> {
        let sink = self.sink.as_ref().ok_or_else(|| Error::fatal("a source consumes no topics"))?;
        if !sink.topics_regex.is_empty() {
            return Ok(Subscription::Pattern(sink.topics_regex.clone()));
        }
        let mut topics: Vec<String> = sink.topics.clone();
        topics.retain(|topic| !topic.is_empty());
        topics.sort();
        topics.dedup();
        Ok(Subscription::Topics(topics))
    }
}

/// What Java checks of a sink beyond single keys (`SinkConnectorConfig.validate`).
pub(crate) fn check_sink(props: &Props) -> Vec<ConfigError> {
    let get = |key: &str| props.get(key).map_or("", |v| v.trim());
    let (topics, pattern) = (get("topics"), get("topics.regex"));
    let queue = get("errors.deadletterqueue.topic.name");
    let mut errors = Vec::new();
    let mut add = |key: &str, message: String| {
        errors.push(ConfigError { key: key.into(), message });
    };
    if !topics.is_empty() && !pattern.is_empty() {
        let message = "topics and topics.regex are mutually exclusive options, but both are set.";
        add("topics", message.into());
        add("topics.regex", message.into());
    }
    if topics.is_empty() && pattern.is_empty() {
        let message = "Must configure one of topics or topics.regex";
        add("topics", message.into());
        add("topics.regex", message.into());
    }
    if !topics.is_empty() && topics.split(',').any(|topic| topic.trim().is_empty()) {
        add("topics", "Configuration 'topics' values must not be empty.".into());
    }
    let compiled = match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(regex) => Some(regex).filter(|_| !pattern.is_empty()),
        Err(e) => {
            add(
                "topics.regex",
                format!("Invalid value {pattern} for configuration topics.regex: {e}"),
            );
            None
        }
    };
    if !queue.is_empty() {
        let list: Vec<&str> = topics.split(',').map(str::trim).collect();
        if list.contains(&queue) {
            add(
                "topics",
                format!(
                    "The DLQ topic '{queue}' may not be included in the list of topics \
                     ('topics=[{}]') consumed by the connector",
                    list.join(", ")
                ),
            );
        }
        if compiled.is_some_and(|regex| regex.is_match(queue)) {
            add(
                "errors.deadletterqueue.topic.name",
                format!(
                    "Invalid value {pattern} for configuration topics.regex: The DLQ topic '{queue}' may \
                 not be matched by the regex \"{pattern}\" for the topics consumed by the connector"
                ),
            );
        }
    }
    errors
}
