//! Decides how each type of MySQL and MariaDB is read: its Connect type, and its binary form into
//! cells.

use crate::calendar::{Calendar, DAY, days_from_civil};
use crate::cells::{Cells, Misfit};
use crate::form::Form;
use crate::numeric::{self, Unscaled};

/// How types are read that users may choose for (driver settings of the URL).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    /// `TINYINT(1)` is a truth value (`transformedBitIsBoolean`).
    pub(super) tiny_is_boolean: bool,
    /// `YEAR` is the first day of that year (`yearIsDateType`).
    pub(super) year_is_date: bool,
    pub(super) zero_dates: ZeroDates,
}

/// What becomes of a date whose year, month or day is zero (`zeroDateTimeBehavior`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZeroDates {
    Refused,
    Null,
    /// The first year, month or day there is.
    Rounded,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServerColumn {
    pub(super) name: String,
    /// The type on the wire, as sqlx names it.
    pub(super) wire: String,
    /// Whether the server sends text, for types that may hold bytes.
    pub(super) is_text: bool,
    /// The same column in the table that it comes from; none for an expression.
    pub(super) origin: Option<TableType>,
    /// The digits after the point of a `DECIMAL` expression.
    pub(super) scale: i32,
    /// Whether it may be NULL nevertheless.
    pub(super) may_be_null: bool,
}

/// The type of a column as its table has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TableType {
    /// All of it, such as `int(10) unsigned`.
    pub(super) full: String,
    pub(super) nullable: bool,
    pub(super) precision: i32,
    pub(super) scale: i32,
}

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) form: Form,
    pub(super) optional: bool,
    pub(super) decode: Decode,
    pub(super) zero_dates: ZeroDates,
}

/// The binary form of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decode {
    Boolean,
    Signed,
    Unsigned,
    Float,
    Double,
    Decimal {
        scale: i32,
    },
    Text,
    Bytes,
    Bit,
    Date,
    Time,
    /// Without a zone: on the clock of `db.timezone`.
    DateTime,
    /// In UTC, since the session is.
    Timestamp,
    YearAsDate,
}

/// The most digits of a `DECIMAL`.
const DIGITS: i32 = 65;
/// The most bits of a `BIT`.
const BITS: i32 = 64;

impl ServerColumn {
    /// How the column is read.
    pub(super) fn read(&self, style: Style) -> Read {
        let is_unsigned = self.origin.as_ref().is_some_and(|o| o.full.contains("unsigned"));
        let integer = |form| (form, Decode::Signed);
        let unsigned = |form| (form, Decode::Unsigned);
        let (form, decode) = match self.wire.as_str() {
            // What sqlx calls every column of one digit.
            "BOOLEAN" if is_unsigned => unsigned(Form::Int16),
            "BOOLEAN" if style.tiny_is_boolean => (Form::Boolean, Decode::Boolean),
            "BOOLEAN" | "TINYINT" => integer(Form::Int8),
            "SMALLINT" => integer(Form::Int16),
            "MEDIUMINT" | "INT" => integer(Form::Int32),
            "BIGINT" => integer(Form::Int64),
            "TINYINT UNSIGNED" => unsigned(Form::Int16),
            "SMALLINT UNSIGNED" => unsigned(Form::Int32),
            "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED" => unsigned(Form::Int64),
            "FLOAT" => (Form::Float32, Decode::Float),
            "DOUBLE" => (Form::Float64, Decode::Double),
            "DECIMAL" => self.decimal(),
            "BIT" => (self.bits(), Decode::Bit),
            "DATE" => (Form::Date, Decode::Date),
            "TIME" => (Form::Time, Decode::Time),
            "DATETIME" => (Form::Timestamp, Decode::DateTime),
            "TIMESTAMP" => (Form::Timestamp, Decode::Timestamp),
            "YEAR" if style.year_is_date => (Form::Date, Decode::YearAsDate),
            "YEAR" => unsigned(Form::Int32),
            "ENUM" | "SET" | "JSON" | "NULL" => (Form::String, Decode::Text),
            _ if self.is_text => (Form::String, Decode::Text),
            _ => (Form::Bytes, Decode::Bytes),
        };
        let may_be_null = self.may_be_null || self.origin.as_ref().is_none_or(|o| o.nullable);
        // A zero date that becomes NULL does so in a column that is NOT NULL as well.
        let zero_is_null = style.zero_dates == ZeroDates::Null && decode.has_zero_dates();
        let optional = may_be_null || zero_is_null;
        Read { form, optional, decode, zero_dates: style.zero_dates }
    }

    fn decimal(&self) -> (Form, Decode) {
        let stated = self.origin.as_ref().map(|o| (o.precision, o.scale));
        let (precision, scale) = stated.unwrap_or((DIGITS, self.scale));
        (Form::decimal(Some((precision, scale))), Decode::Decimal { scale })
    }

