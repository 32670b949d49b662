//! Reads JSON text value by value, by the rules Java Connect reads it with (Jackson, leading zeros
//! allowed).

use std::borrow::Cow;
use std::fmt;

use crate::data::json::Number;
use crate::data::json::number::{NumberForm, append_leading_digits};

/// Why a text is not JSON, and where. Says nothing of what the text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    what: &'static str,
    at: usize,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for SyntaxError {}

type Result<T> = std::result::Result<T, SyntaxError>;

/// What kind of value starts at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number.
    Number,
    /// A string.
    Text,
    /// `[`
    Array,
    /// `{`
    Object,
}

/// What [`check`] found out about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is JSON.
    Strict,
    /// It is what Java takes for JSON: numbers with leading zeros, or text after the value.
    Lenient,
    /// There is nothing but white space, which Java reads as no value.
    Blank,
}

/// Checks the syntax of a whole text.
pub fn check(text: &str) -> Result<Checked> {
    let mut reader = Reader::new(text);
    if reader.is_at_end() {
        return Ok(Checked::Blank);
    }
    let token = reader.peek()?;
    reader.skip()?;
    let trailing = reader.finish(token)?;
    Ok(if trailing || reader.saw_leading_zeros { Checked::Lenient } else { Checked::Strict })
}

/// A member's name as most writers put it between two values: quoted, with a comma and a colon, and
/// without blanks.
#[derive(Clone, Debug)]
pub struct WrittenName {
    text: Box<str>,
    /// The text as a number, if it is no longer than that, and ones in place of its bits: comparing
    /// two numbers costs less than comparing a number of bytes that nobody foresees.
    word: Option<(u128, u128)>,
}

impl WrittenName {
    /// None when something in the name has to be escaped.
    pub fn of(name: &str) -> Option<Self> {
        if name.chars().any(|c| c < ' ' || c == '"' || c == '\\') {
            return None;
        }
        let text = format!(",\"{name}\":").into_boxed_str();
        let word = (text.len() <= 16).then(|| {
            let bytes = text.bytes().rev();
            let word = bytes.fold(0, |word, byte| word << 8 | u128::from(byte));
            (word, u128::MAX >> (128 - 8 * text.len()))
        });
        Some(Self { text, word })
    }

    /// Whether this, but for so many bytes, is what `rest` begins with.
    #[inline]
    fn begins(&self, rest: &[u8], but: usize) -> bool {
        match (self.word, rest.first_chunk()) {
            (Some((word, ones)), Some(start)) => {
                u128::from_le_bytes(*start) & ones >> (8 * but) == word >> (8 * but)
            }
            _ => rest.starts_with(&self.text.as_bytes()[but..]),
        }
    }
}

/// A place in a JSON text. Values are taken from it one after the other; whoever takes a container
/// goes through its items to the end. What is called for each value is inlined: results that travel
/// through memory cost more than making them.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    saw_leading_zeros: bool,
}

impl<'a> Reader<'a> {
    /// How deep arrays and objects may nest, as in Java.
    pub const MAX_DEPTH: usize = 1000;

    /// How long a number may be, as in Java.
    const MAX_NUMBER: usize = 1000;

