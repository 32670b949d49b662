//! Finds where the parts of an object begin and end in JSON text that was checked before.
//!
//! What a column holds as JSON text is valid, so that nothing is looked at but what ends a part.
//! Text that is not valid gives none, or parts that are not; never a panic.

use std::ops::Range;

/// Where a member stands.
#[derive(Debug)]
pub(crate) struct Place {
    /// What stands between the quotes.
    pub(crate) name: Range<usize>,
    /// Whether that has escapes.
    pub(crate) is_escaped: bool,
    pub(crate) value: Range<usize>,
}

/// Goes through an object's members.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// At the first member; none when there is no object.
    pub(crate) fn of(object: &'a str) -> Option<Self> {
        let mut scan = Self { text: object.as_bytes(), at: 0 };
        scan.skip_blanks();
        scan.take(b'{').then_some(scan)
    }

    /// The next member: `Ok(None)` behind the last, an error where none is and none ends.
    pub(crate) fn next(&mut self) -> Result<Option<Place>, ()> {
        self.skip_blanks();
        if self.take(b'}') {
            return Ok(None);
        }
        if self.take(b',') {
            self.skip_blanks();
        }
        if !self.take(b'"') {
            return Err(());
        }
        let start = self.at;
        let is_escaped = self.skip_text();
        let name = start..(self.at - 1).max(start);
        self.skip_blanks();
        if !self.take(b':') {
            return Err(());
        }
        self.skip_blanks();
        let start = self.at;
        self.skip_value();
        Ok(Some(Place { name, is_escaped, value: start..self.at }))
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.byte() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    fn skip_value(&mut self) {
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                self.skip_text();
            }
            Some(b'{' | b'[') => self.skip_nested(),
            _ => {
                let is_end =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let rest = &self.text[self.at..];
                self.at += rest.iter().position(is_end).unwrap_or(rest.len());
            }
        }
    }

    fn skip_nested(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'"' => {
                    self.skip_text();
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// Goes behind the quote that ends a text. Whether there was an escape in it.
    fn skip_text(&mut self) -> bool {
        let mut is_escaped = false;
        loop {
            let rest = &self.text[self.at..];
            let stop = first_quote_or_escape(rest);
            self.at += stop + 1;
            match rest.get(stop) {
                Some(b'"') => return is_escaped,
                Some(_) => {
                    is_escaped = true;
                    // The byte that is escaped; the rest of its character is no quote.
                    self.at = (self.at + 1).min(self.text.len());
                }
                None => {
                    self.at = self.text.len();
                    return is_escaped;
                }
            }
        }
    }
}

/// Eight bytes at a time; the length when there is none.
fn first_quote_or_escape(text: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ (LOW * u64::from(b'"'))) | zeros(word ^ (LOW * u64::from(b'\\')));
        if found != 0 {
            // The lowest bit that is set is right; those above it may not be.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let tail = text[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
    tail.map_or(text.len(), |tail| at + tail)
}

#[cfg(test)]
mod tests {
    use millrace_testkit::arbitrary::{json_objects, json_texts};
    use proptest::prelude::*;

    use super::*;

    fn places(object: &str) -> Option<Vec<(&str, &str)>> {
        let mut scan = Scan::of(object)?;
        let mut places = Vec::new();
        while let Some(place) = scan.next().ok()? {
            places.push((object.get(place.name)?, object.get(place.value)?));
        }
        Some(places)
    }

    #[test]
    fn members_are_found_whatever_their_values_hold() {
        let object = r#" {"a" : 1.5e3 ,"b":"},\"{\\","c":[{"d":"]"},[]], "ä\u0062":{} ,"e":null}"#;
        let expected = [
            ("a", "1.5e3"),
            ("b", r#""},\"{\\""#),
            ("c", r#"[{"d":"]"},[]]"#),
            (r"ä\u0062", "{}"),
            ("e", "null"),
        ];
        assert_eq!(places(object).unwrap(), expected);
        assert_eq!(places("{ }").unwrap(), []);
    }

    #[test]
    fn text_that_ends_early_ends_the_scan() {
        let object = r#"{"a\"":[{"b":"c\\"}],"d":tru"#;
        for end in 0..object.len() {
            places(&object[..end]);
        }
        for text in ["", "[]", "{]", "{\"a\"]", "{\"a\":]]", "{\"a\":}}", "{\"\\", "{\"a\\é"] {
            places(text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}", json in json_texts(2)) {
            places(&text);
            places(&format!("{{\"{text}"));
            places(&format!("{{\"{text}\":{text}"));
            places(&json);
        }

        #[test]
        fn values_are_whole(object in json_objects(3)) {
            for (name, value) in places(&object).expect("it is an object") {
                let name = format!("\"{}\"", name);
                prop_assert!(millrace_api::data::json::parse(&name).is_ok());
                prop_assert!(millrace_api::data::json::parse(value).is_ok());
            }
        }
    }
}
