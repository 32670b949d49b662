//! Reads, sets and deletes a connector's offsets for a client (KIP-875), in Java's words.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_api::{
    AlteredOffset, Error, ErrorKind, OffsetControl, Open, Plugin, Props, Result, TopicPartition,
};
use serde_json::{Map, Value as Json};
use tokio::time::timeout;

use super::ConnectorOffset;
use crate::activity::{Whose, during};
use crate::config::clients;
use crate::contain::contain;
use crate::store::offsets::ConnectorOffsets;
use crate::task::TaskId;
use crate::worker::Worker;

/// How long a connector may think about a change, and the cluster take to make it.
const PATIENCE: Duration = Duration::from_secs(90);

const TOPIC: &str = "kafka_topic";
const PARTITION: &str = "kafka_partition";
const OFFSET: &str = "kafka_offset";

/// How far a connector got: a source's stored offsets, or what a sink's group has committed.
pub(crate) async fn read(
    worker: &Worker,
    name: &str,
    config: &Props,
) -> Result<Vec<ConnectorOffset>> {
    if let Open::Source { .. } = worker.catalog.connector_of(config)?.open() {
        let stored = worker.connector_offsets(name).all().await.map_err(|e| {
            Error::fatal(format!("Failed to retrieve offsets for source connector {name}"))
                .with_source(e)
        })?;
        let shown = |(partition, offset)| ConnectorOffset { partition: Some(partition), offset };
        return Ok(stored.into_iter().map(shown).collect());
    }
    let failed = || format!("Failed to retrieve consumer group offsets for sink connector {name}");
    let (cluster, group) = (worker.admin(name, config)?, group(worker, name, config)?);
    let committed = in_time(&failed, cluster.group_offsets(&group)).await?;
    let shown = |(partition, offset)| ConnectorOffset {
        partition: Some(shown_partition(&partition)),
        offset: Some(Map::from_iter([(OFFSET.to_owned(), Json::from(offset))])),
    };
    Ok(committed.into_iter().map(shown).collect())
}

/// Members in the order of Java's `HashMap`.
fn shown_partition(partition: &TopicPartition) -> Map<String, Json> {
    let topic = Json::from(&*partition.topic);
    [(PARTITION.to_owned(), partition.partition.into()), (TOPIC.to_owned(), topic)]
        .into_iter()
        .collect()
}

/// Sets these offsets of a connector that is stopped, or deletes all when there are none. The
/// answer is Java's message about it.
pub(crate) async fn change(
    worker: &Worker,
    name: &str,
    config: &Props,
    wanted: Option<Vec<ConnectorOffset>>,
) -> Result<String> {
    let plugin = worker.catalog.connector_of(config)?;
    let is_reset = wanted.is_none();
    let control = match plugin.open() {
        Open::Source { .. } => change_source(worker, name, config, (plugin, wanted)).await,
        _ => change_sink(worker, name, config, (plugin, wanted)).await,
    }?;
    let change = if is_reset { "reset" } else { "altered" };
    Ok(if control == OffsetControl::Complete {
        format!("The offsets for this connector have been {change} successfully")
    } else {
        format!(
            "The Connect framework-managed offsets for this connector have been {change} \
             successfully. However, if this connector manages offsets externally, they will need \
             to be manually {change} in the system that the connector uses."
        )
    })
}

type Wanted<'a> = (&'a Plugin, Option<Vec<ConnectorOffset>>);

async fn change_source(
    worker: &Worker,
    name: &str,
    config: &Props,
    (plugin, wanted): Wanted<'_>,
) -> Result<OffsetControl> {
    let failed = || format!("Failed to modify offsets for source connector {name}");
    let store = worker.connector_offsets(name);
    let offsets: Vec<AlteredOffset> = match wanted {
        Some(wanted) => distinct(wanted)?,
        None => store.all().await?.into_iter().map(|(p, _)| (Some(p), None)).collect(),
    };
    let Open::Source { alter_offsets, .. } = plugin.open() else {
        unreachable!("a source was asked for")
    };
    let asked = alter_offsets(config.clone(), offsets.clone());
    let control = consent(worker, (name, "source"), asked).await?;
    // Nothing is stored below a partition that is null.
    let offsets = offsets.into_iter().filter_map(|(p, offset)| Some((p?, offset)));
    in_time(&failed, store.set(offsets.collect())).await?;
    Ok(control)
}

