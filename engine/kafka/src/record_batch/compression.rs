//! Decides how a batch's records are compressed, and how much memory decompressing may take.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem::take;

use bytes::Bytes;
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

/// Compresses one batch after the other. What a codec needs for that, up to some MiB for zstd, is
/// made once and kept.
pub struct Compressor {
    codec: Codec,
    compressed: Vec<u8>,
}

enum Codec {
    None,
    Gzip(flate2::Compression),
    Snappy(Box<snap::raw::Encoder>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Zstd { level: i32, context: Option<zstd::bulk::Compressor<'static>> },
}

impl Compressor {
    /// One at this `level`, or at the codec's own default, as `compression.gzip.level` and
    /// `compression.zstd.level` have it. Other codecs have no levels here.
    pub fn new(compression: Compression, level: Option<i32>) -> Self {
        let codec = match compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip(gzip_level(level)),
            Compression::Snappy => Codec::Snappy(Box::new(snap::raw::Encoder::new())),
            Compression::Lz4 => Codec::Lz4(Box::new(lz4_encoder())),
            // 0 stands for zstd's own default level, as in Kafka.
            Compression::Zstd => Codec::Zstd { level: level.unwrap_or(0), context: None },
        };
        Self { codec, compressed: Vec::new() }
    }

    /// What it compresses to.
    pub fn compression(&self) -> Compression {
        match self.codec {
            Codec::None => Compression::None,
            Codec::Gzip(_) => Compression::Gzip,
            Codec::Snappy(_) => Compression::Snappy,
            Codec::Lz4(_) => Compression::Lz4,
            Codec::Zstd { .. } => Compression::Zstd,
        }
    }

    /// The compressed form of `records`, until the next call.
    pub(super) fn compress(&mut self, records: &[u8]) -> Result<&[u8]> {
        let to = &mut self.compressed;
        to.clear();
        let done = match &mut self.codec {
            Codec::None => {
                to.extend_from_slice(records);
                Ok(())
            }
            Codec::Gzip(level) => {
                let mut encoder = GzEncoder::new(to, *level);
                encoder.write_all(records).and_then(|()| encoder.finish().map(drop))
            }
            Codec::Snappy(encoder) => snappy::compress(encoder, records, to),
            Codec::Lz4(encoder) => {
                *encoder.get_mut() = take(to);
                let done = encoder.write_all(records).and_then(|()| Ok(encoder.try_finish()?));
                *to = take(encoder.get_mut());
                done
            }
            Codec::Zstd { level, context } => zstd(*level, context, records, to),
        };
        match done {
            Ok(()) => Ok(&self.compressed),
            Err(e) => Err(Error::fatal("cannot compress a record batch")
                .context("compression.type", self.compression().name())
                .with_source(e)),
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor").field(&self.compression()).finish()
    }
}

/// Java's -1 is the default as well.
fn gzip_level(level: Option<i32>) -> flate2::Compression {
    match level.and_then(|level| u32::try_from(level).ok()) {
        Some(level) => flate2::Compression::new(level.min(9)),
        None => flate2::Compression::default(),
    }
}

fn lz4_encoder() -> FrameEncoder<Vec<u8>> {
    // Java's reader refuses blocks that refer to earlier ones.
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    FrameEncoder::with_frame_info(info, Vec::new())
}

fn zstd(
    level: i32,
    context: &mut Option<zstd::bulk::Compressor<'static>>,
    records: &[u8],
    to: &mut Vec<u8>,
) -> io::Result<()> {
    let context = match context {
        Some(context) => context,
        None => context.insert(zstd::bulk::Compressor::new(level)?),
    };
    to.reserve(zstd::zstd_safe::compress_bound(records.len()));
    context.compress_to_buffer(records, to).map(drop)
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
