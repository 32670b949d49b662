//! Decides how a run of records becomes batches of the partitions it goes to, and what its caller
//! waits for (Java's `KafkaProducer`).
//!
//! The way of a record: [`NativeProducer::send`] chooses its partition and copies it, once, from
//! its column into the open batch there (`buffer`), whose memory may be `spare`. It waits when the
//! partition is too far ahead of the broker (`pace`), or there is no room. Full batches are
//! compressed by the caller: the time is the caller's. The `sender` puts them into requests
//! (`dispatch`, `request`), in the order that `partition` and `sequences` keep; `outcome` and
//! `verdict` read the answers, and `batch` tells whom they belong to.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::Array;
use async_trait::async_trait;
use kafka_protocol::ResponseError;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::Client;
use super::error::{Failure, refused};
use super::settings::ProducerSettings;
use super::transaction::{Operation, Transaction};
use crate::partitioner::{Partitioner, Placement};
use crate::record_batch::{Appended, Compressor, Headers, Record, Room, Stop};
use crate::topic_name::why_illegal;
use crate::{Acknowledge, Footprint, Outgoing, Producer};

mod answer;
mod batch;
mod buffer;
mod dispatch;
mod outcome;
mod pace;
mod partition;
mod request;
mod sender;
mod sequences;
mod spare;
mod verdict;

#[cfg(test)]
mod tests;

pub(in crate::native) use buffer::Buffer;
use buffer::{Freed, Lent, Returned};
use sender::Sender;
pub(in crate::native) use sequences::ProducerId;

const WHAT: &str = "records cannot be sent";

/// A producer on a client of its own.
pub(super) struct NativeProducer {
    client: Arc<Client>,
    settings: ProducerSettings,
    buffer: Arc<Buffer>,
    /// The numbers of the partitions in the buffer.
    slots: HashMap<Arc<str>, Vec<usize>>,
    partitioner: Partitioner,
    compressor: Compressor,
    transaction: Option<Arc<Transaction>>,
    /// What was begun and has not ended in the time that its caller had.
    pending: Option<(Operation, JoinHandle<Result<()>>)>,
}

impl NativeProducer {
    /// A producer that has sent nothing. It asks no broker until it has something to send.
    pub(super) fn new(client: Arc<Client>, settings: ProducerSettings) -> Self {
        let ahead = pace::most_ahead(&settings);
        let footprint = client.footprint().clone();
        let buffer = Buffer::new(settings.buffer_bytes, ahead, settings.linger, footprint);
        let transaction = settings
            .transactional_id
            .clone()
            .map(|id| Transaction::new(client.clone(), id, settings.transaction_timeout));
        let sender =
            Sender::new(client.clone(), buffer.clone(), settings.clone(), transaction.clone());
        client.spawn(sender.run());
        Self {
            buffer,
            slots: HashMap::new(),
            // Producers that start together spread their first runs.
            partitioner: Partitioner::new(fastrand::i32(..)),
            compressor: Compressor::new(settings.compression, settings.compression_level),
            transaction,
            pending: None,
            client,
            settings,
        }
    }

    /// How many partitions a topic has. The inner error is about the topic and will not pass.
    async fn partitions(
        &mut self,
        topic: &Arc<str>,
        at_least: i32,
        deadline: Instant,
    ) -> Result<Result<i32>> {
        // Who is asked about such a topic may answer that it is not there yet.
        if let Some(why) = why_illegal(topic) {
            let error = Error::fatal(why).context("topic", format!("{topic:?}"));
            return Ok(Err(error.as_java("org.apache.kafka.common.errors.InvalidTopicException")));
        }
        let mut backoff = self.client.backoff();
        loop {
            let known = self.client.metadata();
            let known = known.topics.get(topic);
            if let Some(known) = known.filter(|known| known.partitions.len() as i32 >= at_least) {
                let count = known.partitions.len() as i32;
                self.register(topic, count);
                return Ok(Ok(count));
            }
            let why = match self.ask_for(topic, deadline).await? {
                Found::Partitions(count) if count >= at_least => continue,
                // Java waits for it to be made, which in Connect is for ever.
                Found::Partitions(count) if count > 0 => {
                    return Ok(Err(Error::fatal("the topic has no such partition")
                        .context("topic", topic)
                        .context("partition", at_least - 1)
                        .context("partitions", count)));
                }
                Found::Partitions(_) => "it is not there".to_owned(),
                Found::Refused(error) => return Ok(Err(error)),
                Found::Unknown(why) => why,
            };
            let wait = backoff.next();
            if Instant::now() + wait >= deadline {
                let waited = self.settings.max_block.as_millis();
                return Err(Error::retriable(format!(
                    "Topic {topic} not present in metadata after {waited} ms (max.block.ms): {why}"
                )));
            }
            sleep(wait).await;
        }
    }

