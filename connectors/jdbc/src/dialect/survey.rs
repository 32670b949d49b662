//! What helps to choose how a table is read, as the catalog has it. No row is read for it.

use crate::table::TableId;

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Surveyed {
    pub(crate) table: TableId,
    /// Estimated; none where nobody has counted.
    pub(crate) rows: Option<i64>,
    /// In the table's order.
    pub(crate) columns: Vec<SurveyedColumn>,
}

/// A column of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SurveyedColumn {
    pub(crate) name: String,
    pub(crate) nullable: bool,
    /// The database hands its values out in order.
    pub(crate) counts_up: bool,
    pub(crate) is_integer: bool,
    /// It holds points in time.
    pub(crate) is_time: bool,
    /// Its place in the primary key, from 1; 0: none.
    pub(crate) key_place: i64,
    /// An index of all rows begins with it.
    pub(crate) leads_index: bool,
}

impl Surveyed {
    /// The names of the primary key's columns, in its order.
    pub(crate) fn key(&self) -> Vec<&str> {
        let mut key: Vec<&SurveyedColumn> =
            self.columns.iter().filter(|c| c.key_place > 0).collect();
        key.sort_by_key(|column| column.key_place);
        key.iter().map(|column| column.name.as_str()).collect()
    }
}

/// Puts rows of the catalog, one a column, together: those of a table follow each other.
pub(crate) fn by_table(
    columns: impl IntoIterator<Item = (TableId, Option<i64>, SurveyedColumn)>,
) -> Vec<Surveyed> {
    let mut tables: Vec<Surveyed> = Vec::new();
    for (table, rows, column) in columns {
        match tables.last_mut() {
            Some(last) if last.table == table => last.columns.push(column),
            _ => tables.push(Surveyed { table, rows, columns: vec![column] }),
        }
    }
    tables
}
