//! Reads one value with a schema: Java's coercions, and the definition of what the columnar reader
//! must equal.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::data::json::Number;
use millrace_api::data::{Decimal, Kind, Schema, SchemaRef, Struct, TIME_MILLIS, Value};
use num_bigint::BigInt;

use crate::json::fault::Fault;
use crate::json::node::Node;
use crate::json::text::decode_base64;
use crate::json::union::choose;
use crate::json::value::{is_object, is_union, logical_of};
use crate::json::{Dialect, Rules};

/// The value that a node is, coerced to the schema; no node is a field that is not there.
pub(crate) fn to_value(
    schema: &SchemaRef,
    node: Option<&Node<'_>>,
    options: Rules,
) -> Result<Value, Fault> {
    let Some(node) = node.filter(|n| !matches!(n, Node::Null)) else {
        return match node {
            None if may_be_missing(schema, options) => Ok(Value::Null),
            _ => null(schema, options),
        };
    };
    if let Some(name) = logical_of(schema) {
        return logical(schema, name, node);
    }
    Ok(match schema.kind() {
        Kind::Int8 => Value::Int8(number(node).map_or(0, Number::to_i64) as i8),
        Kind::Int16 => Value::Int16(number(node).map_or(0, Number::to_i64) as i16),
        Kind::Int32 => Value::Int32(number(node).map_or(0, Number::to_i64) as i32),
        Kind::Int64 => Value::Int64(number(node).map_or(0, Number::to_i64)),
        Kind::Float32 => Value::Float32(number(node).map_or(0.0, Number::to_f32)),
        Kind::Float64 => Value::Float64(number(node).map_or(0.0, Number::to_f64)),
        Kind::Boolean => Value::Boolean(matches!(node, Node::Boolean(true))),
        Kind::String => match node {
            Node::Text(text) => Value::String((&**text).into()),
            _ => Value::Null,
        },
        Kind::Bytes => match node {
            Node::Text(text) => {
                let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
                decode_base64(text, &mut bytes)
                    .map_err(|e| Fault::new("Invalid bytes field").because(e))?;
                Value::Bytes(bytes.into())
            }
            _ => Value::Null,
        },
        Kind::Array => array(schema, node, options)?,
        Kind::Map => map(schema, node, options)?,
        Kind::Struct if is_union(schema, options) => choose(schema, node, options)?,
        Kind::Struct => structure(schema, node, options)?,
    })
}

/// Whether a field that its object lacks is null, though the schema wants a value.
pub(crate) fn may_be_missing(schema: &Schema, options: Rules) -> bool {
    options.dialect == Dialect::JsonSchema && schema.default().is_none()
}

fn null(schema: &Schema, options: Rules) -> Result<Value, Fault> {
    match schema.default() {
        Some(default) if options.replace_null_with_default => Ok(default.clone()),
        _ if schema.is_optional() => Ok(Value::Null),
        _ => Err(Fault::new(format!(
            "Invalid null value for required {} field",
            schema.kind().name()
        ))),
    }
}

fn number<'a>(node: &Node<'a>) -> Option<Number<'a>> {
    match node {
        Node::Number(number) => Some(*number),
        _ => None,
    }
}

fn logical(schema: &Schema, name: &str, node: &Node<'_>) -> Result<Value, Fault> {
    let wrong = |expected: &str| {
        Fault::new(format!(
            "Invalid type for {name}, underlying representation should be {expected} but was {}",
            node.type_name()
        ))
    };
    match name {
        "Decimal" => match node {
            Node::Number(number) => Ok(Value::Decimal(number.to_decimal())),
            Node::Text(text) => decimal(schema, text),
            _ => Err(wrong("numeric or bytes")),
        },
        "Timestamp" => match number(node).filter(|n| n.is_integer()) {
            Some(number) => Ok(Value::Timestamp(number.to_i64())),
            None => Err(wrong("integral")),
        },
        _ => match (number(node).and_then(Number::to_i32_exact), name) {
            (Some(days), "Date") => Ok(Value::Date(days)),
            (Some(millis), _) => time(millis),
            (None, _) => Err(wrong("integer")),
        },
    }
}

fn time(millis: i32) -> Result<Value, Fault> {
    if TIME_MILLIS.contains(&millis) {
        Ok(Value::Time(millis))
    } else {
        Err(Fault::new(
            "Time values must use number of milliseconds greater than 0 and less than 86400000",
        ))
    }
}

fn decimal(schema: &Schema, text: &str) -> Result<Value, Fault> {
    let invalid = |why: &str| Fault::new("Invalid bytes for Decimal field").because(why);
    let mut bytes = Vec::new();
    decode_base64(text, &mut bytes).map_err(invalid)?;
    if bytes.is_empty() {
        return Err(invalid("a number needs at least one byte"));
    }
    let scale = schema
        .decimal_scale()
        .ok_or_else(|| invalid("the schema has no parameter scale that is a number"))?;
    Ok(Value::Decimal(Decimal { unscaled: BigInt::from_signed_bytes_be(&bytes), scale }))
}

