//! What a source task does with offsets, errors and wishes.

use std::sync::Arc;

use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::{Herder, RestartRequest, State, TargetState};

use crate::fixture::{Fixture, until};
use crate::plugins::{Fault, lock, shared};

#[tokio::test]
async fn a_clean_restart_sends_nothing_twice() {
    let mut fixture = Fixture::start().await;
    fixture.source("clean", "clean", 95, &[]).await;
    until("half of the records", async || fixture.end_offset("clean").await >= 40).await;
    fixture.stop_worker().await;
    fixture.start_worker().await;
    fixture.source("clean", "clean", 200, &[]).await;
    until("all records", async || fixture.end_offset("clean").await >= 200).await;
    fixture.stop_worker().await;
    assert_eq!(fixture.end_offset("clean").await, 200);
}

#[tokio::test]
async fn the_offset_of_dropped_records_is_not_recorded() {
    let mut fixture = Fixture::start().await;
    let drop_all = [
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", ""),
    ];
    fixture.source("dropped", "dropped", 50, &drop_all).await;
    let shared = shared("dropped");
    until("commits", async || lock(&shared).commits >= 3).await;
    fixture.stop_worker().await;
    assert!(!fixture.offset_file().exists(), "nothing was ever committed");
    assert_eq!(fixture.end_offset("dropped").await, 0);
}

#[tokio::test]
async fn one_bad_record_is_one_records_problem() {
    let fixture = Fixture::start().await;
    let drop_7 = [
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", "-7"),
        ("errors.tolerance", "all"),
    ];
    fixture.source("bad", "bad", 20, &drop_7).await;
    until("all but one", async || fixture.end_offset("bad").await == 19).await;
}

#[tokio::test]
async fn retriable_polls_are_repeated_and_others_fail_the_task() {
    let fixture = Fixture::start().await;
    lock(&shared("retried")).faults.insert("poll", (1, Fault::Retriable));
    fixture.source("retried", "retried", 5, &[]).await;
    until("all records", async || fixture.end_offset("retried").await == 5).await;

    lock(&shared("fatal")).faults.insert("poll", (1, Fault::Fatal));
    fixture.source("fatal", "fatal", 5, &[]).await;
    fixture.wait_for_task("fatal", 0, State::Failed).await;
    let status = fixture.status("fatal").await;
    let trace = status.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("poll cannot go on"), "{trace}");
    assert_eq!(status.connector.status.state, State::Running);
    fixture.worker().restart_task("fatal", 0).await.unwrap();
    until("all records", async || fixture.end_offset("fatal").await == 5).await;
}

#[tokio::test]
async fn a_panic_fails_its_task_alone() {
    let fixture = Fixture::start().await;
    lock(&shared("panics")).faults.insert("poll", (1, Fault::Panic));
    fixture.source("panics", "panics", 5, &[]).await;
    fixture.source("calm", "calm", 5, &[]).await;
    fixture.wait_for_task("panics", 0, State::Failed).await;
    let trace = fixture.status("panics").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("poll panics"), "{trace}");
    until("the other's records", async || fixture.end_offset("calm").await == 5).await;
    let failed = RestartRequest { include_tasks: true, only_failed: true };
    let planned = fixture.worker().restart("panics", failed).await.unwrap().unwrap();
    assert_eq!(planned.tasks[0].status.state, State::Restarting);
    assert_eq!(planned.connector.status.state, State::Running);
    until("its records", async || fixture.end_offset("panics").await == 5).await;
}

/// What is acknowledged is in the log, whatever became of the task; it is not called again.
#[tokio::test]
async fn after_a_panic_what_is_acknowledged_is_committed() {
    let fixture = Fixture::start_without_timer().await;
    fixture.source("panics-late", "panics-late", 5, &[]).await;
    until("all records", async || fixture.end_offset("panics-late").await == 5).await;
    lock(&shared("panics-late")).faults.insert("poll", (1, Fault::Panic));
    fixture.wait_for_task("panics-late", 0, State::Failed).await;
    let offsets = fixture.worker().offsets("panics-late").await.unwrap();
    let next = offsets[0].offset.as_ref().and_then(|offset| offset["next"].as_i64());
    assert_eq!((offsets.len(), next), (1, Some(5)));
    assert_eq!(lock(&shared("panics-late")).commits, 0);
}

#[tokio::test]
async fn a_connector_that_panics_is_failed_and_answers() {
    let fixture = Fixture::start().await;
    lock(&shared("born-dead")).faults.insert("connector", (1, Fault::Panic));
    let config = crate::fixture::props(&[
        ("name", "born-dead"),
        ("connector.class", "CountingSource"),
        ("topic", "t"),
    ]);
    let created = fixture.worker().put_connector("born-dead", config, None, false).await;
    assert!(created.is_err());
    assert_eq!(fixture.status("born-dead").await.connector.status.state, State::Failed);
    fixture.worker().restart("born-dead", RestartRequest::default()).await.unwrap();
    assert_eq!(fixture.status("born-dead").await.connector.status.state, State::Running);
}

