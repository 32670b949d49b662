//! Decides what becomes of a record that cannot be processed: `errors.tolerance`, the log, and the
//! dead letter queue (KIP-298).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray, BooleanArray, UInt32Array};
use arrow::compute::take;
use async_trait::async_trait;
use bytes::Bytes;
use millrace_api::data::{RowError, SinkRecords};
use millrace_api::{ErrantRecordReporter, Error, Result};
use millrace_kafka::{Acknowledge, Fetched, Outgoing, Producer, RawHeaders};
use tokio::sync::Mutex as AsyncMutex;

use crate::config::redaction::Redaction;
use crate::memory::Place;
use crate::metrics::{ErrorClass, TaskMetrics};
use crate::task::TaskId;

/// Where in a record's way an error happened (`Stage` in Java).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Transformation,
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    TaskPut,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Transformation => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::TaskPut => "TASK_PUT",
        }
    }
}

/// A record as it came from Kafka.
#[derive(Clone, Copy)]
pub(crate) struct Original<'a> {
    pub(crate) run: &'a Fetched,
    pub(crate) row: usize,
}

/// The rows of a batch that failed at one stage.
pub(crate) struct Failures<'a> {
    pub(crate) stage: Stage,
    /// The class that was executing.
    pub(crate) class: &'a str,
    pub(crate) rows: &'a [RowError],
}

/// `errors.*` of a connector.
#[derive(Clone, Debug)]
pub(crate) struct ErrorConfig {
    pub(crate) tolerate_all: bool,
    pub(crate) log: bool,
    pub(crate) log_messages: bool,
    /// Topic and whether to add context headers.
    pub(crate) dead_letter_queue: Option<(String, bool)>,
}

/// One task's error policy.
pub(crate) struct ErrorPolicy {
    id: TaskId,
    config: ErrorConfig,
    /// What neither the log nor a dead letter shows.
    redaction: Redaction,
    dead_letters: Option<AsyncMutex<Box<dyn Producer>>>,
    metrics: Arc<TaskMetrics>,
    /// The runs of the batch a sink task is working on.
    originals: Mutex<Vec<Fetched>>,
}

impl ErrorPolicy {
    /// `dead_letters` is the producer of the dead letter queue, if one is configured.
    pub(crate) fn new(
        id: TaskId,
        config: ErrorConfig,
        redaction: Redaction,
        dead_letters: Option<Box<dyn Producer>>,
        metrics: &Arc<TaskMetrics>,
    ) -> Self {
        let dead_letters = dead_letters.map(AsyncMutex::new);
        let metrics = Arc::clone(metrics);
        Self { id, config, redaction, dead_letters, metrics, originals: Mutex::default() }
    }

