//! `EventRouter`: makes messages of the rows that services insert into an outbox table.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_api::config::validators::regex;
use millrace_api::config::{Config, Validator, invalid_value};
use millrace_api::data::{
    Header, Kind, Records, RowError, Schema, SchemaRef, Struct, Value, logical,
};
use millrace_api::{Error, Props, Result, Transformation};

use super::event::{
    Event, each, extracted, get, has_same_schema, is_envelope, null_pointer, required_struct, text,
    typed,
};
use super::json_payload::Expansion;
use super::schema_names::{Adjustment, mode};
use crate::null_defaults::NullDefaults;
use crate::pattern::{Pattern, Replacement};
use crate::schemas::Fields;

/// So many schemas of messages are remembered.
const MAX_SCHEMAS: usize = 32;

#[derive(Config, Debug)]
pub(crate) struct EventRouterConfig {
    /// The column of the event's id, which becomes the header id.
    #[config(key = "table.field.event.id", importance = Low, default = "id")]
    id: String,
    /// The column that becomes the message's key.
    #[config(key = "table.field.event.key", importance = Low, default = "aggregateid")]
    key: String,
    /// The column of the event's type.
    #[config(key = "table.field.event.type", importance = Low, default = "type")]
    #[allow(dead_code, reason = "Debezium has the key and reads it nowhere")]
    event_type: String,
    /// The column that becomes the message's value.
    #[config(key = "table.field.event.payload", importance = Low, default = "payload")]
    payload: String,
    /// The column of the message's timestamp; else it is the time when the event was processed.
    #[config(key = "table.field.event.timestamp", importance = Medium)]
    timestamp: Option<String>,
    /// Other columns, as COLUMN:header, COLUMN:envelope or COLUMN:partition, with :NAME where they get
    /// another name. With an envelope the value is a struct with the payload in it.
    #[config(key = "table.fields.additional.placement", importance = High)]
    placement: Option<String>,
    /// What happens when one of them is missing.
    #[config(key = "table.field.additional.missing", importance = Medium, default = "error")]
    #[config(validate = error_or_ignore)]
    missing: String,
    /// The column of the version that an envelope's schema gets.
    #[config(key = "table.field.event.schema.version", importance = Low)]
    schema_version: Option<String>,
    /// What happens when a row of the outbox is updated: warn and error skip the event, fatal fails.
    #[config(key = "table.op.invalid.behavior", importance = Medium, default = "warn")]
    #[config(validate = warn_error_or_fatal)]
    invalid_operation: String,
    /// Whether a payload that is JSON text becomes a struct.
    #[config(key = "table.expand.json.payload", importance = Medium, default = false)]
    expand_json: bool,
    /// What becomes of null in such a payload: ignore leaves it out, optional_bytes keeps it.
    #[config(key = "table.json.payload.null.behavior", importance = Medium, default = "ignore")]
    #[config(validate = ignore_or_optional_bytes)]
    json_nulls: String,
    /// What becomes of names in such a payload that Avro does not allow.
    #[config(key = "field.name.adjustment.mode", importance = Low, default = "none")]
    #[config(validate = mode)]
    field_names: String,
    /// The column that says where the message goes.
    #[config(key = "route.by.field", importance = High, default = "aggregatetype")]
    route_by: String,
    /// What that column must match, as a whole, for the topic to be another.
    #[config(key = "route.topic.regex", importance = Low, default = "(?<routedByValue>.*)")]
    #[config(validate = regex)]
    topic_regex: String,
    /// The topic then; ${routedByValue} is the column.
    #[config(key = "route.topic.replacement", importance = High)]
    #[config(default = "outbox.event.${routedByValue}")]
    topic_replacement: String,
    /// Whether an empty payload makes a tombstone.
    #[config(key = "route.tombstone.on.empty.payload", importance = High, default = false)]
    tombstones: bool,
}

fn one_of(words: &'static [&'static str]) -> Validator {
    Validator::new("one of these words, in any case", |value| {
        let value = value.as_str().unwrap_or_default().trim();
        match words.iter().any(|word| word.eq_ignore_ascii_case(value)) {
            true => Ok(()),
            false => Err(format!("Value must be one of {}", words.join(", "))),
        }
    })
}

fn error_or_ignore() -> Validator {
    one_of(&["error", "ignore"])
}

