//! Decides what a consumer's poll brings.
//!
//! `fetch` asks each broker for records, in a `session`, and `answer` says what it sent;
//! `partitions` knows where each `partition` is read next, and `chunk` makes bytes into records
//! when the caller polls. `upkeep` keeps metadata and positions, `budget` bounds the memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::client::Client;
use super::error::Failure;
use super::group::{
    CommittedOffset, Coordinator, GroupConsumer, GroupEvent, Identity, commit, committed,
};
use super::settings::ConsumerSettings;
use crate::lock::lock;
use crate::record_batch::Limits;
use crate::trouble::Trouble;
use crate::{Consumer, Fetched, Footprint, Polled, Subscription};

mod answer;
mod budget;
mod chunk;
mod fetch;
mod offsets;
mod partition;
mod partitions;
mod session;
mod upkeep;

#[cfg(test)]
pub(super) mod tests;

use partition::{Position, place};
use partitions::Partitions;

/// A poll that is to wait for longer than this is a mistake in arithmetic.
const LONGEST_POLL: Duration = Duration::from_secs(24 * 3600);

/// A consumer on the native client (`KafkaConsumer` in Java).
///
/// Records are fetched ahead by tasks on the client's I/O runtime; checksums, decompression and
/// columns are the caller's work, in [`poll`](Consumer::poll).
pub(crate) struct NativeConsumer {
    shared: Arc<Shared>,
    mode: Mode,
    /// What the caller was told to give up: it has them until the next poll.
    revoking: Vec<TopicPartition>,
}

#[derive(Debug)]
enum Mode {
    Idle,
    Assigned,
    Member(GroupConsumer),
    Closed,
}

/// What the caller, the fetchers and upkeep have in common.
struct Shared {
    client: Arc<Client>,
    settings: ConsumerSettings,
    /// What a chunk's reader may do at once, if memory allows.
    limits: Limits,
    /// None without `group.id`.
    coordinator: Option<Coordinator>,
    partitions: Mutex<Partitions>,
    /// Rung for the caller.
    ready: Notify,
    /// Rung for upkeep.
    work: Notify,
    fetchers: Mutex<Vec<Arc<Notify>>>,
    closing: watch::Sender<bool>,
    /// A broker does not answer.
    unanswered: Trouble,
}

/// The partitions, for one change. Who has to look again is told at its end.
struct Change<'a> {
    partitions: MutexGuard<'a, Partitions>,
    shared: &'a Shared,
}

impl Deref for Change<'_> {
    type Target = Partitions;

    fn deref(&self) -> &Partitions {
        &self.partitions
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Partitions {
        &mut self.partitions
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let bells = self.partitions.bells();
        if bells.caller {
            self.shared.ready.notify_one();
        }
        if bells.upkeep {
            self.shared.work.notify_one();
        }
        if bells.fetchers {
            self.shared.wake_fetchers();
        }
    }
}

