//! Decides the order in which a Java `HashMap` gives its entries back.
//!
//! Connect holds maps in `HashMap`s: their text (`StringConverter`, `FileStreamSink`) and the bytes
//! of offset keys have this order.

use num_bigint::{BigInt, Sign};

use crate::data::{Decimal, MILLIS_A_DAY, Value};

/// The entries in the order of a new `HashMap` that took them in this order. Entries whose keys
/// have a hash that changes from run to run (byte arrays, structs) stay in the order they have.
pub fn in_hash_map_order<T>(entries: &[T], hash: impl Fn(&T) -> Option<i32>) -> Vec<&T> {
    let Some(hashes) = entries.iter().map(hash).collect::<Option<Vec<i32>>>() else {
        return entries.iter().collect();
    };
    // Twelve entries fill a table of 16 to three quarters; it doubles with the thirteenth.
    let buckets = (entries.len() * 4).div_ceil(3).next_power_of_two().max(16) as u32;
    let bucket = |hash: i32| {
        let hash = hash.cast_unsigned();
        (hash ^ (hash >> 16)) & (buckets - 1)
    };
    let mut ordered: Vec<(u32, &T)> = hashes.into_iter().map(bucket).zip(entries).collect();
    // Stable: entries of one bucket stay in the order they came in.
    ordered.sort_by_key(|(bucket, _)| *bucket);
    ordered.into_iter().map(|(_, entry)| entry).collect()
}

/// `String.hashCode`.
pub fn java_string_hash(text: &str) -> i32 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, add)
}

/// `hashCode` of the object that Java holds a value in; none where that is an accident.
pub(super) fn java_hash(value: &Value) -> Option<i32> {
    Some(match value {
        Value::Null => 0,
        Value::Int8(n) => i32::from(*n),
        Value::Int16(n) => i32::from(*n),
        Value::Int32(n) => *n,
        Value::Int64(n) => folded(*n),
        Value::Float32(n) if n.is_nan() => 0x7fc0_0000,
        Value::Float32(n) => n.to_bits().cast_signed(),
        Value::Float64(n) if n.is_nan() => folded(0x7ff8_0000_0000_0000),
        Value::Float64(n) => folded(n.to_bits().cast_signed()),
        Value::Boolean(true) => 1231,
        Value::Boolean(false) => 1237,
        Value::String(text) => java_string_hash(text),
        Value::Array(items) => items.iter().try_fold(1_i32, |hash, item| {
            Some(hash.wrapping_mul(31).wrapping_add(java_hash(item)?))
        })?,
        Value::Map(entries) => entries.iter().try_fold(0_i32, |hash, (key, value)| {
            Some(hash.wrapping_add(java_hash(key)? ^ java_hash(value)?))
        })?,
        Value::Decimal(Decimal { unscaled, scale }) => {
            integer_hash(unscaled).wrapping_mul(31).wrapping_add(*scale)
        }
        Value::Date(days) => folded(i64::from(*days) * MILLIS_A_DAY),
        Value::Time(millis) => *millis,
        Value::Timestamp(millis) => folded(*millis),
        Value::Bytes(_) | Value::Struct(_) => return None,
    })
}

/// `Long.hashCode`: both halves.
fn folded(number: i64) -> i32 {
    (number ^ (number >> 32)) as i32
}

/// `BigInteger.hashCode`.
fn integer_hash(number: &BigInt) -> i32 {
    let digits = number.magnitude().to_u32_digits();
    let add = |hash: i32, digit: &u32| hash.wrapping_mul(31).wrapping_add(digit.cast_signed());
    let hash = digits.iter().rev().fold(0, add);
    if number.sign() == Sign::Minus { hash.wrapping_neg() } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        for (text, hash) in [("", 0), ("a", 97), ("topic", 110_546_223), ("\u{1f600}", 1_772_899)] {
            assert_eq!(java_string_hash(text), hash, "{text}");
        }
        for (value, hash) in [
            (Value::Int64(-1), 0),
            (Value::Int64(1 << 32), 1),
            (Value::Float64(1.5), 1_073_217_536),
            (Value::Array(vec![Value::Int32(1), Value::Null]), 992),
            (Value::Map(vec![("a".into(), Value::Int32(1))]), 96),
        ] {
            assert_eq!(java_hash(&value), Some(hash), "{value:?}");
        }
        assert_eq!(java_hash(&Value::Bytes(bytes::Bytes::new())), None);
    }
}
