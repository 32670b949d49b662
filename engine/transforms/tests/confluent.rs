//! Confluent's transformations as their documentation describes them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_api::data::{
    Column, Header, Headers, Kind, Records, RowError, Schema, SchemaRef, Struct, Value,
};
use millrace_api::{Error, Plugin, Props};
use millrace_testkit::arbitrary::{
    Shape, json_columns, json_objects, json_texts, records, records_by_key, schemaless_columns,
};
use millrace_testkit::plugin_host::{props, transformation};
use millrace_testkit::transform_suite;
use millrace_testkit::transform_suite::TransformFixture;
use proptest::prelude::*;

struct Fixture {
    name: &'static str,
    props: Props,
}

impl TransformFixture for Fixture {
    fn plugin(&self) -> Plugin {
        let class = format!("io.confluent.connect.transforms.{}", self.name);
        let mut plugins = millrace_transforms::plugins().into_iter();
        plugins.find(|plugin| plugin.class() == class).expect("the plugin is there")
    }

    fn props(&self) -> Props {
        self.props.clone()
    }

    fn records(&self) -> BoxedStrategy<Records> {
        let data = prop_oneof![
            Shape::default().columns(),
            Shape::default().struct_columns(),
            Shape::default().beyond_arrow().struct_columns(),
            json_columns(json_objects(2)),
            json_columns(json_texts(1)),
            schemaless_columns(2),
        ];
        if self.name.ends_with("Key") {
            records_by_key(data.boxed())
        } else {
            records(data.boxed())
        }
    }
}

fn with<const N: usize>(name: &'static str, pairs: [(&str, &str); N]) -> Fixture {
    Fixture { name, props: props(pairs) }
}

transform_suite!(drop_value, with("Drop$Value", []));
transform_suite!(drop_key, with("Drop$Key", [("schema.behavior", "force_optional")]));
transform_suite!(drop_checked, with("Drop$Value", [("schema.behavior", "validate")]));
transform_suite!(extract_topic, with("ExtractTopic$Value", [("field", "0")]));
transform_suite!(extract_topic_key, with("ExtractTopic$Key", [("skip.missing.or.null", "true")]));
transform_suite!(
    extract_topic_path,
    with("ExtractTopic$Value", [("field", "$.*"), ("field.format", "json_path")])
);
transform_suite!(extract_topic_header, with("ExtractTopic$Header", [("field", "a")]));
transform_suite!(
    filter_value,
    with("Filter$Value", [("filter.condition", "$[?(@.a > 0)]"), ("filter.type", "include")])
);
transform_suite!(
    filter_key,
    with("Filter$Key", [("filter.condition", "$.a"), ("filter.type", "exclude")])
);
transform_suite!(gzip_decompress, with("GzipDecompress$Value", []));
transform_suite!(tombstones, with("TombstoneHandler", [("behavior", "fail")]));
transform_suite!(
    message_timestamp_router,
    with(
        "MessageTimestampRouter",
        [("message.timestamp.format", "yyyy"), ("message.timestamp.keys", "0,a")]
    )
);

fn apply(fixture: &Fixture, records: Records) -> (Vec<Records>, Vec<String>) {
    let mut transformation = transformation(&fixture.plugin(), &fixture.props()).unwrap();
    let mut failed: Vec<RowError> = Vec::new();
    let runs = transformation.apply(records, &mut failed).unwrap();
    (runs, failed.iter().map(|f| format!("{}: {}", f.row, f.error)).collect())
}

fn refused(name: &'static str, pairs: &[(&str, &str)]) -> Error {
    let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let fixture = Fixture { name, props };
    transformation(&fixture.plugin(), &fixture.props()).map(|_| ()).unwrap_err()
}

fn json_records(texts: &[&str]) -> Records {
    let texts = texts.iter().map(|text| (*text != "-").then_some(*text));
    Records::new("bar", Column::Json(texts.collect()))
}

fn values(runs: &[Records]) -> Vec<String> {
    let rows = |run: &Records| run.value.rows().unwrap().into_owned();
    runs.iter().flat_map(rows).map(|value| value.to_string()).collect()
}

