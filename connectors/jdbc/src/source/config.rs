//! The configuration of the source: Confluent's keys, and which of their values work here.

mod problems;

use std::sync::Arc;
use std::time::Duration;

use millrace_api::config::validators::{at_least, between, list_of, one_of, one_of_ignore_case};
use millrace_api::config::{ClassName, Config, Password, Props, Validator};
use millrace_api::{Error, Result};

use crate::calendar::Calendar;
use crate::database::{DIALECTS, Database};
use crate::dialect::{Dialect, From, Isolation, TableFilter};
use crate::form::{Granularity, Hstore, NumericMapping};
use crate::key::Key;
use crate::position::Moment;
use crate::settings::{DEFAULT_PROVIDER, millis, refuse};
use crate::source::columns::PositionColumns;
use crate::source::patterns::{Mapping, Patterns};
use crate::table::{Quoting, TableId};

const DATABASE: &str = "Database";
const MODE: &str = "Mode";
const CONNECTOR: &str = "Connector";

/// The keys of connector and tasks, in Confluent's order.
#[derive(Clone, Config)]
pub(crate) struct SourceConfig {
    /// JDBC URL of the database: jdbc:postgresql://host:port/database?setting=value or
    /// jdbc:sqlite:/path/to/file.
    #[config(key = "connection.url", importance = High, default = "", group = DATABASE)]
    connection_url: String,
    /// The user to connect as.
    #[config(key = "connection.user", importance = High, group = DATABASE)]
    connection_user: Option<String>,
    /// The user's password.
    #[config(key = "connection.password", importance = High, group = DATABASE)]
    connection_password: Option<Password>,
    /// A class that provides credentials. Only the default, which takes connection.user and
    /// connection.password, is supported.
    #[config(key = "jdbc.credentials.provider.class", importance = Low, group = DATABASE,
        default = DEFAULT_PROVIDER)]
    credentials_provider: ClassName,
    /// How often to try to get a connection before the task fails.
    #[config(key = "connection.attempts", importance = Low, default = 3, validate = at_least(1),
        group = DATABASE)]
    pub(crate) connection_attempts: i32,
    /// How long to wait between two attempts, in milliseconds.
    #[config(key = "connection.backoff.ms", importance = Low, default = 10_000, group = DATABASE)]
    connection_backoff_ms: i64,
    /// Tables to copy, by their names or their qualified names. Empty: all.
    #[config(key = "table.whitelist", importance = Medium, default = "", group = DATABASE)]
    pub(crate) table_whitelist: Vec<String>,
    /// Tables not to copy. Not together with table.whitelist.
    #[config(key = "table.blacklist", importance = Medium, default = "", group = DATABASE)]
    pub(crate) table_blacklist: Vec<String>,
    /// Regular expressions for tables to copy, held against whole qualified names such as
    /// public.orders. In place of table.whitelist and table.blacklist.
    #[config(key = "table.include.list", importance = Medium, default = "", group = DATABASE)]
    pub(crate) table_include_list: Vec<String>,
    /// Regular expressions for tables of table.include.list not to copy.
    #[config(key = "table.exclude.list", importance = Medium, default = "", group = DATABASE)]
    table_exclude_list: Vec<String>,
    /// A LIKE pattern for the catalog (on PostgreSQL the database) that tables are looked for in.
    #[config(key = "catalog.pattern", importance = Medium, group = DATABASE)]
    catalog_pattern: Option<String>,
    /// A LIKE pattern for the schemas that tables are looked for in.
    #[config(key = "schema.pattern", importance = High, group = DATABASE)]
    schema_pattern: Option<String>,
    /// Deprecated: true is numeric.mapping=precision_only where that is not set.
    #[config(key = "numeric.precision.mapping", importance = Low, default = false,
        group = DATABASE)]
    numeric_precision_mapping: bool,
    /// What NUMERIC columns become: none (Decimal), precision_only (integers where there are no
    /// digits after the point and at most 18 before), best_fit (also doubles for up to 18 digits)
    /// or best_fit_eager_double (doubles for all with digits after the point).
    #[config(key = "numeric.mapping", importance = Low, group = DATABASE,
        validate = one_of_ignore_case(MAPPINGS).or_null())]
    numeric_mapping: Option<String>,
    /// Whether columns are read whose types Confluent's connector leaves out: PostgreSQL's arrays
    /// as ARRAY; intervals, addresses, geometry, ranges, bit strings, composite and all other types
    /// as the server's text.
    #[config(key = "sql.complex.types.enable", importance = Low, default = false,
        group = DATABASE)]
    sql_complex_types_enable: bool,
    /// With sql.complex.types.enable, what PostgreSQL's hstore becomes: none (left out), map (MAP
    /// of STRING to optional STRING) or json (STRING).
    #[config(key = "hstore.handling.mode", importance = Low, default = "none", group = DATABASE,
        validate = one_of_ignore_case(["none", "map", "json"]))]
    hstore_handling_mode: String,
    /// The dialect, where connection.url should not decide it.
    #[config(key = "dialect.name", importance = Low, default = "", group = DATABASE,
        validate = one_of_ignore_case(DIALECTS))]
    dialect_name: String,
    /// How dates before 1582-10-15 are counted: LEGACY keeps their names in the Julian calendar,
    /// as Java's old classes do; PROLEPTIC_GREGORIAN keeps the days that SQL and Parquet mean.
    #[config(key = "date.calendar.system", importance = Low, default = "LEGACY", group = DATABASE,
        validate = one_of_ignore_case(["LEGACY", "PROLEPTIC_GREGORIAN"]))]
    date_calendar_system: String,

    /// How new rows are found: bulk reads the whole table each time; incrementing reads rows whose
    /// incrementing column is above the last one read; timestamp reads rows that were written since
    /// by their timestamp columns, changed rows again; timestamp+incrementing both, so that rows of
    /// the same time are told apart by their ids.
    #[config(key = "mode", importance = High, default = "", group = MODE,
        validate = one_of(MODES))]
    mode: String,
    /// Modes by table, as REGEX:MODE, where a table's is not that of mode. The expression is held
    /// against the whole qualified name; two entries for one table are an error.
    #[config(key = "mode.mapping", importance = Low, default = "", group = MODE)]
    mode_mapping: Vec<String>,
    /// The column that only ever goes up in new rows. Empty: the table's auto-increment column.
    #[config(key = "incrementing.column.name", importance = Medium, default = "", group = MODE)]
    incrementing_column_name: String,
    /// Columns that say when a row was written: the first of them that is not NULL; for the
    /// timestamp modes.
    #[config(key = "timestamp.column.name", importance = Medium, default = "", group = MODE)]
    timestamp_column_name: Vec<String>,
    /// Timestamp columns by table, as REGEX:[COLUMN|COLUMN], with table.include.list: exactly one
    /// entry must be for each table.
    #[config(key = "timestamp.columns.mapping", importance = Medium, default = "", group = MODE)]
    timestamp_columns_mapping: Vec<String>,
    /// Incrementing columns by table, as REGEX:COLUMN, with table.include.list: exactly one entry
    /// must be for each table.
    #[config(key = "incrementing.column.mapping", importance = Medium, default = "", group = MODE)]
    incrementing_column_mapping: Vec<String>,
    /// Where the timestamp modes begin, in milliseconds since 1970; -1 for now.
    #[config(key = "timestamp.initial", importance = Low, group = MODE)]
    pub(crate) timestamp_initial: Option<i64>,
    /// The id that counts as the last one read where no offset is stored: rows with higher ids are
    /// read.
    #[config(key = "incrementing.initial", importance = Low, default = -1, group = MODE)]
    pub(crate) incrementing_initial: i64,
    /// Refuse an incrementing column that may be NULL: such rows are never read.
    #[config(key = "validate.non.null", importance = Low, default = true, group = MODE)]
    pub(crate) validate_non_null: bool,
    /// A SELECT to read instead of tables. In incrementing mode it is wrapped, so that it may have
    /// a WHERE of its own.
    #[config(key = "query", importance = Medium, default = "", group = MODE,
        validate = select_or_nothing)]
    query: String,
    /// The same as query, but never shown.
    #[config(key = "query.masked", importance = Medium, default = "", group = MODE)]
    query_masked: Password,
    /// Whether names are quoted in the SQL that is made: always or never.
    #[config(key = "quote.sql.identifiers", importance = Medium, default = "ALWAYS", group = MODE,
        validate = one_of_ignore_case(["ALWAYS", "NEVER"]))]
    quote_sql_identifiers: String,
    /// Whether tables are named with their schemas in the SQL that is made; false: the database
    /// looks for the name in its search path.
    #[config(key = "table.names.qualify", importance = Low, default = true, group = MODE)]
    table_names_qualify: bool,
    /// Text to append to the SQL that is made, such as a LIMIT.
    #[config(key = "query.suffix", importance = Low, default = "", group = MODE)]
    pub(crate) query_suffix: String,
    /// The isolation level to read at. SQLite has one only, and SQL_SERVER_SNAPSHOT is for another
    /// database.
    #[config(key = "transaction.isolation.mode", importance = Low, default = "DEFAULT",
        group = MODE, validate = one_of_ignore_case(ISOLATION))]
    transaction_isolation_mode: String,
    /// How often a query is tried again after a passing error; -1: for ever.
    #[config(key = "query.retry.attempts", importance = Low, default = -1, group = MODE,
        validate = at_least(-1))]
    pub(crate) query_retry_attempts: i32,

    /// Which kinds of tables are looked for.
    #[config(key = "table.types", importance = Low, default = "TABLE", group = CONNECTOR,
        validate = list_of(TABLE_TYPES))]
    table_types: Vec<String>,
    /// How long to wait after a table was read before it is read again, in milliseconds.
    #[config(key = "poll.interval.ms", importance = High, default = 5_000, group = CONNECTOR,
        validate = at_least(0))]
    poll_interval_ms: i32,
    /// The most rows that one poll returns. A poll returns fewer when they come to about 1 MiB.
    #[config(key = "batch.max.rows", importance = Low, default = 1_000, group = CONNECTOR,
        validate = at_least(1))]
    pub(crate) batch_max_rows: i32,
    /// Accepted and without effect: at most two batches are held.
    #[config(key = "max.buffer.size", importance = Low, default = 0, group = CONNECTOR)]
    #[expect(dead_code, reason = "accepted, so that configurations need no change")]
    max_buffer_size: i32,
    /// Accepted and without effect: a poll without rows waits for a second.
    #[config(key = "poll.linger.ms", importance = Low, default = 5_000, group = CONNECTOR)]
    #[expect(dead_code, reason = "accepted, so that configurations need no change")]
    poll_linger_ms: i64,
    /// Accepted and without effect: tables are listed before the first task starts.
    #[config(key = "table.monitoring.startup.polling.limit.ms", importance = Low,
        default = 10_000, group = CONNECTOR, internal)]
    #[expect(dead_code, reason = "accepted, so that configurations need no change")]
    table_monitoring_startup_polling_limit_ms: i64,
    /// How often to look for tables that were added or dropped, in milliseconds.
    #[config(key = "table.poll.interval.ms", importance = Low, default = 60_000,
        group = CONNECTOR, validate = at_least(1))]
    table_poll_interval_ms: i64,
    /// What stands before a table's name in the name of its topic; with a query, the whole name of
    /// the topic.
    #[config(key = "topic.prefix", importance = High, default = "", group = CONNECTOR,
        validate = topic_prefix_rule)]
    topic_prefix: String,
    /// How far the timestamp modes stay behind now, in milliseconds.
    #[config(key = "timestamp.delay.interval.ms", importance = High, default = 0,
        group = CONNECTOR)]
    pub(crate) timestamp_delay_interval_ms: i64,
    /// The zone of dates and times that are stored without one: UTC, an offset such as +02:00, a name
    /// such as Europe/Berlin, or one of Java's short names.
    #[config(key = "db.timezone", importance = Medium, default = "UTC", group = CONNECTOR)]
    db_timezone: String,
    /// What TIMESTAMP columns become: Connect's Timestamp in milliseconds (connect_logical), or
    /// micro- or nanoseconds since 1970 as INT64 (*_long) or STRING (*_string), or date and time in
    /// db.timezone (*_iso_datetime_string).
    #[config(key = "timestamp.granularity", importance = Low, default = "connect_logical",
        group = CONNECTOR, validate = one_of_ignore_case(GRANULARITIES))]
    timestamp_granularity: String,
    /// What the key of a record is: none; primary_key, a struct of the primary key's columns; or
    /// primary_key_value, the only column of the primary key as it is.
    #[config(key = "key.mode", importance = Medium, default = "none", group = CONNECTOR,
        validate = one_of_ignore_case(["none", "primary_key", "primary_key_value"]))]
    key_mode: String,
    /// With key.mode, the columns of the key in place of the primary key's: for a query, and for
    /// tables and views without one.
    #[config(key = "key.fields", importance = Low, default = "", group = CONNECTOR)]
    key_fields: Vec<String>,
    /// Whether rows are looked for whose transaction is committed after rows with higher ids or
    /// later times were read: on or off, as in Confluent's connector, which loses them.
    #[config(key = "commit.safety", importance = Medium, default = "on", group = MODE,
        validate = one_of_ignore_case(["on", "off"]))]
    commit_safety: String,
    /// For how long ids without a row are looked for at least, in milliseconds; longer while a
    /// transaction runs that may have taken them. In the timestamp modes, how much earlier the time
    /// in a row may be than its transaction's beginning: more where clocks other than the
    /// database's set it.
    #[config(key = "commit.safety.grace.ms", importance = Low, default = 60_000, group = MODE,
        validate = at_least(0))]
    commit_safety_grace_ms: i64,
    /// How many readers read a table that is read from its start, each a part of its ids at a time:
    /// in bulk mode, by a column that counts up by itself, and in incrementing mode where nothing
    /// was read yet. With more than one, what was read is kept in the offsets, and a restart goes
    /// on with the rest.
    #[config(key = "snapshot.parallelism", importance = Medium, default = 1, group = MODE,
        validate = between(1, 64))]
    snapshot_parallelism: i32,
    /// About how many rows such a part has.
    #[config(key = "snapshot.chunk.rows", importance = Low, default = 100_000, group = MODE,
        validate = at_least(1))]
    snapshot_chunk_rows: i64,
}

