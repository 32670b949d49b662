//! Transactions: librdkafka's producer, and one that says what it wants.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProducerId, TopicName,
    TransactionalId,
};
use millrace_kafka::record_batch::Stamp;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, sleep};

use super::Broker;
use super::plain::{BY_NAME, batch, config, produce, produced, read};
use super::wire::{Wire, text};
use crate::fixture::{PATIENCE, unique};

fn producer(broker: &Broker, id: &str) -> BaseProducer {
    let mut config = config(broker);
    config.set("transactional.id", id).set("transaction.timeout.ms", "20000");
    config.create().unwrap()
}

fn send(producer: &BaseProducer, topic: &str, value: &str, count: usize) {
    for _ in 0..count {
        let record = BaseRecord::<str, str>::to(topic).partition(0).payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn count(values: &[String], value: &str) -> usize {
    values.iter().filter(|v| *v == value).count()
}

pub(super) async fn readers_of_committed_records_see_what_was_committed(broker: &Broker) {
    let topic = broker.topic("transactions", 1).await;
    let (producer, name) = (producer(broker, &unique("id")), topic.clone());
    blocking(move || {
        producer.init_transactions(PATIENCE).unwrap();
        for (value, commits) in
            [("first", true), ("aborted", false), ("aborted", false), ("last", true)]
        {
            producer.begin_transaction().unwrap();
            send(&producer, &name, value, 10);
            match commits {
                true => producer.commit_transaction(PATIENCE).unwrap(),
                false => {
                    producer.flush(PATIENCE).unwrap();
                    producer.abort_transaction(PATIENCE).unwrap();
                }
            }
        }
    })
    .await;
    let committed = read(broker, &topic, "read_committed").await;
    assert_eq!((count(&committed, "first"), count(&committed, "last")), (10, 10));
    assert_eq!(committed.len(), 20);
    let all = read(broker, &topic, "read_uncommitted").await;
    assert_eq!((all.len(), count(&all, "aborted")), (40, 20));
    let Some(cluster) = broker.cluster() else { return };
    // Consumers in the cluster's own process see the same.
    use millrace_kafka::Cluster as _;
    for (isolation, records) in [("read_committed", 20), ("read_uncommitted", 40)] {
        let settings = crate::fixture::properties(&[("isolation.level", isolation)]);
        let mut consumer = cluster.consumer(&settings).await.unwrap();
        let partition = crate::fixture::tp(&topic, 0);
        consumer.assign(&[(partition.clone(), 0)]).await.unwrap();
        let rows = crate::fixture::read_one(&mut *consumer, records).await;
        let aborted = rows.iter().filter(|row| row.value.as_deref() == Some(b"aborted")).count();
        assert_eq!(aborted, records - 20);
        // Behind the last marker.
        let deadline = Instant::now() + PATIENCE;
        while consumer.position(std::slice::from_ref(&partition)).await.unwrap()[&partition] < 44 {
            assert!(Instant::now() < deadline);
            consumer.poll(Duration::from_millis(10)).await.unwrap();
        }
    }
}

pub(super) async fn offsets_are_committed_with_the_transaction(broker: &Broker) {
    let (topic, group) = (broker.topic("input", 1).await, unique("group"));
    let producer = producer(broker, &unique("id"));
    let consumer: BaseConsumer = config(broker).set("group.id", &group).create().unwrap();
    let work = move || {
        let committed = || {
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&topic, 0);
            consumer.committed_offsets(asked, PATIENCE).unwrap().elements()[0].offset()
        };
        producer.init_transactions(PATIENCE).unwrap();
        for (offset, commits) in [(5, true), (9, false)] {
            producer.begin_transaction().unwrap();
            send(&producer, &topic, "x", 1);
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset(&topic, 0, Offset::Offset(offset)).unwrap();
            let group = consumer.group_metadata().unwrap();
            producer.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
            match commits {
                true => producer.commit_transaction(PATIENCE).unwrap(),
                false => {
                    producer.flush(PATIENCE).unwrap();
                    producer.abort_transaction(PATIENCE).unwrap();
                }
            }
            assert_eq!(committed(), Offset::Offset(5), "after offset {offset}");
        }
    };
    blocking(work).await;
}

pub(super) async fn a_second_producer_fences_the_first(broker: &Broker) {
    let (topic, id) = (broker.topic("fenced", 1).await, unique("id"));
    let (first, second, name) = (producer(broker, &id), producer(broker, &id), topic.clone());
    blocking(move || {
        first.init_transactions(PATIENCE).unwrap();
        first.begin_transaction().unwrap();
        send(&first, &name, "zombie", 3);
        first.flush(PATIENCE).unwrap();
        // Ends what the first has begun.
        second.init_transactions(PATIENCE).unwrap();
        let _ = first.send(BaseRecord::<str, str>::to(&name).partition(0).payload("zombie"));
        first.commit_transaction(PATIENCE).unwrap_err();
        second.begin_transaction().unwrap();
        send(&second, &name, "second", 2);
        second.commit_transaction(PATIENCE).unwrap();
    })
    .await;
    assert_eq!(read(broker, &topic, "read_committed").await, ["second", "second"]);
}

/// A transactional producer that says what it wants.
struct Raw {
    wire: Wire,
    id: TransactionalId,
    producer: ProducerId,
    epoch: i16,
    sequence: i32,
}

impl Raw {
    async fn new(broker: &Broker, timeout_ms: i32) -> Self {
        let mut wire = Wire::connect(&broker.bootstrap).await;
        let id = TransactionalId(text(&unique("raw")));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id.clone()))
            .with_transaction_timeout_ms(timeout_ms);
        let deadline = Instant::now() + PATIENCE;
        let given = loop {
            let given = wire.call(&request).await;
            // A coordinator that has just begun to exist.
            if given.error_code == 0 {
                break given;
            }
            assert!(Instant::now() < deadline, "{}", given.error_code);
            sleep(Duration::from_millis(50)).await;
        };
        let (producer, epoch) = (given.producer_id, given.producer_epoch);
        Self { wire, id, producer, epoch, sequence: 0 }
    }

    /// One record; with the second protocol it adds its partition itself.
    async fn send(&mut self, topic: &str, value: &str, version: i16) -> i16 {
        let stamp = Stamp {
            producer_id: self.producer.0,
            producer_epoch: self.epoch,
            base_sequence: self.sequence,
            is_transactional: true,
        };
        let request = produce(topic, batch(value, &stamp));
        let request = request.with_transactional_id(Some(self.id.clone()));
        let (code, _) = produced(&mut self.wire, &request, version).await;
        self.sequence += i32::from(code == 0);
        code
    }

    async fn add(&mut self, topic: &str) -> i16 {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone())
            .with_v3_and_below_producer_id(self.producer)
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let answer = self.wire.call_as(&request, 3).await;
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    async fn end(&mut self, commits: bool, epoch: i16, version: i16) -> (i16, i16) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(self.producer)
            .with_producer_epoch(epoch)
            .with_committed(commits);
        let answer = self.wire.call_as(&request, version).await;
        (answer.error_code, answer.producer_epoch)
    }
}

