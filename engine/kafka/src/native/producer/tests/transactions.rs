//! Transactions whose partitions are added one by one (before KIP-890), with a coordinator that
//! takes its time.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError as Code;
use millrace_api::ErrorKind;

use super::sending::{Acks, Cluster, producer, run};
use crate::native::producer::NativeProducer;
use crate::{Outgoing, Producer};

const PATIENCE: Duration = Duration::from_secs(20);

async fn open(cluster: &Arc<Cluster>) -> NativeProducer {
    let settings = [
        ("transactional.id", "id"),
        ("delivery.timeout.ms", "3000"),
        ("request.timeout.ms", "2000"),
        ("linger.ms", "0"),
    ];
    let mut producer = producer(cluster, &settings);
    producer.init_transactions(PATIENCE).await.unwrap();
    producer.begin_transaction().unwrap();
    producer
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_wait_for_a_partition_that_is_gone() {
    let cluster = Cluster::new(11, Duration::ZERO);
    let gone = (Some(Code::UnknownTopicOrPartition), Duration::ZERO);
    cluster.adding.lock().unwrap().push_back(gone);
    let mut producer = open(&cluster).await;
    let acks = Arc::new(Acks::default());
    producer.send(&run(0, 0..10), acks.clone()).await.unwrap();
    let error = producer.commit_transaction(PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(acks.counts(), (0, 10));
    producer.abort_transaction(PATIENCE).await.unwrap();
    cluster.adding.lock().unwrap().clear();
    producer.begin_transaction().unwrap();
    producer.send(&run(0, 10..20), acks.clone()).await.unwrap();
    producer.commit_transaction(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (10, 10));
    assert_eq!(cluster.ended.lock().unwrap().last(), Some(&true));
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_what_is_just_being_added() {
    let cluster = Cluster::new(11, Duration::ZERO);
    cluster.adding.lock().unwrap().push_back((None, Duration::from_secs(1)));
    let mut producer = open(&cluster).await;
    producer.send(&run(0, 0..10), Arc::new(Acks::default())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    producer.abort_transaction(PATIENCE).await.unwrap();
    assert_eq!(*cluster.ended.lock().unwrap(), [false], "the coordinator has added it");
}

/// With many partitions the sender takes a while to look through them; meanwhile the transaction it
/// gives up ends, and the next one begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_takes_nothing_of_the_next_transaction() {
    const TOPICS: u32 = 1_000;
    let cluster = Cluster::new(11, Duration::ZERO);
    let settings = [("transactional.id", "id"), ("linger.ms", "1000")];
    let mut producer = producer(&cluster, &settings);
    producer.init_transactions(PATIENCE).await.unwrap();
    let to = |topic: u32, numbers| Outgoing { topic: topic.to_string().into(), ..run(0, numbers) };
    producer.begin_transaction().unwrap();
    for topic in 0..TOPICS {
        producer.send(&to(topic, 0..1), Arc::new(Acks::default())).await.unwrap();
    }
    producer.commit_transaction(PATIENCE).await.unwrap();
    for round in 0..100 {
        producer.begin_transaction().unwrap();
        producer.send(&to(0, 0..5), Arc::new(Acks::default())).await.unwrap();
        producer.abort_transaction(PATIENCE).await.unwrap();
        producer.begin_transaction().unwrap();
        let acks = Arc::new(Acks::default());
        producer.send(&to(TOPICS - 1, 0..5), acks.clone()).await.unwrap();
        producer.commit_transaction(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (5, 0), "round {round}: a committed transaction lacks records");
    }
}
