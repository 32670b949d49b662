//! Stands in for the worker, and says what came in words that tests compare.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_api::data::{SchemaRef, SourceRecords, Value};
use millrace_api::{
    Connector, ConnectorContext, ConnectorRequests, Error, Open, Plugin, Props, Result, SourceTask,
};
use millrace_testkit::plugin_host::{MemoryOffsets, source_task};

pub(crate) fn plugin() -> Plugin {
    let mut plugins = millrace_jdbc::plugins().into_iter();
    plugins
        .find(|p| p.answers_to("io.confluent.connect.jdbc.JdbcSourceConnector"))
        .expect("the plugin is there")
}

/// A configuration in which nothing waits long.
pub(crate) fn props(url: &str, more: &[(&str, &str)]) -> Props {
    let quick = [
        ("connection.url", url),
        ("connection.backoff.ms", "50"),
        ("poll.interval.ms", "10"),
        ("topic.prefix", "db-"),
    ];
    let pairs = quick.iter().chain(more);
    pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The only task of a configuration.
pub(crate) async fn task(props: &Props) -> Result<Box<dyn SourceTask>> {
    task_from(props, &MemoryOffsets::new()).await
}

pub(crate) async fn task_from(
    props: &Props,
    offsets: &Arc<MemoryOffsets>,
) -> Result<Box<dyn SourceTask>> {
    source_task(&plugin(), props.clone(), offsets).await
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until there are so many records. Panics when they do not come.
pub(crate) async fn read(task: &mut dyn SourceTask, count: usize) -> Vec<SourceRecords> {
    let start = Instant::now();
    let mut runs: Vec<SourceRecords> = Vec::new();
    while runs.iter().map(|r| r.records.len()).sum::<usize>() < count {
        assert!(start.elapsed() < PATIENCE, "{count} records do not come");
        match task.poll().await {
            Ok(polled) => runs.extend(polled),
            Err(error) if error.is_retriable() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    runs
}

/// Polls until it fails for good. Gives what came before, and the error.
pub(crate) async fn read_to_error(task: &mut dyn SourceTask) -> (Vec<SourceRecords>, Error) {
    let start = Instant::now();
    let mut runs = Vec::new();
    loop {
        assert!(start.elapsed() < PATIENCE, "no error comes");
        match task.poll().await {
            Ok(polled) => runs.extend(polled),
            Err(error) if error.is_retriable() => {}
            Err(error) => return (runs, error),
        }
    }
}

/// Every record's fields.
pub(crate) fn rows(runs: &[SourceRecords]) -> Vec<Vec<Value>> {
    let of_run = |run: &SourceRecords| {
        let column = run.records.value.clone();
        let schema = column.schema().expect("records have a schema").clone();
        (0..column.len())
            .map(|row| {
                let value = column.value(row).unwrap();
                value.validate(&schema).unwrap();
                match value {
                    Value::Struct(fields) => fields.into_values(),
                    other => panic!("{other:?} is no struct"),
                }
            })
            .collect::<Vec<_>>()
    };
    runs.iter().flat_map(of_run).collect()
}

/// The first field of every record, which is an integer.
pub(crate) fn ids(runs: &[SourceRecords]) -> Vec<i64> {
    let id = |row: Vec<Value>| match row[0] {
        Value::Int16(id) => id.into(),
        Value::Int32(id) => id.into(),
        Value::Int64(id) => id,
        ref other => panic!("{other:?} is no id"),
    };
    rows(runs).into_iter().map(id).collect()
}

/// The schema of a run's values, as [`schema_text`] has it.
pub(crate) fn schema(run: &SourceRecords) -> String {
    schema_text(run.records.value.schema().unwrap())
}

/// A schema: of a struct a field a line with name, type, logical name, parameters, `?` for optional;
/// of anything else its type.
pub(crate) fn schema_text(schema: &SchemaRef) -> String {
    if schema.fields().is_empty() {
        let optional = if schema.is_optional() { "?" } else { "" };
        return format!("{}{optional}", schema.kind().name());
    }
    let mut text = format!("{}\n", schema.name().unwrap_or("-"));
    for field in schema.fields() {
        let s = &field.schema;
        let logical = s.name().and_then(|n| n.rsplit('.').next()).unwrap_or("");
        let parameters: Vec<_> = s.parameters().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let optional = if s.is_optional() { "?" } else { "" };
        let line =
            [&format!("{}{optional}", field.name), s.kind().name(), logical, &parameters.join(",")]
                .join(" ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What a connector asked of its worker.
#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) reconfigurations: Mutex<usize>,
    pub(crate) errors: Mutex<Vec<Error>>,
}

impl ConnectorRequests for Requests {
    fn request_task_reconfiguration(&self) {
        *self.reconfigurations.lock().unwrap() += 1;
    }

    fn raise_error(&self, error: Error) {
        self.errors.lock().unwrap().push(error);
    }
}

/// Starts a connector whose requests are kept.
pub(crate) async fn connector(props: &Props) -> Result<(Box<dyn Connector>, Arc<Requests>)> {
    let requests = Arc::<Requests>::default();
    let context =
        ConnectorContext::new("test", MemoryOffsets::new(), Arc::<Requests>::clone(&requests));
    let plugin = plugin();
    let Open::Source { connector, .. } = plugin.open() else { panic!("a source") };
    Ok((connector(props.clone(), context).await?, requests))
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "the condition does not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<String>>);

impl Lines {
    /// What was logged since it was asked last.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl tracing::field::Visit for Lines {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        let _ = writeln!(self.0.lock().unwrap(), "{value:?}");
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}
