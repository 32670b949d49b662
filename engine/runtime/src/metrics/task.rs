//! What is counted of one task. The loops, the error policy and the producer's thread call it once
//! a batch, never once a record.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_api::data::Records;
use millrace_api::{Error, ErrorKind, Offsets, PluginKind, TopicPartition};

use super::histogram::Histogram;
use super::sensor::{Sensor, Windows};
use super::{Clock, Startups};
use crate::memory::Share;
use crate::status::State;
use crate::task::TaskId;
use crate::task::chain::StepFailures;

/// What a task spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Poll,
    Transform,
    Convert,
    /// Waiting for room in the producer's buffer.
    Produce,
    Put,
}

impl Step {
    pub(crate) const ALL: [Self; 5] =
        [Self::Poll, Self::Transform, Self::Convert, Self::Produce, Self::Put];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Transform => "transform",
            Self::Convert => "convert",
            Self::Produce => "produce",
            Self::Put => "put",
        }
    }
}

/// What kind of trouble an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// It may go away by itself.
    Transient,
    /// A record is wrong.
    Data,
    /// What somebody configured is wrong, or not allowed.
    Config,
    /// None of these: a plugin or Millrace is wrong.
    Bug,
}

impl ErrorClass {
    pub(crate) const ALL: [Self; 4] = [Self::Transient, Self::Data, Self::Config, Self::Bug];

    pub(crate) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Retriable => Self::Transient,
            ErrorKind::Data => Self::Data,
            ErrorKind::Config | ErrorKind::NotFound | ErrorKind::Conflict => Self::Config,
            _ => Self::Bug,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Data => "data",
            Self::Config => "config",
            Self::Bug => "bug",
        }
    }
}

/// What a task is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) kind: PluginKind,
    /// Classes and versions: connector, its type, task, converters of key, value and header.
    pub(crate) words: [String; 11],
    pub(crate) transforms: Vec<Part>,
    pub(crate) predicates: Vec<Part>,
}

/// A step of a chain, or its predicate.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) alias: String,
    pub(crate) class: &'static str,
    pub(crate) version: &'static str,
}

/// The counters of one run of a task, from its start until it is stopped or replaced. A task that
/// has failed keeps them.
pub(crate) struct TaskMetrics {
    pub(crate) id: TaskId,
    clock: Clock,
    startups: Arc<Startups>,
    share: Arc<Share>,
    parts: OnceLock<Parts>,
    sensors: Mutex<Sensors>,
    latency: Histogram,
    pub(super) errors: ErrorCounters,
    /// Nanoseconds of each [`Step`], and how often it was done.
    steps: [(AtomicU64, AtomicU64); Step::ALL.len()],
}

/// What is measured over windows.
pub(super) struct Sensors {
    pub(super) state: StateTimer,
    pub(super) commit_time: Sensor,
    /// 1: succeeded; 0: failed.
    pub(super) commits: Sensor,
    /// How many commits were begun.
    pub(super) commit_number: u64,
    pub(super) batch_size: Sensor,
    /// Records that came in: polled by a source, read by a sink.
    pub(super) taken: Sensor,
    /// Records that went out: acknowledged by Kafka, or put.
    pub(super) given: Sensor,
    /// Of keys and values: read from Kafka by a sink, handed to the producer by a source.
    pub(super) bytes: u64,
    /// How long a poll, or put, took.
    pub(super) call_time: Sensor,
    /// Records between coming in and being done with.
    pub(super) active: Sensor,
    pub(super) partitions: usize,
    /// A sink's: the offset after the last record that came in, and what is committed.
    pub(super) consumed: Offsets,
    committed: Offsets,
    pub(super) filtered: u64,
}

/// How long a task was in which state.
#[derive(Debug, Default)]
pub(super) struct StateTimer {
    state: Option<State>,
    began: bool,
    first: i64,
    since: i64,
    running: i64,
    paused: i64,
}

/// `task-error-metrics`, and errors by class.
#[derive(Debug, Default)]
pub(super) struct ErrorCounters {
    failures: AtomicU64,
    errors: AtomicU64,
    skipped: AtomicU64,
    retries: [AtomicU64; Step::ALL.len()],
    logged: AtomicU64,
    dead_letters: AtomicU64,
    dead_letters_failed: AtomicU64,
    /// Milliseconds since 1970; 0: never.
    last: AtomicI64,
    classes: [AtomicU64; ErrorClass::ALL.len()],
}

