//! Connectors that tell what the engine did to them, and misbehave when told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::BooleanArray;
use async_trait::async_trait;
use millrace_api::config::{Config, ConfigDef, ConfigError};
use millrace_api::data::{Column, Records, RowError, Schema, SinkRecords, SourceRecords, Value};
use millrace_api::{
    AlteredOffset, Connector, ConnectorContext, Converter, ConverterRole, Error, OffsetControl,
    Offsets, Open, Plugin, PluginKind, Predicate, Props, RawHeaders, Result, Serialized, Sink,
    SinkContext, SinkTask, Source, SourceContext, SourceTask, TopicPartition, Transformation,
    Verdict,
};

pub(crate) use crate::faults::Fault;
use crate::faults::{fails_now, may_fail};

/// What happened to a sink, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Open(Vec<TopicPartition>),
    /// Task, partition, offset and value of each record.
    Put(usize, Vec<(TopicPartition, i64, String)>),
    PreCommit(Offsets),
    Close(Vec<TopicPartition>),
    Stop,
}

/// What a test shares with the plugins of one connector.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) events: Vec<Event>,
    /// So many more calls fail, by what is called and how: `put`, `pre_commit`, `poll`.
    pub(crate) faults: HashMap<&'static str, (usize, Fault)>,
    /// What pre_commit gives back instead of what it got.
    pub(crate) hold_back: Option<i64>,
    /// By how much pre_commit says more than it got, also of a partition that is not the task's.
    pub(crate) overstate: Option<i64>,
    /// Partition to pause, taken up at the next put.
    pub(crate) pause: Option<TopicPartition>,
    /// What a put that fails asks to be waited before it comes again.
    pub(crate) timeout: Option<Duration>,
    /// Offset to rewind to, taken up at the next put.
    pub(crate) rewind: Option<(TopicPartition, i64)>,
    pub(crate) context: Option<ConnectorContext>,
    /// How many tasks a source makes.
    pub(crate) tasks: usize,
    /// Where a task sends instead, by its number.
    pub(crate) topics: BTreeMap<usize, &'static str>,
    /// Whether its tasks get no keys but their own.
    pub(crate) bare: bool,
    pub(crate) commits: usize,
    /// How often the connector was started.
    pub(crate) starts: usize,
    /// The tasks that were started, in order.
    pub(crate) task_starts: Vec<i32>,
    /// What it says to changes of its offsets; none: nothing of its own.
    pub(crate) control: Option<OffsetControl>,
    /// The changes it was asked about, as JSON.
    pub(crate) altered: Vec<String>,
    /// Whether what blocks and loops goes on.
    pub(crate) is_released: bool,
    /// Whether what loops sleeps instead, for now.
    pub(crate) rests: bool,
    /// What is never given back.
    pub(crate) kept: Vec<Vec<u8>>,
    /// How many records a source's polls bring from now on; none: as its configuration says.
    pub(crate) run: Option<i64>,
    /// Runs that a counting sink was given at another offset than they were counted for.
    pub(crate) misplaced: usize,
}

impl Shared {
    pub(crate) fn fault(&mut self, call: &str) -> Option<Fault> {
        let (left, fault) = self.faults.get_mut(call)?;
        *left = left.checked_sub(1)?;
        Some(*fault)
    }

    pub(crate) fn put_values(&self) -> Vec<String> {
        let puts = self.events.iter().filter_map(|event| match event {
            Event::Put(_, records) => Some(records),
            _ => None,
        });
        puts.flatten().map(|(_, _, value)| value.clone()).collect()
    }
}

type Registry = HashMap<String, Arc<Mutex<Shared>>>;

static SHARED: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

/// The shared state of a connector; names are unique among all tests.
pub(crate) fn shared(connector: &str) -> Arc<Mutex<Shared>> {
    let mut all = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(all.entry(connector.to_owned()).or_default())
}

