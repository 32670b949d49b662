//! Decides what a member does after each answer of its coordinator and each wish of its owner.
//! Nothing here waits: time and sockets are the keeper's.

use std::sync::Arc;

use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Assignments, JoinedMember, MembershipEvent, Offer};
use crate::native::client::{CallError, check};
use crate::native::group::Identity;

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No member, until its owner wants to join.
    Out,
    /// A JoinGroup is on its way, or will be tried again.
    Joining,
    /// It leads, and its owner is thinking.
    Leading,
    /// A SyncGroup is on its way.
    Syncing,
    /// A member with an assignment.
    Stable,
    /// The group is about to meet, and its owner was told to join.
    Called,
}

/// What the keeper is to do, in this order.
#[derive(Debug)]
pub(super) enum Action {
    /// Send a JoinGroup with the offer; after a back-off where the last one failed.
    Join {
        backs_off: bool,
    },
    /// Send a SyncGroup.
    Sync(Assignments),
    Tell(MembershipEvent),
    /// Tell the owner that the group will not have this member.
    Fail(CallError),
}

/// A member.
#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) identity: Identity,
    pub(super) offer: Offer,
    /// What the members agreed on in this generation, and who leads it.
    pub(super) protocol: Arc<str>,
    leader: Arc<str>,
    /// The owner has wanted to join since the last JoinGroup. It is called once it has its
    /// assignment, since what it offers then is not what it offers now.
    joins_again: bool,
    /// How often the owner wanted to join.
    pub(super) joins: u64,
    /// How often the owner was told of a loss.
    losses: u64,
}

impl State {
    pub(super) fn new(instance: Option<Arc<str>>) -> Self {
        Self {
            phase: Phase::Out,
            identity: Identity::absent(instance),
            offer: Offer::default(),
            protocol: "".into(),
            leader: "".into(),
            joins_again: false,
            joins: 0,
            losses: 0,
        }
    }

