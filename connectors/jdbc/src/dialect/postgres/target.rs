//! Writes to PostgreSQL: rows go as COPY data, straight into the table or into a temporary table
//! from which one statement takes them.

mod catalog;
mod cell;
mod encode;
mod fault;
mod numeric;
mod route;
mod sql;

use async_trait::async_trait;
use millrace_api::{Error, Result};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Row, ValueRef};

use self::cell::Source;
use self::encode::{HEADER, Rows, TRAILER, Zones};
use self::sql::{Plan, Steps};
use super::grammar::kept;
use crate::dialect::target::{Action, Target, TargetField, TargetTable, Write};
use crate::table::TableId;

/// COPY data is sent in pieces of about this size.
const PIECE: usize = 256 * 1024;
/// More staging tables than this are not kept: each is emptied at each commit.
const STAGINGS: usize = 16;

/// A connection that rows are written through.
pub(super) struct PostgresTarget {
    connection: PgConnection,
    stagings: Vec<Staging>,
    next_staging: u64,
    /// COPY data on its way.
    buffer: Vec<u8>,
}

/// A temporary table that rows of one shape are sent to.
struct Staging {
    name: String,
    definition: String,
    /// Whether it is there for certain: no rollback may have undone it.
    exists: bool,
    /// Whether it may hold rows that were written in this transaction.
    is_full: bool,
}

impl PostgresTarget {
    pub(super) fn new(connection: PgConnection) -> Self {
        Self { connection, stagings: Vec::new(), next_staging: 0, buffer: Vec::new() }
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        (&mut self.connection).execute(sqlx::raw_sql(sql)).await.map(|_| ())
    }

    /// Sends all rows to the table or staging table of a COPY statement.
    async fn copy(&mut self, sql: &str, write: &Write<'_>, plan: &Plan) -> Result<()> {
        let place = write.table.id.to_string();
        let judged = |error| fault::judge(error, &place, write.shows_values);
        let rows = rows(write, plan)?;
        let mut copy = self.connection.copy_in_raw(sql).await.map_err(judged)?;
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.extend_from_slice(HEADER);
        let mut misfit = None;
        for row in 0..write.rows() {
            let start = buffer.len();
            if let Err(found) = rows.put(row, buffer) {
                buffer.truncate(start);
                misfit = Some(found);
                break;
            }
            if buffer.len() >= PIECE {
                copy.send(buffer.as_slice()).await.map_err(judged)?;
                buffer.clear();
                buffer.shrink_to(2 * PIECE);
            }
        }
        buffer.extend(TRAILER);
        copy.send(buffer.as_slice()).await.map_err(judged)?;
        // Also with a misfit: the rows before it go the way of the transaction, whereas a COPY
        // that is given up and has failed already leaves the connection out of step.
        copy.finish().await.map_err(judged)?;
        match misfit {
            None => Ok(()),
            Some((column, misfit)) => Err(Error::data("the table does not take a row")
                .context("table", place)
                .context("column", &write.fields[column].column)
                .context("it holds", misfit)),
        }
    }

    /// An empty staging table of this definition.
    async fn staging(&mut self, definition: &str) -> Result<String, sqlx::Error> {
        let at = match self.stagings.iter().position(|s| s.definition == definition) {
            Some(at) => at,
            None => {
                if self.stagings.len() == STAGINGS {
                    let oldest = self.stagings.remove(0);
                    self.run(&format!("DROP TABLE IF EXISTS {}", oldest.name)).await?;
                }
                let name = format!("pg_temp.millrace_staging_{}", self.next_staging);
                self.next_staging += 1;
                let definition = definition.to_owned();
                let staging = Staging { name, definition, exists: false, is_full: false };
                self.stagings.push(staging);
                self.stagings.len() - 1
            }
        };
        // The one that was used last is dropped last.
        let mut staging = self.stagings.remove(at);
        if !staging.exists {
            self.run(&sql::create(&staging.name, definition)).await?;
        }
        if staging.is_full {
            self.run(&format!("TRUNCATE {}", staging.name)).await?;
        }
        let name = staging.name.clone();
        staging.exists = true;
        staging.is_full = true;
        self.stagings.push(staging);
        Ok(name)
    }

    /// Whether the table is still what the rows were encoded for. The lock that COPY took is held
    /// until the transaction is over, so what is seen now was so when the rows were written.
    async fn is_unaltered(&mut self, write: &Write<'_>) -> Result<bool, sqlx::Error> {
        let table = write.table;
        let now = catalog::describe_any(&mut self.connection, &table.id).await?;
        let column_type = |table: &TargetTable, name: &str| {
            let column = table.columns.iter().find(|column| column.name == name);
            column.map(|column| column.type_name.clone())
        };
        let same = |now: &TargetTable| {
            let mut names = write.fields.iter().map(|field| &field.column);
            names.all(|name| column_type(now, name) == column_type(table, name))
        };
        Ok(now.as_ref().is_some_and(same))
    }

