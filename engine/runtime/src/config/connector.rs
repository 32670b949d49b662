//! The framework's keys of a connector (`ConnectorConfig`, `SourceConnectorConfig` and
//! `SinkConnectorConfig` in Java), and the checks that reach past single keys.

use std::collections::BTreeSet;

use millrace_api::config::validators::{
    Validator, all_of, at_least, non_empty_string, non_empty_string_without_control_chars,
    non_null, one_of, one_of_ignore_case, regex, unique_list,
};
use millrace_api::config::{ClassName, ConfigError, ConfigKey, java_regex};
use millrace_api::{Config, ConfigDef, Error, Plugin, PluginKind, Props, Result};
use millrace_kafka::Subscription;
use regex::Regex;

use super::restart::RestartKeys;
use super::versions;
use crate::task::errors::ErrorConfig;
use crate::task::errors::retries::Retries;
use crate::task::patience::Patience;

const COMMON: &str = "Common";
const ERRORS: &str = "Error Handling";
const EXACTLY_ONCE: &str = "Exactly Once Support";

const RETRY_TIMEOUT: &str = "errors.retry.timeout";

/// What a connector's keys of what becomes of errors begin with.
pub(crate) const ERROR_KEYS: &str = "errors.";

/// What a connector's keys of its topics' creation begin with.
pub(crate) const TOPIC_CREATION: &str = "topic.creation.";

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
    /// Version of the connector.
    #[config(key = "connector.plugin.version", importance = Medium, validate = plugin_version)]
    #[config(group = COMMON, order = 3, width = Medium, display = "Connector version")]
    pub(crate) connector_version: Option<String>,
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
    /// Version of the key converter.
    #[config(key = "key.converter.plugin.version", importance = Low, validate = plugin_version)]
    #[config(group = COMMON, order = 7, width = Short, display = "Key converter version")]
    pub(crate) key_converter_version: Option<String>,
    /// Converter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the values in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro.
    #[config(key = "value.converter", importance = Low)]
    #[config(group = COMMON, order = 8, width = Short, display = "Value converter class")]
    pub(crate) value_converter: Option<ClassName>,
    /// Version of the value converter.
    #[config(key = "value.converter.plugin.version", importance = Low, validate = plugin_version)]
    #[config(group = COMMON, order = 9, width = Short, display = "Value converter version")]
    pub(crate) value_converter_version: Option<String>,
    /// HeaderConverter class used to convert between Kafka Connect format and the serialized form that is written to Kafka. This controls the format of the header values in messages written to or read from Kafka, and since this is independent of connectors it allows any connector to work with any serialization format. Examples of common formats include JSON and Avro. By default, the SimpleHeaderConverter is used to serialize header values to strings and deserialize them by inferring the schemas.
    #[config(key = "header.converter", importance = Low)]
    #[config(group = COMMON, order = 10, width = Short, display = "Header converter class")]
    pub(crate) header_converter: Option<ClassName>,
    /// Version of the header converter.
    #[config(key = "header.converter.plugin.version", importance = Low, validate = plugin_version)]
    #[config(group = COMMON, order = 11, width = Short, display = "Header converter version")]
    pub(crate) header_converter_version: Option<String>,
    /// Aliases for the transformations to be applied to records.
    #[config(key = "transforms", importance = Low, default = "", validate = unique_aliases)]
    #[config(group = "Transforms", order = 12, width = Long, display = "Transforms")]
    pub(crate) transforms: Vec<String>,
    /// Aliases for the predicates used by transformations.
    #[config(key = "predicates", importance = Low, default = "", validate = unique_aliases)]
    #[config(group = "Predicates", order = 13, width = Long, display = "Predicates")]
    pub(crate) predicates: Vec<String>,
    /// The action that Connect should take on the connector when changes in external configuration providers result in a change in the connector's configuration properties. A value of 'none' indicates that Connect will do nothing. A value of 'restart' indicates that Connect should restart/reload the connector with the updated configuration properties.The restart may actually be scheduled in the future if the external configuration provider indicates that a configuration value will expire in the future.
    #[config(key = "config.action.reload", importance = Low, default = "restart")]
    #[config(validate = one_of(["none", "restart"]), group = COMMON, order = 14, width = Medium)]
    #[config(display = "Reload Action")]
    pub(crate) config_action_reload: String,
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
    #[config(key = "topics", importance = High, default = "", validate = unique_list)]
    #[config(group = COMMON, order = 4, width = Long, display = "Topics")]
    pub(crate) topics: Vec<String>,
    /// Regular expression giving topics to consume. Under the hood, the regex is compiled to a <code>java.util.regex.Pattern</code>. Only one of topics or topics.regex should be specified.
    #[config(key = "topics.regex", importance = High, default = "", validate = regex)]
    #[config(group = COMMON, order = 4, width = Long, display = "Topics regex")]
    pub(crate) topics_regex: String,
    #[config(nested)]
    #[allow(dead_code, reason = "sources have them too, undefined: they are read by themselves")]
    pub(crate) dead_letters: DeadLetterKeys,
}

