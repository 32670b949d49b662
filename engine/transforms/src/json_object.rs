//! Sets members of JSON objects in their text, without reading the other members where that can be
//! avoided.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::{mem, ptr};

use arrow::array::StringViewBuilder;
use millrace_api::Error;
use millrace_api::data::json::{JsonMember, JsonObjects, Reader};
use millrace_api::data::{Value, java_double};

use crate::json_scan::Scan;

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
    if !mem::take(first) {
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
    let not_json = || Error::data("value is not JSON");
    let part = |range: Range<usize>| object.get(range).ok_or_else(not_json);
    let mut scan = Scan::of(object).ok_or_else(not_json)?;
    while let Some(place) = scan.next().map_err(|()| not_json())? {
        let written = part(place.name.start - 1..place.name.end + 1)?;
        let name = if place.is_escaped {
            Cow::Owned(unescaped(written)?)
        } else {
            Cow::Borrowed(&written[1..written.len() - 1])
        };
        let text = part(place.name.start - 1..place.value.end)?;
        see(Seen { name, text, value: part(place.value)? });
    }
    Ok(())
}

/// The text that is written in quotes and with escapes.
fn unescaped(written: &str) -> Result<String, Error> {
    let mut reader = Reader::new(written);
    let text = reader.peek().and_then(|_| reader.take_text());
    text.map(Cow::into_owned).map_err(|e| Error::data("value is not JSON").with_source(e))
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

/// A value as JSON text that is read as the same value; none when there is no such text.
pub(crate) fn written(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(bit) => bit.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Float64(number) if number.is_finite() && !is_negative_zero(*number) => {
            java_double(*number)
        }
        Value::String(text) => quoted(text),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        _ => return None,
    })
}

/// JSON text is read into decimals, which have none.
fn is_negative_zero(number: f64) -> bool {
    number == 0.0 && number.is_sign_negative()
}

/// Writes the object with the members of these names changed, and with null for those that are
/// not there. False when a change gives no text.
pub(crate) fn change<'n>(
    object: &str,
    names: impl Iterator<Item = &'n Arc<str>>,
    out: &mut String,
    mut change: impl FnMut(&str, &str) -> Option<String>,
) -> Result<bool, Error> {
    let mut missing: Vec<(&Arc<str>, bool)> = names.map(|name| (name, true)).collect();
    let mut can_be_written = true;
    let mut first = true;
    out.push('{');
    members(object, |member| {
        separate(&mut first, out);
        let Some(name) = missing.iter_mut().find(|(name, _)| ***name == *member.name) else {
            out.push_str(member.text);
            return;
        };
        name.1 = false;
        let changed = change(&member.name, member.value);
        can_be_written &= changed.is_some();
        // The name and its colon stay as they are written.
        out.push_str(&member.text[..member.text.len() - member.value.len()]);
        out.push_str(&changed.unwrap_or_default());
    })?;
    for (name, _) in missing.iter().filter(|(_, is_missing)| *is_missing) {
        separate(&mut first, out);
        push(&quoted(name), "null", out);
    }
    out.push('}');
    Ok(can_be_written)
}

/// What a JSON value becomes.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// It stays as it is.
    Not,
    To(Cow<'a, str>),
    /// It cannot be written, or is refused.
    Never,
}

impl Change<'_> {
    /// What was made of it, if it could be.
    pub(crate) fn made(text: Option<String>) -> Self {
        text.map_or(Self::Never, |text| Self::To(Cow::Owned(text)))
    }
}

impl PartialEq for Change<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Most are one text at one place, which need not be read.
            (Self::To(text), Self::To(other)) => ptr::eq(&**text, &**other) || text == other,
            _ => mem::discriminant(self) == mem::discriminant(other),
        }
    }
}

/// The objects with the members of these names, which are distinct, changed, and with null for those
/// that are not there. None when `change` gives none, or some objects have a member and others not:
/// null comes last in the others, whatever its place in the run.
pub(crate) fn change_members<'n>(
    objects: &JsonObjects,
    names: impl Iterator<Item = &'n Arc<str>>,
    mut change: impl FnMut(&JsonMember) -> Option<JsonMember>,
) -> Option<JsonObjects> {
    let mut members = objects.members().to_vec();
    for name in names {
        match members.iter_mut().find(|member| member.name() == name) {
            None => members.push(JsonMember::same(Arc::clone(name), "null")),
            Some(member) if objects.is_everywhere(member) => *member = change(member)?,
            Some(_) => return None,
        }
    }
    Some(objects.with_members(members))
}

