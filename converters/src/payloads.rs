//! Payloads without a registry: those of one schema, as files hold them.

use millrace_api::config::{Config, Props};
use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Result, Serialized};

use crate::avro::{Avro, AvroConfig};
use crate::json_schema::{JsonSchemaConfig, JsonSchemaFormat};
use crate::protobuf::{ProtobufConfig, ProtobufFormat};
use crate::registry::{Compiled, Format, Row, SchemaText};

/// A language of schemas, and the payloads that go with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Avro, in its binary encoding.
    Avro,
    /// JSON Schema, and JSON.
    JsonSchema,
    /// Protobuf: each payload begins with the indexes of its message.
    Protobuf,
}

impl Language {
    fn format(self) -> Result<Box<dyn Format>> {
        let props = Props::new();
        Ok(match self {
            Self::Avro => Box::new(Avro::new(AvroConfig::parse(&props)?)),
            Self::JsonSchema => Box::new(JsonSchemaFormat::new(&JsonSchemaConfig::parse(&props)?)),
            Self::Protobuf => Box::new(ProtobufFormat::new(&ProtobufConfig::parse(&props)?)),
        })
    }
}

/// Reads and writes payloads of one schema.
///
/// ```
/// use millrace_api::data::{Column, Schema, Value};
/// use millrace_converters::{Language, Payloads};
///
/// let texts = Column::from_values(Some(Schema::string(false)), vec![Value::from("ab")]);
/// let mut avro = Payloads::of_data(Language::Avro, &Schema::string(false))?;
/// assert_eq!(avro.schema(), "\"string\"");
/// let rows = avro.write(&texts, b"", &mut Vec::new())?;
/// assert_eq!(rows.value(0), b"\x04ab");
/// let read = avro.read(&[Some(rows.value(0))], &mut Vec::new())?;
/// assert_eq!(read[0].value(0)?, Value::from("ab"));
/// # Ok::<(), millrace_api::Error>(())
/// ```
pub struct Payloads {
    format: Box<dyn Format>,
    schema: SchemaText,
    reader: Compiled,
    writer: Option<(SchemaRef, Compiled)>,
}

impl Payloads {
    /// Of this schema.
    pub fn of_schema(language: Language, text: &str) -> Result<Self> {
        let mut format = language.format()?;
        let schema = SchemaText { text: text.into(), references: Vec::new() };
        let reader = format.compile_reader(&schema, None)?;
        Ok(Self { format, schema, reader, writer: None })
    }

    /// Of the schema that describes such data.
    pub fn of_data(language: Language, schema: &SchemaRef) -> Result<Self> {
        let text = language.format()?.describe(Some(schema))?.schema.text;
        Self::of_schema(language, &text)
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        &self.schema.text
    }

    /// Reads payloads into columns; none stays none. Rows that fail are null.
    pub fn read(
        &mut self,
        payloads: &[Option<&[u8]>],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let row = |payload: &Option<_>| Row { schema: self.reader, payload: *payload };
        let rows: Vec<Row<'_>> = payloads.iter().map(row).collect();
        self.format.read(&rows, failed)
    }

    /// Writes a column, each row after a prefix. Rows that fail are null.
    pub fn write(
        &mut self,
        column: &Column,
        prefix: &[u8],
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let writer = match (&self.writer, column.schema()) {
            (Some((known, writer)), Some(schema)) if known == schema => *writer,
            (_, schema) => {
                let writer = self.format.compile_writer(schema, &self.schema)?;
                self.writer = schema.map(|schema| (schema.clone(), writer));
                writer
            }
        };
        let prefix = [prefix, &self.format.opening(writer)].concat();
        self.format.write(writer, column, &prefix, failed)
    }
}

impl std::fmt::Debug for Payloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payloads").field("schema", &self.schema).finish_non_exhaustive()
    }
}
