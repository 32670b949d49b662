//! Decides which part of an answer belongs to which batch, and what it says of leaders.

use std::collections::HashMap;

use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use millrace_api::TopicPartition;
use uuid::Uuid;

use super::request::Part;
use crate::native::client::Client;
use crate::native::net::Address;

/// An answer's parts by partition.
pub(super) struct Answers<'a> {
    /// Older versions name topics, newer ones have their ids.
    by_name: HashMap<(&'a str, i32), &'a PartitionProduceResponse>,
    by_id: HashMap<(Uuid, i32), &'a PartitionProduceResponse>,
}

pub(super) fn by_partition(answer: &ProduceResponse) -> Answers<'_> {
    let (mut by_name, mut by_id) = (HashMap::new(), HashMap::new());
    for topic in &answer.responses {
        for partition in &topic.partition_responses {
            match topic.topic_id.is_nil() {
                true => {
                    by_name.insert((topic.name.as_str(), partition.index), partition);
                }
                false => {
                    by_id.insert((topic.topic_id, partition.index), partition);
                }
            }
        }
    }
    Answers { by_name, by_id }
}

impl<'a> Answers<'a> {
    /// What is said of a batch.
    pub(super) fn of(&self, part: &Part) -> Option<&'a PartitionProduceResponse> {
        let by_name = self.by_name.get(&(&*part.topic, part.partition));
        by_name.or_else(|| self.by_id.get(&(part.topic_id, part.partition))).copied()
    }
}

/// Tells the client which leaders an answer names (KIP-951).
pub(super) fn learn_leaders(client: &Client, parts: &[Part], answer: &ProduceResponse) {
    let answers = by_partition(answer);
    for part in parts {
        let Some(leader) = answers.of(part).map(|answer| &answer.current_leader) else {
            continue;
        };
        if leader.leader_id.0 < 0 || leader.leader_epoch < 0 {
            continue;
        }
        let endpoint = answer.node_endpoints.iter().find(|one| one.node_id == leader.leader_id);
        let address = endpoint.and_then(|one| {
            Some(Address { host: one.host.to_string(), port: u16::try_from(one.port).ok()? })
        });
        let partition = TopicPartition { topic: part.topic.clone(), partition: part.partition };
        client.set_leader(&partition, (leader.leader_id.0, leader.leader_epoch), address);
    }
}
