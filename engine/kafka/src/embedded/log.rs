//! Decides how a partition's log grows and is read: segments, one after the other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::{fs, io};

use bytes::BytesMut;
use millrace_api::{Error, Result, TopicPartition};
use tokio::sync::Notify;

use super::directory::{self, Directory};
use super::marker::Marker;
use super::producers::{self, Appended, Producers, Refusal, Verdict};
use super::recovery::{Checks, Damage};
use super::segment::{self, Segment};
use super::settings::{Isolation, Settings, TopicSettings};
use super::{compaction, now_ms};
use crate::lock::lock;
use crate::record_batch::{BatchHeader, LOG_APPEND_TIME, Limits, restamp, set_base_offset};

mod reading;

pub(super) use reading::{Read, Slice};

/// Where a log begins that had records deleted, in its directory.
const START_FILE: &str = "log-start-offset";

/// The log of one partition.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) topic_partition: TopicPartition,
    settings: Mutex<TopicSettings>,
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
    /// Records before this offset were deleted.
    deleted_to: i64,
    pub(super) producers: Producers,
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
        self.segments.first().map_or(0, |first| first.base_offset).max(self.deleted_to)
    }

    /// Up to where all transactions have ended.
    pub(super) fn stable_offset(&self) -> i64 {
        self.producers.first_unstable_offset().unwrap_or_else(|| self.next_offset())
    }

    fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.next_offset(),
            Isolation::Committed => self.stable_offset(),
        }
    }
}

/// How far a log reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The first offset.
    pub(super) start: i64,
    /// Up to where all transactions have ended (`last stable offset`).
    pub(super) stable: i64,
    /// The offset after the last (`high watermark`).
    pub(super) end: i64,
}

/// Where a batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) base_offset: i64,
    /// The log's own time, where it gives one.
    pub(super) append_time: Option<i64>,
}

/// Why a batch is not appended.
#[derive(Debug)]
pub(super) enum NotAppended {
    /// Its producer's earlier batches forbid it.
    Refused(Refusal),
    Failed(Error),
}

