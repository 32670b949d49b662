//! Decides what a consumer does in a group that its coordinator assigns (KIP-848,
//! `group.protocol=consumer`): heartbeats say what it owns and bring what it is to own.
//!
//! What it has to give up comes first: the coordinator gives a partition to another only after a
//! heartbeat without it. Heartbeats go on whatever the caller does.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, TopicName,
};
use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::handover::{Caller, GroupEvent, warn_of_silence};
use super::subscribed::Subscribed;
use super::{Coordinator, Identity, changed, text};
use crate::native::backoff::Backoff;
use crate::native::brokers::Lane;
use crate::native::client::{CallError, check};

/// A member that joins has no epoch yet; one that leaves says so by its epoch, and for how long.
const JOINING: i32 = 0;
const LEAVING: i32 = -1;
const LEAVING_FOR_A_WHILE: i32 = -2;

/// How long a member waits for the answer when it leaves.
const LONGEST_LEAVE: Duration = Duration::from_secs(5);

/// How a consumer takes part in its group.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) subscribed: Arc<Subscribed>,
    /// `group.instance.id`
    pub(super) instance: Option<Arc<str>>,
    /// `client.rack`
    pub(super) rack: Option<Arc<str>>,
    /// `group.remote.assignor`; none: the coordinator chooses.
    pub(super) assignor: Option<String>,
    pub(super) max_poll_interval: Duration,
}

type Asked =
    Pin<Box<dyn Future<Output = Result<ConsumerGroupHeartbeatResponse, CallError>> + Send>>;
/// Partitions with the ids of their topics: one that was made anew is another.
type Partitions = BTreeMap<TopicPartition, Uuid>;

/// A consumer in its group, beside its caller.
pub(super) struct ModernConsumer {
    coordinator: Arc<Coordinator>,
    taking: Taking,
    caller: Caller,
    identity: watch::Sender<Identity>,
    member_id: Arc<str>,
    epoch: i32,
    owned: Partitions,
    /// What the caller was told to give up.
    revoking: Vec<TopicPartition>,
    /// What the coordinator wants this member to own.
    target: BTreeSet<(Uuid, i32)>,
    /// The names of the target's topics. They are kept even if a broker does not know a topic any
    /// more: it may answer from yesterday, and the coordinator says itself what is over.
    names: BTreeMap<Uuid, Arc<str>>,
    /// Whether the coordinator may have this member, known or still joining.
    has_joined: bool,
    /// What the coordinator knows of this member; none: tell it everything.
    known: Option<Known>,
    asked: Option<(Known, Asked)>,
    next_beat: Instant,
    interval: Duration,
    backoff: Backoff,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    topics: BTreeSet<Arc<str>>,
    owned: Partitions,
}

/// Why a consumer does not go on.
enum Stop {
    /// The caller has not polled in time.
    Expired,
    Failed(Error),
}

impl ModernConsumer {
    pub(super) fn new(
        coordinator: Arc<Coordinator>,
        taking: Taking,
        caller: Caller,
        identity: watch::Sender<Identity>,
    ) -> Self {
        let backoff = coordinator.client().backoff();
        Self {
            coordinator,
            taking,
            caller,
            identity,
            // The member's own, for as long as it lives.
            member_id: random_id().to_string().into(),
            epoch: JOINING,
            owned: Partitions::new(),
            revoking: Vec::new(),
            target: BTreeSet::new(),
            names: BTreeMap::new(),
            has_joined: false,
            known: None,
            asked: None,
            next_beat: Instant::now(),
            interval: Duration::ZERO,
            backoff,
        }
    }

    /// Takes part until the caller has gone, or the group will not have this consumer.
    pub(super) async fn run(mut self) {
        let gone = self.caller.gone();
        let error = tokio::select! {
            () = gone => None,
            error = self.take_part() => Some(error),
        };
        self.leave().await;
        if let Some(error) = error {
            self.lose().await;
            self.caller.tell(Err(error)).await;
        }
    }

