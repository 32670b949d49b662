//! Decides which moment a text means by a pattern, as leniently as Java does: numbers may have any
//! amount and any sign, a day may lie outside of its month, and what follows is not looked at.

use super::clock::Clock;
use super::fields::{Fields, Slot};
use super::{Field, Item, MONTHS, SHORT, SimpleDateFormat, WEEKDAYS, zones};

impl SimpleDateFormat {
    /// The moment that a text means, in milliseconds since the epoch.
    pub(crate) fn parse(&self, text: &str) -> Option<i64> {
        let mut reader = Reader { format: self, text, at: 0, fields: Fields::default() };
        for item in &self.items {
            match item {
                Item::Literal(c) => reader.literal(*c)?,
                Item::Field { field, count, abuts } => {
                    reader.field(*field, *count, abuts.then_some(*count))?;
                }
            }
        }
        if reader.at == 0 {
            // As in Java, where no letter was read nothing was found.
            return None;
        }
        let fields = &mut reader.fields;
        let millis = fields.millis();
        if fields.year_may_be_of_next_century && millis < self.century_start {
            fields.add_century();
            return Some(fields.millis());
        }
        Some(millis)
    }
}

struct Reader<'a> {
    format: &'a SimpleDateFormat,
    text: &'a str,
    at: usize,
    fields: Fields,
}

