//! A cluster that a test plays: decides what brokers 1 and 2 answer, strictly by the protocol
//! unless the test asks for a fault.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, FetchRequest, FetchResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::Properties;
use crate::native::Address;
use crate::native::broker_side::{next, read, send, versions, written};
use crate::native::client::Client;
use crate::native::consumer::NativeConsumer;
use crate::native::error::Failure;
use crate::native::net::{BoxedStream, Dialer};
use crate::native::settings::ConsumerSettings;
use crate::record_batch::{BatchHeader, Compression, Record, Stamp, Writer, seal, set_base_offset};

const TOPIC: Uuid = Uuid::from_u128(77);

/// What goes wrong with a fetch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The request as a whole is refused.
    Whole(Code),
    /// Each of its partitions is.
    Partition(Code),
    /// The connection breaks instead of an answer.
    HangUp,
    /// The broker says nothing but to wait for so many milliseconds.
    Throttle(i32),
}

/// What a session of a broker remembers: a partition's offset and epoch.
type Remembered = BTreeMap<i32, (i64, i32)>;

/// The cluster's state, for the test to look at and to change.
pub(super) struct World {
    pub(super) fetch_version: i16,
    pub(super) has_sessions: bool,
    pub(super) topic_error: Option<Code>,
    /// The replica that the leader recommends.
    pub(super) preferred: Option<i32>,
    /// Producers and first offsets.
    pub(super) aborted: Vec<(i64, i64)>,
    pub(super) start: i64,
    /// The first offset whose time is after any that is asked for.
    pub(super) recent: i64,
    pub(super) once: VecDeque<Fault>,
    pub(super) always: Option<Fault>,
    /// How many fetches were asked for.
    pub(super) fetches: usize,
    /// How many partitions each of them named.
    pub(super) told: Vec<usize>,
    /// Which brokers sent records.
    pub(super) served: Vec<i32>,
    pub(super) epoch_questions: usize,
    partitions: Vec<Log>,
    sessions: BTreeMap<i32, (i32, Remembered)>,
    next_session: i32,
}

struct Log {
    leader: i32,
    epoch: i32,
    batches: Vec<BytesMut>,
}

impl Log {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| last_offset(batch) + 1)
    }
}

impl World {
    /// The partitions that sessions have.
    pub(super) fn session_partitions(&self) -> Vec<i32> {
        self.sessions.values().flat_map(|(_, known)| known.keys().copied()).collect()
    }

    pub(super) fn has_session(&self) -> bool {
        !self.sessions.is_empty()
    }
}

/// The last offset of a batch, also of one in an old format.
fn last_offset(batch: &[u8]) -> i64 {
    match BatchHeader::parse(batch) {
        Ok(Some(header)) => header.last_offset(),
        _ => i64::from_be_bytes(batch[..8].try_into().unwrap()),
    }
}

/// A batch of values.
pub(super) fn batch(first: i64, epoch: i32, values: &[&str]) -> BytesMut {
    let mut writer = Writer::new(Compression::None);
    for value in values {
        writer.push(&Record::new(1_000, None, Some(value.as_bytes()))).unwrap();
    }
    let mut batch = writer.finish().unwrap();
    set_base_offset(&mut batch, first);
    batch[12..16].copy_from_slice(&epoch.to_be_bytes());
    batch
}

/// The same batch as part of a producer's transaction.
pub(super) fn transactional(mut batch: BytesMut, producer_id: i64) -> BytesMut {
    let stamp = Stamp { producer_id, producer_epoch: 0, base_sequence: 0, is_transactional: true };
    seal(&mut batch, &stamp);
    batch
}

/// The end of a producer's transaction.
pub(super) fn control(offset: i64, producer: i64, commits: bool) -> BytesMut {
    const CONTROL: u8 = 1 << 5;
    let mut writer = Writer::new(Compression::None);
    let key = [0, 0, 0, u8::from(commits)];
    writer.push(&Record::new(1_000, Some(&key), Some(&[0; 6]))).unwrap();
    let mut batch = writer.finish().unwrap();
    set_base_offset(&mut batch, offset);
    batch[12..16].copy_from_slice(&0i32.to_be_bytes());
    batch[22] |= CONTROL;
    transactional(batch, producer)
}

/// Two brokers and the topic `t`.
#[derive(Clone)]
pub(super) struct Played {
    world: Arc<Mutex<World>>,
    changed: Arc<Notify>,
}

