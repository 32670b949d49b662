//! Decides how the leaders of partitions are asked for offsets, and told to delete records.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, TopicName,
};
use millrace_api::{Error, Result, TopicPartition};

use super::super::client::{CallError, Client, check};
use super::super::error::{Failure, FailureKind, Permission, Resource};
use super::super::net::Connection;
use super::{Answers, Question, ask_leaders, broker_timeout, by_topic, text};
use crate::{Isolation, OffsetSpec};

/// From which version of the request on the latest time can be asked for (KIP-734).
const KNOWS_MAX_TIMESTAMP: i16 = 7;

/// The offset of a record of each partition. Partitions without such a record are left out.
pub(in super::super) async fn list_offsets(
    client: &Client,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>> {
    let timestamp = match spec {
        OffsetSpec::Latest => -1,
        OffsetSpec::Earliest => -2,
        OffsetSpec::MaxTimestamp => -3,
        OffsetSpec::Timestamp(time) if time < 0 => {
            return Err(
                Error::config("a time before the epoch has no offset").context("timestamp", time)
            );
        }
        OffsetSpec::Timestamp(time) => time,
    };
    let needed = permissions("Describe", partitions);
    let question = Question::new(client, "offsets cannot be listed", &needed);
    let asked = partitions.iter().map(|partition| (partition.clone(), timestamp)).collect();
    let send = |connection: Arc<Connection>, asked| async move {
        let version = connection.version_of::<ListOffsetsRequest>()?;
        if spec == OffsetSpec::MaxTimestamp && version < KNOWS_MAX_TIMESTAMP {
            let old = "before Kafka 3.0 brokers do not know which record has the latest time";
            let failure = Failure::new(FailureKind::Unsupported, old);
            return Err(failure.of_broker(connection.broker()).into());
        }
        let timeout = broker_timeout(client);
        let answer = connection.call(|version| listing(version, asked, isolation, timeout)).await?;
        connection.throttle(answer.throttle_time_ms);
        Ok(listed(&answer))
    };
    let mut offsets = ask_leaders(question, asked, send).await?;
    offsets.retain(|_, offset| *offset >= 0);
    Ok(offsets)
}

fn permissions<'a>(
    operation: &'static str,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Vec<Permission<'a>> {
    let topics = partitions.into_iter().map(|partition| Resource::Topic(&partition.topic));
    topics.map(|topic| Permission::new(operation, topic)).collect()
}

fn listing(
    version: i16,
    asked: Vec<(TopicPartition, i64)>,
    isolation: Isolation,
    timeout_ms: i32,
) -> ListOffsetsRequest {
    let topics = by_topic(asked).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, timestamp)| {
            ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_timestamp(timestamp)
        });
        ListOffsetsTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(partitions.collect())
    });
    let mut request =
        ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(topics.collect());
    if version >= 2 && isolation == Isolation::Committed {
        request.isolation_level = 1;
    }
    if version >= 10 {
        request.timeout_ms = timeout_ms;
    }
    request
}

fn listed(answer: &ListOffsetsResponse) -> Answers<i64> {
    let mut answers = Vec::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let of = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            let offset: Result<_, CallError> =
                check(partition.error_code, None).map(|()| partition.offset);
            answers.push((of, offset));
        }
    }
    answers
}

/// Deletes the records before these offsets.
pub(in super::super) async fn delete_records(
    client: &Client,
    before: &BTreeMap<TopicPartition, i64>,
) -> Result<()> {
    let needed = permissions("Delete", before.keys());
    let question = Question::new(client, "records cannot be deleted", &needed);
    let send = |connection: Arc<Connection>, asked: Vec<(TopicPartition, i64)>| async move {
        let topics = by_topic(asked).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, offset)| {
                DeleteRecordsPartition::default()
                    .with_partition_index(partition)
                    .with_offset(offset)
            });
            DeleteRecordsTopic::default()
                .with_name(TopicName(text(&topic)))
                .with_partitions(partitions.collect())
        });
        let request = DeleteRecordsRequest::default()
            .with_topics(topics.collect())
            .with_timeout_ms(broker_timeout(client));
        let answer = connection.call(|_| request).await?;
        connection.throttle(answer.throttle_time_ms);
        Ok(deleted(&answer))
    };
    ask_leaders(question, before.clone(), send).await.map(drop)
}

fn deleted(answer: &DeleteRecordsResponse) -> Answers<()> {
    let mut answers = Vec::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let of = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            answers.push((of, check(partition.error_code, None)));
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::golden::{bytes, java};

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        for version in 1..=10 {
            let asked = vec![(TopicPartition::new("t", 1), -2)];
            let request = listing(version, asked, Isolation::Committed, 9_000);
            let name = format!("list-offsets-{version}");
            assert_eq!(bytes(&request, version), java(&name), "{name}");
        }
    }
}
