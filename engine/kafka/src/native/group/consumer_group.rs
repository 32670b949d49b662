//! Decides what a consumer of a classic group does in a rebalance: what it gives up before it joins
//! and after, how it assigns when it leads, and when it makes the group meet again.
//!
//! Eagerly all members give up everything and join; cooperatively (KIP-429) they join with what
//! they own, and who has to give something up does so and joins once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_api::{Error, Result, TopicPartition};
use tokio::task::JoinSet;

use super::assignor::{Assignor, Member, Topics};
use super::changed;
use super::classic::{JoinedMember, Membership, MembershipEvent};
use super::consumer_protocol::{Assignment, Subscription};
use super::handover::{Caller, GroupEvent, warn_of_silence};
use super::subscribed::{self, Subscribed};
use crate::native::client::Client;

/// A member as assignors want it. One that nobody can read gets nothing.
fn read_member(member: JoinedMember) -> Member {
    let subscription = Subscription::decode(member.metadata).unwrap_or_else(|e| {
        tracing::warn!("member {} of the group is assigned nothing: {e}", member.id);
        Subscription::default()
    });
    Member { id: member.id, instance: member.instance, subscription }
}

/// How a consumer takes part in its group.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) subscribed: Arc<Subscribed>,
    /// By preference.
    pub(super) assignors: Vec<Assignor>,
    /// `client.rack`
    pub(super) rack: Option<Arc<str>>,
    pub(super) max_poll_interval: Duration,
}

/// A consumer in its group, beside its caller.
pub(super) struct ConsumerGroup {
    client: Arc<Client>,
    taking: Taking,
    membership: Membership,
    caller: Caller,
    owned: BTreeSet<TopicPartition>,
    /// The generation in which it got that.
    generation: Option<i32>,
    /// The last assignment that sticky assignors are told of, and its generation.
    last: Option<(Vec<TopicPartition>, i32)>,
    /// The topics it joined for last.
    joined_for: BTreeSet<Arc<str>>,
    /// Whether it has its assignment since.
    is_assigned: bool,
    /// What this member, leading, assigned last.
    led: Option<Led>,
}

/// The topics of a group as its leader saw them.
struct Led {
    /// What members subscribe to.
    wanted: BTreeSet<Arc<str>>,
    /// What there was of it.
    topics: Topics,
}

