//! Decides how far a consumer has read one partition, and hands out its records in pieces.

use std::sync::Arc;

use millrace_api::{Error, Result, TopicPartition};

use super::log::{Log, Read};
use super::settings::{ConsumerSettings, OffsetReset};
use crate::record_batch::Limits;
use crate::{Fetched, Isolation};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the group's committed offset, or where `auto.offset.reset` says.
    Committed,
    /// Here.
    At(i64),
}

/// A partition as one consumer sees it.
#[derive(Debug)]
pub(super) struct Partition {
    log: Arc<Log>,
    start: Start,
    /// What the next record's offset is at least; none until it is known where to begin.
    position: Option<i64>,
    pub(super) is_paused: bool,
    pending: Option<Pending>,
    taken_bytes: usize,
}

/// Records that were read and not yet handed out.
#[derive(Debug)]
struct Pending {
    records: Fetched,
    taken: usize,
    /// Where to read on after them.
    next_offset: i64,
    /// What was read for them.
    bytes: usize,
}

impl Partition {
    pub(super) fn new(log: Arc<Log>, start: Start) -> Self {
        let position = match start {
            Start::Committed => None,
            Start::At(offset) => Some(offset),
        };
        Self { log, start, position, is_paused: false, pending: None, taken_bytes: 0 }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }

    /// Whether the group's committed offset counts: not for partitions assigned by hand.
    pub(super) fn may_use_committed(&self) -> bool {
        self.start == Start::Committed
    }

    pub(super) fn seek(&mut self, offset: i64) {
        self.position = Some(offset);
        self.pending = None;
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// How many bytes were read that wait to be handed out.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.bytes)
    }

    /// Where the log ends for a reader.
    pub(super) fn end(&self, isolation: Isolation) -> i64 {
        self.log.end(isolation)
    }

    /// How many bytes the log was read for the last run; 0 when it came from earlier ones.
    pub(super) fn taken_bytes(&self) -> usize {
        self.taken_bytes
    }

    /// Finds the first position.
    pub(super) fn begin(
        &mut self,
        tp: &TopicPartition,
        committed: Option<i64>,
        settings: &ConsumerSettings,
    ) -> Result<()> {
        self.position = Some(match committed {
            Some(offset) => offset,
            None => self.reset(tp, settings, "the group has no committed offset")?,
        });
        Ok(())
    }

    /// At most `max` records from the position on, read in pieces of `most_bytes` give or take a
    /// batch; none when there are none now.
    pub(super) fn take(
        &mut self,
        tp: &TopicPartition,
        max: usize,
        settings: &ConsumerSettings,
        most_bytes: usize,
    ) -> Result<Option<Fetched>> {
        self.taken_bytes = 0;
        if self.is_paused {
            return Ok(None);
        }
        while self.pending.is_none() {
            if !self.read(tp, settings, most_bytes)? {
                return Ok(None);
            }
        }
        Ok(self.hand_out(max))
    }

    fn hand_out(&mut self, max: usize) -> Option<Fetched> {
        let pending = self.pending.as_mut()?;
        let all = &pending.records;
        let (from, length) = (pending.taken, max.min(all.offsets.len() - pending.taken));
        let is_last = from + length == all.offsets.len();
        self.position = Some(match is_last {
            true => pending.next_offset,
            false => all.offsets[from + length],
        });
        if is_last {
            let records = self.pending.take()?.records;
            return Some(if from == 0 { records } else { cut(&records, from, length) });
        }
        let run = cut(all, from, length);
        pending.taken += length;
        Some(run)
    }

    /// Reads on in the log. False: there is nothing.
    fn read(
        &mut self,
        tp: &TopicPartition,
        settings: &ConsumerSettings,
        most_bytes: usize,
    ) -> Result<bool> {
        let offset = self.position.unwrap_or_default();
        let max_run_bytes = self.log.limits.max_run_bytes.min(most_bytes);
        let limits = Limits { check_crcs: settings.check_crcs, max_run_bytes, ..self.log.limits };
        let most_bytes = settings.partition_fetch_bytes.min(most_bytes);
        match self.log.read(offset, most_bytes, settings.isolation, limits)? {
            Read::Nothing => return Ok(false),
            Read::OutOfRange => {
                let (start, end) = self.log.offsets();
                let why = format!("offset {offset} is not in the log, which has {start} to {end}");
                let to = self.reset(tp, settings, &why)?;
                tracing::warn!(partition = %tp, offset, start, end, to, "offset out of range");
                self.position = Some(to);
            }
            Read::Records { columns, next_offset, bytes } => {
                self.taken_bytes += bytes;
                if columns.offsets.is_empty() {
                    self.position = Some(next_offset);
                } else {
                    let records = (*columns).fetched_from(tp.clone());
                    self.pending = Some(Pending { records, taken: 0, next_offset, bytes });
                }
            }
        }
        Ok(true)
    }

    fn reset(&self, tp: &TopicPartition, settings: &ConsumerSettings, why: &str) -> Result<i64> {
        let (start, end) = self.log.offsets();
        match settings.reset {
            OffsetReset::Earliest => Ok(start),
            OffsetReset::Latest => Ok(end),
            OffsetReset::None => Err(Error::fatal(format!(
                "cannot tell where to read: {why}, and auto.offset.reset is none; commit an \
                 offset or set it to earliest or latest"
            ))
            .context("partition", tp)
            .context("group.id", settings.group.as_deref().unwrap_or("none"))),
        }
    }
}

fn cut(records: &Fetched, from: usize, length: usize) -> Fetched {
    let headers = records.headers.get(from..from + length).unwrap_or_default();
    Fetched {
        topic_partition: records.topic_partition.clone(),
        offsets: records.offsets.slice(from, length),
        timestamps: records.timestamps.slice(from, length),
        keys: records.keys.slice(from, length),
        values: records.values.slice(from, length),
        headers: headers.to_vec(),
    }
}
