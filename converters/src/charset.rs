//! Turns text into bytes and back in the character sets of `converter.encoding`, replacing what
//! does not fit as Java does.

/// A character set that Java knows and we too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// With a byte order mark; big-endian where there is none.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    /// What is listed when a name is unknown.
    pub(crate) const NAMES: &str = "UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE, UTF-16LE";

    /// By one of the names that Java knows it under.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "us-ascii" | "ascii" | "iso646-us" | "646" | "ansi_x3.4-1968" => Self::Ascii,
            "iso-8859-1" | "iso8859-1" | "iso8859_1" | "iso_8859-1" | "latin1" | "l1" => {
                Self::Latin1
            }
            "utf-16" | "utf16" | "utf_16" | "unicode" | "unicodebig" => Self::Utf16,
            "utf-16be" | "utf_16be" | "x-utf-16be" | "unicodebigunmarked" => Self::Utf16Be,
            "utf-16le" | "utf_16le" | "x-utf-16le" | "unicodelittleunmarked" => Self::Utf16Le,
            _ => return None,
        })
    }

    /// Appends a text; what the set does not have becomes `?`.
    pub(crate) fn encode(self, text: &str, out: &mut Vec<u8>) {
        let narrow = |limit: u32| {
            let byte = move |c: char| match u32::from(c) {
                code if code < limit => code as u8,
                _ => b'?',
            };
            text.chars().map(byte)
        };
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Ascii => out.extend(narrow(0x80)),
            Self::Latin1 => out.extend(narrow(0x100)),
            Self::Utf16 if text.is_empty() => {}
            Self::Utf16 => {
                out.extend_from_slice(b"\xfe\xff");
                Self::Utf16Be.encode(text, out);
            }
            Self::Utf16Be => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16Le => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        }
    }

    /// The text; malformed bytes become U+FFFD.
    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => decode_utf8(bytes),
            Self::Ascii => bytes
                .iter()
                .map(|b| match b {
                    0..0x80 => char::from(*b),
                    _ => char::REPLACEMENT_CHARACTER,
                })
                .collect(),
            Self::Latin1 => bytes.iter().copied().map(char::from).collect(),
            Self::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
                [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
                rest => decode_utf16(rest, u16::from_be_bytes),
            },
            Self::Utf16Be => decode_utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => decode_utf16(bytes, u16::from_le_bytes),
        }
    }
}

/// One replacement for each sequence as far as it was well-formed, and one for a whole surrogate,
/// where Rust's own decoder writes three.
fn decode_utf8(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => error,
        };
        let (valid, malformed) = rest.split_at(error.valid_up_to());
        text.push_str(std::str::from_utf8(valid).expect("it is valid up to there"));
        text.push(char::REPLACEMENT_CHARACTER);
        let length = match malformed {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            [0xed, 0xa0..=0xbf, ..] => 2,
            _ => error.error_len().unwrap_or(malformed.len()),
        };
        rest = &malformed[length..];
    }
}

/// Java drops what follows half a pair together with it.
fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut units = pairs.iter().map(|pair| unit(*pair));
    let mut text = String::with_capacity(bytes.len());
    while let Some(first) = units.next() {
        let c = match first {
            0xd800..0xdc00 => units
                .next()
                .and_then(|second| char::decode_utf16([first, second]).next())
                .and_then(Result::ok),
            first => char::from_u32(first.into()),
        };
        text.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if !odd.is_empty() && !matches!(pairs.last(), Some(p) if (0xd800..0xdc00).contains(&unit(*p))) {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    }

    /// Recorded from Java.
    #[test]
    fn malformed_utf8_is_replaced_as_in_java() {
        let cases = [
            ("ff", "\u{fffd}"),
            ("c080", "\u{fffd}\u{fffd}"),
            ("e282", "\u{fffd}"),
            ("e28241", "\u{fffd}A"),
            ("eda080", "\u{fffd}"),
            ("eda080edb080", "\u{fffd}\u{fffd}"),
            ("f09f98", "\u{fffd}"),
            ("f09f9841", "\u{fffd}A"),
            ("f8808080", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("f4908080", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("e0808041", "\u{fffd}\u{fffd}\u{fffd}A"),
            ("c241", "\u{fffd}A"),
            ("61c3", "a\u{fffd}"),
            ("edff", "\u{fffd}\u{fffd}"),
            ("ed", "\u{fffd}"),
            ("eda0", "\u{fffd}"),
            ("f48fbfbf", "\u{10ffff}"),
            ("f0419f", "\u{fffd}A\u{fffd}"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Charset::Utf8.decode(&hex(bytes)), text, "{bytes}");
        }
    }

    /// Recorded from Java.
    #[test]
    fn character_sets_are_javas() {
        let cases = [
            ("utf8", "61c3a9e282acf09f9880", "a\u{e9}\u{20ac}\u{1f600}"),
            ("ascii", "613f3f3f", "a???"),
            ("latin1", "61e93f3f", "a\u{e9}??"),
            ("UnicodeBig", "feff006100e920acd83dde00", "a\u{e9}\u{20ac}\u{1f600}"),
            ("UTF-16BE", "006100e920acd83dde00", "a\u{e9}\u{20ac}\u{1f600}"),
            ("UTF-16LE", "6100e900ac203dd800de", "a\u{e9}\u{20ac}\u{1f600}"),
        ];
        for (name, bytes, back) in cases {
            let charset = Charset::by_name(name).unwrap();
            let mut out = Vec::new();
            charset.encode("a\u{e9}\u{20ac}\u{1f600}", &mut out);
            assert_eq!(out, hex(bytes), "{name}");
            assert_eq!(charset.decode(&out), back, "{name}");
        }
        let malformed = [
            ("us-ascii", "fffe4100d8", "\u{fffd}\u{fffd}A\0\u{fffd}"),
            ("utf-16", "fffe4100d8", "A\u{fffd}"),
            ("utf-16", "feffd8000041", "\u{fffd}"),
            ("utf-16be", "fffe4100d8", "\u{fffe}\u{4100}\u{fffd}"),
            ("utf-16be", "feffd8000041", "\u{feff}\u{fffd}"),
            ("utf-16le", "feffd8000041", "\u{fffe}\u{d8}\u{4100}"),
        ];
        for (name, bytes, text) in malformed {
            assert_eq!(Charset::by_name(name).unwrap().decode(&hex(bytes)), text);
        }
        assert_eq!(Charset::by_name("x-nope"), None);
    }
}
