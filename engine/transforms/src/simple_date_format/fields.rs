//! Decides which moment fields of a date mean that may contradict one another or say too little, as
//! `java.util.GregorianCalendar` decides it when it is lenient.

use millrace_api::data::{
    FIRST_GREGORIAN_DAY, days_from_civil, days_from_java_date, days_from_julian,
};

use super::clock::week;
use super::{DAY, Field};

/// What Java's calendar computes a moment from.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Era,
    Year,
    WeekYear,
    Month,
    WeekOfYear,
    WeekOfMonth,
    DayOfMonth,
    DayOfYear,
    DayOfWeek,
    DayOfWeekInMonth,
    AmPm,
    HalfDayHour,
    Hour,
    Minute,
    Second,
    Millisecond,
}

const SLOTS: usize = Slot::Millisecond as usize + 1;

/// What was read. Of fields that contradict one another the later ones count.
#[derive(Default)]
pub(super) struct Fields {
    values: [i64; SLOTS],
    /// How many fields had been read when this one was, counting it; 0 is for a field that was not.
    stamps: [u32; SLOTS],
    last_stamp: u32,
    pub(super) minutes_ahead: i64,
    /// Two digits are those of the year that the hundred years begin in.
    pub(super) year_may_be_of_next_century: bool,
}

/// Which fields say what day it is.
enum DayBy {
    Month,
    DayOfMonth,
    WeekOfMonth,
    DayOfWeekInMonth,
    DayOfYear,
    WeekOfYear,
}

impl Fields {
    pub(super) fn set(&mut self, slot: Slot, value: i64) {
        self.last_stamp += 1;
        self.values[slot as usize] = value;
        self.stamps[slot as usize] = self.last_stamp;
    }

    pub(super) fn set_number(&mut self, field: Field, number: i64) {
        let (slot, number) = match field {
            Field::Year => (Slot::Year, number),
            Field::WeekYear => (Slot::WeekYear, number),
            Field::Month => (Slot::Month, number - 1),
            Field::WeekOfYear => (Slot::WeekOfYear, number),
            Field::WeekOfMonth => (Slot::WeekOfMonth, number),
            Field::DayOfMonth => (Slot::DayOfMonth, number),
            Field::DayOfYear => (Slot::DayOfYear, number),
            Field::DayOfWeekInMonth => (Slot::DayOfWeekInMonth, number),
            // Sunday is 1 in the slot; what is no day of the week stays what it is.
            Field::DayNumberOfWeek if number == 7 => (Slot::DayOfWeek, 1),
            Field::DayNumberOfWeek if (1..7).contains(&number) => (Slot::DayOfWeek, number + 1),
            Field::DayNumberOfWeek => (Slot::DayOfWeek, number),
            Field::HourFrom1 if number == 24 => (Slot::Hour, 0),
            Field::Hour | Field::HourFrom1 => (Slot::Hour, number),
            Field::HalfDayHourFrom1 if number == 12 => (Slot::HalfDayHour, 0),
            Field::HalfDayHour | Field::HalfDayHourFrom1 => (Slot::HalfDayHour, number),
            Field::Minute => (Slot::Minute, number),
            Field::Second => (Slot::Second, number),
            Field::Millisecond => (Slot::Millisecond, number),
            Field::Era
            | Field::DayOfWeek
            | Field::AmPm
            | Field::ZoneName
            | Field::Zone
            | Field::IsoZone => unreachable!("these are no numbers"),
        };
        self.set(slot, number);
    }

    pub(super) fn add_century(&mut self) {
        self.values[Slot::Year as usize] += 100;
        self.values[Slot::WeekYear as usize] += 100;
    }

    fn value(&self, slot: Slot) -> i64 {
        self.values[slot as usize]
    }

    fn stamp(&self, slot: Slot) -> u32 {
        self.stamps[slot as usize]
    }

    fn get(&self, slot: Slot) -> Option<i64> {
        (self.stamp(slot) > 0).then(|| self.value(slot))
    }

    pub(super) fn millis(&self) -> i64 {
        let is_week_date = self.stamp(Slot::WeekYear) > self.stamp(Slot::Year);
        let time = self.time();
        let (days_more, time) = (time.div_euclid(DAY), time.rem_euclid(DAY));
        let day = match is_week_date {
            true => self.day_of_week_date() + days_more,
            false => self.day(days_more),
        };
        // Years far away wrap around, as Java's do.
        day.wrapping_mul(DAY).wrapping_add(time).wrapping_sub(self.minutes_ahead * 60_000)
    }

    fn time(&self) -> i64 {
        let both = |a: Slot, b: Slot| match (self.stamp(a), self.stamp(b)) {
            (0, _) | (_, 0) => 0,
            (a, b) => a.max(b),
        };
        let hour = self.stamp(Slot::Hour);
        let hours = if hour > 0 && hour >= both(Slot::HalfDayHour, Slot::AmPm) {
            self.value(Slot::Hour)
        } else {
            self.value(Slot::HalfDayHour) + 12 * self.value(Slot::AmPm)
        };
        let minutes = hours * 60 + self.value(Slot::Minute);
        (minutes * 60 + self.value(Slot::Second)) * 1000 + self.value(Slot::Millisecond)
    }

    /// The year with the era reckoned in; the year before the first is 0.
    fn year(&self, of_era: i64) -> i64 {
        if self.get(Slot::Era) == Some(0) { 1 - of_era } else { of_era }
    }

