//! Reads SQLite: its catalog by pragmas, its rows one by one. A column has a declared type, but
//! each value has a type of its own: the first decides the column's form, the second may not fit.

mod survey;
mod target;
mod values;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use millrace_api::{Error, Result};
use sqlx::Connection as _;
use sqlx::Statement as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Executor, Row, SqlSafeStr, SqliteConnection};
use tokio::sync::mpsc;

use self::target::{SqliteGrammar, SqliteTarget};
use self::values::{Declared, Reader, Stored};
use crate::batch::{Batch, Batcher, Field, RowName, Shape};
use crate::calendar::{Calendar, Zone};
use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::Surveyed;
use crate::dialect::target::{Grammar, Target};
use crate::dialect::{
    Connection, Dialect, Isolation, Select, TableColumn, TableFilter, hand_over, joins_outside,
};
use crate::position::{Moment, Times};
use crate::table::TableId;
use crate::url::{SqliteUrl, warn_of_unknown};

/// One SQLite database file.
pub(crate) struct Sqlite {
    options: SqliteConnectOptions,
    path: String,
}

impl Sqlite {
    /// Understands a URL.
    pub(crate) fn new(url: &SqliteUrl) -> Result<Self> {
        let mut options = SqliteConnectOptions::new()
            .filename(&url.path)
            // Waiting a moment for a writer is better than failing.
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(false)
            // A statement is slow while Kafka is, and a masked query must not be logged.
            .disable_statement_logging();
        for (name, value) in url.settings.iter() {
            match name {
                "busy_timeout" => {
                    let millis = value.parse().map_err(|_| {
                        Error::config("busy_timeout in connection.url must be milliseconds")
                            .context("busy_timeout", value)
                    })?;
                    options = options.busy_timeout(Duration::from_millis(millis));
                }
                "foreign_keys" => {
                    options = options.foreign_keys(value.eq_ignore_ascii_case("true"));
                }
                // A file has no users: some configurations name one nevertheless.
                "user" | "password" => {}
                _ => warn_of_unknown(name, value),
            }
        }
        let path = url.path.display().to_string();
        Ok(Self { options, path })
    }

    async fn open(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection> {
        let connection = options.connect().await;
        connection.map_err(|e| judge(e, Doing::Connecting).context("file", &self.path))
    }
}

#[async_trait]
impl Dialect for Sqlite {
    fn quote_mark(&self) -> char {
        '`'
    }

    /// One writes at a time.
    fn rows_may_be_late(&self) -> bool {
        false
    }

    async fn connect(&self) -> Result<Box<dyn Connection>> {
        let options = self.options.clone().create_if_missing(false).pragma("query_only", "ON");
        Ok(Box::new(SqliteReader(self.open(&options).await?)))
    }

    fn grammar(&self) -> &dyn Grammar {
        &SqliteGrammar
    }

    async fn connect_target(&self, shows_values: bool) -> Result<Box<dyn Target>> {
        let options = self.options.clone().create_if_missing(true);
        Ok(Box::new(SqliteTarget::new(self.open(&options).await?, shows_values)))
    }
}

struct SqliteReader(SqliteConnection);

/// What a pragma tells of a column of a table.
#[derive(Clone, Debug, Default)]
struct Pragma {
    name: String,
    declared: String,
    not_null: bool,
    /// The position in the primary key, from 1; 0 outside of it.
    key: i64,
}

#[async_trait]
impl Connection for SqliteReader {
    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableId>> {
        let wants = |kind: &str| filter.types.iter().any(|t| t.eq_ignore_ascii_case(kind));
        let sql = "SELECT name FROM sqlite_schema \
                   WHERE ((type = 'table' AND ?1) OR (type = 'view' AND ?2)) \
                       AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                   ORDER BY name";
        let rows = sqlx::query(sql)
            .bind(wants("TABLE"))
            .bind(wants("VIEW"))
            .persistent(false)
            .fetch_all(&mut self.0)
            .await
            .map_err(|e| judge(e, Doing::Listing))?;
        let table = |row: &SqliteRow| row.try_get(0).map(|name| TableId::new(None, name));
        let tables: Result<_, sqlx::Error> = rows.iter().map(table).collect();
        tables.map_err(|e| judge(e, Doing::Listing))
    }

    async fn columns(&mut self, table: &TableId) -> Result<Vec<TableColumn>> {
        let columns = pragma(&mut self.0, &table.name, &table.to_string()).await?;
        let keys = columns.iter().filter(|c| c.key > 0).count();
        let column = |c: &Pragma| TableColumn {
            name: c.name.clone(),
            nullable: !c.not_null && c.key == 0,
            // Such a column is the row id by another name.
            counts_up: keys == 1 && c.key == 1 && c.declared.eq_ignore_ascii_case("INTEGER"),
            key: c.key,
        };
        Ok(columns.iter().map(column).collect())
    }

    async fn survey(&mut self) -> Result<Vec<Surveyed>> {
        survey::survey(&mut self.0).await
    }

