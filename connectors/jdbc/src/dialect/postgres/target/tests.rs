//! The target against a real server. Skipped, with a message, where none is installed.

mod faults;
mod places;
mod speed;
mod types;
mod writing;

#[path = "../../../../tests/it/server.rs"]
#[allow(dead_code, reason = "tests/it uses the rest")]
mod server;

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray, TimestampMicrosecondArray};
use millrace_api::Error;
use millrace_api::data::{Column, Schema, SchemaRef, Value};
use millrace_testkit::plugin_host::run;

use self::server::Database;
use crate::calendar::Calendar;
use crate::dialect::Dialect;
use crate::dialect::postgres::Postgres;
use crate::dialect::target::{Action, Target, TargetField, TargetTable, Write, has_micros};
use crate::table::{Quoting, TableId};
use crate::url::JdbcUrl;

/// Runs a test with a database that holds this, where there is a server.
fn with(sql: &str, test: impl AsyncFnOnce(Sink)) {
    if let Some(server) = server::server() {
        run(async {
            let database = server.database(sql).await;
            let target = connect(&database, true).await;
            test(Sink { database, target }).await;
        });
    }
}

async fn connect(database: &Database, shows_values: bool) -> Box<dyn Target> {
    let Ok(JdbcUrl::Postgres(url)) = JdbcUrl::parse(&database.url()) else {
        panic!("a PostgreSQL URL")
    };
    Postgres::new(&url).unwrap().connect_target(shows_values).await.unwrap()
}

/// A database and the target under test.
struct Sink {
    database: Database,
    target: Box<dyn Target>,
}

/// Columns of a write: name, schema, values. Those whose name begins with `!` are keys.
type Columns = Vec<(&'static str, SchemaRef, Vec<Value>)>;

fn types() -> Vec<String> {
    ["TABLE", "PARTITIONED TABLE", "VIEW"].map(str::to_owned).into()
}

impl Sink {
    async fn describe(&mut self, table: &str) -> TargetTable {
        let id = TableId::new(None, table);
        self.target.describe(&id, &types()).await.unwrap().expect("the table is there")
    }

    /// Writes in a transaction of its own.
    async fn write(&mut self, action: Action, table: &str, columns: Columns) -> Result<(), Error> {
        let table = self.describe(table).await;
        self.target.execute("BEGIN").await?;
        let written = put(&mut *self.target, action, &table, &columns).await;
        self.target.execute(if written.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        written
    }

    async fn insert(&mut self, table: &str, columns: Columns) -> Result<(), Error> {
        self.write(Action::Insert, table, columns).await
    }

    /// A query's rows, columns joined by `|`, NULL as `-`.
    async fn rows(&mut self, sql: &str) -> Vec<String> {
        let rows = self.target.fetch(sql).await.unwrap();
        let cell = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
        rows.into_iter().map(|r| r.into_iter().map(cell).collect::<Vec<_>>().join("|")).collect()
    }
}

async fn put(
    target: &mut dyn Target,
    action: Action,
    table: &TargetTable,
    columns: &Columns,
) -> Result<(), Error> {
    let field = |(name, schema, _): &(&str, SchemaRef, Vec<Value>)| TargetField {
        column: name.trim_start_matches('!').to_owned(),
        schema: Arc::clone(schema),
        is_key: name.starts_with('!'),
    };
    let fields: Vec<_> = columns.iter().map(field).collect();
    let arrays: Vec<_> = columns.iter().map(|(_, schema, values)| array(schema, values)).collect();
    let write = Write {
        action,
        table,
        fields: &fields,
        arrays: &arrays,
        quoting: Quoting::Always('"'),
        calendar: &Calendar::default(),
        dates: &Calendar::default(),
    };
    target.write(&write).await
}

/// The array of values as the sink hands it over.
fn array(schema: &SchemaRef, values: &[Value]) -> ArrayRef {
    if has_micros(schema) {
        let micros = |value: &Value| match value {
            Value::Timestamp(micros) => Some(*micros),
            _ => None,
        };
        let micros: TimestampMicrosecondArray = values.iter().map(micros).collect();
        return Arc::new(micros.with_timezone("UTC"));
    }
    let column = Column::from_values(Some(Arc::clone(schema)), values.to_vec());
    if schema.arrow_type().is_none() || column.to_array().is_err() {
        let text = |value: &Value| match value {
            Value::Decimal(decimal) => Some(decimal.to_plain_string()),
            _ => None,
        };
        return Arc::new(values.iter().map(text).collect::<StringViewArray>());
    }
    column.to_array().unwrap().expect("Arrow holds the schema")
}

/// An optional schema of a primitive type.
fn of(kind: millrace_api::data::Kind) -> SchemaRef {
    Schema::builder(kind).optional().build()
}
