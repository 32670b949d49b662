//! Decides how PostgreSQL spells the types and default values of columns.

use millrace_api::data::{Kind, Schema, Value, civil_from_days, logical};

use super::decode::POSTGRES_EPOCH;
use super::target::statements;
use crate::calendar::DAY;
use crate::dialect::target::{Action, Grammar, TargetField, TargetTable};
use crate::table::Quoting;

/// The longest name that the server keeps, in bytes (`NAMEDATALEN` less one).
const MAX_NAME: usize = 63;

/// A name as the server keeps it: cut before the character that does not fit any more.
pub(super) fn kept(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// PostgreSQL's words.
pub(super) struct PostgresGrammar;

impl Grammar for PostgresGrammar {
    fn column_type(&self, schema: &Schema, _is_key: bool) -> Option<String> {
        // The server counts no dimensions.
        let (mut element, mut suffix) = (schema, "");
        while element.kind() == Kind::Array {
            (element, suffix) = (element.value_schema()?, "[]");
        }
        primitive(element).map(|name| format!("{name}{suffix}"))
    }

    fn literal(&self, schema: &Schema, value: &Value) -> Option<String> {
        literal(schema, value)
    }

    fn unquoted(&self, name: &str) -> String {
        name.to_ascii_lowercase()
    }

    fn kept<'a>(&self, name: &'a str) -> &'a str {
        kept(name)
    }

    fn statements(
        &self,
        action: Action,
        table: &TargetTable,
        fields: &[TargetField],
        _quoting: Quoting,
    ) -> Vec<String> {
        statements(action, table, fields)
    }
}

/// The type of a schema that is neither array, map nor struct. Names of Debezium's that say more
/// than the type does count as well.
fn primitive(schema: &Schema) -> Option<&'static str> {
    let name = schema.name().unwrap_or_default();
    Some(match (schema.kind(), name) {
        (Kind::Bytes, logical::DECIMAL) => "DECIMAL",
        (Kind::Int32, logical::DATE | "io.debezium.time.Date") => "DATE",
        (Kind::Int32, logical::TIME | "io.debezium.time.Time")
        | (Kind::Int64, "io.debezium.time.MicroTime" | "io.debezium.time.NanoTime") => "TIME",
        (
            Kind::Int64,
            logical::TIMESTAMP
            | "io.debezium.time.Timestamp"
            | "io.debezium.time.MicroTimestamp"
            | "io.debezium.time.NanoTimestamp",
        ) => "TIMESTAMP",
        (Kind::Int64, "io.debezium.time.MicroDuration" | "io.debezium.time.NanoDuration")
        | (Kind::String, "io.debezium.time.Interval") => "INTERVAL",
        (Kind::String, "io.debezium.time.ZonedTimestamp") => "TIMESTAMPTZ",
        (Kind::String, "io.debezium.time.ZonedTime") => "TIMETZ",
        (Kind::String, "io.debezium.data.Uuid") => "UUID",
        (Kind::String, "io.debezium.data.Json") => "JSON",
        (Kind::String, "io.debezium.data.Xml") => "XML",
        (Kind::Int8 | Kind::Int16, _) => "SMALLINT",
        (Kind::Int32, _) => "INT",
        (Kind::Int64, _) => "BIGINT",
        (Kind::Float32, _) => "REAL",
        (Kind::Float64, _) => "DOUBLE PRECISION",
        (Kind::Boolean, _) => "BOOLEAN",
        (Kind::String, _) => "TEXT",
        (Kind::Bytes, _) => "BYTEA",
        (Kind::Array | Kind::Map | Kind::Struct, _) => return None,
    })
}

fn literal(schema: &Schema, value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "NULL".to_owned(),
        Value::Boolean(yes) => if *yes { "TRUE" } else { "FALSE" }.to_owned(),
        // Numbers that count time are times.
        Value::Int32(_) | Value::Int64(_) if counts_time(schema) => return None,
        Value::Int8(n) => n.to_string(),
        Value::Int16(n) => n.to_string(),
        Value::Int32(n) => n.to_string(),
        Value::Int64(n) => n.to_string(),
        Value::Float32(n) => float(f64::from(*n), n.to_string()),
        Value::Float64(n) => float(*n, n.to_string()),
        Value::Decimal(n) => n.to_plain_string(),
        Value::String(text) => return quoted(text),
        Value::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("E'\\\\x{digits}'")
        }
        Value::Date(day) => format!("'{}'", date(i64::from(*day))),
        Value::Time(millis) => format!("'{}'", time(i64::from(*millis) * 1000)),
        Value::Timestamp(millis) => {
            let micros = millis.checked_sub(POSTGRES_EPOCH * DAY)?.checked_mul(1000)?;
            format!("'{}'", timestamp(micros, ""))
        }
        Value::Array(items) => {
            let element = schema.value_schema()?;
            let kind = primitive(element)?;
            let items: Option<Vec<_>> = items.iter().map(|item| literal(element, item)).collect();
            format!("ARRAY[{}]::{kind}[]", items?.join(", "))
        }
        Value::Map(_) | Value::Struct(_) => return None,
    })
}

/// Whether a whole number of this schema becomes a column of another type than a number's.
fn counts_time(schema: &Schema) -> bool {
    schema.name().is_some_and(|name| name.starts_with("io.debezium.time."))
}

fn float(number: f64, text: String) -> String {
    match number {
        n if n.is_nan() => "'NaN'".to_owned(),
        n if n == f64::INFINITY => "'Infinity'".to_owned(),
        n if n == f64::NEG_INFINITY => "'-Infinity'".to_owned(),
        _ => text,
    }
}

/// None with a NUL, which no text of the server holds.
fn quoted(text: &str) -> Option<String> {
    if text.contains('\0') {
        return None;
    }
    let doubled = text.replace('\'', "''");
    Some(match doubled.contains('\\') {
        true => format!("E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    })
}

/// A day since 1970. The server counts no year zero.
pub(super) fn date(day: i64) -> String {
    match civil_from_days(day) {
        (year @ ..=0, month, day) => format!("{:04}-{month:02}-{day:02} BC", 1 - year),
        (year, month, day) => format!("{year:04}-{month:02}-{day:02}"),
    }
}

/// Microseconds since midnight.
pub(super) fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:06}", micros % 1_000_000)
}

/// Microseconds since 2000, as the server counts them, and the zone they are in.
pub(super) fn timestamp(micros: i64, zone: &str) -> String {
    const A_DAY: i64 = DAY * 1000;
    match micros {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let date = date(micros.div_euclid(A_DAY) + POSTGRES_EPOCH);
    let time = time(micros.rem_euclid(A_DAY));
    match date.strip_suffix(" BC") {
        Some(date) => format!("{date} {time}{zone} BC"),
        None => format!("{date} {time}{zone}"),
    }
}