async fn change_sink(
    worker: &Worker,
    name: &str,
    config: &Props,
    (plugin, wanted): Wanted<'_>,
) -> Result<OffsetControl> {
    let is_reset = wanted.is_none();
    let (cluster, group) = (worker.admin(name, config)?, group(worker, name, config)?);
    let offsets = match wanted {
        Some(wanted) => sink_offsets(wanted)?,
        None => {
            let failed = || {
                format!(
                    "Failed to list offsets prior to resetting offsets for sink connector {name}"
                )
            };
            let committed = in_time(&failed, cluster.group_offsets(&group)).await?;
            committed.into_keys().map(|partition| (partition, None)).collect()
        }
    };
    let Open::Sink { alter_offsets, .. } = plugin.open() else {
        unreachable!("a sink was asked for")
    };
    let asked = alter_offsets(config.clone(), offsets.clone());
    let control = consent(worker, (name, "sink"), asked).await?;
    if let Some((partition, offset)) = offsets.iter().find(|(_, o)| o.is_some_and(|o| o < 0)) {
        let message = format!("Failed to modify offsets for sink connector {name}");
        let cause = Error::fatal("Invalid negative offset").context("partition", partition);
        return Err(Error::fatal(message).with_source(cause.context("offset", offset.unwrap_or(0))));
    }
    if is_reset {
        let failed = || format!("Failed to reset consumer group offsets for sink connector {name}");
        match in_time(&failed, cluster.delete_group(&group)).await {
            Err(e) if cause_kind(&e) == Some(ErrorKind::NotFound) => {}
            deleted => deleted.map_err(|e| busy(e, name, "reset"))?,
        }
    } else {
        let failed = || format!("Failed to alter consumer group offsets for connector {name}");
        let altered = in_time(&failed, cluster.alter_group_offsets(&group, &offsets)).await;
        altered.map_err(|e| busy(e, name, "alter"))?;
    }
    Ok(control)
}

/// Does something of the cluster or the store that may take a while.
async fn in_time<T>(
    failed: &impl Fn() -> String,
    doing: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(PATIENCE, doing).await {
        Ok(done) => done.map_err(|e| Error::fatal(failed()).with_source(e)),
        Err(_) => {
            let cause = Error::fatal(format!("no answer within {} s", PATIENCE.as_secs()));
            Err(Error::fatal(failed()).with_source(cause))
        }
    }
}

fn cause_kind(error: &Error) -> Option<ErrorKind> {
    std::error::Error::source(error)?.downcast_ref::<Error>().map(Error::kind)
}

/// A group that still has members is said so in Java's words.
fn busy(error: Error, name: &str, change: &'static str) -> Error {
    if cause_kind(&error) != Some(ErrorKind::Conflict) {
        return error;
    }
    let message = format!(
        "Failed to {change} consumer group offsets for connector {name} either because its tasks \
         haven't stopped completely yet or the connector was resumed before the request to \
         {change} its offsets could be successfully completed. If the connector is in a stopped \
         state, this operation can be safely retried. If it doesn't eventually succeed, the \
         Connect cluster may need to be restarted to get rid of the zombie sink tasks."
    );
    Error::fatal(message).with_source(error)
}

