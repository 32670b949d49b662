//! Decides how rows are put into an open batch.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use millrace_api::{Error, ErrorKind, Result};

use super::header::{self, BatchHeader, HEADER_LENGTH, Stamp, seal};
use super::{Compression, Compressor, varint};

/// A record to write. Everything is borrowed: the batch is where it is copied to.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// None: no key.
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// A record without headers.
    pub fn new(timestamp: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { timestamp, key, value, headers: Headers::List(&[]) }
    }

    /// The most bytes it takes in a batch.
    pub fn max_length(&self) -> usize {
        let parts = self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len);
        PREFIX + 3 * LONGEST_LENGTH + parts + self.headers.length()
    }
}

/// Headers to write.
#[derive(Clone, Copy, Debug)]
pub enum Headers<'a> {
    /// In order; names may repeat, values may be null.
    List(&'a [(Arc<str>, Option<Bytes>)]),
    /// As they lie in another record of this format; see [`Row`](super::Row).
    Raw {
        /// How many there are.
        count: i32,
        /// Their bytes.
        bytes: &'a [u8],
    },
}

impl Headers<'_> {
    #[inline]
    fn length(&self) -> usize {
        match self {
            Self::List([]) => 0,
            Self::Raw { bytes, .. } => bytes.len(),
            Self::List(list) => list
                .iter()
                .map(|(name, value)| {
                    let value = value.as_deref();
                    length_of(Some(name.as_bytes())) + length_of(value)
                })
                .sum(),
        }
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// With their count.
    #[inline]
    pub(super) fn total_length(&self) -> usize {
        varint::length(self.count()) + self.length()
    }

    #[inline(always)]
    fn count(&self) -> i64 {
        match self {
            Self::Raw { count, .. } => i64::from(*count),
            Self::List(list) => list.len() as i64,
        }
    }
}

/// The most bytes before a record's key: its length, attributes, timestamp delta, offset delta.
pub(super) const PREFIX: usize = 5 + 1 + 10 + 5;
/// The most bytes of a length.
const LONGEST_LENGTH: usize = 5;
/// The most bytes by which [`Record::max_length`] is more than what a record takes, or a bit more.
const SLACK: usize = 64;

/// Writes records into one batch after the other.
#[derive(Debug)]
pub struct Writer {
    /// The open batch, a header of zeros first; empty until the first record comes.
    buffer: BytesMut,
    /// How many bytes the last batch had: growing to as much step by step would copy it twice.
    expected: usize,
    compressor: Compressor,
    append_time: Option<i64>,
    count: i32,
    next_delta: i32,
    base_timestamp: Option<i64>,
    has_horizon: bool,
    max_timestamp: i64,
}

impl Writer {
    /// A writer with an empty batch open, that compresses at the codec's default level.
    pub fn new(compression: Compression) -> Self {
        Self {
            buffer: BytesMut::new(),
            expected: 0,
            compressor: Compressor::new(compression, None),
            append_time: None,
            count: 0,
            next_delta: 0,
            base_timestamp: None,
            has_horizon: false,
            max_timestamp: -1,
        }
    }

    /// Writes the open, empty batch and the next ones into this memory, say that of a batch whose
    /// records have arrived.
    ///
    /// # Panics
    ///
    /// When the open batch has records.
    pub fn reuse(&mut self, buffer: BytesMut) {
        assert!(self.is_empty(), "the open batch has its memory already");
        self.buffer = buffer;
        self.buffer.clear();
    }

    /// The memory of the open, empty batch, for another writer. The next record gets new memory.
    ///
    /// # Panics
    ///
    /// When the open batch has records.
    pub fn take_buffer(&mut self) -> BytesMut {
        assert!(self.is_empty(), "the open batch has records");
        std::mem::take(&mut self.buffer)
    }

    /// Appends a record at the next offset.
    pub fn push(&mut self, record: &Record<'_>) -> Result<()> {
        self.push_at(self.next_delta, record)
    }

    /// Appends a record so many offsets after the batch's first: compaction leaves gaps.
    ///
    /// # Panics
    ///
    /// When a record at this offset or a later one was pushed already.
    pub fn push_at(&mut self, delta: i32, record: &Record<'_>) -> Result<()> {
        assert!(delta >= self.next_delta, "offsets move forward");
        let max_length = record.max_length();
        if self.buffer.len().saturating_add(max_length) > i32::MAX as usize || delta == i32::MAX {
            return Err(Error::new(ErrorKind::Data, "the record does not fit a record batch")
                .context("bytes", max_length)
                .context("open batch", self.len()));
        }
        self.make_room(max_length);
        self.put(delta, record);
        Ok(())
    }

    /// Appends a record that is known to fit at the next offset.
    #[inline(always)]
    pub(super) fn put_next(&mut self, record: &Record<'_>) {
        self.put(self.next_delta, record);
    }

