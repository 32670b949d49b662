//! The encoder of typed columns: what can be known from the schema is compiled once, then rows are
//! appended straight from Arrow arrays. It must equal [`append_value`] for every row.
//!
//! [`append_value`]: crate::json::value::append_value

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    Date32Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMillisecondType, i256,
};
use millrace_api::data::{Decimal, Kind, Schema, append_integer};
use millrace_api::{Error, Result as ApiResult};
use num_bigint::BigInt;

use crate::cells::minimal;
use crate::json::fault::Fault;
use crate::json::text::{append_base64, append_boolean, append_double, append_single, append_text};
use crate::json::value::{
    append_null, append_time, entry_marks, is_object, is_union, leaves_null_out, logical_of,
};
use crate::json::{DecimalFormat, Rules};

/// How values of a schema are written.
#[derive(Debug)]
pub(crate) struct Plan {
    shape: Shape,
    null: Null,
    /// Whether a null field does not appear in its object.
    leaves_null_out: bool,
}

/// What stands for null.
#[derive(Debug)]
enum Null {
    Text(Vec<u8>),
    Fault(Fault),
}

#[derive(Debug)]
enum Shape {
    /// A type that needs no more than its array says.
    Leaf(Kind, Option<&'static str>, DecimalFormat),
    List(Box<Plan>),
    Map {
        /// What stands around an entry's key and value; none in an object.
        marks: Option<[&'static [u8]; 3]>,
        key: Box<Plan>,
        value: Box<Plan>,
    },
    /// Each field with its name and what is written before its value.
    Struct(Vec<(Arc<str>, Lead, Plan)>),
    /// The first that is not null is written alone.
    Union(Vec<Plan>),
}

impl Plan {
    /// Compiles a schema that Arrow can hold.
    pub(crate) fn new(schema: &Schema, options: Rules) -> Self {
        let mut text = Vec::new();
        let null = match append_null(schema, options, &mut text) {
            Ok(()) => Null::Text(text),
            Err(fault) => Null::Fault(fault),
        };
        let inner = |schema: Option<&Arc<Schema>>| {
            let schema = schema.expect("Arrow can hold the schema, so its parts are there");
            Box::new(Self::new(schema, options))
        };
        let shape = match schema.kind() {
            Kind::Array => Shape::List(inner(schema.value_schema())),
            Kind::Map => Shape::Map {
                marks: (!schema.key_schema().is_some_and(|key| is_object(key, options)))
                    .then(|| entry_marks(options)),
                key: inner(schema.key_schema()),
                value: inner(schema.value_schema()),
            },
            Kind::Struct if is_union(schema, options) => Shape::Union(
                schema.fields().iter().map(|f| Self::new(&f.schema, options)).collect(),
            ),
            Kind::Struct => Shape::Struct(fields(schema, options)),
            kind => Shape::Leaf(kind, logical_of(schema), options.decimal_format),
        };
        Self { shape, null, leaves_null_out: leaves_null_out(schema, options) }
    }

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
        let values = match &self.shape {
            Shape::Leaf(kind, logical, format) => leaf(*kind, *logical, *format, array),
            Shape::List(item) => {
                let list = array.as_list::<i32>();
                Values::List(list.value_offsets(), Box::new(item.join(list.values())))
            }
            Shape::Map { marks, key, value } => {
                let map = array.as_map();
                Values::Map {
                    marks: *marks,
                    offsets: map.value_offsets(),
                    keys: Box::new(key.join(map.keys())),
                    values: Box::new(value.join(map.values())),
                }
            }
            Shape::Struct(fields) => {
                let columns = array.as_struct().columns();
                let join = |((name, lead, plan), column): (&'a (Arc<str>, Lead, Self), _)| {
                    (name, lead, plan.join(column))
                };
                Values::Struct(fields.iter().zip(columns).map(join).collect())
            }
            Shape::Union(plans) => {
                let columns = array.as_struct().columns();
                Values::Union(plans.iter().zip(columns).map(|(p, column)| p.join(column)).collect())
            }
        };
        let nulls = array.nulls();
        Cells { nulls, null: &self.null, leaves_null_out: self.leaves_null_out, values }
    }
}

/// What is written before a field's value: `,"b":`. Zeros fill it up to whole blocks: to copy these
/// and take some back costs less than to copy a number of bytes that nobody foresees.
#[derive(Debug)]
struct Lead {
    blocks: Vec<[u8; 16]>,
    spare: usize,
}

impl Lead {
    fn new(name: &str) -> Self {
        let mut text = vec![b','];
        append_text(name, &mut text);
        text.push(b':');
        let length = text.len();
        text.resize(length.next_multiple_of(16), 0);
        Self { blocks: text.as_chunks().0.to_vec(), spare: text.len() - length }
    }

