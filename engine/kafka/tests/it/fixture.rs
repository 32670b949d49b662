//! What tests of a cluster need: runs to send, counters of acknowledgements, and reading until
//! something is there or a deadline has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::process;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::{Array, BinaryViewArray};
use millrace_api::{Error, TopicPartition};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{
    Acknowledge, Cluster, Consumer, Fetched, NewTopic, Outgoing, Polled, Producer, Properties,
    RawHeaders,
};
use tokio::time::{Instant, timeout_at};

use crate::named::named;

/// How long a test waits for anything. A real broker takes seconds to let a group begin.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long one poll waits.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// A cluster, perhaps with something that has to live as long.
pub(crate) trait Holder {
    fn cluster(&self) -> &dyn Cluster;
}

impl Holder for EmbeddedCluster {
    fn cluster(&self) -> &dyn Cluster {
        self
    }
}

#[cfg(feature = "rdkafka")]
impl Holder for millrace_kafka::librdkafka::RdKafkaCluster {
    fn cluster(&self) -> &dyn Cluster {
        self
    }
}

impl Holder for Arc<dyn Cluster> {
    fn cluster(&self) -> &dyn Cluster {
        &**self
    }
}

/// What reaches the broker that `MILLRACE_TEST_BOOTSTRAP` names, if it does.
pub(crate) fn broker() -> Option<Properties> {
    Some(properties(&[("bootstrap.servers", &named("MILLRACE_TEST_BOOTSTRAP")?)]))
}

/// The module's `cluster()`, or the end of the test.
macro_rules! cluster_or_skip {
    () => {
        match cluster() {
            Some(cluster) => cluster,
            None => return,
        }
    };
}

/// One record, owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: RawHeaders,
}

/// The rows of a fetched run.
pub(crate) fn rows(run: &Fetched) -> Vec<Row> {
    let cell = |array: &BinaryViewArray, i| array.is_valid(i).then(|| array.value(i).to_vec());
    assert_eq!(run.keys.len(), run.offsets.len());
    assert_eq!(run.values.len(), run.offsets.len());
    assert_eq!(run.timestamps.len(), run.offsets.len());
    assert!(run.headers.is_empty() || run.headers.len() == run.offsets.len());
    (0..run.offsets.len())
        .map(|i| Row {
            offset: run.offsets[i],
            timestamp: run.timestamps[i],
            key: cell(&run.keys, i),
            value: cell(&run.values, i),
            headers: run.headers.get(i).cloned().unwrap_or_default(),
        })
        .collect()
}

/// A name that no other test has, in this run or an earlier one against the same broker.
pub(crate) fn unique(name: &str) -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{name}-{}-{now}-{}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Creates a topic under a unique name and waits until the cluster shows it.
pub(crate) async fn topic(cluster: &dyn Cluster, name: &str, partitions: i32) -> String {
    topic_with(cluster, name, partitions, &[]).await
}

pub(crate) async fn topic_with(
    cluster: &dyn Cluster,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> String {
    let name = unique(name);
    create(cluster, &name, partitions, configs).await;
    name
}

pub(crate) async fn create(
    cluster: &dyn Cluster,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) {
    let new = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: None,
        configs: properties(configs),
    };
    cluster.create_topic(&new).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while cluster.describe_topics(Some(&[name])).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "{name} does not appear");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The key and the value of a record to send.
pub(crate) type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// A run of records without headers, the producer's clock as their time.
pub(crate) fn run(topic: &str, records: &[KeyValue<'_>]) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        partition: None,
        keys: records.iter().map(|(key, _)| *key).collect(),
        values: records.iter().map(|(_, value)| *value).collect(),
        timestamps: None,
        headers: Vec::new(),
    }
}

/// A run of so many records with the values `first`, `first + 1`, … in text and no keys.
pub(crate) fn numbers(topic: &str, partition: Option<i32>, first: usize, count: usize) -> Outgoing {
    let values: Vec<_> = (first..first + count).map(|n| n.to_string().into_bytes()).collect();
    Outgoing {
        partition,
        ..run(topic, &values.iter().map(|v| (None, Some(v.as_slice()))).collect::<Vec<_>>())
    }
}

/// The number a record of [`numbers`] has.
pub(crate) fn number(row: &Row) -> usize {
    String::from_utf8(row.value.clone().unwrap()).unwrap().parse().unwrap()
}

/// Counts what became of records.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    acknowledged: AtomicUsize,
    failed: AtomicUsize,
    errors: Mutex<Vec<String>>,
}

