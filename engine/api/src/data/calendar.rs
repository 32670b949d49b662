//! Counts days: which date a day since the epoch is, and back, in the Gregorian calendar, the
//! Julian one, and the one of Java's that goes from this to that (`java.util.GregorianCalendar`).

use std::ops::RangeInclusive;

/// Milliseconds of a day.
pub const MILLIS_A_DAY: i64 = 86_400_000;

/// What a `Time` may be: midnight is also the end of the day (`Time.fromLogical` in Java).
pub const TIME_MILLIS: RangeInclusive<i32> = 0..=MILLIS_A_DAY as i32;

/// 15 October 1582, the first day of the Gregorian calendar in `java.util`; the day before is
/// 4 October in the Julian one.
pub const FIRST_GREGORIAN_DAY: i64 = -141_427;

/// Days since the epoch as year, month and day (proleptic Gregorian), after Howard Hinnant's
/// `civil_from_days`.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097) as u32;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (i64::from(year_of_era) + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of a date in the Gregorian calendar, counted from the epoch.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let (year, month) = march_first(year, month);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + i64::from(day) - 1 - 719_468
}

/// Days since the epoch as year, month and day of the Julian calendar.
pub fn julian_from_days(days: i64) -> (i64, u32, u32) {
    // Counted from 1 March of the year 0, so that a leap day is the last of its four years.
    let z = days + 719_470;
    let cycle = z.div_euclid(1_461);
    let day_of_cycle = z.rem_euclid(1_461);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460) / 365;
    let day_of_year = day_of_cycle - 365 * year_of_cycle;
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_cycle + cycle * 4 + i64::from(month <= 2), month, day)
}

/// The day of a date in the Julian calendar, counted from the epoch.
pub fn days_from_julian(year: i64, month: u32, day: u32) -> i64 {
    let (year, month) = march_first(year, month);
    365 * year + year.div_euclid(4) + (153 * month + 2) / 5 + i64::from(day) - 1 - 719_470
}

/// Years that begin in March have their leap day at the end.
fn march_first(year: i64, month: u32) -> (i64, i64) {
    let month = i64::from(month);
    if month > 2 { (year, month - 3) } else { (year - 1, month + 9) }
}

/// Days since the epoch as the year, month and day that Java's calendar shows. The year before the
/// first is 0.
pub fn java_date_from_days(days: i64) -> (i64, u32, u32) {
    if days < FIRST_GREGORIAN_DAY { julian_from_days(days) } else { civil_from_days(days) }
}

/// The day of a date in Java's calendar. One of the ten that never were is taken for a Julian one.
pub fn days_from_java_date(year: i64, month: u32, day: u32) -> i64 {
    let gregorian = days_from_civil(year, month, day);
    if gregorian >= FIRST_GREGORIAN_DAY {
        return gregorian;
    }
    days_from_julian(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_and_days_dates() {
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(java_date_from_days(FIRST_GREGORIAN_DAY), (1582, 10, 15));
        assert_eq!(java_date_from_days(FIRST_GREGORIAN_DAY - 1), (1582, 10, 4));
        assert_eq!(days_from_java_date(1582, 10, 5), FIRST_GREGORIAN_DAY);
        for days in (-3_000_000..3_000_000).step_by(997) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            let (year, month, day) = julian_from_days(days);
            assert_eq!(days_from_julian(year, month, day), days);
            let (year, month, day) = java_date_from_days(days);
            assert_eq!(days_from_java_date(year, month, day), days);
        }
    }
}
