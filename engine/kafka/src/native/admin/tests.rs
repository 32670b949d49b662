//! Administration of a cluster whose two brokers the test plays, under a clock that only waits
//! move: whom each question goes to, how often, and what errors say.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::BytesMut;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, ResponseHeader,
    TopicName,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Message, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;

use super::super::net::{Address, BoxedStream, Dialer};
use super::super::settings::ClientSettings;
use super::*;
use crate::lock::lock;
use crate::{Isolation, NewTopic, OffsetSpec, Properties};

/// An encoded answer; none: the broker stays silent.
type Reply = Option<BytesMut>;

/// What a broker answers: its id, the request's key, and how many of that key came before.
type Script = Box<dyn Fn(i32, i16, usize) -> Reply + Send + Sync>;

/// Brokers 1 and 2, on ports of their numbers.
struct Played {
    script: Script,
    /// Who was asked what, but for versions and metadata.
    asked: Mutex<Vec<(i32, i16)>>,
    counts: Mutex<HashMap<i16, usize>>,
}

impl fmt::Debug for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Played")
    }
}

#[derive(Clone, Debug)]
struct PlayedDialer(Arc<Played>);

#[async_trait]
impl Dialer for PlayedDialer {
    async fn dial(&self, address: &Address) -> Result<BoxedStream, Failure> {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(self.0.clone().serve(i32::from(address.port), theirs));
        Ok(Box::new(ours))
    }
}

impl Played {
    async fn serve(self: Arc<Self>, node: i32, mut stream: DuplexStream) {
        while let Ok(length) = stream.read_i32().await {
            let mut request = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut request).await.unwrap();
            let key = i16::from_be_bytes([request[0], request[1]]);
            let id = i32::from_be_bytes(request[4..8].try_into().unwrap());
            let Some(mut answer) = self.answer(node, key) else {
                continue;
            };
            answer[..4].copy_from_slice(&id.to_be_bytes());
            stream.write_i32(i32::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }

    fn answer(&self, node: i32, key: i16) -> Reply {
        if key == ApiVersionsRequest::KEY {
            return encoded(3, &versions());
        }
        let before = {
            let mut counts = lock(&self.counts);
            let count = counts.entry(key).or_default();
            *count += 1;
            *count - 1
        };
        if key != MetadataRequest::KEY {
            lock(&self.asked).push((node, key));
        }
        (self.script)(node, key, before)
    }
}

/// The newest of everything that these tests ask for.
fn versions() -> ApiVersionsResponse {
    fn api<R: Request>() -> ApiVersion {
        ApiVersion::default().with_api_key(R::KEY).with_max_version(<R as Message>::VERSIONS.max)
    }
    ApiVersionsResponse::default().with_api_keys(vec![
        api::<MetadataRequest>(),
        api::<CreateTopicsRequest>(),
        api::<ListOffsetsRequest>(),
        api::<FindCoordinatorRequest>(),
        api::<InitProducerIdRequest>(),
    ])
}

/// An answer to a request of the newest version.
fn answer<R: Request>(response: &R::Response) -> Reply
where
    R::Response: Encodable + HeaderVersion,
{
    encoded(<R as Message>::VERSIONS.max, response)
}

fn encoded<T: Encodable + HeaderVersion>(version: i16, response: &T) -> Reply {
    let mut answer = BytesMut::new();
    ResponseHeader::default().encode(&mut answer, T::header_version(version)).unwrap();
    response.encode(&mut answer, version).unwrap();
    Some(answer)
}

/// Both brokers; this one is the controller and leads the partitions of the topic "t".
fn metadata(chief: i32) -> Reply {
    let brokers = [1, 2].map(|id| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(id))
            .with_host(text("h"))
            .with_port(id)
    });
    let partitions = [0, 1].map(|number| {
        MetadataResponsePartition::default()
            .with_partition_index(number)
            .with_leader_id(BrokerId(chief))
    });
    let topic = MetadataResponseTopic::default()
        .with_name(Some(TopicName(text("t"))))
        .with_partitions(partitions.into());
    answer::<MetadataRequest>(
        &MetadataResponse::default()
            .with_brokers(brokers.into())
            .with_controller_id(BrokerId(chief))
            .with_topics(vec![topic]),
    )
}

fn coordinated_by(node: i32, code: i16) -> Reply {
    let found = Coordinator::default()
        .with_node_id(BrokerId(node))
        .with_host(text("h"))
        .with_port(node)
        .with_error_code(code);
    let found = FindCoordinatorResponse::default().with_coordinators(vec![found]);
    answer::<FindCoordinatorRequest>(&found)
}

fn offsets(codes: [i16; 2]) -> Reply {
    let partitions = [0, 1].map(|number: i32| {
        ListOffsetsPartitionResponse::default()
            .with_partition_index(number)
            .with_offset(i64::from(number) + 10)
            .with_error_code(codes[number as usize])
    });
    let topic = ListOffsetsTopicResponse::default()
        .with_name(TopicName(text("t")))
        .with_partitions(partitions.into());
    answer::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(vec![topic]))
}

/// A client of a cluster that follows the script.
fn client(script: impl Fn(i32, i16, usize) -> Reply + Send + Sync + 'static) -> Cluster {
    let played =
        Played { script: Box::new(script), asked: Mutex::default(), counts: Mutex::default() };
    let played = Arc::new(played);
    let properties = [("bootstrap.servers", "h:1"), ("default.api.timeout.ms", "5000")];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings = ClientSettings::admin(&Properties::from(properties)).unwrap();
    let dialer = Arc::new(PlayedDialer(played.clone()));
    Cluster { client: Client::new(settings, dialer, Handle::current()), played }
}

