//! Writes to MySQL and MariaDB: a prepared statement for many rows at a time.

mod cells;
mod fault;
mod grammar;

use std::collections::HashMap;
use std::ops::Range;

use async_trait::async_trait;
use millrace_api::{Error, Result};
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::{AssertSqlSafe, Connection as _, Decode, MySqlConnection, Row};

use self::cells::Cells;
use self::fault::judge;
pub(super) use self::grammar::MySqlGrammar;
use self::grammar::{delete, insert, update};
use crate::dialect::target::{Action, Target, TargetColumn, TargetTable, Write};
use crate::table::TableId;

/// The protocol binds so many values to one statement at most.
const MOST_VALUES: usize = 65_535;
/// More rows a statement are no faster.
const MOST_ROWS: usize = 256;
/// The same for updates, which look each row's values up one by one.
const MOST_UPDATES: usize = 32;
/// Nor are more bytes.
const MOST_BYTES: usize = 4 << 20;
/// What a statement has beside its values.
const OVERHEAD: usize = 1024;

/// An open connection that writes.
pub(super) struct MySqlTarget {
    session: MySqlConnection,
    /// Whether errors may repeat values of rows.
    shows_values: bool,
    /// The server takes no longer statements (`max_allowed_packet`).
    longest: usize,
    /// The columns of each unique index of tables that were upserted to.
    unique: HashMap<TableId, Vec<Vec<String>>>,
}

impl MySqlTarget {
    /// Makes a session ready to write. Values that do not fit are errors in it, as with Java's
    /// drivers, and literals mean what [`MySqlGrammar`] means by them.
    pub(super) async fn new(mut session: MySqlConnection, shows_values: bool) -> Result<Self> {
        let judged = |error| judge(error, "", shows_values);
        let mode = "SET SESSION sql_mode = concat(replace(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''), \
                    ',STRICT_TRANS_TABLES')";
        sqlx::raw_sql(mode).execute(&mut session).await.map_err(judged)?;
        let sql = "SELECT CAST(@@max_allowed_packet AS SIGNED)";
        let row = sqlx::query(sql).persistent(false).fetch_one(&mut session).await;
        let longest: i64 = row.and_then(|row| row.try_get(0)).map_err(judged)?;
        let longest = usize::try_from(longest).unwrap_or(1 << 20);
        Ok(Self { session, shows_values, longest, unique: HashMap::new() })
    }

    /// Runs a statement for each part of the rows, whose SQL depends on how many rows it is for.
    /// They are powers of two, so that few statements are prepared.
    async fn run(
        &mut self,
        write: &Write<'_>,
        most_rows: usize,
        sql: impl Fn(usize) -> String,
    ) -> Result<()> {
        let place = write.table.id.to_string();
        let cells = Cells::of(write)?;
        // An update looks its keys up for each column.
        let values = match write.action {
            Action::Update => cells.len() * cells.len(),
            _ => cells.len(),
        };
        let most_rows = (MOST_VALUES / values.max(1)).clamp(1, most_rows);
        let mut statement = (0, String::new());
        let mut start = 0;
        while start < write.rows() {
            let rest = start..write.rows().min(start + most_rows);
            let fitting = self.fitting(&cells, rest, values / cells.len().max(1));
            let fitting = fitting.map_err(|e| e.context("table", &place))?;
            let rows = 1 << fitting.ilog2();
            if statement.0 != rows {
                statement = (rows, sql(rows));
            }
            let mut arguments = MySqlArguments::default();
            let bound = bind(write, &cells, start..start + rows, &mut arguments);
            bound.map_err(|e| e.context("table", &place))?;
            let query = sqlx::query_with(AssertSqlSafe(statement.1.clone()), arguments);
            let run = query.execute(&mut self.session).await;
            run.map_err(|e| judge(e, &place, self.shows_values))?;
            start += rows;
        }
        Ok(())
    }