    #[inline]
    fn append(&self, out: &mut Vec<u8>) {
        for block in &self.blocks {
            out.extend_from_slice(block);
        }
        out.truncate(out.len() - self.spare);
    }
}

fn fields(schema: &Schema, options: Rules) -> Vec<(Arc<str>, Lead, Plan)> {
    let field = |field: &millrace_api::data::Field| {
        (Arc::clone(&field.name), Lead::new(&field.name), Plan::new(&field.schema, options))
    };
    schema.fields().iter().map(field).collect()
}

/// A column ready to be written row by row.
pub(crate) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    null: &'a Null,
    leaves_null_out: bool,
    values: Values<'a>,
}

enum Values<'a> {
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    /// Dates too.
    Int32(&'a [i32]),
    Time(&'a [i32]),
    /// Timestamps too.
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Boolean(&'a BooleanArray),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    DecimalBytes(&'a [i256]),
    DecimalText(&'a [i256], i32),
    List(&'a [i32], Box<Cells<'a>>),
    Map {
        marks: Option<[&'static [u8]; 3]>,
        offsets: &'a [i32],
        keys: Box<Cells<'a>>,
        values: Box<Cells<'a>>,
    },
    Struct(Vec<(&'a Arc<str>, &'a Lead, Cells<'a>)>),
    Union(Vec<Cells<'a>>),
}

fn leaf<'a>(
    kind: Kind,
    logical: Option<&str>,
    format: DecimalFormat,
    array: &'a ArrayRef,
) -> Values<'a> {
    match (kind, logical) {
        (_, Some("Date")) => Values::Int32(array.as_primitive::<Date32Type>().values()),
        (_, Some("Time")) => Values::Time(array.as_primitive::<Time32MillisecondType>().values()),
        (_, Some("Timestamp")) => {
            Values::Int64(array.as_primitive::<TimestampMillisecondType>().values())
        }
        (_, Some(_)) => {
            let decimals = array.as_primitive::<Decimal256Type>();
            match format {
                DecimalFormat::Base64 => Values::DecimalBytes(decimals.values()),
                DecimalFormat::Numeric => {
                    Values::DecimalText(decimals.values(), decimals.scale().into())
                }
            }
        }
        (Kind::Int8, None) => Values::Int8(array.as_primitive::<Int8Type>().values()),
        (Kind::Int16, None) => Values::Int16(array.as_primitive::<Int16Type>().values()),
        (Kind::Int32, None) => Values::Int32(array.as_primitive::<Int32Type>().values()),
        (Kind::Int64, None) => Values::Int64(array.as_primitive::<Int64Type>().values()),
        (Kind::Float32, None) => Values::Float32(array.as_primitive::<Float32Type>().values()),
        (Kind::Float64, None) => Values::Float64(array.as_primitive::<Float64Type>().values()),
        (Kind::Boolean, None) => Values::Boolean(array.as_boolean()),
        (Kind::String, None) => Values::Text(array.as_string_view()),
        (Kind::Bytes, None) => Values::Bytes(array.as_binary_view()),
        (Kind::Array | Kind::Map | Kind::Struct, None) => {
            unreachable!("Plan::new makes no leaves of these")
        }
    }
}

impl Cells<'_> {
    /// Appends a row. What was appended before an error is the caller's to drop.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.is_null(row) {
            return self.append_null(out);
        }
        match &self.values {
            Values::Int8(values) => append_integer(values[row].into(), out),
            Values::Int16(values) => append_integer(values[row].into(), out),
            Values::Int32(values) => append_integer(values[row].into(), out),
            Values::Time(values) => append_time(values[row], out)?,
            Values::Int64(values) => append_integer(values[row], out),
            Values::Float32(values) => append_single(values[row], out),
            Values::Float64(values) => append_double(values[row], out),
            Values::Boolean(values) => append_boolean(values.value(row), out),
            Values::Text(values) => append_text(values.value(row), out),
            Values::Bytes(values) => append_base64(values.value(row), out),
            Values::DecimalBytes(values) => append_base64(minimal(&values[row].to_be_bytes()), out),
            Values::DecimalText(values, scale) => append_decimal(values[row], *scale, out),
            Values::List(offsets, items) => append_list(range(offsets, row), items, out)?,
            Values::Map { marks, offsets, keys, values } => {
                append_map(*marks, range(offsets, row), keys, values, out)?
            }
            Values::Struct(fields) => append_struct(fields, row, out)?,
            Values::Union(members) => {
                // A member's default takes the place of its null.
                let is_there = |cells: &&Self| {
                    !cells.is_null(row) || matches!(cells.null, Null::Text(text) if text != b"null")
                };
                match members.iter().find(is_there) {
                    Some(cells) => cells.append(row, out)?,
                    None => self.append_null(out)?,
                }
            }
        }
        Ok(())
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    fn append_null(&self, out: &mut Vec<u8>) -> Result<(), Fault> {
        match self.null {
            Null::Text(text) => {
                out.extend_from_slice(text);
                Ok(())
            }
            Null::Fault(fault) => Err(fault.clone()),
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn append_list(
    items: std::ops::Range<usize>,
    cells: &Cells<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    out.push(b'[');
    for item in items.clone() {
        if item > items.start {
            out.push(b',');
        }
        cells.append(item, out)?;
    }
    out.push(b']');
    Ok(())
}

fn append_map(
    marks: Option<[&'static [u8]; 3]>,
    entries: std::ops::Range<usize>,
    keys: &Cells<'_>,
    values: &Cells<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let [open, close] = if marks.is_none() { *b"{}" } else { *b"[]" };
    out.push(open);
    for entry in entries.clone() {
        if entry > entries.start {
            out.push(b',');
        }
        let [before, between, after]: [&[u8]; 3] = marks.unwrap_or([b"", b":", b""]);
        out.extend_from_slice(before);
        keys.append(entry, out)?;
        out.extend_from_slice(between);
        values.append(entry, out)?;
        out.extend_from_slice(after);
    }
    out.push(close);
    Ok(())
}

fn append_struct(
    fields: &[(&Arc<str>, &Lead, Cells<'_>)],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    for (name, lead, cells) in fields {
        if cells.leaves_null_out && cells.is_null(row) {
            continue;
        }
        lead.append(out);
        cells.append(row, out).map_err(|fault| fault.within(name))?;
    }
    // The comma before the first field.
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    Ok(())
}

fn append_decimal(number: i256, scale: i32, out: &mut Vec<u8>) {
    let unscaled = match number.to_i128() {
        Some(number) => BigInt::from(number),
        None => BigInt::from_signed_bytes_be(&number.to_be_bytes()),
    };
    let decimal = Decimal { unscaled, scale };
    out.extend_from_slice(decimal.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_as_short_as_javas() {
        for number in [0, 1, -1, 127, 128, -128, -129, 255, 256, 65_535, i64::MAX, i64::MIN] {
            assert_eq!(
                minimal(&i256::from(number).to_be_bytes()),
                BigInt::from(number).to_signed_bytes_be()
            );
        }
    }
}
