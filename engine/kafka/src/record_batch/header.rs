//! Decides what the 61 bytes before a batch's records mean.

use super::{Compression, Corrupt};

/// How many bytes come before a batch's records.
pub const HEADER_LENGTH: usize = 61;

/// The bytes before the ones that a batch's length counts.
pub(super) const LENGTH_PREFIX: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
/// The checksum covers everything from here.
pub(super) const ATTRIBUTES_AT: usize = 21;
/// All bits that have a meaning are in the lower byte.
const ATTRIBUTES_END: usize = 22;

const COMPRESSION_BITS: i16 = 0b111;
/// The attribute bit of batches whose records have the broker's time.
pub const LOG_APPEND_TIME: i16 = 1 << 3;
/// The attribute bit of batches that belong to a transaction.
pub const TRANSACTIONAL: i16 = 1 << 4;
/// The attribute bit of batches that hold a transaction's end.
pub const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// The header of a record batch of format 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset that the records' offset deltas count from.
    pub base_offset: i64,
    /// The whole batch in bytes, this header included.
    pub length: usize,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Compression, kind of timestamp, transaction bits.
    pub attributes: i16,
    /// The last offset, less the base offset; compaction may have taken that record away.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from.
    pub base_timestamp: i64,
    /// The latest timestamp; the broker's clock under log append time.
    pub max_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The sequence number of the first record.
    pub base_sequence: i32,
    /// How many records are left in it.
    pub count: i32,
}

impl BatchHeader {
    /// Reads the header at the beginning of `bytes`; none when they end before it does. The rest
    /// of the batch need not be there.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Corrupt> {
        if let Some(&magic @ (0 | 1)) = bytes.get(MAGIC_AT) {
            return Err(Corrupt::new(format!(
                "message format {magic} is from before Kafka 0.11 and is not supported; copy the \
                 topic with a client that writes format 2"
            )));
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        if bytes[MAGIC_AT] != 2 {
            return Err(Corrupt::new(format!("its format is {}, not 2", bytes[MAGIC_AT])));
        }
        let length = i32::from_be_bytes(field(bytes, 8));
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            length: LENGTH_PREFIX + usize::try_from(length).unwrap_or(0),
            leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(field(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            count: i32::from_be_bytes(field(bytes, 57)),
        };
        if header.length < HEADER_LENGTH {
            return Err(Corrupt::new(format!("its length is {length}, less than a header has")));
        }
        if header.base_offset < 0 || header.last_offset_delta < 0 || header.count < 0 {
            return Err(Corrupt::new("its header has a negative offset or count"));
        }
        if header.base_offset.checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
            return Err(Corrupt::new("its last offset does not fit 64 bits"));
        }
        Ok(Some(header))
    }

    /// Writes the header over the first bytes of `batch`, all but the checksum.
    pub(super) fn write(&self, batch: &mut [u8]) {
        let length = (batch.len() - LENGTH_PREFIX) as i32;
        batch[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        batch[MAGIC_AT] = 2;
        batch[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        batch[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        batch[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        batch[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        batch[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        batch[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        batch[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        batch[57..61].copy_from_slice(&self.count.to_be_bytes());
    }

    /// Compares the checksum; `batch` is the whole batch.
    pub fn check(&self, batch: &[u8]) -> Result<(), Corrupt> {
        let found = crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..]);
        if found == self.crc {
            return Ok(());
        }
        Err(Corrupt::new(format!(
            "its checksum is {:#010x}, but its bytes have {found:#010x}",
            self.crc
        )))
    }

    /// Who wrote it.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            is_transactional: self.is_transactional(),
        }
    }

    /// The offset of the last record, also when compaction has taken it away.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Result<Compression, Corrupt> {
        let bits = self.attributes & COMPRESSION_BITS;
        Compression::from_bits(bits)
            .ok_or_else(|| Corrupt::new(format!("its compression is of unknown kind {bits}")))
    }

    /// Whether all records have [`max_timestamp`](Self::max_timestamp) as theirs.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds a transaction's end instead of records for users.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// From when on compaction may drop its tombstones; none until compaction has seen them.
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }
}

/// Who wrote a batch, as a broker needs it to know a repeat and a transaction (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Whether the records belong to its open transaction.
    pub is_transactional: bool,
}

impl Stamp {
    /// Nobody that a broker would remember.
    pub const NONE: Self =
        Self { producer_id: -1, producer_epoch: -1, base_sequence: -1, is_transactional: false };
}

/// Gives a [closed](super::Writer::close) batch its producer and its checksum. It may be sealed
/// again, for one that sends it again with another epoch or sequence number: the records stay as
/// they are.
///
/// # Panics
///
/// When `batch` is shorter than a header.
pub fn seal(batch: &mut [u8], stamp: &Stamp) {
    batch[ATTRIBUTES_END] &= !(TRANSACTIONAL as u8);
    if stamp.is_transactional {
        batch[ATTRIBUTES_END] |= TRANSACTIONAL as u8;
    }
    batch[43..51].copy_from_slice(&stamp.producer_id.to_be_bytes());
    batch[51..53].copy_from_slice(&stamp.producer_epoch.to_be_bytes());
    batch[53..57].copy_from_slice(&stamp.base_sequence.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The attribute bits of a batch.
pub(super) fn attributes(compression: Compression, append_time: bool, horizon: bool) -> i16 {
    compression.bits()
        | if append_time { LOG_APPEND_TIME } else { 0 }
        | if horizon { DELETE_HORIZON } else { 0 }
}

/// Changes the header of a whole batch, and its checksum with it: what a broker or a producer fills
/// in once the records are there. Offset, length and count are the batch's own and stay.
///
/// # Errors
///
/// [`Corrupt`] when `batch` has no header.
pub fn restamp(batch: &mut [u8], change: impl FnOnce(&mut BatchHeader)) -> Result<(), Corrupt> {
    let Some(before) = BatchHeader::parse(batch)? else {
        return Err(Corrupt::new("its header is cut off"));
    };
    let mut header = before;
    change(&mut header);
    let kept = BatchHeader { length: before.length, count: before.count, ..header };
    kept.write(batch);
    seal(batch, &kept.stamp());
    Ok(())
}

/// Gives a batch its place in the log. The checksum does not cover it.
///
/// # Panics
///
/// When `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], offset: i64) {
    batch[..8].copy_from_slice(&offset.to_be_bytes());
}

#[inline]
fn field<const N: usize>(bytes: &[u8; HEADER_LENGTH], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
