//! `ProtobufConverter`: Connect data as messages whose Protobuf schema a registry keeps.

mod clashes;
mod compatible;
mod config;
mod describe;
mod encode;
mod files;
mod known;
mod names;
mod plan;
mod read;
mod to_connect;
mod wire;
mod write;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use millrace_api::config::{Config, ConfigDef, Props};
use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Converter, ConverterRole, Error, Result, Serialized};
use protox::prost_reflect::FileDescriptor;
use schema_registry_client::SchemaType;

use crate::cells::Builder;
use crate::json::{Failures, Fault};
use crate::protobuf::describe::describe;
use crate::protobuf::files::{compile, indexes_of, message_at};
use crate::protobuf::names::map_field;
use crate::protobuf::plan::Plan;
use crate::protobuf::read::Scratch;
use crate::protobuf::wire::Input;
use crate::protobuf::write::To;
use crate::registry::{
    self, Compiled, Described, Format, RegistryConfig, Row, SchemaText, run_length,
};
use crate::room::Room;
use crate::row_buffer::RowBuffer;
use crate::varint::{append_varint, to_zigzag};

pub(crate) use config::{ProtobufConfig, Settings};

pub(crate) const CLASS: &str = "io.confluent.connect.protobuf.ProtobufConverter";

/// The parameter of texts that are enums; one more for each symbol follows.
const ENUM: &str = "io.confluent.connect.protobuf.Enum";
/// The same in all formats (`generalized.sum.type.support`).
const SUM_ENUM: &str = "org.apache.kafka.connect.data.Enum";
/// What names of structs that stand for a oneof begin with.
const UNION_NAME: &str = "io.confluent.connect.protobuf.Union";
/// The parameter that holds a field's number.
const TAG: &str = "io.confluent.connect.protobuf.Tag";
/// The parameter that holds a field's type, where Connect's tells less.
const TYPE: &str = "io.confluent.connect.protobuf.Type";
/// The parameter of union members that are wrapper messages.
const WRAPPER: &str = "io.confluent.connect.protobuf.Wrapper";
/// The parameter that holds how many digits a decimal has.
const PRECISION: &str = "connect.decimal.precision";

/// The name of structs that hold a value of any type, in the binary form of that name.
const VARIANT: &str = "org.apache.kafka.connect.data.Variant";

/// How deep messages may be nested in the file, by the indexes of a payload.
const MAX_INDEXES: u64 = 100;
/// How many cells the lists and maps of a batch may become for nothing: some 256 MiB as numbers.
/// There is no other way for messages than that into columns.
const ROOM: usize = 32 << 20;

/// Whether a message stands for the one value in it (`google/protobuf/wrappers.proto`).
fn is_wrapper(full_name: &str) -> bool {
    let name = full_name.strip_prefix("google.protobuf.").and_then(|n| n.strip_suffix("Value"));
    name.is_some_and(|name| {
        let names =
            ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
        names.contains(&name)
    })
}

#[derive(Config)]
struct ProtobufConverterConfig {
    #[config(nested)]
    _registry: RegistryConfig,
    #[config(nested)]
    protobuf: ProtobufConfig,
}

pub(crate) fn config_def() -> ConfigDef {
    ProtobufConverterConfig::config_def()
}

pub(crate) fn converter(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    let config = ProtobufConverterConfig::parse(&registry::with_aliases(props))?;
    let format = ProtobufFormat::new(&config.protobuf);
    registry::converter(format, SchemaType::Protobuf, props, role)
}

/// A schema of writers.
struct ReaderSchema {
    file: FileDescriptor,
    /// What payloads were written with, where that is another. Their indexes count its messages.
    written: Option<FileDescriptor>,
    version: Option<i32>,
    /// What reads its messages, by their places in the file, or why none can.
    messages: HashMap<Vec<usize>, std::result::Result<usize, Fault>>,
}

/// What writes data of one schema.
struct Writer {
    to: To,
    /// Where the message is in its file, as payloads say it.
    indexes: Vec<u8>,
}

/// Protobuf.
pub(crate) struct ProtobufFormat {
    settings: Settings,
    schemas: Vec<ReaderSchema>,
    readers: Vec<(SchemaRef, Plan)>,
    writers: Vec<Writer>,
    bytes_a_row: usize,
}

/// A row whose message is known.
#[derive(Clone, Copy)]
struct Found<'a> {
    reader: usize,
    message: &'a [u8],
}

