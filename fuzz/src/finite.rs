//! Which values JSON has words for: Jackson writes infinite numbers as text, which is no number
//! when it is read again.

use millrace_api::data::Value;

/// Whether no number in it is infinite, or none.
pub(crate) fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float32(number) => number.is_finite(),
        Value::Float64(number) => number.is_finite(),
        Value::Array(items) => items.iter().all(is_finite),
        Value::Map(entries) => entries.iter().all(|(k, v)| is_finite(k) && is_finite(v)),
        Value::Struct(fields) => fields.values().iter().all(is_finite),
        _ => true,
    }
}
