//! Decides how the leaders of partitions are asked where their logs begin and end.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};
use millrace_api::{Result, TopicPartition};

use super::super::client::{CallError, Client, check};
use super::super::error::{Permission, Resource};
use super::{Answers, Question, ask_leaders, broker_timeout, by_topic, text};

/// The timestamp that stands for the end of a log.
const LATEST: i64 = -1;

/// The offset after the last record of each partition, open transactions included.
pub(in super::super) async fn list_offsets(
    client: &Client,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, i64>> {
    let needed: Vec<_> = partitions
        .iter()
        .map(|partition| Permission::new("Describe", Resource::Topic(&partition.topic)))
        .collect();
    let question = Question::new(client, "offsets cannot be listed", &needed);
    let asked = partitions.iter().map(|partition| (partition.clone(), LATEST)).collect();
    ask_leaders(question, asked, |connection, asked| async move {
        let answer = connection.call(|version| {
            let timeout = broker_timeout(client);
            let request = request(asked);
            if version >= 10 { request.with_timeout_ms(timeout) } else { request }
        });
        let answer = answer.await?;
        connection.throttle(answer.throttle_time_ms);
        Ok(read(&answer))
    })
    .await
}

fn request(asked: Vec<(TopicPartition, i64)>) -> ListOffsetsRequest {
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
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(topics.collect())
}

fn read(answer: &ListOffsetsResponse) -> Answers<i64> {
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
