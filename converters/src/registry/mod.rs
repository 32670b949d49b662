//! Converters whose schemas a registry keeps: decides what is common to all formats.

mod config;
mod connection;
mod errors;
mod fetch;
mod format;
mod reader;
mod rules;
mod subject;
#[cfg(test)]
mod tests;
mod unsupported;
mod wire;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_api::config::{Config, Props};
use millrace_api::data::{Column, RowError};
use millrace_api::{Converter, ConverterRole, Error, RawHeaders, Result, Serialized};
use schema_registry_client::{Client, SchemaType};

pub(crate) use config::{RegistryConfig, with_aliases};
pub(crate) use format::{Compiled, Described, Format, Row, SchemaText, run_length};
pub(crate) use unsupported::off;

use self::connection::seconds;
use self::fetch::Choice;
use self::reader::{Batch, Readers};
use self::subject::SubjectName;
use self::wire::{Reads, SchemaId, Writes, header_name};
use self::writer::Writers;

/// How long it is believed that a schema cannot be had or written, unless the keys say otherwise.
const FAILURE_LIFE: Duration = Duration::from_secs(60);

/// A converter between Connect data and a format, whose schemas in this language the registry of
/// these properties keeps. The format's own keys are its own business.
pub(crate) fn converter<F: Format + 'static>(
    format: F,
    language: SchemaType,
    props: &Props,
    role: ConverterRole,
) -> Result<Box<dyn Converter>> {
    let props = with_aliases(props);
    let config = RegistryConfig::parse(&props)?;
    let registry = Registry::new(&props, &config, language, role)?;
    let reads = registry.reads(&config)?;
    Ok(Box::new(RegistryConverter {
        format,
        header: header_name(role),
        registry,
        reads,
        readers: Readers::default(),
        writers: Writers::default(),
        written: None,
        is_preparing: false,
    }))
}

/// The client of the registry that these properties of a converter name, for whoever wants to ask it
/// what the converter would.
///
/// # Errors
///
/// [`Config`](millrace_api::ErrorKind) with the key.
pub fn registry_client(props: &Props) -> Result<Arc<Client>> {
    let props = with_aliases(props);
    connection::client(&props, &RegistryConfig::parse(&props)?)
}

/// What a converter knows of its registry, and how it uses it.
struct Registry {
    client: Arc<Client>,
    language: SchemaType,
    role: ConverterRole,
    subject_name: SubjectName,
    choice: Choice,
    normalize: bool,
    writes: Writes,
    /// Whether rows are read as the latest schema of the subject, whatever they were written with.
    reads_latest: bool,
    /// How long the latest schema is believed to be the latest; none: forever.
    latest_life: Option<Duration>,
    /// How long it is believed that a schema cannot be had.
    unread_life: Duration,
    /// How long it is believed that a schema cannot be written.
    unwritten_life: Duration,
    /// How many compiled schemas a topic may have.
    max_schemas: usize,
}

impl Registry {
    fn new(
        props: &Props,
        config: &RegistryConfig,
        language: SchemaType,
        role: ConverterRole,
    ) -> Result<Self> {
        const CONTEXT: &str = "context.name.strategy";
        let context = config.context_name_strategy.as_str();
        if !context.ends_with("NullContextNameStrategy") {
            return Err(subject::unknown(CONTEXT, context, "NullContextNameStrategy"));
        }
        let (subject_name, writes) = match role {
            ConverterRole::Key => (
                SubjectName::by_class(
                    "key.subject.name.strategy",
                    &config.key_subject_name_strategy,
                )?,
                Writes::by_class("key.schema.id.serializer", &config.ids.key_serializer)?,
            ),
            _ => (
                SubjectName::by_class(
                    "value.subject.name.strategy",
                    &config.value_subject_name_strategy,
                )?,
                Writes::by_class("value.schema.id.serializer", &config.ids.value_serializer)?,
            ),
        };
        let fixed = fixed(config)?;
        let choice = match fixed {
            _ if config.auto_register => Choice::Register,
            Some(id) => Choice::Fixed { id, strict: config.id_strict },
            None if config.use_latest => Choice::Latest { strict: config.latest_strict },
            None => Choice::Lookup,
        };
        let client = connection::client(props, config)?;
        // Others may have used it for long; who starts a connector wants to see what is there now.
        client.refresh();
        Ok(Self {
            client,
            language,
            role,
            subject_name,
            choice,
            normalize: config.normalize,
            writes,
            reads_latest: config.use_latest,
            latest_life: seconds(config.latest_ttl_sec),
            unread_life: seconds(config.http.missing_id_ttl_sec).unwrap_or(FAILURE_LIFE),
            unwritten_life: seconds(config.http.missing_schema_ttl_sec).unwrap_or(FAILURE_LIFE),
            max_schemas: usize::try_from(config.max_schemas).unwrap_or(1).max(1),
        })
    }

