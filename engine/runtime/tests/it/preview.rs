//! What a preview shows, and that nothing is left of it.

use millrace_runtime::{Catalog, Preview, Previewed, WorkerConfig};

use crate::fixture::{Fixture, STRING, props};
use crate::plugins::{Event, Fault, lock, plugins, shared};

fn preview(servers: &str) -> Preview {
    let worker = props(&[
        ("bootstrap.servers", servers),
        ("key.converter", STRING),
        ("value.converter", STRING),
        ("offset.storage.file.filename", "/dev/null"),
    ]);
    Preview::new(WorkerConfig::parse(worker).unwrap(), Catalog::new(plugins()))
}

fn values(shown: Previewed) -> Vec<String> {
    match shown {
        Previewed::Actions(actions) => actions,
        Previewed::Records(runs) => {
            let rows = runs.iter().flat_map(|run| run.value.rows().unwrap().into_owned());
            rows.map(|value| value.to_string()).collect()
        }
    }
}

#[tokio::test]
async fn a_source_shows_records_of_all_its_tasks_transformed() {
    lock(&shared("shown")).tasks = 2;
    let config = props(&[
        ("name", "shown"),
        ("connector.class", "CountingSource"),
        ("topic", "shown"),
        ("count", "100"),
        ("transforms", "drop"),
        ("transforms.drop.type", "test.DropEndingIn"),
        ("transforms.drop.marker", "-1"),
    ]);
    let preview = preview("embedded:");
    let shown = values(preview.of(&config, 5).await.unwrap());
    assert_eq!(shown, ["shown-0-0", "shown-0-2", "shown-1-0"]);
    assert_eq!(lock(&shared("shown")).commits, 0);
    lock(&shared("shown")).faults.insert("verify", (1, Fault::Fatal));
    let refused = preview.of(&config, 5).await.unwrap_err().to_string();
    assert_eq!(refused, "verify cannot go on (key: topic)");
}

#[tokio::test]
async fn a_sink_shows_what_it_would_do_with_the_first_records() {
    let log = tempfile::tempdir().unwrap();
    let servers = format!("embedded:{}", log.path().display());
    let config =
        props(&[("name", "would"), ("connector.class", "RecordingSink"), ("topics", "would")]);
    let missing = preview(&servers).of(&config, 3).await.unwrap_err().to_string();
    assert_eq!(missing, "the topic is not there (topic: would)");
    {
        let cluster = [("bootstrap.servers".to_owned(), servers.clone())].into();
        let cluster = millrace_kafka::connect(&cluster).unwrap();
        let mut fixture = Fixture::start_on(cluster, &[]).await;
        fixture.source("before", "would", 40, &[]).await;
        crate::fixture::until("the records", async || fixture.end_offset("would").await == 40)
            .await;
        fixture.stop_worker().await;
    }
    for _ in 0..2 {
        let shown = values(preview(&servers).of(&config, 3).await.unwrap());
        assert_eq!(
            shown,
            ["would write before-0-0", "would write before-0-1", "would write before-0-2"]
        );
    }
    assert!(!lock(&shared("would")).events.iter().any(|e| matches!(e, Event::Put(..))));
    let cluster = [("bootstrap.servers".to_owned(), servers)].into();
    let cluster = millrace_kafka::connect(&cluster).unwrap();
    assert!(cluster.group_offsets("connect-would").await.unwrap().is_empty());
}
