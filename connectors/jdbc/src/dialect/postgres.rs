//! Reads PostgreSQL: what its catalog says of tables, and their rows by `COPY … TO STDOUT` in the
//! binary format, which costs the client less than half of what a result set does.

mod copy;
mod decode;
mod grammar;
mod nested;
mod options;
mod survey;
mod target;
mod transactions;
mod types;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use millrace_api::{Error, Result};
use sqlx::Connection as _;
use sqlx::Statement as _;
use sqlx::postgres::{PgColumn, PgConnectOptions, PgRow};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Executor, PgConnection, Row, SqlSafeStr, SqlStr,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use self::copy::{Parsed, Tuples};
use self::decode::Decode;
use self::grammar::PostgresGrammar;
use self::target::PostgresTarget;
use self::transactions::{READS, Transactions};
use self::types::{COLUMNS_OF_TABLE, ServerColumn, catalog_query};
use crate::batch::{Batch, Batcher, RowName, Shape};
use crate::calendar::{Calendar, clock};
use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::Surveyed;
use crate::dialect::target::{Grammar, Target};
use crate::dialect::{
    Connection, Dialect, Extent, From, Missed, Select, TableColumn, TableFilter, check_times,
    hand_over, joins_outside,
};
use crate::gaps::Horizon;
use crate::position::{Beyond, Moment, Times};
use crate::table::{Quoting, TableId};
use crate::unfinished::Unfinished;
use crate::url::PostgresUrl;

/// One PostgreSQL database.
pub(crate) struct Postgres {
    /// One set of options a host, to be tried in this order.
    hosts: Vec<PgConnectOptions>,
    timeout: Duration,
}

impl Postgres {
    /// Understands a URL. User and password apply where the URL names none.
    pub(crate) fn new(url: &PostgresUrl) -> Result<Self> {
        let timeout = options::connect_timeout(&url.settings)?;
        let hosts = options::of_hosts(url)?;
        Ok(Self { hosts, timeout })
    }

    /// Connects to the first host that lets us.
    async fn open(&self) -> Result<PgConnection> {
        let mut failure = None;
        for options in &self.hosts {
            let place = format!("{}:{}", options.get_host(), options.get_port());
            let error = match tokio::time::timeout(self.timeout, options.connect()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => judge(error, Doing::Connecting),
                Err(_) => Error::retriable("the database did not answer in time")
                    .context("connectTimeout", format!("{:?}", self.timeout)),
            };
            // One host that refuses the password does not speak for the others.
            let error = error
                .context("host", place)
                .context("database", options.get_database().unwrap_or("the user's own"))
                .context("user", options.get_username());
            failure = Some(match failure {
                Some(first) if !error.is_retriable() => first,
                _ => error,
            });
        }
        Err(failure.expect("a URL names one host at least"))
    }
}

#[async_trait]
impl Dialect for Postgres {
    fn quote_mark(&self) -> char {
        '"'
    }

    // pgjdbc reports it from 42.7.5 on.
    fn catalog(&self) -> Option<&str> {
        let options = self.hosts.first()?;
        Some(options.get_database().unwrap_or(options.get_username()))
    }

    async fn connect(&self) -> Result<Box<dyn Connection>> {
        let (connection, transactions) = (self.open().await?, Transactions::default());
        Ok(Box::new(PostgresConnection { connection, transactions }))
    }

    fn grammar(&self) -> &dyn Grammar {
        &PostgresGrammar
    }

    async fn connect_target(&self, shows_values: bool) -> Result<Box<dyn Target>> {
        Ok(Box::new(PostgresTarget::new(self.open().await?, shows_values)))
    }
}

struct PostgresConnection {
    connection: PgConnection,
    transactions: Transactions,
}

/// Whether a table of more than a megabyte has no index that begins with an expression.
const HAS_NO_INDEX: &str = "
    SELECT coalesce(pg_relation_size(to_regclass($1)) > 1048576, false) AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL
            AND translate(lower(pg_get_indexdef(i.indexrelid, 1, true)), '\" ', '')
                = translate(lower($2), '\" ', ''))";

