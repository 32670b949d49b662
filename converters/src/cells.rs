//! Decides in which memory the cells of a column grow, and how they are taken back.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, LargeBinaryArray, LargeStringArray, ListArray,
    MapArray, PrimitiveArray, StringViewArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType, i256,
};
use millrace_api::data::{Decimal, Kind, SchemaRef, Value, logical};

/// Arrow cannot hold the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfit;

/// How many cells the items of a column's arrays may become: some 128 MiB as numbers.
const MOST_CELLS: usize = 16 << 20;

/// A column in the making.
pub(crate) struct Builder {
    pub(crate) schema: SchemaRef,
    data_type: DataType,
    /// How many columns grow with each cell: those of a struct, but not the items of arrays.
    width: usize,
    len: usize,
    /// Which cells are not null; empty while all are.
    valid: Vec<bool>,
    pub(crate) cells: Cells,
}

pub(crate) enum Cells {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Date(Vec<i32>),
    Time(Vec<i32>),
    Int64(Vec<i64>),
    Timestamp(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Boolean(Vec<bool>),
    Text(Bytes),
    Bytes(Bytes),
    /// With how many digits after the point.
    Decimal(Vec<i256>, i32),
    List(Vec<i32>, Box<Builder>),
    Map(Vec<i32>, Box<Builder>, Box<Builder>),
    Struct(Vec<Builder>),
}

/// Cells of any length: where each ends, and all bytes.
pub(crate) struct Bytes {
    ends: Vec<i64>,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new(rows: usize) -> Self {
        Self { ends: from_zero(rows), bytes: Vec::new() }
    }

    #[inline]
    pub(crate) fn push(&mut self, cell: &[u8]) {
        self.bytes.extend_from_slice(cell);
        self.ends.push(self.bytes.len() as i64);
    }

    /// Pushes what is written behind the others; after an error part of it is there.
    pub(crate) fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        write(&mut self.bytes)?;
        self.ends.push(self.bytes.len() as i64);
        Ok(())
    }

    fn cell(&self, i: usize) -> &[u8] {
        &self.bytes[self.ends[i] as usize..self.ends[i + 1] as usize]
    }

    fn truncate(&mut self, cells: usize) {
        self.ends.truncate(cells + 1);
        self.bytes.truncate(self.ends[cells] as usize);
    }

    fn into_parts(self) -> (OffsetBuffer<i64>, Buffer) {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        (offsets, Buffer::from_vec(self.bytes))
    }

    /// Whether two cells from there on are equal.
    pub(crate) fn has_duplicates(&self, start: usize) -> bool {
        /// Up to so many, comparing each with each is cheaper than a table.
        const FEW: usize = 8;
        let end = self.ends.len() - 1;
        if end - start <= FEW {
            return (start..end).any(|i| (start..i).any(|j| self.cell(i) == self.cell(j)));
        }
        let mut seen = HashSet::with_capacity(end - start);
        !(start..end).all(|i| seen.insert(self.cell(i)))
    }
}

