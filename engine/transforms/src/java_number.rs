//! Reads numbers from text, and narrows decimals, as Java's classes do.

use millrace_api::data::Decimal;
use num_bigint::BigInt;

/// `new BigDecimal(text)`.
pub(crate) fn big_decimal(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, signed(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole).to_owned() + fraction;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let magnitude: BigInt = digits.parse().ok()?;
    let scale = i64::try_from(fraction.len()).ok()? - exponent;
    Some(Decimal {
        unscaled: if whole.starts_with('-') { -magnitude } else { magnitude },
        scale: i32::try_from(scale).ok()?,
    })
}

/// An exponent: a sign and up to ten digits.
fn signed(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let count = digits.trim_start_matches('0').len();
    let valid = !digits.is_empty() && digits.bytes().all(|d| d.is_ascii_digit()) && count <= 10;
    if valid { text.parse().ok() } else { None }
}

/// `BigDecimal.longValue`: without the fraction, the low 64 bits.
pub(crate) fn long_value(decimal: &Decimal) -> i64 {
    // Beyond 64 zeros nothing is left of the low 64 bits.
    if decimal.scale <= -64 {
        return 0;
    }
    let power = BigInt::from(10).pow(decimal.scale.unsigned_abs().min(digits(decimal)));
    let whole = if decimal.scale <= 0 {
        &decimal.unscaled * power
    } else if decimal.scale.unsigned_abs() >= digits(decimal) {
        return 0;
    } else {
        &decimal.unscaled / power
    };
    let low = whole.iter_u64_digits().next().unwrap_or(0).cast_signed();
    if whole.sign() == num_bigint::Sign::Minus { low.wrapping_neg() } else { low }
}

/// At least as many as there are.
fn digits(decimal: &Decimal) -> u32 {
    u32::try_from(decimal.unscaled.bits() / 3).unwrap_or(u32::MAX).saturating_add(65)
}

/// `BigDecimal.doubleValue`: the nearest, and no negative zero.
pub(crate) fn double_value(decimal: &Decimal) -> f64 {
    let text = format!("{}e{}", decimal.unscaled, -i64::from(decimal.scale));
    text.parse::<f64>().map_or(f64::NAN, |number| number + 0.0)
}

/// `BigDecimal.floatValue`: the nearest, and no negative zero.
pub(crate) fn float_value(decimal: &Decimal) -> f32 {
    let text = format!("{}e{}", decimal.unscaled, -i64::from(decimal.scale));
    text.parse::<f32>().map_or(f32::NAN, |number| number + 0.0)
}

/// What `Double.parseDouble` and `Float.parseFloat` take, in a form that Rust reads. Java's
/// hexadecimal numbers are refused.
pub(crate) fn floating_text(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c| c <= ' ');
    if !text.contains(|c: char| c.is_ascii_digit()) {
        let word = text.strip_prefix(['+', '-']).unwrap_or(text);
        return matches!(word, "NaN" | "Infinity").then_some(text);
    }
    Some(text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_and_narrowed_as_in_java() {
        let cases = [
            ("1.50", Some((150, 2, 1, 1.5))),
            ("-.5e1", Some((-5, 0, -5, -5.0))),
            ("+7.", Some((7, 0, 7, 7.0))),
            ("-0", Some((0, 0, 0, 0.0))),
            ("1E+3", Some((1, -3, 1000, 1000.0))),
            ("18446744073709551617", None),
            ("1e-2147483647", Some((1, i32::MAX, 0, 0.0))),
            ("1e2147483647", Some((1, -i32::MAX, 0, f64::INFINITY))),
        ];
        for (text, expected) in cases {
            let decimal = big_decimal(text).unwrap();
            let Some((unscaled, scale, long, double)) = expected else {
                assert_eq!(long_value(&decimal), 1);
                continue;
            };
            assert_eq!(decimal, Decimal { unscaled: BigInt::from(unscaled), scale }, "{text}");
            assert_eq!(long_value(&decimal), long, "{text}");
            assert_eq!(double_value(&decimal).to_bits(), f64::to_bits(double), "{text}");
        }
        for text in ["", "-", ".", "e1", "1e", "1e99999999999", " 1", "1 ", "0x1", "1e2147483649"] {
            assert_eq!(big_decimal(text), None, "{text}");
        }
    }

    #[test]
    fn the_low_bits_of_a_long_decimal_are_kept() {
        let digits = "9".repeat(300);
        let decimal = big_decimal(&format!("-{digits}.{digits}")).unwrap();
        // The low 64 bits of 10^300 are nought.
        assert_eq!(long_value(&decimal), 1);
        assert_eq!(long_value(&big_decimal("1e63").unwrap()), i64::MIN);
        assert_eq!(long_value(&big_decimal("3e64").unwrap()), 0);
    }

    #[test]
    fn words_of_floating_point_are_javas() {
        let cases = [(" 1.5f ", Some("1.5")), ("-Infinity", Some("-Infinity")), ("nan", None)];
        for (text, expected) in cases {
            assert_eq!(floating_text(text), expected);
        }
    }
}
