//! Decides what configurations under the name of Debezium's sink mean: the same as Confluent's,
//! under other names and with other defaults.

use millrace_api::Result;
use millrace_api::config::validators::{at_least, one_of_ignore_case};
use millrace_api::config::{Config, ConfigDef, ConfigError, Setting, Values};

use super::config::SinkConfig;
use crate::settings::Problems;

const CONNECTION: &str = "Connection";
const WRITES: &str = "Writes";
const DATA_MAPPING: &str = "Data Mapping";
const RETRIES: &str = "Retries";

/// Keys of connector and tasks.
pub(crate) struct DebeziumConfig {
    pub(super) sink: SinkConfig,
    own: Own,
}

/// Debezium's own names. All keys that Confluent's sink has besides work too.
#[derive(Config)]
struct Own {
    /// The user to connect as.
    #[config(key = "connection.username", importance = High, group = CONNECTION)]
    username: Option<String>,
    /// How many events are written in one transaction at most.
    #[config(key = "batch.size", importance = Medium, default = 500, group = WRITES,
        validate = at_least(1))]
    #[expect(dead_code, reason = "it is read as Confluent's")]
    batch_size: i32,
    /// Whether the emptying of a table is repeated. Only false is supported: such events are passed
    /// over.
    #[config(key = "truncate.enabled", importance = Medium, default = false, group = WRITES)]
    truncate_enabled: bool,
    /// Changes of one row in one batch are always brought together, whatever this says.
    #[config(key = "use.reduction.buffer", importance = Low, default = false, group = WRITES)]
    #[expect(dead_code, reason = "accepted, so that configurations need no change")]
    use_reduction_buffer: bool,
    /// What rows are told apart by: none; kafka, by topic, partition and offset; record_key, by the
    /// record's key or fields of it; record_value, by fields of its value.
    #[config(key = "primary.key.mode", importance = High, default = "none", group = DATA_MAPPING,
        validate = one_of_ignore_case(
            ["none", "kafka", "record_key", "record_value", "record_header"]))]
    primary_key_mode: String,
    /// The columns of the key; see primary.key.mode.
    #[config(key = "primary.key.fields", importance = High, default = "", group = DATA_MAPPING)]
    primary_key_fields: Vec<String>,
    /// The table of a topic: ${topic} stands for the topic's name, with underscores for dots.
    #[config(key = "collection.name.format", importance = Medium, default = "${topic}",
        group = DATA_MAPPING)]
    collection_name_format: String,
    /// The old name of collection.name.format.
    #[config(key = "table.name.format", importance = Low, group = DATA_MAPPING)]
    table_name_format: Option<String>,
    /// Fields that are written; all if empty.
    #[config(key = "field.include.list", importance = Medium, default = "", group = DATA_MAPPING)]
    field_include_list: Vec<String>,
    /// Fields that are left out. Not supported.
    #[config(key = "field.exclude.list", importance = Medium, default = "", group = DATA_MAPPING)]
    field_exclude_list: Vec<String>,
    /// The zone of columns that hold times without one.
    #[config(key = "use.time.zone", importance = Medium, default = "UTC", group = DATA_MAPPING)]
    use_time_zone: String,
    /// Whether names are quoted in SQL.
    #[config(key = "quote.identifiers", importance = Medium, default = false,
        group = DATA_MAPPING)]
    quote_identifiers: bool,
    /// none: tables and columns must be there; basic: they are made when they are missing.
    #[config(key = "schema.evolution", importance = Medium, default = "none",
        group = DATA_MAPPING, validate = one_of_ignore_case(["none", "basic"]))]
    schema_evolution: String,
    /// How often a transaction is made again after a passing error before the task fails.
    #[config(key = "flush.max.retries", importance = Low, default = 5, validate = at_least(0),
        group = RETRIES)]
    flush_max_retries: i32,
    /// How long to wait before that, in milliseconds.
    #[config(key = "flush.retry.delay.ms", importance = Low, default = 1_000,
        validate = at_least(0), group = RETRIES)]
    flush_retry_delay_ms: i64,
}

/// Debezium's names and Confluent's, where a word of the one is a word of the other.
const NAMES: [(&str, &str); 11] = [
    ("connection.username", "connection.user"),
    ("primary.key.mode", "pk.mode"),
    ("primary.key.fields", "pk.fields"),
    ("collection.name.format", "table.name.format"),
    ("field.include.list", "fields.whitelist"),
    ("use.time.zone", "db.timezone"),
    ("quote.identifiers", "quote.sql.identifiers"),
    ("schema.evolution", "auto.create"),
    ("schema.evolution", "auto.evolve"),
    ("flush.max.retries", "max.retries"),
    ("flush.retry.delay.ms", "retry.backoff.ms"),
];

