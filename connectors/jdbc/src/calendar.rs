//! Decides how dates and times of a database become days and milliseconds since the epoch.

mod zone;

use millrace_api::data::{
    FIRST_GREGORIAN_DAY as GREGORIAN, civil_from_days, days_from_julian, julian_from_days,
};
pub(crate) use millrace_api::data::{MILLIS_A_DAY as DAY, days_from_civil};

pub(crate) use self::zone::{Zone, zone};
use crate::cells::Misfit;

/// How dates and times are read (`date.calendar.system` and `db.timezone`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Calendar {
    /// Days before 1582-10-15 keep their name in the Julian calendar, as `java.util` has it.
    pub(crate) julian: bool,
    /// Where the clocks are.
    pub(crate) zone: Zone,
}

impl Calendar {
    /// By `date.calendar.system` and a zone's name.
    pub(crate) fn named(system: &str, zone: &str) -> millrace_api::Result<Self> {
        Ok(Self { julian: system.eq_ignore_ascii_case("LEGACY"), zone: self::zone(zone)? })
    }

    /// A day. `day` counts from the epoch in the calendar that SQL uses, the Gregorian one carried
    /// back before its time.
    pub(crate) fn date(self, day: i64) -> Result<i32, Misfit> {
        i32::try_from(self.legacy(day)).map_err(|_| Misfit::new("a date out of range"))
    }

    /// A point in time with a zone of its own.
    pub(crate) fn instant(self, millis: i64) -> i64 {
        if !self.julian || millis >= GREGORIAN * DAY {
            return millis;
        }
        let day = millis.div_euclid(DAY);
        millis + (self.legacy(day) - day) * DAY
    }

    /// A date and time without zone.
    pub(crate) fn timestamp(self, millis: i64) -> i64 {
        self.instant(millis.saturating_sub(self.zone.ahead_of_clock(millis)))
    }

    /// A time of day without zone.
    pub(crate) fn time(self, millis: i64) -> Result<i32, Misfit> {
        if !(0..DAY).contains(&millis) {
            return Err(Misfit::new("a time of day that is not below 24:00"));
        }
        let millis = (millis - self.zone.ahead_of_clock(millis)).rem_euclid(DAY);
        Ok(i32::try_from(millis).expect("a day has fewer milliseconds than an int32 holds"))
    }

    /// The point in time at which clocks show this, both in microseconds; without regard to old
    /// calendars, as databases compare them.
    pub(crate) fn utc(self, micros: i64) -> i64 {
        micros.saturating_sub(self.zone.ahead_of_clock(micros.div_euclid(1000)) * 1000)
    }

    /// How far clocks are ahead of UTC at a point in time, both in microseconds.
    pub(crate) fn ahead(self, micros: i64) -> i64 {
        self.zone.ahead(micros.div_euclid(1000)) * 1000
    }

    /// What clock and calendar show at a point in time, in milliseconds; undoes
    /// [`timestamp`](Self::timestamp).
    pub(crate) fn clock(self, millis: i64) -> i64 {
        let millis = self.moment(millis);
        millis.saturating_add(self.zone.ahead(millis))
    }

    /// Undoes [`instant`](Self::instant).
    pub(crate) fn moment(self, millis: i64) -> i64 {
        if !self.julian || millis >= GREGORIAN * DAY {
            return millis;
        }
        let day = millis.div_euclid(DAY);
        let (year, month, date) = julian_from_days(day);
        millis.saturating_add((days_from_civil(year, month, date) - day) * DAY)
    }

    /// What a clock shows so long after midnight in UTC; undoes [`time`](Self::time).
    pub(crate) fn time_of_day(self, millis: i64) -> i64 {
        (millis + self.zone.ahead(millis)).rem_euclid(DAY)
    }

    fn legacy(self, day: i64) -> i64 {
        if !self.julian || day >= GREGORIAN {
            return day;
        }
        let (year, month, day) = civil_from_days(day);
        days_from_julian(year, month, day)
    }
}

/// Microseconds since 1970 as SQL writes date and time: `2026-11-21 12:34:56.789012`.
pub(crate) fn clock(micros: i64) -> String {
    const A_DAY: i64 = DAY * 1000;
    let (year, month, day) = civil_from_days(micros.div_euclid(A_DAY));
    let of_day = micros.rem_euclid(A_DAY);
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
}

/// A date in text, `2026-11-21`, as days since the epoch.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let (bare, sign) = match text.strip_prefix('-') {
        Some(bare) => (bare, -1),
        None => (text, 1),
    };
    let mut parts = bare.splitn(3, '-');
    let mut number = || -> Option<u32> {
        let part = parts.next()?;
        let digits = (1..=6).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok())?
    };
    let (year, month, day) = (number()?, number()?, number()?);
    let year = i64::from(year) * sign;
    let day_number = days_from_civil(year, month, day);
    // Only real days come back as they went in.
    (civil_from_days(day_number) == (year, month, day)).then_some(day_number)
}

