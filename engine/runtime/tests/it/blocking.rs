//! Plugins that block their threads, which no plugin should.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use millrace_api::{Error, ErrorKind};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::{Herder, TargetState};
use tokio::time::timeout;

use crate::fixture::{Fixture, SHORT_GRACE, props, until};
use crate::plugins::{Fault, lock, shared};

/// The threads are blocked for longer.
const WAIT: Duration = Duration::from_secs(10);

/// As many tasks as there are threads for plugins, each of which blocks its own until it is
/// released.
async fn blocked(name: &str) -> Fixture {
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &[SHORT_GRACE]).await;
    let threads = available_parallelism().map_or(2, NonZero::get).max(2);
    let shared = shared(name);
    lock(&shared).tasks = threads;
    lock(&shared).faults.insert("poll", (threads, Fault::Block));
    fixture.source(name, name, 1_000_000, &[("tasks.max", &threads.to_string())]).await;
    until("all to be blocked", async || lock(&shared).faults["poll"].0 == 0).await;
    fixture
}

#[tokio::test]
async fn a_blocked_thread_slows_no_answer() {
    let fixture = blocked("blocking").await;
    let worker = fixture.worker();
    let config =
        props(&[("name", "unblocked"), ("connector.class", "CountingSource"), ("topic", "x")]);
    let answers = async {
        assert_eq!(worker.connectors().await?, ["blocking"]);
        worker.health().await?;
        worker.connector_info("blocking").await?;
        worker.status("blocking").await?;
        worker.validate(&config, &[]).await?;
        worker.offsets("blocking").await?;
        worker.active_topics("blocking").await?;
        worker.put_connector("unblocked", config.clone(), None, false).await?;
        assert_eq!(lock(&shared("unblocked")).starts, 1);
        worker.set_target_state("blocking", TargetState::Paused).await?;
        worker.set_target_state("blocking", TargetState::Stopped).await?;
        worker.delete_connector("blocking").await?;
        Ok::<_, Error>(())
    };
    let answers = timeout(WAIT, answers).await;
    answers.expect("all answer while the threads are blocked").unwrap();
    lock(&shared("blocking")).is_released = true;
}

/// A thread that is blocked ends with its process: nothing else waits for it.
#[tokio::test]
async fn a_blocked_thread_does_not_keep_a_worker_from_ending() {
    let mut fixture = blocked("blocks-the-end").await;
    timeout(WAIT, fixture.stop_worker()).await.expect("the threads are not waited for");
    lock(&shared("blocks-the-end")).is_released = true;
}

/// A connector that comes while the worker stops would be left behind.
#[tokio::test]
async fn a_worker_that_stops_takes_no_connectors() {
    let fixture = Fixture::start().await;
    let worker = fixture.worker();
    worker.health().await.unwrap();
    worker.stop().await;
    let config = props(&[("name", "late"), ("connector.class", "CountingSource"), ("topic", "t")]);
    let late = worker.put_connector("late", config, None, false).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Retriable);
    assert_eq!(worker.health().await.unwrap_err().kind(), ErrorKind::Retriable);
    assert_eq!(lock(&shared("late")).starts, 0);
}
