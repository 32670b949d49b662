//! Decides which keys the sink has: Confluent's names and defaults, a mention each.

use millrace_api::config::validators::{at_least, between, non_empty_string};
use millrace_api::config::{ClassName, Config, ConfigEnum};

use crate::format::Codec;
use crate::rules::{
    directory_inside, file_url, format_class, only_utc, partitioner_class, without_compatibility,
};

const STORE: &str = "Store";
const FILES: &str = "Files";
const ROTATION: &str = "Rotation";
const RECORDS: &str = "Records";

/// What becomes of a record without value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum NullValues {
    Fail,
    Ignore,
}

/// The keys of the lake sink.
#[derive(Config)]
pub(crate) struct LakeSinkConfig {
    /// The directory that files are written to, as a URL: `file:///absolute/directory`, or
    /// `file:directory` for one below the worker's. It is made if it is not there.
    #[config(key = "store.url", importance = High, validate = file_url, group = STORE, width = Long)]
    pub(crate) store_url: String,
    /// The directory below the store that has a directory for each topic. Empty for none.
    #[config(
        key = "topics.dir", importance = High, default = "topics",
        validate = directory_inside, group = STORE
    )]
    pub(crate) topics_dir: String,
    /// What stands between directories.
    #[config(
        key = "directory.delim", importance = Low, default = "/",
        validate = non_empty_string, group = STORE, width = Short
    )]
    pub(crate) directory_delim: String,
    /// What stands between topic, partition and offset in the names of files.
    #[config(
        key = "file.delim", importance = Low, default = "+",
        validate = non_empty_string, group = STORE, width = Short
    )]
    pub(crate) file_delim: String,
    /// How many digits offsets have at least in the names of files; zeros are put before them.
    #[config(
        key = "filename.offset.zero.pad.width", importance = Low, default = 10,
        validate = between(0, 19), group = STORE, width = Short
    )]
    pub(crate) filename_offset_zero_pad_width: i32,
    /// How records are shared out to directories. Only the default is there so far: a directory
    /// for each Kafka partition.
    #[config(
        key = "partitioner.class", importance = High,
        default = "io.confluent.connect.storage.partitioner.DefaultPartitioner",
        validate = partitioner_class, group = STORE, width = Long
    )]
    #[expect(dead_code, reason = "its rule leaves one value so far")]
    pub(crate) partitioner_class: ClassName,
    /// The format of the files: `io.confluent.connect.s3.format.parquet.ParquetFormat` or
    /// `parquet`, `io.confluent.connect.s3.format.json.JsonFormat` or `json`.
    #[config(
        key = "format.class", importance = High,
        default = "io.confluent.connect.s3.format.parquet.ParquetFormat",
        validate = format_class, group = FILES, width = Long
    )]
    pub(crate) format_class: ClassName,
    /// How Parquet files are compressed.
    #[config(
        key = "parquet.codec", importance = Low, default = Codec::Snappy, group = FILES
    )]
    pub(crate) parquet_codec: Codec,
    /// How many digits the decimals in Parquet files have where the schema does not say it by its
    /// parameter `connect.decimal.precision`. Few readers take more than 38.
    #[config(
        key = "parquet.decimal.precision", importance = Low, default = 38,
        validate = between(1, 76), group = FILES, width = Short
    )]
    pub(crate) parquet_decimal_precision: i32,
    /// What becomes of schemas that change. With NONE, the only one so far, each schema gets files
    /// of its own.
    #[config(
        key = "schema.compatibility", importance = High, default = "NONE",
        validate = without_compatibility, group = FILES
    )]
    #[expect(dead_code, reason = "its rule leaves one value so far")]
    pub(crate) schema_compatibility: String,
    /// A file is published when it has so many records.
    #[config(key = "flush.size", importance = High, validate = at_least(1), group = ROTATION)]
    pub(crate) flush_size: i32,
    /// A file is published before a record that is so much younger than the file's first, and when
    /// the file has been open for so long. Not by time: -1.
    #[config(
        key = "rotate.interval.ms", importance = High, default = -1,
        validate = at_least(-1), group = ROTATION
    )]
    pub(crate) rotate_interval_ms: i64,
    /// Files are published at whole multiples of this time since midnight. Needs `timezone`. Not
    /// by schedule: -1.
    #[config(
        key = "rotate.schedule.interval.ms", importance = Medium, default = -1,
        validate = at_least(-1), group = ROTATION
    )]
    pub(crate) rotate_schedule_interval_ms: i64,
    /// The time zone of the schedule. Only UTC so far.
    #[config(
        key = "timezone", importance = High, default = "", validate = only_utc, group = ROTATION
    )]
    pub(crate) timezone: String,
    /// What becomes of a record whose value is null: `fail` ends the task, or sends the record to
    /// the dead letter queue if there is one; `ignore` leaves the record out.
    #[config(
        key = "behavior.on.null.values", importance = Low, default = NullValues::Fail,
        group = RECORDS
    )]
    pub(crate) behavior_on_null_values: NullValues,
}
