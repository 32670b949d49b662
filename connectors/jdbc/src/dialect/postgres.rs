//! Reads PostgreSQL: what its catalog says of tables, and their rows by `COPY … TO STDOUT` in the
//! binary format, which costs the client less than half of what a result set does.

mod copy;
mod decode;
mod grammar;
mod nested;
mod options;
mod rows;
mod survey;
mod target;
mod transactions;
mod types;
mod wire;

use async_trait::async_trait;
use millrace_api::{Error, Result};
use sqlx::ConnectOptions as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

use self::decode::Decode;
use self::grammar::PostgresGrammar;
use self::rows::Rows;
use self::target::PostgresTarget;
use self::transactions::{READS, Transactions};
use self::types::{COLUMNS_OF_TABLE, ServerColumn, catalog_query};
use self::wire::{Access, Parameter, Row, Session};
use crate::batch::{Batch, Batcher, Shape};
use crate::calendar::{Calendar, clock};
use crate::dialect::judge::{Doing, judge};
use crate::dialect::survey::Surveyed;
use crate::dialect::target::{Grammar, Target};
use crate::dialect::{
    Connection, Dialect, Extent, From, Missed, Select, TableColumn, TableFilter, check_times,
    joins_outside,
};
use crate::gaps::Horizon;
use crate::position::{Beyond, Moment, Times};
use crate::table::{Quoting, TableId};
use crate::unfinished::Unfinished;
use crate::url::PostgresUrl;

