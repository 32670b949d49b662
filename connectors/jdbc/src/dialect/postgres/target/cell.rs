//! Decides what a field of Connect means to a database, and reads its cells out of Arrow arrays.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal256Array,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray,
    StringViewArray, Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{
    Date32Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, i256,
};
use millrace_api::data::{Kind, Schema, logical};

/// What the values of a schema are, however wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Integer,
    Single,
    Double,
    Boolean,
    Text,
    Bytes,
    Decimal,
    Date,
    Time,
    /// A point in time.
    Instant,
    /// What a clock and a calendar show, wherever they are.
    Local,
    Duration,
}

/// What time is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Nature {
    /// The nature of a primitive schema, and its unit if it counts time.
    pub(super) fn of(schema: &Schema) -> Option<(Self, Unit)> {
        let name = schema.name().unwrap_or_default();
        Some(match (schema.kind(), name) {
            (Kind::Int32, logical::DATE | "io.debezium.time.Date") => (Self::Date, Unit::Millis),
            (Kind::Int32, logical::TIME | "io.debezium.time.Time") => (Self::Time, Unit::Millis),
            (Kind::Int64, logical::TIMESTAMP) => (Self::Instant, Unit::Millis),
            (Kind::Int64, "io.debezium.time.MicroTime") => (Self::Time, Unit::Micros),
            (Kind::Int64, "io.debezium.time.NanoTime") => (Self::Time, Unit::Nanos),
            (Kind::Int64, "io.debezium.time.Timestamp") => (Self::Local, Unit::Millis),
            (Kind::Int64, "io.debezium.time.MicroTimestamp") => (Self::Local, Unit::Micros),
            (Kind::Int64, "io.debezium.time.NanoTimestamp") => (Self::Local, Unit::Nanos),
            (Kind::Int64, "io.debezium.time.MicroDuration") => (Self::Duration, Unit::Micros),
            (Kind::Int64, "io.debezium.time.NanoDuration") => (Self::Duration, Unit::Nanos),
            (Kind::Bytes, logical::DECIMAL) => (Self::Decimal, Unit::Millis),
            (Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64, _) => {
                (Self::Integer, Unit::Millis)
            }
            (Kind::Float32, _) => (Self::Single, Unit::Millis),
            (Kind::Float64, _) => (Self::Double, Unit::Millis),
            (Kind::Boolean, _) => (Self::Boolean, Unit::Millis),
            (Kind::String, _) => (Self::Text, Unit::Millis),
            (Kind::Bytes, _) => (Self::Bytes, Unit::Millis),
            (Kind::Array | Kind::Map | Kind::Struct, _) => return None,
        })
    }
}

