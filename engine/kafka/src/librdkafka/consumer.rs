//! Decides what a poll brings and when a rebalance is completed: at the poll after the one that
//! announced it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use tokio::time::{Instant, sleep, timeout};

use super::admin::{self, Start};
use super::batch::{Batch, Trouble};
use super::error;
use super::groups;
use super::native::{Client, PartitionList, Queue, off_thread};
use super::rebalance::{Change, Rebalance};
use super::settings::Settings;
use super::topic_watch::TopicWatch;
use crate::{Consumer, Fetched, Polled, Subscription};

/// librdkafka's word for "begin at the committed offset".
const STORED: i64 = sys::RD_KAFKA_OFFSET_INVALID as i64;

/// librdkafka counts polls to tell whether the task is alive; a wait is cut into these.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// A consumer on librdkafka.
pub(super) struct RdKafkaConsumer {
    batch: Batch,
    queue: Queue,
    client: Arc<Client>,
    settings: Settings,
    assignment: Assignment,
    watch: TopicWatch,
    warned: HashSet<Arc<str>>,
    errors: VecDeque<Error>,
    closed: bool,
}

/// What we read, and where.
#[derive(Debug, Default)]
struct Assignment {
    partitions: BTreeSet<TopicPartition>,
    paused: BTreeSet<TopicPartition>,
    /// The next offset of each partition that is known.
    positions: HashMap<TopicPartition, i64>,
    /// Announced, but not completed.
    announced: Option<Rebalance>,
}

impl Assignment {
    /// Whether librdkafka does not know of the partition yet.
    fn is_to_come(&self, partition: &TopicPartition) -> bool {
        self.announced.as_ref().is_some_and(|rebalance| {
            rebalance.change == Change::Assigned && rebalance.partitions.contains(partition)
        })
    }

    fn check(&self, partition: &TopicPartition) -> Result<()> {
        if self.partitions.contains(partition) {
            return Ok(());
        }
        Err(Error::fatal(format!("No current assignment for partition {partition}")))
    }

    fn forget(&mut self, partition: &TopicPartition) {
        self.partitions.remove(partition);
        self.paused.remove(partition);
        self.positions.remove(partition);
    }
}

impl RdKafkaConsumer {
    pub(super) fn new(settings: Settings) -> Result<Self> {
        let client = Client::new(&settings)?;
        Ok(Self {
            batch: Batch::new(settings.max_poll_records),
            queue: Queue::of_consumer(&client),
            client,
            assignment: Assignment::default(),
            watch: TopicWatch::idle(settings.metadata_max_age),
            warned: HashSet::new(),
            errors: VecDeque::new(),
            closed: false,
            settings,
        })
    }

    fn check_open(&self) -> Result<()> {
        if self.closed {
            return Err(Error::fatal("This consumer has already been closed."));
        }
        Ok(())
    }

    fn check_group(&self, what: &str) -> Result<()> {
        if self.settings.group_id.is_none() {
            return Err(Error::config(format!("group.id is needed to {what}")));
        }
        Ok(())
    }

    /// Completes the rebalance that the last poll announced.
    fn complete(&mut self) {
        let Some(rebalance) = self.assignment.announced.take() else {
            return;
        };
        if rebalance.change == Change::Assigned {
            let positions = &self.assignment.positions;
            rebalance.complete(&self.client, |p| positions.get(p).copied().unwrap_or(STORED));
            let paused = rebalance.partitions.iter().filter(|p| self.assignment.paused.contains(p));
            pause(&self.client, paused);
            return;
        }
        // A partition that comes back later must not still be paused inside librdkafka.
        let paused = rebalance.partitions.iter().filter(|p| self.assignment.paused.contains(p));
        resume(&self.client, paused);
        rebalance.complete(&self.client, |_| STORED);
        for partition in &rebalance.partitions {
            self.assignment.forget(partition);
        }
    }

