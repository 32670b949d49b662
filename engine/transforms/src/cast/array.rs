//! Casts arrays of numbers without looking at their values one by one as values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray,
    StringViewArray, StringViewBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};
use millrace_api::data::{Kind, append_integer, append_java_double, append_java_single};

/// The array in another type; none when it is not one of numbers, or text of dates is wanted.
pub(super) fn cast(array: &ArrayRef, target: Kind) -> Option<ArrayRef> {
    if is_of(array.data_type(), target) {
        return Some(Arc::clone(array));
    }
    match array.data_type() {
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            if target == Kind::String {
                return Some(texts(array, append_java_single));
            }
            Some(from_floating(&array.unary(f64::from), target))
        }
        DataType::Float64 if target == Kind::String => {
            Some(texts(array.as_primitive::<Float64Type>(), append_java_double))
        }
        DataType::Float64 => Some(from_floating(array.as_primitive(), target)),
        DataType::Boolean if target == Kind::String => None,
        _ => from_integers(&integers(array, target == Kind::String)?, target),
    }
}

/// Whether the type is the target already.
fn is_of(data_type: &DataType, target: Kind) -> bool {
    matches!(
        (data_type, target),
        (DataType::Int8, Kind::Int8)
            | (DataType::Int16, Kind::Int16)
            | (DataType::Int32, Kind::Int32)
            | (DataType::Int64, Kind::Int64)
            | (DataType::Float32, Kind::Float32)
            | (DataType::Float64, Kind::Float64)
            | (DataType::Boolean, Kind::Boolean)
            | (DataType::Utf8View, Kind::String)
    )
}

/// The numbers that stand for the values; logical types have such, but their text is another.
fn integers(array: &ArrayRef, as_text: bool) -> Option<Int64Array> {
    Some(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().unary(i64::from),
        DataType::Int16 => array.as_primitive::<Int16Type>().unary(i64::from),
        DataType::Int32 => array.as_primitive::<Int32Type>().unary(i64::from),
        DataType::Int64 => array.as_primitive::<Int64Type>().clone(),
        DataType::Boolean => array.as_boolean().iter().map(|bit| bit.map(i64::from)).collect(),
        _ if as_text => return None,
        DataType::Date32 => array.as_primitive::<Date32Type>().unary(i64::from),
        DataType::Time32(_) => array.as_primitive::<Time32MillisecondType>().unary(i64::from),
        DataType::Timestamp(..) => {
            array.as_primitive::<TimestampMillisecondType>().reinterpret_cast()
        }
        _ => return None,
    })
}

fn from_integers(array: &Int64Array, target: Kind) -> Option<ArrayRef> {
    Some(match target {
        Kind::Int8 => Arc::new(array.unary::<_, Int8Type>(|n| n as i8)),
        Kind::Int16 => Arc::new(array.unary::<_, Int16Type>(|n| n as i16)),
        Kind::Int32 => Arc::new(array.unary::<_, Int32Type>(|n| n as i32)),
        Kind::Int64 => Arc::new(array.clone()),
        Kind::Float32 => Arc::new(array.unary::<_, Float32Type>(|n| n as f32)),
        Kind::Float64 => Arc::new(array.unary::<_, Float64Type>(|n| n as f64)),
        Kind::Boolean => Arc::new(BooleanArray::from_unary(array, |n| n != 0)),
        Kind::String => texts(array, append_integer),
        _ => return None,
    })
}

/// To a type other than text.
fn from_floating(array: &Float64Array, target: Kind) -> ArrayRef {
    match target {
        Kind::Int8 => Arc::new(array.unary::<_, Int8Type>(|n| n as i32 as i8)),
        Kind::Int16 => Arc::new(array.unary::<_, Int16Type>(|n| n as i32 as i16)),
        Kind::Int32 => Arc::new(array.unary::<_, Int32Type>(|n| n as i32)),
        Kind::Float32 => Arc::new(array.unary::<_, Float32Type>(|n| n as f32)),
        Kind::Float64 => Arc::new(array.clone()),
        Kind::Boolean => Arc::new(BooleanArray::from_unary(array, |n| n as i64 != 0)),
        _ => Arc::new(array.unary::<_, Int64Type>(|n| n as i64)),
    }
}

fn texts<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    append: fn(T::Native, &mut Vec<u8>),
) -> ArrayRef {
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut text = Vec::new();
    for number in array {
        match number {
            Some(number) => {
                text.clear();
                append(number, &mut text);
                texts.append_value(str::from_utf8(&text).expect("numbers are ASCII"));
            }
            None => texts.append_null(),
        }
    }
    let texts: StringViewArray = texts.finish();
    Arc::new(texts)
}