impl Builder {
    /// For a column of this schema with about so many rows; none when Arrow cannot hold it.
    pub(crate) fn new(schema: &SchemaRef, rows: usize) -> Option<Self> {
        let data_type = schema.arrow_type()?;
        let inner = |schema: Option<&SchemaRef>| Some(Box::new(Self::new(schema?, rows)?));
        let cells = match (schema.kind(), schema.name().unwrap_or("")) {
            (Kind::Int32, logical::DATE) => Cells::Date(Vec::with_capacity(rows)),
            (Kind::Int32, logical::TIME) => Cells::Time(Vec::with_capacity(rows)),
            (Kind::Int64, logical::TIMESTAMP) => Cells::Timestamp(Vec::with_capacity(rows)),
            (Kind::Bytes, logical::DECIMAL) => {
                Cells::Decimal(Vec::with_capacity(rows), schema.decimal_scale()?)
            }
            (Kind::Int8, _) => Cells::Int8(Vec::with_capacity(rows)),
            (Kind::Int16, _) => Cells::Int16(Vec::with_capacity(rows)),
            (Kind::Int32, _) => Cells::Int32(Vec::with_capacity(rows)),
            (Kind::Int64, _) => Cells::Int64(Vec::with_capacity(rows)),
            (Kind::Float32, _) => Cells::Float32(Vec::with_capacity(rows)),
            (Kind::Float64, _) => Cells::Float64(Vec::with_capacity(rows)),
            (Kind::Boolean, _) => Cells::Boolean(Vec::with_capacity(rows)),
            (Kind::String, _) => Cells::Text(Bytes::new(rows)),
            (Kind::Bytes, _) => Cells::Bytes(Bytes::new(rows)),
            (Kind::Array, _) => Cells::List(from_zero(rows), inner(schema.value_schema())?),
            (Kind::Map, _) => {
                let (keys, values) = (inner(schema.key_schema())?, inner(schema.value_schema())?);
                Cells::Map(from_zero(rows), keys, values)
            }
            (Kind::Struct, _) => {
                let columns = schema.fields().iter().map(|f| Self::new(&f.schema, rows));
                Cells::Struct(columns.collect::<Option<_>>()?)
            }
        };
        let width = match &cells {
            Cells::Struct(columns) => 1 + columns.iter().map(|column| column.width).sum::<usize>(),
            _ => 1,
        };
        Some(Self {
            schema: Arc::clone(schema),
            data_type,
            width,
            len: 0,
            valid: Vec::new(),
            cells,
        })
    }

    /// How many columns grow with each cell, be it null. A few bytes of a payload can claim many
    /// cells that are null, so that whoever appends items has to count these.
    #[inline]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Whether the items of an array may become more: beyond some 128 MiB of numbers a run goes as
    /// values, which are counted.
    #[inline]
    pub(crate) fn is_roomy(&self) -> bool {
        self.len.saturating_mul(self.width) <= MOST_CELLS
    }

    /// How many cells a value takes in all columns.
    pub(crate) fn cells_of(&self, value: &Value) -> usize {
        let inner = match (&self.cells, value) {
            (Cells::List(_, items), Value::Array(values)) => {
                values.iter().map(|value| items.cells_of(value)).sum()
            }
            (Cells::Map(_, keys, values), Value::Map(entries)) => {
                entries.iter().map(|(key, value)| keys.cells_of(key) + values.cells_of(value)).sum()
            }
            (Cells::Struct(columns), Value::Struct(s)) => {
                columns.iter().zip(s.values()).map(|(column, value)| column.cells_of(value)).sum()
            }
            _ => return self.width,
        };
        1_usize.saturating_add(inner)
    }

    /// How many cells there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The cell that was appended last is no null.
    #[inline]
    pub(crate) fn end_cell(&mut self) {
        self.len += 1;
        if !self.valid.is_empty() {
            self.valid.push(true);
        }
    }

    /// Appends a text to a column of texts.
    #[inline]
    pub(crate) fn append_text(&mut self, text: &str) {
        let Cells::Text(cells) = &mut self.cells else {
            unreachable!("the caller has matched a column of texts")
        };
        cells.push(text.as_bytes());
        self.end_cell();
    }

    pub(crate) fn append_null(&mut self) {
        match &mut self.cells {
            Cells::Int8(cells) => cells.push(0),
            Cells::Int16(cells) => cells.push(0),
            Cells::Int32(cells) | Cells::Date(cells) | Cells::Time(cells) => cells.push(0),
            Cells::Int64(cells) | Cells::Timestamp(cells) => cells.push(0),
            Cells::Float32(cells) => cells.push(0.0),
            Cells::Float64(cells) => cells.push(0.0),
            Cells::Boolean(cells) => cells.push(false),
            Cells::Text(cells) | Cells::Bytes(cells) => cells.push(b""),
            Cells::Decimal(cells, _) => cells.push(i256::ZERO),
            Cells::List(ends, _) | Cells::Map(ends, ..) => {
                ends.push(ends.last().copied().expect("offsets start with zero"));
            }
            Cells::Struct(columns) => columns.iter_mut().for_each(Self::append_null),
        }
        if self.valid.is_empty() {
            self.valid.reserve(self.len + 1);
            self.valid.resize(self.len, true);
        }
        self.valid.push(false);
        self.len += 1;
    }

