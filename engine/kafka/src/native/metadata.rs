//! Decides what the client believes of the cluster: its brokers, its topics by name and by id, and
//! who leads each partition since which epoch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use millrace_api::TopicPartition;
use tokio::time::Instant;
use uuid::Uuid;

use super::net::Address;

/// What a cluster said of itself at one moment, and what later answers added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller: Option<i32>,
    pub(crate) brokers: HashMap<i32, Broker>,
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
    /// The names of topics by their ids; empty where the brokers know no ids (before Kafka 2.8).
    pub(crate) names: HashMap<Uuid, Arc<str>>,
    /// When it was asked for; none before the first answer.
    pub(crate) fetched_at: Option<Instant>,
}

/// A broker of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) address: Address,
    pub(crate) rack: Option<String>,
}

/// A topic that was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topic {
    /// Nil where the brokers know no ids.
    pub(crate) id: Uuid,
    pub(crate) is_internal: bool,
    /// Why there is nothing to know about it.
    pub(crate) error: Option<ResponseError>,
    /// By their numbers, without gaps.
    pub(crate) partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// None while an election is on.
    pub(crate) leader: Option<i32>,
    /// -1 where the brokers do not say.
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) offline: Vec<i32>,
}

impl Metadata {
    /// The answer's view, with newer leaders kept that the client already knew: a broker may answer
    /// from yesterday.
    pub(crate) fn updated(&self, answer: &MetadataResponse) -> Self {
        let brokers = answer.brokers.iter().map(|broker| {
            let address = Address { host: broker.host.to_string(), port: port(broker.port) };
            let rack = broker.rack.as_ref().map(ToString::to_string);
            (broker.node_id.0, Broker { address, rack })
        });
        let mut new = Self {
            cluster_id: answer.cluster_id.as_ref().map(ToString::to_string),
            controller: Some(answer.controller_id.0).filter(|id| *id >= 0),
            brokers: brokers.collect(),
            fetched_at: Some(Instant::now()),
            ..Self::default()
        };
        for topic in &answer.topics {
            let Some(name) = topic.name.as_ref().map(|name| name.0.as_str()) else {
                continue;
            };
            let name: Arc<str> = match self.topics.get_key_value(name) {
                Some((known, _)) => known.clone(),
                None => name.into(),
            };
            let topic = read_topic(topic, self.topics.get(&name));
            if !topic.id.is_nil() {
                new.names.insert(topic.id, name.clone());
            }
            new.topics.insert(name, topic);
        }
        new
    }

    pub(crate) fn partition(&self, of: &TopicPartition) -> Option<&Partition> {
        let topic = self.topics.get(&*of.topic)?;
        topic.partitions.get(usize::try_from(of.partition).ok()?)
    }

    /// Who leads a partition, and since which epoch.
    pub(crate) fn leader(&self, of: &TopicPartition) -> Option<(i32, i32)> {
        let partition = self.partition(of)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    /// Whether a broker is there, and has the partition ready.
    pub(crate) fn is_online(&self, of: &TopicPartition, broker: i32) -> bool {
        let is_offline = self.partition(of).is_some_and(|one| one.offline.contains(&broker));
        self.brokers.contains_key(&broker) && !is_offline
    }

    /// A leader that an answer named (KIP-951). False when we know of a newer one.
    pub(crate) fn set_leader(&mut self, of: &TopicPartition, leader: i32, epoch: i32) -> bool {
        let topic = self.topics.get_mut(&*of.topic);
        let number = usize::try_from(of.partition).ok();
        let known = topic.and_then(|topic| topic.partitions.get_mut(number?));
        match known {
            Some(known) if epoch > known.leader_epoch => {
                (known.leader, known.leader_epoch) = (Some(leader), epoch);
                true
            }
            _ => false,
        }
    }
}

fn port(port: i32) -> u16 {
    u16::try_from(port).unwrap_or(0)
}

fn read_topic(answer: &MetadataResponseTopic, known: Option<&Topic>) -> Topic {
    let error = ResponseError::try_from_code(answer.error_code);
    // A topic that was deleted and made again begins its epochs anew.
    let known = known.filter(|known| known.id == answer.topic_id);
    let mut partitions: Vec<_> = answer.partitions.iter().collect();
    partitions.sort_unstable_by_key(|partition| partition.partition_index);
    let partitions = partitions.into_iter().enumerate().map(|(number, partition)| {
        let known = known.and_then(|topic| topic.partitions.get(number));
        if let Some(newer) = known.filter(|known| known.leader_epoch > partition.leader_epoch) {
            return newer.clone();
        }
        Partition {
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes.iter().map(|id| id.0).collect(),
            offline: partition.offline_replicas.iter().map(|id| id.0).collect(),
        }
    });
    Topic {
        id: answer.topic_id,
        is_internal: answer.is_internal,
        error,
        partitions: partitions.collect(),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition,
    };
    use kafka_protocol::messages::{BrokerId, TopicName};
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn answer(id: u128, leader: i32, epoch: i32) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(leader))
            .with_host(StrBytes::from_static_str("b"))
            .with_port(9092);
        let partition = MetadataResponsePartition::default()
            .with_leader_id(BrokerId(leader))
            .with_leader_epoch(epoch);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
            .with_topic_id(Uuid::from_u128(id))
            .with_partitions(vec![partition]);
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
    }

    #[test]
    fn a_newer_leader_stays_unless_the_topic_is_another() {
        let tp = TopicPartition::new("t", 0);
        let mut metadata = Metadata::default().updated(&answer(1, 1, 5));
        assert_eq!(metadata.leader(&tp), Some((1, 5)));
        assert!(metadata.set_leader(&tp, 2, 6));
        assert!(!metadata.set_leader(&tp, 3, 6));
        assert_eq!(metadata.updated(&answer(1, 1, 5)).leader(&tp), Some((2, 6)));
        assert_eq!(metadata.updated(&answer(1, 4, 7)).leader(&tp), Some((4, 7)));
        assert_eq!(metadata.updated(&answer(2, 1, 0)).leader(&tp), Some((1, 0)));
        assert_eq!(metadata.updated(&answer(1, -1, 9)).leader(&tp), None);
    }
}