    async fn ask_for(&self, topic: &Arc<str>, deadline: Instant) -> Result<Found> {
        self.client.follow([topic]);
        let metadata = match timeout_at(deadline, self.client.refresh()).await {
            Ok(Ok(metadata)) => metadata,
            Ok(Err(failure)) => return unknown(failure),
            Err(_) => return Ok(Found::Unknown("no broker answers".to_owned())),
        };
        let Some(found) = metadata.topics.get(topic) else {
            return Ok(Found::Unknown("the brokers do not speak of it".to_owned()));
        };
        Ok(match found.error {
            None => Found::Partitions(found.partitions.len() as i32),
            Some(code) => {
                let error = refused(code, WHAT, None).context("topic", topic);
                match code.is_retriable() || code == ResponseError::UnknownTopicId {
                    true => Found::Unknown(error.message().to_owned()),
                    false => Found::Refused(error),
                }
            }
        })
    }

    /// Gives the partitions of a topic their places in the buffer.
    fn register(&mut self, topic: &Arc<str>, count: i32) {
        let known = self.slots.get(topic).map_or(0, Vec::len) as i32;
        if known < count {
            let new =
                (known..count).map(|partition| TopicPartition { topic: topic.clone(), partition });
            let first = self.buffer.add(new);
            let slots = self.slots.entry(topic.clone()).or_default();
            slots.extend(first..first + (count - known) as usize);
        }
    }

    /// Appends rows to the open batch of their partition and to those after it. Waits for room.
    /// What was not appended when that fails is left in `rest`.
    async fn append(
        &mut self,
        run: &mut Run<'_>,
        partition: i32,
        rows: Rows<'_>,
        deadline: Instant,
    ) -> Result<()> {
        let slot = self.slots[&run.records.topic][partition as usize];
        let mut next = 0;
        while next < rows.len() {
            let needed = run.most_bytes(rows.at(next)).min(self.settings.buffer_bytes);
            let Some(lent) = self.buffer.lend(slot, needed, deadline).await? else {
                return Err(self.full());
            };
            next += self.fill(slot, lent, run, rows.from(next));
        }
        Ok(())
    }

    /// Appends as many rows as there is room for in one batch; says how many were dealt with.
    fn fill(&mut self, slot: usize, lent: Lent, run: &mut Run<'_>, rows: Rows<'_>) -> usize {
        let Lent { mut open, limit, most_bytes } = lent;
        let charged = open.charge();
        let most = most_bytes.unwrap_or(usize::MAX).min(self.settings.batch_bytes);
        let room =
            Room { batch_bytes: most.min(limit), record_bytes: self.settings.max_request_bytes };
        let began = Instant::now();
        let (records, now) = (run.records, now_ms());
        let Appended { rows: appended, stop } = match &rows {
            Rows::All(rows) => open.writer.append_rows(records, rows.clone(), now, room),
            Rows::Some(rows) => open.writer.append_rows(records, rows.iter().copied(), now, room),
        };
        let is_begun = open.since.is_none();
        let mut returned = Returned { closed: None, records: appended, is_begun };
        if appended > 0 {
            open.since.get_or_insert(began);
            open.shares.add(&run.ack, appended);
        }
        let (mut dealt_with, mut unwritten) = (appended, 0);
        match stop {
            Stop::End => {}
            Stop::TooBig { bytes } => {
                dealt_with += 1;
                run.ack.failed_row(rows.at(appended), &self.too_big(run, bytes));
            }
            // The budget ends before the batch does.
            Stop::Full if limit < most => {}
            Stop::Full => {
                let records = open.shares.records();
                match open.close(self.buffer.next_id(), &mut self.compressor) {
                    Ok(batch) => returned.closed = Some(batch),
                    Err(_) => unwritten = records,
                }
            }
        }
        self.buffer.give_back(slot, open, charged, returned);
        if unwritten > 0 {
            self.buffer.release(slot, Freed { bytes: 0, records: unwritten, spare: None });
        }
        run.left -= dealt_with;
        dealt_with
    }

