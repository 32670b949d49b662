//! Decides what must hold of a topic of numbered records: the number of a record is its offset.
//!
//! An idempotent producer that sends each partition's numbers in order makes the topic look like
//! that however often it repeats a request. Each gap, repetition and change of order moves numbers
//! off their offsets, so that every reader sees it at once.

use super::commits::Commits;
use super::coverage::Coverage;
use super::{PATIENCE, Stop, Tally};
use crate::client::Client;
use arrow::array::{Array as _, BinaryViewArray};
use millrace_api::Error;
use millrace_kafka::{Acknowledge, Fetched, Outgoing};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The time between two runs of each partition.
const TICK: Duration = Duration::from_millis(20);

/// A topic of numbered records: what was sent, what was acknowledged, what a group was given.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) topic: String,
    partitions: Vec<Partition>,
    pub(super) commits: Commits,
    pub(super) tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Partition {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    delivered: Mutex<Coverage>,
}

/// How far producers were at a moment, for asking whether all went on since.
pub(super) struct Mark(Vec<u64>);

impl Numbers {
    pub(super) fn new(topic: String, partitions: i32, tally: Arc<Tally>) -> Arc<Self> {
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        Arc::new(Self { topic, partitions, commits: Commits::default(), tally })
    }

    /// Where producers are.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.partitions.iter().map(|partition| partition.sent.load(SeqCst)).collect())
    }

    /// Whether a record that was sent after the mark is acknowledged, in each partition.
    pub(super) fn is_produced_after(&self, mark: &Mark) -> bool {
        let each = self.partitions.iter().zip(&mark.0);
        each.into_iter().all(|(partition, mark)| partition.acknowledged.load(SeqCst) > *mark)
    }

    /// Whether the group was given a record that was sent after the mark, of each partition.
    pub(super) fn is_consumed_after(&self, mark: &Mark) -> bool {
        let each = self.partitions.iter().zip(&mark.0);
        each.into_iter().all(|(partition, mark)| partition.end() > *mark as i64)
    }

    /// Whether the group was given all that was acknowledged.
    pub(super) fn is_drained(&self) -> bool {
        let whole = |partition: &Partition| {
            let end = partition.acknowledged.load(SeqCst) as i64;
            partition.delivered().gaps(end).is_empty()
        };
        self.partitions.iter().all(whole)
    }

    /// What the group was not given although it should have been, in words.
    pub(super) fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            let end = partition.acknowledged.load(SeqCst) as i64;
            for gap in partition.delivered().gaps(end) {
                gaps.push(format!("{}-{index}: no consumer was given {gap:?}", self.topic));
            }
        }
        gaps
    }

    /// What the group's members began with and committed although it cannot be, in words.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let found = self.commits.contradictions();
        found.into_iter().map(|what| format!("{}-{what}", self.topic)).collect()
    }

    /// How many records were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.acknowledged.load(SeqCst)).sum()
    }

    /// How many deliveries of the group were repetitions.
    pub(super) fn repeated(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.delivered().repeated()).sum()
    }

    /// The records of a run that a member of the group was given, and means to process.
    pub(super) fn deliver(&self, partition: i32, offsets: std::ops::Range<i64>) {
        let known = usize::try_from(partition).ok().and_then(|index| self.partitions.get(index));
        match known {
            Some(partition) => partition.delivered().add(offsets),
            None => self.tally.violation(format!("{}-{partition} is none of ours", self.topic)),
        }
    }

    /// Checks a run that a client returned: each record's number is its offset.
    pub(super) fn check(&self, run: &Fetched, who: &str) {
        let partition = run.topic_partition.partition;
        for (row, &offset) in run.offsets.iter().enumerate() {
            let value = run.values.is_valid(row).then(|| run.values.value(row));
            self.check_record(partition, offset, value, who);
        }
    }

    /// Checks one record.
    pub(super) fn check_record(
        &self,
        partition: i32,
        offset: i64,
        value: Option<&[u8]>,
        who: &str,
    ) {
        if value.and_then(parse) != Some((partition, offset)) {
            let value = value.map(|value| String::from_utf8_lossy(&value[..value.len().min(40)]));
            let topic = &self.topic;
            self.tally.violation(format!("{who}: {topic}-{partition} has {value:?} at {offset}"));
        }
    }

    /// Checks what an independent reader found: all that was acknowledged and nothing else.
    pub(super) fn check_whole(&self, found: &BTreeMap<i32, i64>, who: &str) {
        for (index, partition) in (0..).zip(&self.partitions) {
            let acknowledged = partition.acknowledged.load(SeqCst) as i64;
            let found = found.get(&index).copied().unwrap_or(0);
            if found != acknowledged {
                let topic = &self.topic;
                self.tally.violation(format!(
                    "{who}: {topic}-{index} holds {found} records, {acknowledged} acknowledged"
                ));
            }
        }
    }
}

