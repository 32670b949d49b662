//! All of a producer against brokers that lose requests and answers, refuse, and fall silent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::BinaryViewArray;
use async_trait::async_trait;
use bytes::Bytes;
use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey, ApiVersionsResponse, BrokerId,
    EndTxnRequest, EndTxnResponse, FindCoordinatorResponse, InitProducerIdResponse,
    MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, ProducerId as WireId,
    RequestHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use millrace_api::{Error, ErrorKind};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::order::{Leader, open};
use crate::native::broker_side::{next, send, versions, written};
use crate::native::client::Client;
use crate::native::error::Failure;
use crate::native::net::{Address, BoxedStream, Dialer};
use crate::native::producer::NativeProducer;
use crate::native::settings::ProducerSettings;
use crate::{Acknowledge, Outgoing, Producer, Properties};

const PARTITIONS: i32 = 4;

/// What becomes of a produce request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Good,
    /// The connection breaks before the broker has it.
    Lost,
    /// The broker has it, and then the connection breaks.
    AnswerLost,
    /// The broker has it and says nothing for ever.
    Silent,
    Refused(Code),
}

/// A cluster of one broker that knows every topic.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The newest version of Produce.
    produce: i16,
    pub(super) fates: Mutex<VecDeque<Fate>>,
    logs: Mutex<BTreeMap<(String, i32), Leader>>,
    /// Batches with more records are too large.
    most_records: Mutex<usize>,
    /// Records of each request.
    requests: Mutex<Vec<usize>>,
    producers: AtomicUsize,
    /// What the coordinator says when partitions are added to a transaction, and after how long.
    pub(super) adding: Mutex<VecDeque<(Option<Code>, Duration)>>,
    /// The topics of each question for metadata.
    pub(super) asked: Mutex<Vec<Vec<String>>>,
    /// How transactions were ended: whether they were committed.
    pub(super) ended: Mutex<Vec<bool>>,
    /// How long an answer takes.
    slowness: Duration,
}

impl std::fmt::Debug for Leader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} records", self.records.len())
    }
}

impl Cluster {
    pub(super) fn new(produce: i16, slowness: Duration) -> Arc<Self> {
        Arc::new(Self {
            produce,
            fates: Mutex::default(),
            logs: Mutex::default(),
            most_records: Mutex::new(usize::MAX),
            requests: Mutex::default(),
            producers: AtomicUsize::new(0),
            adding: Mutex::default(),
            asked: Mutex::default(),
            ended: Mutex::default(),
            slowness,
        })
    }

    pub(super) fn records(&self, topic: &str, partition: i32) -> Vec<u32> {
        let logs = self.logs.lock().unwrap();
        logs.get(&(topic.to_owned(), partition)).map_or_else(Vec::new, |log| log.records.clone())
    }

    /// Answers requests until the stream ends or fate ends it.
    async fn serve(self: Arc<Self>, mut stream: DuplexStream) {
        while let Some(mut frame) = next(&mut stream).await {
            let (key, version) = (
                i16::from_be_bytes([frame[0], frame[1]]),
                i16::from_be_bytes([frame[2], frame[3]]),
            );
            let key = ApiKey::try_from(key).unwrap();
            let header =
                RequestHeader::decode(&mut frame, key.request_header_version(version)).unwrap();
            let id = header.correlation_id;
            let is_silent = match key {
                ApiKey::ApiVersions => {
                    answer(&mut stream, id, version, &self.versions()).await;
                    false
                }
                ApiKey::Metadata => {
                    let request = MetadataRequest::decode(&mut frame, version).unwrap();
                    let topics = request.topics.unwrap_or_default();
                    let names = topics.into_iter().map(|topic| topic.name.unwrap().0);
                    let names: Vec<_> = names.collect();
                    let asked = names.iter().map(ToString::to_string).collect();
                    self.asked.lock().unwrap().push(asked);
                    answer(&mut stream, id, version, &metadata(names.into_iter())).await;
                    false
                }
                ApiKey::InitProducerId => {
                    let producer = self.producers.fetch_add(1, Ordering::SeqCst) as i64;
                    let said = InitProducerIdResponse::default().with_producer_id(WireId(producer));
                    answer(&mut stream, id, version, &said).await;
                    false
                }
                ApiKey::Produce => {
                    let request = ProduceRequest::decode(&mut frame, version).unwrap();
                    let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Good);
                    let acks = request.acks;
                    if matches!(fate, Fate::Lost) {
                        return;
                    }
                    let said = self.produced(request, version, fate);
                    if matches!(fate, Fate::AnswerLost) {
                        return;
                    }
                    sleep(self.slowness).await;
                    if !matches!(fate, Fate::Silent) && acks != 0 {
                        answer(&mut stream, id, version, &said).await;
                    }
                    matches!(fate, Fate::Silent)
                }
                _ => {
                    self.coordinate(key, (id, version), frame, &mut stream).await;
                    false
                }
            };
            if is_silent {
                // Whoever waits for the next answer waits in vain as well.
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
        }
    }