/// Where failed records go. Java defines these keys for sinks only. Here they work for sources too,
/// which do not define them either: answers to `/validate` are Java's.
#[derive(Clone, Debug, Config)]
pub(crate) struct DeadLetterKeys {
    /// The name of the topic to be used as the dead letter queue (DLQ) for messages that result in an error when processed by this sink connector, or its transformations or converters. The topic name is blank by default, which means that no messages are to be recorded in the DLQ.
    #[config(key = "errors.deadletterqueue.topic.name", importance = Medium, default = "")]
    #[config(group = ERRORS, order = 6, width = Medium, display = "Dead Letter Queue Topic Name")]
    pub(crate) topic: String,
    /// Replication factor used to create the dead letter queue topic when it doesn't already exist.
    #[config(key = "errors.deadletterqueue.topic.replication.factor", importance = Medium)]
    #[config(default = 3, group = ERRORS, order = 7, width = Medium)]
    #[config(display = "Dead Letter Queue Topic Replication Factor")]
    pub(crate) replication_factor: i16,
    /// If true, add headers containing error context to the messages written to the dead letter queue. To avoid clashing with headers from the original record, all error context header keys, all error context header keys will start with <code>__connect.errors.</code>
    #[config(key = "errors.deadletterqueue.context.headers.enable", importance = Medium)]
    #[config(default = false, group = ERRORS, order = 8, width = Medium)]
    #[config(display = "Enable Error Context Headers")]
    pub(crate) context: bool,
}

/// Keys of sources alone.
#[derive(Clone, Debug, Config)]
#[allow(dead_code, reason = "some keys are read by name elsewhere, but defined here")]
pub(crate) struct SourceKeys {
    /// Groups of configurations for topics created by source connectors
    #[config(key = "topic.creation.groups", importance = Low, default = "")]
    #[config(validate = unique_aliases, group = "Topic Creation", order = 1, width = Long)]
    #[config(display = "Topic Creation Groups")]
    pub(crate) topic_creation_groups: Vec<String>,
    /// Permitted values are requested, required. If set to "required", forces a preflight check for the connector to ensure that it can provide exactly-once semantics with the given configuration. Some connectors may be capable of providing exactly-once semantics but not signal to Connect that they support this; in that case, documentation for the connector should be consulted carefully before creating it, and the value for this property should be set to "requested". Additionally, if the value is set to "required" but the worker that performs preflight validation does not have exactly-once support enabled for source connectors, requests to create or validate the connector will fail.
    #[config(key = "exactly.once.support", importance = Medium, default = "requested")]
    #[config(validate = one_of_ignore_case(["REQUESTED", "REQUIRED"]), group = EXACTLY_ONCE)]
    #[config(order = 2, width = Short, display = "Exactly once support")]
    pub(crate) exactly_once_support: String,
    /// Permitted values are: poll, interval, connector. If set to 'poll', a new producer transaction will be started and committed for every batch of records that each task from this connector provides to Connect. If set to 'connector', relies on connector-defined transaction boundaries; note that not all connectors are capable of defining their own transaction boundaries, and in that case, attempts to instantiate a connector with this value will fail. Finally, if set to 'interval', commits transactions only after a user-defined time interval has passed.
    #[config(key = "transaction.boundary", importance = Medium, default = "poll")]
    #[config(validate = one_of_ignore_case(["POLL", "INTERVAL", "CONNECTOR"]))]
    #[config(group = EXACTLY_ONCE, order = 3, width = Short, display = "Transaction Boundary")]
    pub(crate) transaction_boundary: String,
    /// If 'transaction.boundary' is set to 'interval', determines the interval for producer transaction commits by connector tasks. If unset, defaults to the value of the worker-level 'offset.flush.interval.ms' property. It has no effect if a different transaction.boundary is specified.
    #[config(key = "transaction.boundary.interval.ms", importance = Low)]
    #[config(validate = at_least(0i64).or_null(), group = EXACTLY_ONCE, order = 4, width = Short)]
    #[config(display = "Transaction boundary interval")]
    pub(crate) transaction_boundary_interval_ms: Option<i64>,
    /// The name of a separate offsets topic to use for this connector. If empty or not specified, the worker’s global offsets topic name will be used. If specified, the offsets topic will be created if it does not already exist on the Kafka cluster targeted by this connector (which may be different from the one used for the worker's global offsets topic if the bootstrap.servers property of the connector's producer has been overridden from the worker's). Only applicable in distributed mode; in standalone mode, setting this property will have no effect.
    #[config(key = "offsets.storage.topic", importance = Low, validate = non_empty_string)]
    #[config(group = "offsets.topic", order = 1, width = Long, display = "Offsets topic")]
    pub(crate) offsets_storage_topic: Option<String>,
}

