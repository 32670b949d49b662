//! Decides how fetched bytes become runs of records: batch by batch, no more than the caller asks
//! for, and in the caller's time.

use std::sync::Arc;

use bytes::Bytes;
use millrace_api::Result;

use super::budget::Held;
use super::partition::Position;
use crate::record_batch::{BatchHeader, Columns, Corrupt, Reader};

/// What one response had of one partition.
#[derive(Debug)]
pub(super) struct Chunk {
    batches: Batches,
    reader: Reader,
    /// How many bytes it has read.
    read: usize,
    /// Up to where records were handed out.
    position: Position,
    /// What the last batches had beyond what was asked for, and where they end.
    rest: Option<(Columns, Position)>,
    /// How many bytes the batches had that the last call has read.
    decoded_bytes: usize,
    /// The response stays in memory as long as one of its chunks.
    _held: Arc<Held>,
}

/// Whole batches, as a broker sent them.
#[derive(Debug)]
pub(super) struct Batches {
    bytes: Bytes,
    /// Those that were written under one leader: where they end in `bytes`, and its epoch.
    parts: Vec<(usize, i32)>,
    next_offset: i64,
}

impl Batches {
    /// Finds the whole batches at the beginning of `records` by their headers: the broker cuts the
    /// last one off where its limit is.
    ///
    /// # Errors
    ///
    /// When not even the first can be read, or lies before what was asked for. (An offset is in no
    /// checksum. That of the high watermark is older than the records: it bounds nothing.)
    pub(super) fn new(records: &Bytes, from: i64) -> Result<Self, Corrupt> {
        let (mut parts, mut next_offset) = (Vec::<(usize, i32)>::new(), from);
        let mut end = 0;
        loop {
            let header = match BatchHeader::parse(&records[end..]) {
                Ok(Some(header)) if header.length <= records.len() - end => header,
                Err(corrupt) if end == 0 => return Err(corrupt),
                // The next request begins with it, and says what is wrong with it.
                _ => break,
            };
            let (first, last) = (header.base_offset, header.last_offset());
            if end == 0 && last < from {
                return Err(Corrupt::new(format!(
                    "it says that it has the offsets {first} to {last}, where {from} was asked for"
                )));
            }
            if end > 0 && first < next_offset {
                break;
            }
            end += header.length;
            next_offset = next_offset.max(header.last_offset() + 1);
            match parts.last_mut() {
                Some((part_end, epoch)) if *epoch == header.leader_epoch => *part_end = end,
                _ => parts.push((end, header.leader_epoch)),
            }
        }
        if parts.is_empty() {
            return Err(Corrupt::new(format!(
                "its {} bytes are no whole batch, although a broker sends the first one whole",
                records.len()
            )));
        }
        Ok(Self { bytes: records.slice(..end), parts, next_offset })
    }

    /// The offset after the last of them.
    pub(super) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The batches from a byte on that were written under one leader, and its epoch.
    fn part(&self, from: usize) -> (Bytes, i32) {
        let part = self.parts.iter().find(|(end, _)| *end > from);
        let (end, epoch) = part.copied().unwrap_or((self.bytes.len(), -1));
        (self.bytes.slice(from..end), epoch)
    }
}

impl Chunk {
    /// Batches that are read by a reader from an offset on.
    pub(super) fn new(batches: Batches, reader: Reader, from: i64, held: Arc<Held>) -> Self {
        let reader = reader.from_offset(from);
        let position = Position::at(from);
        Self { batches, reader, read: 0, position, rest: None, decoded_bytes: 0, _held: held }
    }