fn warn_error_or_fatal() -> Validator {
    one_of(&["warn", "error", "fatal"])
}

fn ignore_or_optional_bytes() -> Validator {
    one_of(&["ignore", "optional_bytes"])
}

/// Whether a configured word is this one.
fn is(configured: &str, word: &str) -> bool {
    configured.trim().eq_ignore_ascii_case(word)
}

/// Where a column goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Placement {
    Header,
    Envelope,
    Partition,
}

#[derive(Clone, Debug)]
struct Additional {
    field: String,
    placement: Placement,
    name: Arc<str>,
}

/// What the schema of an enveloped message is made from.
struct Known {
    row: SchemaRef,
    payload: SchemaRef,
    topic: Option<Arc<str>>,
    version: Option<i32>,
    made: SchemaRef,
}

pub(crate) struct EventRouter {
    config: EventRouterConfig,
    additional: Vec<Additional>,
    ignores_missing: bool,
    expansion: Option<Expansion>,
    topic: (Pattern, Replacement),
    schemas: VecDeque<Known>,
}

impl EventRouter {
    pub(crate) fn open(props: &Props) -> Result<Box<dyn Transformation>> {
        let config = EventRouterConfig::parse(props)?;
        let pattern = Pattern::new("route.topic.regex", &config.topic_regex)?;
        let replacement = Replacement::new(&pattern, &config.topic_replacement)
            .map_err(|e| e.context("key", "route.topic.replacement"))?;
        let expansion = Expansion {
            names: Adjustment::parse(&config.field_names).unwrap_or(Adjustment::None),
            keeps_nulls: is(&config.json_nulls, "optional_bytes"),
        };
        let additional = config.placement.as_deref().map(additional).transpose()?;
        Ok(Box::new(Self {
            additional: additional.unwrap_or_default(),
            ignores_missing: is(&config.missing, "ignore"),
            expansion: config.expand_json.then_some(expansion),
            topic: (pattern, replacement),
            schemas: VecDeque::new(),
            config,
        }))
    }

    /// What becomes of one record.
    fn message(&mut self, mut record: Event) -> Result<Option<Event>> {
        if record.value.1.is_null() {
            return Ok(None);
        }
        if !is_envelope(record.value.0.as_ref()) {
            return Ok(Some(record));
        }
        let event = required_struct(&record.value.1, "Detect Debezium Operation")?;
        let operation = text(event, "op")?.ok_or_else(|| null_pointer("op is null".to_owned()))?;
        match &**operation {
            "d" => return Ok(None),
            "u" if is(&self.config.invalid_operation, "fatal") => {
                // The key may be secret.
                return Err(Error::data("Unexpected update message received, fail.")
                    .as_java("java.lang.IllegalStateException"));
            }
            "u" => {
                self.tell_of_update(&record.topic);
                return Ok(None);
            }
            _ => {}
        }
        let (_, after) = extracted(&record.value.1, "after")?;
        let row = required_struct(&after, "Read Outbox Event")?;
        let payload = row.schema().field(&self.config.payload).map(|(_, f)| &f.schema);
        let payload = payload.ok_or_else(|| missing("payload field", &self.config.payload))?;
        let timestamp = self.timestamp(event, row)?;
        let id = get(row, &self.config.id)?.clone();
        let (_, id_field) = row.schema().field(&self.config.id).expect("its value was read");
        let id_schema = Some(Arc::clone(&id_field.schema));
        record.headers.push(Header { key: "id".into(), schema: id_schema, value: id });
        let payload = (Arc::clone(payload), get(row, &self.config.payload)?.clone());
        let payload = self.expanded(&record.topic, payload);
        let is_empty = is_empty(&payload.1);
        let value = self.enveloped(row, payload)?;
        let partition = self.place(row, &mut record.headers)?;
        record.value = match is_empty && self.config.tombstones {
            true => (None, Value::Null),
            false => (Some(value.0), value.1),
        };
        let key = get(row, &self.config.key)?.clone();
        let key_schema = row.schema().field(&self.config.key).map(|(_, f)| Arc::clone(&f.schema));
        record.key = (key_schema, key);
        let topic = text(row, &self.config.route_by)?;
        if partition.is_none() && record.offset.is_some() {
            return Err(null_pointer("a sink's records need a partition".to_owned()));
        }
        let topic = topic.ok_or_else(|| null_pointer("the message has no topic".to_owned()))?;
        let (pattern, replacement) = &self.topic;
        let routed = pattern.matches(topic).then(|| pattern.replace_first(topic, replacement));
        record.topic = routed.flatten().map_or_else(|| Arc::clone(topic), Arc::from);
        (record.partition, record.timestamp) = (partition, timestamp);
        Ok(Some(record))
    }