impl Partition {
    fn delivered(&self) -> std::sync::MutexGuard<'_, Coverage> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> i64 {
        self.delivered().end()
    }
}

/// A record's text: where it belongs, and something to fill it.
fn text(partition: i32, number: u64, random: &mut fastrand::Rng) -> String {
    format!("{partition}/{number}/{}", "x".repeat(random.usize(10..150)))
}

fn parse(value: &[u8]) -> Option<(i32, i64)> {
    let mut parts = std::str::from_utf8(value).ok()?.split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Counts what became of a run.
struct Acknowledged {
    numbers: Arc<Numbers>,
    partition: usize,
}

impl Acknowledge for Acknowledged {
    fn acknowledged(&self, records: usize) {
        let partition = &self.numbers.partitions[self.partition];
        partition.acknowledged.fetch_add(records as u64, SeqCst);
    }

    fn failed(&self, records: usize, error: &Error) {
        let topic = &self.numbers.topic;
        let trace = error.trace();
        let place = format!("{topic}-{}", self.partition);
        self.numbers.tally.violation(format!("{records} records of {place} are lost: {trace}"));
    }
}

/// Sends numbers to all partitions until told to stop, then waits for the acknowledgements.
pub(super) async fn produce(
    numbers: Arc<Numbers>,
    client: Client,
    bootstrap: String,
    settings: Vec<(&'static str, &'static str)>,
    (stop, seed): (Stop, u64),
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let cluster = client.connect(&bootstrap, &[]);
    let mut producer = cluster
        .producer(&client.properties(&settings))
        .await
        .unwrap_or_else(|error| panic!("{client} opens a producer: {}", error.trace()));
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_set() {
        tick.tick().await;
        for index in 0..numbers.partitions.len() {
            let run = run(&numbers, index, &mut random);
            let records = run.values.len() as u64;
            let ack = Arc::new(Acknowledged { numbers: numbers.clone(), partition: index });
            // An error says that nothing was taken over, so the same run goes again.
            while let Err(error) = producer.send(&run, ack.clone()).await {
                numbers.tally.refused(&format!("{client}: send"), &error);
                if stop.is_set() {
                    return;
                }
                tick.tick().await;
            }
            numbers.partitions[index].sent.fetch_add(records, SeqCst);
        }
    }
    if let Err(error) = producer.flush(PATIENCE).await {
        numbers.tally.violation(format!("{client}: flush at the end: {}", error.trace()));
    }
}

fn run(numbers: &Numbers, index: usize, random: &mut fastrand::Rng) -> Outgoing {
    let partition = i32::try_from(index).expect("a topic has few partitions");
    let first = numbers.partitions[index].sent.load(SeqCst);
    let numbers_of_run = first..first + random.u64(1..=12);
    let values = numbers_of_run.map(|number| Some(text(partition, number, random).into_bytes()));
    let values: BinaryViewArray = values.collect();
    Outgoing {
        topic: numbers.topic.as_str().into(),
        partition: Some(partition),
        keys: BinaryViewArray::from_iter((0..values.len()).map(|_| None::<&[u8]>)),
        values,
        timestamps: None,
        headers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Arc<Numbers> {
        let numbers = Numbers::new("t".to_owned(), 1, Arc::default());
        numbers.partitions[0].acknowledged.store(3, SeqCst);
        numbers
    }

    /// A topic in which these numbers lie, as a reader sees it.
    fn judge(found: &[i64]) -> Vec<String> {
        let numbers = numbers();
        for (offset, number) in (0..).zip(found) {
            numbers.check_record(0, offset, Some(format!("0/{number}/").as_bytes()), "test");
        }
        numbers.check_whole(&BTreeMap::from([(0, found.len() as i64)]), "test");
        numbers.tally.violations()
    }

    #[test]
    fn a_gap_a_repetition_and_a_change_of_order_are_seen() {
        assert_eq!(judge(&[0, 1, 2]), [""; 0]);
        for broken in [&[0, 2][..], &[0, 1, 1, 2], &[0, 2, 1], &[0, 1], &[0, 1, 2, 3]] {
            assert!(!judge(broken).is_empty(), "{broken:?}");
        }
    }

    #[test]
    fn what_no_member_was_given_is_a_gap() {
        let numbers = numbers();
        numbers.deliver(0, 0..1);
        numbers.deliver(0, 2..3);
        assert!(!numbers.is_drained());
        assert_eq!(numbers.gaps(), ["t-0: no consumer was given 1..2"]);
        numbers.deliver(0, 1..2);
        assert!(numbers.is_drained());
    }
}