    /// The day that so many come after that the fields say. The ten days that never were are taken
    /// for Julian ones.
    fn day(&self, days_more: i64) -> i64 {
        let year = self.year(self.get(Slot::Year).unwrap_or(1970));
        let by = self.day_by();
        let gregorian = self.day_in(year, &by, days_from_civil) + days_more;
        let may_be_gregorian = match by {
            DayBy::DayOfYear | DayBy::WeekOfYear => year > 1582,
            _ => year >= 1582,
        };
        if may_be_gregorian && gregorian >= FIRST_GREGORIAN_DAY {
            return gregorian;
        }
        self.day_in(year, &by, days_from_julian) + days_more
    }

    /// The day, by a calendar that tells the first day of a month.
    fn day_in(&self, year: i64, by: &DayBy, calendar: fn(i64, u32, u32) -> i64) -> i64 {
        let weekday = self.get(Slot::DayOfWeek);
        if matches!(by, DayBy::DayOfYear | DayBy::WeekOfYear) {
            let first = calendar(year, 1, 1);
            return match by {
                DayBy::DayOfYear => first + self.value(Slot::DayOfYear) - 1,
                _ => in_week(first, self.value(Slot::WeekOfYear), weekday.unwrap_or(1)),
            };
        }
        let month = self.value(Slot::Month);
        let of_year = month.rem_euclid(12) as u32 + 1;
        let first = calendar(year + month.div_euclid(12), of_year, 1);
        match by {
            DayBy::DayOfMonth => first + self.value(Slot::DayOfMonth) - 1,
            DayBy::WeekOfMonth => {
                in_week(first, self.value(Slot::WeekOfMonth), weekday.unwrap_or(1))
            }
            DayBy::DayOfWeekInMonth => {
                let weekday = weekday.unwrap_or(1);
                let times = self.get(Slot::DayOfWeekInMonth).unwrap_or(1);
                if times >= 0 {
                    return on_or_before(first + 7 * times - 1, weekday);
                }
                let next = month + 1;
                let of_year = next.rem_euclid(12) as u32 + 1;
                let next = calendar(year + next.div_euclid(12), of_year, 1);
                on_or_before(next - 1 + 7 * (times + 1), weekday)
            }
            _ => first,
        }
    }

    /// Which fields the latest ones are that say a day: those of weeks count together with the day
    /// of the week (`Calendar.selectFields`).
    fn day_by(&self) -> DayBy {
        let stamp = |slot| self.stamp(slot);
        let weekday = stamp(Slot::DayOfWeek);
        let with_weekday = |slot| match (stamp(slot), weekday) {
            (0, _) | (_, 0) => 0,
            (slot, weekday) => slot.max(weekday),
        };
        let day_of_month = stamp(Slot::DayOfMonth);
        let day_of_year = stamp(Slot::DayOfYear);
        let mut of_month = with_weekday(Slot::WeekOfMonth);
        let mut in_month = with_weekday(Slot::DayOfWeekInMonth);
        let mut of_year = with_weekday(Slot::WeekOfYear);
        let mut best = day_of_month.max(day_of_year).max(of_month).max(in_month).max(of_year);
        if best == 0 {
            of_month = stamp(Slot::WeekOfMonth);
            in_month = stamp(Slot::DayOfWeekInMonth).max(weekday);
            of_year = stamp(Slot::WeekOfYear);
            best = of_month.max(in_month).max(of_year);
        }
        let week_of_year = stamp(Slot::WeekOfYear);
        let is_of_month = best == of_month && stamp(Slot::WeekOfMonth) >= week_of_year;
        let is_in_month = best == in_month && stamp(Slot::DayOfWeekInMonth) >= week_of_year;
        if best == 0 {
            DayBy::Month
        } else if best == day_of_month {
            DayBy::DayOfMonth
        } else if is_of_month || is_in_month {
            let of_month_counts = match of_month == in_month {
                true => stamp(Slot::WeekOfMonth) >= stamp(Slot::DayOfWeekInMonth),
                false => best == of_month,
            };
            if of_month_counts { DayBy::WeekOfMonth } else { DayBy::DayOfWeekInMonth }
        } else if best == day_of_year {
            DayBy::DayOfYear
        } else {
            DayBy::WeekOfYear
        }
    }

    /// The day of a year of weeks (`Y`), a week and a day of the week.
    fn day_of_week_date(&self) -> i64 {
        let year = self.year(self.value(Slot::WeekYear));
        let mut weeks = self.get(Slot::WeekOfYear).unwrap_or(1);
        let mut weekday = self.get(Slot::DayOfWeek).unwrap_or(1);
        if !(1..=7).contains(&weekday) {
            // Such days are counted from Monday on.
            weeks += (weekday - 1).div_euclid(7);
            weekday = ((weekday - 1).rem_euclid(7) + 1) % 7 + 1;
        }
        let first = days_from_java_date(year, 1, 1);
        sunday_of(first) + 7 * (weeks - 1) + weekday - 1
    }
}

/// The Sunday that a day's week begins with.
fn sunday_of(day: i64) -> i64 {
    week(day) * 7 - 4
}

/// The last day up to this one that is the given day of the week; Sunday is 1.
fn on_or_before(day: i64, weekday: i64) -> i64 {
    day - (day + 4 - (weekday - 1)).rem_euclid(7)
}

/// The day of a week; the first week is the one with the first day.
fn in_week(first: i64, week: i64, weekday: i64) -> i64 {
    on_or_before(sunday_of(first) + 6, weekday) + 7 * (week - 1)
}
