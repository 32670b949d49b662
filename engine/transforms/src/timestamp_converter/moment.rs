//! Converts moments between the forms they are written in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, StringViewBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};
use millrace_api::config::ConfigEnum;
use millrace_api::data::{Kind, MILLIS_A_DAY, Schema, SchemaRef, Value, logical};
use millrace_api::{Error, Result};

use super::Precision;
use crate::refused::Refused;
use crate::simple_date_format::SimpleDateFormat;

/// How a moment is written.
#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
pub(crate) enum Form {
    #[config(name = "string")]
    Text,
    #[config(name = "unix")]
    Unix,
    #[config(name = "Date")]
    Date,
    #[config(name = "Time")]
    Time,
    #[config(name = "Timestamp")]
    Timestamp,
}

impl Form {
    /// The form of values of a schema.
    pub(super) fn of_schema(schema: &Schema) -> Result<Self> {
        Ok(match (schema.name(), schema.kind()) {
            (Some(logical::TIMESTAMP), _) => Self::Timestamp,
            (Some(logical::DATE), _) => Self::Date,
            (Some(logical::TIME), _) => Self::Time,
            (_, Kind::String) => Self::Text,
            (_, Kind::Int64) => Self::Unix,
            (name, kind) => {
                let name = name.map(|name| format!("{name}:")).unwrap_or_default();
                return Err(Error::data(format!(
                    "Schema Schema{{{name}{}}} does not correspond to a known timestamp type \
                     format",
                    kind.name()
                ))
                .as_java("org.apache.kafka.connect.errors.ConnectException"));
            }
        })
    }

    /// The form of a value without schema.
    fn of_value(value: &Value) -> Result<Self> {
        Ok(match value {
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => Self::Timestamp,
            Value::Int64(_) => Self::Unix,
            Value::String(_) => Self::Text,
            other => {
                return Err(Error::data(format!(
                    "TimestampConverter does not support class {} objects as timestamps",
                    other.java_class()
                )));
            }
        })
    }

    /// A value that is not of this form.
    fn expected(self, value: &Value) -> Error {
        let (what, class) = match self {
            Self::Text => ("string timestamp", "String"),
            Self::Unix => ("Unix timestamp", "Long"),
            Self::Date => ("Date", "java.util.Date"),
            Self::Time => ("Time", "java.util.Date"),
            Self::Timestamp => ("Timestamp", "java.util.Date"),
        };
        let found = value.java_class();
        Error::data(format!("Expected {what} to be a {class}, but found class {found}"))
    }
}

/// How moments are converted.
pub(super) struct Moments {
    pub(super) target: Form,
    /// How texts are read and written, and the pattern of that.
    pub(super) format: Option<(SimpleDateFormat, String)>,
    pub(super) precision: Precision,
}

impl Moments {
    /// The schema of what comes out.
    pub(super) fn schema(&self, optional: bool) -> SchemaRef {
        match self.target {
            Form::Text => return Schema::string(optional),
            Form::Unix => Schema::builder(Kind::Int64),
            Form::Date => Schema::date_builder(),
            Form::Time => Schema::time_builder(),
            Form::Timestamp => Schema::timestamp_builder(),
        }
        .with_optional(optional)
        .build()
    }

