//! The metrics of Java's workers, connectors and tasks: the groups of `kafka.connect`, each
//! attribute with what it means and where it is read.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use millrace_api::{PluginKind, TopicPartition};

use super::exposition::{Exposition, Kind, Labels, Metric};
use super::sensor::Sensor;
use super::task::{Sensors, Step, TaskMetrics};
use super::{ConnectorView, Metrics};
use crate::memory::ClientKind;
use crate::status::State;

/// A task, for one look at it.
pub(super) struct TaskView<'a> {
    pub(super) task: &'a TaskMetrics,
    pub(super) sensors: MutexGuard<'a, Sensors>,
    /// How far a sink is behind the end of each partition.
    pub(super) lags: BTreeMap<TopicPartition, i64>,
    pub(super) now: i64,
}

impl<'a> TaskView<'a> {
    pub(super) fn new(task: &'a TaskMetrics, now: i64) -> Self {
        let consumers = task.share().clients().into_iter();
        let consumers = consumers.filter(|client| client.kind == ClientKind::Consumer);
        let mut lags = BTreeMap::new();
        let sensors = task.lock();
        for (partition, end) in consumers.flat_map(|client| client.footprint.ends()) {
            if let Some(consumed) = sensors.consumed.get(&partition) {
                lags.insert(partition, (end - consumed).max(0));
            }
        }
        Self { task, sensors, lags, now }
    }
}

impl TaskView<'_> {
    pub(super) fn is_of_source(&self) -> bool {
        self.task.parts().is_some_and(|parts| parts.kind == PluginKind::Source)
    }
}

