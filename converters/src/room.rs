//! Decides how far the rows of a batch may unfold: one byte says that a struct of a thousand fields
//! is there or null, and each of them has a cell or a value.

use crate::json::Fault;

/// How many cells or values the rows of a batch may become beyond those that they pay for by
/// their length.
#[derive(Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// How many each byte of a payload pays for.
    const CELLS_A_BYTE: usize = 4;

    pub(crate) fn new(cells: usize) -> Self {
        Self(cells)
    }

    /// How much a row of so many bytes may take.
    pub(crate) fn open(&self, bytes: usize) -> usize {
        self.0.saturating_add(bytes.saturating_mul(Self::CELLS_A_BYTE))
    }

    /// Counts what a row has taken that stays, by what it has left. What it has paid for and not
    /// taken is no other's.
    pub(crate) fn close(&mut self, left: usize) {
        self.0 = self.0.min(left);
    }
}

/// A row has no room for what is in its `parts`, such as lists and maps.
#[cold]
pub(crate) fn too_wide(parts: &str) -> Fault {
    Fault::new(format!(
        "its {parts} unfold to far more fields than the messages of this poll have bytes for; \
         max.poll.records polls fewer at once"
    ))
}
