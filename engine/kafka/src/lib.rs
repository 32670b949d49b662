//! The only crate that speaks to Kafka: decides how records are read from and written to a log,
//! behind one batch-wise trait, [`Cluster`].
//!
//! Three backends exist: for real clusters [`native`], a client of our own, and `librdkafka`, which
//! the feature `rdkafka` builds in; and [`embedded`] for a log inside this process. All take the
//! property names of Kafka's Java clients; [`connect`] chooses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray};
use arrow::buffer::ScalarBuffer;
use async_trait::async_trait;
use millrace_api::data::byte_length;
use millrace_api::{Error, Result, TopicPartition};

mod admin;
mod connect;
pub mod embedded;
mod footprint;
#[doc(hidden)] // For fuzz targets and golden tests.
pub mod guard;
#[cfg(feature = "rdkafka")]
pub mod librdkafka;
mod lock;
#[cfg(test)]
mod log_lines;
mod matcher;
pub mod native;
pub mod partitioner;
mod properties;
pub mod record_batch;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod topic_name;
mod trouble;

pub use admin::{ClusterDescription, GroupDescription, GroupMember, Isolation, Node, OffsetSpec};
pub use connect::{clients, connect};
pub use footprint::Footprint;
pub use millrace_api::RawHeaders;
pub use millrace_api::data::Fetched;

#[doc(hidden)] // For a fuzz target.
pub use native::group::consumer_protocol::read_each_kind;

/// Membership in groups of any protocol type, as a group of workers needs it:
/// [`NativeCluster::membership`](native::NativeCluster::membership).
pub mod group {
    pub use crate::native::group::classic::{
        Assignments, JoinedMember, Membership, MembershipEvent, MembershipSettings,
    };
}

/// Client settings under the names Kafka's Java clients use. Sorted, so that logs are stable.
pub type Properties = BTreeMap<String, String>;

/// Records for one topic, to be appended in order.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The topic to append to.
    pub topic: Arc<str>,
    /// The partition, or none: Java's murmur2 over the key decides, and records without a key stay
    /// together on a partition that changes from run to run (KIP-480).
    pub partition: Option<i32>,
    /// Null where a record has no key.
    pub keys: BinaryViewArray,
    /// Null is a tombstone.
    pub values: BinaryViewArray,
    /// Milliseconds since the epoch; none, or -1 for a record: the producer's clock.
    pub timestamps: Option<ScalarBuffer<i64>>,
    /// Empty when no record has headers, else one entry a record.
    pub headers: Vec<RawHeaders>,
}

impl Outgoing {
    /// How many bytes keys and values have. Headers do not count.
    pub fn bytes(&self) -> usize {
        byte_length(&self.keys) + byte_length(&self.values)
    }

    /// Refuses columns that do not fit each other.
    pub(crate) fn check_columns(&self) -> Result<()> {
        let rows = self.values.len();
        let fits = self.keys.len() == rows
            && self.timestamps.as_ref().is_none_or(|timestamps| timestamps.len() == rows)
            && (self.headers.is_empty() || self.headers.len() == rows);
        if fits {
            return Ok(());
        }
        Err(Error::fatal("the columns of a run differ in length").context("topic", &self.topic))
    }
}

/// Learns what became of a run handed to [`Producer::send`].
///
/// Called from the producer's thread: implementations only count. Every record of the run is
/// reported exactly once, in one call or several; per partition in the order of sending.
pub trait Acknowledge: Send + Sync {
    /// So many records of the run are in the log, as durably as `acks` asked for.
    fn acknowledged(&self, records: usize);
    /// So many records of the run are lost for good: the producer has used up its retries.
    fn failed(&self, records: usize, error: &Error);
    /// This record of the run is lost for good: told in place of [`failed`](Self::failed) where it
    /// is known which one it is.
    fn failed_row(&self, _row: usize, error: &Error) {
        self.failed(1, error);
    }
}