    /// What is asked about transactions.
    async fn coordinate(
        &self,
        key: ApiKey,
        (id, version): (i32, i16),
        mut request: Bytes,
        stream: &mut DuplexStream,
    ) {
        match key {
            ApiKey::FindCoordinator => {
                let said = FindCoordinatorResponse::default()
                    .with_node_id(BrokerId(1))
                    .with_host(StrBytes::from_static_str("broker"))
                    .with_port(1);
                answer(stream, id, version, &said).await;
            }
            ApiKey::AddPartitionsToTxn => {
                let request = AddPartitionsToTxnRequest::decode(&mut request, version).unwrap();
                let (code, wait) = self.added();
                sleep(wait).await;
                answer(stream, id, version, &added(request, code)).await;
            }
            ApiKey::EndTxn => {
                let request = EndTxnRequest::decode(&mut request, version).unwrap();
                self.ended.lock().unwrap().push(request.committed);
                answer(stream, id, version, &EndTxnResponse::default()).await;
            }
            other => panic!("{other:?} is asked"),
        }
    }

    fn versions(&self) -> ApiVersionsResponse {
        let newest = [
            (ApiKey::Produce, self.produce),
            (ApiKey::Metadata, 12),
            (ApiKey::ApiVersions, 3),
            (ApiKey::InitProducerId, 4),
            (ApiKey::FindCoordinator, 3),
            (ApiKey::AddPartitionsToTxn, 3),
            (ApiKey::EndTxn, 3),
        ];
        versions(&newest.map(|(key, version)| (key as i16, version)))
    }

    /// What is said next; the last word is repeated.
    fn added(&self) -> (Option<Code>, Duration) {
        let mut adding = self.adding.lock().unwrap();
        let next = adding.front().copied().unwrap_or_default();
        if adding.len() > 1 {
            adding.pop_front();
        }
        next
    }

    fn produced(&self, request: ProduceRequest, version: i16, fate: Fate) -> ProduceResponse {
        let mut all = 0;
        let responses = request.topic_data.into_iter().map(|topic| {
            let name = match version {
                13.. => name_of(topic.topic_id),
                _ => topic.name.0.to_string(),
            };
            let partitions = topic.partition_data.into_iter().map(|part| {
                let bytes = part.records.unwrap();
                let records = open(&bytes).0.count as usize;
                all += records;
                let code = self.append((&name, part.index), &bytes, fate);
                PartitionProduceResponse::default()
                    .with_index(part.index)
                    .with_error_code(code.map_or(0, |code| code.code()))
            });
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.topic_id)
                .with_partition_responses(partitions.collect())
        });
        let responses = responses.collect();
        self.requests.lock().unwrap().push(all);
        ProduceResponse::default().with_responses(responses)
    }

    fn append(&self, (topic, partition): (&str, i32), bytes: &Bytes, fate: Fate) -> Option<Code> {
        if let Fate::Refused(code) = fate {
            return Some(code);
        }
        if open(bytes).0.count as usize > *self.most_records.lock().unwrap() {
            return Some(Code::MessageTooLarge);
        }
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry((topic.to_owned(), partition)).or_default();
        match log.append(bytes) {
            Ok(()) => None,
            Err(error) if error.message() == "out of order" => Some(Code::OutOfOrderSequenceNumber),
            Err(_) => Some(Code::InvalidProducerEpoch),
        }
    }
}

/// Dials the cluster.
#[derive(Debug)]
struct Dial(Arc<Cluster>);

#[async_trait]
impl Dialer for Dial {
    async fn dial(&self, _: &Address) -> Result<BoxedStream, Failure> {
        let (ours, theirs) = duplex(1 << 20);
        tokio::spawn(self.0.clone().serve(theirs));
        Ok(Box::new(ours))
    }
}

