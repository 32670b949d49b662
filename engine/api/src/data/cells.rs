//! Turns values into Arrow arrays and cells of Arrow arrays into values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Decimal256Array, ListArray, MapArray,
    PrimitiveArray, StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal256Type, Field as ArrowField, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType, i256,
};
use bytes::Bytes;
use num_bigint::BigInt;

use crate::data::{Decimal, Schema, SchemaRef, Struct, Value};
use crate::{Error, Result};

/// The array of these values. Fails when Arrow cannot hold the schema, or a value does not fit it.
pub(super) fn to_array(schema: &Schema, values: &[Value]) -> Result<ArrayRef> {
    let values: Vec<&Value> = values.iter().collect();
    build(schema, &values)
}

const NULL: &Value = &Value::Null;

fn build(schema: &Schema, values: &[&Value]) -> Result<ArrayRef> {
    let data_type = schema.arrow_type().ok_or_else(|| {
        Error::data("Arrow cannot hold this schema").context("schema", schema.name().unwrap_or("?"))
    })?;
    macro_rules! primitive {
        ($variant:ident, $arrow:ty) => {
            primitive::<$arrow>(schema, values, data_type, |v| match v {
                Value::$variant(x) => Some(*x),
                _ => None,
            })
        };
    }
    match &data_type {
        DataType::Int8 => primitive!(Int8, Int8Type),
        DataType::Int16 => primitive!(Int16, Int16Type),
        DataType::Int32 => primitive!(Int32, Int32Type),
        DataType::Int64 => primitive!(Int64, Int64Type),
        DataType::Float32 => primitive!(Float32, Float32Type),
        DataType::Float64 => primitive!(Float64, Float64Type),
        DataType::Date32 => primitive!(Date, Date32Type),
        DataType::Time32(_) => primitive!(Time, Time32MillisecondType),
        DataType::Timestamp(..) => primitive!(Timestamp, TimestampMillisecondType),
        DataType::Decimal256(..) => decimals(schema, values, &data_type),
        DataType::Boolean => cells(schema, values, |v| match v {
            Value::Boolean(b) => Some(*b),
            _ => None,
        })
        .map(|cells| Arc::new(BooleanArray::from(cells)) as ArrayRef),
        DataType::Utf8View => cells(schema, values, |v| match v {
            Value::String(s) => Some(&**s),
            _ => None,
        })
        .map(|cells| Arc::new(cells.into_iter().collect::<StringViewArray>()) as ArrayRef),
        DataType::BinaryView => cells(schema, values, |v| match v {
            Value::Bytes(b) => Some(&**b),
            _ => None,
        })
        .map(|cells| Arc::new(cells.into_iter().collect::<BinaryViewArray>()) as ArrayRef),
        DataType::List(item) => list(schema, values, item),
        DataType::Map(entries, _) => map(schema, values, entries),
        DataType::Struct(_) => structs(schema, values, &data_type),
        other => unreachable!("arrow_type() never gives {other}"),
    }
}

/// One cell a value; `pick` gives none for a value of another type.
fn cells<'a, T>(
    schema: &Schema,
    values: &[&'a Value],
    pick: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let cell = |value: &&'a Value| match value {
        Value::Null => Ok(None),
        value => pick(value).map(Some).ok_or_else(|| misfit(schema, value)),
    };
    values.iter().map(cell).collect()
}

fn misfit(schema: &Schema, value: &Value) -> Error {
    Error::data("Invalid Java object for schema")
        .context("schema type", schema.kind().name())
        .context("class", value.java_class())
}

fn primitive<'a, T: ArrowPrimitiveType>(
    schema: &Schema,
    values: &[&'a Value],
    data_type: DataType,
    pick: impl Fn(&'a Value) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let array: PrimitiveArray<T> = cells(schema, values, pick)?.into_iter().collect();
    Ok(Arc::new(array.with_data_type(data_type)))
}

fn decimals(schema: &Schema, values: &[&Value], data_type: &DataType) -> Result<ArrayRef> {
    let numbers = cells(schema, values, |v| match v {
        Value::Decimal(d) if Some(d.scale) == schema.decimal_scale() => to_i256(&d.unscaled),
        _ => None,
    })?;
    let array: Decimal256Array = numbers.into_iter().collect();
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

/// None past the 76 digits that Arrow's decimals hold.
fn to_i256(number: &BigInt) -> Option<i256> {
    let bytes = number.to_signed_bytes_be();
    let fill = if number.sign() == num_bigint::Sign::Minus { 0xff } else { 0 };
    let mut wide = [fill; 32];
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(&bytes);
    (number.magnitude().to_string().len() <= 76).then(|| i256::from_be_bytes(wide))
}

fn nulls_of(values: &[&Value]) -> NullBuffer {
    values.iter().map(|v| !v.is_null()).collect()
}

fn list(schema: &Schema, values: &[&Value], item: &Arc<ArrowField>) -> Result<ArrayRef> {
    let rows = cells(schema, values, |v| match v {
        Value::Array(items) => Some(items),
        _ => None,
    })?;
    let lengths = rows.iter().map(|row| row.map_or(0, Vec::len));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let items: Vec<&Value> = rows.iter().flatten().flat_map(|row| row.iter()).collect();
    let child = build(schema.value_schema().expect("an array has one"), &items)?;
    Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, child, Some(nulls_of(values)))))
}

