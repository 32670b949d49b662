//! A Kafka-like log inside this process: decides how topics, groups and offsets work without a
//! cluster of brokers.
//!
//! **It is one process on one machine: no replication, no access from a second process but through
//! the one that has it, no retention. It does not replace Kafka.** It is for trying things out, for
//! tests, and for pipelines that need no more than that.
//!
//! What is there behaves as Kafka's: segment files of record batches in its own format, offsets,
//! murmur2 partitioning, consumer groups with rebalances and fencing, committed offsets,
//! compaction; and over the [network](Server), on loopback, idempotent producers and transactions.
//! What was acknowledged has been handed to the operating system, so killing the process loses
//! nothing; like Kafka with its default settings it leaves it to the operating system when to write
//! to the disk, so a crash of the machine may lose the last seconds.
//!
//! A cluster in memory keeps every record until its topic is deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::time::Instant;

use crate::lock::lock;
use crate::topic_name::why_illegal;
use crate::{
    Cluster, ClusterDescription, Consumer, Isolation, NewTopic, OffsetSpec, Producer, Properties,
};

mod admin;
mod compaction;
mod consumer;
mod coordinator;
mod directory;
mod group;
mod log;
mod marker;
mod offsets;
mod partition;
mod producer;
mod producers;
mod recovery;
mod search;
mod segment;
mod server;
mod settings;
mod topic_id;
mod transactions;

#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "simulation"))]
pub(crate) use server::nodes::{Nodes, host as node_host};
pub use server::{Server, ServerSettings};
pub use settings::Settings;

use consumer::EmbeddedConsumer;
use coordinator::{Coordinator, GroupSettings};
use directory::{ClusterFile, Directory, TopicEntry};
use group::Groups;
use log::Log;
use offsets::Offsets;
use producer::EmbeddedProducer;
use server::clock::Clock;
use settings::{ConsumerSettings, ProducerSettings, TopicSettings};
use topic_id::TopicId;
use transactions::Transactions;
use transactions::store::Store;

/// Each partition costs an open file.
const MAX_PARTITIONS: i32 = 10_000;

/// The most members of a group that come over the network (`group.max.size`).
const MAX_GROUP: usize = 1000;

/// A cluster inside this process; see the [module](self). Clones are the same cluster. A directory
/// stays locked until the last clone, producer and consumer are gone.
#[derive(Clone)]
pub struct EmbeddedCluster(Arc<Shared>);

/// What producers and consumers share.
struct Shared {
    settings: Settings,
    directory: Option<Directory>,
    cluster_id: String,
    topics: Mutex<BTreeMap<Arc<str>, Arc<Topic>>>,
    groups: Mutex<Groups>,
    /// Groups of those who come over the network.
    coordinator: Mutex<Coordinator>,
    clock: Clock,
    offsets: Offsets,
    /// Held while batches of transactions are appended and while a transaction ends. The order of
    /// locks is this, `topics`, `groups`, `coordinator`, those of offsets and logs.
    transactions: Mutex<Transactions>,
    transaction_store: Store,
    producers: AtomicI32,
    producer_ids: Mutex<ProducerIds>,
}

/// What a cluster keeps in logs of its own.
struct Internal {
    offsets: Offsets,
    transactions: Transactions,
    store: Store,
}

impl Internal {
    fn new(settings: &Settings, directory: Option<&Directory>, offsets: Offsets) -> Result<Self> {
        let mut transactions = Transactions::default();
        let store = Store::open(settings, directory, &mut transactions)?;
        Ok(Self { offsets, transactions, store })
    }
}

/// Ids of producers. They are reserved in blocks, so that the list of topics, where they are kept,
/// is seldom written.
#[derive(Debug, Default)]
struct ProducerIds {
    next: i64,
    reserved: i64,
}

impl ProducerIds {
    const BLOCK: i64 = 1000;

    fn after(reserved: i64) -> Self {
        Self { next: reserved, reserved }
    }
}

/// A topic and its logs.
#[derive(Debug)]
struct Topic {
    id: TopicId,
    logs: Vec<Arc<Log>>,
    configs: BTreeMap<String, String>,
}

impl Topic {
    fn is_compacted(&self) -> bool {
        self.logs.first().is_some_and(|log| log.settings().is_compacted)
    }
}

impl EmbeddedCluster {
    /// A new cluster in memory.
    pub fn in_memory() -> Self {
        Self::in_memory_with(Settings::default()).expect("memory is always there")
    }

