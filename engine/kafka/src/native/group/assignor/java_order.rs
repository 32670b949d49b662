//! Decides in which order Java's collections give what they hold, for choices that Java leaves to
//! them.

use std::cmp::Ordering;

/// `String.compareTo`: by UTF-16 unit.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// `String.hashCode`.
pub(super) fn hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// `TopicPartition.hashCode`.
pub(super) fn hash_of_partition(topic: &str, partition: i32) -> i32 {
    31_i32.wrapping_add(partition).wrapping_mul(31).wrapping_add(hash(topic))
}

/// The order in which a `HashMap` or `HashSet` gives what was put into it in this order, each with
/// its hash: by bucket, then as it was put. (Java rearranges buckets of more than eight, which is
/// not followed here: no two generations agree on those by chance.)
pub(super) fn of_map(hashes: impl ExactSizeIterator<Item = i32>) -> Vec<usize> {
    let mut buckets = 16;
    // It doubles when three quarters are passed.
    while hashes.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    let hashes: Vec<_> = hashes.map(i32::cast_unsigned).collect();
    let bucket = |i: &usize| (hashes[*i] ^ (hashes[*i] >> 16)) as usize & (buckets - 1);
    let mut order: Vec<_> = (0..hashes.len()).collect();
    order.sort_by_key(bucket);
    order
}
