//! Decides what one partition takes from idempotent and transactional producers: each batch once,
//! in the order of its sequence numbers, from the newest epoch only (`ProducerStateManager` in
//! Kafka).
//!
//! A pure state: the log changes it under its lock, with every batch that it appends.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::marker::Marker;
use crate::record_batch::BatchHeader;

/// How many of a producer's last batches are remembered, to answer one that is sent again. A
/// producer has at most five in flight.
const REMEMBERED: usize = 5;

/// A producer that has been silent for so long is forgotten (`producer.id.expiration.ms`).
const EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

/// From so many producers on a partition looks for expired ones.
const CROWD: usize = 1024;

/// What a partition knows about the producers that write to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    entries: HashMap<i64, Entry>,
    /// Transactions without an end, by their first offset here.
    open: BTreeSet<(i64, i64)>,
    /// In the order of their ends.
    aborted: Vec<Aborted>,
    /// When to look for expired producers next.
    crowd: usize,
}

/// A transaction that was aborted: its records are not for those who read committed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer_id: i64,
    /// Its first record's offset.
    pub(super) first_offset: i64,
    /// Its marker's offset.
    pub(super) last_offset: i64,
}

#[derive(Clone, Debug)]
struct Entry {
    epoch: i16,
    batches: VecDeque<Appended>,
    /// Where its open transaction begins.
    open_since: Option<i64>,
    last_timestamp: i64,
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    first_sequence: i32,
    last_sequence: i32,
    pub(super) base_offset: i64,
    pub(super) max_timestamp: i64,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes next.
    Append,
    /// It is in the log already, here.
    Duplicate(Appended),
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Batches before it are missing.
    OutOfOrder { expected: i32, found: i32 },
    /// A producer with the same id and a later epoch has written.
    Fenced { current: i16, found: i16 },
    /// It has no part in the transaction, or the transaction has no part in it.
    WrongTransaction,
}

/// What [`Producers::describe`] tells of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) last_sequence: i32,
    pub(super) last_timestamp: i64,
    pub(super) open_since: Option<i64>,
}

/// What a log tells of a producer when it is opened again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Noted {
    /// It appended a batch.
    Batch(BatchHeader),
    /// Its transaction ended, at this offset and time.
    Marker(Marker, i64, i64),
}

impl Producers {
    /// Takes note of what the log of an earlier process holds.
    pub(super) fn replay(&mut self, noted: &Noted) {
        match noted {
            Noted::Batch(header) => self.appended(header),
            Noted::Marker(marker, offset, timestamp) => self.marked(marker, *offset, *timestamp),
        }
    }

    /// Whether this batch of records may be appended now.
    pub(super) fn check(&self, batch: &BatchHeader) -> Result<Verdict, Refusal> {
        let Some(entry) = self.entries.get(&batch.producer_id) else {
            // Its earlier batches may have been deleted: any sequence number will do.
            return Ok(Verdict::Append);
        };
        let (current, found) = (entry.epoch, batch.producer_epoch);
        if found < current {
            return Err(Refusal::Fenced { current, found });
        }
        if found == current {
            let same = |b: &&Appended| {
                b.first_sequence == batch.base_sequence && b.last_sequence == last_sequence(batch)
            };
            if let Some(duplicate) = entry.batches.iter().find(same) {
                return Ok(Verdict::Duplicate(*duplicate));
            }
        }
        let expected = match entry.batches.back().filter(|_| found == current) {
            Some(last) => next_sequence(last.last_sequence),
            None => 0,
        };
        if batch.base_sequence != expected {
            return Err(Refusal::OutOfOrder { expected, found: batch.base_sequence });
        }
        if entry.open_since.is_some() && !batch.is_transactional() {
            return Err(Refusal::WrongTransaction);
        }
        Ok(Verdict::Append)
    }

    /// Takes note of a batch of records that was appended.
    pub(super) fn appended(&mut self, batch: &BatchHeader) {
        let epoch = batch.producer_epoch;
        let entry = self.entries.entry(batch.producer_id).or_insert_with(|| Entry::new(epoch));
        entry.renew(epoch);
        if entry.batches.len() == REMEMBERED {
            entry.batches.pop_front();
        }
        entry.batches.push_back(Appended {
            first_sequence: batch.base_sequence,
            last_sequence: last_sequence(batch),
            base_offset: batch.base_offset,
            max_timestamp: batch.max_timestamp,
        });
        entry.last_timestamp = entry.last_timestamp.max(batch.max_timestamp);
        if batch.is_transactional() && entry.open_since.is_none() {
            entry.open_since = Some(batch.base_offset);
            self.open.insert((batch.base_offset, batch.producer_id));
        }
        self.forget_expired(batch.max_timestamp);
    }

