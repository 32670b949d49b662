//! Decides how members of groups on the network talk to their coordinator, and what tools see of
//! groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use millrace_api::{ErrorKind, TopicPartition};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::api::Call;
use super::error::Refused;
use super::topics::name_of;
use crate::embedded::Shared;
use crate::embedded::coordinator::{Description, Identity, Join, Joined, State, Sync, Synced};
use crate::lock::lock;

/// Consumers' protocol type, and the state of their groups as tools call it.
const CONSUMER: &str = "consumer";
/// The only kind of group here, as tools call it since KIP-848.
const CLASSIC: &str = "Classic";

fn milliseconds(timeout: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout).unwrap_or(0))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) async fn join(call: &Call<'_>, request: JoinGroupRequest) -> JoinGroupResponse {
    let session_timeout = milliseconds(request.session_timeout_ms);
    let join = Join {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: call.client_id.clone(),
        client_host: text(&format!("/{}", call.client.host_of_peer())),
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|p| (p.name, p.metadata)).collect(),
        session_timeout,
        rebalance_timeout: match request.rebalance_timeout_ms {
            // Version 0 has one time-out for both.
            ..0 => session_timeout,
            timeout => milliseconds(timeout),
        },
        knows_id_required: call.version >= 4,
        knows_skipping: call.version >= 9,
    };
    let member_id = join.member_id.clone();
    let joined = match enter(&call.client.shared, &request.group_id, join) {
        Ok(answer) => answer.await.unwrap_or_else(|_| Joined {
            // The same member has asked again elsewhere.
            error: Some(ResponseError::RebalanceInProgress),
            member_id,
            generation: -1,
            ..Joined::default()
        }),
        Err(error) => Joined { error: Some(error), member_id, generation: -1, ..Joined::default() },
    };
    told(call.version, joined)
}

fn enter(
    shared: &Shared,
    group: &GroupId,
    join: Join,
) -> Result<oneshot::Receiver<Joined>, ResponseError> {
    let (reply, answer) = oneshot::channel();
    let groups = lock(&shared.groups);
    if !groups.members(group).is_empty() {
        tracing::warn!(
            group.id = &***group,
            "a group that has consumers in the cluster's own process takes no members from the \
             network: choose another group.id"
        );
        return Err(ResponseError::InconsistentGroupProtocol);
    }
    lock(&shared.coordinator).join(group, join, reply, Instant::now());
    shared.clock.changed();
    Ok(answer)
}

fn told(version: i16, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        let answer = JoinGroupResponseMember::default()
            .with_member_id(member.member_id)
            .with_metadata(member.metadata);
        match version {
            ..5 => answer,
            _ => answer.with_group_instance_id(member.instance_id),
        }
    });
    // Null only where the protocol has it.
    let protocol = match version {
        ..7 => Some(joined.protocol.unwrap_or_default()),
        _ => joined.protocol,
    };
    let answer = JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(0, |error| error.code()))
        .with_generation_id(joined.generation)
        .with_protocol_name(protocol)
        .with_leader(joined.leader)
        .with_member_id(joined.member_id)
        .with_members(members.collect());
    match version {
        ..7 => answer,
        7..9 => answer.with_protocol_type(joined.protocol_type),
        _ => answer
            .with_protocol_type(joined.protocol_type)
            .with_skip_assignment(joined.skip_assignment),
    }
}