impl fmt::Debug for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Played")
    }
}

impl Played {
    /// Broker 1 leads all partitions.
    pub(super) fn new(partitions: usize) -> Self {
        let log = || Log { leader: 1, epoch: 0, batches: Vec::new() };
        let world = World {
            fetch_version: 17,
            has_sessions: true,
            topic_error: None,
            preferred: None,
            aborted: Vec::new(),
            start: 0,
            recent: 0,
            once: VecDeque::new(),
            always: None,
            fetches: 0,
            told: Vec::new(),
            served: Vec::new(),
            epoch_questions: 0,
            partitions: (0..partitions).map(|_| log()).collect(),
            sessions: BTreeMap::new(),
            next_session: 1,
        };
        Self { world: Arc::new(Mutex::new(world)), changed: Arc::new(Notify::new()) }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) async fn consumer(&self, settings: &[(&str, &str)]) -> NativeConsumer {
        let servers = [("bootstrap.servers", "b:9001")];
        let all = servers.iter().chain(settings);
        let all: Properties = all.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = ConsumerSettings::new(&all).unwrap();
        let dialer = Arc::new(self.clone());
        let client = Client::new(settings.client.clone(), dialer, Handle::current());
        NativeConsumer::new(client, settings)
    }

    pub(super) fn append(&self, partition: usize, batch: BytesMut) {
        self.world().partitions[partition].batches.push(batch);
        self.changed.notify_waiters();
    }

    pub(super) fn truncate(&self, partition: usize, end: i64) {
        let mut world = self.world();
        let batches = &mut world.partitions[partition].batches;
        let kept = batches.iter().filter(|batch| last_offset(batch) < end).count();
        if kept < batches.len() && kept == 0 && end > 0 {
            // Only whole batches can be cut off, so the first is made anew.
            *batches = vec![batch(0, 0, &vec!["a"; end as usize])];
        } else {
            batches.truncate(kept);
        }
    }

    pub(super) fn lead(&self, partition: usize, leader: i32, epoch: i32) {
        let mut world = self.world();
        let log = &mut world.partitions[partition];
        (log.leader, log.epoch) = (leader, epoch);
        drop(world);
        self.changed.notify_waiters();
    }

    async fn serve(self, id: i32, mut stream: DuplexStream) {
        while let Some(mut request) = next(&mut stream).await {
            let (key, version) = (request.clone().get_i16(), request.slice(2..).get_i16());
            let Some(answer) = self.answer(id, key, version, &mut request).await else {
                return;
            };
            if send(&mut stream, &answer).await.is_none() {
                return;
            }
        }
    }

    async fn answer(&self, id: i32, key: i16, version: i16, bytes: &mut Bytes) -> Option<BytesMut> {
        Some(match key {
            ApiVersionsRequest::KEY => {
                let asked = read::<ApiVersionsRequest>(bytes, version);
                written(asked.0, version, &self.versions())
            }
            MetadataRequest::KEY => {
                let asked = read::<MetadataRequest>(bytes, version);
                written(asked.0, version, &self.metadata())
            }
            FetchRequest::KEY => {
                let (correlation, request) = read::<FetchRequest>(bytes, version);
                written(correlation, version, &self.fetch(id, version, request).await?)
            }
            ListOffsetsRequest::KEY => {
                let (correlation, request) = read::<ListOffsetsRequest>(bytes, version);
                written(correlation, version, &self.list_offsets(id, request))
            }
            OffsetForLeaderEpochRequest::KEY => {
                let (correlation, request) = read::<OffsetForLeaderEpochRequest>(bytes, version);
                written(correlation, version, &self.ends_of_epochs(id, request))
            }
            other => panic!("nobody plays requests of kind {other}"),
        })
    }

    fn versions(&self) -> ApiVersionsResponse {
        versions(&[
            (MetadataRequest::KEY, 12),
            (FetchRequest::KEY, self.world().fetch_version),
            (ListOffsetsRequest::KEY, 7),
            (OffsetForLeaderEpochRequest::KEY, 4),
        ])
    }

