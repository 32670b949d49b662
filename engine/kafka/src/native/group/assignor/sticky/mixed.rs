//! Decides where members subscribe to different topics: partitions move from who has more to who
//! has less and may have them, until no such move makes the group more even (Java's
//! `GeneralAssignmentBuilder`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Claims, Group, Held, Plan, Racks};
use crate::native::group::assignor::java_order;

pub(super) fn plan(
    group: &Group<'_>,
    racks: &Racks<'_>,
    claims: &Claims,
    held: &[Held<'_>],
) -> Plan {
    let mut topics: Vec<_> = (0..group.topics.len()).collect();
    topics.sort_by_key(|topic| group.topics[*topic].subscribers.len());
    let partitions = |topic: &usize| group.topics[*topic].partitions.clone();
    let all: Vec<_> = topics.iter().flat_map(partitions).collect();

    let (mut balance, must_revoke) = Balance::new(group, racks, claims);
    let is_new = balance.load.iter().all(|load| *load == 0);
    let mut open = all.clone();
    open.retain(|partition| balance.owners[*partition].is_none());
    balance.give(racks, &open);

    // Of what only one may have nothing can move.
    let may_move = |p: &usize| group.topic_of(*p).subscribers.len() > 1;
    let before = (balance.owners.clone(), balance.load.clone());
    let previous = previous_owners(group, held);
    if !must_revoke {
        // Perhaps it is enough to move what nobody had.
        open.retain(may_move);
        balance.even_out(&open, &previous);
    }
    let all: Vec<_> = all.into_iter().filter(may_move).collect();
    let has_moved = balance.even_out(&all, &previous);
    if has_moved && !is_new && balance.unevenness(&balance.load) >= balance.unevenness(&before.1) {
        (balance.owners, balance.load) = before;
    }

    let mut assigned = vec![Vec::new(); group.members.len()];
    for (partition, owner) in balance.owners.iter().enumerate() {
        assigned[owner.expect("topics here have subscribers")].push(partition);
    }
    Plan { moving: moving(group, &assigned), assigned }
}

/// What was assigned to members that did not own it, while others did.
fn moving(group: &Group<'_>, assigned: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut added = BTreeSet::new();
    let mut revoked = BTreeSet::new();
    for (member, assigned) in group.members.iter().zip(assigned) {
        let owned = member.subscription.owned.iter().filter_map(|tp| group.index_of(tp));
        let owned: BTreeSet<_> = owned.collect();
        let assigned: BTreeSet<_> = assigned.iter().copied().collect();
        added.extend(&assigned - &owned);
        revoked.extend(&owned - &assigned);
    }
    &added & &revoked
}

/// Who had a partition last, of those that missed the newest generation: where a partition has to
/// move, it better goes back there.
fn previous_owners(group: &Group<'_>, held: &[Held<'_>]) -> BTreeMap<usize, usize> {
    let newest = held.iter().filter_map(|held| held.generation).max().unwrap_or(-1).max(-1);
    let mut owners: BTreeMap<usize, (i32, usize)> = BTreeMap::new();
    for (member, held) in held.iter().enumerate() {
        let generation = held.generation.unwrap_or(-1);
        if generation >= newest {
            continue;
        }
        for partition in held.partitions.iter().filter_map(|tp| group.index_of(tp)) {
            let owner = owners.entry(partition).or_insert((generation, member));
            if generation > owner.0 {
                *owner = (generation, member);
            }
        }
    }
    let owners = owners.into_iter().map(|(partition, (_, member))| (partition, member));
    // Java would as well give it to members that no longer subscribe to it.
    owners.filter(|(p, member)| group.is_subscribed(*member, group.partitions[*p])).collect()
}

/// Who has what while partitions move.
struct Balance<'a> {
    group: &'a Group<'a>,
    /// The place of each member in the order of ids: between members of the same load it decides.
    ranks: Vec<usize>,
    owners: Vec<Option<usize>>,
    /// How many partitions each member has.
    load: Vec<usize>,
    moves: Moves,
}

