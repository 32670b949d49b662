//! Reads MySQL and MariaDB: what `information_schema` says of tables, and their rows by a prepared
//! statement, whose binary rows are taken from the socket as they are needed.

mod catalog;
mod decode;
mod options;
mod survey;
mod target;
mod transactions;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use millrace_api::{Error, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection as _, Decode, MySqlConnection, Row, TypeInfo,
};
use tokio::sync::mpsc;

use self::catalog::Scales;
use self::decode::{Read, ServerColumn};
use self::options::Options;
use self::target::{MySqlGrammar, MySqlTarget};
use self::transactions::Look;
use crate::batch::{Batch, Batcher, Field, RowName, Shape};
use crate::calendar::{Calendar, clock};
use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::Surveyed;
use crate::dialect::target::{Grammar, Target};
use crate::dialect::{
    Connection, Dialect, Extent, From, Missed, Select, TableColumn, TableFilter, check_times,
    hand_over,
};
use crate::gaps::Horizon;
use crate::position::{Beyond, Moment, Times};
use crate::table::TableId;
use crate::unfinished::Unfinished;
use crate::url::MySqlUrl;

/// A session that writes keeps so many statements, a few a table. One that reads keeps none: they
/// would still have the columns of then.
const STATEMENTS: usize = 64;

/// One MySQL or MariaDB server.
pub(crate) struct MySql(Options);

impl MySql {
    /// Understands a URL.
    pub(crate) fn new(url: &MySqlUrl) -> Result<Self> {
        Ok(Self(Options::new(url)?))
    }

    /// A session on the first host that gives one; it keeps so many statements.
    async fn session(&self, statements: usize) -> Result<MySqlConnection> {
        let mut failure = None;
        for options in &self.0.hosts {
            let options = &options.clone().statement_cache_capacity(statements);
            let error = match tokio::time::timeout(self.0.connect_timeout, self.open(options)).await
            {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => judge(error, Doing::Connecting),
                Err(_) => Error::retriable("the database did not answer in time")
                    .context("connectTimeout", format!("{:?}", self.0.connect_timeout)),
            };
            // One host that refuses the password does not speak for the others.
            let error = error
                .context("host", format!("{}:{}", options.get_host(), options.get_port()))
                .context("database", options.get_database().unwrap_or("none"))
                .context("user", options.get_username());
            failure = Some(match failure {
                Some(first) if !error.is_retriable() => first,
                _ => error,
            });
        }
        Err(failure.expect("a URL names one host at least"))
    }

    async fn open(&self, options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
        let mut session = options.connect().await?;
        for statement in &self.0.session {
            let statement = AssertSqlSafe(statement.clone());
            sqlx::raw_sql(statement).execute(&mut session).await?;
        }
        Ok(session)
    }
}

#[async_trait]
impl Dialect for MySql {
    fn quote_mark(&self) -> char {
        '`'
    }

    async fn connect(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(MySqlReader {
            session: self.session(0).await?,
            style: self.0.style,
            only_current: self.0.only_current,
            databases_are_schemas: self.0.databases_are_schemas,
            socket_timeout: self.0.socket_timeout,
            may_look: true,
            last_look: None,
            scales: Scales::default(),
        }))
    }

    fn grammar(&self) -> &dyn Grammar {
        &MySqlGrammar
    }

    async fn connect_target(&self, shows_values: bool) -> Result<Box<dyn Target>> {
        let session = self.session(STATEMENTS).await?;
        Ok(Box::new(MySqlTarget::new(session, shows_values).await?))
    }
}

struct MySqlReader {
    session: MySqlConnection,
    style: decode::Style,
    only_current: bool,
    databases_are_schemas: bool,
    socket_timeout: Option<Duration>,
    /// Whether this user may see which transactions run, as far as was tried.
    may_look: bool,
    last_look: Option<Look>,
    scales: Scales,
}

#[async_trait]
impl Connection for MySqlReader {
    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableId>> {
        let pattern = match self.databases_are_schemas {
            true => &filter.schema_pattern,
            false => &filter.catalog_pattern,
        };
        let only_current = self.only_current && pattern.is_none();
        catalog::tables(&mut self.session, &filter.types, pattern.as_deref(), only_current).await
    }

    async fn columns(&mut self, table: &TableId) -> Result<Vec<TableColumn>> {
        catalog::columns(&mut self.session, table).await
    }

    async fn survey(&mut self) -> Result<Vec<Surveyed>> {
        survey::survey(&mut self.session).await
    }

