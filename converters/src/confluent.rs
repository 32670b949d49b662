//! Holds formats whose schemas a registry keeps against what Confluent's converters made of the
//! same data (`integration/oracle/confluent`).
//!
//! What is held equal: schemas to the letter, payloads to the byte, and what is read of them, but
//! for the order of map entries, which in Java is that of a hash table of whatever size it has.

use std::collections::BTreeMap;

use millrace_api::data::{Column, RowError};
use millrace_api::{Converter, ConverterRole, Props, Serialized};
use serde_json::Value;

use crate::json;
use crate::registry::{Compiled, Format, Row, SchemaText};

/// What a test says of its format.
pub(crate) struct Recorded {
    pub(crate) file: &'static str,
    pub(crate) open: fn(&Props) -> Box<dyn Format>,
    /// Payloads as they are in the file.
    pub(crate) printed: fn(&[u8]) -> String,
    pub(crate) parsed: fn(&str) -> Vec<u8>,
    /// Takes out of an envelope what Java has there by accident.
    pub(crate) without_accidents: fn(&mut Value),
    /// Where ours is meant to differ, and how.
    pub(crate) meant: &'static [Meant],
}

/// A difference that is meant: its row in `docs/compatibility.md`, and which cases are of it.
pub(crate) struct Meant(pub(crate) &'static str, pub(crate) fn(&Case, &[String]) -> bool);

/// One line: what the options are, what went in, and what came out of it.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) reads: bool,
    pub(crate) options: Props,
    /// An envelope, or a schema and a payload.
    pub(crate) given: Vec<String>,
    /// A schema and a payload, or an envelope.
    pub(crate) java: Vec<String>,
}

impl Case {
    /// Whether Java failed in these words.
    pub(crate) fn failed(&self, words: &str) -> bool {
        self.java.iter().any(|part| part.starts_with("error: ") && part.contains(words))
    }
}

fn cases(file: &'static str) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let is_other = |line: &&str| line.starts_with('#') || line.starts_with("strict\t");
    for line in file.lines().filter(|line| !is_other(line)) {
        let mut parts = line.split('\t').map(str::to_owned);
        let mode = parts.next().unwrap();
        let (mode, options) = mode.split_once(':').unwrap_or((&mode, ""));
        let options = options.split(',').filter_map(|one| one.split_once('='));
        let options = options.map(|(key, value)| (key.into(), value.into())).collect();
        let parts: Vec<String> = parts.collect();
        let reads = mode == "to";
        let (given, java) = parts.split_at(if reads { 2 } else { 1 });
        let given = match all.last() {
            // What was just written is read.
            Some(before) if given[0] == "=" => before.java.clone(),
            _ => given.to_vec(),
        };
        all.push(Case { reads, options, given, java: java.to_vec() });
    }
    all
}

/// A JSON string, or an object with the texts that the schema refers to.
pub(crate) fn schema(quoted: &str) -> SchemaText {
    let value: Value = serde_json::from_str(quoted).unwrap();
    let text = |value: &Value| value.as_str().unwrap().into();
    let (own, references) = match &value {
        Value::Object(parts) => (&parts["schema"], parts["references"].as_array().unwrap()),
        own => (own, &Vec::new()),
    };
    let references = references.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    SchemaText { text: text(own), references }
}

struct Ours {
    recorded: Recorded,
    json: Box<dyn Converter>,
    formats: BTreeMap<Props, Box<dyn Format>>,
}

impl Ours {
    fn format(&mut self, options: &Props) -> &mut dyn Format {
        let open = self.recorded.open;
        &mut **self.formats.entry(options.clone()).or_insert_with(|| open(options))
    }

    fn make(&mut self, case: &Case) -> Vec<String> {
        match case.reads {
            true => vec![self.read(case).unwrap_or_else(|error| format!("error: {error}"))],
            false => self.written(case),
        }
    }

    fn written(&mut self, case: &Case) -> Vec<String> {
        let rows = Serialized::from_iter([Some(case.given[0].as_bytes())]);
        let mut failed = Vec::new();
        let column = self.json.to_connect_data("t", &rows, &[], &mut failed).unwrap().remove(0);
        assert!(failed.is_empty(), "{}: {}", case.given[0], failed[0].error);
        let printed = self.recorded.printed;
        let format = self.format(&case.options);
        let failure = |error: millrace_api::Error| format!("error: {}", error.trace());
        let described = match format.describe(column.schema()) {
            Ok(described) => described.schema,
            Err(error) => return vec![failure(error)],
        };
        let body = match format.compile_writer(column.schema(), &described) {
            Ok(writer) => payload(format, writer, &column).map_or_else(failure, |bytes| {
                bytes.map_or_else(|| "null".to_owned(), |bytes| printed(&bytes))
            }),
            Err(error) => failure(error),
        };
        vec![Value::from(&*described.text).to_string(), body]
    }

    fn read(&mut self, case: &Case) -> Result<String, String> {
        let payload = (self.recorded.parsed)(&case.given[1]);
        let format = self.format(&case.options);
        let schema = format.compile_reader(&schema(&case.given[0]), Some(1));
        let schema = schema.map_err(|error| error.trace())?;
        let mut failed = Vec::new();
        let row = Row { schema, payload: Some(&payload) };
        let column = format.read(&[row], &mut failed).unwrap().remove(0);
        match failed.pop() {
            Some(RowError { error, .. }) => Err(error.trace()),
            None => self.envelope(&column),
        }
    }

    fn envelope(&mut self, column: &Column) -> Result<String, String> {
        let mut failed: Vec<RowError> = Vec::new();
        let rows = self.json.from_connect_data("t", column, &mut failed).unwrap();
        match failed.pop() {
            Some(RowError { error, .. }) => Err(error.trace()),
            None => Ok(String::from_utf8(rows.value(0).to_vec()).unwrap()),
        }
    }

