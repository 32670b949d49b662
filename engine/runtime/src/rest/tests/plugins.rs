//! Plugins with Java's names and keys that do as little as a REST test needs.

use std::future::pending;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_api::config::validators::non_empty_string;
use millrace_api::data::{Column, RowError, SchemaRef, SinkRecords, SourceRecords, Value};
use millrace_api::{
    Config, ConfigDef, Connector, ConnectorContext, Converter, Error, HeaderConverter, Offsets,
    Plugin, Props, RawHeaders, Result, Serialized, Sink, SinkContext, SinkTask, Source,
    SourceContext, SourceTask,
};

pub(super) const STRING_CONVERTER: &str = "org.apache.kafka.connect.storage.StringConverter";

pub(super) fn all() -> Vec<Plugin> {
    vec![
        Plugin::source::<Lines>(),
        Plugin::source::<Stubborn>(),
        Plugin::sink::<File>(),
        Plugin::converter(STRING_CONVERTER, ConfigDef::default, |_, _| Ok(Box::new(Text))),
        Plugin::header_converter(
            "org.apache.kafka.connect.storage.SimpleHeaderConverter",
            ConfigDef::default,
            |_| Ok(Box::new(Text)),
        ),
    ]
}

/// As many tasks as allowed, but one: what `FileStream…` does.
struct One(Props);

#[async_trait]
impl Connector for One {
    async fn task_configs(&mut self, _: usize) -> Result<Vec<Props>> {
        Ok(vec![self.0.clone()])
    }
}

#[derive(Config)]
struct LinesConfig {
    /// Source filename.
    #[config(key = "file", importance = High)]
    _file: Option<String>,
    /// The topic to publish data to
    #[config(key = "topic", importance = High, validate = non_empty_string)]
    _topic: String,
    /// The maximum number of records
    #[config(key = "batch.size", importance = Low, default = 2000)]
    _batch_size: i32,
}

/// A source that never has anything.
struct Lines;

#[async_trait]
impl Source for Lines {
    const CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSourceConnector";
    type Config = LinesConfig;

    async fn connector(
        _: LinesConfig,
        props: Props,
        _: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Ok(Box::new(One(props)))
    }

    async fn task(_: Props, _: SourceContext) -> Result<Box<dyn SourceTask>> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

#[async_trait]
impl SourceTask for Nothing {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        pending().await
    }
}

#[derive(Config)]
struct StubbornConfig {
    /// What the connector does when it starts: hang, panic or fail.
    #[config(key = "start", importance = High)]
    start: String,
}

/// A connector that does not start.
struct Stubborn;

#[async_trait]
impl Source for Stubborn {
    const CLASS: &'static str = "org.example.StubbornConnector";
    type Config = StubbornConfig;

    async fn connector(
        config: StubbornConfig,
        _: Props,
        _: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        match config.start.as_str() {
            "hang" => pending().await,
            "panic" => panic!("stubborn"),
            _ => Err(Error::fatal("no start").with_source(Error::fatal("too stubborn"))),
        }
    }

    async fn task(_: Props, _: SourceContext) -> Result<Box<dyn SourceTask>> {
        Ok(Box::new(Nothing))
    }
}

#[derive(Config)]
struct FileConfig {
    /// Destination filename.
    #[config(key = "file", importance = High)]
    _file: Option<String>,
}

/// A sink whose task fails when it cannot make its file.
struct File;

#[async_trait]
impl Sink for File {
    const CLASS: &'static str = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    type Config = FileConfig;

    async fn connector(
        _: FileConfig,
        props: Props,
        _: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        Ok(Box::new(One(props)))
    }

    async fn task(props: Props, _: SinkContext) -> Result<Box<dyn SinkTask>> {
        let directory = Path::new(&props["file"]).parent();
        match directory.is_some_and(Path::is_dir) {
            true => Ok(Box::new(Nothing)),
            false => Err(Error::fatal("cannot create the file").context("file", &props["file"])),
        }
    }
}

#[async_trait]
impl SinkTask for Nothing {
    async fn put(&mut self, _: &[SinkRecords]) -> Result<()> {
        Ok(())
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        Ok(consumed.clone())
    }
}

/// Never asked: no records flow.
struct Text;

impl Converter for Text {
    fn from_connect_data(
        &mut self,
        _: &str,
        _: &Column,
        _: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        Err(Error::fatal("no records are expected"))
    }

    fn to_connect_data(
        &mut self,
        _: &str,
        _: &Serialized,
        _: &[RawHeaders],
        _: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        Err(Error::fatal("no records are expected"))
    }
}

impl HeaderConverter for Text {
    fn from_connect_header(
        &mut self,
        _: &str,
        _: &str,
        _: Option<&SchemaRef>,
        _: &Value,
    ) -> Result<Option<Bytes>> {
        Err(Error::fatal("no records are expected"))
    }

    fn to_connect_header(
        &mut self,
        _: &str,
        _: &str,
        _: Option<&Bytes>,
    ) -> Result<(Option<SchemaRef>, Value)> {
        Err(Error::fatal("no records are expected"))
    }
}
