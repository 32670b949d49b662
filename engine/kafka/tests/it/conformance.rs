//! What every backend must do: one function a promise of `Cluster`, for [`conformance!`] to run
//! against each of them. They use topics and groups of their own, so that they can share a broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_api::ErrorKind;
use millrace_kafka::partitioner::partition_of;
use millrace_kafka::{
    Cluster, Isolation, NewTopic, OffsetSpec, Outgoing, Polled, RawHeaders, Subscription,
};
use tokio::time::Instant;

pub(crate) use crate::consumers::*;
use crate::fixture::*;

/// A test for each promise, against the cluster in what the expression gives (it may await).
macro_rules! conformance {
    ($cluster:expr) => {
        conformance!($cluster;
            round_trip explicit_times keys_choose_partitions keyless_runs_stay_together many_runs
            nulls headers value_sizes every_compression max_poll_records an_idle_poll_ends
            an_append_ends_a_poll seek pause_and_resume commit_and_committed reset_to_latest
            rebalance pattern a_topic_that_comes_later topics end_offsets alter_group_offsets
            a_group_with_members_keeps_its_offsets delete_group describe_cluster topic_configs
            list_offsets
        );
    };
    ($cluster:expr; $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let cluster = $cluster;
                crate::conformance::$name(crate::fixture::Holder::cluster(&cluster)).await;
            }
        )+
    };
}
pub(crate) async fn round_trip(cluster: &dyn Cluster) {
    let topic = topic(cluster, "round-trip", 1).await;
    let sent = [
        (Some(&b"k1"[..]), Some(&b"a value of more than twelve bytes"[..])),
        (Some(b"a key of more than twelve bytes"), Some(b"v2")),
        (Some(b""), Some(b"")),
    ];
    produce(cluster, &[], &[run(&topic, &sent)]).await;
    let mut consumer = reader(cluster, &topic, 1).await;
    let read = read_one(&mut *consumer, sent.len()).await;
    for (i, (row, (key, value))) in read.iter().zip(sent).enumerate() {
        assert_eq!(row.offset, i as i64);
        assert_eq!(row.key.as_deref(), key);
        assert_eq!(row.value.as_deref(), value);
        assert!(row.headers.is_empty());
    }
    let after = consumer.position(&[tp(&topic, 0)]).await.unwrap();
    assert_eq!(after, BTreeMap::from([(tp(&topic, 0), 3)]));
}

