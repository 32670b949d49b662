//! Decides which member of a consumer group reads which partition, and who may commit.
//!
//! Everything here is a synchronous function of its inputs; time is one of them. A partition that
//! moves is taken from its owner first: the owner hears that it is revoked, and has it until its
//! next poll. A member that does not poll for `max.poll.interval.ms` is put out of the group; what
//! it had goes to others, and its commits are refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::matcher::Matcher;

/// Names a member. A member that was put out joins again under another number, so that whatever it
/// does under the old one is refused; Kafka's generation has the same effect.
pub(super) type MemberId = u64;

/// All groups of a cluster.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<Arc<str>, Group>,
    topics: BTreeMap<Arc<str>, i32>,
    last_member: MemberId,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<MemberId, Member>,
    owners: BTreeMap<TopicPartition, MemberId>,
}

/// What a consumer brings when it joins.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) matcher: Matcher,
    pub(super) max_poll_interval: Duration,
    /// Told when a poll has something to do.
    pub(super) wake: Arc<Notify>,
}

#[derive(Debug)]
struct Member {
    joining: Joining,
    /// What it is to have.
    target: BTreeSet<TopicPartition>,
    /// What it was told to give up, and gives up with its next poll.
    revoking: Vec<TopicPartition>,
    /// What it had of topics that are deleted.
    lost: Vec<TopicPartition>,
    /// It has what it is to have: nothing to compare until the next change.
    is_settled: bool,
    is_polling: bool,
    last_poll: Instant,
}

/// What a member's poll has to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    /// The member was put out; all it had is lost.
    Fenced,
}

impl Groups {
    /// Takes note of all topics and their partition counts.
    pub(super) fn topics_changed(&mut self, topics: BTreeMap<Arc<str>, i32>) {
        self.topics = topics;
        for group in self.groups.values_mut() {
            group.rebalance(&self.topics);
        }
    }

    pub(super) fn join(&mut self, group: &Arc<str>, joining: Joining, now: Instant) -> MemberId {
        self.last_member += 1;
        let id = self.last_member;
        let member = Member {
            joining,
            target: BTreeSet::new(),
            revoking: Vec::new(),
            lost: Vec::new(),
            is_settled: false,
            is_polling: false,
            last_poll: now,
        };
        let group = self.groups.entry(group.clone()).or_default();
        group.members.insert(id, member);
        group.rebalance(&self.topics);
        id
    }

    pub(super) fn leave(&mut self, group: &str, id: MemberId) {
        let Some(members) = self.groups.get_mut(group) else {
            return;
        };
        if members.remove(id) {
            members.rebalance(&self.topics);
        }
        if members.members.is_empty() {
            self.groups.remove(group);
        }
    }

    /// The member polls: everything it was told before is settled, and this is next.
    pub(super) fn poll(&mut self, group: &str, id: MemberId, now: Instant) -> Step {
        let Some(group) = self.groups.get_mut(group) else {
            return Step::Fenced;
        };
        if group.expire(now) {
            group.rebalance(&self.topics);
        }
        group.step(id, now)
    }

    /// A member that waits inside its poll is alive, however long that takes.
    pub(super) fn set_polling(&mut self, group: &str, id: MemberId, polling: bool, now: Instant) {
        let member = self.groups.get_mut(group).and_then(|g| g.members.get_mut(&id));
        if let Some(member) = member {
            member.is_polling = polling;
            member.last_poll = now;
        }
    }

    /// The ids of a group's members, and what each has.
    pub(super) fn members(&self, group: &str) -> Vec<(MemberId, Vec<TopicPartition>)> {
        let Some(group) = self.groups.get(group) else {
            return Vec::new();
        };
        let owned = |id: &MemberId| {
            let owned = group.owners.iter().filter(|(_, owner)| *owner == id);
            (*id, owned.map(|(tp, _)| tp.clone()).collect())
        };
        group.members.keys().map(owned).collect()
    }

    /// The names of all groups that have members.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups.keys()
    }

    /// When the next member will have to be put out, unless it polls.
    pub(super) fn next_expiry(&self, group: &str) -> Option<Instant> {
        self.groups.get(group)?.members.values().filter_map(Member::expiry).min()
    }

    /// Refuses commits of members that were put out and for partitions of others. `id` is none for
    /// a consumer outside the group: it may commit as long as the group has no members.
    pub(super) fn check_commit<'a>(
        &mut self,
        group: &str,
        id: Option<MemberId>,
        mut partitions: impl Iterator<Item = &'a TopicPartition> + Clone,
        now: Instant,
    ) -> Result<()> {
        // A commit for a deleted topic would meet its successor of the same name.
        let is_unknown = |tp: &&TopicPartition| {
            self.topics.get(&tp.topic).is_none_or(|n| !(0..*n).contains(&tp.partition))
        };
        if let Some(tp) = partitions.clone().find(is_unknown) {
            let why = "offsets cannot be committed for a partition that does not exist";
            return Err(Error::new(ErrorKind::NotFound, why).context("partition", tp));
        }
        let conflict =
            |why: &'static str| Error::new(ErrorKind::Conflict, why).context("group", group);
        if let Some(group) = self.groups.get_mut(group)
            && group.expire(now)
        {
            group.rebalance(&self.topics);
        }
        let Some(id) = id else {
            return match self.groups.get(group).is_some_and(|g| !g.members.is_empty()) {
                false => Ok(()),
                true => Err(conflict(
                    "offsets cannot be committed from outside the group while it has members",
                )),
            };
        };
        let members = self.groups.get(group).filter(|g| g.members.contains_key(&id));
        let members = members.ok_or_else(|| {
            conflict(
                "offsets cannot be committed: the consumer did not poll within \
                 max.poll.interval.ms and was put out of the group; poll more often, or take \
                 fewer records at once (max.poll.records)",
            )
        })?;
        let is_foreign =
            |tp: &&TopicPartition| members.owners.get(*tp).is_some_and(|owner| *owner != id);
        match partitions.find(is_foreign) {
            None => Ok(()),
            Some(tp) => {
                Err(conflict("offsets cannot be committed for a partition that another member has")
                    .context("partition", tp))
            }
        }
    }
}

