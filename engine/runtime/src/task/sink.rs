//! A sink task's loop: consume, convert, transform, put, commit (`WorkerSinkTask` in Java).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::data::{Records, SinkRecords};
use millrace_api::{Error, Offsets, Result, SinkContext, SinkTask, TopicPartition};
use millrace_kafka::{Consumer, Fetched, Polled};
use tokio::time::{Instant, timeout, timeout_at};

use crate::memory::Place;
use crate::metrics::{Step, TaskMetrics};
use crate::status::{State, StatusWriter};
use crate::task::chain::{StepFailures, TransformationChain};
use crate::task::converted::{Originals, any_passing, check_offsets};
use crate::task::errors::retries::{Attempts, Retries};
use crate::task::errors::{ErrorPolicy, Failures, Origin, Stage};
use crate::task::patience::Patience;
use crate::task::put::Unjudged;
use crate::task::serde::{ConverterFailures, Converters};
use crate::task::{Wanted, Wishes};
use crate::topics::TopicUses;

/// A task's `put` is called at least so often, with nothing if there is nothing: a task that acts
/// on time relies on it. Java waits up to `offset.flush.interval.ms`.
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// How long the loop stands still while converters ask others for what was just fetched.
const LONGEST_ASKING: Duration = Duration::from_secs(1);

/// How often it then looks whether there is an answer.
const LOOK: Duration = Duration::from_millis(100);

/// What a sink task is made of.
pub(crate) struct SinkTaskLoop {
    pub(crate) task: Box<dyn SinkTask>,
    pub(crate) context: SinkContext,
    pub(crate) pipeline: SinkPipeline,
    pub(crate) consumer: Box<dyn Consumer>,
    pub(crate) wishes: Wishes,
    pub(crate) status: StatusWriter,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) state: SinkState,
}

/// The way of a run from the consumer to the task.
pub(crate) struct SinkPipeline {
    pub(crate) chain: TransformationChain,
    pub(crate) converters: Converters,
    pub(crate) errors: Arc<ErrorPolicy>,
    pub(crate) metrics: Arc<TaskMetrics>,
    pub(crate) retries: Retries,
    pub(crate) originals: Originals,
    pub(crate) topics: TopicUses,
}

/// How far a sink task has got.
pub(crate) struct SinkState {
    /// `offset.flush.interval.ms`
    interval: Duration,
    /// `offset.flush.timeout.ms`
    pub(super) timeout: Duration,
    next_commit: Instant,
    /// What the group has committed, as far as we know.
    last_committed: Offsets,
    /// What was put successfully: the next offset of each partition.
    pub(super) current: Offsets,
    /// Fetched, but not yet converted: the converters wait for what they need.
    pub(super) held: VecDeque<Fetched>,
    /// The partitions of which something is held.
    waiting: BTreeSet<TopicPartition>,
    /// Whether an answer to what the converters asked is on its way.
    is_asking: bool,
    /// Not before then those that wait ask again.
    ask_again: Instant,
    patience: Patience,
    /// Converted, but not yet put successfully; offered again after a retriable error.
    pub(super) batch: Vec<SinkRecords>,
    /// The next offsets once the batch is put: records that were dropped count too.
    pub(super) batch_end: Offsets,
    /// How many bytes it had in Kafka.
    pub(super) batch_bytes: usize,
    /// The timestamp of its oldest record, give or take those that are out of order.
    pub(super) batch_oldest: Option<i64>,
    pub(super) unjudged: Unjudged,
    /// Whether the batch, or what is left of it, is to be put again.
    pub(super) redelivery: bool,
    /// Attempts at records that the task refused for a passing reason.
    pub(super) again: Option<Attempts>,
    /// How often, and for how long, these are put again.
    pub(super) put_retries: Retries,
    /// What the consumer has paused.
    paused: BTreeSet<TopicPartition>,
}

/// What became of the converters' questions for a run.
enum Asked {
    /// They have what they need.
    Answered,
    NoAnswerYet,
    Failed(Error),
}

impl SinkState {
    /// `interval` and `timeout` are `offset.flush.{interval,timeout}.ms`.
    pub(crate) fn new(
        interval: Duration,
        timeout: Duration,
        patience: Patience,
        put_retries: Retries,
    ) -> Self {
        Self {
            interval,
            timeout,
            next_commit: Instant::now() + interval,
            last_committed: Offsets::new(),
            current: Offsets::new(),
            held: VecDeque::new(),
            waiting: BTreeSet::new(),
            is_asking: false,
            ask_again: Instant::now(),
            patience,
            batch: Vec::new(),
            batch_end: Offsets::new(),
            batch_bytes: 0,
            batch_oldest: None,
            unjudged: Unjudged::default(),
            redelivery: false,
            again: None,
            put_retries,
            paused: BTreeSet::new(),
        }
    }

