//! Decides the binary form of each value: an Arrow column becomes one array of the server's.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};
use sqlx::types::Type;

use crate::calendar::{Calendar, DAY};
use crate::cells::Misfit;
use crate::dialect::postgres::decode::{ENDS_OF_TIME, POSTGRES_EPOCH};

use super::cell::{Cell, Source, Unit};
use super::route::Route;
use super::{literal, numeric};

/// The binary form that a column receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Boolean,
    Bit,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    /// An array of such elements, as text.
    List(Box<Put>),
}

/// What clocks and calendars show in the database.
#[derive(Clone, Copy)]
pub(super) struct Zones<'a> {
    pub(super) times: &'a Calendar,
    pub(super) dates: &'a Calendar,
}

/// A column on its way into a parameter.
pub(super) struct Column<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) route: &'a Route,
    pub(super) zones: Zones<'a>,
    /// From this row to before that.
    pub(super) rows: (usize, usize),
    /// How many bytes there is room for; becomes what is left, 0 where it is too little.
    pub(super) room: &'a std::cell::Cell<usize>,
}

const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// The server holds no value of a gigabyte, nor an array of such size.
pub(super) const MAX_BYTES: usize = (1 << 30) - (1 << 16);

impl Column<'_> {
    /// Appends an array of one dimension, none if it is empty.
    fn put(&self, out: &mut Vec<u8>) -> Result<(), Misfit> {
        let (from, to) = self.rows;
        let count = i32::try_from(to - from).map_err(|_| too_long())?;
        let start = out.len();
        out.extend(i32::from(count > 0).to_be_bytes());
        // Whether there are nulls is not known yet.
        out.extend([0; 4]);
        out.extend(self.route.oid.to_be_bytes());
        if count > 0 {
            out.extend(count.to_be_bytes());
            // Elements are counted from one.
            out.extend(1i32.to_be_bytes());
        }
        let mut has_nulls = false;
        for row in from..to {
            match self.source.cell(row) {
                Some(cell) => self.route.put.cell(cell, self.zones, out)?,
                None => {
                    has_nulls = true;
                    out.extend(NULL);
                }
            }
            if out.len() - start > self.room.get() {
                self.room.set(0);
                return Err(too_long());
            }
        }
        self.room.set(self.room.get() - (out.len() - start));
        out[start + 4..start + 8].copy_from_slice(&i32::from(has_nulls).to_be_bytes());
        Ok(())
    }
}

impl Type<Postgres> for Column<'_> {
    /// The statement says it.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Column<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.put(buffer).map_err(|misfit| misfit.to_string())?;
        Ok(IsNull::No)
    }
}

impl Put {
    /// Appends a value and before it its length.
    fn cell(&self, cell: Cell<'_>, zones: Zones<'_>, out: &mut Vec<u8>) -> Result<(), Misfit> {
        match (self, cell) {
            (Self::Int8, Cell::Integer(n)) => fixed(n.to_be_bytes(), out),
            (Self::Text, Cell::Text(text)) => bytes(without_nul(text)?.as_bytes(), out)?,
            (Self::Int4, Cell::Integer(n)) => fixed(narrow::<i32>(n)?.to_be_bytes(), out),
            (Self::Int2, Cell::Integer(n)) => fixed(narrow::<i16>(n)?.to_be_bytes(), out),
            (Self::Oid, Cell::Integer(n)) => fixed(narrow::<u32>(n)?.to_be_bytes(), out),
            (Self::Float8, cell) => fixed(double(cell)?.to_be_bytes(), out),
            (Self::Float4, cell) => fixed(single(cell)?.to_be_bytes(), out),
            (Self::Boolean, Cell::Boolean(yes)) => fixed([u8::from(yes)], out),
            (Self::Bit, Cell::Boolean(yes)) => fixed([0, 0, 0, 1, u8::from(yes) << 7], out),
            (Self::Timestamp, cell) => fixed(clock(cell, zones.times)?.to_be_bytes(), out),
            (Self::TimestampTz, cell) => fixed(instant(cell, zones.times)?.to_be_bytes(), out),
            (Self::Date, Cell::Day(day)) => fixed(date(day, zones.dates)?.to_be_bytes(), out),
            (Self::Time, cell) => fixed(time(cell, zones.times)?.to_be_bytes(), out),
            (Self::TimeTz, cell) => {
                // In UTC, which is no second away from itself.
                let micros = time(cell, &Calendar::default())?.to_be_bytes();
                out.extend(12i32.to_be_bytes());
                out.extend(micros);
                out.extend([0; 4]);
            }
            (Self::Interval, Cell::Count(unit, count)) => {
                out.extend(16i32.to_be_bytes());
                out.extend(micros(unit, count)?.to_be_bytes());
                // Neither days nor months.
                out.extend([0; 8]);
            }
            (Self::Numeric, Cell::Integer(n)) => numeric::put(n.into(), 0, out)?,
            (Self::Numeric, Cell::Decimal(n, scale)) => numeric::put(n, scale, out)?,
            (Self::Numeric, Cell::Digits(text)) => numeric::put_text(text, out)?,
            (Self::Bytes, Cell::Bytes(value)) => bytes(value, out)?,
            (Self::Uuid, Cell::Text(text)) => fixed(uuid(text)?, out),
            (Self::Jsonb, Cell::Text(text)) => patched(out, |out| {
                out.push(1);
                out.extend_from_slice(without_nul(text)?.as_bytes());
                Ok(())
            })?,
            (Self::List(put), Cell::List(items, from, to)) => {
                patched(out, |out| literal::put(put, (items, from, to), zones, out))?;
            }
            _ => return Err(other_type()),
        }
        Ok(())
    }
}

