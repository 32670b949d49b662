//! Decides what configurations under Aiven's name mean: some keys have another name or default than
//! Confluent's. All others of Confluent's keys work too.

use millrace_api::Result;
use millrace_api::config::validators::{at_least, one_of};
use millrace_api::config::{Config, ConfigDef, Setting, Values};

use super::config::{SourceConfig, topic_prefix_rule};

/// Keys of connector and tasks.
pub(crate) struct AivenConfig(pub(super) SourceConfig);

/// The keys that differ from Confluent's.
#[derive(Config)]
struct Own {
    /// How new rows are found: bulk reads the whole table each time; incrementing reads rows whose
    /// incrementing column is above the last one read; timestamp reads rows that were written since
    /// by their timestamp columns, changed rows again; timestamp+incrementing both, so that rows of
    /// the same time are told apart by their ids.
    #[config(key = "mode", importance = High, group = "Mode",
        validate = one_of(["bulk", "timestamp", "incrementing", "timestamp+incrementing"]))]
    #[expect(dead_code, reason = "it is read as Confluent's")]
    mode: String,
    /// Where the timestamp modes begin, in milliseconds since 1970.
    #[config(key = "timestamp.initial.ms", importance = Low, default = 0, group = "Mode")]
    timestamp_initial_ms: i64,
    /// Whether names are quoted in the SQL that is made.
    #[config(key = "sql.quote.identifiers", importance = Medium, default = true, group = "Mode")]
    sql_quote_identifiers: bool,
    /// What stands before a table's name in the name of its topic; with a query, the whole name of
    /// the topic.
    #[config(key = "topic.prefix", importance = High, group = "Connector",
        validate = topic_prefix_rule)]
    #[expect(dead_code, reason = "it is read as Confluent's")]
    topic_prefix: String,
    /// The most rows that one poll returns. A poll returns fewer when they come to about 1 MiB.
    #[config(key = "batch.max.rows", importance = Low, default = 100, group = "Connector",
        validate = at_least(1))]
    #[expect(dead_code, reason = "it is read as Confluent's")]
    batch_max_rows: i32,
}

const INITIAL: &str = "timestamp.initial";
const QUOTE: &str = "quote.sql.identifiers";

impl Config for AivenConfig {
    fn config_def() -> ConfigDef {
        let confluents = SourceConfig::config_def().without(&[INITIAL, QUOTE]);
        confluents.replaced_by(Own::config_def())
    }

    fn from_values(values: &Values) -> Result<Self> {
        let own = Own::from_values(values)?;
        let mut values = values.clone();
        let quotes = if own.sql_quote_identifiers { "ALWAYS" } else { "NEVER" };
        values.insert(QUOTE, Setting::String(quotes.to_owned()));
        // -1 is a point in time here, and "now" in Confluent's key.
        let initial = own.timestamp_initial_ms;
        values.insert(INITIAL, Setting::Long(if initial == -1 { 0 } else { initial }));
        Ok(Self(SourceConfig::from_values(&values)?))
    }
}
