//! Decides how a group's committed offsets are read and changed from outside the group.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetDeleteRequest, OffsetFetchResponse, TopicName};
use millrace_api::{Error, Result, TopicPartition};

use super::super::client::{CallError, Client, CoordinatorOf, check};
use super::super::error::{Permission, Resource};
use super::super::group::{CommittedOffset, Identity, commit_request, fetch_request};
use super::groups::check_name;
use super::{Answers, Question, by_topic, coordinator, missing_partition, text};

/// A partition's own error, which ends a call.
type Refused = (TopicPartition, CallError);

/// What a group has committed of these partitions, or of all when they are none. Partitions
/// without a commit are absent.
pub(in super::super) async fn committed(
    client: &Client,
    group: &str,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, i64>> {
    check_name(group)?;
    if partitions.is_some_and(<[_]>::is_empty) {
        return Ok(BTreeMap::new());
    }
    let nobody = Identity::outsider(None);
    let needed = [Permission::new("Describe", Resource::Group(group))];
    let question = Question::new(client, "committed offsets cannot be read", &needed);
    let listed = question.ask(|| async {
        let connection = coordinator(client, CoordinatorOf::Group, group).await?;
        let build = |version| fetch_request(group, &nobody, partitions, false, version);
        let answer = connection.call(build).await?;
        connection.throttle(answer.throttle_time_ms);
        let mut offsets = BTreeMap::new();
        for (partition, offset) in read_offsets(answer)? {
            match offset {
                Ok(offset) if offset >= 0 => {
                    offsets.insert(partition, offset);
                }
                Ok(_) => {}
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => return Ok(Err((partition, error))),
            }
        }
        Ok(Ok(offsets))
    });
    let what = "the partition's committed offset cannot be read";
    let listed = listed.await.map_err(|e| e.context("group.id", group))?;
    listed.map_err(|refused| partition_error(what, "Describe", refused).context("group.id", group))
}

/// The offsets of an answer of any version, unless it is an error as a whole.
fn read_offsets(answer: OffsetFetchResponse) -> Result<Answers<i64>, CallError> {
    let whole = match answer.groups.first() {
        Some(group) => group.error_code,
        None => answer.error_code,
    };
    match check(whole, None) {
        // Nobody knows it, so it has committed nothing.
        Err(e) if e.code() == Some(ResponseError::GroupIdNotFound) => return Ok(Vec::new()),
        other => other?,
    }
    let mut offsets = Vec::new();
    let mut push = |topic: &str, number, offset, code| {
        offsets.push((TopicPartition::new(topic, number), check(code, None).map(|()| offset)));
    };
    for topic in &answer.topics {
        for p in &topic.partitions {
            push(&topic.name, p.partition_index, p.committed_offset, p.error_code);
        }
    }
    for topic in answer.groups.iter().flat_map(|group| &group.topics) {
        for p in &topic.partitions {
            push(&topic.name, p.partition_index, p.committed_offset, p.error_code);
        }
    }
    Ok(offsets)
}

/// Sets offsets, then deletes those that are none.
pub(in super::super) async fn alter_offsets(
    client: &Client,
    group: &str,
    changes: &BTreeMap<TopicPartition, Option<i64>>,
) -> Result<()> {
    check_name(group)?;
    let at = |offset| CommittedOffset { offset, leader_epoch: -1 };
    let set: BTreeMap<_, _> =
        changes.iter().filter_map(|(tp, offset)| Some((tp.clone(), at((*offset)?)))).collect();
    let deleted: Vec<_> = changes
        .iter()
        .filter(|(_, offset)| offset.is_none())
        .map(|(tp, _)| (tp.clone(), ()))
        .collect();
    if !set.is_empty() {
        set_offsets(client, group, &set).await.map_err(|e| e.context("group.id", group))?;
    }
    if !deleted.is_empty() {
        delete_offsets(client, group, &deleted).await.map_err(|e| e.context("group.id", group))?;
    }
    Ok(())
}

async fn set_offsets(
    client: &Client,
    group: &str,
    set: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<()> {
    const WHAT: &str = "committed offsets cannot be altered";
    // No member and no generation: the group has to be empty.
    let nobody = Identity::outsider(None);
    let needed = [Permission::new("Read", Resource::Group(group))];
    // A rebalance ends, with members or without.
    let question =
        Question::new(client, WHAT, &needed).also_after(ResponseError::RebalanceInProgress);
    let altered = question.ask(|| async {
        let connection = coordinator(client, CoordinatorOf::Group, group).await?;
        let build = |version| commit_request(group, &nobody, set, version);
        let answer = connection.call(build).await?;
        connection.throttle(answer.throttle_time_ms);
        first_refused(answer.topics.iter().flat_map(|topic| {
            let name = &topic.name;
            topic.partitions.iter().map(move |p| (name.as_str(), p.partition_index, p.error_code))
        }))
    });
    altered.await?.map_err(|refused| partition_error(WHAT, "Read", refused))
}

async fn delete_offsets(
    client: &Client,
    group: &str,
    deleted: &[(TopicPartition, ())],
) -> Result<()> {
    const WHAT: &str = "committed offsets cannot be deleted";
    let needed = [Permission::new("Delete", Resource::Group(group))];
    let done = Question::new(client, WHAT, &needed).ask(|| async {
        let topics = by_topic(deleted.iter().cloned()).into_iter().map(|(topic, partitions)| {
            let partitions = partitions.into_iter().map(|(partition, ())| {
                OffsetDeleteRequestPartition::default().with_partition_index(partition)
            });
            OffsetDeleteRequestTopic::default()
                .with_name(TopicName(text(&topic)))
                .with_partitions(partitions.collect())
        });
        let request = OffsetDeleteRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(topics.collect());
        let connection = coordinator(client, CoordinatorOf::Group, group).await?;
        let answer = connection.call(|_| request).await?;
        connection.throttle(answer.throttle_time_ms);
        check(answer.error_code, None)?;
        first_refused(answer.topics.iter().flat_map(|topic| {
            let name = &topic.name;
            topic.partitions.iter().map(move |p| (name.as_str(), p.partition_index, p.error_code))
        }))
    });
    done.await?.map_err(|refused| partition_error(WHAT, "Read", refused))
}

/// The first partition whose offset could not be changed. The outer error is one that may pass:
/// of these only those of the coordinator, as partitions do not come into being by waiting.
fn first_refused<'a>(
    partitions: impl Iterator<Item = (&'a str, i32, i16)>,
) -> Result<Result<(), Refused>, CallError> {
    for (topic, partition, code) in partitions {
        let Err(error) = check(code, None) else {
            continue;
        };
        let rebalancing = error.code() == Some(ResponseError::RebalanceInProgress);
        let is_missing = error.code() == Some(ResponseError::UnknownTopicOrPartition);
        if !is_missing && (error.is_passing() || rebalancing) {
            return Err(error);
        }
        return Ok(Err((TopicPartition::new(topic, partition), error)));
    }
    Ok(Ok(()))
}

fn partition_error(what: &str, operation: &'static str, (of, error): Refused) -> Error {
    let needed = [Permission::new(operation, Resource::Topic(&of.topic))];
    let error = match error.code() {
        Some(ResponseError::UnknownTopicOrPartition) => missing_partition(what),
        _ => error.doing_with(what, &needed),
    };
    error.context("partition", &of)
}
