//! What a sink task sees: order, redelivery, commits, rebalances.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millrace_api::TopicPartition;
use millrace_kafka::{Consumer, Polled, Subscription};
use millrace_runtime::{Herder, State, TargetState};

use crate::fixture::{Fixture, until};
use crate::plugins::{Event, Fault, lock, shared};

fn expected(source: &str, count: i64) -> Vec<String> {
    (0..count).map(|n| format!("{source}-0-{n}")).collect()
}

#[tokio::test]
async fn records_come_in_order_and_are_committed() {
    let mut fixture = Fixture::start().await;
    fixture.source("src-order", "order", 95, &[]).await;
    fixture.sink("order", "order", &[]).await;
    let shared = shared("order");
    until("all records", async || lock(&shared).put_values().len() == 95).await;
    assert_eq!(lock(&shared).put_values(), expected("src-order", 95));
    until("a commit", async || fixture.committed("connect-order", "order").await == Some(95)).await;
    until("an empty put", async || {
        lock(&shared)
            .events
            .iter()
            .any(|e| matches!(e, Event::Put(_, records) if records.is_empty()))
    })
    .await;
    fixture.stop_worker().await;
    let events = &lock(&shared).events;
    assert!(matches!(events[0], Event::Open(_)));
    let [.., Event::PreCommit(_), Event::Close(_), Event::Stop] = events.as_slice() else {
        panic!("a stop ends with pre-commit, close, stop: {:?}", &events[events.len() - 3..])
    };
}

#[tokio::test]
async fn after_a_retriable_error_the_same_batch_comes_again() {
    let fixture = Fixture::start().await;
    lock(&shared("again")).faults.insert("put", (3, Fault::Retriable));
    fixture.sink("again", "again", &[]).await;
    fixture.source("src-again", "again", 60, &[]).await;
    let shared = shared("again");
    until("all records", async || lock(&shared).put_values().len() >= 60).await;
    assert_eq!(lock(&shared).put_values(), expected("src-again", 60));
}

#[tokio::test]
async fn a_failed_pre_commit_goes_back_to_the_last_commit() {
    let fixture = Fixture::start().await;
    fixture.source("src-back", "back", 30, &[]).await;
    let shared = shared("back");
    lock(&shared).hold_back = Some(0);
    fixture.sink("back", "back", &[]).await;
    until("all records", async || lock(&shared).put_values().len() == 30).await;
    lock(&shared).faults.insert("pre_commit", (1, Fault::Fatal));
    until("the way back", async || lock(&shared).faults["pre_commit"].0 == 0).await;
    lock(&shared).hold_back = None;
    until("all records twice", async || lock(&shared).put_values().len() >= 60).await;
    let twice = [expected("src-back", 30), expected("src-back", 30)].concat();
    assert_eq!(lock(&shared).put_values(), twice);
    until("a commit", async || fixture.committed("connect-back", "back").await == Some(30)).await;
    assert_eq!(fixture.status("back").await.tasks[0].status.state, State::Running);
}

/// A batch that waits to be put again is read again as well: it must not be put beside that.
#[tokio::test]
async fn going_back_drops_the_batch_that_waits() {
    let fixture = Fixture::start().await;
    fixture.source("src-drops", "drops", 30, &[]).await;
    until("all records", async || fixture.end_offset("drops").await == 30).await;
    let shared = shared("drops");
    let left = |call: &str| lock(&shared).faults[call].0;
    lock(&shared).faults.insert("put", (1_000_000, Fault::Retriable));
    fixture.sink("drops", "drops", &[]).await;
    until("a batch to wait", async || left("put") < 1_000_000).await;
    lock(&shared).faults.insert("pre_commit", (1, Fault::Fatal));
    until("the way back", async || left("pre_commit") == 0).await;
    lock(&shared).faults.remove("put");
    until("a commit", async || fixture.committed("connect-drops", "drops").await == Some(30)).await;
    assert_eq!(lock(&shared).put_values(), expected("src-drops", 30));
}