/// What `*.plugin.version` may be: a version, a range of Maven's, or `latest`.
pub(crate) fn plugin_version() -> Validator {
    Validator::with_message("", |_, value| match versions::requirement(value.as_str()) {
        Ok(_) => Ok(()),
        Err(complaint) => Err(Error::config(complaint)),
    })
}

/// Aliases of transformations, predicates or groups: each once.
fn unique_aliases() -> Validator {
    let unique = Validator::new("unique aliases", |value| {
        let aliases = value.as_list().unwrap_or_default();
        match (1..aliases.len()).any(|i| aliases[..i].contains(&aliases[i])) {
            true => Err("Duplicate alias provided.".to_owned()),
            false => Ok(()),
        }
    });
    all_of([non_null(), unique])
}

/// The framework's keys of what becomes of errors, those included that Java has for sinks alone or
/// not at all.
pub(crate) fn error_keys() -> BTreeSet<String> {
    let defs =
        [CommonConfig::config_def(), DeadLetterKeys::config_def(), RestartKeys::config_def()];
    let names = defs.iter().flat_map(|def| def.keys()).map(|key| &key.name);
    names.filter(|name| name.starts_with(ERROR_KEYS)).cloned().collect()
}

/// The keys of every connector; by default this one has its latest version.
pub(crate) fn common_definition(connector: &Plugin) -> ConfigDef {
    let latest = |key: &ConfigKey| match key.name.as_str() {
        "connector.plugin.version" => key.clone().default(connector.version()),
        _ => key.clone(),
    };
    let common = CommonConfig::config_def();
    common.keys().iter().map(latest).fold(ConfigDef::default(), ConfigDef::define)
}

/// The framework's definition for a connector.
pub(crate) fn definition(connector: &Plugin) -> ConfigDef {
    common_definition(connector).completed_by(match connector.kind() {
        PluginKind::Sink => SinkKeys::config_def(),
        _ => SourceKeys::config_def(),
    })
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
            // Their values are read where they count.
            _ => SourceKeys::parse(props).map(|_| None)?,
        };
        Ok(Self { common: CommonConfig::parse(props)?, sink, props: props.clone() })
    }

    pub(crate) fn errors(&self) -> ErrorConfig {
        ErrorConfig {
            tolerate_all: self.common.errors_tolerance == "all",
            log: self.common.errors_log_enable,
            log_messages: self.common.errors_log_include_messages,
        }
    }

    /// Where records go that fail; none if they go nowhere.
    pub(crate) fn dead_letters(&self) -> Result<Option<DeadLetterKeys>> {
        let keys = DeadLetterKeys::parse(&self.props)?;
        Ok((!keys.topic.is_empty()).then_some(keys))
    }

    /// How often transformations and converters are repeated.
    pub(crate) fn retries(&self) -> Retries {
        Retries::new(self.common.errors_retry_timeout, self.common.errors_retry_delay_max_ms)
    }

    /// How often records are put again that a sink task refuses: for ever, as a batch is, unless the
    /// connector says how long.
    pub(crate) fn put_retries(&self) -> Retries {
        match self.props.contains_key(RETRY_TIMEOUT) {
            true => self.retries(),
            false => Retries::new(-1, self.common.errors_retry_delay_max_ms),
        }
    }

    /// How long a task waits for what its converters ask others.
    pub(crate) fn patience(&self) -> Patience {
        let given = self.props.contains_key(RETRY_TIMEOUT);
        let timeout = given.then_some(self.common.errors_retry_timeout);
        Patience::new(timeout, self.common.errors_retry_delay_max_ms)
    }

    /// The topics that a sink consumes.
    pub(crate) fn subscription(&self) -> Result<Subscription> {
        let sink = self.sink.as_ref().ok_or_else(|| Error::fatal("a source consumes no topics"))?;
        if !sink.topics_regex.is_empty() {
            let pattern = translated(&sink.topics_regex).map_err(Error::config)?;
            return Ok(Subscription::Pattern(pattern));
        }
        let mut topics: Vec<String> = sink.topics.clone();
        topics.retain(|topic| !topic.is_empty());
        topics.sort();
        topics.dedup();
        Ok(Subscription::Topics(topics))
    }
}

