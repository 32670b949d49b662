//! Takes runs apart into single records, and makes runs of what became of them; reads fields of
//! structs as Java's `Struct` has them read.

use std::sync::Arc;

use millrace_api::data::{
    Column, Header, Headers, Kind, Records, RowError, Schema, SchemaRef, Struct, Value,
};
use millrace_api::{Error, Result};

/// One record.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) topic: Arc<str>,
    pub(super) partition: Option<i32>,
    pub(super) key: (Option<SchemaRef>, Value),
    pub(super) value: (Option<SchemaRef>, Value),
    pub(super) timestamp: Option<i64>,
    pub(super) headers: Vec<Header>,
    pub(super) offset: Option<i64>,
    pub(super) origin: Option<i64>,
}

/// Whether values of this schema are change events.
pub(super) fn is_envelope(schema: Option<&SchemaRef>) -> bool {
    schema.and_then(|schema| schema.name()).is_some_and(|name| name.ends_with(".Envelope"))
}

/// A string field (`Struct.getString`): no default is put in the place of null.
pub(super) fn text<'s>(of: &'s Struct, name: &str) -> Result<Option<&'s Arc<str>>> {
    match typed(of, name, Kind::String)? {
        Value::String(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// A field that must be of a type.
pub(super) fn typed<'s>(of: &'s Struct, name: &str, kind: Kind) -> Result<&'s Value> {
    let (place, field) = of.schema().field(name).ok_or_else(|| no_field(name))?;
    match field.schema.kind() == kind {
        true => Ok(&of.values()[place]),
        false => Err(Error::data(format!("Field '{name}' is not of type {}", kind.name()))),
    }
}

/// A field's value or default (`Struct.get`).
pub(super) fn get<'s>(of: &'s Struct, name: &str) -> Result<&'s Value> {
    of.get(name).ok_or_else(|| no_field(name))
}

pub(super) fn no_field(name: &str) -> Error {
    Error::data(format!("{name} is not a valid field name"))
}

/// The field of a schema, which `ExtractField` of Connect's would look up.
pub(super) fn extracted(value: &Value, name: &str) -> Result<(SchemaRef, Value)> {
    let Value::Struct(envelope) = value else {
        return Err(crate::refused::no_struct("field extraction", value));
    };
    let (_, field) = envelope.schema().field(name).ok_or_else(|| {
        Error::data(format!("Unknown field: {name}")).as_java("java.lang.IllegalArgumentException")
    })?;
    Ok((Arc::clone(&field.schema), get(envelope, name)?.clone()))
}

/// Where Java follows a reference that is null.
pub(super) fn null_pointer(words: String) -> Error {
    Error::data(words).as_java("java.lang.NullPointerException")
}

pub(super) fn has_same_schema(a: Option<&SchemaRef>, b: Option<&SchemaRef>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Changes a run's records one by one; none drops a record.
pub(super) fn each(
    records: &Records,
    failed: &mut Vec<RowError>,
    mut change: impl FnMut(Event) -> Result<Option<Event>>,
) -> Result<Vec<Records>> {
    let mut changed = Vec::with_capacity(records.len());
    let (keys, values) = (records.key.rows()?, records.value.rows()?);
    for row in 0..records.len() {
        let event = Event {
            topic: Arc::clone(&records.topic),
            partition: records.partition,
            key: (records.key.schema().cloned(), keys[row].clone()),
            value: (records.value.schema().cloned(), values[row].clone()),
            timestamp: records.timestamp(row),
            headers: records.headers.row(row).to_vec(),
            offset: records.offsets.as_ref().map(|offsets| offsets[row]),
            origin: records.origins.as_ref().map(|origins| origins[row]),
        };
        match change(event) {
            Ok(event) => changed.extend(event),
            Err(error) => failed.push(RowError { row, error }),
        }
    }
    Ok(runs(changed))
}

/// Runs of records that follow each other and have topic, partition and schemas in common.
fn runs(events: Vec<Event>) -> Vec<Records> {
    let mut runs: Vec<Vec<Event>> = Vec::new();
    for event in events {
        match runs.last_mut() {
            Some(run) if run[0].fits(&event) => run.push(event),
            _ => runs.push(vec![event]),
        }
    }
    runs.into_iter().map(run).collect()
}

fn run(events: Vec<Event>) -> Records {
    let (topic, partition) = (Arc::clone(&events[0].topic), events[0].partition);
    let (key, value) = (events[0].key.0.clone(), events[0].value.0.clone());
    let has_times = events.iter().any(|event| event.timestamp.is_some());
    let time = |event: &Event| event.timestamp.unwrap_or(Records::NO_TIMESTAMP);
    let timestamps = has_times.then(|| events.iter().map(time).collect());
    let offsets: Option<Vec<i64>> = events.iter().map(|event| event.offset).collect();
    let origins: Option<Vec<i64>> = events.iter().map(|event| event.origin).collect();
    let (mut keys, mut values, mut headers) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        keys.push(event.key.1);
        values.push(event.value.1);
        headers.push(event.headers);
    }
    Records {
        topic,
        partition,
        key: Column::from_values(key, keys),
        value: Column::from_values(value, values),
        timestamps,
        headers: Headers::from_rows(headers),
        offsets: offsets.map(Into::into),
        origins: origins.map(Into::into),
    }
}

impl Event {
    fn fits(&self, other: &Self) -> bool {
        self.topic == other.topic
            && self.partition == other.partition
            && self.offset.is_some() == other.offset.is_some()
            && has_same_schema(self.key.0.as_ref(), other.key.0.as_ref())
            && has_same_schema(self.value.0.as_ref(), other.value.0.as_ref())
    }

    /// A run of this record alone.
    pub(super) fn into_run(self) -> Records {
        run(vec![self])
    }

    /// The record in another topic, unless that has no name.
    #[must_use]
    pub(super) fn in_topic(self, topic: Option<&Arc<str>>) -> Self {
        match topic.filter(|topic| !topic.trim().is_empty()) {
            Some(topic) => Self { topic: Arc::clone(topic), ..self },
            None => self,
        }
    }
}

/// The struct that a step named `purpose` needs (`Requirements.requireStruct`).
pub(super) fn required_struct<'v>(value: &'v Value, purpose: &str) -> Result<&'v Struct> {
    match value {
        Value::Struct(value) => Ok(value),
        other => Err(crate::refused::no_struct(purpose, other)),
    }
}

/// The fields of a schema; only structs have any.
pub(super) fn field_names(schema: &Schema) -> Result<Vec<Arc<str>>> {
    match schema.kind() {
        Kind::Struct => Ok(schema.fields().iter().map(|field| Arc::clone(&field.name)).collect()),
        _ => Err(Error::data("Cannot list fields on non-struct type")),
    }
}
