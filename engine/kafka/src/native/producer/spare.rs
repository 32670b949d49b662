//! Decides which memory of batches is kept for the next ones: the kernel takes longer to give new
//! pages than it takes to fill them.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Memory that no batch has.
#[derive(Debug, Default)]
pub(super) struct Spare {
    /// The newest, which the processor's cache may still have, last.
    memory: VecDeque<BytesMut>,
    bytes: usize,
}

impl Spare {
    /// How much there is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory for a batch of so many bytes: not much less, and not more than twice of it.
    pub(super) fn take(&mut self, expected: usize) -> Option<BytesMut> {
        let fits = |memory: &BytesMut| {
            memory.capacity() / 2 <= expected && expected / 4 * 3 <= memory.capacity()
        };
        let at = self.memory.iter().rposition(fits)?;
        let memory = self.memory.remove(at)?;
        self.bytes -= memory.capacity();
        Some(memory)
    }

    /// Keeps memory, and lets the oldest go that is more than so many bytes.
    pub(super) fn give(&mut self, memory: BytesMut, most: usize) {
        self.bytes += memory.capacity();
        self.memory.push_back(memory);
        while self.bytes > most {
            self.drop_oldest();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Who rests keeps a batch's memory, not a buffer's.
    pub(super) fn rest(&mut self) {
        while self.memory.len() > 1 {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.memory.pop_front().map_or(0, |memory| memory.capacity());
        self.bytes -= oldest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(capacities: &[usize], most: usize) -> Spare {
        let mut spare = Spare::default();
        for capacity in capacities {
            spare.give(BytesMut::with_capacity(*capacity), most);
            assert!(spare.bytes() <= most);
        }
        spare
    }

    #[test]
    fn what_was_kept_last_and_fits_is_taken() {
        let mut kept = spare(&[100, 120, 1_000], 10_000);
        assert_eq!(kept.take(100).map(|memory| memory.capacity()), Some(120));
        assert_eq!(kept.take(100).map(|memory| memory.capacity()), Some(100));
        assert_eq!(kept.take(100), None, "a small batch does not get a large one's");
        assert_eq!(kept.take(2_000), None);
        assert_eq!(kept.bytes(), 1_000);
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut kept = spare(&[100, 200, 300, 400], 700);
        assert_eq!(kept.bytes(), 700);
        kept.rest();
        assert_eq!(kept.bytes(), 400);
        kept.give(BytesMut::with_capacity(800), 700);
        assert_eq!(kept.bytes(), 0);
    }
}