    pub(crate) fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }

    /// Reports each row, then fails unless all may be skipped. `original` finds a row's record as
    /// it came from Kafka; a source has none.
    ///
    /// Records reach the dead letter queue before this returns, also when the task is about to
    /// fail, so no offset can be committed past a record that is nowhere.
    pub(crate) async fn handle<'a>(
        &self,
        failures: Failures<'_>,
        original: impl Fn(usize) -> Option<Original<'a>>,
    ) -> Result<()> {
        let mut letters = Vec::new();
        self.count(&failures);
        for RowError { row, error } in failures.rows {
            let original = original(*row);
            self.log(&failures, error, original);
            letters.extend(original.map(|original| (original, error)));
        }
        if let Some((Original { run, .. }, _)) = letters.first() {
            self.bury(&failures, run, &letters).await?;
        }
        let Some(first) = failures.rows.first().filter(|_| !self.config.tolerate_all) else {
            return Ok(());
        };
        let mut error = Error::fatal("Tolerance exceeded in error handler")
            .context("stage", failures.stage.name())
            .context("class", failures.class);
        if let Some(Original { run, row }) = original(first.row) {
            error = error
                .context("topic", &run.topic_partition.topic)
                .context("partition", run.topic_partition.partition)
                .context("offset", run.offsets[row]);
        }
        Err(error
            .context(
                "remedy",
                "mend what the cause names, or have such records skipped by errors.tolerance=all",
            )
            .with_source(first.error.copied()))
    }

    /// A record that somebody has asked to be skipped goes to the dead letter queue, if there is one,
    /// whatever is tolerated. `why` is what kept the task from getting past it.
    pub(crate) async fn skip(&self, run: &Fetched, row: usize, why: String) -> Result<()> {
        let error = Error::data("skipped by request").with_source(Error::fatal(why));
        let rows = [RowError { row, error }];
        let failures = Failures { stage: Stage::TaskPut, class: SINK_TASK, rows: &rows };
        self.metrics.skipped(1);
        self.bury(&failures, run, &[(Original { run, row }, &rows[0].error)]).await
    }

    /// As in Java, a record that the task itself has refused is no error where it is tolerated.
    fn count(&self, failures: &Failures<'_>) {
        for RowError { error, .. } in failures.rows {
            self.metrics.failed(1, ErrorClass::of(error));
        }
        let (rows, tolerated) = (failures.rows.len(), self.config.tolerate_all);
        match (failures.stage, tolerated) {
            (Stage::TaskPut, true) => {}
            (_, true) => {
                self.metrics.given_up(rows);
                self.metrics.skipped(rows);
            }
            (_, false) => self.metrics.given_up(rows),
        }
    }

    fn log(&self, failures: &Failures<'_>, error: &Error, original: Option<Original<'_>>) {
        if !self.config.log {
            return;
        }
        self.metrics.logged(1);
        let (stage, class) = (failures.stage.name(), failures.class);
        let place = match original.filter(|_| self.config.log_messages) {
            Some(Original { run, row }) => format!(
                ", where consumed record is {{topic='{}', partition={}, offset={}, timestamp={}, \
                 timestampType=CreateTime}}",
                run.topic_partition.topic,
                run.topic_partition.partition,
                run.offsets[row],
                run.timestamps[row],
            ),
            None => String::new(),
        };
        tracing::error!(
            "Error encountered in task {}. Executing stage '{stage}' with class '{class}'{place}. \
             {}",
            self.id,
            self.redaction.text(&error.to_string())
        );
    }

    /// Writes records of one run to the dead letter queue and waits until they are there.
    async fn bury(
        &self,
        failures: &Failures<'_>,
        run: &Fetched,
        letters: &[(Original<'_>, &Error)],
    ) -> Result<()> {
        let (Some(producer), Some((topic, context))) =
            (&self.dead_letters, &self.config.dead_letter_queue)
        else {
            return Ok(());
        };
        let mut headers = Vec::with_capacity(letters.len());
        for (original, error) in letters {
            let mut own = run.headers.get(original.row).cloned().unwrap_or_default();
            if *context {
                self.add_context(&mut own, failures, error, *original);
            }
            headers.push(own);
        }
        let rows: UInt32Array = letters.iter().map(|(o, _)| u32::try_from(o.row).ok()).collect();
        let pick = |cells: &BinaryViewArray| {
            let picked = take(cells, &rows, None).expect("the rows are the run's own");
            BinaryViewArray::from(picked.to_data())
        };
        let letters = Outgoing {
            topic: topic.as_str().into(),
            partition: None,
            keys: pick(&run.keys),
            values: pick(&run.values),
            timestamps: Some(letters.iter().map(|(o, _)| run.timestamps[o.row]).collect()),
            headers: if headers.iter().all(Vec::is_empty) { Vec::new() } else { headers },
        };
        self.metrics.dead_letters(letters.values.len());
        let receipt =
            Arc::new(Receipt { failure: Mutex::default(), metrics: self.metrics.clone() });
        let mut producer = producer.lock().await;
        producer.send(&letters, Arc::clone(&receipt) as Arc<dyn Acknowledge>).await?;
        producer.flush(DEAD_LETTER_TIMEOUT).await?;
        receipt.result().map_err(|e| {
            Error::fatal("cannot write to the dead letter queue")
                .context("topic", topic)
                .with_source(e)
        })
    }

    fn add_context(
        &self,
        headers: &mut RawHeaders,
        failures: &Failures<'_>,
        error: &Error,
        Original { run, row }: Original<'_>,
    ) {
        let mut add = |name: &str, value: String| {
            headers.push((format!("__connect.errors.{name}").into(), Some(Bytes::from(value))));
        };
        add("topic", run.topic_partition.topic.to_string());
        add("partition", run.topic_partition.partition.to_string());
        add("offset", run.offsets[row].to_string());
        add("connector.name", self.id.connector.to_string());
        add("task.id", self.id.task.to_string());
        add("stage", failures.stage.name().into());
        add("class.name", failures.class.into());
        add("exception.class.name", error.java_class().into());
        add("exception.message", self.redaction.text(&error.to_string()));
        add("exception.stacktrace", self.redaction.text(&error.trace()));
    }
}

/// How long the dead letters of a batch may take; the producer itself retries within it.
const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(120);

/// Learns whether dead letters arrived.
struct Receipt {
    failure: Mutex<Option<Error>>,
    metrics: Arc<TaskMetrics>,
}

impl Receipt {
    fn result(&self) -> Result<()> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Acknowledge for Receipt {
    fn acknowledged(&self, _records: usize) {}

    fn failed(&self, records: usize, error: &Error) {
        self.metrics.dead_letters_failed(records);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.copied());
    }
}

/// The rows that have not failed: a bit a row.
pub(crate) fn survivors(rows: usize, failed: impl IntoIterator<Item = usize>) -> BooleanArray {
    let mut mask = vec![true; rows];
    for row in failed {
        mask[row] = false;
    }
    mask.into()
}

/// What a sink task reports errant records to (KIP-610).
struct Reporter(Arc<ErrorPolicy>);

#[async_trait]
impl ErrantRecordReporter for Reporter {
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()> {
        let offset = records.offsets()[row];
        let run = self.0.original_run(records, offset);
        if self.0.dead_letters.is_some() && run.is_none() {
            let message = "the connector refuses a record that it has taken over before, so that \
                           it is not there any more for the dead letter queue";
            return Err(Error::fatal(message)
                .context("partition", &records.topic_partition)
                .context("offset", offset)
                .with_source(error));
        }
        let rows = [RowError { row, error }];
        let failures = Failures { stage: Stage::TaskPut, class: SINK_TASK, rows: &rows };
        let original = |_| {
            let run = run.as_ref()?;
            let row = run.offsets.binary_search(&offset).ok()?;
            Some(Original { run, row })
        };
        self.0.handle(failures, original).await
    }
}

/// The class that Java names at stage TASK_PUT.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

impl ErrorPolicy {
    /// What to give to a sink task; none unless somebody would hear of a report.
    pub(crate) fn reporter(self: &Arc<Self>) -> Option<Arc<dyn ErrantRecordReporter>> {
        let heard = self.config.log || self.dead_letters.is_some();
        heard.then(|| Arc::new(Reporter(Arc::clone(self))) as Arc<dyn ErrantRecordReporter>)
    }

    /// Keeps a run as it came from Kafka, in case the task reports one of its records.
    pub(crate) fn remember(&self, run: &Fetched) {
        if self.dead_letters.is_some() {
            self.metrics.share().add(Place::Originals, run.bytes());
            self.lock_originals().push(run.clone());
        }
    }

    /// The task has taken over everything remembered.
    pub(crate) fn forget(&self) {
        self.metrics.share().set(Place::Originals, 0);
        self.lock_originals().clear();
    }

    fn original_run(&self, records: &SinkRecords, offset: i64) -> Option<Fetched> {
        let held = |run: &&Fetched| {
            run.topic_partition == records.topic_partition
                && run.offsets.binary_search(&offset).is_ok()
        };
        self.lock_originals().iter().find(held).cloned()
    }

    fn lock_originals(&self) -> MutexGuard<'_, Vec<Fetched>> {
        self.originals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
