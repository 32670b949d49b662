//! Reads serialized rows: finds each row's schema, cuts the rows into runs of one schema, and makes
//! the cheapest column of each run.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use millrace_api::Serialized;
use millrace_api::data::json::{Checked, Reader, Token, check, parse};
use millrace_api::data::{Column, RowError, SchemaRef, Value};

use crate::json::JsonOptions;
use crate::json::builder::{Builder, Odd};
use crate::json::canonical::append_canonical;
use crate::json::fault::Fault;
use crate::json::lru::Lru;
use crate::json::node::Node;
use crate::json::read::to_value;
use crate::json::schema::read_schema;
use crate::texts::{Piece, Texts, assemble};

const NO_ENVELOPE: &str = "JsonConverter with schemas.enable requires \"schema\" and \"payload\" \
    fields and may not contain additional fields. If you are trying to deserialize plain JSON \
    data, set schemas.enable=false in your converter configuration.";

/// Where a row's schema comes from.
pub(crate) enum Schemas {
    /// There is none (`schemas.enable=false`).
    None,
    /// All rows have the same (`schema.content`).
    Fixed(SchemaRef),
    /// Each row is an envelope.
    Envelope {
        /// By their text.
        by_text: Lru<Box<str>, Option<SchemaRef>>,
        /// What the last envelope began with, up to the payload, and its schema.
        last: Option<(Box<str>, Option<SchemaRef>)>,
    },
}

/// Reads rows of one converter.
pub(crate) struct Decoder {
    schemas: Schemas,
    options: JsonOptions,
    /// Runs of fewer rows become a value a row.
    columns_from: usize,
}

/// Reports the rows that fail.
pub(crate) struct Failures<'a> {
    topic: &'a str,
    rows: &'a mut Vec<RowError>,
}

impl<'a> Failures<'a> {
    pub(crate) fn new(topic: &'a str, rows: &'a mut Vec<RowError>) -> Self {
        Self { topic, rows }
    }

    pub(crate) fn push(&mut self, row: usize, fault: Fault) {
        let error = fault.into_error(Some(self.topic));
        self.rows.push(RowError { row, error });
    }
}

/// Consecutive rows of one schema. Null and failed rows have no payload.
struct Run<'a> {
    schema: Option<SchemaRef>,
    /// False while all rows so far are null: they take the schema of the first that is not.
    is_known: bool,
    first: usize,
    payloads: Vec<Option<&'a str>>,
}

impl Decoder {
    pub(crate) fn new(schemas: Schemas, options: JsonOptions) -> Self {
        Self { schemas, options, columns_from: 16 }
    }

    /// Sets from how many rows on a run becomes Arrow, so that tests can compare both ways.
    #[cfg(test)]
    pub(crate) fn with_columns_from(mut self, rows: usize) -> Self {
        self.columns_from = rows;
        self
    }

    /// Reads a value on its own, such as a header's.
    pub(crate) fn value(&mut self, bytes: &[u8]) -> Result<(Option<SchemaRef>, Value), Fault> {
        let text = utf8(bytes)?;
        let (schema, payload) = self.split(text)?;
        let value = match &schema {
            Some(schema) => to_value(schema, Some(&Node::parse(payload)?), self.options)?,
            None => parse(payload).map_err(|e| Fault::new(e.message().to_owned()))?,
        };
        Ok((schema, value))
    }

    /// Reads all rows. As many rows come out, those null that fail.
    pub(crate) fn columns(&mut self, rows: &Serialized, failed: &mut Failures<'_>) -> Vec<Column> {
        let texts = Texts::of(rows);
        if matches!(self.schemas, Schemas::None) {
            return vec![Column::Json(schemaless(rows, texts, failed))];
        }
        let mut runs: Vec<Run<'_>> = Vec::new();
        for row in 0..rows.len() {
            let split = match texts.row(row) {
                None => None,
                Some(Ok(text)) => Some(self.split(text)),
                Some(Err(bytes)) => Some(utf8(bytes).map(|text| (None, text))),
            };
            match split {
                Some(Ok((schema, payload))) => add(&mut runs, row, schema, payload),
                Some(Err(fault)) => {
                    failed.push(row, fault);
                    add_null(&mut runs, row);
                }
                None => add_null(&mut runs, row),
            }
        }
        if runs.is_empty() {
            return vec![Column::nulls(0)];
        }
        let column = |run: Run<'_>| self.column(rows, run, failed);
        runs.into_iter().map(column).collect()
    }

