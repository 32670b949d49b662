//! Holds the format against what Java made of the same data (`integration/oracle/avro`).
//!
//! What is held equal: schemas to the letter, bodies to the byte, but for the order of map entries,
//! which in Java is that of a hash table of whatever size it has just then.

use std::collections::BTreeMap;

use millrace_api::config::Config;
use millrace_api::data::{Column, RowError};
use millrace_api::{Converter, ConverterRole, Props, Serialized};

use crate::json;
use crate::python::python;
use crate::registry::{Compiled, Format, Row, SchemaText};

const RECORDED: &str = include_str!("../../tests/data/avro.tsv");

fn text(schema: &str) -> SchemaText {
    SchemaText { text: schema.into(), references: Vec::new() }
}

/// One line: what the mode's options are, what went in, and what came out.
struct Case<'a> {
    reads: bool,
    options: Props,
    parts: Vec<&'a str>,
}

fn cases() -> impl Iterator<Item = Case<'static>> {
    RECORDED.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut parts = line.split('\t');
        let (mode, options) = {
            let mode = parts.next().unwrap();
            mode.split_once(':').unwrap_or((mode, ""))
        };
        let options = options.split(',').filter_map(|one| one.split_once('='));
        let options = options.map(|(key, value)| (key.into(), value.into())).collect();
        Case { reads: mode == "to", options, parts: parts.collect() }
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// What our format makes of a case, in the recorder's words; an error is only "error".
struct Ours {
    json: Box<dyn Converter>,
    formats: BTreeMap<Props, Box<dyn Format>>,
}

impl Ours {
    fn new() -> Self {
        let json = json::converter(&Props::new(), ConverterRole::Value).unwrap();
        Self { json, formats: BTreeMap::new() }
    }

    fn make(&mut self, case: &Case<'_>) -> Vec<String> {
        match case.reads {
            true => self.read(case),
            false => self.written(case),
        }
    }

    fn written(&mut self, case: &Case<'_>) -> Vec<String> {
        let rows = Serialized::from_iter([Some(case.parts[0].as_bytes())]);
        let mut failed = Vec::new();
        let column = self.json.to_connect_data("t", &rows, &[], &mut failed).unwrap().remove(0);
        assert!(failed.is_empty(), "{}: {}", case.parts[0], failed[0].error);
        let format = format(&mut self.formats, case);
        let Ok(described) = format.describe(column.schema()) else {
            return vec!["error".to_owned()];
        };
        let schema = described.schema;
        let body = format
            .compile_writer(column.schema(), &schema)
            .map_or_else(|_| "error".to_owned(), |writer| body(format, writer, &column));
        vec![schema.text.to_string(), body]
    }

    fn read(&mut self, case: &Case<'_>) -> Vec<String> {
        let payload = unhex(case.parts[1]);
        let format = format(&mut self.formats, case);
        let Ok(schema) = format.compile_reader(&text(case.parts[0]), None) else {
            return vec![case.parts[1].to_owned(), "error".to_owned()];
        };
        let mut failed = Vec::new();
        let row = Row { schema, payload: Some(&payload) };
        let column = format.read(&[row], &mut failed).unwrap().remove(0);
        let read = match failed.is_empty() {
            false => "error".to_owned(),
            true => self.envelope(&column),
        };
        vec![case.parts[1].to_owned(), read]
    }

    fn envelope(&mut self, column: &Column) -> String {
        // As the recorder has it.
        if column.is_null(0) {
            return "null".to_owned();
        }
        let mut failed: Vec<RowError> = Vec::new();
        let rows = self.json.from_connect_data("t", column, &mut failed).unwrap();
        match failed.is_empty() {
            true => String::from_utf8(rows.value(0).to_vec()).unwrap(),
            false => "error".to_owned(),
        }
    }
}

fn format<'a>(
    formats: &'a mut BTreeMap<Props, Box<dyn Format>>,
    case: &Case<'_>,
) -> &'a mut dyn Format {
    let new = || {
        Box::new(super::Avro::new(super::AvroConfig::parse(&case.options).unwrap()))
            as Box<dyn Format>
    };
    &mut **formats.entry(case.options.clone()).or_insert_with(new)
}

fn body(format: &mut dyn Format, writer: Compiled, column: &Column) -> String {
    let mut failed = Vec::new();
    let rows = format.write(writer, column, &[], &mut failed).unwrap();
    match failed.is_empty() {
        true => hex(rows.value(0)),
        false => "error".to_owned(),
    }
}

