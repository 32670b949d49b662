//! Decides what a broker's answer to a fetch means for each partition (`FetchCollector` in Java).

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::PartitionData;
use millrace_api::TopicPartition;
use tokio::time::Instant;

use super::Shared;
use super::budget::{self, Held};
use super::chunk::{Batches, Chunk};
use super::partition::{Asked, place};
use super::partitions::Partitions;
use super::session::{Session, Want};
use crate::native::error;
use crate::native::net::Address;
use crate::record_batch::{AbortedTransaction, Limits, Reader};

/// What reading is called in errors.
pub(super) const WHAT: &str = "records cannot be read";

/// The broker will not go on with the session.
pub(super) fn refused(shared: &Shared, error: ResponseError) {
    if error == ResponseError::FetchSessionTopicIdError {
        shared.partitions().want_metadata();
    }
}

/// Takes in what a broker sent. `hold` counts so many bytes as held.
pub(super) fn take_in(
    shared: &Shared,
    node: i32,
    session: &mut Session,
    response: FetchResponse,
    hold: impl FnOnce(usize) -> Arc<Held>,
) {
    let records = |data: &PartitionData| data.records.as_ref().map_or(0, bytes::Bytes::len);
    let all = response.responses.iter().flat_map(|topic| &topic.partitions);
    let held = hold(all.map(records).sum());
    learn_leaders(shared, session, &response);
    let now = Instant::now();
    let mut partitions = shared.partitions();
    for topic in response.responses {
        let by_id = session.name(topic.topic_id).filter(|_| !topic.topic_id.is_nil());
        let name: Arc<str> = match by_id {
            Some(name) => name.clone(),
            None => topic.topic.0.as_str().into(),
        };
        for data in topic.partitions {
            let tp = TopicPartition { topic: name.clone(), partition: data.partition_index };
            let Some(want) = session.asked(&tp).copied() else {
                tracing::warn!(node, partition = %tp, "a broker sent what nobody asked for");
                session.lost();
                continue;
            };
            let asked = Asked { partition: &tp, incarnation: want.incarnation, now };
            match ResponseError::try_from_code(data.error_code) {
                None => accept(shared, &mut partitions, &asked, (&want, data), &held),
                Some(code) => reject(&mut partitions, &asked, &want, code),
            }
        }
    }
}

/// Brokers say who leads now instead of themselves (KIP-951).
fn learn_leaders(shared: &Shared, session: &Session, response: &FetchResponse) {
    for topic in &response.responses {
        for data in &topic.partitions {
            let leader = (data.current_leader.leader_id.0, data.current_leader.leader_epoch);
            if leader.0 < 0 || leader.1 < 0 || data.error_code == 0 {
                continue;
            }
            let name = session.name(topic.topic_id).cloned();
            let name = name.unwrap_or_else(|| topic.topic.0.as_str().into());
            let mut endpoints = response.node_endpoints.iter();
            let address = endpoints.find(|one| one.node_id.0 == leader.0).and_then(|one| {
                let port = u16::try_from(one.port).ok()?;
                Some(Address { host: one.host.to_string(), port })
            });
            let tp = TopicPartition { topic: name, partition: data.partition_index };
            shared.client.set_leader(&tp, leader, address);
        }
    }
}

fn accept(
    shared: &Shared,
    partitions: &mut Partitions,
    asked: &Asked<'_>,
    (want, data): (&Want, PartitionData),
    held: &Arc<Held>,
) {
    let tp = asked.partition;
    if data.preferred_read_replica.0 >= 0 {
        let until = asked.now + shared.settings.client.metadata_max_age;
        partitions.prefer(tp, data.preferred_read_replica.0, until);
    }
    let footprint = shared.client.footprint();
    footprint.ends_at(
        tp,
        match shared.settings.read_committed {
            true => data.last_stable_offset,
            false => data.high_watermark,
        },
    );
    let records = data.records.unwrap_or_default();
    if records.is_empty() {
        return;
    }
    let batches = match Batches::new(&records, want.offset) {
        Ok(batches) => batches,
        Err(corrupt) => return partitions.unreadable(asked, want.offset, corrupt.at(0)),
    };
    let aborted = data.aborted_transactions.unwrap_or_default().into_iter().map(|one| {
        AbortedTransaction { producer_id: one.producer_id.0, first_offset: one.first_offset }
    });
    let max_run_bytes = budget::poll_bytes(footprint.allowed());
    let limits = Limits { max_run_bytes, ..shared.limits };
    let reader = Reader::new(limits).aborted(aborted.collect());
    let next_offset = batches.next_offset();
    let chunk = Chunk::new(batches, reader, want.offset, held.clone());
    partitions.keep(asked, want.offset, chunk, next_offset);
}

fn reject(partitions: &mut Partitions, asked: &Asked<'_>, want: &Want, code: ResponseError) {
    use ResponseError as Code;
    let tp = asked.partition;
    match code {
        Code::OffsetOutOfRange => return partitions.out_of_range(asked, want.offset),
        Code::NotLeaderOrFollower
        | Code::ReplicaNotAvailable
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::InconsistentTopicId => {
            tracing::debug!(partition = %tp, error = ?code, "fetching again with new metadata");
            partitions.leave_replica(tp);
            partitions.want_metadata();
        }
        // It will hear of the epoch that we know of.
        Code::UnknownLeaderEpoch => {}
        code => {
            let error = error::refused(code, WHAT, None);
            let error = place(error, tp, want.offset);
            if error.kind() == millrace_api::ErrorKind::Retriable {
                tracing::warn!("{error}");
            } else {
                partitions.push_error(&tp.topic, error);
            }
        }
    }
    partitions.postpone(asked);
}
