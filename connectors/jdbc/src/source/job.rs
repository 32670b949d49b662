//! One reading of a table or query: from connecting to its last row.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Result;
use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::cursor::Ended;
use crate::dialect::{Connection, Dialect, From, Select};
use crate::gaps::Horizon;
use crate::position::{Beyond, Moment, Position};
use crate::source::columns::{Columns, PositionColumns};
use crate::source::config::SourceConfig;
use crate::source::connector::connect;

/// What all readings of a task share.
pub(super) struct Settings {
    pub(super) config: SourceConfig,
    pub(super) dialect: Arc<dyn Dialect>,
    /// For how long ids without a row are looked for; none: not at all.
    pub(super) commit_safety: Option<Duration>,
    pub(super) columns: PositionColumns,
    pub(super) template: Select,
}

/// One reading.
pub(super) struct Job {
    pub(super) settings: Arc<Settings>,
    pub(super) from: From,
    pub(super) position: Position,
    /// Ids that are looked for below the position.
    pub(super) late: Vec<RangeInclusive<i64>>,
}

impl Job {
    /// From connecting to the end.
    pub(super) async fn run(
        self,
        connection: Option<Box<dyn Connection>>,
        batches: mpsc::Sender<Batch>,
    ) -> Result<Ended> {
        let config = &self.settings.config;
        let mut connection = match connection {
            Some(connection) => connection,
            None => connect(&*self.settings.dialect, config).await?,
        };
        let mut select = Select { from: self.from.clone(), ..self.settings.template.clone() };
        if config.mode().is_incremental() {
            select.beyond = Some(self.beyond(&mut *connection, &select).await?);
        }
        let begin = self.horizon(&mut *connection).await?;
        if !self.late.is_empty() {
            let late = |beyond| Beyond { among: self.late.clone(), ..beyond };
            let beyond = select.beyond.clone().map(late);
            connection.read(&Select { beyond, ..select.clone() }, &batches).await?;
        }
        connection.read(&select, &batches).await?;
        let end = self.horizon(&mut *connection).await?;
        Ok(Ended { connection, horizons: begin.zip(end).map(|(begin, end)| [begin, end]) })
    }

    /// Which transactions are over, where late rows are looked for.
    async fn horizon(&self, connection: &mut dyn Connection) -> Result<Option<Horizon>> {
        match self.settings.commit_safety {
            Some(_) => connection.horizon().await,
            None => Ok(None),
        }
    }

    /// The rows that are read: by the columns of the mode, checked against the table's.
    async fn beyond(&self, connection: &mut dyn Connection, select: &Select) -> Result<Beyond> {
        let config = &self.settings.config;
        let mode = config.mode();
        let configured = match &select.from {
            From::Table(table) => self.settings.columns.of(table)?,
            From::Query(_) => self.settings.columns.of_query(),
        };
        let mut beyond = Beyond {
            position: self.position,
            timestamps: configured.timestamps,
            incrementing: configured.incrementing,
            until: Moment::default(),
            among: Vec::new(),
        };
        if let From::Table(table) = &select.from {
            let columns = Columns::of(connection, table, config.validate_non_null).await?;
            if let Some(configured) = &mut beyond.incrementing {
                *configured = columns.incrementing(configured, &select.warnings)?;
            }
            columns.check_timestamps(&mut beyond.timestamps, &select.warnings)?;
        }
        if mode.has_times() {
            beyond.until = connection.now().await?.before(config.timestamp_delay_interval_ms);
        }
        Ok(beyond)
    }
}
