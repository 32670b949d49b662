//! Writes the rows of any column as JSON, whatever form the column has.

use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use millrace_api::data::json::{JsonMember, JsonObjects};
use millrace_api::data::{Column, RowError, Schema, SchemaRef, Value};
use millrace_api::{Error, Result};

use crate::json::canonical::append_canonical;
use crate::json::fault::Fault;
use crate::json::lru::Lru;
use crate::json::plan::{Cells, Plan};
use crate::json::schema::append_schema;
use crate::json::text::append_text;
use crate::json::value::append_value;
use crate::json::{JsonOptions, Rules};

/// What is known of a schema before its first row.
pub(crate) struct Compiled {
    /// Keeps the schema alive, so that its address stays its own.
    schema: SchemaRef,
    /// None when Arrow cannot hold the schema: then its columns are rows.
    plan: Option<Plan>,
    /// `{"schema":…,"payload":`, or why the schema cannot be written.
    pub(crate) envelope: std::result::Result<Vec<u8>, Fault>,
}

impl Compiled {
    fn new(schema: &SchemaRef, options: Rules) -> Self {
        let mut envelope = b"{\"schema\":".to_vec();
        let written = append_schema(schema, options, &mut envelope);
        envelope.extend_from_slice(b",\"payload\":");
        Self {
            schema: Arc::clone(schema),
            plan: schema.arrow_type().map(|_| Plan::new(schema, options)),
            envelope: written.map(|()| envelope),
        }
    }
}

/// Encoders by the address of their schema: sources send the same one run after run.
pub(crate) struct Encoders {
    options: Rules,
    by_address: Lru<usize, Arc<Compiled>>,
}

impl Encoders {
    pub(crate) fn new(options: Rules, capacity: usize) -> Self {
        Self { options, by_address: Lru::new(capacity) }
    }

    /// The encoder of a column's schema.
    pub(crate) fn of(&mut self, column: &Column) -> Option<Arc<Compiled>> {
        let schema = column.schema()?;
        let address = Arc::as_ptr(schema).addr();
        if let Some(compiled) = self.by_address.get(&address) {
            debug_assert!(Arc::ptr_eq(&compiled.schema, schema));
            return Some(compiled);
        }
        let compiled = Arc::new(Compiled::new(schema, self.options));
        self.by_address.insert(address, Arc::clone(&compiled));
        Some(compiled)
    }

    /// A column ready to be written.
    pub(crate) fn bind<'a>(
        &self,
        column: &'a Column,
        compiled: Option<&'a Compiled>,
    ) -> Result<Rows<'a>> {
        Ok(match column {
            Column::Typed { schema, array } => {
                let plan = compiled.and_then(|c| c.plan.as_ref()).ok_or_else(|| {
                    Error::fatal("a typed column has a schema that Arrow cannot hold")
                        .context("schema type", schema.kind().name())
                })?;
                Rows::Typed(plan.bind(schema, array)?)
            }
            Column::Json(texts) => Rows::Json(texts),
            Column::Objects(objects) => Rows::Objects(ObjectRows::new(objects)),
            Column::Rows { schema, values } => {
                Rows::Values(schema.as_deref(), values, self.options)
            }
        })
    }
}

/// The rows of a column, ready to be written.
pub(crate) enum Rows<'a> {
    Typed(Cells<'a>),
    Json(&'a StringViewArray),
    Objects(ObjectRows<'a>),
    Values(Option<&'a Schema>, &'a [Value], Rules),
}

impl Rows<'_> {
    /// Appends a row. What was appended before an error is the caller's to drop.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        match self {
            Self::Typed(cells) => cells.append(row, out),
            Self::Json(texts) if texts.is_null(row) => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            Self::Json(texts) => append_canonical(texts.value(row), out),
            Self::Objects(objects) => objects.append(row, out),
            Self::Values(schema, values, options) => {
                append_value(*schema, &values[row], *options, out)
            }
        }
    }
}

/// Objects by member, with what all rows have in common written before.
pub(crate) struct ObjectRows<'a> {
    objects: &'a JsonObjects,
    members: Vec<MemberRows<'a>>,
}

struct MemberRows<'a> {
    member: &'a JsonMember,
    /// A comma, the name and a colon.
    name: Vec<u8>,
}

impl<'a> ObjectRows<'a> {
    fn new(objects: &'a JsonObjects) -> Self {
        let rows = |member: &'a JsonMember| {
            let mut name = b",".to_vec();
            append_text(member.name(), &mut name);
            name.push(b':');
            MemberRows { member, name }
        };
        Self { objects, members: objects.members().iter().map(rows).collect() }
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        if self.objects.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let brace = out.len();
        for MemberRows { member, name } in &self.members {
            if let Some(text) = self.objects.text(member, row) {
                out.extend_from_slice(name);
                append_canonical(text, out)?;
            }
        }
        // It stands where the first member has put its comma.
        match out.get_mut(brace) {
            Some(comma) => *comma = b'{',
            None => out.push(b'{'),
        }
        out.push(b'}');
        Ok(())
    }
}

/// Writes rows of columns as JSON, without envelope: what sinks put into files and requests.
///
/// ```
/// use millrace_api::data::{Column, Schema, Value};
/// use millrace_converters::{JsonOptions, JsonWriter};
///
/// let values = vec![Value::from("a \"word\""), Value::Null];
/// let column = Column::from_values(Some(Schema::string(true)), values);
/// let mut lines = Vec::new();
/// JsonWriter::new(JsonOptions::default()).append_lines(&column, &mut lines, &mut Vec::new())?;
/// assert_eq!(lines, b"\"a \\\"word\\\"\"\nnull\n");
/// # Ok::<(), millrace_api::Error>(())
/// ```
pub struct JsonWriter {
    encoders: Encoders,
}

impl JsonWriter {
    /// A writer that keeps the encoders of the last 100 schemas.
    pub fn new(options: JsonOptions) -> Self {
        Self { encoders: Encoders::new(options.into(), 100) }
    }

    /// Appends each row and a line feed. Rows that fail are left out and reported.
    pub fn append_lines(
        &mut self,
        column: &Column,
        out: &mut Vec<u8>,
        failed: &mut Vec<RowError>,
    ) -> Result<()> {
        let compiled = self.encoders.of(column);
        let rows = self.encoders.bind(column, compiled.as_deref())?;
        for row in 0..column.len() {
            match append_whole(&rows, row, out) {
                Ok(()) => out.push(b'\n'),
                Err(error) => failed.push(RowError { row, error }),
            }
        }
        Ok(())
    }
}

fn append_whole(rows: &Rows<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    rows.append(row, out).map_err(|fault| {
        out.truncate(start);
        fault.into_error(None)
    })
}
