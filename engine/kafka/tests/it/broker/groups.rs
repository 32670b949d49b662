//! Groups: librdkafka's consumers, and members of another protocol type that say what they want.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::{Instant, sleep};

use super::Broker;
use super::plain::{config, flush, sender};
use super::wire::{Wire, text};
use crate::fixture::{PATIENCE, POLL, unique};

pub(super) async fn two_members_share_a_topic(broker: &Broker) {
    const COUNT: usize = 2_000;
    let (topic, group) = (broker.topic("shared", 4).await, unique("share"));
    let producer = sender(&config(broker));
    for n in 0..COUNT {
        let record = BaseRecord::<str, str>::to(&topic).payload("x").partition(n as i32 % 4);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    flush(producer).await.unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let join = |_| {
        let mut config = config(broker);
        config.set("group.id", &group).set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "false").set("session.timeout.ms", "10000");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[&topic]).unwrap();
        let read = read.clone();
        tokio::task::spawn_blocking(move || member(&consumer, &read, COUNT))
    };
    let members: Vec<_> = (0..2).map(join).collect();
    let mut partitions = 0;
    for member in members {
        partitions += member.await.unwrap();
    }
    assert_eq!(partitions, 4, "each partition has one member");
    assert!(read.load(Ordering::SeqCst) >= COUNT);
    let consumer: BaseConsumer = config(broker).set("group.id", &group).create().unwrap();
    let committed = tokio::task::spawn_blocking(move || {
        let mut all = TopicPartitionList::new();
        all.add_partition_range(&topic, 0, 3);
        consumer.committed_offsets(all, PATIENCE).unwrap()
    });
    for partition in committed.await.unwrap().elements() {
        assert_eq!(partition.offset(), Offset::Offset(COUNT as i64 / 4));
    }
}

/// Reads until all is read by somebody, and both have partitions; commits at the end.
fn member(consumer: &BaseConsumer, read: &AtomicUsize, count: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let assigned = consumer.assignment().unwrap().count();
        if read.load(Ordering::SeqCst) >= count && assigned == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "the group does not get there");
        match consumer.poll(POLL) {
            Some(Ok(_)) => drop(read.fetch_add(1, Ordering::SeqCst)),
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    // What the other reads now is at the end too.
    let assigned = consumer.assignment().unwrap();
    let mut ends = TopicPartitionList::new();
    for partition in assigned.elements() {
        let (topic, partition) = (partition.topic(), partition.partition());
        ends.add_partition_offset(topic, partition, Offset::Offset(count as i64 / 4)).unwrap();
    }
    consumer.commit(&ends, CommitMode::Sync).unwrap();
    assigned.count()
}

const PROTOCOLS: [(&str, &str); 3] = [("sessioned", "v2"), ("compatible", "v1"), ("default", "v0")];

/// A new broker makes its coordinators when somebody asks for one.
async fn wait_for_coordinator(wire: &mut Wire, group: &str) {
    let find = FindCoordinatorRequest::default().with_key(text(group));
    let describe = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
    let coming = [
        ResponseError::CoordinatorLoadInProgress,
        ResponseError::CoordinatorNotAvailable,
        ResponseError::NotCoordinator,
    ];
    let deadline = Instant::now() + PATIENCE;
    loop {
        wire.call_as(&find, 3).await;
        let code = wire.call(&describe).await.groups[0].error_code;
        if coming.iter().all(|error| error.code() != code) {
            return;
        }
        assert!(Instant::now() < deadline, "{group} has no coordinator");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A member of a group as Connect's workers form it.
struct Worker {
    wire: Wire,
    group: GroupId,
    id: StrBytes,
    instance: Option<StrBytes>,
    generation: i32,
    protocols: Vec<(&'static str, &'static str)>,
}

impl Worker {
    async fn new(broker: &Broker, group: &str) -> Self {
        let mut wire = Wire::connect(&broker.bootstrap).await;
        wait_for_coordinator(&mut wire, group).await;
        Self {
            wire,
            group: GroupId(text(group)),
            id: StrBytes::new(),
            instance: None,
            generation: -1,
            protocols: PROTOCOLS.to_vec(),
        }
    }

    fn request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::from_static(metadata.as_bytes()))
        });
        JoinGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_session_timeout_ms(6_000)
            .with_rebalance_timeout_ms(6_000)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(text("connect"))
            .with_protocols(protocols.collect())
    }

    /// Joins; a new member is first told its id (KIP-394).
    async fn join(&mut self) -> JoinGroupResponse {
        let mut answer = self.wire.call(&self.request()).await;
        if self.id.is_empty() && self.instance.is_none() {
            assert_eq!(answer.error_code, ResponseError::MemberIdRequired.code());
            self.id = answer.member_id.clone();
            answer = self.wire.call(&self.request()).await;
        }
        if answer.error_code == 0 {
            self.id = answer.member_id.clone();
            self.generation = answer.generation_id;
        }
        answer
    }

    async fn sync(&mut self, assignments: &[(&StrBytes, &str)]) -> SyncGroupResponse {
        let assignments = assignments.iter().map(|(id, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id((*id).clone())
                .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some(text("connect")))
            .with_protocol_name(Some(text("sessioned")))
            .with_assignments(assignments.collect());
        self.wire.call(&request).await
    }

    async fn heartbeat(&mut self, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        self.wire.call(&request).await.error_code
    }

    /// Heartbeats until this comes back.
    async fn hears(&mut self, expected: ResponseError) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let code = self.heartbeat(self.generation).await;
            if code == expected.code() {
                return;
            }
            assert_eq!(code, 0);
            assert!(Instant::now() < deadline, "{expected:?} does not come");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn leave(&mut self) -> i16 {
        let member = MemberIdentity::default().with_member_id(self.id.clone());
        let request = LeaveGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_members(vec![member]);
        self.wire.call(&request).await.error_code
    }

    async fn state(&mut self) -> (String, String, usize) {
        let request = DescribeGroupsRequest::default().with_groups(vec![self.group.clone()]);
        let answer = self.wire.call(&request).await;
        let group = &answer.groups[0];
        (group.group_state.to_string(), group.protocol_data.to_string(), group.members.len())
    }
}