impl Shared {
    fn partitions(&self) -> Change<'_> {
        let partitions = lock(&self.partitions);
        Change { partitions, shared: self }
    }

    fn fetchers(&self) -> MutexGuard<'_, Vec<Arc<Notify>>> {
        lock(&self.fetchers)
    }

    fn add_fetcher(&self, wake: Arc<Notify>) {
        self.fetchers().push(wake);
    }

    fn wake_fetchers(&self) {
        for fetcher in self.fetchers().iter() {
            fetcher.notify_one();
        }
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    async fn closing(&self) {
        // The sender is ours.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    fn close(&self) {
        self.closing.send_replace(true);
        self.partitions().clear();
        self.work.notify_one();
        self.wake_fetchers();
    }

    fn coordinator(&self) -> Result<&Coordinator> {
        self.coordinator.as_ref().ok_or_else(|| {
            Error::config("group.id is needed to subscribe to topics and to commit offsets")
        })
    }

    /// What the group has committed. Without a group nothing is.
    async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>> {
        match &self.coordinator {
            Some(coordinator) => committed(coordinator, outsider, partitions).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// Records that are there now; none when nothing happened. Positions may move over records
    /// that nobody sees: then there are runs, but none of them.
    fn take(&self) -> Result<Option<Vec<Fetched>>> {
        let mut left = self.settings.max_poll_records;
        let mut runs = Vec::new();
        let (mut bytes, mut has_moved) = (0, false);
        let most_bytes = budget::poll_bytes(self.client.footprint().allowed());
        while left > 0 && bytes < most_bytes {
            let Some(mut taken) = self.partitions().take() else {
                break;
            };
            let tp = taken.partition.clone();
            let columns = match taken.chunk.take(left) {
                Ok(columns) => columns,
                Err(_) if has_moved => {
                    // First what is before it.
                    self.partitions().put_back(taken);
                    break;
                }
                Err(error) => {
                    let offset = taken.chunk.position().offset;
                    self.partitions().give_up(taken, Instant::now());
                    return Err(place(error, &tp, offset));
                }
            };
            bytes += taken.chunk.decoded_bytes();
            if !self.partitions().put_back(taken) {
                continue;
            }
            has_moved = true;
            if let Some(columns) = columns {
                left -= columns.len();
                runs.push(columns.fetched_from(tp));
            }
        }
        Ok(has_moved.then_some(runs))
    }

    /// A broker did not answer. Passing trouble is told in the log and tried again; what trying
    /// again does not mend, the caller has to hear.
    fn broker_failed<'a>(
        &self,
        failure: &Failure,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) {
        let mut state = self.partitions();
        for tp in partitions {
            state.leave_replica(tp);
        }
        state.want_metadata();
        if !failure.is_passing() {
            state.push_error(&"".into(), failure.clone().doing(answer::WHAT));
            return;
        }
        if self.unanswered.is_news() {
            tracing::warn!("{}, and will be asked for again: {failure}", answer::WHAT);
        }
    }
}

/// What the group does next; nothing without a group. Cancel-safe.
async fn next_event(group: &mut Option<&mut GroupConsumer>) -> Result<GroupEvent> {
    match group {
        Some(group) => group.next_event().await,
        None => std::future::pending().await,
    }
}

/// Who reads and commits offsets without being a member.
fn outsider() -> Identity {
    Identity::outsider(None)
}

impl NativeConsumer {
    /// A consumer that reads nothing yet. `client` is its alone.
    pub(crate) fn new(client: Arc<Client>, settings: ConsumerSettings) -> Self {
        let partitions = Partitions::new(settings.offset_reset, settings.client.retry_backoff);
        let group = settings.group.as_ref();
        let coordinator = group.map(|group| Coordinator::new(client.clone(), group.id.clone()));
        let limits = Limits {
            check_crcs: settings.check_crcs,
            max_run_records: settings.max_poll_records,
            ..Limits::default()
        };
        let shared = Arc::new(Shared {
            client,
            settings,
            limits,
            coordinator,
            partitions: Mutex::new(partitions),
            ready: Notify::new(),
            work: Notify::new(),
            fetchers: Mutex::default(),
            closing: watch::Sender::new(false),
            unanswered: Trouble::default(),
        });
        shared.client.spawn(upkeep::run(shared.clone()));
        Self { shared, mode: Mode::Idle, revoking: Vec::new() }
    }

    fn check_open(&self) -> Result<()> {
        match self.mode {
            Mode::Closed => Err(Error::fatal("the consumer is closed")),
            _ => Ok(()),
        }
    }

    fn check_assigned<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.check_open()?;
        let state = self.shared.partitions();
        match partitions.into_iter().find(|tp| !state.contains(tp)) {
            None => Ok(()),
            Some(tp) => Err(Error::fatal(format!("No current assignment for partition {tp}"))),
        }
    }

    /// Forgets every partition, and leaves the group.
    fn leave(&mut self, then: Mode) -> Option<GroupConsumer> {
        self.revoking.clear();
        self.shared.partitions().clear();
        match std::mem::replace(&mut self.mode, then) {
            Mode::Member(group) => Some(group),
            _ => None,
        }
    }

    /// What the group did, as the caller hears of it.
    fn rebalanced(&mut self, event: GroupEvent) -> Polled {
        let mut state = self.shared.partitions();
        match event {
            GroupEvent::Assigned(partitions) => {
                self.shared.client.follow(partitions.iter().map(|tp| &tp.topic));
                for tp in &partitions {
                    state.add(tp.clone(), None, true);
                }
                Polled::Assigned(partitions)
            }
            GroupEvent::Revoked(partitions) => {
                self.revoking.clone_from(&partitions);
                Polled::Revoked(partitions)
            }
            GroupEvent::Lost(partitions) => {
                partitions.iter().for_each(|tp| state.remove(tp));
                Polled::Lost(partitions)
            }
        }
    }

    fn set_offsets(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.check_assigned(offsets.keys())?;
        for (tp, offset) in offsets {
            check_offset(tp, *offset)?;
        }
        let mut partitions = self.shared.partitions();
        for (tp, offset) in offsets {
            partitions.jump(tp, Position::at(*offset));
        }
        Ok(())
    }
}

fn check_offset(tp: &TopicPartition, offset: i64) -> Result<()> {
    match offset {
        0.. => Ok(()),
        _ => Err(place(Error::fatal("seek offset must not be a negative number"), tp, offset)),
    }
}

