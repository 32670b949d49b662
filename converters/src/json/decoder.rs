//! Reads serialized rows: finds each row's schema, cuts the rows into runs of one schema, and makes
//! the cheapest column of each run.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::StringViewArray;
use millrace_api::data::json::{
    Checked, JsonObjects, Reader, SyntaxError, Token, check, parse, with_nulls_at,
};
use millrace_api::data::{Column, RowError, SchemaRef, Value};
use millrace_api::{Error, Serialized};

use crate::json::Rules;
use crate::json::builder::{Builder, Odd};
use crate::json::canonical::append_canonical;
use crate::json::fault::Fault;
use crate::json::lru::Lru;
use crate::json::node::Node;
use crate::json::read::to_value;
use crate::json::schema::read_schema;
use crate::json::unfold;
use crate::room::{Room, too_wide};
use crate::texts::{Piece, assemble};

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
    },
}

/// What the last envelope began with, up to the payload, and its schema.
struct LastEnvelope {
    prefix: Box<str>,
    schema: Option<SchemaRef>,
}

impl LastEnvelope {
    /// What follows the same beginning.
    fn rest<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let bare = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes);
        bare.strip_prefix(self.prefix.as_bytes())
    }
}

/// Runs of fewer rows become a value a row.
pub(crate) const COLUMNS_FROM: usize = 16;
/// How many values the arrays and maps of a batch may become for nothing.
pub(crate) const ROOM: usize = 32 << 20;

/// Reads rows of one converter.
pub(crate) struct Decoder {
    schemas: Schemas,
    last: Option<LastEnvelope>,
    options: Rules,
    /// Runs of fewer rows become a value a row.
    columns_from: usize,
}

/// Reports the rows that fail.
pub(crate) struct Failures<'a> {
    topic: Option<&'a str>,
    rows: &'a mut Vec<RowError>,
}

impl<'a> Failures<'a> {
    pub(crate) fn new(topic: Option<&'a str>, rows: &'a mut Vec<RowError>) -> Self {
        Self { topic, rows }
    }

    pub(crate) fn push(&mut self, row: usize, fault: Fault) {
        self.push_error(row, fault.into_error(self.topic));
    }

    pub(crate) fn push_error(&mut self, row: usize, error: Error) {
        self.rows.push(RowError { row, error });
    }
}

/// Consecutive rows of one schema. Null and failed rows have no payload.
struct Run<'a> {
    schema: Option<SchemaRef>,
    /// False while all rows so far are null: they take the schema of the first that is not.
    is_known: bool,
    first: usize,
    payloads: Vec<Option<Payload<'a>>>,
}

/// A row's payload.
#[derive(Clone, Copy)]
enum Payload<'a> {
    /// Valid JSON, or blank with a fixed schema.
    Checked(&'a str),
    /// The envelope from the payload on. It began as the last one did, so it probably goes on like
    /// it: whoever reads the payload finds out, and spares the row a second reading. Whether it is
    /// text is asked then too, when its bytes are near.
    Rest(&'a [u8]),
}

/// An envelope is not made like the last one after all.
struct Unlike;

impl<'a> Payload<'a> {
    fn checked(self) -> Result<&'a str, Unlike> {
        match self {
            Self::Checked(payload) => Ok(payload),
            Self::Rest(rest) => only_member(text(rest)?).ok_or(Unlike),
        }
    }
}

fn text(rest: &[u8]) -> Result<&str, Unlike> {
    std::str::from_utf8(rest).map_err(|_| Unlike)
}

impl Decoder {
    pub(crate) fn new(schemas: Schemas, options: Rules) -> Self {
        Self { schemas, last: None, options, columns_from: COLUMNS_FROM }
    }

    /// Sets from how many rows on a run becomes Arrow, so that tests can compare both ways.
    #[cfg(test)]
    pub(crate) fn with_columns_from(mut self, rows: usize) -> Self {
        self.columns_from = rows;
        self
    }

    /// Reads a value on its own, such as a header's.
    pub(crate) fn value(&mut self, bytes: &[u8]) -> Result<(Option<SchemaRef>, Value), Fault> {
        let (schema, payload) = self.split(utf8(bytes)?)?;
        let value = match &schema {
            Some(schema) => to_value(schema, Some(&Node::parse(payload)?), self.options)?,
            None => parse(payload).map_err(|e| Fault::new(e.message().to_owned()))?,
        };
        Ok((schema, value))
    }

    /// Reads all rows. As many rows come out, those null that fail.
    pub(crate) fn columns(&mut self, rows: &Serialized, failed: &mut Failures<'_>) -> Vec<Column> {
        if matches!(self.schemas, Schemas::None) {
            let failed_before = failed.rows.len();
            let column = schemaless(rows, self.columns_from, failed);
            failed.rows[failed_before..].sort_by_key(|failed| failed.row);
            return vec![column];
        }
        let failed_before = failed.rows.len();
        if let Ok(columns) = self.read(rows, Self::guess, failed) {
            return columns;
        }
        failed.rows.truncate(failed_before);
        let checked = self.read(rows, Self::split_checked, failed);
        checked.unwrap_or_else(|Unlike| unreachable!("every payload was checked"))
    }

