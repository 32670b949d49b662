//! Data without schema, which go as records that hold one of anything (`ANYTHING_SCHEMA`).

use std::sync::LazyLock;

use bytes::Bytes;
use millrace_api::data::Value;

use crate::avro::encode::{append_bytes, append_long};
use crate::avro::input::Input;
use crate::avro::json::Json;
use crate::avro::names::{ANYTHING, MAP_ENTRY, NAMESPACE};
use crate::avro::schema::{Definition, Document, Named, RecordField, Shape, Type};
use crate::avro::stop::{Stop, fault};
use crate::avro::values::{branch, unique};
use crate::json::Fault;

/// How many arrays and maps may be in each other.
const MAX_DEPTH: usize = 256;

/// Adds the record of anything to the named types.
pub(crate) fn describe(named: &mut Vec<Named>) -> Type {
    let (record, entry) = (named.len(), named.len() + 1);
    let of = |place: usize| Type::plain(Shape::Named(place));
    let array = |place: usize| Shape::Array(Box::new(of(place)));
    let shapes = [
        ("boolean", Shape::Boolean),
        ("bytes", Shape::Bytes),
        ("double", Shape::Double),
        ("float", Shape::Float),
        ("int", Shape::Int),
        ("long", Shape::Long),
        ("string", Shape::String),
        ("array", array(record)),
        ("map", array(entry)),
    ];
    let optional = |(name, shape): (&str, Shape)| {
        let members = vec![Type::plain(Shape::Null), Type::plain(shape)];
        field(name, Type::plain(Shape::Union(members)), Some(Json::Null))
    };
    named.push(definition(ANYTHING.into(), shapes.into_iter().map(optional).collect()));
    let fields = vec![field("key", of(record), None), field("value", of(record), None)];
    named.push(definition(format!("{NAMESPACE}.{MAP_ENTRY}"), fields));
    of(record)
}

fn definition(name: String, fields: Vec<RecordField>) -> Named {
    Named {
        name: name.into(),
        doc: None,
        aliases: Vec::new(),
        properties: Vec::new(),
        definition: Definition::Record(fields),
    }
}

fn field(name: &str, value: Type, default: Option<Json>) -> RecordField {
    RecordField {
        name: name.into(),
        value,
        doc: None,
        default,
        aliases: Vec::new(),
        properties: Vec::new(),
    }
}

/// Whether a schema is that of data without schema.
pub(crate) fn is_described_by(document: &Document) -> bool {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut named = Vec::new();
        let root = describe(&mut named);
        Document { root, named }.to_text()
    });
    document.record_name().is_some_and(|name| &**name == ANYTHING) && document.to_text() == *TEXT
}

/// Reads data without schema. Of several fields that are set, the first counts.
pub(crate) fn read(input: &mut Input<'_>, depth: usize) -> Result<Value, Box<Stop>> {
    if depth > MAX_DEPTH {
        return Err(fault("data without schema are nested too deep"));
    }
    let mut value = Value::Null;
    for place in 0..9 {
        if branch(2, input)? == 0 {
            continue;
        }
        let read = match place {
            0 => Value::Boolean(input.boolean()?),
            1 => Value::Bytes(Bytes::copy_from_slice(input.bytes()?)),
            2 => Value::Float64(input.double()?),
            3 => Value::Float32(input.float()?),
            4 => Value::Int32(input.int()?),
            5 => Value::Int64(input.long()?),
            6 => Value::from(input.text()?),
            7 => Value::Array(read_items(input, depth)?),
            _ => Value::Map(unique(read_entries(input, depth)?)),
        };
        if value.is_null() {
            value = read;
        }
    }
    Ok(value)
}

/// A record has a byte for each of its fields.
const LEAST_BYTES: usize = 9;

fn read_items(input: &mut Input<'_>, depth: usize) -> Result<Vec<Value>, Box<Stop>> {
    let mut items = Vec::new();
    loop {
        let count = input.block(LEAST_BYTES)?;
        if count == 0 {
            return Ok(items);
        }
        for _ in 0..count {
            items.push(read(input, depth + 1)?);
        }
    }
}

fn read_entries(input: &mut Input<'_>, depth: usize) -> Result<Vec<(Value, Value)>, Box<Stop>> {
    let mut entries = Vec::new();
    loop {
        let count = input.block(2 * LEAST_BYTES)?;
        if count == 0 {
            return Ok(entries);
        }
        for _ in 0..count {
            let key = read(input, depth + 1)?;
            entries.push((key, read(input, depth + 1)?));
        }
    }
}

/// Appends a value without schema.
pub(crate) fn append(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let place = match value {
        _ if depth > MAX_DEPTH => {
            return Err(Fault::new("data without schema are nested too deep"));
        }
        Value::Null => {
            out.extend_from_slice(&[0; 9]);
            return Ok(());
        }
        Value::Boolean(_) => 0,
        Value::Float64(_) => 2,
        Value::Float32(_) => 3,
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) => 4,
        Value::Int64(_) => 5,
        Value::String(_) => 6,
        Value::Array(_) => 7,
        Value::Map(_) => 8,
        other => {
            let class = other.java_class();
            return Err(Fault::new(format!("Unknown Java type for schemaless data: {class}")));
        }
    };
    out.extend_from_slice(&[0; 8][..place]);
    out.push(2);
    match value {
        Value::Boolean(value) => out.push(u8::from(*value)),
        Value::Float64(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Float32(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Int8(n) => append_long((*n).into(), out),
        Value::Int16(n) => append_long((*n).into(), out),
        Value::Int32(n) => append_long((*n).into(), out),
        Value::Int64(n) => append_long(*n, out),
        Value::String(text) => append_bytes(text.as_bytes(), out),
        Value::Array(items) => {
            append_count(items.len(), out);
            for item in items {
                append(item, depth + 1, out)?;
            }
            end_blocks(items.len(), out);
        }
        Value::Map(entries) => {
            append_count(entries.len(), out);
            for (key, value) in entries {
                append(key, depth + 1, out)?;
                append(value, depth + 1, out)?;
            }
            end_blocks(entries.len(), out);
        }
        _ => unreachable!("all others were refused"),
    }
    out.extend_from_slice(&[0; 8][place..]);
    Ok(())
}

fn append_count(count: usize, out: &mut Vec<u8>) {
    append_long(count as i64, out);
}

/// The count that ends an array; an empty one has had it.
fn end_blocks(count: usize, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(0);
    }
}
