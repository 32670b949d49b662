//! Binds the cells of Arrow columns to statements.

use std::borrow::Cow;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal256Array, Float32Array,
    Float64Array, Int64Array, StringViewArray,
};
use arrow::datatypes::{DataType, Decimal256Type, Float32Type, Float64Type, Int64Type, TimeUnit};
use millrace_api::data::{Decimal, civil_from_days};
use millrace_api::{Error, Result};
use num_bigint::BigInt;
use sqlx::Arguments;
use sqlx::mysql::MySqlArguments;

use crate::calendar::{Calendar, DAY, clock};
use crate::dialect::target::{Write, whole_numbers};

/// The cells of a column.
pub(super) struct Cells<'a> {
    values: Values<'a>,
    column: &'a str,
}

enum Values<'a> {
    Integers(Cow<'a, Int64Array>),
    Singles(&'a Float32Array),
    Doubles(&'a Float64Array),
    Booleans(&'a BooleanArray),
    Texts(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Decimals(&'a Decimal256Array, i32),
    Days(Int64Array, &'a Calendar),
    /// Milliseconds since midnight.
    Times(Int64Array, &'a Calendar),
    Clocks {
        counts: Int64Array,
        /// How many of them make a millisecond.
        per_milli: i64,
        /// None for a `TIMESTAMP`, which takes a point in time: sessions are in UTC.
        calendar: Option<&'a Calendar>,
        julian: &'a Calendar,
    },
}

impl<'a> Cells<'a> {
    /// One a field.
    pub(super) fn of(write: &'a Write<'_>) -> Result<Vec<Self>> {
        let of = |(field, array): (&'a crate::dialect::target::TargetField, &'a ArrayRef)| {
            let column = field.column.as_str();
            let target = write.table.columns.iter().find(|c| c.name == column);
            let kind = target.map_or("", |c| c.type_name.as_str());
            let values = Values::of(array, kind, write);
            Ok(Self { values: values.map_err(|e| e.context("column", column))?, column })
        };
        write.fields.iter().zip(write.arrays).map(of).collect()
    }

    /// How many bytes a cell takes, about.
    pub(super) fn size(&self, row: usize) -> usize {
        const OTHERS: usize = 32;
        match &self.values {
            Values::Texts(array) => array.value(row).len() + OTHERS,
            Values::Bytes(array) => array.value(row).len() + OTHERS,
            Values::Decimals(..) => 100,
            _ => OTHERS,
        }
    }

    /// Adds a cell to the values of a statement.
    pub(super) fn bind(&self, row: usize, arguments: &mut MySqlArguments) -> Result<()> {
        if self.values.is_null(row) {
            return self.added(arguments.add(None::<i64>));
        }
        match &self.values {
            Values::Integers(array) => self.added(arguments.add(array.value(row))),
            Values::Singles(array) => {
                let number = array.value(row);
                self.finite(number.is_finite())?;
                self.added(arguments.add(number))
            }
            Values::Doubles(array) => {
                let number = array.value(row);
                self.finite(number.is_finite())?;
                self.added(arguments.add(number))
            }
            Values::Booleans(array) => self.added(arguments.add(array.value(row))),
            Values::Texts(array) => self.added(arguments.add(array.value(row))),
            Values::Bytes(array) => self.added(arguments.add(array.value(row))),
            Values::Decimals(array, scale) => {
                let unscaled = BigInt::from_signed_bytes_be(&array.value(row).to_be_bytes());
                let text = Decimal { unscaled, scale: *scale }.to_plain_string();
                self.added(arguments.add(text))
            }
            Values::Days(array, calendar) => {
                let millis = calendar.clock(array.value(row).saturating_mul(DAY));
                let text = self.clock(millis.saturating_mul(1000))?;
                self.added(arguments.add(&text[..10]))
            }
            Values::Times(array, calendar) => {
                let millis = calendar.time_of_day(array.value(row));
                let text = clock(millis * 1000);
                self.added(arguments.add(&text[11..23]))
            }
            Values::Clocks { counts, per_milli, calendar, julian } => {
                let count = counts.value(row);
                let millis = count.div_euclid(*per_milli);
                let micros = count.rem_euclid(*per_milli) * (1000 / per_milli);
                let millis = match calendar {
                    Some(calendar) => calendar.clock(millis),
                    None => julian.moment(millis),
                };
                let text = self.clock(millis.saturating_mul(1000).saturating_add(micros))?;
                self.added(arguments.add(text))
            }
        }
    }

    /// Date and time in SQL, in the years that the server has.
    fn clock(&self, micros: i64) -> Result<String> {
        let (year, ..) = civil_from_days(micros.div_euclid(DAY * 1000));
        if (0..=9999).contains(&year) {
            return Ok(clock(micros));
        }
        let message = "a date that is not in the years 0 to 9999, which are all that MySQL has";
        Err(Error::data(message).context("column", self.column))
    }

    fn finite(&self, is_finite: bool) -> Result<()> {
        if is_finite {
            return Ok(());
        }
        let message =
            "NaN or infinity, which MySQL cannot hold; make it null with a transformation";
        Err(Error::data(message).context("column", self.column))
    }

    fn added(&self, added: Result<(), sqlx::error::BoxDynError>) -> Result<()> {
        added.map_err(|e| {
            Error::fatal(format!("a value cannot be bound: {e}")).context("column", self.column)
        })
    }
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef, kind: &str, write: &'a Write<'_>) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Booleans(array.as_boolean()),
            DataType::Utf8View => Self::Texts(array.as_string_view()),
            DataType::BinaryView => Self::Bytes(array.as_binary_view()),
            DataType::Decimal256(_, scale) => {
                Self::Decimals(array.as_primitive::<Decimal256Type>(), i32::from(*scale))
            }
            DataType::Float32 => Self::Singles(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Self::Doubles(array.as_primitive::<Float64Type>()),
            DataType::Int64 => Self::Integers(Cow::Borrowed(array.as_primitive::<Int64Type>())),
            DataType::Date32 => Self::Days(whole_numbers(array)?, write.dates),
            DataType::Time32(_) => Self::Times(whole_numbers(array)?, write.calendar),
            DataType::Timestamp(unit, _) => Self::Clocks {
                counts: whole_numbers(array)?,
                per_milli: if *unit == TimeUnit::Microsecond { 1000 } else { 1 },
                calendar: (!kind.starts_with("timestamp")).then_some(write.calendar),
                julian: write.calendar,
            },
            _ => Self::Integers(Cow::Owned(whole_numbers(array)?)),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Integers(array) => array.is_null(row),
            Self::Singles(array) => array.is_null(row),
            Self::Doubles(array) => array.is_null(row),
            Self::Booleans(array) => array.is_null(row),
            Self::Texts(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Decimals(array, _) => array.is_null(row),
            Self::Days(array, _) | Self::Times(array, _) => array.is_null(row),
            Self::Clocks { counts, .. } => counts.is_null(row),
        }
    }
}