    async fn missing_index(&mut self, table: &TableId, by: &Beyond) -> Result<Option<String>> {
        catalog::missing_index(&mut self.session, table, by).await
    }

    /// In whole seconds, as Java's query has it: a column without a fraction is written with the
    /// second that is not over yet, and more rows of it may come.
    async fn now(&mut self) -> Result<Moment> {
        let sql = "SELECT CAST(UNIX_TIMESTAMP() AS SIGNED)";
        let judged = |error| judge(error, Doing::Listing);
        let row = sqlx::query(sql).fetch_one(&mut self.session);
        let seconds: i64 = row.await.and_then(|row| row.try_get(0)).map_err(judged)?;
        Ok(Moment::from_millis(seconds.saturating_mul(1000)))
    }

    async fn horizon(&mut self) -> Result<Option<Horizon>> {
        Ok(self.look().await?.map(Look::horizon))
    }

    /// Rows do not tell which transaction wrote them.
    async fn unfinished(
        &mut self,
        _select: &Select,
        _before: Option<&Unfinished>,
    ) -> Result<Option<(Unfinished, Missed)>> {
        Ok(self.look().await?.map(|look| (look.unfinished(), Missed::Unknown)))
    }

    async fn extent(&mut self, table: &TableId, column: &str) -> Result<Option<Extent>> {
        catalog::extent(&mut self.session, table, column).await
    }

    async fn read(&mut self, select: &Select, batches: &mpsc::Sender<Batch>) -> Result<()> {
        let place = select.place();
        let judged = |error| judge(error, Doing::Reading(&place));
        if let Some(isolation) = select.isolation {
            let sql = format!("SET TRANSACTION ISOLATION LEVEL {}", isolation.sql());
            let set = sqlx::raw_sql(AssertSqlSafe(sql));
            set.execute(&mut self.session).await.map_err(judged)?;
        }
        let begin = sqlx::raw_sql("START TRANSACTION READ ONLY");
        begin.execute(&mut self.session).await.map_err(judged)?;
        let are_scales_known = !self.scales.is_empty();
        let columns = catalog::describe(&mut self.session, select, &mut self.scales).await?;
        let (times, mut rows) = plan(select, columns, self.style)?;
        let sql = AssertSqlSafe(sql(select, &times));
        let mut stream = sqlx::query(sql).persistent(false).fetch(&mut self.session);
        loop {
            let next = match self.socket_timeout {
                None => stream.try_next().await,
                Some(limit) => match tokio::time::timeout(limit, stream.try_next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        return Err(Error::retriable("the database keeps silent")
                            .context("table", &place)
                            .context("socketTimeout", format!("{limit:?}")));
                    }
                },
            };
            match next.map_err(judged)? {
                Some(row) => rows.add(&row, batches).await.map_err(|error| {
                    match are_scales_known && !error.is_retriable() {
                        // They are asked for anew: the error drops the connection.
                        true => Error::retriable("the query may have got other decimals")
                            .with_source(error),
                        false => error,
                    }
                })?,
                None => break,
            }
        }
        drop(stream);
        hand_over(batches, rows.batcher.take()?).await?;
        sqlx::raw_sql("COMMIT").execute(&mut self.session).await.map_err(judged)?;
        Ok(())
    }

    async fn close(self: Box<Self>) {
        // The server forgets the session either way.
        let _ = self.session.close().await;
    }
}

impl MySqlReader {
    /// Which transactions run. None: this user may not know.
    async fn look(&mut self) -> Result<Option<Look>> {
        if !self.may_look {
            return Ok(None);
        }
        self.last_look = transactions::look(&mut self.session, self.last_look).await?;
        self.may_look = self.last_look.is_some();
        if !self.may_look {
            tracing::warn!(
                "connection.user may not see which transactions run: GRANT PROCESS ON *.* to it, \
                 or rows that are committed late are looked for during commit.safety.grace.ms \
                 alone, and not at all in the timestamp modes"
            );
        }
        Ok(self.last_look)
    }
}

/// What is run. A query that is read to its end is the user's own words: as a derived table it
/// would lose its order.
fn sql(select: &Select, times: &MySqlTimes) -> String {
    match &select.from {
        From::Query(query) if select.beyond.is_none() && select.suffix.is_empty() => {
            query.trim().trim_end_matches(';').to_owned()
        }
        _ => select.sql("*", times),
    }
}

/// How the columns of a mode compare with points in time.
struct MySqlTimes {
    /// All of them are `TIMESTAMP`s, which the session shows in UTC.
    in_utc: bool,
}