/// The member, which all objects have, with each text changed, each alike; where a change gives no
/// text the row is odd. None when none gives one.
pub(crate) fn changed<'c>(
    objects: &JsonObjects,
    member: &JsonMember,
    odd: &mut Vec<usize>,
    change: impl Fn(&str) -> Change<'c>,
) -> Option<JsonMember> {
    let all = |change: Change<'_>| match change {
        Change::Not => Some(member.clone()),
        Change::To(text) => Some(JsonMember::same(Arc::clone(member.name()), &*text)),
        Change::Never => None,
    };
    if let Some(text) = member.constant() {
        return all(change(text));
    }
    let changes = (0..objects.len()).filter_map(|row| Some((row, objects.text(member, row)?)));
    let odd_before = odd.len();
    let mut changes = changes.map(|(row, text)| (row, change(text))).filter(|(row, change)| {
        let is_odd = *change == Change::Never;
        if is_odd {
            odd.push(*row);
        }
        !is_odd
    });
    let first = changes.next().map(|(_, change)| change);
    let is_same = changes.all(|(_, change)| Some(&change) == first.as_ref());
    match first {
        Some(first) if is_same => return all(first),
        None if odd.len() > odd_before => return None,
        None => return all(Change::Not),
        Some(_) => odd.truncate(odd_before),
    }
    let mut texts = StringViewBuilder::with_capacity(objects.len());
    for row in 0..objects.len() {
        match objects.text(member, row).map(|text| (text, change(text))) {
            None => texts.append_null(),
            Some((text, Change::Not)) => texts.append_value(text),
            Some((_, Change::To(text))) => texts.append_value(text),
            Some((_, Change::Never)) => {
                odd.push(row);
                texts.append_null();
            }
        }
    }
    Some(JsonMember::own(Arc::clone(member.name()), texts.finish()))
}

/// The member with null where it is not there.
pub(crate) fn or_null(objects: &JsonObjects, member: &JsonMember) -> JsonMember {
    if objects.is_everywhere(member) {
        return member.clone();
    }
    let text = |row| Some(objects.text(member, row).unwrap_or("null"));
    let texts = (0..objects.len()).map(text).collect();
    JsonMember::own(Arc::clone(member.name()), texts)
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

    #[test]
    fn what_all_rows_get_is_held_once() {
        let texts = [None, Some(r#"{"a":"x","b":1}"#), Some(r#"{"a":"y","b":22}"#)];
        let objects = JsonObjects::read(&texts.into_iter().collect(), |_, _| unreachable!());
        let objects = objects.unwrap();
        let mut odd = Vec::new();
        let mut change = |member: &JsonMember| {
            changed(&objects, member, &mut odd, |text| match text {
                "1" => Change::Not,
                "22" => Change::made(Some("2".to_owned())),
                "9" => Change::Never,
                _ => Change::To("9".into()),
            })
        };
        let name = |name: &'static str| Arc::<str>::from(name);
        let names = ["a", "b", "c"].map(name);
        let made = change_members(&objects, names.iter(), &mut change).unwrap();
        let constants: Vec<_> = made.members().iter().map(JsonMember::constant).collect();
        assert_eq!(constants, [Some("9"), None, Some("null")]);
        let expected = [None, Some(r#"{"a":9,"b":1,"c":null}"#), Some(r#"{"a":9,"b":2,"c":null}"#)];
        assert_eq!(made.texts(), expected.into_iter().collect());
        assert!(change(&made.members()[0]).is_none(), "what is never changed spoils the run");
        let same = JsonMember::same(name("d"), "1");
        assert_eq!(change(&same).unwrap().constant(), Some("1"));
        let own =
            JsonMember::own(name("e"), [Some("1"), Some("9"), Some("1")].into_iter().collect());
        assert_eq!(change(&own).unwrap().constant(), None);
        let like = [Some("7"), Some("9"), Some("7")].into_iter().collect();
        let like = JsonMember::own(name("f"), like);
        assert_eq!(change(&like).unwrap().constant(), Some("9"), "the odd one may be anything");
        // The first object is null.
        assert_eq!(odd, [1, 1]);
    }
}