    async fn write_planned(&mut self, write: &Write<'_>, plan: &Plan) -> Result<()> {
        let place = write.table.id.to_string();
        let judged = |error| fault::judge(error, &place, write.shows_values);
        match &plan.steps {
            Steps::Nothing => {}
            Steps::Copy(copy) => {
                self.copy(copy, write, plan).await?;
                if !self.is_unaltered(write).await.map_err(judged)? {
                    let message = "the table was altered while rows were written; it is looked at \
                                   again";
                    return Err(Error::retriable(message).context("table", place));
                }
            }
            Steps::Staged { definition, columns } => {
                let staging = self.staging(definition).await.map_err(judged)?;
                self.copy(&sql::copy(&staging, columns), write, plan).await?;
                let merge = plan.merge(write.action, write.table, write.fields, &staging)?;
                self.run(&merge).await.map_err(judged)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Target for PostgresTarget {
    async fn describe(&mut self, table: &TableId, types: &[String]) -> Result<Option<TargetTable>> {
        let id = TableId {
            schema: table.schema.as_deref().map(|schema| kept(schema).to_owned()),
            name: kept(&table.name).to_owned(),
        };
        let described = catalog::describe(&mut self.connection, &id, types).await;
        described.map_err(|error| fault::judge(error, &table.to_string(), true))
    }

    async fn execute(&mut self, sql: &str) -> Result<()> {
        let word = sql.trim_start().get(..8).unwrap_or_default().to_ascii_uppercase();
        for staging in &mut self.stagings {
            match word.as_str() {
                "ROLLBACK" => {
                    staging.exists = false;
                    staging.is_full = true;
                }
                _ if word.starts_with("COMMIT") => staging.is_full = false,
                _ => {}
            }
        }
        self.run(sql).await.map_err(|error| fault::judge(error, "none", true))
    }

    async fn fetch(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let judged = |error| fault::judge(error, "none", true);
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let rows = query.fetch_all(&mut self.connection).await.map_err(judged)?;
        let text = |row: &sqlx::postgres::PgRow, at: usize| {
            let value = row.try_get_raw(at)?;
            if value.is_null() {
                return Ok(None);
            }
            value.as_str().map(|text| Some(text.to_owned())).map_err(sqlx::Error::Decode)
        };
        let cells = |row: &sqlx::postgres::PgRow| (0..row.len()).map(|at| text(row, at)).collect();
        let rows: Result<_, sqlx::Error> = rows.iter().map(cells).collect();
        rows.map_err(judged)
    }

    async fn write(&mut self, write: &Write<'_>) -> Result<()> {
        if write.rows() == 0 {
            return Ok(());
        }
        let plan = Plan::of(write.action, write.table, write.fields)?;
        self.write_planned(write, &plan).await
    }

    async fn close(self: Box<Self>) {
        // The server forgets the session either way.
        let _ = self.connection.close().await;
    }
}

/// The columns of a write, known by their types.
fn rows<'a>(write: &'a Write<'_>, plan: &'a Plan) -> Result<Rows<'a>> {
    let fields = write.fields.iter().zip(write.arrays).zip(&plan.routes);
    let columns = fields
        .map(|((field, array), route)| {
            let source = Source::of(&field.schema, array).ok_or_else(|| {
                Error::fatal("the field's values are not of its schema's type")
                    .context("table", &write.table.id)
                    .context("field", &field.column)
            })?;
            Ok((source, &route.put))
        })
        .collect::<Result<_>>()?;
    Ok(Rows { columns, zones: Zones { times: write.calendar, dates: write.dates } })
}

/// The statements of a write, for people to read.
pub(super) fn statements(
    action: Action,
    table: &TargetTable,
    fields: &[TargetField],
) -> Vec<String> {
    const STAGING: &str = "pg_temp.millrace_staging_0";
    let written = Plan::of(action, table, fields).and_then(|plan| {
        Ok(match &plan.steps {
            Steps::Nothing => Vec::new(),
            Steps::Copy(copy) => vec![copy.clone()],
            Steps::Staged { definition, columns } => vec![
                sql::create(STAGING, definition),
                sql::copy(STAGING, columns),
                plan.merge(action, table, fields, STAGING)?,
            ],
        })
    });
    written.unwrap_or_else(|error| vec![format!("-- {error}")])
}

#[cfg(test)]
mod tests;