/// How new rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Bulk,
    Incrementing,
    Timestamp,
    TimestampIncrementing,
}

impl Mode {
    const ALL: [Self; 4] =
        [Self::Bulk, Self::Timestamp, Self::Incrementing, Self::TimestampIncrementing];

    fn name(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Incrementing => "incrementing",
            Self::Timestamp => "timestamp",
            Self::TimestampIncrementing => "timestamp+incrementing",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether only rows are read that were not read before.
    pub(crate) fn is_incremental(self) -> bool {
        self != Self::Bulk
    }

    pub(crate) fn has_ids(self) -> bool {
        matches!(self, Self::Incrementing | Self::TimestampIncrementing)
    }

    pub(crate) fn has_times(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampIncrementing)
    }
}

/// The mode of each table (`mode` and `mode.mapping`).
#[derive(Clone, Debug)]
pub(crate) struct Modes {
    others: Mode,
    by_table: Mapping,
}

const MODE_MAPPING: &str = "mode.mapping";

impl Modes {
    fn parse(others: Mode, list: &[String]) -> Result<Self> {
        let by_table = Mapping::parse(MODE_MAPPING, list)?;
        if let Some(several) = by_table.several() {
            let message = "a table has one mode";
            return Err(Error::config(message).context(MODE_MAPPING, several.join("|")));
        }
        for name in by_table.values() {
            if Mode::named(name).is_none() {
                let message = "a mode is bulk, incrementing, timestamp or timestamp+incrementing";
                return Err(Error::config(message).context(MODE_MAPPING, name));
            }
        }
        Ok(Self { others, by_table })
    }

