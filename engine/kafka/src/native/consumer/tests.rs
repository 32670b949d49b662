//! The consumer against a cluster that the test plays, under a clock that only waits move: every
//! request is counted, so that nothing asks in a busy loop unseen.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::Array;
use kafka_protocol::ResponseError as Code;
use millrace_api::{ErrorKind, TopicPartition};
use tokio::time::Instant;

use crate::{Consumer, Polled};

mod cost;
mod played;

use played::{Fault, Played, batch, control};

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// Polls until so many records came; their values.
async fn read(consumer: &mut dyn Consumer, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut all = Vec::new();
    while all.len() < count {
        assert!(Instant::now() < deadline, "only {all:?} came");
        let Polled::Records(runs) = consumer.poll(Duration::from_secs(1)).await.unwrap() else {
            panic!("nobody rebalances");
        };
        for run in runs {
            let text = |i| String::from_utf8(run.values.value(i).to_vec()).unwrap();
            all.extend((0..run.values.len()).map(text));
        }
    }
    assert_eq!(all.len(), count, "{all:?}");
    all
}

async fn error(consumer: &mut dyn Consumer) -> millrace_api::Error {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "no error comes");
        match consumer.poll(Duration::from_secs(1)).await {
            Err(error) => return error,
            Ok(Polled::Records(runs)) => assert!(runs.is_empty(), "records instead of an error"),
            Ok(other) => panic!("{other:?}"),
        }
    }
}

async fn position(consumer: &mut dyn Consumer, partition: i32) -> i64 {
    consumer.position(&[tp(partition)]).await.unwrap()[&tp(partition)]
}

/// Every version, with sessions and without.
#[tokio::test(start_paused = true)]
async fn all_versions_of_fetch_read_the_same() {
    for version in 4..=18 {
        for has_sessions in [true, false] {
            let cluster = Played::new(2);
            cluster.world().fetch_version = version;
            cluster.world().has_sessions = has_sessions;
            let mut consumer = cluster.consumer(&[]).await;
            consumer.assign(&[(tp(0), 0), (tp(1), 0)]).await.unwrap();
            cluster.append(0, batch(0, 0, &["a", "b"]));
            cluster.append(1, batch(0, 0, &["c"]));
            let mut first = read(&mut consumer, 3).await;
            first.sort();
            assert_eq!(first, ["a", "b", "c"], "version {version}");
            cluster.append(0, batch(2, 0, &["d"]));
            assert_eq!(read(&mut consumer, 1).await, ["d"], "version {version}");
            if has_sessions && version >= 7 {
                let told: Vec<_> = cluster.world().told.clone();
                assert_eq!(told.first(), Some(&2), "all partitions at first: {told:?}");
                assert!(told.iter().skip(3).all(|told| *told <= 1), "changes later: {told:?}");
            }
        }
    }
}

