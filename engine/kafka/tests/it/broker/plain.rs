//! Topics and records without groups and transactions.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, InitProducerIdRequest, ProduceRequest, TopicName,
};
use millrace_kafka::record_batch::{Compression, Record, Stamp, Writer, seal};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList};

use super::Broker;
use super::wire::{Wire, text};
use crate::fixture::PATIENCE;

pub(super) fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.bootstrap);
    config
}

/// Remembers why records were not delivered.
#[derive(Default)]
pub(super) struct Failures(Mutex<Vec<KafkaError>>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap().push(error.clone());
        }
    }
}

pub(super) type Sender = BaseProducer<Failures>;

pub(super) fn sender(config: &ClientConfig) -> Sender {
    config.create_with_context(Failures::default()).unwrap()
}

/// Waits until everything is delivered, or says why not.
pub(super) async fn flush(sender: Sender) -> Result<(), KafkaError> {
    let flushed = move || {
        sender.flush(PATIENCE).unwrap();
        sender.context().0.lock().unwrap().first().cloned().map_or(Ok(()), Err)
    };
    tokio::task::spawn_blocking(flushed).await.unwrap()
}

/// The values of a partition from its beginning to its end.
pub(super) async fn read(broker: &Broker, topic: &str, isolation: &str) -> Vec<String> {
    let mut config = config(broker);
    config.set("group.id", "reader").set("enable.partition.eof", "true");
    config.set("isolation.level", isolation).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let read = move || {
        let mut values = Vec::new();
        loop {
            match consumer.poll(PATIENCE).expect("the end comes in time") {
                Ok(message) => {
                    let value = message.payload().unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
                Err(KafkaError::PartitionEOF(_)) => return values,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

pub(super) async fn idempotent_and_compressed_records_are_all_there(broker: &Broker) {
    const COUNT: usize = 3_000;
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = broker.topic("idempotent", 1).await;
        let mut config = config(broker);
        config.set("enable.idempotence", "true").set("compression.type", compression);
        // Many requests at once.
        config.set("linger.ms", "1").set("batch.num.messages", "100");
        let producer = sender(&config);
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("1") });
        for n in 0..COUNT {
            let (key, value) = (n.to_string(), format!("value-{n}-of-twelve-or-more"));
            let record = BaseRecord::to(&topic).key(&key).payload(&value);
            producer.send(record.headers(headers.clone())).map_err(|(error, _)| error).unwrap();
        }
        flush(producer).await.unwrap();
        let values = read(broker, &topic, "read_uncommitted").await;
        let expected = (0..COUNT).map(|n| format!("value-{n}-of-twelve-or-more"));
        assert!(values.into_iter().eq(expected), "{compression}");
    }
}

pub(super) async fn offsets_of_ends_and_times(broker: &Broker) {
    let topic = broker.topic("times", 1).await;
    let producer = sender(&config(broker));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    for time in [now - 3000, now - 1000, now - 2000, now - 1000] {
        let record = BaseRecord::<str, str>::to(&topic).payload("x").timestamp(time);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    flush(producer).await.unwrap();
    let consumer: BaseConsumer = config(broker).set("group.id", "times").create().unwrap();
    let ask = move || {
        let ends = consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap();
        let at = |time| {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(&topic, 0, Offset::Offset(time)).unwrap();
            let found = consumer.offsets_for_times(times, PATIENCE).unwrap();
            found.elements()[0].offset()
        };
        (ends, [now - 5000, now - 2500, now - 1000, now].map(at))
    };
    let (ends, at) = tokio::task::spawn_blocking(ask).await.unwrap();
    assert_eq!(ends, (0, 4));
    assert_eq!(at, [Offset::Offset(0), Offset::Offset(1), Offset::Offset(1), Offset::End]);
}

pub(super) async fn configs_are_described_and_changed(broker: &Broker) {
    let topic = broker.topic("configs", 1).await;
    let admin: AdminClient<DefaultClientContext> = config(broker).create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let policy = async || {
        let asked = [ResourceSpecifier::Topic(&topic)];
        let described = admin.describe_configs(&asked, &options).await.unwrap();
        let configs = described.into_iter().next().unwrap().unwrap();
        let entry = configs.entries.iter().find(|entry| entry.name == "cleanup.policy");
        entry.unwrap().value.clone().unwrap()
    };
    assert_eq!(policy().await, "delete");
    let compact =
        AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("cleanup.policy", "compact");
    admin.alter_configs(&[compact], &options).await.unwrap()[0].as_ref().unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while policy().await != "compact" {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wrong = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("cleanup.policy", "burn");
    let _ = admin.alter_configs(&[wrong], &options).await;
    assert_eq!(policy().await, "compact");
    // A compacted topic takes nothing without a key.
    let producer = sender(&config(broker));
    let keyless = BaseRecord::<str, str>::to(&topic).payload("x");
    producer.send(keyless).map_err(|(error, _)| error).unwrap();
    flush(producer).await.unwrap_err();
}

pub(super) async fn partitions_are_added_and_records_deleted(broker: &Broker) {
    let topic = broker.topic("grows", 1).await;
    let admin: AdminClient<DefaultClientContext> = config(broker).create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let grow = async |count| {
        let new = [NewPartitions::new(&topic, count)];
        admin.create_partitions(&new, &options).await.unwrap().remove(0)
    };
    grow(3).await.unwrap();
    grow(2).await.unwrap_err();
    let producer = sender(&config(broker));
    for partition in [0, 0, 0, 2] {
        let record = BaseRecord::<str, str>::to(&topic).payload("x").partition(partition);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    flush(producer).await.unwrap();
    let mut wire = Wire::connect(&broker.bootstrap).await;
    let mut delete = async |offset| {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(TopicName(text(&topic)))
            .with_partitions(vec![partition]);
        let request =
            DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        let answer = wire.call(&request).await;
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code, partition.low_watermark)
    };
    assert_eq!(delete(2).await, (0, 2));
    assert_eq!(delete(9).await.0, ResponseError::OffsetOutOfRange.code());
    assert_eq!(read(broker, &topic, "read_uncommitted").await, ["x"]);
    assert_eq!(delete(-1).await, (0, 3));
}

/// A batch of one record from this producer.
pub(super) fn batch(value: &str, stamp: &Stamp) -> Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut writer = Writer::new(Compression::None);
    writer.push(&Record::new(now, None, Some(value.as_bytes()))).unwrap();
    let mut batch = writer.finish().unwrap();
    seal(&mut batch, stamp);
    batch.freeze()
}

/// The last version of the request that names topics.
pub(super) const BY_NAME: i16 = 12;

pub(super) fn produce(topic: &str, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(TopicName(text(topic)))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

/// The error code and the offset.
pub(super) async fn produced(
    wire: &mut Wire,
    request: &ProduceRequest,
    version: i16,
) -> (i16, i64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = wire.call_as(request, version).await;
        let partition = &answer.responses[0].partition_responses[0];
        // A real broker learns from its controller that it leads, a moment after everybody else.
        let is_early = [
            ResponseError::NotLeaderOrFollower.code(),
            ResponseError::UnknownTopicOrPartition.code(),
        ];
        if !is_early.contains(&partition.error_code) {
            return (partition.error_code, partition.base_offset);
        }
        assert!(tokio::time::Instant::now() < deadline, "the partition has no leader");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn batches_sent_twice_are_there_once(broker: &Broker) {
    let topic = broker.topic("twice", 1).await;
    let mut wire = Wire::connect(&broker.bootstrap).await;
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let given = wire.call(&request).await;
    assert_eq!((given.error_code, given.producer_epoch), (0, 0));
    let stamp = |sequence| Stamp {
        producer_id: given.producer_id.0,
        producer_epoch: 0,
        base_sequence: sequence,
        is_transactional: false,
    };
    let mut send = async |sequence: i32| {
        let request = produce(&topic, batch(&sequence.to_string(), &stamp(sequence)));
        produced(&mut wire, &request, BY_NAME).await
    };
    for sequence in 0..6 {
        assert_eq!(send(sequence).await, (0, i64::from(sequence)));
    }
    for sequence in 1..6 {
        assert_eq!(send(sequence).await, (0, i64::from(sequence)), "again");
    }
    assert_eq!(send(7).await.0, ResponseError::OutOfOrderSequenceNumber.code());
    assert_eq!(send(6).await, (0, 6));
    let values = read(broker, &topic, "read_uncommitted").await;
    assert_eq!(values, ["0", "1", "2", "3", "4", "5", "6"]);
}

pub(super) async fn damaged_batches_are_refused(broker: &Broker) {
    let topic = broker.topic("damaged", 1).await;
    let mut wire = Wire::connect(&broker.bootstrap).await;
    let whole = batch("a value of some length", &Stamp::NONE);
    let mut send =
        async |records: Bytes| produced(&mut wire, &produce(&topic, records), BY_NAME).await.0;
    let mut flipped = whole.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(send(flipped.into()).await, ResponseError::CorruptMessage.code());
    let mut counted = whole.to_vec();
    counted[60] = 9;
    seal(&mut counted, &Stamp::NONE);
    assert_ne!(send(counted.into()).await, 0);
    let twice = [&whole[..], &whole].concat();
    assert_eq!(send(twice.into()).await, ResponseError::InvalidRecord.code());
    assert_eq!(send(whole).await, 0);
    let values = read(broker, &topic, "read_uncommitted").await;
    assert_eq!(values, ["a value of some length"]);
    if let Some(cluster) = broker.cluster() {
        use millrace_kafka::Cluster;
        let mut reader = crate::fixture::reader(cluster as &dyn Cluster, &topic, 1).await;
        assert_eq!(crate::fixture::read_one(&mut *reader, 1).await.len(), 1);
    }
}
