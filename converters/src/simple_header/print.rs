//! Writes values as `Values.convertToString` does.

use std::fmt::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_api::data::{MILLIS_A_DAY, Value, civil_from_days};

/// A value on its own: strings without quotes.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    let written = match value {
        Value::String(text) => out.write_str(text),
        Value::Bytes(bytes) => out.write_str(&STANDARD.encode(bytes)),
        value => append(value, &mut out),
    };
    written.expect("memory takes every write");
    out
}

/// A value within another.
fn append(value: &Value, out: &mut String) -> fmt::Result {
    match value {
        Value::String(text) => quoted(text, out),
        Value::Bytes(bytes) => quoted(&STANDARD.encode(bytes), out),
        Value::Array(items) => {
            out.write_char('[')?;
            for (i, item) in items.iter().enumerate() {
                comma(i, out)?;
                append(item, out)?;
            }
            out.write_char(']')
        }
        Value::Map(entries) => {
            out.write_char('{')?;
            for (i, (key, value)) in entries.iter().enumerate() {
                comma(i, out)?;
                append(key, out)?;
                out.write_char(':')?;
                append(value, out)?;
            }
            out.write_char('}')
        }
        Value::Struct(s) => {
            out.write_char('{')?;
            for (i, field) in s.schema().fields().iter().enumerate() {
                comma(i, out)?;
                quoted(&field.name, out)?;
                out.write_char(':')?;
                append(s.get(&field.name).unwrap_or(&Value::Null), out)?;
            }
            out.write_char('}')
        }
        Value::Date(days) => moment(i64::from(*days) * MILLIS_A_DAY, out),
        Value::Time(millis) => moment(i64::from(*millis), out),
        Value::Timestamp(millis) => moment(*millis, out),
        plain => write!(out, "{plain}"),
    }
}

fn comma(i: usize, out: &mut String) -> fmt::Result {
    if i > 0 { out.write_char(',') } else { Ok(()) }
}

fn quoted(text: &str, out: &mut String) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(c)?;
    }
    out.write_char('"')
}

/// Java looks at the size alone: whatever lies before the second day of 1970 is written as a time
/// of day, whole days after that as a date, all else as a timestamp. Always in UTC here, where Java
/// takes the zone of its machine.
fn moment(millis: i64, out: &mut String) -> fmt::Result {
    let (days, in_day) = (millis.div_euclid(MILLIS_A_DAY), millis.rem_euclid(MILLIS_A_DAY));
    let is_time = millis < MILLIS_A_DAY;
    if !is_time {
        let (year, month, day) = civil_from_days(days);
        write!(out, "{year:04}-{month:02}-{day:02}")?;
        if in_day == 0 {
            return Ok(());
        }
        out.write_char('T')?;
    }
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millrace_api::data::{Kind, Schema, Struct};

    use super::*;

    #[test]
    fn nested_values_are_quoted() {
        let schema = Schema::struct_builder()
            .field("a\"", Schema::string(true))
            .field("b", Schema::builder(Kind::Int8).default_value(Value::Int8(7)).unwrap().build())
            .build();
        let value = Struct::new(Arc::clone(&schema), vec![Value::Null, Value::Null]);
        let cases = [
            (Value::Struct(value), r#"{"a\"":null,"b":7}"#),
            (Value::Bytes(b"n".to_vec().into()), "bg=="),
            (Value::Array(vec![Value::Bytes(b"n".to_vec().into())]), r#"["bg=="]"#),
            (Value::Array(vec!["a\\\"".into(), Value::Null]), r#"["a\\\"",null]"#),
            (Value::Float64(1e21), "1.0E21"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(&value), expected);
        }
    }
}
