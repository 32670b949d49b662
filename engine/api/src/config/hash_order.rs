//! Decides in which order Java gives back what it keeps in a hash map of strings: some answers and
//! messages show it.

/// `String.hashCode`, spread as `HashMap` does.
fn spread_hash(text: &str) -> u32 {
    let units = text.encode_utf16();
    let hash = units.fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash ^ (hash >> 16)
}

/// Brings items into the order of a `HashMap` or `HashSet` that took their keys in as they are.
/// The keys differ.
pub fn hash_map_order<T>(items: &mut [T], key: impl Fn(&T) -> &str) {
    let mut buckets: u32 = 16;
    while items.len() as u64 > u64::from(buckets) * 3 / 4 {
        buckets *= 2;
    }
    items.sort_by_cached_key(|item| spread_hash(key(item)) & (buckets - 1));
}
