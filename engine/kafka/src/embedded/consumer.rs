//! Decides what a consumer of the embedded cluster returns next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::group::{Joining, MemberId, Step};
use super::partition::{Partition, Start};
use super::settings::ConsumerSettings;
use crate::lock::lock;
use crate::matcher::Matcher;
use crate::{Consumer, Fetched, Footprint, Polled, Subscription};

pub(super) struct EmbeddedConsumer {
    shared: Arc<Shared>,
    settings: ConsumerSettings,
    /// Rung by appends to our partitions and by changes in our group.
    wake: Arc<Notify>,
    mode: Mode,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// What the caller was told to give up: it has them until the next poll.
    revoking: Vec<TopicPartition>,
    /// Where the next poll begins to look, so that no partition starves.
    next: Option<TopicPartition>,
    footprint: Arc<Footprint>,
}

enum Mode {
    Idle,
    Assigned,
    Member { group: Arc<str>, id: MemberId, matcher: Matcher },
    Closed,
}

impl EmbeddedConsumer {
    pub(super) fn new(shared: Arc<Shared>, settings: ConsumerSettings) -> Self {
        Self {
            shared,
            settings,
            wake: Arc::new(Notify::new()),
            mode: Mode::Idle,
            partitions: BTreeMap::new(),
            revoking: Vec::new(),
            next: None,
            footprint: Arc::default(),
        }
    }

    fn group(&self) -> Result<&str> {
        self.settings.group.as_deref().ok_or_else(|| {
            Error::config("group.id is needed to subscribe to topics and to commit offsets")
        })
    }

    fn check_open(&self) -> Result<()> {
        match self.mode {
            Mode::Closed => Err(Error::fatal("the consumer is closed")),
            _ => Ok(()),
        }
    }

    fn join(&self, group: &Arc<str>, matcher: &Matcher) -> Result<MemberId> {
        let joining = Joining {
            matcher: matcher.clone(),
            max_poll_interval: self.settings.max_poll_interval,
            wake: self.wake.clone(),
        };
        let mut groups = lock(&self.shared.groups);
        self.shared.check_no_remote_members(group)?;
        Ok(groups.join(group, joining, Instant::now()))
    }

    /// Leaves the group and forgets every partition.
    fn leave(&mut self, then: Mode) {
        if let Mode::Member { group, id, .. } = std::mem::replace(&mut self.mode, then) {
            lock(&self.shared.groups).leave(&group, id);
        }
        self.revoking.clear();
        let all: Vec<_> = self.partitions.keys().cloned().collect();
        self.drop_partitions(&all);
    }

    fn add_partition(&mut self, tp: &TopicPartition, start: Start) -> Result<()> {
        let log = self.shared.log(tp)?;
        log.watch(&self.wake);
        self.partitions.insert(tp.clone(), Partition::new(log, start));
        Ok(())
    }

    fn drop_partitions(&mut self, partitions: &[TopicPartition]) {
        for tp in partitions {
            if let Some(partition) = self.partitions.remove(tp) {
                partition.log().unwatch(&self.wake);
            }
        }
    }

    fn partition(&mut self, tp: &TopicPartition) -> Result<&mut Partition> {
        self.partitions.get_mut(tp).ok_or_else(|| {
            Error::fatal("the partition is not assigned to this consumer").context("partition", tp)
        })
    }

    /// Whether the group has something to tell.
    fn rebalance(&mut self) -> Result<Option<Polled>> {
        let Mode::Member { group, id, matcher } = &self.mode else {
            return Ok(None);
        };
        let step = lock(&self.shared.groups).poll(group, *id, Instant::now());
        match step {
            Step::Nothing => Ok(None),
            Step::Assigned(mut added) => {
                for tp in &added {
                    match self.add_partition(tp, Start::Committed) {
                        // Deleted since: the group will say so.
                        Err(e) if e.kind() == ErrorKind::NotFound => {}
                        other => other?,
                    }
                }
                // What the caller never heard of it cannot be asked to position.
                added.retain(|tp| self.partitions.contains_key(tp));
                Ok((!added.is_empty()).then_some(Polled::Assigned(added)))
            }
            Step::Revoked(partitions) => {
                self.revoking.clone_from(&partitions);
                Ok(Some(Polled::Revoked(partitions)))
            }
            Step::Lost(mut partitions) => {
                partitions.retain(|tp| self.partitions.contains_key(tp));
                self.drop_partitions(&partitions);
                Ok((!partitions.is_empty()).then_some(Polled::Lost(partitions)))
            }
            Step::Fenced => {
                let id = self.join(group, matcher)?;
                let mode = Mode::Member { group: group.clone(), id, matcher: matcher.clone() };
                self.mode = mode;
                let lost: Vec<_> = self.partitions.keys().cloned().collect();
                self.drop_partitions(&lost);
                Ok((!lost.is_empty()).then_some(Polled::Lost(lost)))
            }
        }
    }

    /// Finds out where partitions begin that have not been read yet.
    fn resolve(&mut self, only: Option<&[TopicPartition]>) -> Result<()> {
        let unresolved = self.partitions.iter_mut().filter(|(tp, partition)| {
            partition.position().is_none() && only.is_none_or(|only| only.contains(tp))
        });
        let group = self.settings.group.as_deref();
        for (tp, partition) in unresolved {
            let committed = group.filter(|_| partition.may_use_committed()).and_then(|group| {
                self.shared.offsets.committed(group, std::slice::from_ref(tp)).remove(tp)
            });
            partition.begin(tp, committed, &self.settings)?;
        }
        Ok(())
    }