    /// The mode of those that no entry names.
    pub(crate) fn others(&self) -> Mode {
        self.others
    }

    /// Fails when two entries are for the table.
    pub(crate) fn of(&self, table: &TableId) -> Result<Mode> {
        let found = self.by_table.find(table)?.and_then(|names| Mode::named(names.first()?));
        Ok(found.unwrap_or(self.others))
    }

    fn any(&self, is: impl Fn(Mode) -> bool) -> bool {
        is(self.others) || self.by_table.values().filter_map(Mode::named).any(is)
    }
}

const MAPPINGS: [&str; 4] = ["none", "precision_only", "best_fit", "best_fit_eager_double"];
const MODES: [&str; 5] = ["", "bulk", "timestamp", "incrementing", "timestamp+incrementing"];
const ISOLATION: [&str; 6] = [
    "DEFAULT",
    "READ_UNCOMMITTED",
    "READ_COMMITTED",
    "REPEATABLE_READ",
    "SERIALIZABLE",
    "SQL_SERVER_SNAPSHOT",
];
const TABLE_TYPES: [&str; 7] =
    ["TABLE", "VIEW", "SYSTEM TABLE", "GLOBAL TEMPORARY", "LOCAL TEMPORARY", "ALIAS", "SYNONYM"];
const GRANULARITIES: [&str; 7] = [
    "connect_logical",
    "micros_long",
    "micros_string",
    "micros_iso_datetime_string",
    "nanos_long",
    "nanos_string",
    "nanos_iso_datetime_string",
];