    /// The smallest integer that holds all the bits; of 64 the highest one must be off.
    fn bits(&self) -> Form {
        match self.origin.as_ref().map_or(BITS, |o| o.precision) {
            ..=7 => Form::Int8,
            8..=15 => Form::Int16,
            16..=31 => Form::Int32,
            _ => Form::Int64,
        }
    }
}

impl Read {
    /// Appends a value; none is NULL.
    pub(super) fn append(
        self,
        bytes: Option<&[u8]>,
        cells: &mut Cells,
        calendar: &Calendar,
    ) -> Result<(), Misfit> {
        let Some(bytes) = bytes else {
            if self.optional {
                cells.null();
                return Ok(());
            }
            return Err(Misfit::new("NULL although it is declared NOT NULL"));
        };
        match self.decode {
            Decode::Signed => cells.integer(signed(bytes)?),
            Decode::Unsigned => {
                let number = unsigned(bytes)?;
                cells.integer(i64::try_from(number).map_err(|_| too_big(number))?)
            }
            Decode::Text => cells.utf8(bytes),
            Decode::Bytes => cells.bytes(bytes),
            Decode::Double => cells.float(f64::from_le_bytes(exact(bytes)?)),
            Decode::Float => cells.single(f32::from_le_bytes(exact(bytes)?)),
            Decode::Decimal { scale } => cells.decimal(decimal(bytes, scale)?),
            Decode::Boolean => cells.boolean(signed(bytes)? != 0),
            Decode::Bit => {
                let number = bits(bytes)?;
                cells.integer(i64::try_from(number).map_err(|_| too_big(number))?)
            }
            Decode::Time => cells.time(calendar.time(time_of_day(bytes)?)?),
            Decode::Date | Decode::YearAsDate => match self.day(bytes)? {
                None => self.zero_as_null(cells),
                Some(day) => cells.date(calendar.date(day)?),
            },
            Decode::DateTime | Decode::Timestamp => match self.clock(bytes)? {
                None => self.zero_as_null(cells),
                Some(micros) => {
                    let millis = micros.div_euclid(1000);
                    let instant = match self.decode {
                        Decode::Timestamp => calendar.instant(millis),
                        _ => calendar.timestamp(millis),
                    };
                    cells.instant(instant, micros.rem_euclid(1000))
                }
            },
        }
    }

    fn zero_as_null(self, cells: &mut Cells) -> Result<(), Misfit> {
        debug_assert!(self.optional, "a column whose zero dates become NULL is optional");
        cells.null();
        Ok(())
    }

    /// The day that a value says; none for a zero date that becomes NULL.
    fn day(self, bytes: &[u8]) -> Result<Option<i64>, Misfit> {
        let (year, month, day) = match self.decode {
            Decode::YearAsDate => (i64::from(u16::from_le_bytes(exact(bytes)?)), 1, 1),
            _ => match bytes.split_first() {
                Some((0, _)) => (0, 0, 0),
                Some((_, [low, high, month, day, ..])) => {
                    (i64::from(u16::from_le_bytes([*low, *high])), *month, *day)
                }
                _ => return Err(cut_off()),
            },
        };
        if year > 0 && (1..=12).contains(&month) && (1..=28).contains(&day) {
            return Ok(Some(days_from_civil(year, month.into(), day.into())));
        }
        if year == 0 || month == 0 || day == 0 {
            return match self.zero_dates {
                ZeroDates::Null => Ok(None),
                ZeroDates::Rounded => {
                    let [month, day] = [month.max(1), day.max(1)];
                    real_day(year.max(1), month, day).map(Some)
                }
                ZeroDates::Refused => Err(Misfit::new(format!(
                    "{year:04}-{month:02}-{day:02}, a date with a zero in it; correct the row, or \
                     set zeroDateTimeBehavior=convertToNull or round in connection.url"
                ))),
            };
        }
        real_day(year, month, day).map(Some)
    }

    /// Microseconds since 1970 on the clock that a value shows.
    fn clock(self, bytes: &[u8]) -> Result<Option<i64>, Misfit> {
        let Some(day) = self.day(bytes)? else { return Ok(None) };
        let of_day = match bytes.get(5..) {
            None | Some([]) => 0,
            Some(rest) => clock_micros(rest)?,
        };
        Ok(Some(day * DAY * 1000 + of_day))
    }

    /// Whether values say when by what a clock shows, or by themselves; none if they do not say.
    pub(super) fn is_clock(self) -> Option<bool> {
        match self.decode {
            Decode::Timestamp => Some(false),
            Decode::DateTime | Decode::Date => Some(true),
            _ => None,
        }
    }

