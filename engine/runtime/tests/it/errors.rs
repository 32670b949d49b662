//! What becomes of records that fail, at every stage: retries, tolerance, dead letters.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::Array;
use millrace_api::TopicPartition;
use millrace_kafka::{Fetched, Polled};
use millrace_runtime::{Herder, State};

use crate::fixture::{Fixture, GRACE, until};
use crate::plugins::{Fault, lock, shared};

pub(crate) const LETTERS: [(&str, &str); 4] = [
    ("errors.tolerance", "all"),
    ("errors.deadletterqueue.topic.name", "letters"),
    ("errors.deadletterqueue.topic.replication.factor", "1"),
    ("errors.deadletterqueue.context.headers.enable", "true"),
];

/// The letters with this, and more.
pub(crate) fn letters<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    LETTERS.iter().chain(more).copied().collect()
}

/// All records of a partition.
pub(crate) async fn read(fixture: &Fixture, topic: &str) -> Vec<Fetched> {
    let mut runs = Vec::new();
    each_run(fixture, topic, |run| runs.push(run)).await;
    runs
}

/// Has each run of a partition looked at.
pub(crate) async fn each_run(fixture: &Fixture, topic: &str, mut look: impl FnMut(Fetched)) {
    let end = fixture.end_offset(topic).await;
    let mut consumer = fixture.cluster.consumer(&BTreeMap::new()).await.unwrap();
    consumer.assign(&[(TopicPartition::new(topic, 0), 0)]).await.unwrap();
    let mut next = 0;
    while next < end {
        let Polled::Records(read) = consumer.poll(Duration::from_secs(1)).await.unwrap() else {
            continue;
        };
        next = read.last().and_then(|run| run.offsets.last()).map_or(next, |last| last + 1);
        read.into_iter().for_each(&mut look);
    }
}

/// The values of a topic as texts.
pub(crate) async fn values(fixture: &Fixture, topic: &str) -> Vec<String> {
    let runs = read(fixture, topic).await;
    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap()).into_owned();
    runs.iter().flat_map(|run| run.values.iter().map(text).collect::<Vec<_>>()).collect()
}

