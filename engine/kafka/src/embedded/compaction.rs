//! Decides which records a compacted topic keeps: of each key the last one, and a tombstone for a
//! while, so that everybody can see it.
//!
//! One round remembers the keys of the part that was not compacted before, as far as its memory
//! goes, and rewrites the segments up to there. Batches keep their offsets. A new file replaces
//! the first of the segments it was made from before the others are removed: whenever the process
//! is stopped, the log has each record once or twice with the same offset, and opening it removes
//! what is twice.

use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

use bytes::{Bytes, BytesMut};
use millrace_api::{Error, Result};

use super::log::Log;
use super::producers::Producers;
use super::segment::{Segment, Store, failed};
use super::{directory, now_ms};
use crate::lock::lock;
use crate::record_batch::{
    Batch, BatchHeader, Compression, Headers, Record, Row, TRANSACTIONAL, Writer, restamp,
    set_base_offset,
};

const READ_BYTES: usize = 1 << 20;
/// What a remembered key costs beside its bytes, about.
const KEY_OVERHEAD: usize = 64;
const UNFINISHED: &str = "cleaned";

/// What a round has found out about keys.
struct Latest {
    offsets: HashMap<Box<[u8]>, i64>,
    /// Records from this offset on are not in it.
    end: i64,
}

impl Latest {
    /// Whether a later record has the same key.
    fn supersedes(&self, key: &[u8], offset: i64) -> bool {
        offset < self.end && self.offsets.get(key).is_some_and(|latest| *latest > offset)
    }
}

/// Runs one round over the full segments of a log.
pub(super) fn compact(log: &Log) -> Result<()> {
    let Some(begun) = begin(log) else {
        return Ok(());
    };
    let round = Round { log, now: now_ms(), producers: begun.producers };
    let result = round.run(&begun.segments, begun.first_dirty);
    let mut state = lock(log.state());
    state.is_compacting = false;
    if let Ok(end) = result {
        state.first_dirty_offset = end;
    }
    result.map(drop)
}

/// Removes what a round that was stopped has left.
pub(super) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// What a round begins with.
struct Begun {
    /// The full segments without open transactions.
    segments: Vec<Segment>,
    /// Up to where they are compacted.
    first_dirty: i64,
    producers: Producers,
}

/// None when there is nothing to do.
fn begin(log: &Log) -> Option<Begun> {
    let mut state = lock(log.state());
    let stable = state.stable_offset();
    let (_, closed) = state.segments.split_last()?;
    let closed = &closed[..closed.partition_point(|segment| segment.next_offset <= stable)];
    // A damaged log is left as it is, for whoever repairs it.
    if closed.is_empty() || closed.iter().any(|segment| !segment.damage.is_empty()) {
        return None;
    }
    if state.is_compacting || state.is_deleted {
        return None;
    }
    let (segments, producers) = (closed.to_vec(), state.producers.clone());
    state.is_compacting = true;
    Some(Begun { segments, first_dirty: state.first_dirty_offset, producers })
}

struct Round<'a> {
    log: &'a Log,
    now: i64,
    producers: Producers,
}