    /// Records that are there now, without waiting.
    fn fetch(&mut self) -> Result<Vec<Fetched>> {
        self.resolve(None)?;
        let mut runs = Vec::new();
        let mut left = self.settings.max_poll_records;
        let mut bytes = 0;
        // As much again may wait for the next poll, and become something larger.
        let most_bytes = (self.footprint.allowed() / 4).max(1);
        // Once around, beginning where the last poll stopped.
        let from = self.next.take();
        let from = from.as_ref();
        let is_before = |tp: &TopicPartition| from.is_some_and(|from| tp < from);
        let order: Vec<_> = {
            let after = self.partitions.keys().filter(|tp| !is_before(tp));
            after.chain(self.partitions.keys().filter(|tp| is_before(tp))).cloned().collect()
        };
        for (i, tp) in order.iter().enumerate() {
            let Some(partition) = self.partitions.get_mut(tp) else {
                continue;
            };
            let taken = partition.take(tp, left, &self.settings, most_bytes);
            self.footprint.ends_at(tp, partition.end(self.settings.isolation));
            match taken {
                Ok(None) => {}
                Ok(Some(run)) => {
                    left -= run.offsets.len();
                    bytes += partition.taken_bytes();
                    runs.push(run);
                }
                // What was taken from others would be lost with an error: first things first.
                Err(_) if !runs.is_empty() => {
                    self.next = Some(tp.clone());
                    break;
                }
                Err(e) => return Err(e),
            }
            if left == 0 || bytes >= self.settings.fetch_max_bytes.min(most_bytes) {
                let is_drained = !partition.has_pending();
                self.next = order.get((i + usize::from(is_drained)) % order.len()).cloned();
                break;
            }
        }
        self.footprint.holds(self.partitions.values().map(Partition::pending_bytes).sum());
        Ok(runs)
    }

    /// Waits for an append, a change in the group, a member that has to be put out, or the end of
    /// time.
    async fn wait(&self, deadline: Instant) {
        let mut until = deadline;
        let _polling = match &self.mode {
            Mode::Member { group, id, .. } => {
                let guard = Polling::new(&self.shared, group, *id);
                if let Some(expiry) = lock(&self.shared.groups).next_expiry(group) {
                    // Expired is who is past it.
                    until = until.min(expiry + Duration::from_millis(1));
                }
                Some(guard)
            }
            _ => None,
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

/// A poll that waits, for as long as it lives: it may be dropped any time.
struct Polling<'a> {
    shared: &'a Shared,
    group: &'a str,
    id: MemberId,
}

impl<'a> Polling<'a> {
    fn new(shared: &'a Shared, group: &'a str, id: MemberId) -> Self {
        lock(&shared.groups).set_polling(group, id, true, Instant::now());
        Self { shared, group, id }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        lock(&self.shared.groups).set_polling(self.group, self.id, false, Instant::now());
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.leave(Mode::Closed);
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    fn footprint(&self) -> Arc<Footprint> {
        self.footprint.clone()
    }

    async fn subscribe(&mut self, subscription: &Subscription) -> Result<()> {
        self.check_open()?;
        let group: Arc<str> = self.group()?.into();
        let matcher = Matcher::new(subscription)?;
        self.leave(Mode::Idle);
        let id = self.join(&group, &matcher)?;
        self.mode = Mode::Member { group, id, matcher };
        Ok(())
    }

    async fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<()> {
        self.check_open()?;
        for (tp, _) in partitions {
            self.shared.log(tp)?;
        }
        self.leave(Mode::Assigned);
        for (tp, offset) in partitions {
            self.add_partition(tp, Start::At(*offset))?;
        }
        Ok(())
    }

    async fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        self.check_open()?;
        if matches!(self.mode, Mode::Idle) {
            return Err(Error::fatal(
                "the consumer has neither subscribed to topics nor was it assigned partitions",
            ));
        }
        // A caller that always finds records must let others run as well.
        tokio::task::coop::consume_budget().await;
        let deadline = Instant::now() + timeout;
        // What was revoked by the last poll is gone with this one.
        let revoked = std::mem::take(&mut self.revoking);
        self.drop_partitions(&revoked);
        loop {
            if let Some(event) = self.rebalance()? {
                return Ok(event);
            }
            let runs = self.fetch()?;
            if !runs.is_empty() || Instant::now() >= deadline {
                return Ok(Polled::Records(runs));
            }
            self.wait(deadline).await;
        }
    }

    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.check_open()?;
        for tp in partitions {
            self.partition(tp)?;
        }
        self.resolve(Some(partitions))?;
        let position = |tp| self.partitions.get(tp).and_then(|p| Some((tp.clone(), p.position()?)));
        Ok(partitions.iter().filter_map(position).collect())
    }

    async fn seek(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.check_open()?;
        for tp in offsets.keys() {
            self.partition(tp)?;
        }
        for (tp, offset) in offsets {
            self.partition(tp)?.seek(*offset);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.check_open()?;
        let group = self.group()?;
        let id = match &self.mode {
            Mode::Member { id, .. } => Some(*id),
            _ => None,
        };
        // Held over the commit: nobody may be given a partition between check and commit.
        let mut groups = lock(&self.shared.groups);
        groups.check_commit(group, id, offsets.keys(), Instant::now())?;
        if id.is_none() {
            self.shared.check_no_remote_members(group)?;
        }
        self.shared.offsets.commit(group, offsets)
    }

    async fn close(&mut self) -> Result<()> {
        self.leave(Mode::Closed);
        Ok(())
    }
}

impl EmbeddedConsumer {
    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<()> {
        self.check_open()?;
        for tp in partitions {
            self.partition(tp)?;
        }
        for tp in partitions {
            self.partition(tp)?.is_paused = paused;
        }
        Ok(())
    }
}
