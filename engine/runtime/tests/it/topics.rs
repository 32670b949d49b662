//! Which topics connectors use (KIP-558).

use std::sync::Arc;

use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::{Herder, State};

use crate::fixture::{Fixture, until};

async fn topics(fixture: &Fixture, name: &str) -> Vec<String> {
    fixture.worker().active_topics(name).await.unwrap()
}

async fn wait_for(fixture: &Fixture, name: &str, expected: &[&str]) {
    let what = format!("{name} to use {expected:?}");
    until(&what, async || topics(fixture, name).await == expected).await;
}

/// A sink uses the topic that a record came from, whatever its transformations make of it; a source
/// the topic that it was sent to.
#[tokio::test]
async fn topics_are_those_that_records_went_to_and_came_from() {
    let fixture = Fixture::start().await;
    fixture.create_topic("tracked-a", 1).await;
    fixture.create_topic("tracked-empty", 1).await;
    let rename = [
        ("transforms", "to"),
        ("transforms.to.type", "test.DropEndingIn"),
        ("transforms.to.marker", "-0"),
    ];
    fixture.source("tracked-source", "tracked-a", 5, &rename).await;
    fixture.sink("tracked-sink", "tracked-a,tracked-empty", &[]).await;
    wait_for(&fixture, "tracked-source", &["tracked-a"]).await;
    wait_for(&fixture, "tracked-sink", &["tracked-a"]).await;
    let worker = fixture.worker();
    worker.reset_active_topics("tracked-sink").await.unwrap();
    assert!(topics(&fixture, "tracked-sink").await.is_empty());
    assert_eq!(topics(&fixture, "tracked-source").await, ["tracked-a"]);
    // What is used after a reset comes again, from the same task.
    fixture.source("tracked-more", "tracked-empty", 5, &[]).await;
    wait_for(&fixture, "tracked-sink", &["tracked-empty"]).await;
    worker.delete_connector("tracked-source").await.unwrap();
    assert!(topics(&fixture, "tracked-source").await.is_empty());
    fixture.source("tracked-source", "tracked-a", 0, &[]).await;
    fixture.wait_for_task("tracked-source", 0, State::Running).await;
    assert!(topics(&fixture, "tracked-source").await.is_empty(), "a namesake is another one");
    worker.reset_active_topics("nobody").await.unwrap();
    assert!(topics(&fixture, "nobody").await.is_empty());
}

#[tokio::test]
async fn topics_are_not_tracked_when_told_so() {
    let off = [("topic.tracking.enable", "false")];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &off).await;
    fixture.source("untracked", "untracked", 5, &[]).await;
    until("the records", async || fixture.end_offset("untracked").await == 5).await;
    fixture.worker().delete_connector("untracked").await.unwrap();
    assert!(topics(&fixture, "untracked").await.is_empty());
}