    /// The next rebalance the caller has to hear of. Empty ones are completed at once.
    fn announce(&mut self) -> Option<Polled> {
        while let Some(rebalance) = self.client.context().next_rebalance() {
            if rebalance.partitions.is_empty() {
                rebalance.complete(&self.client, |_| STORED);
                continue;
            }
            let partitions = rebalance.partitions.clone();
            let polled = match rebalance.change {
                Change::Assigned => {
                    self.assignment.partitions.extend(partitions.iter().cloned());
                    Polled::Assigned(partitions)
                }
                Change::Revoked => Polled::Revoked(partitions),
                Change::Lost => Polled::Lost(partitions),
            };
            self.assignment.announced = Some(rebalance);
            return Some(polled);
        }
        None
    }

    /// Takes what is there, without waiting.
    fn take(&mut self) -> Vec<Fetched> {
        let (mut records, troubles) = self.batch.take(&self.queue);
        for trouble in troubles {
            self.on_trouble(trouble);
        }
        // What was fetched ahead is purged when a partition is given up or paused. This only makes
        // sure that nobody sees records of a partition that is not theirs.
        records.retain(|run| self.assignment.partitions.contains(&run.topic_partition));
        for run in &records {
            if let Some(last) = run.offsets.last() {
                self.assignment.positions.insert(run.topic_partition.clone(), last + 1);
            }
        }
        records
    }

    fn on_trouble(&mut self, trouble: Trouble) {
        const MISSING: &[Code] = &[
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
        ];
        let Trouble { code, reason, topic } = trouble;
        if MISSING.iter().any(|missing| *missing as i32 == code) {
            self.watch.missing();
            let name = topic.unwrap_or_else(|| reason.as_str().into());
            if self.warned.insert(name) {
                tracing::warn!("{reason}: waiting for the topic to be created");
            }
            return;
        }
        if code == Code::RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED as i32 {
            tracing::warn!("{reason}: the group has taken this consumer's partitions away");
            return;
        }
        let mut error = self.client.error(code, "records cannot be read", &reason);
        if let Some(topic) = topic {
            error = error.context("topic", topic);
        }
        if code == Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED as i32
            && let Some(group) = &self.settings.group_id
        {
            error = error.context("group.id", group);
        }
        match error.kind() {
            // librdkafka tries again, or the group rebalances, without our help.
            ErrorKind::Retriable | ErrorKind::Conflict => tracing::warn!("{error}"),
            _ => self.errors.push_back(error),
        }
    }

    /// Lets the group know of topics that have come, if a pattern matches them.
    fn watch_topics(&mut self) -> Result<()> {
        if self.watch.step(&self.client) {
            self.subscribe_to_found()?;
        }
        Ok(())
    }

    fn subscribe_to_found(&self) -> Result<()> {
        let topics = self.watch.topics();
        if topics.is_empty() {
            return Ok(());
        }
        let list = PartitionList::of_topics(topics.iter().map(String::as_str));
        // SAFETY: client and list are live; librdkafka copies the list.
        let code = unsafe { sys::rd_kafka_subscribe(self.client.raw(), list.raw()) } as i32;
        match code {
            error::NONE => Ok(()),
            code => Err(self.client.error(code, "topics cannot be subscribed to", "")),
        }
    }

    /// Positions nobody has asked for yet: the group's commit, or an end of the log.
    async fn resolve(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let timeout = self.settings.api_timeout;
        let mut resolved = match &self.settings.group_id {
            Some(group) => {
                groups::committed(&self.client, group, Some(partitions), timeout).await?
            }
            None => BTreeMap::new(),
        };
        let rest: Vec<TopicPartition> =
            partitions.iter().filter(|p| !resolved.contains_key(p)).cloned().collect();
        let Some(first) = rest.first() else {
            return Ok(resolved);
        };
        let (reset, committed) = (self.settings.offset_reset, self.settings.read_committed);
        let Some(start) = Start::of_reset(reset, committed) else {
            return Err(Error::fatal("no offset is committed and auto.offset.reset is none")
                .context("partition", first));
        };
        resolved.extend(admin::list_offsets(&self.client, &rest, start, timeout).await?);
        Ok(resolved)
    }

