//! `millrace transform`, `unit` and `preview`, through the binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Timestamps become fields, values of one topic are hoisted, keys get what only structs take.
const CONNECTOR: &str = r#"{"name": "orders", "config": {
    "connector.class": "nowhere.to.be.Found", "topics": "orders",
    "transforms": "at, row, key",
    "transforms.at.type": "org.apache.kafka.connect.transforms.InsertField$Value",
    "transforms.at.timestamp.field": "at",
    "transforms.row.type": "org.apache.kafka.connect.transforms.HoistField$Value",
    "transforms.row.field": "row",
    "transforms.key.type": "org.apache.kafka.connect.transforms.InsertField$Key",
    "transforms.key.offset.field": "offset"}}"#;

const RECORDS: &str = r#"
{"topic": "orders", "partition": 2, "offset": 12, "timestamp": 1700000000000, "key": {"id": 7},
 "headers": {"b": "x", "a": 5},
 "value": {"schema": {"type": "struct", "name": "Order", "optional": false, "fields": [
   {"field": "id", "type": "int32", "optional": false},
   {"field": "total", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal",
    "version": 1, "parameters": {"scale": "2"}, "optional": true}]},
  "payload": {"id": 7, "total": 12.50}}}
{"key": 3, "value": {"a": [1, {"b": null}]}}
"#;

const REFUSED: &str = "org.apache.kafka.connect.errors.DataException: Only Map objects supported \
                       in absence of schema for [field insertion], found: java.lang.Long";

fn millrace(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let file = directory.join("stdin");
    fs::write(&file, input).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args(arguments).current_dir(directory).stdin(File::open(file).unwrap());
    command.output().unwrap()
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn each_step_shows_what_it_changed() {
    let directory = directory(&[("c.json", CONNECTOR)]);
    let output = millrace(directory.path(), &["transform", "-f", "c.json"], RECORDS);
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let expected = r#"record 1
     topic        orders
     partition    2
     offset       12
     timestamp    1700000000000
     header b     "x"  string
     header a     5  int64
     key.id       7
     value        struct Order
     value.id     7  int32
     value.total  12.50  bytes? Decimal scale=2
  1 at InsertField$Value
   + value.at  2023-11-14T22:13:20.000Z  int64? Timestamp
  2 row HoistField$Value
   ~ value            struct Order → struct
   - value.id         7  int32
   - value.total      12.50  bytes? Decimal scale=2
   - value.at         2023-11-14T22:13:20.000Z  int64? Timestamp
   + value.row        struct Order
   + value.row.id     7  int32
   + value.row.total  12.50  bytes? Decimal scale=2
   + value.row.at     2023-11-14T22:13:20.000Z  int64? Timestamp
  3 key InsertField$Key
   + key.offset  12

record 2
     topic      topic
     partition  0
     offset     0
     key        3
     value.a    [1, {"b": null}]
  1 at InsertField$Value
     nothing changed
  2 row HoistField$Value
   - value.a      [1, {"b": null}]
   + value.row.a  [1, {"b": null}]
  3 key InsertField$Key
     REFUSED

in: 2, out: 1, dropped: 0, failed: 1
"#;
    assert_eq!(stdout, expected.replace("REFUSED", REFUSED));
}

#[test]
fn json_has_every_step_and_can_be_put_in_again() {
    let directory = directory(&[("c.json", CONNECTOR), ("none.properties", "name=n\n")]);
    let (_, stdout, _) =
        told(&millrace(directory.path(), &["transform", "-f", "c.json", "--json"], RECORDS));
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, second) = (&lines[0], &lines[1]);
    assert_eq!(first["steps"][2]["name"], "key");
    assert_eq!(first["output"][0]["key"], serde_json::json!({"id": 7, "offset": 12}));
    assert_eq!(first["output"], first["steps"][2]["records"]);
    assert_eq!(second["output"], serde_json::json!([]));
    assert_eq!(
        second["steps"][2]["error"]["class"],
        "org.apache.kafka.connect.errors.DataException"
    );
    let again = first["output"].to_string();
    let arguments = ["transform", "-f", "none.properties", "--side", "sink", "--json"];
    let (code, stdout, stderr) = told(&millrace(directory.path(), &arguments, &again));
    let line: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &line["output"]), (Some(0), &first["output"]));
    assert!(stderr.contains("there are no transformations"), "{stderr}");
}