    /// A new cluster in memory with these settings.
    pub fn in_memory_with(settings: Settings) -> Result<Self> {
        let internal = Internal::new(&settings, None, Offsets::create(&settings, None)?)?;
        Ok(Self::new(settings, None, TopicId::random().to_string(), BTreeMap::new(), internal))
    }

    /// Opens the cluster in this directory, or makes a new one. Errors when another process has it,
    /// and when what is there cannot be trusted.
    pub fn open(path: &Path, settings: Settings) -> Result<Self> {
        let directory = Directory::open(path)?;
        let Some(file) = directory.load()? else {
            let offsets = Offsets::create(&settings, Some(&directory))?;
            let internal = Internal::new(&settings, Some(&directory), offsets)?;
            let file = ClusterFile::new(TopicId::random().to_string());
            directory.save(&file)?;
            let id = file.cluster_id;
            return Ok(Self::new(settings, Some(directory), id, BTreeMap::new(), internal));
        };
        let lacks_ids = file.topics.values().any(|topic| topic.id.is_none());
        let mut topics = BTreeMap::new();
        for (name, entry) in file.topics {
            let name: Arc<str> = name.into();
            topics.insert(name.clone(), Arc::new(open_topic(&name, entry, &settings, &directory)?));
        }
        let offsets = Offsets::open(&settings, &directory)?;
        let internal = Internal::new(&settings, Some(&directory), offsets)?;
        let cluster = Self::new(settings, Some(directory), file.cluster_id, topics, internal);
        let shared = &cluster.0;
        *lock(&shared.producer_ids) = ProducerIds::after(file.next_producer_id);
        if lacks_ids {
            shared.save(&lock(&shared.topics))?;
        }
        shared.offsets.warn_of_lost_records(|tp| Some(shared.log(tp).ok()?.offsets().1));
        Ok(cluster)
    }

    fn new(
        settings: Settings,
        directory: Option<Directory>,
        cluster_id: String,
        topics: BTreeMap<Arc<str>, Arc<Topic>>,
        internal: Internal,
    ) -> Self {
        let mut groups = Groups::default();
        groups.topics_changed(partition_counts(&topics));
        let coordinator = Coordinator::new(GroupSettings {
            min_session_timeout: settings.group_session_timeouts.0,
            max_session_timeout: settings.group_session_timeouts.1,
            initial_rebalance_delay: settings.group_initial_rebalance_delay,
            max_size: MAX_GROUP,
        });
        Self(Arc::new(Shared {
            settings,
            directory,
            cluster_id,
            topics: Mutex::new(topics),
            groups: Mutex::new(groups),
            coordinator: Mutex::new(coordinator),
            clock: Clock::default(),
            offsets: internal.offsets,
            transactions: Mutex::new(internal.transactions),
            transaction_store: internal.store,
            producers: AtomicI32::new(0),
            producer_ids: Mutex::default(),
        }))
    }
}

impl fmt::Debug for EmbeddedCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.0.directory.as_ref().map(Directory::path);
        f.debug_struct("EmbeddedCluster").field("directory", &directory).finish_non_exhaustive()
    }
}

