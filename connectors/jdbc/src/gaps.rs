//! Ids that were passed over: whose rows may still be committed. A sequence hands ids out in order,
//! but transactions end in any order, so that a row may appear below ids that were read long ago.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Which transactions are over, as a database counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// All before this one are over.
    pub(crate) oldest_running: u64,
    /// The one that begins next.
    pub(crate) next: u64,
}

impl Horizon {
    /// All that ever ran: what is left then is the grace.
    pub(crate) const OVER: Self = Self { oldest_running: u64::MAX, next: 0 };
}

/// Ids without rows below one that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gaps(VecDeque<Gap>);

#[derive(Clone, Debug, PartialEq)]
struct Gap {
    ids: RangeInclusive<i64>,
    /// What began before this one may fill it; none until the reading is over that found it.
    next: Option<u64>,
    found: Instant,
}

impl Gaps {
    /// Late rows are near the end; a table of which many rows were deleted has gaps everywhere.
    pub(crate) const MOST: usize = 1000;

    /// What an offset holds.
    pub(crate) fn from_json(json: &Json) -> Self {
        let range = |pair: &Json| Some(pair.get(0)?.as_i64()?..=pair.get(1)?.as_i64()?);
        let ranges = json.as_array().into_iter().flatten().filter_map(range);
        let mut gaps = Self::default();
        ranges.for_each(|ids| gaps.pass_over(ids));
        gaps
    }

    /// For an offset: pairs of the first and the last id. None when there are none.
    pub(crate) fn to_json(&self) -> Option<Json> {
        let pair = |gap: &Gap| Json::from(vec![*gap.ids.start(), *gap.ids.end()]);
        (!self.0.is_empty()).then(|| self.0.iter().map(pair).collect())
    }

    /// The ids, in order.
    pub(crate) fn ranges(&self) -> Vec<RangeInclusive<i64>> {
        self.0.iter().map(|gap| gap.ids.clone()).collect()
    }

    /// Rows were read up to `last`, and this is the next one.
    pub(crate) fn read(&mut self, last: i64, id: i64) {
        if id <= last {
            self.fill(id);
        } else {
            self.pass_over(last + 1..=id - 1);
        }
    }

    /// These ids have no row.
    pub(crate) fn pass_over(&mut self, ids: RangeInclusive<i64>) {
        if ids.is_empty() {
            return;
        }
        let at = self.0.partition_point(|gap| gap.ids.start() < ids.start());
        self.0.insert(at, Gap::new(ids));
        if self.0.len() > Self::MOST {
            self.0.pop_front();
        }
    }

    /// Whether no more of them are remembered, so that older ones are not any more.
    pub(crate) fn are_full(&self) -> bool {
        self.0.len() >= Self::MOST
    }

    /// The row of an id came after all.
    fn fill(&mut self, id: i64) {
        let Some(at) = self.0.iter().position(|gap| gap.ids.contains(&id)) else {
            return;
        };
        let gap = self.0.remove(at).expect("it was found there");
        let (before, after) = (*gap.ids.start()..=id - 1, id + 1..=*gap.ids.end());
        for ids in [after, before].into_iter().filter(|ids| !ids.is_empty()) {
            self.0.insert(at, Gap { ids, ..gap.clone() });
        }
    }

    /// A reading is over that looked into all of them. Forgets those that nobody fills any more:
    /// what ran when they were found was over before the reading began, and `grace` with it, for
    /// ids that are handed out before a transaction counts as one that writes.
    pub(crate) fn forget(&mut self, begin: Horizon, end: Horizon, grace: Duration) {
        self.0.retain_mut(|gap| match gap.next {
            Some(next) => begin.oldest_running < next || gap.found.elapsed() < grace,
            None => {
                gap.next = Some(end.next);
                true
            }
        });
    }
}

impl Gap {
    fn new(ids: RangeInclusive<i64>) -> Self {
        Self { ids, next: None, found: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(ids: &[i64]) -> (Gaps, i64) {
        let mut gaps = Gaps::default();
        let mut last = ids[0];
        for id in &ids[1..] {
            gaps.read(last, *id);
            last = last.max(*id);
        }
        (gaps, last)
    }

    #[test]
    fn what_is_passed_over_is_kept_until_it_comes() {
        let (mut gaps, last) = read(&[1, 2, 5, 6, 9, 12]);
        assert_eq!(gaps.to_json(), Some(json!([[3, 4], [7, 8], [10, 11]])));
        for id in [7, 11, 3] {
            gaps.read(last, id);
        }
        assert_eq!(gaps.ranges(), [4..=4, 8..=8, 10..=10]);
        let again = Gaps::from_json(&gaps.to_json().unwrap());
        assert_eq!(again.ranges(), gaps.ranges());
        let (mut wide, last) = read(&[0, 10]);
        wide.read(last, 5);
        assert_eq!(wide.ranges(), [1..=4, 6..=9]);
        assert_eq!(read(&[1, 2, 3]).0.to_json(), None);
        assert!(Gaps::from_json(&json!(["x", [1]])).ranges().is_empty());
    }

    #[test]
    fn the_newest_are_kept() {
        let ids: Vec<i64> = (0..3000).map(|i| 2 * i).collect();
        let (gaps, _) = read(&ids);
        assert_eq!(gaps.0.len(), Gaps::MOST);
        assert_eq!(gaps.0.back().unwrap().ids, 5997..=5997);
        assert!(gaps.are_full());
        assert!(!read(&ids[..900]).0.are_full());
        let mut edge = Gaps::default();
        edge.read(i64::MAX, i64::MIN);
        assert_eq!(edge.ranges(), []);
        assert_eq!(Gaps::from_json(&json!([[5, 2]])).ranges(), []);
    }

    #[test]
    fn they_end_with_the_transactions_that_could_fill_them() {
        let (mut gaps, _) = read(&[1, 3]);
        let horizon = |oldest_running, next| Horizon { oldest_running, next };
        // The reading that finds it began before; what it could not see began until its end.
        gaps.forget(horizon(50, 50), horizon(7, 9), Duration::ZERO);
        gaps.forget(horizon(8, 20), horizon(20, 20), Duration::ZERO);
        gaps.forget(horizon(9, 20), horizon(20, 20), Duration::from_secs(60));
        assert_eq!(gaps.ranges(), [2..=2]);
        gaps.forget(horizon(9, 20), horizon(20, 20), Duration::ZERO);
        assert_eq!(gaps.ranges(), []);
    }

    #[test]
    fn where_nobody_tells_the_grace_counts() {
        let (mut gaps, _) = read(&[1, 3]);
        gaps.forget(Horizon::OVER, Horizon::OVER, Duration::ZERO);
        gaps.forget(Horizon::OVER, Horizon::OVER, Duration::from_secs(60));
        assert_eq!(gaps.ranges(), [2..=2]);
        gaps.forget(Horizon::OVER, Horizon::OVER, Duration::ZERO);
        assert_eq!(gaps.ranges(), []);
    }
}