    fn reads(&self, config: &RegistryConfig) -> Result<Reads> {
        let fixed = fixed(config)?;
        match self.role {
            ConverterRole::Key => {
                Reads::by_class("key.schema.id.deserializer", &config.ids.key_deserializer, fixed)
            }
            _ => Reads::by_class(
                "value.schema.id.deserializer",
                &config.ids.value_deserializer,
                fixed,
            ),
        }
    }
}

/// The schema that `use.schema.id` or `use.schema.guid` names.
fn fixed(config: &RegistryConfig) -> Result<Option<SchemaId>> {
    match config.use_schema_guid.as_deref().map(str::trim).filter(|guid| !guid.is_empty()) {
        Some(guid) => SchemaId::guid(guid).map(Some).ok_or_else(|| {
            Error::config(format!(
                "Invalid value {guid} for configuration use.schema.guid: it is no GUID"
            ))
        }),
        None if config.use_schema_id >= 0 => Ok(Some(SchemaId::Number(config.use_schema_id))),
        None => Ok(None),
    }
}

struct RegistryConverter<F> {
    format: F,
    registry: Registry,
    reads: Reads,
    /// The header that ids are read from.
    header: Arc<str>,
    readers: Readers,
    writers: Writers,
    /// The header of what was written last.
    written: Option<(Arc<str>, Bytes)>,
    /// Something is being prepared.
    is_preparing: bool,
}

impl<F: Format> RegistryConverter<F> {
    /// Begins anew when there are too many compiled schemas to keep, but not amid preparing. Those in
    /// use are compiled again; the client knows their texts.
    fn make_room(&mut self) {
        let topics = self.readers.topics().max(self.writers.topics()).max(1);
        let plans = self.readers.plans() + self.writers.plans();
        if plans > self.registry.max_schemas.saturating_mul(topics) && !self.is_preparing {
            self.format.forget();
            self.readers = Readers::default();
            self.writers = Writers::default();
        }
        self.is_preparing = true;
    }
}

#[async_trait]
impl<F: Format> Converter for RegistryConverter<F> {
    async fn prepare_from(&mut self, topic: &str, column: &Column) -> Result<()> {
        self.make_room();
        self.writers.prepare(topic, column, &self.registry, &mut self.format).await?;
        self.is_preparing = false;
        Ok(())
    }

    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        let (cells, frame) = self.writers.write(topic, column, &mut self.format, failed)?;
        self.written = frame.header;
        Ok(cells)
    }

    fn schema_header(&self) -> Option<(Arc<str>, Bytes)> {
        self.written.clone()
    }

    async fn prepare_to(
        &mut self,
        topic: &str,
        rows: &Serialized,
        headers: &[RawHeaders],
    ) -> Result<()> {
        self.make_room();
        let batch = Batch { topic, rows, headers, reads: self.reads, header: &self.header };
        self.readers.prepare(batch, &self.registry, &mut self.format).await?;
        self.is_preparing = false;
        Ok(())
    }

    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        headers: &[RawHeaders],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        let batch = Batch { topic, rows, headers, reads: self.reads, header: &self.header };
        self.readers.read(batch, &mut self.format, failed)
    }
}