    fn metadata(&self) -> MetadataResponse {
        let world = self.world();
        let broker = |id: i32| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(id))
                .with_host(StrBytes::from_static_str("b"))
                .with_port(9_000 + id)
        };
        let partitions = (0..).zip(&world.partitions).map(|(number, log)| {
            MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_id(BrokerId(log.leader))
                .with_leader_epoch(log.epoch)
                .with_replica_nodes(vec![BrokerId(1), BrokerId(2)])
        });
        let id = if world.fetch_version >= 13 { TOPIC } else { Uuid::nil() };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
            .with_topic_id(id)
            .with_error_code(world.topic_error.map_or(0, |code| code.code()))
            .with_partitions(partitions.collect());
        MetadataResponse::default()
            .with_brokers(vec![broker(1), broker(2)])
            .with_topics(vec![topic])
    }

    async fn fetch(&self, id: i32, version: i16, request: FetchRequest) -> Option<FetchResponse> {
        let fault = {
            let mut world = self.world();
            world.fetches += 1;
            let named = request.topics.iter().map(|topic| topic.partitions.len()).sum();
            world.told.push(named);
            world.always.or_else(|| world.once.pop_front())
        };
        let whole = |code: Code| FetchResponse::default().with_error_code(code.code());
        match fault {
            Some(Fault::HangUp) => return None,
            Some(Fault::Whole(code)) => return Some(whole(code)),
            Some(Fault::Throttle(millis)) => {
                let session = request.session_id;
                self.world().forward(session);
                let answer = FetchResponse::default().with_session_id(session);
                return Some(answer.with_throttle_time_ms(millis));
            }
            _ => {}
        }
        let (session, wanted) = match self.world().enter(version, &request) {
            Ok(entered) => entered,
            Err(code) => return Some(whole(code)),
        };
        let wait = Duration::from_millis(request.max_wait_ms as u64);
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let fault = match fault {
                Some(Fault::Partition(code)) => Some(code),
                _ => None,
            };
            let partitions = self.world().records(id, version, &wanted, fault);
            let is_whole = request.session_epoch <= 0;
            let has_news = partitions.iter().any(|data| {
                data.error_code != 0
                    || data.preferred_read_replica.0 >= 0
                    || data.records.as_ref().is_some_and(|records| !records.is_empty())
            });
            let is_late = !has_news && timeout_at(until, changed).await.is_err();
            if has_news || is_late {
                return Some(self.world().response((version, session), partitions, is_whole));
            }
        }
    }

    fn list_offsets(&self, id: i32, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let world = self.world();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = &world.partitions[asked.partition_index as usize];
                let answer = ListOffsetsPartitionResponse::default()
                    .with_partition_index(asked.partition_index);
                if log.leader != id {
                    return answer.with_error_code(Code::NotLeaderOrFollower.code());
                }
                let offset = match asked.timestamp {
                    -2 => world.start,
                    -1 => log.end(),
                    _ => world.recent,
                };
                answer.with_offset(offset).with_leader_epoch(log.epoch)
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    fn ends_of_epochs(
        &self,
        id: i32,
        request: OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let mut world = self.world();
        world.epoch_questions += 1;
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let log = &world.partitions[asked.partition as usize];
                assert_eq!(log.leader, id, "a question for the leader");
                let of_epoch = log.batches.iter().rev().find(|batch| {
                    let epoch = BatchHeader::parse(batch).unwrap().unwrap().leader_epoch;
                    epoch <= asked.leader_epoch
                });
                EpochEndOffset::default()
                    .with_partition(asked.partition)
                    .with_leader_epoch(asked.leader_epoch)
                    .with_end_offset(of_epoch.map_or(0, |batch| last_offset(batch) + 1))
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }
}

impl World {
    /// What a request wants, with what its session remembers.
    fn enter(&mut self, version: i16, request: &FetchRequest) -> Result<(i32, Remembered), Code> {
        let named = request.topics.iter().flat_map(|topic| {
            match version {
                13.. => assert_eq!(topic.topic_id, TOPIC),
                _ => assert_eq!(topic.topic.0.as_str(), "t"),
            }
            topic.partitions.iter()
        });
        let named: Remembered =
            named.map(|p| (p.partition, (p.fetch_offset, p.current_leader_epoch))).collect();
        let (id, epoch) = (request.session_id, request.session_epoch);
        if epoch <= 0 {
            self.sessions.remove(&id);
            if epoch < 0 || !self.has_sessions {
                return Ok((0, named));
            }
            let id = self.next_session;
            self.next_session += 1;
            self.sessions.insert(id, (1, named.clone()));
            return Ok((id, named));
        }
        let Some((expected, known)) = self.sessions.get_mut(&id) else {
            return Err(Code::FetchSessionIdNotFound);
        };
        if epoch != *expected {
            return Err(Code::InvalidFetchSessionEpoch);
        }
        *expected += 1;
        known.extend(named);
        for forgotten in &request.forgotten_topics_data {
            known.retain(|number, _| !forgotten.partitions.contains(number));
        }
        Ok((id, known.clone()))
    }