    /// Up to where records were handed out: over what nobody sees as well.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Whether there is nothing more in it.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.read == self.batches.bytes.len()
    }

    /// How many bytes of records had to be read, and perhaps decompressed, for the last call.
    pub(super) fn decoded_bytes(&self) -> usize {
        self.decoded_bytes
    }

    /// The next records, at most so many; none where the position moves over what nobody sees.
    ///
    /// # Errors
    ///
    /// When the next batch cannot be read. What is before it came with the calls before.
    pub(super) fn take(&mut self, most: usize) -> Result<Option<Columns>> {
        self.decoded_bytes = 0;
        if self.rest.is_none() {
            self.decode()?;
        }
        let Some((mut columns, end)) = self.rest.take() else {
            return Ok(None);
        };
        if columns.len() <= most {
            self.position = end;
            return Ok(Some(columns));
        }
        let taken = columns.split_to(most);
        if let Some(last) = taken.offsets.last() {
            self.position = Position { offset: last + 1, epoch: end.epoch };
        }
        self.rest = Some((columns, end));
        Ok(Some(taken))
    }

    /// Reads batches until the reader's limits are reached, or the leader's epoch changes.
    fn decode(&mut self) -> Result<()> {
        let (part, epoch) = self.batches.part(self.read);
        let before = self.position.offset;
        let result = self.reader.read(&part, self.read as u64);
        let next_offset = self.reader.next_offset().unwrap_or(before).max(before);
        self.read += self.reader.passed();
        if let Err(error) = result
            && next_offset == before
        {
            // What comes before it was handed out.
            return Err(error);
        }
        self.decoded_bytes = self.reader.run_bytes();
        let end = Position { offset: next_offset, epoch };
        match self.reader.is_empty() {
            true => {
                // Bytes of records that nobody sees count as well, up to here.
                let _ = self.reader.take();
                self.position = end;
            }
            false => self.rest = Some((self.reader.take(), end)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Array;
    use tokio::sync::Notify;

    use super::*;
    use crate::native::consumer::budget::Ration;
    use crate::record_batch::{Compression, Limits, Record, Writer, set_base_offset};

    fn batch(first: i64, epoch: i32, count: usize, compression: Compression) -> Vec<u8> {
        let mut writer = Writer::new(compression);
        for _ in 0..count {
            let value = b"a value of more than twelve bytes";
            writer.push(&Record::new(1_000, None, Some(value))).unwrap();
        }
        let mut batch = writer.finish().unwrap();
        set_base_offset(&mut batch, first);
        batch[12..16].copy_from_slice(&epoch.to_be_bytes());
        batch.to_vec()
    }

    fn chunk(records: Vec<u8>, from: i64, max_run_records: usize) -> Chunk {
        let batches = Batches::new(&records.into(), from).unwrap();
        let limits = Limits { max_run_records, ..Limits::default() };
        let held = Ration::new(Arc::new(Notify::new()), Arc::default()).hold(1);
        Chunk::new(batches, Reader::new(limits), from, held)
    }

    fn at(offset: i64, epoch: i32) -> Position {
        Position { offset, epoch }
    }

    #[test]
    fn runs_end_where_the_caller_wants_and_where_the_leader_changed() {
        for compression in Compression::ALL {
            let mut records = Vec::new();
            for (first, epoch, count) in [(0, 3, 4), (4, 3, 4), (8, 4, 4)] {
                records.extend(batch(first, epoch, count, compression));
            }
            let cut_off = batch(12, 4, 4, compression);
            records.extend(&cut_off[..cut_off.len() - 1]);
            let mut chunk = chunk(records, 1, 5);
            for (most, offsets, position) in [
                (2, 1..3, at(3, 3)),
                (5, 3..8, at(8, 3)),
                (1, 8..9, at(9, 4)),
                (9, 9..12, at(12, 4)),
            ] {
                assert!(!chunk.is_empty());
                let columns = chunk.take(most).unwrap().unwrap();
                assert!(columns.offsets.iter().copied().eq(offsets), "{compression:?}");
                assert_eq!(columns.values.len(), columns.offsets.len());
                assert_eq!(chunk.position(), position);
            }
            assert!(chunk.is_empty());
        }
    }

    #[test]
    fn a_damaged_batch_comes_after_those_before_it() {
        let mut records = batch(0, 0, 2, Compression::None);
        let mut damaged = batch(2, 0, 2, Compression::None);
        damaged[70] ^= 1;
        records.extend(damaged);
        let mut chunk = chunk(records, 0, 100);
        assert_eq!(chunk.take(100).unwrap().unwrap().len(), 2);
        for _ in 0..2 {
            let error = chunk.take(100).unwrap_err();
            assert!(error.to_string().contains("checksum"), "{error}");
            assert_eq!(chunk.position(), at(2, 0));
        }
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        let whole = batch(0, 0, 2, Compression::None);
        let refused = |bytes: Vec<u8>| Batches::new(&bytes.into(), 0).unwrap_err().to_string();
        assert!(refused(whole[..whole.len() - 1].to_vec()).contains("no whole batch"));
        for magic in [0, 1] {
            let mut old = whole.clone();
            old[16] = magic;
            assert!(refused(old).contains(&format!("message format {magic}")));
        }
    }

    #[test]
    fn a_batch_before_its_place_is_refused() {
        let batches = |firsts: &[i64]| {
            let batches = firsts.iter().map(|first| batch(*first, 0, 5, Compression::None));
            Batches::new(&batches.collect::<Vec<_>>().concat().into(), 10)
        };
        let refused = batches(&[5]).unwrap_err().to_string();
        assert!(refused.contains("the offsets 5 to 9, where 10 was asked for"), "{refused}");
        // Behind one that can be read, the next request finds it first.
        assert_eq!(batches(&[10, 12]).unwrap().next_offset(), 15);
        assert_eq!(batches(&[6, 15]).unwrap().next_offset(), 20);
    }

    #[test]
    fn what_lies_before_the_position_does_not_fill_a_run() {
        let mut records = batch(0, 0, 4, Compression::None);
        // Compaction took the last records away: the batch reaches over the position.
        records[23..27].copy_from_slice(&9_i32.to_be_bytes());
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &records[21..]) as u32;
        records[17..21].copy_from_slice(&crc.to_be_bytes());
        records.extend(batch(10, 0, 2, Compression::None));
        let batches = Batches::new(&records.into(), 8).unwrap();
        let limits = Limits { max_run_bytes: 50, ..Limits::default() };
        let held = Ration::new(Arc::new(Notify::new()), Arc::default()).hold(1);
        let mut chunk = Chunk::new(batches, Reader::new(limits), 8, held);
        assert!(chunk.take(100).unwrap().is_none());
        assert_eq!(chunk.position(), at(10, 0));
        assert_eq!(chunk.take(100).unwrap().unwrap().len(), 2);
    }
}
