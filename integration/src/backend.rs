//! Decides which log a test runs on: a broker, or the embedded one in a directory. What a test
//! expects is the same on both.
//!
//! An embedded log belongs to one process at a time: these functions open it only while no worker
//! has it, and [`Backend::contents`] of a killed worker's log reads a copy, so that recovery stays
//! the next worker's part.

use crate::client::Client;
use crate::topic::{self, Record};
use crate::traffic::unpack;
use crate::{block_on, broker};
use arrow::array::BinaryViewArray;
use arrow::buffer::ScalarBuffer;
use millrace_api::{Error, TopicPartition};
use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_kafka::{Acknowledge, Cluster, NewTopic, Outgoing, Polled, Properties};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where topics and committed offsets are.
#[derive(Clone, Debug)]
pub enum Backend {
    /// A broker at `host:port`, which workers reach through this client.
    Kafka(String, Client),
    /// A log in a directory.
    Embedded(PathBuf),
}

impl Backend {
    /// The broker that all tests share which use this client.
    pub fn shared_kafka(client: Client) -> Self {
        Self::Kafka(broker::kafka(client).to_owned(), client)
    }

    /// Through which client a worker reaches it.
    pub fn client(&self) -> Client {
        match self {
            Self::Kafka(_, client) => *client,
            Self::Embedded(_) => Client::any(),
        }
    }

    /// The value of `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Kafka(servers, _) => servers.clone(),
            Self::Embedded(directory) => format!("embedded:{}", directory.display()),
        }
    }

    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_, client) => client.name(),
            Self::Embedded(_) => "embedded",
        }
    }

    /// Makes a topic.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        match self {
            Self::Kafka(bootstrap, _) => topic::create_topic(bootstrap, topic, partitions),
            Self::Embedded(directory) => {
                let new = NewTopic {
                    name: topic.to_owned(),
                    partitions: Some(partitions),
                    replication_factor: None,
                    configs: Default::default(),
                };
                block_on(open(directory).create_topic(&new)).expect("a new topic can be made");
            }
        }
    }

    /// Appends records to an existing topic.
    pub fn produce(&self, topic: &str, records: &[Record]) {
        match self {
            Self::Kafka(bootstrap, _) => topic::produce(bootstrap, topic, records),
            Self::Embedded(directory) => block_on(append(&open(directory), topic, records)),
        }
    }

    /// All records of a topic, by partition.
    pub fn contents(&self, topic: &str) -> Vec<Record> {
        match self {
            Self::Kafka(bootstrap, _) => topic::contents(bootstrap, topic),
            Self::Embedded(directory) => {
                let copy = copy(directory);
                block_on(read(&open(copy.path()), topic))
            }
        }
    }

    /// What a group has committed of partition 0 of a topic.
    pub fn committed(&self, group: &str, topic: &str) -> Option<i64> {
        match self {
            Self::Kafka(bootstrap, _) => topic::committed(bootstrap, group, topic),
            Self::Embedded(directory) => {
                let copy = copy(directory);
                let partition = TopicPartition::new(topic, 0);
                let committed =
                    block_on(open(copy.path()).committed(group, std::slice::from_ref(&partition)));
                committed.expect("a log that opens tells its offsets").get(&partition).copied()
            }
        }
    }
}

fn open(directory: &Path) -> EmbeddedCluster {
    EmbeddedCluster::open(directory, Settings::default()).unwrap_or_else(|error| {
        panic!("the log in {} does not open: {}", directory.display(), error.trace())
    })
}

/// A copy of a log that its process has left, perhaps by being killed.
fn copy(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("the temporary directory is writable");
    copy_into(directory, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the log is a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("the copy is new");
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("the log can be read");
        }
    }
}

async fn append(cluster: &EmbeddedCluster, topic: &str, records: &[Record]) {
    let mut producer =
        cluster.producer(&Properties::new()).await.expect("a producer needs no settings");
    for record in records {
        let value = |bytes: &Option<Vec<u8>>| BinaryViewArray::from_iter([bytes.as_deref()]);
        let headers = record.headers.iter();
        let headers = headers.map(|(k, v)| (k.as_str().into(), v.clone().map(Into::into)));
        let run = Outgoing {
            topic: topic.into(),
            partition: Some(record.partition),
            keys: value(&record.key),
            values: value(&record.value),
            timestamps: record.timestamp.map(|t| ScalarBuffer::from(vec![t])),
            headers: vec![headers.collect()],
        };
        producer.send(&run, Arc::new(MustArrive)).await.expect("the log takes the record");
    }
    producer.flush(PATIENCE).await.expect("the log takes the records");
}

struct MustArrive;

impl Acknowledge for MustArrive {
    fn acknowledged(&self, _records: usize) {}
    fn failed(&self, _records: usize, error: &Error) {
        panic!("a record was refused: {}", error.trace());
    }
}

async fn read(cluster: &EmbeddedCluster, topic: &str) -> Vec<Record> {
    let count = cluster.describe_topics(Some(&[topic])).await.expect("topics can be listed");
    let partitions = 0..count.get(topic).copied().unwrap_or(0);
    let partitions: Vec<_> = partitions.map(|p| TopicPartition::new(topic, p)).collect();
    let ends = cluster.end_offsets(&partitions).await.expect("partitions have ends");
    let mut consumer =
        cluster.consumer(&Properties::new()).await.expect("a consumer needs no settings");
    let starts: Vec<_> = partitions.iter().map(|p| (p.clone(), 0)).collect();
    consumer.assign(&starts).await.expect("existing partitions can be assigned");
    let mut records = Vec::new();
    loop {
        let positions = consumer.position(&partitions).await.expect("assigned partitions have one");
        if ends.iter().all(|(partition, end)| positions.get(partition) >= Some(end)) {
            break;
        }
        match consumer.poll(PATIENCE).await.expect("a whole log can be read") {
            Polled::Records(runs) => runs.iter().for_each(|run| unpack(run, &mut records)),
            other => panic!("a consumer outside groups sees no rebalance: {other:?}"),
        }
    }
    topic::by_partition(records)
}