    /// How many bytes the record takes at the next offset.
    pub(super) fn length_of_next(&self, record: &Record<'_>) -> usize {
        let base = self.base_timestamp.unwrap_or(record.timestamp);
        let body = 1
            + varint::length(record.timestamp.wrapping_sub(base))
            + varint::length(i64::from(self.next_delta))
            + length_of(record.key)
            + length_of(record.value)
            + record.headers.total_length();
        varint::length(body as i64) + body
    }

    /// Reserves memory for so many bytes more.
    #[inline(always)]
    fn make_room(&mut self, bytes: usize) {
        self.make_room_within(bytes, usize::MAX);
    }

    /// The same in a batch that ends at `batch_bytes`: it does not double what it has for its last
    /// record.
    #[inline(always)]
    pub(super) fn make_room_within(&mut self, bytes: usize, batch_bytes: usize) {
        if self.buffer.is_empty() {
            self.open();
        }
        if self.buffer.capacity() - self.buffer.len() < bytes {
            self.grow(bytes, batch_bytes);
        }
    }

    #[cold]
    fn open(&mut self) {
        if self.buffer.capacity() < HEADER_LENGTH {
            self.buffer.reserve(self.expected.max(HEADER_LENGTH));
        }
        self.buffer.extend_from_slice(&[0; HEADER_LENGTH]);
    }

    #[cold]
    fn grow(&mut self, bytes: usize, batch_bytes: usize) {
        let doubled = (2 * self.buffer.capacity()).min(batch_bytes.saturating_add(SLACK));
        let mut grown = BytesMut::with_capacity(doubled.max(self.buffer.len() + bytes));
        grown.extend_from_slice(&self.buffer);
        self.buffer = grown;
    }

