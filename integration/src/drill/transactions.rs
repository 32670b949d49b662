//! Decides what must hold of transactions: readers of committed records see all of each committed
//! one, in order and once, and nothing of any other.

use super::tally::Tally;
use super::{PATIENCE, Stop};
use crate::client::Client;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

mod librdkafka;
mod ours;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fate {
    Committed,
    Aborted,
    /// Its producer was fenced by another of the same `transactional.id`.
    Fenced,
    /// The commit was asked for, and the producer failed for good before it heard.
    Unknown,
}

/// A transaction and the partitions of its records, in order.
#[derive(Clone, Debug)]
struct Transaction {
    fate: Fate,
    partitions: Vec<i32>,
}

/// Why a call of a transactional producer failed: what the caller has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Retry(String),
    Abort(String),
    Fatal(String),
}

/// A transactional producer that is ready to begin.
trait Transactional {
    fn begin(&mut self) -> Result<(), Trouble>;
    fn send(&mut self, topic: &str, partition: i32, value: &str) -> Result<(), Trouble>;
    fn commit(&mut self) -> Result<(), Trouble>;
    fn abort(&mut self) -> Result<(), Trouble>;
}

/// All transactions of a crew on one topic.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) topic: String,
    partitions: i32,
    done: Mutex<HashMap<(u32, u64), Transaction>>,
    committed: AtomicU64,
    tally: Arc<Tally>,
}

impl Transactions {
    pub(super) fn new(topic: String, partitions: i32, tally: Arc<Tally>) -> Arc<Self> {
        let (done, committed) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { topic, partitions, done, committed, tally })
    }

    /// How many were committed so far.
    pub(super) fn committed(&self) -> u64 {
        self.committed.load(SeqCst)
    }

    /// How many there were of each fate, in words.
    pub(super) fn summary(&self) -> String {
        let mut counts = BTreeMap::new();
        for transaction in self.done().values() {
            *counts.entry(transaction.fate).or_insert(0) += 1;
        }
        format!("{counts:?}")
    }

    fn done(&self) -> std::sync::MutexGuard<'_, HashMap<(u32, u64), Transaction>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, id: (u32, u64), fate: Fate, partitions: Vec<i32>) {
        if fate == Fate::Committed {
            self.committed.fetch_add(1, SeqCst);
        }
        self.done().insert(id, Transaction { fate, partitions });
    }

    /// Judges what a reader of committed records found, by partition in the order of the log.
    pub(super) fn check<'a>(&self, found: impl IntoIterator<Item = (i32, &'a str)>, who: &str) {
        let done = self.done();
        // How many records of each transaction were found; none is found twice, as each must follow
        // the one before it.
        let mut seen: HashMap<(u32, u64), BTreeSet<usize>> = HashMap::new();
        let mut last: HashMap<(i32, u32), (u64, usize)> = HashMap::new();
        for (partition, value) in found {
            let Some((producer, transaction, index)) = parse(value) else {
                self.tally.violation(format!("{who}: {}-{partition} has {value}", self.topic));
                continue;
            };
            let known = done.get(&(producer, transaction));
            let whole = known.is_some_and(|t| t.partitions.get(index) == Some(&partition));
            let fate = known.map(|transaction| transaction.fate);
            if !whole || matches!(fate, Some(Fate::Aborted | Fate::Fenced)) {
                self.tally.violation(format!("{who} sees {value} of a transaction {fate:?}"));
            }
            let at = (transaction, index);
            let before = last.insert((partition, producer), at);
            if before.is_some_and(|before| before >= at) {
                self.tally.violation(format!("{who} sees {value} after {before:?}"));
            }
            seen.entry((producer, transaction)).or_default().insert(index);
        }
        for (id, transaction) in &*done {
            let seen = seen.remove(id).unwrap_or_default();
            let all = transaction.partitions.len();
            let right = match transaction.fate {
                Fate::Committed => seen.len() == all,
                Fate::Unknown => seen.len() == all || seen.is_empty(),
                Fate::Aborted | Fate::Fenced => seen.is_empty(),
            };
            if !right {
                let missing = (0..all).filter(|index| !seen.contains(index));
                let missing: Vec<_> = missing
                    .map(|index| format!("{index} in {}", transaction.partitions[index]))
                    .collect();
                self.tally.violation(format!(
                    "{who} sees {} of {all} records of {id:?}, {:?}, and not {}",
                    seen.len(),
                    transaction.fate,
                    missing.join(", ")
                ));
            }
        }
    }
}