pub(crate) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys of both test connectors.
#[derive(Config)]
pub(crate) struct TestConfig {
    /// The connector's name.
    #[config(key = "name")]
    pub(crate) name: String,
    /// Where a source sends.
    #[config(key = "topic", default = "")]
    topic: String,
    /// How many records a source task has.
    #[config(key = "count", default = 0)]
    count: i64,
    /// The records' timestamp.
    #[config(key = "timestamp", default = -1)]
    timestamp: i64,
    /// How many milliseconds a poll takes.
    #[config(key = "poll.ms", default = 0)]
    poll_ms: i64,
    /// How many records a poll brings.
    #[config(key = "run", default = 10)]
    run: i64,
    /// The task's number.
    #[config(key = "task", default = 0)]
    task: i32,
    /// The end of values that a sink cannot write.
    #[config(key = "poison")]
    poison: Option<String>,
    /// What a sink does about them: `report`, `settle`, `refuse`, `refuse-passing`, `fail`.
    #[config(key = "poison.by", default = "report")]
    poison_by: String,
}

pub(crate) struct Splitter {
    pub(crate) props: Props,
    pub(crate) shared: Arc<Mutex<Shared>>,
    pub(crate) sink: bool,
}

#[async_trait]
impl Connector for Splitter {
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        may_fail(&self.shared, "task_configs").await?;
        let wanted = lock(&self.shared).tasks.max(1);
        let tasks = if self.sink { tasks_max } else { wanted.min(tasks_max) };
        let (bare, topics) = {
            let shared = lock(&self.shared);
            (shared.bare, shared.topics.clone())
        };
        let task = |n: usize| {
            let mut props = self.props.clone();
            props.retain(|key, _| !bare || ["name", "topic", "count"].contains(&key.as_str()));
            props.insert("task".into(), n.to_string());
            if let Some(topic) = topics.get(&n) {
                props.insert("topic".into(), (*topic).to_owned());
            }
            props
        };
        Ok((0..tasks).map(task).collect())
    }

    async fn stop(&mut self) -> Result<()> {
        may_fail(&self.shared, "connector-stop").await
    }
}

/// Sends `NAME-TASK-0`, `NAME-TASK-1`, … and keeps its place.
pub(crate) struct CountingSource;

#[async_trait]
impl Source for CountingSource {
    const CLASS: &'static str = "test.CountingSourceConnector";
    type Config = TestConfig;

    async fn connector(
        config: TestConfig,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        let shared = shared(&config.name);
        may_fail(&shared, "connector").await?;
        lock(&shared).starts += 1;
        lock(&shared).context = Some(context);
        Ok(Box::new(Splitter { props, shared, sink: false }))
    }

    async fn task(props: Props, context: SourceContext) -> Result<Box<dyn SourceTask>> {
        let config = TestConfig::parse(&props)?;
        let partition = partition(config.task);
        let stored = context.offsets().offsets(std::slice::from_ref(&partition)).await?;
        let next = stored[0].as_ref().map_or(0, |offset| offset["next"].as_i64().unwrap());
        let shared = shared(&config.name);
        may_fail(&shared, "start").await?;
        lock(&shared).task_starts.push(config.task);
        Ok(Box::new(CountingTask { config, shared, partition: Arc::new(partition), next }))
    }

    fn validate(config: &TestConfig) -> Vec<ConfigError> {
        let heard = fails_now(&shared(&config.name), "validate");
        let error = |e: Error| ConfigError { key: "topic".to_owned(), message: e.to_string() };
        heard.err().map(error).into_iter().collect()
    }

    async fn verify(config: TestConfig, _props: &Props) -> Verdict {
        let heard = may_fail(&shared(&config.name), "verify").await;
        let error = |e: Error| ConfigError { key: "topic".to_owned(), message: e.to_string() };
        Verdict {
            errors: heard.err().map(error).into_iter().collect(),
            recommended: [("topic", vec!["suggested".to_owned()])].into(),
        }
    }

    async fn alter_offsets(config: TestConfig, offsets: &[AlteredOffset]) -> Result<OffsetControl> {
        alter(&config.name, serde_json::to_string(offsets).unwrap()).await
    }
}

async fn alter(connector: &str, offsets: String) -> Result<OffsetControl> {
    let shared = shared(connector);
    may_fail(&shared, "alter").await?;
    let mut shared = lock(&shared);
    shared.altered.push(offsets);
    Ok(shared.control.unwrap_or(OffsetControl::Complete))
}