impl Shared {
    fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        lock(&self.topics).get(name).cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the topic does not exist").context("topic", name)
        })
    }

    fn log(&self, tp: &TopicPartition) -> Result<Arc<Log>> {
        let topic = self.topic(&tp.topic)?;
        let log = usize::try_from(tp.partition).ok().and_then(|p| topic.logs.get(p));
        log.cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the topic has no such partition")
                .context("partition", tp)
                .context("partitions", topic.logs.len())
        })
    }

    fn topic_or_create(&self, name: &str) -> Result<Arc<Topic>> {
        match self.topic(name) {
            Err(_) if self.settings.auto_create_topics => {}
            other => return other,
        }
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: None,
            replication_factor: None,
            configs: BTreeMap::new(),
        };
        match self.create(&topic) {
            // Somebody else was quicker.
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            other => other?,
        }
        self.topic(name)
    }

    fn create(&self, new: &NewTopic) -> Result<()> {
        check_name(&new.name)?;
        let partitions = new.partitions.unwrap_or(self.settings.partitions);
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(Error::config(format!(
                "a topic has from 1 to {MAX_PARTITIONS} partitions"
            ))
            .context("topic", &new.name)
            .context("partitions", partitions));
        }
        let settings = TopicSettings::new(&new.configs, &self.settings)?;
        let mut topics = lock(&self.topics);
        if topics.contains_key(&*new.name) {
            return Err(Error::new(ErrorKind::Conflict, "the topic exists already")
                .context("topic", &new.name));
        }
        let name: Arc<str> = new.name.as_str().into();
        let logs = (0..partitions).map(|partition| self.new_log(&name, partition, settings));
        let logs = logs.collect::<Result<_>>()?;
        topics.insert(
            name.clone(),
            Arc::new(Topic { id: TopicId::random(), logs, configs: new.configs.clone() }),
        );
        // The logs come first: a list that names a topic without them would not open.
        if let Err(e) = self.save(&topics) {
            topics.remove(&name);
            return Err(e);
        }
        lock(&self.groups).topics_changed(partition_counts(&topics));
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<()> {
        let mut topics = lock(&self.topics);
        let Some((name, topic)) = topics.remove_entry(name) else {
            return Err(
                Error::new(ErrorKind::NotFound, "the topic does not exist").context("topic", name)
            );
        };
        if let Err(e) = self.save(&topics) {
            topics.insert(name, topic);
            return Err(e);
        }
        for log in &topic.logs {
            log.delete();
        }
        lock(&self.groups).topics_changed(partition_counts(&topics));
        self.offsets.forget(&name)
    }

    /// A group has members in this process or on the network, never both. The caller holds the lock
    /// of `groups`, so that it stays like that.
    fn check_no_remote_members(&self, group: &str) -> Result<()> {
        match lock(&self.coordinator).has_members(group, Instant::now()) {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Conflict,
                "the group has members on the network, and consumers in the cluster's own process \
                 cannot join them: choose another group.id, or stop the others",
            )
            .context("group.id", group)),
        }
    }

    /// Adds partitions to a topic until it has so many.
    fn grow(&self, name: &str, partitions: i32, validate_only: bool) -> Result<()> {
        let mut topics = lock(&self.topics);
        let Some((name, old)) = topics.get_key_value(name).map(|(n, t)| (n.clone(), t.clone()))
        else {
            return Err(
                Error::new(ErrorKind::NotFound, "the topic does not exist").context("topic", name)
            );
        };
        let count = old.logs.len() as i32;
        if !(count + 1..=MAX_PARTITIONS).contains(&partitions) {
            let why = format!(
                "Topic currently has {count} partitions; it can get more, up to {MAX_PARTITIONS}"
            );
            return Err(Error::config(why).context("topic", &name));
        }
        if validate_only {
            return Ok(());
        }
        let settings = TopicSettings::new(&old.configs, &self.settings)?;
        let new = (count..partitions).map(|partition| self.new_log(&name, partition, settings));
        let mut logs = old.logs.clone();
        for log in new {
            logs.push(log?);
        }
        let topic = Topic { id: old.id, logs, configs: old.configs.clone() };
        self.replace_topic(&mut topics, &name, topic, old)?;
        lock(&self.groups).topics_changed(partition_counts(&topics));
        Ok(())
    }

    /// Gives a topic these configs, which were checked.
    fn configure(
        &self,
        name: &str,
        configs: BTreeMap<String, String>,
        settings: TopicSettings,
    ) -> Result<()> {
        let mut topics = lock(&self.topics);
        let Some((name, old)) = topics.get_key_value(name).map(|(n, t)| (n.clone(), t.clone()))
        else {
            return Err(
                Error::new(ErrorKind::NotFound, "the topic does not exist").context("topic", name)
            );
        };
        let topic = Topic { id: old.id, logs: old.logs.clone(), configs };
        self.replace_topic(&mut topics, &name, topic, old.clone())?;
        for log in &old.logs {
            log.configure(settings);
        }
        Ok(())
    }

    /// On an error the old one stays.
    fn replace_topic(
        &self,
        topics: &mut BTreeMap<Arc<str>, Arc<Topic>>,
        name: &Arc<str>,
        new: Topic,
        old: Arc<Topic>,
    ) -> Result<()> {
        topics.insert(name.clone(), Arc::new(new));
        self.save(topics).inspect_err(|_| drop(topics.insert(name.clone(), old)))
    }

    fn new_log(
        &self,
        topic: &Arc<str>,
        partition: i32,
        settings: TopicSettings,
    ) -> Result<Arc<Log>> {
        let tp = TopicPartition::new(topic.clone(), partition);
        let log = match &self.directory {
            None => Log::in_memory(tp, settings, &self.settings),
            Some(directory) => Log::create(tp, settings, &self.settings, directory)?,
        };
        Ok(Arc::new(log))
    }

    /// An id that no producer has had.
    fn next_producer_id(&self) -> Result<i64> {
        let topics = lock(&self.topics);
        let mut ids = lock(&self.producer_ids);
        if ids.next == ids.reserved {
            let reserved = ids.reserved + ProducerIds::BLOCK;
            self.save_with(&topics, reserved)?;
            ids.reserved = reserved;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }

    fn save(&self, topics: &BTreeMap<Arc<str>, Arc<Topic>>) -> Result<()> {
        let next_producer_id = lock(&self.producer_ids).reserved;
        self.save_with(topics, next_producer_id)
    }

    fn save_with(
        &self,
        topics: &BTreeMap<Arc<str>, Arc<Topic>>,
        next_producer_id: i64,
    ) -> Result<()> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let mut file = ClusterFile::new(self.cluster_id.clone());
        file.next_producer_id = next_producer_id;
        for (name, topic) in topics {
            let partitions = topic.logs.len() as i32;
            let (configs, id) = (topic.configs.clone(), Some(topic.id));
            let entry = TopicEntry { partitions, configs, id };
            file.topics.insert(name.to_string(), entry);
        }
        directory.save(&file)
    }
}

