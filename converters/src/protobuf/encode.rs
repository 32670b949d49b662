//! Writes rows of columns as messages.

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimestampMillisecondType, i256,
};
use millrace_api::data::{TIME_MILLIS, civil_from_days};

use crate::cells::minimal;
use crate::json::Fault;
use crate::protobuf::plan::Scalar;
use crate::protobuf::wire::{append_bytes, insert_length};
use crate::protobuf::write::{FieldWriter, MessageWriter, Shape, To};
use crate::varint::{append_varint, to_zigzag};

type Result<T> = std::result::Result<T, Fault>;

/// A column ready to be written.
pub(crate) struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Boolean(&'a BooleanArray),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    Decimal(&'a [i256], i32),
    List(&'a [i32], Box<Cells<'a>>),
    Map(&'a [i32], Box<[Part<'a>; 2]>),
    Message(Vec<Part<'a>>),
}

/// A field and its cells.
struct Part<'a> {
    field: &'a FieldWriter,
    cells: Cells<'a>,
    /// One cell that stands for null.
    default: Option<Box<Cells<'a>>>,
    /// For the member of a union: the union's nulls, and those of the members before.
    union: Option<&'a NullBuffer>,
    before: Vec<&'a ArrayRef>,
}

impl To {
    /// Joins what is known of a value to its cells.
    pub(crate) fn bind<'a>(&'a self, array: &'a ArrayRef) -> Cells<'a> {
        let values = match self {
            Self::Message(message) => Values::Message(message.bind(array)),
            _ => plain(array),
        };
        Cells { nulls: array.nulls(), values }
    }

    /// Appends a root message.
    pub(crate) fn append_whole(
        &self,
        cells: &Cells<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (self, &cells.values) {
            (Self::Message(_), Values::Message(parts)) => append_parts(parts, row, out),
            (Self::Wrapped(scalar), _) => append_wrapped(*scalar, cells, row, out),
            _ => unreachable!("roots are structs and wrappers"),
        }
    }

    fn wire_type(&self) -> u32 {
        match self {
            Self::Scalar(scalar) => scalar.wire_type(),
            Self::Symbol(_) | Self::EnumNumber => 0,
            _ => 2,
        }
    }

    /// Appends a value, with its length where it has one.
    fn append(&self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        match (self, &cells.values) {
            (Self::Scalar(scalar), _) => return append_scalar(*scalar, cells, row, out),
            (Self::Symbol(numbers), Values::Text(texts)) => {
                let symbol = texts.value(row);
                let number = numbers
                    .get(symbol)
                    .ok_or_else(|| Fault::new(format!("the enum has no symbol {symbol}")))?;
                append_varint(i64::from(*number).cast_unsigned(), out);
                return Ok(());
            }
            (Self::EnumNumber, _) => {
                append_varint(cells.integer(row).cast_unsigned(), out);
                return Ok(());
            }
            (Self::Message(_), Values::Message(parts)) => append_parts(parts, row, out)?,
            (Self::Wrapped(scalar), _) => append_wrapped(*scalar, cells, row, out)?,
            (Self::Decimal, Values::Decimal(numbers, scale)) => {
                append_decimal(numbers[row], *scale, out);
            }
            (Self::Date, Values::Int32(days)) => {
                let (year, month, day) = civil_from_days(days[row].into());
                append_numbers(&[year, month.into(), day.into()], out);
            }
            (Self::Time, Values::Int32(millis)) => append_time(millis[row], out)?,
            (Self::Timestamp, Values::Int64(millis)) => {
                let millis = millis[row];
                let nanos = millis.rem_euclid(1000) * 1_000_000;
                append_numbers(&[millis.div_euclid(1000), nanos], out);
            }
            _ => unreachable!("the writer was made for the column"),
        }
        insert_length(start, out);
        Ok(())
    }
}

impl MessageWriter {
    fn bind<'a>(&'a self, array: &'a ArrayRef) -> Vec<Part<'a>> {
        let columns = array.as_struct().columns();
        let part = |field: &'a FieldWriter| {
            let column = &columns[field.column];
            let Some(member) = field.member else {
                return field.bind(column);
            };
            let members = column.as_struct().columns();
            let part = field.bind(&members[member]);
            Part { union: column.nulls(), before: members[..member].iter().collect(), ..part }
        };
        self.fields.iter().map(part).collect()
    }
}

