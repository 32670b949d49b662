//! Decides how the end of a transaction is written into a log: a control batch, as Kafka's
//! `EndTransactionMarker`.

use bytes::{BufMut, Bytes, BytesMut};
use millrace_api::Result;

use crate::record_batch::{
    Batch, BatchHeader, CONTROL, Compression, Limits, Record, TRANSACTIONAL, Writer, restamp,
};

/// The only version of a control record's key and value so far.
const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;
/// There is one coordinator, and it never moves.
const COORDINATOR_EPOCH: i32 = 0;

/// The end of a producer's transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) is_commit: bool,
}

impl Marker {
    /// The control batch; its first offset is 0.
    pub(super) fn batch(&self, now_ms: i64) -> Result<BytesMut> {
        let mut key = Vec::with_capacity(4);
        key.put_i16(VERSION);
        key.put_i16(if self.is_commit { COMMIT } else { ABORT });
        let mut value = Vec::with_capacity(6);
        value.put_i16(VERSION);
        value.put_i32(COORDINATOR_EPOCH);
        let mut writer = Writer::new(Compression::None);
        writer.push(&Record::new(now_ms, Some(&key), Some(&value)))?;
        let mut batch = writer.finish()?;
        restamp(&mut batch, |header| {
            header.attributes |= TRANSACTIONAL | CONTROL;
            header.producer_id = self.producer_id;
            header.producer_epoch = self.producer_epoch;
        })
        .map_err(|corrupt| corrupt.at(0))?;
        Ok(batch)
    }

    /// Reads a control batch; none where it is of another kind or damaged.
    pub(super) fn parse(header: &BatchHeader, batch: &[u8]) -> Option<Self> {
        let bytes = Bytes::copy_from_slice(batch);
        let limits = Limits { check_crcs: false, ..Limits::default() };
        let batch = Batch::open(&bytes, 0, *header, &limits).ok()?;
        let row = batch.rows().next()?.ok()?;
        let key = row.key?.of(batch.buffer());
        let kind = i16::from_be_bytes([*key.get(2)?, *key.get(3)?]);
        (kind == COMMIT || kind == ABORT).then_some(Self {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            is_commit: kind == COMMIT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_as_it_was_written() {
        for is_commit in [true, false] {
            let marker = Marker { producer_id: 7, producer_epoch: 3, is_commit };
            let batch = marker.batch(1_000).unwrap();
            let header = BatchHeader::parse(&batch).unwrap().unwrap();
            assert!(header.is_control() && header.is_transactional());
            assert!(header.check(&batch).is_ok());
            assert_eq!(Marker::parse(&header, &batch), Some(marker));
        }
    }
}