    /// A value in the target's form: the definition. Without a schema the value says its own form.
    pub(super) fn convert(&self, form: Option<Form>, value: &Value) -> Result<Value> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let is_free = form.is_none();
        let form = form.map_or_else(|| Form::of_value(value), Ok)?;
        let millis = match (form, value) {
            (Form::Text, Value::String(text)) => self.parsed(text)?,
            (Form::Unix, Value::Int64(number)) => self.of_unix(*number),
            (Form::Date | Form::Time | Form::Timestamp, Value::Date(days)) => {
                i64::from(*days) * MILLIS_A_DAY
            }
            (Form::Date | Form::Time | Form::Timestamp, Value::Time(millis)) => (*millis).into(),
            (Form::Date | Form::Time | Form::Timestamp, Value::Timestamp(millis)) => *millis,
            _ => return Err(form.expected(value)),
        };
        Ok(match self.target {
            Form::Text => Value::String(self.text(millis).into()),
            Form::Unix => Value::Int64(self.to_unix(millis)),
            // Without a schema it is Java's `Date` either way, which this one always fits.
            Form::Date if is_free => Value::Timestamp(start_of_day(millis)),
            Form::Date => Value::Date(day(millis)?),
            Form::Time => Value::Time(time_of_day(millis)),
            Form::Timestamp => Value::Timestamp(millis),
        })
    }

    /// The array in the target's form; none when it is not one of its form.
    pub(super) fn array(
        &self,
        form: Form,
        array: &ArrayRef,
        refused: &mut Refused,
    ) -> Option<ArrayRef> {
        let millis: Int64Array = match (form, array.data_type()) {
            (Form::Text, DataType::Utf8View) => self.parsed_array(array, refused),
            (Form::Unix, DataType::Int64) => {
                array.as_primitive::<Int64Type>().unary(|number| self.of_unix(number))
            }
            (Form::Date, DataType::Date32) => {
                array.as_primitive::<Date32Type>().unary(|days| i64::from(days) * MILLIS_A_DAY)
            }
            (Form::Time, DataType::Time32(_)) => {
                array.as_primitive::<Time32MillisecondType>().unary(i64::from)
            }
            (Form::Timestamp, DataType::Timestamp(..)) => {
                array.as_primitive::<TimestampMillisecondType>().reinterpret_cast()
            }
            _ => return None,
        };
        Some(match self.target {
            Form::Text => self.texts(&millis),
            Form::Unix => Arc::new(millis.unary::<_, Int64Type>(|millis| self.to_unix(millis))),
            Form::Date => Arc::new(days(&millis, refused)),
            Form::Time => Arc::new(millis.unary::<_, Time32MillisecondType>(time_of_day)),
            Form::Timestamp => {
                let millis = millis.reinterpret_cast::<TimestampMillisecondType>();
                Arc::new(millis.with_timezone("UTC"))
            }
        })
    }

    fn parsed_array(&self, array: &ArrayRef, refused: &mut Refused) -> Int64Array {
        let texts = array.as_string_view().iter().enumerate();
        texts
            .map(|(row, text)| self.parsed(text?).map_err(|error| refused.push(row, error)).ok())
            .collect()
    }

    fn texts(&self, millis: &Int64Array) -> ArrayRef {
        let mut texts = StringViewBuilder::with_capacity(millis.len());
        for millis in millis {
            texts.append_option(millis.map(|millis| self.text(millis)));
        }
        Arc::new(texts.finish())
    }

    fn parsed(&self, text: &str) -> Result<i64> {
        let Some((format, pattern)) = &self.format else {
            let error = Error::data("a timestamp that is text can only be read with a format");
            return Err(error.as_java("java.lang.NullPointerException"));
        };
        format.parse(text).ok_or_else(|| {
            Error::data(format!(
                "Could not parse timestamp: value ({text}) does not match pattern ({pattern})"
            ))
        })
    }

    fn text(&self, millis: i64) -> String {
        let (format, _) = self.format.as_ref().expect("the target string has a format");
        format.format(millis)
    }

    /// Past what a `long` holds is the last it holds (`TimeUnit`).
    fn of_unix(&self, number: i64) -> i64 {
        match self.precision {
            Precision::Seconds => number.saturating_mul(1000),
            Precision::Milliseconds => number,
            Precision::Microseconds => number / 1000,
            Precision::Nanoseconds => number / 1_000_000,
        }
    }

    fn to_unix(&self, millis: i64) -> i64 {
        match self.precision {
            Precision::Seconds => millis / 1000,
            Precision::Milliseconds => millis,
            Precision::Microseconds => millis.saturating_mul(1000),
            Precision::Nanoseconds => millis.saturating_mul(1_000_000),
        }
    }
}

/// Java's `Date` counts more days than Connect's, which then loses its high bits.
fn day(millis: i64) -> Result<i32> {
    let day = millis.div_euclid(MILLIS_A_DAY);
    i32::try_from(day).map_err(|_| {
        Error::data("the timestamp is beyond the days that a Date holds; is unix.precision right?")
            .context("days since 1970", day)
    })
}

fn days(millis: &Int64Array, refused: &mut Refused) -> Date32Array {
    let days = millis.iter().enumerate();
    days.map(|(row, millis)| day(millis?).map_err(|error| refused.push(row, error)).ok()).collect()
}

fn start_of_day(millis: i64) -> i64 {
    millis.saturating_sub(millis.rem_euclid(MILLIS_A_DAY))
}

fn time_of_day(millis: i64) -> i32 {
    millis.rem_euclid(MILLIS_A_DAY) as i32
}
