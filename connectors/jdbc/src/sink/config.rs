//! The configuration of the sink: Confluent's keys, Aiven's, and a few of our own.

mod problems;

use std::sync::Arc;
use std::time::Duration;

use millrace_api::Result;
use millrace_api::config::validators::{at_least, list_of, non_empty_string, one_of_ignore_case};
use millrace_api::config::{ClassName, Config, ConfigEnum, Password, Props};

use crate::calendar::Calendar;
use crate::database::{DIALECTS, Database};
use crate::dialect::Dialect;
use crate::dialect::target::Action;
use crate::settings::{DEFAULT_PROVIDER, millis, refuse};
use crate::sink::naming::TableNames;
use crate::table::Quoting;

const CONNECTION: &str = "Connection";
const WRITES: &str = "Writes";
const DATA_MAPPING: &str = "Data Mapping";
const DDL: &str = "DDL Support";
const RETRIES: &str = "Retries";

/// The keys of connector and tasks, in Confluent's order.
#[derive(Config)]
pub(crate) struct SinkConfig {
    /// JDBC URL of the database: jdbc:postgresql://host:port/database?setting=value or
    /// jdbc:sqlite:/path/to/file.
    #[config(key = "connection.url", importance = High, group = CONNECTION)]
    connection_url: String,
    /// The user to connect as.
    #[config(key = "connection.user", importance = High, group = CONNECTION)]
    connection_user: Option<String>,
    /// The user's password.
    #[config(key = "connection.password", importance = High, group = CONNECTION)]
    connection_password: Option<Password>,
    /// A class that provides credentials. Only the default, which takes connection.user and
    /// connection.password, is supported.
    #[config(key = "jdbc.credentials.provider.class", importance = Low, group = CONNECTION,
        default = DEFAULT_PROVIDER)]
    credentials_provider: ClassName,
    /// The dialect, where connection.url should not decide it.
    #[config(key = "dialect.name", importance = Low, default = "", group = CONNECTION,
        validate = one_of_ignore_case(DIALECTS))]
    dialect_name: String,
    /// How often to try to get a connection before that counts as one of max.retries.
    #[config(key = "connection.attempts", importance = Low, default = 3, validate = at_least(1),
        group = CONNECTION)]
    pub(super) connection_attempts: i32,
    /// How long to wait between two attempts, in milliseconds.
    #[config(key = "connection.backoff.ms", importance = Low, default = 10_000,
        validate = at_least(0), group = CONNECTION)]
    connection_backoff_ms: i64,

    /// What is done with records: insert; upsert, which changes rows whose key is there and inserts
    /// the others; update, which leaves the others out. multi is Aiven's name of insert.
    #[config(key = "insert.mode", importance = High, default = "insert", group = WRITES,
        validate = one_of_ignore_case(["insert", "upsert", "update", "multi"]))]
    insert_mode: String,
    /// How many records are written in one transaction at most.
    #[config(key = "batch.size", importance = Medium, default = 3_000, group = WRITES,
        validate = at_least(0))]
    batch_size: i32,
    /// How long records may wait for others to be written with, in milliseconds. 0: what one poll
    /// brings is written at once.
    #[config(key = "batch.linger.ms", importance = Low, default = 200, group = WRITES,
        validate = at_least(0))]
    batch_linger_ms: i32,
    /// Whether a record without value deletes the row of its key. Needs pk.mode=record_key.
    #[config(key = "delete.enabled", importance = Medium, default = false, group = WRITES)]
    pub(super) delete_enabled: bool,
    /// Which kinds of tables may be written to.
    #[config(key = "table.types", importance = Low, default = "TABLE", group = WRITES,
        validate = list_of(["TABLE", "PARTITIONED TABLE", "VIEW"]))]
    pub(super) table_types: Vec<String>,
    /// Whether a field that is null is written as its schema's default, if that has one.
    #[config(key = "replace.null.with.default", importance = Medium, default = true,
        group = WRITES)]
    pub(super) replace_null_with_default: bool,
    /// off: records may be written again after a crash, which is harmless with upsert.
    /// transactional: offsets are kept in a table of the database, written in the transaction that
    /// writes the records.
    #[config(key = "exactly.once", importance = Medium, default = ExactlyOnce::Off,
        group = WRITES)]
    pub(super) exactly_once: ExactlyOnce,
    /// The table of offsets for exactly.once=transactional; made when it is missing.
    #[config(key = "exactly.once.table", importance = Low, default = "millrace_offsets",
        group = WRITES, validate = non_empty_string)]
    exactly_once_table: String,

    /// The table of a topic: ${topic} stands for the topic's name. May name a schema.
    #[config(key = "table.name.format", importance = Medium, default = "${topic}",
        group = DATA_MAPPING, validate = non_empty_string)]
    table_name_format: String,
    /// Tables by topic, as REGEX:TABLE, before table.name.format. The expression is held against
    /// the whole topic; ${1} stands for what its first group matched. The first entry counts.
    #[config(key = "table.name.map", importance = Medium, default = "", group = DATA_MAPPING)]
    table_name_map: Vec<String>,
    /// Aiven's: whether characters of a table's name other than letters, digits and underscores
    /// become underscores.
    #[config(key = "table.name.normalize", importance = Medium, default = false,
        group = DATA_MAPPING)]
    table_name_normalize: bool,
    /// Aiven's: tables by topic, as TOPIC:TABLE, before table.name.map.
    #[config(key = "topics.to.tables.mapping", importance = Medium, default = "",
        group = DATA_MAPPING)]
    topics_to_tables_mapping: Vec<String>,
    /// What rows are told apart by: none; kafka, by topic, partition and offset; record_key, by
    /// the record's key or fields of it; record_value, by fields of its value.
    #[config(key = "pk.mode", importance = High, default = "none", group = DATA_MAPPING,
        validate = one_of_ignore_case(["none", "kafka", "record_key", "record_value"]))]
    pk_mode: String,
    /// The columns of the key. kafka: names for topic, partition and offset; record_key: fields of
    /// the key, all if empty, or a name for a key that is no struct; record_value: fields of the
    /// value, all if empty.
    #[config(key = "pk.fields", importance = Medium, default = "", group = DATA_MAPPING)]
    pub(super) pk_fields: Vec<String>,
    /// Fields of the value that are written; all if empty. The key's are written in any case.
    #[config(key = "fields.whitelist", importance = Medium, default = "", group = DATA_MAPPING)]
    pub(super) fields_whitelist: Vec<String>,
    /// The zone of columns that hold times without one.
    #[config(key = "db.timezone", importance = Medium, default = "UTC", group = DATA_MAPPING)]
    db_timezone: String,
    /// The zone that the midnight of a date is moved to: db_timezone, as Java does by default, or
    /// utc, which leaves dates as they are.
    #[config(key = "date.timezone", importance = Medium, default = "DB_TIMEZONE",
        group = DATA_MAPPING, validate = one_of_ignore_case(["DB_TIMEZONE", "UTC"]))]
    date_timezone: String,
    /// Fields of the value, of type INT64 or STRING, that are written as timestamps.
    #[config(key = "timestamp.fields.list", importance = Medium, default = "",
        group = DATA_MAPPING)]
    pub(super) timestamp_fields_list: Vec<String>,
    /// What the numbers in timestamp.fields.list count since 1970.
    #[config(key = "timestamp.precision.mode", importance = Medium, default = "microseconds",
        group = DATA_MAPPING, validate = one_of_ignore_case(["microseconds", "nanoseconds"]))]
    timestamp_precision_mode: String,
    /// How dates before 1582-10-15 are counted in records: LEGACY by their names in the Julian
    /// calendar, as Java's old classes do; PROLEPTIC_GREGORIAN as SQL counts them.
    #[config(key = "date.calendar.system", importance = Low, default = "LEGACY",
        group = DATA_MAPPING, validate = one_of_ignore_case(["LEGACY", "PROLEPTIC_GREGORIAN"]))]
    date_calendar_system: String,
    /// The column for values that are a plain STRING.
    #[config(key = "string.output.value.column.name", importance = Low, default = "record_value",
        group = DATA_MAPPING, validate = non_empty_string)]
    pub(super) string_output_value_column_name: String,

    /// Whether to create a table that is missing.
    #[config(key = "auto.create", importance = Medium, default = false, group = DDL)]
    pub(super) auto_create: bool,
    /// Whether to add columns that are missing.
    #[config(key = "auto.evolve", importance = Medium, default = false, group = DDL)]
    pub(super) auto_evolve: bool,
    /// Whether names are quoted in SQL: always or never.
    #[config(key = "quote.sql.identifiers", importance = Medium, default = "ALWAYS", group = DDL,
        validate = one_of_ignore_case(["ALWAYS", "NEVER"]))]
    quote_sql_identifiers: String,
    /// Aiven's: false is quote.sql.identifiers=never.
    #[config(key = "sql.quote.identifiers", importance = Medium, default = true, group = DDL)]
    sql_quote_identifiers: bool,
    /// For SQL Server only, which is not supported.
    #[config(key = "mssql.use.merge.holdlock", importance = Low, default = true, group = DDL)]
    #[expect(dead_code, reason = "accepted, so that configurations need no change")]
    mssql_use_merge_holdlock: bool,

    /// How often a transaction is made again after a passing error before the task fails.
    #[config(key = "max.retries", importance = Medium, default = 10, validate = at_least(0),
        group = RETRIES)]
    pub(super) max_retries: i32,
    /// How long to wait before that, in milliseconds.
    #[config(key = "retry.backoff.ms", importance = Medium, default = 3_000,
        validate = at_least(0), group = RETRIES)]
    retry_backoff_ms: i32,
    /// Whether values of rows are left out of messages.
    #[config(key = "trim.sensitive.log", importance = Low, default = false, group = RETRIES,
        internal)]
    pub(super) trim_sensitive_log: bool,
    /// Whether values may be change events, and fields of Debezium's types; so it is under
    /// Debezium's class.
    #[config(key = "change.events", importance = Low, default = false, group = DATA_MAPPING,
        internal)]
    pub(super) change_events: bool,
}

