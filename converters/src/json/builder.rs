//! The decoder of typed columns: reads payloads straight into growing Arrow columns. It takes what
//! is regular; anything odd, errors too, it leaves to [`to_value`], which defines what is right.
//!
//! [`to_value`]: crate::json::read::to_value

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
use millrace_api::data::json::{Number, Reader, SyntaxError, Token};
use millrace_api::data::{Decimal, Kind, SchemaRef, Value};
use num_bigint::{BigInt, Sign};

use crate::json::names::{Named, Names};
use crate::json::node::Node;
use crate::json::read::{check_nulls, may_be_missing, to_value};
use crate::json::text::decode_base64;
use crate::json::value::{is_object, is_union, logical_of};
use crate::json::{Dialect, Rules};

const MILLIS_A_DAY: i32 = 86_400_000;

/// The row is not regular: [`to_value`] decides about it.
///
/// [`to_value`]: crate::json::read::to_value
#[derive(Debug)]
pub(crate) struct Odd;

impl From<SyntaxError> for Odd {
    fn from(_: SyntaxError) -> Self {
        Self
    }
}

/// Arrow cannot hold the value: the run goes as rows.
#[derive(Debug)]
pub(crate) struct Unfit;

/// A column in the making.
pub(crate) struct Builder {
    schema: SchemaRef,
    data_type: DataType,
    options: Rules,
    /// Whether each value is read as a tree: what is rare has no other way.
    as_tree: bool,
    valid: Vec<bool>,
    cells: Cells,
}

enum Cells {
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
    Decimal(Vec<i256>, i32),
    List(Vec<i32>, Box<Builder>),
    Map(Vec<i32>, Box<Builder>, Box<Builder>),
    Struct(Vec<Builder>, Names),
}

/// Variable-length cells: where each ends, and all bytes.
struct Bytes {
    ends: Vec<i64>,
    bytes: Vec<u8>,
}

impl Bytes {
    fn end_cell(&mut self) {
        self.ends.push(self.bytes.len() as i64);
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
}

impl Builder {
    /// For columns of this schema with about so many rows; none when Arrow cannot hold it.
    pub(crate) fn new(schema: &SchemaRef, options: Rules, rows: usize) -> Option<Self> {
        let data_type = schema.arrow_type()?;
        let inner = |schema: Option<&SchemaRef>| Some(Box::new(Self::new(schema?, options, rows)?));
        let bytes = || Bytes { ends: from_zero(rows), bytes: Vec::new() };
        let cells = match (schema.kind(), logical_of(schema)) {
            (_, Some("Date")) => Cells::Date(Vec::with_capacity(rows)),
            (_, Some("Time")) => Cells::Time(Vec::with_capacity(rows)),
            (_, Some("Timestamp")) => Cells::Timestamp(Vec::with_capacity(rows)),
            (_, Some(_)) => Cells::Decimal(Vec::with_capacity(rows), schema.decimal_scale()?),
            (Kind::Int8, _) => Cells::Int8(Vec::with_capacity(rows)),
            (Kind::Int16, _) => Cells::Int16(Vec::with_capacity(rows)),
            (Kind::Int32, _) => Cells::Int32(Vec::with_capacity(rows)),
            (Kind::Int64, _) => Cells::Int64(Vec::with_capacity(rows)),
            (Kind::Float32, _) => Cells::Float32(Vec::with_capacity(rows)),
            (Kind::Float64, _) => Cells::Float64(Vec::with_capacity(rows)),
            (Kind::Boolean, _) => Cells::Boolean(Vec::with_capacity(rows)),
            (Kind::String, _) => Cells::Text(bytes()),
            (Kind::Bytes, _) => Cells::Bytes(bytes()),
            (Kind::Array, _) => Cells::List(from_zero(rows), inner(schema.value_schema())?),
            (Kind::Map, _) => {
                let (keys, values) = (inner(schema.key_schema())?, inner(schema.value_schema())?);
                Cells::Map(from_zero(rows), keys, values)
            }
            (Kind::Struct, _) => {
                let fields = schema.fields();
                let columns = fields.iter().map(|f| Self::new(&f.schema, options, rows));
                Cells::Struct(columns.collect::<Option<_>>()?, Names::new(schema))
            }
        };
        let valid = Vec::with_capacity(rows);
        let as_tree = is_union(schema, options)
            || (options.dialect == Dialect::JsonSchema
                && schema.key_schema().is_some_and(|key| !is_object(key, options)));
        Some(Self { schema: Arc::clone(schema), data_type, options, as_tree, valid, cells })
    }