fn array(schema: &Schema, node: &Node<'_>, options: Rules) -> Result<Value, Fault> {
    let schema = part(schema.value_schema())?;
    let item = |node| to_value(schema, Some(node), options);
    // Java goes through the children of whatever it finds: an object's values, or nothing.
    let items = match node {
        Node::Array(items) => items.iter().map(item).collect::<Result<_, _>>()?,
        Node::Object(members) => {
            members.iter().map(|(_, node)| item(node)).collect::<Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    Ok(Value::Array(items))
}

fn part(schema: Option<&SchemaRef>) -> Result<&SchemaRef, Fault> {
    schema.ok_or_else(|| Fault::new("schema of an array or map lacks the schema of its items"))
}

fn map(schema: &Schema, node: &Node<'_>, options: Rules) -> Result<Value, Fault> {
    let key_schema = part(schema.key_schema())?;
    let value_schema = part(schema.value_schema())?;
    if is_object(key_schema, options) {
        let Node::Object(members) = node else {
            return Err(Fault::new(format!(
                "Maps with string fields should be encoded as JSON objects, but found {}",
                node.type_name()
            )));
        };
        let entry = |(name, node): &(std::borrow::Cow<'_, str>, Node<'_>)| {
            let value = to_value(value_schema, Some(node), options)?;
            Ok((Value::String((&**name).into()), value))
        };
        return members.iter().map(entry).collect::<Result<_, _>>().map(Value::Map);
    }
    let Node::Array(pairs) = node else {
        return Err(Fault::new(format!(
            "Maps with non-string fields should be encoded as JSON array of {}, but found {}",
            match options.dialect {
                Dialect::Connect => "tuples",
                Dialect::JsonSchema => "objects",
            },
            node.type_name()
        )));
    };
    let mut entries: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
    // Values have no hash; their debug text tells the same apart as their equality.
    let mut places: HashMap<String, usize> = HashMap::new();
    for pair in pairs {
        let (key, value) = match options.dialect {
            Dialect::Connect => read_pair(pair)?,
            Dialect::JsonSchema => read_entry(pair)?,
        };
        let key = to_value(key_schema, key, options)?;
        let value = to_value(value_schema, value, options)?;
        let place = *places.entry(format!("{key:?}")).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(entry) => entry.1 = value,
            None => entries.push((key, value)),
        }
    }
    Ok(Value::Map(entries))
}

type Entry<'n, 'a> = (Option<&'n Node<'a>>, Option<&'n Node<'a>>);

fn read_entry<'n, 'a>(entry: &'n Node<'a>) -> Result<Entry<'n, 'a>, Fault> {
    match entry {
        Node::Object(members) if members.len() == 2 => Ok((entry.get("key"), entry.get("value"))),
        Node::Object(members) => Err(Fault::new(format!(
            "Found invalid map entry, expected length 2 but found :{}",
            members.len()
        ))),
        other => Err(Fault::new(format!(
            "Found invalid map entry instead of object: {}",
            other.type_name()
        ))),
    }
}

fn read_pair<'n, 'a>(pair: &'n Node<'a>) -> Result<Entry<'n, 'a>, Fault> {
    match pair {
        Node::Array(items) => match &items[..] {
            [key, value] => Ok((Some(key), Some(value))),
            items => Err(Fault::new(format!(
                "Found invalid map entry, expected length 2 but found :{}",
                items.len()
            ))),
        },
        other => Err(Fault::new(format!(
            "Found invalid map entry instead of array tuple: {}",
            other.type_name()
        ))),
    }
}

fn structure(schema: &SchemaRef, node: &Node<'_>, options: Rules) -> Result<Value, Fault> {
    if !matches!(node, Node::Object(_)) {
        return Err(Fault::new(format!(
            "Structs should be encoded as JSON objects, but found {}",
            node.type_name()
        )));
    }
    let mut values = Vec::with_capacity(schema.fields().len());
    for (i, field) in schema.fields().iter().enumerate() {
        let place = || format!("field: \"{}\"", field.name);
        let value = to_value(&field.schema, node.get_near(i, &field.name), options)
            .and_then(|value| match value {
                Value::Null if options.dialect == Dialect::JsonSchema => Ok(value),
                value => check_nulls(&value, &field.schema, &place).map(|()| value),
            })
            .map_err(|fault| fault.within(&field.name))?;
        values.push(value);
    }
    Ok(Value::Struct(Struct::new(Arc::clone(schema), values)))
}

/// What coercion made null must be optional; only structs look (`Struct.put`).
pub(crate) fn check_nulls(
    value: &Value,
    schema: &Schema,
    place: &dyn Fn() -> String,
) -> Result<(), Fault> {
    match value {
        Value::Null if schema.is_optional() => Ok(()),
        Value::Null => Err(Fault::new(format!(
            "Invalid value: null used for required {}, schema type: {}",
            place(),
            schema.kind().name()
        ))),
        Value::Array(items) => {
            let place = || format!("element of array {}", place());
            let schema = part(schema.value_schema())?;
            items.iter().try_for_each(|item| check_nulls(item, schema, &place))
        }
        Value::Map(entries) => {
            let key_schema = part(schema.key_schema())?;
            let value_schema = part(schema.value_schema())?;
            entries.iter().try_for_each(|(key, value)| {
                check_nulls(key, key_schema, &|| format!("key of map {}", place()))?;
                check_nulls(value, value_schema, &|| format!("value of map {}", place()))
            })
        }
        _ => Ok(()),
    }
}
