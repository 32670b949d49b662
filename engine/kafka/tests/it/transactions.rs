//! What every backend must do about transactions: one function a promise, for [`transactions!`] to
//! run against each of them.

use std::sync::Arc;
use std::time::Duration;

use millrace_api::ErrorKind;
use millrace_kafka::{Acknowledge, Cluster, Consumer, Isolation, OffsetSpec, Polled, Producer};
use tokio::time::Instant;

use crate::fixture::*;

/// A test for each promise, against the cluster in what the expression gives (it may await).
macro_rules! transactions {
    ($cluster:expr) => {
        transactions!($cluster;
            committed_records_are_seen_and_aborted_ones_are_not a_zombie_is_fenced
            a_commit_that_ran_out_of_time_is_asked_for_again
            what_is_out_of_order_is_refused nothing_needs_no_transaction
            a_failed_record_leaves_only_the_abort an_open_transaction_ends_with_the_next_producer
            many_transactions_on_many_partitions
        );
    };
    ($cluster:expr; $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let cluster = $cluster;
                crate::transactions::$name(crate::fixture::Holder::cluster(&cluster)).await;
            }
        )+
    };
}

async fn producer(cluster: &dyn Cluster, id: &str) -> Box<dyn Producer> {
    let mut producer = cluster.producer(&properties(&[("transactional.id", id)])).await.unwrap();
    producer.init_transactions(PATIENCE).await.unwrap();
    producer
}

/// Sends numbers in a transaction of their own, which stays open.
async fn open(producer: &mut dyn Producer, topic: &str, partition: i32, first: usize) {
    producer.begin_transaction().unwrap();
    let acks = Arc::new(Acks::default());
    producer.send(&numbers(topic, Some(partition), first, 10), acks).await.unwrap();
}

async fn committed_only(cluster: &dyn Cluster, topic: &str, partitions: i32) -> Box<dyn Consumer> {
    let committed = [("isolation.level", "read_committed")];
    let mut consumer = cluster.consumer(&properties(&committed)).await.unwrap();
    let from: Vec<_> = (0..partitions).map(|p| (tp(topic, p), 0)).collect();
    consumer.assign(&from).await.unwrap();
    consumer
}

pub(crate) async fn committed_records_are_seen_and_aborted_ones_are_not(cluster: &dyn Cluster) {
    let topic = topic(cluster, "transactions", 2).await;
    let mut producer = producer(cluster, &unique("id")).await;
    for round in 0..4 {
        open(&mut *producer, &topic, 0, round * 20).await;
        let acks = Arc::new(Acks::default());
        let more = numbers(&topic, Some(1), round * 20 + 10, 10);
        producer.send(&more, acks.clone()).await.unwrap();
        if round % 2 == 0 {
            producer.flush(PATIENCE).await.unwrap();
            assert_eq!(acks.counts(), (10, 0), "{:?}", acks.errors());
            producer.commit_transaction(PATIENCE).await.unwrap();
        } else {
            // Half of the time before anything is sent.
            if round == 1 {
                producer.flush(PATIENCE).await.unwrap();
            }
            producer.abort_transaction(PATIENCE).await.unwrap();
        }
    }
    let rows = read(&mut *committed_only(cluster, &topic, 2).await, 40).await;
    let seen = |partition| rows[&tp(&topic, partition)].iter().map(number).collect::<Vec<_>>();
    assert_eq!(seen(0), (0..10).chain(40..50).collect::<Vec<_>>());
    assert_eq!(seen(1), (10..20).chain(50..60).collect::<Vec<_>>());
}

