//! Decides what becomes of a record that cannot be processed: `errors.tolerance`, the log, and the
//! dead letter queue (KIP-298).

pub(crate) mod last;
pub(crate) mod letters;
pub(crate) mod retries;
mod source;
pub(crate) mod unsent;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::BooleanArray;
use async_trait::async_trait;
use millrace_api::data::{Fetched, RowError, SinkRecords, SourceRecords};
use millrace_api::{ErrantRecordReporter, Error, Result};
use millrace_kafka::Outgoing;

use self::letters::{Cause, Dead, DeadLetters};
use self::unsent::UnsentRecords;
use crate::config::redaction::Redaction;
use crate::metrics::{ErrorClass, TaskMetrics};
use crate::task::TaskId;

/// Where in a record's way an error happened (`Stage` in Java).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Transformation,
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    KafkaProduce,
    TaskPut,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Transformation => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::KafkaProduce => "KAFKA_PRODUCE",
            Self::TaskPut => "TASK_PUT",
        }
    }
}

/// The run that a record was part of before anything was done to it.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Where a sink has it from.
    Kafka(&'a Fetched),
    /// As a source polled it.
    Source(&'a SourceRecords),
    /// Nobody knows: the connector has made it itself.
    Unknown,
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
}

/// What becomes of rows that failed.
struct Judged {
    /// What is to be written to the dead letter queue.
    letters: Option<Outgoing>,
    /// The record at which the task is about to fail.
    last: Option<u64>,
    /// Whether the task may go on.
    verdict: Result<()>,
}

/// One task's error policy.
pub(crate) struct ErrorPolicy {
    id: TaskId,
    config: ErrorConfig,
    /// What neither the log nor a dead letter shows.
    redaction: Redaction,
    letters: Option<DeadLetters>,
    metrics: Arc<TaskMetrics>,
    /// What a source's producer has given up.
    pub(crate) unsent: UnsentRecords,
}

impl ErrorPolicy {
    /// `letters` is the way to the dead letter queue, if one is configured.
    pub(crate) fn new(
        id: TaskId,
        config: ErrorConfig,
        redaction: Redaction,
        letters: Option<DeadLetters>,
        metrics: &Arc<TaskMetrics>,
    ) -> Self {
        let (metrics, unsent) = (Arc::clone(metrics), UnsentRecords::default());
        Self { id, config, redaction, letters, metrics, unsent }
    }

    pub(crate) fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }

    /// Whether anybody wants to know what a record was that failed, beyond its error.
    pub(crate) fn wants_originals(&self) -> bool {
        self.letters.is_some() || self.config.log
    }

    pub(crate) fn tolerates_all(&self) -> bool {
        self.config.tolerate_all
    }

    /// Whether a source's records are known until the producer has written them: those that it
    /// gives up are then logged one by one, or become dead letters.
    pub(crate) fn follows_records(&self) -> bool {
        self.config.tolerate_all && (self.config.log || self.letters.is_some())
    }

    pub(crate) fn letters(&self) -> Option<&DeadLetters> {
        self.letters.as_ref()
    }

    /// Logs each row and sends its dead letter, then fails unless all may be skipped. `place` finds
    /// a row in the run it came from.
    ///
    /// No offset may be committed beyond these records before [`settle`](Self::settle).
    pub(crate) async fn handle(
        &self,
        failures: Failures<'_>,
        origin: Origin<'_>,
        place: impl Fn(usize) -> Option<usize>,
    ) -> Result<()> {
        let Judged { letters, last, verdict } = self.judge(&failures, origin, place);
        if let (Some(queue), Some(letters)) = (&self.letters, letters) {
            queue.send(&letters, last).await?;
        }
        verdict
    }

    /// As [`handle`](Self::handle), but leaves it to the caller to send the letters, unless the
    /// task is about to fail: then they have arrived when this returns, or it takes too long.
    pub(crate) async fn handle_polled(
        &self,
        failures: Failures<'_>,
        origin: Origin<'_>,
        place: impl Fn(usize) -> Option<usize>,
    ) -> Result<Option<Outgoing>> {
        let Judged { letters, last, verdict } = self.judge(&failures, origin, place);
        if let (Err(_), Some(queue), Some(letters)) = (&verdict, &self.letters, &letters) {
            queue.send(letters, last).await?;
            match queue.settle(None).await {
                Err(e) if e.is_retriable() => tracing::warn!("the task fails without waiting: {e}"),
                settled => settled?,
            }
        }
        verdict.map(|()| letters)
    }

    /// Waits until all letters of [`handle`](Self::handle) have arrived; see
    /// [`DeadLetters::settle`].
    pub(crate) async fn settle(&self, timeout: Option<Duration>) -> Result<()> {
        match &self.letters {
            Some(letters) => letters.settle(timeout).await,
            None => Ok(()),
        }
    }

    fn judge(
        &self,
        failures: &Failures<'_>,
        origin: Origin<'_>,
        place: impl Fn(usize) -> Option<usize>,
    ) -> Judged {
        let Some(first) = failures.rows.first() else {
            return Judged { letters: None, last: None, verdict: Ok(()) };
        };
        // A task that fails with the first has not come to the others.
        let rows = match self.config.tolerate_all {
            true => failures.rows,
            false => &failures.rows[..1],
        };
        self.count(failures.stage, rows);
        self.log(failures, rows, origin, &place);
        let letters = self.letters_of(failures, rows, origin, &place);
        let verdict = match self.config.tolerate_all {
            true => Ok(()),
            false => Err(exceeded(failures, first, origin, place(first.row))),
        };
        let last = verdict.is_err().then(|| last::identity(origin, place(first.row)?)).flatten();
        match letters {
            Ok(letters) => Judged { letters, last, verdict },
            Err(error) => Judged { letters: None, last, verdict: verdict.and(Err(error)) },
        }
    }

    /// None without a queue, or where the letter is there already. Fails where nobody knows what
    /// the record was: it would be nowhere.
    fn letters_of(
        &self,
        failures: &Failures<'_>,
        rows: &[RowError],
        origin: Origin<'_>,
        place: impl Fn(usize) -> Option<usize>,
    ) -> Result<Option<Outgoing>> {
        let Some(queue) = &self.letters else { return Ok(None) };
        let mut dead: Vec<Dead<'_>> = Vec::with_capacity(rows.len());
        for RowError { row, error } in rows {
            let place = place(*row).ok_or_else(|| {
                Error::fatal(PLACELESS)
                    .context("stage", failures.stage.name())
                    .context("class", failures.class)
                    .context("remedy", "have transformations keep `offsets` and `origins`")
                    .with_source(error.copied())
            })?;
            dead.push((place, error));
        }
        let cause = Cause {
            id: &self.id,
            stage: failures.stage,
            class: failures.class,
            redaction: &self.redaction,
        };
        if let ([(row, _)], false) = (&dead[..], self.config.tolerate_all)
            && last::identity(origin, *row).is_some_and(|record| queue.has_last(record))
        {
            return Ok(None);
        }
        Ok(if dead.is_empty() { None } else { queue.letters(&cause, origin, &dead) })
    }

    /// A record that somebody has asked to be skipped goes to the dead letter queue, if there is
    /// one, whatever is tolerated; [`settle`](Self::settle) tells when it is there. `why` is what
    /// kept the task from getting past it.
    pub(crate) async fn skip(&self, run: &Fetched, row: usize, why: String) -> Result<()> {
        let error = Error::data(format!("skipped by request; the task had failed there: {why}"));
        let rows = [RowError { row, error }];
        let failures = Failures { stage: Stage::TaskPut, class: SINK_TASK, rows: &rows };
        self.metrics.skipped(1);
        match (&self.letters, self.letters_of(&failures, &rows, Origin::Kafka(run), Some)?) {
            (Some(queue), Some(letters)) => queue.send(&letters, None).await,
            _ => Ok(()),
        }
    }

    /// As in Java, a record that the task itself has refused, or the producer has given up, is no
    /// error where it is tolerated (`RetryWithToleranceOperator.executeFailed`).
    fn count(&self, stage: Stage, rows: &[RowError]) {
        for RowError { error, .. } in rows {
            self.metrics.failed(1, ErrorClass::of(error));
        }
        match (stage, self.config.tolerate_all) {
            (Stage::TaskPut | Stage::KafkaProduce, true) => {}
            (_, true) => {
                self.metrics.given_up(rows.len());
                self.metrics.skipped(rows.len());
            }
            (_, false) => self.metrics.given_up(rows.len()),
        }
    }

    fn log(
        &self,
        failures: &Failures<'_>,
        rows: &[RowError],
        origin: Origin<'_>,
        place: impl Fn(usize) -> Option<usize>,
    ) {
        if !self.config.log {
            return;
        }
        self.metrics.logged(rows.len());
        for RowError { row, error } in rows {
            let record = place(*row).filter(|_| self.config.log_messages);
            let record = record.map_or_else(String::new, |row| shown(origin, row));
            tracing::error!("{}", self.line(failures, &record, error));
        }
    }

    /// As Java's, with the causes below it.
    fn line(&self, failures: &Failures<'_>, record: &str, error: &Error) -> String {
        let (stage, class) = (failures.stage.name(), failures.class);
        format!(
            "Error encountered in task {}. Executing stage '{stage}' with class \
             '{class}'{record}.\n{}",
            self.id,
            self.redaction.text(&error.trace())
        )
    }
}