    /// How many cells there are.
    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Appends the value of a text, or nothing when it is odd.
    pub(crate) fn append_text(&mut self, text: &str) -> Result<(), Odd> {
        let len = self.len();
        let mut reader = Reader::new(text);
        let appended = reader.peek().map_err(Odd::from).and_then(|token| {
            self.append(&mut reader)?;
            reader.finish(token)?;
            Ok(())
        });
        appended.inspect_err(|Odd| self.truncate(len))
    }

    /// Appends the value that `rest` begins with, or nothing when it is odd. `rest` is the end of an
    /// object, and odd too when another member follows.
    pub(crate) fn append_last_member(&mut self, rest: &str) -> Result<(), Odd> {
        let len = self.len();
        let mut reader = Reader::within(rest);
        let appended = self.append(&mut reader).and_then(|()| match reader.next_name(&mut false) {
            Ok(None) => Ok(()),
            _ => Err(Odd),
        });
        appended.inspect_err(|Odd| self.truncate(len))
    }

    /// Appends the value that comes next. After an error the caller truncates.
    fn append(&mut self, reader: &mut Reader<'_>) -> Result<(), Odd> {
        let token = reader.peek()?;
        if token == Token::Null {
            reader.take_word(token)?;
            return self.append_missing();
        }
        if self.as_tree {
            return self.append_tree(reader);
        }
        match (&mut self.cells, token) {
            (Cells::Struct(..), Token::Object) => self.append_struct(reader)?,
            (Cells::List(ends, items), Token::Array) => {
                reader.enter()?;
                let mut first = true;
                while reader.next_item(&mut first)? {
                    items.append(reader)?;
                }
                ends.push(offset(items.len())?);
            }
            (Cells::Map(..), Token::Object | Token::Array) => self.append_map(reader, token)?,
            (Cells::Text(cells), Token::Text) => {
                let text = reader.take_text()?;
                cells.bytes.extend_from_slice(text.as_bytes());
                cells.end_cell();
            }
            (Cells::Bytes(cells), Token::Text) => {
                let text = reader.take_text()?;
                decode_base64(&text, &mut cells.bytes).map_err(|_| Odd)?;
                cells.end_cell();
            }
            (Cells::Decimal(cells, scale), Token::Text) => {
                let mut bytes = Vec::new();
                decode_base64(&reader.take_text()?, &mut bytes).map_err(|_| Odd)?;
                if bytes.is_empty() {
                    return Err(Odd);
                }
                let unscaled = BigInt::from_signed_bytes_be(&bytes);
                let scale = *scale;
                cells.push(to_i256(&Decimal { unscaled, scale }, scale).map_err(|_| Odd)?);
            }
            (Cells::Boolean(cells), Token::True | Token::False) => {
                reader.take_word(token)?;
                cells.push(token == Token::True);
            }
            (_, Token::Number) => append_number(&mut self.cells, reader.take_number()?)?,
            _ => return Err(Odd),
        }
        self.valid.push(true);
        Ok(())
    }

    fn append_tree(&mut self, reader: &mut Reader<'_>) -> Result<(), Odd> {
        let node = Node::read(reader)?;
        let value = to_value(&self.schema, Some(&node), self.options).map_err(|_| Odd)?;
        check_nulls(&value, &self.schema, &String::new).map_err(|_| Odd)?;
        self.append_value(&value).map_err(|Unfit| Odd)
    }

    fn append_struct(&mut self, reader: &mut Reader<'_>) -> Result<(), Odd> {
        let Cells::Struct(columns, names) = &mut self.cells else {
            unreachable!("the caller matched a struct")
        };
        let row = self.valid.len();
        reader.enter()?;
        let mut first = true;
        // Fields mostly come in the order of the schema.
        let mut next = 0;
        while let Some(named) = names.next(reader, next, &mut first)? {
            let Named::Field(place) = named else {
                reader.skip()?;
                continue;
            };
            let column = &mut columns[place];
            if column.len() > row {
                return Err(Odd);
            }
            column.append(reader)?;
            next = place + 1;
        }
        for column in columns {
            if column.len() > row {
                continue;
            }
            if may_be_missing(&column.schema, column.options) {
                column.append_null();
            } else {
                column.append_missing()?;
            }
        }
        Ok(())
    }