    pub(crate) fn ends_with_null(&self) -> bool {
        self.valid.last() == Some(&false)
    }

    /// Takes back what came after so many cells, parts of a cell too.
    pub(crate) fn truncate(&mut self, len: usize) {
        match &mut self.cells {
            Cells::Int8(cells) => cells.truncate(len),
            Cells::Int16(cells) => cells.truncate(len),
            Cells::Int32(cells) | Cells::Date(cells) | Cells::Time(cells) => cells.truncate(len),
            Cells::Int64(cells) | Cells::Timestamp(cells) => cells.truncate(len),
            Cells::Float32(cells) => cells.truncate(len),
            Cells::Float64(cells) => cells.truncate(len),
            Cells::Boolean(cells) => cells.truncate(len),
            Cells::Text(cells) | Cells::Bytes(cells) => cells.truncate(len),
            Cells::Decimal(cells, _) => cells.truncate(len),
            Cells::List(ends, items) => {
                ends.truncate(len + 1);
                items.truncate(ends[len] as usize);
            }
            Cells::Map(ends, keys, values) => {
                ends.truncate(len + 1);
                keys.truncate(ends[len] as usize);
                values.truncate(ends[len] as usize);
            }
            Cells::Struct(columns) => columns.iter_mut().for_each(|column| column.truncate(len)),
        }
        self.valid.truncate(len);
        self.len = len;
    }

    /// Appends a value of the schema. After an error the run is given up.
    pub(crate) fn append_value(&mut self, value: &Value) -> Result<(), Unfit> {
        match (&mut self.cells, value) {
            (_, Value::Null) => {
                self.append_null();
                return Ok(());
            }
            (Cells::Int8(cells), Value::Int8(n)) => cells.push(*n),
            (Cells::Int16(cells), Value::Int16(n)) => cells.push(*n),
            (Cells::Int32(cells), Value::Int32(n))
            | (Cells::Date(cells), Value::Date(n))
            | (Cells::Time(cells), Value::Time(n)) => cells.push(*n),
            (Cells::Int64(cells), Value::Int64(n))
            | (Cells::Timestamp(cells), Value::Timestamp(n)) => cells.push(*n),
            (Cells::Float32(cells), Value::Float32(n)) => cells.push(*n),
            (Cells::Float64(cells), Value::Float64(n)) => cells.push(*n),
            (Cells::Boolean(cells), Value::Boolean(value)) => cells.push(*value),
            (Cells::Text(cells), Value::String(text)) => cells.push(text.as_bytes()),
            (Cells::Bytes(cells), Value::Bytes(bytes)) => cells.push(bytes),
            (Cells::Decimal(cells, scale), Value::Decimal(number)) => {
                cells.push(scaled(number, *scale)?);
            }
            (Cells::List(ends, items), Value::Array(values)) => {
                for value in values {
                    items.append_item(value)?;
                }
                ends.push(offset(items.len)?);
            }
            (Cells::Map(ends, keys, values), Value::Map(entries)) => {
                for (key, value) in entries {
                    if key.is_null() {
                        return Err(Unfit);
                    }
                    keys.append_value(key)?;
                    values.append_item(value)?;
                }
                ends.push(offset(keys.len)?);
            }
            (Cells::Struct(columns), Value::Struct(s)) => {
                let mut cells = columns.iter_mut().zip(s.values());
                cells.try_for_each(|(column, value)| column.append_value(value))?;
            }
            _ => return Err(Unfit),
        }
        self.end_cell();
        Ok(())
    }

    fn append_item(&mut self, value: &Value) -> Result<(), Unfit> {
        if !self.is_roomy() {
            return Err(Unfit);
        }
        self.append_value(value)
    }

