//! Which numbers JSON has words for: Jackson writes infinite ones as text, which is no number when
//! it is read again, and reads `-0.0` as a `BigDecimal`, which has no sign for zero.

use millrace_api::data::Value;

/// Whether no number in it is infinite, or none, or zero with a sign.
pub(crate) fn is_plain(value: &Value) -> bool {
    let plain = |number: f64| number.is_finite() && (number != 0.0 || number.is_sign_positive());
    match value {
        Value::Float32(number) => plain(f64::from(*number)),
        Value::Float64(number) => plain(*number),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Map(entries) => entries.iter().all(|(k, v)| is_plain(k) && is_plain(v)),
        Value::Struct(fields) => fields.values().iter().all(is_plain),
        _ => true,
    }
}
