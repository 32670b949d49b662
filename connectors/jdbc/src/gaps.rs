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
///
/// Where there are many, those that lie close become one, which remembers the rows between them.
/// Into such a gap one looks late and seldom, since its rows are read again to be left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps {
    /// In order.
    gaps: VecDeque<Gap>,
    /// When one was dropped, since there were too many.
    dropped: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Gap {
    ids: RangeInclusive<i64>,
    /// Which ids have a row that was read, of a gap that was several.
    rows: Option<Rows>,
    /// What began before this one may fill it; none until the reading is over that found it.
    next: Option<u64>,
    found: Instant,
    /// Whether the reading that goes on looks into it, and how many have if it was several.
    is_asked: bool,
    looks: u32,
}

/// The most gaps after close ones became one, and half as many as there are at any time.
const MOST: usize = 500;
/// The most ids in gaps that were several: what one has to read again, and a bit each to remember.
const MOST_IDS: i64 = 1 << 22;
/// How many ids a gap that was several has at most, tried in this order.
const WIDTHS: [i64; 3] = [1 << 8, 1 << 12, 1 << 16];
/// Each look into a gap that was several waits twice as long as the one before, up to this often.
const MOST_DOUBLINGS: u32 = 6;

impl Gaps {
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
        (!self.gaps.is_empty()).then(|| self.gaps.iter().map(pair).collect())
    }

    /// The ids, in order, that the reading which begins now is to look for.
    pub(crate) fn ask(&mut self, grace: Duration) -> Vec<RangeInclusive<i64>> {
        for gap in &mut self.gaps {
            let wait = grace * (1 << gap.looks.min(MOST_DOUBLINGS));
            gap.is_asked = gap.rows.is_none() || gap.found.elapsed() >= wait;
        }
        self.gaps.iter().filter(|gap| gap.is_asked).map(|gap| gap.ids.clone()).collect()
    }

    /// Rows were read up to `last`, and this is the next one. False if it was read before.
    pub(crate) fn read(&mut self, last: i64, id: i64) -> bool {
        if id <= last {
            return self.fill(id);
        }
        self.pass_over(last + 1..=id - 1);
        true
    }

    /// These ids have no row.
    pub(crate) fn pass_over(&mut self, ids: RangeInclusive<i64>) {
        if ids.is_empty() {
            return;
        }
        let at = self.gaps.partition_point(|gap| gap.ids.end() < ids.start());
        let around = self.gaps.get_mut(at).filter(|gap| gap.ids.start() <= ids.start());
        if let Some(around) = around.filter(|gap| gap.ids.end() >= ids.end()) {
            return around.has_no_rows_at(ids);
        }
        let at = self.gaps.partition_point(|gap| gap.ids.start() < ids.start());
        self.gaps.insert(at, Gap::new(ids));
        self.keep_few();
    }

    /// Whether one was dropped after this point, so that a late row may be missed.
    pub(crate) fn has_dropped_after(&self, point: Instant) -> bool {
        self.dropped.is_some_and(|dropped| dropped > point)
    }

    /// The row of an id came after all. False if it was read before.
    fn fill(&mut self, id: i64) -> bool {
        let at = self.gaps.partition_point(|gap| *gap.ids.end() < id);
        let Some(gap) = self.gaps.get_mut(at).filter(|gap| gap.ids.contains(&id)) else {
            return true;
        };
        if let Some(rows) = &mut gap.rows {
            return rows.add(id - gap.ids.start());
        }
        let gap = self.gaps.remove(at).expect("it was found there");
        let (before, after) = (*gap.ids.start()..=id - 1, id + 1..=*gap.ids.end());
        for ids in [after, before].into_iter().filter(|ids| !ids.is_empty()) {
            self.gaps.insert(at, Gap { ids, ..gap.clone() });
        }
        self.keep_few();
        true
    }

    /// Makes one of gaps that lie close where there are too many. Late rows are near the end, so
    /// that the oldest are dropped where that is not enough.
    fn keep_few(&mut self) {
        if self.gaps.len() < 2 * MOST {
            return;
        }
        for width in WIDTHS {
            if self.gaps.len() > MOST {
                self.join(width);
            }
        }
        let ids = |gap: &Gap| gap.rows.as_ref().map_or(0, |_| gap.width());
        let mut joined: i64 = self.gaps.iter().map(ids).sum();
        while self.gaps.len() > MOST || joined > MOST_IDS {
            let Some(gap) = self.gaps.pop_front() else { break };
            joined -= ids(&gap);
            self.dropped = Some(Instant::now());
        }
    }

    /// Makes one of neighbours that are no wider than this together.
    fn join(&mut self, width: i64) {
        let mut joined: VecDeque<Gap> = VecDeque::with_capacity(2 * MOST);
        for gap in self.gaps.drain(..) {
            let fits = |last: &&mut Gap| last.ids.start().abs_diff(*gap.ids.end()) < width as u64;
            match joined.back_mut().filter(fits) {
                Some(last) => last.join(gap),
                None => joined.push_back(gap),
            }
        }
        self.gaps = joined;
    }

    /// A reading is over. Forgets those that it looked into and that nobody fills any more: what
    /// ran when they were found was over before the reading began, and `grace` with it, for ids
    /// that are handed out before a transaction counts as one that writes.
    pub(crate) fn forget(&mut self, begin: Horizon, end: Horizon, grace: Duration) {
        self.gaps.retain_mut(|gap| match gap.next {
            Some(next) => {
                gap.looks += u32::from(gap.is_asked && gap.rows.is_some());
                !gap.is_asked || begin.oldest_running < next || gap.found.elapsed() < grace
            }
            None => {
                gap.next = Some(end.next);
                true
            }
        });
    }
}

