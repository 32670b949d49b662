//! Decides how Snappy data is framed: Java's library cuts it into blocks with a header of its own,
//! librdkafka and others write one bare block. Both are read, Java's is written.

use bytes::{BufMut, BytesMut};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Corrupt;
use super::compression::too_big;

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Magic, version, and the oldest version that can read it.
const HEADER_LENGTH: usize = 16;
const BLOCK_BYTES: usize = 32 << 10;

pub(super) fn compress(records: &[u8], to: &mut BytesMut) -> Result<(), snap::Error> {
    to.put_slice(MAGIC);
    to.put_u32(1);
    to.put_u32(1);
    let mut encoder = Encoder::new();
    for block in records.chunks(BLOCK_BYTES) {
        let length_at = to.len();
        to.put_u32(0);
        let block_at = to.len();
        to.resize(block_at + max_compress_len(block.len()), 0);
        let written = encoder.compress(block, &mut to[block_at..])?;
        to.truncate(block_at + written);
        to[length_at..block_at].copy_from_slice(&(written as u32).to_be_bytes());
    }
    Ok(())
}

pub(super) fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, Corrupt> {
    let mut records = Vec::new();
    if !data.starts_with(MAGIC) {
        append_block(data, limit, &mut records)?;
        return Ok(records);
    }
    let mut rest = data.get(HEADER_LENGTH..).ok_or_else(cut)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        append_block(after.get(..length).ok_or_else(cut)?, limit, &mut records)?;
        rest = &after[length..];
    }
    Ok(records)
}

/// Appends what one bare block holds, unless `records` would pass `limit` bytes.
fn append_block(block: &[u8], limit: usize, records: &mut Vec<u8>) -> Result<(), Corrupt> {
    let corrupt = |e: snap::Error| Corrupt::new(e.to_string());
    let length = decompress_len(block).map_err(corrupt)?;
    let start = records.len();
    // The length is only what the block claims: check it before memory is reserved for it.
    if length > limit - start {
        return Err(too_big(limit));
    }
    records.resize(start + length, 0);
    Decoder::new().decompress(block, &mut records[start..]).map_err(corrupt)?;
    Ok(())
}

fn cut() -> Corrupt {
    Corrupt::new("it ends in the middle of a block")
}
