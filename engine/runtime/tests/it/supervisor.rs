//! Connectors and tasks that fail, and are restarted by themselves.

use millrace_api::{ErrorKind, Props};
use millrace_runtime::{Herder, RecordPlace, RestartRequest, State, TargetState};

use crate::fixture::{Fixture, props, until};
use crate::plugins::{Event, Fault, lock, shared};

/// Soon, so that a test need not wait.
const QUICK: [(&str, &str); 2] =
    [("errors.restart.backoff.ms", "300"), ("errors.restart.backoff.max.ms", "300")];

fn starts(name: &str) -> usize {
    lock(&shared(name)).task_starts.len()
}

fn config(name: &str, extra: &[(&str, &str)]) -> Props {
    let mut config = props(&[
        ("name", name),
        ("connector.class", "CountingSource"),
        ("topic", name),
        ("count", "10"),
    ]);
    config.extend(props(&QUICK));
    config.extend(props(extra));
    config
}

async fn trace(fixture: &Fixture, name: &str) -> String {
    let status = fixture.worker().task_status(name, 0).await.unwrap().status;
    status.trace.unwrap_or_default()
}

#[tokio::test]
async fn a_transient_failure_is_shown_and_then_restarted() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    lock(&shared("passing")).faults.insert("start", (2, Fault::Retriable));
    worker.put_connector("passing", config("passing", &[]), None, false).await.unwrap();
    fixture.wait_for_task("passing", 0, State::Failed).await;
    until("word of it", async || trace(&fixture, "passing").await.contains("Millrace")).await;
    let told = trace(&fixture, "passing").await;
    assert!(told.contains("RetriableException: start is out of luck\n"), "{told}");
    assert!(told.contains("Millrace restarts it by itself in 0 s (attempt 1 of 10"), "{told}");
    until("its records", async || fixture.end_offset("passing").await == 10).await;
    fixture.wait_for_task("passing", 0, State::Running).await;
    assert_eq!(trace(&fixture, "passing").await, "");
    let restarts = worker.restarts("passing").await.unwrap();
    let part = &restarts.parts[0];
    assert_eq!((part.task, part.restarts_in_last_hour, part.failures.len()), (Some(0), 2, 2));
    assert!(part.failures.iter().all(|f| f.by_itself && f.restarted_at.is_some()), "{part:?}");
    assert_eq!(part.failures[0].error, "start is out of luck");
}

/// What stays wrong is left to people, as in Java; so is everything where somebody says so.
#[tokio::test]
async fn other_failures_stay_as_in_java() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    for (name, policy, fault) in [
        ("lasting", "transient", Fault::Fatal),
        ("panicking", "transient", Fault::Panic),
        ("java-like", "off", Fault::Retriable),
    ] {
        lock(&shared(name)).faults.insert("start", (1, fault));
        let config = config(name, &[("errors.restart.policy", policy)]);
        worker.put_connector(name, config, None, false).await.unwrap();
        fixture.wait_for_task(name, 0, State::Failed).await;
        assert!(!trace(&fixture, name).await.contains("Millrace restarts"));
    }
    lock(&shared("stubborn")).faults.insert("start", (3, Fault::Fatal));
    let always = config("stubborn", &[("errors.restart.policy", "always")]);
    worker.put_connector("stubborn", always, None, false).await.unwrap();
    until("its records", async || fixture.end_offset("stubborn").await == 10).await;
    for name in ["lasting", "panicking", "java-like"] {
        let status = worker.task_status(name, 0).await.unwrap().status;
        assert_eq!((status.state, starts(name)), (State::Failed, 0), "{name}");
    }
    worker.restart_task("lasting", 0).await.unwrap();
    fixture.wait_for_task("lasting", 0, State::Running).await;
    let failures = &worker.restarts("lasting").await.unwrap().parts[0].failures;
    assert!(failures[0].restarted_at.is_some() && !failures[0].by_itself);
}