fn topics(runs: &[Records]) -> Vec<(&str, usize)> {
    runs.iter().map(|run| (&*run.topic, run.len())).collect()
}

#[test]
fn a_filter_keeps_or_drops_what_its_path_finds() {
    let records = || json_records(&[r#"{"key":{"k":"v1"}}"#, r#"{"key":{"k":"v3"}}"#, "-", "{}"]);
    let condition = ("filter.condition", "$.key[?(@.k == 'v1' || @.k == \"v2\")]");
    let (runs, failed) =
        apply(&with("Filter$Value", [condition, ("filter.type", "include")]), records());
    assert_eq!(values(&runs), ["{key={k=v1}}", "null"]);
    let message = "3: the path $.key[?(@.k == 'v1' || @.k == \"v2\")] leads nowhere in this \
                   record; set missing.or.null.behavior to include or exclude to keep or drop \
                   such records";
    assert_eq!(failed, [message]);

    let missing = ("missing.or.null.behavior", "include");
    let (runs, failed) =
        apply(&with("Filter$Value", [condition, ("filter.type", "exclude"), missing]), records());
    assert_eq!((values(&runs), failed.len()), (vec_of(["{key={k=v3}}", "null", "{}"]), 0));

    let missing = ("missing.or.null.behavior", "exclude");
    let (runs, _) =
        apply(&with("Filter$Value", [condition, ("filter.type", "EXCLUDE"), missing]), records());
    assert_eq!(values(&runs), ["{key={k=v3}}", "null"]);
}

fn vec_of<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_filter_looks_into_structs() {
    let schema = Schema::struct_builder()
        .field("n", Schema::builder(Kind::Int32).build())
        .field("s", Schema::string(true))
        .build();
    let row =
        |n: i32, s: Value| Value::Struct(Struct::new(schema.clone(), vec![Value::Int32(n), s]));
    let rows: Vec<Value> = (0..20).map(|n| row(n, Value::from("x"))).collect();
    let records = Records::new("t", Column::from_values(Some(schema.clone()), rows));
    let condition = ("filter.condition", "$[?(@.n >= 18 && @.s =~ /X/i)]");
    let (runs, failed) =
        apply(&with("Filter$Value", [condition, ("filter.type", "include")]), records);
    assert_eq!(
        (values(&runs), failed.len()),
        (vec_of(["Struct{n=18,s=x}", "Struct{n=19,s=x}"]), 0)
    );
}

#[test]
fn a_filter_refuses_what_it_cannot_do() {
    let message = |condition: &str| {
        let pairs = [("filter.condition", condition), ("filter.type", "include")];
        refused("Filter$Value", &pairs).to_string()
    };
    let about = "paths are as in https://github.com/json-path/JsonPath, and \
                 `docs/transformations.md` says what there is of them";
    let expected = format!(
        "Invalid value $..a for configuration filter.condition: the deep scan '..' is not \
         supported; {about}"
    );
    assert_eq!(message("$..a"), expected);
    assert!(message("$[?(@.a =~ /x(?!x)/)]").contains("lookaround (?!…) is not supported"));
    let (_, failed) = apply(
        &with("Filter$Value", [("filter.condition", "$.a[?(@.b)]"), ("filter.type", "include")]),
        json_records(&[r#"{"a":1}"#, "7"]),
    );
    let expected = [
        "0: Filter: [?] can not be applied to primitives, found: java.lang.Long",
        "1: Only Map objects supported in absence of schema for [filtering record without \
         schema], found: java.lang.Long",
    ];
    assert_eq!(failed, expected);
}

#[test]
fn topics_come_out_of_records() {
    let records = || json_records(&[r#"{"f2":"x"}"#, r#"{"f2":"x"}"#, r#"{"f2":"y"}"#, "{}"]);
    let (runs, failed) = apply(&with("ExtractTopic$Value", [("field", "f2")]), records());
    assert_eq!(topics(&runs), [("x", 2), ("y", 1)]);
    let message = "3: what holds the topic is missing or null; set skip.missing.or.null to keep \
                   the topic then (field: f2)";
    assert_eq!(failed, [message]);
    let skip = ("skip.missing.or.null", "true");
    let (runs, _) = apply(&with("ExtractTopic$Value", [("field", "f2"), skip]), records());
    assert_eq!(topics(&runs), [("x", 2), ("y", 1), ("bar", 1)]);

    let nested = json_records(&[r#"{"f1":{"f3":"deep"}}"#, r#"{"f1":7}"#]);
    let path = [("field", "$[\"f1\"][\"f3\"]"), ("field.format", "JSON_PATH"), skip];
    assert_eq!(
        topics(&apply(&with("ExtractTopic$Value", path), nested).0),
        [("deep", 1), ("bar", 1)]
    );

    let (runs, failed) = apply(&with("ExtractTopic$Value", []), json_records(&["\"z\"", "1"]));
    assert_eq!(topics(&runs), [("z", 1)]);
    assert_eq!(failed, ["1: a topic is named by a text, found: java.lang.Long (field: )"]);

    let mut records = json_records(&["1", "2"]);
    let header = |value: &str| Header { key: "h".into(), schema: None, value: Value::from(value) };
    records.headers = Headers::from_rows(vec![vec![header("a"), header("b")], vec![]]);
    let (runs, failed) = apply(&with("ExtractTopic$Header", [("field", "h")]), records);
    assert_eq!((topics(&runs), failed.len()), (vec![("b", 1)], 1));
    assert!(refused("ExtractTopic$Header", &[]).to_string().contains("the name of a header"));
}

/// The example of the documentation.
#[test]
fn the_date_of_a_field_comes_into_the_topic() {
    let fixture = with(
        "MessageTimestampRouter",
        [
            ("topic.format", "foo-${topic}-${timestamp}"),
            ("message.timestamp.format", "yyyy-MM-dd"),
            ("topic.timestamp.format", "yyyy.MM.dd"),
            ("message.timestamp.keys", "timestamp,time,ts"),
        ],
    );
    let records = json_records(&[
        r#"{"time":"2019-08-06"}"#,
        r#"{"ts":1565049600000,"time":null}"#,
        r#"{"time":"x"}"#,
        "{}",
        "-",
    ]);
    let (runs, failed) = apply(&fixture, records);
    assert_eq!(topics(&runs), [("foo-bar-2019.08.06", 2)]);
    let expected = [
        "2: a timestamp does not have the form of message.timestamp.format (format: yyyy-MM-dd)",
        "3: none of the fields of message.timestamp.keys is there (fields: timestamp, time, ts)",
        "4: only maps and structs have a field with a timestamp, found: null",
    ];
    assert_eq!(failed, expected);
}

#[test]
fn tombstones_are_dropped_or_refused() {
    let records = || json_records(&["1", "-", "2"]);
    for behavior in ["warn", "ignore"] {
        let (runs, failed) = apply(&with("TombstoneHandler", [("behavior", behavior)]), records());
        assert_eq!((values(&runs), failed.len()), (vec_of(["1", "2"]), 0));
    }
    let (runs, failed) = apply(&with("TombstoneHandler", [("behavior", "fail")]), records());
    assert_eq!(values(&runs), ["1", "2"]);
    assert_eq!(failed, ["1: a tombstone is refused: behavior of TombstoneHandler is fail"]);
}

#[test]
fn dropped_keys_have_the_schema_that_is_wanted() {
    let dropped = |behavior: &str, schema: SchemaRef| {
        let mut records = json_records(&["1"]);
        records.key = Column::from_values(Some(schema), vec![Value::Int32(24)]);
        let (runs, failed) = apply(&with("Drop$Key", [("schema.behavior", behavior)]), records);
        let run = runs.first();
        assert!(run.is_none_or(|run| run.key.is_null(0)));
        (run.and_then(|run| run.key.schema().cloned()), failed.len())
    };
    let required = Schema::builder(Kind::Int32).name("n").build();
    let optional = required.to_builder().optional().build();
    assert_eq!(dropped("nullify", required.clone()), (None, 0));
    assert_eq!(dropped("retain", required.clone()), (Some(required.clone()), 0));
    assert_eq!(dropped("force_optional", required.clone()), (Some(optional.clone()), 0));
    assert_eq!(dropped("validate", optional.clone()), (Some(optional), 0));
    assert_eq!(dropped("validate", required), (None, 1));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_unpacked_within_bounds() {
    let bytes = |bytes: Vec<u8>| Value::Bytes(bytes.into());
    let packed = vec![
        bytes(gzip(b"hello")),
        bytes([gzip(b"one "), gzip(b"two"), vec![0; 3]].concat()),
        Value::Null,
        bytes(b"plain".to_vec()),
        bytes(gzip(b"cut")[..12].to_vec()),
        bytes(gzip(&vec![0; (64 << 20) + 1])),
    ];
    let schema = Schema::builder(Kind::Bytes).optional().build();
    let records = Records::new("t", Column::from_values(Some(schema), packed));
    let (runs, failed) = apply(&with("GzipDecompress$Value", []), records);
    let expected = [bytes(b"hello".to_vec()), bytes(b"one two".to_vec()), Value::Null];
    assert_eq!(runs[0].value.rows().unwrap().into_owned(), expected);
    let expected = [
        "3: the bytes are not gzip",
        "4: the bytes are not gzip",
        "5: the bytes unpack to more than 64 MiB",
    ];
    assert_eq!(failed, expected);
    let (_, failed) = apply(&with("GzipDecompress$Value", []), json_records(&["\"x\""]));
    assert_eq!(failed, ["0: GzipDecompress unpacks bytes, found: java.lang.String"]);
}

/// Nobody has to copy all that many small records unpack to at once.
#[test]
fn what_unpacks_to_much_is_several_runs() {
    let zeros = Value::Bytes(gzip(&vec![0; 1 << 20]).into());
    let mut packed = vec![zeros; 40];
    packed[20] = Value::Bytes(b"plain".to_vec().into());
    let schema = Schema::builder(Kind::Bytes).optional().build();
    let records = Records::new("t", Column::from_values(Some(schema), packed));
    let records = Records { offsets: Some((0..40).collect()), ..records };
    let (runs, failed) = apply(&with("GzipDecompress$Value", []), records);
    assert_eq!(runs.iter().map(Records::len).collect::<Vec<_>>(), [16, 16, 7]);
    assert_eq!(runs[1].offsets.as_ref().unwrap()[..5], [16, 17, 18, 19, 21]);
    assert!(matches!(runs[0].value, Column::Typed { .. }));
    assert_eq!(failed, ["20: the bytes are not gzip"]);
}

/// What is over is refused where it weighs most: those beside it pass.
#[test]
fn what_unpacks_to_too_much_together_loses_its_largest() {
    let packed = |mebibytes: usize| Value::Bytes(gzip(&vec![0; mebibytes << 20]).into());
    let fifty = packed(50);
    let small = Value::Bytes(gzip(b"small").into());
    let mut values = vec![small.clone(), fifty.clone(), packed(60), small.clone()];
    values.extend([&fifty, &fifty, &fifty, &small].map(Value::clone));
    let schema = Schema::builder(Kind::Bytes).optional().build();
    let records = Records::new("t", Column::from_values(Some(schema), values));
    let records = Records { offsets: Some((0..8).collect()), ..records };
    let (runs, failed) = apply(&with("GzipDecompress$Value", []), records);
    let message = "2: the bytes unpack to more than 256 MiB with those beside them";
    assert!(failed.len() == 1 && failed[0].starts_with(message), "{failed:?}");
    let left = runs.iter().flat_map(|run| run.offsets.as_ref().unwrap().to_vec());
    assert_eq!(left.collect::<Vec<_>>(), [0, 1, 3, 4, 5, 6, 7]);
}
