//! Decides how groups are looked at and deleted from outside.

use bytes::{Buf, Bytes};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as NewGroup;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DeleteGroupsRequest,
    DescribeGroupsRequest, GroupId,
};
use millrace_api::{Error, ErrorKind, Result, TopicPartition};

use super::super::client::{CallError, Client, CoordinatorOf, check};
use super::super::error::{Permission, Resource};
use super::super::net::Connection;
use super::{Question, coordinator, text};
use crate::guard;
use crate::{GroupDescription, GroupMember};

/// The protocol type of groups of consumers.
const CONSUMER: &str = "consumer";

/// A group's state and members, whichever protocol they speak.
pub(in super::super) async fn describe_group(
    client: &Client,
    group: &str,
) -> Result<GroupDescription> {
    const WHAT: &str = "the group cannot be described";
    check_name(group)?;
    let needed = [Permission::new("Describe", Resource::Group(group))];
    let described = Question::new(client, WHAT, &needed).ask(|| async {
        let connection = coordinator(client, CoordinatorOf::Group, group).await?;
        if let Some(found) = describe_new(&connection, group).await? {
            return Ok(Some(found));
        }
        describe_classic(&connection, group).await
    });
    let described = described.await.map_err(|e| e.context("group.id", group))?;
    described.ok_or_else(|| {
        let missing = format!("{WHAT}: there is no such group");
        Error::new(ErrorKind::NotFound, missing).context("group.id", group)
    })
}

/// A group of the protocol that Kafka 4 has brought (KIP-848), unless it is none.
async fn describe_new(
    connection: &Connection,
    group: &str,
) -> Result<Option<GroupDescription>, CallError> {
    if !connection.versions().has::<ConsumerGroupDescribeRequest>() {
        return Ok(None);
    }
    let request =
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(group))]);
    let answer = connection.call(|_| request).await?;
    connection.throttle(answer.throttle_time_ms);
    let Some(described) = answer.groups.first() else {
        return Ok(None);
    };
    match check(described.error_code, described.error_message.as_ref()) {
        Ok(()) => Ok(Some(of_new(described))),
        Err(error) => match error.code() {
            // It may be of the older protocol, or the newer one be switched off.
            Some(ResponseError::GroupIdNotFound | ResponseError::UnsupportedVersion) => Ok(None),
            _ => Err(error),
        },
    }
}

fn of_new(described: &NewGroup) -> GroupDescription {
    let members = described.members.iter().map(|member| GroupMember {
        id: member.member_id.to_string(),
        instance: member.instance_id.as_ref().map(ToString::to_string),
        client: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: member
            .assignment
            .topic_partitions
            .iter()
            .flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|number| TopicPartition::new(topic.topic_name.as_str(), *number))
            })
            .collect(),
    });
    GroupDescription {
        state: described.group_state.to_string(),
        protocol_type: CONSUMER.to_owned(),
        members: members.collect(),
    }
}

async fn describe_classic(
    connection: &Connection,
    group: &str,
) -> Result<Option<GroupDescription>, CallError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
    let answer = connection.call(|_| request).await?;
    connection.throttle(answer.throttle_time_ms);
    let Some(described) = answer.groups.first() else {
        return Ok(None);
    };
    match check(described.error_code, described.error_message.as_ref()) {
        Err(error) if error.code() == Some(ResponseError::GroupIdNotFound) => Ok(None),
        // What coordinators before Kafka 4 say of a group that they do not know.
        Ok(()) if described.group_state.as_str() == "Dead" => Ok(None),
        other => other.map(|()| Some(of_classic(described))),
    }
}

fn of_classic(described: &DescribedGroup) -> GroupDescription {
    let is_consumer = described.protocol_type.as_str() == CONSUMER;
    let member = |member: &DescribedGroupMember| GroupMember {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.as_ref().map(ToString::to_string),
        client: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: match is_consumer {
            true => assigned(member.member_assignment.clone()).unwrap_or_default(),
            false => Vec::new(),
        },
    };
    GroupDescription {
        state: described.group_state.to_string(),
        protocol_type: described.protocol_type.to_string(),
        members: described.members.iter().map(member).collect(),
    }
}

/// What a leader gave a member, as consumers write it; newer versions only add to it.
fn assigned(mut bytes: Bytes) -> Option<Vec<TopicPartition>> {
    const NEWEST: i16 = 3;
    if bytes.len() < 2 {
        return None;
    }
    let version = bytes.get_i16().min(NEWEST);
    let assignment: ConsumerProtocolAssignment = guard::decode(&mut bytes, version).ok()?;
    let mut all = Vec::new();
    for topic in &assignment.assigned_partitions {
        let name = topic.topic.as_str();
        all.extend(topic.partitions.iter().map(|number| TopicPartition::new(name, *number)));
    }
    Some(all)
}

/// Deletes a group and all it has committed.
pub(in super::super) async fn delete_group(client: &Client, group: &str) -> Result<()> {
    check_name(group)?;
    let needed = [Permission::new("Delete", Resource::Group(group))];
    let deleted = Question::new(client, "the group cannot be deleted", &needed).ask(|| async {
        let connection = coordinator(client, CoordinatorOf::Group, group).await?;
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        let answer = connection.call(|_| request).await?;
        connection.throttle(answer.throttle_time_ms);
        answer.results.iter().try_for_each(|result| check(result.error_code, None))
    });
    deleted.await.map_err(|e| e.context("group.id", group))
}

pub(super) fn check_name(group: &str) -> Result<()> {
    if group.is_empty() {
        return Err(Error::config("Invalid value  for configuration group.id: it is empty"));
    }
    Ok(())
}
