//! A source task's loop: poll, transform, convert, produce, commit (`WorkerSourceTask` in Java).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::Array;
use millrace_api::data::{Records, SourceOffset, SourcePartition, SourceRecords};
use millrace_api::{Error, Result, SourceTask};
use millrace_kafka::{Acknowledge, Outgoing, Producer};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::contain::caught;
use crate::memory::Place;
use crate::metrics::{Step, TaskMetrics};
use crate::status::{State, StatusWriter};
use crate::store::offsets::ConnectorOffsets;
use crate::task::chain::TransformationChain;
use crate::task::errors::{ErrorPolicy, Failures, Stage};
use crate::task::offsets::{Submitted, SubmittedRecords};
use crate::task::patience::Patience;
use crate::task::serde::Converters;
use crate::task::topics::TopicCreation;
use crate::task::{Wanted, Wishes};
use crate::topics::TopicUses;

/// What stands for "none" among timestamps. Kafka knows none below.
const NO_TIMESTAMP: i64 = -1;

/// What a source task is made of.
pub(crate) struct SourceTaskLoop {
    pub(crate) task: Box<dyn SourceTask>,
    pub(crate) pipeline: SourcePipeline,
    pub(crate) committer: Committer,
    pub(crate) wishes: Wishes,
    pub(crate) status: StatusWriter,
    pub(crate) metrics: Arc<TaskMetrics>,
}

/// The way of a run from the task to the producer.
pub(crate) struct SourcePipeline {
    pub(crate) chain: TransformationChain,
    pub(crate) converters: Converters,
    pub(crate) errors: ErrorPolicy,
    pub(crate) patience: Patience,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) producer: Box<dyn Producer>,
    pub(crate) topics: TopicUses,
    /// None: topics are the broker's business.
    pub(crate) creation: Option<TopicCreation>,
}

impl SourceTaskLoop {
    /// Moves records until told to stop. Offsets of everything acknowledged are committed before
    /// it returns, also with an error, and after a panic, of which the task hears no more.
    pub(crate) async fn run(mut self) -> Result<()> {
        self.status.write(State::Running);
        let moved = match caught(self.move_records()).await {
            Ok(moved) => moved,
            Err(panic) => {
                self.committer.finish_alone().await;
                return Err(panic);
            }
        };
        self.committer.finish(&mut *self.task).await;
        if let Err(e) = self.task.stop().await {
            tracing::warn!("could not stop the task: {e}");
        }
        moved
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
        self.committer.submitted.take_failure()?;
        self.committer.catch_up(&mut *self.task).await;
        let began = Instant::now();
        let mut polling = self.task.poll();
        let polled = loop {
            tokio::select! {
                biased;
                _ = self.wishes.other_than(Wanted::Run) => return Ok(Vec::new()),
                polled = &mut polling => break polled,
                // The poll is kept: it may take longer than the interval.
                () = self.committer.due() => self.committer.store_alone().await,
            }
            self.committer.submitted.take_failure()?;
        };
        drop(polling);
        match polled {
            Err(e) if e.is_retriable() => {
                tracing::warn!("poll failed and is repeated: {e}");
                self.metrics.retried(Step::Poll);
                self.wishes.back_off().await;
                Ok(Vec::new())
            }
            Ok(runs) if !runs.is_empty() => {
                let records = runs.iter().map(|run| run.records.len()).sum();
                self.metrics.polled(records, began.elapsed());
                Ok(runs)
            }
            polled => polled,
        }
    }

    /// Hands a batch to the producer. False when told to stop before all of it fitted: what was not
    /// taken over is not committed and will be polled again.
    async fn send(&mut self, batch: Vec<SourceRecords>) -> Result<bool> {
        if !batch.is_empty() {
            self.metrics.batch(batch.iter().map(|run| run.records.len()).sum());
        }
        for run in batch {
            let Some(outgoing) = self.convert(&run).await? else {
                return Ok(false);
            };
            let records = outgoing.iter().map(|o| o.values.len()).sum();
            self.metrics.dropped(run.records.len().saturating_sub(records));
            if records == 0 {
                // As in Java, the offset of records that were all dropped is not recorded; a later
                // run of the same source partition covers it.
                continue;
            }
            let submitted =
                self.committer.submitted.submit(&run.source_partition, run.source_offset, records);
            for outgoing in outgoing {
                let sent = self.produce(&outgoing, &submitted).await;
                if !matches!(sent, Ok(true)) {
                    submitted.abandon();
                    return sent;
                }
            }
        }
        Ok(true)
    }

