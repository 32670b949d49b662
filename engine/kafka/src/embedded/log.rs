//! Decides how a partition's log grows and is read: segments, one after the other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::{fs, io};

use bytes::BytesMut;
use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::Notify;

use super::directory::{self, Directory};
use super::recovery::{Checks, Damage};
use super::segment::{self, Chunk, Segment};
use super::settings::{Settings, TopicSettings};
use super::{compaction, lock};
use crate::record_batch::{BatchHeader, Columns, Limits, Reader, set_base_offset};

/// The log of one partition.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) topic_partition: TopicPartition,
    pub(super) settings: TopicSettings,
    pub(super) limits: Limits,
    pub(super) dedupe_bytes: usize,
    place: Option<Place>,
    state: Mutex<State>,
    watchers: Mutex<Vec<Weak<Notify>>>,
}

/// Where a log's files are. Holds the directory's lock as long as anybody has the log.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    _directory: Directory,
}

#[derive(Debug)]
pub(super) struct State {
    /// Never empty; the last one is appended to.
    pub(super) segments: Vec<Segment>,
    /// Before this offset everything has been compacted.
    pub(super) first_dirty_offset: i64,
    pub(super) is_compacting: bool,
    pub(super) is_deleted: bool,
}

impl State {
    pub(super) fn next_offset(&self) -> i64 {
        self.segments.last().map_or(0, |active| active.next_offset)
    }

    fn start_offset(&self) -> i64 {
        self.segments.first().map_or(0, |first| first.base_offset)
    }
}

/// The answer to [`Log::read`].
#[derive(Debug)]
pub(super) enum Read {
    /// Nothing there yet.
    Nothing,
    /// The log begins after the offset, or ends before it.
    OutOfRange,
    /// Records from the offset on, possibly none where compaction has left none.
    Records {
        columns: Box<Columns>,
        /// Where to read on; always beyond the offset asked for.
        next_offset: i64,
        /// How much of the log was read.
        bytes: usize,
    },
}

/// What [`Log::read`] finds under the lock.
enum Found {
    Nothing,
    OutOfRange,
    Chunk(Chunk),
}

impl Log {
    /// An empty log in memory.
    pub(super) fn in_memory(
        topic_partition: TopicPartition,
        settings: TopicSettings,
        cluster: &Settings,
    ) -> Self {
        Self::new(topic_partition, settings, cluster, None, vec![Segment::in_memory(0)])
    }