    /// A row's schema and payload. The payload is checked JSON, or blank with a fixed schema.
    fn split<'a>(&mut self, text: &'a str) -> Result<(Option<SchemaRef>, &'a str), Fault> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match &mut self.schemas {
            Schemas::None => {
                check(text)?;
                Ok((None, text))
            }
            Schemas::Fixed(schema) => {
                check(text)?;
                Ok((Some(Arc::clone(schema)), text))
            }
            Schemas::Envelope { by_text, last } => {
                if let Some((prefix, schema)) = last
                    && let Some(rest) = text.strip_prefix(&**prefix)
                    && let Some(payload) = only_member(rest)
                {
                    return Ok((schema.clone(), payload));
                }
                let parts = split_envelope(text)?;
                let schema = match by_text.get(parts.schema) {
                    Some(schema) => schema,
                    None => {
                        let node = Node::parse(parts.schema)?;
                        let schema = read_schema(&node, self.options)?;
                        by_text.insert(parts.schema.into(), schema.clone());
                        schema
                    }
                };
                if let Some(prefix) = parts.prefix {
                    *last = Some((prefix.into(), schema.clone()));
                }
                Ok((schema, parts.payload))
            }
        }
    }

    fn column(&self, rows: &Serialized, run: Run<'_>, failed: &mut Failures<'_>) -> Column {
        let Some(schema) = &run.schema else {
            let pieces = run.payloads.iter().map(|p| p.and_then(strict));
            return Column::Json(assemble(rows, run.first, pieces));
        };
        if run.payloads.len() >= self.columns_from
            && let Some(column) = self.typed(schema, &run, failed)
        {
            return column;
        }
        let values = (run.first..).zip(&run.payloads).map(|(row, payload)| {
            let Some(payload) = payload else {
                return Value::Null;
            };
            let node = Node::parse(payload).map_err(Fault::from);
            let value = node.and_then(|node| to_value(schema, Some(&node), self.options));
            value.unwrap_or_else(|fault| {
                failed.push(row, fault);
                Value::Null
            })
        });
        Column::Rows { schema: Some(Arc::clone(schema)), values: values.collect() }
    }

    /// None when Arrow cannot hold all values; then nothing is reported as failed either.
    fn typed(
        &self,
        schema: &SchemaRef,
        run: &Run<'_>,
        failed: &mut Failures<'_>,
    ) -> Option<Column> {
        let failed_before = failed.rows.len();
        let mut builder = Builder::new(schema, self.options)?;
        for (row, payload) in (run.first..).zip(&run.payloads) {
            let Some(payload) = payload else {
                builder.append_null();
                continue;
            };
            let Err(Odd) = builder.append_text(payload) else {
                continue;
            };
            let node = Node::parse(payload).map_err(Fault::from);
            match node.and_then(|node| to_value(schema, Some(&node), self.options)) {
                Ok(value) if builder.append_value(&value).is_ok() => {}
                Ok(_) => {
                    failed.rows.truncate(failed_before);
                    return None;
                }
                Err(fault) => {
                    failed.push(row, fault);
                    builder.append_null();
                }
            }
        }
        Some(Column::Typed { schema: Arc::clone(schema), array: builder.finish() })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        Fault::new("Converting byte[] to Kafka Connect data failed due to serialization error: ")
            .because(format!("not UTF-8 at byte {}", error.valid_up_to()))
    })
}

