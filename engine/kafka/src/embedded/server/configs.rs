//! Decides which configs topics and the broker have for clients, and how they are changed.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::NODE_ID;
use super::api::Call;
use super::error::{Refused, code};
use crate::embedded::settings::{Settings, TopicSettings};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a config's value comes from, as messages number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Topic = 1,
    Broker = 4,
    Default = 5,
}

/// A config's type, as messages number it.
#[derive(Clone, Copy)]
enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// A config and its value.
pub(in crate::embedded) struct Config {
    pub(in crate::embedded) name: StrBytes,
    pub(in crate::embedded) value: Option<StrBytes>,
    pub(super) source: Source,
    kind: Kind,
}

/// The configs of a topic that mean something here, with their defaults. Retention is Kafka's
/// name for what an embedded cluster does not do.
const SHOWN: &[(&str, &str, Kind)] = &[
    ("cleanup.policy", "delete", Kind::List),
    ("compression.type", "producer", Kind::String),
    ("delete.retention.ms", "86400000", Kind::Long),
    ("max.message.bytes", "1048588", Kind::Int),
    ("message.timestamp.type", "CreateTime", Kind::String),
    ("min.cleanable.dirty.ratio", "0.5", Kind::Double),
    ("min.insync.replicas", "1", Kind::Int),
    ("retention.bytes", "-1", Kind::Long),
    ("retention.ms", "-1", Kind::Long),
    ("segment.bytes", "134217728", Kind::Int),
];

/// The other configs that topics have in Kafka: kept and shown, without effect.
const KEPT: &[&str] = &[
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "message.downconversion.enable",
    "message.format.version",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.difference.max.ms",
    "min.compaction.lag.ms",
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// Refuses configs that topics do not have, and values that they cannot have.
pub(super) fn check(
    configs: &BTreeMap<String, String>,
    cluster: &Settings,
) -> Result<TopicSettings, Refused> {
    check_names(configs).map_err(|why| Refused::new(ResponseError::InvalidConfig, why))?;
    TopicSettings::new(configs, cluster)
        .map_err(|error| Refused::new(ResponseError::InvalidConfig, error.to_string()))
}

/// Says which of these is no config of topics.
pub(in crate::embedded) fn check_names(configs: &BTreeMap<String, String>) -> Result<(), String> {
    let is_known =
        |name: &str| KEPT.contains(&name) || SHOWN.iter().any(|(shown, ..)| *shown == name);
    match configs.keys().find(|name| !is_known(name)) {
        Some(unknown) => Err(format!("Unknown topic config name: {unknown}")),
        None => Ok(()),
    }
}

/// All configs of a topic that has these.
pub(in crate::embedded) fn of_topic(
    set: &BTreeMap<String, String>,
) -> impl Iterator<Item = Config> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let shown = SHOWN.iter().map(move |(name, default, kind)| Config {
        name: text(name),
        value: Some(text(set.get(*name).map_or(default, String::as_str))),
        source: if set.contains_key(*name) { Source::Topic } else { Source::Default },
        kind: *kind,
    });
    let kept = set.iter().filter(|(name, _)| KEPT.contains(&name.as_str()));
    shown.chain(kept.map(move |(name, value)| Config {
        name: text(name),
        value: Some(text(value)),
        source: Source::Topic,
        kind: Kind::String,
    }))
}

fn of_broker(settings: &Settings) -> Vec<Config> {
    let config = |name: &'static str, value: String, kind| Config {
        name: StrBytes::from_static_str(name),
        value: Some(StrBytes::from_string(value)),
        source: Source::Broker,
        kind,
    };
    vec![
        config("auto.create.topics.enable", settings.auto_create_topics.to_string(), Kind::Boolean),
        config("default.replication.factor", "1".to_owned(), Kind::Int),
        config("log.segment.bytes", settings.segment_bytes.to_string(), Kind::Int),
        config("num.partitions", settings.partitions.to_string(), Kind::Int),
    ]
}

