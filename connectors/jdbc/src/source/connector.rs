//! Decides which tables are read, and watches for tables that come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::Props;
use millrace_api::{Connector, ConnectorContext, Error, Result};
use tokio::task::JoinHandle;

use crate::dialect::{Connection, Dialect};
use crate::source::config::SourceConfig;
use crate::source::deal::Deal;
use crate::table::{self, TableId};

/// The key of a task's tables.
pub(super) const TABLES: &str = "tables";
/// Whether [`TABLES`] was filled from the database.
const TABLES_FETCHED: &str = "tables.fetched";

/// Deals the tables of a database to tasks.
pub(crate) struct JdbcConnector {
    props: Props,
    quote_mark: char,
    /// None for a query.
    tables: Option<Tables>,
    deal: Deal,
}

/// The tables as they were last seen.
struct Tables {
    current: Arc<Mutex<Vec<TableId>>>,
    watch: JoinHandle<()>,
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl JdbcConnector {
    /// Lists the tables and begins to watch them.
    pub(crate) async fn start(
        config: SourceConfig,
        props: Props,
        context: ConnectorContext,
    ) -> Result<Self> {
        config.check()?;
        let dialect = config.dialect(&props)?;
        let quote_mark = dialect.quote_mark();
        if config.reads_query() {
            return Ok(Self { props, quote_mark, tables: None, deal: Deal::default() });
        }
        let mut connection = connect(&*dialect, &config).await?;
        let listed = connection.tables(&config.table_filter()).await?;
        let tables = choose(listed, &config, quote_mark)?;
        warn_of_missing(&tables, &config, quote_mark);
        let current = Arc::new(Mutex::new(tables));
        let watcher = Watcher { dialect, config, context, current: Arc::clone(&current) };
        let watch = tokio::spawn(watcher.run(connection));
        let tables = Some(Tables { current, watch });
        Ok(Self { props, quote_mark, tables, deal: Deal::default() })
    }

    fn task_config(&self, tables: &[TableId]) -> Props {
        let mut props = self.props.clone();
        props.insert(TABLES.into(), table::join(tables, self.quote_mark));
        props.insert(TABLES_FETCHED.into(), "true".into());
        props
    }
}

#[async_trait]
impl Connector for JdbcConnector {
    async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        let Some(tables) = &self.tables else {
            return Ok(vec![self.task_config(&[])]);
        };
        let tables = lock(&tables.current).clone();
        unique_names(&tables)?;
        let groups = self.deal.renew(&tables, tasks_max).to_vec();
        if groups.is_empty() {
            // One task that fails with a message is easier to see than none.
            return Ok(vec![self.task_config(&[])]);
        }
        Ok(groups.iter().map(|g| self.task_config(g)).collect())
    }

    async fn stop(&mut self) -> Result<()> {
        self.tables = None;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a connection within `connection.attempts`. Errors that cannot pass end it at once.
pub(super) async fn connect(
    dialect: &dyn Dialect,
    config: &SourceConfig,
) -> Result<Box<dyn Connection>> {
    let attempts = config.connection_attempts;
    let mut attempt = 1;
    loop {
        match dialect.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) if error.is_retriable() && attempt < attempts => {
                let wait = config.connection_backoff();
                tracing::warn!("attempt {attempt} of {attempts}: {error}; next in {wait:?}");
                tokio::time::sleep(wait).await;
                attempt += 1;
            }
            Err(error) if error.is_retriable() => {
                let message = "no connection to the database; see that it runs and can be \
                               reached, then restart, or raise connection.attempts";
                return Err(Error::fatal(message)
                    .context("connection.attempts", attempts)
                    .with_source(error));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The tables that the configuration wants. Each has columns that say how far it was read.
pub(super) fn choose(
    tables: Vec<TableId>,
    config: &SourceConfig,
    mark: char,
) -> Result<Vec<TableId>> {
    let chosen = config.chosen(tables, mark)?;
    unique_names(&chosen)?;
    let columns = config.position_columns()?;
    chosen.iter().try_for_each(|table| columns.of(table).map(|_| ()))?;
    Ok(chosen)
}

/// A name that nothing answers to is a slip more often than not.
fn warn_of_missing(tables: &[TableId], config: &SourceConfig, mark: char) {
    for name in &config.table_whitelist {
        if !tables.iter().any(|t| t.is_called(name, mark)) {
            tracing::warn!(
                "table.whitelist names {name}, which is not there (names are case-sensitive); \
                 it will be read once it appears"
            );
        }
    }
}

/// Tables of the same name in two schemas would share a topic.
fn unique_names(tables: &[TableId]) -> Result<()> {
    let mut names = BTreeMap::new();
    for table in tables {
        if let Some(other) = names.insert(&table.name, table) {
            let message = "two tables have the same name and would share a topic; choose one by \
                           its qualified name in table.whitelist, or set schema.pattern";
            return Err(Error::config(message).context("table", other).context("other", table));
        }
    }
    Ok(())
}

/// A look that takes longer is given up: its connection may be dead without knowing it.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// Looks at the tables once an interval.
struct Watcher {
    dialect: Arc<dyn Dialect>,
    config: SourceConfig,
    context: ConnectorContext,
    current: Arc<Mutex<Vec<TableId>>>,
}

impl Watcher {
    async fn run(self, connection: Box<dyn Connection>) {
        let mut connection = Some(connection);
        loop {
            tokio::time::sleep(self.config.table_poll_interval()).await;
            let look = tokio::time::timeout(LONGEST_LOOK, self.look(&mut connection)).await;
            let gone = |_| Err(Error::retriable("the database does not answer"));
            match look.unwrap_or_else(gone) {
                Ok(tables) => self.compare(tables),
                Err(error) => {
                    connection = None;
                    let interval = self.config.table_poll_interval();
                    tracing::warn!("{error}; tables are looked for again in {interval:?}");
                }
            }
        }
    }

    async fn look(&self, connection: &mut Option<Box<dyn Connection>>) -> Result<Vec<TableId>> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.dialect.connect().await?),
        };
        connection.tables(&self.config.table_filter()).await
    }

    fn compare(&self, listed: Vec<TableId>) {
        match choose(listed, &self.config, self.dialect.quote_mark()) {
            Ok(tables) => {
                let mut current = lock(&self.current);
                if *current == tables {
                    return;
                }
                let names: Vec<String> = tables.iter().map(TableId::to_string).collect();
                tracing::info!("the tables have changed, now: {}", names.join(", "));
                *current = tables;
                drop(current);
                self.context.request_task_reconfiguration();
            }
            Err(error) => self.context.raise_error(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: &[&str]) -> Vec<TableId> {
        names.iter().map(|n| TableId::new(None, n)).collect()
    }

    #[test]
    fn two_tables_of_one_name_are_refused() {
        let two = [TableId::new(Some("a"), "t"), TableId::new(Some("b"), "t")];
        let message = unique_names(&two).unwrap_err().to_string();
        assert!(message.contains("a.t") && message.contains("b.t"), "{message}");
        unique_names(&tables(&["a", "b"])).unwrap();
    }
}
