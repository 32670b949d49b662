//! `millrace preview`: shows what a connector would do first, and does none of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use millrace_api::config::properties;
use millrace_api::data::{Column, Records};
use millrace_api::{Converter, ConverterRole, Error, Open, PluginKind, Props, Result};
use millrace_runtime::{Preview, Previewed, WorkerConfig};
use serde_json::value::RawValue;

use super::connector_file::ConnectorFile;
use super::print_line;
use crate::catalog::catalog;

pub(super) const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

const FILE_PROVIDER: &str = "org.apache.kafka.common.config.provider.FileConfigProvider";
const DIRECTORY_PROVIDER: &str = "org.apache.kafka.common.config.provider.DirectoryConfigProvider";
const ENVIRONMENT_PROVIDER: &str = "org.apache.kafka.common.config.provider.EnvVarConfigProvider";

/// Show what a connector would do with its first records: a source's records, transformed, as JSON;
/// the statements or actions of a sink.
///
/// Nothing is written anywhere: no record, no offset, no table. A source is read from its beginning,
/// whatever was committed; a sink's topics are read outside of any group, as the worker's converters
/// say.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace preview orders.json
  millrace preview orders.json -n 3 --schemas | jq .
  millrace preview warehouse.json --worker connect-standalone.properties

Exit codes:
  0  done
  1  wrong arguments
  2  a file is wrong, or the system cannot be reached or refuses")]
pub struct Arguments {
    /// The connector: a .properties file, or JSON (its settings, or a create request).
    connector: PathBuf,
    /// How many records.
    #[arg(short = 'n', long, default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rows: u32,
    /// The worker's properties: its cluster, converters and config providers. Needed for sinks.
    /// Without it the providers are Kafka's, as file, directory and env.
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    /// With the schemas of keys and values.
    #[arg(long)]
    schemas: bool,
}

/// Prints what would be done.
pub async fn run(arguments: Arguments) -> ExitCode {
    match previewed(&arguments).await {
        Ok(lines) => {
            lines.iter().for_each(|line| print_line(line));
            if lines.is_empty() {
                tracing::warn!("there are no records now");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn previewed(arguments: &Arguments) -> Result<Vec<String>> {
    let ConnectorFile { config, .. } = ConnectorFile::read(&arguments.connector)?;
    let class = config.get("connector.class").map_or("", |class| class.trim());
    if arguments.worker.is_none() && catalog().find(&[PluginKind::Sink], class).is_some() {
        let message = "a sink's topics are the worker's: name its properties with --worker";
        return Err(Error::config(message).context("file", arguments.connector.display()));
    }
    let worker = worker(arguments.worker.as_deref())?;
    let rows = usize::try_from(arguments.rows).unwrap_or(1);
    let located = |e: Error| e.context("file", arguments.connector.display());
    match Preview::new(worker, catalog()).of(&config, rows).await.map_err(located)? {
        Previewed::Actions(actions) => Ok(actions),
        Previewed::Records(runs) => {
            let mut printer = Printer::new(arguments.schemas)?;
            let lines: Result<Vec<Vec<String>>> = runs.iter().map(|r| printer.lines(r)).collect();
            Ok(lines?.concat())
        }
    }
}

/// Without a file a worker that has no cluster: a source needs none.
pub(super) fn worker(file: Option<&Path>) -> Result<WorkerConfig> {
    let Some(file) = file else {
        let keys = [
            ("bootstrap.servers", "embedded:"),
            ("key.converter", JSON),
            ("value.converter", JSON),
            ("offset.storage.file.filename", "/dev/null"),
            // What a configuration takes from files is the user's own.
            ("config.providers", "file,directory,env"),
            ("config.providers.file.class", FILE_PROVIDER),
            ("config.providers.directory.class", DIRECTORY_PROVIDER),
            ("config.providers.env.class", ENVIRONMENT_PROVIDER),
        ];
        return WorkerConfig::parse(keys.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    };
    WorkerConfig::parse(properties::read(file)?).map_err(|e| e.context("file", file.display()))
}

/// Makes records JSON, whatever the connector's converters are.
struct Printer {
    key: Box<dyn Converter>,
    value: Box<dyn Converter>,
}

impl Printer {
    fn new(schemas: bool) -> Result<Self> {
        let catalog = catalog();
        let plugin = catalog.plugin(PluginKind::Converter, "value.converter", JSON)?;
        let Open::Converter(open) = plugin.open() else {
            return Err(Error::fatal("no converter to JSON"));
        };
        let props: Props = [
            ("schemas.enable".to_owned(), schemas.to_string()),
            ("decimal.format".to_owned(), "numeric".to_owned()),
        ]
        .into();
        Ok(Self {
            key: open(&props, ConverterRole::Key)?,
            value: open(&props, ConverterRole::Value)?,
        })
    }

    /// A line a record.
    fn lines(&mut self, records: &Records) -> Result<Vec<String>> {
        let topic = &records.topic;
        let keys = texts(&mut *self.key, topic, &records.key)?;
        let values = texts(&mut *self.value, topic, &records.value)?;
        let line = |(row, (key, value)): (usize, (Box<RawValue>, Box<RawValue>))| {
            let timestamp = records.timestamps.as_ref().map(|t| t[row]);
            let timestamp = timestamp.filter(|time| *time != Records::NO_TIMESTAMP);
            let line = Line { topic, timestamp, key, value };
            serde_json::to_string(&line).expect("JSON is JSON")
        };
        Ok(keys.into_iter().zip(values).enumerate().map(line).collect())
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    key: Box<RawValue>,
    value: Box<RawValue>,
}

fn texts(
    converter: &mut dyn Converter,
    topic: &str,
    column: &Column,
) -> Result<Vec<Box<RawValue>>> {
    let mut failed = Vec::new();
    let cells = converter.from_connect_data(topic, column, &mut failed)?;
    if let Some(row) = failed.into_iter().next() {
        return Err(row.error.context("topic", topic));
    }
    let text = |cell: Option<&[u8]>| {
        let text = String::from_utf8_lossy(cell.unwrap_or(b"null")).into_owned();
        RawValue::from_string(text).map_err(|e| Error::fatal("this is no JSON").with_source(e))
    };
    cells.iter().map(text).collect()
}
