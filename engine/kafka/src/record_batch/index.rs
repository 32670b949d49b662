//! Decides where each record of a batch begins and ends: an index over its bytes.

use std::ops::Range;

use bytes::Bytes;

use super::header::{BatchHeader, HEADER_LENGTH};
use super::{Compression, Corrupt, Limits, varint};

/// A record cannot be shorter: a byte each for its length, attributes, both deltas, the lengths of
/// key and value, and the count of headers.
const SHORTEST_RECORD: usize = 7;

/// A part of a batch's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// How many bytes it has.
    pub length: usize,
}

impl Span {
    /// The bytes it covers.
    #[inline]
    pub fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.start..self.start + self.length]
    }

    /// The range it covers.
    #[inline]
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.length
    }
}

/// One record: its numbers, and where its bytes lie in [`Batch::buffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its offset in the log.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// None: no key.
    pub key: Option<Span>,
    /// None: a tombstone.
    pub value: Option<Span>,
    /// The headers as they lie in the record, without their count.
    pub headers: Span,
    /// How many headers there are.
    pub header_count: i32,
}

/// A batch that is checked and decompressed.
#[derive(Clone, Debug)]
pub struct Batch {
    header: BatchHeader,
    buffer: Bytes,
    records: Span,
}

impl Batch {
    /// Opens the batch at `start`, whose header was parsed from there. Uncompressed records are
    /// left in `bytes`, so that consecutive batches share their buffer.
    pub fn open(
        bytes: &Bytes,
        start: usize,
        header: BatchHeader,
        limits: &Limits,
    ) -> Result<Self, Corrupt> {
        let whole = start
            .checked_add(header.length)
            .and_then(|end| bytes.get(start..end))
            .ok_or_else(|| Corrupt::new(format!("its {} bytes are cut off", header.length)))?;
        if limits.check_crcs {
            header.check(whole)?;
        }
        let (buffer, records) = match header.compression()? {
            Compression::None => (
                bytes.clone(),
                Span { start: start + HEADER_LENGTH, length: whole.len() - HEADER_LENGTH },
            ),
            compression => {
                let buffer = compression.decompress(&whole[HEADER_LENGTH..], limits)?;
                let length = buffer.len();
                (buffer, Span { start: 0, length })
            }
        };
        let count = header.count as usize;
        if count > records.length / SHORTEST_RECORD {
            return Err(Corrupt::new(format!(
                "it claims {count} records, but has only {} bytes of them",
                records.length
            )));
        }
        if u32::try_from(buffer.len()).is_err() {
            return Err(Corrupt::new("its buffer has more than 4 GiB"));
        }
        Ok(Self { header, buffer, records })
    }

    /// Its header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// What the spans of its rows point into.
    pub fn buffer(&self) -> &Bytes {
        &self.buffer
    }

    /// How many bytes its records have once decompressed.
    pub fn record_bytes(&self) -> usize {
        self.records.length
    }

    /// Its records, first to last.
    pub fn rows(&self) -> Rows<'_> {
        Rows {
            buffer: &self.buffer[..self.records.start + self.records.length],
            position: self.records.start,
            left: self.header.count,
            last_delta: -1,
            header: &self.header,
        }
    }
}

/// Goes through the records of a batch. Stops after the first error.
#[derive(Debug)]
pub struct Rows<'a> {
    buffer: &'a [u8],
    position: usize,
    left: i32,
    last_delta: i32,
    header: &'a BatchHeader,
}