    /// The column that is configured, or when the event was processed.
    fn timestamp(&self, event: &Struct, row: &Struct) -> Result<Option<i64>> {
        let processed = || match typed(event, "ts_ms", Kind::Int64)? {
            Value::Int64(millis) => Ok(Some(*millis)),
            _ => Ok(None),
        };
        let Some(name) = &self.config.timestamp else { return processed() };
        let (_, field) =
            row.schema().field(name).ok_or_else(|| missing("timestamp field", name))?;
        let number = match typed(row, name, Kind::Int64)? {
            Value::Null => return processed(),
            Value::Int64(number) => *number,
            other => {
                let message = format!("class {} cannot be cast to a long", other.java_class());
                return Err(Error::data(message).as_java("java.lang.ClassCastException"));
            }
        };
        match field.schema.name() {
            Some(logical::TIMESTAMP) => Ok(Some(number)),
            Some("io.debezium.time.MicroTimestamp") => Ok(Some(number / 1_000)),
            Some("io.debezium.time.NanoTimestamp") => Ok(Some(number / 1_000_000)),
            Some(other) => Err(connect_exception(format!(
                "Unsupported field type {other} for event timestamp"
            ))),
            None => Err(connect_exception(format!(
                "Unsupported field type {} (without logical schema name) for event timestamp",
                field.schema.kind().name()
            ))),
        }
    }

    /// Neither key nor value is told: they may be secret.
    fn tell_of_update(&self, topic: &str) {
        const WORDS: &str = "an update of a row of the outbox is skipped: its rows are inserted and \
                             deleted, and nothing else becomes a message";
        match is(&self.config.invalid_operation, "error") {
            true => tracing::error!("{topic}: {WORDS}"),
            false => tracing::warn!("{topic}: {WORDS}"),
        }
    }

    fn expanded(&self, topic: &str, payload: (SchemaRef, Value)) -> (SchemaRef, Value) {
        let (expansion, text) = match (self.expansion, &payload.1) {
            (Some(expansion), Value::String(text)) => (expansion, text),
            _ => return payload,
        };
        expansion.of(&self.config.payload, text).unwrap_or_else(|| {
            tracing::warn!(
                "{topic}: a payload stays the text it is: it is no JSON object whose arrays have \
                 members of one kind"
            );
            payload
        })
    }

    /// The payload alone, or in a struct with the columns that are placed there.
    fn enveloped(
        &mut self,
        row: &Struct,
        (schema, payload): (SchemaRef, Value),
    ) -> Result<(SchemaRef, Value)> {
        if self.additional.iter().all(|column| column.placement != Placement::Envelope) {
            return Ok((schema, payload));
        }
        let version = match &self.config.schema_version {
            None => None,
            Some(name) => match typed(row, name, Kind::Int32)? {
                Value::Int32(version) => Some(*version),
                _ => None,
            },
        };
        let topic = text(row, &self.config.route_by)?.cloned();
        let made = self.envelope_schema(row.schema(), &schema, topic, version)?;
        let columns =
            self.additional.iter().filter(|column| column.placement == Placement::Envelope);
        let mut values = vec![payload];
        for column in columns.filter(|column| !self.is_left_out(row, column)) {
            values.push(get(row, &column.field)?.clone());
        }
        let fields = made.fields().iter().zip(&values);
        let values = fields.map(|(field, value)| NullDefaults(false).copied(field, value));
        let values = values.collect::<Result<_>>()?;
        Ok((Arc::clone(&made), Value::Struct(Struct::new(made, values))))
    }