/// The query is not repeated in the message: it may hold secrets.
fn select_or_nothing() -> Validator {
    let description = "Empty, or a statement that begins with SELECT";
    Validator::with_message(description, |name, value| {
        let query = value.as_str().unwrap_or_default().trim_start();
        if query.is_empty() || is_select(query) {
            return Ok(());
        }
        Err(Error::config(format!(
            "Invalid value for configuration {name}: the statement must begin with SELECT"
        )))
    })
}

fn is_select(query: &str) -> bool {
    let word = query.trim_start().get(..6).unwrap_or_default();
    word.eq_ignore_ascii_case("select")
}

const LONGEST_TOPIC: usize = 249;

pub(super) fn topic_prefix_rule() -> Validator {
    let description = "at most 249 letters, digits, points, underscores and hyphens";
    Validator::new(description, |value| {
        let prefix = value.as_str().unwrap_or_default().trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if prefix.len() > LONGEST_TOPIC {
            Err("a topic's name has at most 249 characters".to_owned())
        } else if !prefix.chars().all(legal) {
            Err("a topic's name has letters, digits, '.', '_' and '-' only".to_owned())
        } else {
            Ok(())
        }
    })
}

impl SourceConfig {
    /// The first problem as an error, for those who start without having asked.
    pub(crate) fn check(&self) -> Result<()> {
        refuse(self.problems())
    }

