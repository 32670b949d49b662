//! Decides how a batch's records are compressed, and how much memory decompressing may take.

use std::io::{self, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use millrace_api::{Error, Result};

use super::{Corrupt, Limits, snappy};

/// How the records of a batch are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in the frames of its Java library.
    Snappy,
    /// The frame format of LZ4.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The name that `compression.type` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    pub(super) fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    pub(super) fn from_bits(bits: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.bits() == bits)
    }

    /// Appends the compressed form of `records` to `to`.
    pub(super) fn compress(self, records: &[u8], to: &mut BytesMut) -> Result<()> {
        let done = match self {
            Self::None => {
                to.extend_from_slice(records);
                Ok(())
            }
            Self::Gzip => gzip(records, to),
            Self::Snappy => snappy::compress(records, to).map_err(io::Error::other),
            Self::Lz4 => lz4(records, to),
            // 0 stands for zstd's own default level, as in Kafka.
            Self::Zstd => zstd::stream::copy_encode(records, to.writer(), 0),
        };
        done.map_err(|e| {
            Error::fatal("cannot compress a record batch")
                .context("compression.type", self.name())
                .with_source(e)
        })
    }

    /// The records that `compressed` holds.
    pub(super) fn decompress(self, compressed: &[u8], limits: &Limits) -> Result<Bytes, Corrupt> {
        let limit = limits.decompressed(compressed.len());
        let records = match self {
            Self::None => Ok(compressed.to_vec()),
            Self::Gzip => read_all(MultiGzDecoder::new(compressed), compressed.len(), limit),
            Self::Snappy => snappy::decompress(compressed, limit),
            Self::Lz4 => read_all(FrameDecoder::new(compressed), compressed.len(), limit),
            Self::Zstd => match zstd::stream::read::Decoder::with_buffer(compressed) {
                Ok(decoder) => read_all(decoder, compressed.len(), limit),
                Err(e) => Err(Corrupt::new(e.to_string())),
            },
        };
        records.map(Bytes::from).map_err(|Corrupt(what)| {
            Corrupt::new(format!("its {} data cannot be decompressed: {what}", self.name()))
        })
    }
}

fn gzip(records: &[u8], to: &mut BytesMut) -> io::Result<()> {
    let mut encoder = GzEncoder::new(to.writer(), flate2::Compression::default());
    encoder.write_all(records)?;
    encoder.finish().map(drop)
}

fn lz4(records: &[u8], to: &mut BytesMut) -> io::Result<()> {
    // Java's reader refuses blocks that refer to earlier ones.
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, to.writer());
    encoder.write_all(records)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

/// Reads to the end, but never more than `limit` bytes.
fn read_all(from: impl Read, compressed: usize, limit: usize) -> Result<Vec<u8>, Corrupt> {
    let mut records = Vec::with_capacity(compressed.saturating_mul(4).min(limit));
    let read = from.take(limit as u64 + 1).read_to_end(&mut records);
    if records.len() > limit {
        return Err(too_big(limit));
    }
    match read {
        Ok(_) => Ok(records),
        Err(e) => Err(Corrupt::new(e.to_string())),
    }
}

/// The complaint of every codec about what grows beyond its limit.
pub(super) fn too_big(limit: usize) -> Corrupt {
    Corrupt::new(format!(
        "it grows beyond {limit} bytes, the most that a batch of its size may have"
    ))
}