fn fixed<const N: usize>(value: [u8; N], out: &mut Vec<u8>) {
    out.extend(i32::try_from(N).expect("a few bytes").to_be_bytes());
    out.extend(value);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    out.extend(sized(value.len())?.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// A value whose length is known once it is written.
fn patched(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    let at = out.len();
    out.extend([0; 4]);
    write(out)?;
    let length = sized(out.len() - at - 4)?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn sized(length: usize) -> Result<i32, Misfit> {
    i32::try_from(length).ok().filter(|_| length <= MAX_BYTES).ok_or_else(too_long)
}

/// A NUL is all that UTF-8 has and the server has not.
pub(super) fn without_nul(text: &str) -> Result<&str, Misfit> {
    if text.as_bytes().contains(&0) {
        return Err(Misfit::new("text with a NUL, which PostgreSQL cannot hold (SQLSTATE 22021)"));
    }
    Ok(text)
}

#[cold]
fn too_long() -> Misfit {
    Misfit::new("a value of a gigabyte or more, which PostgreSQL does not hold (SQLSTATE 54000)")
}

#[cold]
fn out_of_range() -> Misfit {
    Misfit::new("a number out of the range of its type (SQLSTATE 22003)")
}

#[cold]
fn time_out_of_range() -> Misfit {
    Misfit::new("a time out of the range of its type (SQLSTATE 22008)")
}

#[cold]
pub(super) fn other_type() -> Misfit {
    Misfit::new("a value whose type is not the column's")
}

fn narrow<N: TryFrom<i64>>(number: i64) -> Result<N, Misfit> {
    N::try_from(number).map_err(|_| out_of_range())
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is what the server takes, too")]
fn double(cell: Cell<'_>) -> Result<f64, Misfit> {
    match cell {
        Cell::Double(number) => Ok(number),
        Cell::Single(number) => Ok(number.into()),
        Cell::Integer(number) => Ok(number as f64),
        _ => Err(other_type()),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the nearest float is what the server takes, too; its range is checked"
)]
fn single(cell: Cell<'_>) -> Result<f32, Misfit> {
    match cell {
        Cell::Single(number) => Ok(number),
        Cell::Integer(number) => Ok(number as f32),
        Cell::Double(number) => {
            let near = number as f32;
            let lost = near.is_infinite() && number.is_finite() || near == 0.0 && number != 0.0;
            if lost { Err(out_of_range()) } else { Ok(near) }
        }
        _ => Err(other_type()),
    }
}

/// What the calendar of a database without zones shows, in microseconds since 2000.
pub(super) fn clock(cell: Cell<'_>, calendar: &Calendar) -> Result<i64, Misfit> {
    match cell {
        Cell::Count(unit, count) => since_2000(unit, count, |ms| calendar.clock(ms)),
        Cell::Local(unit, count) => since_2000(unit, count, |ms| ms),
        _ => Err(other_type()),
    }
}

pub(super) fn instant(cell: Cell<'_>, calendar: &Calendar) -> Result<i64, Misfit> {
    match cell {
        Cell::Count(unit, count) => since_2000(unit, count, |ms| calendar.moment(ms)),
        Cell::Local(unit, count) => since_2000(unit, count, |ms| ms),
        _ => Err(other_type()),
    }
}

fn since_2000(unit: Unit, count: i64, shift: impl Fn(i64) -> i64) -> Result<i64, Misfit> {
    // What infinity is read as, here and by pgjdbc.
    if unit == Unit::Millis && count == ENDS_OF_TIME.0 {
        return Ok(i64::MAX);
    }
    if unit == Unit::Millis && count == ENDS_OF_TIME.1 {
        return Ok(i64::MIN);
    }
    let (millis, micros) = unit.split(count);
    let millis = shift(millis).checked_sub(POSTGRES_EPOCH * DAY);
    millis
        .and_then(|millis| millis.checked_mul(1000)?.checked_add(micros))
        .ok_or_else(time_out_of_range)
}

pub(super) fn date(day: i32, calendar: &Calendar) -> Result<i32, Misfit> {
    let day = calendar.clock(i64::from(day) * DAY).div_euclid(DAY) - POSTGRES_EPOCH;
    i32::try_from(day).map_err(|_| time_out_of_range())
}

/// Microseconds since midnight.
pub(super) fn time(cell: Cell<'_>, calendar: &Calendar) -> Result<i64, Misfit> {
    let (unit, count) = match cell {
        Cell::Count(unit, count) => (unit, count),
        _ => return Err(other_type()),
    };
    let (millis, micros) = unit.split(count);
    if !(0..=DAY).contains(&millis) {
        return Err(time_out_of_range());
    }
    Ok(calendar.time_of_day(millis) * 1000 + micros)
}

pub(super) fn micros(unit: Unit, count: i64) -> Result<i64, Misfit> {
    let (millis, micros) = unit.split(count);
    millis.checked_mul(1000).and_then(|n| n.checked_add(micros)).ok_or_else(time_out_of_range)
}

/// The forms that the server reads: in braces or not, hyphens after any four digits.
fn uuid(text: &str) -> Result<[u8; 16], Misfit> {
    let broken = || Misfit::new("a text that is no UUID (SQLSTATE 22P02)");
    let bare = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'));
    let mut uuid = [0; 16];
    let mut digits = 0;
    let mut hyphen = true;
    for byte in bare.ok_or_else(broken)?.bytes() {
        if byte == b'-' && digits % 4 == 0 && !hyphen && digits < 32 {
            hyphen = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16).filter(|_| digits < 32).ok_or_else(broken)?;
        uuid[digits / 2] = uuid[digits / 2] << 4 | u8::try_from(digit).unwrap_or_default();
        digits += 1;
        hyphen = false;
    }
    if digits == 32 { Ok(uuid) } else { Err(broken()) }
}