/// Why a consumer does not go on.
enum Stop {
    /// The caller has not polled in time.
    Expired,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl ConsumerGroup {
    pub(super) fn new(
        client: Arc<Client>,
        taking: Taking,
        membership: Membership,
        caller: Caller,
    ) -> Self {
        Self {
            client,
            taking,
            membership,
            caller,
            owned: BTreeSet::new(),
            generation: None,
            last: None,
            joined_for: BTreeSet::new(),
            is_assigned: false,
            led: None,
        }
    }

    /// Takes part until the caller has gone, or the group will not have this consumer.
    pub(super) async fn run(mut self) {
        let gone = self.caller.gone();
        let error = tokio::select! {
            () = gone => None,
            error = self.take_part() => Some(error),
        };
        if let Some(error) = error {
            self.lose().await;
            self.caller.tell(Err(error)).await;
        }
        self.membership.leave("the consumer is being closed").await;
    }

    async fn take_part(&mut self) -> Error {
        let (client, subscribed) = (self.client.clone(), self.taking.subscribed.clone());
        let mut metadata = client.watch_metadata();
        subscribed.follow(&client);
        if let Err(error) = subscribed.found(&client).await {
            return error;
        }
        self.join("the consumer begins").await;
        // Beside this task: a refresh must never wait until the caller gives partitions up.
        let mut fresh = JoinSet::new();
        fresh.spawn(async move { subscribed.keep_fresh(&client).await });
        loop {
            let happened = tokio::select! {
                event = self.membership.next_event() => self.on_event(event).await,
                () = changed(&mut metadata) => self.on_metadata().await,
                () = self.caller.silent_for(self.taking.max_poll_interval) => Err(Stop::Expired),
                Some(Ok(error)) = fresh.join_next() => Err(Stop::Failed(error)),
            };
            match happened {
                Ok(()) => {}
                Err(Stop::Expired) => self.expire().await,
                Err(Stop::Failed(error)) => return error,
            }
        }
    }

    async fn on_event(&mut self, event: Result<MembershipEvent>) -> Result<(), Stop> {
        match event? {
            MembershipEvent::Prepare => self.rejoin("the group is rebalancing").await,
            MembershipEvent::Lead { protocol, members, must_assign } => {
                self.lead(&protocol, members, must_assign).await;
                Ok(())
            }
            MembershipEvent::Assigned { generation, leader, assignment, .. } => {
                if *leader != *self.membership.member_id() {
                    self.led = None;
                }
                self.on_assigned(generation, assignment).await
            }
            MembershipEvent::Lost => {
                self.lose().await;
                self.join_anew("the coordinator did not know the member").await;
                Ok(())
            }
        }
    }

    /// Whether members keep what they own over a rebalance: only if no assignor wants otherwise,
    /// since they cannot know yet which will be chosen.
    fn is_cooperative(&self) -> bool {
        self.taking.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    /// Gives up what it may not keep, and joins.
    async fn rejoin(&mut self, reason: &str) -> Result<(), Stop> {
        let topics = self.taking.subscribed.topics(&self.client.metadata());
        let is_kept = |tp: &TopicPartition| self.is_cooperative() && topics.contains(&tp.topic);
        let given_up = self.owned.iter().filter(|tp| !is_kept(tp)).cloned().collect();
        self.give_up(given_up).await?;
        self.join(reason).await;
        Ok(())
    }

    /// Waits until the caller has given these up.
    async fn give_up(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Stop> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.tell(GroupEvent::Revoked(partitions.clone())).await?;
        let given_up = self.acknowledged().await;
        // Even who did not answer was told, or will be told that it has lost them.
        self.owned.retain(|tp| !partitions.contains(tp));
        given_up
    }

    /// Tells the caller, once it is done with what it was told before.
    async fn tell(&mut self, event: GroupEvent) -> Result<(), Stop> {
        self.acknowledged().await?;
        self.caller.tell(Ok(event)).await;
        Ok(())
    }

    async fn acknowledged(&self) -> Result<(), Stop> {
        tokio::select! {
            () = self.caller.acknowledged() => Ok(()),
            () = self.caller.silent_for(self.taking.max_poll_interval) => Err(Stop::Expired),
        }
    }

    /// Joins after a loss, as soon as the caller is done with it. Until then there is no member to
    /// commit as: another may have the partitions that the caller still believes to be its own.
    async fn join_anew(&mut self, reason: &str) {
        self.caller.acknowledged().await;
        self.join(reason).await;
    }

    async fn join(&mut self, reason: &str) {
        self.joined_for = self.taking.subscribed.topics(&self.client.metadata());
        self.is_assigned = false;
        let last =
            self.last.as_ref().map(|(partitions, generation)| (&partitions[..], *generation));
        let offers = self.taking.assignors.iter().map(|assignor| {
            let subscription = Subscription {
                topics: self.joined_for.iter().cloned().collect(),
                user_data: assignor.user_data(last),
                owned: self.owned.iter().cloned().collect(),
                generation: self.generation,
                rack: self.taking.rack.clone(),
            };
            (Arc::from(assignor.name()), subscription.encode())
        });
        let offers = offers.collect();
        self.membership.join(offers, reason).await;
    }

    /// Assigns for the group.
    async fn lead(&mut self, protocol: &str, members: Vec<JoinedMember>, must_assign: bool) {
        let members: Vec<_> = members.into_iter().map(read_member).collect();
        let wanted: BTreeSet<_> =
            members.iter().flat_map(|m| &m.subscription.topics).cloned().collect();
        if self.client.follow(&wanted) {
            self.learn_topics().await;
        }
        let topics = subscribed::partitions(&self.client.metadata(), &wanted);
        // Members agree on what all of them offered.
        if must_assign && let Some(assignor) = Assignor::from_name(protocol) {
            let assigned = assignor.assign(&topics, &members);
            let assignments = members.iter().zip(assigned).map(|(member, partitions)| {
                let assignment = Assignment { partitions, user_data: None };
                (member.id.clone(), assignment.encode())
            });
            self.membership.assign(assignments.collect::<BTreeMap<_, _>>()).await;
        }
        self.led = Some(Led { topics: self.noticed(topics), wanted });
    }

    /// Topics that only others subscribe to. If they cannot be learnt now, they are assigned once
    /// they are.
    async fn learn_topics(&self) {
        const TRIES: usize = 3;
        let mut backoff = self.client.backoff();
        for _ in 0..TRIES {
            match self.client.refresh().await {
                Ok(_) => return,
                Err(failure) => tracing::warn!("topics of the group cannot be learnt: {failure}"),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// What of topics makes a difference: racks do only for who has one.
    fn noticed(&self, mut topics: Topics) -> Topics {
        if self.taking.rack.is_none() {
            topics.values_mut().flatten().for_each(Vec::clear);
        }
        topics
    }

    async fn on_assigned(&mut self, generation: i32, assignment: Bytes) -> Result<(), Stop> {
        let assigned: BTreeSet<_> =
            Assignment::decode(assignment)?.partitions.into_iter().collect();
        self.is_assigned = true;
        if let Some(tp) = assigned.iter().find(|tp| !self.taking.subscribed.matches(&tp.topic)) {
            tracing::warn!("the group's leader assigned {tp}, which is not subscribed to");
            return self.rejoin("it was assigned what it has not subscribed to").await;
        }
        let revoked: Vec<_> = self.owned.difference(&assigned).cloned().collect();
        let added: Vec<_> = assigned.difference(&self.owned).cloned().collect();
        let has_to_rejoin = !revoked.is_empty();
        self.give_up(revoked).await?;
        self.generation = Some(generation);
        self.last = Some((assigned.iter().cloned().collect(), generation));
        if !added.is_empty() {
            self.tell(GroupEvent::Assigned(added)).await?;
            self.owned = assigned;
        }
        if has_to_rejoin {
            self.join("it has given up partitions that others wait for").await;
            return Ok(());
        }
        self.on_metadata().await
    }

    /// Makes the group meet again when there is something else to assign.
    async fn on_metadata(&mut self) -> Result<(), Stop> {
        if !self.is_assigned {
            return Ok(());
        }
        let metadata = self.client.metadata();
        if self.taking.subscribed.topics(&metadata) != self.joined_for {
            return self.rejoin("the topics it subscribes to have changed").await;
        }
        let has_changed = self.led.as_ref().is_some_and(|led| {
            self.noticed(subscribed::partitions(&metadata, &led.wanted)) != led.topics
        });
        if has_changed {
            return self.rejoin("the topics of the group have changed").await;
        }
        Ok(())
    }

    async fn lose(&mut self) {
        self.is_assigned = false;
        self.generation = None;
        let lost = std::mem::take(&mut self.owned);
        self.caller.lose(lost.into_iter().collect()).await;
    }

    /// Leaves, so that others go on with the work, and joins when the caller polls again.
    async fn expire(&mut self) {
        warn_of_silence(self.taking.max_poll_interval);
        self.membership.leave("consumer poll timeout has expired").await;
        self.lose().await;
        self.caller.polls().await;
        self.join_anew("the consumer polls again").await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_read_gets_nothing() {
        let joined = |id: &str, metadata: Bytes| {
            read_member(JoinedMember { id: id.into(), instance: None, metadata })
        };
        let subscription = Subscription { topics: vec!["t".into()], ..Subscription::default() };
        let members =
            [joined("good", subscription.encode()), joined("bad", Bytes::from_static(&[0, 3, 9]))];
        let topics = Topics::from([("t".into(), vec![Vec::new(); 2])]);
        let assigned = Assignor::Range.assign(&topics, &members);
        assert_eq!(assigned.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
    }
}