    async fn take_part(&mut self) -> Error {
        let (client, subscribed) =
            (self.coordinator.client().clone(), self.taking.subscribed.clone());
        let mut metadata = client.watch_metadata();
        subscribed.follow(&client);
        if let Err(error) = subscribed.found(&client).await {
            return error;
        }
        self.next_beat = Instant::now();
        // Beside this task: heartbeats never wait for a refresh, nor a refresh for the caller.
        let mut fresh = JoinSet::new();
        fresh.spawn(async move { subscribed.keep_fresh(&client).await });
        loop {
            let is_revoking = !self.caller.has_acknowledged();
            let happened = tokio::select! {
                answer = answered(&mut self.asked) => self.on_answer(answer).await,
                () = sleep_until(self.next_beat), if self.may_beat() => {
                    self.beat();
                    Ok(())
                }
                () = self.caller.acknowledged(), if is_revoking => {
                    self.on_acknowledged().await;
                    Ok(())
                }
                () = changed(&mut metadata) => {
                    self.on_metadata().await;
                    Ok(())
                }
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

    /// What the coordinator should know now.
    fn news(&self) -> Known {
        let topics = self.taking.subscribed.topics(&self.coordinator.client().metadata());
        Known { topics, owned: self.owned.clone() }
    }

    /// Whether a heartbeat may be sent. Who has lost everything joins only once the caller is done
    /// with the loss. Until then there is no member to commit as: another may have the partitions
    /// that the caller still believes to be its own.
    fn may_beat(&self) -> bool {
        self.asked.is_none() && (self.epoch != JOINING || self.caller.has_acknowledged())
    }

    fn beat(&mut self) {
        let news = self.news();
        let request = self.request(&news);
        let coordinator = self.coordinator.clone();
        let longest = coordinator.client().request_timeout();
        let asked = Box::pin(async move {
            let answer = coordinator.call(Lane::Coordinator, longest, |_| request).await?;
            check(answer.error_code, answer.error_message.as_ref())?;
            Ok(answer)
        });
        self.has_joined = true;
        self.asked = Some((news, asked));
    }

    /// Tells what has changed, or everything.
    fn request(&self, news: &Known) -> ConsumerGroupHeartbeatRequest {
        let mut request = self.bare_request(self.epoch);
        let known = self.known.as_ref();
        if known.is_none_or(|known| known.topics != news.topics) {
            let names = news.topics.iter().map(|name| TopicName(text(name)));
            request = request.with_subscribed_topic_names(Some(names.collect()));
        }
        if known.is_none_or(|known| known.owned != news.owned) {
            request = request.with_topic_partitions(Some(by_topic(&news.owned)));
        }
        if known.is_none() {
            let longest = self.taking.max_poll_interval.as_millis();
            request = request
                .with_rebalance_timeout_ms(i32::try_from(longest).unwrap_or(i32::MAX))
                .with_rack_id(self.taking.rack.as_deref().map(text))
                .with_server_assignor(self.taking.assignor.as_deref().map(text));
        }
        request
    }

    fn bare_request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(self.coordinator.group())))
            .with_member_id(text(&self.member_id))
            .with_member_epoch(epoch)
            .with_instance_id(self.taking.instance.as_deref().map(text))
    }

