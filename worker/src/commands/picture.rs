//! Decides how people see a record: a line for each thing that it holds, with its type where a
//! schema says it, and what a step has changed of these.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millrace_api::Result;
use millrace_api::data::{
    Column, Kind, MILLIS_A_DAY, Records, Schema, Struct, Value, civil_from_days,
};

/// Longer texts are cut.
const MAX_CHARS: usize = 160;
const CONNECT: &str = "org.apache.kafka.connect.data.";

/// What a record holds, by where it holds it.
pub(super) type Picture = Vec<(String, String)>;

/// Everything that one record holds, in order.
pub(super) fn of(record: &Records) -> Result<Picture> {
    let mut picture = vec![("topic".to_owned(), record.topic.to_string())];
    let mut number = |name: &str, number: Option<i64>| {
        picture.extend(number.map(|number| (name.to_owned(), number.to_string())));
    };
    number("partition", record.partition.map(i64::from));
    number("offset", record.offsets.as_ref().map(|offsets| offsets[0]));
    number("timestamp", record.timestamp(0));
    for header in record.headers.row(0) {
        let path = format!("header {}", header.key);
        add(&mut picture, path, header.schema.as_deref(), &header.value);
    }
    for (name, column) in [("key", &record.key), ("value", &record.value)] {
        add_column(&mut picture, name, column)?;
    }
    Ok(picture)
}

fn add_column(picture: &mut Picture, name: &str, column: &Column) -> Result<()> {
    let value = column.value(0)?;
    add(picture, name.to_owned(), column.schema().map(|schema| &**schema), &value);
    Ok(())
}

fn add(picture: &mut Picture, path: String, schema: Option<&Schema>, value: &Value) {
    match value {
        Value::Struct(fields) => {
            picture.push((path.clone(), type_name(fields.schema())));
            add_fields(picture, &path, fields);
        }
        Value::Map(entries) if schema.is_none() && !entries.is_empty() => {
            for (key, value) in entries {
                let key = match key {
                    Value::String(key) => key.to_string(),
                    other => text(other),
                };
                add(picture, format!("{path}.{key}"), None, value);
            }
        }
        leaf => {
            let text = cut(&text(leaf));
            let text = match schema {
                Some(schema) => format!("{text}  {}", type_name(schema)),
                None => text,
            };
            picture.push((path, text));
        }
    }
}

fn add_fields(picture: &mut Picture, path: &str, fields: &Struct) {
    for (field, value) in fields.schema().fields().iter().zip(fields.values()) {
        add(picture, format!("{path}.{}", field.name), Some(&field.schema), value);
    }
}

/// What changed from one picture to the next: `-` went, `~` is another, `+` came.
pub(super) fn changes(before: &Picture, after: &Picture) -> Vec<(char, String, String)> {
    let find = |picture: &Picture, path: &str| {
        picture.iter().find(|(other, _)| other == path).map(|(_, text)| text.clone())
    };
    let mut changes = Vec::new();
    for (path, old) in before {
        match find(after, path) {
            None => changes.push(('-', path.clone(), old.clone())),
            Some(new) if new != *old => changes.push(('~', path.clone(), format!("{old} → {new}"))),
            Some(_) => {}
        }
    }
    let new = after.iter().filter(|(path, _)| find(before, path).is_none());
    changes.extend(new.map(|(path, text)| ('+', path.clone(), text.clone())));
    changes
}

/// A value as JSON has it; times are words, since their schema says what they are.
fn text(value: &Value) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::String(text) => quoted(text),
        Value::Bytes(bytes) => quoted(&BASE64_STANDARD.encode(bytes)),
        Value::Array(items) => format!("[{}]", list(items.iter().map(text).collect())),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| format!("{}: {}", text(key), text(value));
            format!("{{{}}}", list(entries.iter().map(entry).collect()))
        }
        Value::Struct(fields) => {
            let named = fields.schema().fields().iter().zip(fields.values());
            let field =
                named.map(|(field, value)| format!("{}: {}", quoted(&field.name), text(value)));
            format!("{{{}}}", list(field.collect()))
        }
        Value::Date(days) => day(i64::from(*days)),
        Value::Time(millis) => time(i64::from(*millis)),
        Value::Timestamp(millis) => {
            format!(
                "{}T{}Z",
                day(millis.div_euclid(MILLIS_A_DAY)),
                time(millis.rem_euclid(MILLIS_A_DAY))
            )
        }
        other => other.to_string(),
    }
}

fn day(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time(millis: i64) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A schema in a word or two: `int32`, `string?` where null may stand, `struct? orders.Value v2`.
fn type_name(schema: &Schema) -> String {
    let of = |schema: Option<&Arc<Schema>>| {
        schema.map_or_else(|| "?".to_owned(), |schema| type_name(schema))
    };
    let mut name = match schema.kind() {
        Kind::Array => format!("array<{}>", of(schema.value_schema())),
        Kind::Map => format!("map<{}, {}>", of(schema.key_schema()), of(schema.value_schema())),
        kind => kind.name().to_ascii_lowercase(),
    };
    if schema.is_optional() {
        name.push('?');
    }
    let own = schema.name().and_then(|name| name.strip_prefix(CONNECT));
    if let Some(written) = own.or(schema.name()) {
        let _ = write!(name, " {written}");
    }
    if let Some(version) = schema.version().filter(|_| own.is_none()) {
        let _ = write!(name, " v{version}");
    }
    for (parameter, value) in schema.parameters() {
        let _ = write!(name, " {parameter}={value}");
    }
    if let Some(default) = schema.default() {
        let _ = write!(name, " default {}", cut(&text(default)));
    }
    name
}
