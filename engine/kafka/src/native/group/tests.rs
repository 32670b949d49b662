//! Consumers in groups, on a real broker: `MILLRACE_TEST_BOOTSTRAP` names one. With
//! `MILLRACE_TEST_CONTAINER`, the name of a container with Kafka's tools, Java's consumers are
//! members too.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_protocol::messages::{DescribeGroupsRequest, GroupId};
use millrace_api::{ErrorKind, TopicPartition};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::native::brokers::Lane;
use crate::native::client::Client;
use crate::native::settings::ClientSettings;
use crate::native::{Dialing, admin};
use crate::{NewTopic, Properties};

#[path = "../../../tests/it/named.rs"]
mod named;
mod played;
mod rebalances;

use named::named;

/// A real broker takes seconds to let a group begin.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A name that no other test has, in this run or an earlier one.
pub(super) fn unique(name: &str) -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("groups-{name}-{now}-{count}")
}

fn properties(more: &[(&str, &str)]) -> Option<Properties> {
    let servers = named("MILLRACE_TEST_BOOTSTRAP")?;
    let mut properties = Properties::from([("bootstrap.servers".to_owned(), servers)]);
    properties.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Some(properties)
}

fn client(settings: ClientSettings) -> Arc<Client> {
    let dialer = Dialing::Tcp.dialer(&settings);
    Client::new(settings, dialer, Handle::current())
}

/// The client of a real broker, when there is one.
pub(super) fn real(more: &[(&str, &str)]) -> Option<Arc<Client>> {
    Some(client(ClientSettings::admin(&properties(more)?).unwrap()))
}

/// A test's topics and groups on a real broker.
struct Scene {
    admin: Arc<Client>,
    topic: String,
    group: String,
    protocol: Vec<(&'static str, &'static str)>,
}

impl Scene {
    async fn new(partitions: i32, protocol: &[(&'static str, &'static str)]) -> Option<Self> {
        let admin = real(&[])?;
        let scene = Self {
            admin,
            topic: unique("topic"),
            group: unique("group"),
            protocol: protocol.to_vec(),
        };
        scene.create(&scene.topic, partitions).await;
        Some(scene)
    }

    async fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(1),
            configs: BTreeMap::new(),
        };
        admin::create_topic(&self.admin, &topic).await.unwrap();
    }

    fn member(&self, more: &[(&str, &str)]) -> Reader {
        self.subscriber(&Subscription::Topics(vec![self.topic.clone()]), more)
    }

    fn subscriber(&self, subscription: &Subscription, more: &[(&str, &str)]) -> Reader {
        let mut all = vec![
            ("group.id", &*self.group),
            ("heartbeat.interval.ms", "200"),
            ("session.timeout.ms", "6000"),
            ("metadata.max.age.ms", "500"),
        ];
        all.extend(&self.protocol);
        all.extend(more);
        let settings = ConsumerSettings::new(&properties(&all).unwrap()).unwrap();
        let client = client(settings.client.clone());
        Reader::new(&client, &settings, subscription)
    }

    fn partitions(&self, count: i32) -> BTreeSet<TopicPartition> {
        (0..count).map(|p| TopicPartition::new(&*self.topic, p)).collect()
    }

    async fn delete(self) {
        admin::delete_topic(&self.admin, &self.topic).await.unwrap();
    }
}

/// A consumer that reads nothing.
struct Reader {
    group: GroupConsumer,
    owned: BTreeSet<TopicPartition>,
    events: Vec<GroupEvent>,
}

impl Reader {
    fn new(client: &Arc<Client>, settings: &ConsumerSettings, wanted: &Subscription) -> Self {
        let group = GroupConsumer::subscribe(client, settings, wanted).unwrap();
        Self { group, owned: BTreeSet::new(), events: Vec::new() }
    }

    /// One poll.
    async fn poll(&mut self) {
        let _polling = self.group.poll();
        let event = timeout(Duration::from_millis(20), self.group.next_event()).await;
        let Ok(event) = event else {
            return;
        };
        let event = event.expect("the group has its member");
        match &event {
            GroupEvent::Assigned(added) => {
                for tp in added {
                    assert!(self.owned.insert(tp.clone()), "{tp} was assigned twice");
                }
            }
            GroupEvent::Revoked(gone) | GroupEvent::Lost(gone) => {
                for tp in gone {
                    assert!(self.owned.remove(tp), "{tp} was not owned");
                }
            }
        }
        self.events.push(event);
    }

    fn has_given_up(&self) -> bool {
        self.events.iter().any(|event| !matches!(event, GroupEvent::Assigned(_)))
    }
}

