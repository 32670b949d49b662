//! What a database must be able to do, whichever it is; and how its errors are judged.

mod judge;
mod marks;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod survey;
pub(crate) mod target;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use millrace_api::{Error, Result};
use tokio::sync::mpsc;

use crate::batch::{Batch, Limits, Shape};
use crate::calendar::{Calendar, Zone};
use crate::dialect::survey::Surveyed;
use crate::dialect::target::{Grammar, Target};
use crate::form::{Granularity, Hstore, NumericMapping};
use crate::gaps::Horizon;
use crate::key::Key;
use crate::position::{Beyond, Moment, Times};
use crate::table::{Quoting, TableId};
use crate::unfinished::Unfinished;

/// A kind of database, and where one is.
#[async_trait]
pub(crate) trait Dialect: Send + Sync {
    /// The mark that names are quoted with.
    fn quote_mark(&self) -> char;

    /// Whether a row may appear below ids that are there already, because its transaction is
    /// committed later than others.
    fn rows_may_be_late(&self) -> bool {
        true
    }

    /// The catalog that offsets of Java's connector may name before a table's own name: whether they
    /// do depends on its driver.
    fn catalog(&self) -> Option<&str> {
        None
    }

    /// Opens a connection: one attempt. [`Retriable`](millrace_api::ErrorKind::Retriable) says
    /// that another may succeed.
    async fn connect(&self) -> Result<Box<dyn Connection>>;

    /// How tables are spelt for the sink.
    fn grammar(&self) -> &dyn Grammar;

    /// Opens a connection to write through: one attempt, as [`connect`](Self::connect).
    /// `shows_values` says whether its errors may repeat values of rows.
    async fn connect_target(&self, shows_values: bool) -> Result<Box<dyn Target>>;
}

/// An open connection. Dropping a call half-way makes it useless: drop it then, too.
#[async_trait]
pub(crate) trait Connection: Send {
    /// The tables there are, ordered by name.
    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableId>>;

    /// A table's columns.
    async fn columns(&mut self, table: &TableId) -> Result<Vec<TableColumn>>;

    /// All tables with what helps to choose how they are read.
    async fn survey(&mut self) -> Result<Vec<Surveyed>> {
        Err(Error::config("tables of this kind of database cannot be described yet"))
    }

    /// The SQL that makes an index by which a table's rows are found, where there is none and the
    /// table is so big that it matters.
    async fn missing_index(&mut self, _table: &TableId, _by: &Beyond) -> Result<Option<String>> {
        Ok(None)
    }

    /// What time it is in the database.
    async fn now(&mut self) -> Result<Moment>;

    /// Which transactions are over. None where the database does not tell, or no row is late.
    async fn horizon(&mut self) -> Result<Option<Horizon>> {
        Ok(None)
    }

    /// Which transactions are not over, and which rows of what is selected those of `before` have
    /// left unseen: for modes by time. None where the database does not tell.
    async fn unfinished(
        &mut self,
        _select: &Select,
        _before: Option<&Unfinished>,
    ) -> Result<Option<(Unfinished, Missed)>> {
        Ok(None)
    }

    /// From where to where the ids in a column go. None where it holds no whole numbers, where the
    /// table is empty, or where the database is not read in parallel.
    async fn extent(&mut self, table: &TableId, column: &str) -> Result<Option<Extent>> {
        let _ = (table, column);
        Ok(None)
    }

    /// Begins a transaction whose view of the data others can share by its name, for as long as
    /// this connection is open. None where the database has no such thing.
    async fn share_view(&mut self) -> Result<Option<Arc<str>>> {
        Ok(None)
    }

    /// Runs a query to its end. Batches are handed over as they fill; rows before one that fails
    /// are handed over before the error is returned.
    async fn read(&mut self, select: &Select, batches: &mpsc::Sender<Batch>) -> Result<()>;

    /// Closes in good manner.
    async fn close(self: Box<Self>);
}

/// Which tables are looked for (`table.types`, `schema.pattern`, `catalog.pattern`).
#[derive(Clone, Debug, Default)]
pub(crate) struct TableFilter {
    pub(crate) types: Vec<String>,
    pub(crate) schema_pattern: Option<String>,
    pub(crate) catalog_pattern: Option<String>,
}

/// Which rows could not be seen by who read before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Missed {
    /// Those for which this SQL is true; none when nobody has read before.
    Rows(Option<String>),
    /// Rows do not tell: they can be read only up to when the oldest transaction began.
    Unknown,
}

/// A column as the catalog has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    pub(crate) nullable: bool,
    pub(crate) counts_up: bool,
    /// Where it stands in the primary key, from 1; 0 outside of it.
    pub(crate) key: i64,
}