/// `exactly.once`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ConfigEnum)]
pub(crate) enum ExactlyOnce {
    Off,
    Transactional,
}

/// `pk.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PkMode {
    None,
    Kafka,
    RecordKey,
    RecordValue,
}

impl SinkConfig {
    /// The first problem as an error, for those who start without having asked.
    pub(super) fn check(&self) -> Result<()> {
        refuse(self.problems())
    }

    /// The database. `props` may hold driver settings as `connection.NAME`.
    pub(super) fn dialect(&self, props: &Props) -> Result<Arc<dyn Dialect>> {
        Database {
            url: &self.connection_url,
            user: self.connection_user.as_deref(),
            password: self.connection_password.as_ref(),
            dialect: &self.dialect_name,
        }
        .open(props)
    }

    /// What is done with records that have a value.
    pub(super) fn action(&self) -> Action {
        match self.insert_mode.to_ascii_lowercase().as_str() {
            "upsert" => Action::Upsert,
            "update" => Action::Update,
            _ => Action::Insert,
        }
    }

    pub(super) fn pk_mode(&self) -> PkMode {
        match self.pk_mode.to_ascii_lowercase().as_str() {
            "kafka" => PkMode::Kafka,
            "record_key" => PkMode::RecordKey,
            "record_value" => PkMode::RecordValue,
            _ => PkMode::None,
        }
    }

