//! Coordinates groups whose members come over the network: decides which groups there are, and who
//! may do what in them (`GroupCoordinator` in Kafka, for the classic protocol of any type).
//!
//! Everything here is a synchronous function of its inputs; time is one of them. What is answered
//! later, a join or a sync, comes with the sender of its answer. The groups of consumers in this
//! process are another matter (`embedded::group`): a group is of one kind or the other.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

mod group;

#[cfg(test)]
mod tests;

use group::Group;
pub(super) use group::{DescribedMember, Description, State};

/// Empty groups are remembered for their generation; beyond so many they are forgotten.
const MOST_EMPTY: usize = 10_000;

/// What a broker lets groups do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupSettings {
    /// `group.min.session.timeout.ms`
    pub(super) min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`
    pub(super) max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`
    pub(super) initial_rebalance_delay: Duration,
    /// `group.max.size`
    pub(super) max_size: usize,
}

/// A request to join.
#[derive(Clone, Debug, Default)]
pub(super) struct Join {
    /// Empty for who was not in the group before.
    pub(super) member_id: StrBytes,
    /// `group.instance.id` (KIP-345).
    pub(super) instance_id: Option<StrBytes>,
    pub(super) client_id: StrBytes,
    pub(super) client_host: StrBytes,
    pub(super) protocol_type: StrBytes,
    /// In the order of preference.
    pub(super) protocols: Vec<(StrBytes, Bytes)>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// The client joins again with the id it is given (KIP-394).
    pub(super) knows_id_required: bool,
    /// The client knows a leader that does not assign (KIP-814).
    pub(super) knows_skipping: bool,
}

/// The answer to [`Join`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Joined {
    pub(super) error: Option<ResponseError>,
    pub(super) member_id: StrBytes,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol: Option<StrBytes>,
    pub(super) leader: StrBytes,
    pub(super) skip_assignment: bool,
    /// All members, for the leader.
    pub(super) members: Vec<JoinedMember>,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JoinedMember {
    pub(super) member_id: StrBytes,
    pub(super) instance_id: Option<StrBytes>,
    pub(super) metadata: Bytes,
}

impl Joined {
    fn refused(member_id: StrBytes, error: ResponseError) -> Self {
        Self { error: Some(error), member_id, generation: -1, ..Self::default() }
    }
}

/// Who says something, and what generation of the group it believes to be in.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) member_id: StrBytes,
    pub(super) instance_id: Option<StrBytes>,
    pub(super) generation: i32,
}

/// A request for an assignment; the leader brings everybody's.
#[derive(Clone, Debug, Default)]
pub(super) struct Sync {
    pub(super) from: Identity,
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol: Option<StrBytes>,
    pub(super) assignments: Vec<(StrBytes, Bytes)>,
}

/// The answer to [`Sync`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Synced {
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol: Option<StrBytes>,
    pub(super) assignment: Bytes,
}

pub(super) type JoinReply = oneshot::Sender<Joined>;
pub(super) type SyncReply = oneshot::Sender<Result<Synced, ResponseError>>;

/// Answers; a client that went away hears nothing.
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(reply.send(answer));
}

/// All groups.
#[derive(Debug)]
pub(super) struct Coordinator {
    settings: GroupSettings,
    groups: BTreeMap<StrBytes, Group>,
}

impl Coordinator {
    pub(super) fn new(settings: GroupSettings) -> Self {
        Self { settings, groups: BTreeMap::new() }
    }

    /// Answers when the group has its next generation, or at once.
    pub(super) fn join(&mut self, group: &StrBytes, join: Join, reply: JoinReply, now: Instant) {
        let settings = &self.settings;
        let timeouts = settings.min_session_timeout..=settings.max_session_timeout;
        let error = if group.is_empty() {
            ResponseError::InvalidGroupId
        } else if !timeouts.contains(&join.session_timeout) {
            ResponseError::InvalidSessionTimeout
        } else if !join.member_id.is_empty() && !self.groups.contains_key(group) {
            ResponseError::UnknownMemberId
        } else {
            self.forget_empty();
            let found = self.groups.entry(group.clone()).or_default();
            found.tick(now);
            return found.join(join, reply, now, &self.settings);
        };
        answer(reply, Joined::refused(join.member_id, error));
    }

    /// Answers when the leader has brought the assignments, or at once.
    pub(super) fn sync(&mut self, group: &StrBytes, sync: Sync, reply: SyncReply, now: Instant) {
        match self.group(group, now) {
            Ok(found) => found.sync(sync, reply, now),
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// A sign of life.
    pub(super) fn heartbeat(
        &mut self,
        group: &StrBytes,
        from: &Identity,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.group(group, now)?.heartbeat(from, now)
    }

    /// Takes a member out; one that has an instance id may be named by that alone.
    pub(super) fn leave(
        &mut self,
        group: &StrBytes,
        from: &Identity,
        now: Instant,
    ) -> Result<(), ResponseError> {
        self.group(group, now)?.leave(from, now)
    }

    /// Whether offsets may be committed: by a member of this generation, or by anybody while the
    /// group has no members. `is_transactional`: a producer may say nothing of itself.
    pub(super) fn check_commit(
        &mut self,
        group: &StrBytes,
        from: &Identity,
        is_transactional: bool,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let is_anonymous = from.generation < 0;
        let Some(found) = self.groups.get_mut(group) else {
            return match is_anonymous {
                true => Ok(()),
                false => Err(ResponseError::IllegalGeneration),
            };
        };
        found.tick(now);
        if is_anonymous && (is_transactional && from.member_id.is_empty() || found.is_empty()) {
            return Ok(());
        }
        found.check_commit(from, now)
    }

    /// Whether the group has members.
    pub(super) fn has_members(&mut self, group: &str, now: Instant) -> bool {
        let Some(found) = self.groups.get_mut(group.as_bytes()) else {
            return false;
        };
        found.tick(now);
        !found.is_empty()
    }

    /// Forgets a group without members.
    pub(super) fn forget(&mut self, group: &str) {
        if self.groups.get(group.as_bytes()).is_some_and(Group::is_empty) {
            self.groups.remove(group.as_bytes());
        }
    }

    /// What a group is like; none of which nobody has heard.
    pub(super) fn describe(&mut self, group: &str, now: Instant) -> Option<Description> {
        let found = self.groups.get_mut(group.as_bytes())?;
        found.tick(now);
        Some(found.describe())
    }

    /// The names of all groups.
    pub(super) fn names(&self) -> impl Iterator<Item = &StrBytes> {
        self.groups.keys()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        for group in self.groups.values_mut() {
            group.tick(now);
        }
    }

    /// When something will be due, if nothing happens before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.groups.values().filter_map(Group::next_deadline).min()
    }

    fn group(&mut self, group: &StrBytes, now: Instant) -> Result<&mut Group, ResponseError> {
        if group.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        let found = self.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        found.tick(now);
        Ok(found)
    }

    fn forget_empty(&mut self) {
        if self.groups.len() >= MOST_EMPTY {
            self.groups.retain(|_, group| !group.is_idle());
        }
    }
}
