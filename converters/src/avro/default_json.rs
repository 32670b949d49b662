//! Writes default values of Connect schemas as JSON, and tells which of them Avro takes.

use millrace_api::data::{Kind, Schema, SchemaRef, Value};
use millrace_api::{Error, Result};

use crate::avro::config::AvroConfig;
use crate::avro::encode::{append_bytes, append_long};
use crate::avro::from_connect::has_text_keys;
use crate::avro::json::Json;
use crate::avro::names;
use crate::avro::schema::{Definition, Document, Shape, Type};
use crate::avro::to_connect;

/// A default as JSON (`AvroData.defaultValueFromConnect`).
pub(crate) fn default_json(schema: &SchemaRef, value: &Value, config: &AvroConfig) -> Result<Json> {
    let inner = |schema: Option<&SchemaRef>, value: &Value| match schema {
        Some(schema) => default_json(schema, value, config),
        None => Err(misfit(schema, value)),
    };
    Ok(match (schema.kind(), value) {
        (_, Value::Null) => Json::Null,
        (_, Value::Int8(n)) => Json::Integer((*n).into()),
        (_, Value::Int16(n)) => Json::Integer((*n).into()),
        (_, Value::Int32(n) | Value::Date(n) | Value::Time(n)) => Json::Integer((*n).into()),
        (_, Value::Int64(n) | Value::Timestamp(n)) => Json::Integer(*n),
        (_, Value::Float32(n)) => Json::Single(*n),
        (_, Value::Float64(n)) => Json::Double(*n),
        (_, Value::Boolean(value)) => Json::Boolean(*value),
        (_, Value::String(text)) => Json::Text(text.clone()),
        (_, Value::Bytes(bytes)) => latin(bytes),
        (_, Value::Decimal(n)) => latin(&n.unscaled.to_signed_bytes_be()),
        (Kind::Array, Value::Array(items)) => {
            let items = items.iter().map(|item| inner(schema.value_schema(), item));
            Json::Array(items.collect::<Result<_>>()?)
        }
        (Kind::Map, Value::Map(entries)) if has_text_keys(schema, config) => {
            let entry = |(key, value): &(Value, Value)| match key {
                Value::String(key) => Ok((key.clone(), inner(schema.value_schema(), value)?)),
                key => Err(misfit(schema.key_schema(), key)),
            };
            Json::Object(entries.iter().map(entry).collect::<Result<_>>()?)
        }
        (Kind::Map, Value::Map(entries)) => {
            let entry = |(key, value): &(Value, Value)| {
                let key = inner(schema.key_schema(), key)?;
                Ok(Json::Array(vec![key, inner(schema.value_schema(), value)?]))
            };
            Json::Array(entries.iter().map(entry).collect::<Result<_>>()?)
        }
        (Kind::Struct, Value::Struct(s)) => {
            let value = |(i, field): (usize, &millrace_api::data::Field)| {
                let value = match &s.values()[i] {
                    Value::Null => field.schema.default().unwrap_or(&Value::Null),
                    value => value,
                };
                default_json(&field.schema, value, config)
            };
            let mut fields = schema.fields().iter().enumerate();
            if names::is_union(schema) {
                return fields.next().map_or(Ok(Json::Null), value);
            }
            let member = |(i, field): (usize, &millrace_api::data::Field)| {
                Ok((names::scrubbed(&field.name, config).into(), value((i, field))?))
            };
            Json::Object(fields.map(member).collect::<Result<_>>()?)
        }
        _ => return Err(misfit(Some(schema), value)),
    })
}

fn misfit(schema: Option<&SchemaRef>, value: &Value) -> Error {
    Error::data("Invalid type used for default value")
        .context("schema type", schema.map_or("none", |s| Schema::kind(s).name()))
        .context("class", value.java_class())
}

fn latin(bytes: &[u8]) -> Json {
    Json::Text(bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into())
}

/// Whether Avro takes this as the default of a field: of a union, for any of its types.
pub(crate) fn fits(document: &Document, what: &Type, json: &Json) -> bool {
    match (&what.shape, json) {
        (Shape::Null, Json::Null)
        | (Shape::Boolean, Json::Boolean(_))
        | (Shape::Long, Json::Integer(_))
        | (Shape::Float | Shape::Double, Json::Integer(_) | Json::Single(_) | Json::Double(_))
        | (Shape::Bytes | Shape::String, Json::Text(_)) => true,
        (Shape::Int, Json::Integer(number)) => i32::try_from(*number).is_ok(),
        (Shape::Array(items), Json::Array(values)) => {
            values.iter().all(|value| fits(document, items, value))
        }
        (Shape::Map(values), Json::Object(members)) => {
            members.iter().all(|(_, value)| fits(document, values, value))
        }
        (Shape::Union(members), json) => members.iter().any(|member| fits(document, member, json)),
        (Shape::Named(place), json) => match (&document.named[*place].definition, json) {
            (Definition::Enum { .. } | Definition::Fixed(_), Json::Text(_)) => true,
            (Definition::Record(fields), Json::Object(_)) => fields.iter().all(|field| {
                let value = json.get(&field.name).or(field.default.as_ref());
                value.is_some_and(|value| fits(document, &field.value, value))
            }),
            _ => false,
        },
        _ => false,
    }
}

/// Appends a default as it is written; none when it does not fit.
pub(crate) fn append_default(
    document: &Document,
    what: &Type,
    json: &Json,
    out: &mut Vec<u8>,
) -> Option<()> {
    match (&what.shape, json) {
        (Shape::Null, Json::Null) => {}
        (Shape::Boolean, Json::Boolean(value)) => out.push(u8::from(*value)),
        (Shape::Int, Json::Integer(number)) => {
            append_long(i32::try_from(*number).ok()?.into(), out);
        }
        (Shape::Long, Json::Integer(number)) => append_long(*number, out),
        (Shape::Float, json) => out.extend_from_slice(&(json.as_double()? as f32).to_le_bytes()),
        (Shape::Double, json) => out.extend_from_slice(&json.as_double()?.to_le_bytes()),
        (Shape::Bytes, Json::Text(text)) => append_bytes(&to_connect::latin(text), out),
        (Shape::String, Json::Text(text)) => append_bytes(text.as_bytes(), out),
        (Shape::Array(items), Json::Array(values)) => {
            append_long(values.len() as i64, out);
            for value in values {
                append_default(document, items, value, out)?;
            }
            if !values.is_empty() {
                out.push(0);
            }
        }
        (Shape::Map(values), Json::Object(members)) => {
            append_long(members.len() as i64, out);
            for (name, value) in members {
                append_bytes(name.as_bytes(), out);
                append_default(document, values, value, out)?;
            }
            if !members.is_empty() {
                out.push(0);
            }
        }
        (Shape::Union(members), json) => {
            let place = members.iter().position(|member| fits(document, member, json))?;
            append_long(place as i64, out);
            append_default(document, &members[place], json, out)?;
        }
        (Shape::Named(place), json) => match (&document.named[*place].definition, json) {
            (Definition::Enum { symbols, .. }, Json::Text(text)) => {
                let symbol = symbols.iter().position(|symbol| symbol == text)?;
                append_long(symbol as i64, out);
            }
            (Definition::Fixed(size), Json::Text(text)) => {
                let bytes = to_connect::latin(text);
                out.extend_from_slice(Some(bytes).filter(|b| b.len() == *size)?.as_ref());
            }
            (Definition::Record(fields), Json::Object(_)) => {
                for field in fields {
                    let value = json.get(&field.name).or(field.default.as_ref())?;
                    append_default(document, &field.value, value, out)?;
                }
            }
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}
