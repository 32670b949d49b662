//! Decides which sequence numbers the batches of a partition have (KIP-98): one after the other,
//! from 0 in each epoch.

/// An idempotent producer as brokers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) struct ProducerId {
    pub(in crate::native) id: i64,
    pub(in crate::native) epoch: i16,
}

/// The sequence number so many records after this one; after the greatest comes 0.
pub(super) fn after(sequence: i32, records: usize) -> i32 {
    let sum = i64::from(sequence) + records as i64;
    (sum & i64::from(i32::MAX)) as i32
}

/// The numbers of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequences {
    pub(super) producer: ProducerId,
    /// The number of the next record that has none yet.
    pub(super) next: i32,
    /// The number after the last record that is known to be in the log.
    pub(super) acknowledged: i32,
}

impl Sequences {
    pub(super) fn new(producer: ProducerId) -> Self {
        Self { producer, next: 0, acknowledged: 0 }
    }

    /// Numbers for so many records.
    pub(super) fn assign(&mut self, records: usize) -> (ProducerId, i32) {
        let first = self.next;
        self.next = after(first, records);
        (self.producer, first)
    }

    /// All records before this number are in the log, if the numbers are of this epoch. Brokers may
    /// tell it twice, and late.
    pub(super) fn acknowledge(&mut self, (producer, end): (ProducerId, i32)) {
        let ahead = end.wrapping_sub(self.acknowledged) & i32::MAX;
        if producer == self.producer && ahead < i32::MAX / 2 {
            self.acknowledged = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_again_after_the_greatest() {
        assert_eq!(after(5, 3), 8);
        assert_eq!(after(i32::MAX, 1), 0);
        assert_eq!(after(i32::MAX - 1, 5), 3);
        let producer = ProducerId { id: 1, epoch: 0 };
        let mut sequences = Sequences { next: i32::MAX, ..Sequences::new(producer) };
        assert_eq!(sequences.assign(3), (producer, i32::MAX));
        assert_eq!(sequences.next, 2);
    }

    #[test]
    fn what_is_acknowledged_never_goes_back() {
        let producer = ProducerId { id: 1, epoch: 0 };
        let mut sequences = Sequences::new(producer);
        sequences.acknowledge((producer, 10));
        sequences.acknowledge((producer, 4));
        sequences.acknowledge((ProducerId { epoch: 1, ..producer }, 20));
        assert_eq!(sequences.acknowledged, 10);
        sequences.acknowledged = i32::MAX - 2;
        sequences.acknowledge((producer, 3));
        assert_eq!(sequences.acknowledged, 3);
    }
}