const PLACELESS: &str = "a record cannot go to the dead letter queue: a transformation has \
                         forgotten which it was";

fn exceeded(
    failures: &Failures<'_>,
    first: &RowError,
    origin: Origin<'_>,
    place: Option<usize>,
) -> Error {
    let mut error = Error::fatal("Tolerance exceeded in error handler")
        .context("stage", failures.stage.name())
        .context("class", failures.class);
    if let (Origin::Kafka(run), Some(row)) = (origin, place) {
        error = error
            .context("topic", &run.topic_partition.topic)
            .context("partition", run.topic_partition.partition)
            .context("offset", run.offsets[row]);
    }
    let remedy = "mend what the cause names, or have such records skipped by errors.tolerance=all";
    error.context("remedy", remedy).with_source(first.error.copied())
}

/// What `errors.log.include.messages` adds to a line.
fn shown(origin: Origin<'_>, row: usize) -> String {
    match origin {
        Origin::Kafka(run) => {
            let time = match run.timestamps[row] {
                // None.
                -1 => String::new(),
                // The log does not tell which clock it was.
                time => format!(", timestamp={time}, timestampType=CreateTime"),
            };
            let (partition, offset) = (&run.topic_partition, run.offsets[row]);
            format!(
                ", where consumed record is {{topic='{}', partition={}, offset={offset}{time}}}",
                partition.topic, partition.partition
            )
        }
        Origin::Source(run) => {
            format!(", where source record is = {}", source::Shown(run, row))
        }
        Origin::Unknown => String::new(),
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
        self.0.handle_put(records, records.offsets(), &[RowError { row, error }]).await
    }

    async fn settle(&self) -> Result<()> {
        self.0.settle(None).await
    }
}

