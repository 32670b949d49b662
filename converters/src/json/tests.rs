//! What the whole converter does: Java's recorded answers, columns that equal rows, runs, errors.

use std::sync::Arc;

use arrow::array::Array;
use millrace_api::data::json::parse;
use millrace_api::data::{Kind, Schema, Struct};
use millrace_testkit::arbitrary::{self, Shape};
use proptest::prelude::*;

use super::*;
use crate::recorded::{cases, escaped, schema as describe_schema, value as describe_value};

/// Two converters that differ in how long a run must be to become Arrow.
fn converters(props: &[(&str, &str)]) -> [JsonConverter; 2] {
    [1, usize::MAX].map(|columns_from| {
        let props = props.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let mut converter = JsonConverter::new(&props.collect(), ConverterRole::Value).unwrap();
        converter.decoder = converter.decoder.with_columns_from(columns_from);
        converter
    })
}

fn columnar(props: &[(&str, &str)]) -> JsonConverter {
    let [columnar, _] = converters(props);
    columnar
}

type Keys = &'static [(&'static str, &'static str)];

const OFF: Keys = &[("schemas.enable", "false")];

type Row = std::result::Result<(Option<SchemaRef>, Value), String>;

/// All rows as values; the message of those that fail.
fn read(converter: &mut JsonConverter, rows: &Serialized) -> Vec<Row> {
    let mut failed = Vec::new();
    let columns = converter.to_connect_data("t", rows, &[], &mut failed).unwrap();
    let mut out: Vec<Row> = Vec::new();
    for column in &columns {
        let values = column.rows().unwrap().into_owned();
        out.extend(values.into_iter().map(|v| Ok((column.schema().cloned(), v))));
    }
    assert_eq!(out.len(), rows.len());
    for RowError { row, error } in failed {
        assert!(out[row].as_ref().is_ok_and(|(_, v)| v.is_null()), "failed rows are null");
        out[row] = Err(error.trace());
    }
    out
}

fn write(
    converter: &mut JsonConverter,
    column: &Column,
) -> Vec<std::result::Result<Option<Vec<u8>>, String>> {
    let mut failed = Vec::new();
    let rows = converter.from_connect_data("t", column, &mut failed).unwrap();
    let mut out: Vec<_> = rows.iter().map(|r| Ok(r.map(<[u8]>::to_vec))).collect();
    for RowError { row, error } in failed {
        assert!(rows.is_null(row));
        out[row] = Err(error.trace());
    }
    out
}

fn message(trace: &str) -> &str {
    let line = trace.lines().next().unwrap();
    let line = line.strip_prefix("org.apache.kafka.connect.errors.DataException: ").unwrap();
    let context = line.find(" (field: ").or_else(|| line.find(" (topic: "));
    line[..context.unwrap_or(line.len())].trim_end()
}

#[test]
fn what_java_read_and_wrote() {
    let file = include_str!("../../tests/data/json_read.tsv");
    let mut off = converters(OFF);
    let mut on = converters(&[]);
    let cases = cases(file);
    assert!(cases.len() > 180);
    for case in cases {
        let converters = if case.mode.starts_with("off") { &mut off } else { &mut on };
        for converter in converters {
            let rows = Serialized::from_iter([Some(&case.bytes)]);
            let mut answer = match &read(converter, &rows)[0] {
                Err(trace) => format!("error: {}", message(trace)),
                Ok((schema, value)) => {
                    let column =
                        Column::Rows { schema: schema.clone(), values: vec![value.clone()] };
                    let written = match &write(converter, &column)[0] {
                        Ok(Some(bytes)) => format!(" {}", std::str::from_utf8(bytes).unwrap()),
                        Ok(None) => " NULLBYTES".to_owned(),
                        Err(trace) => format!("error: {}", message(trace)),
                    };
                    let gap = if written.starts_with("error") { " => " } else { "  =>" };
                    let (schema, value) =
                        (describe_schema(schema.as_deref()), describe_value(value));
                    format!("{schema} {value}{gap}{written}")
                }
            };
            answer = escaped(&answer);
            assert_eq!(answer.trim_end(), case.expected.trim_end(), "{}", case.text);
        }
    }
}

