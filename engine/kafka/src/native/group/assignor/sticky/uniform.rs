//! Decides where all members subscribe to the same topics: every share is the same, give or take
//! one, so that it is enough to fill shares up (Java's `ConstrainedAssignmentBuilder`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Claims, Group, Plan, Racks};
use crate::native::group::assignor::java_order;

pub(super) fn plan(group: &Group<'_>, racks: &Racks<'_>, claims: &Claims) -> Plan {
    let mut shares = Shares::new(group, racks, claims);
    shares.keep_owned();
    let kept: BTreeSet<_> = shares.assigned.iter().flatten().copied().collect();
    let mut open: Vec<_> = (0..group.partitions.len()).filter(|p| !kept.contains(p)).collect();
    let by_id =
        |a: &usize, b: &usize| java_order::compare(&group.members[*a].id, &group.members[*b].id);
    shares.below.sort_by(by_id);
    shares.at_least.make_contiguous().sort_by(by_id);
    if racks.matter() {
        // What few can read nearby comes first.
        open.sort_by_cached_key(|partition| racks.neighbours(*partition));
        shares.fill_nearby(&mut open);
    }
    shares.fill(&open);
    Plan { assigned: shares.assigned, moving: shares.moving }
}

/// The members' shares while they fill up. Invariant: nobody has more than `most`, and no more
/// than `large` members have that many.
struct Shares<'a> {
    racks: &'a Racks<'a>,
    claims: &'a Claims,
    /// What everybody gets at least.
    least: usize,
    /// What some get: one more than `least`, unless it comes out even.
    most: usize,
    /// How many get `most` where that is more than `least`, and how many of them do already.
    large: usize,
    large_now: usize,
    assigned: Vec<Vec<usize>>,
    /// Who has fewer than `least`.
    below: Vec<usize>,
    /// Who has `least` and may get one more.
    at_least: VecDeque<usize>,
    /// Whose partition could not stay.
    given_up: BTreeMap<usize, usize>,
    moving: BTreeSet<usize>,
}

impl<'a> Shares<'a> {
    fn new(group: &Group<'_>, racks: &'a Racks<'a>, claims: &'a Claims) -> Self {
        let (members, partitions) = (group.members.len(), group.partitions.len());
        Self {
            racks,
            claims,
            least: partitions / members,
            most: partitions.div_ceil(members),
            large: partitions % members,
            large_now: 0,
            assigned: vec![Vec::new(); members],
            below: Vec::new(),
            at_least: VecDeque::new(),
            given_up: BTreeMap::new(),
            moving: BTreeSet::new(),
        }
    }

    /// Everybody keeps what it has, up to its share.
    fn keep_owned(&mut self) {
        let topics = &self.racks.group.partitions;
        let ranges = &self.racks.group.topics;
        // The lowest numbers of all topics stay, and what is beyond the share goes.
        let by_number = |p: &usize| (*p - ranges[topics[*p]].partitions.start, topics[*p]);
        for (member, owned) in self.claims.owned.iter().enumerate() {
            let (far, near) = owned.iter().partition(|p| self.racks.is_far(member, **p));
            let (far, mut near): (Vec<usize>, Vec<usize>) = (far, near);
            near.retain(|partition| !self.claims.disputed.contains(partition));
            near.sort_by_key(by_number);
            let keep = if near.len() < self.least {
                self.below.push(member);
                near.len()
            } else if near.len() >= self.most && self.large_now < self.large {
                self.count_large();
                self.most
            } else {
                if self.large_now < self.large {
                    self.at_least.push_back(member);
                }
                self.least
            };
            let beyond = near.split_off(keep);
            self.given_up.extend(far.into_iter().chain(beyond).map(|p| (p, member)));
            self.assigned[member] = near;
        }
    }

    fn count_large(&mut self) {
        self.large_now += 1;
        if self.large_now == self.large {
            self.at_least.clear();
        }
    }

    /// Gives partitions in turn to members that are near; what is near to nobody with room stays.
    fn fill_nearby(&mut self, open: &mut Vec<usize>) {
        let mut turn = 0;
        open.retain(|partition| {
            let partition = *partition;
            let places = (0..self.below.len()).map(|i| (turn + i) % self.below.len());
            if let Some(place) = self.first_near(partition, places) {
                let member = self.below[place];
                self.give(partition, member);
                turn = place + 1;
                if self.assigned[member].len() == self.least {
                    self.below.remove(place);
                    turn = place;
                    if self.large_now < self.large {
                        self.at_least.push_back(member);
                    }
                }
                turn = turn.checked_rem(self.below.len()).unwrap_or(0);
                return false;
            }
            let place = (0..self.at_least.len())
                .find(|place| self.racks.is_near(self.at_least[*place], partition));
            let Some(member) = place.and_then(|place| self.at_least.remove(place)) else {
                return true;
            };
            self.give(partition, member);
            self.count_large();
            false
        });
    }

    fn first_near(
        &self,
        partition: usize,
        mut places: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        places.find(|place| self.racks.is_near(self.below[*place], partition))
    }

    /// Deals the rest out in turns: to those with too few first, then one more to some.
    fn fill(&mut self, open: &[usize]) {
        let mut turn = 0;
        for partition in open {
            if self.below.is_empty() {
                let member = self.at_least.pop_front().expect("shares add up to all partitions");
                self.give(*partition, member);
                continue;
            }
            turn %= self.below.len();
            let member = self.below[turn];
            self.give(*partition, member);
            if self.assigned[member].len() == self.least {
                self.below.remove(turn);
                self.at_least.push_back(member);
            } else {
                turn += 1;
            }
        }
    }

    fn give(&mut self, partition: usize, member: usize) {
        self.assigned[member].push(partition);
        let is_from_other = self.given_up.get(&partition).is_some_and(|owner| *owner != member);
        if is_from_other || self.claims.disputed.contains(&partition) {
            self.moving.insert(partition);
        }
    }
}