#[test]
fn values_may_stand_alone() {
    let settings = "transforms=t\n\
        transforms.t.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
        transforms.t.topic.field=t\n";
    let directory = directory(&[("c.properties", settings)]);
    let arguments = ["transform", "-f", "c.properties", "--values", "--topic", "orders", "--json"];
    for input in ["{\"id\": 1}\n{\"id\": 2}", "[{\"id\": 1}, {\"id\": 2}]"] {
        let (code, stdout, _) = told(&millrace(directory.path(), &arguments, input));
        let values: Vec<serde_json::Value> = stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["output"][0].clone())
            .collect();
        let expected = |id| serde_json::json!({"topic": "orders", "key": null, "value": {"id": id, "t": "orders"}});
        assert_eq!((code, values), (Some(0), vec![expected(1), expected(2)]));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let unknown = CONNECTOR.replace("InsertField$Key", "InsertFeld$Key");
    let misfit = CONNECTOR.replace("\"transforms.row.field\": \"row\",", "");
    let directory =
        directory(&[("c.json", CONNECTOR), ("unknown.json", &unknown), ("misfit.json", &misfit)]);
    for (file, input, words) in [
        ("c.json", "{\"valu\": 1}", &["unknown field `valu`", "--values", "record: 1"][..]),
        ("c.json", "{\"key\": 1} {\"key\"", &["the records are no JSON"]),
        ("c.json", "{\"headers\": 5}", &["headers are", "record: 1"]),
        (
            "c.json",
            r#"{"value": {"schema": {"type": "int5"}, "payload": 1}}"#,
            &["in: value", "record: 1"],
        ),
        ("unknown.json", "", &["transforms.key.type", "`millrace plugins`", "unknown.json"]),
        ("misfit.json", "", &["\"field\"", "transforms.row.", "misfit.json"]),
        ("gone.json", "", &["gone.json", "check its path"]),
    ] {
        let output = millrace(directory.path(), &["transform", "-f", file], input);
        let (code, _, stderr) = told(&output);
        assert_eq!(code, Some(2), "{input}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
    }
    let arguments = ["transform", "-f", "c.json", "--side", "source"];
    let output = millrace(directory.path(), &arguments, "{\"offset\": 1}");
    assert!(told(&output).2.contains("only a sink's records have an offset"));
    let (code, _, stderr) = told(&millrace(directory.path(), &["transform"], ""));
    assert_eq!(code, Some(1), "{stderr}");
}

const TESTS: &str = r#"
connector: c.json
topic: orders
cases:
  - name: a value is hoisted with its time
    input: {key: {id: 1}, timestamp: 5, value: {id: 7}}
    expect: {topic: orders, value: {row: {id: 7.0, at: 5}}}
  - name: a part is enough
    input: {key: {}, timestamp: 5, value: {id: 7}}
    expect: {key: {offset: 0}, value: {row: {at: 5}}}
    partial: true
  - name: a key is no struct
    input: [{key: 1, value: {}}, {key: {}, value: null}]
    expect: [{error: {class: DataException, message: Only Map}}, {value: {row: null}}]
  - name: the schema counts
    input:
      value: null
      headers: {h: 1}
      key: {schema: {type: struct, optional: false, fields: []}, payload: {}}
    expect:
      headers: {h: 1}
      key:
        schema:
          type: struct
          fields: [{type: int64, optional: true, field: offset}]
          optional: false
        payload: {offset: 0}
"#;

#[test]
fn what_a_worker_refuses_of_a_chain_is_refused() {
    let chain = "transforms=f\ntransforms.f.type=org.apache.kafka.connect.transforms.Filter\n\
                 transforms.f.predicate=p\ntransforms.f.negate=yes\npredicates=p\n\
                 predicates.p.type=\
                 org.apache.kafka.connect.transforms.predicates.RecordIsTombstone\n";
    let directory = directory(&[("c.properties", chain)]);
    let arguments = ["transform", "-f", "c.properties"];
    let output = millrace(directory.path(), &arguments, "{\"key\": 1, \"value\": null}");
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("transforms.f.negate: Expected value"), "{stderr}");
}

#[test]
fn a_suite_passes_where_all_is_as_expected() {
    let directory = directory(&[("c.json", CONNECTOR), ("t.yaml", TESTS)]);
    let (code, stdout, stderr) = told(&millrace(directory.path(), &["unit", "t.yaml"], ""));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.ends_with("cases: 4, as expected: 4, failed: 0\n"), "{stdout}");
}

