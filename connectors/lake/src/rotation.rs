//! Decides when a file ends: pure functions of offsets, record times, and the clock.
//!
//! `flush.size` and the record time cut by the records alone, whatever batches they come in, so
//! that a replay from a committed offset makes the same files again. The clock does not; what it
//! cut is found by the names of the files that are there, and cut again in the same places.

use std::collections::BTreeSet;

use millrace_api::data::MILLIS_A_DAY;

/// When a file is full or old enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `flush.size`, at least 1.
    pub(crate) flush_size: usize,
    /// `rotate.interval.ms`, if set.
    pub(crate) interval_ms: Option<i64>,
    /// `rotate.schedule.interval.ms`, if set.
    pub(crate) schedule_ms: Option<i64>,
}

/// What an open file holds, as far as its end depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    /// The offset of its first record: its name.
    pub(crate) start: i64,
    /// How many records.
    pub(crate) rows: usize,
    /// The time of the first record that has one.
    base_timestamp: Option<i64>,
    /// When the clock ends it.
    deadline: Option<i64>,
}

/// Offsets and times of records that wait to be written.
#[derive(Clone, Copy)]
pub(crate) struct Waiting<'a> {
    pub(crate) offsets: &'a [i64],
    pub(crate) timestamps: Option<&'a [i64]>,
}

impl Waiting<'_> {
    /// A record's time; records without one have a negative number.
    fn timestamp(&self, row: usize) -> Option<i64> {
        self.timestamps.map(|t| t[row]).filter(|t| *t >= 0)
    }
}

impl Policy {
    /// The span of a file that begins with this offset, at this time.
    pub(crate) fn begin(&self, start: i64, now: i64) -> Span {
        let aged = self.interval_ms.map(|ms| now.saturating_add(ms));
        let scheduled = self.schedule_ms.map(|ms| next_scheduled(now, ms));
        Span {
            start,
            rows: 0,
            base_timestamp: None,
            deadline: [aged, scheduled].into_iter().flatten().min(),
        }
    }

    /// How many of the waiting records still go into the file, in order. Adds them to its span.
    ///
    /// `cuts` are offsets at which files are known to start. A new file takes at least one record.
    pub(crate) fn extend(
        &self,
        span: &mut Span,
        waiting: Waiting<'_>,
        cuts: &BTreeSet<i64>,
    ) -> usize {
        let room = self.flush_size.saturating_sub(span.rows);
        let mut rows = waiting.offsets.len().min(room);
        if let Some(cut) = cuts.range(span.start.saturating_add(1)..).next() {
            rows = rows.min(waiting.offsets.partition_point(|offset| offset < cut));
        }
        if let Some(interval) = self.interval_ms {
            rows = rows_in_time(span, waiting, rows, interval);
        }
        span.rows += rows;
        rows
    }

    /// Whether the file has all the records it may have.
    pub(crate) fn is_full(&self, span: &Span) -> bool {
        span.rows >= self.flush_size
    }

    /// Whether the clock ends the file.
    pub(crate) fn is_due(span: &Span, now: i64) -> bool {
        span.deadline.is_some_and(|deadline| now >= deadline)
    }
}

/// How many of the first `rows` records are younger than the file's first by less than `interval`.
fn rows_in_time(span: &mut Span, waiting: Waiting<'_>, rows: usize, interval: i64) -> usize {
    for row in 0..rows {
        let Some(timestamp) = waiting.timestamp(row) else {
            continue;
        };
        let base = *span.base_timestamp.get_or_insert(timestamp);
        if timestamp.saturating_sub(base) >= interval {
            return row;
        }
    }
    rows
}

