//! Decides which half of a record a transformation works on (`$Key` or `$Value`).

use millrace_api::data::{Column, Records};

/// Half of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Key,
    Value,
}

impl Side {
    /// What it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    pub(crate) fn column(self, records: &Records) -> &Column {
        match self {
            Self::Key => &records.key,
            Self::Value => &records.value,
        }
    }

    /// The records with another column, which has as many rows.
    pub(crate) fn replace(self, mut records: Records, column: Column) -> Records {
        debug_assert_eq!(column.len(), records.len(), "as many rows as records");
        match self {
            Self::Key => records.key = column,
            Self::Value => records.value = column,
        }
        records
    }
}