/// -1 is the producer's clock, as is no column at all.
pub(crate) async fn explicit_times(cluster: &dyn Cluster) {
    let topic = topic(cluster, "times", 1).await;
    let before = now_ms();
    let times = vec![1_600_000_000_000, -1, 1_500_000_000_000];
    let mut timed = numbers(&topic, None, 0, 3);
    timed.timestamps = Some(times.clone().into());
    produce(cluster, &[], &[timed, numbers(&topic, None, 3, 1)]).await;
    let read = read_one(&mut *reader(cluster, &topic, 1).await, 4).await;
    assert_eq!([read[0].timestamp, read[2].timestamp], [times[0], times[2]]);
    for row in [&read[1], &read[3]] {
        assert!((before..=now_ms()).contains(&row.timestamp), "{}", row.timestamp);
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

pub(crate) async fn keys_choose_partitions(cluster: &dyn Cluster) {
    let topic = topic(cluster, "keys", 3).await;
    let keys: Vec<_> = (0..300).map(|n| format!("key-{}", n % 37).into_bytes()).collect();
    let values: Vec<_> = (0..300).map(|n| n.to_string().into_bytes()).collect();
    let records: Vec<_> =
        keys.iter().zip(&values).map(|(k, v)| (Some(k.as_slice()), Some(v.as_slice()))).collect();
    produce(cluster, &[], &[run(&topic, &records[..100]), run(&topic, &records[100..])]).await;
    let read = read(&mut *reader(cluster, &topic, 3).await, 300).await;
    for (tp, rows) in &read {
        for row in rows {
            assert_eq!(partition_of(row.key.as_ref().unwrap(), 3), tp.partition);
        }
        assert!(rows.is_sorted_by_key(|row| row.offset));
        assert!(rows.is_sorted_by_key(number), "the order of sending is kept");
    }
    assert_eq!(read.len(), 3);
}

pub(crate) async fn keyless_runs_stay_together(cluster: &dyn Cluster) {
    let topic = topic(cluster, "keyless", 4).await;
    let mut producer = cluster.producer(&properties(&[])).await.unwrap();
    for i in 0..8 {
        send(&mut *producer, &[numbers(&topic, None, i * 10, 10)]).await;
    }
    let read = read(&mut *reader(cluster, &topic, 4).await, 80).await;
    let mut of_run = BTreeMap::new();
    for (tp, rows) in &read {
        for row in rows {
            let partition = of_run.entry(number(row) / 10).or_insert(tp.partition);
            assert_eq!(*partition, tp.partition, "a run is on one partition");
        }
    }
    assert!(read.len() > 1, "but not all runs on the same");
}

/// Explicit partitions, many batches, and the order within each.
pub(crate) async fn many_runs(cluster: &dyn Cluster) {
    let topic = topic(cluster, "many", 2).await;
    let runs: Vec<_> =
        (0..200).map(|i| numbers(&topic, Some((i % 2) as i32), i * 50, 50)).collect();
    produce(cluster, &[], &runs).await;
    let read = read(&mut *reader(cluster, &topic, 2).await, 10_000).await;
    for p in 0..2 {
        let rows = &read[&tp(&topic, p)];
        let expected: Vec<_> = (0..200usize)
            .filter(|i| i % 2 == p as usize)
            .flat_map(|i| i * 50..i * 50 + 50)
            .collect();
        assert_eq!(rows.iter().map(number).collect::<Vec<_>>(), expected);
        assert!(rows.iter().zip(0..).all(|(row, offset)| row.offset == offset));
    }
}

pub(crate) async fn nulls(cluster: &dyn Cluster) {
    let topic = topic(cluster, "nulls", 1).await;
    let sent = [
        (None, Some(&b"no key"[..])),
        (Some(&b"tombstone"[..]), None),
        (None, None),
        (Some(b""), Some(b"an empty key is none of them")),
    ];
    produce(cluster, &[], &[run(&topic, &sent)]).await;
    let read = read_one(&mut *reader(cluster, &topic, 1).await, sent.len()).await;
    let read: Vec<_> = read.iter().map(|r| (r.key.as_deref(), r.value.as_deref())).collect();
    assert_eq!(read, sent);
}

pub(crate) async fn headers(cluster: &dyn Cluster) {
    let topic = topic(cluster, "headers", 1).await;
    let header =
        |name: &str, value: Option<&'static [u8]>| (Arc::from(name), value.map(Bytes::from_static));
    let sent: Vec<RawHeaders> = vec![
        vec![],
        vec![header("a", Some(b"1")), header("b", None), header("a", Some(b"2"))],
        vec![],
        vec![header("", Some(b"")), header("ä", Some(&[0xff, 0]))],
    ];
    let outgoing = Outgoing { headers: sent.clone(), ..numbers(&topic, None, 0, 4) };
    produce(cluster, &[], &[numbers(&topic, None, 0, 1), outgoing]).await;
    let read = read_one(&mut *reader(cluster, &topic, 1).await, 5).await;
    assert!(read[0].headers.is_empty());
    assert_eq!(read[1..].iter().map(|row| row.headers.clone()).collect::<Vec<_>>(), sent);
}

/// Around the size that a view holds itself, and near the most that a broker takes by default.
pub(crate) async fn value_sizes(cluster: &dyn Cluster) {
    let topic = topic(cluster, "sizes", 1).await;
    let sizes = [0, 1, 11, 12, 13, 14, 100, 16_383, 16_384, 65_536, 900_000, 3, 900_000];
    let values: Vec<_> =
        sizes.iter().map(|n| (0..*n).map(|i| (i * 7 % 251) as u8).collect::<Vec<_>>()).collect();
    let records: Vec<_> = values.iter().map(|value| (None, Some(value.as_slice()))).collect();
    produce(cluster, &[], &[run(&topic, &records)]).await;
    let read = read_one(&mut *reader(cluster, &topic, 1).await, sizes.len()).await;
    for (row, value) in read.iter().zip(&values) {
        assert!(row.value.as_ref() == Some(value), "a value of {} bytes", value.len());
    }
}

pub(crate) async fn every_compression(cluster: &dyn Cluster) {
    let topic = topic(cluster, "compression", 1).await;
    let names = ["none", "gzip", "snappy", "lz4", "zstd"];
    for (i, name) in names.iter().enumerate() {
        let run = numbers(&topic, None, i * 1_000, 1_000);
        produce(cluster, &[("compression.type", name)], &[run]).await;
    }
    let read = read_one(&mut *reader(cluster, &topic, 1).await, names.len() * 1_000).await;
    assert!(read.iter().map(number).eq(0..names.len() * 1_000));
}

pub(crate) async fn max_poll_records(cluster: &dyn Cluster) {
    let topic = topic(cluster, "max-poll", 2).await;
    let runs = [numbers(&topic, Some(0), 0, 500), numbers(&topic, Some(1), 0, 500)];
    produce(cluster, &[], &runs).await;
    let mut consumer = cluster.consumer(&properties(&[("max.poll.records", "70")])).await.unwrap();
    consumer.assign(&[(tp(&topic, 0), 0), (tp(&topic, 1), 100)]).await.unwrap();
    let (mut left, deadline) = (900, Instant::now() + PATIENCE);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} records are missing");
        let Polled::Records(runs) = consumer.poll(POLL).await.unwrap() else {
            continue;
        };
        let count: usize = runs.iter().map(|run| run.offsets.len()).sum();
        assert!(count <= 70, "{count} records at once");
        left -= count;
    }
}

