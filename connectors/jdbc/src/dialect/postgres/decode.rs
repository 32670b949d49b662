//! Decides how each PostgreSQL type is read: its Connect type, and its binary form into cells.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::batch::Field;
use crate::calendar::{Calendar, DAY};
use crate::cells::{Cells, Misfit};
use crate::form::{Form, NumericMapping};
use crate::numeric;

/// A column of a result, as the server and its catalog describe it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServerColumn {
    pub(super) name: String,
    /// The type; for a domain the type it is built on.
    pub(super) type_oid: u32,
    /// The table it comes from and its number there; 0 for an expression.
    pub(super) relation: u32,
    pub(super) attribute: i16,
    pub(super) type_name: String,
    /// The kind of type, `e` for an enumeration.
    pub(super) type_kind: String,
    /// Precision, scale or length as the server packs them; -1 for none.
    pub(super) modifier: i32,
    pub(super) not_null: bool,
}

/// How a column is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) form: Form,
    pub(super) decode: Decode,
    /// What the server is to turn it into first.
    pub(super) cast: Option<&'static str>,
}

impl ServerColumn {
    /// Takes over a row of the catalog query.
    pub(super) fn complete(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        self.type_name = row.try_get::<Option<_>, _>(0)?.unwrap_or_default();
        self.type_kind = row.try_get::<Option<_>, _>(1)?.unwrap_or_default();
        self.modifier = row.try_get::<Option<_>, _>(2)?.unwrap_or(-1);
        self.not_null = row.try_get(3)?;
        Ok(())
    }

    /// The field that the column becomes.
    pub(super) fn field(&self, form: Form) -> Field {
        Field { name: self.name.clone(), form, optional: !self.not_null }
    }

    /// How the column is read; none for types without a Connect type.
    pub(super) fn read(&self, mapping: NumericMapping) -> Option<Read> {
        let (form, decode) = match self.type_name.as_str() {
            "bool" => (Form::Boolean, Decode::Boolean),
            "int2" => (Form::Int16, Decode::Int2),
            "int4" => (Form::Int32, Decode::Int4),
            "int8" => (Form::Int64, Decode::Int8),
            "oid" => (Form::Int64, Decode::Oid),
            "float4" => (Form::Float32, Decode::Float4),
            "float8" | "money" => (Form::Float64, Decode::Float8),
            "text" | "varchar" | "bpchar" | "name" | "char" | "json" | "xml" | "citext" => {
                (Form::String, Decode::Text)
            }
            "jsonb" => (Form::String, Decode::Jsonb),
            "uuid" => (Form::String, Decode::Uuid),
            "bytea" => (Form::Bytes, Decode::Bytes),
            "date" => (Form::Date, Decode::Date),
            "time" => (Form::Time, Decode::Time),
            "timetz" => (Form::Time, Decode::TimeTz),
            "timestamp" => (Form::Timestamp, Decode::Timestamp),
            "timestamptz" => (Form::Timestamp, Decode::TimestampTz),
            "bit" if self.modifier == 1 => (Form::Boolean, Decode::Bit),
            "numeric" => self.numeric(mapping),
            _ if self.type_kind == "e" => (Form::String, Decode::Text),
            _ => return None,
        };
        // Only the server knows how many of its digits stand after the point.
        let cast = (self.type_name == "money").then_some("::numeric::float8");
        Some(Read { form, decode, cast })
    }

    fn numeric(&self, mapping: NumericMapping) -> (Form, Decode) {
        const HEADER: i32 = 4;
        let stated = (self.modifier >= HEADER).then(|| {
            let packed = self.modifier - HEADER;
            // Eleven bits, signed.
            let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
            (packed >> 16 & 0xffff, scale)
        });
        let form = Form::numeric(mapping, stated);
        let decode = match form {
            Form::Decimal { scale, .. } => Decode::Numeric { scale },
            Form::Float64 => Decode::NumericFloat { scale: stated.map_or(0, |(_, scale)| scale) },
            _ => Decode::NumericInteger,
        };
        (form, decode)
    }
}

/// The binary form of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

/// 2000-01-01, where PostgreSQL counts from, in days since the epoch.
const POSTGRES_EPOCH: i64 = 10_957;

impl Decode {
    /// Appends a value.
    pub(super) fn read(
        self,
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
            Self::TimestampTz => cells.timestamp(instant(bytes, |ms| calendar.instant(ms))?),
            Self::Timestamp => cells.timestamp(instant(bytes, |ms| calendar.timestamp(ms))?),
            Self::Date => cells.date(date(bytes, calendar)?),
            Self::Time => {
                let micros = i64::from_be_bytes(exact(bytes)?);
                cells.time(calendar.time(micros.div_euclid(1000))?)
            }
            Self::TimeTz => cells.time(time_with_zone(bytes)?),
            Self::Numeric { scale } => cells.decimal(numeric::from_postgres(bytes, scale)?),
            Self::NumericInteger => {
                let number = numeric::from_postgres(bytes, 0)?.to_i64();
                cells.integer(number.ok_or_else(|| Misfit::new("a number too big for INT64"))?)
            }
            Self::NumericFloat { scale } => {
                cells.float(numeric::from_postgres(bytes, scale)?.to_f64(scale))
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
        }
    }