#[test]
fn all_cases_in_one_run_answer_as_alone() {
    let file = include_str!("../../tests/data/json_read.tsv");
    for (props, mode) in [(OFF, "off"), (&[][..], "on")] {
        let mut bytes: Vec<Option<Vec<u8>>> = cases(file)
            .into_iter()
            .filter(|case| case.mode.starts_with(mode))
            .map(|case| Some(case.bytes))
            .collect();
        bytes.insert(3, None);
        let rows: Serialized = bytes.iter().map(Option::as_deref).collect();
        let [mut whole, mut single] = converters(props);
        let together = read(&mut whole, &rows);
        for (row, answer) in together.iter().enumerate() {
            let alone = read(&mut single, &rows.slice(row, 1)).remove(0);
            // A null row takes its neighbours' schema.
            match (answer, &alone) {
                (Ok((_, Value::Null)), Ok((_, Value::Null))) => {}
                (answer, alone) => assert_eq!(answer, alone),
            }
        }
    }
}

fn shop_schema() -> SchemaRef {
    Schema::struct_builder()
        .name("S")
        .version(3)
        .doc("d")
        .parameter("k", "v")
        .field("i64", Schema::builder(Kind::Int64).optional().build())
        .field("s", Schema::builder(Kind::String).default_value("dd".into()).unwrap().build())
        .field(
            "mi",
            Schema::map_builder(
                Schema::builder(Kind::Int32).build(),
                Schema::builder(Kind::Int32).build(),
            )
            .build(),
        )
        .field("dec", Schema::decimal_builder(2).optional().build())
        .build()
}

#[test]
fn envelopes_are_written_as_in_java() {
    let schema = shop_schema();
    let value = Value::Struct(Struct::new(
        Arc::clone(&schema),
        vec![
            Value::Null,
            Value::Null,
            Value::Map(vec![(Value::Int32(1), Value::Int32(2))]),
            Value::Decimal(millrace_api::data::Decimal { unscaled: 110.into(), scale: 2 }),
        ],
    ));
    let expected = concat!(
        r#"{"schema":{"type":"struct","fields":["#,
        r#"{"type":"int64","optional":true,"field":"i64"},"#,
        r#"{"type":"string","optional":false,"default":"dd","field":"s"},"#,
        r#"{"type":"map","keys":{"type":"int32","optional":false},"#,
        r#""values":{"type":"int32","optional":false},"optional":false,"field":"mi"},"#,
        r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","#,
        r#""version":1,"parameters":{"scale":"2"},"field":"dec"}],"#,
        r#""optional":false,"name":"S","version":3,"doc":"d","parameters":{"k":"v"}},"#,
        r#""payload":{"i64":null,"s":"dd","mi":[[1,2]],"dec":"bg=="}}"#,
    );
    let values = vec![value; 20];
    let columns = [
        Column::from_values(Some(Arc::clone(&schema)), values.clone()),
        Column::Rows { schema: Some(schema), values },
    ];
    assert!(matches!(columns[0], Column::Typed { .. }));
    for column in &columns {
        for row in write(&mut columnar(&[]), column) {
            assert_eq!(row.unwrap().unwrap(), expected.as_bytes());
        }
        let mut plain = columnar(&[("schemas.enable", "false"), ("decimal.format", "numeric")]);
        for row in write(&mut plain, column) {
            let expected = br#"{"i64":null,"s":"dd","mi":[[1,2]],"dec":1.10}"#;
            assert_eq!(row.unwrap().unwrap(), expected);
        }
    }
}