pub(crate) async fn an_idle_poll_ends(cluster: &dyn Cluster) {
    let topic = topic(cluster, "idle", 1).await;
    let mut consumer = reader(cluster, &topic, 1).await;
    let start = Instant::now();
    let polled = consumer.poll(Duration::from_millis(300)).await.unwrap();
    assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
}

pub(crate) async fn an_append_ends_a_poll(cluster: &dyn Cluster) {
    let topic = topic(cluster, "wake", 1).await;
    let mut consumer = reader(cluster, &topic, 1).await;
    let waiting = tokio::spawn(async move { consumer.poll(PATIENCE).await.unwrap() });
    produce(cluster, &[], &[numbers(&topic, None, 0, 1)]).await;
    let start = Instant::now();
    assert!(matches!(waiting.await.unwrap(), Polled::Records(runs) if runs.len() == 1));
    assert!(start.elapsed() < PATIENCE / 2);
}

pub(crate) async fn seek(cluster: &dyn Cluster) {
    let topic = topic(cluster, "seek", 1).await;
    produce(cluster, &[], &[numbers(&topic, None, 0, 10), numbers(&topic, None, 10, 10)]).await;
    let mut consumer = reader(cluster, &topic, 1).await;
    read_one(&mut *consumer, 20).await;
    for from in [3, 13, 0, 19] {
        consumer.seek(&BTreeMap::from([(tp(&topic, 0), from)])).await.unwrap();
        let position = consumer.position(&[tp(&topic, 0)]).await.unwrap();
        assert_eq!(position[&tp(&topic, 0)], from);
        let read = read_one(&mut *consumer, 20 - from as usize).await;
        assert_eq!(read[0].offset, from);
        assert_eq!(number(&read[0]), from as usize);
    }
}