/// The headers of the first letter.
async fn context(fixture: &Fixture) -> Vec<(String, String)> {
    let runs = read(fixture, "letters").await;
    let text = |bytes: &Option<bytes::Bytes>| {
        bytes
            .as_ref()
            .map_or_else(|| "null".to_owned(), |b| String::from_utf8_lossy(b).into_owned())
    };
    runs[0].headers[0].iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[tokio::test]
async fn passing_failures_are_repeated_for_as_long_as_configured() {
    let fixture = Fixture::start().await;
    let faulty = [("transforms", "f"), ("transforms.f.type", "test.Faulty")];
    for (name, timeout, faults, state) in [
        ("retry-enough", "60000", 2, State::Running),
        ("retry-forever", "-1", 2, State::Running),
        ("retry-none", "0", 1, State::Failed),
        ("retry-short", "500", 9, State::Failed),
    ] {
        lock(&shared(name)).faults.insert("apply", (faults, Fault::Retriable));
        let extra = [("transforms.f.of", name), ("errors.retry.timeout", timeout)];
        let topic = format!("{name}-topic");
        let begun = Instant::now();
        fixture.source(name, &topic, 10, &[&faulty[..], &extra].concat()).await;
        if state == State::Running {
            until("all records", async || fixture.end_offset(&topic).await == 10).await;
            assert!(begun.elapsed() >= Duration::from_millis(900), "300 ms, then 600 ms");
        }
        fixture.wait_for_task(name, 0, state).await;
    }
    fixture.source("retried", "retried", 10, &[]).await;
    lock(&shared("retry-sink")).faults.insert("apply", (2, Fault::Retriable));
    let extra = [("transforms.f.of", "retry-sink"), ("errors.retry.timeout", "60000")];
    fixture.sink("retry-sink", "retried", &[&faulty[..], &extra].concat()).await;
    until("all records", async || lock(&shared("retry-sink")).put_values().len() == 10).await;
}

/// What waits to be repeated has not failed: it is read again.
#[tokio::test]
async fn a_stop_ends_the_wait_for_the_next_attempt() {
    let mut fixture = Fixture::start().await;
    fixture.source("src-stops", "stops", 10, &[]).await;
    lock(&shared("stops")).faults.insert("apply", (1_000, Fault::Retriable));
    let extra = letters(&[
        ("transforms", "f"),
        ("transforms.f.type", "test.Faulty"),
        ("transforms.f.of", "stops"),
        ("errors.retry.timeout", "-1"),
        ("errors.retry.delay.max.ms", "3600000"),
    ]);
    fixture.sink("stops", "stops", &extra).await;
    until("an attempt", async || lock(&shared("stops")).faults["apply"].0 < 998).await;
    let begun = Instant::now();
    fixture.stop_worker().await;
    assert!(begun.elapsed() < GRACE, "{:?}", begun.elapsed());
    assert_eq!(fixture.end_offset("letters").await, 0);
    assert_eq!(fixture.committed("connect-stops", "stops").await, None);
}

/// Of 200 records those that end in 7 cannot be written.
#[tokio::test]
async fn a_sink_may_tell_which_records_of_a_put_it_cannot_write() {
    for by in ["report", "refuse", "fail"] {
        let fixture = Fixture::start().await;
        let name = format!("tells-{by}");
        fixture.source("all", "all", 200, &[]).await;
        fixture.sink(&name, "all", &letters(&[("poison", "7"), ("poison.by", by)])).await;
        let group = format!("connect-{name}");
        until("a commit", async || fixture.committed(&group, "all").await == Some(200)).await;
        let put = lock(&shared(&name)).put_values();
        let dead = values(&fixture, "letters").await;
        assert!(dead.iter().all(|value| value.ends_with('7')), "{by}: {dead:?}");
        assert_eq!((put.len(), dead.len()), (180, 20), "{by}");
        let context = context(&fixture).await;
        let expected = [
            ("topic", "all"),
            ("partition", "0"),
            ("offset", "7"),
            ("connector.name", &name),
            ("task.id", "0"),
            ("stage", "TASK_PUT"),
            ("class.name", "org.apache.kafka.connect.sink.SinkTask"),
            ("exception.class.name", "org.apache.kafka.connect.errors.DataException"),
            ("exception.message", "it is poison"),
        ];
        for (i, (header, value)) in expected.into_iter().enumerate() {
            assert_eq!(context[i], (format!("__connect.errors.{header}"), value.to_owned()));
        }
        assert_eq!(context[9].0, "__connect.errors.exception.stacktrace");
        let trace = "org.apache.kafka.connect.errors.DataException: it is poison";
        assert!(context[9].1.starts_with(trace) && context.len() == 10, "{context:?}");
    }
}

#[tokio::test]
async fn without_tolerance_a_refused_record_fails_the_task_and_is_a_letter_once() {
    let fixture = Fixture::start().await;
    fixture.source("all", "all", 20, &[]).await;
    let mut extra = letters(&[("poison", "7"), ("poison.by", "refuse")]);
    extra.retain(|(key, _)| *key != "errors.tolerance");
    fixture.sink("refuses", "all", &extra).await;
    fixture.wait_for_task("refuses", 0, State::Failed).await;
    let trace = fixture.status("refuses").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("TASK_PUT") && trace.contains("offset: 7"), "{trace}");
    assert_eq!(values(&fixture, "letters").await.len(), 1);
    assert_eq!(fixture.committed("connect-refuses", "all").await, None);
}

