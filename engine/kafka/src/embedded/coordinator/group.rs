//! Decides how one group goes from generation to generation: who is in it, who leads it, and who
//! is put out.
//!
//! A rebalance waits until every member has joined again, or until the longest of their time-outs
//! is over. The leader then assigns; who has not asked for its assignment by the same time is put
//! out as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::{
    GroupSettings, Identity, Join, JoinReply, Joined, JoinedMember, Sync, SyncReply, Synced, answer,
};
use crate::embedded::topic_id::TopicId;

/// A new member that waits for its first generation sends no heartbeats; its client may be gone.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(300);

/// What a group is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) enum State {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// Kafka's word for it.
    pub(in crate::embedded) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A group, as tools see it.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct Description {
    pub(in crate::embedded) state: State,
    pub(in crate::embedded) protocol_type: StrBytes,
    pub(in crate::embedded) protocol: StrBytes,
    pub(in crate::embedded) members: Vec<DescribedMember>,
}

impl Description {
    /// Of a group without members.
    pub(in crate::embedded) fn empty(protocol_type: StrBytes) -> Self {
        let protocol = StrBytes::new();
        Self { state: State::Empty, protocol_type, protocol, members: Vec::new() }
    }
}

/// A member, as tools see it.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct DescribedMember {
    pub(in crate::embedded) member_id: StrBytes,
    pub(in crate::embedded) instance_id: Option<StrBytes>,
    pub(in crate::embedded) client_id: StrBytes,
    pub(in crate::embedded) client_host: StrBytes,
    pub(in crate::embedded) metadata: Bytes,
    pub(in crate::embedded) assignment: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    state: State,
    generation: i32,
    protocol_type: StrBytes,
    protocol: Option<StrBytes>,
    leader: Option<StrBytes>,
    /// In the order in which they came.
    members: Vec<Member>,
    /// Ids that were given out and not used yet, and until when they may be.
    pending: BTreeMap<StrBytes, Instant>,
    rebalance: Option<Rebalance>,
    /// Who has not asked for its assignment, and until when it may.
    unsynced: BTreeSet<StrBytes>,
    sync_deadline: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    id: StrBytes,
    join: Join,
    assignment: Bytes,
    joining: Option<JoinReply>,
    syncing: Option<SyncReply>,
    last_seen: Instant,
    /// It has not been in a generation yet.
    is_new: bool,
}

/// A request to join, and who waits for its answer.
struct Asking {
    join: Join,
    reply: JoinReply,
}

/// A rebalance that waits for members.
#[derive(Debug)]
struct Rebalance {
    deadline: Instant,
    initial: Option<Initial>,
}

/// The first members are seldom alone: the group waits for others while they come
/// (`group.initial.rebalance.delay.ms`).
#[derive(Debug)]
struct Initial {
    delay: Duration,
    left: Duration,
    has_new_members: bool,
}

impl Member {
    fn expiry(&self) -> Option<Instant> {
        if self.joining.is_some() {
            return self.is_new.then(|| self.last_seen + NEW_MEMBER_TIMEOUT);
        }
        // Who waits for an answer is alive.
        self.syncing.is_none().then(|| self.last_seen + self.join.session_timeout)
    }

