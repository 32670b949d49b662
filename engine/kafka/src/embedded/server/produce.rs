//! Decides which batches from the network are appended, and what their producers are told.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::api::Call;
use super::error::Refused;
use super::topics::by_id;
use super::transactions;
use crate::embedded::Topic;
use crate::embedded::log::{Log, Placed};
use crate::embedded::topic_id::TopicId;
use crate::record_batch::{Batch, BatchHeader, Compression};

/// From this version on topics are named by id.
const WITH_TOPIC_IDS: i16 = 13;
/// Clients that know zstd speak this version at least.
const WITH_ZSTD: i16 = 7;

/// No answer where none is asked for (`acks=0`).
pub(super) fn produce(call: &Call<'_>, request: ProduceRequest) -> Option<ProduceResponse> {
    let is_known = matches!(request.acks, -1..=1);
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in &request.topic_data {
        let topic = find(call, data);
        let partitions = data.partition_data.iter().map(|partition| {
            let result = match &topic {
                _ if !is_known => Err(ResponseError::InvalidRequiredAcks.into()),
                Err(refused) => Err(refused.clone()),
                Ok((name, topic)) => {
                    Target { call, request: &request, name, topic }.append(partition)
                }
            };
            told(call.version, partition.index, result)
        });
        let response =
            TopicProduceResponse::default().with_partition_responses(partitions.collect());
        responses.push(match call.version {
            ..WITH_TOPIC_IDS => response.with_name(data.name.clone()),
            _ => response.with_topic_id(data.topic_id),
        });
    }
    (request.acks != 0).then(|| ProduceResponse::default().with_responses(responses))
}

type Found = (std::sync::Arc<str>, std::sync::Arc<Topic>);

fn find(call: &Call<'_>, data: &TopicProduceData) -> Result<Found, Refused> {
    let shared = &call.client.shared;
    if call.version >= WITH_TOPIC_IDS {
        let found = by_id(shared, TopicId(data.topic_id));
        return found.ok_or_else(|| ResponseError::UnknownTopicId.into());
    }
    Ok((data.name.as_str().into(), shared.topic(&data.name)?))
}

/// What a partition's client is told.
struct Told {
    placed: Placed,
    start: i64,
}

fn told(version: i16, index: i32, result: Result<Told, Refused>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default().with_index(index);
    match result {
        Ok(told) => {
            let answer = answer
                .with_base_offset(told.placed.base_offset)
                .with_log_append_time_ms(told.placed.append_time.unwrap_or(-1));
            match version {
                ..5 => answer,
                _ => answer.with_log_start_offset(told.start),
            }
        }
        Err(refused) => {
            let answer = answer.with_error_code(refused.code.code()).with_base_offset(-1);
            match version {
                ..8 => answer,
                _ => answer.with_error_message(refused.message()),
            }
        }
    }
}

/// A topic that a request has records for.
struct Target<'a> {
    call: &'a Call<'a>,
    request: &'a ProduceRequest,
    name: &'a str,
    topic: &'a Topic,
}

impl Target<'_> {
    fn append(&self, data: &PartitionProduceData) -> Result<Told, Refused> {
        let log = usize::try_from(data.index).ok().and_then(|p| self.topic.logs.get(p));
        let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
        let client = self.call.client;
        client.nodes.check(client.node, (self.name, data.index), -1)?;
        let records = data.records.as_ref().ok_or_else(|| invalid("it has no records"))?;
        let header = check(log, records, self.call.version)?;
        let id = self.request.transactional_id.as_ref().map(|id| id.as_str());
        let place = (self.name, data.index);
        let _ongoing = match header.is_transactional() {
            true => Some(transactions::admit(self.call, id, &header, place)?),
            false => None,
        };
        let placed = log.append_sent(BytesMut::from(&records[..]))?;
        Ok(Told { placed, start: log.bounds().start })
    }
}

/// Refuses what must not get into a log: readers trust what is there.
fn check(log: &Log, records: &Bytes, version: i16) -> Result<BatchHeader, Refused> {
    let corrupt = |what: String| Refused::new(ResponseError::CorruptMessage, what);
    let header = BatchHeader::parse(records).map_err(|c| invalid(&c.to_string()))?;
    let header = header.ok_or_else(|| corrupt("the batch is cut off".to_owned()))?;
    if header.length > records.len() {
        return Err(corrupt("the batch is cut off".to_owned()));
    }
    if header.length < records.len() {
        return Err(invalid("a request has one batch for each partition"));
    }
    let settings = log.settings();
    if header.length > settings.max_message_bytes {
        let message = format!(
            "the batch has {} bytes; max.message.bytes allows {}",
            header.length, settings.max_message_bytes
        );
        return Err(Refused::new(ResponseError::MessageTooLarge, message));
    }
    header.check(records).map_err(|c| corrupt(c.to_string()))?;
    check_fields(&header, version)?;
    let batch =
        Batch::open(records, 0, header, &log.limits).map_err(|c| invalid(&c.to_string()))?;
    for row in batch.rows() {
        let row = row.map_err(|c| invalid(&c.to_string()))?;
        if settings.is_compacted && row.key.is_none() {
            return Err(invalid("Compacted topic cannot accept message without key"));
        }
    }
    Ok(header)
}

fn check_fields(header: &BatchHeader, version: i16) -> Result<(), Refused> {
    if header.is_control() {
        return Err(invalid("clients do not write control batches"));
    }
    if header.count == 0 || header.count - 1 != header.last_offset_delta {
        return Err(invalid("its count of records does not fit its last offset"));
    }
    let has_producer = header.producer_id >= 0;
    if has_producer && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return Err(invalid("its producer has no epoch or no sequence number"));
    }
    if header.is_transactional() && !has_producer {
        return Err(invalid("its transaction has no producer"));
    }
    match header.compression() {
        Err(corrupt) => Err(invalid(&corrupt.to_string())),
        Ok(Compression::Zstd) if version < WITH_ZSTD => Err(Refused::new(
            ResponseError::UnsupportedCompressionType,
            "zstd needs version 7 of the produce request",
        )),
        Ok(_) => Ok(()),
    }
}

fn invalid(what: &str) -> Refused {
    Refused::new(ResponseError::InvalidRecord, what)
}