pub(crate) async fn a_zombie_is_fenced(cluster: &dyn Cluster) {
    let topic = topic(cluster, "zombie", 1).await;
    let id = unique("id");
    let mut old = producer(cluster, &id).await;
    open(&mut *old, &topic, 0, 0).await;
    old.flush(PATIENCE).await.unwrap();
    let mut new = producer(cluster, &id).await;
    let error = old.commit_transaction(PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    let error = old.begin_transaction().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    open(&mut *new, &topic, 0, 100).await;
    new.commit_transaction(PATIENCE).await.unwrap();
    let rows = read_one(&mut *committed_only(cluster, &topic, 1).await, 10).await;
    assert!(rows.iter().map(number).eq(100..110));
}

/// A caller that gave up waiting asks again, as often as it likes.
pub(crate) async fn a_commit_that_ran_out_of_time_is_asked_for_again(cluster: &dyn Cluster) {
    let topic = topic(cluster, "again", 1).await;
    let mut producer = producer(cluster, &unique("id")).await;
    for round in 0..3 {
        open(&mut *producer, &topic, 0, round * 10).await;
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = producer.commit_transaction(Duration::from_millis(1)).await {
            assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
            assert!(Instant::now() < deadline, "{error}");
        }
    }
    let rows = read_one(&mut *committed_only(cluster, &topic, 1).await, 30).await;
    assert!(rows.iter().map(number).eq(0..30));
}

pub(crate) async fn what_is_out_of_order_is_refused(cluster: &dyn Cluster) {
    let topic = topic(cluster, "order", 1).await;
    let mut plain = cluster.producer(&properties(&[])).await.unwrap();
    for error in [
        plain.init_transactions(PATIENCE).await.unwrap_err(),
        plain.begin_transaction().unwrap_err(),
        plain.commit_transaction(PATIENCE).await.unwrap_err(),
        plain.abort_transaction(PATIENCE).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains("transactional.id"), "{error}");
    }
    let id = unique("id");
    let mut producer = cluster.producer(&properties(&[("transactional.id", &id)])).await.unwrap();
    assert_eq!(producer.begin_transaction().unwrap_err().kind(), ErrorKind::Fatal);
    producer.init_transactions(PATIENCE).await.unwrap();
    let acks: Arc<dyn Acknowledge> = Arc::new(Acks::default());
    assert!(is_refused(&mut *producer, &topic).await, "no transaction is open");
    assert!(producer.commit_transaction(PATIENCE).await.is_err());
    producer.begin_transaction().unwrap();
    assert!(producer.begin_transaction().is_err());
    producer.send(&numbers(&topic, None, 0, 1), acks).await.unwrap();
    producer.commit_transaction(PATIENCE).await.unwrap();
}

/// Whether a record is not taken over, or reported as failed at once.
async fn is_refused(producer: &mut dyn Producer, topic: &str) -> bool {
    let acks = Arc::new(Acks::default());
    match producer.send(&numbers(topic, None, 0, 1), acks.clone()).await {
        Err(error) => error.kind() == ErrorKind::Fatal && acks.counts() == (0, 0),
        Ok(()) => acks.counts() == (0, 1),
    }
}

pub(crate) async fn nothing_needs_no_transaction(cluster: &dyn Cluster) {
    let mut producer = producer(cluster, &unique("id")).await;
    for _ in 0..2 {
        producer.begin_transaction().unwrap();
        producer.commit_transaction(PATIENCE).await.unwrap();
        producer.begin_transaction().unwrap();
        producer.abort_transaction(PATIENCE).await.unwrap();
    }
}

/// A record that its topic does not take fails the transaction; what comes after it goes well.
pub(crate) async fn a_failed_record_leaves_only_the_abort(cluster: &dyn Cluster) {
    let small = [("max.message.bytes", "2000")];
    let topic = topic_with(cluster, "failed", 1, &small).await;
    let mut producer = producer(cluster, &unique("id")).await;
    open(&mut *producer, &topic, 0, 0).await;
    producer.flush(PATIENCE).await.unwrap();
    let large = vec![b'x'; 10_000];
    let acks = Arc::new(Acks::default());
    producer.send(&run(&topic, &[(None, Some(&large))]), acks.clone()).await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (0, 1));
    let error = producer.commit_transaction(PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    producer.abort_transaction(PATIENCE).await.unwrap();
    let mut failed = 0;
    for round in 1..3 {
        open(&mut *producer, &topic, 0, round * 10).await;
        while let Err(error) = producer.commit_transaction(PATIENCE).await {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            producer.abort_transaction(PATIENCE).await.unwrap();
            failed += 1;
            // librdkafka goes on with the numbers after those of the failed record, and has to
            // abort once more.
            assert!(failed <= 1, "{error}");
            open(&mut *producer, &topic, 0, round * 10).await;
        }
    }
    let rows = read_one(&mut *committed_only(cluster, &topic, 1).await, 20).await;
    assert!(rows.iter().map(number).eq(10..30));
}

