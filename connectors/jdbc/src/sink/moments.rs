//! Reads texts that stand for points in time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use millrace_api::{Error, Result};

use crate::calendar::Calendar;

/// Microseconds since 1970: of a number, of which `per` make one; of date and time in ISO 8601, in
/// the database's zone unless the text has one.
pub(super) fn parse(text: &str, per: i64, calendar: Calendar) -> Result<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Ok(number.div_euclid(per));
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    let clock: DateTime = text.parse().map_err(|_| {
        Error::data(
            "a field that is a point in time holds text that is neither a number nor date and time \
             in ISO 8601",
        )
    })?;
    let as_utc = clock.to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| {
        Error::data("a field that is a point in time is out of range").with_source(e)
    })?;
    let micros = as_utc.timestamp().as_microsecond();
    let millis = micros.div_euclid(1000);
    Ok(calendar.timestamp(millis) * 1000 + micros.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let calendar = Calendar { julian: false, zone: crate::calendar::Zone::Fixed(7_200_000) };
        let check = |text: &str, per: i64, expected: i64| {
            assert_eq!(parse(text, per, calendar).unwrap(), expected, "{text}");
        };
        check("1500", 1, 1500);
        check("-1", 1000, -1);
        check("1970-01-01T00:00:00.000001Z", 1, 1);
        check("1970-01-01T02:00:00.000001", 1, 1);
        check("1970-01-01 02:00:00", 1000, 0);
        check("1970-01-01T01:00:00+01:00", 1, 0);
        for text in ["", "soon", "1970-13-01T00:00:00", "99999999999999999999"] {
            assert!(parse(text, 1, calendar).is_err(), "{text}");
        }
    }
}
