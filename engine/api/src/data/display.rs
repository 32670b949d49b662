//! Prints values as Java's `toString` does: this text is what StringConverter and FileStreamSink
//! write.

use std::fmt;
use std::io::Write as _;

use num_bigint::{BigInt, Sign};

use crate::data::calendar::{MILLIS_A_DAY, java_date_from_days};
use crate::data::hash_order::{in_hash_map_order, java_hash};
use crate::data::{Decimal, Struct, Value};

/// A `double` as Java prints it: `1.0`, `1.0E21`, `1.0E-7`, `NaN`, `-Infinity`. The digits are the
/// shortest that read back as the same number (JDK 19 and later; older ones print some numbers
/// with a digit too many).
pub fn java_double(number: f64) -> String {
    let mut text = Vec::new();
    append_java_double(number, &mut text);
    String::from_utf8(text).expect("numbers are ASCII")
}

/// A `float` as Java prints it, from its own shortest digits.
pub fn java_single(number: f32) -> String {
    let mut text = Vec::new();
    append_java_single(number, &mut text);
    String::from_utf8(text).expect("numbers are ASCII")
}

/// Appends an integer.
pub fn append_integer(number: i64, out: &mut Vec<u8>) {
    const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324\
        25262728293031323334353637383940414243444546474849\
        50515253545556575859606162636465666768697071727374\
        75767778798081828384858687888990919293949596979899";
    let mut digits = [0; 20];
    let mut rest = number.unsigned_abs();
    let count = digit_count(rest);
    let mut end = count;
    while rest >= 100 {
        let pair = (rest % 100) as usize * 2;
        rest /= 100;
        digits[end - 2..end].copy_from_slice(&PAIRS[pair..pair + 2]);
        end -= 2;
    }
    if rest >= 10 {
        let pair = rest as usize * 2;
        digits[..2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        digits[0] = b'0' + rest as u8;
    }
    if number < 0 {
        out.push(b'-');
    }
    // Taking some of it back costs less than copying a number of bytes that nobody foresees.
    out.extend_from_slice(&digits);
    out.truncate(out.len() - (digits.len() - count));
}

/// How many digits a number has: its bits say it but for one.
fn digit_count(number: u64) -> usize {
    const POWERS: [u64; 20] = {
        let mut powers = [0; 20];
        let mut i = 1;
        while i < 20 {
            powers[i] = 10u64.pow(i as u32);
            i += 1;
        }
        powers
    };
    // The logarithm of 2 is 1233/4096, near enough for 64 bits.
    let bits = (u64::BITS - (number | 1).leading_zeros()) as usize;
    let least = (bits * 1233) >> 12;
    least + usize::from(number >= POWERS[least])
}

/// Magnitudes that Java writes without an exponent, as `ryu` does. Of two shortest texts that are as
/// near to the number, both take the one with the even digit at its end.
const PLAIN: std::ops::Range<f64> = 1e-3..1e7;

/// Appends the text of [`java_double`].
pub fn append_java_double(number: f64, out: &mut Vec<u8>) {
    if append_few_places(number, out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format(number);
    if number.abs() < 2e-322 && has_one_digit(shortest) {
        return append_exponential(&format!("{number:.1e}"), out);
    }
    append_java_float(number, shortest, out);
}

/// Appends a number that needs at most three digits behind the point, as amounts do; false leaves
/// all others. No two numbers of so few digits are the same double, so there is no shorter text.
fn append_few_places(number: f64, out: &mut Vec<u8>) -> bool {
    let magnitude = number.abs();
    if !PLAIN.contains(&magnitude) {
        return false;
    }
    let thousandths = (magnitude * 1000.0 + 0.5) as i64;
    if thousandths as f64 / 1000.0 != magnitude {
        return false;
    }
    if number < 0.0 {
        out.push(b'-');
    }
    append_integer(thousandths / 1000, out);
    let fraction = (thousandths % 1000) as u32;
    let digit = |unit: u32| b'0' + (fraction / unit % 10) as u8;
    let text = [b'.', digit(100), digit(10), digit(1)];
    let zeros = [10, 100].into_iter().filter(|unit| fraction.is_multiple_of(*unit)).count();
    // Taking some of it back costs less than copying a number of bytes that nobody foresees.
    out.extend_from_slice(&text);
    out.truncate(out.len() - zeros);
    true
}

/// Appends the text of [`java_single`].
pub fn append_java_single(number: f32, out: &mut Vec<u8>) {
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format(number);
    if number.abs() < 2e-43 && has_one_digit(shortest) {
        return append_exponential(&format!("{number:.1e}"), out);
    }
    append_java_float(f64::from(number), shortest, out);
}

/// Java wants two digits where there is a choice, which only the smallest numbers leave.
fn has_one_digit(shortest: &str) -> bool {
    shortest.contains('e') && !shortest.contains('.')
}

/// `shortest` is what `ryu` writes: plain in `PLAIN` and somewhat beyond, else `d.dde-x`.
fn append_java_float(number: f64, shortest: &str, out: &mut Vec<u8>) {
    if PLAIN.contains(&number.abs()) || number == 0.0 {
        out.extend_from_slice(shortest.as_bytes());
    } else if number.is_finite() {
        append_exponential(shortest, out);
    } else if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if number < 0.0 { b"-Infinity" } else { b"Infinity" });
    }
}