#[async_trait]
impl Cluster for EmbeddedCluster {
    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>> {
        let settings = ProducerSettings::new(properties)?;
        let number = self.0.producers.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(EmbeddedProducer::new(self.0.clone(), settings, number)))
    }

    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>> {
        let settings = ConsumerSettings::new(properties)?;
        Ok(Box::new(EmbeddedConsumer::new(self.0.clone(), settings)))
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        Ok(self.0.describe())
    }

    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>> {
        let all = lock(&self.0.topics);
        let wanted = all.iter().filter(|(name, _)| topics.is_none_or(|t| t.contains(&&***name)));
        Ok(wanted.map(|(name, topic)| (name.to_string(), topic.logs.len() as i32)).collect())
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        self.0.create(topic)
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.0.delete(topic)
    }

    async fn create_partitions(&self, topic: &str, total: i32) -> Result<()> {
        self.0.grow(topic, total, false)
    }

    async fn topic_configs(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        self.0.topic_configs(topic)
    }

    async fn alter_topic_configs(
        &self,
        topic: &str,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        self.0.alter_topic_configs(topic, changes)
    }

    async fn delete_records(&self, before: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.0.delete_records(before)
    }

    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.0.list_offsets(partitions, spec, isolation)
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        Ok(self.0.offsets.committed(group, partitions))
    }

    async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>> {
        Ok(self.0.offsets.all_committed(group))
    }

    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        // Held over the change: nobody may join between check and change.
        let mut groups = lock(&self.0.groups);
        groups.check_commit(group, None, offsets.keys(), Instant::now())?;
        self.0.check_no_remote_members(group)?;
        self.0.offsets.alter(group, offsets)
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        let mut groups = lock(&self.0.groups);
        groups.check_commit(group, None, [].into_iter(), Instant::now())?;
        self.0.check_no_remote_members(group)?;
        self.0.offsets.delete(group)?;
        lock(&self.0.coordinator).forget(group);
        Ok(())
    }

    async fn fence_producers(&self, transactional_ids: &[&str]) -> Result<()> {
        transactional_ids.iter().try_for_each(|id| self.0.fence(id))
    }
}

fn open_topic(
    name: &Arc<str>,
    entry: TopicEntry,
    cluster: &Settings,
    directory: &Directory,
) -> Result<Topic> {
    let settings = TopicSettings::new(&entry.configs, cluster)?;
    let open = |partition| {
        let tp = TopicPartition::new(name.clone(), partition);
        Log::open(tp, settings, cluster, directory)
    };
    let logs = (0..entry.partitions).map(open).collect::<Result<_>>()?;
    Ok(Topic { id: entry.id.unwrap_or_else(TopicId::random), logs, configs: entry.configs })
}

fn partition_counts(topics: &BTreeMap<Arc<str>, Arc<Topic>>) -> BTreeMap<Arc<str>, i32> {
    topics.iter().map(|(name, topic)| (name.clone(), topic.logs.len() as i32)).collect()
}

fn check_name(name: &str) -> Result<()> {
    let is_reserved = [offsets::TOPIC, transactions::store::TOPIC].contains(&name);
    let reserved =
        is_reserved.then_some("this topic's name is reserved for what the cluster itself keeps");
    match why_illegal(name).or(reserved) {
        Some(why) => Err(Error::config(why).context("topic", name)),
        None => Ok(()),
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