fn partition(task: i32) -> millrace_api::data::SourcePartition {
    BTreeMap::from([("task".to_owned(), task.into())]).into_iter().collect()
}

struct CountingTask {
    config: TestConfig,
    shared: Arc<Mutex<Shared>>,
    partition: Arc<millrace_api::data::SourcePartition>,
    next: i64,
}

#[async_trait]
impl SourceTask for CountingTask {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        may_fail(&self.shared, "poll").await?;
        tokio::time::sleep(Duration::from_millis(self.config.poll_ms.try_into().unwrap())).await;
        let run = lock(&self.shared).run.unwrap_or(self.config.run);
        let end = self.config.count.min(self.next + run);
        if self.next >= end {
            tokio::time::sleep(Duration::from_millis(5)).await;
            return Ok(Vec::new());
        }
        let TestConfig { name, task, .. } = &self.config;
        let values: Vec<Value> =
            (self.next..end).map(|n| format!("{name}-{task}-{n}").as_str().into()).collect();
        let value = Column::from_values(Some(Schema::string(false)), values);
        self.next = end;
        let offset = BTreeMap::from([("next".to_owned(), end.into())]);
        let mut records = Records::new(self.config.topic.as_str(), value);
        records.timestamps = Some(vec![self.config.timestamp; records.len()].into());
        Ok(vec![SourceRecords {
            records,
            source_partition: Arc::clone(&self.partition),
            source_offset: Some(offset.into_iter().collect()),
        }])
    }

    async fn commit(&mut self) -> Result<()> {
        lock(&self.shared).commits += 1;
        may_fail(&self.shared, "commit").await
    }

    async fn stop(&mut self) -> Result<()> {
        may_fail(&self.shared, "stop").await
    }
}

/// Writes down everything.
pub(crate) struct RecordingSink;

#[async_trait]
impl Sink for RecordingSink {
    const CLASS: &'static str = "test.RecordingSinkConnector";
    type Config = TestConfig;

    async fn connector(
        config: TestConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        let shared = shared(&config.name);
        Ok(Box::new(Splitter { props, shared, sink: true }))
    }

    async fn task(props: Props, context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let config = TestConfig::parse(&props)?;
        let shared = shared(&config.name);
        may_fail(&shared, "start").await?;
        let task = usize::try_from(config.task).unwrap();
        let poison = config.poison.map(|end| (end, config.poison_by));
        Ok(Box::new(RecordingTask { shared, context, task, poison }))
    }

    async fn preview(
        _config: TestConfig,
        _props: &Props,
        records: &[SinkRecords],
    ) -> Result<Vec<String>> {
        let rows = records.iter().map(|run| run.records.value.rows());
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(rows.iter().flat_map(|rows| rows.iter()).map(|v| format!("would write {v}")).collect())
    }

    async fn alter_offsets(
        config: TestConfig,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<OffsetControl> {
        alter(&config.name, format!("{offsets:?}")).await
    }
}

/// Counts what it is given, and keeps nothing. Each partition is that of one counting task, whose
/// numbers are the offsets as long as nothing is lost and nothing comes twice.
pub(crate) struct CountingSink;

#[async_trait]
impl Sink for CountingSink {
    const CLASS: &'static str = "test.CountingSinkConnector";
    type Config = TestConfig;

    async fn connector(
        config: TestConfig,
        props: Props,
        _context: ConnectorContext,
    ) -> Result<Box<dyn Connector>> {
        let shared = shared(&config.name);
        Ok(Box::new(Splitter { props, shared, sink: true }))
    }

