//! Decides what Debezium's change events say of rows, and what Debezium's types stand for.
//!
//! An event is known by its schema, and other values are rows as they are: somebody may have
//! unwrapped them before.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, make_array};
use arrow::buffer::NullBuffer;
use millrace_api::data::{Column, Kind, Schema, SchemaRef, SinkRecords, Value};
use millrace_api::{Error, Result};

use crate::dialect::target;
use crate::sink::shape::Origin;

/// The rows that these records leave behind: what an event tells to be after it, and null where a
/// row is deleted. Deletes are left out unless they are wanted, and so is the emptying of a whole
/// table, which names no row.
pub(super) fn rows(records: &SinkRecords, deletes: bool) -> Result<SinkRecords> {
    let mut rows = records.clone();
    let column = &records.records.value;
    let mut keep = vec![true; column.len()];
    if let Some(after) = column.schema().and_then(|schema| after(schema)) {
        let truncates = truncates(column)?;
        keep.iter_mut().zip(truncates).for_each(|(keep, truncates)| *keep = !truncates);
        rows.records.value = field(column, after)?;
    }
    let value = &rows.records.value;
    if !deletes {
        keep.iter_mut().enumerate().for_each(|(row, keep)| *keep &= !value.is_null(row));
    }
    if keep.contains(&false) {
        rows.records = rows.records.filter(&BooleanArray::from(keep));
    }
    Ok(rows)
}

/// Where an event of this schema says what the row is now; none for other values.
fn after(schema: &Schema) -> Option<usize> {
    schema.field("op").filter(|(_, op)| op.schema.kind() == Kind::String)?;
    schema.field("before")?;
    let (place, after) = schema.field("after")?;
    (after.schema.kind() == Kind::Struct).then_some(place)
}

/// Which events say that the whole table was emptied.
fn truncates(column: &Column) -> Result<Vec<bool>> {
    let place = column.schema().and_then(|schema| schema.field("op")).map(|(place, _)| place);
    let ops = field(column, place.unwrap_or_default())?;
    let rows = ops.rows()?;
    Ok(rows.iter().map(|op| matches!(op, Value::String(op) if **op == *"t")).collect())
}

/// A field of each struct; null where there is no struct.
fn field(column: &Column, place: usize) -> Result<Column> {
    let schema = |schema: &SchemaRef| SchemaRef::clone(&schema.fields()[place].schema);
    Ok(match column {
        Column::Typed { schema: outer, array } => {
            Column::Typed { schema: schema(outer), array: child(array, place)? }
        }
        _ => {
            let cell = |value: &Value| match value {
                Value::Struct(fields) => fields.values().get(place).cloned().unwrap_or_default(),
                _ => Value::Null,
            };
            let values = column.rows()?.iter().map(cell).collect();
            Column::Rows { schema: column.schema().map(schema), values }
        }
    })
}

fn child(array: &ArrayRef, place: usize) -> Result<ArrayRef> {
    let child = array.as_struct().column(place);
    let nulls = NullBuffer::union(array.nulls(), child.nulls());
    let data = child.to_data().into_builder().nulls(nulls).build();
    data.map(make_array).map_err(|e| Error::fatal("these events cannot be read").with_source(e))
}

/// What a field of one of Debezium's types stands for, and how it is got; none for other fields.
///
/// Times of day that are finer than milliseconds, as Connect has them, stay the numbers they are.
pub(super) fn meant(schema: &Schema, place: usize) -> Option<(SchemaRef, Origin)> {
    let moment = |per| (target::micros(schema.is_optional()), Origin::ValueMoment(place, per));
    let builder = match (schema.name()?, schema.kind()) {
        ("io.debezium.time.Date", Kind::Int32) => Schema::date_builder(),
        ("io.debezium.time.Time", Kind::Int32) => Schema::time_builder(),
        ("io.debezium.time.Timestamp", Kind::Int64) => Schema::timestamp_builder(),
        ("io.debezium.time.MicroTimestamp", Kind::Int64) => return Some(moment(1)),
        ("io.debezium.time.NanoTimestamp", Kind::Int64) => return Some(moment(1000)),
        ("io.debezium.time.ZonedTimestamp", Kind::String) => return Some(moment(1)),
        _ => return None,
    };
    Some((builder.with_optional(schema.is_optional()).build(), Origin::ValueCount(place)))
}
