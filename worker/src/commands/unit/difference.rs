//! Decides whether what came is what was expected, and says where it is not.

use serde_json::{Map, Number, Value};

/// Where what came differs from what was expected: a line each for both. With `partial`, members that
/// the expectation does not name may be there.
pub(super) fn of(expected: &Map<String, Value>, came: &Value, partial: bool) -> Vec<String> {
    let mut found = Differences { partial, lines: Vec::new() };
    for (part, expected) in expected {
        found.compare(part, expected, came.get(part).unwrap_or(&Value::Null));
    }
    found.lines
}

struct Differences {
    partial: bool,
    lines: Vec<String>,
}

impl Differences {
    fn compare(&mut self, path: &str, expected: &Value, came: &Value) {
        match (expected, came) {
            (Value::Object(expected), Value::Object(came)) => self.objects(path, expected, came),
            (Value::Array(expected), Value::Array(came)) if expected.len() == came.len() => {
                for (place, (expected, came)) in expected.iter().zip(came).enumerate() {
                    self.compare(&format!("{path}[{place}]"), expected, came);
                }
            }
            (Value::Number(expected), Value::Number(came)) if are_equal(expected, came) => {}
            (expected, came) if expected == came => {}
            (expected, came) => {
                self.lines.push(format!("- {path}: {expected}"));
                self.lines.push(format!("+ {path}: {came}"));
            }
        }
    }

    fn objects(&mut self, path: &str, expected: &Map<String, Value>, came: &Map<String, Value>) {
        for (name, expected) in expected {
            let path = format!("{path}.{name}");
            match came.get(name) {
                Some(came) => self.compare(&path, expected, came),
                None => self.lines.push(format!("- {path}: {expected}")),
            }
        }
        let more = came.iter().filter(|(name, _)| !self.partial && !expected.contains_key(*name));
        self.lines.extend(more.map(|(name, came)| format!("+ {path}.{name}: {came}")));
    }
}

/// Whether two numbers are the same, however they are written.
fn are_equal(a: &Number, b: &Number) -> bool {
    a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_compared() {
        let came = serde_json::json!({"topic": "t", "value": {"a": 1, "b": [1.0, {"c": null}]}});
        let lines = |expected: Value, partial| of(expected.as_object().unwrap(), &came, partial);
        let none: [&str; 0] = [];
        assert_eq!(lines(serde_json::json!({"topic": "t"}), false), none);
        let whole = serde_json::json!({"value": {"b": [1, {"c": null}], "a": 1}});
        assert_eq!(lines(whole, false), none);
        let part = serde_json::json!({"value": {"a": 1}});
        assert_eq!(lines(part.clone(), true), none);
        assert_eq!(lines(part, false), ["+ value.b: [1.0,{\"c\":null}]"]);
        let other = serde_json::json!({"key": 7, "value": {"a": "1", "b": [1], "z": true}});
        assert_eq!(
            lines(other, true),
            [
                "- key: 7",
                "+ key: null",
                "- value.a: \"1\"",
                "+ value.a: 1",
                "- value.b: [1]",
                "+ value.b: [1.0,{\"c\":null}]",
                "- value.z: true",
            ]
        );
    }
}