    async fn task(props: Props, _context: SinkContext) -> Result<Box<dyn SinkTask>> {
        let config = TestConfig::parse(&props)?;
        Ok(Box::new(EatingTask(shared(&config.name))))
    }
}

struct EatingTask(Arc<Mutex<Shared>>);

#[async_trait]
impl SinkTask for EatingTask {
    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        let rows = records.iter().map(|run| run.offsets().len()).sum::<usize>();
        let mut misplaced = 0;
        for run in records.iter().filter(|run| !run.offsets().is_empty()) {
            let first = run.records.value.value(0)?.to_string();
            let number = first.rsplit('-').next().and_then(|number| number.parse().ok());
            misplaced += usize::from(number != Some(run.offsets()[0]));
        }
        let mut shared = lock(&self.0);
        shared.commits += rows;
        shared.misplaced += misplaced;
        Ok(())
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        Ok(consumed.clone())
    }
}

struct RecordingTask {
    shared: Arc<Mutex<Shared>>,
    context: SinkContext,
    task: usize,
    /// The end of values that cannot be written, and what to do about them.
    poison: Option<(String, String)>,
}

impl RecordingTask {
    /// What becomes of a value; true: it is written.
    async fn judge(&self, run: &SinkRecords, row: usize, value: &str) -> Result<bool> {
        let Some((_, by)) = self.poison.as_ref().filter(|(end, _)| value.ends_with(end)) else {
            return Ok(true);
        };
        let error = Error::data("it is poison");
        match by.as_str() {
            "report" | "settle" => {
                let reporter = self.context.errant_record_reporter().expect("there is one");
                reporter.report(run, row, error).await?;
                if by == "settle" {
                    reporter.settle().await?;
                }
            }
            "refuse" => self.context.refuse(run, row, error),
            "refuse-passing" if lock(&self.shared).fault("refuse").is_some() => {
                self.context.refuse(run, row, Error::retriable("it is poison for now"));
            }
            "refuse-passing" => return Ok(true),
            _ => return Err(error),
        }
        Ok(false)
    }
}

#[async_trait]
impl SinkTask for RecordingTask {
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        lock(&self.shared).events.push(Event::Open(partitions.to_vec()));
        may_fail(&self.shared, "open").await
    }

    async fn put(&mut self, records: &[SinkRecords]) -> Result<()> {
        let rows = records.iter().map(SinkRecords::offsets).map(<[i64]>::len).sum::<usize>();
        if rows > 0 {
            if let Some(timeout) = lock(&self.shared).timeout {
                self.context.set_timeout(timeout);
            }
            may_fail(&self.shared, "put").await?;
        }
        let mut put = Vec::with_capacity(rows);
        for run in records {
            for (row, offset) in run.offsets().iter().enumerate() {
                let value = run.records.value.value(row)?.to_string();
                if self.judge(run, row, &value).await? {
                    put.push((run.topic_partition.clone(), *offset, value));
                }
            }
        }
        let mut shared = lock(&self.shared);
        if let Some((partition, offset)) = shared.rewind.take() {
            self.context.offset(partition, offset);
        }
        if let Some(partition) = shared.pause.take() {
            self.context.pause(&[partition]);
        }
        shared.events.push(Event::Put(self.task, put));
        Ok(())
    }

    fn puts_all_or_nothing(&self) -> bool {
        true
    }

    async fn pre_commit(&mut self, consumed: &Offsets) -> Result<Offsets> {
        may_fail(&self.shared, "pre_commit").await?;
        let mut shared = lock(&self.shared);
        let mut offsets = consumed.clone();
        if let Some(held) = shared.hold_back {
            offsets.values_mut().for_each(|offset| *offset = (*offset).min(held));
        }
        if let Some(more) = shared.overstate {
            offsets.values_mut().for_each(|offset| *offset += more);
            offsets.insert(TopicPartition::new("elsewhere", 0), more);
        }
        shared.events.push(Event::PreCommit(offsets.clone()));
        Ok(offsets)
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        lock(&self.shared).events.push(Event::Close(partitions.to_vec()));
        may_fail(&self.shared, "close").await
    }

    async fn stop(&mut self) -> Result<()> {
        lock(&self.shared).events.push(Event::Stop);
        may_fail(&self.shared, "stop").await
    }
}

/// Drops values that end in `marker`, fails on those that end in `poison`, if it is given.
struct DropEndingIn {
    marker: String,
    poison: Option<String>,
}

