//! A run of records, and where it came from.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::ScalarBuffer;

use crate::converter::{RawHeaders, Serialized};
use crate::data::column::{byte_length, keep};
use crate::data::{Column, SchemaRef, Value};
use crate::{Error, TopicPartition};

/// A header of a record. Keys may repeat in a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Its key.
    pub key: Arc<str>,
    /// What the value looks like, if that is known.
    pub schema: Option<SchemaRef>,
    /// Its value.
    pub value: Value,
}

/// The headers of a run: one ordered list a record, or nothing at all, which is nearly always so.
///
/// Clones and slices share the lists.
#[derive(Clone, Default)]
pub struct Headers {
    /// Those of the run that this one was cut from; none when no record has headers.
    lists: Option<Arc<[Vec<Header>]>>,
    /// Which of them are this run's own.
    own: Range<usize>,
}

impl Headers {
    /// No record has headers.
    pub fn none() -> Self {
        Self::default()
    }

    /// One list a record. Collapses to [`Headers::none`] when all are empty.
    pub fn from_rows(rows: Vec<Vec<Header>>) -> Self {
        if rows.iter().all(Vec::is_empty) {
            return Self::none();
        }
        Self { own: 0..rows.len(), lists: Some(rows.into()) }
    }

    /// Whether no record has headers.
    pub fn is_none(&self) -> bool {
        self.lists.is_none()
    }

    /// One record's headers.
    pub fn row(&self, row: usize) -> &[Header] {
        self.rows().get(row).map_or(&[], Vec::as_slice)
    }

    /// The lists of all records; none at all where no record has headers.
    fn rows(&self) -> &[Vec<Header>] {
        self.lists.as_ref().map_or(&[], |lists| &lists[self.own.clone()])
    }

    fn filter(&self, mask: &BooleanArray) -> Self {
        if self.is_none() { Self::none() } else { Self::from_rows(keep(self.rows(), mask)) }
    }

    /// The headers of records `offset..offset + len`.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        if self.is_none() || self.rows()[offset..][..len].iter().all(Vec::is_empty) {
            return Self::none();
        }
        let start = self.own.start + offset;
        Self { lists: self.lists.clone(), own: start..start + len }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Headers").field(&self.rows()).finish()
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.rows() == other.rows()
    }
}

/// A run of consecutive records that share a topic, a partition and both schemas.
///
/// Keys, values and whatever else is held a row have the same length; [`Records::filter`] is the
/// one place where rows are dropped, so they stay aligned.
#[derive(Clone, Debug)]
pub struct Records {
    /// The topic they go to or come from.
    pub topic: Arc<str>,
    /// The partition. On the way into Kafka, none lets the producer's partitioner choose.
    pub partition: Option<i32>,
    /// The keys.
    pub key: Column,
    /// The values.
    pub value: Column,
    /// Milliseconds since the epoch; none when no record has a timestamp, and
    /// [`Records::NO_TIMESTAMP`] for a single one without.
    pub timestamps: Option<ScalarBuffer<i64>>,
    /// The headers.
    pub headers: Headers,
    /// The offset of each record in Kafka; none on the way into it.
    pub offsets: Option<ScalarBuffer<i64>>,
    /// On the way into Kafka, which row of what the source polled each record was, where the worker
    /// has to know: who makes one record of another keeps it.
    pub origins: Option<ScalarBuffer<i64>>,
}

impl Records {
    /// Stands for "no timestamp" in a run where others have one.
    pub const NO_TIMESTAMP: i64 = -1;

    /// Records with values alone.
    pub fn new(topic: impl Into<Arc<str>>, value: Column) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: Column::nulls(value.len()),
            value,
            timestamps: None,
            headers: Headers::none(),
            offsets: None,
            origins: None,
        }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.value.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One record's timestamp.
    pub fn timestamp(&self, row: usize) -> Option<i64> {
        self.timestamps.as_ref().map(|t| t[row]).filter(|t| *t != Self::NO_TIMESTAMP)
    }

    /// The records where the mask is true; the mask has a bit a record and no nulls.
    #[must_use]
    pub fn filter(&self, mask: &BooleanArray) -> Self {
        let pick = |numbers: &ScalarBuffer<i64>| ScalarBuffer::from(keep(numbers, mask));
        Self {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            key: self.key.filter(mask),
            value: self.value.filter(mask),
            timestamps: self.timestamps.as_ref().map(pick),
            headers: self.headers.filter(mask),
            offsets: self.offsets.as_ref().map(pick),
            origins: self.origins.as_ref().map(pick),
        }
    }

    /// Records `offset..offset + len`; shares the buffers.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            key: self.key.slice(offset, len),
            value: self.value.slice(offset, len),
            timestamps: self.timestamps.as_ref().map(|t| t.slice(offset, len)),
            headers: self.headers.slice(offset, len),
            offsets: self.offsets.as_ref().map(|o| o.slice(offset, len)),
            origins: self.origins.as_ref().map(|o| o.slice(offset, len)),
        }
    }
}