    /// The database. `props` may hold driver settings as `connection.NAME`.
    pub(crate) fn dialect(&self, props: &Props) -> Result<Arc<dyn Dialect>> {
        Database {
            url: &self.connection_url,
            user: self.connection_user.as_deref(),
            password: self.connection_password.as_ref(),
            dialect: &self.dialect_name,
        }
        .open(props)
    }

    /// Whether a query is read instead of tables.
    pub(crate) fn reads_query(&self) -> bool {
        self.query().is_some()
    }

    /// The query.
    pub(crate) fn query(&self) -> Option<From> {
        let queries = [self.query.trim(), self.query_masked.value().trim()];
        let query = queries.into_iter().find(|q| !q.is_empty())?;
        Some(From::Query(query.to_owned()))
    }

    /// What is read, under the name that it has in SQL.
    pub(crate) fn spelt(&self, from: &From) -> From {
        match from {
            From::Table(table) if !self.table_names_qualify => {
                From::Table(TableId { schema: None, ..table.clone() })
            }
            _ => from.clone(),
        }
    }

    /// The mode of the query, and of tables that `mode.mapping` does not name.
    pub(crate) fn mode(&self) -> Mode {
        Mode::named(&self.mode).unwrap_or(Mode::Bulk)
    }

    /// The mode of each table.
    pub(crate) fn modes(&self) -> Result<Modes> {
        Modes::parse(self.mode(), &self.mode_mapping)
    }

    /// The same for tables of this mode.
    pub(crate) fn in_mode(&self, mode: Mode) -> Self {
        Self { mode: mode.name().to_owned(), ..self.clone() }
    }

    /// The columns that say how far a table or the query was read, as configured.
    pub(crate) fn position_columns(&self) -> Result<PositionColumns> {
        let timestamps = self.timestamp_column_name.iter();
        Ok(PositionColumns {
            modes: self.modes()?,
            incrementing: self.incrementing_column_name.trim().to_owned(),
            timestamps: timestamps.map(|c| c.trim().to_owned()).collect(),
            incrementing_of: self.incrementing_mapping()?,
            timestamps_of: self.timestamp_mapping()?,
        })
    }

    fn included(&self) -> Result<Patterns> {
        Patterns::parse("table.include.list", &self.table_include_list)
    }

    fn excluded(&self) -> Result<Patterns> {
        Patterns::parse("table.exclude.list", &self.table_exclude_list)
    }

    fn timestamp_mapping(&self) -> Result<Mapping> {
        Mapping::parse("timestamp.columns.mapping", &self.timestamp_columns_mapping)
    }

    fn incrementing_mapping(&self) -> Result<Mapping> {
        Mapping::parse("incrementing.column.mapping", &self.incrementing_column_mapping)
    }