    fn append_map(&mut self, reader: &mut Reader<'_>, token: Token) -> Result<(), Odd> {
        let Cells::Map(ends, keys, values) = &mut self.cells else {
            unreachable!("the caller matched a map")
        };
        let start = keys.len();
        let mut first = true;
        if let Cells::Text(names) = &mut keys.cells {
            if token != Token::Object {
                return Err(Odd);
            }
            reader.enter()?;
            while let Some(name) = reader.next_name(&mut first)? {
                names.bytes.extend_from_slice(name.as_bytes());
                names.end_cell();
                keys.valid.push(true);
                values.append(reader)?;
            }
            if has_duplicates(names, start, keys.valid.len()) {
                return Err(Odd);
            }
        } else {
            if token != Token::Array {
                return Err(Odd);
            }
            reader.enter()?;
            while reader.next_item(&mut first)? {
                // Whether two keys are equal is for the row-wise way to say.
                if keys.len() > start {
                    return Err(Odd);
                }
                append_pair(reader, keys, values)?;
            }
        }
        ends.push(offset(keys.len())?);
        Ok(())
    }

    /// Appends what stands for null, or for a field that is not there.
    fn append_missing(&mut self) -> Result<(), Odd> {
        if self.options.replace_null_with_default
            && let Some(default) = self.schema.default().cloned()
        {
            return self.append_value(&default).map_err(|_| Odd);
        }
        if !self.schema.is_optional() {
            return Err(Odd);
        }
        self.append_null();
        Ok(())
    }

    /// Appends null, whatever the schema says.
    pub(crate) fn append_null(&mut self) {
        match &mut self.cells {
            Cells::Int8(cells) => cells.push(0),
            Cells::Int16(cells) => cells.push(0),
            Cells::Int32(cells) | Cells::Date(cells) | Cells::Time(cells) => cells.push(0),
            Cells::Int64(cells) | Cells::Timestamp(cells) => cells.push(0),
            Cells::Float32(cells) => cells.push(0.0),
            Cells::Float64(cells) => cells.push(0.0),
            Cells::Boolean(cells) => cells.push(false),
            Cells::Text(cells) | Cells::Bytes(cells) => cells.end_cell(),
            Cells::Decimal(cells, _) => cells.push(i256::ZERO),
            Cells::List(ends, _) | Cells::Map(ends, ..) => {
                ends.push(ends.last().copied().expect("offsets start with zero"));
            }
            Cells::Struct(columns, _) => columns.iter_mut().for_each(Self::append_null),
        }
        self.valid.push(false);
    }

