//! What a format of payloads has to know, so that a registry can keep its schemas: Avro, Protobuf
//! and JSON Schema implement this, and nothing of them knows of ids, subjects or requests.

use std::sync::Arc;

use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Result, Serialized};

/// A schema as a registry keeps it, with all it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaText {
    /// In the format's own language.
    pub(crate) text: Arc<str>,
    /// What it refers to, and what that refers to: each after those it needs itself.
    pub(crate) references: Vec<(Arc<str>, Arc<str>)>,
}

/// What Connect data become in a format.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) schema: SchemaText,
    /// The full name of the record or message; some strategies name subjects by it.
    pub(crate) record_name: Option<Arc<str>>,
}

/// A schema that a format has compiled, by the order in which it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Compiled(pub(crate) usize);

/// A row to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    /// Its writer's schema.
    pub(crate) schema: Compiled,
    /// What follows the id, the [opening](Format::opening) included; none is a tombstone, or a row
    /// that failed before.
    pub(crate) payload: Option<&'a [u8]>,
}

/// How many rows from the first on have one schema. Those that have none join their neighbours.
pub(crate) fn run_length<S: Copy>(
    schemas: impl IntoIterator<Item = Option<S>>,
    is_same: impl Fn(S, S) -> bool,
) -> usize {
    let mut known = None;
    let mut length = 0;
    for schema in schemas {
        match (known, schema) {
            (Some(known), Some(schema)) if !is_same(known, schema) => break,
            _ => known = known.or(schema),
        }
        length += 1;
    }
    length
}

/// Payloads with a schema, between bytes and columns.
///
/// What is compiled stays until all of it is [forgotten](Self::forget).
pub(crate) trait Format: Send {
    /// Drops all that was compiled.
    fn forget(&mut self);

    /// Compiles what reads payloads that were written with this schema. `version` is the one it has
    /// in its subject, if that is known: the schema of the columns gets it.
    ///
    /// # Errors
    ///
    /// When the schema does not parse, or has no likeness in Connect: every row with it fails.
    fn compile_reader(&mut self, schema: &SchemaText, version: Option<i32>) -> Result<Compiled>;

    /// Compiles what reads payloads that were written with one schema as data of another, which has
    /// this version. Rows of many schemas that are read as one come out in one column.
    ///
    /// # Errors
    ///
    /// When what is wanted cannot be made of what was written, whatever a payload holds.
    fn compile_resolver(
        &mut self,
        _written: &SchemaText,
        wanted: &SchemaText,
        version: Option<i32>,
    ) -> Result<Compiled> {
        // Where payloads name their fields, that says it all.
        self.compile_reader(wanted, version)
    }

    /// Reads rows into columns, one a run of rows with the same Connect schema; as many rows come
    /// out. Rows that fail are null in whatever column they fall into, and cost only themselves.
    fn read(&mut self, rows: &[Row<'_>], failed: &mut Vec<RowError>) -> Result<Vec<Column>>;

    /// The schema of Connect data in this format.
    fn describe(&mut self, schema: Option<&SchemaRef>) -> Result<Described>;

    /// Compiles what writes columns of a Connect schema with a schema of this format: the one that
    /// [`describe`](Self::describe) gave, or another that the registry prescribes.
    ///
    /// # Errors
    ///
    /// When such data do not fit that schema.
    fn compile_writer(
        &mut self,
        connect: Option<&SchemaRef>,
        schema: &SchemaText,
    ) -> Result<Compiled>;

    /// What every payload of a writer begins with that names a type within the schema, as Protobuf's
    /// message indexes do. It goes wherever the id goes, so that [`write`](Self::write) leaves it
    /// out: in the prefix, or in a header.
    fn opening(&self, _writer: Compiled) -> Vec<u8> {
        Vec::new()
    }

    /// Whether null is written as no value at all, for data of this schema. Such rows alone need
    /// no schema in the registry.
    fn is_tombstone(&self, schema: Option<&SchemaRef>) -> bool {
        schema.is_none_or(|schema| schema.is_optional())
    }

    /// Writes a column, each row after a prefix.
    fn write(
        &mut self,
        writer: Compiled,
        column: &Column,
        prefix: &[u8],
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized>;

    /// Whether data that this format describes as `ours` may be written with the subject's latest
    /// schema (`latest.compatibility.strict`): what reads the latest must be able to read ours.
    fn is_compatible(&self, ours: &SchemaText, latest: &SchemaText) -> Result<bool>;
}