/// The SQLSTATEs of a server that only speaks the protocol, when it is asked for transactions: no
/// such function, table or column, not supported, and no right to look.
const NOT_TOLD: [&str; 5] = ["42883", "42P01", "42703", "0A000", "42501"];

/// An answer about transactions, where the server gives any.
fn told<T>(answer: Result<T, sqlx::Error>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| NOT_TOLD.contains(&&*code)) =>
        {
            Ok(None)
        }
        Err(error) => Err(judge(error, Doing::Listing)),
    }
}

#[async_trait]
impl Connection for PostgresConnection {
    async fn tables(&mut self, filter: &TableFilter) -> Result<Vec<TableId>> {
        let sql = "SELECT n.nspname::text, c.relname::text \
                   FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE (($1 AND c.relkind = 'r' AND n.nspname !~ '^pg_' \
                           AND n.nspname <> 'information_schema') \
                       OR ($2 AND c.relkind = 'v' AND n.nspname !~ '^pg_' \
                           AND n.nspname <> 'information_schema') \
                       OR ($3 AND c.relkind = 'r' \
                           AND n.nspname IN ('pg_catalog', 'information_schema'))) \
                     AND ($4::text IS NULL OR n.nspname LIKE $4) \
                     AND ($5::text IS NULL OR current_database() LIKE $5) \
                   ORDER BY 1, 2";
        let wants = |kind: &str| filter.types.iter().any(|t| t.eq_ignore_ascii_case(kind));
        let rows = sqlx::query(sql)
            .bind(wants("TABLE"))
            .bind(wants("VIEW"))
            .bind(wants("SYSTEM TABLE"))
            .bind(filter.schema_pattern.clone())
            .bind(filter.catalog_pattern.clone())
            .persistent(false)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|e| judge(e, Doing::Listing))?;
        let table = |row: &PgRow| {
            let schema: String = row.try_get(0)?;
            let name: String = row.try_get(1)?;
            Ok(TableId::new(Some(&schema), &name))
        };
        let tables: Result<_, sqlx::Error> = rows.iter().map(table).collect();
        tables.map_err(|e| judge(e, Doing::Listing))
    }

    async fn columns(&mut self, table: &TableId) -> Result<Vec<TableColumn>> {
        let sql = "SELECT a.attname::text, NOT a.attnotnull, a.attidentity <> '' \
                       OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%', false), \
                       coalesce(array_position(k.conkey, a.attnum), 0)::int8 \
                   FROM pg_catalog.pg_attribute a \
                   JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   LEFT JOIN pg_catalog.pg_attrdef d \
                       ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
                   LEFT JOIN pg_catalog.pg_constraint k \
                       ON k.conrelid = a.attrelid AND k.contype = 'p' \
                   WHERE n.nspname = $1 AND c.relname = $2 \
                       AND a.attnum > 0 AND NOT a.attisdropped \
                   ORDER BY a.attnum";
        let place = table.to_string();
        let rows = sqlx::query(sql)
            .bind(table.schema.clone().unwrap_or_default())
            .bind(table.name.clone())
            .persistent(false)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|e| judge(e, Doing::Reading(&place)))?;
        let column = |row: &PgRow| {
            Ok(TableColumn {
                name: row.try_get(0)?,
                nullable: row.try_get(1)?,
                counts_up: row.try_get(2)?,
                key: row.try_get(3)?,
            })
        };
        let columns: Result<_, sqlx::Error> = rows.iter().map(column).collect();
        columns.map_err(|e| judge(e, Doing::Reading(&place)))
    }

    async fn survey(&mut self) -> Result<Vec<Surveyed>> {
        survey::survey(&mut self.connection).await
    }

    async fn missing_index(&mut self, table: &TableId, by: &Beyond) -> Result<Option<String>> {
        let quoted = |column: &String| Quoting::Always('"').sql(column);
        let times: Vec<String> = by.timestamps.iter().map(quoted).collect();
        let time = match &times[..] {
            [] | [_] => times.concat(),
            several => format!("COALESCE({})", several.join(", ")),
        };
        let keys =
            [Some(time).filter(|time| !time.is_empty()), by.incrementing.as_ref().map(quoted)];
        let keys: Vec<String> = keys.into_iter().flatten().collect();
        let Some(first) = keys.first() else { return Ok(None) };
        let name = table.sql(Quoting::Always('"'));
        let row = sqlx::query(HAS_NO_INDEX)
            .bind(name.clone())
            .bind(first.clone())
            .persistent(false)
            .fetch_one(&mut self.connection);
        let is_missing: bool =
            row.await.and_then(|row| row.try_get(0)).map_err(|e| judge(e, Doing::Listing))?;
        Ok(is_missing.then(|| format!("CREATE INDEX ON {name} ({})", keys.join(", "))))
    }

    async fn now(&mut self) -> Result<Moment> {
        let sql = "SELECT (extract(epoch FROM current_timestamp) * 1000000)::bigint";
        let judged = |error| judge(error, Doing::Listing);
        let row = sqlx::query(sql).persistent(false).fetch_one(&mut self.connection);
        let micros = row.await.and_then(|row| row.try_get(0)).map_err(judged)?;
        Ok(Moment::from_micros(micros))
    }

    async fn horizon(&mut self) -> Result<Option<Horizon>> {
        told(transactions::horizon(&mut self.connection).await)
    }

    async fn unfinished(
        &mut self,
        select: &Select,
        before: Option<&Unfinished>,
    ) -> Result<Option<(Unfinished, Missed)>> {
        told(self.transactions.look(&mut self.connection, select, before).await)
    }

    async fn extent(&mut self, table: &TableId, column: &str) -> Result<Option<Extent>> {
        let place = table.to_string();
        let judged = |error| judge(error, Doing::Reading(&place));
        let sql = "SELECT greatest(c.reltuples, -1)::bigint \
                   FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
                   WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 \
                       AND a.atttypid IN (20, 21, 23)";
        let row = sqlx::query(sql)
            .bind(table.schema.clone().unwrap_or_default())
            .bind(table.name.clone())
            .bind(column.to_owned())
            .persistent(false)
            .fetch_optional(&mut self.connection);
        let Some(row) = row.await.map_err(judged)? else { return Ok(None) };
        let rows: i64 = row.try_get(0).map_err(judged)?;
        let name = Quoting::Always('"').sql(column);
        let sql = format!(
            "SELECT min({name})::bigint, max({name})::bigint FROM {}",
            table.sql(Quoting::Always('"'))
        );
        let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut self.connection);
        let row = row.await.map_err(judged)?;
        let id = |at| row.try_get::<Option<i64>, _>(at).map_err(judged);
        let (Some(first), Some(last)) = (id(0)?, id(1)?) else { return Ok(None) };
        // A table that was never analysed: as if no id were missing.
        let rows = u64::try_from(rows).ok().filter(|rows| *rows > 0);
        let rows = rows.unwrap_or_else(|| last.abs_diff(first).saturating_add(1));
        Ok(Some(Extent { ids: first..=last, rows }))
    }

    async fn share_view(&mut self) -> Result<Option<Arc<str>>> {
        let judged = |error| judge(error, Doing::Listing);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        sqlx::raw_sql(begin).execute(&mut self.connection).await.map_err(judged)?;
        let row = sqlx::query(AssertSqlSafe(format!("SELECT {READS} pg_export_snapshot()")))
            .persistent(false);
        let row = row.fetch_one(&mut self.connection).await.map_err(judged)?;
        let name: String = row.try_get(0).map_err(judged)?;
        Ok(Some(name.into()))
    }

    async fn read(&mut self, select: &Select, batches: &mpsc::Sender<Batch>) -> Result<()> {
        let place = select.place();
        let judged = |error| judge(error, Doing::Reading(&place));
        // The lock that describing takes is held until the rows are read: their types cannot
        // change in between.
        sqlx::raw_sql(begin(select)).execute(&mut self.connection).await.map_err(judged)?;
        let columns = self.describe(select).await?;
        let (sql, batcher, decoders) = plan(select, &columns)?;
        let mut rows = Rows { select, batcher, decoders, tuples: Tuples::default(), count: 0 };
        // sqlx's stream enters the span that it is made in once a row: it is made in none.
        let chunks = self.connection.copy_out_raw(&sql).with_subscriber(NoSubscriber::new());
        let mut chunks = chunks.await.map_err(judged)?;
        while let Some(chunk) = chunks.try_next().await.map_err(judged)? {
            rows.tuples.push(chunk);
            while rows.advance(batches).await? {}
        }
        drop(chunks);
        hand_over(batches, rows.batcher.take()?).await?;
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await.map_err(judged)?;
        Ok(())
    }

    async fn close(self: Box<Self>) {
        // The server forgets the session either way.
        let _ = self.connection.close().await;
    }
}