    /// A value of a type that says when, in microseconds since 1970 in UTC.
    pub(super) fn micros(self, bytes: &[u8], calendar: &Calendar) -> Option<i64> {
        let is_clock = self.is_clock()?;
        let micros = self.clock(bytes).ok()??;
        Some(if is_clock { calendar.utc(micros) } else { micros })
    }

    /// A value of a type that can count up.
    pub(super) fn whole_number(self, bytes: &[u8]) -> Option<i64> {
        match self.decode {
            Decode::Signed => signed(bytes).ok(),
            Decode::Unsigned => unsigned(bytes).ok()?.try_into().ok(),
            Decode::Decimal { scale: 0 } => decimal(bytes, 0).ok()?.to_i64(),
            _ => None,
        }
    }
}

impl Decode {
    fn has_zero_dates(self) -> bool {
        matches!(self, Self::Date | Self::DateTime | Self::Timestamp | Self::YearAsDate)
    }
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Misfit> {
    bytes.try_into().map_err(|_| Misfit::new("a value of another length than its type has"))
}

fn cut_off() -> Misfit {
    Misfit::new("a value that is cut off")
}

/// The width follows from the bytes: the protocol has one for each type.
fn signed(bytes: &[u8]) -> Result<i64, Misfit> {
    Ok(match bytes.len() {
        8 => i64::from_le_bytes(exact(bytes)?),
        4 => i32::from_le_bytes(exact(bytes)?).into(),
        2 => i16::from_le_bytes(exact(bytes)?).into(),
        _ => i8::from_le_bytes(exact(bytes)?).into(),
    })
}

fn unsigned(bytes: &[u8]) -> Result<u64, Misfit> {
    Ok(match bytes.len() {
        8 => u64::from_le_bytes(exact(bytes)?),
        4 => u32::from_le_bytes(exact(bytes)?).into(),
        2 => u16::from_le_bytes(exact(bytes)?).into(),
        _ => u8::from_le_bytes(exact(bytes)?).into(),
    })
}

#[cold]
fn too_big(number: u64) -> Misfit {
    Misfit::new(format!(
        "{number}, a number too big for its type INT64; read it with a query or view that casts \
         the column to DECIMAL(20,0)"
    ))
}

/// Bits come as bytes from the highest down.
fn bits(bytes: &[u8]) -> Result<u64, Misfit> {
    if bytes.len() > 8 {
        return Err(Misfit::new("more than 64 bits"));
    }
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Numbers come as text, with as many digits after the point as their column has.
fn decimal(bytes: &[u8], scale: i32) -> Result<Unscaled, Misfit> {
    if let Some(unscaled) = short_decimal(bytes, scale) {
        return Ok(Unscaled::Small(unscaled));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Misfit::new("a text that is no number"))?;
    numeric::from_text(text, scale)
}

/// The usual case: up to 37 digits, the declared number of them after the point.
fn short_decimal(bytes: &[u8], scale: i32) -> Option<i128> {
    let (is_negative, digits) = match bytes.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, bytes),
    };
    let scale = usize::try_from(scale).ok()?;
    let point = if scale == 0 { digits.len() } else { digits.len().checked_sub(scale + 1)? };
    if digits.len() > 38 || (scale > 0 && digits[point] != b'.') {
        return None;
    }
    let fraction = digits.get(point + 1..).unwrap_or_default();
    let mut number = 0i128;
    for digit in digits[..point].iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i128::from(digit - b'0');
    }
    Some(if is_negative { -number } else { number })
}

fn real_day(year: i64, month: u8, day: u8) -> Result<i64, Misfit> {
    let number = days_from_civil(year, month.into(), day.into());
    let found = millrace_api::data::civil_from_days(number);
    if found == (year, month.into(), day.into()) {
        return Ok(number);
    }
    Err(Misfit::new(format!("{year:04}-{month:02}-{day:02}, a day that there is not")))
}

/// Hours, minutes, seconds, and microseconds unless they are zero.
fn clock_micros(bytes: &[u8]) -> Result<i64, Misfit> {
    let [hours, minutes, seconds, fraction @ ..] = bytes else { return Err(cut_off()) };
    let seconds = (i64::from(*hours) * 60 + i64::from(*minutes)) * 60 + i64::from(*seconds);
    let micros = match fraction {
        [] => 0,
        _ => u32::from_le_bytes(exact(fraction)?).into(),
    };
    Ok(seconds * 1_000_000 + micros)
}

