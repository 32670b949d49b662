//! Decides which record of a log is the first of a time.

use bytes::Bytes;
use millrace_api::Result;

use super::log::Log;
use crate::Isolation;
use crate::record_batch::{Batch, BatchHeader, Corrupt};

const READ_BYTES: usize = 1 << 20;

/// A record's place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) offset: i64,
    pub(super) timestamp: i64,
}

/// The first record of this time or later, among those that a reader of this isolation may reach.
pub(super) fn first_at(log: &Log, timestamp: i64, isolation: Isolation) -> Result<Option<Moment>> {
    let bounds = log.bounds();
    let end = match isolation {
        Isolation::Uncommitted => bounds.end,
        Isolation::Committed => bounds.stable,
    };
    for segment in log.segments_since(timestamp) {
        for chunk in segment.chunks(READ_BYTES) {
            for (position, part) in chunk?.load()? {
                let found = first_in(log, &part, timestamp, bounds.start);
                if let Some(found) = found.map_err(|corrupt| corrupt.at(position))? {
                    return Ok(Some(found).filter(|found| found.offset < end));
                }
            }
        }
    }
    Ok(None)
}

/// The record with the latest time, the first where several have it.
pub(super) fn latest(log: &Log, isolation: Isolation) -> Result<Option<Moment>> {
    let latest = log.segments_since(0).iter().map(|segment| segment.max_timestamp).max();
    match latest {
        None => Ok(None),
        Some(timestamp) => first_at(log, timestamp, isolation),
    }
}

fn first_in(
    log: &Log,
    part: &Bytes,
    timestamp: i64,
    start: i64,
) -> Result<Option<Moment>, Corrupt> {
    let mut at = 0;
    while let Some(header) = BatchHeader::parse(&part[at..])? {
        let from = at;
        at += header.length;
        let may_match = header.max_timestamp >= timestamp && header.last_offset() >= start;
        if header.is_control() || !may_match {
            continue;
        }
        for row in Batch::open(part, from, header, &log.limits)?.rows() {
            let row = row?;
            if row.timestamp >= timestamp && row.offset >= start {
                return Ok(Some(Moment { offset: row.offset, timestamp: row.timestamp }));
            }
        }
    }
    Ok(None)
}
