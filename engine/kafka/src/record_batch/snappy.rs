//! Decides how Snappy data is framed: Java's library cuts it into blocks with a header of its own,
//! librdkafka and others write one bare block. Both are read, Java's is written.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Corrupt;
use super::compression::too_big;

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Its version, and the oldest one that can read it: 1 and 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Magic and versions.
const HEADER_LENGTH: usize = 16;
const BLOCK_BYTES: usize = 32 << 10;

pub(super) fn compress(encoder: &mut Encoder, records: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
    to.extend_from_slice(MAGIC);
    to.extend_from_slice(&VERSIONS);
    for block in records.chunks(BLOCK_BYTES) {
        let length_at = to.len();
        let block_at = length_at + 4;
        to.resize(block_at + max_compress_len(block.len()), 0);
        let written = encoder.compress(block, &mut to[block_at..]).map_err(io::Error::other)?;
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
