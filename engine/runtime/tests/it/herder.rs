//! Commands that meet each other, and plugins that do not answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use millrace_api::ErrorKind;
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::{Herder, RestartRequest, State, TargetState};
use tokio::time::timeout;

use crate::fixture::{Fixture, SHORT_GRACE, props, until};
use crate::plugins::{Fault, lock, shared};

fn config(name: &str) -> millrace_api::Props {
    props(&[("name", name), ("connector.class", "CountingSource"), ("topic", name)])
}

/// One of two deletions comes second: it must not take the connector along that was made after the
/// first.
#[tokio::test]
async fn a_deletion_deletes_what_it_met() {
    let fixture = Fixture::start().await;
    fixture.source("met", "met", 5, &[]).await;
    let worker = fixture.worker();
    let replace = async || {
        worker.delete_connector("met").await?;
        worker.put_connector("met", config("met"), None, false).await
    };
    let (one, other) = tokio::join!(replace(), replace());
    assert!(one.is_ok() != other.is_ok(), "one of both deletes it");
    let refused = one.and(other).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    fixture.wait_for_task("met", 0, State::Running).await;
}

/// The second of two deletions hears of the end of the first connector late: by then the name
/// belongs to another, which stays.
#[tokio::test]
async fn a_deletion_that_comes_late_leaves_the_next_connector() {
    let fixture = Fixture::start().await;
    fixture.source("late-met", "late-met", 5, &[]).await;
    let worker = fixture.worker();
    let mut first = pin!(worker.delete_connector("late-met"));
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = pin!(worker.delete_connector("late-met"));
    assert!(second.as_mut().now_or_never().is_none());
    first.await.unwrap();
    worker.put_connector("late-met", config("late-met"), None, false).await.unwrap();
    assert_eq!(second.await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(worker.connectors().await.unwrap(), ["late-met"]);
    worker.status("late-met").await.unwrap();
}

/// Most keys are the framework's, and no task's: tasks follow them all the same.
#[tokio::test]
async fn tasks_are_made_anew_when_only_the_connectors_configuration_changes() {
    let fixture = Fixture::start().await;
    lock(&shared("same-tasks")).bare = true;
    fixture.source("same-tasks", "same-tasks", 5, &[]).await;
    fixture.wait_for_task("same-tasks", 0, State::Running).await;
    let patch = |value: &str| [("errors.tolerance".to_owned(), Some(value.to_owned()))].into();
    let worker = fixture.worker();
    let tasks = worker.tasks("same-tasks").await.unwrap();
    for (tolerance, starts) in [("all", 2), ("all", 2), ("none", 3)] {
        worker.patch_connector("same-tasks", patch(tolerance)).await.unwrap();
        fixture.wait_for_task("same-tasks", 0, State::Running).await;
        assert_eq!(worker.tasks("same-tasks").await.unwrap(), tasks);
        assert_eq!(lock(&shared("same-tasks")).task_starts.len(), starts, "{tolerance}");
    }
}

/// As in Java, where one request comes after the other: nobody hears that a connector which is being
/// deleted is not there, or is still there.
#[tokio::test]
async fn a_connector_that_is_being_deleted_can_be_made_anew() {
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &[SHORT_GRACE]).await;
    let worker = fixture.worker();
    for replace in [true, false] {
        fixture.source("anew", "anew", 5, &[]).await;
        fixture.wait_for_task("anew", 0, State::Running).await;
        lock(&shared("anew")).faults.insert("stop", (1, Fault::Hang));
        let make = worker.put_connector("anew", config("anew"), None, replace);
        let (deleted, made) = tokio::join!(biased; worker.delete_connector("anew"), make);
        deleted.unwrap();
        assert!(made.unwrap().0, "it is a new one");
        assert_eq!(worker.connectors().await.unwrap(), ["anew"]);
        fixture.wait_for_task("anew", 0, State::Running).await;
    }
}

#[tokio::test]
async fn a_connector_that_never_starts_can_be_deleted() {
    let fixture = Fixture::start().await;
    lock(&shared("unborn")).faults.insert("connector", (1, Fault::Hang));
    let worker = fixture.worker();
    let created = worker.put_connector("unborn", config("unborn"), None, false);
    let delete = async {
        let hangs = || lock(&shared("unborn")).faults["connector"].0 == 0;
        until("the connector to hang", async || hangs()).await;
        worker.delete_connector("unborn").await
    };
    let both = timeout(Duration::from_secs(10), async { tokio::join!(created, delete) });
    let (created, deleted) = both.await.expect("both are answered");
    assert!(created.is_err());
    deleted.unwrap();
    worker.put_connector("unborn", config("unborn"), None, false).await.unwrap();
    fixture.wait_for_task("unborn", 0, State::Running).await;
}

