//! What a connector should be doing, and what its configuration becomes meanwhile. Every answer was
//! compared with Java's.

use std::collections::BTreeSet;

use millrace_api::{ErrorKind, Props};
use millrace_runtime::{Herder, Patch, RestartRequest, State, TargetState};

use crate::fixture::{Fixture, props, until};
use crate::plugins::{Fault, lock, shared};

fn source(name: &str, extra: &[(&str, &str)]) -> Props {
    let mut config = props(&[
        ("name", name),
        ("connector.class", "CountingSource"),
        ("topic", name),
        ("tasks.max", "2"),
    ]);
    config.extend(props(extra));
    config
}

/// A source of two tasks that run.
async fn two_tasks(fixture: &Fixture, name: &str) {
    lock(&shared(name)).tasks = 2;
    fixture.worker().put_connector(name, source(name, &[]), None, false).await.unwrap();
    for task in 0..2 {
        fixture.wait_for_task(name, task, State::Running).await;
    }
}

async fn connector_state(fixture: &Fixture, name: &str) -> State {
    fixture.status(name).await.connector.status.state
}

async fn wait_for_connector(fixture: &Fixture, name: &str, state: State) {
    until(&format!("{name} to be {state:?}"), async || {
        connector_state(fixture, name).await == state
    })
    .await;
}

fn task_starts(name: &str) -> Vec<i32> {
    lock(&shared(name)).task_starts.clone()
}

#[tokio::test]
async fn a_stopped_connector_has_no_tasks_until_it_is_resumed() {
    let fixture = Fixture::start().await;
    two_tasks(&fixture, "halted").await;
    let worker = fixture.worker();
    for _ in 0..2 {
        worker.set_target_state("halted", TargetState::Stopped).await.unwrap();
        let status = fixture.status("halted").await;
        assert_eq!(status.connector.status.state, State::Stopped);
        assert!(status.tasks.is_empty(), "gone by the time of the answer");
    }
    assert!(worker.tasks("halted").await.unwrap().is_empty());
    assert_eq!(worker.task_status("halted", 0).await.unwrap_err().kind(), ErrorKind::NotFound);
    let restarted = worker.restart_task("halted", 0).await.unwrap_err();
    assert_eq!(restarted.to_string(), "Task halted-0 not found");
    // It takes another configuration, and stays stopped.
    let edited = source("halted", &[("poll.ms", "1")]);
    let (_, info) = worker.put_connector("halted", edited, None, true).await.unwrap();
    assert!(info.tasks.is_empty());
    worker.restart("halted", RestartRequest::default()).await.unwrap();
    assert_eq!(connector_state(&fixture, "halted").await, State::Stopped);
    worker.set_target_state("halted", TargetState::Paused).await.unwrap();
    wait_for_connector(&fixture, "halted", State::Paused).await;
    assert!(fixture.status("halted").await.tasks.is_empty(), "a pause makes no tasks");
    worker.set_target_state("halted", TargetState::Started).await.unwrap();
    for task in 0..2 {
        fixture.wait_for_task("halted", task, State::Running).await;
    }
    assert_eq!(worker.tasks("halted").await.unwrap()[1].config["poll.ms"], "1");
    worker.set_target_state("halted", TargetState::Stopped).await.unwrap();
    worker.delete_connector("halted").await.unwrap();
}

#[tokio::test]
async fn a_connector_may_begin_stopped_or_paused() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    for (name, initial, state) in [
        ("born-stopped", TargetState::Stopped, State::Stopped),
        ("born-paused", TargetState::Paused, State::Paused),
    ] {
        let config = source(name, &[]);
        let (_, info) = worker.put_connector(name, config, Some(initial), false).await.unwrap();
        assert!(info.tasks.is_empty());
        assert_eq!(connector_state(&fixture, name).await, state);
        assert_eq!(lock(&shared(name)).starts, 0, "as in Java it is not started");
        worker.set_target_state(name, TargetState::Started).await.unwrap();
        fixture.wait_for_task(name, 0, State::Running).await;
    }
}

#[tokio::test]
async fn states_of_unknown_connectors_are_refused_as_in_java() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    for (state, kind, message) in [
        (TargetState::Stopped, ErrorKind::Fatal, "No connector `nobody` configured"),
        (TargetState::Paused, ErrorKind::NotFound, "Unknown connector nobody"),
        (TargetState::Started, ErrorKind::NotFound, "Unknown connector nobody"),
    ] {
        let error = worker.set_target_state("nobody", state).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (kind, message.to_owned()));
    }
    let patched = worker.patch_connector("nobody", Patch::new()).await.unwrap_err();
    assert_eq!(patched.kind(), ErrorKind::NotFound);
    assert_eq!(patched.to_string(), "Connector nobody not found");
}

