//! Topics of sources are created as `topic.creation.*` says, before the first record.

use std::sync::Arc;

use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::{Herder, State};

use crate::fixture::{Fixture, props, until};

const THREE_PARTITIONS: [(&str, &str); 2] = [
    ("topic.creation.default.replication.factor", "-1"),
    ("topic.creation.default.partitions", "3"),
];

async fn partitions(fixture: &Fixture, topic: &str) -> Option<i32> {
    fixture.cluster.describe_topics(Some(&[topic])).await.unwrap().get(topic).copied()
}

/// All records of a topic whose partitions take turns.
async fn count(fixture: &Fixture, topic: &str, partitions: i32) -> i64 {
    let all: Vec<_> =
        (0..partitions).map(|p| millrace_api::TopicPartition::new(topic, p)).collect();
    fixture.cluster.end_offsets(&all).await.map_or(0, |ends| ends.values().sum())
}

#[tokio::test]
async fn a_new_topic_is_as_its_group_says() {
    let fixture = Fixture::start().await;
    let mut keys = THREE_PARTITIONS.to_vec();
    keys.extend([
        ("topic.creation.groups", "small"),
        ("topic.creation.small.include", "grouped-.*"),
        ("topic.creation.small.partitions", "2"),
        ("topic.creation.small.retention.ms", "86400000"),
    ]);
    for (topic, expected) in [("created", 3), ("grouped-1", 2)] {
        fixture.source(topic, topic, 20, &keys).await;
        until("all records", async || count(&fixture, topic, expected).await == 20).await;
        assert_eq!(partitions(&fixture, topic).await, Some(expected), "{topic}");
    }
}

#[tokio::test]
async fn a_topic_that_exists_is_left_alone() {
    let fixture = Fixture::start().await;
    fixture.create_topic("there", 1).await;
    fixture.source("there", "there", 5, &THREE_PARTITIONS).await;
    until("all records", async || fixture.end_offset("there").await == 5).await;
    assert_eq!(partitions(&fixture, "there").await, Some(1));
}

#[tokio::test]
async fn a_worker_may_leave_topics_to_the_broker() {
    let cluster = Arc::new(EmbeddedCluster::in_memory());
    let fixture = Fixture::start_on(cluster, &[("topic.creation.enable", "false")]).await;
    fixture.source("left", "left", 5, &THREE_PARTITIONS).await;
    until("all records", async || fixture.end_offset("left").await == 5).await;
    assert_eq!(partitions(&fixture, "left").await, Some(1));
}

#[tokio::test]
async fn what_is_wrong_with_a_group_fails_the_connector() {
    let fixture = Fixture::start().await;
    for (name, key, value, complaint) in [
        (
            "no-factor",
            "topic.creation.default.partitions",
            "1",
            "Missing required configuration \"topic.creation.default.replication.factor\"",
        ),
        (
            "no-partitions",
            "topic.creation.default.replication.factor",
            "0",
            "Invalid value 0 for configuration replication.factor: Replication factor must be positive",
        ),
    ] {
        let config = props(&[
            ("name", name),
            ("connector.class", "CountingSource"),
            ("topic", name),
            ("count", "5"),
            (key, value),
        ]);
        let refused = fixture.worker().put_connector(name, config, None, false).await.unwrap_err();
        assert!(refused.message().starts_with(complaint), "{refused}");
        let status = fixture.status(name).await;
        assert_eq!(status.connector.status.state, State::Failed);
        assert!(status.tasks.is_empty());
        assert_eq!(partitions(&fixture, name).await, None);
    }
}

#[tokio::test]
async fn a_topic_that_cannot_be_created_fails_the_task() {
    let fixture = Fixture::start().await;
    let mut keys = THREE_PARTITIONS.to_vec();
    keys.push(("topic.creation.default.cleanup.policy", "no-such-policy"));
    fixture.source("refused", "refused", 5, &keys).await;
    fixture.wait_for_task("refused", 0, State::Failed).await;
    let trace = fixture.status("refused").await.tasks[0].status.trace.clone().unwrap();
    assert!(trace.contains("Task failed to create new topic refused"), "{trace}");
}