impl Gap {
    fn new(ids: RangeInclusive<i64>) -> Self {
        Self { ids, rows: None, next: None, found: Instant::now(), is_asked: false, looks: 0 }
    }

    /// How many ids; only of one that is not wider than any of [`WIDTHS`].
    fn width(&self) -> i64 {
        self.ids.end() - self.ids.start() + 1
    }

    /// These ids in it were looked at only now, by another reader of a snapshot.
    fn has_no_rows_at(&mut self, ids: RangeInclusive<i64>) {
        if let Some(rows) = &mut self.rows {
            let start = *self.ids.start();
            ids.for_each(|id| rows.remove(id - start));
            (self.next, self.found) = (None, Instant::now());
        }
    }

    /// Takes the next one in. All ids between have rows that were read, never get any, or are yet
    /// to be looked at by another reader.
    fn join(&mut self, next: Self) {
        let (start, end) = (*self.ids.start(), *self.ids.end().max(next.ids.end()));
        let rows = self.rows.get_or_insert_default();
        for id in self.ids.end() + 1..*next.ids.start() {
            rows.add(id - start);
        }
        if let Some(others) = &next.rows {
            let own = next.ids.clone().filter(|id| others.has(id - next.ids.start()));
            own.for_each(|id| _ = rows.add(id - start));
        }
        self.ids = start..=end;
        self.next = self.next.zip(next.next).map(|(a, b)| a.max(b));
        self.found = self.found.max(next.found);
        self.is_asked &= next.is_asked;
        self.looks = self.looks.min(next.looks);
    }
}

/// Ids that have a row, counted from the first of their gap; a bit each.
#[derive(Clone, Debug, Default)]
struct Rows(Vec<u64>);