/// Java leaves tasks alone that a new configuration leaves as they were, and those of a paused
/// connector until it is resumed.
#[tokio::test]
async fn tasks_restart_when_a_configuration_changes_and_not_before() {
    let fixture = Fixture::start().await;
    two_tasks(&fixture, "edited").await;
    let worker = fixture.worker();
    worker.put_connector("edited", source("edited", &[]), None, true).await.unwrap();
    assert_eq!(lock(&shared("edited")).starts, 2, "the connector is started anew");
    assert_eq!(task_starts("edited").len(), 2, "its tasks are not");
    worker.set_target_state("edited", TargetState::Paused).await.unwrap();
    fixture.wait_for_task("edited", 1, State::Paused).await;
    let changed = source("edited", &[("poll.ms", "1")]);
    let (_, info) = worker.put_connector("edited", changed, None, true).await.unwrap();
    assert_eq!(info.tasks.len(), 2, "they are kept");
    assert!(!worker.tasks("edited").await.unwrap()[0].config.contains_key("poll.ms"));
    worker.set_target_state("edited", TargetState::Started).await.unwrap();
    until("new tasks", async || task_starts("edited").len() == 4).await;
    for task in 0..2 {
        fixture.wait_for_task("edited", task, State::Running).await;
    }
    assert_eq!(worker.tasks("edited").await.unwrap()[0].config["poll.ms"], "1");
}

/// Java restarts all tasks. Here one that hangs in its end holds up only those that change with it.
#[tokio::test]
async fn only_tasks_that_change_restart_when_a_connector_deals_anew() {
    let fixture = Fixture::start().await;
    let again = |name: &str| {
        let context = lock(&shared(name)).context.clone().expect("it was started");
        context.request_task_reconfiguration();
    };
    lock(&shared("dealt")).tasks = 3;
    let endless = [("tasks.max", "4"), ("count", "1000000"), ("run", "1"), ("poll.ms", "1")];
    let config = source("dealt", &endless);
    fixture.worker().put_connector("dealt", config, None, false).await.unwrap();
    until("three tasks", async || task_starts("dealt").len() == 3).await;
    again("dealt");
    {
        let shared = shared("dealt");
        let mut shared = lock(&shared);
        shared.topics = [(1, "elsewhere")].into();
        shared.faults.insert("stop", (1, Fault::Block));
    }
    again("dealt");
    until("the end of task 1", async || lock(&shared("dealt")).faults["stop"].0 == 0).await;
    let sent = fixture.end_offset("dealt").await;
    until("the others", async || fixture.end_offset("dealt").await > sent + 20).await;
    assert_eq!(fixture.end_offset("elsewhere").await, 0, "nothing starts before it has ended");
    lock(&shared("dealt")).is_released = true;
    until("task 1", async || fixture.end_offset("elsewhere").await > 0).await;
    assert_eq!(task_starts("dealt")[3..], [1]);

    lock(&shared("dealt")).tasks = 4;
    again("dealt");
    until("task 3", async || task_starts("dealt").len() == 5).await;
    lock(&shared("dealt")).tasks = 1;
    again("dealt");
    until("one task", async || fixture.status("dealt").await.tasks.len() == 1).await;
    assert_eq!(task_starts("dealt")[3..], [1, 3]);
    fixture.wait_for_task("dealt", 0, State::Running).await;
}

#[tokio::test]
async fn a_failed_connector_is_neither_paused_nor_resumed_but_restarted() {
    let fixture = Fixture::start().await;
    lock(&shared("broken")).faults.insert("connector", (1, Fault::Fatal));
    let worker = fixture.worker();
    let created = worker.put_connector("broken", source("broken", &[]), None, false).await;
    assert_eq!(created.unwrap_err().to_string(), "connector cannot go on");
    for state in [TargetState::Paused, TargetState::Started] {
        worker.set_target_state("broken", state).await.unwrap();
        worker.restart_task("broken", 0).await.unwrap_err();
        assert_eq!(connector_state(&fixture, "broken").await, State::Failed);
    }
    let failed = RestartRequest { include_tasks: false, only_failed: true };
    worker.restart("broken", failed).await.unwrap().unwrap();
    wait_for_connector(&fixture, "broken", State::Running).await;
    lock(&shared("broken")).faults.insert("connector", (1, Fault::Panic));
    worker.restart("broken", RestartRequest::default()).await.unwrap_err();
    assert_eq!(connector_state(&fixture, "broken").await, State::Failed);
    worker.set_target_state("broken", TargetState::Stopped).await.unwrap();
    assert_eq!(connector_state(&fixture, "broken").await, State::Stopped);
    worker.set_target_state("broken", TargetState::Started).await.unwrap();
    fixture.wait_for_task("broken", 0, State::Running).await;
}