fn text((producer, transaction): (u32, u64), index: usize) -> String {
    format!("{producer}/{transaction}/{index}")
}

fn parse(value: &str) -> Option<(u32, u64, usize)> {
    let mut parts = value.split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// One `transactional.id` and its producers, each of which takes over from the one before.
struct Teller {
    transactions: Arc<Transactions>,
    client: Client,
    bootstrap: String,
    number: u32,
    random: fastrand::Rng,
    /// The transaction that is open, or the last one.
    current: u64,
    partitions: Vec<i32>,
}

/// Runs transactions one after the other until told to stop.
pub(super) fn run(
    transactions: Arc<Transactions>,
    client: Client,
    bootstrap: String,
    number: u32,
    (stop, seed): (Stop, u64),
) {
    let random = fastrand::Rng::with_seed(seed);
    let (current, partitions) = (0, Vec::new());
    let mut teller =
        Teller { transactions, client, bootstrap, number, random, current, partitions };
    let mut producer = teller.open();
    while !stop.is_set() {
        teller.current += 1;
        teller.partitions.clear();
        let done = match teller.random.u8(0..20) {
            0..13 => teller.commit(producer.as_mut()),
            13..18 => teller.abort(producer.as_mut()),
            _ => {
                let (successor, done) = teller.be_fenced(producer);
                producer = successor;
                done
            }
        };
        let (fate, healthy) = match done {
            Ok(fate) => (fate, true),
            Err(fate) => (fate, false),
        };
        let id = (number, teller.current);
        teller.transactions.settle(id, fate, teller.partitions.clone());
        if !healthy {
            producer = teller.open();
        }
    }
}

impl Teller {
    /// A new producer, whose first act is to abort what its predecessor left open.
    fn open(&self) -> Box<dyn Transactional> {
        let id = format!("{}-{}", self.transactions.topic, self.number);
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let opened = match self.client {
                Client::Librdkafka => librdkafka::open(&self.bootstrap, &id),
                client => ours::open(client, &self.bootstrap, &id),
            };
            match opened {
                Ok(producer) => return producer,
                Err(trouble) => self.note("init", &trouble),
            }
            assert!(Instant::now() < deadline, "{id} cannot be opened within two minutes");
        }
    }

    fn note(&self, what: &str, trouble: &Trouble) {
        let (kind, text) = match trouble {
            Trouble::Retry(text) => ("Retry", text),
            Trouble::Abort(text) => ("Abort", text),
            Trouble::Fatal(text) => ("Fatal", text),
        };
        self.transactions.tally.refused_with(&format!("{}: {what}", self.client), kind, text);
    }

    /// Begins, and sends some records.
    fn fill(&mut self, producer: &mut dyn Transactional) -> Result<(), Trouble> {
        producer.begin()?;
        for _ in 0..self.random.usize(1..25) {
            self.send(producer)?;
        }
        Ok(())
    }

    fn send(&mut self, producer: &mut dyn Transactional) -> Result<(), Trouble> {
        let partition = self.random.i32(0..self.transactions.partitions);
        let value = text((self.number, self.current), self.partitions.len());
        producer.send(&self.transactions.topic, partition, &value)?;
        self.partitions.push(partition);
        Ok(())
    }

    /// A transaction that is meant to be committed. An error asks for another producer.
    fn commit(&mut self, producer: &mut dyn Transactional) -> Result<Fate, Fate> {
        if let Err(trouble) = self.fill(producer) {
            self.note("begin", &trouble);
            return match trouble {
                Trouble::Fatal(_) => Err(Fate::Aborted),
                _ => self.give_up(producer),
            };
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(trouble) = producer.commit() else {
                return Ok(Fate::Committed);
            };
            self.note("commit", &trouble);
            match trouble {
                Trouble::Retry(_) if Instant::now() < deadline => {}
                Trouble::Abort(_) => return self.give_up(producer),
                _ => return Err(Fate::Unknown),
            }
        }
    }

    /// A transaction that is meant to be aborted.
    fn abort(&mut self, producer: &mut dyn Transactional) -> Result<Fate, Fate> {
        if let Err(trouble) = self.fill(producer) {
            self.note("abort", &trouble);
        }
        self.give_up(producer)
    }

    fn give_up(&mut self, producer: &mut dyn Transactional) -> Result<Fate, Fate> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match producer.abort() {
                Ok(()) => return Ok(Fate::Aborted),
                Err(trouble) => {
                    self.note("abort", &trouble);
                    if !matches!(trouble, Trouble::Retry(_)) || Instant::now() > deadline {
                        return Err(Fate::Aborted);
                    }
                }
            }
        }
    }

    /// A transaction whose producer is fenced in the middle, and does not know.
    fn be_fenced(
        &mut self,
        mut zombie: Box<dyn Transactional>,
    ) -> (Box<dyn Transactional>, Result<Fate, Fate>) {
        let filled = self.fill(zombie.as_mut());
        let successor = self.open();
        if let Err(trouble) = filled {
            self.note("begin", &trouble);
            return (successor, Ok(Fate::Fenced));
        }
        let sent = self.send(zombie.as_mut());
        let committed = sent.and_then(|()| {
            loop {
                match zombie.commit() {
                    Err(Trouble::Retry(text)) => self.note("zombie", &Trouble::Retry(text)),
                    other => break other,
                }
            }
        });
        match committed {
            Ok(()) => {
                let id = (self.number, self.current);
                let tally = &self.transactions.tally;
                tally.violation(format!("{}: a zombie committed {id:?}", self.client));
            }
            Err(trouble) => self.note("zombie", &trouble),
        }
        (successor, Ok(Fate::Fenced))
    }
}

