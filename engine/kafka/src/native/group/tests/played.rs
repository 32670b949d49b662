//! The coordinator of a group with one member, played: decides what it answers, for the test to
//! change, and keeps what the member said.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as Target, TopicPartitions,
};
use kafka_protocol::messages::find_coordinator_response::Coordinator as Found;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, MetadataRequest, MetadataResponse, OffsetCommitRequest,
    OffsetCommitResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::Request;
use millrace_api::TopicPartition;
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::Reader;
use crate::native::Address;
use crate::native::broker_side::{next, read, send, versions, written};
use crate::native::client::Client;
use crate::native::error::Failure;
use crate::native::group::consumer_protocol::Assignment;
use crate::native::group::text;
use crate::native::net::{BoxedStream, Dialer};
use crate::native::settings::ConsumerSettings;
use crate::{Properties, Subscription};

const TOPIC: Uuid = Uuid::from_u128(77);

/// What a member said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::native::group) enum Said {
    /// It joined, with this in its first protocol; nothing with KIP-848.
    Join(Bytes),
    /// It left, with this epoch where it has one.
    Leave(i32),
    /// It committed in this generation or epoch.
    Commit(i32),
}

/// What the coordinator is about to do, and what it was told.
#[derive(Debug)]
pub(in crate::native::group) struct World {
    pub(in crate::native::group) said: Vec<Said>,
    /// The partitions of `t` that the member is to have.
    pub(in crate::native::group) given: Vec<i32>,
    /// How heartbeats are refused until the member joins.
    pub(in crate::native::group) refuses_heartbeats: Option<Code>,
    /// How commits are refused until the member joins.
    pub(in crate::native::group) refuses_commits: Option<Code>,
    /// Whether brokers know `t`.
    pub(in crate::native::group) has_topic: bool,
    /// How long an answer takes.
    pub(in crate::native::group) delay: Duration,
    generation: i32,
}

impl World {
    pub(in crate::native::group) fn joins(&self) -> Vec<Bytes> {
        let joins = self.said.iter().filter_map(|said| match said {
            Said::Join(metadata) => Some(metadata.clone()),
            _ => None,
        });
        joins.collect()
    }

    pub(in crate::native::group) fn commits(&self) -> usize {
        self.said.iter().filter(|said| matches!(said, Said::Commit(_))).count()
    }

    fn join(&mut self, metadata: Bytes) {
        self.said.push(Said::Join(metadata));
        self.generation += 1;
        (self.refuses_heartbeats, self.refuses_commits) = (None, None);
    }
}

/// A broker with the topic `t` that coordinates every group.
#[derive(Clone)]
pub(in crate::native::group) struct Played(Arc<Mutex<World>>);

impl fmt::Debug for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Played")
    }
}

#[async_trait]
impl Dialer for Played {
    async fn dial(&self, _: &Address) -> Result<BoxedStream, Failure> {
        let (ours, theirs) = duplex(1 << 16);
        tokio::spawn(self.clone().serve(theirs));
        Ok(Box::new(ours))
    }
}

impl Played {
    pub(in crate::native::group) fn new(given: &[i32]) -> Self {
        Self(Arc::new(Mutex::new(World {
            said: Vec::new(),
            given: given.to_vec(),
            refuses_heartbeats: None,
            refuses_commits: None,
            has_topic: true,
            delay: Duration::ZERO,
            generation: 0,
        })))
    }

    pub(in crate::native::group) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(in crate::native::group) fn client(&self, settings: &ConsumerSettings) -> Arc<Client> {
        Client::new(settings.client.clone(), Arc::new(self.clone()), Handle::current())
    }

    pub(super) fn member(&self, more: &[(&str, &str)]) -> Reader {
        let settings = settings(more);
        let topics = Subscription::Topics(vec!["t".to_owned()]);
        Reader::new(&self.client(&settings), &settings, &topics)
    }

    async fn serve(self, mut stream: DuplexStream) {
        while let Some(mut request) = next(&mut stream).await {
            let delay = self.world().delay;
            let answer = self.answer(&mut request);
            tokio::time::sleep(delay).await;
            if send(&mut stream, &answer).await.is_none() {
                return;
            }
        }
    }

