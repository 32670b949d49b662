//! Decides how people write sample records as JSON, and how records are written back in that form.
//!
//! A record is an object of `topic`, `partition`, `offset`, `timestamp`, `headers`, `key` and
//! `value`, all of which may be missing. A key, a value and a header is plain JSON, which has no
//! schema, or `{"schema": …, "payload": …}` as JsonConverter writes it.

use std::collections::BTreeMap;

use arrow::array::BinaryViewArray;
use millrace_api::data::{Column, Header, Headers, Kind, Records, Schema, Value};
use millrace_api::{Converter, ConverterRole, Error, Open, PluginKind, Props, Result};
use serde_json::value::RawValue;

use super::preview::JSON;
use crate::catalog::catalog;

/// Which end of Kafka the records are at: only those of a sink have offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// On their way into Kafka.
    Source,
    /// On their way out of Kafka.
    Sink,
}

impl Side {
    /// The side that a connector's settings are for: its class says, or that it names topics.
    pub(super) fn of(settings: &Props) -> Self {
        let class = settings.get("connector.class").map_or("", |class| class.trim());
        let is = |kind| catalog().find(&[kind], class).is_some();
        let topics = settings.contains_key("topics") || settings.contains_key("topics.regex");
        match is(PluginKind::Sink) || topics && !is(PluginKind::Source) {
            true => Self::Sink,
            false => Self::Source,
        }
    }
}

/// What a sample does not say itself.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) side: Side,
    pub(super) topic: String,
    /// Samples are values alone.
    pub(super) values: bool,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<i64>,
    headers: Option<Box<RawValue>>,
    key: Option<Box<RawValue>>,
    value: Option<Box<RawValue>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHeader {
    key: String,
    value: Option<Box<RawValue>>,
}

/// A record as it is written.
#[derive(serde::Serialize)]
pub(super) struct Written<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderOut<'a>>,
    key: Box<RawValue>,
    value: Box<RawValue>,
}

#[derive(serde::Serialize)]
struct HeaderOut<'a> {
    key: &'a str,
    value: Box<RawValue>,
}

/// The samples in a text: JSON values one after the other, or one array of them.
pub(super) fn split(text: &str) -> Result<Vec<Box<RawValue>>> {
    let invalid = |e: serde_json::Error| Error::config("the records are no JSON").with_source(e);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let values = serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>();
    let values: Vec<_> = values.collect::<Result<_, _>>().map_err(invalid)?;
    match &values[..] {
        [array] if array.get().starts_with('[') => {
            serde_json::from_str(array.get()).map_err(invalid)
        }
        _ => Ok(values),
    }
}

/// Reads and writes samples, by the rules of JsonConverter.
pub(super) struct Samples {
    plain: Box<dyn Converter>,
    enveloped: Box<dyn Converter>,
}

impl Samples {
    pub(super) fn new() -> Result<Self> {
        let catalog = catalog();
        let plugin = catalog.plugin(PluginKind::Converter, "value.converter", JSON)?;
        let Open::Converter(open) = plugin.open() else {
            return Err(Error::fatal("no converter to JSON"));
        };
        let open = |schemas: bool| {
            let keys =
                [("schemas.enable", schemas.to_string()), ("decimal.format", "numeric".into())];
            open(&keys.map(|(k, v)| (k.to_owned(), v)).into(), ConverterRole::Value)
        };
        Ok(Self { plain: open(false)?, enveloped: open(true)? })
    }

    /// Reads one record.
    pub(super) fn read(&mut self, text: &RawValue, given: &Given) -> Result<Records> {
        let sample = match given.values {
            true => Sample { value: Some(text.to_owned()), ..Sample::default() },
            false => serde_json::from_str(text.get()).map_err(no_record)?,
        };
        let of = |part: &'static str| move |e: Error| e.context("in", part);
        let topic = sample.topic.unwrap_or_else(|| given.topic.clone());
        let key = self.column(sample.key.as_deref()).map_err(of("key"))?;
        let value = self.column(sample.value.as_deref()).map_err(of("value"))?;
        let headers = self.headers(sample.headers.as_deref()).map_err(of("headers"))?;
        let mut records = Records::new(topic, value);
        records.key = key;
        records.headers = Headers::from_rows(vec![headers]);
        records.timestamps = sample.timestamp.map(|millis| vec![millis].into());
        records.partition = sample.partition;
        match (given.side, sample.offset) {
            (Side::Sink, offset) => {
                records.partition = Some(sample.partition.unwrap_or(0));
                records.offsets = Some(vec![offset.unwrap_or(0)].into());
            }
            (Side::Source, None) => {}
            (Side::Source, Some(_)) => {
                return Err(Error::config("only a sink's records have an offset")
                    .context("remedy", "take it out, or say that the side is sink"));
            }
        }
        Ok(records)
    }