    /// At the start of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, saw_leading_zeros: false }
    }

    /// At the start of the rest of an object whose beginning was read before: its next value.
    pub fn within(text: &'a str) -> Self {
        Self { depth: 1, ..Self::new(text) }
    }

    /// Whether a number so far had zeros before its digits, which Java takes and JSON does not.
    pub fn saw_leading_zeros(&self) -> bool {
        self.saw_leading_zeros
    }

    /// How many bytes lie behind.
    pub fn position(&self) -> usize {
        self.at
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self, what: &'static str) -> Result<T> {
        Err(SyntaxError { what, at: self.at })
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    /// Whether only white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.at == self.text.len()
    }

    /// What value comes next.
    #[inline]
    pub fn peek(&mut self) -> Result<Token> {
        self.skip_blanks();
        match self.byte() {
            Some(b'"') => Ok(Token::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Token::Number),
            Some(b'{') => Ok(Token::Object),
            Some(b'[') => Ok(Token::Array),
            Some(b'n') => Ok(Token::Null),
            Some(b't') => Ok(Token::True),
            Some(b'f') => Ok(Token::False),
            Some(_) => self.fail("expected a value"),
            None => self.fail("expected a value instead of the end"),
        }
    }

    /// Takes the word that [`Reader::peek`] saw.
    pub fn take_word(&mut self, token: Token) -> Result<()> {
        let word = match token {
            Token::Null => "null",
            Token::True => "true",
            _ => "false",
        };
        if !self.text[self.at..].starts_with(word) {
            return self.fail("unknown word");
        }
        self.at += word.len();
        match self.byte() {
            Some(b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x7f..) => {
                self.fail("unknown word")
            }
            _ => Ok(()),
        }
    }

    /// Takes a number.
    #[inline]
    pub fn take_number(&mut self) -> Result<Number<'a>> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.byte() == Some(b'0');
        let mut digits = 0;
        let whole = self.take_digits(&mut digits, "expected a digit")?;
        self.saw_leading_zeros |= leading_zero && whole > 1;
        let mut form = NumberForm::Integer;
        let mut fraction = 0;
        if self.byte() == Some(b'.') {
            self.at += 1;
            fraction = self.take_digits(&mut digits, "expected a digit after the point")?;
            form = NumberForm::Point { places: fraction };
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.take_exponent(fraction)?;
            form = NumberForm::Exponent;
        }
        if self.at - start > Self::MAX_NUMBER {
            return self.fail("number is too long");
        }
        Ok(Number::new(&self.text[start..self.at], form, digits))
    }

    /// Takes digits, at least one, and appends them to those of `number`. Gives their count.
    #[inline]
    fn take_digits(&mut self, number: &mut u64, missing: &'static str) -> Result<usize> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while let Some(chunk) = bytes.get(self.at..self.at + 8) {
            let chunk = chunk.try_into().expect("the chunk has eight bytes");
            let count = append_leading_digits(number, chunk);
            self.at += count;
            if count < 8 {
                return self.some_digits(start, missing);
            }
        }
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        self.some_digits(start, missing)
    }

    fn some_digits(&self, start: usize, missing: &'static str) -> Result<usize> {
        if self.at == start { self.fail(missing) } else { Ok(self.at - start) }
    }

    /// The scale, which is the count of digits after the point less the exponent, must be an int.
    fn take_exponent(&mut self, fraction: usize) -> Result<()> {
        self.at += 1;
        if let Some(b'+' | b'-') = self.byte() {
            self.at += 1;
        }
        let start = self.at;
        self.take_digits(&mut 0, "expected a digit of the exponent")?;
        let digits = self.text[start..self.at].trim_start_matches('0');
        let size: i64 = match digits {
            "" => 0,
            digits if digits.len() <= 10 => digits.parse().expect("these are at most ten digits"),
            _ => i64::MAX / 2,
        };
        let exponent = match self.text.as_bytes()[start - 1] {
            b'-' => -size,
            _ => size,
        };
        if i32::try_from(fraction as i64 - exponent).is_err() {
            return self.fail("exponent is out of range");
        }
        Ok(())
    }

    /// Where the next byte is that ends a string or needs a closer look.
    #[inline]
    fn plain_end(&self, from: usize) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let bytes = self.text.as_bytes();
        let mut at = from;
        while let Some(chunk) = bytes.get(at..at + 8) {
            let word = u64::from_le_bytes(chunk.try_into().expect("the chunk has eight bytes"));
            let quote = word ^ (ONES * u64::from(b'"'));
            let backslash = word ^ (ONES * u64::from(b'\\'));
            // The lowest bit set marks the first byte that matches; higher ones may be wrong.
            let hits = ((quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (word.wrapping_sub(ONES * 0x20) & !word))
                & HIGH;
            if hits != 0 {
                return at + hits.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        while at < bytes.len() && bytes[at] != b'"' && bytes[at] != b'\\' && bytes[at] >= 0x20 {
            at += 1;
        }
        at
    }

    /// Takes a string. It is borrowed from the text unless something in it is escaped. Half a
    /// surrogate pair, which Rust's strings cannot hold, becomes U+FFFD.
    #[inline]
    pub fn take_text(&mut self) -> Result<Cow<'a, str>> {
        let start = self.at + 1;
        self.at = self.plain_end(start);
        let plain = &self.text[start..self.at];
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.take_escaped_text(plain.to_owned()).map(Cow::Owned)
    }

    /// Takes what follows the plain beginning of a string.
    fn take_escaped_text(&mut self, mut text: String) -> Result<String> {
        while !self.at_quote()? {
            text.push(self.take_escape()?);
            let start = self.at;
            self.at = self.plain_end(start);
            text.push_str(&self.text[start..self.at]);
        }
        Ok(text)
    }

    fn skip_text(&mut self) -> Result<()> {
        self.at = self.plain_end(self.at + 1);
        while !self.at_quote()? {
            self.take_escape()?;
            self.at = self.plain_end(self.at);
        }
        Ok(())
    }

    /// Takes the closing quote, or stays at a backslash.
    fn at_quote(&mut self) -> Result<bool> {
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'\\') => Ok(false),
            Some(_) => self.fail("control character in a string"),
            None => self.fail("string without end"),
        }
    }

    fn take_escape(&mut self) -> Result<char> {
        self.at += 1;
        let plain = match self.byte() {
            Some(c @ (b'"' | b'\\' | b'/')) => c.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.take_unicode();
            }
            _ => return self.fail("unknown escape sequence"),
        };
        self.at += 1;
        Ok(plain)
    }

    fn take_unicode(&mut self) -> Result<char> {
        let unit = self.take_hex()?;
        if let 0xd800..0xdc00 = unit
            && self.text[self.at..].starts_with("\\u")
        {
            let next = self.at;
            self.at += 2;
            let low = self.take_hex()?;
            if let 0xdc00..0xe000 = low {
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).expect("a surrogate pair is a character"));
            }
            self.at = next;
        }
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn take_hex(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            match self.byte().and_then(|b| char::from(b).to_digit(16)) {
                Some(digit) => unit = unit * 16 + digit,
                None => return self.fail("expected a hexadecimal digit"),
            }
            self.at += 1;
        }
        Ok(unit)
    }

    /// Takes the bracket or brace that [`Reader::peek`] saw.
    pub fn enter(&mut self) -> Result<()> {
        if self.depth == Self::MAX_DEPTH {
            return self.fail("nested too deeply");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether an array has another item, which then comes next; else the array is behind. `first`
    /// starts as true.
    pub fn next_item(&mut self, first: &mut bool) -> Result<bool> {
        self.more(b']', first)
    }

    /// The name of an object's next member, whose value then comes next; none when the object is
    /// behind. `first` starts as true.
    pub fn next_name(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        if !self.more(b'}', first)? {
            return Ok(None);
        }
        self.expect(b'"', "expected a name in quotes")?;
        let name = self.take_text()?;
        self.colon()?;
        Ok(Some(name))
    }

    /// Takes the next member's name if it is written just like this one. False leaves everything as
    /// it was, for [`next_name`](Self::next_name).
    #[inline]
    pub fn take_written_name(&mut self, name: &WrittenName, first: &mut bool) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let comma = usize::from(*first);
        if !name.begins(rest, comma) {
            return false;
        }
        self.at += name.text.len() - comma;
        *first = false;
        true
    }

    fn skip_name(&mut self, first: &mut bool) -> Result<bool> {
        if !self.more(b'}', first)? {
            return Ok(false);
        }
        self.expect(b'"', "expected a name in quotes")?;
        self.skip_text()?;
        self.colon().map(|()| true)
    }

    fn colon(&mut self) -> Result<()> {
        self.expect(b':', "expected a colon after a name")?;
        self.at += 1;
        Ok(())
    }

    fn expect(&mut self, byte: u8, missing: &'static str) -> Result<()> {
        self.skip_blanks();
        if self.byte() == Some(byte) { Ok(()) } else { self.fail(missing) }
    }

    fn more(&mut self, close: u8, first: &mut bool) -> Result<bool> {
        self.skip_blanks();
        let was_first = std::mem::replace(first, false);
        match self.byte() {
            Some(b) if b == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ if was_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => self.fail("expected a comma or the end of the array or object"),
            None => self.fail("array or object without end"),
        }
    }

    /// Takes a value without looking at it, checking its syntax.
    #[inline]
    pub fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            Token::Array | Token::Object => self.skip_container(),
            scalar => self.skip_scalar(scalar),
        }
    }

    fn skip_container(&mut self) -> Result<()> {
        // A bit a level: whether it is an object. No recursion, so depth costs no stack.
        let mut objects = [0u64; Self::MAX_DEPTH.div_ceil(64)];
        let mut level = 0;
        loop {
            let token = self.peek()?;
            let mut first = matches!(token, Token::Array | Token::Object);
            if first {
                self.enter()?;
                let bit = 1 << (level % 64);
                if token == Token::Object {
                    objects[level / 64] |= bit;
                } else {
                    objects[level / 64] &= !bit;
                }
                level += 1;
            } else {
                self.skip_scalar(token)?;
            }
            loop {
                let Some(inner) = level.checked_sub(1) else {
                    return Ok(());
                };
                let more = if objects[inner / 64] >> (inner % 64) & 1 == 1 {
                    self.skip_name(&mut first)?
                } else {
                    self.next_item(&mut first)?
                };
                if more {
                    break;
                }
                level = inner;
            }
        }
    }

    fn skip_scalar(&mut self, token: Token) -> Result<()> {
        match token {
            Token::Text => self.skip_text(),
            Token::Number => self.take_number().map(drop),
            word => self.take_word(word),
        }
    }

    /// Ends the text after its one value, a `token`. Java ignores what follows, but wants white
    /// space after a number. True when something does follow.
    pub fn finish(&mut self, token: Token) -> Result<bool> {
        if token == Token::Number
            && !matches!(self.byte(), None | Some(b' ' | b'\n' | b'\r' | b'\t'))
        {
            return self.fail("expected white space after a number");
        }
        Ok(!self.is_at_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> String {
        check(text).map_or_else(|e| e.to_string(), |c| format!("{c:?}"))
    }

    #[test]
    fn texts_are_judged_as_by_java() {
        let cases = [
            ("1", "Strict"),
            (" [1, {\"a\": [true,null,false]} ,-0.5e+3,\"x\"]\n", "Strict"),
            ("{}", "Strict"),
            ("\"\\u00e9\\/\\b\"", "Strict"),
            ("01", "Lenient"),
            ("{\"a\":-007.5}", "Lenient"),
            ("{\"a\":1}xyz", "Lenient"),
            ("1 abc", "Lenient"),
            ("true,", "Lenient"),
            ("[1]]", "Lenient"),
            ("", "Blank"),
            (" \n", "Blank"),
            ("1,2", "expected white space after a number at byte 1"),
            ("truex", "unknown word at byte 4"),
            ("nul", "unknown word at byte 0"),
            ("[1,]", "expected a value at byte 3"),
            ("[1 2]", "expected a comma or the end of the array or object at byte 3"),
            ("{\"a\":1,}", "expected a name in quotes at byte 7"),
            ("{a:1}", "expected a name in quotes at byte 1"),
            ("{\"a\" 1}", "expected a colon after a name at byte 5"),
            ("{\"a\":1", "array or object without end at byte 6"),
            ("\"a", "string without end at byte 2"),
            ("\"a\nb-------\"", "control character in a string at byte 2"),
            ("\"\\x\"", "unknown escape sequence at byte 2"),
            ("\"\\u12\"", "expected a hexadecimal digit at byte 5"),
            (".5", "expected a value at byte 0"),
            ("+1", "expected a value at byte 0"),
            ("5.", "expected a digit after the point at byte 2"),
            ("-", "expected a digit at byte 1"),
            ("1e", "expected a digit of the exponent at byte 2"),
            ("NaN", "expected a value at byte 0"),
            ("1e99999999999", "exponent is out of range at byte 13"),
            ("1e2147483647", "Strict"),
            ("1e-2147483648", "exponent is out of range at byte 13"),
        ];
        for (text, expected) in cases {
            assert_eq!(verdict(text), expected, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(verdict(&nested(1000)), "Strict");
        assert_eq!(verdict(&nested(1001)), "nested too deeply at byte 1000");
    }

    #[test]
    fn every_byte_of_a_string_is_looked_at() {
        for special in ['"', '\\', '\u{1f}'] {
            for before in 0..20 {
                let text = format!("\"{}{special}", "é".repeat(before));
                let reader = Reader::new(&text);
                assert_eq!(reader.plain_end(1), 1 + 2 * before, "{text}");
            }
        }
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        let read = |text| Reader::new(text).take_text().unwrap();
        assert!(matches!(read("\"abc\""), Cow::Borrowed("abc")));
        assert_eq!(read("\"a\\nb\\u00e9\\ud83d\\ude00c\""), "a\nb\u{e9}\u{1f600}c");
        assert_eq!(read("\"\\ud800x\\udc00\\ud800\\u0041\""), "\u{fffd}x\u{fffd}\u{fffd}A");
    }
}
