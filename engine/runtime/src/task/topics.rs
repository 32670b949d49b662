//! Decides whether a source task's topics are created before it first writes to them, and how
//! (KIP-158: `topic.creation.*`, `TopicCreation` in Java).
//!
//! A run costs one look at a cache; the cluster is asked once a topic.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use millrace_api::config::validators::Validator;
use millrace_api::config::{ConfigDef, ConfigKey, Setting, Type, Values, java_regex};
use millrace_api::{Error, ErrorKind, Props, Result};
use millrace_kafka::{Cluster, NewTopic};
use regex::Regex;

use crate::config::clients::below;
use crate::config::connector::{TOPIC_CREATION, uses_topic_creation};

/// The group of all topics that no other group takes.
const DEFAULT: &str = "default";

/// Java's value for what the broker is to decide.
const OF_BROKER: i32 = -1;

/// The keys of a group that are no settings of topics.
const GROUP_KEYS: [&str; 4] = ["include", "exclude", "replication.factor", "partitions"];

/// Creates the topics of one source task.
pub(crate) struct TopicCreation {
    cluster: Arc<dyn Cluster>,
    /// The default group comes last.
    groups: Vec<TopicGroup>,
    /// Topics that are there: no more than the task writes to.
    known: HashSet<Arc<str>>,
}

/// Topics that are created alike (`TopicCreationGroup` in Java).
#[derive(Debug)]
pub(crate) struct TopicGroup {
    name: String,
    include: Regex,
    exclude: Regex,
    partitions: i32,
    replication_factor: i16,
    configs: BTreeMap<String, String>,
}

/// The groups of a connector's configuration; none if it leaves creation to the broker.
pub(crate) fn groups(props: &Props) -> Result<Option<Vec<TopicGroup>>> {
    if !uses_topic_creation(props) {
        return Ok(None);
    }
    let prefix = group_prefix(DEFAULT);
    let patterns = ["include", "exclude"].map(|name| format!("{prefix}{name}"));
    let mut props = props.clone();
    // As in Java, the default group takes all topics, whatever it is told.
    props.retain(|key, _| !patterns.contains(key));
    let def = ConfigDef::default().embed(&prefix, DEFAULT, 0, group_def(None));
    let default = TopicGroup::new(DEFAULT, &def.parse(&props)?, &props)?;

    let aliases = props.get("topic.creation.groups").map_or("", String::as_str);
    let aliases = Type::List.parse("topic.creation.groups", aliases)?;
    let mut groups = Vec::new();
    for alias in aliases.as_list().unwrap_or_default() {
        if alias == DEFAULT {
            tracing::warn!(
                "the topic creation group 'default' is always there; no need to list it"
            );
            continue;
        }
        let own = group_def(Some(&default));
        let def = ConfigDef::default().embed(&group_prefix(alias), alias, 0, own);
        groups.push(TopicGroup::new(alias, &def.parse(&props)?, &props)?);
    }
    groups.push(default);
    Ok(Some(groups))
}

fn group_prefix(group: &str) -> String {
    format!("{TOPIC_CREATION}{group}.")
}

/// The keys of a group: required in the default group, from which the others take what they lack.
fn group_def(default: Option<&TopicGroup>) -> ConfigDef {
    let include = if default.is_none() { ".*" } else { "" };
    let patterns =
        |key, matches: &str| ConfigKey::new(key, Type::List).default(matches).validator(patterns());
    let number =
        |key, value_type, least: Validator| ConfigKey::new(key, value_type).validator(least);
    let mut factor = number(
        "replication.factor",
        Type::Short,
        positive_or_broker(
            "Replication factor must be positive and not larger than the number of brokers in the \
             Kafka cluster, or -1 to use the broker's default",
        ),
    );
    let mut partitions = number(
        "partitions",
        Type::Int,
        positive_or_broker(
            "Number of partitions must be positive, or -1 to use the broker's default",
        ),
    );
    if let Some(default) = default {
        factor = factor.default(default.replication_factor);
        partitions = partitions.default(default.partitions);
    }
    let places = [patterns("include", include), patterns("exclude", ""), factor, partitions];
    let keys = places.into_iter().zip(0..).map(|(key, order)| key.group(DEFAULT, order));
    keys.fold(ConfigDef::default(), ConfigDef::define)
}

fn positive_or_broker(complaint: &'static str) -> Validator {
    Validator::new("a positive number, or -1", move |value| match value.as_f64() {
        Some(number) if number >= 1.0 || number == f64::from(OF_BROKER) => Ok(()),
        _ => Err(complaint.to_owned()),
    })
}

fn patterns() -> Validator {
    Validator::new("regular expressions", |value| {
        let wrong = |pattern: &String| java_regex::check(pattern).err();
        match value.as_list().unwrap_or_default().iter().find_map(wrong) {
            Some(complaint) => Err(format!("Syntax error in regular expression: {complaint}")),
            None => Ok(()),
        }
    })
}

impl TopicGroup {
    fn new(name: &str, values: &Values, props: &Props) -> Result<Self> {
        let prefix = group_prefix(name);
        let key = |name: &str| format!("{prefix}{name}");
        let pattern = |name: &str| {
            let list = values.setting(&key(name)).and_then(Setting::as_list).unwrap_or_default();
            let whole = format!("^(?:{})$", list.join("|"));
            Regex::new(&whole).map_err(|e| {
                Error::config(format!("a pattern of Java's that is not supported here: {e}"))
                    .context("key", key(name))
            })
        };
        Ok(Self {
            name: name.to_owned(),
            include: pattern("include")?,
            exclude: pattern("exclude")?,
            partitions: values.get(&key("partitions"))?,
            replication_factor: values.get(&key("replication.factor"))?,
            configs: below(props, &prefix)
                .filter(|(key, _)| !GROUP_KEYS.contains(&key.as_str()))
                .collect(),
        })
    }