    /// Plain JSON, or a schema with its payload.
    fn column(&mut self, text: Option<&RawValue>) -> Result<Column> {
        let Some(text) = text else { return Ok(Column::nulls(1)) };
        let parsed = serde_json::from_str(text.get()).unwrap_or_default();
        let converter = match is_envelope(&parsed) {
            true => &mut self.enveloped,
            false => &mut self.plain,
        };
        let rows = BinaryViewArray::from_iter_values([text.get()]);
        let mut failed = Vec::new();
        let columns = converter.to_connect_data("samples", &rows, &[], &mut failed)?;
        match failed.into_iter().next() {
            Some(row) => Err(row.error),
            None => columns.into_iter().next().ok_or_else(|| Error::fatal("no column came out")),
        }
    }

    /// Headers as an object, or as a list of objects with a key and a value.
    fn headers(&mut self, text: Option<&RawValue>) -> Result<Vec<Header>> {
        let Some(text) = text else { return Ok(Vec::new()) };
        let invalid = |e: serde_json::Error| {
            Error::config(r#"headers are {"NAME": VALUE} or [{"key": NAME, "value": VALUE}]"#)
                .with_source(e)
        };
        let written: Vec<WrittenHeader> = match text.get().starts_with('[') {
            true => serde_json::from_str(text.get()).map_err(invalid)?,
            false => {
                let mut all: BTreeMap<String, Option<Box<RawValue>>> =
                    serde_json::from_str(text.get()).map_err(invalid)?;
                let header = |key: String| {
                    let value = all.remove(&key)?;
                    Some(WrittenHeader { key, value })
                };
                names(text).into_iter().filter_map(header).collect()
            }
        };
        written.into_iter().map(|header| self.header(header)).collect()
    }

    fn header(&mut self, WrittenHeader { key, value }: WrittenHeader) -> Result<Header> {
        let column = self.column(value.as_deref())?;
        let value = column.value(0)?;
        // Headers out of Kafka nearly always have a schema.
        let schema = column.schema().cloned().or_else(|| match value {
            Value::String(_) => Some(Schema::string(false)),
            Value::Int64(_) => Some(Schema::builder(Kind::Int64).build()),
            Value::Float64(_) => Some(Schema::builder(Kind::Float64).build()),
            Value::Boolean(_) => Some(Schema::builder(Kind::Boolean).build()),
            _ => None,
        });
        Ok(Header { key: key.into(), schema, value })
    }

    /// Writes one record.
    pub(super) fn write<'a>(&mut self, record: &'a Records) -> Result<Written<'a>> {
        let mut headers = Vec::new();
        for Header { key, schema, value } in record.headers.row(0) {
            let column = Column::Rows { schema: schema.clone(), values: vec![value.clone()] };
            headers.push(HeaderOut { key, value: self.text(&column)? });
        }
        Ok(Written {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offsets.as_ref().map(|offsets| offsets[0]),
            timestamp: record.timestamp(0),
            headers,
            key: self.text(&record.key)?,
            value: self.text(&record.value)?,
        })
    }

    /// A key or value as JSON: with its schema if it has one.
    pub(super) fn text(&mut self, column: &Column) -> Result<Box<RawValue>> {
        let with_schema = column.schema().is_some();
        self.text_as(column, with_schema)
    }

    /// A key or value as JSON, without its schema.
    pub(super) fn payload(&mut self, column: &Column) -> Result<Box<RawValue>> {
        self.text_as(column, false)
    }

    fn text_as(&mut self, column: &Column, with_schema: bool) -> Result<Box<RawValue>> {
        let converter = if with_schema { &mut self.enveloped } else { &mut self.plain };
        let mut failed = Vec::new();
        let cells = converter.from_connect_data("samples", column, &mut failed)?;
        if let Some(row) = failed.into_iter().next() {
            return Err(row.error);
        }
        let bytes = cells.iter().next().flatten().unwrap_or(b"null");
        let text = String::from_utf8_lossy(bytes).into_owned();
        RawValue::from_string(text).map_err(|e| Error::fatal("this is no JSON").with_source(e))
    }
}

/// Whether a value is an object of a schema and a payload and nothing else.
pub(super) fn is_envelope(value: &serde_json::Value) -> bool {
    let members = value.as_object();
    members.is_some_and(|m| m.len() == 2 && m.contains_key("schema") && m.contains_key("payload"))
}

/// The names of an object's members, in order.
fn names(text: &RawValue) -> Vec<String> {
    let members = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text.get());
    members.map(|members| members.keys().cloned().collect()).unwrap_or_default()
}

fn no_record(error: serde_json::Error) -> Error {
    Error::config(
        "this is no record: an object with any of topic, partition, offset, timestamp, headers, \
         key and value is expected",
    )
    .context("remedy", r#"a value alone is {"value": …}, or goes with --values"#)
    .with_source(error)
}