impl Round<'_> {
    /// Says up to where the log is compacted now.
    fn run(&self, segments: &[Segment], first_dirty: i64) -> Result<i64> {
        let latest = self.latest(segments, first_dirty)?;
        let reached = segments.partition_point(|segment| segment.base_offset < latest.end);
        for group in groups(&segments[..reached], self.log.settings().segment_bytes) {
            let Some(cleaned) = self.clean(group, &latest)? else {
                continue;
            };
            if !self.replace(group, cleaned)? {
                break;
            }
        }
        Ok(latest.end)
    }

    /// The last offset of each key from `first_dirty` on, as far as memory goes.
    fn latest(&self, segments: &[Segment], first_dirty: i64) -> Result<Latest> {
        let mut latest = Latest { offsets: HashMap::new(), end: first_dirty };
        let mut bytes = 0;
        for segment in segments.iter().filter(|s| s.next_offset > first_dirty) {
            for batch in Batches::new(segment, self.log) {
                let batch = batch?;
                if batch.header().last_offset() < first_dirty {
                    continue;
                }
                if batch.header().is_control() || self.is_aborted(batch.header()) {
                    latest.end = batch.header().last_offset() + 1;
                    continue;
                }
                // One batch at least, so that every round gets on.
                if bytes > self.log.dedupe_bytes {
                    return Ok(latest);
                }
                for row in batch.rows() {
                    let row = row.map_err(|corrupt| corrupt.at(0))?;
                    let Some(key) = row.key else { continue };
                    let key = key.of(batch.buffer());
                    if let Some(offset) = latest.offsets.get_mut(key) {
                        *offset = row.offset;
                    } else {
                        bytes += key.len() + KEY_OVERHEAD;
                        latest.offsets.insert(key.into(), row.offset);
                    }
                }
                latest.end = batch.header().last_offset() + 1;
            }
            latest.end = latest.end.max(segment.next_offset);
        }
        Ok(latest)
    }

    /// One segment with what these keep; none when that is everything in one segment.
    fn clean(&self, group: &[Segment], latest: &Latest) -> Result<Option<Segment>> {
        let first = &group[0];
        let mut cleaned = match first.path() {
            None => Segment::in_memory(first.base_offset),
            Some(path) => Segment::create(path.with_extension(UNFINISHED), first.base_offset)?,
        };
        let mut has_changed = group.len() > 1;
        for segment in group {
            for batch in Batches::new(segment, self.log) {
                let batch = batch?;
                let header = batch.header();
                let is_last = self.producers.is_last_batch(header.producer_id, header.base_offset);
                // It says where a segment ends, and is written anew when needed.
                if header.count == 0 && !is_last {
                    continue;
                }
                let kept = self.kept(&batch, latest)?;
                if kept.is_whole || header.count == 0 {
                    append(&mut cleaned, batch.whole)?;
                    continue;
                }
                has_changed = true;
                // A producer's last sequence number outlives its records.
                if !kept.rows.is_empty() || is_last {
                    append(&mut cleaned, self.rewrite(&batch, &kept)?)?;
                }
            }
        }
        let end = group.last().map_or(first.next_offset, |last| last.next_offset);
        if cleaned.next_offset < end {
            append(&mut cleaned, marker(end - 1)?)?;
        }
        if has_changed {
            return Ok(Some(cleaned));
        }
        if let Some(path) = cleaned.path() {
            fs::remove_file(path).map_err(|e| failed("cannot remove a log segment", path, e))?;
        }
        Ok(None)
    }

    /// Whether its records belong to a transaction that was aborted.
    fn is_aborted(&self, batch: &BatchHeader) -> bool {
        batch.is_transactional()
            && self
                .producers
                .aborted(batch.base_offset, batch.base_offset + 1)
                .iter()
                .any(|aborted| aborted.producer_id == batch.producer_id)
    }

    fn kept(&self, batch: &Opened, latest: &Latest) -> Result<Kept> {
        let header = batch.header();
        let mut kept = Kept { rows: Vec::new(), is_whole: true, new_horizon: None };
        // Who reads uncommitted records needs no ends, but others would see what was aborted.
        if header.is_control() {
            return Ok(kept);
        }
        if self.is_aborted(header) {
            kept.is_whole = false;
            return Ok(kept);
        }
        let mut has_tombstones = false;
        for row in batch.rows() {
            let row = row.map_err(|corrupt| corrupt.at(0))?;
            let is_superseded =
                row.key.is_some_and(|key| latest.supersedes(key.of(batch.buffer()), row.offset));
            let is_expired = row.value.is_none()
                && header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
            if is_superseded || is_expired {
                kept.is_whole = false;
                continue;
            }
            has_tombstones |= row.value.is_none();
            kept.rows.push(row);
        }
        let is_clean = header.last_offset() < latest.end;
        if has_tombstones && is_clean && header.delete_horizon().is_none() {
            kept.is_whole = false;
            kept.new_horizon = Some(self.now + self.log.settings().delete_retention_ms);
        }
        Ok(kept)
    }

    fn rewrite(&self, batch: &Opened, kept: &Kept) -> Result<Bytes> {
        let header = batch.header();
        let compression = header.compression().map_err(|corrupt| corrupt.at(0))?;
        let mut writer = Writer::new(compression);
        writer.set_append_time(header.is_log_append_time().then_some(header.max_timestamp));
        if let Some(horizon) = kept.new_horizon.or(header.delete_horizon()) {
            writer.set_delete_horizon(horizon);
        }
        for row in &kept.rows {
            let record = Record {
                timestamp: row.timestamp,
                key: row.key.map(|span| span.of(batch.buffer())),
                value: row.value.map(|span| span.of(batch.buffer())),
                headers: Headers::Raw {
                    count: row.header_count,
                    bytes: row.headers.of(batch.buffer()),
                },
            };
            writer.push_at((row.offset - header.base_offset) as i32, &record)?;
        }
        writer.extend_to(header.last_offset_delta);
        let mut batch = writer.finish()?;
        let rewritten = restamp(&mut batch, |new| {
            new.attributes |= header.attributes & TRANSACTIONAL;
            new.producer_id = header.producer_id;
            new.producer_epoch = header.producer_epoch;
            new.base_sequence = header.base_sequence;
        });
        rewritten.map_err(|corrupt| corrupt.at(0))?;
        Ok(placed(batch, header.base_offset))
    }

    /// Puts the new segment in the place of the old ones. False: the topic is gone.
    fn replace(&self, group: &[Segment], mut cleaned: Segment) -> Result<bool> {
        let first = group[0].base_offset;
        if let Store::File(file, path) = &cleaned.store {
            file.sync_all().map_err(|e| failed("cannot write a log segment", path, e))?;
        }
        let mut state = lock(self.log.state());
        if state.is_deleted {
            return Ok(false);
        }
        let at = state.segments.partition_point(|segment| segment.base_offset < first);
        let Store::File(file, from) = &cleaned.store else {
            state.segments.splice(at..at + group.len(), [cleaned]);
            return Ok(true);
        };
        let to = from.with_extension("log");
        fs::rename(from, &to).map_err(|e| failed("cannot replace a log segment", &to, e))?;
        cleaned.store = Store::File(file.clone(), to.as_path().into());
        state.segments.splice(at..at + group.len(), [cleaned]);
        drop(state);
        remove(&to, &group[1..]).map_err(|e| failed("cannot remove merged segments", &to, e))?;
        Ok(true)
    }
}

