//! Decides how the difference between two schemas is shown: by members where they are JSON, else by
//! lines.

use std::collections::BTreeMap;

use schema_registry_client::{Reference, Schema};
use serde_json::Value;

/// A table of so many cells finds which lines two texts have in common.
const MAX_CELLS: usize = 25_000_000;

/// What changed: `+` came, `-` went, `~` is another. Nothing for schemas that say the same.
pub(super) fn lines(before: &Schema, after: &Schema) -> Vec<String> {
    let json = |schema: &Schema| serde_json::from_str::<Value>(&schema.text).ok();
    let mut lines = match (json(before), json(after)) {
        (Some(before), Some(after)) => {
            let (before, after) = (Said::by(&before), Said::by(&after));
            let mut lines = members(&before.leaves, &after.leaves);
            lines.extend(reordered(&before.orders, &after.orders));
            lines
        }
        _ => by_lines(&before.text, &after.text),
    };
    let references = |schema: &Schema| {
        let entry = |reference: &Reference| {
            let Reference { name, subject, version } = reference;
            (format!("reference {name}"), format!("{subject}, version {version}"))
        };
        schema.references.iter().map(entry).collect()
    };
    lines.extend(members(&references(before), &references(after)));
    lines
}

fn members(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut paths: Vec<_> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let changed = |path: &String| match (before.get(path), after.get(path)) {
        (None, Some(new)) => Some(format!("+ {path}: {new}")),
        (Some(old), None) => Some(format!("- {path}: {old}")),
        (Some(old), Some(new)) if old != new => Some(format!("~ {path}: {old} -> {new}")),
        _ => None,
    };
    paths.into_iter().filter_map(changed).collect()
}

/// The fields that both have, where they come in another order: payloads are written in it.
fn reordered(before: &Orders, after: &Orders) -> Vec<String> {
    let change = |(path, old): (&String, &Vec<String>)| {
        let new = after.get(path)?;
        let of = |names: &[String], others: &[String]| {
            let both = names.iter().filter(|name| others.contains(name));
            both.cloned().collect::<Vec<_>>().join(", ")
        };
        let (old, new) = (of(old, new), of(new, old));
        let place = if path.is_empty() { String::new() } else { format!(" of {path}") };
        (old != new).then(|| format!("~ order{place}: {old} -> {new}"))
    };
    before.iter().filter_map(change).collect()
}

/// The names of what stands in a list, by where it stands.
type Orders = BTreeMap<String, Vec<String>>;

/// What a schema says, by where it says it: fields are named, not counted.
#[derive(Default)]
struct Said {
    leaves: BTreeMap<String, String>,
    orders: Orders,
}

impl Said {
    fn by(schema: &Value) -> Self {
        let mut said = Self::default();
        said.walk(schema, String::new());
        said
    }

    fn walk(&mut self, value: &Value, path: String) {
        let below = |key: &str| match (key, path.as_str()) {
            // Avro's and JSON Schema's words for what has members say nothing to people.
            ("fields" | "properties", _) => path.clone(),
            (_, "") => key.to_owned(),
            _ => format!("{path}.{key}"),
        };
        let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
        match value {
            Value::Object(object) if !object.is_empty() => {
                for (key, value) in object {
                    self.walk(value, below(key));
                }
            }
            Value::Array(items) if !items.is_empty() && items.iter().all(|i| name(i).is_some()) => {
                let names = items.iter().filter_map(name).collect();
                for item in items {
                    let key = name(item).unwrap_or_default();
                    let mut item = item.clone();
                    if let Some(object) = item.as_object_mut() {
                        object.shift_remove("name");
                    }
                    self.walk(&item, below(&key));
                }
                self.orders.insert(path, names);
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, below(&index.to_string()));
                }
            }
            leaf => {
                let path = if path.is_empty() { "schema".to_owned() } else { path };
                self.leaves.insert(path, leaf.to_string());
            }
        }
    }
}

/// The lines that two texts have not in common.
fn by_lines(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    if old.len().saturating_mul(new.len()) > MAX_CELLS {
        let gone = old.iter().map(|line| format!("- {line}"));
        return gone.chain(new.iter().map(|line| format!("+ {line}"))).collect();
    }
    // How many lines the rests of both have in common, from each pair of places on.
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = match old[i] == new[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < old.len()
            && (j == new.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use schema_registry_client::SchemaType;

    use super::*;

    #[test]
    fn fields_are_named_and_not_counted() {
        let before = Schema::avro(
            r#"{"type":"record","name":"O","fields":[{"name":"id","type":"int"},
               {"name":"total","type":"double"},{"name":"at","type":{"type":"record","name":"A",
               "fields":[{"name":"street","type":"string"}]}}]}"#,
        );
        let after = Schema::avro(
            r#"{"type":"record","name":"O","fields":[{"name":"note","type":["null","string"],
               "default":null},{"name":"id","type":"long"},{"name":"at","type":{"type":"record",
               "name":"A","fields":[{"name":"street","type":"string"},{"name":"no","type":"int"}]}}]}"#,
        );
        assert_eq!(
            lines(&before, &after),
            [
                "+ at.type.no.type: \"int\"",
                "~ id.type: \"int\" -> \"long\"",
                "+ note.default: null",
                "+ note.type: [\"null\",\"string\"]",
                "- total.type: \"double\"",
            ]
        );
        assert!(lines(&before, &before).is_empty());
        assert_eq!(
            lines(&Schema::avro("\"int\""), &Schema::avro("\"long\"")),
            ["~ schema: \"int\" -> \"long\""]
        );
    }

    #[test]
    fn fields_in_another_order_are_a_difference() {
        let record = |fields: &[&str]| {
            let fields = fields.iter().map(|name| format!(r#"{{"name":"{name}","type":"int"}}"#));
            let fields = fields.collect::<Vec<_>>().join(",");
            format!(r#"{{"type":"record","name":"O","fields":[{fields}]}}"#)
        };
        let nested = |fields: &[&str]| {
            let inner = record(fields);
            Schema::avro(format!(
                r#"{{"type":"record","name":"P","fields":[{{"name":"o","type":{inner}}}]}}"#
            ))
        };
        let plain = |fields: &[&str]| Schema::avro(record(fields));
        let moved = lines(&plain(&["a", "b", "c"]), &plain(&["b", "a", "c"]));
        assert_eq!(moved, ["~ order: a, b, c -> b, a, c"]);
        let moved = lines(&nested(&["a", "b"]), &nested(&["b", "a"]));
        assert_eq!(moved, ["~ order of o.type: a, b -> b, a"]);
        // What came between them has moved nothing.
        assert_eq!(lines(&plain(&["a", "b"]), &plain(&["a", "x", "b"])), ["+ x.type: \"int\""]);
    }

    #[test]
    fn what_is_no_json_is_compared_by_lines() {
        let schema = |text: &str, version| Schema {
            references: vec![Reference { name: "p".into(), subject: "s".into(), version }],
            ..Schema::new(SchemaType::Protobuf, text)
        };
        let before = schema("message A {\n  string a = 1;\n  int32 b = 2;\n}\n", 1);
        let after = schema("message A {\n  string a = 1;\n  int64 b = 2;\n  bool c = 3;\n}\n", 2);
        assert_eq!(
            lines(&before, &after),
            [
                "-   int32 b = 2;",
                "+   int64 b = 2;",
                "+   bool c = 3;",
                "~ reference p: s, version 1 -> s, version 2",
            ]
        );
    }
}