/// One PostgreSQL database.
pub(crate) struct Postgres {
    /// To be tried in this order.
    hosts: Vec<Access>,
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
    async fn open<T>(
        &self,
        connect: impl AsyncFn(&Access) -> std::result::Result<T, sqlx::Error>,
    ) -> Result<T> {
        let mut failure = None;
        for access in &self.hosts {
            let options = &access.options;
            let place = format!("{}:{}", options.get_host(), options.get_port());
            let error = match tokio::time::timeout(self.timeout, connect(access)).await {
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
        let options = &self.hosts.first()?.options;
        Some(options.get_database().unwrap_or(options.get_username()))
    }

    async fn connect(&self) -> Result<Box<dyn Connection>> {
        let session = self.open(Session::connect).await?;
        Ok(Box::new(PostgresConnection { session, transactions: Transactions::default() }))
    }

    fn grammar(&self) -> &dyn Grammar {
        &PostgresGrammar
    }

    async fn connect_target(&self, shows_values: bool) -> Result<Box<dyn Target>> {
        let connection = self.open(async |access: &Access| access.options.connect().await).await?;
        Ok(Box::new(PostgresTarget::new(connection, shows_values)))
    }
}

struct PostgresConnection {
    session: Session,
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
        let parameters = [
            Parameter::boolean(wants("TABLE")),
            Parameter::boolean(wants("VIEW")),
            Parameter::boolean(wants("SYSTEM TABLE")),
            Parameter::optional_text(filter.schema_pattern.as_deref()),
            Parameter::optional_text(filter.catalog_pattern.as_deref()),
        ];
        let rows = self.session.rows(sql, &parameters).await;
        let rows = rows.map_err(|e| judge(e, Doing::Listing))?;
        let table = |row: &Row| {
            let schema: String = row.get(0)?;
            let name: String = row.get(1)?;
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
        let rows = self.session.rows(sql, &named(table)).await;
        let rows = rows.map_err(|e| judge(e, Doing::Reading(&place)))?;
        let column = |row: &Row| {
            Ok(TableColumn {
                name: row.get(0)?,
                nullable: row.get(1)?,
                counts_up: row.get(2)?,
                key: row.get(3)?,
            })
        };
        let columns: Result<_, sqlx::Error> = rows.iter().map(column).collect();
        columns.map_err(|e| judge(e, Doing::Reading(&place)))
    }

    async fn survey(&mut self) -> Result<Vec<Surveyed>> {
        survey::survey(&mut self.session).await
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
        let parameters = [Parameter::text(&name), Parameter::text(first)];
        let row = self.session.row(HAS_NO_INDEX, &parameters).await;
        let is_missing: bool =
            row.and_then(|row| row.get(0)).map_err(|e| judge(e, Doing::Listing))?;
        Ok(is_missing.then(|| format!("CREATE INDEX ON {name} ({})", keys.join(", "))))
    }

    async fn now(&mut self) -> Result<Moment> {
        let sql = "SELECT (extract(epoch FROM current_timestamp) * 1000000)::bigint";
        let judged = |error| judge(error, Doing::Listing);
        let row = self.session.row(sql, &[]).await;
        let micros = row.and_then(|row| row.get(0)).map_err(judged)?;
        Ok(Moment::from_micros(micros))
    }

    async fn horizon(&mut self) -> Result<Option<Horizon>> {
        told(transactions::horizon(&mut self.session).await)
    }

    async fn unfinished(
        &mut self,
        select: &Select,
        before: Option<&Unfinished>,
    ) -> Result<Option<(Unfinished, Missed)>> {
        told(self.transactions.look(&mut self.session, select, before).await)
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
        let [schema, name] = named(table);
        let rows = self.session.rows(sql, &[schema, name, Parameter::text(column)]).await;
        let Some(row) = rows.map_err(judged)?.pop() else { return Ok(None) };
        let rows: i64 = row.get(0).map_err(judged)?;
        let name = Quoting::Always('"').sql(column);
        let sql = format!(
            "SELECT min({name})::bigint, max({name})::bigint FROM {}",
            table.sql(Quoting::Always('"'))
        );
        let row = self.session.row(&sql, &[]).await.map_err(judged)?;
        let id = |at| row.get::<Option<i64>>(at).map_err(judged);
        let (Some(first), Some(last)) = (id(0)?, id(1)?) else { return Ok(None) };
        // A table that was never analysed: as if no id were missing.
        let rows = u64::try_from(rows).ok().filter(|rows| *rows > 0);
        let rows = rows.unwrap_or_else(|| last.abs_diff(first).saturating_add(1));
        Ok(Some(Extent { ids: first..=last, rows }))
    }

    async fn share_view(&mut self) -> Result<Option<Arc<str>>> {
        let judged = |error| judge(error, Doing::Listing);
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.session.run(begin).await.map_err(judged)?;
        let sql = format!("SELECT {READS} pg_export_snapshot()");
        let row = self.session.row(&sql, &[]).await.map_err(judged)?;
        let name: String = row.get(0).map_err(judged)?;
        Ok(Some(name.into()))
    }

    async fn read(&mut self, select: &Select, batches: &mpsc::Sender<Batch>) -> Result<()> {
        let place = select.place();
        let judged = |error| judge(error, Doing::Reading(&place));
        // The lock that describing takes is held until the rows are read: their types cannot
        // change in between.
        self.session.run(&begin(select)).await.map_err(judged)?;
        let columns = self.describe(select).await?;
        let (sql, batcher, decoders) = plan(select, &columns)?;
        self.session.begin_copy(&sql).await.map_err(judged)?;
        let mut rows = Rows::new(select, batcher, decoders);
        while self.session.has_copied().await.map_err(judged)? {
            rows.take_up(&mut self.session, batches).await?;
        }
        rows.finish(batches).await?;
        self.session.run("COMMIT").await.map_err(judged)
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}

/// A table's schema and name.
fn named(table: &TableId) -> [Parameter; 2] {
    [Parameter::text(table.schema.as_deref().unwrap_or_default()), Parameter::text(&table.name)]
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
                self.session.run(&lock).await.map_err(judged)?;
                self.columns_of_table(table).await.map_err(judged)?
            }
            From::Query(query) => {
                let query = query.trim().trim_end_matches(';');
                let columns = self.session.describe(query).await.map_err(judged)?;
                columns.into_iter().map(ServerColumn::from).collect()
            }
        };
        if columns.is_empty() {
            return Ok(columns);
        }
        let rows = self.session.rows(&catalog_query(&columns), &[]).await.map_err(judged)?;
        for (column, row) in columns.iter_mut().zip(rows) {
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
    ) -> std::result::Result<Vec<ServerColumn>, sqlx::Error> {
        let name = Parameter::text(&table.sql(Quoting::Always('"')));
        let rows = self.session.rows(COLUMNS_OF_TABLE, &[name]).await?;
        rows.iter().map(ServerColumn::new).collect()
    }
}

/// Begins the transaction of a reading.
fn begin(select: &Select) -> String {
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
    sql
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
