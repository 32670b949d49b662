//! The librdkafka backend: every promise of `Cluster` against the broker that
//! `MILLRACE_TEST_BOOTSTRAP` names, and what only a real client has to get right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_kafka::librdkafka::RdKafkaCluster;
use millrace_kafka::{Cluster, Outgoing, Polled, Subscription};
use tokio::time::{Instant, sleep};

use crate::fixture::*;

/// The cluster to test against, if there is one.
fn cluster() -> Option<Arc<dyn Cluster>> {
    let Ok(servers) = std::env::var("MILLRACE_TEST_BOOTSTRAP") else {
        eprintln!("skipped: MILLRACE_TEST_BOOTSTRAP=host:port is not set");
        return None;
    };
    let properties = properties(&[("bootstrap.servers", &servers)]);
    Some(Arc::new(RdKafkaCluster::new(&properties).expect("the properties are legal")))
}

macro_rules! cluster_or_skip {
    () => {
        match cluster() {
            Some(cluster) => cluster,
            None => return,
        }
    };
}

conformance!(cluster_or_skip!());

mod transactions {
    use super::*;

    transactions!(cluster_or_skip!());
}

/// Polls until this returns something; records are passed over.
async fn until<T>(
    members: &mut [&mut Tracked],
    mut done: impl FnMut(&[&mut Tracked]) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = done(members) {
            return done;
        }
        assert!(Instant::now() < deadline, "the group does not get there");
        for member in members.iter_mut() {
            member.poll().await;
        }
    }
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

/// Between `Assigned` and the next poll the caller may move and stop partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seek_and_pause_before_fetching_begins() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "assigned", 2).await;
    produce(&*cluster, &[], &[numbers(&topic, Some(0), 0, 50), numbers(&topic, Some(1), 0, 50)])
        .await;
    let mut consumer = member(&*cluster, &unique("group"), &[]).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !matches!(consumer.poll(POLL).await.unwrap(), Polled::Assigned(_)) {
        assert!(Instant::now() < deadline);
    }
    let (zero, one) = (tp(&topic, 0), tp(&topic, 1));
    let position = consumer.position(&[zero.clone(), one.clone()]).await.unwrap();
    assert_eq!(position, BTreeMap::from([(zero.clone(), 0), (one.clone(), 0)]));
    consumer.seek(&BTreeMap::from([(zero.clone(), 40)])).await.unwrap();
    consumer.pause(std::slice::from_ref(&one)).unwrap();
    let rows = read(&mut *consumer, 10).await;
    assert!(rows[&zero].iter().map(number).eq(40..50));
    assert!(matches!(consumer.poll(POLL).await.unwrap(), Polled::Records(runs) if runs.is_empty()));
    consumer.seek(&BTreeMap::from([(one.clone(), 45)])).await.unwrap();
    consumer.resume(std::slice::from_ref(&one)).unwrap();
    let rows = read(&mut *consumer, 5).await;
    assert!(rows[&one].iter().map(number).eq(45..50));
}

/// Records that were fetched ahead do not come after a pause, and come after the resume.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_the_middle_holds_back_what_was_fetched_ahead() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "ahead", 1).await;
    produce(&*cluster, &[], &[numbers(&topic, None, 0, 4_000)]).await;
    let mut consumer = reader(&*cluster, &topic, 1).await;
    let mut all = Vec::new();
    while all.len() < 4_000 {
        let rows = read_some(&mut *consumer).await;
        all.extend(rows);
        consumer.pause(&[tp(&topic, 0)]).unwrap();
        for _ in 0..2 {
            let polled = consumer.poll(Duration::from_millis(2)).await.unwrap();
            assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
        }
        consumer.resume(&[tp(&topic, 0)]).unwrap();
    }
    assert!(all.into_iter().eq(0..4_000));
}

async fn read_some(consumer: &mut dyn millrace_kafka::Consumer) -> Vec<usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no records come");
        let Polled::Records(runs) = consumer.poll(POLL).await.unwrap() else {
            continue;
        };
        let read: Vec<_> = runs.iter().flat_map(rows).map(|row| number(&row)).collect();
        if !read.is_empty() {
            return read;
        }
    }
}