/// The value of a key, without blanks around it; empty when there is none.
fn given<'a>(props: &'a Props, key: &str) -> &'a str {
    props.get(key).map_or("", |value| value.trim())
}

/// Whether a sink's failed records go to a topic.
pub(crate) fn has_dead_letter_queue(props: &Props) -> bool {
    !given(props, "errors.deadletterqueue.topic.name").is_empty()
}

/// Whether a source may say how its topics are created.
pub(crate) fn uses_topic_creation(props: &Props) -> bool {
    props.keys().any(|key| key.starts_with(TOPIC_CREATION))
}

/// What Java checks of a sink beyond single keys (`SinkConnectorConfig.validate`).
pub(crate) fn check_sink(props: &Props) -> Vec<ConfigError> {
    let (topics, pattern) = (given(props, "topics"), given(props, "topics.regex"));
    let queue = given(props, "errors.deadletterqueue.topic.name");
    let error = |key: &str, message: String| ConfigError { key: key.into(), message };
    let both = |message: &str| ["topics", "topics.regex"].map(|key| error(key, message.into()));
    let mut errors = Vec::new();
    match (topics.is_empty(), pattern.is_empty()) {
        (false, false) => errors.extend(both(
            "topics and topics.regex are mutually exclusive options, but both are set.",
        )),
        (true, true) => errors.extend(both("Must configure one of topics or topics.regex")),
        _ => {}
    }
    let regex = match compile(pattern) {
        Ok(regex) => regex,
        Err(message) => {
            errors.push(error("topics.regex", message));
            None
        }
    };
    if queue.is_empty() {
        return errors;
    }
    let list: Vec<&str> = topics.split(',').map(str::trim).collect();
    if list.contains(&queue) {
        let message = format!(
            "The DLQ topic '{queue}' may not be included in the list of topics ('topics=[{}]') \
             consumed by the connector",
            list.join(", ")
        );
        errors.push(error("topics", message));
    }
    if regex.is_some_and(|regex| regex.is_match(queue)) {
        let message = format!(
            "The DLQ topic '{queue}' may not be matched by the regex for the topics \
             ('topics.regex={pattern}') consumed by the connector"
        );
        errors.push(error("topics.regex", message));
    }
    errors
}

/// The pattern of a sink's topics, which has to match a name as a whole. Java's complaints are its
/// rule's; here, about what Java can match and we cannot.
fn compile(pattern: &str) -> Result<Option<Regex>, String> {
    if pattern.is_empty() || java_regex::check(pattern).is_err() {
        return Ok(None);
    }
    let ours = translated(pattern)?;
    Regex::new(&format!("^(?:{ours})$")).map(Some).map_err(|e| unsupported(pattern, e))
}

/// The pattern as our matcher reads it.
fn translated(pattern: &str) -> Result<String, String> {
    let ours = java_regex::translate(pattern).map_err(|reason| unsupported(pattern, reason))?;
    match ours.ahead.is_empty() {
        true => Ok(ours.pattern),
        false => Err(unsupported(pattern, "lookaround (?!…) is not supported")),
    }
}

fn unsupported(pattern: &str, reason: impl std::fmt::Display) -> String {
    format!("Invalid value {pattern} for configuration topics.regex: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_topics_are_javas_or_refused() {
        let matches = |pattern: &str, topic: &str| {
            compile(pattern).map(|regex| regex.is_some_and(|regex| regex.is_match(topic)))
        };
        assert_eq!(matches(r"\Qa.b\E-\w+", "a.b-x"), Ok(true));
        assert_eq!(matches(r"\Qa.b\E-\w+", "a-b-x"), Ok(false));
        for (pattern, construct) in [
            ("^(?!__).*", "lookaround (?!…)"),
            ("(a)\\1", "the back reference \\1"),
            ("a++b", "the possessive quantifier ++"),
        ] {
            let message = format!(
                "Invalid value {pattern} for configuration topics.regex: {construct} is not \
                 supported"
            );
            assert_eq!(matches(pattern, "a"), Err(message));
        }
    }
}
