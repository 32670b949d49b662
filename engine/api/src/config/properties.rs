//! Decides how `.properties` files are read and written: to the letter as Java's `Properties` does.

use super::Props;
use crate::{Error, Result};
use std::fmt::Write as _;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

/// Reads a file in ISO-8859-1 with `\uXXXX` escapes, as Java does for worker and connector files.
pub fn read(path: impl AsRef<Path>) -> Result<Props> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| {
        let message = "cannot read the properties file; check its path and its permissions";
        Error::config(message).context("file", path.display()).with_source(e)
    })?;
    // Java takes a byte order mark for a part of the first key, which then is missing.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    parse_latin1(text, &path.display().to_string())
}

/// Parses ISO-8859-1 text; `origin` is what messages call it.
pub fn parse_latin1(bytes: &[u8], origin: &str) -> Result<Props> {
    parse(&bytes.iter().map(|&byte| char::from(byte)).collect::<String>(), origin)
}

/// Parses text; `origin` is what messages call it. If a key comes twice, the last one counts.
pub fn parse(text: &str, origin: &str) -> Result<Props> {
    let mut lines = Lines { chars: text.chars().peekable(), number: 0 };
    let mut props = Props::new();
    while let Some((number, line)) = lines.next_logical() {
        let (key, value) = split(&line);
        let unescape =
            |part| unescape(part).map_err(|e| e.context("file", origin).context("line", number));
        props.insert(unescape(key)?, unescape(value)?);
    }
    Ok(props)
}

struct Lines<'a> {
    chars: Peekable<Chars<'a>>,
    number: usize,
}

impl Lines<'_> {
    /// The next line up to `\n`, `\r` or `\r\n`, without leading blanks; and whether Java's reader
    /// then knows that the text is over, which it does not yet after `\r\n`.
    fn next_natural(&mut self) -> Option<(Vec<char>, bool)> {
        self.chars.peek()?;
        self.number += 1;
        while self.chars.next_if(|&c| is_blank(c)).is_some() {}
        let mut line = Vec::new();
        while let Some(c) = self.chars.next_if(|&c| c != '\n' && c != '\r') {
            line.push(c);
        }
        let ended_by_both =
            self.chars.next() == Some('\r') && self.chars.next_if_eq(&'\n').is_some();
        Some((line, !ended_by_both && self.chars.peek().is_none()))
    }

    /// The next line that is neither blank nor a comment, continuations joined and escapes still
    /// in; and the number of the line it starts at.
    fn next_logical(&mut self) -> Option<(usize, Vec<char>)> {
        let mut joined = Vec::new();
        let mut start = 0;
        while let Some((mut line, over)) = self.next_natural() {
            if joined.is_empty() {
                if matches!(line.first(), None | Some('#' | '!')) {
                    continue;
                }
                start = self.number;
            }
            let continues = line.iter().rev().take_while(|&&c| c == '\\').count() % 2 == 1;
            if continues {
                line.pop();
            }
            joined.append(&mut line);
            // As in Java, a last backslash makes a line even if nothing else is on it.
            if over || !continues {
                return Some((start, joined));
            }
        }
        if joined.is_empty() { None } else { Some((start, joined)) }
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Cuts at the first `=`, `:` or blank that is not escaped; blanks around it, and one sign after
/// blanks, belong to it.
fn split(line: &[char]) -> (&[char], &[char]) {
    let mut escaped = false;
    let end = line.iter().position(|&c| {
        let here = !escaped && (matches!(c, '=' | ':') || is_blank(c));
        escaped = c == '\\' && !escaped;
        here
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let skip = |part: &[char]| part.iter().take_while(|&&c| is_blank(c)).count();
    let rest = &rest[skip(rest)..];
    let rest = rest.strip_prefix(&['=']).or(rest.strip_prefix(&[':'])).unwrap_or(rest);
    (key, &rest[skip(rest)..])
}

fn unescape(part: &[char]) -> Result<String> {
    let mut units: Vec<u16> = Vec::with_capacity(part.len());
    let mut chars = part.iter().copied();
    while let Some(c) = chars.next() {
        let c = match if c == '\\' { chars.next() } else { None } {
            None => c,
            Some('u') => {
                units.push(unicode_escape(chars.by_ref().take(4))?);
                continue;
            }
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('f') => '\x0c',
            Some(other) => other,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| {
        Error::config("a \\uXXXX escape is half of a surrogate pair; write both halves")
    })
}

fn unicode_escape(digits: impl Iterator<Item = char>) -> Result<u16> {
    let digits: String = digits.collect();
    let valid = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
    let unit = valid.then(|| u16::from_str_radix(&digits, 16).ok()).flatten();
    unit.ok_or_else(|| {
        Error::config(
            "Malformed \\uxxxx encoding; write four hexadecimal digits after \\u, \
             or double the backslash",
        )
    })
}

/// Writes properties in pure ASCII, so that either reader gives them back.
pub fn to_text(props: &Props) -> String {
    let mut text = String::new();
    for (key, value) in props {
        escape(&mut text, key, true);
        text.push('=');
        escape(&mut text, value, false);
        text.push('\n');
    }
    text
}

fn escape(out: &mut String, text: &str, is_key: bool) {
    for (i, c) in text.chars().enumerate() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' | '\\' => out.extend(['\\', c]),
            ' ' if is_key || i == 0 => out.push_str("\\ "),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
}