    /// What becomes of a run; none when told to stop before.
    async fn convert(&mut self, run: &SourceRecords) -> Result<Option<Vec<Outgoing>>> {
        let mut outgoing = Vec::new();
        for records in self.pipeline.transform(run).await? {
            if !self.prepare(&records).await? {
                return Ok(None);
            }
            let began = Instant::now();
            outgoing.extend(self.pipeline.serialize(&records).await?);
            self.metrics.spent(Step::Convert, began.elapsed());
        }
        Ok(Some(outgoing))
    }

    /// Has the converters ask for what they need, as often as patience allows. False when told to
    /// stop meanwhile. Commits go on, and a pause is a pause.
    async fn prepare(&mut self, records: &Records) -> Result<bool> {
        loop {
            let prepared = {
                let mut asking = pin!(self.pipeline.ask(records));
                loop {
                    tokio::select! {
                        biased;
                        prepared = &mut asking => break prepared?,
                        () = self.committer.due() => self.committer.commit(&mut *self.task).await,
                        _ = self.wishes.other_than(Wanted::Run) => break false,
                    }
                }
            };
            match self.wishes.now() {
                _ if prepared => return Ok(true),
                Wanted::Stop => return Ok(false),
                Wanted::Pause => {
                    self.stay_paused().await;
                    self.pipeline.patience.begin_anew();
                }
                Wanted::Run => {}
            }
        }
    }

    /// Hands a run to the producer; repeated for as long as it fails for a passing reason.
    async fn produce(&mut self, outgoing: &Outgoing, run: &Arc<Submitted>) -> Result<bool> {
        let ack = Arc::clone(run) as Arc<dyn Acknowledge>;
        let ack = self.pipeline.topics.when_acknowledged(&outgoing.topic, ack);
        let (began, bytes) = (Instant::now(), outgoing.bytes());
        self.metrics.share().set(Place::Sending, bytes);
        loop {
            let offered = match self.create_topic(&outgoing.topic).await {
                Ok(true) => self.offer(outgoing, &ack, run).await,
                other => other,
            };
            match offered {
                Err(e) if e.is_retriable() => {
                    if self.wishes.now() == Wanted::Stop {
                        return Ok(false);
                    }
                    tracing::warn!("sending failed and is repeated: {e}");
                    self.metrics.retried(Step::Produce);
                    self.wishes.back_off().await;
                }
                offered => {
                    self.metrics.share().set(Place::Sending, 0);
                    self.metrics.produced(bytes, began.elapsed());
                    return offered;
                }
            }
        }
    }

    /// Sees to it that a topic is there before its first run is sent. False when told to stop
    /// meanwhile. Commits go on.
    async fn create_topic(&mut self, topic: &Arc<str>) -> Result<bool> {
        let Some(creation) = &mut self.pipeline.creation else {
            return Ok(true);
        };
        if creation.knows(topic) {
            return Ok(true);
        }
        let mut created = pin!(creation.create(topic));
        let mut known = Wanted::Run;
        loop {
            tokio::select! {
                biased;
                created = &mut created => return created.map(|()| true),
                () = self.committer.due() => self.committer.commit(&mut *self.task).await,
                wanted = self.wishes.other_than(known) => match wanted {
                    Wanted::Stop => return Ok(false),
                    other => known = other,
                },
            }
        }
    }

    /// Waits for room in the producer's buffer: the back-pressure. Commits go on meanwhile.
    async fn offer(
        &mut self,
        outgoing: &Outgoing,
        ack: &Arc<dyn Acknowledge>,
        run: &Arc<Submitted>,
    ) -> Result<bool> {
        let mut sent = self.pipeline.producer.send(outgoing, Arc::clone(ack));
        // A send that is dropped, by a stop or by a panic, reports its rest as failed. That rest is
        // read again, so nobody should be told that it is skipped.
        let mut unsent = AbandonedUnlessSent(Some(run));
        let mut known = Wanted::Run;
        loop {
            tokio::select! {
                biased;
                sent = &mut sent => {
                    unsent.0 = None;
                    return sent.map(|()| true);
                }
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

/// A run whose send may be given up: dropped before the send is.
struct AbandonedUnlessSent<'a>(Option<&'a Arc<Submitted>>);

impl Drop for AbandonedUnlessSent<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.0 {
            run.abandon();
        }
    }
}

impl SourcePipeline {
    /// Transforms a run. Failed records are dealt with by `errors.tolerance`.
    async fn transform(&mut self, run: &SourceRecords) -> Result<Vec<Records>> {
        let began = Instant::now();
        let (runs, failures) = self.chain.apply(run.records.clone())?;
        self.metrics.transformed(run.records.len(), &runs, &failures, began.elapsed());
        for failed in &failures {
            let (class, rows) = (failed.class, failed.rows.as_slice());
            let failures = Failures { stage: Stage::Transformation, class, rows };
            self.errors.handle(failures, |_| None).await?;
        }
        Ok(runs)
    }