/// Going back concerns what the task still has.
#[tokio::test]
async fn a_lost_partition_is_not_gone_back_to() {
    let fixture = Fixture::start().await;
    fixture.create_topic("stays", 1).await;
    fixture.create_topic("goes", 1).await;
    fixture.sink("left", "stays,goes", &[]).await;
    let shared = shared("left");
    until("both partitions", async || opened("left") >= 1).await;
    fixture.cluster.delete_topic("goes").await.unwrap();
    let closed = |e: &Event| matches!(e, Event::Close(_));
    until("the loss", async || lock(&shared).events.iter().any(closed)).await;
    lock(&shared).faults.insert("pre_commit", (1, Fault::Fatal));
    until("the way back", async || lock(&shared).faults["pre_commit"].0 == 0).await;
    fixture.source("src-left", "stays", 5, &[]).await;
    until("records", async || lock(&shared).put_values().len() == 5).await;
}

#[tokio::test]
async fn only_what_pre_commit_gives_back_is_committed() {
    let mut fixture = Fixture::start().await;
    fixture.source("src-held", "held", 30, &[]).await;
    let shared = shared("held");
    lock(&shared).hold_back = Some(12);
    fixture.sink("held", "held", &[]).await;
    until("all records", async || lock(&shared).put_values().len() == 30).await;
    fixture.stop_worker().await;
    assert_eq!(fixture.committed("connect-held", "held").await, Some(12));
    fixture.start_worker().await;
    lock(&shared).events.clear();
    fixture.sink("held", "held", &[]).await;
    until("the rest again", async || lock(&shared).put_values().len() >= 18).await;
    assert_eq!(lock(&shared).put_values(), expected("src-held", 30)[12..]);
}

#[tokio::test]
async fn what_was_not_put_is_not_committed_whatever_the_task_says() {
    let mut fixture = Fixture::start().await;
    fixture.source("src-over", "over", 10, &[]).await;
    let shared = shared("over");
    lock(&shared).overstate = Some(5);
    fixture.sink("over", "over", &[]).await;
    let told =
        |e: &Event| matches!(e, Event::PreCommit(offsets) if offsets.values().max() == Some(&15));
    until("two commits", async || lock(&shared).events.iter().filter(|e| told(e)).count() >= 2)
        .await;
    fixture.stop_worker().await;
    assert_eq!(fixture.committed("connect-over", "over").await, None);
    assert_eq!(fixture.committed("connect-over", "elsewhere").await, None);
}

#[tokio::test]
async fn a_task_may_rewind() {
    let fixture = Fixture::start().await;
    fixture.source("src-rewind", "rewind", 10, &[]).await;
    let shared = shared("rewind");
    fixture.sink("rewind", "rewind", &[]).await;
    until("all records", async || lock(&shared).put_values().len() == 10).await;
    lock(&shared).rewind = Some((TopicPartition::new("rewind", 0), 4));
    until("six again", async || lock(&shared).put_values().len() == 16).await;
    assert_eq!(lock(&shared).put_values()[10..], expected("src-rewind", 10)[4..]);
}

#[tokio::test]
async fn a_fatal_put_fails_the_task_and_a_restart_puts_again() {
    let fixture = Fixture::start().await;
    fixture.source("src-fatal-put", "fatal-put", 10, &[]).await;
    lock(&shared("fatal-put")).faults.insert("put", (1, Fault::Fatal));
    fixture.sink("fatal-put", "fatal-put", &[]).await;
    fixture.wait_for_task("fatal-put", 0, State::Failed).await;
    let trace = fixture.status("fatal-put").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("unrecoverable exception") && trace.contains("cannot go on"), "{trace}");
    fixture.worker().restart_task("fatal-put", 0).await.unwrap();
    let shared = shared("fatal-put");
    until("all records", async || lock(&shared).put_values().len() == 10).await;
}