/// Whoever registers the id next ends what the one before has left open.
pub(crate) async fn an_open_transaction_ends_with_the_next_producer(cluster: &dyn Cluster) {
    let topic = topic(cluster, "left", 1).await;
    let id = unique("id");
    let mut left = producer(cluster, &id).await;
    open(&mut *left, &topic, 0, 0).await;
    left.flush(PATIENCE).await.unwrap();
    drop(left);
    let mut consumer = committed_only(cluster, &topic, 1).await;
    let polled = consumer.poll(Duration::from_millis(300)).await.unwrap();
    assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()), "it is still open");
    let mut next = producer(cluster, &id).await;
    open(&mut *next, &topic, 0, 10).await;
    next.commit_transaction(PATIENCE).await.unwrap();
    assert!(read_one(&mut *consumer, 10).await.iter().map(number).eq(10..20));
}

pub(crate) async fn many_transactions_on_many_partitions(cluster: &dyn Cluster) {
    const PARTITIONS: i32 = 8;
    let topic = topic(cluster, "many", PARTITIONS).await;
    let mut producer = producer(cluster, &unique("id")).await;
    let mut expected = vec![Vec::new(); PARTITIONS as usize];
    for round in 0..30_usize {
        producer.begin_transaction().unwrap();
        let acks = Arc::new(Acks::default());
        for p in 0..PARTITIONS {
            let run = numbers(&topic, Some(p), round * 100, 20);
            producer.send(&run, acks.clone()).await.unwrap();
        }
        if round % 3 == 2 {
            producer.abort_transaction(PATIENCE).await.unwrap();
            continue;
        }
        producer.commit_transaction(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (20 * PARTITIONS as usize, 0), "{:?}", acks.errors());
        for partition in &mut expected {
            partition.extend(round * 100..round * 100 + 20);
        }
    }
    let all = expected.iter().map(Vec::len).sum();
    let rows = read(&mut *committed_only(cluster, &topic, PARTITIONS).await, all).await;
    for (p, expected) in (0..).zip(expected) {
        assert!(rows[&tp(&topic, p)].iter().map(number).eq(expected), "partition {p}");
    }
}

/// Who has an id that was fenced writes nothing more, and what it left open holds no reader up.
pub(crate) async fn fenced_from_outside(cluster: &dyn Cluster) {
    let topic = topic(cluster, "fenced", 1).await;
    let (id, unknown) = (unique("id"), unique("id"));
    let mut zombie = producer(cluster, &id).await;
    open(&mut *zombie, &topic, 0, 0).await;
    zombie.flush(PATIENCE).await.unwrap();
    cluster.fence_producers(&[&id, &unknown]).await.unwrap();
    let error = zombie.commit_transaction(PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    let deadline = Instant::now() + PATIENCE;
    let partition = [tp(&topic, 0)];
    loop {
        let end = |isolation| cluster.list_offsets(&partition, OffsetSpec::Latest, isolation);
        let stable = end(Isolation::Committed).await.unwrap();
        if stable == end(Isolation::Uncommitted).await.unwrap() {
            break;
        }
        assert!(Instant::now() < deadline, "the transaction stays open: {stable:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut successor = producer(cluster, &id).await;
    open(&mut *successor, &topic, 0, 50).await;
    successor.commit_transaction(PATIENCE).await.unwrap();
    let read = read_one(&mut *committed_only(cluster, &topic, 1).await, 10).await;
    assert!(read.iter().map(number).eq(50..60), "nothing of the zombie's");
}