    fn read(
        &mut self,
        rows: &Serialized,
        split: for<'s, 'a> fn(&'s mut Self, &'a [u8]) -> Result<Split<'s, Payload<'a>>, Fault>,
        failed: &mut Failures<'_>,
    ) -> Result<Vec<Column>, Unlike> {
        let mut runs: Vec<Run<'_>> = Vec::new();
        for (row, bytes) in rows.iter().enumerate() {
            match bytes.map(|bytes| split(self, bytes)) {
                Some(Ok((schema, payload))) => add(&mut runs, row, schema, payload),
                Some(Err(fault)) => {
                    failed.push(row, fault);
                    add_null(&mut runs, row);
                }
                None => add_null(&mut runs, row),
            }
        }
        if runs.is_empty() {
            return Ok(vec![Column::nulls(0)]);
        }
        let mut room = Room::new(ROOM);
        runs.into_iter().map(|run| self.column(rows, run, &mut room, failed)).collect()
    }

    /// A row's schema, and its payload as far as the envelope's beginning tells.
    fn guess<'a>(&mut self, bytes: &'a [u8]) -> Result<Split<'_, Payload<'a>>, Fault> {
        let Some(rest) = self.last.as_ref().and_then(|last| last.rest(bytes)) else {
            return self.split_checked(bytes);
        };
        let last = self.last.as_ref().expect("its beginning was compared");
        Ok((Cow::Borrowed(&last.schema), Payload::Rest(rest)))
    }

    fn split_checked<'a>(&mut self, bytes: &'a [u8]) -> Result<Split<'_, Payload<'a>>, Fault> {
        let (schema, payload) = self.split(utf8(bytes)?)?;
        Ok((Cow::Owned(schema), Payload::Checked(payload)))
    }

    /// A row's schema and payload. The payload is checked JSON, or blank with a fixed schema.
    fn split<'a>(&mut self, text: &'a str) -> Result<(Option<SchemaRef>, &'a str), Fault> {
        let text = without_mark(text);
        match &mut self.schemas {
            Schemas::None => {
                check(text)?;
                Ok((None, text))
            }
            Schemas::Fixed(schema) => {
                check(text)?;
                Ok((Some(Arc::clone(schema)), text))
            }
            Schemas::Envelope { by_text } => {
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
                    self.last =
                        Some(LastEnvelope { prefix: prefix.into(), schema: schema.clone() });
                }
                Ok((schema, parts.payload))
            }
        }
    }

    fn column(
        &self,
        rows: &Serialized,
        run: Run<'_>,
        room: &mut Room,
        failed: &mut Failures<'_>,
    ) -> Result<Column, Unlike> {
        let Some(schema) = &run.schema else {
            let payloads = run.payloads.iter().map(|p| p.map(Payload::checked).transpose());
            let payloads = payloads.collect::<Result<Vec<_>, _>>()?;
            let pieces = payloads.iter().map(|payload| {
                let payload = (*payload)?;
                strict(payload, check(payload).ok()?)
            });
            return Ok(Column::Json(assemble(rows, run.first, pieces)));
        };
        let Self { options, columns_from, .. } = *self;
        let mut reader = RunReader { schema, options, columns_from, room };
        reader.column(run.first, &run.payloads, failed)
    }
}

/// Reads consecutive payloads of one schema.
pub(crate) struct RunReader<'a> {
    pub(crate) schema: &'a SchemaRef,
    pub(crate) options: Rules,
    /// Fewer rows become a value a row.
    pub(crate) columns_from: usize,
    /// Of values; columns count their cells.
    pub(crate) room: &'a mut Room,
}