/// Asks the connector what it says to a change. A panic or a hang is its refusal.
async fn consent(
    worker: &Worker,
    (name, kind): (&str, &str),
    asked: impl Future<Output = Result<OffsetControl>> + Send + 'static,
) -> Result<OffsetControl> {
    let failed = || format!("Failed to modify offsets for {kind} connector {name}");
    // Dropped, so is the call: a client or a deletion need not wait for it.
    let asked = contain(async {
        let _call = during("alterOffsets", "");
        asked.await
    });
    let asking = worker.plugins.spawn(Whose::Asked(name.into()), asked);
    let answer = match timeout(PATIENCE, asking).await {
        Err(_) => {
            return Err(Error::fatal(format!(
                "Timed out while calling the 'alterOffsets' method for {kind} connector {name}"
            )));
        }
        Ok(answer) => answer.flatten(),
    };
    match answer {
        Ok(OffsetControl::Refused) => Err(Error::fatal(format!(
            "Failed to modify offsets for connector {name} because it doesn't support external \
             modification of offsets"
        ))),
        // What the connector refuses is its own to say; that it cannot is a failure.
        Err(e) if matches!(e.kind(), ErrorKind::Fatal | ErrorKind::Data) => Err(e),
        Err(e) => Err(Error::fatal(failed()).with_source(e)),
        answer => answer,
    }
}

/// The group of a sink's consumers.
fn group(worker: &Worker, name: &str, config: &Props) -> Result<String> {
    let id = TaskId { connector: name.into(), task: 0 };
    let mut consumer = clients::consumer(&worker.config, config, &id)?;
    Ok(consumer.remove("group.id").expect("the consumer of a sink has a group"))
}

/// What a client wants of a source: of one partition the last wish counts, as in a map.
fn distinct(wanted: Vec<ConnectorOffset>) -> Result<Vec<AlteredOffset>> {
    let mut offsets = BTreeMap::new();
    for ConnectorOffset { partition, offset } in wanted {
        for map in [&partition, &offset].into_iter().flatten() {
            require_primitives(map)?;
        }
        let key = partition.as_ref().map(ConnectorOffsets::canonical);
        offsets.insert(key, (partition, offset));
    }
    Ok(offsets.into_values().collect())
}

/// Offsets and partitions hold nothing but primitive values (`OffsetUtils.validateFormat`).
fn require_primitives(map: &Map<String, Json>) -> Result<()> {
    for (key, value) in map {
        let what = match value {
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "MAP",
            Json::Number(n) if n.is_u64() && !n.is_i64() => "class java.math.BigInteger",
            _ => continue,
        };
        return Err(Error::data(format!(
            "Offsets may only contain primitive types as values, but field {key} contains {what}"
        )));
    }
    Ok(())
}

/// What a client wants of a sink (`SinkUtils.parseSinkConnectorOffsets`).
fn sink_offsets(wanted: Vec<ConnectorOffset>) -> Result<BTreeMap<TopicPartition, Option<i64>>> {
    let mut offsets = BTreeMap::new();
    for ConnectorOffset { partition, offset } in wanted {
        let partition = sink_partition(partition)?;
        let offset = offset.map(|offset| {
            let Some(value) = offset.get(OFFSET) else {
                return Err(Error::config(format!(
                    "The offset for a sink connector should either be null or contain the key \
                     '{OFFSET}'"
                )));
            };
            text(value).parse::<i64>().map_err(|_| not_an_integer("offset", "Offset", value))
        });
        offsets.insert(partition, offset.transpose()?);
    }
    Ok(offsets)
}

fn sink_partition(partition: Option<Map<String, Json>>) -> Result<TopicPartition> {
    let refused = |message: String| Err(Error::config(message));
    let Some(partition) = partition else {
        return refused(
            "The partition for a sink connector offset cannot be null or missing".into(),
        );
    };
    let (Some(topic), Some(number)) = (partition.get(TOPIC), partition.get(PARTITION)) else {
        return refused(format!(
            "The partition for a sink connector offset must contain the keys '{TOPIC}' and \
             '{PARTITION}'"
        ));
    };
    if topic.is_null() {
        return refused("Kafka topic names must be valid strings and may not be null".into());
    }
    if number.is_null() {
        return refused("Kafka partitions must be valid numbers and may not be null".into());
    }
    let parsed = text(number).parse().map_err(|_| not_an_integer("partition", "Partition", number));
    Ok(TopicPartition::new(text(topic), parsed?))
}

