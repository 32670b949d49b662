//! A producer without room, and one that is slow: what a task that is stopped meanwhile commits.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, Result, TopicPartition};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{
    Acknowledge, Cluster, ClusterDescription, Consumer, Isolation, NewTopic, OffsetSpec, Outgoing,
    Producer, Properties,
};
use millrace_runtime::{Herder, State};
use tokio::time::timeout;

use crate::fixture::{Fixture, until};
use crate::plugins::{Fault, lock, shared};

/// The log in memory, with producers that are told to send, and never do it.
struct Full {
    inner: EmbeddedCluster,
    /// What its producers do with a run.
    habit: Habit,
    /// Whether they were given one.
    is_full: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
enum Habit {
    /// They have no room for a whole run.
    NoRoom,
    /// They acknowledge it after a while.
    Slow,
    /// They keep what goes to `letters` for themselves, and write all else.
    KeepsLetters,
    /// They have no room for what goes to `letters`.
    NoRoomForLetters,
}

/// Writes what is no letter.
struct Keeper(Box<dyn Producer>, Arc<AtomicBool>, Habit);

#[async_trait]
impl Producer for Keeper {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        if &*records.topic != "letters" {
            return self.0.send(records, ack).await;
        }
        self.1.store(true, Ordering::SeqCst);
        if let Habit::NoRoomForLetters = self.2 {
            let _rest = Rest(ack, records.values.iter().count());
            pending::<()>().await;
        }
        Ok(())
    }

    async fn flush(&mut self, timeout: Duration) -> Result<()> {
        if self.1.load(Ordering::SeqCst) {
            tokio::time::sleep(timeout).await;
            return Err(Error::retriable("they are still here"));
        }
        Ok(())
    }
}

struct FullProducer(Habit, Arc<AtomicBool>);

/// Rows that found no room; given up they are lost, as the librdkafka producer reports them.
struct Rest(Arc<dyn Acknowledge>, usize);

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.failed(self.1, &Error::fatal("the send was given up"));
    }
}

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

type Offsets = BTreeMap<TopicPartition, i64>;

#[async_trait]
impl Cluster for Full {
    async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>> {
        self.inner.group_offsets(group).await
    }

    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        self.inner.alter_group_offsets(group, offsets).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        self.inner.delete_group(group).await
    }

    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>> {
        if let Habit::KeepsLetters | Habit::NoRoomForLetters = self.habit {
            let inner = self.inner.producer(properties).await?;
            return Ok(Box::new(Keeper(inner, Arc::clone(&self.is_full), self.habit)));
        }
        Ok(Box::new(FullProducer(self.habit, Arc::clone(&self.is_full))))
    }

    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>> {
        self.inner.consumer(properties).await
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        self.inner.describe_cluster().await
    }

    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>> {
        self.inner.describe_topics(topics).await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        self.inner.create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.inner.delete_topic(topic).await
    }

    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Offsets> {
        self.inner.list_offsets(partitions, spec, isolation).await
    }

    async fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Offsets> {
        self.inner.committed(group, partitions).await
    }
}

/// With `errors.tolerance=all` records that could not be sent count as done. Those that were never
/// tried, because the task was told to stop, must not.
#[tokio::test]
async fn records_that_found_no_room_are_not_committed() {
    let is_full = Arc::new(AtomicBool::new(false));
    let inner = EmbeddedCluster::in_memory();
    let cluster = Arc::new(Full { inner, habit: Habit::NoRoom, is_full: Arc::clone(&is_full) });
    let patience = [("task.shutdown.graceful.timeout.ms", "30000")];
    let mut fixture = Fixture::start_on(cluster, &patience).await;
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
    let inner = EmbeddedCluster::in_memory();
    let cluster = Arc::new(Full { inner, habit: Habit::NoRoom, is_full: Arc::clone(&is_full) });
    let fixture = Fixture::start_on(cluster, &[]).await;
    lock(&shared("full-panics")).faults.insert("commit", (1, Fault::Panic));
    fixture.source("full-panics", "full", 10, &[("errors.tolerance", "all")]).await;
    fixture.wait_for_task("full-panics", 0, State::Failed).await;
    assert!(is_full.load(Ordering::SeqCst), "it was sending");
    let committed = fixture.worker().offsets("full-panics").await.unwrap();
    assert!(committed.is_empty(), "nothing of the run may be committed");
}

