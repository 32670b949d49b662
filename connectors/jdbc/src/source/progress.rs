//! Which rows of a table a snapshot has read: the table's ids are cut into chunks, and each chunk
//! is read in the order of its ids.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value as Json, json};

use crate::dialect::Extent;

/// The most chunks of a table: each is a query.
const MOST_CHUNKS: u64 = 100_000;

/// How far a snapshot has got. What it holds grows with the readers, not with the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    /// The column that has the ids.
    pub(crate) column: String,
    /// The first and the last id.
    ids: RangeInclusive<i64>,
    /// So many ids a chunk; the last chunk may have fewer.
    step: u64,
    /// The first chunk that was not begun.
    next: u64,
    /// Chunks that were begun and are not over, each with the id that was read last.
    begun: BTreeMap<u64, Option<i64>>,
    /// Rows that were read.
    pub(crate) rows: u64,
    /// Rows that the table had at the start, about.
    pub(crate) expected: u64,
}

impl Progress {
    /// Nothing was read yet. Chunks have about `chunk_rows` rows, where ids are dense.
    pub(crate) fn new(column: String, extent: &Extent, chunk_rows: u64) -> Self {
        let (low, high) = (*extent.ids.start(), *extent.ids.end());
        let count = high.abs_diff(low).saturating_add(1);
        let chunks = extent.rows.div_ceil(chunk_rows.max(1)).clamp(1, MOST_CHUNKS);
        Self {
            column,
            ids: low..=high,
            step: count.div_ceil(chunks),
            next: 0,
            begun: BTreeMap::new(),
            rows: 0,
            expected: extent.rows,
        }
    }

    /// What an offset holds; none where it is nothing that [`to_json`](Self::to_json) wrote.
    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        let number = |key: &str| json.get(key)?.as_u64();
        let begun = json.get("begun")?.as_object()?.iter();
        let is_chunk = |chunk: &u64| *chunk <= MOST_CHUNKS;
        let begun =
            begun.map(|(chunk, last)| Some((chunk.parse().ok().filter(is_chunk)?, last.as_i64())));
        Some(Self {
            column: json.get("column")?.as_str()?.to_owned(),
            ids: json.get("first")?.as_i64()?..=json.get("last")?.as_i64()?,
            step: number("step").filter(|step| *step > 0)?,
            next: number("next").filter(is_chunk)?,
            begun: begun.collect::<Option<_>>()?,
            rows: number("rows")?,
            expected: number("expected")?,
        })
    }

    /// For an offset.
    pub(crate) fn to_json(&self) -> Json {
        let begun = self.begun.iter().map(|(chunk, last)| (chunk.to_string(), json!(last)));
        json!({
            "column": self.column,
            "first": self.ids.start(), "last": self.ids.end(), "step": self.step,
            "next": self.next, "begun": begun.collect::<Map<_, _>>(),
            "rows": self.rows, "expected": self.expected,
        })
    }

    /// The last id that the snapshot reads.
    pub(crate) fn last_id(&self) -> i64 {
        *self.ids.end()
    }

    /// A chunk that is not over and not among those that are being read.
    pub(crate) fn begin(&mut self, being_read: impl Fn(u64) -> bool) -> Option<u64> {
        if let Some((chunk, _)) = self.begun.iter().find(|(chunk, _)| !being_read(**chunk)) {
            return Some(*chunk);
        }
        let chunk = self.next;
        self.start_of(chunk)?;
        self.next += 1;
        self.begun.insert(chunk, None);
        Some(chunk)
    }

    /// The ids of a chunk that were not read; none when its last one was.
    pub(crate) fn rest(&self, chunk: u64) -> RangeInclusive<i64> {
        let end = match self.start_of(chunk + 1) {
            Some(next) => next - 1,
            None => *self.ids.end(),
        };
        let start = match self.begun.get(&chunk) {
            Some(Some(last)) => last.saturating_add(1),
            _ => self.start_of(chunk).unwrap_or(i64::MAX),
        };
        start..=end
    }

    /// Rows of a chunk were read, up to this id.
    pub(crate) fn read(&mut self, chunk: u64, last: i64, rows: u64) {
        self.begun.insert(chunk, Some(last));
        self.rows += rows;
    }

    /// All rows of a chunk were read.
    pub(crate) fn over(&mut self, chunk: u64) {
        self.begun.remove(&chunk);
    }

    /// Whether all rows were read.
    pub(crate) fn is_over(&self) -> bool {
        self.begun.is_empty() && self.start_of(self.next).is_none()
    }

    /// The first id of a chunk; none beyond the last one.
    fn start_of(&self, chunk: u64) -> Option<i64> {
        let start = self.ids.start().checked_add_unsigned(self.step.checked_mul(chunk)?)?;
        self.ids.contains(&start).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn progress(ids: RangeInclusive<i64>, rows: u64, chunk_rows: u64) -> Progress {
        Progress::new("id".to_owned(), &Extent { ids, rows }, chunk_rows)
    }

    #[test]
    fn a_restart_goes_on_where_chunks_were_left() {
        let mut progress = progress(1..=100, 100, 25);
        assert_eq!(progress.begin(|_| false), Some(0));
        assert_eq!(progress.begin(|chunk| chunk == 0), Some(1));
        progress.read(0, 10, 10);
        progress.read(1, 50, 25);
        progress.over(1);
        let mut again = Progress::from_json(&progress.to_json()).unwrap();
        assert_eq!(again, progress);
        assert_eq!(again.begin(|_| false), Some(0));
        assert_eq!(again.rest(0), 11..=25);
        assert_eq!(again.begin(|chunk| chunk == 0), Some(2));
        assert_eq!(again.rest(2), 51..=75);
        assert_eq!((again.rows, again.is_over()), (35, false));
    }

    #[test]
    fn what_no_snapshot_wrote_is_none() {
        for json in [json!(null), json!("over"), json!({"first": 1}), json!([])] {
            assert_eq!(Progress::from_json(&json), None, "{json}");
        }
        let mut broken = progress(0..=9, 10, 5).to_json();
        broken["step"] = json!(0);
        assert_eq!(Progress::from_json(&broken), None);
        let mut far = progress(0..=9, 10, 5).to_json();
        far["begun"] = json!({"18446744073709551615": null});
        assert_eq!(Progress::from_json(&far), None);
    }

    proptest! {
        /// Whatever the ids, the chunks hold each once, in order.
        #[test]
        fn chunks_cover_the_ids(
            low in any::<i64>(), count in 0..u64::MAX, rows in 0..1_000_000u64, size in 1..5_000u64
        ) {
            let high = low.saturating_add_unsigned(count);
            let mut progress = progress(low..=high, rows, size);
            let mut expected = low;
            while let Some(chunk) = progress.begin(|_| false) {
                let ids = progress.rest(chunk);
                prop_assert_eq!(*ids.start(), expected);
                prop_assert!(ids.end() >= ids.start());
                progress.over(chunk);
                if *ids.end() == high {
                    break;
                }
                expected = ids.end() + 1;
            }
            prop_assert!(progress.is_over());
            prop_assert!(progress.next <= MOST_CHUNKS);
        }
    }
}