/// The time that one call may take before it is repeated.
const CALL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(fates: &[Fate], found: &[(i32, &str)]) -> Vec<String> {
        let transactions = Transactions::new("t".to_owned(), 2, Arc::default());
        for (number, fate) in (1..).zip(fates) {
            transactions.settle((0, number), *fate, vec![0, 1, 0]);
        }
        transactions.check(found.iter().copied(), "test");
        transactions.tally.violations()
    }

    const FIRST: [(i32, &str); 3] = [(0, "0/1/0"), (0, "0/1/2"), (1, "0/1/1")];

    #[test]
    fn a_committed_transaction_is_seen_whole_once_and_in_order() {
        assert_eq!(judge(&[Fate::Committed], &FIRST), [""; 0]);
        assert!(!judge(&[Fate::Committed], &FIRST[1..]).is_empty());
        let twice = [FIRST[0], FIRST[0], FIRST[1], FIRST[2]];
        assert!(!judge(&[Fate::Committed], &twice).is_empty());
        let turned = [FIRST[1], FIRST[0], FIRST[2]];
        assert!(!judge(&[Fate::Committed], &turned).is_empty());
        let elsewhere = [(1, "0/1/0"), FIRST[1], FIRST[2]];
        assert!(!judge(&[Fate::Committed], &elsewhere).is_empty());
    }

    #[test]
    fn nothing_of_another_is_seen() {
        for fate in [Fate::Aborted, Fate::Fenced] {
            assert_eq!(judge(&[fate], &[]), [""; 0]);
            assert!(!judge(&[fate], &FIRST[..1]).is_empty(), "{fate:?}");
        }
        assert!(!judge(&[], &FIRST).is_empty());
    }

    #[test]
    fn one_of_unknown_fate_is_seen_whole_or_not_at_all() {
        assert_eq!(judge(&[Fate::Unknown], &[]), [""; 0]);
        assert_eq!(judge(&[Fate::Unknown], &FIRST), [""; 0]);
        assert!(!judge(&[Fate::Unknown], &FIRST[..2]).is_empty());
    }
}
