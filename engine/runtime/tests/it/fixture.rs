//! A worker on a log in memory, started and stopped as a test likes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use millrace_api::{Props, Result, TopicPartition};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{Cluster, NewTopic};
use millrace_runtime::{
    Catalog, ConnectorStatus, Herder, OffsetFile, OffsetStore, StandaloneHerder, State,
    WorkerConfig,
};
use tokio::sync::RwLock;

use crate::plugins::plugins;

/// A cluster that outlives workers, and the worker that runs on it now.
pub(crate) struct Fixture {
    pub(crate) cluster: Arc<dyn Cluster>,
    directory: tempfile::TempDir,
    /// Worker properties beside the usual ones.
    extra: Props,
    worker: Option<StandaloneHerder>,
    offsets: Option<Arc<Mortal>>,
}

/// An offset file that a worker can no longer reach once it is dead.
struct Mortal {
    file: OffsetFile,
    alive: RwLock<bool>,
}

#[async_trait]
impl OffsetStore for Mortal {
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>> {
        self.file.get(keys).await
    }

    async fn of_connector(&self, connector: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.file.of_connector(connector).await
    }

    async fn set(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
        let alive = self.alive.read().await;
        match *alive {
            true => self.file.set(entries).await,
            false => std::future::pending().await,
        }
    }
}

/// How long tasks may take to stop, unless a test says otherwise: who hears at once that it is to
/// stop needs far less, however busy the machine is.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// For tests in which a task does not stop by itself.
pub(crate) const SHORT_GRACE: (&str, &str) = ("task.shutdown.graceful.timeout.ms", "500");

pub(crate) const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_on(Arc::new(EmbeddedCluster::in_memory()), &[]).await
    }

    /// A worker whose commits come at its end, or when a task asks for one.
    pub(crate) async fn start_without_timer() -> Self {
        let hour = ("offset.flush.interval.ms", "3600000");
        Self::start_on(Arc::new(EmbeddedCluster::in_memory()), &[hour]).await
    }

    pub(crate) async fn start_on(cluster: Arc<dyn Cluster>, extra: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut fixture =
            Self { cluster, directory, extra: props(extra), worker: None, offsets: None };
        fixture.start_worker().await;
        fixture
    }

    pub(crate) fn offset_file(&self) -> PathBuf {
        self.directory.path().join("connect.offsets")
    }

    pub(crate) async fn start_worker(&mut self) {
        let offsets = self.offset_file();
        let mut props = props(&[
            ("bootstrap.servers", "embedded:"),
            ("key.converter", STRING),
            ("value.converter", STRING),
            ("header.converter", STRING),
            ("offset.storage.file.filename", &offsets.display().to_string()),
            ("offset.flush.interval.ms", "50"),
            ("offset.flush.timeout.ms", "20000"),
            ("task.shutdown.graceful.timeout.ms", &GRACE.as_millis().to_string()),
        ]);
        props.extend(self.extra.clone());
        let config = WorkerConfig::parse(props).unwrap();
        let file = OffsetFile::open(offsets).unwrap();
        let offsets = Arc::new(Mortal { file, alive: RwLock::new(true) });
        self.offsets = Some(Arc::clone(&offsets));
        let cluster = Arc::clone(&self.cluster);
        let catalog = Catalog::new(plugins());
        let worker = StandaloneHerder::start(config, catalog, cluster, offsets, "test:0".into());
        self.worker = Some(worker.await.unwrap());
    }

    pub(crate) fn worker(&self) -> &StandaloneHerder {
        self.worker.as_ref().expect("a worker is running")
    }

    /// Stops the worker as SIGTERM does.
    pub(crate) async fn stop_worker(&mut self) {
        self.worker.take().expect("a worker is running").stop().await;
    }

    /// Drops the worker as a crash does: nothing is committed, closed or said. What still ends on
    /// its threads reaches nothing.
    pub(crate) async fn crash_worker(&mut self) {
        let offsets = self.offsets.take().expect("a worker has an offset file");
        *offsets.alive.write().await = false;
        drop(self.worker.take().expect("a worker is running"));
        // A write may still be under way of which nobody hears any more.
        offsets.get(Vec::new()).await.unwrap();
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, BTreeMap::new()).await;
    }

    /// Such a topic takes no record without a key.
    pub(crate) async fn create_compacted_topic(&self, name: &str) {
        let compact = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        self.create_topic_with(name, 1, compact).await;
    }

    async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) {
        let topic = NewTopic {
            name: name.into(),
            partitions: Some(partitions),
            replication_factor: None,
            configs,
        };
        self.cluster.create_topic(&topic).await.unwrap();
    }

    pub(crate) async fn source(&self, name: &str, topic: &str, count: i64, extra: &[(&str, &str)]) {
        let count = count.to_string();
        let mut config = props(&[
            ("name", name),
            ("connector.class", "CountingSource"),
            ("topic", topic),
            ("count", &count),
        ]);
        config.extend(props(extra));
        self.worker().put_connector(name, config, None, true).await.unwrap();
    }

    pub(crate) async fn sink(&self, name: &str, topics: &str, extra: &[(&str, &str)]) {
        let mut config = props(&[
            ("name", name),
            ("connector.class", "RecordingSink"),
            ("topics", topics),
            ("consumer.override.metadata.max.age.ms", "50"),
        ]);
        config.extend(props(extra));
        self.worker().put_connector(name, config, None, true).await.unwrap();
    }

    pub(crate) async fn end_offset(&self, topic: &str) -> i64 {
        let partition = TopicPartition::new(topic, 0);
        let ends = self.cluster.end_offsets(std::slice::from_ref(&partition)).await;
        ends.ok().and_then(|ends| ends.get(&partition).copied()).unwrap_or(0)
    }

    pub(crate) async fn committed(&self, group: &str, topic: &str) -> Option<i64> {
        let partition = TopicPartition::new(topic, 0);
        let all = self.cluster.committed(group, std::slice::from_ref(&partition)).await.unwrap();
        all.get(&partition).copied()
    }

    pub(crate) async fn status(&self, name: &str) -> ConnectorStatus {
        self.worker().status(name).await.unwrap()
    }

    /// The state of a connector's first task, if it has one.
    pub(crate) async fn state(&self, name: &str) -> Option<State> {
        self.worker().task_status(name, 0).await.ok().map(|task| task.status.state)
    }

    pub(crate) async fn wait_for_task(&self, name: &str, task: usize, state: State) {
        until(&format!("task {name}-{task} to be {state:?}"), async || {
            let status = self.worker().task_status(name, task).await;
            status.is_ok_and(|s| s.status.state == state)
        })
        .await;
    }
}

pub(crate) fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Waits for a condition; a test that waits longer than this has failed.
pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(Duration::from_secs(20), what, condition).await;
}

/// The same for what takes long on a busy machine.
pub(crate) async fn until_within(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