#[tokio::test]
async fn a_poisoned_record_fails_the_task_or_goes_to_the_dead_letter_queue() {
    let fixture = Fixture::start().await;
    fixture.source("poison", "poisoned", 8, &[]).await;
    let fails = [
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", "nothing"),
    ];
    fixture.source("more", "poisoned", 1, &[]).await;
    fixture.sink("strict", "poisoned", &fails).await;
    until("records", async || lock(&shared("strict")).put_values().len() == 9).await;
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let tolerant = [
        ("value.converter", json),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "poison-dlq"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    fixture.sink("tolerant", "poisoned", &tolerant).await;
    until("dead letters", async || fixture.end_offset("poison-dlq").await == 9).await;
    fixture.sink("intolerant", "poisoned", &[("value.converter", json)]).await;
    fixture.wait_for_task("intolerant", 0, State::Failed).await;
    let trace = fixture.status("intolerant").await.tasks[0].status.trace.clone().unwrap();
    for part in ["Tolerance exceeded", "topic: poisoned", "offset: 0", "remedy"] {
        assert!(trace.contains(part), "{trace}");
    }
}

#[tokio::test]
async fn a_paused_sink_gets_no_records_and_keeps_its_partitions() {
    let fixture = Fixture::start().await;
    fixture.source("src-p1", "paused", 10, &[]).await;
    fixture.sink("paused", "paused", &[]).await;
    let shared = shared("paused");
    until("ten records", async || lock(&shared).put_values().len() == 10).await;
    fixture.worker().set_target_state("paused", TargetState::Paused).await.unwrap();
    fixture.wait_for_task("paused", 0, State::Paused).await;
    fixture.source("src-p2", "paused", 10, &[]).await;
    until("ten more in the topic", async || fixture.end_offset("paused").await == 20).await;
    assert_eq!(lock(&shared).put_values().len(), 10);
    fixture.worker().set_target_state("paused", TargetState::Started).await.unwrap();
    until("ten more", async || lock(&shared).put_values().len() == 20).await;
    let opened = lock(&shared).events.iter().filter(|e| matches!(e, Event::Open(_))).count();
    assert_eq!(opened, 1, "no rebalance");
}

/// Two tasks share two partitions; one is restarted again and again. No record is lost, and no
/// partition is put by a task it does not belong to.
#[tokio::test]
async fn a_rebalance_loses_nothing() {
    let mut fixture = Fixture::start().await;
    fixture.create_topic("shared", 2).await;
    fixture.sink("shared", "shared", &[("tasks.max", "2")]).await;
    let keyless = [("run", "7"), ("producer.override.linger.ms", "0")];
    fixture.source("src-shared", "shared", 2_000, &keyless).await;
    let shared = shared("shared");
    for round in 0..4 {
        until("some records", async || lock(&shared).put_values().len() >= 300 * (round + 1)).await;
        fixture.worker().restart_task("shared", round % 2).await.unwrap();
    }
    until("all records", async || {
        let mut values = lock(&shared).put_values();
        values.sort();
        values.dedup();
        values.len() == 2_000
    })
    .await;
    fixture.stop_worker().await;
    let mut last: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for event in &lock(&shared).events {
        match event {
            Event::Put(_, records) => {
                for (partition, offset, _) in records {
                    let before = last.insert(partition.clone(), *offset);
                    assert!(
                        before.is_none_or(|b| *offset == b + 1),
                        "{partition}: {before:?} {offset}"
                    );
                }
            }
            // After a close a partition may be read again from its last commit.
            Event::Close(partitions) => last.retain(|p, _| !partitions.contains(p)),
            _ => {}
        }
    }
}

/// As in Java, what a task has paused is forgotten with the partition: the one who has it
/// afterwards, be it the same task, begins anew.
#[tokio::test]
async fn a_pause_ends_with_the_assignment() {
    let fixture = Fixture::start().await;
    fixture.create_topic("lent", 2).await;
    fixture.sink("lent", "lent", &[]).await;
    until("both partitions", async || opened("lent") == 1).await;
    let shared = shared("lent");
    let lent = TopicPartition::new("lent", 1);
    lock(&shared).pause = Some(lent.clone());
    until("the pause", async || lock(&shared).pause.is_none()).await;
    let mut other = second_member(&fixture, "connect-lent", lent).await;
    other.close().await.unwrap();
    until("the partition to be back", async || opened("lent") == 2).await;
    let config = [("run", "1"), ("producer.override.linger.ms", "0")];
    fixture.source("src-lent", "lent", 20, &config).await;
    until("all records of both", async || lock(&shared).put_values().len() == 20).await;
}

#[tokio::test]
async fn a_task_says_how_long_to_wait_before_records_come_again() {
    let fixture = Fixture::start_without_timer().await;
    let wait = Duration::from_millis(1_500);
    {
        let shared = shared("waits");
        let mut shared = lock(&shared);
        shared.timeout = Some(wait);
        shared.faults.insert("put", (1, Fault::Retriable));
    }
    fixture.source("src-waits", "waits", 5, &[]).await;
    until("the records", async || fixture.end_offset("waits").await == 5).await;
    let begun = Instant::now();
    fixture.sink("waits", "waits", &[]).await;
    until("the records again", async || lock(&shared("waits")).put_values().len() == 5).await;
    assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_failed_close_fails_the_task() {
    let fixture = Fixture::start().await;
    fixture.create_topic("ajar", 2).await;
    lock(&shared("ajar")).faults.insert("close", (1, Fault::Fatal));
    fixture.sink("ajar", "ajar", &[]).await;
    until("both partitions", async || opened("ajar") == 1).await;
    let _other = second_member(&fixture, "connect-ajar", TopicPartition::new("ajar", 1)).await;
    fixture.wait_for_task("ajar", 0, State::Failed).await;
    let trace = fixture.status("ajar").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("close cannot go on"), "{trace}");
}

fn opened(sink: &str) -> usize {
    let shared = shared(sink);
    lock(&shared).events.iter().filter(|e| matches!(e, Event::Open(_))).count()
}

/// Joins a group of one and takes this partition away from it.
pub(crate) async fn second_member(
    fixture: &Fixture,
    group: &str,
    partition: TopicPartition,
) -> Box<dyn Consumer> {
    let properties = BTreeMap::from([("group.id".to_owned(), group.to_owned())]);
    let mut member = fixture.cluster.consumer(&properties).await.unwrap();
    let topics = vec![partition.topic.to_string()];
    member.subscribe(&Subscription::Topics(topics)).await.unwrap();
    until("a second member to get its partition", async || {
        match member.poll(Duration::from_millis(100)).await.unwrap() {
            Polled::Assigned(partitions) => partitions.contains(&partition),
            _ => false,
        }
    })
    .await;
    member
}

/// Nothing is known of a task that panicked: it is not asked what may be committed.
#[tokio::test]
async fn after_a_panic_a_sink_task_is_asked_nothing() {
    let fixture = Fixture::start_without_timer().await;
    fixture.source("sink-panics-source", "sink-panics", 5, &[]).await;
    fixture.sink("sink-panics", "sink-panics", &[]).await;
    let put = || lock(&shared("sink-panics")).put_values().len();
    until("the records", async || put() == 5).await;
    lock(&shared("sink-panics")).faults.insert("put", (1, Fault::Panic));
    fixture.source("sink-panics-more", "sink-panics", 5, &[]).await;
    fixture.wait_for_task("sink-panics", 0, State::Failed).await;
    let asked = |event: &Event| matches!(event, Event::PreCommit(_) | Event::Stop);
    assert!(!lock(&shared("sink-panics")).events.iter().any(asked));
    assert_eq!(fixture.committed("connect-sink-panics", "sink-panics").await, None);
    fixture.worker().restart_task("sink-panics", 0).await.unwrap();
    until("all of them again", async || put() == 15).await;
}