impl From<Error> for NotAppended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
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
        let deleted_to = read_start(&path)?;
        let place = Place { path, _directory: directory.clone() };
        let mut log = Self::new(topic_partition, settings, cluster, Some(place), segments);
        let state = log.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.deleted_to = deleted_to;
        for segment in &mut state.segments {
            for noted in std::mem::take(&mut segment.noted) {
                state.producers.replay(&noted);
            }
        }
        let log = Arc::new(log);
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
        let state = State {
            segments,
            deleted_to: 0,
            producers: Producers::default(),
            first_dirty_offset: 0,
            is_compacting: false,
            is_deleted: false,
        };
        Self {
            topic_partition,
            settings: Mutex::new(settings),
            limits: cluster.limits,
            dedupe_bytes: cluster.dedupe_bytes,
            place,
            state: Mutex::new(state),
            watchers: Mutex::new(Vec::new()),
        }
    }

    /// Its topic's settings, as they are now.
    pub(super) fn settings(&self) -> TopicSettings {
        *lock(&self.settings)
    }

    /// Goes on with these settings.
    pub(super) fn configure(&self, settings: TopicSettings) {
        *lock(&self.settings) = settings;
    }

    /// Gives a batch the next offsets and appends it; it is the operating system's when this
    /// returns, so that ending the process, in whatever way, does not lose it.
    pub(super) fn append(self: &Arc<Self>, batch: BytesMut) -> Result<i64> {
        let has_rolled;
        let base_offset;
        {
            let mut state = lock(&self.state);
            (base_offset, has_rolled) = self.append_next(&mut state, batch)?;
        }
        self.appended(has_rolled);
        Ok(base_offset)
    }

    /// As [`Log::append`], for a batch of records that came over the network: one that its
    /// producer sent before is not appended again. Its checksum is right.
    pub(super) fn append_sent(
        self: &Arc<Self>,
        mut batch: BytesMut,
    ) -> Result<Placed, NotAppended> {
        let append_time = self.settings().is_append_time.then(now_ms);
        restamp_sent(&mut batch, append_time)?;
        let (base_offset, has_rolled);
        {
            let mut state = lock(&self.state);
            let header = parse(&batch)?;
            if header.producer_id >= 0 {
                match state.producers.check(&header).map_err(NotAppended::Refused)? {
                    Verdict::Append => {}
                    Verdict::Duplicate(appended) => {
                        return Ok(Placed::again(appended, append_time));
                    }
                }
            }
            (base_offset, has_rolled) = self.append_next(&mut state, batch)?;
            if header.producer_id >= 0 {
                state.producers.appended(&BatchHeader { base_offset, ..header });
            }
        }
        self.appended(has_rolled);
        Ok(Placed { base_offset, append_time })
    }

    /// Ends a producer's transaction in this log.
    pub(super) fn append_marker(self: &Arc<Self>, marker: &Marker) -> Result<(), NotAppended> {
        let now = now_ms();
        let batch = marker.batch(now)?;
        let has_rolled;
        {
            let mut state = lock(&self.state);
            state.producers.check_marker(marker).map_err(NotAppended::Refused)?;
            let base_offset;
            (base_offset, has_rolled) = self.append_next(&mut state, batch)?;
            state.producers.marked(marker, base_offset, now);
        }
        self.appended(has_rolled);
        Ok(())
    }

    /// The offset it got, and whether a segment was closed before it.
    fn append_next(&self, state: &mut State, mut batch: BytesMut) -> Result<(i64, bool)> {
        if state.is_deleted {
            return Err(self.deleted());
        }
        let base_offset = state.next_offset();
        set_base_offset(&mut batch, base_offset);
        let header = parse(&batch)?;
        let has_rolled = self.roll_if_full(state, batch.len() as u64)?;
        let active = state.segments.last_mut().expect("a log has a segment");
        active.append(batch.freeze(), &header)?;
        Ok((base_offset, has_rolled))
    }

    fn appended(self: &Arc<Self>, has_rolled: bool) {
        self.wake_watchers();
        if has_rolled {
            self.compact_if_due();
        }
    }

    fn roll_if_full(&self, state: &mut State, batch: u64) -> Result<bool> {
        let active = state.segments.last().expect("a log has a segment");
        if active.size == 0 || active.size + batch <= self.settings().segment_bytes {
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

    /// The first offset, and the one after the last.
    pub(super) fn offsets(&self) -> (i64, i64) {
        let bounds = self.bounds();
        (bounds.start, bounds.end)
    }

    /// The offset after the last record that a reader may see.
    pub(super) fn end(&self, isolation: Isolation) -> i64 {
        lock(&self.state).end(isolation)
    }

    /// Who has written to it.
    pub(super) fn producers(&self) -> Vec<producers::Description> {
        lock(&self.state).producers.describe()
    }

    /// How far it reaches.
    pub(super) fn bounds(&self) -> Bounds {
        let state = lock(&self.state);
        let (start, end) = (state.start_offset(), state.next_offset());
        Bounds { start, stable: state.stable_offset(), end }
    }

    /// The segments that may have a record of this time or later, first to last.
    pub(super) fn segments_since(&self, timestamp: i64) -> Vec<Segment> {
        let state = lock(&self.state);
        state.segments.iter().filter(|s| s.max_timestamp >= timestamp).cloned().collect()
    }

    /// Deletes the records before this offset, and says where the log begins then.
    pub(super) fn delete_before(&self, offset: i64) -> Result<i64> {
        let mut state = lock(&self.state);
        let start = offset.max(state.start_offset());
        if let Some(place) = &self.place {
            let path = place.path.join(START_FILE);
            directory::replace(&path, start.to_string().as_bytes())
                .map_err(|e| segment::failed("cannot write where a log begins", &path, e))?;
        }
        state.deleted_to = start;
        state.producers.truncate_front(start);
        let whole = state.segments.partition_point(|s| s.next_offset <= start);
        let whole = whole.min(state.segments.len() - 1);
        // A compaction that runs has these segments in its hands.
        if !state.is_compacting {
            for segment in state.segments.drain(..whole) {
                let removed = segment.path().map_or(Ok(()), fs::remove_file);
                if let Err(error) = removed {
                    tracing::warn!(%error, "cannot remove a log segment that is not used any more");
                }
            }
        }
        Ok(start)
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
        if !self.settings().is_compacted || !self.is_dirty() {
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
        dirty > 0 && dirty as f64 >= all as f64 * self.settings().min_dirty_ratio
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.state
    }

    fn deleted(&self) -> Error {
        Error::new(millrace_api::ErrorKind::NotFound, "the topic was deleted")
            .context("topic", &self.topic_partition.topic)
    }
}

impl Placed {
    /// For a batch that was appended before.
    fn again(appended: Appended, append_time: Option<i64>) -> Self {
        let append_time = append_time.map(|_| appended.max_timestamp);
        Self { base_offset: appended.base_offset, append_time }
    }
}

/// The header of a whole batch.
fn parse(batch: &[u8]) -> Result<BatchHeader> {
    let header = BatchHeader::parse(batch).map_err(|corrupt| corrupt.at(0))?;
    header.ok_or_else(|| Error::fatal("a record batch has no header"))
}

/// What a leader fills in: its epoch, which never changes here, and its clock if that counts.
fn restamp_sent(batch: &mut [u8], append_time: Option<i64>) -> Result<()> {
    const LEADER_EPOCH: std::ops::Range<usize> = 12..16;
    if let Some(now) = append_time {
        restamp(batch, |header| {
            header.attributes |= LOG_APPEND_TIME;
            header.max_timestamp = now;
        })
        .map_err(|corrupt| corrupt.at(0))?;
    }
    if let Some(epoch) = batch.get_mut(LEADER_EPOCH) {
        epoch.copy_from_slice(&0_i32.to_be_bytes());
    }
    Ok(())
}

/// Where the log begins, if records were deleted.
fn read_start(directory: &Path) -> Result<i64> {
    let path = directory.join(START_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|e| {
            Error::fatal("the file that says where a log begins is damaged: remove it")
                .context("file", path.display())
                .with_source(e)
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(segment::failed("cannot read where a log begins", &path, e)),
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
