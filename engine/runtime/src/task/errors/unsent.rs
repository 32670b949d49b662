//! Decides what becomes of a source's records that the producer has given up, where
//! `errors.tolerance=all` lets the task go on (stage KAFKA_PRODUCE in Java).
//!
//! The producer's thread says which; the task's own logs them and writes dead letters.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_api::data::{RowError, SourceRecords};
use millrace_api::{Error, Result};
use millrace_kafka::Acknowledge;
use tokio::sync::watch;

use super::{ErrorPolicy, Failures, Origin, Stage};
use crate::metrics::TaskMetrics;
use crate::task::offsets::{AbandonedUnlessSent, Submitted};

/// The class that Java names at stage KAFKA_PRODUCE.
const SOURCE_TASK: &str = "org.apache.kafka.connect.runtime.WorkerSourceTask";

/// Records that were given up and are not dealt with yet. There are no more than the producer had
/// when the source last waited for [`none`](Self::none).
#[derive(Default)]
pub(crate) struct UnsentRecords {
    waiting: Mutex<VecDeque<Unsent>>,
    /// How many runs have some, with the one that is being dealt with.
    left: watch::Sender<usize>,
}

/// Some of a run, by their rows in what was polled.
struct Unsent {
    /// None: which of it they are nobody knows.
    polled: Option<Arc<SourceRecords>>,
    submitted: Arc<Submitted>,
    rows: Vec<RowError>,
}

/// A run on its way: hears what became of it, and knows what its records were.
pub(crate) struct Sent {
    pub(crate) errors: Arc<ErrorPolicy>,
    pub(crate) polled: Arc<SourceRecords>,
    /// For each record that is sent, its row in what was polled; none: nobody knows.
    pub(crate) rows: Option<Vec<usize>>,
    pub(crate) submitted: Arc<Submitted>,
}

impl Sent {
    fn give_up(&self, rows: &[usize], error: &Error) {
        self.push(Some(Arc::clone(&self.polled)), rows.iter().copied(), error);
    }

    /// Which of them it is nobody knows: no letter can be written, so that none of them may be
    /// passed over.
    fn give_up_nameless(&self, records: usize, error: &Error) {
        if self.errors.letters().is_none() {
            return self.push(None, 0..records, error);
        }
        self.submitted.fail(&Error::new(error.kind(), NAMELESS).with_source(error.copied()));
    }

    fn push(
        &self,
        polled: Option<Arc<SourceRecords>>,
        rows: impl Iterator<Item = usize>,
        error: &Error,
    ) {
        let rows = rows.map(|row| RowError { row, error: error.copied() }).collect();
        let submitted = Arc::clone(&self.submitted);
        self.errors.unsent.push(Unsent { polled, submitted, rows });
    }
}

impl Acknowledge for Sent {
    fn acknowledged(&self, records: usize) {
        self.submitted.acknowledged(records);
    }

    fn failed(&self, records: usize, error: &Error) {
        match &self.rows {
            _ if self.submitted.is_lost() => self.submitted.failed(records, error),
            Some(rows) if records == rows.len() => self.give_up(rows, error),
            _ => self.give_up_nameless(records, error),
        }
    }

    fn failed_row(&self, row: usize, error: &Error) {
        match &self.rows {
            _ if self.submitted.is_lost() => self.submitted.failed(1, error),
            Some(rows) => self.give_up(&rows[row..=row], error),
            None => self.give_up_nameless(1, error),
        }
    }
}

const NAMELESS: &str = "some records of a batch could not be sent, and which is not known, so that \
                        they cannot go to the dead letter queue";

/// A dead letter on its way, which its record's offset waits for.
struct Letter(Arc<Submitted>, Arc<TaskMetrics>);

impl Acknowledge for Letter {
    fn acknowledged(&self, records: usize) {
        self.0.done(records);
    }

    fn failed(&self, records: usize, error: &Error) {
        if self.0.is_lost() {
            // The send was given up, or the task knows of a failure.
            return;
        }
        self.1.dead_letters_failed(records);
        let message = "cannot write to the dead letter queue";
        self.0.fail(&Error::fatal(message).with_source(error.copied()));
    }
}

/// Hears of the dead letters of a run.
pub(crate) fn letters_of(run: &Arc<Submitted>, metrics: &Arc<TaskMetrics>) -> Arc<dyn Acknowledge> {
    Arc::new(Letter(Arc::clone(run), Arc::clone(metrics)))
}

impl UnsentRecords {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Unsent>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, unsent: Unsent) {
        let mut waiting = self.lock();
        waiting.push_back(unsent);
        // Before anybody can take it and count it down.
        self.left.send_modify(|left| *left += 1);
    }

    /// The next one, once there is one.
    async fn next(&self) -> Unsent {
        let mut left = self.left.subscribe();
        loop {
            if let Some(next) = self.lock().pop_front() {
                return next;
            }
            let _ = left.wait_for(|left| *left > 0).await;
        }
    }

    /// Returns once all are dealt with, as far as nobody waits for letters to arrive.
    pub(crate) async fn none(&self) {
        let _ = self.left.subscribe().wait_for(|left| *left == 0).await;
    }
}

impl ErrorPolicy {
    /// Logs what the producer gives up, and sends dead letters, for as long as somebody waits for
    /// this. The offsets of these records may be committed once the letters have arrived. Dropped,
    /// it leaves uncommitted what it is at.
    ///
    /// # Errors
    ///
    /// The task fails with it; what is left stays uncommitted.
    pub(crate) async fn bury_unsent(&self) -> Result<Infallible> {
        loop {
            let unsent = self.unsent.next().await;
            if let Err(error) = self.bury_run(unsent).await {
                self.unsent.lock().drain(..).for_each(|unsent| unsent.submitted.abandon());
                return Err(error);
            }
            self.unsent.left.send_modify(|left| *left -= 1);
        }
    }

    async fn bury_run(&self, Unsent { polled, submitted, rows }: Unsent) -> Result<()> {
        let failures = Failures { stage: Stage::KafkaProduce, class: SOURCE_TASK, rows: &rows };
        self.metrics.dropped(rows.len());
        let origin = polled.as_deref().map_or(Origin::Unknown, Origin::Source);
        let letters = self.handle_polled(failures, origin, Some).await?;
        let (Some(letters), Some(queue)) = (letters, self.letters()) else {
            submitted.done(rows.len());
            return Ok(());
        };
        let ack = letters_of(&submitted, &self.metrics);
        let mut sending = pin!(queue.send_for(&letters, ack));
        let mut unless_sent = AbandonedUnlessSent(Some(&submitted));
        tokio::select! {
            biased;
            sent = &mut sending => sent?,
            // These records are read again, as others that found no room.
            () = queue.stopped() => return Ok(()),
        }
        unless_sent.0 = None;
        Ok(())
    }
}
