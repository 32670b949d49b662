//! Decides which batches a fetch brings, and how long it waits for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::api::Call;
use super::error::Refused;
use super::topics::by_id;
use crate::Isolation;
use crate::embedded::Topic;
use crate::embedded::log::{Log, Slice};
use crate::embedded::topic_id::TopicId;

/// The most bytes of records in an answer, whatever a client asks for (`fetch.max.bytes` of a
/// broker).
const MAX_BYTES: usize = 55 << 20;
/// From this version on topics are named by id.
const WITH_TOPIC_IDS: i16 = 13;
/// What begins and ends with a session (KIP-227).
const NO_SESSION: i32 = 0;
const FINAL_EPOCH: i32 = -1;

/// Sessions are declined, which the protocol allows: each request names all partitions.
pub(super) async fn fetch(call: &Call<'_>, request: FetchRequest) -> FetchResponse {
    if request.session_id != NO_SESSION {
        return refused(call, ResponseError::FetchSessionIdNotFound);
    }
    if request.session_epoch > 0 {
        return refused(call, ResponseError::InvalidFetchSessionEpoch);
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait;
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let answer = Round::new(call, &request).read();
    if answer.is_due(min_bytes) || request.session_epoch == FINAL_EPOCH && wait.is_zero() {
        return answer.response;
    }
    let watching = Watching::new(call, &request);
    loop {
        // Once more after the watch began: no append is missed.
        let answer = Round::new(call, &request).read();
        if answer.is_due(min_bytes) {
            return answer.response;
        }
        if timeout_at(deadline, watching.wake.notified()).await.is_err() {
            return Round::new(call, &request).read().response;
        }
    }
}

fn refused(call: &Call<'_>, code: ResponseError) -> FetchResponse {
    match call.version {
        ..7 => FetchResponse::default(),
        _ => FetchResponse::default().with_error_code(code.code()),
    }
}

fn find(call: &Call<'_>, topic: &FetchTopic) -> Result<(Arc<str>, Arc<Topic>), Refused> {
    let shared = &call.client.shared;
    if call.version < WITH_TOPIC_IDS {
        return Ok((topic.topic.as_str().into(), shared.topic(&topic.topic)?));
    }
    let found = by_id(shared, TopicId(topic.topic_id));
    found.ok_or_else(|| ResponseError::UnknownTopicId.into())
}

fn log_of(topic: &Topic, partition: i32) -> Option<&Arc<Log>> {
    usize::try_from(partition).ok().and_then(|partition| topic.logs.get(partition))
}

/// The logs of a request, watched for as long as it lives.
struct Watching {
    wake: Arc<Notify>,
    logs: Vec<Arc<Log>>,
}

impl Watching {
    fn new(call: &Call<'_>, request: &FetchRequest) -> Self {
        let mut watching = Self { wake: Arc::new(Notify::new()), logs: Vec::new() };
        for topic in &request.topics {
            let Ok((_, found)) = find(call, topic) else { continue };
            let logs = topic.partitions.iter().filter_map(|p| log_of(&found, p.partition));
            watching.logs.extend(logs.cloned());
        }
        for log in &watching.logs {
            log.watch(&watching.wake);
        }
        watching
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for log in &self.logs {
            log.unwatch(&self.wake);
        }
    }
}

/// What a round has found.
struct Answer {
    response: FetchResponse,
    bytes: usize,
    has_failed: bool,
    is_empty: bool,
}

impl Answer {
    fn is_due(&self, min_bytes: usize) -> bool {
        self.bytes >= min_bytes || self.has_failed || self.is_empty
    }
}

/// One look at all partitions of a request.
struct Round<'a> {
    call: &'a Call<'a>,
    request: &'a FetchRequest,
    isolation: Isolation,
    bytes: usize,
    has_failed: bool,
}

impl<'a> Round<'a> {
    fn new(call: &'a Call<'a>, request: &'a FetchRequest) -> Self {
        let isolation = isolation(request.isolation_level);
        Self { call, request, isolation, bytes: 0, has_failed: false }
    }

    fn read(mut self) -> Answer {
        let (request, version) = (self.request, self.call.version);
        let mut responses = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let found = find(self.call, topic);
            let partitions = topic.partitions.iter().map(|partition| {
                let result = match &found {
                    Err(refused) => Err(refused.clone()),
                    Ok((name, found)) => self.partition(name, found, partition),
                };
                result.unwrap_or_else(|refused| {
                    self.has_failed = true;
                    PartitionData::default()
                        .with_partition_index(partition.partition)
                        .with_error_code(refused.code.code())
                        .with_high_watermark(-1)
                        .with_records(Some(Bytes::new()))
                })
            });
            let response = FetchableTopicResponse::default().with_partitions(partitions.collect());
            responses.push(match version {
                ..WITH_TOPIC_IDS => response.with_topic(topic.topic.clone()),
                _ => response.with_topic_id(topic.topic_id),
            });
        }
        Answer {
            is_empty: responses.is_empty(),
            response: FetchResponse::default().with_responses(responses),
            bytes: self.bytes,
            has_failed: self.has_failed,
        }
    }

    fn partition(
        &mut self,
        name: &str,
        topic: &Topic,
        wanted: &FetchPartition,
    ) -> Result<PartitionData, Refused> {
        let log = log_of(topic, wanted.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let client = self.call.client;
        let of = (name, wanted.partition);
        client.nodes.check(client.node, of, wanted.current_leader_epoch)?;
        let limit = usize::try_from(self.request.max_bytes).unwrap_or(0).min(MAX_BYTES);
        let left = limit.saturating_sub(self.bytes);
        let most = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
        // The first that has any brings a batch however big it is, or nothing ever would (KIP-74).
        let slice = log.slice(wanted.fetch_offset, most, self.isolation, self.bytes == 0)?;
        let Slice::Batches { bounds, batches, aborted } = slice else {
            return Err(ResponseError::OffsetOutOfRange.into());
        };
        let records = joined(batches);
        self.bytes += records.len();
        let data = PartitionData::default()
            .with_partition_index(wanted.partition)
            .with_high_watermark(bounds.end)
            .with_last_stable_offset(bounds.stable)
            .with_records(Some(records));
        let data = match self.call.version {
            ..5 => data,
            _ => data.with_log_start_offset(bounds.start),
        };
        let aborted = aborted.iter().map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer_id))
                .with_first_offset(aborted.first_offset)
        });
        Ok(match self.isolation {
            Isolation::Uncommitted => data.with_aborted_transactions(None),
            Isolation::Committed => data.with_aborted_transactions(Some(aborted.collect())),
        })
    }
}

/// Who reads only what is committed says 1.
pub(super) fn isolation(level: i8) -> Isolation {
    match level {
        1 => Isolation::Committed,
        _ => Isolation::Uncommitted,
    }
}

/// One buffer: files give one already.
fn joined(mut parts: Vec<Bytes>) -> Bytes {
    if parts.len() < 2 {
        return parts.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in parts {
        all.extend_from_slice(&part);
    }
    all.freeze()
}
