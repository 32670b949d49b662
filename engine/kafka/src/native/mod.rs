//! Kafka's protocol in our own words: the client that costs least a record, and the one that can
//! do what Connect needs of a cluster beyond reading and writing.
//!
//! From the socket up: `net` has connections, `brokers` one per broker and purpose, `client` asks
//! the cluster and keeps `metadata`. Producers, consumers and administration stand on `client`.
//! All that waits for sockets runs on threads of its own (`io`): a task that keeps its thread
//! busy costs no heartbeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use millrace_api::{Result, TopicPartition};
use tokio::runtime::Handle;

use crate::{
    Cluster, ClusterDescription, Consumer, Footprint, GroupDescription, Isolation, NewTopic,
    OffsetSpec, Producer, Properties,
};

mod admin;
mod backoff;
#[cfg(test)]
mod broker_side;
mod brokers;
mod client;
mod consumer;
mod error;
#[cfg(test)]
mod golden;
pub(crate) mod group;
mod io;
mod metadata;
mod net;
mod producer;
mod settings;
mod transaction;
#[cfg(test)]
mod usage;

use client::Client;
use consumer::NativeConsumer;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use error::{Failure, FailureKind};
use group::Coordinator;
use group::classic::{Membership, MembershipSettings};
pub(crate) use net::Address;
pub(crate) use net::Dialer;
use net::TcpDialer;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use net::{BoxedStream, FrameReader};
use producer::NativeProducer;
use settings::{ClientSettings, ConsumerSettings, ProducerSettings};

/// A Kafka cluster, reached through its protocol.
///
/// Opening one does not wait for a broker. Calls that ask the cluster something take at most
/// `default.api.timeout.ms` and then fail with a retriable error that names the broker.
#[derive(Debug)]
pub struct NativeCluster {
    admin: Arc<Client>,
    bootstrap_servers: String,
    dialing: Dialing,
    io: Handle,
}

/// How clients of this cluster open streams.
#[derive(Clone, Debug)]
enum Dialing {
    /// Over TCP, each with its own security settings.
    Tcp,
    /// As a test wants.
    #[cfg(any(test, feature = "simulation"))]
    Given(Arc<dyn Dialer>),
}

impl NativeCluster {
    /// A cluster from an admin client's properties under Java's names. Producers and consumers
    /// inherit `bootstrap.servers` and nothing else, as in Connect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind), naming the key.
    pub fn new(properties: &Properties) -> Result<Self> {
        Self::with(properties, Dialing::Tcp, io::handle()?)
    }

    /// The same over streams of the caller's, with the I/O where the caller wants it.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn through(
        properties: &Properties,
        dialer: Arc<dyn Dialer>,
        io: Handle,
    ) -> Result<Self> {
        Self::with(properties, Dialing::Given(dialer), io)
    }

    fn with(properties: &Properties, dialing: Dialing, io: Handle) -> Result<Self> {
        let settings = ClientSettings::admin(properties)?;
        let admin = Client::new(settings.clone(), dialing.dialer(&settings), io.clone());
        Ok(Self { bootstrap_servers: admin.bootstrap_servers(), admin, dialing, io })
    }

    /// A membership in a group of any protocol type, with the cluster's own settings. It joins when
    /// it is told to.
    pub fn membership(&self, settings: MembershipSettings) -> Membership {
        let client = self.client(self.admin.settings());
        let coordinator = Coordinator::new(client, settings.group.clone());
        Membership::new(Arc::new(coordinator), settings)
    }

    /// A client of its own for a producer or a consumer.
    fn client(&self, settings: &ClientSettings) -> Arc<Client> {
        Client::new(settings.clone(), self.dialing.dialer(settings), self.io.clone())
    }

    /// What a producer or a consumer inherits.
    fn inherited(&self, properties: &Properties) -> Properties {
        let mut properties = properties.clone();
        let servers = || self.bootstrap_servers.clone();
        properties.entry("bootstrap.servers".to_owned()).or_insert_with(servers);
        properties
    }
}

#[async_trait]
impl Cluster for NativeCluster {
    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>> {
        let settings = ProducerSettings::new(&self.inherited(properties))?;
        let client = self.client(&settings.client);
        Ok(Box::new(NativeProducer::new(client, settings)))
    }

    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>> {
        let settings = ConsumerSettings::new(&self.inherited(properties))?;
        let client = self.client(&settings.client);
        Ok(Box::new(NativeConsumer::new(client, settings)))
    }

    fn footprint(&self) -> Arc<Footprint> {
        self.admin.footprint().clone()
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        admin::describe_cluster(&self.admin).await
    }

    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>> {
        admin::describe_topics(&self.admin, topics).await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        admin::create_topic(&self.admin, topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        admin::delete_topic(&self.admin, topic).await
    }

    async fn create_partitions(&self, topic: &str, total: i32) -> Result<()> {
        admin::create_partitions(&self.admin, topic, total).await
    }

    async fn topic_configs(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        admin::topic_configs(&self.admin, topic).await
    }

    async fn alter_topic_configs(
        &self,
        topic: &str,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<()> {
        admin::alter_topic_configs(&self.admin, topic, changes).await
    }

    async fn delete_records(&self, before: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        admin::delete_records(&self.admin, before).await
    }

    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        admin::list_offsets(&self.admin, partitions, spec, isolation).await
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        admin::committed(&self.admin, group, Some(partitions)).await
    }

    async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>> {
        admin::committed(&self.admin, group, None).await
    }

    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        admin::alter_offsets(&self.admin, group, offsets).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        admin::delete_group(&self.admin, group).await
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        admin::describe_group(&self.admin, group).await
    }

    async fn fence_producers(&self, transactional_ids: &[&str]) -> Result<()> {
        admin::fence_producers(&self.admin, transactional_ids).await
    }
}

impl Dialing {
    fn dialer(&self, settings: &ClientSettings) -> Arc<dyn Dialer> {
        match self {
            Self::Tcp => {
                Arc::new(TcpDialer::new(settings.socket.clone(), settings.security.tls.clone()))
            }
            #[cfg(any(test, feature = "simulation"))]
            Self::Given(dialer) => dialer.clone(),
        }
    }
}