    /// Appends a value that [`to_value`] made. After an error the run is given up.
    ///
    /// [`to_value`]: crate::json::read::to_value
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
            (Cells::Boolean(cells), Value::Boolean(b)) => cells.push(*b),
            (Cells::Text(cells), Value::String(text)) => {
                cells.bytes.extend_from_slice(text.as_bytes());
                cells.end_cell();
            }
            (Cells::Bytes(cells), Value::Bytes(bytes)) => {
                cells.bytes.extend_from_slice(bytes);
                cells.end_cell();
            }
            (Cells::Decimal(cells, scale), Value::Decimal(n)) => cells.push(to_i256(n, *scale)?),
            (Cells::List(ends, items), Value::Array(values)) => {
                values.iter().try_for_each(|v| items.append_value(v))?;
                ends.push(offset(items.len()).map_err(|_| Unfit)?);
            }
            (Cells::Map(ends, keys, values), Value::Map(entries)) => {
                for (key, value) in entries {
                    if key.is_null() {
                        return Err(Unfit);
                    }
                    keys.append_value(key)?;
                    values.append_value(value)?;
                }
                ends.push(offset(keys.len()).map_err(|_| Unfit)?);
            }
            (Cells::Struct(columns, _), Value::Struct(s)) => {
                let cells = columns.iter_mut().zip(s.values());
                cells.into_iter().try_for_each(|(c, v)| c.append_value(v))?;
            }
            _ => return Err(Unfit),
        }
        self.valid.push(true);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
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
            Cells::Struct(columns, _) => columns.iter_mut().for_each(|c| c.truncate(len)),
        }
        self.valid.truncate(len);
    }

    /// The column.
    pub(crate) fn finish(self) -> ArrayRef {
        let len = self.valid.len();
        let nulls = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        let data_type = self.data_type;
        match self.cells {
            Cells::Int8(cells) => primitive::<Int8Type>(cells, nulls),
            Cells::Int16(cells) => primitive::<Int16Type>(cells, nulls),
            Cells::Int32(cells) => primitive::<Int32Type>(cells, nulls),
            Cells::Date(cells) => primitive::<Date32Type>(cells, nulls),
            Cells::Time(cells) => primitive::<Time32MillisecondType>(cells, nulls),
            Cells::Int64(cells) => primitive::<Int64Type>(cells, nulls),
            Cells::Float32(cells) => primitive::<Float32Type>(cells, nulls),
            Cells::Float64(cells) => primitive::<Float64Type>(cells, nulls),
            Cells::Timestamp(cells) => {
                let array = PrimitiveArray::<TimestampMillisecondType>::new(cells.into(), nulls);
                Arc::new(array.with_data_type(data_type))
            }
            Cells::Decimal(cells, _) => {
                let array = PrimitiveArray::<Decimal256Type>::new(cells.into(), nulls);
                Arc::new(array.with_data_type(data_type))
            }
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
            Cells::Struct(columns, _) => {
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

fn primitive<T: ArrowPrimitiveType>(cells: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(cells.into(), nulls))
}

/// Offsets of so many cells, which start with zero.
fn from_zero<T: Default>(rows: usize) -> Vec<T> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(T::default());
    offsets
}

fn offset(len: usize) -> Result<i32, Odd> {
    i32::try_from(len).map_err(|_| Odd)
}

fn append_number(cells: &mut Cells, number: Number<'_>) -> Result<(), Odd> {
    let integer = || number.is_integer().then(|| number.to_i64()).ok_or(Odd);
    match cells {
        Cells::Int8(cells) => cells.push(integer()? as i8),
        Cells::Int16(cells) => cells.push(integer()? as i16),
        Cells::Int32(cells) => cells.push(integer()? as i32),
        Cells::Int64(cells) | Cells::Timestamp(cells) => cells.push(integer()?),
        Cells::Date(cells) => cells.push(number.to_i32_exact().ok_or(Odd)?),
        Cells::Time(cells) => {
            let millis = number.to_i32_exact().ok_or(Odd)?;
            if !(0..=MILLIS_A_DAY).contains(&millis) {
                return Err(Odd);
            }
            cells.push(millis);
        }
        Cells::Float32(cells) => cells.push(number.to_f32()),
        Cells::Float64(cells) => cells.push(number.to_f64()),
        Cells::Decimal(cells, scale) => {
            cells.push(to_i256(&number.to_decimal(), *scale).map_err(|_| Odd)?);
        }
        _ => return Err(Odd),
    }
    Ok(())
}

fn append_pair(
    reader: &mut Reader<'_>,
    keys: &mut Builder,
    values: &mut Builder,
) -> Result<(), Odd> {
    if reader.peek()? != Token::Array {
        return Err(Odd);
    }
    reader.enter()?;
    let mut first = true;
    if !reader.next_item(&mut first)? {
        return Err(Odd);
    }
    keys.append(reader)?;
    if keys.valid.last() == Some(&false) || !reader.next_item(&mut first)? {
        return Err(Odd);
    }
    values.append(reader)?;
    if reader.next_item(&mut first)? {
        return Err(Odd);
    }
    Ok(())
}

fn has_duplicates(names: &Bytes, start: usize, end: usize) -> bool {
    /// Up to so many names, comparing each with each is cheaper than a table.
    const FEW: usize = 8;
    if end - start <= FEW {
        let pairs = (start..end).flat_map(|i| (start..i).map(move |j| (i, j)));
        return pairs.into_iter().any(|(i, j)| names.cell(i) == names.cell(j));
    }
    let mut seen = HashSet::with_capacity(end - start);
    !(start..end).all(|i| seen.insert(names.cell(i)))
}

/// Fails past the 76 digits that Arrow's decimals hold, and for another scale than the schema's.
fn to_i256(number: &Decimal, scale: i32) -> Result<i256, Unfit> {
    if number.scale != scale {
        return Err(Unfit);
    }
    if let Ok(small) = i128::try_from(&number.unscaled) {
        return Ok(i256::from_i128(small));
    }
    let bytes = number.unscaled.to_signed_bytes_be();
    let fill = match number.unscaled.sign() {
        Sign::Minus => 0xff,
        _ => 0,
    };
    let mut wide = [fill; 32];
    let start = wide.len().checked_sub(bytes.len()).ok_or(Unfit)?;
    wide[start..].copy_from_slice(&bytes);
    if number.unscaled.magnitude().to_string().len() > 76 {
        return Err(Unfit);
    }
    Ok(i256::from_be_bytes(wide))
}
