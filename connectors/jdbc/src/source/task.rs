//! Reads its tables one at a time, the longest waiting first, and keeps the position of each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::Props;
use millrace_api::data::{Records, SourceOffset, SourcePartition, SourceRecords};
use millrace_api::{Error, Result, SourceContext, SourceTask};
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::batch::{Batch, Limits};
use crate::cursor::{Cursor, Ended, Next};
use crate::dialect::{Connection, Dialect, From, Select, Warnings};
use crate::gaps::{Gaps, Horizon};
use crate::position::{Moment, Position};
use crate::source::config::{Mode, SourceConfig};
use crate::source::connector::{TABLES, connect};
use crate::source::job::{Job, Settings};
use crate::table::{self, Quoting};
use crate::unfinished::Unfinished;

/// How long a poll without rows waits.
const POLL: Duration = Duration::from_secs(1);
/// A batch is cut here, however many rows a user allows.
const BATCH_BYTES: usize = 1 << 20;
/// The first wait after a passing error; it doubles up to `connection.backoff.ms`.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// One share of the tables, or the query.
pub(crate) struct JdbcTask {
    settings: Arc<Settings>,
    reads: Vec<Read>,
    /// Kept between two readings.
    connection: Option<Box<dyn Connection>>,
    /// What is being read, and which of `reads` it is.
    cursor: Option<(usize, Cursor)>,
}

/// A table or the query, and how far it was read.
struct Read {
    from: From,
    topic: Arc<str>,
    partition: Arc<SourcePartition>,
    /// Nothing in bulk mode.
    position: Position,
    /// Whose rows may still come.
    gaps: Gaps,
    /// The same in a mode by time.
    unfinished: Option<Arc<Unfinished>>,
    due: Instant,
    failures: u32,
}

impl JdbcTask {
    /// Starts from where the task's tables were committed last.
    pub(crate) async fn start(
        config: SourceConfig,
        props: &Props,
        context: SourceContext,
    ) -> Result<Self> {
        config.check()?;
        let dialect = config.dialect(props)?;
        let mark = dialect.quote_mark();
        let sources = match config.query() {
            Some(query) => vec![query],
            None => {
                let tables = props.get(TABLES).map_or("", String::as_str);
                let tables = table::split(tables, mark)?;
                tables.into_iter().map(From::Table).collect()
            }
        };
        if sources.is_empty() {
            let message = "Task is being killed because it was not assigned a table nor a query \
                           to execute. If run in table mode please make sure that the tables \
                           exist on the database, that table.whitelist spells them as the \
                           database does, and that schema.pattern and table.types let them in";
            return Err(Error::fatal(message));
        }
        let commit_safety = config.commit_safety().filter(|_| dialect.rows_may_be_late());
        let named = |error: Error| error.context("connector", context.connector());
        let mut reads = Vec::new();
        for from in sources {
            let mut read = Read::new(from, &config);
            if config.mode().is_incremental() {
                let newest = committed(&read.from, &context).await?;
                read.restore(&newest, commit_safety.map(|_| config.mode())).map_err(named)?;
            }
            reads.push(read);
        }
        begin_where_nothing_is_committed(&mut reads, &config, &*dialect).await?;
        let columns = config.position_columns()?;
        let template = template(&config, config.quoting(mark))?;
        Ok(Self {
            settings: Arc::new(Settings { config, dialect, commit_safety, columns, template }),
            reads,
            connection: None,
            cursor: None,
        })
    }

    /// Begins to read the table that waits longest, once it is due. False: none is until then.
    async fn begin(&mut self, deadline: Instant) -> bool {
        let next = (0..self.reads.len()).min_by_key(|&i| self.reads[i].due);
        let next = next.expect("a task has a table or a query");
        let due = self.reads[next].due;
        tokio::time::sleep_until(due.min(deadline)).await;
        if due > deadline {
            return false;
        }
        let read = &self.reads[next];
        let (from, position) = (read.from.clone(), read.position);
        let late = read.gaps.ranges();
        let settings = Arc::clone(&self.settings);
        let connection = self.connection.take();
        let unfinished = read.unfinished.clone();
        let job = Job { settings, from, position, late, unfinished };
        let cursor = Cursor::new(|batches| job.run(connection, batches));
        self.cursor = Some((next, cursor));
        true
    }

    /// The records of a batch. The position moves with it: nothing can stop the batch any more.
    fn records(&mut self, index: usize, batch: Batch) -> SourceRecords {
        let read = &mut self.reads[index];
        read.failures = 0;
        if self.settings.commit_safety.is_some() && !self.settings.config.mode().has_times() {
            let initial = self.settings.config.incrementing_initial;
            let mut last = read.position.incrementing.unwrap_or(initial);
            for id in batch.ids() {
                read.gaps.read(last, id);
                last = last.max(id);
            }
        }
        read.position = read.position.moved_to(batch.last);
        if batch.unfinished.is_some() {
            read.unfinished = batch.unfinished;
        }
        SourceRecords {
            records: Records::new(Arc::clone(&read.topic), batch.column),
            source_partition: Arc::clone(&read.partition),
            source_offset: read.offset(),
        }
    }

    /// A reading came to its end.
    fn ended(&mut self, index: usize, ended: Ended) {
        self.cursor = None;
        self.connection = Some(ended.connection);
        let read = &mut self.reads[index];
        read.failures = 0;
        read.due = Instant::now() + self.settings.config.poll_interval();
        if ended.unfinished.is_some() {
            read.unfinished = ended.unfinished;
        }
        if let Some(grace) = self.settings.commit_safety {
            let [begin, end] = ended.horizons.unwrap_or([Horizon::OVER; 2]);
            read.gaps.forget(begin, end, grace);
        }
    }

