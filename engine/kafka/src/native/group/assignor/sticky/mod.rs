//! Decides as Java's `StickyAssignor`: everybody gets as many partitions as the others, and
//! partitions stay where they are as far as that allows.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Buf;
use millrace_api::TopicPartition;

use super::Group;
use crate::native::group::consumer_protocol::{StickyUserData, Subscription};

mod mixed;
mod uniform;

pub(super) fn assign(group: &Group<'_>) -> Vec<Vec<usize>> {
    let held = group.members.iter().map(|member| Held::eager(&member.subscription));
    plan(group, &held.collect::<Vec<_>>()).assigned
}

/// What a member says to have had.
pub(super) struct Held<'a> {
    partitions: Cow<'a, [TopicPartition]>,
    generation: Option<i32>,
}

impl<'a> Held<'a> {
    /// Members that give up everything before they join say it in their assignor's data.
    fn eager(subscription: &Subscription) -> Self {
        let data = subscription.user_data.clone().filter(|data| !data.is_empty());
        let data = data.map(StickyUserData::decode);
        match data {
            None => Self { partitions: Cow::default(), generation: None },
            Some(Ok(data)) => {
                Self { partitions: data.partitions.into(), generation: data.generation }
            }
            // What cannot be read counts for nothing, as in Java.
            Some(Err(_)) => Self { partitions: Cow::default(), generation: Some(-1) },
        }
    }

    pub(super) fn cooperative(subscription: &'a Subscription) -> Self {
        let from_data = || {
            let mut data = subscription.user_data.as_deref()?;
            Some(data.try_get_i32().unwrap_or(-1))
        };
        Self {
            partitions: Cow::Borrowed(&subscription.owned),
            generation: subscription.generation.or_else(from_data),
        }
    }
}

/// Who gets what, and what of it somebody else has at this moment.
pub(super) struct Plan {
    pub(super) assigned: Vec<Vec<usize>>,
    pub(super) moving: BTreeSet<usize>,
}

pub(super) fn plan(group: &Group<'_>, held: &[Held<'_>]) -> Plan {
    let claims = Claims::new(group, held);
    let racks = Racks::new(group);
    if is_uniform(group) {
        uniform::plan(group, &racks, &claims)
    } else {
        mixed::plan(group, &racks, &claims, held)
    }
}

/// Whether all subscribe to the same topics. (Java takes a group for uniform as well where the
/// first member subscribes to nothing, and assigns it partitions that it then refuses.)
fn is_uniform(group: &Group<'_>) -> bool {
    let mut topics = group.members.iter().map(|member| {
        member.subscription.topics.iter().map(|topic| &**topic).collect::<BTreeSet<_>>()
    });
    let first = topics.next();
    topics.all(|topics| Some(topics) == first)
}

/// What members had of the partitions that still exist.
struct Claims {
    /// Of each member, in the order in which it said so; no partition twice.
    owned: Vec<Vec<usize>>,
    /// Claimed by several in the same generation.
    disputed: BTreeSet<usize>,
}

impl Claims {
    /// Of two claims to a partition that of the newer generation counts, of two in the same
    /// generation none.
    fn new(group: &Group<'_>, held: &[Held<'_>]) -> Self {
        let mut owned: Vec<Vec<usize>> = vec![Vec::new(); held.len()];
        let mut disputed = BTreeSet::new();
        let mut owners: BTreeMap<usize, usize> = BTreeMap::new();
        for (member, Held { partitions, generation }) in held.iter().enumerate() {
            let generation = generation.unwrap_or(-1);
            for partition in partitions.iter().filter_map(|tp| group.index_of(tp)) {
                if let Some(other) = owners.get(&partition).copied() {
                    // Java asks the subscription here, whatever the assignor's data say.
                    let of_other = group.members[other].subscription.generation.unwrap_or(-1);
                    if generation < of_other {
                        continue;
                    }
                    owned[other].retain(|owned| *owned != partition);
                    owners.insert(partition, member);
                    if generation == of_other {
                        disputed.insert(partition);
                        continue;
                    }
                }
                owners.insert(partition, member);
                owned[member].push(partition);
            }
        }
        Self { owned, disputed }
    }
}

/// Which partitions are far from which members.
struct Racks<'a> {
    group: &'a Group<'a>,
    /// The rack of each member, where racks matter.
    of_members: Vec<Option<&'a str>>,
}

impl<'a> Racks<'a> {
    fn new(group: &'a Group<'a>) -> Self {
        let everybody: Vec<_> = (0..group.members.len()).collect();
        let matter = group.racks_matter(&everybody, 0..group.partitions.len());
        let rack = |member: &&'a super::Member| member.rack().filter(|_| matter);
        Self { group, of_members: group.members.iter().map(rack).collect() }
    }

    fn matter(&self) -> bool {
        self.of_members.iter().any(Option::is_some)
    }

    /// Whether the member has a rack without a replica of the partition.
    fn is_far(&self, member: usize, partition: usize) -> bool {
        self.of_members[member].is_some_and(|rack| !self.group.is_in_rack(rack, partition))
    }

    /// Whether the member has a rack with a replica of the partition.
    fn is_near(&self, member: usize, partition: usize) -> bool {
        self.of_members[member].is_some_and(|rack| self.group.is_in_rack(rack, partition))
    }

    /// How many members are near to a partition.
    fn neighbours(&self, partition: usize) -> usize {
        (0..self.of_members.len()).filter(|member| self.is_near(*member, partition)).count()
    }
}