/// A Kafka cluster, or something that behaves like one.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Opens a producer. `properties` are a Java producer's.
    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>>;

    /// Opens a consumer. `properties` are a Java consumer's; `group.id` is needed for
    /// [`Consumer::subscribe`] and [`Consumer::commit`].
    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>>;

    /// What the client does that asks the cluster.
    fn footprint(&self) -> Arc<Footprint> {
        Arc::default()
    }

    /// The cluster's id, controller and brokers.
    async fn describe_cluster(&self) -> Result<ClusterDescription>;

    /// The cluster's id, as `GET /` of the REST API shows it.
    async fn cluster_id(&self) -> Result<String> {
        Ok(self.describe_cluster().await?.id)
    }

    /// The partition count of each of these topics; missing topics are absent from the answer.
    /// All topics when `topics` is none.
    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>>;

    /// Creates a topic. [`ErrorKind::Conflict`](millrace_api::ErrorKind) when it exists.
    async fn create_topic(&self, topic: &NewTopic) -> Result<()>;

    /// Deletes a topic. [`ErrorKind::NotFound`](millrace_api::ErrorKind) when there is none.
    async fn delete_topic(&self, topic: &str) -> Result<()>;

    /// Sets the number of a topic's partitions; there can only be more than before. (What a source
    /// cluster's topics grow by, a mirror of it grows by.)
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind) when it has as many or more. `NotFound` when
    /// there is no such topic.
    async fn create_partitions(&self, _topic: &str, _total: i32) -> Result<()> {
        Err(unsupported("create partitions"))
    }

    /// The configs of a topic with their defaults, those left out whose values are secret: a worker
    /// has to know that its own topics are compacted. `NotFound` when there is no such topic.
    async fn topic_configs(&self, _topic: &str) -> Result<BTreeMap<String, String>> {
        Err(unsupported("describe the configs of topics"))
    }

    /// Changes configs of a topic, back to the default where there is no value; all others stay
    /// (KIP-339). `Config` when a name or a value is wrong, `NotFound` when there is no such topic.
    async fn alter_topic_configs(
        &self,
        _topic: &str,
        _changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        Err(unsupported("alter the configs of topics"))
    }

    /// Deletes the records before these offsets; -1 stands for the end of the partition.
    ///
    /// # Errors
    ///
    /// Those of one partition, with its name; others may be done. `Fatal` where the offset is beyond
    /// the end.
    async fn delete_records(&self, _before: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        Err(unsupported("delete records"))
    }

    /// The offset of a record of each partition; partitions without such a record are absent.
    ///
    /// # Errors
    ///
    /// `NotFound` where a partition does not exist, and did not come into being within
    /// `default.api.timeout.ms`.
    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>>;

    /// The offset after the last record of each partition, open transactions included: who has
    /// read so far has read all.
    async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.list_offsets(partitions, OffsetSpec::Latest, Isolation::Uncommitted).await
    }

    /// What a group has committed; partitions without a commit are absent.
    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>>;

    /// Everything that a group has committed; nothing for a group that nobody knows.
    async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>>;

    /// Sets what a group has committed, and deletes where the offset is none. On a Kafka cluster
    /// one may be done when the other fails; doing it again does no harm.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](millrace_api::ErrorKind) while the group has members. `NotFound` for
    /// a partition that does not exist, and where offsets of a group that nobody knows are deleted.
    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()>;

    /// Deletes a group and all it has committed. [`ErrorKind::NotFound`](millrace_api::ErrorKind)
    /// when there is none, `Conflict` while it has members.
    async fn delete_group(&self, group: &str) -> Result<()>;

    /// Who is in a group: whoever keeps its offsets from being changed.
    /// [`ErrorKind::NotFound`](millrace_api::ErrorKind) when there is no such group.
    async fn describe_group(&self, _group: &str) -> Result<GroupDescription> {
        Err(unsupported("describe groups"))
    }

    /// Makes sure that producers which have these transactional ids now write nothing any more, and
    /// ends what they left open (KIP-618; `Admin.fenceProducers` in Java). Ids that nobody had do no
    /// harm.
    async fn fence_producers(&self, _transactional_ids: &[&str]) -> Result<()> {
        Err(unsupported("fence producers"))
    }
}

fn unsupported(what: &str) -> Error {
    Error::config(format!("this client cannot {what}: kafka.client=native can"))
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; none: the broker's default.
    pub partitions: Option<i32>,
    /// How many replicas; none: the broker's default.
    pub replication_factor: Option<i16>,
    /// Topic configs such as `cleanup.policy`.
    pub configs: BTreeMap<String, String>,
}