#[tokio::test]
async fn a_paused_source_rests_and_goes_on_where_it_was() {
    let mut fixture = Fixture::start().await;
    fixture.source("rests", "rests", 100_000, &[("run", "1")]).await;
    until("some records", async || fixture.end_offset("rests").await > 10).await;
    fixture.worker().set_target_state("rests", TargetState::Paused).await.unwrap();
    fixture.wait_for_task("rests", 0, State::Paused).await;
    let resting = fixture.end_offset("rests").await;
    until("a commit while paused", async || fixture.offset_file().exists()).await;
    assert_eq!(fixture.end_offset("rests").await, resting);
    fixture.worker().set_target_state("rests", TargetState::Started).await.unwrap();
    until("more records", async || fixture.end_offset("rests").await > resting).await;
    fixture.stop_worker().await;
}

#[tokio::test]
async fn a_connector_that_asks_gets_new_tasks() {
    let fixture = Fixture::start().await;
    fixture.source("grows", "grows", 3, &[("tasks.max", "4")]).await;
    until("one task's records", async || fixture.end_offset("grows").await == 3).await;
    let shared = shared("grows");
    lock(&shared).tasks = 3;
    let context = lock(&shared).context.clone().unwrap();
    context.request_task_reconfiguration();
    until("three tasks' records", async || fixture.end_offset("grows").await >= 9).await;
    assert_eq!(fixture.worker().tasks("grows").await.unwrap().len(), 3);
    context.raise_error(millrace_api::Error::fatal("lost its source"));
    until("the connector to fail", async || {
        fixture.status("grows").await.connector.status.state == State::Failed
    })
    .await;
}

#[tokio::test]
async fn a_task_that_does_not_stop_is_given_up() {
    // Time enough for its commit.
    let grace = [("task.shutdown.graceful.timeout.ms", "5000")];
    let mut fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &grace).await;
    lock(&shared("clings")).faults.insert("stop", (1, Fault::Hang));
    fixture.source("clings", "clings", 5, &[]).await;
    until("all records", async || fixture.end_offset("clings").await == 5).await;
    let begun = std::time::Instant::now();
    fixture.stop_worker().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    fixture.start_worker().await;
    fixture.source("clings", "clings", 7, &[]).await;
    until("new records", async || fixture.end_offset("clings").await >= 7).await;
    assert_eq!(fixture.end_offset("clings").await, 7, "the offsets were committed before");
}

#[tokio::test]
async fn a_poll_may_take_longer_than_the_commit_interval() {
    let fixture = Fixture::start().await;
    fixture.source("slow", "slow", 3, &[("poll.ms", "200"), ("run", "1")]).await;
    let shared = shared("slow");
    until("all records", async || fixture.end_offset("slow").await == 3).await;
    until("commits", async || lock(&shared).commits >= 3).await;
}

#[tokio::test]
async fn the_last_commit_tells_the_task_too() {
    let mut fixture = Fixture::start_without_timer().await;
    fixture.source("told", "told", 5, &[]).await;
    until("all records", async || fixture.end_offset("told").await == 5).await;
    assert_eq!(lock(&shared("told")).commits, 0);
    fixture.stop_worker().await;
    assert_eq!(lock(&shared("told")).commits, 1);
}

#[tokio::test]
async fn tasks_commit_though_their_connector_does_not_stop() {
    // The worker does not wait as long as a connector may take to stop.
    let worker =
        [("offset.flush.interval.ms", "3600000"), ("task.shutdown.graceful.timeout.ms", "3000")];
    let mut fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &worker).await;
    lock(&shared("stuck")).faults.insert("connector-stop", (1, Fault::Hang));
    fixture.source("stuck", "stuck", 5, &[]).await;
    until("all records", async || fixture.end_offset("stuck").await == 5).await;
    fixture.stop_worker().await;
    assert!(fixture.offset_file().exists(), "what was acknowledged is committed");
}

/// An error that a connector raises once it has a successor is not the successor's.
#[tokio::test]
async fn a_connector_that_was_replaced_is_not_heard() {
    let fixture = Fixture::start().await;
    fixture.source("replaced", "replaced", 3, &[]).await;
    let old = lock(&shared("replaced")).context.clone().unwrap();
    fixture.source("replaced", "replaced", 4, &[]).await;
    old.raise_error(millrace_api::Error::fatal("lost its source"));
    for _ in 0..3 {
        fixture.worker().restart_task("replaced", 0).await.unwrap();
    }
    assert_eq!(fixture.status("replaced").await.connector.status.state, State::Running);
}

#[tokio::test]
async fn a_timestamp_that_kafka_does_not_know_fails_the_task() {
    let fixture = Fixture::start().await;
    fixture.source("past", "past", 5, &[("timestamp", "-2"), ("errors.tolerance", "all")]).await;
    fixture.wait_for_task("past", 0, State::Failed).await;
    let trace = fixture.status("past").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("Invalid record timestamp -2"), "{trace}");
    assert_eq!(fixture.end_offset("past").await, 0);
}
