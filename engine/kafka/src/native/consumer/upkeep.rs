//! Decides what a consumer does beside fetching: metadata is kept true, positions are found, and
//! every broker with something to read has a fetcher.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use millrace_api::{Error, TopicPartition};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::answer::WHAT;
use super::fetch::Fetcher;
use super::offsets;
use super::partition::{Asked, Position, Questions};
use crate::native::backoff::Backoff;
use crate::native::error::{self, Failure};
use crate::native::metadata::Metadata;

/// Runs until the consumer closes.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut upkeep = Upkeep {
        metadata: shared.client.watch_metadata(),
        backoff: shared.client.backoff(),
        not_before: Instant::now(),
        is_wanted: false,
        is_refreshing: false,
        missing: BTreeSet::new(),
        fetchers: BTreeMap::new(),
        tasks: JoinSet::new(),
        shared,
    };
    while !upkeep.shared.is_closing() {
        upkeep.step().await;
    }
    upkeep.end().await;
}

struct Upkeep {
    shared: Arc<Shared>,
    metadata: tokio::sync::watch::Receiver<Arc<Metadata>>,
    backoff: Backoff,
    /// What was last said of the cluster turned out wrong, or not all there is.
    is_wanted: bool,
    /// The cluster is being asked.
    is_refreshing: bool,
    /// Metadata is not asked for again before.
    not_before: Instant,
    /// Topics of which the log says that they are missing.
    missing: BTreeSet<Arc<str>>,
    fetchers: BTreeMap<i32, Arc<Notify>>,
    tasks: JoinSet<Done>,
}

/// What has come to an end.
enum Done {
    /// The cluster was asked.
    Refreshed(Result<Arc<Metadata>, Failure>),
    /// Something that has told what it found.
    Told,
}

impl Upkeep {
    /// One look at everything, then a wait for the next reason.
    async fn step(&mut self) {
        let metadata = self.metadata.borrow_and_update().clone();
        let questions = {
            let mut partitions = self.shared.partitions();
            partitions.update(&metadata);
            self.is_wanted |= partitions.wanted_metadata();
            partitions.questions(Instant::now())
        };
        self.start_fetchers();
        let next = questions.next;
        self.ask(questions);
        let refresh_at = self.refresh_at(&metadata);
        let is_due = refresh_at.is_some_and(|at| at <= Instant::now());
        if is_due {
            self.refresh();
        }
        let refresh_at = refresh_at.filter(|_| !is_due);
        let next = [next, refresh_at].into_iter().flatten().min();
        tokio::select! {
            () = self.shared.work.notified() => {}
            // The sender lives in the client, which we hold.
            _ = self.metadata.changed() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            Some(done) = self.tasks.join_next() => self.joined(done),
        }
    }

    /// When to ask for metadata: when it is too old, and where it was wrong, with ever longer
    /// waits.
    fn refresh_at(&self, metadata: &Metadata) -> Option<Instant> {
        if self.is_refreshing || self.shared.partitions().is_empty() {
            return None;
        }
        match metadata.fetched_at {
            Some(at) if !self.is_wanted => {
                Some(self.not_before.max(at + self.shared.settings.client.metadata_max_age))
            }
            _ => Some(self.not_before),
        }
    }

