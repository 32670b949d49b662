//! Binds the cells of Arrow columns as SQLite stores them.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal256Array, Float64Array,
    Int64Array, StringViewArray,
};
use arrow::datatypes::{DataType, Decimal256Type, Float64Type, TimeUnit};
use millrace_api::data::Decimal;
use millrace_api::{Error, Result};
use num_bigint::BigInt;
use sqlx::Arguments;
use sqlx::sqlite::SqliteArguments;

use crate::calendar::DAY;
use crate::dialect::target::{cast, whole_numbers};

/// The cells of a column.
pub(super) enum Cells<'a> {
    Integers(Int64Array),
    Floats(Float64Array),
    Booleans(&'a BooleanArray),
    Texts(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    /// SQLite has no exact numbers: their text becomes one where that loses nothing.
    Decimals(&'a Decimal256Array, i32),
}

impl<'a> Cells<'a> {
    pub(super) fn of(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Booleans(array.as_boolean()),
            DataType::Utf8View => Self::Texts(array.as_string_view()),
            DataType::BinaryView => Self::Bytes(array.as_binary_view()),
            DataType::Decimal256(_, scale) => {
                Self::Decimals(array.as_primitive::<Decimal256Type>(), i32::from(*scale))
            }
            DataType::Float32 | DataType::Float64 => {
                Self::Floats(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
            }
            // Dates and times are milliseconds, as Java's driver has them.
            DataType::Date32 => Self::Integers(whole_numbers(array)?.unary(|days| days * DAY)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Integers(whole_numbers(array)?.unary(|micros| micros.div_euclid(1000)))
            }
            _ => Self::Integers(whole_numbers(array)?),
        })
    }

    /// Adds a cell to the values of a statement.
    pub(super) fn bind(&self, row: usize, arguments: &mut SqliteArguments) -> Result<()> {
        let is_null = match self {
            Self::Integers(array) => array.is_null(row),
            Self::Floats(array) => array.is_null(row),
            Self::Booleans(array) => array.is_null(row),
            Self::Texts(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Decimals(array, _) => array.is_null(row),
        };
        let added = match self {
            _ if is_null => arguments.add(None::<i64>),
            Self::Integers(array) => arguments.add(array.value(row)),
            Self::Floats(array) => arguments.add(array.value(row)),
            Self::Booleans(array) => arguments.add(array.value(row)),
            Self::Texts(array) => arguments.add(array.value(row)),
            Self::Bytes(array) => arguments.add(array.value(row)),
            Self::Decimals(array, scale) => {
                let unscaled = BigInt::from_signed_bytes_be(&array.value(row).to_be_bytes());
                arguments.add(Decimal { unscaled, scale: *scale }.to_plain_string())
            }
        };
        added.map_err(|e| Error::fatal(format!("a value cannot be bound: {e}")))
    }
}
