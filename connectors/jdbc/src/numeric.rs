//! Decides how exact numbers are read: PostgreSQL's binary `numeric`, decimal text, and floats that
//! stand for decimals.

use num_bigint::BigInt;

use crate::cells::Misfit;

/// All digits of an exact number as one integer; the scale is the column's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unscaled {
    /// The usual case, without an allocation.
    Small(i128),
    Big(BigInt),
}

impl Unscaled {
    pub(crate) fn into_big(self) -> BigInt {
        match self {
            Self::Small(number) => number.into(),
            Self::Big(number) => number,
        }
    }

    /// The number as an int64, where it fits.
    pub(crate) fn to_i64(&self) -> Option<i64> {
        match self {
            Self::Small(number) => i64::try_from(*number).ok(),
            Self::Big(number) => i64::try_from(number).ok(),
        }
    }

    /// The float nearest to this number with the given scale.
    pub(crate) fn to_f64(&self, scale: i32) -> f64 {
        let text = match self {
            Self::Small(number) => format!("{number}e{}", -scale),
            Self::Big(number) => format!("{number}e{}", -scale),
        };
        text.parse().expect("digits with an exponent are a float")
    }

    /// `self · 10^by`; for a negative `by` only where nothing is cut off.
    fn shift(self, by: i32) -> Option<Self> {
        let power = by.unsigned_abs();
        if let Self::Small(number) = self
            && let Some(factor) = 10i128.checked_pow(power)
        {
            if by < 0 {
                return (number % factor == 0).then(|| Self::Small(number / factor));
            }
            if let Some(product) = number.checked_mul(factor) {
                return Some(Self::Small(product));
            }
        }
        let (number, factor) = (self.into_big(), BigInt::from(10u8).pow(power));
        if by >= 0 {
            return Some(Self::Big(number * factor));
        }
        let quotient = &number / &factor;
        (&quotient * factor == number).then_some(Self::Big(quotient))
    }
}

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

/// A `numeric` in PostgreSQL's binary form, at the given scale: digits to the base 10,000, the
/// first of them worth `10,000^weight`.
pub(crate) fn from_postgres(bytes: &[u8], scale: i32) -> Result<Unscaled, Misfit> {
    let short = |at: usize| {
        let pair = bytes.get(at..at + 2).and_then(|b| b.try_into().ok());
        pair.map(u16::from_be_bytes).ok_or_else(|| Misfit::new("a numeric value that is cut off"))
    };
    let (count, weight, sign) = (short(0)?, short(2)?.cast_signed(), short(4)?);
    if sign != POSITIVE && sign != NEGATIVE {
        return Err(Misfit::new(
            "NaN or infinity, which a Decimal cannot hold; leave such rows out with a query, or \
             cast the column to double precision in one",
        ));
    }
    let count = usize::from(count);
    let exponent = 4 * (i32::from(weight) - i32::try_from(count).unwrap_or(i32::MAX) + 1);
    let mut digits = (0..count).map(|i| short(8 + 2 * i));
    let unscaled = if count <= 9 {
        let number = digits.try_fold(0i128, |n, d| d.map(|d| n * 10_000 + i128::from(d)))?;
        Unscaled::Small(if sign == NEGATIVE { -number } else { number })
    } else {
        let number = digits.try_fold(BigInt::ZERO, |n, d| d.map(|d| n * 10_000 + d))?;
        Unscaled::Big(if sign == NEGATIVE { -number } else { number })
    };
    unscaled.shift(exponent + scale).ok_or_else(too_precise)
}

fn too_precise() -> Misfit {
    Misfit::new("a number with more digits after the point than its column is declared for")
}

/// A decimal number in text, at the given scale.
pub(crate) fn from_text(text: &str, scale: i32) -> Result<Unscaled, Misfit> {
    let broken = || Misfit::new("a text that is no number");
    let (mantissa, exponent) = match text.trim().split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| broken())?),
        None => (text.trim(), 0),
    };
    if exponent.unsigned_abs() > 400 {
        return Err(broken());
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let bare = digits.trim_start_matches(['+', '-']);
    if bare.is_empty() || digits.len() - bare.len() > 1 || !bare.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(broken());
    }
    let unscaled = match digits.parse::<i128>() {
        Ok(number) => Unscaled::Small(number),
        Err(_) => Unscaled::Big(digits.parse().map_err(|_| broken())?),
    };
    let places = i32::try_from(fraction.len()).map_err(|_| broken())?;
    unscaled.shift(scale + exponent - places).ok_or_else(too_precise)
}

