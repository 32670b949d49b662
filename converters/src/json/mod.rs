//! `JsonConverter`: Connect data as JSON, with or without their schema around them.

mod builder;
mod canonical;
mod decoder;
mod encoder;
mod fault;
mod lru;
mod names;
mod node;
mod plan;
mod read;
mod schema;
mod text;
mod unfold;
mod union;
mod value;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use millrace_api::config::{Config, ConfigDef, ConfigEnum, Props};
use millrace_api::data::{Column, RowError, SchemaRef, Value};
use millrace_api::{
    Converter, ConverterRole, Error, HeaderConverter, RawHeaders, Result, Serialized,
};

use crate::json::decoder::{Decoder, Schemas};
use crate::json::schema::read_schema;
use crate::role::{RoleConfig, with_role};
use crate::row_buffer::RowBuffer;

pub(crate) use decoder::{COLUMNS_FROM, Failures, ROOM, RunReader, utf8};
pub(crate) use encoder::Encoders;
pub use encoder::JsonWriter;
pub(crate) use fault::Fault;
pub(crate) use lru::Lru;
pub(crate) use node::Node;
pub(crate) use read::to_value;
pub(crate) use text::{append_boolean, append_text};
pub(crate) use value::{ONE_OF, UNION, append_value, is_union};

pub(crate) const CLASS: &str = "org.apache.kafka.connect.json.JsonConverter";

/// How decimal numbers are written; both forms are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ConfigEnum)]
#[config(ignore_case)]
pub enum DecimalFormat {
    /// As a JSON number.
    #[config(name = "NUMERIC")]
    Numeric,
    /// As the base64 text of the unscaled value's bytes.
    #[default]
    #[config(name = "BASE64")]
    Base64,
}

/// How values are written.
#[derive(Clone, Copy, Debug)]
pub struct JsonOptions {
    /// How decimal numbers are written.
    pub decimal_format: DecimalFormat,
    /// Whether a null takes the default of its schema, where there is one.
    pub replace_null_with_default: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self { decimal_format: DecimalFormat::Base64, replace_null_with_default: true }
    }
}

/// Which of Java's converters decides what JSON stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `JsonConverter`.
    #[default]
    Connect,
    /// `JsonSchemaConverter`: fields that are required and null are left out, entries of maps are
    /// objects, and some structs are unions.
    JsonSchema,
}

/// All that is decided about JSON before the data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) decimal_format: DecimalFormat,
    pub(crate) replace_null_with_default: bool,
    pub(crate) dialect: Dialect,
}

impl From<JsonOptions> for Rules {
    fn from(options: JsonOptions) -> Self {
        let JsonOptions { decimal_format, replace_null_with_default } = options;
        Self { decimal_format, replace_null_with_default, dialect: Dialect::Connect }
    }
}

impl Default for Rules {
    fn default() -> Self {
        JsonOptions::default().into()
    }
}

#[derive(Config)]
struct JsonConverterConfig {
    #[config(nested)]
    _role: RoleConfig,
    /// Include schemas within each of the serialized values and keys.
    #[config(key = "schemas.enable", importance = High, default = true, group = "Schemas")]
    #[config(order = 0, width = Medium, display = "Enable Schemas")]
    schemas_enable: bool,
    /// The maximum number of schemas that can be cached in this converter instance.
    #[config(key = "schemas.cache.size", importance = High, default = 1000, group = "Schemas")]
    #[config(order = 1, width = Medium, display = "Schema Cache Size")]
    schemas_cache_size: i32,
    /// When set, this is used as the schema for all messages, and the schemas within each of the
    /// message will be ignored.Otherwise, the schema will be included in the content of each
    /// message. This configuration applies only 'schemas.enable' is true, and it exclusively
    /// affects the sink connector.
    #[config(key = "schema.content", importance = High, default = None, group = "Schemas")]
    #[config(order = 2, width = Medium, display = "Schema Content")]
    schema_content: Option<String>,
    /// Controls which format this converter will serialize decimals in. This value is case
    /// insensitive and can be either 'BASE64' (default) or 'NUMERIC'
    #[config(key = "decimal.format", importance = Low, default = DecimalFormat::Base64)]
    #[config(group = "Serialization", order = 0, width = Medium, display = "Decimal Format")]
    decimal_format: DecimalFormat,
    /// Whether to replace fields that have a default value and that are null to the default value.
    /// When set to true, the default value is used, otherwise null is used.
    #[config(key = "replace.null.with.default", importance = Low, default = true)]
    #[config(group = "Serialization", order = 1, width = Medium)]
    #[config(display = "Replace null with default")]
    replace_null_with_default: bool,
}

pub(crate) fn config_def() -> ConfigDef {
    JsonConverterConfig::config_def()
}

pub(crate) fn converter(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    Ok(Box::new(JsonConverter::new(props, role)?))
}

