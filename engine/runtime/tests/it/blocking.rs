//! Plugins that block their threads, which no plugin should.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use millrace_api::{Error, ErrorKind};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_runtime::{Herder, State, TargetState};
use tokio::time::timeout;

use crate::fixture::{Fixture, props};
use crate::plugins::{lock, shared};

const SOON: Duration = Duration::from_secs(1);

/// As many tasks as there are threads for plugins, each of which blocks its own.
async fn blocked() -> Fixture {
    let patience = [("task.shutdown.graceful.timeout.ms", "500")];
    let fixture = Fixture::start_on(Arc::new(EmbeddedCluster::in_memory()), &patience).await;
    let threads = available_parallelism().map_or(2, NonZero::get).max(2);
    lock(&shared("blocking")).tasks = threads;
    let tasks = threads.to_string();
    let blocking = [("tasks.max", tasks.as_str()), ("block.ms", "4000")];
    fixture.source("blocking", "blocking", 1_000_000, &blocking).await;
    for task in 0..threads {
        fixture.wait_for_task("blocking", task, State::Running).await;
    }
    fixture
}

#[tokio::test]
async fn a_blocked_thread_slows_no_answer() {
    let fixture = blocked().await;
    let worker = fixture.worker();
    let config =
        props(&[("name", "unblocked"), ("connector.class", "CountingSource"), ("topic", "x")]);
    let begun = Instant::now();
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
    let answers = timeout(4 * SOON, answers).await;
    answers.expect("all answer while the threads are blocked").unwrap();
    // The tasks were waited for, half a second, and nothing else was.
    assert!(begun.elapsed() >= SOON / 2, "the threads were not blocked");
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
}

/// A thread that is blocked ends with its process: nothing else waits for it.
#[tokio::test]
async fn a_blocked_thread_does_not_keep_a_worker_from_ending() {
    let mut fixture = blocked().await;
    let begun = Instant::now();
    fixture.stop_worker().await;
    assert!(begun.elapsed() >= SOON / 2, "the threads were not blocked");
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
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