fn not_an_integer(what: &str, capital: &str, value: &Json) -> Error {
    Error::config(format!(
        "Failed to parse the following Kafka {what} value in the provided offsets: '{}'. {capital} \
         values for sink connectors need to be integers.",
        text(value)
    ))
}

/// A value as Java's `String.valueOf` prints what its JSON parser makes of it.
fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(n) if n.is_f64() => format!("{:?}", n.as_f64().unwrap_or_default()),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        Json::Object(members) => {
            let member = |(key, value): (&String, &Json)| format!("{key}={}", text(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn offset(partition: Json, offset: Json) -> Vec<ConnectorOffset> {
        let map = |json: Json| json.as_object().cloned();
        vec![ConnectorOffset { partition: map(partition), offset: map(offset) }]
    }

    /// Recorded from Java.
    #[test]
    fn sink_offsets_are_refused_in_javas_words() {
        let t0 = || json!({"kafka_topic": "t", "kafka_partition": 0});
        let with = |partition: Json| json!({"kafka_topic": "t", "kafka_partition": partition});
        let at = |offset: Json| json!({ "kafka_offset": offset });
        for (partition, to, said) in [
            (Json::Null, at(json!(1)), "offset cannot be null or missing"),
            (json!({}), json!({}), "must contain the keys 'kafka_topic' and 'kafka_partition'"),
            (json!({"kafka_topic": null, "kafka_partition": 0}), json!({}), "topic names must be"),
            (with(Json::Null), json!({}), "Kafka partitions must be valid numbers"),
            (
                with(json!("a")),
                json!({}),
                "partition value in the provided offsets: 'a'. Partition",
            ),
            (with(json!(1.5)), json!({}), "'1.5'"),
            (t0(), json!({}), "should either be null or contain the key 'kafka_offset'"),
            (t0(), at(Json::Null), "offset value in the provided offsets: 'null'. Offset values"),
            (t0(), at(json!(1.0)), "'1.0'"),
            (t0(), at(json!([1, "a"])), "'[1, a]'"),
            (t0(), at(json!({"a": 1, "b": "c"})), "'{a=1, b=c}'"),
        ] {
            let error = sink_offsets(offset(partition, to)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn sink_offsets_are_numbers_or_texts_and_the_last_counts() {
        let partition = |n: Json| json!({"kafka_topic": 5, "kafka_partition": n, "other": 1});
        let mut wanted = offset(partition(json!(0)), json!({"kafka_offset": 1}));
        wanted.extend(offset(partition(json!("+0")), json!({"kafka_offset": "+2"})));
        wanted.extend(offset(partition(json!(1)), Json::Null));
        let expected =
            [(TopicPartition::new("5", 0), Some(2)), (TopicPartition::new("5", 1), None)];
        assert_eq!(sink_offsets(wanted).unwrap(), BTreeMap::from(expected));
    }

    /// Recorded from Java.
    #[test]
    fn source_offsets_are_maps_of_primitives_and_the_last_counts() {
        for (value, said) in [
            (json!({"a": 1}), "but field position contains MAP"),
            (json!([1]), "but field position contains ARRAY"),
            (json!(u64::MAX), "but field position contains class java.math.BigInteger"),
        ] {
            let error = distinct(offset(json!({"f": "x"}), json!({"position": value})));
            assert!(error.unwrap_err().to_string().contains(said));
        }
        let mut wanted = offset(json!({"a": 1, "b": null}), json!({"position": 1}));
        wanted.extend(offset(json!({"b": null, "a": 1}), json!({"position": 2})));
        let kept = distinct(wanted).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].1, json!({"position": 2}).as_object().cloned());
    }
}
