//! Decides which partition a record goes to when its producer does not say: Java's murmur2 over
//! the key, so that our producers and Java's agree; records without a key stay together on a
//! partition that changes from run to run.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, BinaryViewArray};

/// Java's `Utils.murmur2`.
pub fn murmur2(bytes: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut h = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^= h >> 15;
    h as i32
}

/// The partition of a key, of `partitions` many.
///
/// # Panics
///
/// When there are no partitions.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & i32::MAX) % partitions
}

/// Where the records of a run go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All to one partition.
    One(i32),
    /// To several: of each partition the rows, in the order of the run.
    Rows(Vec<(i32, Vec<usize>)>),
}

/// Places runs on partitions. One a producer: it remembers where keyless records went.
#[derive(Debug, Default)]
pub struct Partitioner {
    keyless: HashMap<Arc<str>, i32>,
    first: i32,
}

impl Partitioner {
    /// A partitioner whose first keyless run of a topic goes to the partition numbered `first`,
    /// wrapped around: producers with different numbers spread their load from the start.
    pub fn new(first: i32) -> Self {
        Self { keyless: HashMap::new(), first: first & i32::MAX }
    }

    /// Places a run with these keys on a topic with so many partitions.
    ///
    /// # Panics
    ///
    /// When there are no partitions.
    pub fn place(
        &mut self,
        topic: &Arc<str>,
        partitions: i32,
        keys: &BinaryViewArray,
    ) -> Placement {
        if partitions == 1 {
            return Placement::One(0);
        }
        if keys.null_count() == keys.len() {
            return Placement::One(self.next_keyless(topic, partitions));
        }
        let keyless = (keys.null_count() > 0).then(|| self.next_keyless(topic, partitions));
        let mut rows = vec![Vec::new(); partitions as usize];
        for (row, key) in keys.iter().enumerate() {
            let partition = match key {
                Some(key) => partition_of(key, partitions),
                None => keyless.expect("was chosen because keys are null"),
            };
            rows[partition as usize].push(row);
        }
        let placed = (0..).zip(rows).filter(|(_, rows)| !rows.is_empty());
        let mut placed: Vec<_> = placed.collect();
        match &mut placed[..] {
            [(partition, _)] => Placement::One(*partition),
            _ => Placement::Rows(placed),
        }
    }

    fn next_keyless(&mut self, topic: &Arc<str>, partitions: i32) -> i32 {
        let first = self.first;
        let next = match self.keyless.get(topic) {
            Some(last) => (last + 1) % partitions,
            None => first % partitions,
        };
        self.keyless.insert(topic.clone(), next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's `UtilsTest`, and keys of every length up to a word's.
    #[test]
    fn murmur2_is_javas() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
        assert_eq!(partition_of(b"21", 10), (-973_932_308 & i32::MAX) % 10);
    }

    #[test]
    fn keyed_rows_keep_their_order_in_each_partition() {
        let keys: Vec<Option<Vec<u8>>> =
            (0..100u8).map(|i| (i % 5 != 0).then(|| vec![i % 7])).collect();
        let keys = BinaryViewArray::from_iter(keys);
        let Placement::Rows(placed) = Partitioner::new(2).place(&"t".into(), 3, &keys) else {
            panic!("seven keys on three partitions");
        };
        let mut seen = 0;
        for (partition, rows) in placed {
            assert!(rows.is_sorted());
            seen += rows.len();
            for row in rows {
                let expected = match keys.is_valid(row) {
                    true => partition_of(keys.value(row), 3),
                    false => 2,
                };
                assert_eq!(partition, expected);
            }
        }
        assert_eq!(seen, 100);
    }

    #[test]
    fn keyless_runs_stay_together_and_move_on() {
        let keys = BinaryViewArray::from_iter(vec![None::<&[u8]>; 10]);
        let mut partitioner = Partitioner::new(1);
        let topic = Arc::from("t");
        let placed: Vec<_> = (0..4).map(|_| partitioner.place(&topic, 3, &keys)).collect();
        assert_eq!(placed, [1, 2, 0, 1].map(Placement::One));
        assert_eq!(partitioner.place(&"one".into(), 1, &keys), Placement::One(0));
    }
}
