//! What `/metrics` says of connectors that run: read as Prometheus reads it.

use std::collections::BTreeMap;

use millrace_runtime::{Herder, MetricNames, State};

use crate::errors::letters;
use crate::fixture::{Fixture, until};
use crate::plugins::{Fault, lock, shared};

/// One line of a text: name, labels and value.
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A text in Prometheus' format, read strictly: every series below the head of its family, each
/// family and each series once.
fn parse(text: &str) -> Vec<Series> {
    let (mut all, mut family, mut families, mut seen) =
        (Vec::new(), String::new(), Vec::new(), Vec::new());
    assert!(text.ends_with('\n'), "the last line has an end");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect("a help has words").0.to_owned();
            assert!(!families.contains(&family), "{family} stands in one place");
            families.push(family.clone());
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            continue;
        }
        let series = series(line);
        assert!(series.name.starts_with(&family), "{line} is not of {family}");
        let identity = line.rsplit_once(' ').unwrap().0.to_owned();
        assert!(!seen.contains(&identity), "{identity} stands twice");
        seen.push(identity);
        all.push(series);
    }
    all
}

fn series(line: &str) -> Series {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = line.find(|c| !of_name(c)).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(label.chars().all(of_name), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            match after.split_at(1) {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = match rest.strip_prefix(' ').unwrap() {
        "+Inf" => f64::INFINITY,
        number => number.parse().unwrap(),
    };
    Series { name: name.to_owned(), labels, value }
}

/// A value up to its closing quote, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().unwrap().1 {
                'n' => value.push('\n'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    panic!("no end: {text}")
}

/// The value of the one series with these labels, perhaps among others.
fn value(all: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |s: &&Series| {
        let has = |(label, value): &(&str, &str)| s.labels.get(*label).is_some_and(|v| v == value);
        s.name == name && labels.iter().all(has)
    };
    let found: Vec<_> = all.iter().filter(has).map(|s| s.value).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}");
    found[0]
}

async fn read(fixture: &Fixture) -> Vec<Series> {
    parse(&fixture.worker().metrics(MetricNames::Rules).await)
}

/// A source of ten records, and a sink that has committed them.
async fn copied() -> Fixture {
    let fixture = Fixture::start().await;
    fixture.create_topic("t", 1).await;
    fixture.source("in", "t", 10, &[]).await;
    fixture.sink("out", "t", &[]).await;
    until("all to be committed", async || fixture.committed("connect-out", "t").await == Some(10))
        .await;
    fixture
}

#[tokio::test]
async fn a_run_is_counted_as_java_counts_it() {
    let fixture = copied().await;
    let (source, sink) =
        ([("connector", "in"), ("task", "0")], [("connector", "out"), ("task", "0")]);
    // They are told of a commit a moment after the cluster knows of it.
    until("both to have committed", async || {
        let all = read(&fixture).await;
        let success = "kafka_connect_connector_task_offset_commit_success_percentage";
        value(&all, "kafka_connect_source_task_source_record_active_count", &source) == 0.0
            && value(&all, "kafka_connect_sink_task_sink_record_active_count", &sink) == 0.0
            && value(&all, success, &sink) == 1.0
    })
    .await;
    let all = read(&fixture).await;
    let of_source = |name: &str| value(&all, &format!("kafka_connect_{name}"), &source);
    let of_sink = |name: &str| value(&all, &format!("kafka_connect_{name}"), &sink);
    for name in ["poll_total", "write_total", "active_count_max"] {
        let read = of_source(&format!("source_task_source_record_{name}"));
        assert!(
            if name == "active_count_max" { read >= 1.0 } else { read == 10.0 },
            "{name}: {read}"
        );
    }
    // A window of 30 s counts as two before there are two.
    let rate = of_source("source_task_source_record_poll_rate");
    assert!(rate > 10.0 / 60.0 && rate <= 10.0 / 30.0, "{rate}");
    for name in ["read_total", "send_total"] {
        assert_eq!(of_sink(&format!("sink_task_sink_record_{name}")), 10.0);
    }
    assert_eq!(of_sink("sink_task_sink_record_active_count"), 0.0);
    assert_eq!(of_sink("sink_task_partition_count"), 1.0);
    assert!(of_sink("sink_task_offset_commit_seq_no") >= 1.0);
    assert_eq!(of_sink("connector_task_offset_commit_success_percentage"), 1.0);
    assert_eq!(of_sink("connector_task_offset_commit_failure_percentage"), 0.0);
    let running = of_sink("connector_task_running_ratio");
    assert!(running > 0.9 && running <= 1.0, "{running}");
    assert_eq!(of_sink("connector_task_pause_ratio"), 0.0);
    assert_eq!(of_sink("task_error_total_record_failures"), 0.0);
    assert_eq!(of_sink("task_error_last_error_timestamp"), 0.0);
    assert!(of_source("source_task_transaction_size_max").is_nan(), "there was no transaction");
    for (name, count) in [
        ("connector_count", 2.0),
        ("task_count", 2.0),
        ("connector_startup_attempts_total", 2.0),
        ("connector_startup_success_percentage", 1.0),
        ("task_startup_success_total", 2.0),
        ("task_startup_failure_total", 0.0),
    ] {
        assert_eq!(value(&all, &format!("kafka_connect_worker_{name}"), &[]), count, "{name}");
    }
    let running = "kafka_connect_worker_connector_running_task_count";
    assert_eq!(value(&all, running, &[("connector", "out")]), 1.0);
}

#[tokio::test]
async fn a_failed_task_keeps_its_metrics_until_it_is_deleted() {
    let fixture = Fixture::start().await;
    lock(&shared("ruined")).faults.insert("poll", (1, Fault::Fatal));
    fixture.source("ruined", "ruins", 20, &[]).await;
    fixture.wait_for_task("ruined", 0, State::Failed).await;
    let all = read(&fixture).await;
    let status = "kafka_connect_connector_task_status";
    let labels = [("connector", "ruined"), ("task", "0"), ("status", "failed")];
    assert_eq!(value(&all, status, &labels), 1.0);
    let polled = "kafka_connect_source_task_source_record_poll_total";
    assert_eq!(value(&all, polled, &labels[..2]), 0.0);
    let failed = "kafka_connect_worker_connector_failed_task_count";
    assert_eq!(value(&all, failed, &labels[..1]), 1.0);
    let bug = [("connector", "ruined"), ("task", "0"), ("class", "bug")];
    assert_eq!(value(&all, "millrace_task_errors_total", &bug), 1.0);
    fixture.worker().restart_task("ruined", 0).await.unwrap();
    fixture.wait_for_task("ruined", 0, State::Running).await;
    let all = read(&fixture).await;
    assert_eq!(value(&all, "millrace_restarts_total", &labels[..2]), 1.0);
    fixture.worker().delete_connector("ruined").await.unwrap();
    let all = read(&fixture).await;
    assert!(all.iter().all(|s| s.labels.get("connector").is_none_or(|name| name != "ruined")));
}

#[tokio::test]
async fn bad_records_are_counted_by_what_becomes_of_them() {
    let fixture = Fixture::start().await;
    fixture.source("unreadable", "texts", 9, &[]).await;
    let tolerant = [
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "texts-dlq"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.log.enable", "true"),
    ];
    fixture.sink("reader", "texts", &tolerant).await;
    until("dead letters", async || fixture.end_offset("texts-dlq").await == 9).await;
    let sink = [("connector", "reader"), ("task", "0")];
    let skipped = "kafka_connect_task_error_total_records_skipped";
    until("all to be skipped", async || value(&read(&fixture).await, skipped, &sink) == 9.0).await;
    let all = read(&fixture).await;
    for (name, count) in [
        ("total_record_failures", 9.0),
        ("total_record_errors", 9.0),
        ("total_retries", 0.0),
        ("total_errors_logged", 9.0),
        ("deadletterqueue_produce_requests", 9.0),
        ("deadletterqueue_produce_failures", 0.0),
    ] {
        let name = format!("kafka_connect_task_error_{name}");
        assert_eq!(value(&all, &name, &sink), count, "{name}");
    }
    assert!(value(&all, "kafka_connect_task_error_last_error_timestamp", &sink) > 1.7e12);
    let data = [sink[0], sink[1], ("class", "data")];
    assert_eq!(value(&all, "millrace_task_errors_total", &data), 9.0);
}

/// A compacted topic takes none of them, since they have no key.
#[tokio::test]
async fn records_that_cannot_be_sent_are_counted_as_java_counts_them() {
    let fixture = Fixture::start().await;
    fixture.create_compacted_topic("keyed").await;
    let counted = [
        "task_error_total_record_failures",
        "task_error_total_record_errors",
        "task_error_total_records_skipped",
        "task_error_total_errors_logged",
        "task_error_deadletterqueue_produce_requests",
        "source_task_source_record_active_count",
    ];
    let log = ("errors.log.enable", "true");
    let all = ("errors.tolerance", "all");
    for (name, extra, state, counts) in [
        ("quiet", vec![all], State::Running, [9.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ("logged", vec![all, log], State::Running, [9.0, 0.0, 0.0, 9.0, 0.0, 0.0]),
        ("lettered", letters(&[log]), State::Running, [9.0, 0.0, 0.0, 9.0, 9.0, 0.0]),
        ("strict", vec![log], State::Failed, [0.0, 0.0, 0.0, 0.0, 0.0, 9.0]),
    ] {
        fixture.source(name, "keyed", 9, &[&extra[..], &[("run", "9")]].concat()).await;
        fixture.wait_for_task(name, 0, state).await;
        let task = [("connector", name), ("task", "0")];
        until(&format!("{name}: {counts:?}"), async || {
            let metrics = read(&fixture).await;
            counted.map(|n| value(&metrics, &format!("kafka_connect_{n}"), &task)) == counts
        })
        .await;
        let metrics = read(&fixture).await;
        let data = [task[0], task[1], ("class", "data")];
        assert_eq!(value(&metrics, "millrace_task_errors_total", &data), 9.0, "{name}");
        let last = value(&metrics, "kafka_connect_task_error_last_error_timestamp", &task);
        assert_eq!(last > 0.0, state == State::Running, "{name}");
    }
}

/// The metrics of the expressions on Strimzi's dashboard for Kafka Connect, and the labels by which
/// they are grouped or joined. (One more, `container_cpu_usage_seconds_total`, is of the kubelet.)
const DASHBOARD: [(&str, &[&str]); 31] = [
    ("kafka_connect_worker_connector_count", &[]),
    ("kafka_connect_worker_task_count", &[]),
    ("kafka_consumer_connection_count", &[]),
    ("kafka_producer_connection_count", &[]),
    ("kafka_admin_client_connection_count", &[]),
    ("kafka_producer_outgoing_byte_total", &[]),
    ("kafka_consumer_incoming_byte_total", &[]),
    ("kafka_connect_coordinator_assigned_connectors", &[]),
    ("kafka_connect_coordinator_assigned_tasks", &[]),
    ("kafka_connect_worker_rebalance_rebalancing", &[]),
    ("kafka_connect_worker_connector_running_task_count", &["connector"]),
    ("kafka_connect_worker_connector_paused_task_count", &["connector"]),
    ("kafka_connect_worker_connector_failed_task_count", &["connector"]),
    ("kafka_connect_worker_connector_unassigned_task_count", &["connector"]),
    ("kafka_connect_worker_connector_destroyed_task_count", &["connector"]),
    ("kafka_connect_connector_status", &["connector", "status"]),
    ("kafka_connect_connector_connector_class", &["connector", "connector_class"]),
    ("kafka_connect_connector_connector_version", &["connector", "connector_version"]),
    ("kafka_connect_connector_connector_type", &["connector", "connector_type"]),
    ("kafka_connect_task_error_total_record_failures", &["connector", "task"]),
    ("kafka_connect_connector_task_status", &["connector", "task", "status"]),
    ("jvm_memory_used_bytes", &[]),
    ("jvm_gc_collection_seconds_sum", &[]),
    ("jvm_threads_current", &[]),
    ("process_cpu_seconds_total", &[]),
    ("process_resident_memory_bytes", &[]),
    // Of the rules for app-info, for whoever asks.
    ("kafka_connect_version_info", &["clientid", "version"]),
    ("kafka_connect_commit_id_info", &["clientid", "commit_id"]),
    ("kafka_connect_start_time_seconds", &["clientid"]),
    ("kafka_producer_version_info", &["clientid", "version"]),
    ("kafka_consumer_start_time_seconds", &["clientid"]),
];

/// The same of its dashboard for workers with Strimzi's Metrics Reporter, but for one: what a
/// producer has received by node.
const REPORTERS_DASHBOARD: [(&str, &[&str]); 20] = [
    ("kafka_connect_connect_worker_metrics_connector_count", &[]),
    ("kafka_connect_connect_worker_metrics_task_count", &[]),
    ("kafka_consumer_consumer_metrics_connection_count", &[]),
    ("kafka_producer_producer_metrics_connection_count", &[]),
    ("kafka_admin_client_admin_client_metrics_connection_count", &[]),
    ("kafka_producer_producer_metrics_outgoing_byte", &[]),
    ("kafka_connect_connect_coordinator_metrics_assigned_connectors", &[]),
    ("kafka_connect_connect_worker_rebalance_metrics_rebalancing", &[]),
    ("kafka_connect_connect_coordinator_metrics_assigned_tasks", &[]),
    ("kafka_connect_connect_worker_metrics_connector_running_task_count", &["connector"]),
    ("kafka_connect_connect_worker_metrics_connector_failed_task_count", &["connector"]),
    ("kafka_connect_connector_metrics_status_info", &["connector", "status"]),
    ("kafka_connect_connector_metrics_connector_class_info", &["connector", "connector_class"]),
    ("kafka_connect_connector_metrics_connector_version_info", &["connector", "connector_version"]),
    ("kafka_connect_connector_metrics_connector_type_info", &["connector", "connector_type"]),
    ("kafka_connect_task_error_metrics_total_record_failures", &["connector", "task"]),
    ("kafka_connect_connector_task_metrics_status_info", &["connector", "task", "status"]),
    ("jvm_memory_used_bytes", &[]),
    ("jvm_gc_collection_seconds_sum", &[]),
    ("jvm_threads_current", &[]),
];

/// Each has a series, and what is joined by connector, or by connector and task, has just one.
fn finds_all(all: &[Series], dashboard: &[(&str, &[&str])]) {
    for (name, labels) in dashboard {
        let of: Vec<_> = all.iter().filter(|series| series.name == *name).collect();
        assert!(!of.is_empty(), "{name} has no series");
        assert!(of.iter().all(|s| labels.iter().all(|l| s.labels.contains_key(*l))), "{name}");
        let mut keys: Vec<_> = of
            .iter()
            .map(|s| (s.labels.get("connector"), s.labels.get("task"), s.labels.get("client_id")))
            .collect();
        let before = keys.len();
        keys.sort();
        keys.dedup();
        assert!(!labels.contains(&"connector") || keys.len() == before, "{name} is ambiguous");
    }
}

#[tokio::test]
async fn dashboards_find_what_they_ask_for() {
    let fixture = Fixture::start().await;
    fixture.create_topic("watched", 1).await;
    fixture.source("watched-in", "watched", 10, &[]).await;
    fixture.sink("watched-out", "watched", &[]).await;
    fixture.wait_for_task("watched-in", 0, State::Running).await;
    fixture.wait_for_task("watched-out", 0, State::Running).await;
    finds_all(&read(&fixture).await, &DASHBOARD);
    let text = fixture.worker().metrics(MetricNames::Reporter).await;
    finds_all(&parse(&text), &REPORTERS_DASHBOARD);
}

#[tokio::test]
async fn a_sink_is_behind_by_what_it_has_not_read() {
    let fixture = Fixture::start_without_timer().await;
    fixture.create_topic("far", 1).await;
    fixture.source("ahead", "far", 30, &[]).await;
    until("all records", async || fixture.end_offset("far").await == 30).await;
    lock(&shared("behind")).faults.insert("put", (usize::MAX, Fault::Hang));
    fixture.sink("behind", "far", &[("consumer.override.max.poll.records", "10")]).await;
    let lag = [("connector", "behind"), ("topic", "far"), ("partition", "0")];
    let behind = async || {
        let all = read(&fixture).await;
        let name = "millrace_consumer_lag_records";
        all.iter().any(|s| s.name == name) && value(&all, name, &lag) == 20.0
    };
    until("ten of thirty to be read", behind).await;
    let all = read(&fixture).await;
    let partition = [("clientid", "connector-consumer-behind-0"), ("topic", "far")];
    assert_eq!(value(&all, "kafka_consumer_fetch_manager_records_lag", &partition), 20.0);
    let sink = [("connector", "behind"), ("task", "0")];
    assert_eq!(value(&all, "kafka_connect_sink_task_sink_record_active_count", &sink), 10.0);
    assert_eq!(value(&all, "kafka_connect_sink_task_sink_record_lag_max", &sink), 20.0);
}
