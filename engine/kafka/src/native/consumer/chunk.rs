//! Decides how fetched bytes become runs of records: batch by batch, no more than the caller asks
//! for, and in the caller's time.

use std::sync::Arc;

use bytes::Bytes;
use millrace_api::Result;

use super::budget::Held;
use super::partitions::Position;
use crate::record_batch::{BatchHeader, Columns, Corrupt, Limits, Reader};

/// Consecutive batches of one partition, written under one leader, out of one response.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Whole batches.
    bytes: Bytes,
    /// How many of them are read.
    read: usize,
    /// Up to where records were handed out.
    position: Position,
    epoch: i32,
    /// What the last batches had beyond what was asked for, and where it ends.
    rest: Option<(Columns, i64)>,
    /// How many bytes the batches had that the last call has read.
    decoded_bytes: usize,
    /// The response stays in memory as long as one of its chunks.
    _held: Arc<Held>,
}

/// What a broker sent of a partition.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) parts: Vec<Part>,
    /// The offset after the last.
    pub(super) next_offset: i64,
    /// Why the batch after the last cannot be read.
    pub(super) corrupt: Option<Corrupt>,
}

/// Batches that follow each other and were written under one leader.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) epoch: i32,
    /// The offset after the last of them.
    pub(super) next_offset: i64,
}

impl Batches {
    /// Finds the whole batches at the beginning of `records` by their headers: the broker cuts the
    /// last one off where its limit is.
    pub(super) fn new(records: &Bytes, from: i64) -> Self {
        let mut found = Self { parts: Vec::new(), next_offset: from, corrupt: None };
        let mut epoch = None;
        let (mut start, mut end) = (0, 0);
        loop {
            let header = match BatchHeader::parse(&records[end..]) {
                Ok(Some(header)) if header.length <= records.len() - end => header,
                Ok(_) => break,
                Err(corrupt) => {
                    found.corrupt = Some(corrupt);
                    break;
                }
            };
            if let Some(before) = epoch.filter(|before| *before != header.leader_epoch) {
                found.push(records.slice(start..end), before);
                start = end;
            }
            epoch = Some(header.leader_epoch);
            end += header.length;
            found.next_offset = found.next_offset.max(header.last_offset() + 1);
        }
        match epoch {
            Some(epoch) => found.push(records.slice(start..end), epoch),
            None if found.corrupt.is_none() && !records.is_empty() => {
                found.corrupt = Some(Corrupt::new(format!(
                    "its {} bytes are no whole batch, although a broker sends the first one whole",
                    records.len()
                )));
            }
            None => {}
        }
        found
    }

    fn push(&mut self, bytes: Bytes, epoch: i32) {
        self.parts.push(Part { bytes, epoch, next_offset: self.next_offset });
    }
}

impl Chunk {
    /// Batches that are read from an offset on.
    pub(super) fn new(bytes: Bytes, epoch: i32, from: i64, held: Arc<Held>) -> Self {
        Self {
            bytes,
            read: 0,
            position: Position::at(from),
            epoch,
            rest: None,
            decoded_bytes: 0,
            _held: held,
        }
    }

    /// Up to where records were handed out: over what nobody sees as well.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Whether there is nothing more in it.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.read == self.bytes.len()
    }

    /// How many bytes of records had to be read, and perhaps decompressed, for the last call.
    pub(super) fn decoded_bytes(&self) -> usize {
        self.decoded_bytes
    }

    /// The next records, at most so many; none when nobody may see what is left.
    ///
    /// # Errors
    ///
    /// When a batch cannot be read. What was before it came with the calls before.
    pub(super) fn take(&mut self, most: usize, limits: &Limits) -> Result<Option<Columns>> {
        self.decoded_bytes = 0;
        if self.rest.is_none() {
            self.decode(most, limits)?;
        }
        let Some((mut columns, next_offset)) = self.rest.take() else {
            return Ok(None);
        };
        if columns.len() <= most {
            self.position = Position { offset: next_offset, epoch: self.epoch };
            return Ok(Some(columns));
        }
        let taken = columns.split_to(most);
        let last = taken.offsets.last().map_or(self.position.offset, |last| last + 1);
        self.position = Position { offset: last, epoch: self.epoch };
        self.rest = Some((columns, next_offset));
        Ok(Some(taken))
    }

    /// Reads batches until there are so many records, or no more batches.
    fn decode(&mut self, most: usize, limits: &Limits) -> Result<()> {
        let limits = Limits { max_run_records: most, ..*limits };
        let mut reader = Reader::new(limits).from_offset(self.position.offset);
        let from = self.read;
        match reader.read(&self.bytes.slice(from..), from as u64) {
            Ok(length) => self.read += length,
            // First what is before it. The next call passes over that.
            Err(_) if !reader.is_empty() => {}
            Err(error) => return Err(error),
        }
        self.decoded_bytes = reader.run_bytes();
        let next_offset = reader.next_offset().unwrap_or(self.position.offset);
        if reader.is_empty() {
            self.position =
                Position { offset: next_offset.max(self.position.offset), epoch: self.epoch };
        } else {
            self.rest = Some((reader.finish(), next_offset));
        }
        Ok(())
    }
}
