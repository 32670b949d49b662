//! Decides who hears of a batch's records, and that each is reported exactly once.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use millrace_api::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::sequences::ProducerId;
use crate::Acknowledge;
use crate::record_batch::{
    Batch as Read, BatchHeader, Compressor, HEADER_LENGTH, Headers, Limits, Record, Stamp, Writer,
    seal,
};

/// Whose records a batch has, in their order. Whoever drops it without a word has failed them.
#[derive(Default)]
pub(super) struct Shares(Vec<Share>);

/// Records of one run that follow each other in a batch.
struct Share {
    ack: Arc<dyn Acknowledge>,
    records: usize,
}

/// Why a broker does not take a batch, and which of its records are to blame if it says so
/// (KIP-467).
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) error: Error,
    /// The broker's code, if it is the broker who refuses it.
    pub(super) code: Option<ResponseError>,
    /// Records by their place in the batch, ascending, with the broker's words.
    pub(super) records: Vec<(usize, Error)>,
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self { error, code: None, records: Vec::new() }
    }
}

impl Shares {
    /// The next records of the batch are these.
    pub(super) fn add(&mut self, ack: &Arc<dyn Acknowledge>, records: usize) {
        match self.0.last_mut() {
            Some(last) if Arc::as_ptr(&last.ack).cast::<()>() == Arc::as_ptr(ack).cast() => {
                last.records += records;
            }
            _ if records == 0 => {}
            _ => self.0.push(Share { ack: ack.clone(), records }),
        }
    }

    pub(super) fn records(&self) -> usize {
        self.0.iter().map(|share| share.records).sum()
    }

    pub(super) fn acknowledged(mut self) {
        for share in self.0.drain(..) {
            share.ack.acknowledged(share.records);
        }
    }

    pub(super) fn failed(mut self, rejection: &Rejection) {
        let mut first = 0;
        for share in self.0.drain(..) {
            let own = first..first + share.records;
            let blamed = rejection.records.iter().filter(|(row, _)| own.contains(row));
            let mut others = share.records;
            for (_, error) in blamed {
                share.ack.failed(1, error);
                others -= 1;
            }
            if others > 0 {
                share.ack.failed(others, &rejection.error);
            }
            first = own.end;
        }
    }

    /// The shares of the records from this place on.
    fn split_off(&mut self, at: usize) -> Self {
        let (mut first, mut rest) = (0, Self::default());
        for share in &mut self.0 {
            let kept = at.saturating_sub(first).min(share.records);
            first += share.records;
            rest.add(&share.ack, share.records - kept);
            share.records = kept;
        }
        self.0.retain(|share| share.records > 0);
        rest
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        let closed = "the producer was closed before the records were acknowledged";
        let error = Error::fatal(closed);
        for share in self.0.drain(..) {
            share.ack.failed(share.records, &error);
        }
    }
}

/// Where a batch is on its way.
#[derive(Debug)]
pub(super) enum Place {
    /// It was never sent, or is to be sent again, not before this time.
    Waiting(Instant),
    InFlight,
    /// It is known what became of it, but not of those before it.
    Done(Result<(), Rejection>),
}

/// A closed batch of one partition.
pub(super) struct Batch {
    pub(super) id: u64,
    pub(super) shares: Shares,
    pub(super) records: usize,
    /// When its first record came.
    pub(super) created: Instant,
    /// How often it was sent.
    pub(super) attempts: u32,
    pub(super) place: Place,
    /// Given when it is first sent, if the producer is idempotent.
    pub(super) sequence: Option<(ProducerId, i32)>,
    /// Why it was not taken the last time.
    pub(super) trouble: Option<String>,
    bytes: Bytes,
    memory: usize,
    stamp: Option<Stamp>,
}

impl Batch {
    pub(super) fn new(id: u64, bytes: BytesMut, shares: Shares, created: Instant) -> Self {
        Self {
            id,
            records: shares.records(),
            shares,
            created,
            attempts: 0,
            place: Place::Waiting(created),
            sequence: None,
            trouble: None,
            memory: bytes.capacity(),
            bytes: bytes.freeze(),
            stamp: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Its bytes as they are to be sent. The checksum is made anew only for another stamp.
    pub(super) fn sealed(&mut self, is_transactional: bool) -> Bytes {
        let (producer_id, producer_epoch, base_sequence) = match self.sequence {
            Some((producer, sequence)) => (producer.id, producer.epoch, sequence),
            None => (-1, -1, -1),
        };
        let stamp = Stamp { producer_id, producer_epoch, base_sequence, is_transactional };
        if self.stamp != Some(stamp) {
            // Unique unless a connection that broke has not let go of it yet.
            let bytes = std::mem::take(&mut self.bytes).try_into_mut();
            let mut bytes = bytes.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            seal(&mut bytes, &stamp);
            self.bytes = bytes.freeze();
            self.stamp = Some(stamp);
        }
        self.bytes.clone()
    }

    /// The sequence number after its last record.
    pub(super) fn next_sequence(&self) -> Option<(ProducerId, i32)> {
        let (producer, sequence) = self.sequence?;
        Some((producer, super::sequences::after(sequence, self.records)))
    }

    /// Tells everybody what became of it; gives its memory back.
    pub(super) fn settle(self, outcome: &Result<(), Rejection>) -> Option<BytesMut> {
        match outcome {
            Ok(()) => self.shares.acknowledged(),
            Err(rejection) => self.shares.failed(rejection),
        }
        self.bytes.try_into_mut().ok()
    }

    /// Two batches in place of one that is too large for its broker: the first half of the records
    /// and the others; and half of the bytes they had before compression.
    pub(super) fn split(
        &mut self,
        ids: [u64; 2],
        compressor: &mut Compressor,
    ) -> Result<([Self; 2], usize)> {
        let at = self.records / 2;
        let unreadable = |e: crate::record_batch::Corrupt| e.at(0);
        let header = BatchHeader::parse(&self.bytes).map_err(unreadable)?;
        let header = header.ok_or_else(|| {
            Error::new(ErrorKind::Fatal, "a batch to be split has no header: this is a bug")
        })?;
        let limits = Limits { check_crcs: false, max_ratio: usize::MAX, ..Limits::default() };
        let read = Read::open(&self.bytes, 0, header, &limits).map_err(unreadable)?;
        let mut parts = [BytesMut::new(), BytesMut::new()];
        let mut writer = Writer::new(crate::record_batch::Compression::None);
        for (number, row) in read.rows().enumerate() {
            let row = row.map_err(unreadable)?;
            if number == at {
                parts[0] = writer.close_with(compressor)?;
            }
            let buffer = read.buffer();
            let (count, bytes) = (row.header_count, row.headers.of(buffer));
            writer.push(&Record {
                timestamp: row.timestamp,
                key: row.key.as_ref().map(|span| span.of(buffer)),
                value: row.value.as_ref().map(|span| span.of(buffer)),
                headers: Headers::Raw { count, bytes },
            })?;
        }
        parts[1] = writer.close_with(compressor)?;
        let second_shares = self.shares.split_off(at);
        let second_sequence = self
            .sequence
            .map(|(producer, sequence)| (producer, super::sequences::after(sequence, at)));
        let [first, second] = parts;
        let first_shares = std::mem::take(&mut self.shares);
        let mut first = Self::new(ids[0], first, first_shares, self.created);
        let mut second = Self::new(ids[1], second, second_shares, self.created);
        (first.sequence, second.sequence) = (self.sequence, second_sequence);
        Ok(([first, second], read.record_bytes() / 2 + HEADER_LENGTH))
    }
}
