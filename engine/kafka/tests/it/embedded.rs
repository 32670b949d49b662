//! The embedded backend: the promises of every backend, in memory and in files, and its own about
//! what survives a kill, a damaged file, or a second process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::ErrorKind;
use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_kafka::{Cluster, Polled, Subscription, connect};
use tempfile::TempDir;

use crate::fixture::*;

mod in_memory {
    use super::*;

    conformance!(EmbeddedCluster::in_memory());
    conformance!(
        EmbeddedCluster::in_memory();
        create_partitions alter_topic_configs delete_records
    );
}

mod in_files {
    use super::*;

    /// A cluster whose directory goes with it.
    struct InFiles(EmbeddedCluster, #[expect(dead_code, reason = "is dropped")] TempDir);

    impl Holder for InFiles {
        fn cluster(&self) -> &dyn Cluster {
            &self.0
        }
    }

    /// Small segments, so that every promise is kept across several.
    fn small_segments() -> InFiles {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { segment_bytes: 3_000, ..Settings::default() };
        InFiles(EmbeddedCluster::open(dir.path(), settings).unwrap(), dir)
    }

    conformance!(small_segments());
}

fn open(dir: &Path) -> EmbeddedCluster {
    EmbeddedCluster::open(dir, Settings::default()).unwrap()
}

fn open_error(dir: &Path) -> String {
    EmbeddedCluster::open(dir, Settings::default()).unwrap_err().to_string()
}

fn segment(dir: &Path, topic: &str, base_offset: i64) -> PathBuf {
    dir.join(format!("{topic}-0")).join(format!("{base_offset:020}.log"))
}

async fn values(cluster: &EmbeddedCluster, topic: &str) -> Vec<usize> {
    let end = cluster.end_offsets(&[tp(topic, 0)]).await.unwrap()[&tp(topic, 0)];
    let mut consumer = reader(cluster, topic, 1).await;
    read_one(&mut *consumer, end as usize).await.iter().map(number).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            fs::copy(entry.path(), to).map(drop).unwrap()
        }
    }
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let group = "g";
    let id;
    {
        let cluster = open(dir.path());
        id = cluster.cluster_id().await.unwrap();
        create(&cluster, "t", 2, &[("cleanup.policy", "compact")]).await;
        produce(&cluster, &[], &[numbers("auto", None, 0, 100)]).await;
        let mut consumer = member(&cluster, group, &[]).await;
        consumer.subscribe(&Subscription::Topics(vec!["auto".into()])).await.unwrap();
        read(&mut *consumer, 100).await;
        consumer.commit(&BTreeMap::from([(tp("auto", 0), 60)])).await.unwrap();
    }
    let cluster = open(dir.path());
    assert_eq!(cluster.cluster_id().await.unwrap(), id);
    let topics = cluster.describe_topics(None).await.unwrap();
    assert_eq!(topics, BTreeMap::from([("auto".into(), 1), ("t".into(), 2)]));
    assert_eq!(values(&cluster, "auto").await, (0..100).collect::<Vec<_>>());
    let committed = cluster.committed(group, &[tp("auto", 0)]).await.unwrap();
    assert_eq!(committed[&tp("auto", 0)], 60);
    produce(&cluster, &[], &[numbers("auto", None, 100, 10)]).await;
    assert_eq!(values(&cluster, "auto").await.len(), 110);
}

/// What a kill leaves: the log up to any byte of its last batch.
#[tokio::test]
async fn a_last_batch_cut_at_any_byte_costs_that_batch_only() {
    let dir = tempfile::tempdir().unwrap();
    {
        let cluster = open(dir.path());
        produce(&cluster, &[], &[numbers("t", None, 0, 5), numbers("t", None, 5, 5)]).await;
    }
    let whole = fs::read(segment(dir.path(), "t", 0)).unwrap();
    let first = 12 + u32::from_be_bytes(whole[8..12].try_into().unwrap()) as usize;
    let copies = tempfile::tempdir().unwrap();
    for keep in first..=whole.len() {
        let copied = copies.path().join(keep.to_string());
        copy(dir.path(), &copied);
        let file = fs::OpenOptions::new().write(true).open(segment(&copied, "t", 0)).unwrap();
        file.set_len(keep as u64).unwrap();
        let cluster = open(&copied);
        let left = if keep == whole.len() { 10 } else { 5 };
        assert_eq!(values(&cluster, "t").await, (0..left).collect::<Vec<_>>(), "{keep} bytes");
        produce(&cluster, &[], &[numbers("t", None, left, 3)]).await;
        assert_eq!(values(&cluster, "t").await, (0..left + 3).collect::<Vec<_>>());
        drop(cluster);
        fs::remove_dir_all(&copied).unwrap();
    }
}