impl Transformation for DropEndingIn {
    fn apply(&mut self, records: Records, failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        let mut mask = Vec::with_capacity(records.len());
        for (row, value) in records.value.rows()?.iter().enumerate() {
            let text = value.to_string();
            let poison = self.poison.as_ref().is_some_and(|poison| text.ends_with(poison));
            if poison {
                let error = Error::data("poison").context("marker", &self.marker);
                failed.push(RowError { row, error });
            }
            mask.push(!poison && !text.ends_with(&self.marker));
        }
        Ok(vec![records.filter(&mask.into())])
    }
}

/// Leaves records as they are, and selects all of them, unless it is told to fail.
struct Faulty(Arc<Mutex<Shared>>);

impl Transformation for Faulty {
    fn apply(&mut self, records: Records, _failed: &mut Vec<RowError>) -> Result<Vec<Records>> {
        fails_now(&self.0, "apply").map(|()| vec![records])
    }
}

impl Predicate for Faulty {
    fn test(&mut self, records: &Records) -> Result<BooleanArray> {
        fails_now(&self.0, "test").map(|()| vec![true; records.len()].into())
    }
}

/// `StringConverter` that has to ask somebody first, as converters with a registry do.
struct Asking {
    strings: Box<dyn Converter>,
    shared: Arc<Mutex<Shared>>,
}

#[async_trait]
impl Converter for Asking {
    async fn prepare_from(&mut self, _topic: &str, _column: &Column) -> Result<()> {
        may_fail(&self.shared, "prepare").await
    }

    fn from_connect_data(
        &mut self,
        topic: &str,
        column: &Column,
        failed: &mut Vec<RowError>,
    ) -> Result<Serialized> {
        fails_now(&self.shared, "convert")?;
        self.strings.from_connect_data(topic, column, failed)
    }

    async fn prepare_to(
        &mut self,
        topic: &str,
        _rows: &Serialized,
        _headers: &[RawHeaders],
    ) -> Result<()> {
        may_fail(&self.shared, topic).await?;
        may_fail(&self.shared, "prepare").await
    }

    fn to_connect_data(
        &mut self,
        topic: &str,
        rows: &Serialized,
        headers: &[RawHeaders],
        failed: &mut Vec<RowError>,
    ) -> Result<Vec<Column>> {
        fails_now(&self.shared, "convert")?;
        self.strings.to_connect_data(topic, rows, headers, failed)
    }
}

fn asking(props: &Props, role: ConverterRole) -> Result<Box<dyn Converter>> {
    let strings = millrace_converters::plugins();
    let is_string =
        |p: &&Plugin| p.kind() == PluginKind::Converter && p.class().ends_with("StringConverter");
    let Some(Open::Converter(open)) = strings.iter().find(is_string).map(Plugin::open) else {
        panic!("there is a converter of strings")
    };
    let shared = shared(&props["of"]);
    Ok(Box::new(Asking { strings: open(&Props::new(), role)?, shared }))
}

/// Every plugin of these tests, with the real converters.
pub(crate) fn plugins() -> Vec<Plugin> {
    let mut plugins = millrace_converters::plugins();
    plugins.extend(millrace_transforms::plugins());
    plugins.push(Plugin::source::<CountingSource>());
    plugins.push(Plugin::sink::<RecordingSink>());
    plugins.push(Plugin::sink::<CountingSink>());
    plugins.push(Plugin::sink::<crate::refusals::WaveringSink>());
    plugins.push(Plugin::converter("test.Asking", ConfigDef::default, asking));
    plugins.push(Plugin::transformation("test.Faulty", ConfigDef::default, |props| {
        Ok(Box::new(Faulty(shared(&props["of"]))))
    }));
    plugins.push(Plugin::predicate("test.FaultyPredicate", ConfigDef::default, |props| {
        Ok(Box::new(Faulty(shared(&props["of"]))))
    }));
    plugins.extend(crate::places::seeing_places());
    plugins.push(Plugin::transformation("test.DropEndingIn", ConfigDef::default, |props| {
        let marker = props.get("marker").cloned().unwrap_or_default();
        Ok(Box::new(DropEndingIn { marker, poison: props.get("poison").cloned() }))
    }));
    plugins
}