#[tokio::test]
async fn a_connector_that_cannot_start_is_restarted_too() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    lock(&shared("unborn-yet")).faults.insert("connector", (2, Fault::Retriable));
    let created = worker.put_connector("unborn-yet", config("unborn-yet", &[]), None, false).await;
    assert!(created.is_err(), "as in Java");
    let status = fixture.status("unborn-yet").await.connector.status;
    assert_eq!(status.state, State::Failed);
    assert!(status.trace.unwrap().contains("Millrace restarts it by itself"));
    until("its records", async || fixture.end_offset("unborn-yet").await == 10).await;
    assert_eq!(fixture.status("unborn-yet").await.connector.status.state, State::Running);
    lock(&shared("split")).faults.insert("task_configs", (2, Fault::Retriable));
    let created = worker.put_connector("split", config("split", &[]), None, false).await;
    assert!(created.is_err());
    until("its records", async || fixture.end_offset("split").await == 10).await;
}

#[tokio::test]
async fn a_pause_a_stop_and_a_configuration_end_the_waiting() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    let fails = async |name: &'static str| {
        lock(&shared(name)).faults.insert("start", (1, Fault::Retriable));
        worker.put_connector(name, config(name, &[]), None, true).await.unwrap();
        fixture.wait_for_task(name, 0, State::Failed).await;
    };
    fails("resting").await;
    worker.set_target_state("resting", TargetState::Paused).await.unwrap();
    fails("ended").await;
    worker.set_target_state("ended", TargetState::Stopped).await.unwrap();
    fails("gone").await;
    worker.delete_connector("gone").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!((starts("resting"), starts("ended"), starts("gone")), (0, 0, 0));
    let told = trace(&fixture, "resting").await;
    assert!(told.contains("once it is resumed"), "{told}");
    assert!(worker.restarts("ended").await.unwrap().parts.is_empty());
    assert!(worker.restarts("gone").await.is_err());
    worker.set_target_state("resting", TargetState::Started).await.unwrap();
    until("its records", async || fixture.end_offset("resting").await == 10).await;
    let edited = config("resting", &[("poll.ms", "1")]);
    worker.put_connector("resting", edited, None, true).await.unwrap();
    assert!(worker.restarts("resting").await.unwrap().parts.is_empty());
    let all = RestartRequest { include_tasks: true, only_failed: false };
    worker.restart("resting", all).await.unwrap();
    fixture.wait_for_task("resting", 0, State::Running).await;
    let wrong = config("resting", &[("errors.restart.policy", "sometimes")]);
    let refused = worker.put_connector("resting", wrong, None, true).await.unwrap_err();
    assert!(refused.to_string().contains("errors.restart.policy"), "{refused}");
}

/// It is ended because somebody restarts it, and fails as it ends.
#[tokio::test]
async fn a_task_that_fails_as_it_ends_has_failed() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    fixture.create_topic("farewell", 1).await;
    let opened = || {
        let shared = shared("farewell");
        let is_open = |event: &&Event| matches!(event, Event::Open(_));
        lock(&shared).events.iter().filter(is_open).count()
    };
    let fails = async |times: usize| {
        until("its partition", async || opened() == times).await;
        lock(&shared("farewell")).faults.insert("close", (1, Fault::Retriable));
    };
    fixture.sink("farewell", "farewell", &QUICK).await;
    fails(1).await;
    worker.restart_task("farewell", 0).await.unwrap();
    fails(2).await;
    let all = RestartRequest { include_tasks: true, only_failed: false };
    worker.restart("farewell", all).await.unwrap();
    fails(3).await;
    let part = worker.restarts("farewell").await.unwrap().parts.remove(0);
    assert!(part.failures.iter().all(|f| f.restarted_at.is_some() && !f.by_itself), "{part:?}");
    assert_eq!((part.failures.len(), part.restarts_in_ms), (2, None), "it is restarted already");
    // A new configuration begins anew, before it ends the old task.
    fixture.sink("farewell", "farewell", &[]).await;
    let part = worker.restarts("farewell").await.unwrap().parts.remove(0);
    assert_eq!((part.failures.len(), part.restarts_in_ms), (1, None));
}

fn at(topic: &str, offset: i64) -> RecordPlace {
    RecordPlace::Topic { topic: topic.into(), partition: 0, offset }
}