/// A `TIME` in milliseconds. It may be an interval, which Connect's Time is not.
fn time_of_day(bytes: &[u8]) -> Result<i64, Misfit> {
    let (is_negative, days, clock) = match bytes {
        [0] => return Ok(0),
        [_, sign, d0, d1, d2, d3, clock @ ..] => {
            (*sign != 0, u32::from_le_bytes([*d0, *d1, *d2, *d3]), clock)
        }
        _ => return Err(cut_off()),
    };
    if is_negative || days > 0 {
        return Err(Misfit::new(
            "a TIME that is no time of day but an interval, below 0 or from 24 hours on; read it \
             with a query that makes it TIME_TO_SEC(column) or a CHAR",
        ));
    }
    Ok(clock_micros(clock)?.div_euclid(1000))
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Value;
    use proptest::prelude::*;

    use super::*;

    fn read(decode: Decode, form: Form) -> Read {
        Read { form, optional: true, decode, zero_dates: ZeroDates::Refused }
    }

    fn value(read: Read, bytes: &[u8]) -> Result<Value, Misfit> {
        let schema = read.form.schema(true);
        let mut cells = Cells::new(read.form, &schema, 1);
        let calendar = Calendar { julian: true, zone: crate::calendar::Zone::Fixed(3_600_000) };
        read.append(Some(bytes), &mut cells, &calendar)?;
        Ok(cells.finish(1).into_values(&schema).unwrap().pop().unwrap())
    }

    #[test]
    fn clocks_are_in_the_zone_and_timestamps_in_utc() {
        let bytes = [11, 0xea, 7, 11, 21, 10, 0, 0, 0x40, 0xe2, 1, 0];
        let clock = read(Decode::DateTime, Form::Timestamp);
        let instant = read(Decode::Timestamp, Form::Timestamp);
        assert_eq!(value(clock, &bytes).unwrap(), Value::Timestamp(1_795_251_600_123));
        assert_eq!(value(instant, &bytes).unwrap(), Value::Timestamp(1_795_255_200_123));
        let calendar = Calendar { julian: true, zone: crate::calendar::Zone::Fixed(3_600_000) };
        assert_eq!(instant.micros(&bytes, &calendar), Some(1_795_255_200_123_456));
        assert_eq!(clock.micros(&bytes, &calendar), Some(1_795_251_600_123_456));
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let check = |decode, form, bytes: &[u8], expected: &str| {
            let misfit = value(read(decode, form), bytes).unwrap_err().to_string();
            assert!(misfit.contains(expected), "{misfit}");
        };
        check(Decode::Signed, Form::Int32, &[0; 3], "another length");
        check(Decode::Unsigned, Form::Int64, &[255; 8], "18446744073709551615");
        check(Decode::Bit, Form::Int64, &[255; 8], "DECIMAL(20,0)");
        check(Decode::Bit, Form::Int64, &[0; 9], "64 bits");
        check(Decode::Text, Form::String, &[0xff], "UTF-8");
        check(Decode::Date, Form::Date, &[4, 0xe8, 7, 2, 30], "there is not");
        check(Decode::Date, Form::Date, &[4, 0xe8], "cut off");
        let decimal = Form::decimal(Some((9, 2)));
        check(Decode::Decimal { scale: 2 }, decimal, b"1.234", "digits after the point");
        check(Decode::Decimal { scale: 2 }, decimal, b"x", "no number");
        let strict = Read { optional: false, ..read(Decode::Text, Form::String) };
        let schema = Form::String.schema(false);
        let mut cells = Cells::new(Form::String, &schema, 1);
        assert!(strict.append(None, &mut cells, &Calendar::default()).is_err());
    }

    proptest! {
        #[test]
        fn short_decimals_are_as_the_long_ones(
            text in "-?[0-9]{1,30}\\.[0-9]{4}", short in "-?[0-9]{1,40}"
        ) {
            let slow = numeric::from_text(&text, 4).unwrap();
            prop_assert_eq!(decimal(text.as_bytes(), 4).unwrap().into_big(), slow.into_big());
            let slow = numeric::from_text(&short, 0).unwrap();
            prop_assert_eq!(decimal(short.as_bytes(), 0).unwrap().into_big(), slow.into_big());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let forms = [
                (Decode::Signed, Form::Int64), (Decode::Unsigned, Form::Int64),
                (Decode::Float, Form::Float32), (Decode::Double, Form::Float64),
                (Decode::Decimal { scale: 3 }, Form::decimal(Some((10, 3)))),
                (Decode::Text, Form::String), (Decode::Bit, Form::Int64),
                (Decode::Date, Form::Date), (Decode::Time, Form::Time),
                (Decode::DateTime, Form::Timestamp), (Decode::YearAsDate, Form::Date),
            ];
            for (decode, form) in forms {
                for zero_dates in [ZeroDates::Refused, ZeroDates::Null, ZeroDates::Rounded] {
                    let read = Read { zero_dates, ..read(decode, form) };
                    let _ = value(read, &bytes);
                    let _ = read.micros(&bytes, &Calendar::default());
                    let _ = read.whole_number(&bytes);
                }
            }
        }
    }
}