/// Keys that Debezium's meaning of the data leaves no choice for.
const FIXED: [&str; 6] = [
    "date.timezone",
    "date.calendar.system",
    "timestamp.fields.list",
    "timestamp.precision.mode",
    "sql.quote.identifiers",
    "table.name.normalize",
];

impl Config for DebeziumConfig {
    fn config_def() -> ConfigDef {
        let renamed: Vec<&str> = NAMES.iter().map(|(_, confluents)| *confluents).collect();
        let confluents = SinkConfig::config_def().without(&renamed).without(&FIXED);
        confluents.replaced_by(Own::config_def())
    }

    fn from_values(values: &Values) -> Result<Self> {
        let own = Own::from_values(values)?;
        let mut values = values.clone();
        for (key, setting) in own.confluents() {
            values.insert(key, setting);
        }
        Ok(Self { sink: SinkConfig::from_values(&values)?, own })
    }
}

impl Own {
    /// The same in Confluent's words.
    fn confluents(&self) -> [(&'static str, Setting); 18] {
        let text = |text: &str| Setting::String(text.to_owned());
        let evolves = self.schema_evolution.eq_ignore_ascii_case("basic");
        let quotes = if self.quote_identifiers { "ALWAYS" } else { "NEVER" };
        let format = self.table_name_format.as_ref().unwrap_or(&self.collection_name_format);
        // Problems are told by `problems`; until then the value is any that can be read.
        let is_supported = !self.primary_key_mode.eq_ignore_ascii_case("record_header");
        let delay = i32::try_from(self.flush_retry_delay_ms).unwrap_or(i32::MAX);
        [
            ("connection.user", self.username.as_deref().map_or(Setting::Null, text)),
            ("pk.mode", text(if is_supported { &self.primary_key_mode } else { "none" })),
            ("pk.fields", Setting::List(self.primary_key_fields.clone())),
            ("table.name.format", text(format)),
            ("table.name.normalize", Setting::Boolean(false)),
            ("fields.whitelist", Setting::List(self.field_include_list.clone())),
            ("db.timezone", text(&self.use_time_zone)),
            ("date.timezone", text("UTC")),
            ("date.calendar.system", text("PROLEPTIC_GREGORIAN")),
            ("timestamp.fields.list", Setting::List(Vec::new())),
            ("timestamp.precision.mode", text("microseconds")),
            ("quote.sql.identifiers", text(quotes)),
            ("sql.quote.identifiers", Setting::Boolean(true)),
            ("auto.create", Setting::Boolean(evolves)),
            ("auto.evolve", Setting::Boolean(evolves)),
            ("max.retries", Setting::Int(self.flush_max_retries)),
            ("retry.backoff.ms", Setting::Int(delay)),
            ("change.events", Setting::Boolean(true)),
        ]
    }
}

impl DebeziumConfig {
    /// What is wrong that no single key shows, in Debezium's words.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Problems(self.sink.problems());
        for problem in &mut problems.0 {
            for (debeziums, confluents) in NAMES {
                problem.message = problem.message.replace(confluents, debeziums);
                if problem.key == confluents {
                    debeziums.clone_into(&mut problem.key);
                }
            }
        }
        let own = &self.own;
        problems.add_where(
            own.primary_key_mode.eq_ignore_ascii_case("record_header"),
            "primary.key.mode",
            "keys in headers are not supported; use record_key or record_value",
        );
        problems.add_where(
            own.truncate_enabled,
            "truncate.enabled",
            "tables are not emptied; set it to false, and such events are passed over",
        );
        problems.add_where(
            !own.field_exclude_list.is_empty(),
            "field.exclude.list",
            "is not supported; leave fields out with the transformation ReplaceField",
        );
        problems.add_where(
            own.field_include_list.iter().any(|field| field.contains(':')),
            "field.include.list",
            "a topic before a field is not supported; give each topic a connector of its own",
        );
        let formats = [Some(&own.collection_name_format), own.table_name_format.as_ref()];
        problems.add_where(
            formats.into_iter().flatten().any(|format| format.contains("${source.")),
            "collection.name.format",
            "only ${topic} is supported; name tables by topic with table.name.map, such as \
             [^.]+[.]([^.]+)[.]([^.]+):${1}.${2}",
        );
        problems.0
    }
}
