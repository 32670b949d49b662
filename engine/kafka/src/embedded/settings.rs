//! Decides what an embedded cluster's, a topic's and a client's settings are.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use millrace_api::{Error, Result};

pub(super) use crate::Isolation;
use crate::Properties;
use crate::record_batch::{Compression, Limits};

/// The settings of an embedded cluster, under the names of a Kafka broker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether sending to a topic that does not exist creates it (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// How many partitions a topic gets when nobody says (`num.partitions`).
    pub partitions: i32,
    /// When a segment file is full (`log.segment.bytes`); a topic's `segment.bytes` overrides it.
    pub segment_bytes: u64,
    /// The most memory that one round of compaction may remember keys in
    /// (`log.cleaner.dedupe.buffer.size`).
    pub dedupe_bytes: usize,
    /// How much memory reading a batch may take.
    pub limits: Limits,
    /// How long the first members of a group wait for others (`group.initial.rebalance.delay.ms`):
    /// as long as in the configuration that Kafka comes with.
    pub group_initial_rebalance_delay: Duration,
    /// What sessions of members may last (`group.min.session.timeout.ms`,
    /// `group.max.session.timeout.ms`).
    pub group_session_timeouts: (Duration, Duration),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto_create_topics: true,
            partitions: 1,
            segment_bytes: 128 << 20,
            dedupe_bytes: 128 << 20,
            limits: Limits::default(),
            group_initial_rebalance_delay: Duration::ZERO,
            group_session_timeouts: (Duration::from_secs(6), Duration::from_secs(1800)),
        }
    }
}

impl Settings {
    /// The names that [`Settings::from_properties`] reads.
    pub const KEYS: &[&str] = &[
        "auto.create.topics.enable",
        "group.initial.rebalance.delay.ms",
        "group.max.session.timeout.ms",
        "group.min.session.timeout.ms",
        "log.cleaner.dedupe.buffer.size",
        "log.segment.bytes",
        "num.partitions",
    ];

    /// Reads the names above; everything else is left alone.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        let default = Self::default();
        let settings = Self {
            auto_create_topics: boolean(
                properties,
                "auto.create.topics.enable",
                default.auto_create_topics,
            )?,
            partitions: number(properties, "num.partitions", default.partitions)?,
            segment_bytes: number(properties, "log.segment.bytes", default.segment_bytes)?,
            dedupe_bytes: number(
                properties,
                "log.cleaner.dedupe.buffer.size",
                default.dedupe_bytes,
            )?,
            limits: default.limits,
            group_initial_rebalance_delay: milliseconds(
                properties,
                "group.initial.rebalance.delay.ms",
                default.group_initial_rebalance_delay,
            )?,
            group_session_timeouts: (
                milliseconds(
                    properties,
                    "group.min.session.timeout.ms",
                    default.group_session_timeouts.0,
                )?,
                milliseconds(
                    properties,
                    "group.max.session.timeout.ms",
                    default.group_session_timeouts.1,
                )?,
            ),
        };
        at_least("num.partitions", settings.partitions, 1)?;
        at_least("log.segment.bytes", settings.segment_bytes, 1)?;
        Ok(settings)
    }
}

/// Kafka's default for `max.message.bytes`.
const MAX_MESSAGE_BYTES: usize = 1_048_588;

/// The settings of a topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TopicSettings {
    /// `cleanup.policy` names `compact`.
    pub(super) is_compacted: bool,
    /// `segment.bytes`.
    pub(super) segment_bytes: u64,
    /// `delete.retention.ms`: how long compaction leaves a tombstone.
    pub(super) delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub(super) min_dirty_ratio: f64,
    /// `message.timestamp.type` is `LogAppendTime`.
    pub(super) is_append_time: bool,
    /// `max.message.bytes`: of a batch that comes over the network.
    pub(super) max_message_bytes: usize,
}

