//! Turns a number's text into every type of number, by Java's conversions.

use num_bigint::BigInt;

use crate::data::Decimal;

/// A JSON number as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    text: &'a str,
    form: NumberForm,
    /// The low 64 bits of all digits before the exponent, read as one number.
    digits: u64,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberForm {
    /// `12`
    Integer,
    /// `12.34`
    Point { places: usize },
    /// `12.34e5`
    Exponent,
}

/// `12.34e5`: the digits before and after the point, and the exponent.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Number<'a> {
    #[inline]
    pub(super) fn new(text: &'a str, form: NumberForm, digits: u64) -> Self {
        Self { text, form, digits }
    }

    /// Whether there is neither point nor exponent.
    #[inline]
    pub fn is_integer(self) -> bool {
        self.form == NumberForm::Integer
    }

    /// Whether it is written with an exponent.
    #[inline]
    pub fn has_exponent(self) -> bool {
        self.form == NumberForm::Exponent
    }

    #[inline]
    fn is_negative(self) -> bool {
        self.text.starts_with('-')
    }

    /// The low 64 bits of the number without its fraction (`longValue`).
    #[inline]
    pub fn to_i64(self) -> i64 {
        let magnitude = if self.is_integer() { self.digits } else { self.truncated() };
        let magnitude = magnitude.cast_signed();
        if self.is_negative() { magnitude.wrapping_neg() } else { magnitude }
    }

    fn truncated(self) -> u64 {
        let parts = self.parts();
        let digits = parts.whole.bytes().chain(parts.fraction.bytes());
        let count = parts.whole.len() + parts.fraction.len();
        let Ok(kept) = usize::try_from(parts.whole.len() as i64 + parts.exponent) else {
            return 0;
        };
        // From 64 zeros on, nothing is left of the low 64 bits.
        let zeros = kept.saturating_sub(count).min(64);
        let digits = digits.take(kept).chain(std::iter::repeat_n(b'0', zeros));
        digits.fold(0, |n: u64, d| n.wrapping_mul(10).wrapping_add(u64::from(d - b'0')))
    }

    /// The number if it is an integer within 32 bits (`isInt`).
    pub fn to_i32_exact(self) -> Option<i32> {
        let in_range = || self.text.trim_start_matches(['-', '0']).len() <= 10;
        (self.is_integer() && in_range()).then(|| self.to_i64()).and_then(|n| n.try_into().ok())
    }

    /// The nearest `double`; there is no negative zero in a `BigDecimal`.
    #[inline]
    pub fn to_f64(self) -> f64 {
        self.short_to_f64().unwrap_or_else(|| self.long_to_f64())
    }

    fn long_to_f64(self) -> f64 {
        let number: f64 = self.text.parse().expect("Rust reads every JSON number");
        if number == 0.0 && self.is_zero() { 0.0 } else { number }
    }

    /// The number if it is a quotient of two that a `double` holds exactly: then the processor's
    /// division gives the nearest one.
    #[inline]
    fn short_to_f64(self) -> Option<f64> {
        /// Digits, point and sign of a number that cannot have lost bits in `digits`.
        const WHOLE: usize = 18;
        const LARGEST_EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        const POWERS: [f64; WHOLE] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
            1e16, 1e17,
        ];
        let places = match self.form {
            NumberForm::Integer => 0,
            NumberForm::Point { places } => places,
            NumberForm::Exponent => return None,
        };
        if self.text.len() > WHOLE || self.digits > LARGEST_EXACT {
            return None;
        }
        let magnitude = self.digits as f64 / POWERS[places];
        Some(if self.is_negative() && self.digits > 0 { -magnitude } else { magnitude })
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

/// Appends the digits that `text` begins with to those of `number`, and gives their count.
#[inline]
pub(super) fn append_leading_digits(number: &mut u64, text: [u8; 8]) -> usize {
    const POWERS: [u64; 9] =
        [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let word = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is more than nine.
    let others =
        (((word & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() / 8;
    // What follows the digits goes, and zeros come before them.
    let digits = word.checked_shl(64 - 8 * count).unwrap_or(0);
    *number = number.wrapping_mul(POWERS[count as usize]).wrapping_add(eight_digits(digits));
    count as usize
}

/// Eight digits at once, a byte each: neighbours become pairs, pairs fours, fours the number.
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::super::Reader;

    /// What follows a number, so that its digits end within eight bytes and at the text's end.
    const AFTER: [&str; 4] = ["", ",", "]  ,", "/:;0123456789"];

    #[test]
    fn digits_are_read_eight_at_a_time_as_one_by_one() {
        let numbers = [0, 7, 12_345_678, 123_456_789, 90_000_001, 99_999_999, i64::MAX];
        for (number, after) in numbers.iter().flat_map(|n| AFTER.map(|after| (*n, after))) {
            for zeros in 0..9 {
                let digits = format!("{}{number}", "0".repeat(zeros));
                let text = format!("{digits}{after}");
                let mut reader = Reader::new(&text);
                assert_eq!(reader.take_number().unwrap().to_i64(), number, "{text}");
                assert_eq!(reader.position(), digits.len(), "{text}");
            }
        }
        // Of more than 64 bits the low ones are left.
        let long = Reader::new("18446744073709551617").take_number().unwrap();
        assert_eq!(long.to_i64(), 1);
    }

    #[test]
    fn doubles_are_the_nearest() {
        let digits = ["0", "1", "9007199254740991", "9007199254740993", "123456789012345678"];
        for digits in digits.into_iter().chain(["99999999999999999", "4503599627370497", "35"]) {
            for places in 0..=digits.len() {
                let (whole, fraction) = digits.split_at(digits.len() - places);
                let point = if places == 0 { "" } else { "." };
                let text = format!("0{whole}{point}{fraction}");
                let number = Reader::new(&text).take_number().unwrap().to_f64();
                assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
            }
        }
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