fn add<'a>(runs: &mut Vec<Run<'a>>, row: usize, schema: Option<SchemaRef>, payload: &'a str) {
    let same = |a: &Option<SchemaRef>, b: &Option<SchemaRef>| match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    };
    match runs.last_mut() {
        Some(run) if !run.is_known => {
            run.schema = schema;
            run.is_known = true;
            run.payloads.push(Some(payload));
        }
        Some(run) if same(&run.schema, &schema) => run.payloads.push(Some(payload)),
        _ => runs.push(Run { schema, is_known: true, first: row, payloads: vec![Some(payload)] }),
    }
}

fn add_null(runs: &mut Vec<Run<'_>>, row: usize) {
    match runs.last_mut() {
        Some(run) => run.payloads.push(None),
        None => runs.push(Run { schema: None, is_known: false, first: row, payloads: vec![None] }),
    }
}

/// The value before the closing brace, if that is what follows it.
fn only_member(rest: &str) -> Option<&str> {
    let mut reader = Reader::within(rest);
    reader.skip().ok()?;
    let payload = &rest[..reader.position()];
    let mut first = false;
    matches!(reader.next_name(&mut first), Ok(None)).then_some(payload)
}

struct Envelope<'a> {
    schema: &'a str,
    payload: &'a str,
    /// All before the payload, when the schema comes first.
    prefix: Option<&'a str>,
}

fn split_envelope(text: &str) -> Result<Envelope<'_>, Fault> {
    let mut reader = Reader::new(text);
    if check(text)? == Checked::Blank || reader.peek()? != Token::Object {
        return Err(Fault::new(NO_ENVELOPE));
    }
    let (mut schema, mut payload) = (None, None);
    let mut prefix = None;
    let mut has_others = false;
    reader.enter()?;
    let mut first = true;
    let mut members = 0;
    while let Some(name) = reader.next_name(&mut first)? {
        reader.peek()?;
        let start = reader.position();
        reader.skip()?;
        let value = &text[start..reader.position()];
        members += 1;
        match &*name {
            "schema" => schema = Some(value),
            "payload" => {
                payload = Some(value);
                prefix = schema.map(|_| &text[..start]).filter(|_| members == 2);
            }
            _ => has_others = true,
        }
    }
    match (schema, payload) {
        (Some(schema), Some(payload)) if !has_others => {
            Ok(Envelope { schema, payload, prefix: prefix.filter(|_| members == 2) })
        }
        _ => Err(Fault::new(NO_ENVELOPE)),
    }
}

/// Text that is JSON for all, from text that Java takes for it; none when it is blank.
fn strict(text: &str) -> Option<Cow<'_, str>> {
    match check(text) {
        Ok(Checked::Strict) => Some(Cow::Borrowed(text)),
        Ok(Checked::Lenient) => {
            let mut out = Vec::new();
            append_canonical(text, &mut out).ok()?;
            String::from_utf8(out).ok().map(Cow::Owned)
        }
        Ok(Checked::Blank) | Err(_) => None,
    }
}

/// The texts themselves, where every row is strict JSON; else the others are put right.
fn schemaless(rows: &Serialized, texts: Texts<'_>, failed: &mut Failures<'_>) -> StringViewArray {
    let is_strict = |row: usize| match texts.row(row) {
        None => true,
        Some(text) => text.is_ok_and(|text| matches!(check(text), Ok(Checked::Strict))),
    };
    let first_odd = (0..rows.len()).find(|row| !is_strict(*row));
    let first_odd = match (first_odd, texts) {
        (None, Texts::All(texts)) => return texts,
        // Only the bytes of null rows are no text.
        (None, Texts::Some(_)) => rows.len(),
        (Some(row), _) => row,
    };
    let pieces: Vec<Piece<'_>> = (0..rows.len())
        .map(|row| {
            let bytes = rows.is_valid(row).then(|| rows.value(row))?;
            let text = utf8(bytes).map_err(|fault| failed.push(row, fault)).ok()?;
            if row < first_odd {
                return Some(Cow::Borrowed(text));
            }
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            match check(text) {
                Ok(_) => strict(text),
                Err(error) => {
                    failed.push(row, error.into());
                    None
                }
            }
        })
        .collect();
    assemble(rows, 0, pieces.into_iter())
}