    /// An empty log in files. What is there under its name belongs to a topic that was deleted.
    pub(super) fn create(
        topic_partition: TopicPartition,
        settings: TopicSettings,
        cluster: &Settings,
        directory: &Directory,
    ) -> Result<Self> {
        let path = directory.partition(&topic_partition);
        let cleared = match fs::remove_dir_all(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        cleared
            .and_then(|()| fs::create_dir(&path))
            .map_err(|e| segment::failed("cannot make a partition's directory", &path, e))?;
        let first = Segment::create(path.join(segment::file_name(0)), 0)?;
        let place = Place { path, _directory: directory.clone() };
        Ok(Self::new(topic_partition, settings, cluster, Some(place), vec![first]))
    }

    /// Opens the log that is there, cutting off what a crash left unfinished.
    pub(super) fn open(
        topic_partition: TopicPartition,
        settings: TopicSettings,
        cluster: &Settings,
        directory: &Directory,
    ) -> Result<Arc<Self>> {
        let path = directory.partition(&topic_partition);
        compaction::remove_unfinished(&path)
            .map_err(|e| segment::failed("cannot list a partition's directory", &path, e))?;
        let segments = open_segments(&path, settings.is_compacted)?;
        let place = Place { path, _directory: directory.clone() };
        let log = Arc::new(Self::new(topic_partition, settings, cluster, Some(place), segments));
        log.compact_if_due();
        Ok(log)
    }

    fn new(
        topic_partition: TopicPartition,
        settings: TopicSettings,
        cluster: &Settings,
        place: Option<Place>,
        segments: Vec<Segment>,
    ) -> Self {
        let state =
            State { segments, first_dirty_offset: 0, is_compacting: false, is_deleted: false };
        Self {
            topic_partition,
            settings,
            limits: cluster.limits,
            dedupe_bytes: cluster.dedupe_bytes,
            place,
            state: Mutex::new(state),
            watchers: Mutex::new(Vec::new()),
        }
    }

    /// Gives a batch the next offsets and appends it; it is the operating system's when this
    /// returns, so that ending the process, in whatever way, does not lose it.
    pub(super) fn append(self: &Arc<Self>, mut batch: BytesMut) -> Result<i64> {
        let base_offset;
        let has_rolled;
        {
            let mut state = lock(&self.state);
            if state.is_deleted {
                return Err(self.deleted());
            }
            base_offset = state.next_offset();
            set_base_offset(&mut batch, base_offset);
            let header = BatchHeader::parse(&batch)
                .map_err(|corrupt| corrupt.at(0))?
                .ok_or_else(|| Error::fatal("a record batch has no header"))?;
            has_rolled = self.roll_if_full(&mut state, batch.len() as u64)?;
            let active = state.segments.last_mut().expect("a log has a segment");
            active.append(batch.freeze(), &header)?;
        }
        self.wake_watchers();
        if has_rolled {
            self.compact_if_due();
        }
        Ok(base_offset)
    }

    fn roll_if_full(&self, state: &mut State, batch: u64) -> Result<bool> {
        let active = state.segments.last().expect("a log has a segment");
        if active.size == 0 || active.size + batch <= self.settings.segment_bytes {
            return Ok(false);
        }
        let base_offset = active.next_offset;
        let segment = match &self.place {
            None => Segment::in_memory(base_offset),
            Some(place) => {
                Segment::create(place.path.join(segment::file_name(base_offset)), base_offset)?
            }
        };
        state.segments.push(segment);
        Ok(true)
    }

    /// Reads from this offset on: about `max_bytes`, one batch at least.
    ///
    /// The calls block, on purpose: what is read was mostly written a moment ago and is in the page
    /// cache, where a chunk of a mebibyte takes about 0.1 ms; handing that to a thread of the
    /// blocking pool costs two switches and takes the bytes out of this core's cache.
    pub(super) fn read(&self, offset: i64, max_bytes: usize, limits: Limits) -> Result<Read> {
        let chunk = match self.find(offset, max_bytes)? {
            Found::Nothing => return Ok(Read::Nothing),
            Found::OutOfRange => return Ok(Read::OutOfRange),
            Found::Chunk(chunk) => chunk,
        };
        let mut reader = Reader::new(limits).from_offset(offset);
        let mut bytes = 0;
        let mut next_offset = chunk.end_offset;
        for (position, part) in chunk.load()? {
            bytes += part.len();
            match reader.read(&part, position) {
                Ok(read) if read == part.len() => {}
                // What came before the damage is handed out first; then it is met again.
                Err(e) if reader.is_empty() => return Err(self.unreadable(&chunk).with_source(e)),
                Ok(_) | Err(_) => {
                    next_offset = reader.next_offset().unwrap_or(offset);
                    break;
                }
            }
        }
        if next_offset <= offset {
            return Err(self.unreadable(&chunk));
        }
        Ok(Read::Records { columns: Box::new(reader.finish()), next_offset, bytes })
    }

    fn find(&self, offset: i64, max_bytes: usize) -> Result<Found> {
        let state = lock(&self.state);
        if state.is_deleted || offset == state.next_offset() {
            return Ok(Found::Nothing);
        }
        if offset < state.start_offset() || offset > state.next_offset() {
            return Ok(Found::OutOfRange);
        }
        let after = state.segments.partition_point(|s| s.base_offset <= offset);
        for segment in &state.segments[after - 1..] {
            let chunk = segment.chunk(offset, max_bytes);
            let chunk = chunk.map_err(|e| e.context("partition", &self.topic_partition))?;
            if let Some(chunk) = chunk {
                return Ok(Found::Chunk(chunk));
            }
        }
        Ok(Found::Nothing)
    }

    fn unreadable(&self, chunk: &Chunk) -> Error {
        Error::fatal(
            "the log is damaged: restore the file from a backup, or give up its damaged records \
             by altering the consumer's offsets to one behind them",
        )
        .context("partition", &self.topic_partition)
        .context("file", chunk.place())
    }

    /// The first offset, and the one after the last.
    pub(super) fn offsets(&self) -> (i64, i64) {
        let state = lock(&self.state);
        (state.start_offset(), state.next_offset())
    }

    /// Has `wake` told of every append from now on, until it is dropped or unwatched.
    pub(super) fn watch(&self, wake: &Arc<Notify>) {
        lock(&self.watchers).push(Arc::downgrade(wake));
    }

    /// Undoes [`Log::watch`].
    pub(super) fn unwatch(&self, wake: &Arc<Notify>) {
        lock(&self.watchers).retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(wake)));
    }

    fn wake_watchers(&self) {
        lock(&self.watchers).retain(|watcher| match watcher.upgrade() {
            // Remembered when nobody waits just now, so that no append is missed.
            Some(wake) => {
                wake.notify_one();
                true
            }
            None => false,
        });
    }

    /// Refuses appends from now on and takes the files away. Readers keep what they have.
    pub(super) fn delete(&self) {
        lock(&self.state).is_deleted = true;
        self.wake_watchers();
        if let Some(place) = &self.place
            && let Err(e) = fs::remove_dir_all(&place.path)
        {
            tracing::warn!(
                directory = %place.path.display(),
                error = %e,
                "cannot remove the files of a deleted topic; they are not used any more"
            );
        }
    }

    /// Compacts in the background when enough of the log may be superfluous.
    fn compact_if_due(self: &Arc<Self>) {
        if !self.settings.is_compacted || !self.is_dirty() {
            return;
        }
        let log = Arc::clone(self);
        let compact = move || {
            if let Err(error) = compaction::compact(&log) {
                tracing::error!(%error, partition = %log.topic_partition, "cannot compact the log");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(compact)),
            Err(_) => compact(),
        }
    }

    fn is_dirty(&self) -> bool {
        let state = lock(&self.state);
        let Some((_, closed)) = state.segments.split_last() else {
            return false;
        };
        let all: u64 = closed.iter().map(|s| s.size).sum();
        let dirty = closed.iter().filter(|s| s.next_offset > state.first_dirty_offset);
        let dirty: u64 = dirty.map(|s| s.size).sum();
        dirty > 0 && dirty as f64 >= all as f64 * self.settings.min_dirty_ratio
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.state
    }

    fn deleted(&self) -> Error {
        Error::new(millrace_api::ErrorKind::NotFound, "the topic was deleted")
            .context("topic", &self.topic_partition.topic)
    }
}

