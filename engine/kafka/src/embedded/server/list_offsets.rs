//! Decides which offset a client gets that asks for a time, an end or an epoch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};
use millrace_api::TopicPartition;

use super::LEADER_EPOCH;
use super::api::Call;
use super::error::Refused;
use super::fetch::isolation;
use crate::Isolation;
use crate::embedded::search::{self, Moment};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
/// Of what lies in remote storage: nothing.
const LATEST_TIERED: i64 = -5;
const UNKNOWN: i64 = -1;

pub(super) fn list_offsets(call: &Call<'_>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(wanted.partition_index);
            match offset(call, &topic.name, wanted, isolation) {
                Err(refused) => answer.with_error_code(refused.code.code()),
                Ok(None) => answer,
                Ok(Some(moment)) => {
                    let answer = answer.with_offset(moment.offset).with_timestamp(moment.timestamp);
                    match call.version {
                        ..4 => answer,
                        _ => answer.with_leader_epoch(LEADER_EPOCH),
                    }
                }
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_partitions(partitions).with_name(topic.name)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn offset(
    call: &Call<'_>,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Option<Moment>, Refused> {
    let log = call.client.shared.log(&TopicPartition::new(topic, wanted.partition_index))?;
    let client = call.client;
    let of = (topic, wanted.partition_index);
    client.nodes.check(client.node, of, wanted.current_leader_epoch)?;
    let bounds = log.bounds();
    let at = |offset| Ok(Some(Moment { offset, timestamp: UNKNOWN }));
    match wanted.timestamp {
        LATEST if isolation == Isolation::Committed => at(bounds.stable),
        LATEST => at(bounds.end),
        EARLIEST | EARLIEST_LOCAL => at(bounds.start),
        MAX_TIMESTAMP => Ok(search::latest(&log, isolation)?),
        LATEST_TIERED => Ok(None),
        time @ 0.. => Ok(search::first_at(&log, time, isolation)?),
        _ => Err(ResponseError::UnsupportedVersion.into()),
    }
}

/// Where the records of an epoch end: clients find out whether theirs were truncated.
pub(super) fn end_of_epoch(
    call: &Call<'_>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = EpochEndOffset::default().with_partition(wanted.partition);
            match epoch_end(call, &topic.topic, wanted) {
                Err(refused) => answer.with_error_code(refused.code.code()),
                Ok(None) => answer,
                Ok(Some(end)) => answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(end),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_partitions(partitions).with_topic(topic.topic)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

/// None: there was no such epoch.
fn epoch_end(
    call: &Call<'_>,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<i64>, Refused> {
    let log = call.client.shared.log(&TopicPartition::new(topic, wanted.partition))?;
    let client = call.client;
    let of = (topic, wanted.partition);
    client.nodes.check(client.node, of, wanted.current_leader_epoch)?;
    Ok((wanted.leader_epoch == LEADER_EPOCH).then(|| log.bounds().end))
}
