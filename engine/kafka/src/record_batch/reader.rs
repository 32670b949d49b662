//! Decides how batches become columns: views into the batches' own buffers.

use std::mem::take;
use std::sync::Arc;

use arrow::array::builder::make_view;
use arrow::array::{BinaryViewArray, ByteView};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use bytes::Bytes;
use millrace_api::{Result, TopicPartition};

use super::control::{Aborted, AbortedTransaction, EndOfTransaction};
use super::index::{Batch, Row, Span, nullable};
use super::{BatchHeader, Corrupt, Limits};
use crate::{Fetched, RawHeaders};

/// Up to this length a view holds its bytes itself.
const INLINE: usize = 12;

/// Headers seldom have more different names than this.
const NAMES: usize = 16;

/// Reads consecutive batches into columns.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    from_offset: i64,
    next_offset: Option<i64>,
    /// How far the last call of `read` has come.
    passed: usize,
    aborted: Aborted,
    run_bytes: usize,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    keys: Views,
    values: Views,
    headers: Vec<RawHeaders>,
    names: Vec<Arc<str>>,
}

/// Records as columns of equal length; see [`Fetched`] for what each holds.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Ascending; gaps are legal.
    pub offsets: ScalarBuffer<i64>,
    /// Milliseconds since the epoch.
    pub timestamps: ScalarBuffer<i64>,
    /// Null: no key.
    pub keys: BinaryViewArray,
    /// Null: a tombstone.
    pub values: BinaryViewArray,
    /// Empty when no record has headers.
    pub headers: Vec<RawHeaders>,
}

impl Columns {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Takes the first `count` records off; nothing is copied.
    ///
    /// # Panics
    ///
    /// When there are fewer.
    #[must_use]
    pub fn split_to(&mut self, count: usize) -> Self {
        let rest = self.len() - count;
        let headers = match self.headers.is_empty() {
            true => Vec::new(),
            false => self.headers.drain(..count).collect(),
        };
        let first = Self {
            offsets: self.offsets.slice(0, count),
            timestamps: self.timestamps.slice(0, count),
            keys: self.keys.slice(0, count),
            values: self.values.slice(0, count),
            headers,
        };
        self.offsets = self.offsets.slice(count, rest);
        self.timestamps = self.timestamps.slice(count, rest);
        self.keys = self.keys.slice(count, rest);
        self.values = self.values.slice(count, rest);
        first
    }

    /// The same, with the name of where they came from.
    pub fn fetched_from(self, topic_partition: TopicPartition) -> Fetched {
        Fetched {
            topic_partition,
            offsets: self.offsets,
            timestamps: self.timestamps,
            keys: self.keys,
            values: self.values,
            headers: self.headers,
        }
    }
}

impl Reader {
    /// A reader that takes every record.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            from_offset: i64::MIN,
            next_offset: None,
            passed: 0,
            aborted: Aborted::default(),
            run_bytes: 0,
            offsets: Vec::new(),
            timestamps: Vec::new(),
            keys: Views::default(),
            values: Views::default(),
            headers: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Leaves out records before this offset: a fetch begins with the batch that holds the offset
    /// asked for.
    #[must_use]
    pub fn from_offset(mut self, offset: i64) -> Self {
        self.from_offset = offset;
        self
    }

    /// Leaves out the records of these transactions (`isolation.level=read_committed`), which are
    /// those that the fetch response names: each ends with the marker that the batches hold.
    #[must_use]
    pub fn aborted(mut self, transactions: Vec<AbortedTransaction>) -> Self {
        self.aborted = Aborted::new(transactions);
        self
    }

    /// Reads the whole batches at the beginning of `batches` and says how many bytes they had:
    /// the rest is a batch that was cut off, or was left because enough is read: `max_run_bytes` or
    /// `max_run_records`.
    /// `at` is the position of `batches` in their file or response and only named in errors.
    ///
    /// On an error the batches before the damaged one are read, and nothing of it is;
    /// [`passed`](Self::passed) says where it begins.
    pub fn read(&mut self, batches: &Bytes, at: u64) -> Result<usize> {
        self.passed = 0;
        while self.run_bytes < self.limits.max_run_bytes && self.len() < self.limits.max_run_records
        {
            match self.read_one(batches, self.passed) {
                Ok(0) => break,
                Ok(length) => self.passed += length,
                Err(corrupt) => return Err(corrupt.at(at + self.passed as u64)),
            }
        }
        Ok(self.passed)
    }

    /// How many bytes the last call of [`read`](Self::read) has read, also when it failed.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// How many records are read.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether none are read.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// How many bytes the records have, once decompressed.
    pub fn run_bytes(&self) -> usize {
        self.run_bytes
    }

