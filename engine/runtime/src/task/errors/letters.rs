//! Decides what a dead letter looks like, and that it is known when all of them have arrived
//! (`DeadLetterQueueReporter` in Java).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray, UInt32Array};
use arrow::compute::take;
use bytes::Bytes;
use millrace_api::data::{Fetched, SourceRecords};
use millrace_api::{Error, RawHeaders, Result};
use millrace_kafka::{Acknowledge, Outgoing, Producer};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::last::{LastLetters, Remember};
use super::{Origin, Stage, source};
use crate::config::redaction::Redaction;
use crate::metrics::TaskMetrics;
use crate::task::{TaskId, Wishes};

/// How long letters may be under way before somebody who waits for them hears of it; the producer
/// itself goes on.
const LONGEST_WAY: Duration = Duration::from_secs(120);

/// How long letters may wait for room before somebody should look into it.
const LONG_WAIT: Duration = Duration::from_secs(30);

/// How long letters may be under way once the task is told to stop.
const LAST_WAY: Duration = Duration::from_secs(1);

/// The names of the context headers, in Java's order.
const NAMES: [&str; 10] = [
    "topic",
    "partition",
    "offset",
    "connector.name",
    "task.id",
    "stage",
    "class.name",
    "exception.class.name",
    "exception.message",
    "exception.stacktrace",
];

/// The headers that only letters of sources have.
const SOURCE_NAMES: [&str; 2] = ["source.partition", "source.offset"];

static HEADERS: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| {
    let name = |name: &&str| Arc::from(format!("__connect.errors.{name}"));
    NAMES.iter().chain(&SOURCE_NAMES).map(name).collect()
});

/// One task's way to the dead letter queue.
pub(crate) struct DeadLetters {
    topic: Arc<str>,
    /// Whether to add context headers.
    has_context: bool,
    producer: AsyncMutex<Box<dyn Producer>>,
    receipt: Arc<Receipt>,
    wishes: Wishes,
    /// Those of tasks that failed, and which task this is.
    last: (Arc<LastLetters>, usize),
}

/// Why letters are written.
pub(super) struct Cause<'a> {
    pub(super) id: &'a TaskId,
    pub(super) stage: Stage,
    /// The class that was executing.
    pub(super) class: &'a str,
    /// What neither the log nor a dead letter shows.
    pub(super) redaction: &'a Redaction,
}

/// A record of a run, by its place there, and what is wrong with it.
pub(super) type Dead<'a> = (usize, &'a Error);

impl DeadLetters {
    pub(crate) fn new(
        topic: &str,
        has_context: bool,
        producer: Box<dyn Producer>,
        metrics: &Arc<TaskMetrics>,
        wishes: Wishes,
    ) -> Self {
        let (producer, receipt) = (AsyncMutex::new(producer), Arc::new(Receipt::new(metrics)));
        let last = (Arc::default(), metrics.id.task);
        Self { topic: topic.into(), has_context, producer, receipt, wishes, last }
    }

    /// The same, with what tasks before this one have written as they failed.
    pub(crate) fn after(mut self, last: Arc<LastLetters>) -> Self {
        self.last.0 = last;
        self
    }

    /// Whether the last letter, written as the task failed, is of this record.
    pub(super) fn has_last(&self, record: u64) -> bool {
        self.last.0.has(self.last.1, record)
    }

