//! Decides as Java's `RangeAssignor`: of each topic every member takes as many partitions in a row,
//! so that partitions of the same number meet at the same member.
//!
//! Where racks matter, partitions go first to members in a rack with a replica, within the same
//! shares. Topics with the same members and partitions stay aligned with each other even then.

use std::collections::BTreeMap;

use super::Group;

pub(super) fn assign(group: &Group<'_>) -> Vec<Vec<usize>> {
    let mut shares: Vec<_> =
        (0..group.topics.len()).map(|topic| Shares::new(group, topic)).collect();
    let mut assigned = vec![Vec::new(); group.members.len()];
    if shares.iter().any(|share| share.racks_matter) {
        align_racks(&mut shares, &mut assigned);
    }
    for share in &mut shares {
        share.give_rows(&mut assigned, |_, _, _| true);
    }
    assigned
}

/// One topic while it is shared out.
struct Shares<'a> {
    group: &'a Group<'a>,
    topic: usize,
    racks_matter: bool,
    /// The subscribers in line. Below, a member is its place in this line.
    members: Vec<usize>,
    left: Vec<usize>,
    taken: Vec<usize>,
    /// What everybody gets at least.
    least: usize,
    /// How many may still take one more.
    extra: usize,
}

impl<'a> Shares<'a> {
    fn new(group: &'a Group<'a>, topic: usize) -> Self {
        let of_group = &group.topics[topic];
        let mut members = of_group.subscribers.clone();
        group.line_up(&mut members);
        let partitions = of_group.partitions.clone();
        Self {
            group,
            topic,
            racks_matter: group.racks_matter(&members, partitions.clone()),
            least: partitions.len() / members.len(),
            extra: partitions.len() % members.len(),
            taken: vec![0; members.len()],
            members,
            left: partitions.collect(),
        }
    }

    fn may_take(&self, member: usize) -> usize {
        (self.least + usize::from(self.extra > 0)).saturating_sub(self.taken[member])
    }

    fn take(&mut self, member: usize, partitions: &[usize], assigned: &mut [Vec<usize>]) {
        self.left.retain(|left| !partitions.contains(left));
        self.taken[member] += partitions.len();
        if self.taken[member] > self.least {
            self.extra -= 1;
        }
        assigned[self.members[member]].extend(partitions);
    }

    /// A member without a rack is at home everywhere.
    fn is_near(&self, member: usize, partition: usize) -> bool {
        let rack = self.group.members[self.members[member]].rack();
        rack.is_none_or(|rack| self.group.is_in_rack(rack, partition))
    }

    /// Each in line takes the first partitions that it may.
    fn give_rows(
        &mut self,
        assigned: &mut [Vec<usize>],
        may_have: impl Fn(&Self, usize, usize) -> bool,
    ) {
        for member in 0..self.members.len() {
            let row = self.left.iter().copied().filter(|p| may_have(self, member, *p));
            let row: Vec<_> = row.take(self.may_take(member)).collect();
            if !row.is_empty() {
                self.take(member, &row, assigned);
            }
        }
    }
}

fn align_racks(shares: &mut [Shares<'_>], assigned: &mut [Vec<usize>]) {
    let mut alike: BTreeMap<_, Vec<&mut Shares<'_>>> = BTreeMap::new();
    for share in shares {
        let has_racks = share.members.iter().any(|m| share.group.members[*m].rack().is_some());
        let key = (share.members.clone(), has_racks.then_some(share.left.len()));
        alike.entry(key).or_default().push(share);
    }
    for ((members, partitions), mut alike) in alike {
        match &mut alike[..] {
            [alone] if alone.racks_matter => {
                alone.give_rows(assigned, Shares::is_near);
            }
            [_] => {}
            _ => align_topics(&mut alike, members.len(), partitions.unwrap_or(0), assigned),
        }
    }
}

/// Gives partitions of the same number to the first member that is near to all of them.
fn align_topics(
    topics: &mut [&mut Shares<'_>],
    members: usize,
    partitions: usize,
    assigned: &mut [Vec<usize>],
) {
    let mut open: Vec<_> = (0..members).collect();
    for number in 0..partitions {
        let index = |share: &Shares<'_>| share.group.topics[share.topic].partitions.start + number;
        let found = open.iter().position(|member| {
            let mut topics = topics.iter();
            topics.all(|s| s.may_take(*member) > 0 && s.is_near(*member, index(s)))
        });
        let Some(found) = found else {
            continue;
        };
        let member = open[found];
        for share in topics.iter_mut() {
            let partition = index(share);
            share.take(member, &[partition], assigned);
        }
        if topics.iter().all(|share| share.may_take(member) == 0) {
            open.remove(found);
        }
    }
}