    /// Java's words.
    fn too_big(&self, run: &Run<'_>, bytes: usize) -> Error {
        let most = self.settings.max_request_bytes;
        Error::new(
            ErrorKind::Data,
            format!(
                "The message is {bytes} bytes when serialized which is larger than {most}, which \
                 is the value of the max.request.size configuration."
            ),
        )
        .context("topic", &run.records.topic)
        .context(
            "remedy",
            "raise the producer's max.request.size and the topic's max.message.bytes, or make the \
             records smaller",
        )
    }

    fn full(&self) -> Error {
        Error::retriable(format!("{WHAT}: there is no room for them in time"))
            .context("buffer.memory", self.settings.buffer_bytes)
            .context("max.block.ms", self.settings.max_block.as_millis())
    }

    /// Begins an operation on the transaction, or goes on waiting for it.
    async fn finish(&mut self, operation: Operation, timeout: Duration) -> Result<()> {
        let Some(transaction) = &self.transaction else {
            return Err(crate::not_transactional());
        };
        if self.pending.as_ref().is_none_or(|(pending, _)| *pending != operation) {
            self.check_pending()?;
            transaction.begin_operation(operation)?;
            let (transaction, buffer) = (transaction.clone(), self.buffer.clone());
            self.buffer.work.notify_one();
            let run = async move { transaction.run(operation, &buffer).await };
            self.pending = Some((operation, self.client.spawn(run)));
        }
        let Some((_, running)) = &mut self.pending else {
            return Ok(());
        };
        let Ok(done) = timeout_at(later(timeout), running).await else {
            let name = operation.name();
            return Err(Error::retriable(format!(
                "{name} has not ended in time; call it again to go on waiting"
            ))
            .context("timeout in ms", timeout.as_millis()));
        };
        self.pending = None;
        done.unwrap_or_else(|e| Err(Error::fatal("a task has panicked").with_source(e)))
    }

    /// While one operation has not ended, nothing else may begin.
    fn check_pending(&self) -> Result<()> {
        match &self.pending {
            Some((operation, _)) => Err(Error::retriable(format!(
                "{0} has not ended: call {0} again first",
                operation.name()
            ))),
            None => Ok(()),
        }
    }
}

/// What asking for a topic has brought.
enum Found {
    Partitions(i32),
    /// It cannot be used.
    Refused(Error),
    /// Nothing yet.
    Unknown(String),
}

fn unknown(failure: Failure) -> Result<Found> {
    match failure.is_passing() {
        true => Ok(Found::Unknown(failure.to_string())),
        false => Err(failure.doing(WHAT)),
    }
}

/// A run that is being appended. What is left of it when it is dropped was taken over and is
/// reported as failed.
struct Run<'a> {
    records: &'a Outgoing,
    ack: Arc<dyn Acknowledge>,
    left: usize,
}

impl Run<'_> {
    /// Reports what is left as failed.
    fn fail(&mut self, error: &Error) {
        let left = std::mem::take(&mut self.left);
        if left > 0 {
            self.ack.failed(left, error);
        }
    }

    /// The most bytes that a row takes of a batch of its own.
    fn most_bytes(&self, row: usize) -> usize {
        let cell = |column: &arrow::array::BinaryViewArray| match column.is_valid(row) {
            true => column.views()[row] as u32 as usize,
            false => 0,
        };
        let headers = Headers::List(self.records.headers.get(row).map_or(&[], Vec::as_slice));
        let empty = Record { headers, ..Record::new(0, None, None) };
        crate::record_batch::HEADER_LENGTH
            + empty.max_length()
            + cell(&self.records.keys)
            + cell(&self.records.values)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.fail(&Error::fatal("the send was given up before the records were handed over"));
    }
}

