//! Decides how JSON lines are written: a value a line, as JsonConverter writes it without schemas.

use bytes::Bytes;
use millrace_api::data::{Column, RowError};

/// Files of JSON lines.
#[derive(Default)]
pub(crate) struct JsonLines;

/// Lines, and where each ends.
pub(crate) struct Lines {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl JsonLines {
    pub(super) fn prepare(&mut self, values: &Column) -> Result<Lines, Vec<RowError>> {
        let mut lines = Lines {
            text: Vec::new(),
            ends: Vec::with_capacity(values.len()),
        };
        let mut failed = Vec::new();
        let Column::Json(texts) = values else {
            return Err(failed);
        };
        for row in 0..values.len() {
            lines.text.extend_from_slice(texts.value(row).as_bytes());
            lines.text.push(b'\n');
            lines.ends.push(lines.text.len());
        }
        if failed.is_empty() {
            Ok(lines)
        } else {
            Err(std::mem::take(&mut failed))
        }
    }
}

/// The inside of an open file of JSON lines.
#[derive(Default)]
pub(crate) struct Encoder {
    text: Vec<u8>,
}

impl Encoder {
    pub(super) fn append(&mut self, lines: &Lines, offset: usize, len: usize) {
        let end = |line: usize| match line {
            0 => 0,
            line => lines.ends[line - 1],
        };
        self.text
            .extend_from_slice(&lines.text[end(offset)..end(offset + len)]);
    }

    pub(super) fn take(&mut self, at_least: usize) -> Option<Bytes> {
        (self.text.len() >= at_least).then(|| std::mem::take(&mut self.text).into())
    }

    pub(super) fn finish(self) -> Bytes {
        self.text.into()
    }
}
