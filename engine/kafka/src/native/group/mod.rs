//! Decides how a client is a member of a group.
//!
//! From the bottom up: `coordinator` finds the broker to ask, `offsets` commits and reads a
//! group's progress, `handover` carries rebalances to the caller of `poll`.

use std::collections::BTreeMap;

use millrace_api::{Result, TopicPartition};
use tokio::sync::watch;

pub(crate) mod assignor;
pub(crate) mod classic;
pub(crate) mod consumer_protocol;
mod coordinator;
mod handover;
mod offsets;

pub(crate) use coordinator::Coordinator;
pub(crate) use handover::{GroupEvent, PollGuard};
pub(crate) use offsets::{CommittedOffset, Identity, commit, committed};

use handover::Events;

/// A consumer's membership in its group. It is kept by a task of its own: the caller may work for
/// as long as `max.poll.interval.ms` between two polls. Dropping it leaves the group.
#[derive(Debug)]
pub(crate) struct GroupConsumer {
    coordinator: Coordinator,
    events: Events,
    identity: watch::Receiver<Identity>,
}

impl GroupConsumer {
    /// Begins a poll: acknowledges the last event, and tells the group that the caller is alive for
    /// as long as the guard lives.
    pub(crate) fn poll(&mut self) -> PollGuard {
        self.events.poll()
    }

    /// The next rebalance, however long it takes. Cancel-safe.
    ///
    /// What is revoked belongs to the caller until the next [`poll`](Self::poll), and the group
    /// waits for that; what is assigned may be read from then on.
    ///
    /// # Errors
    ///
    /// When the membership has ended for good: fenced, not allowed, an assignor that others lack.
    pub(crate) async fn next_event(&mut self) -> Result<GroupEvent> {
        self.events.next().await
    }

    /// Commits as this member. [`commit`] tells of waits and errors.
    pub(crate) async fn commit(
        &self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<()> {
        commit(&self.coordinator, || self.identity.borrow().clone(), offsets).await
    }

    /// What the group has committed for these partitions, as [`committed`].
    pub(crate) async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        committed(&self.coordinator, || self.identity.borrow().clone(), partitions).await
    }
}