/// EndTxn's version with an epoch per transaction (KIP-890), and the last one without.
const BUMPS: i16 = 5;
const PLAIN: i16 = 4;

pub(super) async fn with_the_second_protocol_an_epoch_is_used_once(broker: &Broker) {
    let topic = broker.topic("epochs", 1).await;
    let mut raw = Raw::new(broker, 60_000).await;
    let first = raw.epoch;
    // With the first protocol a partition is added by itself.
    assert_eq!(raw.send(&topic, "a", 10).await, ResponseError::InvalidTxnState.code());
    assert_eq!(raw.send(&topic, "a", 11).await, ResponseError::TransactionAbortable.code());
    assert_eq!(raw.send(&topic, "b", BY_NAME).await, 0);
    assert_eq!(raw.end(true, first, BUMPS).await, (0, first + 1));
    // The markers may still be on their way.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match raw.end(true, first, BUMPS).await {
            (0, epoch) => break assert_eq!(epoch, first + 1, "an answer that was lost"),
            (code, _) => {
                assert_eq!(code, ResponseError::ConcurrentTransactions.code());
                assert!(Instant::now() < deadline);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    let (sequence, old) = (raw.sequence, raw.epoch);
    assert_eq!(raw.send(&topic, "late", BY_NAME).await, ResponseError::InvalidProducerEpoch.code());
    assert_eq!((raw.sequence, raw.epoch), (sequence, old));
    (raw.epoch, raw.sequence) = (first + 1, 0);
    assert_eq!(raw.send(&topic, "c", BY_NAME).await, 0);
    assert_eq!(raw.end(false, first + 1, BUMPS).await, (0, first + 2));
    let deadline = Instant::now() + PATIENCE;
    while read(broker, &topic, "read_committed").await != ["b"] {
        assert!(Instant::now() < deadline);
    }
}

pub(super) async fn a_transaction_that_takes_too_long_is_aborted(broker: &Broker) {
    let topic = broker.topic("expires", 1).await;
    let mut raw = Raw::new(broker, 1_000).await;
    assert_eq!(raw.add(&topic).await, 0);
    assert_eq!(raw.send(&topic, "never", 11).await, 0);
    let deadline = Instant::now() + PATIENCE;
    // Its marker is a record more.
    let consumer: BaseConsumer = config(broker).set("group.id", "ends").create().unwrap();
    let name = topic.clone();
    blocking(move || {
        while consumer.fetch_watermarks(&name, 0, PATIENCE).unwrap().1 < 2 {
            assert!(Instant::now() < deadline, "the transaction stays open");
        }
    })
    .await;
    let (code, _) = raw.end(true, raw.epoch, PLAIN).await;
    assert_eq!(code, ResponseError::ProducerFenced.code());
    assert_eq!(read(broker, &topic, "read_committed").await, Vec::<String>::new());
}
