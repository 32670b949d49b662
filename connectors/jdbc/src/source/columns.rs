//! Decides which columns of a table say how far it was read, and refuses those that would lose
//! rows.

use millrace_api::{Error, Result};

use crate::dialect::{Connection, Select, TableColumn, Warnings};
use crate::source::config::{Mode, Modes};
use crate::source::patterns::Mapping;
use crate::table::TableId;

/// The columns that say how far was read, as configured.
pub(crate) struct PositionColumns {
    pub(crate) modes: Modes,
    pub(crate) incrementing: String,
    pub(crate) timestamps: Vec<String>,
    pub(crate) incrementing_of: Mapping,
    pub(crate) timestamps_of: Mapping,
}

/// Those of one table or query, each only where the mode looks at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configured {
    /// Empty: the table's own.
    pub(crate) incrementing: Option<String>,
    pub(crate) timestamps: Vec<String>,
}

impl PositionColumns {
    /// Those of a query.
    pub(crate) fn of_query(&self) -> Configured {
        self.in_mode(self.modes.others())
    }

    fn in_mode(&self, mode: Mode) -> Configured {
        Configured {
            incrementing: mode.has_ids().then(|| self.incrementing.clone()),
            timestamps: match mode.has_times() {
                true => self.timestamps.clone(),
                false => Vec::new(),
            },
        }
    }

    /// Those of a table. Fails when the mappings do not tell.
    pub(crate) fn of(&self, table: &TableId) -> Result<Configured> {
        let mode = self.modes.of(table)?;
        let mut columns = self.in_mode(mode);
        if mode.has_ids() && !self.incrementing_of.is_empty() {
            columns.incrementing = Some(self.incrementing_of.columns(table)?.concat());
        }
        if mode.has_times() && !self.timestamps_of.is_empty() {
            columns.timestamps = self.timestamps_of.columns(table)?.to_vec();
        }
        Ok(columns)
    }
}

/// Fills in the columns of a table's primary key where they are the records' key.
pub(super) async fn complete_key(
    select: &mut Select,
    table: &TableId,
    connection: &mut dyn Connection,
) -> Result<()> {
    let Some(key) = select.key.as_mut().filter(|key| key.columns.is_empty()) else {
        return Ok(());
    };
    let mut columns = connection.columns(table).await?;
    columns.retain(|column| column.key > 0);
    columns.sort_by_key(|column| column.key);
    key.columns = columns.into_iter().map(|column| column.name).collect();
    if key.columns.is_empty() {
        select.warnings.once(format!(
            "{table} has no primary key, so its records have no key; declare one, or name columns \
             in key.fields"
        ));
        select.key = None;
    }
    Ok(())
}

/// The columns of a table.
pub(super) struct Columns<'a> {
    table: &'a TableId,
    all: Vec<TableColumn>,
    /// `validate.non.null`
    validate_non_null: bool,
}

impl<'a> Columns<'a> {
    /// Asks the database for them.
    pub(super) async fn of(
        connection: &mut dyn Connection,
        table: &'a TableId,
        validate_non_null: bool,
    ) -> Result<Self> {
        let all = connection.columns(table).await?;
        if all.is_empty() {
            let message = "the table is not there any more; without a table.whitelist the \
                           connector leaves it out by itself after table.poll.interval.ms";
            return Err(Error::fatal(message).context("table", table));
        }
        Ok(Self { table, all, validate_non_null })
    }

    /// The exact name first, then one that differs in case.
    fn named(&self, name: &str) -> Option<&TableColumn> {
        let exact = self.all.iter().find(|c| c.name == name);
        exact.or_else(|| self.all.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }

    /// The incrementing column, as configured, or found where nothing is.
    pub(super) fn incrementing(&self, configured: &str, warnings: &Warnings) -> Result<String> {
        let found = match configured.is_empty() {
            true => self.all.iter().find(|c| c.counts_up),
            false => self.named(configured),
        };
        let Some(column) = found else {
            let message = if configured.is_empty() {
                "the table has no auto-increment column; set incrementing.column.name, or use \
                 mode=bulk"
            } else {
                "the table has no such column; set incrementing.column.name to one that it has"
            };
            return Err(Error::fatal(message)
                .context("table", self.table)
                .context("incrementing.column.name", configured));
        };
        if column.nullable && self.validate_non_null {
            let message = "the incrementing column may be NULL, and rows where it is would never \
                           be read; declare it NOT NULL, choose another, or set \
                           validate.non.null=false to leave such rows out";
            return Err(Error::fatal(message)
                .context("table", self.table)
                .context("column", &column.name));
        }
        if column.nullable {
            self.warn_of_null(&column.name, warnings);
        }
        Ok(column.name.clone())
    }

    /// A column that counts up by itself, so that each row has a number of its own.
    pub(super) fn counting(&self) -> Option<String> {
        let column = self.all.iter().find(|c| c.counts_up && !c.nullable)?;
        Some(column.name.clone())
    }

    /// The timestamp columns under the names that the database has for them. One of them must not
    /// be NULL in any row.
    pub(super) fn check_timestamps(
        &self,
        configured: &mut [String],
        warnings: &Warnings,
    ) -> Result<()> {
        let mut nullable = true;
        for name in configured.iter_mut() {
            let column = self.named(name).ok_or_else(|| {
                let message =
                    "the table has no such column; set timestamp.column.name to those that it has";
                Error::fatal(message)
                    .context("table", self.table)
                    .context("timestamp.column.name", &*name)
            })?;
            nullable &= column.nullable;
            name.clone_from(&column.name);
        }
        if configured.is_empty() || !nullable {
            return Ok(());
        }
        let names = configured.join(", ");
        if self.validate_non_null {
            let message = "all timestamp columns may be NULL, and rows where they are would never \
                           be read; declare one NOT NULL, add one that is, or set \
                           validate.non.null=false to leave such rows out";
            return Err(Error::fatal(message)
                .context("table", self.table)
                .context("timestamp.column.name", names));
        }
        self.warn_of_null(&names, warnings);
        Ok(())
    }

    fn warn_of_null(&self, columns: &str, warnings: &Warnings) {
        warnings.once(format!(
            "rows of {} where {columns} is NULL are never read, since NULL is beyond nothing",
            self.table
        ));
    }
}
