//! Decides who of a group reads which partitions, by the rules of Java's assignors.
//!
//! A group elects any of its members to assign for all, and the next rebalance may elect another.
//! Where that one assigned differently, partitions would move for nothing. So the results here are
//! those of kafka-clients, which `java/Assignments.java` recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use millrace_api::TopicPartition;

use super::consumer_protocol::{StickyUserData, Subscription};

mod cooperative_sticky;
mod java_order;
mod range;
mod round_robin;
mod sticky;

/// The topics of a cluster: of each partition, from 0, the racks of its replicas.
pub(crate) type Topics = BTreeMap<Arc<str>, Vec<Vec<Arc<str>>>>;

/// A member as the leader hears of it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The member's id, given by the coordinator.
    pub(crate) id: Arc<str>,
    /// `group.instance.id`.
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) subscription: Subscription,
}

impl Member {
    fn rack(&self) -> Option<&str> {
        self.subscription.rack.as_deref().filter(|rack| !rack.is_empty())
    }
}

/// One of Java's `partition.assignment.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assignor {
    Range,
    RoundRobin,
    Sticky,
    CooperativeSticky,
}

impl Assignor {
    const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// The name under which members offer it in JoinGroup.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Whether members may keep what they own over a rebalance (KIP-429).
    pub(crate) fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// What a member adds to its subscription so that it may keep what the last assignment, of
    /// this generation, gave it. None where nothing was assigned yet, or nothing is to be added.
    pub(crate) fn user_data(self, last: Option<(&[TopicPartition], i32)>) -> Option<Bytes> {
        match self {
            Self::Range | Self::RoundRobin => None,
            Self::Sticky => last.map(|(partitions, generation)| {
                let generation = Some(generation);
                StickyUserData { partitions: partitions.to_vec(), generation }.encode()
            }),
            Self::CooperativeSticky => {
                let mut out = BytesMut::new();
                out.put_i32(last.map_or(-1, |(_, generation)| generation));
                Some(out.freeze())
            }
        }
    }

    /// The partitions of each member, in the order of `members` and sorted. Topics that are not
    /// in `topics` are left out.
    ///
    /// `members` come in the order of the coordinator's answer: where a choice is free, Java
    /// decides by the order of a hash map, which depends on it.
    pub(crate) fn assign(self, topics: &Topics, members: &[Member]) -> Vec<Vec<TopicPartition>> {
        if members.is_empty() {
            return Vec::new();
        }
        let ids = members.iter().map(|member| &*member.id);
        let order = java_order::of_map(ids.map(java_order::hash));
        let group = Group::new(topics, order.iter().map(|i| &members[*i]).collect());
        let assigned = match self {
            Self::Range => range::assign(&group),
            Self::RoundRobin => round_robin::assign(&group),
            Self::Sticky => sticky::assign(&group),
            Self::CooperativeSticky => cooperative_sticky::assign(&group),
        };
        let mut result = vec![Vec::new(); members.len()];
        for (i, mut partitions) in order.into_iter().zip(assigned) {
            partitions.sort_unstable();
            result[i] = partitions.into_iter().map(|p| group.topic_partition(p)).collect();
        }
        result
    }
}

/// What is to be assigned to whom. Members, topics and partitions go by their index here.
struct Group<'a> {
    members: Vec<&'a Member>,
    /// Those that anybody subscribed to and that have partitions, by name.
    topics: Vec<Topic<'a>>,
    /// The topic of each partition, by topic and number.
    partitions: Vec<usize>,
}

struct Topic<'a> {
    name: &'a Arc<str>,
    /// Its partitions in [`Group::partitions`].
    partitions: Range<usize>,
    /// Who subscribed to it, in the order of [`Group::members`].
    subscribers: Vec<usize>,
    racks: &'a [Vec<Arc<str>>],
}

impl<'a> Group<'a> {
    fn new(known: &'a Topics, members: Vec<&'a Member>) -> Self {
        let mut subscribers: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
        for (i, member) in members.iter().enumerate() {
            for topic in &member.subscription.topics {
                let subscribers = subscribers.entry(topic).or_default();
                if subscribers.last() != Some(&i) {
                    subscribers.push(i);
                }
            }
        }
        let mut topics = Vec::new();
        let mut partitions = Vec::new();
        for (name, subscribers) in subscribers {
            let Some((name, racks)) = known.get_key_value(name).filter(|(_, r)| !r.is_empty())
            else {
                continue;
            };
            let range = partitions.len()..partitions.len() + racks.len();
            partitions.extend(range.clone().map(|_| topics.len()));
            topics.push(Topic { name, partitions: range, subscribers, racks });
        }
        Self { members, topics, partitions }
    }

    fn topic_of(&self, partition: usize) -> &Topic<'a> {
        &self.topics[self.partitions[partition]]
    }

    fn topic_partition(&self, partition: usize) -> TopicPartition {
        let topic = self.topic_of(partition);
        let number = i32::try_from(partition - topic.partitions.start)
            .expect("Kafka numbers partitions with 32 bits");
        TopicPartition::new(topic.name.clone(), number)
    }

    /// None for what is not in the cluster any more, or nobody subscribes to.
    fn index_of(&self, tp: &TopicPartition) -> Option<usize> {
        let topic = self.topics.binary_search_by(|topic| topic.name.cmp(&tp.topic)).ok()?;
        let range = &self.topics[topic].partitions;
        let index = range.start + usize::try_from(tp.partition).ok()?;
        range.contains(&index).then_some(index)
    }

    fn is_subscribed(&self, member: usize, topic: usize) -> bool {
        self.topics[topic].subscribers.binary_search(&member).is_ok()
    }

    fn racks(&self, partition: usize) -> &'a [Arc<str>] {
        let topic = self.topic_of(partition);
        &topic.racks[partition - topic.partitions.start]
    }

    fn is_in_rack(&self, rack: &str, partition: usize) -> bool {
        self.racks(partition).iter().any(|of_replica| &**of_replica == rack)
    }

    /// Whether racks make a difference: members have some, partitions have replicas there, and not
    /// every partition has replicas in all of them (KIP-881).
    fn racks_matter(&self, members: &[usize], partitions: Range<usize>) -> bool {
        let racks = members.iter().filter_map(|member| self.members[*member].rack());
        let racks: BTreeSet<_> = racks.collect();
        if racks.is_empty() {
            return false;
        }
        let all = self.rack_set(partitions.clone());
        racks.iter().any(|rack| all.contains(rack))
            && partitions.into_iter().any(|p| self.rack_set(p..p + 1) != all)
    }

    fn rack_set(&self, partitions: Range<usize>) -> Vec<&'a str> {
        let mut racks: Vec<_> = partitions.flat_map(|p| self.racks(p)).map(|r| &**r).collect();
        racks.sort_unstable();
        racks.dedup();
        racks
    }

    /// Members as range and round-robin line them up: those with an instance id first, by that,
    /// since their ids change with each restart; the others by id.
    fn line_up(&self, members: &mut [usize]) {
        members.sort_by(|a, b| {
            let [a, b] = [self.members[*a], self.members[*b]];
            match (&a.instance, &b.instance) {
                (Some(a), Some(b)) => java_order::compare(a, b),
                (None, None) => java_order::compare(&a.id, &b.id),
                (a, b) => a.is_none().cmp(&b.is_none()),
            }
        });
    }
}

#[cfg(test)]
mod tests;