    fn metadata(&self, protocol: Option<&StrBytes>) -> Bytes {
        let found = self.join.protocols.iter().find(|(name, _)| Some(name) == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    fn supports(&self, protocol: &StrBytes) -> bool {
        self.join.protocols.iter().any(|(name, _)| name == protocol)
    }

    fn fail(&mut self, error: ResponseError) {
        if let Some(reply) = self.joining.take() {
            answer(reply, Joined::refused(self.id.clone(), error));
        }
        if let Some(reply) = self.syncing.take() {
            answer(reply, Err(error));
        }
    }
}

impl Group {
    /// Whether it has no members.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether it has no members, nor anybody who is about to become one.
    pub(super) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    pub(super) fn join(
        &mut self,
        join: Join,
        reply: JoinReply,
        now: Instant,
        settings: &GroupSettings,
    ) {
        let is_known = self.position(&join.member_id).is_some();
        let size = self.members.len() + self.pending.len();
        let is_pending = self.pending.contains_key(&join.member_id);
        if !self.shares_a_protocol(&join) {
            let refused = Joined::refused(join.member_id, ResponseError::InconsistentGroupProtocol);
            return answer(reply, refused);
        }
        if !is_known && !is_pending && size >= settings.max_size {
            let refused = Joined::refused(join.member_id, ResponseError::GroupMaxSizeReached);
            return answer(reply, refused);
        }
        let asking = Asking { join, reply };
        match asking.join.member_id.is_empty() {
            true => self.join_first(asking, now, settings),
            false => self.join_again(asking, now, settings),
        }
    }

    /// Whether all members can speak something that this one can.
    fn shares_a_protocol(&self, join: &Join) -> bool {
        if self.members.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let is_common =
            |(name, _): &(StrBytes, Bytes)| self.members.iter().all(|m| m.supports(name));
        self.protocol_type == join.protocol_type && join.protocols.iter().any(is_common)
    }

    fn join_first(&mut self, asking: Asking, now: Instant, settings: &GroupSettings) {
        let join = &asking.join;
        let prefix = join.instance_id.as_ref().unwrap_or(&join.client_id);
        let id = StrBytes::from_string(format!("{}-{}", &**prefix, TopicId::random().0));
        let same =
            |m: &Member| join.instance_id.is_some() && m.join.instance_id == join.instance_id;
        if let Some(at) = self.members.iter().position(same) {
            return self.replace(at, id, asking, now);
        }
        if join.instance_id.is_none() && join.knows_id_required {
            self.pending.insert(id.clone(), now + join.session_timeout);
            return answer(asking.reply, Joined::refused(id, ResponseError::MemberIdRequired));
        }
        self.add(id, asking, now, settings);
    }

    fn join_again(&mut self, asking: Asking, now: Instant, settings: &GroupSettings) {
        let id = asking.join.member_id.clone();
        if self.pending.remove(&id).is_some() {
            return self.add(id, asking, now, settings);
        }
        let Asking { join, reply } = asking;
        let at = match self.find(&id, join.instance_id.as_ref()) {
            Ok(at) => at,
            Err(error) => return answer(reply, Joined::refused(id, error)),
        };
        let member = &mut self.members[at];
        let is_same = member.join.protocols == join.protocols;
        let leads = self.leader.as_ref() == Some(&id);
        let is_settled = match self.state {
            State::Stable => is_same && !leads,
            // It has not heard the answer to its last join.
            State::CompletingRebalance => is_same,
            State::PreparingRebalance | State::Empty => false,
        };
        if is_settled {
            member.last_seen = now;
            return answer(reply, self.joined(at));
        }
        member.join = join;
        member.joining = Some(reply);
        member.last_seen = now;
        self.rebalance_or_complete(now, settings.initial_rebalance_delay);
    }

    fn add(&mut self, id: StrBytes, asking: Asking, now: Instant, settings: &GroupSettings) {
        let Asking { join, reply } = asking;
        if self.members.is_empty() {
            self.protocol_type = join.protocol_type.clone();
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.push(Member {
            id,
            join,
            assignment: Bytes::new(),
            joining: Some(reply),
            syncing: None,
            last_seen: now,
            is_new: true,
        });
        let initial = self.rebalance.as_mut().and_then(|rebalance| rebalance.initial.as_mut());
        if let Some(initial) = initial {
            initial.has_new_members = true;
        }
        self.rebalance_or_complete(now, settings.initial_rebalance_delay);
    }

    /// A static member is back under a new id; the old one is fenced. As long as nothing else
    /// changes, the others need not know.
    fn replace(&mut self, at: usize, id: StrBytes, asking: Asking, now: Instant) {
        let Asking { join, reply } = asking;
        let member = &mut self.members[at];
        member.fail(ResponseError::FencedInstanceId);
        let old = std::mem::replace(&mut member.id, id.clone());
        let knows_skipping = join.knows_skipping;
        member.join = join;
        member.last_seen = now;
        if self.unsynced.remove(&old) {
            self.unsynced.insert(id.clone());
        }
        let leads = self.leader.as_ref() == Some(&old);
        if leads {
            self.leader = Some(id);
        }
        let is_settled = self.state == State::Stable && self.protocol == self.choose_protocol();
        if !is_settled {
            self.members[at].joining = Some(reply);
            return self.rebalance_or_complete(now, Duration::ZERO);
        }
        let mut joined = self.joined(at);
        if leads {
            // What was assigned stays. Older clients can only be told that another leads.
            joined.skip_assignment = knows_skipping;
            if !knows_skipping {
                joined.leader = old;
                joined.members.clear();
            }
        }
        answer(reply, joined);
    }

    pub(super) fn sync(&mut self, sync: Sync, reply: SyncReply, now: Instant) {
        let at = match self.check(&sync.from) {
            Ok(at) => at,
            Err(error) => return answer(reply, Err(error)),
        };
        let differs = |given: &Option<StrBytes>, is: Option<&StrBytes>| {
            given.is_some() && given.as_ref() != is
        };
        if differs(&sync.protocol_type, Some(&self.protocol_type))
            || differs(&sync.protocol, self.protocol.as_ref())
        {
            return answer(reply, Err(ResponseError::InconsistentGroupProtocol));
        }
        let member = &mut self.members[at];
        member.last_seen = now;
        match self.state {
            State::Empty => answer(reply, Err(ResponseError::UnknownMemberId)),
            State::PreparingRebalance => answer(reply, Err(ResponseError::RebalanceInProgress)),
            State::Stable => {
                self.unsynced.remove(&sync.from.member_id);
                answer(reply, Ok(self.synced(at)));
            }
            State::CompletingRebalance => {
                member.syncing = Some(reply);
                self.unsynced.remove(&sync.from.member_id);
                if self.leader.as_ref() == Some(&sync.from.member_id) {
                    self.assign(sync.assignments, now);
                }
            }
        }
    }

    fn assign(&mut self, assignments: Vec<(StrBytes, Bytes)>, now: Instant) {
        let mut assignments: BTreeMap<_, _> = assignments.into_iter().collect();
        for member in &mut self.members {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
        self.state = State::Stable;
        for at in 0..self.members.len() {
            if let Some(reply) = self.members[at].syncing.take() {
                self.members[at].last_seen = now;
                answer(reply, Ok(self.synced(at)));
            }
        }
    }

    pub(super) fn heartbeat(&mut self, from: &Identity, now: Instant) -> Result<(), ResponseError> {
        let at = self.check(from)?;
        self.members[at].last_seen = now;
        match self.state {
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    pub(super) fn check_commit(
        &mut self,
        from: &Identity,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let at = self.check(from)?;
        self.members[at].last_seen = now;
        match self.state {
            // What was assigned to whom is not known just now.
            State::CompletingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(super) fn leave(&mut self, from: &Identity, now: Instant) -> Result<(), ResponseError> {
        if self.pending.remove(&from.member_id).is_some() {
            self.complete_if_all_are_there(now);
            return Ok(());
        }
        let at = match &from.instance_id {
            // Tools remove static members by the name that people know.
            Some(instance) if from.member_id.is_empty() => self
                .members
                .iter()
                .position(|member| member.join.instance_id.as_ref() == Some(instance))
                .ok_or(ResponseError::UnknownMemberId)?,
            instance => self.find(&from.member_id, instance.as_ref())?,
        };
        self.remove(at, now);
        Ok(())
    }

    pub(super) fn describe(&self) -> Description {
        // Until there is a new generation, the last one's protocol says nothing.
        let is_stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| is_stable);
        let members = self.members.iter().map(|member| DescribedMember {
            member_id: member.id.clone(),
            instance_id: member.join.instance_id.clone(),
            client_id: member.join.client_id.clone(),
            client_host: member.join.client_host.clone(),
            metadata: member.metadata(protocol.as_ref()),
            assignment: if is_stable { member.assignment.clone() } else { Bytes::new() },
        });
        Description {
            state: self.state,
            protocol_type: self.protocol_type.clone(),
            members: members.collect(),
            protocol: protocol.unwrap_or_default(),
        }
    }

    /// Puts out who is late, and goes on where everybody else is there.
    pub(super) fn tick(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let pending = self.pending.len();
        self.pending.retain(|_, deadline| *deadline > now);
        if self.pending.len() < pending {
            self.complete_if_all_are_there(now);
        }
        while let Some(at) = self.members.iter().position(|member| is_due(member.expiry())) {
            self.remove(at, now);
        }
        if is_due(self.sync_deadline) {
            self.sync_deadline = None;
            for id in std::mem::take(&mut self.unsynced) {
                if let Some(at) = self.position(&id) {
                    self.remove(at, now);
                }
            }
        }
        if is_due(self.rebalance.as_ref().map(|rebalance| rebalance.deadline)) {
            self.rebalance_is_due(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let members = self.members.iter().filter_map(Member::expiry);
        let rebalance = self.rebalance.as_ref().map(|rebalance| rebalance.deadline);
        let sync = self.sync_deadline.filter(|_| !self.unsynced.is_empty());
        members.chain(self.pending.values().copied()).chain(rebalance).chain(sync).min()
    }

    fn position(&self, id: &StrBytes) -> Option<usize> {
        self.members.iter().position(|member| member.id == *id)
    }

    /// A member that says its name right.
    fn find(&self, id: &StrBytes, instance: Option<&StrBytes>) -> Result<usize, ResponseError> {
        let Some(instance) = instance else {
            return self.position(id).ok_or(ResponseError::UnknownMemberId);
        };
        let same = |member: &Member| member.join.instance_id.as_ref() == Some(instance);
        match self.members.iter().position(same) {
            None => Err(ResponseError::UnknownMemberId),
            Some(at) if self.members[at].id == *id => Ok(at),
            Some(_) => Err(ResponseError::FencedInstanceId),
        }
    }

    /// The same, and is in this generation.
    fn check(&self, from: &Identity) -> Result<usize, ResponseError> {
        let at = self.find(&from.member_id, from.instance_id.as_ref())?;
        match from.generation == self.generation {
            true => Ok(at),
            false => Err(ResponseError::IllegalGeneration),
        }
    }

    fn remove(&mut self, at: usize, now: Instant) {
        let mut member = self.members.remove(at);
        member.fail(ResponseError::UnknownMemberId);
        self.unsynced.remove(&member.id);
        if self.leader.as_ref() == Some(&member.id) {
            self.leader = self.members.first().map(|first| first.id.clone());
        }
        self.rebalance_or_complete(now, Duration::ZERO);
    }

    /// Begins a rebalance, or ends the one that waits if it waits for nobody any more.
    fn rebalance_or_complete(&mut self, now: Instant, initial_delay: Duration) {
        if self.state == State::PreparingRebalance {
            return self.complete_if_all_are_there(now);
        }
        if self.state == State::CompletingRebalance {
            for member in &mut self.members {
                member.assignment = Bytes::new();
                if let Some(reply) = member.syncing.take() {
                    answer(reply, Err(ResponseError::RebalanceInProgress));
                }
            }
        }
        self.unsynced.clear();
        self.sync_deadline = None;
        let timeout = self.rebalance_timeout();
        let waits = self.state == State::Empty && !initial_delay.is_zero();
        self.state = State::PreparingRebalance;
        self.rebalance = Some(match waits {
            false => Rebalance { deadline: now + timeout, initial: None },
            true => Rebalance {
                deadline: now + initial_delay.min(timeout),
                initial: Some(Initial {
                    delay: initial_delay,
                    left: timeout.saturating_sub(initial_delay),
                    has_new_members: false,
                }),
            },
        });
        self.complete_if_all_are_there(now);
    }

    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.iter().map(|member| member.join.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    fn complete_if_all_are_there(&mut self, now: Instant) {
        let waits = self.rebalance.as_ref().is_some_and(|rebalance| rebalance.initial.is_none());
        let all_are_there =
            self.pending.is_empty() && self.members.iter().all(|member| member.joining.is_some());
        // Whoever begins a group and leaves it at once leaves nobody to wait for.
        if (waits && all_are_there) || (self.rebalance.is_some() && self.is_idle()) {
            self.complete(now);
        }
    }

    fn rebalance_is_due(&mut self, now: Instant) {
        if let Some(rebalance) = &mut self.rebalance
            && let Some(initial) = &mut rebalance.initial
            && initial.has_new_members
            && !initial.left.is_zero()
        {
            let delay = initial.left.min(initial.delay);
            initial.left -= delay;
            initial.has_new_members = false;
            rebalance.deadline = now + delay;
            return;
        }
        self.complete(now);
    }

    /// Begins the next generation with those who have joined. Static members may be away.
    fn complete(&mut self, now: Instant) {
        self.members.retain(|member| member.joining.is_some() || member.join.instance_id.is_some());
        let leader = self.leader.clone();
        let is_there = |member: &&Member| member.joining.is_some();
        let mut there = self.members.iter().filter(is_there);
        let leader = there.find(|member| Some(&member.id) == leader.as_ref());
        let leader = leader.or_else(|| self.members.iter().find(is_there)).map(|m| m.id.clone());
        if leader.is_none() && !self.members.is_empty() {
            let deadline = now + self.rebalance_timeout();
            self.rebalance = Some(Rebalance { deadline, initial: None });
            return;
        }
        self.leader = leader;
        self.rebalance = None;
        self.generation += 1;
        self.protocol = self.choose_protocol();
        if self.members.is_empty() {
            self.state = State::Empty;
            return;
        }
        self.state = State::CompletingRebalance;
        self.unsynced = self.members.iter().map(|member| member.id.clone()).collect();
        self.sync_deadline = Some(now + self.rebalance_timeout());
        for at in 0..self.members.len() {
            let joined = self.joined(at);
            let member = &mut self.members[at];
            member.is_new = false;
            if let Some(reply) = member.joining.take() {
                member.last_seen = now;
                answer(reply, joined);
            }
        }
    }

    /// Of those that all can speak, the one that most like best.
    fn choose_protocol(&self) -> Option<StrBytes> {
        let mut votes: BTreeMap<&StrBytes, usize> = BTreeMap::new();
        for member in &self.members {
            let mut liked = member.join.protocols.iter().map(|(name, _)| name);
            let best = liked.find(|name| self.members.iter().all(|other| other.supports(name)));
            *votes.entry(best?).or_default() += 1;
        }
        // Of equals the first by name, so that it is the same every time.
        let best = votes.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        best.map(|(name, _)| (*name).clone())
    }

    fn joined(&self, at: usize) -> Joined {
        let member = &self.members[at];
        let leads = self.leader.as_ref() == Some(&member.id);
        let members = self.members.iter().filter(|_| leads).map(|member| JoinedMember {
            member_id: member.id.clone(),
            instance_id: member.join.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_ref()),
        });
        Joined {
            error: None,
            member_id: member.id.clone(),
            generation: self.generation,
            protocol_type: Some(self.protocol_type.clone()),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members: members.collect(),
        }
    }

    fn synced(&self, at: usize) -> Synced {
        Synced {
            protocol_type: Some(self.protocol_type.clone()),
            protocol: self.protocol.clone(),
            assignment: self.members[at].assignment.clone(),
        }
    }
}