    async fn on_answer(
        &mut self,
        (sent, answer): (Known, Result<ConsumerGroupHeartbeatResponse, CallError>),
    ) -> Result<(), Stop> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.on_refusal(error).await,
        };
        self.backoff.reset();
        self.known = Some(sent);
        if let Some(id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.member_id = id.as_str().into();
        }
        self.epoch = answer.member_epoch;
        self.publish();
        let interval = u64::try_from(answer.heartbeat_interval_ms).unwrap_or(0);
        self.interval = Duration::from_millis(interval);
        self.next_beat = Instant::now() + self.interval;
        if let Some(assignment) = answer.assignment {
            let topics = assignment.topic_partitions.into_iter();
            let partitions = topics.flat_map(|topic| {
                topic.partitions.into_iter().map(move |number| (topic.topic_id, number))
            });
            self.target = partitions.collect();
        }
        self.reconcile().await;
        if self.named_target().len() < self.target.len() {
            // Once a heartbeat: topics that nobody may describe stay without a name.
            let client = self.coordinator.client().clone();
            self.coordinator.client().spawn(async move { client.refresh().await });
        }
        Ok(())
    }

    async fn on_refusal(&mut self, error: CallError) -> Result<(), Stop> {
        self.coordinator.heed(&error);
        // It may have been carried out or not.
        self.known = None;
        self.next_beat = Instant::now() + self.backoff.next();
        match error.code() {
            Some(Code::UnknownMemberId | Code::FencedMemberEpoch | Code::GroupIdNotFound) => {
                self.lose().await;
                Ok(())
            }
            _ if error.is_passing() => {
                let error = error.doing("the heartbeat is tried again");
                tracing::debug!(group = self.coordinator.group(), "{error}");
                Ok(())
            }
            _ => {
                let error = error.doing("the consumer cannot be a member of its group");
                Err(Stop::Failed(error.context("group.id", self.coordinator.group())))
            }
        }
    }

    /// What of the target has a name yet.
    fn named_target(&mut self) -> Partitions {
        let metadata = self.coordinator.client().metadata();
        let names = self.target.iter().filter_map(|(id, _)| {
            let name = metadata.names.get(id).or_else(|| self.names.get(id))?;
            Some((*id, name.clone()))
        });
        self.names = names.collect();
        let named = self.target.iter().filter_map(|(id, number)| {
            let name = self.names.get(id)?;
            Some((TopicPartition::new(name.clone(), *number), *id))
        });
        named.collect()
    }

    /// Comes closer to the target by one step: gives up, then takes on. The caller does one step
    /// at a time.
    async fn reconcile(&mut self) {
        if !self.caller.has_acknowledged() {
            return;
        }
        let target = self.named_target();
        let is_wanted = |(tp, id): &(&TopicPartition, &Uuid)| target.get(*tp) == Some(*id);
        let revoked = self.owned.iter().filter(|owned| !is_wanted(owned));
        let revoked: Vec<_> = revoked.map(|(tp, _)| tp.clone()).collect();
        if !revoked.is_empty() {
            self.revoking.clone_from(&revoked);
            self.caller.tell(Ok(GroupEvent::Revoked(revoked))).await;
            return;
        }
        let added: Vec<_> =
            target.keys().filter(|tp| !self.owned.contains_key(*tp)).cloned().collect();
        if !added.is_empty() {
            self.owned = target;
            self.caller.tell(Ok(GroupEvent::Assigned(added))).await;
        }
        self.beat_for_news();
    }

    /// The coordinator waits to hear of what was given up or taken on.
    fn beat_for_news(&mut self) {
        if self.known.as_ref().is_some_and(|known| *known != self.news()) {
            self.next_beat = Instant::now();
        }
    }

    async fn on_acknowledged(&mut self) {
        for tp in std::mem::take(&mut self.revoking) {
            self.owned.remove(&tp);
        }
        self.reconcile().await;
    }

    async fn on_metadata(&mut self) {
        self.reconcile().await;
        self.beat_for_news();
    }

    /// The group knows this member no more. It joins anew once the caller knows.
    async fn lose(&mut self) {
        self.epoch = JOINING;
        self.has_joined = false;
        self.publish();
        self.known = None;
        self.asked = None;
        self.target.clear();
        let mut lost = std::mem::take(&mut self.owned);
        // The caller knows already, or will hear of it as lost.
        for tp in std::mem::take(&mut self.revoking) {
            lost.remove(&tp);
        }
        self.caller.lose(lost.into_keys().collect()).await;
    }

    /// Leaves, so that others go on with the work, and joins when the caller polls again.
    async fn expire(&mut self) {
        warn_of_silence(self.taking.max_poll_interval);
        self.leave().await;
        self.lose().await;
        self.caller.polls().await;
        self.next_beat = Instant::now();
    }

    /// Static members keep their place until the session ends.
    async fn leave(&mut self) {
        self.asked = None;
        if !std::mem::take(&mut self.has_joined) {
            return;
        }
        let epoch = match self.taking.instance {
            Some(_) => LEAVING_FOR_A_WHILE,
            None => LEAVING,
        };
        let request = self.bare_request(epoch);
        let left = self.coordinator.call(Lane::Coordinator, LONGEST_LEAVE, |_| request);
        if !matches!(timeout(LONGEST_LEAVE, left).await, Ok(Ok(_))) {
            let group = self.coordinator.group();
            tracing::debug!(group, "the member could not leave; the group notices by itself");
        }
    }

    /// Lets commits know who speaks.
    fn publish(&self) {
        let instance = self.taking.instance.clone();
        let now = match self.epoch {
            JOINING => Identity::absent(instance),
            epoch => Identity::member(self.member_id.clone(), instance, epoch),
        };
        self.identity.send_replace(now);
    }
}

fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid()
}

/// Waits for the answer to what was asked, or for ever.
async fn answered(
    asked: &mut Option<(Known, Asked)>,
) -> (Known, Result<ConsumerGroupHeartbeatResponse, CallError>) {
    let answer = match asked {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    };
    let (sent, _) = asked.take().expect("it was just awaited");
    (sent, answer)
}

fn by_topic(partitions: &Partitions) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (tp, id) in partitions {
        topics.entry(*id).or_default().push(tp.partition);
    }
    let topics = topics.into_iter().map(|(id, partitions)| {
        TopicPartitions::default().with_topic_id(id).with_partitions(partitions)
    });
    topics.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Handle;

    use super::*;
    use crate::Properties;
    use crate::Subscription;
    use crate::native::Dialing;
    use crate::native::client::Client;
    use crate::native::golden::{bytes, java};
    use crate::native::group::handover::handover;
    use crate::native::settings::ClientSettings;

    fn member() -> ModernConsumer {
        let servers = ("bootstrap.servers".to_owned(), "localhost:1".to_owned());
        let settings = ClientSettings::admin(&Properties::from([servers])).unwrap();
        let dialer = Dialing::Tcp.dialer(&settings);
        let client = Client::new(settings, dialer, Handle::current());
        let subscription = Subscription::Topics(vec!["t".to_owned()]);
        let taking = Taking {
            subscribed: Arc::new(Subscribed::new(&subscription, true).unwrap()),
            instance: Some("i".into()),
            rack: Some("r".into()),
            assignor: Some("uniform".to_owned()),
            max_poll_interval: Duration::from_secs(9),
        };
        let coordinator = Arc::new(Coordinator::new(client, "g"));
        let (identity, _) = watch::channel(Identity::absent(None));
        let mut member = ModernConsumer::new(coordinator, taking, handover().0, identity);
        member.member_id = "m".into();
        member
    }

    #[tokio::test]
    async fn heartbeats_are_written_as_java_writes_them() {
        let mut member = member();
        let check = |member: &ModernConsumer, name: &str| {
            let request = member.request(&member.news());
            for version in 0..=1 {
                assert_eq!(bytes(&request, version), java(&format!("{name}-{version}")));
            }
        };
        check(&member, "modern-joins");
        member.known = Some(member.news());
        member.epoch = 3;
        check(&member, "modern-lives");
        // The ids of Java's `new Uuid(1, 2)`.
        let id = Uuid::from_u128((1 << 64) | 2);
        member.owned = [0, 4].map(|p| (TopicPartition::new("t", p), id)).into();
        check(&member, "modern-owns");
    }
}
