//! What the client makes of a network that loses, delays and breaks. Time is the paused clock's.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BinaryViewArray};
use millrace_api::{ErrorKind, TopicPartition};
use tokio::time::Instant;

use super::*;
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
        let mover = async {
            for partition in (0..PARTITIONS).cycle() {
                tokio::time::sleep(Duration::from_millis(700)).await;
                simulation.move_leader("t", partition);
            }
        };
        let read = tokio::select! {
            read = read_all(&cluster, PARTITIONS, total) => read,
            () = mover => unreachable!("it goes on for ever"),
        };
        assert!(simulation.faults() > 10, "seed {seed}: a quiet day proves nothing");
        for (partition, read) in read.iter().enumerate() {
            let expected: Vec<_> = (0..EACH).collect();
            assert!(*read == expected, "seed {seed}, partition {partition}: {read:?}");
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