    /// How many of these rows one statement takes: one at least. Each value may be in it so many
    /// times.
    fn fitting(&self, cells: &[Cells<'_>], rows: Range<usize>, times: usize) -> Result<usize> {
        let most = MOST_BYTES.min(self.longest / 2) / times;
        let (mut bytes, mut count) = (0, 0);
        for row in rows {
            let size: usize = cells.iter().map(|cells| cells.size(row)).sum();
            if count == 0 && size + OVERHEAD > self.longest {
                let message = "a row is longer than the server takes; raise its \
                               max_allowed_packet above the row's size";
                return Err(Error::data(message)
                    .context("bytes", size)
                    .context("max_allowed_packet", self.longest));
            }
            if count > 0 && bytes + size > most {
                break;
            }
            bytes += size;
            count += 1;
        }
        Ok(count.max(1))
    }

    /// Whether the server can tell that a row of these keys is there already. Else each upsert
    /// would insert.
    async fn check_keys(&mut self, write: &Write<'_>) -> Result<()> {
        let id = &write.table.id;
        if write.table.is_view {
            return Ok(());
        }
        if !self.unique.contains_key(id) {
            let indexes = self.unique_indexes(id).await?;
            warn_of_others(write, &indexes);
            self.unique.insert(id.clone(), indexes);
        }
        let is_key = |column: &String| write.fields.iter().any(|f| f.is_key && f.column == *column);
        if self.unique[id].iter().any(|columns| columns.iter().all(is_key)) {
            return Ok(());
        }
        let message = "the table has no primary key or unique index of the columns of pk.fields, \
                       so that an upsert would always insert; ALTER TABLE … ADD PRIMARY KEY (…), \
                       or change pk.fields";
        Err(Error::fatal(message).context("table", id))
    }

    async fn unique_indexes(&mut self, table: &TableId) -> Result<Vec<Vec<String>>> {
        let sql = "SELECT CAST(index_name AS CHAR), CAST(column_name AS CHAR) \
                   FROM information_schema.statistics \
                   WHERE table_schema = coalesce(?, DATABASE()) AND table_name = ? \
                       AND non_unique = 0 AND column_name IS NOT NULL \
                   ORDER BY index_name, seq_in_index";
        let judged = |error| judge(error, &table.to_string(), self.shows_values);
        let rows = sqlx::query(sql)
            .bind(table.schema.clone())
            .bind(table.name.clone())
            .persistent(false)
            .fetch_all(&mut self.session)
            .await
            .map_err(judged)?;
        let mut indexes: Vec<(String, Vec<String>)> = Vec::new();
        for row in &rows {
            let name: String = row.try_get(0).map_err(judged)?;
            let column: String = row.try_get(1).map_err(judged)?;
            match indexes.last_mut() {
                Some((last, columns)) if *last == name => columns.push(column),
                _ => indexes.push((name, vec![column])),
            }
        }
        Ok(indexes.into_iter().map(|(_, columns)| columns).collect())
    }

    /// A table by its exact name, else by one that the server holds for the same.
    async fn find(&mut self, table: &TableId) -> Result<Option<(String, String)>, sqlx::Error> {
        let sql = "SELECT CAST(table_name AS CHAR), CAST(table_type AS CHAR) \
                   FROM information_schema.tables \
                   WHERE table_schema = coalesce(?, DATABASE()) AND table_name = ? \
                       AND (BINARY table_name = ? OR @@lower_case_table_names <> 0)";
        let row = sqlx::query(sql)
            .bind(table.schema.clone())
            .bind(table.name.clone())
            .bind(table.name.clone())
            .persistent(false)
            .fetch_optional(&mut self.session)
            .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }
}

#[async_trait]
impl Target for MySqlTarget {
    async fn describe(&mut self, table: &TableId, types: &[String]) -> Result<Option<TargetTable>> {
        let place = table.to_string();
        let shows_values = self.shows_values;
        let judged = |error| judge(error, &place, shows_values);
        self.unique.remove(table);
        let Some((name, kind)) = self.find(table).await.map_err(judged)? else { return Ok(None) };
        let is_view = kind == "VIEW";
        let is_wanted = |wanted: &String| match is_view {
            true => wanted.eq_ignore_ascii_case("VIEW"),
            false => !wanted.eq_ignore_ascii_case("VIEW"),
        };
        if !types.iter().any(is_wanted) {
            return Ok(None);
        }
        let sql = "SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR), \
                       CAST(is_nullable = 'YES' AS SIGNED), \
                       CAST(column_default IS NOT NULL OR extra LIKE '%auto_increment%' \
                           OR extra LIKE '%GENERATED%' AS SIGNED), \
                       CAST(column_key = 'PRI' AS SIGNED) \
                   FROM information_schema.columns \
                   WHERE table_schema = coalesce(?, DATABASE()) AND table_name = ? \
                   ORDER BY ordinal_position";
        let rows = sqlx::query(sql)
            .bind(table.schema.clone())
            .bind(name.clone())
            .persistent(false)
            .fetch_all(&mut self.session)
            .await
            .map_err(judged)?;
        let columns: Result<_, sqlx::Error> = rows.iter().map(column).collect();
        Ok(Some(TargetTable {
            id: TableId { schema: table.schema.clone(), name },
            is_view,
            columns: columns.map_err(judged)?,
        }))
    }

