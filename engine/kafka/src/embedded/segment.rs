//! Decides how one segment of a partition's log is stored, indexed and read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millrace_api::{Error, Result};

use super::producers::Noted;
use super::recovery::{self, Checks, Damage};
use crate::record_batch::BatchHeader;

/// An index entry about every so many bytes, as `index.interval.bytes` of Kafka.
const INDEX_INTERVAL: u64 = 4096;

/// A part of a log. Only the last one grows.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) base_offset: i64,
    /// The offset after its last record.
    pub(super) next_offset: i64,
    pub(super) size: u64,
    /// The latest timestamp of its records; -1 where it has none.
    pub(super) max_timestamp: i64,
    pub(super) index: Index,
    /// What opening it has found out about producers; taken by the log.
    pub(super) noted: Vec<Noted>,
    /// What recovery found to be unreadable, by position.
    pub(super) damage: Vec<Damage>,
    pub(super) store: Store,
}

/// Where a segment's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Store {
    /// In a file, whose path is for messages and for compaction.
    File(Arc<File>, Arc<Path>),
    /// Each batch with its position.
    Memory(Vec<(u64, Bytes)>),
}

/// Batches of one segment, to be read without the log's lock.
#[derive(Debug)]
pub(super) struct Chunk {
    from: u64,
    to: u64,
    /// When all of it is read, this offset is the next.
    pub(super) end_offset: i64,
    source: Store,
}

/// First offset and position of some of a segment's batches, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Index(Vec<(i64, u64)>);

impl Index {
    /// Notes a batch, unless the last note is near. `force`: in any case.
    pub(super) fn note(&mut self, offset: i64, position: u64, force: bool) {
        let is_due = self.0.last().is_none_or(|(_, last)| position >= last + INDEX_INTERVAL);
        if is_due || force {
            self.0.push((offset, position));
        }
    }

    /// The last noted batch that begins at this offset or before it.
    fn at_or_before(&self, offset: i64) -> usize {
        self.0.partition_point(|(first, _)| *first <= offset).saturating_sub(1)
    }
}

/// The name of the segment file that begins with this offset.
pub(super) fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.log")
}

impl Segment {
    pub(super) fn in_memory(base_offset: i64) -> Self {
        Self {
            base_offset,
            next_offset: base_offset,
            size: 0,
            max_timestamp: -1,
            index: Index::default(),
            noted: Vec::new(),
            damage: Vec::new(),
            store: Store::Memory(Vec::new()),
        }
    }

    /// A new file under this path; one that is there is overwritten.
    pub(super) fn create(path: PathBuf, base_offset: i64) -> Result<Self> {
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = opened.map_err(|e| failed("cannot create a log segment", &path, e))?;
        let store = Store::File(Arc::new(file), path.into());
        Ok(Self { store, ..Self::in_memory(base_offset) })
    }

