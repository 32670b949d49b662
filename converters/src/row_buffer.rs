//! Collects serialized rows in one growing buffer and hands them out as a view array over it.

use arrow::array::{BinaryViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use millrace_api::Serialized;

/// Views address a buffer with 32 bits, so a new one is begun when one is this long.
const BLOCK: usize = 1 << 30;

/// Serialized rows in the making.
pub(crate) struct RowBuffer {
    views: Vec<u128>,
    valid: Vec<bool>,
    blocks: Vec<Buffer>,
    bytes: Vec<u8>,
    start: usize,
    block: usize,
}

impl RowBuffer {
    /// For so many rows, of which each will probably take so many bytes.
    pub(crate) fn new(rows: usize, bytes_a_row: usize) -> Self {
        Self {
            views: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            blocks: Vec::new(),
            bytes: Vec::with_capacity((rows * bytes_a_row).min(BLOCK)),
            start: 0,
            block: BLOCK,
        }
    }

    /// Where to append the row's bytes.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What was appended since the last row is a row.
    pub(crate) fn end_row(&mut self) {
        let block = u32::try_from(self.blocks.len()).expect("blocks are a gigabyte each");
        let start = u32::try_from(self.start).expect("a row starts within its block");
        self.views.push(make_view(&self.bytes[self.start..], block, start));
        self.valid.push(true);
        if self.bytes.len() >= self.block {
            let bytes = std::mem::take(&mut self.bytes);
            self.blocks.push(Buffer::from_vec(bytes));
        }
        self.start = self.bytes.len();
    }

    /// The row is null; what was appended since the last row is dropped.
    pub(crate) fn null_row(&mut self) {
        self.bytes.truncate(self.start);
        self.views.push(0);
        self.valid.push(false);
    }

    /// How many bytes the rows take on average.
    pub(crate) fn average(&self) -> usize {
        self.bytes.len() / self.views.len().max(1)
    }

    /// All rows.
    pub(crate) fn finish(mut self) -> Serialized {
        if !self.bytes.is_empty() {
            self.blocks.push(Buffer::from_vec(self.bytes));
        }
        let nulls = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        BinaryViewArray::try_new(ScalarBuffer::from(self.views), self.blocks, nulls)
            .expect("every view was made from the buffer it points into")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_change_of_blocks() {
        let mut rows = RowBuffer::new(0, 0);
        rows.block = 30;
        let texts: Vec<String> = (0..20).map(|i| "x".repeat(i)).collect();
        for text in &texts {
            rows.bytes().extend_from_slice(text.as_bytes());
            rows.end_row();
            rows.bytes().extend_from_slice(b"dropped");
            rows.null_row();
        }
        let rows = rows.finish();
        assert!(rows.data_buffers().len() > 3);
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(rows.value(2 * i), text.as_bytes());
            assert!(arrow::array::Array::is_null(&rows, 2 * i + 1));
        }
    }
}
