//! Decides in which words backends tell of a cluster, its topics and its groups.

use millrace_api::TopicPartition;

/// A cluster at one moment (`DescribeClusterResult` in Java).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id, as `GET /` of the REST API shows it.
    pub id: String,
    /// The broker that is its controller, or that asks the controllers for clients; none during an
    /// election, and where there is no broker.
    pub controller: Option<i32>,
    /// Its brokers by their ids; none of an embedded cluster.
    pub nodes: Vec<Node>,
}

/// A broker (`Node` in Java).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Where it told clients to connect to.
    pub host: String,
    /// And on which port.
    pub port: u16,
    /// `broker.rack`
    pub rack: Option<String>,
}

/// Which record of a partition is asked for (`OffsetSpec` in Java).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that is still there.
    Earliest,
    /// The one after the last.
    Latest,
    /// The first with the latest time; brokers know it since Kafka 3.0.
    MaxTimestamp,
    /// The first of this time or later, in milliseconds since the epoch.
    Timestamp(i64),
}

/// Whether records of open transactions count (`IsolationLevel` in Java).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// They do.
    Uncommitted,
    /// A partition ends before the first open transaction.
    Committed,
}

/// A group at one moment (`ConsumerGroupDescription`, `ClassicGroupDescription` in Java).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The coordinator's word: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, and
    /// in the new protocol `Assigning` and `Reconciling`.
    pub state: String,
    /// `consumer` for consumers, `connect` for workers; empty when nobody said.
    pub protocol_type: String,
    /// Who is in it now.
    pub members: Vec<GroupMember>,
}

/// A member of a group (`MemberDescription` in Java).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// What the coordinator calls it.
    pub id: String,
    /// `group.instance.id`
    pub instance: Option<String>,
    /// `client.id`
    pub client: String,
    /// The address from which it speaks.
    pub host: String,
    /// What it has; nothing where it is no consumer's.
    pub assigned: Vec<TopicPartition>,
}