    /// Opens a file that was written before. `is_last`: what a crash left unfinished at its end is
    /// cut off.
    pub(super) fn open(
        path: PathBuf,
        base_offset: i64,
        checks: Checks,
        is_last: bool,
    ) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(|e| failed("cannot open a log segment", &path, e))?;
        let scan = recovery::scan(&file, base_offset, checks)
            .map_err(|e| failed("cannot read a log segment", &path, e))?;
        let mut segment = Self {
            base_offset,
            next_offset: scan.next_offset,
            size: scan.size,
            max_timestamp: scan.max_timestamp,
            index: scan.index,
            noted: scan.noted,
            damage: scan.damage,
            store: Store::Memory(Vec::new()),
        };
        match scan.tail {
            Some(tail) if is_last => {
                tracing::warn!(
                    file = %path.display(),
                    position = tail.position,
                    bytes = segment.size - tail.position,
                    cause = tail.what,
                    "the log ends with an unfinished batch, as a crash leaves it: cut off"
                );
                file.set_len(tail.position)
                    .map_err(|e| failed("cannot cut a log segment", &path, e))?;
                segment.size = tail.position;
            }
            Some(tail) => segment.damage.push(tail),
            None => {}
        }
        segment.store = Store::File(Arc::new(file), path.into());
        Ok(segment)
    }

    /// Appends a batch that has its place already. On an error nothing is appended.
    pub(super) fn append(&mut self, batch: Bytes, header: &BatchHeader) -> Result<()> {
        match &mut self.store {
            Store::File(file, path) => {
                if let Err(e) = file.write_all_at(&batch, self.size) {
                    // Should cutting fail as well: the next append goes to the same position, and
                    // recovery cuts what is behind the last whole batch.
                    let _ = file.set_len(self.size);
                    return Err(failed(
                        "cannot append to the log: free space or repair the disk, then restart",
                        path,
                        e,
                    ));
                }
                self.note(batch.len(), header);
            }
            Store::Memory(batches) => {
                let length = batch.len();
                batches.push((self.size, batch));
                self.note(length, header);
            }
        }
        Ok(())
    }

    fn note(&mut self, length: usize, header: &BatchHeader) {
        self.index.note(header.base_offset, self.size, false);
        self.size += length as u64;
        self.next_offset = header.last_offset() + 1;
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// The batches from the one that holds `offset` on: about `max_bytes`, one batch at least.
    /// None: the segment has nothing at or after it.
    pub(super) fn chunk(&self, offset: i64, max_bytes: usize) -> Result<Option<Chunk>> {
        if let Some(damage) = self.damage.iter().find(|d| d.covers(offset)) {
            return Err(self.unreadable(damage));
        }
        if offset >= self.next_offset || self.index.0.is_empty() {
            return Ok(None);
        }
        let first = self.index.at_or_before(offset);
        let (_, from) = self.index.0[first];
        let (mut to, mut end_offset) = (self.size, self.next_offset);
        if to - from > max_bytes as u64 {
            // Whole batches: up to the last noted one that fits, or else the next noted one.
            let after = &self.index.0[first + 1..];
            let fitting = after.partition_point(|(_, at)| at - from <= max_bytes as u64);
            if let Some(&(offset, position)) = after.get(fitting.saturating_sub(1)) {
                (to, end_offset) = (position, offset);
            }
        }
        if let Some(damage) = self.damage.iter().find(|d| (from..to).contains(&d.position)) {
            (to, end_offset) = (damage.position, damage.offset);
        }
        Ok(Some(Chunk { from, to, end_offset, source: self.store_of(from, to) }))
    }

    /// All its batches, in chunks; damage ends it with an error.
    pub(super) fn chunks(&self, max_bytes: usize) -> impl Iterator<Item = Result<Chunk>> + '_ {
        let mut offset = self.base_offset;
        std::iter::from_fn(move || {
            let chunk = self.chunk(offset, max_bytes).transpose()?;
            match &chunk {
                Ok(chunk) => offset = chunk.end_offset,
                Err(_) => offset = i64::MAX,
            }
            Some(chunk)
        })
    }

    /// The file, where there is one.
    pub(super) fn path(&self) -> Option<&Arc<Path>> {
        match &self.store {
            Store::File(_, path) => Some(path),
            Store::Memory(_) => None,
        }
    }

    fn store_of(&self, from: u64, to: u64) -> Store {
        match &self.store {
            Store::File(file, path) => Store::File(file.clone(), path.clone()),
            Store::Memory(batches) => {
                let first = batches.partition_point(|(at, _)| *at < from);
                let end = batches.partition_point(|(at, _)| *at < to);
                Store::Memory(batches[first..end].to_vec())
            }
        }
    }

    fn unreadable(&self, damage: &Damage) -> Error {
        let file = self.path().map_or("memory".into(), |path| path.display().to_string());
        let way_out = match damage.resume_offset {
            Some(offset) => format!(
                "restore the file from a backup, or give up these records and go on at offset \
                 {offset} by altering the consumer's offsets"
            ),
            None => "restore the file from a backup".to_owned(),
        };
        Error::fatal(format!("the log is damaged: {way_out}"))
            .context("file", file)
            .context("position", damage.position)
            .context("offset", damage.offset)
            .context("cause", &damage.what)
    }
}

impl Chunk {
    /// Reads the bytes, with the position of each part. Memory is shared; a file is read once,
    /// into one buffer.
    pub(super) fn load(&self) -> Result<Vec<(u64, Bytes)>> {
        match &self.source {
            Store::Memory(batches) => Ok(batches.clone()),
            Store::File(file, path) => {
                let mut bytes = vec![0; (self.to - self.from) as usize];
                file.read_exact_at(&mut bytes, self.from)
                    .map_err(|e| failed("cannot read from the log", path, e))?;
                Ok(vec![(self.from, bytes.into())])
            }
        }
    }

    /// Where errors in its bytes are.
    pub(super) fn place(&self) -> String {
        match &self.source {
            Store::Memory(_) => "memory".to_owned(),
            Store::File(_, path) => path.display().to_string(),
        }
    }
}

pub(super) fn failed(what: &'static str, path: &Path, source: io::Error) -> Error {
    Error::fatal(what).context("file", path.display()).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_batch::{Compression, Record, Writer};

    /// As on a full disk: the error names the file, and the segment is as before.
    #[test]
    fn a_write_that_fails_appends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(0));
        let mut segment = Segment::create(path.clone(), 0).unwrap();
        let mut writer = Writer::new(Compression::None);
        writer.push(&Record::new(1, None, Some(b"v"))).unwrap();
        let batch = writer.finish().unwrap().freeze();
        let header = BatchHeader::parse(&batch).unwrap().unwrap();
        segment.store = Store::File(Arc::new(File::open(&path).unwrap()), path.as_path().into());
        let error = segment.append(batch, &header).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("free space"), "{error}");
        assert_eq!((segment.size, segment.next_offset), (0, 0));
    }
}
