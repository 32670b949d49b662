//! `add.fields` and `add.headers`: decides which field of a change event is meant, and what it is
//! called afterwards.

use std::sync::Arc;

use millrace_api::data::{Kind, Schema, SchemaRef, Struct, Value};
use millrace_api::{Error, Result};

use super::event::null_pointer;
use crate::schemas::with_basics;

/// A field of a change event, such as `op`, `lsn`, `source.ts_ms` or `transaction.id:TX`.
#[derive(Clone, Debug)]
pub(super) struct FieldReference {
    /// The struct it is in; none for one of the event itself.
    parent: Option<String>,
    field: String,
    /// What it becomes.
    pub(super) name: Arc<str>,
}

/// Where a schema has the field.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// The place of the struct it depends on: without that it is null.
    pub(super) parent: Option<usize>,
    /// Its place in that struct, or else in the event.
    pub(super) place: Place,
    pub(super) name: Arc<str>,
    /// The schema that it gets.
    pub(super) schema: SchemaRef,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    InParent(usize),
    InEvent(usize),
}

/// Java's `String.split`: nothing is left of empty parts at the end.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    match text.is_empty() || parts != [""] {
        true => parts,
        false => Vec::new(),
    }
}

impl FieldReference {
    /// The fields of a list, their new names begun with a prefix.
    pub(super) fn list(prefix: &str, list: &str) -> Result<Vec<Self>> {
        match list.is_empty() {
            true => Ok(Vec::new()),
            false => split(list, ',').iter().map(|item| Self::parse(prefix, item.trim())).collect(),
        }
    }

    fn parse(prefix: &str, item: &str) -> Result<Self> {
        let parts = split(item, ':');
        let path = split(parts.first().copied().unwrap_or_default(), '.');
        let (parent, field) = match path[..] {
            [] => return Err(unexpected(item)),
            [field] => (home(field).map(str::to_owned), field.to_owned()),
            [parent, field, ..] => (Some(parent.to_owned()), field.to_owned()),
        };
        let name = match (&parts[..], &path[..], &parent) {
            ([_], [_, _, ..], Some(parent)) => format!("{prefix}{parent}_{field}"),
            ([_], ..) => format!("{prefix}{field}"),
            ([_, name], ..) => format!("{prefix}{name}"),
            _ => return Err(unexpected(item)),
        };
        Ok(Self { parent, field, name: name.into() })
    }

    /// Whether it is the operation of the event.
    pub(super) fn is_operation(&self) -> bool {
        self.field == "op"
    }

    /// Where the field is in change events of a schema; none when there is none.
    pub(super) fn locate(&self, event: &Schema) -> Result<Option<Located>> {
        let parent = match &self.parent {
            None => None,
            Some(parent) => Some(
                event
                    .field(parent)
                    .ok_or_else(|| null_pointer(format!("the change event has no {parent}")))?,
            ),
        };
        let own = match &parent {
            None => event.field(&self.field),
            Some((_, parent)) if parent.schema.kind() == Kind::Struct => {
                parent.schema.field(&self.field)
            }
            Some(_) => return Err(Error::data("Cannot look up fields on non-struct type")),
        };
        let (place, field) = match (own, &parent, event.field(&self.field)) {
            (Some((place, field)), Some(_), _) => (Place::InParent(place), field),
            (Some((place, field)), None, _) | (None, _, Some((place, field))) => {
                (Place::InEvent(place), field)
            }
            (None, _, None) => return Ok(None),
        };
        let parent = parent.map(|(place, _)| place);
        let schema = bare(&field.schema);
        Ok(Some(Located { parent, place, name: Arc::clone(&self.name), schema }))
    }
}

fn unexpected(item: &str) -> Error {
    Error::config(format!("Unexpected field name: {item}"))
        .as_java("java.lang.IllegalArgumentException")
}

/// The schema of the field that is added: optional, and of a struct there are no fields.
fn bare(schema: &SchemaRef) -> SchemaRef {
    let builder = match (schema.kind(), schema.key_schema(), schema.value_schema()) {
        (Kind::Array, _, Some(items)) => Schema::array_builder(Arc::clone(items)),
        (Kind::Map, Some(key), Some(value)) => {
            Schema::map_builder(Arc::clone(key), Arc::clone(value))
        }
        (kind, ..) => Schema::builder(kind),
    };
    with_basics(builder, schema).optional().build()
}

/// Where a field is that is named alone.
fn home(field: &str) -> Option<&'static str> {
    match field {
        "id" | "data_collection_order" | "total_order" => Some("transaction"),
        "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
        "updateDescription" => Some("updateDescription"),
        _ => Some("source"),
    }
}

impl Located {
    /// The field's value, no default put in the place of null.
    pub(super) fn value(&self, event: &Struct) -> Value {
        let values = event.values();
        let parent = self.parent.map(|parent| &values[parent]);
        match (parent, self.place) {
            (Some(Value::Null), _) => Value::Null,
            (Some(Value::Struct(parent)), Place::InParent(place)) => parent.values()[place].clone(),
            (_, Place::InEvent(place) | Place::InParent(place)) => values[place].clone(),
        }
    }
}