    fn answer(&self, bytes: &mut Bytes) -> BytesMut {
        macro_rules! played {
            ($version:expr, $($request:ty => $answer:ident,)*) => {
                match bytes.clone().get_i16() {
                    $(<$request>::KEY => {
                        let (id, request) = read::<$request>(bytes, $version);
                        written(id, $version, &self.world().$answer(&request))
                    })*
                    other => panic!("nobody plays requests of kind {other}"),
                }
            };
        }
        let version = bytes.slice(2..).get_i16();
        played! { version,
            ApiVersionsRequest => versions,
            MetadataRequest => metadata,
            FindCoordinatorRequest => coordinator,
            JoinGroupRequest => joined,
            SyncGroupRequest => synced,
            HeartbeatRequest => beaten,
            LeaveGroupRequest => left,
            ConsumerGroupHeartbeatRequest => beaten_modern,
            OffsetCommitRequest => committed,
        }
    }
}

/// A consumer's, of the group `g`.
pub(in crate::native::group) fn settings(more: &[(&str, &str)]) -> ConsumerSettings {
    let all = [
        ("bootstrap.servers", "h:1"),
        ("group.id", "g"),
        ("heartbeat.interval.ms", "200"),
        ("metadata.max.age.ms", "500"),
    ];
    let all = all.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ConsumerSettings::new(&all.collect::<Properties>()).unwrap()
}

fn code(refusal: Option<Code>) -> i16 {
    refusal.map_or(0, |code| code.code())
}

impl World {
    fn versions(&mut self, _: &ApiVersionsRequest) -> ApiVersionsResponse {
        versions(&[
            (MetadataRequest::KEY, 12),
            (FindCoordinatorRequest::KEY, 4),
            (JoinGroupRequest::KEY, 9),
            (SyncGroupRequest::KEY, 5),
            (HeartbeatRequest::KEY, 4),
            (LeaveGroupRequest::KEY, 5),
            (ConsumerGroupHeartbeatRequest::KEY, 0),
            (OffsetCommitRequest::KEY, 9),
        ])
    }

    fn metadata(&mut self, _: &MetadataRequest) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(text("h"))
            .with_port(1);
        let partition = |number| {
            MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_id(BrokerId(1))
                .with_replica_nodes(vec![BrokerId(1)])
        };
        let topic = MetadataResponseTopic::default().with_name(Some(TopicName(text("t"))));
        let topic = match self.has_topic {
            true => topic.with_topic_id(TOPIC).with_partitions((0..4).map(partition).collect()),
            false => topic.with_error_code(Code::UnknownTopicOrPartition.code()),
        };
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
    }

    fn coordinator(&mut self, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
        let found = Found::default()
            .with_key(request.coordinator_keys[0].clone())
            .with_node_id(BrokerId(1))
            .with_host(text("h"))
            .with_port(1);
        FindCoordinatorResponse::default().with_coordinators(vec![found])
    }

    fn joined(&mut self, request: &JoinGroupRequest) -> JoinGroupResponse {
        self.join(request.protocols[0].metadata.clone());
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_leader(text("another"))
            .with_member_id(text("m"))
            .with_protocol_type(Some(request.protocol_type.clone()))
            .with_protocol_name(Some(request.protocols[0].name.clone()))
    }

    fn synced(&mut self, _: &SyncGroupRequest) -> SyncGroupResponse {
        let given = self.given.iter().map(|number| TopicPartition::new("t", *number));
        let assignment = Assignment { partitions: given.collect(), user_data: None };
        SyncGroupResponse::default().with_assignment(assignment.encode())
    }

    fn beaten(&mut self, _: &HeartbeatRequest) -> HeartbeatResponse {
        HeartbeatResponse::default().with_error_code(code(self.refuses_heartbeats))
    }

    fn left(&mut self, _: &LeaveGroupRequest) -> LeaveGroupResponse {
        self.said.push(Said::Leave(-1));
        LeaveGroupResponse::default()
    }

    fn beaten_modern(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        match request.member_epoch {
            0 => self.join(Bytes::new()),
            epoch @ ..0 => self.said.push(Said::Leave(epoch)),
            _ => {}
        }
        if let Some(refusal) = self.refuses_heartbeats {
            return ConsumerGroupHeartbeatResponse::default().with_error_code(refusal.code());
        }
        let topic = TopicPartitions::default().with_topic_id(TOPIC);
        let topic = topic.with_partitions(self.given.clone());
        ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(request.member_id.clone()))
            .with_member_epoch(self.generation)
            .with_heartbeat_interval_ms(200)
            .with_assignment(Some(Target::default().with_topic_partitions(vec![topic])))
    }

    fn committed(&mut self, request: &OffsetCommitRequest) -> OffsetCommitResponse {
        self.said.push(Said::Commit(request.generation_id_or_member_epoch));
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(self.refuses_commits))
            });
            let partitions = partitions.collect();
            OffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions)
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }
}