#[tokio::test]
async fn a_record_refused_for_a_passing_reason_alone_is_put_again() {
    let fixture = Fixture::start().await;
    fixture.source("all", "all", 20, &[]).await;
    lock(&shared("passing")).faults.insert("refuse", (3, Fault::Retriable));
    let extra = [("poison", "7"), ("poison.by", "refuse-passing")];
    fixture.sink("passing", "all", &extra).await;
    let shared = shared("passing");
    until("a commit", async || fixture.committed("connect-passing", "all").await == Some(20)).await;
    let mut values = lock(&shared).put_values();
    assert_eq!(values.len(), 20, "none of the others comes twice");
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 20);
}

#[tokio::test]
async fn records_that_a_source_cannot_send_become_letters() {
    let fixture = Fixture::start().await;
    fixture.create_compacted_topic("keys-only").await;
    fixture.source("keyless", "keys-only", 100, &letters(&[("run", "7")])).await;
    until("letters", async || fixture.end_offset("letters").await == 100).await;
    until("a commit", async || offsets(&fixture, "keyless").await.contains("100")).await;
    let context = context(&fixture).await;
    assert_eq!(context[3].1, "KAFKA_PRODUCE");
    assert_eq!(context[4].1, "org.apache.kafka.connect.runtime.WorkerSourceTask");
    assert!(context[6].1.contains("takes no record without key"), "{context:?}");
    let first: serde_json::Value =
        serde_json::from_str(&values(&fixture, "letters").await[0]).unwrap();
    assert_eq!(first["value"], "keyless-0-0");
}

/// Without a queue they are logged, and offsets move on.
#[tokio::test]
async fn single_records_that_a_source_cannot_send_are_passed_over() {
    let fixture = Fixture::start().await;
    // Numbers of three digits make a record that is too large.
    let most = (21 + 3 * 5 + "big-0-99".len()).to_string();
    let extra = [
        ("producer.override.max.request.size", &*most),
        ("run", "7"),
        ("errors.tolerance", "all"),
        ("errors.log.enable", "true"),
        ("errors.log.include.messages", "true"),
    ];
    fixture.source("big", "big", 120, &extra).await;
    until("a commit", async || offsets(&fixture, "big").await.contains("120")).await;
    assert_eq!(fixture.end_offset("big").await, 100);
}

async fn offsets(fixture: &Fixture, connector: &str) -> String {
    format!("{:?}", fixture.worker().offsets(connector).await.unwrap())
}

#[tokio::test]
async fn records_that_a_source_cannot_transform_become_letters() {
    let fixture = Fixture::start().await;
    let extra = letters(&[
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", "3"),
        ("transforms.d.poison", "9"),
        ("run", "7"),
        ("timestamp", "1234"),
    ]);
    fixture.source("dead", "alive", 200, &extra).await;
    until("all", async || fixture.end_offset("alive").await == 160).await;
    until("letters", async || fixture.end_offset("letters").await == 20).await;
    until("a commit", async || offsets(&fixture, "dead").await.contains("200")).await;
    let letter: serde_json::Value =
        serde_json::from_str(&values(&fixture, "letters").await[0]).unwrap();
    assert_eq!(letter["value"], "dead-0-9");
    assert_eq!(letter["timestamp"], 1234);
    assert_eq!(letter["sourcePartition"], serde_json::json!({ "task": 0 }));
    let context = context(&fixture).await;
    let names: Vec<&str> =
        context.iter().map(|(name, _)| name.trim_start_matches("__connect.errors.")).collect();
    assert_eq!(
        names,
        [
            "topic",
            "connector.name",
            "task.id",
            "stage",
            "class.name",
            "exception.class.name",
            "exception.message",
            "exception.stacktrace",
            "source.partition",
            "source.offset"
        ]
    );
    assert_eq!(context[3].1, "TRANSFORMATION");
    // Java's first line, and what we know beyond it.
    let trace = "org.apache.kafka.connect.errors.DataException: poison\n\t(marker: 3)";
    assert_eq!(context[7].1, trace);
    assert_eq!((&*context[8].1, &*context[9].1), (r#"{"task":0}"#, r#"{"next":14}"#));
    let runs = read(&fixture, "letters").await;
    assert!(runs.iter().all(|run| run.keys.null_count() == run.keys.len()));
}