impl Member {
    fn expiry(&self) -> Option<Instant> {
        (!self.is_polling).then(|| self.last_poll + self.joining.max_poll_interval)
    }
}

impl Group {
    /// Puts out who has not polled for too long; says whether there was anybody.
    fn expire(&mut self, now: Instant) -> bool {
        let expired = self.members.iter().filter(|(_, m)| m.expiry().is_some_and(|at| at < now));
        let expired: Vec<_> = expired.map(|(id, _)| *id).collect();
        for id in &expired {
            self.remove(*id);
        }
        !expired.is_empty()
    }

    fn remove(&mut self, id: MemberId) -> bool {
        self.owners.retain(|_, owner| *owner != id);
        let removed = self.members.remove(&id);
        if let Some(member) = &removed {
            member.joining.wake.notify_one();
        }
        removed.is_some()
    }

    /// Works out anew who is to have what.
    fn rebalance(&mut self, topics: &BTreeMap<Arc<str>, i32>) {
        let mut targets = assign(&self.members, topics);
        let members = &mut self.members;
        self.owners.retain(|tp, owner| {
            if topics.get(&tp.topic).is_some_and(|n| tp.partition < *n) {
                return true;
            }
            if let Some(member) = members.get_mut(owner) {
                member.lost.push(tp.clone());
            }
            false
        });
        for (id, member) in &mut self.members {
            member.target = targets.remove(id).unwrap_or_default();
            member.is_settled = false;
            member.joining.wake.notify_one();
        }
    }

    fn step(&mut self, id: MemberId, now: Instant) -> Step {
        let Some(member) = self.members.get_mut(&id) else {
            return Step::Fenced;
        };
        member.last_poll = now;
        let released = std::mem::take(&mut member.revoking);
        if !released.is_empty() {
            for tp in &released {
                self.owners.remove(tp);
            }
            self.wake_all();
        }
        let Some(member) = self.members.get_mut(&id) else {
            return Step::Fenced;
        };
        if !member.lost.is_empty() {
            return Step::Lost(std::mem::take(&mut member.lost));
        }
        if member.is_settled {
            return Step::Nothing;
        }
        let owned = self.owners.iter().filter(|(tp, o)| **o == id && !member.target.contains(*tp));
        let revoked: Vec<_> = owned.map(|(tp, _)| tp.clone()).collect();
        if !revoked.is_empty() {
            member.revoking.clone_from(&revoked);
            return Step::Revoked(revoked);
        }
        let free = member.target.iter().filter(|tp| !self.owners.contains_key(*tp));
        let assigned: Vec<_> = free.cloned().collect();
        self.owners.extend(assigned.iter().map(|tp| (tp.clone(), id)));
        member.is_settled = member.target.iter().all(|tp| self.owners.get(tp) == Some(&id));
        match assigned.is_empty() {
            true => Step::Nothing,
            false => Step::Assigned(assigned),
        }
    }

    fn wake_all(&mut self) {
        for member in self.members.values_mut() {
            member.is_settled = false;
            member.joining.wake.notify_one();
        }
    }
}

/// Kafka's range assignor: of each topic, every member that wants it gets a range, the first ones
/// one more where it does not come out even.
fn assign(
    members: &BTreeMap<MemberId, Member>,
    topics: &BTreeMap<Arc<str>, i32>,
) -> HashMap<MemberId, BTreeSet<TopicPartition>> {
    let mut targets: HashMap<_, BTreeSet<_>> = HashMap::new();
    for (topic, &partitions) in topics {
        let wanting = members.iter().filter(|(_, m)| m.joining.matcher.matches(topic));
        let wanting: Vec<_> = wanting.map(|(id, _)| *id).collect();
        if wanting.is_empty() {
            continue;
        }
        let count = wanting.len() as i32;
        let (each, more) = (partitions / count, partitions % count);
        let mut next = 0;
        for (i, id) in (0..).zip(wanting) {
            let end = next + each + i32::from(i < more);
            let range = (next..end).map(|p| TopicPartition::new(topic.clone(), p));
            targets.entry(id).or_default().extend(range);
            next = end;
        }
    }
    targets
}

#[cfg(test)]
mod tests;