impl RunReader<'_> {
    /// A column of texts, the first of which is the row `first`; none is null.
    pub(crate) fn texts(
        &mut self,
        first: usize,
        texts: &[Option<&str>],
        failed: &mut Failures<'_>,
    ) -> Column {
        let texts = texts.iter().map(|text| text.map(without_mark));
        let payloads: Vec<_> = texts.map(|text| text.map(Payload::Checked)).collect();
        let column = self.column(first, &payloads, failed);
        column.unwrap_or_else(|Unlike| unreachable!("these are no envelopes"))
    }

    fn column(
        &mut self,
        first: usize,
        payloads: &[Option<Payload<'_>>],
        failed: &mut Failures<'_>,
    ) -> Result<Column, Unlike> {
        if payloads.len() >= self.columns_from
            && let Some(column) = self.typed(first, payloads, failed)?
        {
            return Ok(column);
        }
        let values = (first..).zip(payloads).map(|(row, payload)| {
            let Some(payload) = payload else {
                return Ok(Value::Null);
            };
            Ok(self.value(*payload)?.unwrap_or_else(|fault| {
                failed.push(row, fault);
                Value::Null
            }))
        });
        let values = values.collect::<Result<_, Unlike>>()?;
        Ok(Column::Rows { schema: Some(Arc::clone(self.schema)), values })
    }

    fn value(&mut self, payload: Payload<'_>) -> Result<Result<Value, Fault>, Unlike> {
        Ok(self.value_of(payload.checked()?))
    }

    fn value_of(&mut self, text: &str) -> Result<Value, Fault> {
        let node = Node::parse(text)?;
        let mut room = self.room.open(text.len());
        unfold::take_room(self.schema, &node, &mut room)
            .ok_or_else(|| too_wide("arrays and maps"))?;
        self.room.close(room);
        to_value(self.schema, Some(&node), self.options)
    }

    /// None when Arrow cannot hold all values; then nothing is reported as failed either.
    fn typed(
        &mut self,
        first: usize,
        payloads: &[Option<Payload<'_>>],
        failed: &mut Failures<'_>,
    ) -> Result<Option<Column>, Unlike> {
        let failed_before = failed.rows.len();
        let Some(mut builder) = Builder::new(self.schema, self.options, payloads.len()) else {
            return Ok(None);
        };
        for (row, payload) in (first..).zip(payloads) {
            let appended = match payload {
                None => {
                    builder.append_null();
                    continue;
                }
                Some(Payload::Checked(text)) => builder.append_text(text),
                Some(Payload::Rest(rest)) => builder.append_last_member(text(rest)?),
            };
            let (Err(Odd), Some(payload)) = (appended, payload) else {
                continue;
            };
            match self.value(*payload)? {
                Ok(value) if builder.append_value(&value).is_ok() => {}
                Ok(_) => {
                    failed.rows.truncate(failed_before);
                    return Ok(None);
                }
                Err(fault) => {
                    failed.push(row, fault);
                    builder.append_null();
                }
            }
        }
        let schema = Arc::clone(self.schema);
        Ok(Some(Column::Typed { schema, array: builder.finish() }))
    }
}

/// A row's schema, borrowed where the last envelope had it too, and payload.
type Split<'s, P> = (Cow<'s, Option<SchemaRef>>, P);

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Without a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        Fault::new("Converting byte[] to Kafka Connect data failed due to serialization error: ")
            .because(format!("not UTF-8 at byte {}", error.valid_up_to()))
    })
}

fn add<'a>(
    runs: &mut Vec<Run<'a>>,
    row: usize,
    schema: Cow<'_, Option<SchemaRef>>,
    payload: Payload<'a>,
) {
    let same = |a: &Option<SchemaRef>, b: &Option<SchemaRef>| match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (a, b) => a.is_none() && b.is_none(),
    };
    match runs.last_mut() {
        Some(run) if !run.is_known => {
            run.schema = schema.into_owned();
            run.is_known = true;
            run.payloads.push(Some(payload));
        }
        Some(run) if same(&run.schema, &schema) => run.payloads.push(Some(payload)),
        _ => {
            let (schema, payloads) = (schema.into_owned(), vec![Some(payload)]);
            runs.push(Run { schema, is_known: true, first: row, payloads });
        }
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
fn strict(text: &str, checked: Checked) -> Option<Cow<'_, str>> {
    match checked {
        Checked::Strict => Some(Cow::Borrowed(text)),
        Checked::Lenient => {
            let mut out = Vec::new();
            append_canonical(text, &mut out).ok()?;
            String::from_utf8(out).ok().map(Cow::Owned)
        }
        Checked::Blank => None,
    }
}

/// The texts by member where they are many objects that have the same, else themselves where every row
/// is strict JSON or refused, else with the others put right.
fn schemaless(rows: &Serialized, columns_from: usize, failed: &mut Failures<'_>) -> Column {
    let texts = only_texts(rows, failed);
    let failed_before = failed.rows.len();
    let refuse = |row: usize, error: SyntaxError| failed.push(row, error.into());
    if texts.views().len() >= columns_from
        && let Some(objects) = JsonObjects::read(&texts, refuse)
    {
        return Column::Objects(objects);
    }
    failed.rows.truncate(failed_before);
    let (mut is_strict, mut refused) = (true, Vec::new());
    let pieces: Vec<Piece<'_>> = (texts.iter().enumerate())
        .map(|(row, text)| {
            let (whole, text) = (text?, without_mark(text?));
            let checked = check(text);
            match checked {
                Ok(checked) => {
                    is_strict &= checked == Checked::Strict && text.len() == whole.len();
                    strict(text, checked)
                }
                Err(error) => {
                    refused.push(row);
                    failed.push(row, error.into());
                    None
                }
            }
        })
        .collect();
    if is_strict {
        return Column::Json(with_nulls_at(&texts, &refused));
    }
    Column::Json(assemble(rows, 0, pieces.into_iter()))
}

/// The rows as texts; those that are none are null, and reported.
fn only_texts(rows: &Serialized, failed: &mut Failures<'_>) -> StringViewArray {
    if let Ok(texts) = rows.clone().to_string_view() {
        return texts;
    }
    let pieces: Vec<Piece<'_>> = (rows.iter().enumerate())
        .map(|(row, bytes)| match utf8(bytes?) {
            Ok(text) => Some(Cow::Borrowed(text)),
            Err(fault) => {
                failed.push(row, fault);
                None
            }
        })
        .collect();
    assemble(rows, 0, pieces.into_iter())
}