    /// The array of all cells.
    pub(crate) fn finish(self) -> ArrayRef {
        let Self { data_type, len, valid, cells, .. } = self;
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        match cells {
            Cells::Int8(cells) => primitive::<Int8Type>(cells, nulls, &data_type),
            Cells::Int16(cells) => primitive::<Int16Type>(cells, nulls, &data_type),
            Cells::Int32(cells) => primitive::<Int32Type>(cells, nulls, &data_type),
            Cells::Date(cells) => primitive::<Date32Type>(cells, nulls, &data_type),
            Cells::Time(cells) => primitive::<Time32MillisecondType>(cells, nulls, &data_type),
            Cells::Int64(cells) => primitive::<Int64Type>(cells, nulls, &data_type),
            Cells::Timestamp(cells) => {
                primitive::<TimestampMillisecondType>(cells, nulls, &data_type)
            }
            Cells::Float32(cells) => primitive::<Float32Type>(cells, nulls, &data_type),
            Cells::Float64(cells) => primitive::<Float64Type>(cells, nulls, &data_type),
            Cells::Decimal(cells, _) => primitive::<Decimal256Type>(cells, nulls, &data_type),
            Cells::Boolean(cells) => Arc::new(BooleanArray::new(cells.into(), nulls)),
            Cells::Text(cells) => {
                let (offsets, bytes) = cells.into_parts();
                let array = LargeStringArray::new(offsets, bytes, nulls);
                Arc::new(StringViewArray::from(&array))
            }
            Cells::Bytes(cells) => {
                let (offsets, bytes) = cells.into_parts();
                let array = LargeBinaryArray::new(offsets, bytes, nulls);
                Arc::new(BinaryViewArray::from(&array))
            }
            Cells::List(ends, items) => {
                let DataType::List(item) = data_type else {
                    unreachable!("the type of an array is a list")
                };
                let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
                Arc::new(ListArray::new(item, offsets, items.finish(), nulls))
            }
            Cells::Map(ends, keys, values) => map(data_type, ends, *keys, *values, nulls),
            Cells::Struct(columns) => {
                let DataType::Struct(fields) = data_type else {
                    unreachable!("the type of a struct is a struct")
                };
                let columns = columns.into_iter().map(Self::finish).collect();
                let array = StructArray::try_new_with_length(fields, columns, nulls, len);
                Arc::new(array.expect("all columns have a cell for each row"))
            }
        }
    }
}

fn map(
    data_type: DataType,
    ends: Vec<i32>,
    keys: Builder,
    values: Builder,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let DataType::Map(entries, _) = data_type else { unreachable!("the type of a map is a map") };
    let DataType::Struct(fields) = entries.data_type() else {
        unreachable!("the entries of a map are structs")
    };
    let pairs = StructArray::new(fields.clone(), vec![keys.finish(), values.finish()], None);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    Arc::new(MapArray::new(entries, offsets, pairs, nulls, false))
}

fn primitive<T: ArrowPrimitiveType>(
    cells: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    let array = PrimitiveArray::<T>::new(cells.into(), nulls);
    Arc::new(array.with_data_type(data_type.clone()))
}

/// Offsets of so many cells, which start with zero.
fn from_zero<T: Default>(rows: usize) -> Vec<T> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(T::default());
    offsets
}

#[inline]
pub(crate) fn offset(len: usize) -> Result<i32, Unfit> {
    i32::try_from(len).map_err(|_| Unfit)
}

/// Fails past the 76 digits that Arrow's decimals hold, and for another scale than the column's.
pub(crate) fn scaled(number: &Decimal, scale: i32) -> Result<i256, Unfit> {
    if number.scale != scale {
        return Err(Unfit);
    }
    to_i256(&number.unscaled.to_signed_bytes_be()).ok_or(Unfit)
}

/// A number of at most 76 digits, which is what Arrow's decimals hold.
pub(crate) fn to_i256(bytes: &[u8]) -> Option<i256> {
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xff };
    if bytes.len() <= 16 {
        let mut wide = [sign; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        return Some(i256::from_i128(i128::from_be_bytes(wide)));
    }
    let bytes = minimal(bytes);
    let mut wide = [sign; 32];
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    let number = i256::from_be_bytes(wide);
    let limit = i256::from_i128(10_i128.pow(38)).wrapping_mul(i256::from_i128(10_i128.pow(38)));
    (number < limit && number > limit.wrapping_neg()).then_some(number)
}

/// Two's complement without the leading bytes that say nothing.
pub(crate) fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [0, next, ..] | [0xff, next, ..] = rest
        && (rest[0] ^ next) & 0x80 == 0
    {
        rest = &rest[1..];
    }
    rest
}
