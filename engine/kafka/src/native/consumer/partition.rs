//! Decides what is known of one partition that is read, and what is asked and answered about it.

use std::collections::{BTreeMap, VecDeque};

use millrace_api::{Error, TopicPartition};
use tokio::time::Instant;
use uuid::Uuid;

use super::chunk::Chunk;
use super::session::Want;
use crate::native::backoff::Backoff;

/// A place between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Of the next record, at least.
    pub(super) offset: i64,
    /// Under which leader the record before was written; -1 where nobody knows.
    pub(super) epoch: i32,
}

impl Position {
    /// A place that somebody named without having read there.
    pub(super) fn at(offset: i64) -> Self {
        Self { offset, epoch: -1 }
    }
}

/// What has to happen before a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The group is asked where it was.
    Committed,
    /// The leader is asked for the offset that `auto.offset.reset` means.
    Reset,
    /// The leader is asked whether its log still has what was read under others (KIP-320).
    Validate,
    /// Nothing.
    Read,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// Changes with every jump, so that answers to what was asked before are known by it.
    pub(super) incarnation: u64,
    pub(super) stage: Stage,
    /// The caller may move or stop it before anything is asked for.
    pub(super) is_held_back: bool,
    pub(super) is_paused: bool,
    /// Something was asked and is not answered.
    pub(super) is_asked: bool,
    pub(super) topic_id: Uuid,
    /// The leader and its epoch.
    pub(super) leader: Option<(i32, i32)>,
    /// The replica that the leader recommends, and until when (KIP-392).
    pub(super) preferred: Option<(i32, Instant)>,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Backoff,
    /// Up to where records were handed out.
    pub(super) position: Option<Position>,
    /// Where the next request begins: after all that is held.
    pub(super) fetch: i64,
    pub(super) chunks: VecDeque<Chunk>,
}

/// What to ask about a partition before it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) partition: TopicPartition,
    pub(super) incarnation: u64,
    pub(super) ask: Ask,
    /// The leader's epoch; -1 where nobody knows.
    pub(super) leader_epoch: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Where `auto.offset.reset` points to.
    Reset,
    /// Where the log of this epoch ended.
    EndOfEpoch(i32),
}

/// What an answer is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) incarnation: u64,
    pub(super) now: Instant,
}

/// All that has to be asked now.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// About these the group is asked.
    pub(super) committed: Vec<(TopicPartition, u64)>,
    /// About these their leaders are.
    pub(super) leaders: BTreeMap<i32, Vec<Question>>,
    /// When there may be more to ask.
    pub(super) next: Option<Instant>,
}

/// What one broker is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) wanted: BTreeMap<TopicPartition, Want>,
    /// How many brokers there are records to get from.
    pub(super) brokers: usize,
    /// When there may be more to want.
    pub(super) next: Option<Instant>,
}

/// Who has to look again after a change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bells {
    /// The caller: there are records, an error or a position.
    pub(super) caller: bool,
    /// Upkeep: there are questions, a new source of records, or metadata is not true.
    pub(super) upkeep: bool,
    /// Those who fetch: other partitions are to be read, or from other offsets.
    pub(super) fetchers: bool,
}

/// A chunk that the caller is reading.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) partition: TopicPartition,
    pub(super) incarnation: u64,
    pub(super) chunk: Chunk,
}

impl Question {
    /// What its answer is about.
    pub(super) fn asked(&self, now: Instant) -> Asked<'_> {
        Asked { partition: &self.partition, incarnation: self.incarnation, now }
    }
}

impl Partition {
    /// What was read under one leader is compared with what a later one has.
    pub(super) fn has_to_validate(&self) -> bool {
        let read_under = self.position.map_or(-1, |position| position.epoch);
        let present = self.leader.map_or(-1, |(_, epoch)| epoch);
        matches!(self.stage, Stage::Read | Stage::Validate)
            && read_under >= 0
            && present > read_under
    }

    pub(super) fn is_fetchable(&self) -> bool {
        self.stage == Stage::Read && !self.is_held_back && !self.is_paused
    }

    /// Whether it has to wait before it is tried again; `next` learns until when.
    pub(super) fn is_waiting(&mut self, now: Instant, next: &mut Option<Instant>) -> bool {
        match self.retry_at {
            Some(at) if at > now => {
                *next = Some(next.map_or(at, |next| next.min(at)));
                true
            }
            _ => {
                self.retry_at = None;
                false
            }
        }
    }
}

/// An error about a place in a partition.
pub(super) fn place(error: Error, partition: &TopicPartition, offset: i64) -> Error {
    error.context("partition", partition).context("offset", offset)
}