impl Times for MySqlTimes {
    fn literal(&self, moment: Moment, calendar: Calendar) -> String {
        let ahead = if self.in_utc { 0 } else { calendar.ahead(moment.micros()) };
        format!("TIMESTAMP'{}'", clock(moment.micros().saturating_add(ahead)))
    }
}

/// Decides what the columns of a query become.
fn plan<'a>(
    select: &'a Select,
    columns: Vec<ServerColumn>,
    style: decode::Style,
) -> Result<(MySqlTimes, Rows<'a>)> {
    let reads: Vec<Read> = columns.iter().map(|column| column.read(style)).collect();
    let field = |(column, read): (&ServerColumn, &Read)| Field {
        name: column.name.clone(),
        form: read.form,
        dimensions: 0,
        optional: read.optional,
    };
    let fields = columns.iter().zip(&reads).map(field).collect();
    let shape = Shape::new(select, fields).map_err(|e| e.context("table", select.place()))?;
    check_times(select, &shape, |at| (&*columns[at].wire, reads[at].is_clock()))?;
    let in_utc = shape.timestamps.iter().all(|at| reads[*at].is_clock() == Some(false));
    let batcher = Batcher::new(shape, select.limits);
    Ok((MySqlTimes { in_utc }, Rows { select, columns, batcher, reads, count: 0 }))
}

/// The rows of one query on their way from the wire into columns.
struct Rows<'a> {
    select: &'a Select,
    columns: Vec<ServerColumn>,
    batcher: Batcher,
    reads: Vec<Read>,
    count: u64,
}

impl Rows<'_> {
    /// Takes up a row; hands a batch over once it is full.
    async fn add(&mut self, row: &MySqlRow, batches: &mpsc::Sender<Batch>) -> Result<()> {
        if self.count == 0 {
            self.check(row)?;
        }
        self.count += 1;
        let bytes = match self.decode(row) {
            Ok(bytes) => bytes,
            Err(error) => {
                hand_over(batches, self.batcher.take()?).await?;
                return Err(error.context("table", self.select.place()));
            }
        };
        let written = self.written(row);
        if self.batcher.row_done(bytes, written) {
            hand_over(batches, self.batcher.take()?).await?;
        }
        Ok(())
    }

    /// Whether the rows have the columns that were described: nothing locks a table in between.
    fn check(&self, row: &MySqlRow) -> Result<()> {
        let found = row.columns().iter();
        let as_described = found.len() == self.columns.len()
            && found.zip(&self.columns).all(|(found, described)| {
                found.name() == described.name && found.type_info().name() == described.wire
            });
        if as_described {
            return Ok(());
        }
        let message = "the table was altered just before it was read";
        Err(Error::retriable(message).context("table", self.select.place()))
    }

    /// Gives how many bytes of a batch the row takes.
    fn decode(&mut self, row: &MySqlRow) -> Result<usize> {
        let mut size = 0;
        let cells = self.batcher.cells().iter_mut();
        for (i, (cells, read)) in cells.zip(&self.reads).enumerate() {
            let bytes = raw(row, i);
            size += bytes.map_or(1, <[u8]>::len);
            if let Err(misfit) = read.append(bytes, cells, &self.select.calendar) {
                return Err(self.batcher.misfit(i, &misfit, &self.row_name(row)));
            }
        }
        Ok(size)
    }

    /// When the row was written, in a mode that looks at it.
    fn written(&self, row: &MySqlRow) -> Option<Moment> {
        let moment = |at: &usize| {
            let micros = self.reads[*at].micros(raw(row, *at)?, &self.select.calendar)?;
            Some(Moment::from_micros(micros))
        };
        self.batcher.shape().timestamps.iter().find_map(moment)
    }

    fn row_name(&self, row: &MySqlRow) -> RowName {
        let shape = self.batcher.shape();
        let key = shape.incrementing.and_then(|at| {
            let value = self.reads[at].whole_number(raw(row, at)?)?;
            Some((shape.fields[at].name.clone(), value.to_string()))
        });
        match key {
            Some((column, value)) => RowName::Incrementing { column, value },
            None => RowName::Counted(self.count),
        }
    }
}

/// A value as it came; none for NULL, and unlike sqlx's own null not for a zero date.
fn raw(row: &MySqlRow, column: usize) -> Option<&[u8]> {
    let value = row.try_get_raw(column).ok()?;
    <&[u8] as Decode<'_, sqlx::MySql>>::decode(value).ok()
}