pub(crate) async fn pause_and_resume(cluster: &dyn Cluster) {
    let topic = topic(cluster, "pause", 2).await;
    let mut consumer = reader(cluster, &topic, 2).await;
    consumer.pause(&[tp(&topic, 0)]).unwrap();
    let runs = [numbers(&topic, Some(0), 0, 100), numbers(&topic, Some(1), 0, 100)];
    produce(cluster, &[], &runs).await;
    let first = read(&mut *consumer, 100).await;
    assert_eq!(first.keys().collect::<Vec<_>>(), [&tp(&topic, 1)]);
    let polled = consumer.poll(POLL).await.unwrap();
    assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
    consumer.resume(&[tp(&topic, 0)]).unwrap();
    let second = read(&mut *consumer, 100).await;
    assert_eq!(second.keys().collect::<Vec<_>>(), [&tp(&topic, 0)]);
    assert!(second[&tp(&topic, 0)].iter().map(number).eq(0..100), "nothing was passed over");
}

pub(crate) async fn commit_and_committed(cluster: &dyn Cluster) {
    let topic = topic(cluster, "commit", 2).await;
    let group = unique("group");
    let runs = [numbers(&topic, Some(0), 0, 10), numbers(&topic, Some(1), 0, 10)];
    produce(cluster, &[], &runs).await;
    let both = [tp(&topic, 0), tp(&topic, 1)];
    assert_eq!(cluster.committed(&group, &both).await.unwrap(), BTreeMap::new());
    let subscription = Subscription::Topics(vec![topic.clone()]);

    let mut consumer = member(cluster, &group, &[]).await;
    consumer.subscribe(&subscription).await.unwrap();
    read(&mut *consumer, 20).await;
    let commit = BTreeMap::from([(both[0].clone(), 7)]);
    consumer.commit(&commit).await.unwrap();
    assert_eq!(cluster.committed(&group, &both).await.unwrap(), commit);
    consumer.close().await.unwrap();

    let mut consumer = member(cluster, &group, &[]).await;
    consumer.subscribe(&subscription).await.unwrap();
    let read = read(&mut *consumer, 13).await;
    assert!(read[&both[0]].iter().map(number).eq(7..10), "on from the committed offset");
    assert!(read[&both[1]].iter().map(number).eq(0..10), "earliest without one");
    let committed = cluster.committed(&group, &both).await.unwrap();
    assert_eq!(committed, commit, "reading commits nothing");
}

pub(crate) async fn reset_to_latest(cluster: &dyn Cluster) {
    let topic = topic(cluster, "latest", 1).await;
    produce(cluster, &[], &[numbers(&topic, None, 0, 10)]).await;
    let mut consumer = member(cluster, &unique("group"), &[("auto.offset.reset", "latest")]).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !matches!(consumer.poll(POLL).await.unwrap(), Polled::Assigned(_)) {
        assert!(Instant::now() < deadline, "nothing is assigned");
    }
    let position = consumer.position(&[tp(&topic, 0)]).await.unwrap();
    assert_eq!(position[&tp(&topic, 0)], 10);
    produce(cluster, &[], &[numbers(&topic, None, 10, 5)]).await;
    let read = read_one(&mut *consumer, 5).await;
    assert!(read.iter().map(number).eq(10..15));
}

