//! Configurations that refer to values elsewhere, from their creation to a failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, Props};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{Polled, RawHeaders, Subscription};
use millrace_runtime::{Herder, State};

use crate::fixture::{Fixture, props, until};
use crate::plugins::{lock, shared};

const PROVIDER: [(&str, &str); 2] = [
    ("config.providers", "f"),
    ("config.providers.f.class", "org.apache.kafka.common.config.provider.FileConfigProvider"),
];

async fn fixture() -> Fixture {
    Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &PROVIDER).await
}

/// A source whose topic and count are in the file.
fn config(name: &str, file: &Path) -> Props {
    let variable = |key: &str| format!("${{f:{}:{key}}}", file.display());
    props(&[
        ("name", name),
        ("connector.class", "CountingSource"),
        ("topic", &format!("{name}-{}", variable("topic"))),
        ("count", &variable("count")),
    ])
}

#[tokio::test]
async fn variables_are_resolved_where_they_are_used_and_shown_as_written() {
    let fixture = fixture().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "topic=canary\ncount=7\n").unwrap();
    let raw = config("vars", file.path());
    let worker = fixture.worker();
    let (_, info) = worker.put_connector("vars", raw.clone(), None, false).await.unwrap();
    assert_eq!(info.config, raw);
    until("records to come", async || fixture.end_offset("vars-canary").await == 7).await;
    let tasks = worker.tasks("vars").await.unwrap();
    for key in ["topic", "count"] {
        assert_eq!(tasks[0].config[key], raw[key]);
    }
    let infos = worker.validate(&raw, &[]).await.unwrap();
    assert_eq!(infos.error_count, 0);
    let shown = serde_json::to_string(&infos).unwrap();
    assert!(!shown.contains("canary"), "{shown}");
    // A task that is restarted reads the file again.
    std::fs::write(file.path(), "topic=canary\ncount=9\n").unwrap();
    worker.restart_task("vars", 0).await.unwrap();
    until("two more", async || fixture.end_offset("vars-canary").await == 9).await;
}

#[tokio::test]
async fn failures_do_not_show_values() {
    let fixture = fixture().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "topic=canary\ncount=1\n").unwrap();
    let raw = config("leaky", file.path());
    let worker = fixture.worker();
    worker.put_connector("leaky", raw.clone(), None, false).await.unwrap();
    fixture.wait_for_task("leaky", 0, State::Running).await;

    let context = lock(&shared("leaky")).context.clone().unwrap();
    context.raise_error(Error::fatal("cannot reach canary"));
    let trace = async || fixture.status("leaky").await.connector.status.trace.unwrap_or_default();
    until("the connector to fail", async || !trace().await.is_empty()).await;
    let shown = trace().await;
    assert!(shown.contains("cannot reach ${f:") && !shown.contains("canary"), "{shown}");

    std::fs::write(file.path(), "topic=canary\ncount=canary-2\n").unwrap();
    worker.restart_task("leaky", 0).await.unwrap();
    fixture.wait_for_task("leaky", 0, State::Failed).await;
    let shown = worker.task_status("leaky", 0).await.unwrap().status.trace.unwrap();
    assert!(shown.contains(&format!("Invalid value {} for", raw["count"])), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");

    let infos = worker.validate(&raw, &[]).await.unwrap();
    let shown = serde_json::to_string(&infos).unwrap();
    assert!(infos.error_count > 0 && !shown.contains("canary"), "{shown}");
    let refused = worker.put_connector("leaky", raw, None, true).await.unwrap_err().to_string();
    assert!(refused.contains("Not a number") && !refused.contains("canary"), "{refused}");

    let gone = config("gone", Path::new("/no/such"));
    let refused = worker.put_connector("gone", gone, None, false).await.unwrap_err();
    assert_eq!(refused.message(), "Could not read properties from file /no/such");
}

/// Dead letters are read by others.
#[tokio::test]
async fn dead_letters_do_not_show_values() {
    let fixture = fixture().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "marker=canary\n").unwrap();
    fixture.source("dead-source", "dead", 3, &[]).await;
    let marker = format!("${{f:{}:marker}}", file.path().display());
    let tolerant = [
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", &marker),
        ("transforms.d.poison", "1"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    fixture.sink("dead-sink", "dead", &tolerant).await;
    let group = BTreeMap::from([
        ("group.id".to_owned(), "dead-reader".to_owned()),
        ("auto.offset.reset".to_owned(), "earliest".to_owned()),
    ]);
    let mut reader = fixture.cluster.consumer(&group).await.unwrap();
    let topics = Subscription::Topics(vec!["dead-letters".to_owned()]);
    reader.subscribe(&topics).await.unwrap();
    let mut letters: Vec<RawHeaders> = Vec::new();
    until("a dead letter", async || {
        if let Polled::Records(runs) = reader.poll(Duration::from_millis(50)).await.unwrap() {
            letters.extend(runs.into_iter().flat_map(|run| run.headers));
        }
        !letters.is_empty()
    })
    .await;
    let shown = format!("{letters:?}");
    assert!(shown.contains(r"poison\n\t(marker: ${f:") && !shown.contains("canary"), "{shown}");
}
