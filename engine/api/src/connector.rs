//! The contracts of connectors and their tasks, and what the worker offers them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Props;
use crate::data::{SinkRecords, SourceOffset, SourcePartition, SourceRecords};
use crate::{Error, Result, TopicPartition};

/// The next offset to read of each partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// Splits a job into tasks (`org.apache.kafka.connect.connector.Connector`).
///
/// A connector that exists is started; constructing it is `start`. It may watch its source and ask
/// for new task configurations through its context.
#[async_trait]
pub trait Connector: Send {
    /// The configuration of each task, at most `tasks_max` of them.
    ///
    /// When it is asked again, tasks whose configuration is as it was work on undisturbed, and the
    /// others end before any is started anew: an answer should keep what it can in its place.
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>>;

    /// Ends what the connector began. Not called after a panic.
    async fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads one share of a source (`SourceTask`). The worker drives it; it spawns nothing that
/// outlives it.
///
/// Calls never overlap. A panic in any of them fails this task alone.
#[async_trait]
pub trait SourceTask: Send {
    /// The next records, in order per source partition. Waits a while (a second or so) when there
    /// are none, then returns none.
    ///
    /// Cancel-safe: a poll that is dropped has read nothing. [`ErrorKind::Retriable`] is logged
    /// and polled again; any other error fails the task.
    ///
    /// [`ErrorKind::Retriable`]: crate::ErrorKind::Retriable
    async fn poll(&mut self) -> Result<Vec<SourceRecords>>;

    /// Source offsets were committed, or there was nothing to commit: once every
    /// `offset.flush.interval.ms`. Errors are logged only.
    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    /// The last call; offsets were committed before.
    async fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Writes what its topic partitions bring (`SinkTask`).
///
/// Calls never overlap. Order: construction, then `open` for what is assigned, then `put` and
/// `pre_commit` again and again, `close` for what is taken away (after a last `pre_commit`,
/// unless the partitions are lost), `stop` at the end. A panic in any of them fails this task
/// alone.
#[async_trait]
pub trait SinkTask: Send {
    /// These partitions were added.
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let _ = partitions;
        Ok(())
    }

    /// Takes records over. They need not be durable before [`SinkTask::pre_commit`].
    ///
    /// Called with no records too, once a loop, so that a task can act on time. On
    /// [`ErrorKind::Retriable`](crate::ErrorKind::Retriable) the same records come again, after
    /// [`SinkContext::set_timeout`]; any other error fails the task. Where single records are at
    /// fault, a task names them by [`SinkContext::refuse`] and takes the others over.
    async fn put(&mut self, records: &[SinkRecords]) -> Result<()>;

    /// Whether a `put` that ended with [`ErrorKind::Data`](crate::ErrorKind::Data) has taken over
    /// none of its records, and may be called again with a part of them. The worker then finds the
    /// records at fault by ever smaller parts, for a task that cannot tell.
    fn puts_all_or_nothing(&self) -> bool {
        false
    }

    /// Makes durable what may be committed, and says up to where: the next offset to read of each
    /// partition. `consumed` is what was put. Left-out partitions are not committed now.
    ///
    /// On an error the worker goes back to the last commit and puts the records again.
    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets>;

    /// These partitions are gone: forget what was not pre-committed.
    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let _ = partitions;
        Ok(())
    }

    /// The last call; every partition was closed before.
    async fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads source offsets that were committed earlier (`OffsetStorageReader`).
#[async_trait]
pub trait OffsetReader: Send + Sync {
    /// The offset of each of these source partitions, none where nothing is stored.
    async fn offsets(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>>;
}

/// What a connector may ask of its worker (`ConnectorContext`).
#[derive(Clone)]
pub struct ConnectorContext {
    name: Arc<str>,
    offsets: Arc<dyn OffsetReader>,
    requests: Arc<dyn ConnectorRequests>,
}

/// The worker's end of a [`ConnectorContext`].
pub trait ConnectorRequests: Send + Sync {
    /// [`ConnectorContext::request_task_reconfiguration`].
    fn request_task_reconfiguration(&self);
    /// [`ConnectorContext::raise_error`].
    fn raise_error(&self, error: Error);
}

impl ConnectorContext {
    /// Made by the worker; a source's offsets are read through `offsets`.
    pub fn new(
        name: impl Into<Arc<str>>,
        offsets: Arc<dyn OffsetReader>,
        requests: Arc<dyn ConnectorRequests>,
    ) -> Self {
        Self { name: name.into(), offsets, requests }
    }

    /// The connector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offsets its tasks have committed.
    pub fn offsets(&self) -> &Arc<dyn OffsetReader> {
        &self.offsets
    }

    /// Asks the worker to call [`Connector::task_configs`] again, soon; tasks for which the answer
    /// differs restart. Returns at once.
    pub fn request_task_reconfiguration(&self) {
        self.requests.request_task_reconfiguration();
    }

