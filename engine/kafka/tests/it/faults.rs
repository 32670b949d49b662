//! The librdkafka backend against brokers that are away, refuse, or come back: librdkafka's mock
//! cluster, so no server is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::ErrorKind;
use millrace_kafka::librdkafka::RdKafkaCluster;
use millrace_kafka::{Cluster, Consumer, Polled, Subscription};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::{Instant, sleep};

use crate::fixture::*;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn connect(servers: &str, more: &[(&str, &str)]) -> RdKafkaCluster {
    let mut all = properties(&[("bootstrap.servers", servers)]);
    all.extend(properties(more));
    RdKafkaCluster::new(&all).unwrap()
}

fn mock(topics: &[&str]) -> (Mock, RdKafkaCluster) {
    let mock = MockCluster::new(1).unwrap();
    for topic in topics {
        mock.create_topic(topic, 1, 1).unwrap();
    }
    let cluster = connect(&mock.bootstrap_servers(), &[]);
    (mock, cluster)
}

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test]
async fn questions_to_nobody_end_in_time_and_name_the_servers() {
    let cluster = connect(NOBODY, &[("default.api.timeout.ms", "1500")]);
    let begin = Instant::now();
    let (id, all, some, ends, committed) = tokio::join!(
        cluster.cluster_id(),
        cluster.describe_topics(None),
        cluster.describe_topics(Some(&["t"])),
        async { cluster.end_offsets(&[tp("t", 0)]).await },
        async { cluster.committed("g", &[tp("t", 0)]).await },
    );
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    let errors = [
        id.unwrap_err(),
        all.unwrap_err(),
        some.unwrap_err(),
        ends.unwrap_err(),
        committed.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
        assert!(error.to_string().contains(&format!("bootstrap.servers: {NOBODY}")), "{error}");
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
}

#[tokio::test]
async fn a_broker_that_hangs_up_is_not_called_all_the_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let servers = listener.local_addr().unwrap().to_string();
    let cluster = connect(&servers, &[("default.api.timeout.ms", "3000")]);
    let mut calls = 0;
    let error = {
        let mut answer = std::pin::pin!(cluster.cluster_id());
        loop {
            tokio::select! {
                call = listener.accept() => { drop(call.unwrap()); calls += 1; }
                answer = &mut answer => break answer.unwrap_err(),
            }
        }
    };
    assert!((2..=20).contains(&calls), "{calls} connections in 3 s");
    assert!(error.to_string().contains("remedy: is a broker up"), "{error}");
}

#[tokio::test]
async fn a_dropped_producer_reports_every_record_once() {
    let cluster = connect(NOBODY, &[]);
    let mut producer = cluster.producer(&properties(&[])).await.unwrap();
    let acks = Arc::new(Acks::default());
    for i in 0..3 {
        producer.send(&numbers("t", None, i * 700, 700), acks.clone()).await.unwrap();
    }
    let error = producer.flush(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
    assert_eq!(acks.counts(), (0, 0));
    drop(producer);
    let deadline = Instant::now() + PATIENCE;
    while acks.counts() != (0, 2_100) {
        assert!(Instant::now() < deadline, "{:?}", acks.counts());
        sleep(Duration::from_millis(10)).await;
    }
}

/// The buffer holds a thousand records here, so the second run does not fit.
#[tokio::test]
async fn a_send_that_finds_no_room_takes_nothing_over() {
    let cluster = connect(NOBODY, &[]);
    let small = [("buffer.memory", "1"), ("max.request.size", "100000"), ("max.block.ms", "300")];
    let mut producer = cluster.producer(&properties(&small)).await.unwrap();
    let (first, second, third) =
        (Arc::new(Acks::default()), Arc::new(Acks::default()), Arc::new(Acks::default()));
    producer.send(&numbers("t", None, 0, 900), first.clone()).await.unwrap();
    // Its first hundred fit, so the whole is taken over and the rest reported as failed.
    producer.send(&numbers("t", None, 0, 300), second.clone()).await.unwrap();
    assert_eq!(second.counts(), (0, 200));
    let error = producer.send(&numbers("t", None, 0, 1), third.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
    assert!(error.to_string().contains("buffer.memory"), "{error}");
    drop(producer);
    let deadline = Instant::now() + PATIENCE;
    while (first.counts(), second.counts()) != ((0, 900), (0, 300)) {
        assert!(Instant::now() < deadline, "{:?} {:?}", first.counts(), second.counts());
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(third.counts(), (0, 0));
}

/// A send that is given up half-way reports what was not handed over.
#[tokio::test]
async fn a_cancelled_send_reports_its_rest() {
    let cluster = connect(NOBODY, &[]);
    let small = [("buffer.memory", "1"), ("max.request.size", "100000")];
    let mut producer = cluster.producer(&properties(&small)).await.unwrap();
    let acks = Arc::new(Acks::default());
    let run = numbers("t", None, 0, 1_500);
    let send = producer.send(&run, acks.clone());
    assert!(tokio::time::timeout(Duration::from_millis(100), send).await.is_err());
    assert_eq!(acks.counts(), (0, 500));
    drop(producer);
}

/// Requests fail, the broker goes away for a while, and comes back: everything arrives, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_loses_nothing_and_keeps_the_order() {
    let (mock, cluster) = mock(&["t"]);
    let connects = [
        ("enable.idempotence", "false"),
        ("max.in.flight.requests.per.connection", "1"),
        ("delivery.timeout.ms", "2147483647"),
        ("max.block.ms", "9223372036854775807"),
        ("batch.size", "2000"),
    ];
    let mut producer = cluster.producer(&properties(&connects)).await.unwrap();
    let mut consumer = reader(&cluster, "t", 1).await;
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 3];
    mock.request_errors(RDKafkaApiKey::Produce, &errors);
    let acks = Arc::new(Acks::default());
    for i in 0..20 {
        producer.send(&numbers("t", None, i * 500, 500), acks.clone()).await.unwrap();
    }
    read_to(&mut *consumer, 1_000).await;
    mock.broker_down(1).unwrap();
    for i in 20..40 {
        producer.send(&numbers("t", None, i * 500, 500), acks.clone()).await.unwrap();
        consumer.poll(Duration::from_millis(20)).await.unwrap();
    }
    assert!(producer.flush(Duration::from_millis(500)).await.is_err());
    mock.broker_up(1).unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (20_000, 0), "{:?}", acks.errors());
    let rows = read_one(&mut *reader(&cluster, "t", 1).await, 20_000).await;
    assert!(rows.iter().map(number).eq(0..20_000));
    // The consumer that saw the outage goes on by itself.
    producer.send(&numbers("t", None, 20_000, 1), acks.clone()).await.unwrap();
    read_to(&mut *consumer, 20_001).await;
}

