//! Stands in for the worker: makes plugins from their configuration, keeps source offsets in
//! memory, and ends tests that hang.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::data::{SourceOffset, SourcePartition, SourceRecords};
use millrace_api::{
    Connector, ConnectorContext, ConnectorRequests, Converter, ConverterRole, Error, OffsetReader,
    Open, Plugin, Props, Result, SinkContext, SinkTask, SourceContext, SourceTask, Transformation,
};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

/// No check of a suite takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs an asynchronous test. Panics when it takes longer than a minute.
pub fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine can run one more thread")
        .block_on(async {
            tokio::time::timeout(DEADLINE, test).await.expect("the test ends within a minute")
        })
}

/// Runs a property test with so many cases; an assertion that fails inside is shown with the
/// smallest input found.
pub fn for_all<S: Strategy>(cases: u32, inputs: &S, check: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(inputs, |input| {
        check(input);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Source offsets as the offset topic would hold them.
#[derive(Debug, Default)]
pub struct MemoryOffsets(Mutex<Vec<(SourcePartition, SourceOffset)>>);

impl MemoryOffsets {
    /// Nothing was stored so far.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Stores the offset of a run, as the worker does once all its records are acknowledged.
    pub fn commit(&self, run: &SourceRecords) {
        if let Some(offset) = &run.source_offset {
            self.store((*run.source_partition).clone(), offset.clone());
        }
    }

    /// Stores an offset.
    pub fn store(&self, partition: SourcePartition, offset: SourceOffset) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(p, _)| *p != partition);
        entries.push((partition, offset));
    }
}

#[async_trait]
impl OffsetReader for MemoryOffsets {
    async fn offsets(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |partition| entries.iter().find(|(p, _)| p == partition);
        Ok(partitions
            .iter()
            .map(|partition| find(partition).map(|(_, offset)| offset.clone()))
            .collect())
    }
}

/// Requests are of no interest here, except that the connector must not fail.
struct NoRequests;

impl ConnectorRequests for NoRequests {
    fn request_task_reconfiguration(&self) {}

    fn raise_error(&self, error: Error) {
        panic!("the connector failed: {error:?}");
    }
}

/// Starts a connector.
pub async fn connector(
    plugin: &Plugin,
    props: Props,
    offsets: &Arc<MemoryOffsets>,
) -> Result<Box<dyn Connector>> {
    let offsets: Arc<dyn OffsetReader> = Arc::clone(offsets) as _;
    let context = ConnectorContext::new("suite", offsets, Arc::new(NoRequests));
    match plugin.open() {
        Open::Source { connector, .. } | Open::Sink { connector, .. } => {
            connector(props, context).await
        }
        _ => panic!("{plugin:?} is no connector"),
    }
}

/// The configuration of the first task, where the connector may have one.
async fn first_task(plugin: &Plugin, props: Props, offsets: &Arc<MemoryOffsets>) -> Result<Props> {
    let mut connector = connector(plugin, props, offsets).await?;
    let mut configs = connector.task_configs(1).await?;
    connector.stop().await?;
    assert_eq!(configs.len(), 1, "tasks of {plugin:?} for tasks.max=1");
    Ok(configs.remove(0))
}

/// Starts the only task of a source.
pub async fn source_task(
    plugin: &Plugin,
    props: Props,
    offsets: &Arc<MemoryOffsets>,
) -> Result<Box<dyn SourceTask>> {
    let props = first_task(plugin, props, offsets).await?;
    let reader: Arc<dyn OffsetReader> = Arc::clone(offsets) as _;
    match plugin.open() {
        Open::Source { task, .. } => task(props, SourceContext::new("suite", reader)).await,
        _ => panic!("{plugin:?} is no source"),
    }
}

/// Starts the only task of a sink.
pub async fn sink_task(
    plugin: &Plugin,
    props: Props,
    context: SinkContext,
) -> Result<Box<dyn SinkTask>> {
    let props = first_task(plugin, props, &MemoryOffsets::new()).await?;
    match plugin.open() {
        Open::Sink { task, .. } => task(props, context).await,
        _ => panic!("{plugin:?} is no sink"),
    }
}

/// Makes a converter for values.
pub fn converter(plugin: &Plugin, props: &Props) -> Result<Box<dyn Converter>> {
    match plugin.open() {
        Open::Converter(open) => open(props, ConverterRole::Value),
        _ => panic!("{plugin:?} is no converter"),
    }
}

/// Makes a transformation.
pub fn transformation(plugin: &Plugin, props: &Props) -> Result<Box<dyn Transformation>> {
    match plugin.open() {
        Open::Transformation(open) => open(props),
        _ => panic!("{plugin:?} is no transformation"),
    }
}

/// Properties from pairs.
pub fn props<const N: usize>(pairs: [(&str, &str); N]) -> Props {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[doc(hidden)]
#[macro_export]
macro_rules! suite_checks {
    ($suite:ident, $fixture:expr, $($check:ident)+) => {$(
        #[test]
        fn $check() {
            $crate::$suite::$check(&$fixture);
        }
    )+};
}
