//! Decides how a member's requests look in each version that a coordinator may speak.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{Assignments, MembershipSettings, Offer};
use crate::native::group::{Identity, text};

/// The broker's log needs no more of a reason.
const LONGEST_REASON: usize = 255;

fn reason(reason: &str) -> StrBytes {
    text(&reason[..reason.floor_char_boundary(LONGEST_REASON)])
}

fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

pub(super) fn join(
    settings: &MembershipSettings,
    who: &Identity,
    offer: &Offer,
    version: i16,
) -> JoinGroupRequest {
    let protocols = offer.protocols.iter().map(|(name, metadata)| {
        let protocol = JoinGroupRequestProtocol::default().with_name(text(name));
        protocol.with_metadata(metadata.clone())
    });
    let mut request = JoinGroupRequest::default()
        .with_group_id(GroupId(text(&settings.group)))
        .with_session_timeout_ms(millis(settings.session_timeout))
        .with_member_id(text(&who.member_id))
        .with_protocol_type(text(&settings.protocol_type))
        .with_protocols(protocols.collect());
    if version >= 1 {
        request = request.with_rebalance_timeout_ms(millis(settings.rebalance_timeout));
    }
    if version >= 5 {
        request = request.with_group_instance_id(who.instance.as_deref().map(text));
    }
    if version >= 8 {
        request = request.with_reason(Some(reason(&offer.reason)));
    }
    request
}

pub(super) fn sync(
    settings: &MembershipSettings,
    who: &Identity,
    protocol: &str,
    assignments: &Assignments,
    version: i16,
) -> SyncGroupRequest {
    let assignments = assignments.iter().map(|(member, assignment)| {
        let of_member = SyncGroupRequestAssignment::default().with_member_id(text(member));
        of_member.with_assignment(assignment.clone())
    });
    let mut request = SyncGroupRequest::default()
        .with_group_id(GroupId(text(&settings.group)))
        .with_generation_id(who.generation)
        .with_member_id(text(&who.member_id))
        .with_assignments(assignments.collect());
    if version >= 3 {
        request = request.with_group_instance_id(who.instance.as_deref().map(text));
    }
    if version >= 5 {
        request = request
            .with_protocol_type(Some(text(&settings.protocol_type)))
            .with_protocol_name(Some(text(protocol)));
    }
    request
}

pub(super) fn heartbeat(group: &str, who: &Identity, version: i16) -> HeartbeatRequest {
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id(who.generation)
        .with_member_id(text(&who.member_id));
    match version {
        3.. => request.with_group_instance_id(who.instance.as_deref().map(text)),
        _ => request,
    }
}

pub(super) fn leave(group: &str, who: &Identity, why: &str, version: i16) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(GroupId(text(group)));
    if version < 3 {
        return request.with_member_id(text(&who.member_id));
    }
    let member = MemberIdentity::default()
        .with_member_id(text(&who.member_id))
        .with_group_instance_id(who.instance.as_deref().map(text));
    let member = match version {
        5.. => member.with_reason(Some(reason(why))),
        _ => member,
    };
    request.with_members(vec![member])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::native::golden::{bytes, java};

    fn settings() -> MembershipSettings {
        MembershipSettings {
            group: "g".to_owned(),
            protocol_type: "consumer".to_owned(),
            instance: None,
            session_timeout: Duration::from_secs(6),
            rebalance_timeout: Duration::from_secs(9),
            heartbeat_interval: Duration::from_secs(1),
        }
    }

    fn me(generation: i32) -> Identity {
        Identity::member("m".into(), Some("i".into()), generation)
    }

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        let words = Bytes::from_static(&[1, 2]);
        let offer =
            Offer { protocols: vec![("range".into(), words.clone())], reason: "why".to_owned() };
        for version in 2..=9 {
            let request = join(&settings(), &me(-1), &offer, version);
            assert_eq!(bytes(&request, version), java(&format!("join-{version}")));
        }
        let assignments = Assignments::from([("m".into(), words)]);
        for version in 0..=5 {
            let request = sync(&settings(), &me(3), "range", &assignments, version);
            assert_eq!(bytes(&request, version), java(&format!("sync-{version}")));
            let request = leave("g", &me(3), "why", version);
            assert_eq!(bytes(&request, version), java(&format!("leave-{version}")));
        }
        for version in 0..=4 {
            let request = heartbeat("g", &me(3), version);
            assert_eq!(bytes(&request, version), java(&format!("heartbeat-{version}")));
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(reason(&"ä".repeat(200)).len(), 254);
    }
}
