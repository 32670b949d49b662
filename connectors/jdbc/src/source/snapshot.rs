//! Reads a table from its start by several readers at once (`snapshot.parallelism`), each a chunk
//! of its ids at a time.
//!
//! Where the database can share one (PostgreSQL), all readers have the same view of the data. What
//! was read is in the offset of each run, so that a restart goes on with the rest, in a view of its
//! own. Readers run beside the task; each holds three batches at most.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::select_all;
use millrace_api::Result;

use crate::batch::Batch;
use crate::cursor::{Cursor, Ended, Next};
use crate::dialect::{Connection, From, Select};
use crate::position::{Beyond, Moment, Part, Position};
use crate::source::columns::{Columns, complete_key};
use crate::source::connector::connect;
use crate::source::job::Settings;
use crate::source::progress::Progress;
use crate::table::TableId;

/// How often it says how far it is.
const REPORT: Duration = Duration::from_secs(10);

/// A table that is being read.
pub(super) struct Snapshot {
    settings: Arc<Settings>,
    /// Of the whole table.
    select: Select,
    progress: Progress,
    readers: Vec<Reader>,
    /// Ids without a row that no piece has told yet.
    without_rows: Vec<RangeInclusive<i64>>,
    /// Connections that no reader has.
    idle: Vec<Box<dyn Connection>>,
    /// Keeps the view that all readers share.
    _view: Option<Box<dyn Connection>>,
    report: Report,
}

/// What is to be read.
pub(super) struct Start {
    pub(super) settings: Arc<Settings>,
    pub(super) table: TableId,
    /// Ids up to this one are left out.
    pub(super) after: Option<i64>,
    /// What was read before.
    pub(super) progress: Option<Progress>,
}

/// One chunk that is being read.
struct Reader {
    chunk: u64,
    cursor: Cursor,
    /// The batch before: whether it is the chunk's last one shows when there is no other.
    held: Option<Box<Batch>>,
}

/// A batch, and what was read once it is.
pub(super) struct Piece {
    pub(super) batch: Box<Batch>,
    pub(super) progress: Progress,
    /// All ids of its chunk up to this one were looked at before.
    pub(super) looked_at: i64,
    /// The last id that was looked at, where the chunk is over.
    pub(super) chunk_end: Option<i64>,
    /// Ids that were looked at besides, and have no row.
    pub(super) without_rows: Vec<RangeInclusive<i64>>,
}

/// What is left of a snapshot that is complete.
pub(super) struct Complete {
    pub(super) connection: Option<Box<dyn Connection>>,
    pub(super) without_rows: Vec<RangeInclusive<i64>>,
}

impl Snapshot {
    /// Begins to read a table, or what is left of it. Gives the connection back where that cannot
    /// be done by ids, or there is nothing to read.
    pub(super) async fn begin(
        start: Start,
        connection: Option<Box<dyn Connection>>,
    ) -> Result<Result<Self, Box<dyn Connection>>> {
        let Start { settings, table, after, progress } = start;
        let mut connection = match connection {
            Some(connection) => connection,
            None => connect(&*settings.dialect, &settings.config).await?,
        };
        let mut select = Select { from: From::Table(table.clone()), ..settings.template.clone() };
        let Some(column) = ids_of(&settings, &table, &mut *connection).await? else {
            select.warnings.once(format!(
                "{table} is read by one reader: for snapshot.parallelism it needs a whole number \
                 that tells its rows apart, as incrementing.column.name or as a column that \
                 counts up by itself"
            ));
            return Ok(Err(connection));
        };
        let mut without_rows = Vec::new();
        let progress = match progress.filter(|progress| progress.column == column) {
            Some(progress) => progress,
            None => {
                let Some(mut extent) = connection.extent(&table, &column).await? else {
                    return Ok(Err(connection));
                };
                if let Some(first) = after.map(|id| id.saturating_add(1)) {
                    without_rows.push(first..=extent.ids.start().saturating_sub(1));
                    extent.ids = first.max(*extent.ids.start())..=*extent.ids.end();
                }
                if extent.ids.is_empty() {
                    return Ok(Err(connection));
                }
                Progress::new(column.clone(), &extent, settings.config.snapshot_chunk_rows())
            }
        };
        complete_key(&mut select, &table, &mut *connection).await?;
        select.view = connection.share_view().await?;
        select.beyond = Some(Beyond {
            position: Position::default(),
            timestamps: Vec::new(),
            incrementing: Some(column),
            until: Moment::default(),
            part: Part::New,
            unfinished: None,
        });
        let (view, idle) = match select.view {
            Some(_) => (Some(connection), Vec::new()),
            None => (None, vec![connection]),
        };
        let report = Report::new(table, &progress);
        let readers = Vec::new();
        Ok(Ok(Self {
            settings,
            select,
            progress,
            readers,
            without_rows,
            idle,
            _view: view,
            report,
        }))
    }

