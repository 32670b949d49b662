//! Decides what a Java regular expression matches, and what `Matcher.replaceFirst` makes of it.

use millrace_api::config::{invalid_value, java_regex};
use millrace_api::{Error, Result};
use regex::{Captures, Regex};

const ILLEGAL_ARGUMENT: &str = "java.lang.IllegalArgumentException";

/// A regular expression (`java.util.regex.Pattern`).
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// What has to match at the start, or must not.
    ahead: Vec<(bool, Regex)>,
    whole: Regex,
    part: Regex,
}

impl Pattern {
    /// Reads an expression, the value of a key.
    pub(crate) fn new(key: &str, expression: &str) -> Result<Self> {
        Self::read(expression).map_err(|reason| invalid_value(key, expression, reason))
    }

    /// Reads an expression. The error is what Java complains of, or what is not supported.
    pub(crate) fn read(expression: &str) -> Result<Self, String> {
        let refused = |reason: String| {
            let way_out = "write it without that; `docs/transformations.md` says what there is";
            format!("{reason}: {way_out}")
        };
        java_regex::check(expression).map_err(|reason| format!("Invalid regex: {reason}"))?;
        let translated = java_regex::translate(expression).map_err(refused)?;
        let compiled = |text: &str| {
            let what = |e: regex::Error| match e {
                regex::Error::CompiledTooBig(_) => "an expression this large",
                _ => "this expression",
            };
            Regex::new(text).map_err(|e| refused(format!("{} is not supported", what(e))))
        };
        let at_start = |(wanted, pattern): &(bool, String)| {
            Ok((*wanted, compiled(&format!(r"\A(?:{pattern})"))?))
        };
        Ok(Self {
            ahead: translated.ahead.iter().map(at_start).collect::<Result<_, String>>()?,
            whole: compiled(&format!(r"\A(?:{})\z", translated.pattern))?,
            part: compiled(&translated.pattern)?,
        })
    }

    /// Whether it matches all of a text (`Matcher.matches`).
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.ahead.iter().all(|(wanted, ahead)| ahead.is_match(text) == *wanted)
            && self.whole.is_match(text)
    }

    /// A text that matches as a whole with the first match in it replaced, which may be less than
    /// the whole.
    pub(crate) fn replace_first(&self, text: &str, replacement: &Replacement) -> Option<String> {
        let captures = self.part.captures(text)?;
        let found = captures.get(0)?;
        let mut replaced = text[..found.start()].to_owned();
        replacement.append(&captures, &mut replaced);
        replaced.push_str(&text[found.end()..]);
        Some(replaced)
    }
}

/// What a match is replaced by: text, and groups of the match.
#[derive(Clone, Debug)]
pub(crate) struct Replacement(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(char),
    Group(usize),
}

impl Replacement {
    /// Reads a replacement for matches of a pattern: `$1` and `${name}` are groups, and a backslash
    /// takes its meaning from the character behind it. Java would fail with each record.
    pub(crate) fn new(pattern: &Pattern, text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    let escaped = chars.next();
                    let missing = || wrong("character to be escaped is missing".to_owned());
                    pieces.push(Piece::Text(escaped.ok_or_else(missing)?));
                }
                '$' => pieces.push(Piece::Group(group(&pattern.part, &mut chars)?)),
                c => pieces.push(Piece::Text(c)),
            }
        }
        Ok(Self(pieces))
    }

    /// A group that is no part of the match stands for nothing.
    fn append(&self, captures: &Captures<'_>, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(c) => out.push(*c),
                Piece::Group(group) => {
                    out.push_str(captures.get(*group).map_or("", |found| found.as_str()));
                }
            }
        }
    }
}

fn wrong(words: String) -> Error {
    Error::config(words).as_java(ILLEGAL_ARGUMENT)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads which group is meant behind a `$`.
fn group(regex: &Regex, chars: &mut Chars<'_>) -> Result<usize> {
    let Some(first) = chars.next() else {
        return Err(wrong("Illegal group reference: group index is missing".to_owned()));
    };
    if first == '{' {
        return named_group(regex, chars);
    }
    let Some(digit) = first.to_digit(10) else {
        return Err(wrong("Illegal group reference".to_owned()));
    };
    let groups = regex.captures_len() - 1;
    let mut number = digit as usize;
    if number > groups {
        return Err(Error::config(format!("No group {number}"))
            .as_java("java.lang.IndexOutOfBoundsException"));
    }
    // As many digits as there is a group for.
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        let longer = number * 10 + digit as usize;
        if longer > groups {
            break;
        }
        number = longer;
        chars.next();
    }
    Ok(number)
}

fn named_group(regex: &Regex, chars: &mut Chars<'_>) -> Result<usize> {
    let mut name = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_alphanumeric) {
        name.push(c);
    }
    if name.is_empty() || chars.next() != Some('}') {
        return Err(wrong("named capturing group is missing trailing '}'".to_owned()));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong(format!("capturing group name {{{name}}} starts with digit character")));
    }
    let found = regex.capture_names().position(|known| known == Some(&*name));
    found.ok_or_else(|| wrong(format!("No group with name {{{name}}}")))
}

#[cfg(test)]
mod tests;