impl TopicSettings {
    /// Compacted topics are small, and only full segments are compacted.
    const COMPACTED_SEGMENT_BYTES: u64 = 8 << 20;

    pub(super) fn new(configs: &BTreeMap<String, String>, cluster: &Settings) -> Result<Self> {
        let policy = configs.get("cleanup.policy").map_or("delete", String::as_str);
        let policies: Vec<_> = policy.split(',').map(str::trim).collect();
        if !policies.iter().all(|p| ["compact", "delete"].contains(p)) {
            return Err(invalid("cleanup.policy", policy, "it is compact, delete or both"));
        }
        let timestamps = configs.get("message.timestamp.type").map(String::as_str);
        if !matches!(timestamps, None | Some("CreateTime" | "LogAppendTime")) {
            let value = timestamps.unwrap_or_default();
            let why = "it is CreateTime or LogAppendTime";
            return Err(invalid("message.timestamp.type", value, why));
        }
        let is_compacted = policies.contains(&"compact");
        let segment_bytes = match is_compacted {
            true => cluster.segment_bytes.min(Self::COMPACTED_SEGMENT_BYTES),
            false => cluster.segment_bytes,
        };
        let settings = Self {
            is_compacted,
            segment_bytes: number(configs, "segment.bytes", segment_bytes)?,
            delete_retention_ms: number(configs, "delete.retention.ms", 86_400_000)?,
            min_dirty_ratio: number(configs, "min.cleanable.dirty.ratio", 0.5)?,
            is_append_time: timestamps == Some("LogAppendTime"),
            max_message_bytes: number(configs, "max.message.bytes", MAX_MESSAGE_BYTES)?,
        };
        at_least("segment.bytes", settings.segment_bytes, 1)?;
        at_least("delete.retention.ms", settings.delete_retention_ms, 0)?;
        Ok(settings)
    }

    /// The settings of the log of committed offsets.
    pub(super) fn of_offsets() -> Self {
        Self {
            is_compacted: true,
            segment_bytes: 1 << 20,
            delete_retention_ms: 0,
            min_dirty_ratio: 0.5,
            is_append_time: false,
            max_message_bytes: MAX_MESSAGE_BYTES,
        }
    }
}

/// Where reading begins without a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OffsetReset {
    Earliest,
    Latest,
    None,
}

/// The settings of a consumer.
#[derive(Clone, Debug)]
pub(super) struct ConsumerSettings {
    pub(super) group: Option<String>,
    pub(super) reset: OffsetReset,
    pub(super) max_poll_records: usize,
    pub(super) max_poll_interval: Duration,
    pub(super) fetch_max_bytes: usize,
    pub(super) partition_fetch_bytes: usize,
    pub(super) check_crcs: bool,
    pub(super) isolation: Isolation,
}

impl ConsumerSettings {
    pub(super) fn new(properties: &Properties) -> Result<Self> {
        let reset = match properties.get("auto.offset.reset").map(String::as_str) {
            Some("earliest") => OffsetReset::Earliest,
            None | Some("latest") => OffsetReset::Latest,
            Some("none") => OffsetReset::None,
            Some(other) => {
                let why = "the embedded cluster knows earliest, latest and none";
                return Err(invalid("auto.offset.reset", other, why));
            }
        };
        let settings = Self {
            group: properties.get("group.id").filter(|id| !id.is_empty()).cloned(),
            reset,
            max_poll_records: number(properties, "max.poll.records", 500)?,
            max_poll_interval: Duration::from_millis(number(
                properties,
                "max.poll.interval.ms",
                300_000,
            )?),
            fetch_max_bytes: number(properties, "fetch.max.bytes", 50 << 20)?,
            partition_fetch_bytes: number(properties, "max.partition.fetch.bytes", 1 << 20)?,
            check_crcs: boolean(properties, "check.crcs", true)?,
            isolation: match properties.get("isolation.level").map(String::as_str) {
                None | Some("read_uncommitted") => Isolation::Uncommitted,
                Some("read_committed") => Isolation::Committed,
                Some(other) => {
                    let why = "it is read_uncommitted or read_committed";
                    return Err(invalid("isolation.level", other, why));
                }
            },
        };
        at_least("max.poll.records", settings.max_poll_records, 1)?;
        Ok(settings)
    }
}

