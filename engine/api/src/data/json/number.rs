//! Turns a number's text into every type of number, by Java's conversions.

use num_bigint::BigInt;

use crate::data::Decimal;

/// A JSON number as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    text: &'a str,
    is_integer: bool,
}

/// `12.34e5`: the digits before and after the point, and the exponent.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Number<'a> {
    pub(super) fn new(text: &'a str, is_integer: bool) -> Self {
        Self { text, is_integer }
    }

    /// Whether there is neither point nor exponent.
    pub fn is_integer(self) -> bool {
        self.is_integer
    }

    /// The low 64 bits of the number without its fraction (`longValue`).
    pub fn to_i64(self) -> i64 {
        let (negative, digits) = match self.text.as_bytes() {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let magnitude = if self.is_integer { low_bits(digits) } else { self.truncated() };
        if negative { magnitude.wrapping_neg() } else { magnitude }
    }

    fn truncated(self) -> i64 {
        let parts = self.parts();
        let digits = parts.whole.bytes().chain(parts.fraction.bytes());
        let count = parts.whole.len() + parts.fraction.len();
        let Ok(kept) = usize::try_from(parts.whole.len() as i64 + parts.exponent) else {
            return 0;
        };
        // From 64 zeros on, nothing is left of the low 64 bits.
        let zeros = kept.saturating_sub(count).min(64);
        let digits: Vec<u8> = digits.take(kept).chain(std::iter::repeat_n(b'0', zeros)).collect();
        low_bits(&digits)
    }

    /// The number if it is an integer within 32 bits (`isInt`).
    pub fn to_i32_exact(self) -> Option<i32> {
        let in_range = || self.text.trim_start_matches(['-', '0']).len() <= 10;
        (self.is_integer && in_range()).then(|| self.to_i64()).and_then(|n| n.try_into().ok())
    }

    /// The nearest `double`; there is no negative zero in a `BigDecimal`.
    pub fn to_f64(self) -> f64 {
        let number: f64 = self.text.parse().expect("Rust reads every JSON number");
        if number == 0.0 && self.is_zero() { 0.0 } else { number }
    }

    /// The nearest `float`.
    pub fn to_f32(self) -> f32 {
        let number: f32 = self.text.parse().expect("Rust reads every JSON number");
        if number == 0.0 && self.is_zero() { 0.0 } else { number }
    }

    fn is_zero(self) -> bool {
        let mantissa = self.text.split(['e', 'E']).next().unwrap_or("");
        !mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'))
    }

    /// The number as it stands: `1.50` has scale 2, `1e3` has scale -3.
    pub fn to_decimal(self) -> Decimal {
        let parts = self.parts();
        let digits = [parts.whole, parts.fraction].concat();
        let magnitude: BigInt = digits.parse().expect("these are digits");
        let scale = parts.fraction.len() as i64 - parts.exponent;
        Decimal {
            unscaled: if parts.negative { -magnitude } else { magnitude },
            scale: i32::try_from(scale).expect("the reader has checked the range"),
        }
    }

    fn parts(self) -> Parts<'a> {
        let (negative, text) = match self.text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, self.text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Parts {
            negative,
            whole,
            fraction,
            exponent: exponent.parse().expect("the reader has checked the range"),
        }
    }
}

fn low_bits(digits: &[u8]) -> i64 {
    let mut chunks = digits.chunks_exact(8);
    let mut number = 0i64;
    for chunk in &mut chunks {
        let eight = eight_digits(chunk.try_into().expect("the chunk has eight bytes"));
        number = number.wrapping_mul(100_000_000).wrapping_add(eight);
    }
    let rest = chunks.remainder();
    rest.iter().fold(number, |n, d| n.wrapping_mul(10).wrapping_add(i64::from(d - b'0')))
}

/// Eight digits at once: neighbours become pairs, pairs fours, fours the number.
fn eight_digits(digits: [u8; 8]) -> i64 {
    let digits = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    i64::try_from(eight).expect("it has eight digits")
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::low_bits;

    #[test]
    fn digits_are_read_eight_at_a_time_as_one_by_one() {
        for number in [0, 7, 12_345_678, 123_456_789, 90_000_001, 99_999_999, i64::MAX] {
            for zeros in 0..9 {
                let text = format!("{}{number}", "0".repeat(zeros));
                assert_eq!(low_bits(text.as_bytes()), number, "{text}");
            }
        }
        // Of more than 64 bits the low ones are left.
        assert_eq!(low_bits(b"18446744073709551617"), 1);
    }

    #[test]
    fn numbers_convert_as_in_java() {
        let cases: [(&str, i64, f64, &str); 16] = [
            ("1", 1, 1.0, "1"),
            ("-007", -7, -7.0, "-7"),
            ("9223372036854775808", i64::MIN, 9_223_372_036_854_775_808.0, "9223372036854775808"),
            ("18446744073709551616", 0, 18_446_744_073_709_551_616.0, "18446744073709551616"),
            ("1.9", 1, 1.9, "1.9"),
            ("-1.9", -1, -1.9, "-1.9"),
            ("0.001", 0, 0.001, "0.001"),
            ("1e3", 1000, 1000.0, "1E+3"),
            ("12.345e2", 1234, 1234.5, "1234.5"),
            ("1e-3", 0, 0.001, "0.001"),
            ("1e19", -8_446_744_073_709_551_616, 1e19, "1E+19"),
            ("1e63", i64::MIN, 1e63, "1E+63"),
            ("3e64", 0, 3e64, "3E+64"),
            ("1e2147483647", 0, f64::INFINITY, "1E+2147483647"),
            ("1.50", 1, 1.5, "1.50"),
            ("-0.0", 0, 0.0, "0.0"),
        ];
        for (text, long, double, decimal) in cases {
            let number = Reader::new(text).take_number().unwrap();
            assert_eq!(number.to_i64(), long, "{text}");
            assert_eq!(number.to_f64().to_bits(), double.to_bits(), "{text}");
            assert_eq!(number.to_decimal().to_string(), decimal, "{text}");
        }
        let exact = |text| Reader::new(text).take_number().unwrap().to_i32_exact();
        assert_eq!(exact("2147483647"), Some(i32::MAX));
        assert_eq!(exact("2147483648"), None);
        assert_eq!(exact("18446744073709551617"), None);
        assert_eq!(exact("1.0"), None);
    }
}
