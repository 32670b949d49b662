//! Polls that are dropped while something of a skipped record is under way, and what is forgotten.

use std::collections::VecDeque;

use millrace_kafka::{Acknowledge, Outgoing, Producer};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::*;
use crate::config::redaction::Redaction;
use crate::metrics::TaskMetrics;
use crate::task::errors::ErrorConfig;
use crate::task::errors::letters::DeadLetters;
use crate::task::{TaskId, Wanted, Wishes};

const SOON: Duration = Duration::from_millis(20);

/// A consumer that has these runs, and a producer, each of which waits until it may go on.
struct Scripted {
    runs: VecDeque<Fetched>,
    may_commit: Arc<Semaphore>,
    commits: Arc<Mutex<Vec<i64>>>,
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn run(offsets: std::ops::Range<i64>) -> Fetched {
    let rows = usize::try_from(offsets.end - offsets.start).unwrap();
    Fetched {
        topic_partition: partition(),
        offsets: offsets.collect(),
        timestamps: vec![0; rows].into(),
        keys: vec![None::<&[u8]>; rows].into_iter().collect(),
        values: vec![Some(&b"x"[..]); rows].into_iter().collect(),
        headers: Vec::new(),
    }
}

#[async_trait]
impl Consumer for Scripted {
    async fn subscribe(&mut self, _subscription: &Subscription) -> Result<()> {
        Ok(())
    }

    async fn assign(&mut self, _partitions: &[(TopicPartition, i64)]) -> Result<()> {
        Ok(())
    }

    async fn poll(&mut self, _timeout: Duration) -> Result<Polled> {
        Ok(Polled::Records(self.runs.pop_front().into_iter().collect()))
    }

    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        Ok(partitions.iter().map(|partition| (partition.clone(), 5)).collect())
    }

    async fn seek(&mut self, _offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        Ok(())
    }

    fn pause(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    fn resume(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.may_commit.acquire().await.unwrap().forget();
        self.commits.lock().unwrap().extend(offsets.values());
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Has room for a letter when it may send, and keeps them.
struct Narrow(Arc<Semaphore>, Arc<Mutex<Vec<Outgoing>>>);

struct Unsent<'a>(&'a Arc<dyn Acknowledge>, bool);

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.failed(1, &Error::fatal("the send was given up"));
        }
    }
}

#[async_trait]
impl Producer for Narrow {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        let mut unsent = Unsent(&ack, false);
        self.0.acquire().await.unwrap().forget();
        unsent.1 = true;
        self.1.lock().unwrap().push(records.clone());
        let ack = Arc::clone(&ack);
        tokio::spawn(async move {
            tokio::time::sleep(3 * SOON).await;
            ack.acknowledged(1);
        });
        Ok(())
    }

    async fn flush(&mut self, _timeout: Duration) -> Result<()> {
        tokio::time::sleep(SOON).await;
        Err(Error::retriable("still under way"))
    }
}

struct Drill {
    consumer: Box<dyn Consumer>,
    skips: Arc<Skips>,
    may_commit: Arc<Semaphore>,
    commits: Arc<Mutex<Vec<i64>>>,
    may_send: Arc<Semaphore>,
    letters: Arc<Mutex<Vec<Outgoing>>>,
    /// Without it the task is told to stop.
    _wanted: watch::Sender<Wanted>,
}

/// Offset 5 of `5..8` is to be skipped; then comes another run.
async fn drill(then: std::ops::Range<i64>) -> Drill {
    let (may_commit, may_send) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (commits, letters) = (Arc::default(), Arc::default());
    let scripted = Scripted {
        runs: [run(5..8), run(then)].into(),
        may_commit: Arc::clone(&may_commit),
        commits: Arc::clone(&commits),
    };
    let metrics = TaskMetrics::apart();
    let narrow = Box::new(Narrow(Arc::clone(&may_send), Arc::clone(&letters)));
    let (_wanted, wishes) = watch::channel(Wanted::Run);
    let queue = DeadLetters::new("letters", true, narrow, &metrics, Wishes::new(wishes));
    let config = ErrorConfig { tolerate_all: false, log: false, log_messages: false };
    let id = TaskId { connector: "c".into(), task: 0 };
    let errors = ErrorPolicy::new(id, config, Redaction::default(), Some(queue), &metrics);
    let skips = Arc::new(Skips::default());
    skips.add((partition(), 5), "it is poison").unwrap();
    let mut consumer =
        SkippingConsumer::around(Box::new(scripted), Arc::clone(&skips), Arc::new(errors));
    consumer.position(&[partition()]).await.unwrap();
    Drill { consumer, skips, may_commit, commits, may_send, letters, _wanted }
}

/// A poll that is dropped after a while; none if it was.
async fn poll(drill: &mut Drill, within: Duration) -> Option<Result<Vec<i64>>> {
    let polled = timeout(within, drill.consumer.poll(SOON)).await.ok()?;
    Some(polled.map(|polled| match polled {
        Polled::Records(runs) => runs.iter().flat_map(|run| run.offsets.iter().copied()).collect(),
        other => panic!("{other:?}"),
    }))
}

#[tokio::test]
async fn a_poll_that_is_dropped_loses_nothing() {
    let mut drill = drill(8..9).await;
    drill.may_send.add_permits(10);
    // Its letter is slow to arrive, and then its commit to be answered.
    while let Some(Err(e)) = poll(&mut drill, 5 * SOON).await {
        assert!(e.is_retriable(), "{e}");
    }
    assert!(poll(&mut drill, SOON).await.is_none());
    drill.may_commit.add_permits(10);
    assert_eq!(poll(&mut drill, 50 * SOON).await.unwrap().unwrap(), [6, 7]);
    assert_eq!(*drill.commits.lock().unwrap(), [6]);
    let letters = drill.letters.lock().unwrap();
    assert_eq!(letters.len(), 1);
    let message = letters[0].headers[0].iter().find(|(name, _)| name.ends_with("message"));
    let why = &b"skipped by request; the task had failed there: it is poison"[..];
    assert_eq!(message.unwrap().1.as_deref(), Some(why));
}

#[tokio::test]
async fn a_letter_without_room_survives_a_dropped_poll() {
    let mut drill = drill(8..9).await;
    drill.may_commit.add_permits(10);
    assert!(poll(&mut drill, SOON).await.is_none());
    assert!(poll(&mut drill, SOON).await.is_none());
    drill.may_send.add_permits(10);
    let records = loop {
        match poll(&mut drill, 50 * SOON).await.unwrap() {
            Err(e) => assert!(e.is_retriable(), "{e}"),
            Ok(records) => break records,
        }
    };
    assert_eq!(records, [6, 7]);
    assert_eq!(drill.letters.lock().unwrap().len(), 1, "it is sent once");
}

/// What was committed past is skipped no more: all is read again, or the topic is another.
#[tokio::test]
async fn a_skip_ends_with_the_commit_past_it() {
    let mut drill = drill(5..8).await;
    drill.may_commit.add_permits(10);
    drill.may_send.add_permits(10);
    while poll(&mut drill, 50 * SOON).await.unwrap().is_err() {}
    assert!(drill.skips.is_empty());
    assert_eq!(poll(&mut drill, 50 * SOON).await.unwrap().unwrap(), [5, 6, 7]);
    drill.consumer.commit(&[(partition(), 5)].into()).await.unwrap();
    assert_eq!(*drill.commits.lock().unwrap(), [6, 5]);
}
