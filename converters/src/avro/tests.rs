//! Holds the format against its rules, its two ways against each other, and both against
//! apache-avro.

mod bad_input;
mod differential;
mod mapping;
mod resolution;

use millrace_api::config::{Config, Props};
use millrace_api::data::{Schema, Struct, Value};

use super::*;

fn avro(props: &[(&str, &str)]) -> Avro {
    let props: Props = props.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Avro::new(AvroConfig::parse(&props).unwrap())
}

fn schema_text(text: &str) -> SchemaText {
    SchemaText { text: text.into(), references: Vec::new() }
}

fn text_of(schema: &SchemaRef) -> String {
    avro(&[]).describe(Some(schema)).unwrap().schema.text.to_string()
}

fn connect_with(props: &[(&str, &str)], text: &str) -> Result<Option<SchemaRef>> {
    let mut avro = avro(props);
    let reader = avro.compile_reader(&schema_text(text), None)?;
    Ok(avro.readers[reader.0].schema.clone())
}

fn connect(text: &str) -> SchemaRef {
    connect_with(&[], text).unwrap().unwrap()
}

/// Each row's value, or what is wrong with it.
type Read = Vec<std::result::Result<Value, String>>;

fn read_rows(avro: &mut Avro, rows: &[Row<'_>]) -> Read {
    let mut failed = Vec::new();
    let columns = avro.read(rows, &mut failed).unwrap();
    let mut values: Read =
        columns.iter().flat_map(|c| c.rows().unwrap().into_owned()).map(Ok).collect();
    assert_eq!(values.len(), rows.len());
    for RowError { row, error } in failed {
        assert_eq!(values[row], Ok(Value::Null), "a failed row is null");
        values[row] = Err(error.to_string());
    }
    values
}

/// Reads rows as one run, and holds that against each row on its own.
fn read(avro: &mut Avro, schema: Compiled, payloads: &[Option<&[u8]>]) -> Read {
    let rows: Vec<Row<'_>> =
        payloads.iter().map(|payload| Row { schema, payload: *payload }).collect();
    let whole = read_rows(avro, &rows);
    for (row, value) in rows.iter().zip(&whole) {
        assert_eq!(read_rows(avro, std::slice::from_ref(row))[0], *value);
    }
    whole
}

/// Reads so many copies of a payload that they become a column.
fn read_one(text: &str, payload: &[u8]) -> std::result::Result<Value, String> {
    let mut avro = avro(&[]);
    let schema = avro.compile_reader(&schema_text(text), None).unwrap();
    read(&mut avro, schema, &[Some(payload); 20]).swap_remove(7)
}

/// Writes a column with the schema that describes it.
fn write(avro: &mut Avro, column: &Column) -> (SchemaText, Serialized) {
    let schema = avro.describe(column.schema()).unwrap().schema;
    let writer = avro.compile_writer(column.schema(), &schema).unwrap();
    let mut failed = Vec::new();
    let rows = avro.write(writer, column, b"#", &mut failed).unwrap();
    assert!(failed.is_empty(), "row {}: {:?}", failed[0].row, failed[0].error);
    (schema, rows)
}

/// The payloads behind the prefix.
fn payloads(rows: &Serialized) -> Vec<Option<&[u8]>> {
    rows.iter().map(|row| row.map(|bytes| bytes.strip_prefix(b"#").unwrap())).collect()
}

/// A value with structs as lists of their fields, nulls replaced where the writer does so.
fn bare(schema: Option<&Schema>, value: &Value) -> Value {
    let inner = |schema: Option<&SchemaRef>, value: &Value| bare(schema.map(|s| &**s), value);
    match (schema, value) {
        (Some(schema), Value::Array(items)) => {
            Value::Array(items.iter().map(|i| inner(schema.value_schema(), i)).collect())
        }
        (Some(schema), Value::Map(entries)) => {
            let pair = |(k, v): &(Value, Value)| {
                (inner(schema.key_schema(), k), inner(schema.value_schema(), v))
            };
            Value::Map(entries.iter().map(pair).collect())
        }
        (Some(schema), Value::Struct(s)) => {
            let fields = schema.fields().iter().zip(s.values());
            let field = |(field, value): (&millrace_api::data::Field, &Value)| match value {
                Value::Null => field.schema.default().unwrap_or(&Value::Null).clone(),
                value => inner(Some(&field.schema), value),
            };
            Value::Array(fields.map(field).collect())
        }
        _ => value.clone(),
    }
}

fn record(schema: &SchemaRef, values: Vec<Value>) -> Value {
    Value::Struct(Struct::new(Arc::clone(schema), values))
}