    /// Whether a marker may be appended: not after one of a later epoch.
    pub(super) fn check_marker(&self, marker: &Marker) -> Result<(), Refusal> {
        let found = marker.producer_epoch;
        match self.entries.get(&marker.producer_id) {
            Some(entry) if found < entry.epoch => {
                Err(Refusal::Fenced { current: entry.epoch, found })
            }
            _ => Ok(()),
        }
    }

    /// Takes note of the end of a transaction that was appended at this offset.
    pub(super) fn marked(&mut self, marker: &Marker, offset: i64, timestamp: i64) {
        let epoch = marker.producer_epoch;
        let entry = self.entries.entry(marker.producer_id).or_insert_with(|| Entry::new(epoch));
        entry.renew(epoch);
        entry.last_timestamp = entry.last_timestamp.max(timestamp);
        let Some(first_offset) = entry.open_since.take() else {
            return;
        };
        self.open.remove(&(first_offset, marker.producer_id));
        if !marker.is_commit {
            let producer_id = marker.producer_id;
            self.aborted.push(Aborted { producer_id, first_offset, last_offset: offset });
        }
    }

    /// Where the earliest transaction without an end begins.
    pub(super) fn first_unstable_offset(&self) -> Option<i64> {
        self.open.first().map(|(offset, _)| *offset)
    }

    /// The aborted transactions with records from `from` on and before `to`.
    pub(super) fn aborted(&self, from: i64, to: i64) -> Vec<Aborted> {
        let first = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        let rest = self.aborted[first..].iter();
        rest.filter(|aborted| aborted.first_offset < to).copied().collect()
    }

    /// Forgets what only concerns records before this offset.
    pub(super) fn truncate_front(&mut self, start_offset: i64) {
        self.aborted.retain(|aborted| aborted.last_offset >= start_offset);
    }

    /// Whether a batch holds its producer's last sequence number: compaction must not lose it.
    pub(super) fn is_last_batch(&self, producer_id: i64, base_offset: i64) -> bool {
        let last = self.entries.get(&producer_id).and_then(|entry| entry.batches.back());
        last.is_some_and(|last| last.base_offset == base_offset)
    }

    /// All of them, for whoever looks.
    pub(super) fn describe(&self) -> Vec<Description> {
        let describe = |(id, entry): (&i64, &Entry)| Description {
            producer_id: *id,
            epoch: entry.epoch,
            last_sequence: entry.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: entry.last_timestamp,
            open_since: entry.open_since,
        };
        let mut all: Vec<_> = self.entries.iter().map(describe).collect();
        all.sort_by_key(|description| description.producer_id);
        all
    }

    fn forget_expired(&mut self, now_ms: i64) {
        if self.entries.len() < self.crowd.max(CROWD) {
            return;
        }
        self.entries.retain(|_, entry| {
            entry.open_since.is_some() || entry.last_timestamp > now_ms - EXPIRATION_MS
        });
        self.crowd = self.entries.len() * 2;
    }
}

impl Entry {
    fn new(epoch: i16) -> Self {
        Self { epoch, batches: VecDeque::new(), open_since: None, last_timestamp: -1 }
    }

    /// A new epoch counts from 0 again.
    fn renew(&mut self, epoch: i16) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

/// Sequence numbers begin again at 0 after the highest.
fn last_sequence(batch: &BatchHeader) -> i32 {
    let last = i64::from(batch.base_sequence) + i64::from(batch.last_offset_delta);
    (last % (i64::from(i32::MAX) + 1)) as i32
}

fn next_sequence(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_batch::TRANSACTIONAL;

    fn batch(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: offset,
            length: 61,
            leader_epoch: 0,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: offset,
            producer_id: 1,
            producer_epoch: epoch,
            base_sequence: sequence,
            count,
        }
    }

    fn transactional(epoch: i16, sequence: i32, offset: i64) -> BatchHeader {
        BatchHeader { attributes: TRANSACTIONAL, ..batch(epoch, sequence, 1, offset) }
    }