/// The ids of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extent {
    pub(crate) ids: RangeInclusive<i64>,
    /// How many rows there are, about.
    pub(crate) rows: u64,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum From {
    Table(TableId),
    /// A `SELECT` that the user wrote.
    Query(String),
}

/// At which level transactions read, other than the database's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// By JDBC's name; none for any other.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "READ_UNCOMMITTED" => Self::ReadUncommitted,
            "READ_COMMITTED" => Self::ReadCommitted,
            "REPEATABLE_READ" => Self::RepeatableRead,
            "SERIALIZABLE" => Self::Serializable,
            _ => return None,
        })
    }

    /// What stands behind ISOLATION LEVEL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "READ UNCOMMITTED",
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

impl From {
    /// How messages name it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Table(table) => table.to_string(),
            Self::Query(_) => "the query".to_owned(),
        }
    }
}

/// One reading of a table or query, and how its rows are made records.
#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) from: From,
    /// Which rows are read, in an incremental mode.
    pub(crate) beyond: Option<Beyond>,
    /// Which columns are the records' keys, if any.
    pub(crate) key: Option<Key>,
    pub(crate) suffix: String,
    pub(crate) quoting: Quoting,
    pub(crate) mapping: NumericMapping,
    /// Whether columns are read that Confluent's connector leaves out, and what `hstore` is then.
    pub(crate) complex: Option<Hstore>,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) granularity: Granularity,
    pub(crate) calendar: Calendar,
    pub(crate) limits: Limits,
    pub(crate) warnings: Warnings,
    /// Whose view of the data to share ([`Connection::share_view`]).
    pub(crate) view: Option<Arc<str>>,
}

impl Select {
    /// All of it, with nothing configured.
    #[cfg(test)]
    pub(crate) fn of(from: From) -> Self {
        Self {
            from,
            beyond: None,
            key: None,
            suffix: String::new(),
            quoting: Quoting::Always('"'),
            mapping: NumericMapping::None,
            complex: None,
            isolation: None,
            granularity: Granularity::default(),
            calendar: Calendar::default(),
            limits: Limits { rows: 1000, bytes: 1 << 20 },
            warnings: Warnings::default(),
            view: None,
        }
    }

    /// The SQL. `columns` stands between SELECT and FROM.
    pub(crate) fn sql(&self, columns: &str, times: &dyn Times) -> String {
        let from = self.from();
        let Some(beyond) = &self.beyond else {
            return self.with_suffix(format!("SELECT {columns} FROM {from}"));
        };
        let rows = beyond.sql(|c| self.column(c), times, self.calendar);
        let written = self.written(times).filter(|_| self.may_cut_ties(beyond));
        let Some(written) = written else {
            return self.with_suffix(format!("SELECT {columns} FROM {from}{rows}"));
        };
        let some = self.with_suffix(format!("SELECT {written} AS millrace_time FROM {from}{rows}"));
        let rows = beyond.with_ties(|c| self.column(c), times, self.calendar, &some);
        format!("SELECT {columns} FROM {from}{rows}")
    }

    /// What stands behind FROM.
    pub(crate) fn from(&self) -> String {
        match &self.from {
            From::Table(table) => table.sql(self.quoting),
            // A comment at its end must not swallow what follows.
            From::Query(query) => {
                let query = query.trim().trim_end_matches(';');
                format!("({query}\n) AS millrace_query")
            }
        }
    }

    fn with_suffix(&self, sql: String) -> String {
        if self.suffix.is_empty() { sql } else { format!("{sql} {}", self.suffix) }
    }

    /// Whether the suffix may end a reading among rows of one time that no id tells apart: those
    /// left would lie before the position, and be lost.
    fn may_cut_ties(&self, beyond: &Beyond) -> bool {
        let suffix = self.suffix.to_ascii_uppercase();
        beyond.incrementing.is_none() && ["LIMIT", "FETCH"].iter().any(|word| suffix.contains(word))
    }

    /// When a row was written, in SQL; none in a mode that does not look at it.
    pub(crate) fn written(&self, times: &dyn Times) -> Option<String> {
        self.beyond.as_ref()?.time(|c| self.column(c), times, self.calendar)
    }

    /// A column in SQL.
    pub(crate) fn column(&self, name: &str) -> String {
        let name = self.quoting.sql(name);
        match &self.from {
            From::Table(table) => format!("{}.{name}", table.sql(self.quoting)),
            From::Query(_) => name,
        }
    }

    /// The name of the records' schema.
    pub(crate) fn record_name(&self) -> Option<&str> {
        match &self.from {
            From::Table(table) => Some(&table.name),
            From::Query(_) => None,
        }
    }