impl Reader<'_> {
    fn rest(&self, at: usize) -> &str {
        &self.text[at..]
    }

    fn literal(&mut self, c: char) -> Option<()> {
        let found = self.rest(self.at).chars().next().filter(|found| *found == c)?;
        self.at += found.len_utf8();
        Some(())
    }

    /// Reads a field. Blanks before numbers and zones are skipped, and where `digits` are given a
    /// number ends that many characters behind the place where the blanks began.
    fn field(&mut self, field: Field, count: usize, digits: Option<usize>) -> Option<()> {
        let start = self.at;
        let blanks = self.rest(start).bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let behind_blanks = start + blanks;
        if behind_blanks == self.text.len() {
            return None;
        }
        match field {
            Field::ZoneName | Field::Zone => return self.named_zone(start, behind_blanks),
            Field::IsoZone => return self.iso_zone(behind_blanks, count),
            _ if !field.is_number(count) => return self.name(field),
            _ => {}
        }
        let end = match digits {
            Some(digits) => {
                let ends = self.rest(start).char_indices().map(|(at, _)| start + at);
                ends.chain([self.text.len()]).nth(digits)?
            }
            None => self.text.len(),
        };
        let (number, len) = number(self.text.get(behind_blanks..end)?)?;
        self.at = behind_blanks + len;
        let is_positive = self.text.as_bytes()[behind_blanks] != b'-';
        let is_year = matches!(field, Field::Year | Field::WeekYear);
        let number = match i64::from(number) {
            year if is_year && count <= 2 && len == 2 && is_positive => self.in_century(year),
            number => number,
        };
        self.fields.set_number(field, number);
        Some(())
    }

    /// The year of two digits in the century of the format.
    fn in_century(&mut self, digits: i64) -> i64 {
        let first = Clock::of(self.format.century_start).year();
        let (century, of_century) = (first / 100 * 100, first % 100);
        self.fields.year_may_be_of_next_century = digits == of_century;
        century + digits + if digits < of_century { 100 } else { 0 }
    }

    fn name(&mut self, field: Field) -> Option<()> {
        let rest = self.rest(self.at);
        let (place, len) = match field {
            Field::Month => full_or_short(rest, &MONTHS)?,
            Field::DayOfWeek => full_or_short(rest, &WEEKDAYS)?,
            Field::Era => longest(rest, ["BC", "AD", "Before Christ", "Anno Domini"])?,
            _ => longest(rest, ["AM", "PM"])?,
        };
        self.at += len;
        let place = place as i64;
        match field {
            Field::Month => self.fields.set(Slot::Month, place),
            Field::DayOfWeek => self.fields.set(Slot::DayOfWeek, place + 1),
            Field::Era => self.fields.set(Slot::Era, place % 2),
            _ => self.fields.set(Slot::AmPm, place),
        }
        Some(())
    }

    /// `GMT+1:00`, `+0100`, or a name.
    fn named_zone(&mut self, start: usize, behind_blanks: usize) -> Option<()> {
        let bytes = self.text.as_bytes();
        if let Some(sign) = sign(bytes.get(behind_blanks)) {
            return self.offset(behind_blanks + 1, sign, OffsetForm::HoursMinutes);
        }
        let starts_with_gmt =
            bytes.get(start..start + 3).is_some_and(|name| name.eq_ignore_ascii_case(b"GMT"));
        if starts_with_gmt {
            if let Some(sign) = sign(bytes.get(start + 3)) {
                return self.offset(start + 4, sign, OffsetForm::Custom);
            }
            self.at = start + 3;
            self.fields.minutes_ahead = 0;
            return Some(());
        }
        let (len, minutes) = zones::zone(self.rest(behind_blanks))?;
        self.at = behind_blanks + len;
        self.fields.minutes_ahead = minutes.unwrap_or(self.fields.minutes_ahead);
        Some(())
    }

    /// `Z`, or an offset in the form that the number of letters says.
    fn iso_zone(&mut self, at: usize, count: usize) -> Option<()> {
        let bytes = self.text.as_bytes();
        if bytes.get(at) == Some(&b'Z') {
            self.at = at + 1;
            self.fields.minutes_ahead = 0;
            return Some(());
        }
        let form = match count {
            1 => OffsetForm::Hours,
            2 => OffsetForm::HoursMinutes,
            _ => OffsetForm::HoursColonMinutes,
        };
        self.offset(at + 1, sign(bytes.get(at))?, form)
    }

    fn offset(&mut self, at: usize, sign: i64, form: OffsetForm) -> Option<()> {
        let bytes = self.text.as_bytes();
        let digit = |at: usize| {
            bytes.get(at).filter(|b| b.is_ascii_digit()).map(|digit| i64::from(digit - b'0'))
        };
        let mut hours = digit(at)?;
        let mut at = at + 1;
        match digit(at) {
            Some(second) => {
                hours = hours * 10 + second;
                at += 1;
            }
            None if form != OffsetForm::Custom => return None,
            None => {}
        }
        let mut minutes = 0;
        if form != OffsetForm::Hours {
            if matches!(form, OffsetForm::HoursColonMinutes | OffsetForm::Custom) {
                bytes.get(at).filter(|b| **b == b':')?;
                at += 1;
            }
            minutes = digit(at)? * 10 + digit(at + 1)?;
            at += 2;
        }
        if hours > 23 || minutes > 59 {
            return None;
        }
        self.at = at;
        self.fields.minutes_ahead = sign * (hours * 60 + minutes);
        Some(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OffsetForm {
    /// `+01`
    Hours,
    /// `+0100`
    HoursMinutes,
    /// `+01:00`
    HoursColonMinutes,
    /// `+1:00` or `+01:00`
    Custom,
}

fn sign(byte: Option<&u8>) -> Option<i64> {
    match byte? {
        b'+' => Some(1),
        b'-' => Some(-1),
        _ => None,
    }
}

/// An integer at the beginning of a text and its length. Numbers that are too long are taken as
/// Java takes them: past 64 bits they end there, before that the lower 32 bits count.
fn number(text: &str) -> Option<(i32, usize)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_negative = digits.len() < text.len();
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return None;
    }
    let len = count + usize::from(is_negative);
    let number = match text[..len].parse::<i64>() {
        Ok(number) => number as i32,
        Err(_) if is_negative => i32::MIN,
        Err(_) => i32::MAX,
    };
    Some((number, len))
}

/// The longest of the names that a text begins with, in letters of either case: its place, and its
/// length.
fn longest<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Option<(usize, usize)> {
    let is_prefix =
        |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let found = names.into_iter().enumerate().filter(|(_, name)| is_prefix(name));
    found.map(|(place, name)| (place, name.len())).max_by_key(|(_, len)| *len)
}

fn full_or_short(text: &str, names: &[&'static str]) -> Option<(usize, usize)> {
    let full = longest(text, names.iter().copied());
    full.or_else(|| longest(text, names.iter().map(|name| &name[..SHORT])))
}
