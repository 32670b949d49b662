//! One reading of a table or query: from connecting to its last row.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Result;
use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::cursor::Ended;
use crate::dialect::{Connection, Dialect, From, Missed, Select};
use crate::gaps::Horizon;
use crate::position::{Beyond, Late, Moment, Part, Position};
use crate::source::columns::{Columns, PositionColumns, complete_key};
use crate::source::config::SourceConfig;
use crate::source::connector::connect;
use crate::unfinished::Unfinished;

/// What the readings of a task share whose tables have one mode.
pub(super) struct Settings {
    pub(super) config: SourceConfig,
    pub(super) dialect: Arc<dyn Dialect>,
    /// For how long late rows are looked for at least; none: not at all.
    pub(super) commit_safety: Option<Duration>,
    pub(super) columns: PositionColumns,
    pub(super) template: Select,
}

impl Settings {
    /// `config` has the tables' mode as its own.
    pub(super) fn new(
        config: SourceConfig,
        dialect: &Arc<dyn Dialect>,
        template: &Select,
    ) -> Result<Self> {
        Ok(Self {
            commit_safety: config.commit_safety().filter(|_| dialect.rows_may_be_late()),
            columns: config.position_columns()?,
            config,
            dialect: Arc::clone(dialect),
            template: template.clone(),
        })
    }

    /// Whether ids that are passed over are looked for.
    pub(super) fn looks_for_gaps(&self) -> bool {
        self.commit_safety.is_some() && !self.config.mode().has_times()
    }
}

/// One reading.
pub(super) struct Job {
    pub(super) settings: Arc<Settings>,
    pub(super) from: From,
    pub(super) position: Position,
    /// Ids that are looked for below the position.
    pub(super) late: Vec<RangeInclusive<i64>>,
    /// Whose rows are looked for below the position, in a mode by time.
    pub(super) unfinished: Option<Arc<Unfinished>>,
}

/// How far reading stays behind the oldest transaction where rows do not tell theirs: the server
/// takes the time a moment before it counts a transaction as one that runs.
const SLACK_MS: i64 = 1_000;

impl Job {
    /// From connecting to the end.
    pub(super) async fn run(
        self,
        connection: Option<Box<dyn Connection>>,
        batches: mpsc::Sender<Batch>,
    ) -> Result<Ended> {
        let config = &self.settings.config;
        let connection = match connection {
            Some(connection) => connection,
            None => connect(&*self.settings.dialect, config).await?,
        };
        self.read(connection, batches).await.map_err(|error| config.shown(error))
    }

    /// From the first statement to the end.
    async fn read(
        &self,
        mut connection: Box<dyn Connection>,
        batches: mpsc::Sender<Batch>,
    ) -> Result<Ended> {
        let config = &self.settings.config;
        let mut select =
            Select { from: config.spelt(&self.from), ..self.settings.template.clone() };
        if let From::Table(table) = &self.from {
            complete_key(&mut select, table, &mut *connection).await?;
        }
        if config.mode().is_incremental() {
            select.beyond = Some(self.beyond(&mut *connection, &select).await?);
        }
        // Only ids that are looked for are forgotten.
        let begin = match self.late.is_empty() {
            true => Some(Horizon::OVER),
            false => self.horizon(&mut *connection).await?,
        };
        if let Some(part) = self.late(&mut *connection, &mut select).await? {
            let beyond = select.beyond.clone().map(|beyond| Beyond { part, ..beyond });
            // A LIMIT would leave some of them out for good.
            let suffix = String::new();
            connection.read(&Select { beyond, suffix, ..select.clone() }, &batches).await?;
        }
        connection.read(&select, &batches).await?;
        let end = self.horizon(&mut *connection).await?;
        let horizons = begin.zip(end).map(|(begin, end)| [begin, end]);
        let unfinished = select.beyond.and_then(|beyond| beyond.unfinished);
        Ok(Ended { connection, horizons, unfinished })
    }

    /// The rows below the position that are read before those beyond it, if any may be there.
    async fn late(
        &self,
        connection: &mut dyn Connection,
        select: &mut Select,
    ) -> Result<Option<Part>> {
        let grace = match self.settings.commit_safety {
            Some(grace) if self.settings.config.mode().has_times() => grace,
            _ if self.late.is_empty() => return Ok(None),
            _ => return Ok(Some(Part::Among(self.late.clone()))),
        };
        let before = self.unfinished.as_deref();
        let found = connection.unfinished(select, before).await?;
        let Some((unfinished, missed)) = found else {
            let message = "the database does not tell which transactions are not over: rows that \
                           are committed late are lost unless timestamp.delay.interval.ms is \
                           above the longest transaction";
            select.warnings.once(message.to_owned());
            return Ok(None);
        };
        let since = unfinished.since;
        let Some(beyond) = &mut select.beyond else { return Ok(None) };
        beyond.unfinished = Some(Arc::new(unfinished));
        match missed {
            Missed::Rows(missed) => Ok(before.zip(missed).map(|(before, missed)| {
                let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
                let since = before.since.before(grace).max(self.settings.config.first_time());
                Part::Late(Late { since, missed })
            })),
            Missed::Unknown => {
                beyond.until = beyond.until.min(since.before(SLACK_MS));
                Ok(None)
            }
        }
    }

    /// Which transactions are over, where late rows are looked for.
    async fn horizon(&self, connection: &mut dyn Connection) -> Result<Option<Horizon>> {
        match self.settings.looks_for_gaps() {
            true => connection.horizon().await,
            false => Ok(None),
        }
    }

    /// The rows that are read: by the columns of the mode, checked against the table's.
    async fn beyond(&self, connection: &mut dyn Connection, select: &Select) -> Result<Beyond> {
        let config = &self.settings.config;
        let mode = config.mode();
        let configured = match &self.from {
            From::Table(table) => self.settings.columns.of(table)?,
            From::Query(_) => self.settings.columns.of_query(),
        };
        let mut beyond = Beyond {
            position: self.position,
            timestamps: configured.timestamps,
            incrementing: configured.incrementing,
            until: Moment::default(),
            part: Part::New,
            unfinished: None,
        };
        if let From::Table(table) = &self.from {
            let columns = Columns::of(connection, table, config.validate_non_null).await?;
            if let Some(configured) = &mut beyond.incrementing {
                *configured = columns.incrementing(configured, &select.warnings)?;
            }
            columns.check_timestamps(&mut beyond.timestamps, &select.warnings)?;
            if select.warnings.is_new(format!("the indexes of {table}"))
                && let Some(index) = connection.missing_index(table, &beyond).await?
            {
                select.warnings.once(format!(
                    "each poll reads all of {table}, since no index begins with the column that \
                     says how far was read; run: {index}"
                ));
            }
        }
        if mode.has_times() {
            beyond.until = connection.now().await?.before(config.timestamp_delay_interval_ms);
        }
        Ok(beyond)
    }
}