    async fn execute(&mut self, sql: &str) -> Result<()> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.session).await;
        run.map(|_| ()).map_err(|e| judge(e, "", self.shows_values))
    }

    async fn fetch(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        // Not prepared, so that all values come as text.
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows = query
            .fetch_all(&mut self.session)
            .await
            .map_err(|e| judge(e, "", self.shows_values))?;
        let text = |row: &MySqlRow, i| {
            let value = row.try_get_raw(i).ok()?;
            let bytes = <&[u8] as Decode<'_, sqlx::MySql>>::decode(value).ok()?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        Ok(rows.iter().map(|row| (0..row.len()).map(|i| text(row, i)).collect()).collect())
    }

    async fn write(&mut self, write: &Write<'_>) -> Result<()> {
        let (id, fields, quoting) = (&write.table.id, write.fields, write.quoting);
        match write.action {
            Action::Insert => {
                self.run(write, MOST_ROWS, |rows| insert(id, fields, rows, false, quoting)).await
            }
            Action::Upsert => {
                self.check_keys(write).await?;
                self.run(write, MOST_ROWS, |rows| insert(id, fields, rows, true, quoting)).await
            }
            Action::Update if fields.iter().all(|field| field.is_key) => Ok(()),
            Action::Update => {
                let sql = |rows| update(id, fields, rows, quoting).unwrap_or_default();
                self.run(write, MOST_UPDATES, sql).await
            }
            Action::Delete => {
                self.run(write, MOST_ROWS, |rows| delete(id, fields, rows, quoting)).await
            }
        }
    }

    async fn close(self: Box<Self>) {
        // Whatever was written is committed or rolled back.
        let _ = self.session.close().await;
    }
}

/// An upsert changes whichever row is equal in any unique index.
fn warn_of_others(write: &Write<'_>, indexes: &[Vec<String>]) {
    let find = |column: &String| write.fields.iter().find(|field| field.column == *column);
    let is_other = |columns: &&Vec<String>| {
        columns.iter().all(|column| find(column).is_some())
            && columns.iter().any(|column| find(column).is_some_and(|field| !field.is_key))
    };
    for columns in indexes.iter().filter(is_other) {
        tracing::warn!(
            "table {} has a unique index of {} beside the columns of pk.fields: a record that is \
             equal to another row in it changes that row; drop the index, or let pk.fields be its \
             columns",
            write.table.id,
            columns.join(", "),
        );
    }
}

/// Binds rows in the order of the statement's marks.
fn bind(
    write: &Write<'_>,
    cells: &[Cells<'_>],
    rows: Range<usize>,
    arguments: &mut MySqlArguments,
) -> Result<()> {
    let mut all = |cells: &[Cells<'_>], row| cells.iter().try_for_each(|c| c.bind(row, arguments));
    if write.action != Action::Update {
        return rows.into_iter().try_for_each(|row| all(cells, row));
    }
    let (keys, values) = cells.split_at(write.fields.iter().take_while(|f| f.is_key).count());
    for value in values {
        // The first that fits counts, and it is to be the last row's.
        for row in rows.clone().rev() {
            if rows.len() > 1 {
                all(keys, row)?;
            }
            all(std::slice::from_ref(value), row)?;
        }
    }
    rows.into_iter().try_for_each(|row| all(keys, row))
}

fn column(row: &MySqlRow) -> Result<TargetColumn, sqlx::Error> {
    let is = |at: usize| row.try_get::<i64, _>(at).map(|number| number != 0);
    Ok(TargetColumn {
        name: row.try_get(0)?,
        type_name: row.try_get(1)?,
        nullable: is(2)?,
        has_default: is(3)?,
        in_primary_key: is(4)?,
    })
}
