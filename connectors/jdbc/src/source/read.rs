//! A table or the query of a task: how far it was read, and how offsets say so.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::BooleanArray;
use millrace_api::data::{Records, SourceOffset, SourcePartition, SourceRecords};
use millrace_api::{Error, Result, SourceContext};
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::dialect::From;
use crate::gaps::{Gaps, Horizon};
use crate::position::Position;
use crate::source::config::Mode;
use crate::source::job::Settings;
use crate::source::progress::Progress;
use crate::source::snapshot::Piece;
use crate::unfinished::Unfinished;

/// A table or the query, and how far it was read.
pub(super) struct Read {
    pub(super) settings: Arc<Settings>,
    pub(super) from: From,
    topic: Arc<str>,
    partition: Arc<SourcePartition>,
    /// Nothing in bulk mode.
    pub(super) position: Position,
    /// Whose rows may still come.
    pub(super) gaps: Gaps,
    /// The same in a mode by time.
    pub(super) unfinished: Option<Arc<Unfinished>>,
    /// Whether nothing was committed that a reading goes on from; always so in bulk mode.
    pub(super) is_at_start: bool,
    /// What a snapshot has read, while it is being made.
    pub(super) progress: Option<Progress>,
    begun: Instant,
    pub(super) due: Instant,
    pub(super) failures: u32,
}

impl Read {
    /// Nothing was read yet.
    pub(super) fn new(from: From, settings: Arc<Settings>) -> Self {
        let config = &settings.config;
        let (topic, partition) = match &from {
            From::Table(table) if config.mode().is_incremental() => {
                (config.topic(Some(&table.name)), versioned(&table.to_string()))
            }
            From::Table(table) => (config.topic(Some(&table.name)), unversioned(&table.name)),
            From::Query(_) => (config.topic(None), of_query()),
        };
        Self {
            settings,
            from,
            topic: topic.into(),
            partition: Arc::new(partition),
            position: Position::default(),
            gaps: Gaps::default(),
            unfinished: None,
            is_at_start: true,
            progress: None,
            begun: Instant::now(),
            due: Instant::now(),
            failures: 0,
        }
    }