/// Appends a number other than 0, in whatever notation, as `d.ddE-x`.
fn append_exponential(number: &str, out: &mut Vec<u8>) {
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let point = unsigned.find('.').unwrap_or(unsigned.len());
    let zeros = unsigned.bytes().take_while(|b| matches!(b, b'0' | b'.')).count();
    let first = if zeros > point { point as i32 - zeros as i32 } else { point as i32 - 1 };
    let exponent = exponent.parse::<i32>().expect("what follows an e is a number") + first;
    out.extend_from_slice(if unsigned.len() < mantissa.len() { b"-" } else { b"" });
    append_mantissa(&unsigned.as_bytes()[zeros..], out);
    write!(out, "E{exponent}").expect("memory takes every write");
}

/// The digits with a point behind the first, without the zeros at their end but for one.
fn append_mantissa(digits: &[u8], out: &mut Vec<u8>) {
    let significant = digits.iter().rposition(|b| matches!(b, b'1'..=b'9')).map_or(0, |at| at + 1);
    let mut digits = digits[..significant].iter().copied().filter(|b| *b != b'.');
    out.extend(digits.next());
    out.push(b'.');
    let whole = out.len();
    out.extend(digits);
    if out.len() == whole {
        out.push(b'0');
    }
}

/// `BigDecimal.toPlainString`.
impl Decimal {
    /// The number without an exponent, with exactly `scale` digits after the point.
    pub fn to_plain_string(&self) -> String {
        let (sign, digits) = self.sign_and_digits();
        if self.scale <= 0 {
            if self.unscaled == BigInt::ZERO {
                return "0".into();
            }
            return format!("{sign}{digits}{}", "0".repeat(self.scale.unsigned_abs() as usize));
        }
        let scale = self.scale as usize;
        if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        } else {
            format!("{sign}0.{}{digits}", "0".repeat(scale - digits.len()))
        }
    }

    fn sign_and_digits(&self) -> (&'static str, String) {
        let sign = if self.unscaled.sign() == Sign::Minus { "-" } else { "" };
        (sign, self.unscaled.magnitude().to_string())
    }
}

/// `BigDecimal.toString`: plain, or scientific for a negative scale and for tiny numbers.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, digits) = self.sign_and_digits();
        let adjusted = digits.len() as i64 - 1 - i64::from(self.scale);
        if self.scale >= 0 && adjusted >= -6 {
            return f.write_str(&self.to_plain_string());
        }
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        if adjusted == 0 {
            return write!(f, "{sign}{first}{point}{rest}");
        }
        write!(f, "{sign}{first}{point}{rest}E{adjusted:+}")
    }
}

