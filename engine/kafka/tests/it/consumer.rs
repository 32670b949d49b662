//! The native consumer reads what librdkafka has written to the broker that
//! `MILLRACE_TEST_BOOTSTRAP` names: every promise of `Consumer`, and what only a client of the wire
//! has to get right.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{ErrorKind, Result, TopicPartition};
use millrace_kafka::librdkafka::RdKafkaCluster;
use millrace_kafka::native::NativeCluster;
use millrace_kafka::{
    Cluster, ClusterDescription, Consumer, Isolation, NewTopic, OffsetSpec, Polled, Producer,
    Properties,
};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::time::Instant;

use crate::fixture::*;
use crate::named::named;

/// Writes with one client and reads with another.
struct Mixed {
    writes: RdKafkaCluster,
    reads: NativeCluster,
}

impl Holder for Mixed {
    fn cluster(&self) -> &dyn Cluster {
        self
    }
}

#[async_trait]
impl Cluster for Mixed {
    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>> {
        self.writes.producer(properties).await
    }

    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>> {
        self.reads.consumer(properties).await
    }

    async fn cluster_id(&self) -> Result<String> {
        self.reads.cluster_id().await
    }

    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>> {
        self.writes.describe_topics(topics).await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        self.writes.create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.writes.delete_topic(topic).await
    }

    async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.reads.end_offsets(partitions).await
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.writes.committed(group, partitions).await
    }

    async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>> {
        self.writes.group_offsets(group).await
    }

    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        self.writes.alter_group_offsets(group, offsets).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        self.writes.delete_group(group).await
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        self.reads.describe_cluster().await
    }

    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.reads.list_offsets(partitions, spec, isolation).await
    }
}

/// The cluster to test against, if there is one.
fn cluster() -> Option<Mixed> {
    let properties = broker()?;
    let writes = RdKafkaCluster::new(&properties).expect("the properties are legal");
    let reads = NativeCluster::new(&properties).expect("the properties are legal");
    Some(Mixed { writes, reads })
}

conformance!(cluster_or_skip!();
    round_trip explicit_times keys_choose_partitions keyless_runs_stay_together many_runs
    nulls headers value_sizes every_compression max_poll_records an_idle_poll_ends
    an_append_ends_a_poll seek pause_and_resume commit_and_committed reset_to_latest
    rebalance pattern a_topic_that_comes_later seek_and_pause_before_fetching_begins
    a_pause_in_the_middle_holds_back_what_was_fetched_ahead cooperative_members_keep_what_they_have
    a_member_that_does_not_poll_loses_its_partitions the_consumer_group_protocol
);

/// Polls until something comes that is not an empty run.
async fn outcome(consumer: &mut dyn Consumer) -> Result<Polled> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "nothing comes");
        match consumer.poll(POLL).await {
            Ok(Polled::Records(runs)) if runs.is_empty() => {}
            other => return other,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_outside_the_log_is_reset_by_policy() {
    let cluster = cluster_or_skip!();
    let topic = topic(&cluster, "consumer-range", 1).await;
    produce(&cluster, &[], &[numbers(&topic, None, 0, 10)]).await;
    let beyond = BTreeMap::from([(tp(&topic, 0), 1_000)]);
    for (policy, first) in [("earliest", Some(0)), ("latest", None), ("by_duration:P1D", Some(0))] {
        let settings = properties(&[("auto.offset.reset", policy)]);
        let mut consumer = cluster.consumer(&settings).await.unwrap();
        consumer.assign(&[(tp(&topic, 0), 1_000)]).await.unwrap();
        if let Some(first) = first {
            let rows = read_one(&mut *consumer, 10).await;
            assert_eq!(rows[0].offset, first, "{policy}");
        } else {
            let deadline = Instant::now() + PATIENCE;
            while consumer.position(&[tp(&topic, 0)]).await.unwrap() == beyond {
                assert!(Instant::now() < deadline);
                consumer.poll(POLL).await.unwrap();
            }
            let position = consumer.position(&[tp(&topic, 0)]).await.unwrap();
            assert_eq!(position[&tp(&topic, 0)], 10);
        }
    }
    let none = properties(&[("auto.offset.reset", "none")]);
    let mut consumer = cluster.consumer(&none).await.unwrap();
    consumer.assign(&[(tp(&topic, 0), 1_000)]).await.unwrap();
    let error = outcome(&mut *consumer).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("partition: {topic}-0, offset: 1000")), "{text}");
    // Who asks for something that is there goes on.
    consumer.seek(&BTreeMap::from([(tp(&topic, 0), 7)])).await.unwrap();
    let rows = read_one(&mut *consumer, 3).await;
    assert_eq!(rows[0].offset, 7);
    cluster.delete_topic(&topic).await.unwrap();
}

