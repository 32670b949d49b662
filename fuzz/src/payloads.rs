//! Payloads of JSON Schema and of Protobuf: a row is read alone as in a column, and what is written
//! of it means the same.

use millrace_api::data::{Column, Value};
use millrace_converters::{Language, Payloads};

use crate::plain::is_plain;

/// Rows of a column, so that it becomes one of Arrow.
const ROWS: usize = 16;

/// The first byte chooses among these.
const JSON_SCHEMAS: [&str; 3] = [
    r#"{"type":"object","properties":{
        "a":{"type":"integer","connect.type":"int32"},"b":{"type":"string"},
        "c":{"oneOf":[{"type":"null"},{"type":"number"}]},
        "d":{"type":"string","connect.type":"bytes"},"e":{"type":"boolean","default":true}}}"#,
    r#"{"oneOf":[{"type":"integer"},{"type":"array","items":{"type":"string"}},
        {"type":"object","properties":{"x":{"type":"integer"}}},
        {"type":"object","properties":{"y":{"type":"boolean"}}}]}"#,
    r#"{"type":"array","items":{"type":"object","connect.type":"map",
        "additionalProperties":{"type":"number","connect.type":"float32"}}}"#,
];

const MESSAGES: [&str; 3] = [
    "syntax = \"proto3\"; message M { int32 a = 1; string b = 2; bytes c = 3; double d = 4; \
     repeated sint64 e = 5; map<int32, string> f = 6; optional bool g = 7; \
     oneof o { fixed32 x = 8; M2 y = 9; } E h = 10; message M2 { repeated string s = 1; } \
     enum E { Z = 0; ONE = 1; } }",
    "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; \
     import \"google/type/date.proto\"; import \"confluent/type/decimal.proto\"; \
     message M { google.protobuf.Timestamp a = 1; google.type.Date b = 2; \
     confluent.type.Decimal c = 3; repeated M2 d = 4; message M2 { M3 e = 1; } \
     message M3 { uint32 f = 1; sfixed64 g = 2; } }",
    "syntax = \"proto2\"; message M { required int32 a = 1; optional E b = 2; \
     repeated float c = 3 [packed = true]; enum E { A = 3; B = 4; } }",
];

/// Takes any bytes and comes back.
pub(crate) fn json_schema(data: &[u8]) {
    read_and_written(Language::JsonSchema, &JSON_SCHEMAS, data);
}

/// Takes any bytes and comes back.
pub(crate) fn protobuf(data: &[u8]) {
    read_and_written(Language::Protobuf, &MESSAGES, data);
}

fn read_and_written(language: Language, schemas: &[&str], data: &[u8]) {
    let Some((first, payload)) = data.split_first() else {
        return;
    };
    let schema = schemas[usize::from(*first) % schemas.len()];
    let mut payloads = Payloads::of_schema(language, schema).expect("the schema is one");
    let alone = read(&mut payloads, payload, 1);
    let together = read(&mut payloads, payload, ROWS).map(|(_, value)| value);
    assert_eq!(together, alone.as_ref().map(|(_, value)| value.clone()));
    let Some((column, value)) = alone else {
        return;
    };
    let mut failed = Vec::new();
    // A Protobuf payload may be of another message of the file than the one that is written.
    let Ok(rows) = payloads.write(&column, b"", &mut failed) else {
        assert_eq!(language, Language::Protobuf);
        return;
    };
    // Null is a tombstone; some of what is read cannot be written, such as `null` in a list.
    let Some(Some(again)) = rows.iter().next().filter(|_| failed.is_empty()) else {
        return;
    };
    let (_, again) = read(&mut payloads, again, 1).expect("what was written can be read");
    if language != Language::JsonSchema || is_plain(&value) {
        assert_eq!(again, value);
    }
}

/// The first of so many rows; none when they fail.
fn read(payloads: &mut Payloads, payload: &[u8], rows: usize) -> Option<(Column, Value)> {
    let mut failed = Vec::new();
    let columns = payloads.read(&vec![Some(payload); rows], &mut failed).expect("rows fail alone");
    assert_eq!(columns.iter().map(Column::len).sum::<usize>(), rows);
    assert!(failed.is_empty() || failed.len() == rows);
    let column = columns.into_iter().next().filter(|_| failed.is_empty())?;
    let value = column.value(0).expect("the column is whole");
    Some((column, value))
}