    /// The letters of some records of a run; none where it is not known.
    pub(super) fn letters(
        &self,
        cause: &Cause<'_>,
        origin: Origin<'_>,
        dead: &[Dead<'_>],
    ) -> Option<Outgoing> {
        match origin {
            Origin::Kafka(run) => Some(self.as_they_were(cause, run, dead)),
            Origin::Source(run) => Some(self.as_json(cause, run, dead)),
            Origin::Unknown => None,
        }
    }

    /// Records that came from Kafka, with their bytes.
    fn as_they_were(&self, cause: &Cause<'_>, run: &Fetched, dead: &[Dead<'_>]) -> Outgoing {
        let partition = &run.topic_partition;
        let context = self.has_context.then(|| {
            let place = [partition.topic.to_string(), partition.partition.to_string()];
            Context::new(cause, place.map(Bytes::from))
        });
        let headers = dead.iter().map(|(row, error)| {
            let mut headers = run.headers.get(*row).cloned().unwrap_or_default();
            if let Some(context) = &context {
                let offset = Bytes::from(run.offsets[*row].to_string());
                context.add(&mut headers, Some(offset), error);
            }
            headers
        });
        let headers: Vec<RawHeaders> = headers.collect();
        let rows: UInt32Array = dead.iter().map(|(row, _)| u32::try_from(*row).ok()).collect();
        let pick = |cells: &BinaryViewArray| {
            let picked = take(cells, &rows, None).expect("the rows are the run's own");
            BinaryViewArray::from(picked.to_data())
        };
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: None,
            keys: pick(&run.keys),
            values: pick(&run.values),
            timestamps: Some(dead.iter().map(|(row, _)| run.timestamps[*row]).collect()),
            headers: if headers.iter().all(Vec::is_empty) { Vec::new() } else { headers },
        }
    }

    /// Records that a source polled, as JSON: they never had bytes.
    fn as_json(&self, cause: &Cause<'_>, run: &SourceRecords, dead: &[Dead<'_>]) -> Outgoing {
        let records = &run.records;
        let context = self.has_context.then(|| {
            let partition = records.partition.map(|partition| partition.to_string());
            let place = [Some(records.topic.to_string()), partition];
            Context::new(cause, place.into_iter().flatten().map(Bytes::from))
        });
        let source = [source::partition_text(run), source::offset_text(run)].map(Bytes::from);
        let mut headers = Vec::with_capacity(dead.len());
        for (_, error) in dead {
            let mut own = RawHeaders::new();
            if let Some(context) = &context {
                context.add(&mut own, None, error);
                let names = HEADERS[NAMES.len()..].iter().cloned();
                own.extend(names.zip(source.iter().cloned().map(Some)));
            }
            headers.push(own);
        }
        Outgoing {
            topic: Arc::clone(&self.topic),
            partition: None,
            keys: dead.iter().map(|(row, _)| source::key_text(run, *row)).collect(),
            values: dead.iter().map(|(row, _)| Some(source::record_text(run, *row))).collect(),
            timestamps: records.timestamps.as_ref().map(|times| {
                let time = |(row, _): &Dead<'_>| {
                    times[*row].max(millrace_api::data::Records::NO_TIMESTAMP)
                };
                dead.iter().map(time).collect()
            }),
            headers: if self.has_context { headers } else { Vec::new() },
        }
    }

    /// Sends letters, and waits for no more than room in the producer's buffer. Once they have
    /// arrived, `settle` knows. Those that have found no room when the task is told to stop are
    /// given up, and then no offset may be committed: their records are read again.
    /// `last` is the record at which the task fails.
    pub(super) async fn send(&self, letters: &Outgoing, last: Option<u64>) -> Result<()> {
        let count = letters.values.len();
        self.receipt.metrics.dead_letters(count);
        let mut expected = Expected::new(&self.receipt, count);
        let mut receipt = Arc::clone(&self.receipt) as Arc<dyn Acknowledge>;
        if let Some(record) = last {
            let (letters, task) = (Arc::clone(&self.last.0), self.last.1);
            receipt = Arc::new(Remember { letters, task, record, then: receipt });
        }
        let mut sending = pin!(async {
            let mut producer = self.producer.lock().await;
            // From here on the receipt hears of each of them.
            expected.count = 0;
            self.with_patience(producer.send(letters, receipt)).await
        });
        let sent = tokio::select! {
            biased;
            sent = &mut sending => sent,
            () = self.wishes.stopped() => {
                // Before the send is dropped, which reports its rest as failed.
                self.receipt.is_given_up.store(true, Ordering::Release);
                return Ok(());
            }
        };
        sent.map_err(|e| {
            // Of letters that are not taken over it hears nothing.
            self.receipt.failed(count, &e);
            self.not_written(e)
        })
    }

    /// Sends letters, about which `ack` hears.
    pub(crate) async fn send_for(
        &self,
        letters: &Outgoing,
        ack: Arc<dyn Acknowledge>,
    ) -> Result<()> {
        let count = letters.values.len();
        self.receipt.metrics.dead_letters(count);
        let mut producer = self.producer.lock().await;
        let sent = self.with_patience(producer.send(letters, ack)).await;
        sent.map_err(|e| {
            self.receipt.metrics.dead_letters_failed(count);
            self.not_written(e)
        })
    }

    /// Says so when there is no room for long: the task does nothing else meanwhile.
    async fn with_patience<T>(&self, sending: impl Future<Output = T>) -> T {
        let mut sending = pin!(sending);
        if let Ok(sent) = timeout(LONG_WAIT, &mut sending).await {
            return sent;
        }
        tracing::warn!(
            "dead letters for {} have waited {} s for room in the producer's buffer, and the task \
             waits for them: see whether the topic can be written to",
            self.topic,
            LONG_WAIT.as_secs()
        );
        sending.await
    }

    /// Returns once the task is told to stop.
    pub(super) async fn stopped(&self) {
        self.wishes.stopped().await;
    }

    /// Waits until all letters sent by [`send`](Self::send) are in the queue; no longer than a
    /// moment once the task is told to stop. It costs nothing when they are.
    ///
    /// # Errors
    ///
    /// Retriable when they are still under way after this time, or given up. Fatal when one is lost,
    /// and from then on.
    pub(super) async fn settle(&self, timeout: Option<Duration>) -> Result<()> {
        if !self.receipt.is_complete() {
            let timeout = timeout.unwrap_or(LONGEST_WAY);
            let settled = tokio::select! {
                biased;
                settled = self.flush(timeout) => settled,
                () = self.wishes.stopped() => self.flush(timeout.min(LAST_WAY)).await,
            };
            settled.map_err(|e| match e.is_retriable() {
                true => self.under_way(e),
                false => self.not_written(e),
            })?;
        }
        let lost = self.receipt.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.as_ref().map_or(Ok(()), |lost| Err(self.not_written(lost.copied())))?;
        drop(lost);
        // Whatever the producer knows of: what never came to it is in no queue.
        self.receipt.is_whole().map_err(|e| self.under_way(e))
    }

    /// Somebody who waits for room in the producer's buffer may hold the producer for as long.
    async fn flush(&self, timeout: Duration) -> Result<()> {
        let end = Instant::now() + timeout;
        let Ok(mut producer) = timeout_at(end, self.producer.lock()).await else {
            return Err(Error::retriable("others wait for room"));
        };
        if self.receipt.is_given_up.load(Ordering::Acquire) {
            // Waiting for the others does not help.
            return Ok(());
        }
        producer.flush(end.saturating_duration_since(Instant::now())).await
    }

    fn under_way(&self, error: Error) -> Error {
        Error::retriable("dead letters are still under way")
            .context("topic", &self.topic)
            .with_source(error)
    }

    pub(crate) fn not_written(&self, error: Error) -> Error {
        Error::fatal("cannot write to the dead letter queue")
            .context("topic", &self.topic)
            .with_source(error)
    }
}