impl FieldWriter {
    fn bind<'a>(&'a self, array: &'a ArrayRef) -> Part<'a> {
        let bind = |array: &'a ArrayRef| {
            let values = match &self.shape {
                Shape::Single { .. } => return self.to.bind(array),
                Shape::List { .. } => {
                    let list = array.as_list::<i32>();
                    Values::List(list.value_offsets(), Box::new(self.to.bind(list.values())))
                }
                Shape::Map(entry) => {
                    let map = array.as_map();
                    let parts = [entry.0.bind(map.keys()), entry.1.bind(map.values())];
                    Values::Map(map.value_offsets(), Box::new(parts))
                }
            };
            Cells { nulls: array.nulls(), values }
        };
        let default = self.default.as_ref().map(|array| Box::new(bind(array)));
        Part { field: self, cells: bind(array), default, union: None, before: Vec::new() }
    }
}

fn plain(array: &ArrayRef) -> Values<'_> {
    match array.data_type() {
        DataType::Int8 => Values::Int8(array.as_primitive::<Int8Type>().values()),
        DataType::Int16 => Values::Int16(array.as_primitive::<Int16Type>().values()),
        DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values()),
        DataType::Date32 => Values::Int32(array.as_primitive::<Date32Type>().values()),
        DataType::Time32(_) => {
            Values::Int32(array.as_primitive::<Time32MillisecondType>().values())
        }
        DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
        DataType::Timestamp(..) => {
            Values::Int64(array.as_primitive::<TimestampMillisecondType>().values())
        }
        DataType::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
        DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
        DataType::Boolean => Values::Boolean(array.as_boolean()),
        DataType::Utf8View => Values::Text(array.as_string_view()),
        DataType::BinaryView => Values::Bytes(array.as_binary_view()),
        DataType::Decimal256(_, scale) => {
            Values::Decimal(array.as_primitive::<Decimal256Type>().values(), i32::from(*scale))
        }
        other => unreachable!("columns of {other} have a writer of their own"),
    }
}

impl Cells<'_> {
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    fn integer(&self, row: usize) -> i64 {
        match &self.values {
            Values::Int8(values) => values[row].into(),
            Values::Int16(values) => values[row].into(),
            Values::Int32(values) => values[row].into(),
            Values::Int64(values) => values[row],
            _ => unreachable!("the column holds integers"),
        }
    }

    fn double(&self, row: usize) -> f64 {
        match &self.values {
            Values::Float32(values) => values[row].into(),
            Values::Float64(values) => values[row],
            _ => unreachable!("the column holds numbers"),
        }
    }

    /// Whether it is what a field without presence does not say: zero, or nothing. The sign of a
    /// zero is said.
    fn is_default(&self, row: usize) -> bool {
        match &self.values {
            Values::Float32(values) => values[row].to_bits() == 0,
            Values::Float64(values) => values[row].to_bits() == 0,
            Values::Boolean(values) => !values.value(row),
            Values::Text(values) => values.value(row).is_empty(),
            Values::Bytes(values) => values.value(row).is_empty(),
            Values::Int8(_) | Values::Int16(_) | Values::Int32(_) | Values::Int64(_) => {
                self.integer(row) == 0
            }
            _ => false,
        }
    }
}

impl Part<'_> {
    fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let is_other = self.union.is_some_and(|nulls| nulls.is_null(row))
            || self.before.iter().any(|member| member.is_valid(row));
        if is_other {
            return Ok(());
        }
        let (cells, row) = match (self.cells.is_null(row), &self.default) {
            (false, _) => (&self.cells, row),
            (true, Some(default)) => (&**default, 0),
            (true, None) if matches!(self.field.shape, Shape::Single { is_required: true, .. }) => {
                return Err(Fault::new("a required field is null"));
            }
            (true, None) => return Ok(()),
        };
        let (field, to) = (self.field, &self.field.to);
        match (&field.shape, &cells.values) {
            (Shape::List { is_packed }, Values::List(offsets, items)) => {
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                append_list(field, *is_packed, (items, range), out)
            }
            (Shape::Map(_), Values::Map(offsets, entry)) => {
                for entry_row in offsets[row] as usize..offsets[row + 1] as usize {
                    append_tag(field.number, 2, out);
                    let start = out.len();
                    entry[0].append(entry_row, out)?;
                    entry[1].append(entry_row, out)?;
                    insert_length(start, out);
                }
                Ok(())
            }
            (Shape::Single { has_presence, .. }, _) => {
                let is_silent = !has_presence
                    && match to {
                        To::Symbol(_) => false,
                        _ => cells.is_default(row),
                    };
                if is_silent && !matches!(to.wire_type(), 2 if is_message(to)) {
                    return Ok(());
                }
                let start = out.len();
                append_tag(field.number, to.wire_type(), out);
                let value = out.len();
                to.append(cells, row, out)?;
                // The first symbol of an enum is its default.
                if matches!(to, To::Symbol(_)) && !has_presence && out[value..] == [0] {
                    out.truncate(start);
                }
                Ok(())
            }
            _ => unreachable!("the writer was made for the column"),
        }
    }
}

