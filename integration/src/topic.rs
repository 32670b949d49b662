//! Decides what tests see of a topic: every record up to its end, byte for byte.

use crate::{block_on, wait_until};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The time after which a broker that does not answer fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// One record as it lies in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970; absent when the log has none.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Each partition's records as they came: a reader that changes their order is not excused.
pub fn by_partition(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| record.partition);
    records
}

/// Makes a topic and waits until the broker leads all its partitions.
pub fn create_topic(bootstrap: &str, topic: &str, partitions: i32) {
    create_topic_with(bootstrap, topic, partitions, &[]);
}

/// The same with configs of the topic's own.
pub fn create_topic_with(bootstrap: &str, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        client(bootstrap).create().expect("the client's settings are right");
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in configs {
        new = new.set(key, value);
    }
    let topics = [new];
    let made = block_on(admin.create_topics(&topics, &AdminOptions::new()));
    for result in made.expect("the broker answers a request for a new topic") {
        result.unwrap_or_else(|(name, code)| panic!("topic {name} could not be made: {code}"));
    }
    let consumer: BaseConsumer =
        client(bootstrap).create().expect("the client's settings are right");
    wait_until("leaders of a new topic", PATIENCE, || {
        (partitions_of(&consumer, topic).len() == partitions as usize).then_some(())
    });
}

/// Appends `records` in order; their partitions are honoured, offsets are the broker's.
pub fn produce(bootstrap: &str, topic: &str, records: &[Record]) {
    let producer: ThreadedProducer<DefaultProducerContext> = client(bootstrap)
        .set("linger.ms", "5")
        .set("enable.idempotence", "true")
        .create()
        .expect("the client's settings are right");
    for record in records {
        send(&producer, topic, record);
    }
    producer.flush(PATIENCE).expect("the broker takes the records within a minute");
}

/// Hands a record over; waits while the producer is full.
pub fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, record: &Record) {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_ref() });
    }
    let mut next = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
    next.key = record.key.as_deref();
    next.payload = record.value.as_deref();
    next.timestamp = record.timestamp;
    next.headers = (!record.headers.is_empty()).then_some(headers);
    let start = Instant::now();
    while let Err((error, same)) = producer.send(next) {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        assert!(error == full && start.elapsed() < PATIENCE, "cannot produce to {topic}: {error}");
        // The queue has a bound: let what is in it leave first.
        let _ = producer.flush(Duration::from_millis(100));
        next = same;
    }
}

/// All records of a topic from its start to its present end, by partition; none if there is no
/// such topic.
pub fn contents(bootstrap: &str, topic: &str) -> Vec<Record> {
    contents_with(bootstrap, topic, &[])
}

/// The same with these properties of librdkafka. Unless told, it leaves out records of transactions
/// that are open or aborted.
pub fn contents_with(bootstrap: &str, topic: &str, properties: &[(&str, &str)]) -> Vec<Record> {
    let mut config = client(bootstrap);
    for (key, value) in properties {
        config.set(*key, *value);
    }
    let consumer: BaseConsumer = config
        .set("group.id", "millrace-integration-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .create()
        .expect("the client's settings are right");
    let partitions = partitions_of(&consumer, topic);
    let mut from_start = TopicPartitionList::new();
    for &partition in &partitions {
        from_start
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("the beginning is an offset");
    }
    consumer.assign(&from_start).expect("an existing partition can be assigned");
    let mut records = Vec::new();
    let mut unfinished = partitions.len();
    let start = Instant::now();
    while unfinished > 0 {
        assert!(start.elapsed() < PATIENCE, "the end of topic {topic} did not come");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => records.push(record(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => unfinished -= 1,
            Some(Err(error)) => panic!("cannot read topic {topic}: {error}"),
            None => {}
        }
    }
    by_partition(records)
}

/// The number of records between start and end of all partitions, read from the log's ends only.
pub fn count(bootstrap: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer =
        client(bootstrap).create().expect("the client's settings are right");
    let ends = partitions_of(&consumer, topic).into_iter().map(|partition| {
        // A topic that was just made may have no leader yet.
        let (low, high) = wait_until("the ends of a partition", PATIENCE, || {
            consumer.fetch_watermarks(topic, partition, PATIENCE).ok()
        });
        high - low
    });
    ends.sum()
}

/// The names of all topics.
pub fn names(bootstrap: &str) -> Vec<String> {
    let consumer: BaseConsumer =
        client(bootstrap).create().expect("the client's settings are right");
    let metadata = consumer
        .fetch_metadata(None, PATIENCE)
        .unwrap_or_else(|error| panic!("the broker does not answer: {error}"));
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

/// What a group has committed of a topic's partition 0.
pub fn committed(bootstrap: &str, group: &str, topic: &str) -> Option<i64> {
    let consumer: BaseConsumer =
        client(bootstrap).set("group.id", group).create().expect("the client's settings are right");
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, 0);
    // A broker that has just made its topic of offsets takes a moment to coordinate groups.
    let offsets = wait_until(&format!("the coordinator of {group}"), PATIENCE, || {
        match consumer.committed_offsets(wanted.clone(), PATIENCE) {
            Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress,
            )) => None,
            other => {
                Some(other.unwrap_or_else(|error| panic!("the broker does not answer: {error}")))
            }
        }
    });
    match offsets.elements_for_topic(topic).first()?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

/// The partitions that have a leader.
/// How many partitions a topic has, and its own configs: those that the broker does not set.
pub fn shape(bootstrap: &str, topic: &str) -> (usize, BTreeMap<String, String>) {
    let admin: AdminClient<DefaultClientContext> =
        client(bootstrap).create().expect("the client's settings are right");
    let wanted = [ResourceSpecifier::Topic(topic)];
    let described = block_on(admin.describe_configs(&wanted, &AdminOptions::new()));
    let described = described.expect("the broker answers a question about configs");
    let configs = described.into_iter().flatten().flat_map(|resource| resource.entries);
    let own = configs.filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let own = own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect();
    let consumer: BaseConsumer =
        client(bootstrap).create().expect("the client's settings are right");
    (partitions_of(&consumer, topic).len(), own)
}

fn partitions_of(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer
        .fetch_metadata(None, PATIENCE)
        .unwrap_or_else(|error| panic!("the broker does not answer: {error}"));
    let found = metadata.topics().iter().find(|candidate| candidate.name() == topic);
    let partitions = found.map(|topic| topic.partitions()).unwrap_or_default();
    partitions.iter().filter(|p| p.leader() >= 0).map(|p| p.id()).collect()
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
