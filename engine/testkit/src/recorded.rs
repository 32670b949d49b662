//! Decides how recorded records are given to what is tested, and how what comes out is told from
//! what came out of Java.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::StringViewArray;
use millrace_api::Error;
use millrace_api::data::{Column, Value, java_double, java_single, json as json_text};
use serde_json::{Map, Value as Json, json};

use crate::arbitrary::{by_member, forms};
use crate::notation::{read_records, write_record};

/// Java throws these where it trips over itself: the words are the virtual machine's.
const WORDS_OF_THE_JVM: [&str; 2] =
    ["java.lang.ClassCastException", "java.lang.NullPointerException"];

/// A JSON value a line.
pub fn lines(file: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|e| panic!("cannot read the golden file {}: {e}", file.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The records of a file, by their names.
pub fn records(file: &Path) -> BTreeMap<String, Json> {
    let named = |record: Json| (record["record"].as_str().expect("a name").to_owned(), record);
    lines(file).into_iter().map(named).collect()
}

/// The outcomes of one line, a record's name each: `[[NAME, …], OUTCOME]`.
pub fn outcomes(line: &Json) -> impl Iterator<Item = (String, Json)> {
    let names = line[0].as_array().expect("names stand before the outcome").iter();
    let outcome = with_our_digits(&line[1]);
    names.map(move |name| (name.as_str().expect("a name").to_owned(), outcome.clone()))
}

/// The same numbers, printed by us: the JDK that recorded them prints some with a digit too many.
fn with_our_digits(outcome: &Json) -> Json {
    match outcome {
        Json::Array(items) => items.iter().map(with_our_digits).collect(),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| {
                let printed = match (&**name, value.as_str()) {
                    ("float32", Some(text)) => text.parse().ok().map(java_single),
                    ("float64", Some(text)) => text.parse().ok().map(java_double),
                    _ => None,
                };
                (name.clone(), printed.map_or_else(|| with_our_digits(value), Json::from))
            };
            Json::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

/// A record as it is written once it was read: the order of a map's entries is not its own.
pub fn normalized(record: &Json) -> Json {
    write_record(&read_records(&[record]), 0)
}

/// Which records can be one run. Those that are JSON text are runs of their own.
pub fn runs(records: &[Json]) -> Vec<Vec<usize>> {
    let mut runs: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, record) in records.iter().enumerate() {
        let is_text = every_form(&read_records(&[record]).value).iter().any(is_json);
        let schemas = [&record["key"][0], &record["value"][0]];
        let of_sink = record.get("offset").is_some();
        let shared = json!([record["topic"], record["partition"], schemas, of_sink, is_text]);
        runs.entry(shared.to_string()).or_default().push(i);
    }
    runs.into_values().filter(|run| run.len() > 1).collect()
}

fn is_json(column: &Column) -> bool {
    matches!(column, Column::Json(_) | Column::Objects(_))
}

/// The rows in every form that can hold them, JSON text among them.
pub fn every_form(column: &Column) -> Vec<Column> {
    let mut all = forms(column);
    let texts: Option<StringViewArray> = match column {
        Column::Rows { schema: None, values } => {
            // Null has two forms, no text and the word.
            let cell = |(row, value): (usize, &Value)| match value {
                Value::Null if row.is_multiple_of(2) => Some(None),
                value => text(value).map(Some),
            };
            values.iter().enumerate().map(cell).collect()
        }
        _ => None,
    };
    if let Some(texts) = texts {
        // By member, null has but one form.
        let none = texts.iter().map(|text| text.filter(|text| *text != "null"));
        all.extend(by_member(&Column::Json(none.collect())));
        all.push(Column::Json(texts));
    }
    all
}

/// What a form is called where a test reports it.
pub fn form_name(column: &Column) -> &'static str {
    match column {
        Column::Typed { .. } => "array",
        Column::Json(_) => "JSON",
        Column::Objects(_) => "JSON by member",
        Column::Rows { .. } => "rows",
    }
}

/// The value as JSON text, if that says all of it.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(_) | Value::Int64(_) => value.to_string(),
        Value::Float64(number) => java_double(*number),
        Value::String(text) => json!(&**text).to_string(),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(entries) => {
            let member = |(key, value): &(Value, Value)| match key {
                Value::String(_) => Some(format!("{}: {}", text(key)?, text(value)?)),
                _ => None,
            };
            let members: Option<Vec<String>> = entries.iter().map(member).collect();
            format!("{{{}}}", members?.join(", "))
        }
        _ => return None,
    };
    json_text::parse(&text).is_ok_and(|read| read == *value).then_some(text)
}

/// The members that are others now; of key and value, "=" stands for the same schema or value.
pub fn changes(before: &Json, after: &Json) -> Json {
    let mut changes = Map::new();
    for member in ["topic", "partition", "offset", "timestamp", "headers"] {
        if after.get(member) != before.get(member) {
            changes.insert(member.to_owned(), after[member].clone());
        }
    }
    for member in ["key", "value"] {
        let part = |i: usize| {
            let (was, is) = (&before[member][i], &after[member][i]);
            if was == is { json!("=") } else { is.clone() }
        };
        if after[member] != before[member] {
            changes.insert(member.to_owned(), json!([part(0), part(1)]));
        }
    }
    Json::Object(changes)
}

/// An error as an outcome.
pub fn error(error: &Error) -> Json {
    json!({"error": [error.java_class(), error.to_string()]})
}

/// Whether two outcomes are the same. Words of the virtual machine are not compared.
pub fn is_same(java: &Json, ours: &Json) -> bool {
    let class = &java["error"][0];
    let is_of_the_jvm = class.as_str().is_some_and(|class| WORDS_OF_THE_JVM.contains(&class));
    java == ours || (is_of_the_jvm && ours["error"][0] == *class)
}