    /// Fails the connector from a background activity of its own.
    pub fn raise_error(&self, error: Error) {
        self.requests.raise_error(error);
    }
}

/// What a source task may ask of its worker (`SourceTaskContext`).
#[derive(Clone)]
pub struct SourceContext {
    connector: Arc<str>,
    offsets: Arc<dyn OffsetReader>,
}

impl SourceContext {
    /// Made by the worker.
    pub fn new(connector: impl Into<Arc<str>>, offsets: Arc<dyn OffsetReader>) -> Self {
        Self { connector: connector.into(), offsets }
    }

    /// The name of the connector the task belongs to.
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// Where earlier runs of the task got to.
    pub fn offsets(&self) -> &Arc<dyn OffsetReader> {
        &self.offsets
    }
}

/// Takes records that a sink could not write (`ErrantRecordReporter`, KIP-610).
#[async_trait]
pub trait ErrantRecordReporter: Send + Sync {
    /// Reports one row, now or long after it was put, and waits for no more than room in a buffer.
    /// The worker commits offsets only after the record is where `errors.*` sends it. An error
    /// means that `errors.tolerance` forbids it, and must be returned from `put`.
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()>;

    /// Waits until everything reported is where `errors.*` sends it. For sinks that keep offsets of
    /// their own, beside their data: they wait before these pass over a record.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Retriable`](crate::ErrorKind::Retriable) when that takes too long. Others are
    /// final.
    async fn settle(&self) -> Result<()> {
        Ok(())
    }
}

/// A record that a sink task cannot write: [`SinkContext::refuse`].
#[derive(Debug)]
pub struct Refused {
    /// It alone.
    pub record: SinkRecords,
    /// Why.
    pub error: Error,
}

/// What a sink task may ask of its worker (`SinkTaskContext`). Cheap to clone; all wishes are taken
/// up before the next `put`.
#[derive(Clone)]
pub struct SinkContext {
    connector: Arc<str>,
    reporter: Option<Arc<dyn ErrantRecordReporter>>,
    wishes: Arc<Mutex<SinkWishes>>,
}

/// What a sink task has asked for since the worker last looked.
#[derive(Debug, Default)]
pub struct SinkWishes {
    /// See [`SinkContext::refuse`].
    pub refused: Vec<Refused>,
    /// See [`SinkContext::offset`].
    pub rewinds: Offsets,
    /// See [`SinkContext::set_timeout`].
    pub timeout: Option<Duration>,
    /// See [`SinkContext::request_commit`].
    pub commit: bool,
    /// Partitions the task wants to have paused: stays until resumed.
    pub paused: BTreeSet<TopicPartition>,
    /// Partitions that are assigned: kept by the worker.
    pub assignment: BTreeSet<TopicPartition>,
}

impl SinkContext {
    /// Made by the worker.
    pub fn new(
        connector: impl Into<Arc<str>>,
        reporter: Option<Arc<dyn ErrantRecordReporter>>,
    ) -> Self {
        Self { connector: connector.into(), reporter, wishes: Arc::default() }
    }

    /// The name of the connector the task belongs to.
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// Where to report records that cannot be written; none unless a dead letter queue or
    /// `errors.log.enable` is configured.
    pub fn errant_record_reporter(&self) -> Option<&Arc<dyn ErrantRecordReporter>> {
        self.reporter.as_ref()
    }

    /// Names a record that cannot be written, during `put` or `pre_commit`; the others are taken
    /// over. What becomes of it is decided by the error's kind, as soon as the call has returned
    /// without an error:
    ///
    /// - [`Data`](crate::ErrorKind::Data): `errors.tolerance` decides, as for a record that cannot
    ///   be converted: it is logged, and goes to the dead letter queue.
    /// - [`Retriable`](crate::ErrorKind::Retriable): it alone is put again, after a pause that grows;
    ///   `errors.retry.timeout`, where it is set, says for how long.
    /// - all others fail the task.
    ///
    /// Its offset is not committed before that. Unlike with
    /// [`errant_record_reporter`](Self::errant_record_reporter) nothing needs to be configured.
    pub fn refuse(&self, records: &SinkRecords, row: usize, error: Error) {
        self.wishes().refused.push(Refused { record: records.slice(row, 1), error });
    }

    /// Reads a partition on from this offset, before the next `put`.
    pub fn offset(&self, partition: TopicPartition, offset: i64) {
        self.wishes().rewinds.insert(partition, offset);
    }

    /// How long to wait before records are put again after a retriable error, once.
    pub fn set_timeout(&self, timeout: Duration) {
        self.wishes().timeout = Some(timeout);
    }

    /// Brings no records of these partitions until [`SinkContext::resume`].
    pub fn pause(&self, partitions: &[TopicPartition]) {
        self.wishes().paused.extend(partitions.iter().cloned());
    }

    /// Undoes [`SinkContext::pause`].
    pub fn resume(&self, partitions: &[TopicPartition]) {
        let mut wishes = self.wishes();
        for partition in partitions {
            wishes.paused.remove(partition);
        }
    }

    /// Asks for a commit before the interval is over.
    pub fn request_commit(&self) {
        self.wishes().commit = true;
    }

    /// The partitions that are assigned now.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.wishes().assignment.clone()
    }

    /// The worker's end: everything asked for so far.
    pub fn wishes(&self) -> MutexGuard<'_, SinkWishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