impl Acknowledge for Acks {
    fn acknowledged(&self, records: usize) {
        self.acknowledged.fetch_add(records, Ordering::SeqCst);
    }

    fn failed(&self, records: usize, error: &Error) {
        self.failed.fetch_add(records, Ordering::SeqCst);
        self.errors.lock().unwrap().push(error.to_string());
    }
}

impl Acks {
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.acknowledged.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap().clone()
    }
}

/// Sends runs and checks that every record is acknowledged.
pub(crate) async fn send(producer: &mut dyn Producer, runs: &[Outgoing]) {
    let acks = Arc::new(Acks::default());
    for run in runs {
        producer.send(run, acks.clone()).await.unwrap();
    }
    producer.flush(PATIENCE).await.unwrap();
    let all = runs.iter().map(|run| run.values.len()).sum();
    assert_eq!(acks.counts(), (all, 0), "{:?}", acks.errors());
}

/// Sends runs through a producer of its own.
pub(crate) async fn produce(cluster: &dyn Cluster, settings: &[(&str, &str)], runs: &[Outgoing]) {
    let mut producer = cluster.producer(&properties(settings)).await.unwrap();
    send(&mut *producer, runs).await;
}

/// A consumer that reads these partitions of a topic from their beginning.
pub(crate) async fn reader(
    cluster: &dyn Cluster,
    topic: &str,
    partitions: i32,
) -> Box<dyn Consumer> {
    let mut consumer = cluster.consumer(&properties(&[])).await.unwrap();
    let from: Vec<_> = (0..partitions).map(|p| (tp(topic, p), 0)).collect();
    consumer.assign(&from).await.unwrap();
    consumer
}

/// A consumer in a group, reading from the beginning where the group has not committed.
pub(crate) async fn member(
    cluster: &dyn Cluster,
    group: &str,
    more: &[(&str, &str)],
) -> Box<dyn Consumer> {
    let mut all = properties(&[
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("metadata.max.age.ms", "500"),
    ]);
    all.extend(properties(more));
    cluster.consumer(&all).await.unwrap()
}

/// Polls until so many records are there; rebalance events are passed over.
pub(crate) async fn read(
    consumer: &mut dyn Consumer,
    count: usize,
) -> BTreeMap<TopicPartition, Vec<Row>> {
    let deadline = Instant::now() + PATIENCE;
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut left = count;
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} of {count} records are missing");
        let polled = timeout_at(deadline, consumer.poll(POLL)).await.unwrap().unwrap();
        let Polled::Records(runs) = polled else {
            continue;
        };
        for run in runs {
            left = left.checked_sub(run.offsets.len()).expect("more records than were sent");
            all.entry(run.topic_partition.clone()).or_default().extend(rows(&run));
        }
    }
    all
}

/// The same for a topic with one partition.
pub(crate) async fn read_one(consumer: &mut dyn Consumer, count: usize) -> Vec<Row> {
    let mut all = read(consumer, count).await;
    assert!(all.len() <= 1, "{:?}", all.keys());
    all.pop_first().map(|(_, rows)| rows).unwrap_or_default()
}

/// A member of a group that keeps book of what it has.
pub(crate) struct Tracked {
    pub(crate) consumer: Box<dyn Consumer>,
    pub(crate) assigned: BTreeSet<TopicPartition>,
    pub(crate) read: Vec<(TopicPartition, i64)>,
}

impl Tracked {
    pub(crate) fn new(consumer: Box<dyn Consumer>) -> Self {
        Self { consumer, assigned: BTreeSet::new(), read: Vec::new() }
    }

    /// One poll. What is revoked is committed first.
    pub(crate) async fn poll(&mut self) {
        match self.consumer.poll(POLL).await.unwrap() {
            Polled::Records(runs) => {
                for run in runs {
                    assert!(self.assigned.contains(&run.topic_partition), "not assigned");
                    let tp = run.topic_partition;
                    self.read.extend(run.offsets.iter().map(|offset| (tp.clone(), *offset)));
                }
            }
            Polled::Assigned(partitions) => {
                for tp in partitions {
                    assert!(self.assigned.insert(tp), "assigned twice");
                }
            }
            Polled::Revoked(partitions) => {
                let at = self.consumer.position(&partitions).await.unwrap();
                self.consumer.commit(&at).await.unwrap();
                for tp in partitions {
                    assert!(self.assigned.remove(&tp), "revoked without being assigned");
                }
            }
            Polled::Lost(partitions) => {
                self.assigned.retain(|tp| !partitions.contains(tp));
            }
        }
    }
}
