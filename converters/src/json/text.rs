//! Writes strings, numbers and bytes as Java's JSON generator does, and reads its base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millrace_api::data::{append_java_double, append_java_single};

/// 0 for bytes that stand for themselves; 1 for control characters without a letter of their own
/// and 2 for the first of the four bytes of a character beyond the basic plane, else the letter.
const ESCAPES: [u8; 256] = escapes();

const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 0x20 {
        table[i] = 1;
        i += 1;
    }
    i = 0xf0;
    while i < 0x100 {
        table[i] = 2;
        i += 1;
    }
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0c] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
}

/// A string with its quotes. Characters beyond the basic plane are written as two escapes, which
/// is how Java does it.
pub(crate) fn append_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    if !append_plain(text.as_bytes(), out) {
        out.truncate(start);
        append_escaped(text, out);
    }
    out.push(b'"');
}

/// Appends bytes that all stand for themselves, as nearly all texts do; false says that some do not,
/// and part of them may be there. Eight at a time: copying a number of them that nobody foresees
/// costs more than what is copied twice.
fn append_plain(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let Some(last) = bytes.last_chunk::<8>() else {
        let mut are_plain = true;
        for byte in rest {
            are_plain &= ESCAPES[usize::from(*byte)] == 0;
            out.push(*byte);
        }
        return are_plain;
    };
    for word in words {
        if !are_plain(*word) {
            return false;
        }
        out.extend_from_slice(word);
    }
    if !rest.is_empty() {
        out.truncate(out.len() - (8 - rest.len()));
        out.extend_from_slice(last);
    }
    are_plain(*last)
}

/// Whether none of eight bytes has an escape.
#[inline(always)]
fn are_plain(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = EACH << 7;
    let word = u64::from_ne_bytes(word);
    // The highest bit of a byte of these is set if it is below 0x20, is zero, is 0xf0 or more; not
    // for such a byte alone, but for none if there is none.
    let is_control = word.wrapping_sub(EACH * 0x20) & !word;
    let is_zero = |word: u64| word.wrapping_sub(EACH) & !word;
    let is_quote = is_zero(word ^ (EACH * u64::from(b'"')));
    let is_backslash = is_zero(word ^ (EACH * u64::from(b'\\')));
    let is_beyond = word & (word << 1) & (word << 2) & (word << 3);
    (is_control | is_quote | is_backslash | is_beyond) & HIGHEST == 0
}

#[cold]
fn append_escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    let mut at = 0;
    while at < bytes.len() {
        let escape = ESCAPES[usize::from(bytes[at])];
        if escape == 0 {
            at += 1;
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        match escape {
            1 => append_unit(u16::from(bytes[at]), out),
            2 => {
                let mut units = [0; 2];
                let c = text[at..].chars().next().expect("a character starts here");
                for unit in c.encode_utf16(&mut units) {
                    append_unit(*unit, out);
                }
                at += 3;
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        at += 1;
        written = at;
    }
    out.extend_from_slice(&bytes[written..]);
}

fn append_unit(unit: u16, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[usize::from(unit >> shift & 0xf)]);
    }
}

/// A `double`; what JSON has no number for becomes a string.
pub(crate) fn append_double(number: f64, out: &mut Vec<u8>) {
    quoted_unless(number.is_finite(), out, |out| {
        append_java_double(number, out);
    });
}

/// A `float`, from its own shortest digits.
pub(crate) fn append_single(number: f32, out: &mut Vec<u8>) {
    quoted_unless(number.is_finite(), out, |out| {
        append_java_single(number, out);
    });
}

fn quoted_unless(plain: bool, out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    if plain {
        append(out);
    } else {
        out.push(b'"');
        append(out);
        out.push(b'"');
    }
}

/// `true` or `false`.
pub(crate) fn append_boolean(truth: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if truth { b"true" } else { b"false" });
}

/// Bytes in base64 with their quotes.
pub(crate) fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written =
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("base64 takes four bytes for three");
    debug_assert_eq!(start + written, out.len());
    out.push(b'"');
}