/// A connector that hangs gives way to whatever replaces it: another configuration, a restart or
/// a stop. As long as a connector may take to stop, it is waited for.
#[tokio::test]
async fn a_connector_that_never_starts_gives_way() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    let hang = async |name: &'static str, call: &'static str| {
        lock(&shared(name)).faults.insert(call, (1, Fault::Hang));
        let created = worker.put_connector(name, config(name), None, false).await;
        let error = created.unwrap_err().to_string();
        assert!(error.contains("was given up"), "{error}");
    };
    let hangs = async |name: &'static str, call: &'static str| {
        let begun = || lock(&shared(name)).faults.get(call).is_some_and(|(left, _)| *left == 0);
        until("the connector to hang", async || begun()).await;
    };
    let edited = async {
        hangs("hung-put", "connector").await;
        worker.put_connector("hung-put", config("hung-put"), None, true).await.map(drop)
    };
    let restarted = async {
        hangs("hung-restart", "task_configs").await;
        worker.restart("hung-restart", RestartRequest::default()).await.map(drop)
    };
    let planned = async {
        hangs("hung-plan", "connector").await;
        until("a status", async || {
            let request = RestartRequest { include_tasks: true, only_failed: false };
            worker.set_target_state("hung-plan", TargetState::Paused).await.unwrap();
            worker.restart("hung-plan", request).await.is_ok()
        })
        .await;
        worker.set_target_state("hung-plan", TargetState::Started).await
    };
    let stopped = async {
        hangs("hung-stop", "connector").await;
        worker.set_target_state("hung-stop", TargetState::Stopped).await?;
        worker.set_target_state("hung-stop", TargetState::Started).await
    };
    let all = async {
        tokio::join!(
            hang("hung-put", "connector"),
            hang("hung-restart", "task_configs"),
            hang("hung-plan", "connector"),
            hang("hung-stop", "connector"),
            async { edited.await.unwrap() },
            async { restarted.await.unwrap() },
            async { planned.await.unwrap() },
            async { stopped.await.unwrap() },
        )
    };
    timeout(Duration::from_secs(15), all).await.expect("all are answered");
    for name in ["hung-put", "hung-restart", "hung-plan", "hung-stop"] {
        fixture.wait_for_task(name, 0, State::Running).await;
    }
}

/// What panics while it is asked about a patch costs that patch alone.
#[tokio::test]
async fn a_connector_that_panics_at_a_patch_is_still_obeyed() {
    let fixture = Fixture::start().await;
    fixture.source("careless", "careless", 5, &[]).await;
    fixture.wait_for_task("careless", 0, State::Running).await;
    lock(&shared("careless")).faults.insert("validate", (1, Fault::Panic));
    let worker = fixture.worker();
    let patch = || [("count".to_owned(), Some("9".to_owned()))].into();
    let refused = worker.patch_connector("careless", patch()).await.unwrap_err();
    assert!(refused.to_string().contains("validate panics"), "{refused}");
    assert_eq!(worker.connector_info("careless").await.unwrap().config["count"], "5");
    worker.patch_connector("careless", patch()).await.unwrap();
    until("four more", async || fixture.end_offset("careless").await == 9).await;
}

/// A connector may ask its system whether a configuration works; who waits for that waits alone.
#[tokio::test]
async fn a_system_that_refuses_is_an_error_at_its_key_and_one_that_hangs_holds_up_nobody() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    let topic = |infos: &millrace_api::config::ConfigInfos| {
        let values = infos.configs.iter().filter_map(|config| config.value.clone());
        values.into_iter().find(|value| value.name == "topic").expect("it is a key")
    };
    let infos = worker.validate(&config("asks"), &[]).await.unwrap();
    assert_eq!(infos.error_count, 0);
    assert_eq!(topic(&infos).recommended_values, ["suggested"]);

    lock(&shared("asks")).faults.insert("verify", (2, Fault::Fatal));
    let mut wrong = config("asks");
    wrong.insert("tasks.max".to_owned(), "none".to_owned());
    let infos = worker.validate(&wrong, &[]).await.unwrap();
    assert!(infos.error_count > 0 && topic(&infos).errors.is_empty(), "it is not asked yet");
    let infos = worker.validate(&config("asks"), &[]).await.unwrap();
    assert_eq!(infos.error_count, 1);
    assert_eq!(topic(&infos).errors, ["verify cannot go on"]);
    let refused = worker.put_connector("asks", config("asks"), None, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("verify cannot go on"), "{refused}");

    lock(&shared("asks")).faults.insert("verify", (1, Fault::Panic));
    assert!(worker.validate(&config("asks"), &[]).await.is_err());
    lock(&shared("asks")).faults.insert("verify", (1, Fault::Hang));
    let hanging_config = config("asks");
    let mut hanging = pin!(worker.validate(&hanging_config, &[]));
    let hangs = until("it to hang", async || lock(&shared("asks")).faults["verify"].0 == 0);
    tokio::select! {
        _ = &mut hanging => panic!("it hangs"),
        () = hangs => {}
    }
    let others = async {
        worker.put_connector("asks", config("asks"), None, false).await.unwrap();
        worker.status("asks").await.unwrap();
    };
    timeout(Duration::from_secs(10), others).await.expect("nobody waits for it");
}