    fn forward(&mut self, session: i32) {
        if let Some((expected, _)) = self.sessions.get_mut(&session) {
            *expected += 1;
        }
    }

    fn records(
        &mut self,
        id: i32,
        version: i16,
        wanted: &Remembered,
        fault: Option<Code>,
    ) -> Vec<PartitionData> {
        let mut answers = Vec::new();
        for (number, (offset, epoch)) in wanted {
            let log = &self.partitions[*number as usize];
            let answer = PartitionData::default()
                .with_partition_index(*number)
                .with_preferred_read_replica(BrokerId(-1))
                .with_high_watermark(log.end());
            let refused = |code: Code| answer.clone().with_error_code(code.code());
            let known_epoch = if version >= 9 { *epoch } else { -1 };
            let is_leader = log.leader == id;
            let serves = is_leader || self.preferred == Some(id) || version >= 11 && id == 2;
            answers.push(if let Some(code) = fault {
                refused(code)
            } else if !serves || (!is_leader && log.leader == 2) {
                let leader = LeaderIdAndEpoch::default()
                    .with_leader_id(BrokerId(log.leader))
                    .with_leader_epoch(log.epoch);
                match version {
                    16.. => refused(Code::NotLeaderOrFollower).with_current_leader(leader),
                    _ => refused(Code::NotLeaderOrFollower),
                }
            } else if known_epoch >= 0 && known_epoch < log.epoch {
                refused(Code::FencedLeaderEpoch)
            } else if *offset > log.end() || *offset < self.start {
                refused(Code::OffsetOutOfRange)
            } else if is_leader && self.preferred.is_some_and(|preferred| preferred != id) {
                let preferred = self.preferred.unwrap();
                answer.with_preferred_read_replica(BrokerId(preferred))
            } else {
                let batches = log.batches.iter().filter(|batch| last_offset(batch) >= *offset);
                let records = batches.fold(BytesMut::new(), |mut all, batch| {
                    all.extend_from_slice(batch);
                    all
                });
                if !records.is_empty() {
                    self.served.push(id);
                }
                let aborted = self.aborted.iter().map(|(producer, first)| {
                    AbortedTransaction::default()
                        .with_producer_id((*producer).into())
                        .with_first_offset(*first)
                });
                answer
                    .with_records(Some(records.freeze()))
                    .with_aborted_transactions(Some(aborted.collect()))
            });
        }
        answers
    }

    fn response(
        &self,
        (version, session): (i16, i32),
        partitions: Vec<PartitionData>,
        is_whole: bool,
    ) -> FetchResponse {
        let is_told = |data: &PartitionData| {
            is_whole
                || data.error_code != 0
                || data.preferred_read_replica.0 >= 0
                || data.records.as_ref().is_some_and(|records| !records.is_empty())
        };
        let partitions: Vec<_> = partitions.into_iter().filter(is_told).collect();
        let topic = match version {
            13.. => FetchableTopicResponse::default().with_topic_id(TOPIC),
            _ => FetchableTopicResponse::default()
                .with_topic(TopicName(StrBytes::from_static_str("t"))),
        };
        let topics = match partitions.is_empty() {
            true => Vec::new(),
            false => vec![topic.with_partitions(partitions)],
        };
        let response = FetchResponse::default().with_session_id(session).with_responses(topics);
        if version < 16 {
            return response;
        }
        let endpoint = |id| {
            NodeEndpoint::default()
                .with_node_id(BrokerId(id))
                .with_host(StrBytes::from_static_str("b"))
                .with_port(9_000 + id)
        };
        response.with_node_endpoints(vec![endpoint(1), endpoint(2)])
    }
}

#[async_trait]
impl Dialer for Played {
    async fn dial(&self, address: &Address) -> Result<BoxedStream, Failure> {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(self.clone().serve(i32::from(address.port) - 9_000, theirs));
        Ok(Box::new(ours))
    }
}
