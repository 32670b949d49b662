//! Writes one value as JSON: the definition of what the columnar encoder must equal.

use millrace_api::data::{
    Decimal, Field, Kind, Schema, TIME_MILLIS, Value, append_integer, logical,
};

use crate::json::fault::Fault;
use crate::json::text::{append_base64, append_boolean, append_double, append_single, append_text};
use crate::json::{DecimalFormat, Dialect, Rules};

pub(crate) const MISSING: &str =
    "Conversion error: null value for field that is required and has no default value";

type Result = std::result::Result<(), Fault>;

/// Appends a value. What was appended before an error is the caller's to drop.
pub(crate) fn append_value(
    schema: Option<&Schema>,
    value: &Value,
    options: Rules,
    out: &mut Vec<u8>,
) -> Result {
    match (schema, value) {
        (None, Value::Null) => out.extend_from_slice(b"null"),
        (Some(schema), Value::Null) => return append_null(schema, options, out),
        (None, value) => return append_schemaless(value, options, out),
        (Some(schema), value) => match logical_of(schema) {
            Some(name) => return append_logical(schema, name, value, options, out),
            None => return append_plain(schema, value, options, out),
        },
    }
    Ok(())
}

/// What a null of this schema is written as: the default, or null, or not at all.
pub(crate) fn append_null(schema: &Schema, options: Rules, out: &mut Vec<u8>) -> Result {
    if options.replace_null_with_default
        && let Some(default) = schema.default()
    {
        return append_value(Some(schema), default, options, out);
    }
    if schema.is_optional() || options.dialect == Dialect::JsonSchema {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    Err(Fault::new(MISSING))
}

/// Whether a field that is null does not appear in its object.
pub(crate) fn leaves_null_out(schema: &Schema, options: Rules) -> bool {
    let has_default = options.replace_null_with_default && schema.default().is_some();
    options.dialect == Dialect::JsonSchema && !schema.is_optional() && !has_default
}

/// The name of structs that stand for `oneOf`.
pub(crate) const ONE_OF: &str = "io.confluent.connect.json.OneOf";
/// The parameter of structs that stand for a union in any format.
pub(crate) const UNION: &str = "org.apache.kafka.connect.data.Union";

/// Whether a struct stands for the one of its fields that is not null.
pub(crate) fn is_union(schema: &Schema, options: Rules) -> bool {
    options.dialect == Dialect::JsonSchema
        && schema.kind() == Kind::Struct
        && (schema.name() == Some(ONE_OF) || schema.parameter(UNION).is_some())
}

/// Whether a map is written as an object; one without such keys is an array of its entries.
pub(crate) fn is_object(key: &Schema, options: Rules) -> bool {
    let is_text = key.kind() == Kind::String;
    match options.dialect {
        Dialect::Connect => is_text,
        Dialect::JsonSchema => is_text && !key.is_optional(),
    }
}

/// What stands around and between an entry's key and value, where a map is an array.
pub(crate) fn entry_marks(options: Rules) -> [&'static [u8]; 3] {
    match options.dialect {
        Dialect::Connect => [b"[", b",", b"]"],
        Dialect::JsonSchema => [b"{\"key\":", b",\"value\":", b"}"],
    }
}

/// The name of Connect's own logical types.
pub(crate) fn logical_of(schema: &Schema) -> Option<&'static str> {
    match (schema.kind(), schema.name()?) {
        (Kind::Bytes, logical::DECIMAL) => Some("Decimal"),
        (Kind::Int32, logical::DATE) => Some("Date"),
        (Kind::Int32, logical::TIME) => Some("Time"),
        (Kind::Int64, logical::TIMESTAMP) => Some("Timestamp"),
        _ => None,
    }
}

fn append_logical(
    schema: &Schema,
    name: &str,
    value: &Value,
    options: Rules,
    out: &mut Vec<u8>,
) -> Result {
    match (name, value) {
        ("Decimal", Value::Decimal(number)) => append_decimal(schema, number, options, out),
        ("Date", Value::Date(days)) => {
            append_integer(i64::from(*days), out);
            Ok(())
        }
        ("Time", Value::Time(millis)) => append_time(*millis, out),
        ("Timestamp", Value::Timestamp(millis)) => {
            append_integer(*millis, out);
            Ok(())
        }
        (_, value) => {
            let expected = if name == "Decimal" { "BigDecimal" } else { "Date" };
            let class = value.java_class();
            Err(Fault::new(format!(
                "Invalid type for {name}, expected {expected} but was class {class}"
            )))
        }
    }
}

pub(crate) fn append_time(millis: i32, out: &mut Vec<u8>) -> Result {
    if !TIME_MILLIS.contains(&millis) {
        return Err(Fault::new(
            "Kafka Connect Time type should not have any date fields set to non-zero values.",
        ));
    }
    append_integer(i64::from(millis), out);
    Ok(())
}

fn append_decimal(schema: &Schema, number: &Decimal, options: Rules, out: &mut Vec<u8>) -> Result {
    if options.decimal_format == DecimalFormat::Numeric {
        out.extend_from_slice(number.to_string().as_bytes());
        return Ok(());
    }
    if schema.decimal_scale() != Some(number.scale) {
        return Err(Fault::new(format!(
            "Decimal value has mismatching scale for given Decimal schema. \
             Schema has scale {}, value has scale {}.",
            schema.parameter(logical::SCALE).unwrap_or("none"),
            number.scale
        )));
    }
    append_base64(&number.unscaled.to_signed_bytes_be(), out);
    Ok(())
}

