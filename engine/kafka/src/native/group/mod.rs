//! Decides how a client is a member of a group.
//!
//! From the bottom up: `coordinator` finds the broker to ask, `offsets` commits and reads a
//! group's progress, `classic` is membership whatever members do; `consumer_protocol`,
//! `assignor`s and `consumer_group` are what consumers do in it. `handover` carries rebalances to
//! the caller of `poll`. `modern` is a
//! consumer in a group that its coordinator assigns.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) mod assignor;
pub(crate) mod classic;
mod consumer_group;
pub(crate) mod consumer_protocol;
mod coordinator;
mod handover;
mod modern;
mod offsets;
mod subscribed;

pub(crate) use coordinator::Coordinator;
pub(crate) use handover::{GroupEvent, PollGuard};
pub(crate) use offsets::{
    CommittedOffset, Identity, commit, commit_request, committed, fetch_request,
};

use assignor::Assignor;
use classic::{Membership, MembershipSettings};
use consumer_group::{ConsumerGroup, Taking};
use handover::{Events, handover};
use modern::ModernConsumer;
use subscribed::Subscribed;

use super::client::Client;
use super::metadata::Metadata;
use super::settings::{ConsumerSettings, GroupProtocol};
use crate::Subscription;

/// A consumer's membership in its group. It is kept by a task of its own: the caller may work for
/// as long as `max.poll.interval.ms` between two polls. Dropping it leaves the group.
#[derive(Debug)]
pub(crate) struct GroupConsumer {
    coordinator: Arc<Coordinator>,
    events: Events,
    identity: watch::Receiver<Identity>,
    member: JoinHandle<()>,
}

impl GroupConsumer {
    /// Begins to join the group. From now on the client follows the topics of the group, and this
    /// keeps its metadata fresh.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind) without `group.id`, or for a pattern that is
    /// none.
    pub(crate) fn subscribe(
        client: &Arc<Client>,
        settings: &ConsumerSettings,
        subscription: &Subscription,
    ) -> Result<Self> {
        let group = settings.group.as_ref().ok_or_else(|| {
            Error::config("group.id is needed to subscribe to topics and to commit offsets")
        })?;
        let subscribed = Subscribed::new(subscription, settings.exclude_internal_topics)?;
        let coordinator = Arc::new(Coordinator::new(client.clone(), &group.id));
        let (caller, events) = handover();
        let (subscribed, max_poll_interval) = (Arc::new(subscribed), group.max_poll_interval);
        let (instance, rack) =
            (group.instance.as_deref().map(Arc::from), settings.rack.as_deref().map(Arc::from));
        let (identity, member) = match &group.protocol {
            GroupProtocol::Classic { session_timeout, heartbeat_interval, assignors } => {
                let settings = MembershipSettings {
                    group: group.id.clone(),
                    protocol_type: "consumer".to_owned(),
                    instance,
                    session_timeout: *session_timeout,
                    rebalance_timeout: max_poll_interval,
                    heartbeat_interval: *heartbeat_interval,
                };
                let membership = Membership::new(coordinator.clone(), settings);
                let identity = membership.identity();
                let assignors = assignors.iter().filter_map(|name| Assignor::from_name(name));
                let assignors = assignors.collect();
                let taking = Taking { subscribed, assignors, rack, max_poll_interval };
                let consumer = ConsumerGroup::new(client.clone(), taking, membership, caller);
                (identity, client.spawn(consumer.run()))
            }
            GroupProtocol::Consumer { remote_assignor } => {
                let (known, identity) = watch::channel(Identity::absent(instance.clone()));
                let assignor = remote_assignor.clone();
                let taking =
                    modern::Taking { subscribed, instance, rack, assignor, max_poll_interval };
                let consumer = ModernConsumer::new(coordinator.clone(), taking, caller, known);
                (identity, client.spawn(consumer.run()))
            }
        };
        Ok(Self { coordinator, events, identity, member })
    }

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
    #[cfg(test)]
    pub(crate) async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        committed(&self.coordinator, || self.identity.borrow().clone(), partitions).await
    }

    /// Leaves the group and returns when the coordinator knows, or after some seconds. Static
    /// members keep their place.
    pub(crate) async fn leave(self) {
        drop(self.events);
        // It can only have been cancelled, with the runtime.
        let _ = self.member.await;
    }
}

/// Waits for new metadata; for ever when there will be none.
async fn changed(metadata: &mut watch::Receiver<Arc<Metadata>>) {
    if metadata.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[cfg(test)]
mod tests;