/// The class that Java names at stage TASK_PUT.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

impl ErrorPolicy {
    /// What to give to a sink task; none unless somebody would hear of a report.
    pub(crate) fn reporter(self: &Arc<Self>) -> Option<Arc<dyn ErrantRecordReporter>> {
        let heard = self.config.log || self.letters.is_some();
        heard.then(|| Arc::new(Reporter(Arc::clone(self))) as Arc<dyn ErrantRecordReporter>)
    }

    /// Deals with records that a sink task could not write: some of the run that `records` are of,
    /// `rows` counted in `offsets`.
    pub(crate) async fn handle_put(
        &self,
        records: &SinkRecords,
        offsets: &[i64],
        rows: &[RowError],
    ) -> Result<()> {
        let failures = Failures { stage: Stage::TaskPut, class: SINK_TASK, rows };
        if let Some(run) = &records.original {
            let place = |row: usize| run.offsets.binary_search(&offsets[row]).ok();
            return self.handle(failures, Origin::Kafka(run), place).await;
        }
        match (&self.letters, rows.first()) {
            (Some(_), Some(first)) => {
                let message = "the connector refuses a record that it has made itself, so that \
                               there is nothing to write to the dead letter queue";
                Err(Error::fatal(message)
                    .context("partition", &records.topic_partition)
                    .context("offset", offsets[first.row])
                    .with_source(first.error.copied()))
            }
            _ => self.handle(failures, Origin::Unknown, |_| None).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_api::TopicPartition;

    use super::*;

    #[test]
    fn a_line_of_the_log_has_the_record_and_the_causes() {
        let config = ErrorConfig { tolerate_all: true, log: true, log_messages: true };
        let id = TaskId { connector: "orders".into(), task: 1 };
        let redaction = Redaction::default();
        let policy = ErrorPolicy::new(id, config, redaction, None, &TaskMetrics::apart());
        let run = Fetched {
            topic_partition: TopicPartition::new("t", 2),
            offsets: vec![7].into(),
            timestamps: vec![5].into(),
            keys: vec![None::<&[u8]>].into_iter().collect(),
            values: vec![Some(&b"{"[..])].into_iter().collect(),
            headers: Vec::new(),
        };
        let cause = std::io::Error::other("it ends too early");
        let error = Error::data("Converting failed").with_source(cause);
        let failures = Failures { stage: Stage::ValueConverter, class: "x.Y", rows: &[] };
        let record = shown(Origin::Kafka(&run), 0);
        assert_eq!(
            policy.line(&failures, &record, &error),
            "Error encountered in task orders-1. Executing stage 'VALUE_CONVERTER' with class \
             'x.Y', where consumed record is {topic='t', partition=2, offset=7, timestamp=5, \
             timestampType=CreateTime}.\n\
             org.apache.kafka.connect.errors.DataException: Converting failed\n\
             Caused by: it ends too early"
        );
    }
}