/// Appends `java.util.Date.toString` in UTC: `Wed Dec 06 03:54:49 UTC 2023`. Years before the first
/// count backwards, and nothing says so.
pub(super) fn append_java_date(millis: i64, out: &mut Vec<u8>) {
    const WEEKDAYS: [&[u8; 4]; 7] = [b"Thu ", b"Fri ", b"Sat ", b"Sun ", b"Mon ", b"Tue ", b"Wed "];
    const MONTHS: [&[u8; 4]; 12] = [
        b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ",
        b"Nov ", b"Dec ",
    ];
    let days = millis.div_euclid(MILLIS_A_DAY);
    let seconds = (millis.rem_euclid(MILLIS_A_DAY) / 1000) as u32;
    let (year, month, day) = java_date_from_days(days);
    let two = |number: u32| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    let mut text = *b"Thu Jan 01 00:00:00 UTC ";
    text[..4].copy_from_slice(WEEKDAYS[days.rem_euclid(7) as usize]);
    text[4..8].copy_from_slice(MONTHS[month as usize - 1]);
    text[8..10].copy_from_slice(&two(day));
    text[11..13].copy_from_slice(&two(seconds / 3600));
    text[14..16].copy_from_slice(&two(seconds / 60 % 60));
    text[17..19].copy_from_slice(&two(seconds % 60));
    out.extend_from_slice(&text);
    append_integer(if year > 0 { year } else { 1 - year }, out);
}

fn write_java_date(f: &mut fmt::Formatter<'_>, millis: i64) -> fmt::Result {
    let mut text = Vec::with_capacity(32);
    append_java_date(millis, &mut text);
    f.write_str(std::str::from_utf8(&text).expect("dates are ASCII"))
}