impl PostgresConnection {
    /// The columns of a table or query with all that the catalog knows of them. Locks the tables
    /// until the transaction ends.
    async fn describe(&mut self, select: &Select) -> Result<Vec<ServerColumn>> {
        let place = select.place();
        let judged = |error| judge(error, Doing::Reading(&place));
        let mut columns = match &select.from {
            From::Table(table) => {
                let lock = format!("SELECT FROM {} LIMIT 0", table.sql(select.quoting));
                let lock = sqlx::raw_sql(AssertSqlSafe(lock));
                lock.execute(&mut self.connection).await.map_err(judged)?;
                self.columns_of_table(table).await.map_err(judged)?
            }
            From::Query(query) => {
                let columns = self.columns_of_query(query).await;
                columns.map_err(|error| match &error {
                    sqlx::Error::ColumnDecode { .. } => Error::fatal(
                        "a column of the query has a type that is not known; cast it to text",
                    )
                    .with_source(error),
                    _ => judged(error),
                })?
            }
        };
        if columns.is_empty() {
            return Ok(columns);
        }
        let sql = AssertSqlSafe(catalog_query(&columns));
        let rows = sqlx::query(sql).persistent(false).fetch_all(&mut self.connection);
        for (column, row) in columns.iter_mut().zip(rows.await.map_err(judged)?) {
            column.complete(&row).map_err(judged)?;
        }
        if joins_outside(&select.from) {
            for column in &mut columns {
                column.not_null = false;
            }
        }
        Ok(columns)
    }

