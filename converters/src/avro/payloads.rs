//! Avro without a registry: payloads of one schema, as files hold them.

use millrace_api::config::{Config, Props};
use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Result, Serialized};

use crate::avro::Avro;
use crate::avro::config::AvroConfig;
use crate::registry::{Compiled, Format, Row, SchemaText};

/// Reads and writes payloads of one Avro schema.
///
/// ```
/// use millrace_api::data::{Column, Schema, Value};
/// use millrace_converters::AvroPayloads;
///
/// let texts = Column::from_values(Some(Schema::string(false)), vec![Value::from("ab")]);
/// let mut avro = AvroPayloads::of_data(&Schema::string(false))?;
/// assert_eq!(avro.schema(), "\"string\"");
/// let rows = avro.write(&texts, b"", &mut Vec::new())?;
/// assert_eq!(rows.value(0), b"\x04ab");
/// let read = avro.read(&[Some(rows.value(0))], &mut Vec::new())?;
/// assert_eq!(read[0].value(0)?, Value::from("ab"));
/// # Ok::<(), millrace_api::Error>(())
/// ```
#[derive(Debug)]
pub struct AvroPayloads {
    avro: Avro,
    schema: SchemaText,
    reader: Compiled,
    writer: Option<(SchemaRef, Compiled)>,
}

impl AvroPayloads {
    /// Of this Avro schema.
    pub fn of_schema(text: &str) -> Result<Self> {
        let mut avro = Avro::new(AvroConfig::parse(&Props::new())?);
        let schema = SchemaText { text: text.into(), references: Vec::new() };
        let reader = avro.compile_reader(&schema, None)?;
        Ok(Self { avro, schema, reader, writer: None })
    }

    /// Of the Avro schema that describes such data.
    pub fn of_data(schema: &SchemaRef) -> Result<Self> {
        let mut avro = Avro::new(AvroConfig::parse(&Props::new())?);
        let text = avro.describe(Some(schema))?.schema.text;
        Self::of_schema(&text)
    }

    /// The Avro schema.
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
        self.avro.read(&rows, failed)
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
                let writer = self.avro.compile_writer(schema, &self.schema)?;
                self.writer = schema.map(|schema| (schema.clone(), writer));
                writer
            }
        };
        self.avro.write(writer, column, prefix, failed)
    }
}