    /// How messages name what is read.
    pub(crate) fn place(&self) -> String {
        self.from.place()
    }
}

/// Makes each warning appear once a task, not once a poll.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<BTreeSet<String>>>);

impl Warnings {
    /// Whether this is looked at for the first time.
    pub(crate) fn is_new(&self, what: String) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what)
    }

    /// Logs a warning unless it was logged before.
    pub(crate) fn once(&self, warning: String) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(&warning) {
            tracing::warn!("{warning}");
            seen.insert(warning);
        }
    }
}

/// Hands a batch over. Nobody takes it any more: the reading was given up.
pub(crate) async fn hand_over(batches: &mpsc::Sender<Batch>, batch: Option<Batch>) -> Result<()> {
    match batch {
        Some(batch) => {
            batches.send(batch).await.map_err(|_| Error::retriable("the reading was given up"))
        }
        None => Ok(()),
    }
}

/// Whether the columns that say when a row was written do, and in one way. `column` gives the type
/// of a column, and whether it says so by what a clock shows; none if not at all.
pub(crate) fn check_times<'a>(
    select: &Select,
    shape: &Shape,
    column: impl Fn(usize) -> (&'a str, Option<bool>),
) -> Result<()> {
    let mut clocks = Vec::new();
    for &at in &shape.timestamps {
        let (kind, is_clock) = column(at);
        let Some(is_clock) = is_clock else {
            let message = "timestamp.column.name names a column whose type does not say when a \
                           row was written; choose a date or timestamp, or cast it to one in query";
            return Err(Error::fatal(message)
                .context("table", select.place())
                .context("column", &shape.fields[at].name)
                .context("type", kind));
        };
        clocks.push(is_clock);
    }
    let is_mixed = clocks.contains(&true) && clocks.contains(&false);
    if is_mixed && select.calendar.zone != Zone::Fixed(0) {
        let message = "timestamp.column.name names columns with a zone (timestamptz, MySQL's \
                       TIMESTAMP) and without, which cannot be compared under a db.timezone other \
                       than UTC; choose columns of one type, or cast them in query";
        return Err(Error::config(message).context("table", select.place()));
    }
    Ok(())
}

/// Whether a column that is NOT NULL in its table may still be NULL: on the outer side of a join.
pub(crate) fn joins_outside(from: &From) -> bool {
    let From::Query(query) = from else {
        return false;
    };
    let words = query.to_ascii_uppercase();
    words.contains("JOIN") && ["LEFT", "RIGHT", "FULL"].iter().any(|w| words.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Part, Position};

    /// Without time columns, so there is nothing to write.
    struct NoTimes;

    impl Times for NoTimes {
        fn literal(&self, _moment: Moment, _calendar: Calendar) -> String {
            unreachable!("no row is chosen by its time")
        }
    }

    fn select(from: From, after: Option<(&str, i64)>) -> Select {
        let beyond = |(column, id): (&str, i64)| Beyond {
            position: Position { timestamp: None, incrementing: Some(id) },
            timestamps: Vec::new(),
            incrementing: Some(column.to_owned()),
            until: Moment::default(),
            part: Part::New,
            unfinished: None,
        };
        Select { beyond: after.map(beyond), ..Select::of(from) }
    }

    #[test]
    fn queries() {
        let table = || From::Table(TableId::new(Some("s"), "t"));
        let bulk = select(table(), None);
        assert_eq!(bulk.sql("*", &NoTimes), r#"SELECT * FROM "s"."t""#);
        let mut incrementing = select(table(), Some(("id", -1)));
        assert_eq!(
            incrementing.sql("*", &NoTimes),
            r#"SELECT * FROM "s"."t" WHERE "s"."t"."id" > -1 ORDER BY "s"."t"."id" ASC"#
        );
        incrementing.suffix = "LIMIT 5".into();
        assert!(incrementing.sql("*", &NoTimes).ends_with("ASC LIMIT 5"));
        incrementing.quoting = Quoting::Never;
        let expected = "SELECT * FROM s.t WHERE s.t.id > -1 ORDER BY s.t.id ASC LIMIT 5";
        assert_eq!(incrementing.sql("*", &NoTimes), expected);
        let query = From::Query("SELECT * FROM a WHERE b -- c;\n; ".into());
        assert_eq!(
            select(query, Some(("id", 7))).sql("\"x\"", &NoTimes),
            "SELECT \"x\" FROM (SELECT * FROM a WHERE b -- c;\n\n) AS millrace_query \
             WHERE \"id\" > 7 ORDER BY \"id\" ASC"
        );
    }
}