impl Rows {
    /// False if it is there.
    fn add(&mut self, id: i64) -> bool {
        let (word, bit) = Self::place(id);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    fn remove(&mut self, id: i64) {
        let (word, bit) = Self::place(id);
        if let Some(bits) = self.0.get_mut(word) {
            *bits &= !bit;
        }
    }

    fn has(&self, id: i64) -> bool {
        let (word, bit) = Self::place(id);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(id: i64) -> (usize, u64) {
        let id = usize::try_from(id).expect("a gap's first id is its lowest");
        (id / 64, 1 << (id % 64))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ranges(gaps: &Gaps) -> Vec<RangeInclusive<i64>> {
        gaps.gaps.iter().map(|gap| gap.ids.clone()).collect()
    }

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
        assert_eq!(ranges(&gaps), [4..=4, 8..=8, 10..=10]);
        let again = Gaps::from_json(&gaps.to_json().unwrap());
        assert_eq!(ranges(&again), ranges(&gaps));
        let (mut wide, last) = read(&[0, 10]);
        wide.read(last, 5);
        assert_eq!(ranges(&wide), [1..=4, 6..=9]);
        assert_eq!(read(&[1, 2, 3]).0.to_json(), None);
        assert!(ranges(&Gaps::from_json(&json!(["x", [1]]))).is_empty());
    }

    #[test]
    fn many_that_are_close_become_one_that_knows_its_rows() {
        // Ids go up by two, and each transaction of a hundred takes a while.
        let ids: Vec<i64> = (0..50_000).map(|i| 2 * i).filter(|id| id % 100 != 50).collect();
        let (mut gaps, last) = read(&ids);
        assert!(gaps.gaps.len() < 2 * MOST, "{}", gaps.gaps.len());
        assert!(gaps.dropped.is_none());
        let asked = ranges(&gaps);
        let (mut known, mut among) = (0, asked.iter().peekable());
        for id in &ids {
            while among.next_if(|ids| ids.end() < id).is_some() {}
            if among.peek().is_some_and(|ids| ids.contains(id)) {
                assert!(!gaps.read(last, *id), "{id} was read before");
                known += 1;
            }
        }
        assert!(known > ids.len() / 2, "{known}");
        for id in (0..1_000).map(|i| 100 * i + 50) {
            assert!(gaps.read(last, id), "{id} is new");
        }
        // After a restart they come again, once.
        let mut again = Gaps::from_json(&gaps.to_json().unwrap());
        let looked_for = |id: &i64, gaps: &Gaps| ranges(gaps).iter().any(|ids| ids.contains(id));
        for id in [51, 4_001, 77_777] {
            assert!(looked_for(&id, &again), "{id} may still come");
            assert!(again.read(last, id), "{id} is new");
            assert!(!again.read(last, id) || !looked_for(&id, &again), "{id} came");
        }
    }

    #[test]
    fn into_one_that_was_several_is_looked_late_and_seldom_and_before_it_is_forgotten() {
        // Those at the end are too far from each other to become one.
        let ids: Vec<i64> = (0..3_000).map(|i| 2 * i).chain((1..9).map(|i| i << 20)).collect();
        let (mut gaps, _) = read(&ids);
        let (over, grace) = (Horizon::OVER, Duration::from_secs(600));
        let plain = gaps.gaps.iter().filter(|gap| gap.rows.is_none()).count();
        assert_eq!(gaps.ask(grace).len(), plain, "those that were several wait");
        gaps.forget(over, over, Duration::ZERO);
        gaps.forget(over, over, Duration::ZERO);
        assert!(!gaps.gaps.is_empty(), "nobody has looked into them");
        let was_found = |ago: Duration, gaps: &mut Gaps| {
            gaps.gaps.iter_mut().for_each(|gap| gap.found = Instant::now() - ago);
        };
        was_found(grace, &mut gaps);
        assert_eq!(gaps.ask(grace).len(), gaps.gaps.len());
        assert_eq!(gaps.ask(grace).len(), gaps.gaps.len(), "a look that failed is made again");
        let running = Horizon { oldest_running: 0, next: 1 };
        gaps.forget(running, running, grace);
        assert!(gaps.ask(grace).is_empty(), "the next look waits longer");
        was_found(2 * grace, &mut gaps);
        assert_eq!(gaps.ask(grace).len(), gaps.gaps.len());
        gaps.forget(over, over, grace);
        assert!(gaps.gaps.is_empty());
    }

    #[test]
    fn what_another_reader_passes_over_below_is_looked_for() {
        let mut gaps = Gaps::default();
        gaps.pass_over(10..=11);
        gaps.pass_over(100..=101);
        gaps.join(WIDTHS[0]);
        // A reader of the ids before 100 is not there yet.
        gaps.pass_over(50..=52);
        gaps.pass_over(60..=60);
        gaps.join(WIDTHS[0]);
        assert_eq!(ranges(&gaps), [10..=101]);
        for id in [50, 51, 52, 60, 10, 101] {
            assert!(gaps.read(200, id), "{id} is new");
            assert!(!gaps.read(200, id), "{id} was read");
        }
        assert!(!gaps.read(200, 55));
    }

    #[test]
    fn the_newest_are_kept() {
        let far: Vec<i64> = (0..3_000).map(|i| i << 20).collect();
        let before = Instant::now();
        let (gaps, last) = read(&far);
        assert!(gaps.gaps.len() < 2 * MOST);
        assert_eq!(*gaps.gaps.back().unwrap().ids.end(), last - 1);
        assert!(gaps.has_dropped_after(before) && !gaps.has_dropped_after(Instant::now()));
        assert!(!read(&far[..900]).0.has_dropped_after(before));
        let close: Vec<i64> = (0..MOST_IDS).map(|i| 2 * i).collect();
        let (gaps, _) = read(&close);
        let bits = gaps.gaps.iter().filter_map(|gap| gap.rows.as_ref().map(|rows| rows.0.len()));
        assert!(bits.sum::<usize>() * 64 <= 2 * MOST_IDS as usize);
        assert!(gaps.has_dropped_after(before));
        let mut edge = Gaps::default();
        edge.read(i64::MAX, i64::MIN);
        edge.read(i64::MIN, i64::MAX);
        assert_eq!(ranges(&Gaps::from_json(&json!([[5, 2]]))), []);
    }

    #[test]
    fn they_end_with_the_transactions_that_could_fill_them() {
        let (mut gaps, _) = read(&[1, 3]);
        let horizon = |oldest_running, next| Horizon { oldest_running, next };
        // The reading that finds it began before; what it could not see began until its end.
        gaps.ask(Duration::ZERO);
        gaps.forget(horizon(50, 50), horizon(7, 9), Duration::ZERO);
        gaps.ask(Duration::ZERO);
        gaps.forget(horizon(8, 20), horizon(20, 20), Duration::ZERO);
        gaps.ask(Duration::ZERO);
        gaps.forget(horizon(9, 20), horizon(20, 20), Duration::from_secs(60));
        assert_eq!(ranges(&gaps), [2..=2]);
        gaps.ask(Duration::ZERO);
        gaps.forget(horizon(9, 20), horizon(20, 20), Duration::ZERO);
        assert_eq!(ranges(&gaps), []);
    }

    #[test]
    fn where_nobody_tells_the_grace_counts() {
        let (mut gaps, _) = read(&[1, 3]);
        gaps.ask(Duration::ZERO);
        gaps.forget(Horizon::OVER, Horizon::OVER, Duration::ZERO);
        gaps.ask(Duration::ZERO);
        gaps.forget(Horizon::OVER, Horizon::OVER, Duration::from_secs(60));
        assert_eq!(ranges(&gaps), [2..=2]);
        gaps.ask(Duration::ZERO);
        gaps.forget(Horizon::OVER, Horizon::OVER, Duration::ZERO);
        assert_eq!(ranges(&gaps), []);
    }
}
