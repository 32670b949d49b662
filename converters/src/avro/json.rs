//! A JSON value that outlives its text: properties and defaults in schemas.

use std::sync::Arc;

use millrace_api::data::{append_integer, append_java_double, append_java_single};

use crate::json::Node;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number with the digits of a `float`.
    Single(f32),
    Double(f64),
    Text(Arc<str>),
    Array(Vec<Json>),
    Object(Vec<(Arc<str>, Json)>),
}

impl Json {
    /// The value of a parsed text.
    pub(crate) fn of(node: &Node<'_>) -> Self {
        match node {
            Node::Missing | Node::Null => Self::Null,
            Node::Boolean(value) => Self::Boolean(*value),
            Node::Number(number) => {
                let whole = number.is_integer().then(|| number.to_decimal().unscaled);
                match whole.and_then(|n| i64::try_from(n).ok()) {
                    Some(integer) => Self::Integer(integer),
                    None => Self::Double(number.to_f64()),
                }
            }
            Node::Text(text) => Self::Text((&**text).into()),
            Node::Array(items) => Self::Array(items.iter().map(Self::of).collect()),
            Node::Object(members) => {
                let member = |(name, node): &(_, Node<'_>)| {
                    let name: &std::borrow::Cow<'_, str> = name;
                    ((&**name).into(), Self::of(node))
                };
                Self::Object(members.iter().map(member).collect())
            }
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number, cut to 32 bits as Java does.
    pub(crate) fn as_int(&self) -> Option<i32> {
        match self {
            Self::Integer(number) => Some(*number as i32),
            Self::Single(number) => Some(*number as i32),
            Self::Double(number) => Some(*number as i32),
            _ => None,
        }
    }

    pub(crate) fn as_double(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Single(number) => Some(f64::from(*number)),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// An object's member.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| &**n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Appends it as Java prints schemas.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(value) => {
                out.extend_from_slice(if *value { b"true" } else { b"false" });
            }
            Self::Integer(number) => append_integer(*number, out),
            Self::Single(number) => quoted_unless(number.is_finite(), out, |out| {
                append_java_single(*number, out);
            }),
            Self::Double(number) => quoted_unless(number.is_finite(), out, |out| {
                append_java_double(*number, out);
            }),
            Self::Text(text) => append_text(text, out),
            Self::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    append_comma(i, out);
                    item.append(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (i, (name, value)) in members.iter().enumerate() {
                    append_comma(i, out);
                    append_text(name, out);
                    out.push(b':');
                    value.append(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn append_comma(i: usize, out: &mut Vec<u8>) {
    if i > 0 {
        out.push(b',');
    }
}

/// What JSON has no number for becomes a string.
fn quoted_unless(plain: bool, out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    let quote: &[u8] = if plain { b"" } else { b"\"" };
    out.extend_from_slice(quote);
    append(out);
    out.extend_from_slice(quote);
}

/// A string with its quotes. Unlike values, schemas pass through characters in Java, and those
/// beyond the basic plane are not escaped.
pub(crate) fn append_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in text.chars() {
        let letter = match c {
            '"' | '\\' => c as u8,
            '\u{8}' => b'b',
            '\t' => b't',
            '\n' => b'n',
            '\u{c}' => b'f',
            '\r' => b'r',
            '\0'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes());
                continue;
            }
            _ => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
    out.push(b'"');
}
