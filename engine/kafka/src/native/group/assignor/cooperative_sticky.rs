//! Decides as Java's `CooperativeStickyAssignor`: as the sticky one, but what another member still
//! owns is assigned to nobody, until that one has given it up and the group meets again.

use super::Group;
use super::sticky::{self, Held};

pub(super) fn assign(group: &Group<'_>) -> Vec<Vec<usize>> {
    let held = group.members.iter().map(|member| Held::cooperative(&member.subscription));
    let mut plan = sticky::plan(group, &held.collect::<Vec<_>>());
    for partitions in &mut plan.assigned {
        partitions.retain(|partition| !plan.moving.contains(partition));
    }
    plan.assigned
}