    /// Drops what is held of partitions that are not the task's any more, or are read again.
    fn drop_held(&mut self, gone: impl Fn(&TopicPartition) -> bool) {
        self.held.retain(|run| !gone(&run.topic_partition));
        self.waiting.retain(|partition| !gone(partition));
        self.batch.retain(|run| !gone(&run.topic_partition));
        self.batch_end.retain(|partition, _| !gone(partition));
        self.unjudged.first.retain(|partition, _| !gone(partition));
    }
}

impl SinkTaskLoop {
    /// Moves records until told to stop, or something fails; then commits what was put before,
    /// closes and leaves the group.
    pub(crate) async fn run(mut self) -> Result<()> {
        self.status.write(State::Running);
        let moved = self.move_records().await;
        self.state.unjudged.is_final = moved.is_err();
        let all: Vec<_> = self.state.current.keys().cloned().collect();
        let closed = match all.as_slice() {
            [] => Ok(()),
            // The record that the task fails with is a dead letter, too.
            all => self.commit_and_close(all).await,
        };
        if let Err(e) = self.task.stop().await {
            tracing::warn!("could not stop the task: {e}");
        }
        if let Err(e) = self.consumer.close().await {
            tracing::warn!("could not close the consumer: {e}");
        }
        moved.and(closed)
    }

    async fn move_records(&mut self) -> Result<()> {
        let mut paused = false;
        loop {
            match self.wishes.now() {
                Wanted::Stop => return Ok(()),
                Wanted::Pause if !paused => {
                    paused = true;
                    self.context.request_commit();
                    self.status.write(State::Paused);
                }
                Wanted::Run if paused => {
                    paused = false;
                    self.state.patience.begin_anew();
                    self.status.write(State::Running);
                }
                Wanted::Run | Wanted::Pause => {}
            }
            self.commit_if_due().await?;
            self.take_up_rewinds().await?;
            self.let_flow(paused)?;
            let timeout = self.poll_timeout(paused);
            let known = if paused { Wanted::Pause } else { Wanted::Run };
            let began = Instant::now();
            let polled = tokio::select! {
                biased;
                _ = self.wishes.other_than(known) => continue,
                polled = self.consumer.poll(timeout) => polled,
            };
            let polled = match polled {
                Err(e) if e.is_retriable() => {
                    tracing::warn!("consuming failed and is repeated: {e}");
                    self.metrics.retried(Step::Poll);
                    self.wishes.back_off().await;
                    continue;
                }
                polled => polled?,
            };
            match polled {
                Polled::Assigned(partitions) => self.assigned_now(&partitions).await?,
                Polled::Revoked(partitions) => self.commit_and_close(&partitions).await?,
                Polled::Lost(partitions) => self.forget(&partitions, true).await?,
                Polled::Records(runs) => {
                    let records = runs.iter().map(|run| run.offsets.len()).sum();
                    let bytes = runs.iter().map(Fetched::bytes).sum();
                    self.metrics.read(records, bytes, began.elapsed());
                    self.state.held.extend(runs);
                    if !paused {
                        self.convert().await?;
                    }
                    self.tell_memory();
                    self.deliver().await?;
                }
            }
        }
    }

    /// Until the next commit, or for the task's own time-out, else a second; less where converters
    /// have to ask again.
    fn poll_timeout(&mut self, paused: bool) -> Duration {
        let now = Instant::now();
        let until_commit = self.state.next_commit.saturating_duration_since(now);
        let wished = self.context.wishes().timeout.take().unwrap_or(LONGEST_POLL);
        let until_asking = match &self.state {
            state if paused || state.redelivery || state.waiting.is_empty() => Duration::MAX,
            state if state.is_asking => LOOK,
            state => state.ask_again.saturating_duration_since(now),
        };
        until_commit.min(wished).min(until_asking)
    }

    /// Carries out rewinds that the task asked for.
    async fn take_up_rewinds(&mut self) -> Result<()> {
        let rewinds = std::mem::take(&mut self.context.wishes().rewinds);
        if rewinds.is_empty() {
            return Ok(());
        }
        let assignment = self.context.assignment();
        let known = |(p, _): &(TopicPartition, i64)| assignment.contains(p);
        self.rewind(rewinds.into_iter().filter(known).collect()).await
    }