fn append_plain(schema: &Schema, value: &Value, options: Rules, out: &mut Vec<u8>) -> Result {
    match (schema.kind(), value) {
        (Kind::Int8, Value::Int8(n)) => append_integer(i64::from(*n), out),
        (Kind::Int16, Value::Int16(n)) => append_integer(i64::from(*n), out),
        (Kind::Int32, Value::Int32(n)) => append_integer(i64::from(*n), out),
        (Kind::Int64, Value::Int64(n)) => append_integer(*n, out),
        (Kind::Float32, Value::Float32(n)) => append_single(*n, out),
        (Kind::Float64, Value::Float64(n)) => append_double(*n, out),
        (Kind::Boolean, Value::Boolean(b)) => append_boolean(*b, out),
        (Kind::String, Value::String(s)) => append_text(s, out),
        (Kind::Bytes, Value::Bytes(b)) => append_base64(b, out),
        (Kind::Array, Value::Array(items)) => {
            let schema = schema.value_schema().map(|s| &**s);
            return append_array(items, schema, options, out);
        }
        (Kind::Map, Value::Map(entries)) => {
            return append_map(entries, Some(schema), options, out);
        }
        (Kind::Struct, Value::Struct(s)) => {
            if !same_but_default(s.schema(), schema) {
                return Err(Fault::new("Mismatching schema."));
            }
            return append_struct(s.values(), schema, options, out);
        }
        (kind, value) => {
            let kind = match kind {
                Kind::Bytes => "bytes type",
                kind => kind.name(),
            };
            let class = value.java_class();
            return Err(Fault::new(format!("Invalid type for {kind}: class {class}")));
        }
    }
    Ok(())
}

fn append_schemaless(value: &Value, options: Rules, out: &mut Vec<u8>) -> Result {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Int8(n) => append_integer(i64::from(*n), out),
        Value::Int16(n) => append_integer(i64::from(*n), out),
        Value::Int32(n) => append_integer(i64::from(*n), out),
        Value::Int64(n) => append_integer(*n, out),
        Value::Float32(n) => append_single(*n, out),
        Value::Float64(n) => append_double(*n, out),
        Value::Boolean(b) => append_boolean(*b, out),
        Value::String(s) => append_text(s, out),
        Value::Bytes(b) => append_base64(b, out),
        Value::Array(items) => return append_array(items, None, options, out),
        Value::Map(entries) => return append_map(entries, None, options, out),
        Value::Struct(_) => return Err(Fault::new("Mismatching schema.")),
        value => {
            let class = value.java_class();
            return Err(Fault::new(format!(
                "Java class class {class} does not have corresponding schema type."
            )));
        }
    }
    Ok(())
}

fn append_array(
    items: &[Value],
    schema: Option<&Schema>,
    options: Rules,
    out: &mut Vec<u8>,
) -> Result {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        append_value(schema, item, options, out)?;
    }
    out.push(b']');
    Ok(())
}

/// An object where all keys are strings, else an array of pairs.
fn append_map(
    entries: &[(Value, Value)],
    schema: Option<&Schema>,
    options: Rules,
    out: &mut Vec<u8>,
) -> Result {
    let key_schema = schema.and_then(|s| s.key_schema()).map(|s| &**s);
    let value_schema = schema.and_then(|s| s.value_schema()).map(|s| &**s);
    let is_object = match key_schema {
        Some(schema) => is_object(schema, options),
        None => entries.iter().all(|(k, _)| matches!(k, Value::String(_))),
    };
    let [open, between, close] = entry_marks(options);
    out.push(if is_object { b'{' } else { b'[' });
    for (i, (key, value)) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if is_object {
            append_name(key, key_schema, options, out)?;
            out.push(b':');
            append_value(value_schema, value, options, out)?;
        } else {
            out.extend_from_slice(open);
            append_value(key_schema, key, options, out)?;
            out.extend_from_slice(between);
            append_value(value_schema, value, options, out)?;
            out.extend_from_slice(close);
        }
    }
    out.push(if is_object { b'}' } else { b']' });
    Ok(())
}

/// A null key becomes the name `null`, unless a default takes its place.
fn append_name(key: &Value, schema: Option<&Schema>, options: Rules, out: &mut Vec<u8>) -> Result {
    let start = out.len();
    append_value(schema, key, options, out)?;
    if out[start..] == *b"null" {
        out.truncate(start);
        append_text("null", out);
    }
    Ok(())
}

fn append_struct(values: &[Value], schema: &Schema, options: Rules, out: &mut Vec<u8>) -> Result {
    if is_union(schema, options) {
        return append_union(values, schema, options, out);
    }
    let start = out.len();
    for (field, value) in schema.fields().iter().zip(values) {
        if value.is_null() && leaves_null_out(&field.schema, options) {
            continue;
        }
        out.push(if out.len() == start { b'{' } else { b',' });
        append_text(&field.name, out);
        out.push(b':');
        append_value(Some(&field.schema), value, options, out)
            .map_err(|fault| fault.within(&field.name))?;
    }
    if out.len() == start {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// The first field that is not null, or has a default in its place.
fn append_union(values: &[Value], schema: &Schema, options: Rules, out: &mut Vec<u8>) -> Result {
    let is_there = |(field, value): &(&Field, &Value)| {
        !value.is_null() || (options.replace_null_with_default && field.schema.default().is_some())
    };
    match schema.fields().iter().zip(values).find(is_there) {
        Some((field, value)) => append_value(Some(&field.schema), value, options, out),
        None => append_null(schema, options, out),
    }
}

/// A struct that is a schema's default was made before that schema had one.
fn same_but_default(a: &Schema, b: &Schema) -> bool {
    std::ptr::eq(a, b)
        || a == b
        || (b.default().is_some()
            && a.default().is_none()
            && a.name() == b.name()
            && a.fields() == b.fields())
}
