//! Avro as Confluent's converter writes it (`AvroData`): between Connect data and payloads.

mod anything;
mod columns;
mod compatibility;
mod config;
mod decoder;
mod default_json;
mod encode;
mod from_connect;
mod input;
mod json;
mod names;
mod parse;
mod print;
mod reader;
mod resolve;
mod schema;
mod skip;
mod stop;
mod to_connect;
mod values;
mod write_columns;
mod write_values;
mod writer;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use millrace_api::config::{Config, ConfigDef, Props};
use millrace_api::data::{Column, RowError, SchemaRef};
use millrace_api::{Converter, ConverterRole, Error, Result, Serialized};
use schema_registry_client::SchemaType;

pub(crate) use crate::avro::config::AvroConfig;

use crate::avro::reader::Reader;
use crate::avro::schema::Document;
use crate::avro::writer::Writer;
use crate::json::Fault;
use crate::registry::{self, Compiled, Described, Format, RegistryConfig, Row, SchemaText};
use crate::row_buffer::RowBuffer;

pub(crate) const CLASS: &str = "io.confluent.connect.avro.AvroConverter";

#[derive(Config)]
struct AvroConverterConfig {
    #[config(nested)]
    _registry: RegistryConfig,
    #[config(nested)]
    avro: AvroConfig,
}

pub(crate) fn config_def() -> ConfigDef {
    AvroConverterConfig::config_def()
}

pub(crate) fn converter(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    let config = AvroConverterConfig::parse(&registry::with_aliases(props))?;
    registry::converter(Avro::new(config.avro), SchemaType::Avro, props, role)
}

/// The format Avro, with what it has compiled.
pub(crate) struct Avro {
    config: AvroConfig,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    /// How many unions were met.
    unions: usize,
    /// How long a row of the last run was.
    bytes_a_row: usize,
}

impl Avro {
    pub(crate) fn new(config: AvroConfig) -> Self {
        Self { config, readers: Vec::new(), writers: Vec::new(), unions: 0, bytes_a_row: 0 }
    }

    fn add(&mut self, mut reader: Reader) -> Compiled {
        // Rows of equal schemas share columns, whoever wrote them: equal ones are made the same.
        let known = self.readers.iter().find(|known| known.schema == reader.schema);
        if let Some(known) = known {
            reader.schema.clone_from(&known.schema);
        }
        self.readers.push(reader);
        Compiled(self.readers.len() - 1)
    }
}

impl Format for Avro {
    fn forget(&mut self) {
        self.readers.clear();
        self.writers.clear();
    }

    fn compile_reader(&mut self, schema: &SchemaText, version: Option<i32>) -> Result<Compiled> {
        let document = Document::parse(schema)?;
        let reader = Reader::new(&document, version, &self.config, &mut self.unions)?;
        Ok(self.add(reader))
    }

    fn compile_resolver(
        &mut self,
        written: &SchemaText,
        wanted: &SchemaText,
        version: Option<i32>,
    ) -> Result<Compiled> {
        let (written, wanted) = (Document::parse(written)?, Document::parse(wanted)?);
        let unions = &mut self.unions;
        let reader = Reader::resolving(&written, &wanted, version, &self.config, unions)?;
        Ok(self.add(reader))
    }

    fn read(&mut self, rows: &[Row<'_>], failed: &mut Vec<RowError>) -> Result<Vec<Column>> {
        Ok(decoder::read(&self.readers, rows, failed))
    }

    fn describe(&mut self, schema: Option<&SchemaRef>) -> Result<Described> {
        let document = from_connect::describe(schema, &self.config)?;
        let record_name = document.record_name().map(Arc::clone);
        let schema = SchemaText { text: document.to_text().into(), references: Vec::new() };
        Ok(Described { schema, record_name })
    }

    fn compile_writer(
        &mut self,
        connect: Option<&SchemaRef>,
        schema: &SchemaText,
    ) -> Result<Compiled> {
        let document = Document::parse(schema)?;
        self.writers.push(Writer::new(connect, &document, &self.config)?);
        Ok(Compiled(self.writers.len() - 1))
    }

    fn write(
        &mut self,
        writer: Compiled,
        column: &Column,
        prefix: &[u8],
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let writer = &self.writers[writer.0];
        let cells = match column {
            Column::Typed { schema, array } => Some(writer.plan.bind(schema, array)?),
            _ => None,
        };
        let may_be_null = writer.schema.as_ref().is_none_or(|schema| schema.is_optional());
        let mut rows = RowBuffer::new(column.len(), self.bytes_a_row);
        for row in 0..column.len() {
            let written = if column.is_null(row) {
                if may_be_null {
                    rows.null_row();
                    continue;
                }
                Err(Fault::new("Found null value for non-optional schema").into_error(None))
            } else {
                rows.bytes().extend_from_slice(prefix);
                match (&cells, column) {
                    (Some(cells), _) => cells.append(row, rows.bytes()),
                    (None, Column::Rows { values, .. }) => {
                        writer.plan.append_value(&values[row], rows.bytes())
                    }
                    (None, column) => writer.plan.append_value(&column.value(row)?, rows.bytes()),
                }
                .map_err(|fault| fault.into_error(None))
            };
            match written {
                Ok(()) => rows.end_row(),
                Err(error) => {
                    failed.push(RowError { row, error });
                    rows.null_row();
                }
            }
        }
        self.bytes_a_row = rows.average();
        Ok(rows.finish())
    }

    fn is_compatible(&self, ours: &SchemaText, latest: &SchemaText) -> Result<bool> {
        let within = |what| move |e: Error| e.context("schema", what);
        let ours = Document::parse(ours).map_err(within("of the data"))?;
        let latest = Document::parse(latest).map_err(within("latest"))?;
        Ok(compatibility::reads(&latest, &ours))
    }
}

impl std::fmt::Debug for Avro {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Avro").field("config", &self.config).finish_non_exhaustive()
    }
}
