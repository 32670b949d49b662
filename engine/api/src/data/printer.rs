//! Prints columns as Java's `toString` does, straight from their arrays: no value is made for a
//! cell. What a cell's text is, [`Value`]'s `Display` defines; a test holds both to the same.

use std::io::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMillisecondType,
};

use super::cells;
use super::display::{append_integer, append_java_date, append_java_double, append_java_single};
use crate::Result;
use crate::data::json::JsonObjects;
use crate::data::{MILLIS_A_DAY, SchemaRef, Value, json};

/// Prints the rows of one column; [`Column::printer`](crate::data::Column::printer) makes it.
pub struct Printer<'a>(Rows<'a>);

enum Rows<'a> {
    Typed(Cells<'a>),
    Json(&'a StringViewArray),
    Objects(&'a JsonObjects),
    Values(&'a [Value]),
}

impl<'a> Printer<'a> {
    /// Fails when the array is not of the schema's type.
    pub(super) fn typed(schema: &'a SchemaRef, array: &'a ArrayRef) -> Result<Self> {
        cells::check_type(schema, array)?;
        Ok(Self(Rows::Typed(Cells::new(schema, array))))
    }

    pub(super) fn json(texts: &'a StringViewArray) -> Self {
        Self(Rows::Json(texts))
    }

    pub(super) fn objects(objects: &'a JsonObjects) -> Self {
        Self(Rows::Objects(objects))
    }

    pub(super) fn values(values: &'a [Value]) -> Self {
        Self(Rows::Values(values))
    }

    /// Appends a row's text, `null` for none. Fails on JSON that cannot be read; then nothing is
    /// appended.
    pub fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.0 {
            Rows::Typed(cells) => cells.append(row, out),
            Rows::Json(texts) if texts.is_null(row) => out.extend_from_slice(b"null"),
            Rows::Json(texts) => append_value(&json::parse(texts.value(row))?, out),
            Rows::Objects(objects) => append_value(&objects.value(row)?, out),
            Rows::Values(values) => append_value(&values[row], out),
        }
        Ok(())
    }
}

fn append_value(value: &Value, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("memory takes every write");
}

/// One array, looked at once for all of its rows.
struct Cells<'a> {
    array: &'a ArrayRef,
    /// Spares a look at arrays without nulls.
    has_nulls: bool,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Boolean,
    Text(&'a StringViewArray),
    Date(&'a [i32]),
    Time(&'a [i32]),
    Timestamp(&'a [i64]),
    Struct(Vec<Field<'a>>),
    /// Printed by way of a value: bytes, decimals, lists and maps.
    Other(&'a SchemaRef),
}

struct Field<'a> {
    label: Label,
    cells: Cells<'a>,
}

/// A comma, a field's name and an equals sign. They are copied by the block, with what is too much
/// taken back: that costs less than copying a number of bytes that nobody foresees.
struct Label {
    blocks: Vec<[u8; 16]>,
    length: usize,
}

impl Label {
    fn new(name: &str) -> Self {
        let text = format!(",{name}=");
        let block = |bytes: &[u8]| {
            let mut block = [0; 16];
            block[..bytes.len()].copy_from_slice(bytes);
            block
        };
        Self { blocks: text.as_bytes().chunks(16).map(block).collect(), length: text.len() }
    }

    fn append(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for block in &self.blocks {
            out.extend_from_slice(block);
        }
        out.truncate(start + self.length);
    }
}

impl<'a> Cells<'a> {
    fn new(schema: &'a SchemaRef, array: &'a ArrayRef) -> Self {
        let kind = match array.data_type() {
            DataType::Int8 => Kind::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Kind::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Kind::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Kind::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::Float32 => Kind::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Kind::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Boolean => Kind::Boolean,
            DataType::Utf8View => Kind::Text(array.as_string_view()),
            DataType::Date32 => Kind::Date(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(_) => {
                Kind::Time(array.as_primitive::<Time32MillisecondType>().values())
            }
            DataType::Timestamp(..) => {
                Kind::Timestamp(array.as_primitive::<TimestampMillisecondType>().values())
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns().iter();
                let field = |(field, column): (&'a super::Field, &'a ArrayRef)| Field {
                    label: Label::new(&field.name),
                    cells: Cells::new(&field.schema, column),
                };
                Kind::Struct(schema.fields().iter().zip(columns).map(field).collect())
            }
            _ => Kind::Other(schema),
        };
        Self { array, has_nulls: array.null_count() > 0, kind }
    }

    fn is_null(&self, row: usize) -> bool {
        self.has_nulls && self.array.is_null(row)
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match &self.kind {
            Kind::Int8(cells) => append_integer(i64::from(cells[row]), out),
            Kind::Int16(cells) => append_integer(i64::from(cells[row]), out),
            Kind::Int32(cells) => append_integer(i64::from(cells[row]), out),
            Kind::Int64(cells) => append_integer(cells[row], out),
            Kind::Float32(cells) => append_java_single(cells[row], out),
            Kind::Float64(cells) => append_java_double(cells[row], out),
            Kind::Boolean if self.array.as_boolean().value(row) => out.extend_from_slice(b"true"),
            Kind::Boolean => out.extend_from_slice(b"false"),
            Kind::Text(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Kind::Date(cells) => append_java_date(i64::from(cells[row]) * MILLIS_A_DAY, out),
            Kind::Time(cells) => append_java_date(i64::from(cells[row]), out),
            Kind::Timestamp(cells) => append_java_date(cells[row], out),
            Kind::Struct(fields) => append_struct(fields, row, out),
            Kind::Other(schema) => append_value(&cells::cell(schema, self.array, row), out),
        }
    }
}

/// Null fields are left out.
fn append_struct(fields: &[Field<'_>], row: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Struct");
    let brace = out.len();
    for Field { label, cells } in fields.iter().filter(|field| !field.cells.is_null(row)) {
        label.append(out);
        cells.append(row, out);
    }
    // It stands where the first field has put its comma.
    match out.get_mut(brace) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}