/// The next whole interval since midnight, in UTC; at the latest the next midnight.
fn next_scheduled(now: i64, interval: i64) -> i64 {
    let midnight = now - now.rem_euclid(MILLIS_A_DAY);
    let intervals = (now - midnight) / interval + 1;
    let next = intervals.saturating_mul(interval).min(MILLIS_A_DAY);
    midnight + next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(flush_size: usize) -> Policy {
        Policy { flush_size, interval_ms: None, schedule_ms: None }
    }

    /// The start offsets and sizes of the files that these batches of records make.
    fn files(policy: Policy, batches: &[&[(i64, i64)]], cuts: &[i64]) -> Vec<(i64, usize)> {
        let cuts = cuts.iter().copied().collect();
        let mut done = Vec::new();
        let mut open: Option<Span> = None;
        for batch in batches {
            let offsets: Vec<i64> = batch.iter().map(|r| r.0).collect();
            let timestamps: Vec<i64> = batch.iter().map(|r| r.1).collect();
            let mut at = 0;
            while at < batch.len() {
                let span = open.get_or_insert_with(|| policy.begin(offsets[at], 0));
                let waiting =
                    Waiting { offsets: &offsets[at..], timestamps: Some(&timestamps[at..]) };
                let fresh = span.rows == 0;
                let rows = policy.extend(span, waiting, &cuts);
                assert!(rows > 0 || !fresh, "a new file takes a record");
                at += rows;
                if at < batch.len() || policy.is_full(span) {
                    done.push((span.start, span.rows));
                    open = None;
                }
            }
        }
        done.extend(open.map(|span| (span.start, span.rows)));
        done
    }

    #[test]
    fn flush_size_counts_records_not_offsets() {
        let run: Vec<_> = [0, 5, 6, 9, 10, 30].map(|o| (o, -1)).to_vec();
        assert_eq!(
            files(policy(4), &[&run], &[]),
            vec![(0, 4), (10, 2)],
            "gaps left by compaction and filters do not count"
        );
    }

    #[test]
    fn a_record_as_old_as_the_interval_starts_the_next_file() {
        let policy = Policy { interval_ms: Some(100), ..policy(1000) };
        let run = [(0, -1), (1, 1000), (2, 1099), (3, 900), (4, 1100), (5, -1)];
        assert_eq!(files(policy, &[&run], &[]), vec![(0, 4), (4, 2)]);
    }

    #[test]
    fn files_that_are_there_are_cut_again_in_the_same_places() {
        let run: Vec<_> = (10..20).map(|o| (o, -1)).collect();
        assert_eq!(
            files(policy(5), &[&run], &[3, 10, 12, 19, 99]),
            vec![(10, 2), (12, 5), (17, 2), (19, 1)]
        );
    }

    #[test]
    fn the_clock_ends_a_file_at_the_interval_or_the_schedule() {
        let policy = Policy { interval_ms: Some(1_000), schedule_ms: Some(600), ..policy(10) };
        let span = policy.begin(0, 1_300);
        assert!(!Policy::is_due(&span, 1_799));
        assert!(Policy::is_due(&span, 1_800), "600 ms since midnight, thrice");
        let span = Policy { schedule_ms: None, ..policy }.begin(0, 1_300);
        assert!(!Policy::is_due(&span, 2_299));
        assert!(Policy::is_due(&span, 2_300));
    }

    #[test]
    fn the_schedule_starts_again_at_midnight() {
        let seven_hours = 7 * 3_600_000;
        assert_eq!(next_scheduled(MILLIS_A_DAY + 1, seven_hours), MILLIS_A_DAY + seven_hours);
        assert_eq!(next_scheduled(MILLIS_A_DAY + 3 * seven_hours, seven_hours), 2 * MILLIS_A_DAY);
        assert_eq!(next_scheduled(-1, seven_hours), 0);
        assert_eq!(next_scheduled(5, i64::MAX), MILLIS_A_DAY);
    }

    prop_compose! {
        fn records()(
            steps in prop::collection::vec((1i64..4, -50i64..400), 1..200)
        ) -> Vec<(i64, i64)> {
            let mut offset = 0;
            steps.into_iter().map(|(gap, time)| { offset += gap; (offset, time) }).collect()
        }
    }

    proptest! {
        /// The same files, whatever batches the records come in.
        #[test]
        fn cuts_do_not_depend_on_batches(
            records in records(),
            flush_size in 1usize..20,
            interval in prop::option::of(1i64..300),
            cuts in prop::collection::vec(0i64..400, 0..5),
            sizes in prop::collection::vec(1usize..30, 1..20),
        ) {
            let policy = Policy { flush_size, interval_ms: interval, schedule_ms: None };
            let whole = files(policy, &[&records], &cuts);
            let mut batches = Vec::new();
            let mut rest = records.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (batch, tail) = rest.split_at((*size).min(rest.len()));
                batches.push(batch);
                rest = tail;
            }
            prop_assert_eq!(files(policy, &batches, &cuts), whole);
        }

        /// A replay from the start of any file makes that file and all later ones again; with the
        /// names of what is there as cuts, also when `flush.size` was another.
        #[test]
        fn a_replay_makes_the_same_files(
            records in records(), flush_size in 1usize..20, other in 1usize..20
        ) {
            let before = files(policy(flush_size), &[&records], &[]);
            let starts: Vec<i64> = before.iter().map(|f| f.0).collect();
            for (i, start) in starts.iter().enumerate() {
                let from = records.partition_point(|r| r.0 < *start);
                let again = files(policy(flush_size), &[&records[from..]], &[]);
                prop_assert_eq!(&again, &before[i..]);
                let changed = files(policy(other), &[&records[from..]], &starts);
                let changed: BTreeSet<i64> = changed.into_iter().map(|f| f.0).collect();
                prop_assert!(starts[i..].iter().all(|s| changed.contains(s)), "each is overwritten");
            }
        }
    }
}
