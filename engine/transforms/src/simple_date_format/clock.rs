//! Decides what calendar and clock show at a moment in UTC: Java's calendar, in which weeks begin
//! on Sunday and the week of 1 January is the first of its year.

use millrace_api::data::{days_from_java_date, java_date_from_days};

use super::DAY;

/// The number of Sundays up to a day, but for a constant: the same for all days of a week.
pub(super) fn week(day: i64) -> i64 {
    (day + 4).div_euclid(7)
}

/// A moment taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Days since the epoch.
    day: i64,
    /// The year before the first is 0.
    year: i64,
    month: u32,
    day_of_month: u32,
    /// Milliseconds since midnight.
    time: i64,
}

impl Clock {
    pub(super) fn of(millis: i64) -> Self {
        let day = millis.div_euclid(DAY);
        let (year, month, day_of_month) = java_date_from_days(day);
        Self { day, year, month, day_of_month, time: millis.rem_euclid(DAY) }
    }

    /// The same time so many years before. The 29th of February may become the 28th.
    pub(super) fn years_earlier(&self, years: i64) -> i64 {
        let year = self.year - years;
        let of_month = |day| days_from_java_date(year, self.month, day);
        let day = of_month(self.day_of_month);
        let exists = java_date_from_days(day).1 == self.month;
        let day = if exists { day } else { of_month(self.day_of_month - 1) };
        day * DAY + self.time
    }

    pub(super) fn is_before_christ(&self) -> bool {
        self.year < 1
    }

    pub(super) fn year(&self) -> i64 {
        self.year
    }

    pub(super) fn year_of_era(&self) -> i64 {
        if self.is_before_christ() { 1 - self.year } else { self.year }
    }

    /// January is 0.
    pub(super) fn month0(&self) -> usize {
        self.month as usize - 1
    }

    pub(super) fn day_of_month(&self) -> i64 {
        self.day_of_month.into()
    }

    pub(super) fn day_of_year(&self) -> i64 {
        self.day - days_from_java_date(self.year, 1, 1) + 1
    }

    /// Sunday is 0.
    pub(super) fn weekday0(&self) -> usize {
        (self.day + 4).rem_euclid(7) as usize
    }

    fn first_of_month(&self) -> i64 {
        days_from_java_date(self.year, self.month, 1)
    }

    /// How often there was this day of the week in the month.
    pub(super) fn weekday_in_month(&self) -> i64 {
        (self.day - self.first_of_month()) / 7 + 1
    }

    pub(super) fn week_of_month(&self) -> i64 {
        week(self.day) - week(self.first_of_month()) + 1
    }

    /// The year that the week belongs to.
    pub(super) fn week_year(&self) -> i64 {
        let of_next = week(self.day) == week(days_from_java_date(self.year + 1, 1, 1));
        self.year + i64::from(of_next)
    }

    pub(super) fn week_of_year(&self) -> i64 {
        week(self.day) - week(days_from_java_date(self.week_year(), 1, 1)) + 1
    }

    pub(super) fn hour(&self) -> i64 {
        self.time / 3_600_000
    }

    pub(super) fn minute(&self) -> i64 {
        self.time / 60_000 % 60
    }

    pub(super) fn second(&self) -> i64 {
        self.time / 1000 % 60
    }

    pub(super) fn millisecond(&self) -> i64 {
        self.time % 1000
    }
}
