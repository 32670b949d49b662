//! Decides which names of time zones are known in a text, and how far their clocks are ahead of
//! UTC: those of Java's whose distance is the same all the time.

/// A zone's names, and how many minutes its clocks are ahead. Java knows more names, of which some
/// stand for several zones.
const ZONES: [(&str, i64); 67] = [
    ("ACST", 570),
    ("ADT", -180),
    ("AEDT", 660),
    ("AEST", 600),
    ("AKDT", -480),
    ("AKST", -540),
    ("Alaska Daylight Time", -480),
    ("Alaska Standard Time", -540),
    ("AST", -240),
    ("Atlantic Daylight Time", -180),
    ("Atlantic Standard Time", -240),
    ("AWST", 480),
    ("BRT", -180),
    ("British Summer Time", 60),
    ("BST", 60),
    ("CAT", 120),
    ("CDT", -300),
    ("Central Daylight Time", -300),
    ("Central European Standard Time", 60),
    ("Central European Summer Time", 120),
    ("Central European Time", 60),
    ("Central Standard Time", -360),
    ("CEST", 120),
    ("CET", 60),
    ("China Standard Time", 480),
    ("CST", -360),
    ("EAT", 180),
    ("Eastern Daylight Time", -240),
    ("Eastern European Standard Time", 120),
    ("Eastern Standard Time", -300),
    ("EDT", -240),
    ("EEST", 180),
    ("EET", 120),
    ("EST", -300),
    ("GMT", 0),
    ("Greenwich Mean Time", 0),
    ("Hawaii-Aleutian Standard Time", -600),
    ("HKT", 480),
    ("HST", -600),
    ("IDT", 180),
    ("India Standard Time", 330),
    ("IST", 120),
    ("Japan Standard Time", 540),
    ("JST", 540),
    ("Korean Standard Time", 540),
    ("KST", 540),
    ("MDT", -360),
    ("MET", 60),
    ("Moscow Standard Time", 180),
    ("Mountain Daylight Time", -360),
    ("Mountain Standard Time", -420),
    ("MSK", 180),
    ("MST", -420),
    ("NDT", -150),
    ("NZDT", 780),
    ("NZST", 720),
    ("Pacific Daylight Time", -420),
    ("Pacific Standard Time", -480),
    ("PDT", -420),
    ("PKT", 300),
    ("PST", -480),
    ("SAST", 120),
    ("SGT", 480),
    ("WAT", 60),
    ("WEST", 60),
    ("Western European Standard Time", 0),
    ("WET", 0),
];

/// The names of the zone that the format itself is in.
const OWN: [&str; 2] = ["Coordinated Universal Time", "UTC"];

/// The zone that a text begins with, in letters of either case: how many letters its name has, and
/// how many minutes its clocks are ahead. The format's own zone says nothing about that.
pub(super) fn zone(text: &str) -> Option<(usize, Option<i64>)> {
    let is_prefix =
        |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    if let Some(name) = OWN.into_iter().find(|name| is_prefix(name)) {
        return Some((name.len(), None));
    }
    let known = ZONES.iter().filter(|(name, _)| is_prefix(name));
    known.map(|(name, minutes)| (name.len(), Some(*minutes))).max()
}
