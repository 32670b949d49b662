//! A producer without room, and one that is slow: what a task that is stopped meanwhile commits.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::Result;
use millrace_kafka::{Acknowledge, Cluster, Outgoing, Producer};
use millrace_runtime::{Herder, State};
use tokio::time::timeout;

use crate::clusters::{Rest, with_producers};
use crate::fixture::{Fixture, until};
use crate::plugins::{Fault, lock, shared};

/// What producers do with a run.
#[derive(Clone, Copy)]
enum Habit {
    /// They have no room for a whole run.
    NoRoom,
    /// They acknowledge it after a while.
    Slow,
}

struct FullProducer(Habit, Arc<AtomicBool>);

#[async_trait]
impl Producer for FullProducer {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        let rows = records.values.iter().count();
        self.1.store(true, Ordering::SeqCst);
        match self.0 {
            Habit::NoRoom => {
                ack.acknowledged(1);
                let _rest = Rest(ack, rows - 1);
                pending().await
            }
            _ => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    ack.acknowledged(rows);
                });
                Ok(())
            }
        }
    }

    async fn flush(&mut self, _timeout: Duration) -> Result<()> {
        Ok(())
    }
}

/// The log in memory, with producers of this habit, which tell when they were given a run.
fn full(habit: Habit, is_full: &Arc<AtomicBool>) -> Arc<dyn Cluster> {
    let is_full = Arc::clone(is_full);
    with_producers(move |_| Box::new(FullProducer(habit, Arc::clone(&is_full))))
}

/// With `errors.tolerance=all` records that could not be sent count as done. Those that were never
/// tried, because the task was told to stop, must not.
#[tokio::test]
async fn records_that_found_no_room_are_not_committed() {
    let is_full = Arc::new(AtomicBool::new(false));
    let cluster = full(Habit::NoRoom, &is_full);
    let mut fixture = Fixture::start_on(cluster, &[]).await;
    fixture.source("full", "full", 10, &[("errors.tolerance", "all")]).await;
    until("the producer to be full", async || is_full.load(Ordering::SeqCst)).await;
    let stop = timeout(Duration::from_secs(10), fixture.stop_worker());
    stop.await.expect("a task that waits for room can be stopped");
    assert!(!fixture.offset_file().exists(), "nothing of the run may be committed");
}

/// A panic while a run is being sent drops the send, whose rest was never tried either.
#[tokio::test]
async fn a_panic_commits_nothing_of_a_run_that_found_no_room() {
    let is_full = Arc::new(AtomicBool::new(false));
    let cluster = full(Habit::NoRoom, &is_full);
    let fixture = Fixture::start_on(cluster, &[]).await;
    fixture.source("full-panics", "full", 10, &[("errors.tolerance", "all")]).await;
    until("the producer to be full", async || is_full.load(Ordering::SeqCst)).await;
    lock(&shared("full-panics")).faults.insert("commit", (1, Fault::Panic));
    fixture.wait_for_task("full-panics", 0, State::Failed).await;
    let committed = fixture.worker().offsets("full-panics").await.unwrap();
    assert!(committed.is_empty(), "nothing of the run may be committed");
}

/// What was sent before a task is told to stop is waited for, and committed.
#[tokio::test]
async fn records_in_flight_are_committed_before_a_task_ends() {
    let is_full = Arc::new(AtomicBool::new(false));
    let cluster = full(Habit::Slow, &is_full);
    let mut fixture = Fixture::start_on(cluster, &[]).await;
    fixture.source("slow", "slow", 10, &[]).await;
    until("a run to be sent", async || is_full.load(Ordering::SeqCst)).await;
    fixture.stop_worker().await;
    fixture.start_worker().await;
    fixture.source("slow", "slow", 10, &[]).await;
    let offsets = fixture.worker().offsets("slow").await.unwrap();
    assert_eq!(offsets[0].offset.as_ref().unwrap()["next"], 10);
}
