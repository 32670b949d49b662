//! Reads the binary form of each PostgreSQL type into cells.

use super::nested;
use crate::calendar::{Calendar, DAY};
use crate::cells::{Cells, Misfit};
use crate::numeric;

/// The binary form of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decode {
    Boolean,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Text,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Bit,
    Numeric { scale: i32 },
    NumericInteger,
    NumericFloat { scale: i32 },
    HstoreMap,
    HstoreJson,
    Address,
    Array { item: Box<Decode>, dimensions: u8 },
}

/// 2000-01-01, where PostgreSQL counts from, in days since the epoch.
pub(super) const POSTGRES_EPOCH: i64 = 10_957;

impl Decode {
    /// Appends a column's values of several rows, up to the first that does not fit: the number of
    /// its row comes with what is wrong with it. The frequent types are read without asking for each
    /// value what it is.
    pub(super) fn read_column<'a>(
        &self,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
        cells: &mut Cells,
        calendar: Calendar,
    ) -> Result<(), (usize, Misfit)> {
        macro_rules! each {
            ($builder:ident, $bytes:ident => $value:expr) => {
                for (row, field) in fields.enumerate() {
                    match field {
                        None => $builder.append_null(),
                        Some($bytes) => {
                            let value = (|| Ok($value))().map_err(|misfit| (row, misfit))?;
                            $builder.append_value(value);
                        }
                    }
                }
            };
        }
        match (self, cells) {
            (Self::Int4, Cells::Int32(b)) => each!(b, field => i32::from_be_bytes(exact(field)?)),
            (Self::Int8, Cells::Int64(b)) => each!(b, field => i64::from_be_bytes(exact(field)?)),
            (Self::Float8, Cells::Float64(b)) => {
                each!(b, field => f64::from_be_bytes(exact(field)?));
            }
            (Self::Boolean, Cells::Boolean(b)) => each!(b, field => exact::<1>(field)? != [0]),
            (Self::Text, Cells::String(texts)) => return texts.append_all(fields),
            (_, cells) => {
                for (row, field) in fields.enumerate() {
                    match field {
                        None => cells.null(),
                        Some(bytes) => {
                            let read = self.read(bytes, cells, calendar);
                            read.map_err(|misfit| (row, misfit))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends a value.
    pub(super) fn read(
        &self,
        bytes: &[u8],
        cells: &mut Cells,
        calendar: Calendar,
    ) -> Result<(), Misfit> {
        match self {
            Self::Int4 => cells.integer(i32::from_be_bytes(exact(bytes)?).into()),
            Self::Int8 => cells.integer(i64::from_be_bytes(exact(bytes)?)),
            Self::Text => cells.utf8(bytes),
            Self::Int2 => cells.integer(i16::from_be_bytes(exact(bytes)?).into()),
            Self::Float8 => cells.float(f64::from_be_bytes(exact(bytes)?)),
            Self::Float4 => cells.single(f32::from_be_bytes(exact(bytes)?)),
            Self::Boolean => cells.boolean(exact::<1>(bytes)? != [0]),
            Self::TimestampTz => instant(bytes, cells, |ms| calendar.instant(ms)),
            Self::Timestamp => instant(bytes, cells, |ms| calendar.timestamp(ms)),
            Self::Date => cells.date(date(bytes, calendar)?),
            Self::Time => {
                let micros = i64::from_be_bytes(exact(bytes)?);
                cells.time(calendar.time(micros.div_euclid(1000))?)
            }
            Self::TimeTz => cells.time(time_with_zone(bytes)?),
            Self::Numeric { scale } => cells.decimal(numeric::from_postgres(bytes, *scale)?),
            Self::NumericInteger => {
                let number = numeric::from_postgres(bytes, 0)?.to_i64();
                cells.integer(number.ok_or_else(|| Misfit::new("a number too big for INT64"))?)
            }
            Self::NumericFloat { scale } => {
                cells.float(numeric::from_postgres(bytes, *scale)?.to_f64(*scale))
            }
            Self::Bytes => cells.bytes(bytes),
            Self::Jsonb => match bytes.split_first() {
                Some((1, text)) => cells.utf8(text),
                _ => Err(Misfit::new("jsonb in a version that is not known")),
            },
            Self::Uuid => cells.text(uuid(exact(bytes)?).as_str()),
            Self::Oid => cells.integer(u32::from_be_bytes(exact(bytes)?).into()),
            // A length in bits, then the bits from the highest down.
            Self::Bit => cells.boolean(exact::<5>(bytes)?[4] & 0x80 != 0),
            Self::HstoreMap => nested::hstore_map(bytes, cells),
            Self::HstoreJson => nested::hstore_json(bytes, cells),
            Self::Address => nested::address(bytes, cells),
            Self::Array { item, dimensions } => {
                nested::array(bytes, (item, *dimensions), cells, calendar)
            }
        }
    }

    /// Whether values say when by what a clock shows, or by themselves; none if they do not say.
    pub(super) fn is_clock(&self) -> Option<bool> {
        match self {
            Self::TimestampTz => Some(false),
            Self::Timestamp | Self::Date => Some(true),
            _ => None,
        }
    }

    /// A value of a type that says when, in microseconds since 1970 in UTC.
    pub(super) fn micros(&self, bytes: &[u8], calendar: Calendar) -> Option<i64> {
        const EPOCH: i64 = POSTGRES_EPOCH * DAY * 1000;
        let is_clock = self.is_clock()?;
        let since_2000 = match self {
            Self::Date => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)) * DAY * 1000,
            _ => i64::from_be_bytes(bytes.try_into().ok()?),
        };
        let micros = since_2000.checked_add(EPOCH)?;
        Some(if is_clock { calendar.utc(micros) } else { micros })
    }

    /// A value of a type that can count up.
    pub(super) fn whole_number(&self, bytes: &[u8]) -> Option<i64> {
        match self {
            Self::Int2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
            Self::Int4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            Self::Int8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
            Self::NumericInteger | Self::Numeric { scale: 0 } => {
                numeric::from_postgres(bytes, 0).ok()?.to_i64()
            }
            _ => None,
        }
    }
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Misfit> {
    bytes.try_into().map_err(|_| Misfit::new("a value of another length than its type has"))
}

/// What pgjdbc makes of `infinity` and `-infinity`.
pub(super) const ENDS_OF_TIME: (i64, i64) = (9_223_372_036_825_200_000, -9_223_372_036_832_400_000);

fn instant(bytes: &[u8], cells: &mut Cells, calendar: impl Fn(i64) -> i64) -> Result<(), Misfit> {
    match i64::from_be_bytes(exact(bytes)?) {
        i64::MAX => cells.timestamp(ENDS_OF_TIME.0),
        i64::MIN => cells.timestamp(ENDS_OF_TIME.1),
        micros => {
            let millis = micros.div_euclid(1000) + POSTGRES_EPOCH * DAY;
            cells.instant(calendar(millis), micros.rem_euclid(1000))
        }
    }
}

fn date(bytes: &[u8], calendar: Calendar) -> Result<i32, Misfit> {
    match i32::from_be_bytes(exact(bytes)?) {
        i32::MAX | i32::MIN => Err(Misfit::new(
            "an infinite date, which Connect's Date cannot hold; leave such rows out with a query",
        )),
        day => calendar.date(i64::from(day) + POSTGRES_EPOCH),
    }
}

/// The time of day in UTC.
fn time_with_zone(bytes: &[u8]) -> Result<i32, Misfit> {
    let bytes: [u8; 12] = exact(bytes)?;
    let (micros, behind) = bytes.split_at(8);
    let micros = i64::from_be_bytes(exact(micros)?);
    let seconds_behind = i32::from_be_bytes(exact(behind)?);
    let millis = micros.div_euclid(1000) + i64::from(seconds_behind) * 1000;
    Calendar::default().time(millis.rem_euclid(DAY))
}

/// A UUID in its usual form, without an allocation.
struct UuidText([u8; 36]);

impl UuidText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits and hyphens are ASCII")
    }
}

fn uuid(bytes: [u8; 16]) -> UuidText {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (i, byte) in bytes.into_iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    UuidText(text)
}

#[cfg(test)]
mod tests {
    use millrace_api::data::Value;

    use super::*;

    use crate::form::Form;

    fn value(form: Form, decode: &Decode, bytes: &[u8]) -> Result<Value, Misfit> {
        let schema = form.schema(true);
        let mut cells = Cells::new(form, &schema, 1);
        let calendar = Calendar { julian: true, zone: crate::calendar::Zone::Fixed(3_600_000) };
        decode.read(bytes, &mut cells, calendar)?;
        let mut values = cells.finish(1).into_values(&schema).unwrap();
        let value = values.pop().unwrap();
        value.validate(&schema).unwrap();
        Ok(value)
    }

    #[test]
    fn values() {
        let check = |form: Form, decode: Decode, bytes: &[u8], expected: Value| {
            assert_eq!(value(form, &decode, bytes).unwrap(), expected, "{decode:?}");
        };
        check(Form::Boolean, Decode::Boolean, &[1], Value::Boolean(true));
        check(Form::Int16, Decode::Int2, &(-2i16).to_be_bytes(), Value::Int16(-2));
        check(Form::Int32, Decode::Int4, &7i32.to_be_bytes(), Value::Int32(7));
        check(Form::Int64, Decode::Int8, &i64::MIN.to_be_bytes(), Value::Int64(i64::MIN));
        check(Form::Int64, Decode::Oid, &u32::MAX.to_be_bytes(), Value::Int64(u32::MAX.into()));
        check(Form::Float32, Decode::Float4, &1.5f32.to_be_bytes(), Value::Float32(1.5));
        check(Form::Float64, Decode::Float8, &f64::NAN.to_be_bytes(), Value::Float64(f64::NAN));
        check(Form::String, Decode::Text, "gr\u{fc}n".as_bytes(), "gr\u{fc}n".into());
        check(Form::String, Decode::Jsonb, b"\x01{}", "{}".into());
        check(Form::Bytes, Decode::Bytes, &[0, 255], Value::Bytes(vec![0, 255].into()));
        check(Form::Date, Decode::Date, &0i32.to_be_bytes(), Value::Date(10_957));
        check(Form::Time, Decode::Time, &1_999i64.to_be_bytes(), Value::Time(82_800_001));
        let micros = 1_000i64.to_be_bytes();
        let timetz = [micros.as_slice(), &(-3600i32).to_be_bytes()].concat();
        check(Form::Time, Decode::TimeTz, &timetz, Value::Time(82_800_001));
        let hour = 3_600_000_000i64.to_be_bytes();
        check(Form::Timestamp, Decode::Timestamp, &hour, Value::Timestamp(946_684_800_000));
        check(Form::Timestamp, Decode::TimestampTz, &hour, Value::Timestamp(946_688_400_000));
        let infinity = Value::Timestamp(9_223_372_036_825_200_000);
        check(Form::Timestamp, Decode::Timestamp, &i64::MAX.to_be_bytes(), infinity);
        check(Form::Boolean, Decode::Bit, &[0, 0, 0, 1, 0x80], Value::Boolean(true));
        let uuid: Vec<u8> = (0..16).map(|i| i * 17).collect();
        check(Form::String, Decode::Uuid, &uuid, "00112233-4455-6677-8899-aabbccddeeff".into());
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let check = |form: Form, decode: Decode, bytes: &[u8], expected: &str| {
            let misfit = value(form, &decode, bytes).unwrap_err().to_string();
            assert!(misfit.contains(expected), "{misfit}");
        };
        check(Form::Int32, Decode::Int4, &[0; 8], "another length");
        check(Form::String, Decode::Text, &[0xff], "UTF-8");
        check(Form::Date, Decode::Date, &i32::MAX.to_be_bytes(), "infinite");
        check(Form::Time, Decode::Time, &86_400_000_000i64.to_be_bytes(), "24:00");
        check(Form::String, Decode::Jsonb, b"\x02{}", "version");
        check(
            Form::decimal(Some((9, 0))),
            Decode::Numeric { scale: 0 },
            &[0, 0, 0, 0, 0xc0, 0, 0, 0],
            "NaN",
        );
    }
}