/// Two members share the partitions while records keep coming; one leaves; none is lost, and, as
/// everything was committed before it was given up, none comes twice.
pub(crate) async fn rebalance(cluster: &dyn Cluster) {
    let topic = topic(cluster, "rebalance", 4).await;
    let group = unique("group");
    let subscription = Subscription::Topics(vec![topic.clone()]);
    let mut producer = cluster.producer(&properties(&[])).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;

    let mut first = Tracked::new(member(cluster, &group, &[]).await);
    first.consumer.subscribe(&subscription).await.unwrap();
    while first.assigned.len() < 4 {
        assert!(Instant::now() < deadline, "the first member has {:?}", first.assigned);
        first.poll().await;
    }
    let mut second = Tracked::new(member(cluster, &group, &[]).await);
    second.consumer.subscribe(&subscription).await.unwrap();
    while first.assigned.len() != 2 || second.assigned.len() != 2 {
        assert!(Instant::now() < deadline, "{:?} and {:?}", first.assigned, second.assigned);
        for p in 0..4 {
            send(&mut *producer, &[numbers(&topic, Some(p), sent, 5)]).await;
        }
        sent += 5;
        tokio::join!(first.poll(), second.poll());
        assert!(first.assigned.is_disjoint(&second.assigned), "a partition has two owners");
    }
    let at: Vec<_> = second.assigned.iter().cloned().collect();
    let at = second.consumer.position(&at).await.unwrap();
    second.consumer.commit(&at).await.unwrap();
    second.consumer.close().await.unwrap();
    while first.assigned.len() < 4 || first.read.len() + second.read.len() < 4 * sent {
        assert!(Instant::now() < deadline, "the first member has {:?}", first.assigned);
        first.poll().await;
    }
    let mut all = [first.read, second.read].concat();
    all.sort();
    let expected: Vec<_> = (0..4)
        .flat_map(|p| (0..sent as i64).map(move |offset| (p, offset)))
        .map(|(p, offset)| (tp(&topic, p), offset))
        .collect();
    assert_eq!(all, expected);
}

pub(crate) async fn pattern(cluster: &dyn Cluster) {
    let prefix = unique("pattern");
    for name in ["a", "b", "other"] {
        create(cluster, &format!("{prefix}-{name}"), 1, &[]).await;
        produce(cluster, &[], &[numbers(&format!("{prefix}-{name}"), None, 0, 5)]).await;
    }
    let mut consumer = member(cluster, &unique("group"), &[]).await;
    let pattern = Subscription::Pattern(format!("{prefix}-(a|b)"));
    consumer.subscribe(&pattern).await.unwrap();
    let read = read(&mut *consumer, 10).await;
    let expected = ["a", "b"].map(|name| tp(&format!("{prefix}-{name}"), 0));
    assert_eq!(read.keys().cloned().collect::<Vec<_>>(), expected);
}

/// Subscribed to by name and by pattern before it exists.
pub(crate) async fn a_topic_that_comes_later(cluster: &dyn Cluster) {
    let by_pattern = |name: &str| Subscription::Pattern(format!("{name}.*"));
    let by_name = |name: &str| Subscription::Topics(vec![unique("never"), name.to_owned()]);
    for is_pattern in [true, false] {
        let name = unique("later");
        let subscription = match is_pattern {
            true => by_pattern(&name),
            false => by_name(&name),
        };
        let mut consumer = member(cluster, &unique("group"), &[]).await;
        consumer.subscribe(&subscription).await.unwrap();
        if is_pattern {
            let polled = consumer.poll(POLL).await.unwrap();
            assert!(matches!(polled, Polled::Records(runs) if runs.is_empty()));
        }
        create(cluster, &name, 1, &[]).await;
        produce(cluster, &[], &[numbers(&name, None, 0, 5)]).await;
        let read = read(&mut *consumer, 5).await;
        assert!(read.contains_key(&tp(&name, 0)));
    }
}

pub(crate) async fn topics(cluster: &dyn Cluster) {
    let topic = topic(cluster, "admin", 3).await;
    let missing = unique("missing");
    let described = cluster.describe_topics(Some(&[&topic, &missing])).await.unwrap();
    assert_eq!(described, BTreeMap::from([(topic.clone(), 3)]));
    assert_eq!(cluster.describe_topics(None).await.unwrap()[&topic], 3);
    let again = NewTopic {
        name: topic.clone(),
        partitions: Some(1),
        replication_factor: None,
        configs: BTreeMap::new(),
    };
    let error = cluster.create_topic(&again).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    cluster.delete_topic(&topic).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !cluster.describe_topics(Some(&[&topic])).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the topic is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = cluster.delete_topic(&missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!cluster.cluster_id().await.unwrap().is_empty());
}