pub(super) fn describe(
    call: &Call<'_>,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let result = configs_of(call, &resource);
        let answer = DescribeConfigsResult::default()
            .with_error_code(code(&result))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name);
        match result {
            Err(refused) => answer.with_error_message(refused.message()),
            Ok(configs) => {
                let keys = resource.configuration_keys;
                let is_wanted = |c: &Config| keys.as_ref().is_none_or(|k| k.contains(&c.name));
                let configs = configs.into_iter().filter(is_wanted);
                answer.with_configs(configs.map(|config| told(call.version, config)).collect())
            }
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn told(version: i16, config: Config) -> DescribeConfigsResourceResult {
    let told = DescribeConfigsResourceResult::default()
        .with_name(config.name)
        .with_value(config.value)
        .with_read_only(config.source == Source::Broker)
        .with_config_source(config.source as i8);
    match version {
        ..3 => told,
        _ => told.with_config_type(config.kind as i8),
    }
}

fn configs_of(call: &Call<'_>, resource: &DescribeConfigsResource) -> Result<Vec<Config>, Refused> {
    let shared = &call.client.shared;
    match resource.resource_type {
        TOPIC => Ok(of_topic(&shared.topic(&resource.resource_name)?.configs).collect()),
        BROKER if ["", &NODE_ID.to_string()].contains(&&*resource.resource_name) => {
            Ok(of_broker(&shared.settings))
        }
        _ => Err(no_configs()),
    }
}

fn no_configs() -> Refused {
    Refused::new(
        ResponseError::InvalidRequest,
        "the embedded cluster has configs of topics, and those of broker 1 to read",
    )
}

/// How a topic's configs become others.
enum Change {
    Set(String, String),
    Reset(String),
    Append(String, String),
    Subtract(String, String),
}

impl Change {
    fn apply(&self, configs: &mut BTreeMap<String, String>) {
        let items = |configs: &BTreeMap<String, String>, name: &str| -> Vec<String> {
            let default = SHOWN.iter().find(|(n, ..)| *n == name).map_or("", |(_, d, _)| d);
            let list = configs.get(name).map_or(default, String::as_str);
            list.split(',').map(str::trim).filter(|i| !i.is_empty()).map(str::to_owned).collect()
        };
        match self {
            Self::Set(name, value) => drop(configs.insert(name.clone(), value.clone())),
            Self::Reset(name) => drop(configs.remove(name)),
            Self::Append(name, value) => {
                let mut list = items(configs, name);
                if !list.contains(value) {
                    list.push(value.clone());
                }
                configs.insert(name.clone(), list.join(","));
            }
            Self::Subtract(name, value) => {
                let mut list = items(configs, name);
                list.retain(|item| item != value);
                configs.insert(name.clone(), list.join(","));
            }
        }
    }
}

fn change(
    call: &Call<'_>,
    (resource_type, name): (i8, &str),
    validate_only: bool,
    new: impl FnOnce(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refused>,
) -> Result<(), Refused> {
    if resource_type != TOPIC {
        return Err(no_configs());
    }
    let shared = &call.client.shared;
    let configs = new(&shared.topic(name)?.configs)?;
    let settings = check(&configs, &shared.settings)?;
    match validate_only {
        true => Ok(()),
        false => Ok(shared.configure(name, configs, settings)?),
    }
}

/// Replaces all configs of a topic.
pub(super) fn alter(call: &Call<'_>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let configs = resource.configs.iter();
        let configs: BTreeMap<_, _> = configs
            .filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())))
            .collect();
        let place = (resource.resource_type, &*resource.resource_name);
        let result = change(call, place, request.validate_only, |_| Ok(configs));
        Altered::default()
            .with_error_code(code(&result))
            .with_error_message(result.err().and_then(|refused| refused.message()))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// Changes some configs of a topic (KIP-339).
pub(super) fn alter_incrementally(
    call: &Call<'_>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let changes = resource.configs.iter().map(|config| {
            let name = config.name.to_string();
            let value = config.value.as_ref().map(StrBytes::to_string);
            match (config.config_operation, value) {
                (0, Some(value)) => Ok(Change::Set(name, value)),
                (1, _) => Ok(Change::Reset(name)),
                (2, Some(value)) => Ok(Change::Append(name, value)),
                (3, Some(value)) => Ok(Change::Subtract(name, value)),
                _ => Err(Refused::new(
                    ResponseError::InvalidRequest,
                    format!("{name} cannot be changed like that"),
                )),
            }
        });
        let changes: Result<Vec<_>, _> = changes.collect();
        let place = (resource.resource_type, &*resource.resource_name);
        let result = change(call, place, request.validate_only, |old| {
            let mut configs = old.clone();
            changes?.iter().for_each(|change| change.apply(&mut configs));
            Ok(configs)
        });
        AlterConfigsResourceResponse::default()
            .with_error_code(code(&result))
            .with_error_message(result.err().and_then(|refused| refused.message()))
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}
