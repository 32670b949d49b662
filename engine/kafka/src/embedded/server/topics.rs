//! Decides how clients create, change and delete topics, and find them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use millrace_api::{ErrorKind, TopicPartition};

use super::api::Call;
use super::error::{Refused, code};
use super::{NODE_ID, configs};
use crate::NewTopic;
use crate::embedded::topic_id::TopicId;
use crate::embedded::{Shared, Topic, check_name};
use crate::lock::lock;

/// A name as messages have it.
pub(super) fn name_of(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// The topic with this id.
pub(super) fn by_id(shared: &Shared, id: TopicId) -> Option<(Arc<str>, Arc<Topic>)> {
    let topics = lock(&shared.topics);
    let found = topics.iter().find(|(_, topic)| topic.id == id);
    found.map(|(name, topic)| (name.clone(), topic.clone()))
}

pub(super) fn create(call: &Call<'_>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut names = BTreeSet::new();
    let twice: BTreeSet<_> = request
        .topics
        .iter()
        .map(|t| t.name.clone())
        .filter(|n| !names.insert(n.clone()))
        .collect();
    let results = request.topics.into_iter().map(|topic| {
        let result = match twice.contains(&topic.name) {
            true => Err(Refused::new(ResponseError::InvalidRequest, "the topic is named twice")),
            false => create_one(&call.client.shared, &topic, request.validate_only),
        };
        let answer =
            CreatableTopicResult::default().with_error_code(code(&result)).with_name(topic.name);
        match result {
            Err(refused) => answer.with_error_message(refused.message()),
            Ok(created) => created.tell(call.version, answer),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

/// What came of a request to create a topic.
struct Created {
    id: TopicId,
    partitions: i32,
    configs: BTreeMap<String, String>,
}

impl Created {
    fn tell(self, version: i16, answer: CreatableTopicResult) -> CreatableTopicResult {
        if version < 5 {
            return answer;
        }
        let configs = configs::of_topic(&self.configs).map(|config| {
            CreatableTopicConfigs::default()
                .with_name(config.name)
                .with_value(config.value)
                .with_config_source(config.source as i8)
        });
        let answer = answer
            .with_num_partitions(self.partitions)
            .with_replication_factor(1)
            .with_configs(Some(configs.collect()));
        match version {
            ..7 => answer,
            _ => answer.with_topic_id(self.id.0),
        }
    }
}

fn create_one(
    shared: &Shared,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<Created, Refused> {
    check_name(&topic.name)
        .map_err(|e| Refused::new(ResponseError::InvalidTopicException, e.to_string()))?;
    let new = NewTopic {
        name: topic.name.to_string(),
        partitions: partitions(topic)?,
        replication_factor: None,
        configs: topic
            .configs
            .iter()
            .filter_map(|config| {
                Some((config.name.to_string(), config.value.as_ref()?.to_string()))
            })
            .collect(),
    };
    configs::check(&new.configs, &shared.settings)?;
    if shared.topic(&new.name).is_ok() {
        return Err(exists(&new.name));
    }
    let partitions = new.partitions.unwrap_or(shared.settings.partitions);
    if validate_only {
        let id = TopicId(uuid::Uuid::nil());
        return Ok(Created { id, partitions, configs: new.configs });
    }
    shared.create(&new).map_err(|error| match error.kind() {
        ErrorKind::Conflict => exists(&new.name),
        ErrorKind::Config => Refused::new(ResponseError::InvalidPartitions, error.to_string()),
        _ => error.into(),
    })?;
    let id = shared.topic(&new.name).map_or(TopicId(uuid::Uuid::nil()), |topic| topic.id);
    Ok(Created { id, partitions, configs: new.configs })
}

fn exists(name: &str) -> Refused {
    let message = format!("Topic '{name}' already exists.");
    Refused::new(ResponseError::TopicAlreadyExists, message)
}

/// How many partitions are asked for, none where the default is; every one has one replica, here.
fn partitions(topic: &CreatableTopic) -> Result<Option<i32>, Refused> {
    if !topic.assignments.is_empty() {
        let count = topic.assignments.len() as i32;
        let is_here =
            |ids: &[kafka_protocol::messages::BrokerId]| matches!(ids, [id] if id.0 == NODE_ID);
        let mut numbers: Vec<_> = topic.assignments.iter().map(|a| a.partition_index).collect();
        numbers.sort_unstable();
        let is_legal = topic.assignments.iter().all(|a| is_here(&a.broker_ids))
            && numbers.into_iter().eq(0..count);
        return match is_legal {
            true => Ok(Some(count)),
            false => Err(Refused::new(
                ResponseError::InvalidReplicaAssignment,
                "partitions are numbered from 0, and each is on broker 1 alone",
            )),
        };
    }
    if !matches!(topic.replication_factor, -1 | 1) {
        let message = format!(
            "Unable to replicate the partition {} time(s): the embedded cluster has one broker, \
             so the replication factor is 1",
            topic.replication_factor
        );
        return Err(Refused::new(ResponseError::InvalidReplicationFactor, message));
    }
    match topic.num_partitions {
        -1 => Ok(None),
        1.. => Ok(Some(topic.num_partitions)),
        _ => Err(Refused::new(
            ResponseError::InvalidPartitions,
            "the number of partitions is above 0, or -1 for the default",
        )),
    }
}

pub(super) fn delete(call: &Call<'_>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let shared = &call.client.shared;
    let by_name = |name: TopicName| {
        let result = shared.delete(&name).map_err(Refused::from);
        let answer = DeletableTopicResult::default().with_error_code(code(&result));
        let answer = answer.with_name(Some(name));
        match result {
            Err(refused) if call.version >= 5 => answer.with_error_message(refused.message()),
            _ => answer,
        }
    };
    let names = request.topic_names.into_iter().map(by_name);
    let mut responses: Vec<_> = names.collect();
    for topic in request.topics {
        let id = TopicId(topic.topic_id);
        responses.push(match topic.name {
            Some(name) => by_name(name),
            None => match by_id(shared, id) {
                Some((name, _)) => by_name(name_of(&name)).with_topic_id(id.0),
                None => DeletableTopicResult::default()
                    .with_name(None)
                    .with_topic_id(id.0)
                    .with_error_code(ResponseError::UnknownTopicId.code()),
            },
        });
    }
    DeleteTopicsResponse::default().with_responses(responses)
}

pub(super) fn create_partitions(
    call: &Call<'_>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let grow = |topic: &CreatePartitionsTopic| {
        let grown = call.client.shared.grow(&topic.name, topic.count, request.validate_only);
        grown.map_err(|error| match error.kind() {
            ErrorKind::Config => Refused::new(ResponseError::InvalidPartitions, error.to_string()),
            _ => error.into(),
        })
    };
    let results = request.topics.into_iter().map(|topic| {
        let result = grow(&topic);
        let answer = CreatePartitionsTopicResult::default()
            .with_error_code(code(&result))
            .with_name(topic.name);
        match result {
            Err(refused) => answer.with_error_message(refused.message()),
            Ok(()) => answer,
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

pub(super) fn delete_records(
    call: &Call<'_>,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let result = delete_before(&call.client.shared, &topic.name, &partition);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&result))
                .with_low_watermark(result.unwrap_or(-1))
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_partitions(partitions).with_name(topic.name)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete_before(
    shared: &Shared,
    topic: &str,
    partition: &DeleteRecordsPartition,
) -> Result<i64, Refused> {
    const END: i64 = -1;
    let log = shared.log(&TopicPartition::new(topic, partition.partition_index))?;
    if log.settings().is_compacted {
        return Err(ResponseError::PolicyViolation.into());
    }
    let end = log.bounds().end;
    match partition.offset {
        END => Ok(log.delete_before(end)?),
        offset if (0..=end).contains(&offset) => Ok(log.delete_before(offset)?),
        _ => Err(ResponseError::OffsetOutOfRange.into()),
    }
}

/// None: there is one broker.
pub(super) fn reassignments(
    _: &Call<'_>,
    _: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
