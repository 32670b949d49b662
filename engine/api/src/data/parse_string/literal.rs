//! Reads dates, times, timestamps and numbers out of header text, as leniently as Java does.

use num_bigint::BigInt;

use crate::data::calendar::{FIRST_GREGORIAN_DAY, days_from_civil, days_from_julian};
use crate::data::{Decimal, MILLIS_A_DAY, Schema, SchemaRef, Value};

/// Longer numbers are taken for text: reading them would take longer than they are worth.
const MAX_NUMBER: usize = 10_000;

/// A date, time or timestamp; the length decides which it may be. Backslashes before colons do not
/// count.
pub(super) fn temporal(text: &str) -> Option<(SchemaRef, Value)> {
    let text = text.replace("\\:", ":");
    let mut fields = Fields(&text);
    match text.encode_utf16().count() {
        10 => {
            let days = i32::try_from(fields.date()?).ok()?;
            Some((Schema::date_builder().build(), Value::Date(days)))
        }
        13 => {
            let millis = i32::try_from(fields.time()?).ok()?;
            Some((Schema::time_builder().build(), Value::Time(millis)))
        }
        24 => {
            let days = fields.date()?;
            fields.literal('T')?;
            let millis = days.checked_mul(MILLIS_A_DAY)?.checked_add(fields.time()?)?;
            Some((Schema::timestamp_builder().build(), Value::Timestamp(millis)))
        }
        _ => None,
    }
}

/// What is left of a text, of which fields are taken as `SimpleDateFormat` takes them: any number
/// of digits, any amount, and whatever follows the last one is ignored.
struct Fields<'a>(&'a str);

impl Fields<'_> {
    fn number(&mut self) -> Option<i64> {
        let text = self.0.trim_start_matches([' ', '\t']);
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
        self.0 = rest;
        digits.parse().ok()
    }

    fn literal(&mut self, c: char) -> Option<()> {
        self.0 = self.0.strip_prefix(c)?;
        Some(())
    }

    fn date(&mut self) -> Option<i64> {
        let year = self.number()?;
        self.literal('-')?;
        let month = self.number()?;
        self.literal('-')?;
        let day = self.number()?;
        Some(days(year, month, day))
    }

    fn time(&mut self) -> Option<i64> {
        let hours = self.number()?;
        self.literal(':')?;
        let minutes = self.number()?;
        self.literal(':')?;
        let seconds = self.number()?;
        self.literal('.')?;
        let millis = self.number()?;
        self.literal('Z')?;
        Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
    }
}

/// Days since the epoch. Months and days may be out of range; before 15 October 1582 the calendar
/// is the Julian one, as in `GregorianCalendar`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) as u32 + 1);
    let gregorian = days_from_civil(year, month, 1) + day - 1;
    if gregorian >= FIRST_GREGORIAN_DAY {
        return gregorian;
    }
    days_from_julian(year, month, 1) + day - 1
}

/// A number: the smallest integer that holds it, else the smallest float that is finite, even if
/// digits are lost; past these, and for integers past 64 bits, a decimal.
pub(super) fn number(text: &str) -> Option<(SchemaRef, Value)> {
    let decimal = decimal(text)?;
    if let Some(integer) = decimal.to_i64() {
        return Some(smallest(integer));
    }
    if decimal.scale != 0 {
        let single: f32 = text.parse().ok()?;
        if single.is_finite() {
            return Some(with_schema(Value::Float32(single)));
        }
        let double: f64 = text.parse().ok()?;
        if double.is_finite() {
            return Some(with_schema(Value::Float64(double)));
        }
    }
    let magnitude: BigInt = decimal.digits.parse().ok()?;
    let value = Value::Decimal(Decimal {
        unscaled: if decimal.negative { -magnitude } else { magnitude },
        scale: decimal.scale,
    });
    Some((Schema::decimal_builder(decimal.scale).build(), value))
}

fn smallest(n: i64) -> (SchemaRef, Value) {
    let value = i8::try_from(n)
        .map(Value::Int8)
        .or_else(|_| i16::try_from(n).map(Value::Int16))
        .or_else(|_| i32::try_from(n).map(Value::Int32))
        .unwrap_or(Value::Int64(n));
    with_schema(value)
}

fn with_schema(value: Value) -> (SchemaRef, Value) {
    use crate::data::Kind;
    let kind = match value {
        Value::Int8(_) => Kind::Int8,
        Value::Int16(_) => Kind::Int16,
        Value::Int32(_) => Kind::Int32,
        Value::Int64(_) => Kind::Int64,
        Value::Float32(_) => Kind::Float32,
        _ => Kind::Float64,
    };
    (Schema::builder(kind).build(), value)
}

/// A `BigDecimal` before its digits became a number.
struct Digits {
    negative: bool,
    digits: String,
    scale: i32,
}

impl Digits {
    /// The number, if it is whole and fits.
    fn to_i64(&self) -> Option<i64> {
        let significant = self.digits.trim_start_matches('0');
        if significant.is_empty() {
            return Some(0);
        }
        let kept = significant.trim_end_matches('0');
        let scale = i64::from(self.scale) - (significant.len() - kept.len()) as i64;
        if scale > 0 || kept.len() as i64 - scale > 19 {
            return None;
        }
        let magnitude = kept.parse::<i128>().ok()? * 10_i128.pow(u32::try_from(-scale).ok()?);
        let number = if self.negative { -magnitude } else { magnitude };
        i64::try_from(number).ok()
    }
}

fn decimal(text: &str) -> Option<Digits> {
    if text.len() > MAX_NUMBER {
        return None;
    }
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = i32::try_from(fraction.len() as i64 - exponent).ok()?;
    Some(Digits { negative, digits, scale })
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let size: i64 = match significant.len() {
        0 => 0,
        1..=10 => significant.parse().ok()?,
        _ => return None,
    };
    Some(if text.starts_with('-') { -size } else { size })
}