    /// Whether the coordinator waits for heartbeats. It waits for none from who is joining.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Out | Phase::Joining)
    }

    /// The owner wants to join, as somebody who has heard of so many losses.
    pub(super) fn join(&mut self, offer: Offer, losses: u64) -> Vec<Action> {
        self.joins += 1;
        if losses < self.losses {
            // It offers what it has lost. It will hear of that, and join again.
            return Vec::new();
        }
        self.offer = offer;
        match self.phase {
            Phase::Joining | Phase::Syncing => {
                self.joins_again = true;
                Vec::new()
            }
            Phase::Out | Phase::Leading | Phase::Stable | Phase::Called => self.rejoin(false),
        }
    }

    fn rejoin(&mut self, backs_off: bool) -> Vec<Action> {
        self.phase = Phase::Joining;
        self.joins_again = false;
        vec![Action::Join { backs_off }]
    }

    /// The owner has thought.
    pub(super) fn assign(&mut self, assignments: Assignments) -> Vec<Action> {
        if self.phase != Phase::Leading {
            return Vec::new();
        }
        self.phase = Phase::Syncing;
        vec![Action::Sync(assignments)]
    }

    /// The owner leaves, whatever the coordinator says. Who it was is returned.
    pub(super) fn leave(&mut self) -> Identity {
        self.phase = Phase::Out;
        self.joins_again = false;
        let nobody = self.nobody();
        std::mem::replace(&mut self.identity, nobody)
    }

    pub(super) fn joined(&mut self, answer: Result<JoinGroupResponse, CallError>) -> Vec<Action> {
        let member_id = answer.as_ref().ok().map(|answer| arc(&answer.member_id));
        let error = match answer.and_then(|answer| {
            check(answer.error_code, None)?;
            Ok(answer)
        }) {
            Ok(answer) => return self.met(answer),
            Err(error) => error,
        };
        match (error.code(), member_id) {
            // The coordinator gives ids before it takes members, so that who never comes back
            // leaves nobody behind (KIP-394).
            (Some(Code::MemberIdRequired), Some(id)) => {
                self.identity = self.nobody_with(id);
                self.rejoin(false)
            }
            (Some(Code::UnknownMemberId), _) if self.identity.generation >= 0 => self.lose(false),
            // It had an id and no more: nothing is lost.
            (Some(Code::UnknownMemberId), _) => {
                self.identity = self.nobody();
                self.rejoin(true)
            }
            (Some(Code::RebalanceInProgress), _) => self.rejoin(true),
            _ if error.is_passing() => self.rejoin(true),
            _ => self.fail(error),
        }
    }

    fn met(&mut self, answer: JoinGroupResponse) -> Vec<Action> {
        let instance = self.identity.instance.clone();
        let (member_id, generation) = (arc(&answer.member_id), answer.generation_id);
        self.identity = Identity::member(member_id, instance, generation);
        self.leader = arc(&answer.leader);
        self.protocol = answer.protocol_name.as_ref().map_or_else(|| "".into(), arc);
        if self.leader != self.identity.member_id {
            self.phase = Phase::Syncing;
            return vec![Action::Sync(Assignments::new())];
        }
        let members = answer.members.into_iter().map(|member| JoinedMember {
            id: arc(&member.member_id),
            instance: member.group_instance_id.as_ref().map(arc),
            metadata: member.metadata,
        });
        let must_assign = !answer.skip_assignment;
        let (protocol, members) = (self.protocol.clone(), members.collect());
        let lead = Action::Tell(MembershipEvent::Lead { protocol, members, must_assign });
        if must_assign {
            self.phase = Phase::Leading;
            return vec![lead];
        }
        self.phase = Phase::Syncing;
        vec![lead, Action::Sync(Assignments::new())]
    }

    pub(super) fn synced(&mut self, answer: Result<SyncGroupResponse, CallError>) -> Vec<Action> {
        if self.phase != Phase::Syncing {
            // A heartbeat was told before that this generation is over.
            return Vec::new();
        }
        let error = match answer.and_then(|answer| {
            check(answer.error_code, None)?;
            Ok(answer)
        }) {
            Ok(answer) => {
                self.phase = Phase::Stable;
                let mut actions = vec![Action::Tell(MembershipEvent::Assigned {
                    generation: self.identity.generation,
                    protocol: self.protocol.clone(),
                    leader: self.leader.clone(),
                    assignment: answer.assignment,
                })];
                if self.joins_again {
                    actions.extend(self.called());
                }
                return actions;
            }
            Err(error) => error,
        };
        match error.code() {
            Some(Code::RebalanceInProgress) => self.called(),
            Some(Code::UnknownMemberId) => self.lose(false),
            Some(Code::IllegalGeneration) => self.lose(true),
            // Whether the group has met nobody knows: it has to meet again.
            _ if error.is_passing() => self.rejoin(true),
            _ => self.fail(error),
        }
    }

    /// A heartbeat of this generation was answered.
    pub(super) fn beaten(&mut self, generation: i32, answer: Result<(), CallError>) -> Vec<Action> {
        let Err(error) = answer else {
            return Vec::new();
        };
        if !self.is_alive() || generation != self.identity.generation {
            return Vec::new();
        }
        match error.code() {
            Some(Code::RebalanceInProgress) if self.phase == Phase::Stable => self.called(),
            Some(Code::RebalanceInProgress) => Vec::new(),
            Some(Code::UnknownMemberId) => self.lose(false),
            Some(Code::IllegalGeneration) => self.lose(true),
            _ if error.is_passing() => Vec::new(),
            _ => self.fail(error),
        }
    }

    fn called(&mut self) -> Vec<Action> {
        self.phase = Phase::Called;
        self.joins_again = false;
        vec![Action::Tell(MembershipEvent::Prepare)]
    }

    /// Who keeps its id does not leave a member behind that the group would wait for.
    fn lose(&mut self, keeps_id: bool) -> Vec<Action> {
        self.phase = Phase::Out;
        self.joins_again = false;
        self.losses += 1;
        self.identity = match keeps_id {
            true => self.nobody_with(self.identity.member_id.clone()),
            false => self.nobody(),
        };
        vec![Action::Tell(MembershipEvent::Lost)]
    }

    fn fail(&mut self, error: CallError) -> Vec<Action> {
        self.phase = Phase::Out;
        self.joins_again = false;
        self.identity = self.nobody();
        vec![Action::Fail(error)]
    }

    fn nobody(&self) -> Identity {
        Identity::absent(self.identity.instance.clone())
    }

    /// No member, but with an id to join with.
    fn nobody_with(&self, id: Arc<str>) -> Identity {
        Identity::member(id, self.identity.instance.clone(), -1)
    }
}

fn arc(text: &StrBytes) -> Arc<str> {
    text.as_str().into()
}