    /// Whether what we made is as good as Java's.
    fn is_same(&mut self, case: &Case, ours: &[String]) -> bool {
        // Where there is no schema there is no payload.
        case.java.iter().zip(ours).enumerate().all(|(i, (java, ours))| {
            let is_error = |text: &str| text.starts_with("error: ");
            java == ours
                || is_error(java) && is_error(ours)
                || case.reads && self.is_same_envelope(java, ours)
                || !case.reads && i == 1 && self.is_same_payload(case, java, ours)
        })
    }

    fn is_same_envelope(&self, java: &str, ours: &str) -> bool {
        let (Some(mut java), Some(ours)) = (unordered(java), unordered(ours)) else {
            return false;
        };
        (self.recorded.without_accidents)(&mut java["schema"]);
        java == ours
    }

    /// Whether two payloads hold the same but for the order of map entries.
    fn is_same_payload(&mut self, case: &Case, java: &str, ours: &str) -> bool {
        let mut read = |payload: &str| {
            let given = vec![case.java[0].clone(), payload.to_owned()];
            let read = self.read(&Case { reads: true, given, ..case.clone() });
            read.ok().and_then(|read| unordered(&read))
        };
        if java.len() != ours.len() || java == "null" {
            return false;
        }
        match (read(java), read(ours)) {
            // What cannot be read again can at least be counted.
            (None, None) => sorted(java) == sorted(ours),
            (java, ours) => java == ours,
        }
    }
}

/// The characters of a text in their order.
fn sorted(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

fn payload(
    format: &mut dyn Format,
    writer: Compiled,
    column: &Column,
) -> millrace_api::Result<Option<Vec<u8>>> {
    let mut failed = Vec::new();
    if format.is_tombstone(column.schema()) && column.is_null(0) {
        return Ok(None);
    }
    let opening = format.opening(writer);
    let rows = format.write(writer, column, &opening, &mut failed)?;
    match failed.pop() {
        Some(RowError { error, .. }) => Err(error),
        None => Ok(rows.iter().next().unwrap().map(<[u8]>::to_vec)),
    }
}

/// Values whose maps have no order; where keys are not text, maps are lists of pairs, and in
/// Protobuf those of values that are arrays lists of messages.
fn unordered(text: &str) -> Option<Value> {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                let is_entry = |item: &Value| {
                    item.as_array().is_some_and(|pair| pair.len() == 2)
                        || item.as_object().is_some_and(|entry| {
                            entry.len() == 2
                                && entry.contains_key("key")
                                && entry.contains_key("value")
                        })
                };
                if items.iter().all(is_entry) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            Value::Object(members) => {
                members.values_mut().for_each(sort);
                members.sort_keys();
            }
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).ok()?;
    sort(&mut value);
    Some(value)
}

impl Recorded {
    fn ours(self) -> Ours {
        let json = json::converter(&Props::new(), ConverterRole::Value).unwrap();
        Ours { recorded: self, json, formats: BTreeMap::new() }
    }

    /// What we write of the envelopes that were recorded without options: each with its schema and
    /// its payload.
    pub(crate) fn written(self) -> Vec<[String; 3]> {
        let cases = cases(self.file).into_iter();
        let mut ours = self.ours();
        let plain = cases.filter(|case| !case.reads && case.options.is_empty());
        let written = plain.filter_map(|case| {
            let [schema, payload]: [String; 2] = ours.written(&case).try_into().ok()?;
            let is_there = payload != "null" && !payload.starts_with("error: ");
            is_there.then(|| [case.given[0].clone(), schema, payload])
        });
        written.collect()
    }
}

/// Holds the strict check of a prescribed schema against Java's. Where ours gives another answer, a
/// test has to agree, who gets our schema, the latest, and our answer.
pub(crate) fn hold_strict(recorded: Recorded, is_meant: fn(&str, &str, bool) -> bool) {
    let format = (recorded.open)(&Props::new());
    let (mut wrong, mut all) = (Vec::new(), 0);
    for line in recorded.file.lines() {
        let Some(pair) = line.strip_prefix("strict\t") else { continue };
        let parts: Vec<&str> = pair.split('\t').collect();
        let (ours, latest) = (schema(parts[0]), schema(parts[1]));
        let verdict = format.is_compatible(&ours, &latest).unwrap();
        all += 1;
        if verdict.to_string() != parts[2] && !is_meant(&ours.text, &latest.text, verdict) {
            wrong.push(format!("{} {}: java {}", ours.text, latest.text, parts[2]));
        }
    }
    assert!(all > 500, "{all} pairs");
    assert!(wrong.is_empty(), "{} of {all} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Goes through all that was recorded.
pub(crate) fn hold(recorded: Recorded, at_least: usize) {
    let cases = cases(recorded.file);
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let mut hits = vec![0; recorded.meant.len()];
    let mut ours = recorded.ours();
    let mut wrong = Vec::new();
    for case in &cases {
        let made = ours.make(case);
        if ours.is_same(case, &made) {
            continue;
        }
        match ours.recorded.meant.iter().position(|Meant(_, is_it)| is_it(case, &made)) {
            Some(which) => hits[which] += 1,
            None => wrong.push(format!(
                "{:?} {}\n  java {:?}\n  ours {made:?}",
                case.options,
                case.given.join("  "),
                case.java
            )),
        }
    }
    let never = ours.recorded.meant.iter().zip(&hits).filter(|(_, hits)| **hits == 0);
    let never: Vec<&str> = never.map(|(Meant(name, _), _)| *name).collect();
    let first = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{first}", wrong.len(), cases.len());
    assert!(never.is_empty(), "there are no such differences: {never:?}");
}
