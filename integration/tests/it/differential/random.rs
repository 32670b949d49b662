//! Records that no two clients should see differently.

use fastrand::Rng;
use millrace_integration::topic::Record;
use std::time::{SystemTime, UNIX_EPOCH};

/// The largest value; with its key and headers it fits into a topic that takes 2 MiB.
const LARGEST: usize = 1024 * 1024;

const WORDS: [&str; 6] = ["a", "a", "ключ", "x-y.z", "名前", "👩‍🚀"];

/// Bytes of all kinds: none, few, any, many alike.
fn bytes(random: &mut Rng, largest: usize) -> Vec<u8> {
    let length = match random.u8(0..12) {
        0 => 0,
        1..8 => random.usize(0..100),
        8..11 => random.usize(0..5_000),
        _ => random.usize(0..100_000),
    };
    let length = length.min(largest);
    if random.bool() {
        // What compresses well, and in more than one block.
        return WORDS[random.usize(0..6)].bytes().cycle().take(length).collect();
    }
    (0..length).map(|_| random.u8(..)).collect()
}

fn maybe(random: &mut Rng, bytes: Vec<u8>) -> Option<Vec<u8>> {
    (random.u8(0..10) > 0).then_some(bytes)
}

fn headers(random: &mut Rng) -> Vec<(String, Option<Vec<u8>>)> {
    if random.bool() {
        return Vec::new();
    }
    let count = random.usize(1..6);
    let header = |_| {
        let value = bytes(random, 200);
        (WORDS[random.usize(0..6)].to_owned(), maybe(random, value))
    };
    (0..count).map(header).collect()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is past 1970").as_millis() as i64
}

/// Records for one partition.
pub(crate) fn records(random: &mut Rng, partition: i32, count: usize) -> Vec<Record> {
    let record = |_| {
        let (key, value) = (bytes(random, 2_000), bytes(random, LARGEST));
        Record {
            partition,
            offset: 0,
            // Order in time is not order in the log.
            timestamp: random.bool().then(|| now() - random.i64(0..1_000_000_000)),
            key: maybe(random, key),
            value: maybe(random, value),
            headers: headers(random),
        }
    };
    (0..count).map(record).collect()
}

/// One record with a value of the largest size.
pub(crate) fn large(random: &mut Rng, partition: i32) -> Record {
    let alike = random.bool();
    let value = (0..LARGEST).map(|_| if alike { 7 } else { random.u8(..) }).collect();
    Record { partition, value: Some(value), ..Record::default() }
}

/// Records of text on one line, which is what Java's console producer takes.
pub(crate) fn lines(random: &mut Rng, count: usize) -> Vec<Record> {
    let text = |random: &mut Rng| {
        let words = (0..random.usize(0..8)).map(|_| WORDS[random.usize(0..6)]);
        Some(words.collect::<Vec<_>>().join(" ").into_bytes())
    };
    let record = |number| {
        let headers = (0..random.usize(0..4)).map(|_| {
            (WORDS[random.usize(0..6)].to_owned(), text(random).filter(|text| text.len() > 3))
        });
        let headers = headers.collect();
        let key = format!("{}-{number}", WORDS[random.usize(0..6)]).into_bytes();
        let value = text(random).filter(|_| random.u8(0..10) > 0);
        Record { key: Some(key), value, headers, ..Record::default() }
    };
    (0..count).map(record).collect()
}
