//! Decides what a file looks like inside: one encoder a format, runs of records in, bytes out.

mod columns;
mod json;
mod parquet;

use bytes::Bytes;
use millrace_api::Result;
use millrace_api::data::{Column, RowError};

pub(crate) use json::JsonLines;
pub(crate) use parquet::{Codec, Parquet};

/// A format: turns columns into what its files take.
pub(crate) enum Format {
    Parquet(Parquet),
    JsonLines(JsonLines),
}

/// A run of records that is known to fit into a file of the format.
pub(crate) enum Prepared {
    Parquet(parquet::Rows),
    JsonLines(json::Lines),
}

/// The inside of an open file.
pub(crate) enum Encoder {
    Parquet(Box<parquet::Encoder>),
    JsonLines(json::Encoder),
}

impl Format {
    /// What file names end in.
    pub(crate) fn extension(&self) -> String {
        match self {
            Self::Parquet(format) => format.extension(),
            Self::JsonLines(_) => ".json".into(),
        }
    }

    /// Turns values into what files take; none of them is null. The error lists the rows that the
    /// format cannot hold, at least one.
    pub(crate) fn prepare(&mut self, values: &Column) -> Result<Prepared, Vec<RowError>> {
        match self {
            Self::Parquet(format) => format.prepare(values).map(Prepared::Parquet),
            Self::JsonLines(format) => format.prepare(values).map(Prepared::JsonLines),
        }
    }

    /// A file whose first rows are these.
    pub(crate) fn encoder(&self, first: &Prepared) -> Encoder {
        match (self, first) {
            (Self::Parquet(format), Prepared::Parquet(rows)) => {
                Encoder::Parquet(Box::new(format.encoder(rows)))
            }
            _ => Encoder::JsonLines(json::Encoder::default()),
        }
    }
}

impl Encoder {
    /// Appends rows.
    pub(crate) fn append(&mut self, rows: &Prepared, offset: usize, len: usize) -> Result<()> {
        match (self, rows) {
            (Self::Parquet(file), Prepared::Parquet(rows)) => file.append(rows, offset, len),
            (Self::JsonLines(file), Prepared::JsonLines(lines)) => {
                file.append(lines, offset, len);
                Ok(())
            }
            _ => unreachable!("a task has one format"),
        }
    }

    /// Bytes that are ready to be written, when there are at least so many.
    pub(crate) fn take(&mut self, at_least: usize) -> Result<Option<Bytes>> {
        match self {
            Self::Parquet(file) => file.take(at_least),
            Self::JsonLines(file) => Ok(file.take(at_least)),
        }
    }

    /// About how much memory the rows take that are not yet bytes to write.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Parquet(file) => file.memory(),
            Self::JsonLines(_) => 0,
        }
    }

    /// Gives that memory up, at the price of a smaller row group.
    pub(crate) fn spill(&mut self) -> Result<()> {
        match self {
            Self::Parquet(file) => file.spill(),
            Self::JsonLines(_) => Ok(()),
        }
    }

    /// The rest of the file's bytes.
    pub(crate) fn finish(self) -> Result<Bytes> {
        match self {
            Self::Parquet(file) => file.finish(),
            Self::JsonLines(file) => Ok(file.finish()),
        }
    }
}
