//! What the client makes of a network that loses, delays and breaks. Time is the paused clock's.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BinaryViewArray};
use millrace_api::{ErrorKind, TopicPartition};
use tokio::time::Instant;

use super::*;
use crate::log_lines::LogLines;
use crate::{NewTopic, Outgoing, Polled};

fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: None,
        configs: BTreeMap::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_repeated_until_an_answer_arrives() {
    let simulation = Simulation::new(3, 1);
    simulation.truth().create_topic(&topic("t", 6)).await.unwrap();
    let cluster = simulation.connect().unwrap();
    simulation.script(
        Request::Metadata,
        [
            Fate::RequestLost,
            Fate::AnswerLost,
            Fate::CutShort,
            Fate::Late(Duration::from_secs(3)),
            Fate::Trickles,
        ],
    );
    for _ in 0..4 {
        let found = cluster.describe_topics(None).await.unwrap();
        assert_eq!(found, BTreeMap::from([("t".to_owned(), 6)]));
    }
    assert_eq!(simulation.faults(), 5);
}

/// Half of a connection is gone: the request's own time-out has to notice.
#[tokio::test(start_paused = true)]
async fn a_connection_that_stalls_costs_one_request_timeout() {
    let simulation = Simulation::new(1, 2);
    let cluster = simulation.connect().unwrap();
    cluster.cluster_id().await.unwrap();
    simulation.script(Request::Metadata, [Fate::Stalls]);
    let before = Instant::now();
    cluster.describe_topics(None).await.unwrap();
    let took = before.elapsed().as_secs();
    assert!((30..40).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn dead_nodes_are_named_when_time_is_up() {
    let simulation = Simulation::new(2, 3);
    let cluster = simulation.connect().unwrap();
    cluster.cluster_id().await.unwrap();
    simulation.kill(1);
    cluster.describe_topics(None).await.unwrap();
    simulation.kill(2);
    let before = Instant::now();
    let error = cluster.describe_topics(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retriable);
    assert!(error.to_string().contains("node-"), "{error}");
    let took = before.elapsed().as_secs();
    assert!((55..=62).contains(&took), "{took} s");
    simulation.restart(2);
    cluster.describe_topics(None).await.unwrap();
}

/// A batch of numbered records.
fn numbers(partition: i32, first: usize, count: usize) -> Outgoing {
    let values: Vec<_> = (first..first + count).map(|n| Some(n.to_string())).collect();
    Outgoing {
        topic: "t".into(),
        partition: Some(partition),
        keys: BinaryViewArray::from_iter(vec![None::<&[u8]>; count]),
        values: values.iter().map(|v| v.as_ref().map(String::as_bytes)).collect(),
        timestamps: None,
        headers: Vec::new(),
    }
}

/// Reads every record of a topic with these partitions, through the network.
async fn read_all(cluster: &dyn Cluster, partitions: i32, total: usize) -> Vec<Vec<usize>> {
    // Many small requests find more trouble than a few large ones.
    let properties = [
        ("request.timeout.ms", "5000"),
        ("isolation.level", "read_committed"),
        ("max.partition.fetch.bytes", "500"),
        ("fetch.max.bytes", "1000"),
    ];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let properties: Properties = properties.into();
    let mut consumer = cluster.consumer(&properties).await.unwrap();
    let all: Vec<_> = (0..partitions).map(|p| (TopicPartition::new("t", p), 0)).collect();
    consumer.assign(&all).await.unwrap();
    let mut read = vec![Vec::new(); all.len()];
    let deadline = Instant::now() + Duration::from_secs(3_600);
    while read.iter().map(Vec::len).sum::<usize>() < total {
        assert!(Instant::now() < deadline, "read {:?}", read.iter().map(Vec::len));
        let Polled::Records(runs) = consumer.poll(Duration::from_secs(1)).await.unwrap() else {
            continue;
        };
        for run in runs {
            let of = &mut read[run.topic_partition.partition as usize];
            for row in 0..run.values.len() {
                let number = std::str::from_utf8(run.values.value(row)).unwrap();
                of.push(number.parse().unwrap());
            }
        }
    }
    read
}

/// Whatever the network does and wherever leaders move: every record once, in order.
#[tokio::test(start_paused = true)]
async fn a_consumer_reads_everything_once_and_in_order() {
    const PARTITIONS: i32 = 4;
    const EACH: usize = 2_000;
    for seed in seeds(6) {
        let simulation = Simulation::new(3, seed);
        simulation.truth().create_topic(&topic("t", PARTITIONS)).await.unwrap();
        let mut producer = simulation.truth().producer(&Properties::new()).await.unwrap();
        for partition in 0..PARTITIONS {
            for first in (0..EACH).step_by(50) {
                let ack = Arc::new(Ignored);
                producer.send(&numbers(partition, first, 50), ack).await.unwrap();
            }
        }
        producer.flush(Duration::from_secs(60)).await.unwrap();
        simulation.set_chances(TROUBLE);
        let cluster = simulation.connect().unwrap();
        let total = EACH * PARTITIONS as usize;
        let reading = read_all(&cluster, PARTITIONS, total);
        let read = while_leaders_move(&simulation, PARTITIONS, reading).await;
        assert!(simulation.faults() > 10, "seed {seed}: a quiet day proves nothing");
        for (partition, read) in read.iter().enumerate() {
            let expected: Vec<_> = (0..EACH).collect();
            assert!(*read == expected, "seed {seed}, partition {partition}: {read:?}");
        }
    }
}

/// Moves leaders, one every so often, for as long as the other future takes.
async fn while_leaders_move<T>(
    simulation: &Simulation,
    partitions: i32,
    what: impl Future<Output = T>,
) -> T {
    let mover = async {
        for partition in (0..partitions).cycle() {
            tokio::time::sleep(Duration::from_millis(700)).await;
            simulation.move_leader("t", partition);
        }
    };
    tokio::select! {
        done = what => done,
        () = mover => unreachable!("it goes on for ever"),
    }
}

/// A producer through the network. Its requests are small, so that many meet trouble.
async fn producer(cluster: &dyn Cluster, more: &[(&str, &str)]) -> Box<dyn crate::Producer> {
    let properties = [
        ("batch.size", "200"),
        ("max.request.size", "1000"),
        ("request.timeout.ms", "5000"),
        ("delivery.timeout.ms", "3600000"),
        ("max.block.ms", "3600000"),
        ("transaction.timeout.ms", "900000"),
    ];
    let properties = properties.iter().chain(more);
    let properties = properties.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    cluster.producer(&properties.collect()).await.unwrap()
}

const PARTITIONS_SENT: i32 = 3;
const EACH_SENT: usize = 1_500;

/// Sends numbered records on a bad day, and reads what is in the logs.
async fn sent(seed: u64, settings: &[(&str, &str)]) -> Vec<Vec<usize>> {
    let simulation = Simulation::new(3, seed);
    simulation.truth().create_topic(&topic("t", PARTITIONS_SENT)).await.unwrap();
    simulation.set_chances(TROUBLE);
    let cluster = simulation.connect().unwrap();
    let sending = async {
        let mut producer = producer(&cluster, settings).await;
        for first in (0..EACH_SENT).step_by(10) {
            for partition in 0..PARTITIONS_SENT {
                let ack = Arc::new(Ignored);
                producer.send(&numbers(partition, first, 10), ack).await.unwrap();
            }
        }
        producer.flush(Duration::from_secs(36_000)).await.unwrap();
    };
    while_leaders_move(&simulation, PARTITIONS_SENT, sending).await;
    assert!(simulation.faults() > 10, "seed {seed}: a quiet day proves nothing");
    let ends: Vec<_> = (0..PARTITIONS_SENT).map(|p| TopicPartition::new("t", p)).collect();
    let ends = simulation.truth().end_offsets(&ends).await.unwrap();
    let total = usize::try_from(ends.values().sum::<i64>()).unwrap();
    read_all(simulation.truth(), PARTITIONS_SENT, total).await
}

/// Idempotent, with five requests in flight: every record is in the log once, in order, whatever
/// became of the answers.
#[tokio::test(start_paused = true)]
async fn a_producer_writes_everything_once_and_in_order() {
    let expected: Vec<_> = (0..EACH_SENT).collect();
    for seed in seeds(6) {
        for read in sent(seed, &[]).await {
            assert!(read == expected, "seed {seed}: {read:?}");
        }
    }
}

/// One request at a time, as Connect's sources have it: some records twice perhaps, but never one
/// before its turn, and none is missing.
#[tokio::test(start_paused = true)]
async fn a_producer_that_is_not_idempotent_keeps_the_order_too() {
    let settings =
        [("enable.idempotence", "false"), ("max.in.flight.requests.per.connection", "1")];
    let mut repeated = 0;
    for seed in seeds(6) {
        for read in sent(seed, &settings).await {
            let mut next = 0;
            for number in &read {
                assert!(*number <= next, "seed {seed}: {number} before {next}: {read:?}");
                next = next.max(number + 1);
            }
            assert_eq!(next, EACH_SENT, "seed {seed}");
            repeated += read.len() - EACH_SENT;
        }
    }
    // Else the test above would prove nothing.
    assert!(repeated > 0, "answers were lost, and yet nothing was sent twice");
}

/// Who reads what is committed sees whole transactions, each once and in order, and nothing of those
/// that were given up.
#[tokio::test(start_paused = true)]
async fn transactions_are_all_or_nothing_whatever_is_lost() {
    const PARTITIONS: i32 = 2;
    const EACH: usize = 20;
    for seed in seeds(4) {
        let simulation = Simulation::new(3, seed);
        simulation.truth().create_topic(&topic("t", PARTITIONS)).await.unwrap();
        simulation.set_chances(TROUBLE);
        let cluster = simulation.connect().unwrap();
        let hour = Duration::from_secs(3_600);
        let sending = async {
            let mut producer = producer(&cluster, &[("transactional.id", "x")]).await;
            producer.init_transactions(hour).await.unwrap();
            let mut committed = 0;
            for turn in 0..40 {
                producer.begin_transaction().unwrap();
                for partition in 0..PARTITIONS {
                    // What is given up bears numbers that nobody expects.
                    let first = if turn % 4 == 3 { 1_000_000 } else { committed };
                    let ack = Arc::new(Either);
                    producer.send(&numbers(partition, first, EACH), ack).await.unwrap();
                }
                if turn % 4 == 3 {
                    producer.abort_transaction(hour).await.unwrap();
                } else {
                    producer.commit_transaction(hour).await.unwrap();
                    committed += EACH;
                }
            }
            committed
        };
        let committed = while_leaders_move(&simulation, PARTITIONS, sending).await;
        assert!(simulation.faults() > 10, "seed {seed}: a quiet day proves nothing");
        simulation.set_chances(Chances::default());
        let total = committed * PARTITIONS as usize;
        for read in read_all(&cluster, PARTITIONS, total).await {
            let expected: Vec<_> = (0..committed).collect();
            assert!(read == expected, "seed {seed}: {read:?}");
        }
    }
}

/// A bad day.
const TROUBLE: Chances =
    Chances { late: 50, request_lost: 30, answer_lost: 50, cut_short: 30, stalls: 5, trickles: 20 };

/// Some that were drawn now, and those that once failed. `MILLRACE_SEED` repeats one.
fn seeds(count: usize) -> BTreeSet<u64> {
    const ONCE_FAILED: [u64; 0] = [];
    match std::env::var("MILLRACE_SEED") {
        Ok(seed) => BTreeSet::from([seed.parse().unwrap()]),
        Err(_) => (0..count).map(|_| fastrand::u64(..)).chain(ONCE_FAILED).collect(),
    }
}

/// Nobody needs to know.
struct Ignored;

impl crate::Acknowledge for Ignored {
    fn acknowledged(&self, _: usize) {}
    fn failed(&self, _: usize, error: &millrace_api::Error) {
        panic!("{error}");
    }
}

/// Records of a transaction that is given up may fail, and may have been acknowledged before.
struct Either;

impl crate::Acknowledge for Either {
    fn acknowledged(&self, _: usize) {}
    fn failed(&self, _: usize, _: &millrace_api::Error) {}
}

/// In the order of a day: nothing is there, a broker comes, it goes and comes back.
#[tokio::test(start_paused = true)]
async fn the_log_says_why_nobody_is_reached_and_when_that_is_over() {
    let (lines, _guard) = LogLines::keep();
    let simulation = Simulation::new(1, 17);
    let cluster = simulation.connect().unwrap();
    simulation.kill(1);
    let error = cluster.describe_cluster().await.unwrap_err().to_string();
    assert!(error.contains("connection refused"), "{error}");
    let waiting = lines.take();
    assert!((5..8).contains(&waiting.len()), "about one in ten seconds of a minute: {waiting:?}");
    assert!(waiting.iter().all(|line| line.contains("connection refused")), "{waiting:?}");
    for _ in 0..2 {
        simulation.restart(1);
        cluster.describe_cluster().await.unwrap();
        let again = lines.take();
        assert_eq!(again.len(), 1, "{again:?}");
        assert!(again[0].contains("reaches broker") && again[0].contains("again"), "{again:?}");
        tokio::time::sleep(Duration::from_secs(20)).await;
        cluster.describe_cluster().await.unwrap();
        assert!(lines.take().is_empty());
        simulation.kill(1);
        tokio::select! {
            _ = cluster.describe_cluster() => panic!("nobody answers"),
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
        assert_eq!(lines.take().len(), 1);
    }
}