/// Reads until an error comes, and gives the numbers before it and the error.
async fn read_to_error(cluster: &EmbeddedCluster, topic: &str) -> (Vec<usize>, String) {
    let mut consumer = reader(cluster, topic, 1).await;
    let mut numbers = Vec::new();
    loop {
        match consumer.poll(POLL).await {
            Ok(Polled::Records(runs)) => {
                assert!(!runs.is_empty(), "no error");
                numbers.extend(runs.iter().flat_map(rows).map(|row| number(&row)));
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (numbers, error.to_string()),
        }
    }
}

async fn read_from(
    cluster: &EmbeddedCluster,
    topic: &str,
    offset: i64,
    count: usize,
) -> Vec<usize> {
    let mut consumer = reader(cluster, topic, 1).await;
    consumer.seek(&BTreeMap::from([(tp(topic, 0), offset)])).await.unwrap();
    read_one(&mut *consumer, count).await.iter().map(number).collect()
}

/// Four segments of one batch each.
async fn four_segments(dir: &Path) {
    let settings = Settings { segment_bytes: 1, ..Settings::default() };
    let cluster = EmbeddedCluster::open(dir, settings).unwrap();
    let runs: Vec<_> = (0..4).map(|i| numbers("t", None, i * 5, 5)).collect();
    produce(&cluster, &[], &runs).await;
}

#[tokio::test]
async fn a_segment_cut_in_half_stops_reading_there() {
    for keep in [0, 30, 100] {
        let dir = tempfile::tempdir().unwrap();
        four_segments(dir.path()).await;
        let second = segment(dir.path(), "t", 5);
        fs::OpenOptions::new().write(true).open(&second).unwrap().set_len(keep).unwrap();
        let cluster = open(dir.path());
        let (before, error) = read_to_error(&cluster, "t").await;
        assert_eq!(before, [0, 1, 2, 3, 4], "what is whole is read");
        assert!(error.contains(&second.display().to_string()), "{error}");
        assert!(error.contains("offset 10"), "says where to go on: {error}");
        assert_eq!(read_from(&cluster, "t", 10, 10).await, (10..20).collect::<Vec<_>>());
        produce(&cluster, &[], &[numbers("t", None, 20, 5)]).await;
        assert_eq!(read_from(&cluster, "t", 10, 15).await, (10..25).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_byte_changed_in_the_middle_stops_reading_there() {
    let dir = tempfile::tempdir().unwrap();
    {
        let cluster = open(dir.path());
        let runs: Vec<_> = (0..4).map(|i| numbers("t", None, i * 5, 5)).collect();
        produce(&cluster, &[], &runs).await;
    }
    let path = segment(dir.path(), "t", 0);
    let mut bytes = fs::read(&path).unwrap();
    let first = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    bytes[first + 70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let cluster = open(dir.path());
    let (before, error) = read_to_error(&cluster, "t").await;
    assert_eq!(before, [0, 1, 2, 3, 4]);
    assert!(error.contains(&format!("position: {first}")), "{error}");
    assert_eq!(read_from(&cluster, "t", 10, 10).await, (10..20).collect::<Vec<_>>());
}

/// While the process runs and after it has opened the log: nothing but the checksum sees this.
#[tokio::test]
async fn a_byte_changed_while_running_stops_reading_there() {
    let dir = tempfile::tempdir().unwrap();
    four_segments(dir.path()).await;
    let cluster = open(dir.path());
    let path = segment(dir.path(), "t", 5);
    let mut bytes = fs::read(&path).unwrap();
    bytes[70] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (before, error) = read_to_error(&cluster, "t").await;
    assert_eq!(before, [0, 1, 2, 3, 4]);
    assert!(error.contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_directory_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = open(dir.path());
    let producer = cluster.producer(&properties(&[])).await.unwrap();
    drop(cluster);
    let error = open_error(dir.path());
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    assert!(error.contains("in use"), "{error}");
    drop(producer);
    open(dir.path());
}

#[tokio::test]
async fn a_damaged_or_missing_list_of_topics_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    {
        produce(&open(dir.path()), &[], &[numbers("t", None, 0, 5)]).await;
    }
    let path = dir.path().join("cluster.json");
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(open_error(dir.path()).contains(&path.display().to_string()));
    fs::remove_file(&path).unwrap();
    assert!(open_error(dir.path()).contains("cluster.json"));
    fs::write(&path, &text).unwrap();
    assert_eq!(values(&open(dir.path()), "t").await.len(), 5);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(open_error(&file.join("kafka")).contains(&file.display().to_string()));
}

/// Everything after `max.poll.interval.ms` without a poll: lost, refused, and joined again.
#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_poll_is_fenced() {
    let cluster = EmbeddedCluster::in_memory();
    create(&cluster, "t", 2, &[]).await;
    let subscription = Subscription::Topics(vec!["t".into()]);
    let interval = [("max.poll.interval.ms", "1000")];
    let mut slow = Tracked::new(member(&cluster, "g", &interval).await);
    let mut quick = Tracked::new(member(&cluster, "g", &interval).await);
    slow.consumer.subscribe(&subscription).await.unwrap();
    quick.consumer.subscribe(&subscription).await.unwrap();
    slow.poll().await;
    assert_eq!(slow.assigned.len(), 1);
    // It waits in its polls until the other one is put out, with nobody else polling.
    while quick.assigned.len() < 2 {
        quick.poll().await;
    }
    let at = BTreeMap::from([(tp("t", 0), 1)]);
    let error = slow.consumer.commit(&at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("max.poll.interval.ms"), "{error}");
    let polled = slow.consumer.poll(POLL).await.unwrap();
    assert!(matches!(polled, Polled::Lost(lost) if lost == [tp("t", 0)]));
    slow.assigned.clear();
    while slow.assigned.len() != 1 || quick.assigned.len() != 1 {
        slow.poll().await;
        quick.poll().await;
    }
    let mine = slow.assigned.first().unwrap().clone();
    slow.consumer.commit(&BTreeMap::from([(mine, 1)])).await.unwrap();
}

/// Nobody polls but the one that waits: it must wake up by itself when the other one's time is up.
#[tokio::test(start_paused = true)]
async fn one_long_poll_takes_over_from_a_member_that_stalls() {
    let cluster = EmbeddedCluster::in_memory();
    create(&cluster, "t", 1, &[]).await;
    let subscription = Subscription::Topics(vec!["t".into()]);
    let mut stalls = member(&cluster, "g", &[("max.poll.interval.ms", "5000")]).await;
    stalls.subscribe(&subscription).await.unwrap();
    assert!(matches!(stalls.poll(POLL).await.unwrap(), Polled::Assigned(_)));
    let mut waits = member(&cluster, "g", &[]).await;
    waits.subscribe(&subscription).await.unwrap();
    let start = tokio::time::Instant::now();
    let polled = waits.poll(Duration::from_secs(60)).await.unwrap();
    assert!(matches!(polled, Polled::Assigned(_)));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_dropped_consumer_leaves_its_group() {
    let cluster = EmbeddedCluster::in_memory();
    create(&cluster, "t", 1, &[]).await;
    let subscription = Subscription::Topics(vec!["t".into()]);
    for _ in 0..3 {
        let mut consumer = member(&cluster, "g", &[]).await;
        consumer.subscribe(&subscription).await.unwrap();
        assert!(matches!(consumer.poll(POLL).await.unwrap(), Polled::Assigned(_)));
    }
}

#[tokio::test]
async fn a_dropped_poll_has_consumed_nothing() {
    let cluster = EmbeddedCluster::in_memory();
    create(&cluster, "t", 1, &[]).await;
    let mut consumer = reader(&cluster, "t", 1).await;
    for i in 0..200 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            _ = consumer.poll(Duration::from_secs(60)) => panic!("there is nothing"),
        }
        produce(&cluster, &[], &[numbers("t", None, i, 1)]).await;
        assert_eq!(read_one(&mut *consumer, 1).await[0].offset, i as i64);
    }
}

#[tokio::test]
async fn a_deleted_topic_is_lost_and_its_successor_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = open(dir.path());
    produce(&cluster, &[], &[numbers("t", None, 0, 10)]).await;
    let mut consumer = member(&cluster, "g", &[]).await;
    consumer.subscribe(&Subscription::Topics(vec!["t".into()])).await.unwrap();
    read(&mut *consumer, 10).await;
    consumer.commit(&BTreeMap::from([(tp("t", 0), 10)])).await.unwrap();
    cluster.delete_topic("t").await.unwrap();
    assert!(!dir.path().join("t-0").exists());
    let error = consumer.commit(&BTreeMap::from([(tp("t", 0), 10)])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    produce(&cluster, &[], &[numbers("t", None, 0, 3)]).await;
    let polled = consumer.poll(POLL).await.unwrap();
    assert!(matches!(polled, Polled::Lost(lost) if lost == [tp("t", 0)]));
    let read = read_one(&mut *consumer, 3).await;
    assert!(read.iter().map(number).eq(0..3), "from the beginning, though 10 was committed");
}

#[tokio::test]
async fn what_cannot_be_appended_is_reported() {
    let settings = Settings { auto_create_topics: false, ..Settings::default() };
    let cluster = EmbeddedCluster::in_memory_with(settings).unwrap();
    create(&cluster, "t", 2, &[]).await;
    create(&cluster, "compacted", 1, &[("cleanup.policy", "compact")]).await;
    let small = properties(&[("max.request.size", "1000")]);
    let mut producer = cluster.producer(&small).await.unwrap();
    let acks = Arc::new(Acks::default());

    let missing = producer.send(&numbers("missing", None, 0, 1), acks.clone()).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(producer.send(&numbers("t", Some(2), 0, 1), acks.clone()).await.is_err());
    assert_eq!(acks.counts(), (0, 0), "nothing was taken over");

    let big = vec![0; 1_000];
    let records = [(None, Some(&b"1"[..])), (None, Some(&big)), (None, Some(b"2"))];
    producer.send(&run("t", &records), acks.clone()).await.unwrap();
    assert_eq!(acks.counts(), (2, 1), "the others are appended");
    assert!(acks.errors()[0].contains("max.request.size"), "{:?}", acks.errors());

    producer.send(&numbers("compacted", None, 0, 4), acks.clone()).await.unwrap();
    assert_eq!(acks.counts(), (2, 5));
    producer.flush(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn offsets_out_of_range_are_reset() {
    let cluster = EmbeddedCluster::in_memory();
    produce(&cluster, &[], &[numbers("t", None, 0, 10)]).await;
    for (reset, expected) in [("earliest", Some(0)), ("latest", Some(10)), ("none", None)] {
        let settings = properties(&[("auto.offset.reset", reset)]);
        let mut consumer = cluster.consumer(&settings).await.unwrap();
        consumer.assign(&[(tp("t", 0), 50)]).await.unwrap();
        let polled = consumer.poll(Duration::ZERO).await;
        match expected {
            Some(0) => assert!(matches!(polled.unwrap(), Polled::Records(runs)
                if runs[0].offsets[0] == 0)),
            Some(end) => {
                polled.unwrap();
                let position = consumer.position(&[tp("t", 0)]).await.unwrap();
                assert_eq!(position[&tp("t", 0)], end);
            }
            None => {
                let error = polled.unwrap_err().to_string();
                assert!(error.contains("auto.offset.reset"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn wrong_use_is_named() {
    let cluster = EmbeddedCluster::in_memory();
    create(&cluster, "t", 1, &[]).await;
    let mut consumer = cluster.consumer(&properties(&[])).await.unwrap();
    let subscription = Subscription::Topics(vec!["t".into()]);
    assert_eq!(consumer.subscribe(&subscription).await.unwrap_err().kind(), ErrorKind::Config);
    assert!(consumer.poll(POLL).await.is_err(), "nothing to read");
    assert!(consumer.pause(&[tp("t", 0)]).is_err(), "not assigned");
    assert!(consumer.assign(&[(tp("t", 1), 0)]).await.is_err(), "no such partition");
    consumer.close().await.unwrap();
    assert!(consumer.assign(&[(tp("t", 0), 0)]).await.is_err(), "closed");
    for name in ["", "a b", "..", "__consumer_offsets", &"x".repeat(250)] {
        let send = cluster.producer(&properties(&[])).await.unwrap();
        let mut send = send;
        let acks = Arc::new(Acks::default());
        let error = send.send(&numbers(name, None, 0, 1), acks).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}");
    }
}

#[tokio::test]
async fn connect_knows_the_embedded_cluster_by_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let address = format!("embedded:{}", dir.path().join("kafka").display());
    {
        let cluster = connect(&properties(&[("bootstrap.servers", &address)])).unwrap();
        produce(&*cluster, &[], &[numbers("t", None, 0, 3)]).await;
        let again = connect(&properties(&[("bootstrap.servers", &address)]));
        assert!(again.err().unwrap().to_string().contains("in use"));
    }
    let partitions = properties(&[("bootstrap.servers", &address), ("num.partitions", "3")]);
    let cluster = connect(&partitions).unwrap();
    produce(&*cluster, &[], &[numbers("u", None, 0, 3)]).await;
    let topics = cluster.describe_topics(None).await.unwrap();
    assert_eq!(topics, BTreeMap::from([("t".into(), 1), ("u".into(), 3)]));

    let memory = properties(&[("bootstrap.servers", "embedded:")]);
    let (one, other) = (connect(&memory).unwrap(), connect(&memory).unwrap());
    produce(&*one, &[], &[numbers("t", None, 0, 3)]).await;
    assert!(other.describe_topics(None).await.unwrap().is_empty());
    assert_eq!(connect(&properties(&[])).err().unwrap().kind(), ErrorKind::Config);
}

/// Run with `--ignored --nocapture`: what a record costs, through files and through memory.
#[tokio::test]
#[ignore = "a measurement, to be run alone and optimised"]
async fn throughput() {
    const RUNS: usize = 2_000;
    const ROWS: usize = 500;
    let value = vec![b'v'; 100];
    let outgoing = run("t", &vec![(None, Some(value.as_slice())); ROWS]);
    let records = (RUNS * ROWS) as f64;
    let dir = tempfile::tempdir().unwrap();
    for (place, cluster) in [("files", open(dir.path())), ("memory", EmbeddedCluster::in_memory())]
    {
        let mut producer = cluster.producer(&properties(&[])).await.unwrap();
        let acks = Arc::new(Acks::default());
        let start = std::time::Instant::now();
        for _ in 0..RUNS {
            producer.send(&outgoing, acks.clone()).await.unwrap();
        }
        let sending = start.elapsed().as_nanos() as f64 / records;
        let all = properties(&[("max.poll.records", "5000")]);
        let mut consumer = cluster.consumer(&all).await.unwrap();
        consumer.assign(&[(tp("t", 0), 0)]).await.unwrap();
        let (start, mut left) = (std::time::Instant::now(), RUNS * ROWS);
        while left > 0 {
            let Polled::Records(runs) = consumer.poll(POLL).await.unwrap() else {
                continue;
            };
            left -= runs.iter().map(|run| run.offsets.len()).sum::<usize>();
        }
        let reading = start.elapsed().as_nanos() as f64 / records;
        println!("{place}: {sending:.0} ns to send, {reading:.0} ns to read a record of 100 B");
    }
}
