//! Decides how one client asks a cluster: any broker, a certain one, or a coordinator, with
//! metadata that is as new as the last error asked for.
//!
//! A producer, a consumer and an admin client each have one [`Client`]: connections are not shared
//! between them, as credentials, quotas and long polls are their own.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_api::{Error, Result, TopicPartition};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::brokers::{Brokers, Lane};
use super::error::{self, Failure, Permission};
use super::metadata::Metadata;
use super::net::{Address, Connection, Dialer};
use super::settings::ClientSettings;
use crate::Footprint;
use crate::lock::lock;
use crate::trouble::Trouble;

/// What the coordinator coordinates (the key types of FindCoordinator).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CoordinatorOf {
    Group,
    Transaction,
}

/// Why a call did not do what it should.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// There was no answer.
    Failed(Failure),
    /// The answer was an error, perhaps with the broker's own words.
    Refused(ResponseError, Option<String>),
}

impl CallError {
    /// Whether the same call may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.is_passing(),
            Self::Refused(code, _) => code.is_retriable(),
        }
    }

    /// The code of the answer, if there was one.
    pub(crate) fn code(&self) -> Option<ResponseError> {
        match self {
            Self::Failed(_) => None,
            Self::Refused(code, _) => Some(*code),
        }
    }

    /// The error for what was being done: `what` as in "the topic cannot be created".
    pub(crate) fn doing(self, what: &str) -> Error {
        self.doing_with(what, &[])
    }

    /// The same where it is known what the call needs permission for.
    pub(crate) fn doing_with(self, what: &str, needed: &[Permission<'_>]) -> Error {
        match self {
            Self::Failed(failure) => failure.doing(what),
            Self::Refused(code, words) => error::refused_for(code, what, words.as_deref(), needed),
        }
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The error an answer's code stands for; none for 0.
pub(crate) fn check(code: i16, words: Option<&StrBytes>) -> Result<(), CallError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(code) => Err(CallError::Refused(code, words.map(ToString::to_string))),
    }
}

/// The topics a client wants to know about.
#[derive(Debug, Default)]
struct Interest {
    topics: BTreeSet<Arc<str>>,
    all: bool,
}

/// One client of a cluster.
pub(crate) struct Client {
    settings: ClientSettings,
    brokers: Brokers,
    metadata: watch::Sender<Arc<Metadata>>,
    interest: Mutex<Interest>,
    /// Held by who is asking for metadata.
    refreshing: AsyncMutex<()>,
    /// No broker can be reached.
    unreached: Trouble,
    io: Handle,
    footprint: Arc<Footprint>,
}

impl Client {
    /// A client that has asked nothing yet. Its connections live on `io`.
    pub(crate) fn new(settings: ClientSettings, dialer: Arc<dyn Dialer>, io: Handle) -> Arc<Self> {
        let footprint = Arc::<Footprint>::default();
        let brokers = Brokers::new(settings.brokers(), dialer, io.clone(), footprint.clone());
        let (metadata, _) = watch::channel(Arc::default());
        let (interest, refreshing, unreached) =
            (Mutex::default(), AsyncMutex::default(), Trouble::default());
        Arc::new(Self {
            settings,
            brokers,
            metadata,
            interest,
            refreshing,
            unreached,
            io,
            footprint,
        })
    }

    /// What this client does and holds.
    pub(crate) fn footprint(&self) -> &Arc<Footprint> {
        &self.footprint
    }