/// What was sent before a task is told to stop is waited for, and committed.
#[tokio::test]
async fn records_in_flight_are_committed_before_a_task_ends() {
    let is_full = Arc::new(AtomicBool::new(false));
    let inner = EmbeddedCluster::in_memory();
    let cluster = Arc::new(Full { inner, habit: Habit::Slow, is_full: Arc::clone(&is_full) });
    let mut fixture = Fixture::start_on(cluster, &[]).await;
    fixture.source("slow", "slow", 10, &[]).await;
    until("a run to be sent", async || is_full.load(Ordering::SeqCst)).await;
    fixture.stop_worker().await;
    fixture.start_worker().await;
    fixture.source("slow", "slow", 10, &[]).await;
    let offsets = fixture.worker().offsets("slow").await.unwrap();
    assert_eq!(offsets[0].offset.as_ref().unwrap()["next"], 10);
}

/// Ten records, one of them poison, through a cluster that never says that it has the letter.
#[tokio::test]
async fn no_offset_moves_before_a_dead_letter_has_arrived() {
    let is_kept = Arc::new(AtomicBool::new(false));
    let inner = EmbeddedCluster::in_memory();
    let habit = Habit::KeepsLetters;
    let cluster = Arc::new(Full { inner, habit, is_full: Arc::clone(&is_kept) });
    let mut fixture = Fixture::start_on(cluster, &[("offset.flush.timeout.ms", "100")]).await;
    let poison = [
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", "none"),
        ("transforms.d.poison", "-5"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
    ];
    fixture.source("keeps", "kept", 10, &poison).await;
    until("nine records", async || fixture.end_offset("kept").await == 9).await;
    until("the letter", async || is_kept.load(Ordering::SeqCst)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(fixture.worker().offsets("keeps").await.unwrap().is_empty());

    is_kept.store(false, Ordering::SeqCst);
    fixture.source("plain", "plain", 10, &[]).await;
    fixture.sink("keeps-sink", "plain", &poison).await;
    until("nine puts", async || lock(&shared("keeps-sink")).put_values().len() == 9).await;
    assert!(is_kept.load(Ordering::SeqCst), "the letter was sent before");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fixture.committed("connect-keeps-sink", "plain").await, None);
    fixture.stop_worker().await;
    assert_eq!(fixture.committed("connect-keeps-sink", "plain").await, None);
    assert!(!fixture.offset_file().exists() || !offsets_name(&fixture, "keeps"));
}

/// The same with a queue that takes no letter: the source is stopped while it waits for room.
#[tokio::test]
async fn a_source_that_waits_for_room_for_its_letters_can_be_stopped() {
    let is_full = Arc::new(AtomicBool::new(false));
    let inner = EmbeddedCluster::in_memory();
    let habit = Habit::NoRoomForLetters;
    let cluster = Arc::new(Full { inner, habit, is_full: Arc::clone(&is_full) });
    let patience = [("task.shutdown.graceful.timeout.ms", "30000")];
    let mut fixture = Fixture::start_on(cluster, &patience).await;
    let poison = crate::errors::letters(&[
        ("transforms", "d"),
        ("transforms.d.type", "test.DropEndingIn"),
        ("transforms.d.marker", "none"),
        ("transforms.d.poison", "-5"),
    ]);
    fixture.source("no-room", "alive", 10, &poison).await;
    until("a letter", async || is_full.load(Ordering::SeqCst)).await;
    let stop = timeout(Duration::from_secs(5), fixture.stop_worker());
    stop.await.expect("a task that waits for room can be stopped");
    assert!(!fixture.offset_file().exists() || !offsets_name(&fixture, "no-room"));
}

fn offsets_name(fixture: &Fixture, connector: &str) -> bool {
    let stored = std::fs::read(fixture.offset_file()).unwrap();
    String::from_utf8_lossy(&stored).contains(&format!("[\"{connector}\""))
}
