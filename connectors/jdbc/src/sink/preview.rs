//! Decides what a preview tells of records: the statements that the sink would run for them.
//!
//! The tables are looked up and fitted as when records are written, on a connection that keeps
//! statements to itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_api::config::Props;
use millrace_api::data::SinkRecords;
use millrace_api::{Error, Result};

use crate::dialect::target::{Action, Target, TargetColumn, TargetTable, Write};
use crate::sink::config::SinkConfig;
use crate::sink::rows::Converter;
use crate::sink::shape::Shape;
use crate::sink::tables::Tables;
use crate::table::TableId;

/// What would be done with these records: statements, and how many rows go through them.
pub(super) async fn preview(
    config: SinkConfig,
    props: &Props,
    records: &[SinkRecords],
) -> Result<Vec<String>> {
    config.check()?;
    let config = Arc::new(config);
    let dialect = config.dialect(props)?;
    let mark = dialect.quote_mark();
    let mut converter = Converter::new(&config, mark)?;
    let mut tables = Tables::new(&config, &dialect);
    let mut pretence = Pretence::new(dialect.connect_target(!config.trim_sensitive_log).await?);
    let mut lines = Vec::new();
    // Statements that were shown, and how many rows went through them.
    let mut shown: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for records in records {
        let mut refused = Vec::new();
        let run = converter.convert(Arc::new(records.clone()), &mut refused)?;
        for refused in refused {
            lines.push(format!("-- a record is refused: {}", refused.error));
        }
        for rows in run.parts() {
            pretence.expect(&rows.shape);
            let fitting = match tables.fit(&mut pretence, &rows.shape).await {
                Ok(Some(fitting)) => fitting,
                Ok(None) => continue,
                Err(error) => {
                    lines.push(format!("-- {} row(s) fail: {error}", rows.numbers.len()));
                    continue;
                }
            };
            lines.extend(pretence.said.drain(..).map(|sql| format!("{sql};")));
            let action = if rows.shape.deletes { Action::Delete } else { config.action() };
            let quoting = config.quoting(mark);
            let statements =
                dialect.grammar().statements(action, &fitting.table, &fitting.fields, quoting);
            *shown.entry(statements).or_default() += rows.numbers.len();
        }
    }
    pretence.inner.close().await;
    for (statements, rows) in shown {
        lines.push(format!("-- {rows} row(s):"));
        lines.extend(statements.into_iter().map(|sql| format!("{sql};")));
    }
    Ok(lines)
}

/// A connection that runs no statement, and describes tables as if it had.
struct Pretence {
    inner: Box<dyn Target>,
    /// What it was told to run.
    said: Vec<String>,
    /// What the statements are about to add.
    columns: Vec<TargetColumn>,
    /// Tables that were made or altered, as they would be.
    altered: BTreeMap<TableId, TargetTable>,
    /// Whether something was said since the columns are known.
    has_spoken: bool,
}

impl Pretence {
    fn new(inner: Box<dyn Target>) -> Self {
        let (said, columns) = (Vec::new(), Vec::new());
        Self { inner, said, columns, altered: BTreeMap::new(), has_spoken: false }
    }

    /// Statements from here on are for rows of this shape.
    fn expect(&mut self, shape: &Shape) {
        let column = |i: &usize| {
            let field = &shape.fields[*i];
            TargetColumn {
                name: field.name.clone(),
                type_name: String::new(),
                nullable: !field.is_key && field.schema.is_optional(),
                has_default: field.schema.default().is_some(),
                in_primary_key: field.is_key,
            }
        };
        self.columns = shape.order.iter().map(column).collect();
        self.has_spoken = false;
    }
}

#[async_trait]
impl Target for Pretence {
    async fn describe(&mut self, table: &TableId, types: &[String]) -> Result<Option<TargetTable>> {
        let mut known = match self.altered.get(table) {
            Some(altered) => Some(altered.clone()),
            None => self.inner.describe(table, types).await?,
        };
        if self.has_spoken {
            let there = known.get_or_insert_with(|| TargetTable {
                id: table.clone(),
                is_view: false,
                columns: Vec::new(),
            });
            for column in &self.columns {
                let same = |other: &TargetColumn| other.name.eq_ignore_ascii_case(&column.name);
                if !there.columns.iter().any(same) {
                    there.columns.push(column.clone());
                }
            }
            self.altered.insert(table.clone(), there.clone());
        }
        Ok(known)
    }

    async fn execute(&mut self, sql: &str) -> Result<()> {
        self.said.push(sql.to_owned());
        self.has_spoken = true;
        Ok(())
    }

    async fn fetch(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.inner.fetch(sql).await
    }

    async fn write(&mut self, _write: &Write<'_>) -> Result<()> {
        Err(Error::fatal("a preview writes nothing"))
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}
