//! Decides whether Java takes a value for one of a schema (`ConnectSchema.validateValue`), and in
//! which words it refuses.

use millrace_api::data::{Field, Kind, Schema, Value, logical};
use millrace_api::{Error, Result};

/// Refuses a value that does not fit a field.
pub(crate) fn check(field: &Field, value: &Value) -> Result<()> {
    check_at(&field.schema, value, &format!("field: \"{}\"", field.name))
}

/// Refuses a value that does not fit a schema.
pub(crate) fn check_value(schema: &Schema, value: &Value) -> Result<()> {
    check_at(schema, value, "value")
}

fn check_at(schema: &Schema, value: &Value, place: &str) -> Result<()> {
    let kind = schema.kind().name();
    if value.is_null() {
        if schema.is_optional() {
            return Ok(());
        }
        let message = format!("Invalid value: null used for required {place}, schema type: {kind}");
        return Err(Error::data(message));
    }
    if !is_of_class(schema, value) {
        let name = schema.name().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let class = value.java_class();
        return Err(Error::data(format!(
            "Invalid Java object for schema{name} with type {kind}: class {class} for {place}"
        )));
    }
    match value {
        Value::Struct(value) => {
            if **value.schema() != *schema {
                return Err(Error::data("Struct schemas do not match."));
            }
            let mut fields = schema.fields().iter().zip(value.values());
            fields.try_for_each(|(field, value)| match value {
                Value::Null if field.schema.default().is_some() => Ok(()),
                value => check(field, value),
            })
        }
        Value::Array(items) => {
            let place = format!("element of array {place}");
            let schema = schema.value_schema().ok_or_else(|| no_schema(&place))?;
            items.iter().try_for_each(|item| check_at(schema, item, &place))
        }
        Value::Map(entries) => {
            let (key_place, value_place) =
                (format!("key of map {place}"), format!("value of map {place}"));
            let keys = schema.key_schema().ok_or_else(|| no_schema(&key_place))?;
            let values = schema.value_schema().ok_or_else(|| no_schema(&value_place))?;
            entries.iter().try_for_each(|(key, value)| {
                check_at(keys, key, &key_place)?;
                check_at(values, value, &value_place)
            })
        }
        _ => Ok(()),
    }
}

fn no_schema(place: &str) -> Error {
    Error::data(format!("No schema defined for {place}"))
}

/// Java holds all dates and times in one class, and asks the name of the schema first.
fn is_of_class(schema: &Schema, value: &Value) -> bool {
    match (schema.name(), value) {
        (Some(logical::DECIMAL), _) => matches!(value, Value::Decimal(_)),
        (Some(logical::DATE | logical::TIME | logical::TIMESTAMP), _) => {
            matches!(value, Value::Date(_) | Value::Time(_) | Value::Timestamp(_))
        }
        (_, Value::Int8(_)) => schema.kind() == Kind::Int8,
        (_, Value::Int16(_)) => schema.kind() == Kind::Int16,
        (_, Value::Int32(_)) => schema.kind() == Kind::Int32,
        (_, Value::Int64(_)) => schema.kind() == Kind::Int64,
        (_, Value::Float32(_)) => schema.kind() == Kind::Float32,
        (_, Value::Float64(_)) => schema.kind() == Kind::Float64,
        (_, Value::Boolean(_)) => schema.kind() == Kind::Boolean,
        (_, Value::String(_)) => schema.kind() == Kind::String,
        (_, Value::Bytes(_)) => schema.kind() == Kind::Bytes,
        (_, Value::Array(_)) => schema.kind() == Kind::Array,
        (_, Value::Map(_)) => schema.kind() == Kind::Map,
        (_, Value::Struct(_)) => schema.kind() == Kind::Struct,
        _ => false,
    }
}
