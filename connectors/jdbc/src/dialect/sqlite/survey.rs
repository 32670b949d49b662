//! Describes all tables of a SQLite file.

use millrace_api::Result;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::{Surveyed, SurveyedColumn, by_table};
use crate::table::{Quoting, TableId};

const SURVEY: &str = "\
    SELECT m.name, c.name, NOT c.\"notnull\" AND c.pk = 0, upper(c.type), c.pk, \
        (SELECT count(*) FROM pragma_table_info(m.name) k WHERE k.pk > 0), \
        EXISTS (SELECT 1 FROM pragma_index_list(m.name) i, pragma_index_info(i.name) p \
            WHERE i.partial = 0 AND p.seqno = 0 AND p.name = c.name) \
    FROM sqlite_master m, pragma_table_info(m.name) c \
    WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
    ORDER BY m.name, c.cid";

pub(super) async fn survey(connection: &mut SqliteConnection) -> Result<Vec<Surveyed>> {
    let judged = |error| judge(error, Doing::Listing);
    let rows = sqlx::query(SURVEY).persistent(false).fetch_all(&mut *connection).await;
    let columns: Result<Vec<_>, sqlx::Error> = rows.map_err(judged)?.iter().map(column).collect();
    let mut tables = by_table(columns.map_err(judged)?);
    for table in &mut tables {
        table.rows = highest_row(connection, &table.table).await;
    }
    Ok(tables)
}

fn column(row: &SqliteRow) -> Result<(TableId, Option<i64>, SurveyedColumn), sqlx::Error> {
    let (table, declared): (String, String) = (row.try_get(0)?, row.try_get(3)?);
    let (key_place, keys): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
    // Such a column is the row id by another name, and needs no index.
    let is_row_id = keys == 1 && key_place == 1 && declared == "INTEGER";
    let leads_index: bool = row.try_get(6)?;
    let column = SurveyedColumn {
        name: row.try_get(1)?,
        nullable: row.try_get(2)?,
        counts_up: is_row_id,
        is_integer: declared.contains("INT"),
        is_time: declared.contains("TIMESTAMP") || declared.contains("DATETIME"),
        key_place,
        leads_index: leads_index || is_row_id,
    };
    Ok((TableId::new(None, &table), None, column))
}

/// As good an estimate as there is without reading the table: row ids are mostly counted up. Tables
/// without row ids have none.
async fn highest_row(connection: &mut SqliteConnection, table: &TableId) -> Option<i64> {
    let sql = format!("SELECT max(_rowid_) FROM {}", table.sql(Quoting::Always('`')));
    let highest = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection);
    let highest: Option<i64> = highest.await.ok()?;
    Some(highest.unwrap_or(0))
}