/// The first worker of a group leads it and assigns to itself.
async fn alone_in(broker: &Broker, group: &str) -> Worker {
    let mut worker = Worker::new(broker, group).await;
    let joined = worker.join().await;
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
    assert_eq!((&joined.leader, &joined.protocol_name), (&worker.id, &Some(text("sessioned"))));
    let id = worker.id.clone();
    assert_eq!(&worker.sync(&[(&id, "first")]).await.assignment[..], b"first");
    assert_eq!(worker.state().await, ("Stable".to_owned(), "sessioned".to_owned(), 1));
    worker
}

pub(super) async fn a_group_of_type_connect_goes_through_its_generations(broker: &Broker) {
    let group = unique("workers");
    let mut a = alone_in(broker, &group).await;
    let mut b = Worker::new(broker, &group).await;
    let old = a.generation;

    // While the second joins, the first is told to join again.
    let joining = tokio::spawn(async move {
        let joined = b.join().await;
        (b, joined)
    });
    a.hears(ResponseError::RebalanceInProgress).await;
    let joined_a = a.join().await;
    let (mut b, joined_b) = joining.await.unwrap();
    assert_eq!((joined_a.error_code, joined_b.error_code), (0, 0));
    assert!(a.generation > old && a.generation == b.generation);
    assert_eq!((&joined_a.leader, joined_a.members.len()), (&a.id, 2));
    assert!(joined_b.members.is_empty(), "only the leader needs to know");

    // The follower asks first, and waits for the leader.
    let (id_a, id_b) = (a.id.clone(), b.id.clone());
    let syncing = tokio::spawn(async move {
        let synced = b.sync(&[]).await;
        (b, synced)
    });
    sleep(Duration::from_millis(100)).await;
    let synced = a.sync(&[(&id_a, "for a"), (&id_b, "for b")]).await;
    let (mut b, synced_b) = syncing.await.unwrap();
    assert_eq!((&synced.assignment[..], &synced_b.assignment[..]), (&b"for a"[..], &b"for b"[..]));
    assert_eq!(a.heartbeat(old).await, ResponseError::IllegalGeneration.code());
    assert_eq!(a.heartbeat(a.generation).await, 0);

    assert_eq!(b.leave().await, 0);
    a.hears(ResponseError::RebalanceInProgress).await;
    assert_eq!(a.join().await.members.len(), 1);
    assert_eq!(a.leave().await, 0);
    assert_eq!(a.heartbeat(a.generation).await, ResponseError::UnknownMemberId.code());
    assert_eq!(a.state().await, ("Empty".to_owned(), String::new(), 0));
}

pub(super) async fn who_speaks_nothing_of_what_the_others_do_stays_out(broker: &Broker) {
    let group = unique("strangers");
    let mut a = Worker::new(broker, &group).await;
    assert_eq!(a.join().await.error_code, 0);
    let mut stranger = Worker::new(broker, &group).await;
    stranger.protocols = vec![("other", "x")];
    let refused = stranger.wire.call(&stranger.request()).await;
    assert_eq!(refused.error_code, ResponseError::InconsistentGroupProtocol.code());
}

pub(super) async fn a_member_that_is_silent_is_put_out(broker: &Broker) {
    let group = unique("silent");
    let mut a = Worker::new(broker, &group).await;
    a.join().await;
    let id = a.id.clone();
    a.sync(&[(&id, "x")]).await;
    let deadline = Instant::now() + PATIENCE;
    // Describing a group is no sign of life of its members.
    while a.state().await.2 == 1 {
        assert!(Instant::now() < deadline, "the member stays though its session is over");
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(a.heartbeat(a.generation).await, ResponseError::UnknownMemberId.code());
}

pub(super) async fn a_static_member_comes_back_without_a_rebalance(broker: &Broker) {
    let group = unique("static");
    let mut a = Worker::new(broker, &group).await;
    a.instance = Some(text("one"));
    assert_eq!(a.join().await.error_code, 0);
    let (id, generation) = (a.id.clone(), a.generation);
    a.sync(&[(&id, "mine")]).await;
    let mut again = Worker::new(broker, &group).await;
    again.instance = Some(text("one"));
    let joined = again.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, generation));
    assert_ne!(again.id, id);
    assert!(joined.skip_assignment);
    assert_eq!(&again.sync(&[]).await.assignment[..], b"mine");
    assert_eq!(a.heartbeat(generation).await, ResponseError::FencedInstanceId.code());
    assert_eq!(again.heartbeat(generation).await, 0);
}
