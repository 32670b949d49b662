//! Offsets that clients read, set and delete (KIP-875). Messages were recorded from Java.

use millrace_api::{ErrorKind, OffsetControl};
use millrace_runtime::{ConnectorOffset, Herder, State, TargetState};
use serde_json::{Value as Json, json};
use tokio::time::{Duration, timeout};

use crate::fixture::{Fixture, props, until};
use crate::plugins::{Fault, lock, shared};

const ALTERED: &str = "The offsets for this connector have been altered successfully";
const RESET: &str = "The offsets for this connector have been reset successfully";

fn offset(partition: Json, offset: Json) -> ConnectorOffset {
    let map = |json: Json| json.as_object().cloned();
    ConnectorOffset { partition: map(partition), offset: map(offset) }
}

async fn offsets(fixture: &Fixture, name: &str) -> Json {
    let offsets = fixture.worker().offsets(name).await.unwrap();
    serde_json::to_value(offsets).unwrap()
}

async fn stop(fixture: &Fixture, name: &str) {
    fixture.worker().set_target_state(name, TargetState::Stopped).await.unwrap();
}

#[tokio::test]
async fn offsets_of_a_source_are_read_set_and_deleted() {
    let fixture = Fixture::start().await;
    fixture.source("altered", "altered", 20, &[]).await;
    let at = |next: i64| json!([{"partition": {"task": 0}, "offset": {"next": next}}]);
    until("the commit", async || offsets(&fixture, "altered").await == at(20)).await;
    stop(&fixture, "altered").await;
    let worker = fixture.worker();
    let wanted = || vec![offset(json!({"task": 0}), json!({"next": 15}))];
    assert_eq!(worker.alter_offsets("altered", wanted()).await.unwrap(), ALTERED);
    assert_eq!(offsets(&fixture, "altered").await, at(15));
    assert_eq!(lock(&shared("altered")).altered, [r#"[[{"task":0},{"next":15}]]"#]);
    // What is set is where the source goes on.
    worker.set_target_state("altered", TargetState::Started).await.unwrap();
    until("five records again", async || fixture.end_offset("altered").await == 25).await;
    stop(&fixture, "altered").await;
    for _ in 0..2 {
        assert_eq!(worker.reset_offsets("altered").await.unwrap(), RESET);
        assert_eq!(offsets(&fixture, "altered").await, json!([]));
    }
    assert_eq!(lock(&shared("altered")).altered[1..], [r#"[[{"task":0},null]]"#, "[]"]);
    // Partitions that are null are asked about, and store nothing; the last of several counts.
    let odd = vec![
        offset(Json::Null, json!({"next": 1})),
        offset(json!({"task": 7, "x": null}), json!({"next": 1})),
        offset(json!({"x": null, "task": 7}), json!({"next": 2})),
    ];
    assert_eq!(worker.alter_offsets("altered", odd).await.unwrap(), ALTERED);
    let last = json!([{"partition": {"x": null, "task": 7}, "offset": {"next": 2}}]);
    assert_eq!(offsets(&fixture, "altered").await, last);
    let gone = vec![offset(json!({"task": 7, "x": null}), Json::Null)];
    worker.alter_offsets("altered", gone).await.unwrap();
    assert_eq!(offsets(&fixture, "altered").await, json!([]));
}

#[tokio::test]
async fn offsets_of_a_sink_are_those_of_its_group() {
    let fixture = Fixture::start().await;
    fixture.source("sunk-source", "sunk", 20, &[]).await;
    let own = [("consumer.override.group.id", "a-group-of-its-own")];
    for (name, extra) in [("sunk", &[][..]), ("sunk-own", &own[..])] {
        fixture.sink(name, "sunk", extra).await;
        let at = |next: i64| {
            json!([{
                "partition": {"kafka_partition": 0, "kafka_topic": "sunk"},
                "offset": {"kafka_offset": next}
            }])
        };
        until("the commit", async || offsets(&fixture, name).await == at(20)).await;
        stop(&fixture, name).await;
        let worker = fixture.worker();
        let sunk = || json!({"kafka_topic": "sunk", "kafka_partition": "0"});
        let wanted = vec![offset(sunk(), json!({"kafka_offset": 15}))];
        assert_eq!(worker.alter_offsets(name, wanted).await.unwrap(), ALTERED);
        assert_eq!(offsets(&fixture, name).await, at(15));
        let before = lock(&shared(name)).put_values().len();
        worker.set_target_state(name, TargetState::Started).await.unwrap();
        let again = || lock(&shared(name)).put_values().len() == before + 5;
        until("five records again", async || again()).await;
        until("their commit", async || offsets(&fixture, name).await == at(20)).await;
        stop(&fixture, name).await;
        let negative = vec![offset(sunk(), json!({"kafka_offset": -1}))];
        let refused = worker.alter_offsets(name, negative).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Fatal);
        let message = format!("Failed to modify offsets for sink connector {name}");
        assert_eq!(refused.to_string(), message);
        for _ in 0..2 {
            assert_eq!(worker.reset_offsets(name).await.unwrap(), RESET);
            assert_eq!(offsets(&fixture, name).await, json!([]));
        }
    }
    assert!(fixture.committed("connect-sunk-own", "sunk").await.is_none());
}

/// Who else is in the group keeps it from being changed, and is named as Java does.
#[tokio::test]
async fn a_group_with_members_is_not_changed() {
    let fixture = Fixture::start().await;
    fixture.create_topic("crowded", 1).await;
    fixture.sink("crowded", "crowded", &[("consumer.override.group.id", "crowd")]).await;
    fixture.sink("other", "crowded", &[("consumer.override.group.id", "crowd")]).await;
    until("the other to be a member", async || {
        !lock(&shared("other")).events.is_empty() || !lock(&shared("crowded")).events.is_empty()
    })
    .await;
    fixture.wait_for_task("other", 0, State::Running).await;
    stop(&fixture, "crowded").await;
    until("the other to have all", async || !lock(&shared("other")).events.is_empty()).await;
    let worker = fixture.worker();
    let wanted = json!({"kafka_topic": "crowded", "kafka_partition": 0});
    let wanted = vec![offset(wanted, json!({"kafka_offset": 0}))];
    let altered = worker.alter_offsets("crowded", wanted).await.unwrap_err();
    let begin = "Failed to alter consumer group offsets for connector crowded either because its";
    assert!(altered.to_string().starts_with(begin), "{altered}");
    let reset = worker.reset_offsets("crowded").await.unwrap_err();
    let begin = "Failed to reset consumer group offsets for connector crowded either because its";
    assert!(reset.to_string().starts_with(begin), "{reset}");
    assert_eq!((altered.kind(), reset.kind()), (ErrorKind::Fatal, ErrorKind::Fatal));
}

#[tokio::test]
async fn offsets_are_changed_of_stopped_connectors_only() {
    let fixture = Fixture::start().await;
    fixture.source("moving", "moving", 0, &[]).await;
    let worker = fixture.worker();
    for state in [TargetState::Started, TargetState::Paused] {
        worker.set_target_state("moving", state).await.unwrap();
        for refused in
            [worker.alter_offsets("moving", vec![]).await, worker.reset_offsets("moving").await]
        {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Config);
            assert_eq!(
                refused.to_string(),
                "Connectors must be in the STOPPED state before their offsets can be modified. \
                 This can be done for the specified connector by issuing a 'PUT' request to the \
                 '/connectors/moving/stop' endpoint"
            );
        }
    }
    let unknown = [
        worker.offsets("nobody").await.map(drop),
        worker.alter_offsets("nobody", vec![]).await.map(drop),
        worker.reset_offsets("nobody").await.map(drop),
    ];
    for unknown in unknown {
        let unknown = unknown.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert_eq!(unknown.to_string(), "Connector nobody not found");
    }
}

#[tokio::test]
async fn a_connector_has_a_say_in_changes_of_its_offsets() {
    let fixture = Fixture::start().await;
    fixture.source("opinion", "opinion", 0, &[]).await;
    stop(&fixture, "opinion").await;
    let worker = fixture.worker();
    let wanted = || vec![offset(json!({"task": 0}), json!({"next": 3}))];
    lock(&shared("opinion")).control = Some(OffsetControl::Refused);
    let refused = worker.alter_offsets("opinion", wanted()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fatal);
    assert_eq!(
        refused.to_string(),
        "Failed to modify offsets for connector opinion because it doesn't support external \
         modification of offsets"
    );
    for (fault, said) in [
        (Fault::Fatal, "alter cannot go on"),
        (Fault::Retriable, "Failed to modify offsets for source connector opinion"),
        (Fault::Panic, "the plugin panicked (panic: alter panics, callback: alterOffsets)"),
    ] {
        lock(&shared("opinion")).faults.insert("alter", (1, fault));
        let refused = worker.alter_offsets("opinion", wanted()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.to_string()), (ErrorKind::Fatal, said.to_owned()));
    }
    assert_eq!(offsets(&fixture, "opinion").await, json!([]), "what is refused is not done");
    lock(&shared("opinion")).control = Some(OffsetControl::Unknown);
    let said = worker.alter_offsets("opinion", wanted()).await.unwrap();
    assert_eq!(
        said,
        "The Connect framework-managed offsets for this connector have been altered \
         successfully. However, if this connector manages offsets externally, they will need to \
         be manually altered in the system that the connector uses."
    );
    let nested = vec![offset(json!({"task": {"a": 1}}), json!({"next": 3}))];
    let nested = worker.alter_offsets("opinion", nested).await.unwrap_err();
    assert_eq!(nested.kind(), ErrorKind::Data);
}

#[tokio::test]
async fn a_connector_that_hangs_over_its_offsets_can_be_deleted() {
    let fixture = Fixture::start().await;
    fixture.source("brooding", "brooding", 0, &[]).await;
    stop(&fixture, "brooding").await;
    lock(&shared("brooding")).faults.insert("alter", (1, Fault::Hang));
    let worker = fixture.worker();
    let delete = async {
        let hangs = || lock(&shared("brooding")).faults["alter"].0 == 0;
        until("the connector to hang", async || hangs()).await;
        worker.delete_connector("brooding").await
    };
    let both = async { tokio::join!(worker.reset_offsets("brooding"), delete) };
    let (reset, deleted) = timeout(Duration::from_secs(10), both).await.unwrap();
    reset.unwrap_err();
    deleted.unwrap();
}

/// To have no tasks is not enough: a connector that is paused from the start may be resumed
/// meanwhile.
#[tokio::test]
async fn only_a_stopped_connectors_offsets_are_changed() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    let config =
        props(&[("name", "resting"), ("connector.class", "CountingSource"), ("topic", "resting")]);
    worker.put_connector("resting", config, Some(TargetState::Paused), false).await.unwrap();
    assert!(worker.tasks("resting").await.unwrap().is_empty());
    let refused = worker.reset_offsets("resting").await.unwrap_err();
    assert!(refused.message().contains("must be in the STOPPED state"), "{refused}");
    worker.set_target_state("resting", TargetState::Stopped).await.unwrap();
    worker.reset_offsets("resting").await.unwrap();
}
