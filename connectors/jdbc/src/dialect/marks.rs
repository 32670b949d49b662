//! What statements with a mark for each value are made of, where a database writes them so (`?`).

use crate::dialect::target::TargetField;
use crate::table::{Quoting, TableId};

/// The columns of some fields, with something behind each and something between them.
pub(super) fn columns(
    fields: &[TargetField],
    quoting: Quoting,
    behind: &str,
    between: &str,
) -> String {
    let column = |field: &TargetField| quoting.sql(&field.column) + behind;
    fields.iter().map(column).collect::<Vec<_>>().join(between)
}

/// The keys, which come first, and the others.
pub(super) fn split(fields: &[TargetField]) -> (&[TargetField], &[TargetField]) {
    fields.split_at(fields.iter().take_while(|field| field.is_key).count())
}

/// So many marks in brackets.
pub(super) fn marks(count: usize) -> String {
    format!("({})", vec!["?"; count].join(","))
}

/// Inserts so many rows.
pub(super) fn insert(
    table: &TableId,
    fields: &[TargetField],
    rows: usize,
    quoting: Quoting,
) -> String {
    format!(
        "INSERT INTO {}({}) VALUES {}",
        table.sql(quoting),
        columns(fields, quoting, "", ","),
        vec![marks(fields.len()); rows].join(","),
    )
}
