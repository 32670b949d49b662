//! Decides what groups on the network may commit, and what they are told they have committed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Buf;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use millrace_api::TopicPartition;
use tokio::time::Instant;

use super::api::Call;
use super::error::Refused;
use super::topics::name_of;
use crate::embedded::Shared;
use crate::embedded::coordinator::{Description, Identity};
use crate::embedded::offsets::{Committed, MAX_METADATA};
use crate::guard;
use crate::lock::lock;

/// A partition, and the code that a request got for it.
type Codes = Vec<(i32, i16)>;

pub(super) fn commit(call: &Call<'_>, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let shared = &call.client.shared;
    let from = Identity {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
    };
    let mut commits = Vec::new();
    let mut topics: Vec<(TopicName, Codes)> = Vec::new();
    for topic in request.topics {
        let codes = topic.partitions.into_iter().map(|partition| {
            let index = partition.partition_index;
            let code = match checked(shared, &topic.name, partition) {
                Ok(commit) => {
                    commits.push(commit);
                    0
                }
                Err(error) => error.code(),
            };
            (index, code)
        });
        let codes = codes.collect();
        topics.push((topic.name, codes));
    }
    let result = write(shared, &request.group_id, &from, commits);
    let topics = topics.into_iter().map(|(name, codes)| {
        let partitions = codes.into_iter().map(|(index, code)| {
            let failed = result.as_ref().err().map_or(code, |error| error.code());
            OffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(failed)
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// A commit for a partition that there is.
pub(super) fn checked(
    shared: &Shared,
    topic: &str,
    partition: OffsetCommitRequestPartition,
) -> Result<(TopicPartition, Option<Committed>), ResponseError> {
    let tp = TopicPartition::new(topic, partition.partition_index);
    if shared.log(&tp).is_err() {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let metadata = partition.committed_metadata.unwrap_or_default();
    if metadata.len() > MAX_METADATA {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let committed = Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_string(),
    };
    Ok((tp, Some(committed)))
}

fn write(
    shared: &Shared,
    group: &StrBytes,
    from: &Identity,
    commits: Vec<(TopicPartition, Option<Committed>)>,
) -> Result<(), ResponseError> {
    if group.is_empty() && from.generation >= 0 {
        return Err(ResponseError::InvalidGroupId);
    }
    // Held over the commit: nobody may get a partition between check and commit.
    let groups = lock(&shared.groups);
    if !groups.members(group).is_empty() {
        return Err(ResponseError::UnknownMemberId);
    }
    let mut coordinator = lock(&shared.coordinator);
    coordinator.check_commit(group, from, false, Instant::now())?;
    shared.offsets.write(group, commits).map_err(|error| Refused::from(error).code)
}

/// What is asked of a group: none is everything.
type Wanted = Option<Vec<(TopicName, Vec<i32>)>>;

/// A topic's partitions, with what was committed, or why that cannot be told.
type Found = Vec<(TopicName, Vec<(i32, Result<Option<Committed>, ResponseError>)>)>;

pub(super) fn fetch(call: &Call<'_>, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if call.version >= 8 {
        let groups = request.groups.into_iter().map(|group| {
            let wanted: Wanted = group
                .topics
                .map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let found = found(&call.client.shared, &group.group_id, wanted, stable);
            let topics = found.into_iter().map(|(name, partitions)| {
                OffsetFetchResponseTopics::default()
                    .with_name(name)
                    .with_partitions(partitions.into_iter().map(told_of_group).collect())
            });
            let topics = topics.collect();
            OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_topics(topics)
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let wanted: Wanted = request
        .topics
        .map(|topics| topics.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    let found = found(&call.client.shared, &request.group_id, wanted, stable);
    let topics = found.into_iter().map(|(name, partitions)| {
        OffsetFetchResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(|p| told(call.version, p)).collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn told_of_group(
    (index, committed): (i32, Result<Option<Committed>, ResponseError>),
) -> OffsetFetchResponsePartitions {
    let answer = OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_metadata(Some(StrBytes::new()));
    match committed {
        Err(error) => answer.with_error_code(error.code()),
        Ok(None) => answer,
        Ok(Some(committed)) => answer
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(committed.leader_epoch)
            .with_metadata(Some(StrBytes::from_string(committed.metadata))),
    }
}

fn told(
    version: i16,
    partition: (i32, Result<Option<Committed>, ResponseError>),
) -> OffsetFetchResponsePartition {
    let told = told_of_group(partition);
    let answer = OffsetFetchResponsePartition::default()
        .with_partition_index(told.partition_index)
        .with_committed_offset(told.committed_offset)
        .with_metadata(told.metadata)
        .with_error_code(told.error_code);
    match version {
        ..5 => answer,
        _ => answer.with_committed_leader_epoch(told.committed_leader_epoch),
    }
}

fn found(shared: &Shared, group: &str, wanted: Wanted, stable: bool) -> Found {
    let mut committed = shared.offsets.of_group(group).unwrap_or_default();
    let unstable = match stable {
        true => shared.pending_offsets(group),
        false => BTreeSet::new(),
    };
    let wanted = wanted.unwrap_or_else(|| {
        let mut topics: BTreeMap<_, Vec<i32>> = BTreeMap::new();
        for tp in committed.keys().chain(&unstable) {
            let partitions = topics.entry(tp.topic.clone()).or_default();
            if !partitions.contains(&tp.partition) {
                partitions.push(tp.partition);
            }
        }
        topics.into_iter().map(|(topic, partitions)| (name_of(&topic), partitions)).collect()
    });
    let of_topic = |(name, indexes): (TopicName, Vec<i32>)| {
        let partitions = indexes.into_iter().map(|index| {
            let tp = TopicPartition::new(name.as_str(), index);
            match unstable.contains(&tp) {
                // A transaction will say (KIP-447).
                true => (index, Err(ResponseError::UnstableOffsetCommit)),
                false => (index, Ok(committed.remove(&tp))),
            }
        });
        let partitions = partitions.collect();
        (name, partitions)
    };
    wanted.into_iter().map(of_topic).collect()
}

pub(super) fn delete(call: &Call<'_>, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let shared = &call.client.shared;
    let group = request.group_id.as_str();
    // Before `groups` is locked, which comes after `topics`.
    let named = request.topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        indexes.map(|index| TopicPartition::new(topic.name.as_str(), index))
    });
    let missing: BTreeSet<_> = named.filter(|tp| shared.log(tp).is_err()).collect();
    let groups = lock(&shared.groups);
    let described = lock(&shared.coordinator).describe(group, Instant::now());
    let subscribed = match subscribed(described.as_ref()) {
        Some(subscribed) if groups.members(group).is_empty() => subscribed,
        _ => {
            let code = ResponseError::NonEmptyGroup.code();
            return OffsetDeleteResponse::default().with_error_code(code);
        }
    };
    let Some(committed) = shared.offsets.of_group(group) else {
        let code = ResponseError::GroupIdNotFound.code();
        return OffsetDeleteResponse::default().with_error_code(code);
    };
    let mut changes = Vec::new();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let tp = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            let code = match subscribed.contains(&topic.name) {
                true => ResponseError::GroupSubscribedToTopic.code(),
                false if missing.contains(&tp) => ResponseError::UnknownTopicOrPartition.code(),
                false => 0,
            };
            if code == 0 && committed.contains_key(&tp) {
                changes.push((tp, None));
            }
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let answer = OffsetDeleteResponse::default().with_topics(topics.collect());
    match shared.offsets.write(group, changes) {
        Ok(()) => answer,
        Err(error) => answer.with_error_code(Refused::from(error).code.code()),
    }
}

/// The topics that a group's members have subscribed to; none where members do not tell.
fn subscribed(group: Option<&Description>) -> Option<BTreeSet<TopicName>> {
    let Some(group) = group.filter(|group| !group.members.is_empty()) else {
        return Some(BTreeSet::new());
    };
    if &*group.protocol_type != "consumer" {
        return None;
    }
    let mut topics = BTreeSet::new();
    for member in &group.members {
        let mut metadata = member.metadata.clone();
        let version = metadata.try_get_i16().ok()?.clamp(0, 3);
        let subscription: ConsumerProtocolSubscription =
            guard::decode(&mut metadata, version).ok()?;
        topics.extend(subscription.topics.into_iter().map(TopicName));
    }
    Some(topics)
}
