//! The metrics that Java does not have, below `millrace_`.

use super::Metrics;
use super::connect::TaskView;
use super::exposition::{Exposition, Kind, Labels, Metric};
use super::task::{ErrorClass, Step};
use crate::memory::{Budget, ClientKind, Place};

const STEP_SECONDS: Metric = Metric::own(
    "millrace_task_step_seconds_total",
    Kind::Counter,
    "Time that a task has spent in each step: poll, transform, convert, produce, put.",
);
const STEPS: Metric = Metric::own(
    "millrace_task_steps_total",
    Kind::Counter,
    "How often a task has done each step, a batch or run at a time.",
);
const BYTES: Metric = Metric::own(
    "millrace_task_bytes_total",
    Kind::Counter,
    "Bytes of keys and values that a sink has read from Kafka, or a source has handed to it.",
);
const FILTERED: Metric = Metric::own(
    "millrace_task_records_filtered_total",
    Kind::Counter,
    "Records that transformations have left out without an error.",
);
const RETRIES: Metric = Metric::own(
    "millrace_task_retries_total",
    Kind::Counter,
    "How often a step was repeated, as its trouble was a passing one.",
);
const ERRORS: Metric = Metric::own(
    "millrace_task_errors_total",
    Kind::Counter,
    "Errors of records and failures of tasks by class: transient, data, config, bug.",
);
const LAG: Metric = Metric::own(
    "millrace_consumer_lag_records",
    Kind::Gauge,
    "How many records a sink has still to read of a partition.",
);
const LATENCY: Metric = Metric::own(
    "millrace_end_to_end_latency_seconds",
    Kind::Histogram,
    "How old the oldest record of a batch is when a sink has taken it, by its timestamp; for a \
     source, the time from the conversion of a run to its acknowledgement by Kafka.",
);
const BUDGET: Metric = Metric::own(
    "millrace_memory_budget_bytes",
    Kind::Gauge,
    "How many bytes of records all tasks together may hold (memory.budget.bytes).",
);
const SHARE: Metric = Metric::own(
    "millrace_memory_share_bytes",
    Kind::Gauge,
    "How many of them a task may hold: as many as any other that runs.",
);
const HELD: Metric = Metric::own(
    "millrace_memory_held_bytes",
    Kind::Gauge,
    "What a task holds, by place: fetched (by its consumer), waiting (for converters), putting \
     (converted, transformed, put), originals (for the dead letter queue; parts of the others), \
     sending (waits for room), produced (in the producer).",
);
const RESTARTS: Metric = Metric::own(
    "millrace_restarts_total",
    Kind::Counter,
    "Restarts of a connector (without a task) or a task, by whomever, since it was made.",
);

/// A task's.
pub(super) fn add_task(text: &mut Exposition, view: &TaskView<'_>, labels: Labels<'_>) {
    let with = |name: &'static str, value: &'static str| -> Vec<_> {
        labels.iter().copied().chain([(name, value)]).collect()
    };
    for step in Step::ALL {
        let labels = with("step", step.name());
        let (took, times) = view.task.step(step);
        if times > 0 {
            text.add(&STEP_SECONDS, &labels, took.as_secs_f64());
            text.add(&STEPS, &labels, times as f64);
        }
        text.add(&RETRIES, &labels, view.task.errors.retries(step));
    }
    for class in ErrorClass::ALL {
        text.add(&ERRORS, &with("class", class.name()), view.task.errors.class(class));
    }
    text.add(&BYTES, labels, view.sensors.bytes as f64);
    text.add(&FILTERED, labels, view.sensors.filtered as f64);
    for (partition, lag) in &view.lags {
        let number = partition.partition.to_string();
        let place = [("topic", &*partition.topic), ("partition", number.as_str())];
        let labels: Vec<_> = labels.iter().copied().chain(place).collect();
        text.add(&LAG, &labels, *lag as f64);
    }
    let (buckets, sum) = view.task.latency();
    text.add_histogram(&LATENCY, labels, &buckets, sum);
}

/// Of the budget, and of all that have a share in it.
pub(super) fn add_memory(text: &mut Exposition, budget: &Budget) {
    text.add(&BUDGET, &[], budget.bytes() as f64);
    for share in budget.shares() {
        let number = share.id().task.to_string();
        let labels = [("connector", &*share.id().connector), ("task", number.as_str())];
        text.add(&SHARE, &labels, share.allowed() as f64);
        let clients = [
            ("fetched", share.held_by(ClientKind::Consumer)),
            ("produced", share.held_by(ClientKind::Producer)),
        ];
        let places = Place::ALL.map(|place| (place.name(), share.held_in(place)));
        for (place, bytes) in clients.into_iter().chain(places) {
            text.add(&HELD, &[labels[0], labels[1], ("place", place)], bytes as f64);
        }
    }
}

/// Of restarts: they outlive the tasks.
pub(super) fn add_restarts(text: &mut Exposition, metrics: &Metrics) {
    for ((connector, task), count) in &*metrics.restarts() {
        let task = task.map(|task| task.to_string());
        let mut labels = vec![("connector", &**connector)];
        labels.extend(task.as_deref().map(|task| ("task", task)));
        text.add(&RESTARTS, &labels, *count as f64);
    }
}

/// All of them, for people.
#[cfg(test)]
pub(super) fn all() -> Vec<Metric> {
    vec![
        STEP_SECONDS,
        STEPS,
        BYTES,
        FILTERED,
        RETRIES,
        ERRORS,
        LAG,
        LATENCY,
        RESTARTS,
        BUDGET,
        SHARE,
        HELD,
    ]
}
