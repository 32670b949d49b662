//! Decides what a pattern of `java.text.SimpleDateFormat` means, and how a moment reads in it: in
//! UTC and in English, as a worker of Java's with the locale `en_US` shows it.

mod clock;
mod fields;
mod parse;
mod zones;

use std::time::{SystemTime, UNIX_EPOCH};

use millrace_api::data::MILLIS_A_DAY as DAY;
use millrace_api::{Error, Result};

use self::clock::Clock;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Names that are cut short have so many letters.
const SHORT: usize = 3;
/// Java's numbers have no more digits than a double may need.
const MAX_DIGITS: usize = 309;

/// What a letter of a pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
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
    /// Monday is 1.
    DayNumberOfWeek,
    AmPm,
    /// From 0 to 23.
    Hour,
    /// From 1 to 24.
    HourFrom1,
    /// From 0 to 11.
    HalfDayHour,
    /// From 1 to 12.
    HalfDayHourFrom1,
    Minute,
    Second,
    Millisecond,
    ZoneName,
    Zone,
    IsoZone,
}

impl Field {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'G' => Self::Era,
            'y' => Self::Year,
            'Y' => Self::WeekYear,
            'M' | 'L' => Self::Month,
            'w' => Self::WeekOfYear,
            'W' => Self::WeekOfMonth,
            'd' => Self::DayOfMonth,
            'D' => Self::DayOfYear,
            'E' => Self::DayOfWeek,
            'F' => Self::DayOfWeekInMonth,
            'u' => Self::DayNumberOfWeek,
            'a' => Self::AmPm,
            'H' => Self::Hour,
            'k' => Self::HourFrom1,
            'K' => Self::HalfDayHour,
            'h' => Self::HalfDayHourFrom1,
            'm' => Self::Minute,
            's' => Self::Second,
            'S' => Self::Millisecond,
            'z' => Self::ZoneName,
            'Z' => Self::Zone,
            'X' => Self::IsoZone,
            _ => return None,
        })
    }

    /// Whether so many letters of it stand for a number.
    fn is_number(self, count: usize) -> bool {
        match self {
            Self::Era
            | Self::DayOfWeek
            | Self::AmPm
            | Self::ZoneName
            | Self::Zone
            | Self::IsoZone => false,
            Self::Month => count < 3,
            _ => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Literal(char),
    Field {
        field: Field,
        count: usize,
        /// A number follows at once, so that this one has as many digits as letters.
        abuts: bool,
    },
}

/// A pattern (`java.text.SimpleDateFormat`).
#[derive(Clone, Debug)]
pub(crate) struct SimpleDateFormat {
    items: Vec<Item>,
    /// Years of two digits lie in the hundred years that begin with this moment.
    century_start: i64,
}

impl SimpleDateFormat {
    /// Reads a pattern. Years of two digits will be those from 80 years ago on.
    pub(crate) fn new(pattern: &str) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        Self::made_at(pattern, i64::try_from(now).unwrap_or(0))
    }

    fn made_at(pattern: &str, now: i64) -> Result<Self> {
        let mut items = read(pattern)
            .map_err(|words| Error::config(words).as_java("java.lang.IllegalArgumentException"))?;
        for place in 1..items.len() {
            let is_number = matches!(items[place],
                Item::Field { field, count, .. } if field.is_number(count));
            if let Item::Field { abuts, .. } = &mut items[place - 1] {
                *abuts = is_number;
            }
        }
        Ok(Self { items, century_start: Clock::of(now).years_earlier(80) })
    }

    /// So many milliseconds, counted from the epoch, read the same.
    pub(crate) fn period(&self) -> i64 {
        let period = |item: &Item| match item {
            Item::Literal(_) => DAY,
            Item::Field { field, .. } => match field {
                Field::Millisecond => 1,
                Field::Second => 1000,
                Field::Minute => 60_000,
                Field::Hour | Field::HourFrom1 | Field::HalfDayHour | Field::HalfDayHourFrom1 => {
                    3_600_000
                }
                Field::AmPm => DAY / 2,
                _ => DAY,
            },
        };
        self.items.iter().map(period).min().unwrap_or(DAY)
    }

    /// A moment, in milliseconds since the epoch, in this form.
    pub(crate) fn format(&self, millis: i64) -> String {
        let mut out = String::with_capacity(32);
        let clock = Clock::of(millis);
        for item in &self.items {
            match item {
                Item::Literal(c) => out.push(*c),
                Item::Field { field, count, .. } => append(&mut out, &clock, *field, *count),
            }
        }
        out
    }
}