impl<'a> Balance<'a> {
    /// Begins with what members own and may keep, and says whether somebody has to give up what
    /// still exists.
    fn new(group: &'a Group<'a>, racks: &Racks<'_>, claims: &Claims) -> (Self, bool) {
        let mut order: Vec<_> = (0..group.members.len()).collect();
        order.sort_by(|a, b| java_order::compare(&group.members[*a].id, &group.members[*b].id));
        let mut ranks = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(rank, member)| ranks[member] = rank);
        let mut balance = Self {
            group,
            owners: vec![None; group.partitions.len()],
            load: vec![0; ranks.len()],
            ranks,
            moves: Moves::default(),
        };
        let mut must_revoke = false;
        for (member, owned) in claims.owned.iter().enumerate() {
            for partition in owned {
                let may_keep = group.is_subscribed(member, group.partitions[*partition])
                    && !racks.is_far(member, *partition);
                if may_keep {
                    balance.set_owner(*partition, member);
                }
                must_revoke |= !may_keep;
            }
        }
        (balance, must_revoke)
    }

    fn set_owner(&mut self, partition: usize, member: usize) {
        if let Some(owner) = self.owners[partition].replace(member) {
            self.load[owner] -= 1;
        }
        self.load[member] += 1;
    }

    /// Gives each to who has the least of those that may have it: first within racks, then the
    /// rest to anybody.
    fn give(&mut self, racks: &Racks<'_>, open: &[usize]) {
        for is_anywhere in [false, true] {
            for partition in open.iter().copied() {
                let may_have = |member| is_anywhere || !racks.is_far(member, partition);
                if self.owners[partition].is_none()
                    && let Some(member) = self.least_loaded(partition, may_have)
                {
                    self.set_owner(partition, member);
                }
            }
        }
    }

    fn least_loaded(&self, partition: usize, may_have: impl Fn(usize) -> bool) -> Option<usize> {
        let subscribers = self.group.topic_of(partition).subscribers.iter().copied();
        let may_have = subscribers.filter(|member| may_have(*member));
        may_have.min_by_key(|member| (self.load[*member], self.ranks[*member]))
    }

    /// Moves partitions until no move makes the group more even, and says whether any moved. It
    /// ends, since each move takes from who has at least two more than who gets.
    fn even_out(&mut self, partitions: &[usize], previous: &BTreeMap<usize, usize>) -> bool {
        let mut has_moved = false;
        loop {
            let mut moved_now = false;
            for partition in partitions.iter().copied() {
                let owner = self.owners[partition].expect("everything was given");
                let has_more = |other: &usize| self.load[owner] > self.load[*other] + 1;
                let previous = previous.get(&partition).copied().filter(has_more);
                let least = || self.least_loaded(partition, |_| true).filter(has_more);
                if let Some(to) = previous.or_else(least) {
                    self.move_one(partition, owner, to);
                    moved_now = true;
                }
            }
            if !moved_now {
                return has_moved;
            }
            has_moved = true;
        }
    }

    /// Moves this partition or, better, one of its topic that went the other way before.
    fn move_one(&mut self, partition: usize, owner: usize, to: usize) {
        let topic = self.group.partitions[partition];
        let back = self.moves.opposite(self.group, topic, partition, (owner, to));
        let partition = back.unwrap_or(partition);
        let from = self.owners[partition].expect("everything was given");
        self.moves.record(topic, partition, (from, to));
        self.set_owner(partition, to);
    }

    /// The sum of the differences between the loads of any two, of those whose load can change.
    fn unevenness(&self, load: &[usize]) -> usize {
        let topics = self.group.topics.iter().filter(|topic| topic.subscribers.len() > 1);
        let members: BTreeSet<_> = topics.flat_map(|topic| &topic.subscribers).collect();
        let mut loads: Vec<_> = members.into_iter().map(|member| load[*member]).collect();
        loads.sort_by_key(|load| Reverse(*load));
        let pairs = (0..loads.len()).flat_map(|i| (i + 1..loads.len()).map(move |j| (i, j)));
        pairs.map(|(more, less)| loads[more] - loads[less]).sum()
    }
}

/// Which partitions moved from whom to whom.
#[derive(Default)]
struct Moves {
    of_partition: BTreeMap<usize, (usize, usize)>,
    /// By topic, source and destination; in the order in which they moved.
    by_way: BTreeMap<(usize, usize, usize), Vec<usize>>,
}

impl Moves {
    fn record(&mut self, topic: usize, partition: usize, (from, to): (usize, usize)) {
        let mut source = from;
        if let Some((first, last)) = self.of_partition.remove(&partition) {
            let way = self.by_way.get_mut(&(topic, first, last)).expect("both are kept alike");
            way.retain(|moved| *moved != partition);
            source = first;
        }
        if source != to {
            self.of_partition.insert(partition, (source, to));
            self.by_way.entry((topic, source, to)).or_default().push(partition);
        }
    }

    /// A partition that moved to where this one comes from, from where it shall go.
    fn opposite(
        &self,
        group: &Group<'_>,
        topic: usize,
        partition: usize,
        (owner, to): (usize, usize),
    ) -> Option<usize> {
        let source = self.of_partition.get(&partition).map_or(owner, |(source, _)| *source);
        let moved = self.by_way.get(&(topic, to, source)).filter(|moved| !moved.is_empty())?;
        let hashes = moved.iter().map(|moved| {
            let tp = group.topic_partition(*moved);
            java_order::hash_of_partition(&tp.topic, tp.partition)
        });
        java_order::of_map(hashes).first().map(|first| moved[*first])
    }
}