fn count(records: usize) -> f64 {
    records as f64
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl TaskMetrics {
    pub(super) fn new(
        id: TaskId,
        windows: Windows,
        (clock, startups): (Clock, Arc<Startups>),
        share: Arc<Share>,
        state: State,
    ) -> Self {
        let mut sensors = Sensors::new(windows);
        sensors.state.enter(state, clock.millis());
        Self {
            id,
            clock,
            startups,
            share,
            parts: OnceLock::new(),
            sensors: Mutex::new(sensors),
            latency: Histogram::default(),
            errors: ErrorCounters::default(),
            steps: Default::default(),
        }
    }

    /// Those of a task that is in no worker.
    #[cfg(test)]
    pub(crate) fn apart() -> Arc<Self> {
        let id = TaskId { connector: "c".into(), task: 0 };
        let budget = crate::memory::Budget::new(None);
        let metrics = Arc::new(super::Metrics::new((30_000, 2), budget));
        Arc::clone(&metrics.register(&id, State::Running).task)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sensors> {
        self.sensors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the task holds, and may hold.
    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// The task is made of these.
    pub(crate) fn is_made_of(&self, parts: Parts) {
        let _ = self.parts.set(parts);
    }

    /// None until they are known.
    pub(super) fn parts(&self) -> Option<&Parts> {
        self.parts.get()
    }

    fn record(&self, recording: impl FnOnce(&mut Sensors, i64)) {
        let now = self.clock.millis();
        recording(&mut self.lock(), now);
    }

    /// The task is in this state from now on.
    pub(crate) fn entered(&self, state: State) {
        let began = {
            let mut sensors = self.lock();
            sensors.state.enter(state, self.clock.millis());
            let began = sensors.state.began;
            sensors.state.began |= state == State::Running;
            if state == State::Failed {
                sensors.partitions = 0;
            }
            began
        };
        if matches!(state, State::Failed | State::Unassigned) {
            self.share.end();
        }
        match state {
            State::Running if !began => self.startups.task_started(true),
            State::Failed if !began => self.startups.task_started(false),
            _ => {}
        }
    }

    /// A step was done, and took so long.
    pub(crate) fn spent(&self, step: Step, took: Duration) {
        let (nanos, times) = &self.steps[step as usize];
        nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        times.fetch_add(1, Ordering::Relaxed);
    }

    /// How long a step took in all, and how often it was done.
    pub(super) fn step(&self, step: Step) -> (Duration, u64) {
        let (nanos, times) = &self.steps[step as usize];
        (Duration::from_nanos(nanos.load(Ordering::Relaxed)), times.load(Ordering::Relaxed))
    }

    /// Records are so old now that the task is done with them.
    pub(crate) fn delivered(&self, age: Duration) {
        self.latency.record(age);
    }

    pub(super) fn latency(&self) -> (Vec<(f64, u64)>, f64) {
        self.latency.read()
    }

    /// A source task's poll brought so many records.
    pub(crate) fn polled(&self, records: usize, took: Duration) {
        self.spent(Step::Poll, took);
        self.record(|sensors, now| {
            sensors.taken.record(count(records), now);
            sensors.call_time.record(millis(took), now);
            sensors.change_active(count(records), now);
        });
    }

    /// A source's batch of so many records is on its way.
    pub(crate) fn batch(&self, records: usize) {
        self.record(|sensors, now| sensors.batch_size.record(count(records), now));
    }

    /// Kafka has acknowledged so many records of a source.
    pub(crate) fn written(&self, records: usize) {
        self.record(|sensors, now| {
            sensors.given.record(count(records), now);
            sensors.change_active(-count(records), now);
        });
    }

    /// So many records of a source will not be written: filtered, or skipped.
    pub(crate) fn dropped(&self, records: usize) {
        if records > 0 {
            self.record(|sensors, now| sensors.change_active(-count(records), now));
        }
    }

    /// Transformations were given so many records, and this is what became of them.
    pub(crate) fn transformed(
        &self,
        entered: usize,
        left: &[Records],
        failures: &[StepFailures],
        took: Duration,
    ) {
        self.spent(Step::Transform, took);
        let left: usize = left.iter().map(Records::len).sum();
        let failed: usize = failures.iter().map(|step| step.rows.len()).sum();
        if left + failed < entered {
            self.lock().filtered += (entered - left - failed) as u64;
        }
    }

    /// A source's records were handed to the producer, with keys and values of so many bytes.
    pub(crate) fn produced(&self, bytes: usize, took: Duration) {
        self.spent(Step::Produce, took);
        self.lock().bytes += bytes as u64;
    }

    /// A sink's poll brought so many records, perhaps none, with keys and values of so many bytes.
    pub(crate) fn read(&self, records: usize, bytes: usize, took: Duration) {
        self.spent(Step::Poll, took);
        self.record(|sensors, now| {
            sensors.taken.record(count(records), now);
            sensors.bytes += bytes as u64;
        });
    }

    /// A sink task has taken a batch, perhaps an empty one.
    pub(crate) fn put(&self, records: usize, took: Duration) {
        self.spent(Step::Put, took);
        self.record(|sensors, now| {
            sensors.batch_size.record(count(records), now);
            sensors.given.record(count(records), now);
            sensors.call_time.record(millis(took), now);
        });
    }

    /// What a sink has converted reaches up to these offsets.
    pub(crate) fn consumed(&self, offsets: &Offsets) {
        self.record(|sensors, now| {
            sensors.consumed.extend(offsets.iter().map(|(p, offset)| (p.clone(), *offset)));
            sensors.recount(now);
        });
    }

    /// A sink reads these partitions from now on, and those it had before.
    pub(crate) fn assigned(&self, offsets: &Offsets, partitions: usize) {
        self.record(|sensors, now| {
            sensors.partitions = partitions;
            sensors.consumed.clone_from(offsets);
            sensors.committed.clone_from(offsets);
            sensors.recount(now);
        });
    }

    /// A sink does not read these partitions any more.
    pub(crate) fn unassigned(&self, gone: &[TopicPartition]) {
        self.record(|sensors, now| {
            sensors.consumed.retain(|partition, _| !gone.contains(partition));
            sensors.committed.retain(|partition, _| !gone.contains(partition));
            sensors.partitions = sensors.partitions.saturating_sub(gone.len());
            sensors.recount(now);
        });
    }

    /// A commit begins.
    pub(crate) fn commit_begun(&self) {
        self.lock().commit_number += 1;
    }

    /// A commit has ended well: also when there was nothing to commit.
    pub(crate) fn commit_succeeded(&self, took: Duration) {
        self.record(|sensors, now| {
            sensors.commit_time.record(millis(took), now);
            sensors.commits.record(1.0, now);
        });
    }

    /// A group has committed these offsets of a sink.
    pub(crate) fn committed(&self, offsets: &Offsets) {
        self.record(|sensors, now| {
            sensors.committed.extend(offsets.iter().map(|(p, offset)| (p.clone(), *offset)));
            sensors.recount(now);
        });
    }

    /// A commit has failed.
    pub(crate) fn commit_failed(&self) {
        self.record(|sensors, now| sensors.commits.record(0.0, now));
    }

    /// Operations on so many records have failed, for this kind of reason.
    pub(crate) fn failed(&self, records: usize, class: ErrorClass) {
        add(&self.errors.failures, records);
        self.classed(records, class);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.errors.last.store(now, Ordering::Relaxed);
    }

    /// So many records have failed for this kind of reason, whether Java counts them or not.
    pub(crate) fn classed(&self, records: usize, class: ErrorClass) {
        add(&self.errors.classes[class as usize], records);
    }

    /// The task has failed for this kind of reason. Records were counted when they did.
    pub(crate) fn task_failed(&self, class: ErrorClass) {
        if class != ErrorClass::Data {
            add(&self.errors.classes[class as usize], 1);
        }
    }

    /// Operations on so many records have failed for good, tolerated or not.
    pub(crate) fn given_up(&self, records: usize) {
        add(&self.errors.errors, records);
    }

    /// So many records are left out because of errors.
    pub(crate) fn skipped(&self, records: usize) {
        add(&self.errors.skipped, records);
    }

    /// A step has failed for now, and is repeated.
    pub(crate) fn retried(&self, step: Step) {
        add(&self.errors.retries[step as usize], 1);
        add(&self.errors.classes[ErrorClass::Transient as usize], 1);
        if matches!(step, Step::Transform | Step::Convert) {
            add(&self.errors.failures, 1);
        }
    }

    /// So many errors were logged.
    pub(crate) fn logged(&self, errors: usize) {
        add(&self.errors.logged, errors);
    }

    /// So many records are to be written to the dead letter queue.
    pub(crate) fn dead_letters(&self, records: usize) {
        add(&self.errors.dead_letters, records);
    }

    /// So many records could not be written to the dead letter queue.
    pub(crate) fn dead_letters_failed(&self, records: usize) {
        add(&self.errors.dead_letters_failed, records);
    }
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

impl ErrorCounters {
    pub(super) fn failures(&self) -> f64 {
        read(&self.failures)
    }

    pub(super) fn errors(&self) -> f64 {
        read(&self.errors)
    }

    pub(super) fn skipped(&self) -> f64 {
        read(&self.skipped)
    }

    pub(super) fn retries(&self, step: Step) -> f64 {
        read(&self.retries[step as usize])
    }

    pub(super) fn logged(&self) -> f64 {
        read(&self.logged)
    }

    pub(super) fn dead_letters(&self) -> f64 {
        read(&self.dead_letters)
    }

    pub(super) fn dead_letters_failed(&self) -> f64 {
        read(&self.dead_letters_failed)
    }

    pub(super) fn last(&self) -> f64 {
        self.last.load(Ordering::Relaxed) as f64
    }

    pub(super) fn class(&self, class: ErrorClass) -> f64 {
        read(&self.classes[class as usize])
    }
}

impl Sensors {
    fn new(windows: Windows) -> Self {
        let sensor = || Sensor::new(windows);
        Self {
            state: StateTimer::default(),
            commit_time: sensor(),
            commits: sensor(),
            commit_number: 0,
            batch_size: sensor(),
            taken: sensor(),
            given: sensor(),
            bytes: 0,
            call_time: sensor(),
            active: sensor(),
            partitions: 0,
            consumed: Offsets::new(),
            committed: Offsets::new(),
            filtered: 0,
        }
    }

    fn change_active(&mut self, by: f64, now: i64) {
        let active = (self.active.value() + by).max(0.0);
        self.active.record(active, now);
    }

    /// A sink's active records: consumed, and not yet committed.
    fn recount(&mut self, now: i64) {
        let open = |(partition, committed): (&TopicPartition, &i64)| {
            self.consumed.get(partition).map_or(0, |consumed| (consumed - committed).max(0))
        };
        let active: i64 = self.committed.iter().map(open).sum();
        self.active.record(active as f64, now);
    }
}

impl StateTimer {
    fn enter(&mut self, state: State, now: i64) {
        match self.state {
            None => (self.first, self.since) = (now, now),
            Some(old) if old == state => return,
            Some(old) => {
                self.running += if old == State::Running { now - self.since } else { 0 };
                self.paused += if old == State::Paused { now - self.since } else { 0 };
                self.since = now;
            }
        }
        self.state = Some(state);
    }

    pub(super) fn state(&self) -> State {
        self.state.unwrap_or(State::Unassigned)
    }

    fn ratio(&self, state: State, before: i64, now: i64) -> f64 {
        let current = if self.state == Some(state) { now - self.since } else { 0 };
        let all = now - self.first;
        if all == 0 { 0.0 } else { (before + current) as f64 / all as f64 }
    }

    /// Which part of its life the task was running.
    pub(super) fn running_ratio(&self, now: i64) -> f64 {
        self.ratio(State::Running, self.running, now)
    }

    /// Which part of its life the task was paused.
    pub(super) fn pause_ratio(&self, now: i64) -> f64 {
        self.ratio(State::Paused, self.paused, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the calls of one batch cost: `cargo test -p millrace-runtime --lib
    /// metrics::task -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures"]
    fn cost_of_a_batch() {
        const BATCHES: u32 = 100_000;
        let metrics = TaskMetrics::apart();
        let partition = TopicPartition::new("orders", 0);
        metrics.assigned(&Offsets::from([(partition.clone(), 0)]), 1);
        let began = std::time::Instant::now();
        for batch in 0..BATCHES {
            let took = Duration::from_micros(50);
            metrics.read(500, 50_000, took);
            metrics.share().set(crate::memory::Place::Putting, 50_000);
            metrics.spent(Step::Convert, took);
            metrics.transformed(500, &[], &[], took);
            metrics.consumed(&Offsets::from([(partition.clone(), i64::from(batch) * 500)]));
            metrics.put(500, took);
            metrics.delivered(took);
            metrics.share().set(crate::memory::Place::Putting, 0);
        }
        println!("{:?} a batch", began.elapsed() / BATCHES);
    }

    #[test]
    fn time_is_divided_among_states() {
        let mut timer = StateTimer::default();
        for (state, now) in [
            (State::Running, 100),
            (State::Paused, 400),
            (State::Running, 500),
            (State::Failed, 600),
        ] {
            timer.enter(state, now);
        }
        assert_eq!((timer.running_ratio(600), timer.pause_ratio(600)), (0.8, 0.2));
        assert_eq!((timer.running_ratio(1100), timer.pause_ratio(1100)), (0.4, 0.1));
        assert_eq!(StateTimer::default().running_ratio(5), 0.0);
    }
}