    /// The next rows; none once all were given. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            self.employ();
            if self.readers.is_empty() {
                return Ok(None);
            }
            // Whoever is first in line is asked first.
            self.readers.rotate_left(1);
            let nexts = self.readers.iter_mut().map(|reader| reader.cursor.next().boxed());
            let (next, index, _) = select_all(nexts).await;
            let piece = match next? {
                Next::Batch(batch) => self.arrived(index, batch),
                Next::End(ended) => self.ended(index, ended),
            };
            if let Some(piece) = piece {
                self.report.tell(&piece.progress);
                return Ok(Some(piece));
            }
        }
    }

    /// Gives every reader a chunk.
    fn employ(&mut self) {
        let most = self.settings.config.snapshot_parallelism();
        while self.readers.len() < most {
            let readers = &self.readers;
            let is_read = |chunk| readers.iter().any(|reader| reader.chunk == chunk);
            let Some(chunk) = self.progress.begin(is_read) else { return };
            let mut select = self.select.clone();
            if let Some(beyond) = &mut select.beyond {
                beyond.part = Part::Among(vec![self.progress.rest(chunk)]);
            }
            let (settings, connection) = (Arc::clone(&self.settings), self.idle.pop());
            let cursor = Cursor::spawned(|batches| async move {
                let mut connection = match connection {
                    Some(connection) => connection,
                    None => connect(&*settings.dialect, &settings.config).await?,
                };
                connection.read(&select, &batches).await?;
                Ok(Ended { connection, horizons: None, unfinished: None })
            });
            self.readers.push(Reader { chunk, cursor, held: None });
        }
    }

    /// A batch came: the one before it can go.
    fn arrived(&mut self, index: usize, batch: Box<Batch>) -> Option<Piece> {
        let reader = &mut self.readers[index];
        let before = reader.held.replace(batch)?;
        let chunk = reader.chunk;
        Some(self.piece(chunk, before, None))
    }

    /// A chunk has no more rows: its last batch can go.
    fn ended(&mut self, index: usize, ended: Ended) -> Option<Piece> {
        let Reader { chunk, held, .. } = self.readers.remove(index);
        self.idle.push(ended.connection);
        let rest = self.progress.rest(chunk);
        if let Some(last) = held {
            return Some(self.piece(chunk, last, Some(*rest.end())));
        }
        self.without_rows.push(rest);
        self.progress.over(chunk);
        None
    }

    fn piece(&mut self, chunk: u64, batch: Box<Batch>, chunk_end: Option<i64>) -> Piece {
        let looked_at = self.progress.rest(chunk).start().saturating_sub(1);
        let rows = u64::try_from(batch.column.len()).unwrap_or(u64::MAX);
        self.progress.read(chunk, batch.last.incrementing.unwrap_or(looked_at), rows);
        if chunk_end.is_some() {
            self.progress.over(chunk);
        }
        let without_rows = std::mem::take(&mut self.without_rows);
        Piece { batch, progress: self.progress.clone(), looked_at, chunk_end, without_rows }
    }

    /// All rows were given: a connection that may be used again, if there is one, and ids without
    /// a row that no piece has told.
    pub(super) fn complete(&mut self) -> Complete {
        self.report.end(&self.progress);
        let without_rows = std::mem::take(&mut self.without_rows);
        Complete { connection: self.idle.pop(), without_rows }
    }
}

/// The column by whose numbers a table is cut; none where there is none.
async fn ids_of(
    settings: &Settings,
    table: &TableId,
    connection: &mut dyn Connection,
) -> Result<Option<String>> {
    let config = &settings.config;
    let columns = Columns::of(connection, table, config.validate_non_null).await?;
    if config.mode().has_ids() {
        let configured = settings.columns.of(table)?.incrementing.unwrap_or_default();
        return columns.incrementing(&configured, &settings.template.warnings).map(Some);
    }
    Ok(columns.counting())
}

/// Says how far a snapshot is.
struct Report {
    table: TableId,
    /// Rows that were read before a restart.
    before: u64,
    begun: Instant,
    told: Instant,
}

impl Report {
    fn new(table: TableId, progress: &Progress) -> Self {
        let now = Instant::now();
        Self { table, before: progress.rows, begun: now, told: now }
    }

    fn tell(&mut self, progress: &Progress) {
        if self.told.elapsed() < REPORT {
            return;
        }
        self.told = Instant::now();
        let Progress { rows, expected, .. } = *progress;
        let rate = self.rate(rows);
        let left = expected.saturating_sub(rows) / rate.max(1);
        let percent = rows.saturating_mul(100).checked_div(expected).unwrap_or(100).min(100);
        tracing::info!(
            "snapshot of {}: {rows} of about {expected} rows ({percent} %), {rate} a second, \
             about {left} s left",
            self.table
        );
    }

    fn end(&self, progress: &Progress) {
        let (rows, rate) = (progress.rows, self.rate(progress.rows));
        let elapsed = self.begun.elapsed();
        tracing::info!(
            "snapshot of {} is complete: {rows} rows, {rate} a second, {elapsed:.1?}",
            self.table
        );
    }

    /// Rows a second since it was begun.
    fn rate(&self, rows: u64) -> u64 {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        rows.saturating_sub(self.before).saturating_mul(1000) / millis
    }
}
