//! Writes a JSON text as Java would after reading it: no white space, its own number and escape
//! forms. Must equal parsing the text and writing the value, which is what it falls back to.

use std::borrow::Cow;
use std::collections::HashSet;

use millrace_api::data::append_integer;
use millrace_api::data::json::{Reader, SyntaxError, Token, parse};

use crate::json::Rules;
use crate::json::fault::Fault;
use crate::json::text::{append_boolean, append_double, append_text};
use crate::json::value::append_value;

/// Appends a text that is known to be JSON; a blank one is `null`.
pub(crate) fn append_canonical(text: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    if is_canonical(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    let start = out.len();
    let mut reader = Reader::new(text);
    if reader.is_at_end() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match copy(&mut reader, out) {
        Ok(()) => Ok(()),
        Err(Stop::Duplicate) => {
            out.truncate(start);
            let value = parse(text).map_err(|e| Fault::new(e.message().to_owned()))?;
            append_value(None, &value, Rules::default(), out)
        }
        Err(Stop::Syntax(error)) => Err(error.into()),
    }
}

/// Whether text that is known to be JSON is a value that Java writes as it is, seen at a glance.
fn is_canonical(text: &[u8]) -> bool {
    /// Fewer digits than the largest number has.
    const SAFE_DIGITS: usize = 18;
    match text {
        [b'"', inside @ .., b'"'] => {
            inside.iter().all(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\\'))
        }
        [b'0'] => true,
        [b'1'..=b'9', digits @ ..] => {
            digits.len() < SAFE_DIGITS && digits.iter().all(u8::is_ascii_digit)
        }
        b"null" | b"true" | b"false" => true,
        _ => false,
    }
}

enum Stop {
    Syntax(SyntaxError),
    /// A name comes twice in an object: the value stands at the first place.
    Duplicate,
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

fn copy(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    match reader.peek()? {
        Token::Text => append_text(&reader.take_text()?, out),
        Token::Number => {
            let number = reader.take_number()?;
            if number.is_integer() {
                append_integer(number.to_i64(), out);
            } else {
                append_double(number.to_f64(), out);
            }
        }
        Token::Array => {
            reader.enter()?;
            out.push(b'[');
            let mut first = true;
            let mut comma = false;
            while reader.next_item(&mut first)? {
                if std::mem::replace(&mut comma, true) {
                    out.push(b',');
                }
                copy(reader, out)?;
            }
            out.push(b']');
        }
        Token::Object => copy_object(reader, out)?,
        word => {
            reader.take_word(word)?;
            match word {
                Token::Null => out.extend_from_slice(b"null"),
                word => append_boolean(word == Token::True, out),
            }
        }
    }
    Ok(())
}

fn copy_object(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    let mut names = Names::default();
    reader.enter()?;
    out.push(b'{');
    let mut first = true;
    while let Some(name) = reader.next_name(&mut first)? {
        if !names.is_empty() {
            out.push(b',');
        }
        append_text(&name, out);
        out.push(b':');
        if !names.insert(name) {
            return Err(Stop::Duplicate);
        }
        copy(reader, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// The names of an object: a list while they are few, then a table.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    fn is_empty(&self) -> bool {
        self.few.is_empty()
    }

    /// Whether the name is new.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(name);
            return true;
        }
        self.many.insert(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_rewritten_as_in_java() {
        let many: Vec<String> = (0..40).map(|i| format!("\"k{}\":1", i % 39)).collect();
        let many = format!("{{{}}}", many.join(","));
        let cases = [
            (
                " { \"a\" : [ 1 , 01, 1.10, 1e5, -0.0 ] , \"b\" : { } }",
                "{\"a\":[1,1,1.1,100000.0,0.0],\"b\":{}}",
            ),
            ("\"\\u00e9\\/\\ud83d\\ude00\"", "\"\u{e9}/\\uD83D\\uDE00\""),
            ("{\"a\":1,\"b\":3,\"a\":{\"c\":true,\"c\":null}}", "{\"a\":{\"c\":null},\"b\":3}"),
            ("1e400", "\"Infinity\""),
            ("\"plain\u{7f}\"", "\"plain\u{7f}\""),
            ("\"a\" and \"b\"", "\"a\""),
            ("999999999999999999", "999999999999999999"),
            ("9223372036854775808", "-9223372036854775808"),
            ("007", "7"),
            ("0", "0"),
            ("-0", "0"),
            ("null", "null"),
            ("", "null"),
            ("[1]]", "[1]"),
            (&many, ""),
        ];
        for (text, expected) in cases {
            let mut out = Vec::new();
            append_canonical(text, &mut out).unwrap();
            let mut by_value = Vec::new();
            append_value(None, &parse(text).unwrap(), Rules::default(), &mut by_value).unwrap();
            assert_eq!(out, by_value);
            if !expected.is_empty() {
                assert_eq!(out, expected.as_bytes());
            }
        }
    }
}
