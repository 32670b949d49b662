//! The librdkafka backend: every promise of `Cluster` against the broker that
//! `MILLRACE_TEST_BOOTSTRAP` names, and what only a real client has to get right.

use std::sync::Arc;
use std::time::Duration;

use millrace_kafka::librdkafka::RdKafkaCluster;
use millrace_kafka::{Cluster, Outgoing, Polled};
use tokio::time::Instant;

use crate::fixture::*;

/// The cluster to test against, if there is one.
fn cluster() -> Option<Arc<dyn Cluster>> {
    Some(Arc::new(RdKafkaCluster::new(&broker()?).expect("the properties are legal")))
}

conformance!(cluster_or_skip!());
conformance!(cluster_or_skip!();
    seek_and_pause_before_fetching_begins a_pause_in_the_middle_holds_back_what_was_fetched_ahead
    cooperative_members_keep_what_they_have a_member_that_does_not_poll_loses_its_partitions
    the_consumer_group_protocol
);

mod transactions {
    use super::*;

    transactions!(cluster_or_skip!());
}

#[tokio::test]
async fn a_refused_record_names_its_place() {
    let cluster = cluster_or_skip!();
    let name = topic_with(&*cluster, "compacted", 2, &[("cleanup.policy", "compact")]).await;
    let mut producer = cluster.producer(&properties(&[])).await.unwrap();
    let acks = Arc::new(Acks::default());
    for (topic, partition) in [(&*name, Some(1)), ("no/topic", None)] {
        producer.send(&numbers(topic, partition, 0, 1), acks.clone()).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
    }
    let errors = acks.errors();
    let place = format!("topic: {name}, partition: 1, hint: a compacted topic takes no record");
    assert!(errors[0].contains(&place), "{errors:?}");
    assert!(errors[1].contains("TOPIC_EXCEPTION) (topic: no/topic"), "{errors:?}");
    cluster.delete_topic(&name).await.unwrap();
}

/// A full buffer makes the send wait; whatever is retried, the order holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_keeps_the_order() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "full", 3).await;
    for more in [("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "1")] {
        // Room for about a thousand records.
        let small = [("buffer.memory", "1"), ("max.request.size", "1000"), more];
        let runs: Vec<_> = (0..10).map(|i| numbers(&topic, Some(0), i * 5_000, 5_000)).collect();
        produce(&*cluster, &small, &runs).await;
    }
    let read = read(&mut *reader(&*cluster, &topic, 1).await, 100_000).await;
    assert!(read[&tp(&topic, 0)].iter().map(number).eq((0..50_000).chain(0..50_000)));
}

/// One record too many costs that record: the others of its run are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_fails_alone() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "large", 1).await;
    let large = vec![b'x'; 200_000];
    let values = [(None, Some(&b"first"[..])), (None, Some(&large)), (None, Some(b"last"))];
    let mut producer =
        cluster.producer(&properties(&[("max.request.size", "100000")])).await.unwrap();
    for headers in [vec![], vec![vec![("h".into(), None)]; 3]] {
        let acks = Arc::new(Acks::default());
        let run = Outgoing { headers, ..run(&topic, &values) };
        producer.send(&run, acks.clone()).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (2, 1));
        assert!(acks.errors()[0].contains("MSG_SIZE_TOO_LARGE"), "{:?}", acks.errors());
    }
    let rows = read_one(&mut *reader(&*cluster, &topic, 1).await, 4).await;
    let values: Vec<_> = rows.iter().map(|row| row.value.clone().unwrap()).collect();
    assert_eq!(values, [&b"first"[..], b"last", b"first", b"last"]);
}

/// A topic that is missing fails the records at last, not the producer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_does_not_exist() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "partition", 1).await;
    let mut producer = cluster.producer(&properties(&[])).await.unwrap();
    let acks = Arc::new(Acks::default());
    producer.send(&numbers(&topic, Some(7), 0, 3), acks.clone()).await.unwrap();
    producer.send(&numbers(&topic, Some(0), 0, 3), acks.clone()).await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (3, 3), "{:?}", acks.errors());
}

/// Not a test: what the client costs. `cargo test --release -- --ignored throughput`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, to be run alone and in release"]
async fn throughput() {
    const RECORDS: usize = 1_000_000;
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "throughput", 1).await;
    let value = [b'v'; 100];
    let values = vec![(None, Some(&value[..])); 1_000];
    let run = run(&topic, &values);
    for settings in [
        vec![],
        vec![("enable.idempotence", "false"), ("max.in.flight.requests.per.connection", "1")],
    ] {
        let mut producer = cluster.producer(&properties(&settings)).await.unwrap();
        let acks = Arc::new(Acks::default());
        let (cpu, wall) = (cpu_time(), Instant::now());
        for _ in 0..RECORDS / 1_000 {
            producer.send(&run, acks.clone()).await.unwrap();
        }
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (RECORDS, 0));
        report("produce", RECORDS, cpu, wall);
    }
    for most in ["500", "2000", "10000"] {
        let mut consumer =
            cluster.consumer(&properties(&[("max.poll.records", most)])).await.unwrap();
        consumer.assign(&[(tp(&topic, 0), 0)]).await.unwrap();
        let (cpu, wall) = (cpu_time(), Instant::now());
        let (mut left, mut runs_read) = (2 * RECORDS, 0);
        while left > 0 {
            let Polled::Records(runs) = consumer.poll(POLL).await.unwrap() else {
                continue;
            };
            for run in &runs {
                left -= run.offsets.len();
                runs_read += 1;
            }
        }
        report(&format!("consume, {} runs", runs_read), 2 * RECORDS, cpu, wall);
    }
}

/// CPU time of this process, all threads, in clock ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn report(what: &str, records: usize, cpu: Duration, wall: Instant) {
    let cpu = (cpu_time() - cpu).as_nanos() / records as u128;
    let wall = wall.elapsed().as_nanos() / records as u128;
    eprintln!("{what}: {cpu} ns CPU, {wall} ns wall a record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_group_has_committed_nothing() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "nothing", 1).await;
    let committed = cluster.committed(&unique("group"), &[tp(&topic, 0)]).await.unwrap();
    assert!(committed.is_empty(), "{committed:?}");
}