    /// The offset after the last batch that was read or passed over; none before the first.
    pub fn next_offset(&self) -> Option<i64> {
        self.next_offset
    }

    /// What was read, as columns.
    pub fn finish(mut self) -> Columns {
        self.take()
    }

    /// What was read since the last call, as columns. Reading goes on, for up to `max_run_bytes`
    /// more.
    pub fn take(&mut self) -> Columns {
        self.run_bytes = 0;
        Columns {
            offsets: take(&mut self.offsets).into(),
            timestamps: take(&mut self.timestamps).into(),
            keys: take(&mut self.keys).finish(),
            values: take(&mut self.values).finish(),
            headers: take(&mut self.headers),
        }
    }

    /// Reads the batch at `start`. 0: it is cut off.
    fn read_one(&mut self, batches: &Bytes, start: usize) -> Result<usize, Corrupt> {
        let rest = &batches[start..];
        let Some(header) = BatchHeader::parse(rest)? else {
            return Ok(0);
        };
        if header.length > rest.len() {
            return Ok(0);
        }
        // Asked of markers as well: the first batch of a fetch may be one.
        let is_aborted = self.aborted.covers(&header);
        if header.is_control() {
            self.read_control(batches, start, header)?;
        } else if !is_aborted && header.last_offset() >= self.from_offset {
            self.read_records(batches, start, header)?;
        }
        self.next_offset = Some(header.last_offset() + 1);
        Ok(header.length)
    }

    /// The checksum is compared here as well, whatever is in it: one flipped bit could otherwise
    /// hide a batch of records.
    fn read_control(
        &mut self,
        batches: &Bytes,
        start: usize,
        header: BatchHeader,
    ) -> Result<(), Corrupt> {
        if self.aborted.is_empty() {
            return match self.limits.check_crcs {
                true => header.check(&batches[start..start + header.length]),
                false => Ok(()),
            };
        }
        let batch = Batch::open(batches, start, header, &self.limits)?;
        if EndOfTransaction::of(&batch)? == Some(EndOfTransaction::Abort) {
            self.aborted.end(batch.header());
        }
        Ok(())
    }

    fn read_records(
        &mut self,
        batches: &Bytes,
        start: usize,
        header: BatchHeader,
    ) -> Result<(), Corrupt> {
        let batch = Batch::open(batches, start, header, &self.limits)?;
        let before = self.len();
        if let Err(corrupt) = self.append(&batch) {
            self.truncate(before);
            return Err(corrupt);
        }
        self.run_bytes += batch.record_bytes();
        Ok(())
    }

    fn append(&mut self, batch: &Batch) -> Result<(), Corrupt> {
        let count = batch.header().count as usize;
        self.offsets.reserve(count);
        self.timestamps.reserve(count);
        self.keys.begin(count);
        self.values.begin(count);
        let mut rows = batch.rows();
        loop {
            if let Some(row) = rows.next_common() {
                self.push(batch, &row);
            } else {
                match rows.next_uncommon() {
                    Some(row) => self.push_uncommon(batch, &row?)?,
                    None => return Ok(()),
                }
            }
        }
    }

    #[inline(always)]
    fn push(&mut self, batch: &Batch, row: &Row) {
        if row.offset < self.from_offset {
            return;
        }
        self.offsets.push(row.offset);
        self.timestamps.push(row.timestamp);
        self.keys.push(batch.buffer(), row.key);
        self.values.push(batch.buffer(), row.value);
        if !self.headers.is_empty() {
            self.headers.push(RawHeaders::new());
        }
    }

    fn push_uncommon(&mut self, batch: &Batch, row: &Row) -> Result<(), Corrupt> {
        let before = self.len();
        self.push(batch, row);
        if row.header_count > 0 && self.len() > before {
            self.set_headers(batch.buffer(), row)?;
        }
        Ok(())
    }

    /// Gives the last record its headers.
    fn set_headers(&mut self, buffer: &Bytes, row: &Row) -> Result<(), Corrupt> {
        let malformed =
            || Corrupt::new(format!("the headers of offset {} are malformed", row.offset));
        let record = &buffer[..row.headers.start + row.headers.length];
        let mut position = row.headers.start;
        let mut headers = RawHeaders::new();
        for _ in 0..row.header_count {
            let name = nullable(record, &mut position).flatten().ok_or_else(malformed)?;
            let name = self.name(name.of(record));
            let value = nullable(record, &mut position).ok_or_else(malformed)?;
            headers.push((name, value.map(|span| buffer.slice(span.range()))));
        }
        if position != record.len() {
            return Err(malformed());
        }
        // Records before the first with headers have none.
        self.headers.resize_with(self.len() - 1, RawHeaders::new);
        self.headers.push(headers);
        Ok(())
    }