/// What is left of a batch.
struct Kept {
    rows: Vec<Row>,
    /// The batch may stay as it is.
    is_whole: bool,
    new_horizon: Option<i64>,
}

/// Removes merged segments, once the one that replaces them is sure to stay.
fn remove(merged: &Path, group: &[Segment]) -> io::Result<()> {
    directory::sync(merged.parent().unwrap_or(merged))?;
    for segment in group {
        if let Some(path) = segment.path() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Neighbours that fit one segment together: else a topic would end in ever more tiny ones.
fn groups(segments: &[Segment], max_bytes: u64) -> Vec<&[Segment]> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (i, segment) in segments.iter().enumerate() {
        if i > start && bytes + segment.size > max_bytes {
            groups.push(&segments[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += segment.size;
    }
    if start < segments.len() {
        groups.push(&segments[start..]);
    }
    groups
}

fn append(segment: &mut Segment, batch: Bytes) -> Result<()> {
    let header = BatchHeader::parse(&batch)
        .map_err(|corrupt| corrupt.at(0))?
        .ok_or_else(|| Error::fatal("a record batch has no header"))?;
    segment.append(batch, &header)
}

/// A batch without records, for the sake of its offset.
fn marker(offset: i64) -> Result<Bytes> {
    Ok(placed(Writer::new(Compression::None).finish()?, offset))
}

fn placed(mut batch: BytesMut, base_offset: i64) -> Bytes {
    set_base_offset(&mut batch, base_offset);
    batch.freeze()
}

/// A batch, and its bytes as they are in the log.
struct Opened {
    batch: Batch,
    whole: Bytes,
}

impl std::ops::Deref for Opened {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

/// The batches of a segment.
struct Batches<'a> {
    chunks: Box<dyn Iterator<Item = Result<super::segment::Chunk>> + 'a>,
    log: &'a Log,
    place: String,
    parts: std::vec::IntoIter<(u64, Bytes)>,
    current: (u64, Bytes),
}

impl<'a> Batches<'a> {
    fn new(segment: &'a Segment, log: &'a Log) -> Self {
        Self {
            chunks: Box::new(segment.chunks(READ_BYTES)),
            log,
            place: String::new(),
            parts: Vec::new().into_iter(),
            current: (0, Bytes::new()),
        }
    }

    fn advance(&mut self) -> Result<Option<Opened>> {
        while self.current.1.is_empty() {
            if let Some(part) = self.parts.next() {
                self.current = part;
                continue;
            }
            let Some(chunk) = self.chunks.next().transpose()? else {
                return Ok(None);
            };
            self.place = chunk.place();
            self.parts = chunk.load()?.into_iter();
        }
        let (position, bytes) = &mut self.current;
        let open = || {
            let header = BatchHeader::parse(bytes)?
                .ok_or_else(|| crate::record_batch::Corrupt::new("its header is cut off"))?;
            Batch::open(bytes, 0, header, &self.log.limits)
        };
        let batch = open().map_err(|corrupt| corrupt.at(*position).context("file", &self.place))?;
        let whole = bytes.split_to(batch.header().length);
        *position += whole.len() as u64;
        Ok(Some(Opened { batch, whole }))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Opened>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