struct Cluster {
    client: Arc<Client>,
    played: Arc<Played>,
}

impl Cluster {
    /// Which brokers got requests of this kind, in order.
    fn asked<R: Request>(&self) -> Vec<i32> {
        let asked = lock(&self.played.asked);
        asked.iter().filter(|(_, key)| *key == R::KEY).map(|(node, _)| *node).collect()
    }

    async fn create(&self) -> Result<()> {
        let topic = NewTopic {
            name: "new".to_owned(),
            partitions: None,
            replication_factor: None,
            configs: BTreeMap::new(),
        };
        create_topic(&self.client, &topic).await
    }

    async fn list(&self) -> Result<BTreeMap<TopicPartition, i64>> {
        let both = [0, 1].map(|number| TopicPartition::new("t", number));
        list_offsets(&self.client, &both, OffsetSpec::Latest, Isolation::Uncommitted).await
    }
}

const NOT_LEADER: i16 = 6;
const NOT_COORDINATOR: i16 = 16;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
const NOT_CONTROLLER: i16 = 41;
const CONCURRENT_TRANSACTIONS: i16 = 51;

#[tokio::test(start_paused = true)]
async fn a_controller_that_has_moved_is_asked_where_it_is() {
    let cluster = client(|node, key, before| match key {
        MetadataRequest::KEY => metadata(if before == 0 { 1 } else { 2 }),
        _ => {
            let code = if node == 2 { 0 } else { NOT_CONTROLLER };
            let topic = CreatableTopicResult::default().with_error_code(code);
            let created = CreateTopicsResponse::default().with_topics(vec![topic]);
            answer::<CreateTopicsRequest>(&created)
        }
    });
    cluster.create().await.unwrap();
    assert_eq!(cluster.asked::<CreateTopicsRequest>(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn only_partitions_whose_leader_has_moved_are_asked_for_again() {
    let cluster = client(|node, key, before| match key {
        MetadataRequest::KEY => metadata(if before == 0 { 1 } else { 2 }),
        _ => offsets(if node == 2 { [0, 0] } else { [0, NOT_LEADER] }),
    });
    let expected = [(TopicPartition::new("t", 0), 10), (TopicPartition::new("t", 1), 11)];
    assert_eq!(cluster.list().await.unwrap(), BTreeMap::from(expected));
    assert_eq!(cluster.asked::<ListOffsetsRequest>(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_partitions_error_names_it_and_the_permission() {
    let cluster = client(|_, key, _| match key {
        MetadataRequest::KEY => metadata(1),
        _ => offsets([0, TOPIC_AUTHORIZATION_FAILED]),
    });
    let error = cluster.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let error = error.to_string();
    for part in ["TOPIC_AUTHORIZATION_FAILED", "--operation Describe --topic t", "partition: t-1"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(cluster.asked::<ListOffsetsRequest>(), [1], "asking again does not help");
}

#[tokio::test(start_paused = true)]
async fn trouble_that_lasts_ends_with_the_time_for_a_call() {
    let silent = |node: i32, key| match key {
        MetadataRequest::KEY => metadata(1),
        _ if node == 2 => offsets([0, 0]),
        _ => None,
    };
    let moving = |_, key| match key {
        MetadataRequest::KEY => metadata(1),
        _ => offsets([NOT_LEADER, NOT_LEADER]),
    };
    let scripts: [fn(i32, i16) -> Reply; 2] = [silent, moving];
    for (script, said) in scripts.into_iter().zip(["answered in time", "NOT_LEADER_OR_FOLLOWER"]) {
        let cluster = client(move |node, key, _| script(node, key));
        let began = Instant::now();
        let error = cluster.list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retriable, "{error}");
        let took = began.elapsed().as_secs_f64();
        assert!((3.5..=5.1).contains(&took), "{took} s: {error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains("partition: t-0"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn fencing_waits_for_the_transaction_that_is_being_aborted() {
    let cluster = client(|node, key, before| match key {
        MetadataRequest::KEY => metadata(1),
        FindCoordinatorRequest::KEY => coordinated_by(if before == 0 { 1 } else { 2 }, 0),
        _ => {
            let code = match (node, before) {
                (1, _) => NOT_COORDINATOR,
                (_, ..3) => CONCURRENT_TRANSACTIONS,
                _ => 0,
            };
            let fenced = InitProducerIdResponse::default().with_error_code(code);
            answer::<InitProducerIdRequest>(&fenced)
        }
    });
    fence_producers(&cluster.client, &["group-connector-0"]).await.unwrap();
    assert_eq!(cluster.asked::<InitProducerIdRequest>(), [1, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_not_be_seen_is_named_with_the_permission() {
    let cluster = client(|_, key, _| match key {
        MetadataRequest::KEY => metadata(1),
        _ => coordinated_by(-1, GROUP_AUTHORIZATION_FAILED),
    });
    let error = committed(&cluster.client, "g", None).await.unwrap_err().to_string();
    for part in ["GROUP_AUTHORIZATION_FAILED", "--operation Describe --group g", "group.id: g"] {
        assert!(error.contains(part), "{error}");
    }
}
