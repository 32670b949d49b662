//! Decides whether a text is of a named format. Formats that are not known allow any text.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) fn is_valid(format: &str, text: &str) -> bool {
    match format {
        "date-time" => {
            text.split_once(['T', 't']).is_some_and(|(date, time)| is_date(date) && is_time(time))
        }
        "date" => is_date(text),
        "time" => is_time(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "email" => text
            .rsplit_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !name.contains(' ') && is_host(host)),
        "hostname" => is_host(text),
        "uri" => text.split_once(':').is_some_and(|(scheme, rest)| {
            is_scheme(scheme) && !rest.is_empty() && is_address(text)
        }),
        "uri-reference" => is_address(text),
        "regex" => regex::Regex::new(text).is_ok(),
        _ => true,
    }
}

/// A number of so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let is_plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2))
    else {
        return false;
    };
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// With an offset.
fn is_time(text: &str) -> bool {
    let Some(at) = text.find(['Z', 'z', '+', '-']) else { return false };
    let (time, offset) = text.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_offset = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', ..] => is_clock(&offset[1..], 2),
        _ => false,
    };
    is_fraction && is_offset && is_clock(time, 3)
}

fn is_clock(text: &str, parts: usize) -> bool {
    let numbers: Vec<Option<u32>> = text.split(':').map(|part| number(part, 2)).collect();
    let limits = [24, 60, 61];
    numbers.len() == parts
        && numbers.iter().zip(limits).all(|(number, limit)| number.is_some_and(|n| n < limit))
}

fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_plain
            && (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 255 && text.split('.').all(is_label)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_address(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told() {
        let cases = [
            ("date-time", "2024-02-29T12:34:56.789Z", true),
            ("date-time", "2024-02-29T12:34:56+01:00", true),
            ("date-time", "2023-02-29T12:34:56Z", false),
            ("date-time", "2024-02-29 12:34:56Z", false),
            ("date", "2024-13-01", false),
            ("time", "25:00:00Z", false),
            ("ipv4", "127.0.0.1", true),
            ("ipv4", "127.0.0", false),
            ("ipv6", "::1", true),
            ("email", "a@b.c", true),
            ("email", "a b@c", false),
            ("hostname", "-a", false),
            ("uri", "http://a/b?c#d", true),
            ("uri", "a b", false),
            ("uri-reference", "../a", true),
            ("regex", "(", false),
            ("of-ours", "anything", true),
        ];
        for (format, text, expected) in cases {
            assert_eq!(is_valid(format, text), expected, "{format} {text}");
        }
    }
}