    /// Asks beside everything else: a broker that hangs keeps nobody from reading of others.
    fn refresh(&mut self) {
        (self.is_refreshing, self.is_wanted) = (true, false);
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                refreshed = shared.client.refresh() => Done::Refreshed(refreshed),
                () = shared.closing() => Done::Told,
            }
        });
    }

    fn joined(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Refreshed(refreshed)) => self.refreshed(refreshed),
            Ok(Done::Told) => {}
            // What it was to do is never done.
            Err(e) if e.is_panic() => {
                let error = Error::fatal("a task of the consumer has panicked").with_source(e);
                self.shared.partitions().push_error(&"".into(), error);
            }
            Err(_) => {}
        }
    }

    fn refreshed(&mut self, refreshed: Result<Arc<Metadata>, Failure>) {
        self.is_refreshing = false;
        self.not_before = Instant::now() + self.backoff.next();
        match refreshed {
            Ok(metadata) => self.look_for_missing(&metadata),
            Err(failure) => {
                self.is_wanted = true;
                // Of what passes the client has told.
                if !failure.is_passing() {
                    self.shared.partitions().push_error(&"".into(), failure.doing(WHAT));
                }
            }
        }
    }

    /// Topics of which the cluster has nothing to tell.
    fn look_for_missing(&mut self, metadata: &Metadata) {
        let mut partitions = self.shared.partitions();
        let topics: BTreeSet<_> = partitions.names().map(|tp| tp.topic.clone()).collect();
        // An election may take long; the waits grow as if the topic were not there.
        let mut is_all_there = partitions.names().all(|tp| metadata.leader(tp).is_some());
        for topic in topics {
            let error = match metadata.topics.get(&topic) {
                None => Some(ResponseError::UnknownTopicOrPartition),
                Some(known) => known.error,
            };
            match error {
                None => {
                    self.missing.remove(&topic);
                    continue;
                }
                Some(ResponseError::UnknownTopicOrPartition) => {
                    if self.missing.insert(topic.clone()) {
                        tracing::warn!("topic {topic} does not exist: waiting for it");
                    }
                }
                Some(code) if code.is_retriable() => {}
                Some(code) => {
                    let error = error::refused(code, WHAT, None).context("topic", &topic);
                    partitions.push_error(&topic, error);
                }
            }
            is_all_there = false;
        }
        if is_all_there {
            self.backoff.reset();
        }
    }

    fn start_fetchers(&mut self) {
        let sources: BTreeSet<i32> = self.shared.partitions().sources().collect();
        for node in sources {
            if self.fetchers.contains_key(&node) {
                continue;
            }
            let wake = Arc::new(Notify::new());
            self.fetchers.insert(node, wake.clone());
            self.shared.add_fetcher(wake.clone());
            let fetcher = Fetcher::new(self.shared.clone(), node, wake);
            self.tasks.spawn(told(fetcher.run()));
        }
    }

    fn ask(&mut self, questions: Questions) {
        for (leader, questions) in questions.leaders {
            self.tasks.spawn(told(offsets::ask(self.shared.clone(), leader, questions)));
        }
        if !questions.committed.is_empty() {
            self.tasks.spawn(told(ask_group(self.shared.clone(), questions.committed)));
        }
    }

    /// Fetchers end by themselves, as they have sessions to close.
    async fn end(mut self) {
        const LONGEST: Duration = Duration::from_secs(10);
        self.shared.wake_fetchers();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(LONGEST, all).await;
    }
}

async fn told(work: impl Future<Output = ()>) -> Done {
    work.await;
    Done::Told
}

/// Asks where the group was.
async fn ask_group(shared: Arc<Shared>, partitions: Vec<(TopicPartition, u64)>) {
    let names: Vec<_> = partitions.iter().map(|(tp, _)| tp.clone()).collect();
    let found = shared.committed(&names).await;
    let now = Instant::now();
    let mut state = shared.partitions();
    for (tp, incarnation) in &partitions {
        let asked = Asked { partition: tp, incarnation: *incarnation, now };
        match &found {
            Ok(found) => {
                let position = found.get(tp).map(|committed| Position {
                    offset: committed.offset,
                    epoch: committed.leader_epoch,
                });
                state.committed(&asked, position);
            }
            Err(_) => state.postpone(&asked),
        }
    }
    if let Err(error) = found
        && let Some((tp, _)) = partitions.first()
    {
        if error.kind() == millrace_api::ErrorKind::Retriable {
            tracing::warn!("{error}");
        } else {
            state.push_error(&tp.topic, error);
        }
    }
}