impl ProtobufFormat {
    pub(crate) fn new(config: &ProtobufConfig) -> Self {
        Self {
            settings: config.into(),
            schemas: Vec::new(),
            readers: Vec::new(),
            writers: Vec::new(),
            bytes_a_row: 0,
        }
    }

    /// What reads a row, and its message.
    fn find<'a>(
        &mut self,
        schema: Compiled,
        payload: &'a [u8],
    ) -> std::result::Result<Found<'a>, Fault> {
        let mut input = Input::new(payload);
        let indexes = read_indexes(&mut input)?;
        let message = input.rest();
        let known = &mut self.schemas[schema.0];
        if let Some(reader) = known.messages.get(&indexes) {
            return reader.clone().map(|reader| Found { reader, message });
        }
        let written = known.written.as_ref().unwrap_or(&known.file);
        let mut descriptor = message_at(written, &indexes).ok_or_else(|| {
            Fault::new(format!("the schema has no message at the indexes {indexes:?}"))
        })?;
        if known.written.is_some() {
            let name = descriptor.full_name();
            let wanted = known.file.parent_pool().get_message_by_name(name);
            descriptor = wanted.ok_or_else(|| {
                Fault::new(format!("the schema to read with has no message {name}"))
            })?;
        }
        let compiled = to_connect::compile(&descriptor, known.version, &self.settings);
        let reader = compiled.map(|compiled| {
            self.readers.push(compiled);
            self.readers.len() - 1
        });
        known.messages.insert(indexes, reader.clone());
        reader.map(|reader| Found { reader, message })
    }

    fn is_same(&self, a: Found<'_>, b: Found<'_>) -> bool {
        a.reader == b.reader || self.readers[a.reader].0 == self.readers[b.reader].0
    }

    /// A column of rows with one schema; none has a message when all are null.
    fn run(
        &self,
        first: usize,
        rows: &[Option<Found<'_>>],
        room: &mut Room,
        failed: &mut Failures<'_>,
    ) -> Column {
        let Some(known) = rows.iter().flatten().next() else {
            return Column::nulls(rows.len());
        };
        let schema = &self.readers[known.reader].0;
        let mut builder = Builder::new(schema, rows.len())
            .expect("only schemas that Arrow can hold are made of messages");
        let mut scratch = Scratch::default();
        for (row, found) in (first..).zip(rows) {
            let Some(found) = found else {
                builder.append_null();
                continue;
            };
            let plan = &self.readers[found.reader].1;
            let (scratch, room) = (&mut scratch, &mut *room);
            if let Err(fault) = plan.append_whole(found.message, &mut builder, (scratch, room)) {
                failed.push(row, fault);
                builder.append_null();
            }
        }
        Column::Typed { schema: Arc::clone(schema), array: builder.finish() }
    }

    fn write_rows(
        writer: &Writer,
        array: &ArrayRef,
        prefix: &[u8],
        rows: &mut RowBuffer,
        mut fail: impl FnMut(usize, Fault),
    ) {
        let cells = writer.to.bind(array);
        for row in 0..array.len() {
            if cells.is_null(row) {
                rows.null_row();
                continue;
            }
            rows.bytes().extend_from_slice(prefix);
            match writer.to.append_whole(&cells, row, rows.bytes()) {
                Ok(()) => rows.end_row(),
                Err(fault) => {
                    fail(row, fault);
                    rows.null_row();
                }
            }
        }
    }
}

/// How many indexes there are, then each; the first message of a file is a single zero.
fn read_indexes(input: &mut Input<'_>) -> std::result::Result<Vec<usize>, Fault> {
    let wrong = |_| Fault::new("the indexes of the message are not numbers from 0 on");
    let count = u64::try_from(input.zigzag()?).map_err(wrong)?;
    if count == 0 {
        return Ok(vec![0]);
    }
    if count > MAX_INDEXES {
        return Err(Fault::new("the message has too many indexes"));
    }
    (0..count).map(|_| usize::try_from(input.zigzag()?).map_err(wrong)).collect()
}

fn written_indexes(indexes: &[usize]) -> Vec<u8> {
    if indexes == [0] {
        return vec![0];
    }
    let mut out = Vec::new();
    append_varint(to_zigzag(indexes.len() as i64), &mut out);
    for index in indexes {
        append_varint(to_zigzag(*index as i64), &mut out);
    }
    out
}

impl Format for ProtobufFormat {
    fn forget(&mut self) {
        self.schemas.clear();
        self.readers.clear();
        self.writers.clear();
    }

