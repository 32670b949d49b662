//! Writes to SQLite: a prepared statement for some rows at a time.

mod cells;
mod fault;
mod grammar;

use async_trait::async_trait;
use millrace_api::{Error, Result};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row, SqliteConnection};

use self::cells::Cells;
use self::fault::judge;
pub(super) use self::grammar::SqliteGrammar;
use self::grammar::{delete, insert, update};
use crate::dialect::target::{Action, Target, TargetColumn, TargetTable, Write};
use crate::table::TableId;

/// So many values are bound to one statement at most, and so many rows: more are no faster.
const MOST_VALUES: usize = 900;
const MOST_ROWS: usize = 64;

/// An open connection that writes.
pub(super) struct SqliteTarget {
    session: SqliteConnection,
    /// Whether errors may repeat values of rows.
    shows_values: bool,
}

impl SqliteTarget {
    pub(super) fn new(session: SqliteConnection, shows_values: bool) -> Self {
        Self { session, shows_values }
    }

    /// Runs a statement for each part of the rows, whose SQL depends on how many rows it is for.
    async fn run(
        &mut self,
        write: &Write<'_>,
        most_rows: usize,
        sql: impl Fn(usize) -> String,
    ) -> Result<()> {
        let cells = write.arrays.iter().map(Cells::of).collect::<Result<Vec<_>>>()?;
        // Values are set before the keys say where.
        let keys = write.fields.iter().take_while(|field| field.is_key).count();
        let mut order: Vec<&Cells<'_>> = cells.iter().collect();
        if write.action == Action::Update {
            order.rotate_left(keys);
        }
        let each = (MOST_VALUES / cells.len().max(1)).clamp(1, most_rows);
        let mut statement = (0, String::new());
        let mut start = 0;
        while start < write.rows() {
            let rows = each.min(write.rows() - start);
            if statement.0 != rows {
                statement = (rows, sql(rows));
            }
            let mut arguments = SqliteArguments::default();
            for row in start..start + rows {
                order.iter().try_for_each(|cells| cells.bind(row, &mut arguments))?;
            }
            let query = sqlx::query_with(AssertSqlSafe(statement.1.clone()), arguments);
            let run = query.execute(&mut self.session).await;
            run.map_err(|e| judge(e, &write.table.id.to_string(), self.shows_values))?;
            start += rows;
        }
        Ok(())
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn describe(&mut self, table: &TableId, types: &[String]) -> Result<Option<TargetTable>> {
        if let Some(schema) = table.schema.as_ref().filter(|s| !s.eq_ignore_ascii_case("main")) {
            let message = "SQLite has no schemas; name the table without one by table.name.map, \
                           such as .*[.](.*):${1}, or set table.name.normalize=true";
            return Err(Error::data(message).context("schema", schema));
        }
        let place = table.to_string();
        let judged = |error| judge(error, &place, self.shows_values);
        let sql = "SELECT name, type FROM main.sqlite_schema \
                   WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')";
        let found = sqlx::query(sql)
            .bind(&table.name)
            .persistent(false)
            .fetch_optional(&mut self.session)
            .await
            .map_err(judged)?;
        let Some(found) = found else { return Ok(None) };
        let (name, kind): (String, String) =
            found.try_get(0).and_then(|name| Ok((name, found.try_get(1)?))).map_err(judged)?;
        if !types.iter().any(|wanted| wanted.eq_ignore_ascii_case(&kind)) {
            return Ok(None);
        }
        let sql = "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk \
                   FROM pragma_table_xinfo(?1, 'main') ORDER BY cid";
        let rows = sqlx::query(sql)
            .bind(&name)
            .persistent(false)
            .fetch_all(&mut self.session)
            .await
            .map_err(judged)?;
        let columns: Result<_, sqlx::Error> = rows.iter().map(column).collect();
        Ok(Some(TargetTable {
            id: TableId { schema: table.schema.clone(), name },
            is_view: kind == "view",
            columns: columns.map_err(judged)?,
        }))
    }

    async fn execute(&mut self, sql: &str) -> Result<()> {
        let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.session).await;
        run.map(|_| ()).map_err(|e| judge(e, "", self.shows_values))
    }

    async fn fetch(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        let rows = query
            .fetch_all(&mut self.session)
            .await
            .map_err(|e| judge(e, "", self.shows_values))?;
        let texts = |row: &SqliteRow| (0..row.len()).map(|i| row.try_get_unchecked(i)).collect();
        let texts: Result<_, sqlx::Error> = rows.iter().map(texts).collect();
        texts.map_err(|e| judge(e, "", self.shows_values))
    }

    async fn write(&mut self, write: &Write<'_>) -> Result<()> {
        let (id, fields, quoting) = (&write.table.id, write.fields, write.quoting);
        match write.action {
            Action::Insert | Action::Upsert => {
                let is_upsert = write.action == Action::Upsert;
                self.run(write, MOST_ROWS, |rows| insert(id, fields, rows, is_upsert, quoting))
                    .await
            }
            Action::Update => match update(id, fields, quoting) {
                Some(sql) => self.run(write, 1, |_| sql.clone()).await,
                None => Ok(()),
            },
            Action::Delete => self.run(write, 1, |_| delete(id, fields, quoting)).await,
        }
    }

    async fn close(self: Box<Self>) {
        // Whatever was written is committed or rolled back.
        let _ = self.session.close().await;
    }
}

fn column(row: &SqliteRow) -> Result<TargetColumn, sqlx::Error> {
    let type_name: String = row.try_get::<Option<String>, _>(1)?.unwrap_or_default();
    let key: i64 = row.try_get(4)?;
    Ok(TargetColumn {
        name: row.try_get(0)?,
        nullable: row.try_get::<i64, _>(2)? == 0,
        // Such a column is the row id by another name.
        has_default: row.try_get::<i64, _>(3)? != 0
            || (key > 0 && type_name.eq_ignore_ascii_case("INTEGER")),
        in_primary_key: key > 0,
        type_name,
    })
}
