//! Decides which offsets of a partition were delivered, and which were not.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of offsets as runs without gaps.
///
/// Invariant: runs neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// The end of each run by its start.
    runs: BTreeMap<i64, i64>,
    delivered: u64,
}

impl Coverage {
    /// These offsets were delivered, perhaps again.
    pub fn add(&mut self, offsets: Range<i64>) {
        let Range { mut start, mut end } = offsets;
        if start >= end {
            return;
        }
        self.delivered += end.abs_diff(start);
        while let Some((&known, &known_end)) = self.runs.range(..=end).next_back() {
            if known_end < start {
                break;
            }
            self.runs.remove(&known);
            start = start.min(known);
            end = end.max(known_end);
        }
        self.runs.insert(start, end);
    }

    /// The offset after the last one that was delivered.
    pub fn end(&self) -> i64 {
        self.runs.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// The runs below `end` that nobody was given.
    pub fn gaps(&self, end: i64) -> Vec<Range<i64>> {
        let mut gaps = Vec::new();
        let mut next = 0;
        for (&start, &run_end) in &self.runs {
            if start > next {
                gaps.push(next..start);
            }
            next = run_end;
        }
        if next < end {
            gaps.push(next..end);
        }
        gaps
    }

    /// How many deliveries were repetitions.
    pub fn repeated(&self) -> u64 {
        let distinct: u64 = self.runs.iter().map(|(start, end)| end.abs_diff(*start)).sum();
        self.delivered - distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(runs: &[Range<i64>]) -> Coverage {
        let mut coverage = Coverage::default();
        for run in runs {
            coverage.add(run.clone());
        }
        coverage
    }

    #[test]
    fn runs_that_touch_are_one() {
        let coverage = covered(&[0..3, 3..5, 8..9, 5..8]);
        assert!(coverage.gaps(9).is_empty());
        assert_eq!(coverage.end(), 9);
        assert_eq!(coverage.repeated(), 0);
    }

    #[test]
    fn what_nobody_was_given_is_a_gap() {
        assert_eq!(covered(&[2..4, 6..8]).gaps(10), [0..2, 4..6, 8..10]);
        assert_eq!(covered(&[]).gaps(1), [Range { start: 0, end: 1 }]);
    }

    #[test]
    fn repetitions_are_counted_and_hide_no_gap() {
        let coverage = covered(&[0..4, 2..6, 0..6, 10..12]);
        assert_eq!(coverage.repeated(), 8);
        assert_eq!(coverage.gaps(12), [Range { start: 6, end: 10 }]);
    }
}