    async fn columns_of_table(
        &mut self,
        table: &TableId,
    ) -> Result<Vec<ServerColumn>, sqlx::Error> {
        let rows = sqlx::query(COLUMNS_OF_TABLE)
            .bind(table.sql(Quoting::Always('"')))
            .persistent(false)
            .fetch_all(&mut self.connection);
        rows.await?.iter().map(ServerColumn::new).collect()
    }

    async fn columns_of_query(&mut self, query: &str) -> Result<Vec<ServerColumn>, sqlx::Error> {
        // A statement that was prepared before still has the columns of then.
        self.connection.clear_cached_statements().await?;
        let sql = AssertSqlSafe(query.trim().trim_end_matches(';').to_owned()).into_sql_str();
        let statement = (&mut self.connection).prepare(sql).await?;
        let column = |column: &PgColumn| ServerColumn {
            name: column.name().to_owned(),
            type_oid: column.type_info().oid().map_or(0, |oid| oid.0),
            relation: column.relation_id().map_or(0, |oid| oid.0),
            attribute: column.relation_attribute_no().unwrap_or(0),
            ..ServerColumn::default()
        };
        Ok(statement.columns().iter().map(column).collect())
    }
}

/// Begins the transaction of a reading.
fn begin(select: &Select) -> SqlStr {
    let mut sql = match (&select.view, select.isolation) {
        (Some(view), _) => {
            let name = view.replace('\'', "''");
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{name}'")
        }
        (None, Some(isolation)) => format!("BEGIN ISOLATION LEVEL {}", isolation.sql()),
        (None, None) => "BEGIN".to_owned(),
    };
    // Notices are logged, and may repeat parts of a query that is not to be shown.
    if matches!(select.from, From::Query(_)) {
        sql.push_str("; SET LOCAL client_min_messages = error");
    }
    AssertSqlSafe(sql).into_sql_str()
}

struct PostgresTimes;

