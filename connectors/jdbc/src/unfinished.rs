//! Transactions that were not over when a reading by time began: rows of theirs may appear below
//! its position, since the time in a row is often that of its transaction's beginning.

use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};

use crate::position::Moment;

/// Numbers that are kept apart at most. Beyond, ranges are joined: that adds transactions that are
/// over, so that rows may come twice, and never takes one away.
const MOST: usize = 100;

/// The transactions that were not over at some moment, as a database numbers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// This one and all after it had not begun to write.
    pub(crate) next: u64,
    /// Those before that ran, in order.
    pub(crate) running: Vec<RangeInclusive<u64>>,
    /// None of them began before.
    pub(crate) since: Moment,
}

const NEXT: &str = "next";
const RUNNING: &str = "running";
const SINCE: &str = "since";

impl Unfinished {
    /// `running` is in order, none of them empty.
    pub(crate) fn new(next: u64, running: Vec<RangeInclusive<u64>>, since: Moment) -> Self {
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for range in running {
            match ranges.last_mut() {
                Some(last) if *last.end() + 1 == *range.start() => {
                    *last = *last.start()..=*range.end();
                }
                _ => ranges.push(range),
            }
        }
        while ranges.len() > MOST {
            join_nearest(&mut ranges);
        }
        Self { next, running: ranges, since }
    }

    /// What an offset holds; none if it is not what [`to_json`](Self::to_json) writes.
    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        let next = json.get(NEXT)?.as_u64()?;
        let mut running = Vec::new();
        // In order, none of them empty, and all before the next.
        let mut from = 0;
        for pair in json.get(RUNNING)?.as_array()? {
            let (first, last) = (pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?);
            if first < from || last < first || last >= next {
                return None;
            }
            from = last + 1;
            running.push(first..=last);
        }
        let since = Moment::from_micros(json.get(SINCE)?.as_i64()?);
        Some(Self::new(next, running, since))
    }

    /// For an offset.
    pub(crate) fn to_json(&self) -> Json {
        let pair = |ids: &RangeInclusive<u64>| vec![*ids.start(), *ids.end()];
        let running: Vec<_> = self.running.iter().map(pair).collect();
        json!({ NEXT: self.next, RUNNING: running, SINCE: self.since.micros() })
    }

    /// The lowest number that was not over.
    pub(crate) fn first(&self) -> u64 {
        self.running.first().map_or(self.next, |range| *range.start())
    }
}

/// Joins the two ranges with the fewest numbers between them.
fn join_nearest(ranges: &mut Vec<RangeInclusive<u64>>) {
    let between = |at: &usize| ranges[*at + 1].start() - ranges[*at].end();
    if let Some(at) = (0..ranges.len() - 1).min_by_key(between) {
        let after = ranges.remove(at + 1);
        ranges[at] = *ranges[at].start()..=*after.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_keeps_them() {
        let unfinished = Unfinished::new(20, vec![3..=4, 5..=5, 9..=9], Moment::from_micros(-7));
        assert_eq!(unfinished.running, [3..=5, 9..=9]);
        let json = unfinished.to_json();
        assert_eq!(json, json!({"next": 20, "running": [[3, 5], [9, 9]], "since": -7}));
        assert_eq!(Unfinished::from_json(&json), Some(unfinished));
        let most = u64::MAX;
        for other in [
            json!({}),
            json!(7),
            json!({"next": 1, "running": [[1]], "since": 0}),
            json!({"next": 9, "running": [[5, 4]], "since": 0}),
            json!({"next": 9, "running": [[5, 5], [3, 3]], "since": 0}),
            json!({"next": 9, "running": [[9, 9]], "since": 0}),
            json!({"next": 1, "running": [[most, most]], "since": 0}),
            json!({"next": most, "running": [[1, most]], "since": 0}),
        ] {
            assert_eq!(Unfinished::from_json(&other), None, "{other}");
        }
    }

    #[test]
    fn however_many_there_are_none_is_left_out() {
        let numbers: Vec<u64> = (0..1000).map(|i| i * i).collect();
        let ranges = numbers.iter().map(|number| *number..=*number).collect();
        let unfinished = Unfinished::new(u64::MAX, ranges, Moment::default());
        assert_eq!(unfinished.running.len(), MOST);
        let holds = |number: &u64| unfinished.running.iter().any(|r| r.contains(number));
        assert!(numbers.iter().all(holds));
        assert!(!holds(&(999 * 999 - 1)), "the widest are kept apart");
    }
}
