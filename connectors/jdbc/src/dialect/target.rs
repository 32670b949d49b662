//! What a database must be able to do for the sink: describe tables, alter them, write rows.
//!
//! Rows come as Arrow columns, one a field. Whoever writes decides how: COPY, statements of many
//! rows, a prepared statement a row.

#![allow(dead_code, reason = "SQLite needs less than other databases, and the preview is to come")]

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type};
use async_trait::async_trait;
use millrace_api::data::{Kind, Schema, SchemaRef, Value};
use millrace_api::{Error, Result};

use crate::calendar::Calendar;
use crate::table::{Quoting, TableId};

/// What is done to the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Every row is new; one that is there already is an error of the new one.
    Insert,
    /// Rows whose key is there are changed, the others inserted. Columns that are not written keep
    /// what they hold.
    Upsert,
    /// Rows whose key is there are changed; the others are left out without a word, as in Java.
    Update,
    /// Rows with these keys are deleted. All fields are keys.
    Delete,
}

/// A table or view that rows are written to, as the catalog has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetTable {
    pub(crate) id: TableId,
    pub(crate) is_view: bool,
    /// In the table's order.
    pub(crate) columns: Vec<TargetColumn>,
}

/// A column of such a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetColumn {
    pub(crate) name: String,
    /// In the database's own words, for the database's own code.
    pub(crate) type_name: String,
    pub(crate) nullable: bool,
    /// Whether a row may leave it out though it is not nullable.
    pub(crate) has_default: bool,
    pub(crate) in_primary_key: bool,
}

/// A field of rows and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TargetField {
    /// As the table spells it.
    pub(crate) column: String,
    pub(crate) schema: SchemaRef,
    /// Whether rows are told apart by it.
    pub(crate) is_key: bool,
}

/// Rows of one shape and what is done with them.
pub(crate) struct Write<'a> {
    pub(crate) action: Action,
    pub(crate) table: &'a TargetTable,
    /// Keys first. Unless inserted, no two rows have the same key; the database may hold keys that
    /// are not [exact](is_exact) for the same all the same, and then the last row counts.
    pub(crate) fields: &'a [TargetField],
    /// One a field, all of the same length, of the field schema's
    /// [Arrow type](Schema::arrow_type), but for
    ///
    /// - decimals that Arrow cannot hold: text, `Utf8View`;
    /// - fields [with microseconds](has_micros): `Timestamp(Microsecond, UTC)`.
    ///
    /// Days and times are as Connect counts them; see `calendar` and `dates`.
    pub(crate) arrays: &'a [ArrayRef],
    pub(crate) quoting: Quoting,
    /// What clocks show in columns of times without zone (`db.timezone`).
    pub(crate) calendar: &'a Calendar,
    /// The same for columns of dates (`date.timezone`).
    pub(crate) dates: &'a Calendar,
}

impl Write<'_> {
    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.arrays.first().map_or(0, |array| array.len())
    }
}

/// Whether values of this schema are equal to a database just where they are the same. Text is not,
/// by its collation or because the column is a UUID or a number, nor is what a column may round.
pub(crate) fn is_exact(schema: &Schema) -> bool {
    let is_plain = schema.name().is_none();
    let kinds = [Kind::Int8, Kind::Int16, Kind::Int32, Kind::Int64, Kind::Boolean];
    is_plain && kinds.contains(&schema.kind())
}

/// The schema of a timestamp that is finer than Connect's own, which has milliseconds.
pub(crate) fn micros(optional: bool) -> SchemaRef {
    let builder = Schema::timestamp_builder().parameter(PRECISION, MICROSECONDS);
    builder.with_optional(optional).build()
}

/// Whether a schema is that of [`micros`].
pub(crate) fn has_micros(schema: &Schema) -> bool {
    schema.parameter(PRECISION) == Some(MICROSECONDS)
}

const PRECISION: &str = "precision";
const MICROSECONDS: &str = "microseconds";

/// Cells as another type that holds all of them.
pub(crate) fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    compute::cast(array, to)
        .map_err(|e| Error::fatal("the database has no such values").with_source(e))
}

/// Cells that are counted, as the numbers behind them.
pub(crate) fn whole_numbers(array: &ArrayRef) -> Result<Int64Array> {
    // Through int32, since dates and times of day have that width.
    let narrow = match array.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(array, &DataType::Int32)?,
        _ => ArrayRef::clone(array),
    };
    Ok(cast(&narrow, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// How a database spells what tables are made of.
pub(crate) trait Grammar: Send + Sync {
    /// The type of a column for values of this schema; none where the database has none. Some types
    /// cannot be part of a key.
    fn column_type(&self, schema: &Schema, is_key: bool) -> Option<String>;

    /// A default value in SQL, escaped; none where it cannot be written.
    fn literal(&self, schema: &Schema, value: &Value) -> Option<String>;

    /// Whether `ALTER TABLE` adds one column a statement.
    fn adds_columns_one_by_one(&self) -> bool {
        false
    }

    /// A name that stands in SQL without quotes, as the database understands it.
    fn unquoted(&self, name: &str) -> String {
        name.to_owned()
    }

    /// A name as the database keeps it, which may cut it off.
    fn kept<'a>(&self, name: &'a str) -> &'a str {
        name
    }

    /// Begins a transaction that is going to write.
    fn begin(&self) -> &'static str {
        "BEGIN"
    }

    /// What stands behind a SELECT so that others wait until the transaction is over.
    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    /// The statements that a write of these fields runs, in order, for people to read.
    fn statements(
        &self,
        action: Action,
        table: &TargetTable,
        fields: &[TargetField],
        quoting: Quoting,
    ) -> Vec<String>;
}

/// An open connection that rows are written through. Dropping a call half-way makes it useless:
/// drop it then, too.
///
/// The kind of an error says what is at fault: [`Data`](millrace_api::ErrorKind::Data) one row or
/// several of those that were being written, [`Retriable`](millrace_api::ErrorKind::Retriable)
/// passing trouble after which the transaction is to be made again on a new connection, any other
/// the table, its rights or the configuration. Each names the table and the SQLSTATE.
#[async_trait]
pub(crate) trait Target: Send {
    /// A table as it is now, of one of these types (`table.types`); none where there is none.
    async fn describe(&mut self, table: &TableId, types: &[String]) -> Result<Option<TargetTable>>;

    /// Runs a statement without rows: DDL, BEGIN, COMMIT, ROLLBACK, SAVEPOINT.
    async fn execute(&mut self, sql: &str) -> Result<()>;

    /// Runs a query whose columns are text or whole numbers; gives them as text.
    async fn fetch(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>>;

    /// Writes rows within the transaction that is open. After an error nothing but a rollback, to
    /// a savepoint or of all, is allowed.
    async fn write(&mut self, write: &Write<'_>) -> Result<()>;

    /// Closes in good manner.
    async fn close(self: Box<Self>);
}