    /// The tables that are wanted, in the database's order.
    pub(crate) fn chosen(&self, tables: Vec<TableId>, mark: char) -> Result<Vec<TableId>> {
        let (included, excluded) = (self.included()?, self.excluded()?);
        let named =
            |list: &[String], table: &TableId| list.iter().any(|n| table.is_called(n, mark));
        let wanted = |table: &TableId| {
            if !included.is_empty() {
                included.contain(table) && !excluded.contain(table)
            } else if self.table_whitelist.is_empty() {
                !named(&self.table_blacklist, table)
            } else {
                named(&self.table_whitelist, table)
            }
        };
        Ok(tables.into_iter().filter(wanted).collect())
    }

    /// For how long rows are looked for that are committed late; none: not at all.
    pub(crate) fn commit_safety(&self) -> Option<Duration> {
        let is_on = self.commit_safety.eq_ignore_ascii_case("on");
        (is_on && self.mode().is_incremental()).then(|| millis(self.commit_safety_grace_ms))
    }

    /// The first time that was asked for.
    pub(crate) fn first_time(&self) -> Moment {
        let initial = self.timestamp_initial.filter(|millis| *millis != -1);
        initial.map(Moment::from_millis).unwrap_or_default()
    }

    /// Whether several readers read a table that is read from its start.
    pub(crate) fn takes_snapshots(&self) -> bool {
        self.snapshot_parallelism > 1 && matches!(self.mode(), Mode::Bulk | Mode::Incrementing)
    }

    /// How many readers a snapshot has.
    pub(crate) fn snapshot_parallelism(&self) -> usize {
        usize::try_from(self.snapshot_parallelism).unwrap_or(1)
    }

    pub(crate) fn snapshot_chunk_rows(&self) -> u64 {
        u64::try_from(self.snapshot_chunk_rows).unwrap_or(1)
    }

    pub(crate) fn mapping(&self) -> NumericMapping {
        match self.numeric_mapping.as_deref().map(str::to_ascii_lowercase) {
            None if self.numeric_precision_mapping => NumericMapping::PrecisionOnly,
            Some(name) if name == "precision_only" => NumericMapping::PrecisionOnly,
            Some(name) if name == "best_fit" => NumericMapping::BestFit,
            Some(name) if name == "best_fit_eager_double" => NumericMapping::BestFitEagerDouble,
            _ => NumericMapping::None,
        }
    }

    /// Which columns are the records' keys: those of `key.fields`, or none for the primary key's.
    pub(crate) fn key(&self) -> Option<Key> {
        let is_bare = match self.key_mode.to_ascii_lowercase().as_str() {
            "primary_key" => false,
            "primary_key_value" => true,
            _ => return None,
        };
        Some(Key { columns: self.key_fields.clone(), is_bare })
    }

    /// Whether columns are read that Confluent's connector leaves out, and what `hstore` is then.
    pub(crate) fn complex(&self) -> Option<Hstore> {
        let hstore = match self.hstore_handling_mode.to_ascii_lowercase().as_str() {
            "map" => Hstore::Map,
            "json" => Hstore::Json,
            _ => Hstore::None,
        };
        self.sql_complex_types_enable.then_some(hstore)
    }

    pub(crate) fn isolation(&self) -> Option<Isolation> {
        Isolation::parse(&self.transaction_isolation_mode)
    }

    pub(crate) fn granularity(&self) -> Granularity {
        Granularity::parse(&self.timestamp_granularity)
    }

    pub(crate) fn calendar(&self) -> Result<Calendar> {
        Calendar::named(&self.date_calendar_system, self.db_timezone.trim())
    }

    pub(crate) fn quoting(&self, mark: char) -> Quoting {
        if self.quote_sql_identifiers.eq_ignore_ascii_case("NEVER") {
            Quoting::Never
        } else {
            Quoting::Always(mark)
        }
    }

    pub(crate) fn table_filter(&self) -> TableFilter {
        TableFilter {
            types: self.table_types.clone(),
            schema_pattern: self.schema_pattern.clone(),
            catalog_pattern: self.catalog_pattern.clone(),
        }
    }

    /// The topic of a table; without one, of the query.
    pub(crate) fn topic(&self, table: Option<&str>) -> String {
        format!("{}{}", self.topic_prefix.trim(), table.unwrap_or_default())
    }

    pub(crate) fn connection_backoff(&self) -> Duration {
        millis(self.connection_backoff_ms)
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        millis(self.poll_interval_ms.into())
    }

    pub(crate) fn table_poll_interval(&self) -> Duration {
        millis(self.table_poll_interval_ms)
    }
}