pub(super) async fn sync(call: &Call<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = Sync {
        from: Identity {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request.assignments.into_iter().map(|a| (a.member_id, a.assignment)).collect(),
    };
    let (reply, answer) = oneshot::channel();
    let shared = &call.client.shared;
    lock(&shared.coordinator).sync(&request.group_id, sync, reply, Instant::now());
    shared.clock.changed();
    let synced = answer.await.unwrap_or(Err(ResponseError::RebalanceInProgress));
    match synced {
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
        Ok(Synced { protocol_type, protocol, assignment }) => {
            let answer = SyncGroupResponse::default().with_assignment(assignment);
            match call.version {
                ..5 => answer,
                _ => answer.with_protocol_type(protocol_type).with_protocol_name(protocol),
            }
        }
    }
}

pub(super) fn heartbeat(call: &Call<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let from = Identity {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let shared = &call.client.shared;
    let result = lock(&shared.coordinator).heartbeat(&request.group_id, &from, Instant::now());
    let code = result.err().map_or(0, |error| error.code());
    HeartbeatResponse::default().with_error_code(code)
}

pub(super) fn leave(call: &Call<'_>, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let shared = &call.client.shared;
    let leave = |member: &MemberIdentity| {
        let from = Identity {
            member_id: member.member_id.clone(),
            instance_id: member.group_instance_id.clone(),
            generation: -1,
        };
        let left = lock(&shared.coordinator).leave(&request.group_id, &from, Instant::now());
        shared.clock.changed();
        left.err().map_or(0, |error| error.code())
    };
    if call.version < 3 {
        let member = MemberIdentity::default().with_member_id(request.member_id.clone());
        return LeaveGroupResponse::default().with_error_code(leave(&member));
    }
    let members = request.members.iter().map(|member| {
        MemberResponse::default()
            .with_error_code(leave(member))
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
    });
    LeaveGroupResponse::default().with_members(members.collect())
}

pub(super) fn list(call: &Call<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    let shared = &call.client.shared;
    let mut names: BTreeMap<String, ()> = BTreeMap::new();
    names.extend(lock(&shared.groups).names().map(|name| (name.to_string(), ())));
    names.extend(lock(&shared.coordinator).names().map(|name| (name.to_string(), ())));
    names.extend(shared.offsets.groups().into_iter().map(|name| (name, ())));
    let is_wanted = |wanted: &[StrBytes], is: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    let groups = names.into_keys().filter_map(|name| {
        let described = describe_one(shared, &name)?;
        let state = described.state.name();
        if !is_wanted(&request.states_filter, state) || !is_wanted(&request.types_filter, CLASSIC) {
            return None;
        }
        let group = ListedGroup::default()
            .with_group_id(GroupId(text(&name)))
            .with_protocol_type(described.protocol_type);
        Some(match call.version {
            ..4 => group,
            4 => group.with_group_state(text(state)),
            _ => group.with_group_state(text(state)).with_group_type(text(CLASSIC)),
        })
    });
    ListGroupsResponse::default().with_groups(groups.collect())
}

/// A group of either kind, or one that has only committed offsets.
fn describe_one(shared: &Shared, name: &str) -> Option<Description> {
    let members = lock(&shared.groups).members(name);
    if !members.is_empty() {
        return Some(local(&members));
    }
    if let Some(described) = lock(&shared.coordinator).describe(name, Instant::now()) {
        return Some(described);
    }
    shared.offsets.of_group(name).map(|_| Description::empty(StrBytes::new()))
}

/// A group of consumers in this process, as if they had come over the network.
fn local(members: &[(u64, Vec<TopicPartition>)]) -> Description {
    let described =
        members.iter().map(|(id, owned)| crate::embedded::coordinator::DescribedMember {
            member_id: text(&format!("embedded-{id}")),
            instance_id: None,
            client_id: text("embedded"),
            client_host: text("/127.0.0.1"),
            metadata: Bytes::new(),
            assignment: assignment(owned),
        });
    Description {
        state: State::Stable,
        protocol_type: text(CONSUMER),
        protocol: text("range"),
        members: described.collect(),
    }
}

/// As the consumers' protocol writes it.
fn assignment(owned: &[TopicPartition]) -> Bytes {
    const VERSION: i16 = 0;
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for tp in owned {
        topics.entry(&tp.topic).or_default().push(tp.partition);
    }
    let assigned = topics.into_iter().map(|(topic, partitions)| {
        Assigned::default().with_topic(name_of(topic)).with_partitions(partitions)
    });
    let assignment =
        ConsumerProtocolAssignment::default().with_assigned_partitions(assigned.collect());
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    match assignment.encode(&mut bytes, VERSION) {
        Ok(()) => bytes.freeze(),
        Err(_) => Bytes::new(),
    }
}

pub(super) fn describe(call: &Call<'_>, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|id| {
        let Some(described) = describe_one(&call.client.shared, &id) else {
            let answer = DescribedGroup::default().with_group_state(text("Dead"));
            let answer = match call.version {
                ..6 => answer,
                _ => answer
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(text(&format!("Group {} not found.", &**id)))),
            };
            return answer.with_group_id(id);
        };
        let members = described.members.into_iter().map(|member| {
            let answer = DescribedGroupMember::default()
                .with_member_id(member.member_id)
                .with_client_id(member.client_id)
                .with_client_host(member.client_host)
                .with_member_metadata(member.metadata)
                .with_member_assignment(member.assignment);
            match call.version {
                ..4 => answer,
                _ => answer.with_group_instance_id(member.instance_id),
            }
        });
        DescribedGroup::default()
            .with_group_id(id)
            .with_group_state(text(described.state.name()))
            .with_protocol_type(described.protocol_type)
            .with_protocol_data(described.protocol)
            .with_members(members.collect())
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(call: &Call<'_>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|id| {
        let code = delete_one(&call.client.shared, &id).err().map_or(0, |error| error.code());
        DeletableGroupResult::default().with_group_id(id).with_error_code(code)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn delete_one(shared: &Shared, group: &str) -> Result<(), ResponseError> {
    let groups = lock(&shared.groups);
    let mut coordinator = lock(&shared.coordinator);
    if !groups.members(group).is_empty() || coordinator.has_members(group, Instant::now()) {
        return Err(ResponseError::NonEmptyGroup);
    }
    let is_known = coordinator.describe(group, Instant::now()).is_some();
    match shared.offsets.delete(group) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && is_known => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ResponseError::GroupIdNotFound);
        }
        Err(error) => return Err(Refused::from(error).code),
    }
    coordinator.forget(group);
    Ok(())
}