impl Times for PostgresTimes {
    /// With its zone: a column that has none takes the clock and leaves the zone, a column that has
    /// one takes both.
    fn literal(&self, moment: Moment, calendar: Calendar) -> String {
        let ahead = calendar.ahead(moment.micros());
        let clock = clock(moment.micros().saturating_add(ahead));
        let (sign, seconds) = (if ahead < 0 { '-' } else { '+' }, ahead.abs() / 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("'{clock}{sign}{hours:02}:{minutes:02}:{seconds:02}'")
    }
}

/// Decides what is read of a query and how: columns without a Connect type are left out.
fn plan(select: &Select, columns: &[ServerColumn]) -> Result<(String, Batcher, Vec<Decode>)> {
    let place = select.place();
    let mut names = Vec::new();
    let mut fields = Vec::new();
    let mut decoders = Vec::new();
    let mut types = Vec::new();
    for column in columns {
        let Some(read) = column.read(select) else {
            select.warnings.once(format!(
                "column {} of {place} is left out, since its type {} has no Connect type; \
                 sql.complex.types.enable=true and for hstore hstore.handling.mode have it read",
                column.name, column.kind.name
            ));
            continue;
        };
        // The catalog's spelling: exact whatever quote.sql.identifiers says.
        let name = Quoting::Always('"').sql(&column.name);
        names.push(read.sql(&name));
        fields.push(column.field(&read));
        types.push(&*column.kind.name);
        decoders.push(read.decode);
    }
    if names.is_empty() {
        let message = "no column can be read; leave the table out or cast its columns in a query";
        return Err(Error::fatal(message).context("table", place));
    }
    let shape = Shape::new(select, fields).map_err(|e| e.context("table", place))?;
    check_times(select, &shape, |at| (types[at], decoders[at].is_clock()))?;
    let sql = format!(
        "COPY {READS} ({}\n) TO STDOUT (FORMAT binary)",
        select.sql(&names.join(", "), &PostgresTimes)
    );
    Ok((sql, Batcher::new(shape, select.limits), decoders))
}

/// The rows of one query on their way from the wire into columns.
struct Rows<'a> {
    select: &'a Select,
    batcher: Batcher,
    decoders: Vec<Decode>,
    tuples: Tuples,
    count: u64,
}

impl Rows<'_> {
    /// Takes up the next row that is there as a whole, if any; hands a batch over once it is full.
    async fn advance(&mut self, batches: &mpsc::Sender<Batch>) -> Result<bool> {
        match self.tuples.next(self.decoders.len()) {
            Ok(Parsed::Incomplete | Parsed::End) => return Ok(false),
            Ok(Parsed::Row) => {}
            Err(what) => {
                return Err(Error::fatal("the server's COPY data is broken")
                    .context("table", self.select.place())
                    .context("error", what));
            }
        }
        self.count += 1;
        if let Err(error) = self.decode() {
            hand_over(batches, self.batcher.take()?).await?;
            return Err(error.context("table", self.select.place()));
        }
        let written = self.written();
        if self.batcher.row_done(self.tuples.bytes(), written) {
            hand_over(batches, self.batcher.take()?).await?;
        }
        Ok(true)
    }

    fn decode(&mut self) -> Result<()> {
        let cells = self.batcher.cells().iter_mut();
        for (i, (cells, decoder)) in cells.zip(&self.decoders).enumerate() {
            let read = match self.tuples.field(i) {
                None => {
                    cells.null();
                    continue;
                }
                Some(bytes) => decoder.read(bytes, cells, self.select.calendar),
            };
            if let Err(misfit) = read {
                return Err(self.batcher.misfit(i, &misfit, &self.row_name()));
            }
        }
        Ok(())
    }

    /// When the row was written, in a mode that looks at it.
    fn written(&self) -> Option<Moment> {
        let moment = |at: &usize| {
            let micros =
                self.decoders[*at].micros(self.tuples.field(*at)?, self.select.calendar)?;
            Some(Moment::from_micros(micros))
        };
        self.batcher.shape().timestamps.iter().find_map(moment)
    }

    fn row_name(&self) -> RowName {
        let shape = self.batcher.shape();
        let key = shape.incrementing.and_then(|at| {
            let value = self.decoders[at].whole_number(self.tuples.field(at)?)?;
            Some((shape.fields[at].name.clone(), value.to_string()))
        });
        match key {
            Some((column, value)) => RowName::Incrementing { column, value },
            None => RowName::Counted(self.count),
        }
    }
}
