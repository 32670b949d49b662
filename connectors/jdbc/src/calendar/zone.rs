//! Decides how far the clocks of a zone (`db.timezone`) are ahead of UTC, by the rules of
//! `java.util.TimeZone`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Dst, Offset, TimeZone};
use millrace_api::{Error, Result};

/// Java counts with a zone's last standard time before 1900.
const YEAR_1900: i64 = -2_208_988_800_000;

/// Where the clocks are that a database's times without a zone show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// So many milliseconds ahead of UTC.
    Fixed(i64),
    Named(&'static Rules),
}

impl Default for Zone {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

/// When the clocks of a named zone are changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    zone: TimeZone,
    /// Its last standard time, in milliseconds ahead of UTC.
    standard: i64,
}

impl Zone {
    /// How far clocks are ahead at a point in time.
    pub(crate) fn ahead(self, millis: i64) -> i64 {
        match self {
            Self::Fixed(ahead) => ahead,
            Self::Named(rules) => rules.ahead(millis),
        }
    }

    /// How far clocks are ahead that show this. Where they were put back and show it twice, the
    /// second time counts; where they were put forward and never showed it, the rule before.
    pub(crate) fn ahead_of_clock(self, millis: i64) -> i64 {
        match self {
            Self::Fixed(ahead) => ahead,
            Self::Named(rules) => rules.ahead_of_clock(millis),
        }
    }
}

/// Times past the years that rules are for have the rule of their end.
fn timestamp(millis: i64) -> Timestamp {
    let (first, last) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    // A day from the ends, so that clocks are in range as well.
    let day = super::DAY;
    Timestamp::from_millisecond(millis.clamp(first + day, last - day)).unwrap_or_default()
}

fn millis(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1000
}

impl Rules {
    fn of(zone: TimeZone) -> Self {
        // In one of two summers it is winter.
        let ahead = [2_114_380_800_000, 2_130_019_200_000].map(|then| {
            let info = zone.to_offset_info(timestamp(then));
            (info.dst() == Dst::Yes, millis(info.offset()))
        });
        let standard = if ahead[0].0 { ahead[1].1 } else { ahead[0].1 };
        Self { zone, standard }
    }

    fn ahead(&self, at: i64) -> i64 {
        if at < YEAR_1900 {
            return self.standard;
        }
        millis(self.zone.to_offset(timestamp(at)))
    }

    fn ahead_of_clock(&self, clock: i64) -> i64 {
        if clock.saturating_sub(self.standard) < YEAR_1900 {
            return self.standard;
        }
        let clock = Offset::UTC.to_datetime(timestamp(clock));
        millis(match self.zone.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        })
    }
}

/// What Java calls zones by three letters (`ZoneId.SHORT_IDS`).
const SHORT: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

/// The zone that a configuration names (`db.timezone`).
pub(crate) fn zone(name: &str) -> Result<Zone> {
    let long = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long);
    let prefixes = ["UTC", "GMT", "UT"];
    let bare = prefixes.iter().find_map(|prefix| long.strip_prefix(prefix)).unwrap_or(long);
    if !long.is_empty() {
        if matches!(bare, "" | "Z" | "Etc/UTC" | "Etc/GMT" | "Zulu") {
            return Ok(Zone::Fixed(0));
        }
        if let Some(zone) = fixed(bare).map(Zone::Fixed).or_else(|| named(long)) {
            return Ok(zone);
        }
    }
    let message = "the zone is not known; write UTC, an offset such as +02:00, or a name such as \
                   Europe/Berlin";
    Err(Error::config(message).context("db.timezone", name))
}

/// The rules of a zone are kept for as long as the process runs: there are some hundreds of zones.
fn named(name: &str) -> Option<Zone> {
    static KNOWN: Mutex<BTreeMap<String, &'static Rules>> = Mutex::new(BTreeMap::new());
    let zone = TimeZone::get(name).ok()?;
    let canonical = zone.iana_name().unwrap_or(name).to_owned();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let rules = known.entry(canonical).or_insert_with(|| Box::leak(Box::new(Rules::of(zone))));
    Some(Zone::Named(rules))
}

/// `+2`, `+02`, `+0200`, `+02:00`, up to 18 hours, as milliseconds.
pub(super) fn fixed(text: &str) -> Option<i64> {
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits = text[1..].replace(':', "");
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.parse::<i64>().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        _ => return None,
    };
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 18 * 60).then_some(sign * total * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_timestamp;

    #[test]
    fn names_and_offsets() {
        let check = |name: &str, minutes: i64| {
            assert_eq!(zone(name).unwrap(), Zone::Fixed(minutes * 60_000), "{name}");
        };
        check("UTC", 0);
        check("Z", 0);
        check("Etc/UTC", 0);
        check("GMT+2", 120);
        check("+02:00", 120);
        check("-0330", -210);
        check("EST", -300);
        for (short, _) in SHORT {
            zone(short).unwrap();
        }
        for name in ["", "+25", "+1:2:3", "+02:99", "+x", "Europe/Atlantis", "../passwd"] {
            let message = zone(name).unwrap_err().to_string();
            assert!(message.contains("db.timezone: "), "{message}");
        }
    }

    /// What `java.util.GregorianCalendar` makes of clocks, in minutes ahead of UTC.
    #[test]
    fn clocks_that_are_changed() {
        let check = |name: &str, clock: &str, minutes: i64| {
            let zone = zone(name).unwrap();
            let (clock, _) = parse_timestamp(clock).unwrap();
            assert_eq!(zone.ahead_of_clock(clock), minutes * 60_000, "{name} {clock}");
        };
        check("Europe/Berlin", "2026-01-01 00:00", 60);
        check("Europe/Berlin", "2026-07-01 00:00", 120);
        // Never shown: 02:30 is 03:30.
        check("Europe/Berlin", "2026-03-29 01:59", 60);
        check("Europe/Berlin", "2026-03-29 02:30", 60);
        check("Europe/Berlin", "2026-03-29 03:00", 120);
        // Shown twice.
        check("Europe/Berlin", "2026-10-25 01:59", 120);
        check("Europe/Berlin", "2026-10-25 02:30", 60);
        check("Europe/Berlin", "2026-10-25 03:00", 60);
        check("PST", "2026-03-08 02:30", -480);
        check("PST", "2026-11-01 01:30", -480);
        check("PST", "2026-07-01 00:00", -420);
        check("Australia/Sydney", "2026-01-01 00:00", 660);
        check("Australia/Lord_Howe", "2026-04-05 01:45", 630);
        // Before 1900 the last standard time, not the sun's.
        check("Europe/Berlin", "1850-07-01 00:00", 60);
        check("Australia/Sydney", "1850-01-01 00:00", 600);
    }

    #[test]
    fn points_in_time() {
        let berlin = zone("Europe/Berlin").unwrap();
        let at = |text: &str| parse_timestamp(text).unwrap().0;
        for (text, minutes) in
            [("2026-10-25T00:59Z", 120), ("2026-10-25T01:00Z", 60), ("2026-03-29T01:00Z", 120)]
        {
            assert_eq!(berlin.ahead(at(text)), minutes * 60_000, "{text}");
        }
        for millis in [i64::MIN, i64::MAX] {
            berlin.ahead(millis);
            berlin.ahead_of_clock(millis);
        }
    }
}