fn map(schema: &Schema, values: &[&Value], entries: &Arc<ArrowField>) -> Result<ArrayRef> {
    let rows = cells(schema, values, |v| match v {
        Value::Map(entries) => Some(entries),
        _ => None,
    })?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.map_or(0, Vec::len)));
    let all: Vec<&(Value, Value)> = rows.iter().flatten().flat_map(|row| row.iter()).collect();
    let keys: Vec<&Value> = all.iter().map(|e| &e.0).collect();
    if keys.iter().any(|k| k.is_null()) {
        return Err(Error::data("Arrow cannot hold a map with a null key"));
    }
    let items: Vec<&Value> = all.iter().map(|e| &e.1).collect();
    let keys = build(schema.key_schema().expect("a map has one"), &keys)?;
    let items = build(schema.value_schema().expect("a map has one"), &items)?;
    let DataType::Struct(fields) = entries.data_type() else {
        unreachable!("arrow_type() gives maps a struct of key and value")
    };
    let pairs = StructArray::new(fields.clone(), vec![keys, items], None);
    let nulls = Some(nulls_of(values));
    Ok(Arc::new(MapArray::new(Arc::clone(entries), offsets, pairs, nulls, false)))
}

fn structs(schema: &Schema, values: &[&Value], data_type: &DataType) -> Result<ArrayRef> {
    let rows = cells(schema, values, |v| match v {
        Value::Struct(s) if s.values().len() == schema.fields().len() => Some(s),
        _ => None,
    })?;
    let DataType::Struct(fields) = data_type else { unreachable!("the caller matched a struct") };
    let column = |i: usize| {
        let cells: Vec<&Value> =
            rows.iter().map(|row| row.map_or(NULL, |s| &s.values()[i])).collect();
        build(&schema.fields()[i].schema, &cells)
    };
    let columns = (0..fields.len()).map(column).collect::<Result<Vec<_>>>()?;
    let nulls = Some(nulls_of(values));
    StructArray::try_new_with_length(fields.clone(), columns, nulls, values.len())
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|e| Error::data("struct does not fit its schema").with_source(e))
}

/// One cell as a value of the schema. Fails when the array is not of the schema's Arrow type.
pub(super) fn value_at(schema: &SchemaRef, array: &ArrayRef, row: usize) -> Result<Value> {
    check_type(schema, array)?;
    Ok(cell(schema, array, row))
}

/// All cells as values of the schema.
pub(super) fn values(schema: &SchemaRef, array: &ArrayRef) -> Result<Vec<Value>> {
    check_type(schema, array)?;
    Ok((0..array.len()).map(|row| cell(schema, array, row)).collect())
}

/// Fails when the array is not of the schema's Arrow type.
pub(super) fn check_type(schema: &SchemaRef, array: &ArrayRef) -> Result<()> {
    let expected = schema.arrow_type();
    if expected.is_some_and(|t| t.equals_datatype(array.data_type())) {
        return Ok(());
    }
    Err(Error::fatal("array does not have the type of its schema")
        .context("array", array.data_type())
        .context("schema type", schema.kind().name()))
}

/// As [`value_at`], for an array known to be of the schema's type.
pub(super) fn cell(schema: &SchemaRef, array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Int8 => Value::Int8(array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => Value::Int16(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => Value::Int32(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => Value::Int64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Value::Float32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::Float64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(_) => {
            Value::Time(array.as_primitive::<Time32MillisecondType>().value(row))
        }
        DataType::Timestamp(..) => {
            Value::Timestamp(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        DataType::Decimal256(_, scale) => {
            let number = array.as_primitive::<Decimal256Type>().value(row);
            let unscaled = BigInt::from_signed_bytes_be(&number.to_be_bytes());
            Value::Decimal(Decimal { unscaled, scale: i32::from(*scale) })
        }
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Utf8View => Value::String(array.as_string_view().value(row).into()),
        DataType::BinaryView => {
            Value::Bytes(Bytes::copy_from_slice(array.as_binary_view().value(row)))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let schema = schema.value_schema().expect("an array has one");
            Value::Array((0..items.len()).map(|i| cell(schema, &items, i)).collect())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let key_schema = schema.key_schema().expect("a map has one");
            let value_schema = schema.value_schema().expect("a map has one");
            let entry = |i| (cell(key_schema, keys, i), cell(value_schema, values, i));
            Value::Map((0..entries.len()).map(entry).collect())
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            let fields = schema.fields().iter().zip(columns);
            let values = fields.map(|(f, column)| cell(&f.schema, column, row)).collect();
            Value::Struct(Struct::new(Arc::clone(schema), values))
        }
        other => unreachable!("arrow_type() never gives {other}"),
    }
}
