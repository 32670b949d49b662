//! `docs/metrics.md`: all metrics for people. This test writes it and compares it.

use std::fmt::Write;

use super::exposition::{Kind, Metric, MetricNames, Place};
use super::{clients, connect, own, process};

const HEAD: &str = "\
# Metrics

Each worker answers `GET /metrics` on its REST listeners, those for administration included, in
Prometheus' text format (0.0.4). Nothing has to be set up: there is no agent and no JMX. With
`rest.extension.classes` for users, Prometheus has to name one as well.

- `/metrics`, or `/metrics?names=rules`: the names that the example rules of jmx_exporter and
  Strimzi give to Java's metrics. Strimzi's dashboard for Kafka Connect, and others made for these
  rules, work as they are.
- `/metrics?names=reporter`: the names of Strimzi's Metrics Reporter, for dashboards made for
  that.

Averages, maxima and rates are of the last `metrics.num.samples` × `metrics.sample.window.ms` (2 ×
30 s), as Kafka's are: without a sample they are NaN, and a rate is 0. A percentage is a part of
1, as in Java. A metric whose value is a word in JMX is the number 1 with the word as a label of
the metric's name. Counters of tasks begin anew when the task does. Those of a task that has
failed stay until it is restarted or deleted.

Labels: `connector` and `task`; `clientid` of Kafka clients (`client_id` with names=reporter).

This page is written by a test: `UPDATE_EXPECT=1 cargo test -p millrace-runtime --lib
metrics::page` renews it.

## What differs from Java's

- Only what a worker by itself has: there are no rebalances, `assigned-connectors` and
  `assigned-tasks` are all that it runs. Transactions have no sizes yet: sources are
  at-least-once.
- `sink-record-lag-max` is declared by Java and never set; here it is the largest lag of the
  task's partitions.
- Times are fractions of milliseconds, where Java's are whole.
- `offset-commit-skip-*` stays 0: a commit is awaited, so no answer to an older one can come.
- A producer's numbers by node and by topic, and a consumer's by node, are missing.
- `jvm_*` are what dashboards ask of any worker: resident memory and threads of this process,
  which is no Java machine, and pauses of a collector that it does not have.

## Memory

All tasks together may hold `memory.budget.bytes` of records, the worker's key; unless it is set,
half of the limit of the process's control group, or of the machine's memory. Each task that runs
has an equal share. A sink's consumer fetches a half of it ahead at most, polls a quarter at a
time, and nothing while the task's loop holds more than half, so that what records become has
room. A source's producer buffers the least of `buffer.memory` and half of the share. A single
record that is larger than a share still passes, by itself. What a connector keeps for itself is
its own affair, and not counted.

`GET /ext/v1/memory` tells who holds what, the most first:

```json
{\"budget_bytes\": 67108864, \"budget_from\": \"memory.budget.bytes\", \"held_bytes\": 734003,
 \"resident_bytes\": 98566144, \"tasks\": [{\"connector\": \"orders\", \"task\": 0,
 \"share_bytes\": 67108864, \"held_bytes\": 734003, \"percent\": 1, \"fetched_bytes\": 524288,
 \"waiting_bytes\": 0, \"putting_bytes\": 209715, \"original_bytes\": 0, \"sending_bytes\": 0,
 \"produced_bytes\": 0}]}
```

`fetched`: in the consumer; `waiting`: polled, while converters ask for schemas; `putting`:
converted, transformed, in put, by the size it had in Kafka; `original`: kept for the dead letter
queue, parts of the others; `sending`: waits for room in the producer; `produced`: in the
producer, not acknowledged yet.
";

fn page() -> String {
    let mut text = HEAD.to_owned();
    let lists = [connect::all(), clients::all(), own::all(), process::all()];
    let titles = [
        "Connect's own: `kafka.connect`",
        "Kafka clients: `kafka.consumer`, `kafka.producer`, `kafka.admin.client`",
        "Beyond Java's",
        "The process",
    ];
    for (title, list) in titles.into_iter().zip(lists) {
        let _ = writeln!(
            text,
            "\n## {title}\n\n| metric | kind | meaning | in JMX |\n|---|---|---|---|"
        );
        list.iter().for_each(|metric| row(&mut text, metric));
    }
    text
}

fn row(text: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Word => "word",
        Kind::Histogram => "histogram",
    };
    let jmx = match metric.place {
        Place::Java { domain, group } => format!("`{domain}:type={group}` `{}`", metric.name),
        Place::Own => String::new(),
    };
    let name = metric.exposed_as(MetricNames::Rules);
    let _ = writeln!(text, "| `{name}` | {kind} | {} | {jmx} |", metric.help);
}

#[test]
fn the_page_has_all_metrics() {
    expect_test::expect_file!["../../../../docs/metrics.md"].assert_eq(&page());
}
