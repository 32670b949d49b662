//! The backend for real clusters: decides how the crate's batches map onto librdkafka's batch
//! calls, so that a record costs one copy and no call of its own.
//!
//! `native` owns the handles, `producer` and `delivery` send, `consumer`, `rebalance`,
//! `topic_watch` and `batch` read, `admin` asks the cluster, `groups` looks after its groups;
//! `context`, `trouble` and `brokers` keep and judge what goes wrong.
#![allow(unsafe_code, reason = "librdkafka is a C library; its batch calls have no safe wrapper")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, Result, TopicPartition};

use crate::properties::Role;
use crate::{
    Cluster, ClusterDescription, Consumer, Isolation, NewTopic, OffsetSpec, Producer, Properties,
};

mod admin;
mod batch;
mod brokers;
mod configs;
mod consumer;
mod context;
mod delivery;
mod error;
mod groups;
mod native;
mod producer;
mod rebalance;
mod security;
mod settings;
mod topic_watch;
mod transaction;
mod trouble;

use admin::Start;
use native::Client;
use settings::{Settings, translate};

/// A Kafka cluster, reached through librdkafka.
///
/// Opening one does not wait for a broker. Calls that ask the cluster something take at most
/// `default.api.timeout.ms` and then fail with a retriable error that names `bootstrap.servers`.
#[derive(Debug)]
pub struct RdKafkaCluster {
    admin: Arc<Client>,
    bootstrap_servers: String,
    api_timeout: Duration,
}

impl RdKafkaCluster {
    /// A cluster from an admin client's properties under Java's names. Producers and consumers
    /// inherit `bootstrap.servers` and nothing else, as in Connect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind), naming the key.
    pub fn new(properties: &Properties) -> Result<Self> {
        let settings = translate(Role::Admin, properties)?;
        let admin = Client::new(&settings)?;
        let Settings { bootstrap_servers, api_timeout, .. } = settings;
        Ok(Self { admin, bootstrap_servers, api_timeout })
    }

    fn settings(&self, role: Role, properties: &Properties) -> Result<Settings> {
        if properties.contains_key("bootstrap.servers") {
            return translate(role, properties);
        }
        let mut properties = properties.clone();
        properties.insert("bootstrap.servers".to_owned(), self.bootstrap_servers.clone());
        translate(role, &properties)
    }
}

#[async_trait]
impl Cluster for RdKafkaCluster {
    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>> {
        let settings = self.settings(Role::Producer, properties)?;
        Ok(Box::new(producer::RdKafkaProducer::new(&settings)?))
    }

    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>> {
        let settings = self.settings(Role::Consumer, properties)?;
        Ok(Box::new(consumer::RdKafkaConsumer::new(settings)?))
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        admin::describe_cluster(&self.admin, self.api_timeout).await
    }

    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>> {
        match topics {
            Some([]) => Ok(BTreeMap::new()),
            Some(names) => admin::describe_topics(&self.admin, names, self.api_timeout).await,
            None => admin::all_topics(&self.admin, self.api_timeout).await,
        }
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        admin::create_topic(&self.admin, topic, self.api_timeout).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        admin::delete_topic(&self.admin, topic, self.api_timeout).await
    }

    async fn topic_configs(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        configs::describe(&self.admin, topic, self.api_timeout).await
    }

    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let start = Start::new(spec, isolation);
        let mut offsets =
            admin::list_offsets(&self.admin, partitions, start, self.api_timeout).await?;
        offsets.retain(|_, offset| *offset >= 0);
        Ok(offsets)
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        check_group(group)?;
        groups::committed(&self.admin, group, Some(partitions), self.api_timeout).await
    }

    async fn group_offsets(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>> {
        check_group(group)?;
        groups::committed(&self.admin, group, None, self.api_timeout).await
    }

    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        check_group(group)?;
        groups::alter(&self.admin, group, offsets, self.api_timeout).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        check_group(group)?;
        groups::delete(&self.admin, group, self.api_timeout).await
    }
}

fn check_group(group: &str) -> Result<()> {
    if group.is_empty() {
        return Err(Error::config("Invalid value  for configuration group.id: it is empty"));
    }
    Ok(())
}