    #[test]
    fn a_batch_comes_after_the_one_before_it() {
        let mut producers = Producers::default();
        producers.appended(&batch(0, 0, 10, 0));
        assert_eq!(producers.check(&batch(0, 10, 1, 0)), Ok(Verdict::Append));
        let refusal = Err(Refusal::OutOfOrder { expected: 10, found: 11 });
        assert_eq!(producers.check(&batch(0, 11, 1, 0)), refusal);
        let refusal = Err(Refusal::OutOfOrder { expected: 0, found: 10 });
        assert_eq!(producers.check(&batch(1, 10, 1, 0)), refusal, "a new epoch begins with 0");
        assert_eq!(producers.check(&batch(1, 0, 1, 0)), Ok(Verdict::Append));
        producers.appended(&batch(1, 0, 1, 10));
        let refusal = Err(Refusal::Fenced { current: 1, found: 0 });
        assert_eq!(producers.check(&batch(0, 10, 1, 0)), refusal);
    }

    #[test]
    fn the_last_five_batches_are_known_again() {
        let mut producers = Producers::default();
        for i in 0..7 {
            producers.appended(&batch(0, i * 2, 2, i64::from(i) * 100));
        }
        for i in 2..7 {
            let Ok(Verdict::Duplicate(found)) = producers.check(&batch(0, i * 2, 2, 0)) else {
                panic!("batch {i} is not known");
            };
            assert_eq!(found.base_offset, i64::from(i) * 100);
        }
        let refusal = Err(Refusal::OutOfOrder { expected: 14, found: 2 });
        assert_eq!(producers.check(&batch(0, 2, 2, 0)), refusal);
        let refusal = Err(Refusal::OutOfOrder { expected: 14, found: 12 });
        assert_eq!(producers.check(&batch(0, 12, 3, 0)), refusal, "of another length");
    }

    #[test]
    fn sequence_numbers_begin_again_after_the_highest() {
        let mut producers = Producers::default();
        producers.appended(&batch(0, i32::MAX - 1, 2, 0));
        assert_eq!(producers.check(&batch(0, 0, 1, 0)), Ok(Verdict::Append));
        producers.appended(&batch(0, i32::MAX - 1, 4, 2));
        assert_eq!(producers.check(&batch(0, 2, 1, 0)), Ok(Verdict::Append));
    }

    #[test]
    fn the_earliest_open_transaction_is_where_stable_ends() {
        let mut producers = Producers::default();
        assert_eq!(producers.first_unstable_offset(), None);
        producers.appended(&transactional(0, 0, 5));
        producers.appended(&BatchHeader { producer_id: 2, ..transactional(0, 0, 6) });
        producers.appended(&transactional(0, 1, 7));
        assert_eq!(producers.first_unstable_offset(), Some(5));
        assert_eq!(producers.check(&batch(0, 2, 1, 0)), Err(Refusal::WrongTransaction));
        let abort = Marker { producer_id: 1, producer_epoch: 0, is_commit: false };
        producers.marked(&abort, 8, 0);
        assert_eq!(producers.first_unstable_offset(), Some(6));
        producers.marked(&Marker { producer_id: 2, is_commit: true, ..abort }, 9, 0);
        assert_eq!(producers.first_unstable_offset(), None);
        let aborted = Aborted { producer_id: 1, first_offset: 5, last_offset: 8 };
        assert_eq!(producers.aborted(0, 10), [aborted]);
        assert_eq!(producers.aborted(8, 9), [aborted]);
        assert_eq!(producers.aborted(9, 10), []);
        assert_eq!(producers.aborted(0, 5), []);
    }

    #[test]
    fn a_marker_of_a_later_epoch_fences() {
        let mut producers = Producers::default();
        producers.appended(&transactional(0, 0, 0));
        let marker = Marker { producer_id: 1, producer_epoch: 1, is_commit: false };
        assert_eq!(producers.check_marker(&marker), Ok(()));
        producers.marked(&marker, 1, 0);
        let fenced = Err(Refusal::Fenced { current: 1, found: 0 });
        assert_eq!(producers.check(&transactional(0, 1, 2)), fenced);
        assert_eq!(producers.check(&transactional(1, 0, 2)), Ok(Verdict::Append));
        let late = Marker { producer_epoch: 0, ..marker };
        assert_eq!(producers.check_marker(&late).err(), fenced.err());
    }

    #[test]
    fn silent_producers_are_forgotten_in_a_crowd() {
        let mut producers = Producers::default();
        let day = EXPIRATION_MS;
        for id in 1..CROWD as i64 {
            producers.appended(&BatchHeader { producer_id: id, ..batch(0, 0, 1, id) });
        }
        let late = BatchHeader { producer_id: -2, max_timestamp: day * 2, ..batch(0, 0, 1, 9999) };
        producers.appended(&late);
        assert_eq!(producers.entries.len(), 1);
    }
}