    /// In whole seconds: `CURRENT_TIMESTAMP` has the second that is not over yet, and more rows of
    /// it may come.
    async fn now(&mut self) -> Result<Moment> {
        let sql = "SELECT CAST(strftime('%s', 'now') AS INTEGER)";
        let judged = |error| judge(error, Doing::Listing);
        let row = sqlx::query(sql).persistent(false).fetch_one(&mut self.0);
        let seconds: i64 = row.await.and_then(|row| row.try_get(0)).map_err(judged)?;
        Ok(Moment::from_millis(seconds.saturating_mul(1000)))
    }

    async fn read(&mut self, select: &Select, batches: &mpsc::Sender<Batch>) -> Result<()> {
        let place = select.place();
        let judged = |error| judge(error, Doing::Reading(&place));
        let has_times = select.written(&SqliteTimes).is_some();
        if has_times && matches!(select.calendar.zone, Zone::Named(_)) {
            let message = "SQLite compares times without rules for clocks that are changed: in the \
                           timestamp modes db.timezone must be UTC or an offset such as +02:00";
            return Err(Error::config(message));
        }
        if select.isolation.is_some_and(|isolation| isolation != Isolation::Serializable) {
            let message = "transaction.isolation.mode has no effect: SQLite reads at SERIALIZABLE";
            select.warnings.once(message.to_owned());
        }
        // From the first statement on, all see the database as it is then.
        sqlx::raw_sql("BEGIN").execute(&mut self.0).await.map_err(judged)?;
        let columns = self.describe(select, &place).await?;
        self.warn_of_unread_times(select, &place).await?;
        let mut rows = Rows { select, columns, has_times, state: None, count: 0 };
        let query = sqlx::query(AssertSqlSafe(sql(select))).persistent(false);
        let mut stream = query.fetch(&mut self.0);
        while let Some(row) = stream.try_next().await.map_err(judged)? {
            rows.add(&row, batches).await?;
        }
        drop(stream);
        if let Some((batcher, _)) = &mut rows.state {
            hand_over(batches, batcher.take()?).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.map_err(judged)?;
        Ok(())
    }

    async fn close(self: Box<Self>) {
        // Nothing was written, so nothing can be lost.
        let _ = self.0.close().await;
    }
}

/// The columns of a table, as its definition has them.
async fn pragma(
    connection: &mut SqliteConnection,
    table: &str,
    place: &str,
) -> Result<Vec<Pragma>> {
    let judged = |error| judge(error, Doing::Reading(place));
    let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1)";
    let rows = sqlx::query(sql)
        .bind(table.to_owned())
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(judged)?;
    let column = |row: &SqliteRow| {
        Ok(Pragma {
            name: row.try_get(0)?,
            declared: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
            not_null: row.try_get::<i64, _>(2)? != 0,
            key: row.try_get(3)?,
        })
    };
    let columns: Result<_, sqlx::Error> = rows.iter().map(column).collect();
    columns.map_err(judged)
}

/// A column of a result.
#[derive(Clone, Debug)]
struct ResultColumn {
    name: String,
    declared: Declared,
    optional: bool,
}

impl SqliteReader {
    /// Rows that hold something else than a time are beyond nothing, and not read.
    async fn warn_of_unread_times(&mut self, select: &Select, place: &str) -> Result<()> {
        let (Some(beyond), Some(written)) = (&select.beyond, select.written(&SqliteTimes)) else {
            return Ok(());
        };
        if !select.warnings.is_new(format!("the times in {place}")) {
            return Ok(());
        }
        let is_there = |column: &String| format!("{} IS NOT NULL", select.column(column));
        let is_there: Vec<String> = beyond.timestamps.iter().map(is_there).collect();
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {written} IS NULL AND ({})",
            select.from(),
            is_there.join(" OR ")
        );
        let judged = |error| judge(error, Doing::Reading(place));
        let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut self.0);
        let count: i64 = row.await.and_then(|row| row.try_get(0)).map_err(judged)?;
        if count > 0 {
            tracing::warn!(
                "{count} rows of {place} are not read, since SQLite cannot tell the time in {}; \
                 write it as 2026-01-31 12:00:00, with Z or +02:00 behind it where it has a zone, \
                 or as milliseconds since 1970",
                beyond.timestamps.join(", ")
            );
        }
        Ok(())
    }

    /// The columns of a query, each with its definition in the table it comes from.
    async fn describe(&mut self, select: &Select, place: &str) -> Result<Vec<ResultColumn>> {
        let judged = |error| judge(error, Doing::Reading(place));
        self.0.clear_cached_statements().await.map_err(judged)?;
        let sql = AssertSqlSafe(sql(select)).into_sql_str();
        let statement = (&mut self.0).prepare(sql).await.map_err(judged)?;
        let mut tables: Vec<(String, Vec<Pragma>)> = Vec::new();
        let mut columns = Vec::new();
        let hidden = usize::from(select.written(&SqliteTimes).is_some());
        for column in &statement.columns()[..statement.columns().len() - hidden] {
            let mut declared = String::new();
            let mut optional = true;
            if let Some(origin) = column.origin().table_column() {
                if !tables.iter().any(|(name, _)| **name == *origin.table) {
                    let pragma = pragma(&mut self.0, &origin.table, place).await?;
                    tables.push((origin.table.to_string(), pragma));
                }
                let of_table = tables.iter().find(|(name, _)| **name == *origin.table);
                let of_table = of_table.map_or(&[][..], |(_, columns)| columns);
                if let Some(found) = of_table.iter().find(|c| *c.name == *origin.name) {
                    declared.clone_from(&found.declared);
                    optional = !found.not_null && found.key == 0;
                }
            }
            columns.push(ResultColumn {
                name: column.name().to_owned(),
                declared: Declared::parse(&declared),
                optional: optional || joins_outside(&select.from),
            });
        }
        Ok(columns)
    }
}

