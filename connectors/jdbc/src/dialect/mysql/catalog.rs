//! Decides what `information_schema` is asked, and what is known of the columns of a query.

use std::collections::BTreeMap;

use millrace_api::{Error, Result};
use sqlx::mysql::{MySqlColumn, MySqlRow};
use sqlx::{
    AssertSqlSafe, Column, Executor, MySqlConnection, Row, SqlSafeStr, Statement as _, Type,
    TypeInfo,
};

use super::decode::{ServerColumn, TableType};
use crate::dialect::judge::{Doing, judge};
use crate::dialect::{Extent, From, Select, TableColumn, joins_outside};
use crate::position::Beyond;
use crate::table::{Quoting, TableId};

/// The databases that the server keeps for itself.
const OF_THE_SERVER: &str = "('information_schema', 'mysql', 'performance_schema', 'sys')";

/// The tables there are, ordered by name.
pub(super) async fn tables(
    session: &mut MySqlConnection,
    types: &[String],
    pattern: Option<&str>,
    only_current: bool,
) -> Result<Vec<TableId>> {
    let sql = format!(
        "SELECT CAST(table_schema AS CHAR), CAST(table_name AS CHAR) \
         FROM information_schema.tables \
         WHERE ((? AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') \
                 AND table_schema NOT IN {OF_THE_SERVER}) \
             OR (? AND table_type = 'VIEW' AND table_schema NOT IN {OF_THE_SERVER}) \
             OR (? AND table_type <> 'VIEW' AND table_schema IN {OF_THE_SERVER})) \
           AND (? IS NULL OR table_schema LIKE ?) \
           AND (NOT ? OR table_schema = DATABASE()) \
         ORDER BY 1, 2"
    );
    let wants = |kind: &str| types.iter().any(|t| t.eq_ignore_ascii_case(kind));
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(wants("TABLE"))
        .bind(wants("VIEW"))
        .bind(wants("SYSTEM TABLE"))
        .bind(pattern)
        .bind(pattern)
        .bind(only_current)
        .fetch_all(session)
        .await
        .map_err(|e| judge(e, Doing::Listing))?;
    let table = |row: &MySqlRow| {
        let schema: String = row.try_get(0)?;
        let name: String = row.try_get(1)?;
        Ok(TableId::new(Some(&schema), &name))
    };
    let tables: Result<_, sqlx::Error> = rows.iter().map(table).collect();
    tables.map_err(|e| judge(e, Doing::Listing))
}

/// A column of a table.
struct Known {
    name: String,
    kind: TableType,
    counts_up: bool,
    /// Where it stands in the primary key, from 1; 0 outside of it.
    key: i64,
}

/// A table's columns.
pub(super) async fn columns(
    session: &mut MySqlConnection,
    table: &TableId,
) -> Result<Vec<TableColumn>> {
    let columns = known(session, table).await?;
    let column = |known: Known| TableColumn {
        name: known.name,
        nullable: known.kind.nullable,
        counts_up: known.counts_up,
        key: known.key,
    };
    Ok(columns.into_iter().map(column).collect())
}

/// A table's columns; none where there is no such table.
async fn known(session: &mut MySqlConnection, table: &TableId) -> Result<Vec<Known>> {
    let sql = "SELECT CAST(column_name AS CHAR), CAST(column_type AS CHAR), \
                   CAST(is_nullable = 'YES' AS SIGNED), \
                   CAST(coalesce(numeric_precision, 0) AS SIGNED), \
                   CAST(coalesce(numeric_scale, 0) AS SIGNED), \
                   CAST(extra LIKE '%auto_increment%' AS SIGNED), \
                   CAST(coalesce((SELECT k.ordinal_position \
                       FROM information_schema.key_column_usage k \
                       WHERE k.table_schema = c.table_schema AND k.table_name = c.table_name \
                           AND k.column_name = c.column_name \
                           AND k.constraint_name = 'PRIMARY'), 0) AS SIGNED) \
               FROM information_schema.columns c \
               WHERE table_schema = ? AND table_name = ? \
               ORDER BY ordinal_position";
    let place = table.to_string();
    let rows = sqlx::query(sql)
        .bind(table.schema.clone().unwrap_or_default())
        .bind(table.name.clone())
        .fetch_all(session)
        .await
        .map_err(|e| judge(e, Doing::Reading(&place)))?;
    let column = |row: &MySqlRow| {
        let number = |at: usize| row.try_get::<i64, _>(at);
        let small = |at| number(at).map(|n| i32::try_from(n).unwrap_or_default());
        let kind = TableType {
            full: row.try_get(1)?,
            nullable: number(2)? != 0,
            precision: small(3)?,
            scale: small(4)?,
        };
        let (counts_up, key) = (number(5)? != 0, number(6)?);
        Ok(Known { name: row.try_get(0)?, kind, counts_up, key })
    };
    let columns: Result<_, sqlx::Error> = rows.iter().map(column).collect();
    columns.map_err(|e| judge(e, Doing::Reading(&place)))
}