impl fmt::Display for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Struct{")?;
        let set = self.schema().fields().iter().zip(self.values()).filter(|(_, v)| !v.is_null());
        for (i, (field, value)) in set.enumerate() {
            write!(f, "{}{}={value}", if i == 0 { "" } else { "," }, field.name)?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Int8(n) => write!(f, "{n}"),
            Self::Int16(n) => write!(f, "{n}"),
            Self::Int32(n) => write!(f, "{n}"),
            Self::Int64(n) => write!(f, "{n}"),
            Self::Float32(n) => f.write_str(&java_single(*n)),
            Self::Float64(n) => f.write_str(&java_double(*n)),
            Self::Boolean(b) => write!(f, "{b}"),
            Self::String(s) => f.write_str(s),
            // Java prints the array's identity, which says nothing and changes from run to run.
            Self::Bytes(b) => write!(f, "[B@{:x}", b.len()),
            Self::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                let entries = in_hash_map_order(entries, |(key, _)| java_hash(key));
                for (i, (key, value)) in entries.into_iter().enumerate() {
                    write!(f, "{}{key}={value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Self::Struct(s) => write!(f, "{s}"),
            Self::Decimal(d) => write!(f, "{d}"),
            Self::Date(days) => write_java_date(f, i64::from(*days) * MILLIS_A_DAY),
            Self::Time(millis) => write_java_date(f, i64::from(*millis)),
            Self::Timestamp(millis) => write_java_date(f, *millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_print_as_in_java() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (1.5, "1.5"),
            (1e21, "1.0E21"),
            (1e-7, "1.0E-7"),
            (123_456_789.0, "1.23456789E8"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (0.001, "0.001"),
            (0.00123, "0.00123"),
            (0.000_999, "9.99E-4"),
            (100.25, "100.25"),
            (-12.0, "-12.0"),
            (f64::NAN, "NaN"),
            (12_345.678, "12345.678"),
            (-0.012_5, "-0.0125"),
            (f64::MAX, "1.7976931348623157E308"),
            (5e-324, "4.9E-324"),
            (1e-323, "9.9E-324"),
            (2e-323, "2.0E-323"),
            (1e-322, "9.9E-323"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in cases {
            assert_eq!(java_double(number), text);
        }
        assert_eq!(java_single(1.234_567_9), "1.2345679");
        assert_eq!(java_single(1e10), "1.0E10");
        assert_eq!(java_single(f32::from_bits(1)), "1.4E-45");
        assert_eq!(java_single(2e-44), "2.0E-44");
        // Between two texts: the even one.
        assert_eq!(java_single(2_848_787.2), "2848787.2");
        assert_eq!(java_single(12_345_678.0), "1.2345678E7");
        assert_eq!(java_double(0.000_123), "1.23E-4");
        assert_eq!(java_double(-1e16), "-1.0E16");
        assert_eq!(java_double(10_200_300.0), "1.02003E7");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn amounts_print_without_a_search_as_with_one(
            units in -10_000_000_000..10_000_000_000i64,
            places in 3..6,
            neighbour in -1..=1i64,
        ) {
            let amount = units as f64 / 10f64.powi(places);
            let number = f64::from_bits(amount.to_bits().saturating_add_signed(neighbour));
            prop_assume!(PLAIN.contains(&number.abs()));
            let mut searched = ryu::Buffer::new();
            prop_assert_eq!(java_double(number), searched.format(number));
        }

        #[test]
        fn floats_read_back_and_none_is_longer_than_need_be(
            bits in any::<u64>(),
            digits in -10_000_000..10_000_000i32,
            places in -12..12i32,
        ) {
            let few = f64::from(digits) / 10f64.powi(places);
            for number in [f64::from_bits(bits), few] {
                let text = java_double(number);
                let back: f64 = text.replace("E", "e").parse().unwrap();
                prop_assert!(back == number || number.is_nan(), "{}", text);
                let single = number as f32;
                let text = java_single(single);
                let back: f32 = text.replace("E", "e").parse().unwrap();
                prop_assert!(back == single || single.is_nan(), "{}", text);
                // Rust's own shortest form, with a point and a digit where it has none.
                prop_assert!(text.len() <= format!("{single:e}").len().max(12) + 2, "{}", text);
            }
        }
    }

    #[test]
    fn decimals_print_as_in_java() {
        let cases = [
            (110, 2, "1.10", "1.10"),
            (-5, 3, "-0.005", "-0.005"),
            (5, 0, "5", "5"),
            (5, -2, "5E+2", "500"),
            (123, -1, "1.23E+3", "1230"),
            (1, 7, "1E-7", "0.0000001"),
            (0, 2, "0.00", "0.00"),
        ];
        for (unscaled, scale, text, plain) in cases {
            let d = Decimal { unscaled: BigInt::from(unscaled), scale };
            assert_eq!((d.to_string().as_str(), d.to_plain_string().as_str()), (text, plain));
        }
    }

    #[test]
    fn maps_print_in_the_order_of_javas_hash_map() {
        let map = |keys: &[&str]| {
            Value::Map(keys.iter().zip(0..).map(|(k, i)| ((*k).into(), Value::Int32(i))).collect())
        };
        assert_eq!(map(&["z", "a"]).to_string(), "{a=1, z=0}");
        assert_eq!(map(&["a", "topic", "p"]).to_string(), "{p=2, a=0, topic=1}");
        let keys: Vec<String> = (0..13).map(|i| format!("k{i}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let printed = map(&keys).to_string();
        let order: Vec<&str> = printed
            .trim_matches(['{', '}'])
            .split(", ")
            .map(|e| e.split_once('=').unwrap().0)
            .collect();
        assert_eq!(
            order,
            ["k0", "k1", "k2", "k3", "k4", "k5", "k11", "k6", "k10", "k7", "k8", "k12", "k9"]
        );
    }

    #[test]
    fn dates_print_as_in_java() {
        let cases = [
            (1_701_834_889_000, "Wed Dec 06 03:54:49 UTC 2023"),
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (-12_219_292_800_000, "Fri Oct 15 00:00:00 UTC 1582"),
            (-12_219_292_800_001, "Thu Oct 04 23:59:59 UTC 1582"),
            (-14_825_808_000_000, "Sun Mar 01 00:00:00 UTC 1500"),
            (-14_825_808_000_001, "Sat Feb 29 23:59:59 UTC 1500"),
            (-62_135_769_600_001, "Fri Dec 31 23:59:59 UTC 1"),
        ];
        for (millis, text) in cases {
            assert_eq!(Value::Timestamp(millis).to_string(), text);
        }
    }
}
