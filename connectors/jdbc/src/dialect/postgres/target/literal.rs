//! Decides how arrays are spelt: as text in braces, since an array of arrays has no rows.

use std::io::Write as _;

use millrace_api::data::Decimal;

use super::cell::{Cell, Source};
use super::encode::{Put, Zones, clock, date, instant, micros, other_type, time, without_nul};
use crate::calendar::Calendar;
use crate::cells::Misfit;
use crate::dialect::postgres::decode::POSTGRES_EPOCH;
use crate::dialect::postgres::grammar;

/// Appends the elements from here to there, which may be arrays themselves.
pub(super) fn put(
    element: &Put,
    (items, from, to): (&Source<'_>, usize, usize),
    zones: Zones<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    out.push(b'{');
    for row in from..to {
        if row > from {
            out.push(b',');
        }
        match items.cell(row) {
            None => out.extend(b"NULL"),
            Some(Cell::List(inner, from, to)) => put(element, (inner, from, to), zones, out)?,
            Some(cell) => put_element(element, cell, zones, out)?,
        }
    }
    out.push(b'}');
    Ok(())
}

fn put_element(
    element: &Put,
    cell: Cell<'_>,
    zones: Zones<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Misfit> {
    let text = match (element, cell) {
        (_, Cell::Text(text)) => {
            quoted(without_nul(text)?, out);
            return Ok(());
        }
        (_, Cell::Integer(n)) => n.to_string(),
        (_, Cell::Boolean(yes)) => u8::from(yes).to_string(),
        (_, Cell::Double(n)) => format!("{n:?}"),
        (_, Cell::Single(n)) => format!("{n:?}"),
        (_, Cell::Digits(digits)) => digits.to_owned(),
        (_, Cell::Decimal(n, scale)) => {
            let unscaled = n.to_string().parse().map_err(|_| other_type())?;
            Decimal { unscaled, scale }.to_plain_string()
        }
        (_, Cell::Bytes(bytes)) => {
            out.extend(b"\"\\\\x");
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            out.push(b'"');
            return Ok(());
        }
        (Put::Date, Cell::Day(day)) => {
            grammar::date(i64::from(date(day, zones.dates)?) + POSTGRES_EPOCH)
        }
        (Put::Time, cell) => grammar::time(time(cell, zones.times)?),
        (Put::TimeTz, cell) => format!("{}+00", grammar::time(time(cell, &Calendar::default())?)),
        (Put::Timestamp, cell) => grammar::timestamp(clock(cell, zones.times)?, ""),
        (Put::TimestampTz, cell) => grammar::timestamp(instant(cell, zones.times)?, "+00"),
        (Put::Interval, Cell::Count(unit, count)) => {
            format!("{} microseconds", micros(unit, count)?)
        }
        _ => return Err(other_type()),
    };
    quoted(&text, out);
    Ok(())
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
