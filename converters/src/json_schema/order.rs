//! Decides the order of names in schemas: that of the hash maps in which Java holds them.

use millrace_api::data::{in_hash_map_order, java_string_hash};

/// Where names come from and go to, on Java's side.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    /// A map that was copied into a new one (`new HashMap<>(map)`).
    Copied,
    /// A map whose entries were put into one made for as many (`new HashMap<>(size)`).
    Sized,
    /// A map that grew as it was filled.
    Grown,
}

/// Entries in the order in which such a table gives them back.
pub(crate) fn ordered<T>(entries: &[T], name: impl Fn(&T) -> &str, table: Table) -> Vec<&T> {
    let hash = |entry: &T| java_string_hash(name(entry));
    let grown = in_hash_map_order(entries, |entry| Some(hash(entry)));
    let size = grown.len();
    let buckets = match table {
        Table::Grown => return grown,
        Table::Copied => (size * 4 / 3 + 1).next_power_of_two(),
        Table::Sized => {
            let sized = size.next_power_of_two();
            if size > sized * 3 / 4 { sized * 2 } else { sized }
        }
    };
    let bucket = |entry: &&T| {
        let hash = hash(entry).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    };
    let mut entries = grown;
    // Stable: entries of one bucket stay in the order they came in.
    entries.sort_by_key(bucket);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand from `HashMap`'s source: buckets are `hash & (size - 1)` for short names.
    #[test]
    fn the_size_of_the_table_decides() {
        let names = ["connect.index", "connect.type", "connect.version", "connect.parameters"];
        for table in [Table::Copied, Table::Sized, Table::Grown] {
            let mut sorted: Vec<&str> =
                ordered(&names, |n| n, table).into_iter().copied().collect();
            sorted.sort_unstable();
            assert_eq!(sorted.len(), names.len());
        }
        // 'a' to 'f' are 97 to 102: one apart.
        let letters = ["f", "e", "d", "c", "b", "a"];
        let order =
            |table| ordered(&letters, |n| n, table).into_iter().copied().collect::<String>();
        // 6 / 0.75 + 1 = 9: sixteen buckets.
        assert_eq!(order(Table::Copied), "abcdef");
        // Eight buckets hold six: 96 is the first.
        assert_eq!(order(Table::Sized), "abcdef");
        let two = ["b", "a"];
        // 2 / 0.75 + 1 = 3: four buckets; 97 & 3 = 1, 98 & 3 = 2.
        assert_eq!(ordered(&two, |n| n, Table::Copied), [&"a", &"b"]);
        let four = ["d", "c"];
        // 99 & 3 = 3, 100 & 3 = 0.
        assert_eq!(ordered(&four, |n| n, Table::Copied), [&"d", &"c"]);
        assert_eq!(ordered(&four, |n| n, Table::Grown), [&"c", &"d"]);
    }
}