/// Polls until the next offset of `t-0` is at least this.
async fn read_to(consumer: &mut dyn Consumer, offset: i64) {
    let deadline = Instant::now() + PATIENCE;
    while consumer.position(&[tp("t", 0)]).await.unwrap()[&tp("t", 0)] < offset {
        assert!(Instant::now() < deadline, "offset {offset} is not reached");
        consumer.poll(POLL).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_commits_say_what_to_do() {
    let (mock, cluster) = mock(&["t"]);
    mock.coordinator(MockCoordinator::Group("g".to_owned()), 1).unwrap();
    produce(&cluster, &[], &[numbers("t", None, 0, 10)]).await;
    let mut consumer = member(&cluster, "g", &[]).await;
    consumer.subscribe(&Subscription::Topics(vec!["t".to_owned()])).await.unwrap();
    read_one(&mut *consumer, 10).await;
    let offsets = BTreeMap::from([(tp("t", 0), 10)]);
    for (code, kind) in [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ErrorKind::Fatal),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, ErrorKind::Conflict),
    ] {
        mock.request_errors(RDKafkaApiKey::OffsetCommit, &[code]);
        let error = consumer.commit(&offsets).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        mock.clear_request_errors(RDKafkaApiKey::OffsetCommit);
    }
}

/// No broker at the start: the consumer reads as soon as there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_waits_for_its_broker() {
    let (mock, cluster) = mock(&["t"]);
    produce(&cluster, &[], &[numbers("t", None, 0, 10)]).await;
    mock.broker_down(1).unwrap();
    let mut consumer = reader(&cluster, "t", 1).await;
    let polled = consumer.poll(Duration::from_millis(500)).await.unwrap();
    assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
    mock.broker_up(1).unwrap();
    assert_eq!(read_one(&mut *consumer, 10).await.len(), 10);
}

#[tokio::test]
async fn a_consumer_without_a_group_cannot_join_one() {
    let cluster = connect(NOBODY, &[]);
    let mut consumer = cluster.consumer(&properties(&[])).await.unwrap();
    let topics = Subscription::Topics(vec!["t".to_owned()]);
    let error = consumer.subscribe(&topics).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.message().contains("group.id"), "{error}");
    let error = consumer.commit(&BTreeMap::from([(tp("t", 0), 1)])).await.unwrap_err();
    assert!(error.message().contains("group.id"), "{error}");
    let error = consumer.seek(&BTreeMap::from([(tp("t", 0), 1)])).await.unwrap_err();
    assert_eq!(error.message(), "No current assignment for partition t-0");
    consumer.close().await.unwrap();
    assert!(consumer.poll(Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn bad_settings_name_javas_key() {
    let cluster = connect(NOBODY, &[]);
    let error = cluster
        .producer(&properties(&[("client.dns.lookup", "sometimes")]))
        .await
        .err()
        .expect("no such lookup");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("client.dns.lookup"), "{error}");
    let error = RdKafkaCluster::new(&properties(&[])).unwrap_err();
    assert!(error.message().contains("bootstrap.servers"), "{error}");
}
