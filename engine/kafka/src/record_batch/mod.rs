//! Decides how record batches of Kafka's format 2 are laid out: the one codec for the embedded log
//! and the native client.
//!
//! Reading makes an index over the bytes that came, without an allocation a record: keys and
//! values of more than twelve bytes stay where they are, and a column points to them. Writing
//! puts rows straight into an open batch. Bytes from outside are never trusted: whatever they
//! hold, reading them ends in records or in an error that says what is wrong and where.
//!
//! ```
//! use bytes::Bytes;
//! use millrace_kafka::record_batch::{Compression, Limits, Reader, Record, Writer};
//!
//! let mut writer = Writer::new(Compression::Lz4);
//! writer.push(&Record::new(1_700_000_000_000, Some(b"k"), Some(b"a value")))?;
//! let batch = Bytes::from(writer.finish()?);
//!
//! let mut reader = Reader::new(Limits::default());
//! reader.read(&batch, 0)?;
//! let columns = reader.finish();
//! assert_eq!(columns.values.value(0), b"a value");
//! # Ok::<(), millrace_api::Error>(())
//! ```

use std::borrow::Cow;
use std::fmt;

use millrace_api::Error;

mod append;
mod compression;
mod control;
mod header;
mod index;
mod reader;
mod snappy;
mod varint;
mod writer;

#[cfg(test)]
mod tests;

pub use append::{Appended, Room, Stop};
pub use compression::{Compression, Compressor};
pub use control::{AbortedTransaction, EndOfTransaction};
pub use header::{
    BatchHeader, CONTROL, HEADER_LENGTH, LOG_APPEND_TIME, Stamp, TRANSACTIONAL, restamp, seal,
    set_base_offset,
};
pub use index::{Batch, Row, Rows, Span};
pub use reader::{Columns, Reader};
pub use writer::{Headers, Record, Writer};

/// How much memory bytes from outside may make us use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes one batch may have once decompressed.
    pub max_decompressed_bytes: usize,
    /// How many times its compressed size a batch may grow to. Batches of up to 16 MiB are spared:
    /// well-meant repetition reaches any ratio there.
    pub max_ratio: usize,
    /// Once this many decompressed bytes are read, [`Reader::read`] stops at the next batch.
    pub max_run_bytes: usize,
    /// Once this many records are read, [`Reader::read`] stops at the next batch.
    pub max_run_records: usize,
    /// Whether checksums are compared (`check.crcs`).
    pub check_crcs: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_decompressed_bytes: 128 << 20,
            max_ratio: 5_000,
            max_run_bytes: 64 << 20,
            max_run_records: usize::MAX,
            check_crcs: true,
        }
    }
}

impl Limits {
    /// How many bytes so many compressed ones may become.
    fn decompressed(&self, compressed: usize) -> usize {
        const SPARED: usize = 16 << 20;
        compressed.saturating_mul(self.max_ratio).max(SPARED).min(self.max_decompressed_bytes)
    }
}

/// What is wrong with a batch, before anybody knows where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt(Cow<'static, str>);

impl Corrupt {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }

    /// The error for a batch that begins at this position of its file or response.
    pub fn at(self, position: u64) -> Error {
        Error::fatal(format!("cannot read a record batch: {}", self.0))
            .context("position", position)
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