/// Opens the segments of a partition and notes what is missing between them.
fn open_segments(path: &Path, allow_gaps: bool) -> Result<Vec<Segment>> {
    let files = directory::segment_files(path)
        .map_err(|e| segment::failed("cannot list a partition's directory", path, e))?;
    let last = files.keys().next_back().copied();
    let mut segments: Vec<Segment> = Vec::with_capacity(files.len().max(1));
    for (base_offset, file) in files {
        if let Some(before) = segments.last_mut() {
            if base_offset < before.next_offset && remove_merged(before, base_offset, &file)? {
                continue;
            }
            close_gap(before, base_offset);
        }
        segments.push(open_segment(file, base_offset, allow_gaps, Some(base_offset) == last)?);
    }
    for segment in &segments {
        for damage in &segment.damage {
            tracing::error!(
                file = %segment.path().map_or("".into(), |p| p.display().to_string()),
                position = damage.position,
                first_lost_offset = damage.offset,
                resume_offset = damage.resume_offset,
                cause = damage.what,
                "the log is damaged; reading will stop there"
            );
        }
    }
    if segments.is_empty() {
        segments.push(Segment::create(path.join(segment::file_name(0)), 0)?);
    }
    Ok(segments)
}

/// Checks the last segment whole: that is where a crash leaves traces. The others have been whole
/// before, so only what looks odd in them is gone through again with all checks.
fn open_segment(
    file: PathBuf,
    base_offset: i64,
    allow_gaps: bool,
    is_last: bool,
) -> Result<Segment> {
    let checks = Checks { checksums: is_last, allow_gaps };
    let segment = Segment::open(file.clone(), base_offset, checks, is_last)?;
    if segment.damage.is_empty() || is_last {
        return Ok(segment);
    }
    Segment::open(file, base_offset, Checks { checksums: true, allow_gaps }, is_last)
}

/// Compaction merges segments into the first of them, and may have been stopped before the others
/// were removed. Removes one when it is certain that this happened.
fn remove_merged(before: &Segment, base_offset: i64, file: &Path) -> Result<bool> {
    let checks = Checks { checksums: true, allow_gaps: true };
    let Some(path) = before.path() else {
        return Ok(false);
    };
    let merged = Segment::open(path.to_path_buf(), before.base_offset, checks, false)?;
    let other = Segment::open(file.to_path_buf(), base_offset, checks, false)?;
    if !merged.damage.is_empty() || merged.next_offset < other.next_offset {
        return Err(Error::fatal(
            "two log segments hold the same offsets, and neither can be left out: restore the \
             partition's directory from a backup",
        )
        .context("file", file.display())
        .context("first offset", base_offset)
        .context("segment before", path.display())
        .context("its end", merged.next_offset));
    }
    fs::remove_file(file)
        .map_err(|e| segment::failed("cannot remove a merged log segment", file, e))?;
    Ok(true)
}

/// A segment reaches up to the next one. What it lacks is lost.
fn close_gap(segment: &mut Segment, next_base_offset: i64) {
    if let Some(open) = segment.damage.iter_mut().find(|d| d.resume_offset.is_none()) {
        open.resume_offset = Some(next_base_offset);
    } else if segment.next_offset < next_base_offset {
        segment.damage.push(Damage {
            position: segment.size,
            offset: segment.next_offset,
            resume_offset: Some(next_base_offset),
            what: "the file ends before the next segment begins".to_owned(),
        });
    }
}