    /// Moves partitions librdkafka is reading already. One that has only just been assigned is
    /// not ready for that at once.
    async fn move_to(&self, offsets: Vec<(TopicPartition, i64)>) -> Result<()> {
        const NOT_YET: &[Code] = &[
            Code::RD_KAFKA_RESP_ERR__STATE,
            Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            Code::RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS,
            Code::RD_KAFKA_RESP_ERR__IN_PROGRESS,
        ];
        const WHAT: &str = "the partition cannot be positioned";
        let deadline = Instant::now() + self.settings.api_timeout;
        let mut left = offsets;
        loop {
            let client = self.client.clone();
            let answers = off_thread(move || seek(&client, &left)).await?;
            left = Vec::new();
            for (partition, offset, code) in answers {
                if NOT_YET.iter().any(|not_yet| *not_yet as i32 == code) {
                    if Instant::now() >= deadline {
                        let error = self.client.timed_out(WHAT, self.settings.api_timeout);
                        return Err(error.context("partition", partition));
                    }
                    left.push((partition, offset));
                } else if code != error::NONE {
                    let error = self.client.error(code, WHAT, "");
                    return Err(error.context("partition", partition));
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets librdkafka close: it waits for every rebalance it has told us of.
    fn complete_all(&mut self) {
        self.client.context().set_closing();
        self.complete();
        while let Some(rebalance) = self.client.context().next_rebalance() {
            rebalance.complete(&self.client, |_| STORED);
        }
    }
}

impl Drop for RdKafkaConsumer {
    fn drop(&mut self) {
        if !self.closed {
            self.complete_all();
        }
    }
}

#[async_trait]
impl Consumer for RdKafkaConsumer {
    async fn subscribe(&mut self, subscription: &Subscription) -> Result<()> {
        self.check_open()?;
        self.check_group("subscribe")?;
        let (internal, age) =
            (self.settings.exclude_internal_topics, self.settings.metadata_max_age);
        self.watch = TopicWatch::of_subscription(subscription, internal, age)?;
        self.subscribe_to_found()
    }

    async fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<()> {
        self.check_open()?;
        resume(&self.client, self.assignment.paused.iter());
        let list = PartitionList::new(partitions.iter().map(|(p, offset)| (p, *offset)));
        // SAFETY: client and list are live; librdkafka copies the list.
        let code = unsafe { sys::rd_kafka_assign(self.client.raw(), list.raw()) } as i32;
        if code != error::NONE {
            return Err(self.client.error(code, "partitions cannot be assigned", ""));
        }
        self.assignment = Assignment {
            partitions: partitions.iter().map(|(p, _)| p.clone()).collect(),
            positions: partitions.iter().cloned().collect(),
            ..Assignment::default()
        };
        let topics = partitions.iter().map(|(p, _)| p.topic.to_string()).collect();
        self.watch = TopicWatch::of_topics(topics, self.settings.metadata_max_age);
        Ok(())
    }

    async fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        self.check_open()?;
        self.complete();
        let deadline = Instant::now() + timeout.min(Duration::from_secs(24 * 3600));
        loop {
            if let Some(error) = self.errors.pop_front() {
                return Err(error);
            }
            self.client.context().check("records cannot be read")?;
            if let Some(polled) = self.announce() {
                return Ok(polled);
            }
            let records = self.take();
            if !records.is_empty() {
                return Ok(Polled::Records(records));
            }
            if let Some(polled) = self.announce() {
                return Ok(polled);
            }
            self.watch_topics()?;
            let now = Instant::now();
            if now >= deadline && self.errors.is_empty() {
                return Ok(Polled::Records(Vec::new()));
            }
            if self.errors.is_empty() {
                let next = self.watch.next_step().unwrap_or(deadline);
                self.queue.wait(deadline.min(next).min(now + LONGEST_WAIT)).await;
            }
        }
    }

    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.check_open()?;
        let known = &self.assignment.positions;
        let unknown: Vec<TopicPartition> =
            partitions.iter().filter(|p| !known.contains_key(p)).cloned().collect();
        for partition in partitions {
            self.assignment.check(partition)?;
        }
        if !unknown.is_empty() {
            // Kept, so that reading begins exactly where we have said it would.
            let resolved = self.resolve(&unknown).await?;
            self.assignment.positions.extend(resolved);
        }
        let position = |p: &TopicPartition| {
            self.assignment.positions.get(p).map(|offset| (p.clone(), *offset))
        };
        Ok(partitions.iter().filter_map(position).collect())
    }

    async fn seek(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.check_open()?;
        for (partition, offset) in offsets {
            self.assignment.check(partition)?;
            if *offset < 0 {
                let error = Error::fatal("seek offset must not be a negative number");
                return Err(error.context("partition", partition).context("offset", offset));
            }
        }
        let running: Vec<(TopicPartition, i64)> = offsets
            .iter()
            .filter(|(partition, _)| !self.assignment.is_to_come(partition))
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect();
        if !running.is_empty() {
            self.move_to(running).await?;
        }
        let offsets = offsets.iter().map(|(partition, offset)| (partition.clone(), *offset));
        self.assignment.positions.extend(offsets);
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_open()?;
        for partition in partitions {
            self.assignment.check(partition)?;
        }
        pause(&self.client, partitions.iter().filter(|p| !self.assignment.is_to_come(p)));
        self.assignment.paused.extend(partitions.iter().cloned());
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.check_open()?;
        for partition in partitions {
            self.assignment.check(partition)?;
        }
        resume(&self.client, partitions.iter().filter(|p| !self.assignment.is_to_come(p)));
        for partition in partitions {
            self.assignment.paused.remove(partition);
        }
        Ok(())
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.check_open()?;
        self.check_group("commit")?;
        if offsets.is_empty() {
            return Ok(());
        }
        admin::commit(&self.client, offsets, self.settings.api_timeout).await
    }

    async fn close(&mut self) -> Result<()> {
        const LONGEST: Duration = Duration::from_secs(30);
        if self.closed {
            return Ok(());
        }
        self.complete_all();
        self.closed = true;
        let client = self.client.clone();
        // SAFETY: the client is live; rebalances are completed by the callback from here on.
        let close =
            off_thread(move || unsafe { sys::rd_kafka_consumer_close(client.raw()) } as i32);
        match timeout(LONGEST, close).await {
            Err(_) => Err(self.client.timed_out("the group cannot be left", LONGEST)),
            Ok(closed) => match closed? {
                error::NONE => Ok(()),
                code => Err(self.client.error(code, "the group cannot be left", "")),
            },
        }
    }
}

/// Stops partitions and drops what was fetched of them ahead.
fn pause<'a>(client: &Client, partitions: impl Iterator<Item = &'a TopicPartition>) {
    let list = PartitionList::new(partitions.map(|p| (p, STORED)));
    // SAFETY: client and list are live. Partitions librdkafka does not know are marked in the list;
    // they have been revoked, so there is nothing to stop.
    unsafe { sys::rd_kafka_pause_partitions(client.raw(), list.raw()) };
}

fn resume<'a>(client: &Client, partitions: impl Iterator<Item = &'a TopicPartition>) {
    let list = PartitionList::new(partitions.map(|p| (p, STORED)));
    // SAFETY: as in `pause`.
    unsafe { sys::rd_kafka_resume_partitions(client.raw(), list.raw()) };
}

/// Moves partitions, by a call that blocks for a moment; returns each one's error code.
fn seek(client: &Client, offsets: &[(TopicPartition, i64)]) -> Vec<(TopicPartition, i64, i32)> {
    const LONGEST_MS: i32 = 5_000;
    let list = PartitionList::new(offsets.iter().map(|(p, offset)| (p, *offset)));
    // SAFETY: client and list are live; a partition that is not done in time says so in the list.
    unsafe {
        let error = sys::rd_kafka_seek_partitions(client.raw(), list.raw(), LONGEST_MS);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
    }
    list.read()
}