/// Polls everybody until something holds.
async fn until(readers: &mut [&mut Reader], holds: impl Fn(&[&mut Reader]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(readers) {
        assert!(Instant::now() < deadline, "{:?}", owned(readers));
        for reader in readers.iter_mut() {
            reader.poll().await;
        }
    }
}

fn owned(readers: &[&mut Reader]) -> Vec<BTreeSet<TopicPartition>> {
    readers.iter().map(|reader| reader.owned.clone()).collect()
}

/// Whether all partitions are owned, each once, and nobody has two more than another.
fn is_shared(readers: &[&mut Reader], all: &BTreeSet<TopicPartition>) -> bool {
    let counts = readers.iter().map(|reader| reader.owned.len());
    let union: BTreeSet<_> = readers.iter().flat_map(|reader| reader.owned.clone()).collect();
    counts.clone().sum::<usize>() == all.len()
        && union == *all
        && counts.clone().max().unwrap() - counts.min().unwrap() <= 1
}

const ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

async fn come_and_go(protocol: &[(&'static str, &'static str)], keeps: bool) {
    let Some(scene) = Scene::new(6, protocol).await else {
        return;
    };
    let all = scene.partitions(6);
    let mut a = scene.member(&[]);
    until(&mut [&mut a], |readers| is_shared(readers, &all)).await;
    let mut b = scene.member(&[]);
    until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
    if keeps {
        let revoked: usize = a
            .events
            .iter()
            .map(|event| match event {
                GroupEvent::Revoked(gone) => gone.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(revoked, 3, "only what moves is revoked: {:?}", a.events);
    }
    let mut c = scene.member(&[]);
    until(&mut [&mut a, &mut b, &mut c], |readers| is_shared(readers, &all)).await;
    a.group.leave().await;
    until(&mut [&mut b, &mut c], |readers| is_shared(readers, &all)).await;
    b.group.leave().await;
    until(&mut [&mut c], |readers| is_shared(readers, &all)).await;
    c.group.leave().await;
    scene.delete().await;
}

#[tokio::test]
async fn members_come_and_go_with_every_assignor() {
    for assignor in ASSIGNORS {
        let protocol = [("partition.assignment.strategy", assignor)];
        come_and_go(&protocol, assignor == "cooperative-sticky").await;
    }
}

#[tokio::test]
async fn members_come_and_go_in_a_group_that_its_coordinator_assigns() {
    come_and_go(&[("group.protocol", "consumer")], true).await;
}

fn offsets(scene: &Scene, offset: i64) -> BTreeMap<TopicPartition, CommittedOffset> {
    let committed = CommittedOffset { offset, leader_epoch: 0 };
    BTreeMap::from([(TopicPartition::new(&*scene.topic, 0), committed)])
}

#[tokio::test]
async fn members_commit_and_others_do_not() {
    for protocol in [("group.protocol", "classic"), ("group.protocol", "consumer")] {
        let Some(scene) = Scene::new(1, &[protocol]).await else {
            return;
        };
        let all = scene.partitions(1);
        let mut a = scene.member(&[]);
        until(&mut [&mut a], |readers| is_shared(readers, &all)).await;
        let partitions: Vec<_> = all.iter().cloned().collect();
        assert!(a.group.committed(&partitions).await.unwrap().is_empty());
        a.group.commit(&offsets(&scene, 7)).await.unwrap();
        assert_eq!(a.group.committed(&partitions).await.unwrap(), offsets(&scene, 7));
        // From outside only a group without members takes offsets.
        let coordinator = Coordinator::new(scene.admin.clone(), &*scene.group);
        let outside = || commit_from_outside(&coordinator, &scene);
        assert_eq!(outside().await.unwrap_err().kind(), ErrorKind::Conflict);
        a.group.leave().await;
        outside().await.unwrap();
        let outsider = || Identity::outsider(None);
        let read = committed(&coordinator, outsider, &partitions).await.unwrap();
        assert_eq!(read, offsets(&scene, 9));
        scene.delete().await;
    }
}

async fn commit_from_outside(coordinator: &Coordinator, scene: &Scene) -> Result<()> {
    commit(coordinator, || Identity::outsider(None), &offsets(scene, 9)).await
}

#[tokio::test]
async fn revoked_partitions_can_be_committed_until_the_next_poll() {
    for assignor in ["range", "cooperative-sticky"] {
        let strategy = ("partition.assignment.strategy", assignor);
        let Some(scene) = Scene::new(2, &[strategy]).await else {
            return;
        };
        let all = scene.partitions(2);
        let mut a = scene.member(&[]);
        until(&mut [&mut a], |readers| is_shared(readers, &all)).await;
        let mut b = scene.member(&[]);
        until(&mut [&mut a, &mut b], |readers| readers[0].has_given_up()).await;
        // A flush that takes two seconds, while the group waits.
        for _ in 0..100 {
            b.poll().await;
        }
        assert!(b.owned.is_disjoint(&all.difference(&a.owned).cloned().collect()));
        a.group.commit(&offsets(&scene, 3)).await.unwrap();
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        scene.delete().await;
    }
}

#[tokio::test]
async fn who_does_not_poll_loses_its_partitions_and_gets_some_again() {
    for protocol in [("group.protocol", "classic"), ("group.protocol", "consumer")] {
        let Some(scene) = Scene::new(4, &[protocol]).await else {
            return;
        };
        let all = scene.partitions(4);
        let mut a = scene.member(&[("max.poll.interval.ms", "2000")]);
        let mut b = scene.member(&[]);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        until(&mut [&mut b], |readers| is_shared(readers, &all)).await;
        let error = a.group.commit(&offsets(&scene, 3)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        assert!(a.events.iter().any(|event| matches!(event, GroupEvent::Lost(_))));
        scene.delete().await;
    }
}

#[tokio::test]
async fn a_static_member_comes_back_to_its_partitions_unnoticed() {
    for protocol in [("group.protocol", "classic"), ("group.protocol", "consumer")] {
        let Some(scene) = Scene::new(4, &[protocol]).await else {
            return;
        };
        let all = scene.partitions(4);
        let mut a = scene.member(&[("group.instance.id", "a")]);
        let mut b = scene.member(&[("group.instance.id", "b")]);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        let (had, noticed) = (a.owned.clone(), b.events.len());
        a.group.leave().await;
        let mut a = scene.member(&[("group.instance.id", "a")]);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        assert_eq!(a.owned, had);
        assert_eq!(b.events.len(), noticed, "{:?}", b.events);
        scene.delete().await;
    }
}

#[tokio::test]
async fn topics_that_match_are_read_once_they_exist() {
    for protocol in [("group.protocol", "classic"), ("group.protocol", "consumer")] {
        let Some(scene) = Scene::new(2, &[protocol]).await else {
            return;
        };
        let pattern = Subscription::Pattern(format!("{}.*", scene.topic));
        let mut a = scene.subscriber(&pattern, &[]);
        let mut b = scene.subscriber(&pattern, &[]);
        let mut all = scene.partitions(2);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        let another = format!("{}-more", scene.topic);
        scene.create(&another, 2).await;
        all.extend((0..2).map(|p| TopicPartition::new(&*another, p)));
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        admin::delete_topic(&scene.admin, &another).await.unwrap();
        all.retain(|tp| *tp.topic != *another);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        scene.delete().await;
    }
}

#[tokio::test]
async fn a_topic_that_is_missing_is_read_once_it_exists() {
    for protocol in [("group.protocol", "classic"), ("group.protocol", "consumer")] {
        let Some(scene) = Scene::new(1, &[protocol]).await else {
            return;
        };
        let later = format!("{}-later", scene.topic);
        let topics = Subscription::Topics(vec![later.clone()]);
        let mut a = scene.subscriber(&topics, &[("allow.auto.create.topics", "false")]);
        let began = Instant::now();
        until(&mut [&mut a], |_| began.elapsed() > Duration::from_secs(2)).await;
        assert!(a.events.is_empty());
        scene.create(&later, 3).await;
        let all = (0..3).map(|p| TopicPartition::new(&*later, p)).collect();
        until(&mut [&mut a], |readers| is_shared(readers, &all)).await;
        admin::delete_topic(&scene.admin, &later).await.unwrap();
        scene.delete().await;
    }
}

/// Java's console consumer as a member, until it is dropped.
struct Java {
    process: Child,
    container: String,
    marker: String,
}

impl Java {
    fn new(scene: &Scene) -> Option<Self> {
        let container = named("MILLRACE_TEST_CONTAINER")?;
        let servers = named("MILLRACE_TEST_BOOTSTRAP")?;
        let marker = unique("java");
        let mut command = Command::new("docker");
        command.args(["exec", &container, "/opt/kafka/bin/kafka-tool", "console-consumer"]);
        command.args(["--bootstrap-server", &servers, "--topic", &scene.topic]);
        command.args(["--group", &scene.group]);
        command.args(["--consumer-property", &format!("client.id={marker}")]);
        if !scene.protocol.contains(&("group.protocol", "consumer")) {
            command.args(["--consumer-property", "heartbeat.interval.ms=300"]);
            command.args(["--consumer-property", "session.timeout.ms=6000"]);
        }
        command.args(["--consumer-property", "metadata.max.age.ms=1000"]);
        for (key, value) in &scene.protocol {
            let value = match *value {
                "range" => "org.apache.kafka.clients.consumer.RangeAssignor",
                "roundrobin" => "org.apache.kafka.clients.consumer.RoundRobinAssignor",
                "sticky" => "org.apache.kafka.clients.consumer.StickyAssignor",
                "cooperative-sticky" => {
                    "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
                }
                other => other,
            };
            command.args(["--consumer-property", &format!("{key}={value}")]);
        }
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(Self { process, container, marker })
    }
}

impl Drop for Java {
    /// Who runs `docker exec` passes no signals on.
    fn drop(&mut self) {
        let kill = format!(
            "for file in $(grep -la client.id={} /proc/[0-9]*/cmdline); do \
             pid=${{file#/proc/}}; pid=${{pid%/cmdline}}; [ $pid = $$ ] || kill $pid; done",
            self.marker
        );
        let mut kill_it = Command::new("docker");
        let _ = kill_it.args(["exec", &self.container, "bash", "-c", &kill]).output();
        let _ = self.process.wait();
    }
}

/// Waits until the group has so many members and is at rest.
async fn until_members(scene: &Scene, count: usize) {
    let coordinator = Coordinator::new(scene.admin.clone(), &*scene.group);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let groups = vec![GroupId(text(&scene.group))];
        let request = DescribeGroupsRequest::default().with_groups(groups);
        let longest = Duration::from_secs(5);
        let answer = coordinator.call(Lane::Control, longest, |_| request).await;
        let is_there = answer.is_ok_and(|answer| {
            let group = &answer.groups[0];
            group.members.len() == count && group.group_state.as_str() == "Stable"
        });
        if is_there {
            return;
        }
        assert!(Instant::now() < deadline, "the group has not {count} members");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whether each of these has its share beside so many others.
fn is_shared_with_others(readers: &[&mut Reader], each: usize) -> bool {
    let union: BTreeSet<_> = readers.iter().flat_map(|reader| reader.owned.clone()).collect();
    readers.iter().all(|reader| reader.owned.len() == each) && union.len() == each * readers.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn java_leads_and_is_followed_by_us_with_every_assignor() {
    for assignor in ASSIGNORS {
        let strategy = ("partition.assignment.strategy", assignor);
        let Some(scene) = Scene::new(6, &[strategy]).await else {
            return;
        };
        let Some(java) = Java::new(&scene) else {
            return;
        };
        until_members(&scene, 1).await;
        let all = scene.partitions(6);
        let mut a = scene.member(&[]);
        until(&mut [&mut a], |readers| is_shared_with_others(readers, 3)).await;
        let mut b = scene.member(&[]);
        until(&mut [&mut a, &mut b], |readers| is_shared_with_others(readers, 2)).await;
        let (of_a, of_b) = (a.owned.clone(), b.owned.clone());
        drop(java);
        until(&mut [&mut a, &mut b], |readers| is_shared(readers, &all)).await;
        if assignor.contains("sticky") {
            // What Java assigned stays: the new leader thinks the same.
            assert!(of_a.is_subset(&a.owned) && of_b.is_subset(&b.owned), "{assignor}");
        }
        a.group.leave().await;
        b.group.leave().await;
        scene.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn we_lead_and_java_follows_with_every_assignor() {
    for assignor in ASSIGNORS {
        let strategy = ("partition.assignment.strategy", assignor);
        let Some(scene) = Scene::new(6, &[strategy]).await else {
            return;
        };
        let all = scene.partitions(6);
        let mut a = scene.member(&[]);
        until(&mut [&mut a], |readers| is_shared(readers, &all)).await;
        let Some(java) = Java::new(&scene) else {
            return;
        };
        until(&mut [&mut a], |readers| is_shared_with_others(readers, 3)).await;
        let mut b = scene.member(&[]);
        until(&mut [&mut a, &mut b], |readers| is_shared_with_others(readers, 2)).await;
        let of_b = b.owned.clone();
        a.group.leave().await;
        until(&mut [&mut b], |readers| is_shared_with_others(readers, 3)).await;
        if assignor.contains("sticky") {
            // Whoever leads now, Java or we, takes nothing away.
            assert!(of_b.is_subset(&b.owned), "{assignor}");
        }
        drop(java);
        until(&mut [&mut b], |readers| is_shared(readers, &all)).await;
        b.group.leave().await;
        scene.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn java_and_we_are_in_one_group_that_its_coordinator_assigns() {
    let Some(scene) = Scene::new(6, &[("group.protocol", "consumer")]).await else {
        return;
    };
    let Some(java) = Java::new(&scene) else {
        return;
    };
    let all = scene.partitions(6);
    let mut a = scene.member(&[]);
    until(&mut [&mut a], |readers| is_shared_with_others(readers, 3)).await;
    drop(java);
    until(&mut [&mut a], |readers| is_shared(readers, &all)).await;
    a.group.leave().await;
    scene.delete().await;
}