fn read(pattern: &str) -> Result<Vec<Item>, String> {
    let mut items: Vec<Item> = Vec::new();
    let mut chars = pattern.chars().peekable();
    let mut is_quoted = false;
    // The letter that a run of letters consists of; what stands between ends the run.
    let mut run = None;
    while let Some(c) = chars.next() {
        if c == '\'' {
            if chars.next_if_eq(&'\'').is_some() {
                items.push(Item::Literal('\''));
            } else {
                is_quoted = !is_quoted;
            }
            run = None;
        } else if is_quoted || !c.is_ascii_alphabetic() {
            items.push(Item::Literal(c));
            run = None;
        } else {
            let field = Field::of(c).ok_or_else(|| format!("Illegal pattern character '{c}'"))?;
            match items.last_mut() {
                Some(Item::Field { count, .. }) if run == Some(c) => *count += 1,
                _ => items.push(Item::Field { field, count: 1, abuts: false }),
            }
            run = Some(c);
        }
    }
    if is_quoted {
        return Err("Unterminated quote".to_owned());
    }
    let too_long = |item: &Item| match item {
        Item::Field { field: Field::IsoZone, count, .. } if *count > 3 => Some(*count),
        _ => None,
    };
    match items.iter().find_map(too_long) {
        Some(count) => Err(format!("invalid ISO 8601 format: length={count}")),
        None => Ok(items),
    }
}

fn append(out: &mut String, clock: &Clock, field: Field, count: usize) {
    let name = |name: &'static str| if count < 4 { &name[..SHORT] } else { name };
    // Two letters show two digits.
    let shown_year = |year: i64| if count == 2 { year % 100 } else { year };
    let number = match field {
        Field::Era => return out.push_str(if clock.is_before_christ() { "BC" } else { "AD" }),
        Field::Month if count >= 3 => return out.push_str(name(MONTHS[clock.month0()])),
        Field::DayOfWeek => return out.push_str(name(WEEKDAYS[clock.weekday0()])),
        Field::AmPm => return out.push_str(if clock.hour() < 12 { "AM" } else { "PM" }),
        Field::ZoneName if count < 4 => return out.push_str("UTC"),
        Field::ZoneName => return out.push_str("Coordinated Universal Time"),
        Field::Zone => return out.push_str("+0000"),
        Field::IsoZone => return out.push('Z'),
        Field::Year => shown_year(clock.year_of_era()),
        Field::WeekYear => {
            let year = clock.week_year();
            out.push_str(if year < 0 { "-" } else { "" });
            shown_year(year.abs())
        }
        Field::Month => clock.month0() as i64 + 1,
        Field::WeekOfYear => clock.week_of_year(),
        Field::WeekOfMonth => clock.week_of_month(),
        Field::DayOfMonth => clock.day_of_month(),
        Field::DayOfYear => clock.day_of_year(),
        Field::DayOfWeekInMonth => clock.weekday_in_month(),
        Field::DayNumberOfWeek => (clock.weekday0() as i64 + 6) % 7 + 1,
        Field::Hour => clock.hour(),
        Field::HourFrom1 => (clock.hour() + 23) % 24 + 1,
        Field::HalfDayHour => clock.hour() % 12,
        Field::HalfDayHourFrom1 => (clock.hour() + 11) % 12 + 1,
        Field::Minute => clock.minute(),
        Field::Second => clock.second(),
        Field::Millisecond => clock.millisecond(),
    };
    append_number(out, number.unsigned_abs(), count.min(MAX_DIGITS));
}

/// Appends a number with zeros before it; formatting macros take several times as long.
fn append_number(out: &mut String, mut number: u64, width: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = &digits[start..];
    out.extend(std::iter::repeat_n('0', width.saturating_sub(digits.len())));
    out.extend(digits.iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests;