    /// The header name with these bytes, shared with the records before. As in Java, what is not
    /// UTF-8 becomes U+FFFD.
    fn name(&mut self, bytes: &[u8]) -> Arc<str> {
        if let Some(name) = self.names.iter().find(|name| name.as_bytes() == bytes) {
            return name.clone();
        }
        let name: Arc<str> = String::from_utf8_lossy(bytes).into();
        if self.names.len() < NAMES {
            self.names.push(name.clone());
        }
        name
    }

    /// Forgets every record from the one with this index on.
    fn truncate(&mut self, length: usize) {
        self.offsets.truncate(length);
        self.timestamps.truncate(length);
        self.keys.truncate(length);
        self.values.truncate(length);
        self.headers.truncate(length);
        if self.headers.iter().all(Vec::is_empty) {
            self.headers.clear();
        }
    }
}

/// A `BinaryViewArray` in the making.
#[derive(Debug, Default)]
struct Views {
    /// How many nulls came before the first value. `views` and `valid` are empty until then: a
    /// column of nulls, as keys often are, costs nothing.
    leading_nulls: usize,
    views: Vec<u128>,
    valid: Vec<bool>,
    /// Stays false while nothing is null; `valid` is empty as long.
    has_nulls: bool,
    /// How many rows the batch has that is being read.
    expected: usize,
    buffers: Vec<Buffer>,
    /// The last of `buffers`, as the batch has it, so that batches in one buffer share it.
    last: Option<Bytes>,
}

impl Views {
    fn begin(&mut self, count: usize) {
        self.expected = count;
        if !self.views.is_empty() {
            self.reserve();
        }
    }

    fn reserve(&mut self) {
        self.views.reserve(self.expected);
        if self.has_nulls {
            self.valid.reserve(self.expected);
        }
    }

    #[inline(always)]
    fn push(&mut self, buffer: &Bytes, span: Option<Span>) {
        let Some(span) = span else {
            self.push_null();
            return;
        };
        if self.views.is_empty() {
            self.begin_values();
        }
        let view = if span.length <= INLINE {
            make_view(span.of(buffer), 0, 0)
        } else {
            self.long_view(buffer, span)
        };
        self.views.push(view);
        if self.has_nulls {
            self.valid.push(true);
        }
    }

    /// The view of more than [`INLINE`] bytes.
    #[inline(always)]
    fn long_view(&mut self, buffer: &Bytes, span: Span) -> u128 {
        let bytes = span.of(buffer);
        let prefix = bytes.first_chunk().expect("it is longer than a view's prefix");
        let view = ByteView {
            length: span.length as u32,
            prefix: u32::from_le_bytes(*prefix),
            buffer_index: self.buffer_index(buffer),
            offset: span.start as u32,
        };
        view.as_u128()
    }

    #[inline(always)]
    fn push_null(&mut self) {
        if self.views.is_empty() {
            self.leading_nulls += 1;
            return;
        }
        if !self.has_nulls {
            self.has_nulls = true;
            self.valid.resize(self.views.len(), true);
        }
        self.views.push(0);
        self.valid.push(false);
    }

    /// The first value comes: the nulls before it need their places.
    #[cold]
    fn begin_values(&mut self) {
        self.has_nulls = self.leading_nulls > 0;
        self.views.resize(self.leading_nulls, 0);
        self.valid.resize(self.leading_nulls, false);
        self.leading_nulls = 0;
        self.reserve();
    }

    #[inline(always)]
    fn buffer_index(&mut self, buffer: &Bytes) -> u32 {
        let same = |last: &Bytes| last.as_ptr() == buffer.as_ptr() && last.len() == buffer.len();
        if !self.last.as_ref().is_some_and(same) {
            self.share(buffer);
        }
        (self.buffers.len() - 1) as u32
    }

    #[cold]
    fn share(&mut self, buffer: &Bytes) {
        self.buffers.push(Buffer::from(buffer.clone()));
        self.last = Some(buffer.clone());
    }

    fn truncate(&mut self, length: usize) {
        self.leading_nulls = self.leading_nulls.min(length);
        self.views.truncate(length);
        self.valid.truncate(length);
    }

    fn finish(self) -> BinaryViewArray {
        if self.views.is_empty() {
            return BinaryViewArray::new_null(self.leading_nulls);
        }
        let nulls = self.has_nulls.then(|| NullBuffer::from(self.valid));
        // Checks every view again, for about a nanosecond each; the way round it is `unsafe`.
        BinaryViewArray::try_new(self.views.into(), self.buffers, nulls)
            .expect("every view was made from a span inside its buffer")
    }
}
