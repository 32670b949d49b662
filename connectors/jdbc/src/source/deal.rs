//! Decides which task reads which table, and changes few tasks when tables come and go: one that
//! changes restarts.

use std::collections::BTreeSet;

use crate::table::TableId;

/// The tables of each task. None has none.
#[derive(Debug, Default)]
pub(super) struct Deal(Vec<Vec<TableId>>);

impl Deal {
    /// Deals these tables to at most `max` tasks: first as Java does; after that a table stays
    /// where it is, and a new one goes to a task of its own or to the shortest.
    pub(super) fn renew(&mut self, tables: &[TableId], max: usize) -> &[Vec<TableId>] {
        if self.0.is_empty() || self.0.len() > max.max(1) {
            self.0 = contiguous(tables, max);
        } else {
            self.keep(tables, max);
        }
        &self.0
    }

    fn keep(&mut self, tables: &[TableId], max: usize) {
        let mut new: BTreeSet<&TableId> = tables.iter().collect();
        let mut changed: Vec<bool> = Vec::new();
        for group in &mut self.0 {
            let before = group.len();
            group.retain(|table| new.remove(table));
            changed.push(group.len() < before);
        }
        for table in new {
            let shortest = (0..self.0.len()).min_by_key(|&i| (self.0[i].len(), !changed[i]));
            match shortest {
                Some(i) if self.0[i].is_empty() || self.0.len() >= max => {
                    // It is read first: the others were just read.
                    self.0[i].insert(0, table.clone());
                    changed[i] = true;
                }
                _ => {
                    self.0.push(vec![table.clone()]);
                    changed.push(true);
                }
            }
        }
        // The last task takes the number of one that is left without tables.
        for i in (0..self.0.len()).rev() {
            if self.0[i].is_empty() {
                self.0.swap_remove(i);
            }
        }
    }
}

/// Contiguous groups, at most `max`, the first ones longer by one where it does not come out even
/// (`ConnectorUtils.groupPartitions`).
fn contiguous(tables: &[TableId], max: usize) -> Vec<Vec<TableId>> {
    let count = max.clamp(1, tables.len().max(1)).min(tables.len());
    let (each, longer) = match count {
        0 => return Vec::new(),
        _ => (tables.len() / count, tables.len() % count),
    };
    let mut rest = tables;
    let group = |i| {
        let (group, after) = rest.split_at(each + usize::from(i < longer));
        rest = after;
        group.to_vec()
    };
    (0..count).map(group).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tables(names: &str) -> Vec<TableId> {
        names.split_whitespace().map(|n| TableId::new(None, n)).collect()
    }

    fn shown(groups: &[Vec<TableId>]) -> String {
        let group = |g: &Vec<TableId>| g.iter().map(TableId::to_string).collect::<String>();
        groups.iter().map(group).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tables_are_dealt_in_contiguous_groups() {
        for (max, expected) in
            [(2, "abc de"), (3, "ab cd e"), (10, "a b c d e"), (1, "abcde"), (0, "abcde")]
        {
            let mut deal = Deal::default();
            assert_eq!(shown(deal.renew(&tables("a b c d e"), max)), expected);
        }
        assert_eq!(shown(Deal::default().renew(&[], 3)), "");
    }

    #[test]
    fn tables_stay_where_they_are() {
        let mut deal = Deal::default();
        for (names, expected) in [
            ("d e f g h", "de fg h"),
            ("a d e f g h", "de fg ah"),
            ("a b d e f g h", "bde fg ah"),
            ("a b d e g h", "bde g ah"),
            // A table that was renamed stays with its task.
            ("a b d e h x", "bde x ah"),
            ("b d e h x", "bde x h"),
            // The last task takes the place of one without tables.
            ("b d e h", "bde h"),
            ("h", "h"),
            ("h z", "h z"),
            ("", ""),
            ("p q r s", "pq r s"),
        ] {
            assert_eq!(shown(deal.renew(&tables(names), 3)), expected);
        }
        assert_eq!(shown(deal.renew(&tables("p q r s"), 2)), "pq rs", "tasks.max was lowered");
    }

    proptest! {
        #[test]
        fn every_table_is_dealt_once_and_one_that_comes_or_goes_touches_one_task(
            steps in proptest::collection::vec((0..40_usize, any::<bool>()), 1..60),
            max in 1..8_usize,
        ) {
            let mut deal = Deal::default();
            let mut all = BTreeSet::new();
            for (table, comes) in steps {
                let table = TableId::new(None, &format!("t{table:02}"));
                if comes { all.insert(table) } else { all.remove(&table) };
                let before = deal.0.clone();
                let listed: Vec<_> = all.iter().cloned().collect();
                let after = deal.renew(&listed, max);
                prop_assert!(after.len() <= max);
                prop_assert!(after.iter().all(|group| !group.is_empty()));
                let mut dealt = after.concat();
                dealt.sort();
                prop_assert_eq!(&dealt, &listed);
                if !before.is_empty() {
                    let same = |(i, group)| before.get(i) == Some(group);
                    let changed = after.iter().enumerate().filter(|g| !same(*g)).count();
                    prop_assert!(changed <= 1, "{before:?} {after:?}");
                }
            }
        }
    }
}