    pub(crate) fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Runs something beside the connections, on the I/O runtime.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.io.spawn(future)
    }

    /// What is believed of the cluster.
    pub(crate) fn metadata(&self) -> Arc<Metadata> {
        self.metadata.borrow().clone()
    }

    /// The same, and every change of it.
    pub(crate) fn watch_metadata(&self) -> watch::Receiver<Arc<Metadata>> {
        self.metadata.subscribe()
    }

    /// Wants to know about these topics, besides those of earlier calls. True when one is new:
    /// then metadata has to be refreshed.
    pub(crate) fn follow<'a>(&self, topics: impl IntoIterator<Item = &'a Arc<str>>) -> bool {
        let mut interest = self.interest();
        let before = interest.topics.len();
        interest.topics.extend(topics.into_iter().cloned());
        interest.topics.len() > before
    }

    /// Wants to know about these topics no more.
    pub(crate) fn unfollow<'a>(&self, topics: impl IntoIterator<Item = &'a Arc<str>>) {
        let mut interest = self.interest();
        for topic in topics {
            interest.topics.remove(topic);
        }
    }

    /// Wants to know about exactly these topics, or about all.
    pub(crate) fn follow_only(&self, topics: Option<BTreeSet<Arc<str>>>) {
        let all = topics.is_none();
        *self.interest() = Interest { topics: topics.unwrap_or_default(), all };
    }

    fn interest(&self) -> std::sync::MutexGuard<'_, Interest> {
        lock(&self.interest)
    }

    /// Whether metadata is older than `metadata.max.age.ms`, or missing.
    pub(crate) fn is_stale(&self) -> bool {
        let fetched_at = self.metadata.borrow().fetched_at;
        fetched_at.is_none_or(|at| at.elapsed() >= self.settings.metadata_max_age)
    }

    /// Asks for metadata once. Callers at the same time share one answer that is newer than all
    /// their calls. Cancel-safe.
    pub(crate) async fn refresh(&self) -> Result<Arc<Metadata>, Failure> {
        let asked_at = Instant::now();
        let _asking = self.refreshing.lock().await;
        let known = self.metadata();
        if known.fetched_at.is_some_and(|at| at > asked_at) {
            return Ok(known);
        }
        let (topics, all) = {
            let interest = self.interest();
            (interest.topics.clone(), interest.all)
        };
        let topics = topics.iter().map(AsRef::as_ref);
        let new = Arc::new(self.ask_metadata(&known, (!all).then_some(topics)).await?);
        self.metadata.send_replace(new.clone());
        Ok(new)
    }

    /// What a broker says now of these topics, or of all, followed or not. Changes nothing of what
    /// the client believes but where its brokers are.
    pub(crate) async fn look_up(&self, topics: Option<&[&str]>) -> Result<Metadata, Failure> {
        let topics = topics.map(|topics| topics.iter().copied());
        self.ask_metadata(&Metadata::default(), topics).await
    }

    async fn ask_metadata<'a>(
        &self,
        known: &Metadata,
        topics: Option<impl Iterator<Item = &'a str>>,
    ) -> Result<Metadata, Failure> {
        let topics: Option<Vec<_>> = topics.map(|topics| {
            let topics = topics.map(|name| {
                let name = TopicName(StrBytes::from_string(name.to_owned()));
                MetadataRequestTopic::default().with_name(Some(name))
            });
            topics.collect()
        });
        let auto_create = self.settings.allow_auto_create;
        let (connection, answer) = self
            .ask_any(|version| {
                let request = MetadataRequest::default().with_topics(topics);
                match version {
                    ..4 => request,
                    _ => request.with_allow_auto_topic_creation(auto_create),
                }
            })
            .await?;
        connection.throttle(answer.throttle_time_ms);
        let new = known.updated(&answer);
        let nodes = new.brokers.iter().map(|(id, broker)| (*id, broker.address.clone()));
        self.brokers.update(nodes.collect::<HashMap<_, _>>());
        Ok(new)
    }

    /// A leader that an answer named (KIP-951), with the broker's address if it was told.
    pub(crate) fn set_leader(
        &self,
        of: &TopicPartition,
        leader: (i32, i32),
        address: Option<Address>,
    ) {
        if let Some(address) = address {
            self.brokers.learn(leader.0, address);
        }
        self.metadata.send_if_modified(|known| {
            let newer = known.leader(of).is_none_or(|(_, epoch)| epoch < leader.1);
            newer && Arc::make_mut(known).set_leader(of, leader.0, leader.1)
        });
    }

    /// The connection to a broker by its id.
    pub(crate) async fn connection(&self, id: i32, lane: Lane) -> Result<Arc<Connection>, Failure> {
        self.brokers.connection(id, lane).await
    }

    /// The level of a feature of the cluster; 0 when it is off.
    pub(crate) fn feature(&self, name: &str) -> i16 {
        self.brokers.feature(name)
    }

    /// Asks any broker.
    pub(crate) async fn call_any<R: Request>(
        &self,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Failure> {
        Ok(self.ask_any(build).await?.1)
    }

    /// Asks any broker, and says which. Who waits for an answer for long is told in the log why,
    /// and when that is over; callers need not.
    async fn ask_any<R: Request>(
        &self,
        build: impl FnOnce(i16) -> R,
    ) -> Result<(Arc<Connection>, R::Response), Failure> {
        let asked = async {
            let connection = self.brokers.any(Lane::Control).await?;
            let answer = connection.call(build).await?;
            Ok((connection, answer))
        };
        let answered: Result<_, Failure> = asked.await;
        let id = &self.settings.client_id;
        match &answered {
            Ok((connection, _)) => {
                if self.unreached.is_over() {
                    tracing::info!("client {id} reaches broker {} again", connection.broker());
                }
            }
            Err(failure) if failure.is_passing() && self.unreached.is_news() => {
                tracing::warn!("client {id} reaches no broker, and goes on trying: {failure}");
            }
            Err(_) => {}
        }
        answered
    }

    /// Tells who waits for the cluster what for, unless that was just said. Nothing may have failed
    /// yet: a broker has `socket.connection.setup.timeout.ms` for each address.
    pub(crate) fn tell_of_waiting(&self, until: Instant) {
        if self.unreached.is_news() {
            let why = match self.brokers.last_failure() {
                Some(failure) => format!(" ({failure})"),
                None => String::new(),
            };
            tracing::warn!(
                "no broker of bootstrap.servers={} answers yet{why}; giving up in {} s",
                self.bootstrap_servers(),
                until.saturating_duration_since(Instant::now()).as_secs_f32().round(),
            );
        }
    }

    /// `bootstrap.servers`, as they were understood.
    pub(crate) fn bootstrap_servers(&self) -> String {
        let servers = self.settings.bootstrap.iter();
        servers.map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Finds the broker that coordinates a group or a transactional id, by one question.
    pub(crate) async fn find_coordinator(
        &self,
        of: CoordinatorOf,
        key: &str,
    ) -> Result<i32, CallError> {
        let answer = self.call_any(|version| {
            let key = StrBytes::from_string(key.to_owned());
            let kind = of as i8;
            match version {
                0 => FindCoordinatorRequest::default().with_key(key),
                1..=3 => FindCoordinatorRequest::default().with_key(key).with_key_type(kind),
                _ => FindCoordinatorRequest::default()
                    .with_key_type(kind)
                    .with_coordinator_keys(vec![key]),
            }
        });
        let (id, address) = coordinator(answer.await?)?;
        self.brokers.learn(id, address);
        Ok(id)
    }

    /// When a call that begins now has to be done (`default.api.timeout.ms`).
    pub(crate) fn api_deadline(&self) -> Instant {
        Instant::now() + self.settings.api_timeout
    }

    /// A wait that grows by `retry.backoff.ms`.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.retry_backoff)
    }

    /// How long a request waits for its answer.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.settings.request_timeout
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What an answer of any version says of the one key that was asked for.
fn coordinator(answer: FindCoordinatorResponse) -> Result<(i32, Address), CallError> {
    let found = match answer.coordinators.into_iter().next() {
        Some(found) => {
            check(found.error_code, found.error_message.as_ref())?;
            (found.node_id.0, found.host, found.port)
        }
        None => {
            check(answer.error_code, answer.error_message.as_ref())?;
            (answer.node_id.0, answer.host, answer.port)
        }
    };
    let (id, host, port) = found;
    let Ok(port) = u16::try_from(port) else {
        return Err(CallError::Refused(ResponseError::CoordinatorNotAvailable, None));
    };
    Ok((id, Address { host: host.to_string(), port }))
}
