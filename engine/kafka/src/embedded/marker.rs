//! Decides how the end of a transaction is written into a log: a control batch, as Kafka's
//! `EndTransactionMarker`.

use bytes::{Bytes, BytesMut};
use millrace_api::Result;

use crate::record_batch::{Batch, BatchHeader, EndOfTransaction, Limits};

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
        let end = match self.is_commit {
            true => EndOfTransaction::Commit,
            false => EndOfTransaction::Abort,
        };
        end.batch(self.producer_id, self.producer_epoch, COORDINATOR_EPOCH, now_ms)
    }

    /// Reads a control batch; none where it is of another kind or damaged.
    pub(super) fn parse(header: &BatchHeader, batch: &[u8]) -> Option<Self> {
        let bytes = Bytes::copy_from_slice(batch);
        let limits = Limits { check_crcs: false, ..Limits::default() };
        let batch = Batch::open(&bytes, 0, *header, &limits).ok()?;
        let end = EndOfTransaction::of(&batch).ok()??;
        Some(Self {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            is_commit: end == EndOfTransaction::Commit,
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
