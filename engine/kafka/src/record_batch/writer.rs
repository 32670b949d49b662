//! Decides how rows are put into an open batch.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use millrace_api::{Error, ErrorKind, Result};

use super::header::{self, BatchHeader, HEADER_LENGTH};
use super::{Compression, varint};

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
    fn length(&self) -> usize {
        match self {
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

    fn count(&self) -> i64 {
        match self {
            Self::Raw { count, .. } => i64::from(*count),
            Self::List(list) => list.len() as i64,
        }
    }
}

/// The most bytes before a record's key: its length, attributes, timestamp delta, offset delta.
const PREFIX: usize = 5 + 1 + 10 + 5;
/// Room for it and two lengths, each of which [`varint::write`] wants ten bytes for.
const PREFIX_BUFFER: usize = PREFIX + 20;
/// The most bytes of a length.
const LONGEST_LENGTH: usize = 5;

/// Writes records into one batch after the other.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    compression: Compression,
    append_time: Option<i64>,
    count: i32,
    next_delta: i32,
    base_timestamp: Option<i64>,
    has_horizon: bool,
    max_timestamp: i64,
}

impl Writer {
    /// A writer with an empty batch open.
    pub fn new(compression: Compression) -> Self {
        let mut writer = Self {
            buffer: BytesMut::new(),
            compression,
            append_time: None,
            count: 0,
            next_delta: 0,
            base_timestamp: None,
            has_horizon: false,
            max_timestamp: -1,
        };
        writer.begin();
        writer
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
        let base = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.wrapping_sub(base);
        let header_count = record.headers.count();
        let body = 1
            + varint::length(timestamp_delta)
            + varint::length(i64::from(delta))
            + length_of(record.key)
            + length_of(record.value)
            + varint::length(header_count)
            + record.headers.length();
        self.buffer.reserve(max_length);
        let mut prefix = [0; PREFIX_BUFFER];
        let mut at = varint::write(&mut prefix, 0, body as i64) + 1;
        at = varint::write(&mut prefix, at, timestamp_delta);
        at = varint::write(&mut prefix, at, i64::from(delta));
        // What is between keys and values goes in one piece: most records have no key.
        at = varint::write(&mut prefix, at, signed_length(record.key));
        if let Some(key) = record.key.filter(|key| !key.is_empty()) {
            self.buffer.extend_from_slice(&prefix[..at]);
            self.buffer.extend_from_slice(key);
            at = 0;
        }
        at = varint::write(&mut prefix, at, signed_length(record.value));
        self.buffer.extend_from_slice(&prefix[..at]);
        self.buffer.extend_from_slice(record.value.unwrap_or_default());
        put_length(&mut self.buffer, header_count);
        match record.headers {
            Headers::Raw { bytes, .. } => self.buffer.extend_from_slice(bytes),
            Headers::List(list) => {
                for (name, value) in list {
                    put(&mut self.buffer, Some(name.as_bytes()));
                    put(&mut self.buffer, value.as_deref());
                }
            }
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.count += 1;
        self.next_delta = delta + 1;
        Ok(())
    }

    /// The bytes of the open batch, before compression.
    pub fn len(&self) -> usize {
        self.buffer.len()
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
        let header = BatchHeader {
            base_offset: 0,
            length: 0,
            leader_epoch: 0,
            crc: 0,
            attributes: header::attributes(
                self.compression,
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
        };
        let length = self.buffer.len();
        let mut batch = if self.compression == Compression::None {
            self.buffer.split()
        } else {
            let mut batch = BytesMut::with_capacity(HEADER_LENGTH + self.buffer.len() / 2);
            batch.resize(HEADER_LENGTH, 0);
            let compressed = self.compression.compress(&self.buffer[HEADER_LENGTH..], &mut batch);
            self.buffer.clear();
            if let Err(e) = compressed {
                self.begin();
                return Err(e);
            }
            batch
        };
        header.seal(&mut batch);
        // The next batch will need about as much: growing to it step by step copies it twice.
        self.buffer.reserve(length);
        self.begin();
        Ok(batch)
    }

    fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.resize(HEADER_LENGTH, 0);
        self.count = 0;
        self.next_delta = 0;
        self.base_timestamp = None;
        self.has_horizon = false;
        self.max_timestamp = -1;
    }
}

#[inline(always)]
fn length_of(part: Option<&[u8]>) -> usize {
    part.map_or(1, |bytes| varint::length(bytes.len() as i64) + bytes.len())
}

/// -1 for null.
#[inline(always)]
fn signed_length(part: Option<&[u8]>) -> i64 {
    part.map_or(-1, |bytes| bytes.len() as i64)
}

fn put(buffer: &mut BytesMut, part: Option<&[u8]>) {
    put_length(buffer, signed_length(part));
    buffer.extend_from_slice(part.unwrap_or_default());
}

#[inline(always)]
fn put_length(buffer: &mut BytesMut, length: i64) {
    let mut bytes = [0; 10];
    let end = varint::write(&mut bytes, 0, length);
    buffer.extend_from_slice(&bytes[..end]);
}