/// Values whose maps have no order; where keys are not text, maps are lists of pairs.
fn unordered(text: &str) -> Option<serde_json::Value> {
    fn sort(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => {
                items.iter_mut().for_each(sort);
                if items.iter().all(|item| item.as_array().is_some_and(|pair| pair.len() == 2)) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            serde_json::Value::Object(members) => {
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

/// Java forgets what is in arrays and maps that are defaults, when it has a logical type or is
/// nullable, and some such defaults whole; we do not.
fn without_large_defaults(value: &mut serde_json::Value) {
    if let Some(members) = value.as_object_mut() {
        if members.get("default").is_some_and(|it| it.is_array() || it.is_object()) {
            members.remove("default");
        }
        members.values_mut().for_each(without_large_defaults);
    } else if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(without_large_defaults);
    }
}

/// Where ours is meant to differ.
fn is_meant(case: &Case<'_>, java: &[String], ours: &[String]) -> bool {
    let schema = case.parts[0];
    match case.reads {
        // A null that has no type of its own: Java hands on nothing, not even a schema.
        true if schema.trim_matches(['[', ']']) == "\"null\"" => {
            java[1] == "null" && ours[1] == "error"
        }
        // As Confluent's newer versions: decimals in a fixed, unions of one type.
        true if schema.starts_with("{\"type\":\"fixed\"") => java[1] == "error",
        true if schema == "[\"int\"]" => ours[1].contains("\"payload\":3"),
        // A default that is a record: "Mismatching schema".
        true if schema.contains("\"default\":{\"q\":3}") => {
            java[1] == "error" && ours[1] != "error"
        }
        true => false,
        // Java gives the entries of maps of different types one name, and writes a schema with
        // which nobody can read the second.
        false => {
            let text = &java[0];
            let has_more = text.matches("\"MapEntry\"").count() > 1
                || text.contains("\"io.confluent.connect.avro.MapEntry\"");
            ours == ["error"] && has_more
        }
    }
}

impl Ours {
    /// Whether what we made is as good as Java's.
    fn is_same(&mut self, case: &Case<'_>, java: &[String], ours: &[String]) -> bool {
        // A null of an optional schema is a tombstone: it never gets as far as the recorder took
        // it.
        let is_null = !case.reads && case.parts[0].ends_with("\"payload\":null}");
        if is_null && java[1] == "00" && ours[1].is_empty() {
            return java[0] == ours[0];
        }
        java.iter().zip(ours).all(|(java, ours)| {
            let values = || {
                // Avro 1.12.0 keeps arrays of doubles as floats.
                let java = java.replace("0.10000000149011612", "0.1");
                let mut both = [unordered(&java)?, unordered(ours)?];
                if case.reads {
                    both.iter_mut().for_each(without_large_defaults);
                }
                Some(both[0] == both[1])
            };
            java == ours || values().unwrap_or_else(|| self.is_same_body(case, java, ours))
        })
    }

    /// Whether two bodies hold the same but for the order of map entries.
    fn is_same_body(&mut self, case: &Case<'_>, java: &str, ours: &str) -> bool {
        let mut read = |body: &str| {
            let parts = vec![case.parts[1], body];
            let options = case.options.clone();
            unordered(&self.read(&Case { reads: true, options, parts })[1])
        };
        !case.reads && java.len() == ours.len() && read(java) == read(ours)
    }
}

#[test]
fn schemas_and_bodies_are_java_s() {
    let mut ours = Ours::new();
    let (mut wrong, mut all) = (Vec::new(), 0);
    for case in cases() {
        all += 1;
        let error = |part: &&str| match part.starts_with("error: ") {
            true => "error".to_owned(),
            false => (*part).to_owned(),
        };
        let expected: Vec<_> = case.parts[1..].iter().map(error).collect();
        let made = ours.make(&case);
        // Where there is no schema there is no body.
        let expected = &expected[..made.len().min(expected.len())];
        if !ours.is_same(&case, expected, &made) && !is_meant(&case, expected, &made) {
            wrong.push(format!(
                "{:?} {}\n  java {expected:?}\n  ours {made:?}",
                case.options, case.parts[0]
            ));
        }
    }
    assert!(all > 1_000, "{all} cases");
    let first = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {all} cases differ:\n{first}", wrong.len());
}

#[test]
fn fastavro_reads_what_we_write() {
    let mut ours = Ours::new();
    let written = cases().filter(|case| !case.reads).filter_map(|case| {
        let made = ours.make(&case);
        // Neither a schema that is refused nor a tombstone has a body.
        let [schema, body] = made.as_slice() else { return None };
        let has_body = body != "error" && !(body.is_empty() && case.parts[0].ends_with("null}"));
        // Java writes scales below zero, and above the precision; fastavro refuses such schemas.
        let is_sound = !["\"scale\":70", "\"scale\":-2"].iter().any(|it| schema.contains(it));
        (has_body && is_sound).then(|| format!("{}\t{schema}\t{body}", case.parts[0]))
    });
    let lines: Vec<String> = written.collect();
    let Some(said) = python("avro/read.py", &lines) else { return };
    assert!(lines.len() > 300 && said.trim_end() == lines.len().to_string(), "{said}");
}