pub(crate) async fn end_offsets(cluster: &dyn Cluster) {
    let topic = topic(cluster, "ends", 2).await;
    produce(cluster, &[], &[numbers(&topic, Some(1), 0, 5)]).await;
    let both = [tp(&topic, 0), tp(&topic, 1)];
    let ends = cluster.end_offsets(&both).await.unwrap();
    assert_eq!(ends, BTreeMap::from([(both[0].clone(), 0), (both[1].clone(), 5)]));
}

/// Offsets of a group that nobody is a member of are set, moved back and deleted.
pub(crate) async fn alter_group_offsets(cluster: &dyn Cluster) {
    let topic = topic(cluster, "alter", 3).await;
    let group = unique("group");
    produce(cluster, &[], &[numbers(&topic, Some(1), 0, 10)]).await;
    let all = [tp(&topic, 0), tp(&topic, 1), tp(&topic, 2)];
    let alter = async |changes: &[(usize, Option<i64>)]| {
        let changes = changes.iter().map(|(p, offset)| (tp(&topic, *p as i32), *offset)).collect();
        cluster.alter_group_offsets(&group, &changes).await
    };
    assert_eq!(cluster.group_offsets(&group).await.unwrap(), BTreeMap::new());
    for missing in [
        alter(&[(0, None)]).await,
        alter(&[(7, Some(1))]).await,
        cluster.alter_group_offsets(&group, &[(tp(&unique("none"), 0), Some(1))].into()).await,
    ] {
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }
    alter(&[]).await.unwrap();
    // The second is beyond the end, which nobody checks.
    alter(&[(0, Some(0)), (1, Some(70)), (2, None)]).await.unwrap();
    let expected = BTreeMap::from([(all[0].clone(), 0), (all[1].clone(), 70)]);
    assert_eq!(cluster.group_offsets(&group).await.unwrap(), expected);
    assert_eq!(cluster.committed(&group, &all).await.unwrap(), expected);
    assert_eq!(alter(&[(7, None)]).await.unwrap_err().kind(), ErrorKind::NotFound);
    for _ in 0..2 {
        alter(&[(0, None), (1, Some(4))]).await.unwrap();
        let expected = BTreeMap::from([(all[1].clone(), 4)]);
        assert_eq!(cluster.group_offsets(&group).await.unwrap(), expected);
    }
    let mut consumer = member(cluster, &group, &[]).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    let read = read_one(&mut *consumer, 6).await;
    assert!(read.iter().map(number).eq(4..10), "the group goes on from there");
}

pub(crate) async fn a_group_with_members_keeps_its_offsets(cluster: &dyn Cluster) {
    let topic = topic(cluster, "members", 1).await;
    let (group, partition) = (unique("group"), tp(&topic, 0));
    produce(cluster, &[], &[numbers(&topic, None, 0, 10)]).await;
    let mut consumer = member(cluster, &group, &[]).await;
    consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
    read(&mut *consumer, 10).await;
    let commit = BTreeMap::from([(partition.clone(), 10)]);
    consumer.commit(&commit).await.unwrap();
    for refused in [
        cluster.alter_group_offsets(&group, &[(partition.clone(), Some(3))].into()).await,
        cluster.alter_group_offsets(&group, &[(partition.clone(), None)].into()).await,
        cluster.delete_group(&group).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(&group), "{error}");
    }
    assert_eq!(cluster.group_offsets(&group).await.unwrap(), commit);
    consumer.close().await.unwrap();
    cluster.alter_group_offsets(&group, &[(partition.clone(), Some(3))].into()).await.unwrap();
    let expected = BTreeMap::from([(partition, 3)]);
    assert_eq!(cluster.group_offsets(&group).await.unwrap(), expected);
}

