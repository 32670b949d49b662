//! A source task's loop: poll, transform, convert, produce, commit (`WorkerSourceTask` in Java).

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::Array;
use millrace_api::data::{Records, SourceOffset, SourcePartition, SourceRecords};
use millrace_api::{Result, SourceTask};
use millrace_kafka::{Acknowledge, Outgoing, Producer};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::contain::caught;
use crate::memory::Place;
use crate::metrics::{Step, TaskMetrics};
use crate::status::{State, StatusWriter};
use crate::store::offsets::ConnectorOffsets;
use crate::task::chain::{StepFailures, TransformationChain};
use crate::task::converted::{Converted, Marks, any_passing, check_times, sent_rows};
use crate::task::errors::retries::Retries;
use crate::task::errors::unsent::{Sent, letters_of};
use crate::task::errors::{ErrorPolicy, Failures, Origin, Stage};
use crate::task::offsets::{AbandonedUnlessSent, Submitted, SubmittedRecords};
use crate::task::patience::Patience;
use crate::task::serde::{ConverterFailures, Converters};
use crate::task::topics::TopicCreation;
use crate::task::{Wanted, Wishes};
use crate::topics::TopicUses;

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
    pub(crate) errors: Arc<ErrorPolicy>,
    pub(crate) retries: Retries,
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
        let errors = Arc::clone(&self.pipeline.errors);
        // Letters may have to wait for room, which keeps the task from nothing but polling.
        let mut burying = pin!(errors.bury_unsent());
        let (moved, burying) = tokio::select! {
            moved = caught(self.move_records()) => (moved, Some(burying)),
            Err(error) = burying.as_mut() => (Ok(Err(error)), None),
        };
        let told: Option<&mut dyn SourceTask> = match &moved {
            Ok(_) => Some(&mut *self.task),
            Err(_) => None,
        };
        let finishing = self.committer.finish(told);
        let buried = match burying {
            Some(burying) => finish_burying(finishing, burying).await,
            None => {
                finishing.await;
                Ok(())
            }
        };
        let moved = moved?;
        if let Err(e) = self.task.stop().await {
            tracing::warn!("could not stop the task: {e}");
        }
        moved.and(buried)
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
        if !self.has_buried().await? {
            return Ok(Vec::new());
        }
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

    /// Waits until what the producer has given up is dealt with. False when something else is
    /// wanted. Commits go on.
    async fn has_buried(&mut self) -> Result<bool> {
        loop {
            tokio::select! {
                biased;
                _ = self.wishes.other_than(Wanted::Run) => return Ok(false),
                () = self.pipeline.errors.unsent.none() => return Ok(true),
                failed = self.committer.submitted.failed() => failed?,
                () = self.committer.due() => self.committer.commit(&mut *self.task).await,
            }
        }
    }

    /// Hands a batch to the producer. False when told to stop before all of it fitted: what was not
    /// taken over is not committed and will be polled again.
    async fn send(&mut self, batch: Vec<SourceRecords>) -> Result<bool> {
        if !batch.is_empty() {
            self.metrics.batch(batch.iter().map(|run| run.records.len()).sum());
        }
        for run in batch {
            let mut converted = Converted::default();
            if !self.convert(&run, &mut converted).await? {
                return Ok(false);
            }
            let sent = converted.sent();
            self.metrics.dropped(run.records.len().saturating_sub(sent));
            let records = sent + converted.buried();
            if records == 0 {
                // As in Java: a later run of the same source partition covers their offset.
                continue;
            }
            let offset = run.source_offset.clone();
            let submitted = self.committer.submitted.submit(&run.source_partition, offset, records);
            let sent = self.send_all(run, converted, &submitted).await;
            if !matches!(sent, Ok(true)) {
                submitted.abandon();
                return sent;
            }
        }
        Ok(true)
    }

    /// Sends what became of a run. Its offset waits for the dead letters as for the records.
    async fn send_all(
        &mut self,
        run: SourceRecords,
        converted: Converted,
        submitted: &Arc<Submitted>,
    ) -> Result<bool> {
        let errors = Arc::clone(&self.pipeline.errors);
        if let Some(queue) = errors.letters() {
            for letters in &converted.letters {
                let sending = queue.send_for(letters, letters_of(submitted, &self.metrics));
                let Self { committer, task, wishes, .. } = self;
                if !found_room(sending, submitted, committer, &mut **task, wishes).await? {
                    return Ok(false);
                }
            }
        }
        let polled = errors.follows_records().then(|| Arc::new(run));
        for (outgoing, rows) in converted.outgoing {
            let ack: Arc<dyn Acknowledge> = match &polled {
                Some(polled) => Arc::new(Sent {
                    errors: Arc::clone(&errors),
                    polled: Arc::clone(polled),
                    rows,
                    submitted: Arc::clone(submitted),
                }),
                None => Arc::clone(submitted) as Arc<dyn Acknowledge>,
            };
            if !self.produce(&outgoing, ack, submitted).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What becomes of a run. False when told to stop before.
    async fn convert(&mut self, run: &SourceRecords, converted: &mut Converted) -> Result<bool> {
        let Some(runs) = self.transform(run, converted).await? else { return Ok(false) };
        for records in runs {
            if !self.prepare(&records).await? || !self.serialize(run, &records, converted).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Transforms a run; none when told to stop before. Failed records are dealt with by
    /// `errors.tolerance`.
    async fn transform(
        &mut self,
        run: &SourceRecords,
        converted: &mut Converted,
    ) -> Result<Option<Vec<Records>>> {
        let errors = Arc::clone(&self.pipeline.errors);
        let (entered, began) = (run.records.len(), Instant::now());
        // What offsets are to a sink: a record is known by it wherever it goes.
        let origins = errors.wants_originals().then(|| (0..entered as i64).collect());
        let mut attempts = self.pipeline.retries.begin();
        let (runs, failures) = loop {
            let records = Records { origins: origins.clone(), ..run.records.clone() };
            let applied = self.pipeline.chain.apply(records);
            let pause = attempts.pause_after(&applied, |(_, failures)| {
                any_passing(failures.iter().flat_map(|step| &step.rows))
            });
            let Some(pause) = pause else { break applied? };
            self.metrics.retried(Step::Transform);
            if !self.pause(pause).await {
                return Ok(None);
            }
        };
        self.metrics.transformed(entered, &runs, &failures, began.elapsed());
        for StepFailures { class, marks, rows } in &failures {
            let failures = Failures { stage: Stage::Transformation, class, rows };
            let place = |row| marks.original_row(row);
            let letters = errors.handle_polled(failures, Origin::Source(run), place).await?;
            converted.letters.extend(letters);
        }
        Ok(Some(runs))
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

    /// Serializes a run. False when told to stop before. Failed records are dealt with in the same
    /// way.
    async fn serialize(
        &mut self,
        run: &SourceRecords,
        records: &Records,
        converted: &mut Converted,
    ) -> Result<bool> {
        let errors = Arc::clone(&self.pipeline.errors);
        let mut attempts = self.pipeline.retries.begin();
        let (serialized, failures) = loop {
            let began = Instant::now();
            let serialized = self.pipeline.converters.serialize(records);
            self.metrics.spent(Step::Convert, began.elapsed());
            let pause = attempts.pause_after(&serialized, |(_, failures)| {
                any_passing(failures.iter().flat_map(|stage| &stage.rows))
            });
            let Some(pause) = pause else { break serialized? };
            self.metrics.retried(Step::Convert);
            if !self.pause(pause).await {
                return Ok(false);
            }
        };
        for ConverterFailures { stage, class, rows } in &failures {
            let failures = Failures { stage: *stage, class, rows };
            let marks = Marks::of(records);
            let place = |row| marks.original_row(row);
            let letters = errors.handle_polled(failures, Origin::Source(run), place).await?;
            converted.letters.extend(letters);
        }
        check_times(&serialized)?;
        if !serialized.values.is_empty() {
            let is_followed = errors.follows_records();
            let sent = is_followed.then(|| sent_rows(records, &failures)).flatten();
            converted.outgoing.push((serialized, sent));
        }
        Ok(true)
    }

    /// Waits before something is repeated. False when told to stop meanwhile. Commits go on.
    async fn pause(&mut self, length: Duration) -> bool {
        let end = Instant::now() + length;
        let mut known = Wanted::Run;
        loop {
            tokio::select! {
                biased;
                () = sleep_until(end) => return true,
                () = self.committer.due() => self.committer.commit(&mut *self.task).await,
                wanted = self.wishes.other_than(known) => match wanted {
                    Wanted::Stop => return false,
                    other => known = other,
                },
            }
        }
    }

    /// Hands a run to the producer; repeated for as long as it fails for a passing reason.
    async fn produce(
        &mut self,
        outgoing: &Outgoing,
        ack: Arc<dyn Acknowledge>,
        run: &Arc<Submitted>,
    ) -> Result<bool> {
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

    async fn offer(
        &mut self,
        outgoing: &Outgoing,
        ack: &Arc<dyn Acknowledge>,
        run: &Arc<Submitted>,
    ) -> Result<bool> {
        let Self { pipeline, committer, task, wishes, .. } = self;
        let sending = pipeline.producer.send(outgoing, Arc::clone(ack));
        found_room(sending, run, committer, &mut **task, wishes).await
    }
}

/// Waits for both until the first is through; the second ends with an error alone.
async fn finish_burying(
    finishing: impl Future<Output = ()>,
    burying: impl Future<Output = Result<Infallible>>,
) -> Result<()> {
    let mut finishing = pin!(finishing);
    let failed = tokio::select! {
        () = &mut finishing => return Ok(()),
        Err(error) = burying => error,
    };
    finishing.await;
    Err(failed)
}

/// Waits until what is sent of a run has found room in a producer's buffer: the back-pressure.
/// False when told to stop before. Commits go on meanwhile.
async fn found_room(
    sending: impl Future<Output = Result<()>>,
    run: &Arc<Submitted>,
    committer: &mut Committer,
    task: &mut dyn SourceTask,
    wishes: &mut Wishes,
) -> Result<bool> {
    let mut sending = pin!(sending);
    // By a stop or by a panic.
    let mut unsent = AbandonedUnlessSent(Some(run));
    let mut known = Wanted::Run;
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => {
                unsent.0 = None;
                return sent.map(|()| true);
            }
            failed = committer.submitted.failed() => failed?,
            () = committer.due() => committer.commit(task).await,
            wanted = wishes.other_than(known) => match wanted {
                Wanted::Stop => return Ok(false),
                // A batch that was begun is finished before the task pauses.
                other => known = other,
            },
        }
    }
}

impl SourcePipeline {
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

    /// Stores what is committable. Never waits for records in flight. A failure is only logged.
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
    /// that too. The task hears of it, unless there is none to hear.
    async fn finish(&mut self, task: Option<&mut dyn SourceTask>) {
        if !self.submitted.is_settled() {
            // The worker may lose patience while we wait.
            self.store().await;
            self.submitted.settle(self.timeout).await;
        }
        self.store_alone().await;
        if let Some(task) = task {
            self.tell(task).await;
        }
    }
}