    /// Appends a record that is known to fit.
    #[inline(always)]
    fn put(&mut self, delta: i32, record: &Record<'_>) {
        let base = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.wrapping_sub(base);
        if self.put_common(timestamp_delta, delta, record).is_none() {
            self.put_uncommon(timestamp_delta, delta, record);
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.count += 1;
        self.next_delta = delta + 1;
    }

    /// Puts a record as almost all are: of short integers, and without headers. None: it is not,
    /// and nothing was put. What comes before its bytes is put together in registers; through an
    /// array it takes twice as long.
    #[inline(always)]
    fn put_common(&mut self, timestamp_delta: i64, delta: i32, record: &Record<'_>) -> Option<()> {
        if !record.headers.is_empty() {
            return None;
        }
        let (timestamp, timestamp_bytes) = varint::short(timestamp_delta)?;
        let (offset, offset_bytes) = varint::short(i64::from(delta))?;
        let (key_length, key_bytes) = varint::short(signed_length(record.key))?;
        let (value_length, value_bytes) = varint::short(signed_length(record.value))?;
        let key = record.key.unwrap_or_default();
        let value = record.value.unwrap_or_default();
        let integers = 1 + timestamp_bytes + offset_bytes + key_bytes + value_bytes + 1;
        let body = integers as usize + key.len() + value.len();
        let (length, length_bytes) = varint::short(body as i64)?;
        let offset = Prefix { bytes: offset.into(), length: offset_bytes };
        let lengths = offset.then(key_length, key_bytes);
        if length_bytes + 1 + timestamp_bytes > 8 || lengths.length + value_bytes > 8 {
            return None;
        }
        let buffer = &mut self.buffer;
        // A zero between them: the attributes, of which none are defined.
        let length = Prefix { bytes: length.into(), length: length_bytes + 1 };
        length.then(timestamp, timestamp_bytes).put(buffer);
        if key.is_empty() {
            lengths.then(value_length, value_bytes).put(buffer);
        } else {
            lengths.put(buffer);
            buffer.extend_from_slice(key);
            Prefix { bytes: value_length.into(), length: value_bytes }.put(buffer);
        }
        buffer.extend_from_slice(value);
        buffer.extend_from_slice(&[0]);
        Some(())
    }

    #[inline(never)]
    fn put_uncommon(&mut self, timestamp_delta: i64, delta: i32, record: &Record<'_>) {
        let body = 1
            + varint::length(timestamp_delta)
            + varint::length(i64::from(delta))
            + length_of(record.key)
            + length_of(record.value)
            + record.headers.total_length();
        put_integer(&mut self.buffer, body as i64);
        self.buffer.extend_from_slice(&[0]); // Attributes: none are defined.
        put_integer(&mut self.buffer, timestamp_delta);
        put_integer(&mut self.buffer, i64::from(delta));
        put_part(&mut self.buffer, record.key);
        put_part(&mut self.buffer, record.value);
        put_integer(&mut self.buffer, record.headers.count());
        match record.headers {
            Headers::Raw { bytes, .. } => self.buffer.extend_from_slice(bytes),
            Headers::List(list) => {
                for (name, value) in list {
                    put_part(&mut self.buffer, Some(name.as_bytes()));
                    put_part(&mut self.buffer, value.as_deref());
                }
            }
        }
    }

    /// The bytes of the open batch, before compression.
    pub fn len(&self) -> usize {
        self.buffer.len().max(HEADER_LENGTH)
    }

    /// The bytes of memory that the open batch has.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Whether the open batch has no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many records the open batch has.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Gives all records of this and later batches this time (`LogAppendTime`); none: their own.
    pub fn set_append_time(&mut self, timestamp: Option<i64>) {
        self.append_time = timestamp;
    }

    /// From this time on compaction may drop the tombstones of the open batch. Comes before the
    /// first record.
    ///
    /// # Panics
    ///
    /// When the open batch has records.
    pub fn set_delete_horizon(&mut self, timestamp: i64) {
        assert!(self.is_empty(), "the horizon is what timestamps are counted from");
        self.base_timestamp = Some(timestamp);
        self.has_horizon = true;
    }

    /// Lets the open batch end with this offset, counted from its first, though the records up to
    /// there are gone.
    pub fn extend_to(&mut self, delta: i32) {
        self.next_delta = self.next_delta.max(delta.saturating_add(1));
    }

    /// Closes the batch and opens the next. Its first offset is 0:
    /// [`set_base_offset`](super::set_base_offset) gives it its place.
    pub fn finish(&mut self) -> Result<BytesMut> {
        let mut batch = self.close()?;
        seal(&mut batch, &Stamp::NONE);
        Ok(batch)
    }

    /// Closes the batch and opens the next. Before it is sent, [`seal`] has to give it its
    /// producer and its checksum.
    pub fn close(&mut self) -> Result<BytesMut> {
        let none = Compressor::new(Compression::None, None);
        let mut compressor = std::mem::replace(&mut self.compressor, none);
        let batch = self.close_with(&mut compressor);
        self.compressor = compressor;
        batch
    }

    /// Like [`close`](Self::close), but compresses as `compressor` does, which many writers may
    /// share.
    pub fn close_with(&mut self, compressor: &mut Compressor) -> Result<BytesMut> {
        self.make_room(0);
        let header = self.header(compressor.compression());
        self.expected = self.buffer.len();
        let batch = match compressor.compression() {
            Compression::None => Ok(std::mem::take(&mut self.buffer)),
            _ => compressor.compress(&self.buffer[HEADER_LENGTH..]).map(|compressed| {
                let mut batch = BytesMut::with_capacity(HEADER_LENGTH + compressed.len());
                batch.extend_from_slice(&[0; HEADER_LENGTH]);
                batch.extend_from_slice(compressed);
                batch
            }),
        };
        self.begin();
        let mut batch = batch?;
        header.write(&mut batch);
        Ok(batch)
    }

    fn header(&self, compression: Compression) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: 0,
            crc: 0,
            attributes: header::attributes(
                compression,
                self.append_time.is_some(),
                self.has_horizon,
            ),
            last_offset_delta: (self.next_delta - 1).max(0),
            base_timestamp: self.base_timestamp.unwrap_or(-1),
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: self.count,
        }
    }

    fn begin(&mut self) {
        self.buffer.clear();
        self.count = 0;
        self.next_delta = 0;
        self.base_timestamp = None;
        self.has_horizon = false;
        self.max_timestamp = -1;
    }
}

/// Bytes to come before a key or a value, the first one lowest.
#[derive(Clone, Copy)]
struct Prefix {
    bytes: u64,
    length: u32,
}

impl Prefix {
    #[inline(always)]
    fn then(self, bytes: u32, length: u32) -> Self {
        let bytes = self.bytes | u64::from(bytes) << (8 * self.length);
        Self { bytes, length: self.length + length }
    }

    /// Appends all eight bytes, which is one move, and cuts off those that are too many.
    #[inline(always)]
    fn put(self, buffer: &mut BytesMut) {
        let length = buffer.len() + self.length as usize;
        buffer.extend_from_slice(&self.bytes.to_le_bytes());
        buffer.truncate(length);
    }
}

#[inline(always)]
pub(super) fn length_of(part: Option<&[u8]>) -> usize {
    part.map_or(1, |bytes| varint::length(bytes.len() as i64) + bytes.len())
}

/// -1 for null.
#[inline(always)]
fn signed_length(part: Option<&[u8]>) -> i64 {
    part.map_or(-1, |bytes| bytes.len() as i64)
}

fn put_part(buffer: &mut BytesMut, part: Option<&[u8]>) {
    put_integer(buffer, signed_length(part));
    buffer.extend_from_slice(part.unwrap_or_default());
}

fn put_integer(buffer: &mut BytesMut, value: i64) {
    let mut bytes = [0; 10];
    let end = varint::write(&mut bytes, 0, value);
    buffer.extend_from_slice(&bytes[..end]);
}