    /// Goes on from what is committed, by the newest offset that there is.
    pub(super) async fn resume(&mut self, context: &SourceContext) -> Result<()> {
        let Settings { config, dialect, commit_safety, .. } = &*self.settings;
        let mode = config.mode();
        if !mode.is_incremental() && !config.takes_snapshots() {
            return Ok(());
        }
        let mut partitions = vec![SourcePartition::clone(&self.partition)];
        if let (From::Table(table), true) = (&self.from, mode.is_incremental()) {
            let with_catalog = dialect.catalog().map(|name| versioned(&format!("{name}.{table}")));
            partitions.extend(with_catalog);
            partitions.push(unversioned(&table.name));
        }
        let offsets = context.offsets().offsets(&partitions).await?;
        // An unversioned one is read in incremental modes, not written.
        let is_ours = |partition: &SourcePartition| partition.len() == self.partition.len();
        let mut found = offsets.iter().zip(partitions).filter(|(offset, _)| offset.is_some());
        if let Some((Some(own), partition)) = found.find(|(_, partition)| is_ours(partition)) {
            self.progress = told(own, SNAPSHOT).as_ref().and_then(Progress::from_json);
            // Who wrote it finds it where it was.
            self.partition = Arc::new(partition);
        }
        if !mode.is_incremental() {
            return Ok(());
        }
        let newest = offsets.into_iter().flatten().next().unwrap_or_default();
        let named = |error: Error| error.context("connector", context.connector());
        self.position = Position::from_offset(&newest).map_err(named)?;
        self.is_at_start = self.position.incrementing.is_none();
        if commit_safety.is_some() && mode.has_times() {
            let unfinished = told(&newest, UNFINISHED).as_ref().and_then(Unfinished::from_json);
            self.unfinished = unfinished.map(Arc::new);
        } else if commit_safety.is_some() {
            self.gaps = told(&newest, GAPS).as_ref().map(Gaps::from_json).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether several readers are to read it: from its start on, or what is left.
    pub(super) fn wants_snapshot(&self) -> bool {
        let config = &self.settings.config;
        let may = matches!(config.mode(), Mode::Bulk | Mode::Incrementing);
        self.is_at_start && may && (config.takes_snapshots() || self.progress.is_some())
    }

    /// The records of a batch. The position moves with it.
    pub(super) fn records(&mut self, batch: Batch) -> SourceRecords {
        // One that could not go on: its ids are others now.
        self.progress = None;
        let mut again = Vec::new();
        if let (Some(last), true) = (self.position.incrementing, self.settings.looks_for_gaps()) {
            self.look_for_gaps(last, &batch, &mut again);
        }
        self.position = self.position.moved_to(batch.last);
        if batch.unfinished.is_some() {
            self.unfinished.clone_from(&batch.unfinished);
        }
        // Bulk mode has no position, and begins at the start each time.
        self.is_at_start &= self.position == Position::default();
        let mut run = self.emit(batch);
        if !again.is_empty() {
            let mut keep = vec![true; run.records.len()];
            again.into_iter().for_each(|row| keep[row] = false);
            run.records = run.records.filter(&BooleanArray::from(keep));
        }
        run
    }

    /// The records of a piece of a snapshot.
    pub(super) fn records_of_piece(&mut self, piece: Piece) -> SourceRecords {
        if self.settings.looks_for_gaps() {
            let last = self.look_for_gaps(piece.looked_at, &piece.batch, &mut Vec::new());
            if let Some(end) = piece.chunk_end.filter(|end| last < *end) {
                self.gaps.pass_over(last + 1..=end);
            }
            piece.without_rows.into_iter().for_each(|ids| self.gaps.pass_over(ids));
        }
        self.progress = Some(piece.progress);
        self.emit(*piece.batch)
    }

    /// A snapshot is complete: an incremental mode goes on from its last id. `without_rows` are ids
    /// that no piece has told.
    pub(super) fn snapshot_is_complete(&mut self, without_rows: Vec<RangeInclusive<i64>>) {
        if self.settings.looks_for_gaps() {
            without_rows.into_iter().for_each(|ids| self.gaps.pass_over(ids));
        }
        let progress = self.progress.take();
        if self.position == Position::default() {
            return;
        }
        self.is_at_start = false;
        if let Some(progress) = progress {
            self.position.incrementing = Some(progress.last_id());
        }
    }

    /// A reading is over. Forgets gaps that nobody fills any more; says so where there are more than
    /// are remembered, but for those that an old table begins with.
    pub(super) fn forget_gaps(&mut self, horizons: [Horizon; 2]) {
        let Some(grace) = self.settings.commit_safety else { return };
        let [begin, end] = horizons;
        self.gaps.forget(begin, end, grace);
        if self.gaps.has_dropped_after((self.begun + 3 * grace).into()) {
            self.settings.template.warnings.once(format!(
                "ids without rows come faster in {} than transactions end, and far from each \
                 other: only the newest are looked for in case their rows are committed late, \
                 and a row below may be missed; use timestamp+incrementing, or poll a view",
                self.from.place()
            ));
        }
    }

    /// Looks for ids that were passed over among rows that follow `last`, and for rows that were
    /// read before. Gives the last id.
    fn look_for_gaps(&mut self, mut last: i64, batch: &Batch, again: &mut Vec<usize>) -> i64 {
        for (row, id) in batch.ids() {
            if !self.gaps.read(last, id) {
                again.push(row);
            }
            last = last.max(id);
        }
        last
    }

    fn emit(&self, batch: Batch) -> SourceRecords {
        let mut records = Records::new(Arc::clone(&self.topic), batch.column);
        if let Some(key) = batch.key {
            records.key = *key;
        }
        SourceRecords {
            records,
            source_partition: Arc::clone(&self.partition),
            source_offset: self.offset(),
        }
    }

    /// The offset to store; none in bulk mode without a snapshot.
    fn offset(&self) -> Option<SourceOffset> {
        let is_incremental = self.position != Position::default();
        let mut offset = match &self.progress {
            None => self.position.to_offset()?,
            Some(progress) if !progress.is_over() => of_snapshot(progress.to_json().to_string()),
            Some(progress) if is_incremental => {
                let incrementing = Some(progress.last_id());
                Position { incrementing, ..self.position }.to_offset()?
            }
            Some(_) => of_snapshot("over".to_owned()),
        };
        if let Some(gaps) = self.gaps.to_json() {
            offset.insert(GAPS.to_owned(), gaps.to_string().into());
        }
        if let Some(unfinished) = &self.unfinished {
            offset.insert(UNFINISHED.to_owned(), unfinished.to_json().to_string().into());
        }
        Some(offset)
    }
}

// Beside Confluent's own keys, an offset may hold these, all of them text: Java's worker reads no
// offset with anything in it that is not text, a number or a truth value.
/// The key of [`Progress`]: `"over"` once all rows were read, in bulk mode.
pub(super) const SNAPSHOT: &str = "millrace.snapshot";
/// The key of [`Gaps`].
const GAPS: &str = "millrace.gaps";
/// The key of [`Unfinished`].
pub(super) const UNFINISHED: &str = "millrace.unfinished";

fn of_snapshot(progress: String) -> SourceOffset {
    SourceOffset::from_iter([(SNAPSHOT.to_owned(), progress.into())])
}

/// What is kept under one of these keys.
pub(super) fn told(offset: &SourceOffset, key: &str) -> Option<Json> {
    serde_json::from_str(offset.get(key)?.as_str()?).ok()
}

/// A map of strings.
fn partition<const N: usize>(entries: [(&str, &str); N]) -> SourcePartition {
    let entries = entries.into_iter();
    entries.map(|(k, v)| (k.to_owned(), Json::from(v))).collect()
}

/// The source partition of a table in an incremental mode.
fn versioned(qualified: &str) -> SourcePartition {
    partition([("protocol", "1"), ("table", qualified)])
}

/// The source partition of a table in bulk mode, and in offsets of very old versions.
fn unversioned(name: &str) -> SourcePartition {
    partition([("table", name)])
}

fn of_query() -> SourcePartition {
    partition([("query", "query")])
}