/// The headers that the letters of one failure share.
struct Context<'a> {
    /// The first ones, up to the partition.
    place: Vec<Bytes>,
    /// Those between offset and exception.
    rest: [Bytes; 4],
    redaction: &'a Redaction,
}

impl<'a> Context<'a> {
    fn new(cause: &Cause<'a>, place: impl IntoIterator<Item = Bytes>) -> Self {
        let rest = [
            cause.id.connector.to_string(),
            cause.id.task.to_string(),
            cause.stage.name().to_owned(),
            cause.class.to_owned(),
        ];
        Self {
            place: place.into_iter().collect(),
            rest: rest.map(Bytes::from),
            redaction: cause.redaction,
        }
    }

    fn add(&self, headers: &mut RawHeaders, offset: Option<Bytes>, error: &Error) {
        headers.reserve(HEADERS.len());
        let mut add = |name: usize, value: Option<Bytes>| {
            headers.push((Arc::clone(&HEADERS[name]), value));
        };
        for (name, value) in self.place.iter().enumerate() {
            add(name, Some(value.clone()));
        }
        if offset.is_some() {
            add(2, offset);
        }
        for (name, value) in (3..).zip(&self.rest) {
            add(name, Some(value.clone()));
        }
        let text = |text: &str| Some(Bytes::from(self.redaction.text(text)));
        add(7, Some(Bytes::from_static(error.java_class().as_bytes())));
        // Java's message: what we know beyond it stands in the trace.
        let message = Some(error.message()).filter(|message| !message.is_empty());
        add(8, message.and_then(text));
        add(9, text(&trace(error)));
    }
}

/// The trace with Java's first line: what we know beyond its message is a line of its own.
fn trace(error: &Error) -> String {
    let (first, trace) = (format!("{}: {}", error.java_class(), error.message()), error.trace());
    match trace.strip_prefix(&first).and_then(|rest| rest.strip_prefix(" (")) {
        Some(rest) => format!("{first}\n\t({rest}"),
        None => trace,
    }
}

/// Learns which letters have arrived.
struct Receipt {
    expected: AtomicUsize,
    settled: AtomicUsize,
    /// Whether some were not sent, for want of room.
    is_given_up: AtomicBool,
    lost: Mutex<Option<Error>>,
    metrics: Arc<TaskMetrics>,
}

impl Receipt {
    fn new(metrics: &Arc<TaskMetrics>) -> Self {
        let counter = || AtomicUsize::new(0);
        Self {
            expected: counter(),
            settled: counter(),
            is_given_up: AtomicBool::new(false),
            lost: Mutex::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Whether nothing is missing.
    fn is_whole(&self) -> Result<()> {
        if self.is_given_up.load(Ordering::Acquire) {
            return Err(Error::retriable("some are given up, as the task is told to stop"));
        }
        match self.is_complete() {
            true => Ok(()),
            false => Err(Error::retriable("some have not been answered")),
        }
    }

    fn is_complete(&self) -> bool {
        self.settled.load(Ordering::Acquire) == self.expected.load(Ordering::Acquire)
    }
}

/// Letters that the receipt waits for, until the producer takes them over.
struct Expected<'a> {
    receipt: &'a Receipt,
    count: usize,
}

impl<'a> Expected<'a> {
    fn new(receipt: &'a Receipt, count: usize) -> Self {
        receipt.expected.fetch_add(count, Ordering::AcqRel);
        Self { receipt, count }
    }
}

impl Drop for Expected<'_> {
    /// Nobody will tell of letters that never came to the producer.
    fn drop(&mut self) {
        self.receipt.expected.fetch_sub(self.count, Ordering::AcqRel);
    }
}

impl Acknowledge for Receipt {
    fn acknowledged(&self, records: usize) {
        self.settled.fetch_add(records, Ordering::AcqRel);
    }

    fn failed(&self, records: usize, error: &Error) {
        if self.is_given_up.load(Ordering::Acquire) {
            return;
        }
        self.metrics.dead_letters_failed(records);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert_with(|| error.copied());
        drop(lost);
        self.acknowledged(records);
    }
}