pub(crate) fn header_converter(props: &Props) -> Result<Box<dyn HeaderConverter>> {
    let converter = JsonConverter::new(props, ConverterRole::Header)?;
    Ok(Box::new(converter))
}

struct JsonConverter {
    schemas_enable: bool,
    options: Rules,
    encoders: Encoders,
    decoder: Decoder,
    /// How long a row of the last run was.
    bytes_a_row: usize,
}

impl JsonConverter {
    fn new(props: &Props, role: ConverterRole) -> Result<Self> {
        let config = JsonConverterConfig::parse(&with_role(props, role))?;
        let options = Rules {
            decimal_format: config.decimal_format,
            replace_null_with_default: config.replace_null_with_default,
            dialect: Dialect::Connect,
        };
        let capacity = usize::try_from(config.schemas_cache_size).unwrap_or(0);
        let fixed = match &config.schema_content {
            Some(text) => fixed_schema(text, options).map_err(|fault| {
                Error::config("schema.content is not a schema in JSON")
                    .with_source(fault.into_error(None))
            })?,
            None => None,
        };
        let schemas = match fixed {
            _ if !config.schemas_enable => Schemas::None,
            Some(schema) => Schemas::Fixed(schema),
            None => Schemas::Envelope { by_text: Lru::new(capacity) },
        };
        Ok(Self {
            schemas_enable: config.schemas_enable,
            options,
            encoders: Encoders::new(options, capacity),
            decoder: Decoder::new(schemas, options),
            bytes_a_row: 0,
        })
    }
}

/// The schema of `schema.content`; none when that is empty or null.
fn fixed_schema(text: &str, options: Rules) -> Result<Option<SchemaRef>, Fault> {
    let node = Node::parse(text).map_err(|error| {
        Fault::new("Failed to parse schema in converter config due to serialization error: ")
            .because(error.to_string())
    })?;
    match node {
        Node::Missing => Ok(None),
        node => read_schema(&node, options),
    }
}

impl Converter for JsonConverter {
    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let compiled = self.encoders.of(column);
        let source = self.encoders.bind(column, compiled.as_deref())?;
        let envelope: Result<&[u8], &Fault> = match &compiled {
            _ if !self.schemas_enable => Ok(b""),
            Some(compiled) => compiled.envelope.as_deref(),
            None => Ok(b"{\"schema\":null,\"payload\":"),
        };
        let mut failed = Failures::new(Some(topic), failed);
        let mut rows = RowBuffer::new(column.len(), self.bytes_a_row);
        for row in 0..column.len() {
            // Without schema, null is a tombstone; with one, it is a value.
            if compiled.is_none() && column.is_null(row) {
                rows.null_row();
                continue;
            }
            let written = envelope.map_err(Fault::clone).and_then(|envelope| {
                rows.bytes().extend_from_slice(envelope);
                source.append(row, rows.bytes())
            });
            match written {
                Ok(()) => {
                    if self.schemas_enable {
                        rows.bytes().push(b'}');
                    }
                    rows.end_row();
                }
                Err(fault) => {
                    failed.push(row, fault);
                    rows.null_row();
                }
            }
        }
        self.bytes_a_row = rows.average();
        Ok(rows.finish())
    }

    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        _headers: &[RawHeaders],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let mut failed = Failures::new(Some(topic), failed);
        Ok(self.decoder.columns(rows, &mut failed))
    }
}

impl HeaderConverter for JsonConverter {
    fn from_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        schema: Option<&SchemaRef>,
        value: &Value,
    ) -> Result<Option<Bytes>> {
        if schema.is_none() && value.is_null() {
            return Ok(None);
        }
        let mut out = Vec::new();
        let written = if self.schemas_enable {
            self.append_enveloped(schema, value, &mut out)
        } else {
            append_value(schema.map(|s| &**s), value, self.options, &mut out)
        };
        match written {
            Ok(()) => Ok(Some(out.into())),
            Err(fault) => Err(fault.into_error(Some(topic)).context("header", key)),
        }
    }

    fn to_connect_header(
        &mut self,
        topic: &str,
        key: &str,
        bytes: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)> {
        let Some(bytes) = bytes else {
            return Ok((None, Value::Null));
        };
        self.decoder
            .value(bytes)
            .map_err(|fault| fault.into_error(Some(topic)).context("header", key))
    }
}

impl JsonConverter {
    fn append_enveloped(
        &self,
        schema: Option<&SchemaRef>,
        value: &Value,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.extend_from_slice(b"{\"schema\":");
        match schema {
            Some(schema) => schema::append_schema(schema, self.options, out)?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"payload\":");
        append_value(schema.map(|s| &**s), value, self.options, out)?;
        out.push(b'}');
        Ok(())
    }
}

impl std::fmt::Debug for JsonConverter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonConverter")
            .field("schemas_enable", &self.schemas_enable)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
