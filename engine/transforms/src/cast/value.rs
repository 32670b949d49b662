//! Casts one value: the definition.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_api::data::{Decimal, Kind, MILLIS_A_DAY, Schema, Value};
use millrace_api::{Error, Result};

use crate::java_number::{double_value, float_value, floating_text, long_value};
use crate::simple_date_format::SimpleDateFormat;

/// What can be cast to.
pub(super) const TARGETS: [Kind; 8] = [
    Kind::Int8,
    Kind::Int16,
    Kind::Int32,
    Kind::Int64,
    Kind::Float32,
    Kind::Float64,
    Kind::Boolean,
    Kind::String,
];

pub(super) fn names(kinds: &[Kind]) -> String {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    format!("[{}]", names.join(", "))
}

/// The value in another type; null stays null.
pub(super) fn cast(schema: Option<&Schema>, value: &Value, target: Kind) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let kind = schema.map_or_else(|| kind_of(value), |schema| Some(schema.kind()));
    let Some(kind) = kind else {
        return Err(Error::data(format!(
            "Cast transformation was passed a value of type class {} which is not supported by \
             Connect's data API",
            value.java_class()
        )));
    };
    if !Kind::PRIMITIVES.contains(&kind) {
        return Err(Error::data(format!(
            "Cast transformation does not support casting from {}; supported types are {}",
            kind.name(),
            names(Kind::PRIMITIVES)
        )));
    }
    if target == Kind::String {
        return text(value).map(|text| Value::String(text.into()));
    }
    match Source::of(value)? {
        Source::Text(text) => parsed(text, target).ok_or_else(|| {
            Error::data(format!("Value ({text}) was out of range for requested data type"))
        }),
        Source::Number(number) => Ok(number.to(target)),
    }
}

/// The type of a value without schema (`ConnectSchema.schemaType`); logical types have none.
fn kind_of(value: &Value) -> Option<Kind> {
    Some(match value {
        Value::Int8(_) => Kind::Int8,
        Value::Int16(_) => Kind::Int16,
        Value::Int32(_) => Kind::Int32,
        Value::Int64(_) => Kind::Int64,
        Value::Float32(_) => Kind::Float32,
        Value::Float64(_) => Kind::Float64,
        Value::Boolean(_) => Kind::Boolean,
        Value::String(_) => Kind::String,
        Value::Bytes(_) => Kind::Bytes,
        Value::Array(_) => Kind::Array,
        Value::Map(_) => Kind::Map,
        Value::Struct(_) => Kind::Struct,
        Value::Null | Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            return None;
        }
    })
}

/// A value that numbers can be made of.
enum Source<'a> {
    Number(Number<'a>),
    Text(&'a str),
}

enum Number<'a> {
    Integer(i64),
    /// A `float` too: widened it is the same number.
    Floating(f64),
    Decimal(&'a Decimal),
}

impl<'a> Source<'a> {
    fn of(value: &'a Value) -> Result<Self> {
        Ok(Self::Number(match value {
            Value::Int8(n) => Number::Integer((*n).into()),
            Value::Int16(n) => Number::Integer((*n).into()),
            Value::Int32(n) | Value::Date(n) | Value::Time(n) => Number::Integer((*n).into()),
            Value::Int64(n) | Value::Timestamp(n) => Number::Integer(*n),
            Value::Float32(n) => Number::Floating((*n).into()),
            Value::Float64(n) => Number::Floating(*n),
            Value::Boolean(b) => Number::Integer((*b).into()),
            Value::Decimal(decimal) => Number::Decimal(decimal),
            Value::String(text) => return Ok(Self::Text(text)),
            other => {
                return Err(Error::data(format!(
                    "Unexpected type in Cast transformation: class {}",
                    other.java_class()
                )));
            }
        }))
    }
}

impl Number<'_> {
    /// Integers keep their low bits; other numbers become the nearest `int` first where the target
    /// is narrower.
    fn to(&self, target: Kind) -> Value {
        match target {
            Kind::Int8 => Value::Int8(self.to_i32() as i8),
            Kind::Int16 => Value::Int16(self.to_i32() as i16),
            Kind::Int32 => Value::Int32(self.to_i32()),
            Kind::Float32 => Value::Float32(match self {
                Self::Integer(n) => *n as f32,
                Self::Floating(n) => *n as f32,
                Self::Decimal(decimal) => float_value(decimal),
            }),
            Kind::Float64 => Value::Float64(match self {
                Self::Integer(n) => *n as f64,
                Self::Floating(n) => *n,
                Self::Decimal(decimal) => double_value(decimal),
            }),
            Kind::Boolean => Value::Boolean(self.to_i64() != 0),
            _ => Value::Int64(self.to_i64()),
        }
    }

    fn to_i32(&self) -> i32 {
        match self {
            Self::Floating(n) => *n as i32,
            _ => self.to_i64() as i32,
        }
    }

    fn to_i64(&self) -> i64 {
        match self {
            Self::Integer(n) => *n,
            Self::Floating(n) => *n as i64,
            Self::Decimal(decimal) => long_value(decimal),
        }
    }
}

fn parsed(text: &str, target: Kind) -> Option<Value> {
    Some(match target {
        Kind::Int8 => Value::Int8(text.parse().ok()?),
        Kind::Int16 => Value::Int16(text.parse().ok()?),
        Kind::Int32 => Value::Int32(text.parse().ok()?),
        Kind::Float32 => Value::Float32(floating_text(text)?.parse().ok()?),
        Kind::Float64 => Value::Float64(floating_text(text)?.parse().ok()?),
        Kind::Boolean => Value::Boolean(text.eq_ignore_ascii_case("true")),
        _ => Value::Int64(text.parse().ok()?),
    })
}

fn text(value: &Value) -> Result<String> {
    let millis = match value {
        Value::Bytes(bytes) => return Ok(STANDARD.encode(bytes)),
        Value::Date(days) => i64::from(*days) * MILLIS_A_DAY,
        Value::Time(millis) => i64::from(*millis),
        Value::Timestamp(millis) => *millis,
        other => return Ok(other.to_string()),
    };
    Ok(moment(millis))
}

/// As a time, a date or both: Java too looks at the number alone (`Values.dateFormatFor`).
fn moment(millis: i64) -> String {
    static FORMATS: LazyLock<[SimpleDateFormat; 3]> = LazyLock::new(|| {
        ["HH:mm:ss.SSS'Z'", "yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"]
            .map(|pattern| SimpleDateFormat::new(pattern).expect("the patterns are right"))
    });
    let [time, date, both] = &*FORMATS;
    let format = match millis {
        ..MILLIS_A_DAY => time,
        _ if millis % MILLIS_A_DAY == 0 => date,
        _ => both,
    };
    format.format(millis)
}
