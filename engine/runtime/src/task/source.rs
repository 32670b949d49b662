//! A source task's loop: poll, transform, convert, produce, commit (`WorkerSourceTask` in Java).

use std::sync::Arc;
use std::time::Duration;

use arrow::array::Array;
use millrace_api::data::SourceRecords;
use millrace_api::{Result, SourceTask};
use millrace_kafka::{Acknowledge, Outgoing, Producer};
use tokio::time::{Instant, sleep_until};

use crate::status::{State, StatusWriter};
use crate::store::offsets::{Committable, ConnectorOffsets};
use crate::task::chain::TransformationChain;
use crate::task::errors::{ErrorPolicy, Failures, Stage};
use crate::task::offsets::SubmittedRecords;
use crate::task::serde::Converters;
use crate::task::{Wanted, Wishes};

/// What a source task is made of.
pub(crate) struct SourceTaskLoop {
    pub(crate) task: Box<dyn SourceTask>,
    pub(crate) pipeline: SourcePipeline,
    pub(crate) committer: Committer,
    pub(crate) wishes: Wishes,
    pub(crate) status: StatusWriter,
}

/// The way of a run from the task to the producer.
pub(crate) struct SourcePipeline {
    pub(crate) chain: TransformationChain,
    pub(crate) converters: Converters,
    pub(crate) errors: ErrorPolicy,
    pub(crate) producer: Box<dyn Producer>,
}

impl SourceTaskLoop {
    /// Moves records until told to stop. Offsets of everything acknowledged are committed before
    /// it returns, also with an error.
    pub(crate) async fn run(mut self) -> Result<()> {
        self.status.write(State::Running);
        let moved = self.move_records().await;
        self.committer.finish().await;
        let stopped = self.task.stop().await;
        moved.and(stopped)
    }