#[test]
fn nulls_are_written_as_in_java() {
    let default = Schema::builder(Kind::Int8).optional().default_value(Value::Int8(5)).unwrap();
    let required = Schema::builder(Kind::Int8).default_value(Value::Int8(5)).unwrap().build();
    let nothing = "null value for field that is required and has no default value";
    let keep = &[("schemas.enable", "false"), ("replace.null.with.default", "false")][..];
    let cases: [(Keys, Option<SchemaRef>, &str); 8] = [
        (OFF, None, "NULLBYTES"),
        (&[], None, "NULLBYTES"),
        (OFF, Some(Schema::string(true)), "null"),
        (
            &[],
            Some(Schema::string(true)),
            r#"{"schema":{"type":"string","optional":true},"payload":null}"#,
        ),
        (OFF, Some(Schema::string(false)), nothing),
        (OFF, Some(default.clone().build()), "5"),
        (keep, Some(default.build()), "null"),
        (keep, Some(required), nothing),
    ];
    for (props, schema, expected) in cases {
        let values = vec![Value::Null; 16];
        let rows = Column::Rows { schema: schema.clone(), values: values.clone() };
        for column in [rows, Column::from_values(schema, values)] {
            let answer = match write(&mut columnar(props), &column).remove(0) {
                Ok(Some(bytes)) => String::from_utf8(bytes).unwrap(),
                Ok(None) => "NULLBYTES".to_owned(),
                Err(trace) => message(&trace).replace("Conversion error: ", ""),
            };
            assert_eq!(answer, expected);
        }
    }
}

#[test]
fn values_that_do_not_fit_are_refused_in_javas_words() {
    let decimal =
        |scale| Value::Decimal(millrace_api::data::Decimal { unscaled: 15.into(), scale });
    let empty = Value::Struct(Struct::new(Schema::struct_builder().build(), vec![]));
    let of = |kind| Some(Schema::builder(kind).build());
    let cases = [
        (
            None,
            decimal(1),
            "Java class class java.math.BigDecimal does not have corresponding schema type.",
        ),
        (None, empty.clone(), "Mismatching schema."),
        (of(Kind::Int32), "x".into(), "Invalid type for INT32: class java.lang.String"),
        (of(Kind::Bytes), Value::Int32(5), "Invalid type for bytes type: class java.lang.Integer"),
        (Some(shop_schema()), Value::Int32(5), "Invalid type for STRUCT: class java.lang.Integer"),
        (Some(shop_schema()), empty, "Mismatching schema."),
        (
            Some(Schema::date_builder().build()),
            Value::Int32(5),
            "Invalid type for Date, expected Date but was class java.lang.Integer",
        ),
        (
            Some(Schema::decimal_builder(1).build()),
            Value::Int32(5),
            "Invalid type for Decimal, expected BigDecimal but was class java.lang.Integer",
        ),
        (
            Some(Schema::decimal_builder(2).build()),
            decimal(1),
            "Decimal value has mismatching scale for given Decimal schema. \
          Schema has scale 2, value has scale 1.",
        ),
        (
            Some(Schema::time_builder().build()),
            Value::Time(86_400_001),
            "Kafka Connect Time type should not have any date fields set to non-zero values.",
        ),
    ];
    for (schema, value, expected) in cases {
        let column = Column::Rows { schema, values: vec![value] };
        let error = write(&mut columnar(OFF), &column).remove(0).unwrap_err();
        assert_eq!(message(&error), expected);
    }
}

#[test]
fn runs_follow_the_schemas() {
    let int = r#"{"schema":{"type":"int32","optional":false},"payload":1}"#;
    let spaced = r#"{"schema": {"type":"int32"},"payload":2}"#;
    let text = r#"{"payload":"x","schema":{"type":"string","optional":true}}"#;
    let plain = r#"{"schema":null,"payload":{"a": 01}}"#;
    let rows = Serialized::from_iter(
        [None, Some(int), Some("bad"), Some(spaced), None, Some(text), Some(plain), None]
            .map(|r| r.map(str::as_bytes)),
    );
    for mut converter in converters(&[]) {
        let mut failed = Vec::new();
        let columns = converter.to_connect_data("t", &rows, &[], &mut failed).unwrap();
        let lengths: Vec<_> = columns.iter().map(Column::len).collect();
        assert_eq!(lengths, [5, 1, 2]);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].row, 2);
        assert_eq!(
            failed[0].error.trace(),
            "org.apache.kafka.connect.errors.DataException: Converting byte[] to Kafka Connect \
             data failed due to serialization error:  (topic: t)\n\
             Caused by: expected a value at byte 0"
        );
        let ints = [Value::Null, Value::Int32(1), Value::Null, Value::Int32(2), Value::Null];
        assert_eq!(*columns[0].rows().unwrap(), ints);
        let Column::Json(texts) = &columns[2] else { panic!("no schema, so text") };
        assert_eq!(texts.value(0), r#"{"a":1}"#);
        assert!(texts.is_null(1));
    }
}

