//! Writes default values of Connect schemas as JSON, and tells which of them Avro takes.

use millrace_api::data::{Kind, Schema, SchemaRef, Value};
use millrace_api::{Error, Result};

use crate::avro::config::AvroConfig;
use crate::avro::encode::{append_bytes, append_long};
use crate::avro::from_connect::has_text_keys;
use crate::avro::json::Json;
use crate::avro::names;
use crate::avro::schema::{Definition, Document, MAX_DEPTH, Shape, Type};
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

/// So many values may a default have.
const MAX_VALUES: usize = 50_000;

/// How far defaults are followed. Those of a record's fields may be of records again, and a record
/// that holds itself has defaults without end.
struct Reach {
    depth: usize,
    values: usize,
}

impl Reach {
    fn new() -> Self {
        Self { depth: MAX_DEPTH, values: MAX_VALUES }
    }

    /// One level deeper, if that is still allowed.
    fn within<T>(&mut self, follow: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.values = self.values.checked_sub(1)?;
        self.depth = self.depth.checked_sub(1)?;
        let found = follow(self);
        self.depth += 1;
        found
    }
}

/// Whether Avro takes this as the default of a field: of a union, for any of its types.
pub(crate) fn fits(document: &Document, what: &Type, json: &Json) -> bool {
    fits_within(document, what, json, &mut Reach::new())
}

fn fits_within(document: &Document, what: &Type, json: &Json, reach: &mut Reach) -> bool {
    reach.within(|reach| fits_here(document, what, json, reach).then_some(())).is_some()
}

fn fits_here(document: &Document, what: &Type, json: &Json, reach: &mut Reach) -> bool {
    match (&what.shape, json) {
        (Shape::Null, Json::Null)
        | (Shape::Boolean, Json::Boolean(_))
        | (Shape::Long, Json::Integer(_))
        | (Shape::Float | Shape::Double, Json::Integer(_) | Json::Single(_) | Json::Double(_))
        | (Shape::Bytes | Shape::String, Json::Text(_)) => true,
        (Shape::Int, Json::Integer(number)) => i32::try_from(*number).is_ok(),
        (Shape::Array(items), Json::Array(values)) => {
            values.iter().all(|value| fits_within(document, items, value, reach))
        }
        (Shape::Map(values), Json::Object(members)) => {
            members.iter().all(|(_, value)| fits_within(document, values, value, reach))
        }
        (Shape::Union(members), json) => {
            members.iter().any(|member| fits_within(document, member, json, reach))
        }
        (Shape::Named(place), json) => match (&document.named[*place].definition, json) {
            (Definition::Enum { .. } | Definition::Fixed(_), Json::Text(_)) => true,
            (Definition::Record(fields), Json::Object(_)) => fields.iter().all(|field| {
                let value = json.get(&field.name).or(field.default.as_ref());
                value.is_some_and(|value| fits_within(document, &field.value, value, reach))
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
    append_within(document, (what, json), out, &mut Reach::new())
}

fn append_within(
    document: &Document,
    default: (&Type, &Json),
    out: &mut Vec<u8>,
    reach: &mut Reach,
) -> Option<()> {
    reach.within(|reach| append_here(document, default, out, reach))
}

fn append_here(
    document: &Document,
    (what, json): (&Type, &Json),
    out: &mut Vec<u8>,
    reach: &mut Reach,
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
                append_within(document, (items, value), out, reach)?;
            }
            if !values.is_empty() {
                out.push(0);
            }
        }
        (Shape::Map(values), Json::Object(members)) => {
            append_long(members.len() as i64, out);
            for (name, value) in members {
                append_bytes(name.as_bytes(), out);
                append_within(document, (values, value), out, reach)?;
            }
            if !members.is_empty() {
                out.push(0);
            }
        }
        (Shape::Union(members), json) => {
            let place =
                members.iter().position(|member| fits_within(document, member, json, reach))?;
            append_long(place as i64, out);
            append_within(document, (&members[place], json), out, reach)?;
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
                    append_within(document, (&field.value, value), out, reach)?;
                }
            }
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}
