//! Decides how golden files look and how two answers are told apart.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// Differences beyond these are not printed: the first ones say enough.
const SHOWN: usize = 100;

pub(super) fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| {
        panic!("cannot read {}; `cargo xtask golden` records it: {error}", file.display())
    });
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{} is not JSON: {error}", file.display()))
}

pub(super) fn write(file: &Path, value: &Value) {
    let text = serde_json::to_string_pretty(value).expect("a JSON value can be printed");
    fs::write(file, text + "\n")
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}

/// Where two values differ, as `/path: Java VALUE, ours VALUE`. The order of an object's keys does
/// not count.
pub(super) fn differences(java: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", java, ours, &mut found);
    if found.len() > SHOWN {
        let more = found.len() - SHOWN;
        found.truncate(SHOWN);
        found.push(format!("and {more} more"));
    }
    found
}

fn compare(path: &str, java: &Value, ours: &Value, found: &mut Vec<String>) {
    match (java, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let only_ours = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(only_ours) {
                let of = |side: &serde_json::Map<String, Value>| side.get(key).cloned();
                member(&format!("{path}/{key}"), of(left), of(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for index in 0..left.len().max(right.len()) {
                let of = |side: &[Value]| side.get(index).cloned();
                // An exchange is easier found by its request.
                let request = left.get(index).and_then(|item| item["request"].as_str());
                let request = request.map(|line| format!(" ({line})")).unwrap_or_default();
                member(&format!("{path}/{index}{request}"), of(left), of(right), found);
            }
        }
        (left, right) if left == right => {}
        (left, right) => found.push(format!("{path}: Java {left}, ours {right}")),
    }
}

fn member(path: &str, java: Option<Value>, ours: Option<Value>, found: &mut Vec<String>) {
    match (java, ours) {
        (Some(left), Some(right)) => compare(path, &left, &right, found),
        (Some(left), None) => found.push(format!("{path}: Java {left}, ours nothing")),
        (None, Some(right)) => found.push(format!("{path}: Java nothing, ours {right}")),
        (None, None) => {}
    }
}

/// Puts `to` for `from` in every string of a value, names of members included.
pub(super) fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text.contains(from) => *text = text.replace(from, to),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, from, to)),
        Value::Object(members) => {
            let replaced = std::mem::take(members).into_iter().map(|(name, mut item)| {
                replace(&mut item, from, to);
                (name.replace(from, to), item)
            });
            *members = replaced.collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::differences;
    use serde_json::json;

    #[test]
    fn differences_name_their_place() {
        let java = json!({"a": [1, {"b": null}], "c": "x"});
        assert_eq!(differences(&java, &json!({"c": "x", "a": [1, {"b": null}]})), [""; 0]);
        let ours = json!({"a": [2, {}], "d": 3});
        let expected = [
            "/a/0: Java 1, ours 2",
            "/a/1/b: Java null, ours nothing",
            "/c: Java \"x\", ours nothing",
            "/d: Java nothing, ours 3",
        ];
        assert_eq!(differences(&java, &ours), expected);
    }
}
