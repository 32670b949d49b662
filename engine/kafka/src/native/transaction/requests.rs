//! Decides how a transactional producer's requests look in each version that its coordinator may
//! speak.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProducerId as WireId,
    TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use millrace_api::TopicPartition;

use crate::native::producer::ProducerId;

/// From this version on InitProducerId gives a producer its next epoch (KIP-360).
pub(super) const EPOCH_BUMP: i16 = 3;

fn wire_id(id: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(id.to_owned()))
}

/// For an id, or for the next epoch of one.
pub(super) fn init(
    id: &str,
    timeout: Duration,
    before: Option<ProducerId>,
    version: i16,
) -> InitProducerIdRequest {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(wire_id(id)))
        .with_transaction_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
    match before {
        Some(before) if version >= EPOCH_BUMP => {
            request.with_producer_id(WireId(before.id)).with_producer_epoch(before.epoch)
        }
        _ => request,
    }
}

/// With partitions for a transaction.
pub(super) fn add(
    id: &str,
    producer: ProducerId,
    partitions: &BTreeSet<TopicPartition>,
) -> AddPartitionsToTxnRequest {
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(wire_id(id))
        .with_v3_and_below_producer_id(WireId(producer.id))
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(topics(partitions))
}

fn topics(partitions: &BTreeSet<TopicPartition>) -> Vec<AddPartitionsToTxnTopic> {
    let partitions: Vec<_> = partitions.iter().collect();
    let of_topics = partitions.chunk_by(|a, b| a.topic == b.topic);
    let topics = of_topics.map(|partitions| {
        AddPartitionsToTxnTopic::default()
            .with_name(TopicName(StrBytes::from_string(partitions[0].topic.to_string())))
            .with_partitions(partitions.iter().map(|one| one.partition).collect())
    });
    topics.collect()
}

/// For the end of a transaction.
pub(super) fn end(id: &str, producer: ProducerId, commit: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(wire_id(id))
        .with_producer_id(WireId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_committed(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::golden::{bytes, java};

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        let producer = ProducerId { id: 7, epoch: 2 };
        let partitions = [0, 4].map(|partition| TopicPartition::new("t", partition)).into();
        for version in 0..=5 {
            let request = init("x", Duration::from_secs(60), Some(producer), version);
            assert_eq!(bytes(&request, version), java(&format!("init-{version}")));
            let request = end("x", producer, true);
            assert_eq!(bytes(&request, version), java(&format!("end-{version}")));
        }
        for version in 0..=3 {
            let request = add("x", producer, &partitions);
            assert_eq!(bytes(&request, version), java(&format!("add-{version}")));
        }
    }
}
