//! Decides as Java's `RoundRobinAssignor`: partitions are dealt out one by one, and who has not
//! subscribed to a topic is passed over.

use super::Group;

pub(super) fn assign(group: &Group<'_>) -> Vec<Vec<usize>> {
    let mut assigned = vec![Vec::new(); group.members.len()];
    let mut line: Vec<_> = (0..group.members.len()).collect();
    group.line_up(&mut line);
    let mut turns = line.iter().copied().cycle();
    for (partition, topic) in group.partitions.iter().enumerate() {
        let next = turns.find(|member| group.is_subscribed(*member, *topic));
        assigned[next.expect("topics here have subscribers")].push(partition);
    }
    assigned
}