/// From where to where the ids in a column go; none where it holds other things than whole numbers
/// or the table is empty.
pub(super) async fn extent(
    session: &mut MySqlConnection,
    table: &TableId,
    column: &str,
) -> Result<Option<Extent>> {
    let place = table.to_string();
    let judged = |error| judge(error, Doing::Reading(&place));
    let columns = known(session, table).await?;
    let Some(found) = columns.iter().find(|known| known.name == column) else { return Ok(None) };
    let is_integer = found.kind.full.split(['(', ' ']).next().is_some_and(|t| t.ends_with("int"));
    if !is_integer {
        return Ok(None);
    }
    let (name, quoting) = (Quoting::Always('`').sql(column), Quoting::Always('`'));
    // What is beyond int64 is refused when it is read.
    let limit = i64::MAX;
    let sql = format!(
        "SELECT CAST(min({name}) AS SIGNED), CAST(least(max({name}), {limit}) AS SIGNED), \
             CAST(coalesce((SELECT table_rows FROM information_schema.tables \
                 WHERE table_schema = ? AND table_name = ?), 0) AS SIGNED) \
         FROM {}",
        table.sql(quoting)
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(table.schema.clone().unwrap_or_default())
        .bind(table.name.clone())
        .fetch_one(session)
        .await
        .map_err(judged)?;
    let number = |at| row.try_get::<Option<i64>, _>(at).map_err(judged);
    let (Some(first), Some(last)) = (number(0)?, number(1)?) else { return Ok(None) };
    // A table that was never analysed: as if no id were missing.
    let rows = number(2)?.and_then(|rows| u64::try_from(rows).ok()).filter(|rows| *rows > 0);
    let rows = rows.unwrap_or_else(|| last.abs_diff(first).saturating_add(1));
    Ok(Some(Extent { ids: first..=last, rows }))
}

/// The SQL that makes an index whose first column is the one that says how far was read, where a
/// table of some size has none. Of several times no index that all servers have is of use.
pub(super) async fn missing_index(
    session: &mut MySqlConnection,
    table: &TableId,
    by: &Beyond,
) -> Result<Option<String>> {
    /// So many rows are read in no time.
    const FEW: i64 = 5_000;
    let keys: Vec<&String> = by.timestamps.iter().chain(&by.incrementing).collect();
    let (true, Some(first)) = (by.timestamps.len() < 2, keys.first()) else { return Ok(None) };
    let sql = "SELECT CAST(count(*) AS SIGNED) FROM information_schema.tables t \
               WHERE t.table_schema = ? AND t.table_name = ? AND t.table_rows > ? \
                   AND NOT EXISTS (SELECT 1 FROM information_schema.statistics s \
                       WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name \
                           AND s.seq_in_index = 1 AND s.column_name = ?)";
    let judged = |error| judge(error, Doing::Listing);
    let row = sqlx::query(sql)
        .bind(table.schema.clone().unwrap_or_default())
        .bind(table.name.clone())
        .bind(FEW)
        .bind((*first).clone())
        .fetch_one(session);
    let missing: i64 = row.await.and_then(|row| row.try_get(0)).map_err(judged)?;
    let quoting = Quoting::Always('`');
    let keys: Vec<String> = keys.into_iter().map(|key| quoting.sql(key)).collect();
    let sql = || format!("ALTER TABLE {} ADD INDEX ({})", table.sql(quoting), keys.join(", "));
    Ok((missing > 0).then(sql))
}

/// The digits after the point of expressions, by query and column: each costs a run of the query,
/// so it is found once a connection.
pub(super) type Scales = BTreeMap<(String, String), i32>;

/// The columns of a query with all that the catalog knows of them.
pub(super) async fn describe(
    session: &mut MySqlConnection,
    select: &Select,
    scales: &mut Scales,
) -> Result<Vec<ServerColumn>> {
    let place = select.place();
    let judged = |error| judge(error, Doing::Reading(&place));
    let sql = match &select.from {
        From::Table(table) => format!("SELECT * FROM {}", table.sql(select.quoting)),
        From::Query(query) => query.trim().trim_end_matches(';').to_owned(),
    };
    let sql = AssertSqlSafe(sql).into_sql_str();
    let statement = (&mut *session).prepare(sql).await.map_err(judged)?;
    if statement.columns().is_empty() {
        let message = "this gives no rows; query must be a SELECT";
        return Err(Error::config(message).context("table", place));
    }
    let outside = joins_outside(&select.from);
    let mut origins = Origins::new(select);
    let mut columns = Vec::new();
    for column in statement.columns() {
        let origin = origins.of(session, column).await?;
        let mut described = ServerColumn {
            name: column.name().to_owned(),
            wire: column.type_info().name().to_owned(),
            is_text: <str as Type<sqlx::MySql>>::compatible(column.type_info()),
            origin,
            scale: 0,
            may_be_null: outside,
        };
        if described.origin.is_none() && described.wire == "DECIMAL" {
            described.scale = scale(session, select, &described.name, scales).await?;
        }
        columns.push(described);
    }
    Ok(columns)
}

/// The digits after the point of an expression: as many as a value of it has. The server says it
/// beside each column, but sqlx keeps it to itself.
async fn scale(
    session: &mut MySqlConnection,
    select: &Select,
    column: &str,
    scales: &mut Scales,
) -> Result<i32> {
    let From::Query(query) = &select.from else { return Ok(0) };
    let place = select.place();
    let judged = |error| judge(error, Doing::Reading(&place));
    let known = (query.clone(), column.to_owned());
    if let Some(scale) = scales.get(&known) {
        return Ok(*scale);
    }
    let name = Quoting::Always('`').sql(column);
    let query = query.trim().trim_end_matches(';');
    let sql = format!(
        "SELECT CAST({name} AS CHAR) FROM ({query}\n) AS millrace_query \
         WHERE {name} IS NOT NULL LIMIT 1"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(session).await.map_err(judged)?;
    // Without a value there is nothing to know.
    let Some(row) = row else { return Ok(0) };
    let text: String = row.try_get(0).map_err(judged)?;
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let scale = i32::try_from(fraction).unwrap_or_default();
    scales.insert(known, scale);
    Ok(scale)
}

/// The tables that columns come from, each asked for once.
struct Origins<'a> {
    /// A reading of this table alone: what others there are need not be found out.
    only: Option<&'a TableId>,
    known: Vec<(String, Vec<Known>)>,
}

impl<'a> Origins<'a> {
    fn new(select: &'a Select) -> Self {
        let only = match &select.from {
            From::Table(table) => Some(table),
            From::Query(_) => None,
        };
        Self { only, known: Vec::new() }
    }

    /// What the table says of a column; none for an expression.
    async fn of(
        &mut self,
        session: &mut MySqlConnection,
        column: &MySqlColumn,
    ) -> Result<Option<TableType>> {
        let origin = column.origin();
        let (table, name) = match (self.only, origin.table_column()) {
            // A view's columns are known by the view itself.
            (Some(only), _) => (only.to_string(), column.name()),
            (None, Some(origin)) => (origin.table.to_string(), &*origin.name),
            (None, None) => return Ok(None),
        };
        if !self.known.iter().any(|(known, _)| *known == table) {
            let columns = match self.only {
                Some(only) => known(session, only).await?,
                None => self.find(session, &table).await?,
            };
            self.known.push((table.clone(), columns));
        }
        let columns = self.known.iter().find(|(known, _)| *known == table);
        let columns = columns.map_or(&[][..], |(_, columns)| columns);
        let found = columns.iter().find(|column| column.name == name);
        Ok(found.map(|column| column.kind.clone()))
    }

    /// The columns of a table by its qualified name, in which points may stand anywhere.
    async fn find(&self, session: &mut MySqlConnection, qualified: &str) -> Result<Vec<Known>> {
        for (at, _) in qualified.match_indices('.') {
            let table = TableId::new(Some(&qualified[..at]), &qualified[at + 1..]);
            let columns = known(session, &table).await?;
            if !columns.is_empty() {
                return Ok(columns);
            }
        }
        Ok(Vec::new())
    }
}