fn is_message(to: &To) -> bool {
    !matches!(to, To::Scalar(_) | To::Symbol(_) | To::EnumNumber)
}

fn append_tag(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    append_varint(u64::from(number << 3 | wire_type), out);
}

fn append_parts(parts: &[Part<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    for part in parts {
        part.append(row, out).map_err(|fault| fault.within(&part.field.name))?;
    }
    Ok(())
}

fn append_list(
    field: &FieldWriter,
    is_packed: bool,
    (items, range): (&Cells<'_>, std::ops::Range<usize>),
    out: &mut Vec<u8>,
) -> Result<()> {
    if range.clone().any(|item| items.is_null(item)) {
        return Err(Fault::new("an array of Protobuf cannot hold null"));
    }
    if !is_packed || range.is_empty() {
        for item in range {
            append_tag(field.number, field.to.wire_type(), out);
            field.to.append(items, item, out)?;
        }
        return Ok(());
    }
    append_tag(field.number, 2, out);
    let start = out.len();
    for item in range {
        field.to.append(items, item, out)?;
    }
    insert_length(start, out);
    Ok(())
}

#[inline]
fn append_scalar(scalar: Scalar, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let unsigned = || {
        let number = cells.integer(row);
        u32::try_from(number)
            .map_err(|_| Fault::new(format!("{number} does not fit {}", scalar.name())))
    };
    match (scalar, &cells.values) {
        (_, Values::Text(texts)) => append_bytes(texts.value(row).as_bytes(), out),
        (_, Values::Bytes(values)) => append_bytes(values.value(row), out),
        (_, Values::Boolean(values)) => out.push(u8::from(values.value(row))),
        (Scalar::Double, _) => out.extend_from_slice(&cells.double(row).to_le_bytes()),
        (_, Values::Float32(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
        (Scalar::Sint32 | Scalar::Sint64, _) => append_varint(to_zigzag(cells.integer(row)), out),
        (Scalar::Fixed32, _) => out.extend_from_slice(&unsigned()?.to_le_bytes()),
        (Scalar::Sfixed32, _) => {
            out.extend_from_slice(&(cells.integer(row) as u32).to_le_bytes());
        }
        (Scalar::Fixed64 | Scalar::Sfixed64, _) => {
            out.extend_from_slice(&cells.integer(row).to_le_bytes());
        }
        (Scalar::Uint32, _) => append_varint(unsigned()?.into(), out),
        _ => append_varint(cells.integer(row).cast_unsigned(), out),
    }
    Ok(())
}

fn append_wrapped(scalar: Scalar, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if !cells.is_default(row) {
        append_tag(1, scalar.wire_type(), out);
        append_scalar(scalar, cells, row, out)?;
    }
    Ok(())
}

/// Fields from the first on that are numbers; zeros are left out.
fn append_numbers(numbers: &[i64], out: &mut Vec<u8>) {
    for (field, number) in (1..).zip(numbers) {
        if *number != 0 {
            append_tag(field, 0, out);
            append_varint(number.cast_unsigned(), out);
        }
    }
}

fn append_time(millis: i32, out: &mut Vec<u8>) -> Result<()> {
    if !TIME_MILLIS.contains(&millis) {
        return Err(Fault::new(
            "Time values must use number of millis greater than 0 and less than 86400000",
        ));
    }
    let (seconds, millis) = (i64::from(millis / 1000), i64::from(millis % 1000));
    let hours = seconds / 3600 % 24;
    append_numbers(&[hours, seconds / 60 % 60, seconds % 60, millis * 1_000_000], out);
    Ok(())
}

fn append_decimal(number: i256, scale: i32, out: &mut Vec<u8>) {
    append_tag(1, 2, out);
    append_bytes(minimal(&number.to_be_bytes()), out);
    let digits = number.wrapping_abs().to_string().len();
    append_tag(2, 0, out);
    append_varint(digits as u64, out);
    if scale != 0 {
        append_tag(3, 0, out);
        append_varint(i64::from(scale).cast_unsigned(), out);
    }
}
