//! Holds the format against what Java's converter made of the same data.

use millrace_api::Props;
use millrace_api::config::Config;
use serde_json::Value;

use crate::confluent::{Meant, Recorded, hold, hold_strict};
use crate::json_schema::{ID, JsonSchemaConfig, JsonSchemaFormat};
use crate::python::python;
use crate::registry::Format;

fn open(options: &Props) -> Box<dyn Format> {
    Box::new(JsonSchemaFormat::new(&JsonSchemaConfig::parse(options).unwrap()))
}

/// A schema that is referred to for a second time has in Java a name for whoever would write it,
/// with numbers that depend on all that was met before.
fn without_ids(schema: &mut Value) {
    if let Some(parameters) = schema.get_mut("parameters").and_then(Value::as_object_mut) {
        parameters.remove(ID);
        if parameters.is_empty() {
            schema.as_object_mut().unwrap().remove("parameters");
        }
    }
    for part in ["items", "keys", "values"] {
        schema.get_mut(part).into_iter().for_each(without_ids);
    }
    let fields = schema.get_mut("fields").and_then(Value::as_array_mut);
    fields.into_iter().flatten().for_each(without_ids);
}

/// Each has a row in `docs/compatibility.md`.
const MEANT: [Meant; 8] = [
    Meant("schemas that are not valid", |case, ours| {
        !case.failed("required key")
            && (case.failed("everit.json.schema.SchemaException") || case.failed("ClassCast"))
            && !ours[0].starts_with("error: ")
    }),
    Meant("zeros before a number", |case, _| case.failed("Leading zeroes not allowed")),
    Meant("numbers that are none", |case, _| case.reads && case.given[1].contains("NaN")),
    Meant("symbols that are objects", |case, _| {
        case.reads && case.given[0].contains("\\\"enum\\\":[\\\"a\\\",1,null,true,1.5,{")
    }),
    Meant("schemas that allow anything", |case, ours| {
        !case.failed("") && ours[0].contains("a schema that allows anything")
    }),
    Meant("references to what is named within", |case, _| {
        case.failed("referredSchema must be injected")
            || case.failed("") && case.given[0].contains("\\\"$ref\\\":\\\"#id1\\\"")
    }),
    Meant("a default of null where null is not allowed", |case, _| {
        case.failed("Invalid null value for required")
            && case.given[0].contains("\\\"default\\\":null")
    }),
    Meant("arrays whose first items differ", |case, _| {
        case.failed("Array schema did not specify the items type")
            && case.given[0].contains("prefixItems")
    }),
];

fn recorded() -> Recorded {
    Recorded {
        file: include_str!("../../tests/data/json_schema.tsv"),
        open,
        printed: |bytes| String::from_utf8(bytes.to_vec()).unwrap(),
        parsed: |text| text.as_bytes().to_vec(),
        without_accidents: without_ids,
        meant: &MEANT,
    }
}

#[test]
fn schemas_payloads_and_what_is_read_are_javas() {
    hold(recorded(), 2_000);
}

#[test]
fn jsonschema_finds_what_we_write_to_be_as_its_schema_says() {
    let written = recorded().written();
    // An enum of another format than is configured has no symbols, in Java too.
    let is_sound = |parts: &&[String; 3]| !parts[1].contains("\\\"enum\\\":[]");
    let sound = written.iter().filter(is_sound);
    let lines: Vec<String> = sound.map(|parts| parts.join("\t")).collect();
    let Some(said) = python("confluent/read_json_schema.py", &lines) else { return };
    assert!(lines.len() > 200 && said.trim_end() == lines.len().to_string(), "{said}");
}

#[test]
fn the_latest_schema_is_as_strict_as_in_java() {
    // Of objects we ask less: that what we write is valid, not that what others might write is.
    let is_meant = |ours: &str, latest: &str, verdict: bool| {
        let is_object = |text: &str| text.contains("\"object\"");
        let is_lost = |text: &str| text.contains("\"required\"") || text.contains("\"map\"");
        is_object(ours) && is_object(latest) && (verdict || is_lost(latest) || is_lost(ours))
    };
    hold_strict(recorded(), is_meant);
}
