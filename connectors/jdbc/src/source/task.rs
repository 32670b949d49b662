//! Reads its tables one at a time, the longest waiting first, and keeps the position of each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::Props;
use millrace_api::data::SourceRecords;
use millrace_api::{Error, Result, SourceContext, SourceTask};
use tokio::time::Instant;

use crate::batch::Limits;
use crate::cursor::Ended;
use crate::dialect::{Connection, Dialect, From, Select, Warnings};
use crate::gaps::Horizon;
use crate::position::Moment;
use crate::source::config::SourceConfig;
use crate::source::connector::{TABLES, connect};
use crate::source::job::{Job, Settings};
use crate::source::read::Read;
use crate::source::reading::{Reading, Step};
use crate::source::snapshot::{Snapshot, Start};
use crate::table::{self, Quoting};

/// How long a poll without rows waits.
const POLL: Duration = Duration::from_secs(1);
/// A batch is cut here, however many rows a user allows.
const BATCH_BYTES: usize = 1 << 20;
/// The first wait after a passing error; it doubles up to `connection.backoff.ms`.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// One share of the tables, or the query.
pub(crate) struct JdbcTask {
    reads: Vec<Read>,
    /// Kept between two readings.
    connection: Option<Box<dyn Connection>>,
    /// What is being read, and which of `reads` it is.
    reading: Option<(usize, Reading)>,
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
        let modes = config.modes()?;
        let template = template(&config, config.quoting(mark))?;
        let mut settings_of = BTreeMap::new();
        let mut reads = Vec::new();
        for from in sources {
            let mode = match &from {
                From::Table(table) => modes.of(table)?,
                From::Query(_) => modes.others(),
            };
            let settings = match settings_of.entry(mode) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(new) => {
                    let settings = Settings::new(config.in_mode(mode), &dialect, &template)?;
                    Arc::clone(new.insert(Arc::new(settings)))
                }
            };
            let mut read = Read::new(from, settings);
            read.resume(&context).await?;
            reads.push(read);
        }
        begin_where_nothing_is_committed(&mut reads, &config, &*dialect).await?;
        Ok(Self { reads, connection: None, reading: None })
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
        let read = &mut self.reads[next];
        let late = read.gaps.ask(read.settings.commit_safety.unwrap_or_default());
        let settings = Arc::clone(&read.settings);
        let connection = self.connection.take();
        let job = Job {
            settings: Arc::clone(&settings),
            from: read.from.clone(),
            position: read.position,
            late,
            unfinished: read.unfinished.clone(),
        };
        let reading = match &read.from {
            From::Table(table) if read.wants_snapshot() => {
                let start = Start {
                    settings,
                    table: table.clone(),
                    after: read.position.incrementing,
                    progress: read.progress.clone(),
                };
                let begin = Snapshot::begin(start, connection);
                Reading::Beginning(Box::pin(begin), Some(job))
            }
            _ => Reading::ordered(job, connection),
        };
        self.reading = Some((next, reading));
        true
    }

    /// What a step gives: records, once nothing can stop them any more; none at an end.
    fn take(&mut self, index: usize, step: Step) -> Option<SourceRecords> {
        let read = &mut self.reads[index];
        read.failures = 0;
        match step {
            Step::Batch(batch) => return Some(read.records(*batch)),
            Step::Piece(piece) => return Some(read.records_of_piece(piece)),
            Step::End(ended) => self.ended(index, ended),
            Step::Complete(complete) => {
                read.snapshot_is_complete(complete.without_rows);
                // What came since the snapshot began is read at once.
                if read.is_at_start {
                    read.due = Instant::now() + read.settings.config.poll_interval();
                }
                self.reading = None;
                self.connection = complete.connection;
            }
        }
        None
    }

    /// A reading came to its end.
    fn ended(&mut self, index: usize, ended: Ended) {
        self.reading = None;
        self.connection = Some(ended.connection);
        let read = &mut self.reads[index];
        read.due = Instant::now() + read.settings.config.poll_interval();
        if ended.unfinished.is_some() {
            read.unfinished = ended.unfinished;
        }
        read.forget_gaps(ended.horizons.unwrap_or([Horizon::OVER; 2]));
    }

    /// A reading failed. The table is read again, from where it stopped, after a pause.
    fn failed(&mut self, index: usize, error: Error) -> Error {
        if !error.is_retriable() {
            return error;
        }
        let read = &mut self.reads[index];
        read.failures += 1;
        let config = &read.settings.config;
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

/// Fills in what offsets do not say: ids from `incrementing.initial` on, times from
/// `timestamp.initial` on. What another mode has left in them is left out.
async fn begin_where_nothing_is_committed(
    reads: &mut [Read],
    config: &SourceConfig,
    dialect: &dyn Dialect,
) -> Result<()> {
    let mut without_time = Vec::new();
    for Read { position, settings, .. } in reads {
        let mode = settings.config.mode();
        let id = position.incrementing.unwrap_or(config.incrementing_initial);
        position.incrementing = mode.has_ids().then_some(id);
        position.timestamp = position.timestamp.filter(|_| mode.has_times());
        if mode.has_times() && position.timestamp.is_none() {
            without_time.push(position);
        }
    }
    if without_time.is_empty() {
        return Ok(());
    }
    let initial = match config.timestamp_initial {
        None => Moment::default(),
        // Now is when the task starts, not when the first row comes.
        Some(-1) => connect(dialect, config).await?.now().await?,
        Some(millis) => Moment::from_millis(millis),
    };
    for position in without_time {
        position.timestamp = Some(initial);
    }
    Ok(())
}

/// What all readings have in common.
pub(super) fn template(config: &SourceConfig, quoting: Quoting) -> Result<Select> {
    Ok(Select {
        from: From::Query(String::new()),
        beyond: None,
        key: config.key(),
        suffix: config.query_suffix.trim().to_owned(),
        quoting,
        mapping: config.mapping(),
        complex: config.complex(),
        isolation: config.isolation(),
        granularity: config.granularity(),
        calendar: config.calendar()?,
        limits: Limits {
            rows: usize::try_from(config.batch_max_rows).unwrap_or(1),
            bytes: BATCH_BYTES,
        },
        warnings: Warnings::default(),
        view: None,
    })
}

#[async_trait]
impl SourceTask for JdbcTask {
    async fn poll(&mut self) -> Result<Vec<SourceRecords>> {
        let deadline = Instant::now() + POLL;
        loop {
            let Some((index, reading)) = &mut self.reading else {
                if self.begin(deadline).await {
                    continue;
                }
                return Ok(Vec::new());
            };
            let index = *index;
            match tokio::time::timeout_at(deadline, reading.next()).await {
                Err(_) => return Ok(Vec::new()),
                Ok(Ok(step)) => {
                    if let Some(records) = self.take(index, step) {
                        return Ok(vec![records]);
                    }
                }
                Ok(Err(error)) => {
                    self.reading = None;
                    return Err(self.failed(index, error));
                }
            }
        }
    }

    async fn stop(&mut self) -> Result<()> {
        // A query that is being read ends with its connection.
        self.reading = None;
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        Ok(())
    }
}
