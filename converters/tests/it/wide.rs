//! A few bytes that say that a struct of a thousand fields is there, again and again: they cost
//! their row and not the memory of the worker.

use arrow::array::BinaryViewArray;
use millrace_api::data::RowError;
use millrace_api::{ConverterRole, Open, Props};
use millrace_converters::{Language, Payloads};

use crate::plugin;

const FIELDS: usize = 1000;
/// As items of a list in one row they are more than a batch has room for.
const TOO_MANY: usize = 60_000;

/// Fails but for the fourth row, which has too many.
fn only_one_fails(failed: &[RowError]) {
    let rows: Vec<usize> = failed.iter().map(|failure| failure.row).collect();
    assert_eq!(rows, [3]);
    let error = failed[0].error.to_string();
    assert!(error.contains("unfold to far more") && error.contains("max.poll.records"), "{error}");
}

/// Twenty rows.
fn rows(small: &str, large: &str) -> Vec<String> {
    (0..20).map(|row| if row == 3 { large.to_owned() } else { small.to_owned() }).collect()
}

#[test]
fn messages() {
    let fields: Vec<_> = (1..=FIELDS).map(|n| format!("int32 f{n} = {n};")).collect();
    let file = format!(
        "syntax = \"proto3\"; message M {{ repeated W w = 1; map<int32, W> m = 2; }} \
         message W {{ {} }}",
        fields.join(" ")
    );
    let mut payloads = Payloads::of_schema(Language::Protobuf, &file).unwrap();
    for item in ["\x0a\x00", "\x12\x00"] {
        let rows = rows(&format!("\0{item}"), &format!("\0{}", item.repeat(TOO_MANY)));
        let rows: Vec<_> = rows.iter().map(|row| Some(row.as_bytes())).collect();
        let mut failed = Vec::new();
        let columns = payloads.read(&rows, &mut failed).unwrap();
        assert_eq!(columns.iter().map(millrace_api::data::Column::len).sum::<usize>(), 20);
        // Entries of a map with the same key are one.
        match item {
            "\x12\x00" => assert!(failed.is_empty()),
            _ => only_one_fails(&failed),
        }
    }
}

#[test]
fn objects_in_envelopes() {
    let fields: Vec<_> = (0..FIELDS)
        .map(|n| format!(r#"{{"field":"f{n}","type":"int32","optional":true}}"#))
        .collect();
    let schema = format!(
        r#"{{"type":"array","items":{{"type":"struct","fields":[{}]}}}}"#,
        fields.join(",")
    );
    let envelope = |payload: &str| format!(r#"{{"schema":{schema},"payload":[{payload}]}}"#);
    let rows = rows(&envelope("{}"), &envelope(&vec!["{}"; TOO_MANY].join(",")));
    let plugin = plugin("org.apache.kafka.connect.json.JsonConverter");
    let Open::Converter(open) = plugin.open() else { panic!("a converter") };
    let mut converter = open(&Props::new(), ConverterRole::Value).unwrap();
    let mut failed = Vec::new();
    let rows = BinaryViewArray::from_iter_values(&rows);
    let columns = converter.to_connect_data("t", &rows, &[], &mut failed).unwrap();
    assert_eq!(columns.iter().map(millrace_api::data::Column::len).sum::<usize>(), 20);
    only_one_fails(&failed);
}

#[test]
fn objects_of_a_json_schema() {
    let fields: Vec<_> = (0..FIELDS)
        .map(|n| format!(r#""f{n}":{{"oneOf":[{{"type":"null"}},{{"type":"number"}}]}}"#))
        .collect();
    let schema = format!(
        r#"{{"type":"array","items":{{"type":"object","properties":{{{}}}}}}}"#,
        fields.join(",")
    );
    let mut payloads = Payloads::of_schema(Language::JsonSchema, &schema).unwrap();
    let rows = rows("[{}]", &format!("[{}]", vec!["{}"; TOO_MANY].join(",")));
    let rows: Vec<_> = rows.iter().map(|row| Some(row.as_bytes())).collect();
    let mut failed = Vec::new();
    payloads.read(&rows, &mut failed).unwrap();
    only_one_fails(&failed);
}