/// A whole number at the given scale.
pub(crate) fn from_i64(number: i64, scale: i32) -> Result<Unscaled, Misfit> {
    Unscaled::Small(number.into()).shift(scale).ok_or_else(too_precise)
}

/// The decimal number that a float stands for: its 15 significant digits, as SQLite prints it.
pub(crate) fn from_f64(number: f64, scale: i32) -> Result<Unscaled, Misfit> {
    if !number.is_finite() {
        return Err(Misfit::new("NaN or infinity, which a Decimal cannot hold"));
    }
    from_text(&format!("{number:.14e}"), scale)
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Decimal;
    use proptest::prelude::*;

    use super::*;

    /// What PostgreSQL sends for a decimal text, after its documentation of `numeric_send`.
    fn send(text: &str) -> Vec<u8> {
        let (sign, bare) = match text.strip_prefix('-') {
            Some(bare) => (NEGATIVE, bare),
            None => (POSITIVE, text),
        };
        let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
        let whole = format!("{whole:0>width$}", width = whole.len().next_multiple_of(4));
        let padded = format!("{fraction:0<width$}", width = fraction.len().next_multiple_of(4));
        let all = whole.clone() + &padded;
        let mut digits: Vec<u16> = all
            .as_bytes()
            .chunks(4)
            .map(|c| std::str::from_utf8(c).unwrap().parse().unwrap())
            .collect();
        let mut weight = i16::try_from(whole.len() / 4).unwrap() - 1;
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            weight = 0;
        }
        let mut bytes = Vec::new();
        let head = [
            u16::try_from(digits.len()).unwrap(),
            weight.cast_unsigned(),
            sign,
            u16::try_from(fraction.len()).unwrap(),
        ];
        for short in head.iter().chain(&digits) {
            bytes.extend(short.to_be_bytes());
        }
        bytes
    }

    fn plain(unscaled: Unscaled, scale: i32) -> String {
        Decimal { unscaled: unscaled.into_big(), scale }.to_plain_string()
    }

    #[test]
    fn known_numbers() {
        let check = |text: &str, scale: i32, expected: &str| {
            let unscaled = from_postgres(&send(text), scale).unwrap();
            assert_eq!(plain(unscaled, scale), expected, "{text}");
        };
        check("0", 2, "0.00");
        check("19.99", 2, "19.99");
        check("-0.05", 2, "-0.05");
        check("10000", 0, "10000");
        check("0.00001", 5, "0.00001");
        check(
            "123456789012345678901234567890123456789012345.5",
            1,
            "123456789012345678901234567890123456789012345.5",
        );
        check("1.5", 127, &format!("1.5{}", "0".repeat(126)));
        check("12300", -2, "12300");
    }

    #[test]
    fn nothing_is_cut_off() {
        let nan = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        assert!(from_postgres(&nan, 2).unwrap_err().to_string().contains("NaN"));
        assert!(from_postgres(&send("1.234"), 2).is_err());
        assert!(from_postgres(&send("1.234")[..9], 3).is_err());
        assert!(from_postgres(&[], 3).is_err());
        assert!(from_text("1.234", 2).is_err());
        assert!(from_f64(0.125, 2).is_err());
        for text in ["", "-", "x", "1-2", "--1", "1e", "1e999", "0x10", "."] {
            assert!(from_text(text, 2).is_err(), "{text}");
        }
    }

    #[test]
    fn floats_stand_for_what_sqlite_prints() {
        let check = |number: f64, scale: i32, expected: &str| {
            assert_eq!(plain(from_f64(number, scale).unwrap(), scale), expected);
        };
        check(0.1 + 0.2, 2, "0.30");
        check(19.99, 2, "19.99");
        check(-1e20, 0, "-100000000000000000000");
        check(0.0, 3, "0.000");
    }

    proptest! {
        #[test]
        fn postgres_and_text_agree(
            text in "-?[0-9]{1,50}(\\.[0-9]{1,30})?"
        ) {
            let places = text.split_once('.').map_or(0, |(_, f)| f.len());
            let scale = i32::try_from(places).unwrap();
            let from_wire = from_postgres(&send(&text), scale).unwrap().into_big();
            let digits: BigInt = text.replace('.', "").parse().unwrap();
            prop_assert_eq!(&from_wire, &digits);
            prop_assert_eq!(from_text(&text, scale).unwrap().into_big(), digits);
        }

        #[test]
        fn floats_are_the_nearest(unscaled in any::<i64>(), scale in 0i32..20) {
            let number = Unscaled::Small(unscaled.into());
            let text = plain(number.clone(), scale);
            prop_assert_eq!(number.to_f64(scale), text.parse::<f64>().unwrap());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = from_postgres(&bytes, 10);
        }
    }
}