    /// Reads on from these offsets; what was put beyond them is put again.
    async fn rewind(&mut self, offsets: Offsets) -> Result<()> {
        self.consumer.seek(&offsets).await?;
        self.state.drop_held(|partition| offsets.contains_key(partition));
        for (partition, offset) in offsets {
            self.state.last_committed.insert(partition.clone(), offset);
            self.state.current.insert(partition, offset);
        }
        Ok(())
    }

    /// Lets flow what may: nothing while the connector is paused, a batch is to be put again or the
    /// share of memory is used up, and no partition that the task has paused, or of which something
    /// waits to be converted.
    fn let_flow(&mut self, paused: bool) -> Result<()> {
        let state = &mut self.state;
        let mut still = self.context.assignment();
        if !paused && !state.redelivery && !self.metrics.share().is_used_up() {
            let wishes = self.context.wishes();
            still.retain(|p| wishes.paused.contains(p) || state.waiting.contains(p));
        }
        let begin: Vec<_> = still.difference(&state.paused).cloned().collect();
        let end: Vec<_> = state.paused.difference(&still).cloned().collect();
        state.paused = still;
        self.consumer.pause(&begin)?;
        self.consumer.resume(&end)
    }

    /// Converts and transforms what was fetched, and adds it to the batch: of each partition as far
    /// as the converters have what they need, in order. A batch that is to be put again stays as it
    /// is.
    async fn convert(&mut self) -> Result<()> {
        if self.state.redelivery {
            // Nobody asks meanwhile, so nobody can have waited in vain.
            self.state.patience.begin_anew();
            return Ok(());
        }
        let now = Instant::now();
        let (mut no_answer_yet, mut failed) = (false, None);
        let before = std::mem::take(&mut self.state.waiting);
        // One that waits keeps no other from flowing.
        let new_until = if before.is_empty() { now + LONGEST_ASKING } else { now + LOOK };
        for run in std::mem::take(&mut self.state.held) {
            let partition = run.topic_partition.clone();
            let asked_before = before.contains(&partition);
            let is_kept = self.state.waiting.contains(&partition)
                || asked_before && now < self.state.ask_again;
            if !is_kept {
                let until = if asked_before { now + LOOK } else { new_until };
                match self.ask(&run, until).await? {
                    Asked::Answered => {
                        if asked_before {
                            self.state.patience.begin_anew();
                        }
                        if !self.take_over(run).await? {
                            return Ok(());
                        }
                        continue;
                    }
                    Asked::NoAnswerYet => no_answer_yet = true,
                    Asked::Failed(error) => failed = Some(error),
                }
            }
            self.state.waiting.insert(partition);
            self.state.held.push_back(run);
        }
        self.state.is_asking = no_answer_yet;
        match failed {
            Some(error) => {
                self.state.ask_again = now + self.state.patience.again_after(error)?;
                self.metrics.retried(Step::Convert);
            }
            None if self.state.waiting.is_empty() => self.state.patience.satisfied(),
            None => self.state.patience.no_answer_yet()?,
        }
        Ok(())
    }

    /// Has the converters ask for what a run needs.
    async fn ask(&mut self, run: &Fetched, until: Instant) -> Result<Asked> {
        match timeout_at(until, self.pipeline.converters.prepare_to(run)).await {
            Ok(Ok(())) => Ok(Asked::Answered),
            Ok(Err(error)) if error.is_retriable() => Ok(Asked::Failed(error)),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(Asked::NoAnswerYet),
        }
    }

    /// Adds a run to the batch. False when told to stop before: then it is read again.
    async fn take_over(&mut self, run: Fetched) -> Result<bool> {
        let Some(last) = run.offsets.last() else { return Ok(true) };
        let (partition, next) = (run.topic_partition.clone(), last + 1);
        self.state.batch_bytes += run.bytes();
        self.metrics.share().set(Place::Putting, self.state.batch_bytes);
        let first = run.timestamps.first().copied().filter(|time| *time >= 0);
        self.state.batch_oldest = self.state.batch_oldest.into_iter().chain(first).min();
        let Some(records) = self.pipeline.convert(Arc::new(run), &mut self.wishes).await? else {
            return Ok(false);
        };
        self.state.batch_end.insert(partition, next);
        self.state.batch.extend(records);
        Ok(true)
    }

