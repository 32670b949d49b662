//! Connect's data model in two forms: a value at a time, and columns of a run of records.

mod calendar;
mod cells;
mod column;
mod display;
mod hash_order;
pub mod json;
mod parse_string;
mod printer;
mod records;
mod schema;
mod value;

pub use calendar::{
    FIRST_GREGORIAN_DAY, MILLIS_A_DAY, TIME_MILLIS, civil_from_days, days_from_civil,
    days_from_java_date, days_from_julian, java_date_from_days, julian_from_days,
};
pub use column::{Column, byte_length};
pub use display::{
    append_integer, append_java_double, append_java_single, java_double, java_single,
};
pub use hash_order::{in_hash_map_order, java_string_hash};
pub use parse_string::parse_string;
pub use printer::Printer;
pub use records::{
    Fetched, Header, Headers, Records, RowError, SinkRecords, SourceOffset, SourcePartition,
    SourceRecords,
};
pub use schema::{Field, Kind, Schema, SchemaBuilder, SchemaRef, logical};
pub use value::{Decimal, Struct, Value};
