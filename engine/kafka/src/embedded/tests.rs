//! Compaction, seen from inside: which records are left, and what stopping it half-way does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::Array;
use millrace_api::TopicPartition;
use proptest::collection::vec;
use proptest::prelude::*;

use super::compaction::compact;
use super::directory::{Directory, segment_files};
use super::log::{Log, Read};
use super::now_ms;
use super::settings::{Isolation, Settings, TopicSettings};
use crate::lock::lock;
use crate::record_batch::{Compression, Headers, Limits, Record, Writer};

fn settings(segment_bytes: u64, delete_retention_ms: i64) -> TopicSettings {
    TopicSettings {
        is_compacted: true,
        segment_bytes,
        delete_retention_ms,
        // Never by itself: the tests say when.
        min_dirty_ratio: f64::INFINITY,
        is_append_time: false,
        max_message_bytes: 1 << 20,
    }
}

fn cluster() -> Settings {
    Settings::default()
}

fn in_memory(settings: TopicSettings) -> Arc<Log> {
    Arc::new(Log::in_memory(TopicPartition::new("t", 0), settings, &cluster()))
}

fn in_files(settings: TopicSettings, directory: &Directory) -> Arc<Log> {
    let tp = TopicPartition::new("t", 0);
    Arc::new(Log::create(tp, settings, &cluster(), directory).unwrap())
}

fn reopen(settings: TopicSettings, directory: &Directory) -> Arc<Log> {
    Log::open(TopicPartition::new("t", 0), settings, &cluster(), directory).unwrap()
}

type Entry = (u8, Option<u8>);

fn append(log: &Arc<Log>, compression: Compression, batch: &[Entry]) {
    let mut writer = Writer::new(compression);
    for (key, value) in batch {
        let key = [b'k', *key];
        let value = value.map(|v| vec![v; 20]);
        let headers = [(Arc::from("h"), None)];
        let record = Record {
            timestamp: 1_000,
            key: Some(&key),
            value: value.as_deref(),
            headers: Headers::List(&headers),
        };
        writer.push(&record).unwrap();
    }
    log.append(writer.finish().unwrap()).unwrap();
}

/// Offset, key and value of every record.
fn read(log: &Log) -> Vec<(i64, u8, Option<u8>)> {
    let (mut offset, end) = log.offsets();
    let mut all = Vec::new();
    while offset < end {
        let Read::Records { columns, next_offset, .. } =
            log.read(offset, 200, Isolation::Uncommitted, Limits::default()).unwrap()
        else {
            panic!("there is more")
        };
        for row in 0..columns.offsets.len() {
            let value = columns.values.is_valid(row).then(|| columns.values.value(row)[0]);
            assert_eq!(columns.headers[row].len(), 1);
            assert_eq!(columns.timestamps[row], 1_000);
            all.push((columns.offsets[row], columns.keys.value(row)[1], value));
        }
        offset = next_offset;
    }
    all
}

fn segments(log: &Log) -> usize {
    lock(log.state()).segments.len()
}

/// Lets every tombstone's time be up.
fn wait_for_horizon() {
    let start = now_ms();
    while now_ms() <= start {
        std::thread::yield_now();
    }
}

proptest! {
    /// For each key the last value stays, at its offset, and what is in the active segment.
    #[test]
    fn the_last_value_of_each_key_stays(
        batches in vec(vec((0..6u8, proptest::option::weighted(0.8, any::<u8>())), 1..6), 2..30),
        segment_bytes in 1..2_000u64,
        dedupe_bytes in prop_oneof![Just(1usize), Just(300), Just(1 << 20)],
        rounds in 1..4,
        compression in proptest::sample::select(&Compression::ALL[..]),
    ) {
        let cluster = Settings { dedupe_bytes, ..cluster() };
        let topic = settings(segment_bytes, 86_400_000);
        let log = Arc::new(Log::in_memory(TopicPartition::new("t", 0), topic, &cluster));
        for batch in &batches {
            append(&log, compression, batch);
        }
        let before = read(&log);
        for _ in 0..rounds {
            compact(&log).unwrap();
        }
        let after = read(&log);
        let last: BTreeMap<_, _> = before.iter().map(|row| (row.1, *row)).collect();
        for row in last.values() {
            prop_assert!(after.contains(row), "{:?} is gone", row);
        }
        prop_assert!(after.iter().all(|row| before.contains(row)));
        prop_assert!(after.is_sorted_by_key(|row| row.0));
        prop_assert_eq!(log.offsets().1, before.len() as i64);
        if dedupe_bytes == 1 << 20 {
            let active = lock(log.state()).segments.last().unwrap().base_offset;
            let closed: Vec<_> = before.iter().filter(|row| row.0 < active).collect();
            let last: BTreeMap<_, _> = closed.iter().map(|row| (row.1, **row)).collect();
            let mut expected: Vec<_> = last.into_values().collect();
            expected.extend(before.iter().filter(|row| row.0 >= active));
            expected.sort();
            prop_assert_eq!(after, expected);
        }
    }
}