fn added(request: AddPartitionsToTxnRequest, code: Option<Code>) -> AddPartitionsToTxnResponse {
    let code = code.map_or(0, |code| code.code());
    let topics = request.v3_and_below_topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(results.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

async fn answer<R>(stream: &mut DuplexStream, id: i32, version: i16, said: &R)
where
    R: Encodable + HeaderVersion,
{
    // The other side may have gone.
    let _ = send(stream, &written(id, version, said)).await;
}

/// A topic's id is its name.
fn id_of(name: &str) -> Uuid {
    let mut id = [b' '; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(id)
}

fn name_of(id: Uuid) -> String {
    String::from_utf8(id.as_bytes().to_vec()).unwrap().trim().to_owned()
}

fn metadata(names: impl Iterator<Item = StrBytes>) -> MetadataResponse {
    let topics = names.map(|name| {
        let leader = if &*name == "headless" { -1 } else { 1 };
        let partitions = (0..PARTITIONS).map(|p| {
            MetadataResponsePartition::default()
                .with_partition_index(p)
                .with_leader_id(BrokerId(leader))
                .with_leader_epoch(0)
        });
        MetadataResponseTopic::default()
            .with_topic_id(id_of(&name))
            .with_name(Some(name.into()))
            .with_partitions(partitions.collect())
    });
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_static_str("broker"))
        .with_port(1);
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics.collect())
}

pub(super) fn producer(cluster: &Arc<Cluster>, more: &[(&str, &str)]) -> NativeProducer {
    let mut properties = Properties::from([("bootstrap.servers".into(), "broker:1".into())]);
    properties.extend(more.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    let settings = ProducerSettings::new(&properties).unwrap();
    let dialer = Arc::new(Dial(cluster.clone()));
    let client = Client::new(settings.client.clone(), dialer, Handle::current());
    NativeProducer::new(client, settings)
}

/// A run of numbers for one partition.
pub(super) fn run(partition: i32, numbers: std::ops::Range<u32>) -> Outgoing {
    let values: Vec<_> = numbers.clone().map(|n| Some(n.to_be_bytes())).collect();
    Outgoing {
        topic: "t".into(),
        partition: Some(partition),
        keys: BinaryViewArray::from_iter(values.iter().map(|_| None::<&[u8]>)),
        values: BinaryViewArray::from_iter(values),
        timestamps: None,
        headers: Vec::new(),
    }
}

#[derive(Debug, Default)]
pub(super) struct Acks {
    good: AtomicUsize,
    failed: AtomicUsize,
    errors: Mutex<Vec<Error>>,
}

impl Acks {
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.good.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }
}

impl Acknowledge for Acks {
    fn acknowledged(&self, records: usize) {
        self.good.fetch_add(records, Ordering::SeqCst);
    }

    fn failed(&self, records: usize, error: &Error) {
        self.failed.fetch_add(records, Ordering::SeqCst);
        self.errors.lock().unwrap().push(error.copied());
    }
}

pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// Connect's own settings.
pub(super) const CONNECT: [(&str, &str); 3] = [
    ("enable.idempotence", "false"),
    ("max.in.flight.requests.per.connection", "1"),
    ("delivery.timeout.ms", "2147483647"),
];

fn fates(seed: u64) -> VecDeque<Fate> {
    let mut random = fastrand::Rng::with_seed(seed);
    let fate = |n| match n {
        0..=2 => Fate::AnswerLost,
        3..=4 => Fate::Lost,
        5 => Fate::Silent,
        6..=8 => Fate::Refused(Code::NotEnoughReplicas),
        9 => Fate::Refused(Code::NotLeaderOrFollower),
        _ => Fate::Good,
    };
    (0..60).map(|_| fate(random.u8(0..20))).collect()
}

/// Whatever is lost, an idempotent producer writes everything once and in order.
#[tokio::test(start_paused = true)]
async fn faults_neither_repeat_nor_reorder_nor_lose() {
    for seed in 0..30 {
        let cluster = Cluster::new([13, 12, 8, 3][seed as usize % 4], Duration::from_millis(3));
        *cluster.fates.lock().unwrap() = fates(seed);
        let codec = ["none", "lz4", "zstd"][seed as usize % 3];
        let small = [
            ("batch.size", "300"),
            ("compression.type", codec),
            ("delivery.timeout.ms", "2147483647"),
        ];
        let mut producer = producer(&cluster, &small);
        let acks = Arc::new(Acks::default());
        for round in 0..60 {
            let first = round * 25;
            for p in 0..PARTITIONS {
                producer.send(&run(p, first..first + 25), acks.clone()).await.unwrap();
            }
        }
        producer.flush(PATIENCE).await.unwrap();
        let all = 60 * 25;
        assert_eq!(acks.counts(), (all * PARTITIONS as usize, 0), "seed {seed}");
        for p in 0..PARTITIONS {
            let written = cluster.records("t", p);
            assert!(written.iter().copied().eq(0..all as u32), "seed {seed}: {written:?}");
        }
    }
}

/// Without idempotence records may come twice, but with one request in flight never out of order.
#[tokio::test(start_paused = true)]
async fn one_in_flight_keeps_the_order() {
    for seed in 0..20 {
        let cluster = Cluster::new(13, Duration::from_millis(3));
        *cluster.fates.lock().unwrap() = fates(seed);
        let mut producer = producer(&cluster, &CONNECT);
        let acks = Arc::new(Acks::default());
        for round in 0..200 {
            producer.send(&run(0, round * 5..round * 5 + 5), acks.clone()).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (1_000, 0), "seed {seed}");
        let mut expected = 0;
        for record in cluster.records("t", 0) {
            assert!(record <= expected, "seed {seed}: {record} comes before {expected}");
            expected = expected.max(record + 1);
        }
        assert_eq!(expected, 1_000);
    }
}

/// While a request is in flight, all that comes goes into the next.
#[tokio::test(start_paused = true)]
async fn what_comes_meanwhile_goes_together() {
    let cluster = Cluster::new(13, Duration::from_millis(100));
    let mut producer = producer(&cluster, &CONNECT);
    let acks = Arc::new(Acks::default());
    for round in 0..100 {
        for p in 0..PARTITIONS {
            producer.send(&run(p, round * 5..round * 5 + 5), acks.clone()).await.unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    }
    producer.flush(PATIENCE).await.unwrap();
    let requests = cluster.requests.lock().unwrap();
    assert!(requests.len() <= 13, "{requests:?}");
    assert_eq!(requests.iter().sum::<usize>(), 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_lone_record_lingers() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let mut producer = producer(&cluster, &[("linger.ms", "200"), ("enable.idempotence", "false")]);
    let acks = Arc::new(Acks::default());
    producer.send(&run(0, 0..1), acks.clone()).await.unwrap();
    sleep(Duration::from_millis(150)).await;
    assert_eq!(acks.counts(), (0, 0));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(acks.counts(), (1, 0));
    // A flush does not wait for that.
    producer.send(&run(0, 1..2), acks.clone()).await.unwrap();
    let began = Instant::now();
    producer.flush(PATIENCE).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_broker_keeps_expires() {
    let cluster = Cluster::new(13, Duration::ZERO);
    cluster.fates.lock().unwrap().extend([Fate::Silent; 4]);
    let mut producer = producer(
        &cluster,
        &[("delivery.timeout.ms", "5000"), ("request.timeout.ms", "2000"), ("linger.ms", "0")],
    );
    let acks = Arc::new(Acks::default());
    producer.send(&run(0, 0..10), acks.clone()).await.unwrap();
    let error = producer.flush(Duration::from_secs(4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
    assert_eq!(acks.counts(), (0, 0));
    producer.flush(Duration::from_secs(2)).await.unwrap();
    assert_eq!(acks.counts(), (0, 10));
    let errors = acks.errors.lock().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(errors[0].starts_with("Expiring 10 record(s) for t-0:5000 ms"), "{errors:?}");
    assert!(errors[0].contains("delivery.timeout.ms"), "{errors:?}");
    // The broker has them all the same; the next ones come after them, in whatever epoch.
    producer.send(&run(0, 10..20), acks.clone()).await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (10, 10));
    assert!(cluster.records("t", 0).into_iter().eq(0..20));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_leads_expires() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let times = [("delivery.timeout.ms", "5000"), ("request.timeout.ms", "2000")];
    let mut producer = producer(&cluster, &times);
    let acks = Arc::new(Acks::default());
    let records = Outgoing { topic: "headless".into(), ..run(0, 0..10) };
    producer.send(&records, acks.clone()).await.unwrap();
    producer.flush(Duration::from_secs(4)).await.unwrap_err();
    producer.flush(Duration::from_secs(2)).await.unwrap();
    assert_eq!(acks.counts(), (0, 10));
    let error = acks.errors.lock().unwrap().remove(0).to_string();
    assert!(error.starts_with("Expiring 10 record(s) for headless-0:5000 ms"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_the_caller_wait() {
    let cluster = Cluster::new(13, Duration::ZERO);
    cluster.fates.lock().unwrap().push_back(Fate::Silent);
    let small = [("buffer.memory", "4000"), ("max.request.size", "4000"), ("max.block.ms", "700")];
    let mut producer = producer(&cluster, &small);
    let acks = Arc::new(Acks::default());
    producer.send(&run(0, 0..300), acks.clone()).await.unwrap();
    // A part fits; of the rest nobody would hear otherwise.
    let began = Instant::now();
    producer.send(&run(0, 300..600), acks.clone()).await.unwrap();
    assert!((700..710).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let failed = acks.counts().1;
    assert!((1..300).contains(&failed), "{failed}");
    let nobody = Arc::new(Acks::default());
    let error = producer.send(&run(0, 600..601), nobody.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
    assert!(error.to_string().contains("buffer.memory: 4000"), "{error}");
    assert_eq!(nobody.counts(), (0, 0));
    // The silence ends with request.timeout.ms.
    let last = run(0, 600..601);
    let waiting = producer.send(&last, nobody.clone());
    assert!(timeout(Duration::from_millis(100), waiting).await.is_err());
    assert_eq!(nobody.counts(), (0, 1), "who gives up hears of the rest");
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (600 - failed, failed));
}

/// A codec works on a thread that a paused clock would not wait for.
#[tokio::test]
async fn a_batch_that_is_too_large_is_sent_in_pieces() {
    for codec in ["none", "snappy"] {
        let cluster = Cluster::new(13, Duration::ZERO);
        *cluster.most_records.lock().unwrap() = 7;
        let mut producer = producer(&cluster, &[("compression.type", codec)]);
        let acks = Arc::new(Acks::default());
        for round in 0..10 {
            producer.send(&run(0, round * 50..round * 50 + 50), acks.clone()).await.unwrap();
        }
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (500, 0), "{:?}", acks.errors);
        assert!(cluster.records("t", 0).into_iter().eq(0..500));
        *cluster.most_records.lock().unwrap() = 0;
        producer.send(&run(0, 500..503), acks.clone()).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (500, 3));
        let error = acks.errors.lock().unwrap()[0].copied();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains("topic: t, partition: 0"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_told_and_the_next_goes() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let refused = Fate::Refused(Code::TopicAuthorizationFailed);
    cluster.fates.lock().unwrap().extend([refused, Fate::Good, refused]);
    let mut producer = producer(&cluster, &[]);
    for (round, is_good) in [false, true, false, true].into_iter().enumerate() {
        let acks = Arc::new(Acks::default());
        let first = round as u32 * 10;
        producer.send(&run(0, first..first + 10), acks.clone()).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), if is_good { (10, 0) } else { (0, 10) }, "round {round}");
    }
    assert!(cluster.records("t", 0).into_iter().eq((10..20).chain(30..40)));
}

#[tokio::test(start_paused = true)]
async fn without_acknowledgements_what_is_written_is_done() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let mut producer = producer(&cluster, &[("acks", "0")]);
    let acks = Arc::new(Acks::default());
    for round in 0..10 {
        producer.send(&run(0, round * 10..round * 10 + 10), acks.clone()).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
    }
    assert_eq!(acks.counts(), (100, 0));
    sleep(Duration::from_secs(1)).await;
    assert!(cluster.records("t", 0).into_iter().eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_producer_reports_every_record_once() {
    let cluster = Cluster::new(13, Duration::ZERO);
    cluster.fates.lock().unwrap().push_back(Fate::Silent);
    let mut producer = producer(&cluster, &[("batch.size", "500")]);
    let acks = Arc::new(Acks::default());
    for round in 0..20 {
        producer.send(&run(0, round * 50..round * 50 + 50), acks.clone()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    drop(producer);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(acks.counts(), (0, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fits_no_request_fails_alone() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let mut producer = producer(&cluster, &[("max.request.size", "1500")]);
    let large = vec![b'x'; 2_000];
    let number = 0_u32.to_be_bytes();
    let values = [Some(&number[..]), Some(&large), Some(&number)];
    let records = Outgoing { values: BinaryViewArray::from_iter(values), ..run(0, 0..3) };
    let acks = Arc::new(Acks::default());
    producer.send(&records, acks.clone()).await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (2, 1));
    let error = acks.errors.lock().unwrap()[0].copied();
    assert_eq!(error.kind(), ErrorKind::Data);
    let words = "bytes when serialized which is larger than 1500, which is the value of the \
                 max.request.size configuration.";
    assert!(error.message().contains(words), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_not_there_fails_its_records() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let mut producer = producer(&cluster, &[]);
    let acks = Arc::new(Acks::default());
    producer.send(&run(PARTITIONS, 0..3), acks.clone()).await.unwrap();
    producer.send(&run(0, 0..3), acks.clone()).await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(acks.counts(), (3, 3));
}
