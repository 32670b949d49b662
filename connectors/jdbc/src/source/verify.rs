//! Decides what a validation asks the database, and under which key the answer stands.

use std::time::Duration;

use millrace_api::config::{ConfigError, Props};
use millrace_api::{Error, Result, Verdict};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::dialect::{Connection, From, Select};
use crate::position::{Beyond, Moment, Part, Position};
use crate::source::config::SourceConfig;
use crate::source::connector::choose;
use crate::source::task::template;
use crate::table::Quoting;

/// How long the database may take to let us in. Somebody waits for the answer.
const CONNECTING: Duration = Duration::from_secs(15);
/// How long it may take to say whether the query is right, or which tables there are.
const ASKING: Duration = Duration::from_secs(10);
/// A form need not offer more.
const MOST_TABLES: usize = 1_000;

const URL: &str = "connection.url";

/// Connects as a task would, and asks what does not read a row.
pub(super) async fn verify(config: &SourceConfig, props: &Props) -> Verdict {
    match asked(config, props).await {
        Ok(recommended) => Verdict { recommended, ..Verdict::default() },
        Err(problem) => Verdict { errors: vec![problem], ..Verdict::default() },
    }
}

type Recommended = std::collections::BTreeMap<&'static str, Vec<String>>;

async fn asked(config: &SourceConfig, props: &Props) -> Result<Recommended, ConfigError> {
    let dialect = config.dialect(props).map_err(|e| problem(URL, e.to_string()))?;
    let connected = timeout(CONNECTING, dialect.connect()).await;
    let connected = connected.unwrap_or_else(|_| Err(silent(CONNECTING)));
    let mut connection = connected.map_err(|e| problem(URL, not_connected(&e)))?;
    let mut recommended = Recommended::new();
    let quoting = config.quoting(dialect.quote_mark());
    let answer = match config.query() {
        Some(query) => {
            let checked =
                timeout(ASKING, check_query(&mut *connection, config, quoting, query)).await;
            let checked = checked.unwrap_or_else(|_| Err(silent(ASKING)));
            checked.map_err(|e| config.query_problem(&e))
        }
        None => {
            let mark = dialect.quote_mark();
            let listed = timeout(ASKING, connection.tables(&config.table_filter())).await;
            let listed = listed.unwrap_or_else(|_| Err(silent(ASKING)));
            let listed = listed.map_err(|e| problem(URL, e.to_string()))?;
            let names = listed.iter().take(MOST_TABLES).map(ToString::to_string);
            recommended.insert("table.whitelist", names.collect());
            let chosen = choose(listed, config, mark);
            chosen.map(drop).map_err(|e| problem(config.table_key(), e.to_string()))
        }
    };
    // A connection that is being asked cannot be closed in good manner.
    if answer.is_ok() {
        connection.close().await;
    }
    answer.map(|()| recommended)
}

/// Begins with Confluent's words, and does not say them twice.
fn not_connected(error: &Error) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix("could not connect to the database").unwrap_or(&text);
    format!("Could not connect to database. {}", rest.trim_start_matches([' ', ';']))
}

fn silent(after: Duration) -> Error {
    Error::retriable(format!(
        "the database did not answer within {} s; see that host and port are right, and that \
         nothing between drops what is sent",
        after.as_secs()
    ))
}

fn problem(key: &str, message: String) -> ConfigError {
    ConfigError { key: key.to_owned(), message }
}

/// Has the database prepare what a task would read, and reads no row of it.
async fn check_query(
    connection: &mut dyn Connection,
    config: &SourceConfig,
    quoting: Quoting,
    query: From,
) -> Result<()> {
    let columns = config.position_columns()?.of_query();
    let beyond = Beyond {
        position: Position { timestamp: Some(Moment::default()), incrementing: Some(0) },
        timestamps: columns.timestamps,
        incrementing: columns.incrementing,
        until: Moment::default(),
        part: Part::New,
        unfinished: None,
    };
    let select = Select {
        from: query,
        beyond: config.mode().is_incremental().then_some(beyond),
        suffix: "LIMIT 0".to_owned(),
        ..template(config, quoting)?
    };
    let (batches, _none) = mpsc::channel(1);
    connection.read(&select, &batches).await
}