/// Transactions of ten numbers each: the first and the third are committed, the others aborted.
fn write_transactions(topic: &str) {
    let servers = named("MILLRACE_TEST_BOOTSTRAP").unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", unique("transactional"))
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for first in [0, 10, 20, 30, 40] {
        producer.begin_transaction().unwrap();
        for number in first..first + 10 {
            let payload = number.to_string();
            let record = BaseRecord::<(), str>::to(topic).partition(0).payload(&payload);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            if number % 5 == 4 {
                producer.flush(PATIENCE).unwrap();
            }
        }
        match first {
            0 | 20 => producer.commit_transaction(PATIENCE).unwrap(),
            _ => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
}

/// Transactions end in records that nobody sees; positions move over them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_records_alone_and_the_position_after_all() {
    let cluster = cluster_or_skip!();
    let topic = topic(&cluster, "consumer-transactions", 1).await;
    let name = topic.clone();
    tokio::task::spawn_blocking(move || write_transactions(&name)).await.unwrap();
    let committed: Vec<usize> = (0..10).chain(20..30).collect();
    for (level, expected) in
        [("read_committed", committed), ("read_uncommitted", (0..50).collect())]
    {
        for most in ["500", "3"] {
            let settings = properties(&[("isolation.level", level), ("max.poll.records", most)]);
            let mut consumer = cluster.consumer(&settings).await.unwrap();
            consumer.assign(&[(tp(&topic, 0), 0)]).await.unwrap();
            let rows = read_one(&mut *consumer, expected.len()).await;
            assert!(rows.iter().map(number).eq(expected.iter().copied()), "{level}");
            let end = BTreeMap::from([(tp(&topic, 0), 55)]);
            let deadline = Instant::now() + PATIENCE;
            while consumer.position(&[tp(&topic, 0)]).await.unwrap() != end {
                assert!(Instant::now() < deadline, "the position stays before the markers");
                let polled = consumer.poll(POLL).await.unwrap();
                assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
            }
        }
    }
    cluster.delete_topic(&topic).await.unwrap();
}

/// Whatever the limits, each record gets through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_larger_than_all_limits_comes_alone() {
    let cluster = cluster_or_skip!();
    let topic = topic(&cluster, "consumer-large", 2).await;
    let large = vec![b'x'; 500_000];
    let values = vec![(None, Some(large.as_slice())); 5];
    let runs =
        [0, 1].map(|p| millrace_kafka::Outgoing { partition: Some(p), ..run(&topic, &values) });
    produce(&cluster, &[], &runs).await;
    let small = [("fetch.max.bytes", "1000"), ("max.partition.fetch.bytes", "1000")];
    let mut consumer = cluster.consumer(&properties(&small)).await.unwrap();
    consumer.assign(&[(tp(&topic, 0), 0), (tp(&topic, 1), 0)]).await.unwrap();
    let rows = read(&mut *consumer, 10).await;
    assert!(rows.values().flatten().all(|row| row.value.as_deref() == Some(&large)));
    cluster.delete_topic(&topic).await.unwrap();
}

/// A topic is deleted and made again while it is read: the new one is read by policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_is_another() {
    let cluster = cluster_or_skip!();
    let name = topic(&cluster, "consumer-again", 1).await;
    produce(&cluster, &[], &[numbers(&name, None, 0, 10)]).await;
    let settings = [("auto.offset.reset", "earliest"), ("metadata.max.age.ms", "500")];
    let mut consumer = cluster.consumer(&properties(&settings)).await.unwrap();
    consumer.assign(&[(tp(&name, 0), 0)]).await.unwrap();
    assert_eq!(read_one(&mut *consumer, 10).await.len(), 10);
    cluster.delete_topic(&name).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !cluster.describe_topics(Some(&[&name])).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the topic is still there");
        consumer.poll(POLL).await.unwrap();
    }
    create(&cluster, &name, 1, &[]).await;
    produce(&cluster, &[], &[numbers(&name, None, 100, 20)]).await;
    let rows = read_one(&mut *consumer, 20).await;
    assert!(rows.iter().map(number).eq(100..120));
    cluster.delete_topic(&name).await.unwrap();
}

/// Who waits for a topic reads it when it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_waited_for() {
    let cluster = cluster_or_skip!();
    let name = unique("consumer-missing");
    let settings = properties(&[("allow.auto.create.topics", "false")]);
    let mut consumer = cluster.consumer(&settings).await.unwrap();
    consumer.assign(&[(tp(&name, 0), 0)]).await.unwrap();
    let polled = consumer.poll(Duration::from_millis(300)).await.unwrap();
    assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
    create(&cluster, &name, 1, &[]).await;
    produce(&cluster, &[], &[numbers(&name, None, 0, 10)]).await;
    assert_eq!(read_one(&mut *consumer, 10).await.len(), 10);
    let error = consumer.seek(&BTreeMap::from([(tp(&name, 1), 0)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    cluster.delete_topic(&name).await.unwrap();
}