#[test]
fn a_suite_says_what_differs() {
    let tests = TESTS
        .replace("at: 5}}}\n  - name: a part", "at: 6, by: x}}}\n  - name: a part")
        .replace("message: Only Map", "message: Only Struct")
        .replace("type: int64", "type: int32")
        .replace("{value: {row: null}}", "dropped");
    let directory = directory(&[("c.json", CONNECTOR), ("t.yaml", &tests)]);
    let (code, stdout, _) = told(&millrace(directory.path(), &["unit", "t.yaml"], ""));
    let expected = r#"FAIL  a value is hoisted with its time
      - value.row.at: 6
      + value.row.at: 5
      - value.row.by: "x"
ok    a part is enough
FAIL  a key is no struct
      record 1: - an error: DataException: Only Struct
      record 1: + an error of key: REFUSED
      record 2: - dropped
      record 2: + {"topic":"orders","partition":0,"offset":0,"key":{"offset":0},"value":{"row":null}}
FAIL  the schema counts
      - key.schema.fields[0].type: "int32"
      + key.schema.fields[0].type: "int64"
cases: 4, as expected: 1, failed: 3
"#;
    assert_eq!((code, stdout), (Some(1), expected.replace("REFUSED", REFUSED)));
}

#[test]
fn a_suite_that_is_wrong_is_refused() {
    for (tests, words) in [
        ("connector: gone.json\ncases: []", "gone.json"),
        ("connector: c.json\ncases: []", "there are no cases"),
        ("connector: c.json\ncase: []", "unknown field `case`"),
        ("connector: 5\ncases: []", "connector is a file's path"),
        ("connector: c.json\ncases:\n  - name: x\n   input: 1", "line: "),
        ("connector: c.json\ncases: [{name: n, input: {kee: 1}, expect: dropped}]", "case: n"),
        ("connector: c.json\ncases: [{name: n, input: {}, expect: lost}]", "case: n"),
        ("connector: c.json\ncases: [{name: n, input: {}, expect: {valeu: 1}}]", "valeu"),
        ("connector: c.json\ncases: [{name: n, input: [{}, {}], expect: dropped}]", "in: 2"),
        ("connector: {transforms: a}\ncases: [{name: n, input: {}, expect: {}}]", "transforms.a"),
    ] {
        let directory = directory(&[("c.json", CONNECTOR), ("t.yaml", tests)]);
        let (code, _, stderr) = told(&millrace(directory.path(), &["unit", "t.yaml"], ""));
        assert_eq!(code, Some(2), "{tests}: {stderr}");
        assert!(stderr.contains(words) && stderr.contains("t.yaml"), "{words}: {stderr}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let connector = r#"{"name": "c", "errors.tolerence": "all", "transforms": "r,e",
        "transforms.r.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
        "transforms.r.blacklist": "secret",
        "transforms.e.type": "io.debezium.transforms.ExtractNewRecordState"}"#;
    let unclear = r#"{"name": "c", "transforms": "i",
        "transforms.i.type": "org.apache.kafka.connect.transforms.InsertField"}"#;
    let tests =
        "connector: c.json\ncases: [{name: n, input: {value: {a: 1}}, expect: {}, partial: true}]";
    let directory = directory(&[("c.json", connector), ("u.json", unclear), ("t.yaml", tests)]);
    let run = |arguments: &[&str], input: &str| told(&millrace(directory.path(), arguments, input));
    let (code, stdout, stderr) =
        run(&["transform", "-f", "c.json", "--values"], r#"{"secret": 1}"#);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("nothing changed\n     (it is for change events"), "{stdout}");
    let (_, _, of_unit) = run(&["unit", "t.yaml"], "");
    for stderr in [stderr, of_unit] {
        assert!(stderr.contains("errors.tolerence; did you mean errors.tolerance?"), "{stderr}");
        assert!(stderr.contains("did you mean transforms.r.exclude?"), "{stderr}");
    }
    let (code, _, stderr) = run(&["transform", "-f", "c.json"], "");
    assert!(code == Some(2) && stderr.contains("there are no records"), "{code:?} {stderr}");
    let (code, _, stderr) = run(&["transform", "-f", "u.json"], "{}");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("InsertField$Key") && stderr.contains("InsertField$Value"), "{stderr}");
}

#[test]
fn a_preview_takes_from_files_what_a_configuration_leaves_to_them() {
    let connector = r#"{"name": "lines", "connector.class": "FileStreamSource",
        "topic": "lines", "file": "${file:place.properties:lines}"}"#;
    let files = [("c.json", connector), ("place.properties", "lines=a.txt"), ("a.txt", "one\n")];
    let directory = directory(&files);
    let output = millrace(directory.path(), &["preview", "c.json"], "");
    let (code, stdout, stderr) = told(&output);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("\"one\""), "{stdout}");
}

/// The examples of a page of the documentation.
#[test]
fn examples_of_debeziums_transformations_are_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/transformations-debezium.md");
    let page = fs::read_to_string(page).unwrap();
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        let tests = example.split("```").next().unwrap();
        let directory = directory(&[("t.yaml", tests)]);
        let (code, stdout, stderr) = told(&millrace(directory.path(), &["unit", "t.yaml"], ""));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
    }
}