/// Appends the bytes of a base64 text, read as Java's JSON library does: white space between units
/// of four is skipped, padding is required and may stand in the middle, spare bits are ignored.
pub(crate) fn decode_base64(text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return Ok(()),
            [c, ..] if *c <= b' ' => &rest[1..],
            [a, b, c, d, rest @ ..] => {
                decode_unit([*a, *b, *c, *d], out)?;
                rest
            }
            _ => return Err("base64 text ends within a unit of four characters"),
        };
    }
}

fn decode_unit(unit: [u8; 4], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let [a, b, c, d] = unit;
    let (a, b) = (sextet(a)?, sextet(b)?);
    out.push(a << 2 | b >> 4);
    if c == b'=' {
        return if d == b'=' {
            Ok(())
        } else {
            Err("expected a second padding character in base64 text")
        };
    }
    let c = sextet(c)?;
    out.push(b << 4 | c >> 2);
    if d != b'=' {
        out.push(c << 6 | sextet(d)?);
    }
    Ok(())
}

fn sextet(c: u8) -> Result<u8, &'static str> {
    match c {
        b'A'..=b'Z' => Ok(c - b'A'),
        b'a'..=b'z' => Ok(c - b'a' + 26),
        b'0'..=b'9' => Ok(c - b'0' + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        _ => Err("illegal character in base64 text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_api::data::append_integer;

    fn written(append: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        append(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Recorded from Java.
    #[test]
    fn strings_are_escaped_as_in_java() {
        let cases = [
            ("\0\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}", r"\u0000\u0001\b\t\n\u000B\f\r\u001F"),
            (" \"/\\", r#" \"/\\"#),
            ("\u{7f}\u{80}\u{e9}\u{2028}\u{ffff}", "\u{7f}\u{80}\u{e9}\u{2028}\u{ffff}"),
            ("a\u{1f600}\u{20ac}", "a\\uD83D\\uDE00\u{20ac}"),
        ];
        for (text, expected) in cases {
            assert_eq!(written(|out| append_text(text, out)), format!("\"{expected}\""));
        }
    }

    #[test]
    fn each_byte_is_escaped_wherever_it_stands() {
        for c in ('\0'..='\u{ff}').chain(['\u{700}', '\u{ffff}', '\u{10000}', '\u{10ffff}']) {
            for (before, after) in (0..20).flat_map(|i| (0..20).map(move |j| (i, j))) {
                let text = format!("{}{c}{}", "a".repeat(before), "\u{20ac}".repeat(after / 3));
                let mut expected = Vec::new();
                append_escaped(&text, &mut expected);
                let expected = String::from_utf8(expected).unwrap();
                assert_eq!(written(|out| append_text(&text, out)), format!("\"{expected}\""));
            }
        }
    }

    #[test]
    fn integers_print() {
        let powers = (0..19).flat_map(|n| [10i64.pow(n), 10i64.pow(n) - 1, -(10i64.pow(n))]);
        for number in powers.chain([i64::MIN, i64::MAX, 42, -37]) {
            assert_eq!(written(|out| append_integer(number, out)), number.to_string());
        }
    }

    #[test]
    fn what_is_no_number_becomes_a_string() {
        assert_eq!(written(|out| append_double(1e21, out)), "1.0E21");
        assert_eq!(written(|out| append_double(f64::NAN, out)), "\"NaN\"");
        assert_eq!(written(|out| append_single(f32::NEG_INFINITY, out)), "\"-Infinity\"");
    }

    /// Recorded from Java.
    #[test]
    fn base64_is_read_as_in_java() {
        let decoded = |text: &str| {
            let mut out = Vec::new();
            decode_base64(text, &mut out).ok().map(|()| out)
        };
        let good: [(&str, &[u8]); 7] = [
            ("", b""),
            ("bg==", b"n"),
            ("bh==", b"n"),
            ("bg==bg==", b"nn"),
            (" bg==\n", b"n"),
            ("bgAA", b"n\0\0"),
            ("bmU=", b"ne"),
        ];
        for (text, bytes) in good {
            assert_eq!(decoded(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["bg", "bg=", "bgA", " b g = = ", "b*==", "b-_=", "b", "=", "bg=A"] {
            assert_eq!(decoded(text), None, "{text}");
        }
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            let text = written(|out| append_base64(&bytes, out));
            assert_eq!(decoded(text.trim_matches('"')), Some(bytes));
        }
    }
}
