//! Decides which node leads what. A served cluster is one node that does everything; a simulated
//! one has several, between which partitions move.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use kafka_protocol::ResponseError;

use super::error::Refused;
use crate::lock::lock;

/// The id of the only node, or of the first.
const FIRST: i32 = 1;

/// The name of a node among several.
pub(crate) fn host(node: i32) -> String {
    format!("node-{node}")
}

/// The leaders of partitions that have moved, and the epochs of these.
type Moved = HashMap<(Arc<str>, i32), (i32, i32)>;

/// The nodes of a cluster. All serve the same logs.
#[derive(Debug)]
pub(crate) struct Nodes {
    count: i32,
    moved: Mutex<Moved>,
}

impl Nodes {
    pub(crate) fn new(count: i32) -> Self {
        Self { count, moved: Mutex::default() }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = i32> + use<> {
        FIRST..FIRST + self.count
    }

    /// Who leads a partition, and in which epoch.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> (i32, i32) {
        if self.count > 1
            && let Some(leader) = self.moved().get(&(topic.into(), partition))
        {
            return *leader;
        }
        (FIRST + partition.rem_euclid(self.count), 0)
    }

    /// Moves a partition to the next node and returns that node.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn move_leader(&self, topic: &str, partition: i32) -> i32 {
        let (leader, epoch) = self.leader(topic, partition);
        let next = FIRST + (leader - FIRST + 1) % self.count;
        self.moved().insert((topic.into(), partition), (next, epoch + 1));
        next
    }

    /// Refuses what is asked of a node that does not lead the partition, and what is asked by who
    /// believes in another leader.
    pub(super) fn check(
        &self,
        node: i32,
        (topic, partition): (&str, i32),
        believed_epoch: i32,
    ) -> Result<(), Refused> {
        let (leader, epoch) = self.leader(topic, partition);
        if leader != node {
            return Err(ResponseError::NotLeaderOrFollower.into());
        }
        match believed_epoch {
            -1 => Ok(()),
            // A client that knows of a later leader than there ever was talks of another cluster.
            believed if believed > epoch => Err(ResponseError::UnknownLeaderEpoch.into()),
            believed if believed < epoch => Err(ResponseError::FencedLeaderEpoch.into()),
            _ => Ok(()),
        }
    }

    fn moved(&self) -> MutexGuard<'_, Moved> {
        lock(&self.moved)
    }
}