    /// A value of a type that says when, in microseconds since 1970 in UTC.
    pub(super) fn micros(self, bytes: &[u8], calendar: Calendar) -> Option<i64> {
        let ahead = calendar.ahead_ms * 1000;
        let since_2000 = match self {
            Self::TimestampTz => i64::from_be_bytes(bytes.try_into().ok()?),
            Self::Timestamp => i64::from_be_bytes(bytes.try_into().ok()?).checked_sub(ahead)?,
            Self::Date => {
                let day = i32::from_be_bytes(bytes.try_into().ok()?);
                i64::from(day) * DAY * 1000 - ahead
            }
            _ => return None,
        };
        since_2000.checked_add(POSTGRES_EPOCH * DAY * 1000)
    }

    /// A value of a type that can count up.
    pub(super) fn whole_number(self, bytes: &[u8]) -> Option<i64> {
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
const ENDS_OF_TIME: (i64, i64) = (9_223_372_036_825_200_000, -9_223_372_036_832_400_000);

fn instant(bytes: &[u8], calendar: impl Fn(i64) -> i64) -> Result<i64, Misfit> {
    Ok(match i64::from_be_bytes(exact(bytes)?) {
        i64::MAX => ENDS_OF_TIME.0,
        i64::MIN => ENDS_OF_TIME.1,
        micros => calendar(micros.div_euclid(1000) + POSTGRES_EPOCH * DAY),
    })
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

    fn column(type_name: &str, modifier: i32) -> ServerColumn {
        ServerColumn { type_name: type_name.into(), modifier, ..ServerColumn::default() }
    }

    fn value(column: &ServerColumn, bytes: &[u8]) -> Result<Value, Misfit> {
        let read = column.read(NumericMapping::None).unwrap();
        let schema = read.form.schema(true);
        let mut cells = Cells::new(read.form, &schema, 1);
        let calendar = Calendar { julian: true, ahead_ms: 3_600_000 };
        read.decode.read(bytes, &mut cells, calendar)?;
        let mut values = cells.finish(1).into_values(&schema).unwrap();
        let value = values.pop().unwrap();
        value.validate(&schema).unwrap();
        Ok(value)
    }

    #[test]
    fn values() {
        let check = |type_name: &str, bytes: &[u8], expected: Value| {
            let value = value(&column(type_name, 1), bytes).unwrap();
            assert_eq!(value, expected, "{type_name}");
        };
        check("bool", &[1], Value::Boolean(true));
        check("int2", &(-2i16).to_be_bytes(), Value::Int16(-2));
        check("int4", &7i32.to_be_bytes(), Value::Int32(7));
        check("int8", &i64::MIN.to_be_bytes(), Value::Int64(i64::MIN));
        check("oid", &u32::MAX.to_be_bytes(), Value::Int64(u32::MAX.into()));
        check("float4", &1.5f32.to_be_bytes(), Value::Float32(1.5));
        check("float8", &f64::NAN.to_be_bytes(), Value::Float64(f64::NAN));
        check("varchar", "gr\u{fc}n".as_bytes(), "gr\u{fc}n".into());
        check("jsonb", b"\x01{}", "{}".into());
        check("bytea", &[0, 255], Value::Bytes(vec![0, 255].into()));
        check("date", &0i32.to_be_bytes(), Value::Date(10_957));
        check("time", &1_999i64.to_be_bytes(), Value::Time(82_800_001));
        let micros = 1_000i64.to_be_bytes();
        let timetz = [micros.as_slice(), &(-3600i32).to_be_bytes()].concat();
        check("timetz", &timetz, Value::Time(82_800_001));
        let hour = 3_600_000_000i64.to_be_bytes();
        check("timestamp", &hour, Value::Timestamp(946_684_800_000));
        check("timestamptz", &hour, Value::Timestamp(946_688_400_000));
        let infinity = Value::Timestamp(9_223_372_036_825_200_000);
        check("timestamp", &i64::MAX.to_be_bytes(), infinity);
        check("bit", &[0, 0, 0, 1, 0x80], Value::Boolean(true));
        let uuid: Vec<u8> = (0..16).map(|i| i * 17).collect();
        check("uuid", &uuid, "00112233-4455-6677-8899-aabbccddeeff".into());
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let check = |type_name: &str, bytes: &[u8], expected: &str| {
            let misfit = value(&column(type_name, -1), bytes).unwrap_err().to_string();
            assert!(misfit.contains(expected), "{misfit}");
        };
        check("int4", &[0; 8], "another length");
        check("text", &[0xff], "UTF-8");
        check("date", &i32::MAX.to_be_bytes(), "infinite");
        check("time", &86_400_000_000i64.to_be_bytes(), "24:00");
        check("jsonb", b"\x02{}", "version");
        check("numeric", &[0, 0, 0, 0, 0xc0, 0, 0, 0], "NaN");
    }

    #[test]
    fn numeric_modifiers() {
        let check = |precision: i32, scale: i32| {
            let modifier = (precision << 16 | (scale & 0x7ff)) + 4;
            let read = column("numeric", modifier).read(NumericMapping::None);
            assert_eq!(read.unwrap().form, Form::Decimal { precision, scale });
        };
        check(10, 2);
        check(1000, 1000);
        check(3, -2);
        let bare = column("numeric", -1).read(NumericMapping::BestFit).unwrap();
        assert_eq!(bare.decode, Decode::Numeric { scale: 127 });
    }

    #[test]
    fn types_without_a_connect_type() {
        for name in ["interval", "point", "inet", "_int4", "hstore", "varbit", "bit"] {
            assert_eq!(column(name, 8).read(NumericMapping::None), None, "{name}");
        }
        let mut mood = column("mood", -1);
        mood.type_kind = "e".into();
        assert_eq!(mood.read(NumericMapping::None).unwrap().form, Form::String);
    }
}