/// Some rows of a run: neighbours, or those that go to one partition.
#[derive(Clone)]
enum Rows<'a> {
    All(Range<usize>),
    Some(&'a [usize]),
}

impl<'a> Rows<'a> {
    fn len(&self) -> usize {
        match self {
            Self::All(range) => range.len(),
            Self::Some(rows) => rows.len(),
        }
    }

    fn at(&self, index: usize) -> usize {
        match self {
            Self::All(range) => range.start + index,
            Self::Some(rows) => rows[index],
        }
    }

    fn from(&self, index: usize) -> Rows<'a> {
        match self {
            Self::All(range) => Rows::All(range.start + index..range.end),
            Self::Some(rows) => Rows::Some(&rows[index..]),
        }
    }
}

#[async_trait]
impl Producer for NativeProducer {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        records.check_columns()?;
        self.check_pending()?;
        self.buffer.check()?;
        if let Some(transaction) = &self.transaction {
            transaction.check_send()?;
        }
        let total = records.values.len();
        if total == 0 {
            return Ok(());
        }
        // A caller that sends in a loop must let others run as well.
        tokio::task::coop::consume_budget().await;
        let deadline = later(self.settings.max_block);
        let mut run = Run { records, ack, left: total };
        match self.send_run(&mut run, deadline).await {
            Err(error) if run.left == total => {
                run.left = 0;
                Err(error)
            }
            // A part is taken over already, so the rest can only be reported.
            Err(error) => {
                run.fail(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn footprint(&self) -> Arc<Footprint> {
        self.client.footprint().clone()
    }

    async fn flush(&mut self, timeout: Duration) -> Result<()> {
        if self.buffer.settled(later(timeout)).await {
            return Ok(());
        }
        let records = self.buffer.unsettled();
        Err(Error::retriable("records are not acknowledged in time")
            .context("records", records)
            .context("timeout in ms", timeout.as_millis()))
    }

    async fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        self.finish(Operation::Init, timeout).await
    }

    fn begin_transaction(&mut self) -> Result<()> {
        let Some(transaction) = &self.transaction else {
            return Err(crate::not_transactional());
        };
        self.check_pending()?;
        transaction.begin()
    }

    async fn commit_transaction(&mut self, timeout: Duration) -> Result<()> {
        self.finish(Operation::Commit, timeout).await
    }

    async fn abort_transaction(&mut self, timeout: Duration) -> Result<()> {
        self.finish(Operation::Abort, timeout).await
    }
}

impl NativeProducer {
    async fn send_run(&mut self, run: &mut Run<'_>, deadline: Instant) -> Result<()> {
        let (records, rows) = (run.records, run.records.values.len());
        let at_least = records.partition.map_or(1, |partition| partition.saturating_add(1));
        if at_least < 1 {
            return Err(Error::fatal("partitions have numbers from 0 on")
                .context("partition", at_least - 1));
        }
        let count = match self.partitions(&records.topic, at_least, deadline).await? {
            Ok(count) => count,
            Err(error) => {
                run.fail(&error);
                return Ok(());
            }
        };
        let placement = match records.partition {
            Some(partition) => Placement::One(partition),
            None => self.partitioner.place(&records.topic, count, &records.keys),
        };
        match placement {
            Placement::One(partition) => {
                self.append(run, partition, Rows::All(0..rows), deadline).await
            }
            Placement::Rows(placed) => {
                for (partition, rows) in &placed {
                    self.append(run, *partition, Rows::Some(rows), deadline).await?;
                }
                Ok(())
            }
        }
    }
}

impl Drop for NativeProducer {
    fn drop(&mut self) {
        if let Some((_, running)) = &self.pending {
            running.abort();
        }
        self.buffer.close();
    }
}

/// A time that is so far away, or as far as matters.
fn later(wait: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
    Instant::now() + wait.min(FOR_EVER)
}

/// The time of records that have none.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