/// The rows of one query on their way into columns.
struct Rows<'a> {
    select: &'a Select,
    columns: Vec<ResultColumn>,
    /// Whether a time stands behind the columns.
    has_times: bool,
    /// Made at the first row, whose values have a say in the forms.
    state: Option<(Batcher, Vec<Reader>)>,
    count: u64,
}

impl Rows<'_> {
    async fn add(&mut self, row: &SqliteRow, batches: &mpsc::Sender<Batch>) -> Result<()> {
        self.count += 1;
        let batch = match self.decode(row) {
            Ok(false) => return Ok(()),
            Ok(true) => self.take()?,
            Err(error) => {
                let before = self.take()?;
                hand_over(batches, before).await?;
                return Err(error.context("table", self.select.place()));
            }
        };
        hand_over(batches, batch).await
    }

    fn take(&mut self) -> Result<Option<Batch>> {
        match &mut self.state {
            Some((batcher, _)) => batcher.take(),
            None => Ok(None),
        }
    }

    /// Takes up a row. Says whether the batch is full.
    fn decode(&mut self, row: &SqliteRow) -> Result<bool> {
        let (batcher, readers) = match &mut self.state {
            Some(state) => state,
            None => self.state.insert(plan(self.select, &self.columns, row)?),
        };
        let mut bytes = 0;
        for (i, reader) in readers.iter().enumerate() {
            let stored = Stored::of(row, i);
            let cells = &mut batcher.cells()[i];
            let read = stored.and_then(|value| {
                bytes += value.len();
                reader.read(value, cells, self.select.calendar)
            });
            if let Err(misfit) = read {
                let name = row_name(batcher, row, self.count);
                return Err(batcher.misfit(i, &misfit, &name));
            }
        }
        let written = match Stored::of(row, readers.len()) {
            Ok(Stored::Integer(millis)) if self.has_times => Some(Moment::from_millis(millis)),
            _ => None,
        };
        Ok(batcher.row_done(bytes, written))
    }
}

/// What is read of a query: behind its columns, when a row was written as SQLite itself compares
/// it, since nobody else rounds as it does.
fn sql(select: &Select) -> String {
    match select.written(&SqliteTimes) {
        Some(written) => select.sql(&format!("*, {written}"), &SqliteTimes),
        None => select.sql("*", &SqliteTimes),
    }
}

struct SqliteTimes;

impl Times for SqliteTimes {
    /// Milliseconds since 1970, whether the column holds them or text. Text without a zone is on
    /// the database's clock.
    fn comparable(&self, column: &str, calendar: Calendar) -> String {
        let millis =
            format!("CAST(round((julianday({column}) - 2440587.5) * 86400000) AS INTEGER)");
        let is_zoned =
            format!("{column} GLOB '*[Zz]' OR {column} GLOB '*[+-][0-9][0-9]:[0-9][0-9]'");
        format!(
            "(CASE WHEN typeof({column}) = 'integer' THEN {column} WHEN {is_zoned} THEN {millis} \
             ELSE {millis} - {ahead_ms} END)",
            ahead_ms = calendar.zone.ahead(0),
        )
    }

    fn literal(&self, moment: Moment, _calendar: Calendar) -> String {
        moment.micros().div_euclid(1000).to_string()
    }
}

fn row_name(batcher: &Batcher, row: &SqliteRow, count: u64) -> RowName {
    let shape = batcher.shape();
    match shape.incrementing.map(|at| (at, Stored::of(row, at))) {
        Some((at, Ok(Stored::Integer(value)))) => RowName::Incrementing {
            column: shape.fields[at].name.clone(),
            value: value.to_string(),
        },
        _ => RowName::Counted(count),
    }
}

/// Decides each column's form, by its declaration and where that leaves it open by the first row.
fn plan(
    select: &Select,
    columns: &[ResultColumn],
    first: &SqliteRow,
) -> Result<(Batcher, Vec<Reader>)> {
    let mut fields = Vec::new();
    let mut readers = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        let value = Stored::of(first, i).unwrap_or(Stored::Null);
        let form = column.declared.form(value, select.mapping);
        readers.push(Reader::new(form, column.optional));
        fields.push(Field {
            name: column.name.clone(),
            form,
            dimensions: 0,
            optional: column.optional,
        });
    }
    let shape = Shape::new(select, fields).map_err(|e| e.context("table", select.place()))?;
    Ok((Batcher::new(shape, select.limits), readers))
}