/// Envelopes that begin like the row before are read on trust; these betray it.
#[test]
fn envelopes_that_only_begin_alike_are_read_as_if_alone() {
    let schema = r#"{"schema":{"type":"int32","optional":true},"payload":"#;
    let rests: [&[u8]; 10] = [
        b"1}",
        br#"2,"more":3}"#,
        br#"4,"payload":5}"#,
        br#"6,"schema":{"type":"string","optional":true},"payload":"7"}"#,
        b"8",
        b"\"\xff\"}",
        b"[9]}",
        b" 10 } and so on",
        b"}",
        b"11}",
    ];
    let rows = rests.map(|rest| [schema.as_bytes(), rest].concat());
    let together = Serialized::from_iter(rows.iter().map(Some));
    for mut together_by in converters(&[]) {
        let [mut alone_by, _] = converters(&[]);
        let read_together = read(&mut together_by, &together);
        for (row, found) in rows.iter().zip(read_together) {
            let alone = Serialized::from_iter([Some(row)]);
            assert_eq!(found, read(&mut alone_by, &alone).remove(0), "{}", row.escape_ascii());
        }
    }
}

/// A number that Arrow cannot hold comes late, when much of the run has become a column.
#[test]
fn long_runs_read_as_columns_and_as_rows_alike() {
    let schema = r#"{"schema":{"type":"bytes","optional":true,"version":1,"parameters":{"scale":"0"},
        "name":"org.apache.kafka.connect.data.Decimal"},"payload":"#;
    let vast = format!("\"{}\"", "f39/".repeat(12));
    for vast_at in [150, 1000] {
        let payload = |row| match row {
            row if row == vast_at => &vast,
            row if row % 50 == 7 => "true",
            row if row % 9 == 0 => "null",
            _ => "\"AQ==\"",
        };
        let rows = (0..200).map(|row| Some(format!("{schema}{}}}", payload(row))));
        let rows: Serialized = rows.collect();
        let [mut by_column, mut by_row] = converters(&[]);
        let found = read(&mut by_column, &rows);
        assert_eq!(found, read(&mut by_row, &rows));
        let failed: Vec<_> = (0..200).filter(|row| found[*row].is_err()).collect();
        assert_eq!(failed, [7, 57, 107, 157]);
    }
}