    async fn move_records(&mut self) -> Result<()> {
        loop {
            match self.wishes.now() {
                Wanted::Stop => return Ok(()),
                Wanted::Pause => self.stay_paused().await,
                Wanted::Run => {
                    let batch = self.poll().await?;
                    if !self.send(batch).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn stay_paused(&mut self) {
        self.status.write(State::Paused);
        loop {
            tokio::select! {
                wanted = self.wishes.other_than(Wanted::Pause) => {
                    if wanted == Wanted::Run {
                        self.status.write(State::Running);
                    }
                    return;
                }
                () = self.committer.due() => self.committer.commit(&mut *self.task).await,
            }
        }
    }

    /// The task's next records; none when something else is wanted or the poll is to be repeated.
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        loop {
            self.committer.submitted.take_failure()?;
            tokio::select! {
                biased;
                _ = self.wishes.other_than(Wanted::Run) => return Ok(Vec::new()),
                () = self.committer.due() => {}
                polled = self.task.poll() => match polled {
                    Err(e) if e.is_retriable() => {
                        tracing::warn!("poll failed and is repeated: {e}");
                        self.wishes.back_off().await;
                        return Ok(Vec::new());
                    }
                    polled => return polled,
                },
            }
            self.committer.commit(&mut *self.task).await;
        }
    }

    /// Hands a batch to the producer. False when told to stop before all of it fitted: what was not
    /// taken over is not committed and will be polled again.
    async fn send(&mut self, batch: Vec<SourceRecords>) -> Result<bool> {
        for run in batch {
            let outgoing = self.pipeline.prepare(&run).await?;
            let records = outgoing.iter().map(|o| o.values.len()).sum();
            if records == 0 {
                // As in Java, the offset of records that were all dropped is not recorded; a later
                // run of the same source partition covers it.
                continue;
            }
            let ack =
                self.committer.submitted.submit(&run.source_partition, run.source_offset, records);
            for outgoing in outgoing {
                let ack = Arc::clone(&ack) as Arc<dyn Acknowledge>;
                if !self.produce(&outgoing, ack).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Hands a run to the producer; repeated for as long as it fails for a passing reason.
    async fn produce(&mut self, outgoing: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<bool> {
        loop {
            match self.offer(outgoing, Arc::clone(&ack)).await {
                Err(e) if e.is_retriable() && self.wishes.now() != Wanted::Stop => {
                    tracing::warn!("sending failed and is repeated: {e}");
                    self.wishes.back_off().await;
                }
                offered => return offered,
            }
        }
    }

    /// Waits for room in the producer's buffer: the back-pressure. Commits go on meanwhile.
    async fn offer(&mut self, outgoing: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<bool> {
        let mut sent = self.pipeline.producer.send(outgoing, ack);
        let mut known = Wanted::Run;
        loop {
            tokio::select! {
                biased;
                sent = &mut sent => return sent.map(|()| true),
                () = self.committer.due() => self.committer.commit(&mut *self.task).await,
                wanted = self.wishes.other_than(known) => match wanted {
                    Wanted::Stop => return Ok(false),
                    // A batch that was begun is finished before the task pauses.
                    other => known = other,
                },
            }
        }
    }
}

impl SourcePipeline {
    /// Transforms and serializes a run. Failed records are dealt with by `errors.tolerance`.
    async fn prepare(&mut self, run: &SourceRecords) -> Result<Vec<Outgoing>> {
        let (runs, failures) = self.chain.apply(run.records.clone())?;
        for failed in &failures {
            let (class, rows) = (failed.class, failed.rows.as_slice());
            let failures = Failures { stage: Stage::Transformation, class, rows };
            self.errors.handle(failures, |_| None).await?;
        }
        let mut outgoing = Vec::with_capacity(runs.len());
        for run in runs {
            let (serialized, failures) = self.converters.serialize(&run)?;
            for failed in &failures {
                let (stage, class, rows) = (failed.stage, failed.class, failed.rows.as_slice());
                self.errors.handle(Failures { stage, class, rows }, |_| None).await?;
            }
            if !serialized.values.is_empty() {
                outgoing.push(serialized);
            }
        }
        Ok(outgoing)
    }
}

/// Commits source offsets once an interval, and at the end.
pub(crate) struct Committer {
    pub(crate) submitted: SubmittedRecords,
    offsets: ConnectorOffsets,
    interval: Duration,
    timeout: Duration,
    next: Instant,
    /// Committable, but not yet stored: a failed commit leaves it for the next.
    pending: Vec<Committable>,
}

impl Committer {
    /// `interval` and `timeout` are `offset.flush.{interval,timeout}.ms`.
    pub(crate) fn new(
        submitted: SubmittedRecords,
        offsets: ConnectorOffsets,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        let next = Instant::now() + interval;
        Self { submitted, offsets, interval, timeout, next, pending: Vec::new() }
    }

    /// Returns when the next commit is due.
    async fn due(&self) {
        sleep_until(self.next).await;
    }

    /// Stores what is committable. Never waits for records in flight. A failure is logged; the
    /// offsets are stored with the next commit.
    async fn commit(&mut self, task: &mut dyn SourceTask) {
        if self.store().await
            && let Err(e) = task.commit().await
        {
            tracing::error!("the task's commit() failed: {e}");
        }
        self.next = Instant::now() + self.interval;
    }

    async fn store(&mut self) -> bool {
        self.pending.extend(self.submitted.committable());
        if self.pending.is_empty() {
            return true;
        }
        let stored = tokio::time::timeout(self.timeout, self.offsets.write(&self.pending)).await;
        match stored {
            Ok(Ok(())) => {
                tracing::debug!(partitions = self.pending.len(), "committed source offsets");
                self.pending.clear();
                true
            }
            Ok(Err(e)) => {
                tracing::error!("cannot commit source offsets, will try again: {e}");
                false
            }
            Err(_) => {
                tracing::error!(
                    "committing source offsets took longer than offset.flush.timeout.ms={}, \
                     will try again",
                    self.timeout.as_millis()
                );
                false
            }
        }
    }

    /// Commits what is acknowledged, waits up to the time-out for what is in flight, and commits
    /// that too.
    async fn finish(&mut self) {
        if !self.submitted.is_settled() {
            // The worker may lose patience while we wait.
            self.store().await;
            self.submitted.settle(self.timeout).await;
        }
        self.store().await;
    }
}