    /// A reading failed. The table is read again, from where it stopped, after a pause.
    fn failed(&mut self, index: usize, error: Error) -> Error {
        if !error.is_retriable() {
            return error;
        }
        let config = &self.settings.config;
        let read = &mut self.reads[index];
        read.failures += 1;
        let longest = config.connection_backoff().max(FIRST_PAUSE);
        let pause = FIRST_PAUSE * 2u32.pow(read.failures.min(10) - 1);
        read.due = Instant::now() + pause.min(longest);
        match u32::try_from(config.query_retry_attempts) {
            Ok(attempts) if read.failures > attempts => Error::fatal(
                "a query failed as often as query.retry.attempts allows; see what is wrong with \
                 the database, then restart",
            )
            .context("query.retry.attempts", attempts)
            .with_source(error),
            _ => error,
        }
    }
}

impl Read {
    fn new(from: From, config: &SourceConfig) -> Self {
        let (topic, partition) = match &from {
            From::Table(table) if config.mode().is_incremental() => {
                (config.topic(Some(&table.name)), versioned(&table.to_string()))
            }
            From::Table(table) => (config.topic(Some(&table.name)), unversioned(&table.name)),
            From::Query(_) => (config.topic(None), of_query()),
        };
        Self {
            from,
            topic: topic.into(),
            partition: Arc::new(partition),
            position: Position::default(),
            gaps: Gaps::default(),
            unfinished: None,
            due: Instant::now(),
            failures: 0,
        }
    }

    /// The offset to store; none in bulk mode.
    fn offset(&self) -> Option<SourceOffset> {
        let mut offset = self.position.to_offset()?;
        if let Some(gaps) = self.gaps.to_json() {
            offset.insert(GAPS.to_owned(), gaps);
        }
        if let Some(unfinished) = &self.unfinished {
            offset.insert(UNFINISHED.to_owned(), unfinished.to_json());
        }
        Some(offset)
    }

    /// Goes on from an offset, with what it says of rows that are late in this mode.
    fn restore(&mut self, offset: &SourceOffset, late: Option<Mode>) -> Result<()> {
        self.position = Position::from_offset(offset)?;
        match late {
            None => {}
            Some(mode) if mode.has_times() => {
                let unfinished = offset.get(UNFINISHED).and_then(Unfinished::from_json);
                self.unfinished = unfinished.map(Arc::new);
            }
            Some(_) => self.gaps = offset.get(GAPS).map(Gaps::from_json).unwrap_or_default(),
        }
        Ok(())
    }
}

/// The key of [`Gaps`] in offsets, beside Confluent's own.
const GAPS: &str = "millrace.gaps";
/// The key of [`Unfinished`].
const UNFINISHED: &str = "millrace.unfinished";

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

/// The newest offset of a table or the query that there is; empty without any.
async fn committed(from: &From, context: &SourceContext) -> Result<SourceOffset> {
    let partitions = match from {
        From::Table(table) => vec![versioned(&table.to_string()), unversioned(&table.name)],
        From::Query(_) => vec![of_query()],
    };
    let offsets = context.offsets().offsets(&partitions).await?;
    Ok(offsets.into_iter().flatten().next().unwrap_or_default())
}

/// Fills in what offsets do not say: ids from `incrementing.initial` on, times from
/// `timestamp.initial` on. What another mode has left in them is left out.
async fn begin_where_nothing_is_committed(
    reads: &mut [Read],
    config: &SourceConfig,
    dialect: &dyn Dialect,
) -> Result<()> {
    let mode = config.mode();
    for Read { position, .. } in reads.iter_mut() {
        let id = position.incrementing.unwrap_or(config.incrementing_initial);
        position.incrementing = mode.has_ids().then_some(id);
        position.timestamp = position.timestamp.filter(|_| mode.has_times());
    }
    if !mode.has_times() || reads.iter().all(|r| r.position.timestamp.is_some()) {
        return Ok(());
    }
    let initial = match config.timestamp_initial {
        None => Moment::default(),
        // Now is when the task starts, not when the first row comes.
        Some(-1) => connect(dialect, config).await?.now().await?,
        Some(millis) => Moment::from_millis(millis),
    };
    for read in reads {
        read.position.timestamp.get_or_insert(initial);
    }
    Ok(())
}

/// What all readings have in common.
pub(super) fn template(config: &SourceConfig, quoting: Quoting) -> Result<Select> {
    Ok(Select {
        from: From::Query(String::new()),
        beyond: None,
        suffix: config.query_suffix.trim().to_owned(),
        quoting,
        mapping: config.mapping(),
        calendar: config.calendar()?,
        limits: Limits {
            rows: usize::try_from(config.batch_max_rows).unwrap_or(1),
            bytes: BATCH_BYTES,
        },
        warnings: Warnings::default(),
    })
}

#[async_trait]
impl SourceTask for JdbcTask {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        let deadline = Instant::now() + POLL;
        loop {
            let Some((index, cursor)) = &mut self.cursor else {
                if self.begin(deadline).await {
                    continue;
                }
                return Ok(Vec::new());
            };
            let index = *index;
            match tokio::time::timeout_at(deadline, cursor.next()).await {
                Err(_) => return Ok(Vec::new()),
                Ok(Ok(Next::Batch(batch))) => return Ok(vec![self.records(index, batch)]),
                Ok(Ok(Next::End(ended))) => self.ended(index, ended),
                Ok(Err(error)) => {
                    self.cursor = None;
                    return Err(self.failed(index, error));
                }
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        // A query that is being read ends with its connection.
        self.cursor = None;
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        Ok(())
    }
}