    fn takes(&self, topic: &str) -> bool {
        !self.exclude.is_match(topic) && self.include.is_match(topic)
    }

    fn topic(&self, name: &str) -> NewTopic {
        NewTopic {
            name: name.to_owned(),
            partitions: Some(self.partitions).filter(|n| *n != OF_BROKER),
            replication_factor: Some(self.replication_factor)
                .filter(|n| i32::from(*n) != OF_BROKER),
            configs: self.configs.clone(),
        }
    }
}

impl TopicCreation {
    /// Creates topics by these groups on a cluster, as the connector's admin client sees it.
    pub(crate) fn new(cluster: Arc<dyn Cluster>, groups: Vec<TopicGroup>) -> Self {
        Self { cluster, groups, known: HashSet::new() }
    }

    /// Whether the topic is known to be there.
    pub(crate) fn knows(&self, topic: &str) -> bool {
        self.known.contains(topic)
    }

    /// Sees to it that a topic is there. One that exists is left as it is.
    ///
    /// `Retriable` while the cluster does not answer. Cancel-safe: what was asked for is found to
    /// be there the next time.
    pub(crate) async fn create(&mut self, topic: &Arc<str>) -> Result<()> {
        let found = self.cluster.describe_topics(Some(&[topic])).await.map_err(|e| {
            failed(format!("Error while attempting to describe topics '{topic}'"), e)
        })?;
        if !found.contains_key(&**topic) {
            self.create_missing(topic).await?;
        }
        self.known.insert(Arc::clone(topic));
        Ok(())
    }

    async fn create_missing(&self, topic: &str) -> Result<()> {
        let group = self.groups.iter().find(|group| group.takes(topic));
        let group = group.or(self.groups.last()).expect("there is a default group");
        match self.cluster.create_topic(&group.topic(topic)).await {
            Ok(()) => tracing::info!(topic, group = group.name, "created a topic"),
            // Somebody else was faster.
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            Err(e) => {
                let message = format!(
                    "Task failed to create new topic {topic}. Ensure that the task is authorized \
                     to create topics or that the topic exists and restart the task"
                );
                return Err(failed(message, e));
            }
        }
        Ok(())
    }
}

/// Passing trouble stays passing; all else fails the task.
fn failed(message: String, error: Error) -> Error {
    match error.is_retriable() {
        true => error,
        false => Error::fatal(message).with_source(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| (format!("topic.creation.{k}"), (*v).to_owned())).collect()
    }

    const DEFAULTS: [(&str, &str); 2] =
        [("default.replication.factor", "-1"), ("default.partitions", "3")];

    #[test]
    fn the_first_group_that_takes_a_topic_creates_it() {
        assert!(groups(&Props::new()).unwrap().is_none());
        let mut given = props(&DEFAULTS);
        given.extend(props(&[
            ("groups", "compacted, default, none"),
            ("default.include", "only-these"),
            ("compacted.include", "users, orders-.*"),
            ("compacted.exclude", ".*-tmp"),
            ("compacted.partitions", "1"),
            ("compacted.cleanup.policy", "compact"),
            ("default.retention.ms", "5"),
        ]));
        let groups = groups(&given).unwrap().unwrap();
        let names: Vec<&str> = groups.iter().map(|group| &*group.name).collect();
        assert_eq!(names, ["compacted", "none", "default"]);
        let of = |topic: &str| groups.iter().find(|g| g.takes(topic)).unwrap();
        for (topic, group) in [
            ("users", "compacted"),
            ("orders-eu", "compacted"),
            ("orders-eu-tmp", "default"),
            ("users2", "default"),
        ] {
            assert_eq!(of(topic).name, group, "{topic}");
        }
        let created = of("users").topic("users");
        assert_eq!((created.partitions, created.replication_factor), (Some(1), None));
        assert_eq!(created.configs, BTreeMap::from([("cleanup.policy".into(), "compact".into())]));
        let created = of("x").topic("x");
        assert_eq!(created.partitions, Some(3));
        assert_eq!(created.configs, BTreeMap::from([("retention.ms".into(), "5".into())]));
    }

    #[test]
    fn complaints_are_javas() {
        let complaint = |extra: &[(&str, &str)]| {
            let mut given = props(&DEFAULTS);
            given.extend(props(extra));
            groups(&given).unwrap_err().to_string()
        };
        for (extra, expected) in [
            (
                ("default.partitions", "0"),
                "Invalid value 0 for configuration partitions: Number of partitions must be \
                 positive, or -1 to use the broker's default",
            ),
            (
                ("default.replication.factor", "x"),
                "Invalid value x for configuration topic.creation.default.replication.factor: \
                 Not a number of type SHORT",
            ),
            (
                ("a.include", "["),
                "Invalid value [[] for configuration include: Syntax error in regular expression: \
                 Unclosed character class near index 0\n[\n^",
            ),
        ] {
            assert_eq!(complaint(&[("groups", "a"), extra]), expected);
        }
        let error = groups(&props(&[("groups", "a")])).unwrap_err().to_string();
        let missing = "Missing required configuration \
                       \"topic.creation.default.replication.factor\" \
                       which has no default value.";
        assert_eq!(error, missing);
    }
}
