//! Writes rows straight from Arrow arrays. It must equal the way by values.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::datatypes::{
    Date32Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMillisecondType, i256,
};
use millrace_api::data::Schema;
use millrace_api::{Error, Result as ApiResult};

use crate::avro::encode::{append_bytes, append_long};
use crate::avro::write_values::{
    append_decimal, append_fixed, append_time, begin_items, end_items, no_symbol,
};
use crate::avro::writer::{Plan, Shape, Step};
use crate::cells::minimal;
use crate::json::Fault;

/// A column ready to be written row by row.
pub(crate) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    plan: &'a Plan,
    values: Values<'a>,
}

enum Values<'a> {
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Time(&'a [i32]),
    Float32(&'a [f32]),
    Widened(&'a [f32]),
    Float64(&'a [f64]),
    Boolean(&'a BooleanArray),
    Text(&'a StringViewArray),
    Enum(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Decimal(&'a [i256]),
    List(&'a [i32], Box<Cells<'a>>),
    Map(&'a [i32], &'a StringViewArray, Box<Cells<'a>>),
    Entries(&'a [i32], Box<(Cells<'a>, Cells<'a>)>),
    Struct(Vec<Part<'a>>),
    Union(Vec<(&'a Arc<str>, Cells<'a>)>),
}

enum Part<'a> {
    Field(&'a Arc<str>, Cells<'a>),
    Constant(&'a [u8]),
}

impl Plan {
    /// Joins the plan to an array of the schema's Arrow type.
    pub(crate) fn bind<'a>(&'a self, schema: &Schema, array: &'a ArrayRef) -> ApiResult<Cells<'a>> {
        if schema.arrow_type().is_none_or(|t| !t.equals_datatype(array.data_type())) {
            return Err(Error::fatal("array does not have the type of its schema")
                .context("array", array.data_type())
                .context("schema type", schema.kind().name()));
        }
        Ok(self.join(array))
    }

    fn join<'a>(&'a self, array: &'a ArrayRef) -> Cells<'a> {
        Cells { nulls: array.nulls(), plan: self, values: self.values(array) }
    }

    fn values<'a>(&'a self, array: &'a ArrayRef) -> Values<'a> {
        match (&self.shape, array.data_type()) {
            (_, DataType::Int8) => Values::Int8(array.as_primitive::<Int8Type>().values()),
            (_, DataType::Int16) => Values::Int16(array.as_primitive::<Int16Type>().values()),
            (_, DataType::Int32) => Values::Int32(array.as_primitive::<Int32Type>().values()),
            (_, DataType::Date32) => Values::Int32(array.as_primitive::<Date32Type>().values()),
            (_, DataType::Time32(_)) => {
                Values::Time(array.as_primitive::<Time32MillisecondType>().values())
            }
            (_, DataType::Int64) => Values::Int64(array.as_primitive::<Int64Type>().values()),
            (_, DataType::Timestamp(..)) => {
                Values::Int64(array.as_primitive::<TimestampMillisecondType>().values())
            }
            (Shape::Widened, _) => Values::Widened(array.as_primitive::<Float32Type>().values()),
            (_, DataType::Float32) => Values::Float32(array.as_primitive::<Float32Type>().values()),
            (_, DataType::Float64) => Values::Float64(array.as_primitive::<Float64Type>().values()),
            (_, DataType::Boolean) => Values::Boolean(array.as_boolean()),
            (Shape::Enum(_), _) => Values::Enum(array.as_string_view()),
            (_, DataType::Utf8View) => Values::Text(array.as_string_view()),
            (_, DataType::Decimal256(..)) => {
                Values::Decimal(array.as_primitive::<Decimal256Type>().values())
            }
            (Shape::List(plan), _) => {
                let list = array.as_list::<i32>();
                Values::List(list.value_offsets(), Box::new(plan.join(list.values())))
            }
            (Shape::Map(plan), _) => {
                let map = array.as_map();
                let keys = map.keys().as_string_view();
                Values::Map(map.value_offsets(), keys, Box::new(plan.join(map.values())))
            }
            (Shape::Entries(plans), _) => {
                let map = array.as_map();
                let parts = (plans.0.join(map.keys()), plans.1.join(map.values()));
                Values::Entries(map.value_offsets(), Box::new(parts))
            }
            (Shape::Struct(steps), _) => {
                let columns = array.as_struct().columns();
                let part = |step: &'a Step| match step {
                    Step::Field { at, name, plan } => Part::Field(name, plan.join(&columns[*at])),
                    Step::Constant(bytes) => Part::Constant(bytes),
                };
                Values::Struct(steps.iter().map(part).collect())
            }
            (Shape::Union(plans), _) => {
                let pairs = plans.iter().zip(array.as_struct().columns());
                Values::Union(pairs.map(|((name, plan), c)| (name, plan.join(c))).collect())
            }
            _ => Values::Bytes(array.as_binary_view()),
        }
    }
}

impl Cells<'_> {
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a row. What was appended before an error is the caller's to drop.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.is_null(row) {
            return self.plan.null.append(out);
        }
        match &self.plan.lead[..] {
            [] => {}
            [byte] => out.push(*byte),
            bytes => out.extend_from_slice(bytes),
        }
        match &self.values {
            Values::Int8(values) => append_long(values[row].into(), out),
            Values::Int16(values) => append_long(values[row].into(), out),
            Values::Int32(values) => append_long(values[row].into(), out),
            Values::Int64(values) => append_long(values[row], out),
            Values::Time(values) => append_time(values[row], out)?,
            Values::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Widened(values) => {
                out.extend_from_slice(&f64::from(values[row]).to_le_bytes());
            }
            Values::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Values::Boolean(values) => out.push(u8::from(values.value(row))),
            Values::Text(values) => append_bytes(values.value(row).as_bytes(), out),
            Values::Enum(values) => self.append_symbol(values.value(row), out)?,
            Values::Bytes(values) => self.append_bytes(values.value(row), out)?,
            Values::Decimal(values) => self.append_digits(values[row], out)?,
            Values::List(offsets, items) => {
                let range = range(offsets, row);
                begin_items(range.len(), out);
                range.clone().try_for_each(|item| items.append(item, out))?;
                end_items(range.len(), out);
            }
            Values::Map(offsets, keys, values) => {
                let range = range(offsets, row);
                begin_items(range.len(), out);
                for entry in range.clone() {
                    append_bytes(keys.value(entry).as_bytes(), out);
                    values.append(entry, out)?;
                }
                end_items(range.len(), out);
            }
            Values::Entries(offsets, parts) => {
                let range = range(offsets, row);
                begin_items(range.len(), out);
                for entry in range.clone() {
                    parts.0.append(entry, out)?;
                    parts.1.append(entry, out)?;
                }
                end_items(range.len(), out);
            }
            Values::Struct(parts) => {
                for part in parts {
                    part.append(row, out)?;
                }
            }
            Values::Union(members) => {
                let set = members.iter().find(|(_, cells)| !cells.is_null(row));
                return match set {
                    Some((name, cells)) => {
                        cells.append(row, out).map_err(|fault| fault.within(name))
                    }
                    None => self.plan.null.append(out),
                };
            }
        }
        Ok(())
    }

    fn append_symbol(&self, text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Shape::Enum(symbols) = &self.plan.shape else {
            unreachable!("these values were made for an enum")
        };
        out.extend_from_slice(symbols.get(text).ok_or_else(no_symbol)?);
        Ok(())
    }

    fn append_bytes(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        match self.plan.shape {
            Shape::Fixed(size) => return append_fixed(bytes, size, out),
            Shape::Bare => out.extend_from_slice(bytes),
            _ => append_bytes(bytes, out),
        }
        Ok(())
    }

    fn append_digits(&self, number: i256, out: &mut Vec<u8>) -> Result<(), Fault> {
        let bytes = number.to_be_bytes();
        match self.plan.shape {
            Shape::Decimal(size) => return append_decimal(minimal(&bytes), size, out),
            _ => out.extend_from_slice(minimal(&bytes)),
        }
        Ok(())
    }
}

impl Part<'_> {
    #[inline]
    fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Field(name, cells) => cells.append(row, out).map_err(|fault| fault.within(name)),
            Self::Constant(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

fn range(offsets: &[i32], row: usize) -> Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}