impl Drop for NativeConsumer {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[async_trait]
impl Consumer for NativeConsumer {
    fn footprint(&self) -> Arc<Footprint> {
        self.shared.client.footprint().clone()
    }

    async fn subscribe(&mut self, subscription: &Subscription) -> Result<()> {
        self.check_open()?;
        self.leave(Mode::Idle);
        let (client, settings) = (&self.shared.client, &self.shared.settings);
        self.mode = Mode::Member(GroupConsumer::subscribe(client, settings, subscription)?);
        Ok(())
    }

    async fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<()> {
        self.check_open()?;
        for (tp, offset) in partitions {
            check_offset(tp, *offset)?;
        }
        self.leave(Mode::Assigned);
        let topics: BTreeSet<_> = partitions.iter().map(|(tp, _)| tp.topic.clone()).collect();
        self.shared.client.follow_only(Some(topics));
        let mut state = self.shared.partitions();
        for (tp, offset) in partitions {
            state.add(tp.clone(), Some(Position::at(*offset)), false);
        }
        Ok(())
    }

    async fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        self.check_open()?;
        // A caller that always finds records must let others run as well.
        tokio::task::coop::consume_budget().await;
        let deadline = Instant::now() + timeout.min(LONGEST_POLL);
        let mut group = match &mut self.mode {
            Mode::Member(group) => Some(group),
            Mode::Assigned => None,
            Mode::Idle | Mode::Closed => {
                return Err(Error::fatal(
                    "the consumer has neither subscribed to topics nor was it assigned partitions",
                ));
            }
        };
        let _polling = group.as_mut().map(|group| group.poll());
        {
            let mut state = self.shared.partitions();
            // What was revoked by the last poll is gone with this one.
            self.revoking.drain(..).for_each(|tp| state.remove(&tp));
            state.release();
        }
        loop {
            let event = tokio::select! {
                biased;
                event = next_event(&mut group) => Some(event?),
                () = std::future::ready(()) => None,
            };
            if let Some(event) = event {
                return Ok(self.rebalanced(event));
            }
            if let Some(error) = self.shared.partitions().next_error() {
                return Err(error);
            }
            if let Some(runs) = self.shared.take()? {
                return Ok(Polled::Records(runs));
            }
            let event = tokio::select! {
                event = next_event(&mut group) => event?,
                () = self.shared.ready.notified() => continue,
                () = sleep_until(deadline) => return Ok(Polled::Records(Vec::new())),
            };
            return Ok(self.rebalanced(event));
        }
    }

    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.check_assigned(partitions)?;
        let deadline = self.shared.client.api_deadline();
        loop {
            let mut found = BTreeMap::new();
            {
                let mut state = self.shared.partitions();
                for tp in partitions {
                    match state.position(tp) {
                        Some(position) => {
                            found.insert(tp.clone(), position.offset);
                        }
                        None => state.release_one(tp),
                    }
                }
                if found.len() == partitions.len() {
                    return Ok(found);
                }
                if let Some(error) = state.next_error() {
                    return Err(error);
                }
            }
            if timeout_at(deadline, self.shared.ready.notified()).await.is_err() {
                let missing = partitions.iter().find(|tp| !found.contains_key(tp));
                let error = Error::retriable("no broker said in time where the partition begins");
                return Err(missing.into_iter().fold(error, |e, tp| e.context("partition", tp)));
            }
        }
    }

    async fn seek(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.set_offsets(offsets)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_assigned(partitions)?;
        let mut state = self.shared.partitions();
        partitions.iter().for_each(|tp| state.pause(tp));
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_assigned(partitions)?;
        let mut state = self.shared.partitions();
        partitions.iter().for_each(|tp| state.resume(tp));
        Ok(())
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.check_open()?;
        let epoch = |tp: &TopicPartition, offset: i64| {
            let position = self.shared.partitions().position(tp);
            position.filter(|at| at.offset == offset).map_or(-1, |at| at.epoch)
        };
        let offsets: BTreeMap<_, _> = offsets
            .iter()
            .map(|(tp, offset)| {
                let committed =
                    CommittedOffset { offset: *offset, leader_epoch: epoch(tp, *offset) };
                (tp.clone(), committed)
            })
            .collect();
        match &self.mode {
            Mode::Member(group) => group.commit(&offsets).await,
            _ => commit(self.shared.coordinator()?, outsider, &offsets).await,
        }
    }

    async fn close(&mut self) -> Result<()> {
        let group = self.leave(Mode::Closed);
        self.shared.close();
        if let Some(group) = group {
            group.leave().await;
        }
        Ok(())
    }
}
