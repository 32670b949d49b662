//! Writes exact numbers in PostgreSQL's binary form of `numeric`: digits to the base 10,000.

use arrow::datatypes::i256;

use crate::cells::Misfit;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
/// The most digits after the point.
const MAX_SCALE: usize = 16_383;
/// The most digits before the point.
const MAX_WHOLE: usize = 131_072;

/// A whole number, counted in `10^-scale`.
pub(super) fn put(unscaled: i256, scale: i32, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if let (Some(number), Ok(scale)) = (unscaled.to_i128(), u32::try_from(scale))
        && let Ok(small) = u64::try_from(number.unsigned_abs())
        && let Some(aligned) = small.checked_mul(10u64.pow(scale.wrapping_neg() % 4))
    {
        put_small(aligned, number < 0, scale, out);
        return Ok(());
    }
    let text = unscaled.to_string();
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text.as_str(), false),
    };
    put_digits(digits.bytes().collect(), i64::from(scale), negative, out)
}

/// `aligned` counts in the power of 10,000 next below `10^-scale`.
fn put_small(mut aligned: u64, negative: bool, scale: u32, out: &mut Vec<u8>) {
    let mut digits = [0u16; 5];
    let mut from = digits.len();
    while aligned > 0 {
        from -= 1;
        digits[from] = u16::try_from(aligned % 10_000).expect("a digit is below 10,000");
        aligned /= 10_000;
    }
    let fraction = scale.div_ceil(4) as usize;
    // A number without its trailing zeros is stored shorter, as the server itself has it.
    let end = digits.iter().rposition(|digit| *digit != 0).map_or(from, |at| at + 1);
    let weight = weight(digits.len() - from, fraction);
    head(end - from, if end == from { 0 } else { weight }, negative, scale as usize, out);
    for digit in &digits[from..end] {
        out.extend(digit.to_be_bytes());
    }
}

/// A decimal number in text: sign, digits, perhaps a point, perhaps an exponent.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let broken = || Misfit::new("a text that is no number");
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| broken())?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let bare = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(broken());
    }
    let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    put_digits(digits, places - i64::from(exponent), negative, out)
}

/// Decimal digits in ASCII, so many of them after the point.
fn put_digits(
    mut digits: Vec<u8>,
    scale: i64,
    negative: bool,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    let too_long = || Misfit::new("a number of more digits than numeric holds");
    let places = usize::try_from(scale.max(0)).unwrap_or(usize::MAX);
    let zeros = usize::try_from(scale.min(0).unsigned_abs()).unwrap_or(usize::MAX);
    let first = digits.iter().position(|d| *d != b'0').unwrap_or(digits.len());
    let whole = (digits.len() - first).saturating_add(zeros).saturating_sub(places);
    if places > MAX_SCALE || (first < digits.len() && whole > MAX_WHOLE) {
        return Err(too_long());
    }
    digits.drain(..first);
    if !digits.is_empty() {
        digits.resize(digits.len() + zeros + places.wrapping_neg() % 4, b'0');
    }
    let lead = digits.len().next_multiple_of(4) - digits.len();
    digits.splice(..0, std::iter::repeat_n(b'0', lead));
    let mut groups: Vec<u16> = digits
        .chunks(4)
        .map(|group| group.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')))
        .collect();
    let weight = weight(groups.len(), places.div_ceil(4));
    while groups.last() == Some(&0) {
        groups.pop();
    }
    head(groups.len(), if groups.is_empty() { 0 } else { weight }, negative, places, out);
    for group in groups {
        out.extend(group.to_be_bytes());
    }
    Ok(())
}

/// The power of 10,000 that the first of so many groups counts, so many of them after the point.
fn weight(groups: usize, fraction: usize) -> i16 {
    let weight =
        i64::try_from(groups).unwrap_or(i64::MAX) - i64::try_from(fraction).unwrap_or(i64::MAX) - 1;
    i16::try_from(weight).expect("at most 32,768 groups stand before the point, 4,096 after it")
}

/// The length of the field, and what stands before the digits.
fn head(count: usize, weight: i16, negative: bool, scale: usize, out: &mut Vec<u8>) {
    // The server counts groups without a sign: there may be more of them than weights.
    let count = u16::try_from(count).expect("at most 147,455 digits in groups of four");
    out.extend((8 + 2 * i32::from(count)).to_be_bytes());
    out.extend(count.to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(if negative && count > 0 { NEGATIVE } else { POSITIVE }.to_be_bytes());
    let scale = u16::try_from(scale).expect("at most 16,383 digits after the point");
    out.extend(scale.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Decimal;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::from_postgres;

    fn plain(bytes: &[u8], scale: i32) -> String {
        let unscaled = from_postgres(&bytes[4..], scale).unwrap().into_big();
        Decimal { unscaled, scale }.to_plain_string()
    }

    #[test]
    fn numbers_are_stored_as_the_server_does() {
        let check = |unscaled: i64, scale: i32, expected: &[u8]| {
            let mut out = Vec::new();
            put(i256::from(unscaled), scale, &mut out).unwrap();
            assert_eq!(out[4..], *expected, "{unscaled} {scale}");
        };
        check(0, 2, &[0, 0, 0, 0, 0, 0, 0, 2]);
        check(1999, 2, &[0, 2, 0, 0, 0, 0, 0, 2, 0, 19, 0x26, 0xac]);
        check(-5, 2, &[0, 1, 0xff, 0xff, 0x40, 0, 0, 2, 1, 0xf4]);
        check(100_000_000, 0, &[0, 1, 0, 2, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn texts_are_numbers_or_refused() {
        let check = |text: &str, scale: i32, expected: &str| {
            let mut out = Vec::new();
            put_text(text, &mut out).unwrap();
            assert_eq!(plain(&out, scale), expected, "{text}");
        };
        check("12300", -2, "12300");
        check("123E2", 0, "12300");
        check("-1.5e-3", 4, "-0.0015");
        check("+0.000", 3, "0.000");
        let long = "7".repeat(1000);
        check(&long, 0, &long);
        for text in ["", "-", "1-2", "1.2.3", "NaN", "1e", "٣", "1e200000", "1e-20000"] {
            assert!(put_text(text, &mut Vec::new()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_longest_numbers_are_written_and_longer_ones_refused() {
        let longest = format!("-{}.{}", "9".repeat(MAX_WHOLE), "9".repeat(MAX_SCALE));
        let mut out = Vec::new();
        put_text(&longest, &mut out).unwrap();
        // 32,768 groups before the point, 4,096 behind it.
        assert_eq!(out[4..12], [0x90, 0, 0x7f, 0xff, 0x40, 0, 0x3f, 0xff]);
        assert_eq!(out.len(), 12 + 2 * 36_864);
        for longer in [format!("9{}", &longest[1..]), format!("{longest}9")] {
            assert!(put_text(&longer, &mut Vec::new()).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "-?[0-9]{1,76}", scale in 0i32..=76) {
            let number = i256::from_string(&text).unwrap();
            let mut out = Vec::new();
            put(number, scale, &mut out).unwrap();
            let expected: BigInt = text.parse().unwrap();
            prop_assert_eq!(from_postgres(&out[4..], scale).unwrap().into_big(), expected);
        }

        #[test]
        fn both_ways_write_the_same(number in any::<i64>(), scale in 0i32..=40) {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            put(i256::from(number), scale, &mut short).unwrap();
            let digits = number.unsigned_abs().to_string().into_bytes();
            put_digits(digits, scale.into(), number < 0, &mut long).unwrap();
            prop_assert_eq!(short, long);
        }
    }
}
