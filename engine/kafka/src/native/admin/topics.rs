//! Decides how topics are looked up, created and deleted.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, TopicName,
};
use millrace_api::Result;

use super::super::client::{CallError, Client, check};
use super::super::error::{Failure, FailureKind, Permission, Resource};
use super::super::metadata::Metadata;
use super::configs::exists;
use super::{Question, broker_timeout, controller, missing_topic, text};
use crate::NewTopic;

/// How many partitions each of these topics has, or all topics. Missing topics are left out.
pub(in super::super) async fn describe_topics(
    client: &Client,
    topics: Option<&[&str]>,
) -> Result<BTreeMap<String, i32>> {
    if topics.is_some_and(<[_]>::is_empty) {
        return Ok(BTreeMap::new());
    }
    let question = Question::new(client, "topics cannot be described", &[]);
    let described = question.ask(|| async { counts(&client.look_up(topics).await?, topics) });
    described.await?.map_err(|(topic, error)| {
        let needed = [Permission::new("Describe", Resource::Topic(&topic))];
        error.doing_with("the topic cannot be described", &needed).context("topic", &topic)
    })
}

type Counts = Result<BTreeMap<String, i32>, (String, CallError)>;

/// The outer error is one that may pass, the inner one is not.
fn counts(metadata: &Metadata, topics: Option<&[&str]>) -> Result<Counts, CallError> {
    let mut counts = BTreeMap::new();
    for (name, topic) in &metadata.topics {
        match topic.error {
            None => {
                let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                counts.insert(name.to_string(), count);
            }
            // Of all topics, those that can be described are described.
            Some(_) if topics.is_none() => {}
            Some(ResponseError::UnknownTopicOrPartition) => {}
            Some(code) => {
                let error = CallError::Refused(code, None);
                return if error.is_passing() {
                    Err(error)
                } else {
                    Ok(Err((name.to_string(), error)))
                };
            }
        }
    }
    Ok(Ok(counts))
}

/// Creates a topic and waits until the controller has placed it.
///
/// When the connection breaks at the wrong moment, the second try finds the topic of the first,
/// and the answer is that it exists.
pub(in super::super) async fn create_topic(client: &Client, topic: &NewTopic) -> Result<()> {
    let needed = [Permission::new("Create", Resource::Topic(&topic.name))];
    let question = Question::new(client, "the topic cannot be created", &needed);
    let created = question.ask(|| async {
        let connection = controller(client).await?;
        let version = connection.version_of::<CreateTopicsRequest>()?;
        if version < 4 && (topic.partitions.is_none() || topic.replication_factor.is_none()) {
            let old = "before Kafka 2.4 there is no default for partitions and replicas of a new \
                       topic: give both";
            return Err(Failure::new(FailureKind::Unsupported, old)
                .of_broker(connection.broker())
                .into());
        }
        let answer = connection.call(|_| creation(topic, broker_timeout(client))).await?;
        connection.throttle(answer.throttle_time_ms);
        answer.topics.iter().try_for_each(|t| check(t.error_code, t.error_message.as_ref()))
    });
    created.await.map_err(|e| e.context("topic", &topic.name))
}

fn creation(topic: &NewTopic, timeout_ms: i32) -> CreateTopicsRequest {
    let configs = topic.configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(&topic.name)))
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        .with_replication_factor(topic.replication_factor.unwrap_or(-1))
        .with_configs(configs.collect());
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms)
}

/// Deletes a topic and waits until the controller has.
pub(in super::super) async fn delete_topic(client: &Client, topic: &str) -> Result<()> {
    const WHAT: &str = "the topic cannot be deleted";
    let needed = [Permission::new("Delete", Resource::Topic(topic))];
    let existed = Question::new(client, WHAT, &needed).ask(|| async {
        let connection = controller(client).await?;
        let answer = connection
            .call(|version| {
                let request =
                    DeleteTopicsRequest::default().with_timeout_ms(broker_timeout(client));
                let name = TopicName(text(topic));
                match version {
                    ..6 => request.with_topic_names(vec![name]),
                    _ => {
                        request.with_topics(vec![DeleteTopicState::default().with_name(Some(name))])
                    }
                }
            })
            .await?;
        connection.throttle(answer.throttle_time_ms);
        for answer in &answer.responses {
            if !exists(check(answer.error_code, answer.error_message.as_ref()))? {
                return Ok(false);
            }
        }
        Ok(true)
    });
    match existed.await.map_err(|e| e.context("topic", topic))? {
        true => Ok(()),
        false => Err(missing_topic(WHAT).context("topic", topic)),
    }
}

/// Sets how many partitions a topic has.
pub(in super::super) async fn create_partitions(
    client: &Client,
    topic: &str,
    total: i32,
) -> Result<()> {
    const WHAT: &str = "partitions cannot be created";
    let needed = [Permission::new("Alter", Resource::Topic(topic))];
    let created = Question::new(client, WHAT, &needed).ask(|| async {
        let wanted = CreatePartitionsTopic::default()
            .with_name(TopicName(text(topic)))
            .with_count(total)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(broker_timeout(client));
        let connection = controller(client).await?;
        let answer = connection.call(|_| request).await?;
        connection.throttle(answer.throttle_time_ms);
        for result in &answer.results {
            if !exists(check(result.error_code, result.error_message.as_ref()))? {
                return Ok(false);
            }
        }
        Ok(true)
    });
    match created.await.map_err(|e| e.context("topic", topic))? {
        true => Ok(()),
        false => Err(missing_topic(WHAT).context("topic", topic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::golden::{bytes, java};

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        let topic = NewTopic {
            name: "t".to_owned(),
            partitions: Some(3),
            replication_factor: Some(2),
            configs: [("cleanup.policy".to_owned(), "compact".to_owned())].into(),
        };
        for version in 2..=7 {
            let name = format!("create-topics-{version}");
            assert_eq!(bytes(&creation(&topic, 9_000), version), java(&name), "{name}");
        }
    }
}