/// A converter that fails at one record, and takes no other along.
async fn poisoned(fixture: &Fixture, name: &str, values: i64, poison: &str) {
    fixture.source(&format!("{name}-source"), name, values, &[]).await;
    until("records", async || fixture.end_offset(name).await == values).await;
    let extra = [
        ("transforms", "poison"),
        ("transforms.poison.type", "test.DropEndingIn"),
        ("transforms.poison.marker", "nothing"),
        ("transforms.poison.poison", poison),
        ("errors.deadletterqueue.topic.name", "skipped-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    fixture.sink(name, name, &extra).await;
    fixture.wait_for_task(name, 0, State::Failed).await;
}

#[tokio::test]
async fn a_record_that_stands_in_the_way_is_skipped_when_it_is_named() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    poisoned(&fixture, "poisoned", 20, "-5").await;
    assert!(!trace(&fixture, "poisoned").await.contains("POST"), "once may be chance");
    worker.restart_task("poisoned", 0).await.unwrap();
    until("it to fail again", async || trace(&fixture, "poisoned").await.contains("2 times")).await;
    let told = trace(&fixture, "poisoned").await;
    assert!(told.contains("/ext/v1/connectors/poisoned/tasks/0/skip"), "{told}");
    let obstacle = worker.restarts("poisoned").await.unwrap().parts[0].obstacle.clone().unwrap();
    assert_eq!((obstacle.record, obstacle.failures), (at("poisoned", 5), 2));
    for other in [at("poisoned", 6), at("else", 5)] {
        let refused = worker.skip("poisoned", 0, other).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    let unknown = worker.skip("poisoned", 1, at("poisoned", 5)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert!(!lock(&shared("poisoned")).put_values().iter().any(|v| v.ends_with("-6")));
    assert_eq!(fixture.end_offset("skipped-letters").await, 1, "a restart adds no letter");
    worker.skip("poisoned", 0, at("poisoned", 5)).await.unwrap();
    until("the others", async || lock(&shared("poisoned")).put_values().len() == 19).await;
    let put = lock(&shared("poisoned")).put_values();
    assert!(!put.contains(&"poisoned-source-0-5".to_owned()), "{put:?}");
    until("its commit", async || {
        fixture.committed("connect-poisoned", "poisoned").await == Some(20)
    })
    .await;
    assert_eq!(fixture.end_offset("skipped-letters").await, 1, "and a skip none, if it is there");
}

/// A task that fails behind it comes to it again with each restart.
#[tokio::test]
async fn a_skipped_record_has_one_letter_however_often_it_comes_again() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    poisoned(&fixture, "twice", 20, "5").await;
    worker.skip("twice", 0, at("twice", 5)).await.unwrap();
    for failures in 1..4 {
        if failures > 1 {
            worker.restart_task("twice", 0).await.unwrap();
        }
        until("it to fail behind it", async || {
            let obstacle = worker.restarts("twice").await.unwrap().parts[0].obstacle.clone();
            obstacle.is_some_and(|o| o.record == at("twice", 15) && o.failures == failures)
        })
        .await;
    }
    worker.skip("twice", 0, at("twice", 15)).await.unwrap();
    until("all to be behind it", async || {
        fixture.committed("connect-twice", "twice").await == Some(20)
    })
    .await;
    assert_eq!(lock(&shared("twice")).put_values().len(), 18);
    assert_eq!(fixture.end_offset("skipped-letters").await, 2, "one each");
}

/// Nothing may come after it that moves the offset.
#[tokio::test]
async fn the_last_record_is_skipped_for_good() {
    let mut fixture = Fixture::start().await;
    poisoned(&fixture, "last", 6, "-5").await;
    fixture.worker().skip("last", 0, at("last", 5)).await.unwrap();
    let committed = async |fixture: &Fixture| fixture.committed("connect-last", "last").await;
    until("its commit", async || committed(&fixture).await == Some(6)).await;
    assert_eq!(lock(&shared("last")).put_values().len(), 5);
    poisoned(&fixture, "only", 1, "-0").await;
    fixture.worker().skip("only", 0, at("only", 0)).await.unwrap();
    until("its commit", async || fixture.committed("connect-only", "only").await == Some(1)).await;
    fixture.stop_worker().await;
}
