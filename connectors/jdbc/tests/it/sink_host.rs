//! Stands in for the worker of a sink: delivers records, takes up rewinds, keeps what is committed
//! and what is reported.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millrace_api::data::{Column, Kind, Records, Schema, SchemaRef, SinkRecords, Struct, Value};
use millrace_api::{
    ErrantRecordReporter, Error, Offsets, Plugin, Props, Result, SinkContext, SinkTask,
    TopicPartition,
};
use millrace_testkit::plugin_host::sink_task;

pub(crate) fn sink_plugin() -> Plugin {
    let mut plugins = millrace_jdbc::plugins().into_iter();
    plugins
        .find(|p| p.answers_to("io.confluent.connect.jdbc.JdbcSinkConnector"))
        .expect("the plugin is there")
}

/// A configuration in which nothing waits long.
pub(crate) fn sink_props(url: &str, more: &[(&str, &str)]) -> Props {
    let quick = [
        ("connection.url", url),
        ("connection.backoff.ms", "20"),
        ("retry.backoff.ms", "20"),
        ("batch.linger.ms", "0"),
    ];
    let pairs = quick.iter().chain(more);
    pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// What was reported: the record's offset, and why.
#[derive(Default)]
pub(crate) struct Reports(pub(crate) Mutex<Vec<(i64, String)>>);

impl Reports {
    pub(crate) fn offsets(&self) -> Vec<i64> {
        self.0.lock().unwrap().iter().map(|(offset, _)| *offset).collect()
    }

    pub(crate) fn text(&self) -> String {
        let reports = self.0.lock().unwrap();
        reports.iter().map(|(offset, error)| format!("{offset}: {error}\n")).collect()
    }
}

#[async_trait]
impl ErrantRecordReporter for Reports {
    async fn report(&self, records: &SinkRecords, row: usize, error: Error) -> Result<()> {
        self.0.lock().unwrap().push((records.offsets()[row], error.trace()));
        Ok(())
    }
}

/// A task and what the worker knows of it.
pub(crate) struct Sink {
    pub(crate) task: Box<dyn SinkTask>,
    pub(crate) context: SinkContext,
    pub(crate) reports: Arc<Reports>,
    consumed: Offsets,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Sink {
    /// A task that may report records, with one partition.
    pub(crate) async fn reporting(props: &Props) -> Self {
        let reports = Arc::<Reports>::default();
        let reporter = Arc::clone(&reports) as Arc<dyn ErrantRecordReporter>;
        Self::with(props, SinkContext::new("a'sink", Some(reporter)), reports).await
    }

    /// A task that fails at the first record that is wrong.
    pub(crate) async fn strict(props: &Props) -> Self {
        Self::with(props, SinkContext::new("a'sink", None), Arc::default()).await
    }

    /// A task with a context of its own.
    pub(crate) async fn with(props: &Props, context: SinkContext, reports: Arc<Reports>) -> Self {
        Self::of(&sink_plugin(), props, context, reports).await
    }

    /// A task of this plugin.
    pub(crate) async fn of(
        plugin: &Plugin,
        props: &Props,
        context: SinkContext,
        reports: Arc<Reports>,
    ) -> Self {
        let task = sink_task(plugin, props.clone(), context.clone()).await.unwrap();
        let mut sink = Self { task, context, reports, consumed: Offsets::new() };
        sink.task.open(&[partition(0)]).await.unwrap();
        sink
    }

    /// Delivers records until they are taken, as the worker does after retriable errors.
    pub(crate) async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.task.put(records).await {
                Err(error) if error.is_retriable() => {
                    assert!(start.elapsed() < PATIENCE, "still: {error:?}");
                    let wait = self.context.wishes().timeout.take();
                    tokio::time::sleep(wait.unwrap_or(Duration::from_millis(5))).await;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        for run in records {
            let next = run.offsets().last().unwrap() + 1;
            self.consumed.insert(run.topic_partition.clone(), next);
        }
        Ok(())
    }

    /// Delivers records and has them written; all of them are, or were reported.
    pub(crate) async fn write(&mut self, records: &[SinkRecords]) {
        self.put(records).await.unwrap();
        assert_eq!(self.commit().await.unwrap(), self.consumed);
    }

    /// Delivers records that end the task. Gives the whole error.
    pub(crate) async fn fail(&mut self, records: &[SinkRecords]) -> String {
        match self.put(records).await {
            Err(error) => error.trace(),
            Ok(()) => panic!("the records were taken"),
        }
    }

    pub(crate) async fn commit(&mut self) -> Result<Offsets> {
        self.task.pre_commit(&self.consumed).await
    }
}

pub(crate) fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("orders", number)
}

/// Records of topic `orders`, partition 0, from this offset on.
pub(crate) fn records(offset: i64, key: Column, value: Column) -> SinkRecords {
    records_of("orders", offset, key, value)
}

pub(crate) fn records_of(topic: &str, offset: i64, key: Column, value: Column) -> SinkRecords {
    let mut records = Records::new(topic, value);
    let rows = i64::try_from(records.len()).unwrap();
    records.partition = Some(0);
    records.key = key;
    records.offsets = Some((offset..offset + rows).collect());
    SinkRecords::new(records, partition(0))
}

/// A struct's schema: `id INT32`, `name STRING?`, a word each.
pub(crate) fn schema(fields: &[(&str, Kind, bool)]) -> SchemaRef {
    let add = |builder: millrace_api::data::SchemaBuilder,
               (name, kind, optional): &(&str, Kind, bool)| {
        builder.field(*name, Schema::builder(*kind).with_optional(*optional).build())
    };
    fields.iter().fold(Schema::struct_builder(), add).build()
}

/// Structs, the null ones as none.
pub(crate) fn structs(schema: &SchemaRef, rows: Vec<Option<Vec<Value>>>) -> Column {
    let row = |values: Option<Vec<Value>>| match values {
        Some(values) => Value::Struct(Struct::new(SchemaRef::clone(schema), values)),
        None => Value::Null,
    };
    Column::from_values(Some(SchemaRef::clone(schema)), rows.into_iter().map(row).collect())
}

/// Single values as keys.
pub(crate) fn int_keys(keys: &[i32]) -> Column {
    let schema = Schema::builder(Kind::Int32).build();
    Column::from_values(Some(schema), keys.iter().map(|key| Value::Int32(*key)).collect())
}