/// A time of day in text, `12:34` or `12:34:56.789`, as milliseconds.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let number = |part: &&str| -> Option<i64> {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok())?
    };
    let parts = parts.iter().map(number).collect::<Option<Vec<_>>>()?;
    let seconds = match parts[..] {
        [h @ 0..24, m @ 0..60] => h * 3600 + m * 60,
        [h @ 0..24, m @ 0..60, s @ 0..60] => h * 3600 + m * 60 + s,
        _ => return None,
    };
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    Some(seconds * 1000 + millis)
}

/// A date and time in text as milliseconds since the epoch, and whether it names its zone: then
/// they count in UTC. Date and time are parted by a space or a `T`.
pub(crate) fn parse_timestamp(text: &str) -> Option<(i64, bool)> {
    let Some((date, time)) = text.split_once([' ', 'T']) else {
        return Some((parse_date(text)? * DAY, false));
    };
    let day = parse_date(date)? * DAY;
    let zoned = match time.strip_suffix('Z') {
        Some(time) => Some((time, 0)),
        None => time.find(['+', '-']).and_then(|at| {
            let (time, zone) = time.split_at(at);
            Some((time.trim_end(), zone::fixed(zone)?))
        }),
    };
    Some(match zoned {
        Some((time, ahead)) => (day + parse_time(time)? - ahead, true),
        None => (day + parse_time(time)?, false),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JAVA: Calendar = Calendar { julian: true, zone: Zone::Fixed(0) };

    #[test]
    fn days_before_the_gregorian_calendar_keep_their_name() {
        let day = |y, m, d| JAVA.date(days_from_civil(y, m, d)).unwrap();
        assert_eq!(day(1582, 10, 15), -141_427);
        // What java.util.GregorianCalendar gives for these, in days.
        assert_eq!(day(1582, 10, 4), -141_428);
        assert_eq!(day(1, 1, 1), -719_164);
        assert_eq!(day(1000, 1, 1), -354_280);
        let noon = days_from_civil(1000, 1, 1) * DAY + DAY / 2;
        assert_eq!(JAVA.timestamp(noon), -354_280 * DAY + DAY / 2);
        let plain = Calendar::default();
        assert_eq!(plain.date(days_from_civil(1, 1, 1)).unwrap(), -719_162);
    }

    #[test]
    fn zones_move_times_without_one() {
        let berlin = Calendar { julian: true, zone: Zone::Fixed(7_200_000) };
        assert_eq!(berlin.timestamp(7_200_000), 0);
        assert_eq!(berlin.time(0).unwrap(), 79_200_000);
        assert_eq!(berlin.date(3).unwrap(), 3);
        assert!(berlin.time(DAY).is_err());
    }

    #[test]
    fn clocks() {
        assert_eq!(clock(0), "1970-01-01 00:00:00.000000");
        assert_eq!(clock(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(clock(1_795_255_200_123_456), "2026-11-21 10:00:00.123456");
    }

    #[test]
    fn texts() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("2024-02-30"), None);
        assert_eq!(parse_date("2024-02"), None);
        assert_eq!(parse_date("1970-01-02 "), None);
        assert_eq!(parse_time("00:01"), Some(60_000));
        assert_eq!(parse_time("00:00:01.5"), Some(1_500));
        assert_eq!(parse_time("00:00:01.123456"), Some(1_123));
        for text in ["24:00", "1", "00:00:60", "0:0:0.", "a:b", "00:00:01.x"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-02"), Some((DAY, false)));
        assert_eq!(parse_timestamp("1970-01-01 00:00:01"), Some((1000, false)));
        assert_eq!(parse_timestamp("1970-01-01T00:00:01Z"), Some((1000, true)));
        let zoned = parse_timestamp("1970-01-01 02:00:00+02:00");
        assert_eq!(zoned, Some((0, true)));
        assert_eq!(parse_timestamp("yesterday"), None);
    }

    proptest! {
        #[test]
        fn days_come_back(day in -1_000_000i64..1_000_000) {
            let (y, m, d) = civil_from_days(day);
            prop_assert_eq!(days_from_civil(y, m, d), day);
            let (y, m, d) = julian_from_days(day);
            prop_assert_eq!(days_from_julian(y, m, d), day);
        }

        #[test]
        fn what_was_read_is_written_again(
            millis in -100_000_000_000_000i64..4_000_000_000_000,
            julian in any::<bool>(),
            minutes in -1080i64..1080
        ) {
            let calendar = Calendar { julian, zone: Zone::Fixed(minutes * 60_000) };
            // Ten days that never were have no name of their own in Java.
            let gap = GREGORIAN - 11..=GREGORIAN;
            prop_assume!(!gap.contains(&millis.div_euclid(DAY)));
            prop_assert_eq!(calendar.clock(calendar.timestamp(millis)), millis);
            prop_assert_eq!(calendar.moment(calendar.instant(millis)), millis);
            let time = calendar.time(millis.rem_euclid(DAY)).unwrap();
            prop_assert_eq!(calendar.time_of_day(time.into()), millis.rem_euclid(DAY));
        }
    }
}