#[tokio::test]
async fn a_restart_restarts_what_its_plan_names() {
    let fixture = Fixture::start().await;
    two_tasks(&fixture, "planned").await;
    lock(&shared("planned")).faults.insert("poll", (1, Fault::Fatal));
    until("a task to fail", async || {
        let status = fixture.status("planned").await;
        status.tasks.iter().any(|t| t.status.state == State::Failed)
    })
    .await;
    let tasks = fixture.status("planned").await.tasks;
    let failed: Vec<_> = tasks.iter().filter(|t| t.status.state == State::Failed).collect();
    let failed = failed[0].id;
    let worker = fixture.worker();
    let ask = async |include_tasks, only_failed| {
        let before = task_starts("planned").len();
        let request = RestartRequest { include_tasks, only_failed };
        let plan = worker.restart("planned", request).await.unwrap().unwrap();
        let restarting = plan.tasks.iter().filter(|t| t.status.state == State::Restarting);
        let tasks: BTreeSet<usize> = restarting.map(|t| t.id).collect();
        until("the restart", async || task_starts("planned").len() == before + tasks.len()).await;
        for task in &tasks {
            fixture.wait_for_task("planned", *task, State::Running).await;
        }
        let started: BTreeSet<_> = task_starts("planned")[before..].iter().copied().collect();
        assert!(tasks.iter().all(|task| started.contains(&i32::try_from(*task).unwrap())));
        wait_for_connector(&fixture, "planned", State::Running).await;
        (plan.connector.status.state, tasks)
    };
    assert_eq!(ask(false, true).await, (State::Running, BTreeSet::new()));
    assert_eq!(ask(true, true).await, (State::Running, BTreeSet::from([failed])));
    assert_eq!(ask(true, false).await, (State::Restarting, BTreeSet::from([0, 1])));
    assert_eq!(lock(&shared("planned")).starts, 2, "the last plan alone has the connector");
    let request = RestartRequest { include_tasks: true, only_failed: false };
    let unknown = worker.restart("nobody", request).await.unwrap_err();
    assert_eq!(unknown.to_string(), "Unknown connector: nobody");
}

fn patch(changes: &[(&str, Option<&str>)]) -> Patch {
    changes.iter().map(|(key, to)| ((*key).to_owned(), to.map(str::to_owned))).collect()
}

#[tokio::test]
async fn a_patch_sets_and_removes_and_is_judged_as_a_whole() {
    let fixture = Fixture::start().await;
    two_tasks(&fixture, "patched").await;
    let worker = fixture.worker();
    let changes = patch(&[("poll.ms", Some("1")), ("topic", None), ("none", None)]);
    let info = worker.patch_connector("patched", changes).await.unwrap();
    assert_eq!((info.config.get("topic"), info.config["poll.ms"].as_str()), (None, "1"));
    assert_eq!(info.tasks.len(), 2);
    assert_eq!(worker.tasks("patched").await.unwrap()[0].config["poll.ms"], "1");
    let wrong = patch(&[("poll.ms", Some("2")), ("tasks.max", Some("none"))]);
    let error = worker.patch_connector("patched", wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("tasks.max"), "{error}");
    let kept = worker.connector_info("patched").await.unwrap().config;
    assert_eq!(kept, info.config, "a patch that is refused changes nothing");
    // Java does not hold the name against the path.
    let renamed = worker.patch_connector("patched", patch(&[("name", Some("other"))])).await;
    let renamed = renamed.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.config["name"].as_str()), ("patched", "other"));
}

#[tokio::test]
async fn patches_at_once_are_both_kept() {
    let fixture = Fixture::start().await;
    two_tasks(&fixture, "twice").await;
    let worker = fixture.worker();
    let (one, other) = tokio::join!(
        worker.patch_connector("twice", patch(&[("poll.ms", Some("1"))])),
        worker.patch_connector("twice", patch(&[("run", Some("7"))])),
    );
    one.and(other).unwrap();
    let config = worker.connector_info("twice").await.unwrap().config;
    assert_eq!((config["poll.ms"].as_str(), config["run"].as_str()), ("1", "7"));
}
