//! Decides how names, texts and numbers stand in the text of a schema: as Java prints it after
//! reading it once.

use millrace_api::data::Decimal;
use millrace_api::data::json::Number;

use crate::json::{Node, append_boolean, append_text};
use crate::json_schema::order::{Table, ordered};

/// Texts in schemas are characters to Java, not bytes: none but the special ones are escaped.
pub(crate) fn append_string(text: &str, out: &mut Vec<u8>) {
    let is_beyond = |c: char| c > '\u{ffff}';
    if !text.contains(is_beyond) {
        return append_text(text, out);
    }
    out.push(b'"');
    for piece in text.split_inclusive(is_beyond) {
        let (plain, last) = match piece.char_indices().next_back() {
            Some((at, c)) if is_beyond(c) => piece.split_at(at),
            _ => (piece, ""),
        };
        let mut quoted = Vec::new();
        append_text(plain, &mut quoted);
        out.extend_from_slice(&quoted[1..quoted.len() - 1]);
        out.extend_from_slice(last.as_bytes());
    }
    out.push(b'"');
}

/// Appends a value of a schema, such as a default.
pub(crate) fn append_node(node: &Node<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Missing | Node::Null => out.extend_from_slice(b"null"),
        Node::Boolean(truth) => append_boolean(*truth, out),
        Node::Number(number) => out.extend_from_slice(plain_number(*number).as_bytes()),
        Node::Text(text) => append_string(text, out),
        Node::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                append_node(item, out);
            }
            out.push(b']');
        }
        Node::Object(members) => {
            out.push(b'{');
            let members = ordered(members, |(name, _)| name, Table::Grown);
            for (i, (name, item)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                append_string(name, out);
                out.push(b':');
                append_node(item, out);
            }
            out.push(b'}');
        }
    }
}

/// Zeros at the end of a fraction go; a number that is written with an exponent keeps them.
fn plain_number(number: Number<'_>) -> String {
    let Decimal { mut unscaled, mut scale } = number.to_decimal();
    if !number.has_exponent() || number.to_f64() == 0.0 {
        let ten = num_bigint::BigInt::from(10);
        while scale > 0 && &unscaled % &ten == num_bigint::BigInt::ZERO {
            unscaled /= &ten;
            scale -= 1;
        }
    }
    Decimal { unscaled, scale }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_zeros() {
        let text = |json: &str| {
            let mut out = Vec::new();
            append_node(&Node::parse(json).unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text("[1.0,1.50,-0.0,1.0E10,12,0.10]"), "[1,1.5,0,1.0E+10,12,0.1]");
        assert_eq!(text("[0.000017460,1.0E-4]"), "[0.00001746,0.00010]");
        assert_eq!(text("{\"a\\n\u{1f600}b\":null}"), "{\"a\\n\u{1f600}b\":null}");
    }
}