    async fn commit_if_due(&mut self) -> Result<()> {
        let requested = std::mem::take(&mut self.context.wishes().commit);
        if !requested && Instant::now() < self.state.next_commit {
            return Ok(());
        }
        self.state.next_commit = Instant::now() + self.state.interval;
        let consumed = self.state.current.clone();
        if consumed.is_empty() {
            return Ok(());
        }
        let began = self.begin_commit();
        match self.pre_commit(&consumed).await {
            Ok(offsets) => {
                let buried = self.are_refused_buried().await;
                match buried {
                    Ok(true) => self.commit(self.committable(offsets, &consumed), began).await,
                    _ => self.metrics.commit_failed(),
                }
                buried.map(|_| ())
            }
            Err(e) => {
                tracing::error!("pre-commit failed, going back to the last committed offsets: {e}");
                let committed = self.state.last_committed.clone();
                self.rewind(committed).await
            }
        }
    }

    /// What the task says may be committed, as far as it is true: nothing beyond what was put or is
    /// to be put again, and nothing of partitions that are not ours.
    fn committable(&self, offsets: Offsets, consumed: &Offsets) -> Offsets {
        let mut committable = Offsets::new();
        for (partition, offset) in offsets {
            match consumed.get(&partition) {
                Some(end) if offset <= *end => {
                    let offset = offset.min(self.state.first_held(&partition));
                    if self.state.last_committed.get(&partition) != Some(&offset) {
                        committable.insert(partition, offset);
                    }
                }
                Some(end) => tracing::warn!(
                    "ignoring the task's offset {offset} for {partition}: only {end} was put"
                ),
                None => tracing::debug!("ignoring the task's offset for {partition}"),
            }
        }
        committable
    }

    fn begin_commit(&self) -> Instant {
        self.metrics.commit_begun();
        Instant::now()
    }

    /// Commits for the group. A failure is logged only: the next commit covers it.
    async fn commit(&mut self, offsets: Offsets, began: Instant) {
        if offsets.is_empty() {
            self.metrics.commit_succeeded(began.elapsed());
            return;
        }
        let committed = timeout(self.state.timeout, self.consumer.commit(&offsets));
        let committed = committed.await;
        if !matches!(committed, Ok(Ok(()))) {
            self.metrics.commit_failed();
        }
        match committed {
            Ok(Ok(())) => {
                self.metrics.committed(&offsets);
                self.metrics.commit_succeeded(began.elapsed());
                tracing::info!(partitions = offsets.len(), "committed offsets");
                self.state.last_committed.extend(offsets);
            }
            Ok(Err(e)) => tracing::error!("cannot commit offsets {offsets:?}: {e}"),
            Err(_) => tracing::error!(
                "committing offsets took longer than offset.flush.timeout.ms={}",
                self.state.timeout.as_millis()
            ),
        }
    }

    async fn assigned_now(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let positions = loop {
            match self.consumer.position(partitions).await {
                Err(e) if e.is_retriable() => {
                    if self.wishes.now() == Wanted::Stop {
                        return Ok(());
                    }
                    tracing::warn!("cannot learn where to read {}: {e}", list(partitions));
                    self.wishes.back_off().await;
                }
                positions => break positions?,
            }
        };
        for (partition, offset) in positions {
            self.state.last_committed.insert(partition.clone(), offset);
            self.state.current.insert(partition, offset);
        }
        {
            let mut wishes = self.context.wishes();
            let wishes = &mut *wishes;
            wishes.assignment.extend(partitions.iter().cloned());
            wishes.paused.retain(|p| wishes.assignment.contains(p));
            self.metrics.assigned(&self.state.current, wishes.assignment.len());
        }
        if !partitions.is_empty() {
            tracing::info!("assigned {}", list(partitions));
            self.task.open(partitions).await?;
        }
        Ok(())
    }