    pub(super) fn batch_size(&self) -> usize {
        usize::try_from(self.batch_size).unwrap_or_default().max(1)
    }

    pub(super) fn linger(&self) -> Duration {
        millis(self.batch_linger_ms.into())
    }

    pub(super) fn connection_backoff(&self) -> Duration {
        millis(self.connection_backoff_ms)
    }

    pub(super) fn retry_backoff(&self) -> Duration {
        millis(self.retry_backoff_ms.into())
    }

    pub(super) fn quoting(&self, mark: char) -> Quoting {
        if self.quote_sql_identifiers.eq_ignore_ascii_case("NEVER") || !self.sql_quote_identifiers {
            Quoting::Never
        } else {
            Quoting::Always(mark)
        }
    }

    /// How clocks go in the database.
    pub(super) fn calendar(&self) -> Result<Calendar> {
        self.calendar_in(self.db_timezone.trim())
    }

    /// How dates are counted there.
    pub(super) fn dates(&self) -> Result<Calendar> {
        match self.date_timezone.eq_ignore_ascii_case("UTC") {
            true => self.calendar_in("UTC"),
            false => self.calendar(),
        }
    }

    fn calendar_in(&self, zone: &str) -> Result<Calendar> {
        Calendar::named(&self.date_calendar_system, zone)
    }

    /// How many of the numbers in `timestamp.fields.list` make a microsecond.
    pub(super) fn per_microsecond(&self) -> i64 {
        if self.timestamp_precision_mode.eq_ignore_ascii_case("nanoseconds") { 1000 } else { 1 }
    }

    /// Which table a topic goes to.
    pub(super) fn table_names(&self, mark: char) -> Result<TableNames> {
        TableNames::new(self.table_name_format.trim(), mark)
            .mapped("table.name.map", &self.table_name_map)?
            .named("topics.to.tables.mapping", &self.topics_to_tables_mapping)
            .map(|names| names.normalized(self.table_name_normalize).flat(self.change_events))
    }

    /// The table of offsets, as written.
    pub(super) fn offsets_table(&self) -> &str {
        self.exactly_once_table.trim()
    }
}
