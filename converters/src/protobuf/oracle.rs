//! Holds the format against what Java's converter made of the same data.

use millrace_api::Props;
use millrace_api::config::Config;
use serde_json::Value;

use crate::confluent::{Meant, Recorded, hold, hold_strict, schema};
use crate::protobuf::files::{compile, message_at};
use crate::protobuf::wire::Input;
use crate::protobuf::{ProtobufConfig, ProtobufFormat, TAG, read_indexes};
use crate::python::python;
use crate::registry::Format;

fn open(options: &Props) -> Box<dyn Format> {
    Box::new(ProtobufFormat::new(&ProtobufConfig::parse(options).unwrap()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A message that is met again has in Java the number of the field where it was met first, unless
/// another takes its place: none does in items of arrays.
fn without_tags_of_items(schema: &mut Value) {
    let items = schema.get_mut("items").and_then(Value::as_object_mut);
    if let Some(items) = items
        && let Some(parameters) = items.get_mut("parameters").and_then(Value::as_object_mut)
    {
        parameters.remove(TAG);
        if parameters.is_empty() {
            items.remove("parameters");
        }
    }
    for part in ["items", "keys", "values"] {
        schema.get_mut(part).into_iter().for_each(without_tags_of_items);
    }
    let fields = schema.get_mut("fields").and_then(Value::as_array_mut);
    fields.into_iter().flatten().for_each(without_tags_of_items);
}

/// Each has a row in `docs/compatibility.md`.
const MEANT: [Meant; 11] = [
    Meant("logical types at the root", |case, ours| {
        !case.failed("") && ours[0].contains("Unsupported root schema")
    }),
    Meant("dates before 1582", |case, ours| {
        let has_date = case.given.iter().any(|part| part.contains("data.Date"))
            || case.given[0].contains("google.type.Date");
        let is_known =
            case.java[0].replace(char::is_numeric, "") == ours[0].replace(char::is_numeric, "");
        has_date && (is_known || case.failed("the specified date doesn't exist"))
    }),
    Meant("a union of which nothing is there", |case, _| case.failed("Cannot find non-null field")),
    Meant("scales below zero", |_, ours| {
        ours.iter().any(|part| part.contains("a scale that is not between 0 and 76"))
    }),
    Meant("numbers that an enum has not", |case, _| {
        case.given[0].contains("\"type\":\"int32\",\"name\":\"my.ns.Color\"")
            && case.java[1] == "00"
    }),
    Meant("an array of maps that is empty", |_, ours| {
        ours.last().is_some_and(|part| part.contains("MAP cannot be written as"))
    }),
    Meant("enums at the root", |case, ours| {
        !case.reads && case.java[1] == "null" && ours[1].starts_with("020e")
    }),
    Meant("groups", |case, _| case.reads && case.given[0].contains(" group ")),
    Meant("numbers that do not fit", |_, ours| {
        ours.last().is_some_and(|part| part.contains("does not fit uint32"))
    }),
    Meant("defaults of items", |case, _| case.failed("Repeated fields cannot have default values")),
    Meant("variants", |case, _| {
        case.failed("\"confluent.type.Variant\" is not a valid identifier")
    }),
];

fn recorded() -> Recorded {
    Recorded {
        file: include_str!("../../tests/data/protobuf.tsv"),
        open,
        printed: hex,
        parsed: unhex,
        without_accidents: without_tags_of_items,
        meant: &MEANT,
    }
}

#[test]
fn schemas_messages_and_what_is_read_are_javas() {
    hold(recorded(), 2_000);
}

#[test]
fn protobuf_of_python_reads_what_we_write() {
    let line = |[envelope, quoted, payload]: &[String; 3]| {
        let file = compile(&schema(quoted)).unwrap();
        let payload = unhex(payload);
        let mut input = Input::new(&payload);
        let message = message_at(&file, &read_indexes(&mut input).unwrap()).unwrap();
        let files = file.parent_pool().encode_to_vec();
        // Symbols that had to be told apart are an error to all but Java.
        let is_common = !format!("{:?}", file.file_descriptor_proto()).contains("\\u{1}");
        is_common.then(|| {
            let (name, message) = (message.full_name().to_owned(), hex(input.rest()));
            format!("{envelope}\t{}\t{name}\t{message}", hex(&files))
        })
    };
    let lines: Vec<String> = recorded().written().iter().filter_map(line).collect();
    let Some(said) = python("confluent/read_protobuf.py", &lines) else { return };
    assert!(lines.len() > 200 && said.trim_end() == lines.len().to_string(), "{said}");
}

#[test]
fn the_latest_schema_is_as_strict_as_in_java() {
    // What cannot be written as the latest says is refused either way: arrays as single values,
    // fields that it lacks. A required field that we have not is never there; one that we have
    // is, or its row fails.
    let is_meant = |ours: &str, latest: &str, verdict: bool| {
        let is_repeated = |text: &str| text.contains("repeated int32 a");
        latest.ends_with("{  }")
            || !verdict && is_repeated(ours) != is_repeated(latest)
            || ours.contains("required")
            || latest.contains("required")
    };
    hold_strict(recorded(), is_meant);
}