#[test]
fn tombstones_go_when_everybody_could_see_them() {
    for (retention, left) in
        [(0, vec![(3, 9, Some(9))]), (86_400_000, vec![(1, 1, None), (3, 9, Some(9))])]
    {
        let log = in_memory(settings(1, retention));
        for entry in [(1, Some(1)), (1, None), (9, Some(8)), (9, Some(9))] {
            append(&log, Compression::None, &[entry]);
        }
        // Into the active segment, which is left alone.
        append(&log, Compression::None, &[(7, Some(7))]);
        compact(&log).unwrap();
        let first = read(&log);
        assert_eq!(first[0], (1, 1, None), "the first round only sets the time");
        wait_for_horizon();
        compact(&log).unwrap();
        let mut expected = left;
        expected.push((4, 7, Some(7)));
        assert_eq!(read(&log), expected);
    }
}

#[test]
fn emptied_segments_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let log = in_files(settings(1_000, 0), &directory);
    for i in 0..200u8 {
        append(&log, Compression::None, &[(i % 2, Some(i)); 3]);
    }
    let before = segments(&log);
    let last_before = read(&log).into_iter().rev().take(6).collect::<Vec<_>>();
    for _ in 0..10 {
        compact(&log).unwrap();
    }
    assert!(before > 20 && segments(&log) == 2, "{before} segments became {}", segments(&log));
    assert_eq!(segment_files(&dir.path().join("t-0")).unwrap().len(), 2);
    let after = read(&log);
    assert!(last_before.iter().filter(|row| row.0 >= 597).all(|row| after.contains(row)));
    drop(log);
    assert_eq!(read(&reopen(settings(1_000, 0), &directory)), after);
}

#[test]
fn a_round_stopped_at_any_step_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let log = in_files(settings(250, 86_400_000), &directory);
    for i in 0..12u8 {
        append(&log, Compression::None, &[(i % 3, Some(i))]);
    }
    let partition = dir.path().join("t-0");
    let old: BTreeMap<_, _> = contents(&partition);
    let whole = read(&log);
    // Two rounds: the first empties segments, the second merges them.
    compact(&log).unwrap();
    compact(&log).unwrap();
    let new: BTreeMap<_, _> = contents(&partition);
    let compacted = read(&log);
    drop(log);
    assert!(new.len() < old.len() && compacted.len() < whole.len());

    // Renamed, and none of the merged segments removed; with an unfinished file besides.
    for (path, bytes) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
        fs::write(path, bytes).unwrap();
    }
    fs::write(partition.join("00000000000000000000.cleaned"), b"half a batch").unwrap();
    let log = reopen(settings(250, 86_400_000), &directory);
    assert_eq!(read(&log), compacted);
    assert_eq!(contents(&partition), new, "what was left over is removed");
}

fn contents(partition: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let entries = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A segment that only looks merged must not be removed for that.
#[test]
fn overlapping_segments_that_cannot_be_told_apart_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let log = in_files(settings(1, 0), &directory);
    for i in 0..4u8 {
        append(&log, Compression::None, &[(i, Some(i)), (i + 10, Some(i))]);
    }
    drop(log);
    let files = segment_files(&dir.path().join("t-0")).unwrap();
    fs::copy(&files[&2], files[&2].with_file_name("00000000000000000001.log")).unwrap();
    let error = Log::open(TopicPartition::new("t", 0), settings(1, 0), &cluster(), &directory)
        .unwrap_err()
        .to_string();
    assert!(error.contains("same offsets"), "{error}");
}

#[tokio::test]
async fn a_full_segment_starts_compaction() {
    let log = in_memory(TopicSettings { min_dirty_ratio: 0.5, ..settings(1_000, 0) });
    for i in 0..250u8 {
        append(&log, Compression::None, &[(1, Some(i)); 5]);
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while read(&log).len() > 100 {
        assert!(std::time::Instant::now() < deadline, "{} records are left", read(&log).len());
        append(&log, Compression::None, &[(1, Some(0)); 5]);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
