//! Decides which field a path leads to (`field.syntax.version`, `SingleFieldPath` in Java).

use std::sync::Arc;

use millrace_api::config::ConfigEnum;
use millrace_api::data::{SchemaRef, Value};
use millrace_api::{Error, Result};

use crate::json_object;
use crate::refused::no_map;

const PURPOSE: &str = "nested field access";

/// How a path is written.
#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
pub(crate) enum FieldSyntax {
    /// The name of a field at the root, whatever characters it has.
    #[config(name = "V1")]
    V1,
    /// Names with dots between them; one that has dots itself stands in backticks.
    #[config(name = "V2")]
    V2,
}

/// The names of fields, each in the one before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldPath(Vec<Arc<str>>);

impl FieldPath {
    pub(crate) fn new(path: &str, syntax: FieldSyntax) -> Result<Self> {
        Ok(Self(match syntax {
            FieldSyntax::V1 => vec![path.into()],
            FieldSyntax::V2 => split(path)?,
        }))
    }

    /// The name, where the path is but one.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match &self.0[..] {
            [name] => Some(name),
            _ => None,
        }
    }

    /// The names but the last, and the last. Java too takes an empty path for one without names.
    fn steps(&self) -> Result<(&[Arc<str>], &Arc<str>)> {
        let (last, others) = self.0.split_last().ok_or_else(|| {
            Error::data("fromIndex(0) > toIndex(-1)").as_java("java.lang.IllegalArgumentException")
        })?;
        Ok((others, last))
    }

    /// The place of the field in each of the structs on the way; none when there is no such field.
    pub(crate) fn places(&self, schema: &SchemaRef) -> Result<Option<Vec<usize>>> {
        self.steps()?;
        let mut places = Vec::with_capacity(self.0.len());
        let mut schema = schema;
        for name in &self.0 {
            if schema.kind() != millrace_api::data::Kind::Struct {
                return Err(Error::data("Cannot look up fields on non-struct type"));
            }
            let Some((place, field)) = schema.field(name) else { return Ok(None) };
            places.push(place);
            schema = &field.schema;
        }
        Ok(Some(places))
    }

    /// The value in a map of maps; null when it is not there.
    pub(crate) fn take(&self, map: Value) -> Result<Value> {
        let (others, last) = self.steps()?;
        let mut map = map;
        for name in others {
            map = match taken(map, name) {
                Value::Null => return Ok(Value::Null),
                map @ Value::Map(_) => map,
                other => return Err(no_map(PURPOSE, &other)),
            };
        }
        Ok(taken(map, last))
    }

    /// The text of the value in an object of objects; none when it is not there.
    pub(crate) fn text<'a>(&self, object: &'a str) -> Result<Option<&'a str>> {
        let (others, last) = self.steps()?;
        let mut object = object;
        for name in others {
            object = match json_object::member(object, name)? {
                None | Some("null") => return Ok(None),
                Some(text) if json_object::is_object(text) => text,
                Some(text) => {
                    return Err(no_map(PURPOSE, &millrace_api::data::json::parse(text)?));
                }
            };
        }
        json_object::member(object, last)
    }
}

fn taken(map: Value, name: &Arc<str>) -> Value {
    let Value::Map(entries) = map else { return Value::Null };
    let is_name = |key: &Value| matches!(key, Value::String(key) if key == name);
    entries.into_iter().find(|(key, _)| is_name(key)).map_or(Value::Null, |(_, value)| value)
}

/// Java's rules: a name that begins with a backtick ends with one that a dot or the end follows,
/// and other backticks in it are plain; before a dot a backslash makes a backtick plain.
fn split(path: &str) -> Result<Vec<Arc<str>>> {
    let mut steps: Vec<Arc<str>> = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('`') {
            let start = path.len() - rest.len();
            let (name, behind) = closed(quoted).ok_or_else(|| incomplete(path, start))?;
            steps.push(name.into());
            rest = behind;
        } else if let Some((name, behind)) = rest.split_once('.') {
            steps.push(name.into());
            rest = behind;
        } else {
            steps.push(rest.into());
            rest = "";
        }
    }
    if path.ends_with('.') {
        steps.push("".into());
    }
    Ok(steps)
}

/// The name up to its closing backtick, and what stands behind the dot after that.
fn closed(quoted: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut start = 0;
    for (at, _) in quoted.match_indices('`') {
        let before = quoted[..at].strip_suffix('\\');
        let behind = &quoted[at + 1..];
        match (behind.strip_prefix('.'), before) {
            (None, _) if !behind.is_empty() => {}
            (None, Some(_)) => return None,
            (Some(_), Some(before)) => {
                name.push_str(&before[start..]);
                name.push('`');
                start = at + 1;
            }
            (behind, None) => {
                name.push_str(&quoted[start..at]);
                return Some((name, behind.unwrap_or("")));
            }
        }
    }
    None
}

fn incomplete(path: &str, start: usize) -> Error {
    let start = path[..start].encode_utf16().count();
    Error::config(format!(
        "Incomplete backtick pair in path: [{path}], consider adding a backslash before backtick \
         at position {start} to escape it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_as_java_splits_them() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a", &["a"]),
            ("a.b", &["a", "b"]),
            (".", &["", ""]),
            ("a.", &["a", ""]),
            ("a..b", &["a", "", "b"]),
            ("`a.b`.c", &["a.b", "c"]),
            ("`a.b`", &["a.b"]),
            ("`a.b`.", &["a.b", ""]),
            ("x.`a`b.c`", &["x", "a`b.c"]),
            ("`a\\`.b`", &["a`.b"]),
            ("`a\\`b`.c", &["a\\`b", "c"]),
            ("``.b", &["", "b"]),
            ("a`b.c", &["a`b", "c"]),
            ("é.`ü.`", &["é", "ü."]),
        ];
        for (path, steps) in cases {
            let path = FieldPath::new(path, FieldSyntax::V2).unwrap();
            assert_eq!(path.0.iter().map(|s| &**s).collect::<Vec<_>>(), *steps);
        }
        assert_eq!(FieldPath::new("a.b", FieldSyntax::V1).unwrap().0, ["a.b".into()]);
        for (path, at) in [("`a", 0), ("x.`a.b", 2), ("`a\\`", 0), ("`", 0), ("é.`", 2)] {
            let error = FieldPath::new(path, FieldSyntax::V2).unwrap_err();
            let expected = format!(
                "Incomplete backtick pair in path: [{path}], consider adding a backslash before \
                 backtick at position {at} to escape it"
            );
            assert_eq!(error.message(), expected);
        }
    }
}