/// The settings of a producer. What is sent is in the log when [`send`](crate::Producer::send)
/// returns, so `buffer.memory`, `linger.ms` and the like have nothing to say.
#[derive(Clone, Debug)]
pub(super) struct ProducerSettings {
    pub(super) compression: Compression,
    pub(super) max_request_bytes: usize,
}

impl ProducerSettings {
    pub(super) fn new(properties: &Properties) -> Result<Self> {
        let compression = match properties.get("compression.type") {
            None => Compression::None,
            Some(name) => Compression::from_name(name).ok_or_else(|| {
                invalid("compression.type", name, "it is none, gzip, snappy, lz4 or zstd")
            })?,
        };
        let max_request_bytes = number(properties, "max.request.size", 1 << 20)?;
        at_least("max.request.size", max_request_bytes, 1)?;
        Ok(Self { compression, max_request_bytes })
    }
}

fn number<T: FromStr>(
    properties: &BTreeMap<String, String>,
    name: &'static str,
    default: T,
) -> Result<T> {
    match properties.get(name) {
        None => Ok(default),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| invalid(name, text, "it is a number that is too big or none at all")),
    }
}

fn milliseconds(
    properties: &Properties,
    name: &'static str,
    default: Duration,
) -> Result<Duration> {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    Ok(Duration::from_millis(number(properties, name, default)?))
}

fn boolean(properties: &Properties, name: &'static str, default: bool) -> Result<bool> {
    match properties.get(name).map(|text| text.trim().to_ascii_lowercase()) {
        None => Ok(default),
        Some(text) if text == "true" => Ok(true),
        Some(text) if text == "false" => Ok(false),
        Some(text) => Err(invalid(name, &text, "it is true or false")),
    }
}

fn at_least<T: PartialOrd + std::fmt::Display>(
    name: &'static str,
    value: T,
    least: T,
) -> Result<()> {
    if value >= least {
        return Ok(());
    }
    Err(invalid(name, &value.to_string(), &format!("it is at least {least}")))
}

fn invalid(name: &str, value: &str, why: &str) -> Error {
    Error::config(format!("Invalid value {value} for configuration {name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(name: &str, value: &str) -> Properties {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn every_key_is_read() {
        for key in Settings::KEYS {
            let error = Settings::from_properties(&properties(key, "x")).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        let message = |result: Result<()>| result.unwrap_err().to_string();
        let broker = |n, v| Settings::from_properties(&properties(n, v)).map(drop);
        let consumer = |n, v| ConsumerSettings::new(&properties(n, v)).map(drop);
        let producer = |n, v| ProducerSettings::new(&properties(n, v)).map(drop);
        let topic = |n, v| TopicSettings::new(&properties(n, v), &Settings::default()).map(drop);
        for (name, value, error) in [
            ("num.partitions", "x", message(broker("num.partitions", "x"))),
            ("num.partitions", "0", message(broker("num.partitions", "0"))),
            (
                "auto.create.topics.enable",
                "yes",
                message(broker("auto.create.topics.enable", "yes")),
            ),
            ("auto.offset.reset", "new", message(consumer("auto.offset.reset", "new"))),
            ("isolation.level", "dirty", message(consumer("isolation.level", "dirty"))),
            ("max.poll.records", "-1", message(consumer("max.poll.records", "-1"))),
            ("compression.type", "rar", message(producer("compression.type", "rar"))),
            ("cleanup.policy", "burn", message(topic("cleanup.policy", "burn"))),
            ("segment.bytes", "0", message(topic("segment.bytes", "0"))),
        ] {
            let start = format!("Invalid value {value} for configuration {name}: ");
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
