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
        return rebuild(object, members, out);
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

/// Writes a comma before all but the first.
pub(crate) fn separate(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

/// Writes a member.
pub(crate) fn push(quoted: &str, value: &str, out: &mut String) {
    out.push_str(quoted);
    out.push(':');
    out.push_str(value);
}

/// A member as it is written.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Name and value.
    pub(crate) text: &'a str,
    pub(crate) value: &'a str,
}

/// Shows the object's own members in order. Names may come again; the last counts.
pub(crate) fn members<'a>(object: &'a str, mut see: impl FnMut(Seen<'a>)) -> Result<(), Error> {
    let mut read = || -> Result<(), SyntaxError> {
        let mut reader = Reader::new(object);
        reader.peek()?;
        reader.enter()?;
        let mut is_first = true;
        let mut behind = reader.position();
        while let Some(name) = reader.next_name(&mut is_first)? {
            let value = reader.position();
            reader.skip()?;
            let text = object[behind..reader.position()].trim_ascii_start();
            let text = text.strip_prefix(',').unwrap_or(text).trim_ascii_start();
            behind = reader.position();
            see(Seen { name, text, value: object[value..behind].trim_ascii_start() });
        }
        Ok(())
    };
    read().map_err(|e| Error::data("value is not JSON").with_source(e))
}

/// The text of a member, if it is there.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Result<Option<&'a str>, Error> {
    let mut found = None;
    members(object, |member| {
        if member.name == name {
            found = Some(member.value);
        }
    })?;
    Ok(found)
}

/// Looks at the names of the object's own members; all else stays the text it is.
fn rebuild(object: &str, members: &[Member<'_>], out: &mut String) -> Result<(), Error> {
    let mut missing: Vec<&Member<'_>> = members.iter().collect();
    out.push('{');
    let mut at_start = true;
    self::members(object, |seen| {
        if let Some(place) = missing.iter().position(|m| *m.name == *seen.name) {
            let member = missing.swap_remove(place);
            separate(&mut at_start, out);
            push(member.quoted, &member.value, out);
        } else if members.iter().all(|m| *m.name != *seen.name) {
            separate(&mut at_start, out);
            out.push_str(seen.text);
        }
    })?;
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