/// One value, where it lies.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Integer(i64),
    Single(f32),
    Double(f64),
    Boolean(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// All digits, and how many of them stand after the point.
    Decimal(i256, i32),
    /// A decimal number that Arrow cannot hold.
    Digits(&'a str),
    /// A day of Connect's calendar.
    Day(i32),
    /// Time that was counted: since the epoch, since midnight, or of a duration.
    Count(Unit, i64),
    /// The same of what a clock and a calendar show.
    Local(Unit, i64),
    /// The elements from here to there.
    List(&'a Source<'a>, usize, usize),
}

/// An array, known by its type.
pub(super) enum Source<'a> {
    Int8(&'a Int8Array),
    Int16(&'a Int16Array),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Boolean(&'a BooleanArray),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Decimal(&'a Decimal256Array, i32),
    Digits(&'a StringViewArray),
    Date(&'a Date32Array),
    Days(&'a Int32Array),
    Time(&'a Time32MillisecondArray),
    Timestamp(&'a TimestampMillisecondArray),
    Micros(&'a TimestampMicrosecondArray),
    Millis(&'a Int32Array),
    Counts(&'a Int64Array, Unit),
    Locals(&'a Int64Array, Unit),
    List(&'a ListArray, Box<Source<'a>>),
}

impl<'a> Source<'a> {
    /// The array of a field; none where it is not of the schema's type.
    pub(super) fn of(schema: &Schema, array: &'a ArrayRef) -> Option<Self> {
        if schema.kind() == Kind::Array {
            let list = array.as_list_opt::<i32>()?;
            let items = Self::of(schema.value_schema()?, list.values())?;
            return Some(Self::List(list, Box::new(items)));
        }
        let (nature, unit) = Nature::of(schema)?;
        Some(match (schema.kind(), nature) {
            (Kind::Int8, _) => Self::Int8(array.as_primitive_opt::<Int8Type>()?),
            (Kind::Int16, _) => Self::Int16(array.as_primitive_opt::<Int16Type>()?),
            (_, Nature::Date) => match array.as_primitive_opt::<Date32Type>() {
                Some(days) => Self::Date(days),
                None => Self::Days(array.as_primitive_opt::<Int32Type>()?),
            },
            (Kind::Int32, Nature::Time) => {
                match array.as_primitive_opt::<Time32MillisecondType>() {
                    Some(times) => Self::Time(times),
                    None => Self::Millis(array.as_primitive_opt::<Int32Type>()?),
                }
            }
            (Kind::Int32, _) => Self::Int32(array.as_primitive_opt::<Int32Type>()?),
            (_, Nature::Integer) => Self::Int64(array.as_primitive_opt::<Int64Type>()?),
            (_, Nature::Local) => Self::Locals(array.as_primitive_opt::<Int64Type>()?, unit),
            (_, Nature::Instant) => match array.as_primitive_opt::<TimestampMillisecondType>() {
                Some(timestamps) => Self::Timestamp(timestamps),
                None => Self::Micros(array.as_primitive_opt::<TimestampMicrosecondType>()?),
            },
            (Kind::Int64, _) => Self::Counts(array.as_primitive_opt::<Int64Type>()?, unit),
            (_, Nature::Decimal) => match array.as_primitive_opt::<Decimal256Type>() {
                Some(decimals) => Self::Decimal(decimals, decimals.scale().into()),
                None => Self::Digits(array.as_string_view_opt()?),
            },
            (Kind::Float32, _) => Self::Float32(array.as_primitive_opt::<Float32Type>()?),
            (Kind::Float64, _) => Self::Float64(array.as_primitive_opt::<Float64Type>()?),
            (Kind::Boolean, _) => Self::Boolean(array.as_boolean_opt()?),
            (Kind::String, _) => Self::Text(array.as_string_view_opt()?),
            _ => Self::Bytes(array.as_binary_view_opt()?),
        })
    }

    /// A cell; none is null.
    pub(super) fn cell(&'a self, row: usize) -> Option<Cell<'a>> {
        macro_rules! cell {
            ($array:expr, $of:expr) => {
                if $array.is_null(row) { None } else { Some($of($array.value(row))) }
            };
        }
        match self {
            Self::Int64(array) => cell!(array, Cell::Integer),
            Self::Text(array) => cell!(array, Cell::Text),
            Self::Int32(array) => cell!(array, |n: i32| Cell::Integer(n.into())),
            Self::Float64(array) => cell!(array, Cell::Double),
            Self::Boolean(array) => cell!(array, Cell::Boolean),
            Self::Timestamp(array) => cell!(array, |n| Cell::Count(Unit::Millis, n)),
            Self::Micros(array) => cell!(array, |n| Cell::Count(Unit::Micros, n)),
            Self::Decimal(array, scale) => cell!(array, |n| Cell::Decimal(n, *scale)),
            Self::Int8(array) => cell!(array, |n: i8| Cell::Integer(n.into())),
            Self::Int16(array) => cell!(array, |n: i16| Cell::Integer(n.into())),
            Self::Float32(array) => cell!(array, Cell::Single),
            Self::Bytes(array) => cell!(array, Cell::Bytes),
            Self::Digits(array) => cell!(array, Cell::Digits),
            Self::Date(array) => cell!(array, Cell::Day),
            Self::Days(array) => cell!(array, Cell::Day),
            Self::Time(array) => cell!(array, |n: i32| Cell::Count(Unit::Millis, n.into())),
            Self::Millis(array) => cell!(array, |n: i32| Cell::Count(Unit::Millis, n.into())),
            Self::Counts(array, unit) => cell!(array, |n| Cell::Count(*unit, n)),
            Self::Locals(array, unit) => cell!(array, |n| Cell::Local(*unit, n)),
            Self::List(array, items) => {
                let ends = array.value_offsets();
                let of = |row: usize| usize::try_from(ends[row]).unwrap_or_default();
                (!array.is_null(row)).then(|| Cell::List(items, of(row), of(row + 1)))
            }
        }
    }
}

impl Unit {
    /// Whole milliseconds and the microseconds that are left.
    pub(super) fn split(self, count: i64) -> (i64, i64) {
        match self {
            Self::Millis => (count, 0),
            Self::Micros => (count.div_euclid(1000), count.rem_euclid(1000)),
            Self::Nanos => {
                (count.div_euclid(1_000_000), count.rem_euclid(1_000_000).div_euclid(1000))
            }
        }
    }
}