/// An idle consumer asks as often as long polls end, and no more.
#[tokio::test(start_paused = true)]
async fn nothing_is_asked_in_a_hurry() {
    let cluster = Played::new(1);
    let mut consumer = cluster.consumer(&[("fetch.max.wait.ms", "500")]).await;
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    let idle = consumer.poll(Duration::from_secs(100)).await.unwrap();
    assert!(matches!(idle, Polled::Records(runs) if runs.is_empty()));
    assert!((195..=202).contains(&cluster.world().fetches), "{}", cluster.world().fetches);

    // Nobody polls: two responses are fetched ahead, then nothing more.
    for i in 0..100 {
        cluster.append(0, batch(i, 0, &["x"]));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let held = cluster.world().fetches;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(cluster.world().fetches, held);
    assert_eq!(read(&mut consumer, 100).await.len(), 100);

    // Errors of every kind: a request per back-off at most.
    for code in [
        Code::NotLeaderOrFollower,
        Code::FencedLeaderEpoch,
        Code::UnknownLeaderEpoch,
        Code::UnknownTopicOrPartition,
        Code::UnknownTopicId,
        Code::KafkaStorageError,
        Code::UnknownServerError,
        Code::TopicAuthorizationFailed,
        Code::CorruptMessage,
    ] {
        let before = cluster.world().fetches;
        cluster.world().always = Some(Fault::Partition(code));
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            let _ = consumer.poll(Duration::from_secs(1)).await;
        }
        let asked = cluster.world().fetches - before;
        assert!((20..=60).contains(&asked), "{asked} requests in 30 s for {code:?}");
        cluster.world().always = None;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    cluster.append(0, batch(100, 0, &["y"]));
    assert_eq!(read(&mut consumer, 1).await, ["y"]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_forgets_or_hangs_up_is_asked_anew() {
    for fault in [
        Fault::Whole(Code::FetchSessionIdNotFound),
        Fault::Whole(Code::InvalidFetchSessionEpoch),
        Fault::Whole(Code::FetchSessionTopicIdError),
        Fault::HangUp,
        Fault::Throttle(700),
    ] {
        let cluster = Played::new(2);
        let mut consumer = cluster.consumer(&[]).await;
        consumer.assign(&[(tp(0), 0), (tp(1), 0)]).await.unwrap();
        cluster.append(0, batch(0, 0, &["a"]));
        assert_eq!(read(&mut consumer, 1).await, ["a"]);
        cluster.world().once.push_back(fault);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(cluster.world().once.is_empty());
        cluster.append(0, batch(1, 0, &["b"]));
        cluster.append(1, batch(0, 0, &["c"]));
        let mut rest = read(&mut consumer, 2).await;
        rest.sort();
        assert_eq!(rest, ["b", "c"], "{fault:?}");
    }
}

/// A broker that says who leads now spares the question (KIP-951), and one that does not is asked.
#[tokio::test(start_paused = true)]
async fn records_are_read_from_the_new_leader() {
    for version in [11, 17] {
        let cluster = Played::new(1);
        cluster.world().fetch_version = version;
        let mut consumer = cluster.consumer(&[]).await;
        consumer.assign(&[(tp(0), 0)]).await.unwrap();
        cluster.append(0, batch(0, 0, &["a"]));
        assert_eq!(read(&mut consumer, 1).await, ["a"]);
        cluster.lead(0, 2, 1);
        cluster.append(0, batch(1, 1, &["b"]));
        let began = Instant::now();
        assert_eq!(read(&mut consumer, 1).await, ["b"]);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(cluster.world().epoch_questions, 1, "the new leader has what was read");
    }
}

/// An unclean election took away what was read (KIP-320).
#[tokio::test(start_paused = true)]
async fn a_truncated_log_is_noticed() {
    for (policy, expected) in [("latest", Some("B")), ("none", None)] {
        let cluster = Played::new(1);
        let mut consumer = cluster.consumer(&[("auto.offset.reset", policy)]).await;
        consumer.assign(&[(tp(0), 0)]).await.unwrap();
        cluster.append(0, batch(0, 0, &["a", "b", "c"]));
        assert_eq!(read(&mut consumer, 3).await, ["a", "b", "c"]);
        // The new leader had the first record alone, and has gone on from there.
        cluster.truncate(0, 1);
        cluster.lead(0, 2, 1);
        cluster.append(0, batch(1, 1, &["B", "C", "D", "E"]));
        match expected {
            Some(first) => assert_eq!(read(&mut consumer, 4).await[0], first),
            None => {
                let error = error(&mut consumer).await;
                let text = error.to_string();
                assert!(text.contains("truncated"), "{text}");
                let place = "partition: t-0, offset: 3, diverging from: 1";
                assert!(text.contains(place), "{text}");
                let back = BTreeMap::from([(tp(0), 1)]);
                consumer.seek(&back).await.unwrap();
                assert_eq!(read(&mut consumer, 4).await[0], "B");
            }
        }
    }
}

/// The leader names a replica that is nearer; when that fails, the leader serves again (KIP-392).
#[tokio::test(start_paused = true)]
async fn the_recommended_replica_is_read_while_it_serves() {
    let cluster = Played::new(1);
    let age = [("client.rack", "here"), ("metadata.max.age.ms", "60000")];
    let mut consumer = cluster.consumer(&age).await;
    cluster.world().preferred = Some(2);
    cluster.append(0, batch(0, 0, &["a"]));
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 1).await, ["a"]);
    assert_eq!(cluster.world().served, [2]);
    // It lags: what the leader has it has not yet.
    cluster.world().once.push_back(Fault::Partition(Code::OffsetOutOfRange));
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.world().preferred = None;
    cluster.append(0, batch(1, 0, &["b"]));
    assert_eq!(read(&mut consumer, 1).await, ["b"]);
    cluster.world().preferred = Some(2);
    cluster.append(0, batch(2, 0, &["c"]));
    assert_eq!(read(&mut consumer, 1).await, ["c"]);
    // The recommendation is as old as metadata may be.
    cluster.world().preferred = None;
    let idle = consumer.poll(Duration::from_secs(70)).await.unwrap();
    assert!(matches!(idle, Polled::Records(runs) if runs.is_empty()));
    cluster.append(0, batch(3, 0, &["d"]));
    assert_eq!(read(&mut consumer, 1).await, ["d"]);
    assert_eq!(cluster.world().served.last(), Some(&1));
    assert_eq!(position(&mut consumer, 0).await, 4, "nothing was reset");
}

/// What is aborted nobody sees, wherever a poll stops; the position goes over it and over markers.
#[tokio::test(start_paused = true)]
async fn aborted_records_are_left_out() {
    for most in ["1", "500"] {
        let cluster = Played::new(1);
        let settings = [("isolation.level", "read_committed"), ("max.poll.records", most)];
        let mut consumer = cluster.consumer(&settings).await;
        for part in [
            played::transactional(batch(0, 0, &["a", "b"]), 7),
            played::transactional(batch(2, 0, &["X"]), 8),
            batch(3, 0, &["c"]),
            control(4, 8, false),
            played::transactional(batch(5, 0, &["d"]), 8),
            control(6, 7, true),
            played::transactional(batch(7, 0, &["Y"]), 7),
            control(8, 7, false),
            played::transactional(batch(9, 0, &["e"]), 7),
            control(10, 8, true),
            control(11, 7, true),
        ] {
            cluster.append(0, part);
        }
        cluster.world().aborted = vec![(7, 7), (8, 2)];
        consumer.assign(&[(tp(0), 8)]).await.unwrap();
        assert_eq!(read(&mut consumer, 1).await, ["e"], "after a marker that comes first");
        consumer.seek(&BTreeMap::from([(tp(0), 0)])).await.unwrap();
        assert_eq!(read(&mut consumer, 5).await, ["a", "b", "c", "d", "e"]);
        let deadline = Instant::now() + Duration::from_secs(10);
        while position(&mut consumer, 0).await < 12 {
            assert!(Instant::now() < deadline);
            consumer.poll(Duration::from_secs(1)).await.unwrap();
        }
    }
}

/// A format that only old clients know, and bytes that changed on the way.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_named_with_its_place() {
    let cluster = Played::new(1);
    let mut consumer = cluster.consumer(&[]).await;
    cluster.append(0, batch(0, 0, &["a"]));
    let mut old = batch(1, 0, &["b"]);
    old[16] = 1;
    cluster.append(0, old);
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    assert_eq!(read(&mut consumer, 1).await, ["a"], "first what is before it");
    for _ in 0..2 {
        let error = error(&mut consumer).await;
        let text = error.to_string();
        assert!(text.contains("message format 1 is from before Kafka 0.11"), "{text}");
        assert!(text.contains("partition: t-0, offset: 1"), "{text}");
    }

    let cluster = Played::new(1);
    let mut consumer = cluster.consumer(&[]).await;
    let mut damaged = batch(0, 0, &["a value of more than twelve bytes"]);
    let last = damaged.len() - 5;
    damaged[last] ^= 1;
    cluster.append(0, damaged);
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    let error = error(&mut consumer).await;
    assert!(error.to_string().contains("checksum"), "{error}");
    assert!(error.to_string().contains("partition: t-0, offset: 0"), "{error}");
    // The wire may have done it: it is fetched again.
    cluster.truncate(0, 0);
    cluster.append(0, batch(0, 0, &["whole"]));
    assert_eq!(read(&mut consumer, 1).await, ["whole"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_user_may_not_do_is_told() {
    let cluster = Played::new(1);
    cluster.world().always = Some(Fault::Partition(Code::TopicAuthorizationFailed));
    let mut consumer = cluster.consumer(&[]).await;
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    let refused = error(&mut consumer).await;
    assert_eq!(refused.kind(), ErrorKind::Fatal);
    assert!(refused.to_string().contains("ACL for the topic"), "{refused}");
    assert!(refused.to_string().contains("partition: t-0"), "{refused}");

    let cluster = Played::new(1);
    cluster.world().topic_error = Some(Code::TopicAuthorizationFailed);
    let mut consumer = cluster.consumer(&[]).await;
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    let refused = error(&mut consumer).await;
    assert!(refused.to_string().contains("topic: t"), "{refused}");
}

/// A paused partition holds nothing, and its responses on the way are dropped.
#[tokio::test(start_paused = true)]
async fn a_paused_partition_is_neither_held_nor_asked_for() {
    let cluster = Played::new(2);
    let mut consumer = cluster.consumer(&[("max.poll.records", "1")]).await;
    consumer.assign(&[(tp(0), 0), (tp(1), 0)]).await.unwrap();
    cluster.append(0, batch(0, 0, &["a", "b", "c"]));
    assert_eq!(read(&mut consumer, 1).await, ["a"]);
    consumer.pause(&[tp(0)]).unwrap();
    cluster.append(0, batch(3, 0, &["d"]));
    cluster.append(1, batch(0, 0, &["x"]));
    assert_eq!(read(&mut consumer, 1).await, ["x"]);
    let idle = consumer.poll(Duration::from_secs(5)).await.unwrap();
    assert!(matches!(idle, Polled::Records(runs) if runs.is_empty()));
    assert_eq!(cluster.world().session_partitions(), [1]);
    assert_eq!(position(&mut consumer, 0).await, 1);
    consumer.resume(&[tp(0)]).unwrap();
    assert_eq!(read(&mut consumer, 3).await, ["b", "c", "d"]);
}

/// A poll that is dropped has consumed nothing.
#[tokio::test(start_paused = true)]
async fn a_dropped_poll_loses_nothing() {
    let cluster = Played::new(1);
    let mut consumer = cluster.consumer(&[]).await;
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    let mut all = Vec::new();
    for i in 0..200 {
        cluster.append(0, batch(i, 0, &["x"]));
        let wait = Duration::from_micros(fastrand::u64(0..3_000));
        let poll = consumer.poll(Duration::from_secs(1));
        if let Ok(polled) = tokio::time::timeout(wait, poll).await {
            let Polled::Records(runs) = polled.unwrap() else { panic!("nobody rebalances") };
            all.extend(runs.iter().flat_map(|run| run.offsets.to_vec()));
        }
    }
    while all.len() < 200 {
        let Polled::Records(runs) = consumer.poll(Duration::from_secs(1)).await.unwrap() else {
            panic!("nobody rebalances")
        };
        all.extend(runs.iter().flat_map(|run| run.offsets.to_vec()));
    }
    assert!(all.into_iter().eq(0..200));
}

/// A closed consumer tells its brokers to forget its sessions.
#[tokio::test(start_paused = true)]
async fn sessions_end_with_their_consumer() {
    let cluster = Played::new(1);
    let mut consumer = cluster.consumer(&[]).await;
    consumer.assign(&[(tp(0), 0)]).await.unwrap();
    cluster.append(0, batch(0, 0, &["a"]));
    read(&mut consumer, 1).await;
    assert!(cluster.world().has_session());
    drop(consumer);
    let deadline = Instant::now() + Duration::from_secs(10);
    while cluster.world().has_session() {
        assert!(Instant::now() < deadline, "the session is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn positions_come_from_the_policy() {
    for (policy, first) in [("earliest", 2), ("latest", 5), ("by_duration:PT1H", 3)] {
        let cluster = Played::new(1);
        cluster.append(0, batch(0, 0, &["a", "b", "c", "d", "e"]));
        cluster.world().start = 2;
        cluster.world().recent = 3;
        let mut consumer = cluster.consumer(&[("auto.offset.reset", policy)]).await;
        consumer.assign(&[(tp(0), 100)]).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while position(&mut consumer, 0).await != first {
            assert!(Instant::now() < deadline, "{policy}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