/// Appends records.
#[async_trait]
pub trait Producer: Send {
    /// Takes a run over and returns once it fits into the buffer (`buffer.memory`): waiting here
    /// is the back-pressure. Records of one partition are appended in the order of the calls.
    ///
    /// `ack` hears of every record that was taken over. An error means that nothing of the run was
    /// taken over and `ack` stays silent. Cancel-safe in the same sense only when it has not been
    /// polled; a task that is stopped drops its producer as well.
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()>;

    /// What the producer does and holds.
    fn footprint(&self) -> Arc<Footprint> {
        Arc::default()
    }

    /// Waits until everything sent is acknowledged or failed.
    /// [`ErrorKind::Retriable`](millrace_api::ErrorKind) when `timeout` passes first.
    async fn flush(&mut self, timeout: Duration) -> Result<()>;

    /// Registers the `transactional.id`: fences producers that had it before, and ends what they
    /// left open. To be called once, before the first transaction. Without `transactional.id`, all
    /// calls on transactions are errors of kind [`Config`](millrace_api::ErrorKind).
    ///
    /// # Errors
    ///
    /// [`Retriable`](millrace_api::ErrorKind) when `timeout` passes first: it may be called again.
    async fn init_transactions(&mut self, _timeout: Duration) -> Result<()> {
        Err(not_transactional())
    }

    /// Begins a transaction: what is sent from here on is one.
    fn begin_transaction(&mut self) -> Result<()> {
        Err(not_transactional())
    }

    /// Sends what is buffered and commits: read-committed consumers see all of it or nothing.
    ///
    /// # Errors
    ///
    /// `Retriable`: nobody knows yet whether it is committed; it may be called again and must not
    /// be aborted. `Conflict`: it cannot be committed, but be aborted. `Fatal`: the producer is
    /// fenced or broken and has to be replaced.
    async fn commit_transaction(&mut self, _timeout: Duration) -> Result<()> {
        Err(not_transactional())
    }

    /// Gives up the transaction. What is still buffered is reported as failed.
    ///
    /// # Errors
    ///
    /// As [`commit_transaction`](Self::commit_transaction).
    async fn abort_transaction(&mut self, _timeout: Duration) -> Result<()> {
        Err(not_transactional())
    }
}

fn not_transactional() -> Error {
    Error::config("the producer has no transactional.id, so it has no transactions")
}

/// What to consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// These topics.
    Topics(Vec<String>),
    /// Every topic that this pattern matches as a whole, now or later.
    Pattern(String),
}

/// What [`Consumer::poll`] brings.
#[derive(Debug)]
pub enum Polled {
    /// Records, a run per topic partition and buffer; none when the time is up.
    Records(Vec<Fetched>),
    /// These partitions were added. Fetching begins at the next poll, so the caller may seek or
    /// pause first.
    Assigned(Vec<TopicPartition>),
    /// These partitions are being taken away. The group waits for the next poll, so the caller
    /// may commit for them first.
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone already; commits for them would be refused.
    Lost(Vec<TopicPartition>),
}

/// Reads records, alone or as a member of a group. Dropping it leaves the group.
#[async_trait]
pub trait Consumer: Send {
    /// What the consumer does and holds.
    fn footprint(&self) -> Arc<Footprint> {
        Arc::default()
    }

    /// Joins the group and reads what it is assigned.
    async fn subscribe(&mut self, subscription: &Subscription) -> Result<()>;

    /// Reads these partitions from these offsets, outside any group.
    async fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<()>;

    /// The next records or rebalance event. Waits at most `timeout`; then, or sooner where the
    /// position moved over what nobody sees, the answer is `Records` without any. At most
    /// `max.poll.records` records come at once. Cancel-safe: a poll that is dropped has consumed
    /// nothing.
    async fn poll(&mut self, timeout: Duration) -> Result<Polled>;

    /// Where each partition will be read next: the committed offset, or what
    /// `auto.offset.reset` gives, until records were returned.
    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>>;

    /// Reads on from these offsets.
    async fn seek(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()>;

    /// Returns no more records of these partitions until [`Consumer::resume`]; polling goes on, so
    /// that the group sees a live member.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Undoes [`Consumer::pause`].
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Commits offsets for the group: the next offset to read of each partition. Returns when the
    /// coordinator has answered.
    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()>;

    /// Leaves the group at once and closes. Rebalance events are not returned any more.
    async fn close(&mut self) -> Result<()>;
}