type TaskNumber = (&'static str, Kind, &'static str, fn(&TaskView<'_>) -> f64);

const DOMAIN: &str = "kafka.connect";

const fn metric(group: &'static str, name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric::java(DOMAIN, group, name, kind, help)
}

/// `connector-task-metrics`
const OF_TASKS: &[TaskNumber] = &[
    ("running-ratio", Kind::Gauge, "Part of its life that the task was running.", |t| {
        t.sensors.state.running_ratio(t.now)
    }),
    ("pause-ratio", Kind::Gauge, "Part of its life that the task was paused.", |t| {
        t.sensors.state.pause_ratio(t.now)
    }),
    ("offset-commit-max-time-ms", Kind::Gauge, "The longest offset commit, in ms.", |t| {
        t.sensors.commit_time.max(t.now)
    }),
    ("offset-commit-avg-time-ms", Kind::Gauge, "How long offset commits take, in ms.", |t| {
        t.sensors.commit_time.avg(t.now)
    }),
    ("batch-size-max", Kind::Gauge, "Records of the largest batch.", |t| {
        t.sensors.batch_size.max(t.now)
    }),
    ("batch-size-avg", Kind::Gauge, "Records of a batch, on average.", |t| {
        t.sensors.batch_size.avg(t.now)
    }),
    ("offset-commit-failure-percentage", Kind::Gauge, "Part of the commits that fail.", |t| {
        t.sensors.commits.share_of_zeros(t.now)
    }),
    ("offset-commit-success-percentage", Kind::Gauge, "Part of the commits that succeed.", |t| {
        t.sensors.commits.share(t.now)
    }),
];

/// `source-task-metrics`
const OF_SOURCES: &[TaskNumber] = &[
    ("source-record-poll-rate", Kind::Gauge, "Records polled a second.", |t| {
        t.sensors.taken.rate(t.now)
    }),
    ("source-record-poll-total", Kind::Counter, "Records polled, before transformations.", |t| {
        t.sensors.taken.total()
    }),
    ("source-record-write-rate", Kind::Gauge, "Records that Kafka acknowledges a second.", |t| {
        t.sensors.given.rate(t.now)
    }),
    ("source-record-write-total", Kind::Counter, "Records that Kafka has acknowledged.", |t| {
        t.sensors.given.total()
    }),
    ("poll-batch-max-time-ms", Kind::Gauge, "The longest poll that brought records, in ms.", |t| {
        t.sensors.call_time.max(t.now)
    }),
    ("poll-batch-avg-time-ms", Kind::Gauge, "How long polls with records take, in ms.", |t| {
        t.sensors.call_time.avg(t.now)
    }),
    ("source-record-active-count", Kind::Gauge, "Records polled and not yet written.", |t| {
        t.sensors.active.value()
    }),
    ("source-record-active-count-max", Kind::Gauge, "The most records under way at once.", |t| {
        t.sensors.active.max(t.now)
    }),
    ("source-record-active-count-avg", Kind::Gauge, "Records under way, on average.", |t| {
        t.sensors.active.avg(t.now)
    }),
    ("transaction-size-min", Kind::Gauge, "Records of the smallest transaction.", |_| f64::NAN),
    ("transaction-size-max", Kind::Gauge, "Records of the largest transaction.", |_| f64::NAN),
    ("transaction-size-avg", Kind::Gauge, "Records of a transaction, on average.", |_| f64::NAN),
];

/// `sink-task-metrics`
const OF_SINKS: &[TaskNumber] = &[
    ("sink-record-read-rate", Kind::Gauge, "Records read from Kafka a second.", |t| {
        t.sensors.taken.rate(t.now)
    }),
    ("sink-record-read-total", Kind::Counter, "Records read, before transformations.", |t| {
        t.sensors.taken.total()
    }),
    ("sink-record-send-rate", Kind::Gauge, "Records put a second.", |t| {
        t.sensors.given.rate(t.now)
    }),
    ("sink-record-send-total", Kind::Counter, "Records that the task has taken by put.", |t| {
        t.sensors.given.total()
    }),
    ("sink-record-lag-max", Kind::Gauge, "The most records a partition is behind its end.", |t| {
        t.lags.values().map(|lag| *lag as f64).fold(f64::NAN, f64::max)
    }),
    ("partition-count", Kind::Gauge, "Partitions assigned to the task.", |t| {
        t.sensors.partitions as f64
    }),
    ("offset-commit-seq-no", Kind::Gauge, "How many offset commits were begun.", |t| {
        t.sensors.commit_number as f64
    }),
    ("offset-commit-completion-rate", Kind::Gauge, "Offset commits that succeed a second.", |t| {
        t.sensors.commits.rate(t.now)
    }),
    ("offset-commit-completion-total", Kind::Counter, "Offset commits that succeeded.", |t| {
        t.sensors.commits.total()
    }),
    ("offset-commit-skip-rate", Kind::Gauge, "Answers to commits that came too late, a second.", {
        |_| 0.0
    }),
    ("offset-commit-skip-total", Kind::Counter, "Answers to commits that came too late.", |_| 0.0),
    ("put-batch-max-time-ms", Kind::Gauge, "The longest put, in ms.", |t| {
        t.sensors.call_time.max(t.now)
    }),
    ("put-batch-avg-time-ms", Kind::Gauge, "How long put takes, in ms.", |t| {
        t.sensors.call_time.avg(t.now)
    }),
    ("sink-record-active-count", Kind::Gauge, "Records read and not yet committed.", |t| {
        t.sensors.active.value()
    }),
    ("sink-record-active-count-max", Kind::Gauge, "The most records read and uncommitted.", |t| {
        t.sensors.active.max(t.now)
    }),
    ("sink-record-active-count-avg", Kind::Gauge, "Records uncommitted, on average.", |t| {
        t.sensors.active.avg(t.now)
    }),
];

/// `task-error-metrics`
const OF_ERRORS: &[TaskNumber] = &[
    (
        "total-record-failures",
        Kind::Gauge,
        "Operations on records that failed, for now too.",
        |t| t.task.errors.failures(),
    ),
    ("total-record-errors", Kind::Gauge, "Operations on records that failed for good.", |t| {
        t.task.errors.errors()
    }),
    ("total-records-skipped", Kind::Gauge, "Records left out because of errors.", |t| {
        t.task.errors.skipped()
    }),
    ("total-retries", Kind::Gauge, "Operations on records that were repeated.", |t| {
        t.task.errors.retries(Step::Transform) + t.task.errors.retries(Step::Convert)
    }),
    ("total-errors-logged", Kind::Gauge, "Errors of records that were logged.", |t| {
        t.task.errors.logged()
    }),
    ("deadletterqueue-produce-requests", Kind::Gauge, "Records for the dead letter queue.", |t| {
        t.task.errors.dead_letters()
    }),
    ("deadletterqueue-produce-failures", Kind::Gauge, "Those that could not be written.", |t| {
        t.task.errors.dead_letters_failed()
    }),
    (
        "last-error-timestamp",
        Kind::Gauge,
        "When a record last failed, in ms since 1970; 0: never.",
        { |t| t.task.errors.last() },
    ),
];

/// The groups of numbers, in Java's order.
const GROUPS: [(&str, &[TaskNumber]); 4] = [
    ("connector-task-metrics", OF_TASKS),
    ("source-task-metrics", OF_SOURCES),
    ("sink-task-metrics", OF_SINKS),
    ("task-error-metrics", OF_ERRORS),
];

const TASK_STATUS: Metric = metric(
    "connector-task-metrics",
    "status",
    Kind::Word,
    "The task's state: unassigned, running, paused, failed or restarting.",
);

/// Words of a task: which classes it is made of.
const TASK_WORDS: [(&str, &str); 11] = [
    ("connector-class", "The connector's class."),
    ("connector-version", "The connector's version."),
    ("connector-type", "source or sink."),
    ("task-class", "The task's class."),
    ("task-version", "The task's version."),
    ("key-converter-class", "The key converter's class."),
    ("key-converter-version", "The key converter's version."),
    ("value-converter-class", "The value converter's class."),
    ("value-converter-version", "The value converter's version."),
    ("header-converter-class", "The header converter's class."),
    ("header-converter-version", "The header converter's version."),
];

/// A step of a chain: group, tag, class and version.
const STEPS: [(&str, &str, &str, &str); 2] = [
    ("connector-transform-metrics", "transform", "transform-class", "transform-version"),
    ("connector-predicate-metrics", "predicate", "predicate-class", "predicate-version"),
];

/// Words of a connector.
const CONNECTOR_WORDS: [(&str, &str); 4] = [
    ("connector-type", "source or sink."),
    ("connector-class", "The connector's class."),
    ("connector-version", "The connector's version."),
    ("status", "The connector's state: unassigned, running, paused, stopped, failed, restarting."),
];

/// `connect-worker-metrics` of a connector. None: tasks in any state.
const TASK_COUNTS: [(&str, Option<&[State]>, &str); 7] = [
    ("connector-total-task-count", None, "Tasks of the connector on this worker."),
    ("connector-running-task-count", Some(&[State::Running]), "Those that are running."),
    ("connector-paused-task-count", Some(&[State::Paused]), "Those that are paused."),
    ("connector-failed-task-count", Some(&[State::Failed]), "Those that have failed."),
    ("connector-unassigned-task-count", Some(&[State::Unassigned]), "Those that nobody runs."),
    ("connector-destroyed-task-count", Some(&[]), "Those that were deleted: always 0, as in Java."),
    ("connector-restarting-task-count", Some(&[State::Restarting]), "Those being restarted."),
];

type StartNumber = (&'static str, Kind, &'static str, fn(&Sensor, i64) -> f64);

/// `connect-worker-metrics`: how starts of connectors went.
const CONNECTOR_STARTS: [StartNumber; 5] = [
    ("connector-startup-attempts-total", Kind::Counter, "Starts of connectors.", |s, _| s.events()),
    ("connector-startup-success-total", Kind::Counter, "Those that succeeded.", |s, _| s.total()),
    ("connector-startup-success-percentage", Kind::Gauge, "Part that succeeds.", Sensor::share),
    ("connector-startup-failure-total", Kind::Counter, "Those that failed.", |s, _| {
        s.events() - s.total()
    }),
    ("connector-startup-failure-percentage", Kind::Gauge, "Part that fails.", {
        Sensor::share_of_zeros
    }),
];

/// The same of tasks.
const TASK_STARTS: [StartNumber; 5] = [
    ("task-startup-attempts-total", Kind::Counter, "Starts of tasks.", |s, _| s.events()),
    ("task-startup-success-total", Kind::Counter, "Those that succeeded.", |s, _| s.total()),
    ("task-startup-success-percentage", Kind::Gauge, "Part that succeeds.", Sensor::share),
    ("task-startup-failure-total", Kind::Counter, "Those that failed.", |s, _| {
        s.events() - s.total()
    }),
    ("task-startup-failure-percentage", Kind::Gauge, "Part that fails.", Sensor::share_of_zeros),
];

const CONNECTOR_COUNT: Metric =
    metric(WORKER, "connector-count", Kind::Gauge, "Connectors that this worker runs.");
const TASK_COUNT: Metric = metric(WORKER, "task-count", Kind::Gauge, "Tasks that it runs.");

type GroupNumber = (Metric, fn(usize, usize) -> f64);

/// Of the group of workers. One that is by itself takes part in no rebalance, and has all there is.
const REBALANCES: [GroupNumber; 7] = [
    (rebalance("rebalancing", Kind::Gauge, "1 while the worker rebalances."), |_, _| 0.0),
    (
        rebalance("completed-rebalances-total", Kind::Counter, "Rebalances it has taken part in."),
        |_, _| 0.0,
    ),
    (rebalance("rebalance-max-time-ms", Kind::Gauge, "The longest rebalance."), |_, _| f64::NAN),
    (rebalance("rebalance-avg-time-ms", Kind::Gauge, "How long one takes."), |_, _| f64::NAN),
    (
        rebalance("time-since-last-rebalance-ms", Kind::Gauge, "How long ago the last one ended."),
        |_, _| f64::INFINITY,
    ),
    (
        metric(
            "connect-coordinator-metrics",
            "assigned-connectors",
            Kind::Gauge,
            "Connectors that the group has given to this worker.",
        ),
        |connectors, _| connectors as f64,
    ),
    (
        metric(
            "connect-coordinator-metrics",
            "assigned-tasks",
            Kind::Gauge,
            "Tasks that the group has given to this worker.",
        ),
        |_, tasks| tasks as f64,
    ),
];

const WORKER: &str = "connect-worker-metrics";

const fn rebalance(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    metric("connect-worker-rebalance-metrics", name, kind, help)
}

impl Metrics {
    /// The worker's own.
    pub(super) fn add_worker(&self, text: &mut Exposition, connectors: &[ConnectorView]) {
        let (now, tasks) = (self.clock.millis(), self.lock().len());
        text.add(&CONNECTOR_COUNT, &[], connectors.len() as f64);
        text.add(&TASK_COUNT, &[], tasks as f64);
        let starts = self.startups.results();
        let all = [(CONNECTOR_STARTS, &starts.0), (TASK_STARTS, &starts.1)];
        for ((name, kind, help, read), sensor) in
            all.iter().flat_map(|(list, sensor)| list.iter().map(move |one| (one, *sensor)))
        {
            text.add(&metric(WORKER, name, *kind, help), &[], read(sensor, now));
        }
        for (metric, read) in &REBALANCES {
            text.add(metric, &[], read(connectors.len(), tasks));
        }
    }
}

/// A connector's.
pub(super) fn add_connector(text: &mut Exposition, connector: &ConnectorView) {
    let labels = [("connector", connector.name.as_str())];
    let state = connector.state.name();
    let words = [connector.kind, &connector.class, &connector.version, state];
    for ((name, help), word) in CONNECTOR_WORDS.iter().zip(words) {
        text.add_word(&metric("connector-metrics", name, Kind::Word, help), &labels, word);
    }
    for (name, states, help) in &TASK_COUNTS {
        let counts = |state: &&State| states.is_none_or(|states| states.contains(state));
        let count = connector.tasks.iter().filter(counts).count();
        text.add(&metric(WORKER, name, Kind::Gauge, help), &labels, count as f64);
    }
}

/// A task's.
pub(super) fn add_task(text: &mut Exposition, view: &TaskView<'_>, labels: Labels<'_>) {
    text.add_word(&TASK_STATUS, labels, view.sensors.state.state().name());
    let parts = view.task.parts();
    let other = match parts.map(|parts| parts.kind) {
        Some(PluginKind::Source) => "sink-task-metrics",
        Some(_) => "source-task-metrics",
        None => "",
    };
    for (group, numbers) in GROUPS {
        if group == other || parts.is_none() && group.starts_with('s') {
            continue;
        }
        for (name, kind, help, read) in numbers {
            text.add(&metric(group, name, *kind, help), labels, read(view));
        }
    }
    let Some(parts) = parts else {
        return;
    };
    for ((name, help), word) in TASK_WORDS.iter().zip(&parts.words) {
        text.add_word(&metric("connector-task-metrics", name, Kind::Word, help), labels, word);
    }
    for ((group, tag, class, version), steps) in
        STEPS.iter().zip([&parts.transforms, &parts.predicates])
    {
        for step in steps {
            let labels: Vec<_> =
                labels.iter().copied().chain([(*tag, step.alias.as_str())]).collect();
            let of = |name, help| metric(group, name, Kind::Word, help);
            text.add_word(&of(class, "The class of a step of the chain."), &labels, step.class);
            text.add_word(&of(version, "Its version."), &labels, step.version);
        }
    }
}

/// All of them, for people.
#[cfg(test)]
pub(super) fn all() -> Vec<Metric> {
    let mut all = vec![CONNECTOR_COUNT, TASK_COUNT];
    let starts = CONNECTOR_STARTS.into_iter().chain(TASK_STARTS);
    all.extend(starts.map(|(name, kind, help, _)| metric(WORKER, name, kind, help)));
    all.extend(TASK_COUNTS.map(|(name, _, help)| metric(WORKER, name, Kind::Gauge, help)));
    all.extend(REBALANCES.map(|(metric, _)| metric));
    let words = CONNECTOR_WORDS.into_iter();
    all.extend(words.map(|(name, help)| metric("connector-metrics", name, Kind::Word, help)));
    all.push(TASK_STATUS);
    let words = TASK_WORDS.into_iter();
    all.extend(words.map(|(name, help)| metric("connector-task-metrics", name, Kind::Word, help)));
    for (group, numbers) in GROUPS {
        all.extend(numbers.iter().map(|(name, kind, help, _)| metric(group, name, *kind, help)));
    }
    for (group, _, class, version) in STEPS {
        all.push(metric(group, class, Kind::Word, "The class of a step of the chain."));
        all.push(metric(group, version, Kind::Word, "Its version."));
    }
    all
}