    /// The last chance to commit for partitions that are being taken away. Fails when the task
    /// cannot close them.
    async fn commit_and_close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let ours = |(p, _): &(&TopicPartition, &i64)| partitions.contains(p);
        let consumed: Offsets =
            self.state.current.iter().filter(ours).map(|(p, o)| (p.clone(), *o)).collect();
        let began = self.begin_commit();
        let offsets = self.pre_commit(&consumed).await.inspect_err(|e| {
            tracing::error!("pre-commit failed while closing {}: {e}", list(partitions));
        });
        let judged = self.judge_refused().await;
        // While what is to be put again is still there.
        let offsets = offsets.map(|offsets| self.committable(offsets, &consumed));
        let closed = self.forget(partitions, false).await;
        // Where a record is nowhere, nothing is committed.
        let buried = judged.and(self.are_buried().await);
        match (offsets, &buried) {
            (Ok(offsets), Ok(true)) => self.commit(offsets, began).await,
            (Ok(_), _) => self.metrics.commit_failed(),
            (Err(_), _) => {} // It is counted.
        }
        self.state.last_committed.retain(|p, _| !partitions.contains(p));
        closed.and(buried.map(|_| ()))
    }

    /// Closes partitions and drops what is held of them.
    async fn forget(&mut self, partitions: &[TopicPartition], lost: bool) -> Result<()> {
        tracing::info!("{} {}", if lost { "lost" } else { "closing" }, list(partitions));
        let closed = self.task.close(partitions).await;
        self.metrics.unassigned(partitions);
        let gone = |p: &TopicPartition| partitions.contains(p);
        let state = &mut self.state;
        state.current.retain(|p, _| !gone(p));
        state.drop_held(gone);
        state.paused.retain(|p| !gone(p));
        if lost {
            state.last_committed.retain(|p, _| !gone(p));
        }
        let mut wishes = self.context.wishes();
        wishes.assignment.retain(|p| !gone(p));
        // What was paused and goes to somebody else is not paused when it comes back: whoever has
        // closed a partition does not think of resuming it. When all goes at once, most of it may
        // come back at once, paused as it was: the next assignment tells.
        if !wishes.assignment.is_empty() {
            wishes.paused.retain(|p| !gone(p));
        }
        wishes.rewinds.retain(|p, _| !gone(p));
        closed
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl SinkPipeline {
    /// Deserializes and transforms a run; none when told to stop before. Failed records are dealt
    /// with by `errors.tolerance`.
    async fn convert(
        &mut self,
        run: Arc<Fetched>,
        wishes: &mut Wishes,
    ) -> Result<Option<Vec<SinkRecords>>> {
        let Some(runs) = self.deserialize(&run, wishes).await? else { return Ok(None) };
        if runs.iter().any(|part| !part.is_empty()) {
            self.topics.tell(&run.topic_partition.topic);
        }
        let original = self.errors.wants_originals().then(|| self.originals.keep(&run));
        let mut records = Vec::with_capacity(runs.len());
        for part in runs {
            let Some(transformed) = self.transform(&run, part, wishes).await? else {
                return Ok(None);
            };
            records.extend(transformed.into_iter().map(|records| SinkRecords {
                records,
                topic_partition: run.topic_partition.clone(),
                original: original.clone(),
            }));
        }
        Ok(Some(records))
    }

    async fn deserialize(
        &mut self,
        run: &Fetched,
        wishes: &mut Wishes,
    ) -> Result<Option<Vec<Records>>> {
        let mut attempts = self.retries.begin();
        let (runs, failures) = loop {
            let began = Instant::now();
            let deserialized = self.converters.deserialize(run);
            self.metrics.spent(Step::Convert, began.elapsed());
            let pause = attempts.pause_after(&deserialized, |(_, failures)| {
                any_passing(failures.iter().flat_map(|stage| &stage.rows))
            });
            let Some(pause) = pause else { break deserialized? };
            self.metrics.retried(Step::Convert);
            if !wishes.pause(pause).await {
                return Ok(None);
            }
        };
        for ConverterFailures { stage, class, rows } in &failures {
            let failures = Failures { stage: *stage, class, rows };
            self.errors.handle(failures, Origin::Kafka(run), Some).await?;
        }
        Ok(Some(runs))
    }

    async fn transform(
        &mut self,
        run: &Fetched,
        part: Records,
        wishes: &mut Wishes,
    ) -> Result<Option<Vec<Records>>> {
        let mut attempts = self.retries.begin();
        let (entered, began) = (part.len(), Instant::now());
        let (transformed, failures) = loop {
            let applied = self.chain.apply(part.clone());
            let pause = attempts.pause_after(&applied, |(_, failures)| {
                any_passing(failures.iter().flat_map(|step| &step.rows))
            });
            let Some(pause) = pause else { break applied? };
            self.metrics.retried(Step::Transform);
            if !wishes.pause(pause).await {
                return Ok(None);
            }
        };
        check_offsets(&transformed)?;
        self.metrics.transformed(entered, &transformed, &failures, began.elapsed());
        for StepFailures { class, marks, rows } in &failures {
            let failures = Failures { stage: Stage::Transformation, class, rows };
            let place = |row| marks.row_in(run, row);
            self.errors.handle(failures, Origin::Kafka(run), place).await?;
        }
        Ok(Some(transformed))
    }
}
