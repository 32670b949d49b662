//! Sets members of JSON objects in their text, without reading the other members where that can be
//! avoided.

use std::borrow::Cow;

use millrace_api::Error;
use millrace_api::data::json::{Reader, SyntaxError};

/// A member to set: its name, and its value as JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    /// The name in quotes.
    pub(crate) quoted: &'a str,
    pub(crate) name: &'a str,
    pub(crate) value: Cow<'a, str>,
}

/// A text in quotes, with what must be escaped escaped.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether a JSON text is an object.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

/// Appends the object to `out` with these members set: in the place of a member of the same name,
/// else at the end. Names are distinct.
pub(crate) fn set(object: &str, members: &[Member<'_>], out: &mut String) -> Result<(), Error> {
    // An escape may spell any name.
    let may_be_there = |m: &Member<'_>| object.contains(m.quoted);
    if object.contains('\\') || members.iter().any(may_be_there) {
        return rebuild(object, members, out)
            .map_err(|e| Error::data("value is not JSON").with_source(e));
    }
    let start = object.trim_ascii_end();
    let start = start.strip_suffix('}').unwrap_or(start).trim_ascii_end();
    out.push_str(start);
    let mut first = start.ends_with('{');
    for member in members {
        separate(&mut first, out);
        push(member.quoted, &member.value, out);
    }
    out.push('}');
    Ok(())
}

fn separate(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn push(quoted: &str, value: &str, out: &mut String) {
    out.push_str(quoted);
    out.push(':');
    out.push_str(value);
}

/// Reads the names of the object's own members; all else stays the text it is.
fn rebuild(object: &str, members: &[Member<'_>], out: &mut String) -> Result<(), SyntaxError> {
    let mut missing: Vec<&Member<'_>> = members.iter().collect();
    let mut reader = Reader::new(object);
    reader.peek()?;
    reader.enter()?;
    out.push('{');
    let (mut is_first, mut at_start) = (true, true);
    let mut behind = reader.position();
    while let Some(name) = reader.next_name(&mut is_first)? {
        reader.skip()?;
        let text = &object[behind..reader.position()];
        behind = reader.position();
        if let Some(place) = missing.iter().position(|m| *m.name == *name) {
            let member = missing.swap_remove(place);
            separate(&mut at_start, out);
            push(member.quoted, &member.value, out);
        } else if members.iter().all(|m| *m.name != *name) {
            separate(&mut at_start, out);
            let name_and_value = text.trim_ascii_start();
            let name_and_value = name_and_value.strip_prefix(',').unwrap_or(name_and_value);
            out.push_str(name_and_value.trim_ascii_start());
        }
    }
    for member in members {
        if missing.iter().any(|m| m.name == member.name) {
            separate(&mut at_start, out);
            push(member.quoted, &member.value, out);
        }
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_added_or_replaced_in_place() {
        let cases = [
            ("{}", r#"{"t":1}"#),
            (" { } ", r#" {"t":1}"#),
            (r#"{"a":[1,2.50],"b":{}}"#, r#"{"a":[1,2.50],"b":{},"t":1}"#),
            (r#"{"a":"}"}"#, r#"{"a":"}","t":1}"#),
            (r#"{"t":{"t":2},"a":3}"#, r#"{"t":1,"a":3}"#),
            (r#"{"a":{"t":2}}"#, r#"{"a":{"t":2},"t":1}"#),
            (r#"{"a":"\"t\"" , "b" : 1e1 }"#, r#"{"a":"\"t\"","b" : 1e1,"t":1}"#),
            (r#"{"\u0074":5,"a":"x"}"#, r#"{"t":1,"a":"x"}"#),
            (r#"{"t":1,"a":0,"t":2}"#, r#"{"t":1,"a":0}"#),
        ];
        let member = Member { quoted: "\"t\"", name: "t", value: "1".into() };
        for (object, expected) in cases {
            let mut out = String::new();
            set(object, std::slice::from_ref(&member), &mut out).unwrap();
            assert_eq!(out, expected);
        }
    }
}