/// The cooperative protocol moves only the partitions that change hands, and a commit for them
/// is still taken after `Revoked`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cooperative_members_keep_what_they_have() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "cooperative", 4).await;
    let group = unique("group");
    let runs: Vec<_> = (0..4).map(|p| numbers(&topic, Some(p), 0, 100)).collect();
    produce(&*cluster, &[], &runs).await;
    let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let strategy = [("partition.assignment.strategy", class)];
    let subscription = Subscription::Topics(vec![topic.clone()]);
    let mut first = Tracked::new(member(&*cluster, &group, &strategy).await);
    first.consumer.subscribe(&subscription).await.unwrap();
    until(&mut [&mut first], |m| (m[0].read.len() == 400).then_some(())).await;
    let before = first.assigned.clone();
    let mut second = Tracked::new(member(&*cluster, &group, &strategy).await);
    second.consumer.subscribe(&subscription).await.unwrap();
    let shared =
        |m: &[&mut Tracked]| (m[0].assigned.len() == 2 && m[1].assigned.len() == 2).then_some(());
    until(&mut [&mut first, &mut second], shared).await;
    assert!(first.assigned.is_subset(&before));
    // `Tracked` has committed what was revoked, so the second member has nothing left to read.
    let moved: Vec<_> = second.assigned.iter().cloned().collect();
    let committed = cluster.committed(&group, &moved).await.unwrap();
    assert!(committed.len() == 2 && committed.values().all(|offset| *offset == 100));
    assert!(second.read.is_empty());
    // Without a close, dropping the second member gives its partitions back.
    drop(second);
    until(&mut [&mut first], |m| (m[0].assigned.len() == 4).then_some(())).await;
}

/// Who does not poll for `max.poll.interval.ms` loses the partitions, is told so, and cannot
/// commit for them; polling on brings them back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_poll_loses_its_partitions() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "lost", 1).await;
    produce(&*cluster, &[], &[numbers(&topic, None, 0, 10)]).await;
    let short = [("session.timeout.ms", "6000"), ("max.poll.interval.ms", "6000")];
    let mut consumer = member(&*cluster, &unique("group"), &short).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    read(&mut *consumer, 10).await;
    sleep(Duration::from_secs(8)).await;
    let error = consumer.commit(&BTreeMap::from([(tp(&topic, 0), 5)])).await.unwrap_err();
    assert_eq!(error.kind(), millrace_api::ErrorKind::Conflict, "{error}");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while seen != ["lost", "assigned"] {
        assert!(Instant::now() < deadline, "{seen:?}");
        match consumer.poll(POLL).await.unwrap() {
            Polled::Lost(partitions) => {
                assert_eq!(partitions, [tp(&topic, 0)]);
                seen.push("lost");
            }
            Polled::Assigned(_) => seen.push("assigned"),
            Polled::Revoked(partitions) => panic!("{partitions:?} are lost, not revoked"),
            Polled::Records(_) => {}
        }
    }
    assert_eq!(read_one(&mut *consumer, 10).await.len(), 10, "nothing was committed");
}

/// The new group protocol goes through the same events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_group_protocol() {
    let cluster = cluster_or_skip!();
    let topic = topic(&*cluster, "kip848", 2).await;
    produce(&*cluster, &[], &[numbers(&topic, Some(0), 0, 10), numbers(&topic, Some(1), 0, 10)])
        .await;
    let group = unique("group");
    let mut consumer =
        Tracked::new(member(&*cluster, &group, &[("group.protocol", "consumer")]).await);
    consumer.consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    until(&mut [&mut consumer], |m| (m[0].read.len() == 20).then_some(())).await;
    let at = BTreeMap::from([(tp(&topic, 0), 10), (tp(&topic, 1), 10)]);
    consumer.consumer.commit(&at).await.unwrap();
    let both: Vec<_> = at.keys().cloned().collect();
    assert_eq!(cluster.committed(&group, &both).await.unwrap(), at);
    consumer.consumer.close().await.unwrap();
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