    fn envelope_schema(
        &mut self,
        row: &SchemaRef,
        payload: &SchemaRef,
        topic: Option<Arc<str>>,
        version: Option<i32>,
    ) -> Result<SchemaRef> {
        let is_it = |known: &&Known| {
            known.version == version
                && known.topic == topic
                && has_same_schema(Some(&known.payload), Some(payload))
                && has_same_schema(Some(&known.row), Some(row))
        };
        if let Some(known) = self.schemas.iter().find(is_it) {
            return Ok(Arc::clone(&known.made));
        }
        let mut fields = Fields::default();
        fields.push("payload".into(), Arc::clone(payload))?;
        for column in self.additional.iter().filter(|c| c.placement == Placement::Envelope) {
            match row.field(&column.field) {
                Some((_, field)) => {
                    fields.push(Arc::clone(&column.name), Arc::clone(&field.schema))?;
                }
                None if self.ignores_missing => {}
                None => return Err(missing("field", &column.field)),
            }
        }
        let name = envelope_name(row, topic.as_deref().unwrap_or("null"));
        let mut builder = fields.into_struct().name(name);
        if let Some(version) = version {
            builder = builder.version(version);
        }
        let made = builder.build();
        let (row, payload) = (Arc::clone(row), Arc::clone(payload));
        self.schemas.truncate(MAX_SCHEMAS - 1);
        let known = Known { row, payload, topic, version, made: Arc::clone(&made) };
        self.schemas.push_front(known);
        Ok(made)
    }

    fn is_left_out(&self, row: &Struct, column: &Additional) -> bool {
        self.ignores_missing && row.schema().field(&column.field).is_none()
    }

    /// Adds headers; the answer is the partition.
    fn place(&self, row: &Struct, headers: &mut Vec<Header>) -> Result<Option<i32>> {
        let mut partition = None;
        for column in self.additional.iter().filter(|column| !self.is_left_out(row, column)) {
            match column.placement {
                Placement::Envelope => {}
                Placement::Header => {
                    let value = get(row, &column.field)?.clone();
                    let field = row.schema().field(&column.field);
                    let schema = field.map(|(_, field)| Arc::clone(&field.schema));
                    headers.push(Header { key: Arc::clone(&column.name), schema, value });
                }
                Placement::Partition => {
                    partition = match typed(row, &column.field, Kind::Int32)? {
                        Value::Int32(number) => Some(*number),
                        _ => None,
                    };
                }
            }
        }
        Ok(partition)
    }
}

/// `COLUMN:PLACE` or `COLUMN:PLACE:NAME`, separated by commas.
fn additional(list: &str) -> Result<Vec<Additional>> {
    let wrong = |item: &str| {
        let reason = format!(
            "A comma-separated list of valid String pairs or trios is expected but got: {item}; \
             a pair is COLUMN:header, COLUMN:envelope or COLUMN:partition, and :NAME may follow"
        );
        invalid_value("table.fields.additional.placement", list, reason)
    };
    let column = |item: &str| {
        let parts: Vec<&str> = item.split(':').map(str::trim).collect();
        let (field, place, name) = match parts[..] {
            [field, place] => (field, place, field),
            [field, place, name] => (field, place, name),
            _ => return Err(wrong(item)),
        };
        let placement = match place.to_ascii_lowercase().as_str() {
            "header" => Placement::Header,
            "envelope" => Placement::Envelope,
            "partition" => Placement::Partition,
            _ => return Err(wrong(item)),
        };
        Ok(Additional { field: field.to_owned(), placement, name: name.into() })
    };
    list.split(',').map(column).collect()
}

/// The row's name, with the topic before its last part.
fn envelope_name(row: &Schema, topic: &str) -> String {
    match row.name().map(|name| (name, name.rfind('.'))) {
        None => topic.to_owned(),
        Some((name, None)) => format!("{topic}.{name}"),
        Some((name, Some(dot))) => format!("{}{topic}{}", &name[..=dot], &name[dot..]),
    }
}

/// Whether the payload says nothing.
fn is_empty(payload: &Value) -> bool {
    match payload {
        Value::Null => true,
        Value::String(text) => text.trim_matches(|c| c <= ' ').is_empty(),
        _ => false,
    }
}

fn missing(what: &str, name: &str) -> Error {
    connect_exception(format!("Unable to find {what} {name} in event"))
}

fn connect_exception(message: String) -> Error {
    Error::data(message).as_java("org.apache.kafka.connect.errors.ConnectException")
}

impl Transformation for EventRouter {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        each(&records, failed, |record| self.message(record))
    }
}