/// What a source calls one of its parts, such as a file or a table: a map of plain values.
pub type SourcePartition = serde_json::Map<String, serde_json::Value>;

/// How far a source has read one of its parts: a map of plain values.
pub type SourceOffset = serde_json::Map<String, serde_json::Value>;

/// Records of one source partition, and where to go on once Kafka has acknowledged all of them.
///
/// The run is the grain of commits: after a crash a run is sent again as a whole. Keep it to
/// about 2,000 records or 1 MiB.
#[derive(Clone, Debug)]
pub struct SourceRecords {
    /// The records.
    pub records: Records,
    /// The part of the source they came from.
    pub source_partition: Arc<SourcePartition>,
    /// Where to go on after the last of them; none when the source keeps no offsets (JDBC bulk).
    pub source_offset: Option<SourceOffset>,
}

/// Consecutive records of one topic partition, as the log holds them.
///
/// All columns have the same length. Keys and values are slices of shared buffers: nothing is
/// copied when a run is cloned or cut.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where the records came from.
    pub topic_partition: TopicPartition,
    /// The offset of each record, ascending; gaps are legal (compaction, transactions).
    pub offsets: ScalarBuffer<i64>,
    /// Milliseconds since the epoch, -1 where the record has none.
    pub timestamps: ScalarBuffer<i64>,
    /// Null where the record has no key.
    pub keys: Serialized,
    /// Null is a tombstone.
    pub values: Serialized,
    /// Empty when no record has headers, else one entry a record.
    pub headers: Vec<RawHeaders>,
}

impl Fetched {
    /// How many bytes keys and values have. Headers do not count.
    pub fn bytes(&self) -> usize {
        byte_length(&self.keys) + byte_length(&self.values)
    }
}

/// Records of one topic partition on their way to a sink; [`Records::offsets`] is always there.
#[derive(Clone, Debug)]
pub struct SinkRecords {
    /// The records, transformed: their topic may differ from where they came from.
    pub records: Records,
    /// Where they came from: the names that offsets are committed under.
    pub topic_partition: TopicPartition,
    /// These records and perhaps others as they came from Kafka, where a dead letter may be made of
    /// one. Whoever keeps records keeps these too, and with them the buffers they lie in.
    pub original: Option<Arc<Fetched>>,
}

impl SinkRecords {
    /// Records of which no dead letter is ever made.
    pub fn new(records: Records, topic_partition: TopicPartition) -> Self {
        Self { records, topic_partition, original: None }
    }

    /// The offset of each record.
    pub fn offsets(&self) -> &[i64] {
        self.records.offsets.as_deref().expect("the worker gives every sink record its offset")
    }

    /// Records `offset..offset + len`; shares the buffers.
    #[must_use]
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        self.with(self.records.slice(offset, len))
    }

    /// The records where the mask is true; the mask has a bit a record and no nulls.
    #[must_use]
    pub fn filter(&self, mask: &BooleanArray) -> Self {
        self.with(self.records.filter(mask))
    }

    /// Whether both are of one run that came from Kafka.
    pub fn is_of_the_run_of(&self, other: &Self) -> bool {
        match (&self.original, &other.original) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    fn with(&self, records: Records) -> Self {
        Self {
            records,
            topic_partition: self.topic_partition.clone(),
            original: self.original.clone(),
        }
    }
}

/// One row that could not be processed; the rest of the run goes on.
#[derive(Debug)]
pub struct RowError {
    /// The row in the batch that was handed in.
    pub row: usize,
    /// What is wrong with it.
    pub error: Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One header a row, of the row's number; none in the third.
    fn headers() -> Headers {
        let header = |row: i32| Header { key: "h".into(), schema: None, value: Value::Int32(row) };
        Headers::from_rows(
            (0..4).map(|row| if row == 2 { Vec::new() } else { vec![header(row)] }).collect(),
        )
    }

    fn numbers(headers: &Headers, rows: usize) -> Vec<String> {
        let text = |row| headers.row(row).first().map_or("-".into(), |h| h.value.to_string());
        (0..rows).map(text).collect()
    }

    #[test]
    fn headers_are_shared_by_what_is_cut_from_them() {
        let all = headers();
        let cut = all.slice(1, 3);
        assert!(
            std::ptr::eq(all.row(1), cut.row(0)) && std::ptr::eq(all.row(1), all.clone().row(1))
        );
        assert_eq!(numbers(&cut, 4), ["1", "-", "3", "-"], "it ends where it was cut");
        assert_eq!(numbers(&cut.slice(2, 1), 1), ["3"]);
        assert_eq!(cut, Headers::from_rows((1..4).map(|row| all.row(row).to_vec()).collect()));
        assert!(cut.slice(1, 1).is_none() && cut.slice(3, 0).is_none());
    }

    #[test]
    fn headers_are_filtered_as_they_were_cut() {
        let kept = headers().slice(1, 3).filter(&vec![true, false, true].into());
        assert_eq!(numbers(&kept, 2), ["1", "3"]);
        assert!(headers().filter(&vec![false, false, true, false].into()).is_none());
    }
}
