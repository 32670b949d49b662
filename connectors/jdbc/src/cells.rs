//! Holds the cells of one column while a batch is read, and says which values do not fit.

mod moments;
mod nested;
mod texts;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal256Builder,
    Float32Builder, Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder,
    Time32MillisecondBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::i256;
use millrace_api::Result;
use millrace_api::data::{Column, Decimal, SchemaRef, Value};
use num_bigint::{BigInt, Sign};

use self::moments::Moments;
pub(crate) use self::nested::{Lists, Maps};
pub(crate) use self::texts::Texts;
use crate::form::Form;
use crate::numeric::Unscaled;

/// A value that its column cannot take; completes "the column holds …".
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit(Cow<'static, str>);

impl Misfit {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cells of one column, in the builder of its type.
#[derive(Debug)]
pub(crate) enum Cells {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    String(Texts),
    Bytes(BinaryViewBuilder),
    Date(Date32Builder),
    Time(Time32MillisecondBuilder),
    Timestamp(TimestampMillisecondBuilder),
    Decimal(Decimal256Builder),
    Moment(Box<Moments>),
    List(Box<Lists>),
    Map(Box<Maps>),
    /// Decimals that Arrow cannot hold.
    Wide {
        values: Vec<Value>,
        scale: i32,
    },
}

/// What a column became.
pub(crate) enum Finished {
    Array(ArrayRef),
    Values(Vec<Value>),
}

macro_rules! each_builder {
    ($cells:expr, $builder:ident => $do:expr, $nested:ident => $deep:expr,
     $values:ident => $wide:expr) => {
        match $cells {
            Cells::Boolean($builder) => $do,
            Cells::Int8($builder) => $do,
            Cells::Int16($builder) => $do,
            Cells::Int32($builder) => $do,
            Cells::Int64($builder) => $do,
            Cells::Float32($builder) => $do,
            Cells::Float64($builder) => $do,
            Cells::String($builder) => $do,
            Cells::Bytes($builder) => $do,
            Cells::Date($builder) => $do,
            Cells::Time($builder) => $do,
            Cells::Timestamp($builder) => $do,
            Cells::Decimal($builder) => $do,
            Cells::Moment($nested) => $deep,
            Cells::List($nested) => $deep,
            Cells::Map($nested) => $deep,
            Cells::Wide { values: $values, .. } => $wide,
        }
    };
}

impl Cells {
    /// As [`new`](Self::new), but lists of that form where there are dimensions.
    pub(crate) fn of(form: Form, dimensions: u8, schema: &SchemaRef, rows: usize) -> Self {
        match dimensions {
            0 => Self::new(form, schema, rows),
            _ => Self::List(Box::new(Lists::new(form, dimensions, schema, rows))),
        }
    }

    /// No cells yet, room for so many.
    pub(crate) fn new(form: Form, schema: &SchemaRef, rows: usize) -> Self {
        let data_type =
            || schema.arrow_type().expect("forms that do not fit Arrow are kept as values");
        match form {
            Form::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            Form::Int8 => Self::Int8(Int8Builder::with_capacity(rows)),
            Form::Int16 => Self::Int16(Int16Builder::with_capacity(rows)),
            Form::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            Form::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            Form::Float32 => Self::Float32(Float32Builder::with_capacity(rows)),
            Form::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            Form::String => Self::String(Texts::with_capacity(rows)),
            Form::Bytes => Self::Bytes(BinaryViewBuilder::with_capacity(rows)),
            Form::Date => Self::Date(Date32Builder::with_capacity(rows)),
            Form::Time => Self::Time(Time32MillisecondBuilder::with_capacity(rows)),
            Form::Timestamp => Self::Timestamp(
                TimestampMillisecondBuilder::with_capacity(rows).with_data_type(data_type()),
            ),
            Form::Decimal { .. } if form.fits_arrow() => {
                Self::Decimal(Decimal256Builder::with_capacity(rows).with_data_type(data_type()))
            }
            Form::Decimal { scale, .. } => Self::Wide { values: Vec::with_capacity(rows), scale },
            Form::Moment { granularity, zone } => {
                Self::Moment(Box::new(Moments::new(granularity, zone, rows)))
            }
            Form::Map => Self::Map(Box::new(Maps::new(schema, rows))),
        }
    }

    /// How many cells.
    pub(crate) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        each_builder!(self, b => b.len(), nested => nested.len(), values => values.len())
    }

    /// Appends null.
    pub(crate) fn null(&mut self) {
        each_builder!(
            self,
            builder => builder.append_null(),
            nested => nested.append_null(),
            values => values.push(Value::Null)
        );
    }

    /// Appends a whole number. Fails when it is too big for the column's type.
    pub(crate) fn integer(&mut self, number: i64) -> Result<(), Misfit> {
        macro_rules! narrow {
            ($builder:expr, $name:literal) => {
                match number.try_into() {
                    Ok(number) => $builder.append_value(number),
                    Err(_) => return Err(too_big(number, $name)),
                }
            };
        }
        match self {
            Self::Int64(builder) => builder.append_value(number),
            Self::Int32(builder) => narrow!(builder, "INT32"),
            Self::Int16(builder) => narrow!(builder, "INT16"),
            Self::Int8(builder) => narrow!(builder, "INT8"),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a float.
    pub(crate) fn float(&mut self, number: f64) -> Result<(), Misfit> {
        match self {
            Self::Float64(builder) => builder.append_value(number),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a single-precision float.
    pub(crate) fn single(&mut self, number: f32) -> Result<(), Misfit> {
        match self {
            Self::Float32(builder) => builder.append_value(number),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a truth value.
    pub(crate) fn boolean(&mut self, value: bool) -> Result<(), Misfit> {
        match self {
            Self::Boolean(builder) => builder.append_value(value),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends text.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Misfit> {
        match self {
            Self::String(texts) => texts.append(text),
            _ => Err(mismatched()),
        }
    }

    /// Appends text that must be UTF-8.
    pub(crate) fn utf8(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        let text = std::str::from_utf8(bytes).map_err(|_| not_utf8())?;
        self.text(text)
    }

    /// Appends bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        match self {
            Self::Bytes(builder) => builder.append_value(bytes),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a day, counted from the epoch.
    pub(crate) fn date(&mut self, day: i32) -> Result<(), Misfit> {
        match self {
            Self::Date(builder) => builder.append_value(day),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a time of day in milliseconds.
    pub(crate) fn time(&mut self, millis: i32) -> Result<(), Misfit> {
        match self {
            Self::Time(builder) => builder.append_value(millis),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a point in time in milliseconds since the epoch.
    pub(crate) fn timestamp(&mut self, millis: i64) -> Result<(), Misfit> {
        self.instant(millis, 0)
    }

    /// Appends a point in time in milliseconds since the epoch and microseconds of the last of
    /// them, which Connect's Timestamp leaves out.
    pub(crate) fn instant(&mut self, millis: i64, micros: i64) -> Result<(), Misfit> {
        match self {
            Self::Timestamp(builder) => builder.append_value(millis),
            Self::Moment(moments) => return moments.append(millis, micros),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// Appends a map of texts.
    pub(crate) fn map(&mut self, pairs: &[(&str, Option<&str>)]) -> Result<(), Misfit> {
        match self {
            Self::Map(maps) => maps.append(pairs),
            _ => Err(mismatched()),
        }
    }

    /// The lists, of which another is appended.
    pub(crate) fn lists(&mut self) -> Result<&mut Lists, Misfit> {
        match self {
            Self::List(lists) => Ok(lists),
            _ => Err(mismatched()),
        }
    }

    /// Appends a decimal whose scale is the column's.
    pub(crate) fn decimal(&mut self, unscaled: Unscaled) -> Result<(), Misfit> {
        match self {
            Self::Decimal(builder) => {
                let wide = match &unscaled {
                    Unscaled::Small(number) => Some(i256::from_i128(*number)),
                    Unscaled::Big(number) => to_i256(number),
                };
                let wide = wide.ok_or_else(|| {
                    Misfit::new("a number of more digits than its column is declared for")
                })?;
                builder.append_value(wide);
            }
            Self::Wide { values, scale } => values
                .push(Value::Decimal(Decimal { unscaled: unscaled.into_big(), scale: *scale })),
            _ => return Err(mismatched()),
        }
        Ok(())
    }

    /// The first `rows` cells as what a column of records is made of; starts afresh. A cell past
    /// them belongs to a row that failed half-way.
    pub(crate) fn finish(&mut self, rows: usize) -> Finished {
        each_builder!(
            self,
            builder => {
                let array = builder.finish();
                let array = if array.len() == rows { array } else { array.slice(0, rows) };
                Finished::Array(Arc::new(array))
            },
            nested => nested.finish(rows),
            values => {
                let mut all = std::mem::take(values);
                all.truncate(rows);
                Finished::Values(all)
            }
        )
    }
}

/// A reader was compiled for another form than its cells: cannot happen, but must not panic a row
/// at a time either.
fn mismatched() -> Misfit {
    Misfit::new("a value whose type is not the column's")
}

pub(crate) fn not_utf8() -> Misfit {
    Misfit::new("text that is not UTF-8; read it as bytes, with a cast in a query")
}

#[cold]
fn too_big(number: i64, kind: &str) -> Misfit {
    Misfit::new(format!("{number}, a number too big for its type {kind}"))
}

/// None past 256 bits; Arrow's decimals end before, at 76 digits.
fn to_i256(number: &BigInt) -> Option<i256> {
    let bytes = number.to_signed_bytes_be();
    let fill = if number.sign() == Sign::Minus { 0xff } else { 0 };
    let mut wide = [fill; 32];
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(&bytes);
    (number.magnitude().to_string().len() <= 76).then(|| i256::from_be_bytes(wide))
}

impl Finished {
    /// The array, if it became one.
    pub(crate) fn array(&self) -> Option<ArrayRef> {
        match self {
            Self::Array(array) => Some(Arc::clone(array)),
            Self::Values(_) => None,
        }
    }

    /// The cells one by one.
    pub(crate) fn into_values(self, schema: &SchemaRef) -> Result<Vec<Value>> {
        match self {
            Self::Values(values) => Ok(values),
            Self::Array(array) => {
                let rows = array.len();
                let column = Column::Typed { schema: Arc::clone(schema), array };
                (0..rows).map(|row| column.value(row)).collect()
            }
        }
    }
}
