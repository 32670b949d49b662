//! Writes to PostgreSQL: each column of many rows is one parameter of a statement.

mod catalog;
mod cell;
mod encode;
mod fault;
mod literal;
mod numeric;
mod route;
mod sql;

use std::cell::Cell;

use arrow::array::ArrayRef;
use async_trait::async_trait;
use millrace_api::{Error, Result};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, Executor, PgConnection, Row, ValueRef};

use self::cell::Source;
use self::encode::{Column, MAX_BYTES, Zones};
use self::fault::About;
use self::sql::Plan;
use super::grammar::kept;
use crate::dialect::target::{Action, Target, TargetField, TargetTable, Write};
use crate::table::TableId;

/// Rows whose parameters are longer than this are sent in parts.
const MESSAGE: usize = 8 << 20;

/// A connection that rows are written through.
pub(super) struct PostgresTarget {
    session: PgConnection,
    /// Whether errors may repeat values of rows.
    shows_values: bool,
}

impl PostgresTarget {
    pub(super) fn new(session: PgConnection, shows_values: bool) -> Self {
        Self { session, shows_values }
    }

    /// A statement about this table; none: it is not ours to know.
    fn about<'a>(&self, table: Option<&'a TableId>) -> About<'a> {
        About { table, shows_values: self.shows_values }
    }

    /// Writes rows, the parts in order.
    async fn run(&mut self, write: &Write<'_>, plan: &Plan, sql: &str) -> Result<()> {
        let sources = sources(write)?;
        // What is yet to be written, the next part last.
        let mut parts = vec![(0, write.rows())];
        while let Some((start, end)) = parts.pop() {
            let Some((arguments, bytes)) = arguments(write, plan, &sources, (start, end))? else {
                let middle = start.midpoint(end);
                parts.extend([(middle, end), (start, middle)]);
                continue;
            };
            let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments);
            let written = query.execute(&mut self.session).await;
            written.map_err(|error| fault::judge(error, self.about(Some(&write.table.id))))?;
            // What large values needed is not held for ever.
            if bytes > MESSAGE / 8 {
                self.session.shrink_buffers();
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Target for PostgresTarget {
    async fn describe(&mut self, table: &TableId, types: &[String]) -> Result<Option<TargetTable>> {
        let about = self.about(Some(table));
        let judged = |error| fault::judge(error, about);
        // Who looks again has seen that something is not as it was; statements that were prepared
        // know the types of then.
        self.session.clear_cached_statements().await.map_err(judged)?;
        let id = TableId {
            schema: table.schema.as_deref().map(|schema| kept(schema).to_owned()),
            name: kept(&table.name).to_owned(),
        };
        catalog::describe(&mut self.session, &id, types).await.map_err(judged)
    }

    async fn execute(&mut self, sql: &str) -> Result<()> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let ran = (&mut self.session).execute(sql).await;
        ran.map(|_| ()).map_err(|error| fault::judge(error, self.about(None)))
    }

    async fn fetch(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows = query.fetch_all(&mut self.session).await;
        let rows = rows.and_then(|rows| rows.iter().map(texts).collect());
        rows.map_err(|error| fault::judge(error, self.about(None)))
    }

    async fn write(&mut self, write: &Write<'_>) -> Result<()> {
        let plan = Plan::of(write.action, write.table, write.fields)?;
        match &plan.sql {
            Some(sql) if write.rows() > 0 => self.run(write, &plan, sql).await,
            _ => Ok(()),
        }
    }

    async fn close(self: Box<Self>) {
        // The server forgets the session either way.
        let _ = self.session.close().await;
    }
}

/// The columns of a row as texts, which is how raw queries are answered.
fn texts(row: &PgRow) -> Result<Vec<Option<String>>, sqlx::Error> {
    let text = |at: usize| {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(None);
        }
        value.as_str().map(|text| Some(text.to_owned())).map_err(sqlx::Error::Decode)
    };
    (0..row.len()).map(text).collect()
}

/// The columns of a write, known by their types.
fn sources<'a>(write: &'a Write<'_>) -> Result<Vec<Source<'a>>> {
    let source = |(field, array): (&TargetField, &'a ArrayRef)| {
        Source::of(&field.schema, array).ok_or_else(|| {
            Error::fatal("the field's values are not of its schema's type")
                .context("table", &write.table.id)
                .context("field", &field.column)
        })
    };
    write.fields.iter().zip(write.arrays).map(source).collect()
}

/// Some rows as parameters, and how many bytes they are; none where they are several and too long
/// for one message.
fn arguments(
    write: &Write<'_>,
    plan: &Plan,
    sources: &[Source<'_>],
    rows: (usize, usize),
) -> Result<Option<(PgArguments, usize)>> {
    let are_several = rows.1 - rows.0 > 1;
    let mut arguments = PgArguments::default();
    let most = if are_several { MESSAGE } else { MAX_BYTES };
    let room = Cell::new(most);
    let zones = Zones { times: write.calendar, dates: write.dates };
    for ((source, route), field) in sources.iter().zip(&plan.routes).zip(write.fields) {
        match arguments.add(Column { source, route, zones, rows, room: &room }) {
            Ok(()) => {}
            Err(_) if are_several && room.get() == 0 => return Ok(None),
            Err(misfit) => {
                return Err(Error::data("the table does not take a row")
                    .context("table", &write.table.id)
                    .context("column", &field.column)
                    .context("it holds", misfit));
            }
        }
    }
    Ok(Some((arguments, most - room.get())))
}

/// The statements of a write, for people to read.
pub(super) fn statements(
    action: Action,
    table: &TargetTable,
    fields: &[TargetField],
) -> Vec<String> {
    match Plan::of(action, table, fields) {
        Ok(plan) => plan.sql.into_iter().collect(),
        Err(error) => vec![format!("-- {error}")],
    }
}

#[cfg(test)]
mod tests;