impl Rows<'_> {
    /// The next record, if it is as almost all are: of short integers, without headers, and not
    /// the last one of the buffer. None: [`next_uncommon`](Self::next_uncommon) has to look.
    ///
    /// A loop over many records calls both, so that common rows stay in registers: one that goes
    /// through memory costs as much as parsing it.
    #[inline(always)]
    pub(super) fn next_common(&mut self) -> Option<Row> {
        if self.left == 0 {
            return None;
        }
        let row = self.parse_common()?;
        self.left -= 1;
        Some(row)
    }

    /// The next record, however it is.
    #[inline(never)]
    pub(super) fn next_uncommon(&mut self) -> Option<Result<Row, Corrupt>> {
        if self.left == 0 {
            return self.end();
        }
        self.left -= 1;
        match self.parse() {
            Some(row) => Some(Ok(row)),
            None => Some(Err(self.malformed())),
        }
    }

    #[inline(always)]
    fn parse_common(&mut self) -> Option<Row> {
        let window = self.buffer.get(self.position..)?.first_chunk()?;
        let mut at = 0;
        let length = varint::read_short(window, &mut at)?;
        let end = self.position + at + usize::try_from(length).ok()?;
        at += 1; // The attributes: none are defined.
        let timestamp_delta = varint::read_short(window, &mut at)?;
        let offset_delta = varint::read_short(window, &mut at)?;
        let key_length = varint::read_short(window, &mut at)?;
        let (key, value_length, start) = match usize::try_from(key_length) {
            Err(_) => {
                let value_length = varint::read_short(window, &mut at)?;
                (None, value_length, self.position + at)
            }
            Ok(length) => {
                let key = Span { start: self.position + at, length };
                let mut position = key.start + length;
                let value_length = varint::read_i32(self.buffer, &mut position)?;
                (Some(key), value_length, position)
            }
        };
        let value = Span { start, length: usize::try_from(value_length).ok()? };
        let headers_at = start + value.length;
        let is_whole = key_length >= -1
            && headers_at + 1 == end
            && self.buffer.get(headers_at) == Some(&0)
            && offset_delta > self.last_delta
            && offset_delta <= self.header.last_offset_delta;
        if !is_whole {
            return None;
        }
        self.position = end;
        self.last_delta = offset_delta;
        Some(Row {
            offset: self.header.base_offset + i64::from(offset_delta),
            timestamp: self.timestamp(i64::from(timestamp_delta)),
            key,
            value: Some(value),
            headers: Span { start: end, length: 0 },
            header_count: 0,
        })
    }

    #[inline(always)]
    fn timestamp(&self, delta: i64) -> i64 {
        match self.header.is_log_append_time() {
            true => self.header.max_timestamp,
            false => self.header.base_timestamp.wrapping_add(delta),
        }
    }

    fn parse(&mut self) -> Option<Row> {
        let mut position = self.position;
        let length = varint::read_i32(self.buffer, &mut position)?;
        let end = position.checked_add(usize::try_from(length).ok()?)?;
        let record = self.buffer.get(..end)?;
        position += 1; // The attributes: none are defined.
        let timestamp_delta = varint::read(record, &mut position)?;
        let offset_delta = varint::read_i32(record, &mut position)?;
        let key = nullable(record, &mut position)?;
        let value = nullable(record, &mut position)?;
        let header_count = varint::read_i32(record, &mut position)?;
        let headers = Span { start: position, length: end.checked_sub(position)? };
        let in_order = offset_delta > self.last_delta
            && offset_delta <= self.header.last_offset_delta
            && header_count >= 0
            && (header_count > 0 || headers.length == 0);
        if !in_order {
            return None;
        }
        self.position = end;
        self.last_delta = offset_delta;
        Some(Row {
            offset: self.header.base_offset + i64::from(offset_delta),
            timestamp: self.timestamp(timestamp_delta),
            key,
            value,
            headers,
            header_count,
        })
    }

    /// After the last record there is nothing more: bytes of an unread rest would be records that
    /// nobody sees.
    #[cold]
    fn end(&mut self) -> Option<Result<Row, Corrupt>> {
        if self.position == self.buffer.len() {
            return None;
        }
        self.position = self.buffer.len();
        Some(Err(Corrupt::new("bytes are left over after its last record")))
    }

    /// The record before the last `left` cannot be read; none after it is.
    #[cold]
    fn malformed(&mut self) -> Corrupt {
        let number = self.header.count - self.left;
        self.left = 0;
        self.position = self.buffer.len();
        Corrupt::new(format!("record {number} of {} is malformed", self.header.count))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_common() {
            Some(row) => Some(Ok(row)),
            None => self.next_uncommon(),
        }
    }
}

/// A length and so many bytes at `position`, -1 for null; outer none: malformed.
#[inline(always)]
pub(super) fn nullable(record: &[u8], position: &mut usize) -> Option<Option<Span>> {
    let length = varint::read_i32(record, position)?;
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let span = Span { start: *position, length: length as usize };
    *position = position.checked_add(span.length)?;
    (*position <= record.len()).then_some(Some(span))
}