#[test]
fn schemaless_text_is_not_copied() {
    let long = br#"{"name":"a text that is longer than a view"}"#;
    let lenient = br#"{"number":007} and more"#;
    let rows =
        Serialized::from_iter([Some(&long[..]), None, Some(b"[1"), Some(lenient), Some(b"")]);
    let mut failed = Vec::new();
    let columns = columnar(OFF).to_connect_data("t", &rows, &[], &mut failed).unwrap();
    let [Column::Json(texts)] = &columns[..] else { panic!("one column of text") };
    assert_eq!(texts.value(0).as_ptr(), rows.value(0).as_ptr());
    assert_eq!(texts.value(3), r#"{"number":7}"#);
    assert_eq!((0..5).filter(|i| texts.is_null(*i)).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(failed.iter().map(|f| f.row).collect::<Vec<_>>(), [2]);

    let rows = Serialized::from_iter([Some(&long[..]), Some(b"[1"), Some(b"2")]);
    failed.clear();
    let columns = columnar(OFF).to_connect_data("t", &rows, &[], &mut failed).unwrap();
    let [Column::Json(texts)] = &columns[..] else { panic!("one column of text") };
    assert_eq!(texts.value(0).as_ptr(), rows.value(0).as_ptr());
    assert!(texts.is_null(1) && texts.value(2) == "2" && failed.len() == 1);

    let good = rows.slice(0, 1);
    let columns = columnar(OFF).to_connect_data("t", &good, &[], &mut failed).unwrap();
    let [Column::Objects(objects)] = &columns[..] else { panic!("one column of objects") };
    let texts = objects.texts();
    assert_eq!(texts.value(0).as_ptr(), rows.value(0).as_ptr());
}

#[test]
fn errors_name_the_field_and_no_data() {
    let schema = concat!(
        r#"{"type":"struct","fields":[{"field":"a","type":"struct","#,
        r#""fields":[{"field":"b","type":"int32"}]}]}"#,
    );
    let row = format!(r#"{{"schema":{schema},"payload":{{"a":{{"b":null,"secret":"s3cret"}}}}}}"#);
    let rows = Serialized::from_iter([Some(row.as_bytes())]);
    for mut converter in converters(&[]) {
        assert_eq!(
            read(&mut converter, &rows)[0].as_ref().unwrap_err(),
            "org.apache.kafka.connect.errors.DataException: Invalid null value for required INT32 \
             field (field: a.b, topic: t)"
        );
    }
}

/// Recorded from Java.
#[test]
fn schema_content_replaces_the_envelope() {
    let missing = "Structs should be encoded as JSON objects, but found MISSING";
    let cases = [
        (r#"{"type":"int32"}"#, "5", Ok("INT32 Integer:5")),
        (r#"{"type":"int32"}"#, "null", Err("Invalid null value for required INT32 field")),
        (r#"{"type":"int32"}"#, "", Ok("INT32 Integer:0")),
        (r#"{"type":"int32"}"#, "\"a\"", Ok("INT32 Integer:0")),
        (r#"{"type":"int32"}"#, r#"{"schema":{"type":"int8"},"payload":3}"#, Ok("INT32 Integer:0")),
        (r#"{"type":"struct","fields":[]}"#, "", Err(missing)),
        (r#"{"type":"array","items":{"type":"int8"}}"#, "", Ok("ARRAY<INT8> list[]")),
        ("", r#"{"schema":{"type":"int8"},"payload":3}"#, Ok("INT8 Byte:3")),
        ("null", r#"{"schema":{"type":"int8"},"payload":3}"#, Ok("INT8 Byte:3")),
    ];
    for (content, text, expected) in cases {
        for mut converter in converters(&[("schema.content", content)]) {
            let rows = Serialized::from_iter([Some(text.as_bytes())]);
            let answer = read(&mut converter, &rows).remove(0);
            let answer = answer.map(|(schema, value)| {
                format!("{} {}", describe_schema(schema.as_deref()), describe_value(&value))
            });
            let answer = answer.as_deref().map_err(|trace| message(trace));
            assert_eq!(answer, expected, "{content} {text}");
        }
    }
    for (content, cause) in [
        ("{", "expected a name in quotes at byte 1"),
        ("5", "Schema must contain 'type' field"),
        (r#"{"type":"x"}"#, "Unknown schema type: x"),
    ] {
        let props = Props::from([("schema.content".into(), content.into())]);
        let error = JsonConverter::new(&props, ConverterRole::Value).unwrap_err();
        assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
        assert!(error.trace().contains(cause), "{}", error.trace());
    }
}

#[test]
fn configuration_errors_are_javas() {
    let error = |key: &str, value: &str| {
        let props = Props::from([(key.into(), value.into())]);
        JsonConverter::new(&props, ConverterRole::Value).unwrap_err().message().to_owned()
    };
    assert_eq!(
        error("schemas.cache.size", "x"),
        "Invalid value x for configuration schemas.cache.size: Not a number of type INT"
    );
    assert_eq!(
        error("decimal.format", "x"),
        "Invalid value x for configuration decimal.format: \
         String must be one of (case insensitive): NUMERIC, BASE64"
    );
    for size in ["0", "-1"] {
        let mut converter = columnar(&[("schemas.cache.size", size)]);
        let column =
            Column::Rows { schema: Some(Schema::string(true)), values: vec!["x".into(); 2] };
        let rows = write(&mut converter, &column);
        assert!(rows.iter().all(|row| matches!(row, Ok(Some(_)))));
    }
}

#[test]
fn headers_are_written_and_read_one_by_one() {
    for (props, expected) in
        [(OFF, r#"{"a":1}"#), (&[][..], r#"{"schema":null,"payload":{"a":1}}"#)]
    {
        let mut converter = columnar(props);
        let value = parse(r#"{"a":1}"#).unwrap();
        let bytes = converter.from_connect_header("t", "k", None, &value).unwrap();
        assert_eq!(bytes.as_deref(), Some(expected.as_bytes()));
        let back = converter.to_connect_header("t", "k", bytes.as_ref()).unwrap();
        assert_eq!(back, (None, value));
        let nothing = converter.from_connect_header("t", "k", None, &Value::Null).unwrap();
        assert_eq!(nothing, None);
        let error = converter.to_connect_header("t", "k", Some(&Bytes::from_static(b"{")));
        assert!(error.unwrap_err().to_string().contains("(topic: t, header: k)"));
    }
}

#[test]
fn depth_fits_the_stack_of_a_worker_thread() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let members = r#"{"a":"#.repeat(999) + "{}" + &"}".repeat(999);
    let enveloped = |schemas: usize, payload: &str| {
        let schema = r#"{"type":"array","items":"#.repeat(schemas);
        let end = "}".repeat(schemas);
        format!(r#"{{"schema":{schema}{{"type":"int8"}}{end},"payload":{payload}}}"#)
    };
    let nested = "[".repeat(99) + &"]".repeat(99);
    let good = [enveloped(99, &nested), enveloped(99, &nested[1..197])];
    let bad = [enveloped(100, "[]"), enveloped(1, &deep), enveloped(1, &members)];
    let test = move || {
        let rows = Serialized::from_iter([Some(deep.as_bytes()); 20]);
        let mut off = columnar(OFF);
        let column = off.to_connect_data("t", &rows, &[], &mut Vec::new()).unwrap().remove(0);
        assert_eq!(write(&mut off, &column)[0], Ok(Some(deep.into_bytes())));
        for mut converter in converters(&[]) {
            for text in &good {
                let rows = Serialized::from_iter([Some(text.as_bytes()); 20]);
                assert!(read(&mut converter, &rows).iter().all(Result::is_ok));
            }
            for text in &bad {
                let rows = Serialized::from_iter([Some(text.as_bytes()); 2]);
                assert!(read(&mut converter, &rows).iter().all(Result::is_err), "{text}");
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test);
    thread.unwrap().join().unwrap();
}

/// As values are before they are written: floats that JSON has no number for come back as zero, and
/// nulls that have a default as the default.
fn read_back(schema: &Schema, value: &Value) -> Value {
    let inner = |s: Option<&SchemaRef>, v: &Value| read_back(s.unwrap(), v);
    match value {
        Value::Null => match schema.default() {
            Some(default) => read_back(schema, default),
            None => Value::Null,
        },
        // A BigDecimal has no negative zero.
        Value::Float32(n) => Value::Float32(if n.is_finite() { n + 0.0 } else { 0.0 }),
        Value::Float64(n) => Value::Float64(if n.is_finite() { n + 0.0 } else { 0.0 }),
        Value::Array(items) => {
            Value::Array(items.iter().map(|v| inner(schema.value_schema(), v)).collect())
        }
        Value::Map(entries) => {
            let mut out: Vec<(Value, Value)> = Vec::new();
            for (key, value) in entries {
                let key = inner(schema.key_schema(), key);
                let value = inner(schema.value_schema(), value);
                match out.iter_mut().find(|(k, _)| *k == key) {
                    Some(entry) => entry.1 = value,
                    None => out.push((key, value)),
                }
            }
            Value::Map(out)
        }
        Value::Struct(s) => {
            let fields = s.schema().fields().iter().zip(s.values());
            let values = fields.map(|(f, v)| read_back(&f.schema, v)).collect();
            Value::Struct(Struct::new(Arc::clone(s.schema()), values))
        }
        value => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn columns_are_written_as_rows(
        column in Shape::default().beyond_arrow().columns(),
        numeric in any::<bool>(),
    ) {
        let format = if numeric { "numeric" } else { "base64" };
        let as_rows = Column::Rows {
            schema: column.schema().cloned(),
            values: column.rows().unwrap().into_owned(),
        };
        for enable in ["true", "false"] {
            let props = [("schemas.enable", enable), ("decimal.format", format)];
            prop_assert_eq!(
                write(&mut columnar(&props), &column),
                write(&mut columnar(&props), &as_rows)
            );
        }
    }

    #[test]
    fn what_was_written_is_read_as_rows_and_as_columns(column in Shape::default().columns()) {
        let expected: Vec<Value> = column.rows().unwrap().iter()
            .map(|v| read_back(column.schema().unwrap(), v)).collect();
        let written: Serialized = write(&mut columnar(&[]), &column).into_iter()
            .map(std::result::Result::unwrap).collect();
        for mut converter in converters(&[]) {
            let mut values = Vec::new();
            for row in read(&mut converter, &written) {
                let (schema, value) = row.unwrap();
                let plain = schema.as_deref().map(read_defaults);
                let ours = column.schema().map(|s| read_defaults(s));
                prop_assert_eq!(plain, ours);
                values.push(value);
            }
            prop_assert_eq!(describe_all(&values), describe_all(&expected));
        }
    }

    #[test]
    fn any_payload_is_read_the_same_both_ways(
        schema in Shape::default().schemas(),
        payloads in proptest::collection::vec(arbitrary::json_texts(3), 1..20),
    ) {
        let mut text = Vec::new();
        schema::append_schema(&schema, Rules::default(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let rows: Serialized = payloads.iter()
            .map(|p| Some(format!("{{\"schema\":{text},\"payload\":{p}}}").into_bytes())).collect();
        let [mut columns, mut rowwise] = converters(&[]);
        prop_assert_eq!(read(&mut columns, &rows), read(&mut rowwise, &rows));
    }

    #[test]
    fn schemaless_text_is_written_as_its_value(
        column in arbitrary::json_columns(arbitrary::json_texts(3)),
    ) {
        let as_rows = Column::Rows { schema: None, values: column.rows().unwrap().into_owned() };
        let written = write(&mut columnar(OFF), &column);
        prop_assert_eq!(&written, &write(&mut columnar(OFF), &as_rows));
        let rows: Serialized = written.into_iter().map(std::result::Result::unwrap).collect();
        let back: Vec<Value> = read(&mut columnar(OFF), &rows).into_iter()
            .map(|row| row.unwrap().1).collect();
        let Column::Rows { values, .. } = as_rows else { unreachable!() };
        prop_assert_eq!(describe_all(&back), describe_all(&values));
    }

    #[test]
    fn any_bytes_are_read_the_same_both_ways(rows in proptest::collection::vec(
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20),
            "[\\[\\]{}:,\"0-9a-f.+\\- ]{0,12}".prop_map(String::into_bytes),
        ], 1..20))
    {
        let rows: Serialized = rows.into_iter().map(Some).collect();
        let doubles = r#"{"type":"array","items":{"type":"double"}}"#;
        for props in [OFF, &[], &[("schema.content", doubles)]] {
            let [mut columns, mut rowwise] = converters(props);
            prop_assert_eq!(read(&mut columns, &rows), read(&mut rowwise, &rows));
        }
    }
}

/// NaN and negative zero in defaults come back as zero.
fn read_defaults(schema: &Schema) -> String {
    let mut text = Vec::new();
    schema::append_schema(schema, Rules::default(), &mut text).unwrap();
    String::from_utf8(text)
        .unwrap()
        .replace("\"NaN\"", "0.0")
        .replace("-0.0", "0.0")
        .replace("\"Infinity\"", "0.0")
        .replace("\"-Infinity\"", "0.0")
}

/// Struct schemas differ by such defaults, so values are compared by what they print as.
fn describe_all(values: &[Value]) -> Vec<String> {
    values.iter().map(describe_value).collect()
}