    fn compile_reader(&mut self, schema: &SchemaText, version: Option<i32>) -> Result<Compiled> {
        let file = compile(schema)?;
        let messages = HashMap::new();
        self.schemas.push(ReaderSchema { file, written: None, version, messages });
        Ok(Compiled(self.schemas.len() - 1))
    }

    fn compile_resolver(
        &mut self,
        written: &SchemaText,
        wanted: &SchemaText,
        version: Option<i32>,
    ) -> Result<Compiled> {
        let (file, written) = (compile(wanted)?, Some(compile(written)?));
        self.schemas.push(ReaderSchema { file, written, version, messages: HashMap::new() });
        Ok(Compiled(self.schemas.len() - 1))
    }

    fn read(&mut self, rows: &[Row<'_>], failed: &mut Vec<RowError>) -> Result<Vec<Column>> {
        let mut failed = Failures::new(None, failed);
        let mut found = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().enumerate() {
            let message = row.payload.map(|payload| self.find(row.schema, payload)).transpose();
            found.push(message.unwrap_or_else(|fault| {
                failed.push(i, fault);
                None
            }));
        }
        let mut columns = Vec::new();
        let mut room = Room::new(ROOM);
        let mut first = 0;
        while first < found.len() {
            let rows = found[first..].iter().copied();
            let length = run_length(rows, |a, b| self.is_same(a, b));
            let found = &found[first..first + length];
            columns.push(self.run(first, found, &mut room, &mut failed));
            first += length;
        }
        Ok(columns)
    }

    fn describe(&mut self, schema: Option<&SchemaRef>) -> Result<Described> {
        let schema = schema.ok_or_else(no_schema)?;
        let description =
            describe(schema, &self.settings).map_err(|fault| fault.into_error(None))?;
        let schema = SchemaText { text: description.text.into(), references: Vec::new() };
        // Names that are none in Protobuf, or clash: no registry shall hear of them.
        compile(&schema)?;
        Ok(Described { schema, record_name: Some(description.name.into()) })
    }

    fn compile_writer(
        &mut self,
        connect: Option<&SchemaRef>,
        schema: &SchemaText,
    ) -> Result<Compiled> {
        let connect = connect.ok_or_else(no_schema)?;
        let file = compile(schema)?;
        let name = describe(connect, &self.settings).map_err(|fault| fault.into_error(None))?.name;
        let message = file.parent_pool().get_message_by_name(&name);
        let message = message.filter(|message| message.parent_file() == file).ok_or_else(|| {
            Error::data("the schema has no message of this name").context("message", &name)
        })?;
        let to = write::compile(connect, &message, &self.settings)
            .map_err(|fault| fault.into_error(None))?;
        self.writers.push(Writer { to, indexes: written_indexes(&indexes_of(&message)) });
        Ok(Compiled(self.writers.len() - 1))
    }

    fn opening(&self, writer: Compiled) -> Vec<u8> {
        self.writers[writer.0].indexes.clone()
    }

    fn is_tombstone(&self, _schema: Option<&SchemaRef>) -> bool {
        true
    }

    fn write(
        &mut self,
        writer: Compiled,
        column: &Column,
        prefix: &[u8],
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let mut rows = RowBuffer::new(column.len(), self.bytes_a_row);
        let mut failed = Failures::new(None, failed);
        let writer = &self.writers[writer.0];
        match column.to_array() {
            Ok(Some(array)) => {
                Self::write_rows(writer, &array, prefix, &mut rows, |row, fault| {
                    failed.push(row, fault);
                });
            }
            // A value among them is none that Arrow can hold: each on its own.
            _ => {
                for row in 0..column.len() {
                    match column.slice(row, 1).to_array() {
                        Ok(Some(array)) => {
                            Self::write_rows(writer, &array, prefix, &mut rows, |_, fault| {
                                failed.push(row, fault);
                            });
                        }
                        Ok(None) => rows.null_row(),
                        Err(error) => {
                            failed.push_error(row, error);
                            rows.null_row();
                        }
                    }
                }
            }
        }
        self.bytes_a_row = rows.average();
        Ok(rows.finish())
    }

    fn is_compatible(&self, ours: &SchemaText, latest: &SchemaText) -> Result<bool> {
        Ok(compatible::reads(&compile(latest)?, &compile(ours)?))
    }
}

fn no_schema() -> Error {
    Error::data("data without a schema have no Protobuf schema: use JsonConverter for them")
}

impl std::fmt::Debug for ProtobufFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProtobufFormat").field("settings", &self.settings).finish_non_exhaustive()
    }
}