pub(crate) async fn delete_group(cluster: &dyn Cluster) {
    let topic = topic(cluster, "delete", 2).await;
    let (group, other) = (unique("group"), unique("group"));
    let both = BTreeMap::from([(tp(&topic, 0), Some(1)), (tp(&topic, 1), Some(2))]);
    let unknown = cluster.delete_group(&group).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    for group in [&group, &other] {
        cluster.alter_group_offsets(group, &both).await.unwrap();
    }
    cluster.delete_group(&group).await.unwrap();
    assert_eq!(cluster.group_offsets(&group).await.unwrap(), BTreeMap::new());
    assert_eq!(cluster.group_offsets(&other).await.unwrap().len(), 2, "others keep theirs");
    assert_eq!(cluster.delete_group(&group).await.unwrap_err().kind(), ErrorKind::NotFound);
}

pub(crate) async fn describe_cluster(cluster: &dyn Cluster) {
    let described = cluster.describe_cluster().await.unwrap();
    assert_eq!(described.id, cluster.cluster_id().await.unwrap());
    assert!(!described.id.is_empty());
    assert!(described.nodes.is_sorted_by_key(|node| node.id));
    if let Some(controller) = described.controller {
        assert!(described.nodes.iter().any(|node| node.id == controller), "{described:?}");
    }
}