    /// Has the converters ask for what they need. False, after a wait, when they could not.
    async fn ask(&mut self, records: &Records) -> Result<bool> {
        let Self { converters, patience, .. } = self;
        match patience.answer(converters.prepare_from(records)).await? {
            Ok(()) => {
                self.patience.satisfied();
                Ok(true)
            }
            Err(error) if error.is_retriable() => {
                let pause = patience.again_after(error)?;
                self.metrics.retried(Step::Convert);
                patience.answer(sleep(pause)).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Serializes a run; none when nothing of it is left. Failed records are dealt with in the same
    /// way.
    async fn serialize(&mut self, records: &Records) -> Result<Option<Outgoing>> {
        let (serialized, failures) = self.converters.serialize(records)?;
        for failed in &failures {
            let (stage, class, rows) = (failed.stage, failed.class, failed.rows.as_slice());
            self.errors.handle(Failures { stage, class, rows }, |_| None).await?;
        }
        let times = serialized.timestamps.iter().flat_map(|times| times.iter());
        if let Some(time) = times.into_iter().find(|time| **time < NO_TIMESTAMP) {
            return Err(Error::fatal(format!("Invalid record timestamp {time}"))
                .context("topic", &serialized.topic)
                .context("remedy", "let the connector give milliseconds since 1970, or none"));
        }
        Ok((!serialized.values.is_empty()).then_some(serialized))
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
    pending: HashMap<Arc<SourcePartition>, Option<SourceOffset>>,
    /// Whether the task is still to hear of a commit.
    untold: bool,
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
        let pending = HashMap::new();
        Self { submitted, offsets, interval, timeout, next, pending, untold: false }
    }

    /// Returns when the next commit is due.
    async fn due(&self) {
        sleep_until(self.next).await;
    }

    /// Commits if it is time, and tells the task of what was committed while it was busy.
    async fn catch_up(&mut self, task: &mut dyn SourceTask) {
        if Instant::now() >= self.next {
            self.store_alone().await;
        }
        self.tell(task).await;
    }

    /// Stores what is committable. Never waits for records in flight. A failure is logged; the
    /// offsets are stored with the next commit.
    async fn commit(&mut self, task: &mut dyn SourceTask) {
        self.store_alone().await;
        self.tell(task).await;
    }

    /// Commits while the task is busy; it hears of it later.
    async fn store_alone(&mut self) {
        self.untold |= self.store().await;
        self.next = Instant::now() + self.interval;
    }

    async fn tell(&mut self, task: &mut dyn SourceTask) {
        if std::mem::take(&mut self.untold)
            && let Err(e) = task.commit().await
        {
            tracing::error!("the task's commit() failed: {e}");
        }
    }

    async fn store(&mut self) -> bool {
        self.pending.extend(self.submitted.committable());
        let began = Instant::now();
        let metrics = self.submitted.metrics();
        metrics.commit_begun();
        if self.pending.is_empty() {
            metrics.commit_succeeded(began.elapsed());
            return true;
        }
        let stored = timeout(self.timeout, self.offsets.write(&self.pending)).await;
        if !matches!(stored, Ok(Ok(()))) {
            metrics.commit_failed();
        }
        match stored {
            Ok(Ok(())) => {
                metrics.commit_succeeded(began.elapsed());
                tracing::info!(partitions = self.pending.len(), "committed source offsets");
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
    async fn finish(&mut self, task: &mut dyn SourceTask) {
        self.finish_alone().await;
        self.tell(task).await;
    }

    /// As [`Committer::finish`], without telling the task.
    async fn finish_alone(&mut self) {
        if !self.submitted.is_settled() {
            // The worker may lose patience while we wait.
            self.store().await;
            self.submitted.settle(self.timeout).await;
        }
        self.store_alone().await;
    }
}
