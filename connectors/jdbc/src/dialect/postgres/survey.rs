//! Describes all tables of a PostgreSQL database in one query.

use millrace_api::Result;

use super::wire::{Row, Session};
use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::{Surveyed, SurveyedColumn, by_table};
use crate::table::TableId;

/// A table that was never analysed has no estimate (-1).
const SURVEY: &str = "\
    SELECT n.nspname::text, c.relname::text, \
        c.reltuples::bigint, \
        a.attname::text, NOT a.attnotnull, \
        a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%', false), \
        t.typname IN ('int2', 'int4', 'int8'), \
        t.typname IN ('timestamp', 'timestamptz'), \
        coalesce(array_position(k.conkey, a.attnum), 0)::bigint, \
        EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid \
            AND i.indpred IS NULL AND i.indkey[0] = a.attnum) \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' \
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    ORDER BY 1, 2, a.attnum";

pub(super) async fn survey(session: &mut Session) -> Result<Vec<Surveyed>> {
    let judged = |error| judge(error, Doing::Listing);
    let rows = session.rows(SURVEY, &[]).await.map_err(judged)?;
    let columns: Result<Vec<_>, sqlx::Error> = rows.iter().map(column).collect();
    Ok(by_table(columns.map_err(judged)?))
}

fn column(row: &Row) -> Result<(TableId, Option<i64>, SurveyedColumn), sqlx::Error> {
    let (schema, name): (String, String) = (row.get(0)?, row.get(1)?);
    let rows: i64 = row.get(2)?;
    let column = SurveyedColumn {
        name: row.get(3)?,
        nullable: row.get(4)?,
        counts_up: row.get(5)?,
        is_integer: row.get(6)?,
        is_time: row.get(7)?,
        key_place: row.get(8)?,
        leads_index: row.get(9)?,
    };
    Ok((TableId::new(Some(&schema), &name), Some(rows).filter(|rows| *rows >= 0), column))
}
