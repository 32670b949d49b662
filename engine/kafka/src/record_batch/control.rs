//! Decides how the end of a transaction is written into a log (a control batch of one record,
//! KIP-98), and which records it takes back.

use std::cmp::Reverse;

use bytes::BytesMut;
use millrace_api::Result;

use super::{
    Batch, BatchHeader, CONTROL, Compression, Corrupt, Record, TRANSACTIONAL, Writer, restamp,
};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfTransaction {
    /// Its records never were.
    Abort,
    /// Its records count.
    Commit,
}

/// A marker of any other kind is for the brokers alone.
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

impl EndOfTransaction {
    /// What a control batch says; none when it speaks of something else, or compaction has taken
    /// the record away.
    pub fn of(batch: &Batch) -> Result<Option<Self>, Corrupt> {
        let malformed = || Corrupt::new("its control record is malformed");
        let Some(row) = batch.rows().next().transpose()? else {
            return Ok(None);
        };
        let key = row.key.ok_or_else(malformed)?.of(batch.buffer());
        // The version comes first; every one of them begins in the same way.
        let (_, kind) = key.first_chunk::<4>().ok_or_else(malformed)?.split_at(2);
        Ok(match i16::from_be_bytes([kind[0], kind[1]]) {
            ABORT => Some(Self::Abort),
            COMMIT => Some(Self::Commit),
            _ => None,
        })
    }

    /// The control batch that ends the open transaction of this producer; its first offset is 0.
    pub fn batch(
        self,
        producer_id: i64,
        producer_epoch: i16,
        coordinator_epoch: i32,
        timestamp: i64,
    ) -> Result<BytesMut> {
        let mut key = [0; 4];
        key[2..].copy_from_slice(&self.kind().to_be_bytes());
        let mut value = [0; 6];
        value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
        let mut writer = Writer::new(Compression::None);
        writer.push(&Record::new(timestamp, Some(&key), Some(&value)))?;
        let mut batch = writer.close()?;
        restamp(&mut batch, |header| {
            header.attributes |= TRANSACTIONAL | CONTROL;
            header.producer_id = producer_id;
            header.producer_epoch = producer_epoch;
        })
        .map_err(|corrupt| corrupt.at(0))?;
        Ok(batch)
    }

    fn kind(self) -> i16 {
        match self {
            Self::Abort => ABORT,
            Self::Commit => COMMIT,
        }
    }
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who gave it up.
    pub producer_id: i64,
    /// The offset of its first record in this partition.
    pub first_offset: i64,
}

/// Which transactions of the batches to come were aborted, and which of these have begun.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// Those that have not begun, the next one last.
    transactions: Vec<AbortedTransaction>,
    /// Who is within one: few.
    producers: Vec<i64>,
}

impl Aborted {
    pub(super) fn new(mut transactions: Vec<AbortedTransaction>) -> Self {
        transactions.sort_unstable_by_key(|transaction| Reverse(transaction.first_offset));
        Self { transactions, producers: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transactions.is_empty() && self.producers.is_empty()
    }

    /// Whether the batch, the next in order, belongs to one of them.
    pub(super) fn covers(&mut self, header: &BatchHeader) -> bool {
        self.reach(header);
        header.is_transactional() && self.producers.contains(&header.producer_id)
    }

    /// The marker, the next batch in order, ends what its producer has begun. Nothing of that may
    /// have been among the batches: a fetch may begin at the marker.
    pub(super) fn end(&mut self, header: &BatchHeader) {
        self.reach(header);
        self.producers.retain(|producer| *producer != header.producer_id);
    }

    fn reach(&mut self, header: &BatchHeader) {
        while let Some(next) = self.transactions.last()
            && next.first_offset <= header.last_offset()
        {
            self.producers.push(next.producer_id);
            self.transactions.pop();
        }
    }
}
