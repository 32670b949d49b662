//! Membership in a group by JoinGroup, SyncGroup, Heartbeat and LeaveGroup, whatever its members
//! do: decides what the owner of a membership hears and says.
//!
//! The owner keeps a [`Membership`]; a task keeps the member alive beside it, so the owner may work
//! as long as it likes. Rebalances are values:
//!
//! 1. [`Membership::join`] offers protocols, each with what the member tells the leader in it.
//! 2. The leader hears [`MembershipEvent::Lead`] and answers with [`Membership::assign`].
//! 3. Everybody hears [`MembershipEvent::Assigned`].
//! 4. On [`MembershipEvent::Prepare`] the group is about to meet again: the owner gives up what it
//!    has to and joins, within the rebalance time-out.
//! 5. After [`MembershipEvent::Lost`] others may have its work already. It joins anew.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_api::{Error, Result};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Coordinator, Identity};

mod keeper;
mod requests;
mod state;

use keeper::Keeper;

/// What a member is and how long it may be silent.
#[derive(Clone, Debug)]
pub struct MembershipSettings {
    /// `group.id`
    pub group: String,
    /// What all members have in common: `consumer`, or `connect`.
    pub protocol_type: String,
    /// `group.instance.id`: a member that comes back within the session under the same name has
    /// the same place (KIP-345). It does not leave when it ends.
    pub instance: Option<Arc<str>>,
    /// `session.timeout.ms`: silent for longer, a member is put out.
    pub session_timeout: Duration,
    /// How long the group waits for a member to join again (`max.poll.interval.ms`, or
    /// `rebalance.timeout.ms`).
    pub rebalance_timeout: Duration,
    /// `heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
}

/// A member as the leader hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Given by the coordinator.
    pub id: Arc<str>,
    /// `group.instance.id`
    pub instance: Option<Arc<str>>,
    /// What the member offered in the chosen protocol.
    pub metadata: Bytes,
}

/// What happened to a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipEvent {
    /// The group is about to meet again: [`Membership::join`] is due.
    Prepare,
    /// This member leads.
    Lead {
        /// What the members agreed on.
        protocol: Arc<str>,
        /// All of them, this one too, in the coordinator's order.
        members: Vec<JoinedMember>,
        /// Whether the group waits for [`Membership::assign`]. If not, this is a restarted static
        /// leader that only learns of its group again (KIP-814).
        must_assign: bool,
    },
    /// The rebalance is over.
    Assigned {
        /// Goes up with each rebalance.
        generation: i32,
        /// What the members agreed on.
        protocol: Arc<str>,
        /// The leader's id. It is this member if it is [`Membership::member_id`].
        leader: Arc<str>,
        /// What the leader said to this member.
        assignment: Bytes,
    },
    /// The coordinator has put this member out, or the group does not know it.
    Lost,
}

/// One membership. It does nothing before the first [`join`](Membership::join). Dropping it leaves
/// the group.
#[derive(Debug)]
pub struct Membership {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Told>,
    identity: watch::Receiver<Identity>,
    /// How many losses the owner has heard of.
    losses: u64,
    /// How often the owner has joined.
    joins: u64,
}

/// An event, and how often the owner had joined when it happened.
#[derive(Debug)]
struct Told {
    event: Result<MembershipEvent>,
    joins: u64,
}

/// What the leader says to each member, by id.
pub type Assignments = BTreeMap<Arc<str>, Bytes>;

/// What the owner wants.
#[derive(Debug)]
enum Command {
    /// Join, as somebody who has heard of so many losses.
    Join {
        offer: Offer,
        losses: u64,
    },
    Assign(Assignments),
    Leave {
        reason: String,
        done: oneshot::Sender<()>,
    },
}

/// What a member offers to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Offer {
    /// Protocols by preference, each with the member's metadata.
    protocols: Vec<(Arc<str>, Bytes)>,
    reason: String,
}

impl Membership {
    /// A membership on a client of its own: a broker answers what one connection asks one after the
    /// other, so that two members on one would wait for each other.
    pub(crate) fn new(coordinator: Arc<Coordinator>, settings: MembershipSettings) -> Self {
        // Between two answers of the owner no more events than these can pile up.
        const EVENTS: usize = 8;
        let (commands, commanded) = mpsc::channel(EVENTS);
        let (sender, events) = mpsc::channel(EVENTS);
        let (told, identity) = watch::channel(Identity::absent(settings.instance.clone()));
        let client = coordinator.client().clone();
        let keeper = Keeper::new(coordinator, settings, told);
        client.spawn(keeper.run(commanded, sender));
        Self { commands, events, identity, losses: 0, joins: 0 }
    }

    /// Joins the group, or makes it meet again: when [`MembershipEvent::Prepare`] asks for it,
    /// after a loss, or when what the member offers has changed. `reason` is for the broker's log.
    ///
    /// While the member is joining already, it is [called](MembershipEvent::Prepare) once it has
    /// its assignment: what it offers may depend on that.
    pub async fn join(&mut self, protocols: Vec<(Arc<str>, Bytes)>, reason: impl Into<String>) {
        let offer = Offer { protocols, reason: reason.into() };
        self.joins += 1;
        // Nobody listens only after the runtime has ended.
        let _ = self.commands.send(Command::Join { offer, losses: self.losses }).await;
    }

    /// Answers [`MembershipEvent::Lead`]: what each member is told, by id. Who is left out is told
    /// nothing. Without effect if the group does not wait for it any more.
    pub async fn assign(&self, assignments: Assignments) {
        let _ = self.commands.send(Command::Assign(assignments)).await;
    }

    /// What happens next, however long it takes. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The group will not have this member: another has its instance id, it may not read the
    /// group, nobody shares a protocol with it. Joining again is possible and seldom helps.
    pub async fn next_event(&mut self) -> Result<MembershipEvent> {
        while let Some(told) = self.events.recv().await {
            match told.event {
                // It has joined since, for a reason of its own.
                Ok(MembershipEvent::Prepare) if told.joins < self.joins => {}
                Ok(MembershipEvent::Lost) => {
                    self.losses += 1;
                    return Ok(MembershipEvent::Lost);
                }
                event => return event,
            }
        }
        Err(Error::fatal("the runtime that keeps the membership has ended"))
    }

    /// Leaves at once: the group need not wait for the session to end. A static member keeps its
    /// place. Returns when the coordinator has answered, or after five seconds. Events from before
    /// are void; [`join`](Self::join) begins anew.
    pub async fn leave(&mut self, reason: impl Into<String>) {
        let (done, left) = oneshot::channel();
        let leave = Command::Leave { reason: reason.into(), done };
        if self.commands.send(leave).await.is_ok() {
            let _ = left.await;
        }
        while let Ok(told) = self.events.try_recv() {
            self.losses += u64::from(matches!(told.event, Ok(MembershipEvent::Lost)));
        }
    }

    /// The id that the coordinator gave; empty while it gave none.
    pub fn member_id(&self) -> Arc<str> {
        self.identity.borrow().member_id.clone()
    }

    /// Who commits for this member, at any time.
    pub(crate) fn identity(&self) -> watch::Receiver<Identity> {
        self.identity.clone()
    }
}

/// Waits for what is in the slot, or for ever.
async fn awaited<F: Future + Unpin>(slot: &mut Option<F>) -> F::Output {
    let Some(future) = slot else {
        return pending().await;
    };
    let output = future.await;
    *slot = None;
    output
}

#[cfg(test)]
mod tests;
