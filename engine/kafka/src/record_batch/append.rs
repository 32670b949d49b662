//! Decides how rows of columns are put into an open batch, and where it is full.

use arrow::array::{Array, BinaryViewArray};

use super::header::HEADER_LENGTH;
use super::writer::{Headers, PREFIX, Record, Writer, length_of};
use crate::Outgoing;

/// How much [`Writer::append_rows`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The open batch grows to so many bytes before compression (`batch.size`), and beyond only
    /// for a record that does not fit an empty one.
    pub batch_bytes: usize,
    /// A record with more bytes than these in a batch of its own is refused (`max.request.size`).
    pub record_bytes: usize,
}

/// What [`Writer::append_rows`] took, and why not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many rows, from the first on.
    pub rows: usize,
    /// Why it ended.
    pub stop: Stop,
}

/// Why [`Writer::append_rows`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All rows are in the batch.
    End,
    /// The next row belongs to the next batch.
    Full,
    /// The next row is refused: on its own it would take so many bytes, by Java's upper bound.
    TooBig {
        /// The bytes of a batch with this record alone.
        bytes: usize,
    },
}

/// No batch is longer: its length has 31 bits, and a record's prefix must fit as well.
const LONGEST_BATCH: usize = (i32::MAX as usize) - 64;

impl Writer {
    /// Appends rows of a run, in this order, until they end or the batch is full. An empty batch
    /// takes its first row however little room there is. `now`, in milliseconds, is the time of
    /// rows that have none.
    ///
    /// # Panics
    ///
    /// When `run` has no such row.
    pub fn append_rows(
        &mut self,
        run: &Outgoing,
        rows: impl IntoIterator<Item = usize>,
        now: i64,
        room: Room,
    ) -> Appended {
        let batch_bytes = room.batch_bytes.min(LONGEST_BATCH);
        let record_bytes = room.record_bytes.min(LONGEST_BATCH).saturating_sub(HEADER_LENGTH);
        let keys = (run.keys.null_count() < run.keys.len()).then_some(&run.keys);
        let timestamps = run.timestamps.as_deref();
        let mut appended = Appended { rows: 0, stop: Stop::End };
        for row in rows {
            let timestamp = timestamps.map_or(-1, |timestamps| timestamps[row]);
            let record = Record {
                timestamp: if timestamp == -1 { now } else { timestamp },
                key: keys.and_then(|keys| cell(keys, row)),
                value: cell(&run.values, row),
                headers: Headers::List(run.headers.get(row).map_or(&[], Vec::as_slice)),
            };
            let most = record.max_length();
            if (self.len() + most > batch_bytes || most > record_bytes)
                && let Some(stop) = self.no_room(&record, &room)
            {
                appended.stop = stop;
                break;
            }
            self.make_room_within(most, batch_bytes);
            self.put_next(&record);
            appended.rows += 1;
        }
        appended
    }

    /// Why the record cannot be the next; none when it can after all.
    #[cold]
    fn no_room(&self, record: &Record<'_>, room: &Room) -> Option<Stop> {
        let bytes = HEADER_LENGTH + java_upper_bound(record);
        if bytes > room.record_bytes.min(LONGEST_BATCH) {
            return Some(Stop::TooBig { bytes });
        }
        let exact = self.len() + self.length_of_next(record);
        (exact > room.batch_bytes.min(LONGEST_BATCH) && !self.is_empty()).then_some(Stop::Full)
    }
}

/// The most bytes that a record takes, as Java reckons.
fn java_upper_bound(record: &Record<'_>) -> usize {
    PREFIX + length_of(record.key) + length_of(record.value) + record.headers.total_length()
}

#[inline(always)]
fn cell(array: &BinaryViewArray, row: usize) -> Option<&[u8]> {
    array.is_valid(row).then(|| array.value(row))
}
