//! Describes all tables of a MySQL or MariaDB server.

use millrace_api::Result;
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row};

use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::{Surveyed, SurveyedColumn, by_table};
use crate::table::TableId;

/// Of the session's database; of all where it has none.
const SURVEY: &str = "\
    SELECT CAST(c.table_schema AS CHAR), CAST(c.table_name AS CHAR), \
        CAST(t.table_rows AS SIGNED), CAST(c.column_name AS CHAR), \
        CAST(c.is_nullable = 'YES' AS SIGNED), \
        CAST(c.extra LIKE '%auto_increment%' AS SIGNED), CAST(c.data_type AS CHAR), \
        CAST(coalesce(max(CASE WHEN s.index_name = 'PRIMARY' THEN s.seq_in_index END), 0) \
            AS SIGNED), \
        CAST(coalesce(max(s.seq_in_index = 1), 0) AS SIGNED) \
    FROM information_schema.tables t \
    JOIN information_schema.columns c \
        ON c.table_schema = t.table_schema AND c.table_name = t.table_name \
    LEFT JOIN information_schema.statistics s \
        ON s.table_schema = c.table_schema AND s.table_name = c.table_name \
        AND s.column_name = c.column_name \
    WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') \
        AND t.table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') \
        AND t.table_schema = coalesce(DATABASE(), t.table_schema) \
    GROUP BY c.table_schema, c.table_name, t.table_rows, c.column_name, c.is_nullable, c.extra, \
        c.data_type, c.ordinal_position \
    ORDER BY c.table_schema, c.table_name, c.ordinal_position";

pub(super) async fn survey(session: &mut MySqlConnection) -> Result<Vec<Surveyed>> {
    let judged = |error| judge(error, Doing::Listing);
    let rows = sqlx::query(SURVEY).persistent(false).fetch_all(session).await.map_err(judged)?;
    let columns: Result<Vec<_>, sqlx::Error> = rows.iter().map(column).collect();
    Ok(by_table(columns.map_err(judged)?))
}

fn column(row: &MySqlRow) -> Result<(TableId, Option<i64>, SurveyedColumn), sqlx::Error> {
    let (schema, table): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let is = |at: usize| row.try_get::<i64, _>(at).map(|number| number != 0);
    let kind: String = row.try_get(6)?;
    let column = SurveyedColumn {
        name: row.try_get(3)?,
        nullable: is(4)?,
        counts_up: is(5)?,
        is_integer: kind.ends_with("int"),
        is_time: matches!(kind.as_str(), "timestamp" | "datetime"),
        key_place: row.try_get(7)?,
        leads_index: is(8)?,
    };
    Ok((TableId::new(Some(&schema), &table), row.try_get(2)?, column))
}