pub(crate) async fn topic_configs(cluster: &dyn Cluster) {
    let compact = [("cleanup.policy", "compact"), ("segment.bytes", "1048576")];
    let topic = topic_with(cluster, "configs", 1, &compact).await;
    let configs = cluster.topic_configs(&topic).await.unwrap();
    assert_eq!((&*configs["cleanup.policy"], &*configs["segment.bytes"]), ("compact", "1048576"));
    assert_eq!(configs["message.timestamp.type"], "CreateTime", "defaults are told as well");
    let missing = cluster.topic_configs(&unique("missing")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}

pub(crate) async fn list_offsets(cluster: &dyn Cluster) {
    let topic = topic(cluster, "list", 2).await;
    let mut timed = numbers(&topic, Some(0), 0, 4);
    timed.timestamps = Some(vec![1_000, 4_000, 2_000, 3_000].into());
    produce(cluster, &[], &[timed]).await;
    let both = [tp(&topic, 0), tp(&topic, 1)];
    for isolation in [Isolation::Uncommitted, Isolation::Committed] {
        for (spec, expected) in [
            (OffsetSpec::Earliest, vec![0, 0]),
            (OffsetSpec::Latest, vec![4, 0]),
            (OffsetSpec::MaxTimestamp, vec![1]),
            (OffsetSpec::Timestamp(0), vec![0]),
            (OffsetSpec::Timestamp(1_001), vec![1]),
            (OffsetSpec::Timestamp(4_000), vec![1]),
            (OffsetSpec::Timestamp(4_001), vec![]),
        ] {
            let listed = cluster.list_offsets(&both, spec, isolation).await.unwrap();
            let expected: BTreeMap<_, _> = both.iter().cloned().zip(expected).collect();
            assert_eq!(listed, expected, "{spec:?}, {isolation:?}");
        }
    }
    let none = cluster.list_offsets(&[], OffsetSpec::Latest, Isolation::Committed).await.unwrap();
    assert_eq!(none, BTreeMap::new());
}

pub(crate) async fn create_partitions(cluster: &dyn Cluster) {
    let topic = topic(cluster, "grow", 2).await;
    cluster.create_partitions(&topic, 5).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while cluster.describe_topics(Some(&[&topic])).await.unwrap()[&topic] != 5 {
        assert!(Instant::now() < deadline, "the partitions do not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for total in [5, 4, 0] {
        let error = cluster.create_partitions(&topic, total).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(&topic), "{error}");
    }
    let missing = cluster.create_partitions(&unique("missing"), 2).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}

pub(crate) async fn alter_topic_configs(cluster: &dyn Cluster) {
    let first = [("cleanup.policy", "compact"), ("segment.bytes", "1048576")];
    let topic = topic_with(cluster, "alter-configs", 1, &first).await;
    let alter = async |name: &str, value: Option<&str>| {
        let changes = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
        cluster.alter_topic_configs(&topic, &changes).await
    };
    alter("min.cleanable.dirty.ratio", Some("0.25")).await.unwrap();
    alter("cleanup.policy", None).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let configs = cluster.topic_configs(&topic).await.unwrap();
        let [ratio, policy, segment] =
            ["min.cleanable.dirty.ratio", "cleanup.policy", "segment.bytes"].map(|n| &*configs[n]);
        if (ratio, policy, segment) == ("0.25", "delete", "1048576") {
            break;
        }
        assert!(Instant::now() < deadline, "{configs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (name, value) in [("cleanup.policy", "none"), ("no.such.config", "1")] {
        let error = alter(name, Some(value)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    let missing = cluster.alter_topic_configs(&unique("missing"), &BTreeMap::new()).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

pub(crate) async fn delete_records(cluster: &dyn Cluster) {
    let topic = topic(cluster, "delete-records", 2).await;
    let both = [tp(&topic, 0), tp(&topic, 1)];
    let runs = [numbers(&topic, Some(0), 0, 10), numbers(&topic, Some(1), 0, 10)];
    produce(cluster, &[], &runs).await;
    let before = BTreeMap::from([(both[0].clone(), 4), (both[1].clone(), -1)]);
    cluster.delete_records(&before).await.unwrap();
    let start = |spec| cluster.list_offsets(&both, spec, Isolation::Uncommitted);
    let expected = BTreeMap::from([(both[0].clone(), 4), (both[1].clone(), 10)]);
    assert_eq!(start(OffsetSpec::Earliest).await.unwrap(), expected);
    let beyond = BTreeMap::from([(both[0].clone(), 11)]);
    let error = cluster.delete_records(&beyond).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    assert!(error.to_string().contains(&format!("{topic}-0")), "{error}");
    let mut consumer = reader(cluster, &topic, 1).await;
    consumer.seek(&BTreeMap::from([(both[0].clone(), 4)])).await.unwrap();
    assert!(read_one(&mut *consumer, 6).await.iter().map(number).eq(4..10));
}

pub(crate) async fn describe_group(cluster: &dyn Cluster) {
    let topic = topic(cluster, "describe-group", 2).await;
    let group = unique("group");
    let missing = cluster.describe_group(&group).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    for protocol in ["classic", "consumer"] {
        let group = unique("group");
        let more = [("group.protocol", protocol), ("client.id", "who")];
        let mut consumer = Tracked::new(member(cluster, &group, &more).await);
        consumer.consumer.subscribe(&Subscription::Topics(vec![topic.clone()])).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        let described = loop {
            assert!(Instant::now() < deadline, "nothing is assigned");
            consumer.poll().await;
            let described = cluster.describe_group(&group).await;
            if let Ok(described) = described.as_ref()
                && described.members.iter().any(|member| member.assigned.len() == 2)
            {
                break described.clone();
            }
        };
        assert_eq!((&*described.state, &*described.protocol_type), ("Stable", "consumer"));
        let [member] = &described.members[..] else {
            panic!("{described:?}");
        };
        assert_eq!((&*member.client, member.instance.as_deref()), ("who", None));
        assert_eq!(member.assigned, [tp(&topic, 0), tp(&topic, 1)]);
        consumer.consumer.close().await.unwrap();
        cluster.delete_group(&group).await.unwrap();
    }
}
