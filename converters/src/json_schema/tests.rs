//! What the format does: texts of schemas, schemas of texts, payloads both ways, bad input.

use millrace_api::config::Props;
use millrace_api::data::{Kind, Schema, SchemaBuilder, Struct, Value};
use millrace_testkit::arbitrary::{Shape, forms};
use proptest::prelude::*;

use super::*;

fn format(props: &[(&str, &str)]) -> JsonSchemaFormat {
    let props: Props = props.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    JsonSchemaFormat::new(&JsonSchemaConfig::parse(&props).unwrap())
}

fn text(schema: &SchemaRef) -> String {
    format(&[]).describe(Some(schema)).unwrap().schema.text.to_string()
}

fn schema_text(text: &str) -> SchemaText {
    SchemaText { text: text.into(), references: Vec::new() }
}

fn connect_with(props: &[(&str, &str)], text: &str) -> Result<SchemaRef> {
    let mut format = format(props);
    let compiled = format.compile_reader(&schema_text(text), None)?;
    Ok(Arc::clone(&format.schemas[compiled.0].0))
}

fn connect(text: &str) -> SchemaRef {
    connect_with(&[], text).unwrap()
}

/// Each row's value, or what is wrong with it.
fn read(schema: &str, payloads: &[Option<&[u8]>]) -> Vec<std::result::Result<Value, String>> {
    let mut format = format(&[]);
    let schema = format.compile_reader(&schema_text(schema), None).unwrap();
    let rows: Vec<Row<'_>> =
        payloads.iter().map(|payload| Row { schema, payload: *payload }).collect();
    let mut failed = Vec::new();
    let columns = format.read(&rows, &mut failed).unwrap();
    let mut values: Vec<_> =
        columns.iter().flat_map(|c| c.rows().unwrap().into_owned()).map(Ok).collect();
    for RowError { row, error } in failed {
        assert_eq!(values[row], Ok(Value::Null));
        values[row] = Err(error.trace());
    }
    values
}

fn write(column: &Column) -> Vec<Option<String>> {
    let mut format = format(&[]);
    let described = format.describe(column.schema()).unwrap();
    let writer = format.compile_writer(column.schema(), &described.schema).unwrap();
    let mut failed = Vec::new();
    let rows = format.write(writer, column, b"#", &mut failed).unwrap();
    assert!(failed.is_empty(), "{:?}", failed[0].error);
    rows.iter()
        .map(|row| row.map(|bytes| std::str::from_utf8(&bytes[1..]).unwrap().to_owned()))
        .collect()
}

fn builder(kind: Kind) -> SchemaBuilder {
    Schema::builder(kind)
}

/// Without the line breaks of this file.
fn flat(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

/// Worked out from the rules that Java's converter, its library and its hash maps print by.
#[test]
fn schemas_are_printed_as_in_java() {
    let optional = |kind| builder(kind).optional().build();
    let order = Schema::struct_builder()
        .name("shop.Order")
        .version(2)
        .doc("An order")
        .field("id", builder(Kind::Int64).build())
        .field("note", optional(Kind::String))
        .field("price", Schema::decimal_builder(2).optional().build())
        .field("at", Schema::timestamp_builder().build())
        .build();
    let keyed = Schema::map_builder(builder(Kind::Int32).build(), optional(Kind::Boolean)).build();
    let cases = [
        (builder(Kind::Int8).build(), r#"{"type":"integer","connect.type":"int8"}"#),
        (
            builder(Kind::Float32).default_value(Value::Float32(1.0)).unwrap().build(),
            r#"{"type":"number","default":1,"connect.type":"float32"}"#,
        ),
        (builder(Kind::Boolean).doc("d").build(), r#"{"description":"d","type":"boolean"}"#),
        (optional(Kind::String), r#"{"oneOf":[{"type":"null"},{"type":"string"}]}"#),
        (Schema::bytes(false), r#"{"type":"string","connect.type":"bytes"}"#),
        (
            Schema::array_builder(optional(Kind::Int32)).build(),
            r#"{"type":"array","items":
                {"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int32"}]}}"#,
        ),
        (
            Schema::map_builder(Schema::string(false), builder(Kind::Float64).build()).build(),
            r#"{"type":"object","connect.type":"map",
                "additionalProperties":{"type":"number","connect.type":"float64"}}"#,
        ),
        (
            keyed,
            r#"{"type":"array","connect.type":"map","items":{"type":"object","properties":{
                "value":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"boolean"}]},
                "key":{"type":"integer","connect.index":0,"connect.type":"int32"}}}}"#,
        ),
        (
            order,
            r#"{"type":"object","title":"shop.Order","description":"An order","connect.version":2,
                "properties":{
                "note":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"string"}]},
                "at":{"type":"integer","title":"org.apache.kafka.connect.data.Timestamp",
                "connect.index":3,"connect.version":1,"connect.type":"int64"},
                "price":{"connect.index":2,"oneOf":[{"type":"null"},{"type":"string",
                "title":"org.apache.kafka.connect.data.Decimal","connect.version":1,
                "connect.type":"bytes","connect.parameters":{"scale":"2"}}]},
                "id":{"type":"integer","connect.index":0,"connect.type":"int64"}}}"#,
        ),
    ];
    for (schema, expected) in cases {
        let text = text(&schema);
        assert_eq!(text, flat(expected));
        assert_eq!(connect(&text).kind(), schema.kind());
    }
}

#[test]
fn structs_close_and_are_optional_as_a_whole() {
    let inner = Schema::struct_builder().name("I").optional().build();
    let schema = Schema::struct_builder().field("i", inner).build();
    let mut format = format(&[("object.additional.properties", "false")]);
    let described = format.describe(Some(&schema)).unwrap();
    assert_eq!(described.record_name, None);
    assert_eq!(
        &*described.schema.text,
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"i\":\
         {\"connect.index\":0,\"oneOf\":[{\"type\":\"null\"},{\"type\":\"object\",\
         \"additionalProperties\":false,\"title\":\"I\"}]}}}"
    );
    assert_eq!(*connect(&described.schema.text), *schema);
    assert!(format.describe(None).is_err());
}

#[test]
fn schemas_of_others_are_understood() {
    let optional_text = Schema::string(true);
    let enumeration = |name: &str| {
        builder(Kind::String).parameter(ENUM, "").parameter(format!("{ENUM}.{name}"), name).build()
    };
    let fields = |fields: &[(&str, SchemaRef)]| {
        let add = |b: SchemaBuilder, (name, schema): &(&str, SchemaRef)| {
            b.field(*name, Arc::clone(schema))
        };
        fields.iter().fold(Schema::struct_builder(), add).build()
    };
    let int64 = builder(Kind::Int64).build();
    let union = Schema::struct_builder()
        .name("io.confluent.connect.json.OneOf")
        .field("io.confluent.connect.json.OneOf.field.0", builder(Kind::Int64).optional().build())
        .field("io.confluent.connect.json.OneOf.field.1", Schema::string(true))
        .optional()
        .build();
    let cases = [
        (r#"{"type":"integer"}"#, Arc::clone(&int64)),
        (r#"{"type":"number","title":"n"}"#, builder(Kind::Float64).name("n").build()),
        (r#"{"minimum":3}"#, builder(Kind::Float64).build()),
        (r#"{"type":["null","string"]}"#, Arc::clone(&optional_text)),
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, Arc::clone(&optional_text)),
        (r#"{"oneOf":[{"type":"string"}]}"#, Schema::string(false)),
        (r#"{"oneOf":[{"type":"integer"},{"type":"string"},{"type":"null"}]}"#, union),
        (r#"{"enum":["A"]}"#, enumeration("A")),
        (r#"{"type":"string","enum":["A"],"title":"lost"}"#, enumeration("A")),
        (r#"{"const":null}"#, enumeration("<NULL>")),
        (r#"{"type":"integer","const":5}"#, Arc::clone(&int64)),
        (
            r#"{"type":"array","items":{"type":"integer"}}"#,
            Schema::array_builder(Arc::clone(&int64)).build(),
        ),
        (
            r##"{"properties":{"a":{"$ref":"#/definitions/t"},"b":{"$ref":"#/definitions/t"}},
                "definitions":{"t":{"type":"string"}}}"##,
            fields(&[("a", Schema::string(false)), ("b", Schema::string(false))]),
        ),
        (
            r#"{"properties":{"a":{"type":"string","connect.index":1},
                "b":{"type":"integer","connect.index":0}}}"#,
            fields(&[("b", Arc::clone(&int64)), ("a", Schema::string(false))]),
        ),
        (
            r#"{"allOf":[{"properties":{"a":{"type":"string"}}},
                {"properties":{"b":{"type":"integer"}}}],"title":"lost"}"#,
            fields(&[("a", Schema::string(false)), ("b", int64)]),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(*connect(text), *expected, "{text}");
    }
    let required =
        r#"{"properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["b"]}"#;
    let schema = connect_with(&[("use.optional.for.nonrequired", "true")], required).unwrap();
    assert_eq!(*schema, *fields(&[("a", optional_text), ("b", Schema::string(false))]));
}

#[test]
fn schemas_that_cannot_be_are_refused() {
    let deep = format!("{}{{\"type\":\"string\"}}{}", "{\"items\":".repeat(300), "}".repeat(300));
    let nested = "[".repeat(10_000);
    let cases = [
        ("{", "schema is not JSON"),
        (&nested, "schema is not JSON"),
        ("{}", "give it a type"),
        ("false", "Unsupported schema type"),
        (r#"{"type":"null"}"#, "Unsupported schema type null"),
        (r#"{"type":"array"}"#, "did not specify the items type"),
        (r##"{"$ref":"#/definitions/none"}"##, "which is nowhere"),
        (r##"{"properties":{"next":{"$ref":"#"}}}"##, "recursive"),
        (&deep, "nested too deeply"),
        (r#"{"type":"integer","default":null}"#, "Invalid null value"),
        (r#"{"type":"object","connect.type":"map"}"#, "valueSchema cannot be null"),
    ];
    for (text, why) in cases {
        let trace = connect_with(&[], text).unwrap_err().trace();
        assert!(trace.contains(why), "{}: {trace}", &text[..text.len().min(50)]);
    }
    // Each refers to the next twice: 2^40 schemas.
    let levels: Vec<String> = (0..40)
        .map(|i| {
            let next = format!(r##"{{"$ref":"#/definitions/l{}"}}"##, i + 1);
            format!(r#""l{i}":{{"allOf":[{next},{next}]}}"#)
        })
        .collect();
    let bomb = format!(
        r##"{{"$ref":"#/definitions/l0","definitions":{{{},"l40":{{"type":"string"}}}}}}"##,
        levels.join(",")
    );
    assert!(connect_with(&[], &bomb).is_err());
}

#[test]
fn references_are_followed() {
    let mut format = format(&[]);
    let schema = SchemaText {
        text: r#"{"properties":{"customer":{"$ref":"customer.json"}}}"#.into(),
        references: vec![
            ("address.json".into(), r#"{"title":"Address","type":"object"}"#.into()),
            (
                "customer.json".into(),
                r##"{"properties":{"a":{"$ref":"address.json"},"n":{"$ref":"#/$defs/n"}},
                   "$defs":{"n":{"type":"string"}}}"##
                    .into(),
            ),
        ],
    };
    let compiled = format.compile_reader(&schema, Some(7)).unwrap();
    let schema = &format.schemas[compiled.0].0;
    assert_eq!(schema.version(), Some(7));
    let customer = &schema.field("customer").unwrap().1.schema;
    assert_eq!(customer.field("a").unwrap().1.schema.name(), Some("Address"));
    assert_eq!(customer.field("n").unwrap().1.schema.kind(), Kind::String);
}

#[test]
fn nulls_are_left_out_written_or_tombstones() {
    let schema = Schema::struct_builder()
        .field("required", Schema::string(false))
        .field("optional", Schema::string(true))
        .field("default", builder(Kind::String).default_value("d".into()).unwrap().build())
        .build();
    let empty = Value::Struct(Struct::new(Arc::clone(&schema), vec![Value::Null; 3]));
    for column in forms(&Column::from_values(Some(Arc::clone(&schema)), vec![empty; 20])) {
        let expected = r#"{"optional":null,"default":"d"}"#;
        assert_eq!(write(&column), vec![Some(expected.to_owned()); 20]);
    }
    let nulls = |schema| Column::Rows { schema: Some(schema), values: vec![Value::Null] };
    assert_eq!(write(&nulls(Schema::string(false))), [None]);
    assert_eq!(write(&nulls(Schema::string(true))), [Some("null".to_owned())]);
    let read_back = read(&text(&schema), &[Some(br#"{"optional":null}"#)]);
    let expected = vec![Value::Null, Value::Null, "d".into()];
    assert_eq!(read_back, [Ok(Value::Struct(Struct::new(schema, expected)))]);
}

#[test]
fn a_union_takes_the_member_that_fits() {
    let point = r#"{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"integer"}}}"#;
    let name = r#"{"type":"object","properties":{"x":{"type":"string"}}}"#;
    let union = format!(r#"{{"oneOf":[{{"type":"integer"}},{name},{point},{{"type":"string"}}]}}"#);
    let payloads: [&[u8]; 5] = [b"5", br#"{"x":1,"y":2}"#, br#"{"x":"a"}"#, b"\"t\"", b"true"];
    let schema = connect(&union);
    for repeat in [1, 5] {
        let payloads: Vec<_> = payloads.iter().map(|p| Some(*p)).cycle().take(5 * repeat).collect();
        let values = read(&union, &payloads);
        let member = |value: &std::result::Result<Value, String>| match value {
            Ok(Value::Struct(s)) => s.values().iter().position(|v| !v.is_null()),
            _ => None,
        };
        let members: Vec<_> = values.iter().take(5).map(member).collect();
        assert_eq!(members, [Some(0), Some(2), Some(1), Some(3), None]);
        assert!(values[4].as_ref().unwrap_err().contains("Did not find matching oneof field"));
        let good: Vec<Value> = values.into_iter().take(4).map(|v| v.unwrap()).collect();
        let column = Column::from_values(
            Some(Arc::clone(&schema)),
            [(); 5].iter().flat_map(|()| good.clone()).collect(),
        );
        for column in forms(&column) {
            let written = write(&column);
            assert_eq!(written[1].as_deref(), Some(r#"{"x":1,"y":2}"#));
            assert_eq!(written[3].as_deref(), Some("\"t\""));
        }
    }
}

#[test]
fn a_bad_row_costs_one_row() {
    let schema =
        r#"{"type":"object","properties":{"a":{"type":"integer","connect.type":"int32"}}}"#;
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    let bad: [&[u8]; 6] =
        [b"{\"a\":", b"[1]", b"{\"a\":null}", b"\xff\xfe", deep.as_bytes(), b"{\"a\":1,}"];
    for bad in bad {
        for rows in [3, 40] {
            let mut payloads: Vec<Option<&[u8]>> = vec![Some(b"{\"a\":7}"); rows];
            payloads[1] = Some(bad);
            let values = read(schema, &payloads);
            assert!(values[1].is_err(), "{}", String::from_utf8_lossy(&bad[..bad.len().min(20)]));
            for (row, value) in values.iter().enumerate().filter(|(row, _)| *row != 1) {
                let Ok(Value::Struct(s)) = value else { panic!("row {row}: {value:?}") };
                assert_eq!(s.values(), [Value::Int32(7)]);
            }
        }
    }
}

#[test]
fn alternating_ids_of_one_schema_are_one_run() {
    let mut format = format(&[]);
    let compile = |format: &mut JsonSchemaFormat, text| {
        format.compile_reader(&schema_text(text), None).unwrap()
    };
    let a = compile(&mut format, r#"{"type":"integer"}"#);
    let b = compile(&mut format, r#"{ "type" : "integer", "minimum": 0 }"#);
    let c = compile(&mut format, r#"{"type":"string"}"#);
    let row = |schema, payload: &'static [u8]| Row { schema, payload: Some(payload) };
    let null = Row { schema: c, payload: None };
    let rows = [null, row(a, b"1"), row(b, b"2"), null, row(a, b"3"), row(c, b"\"x\"")];
    let columns = format.read(&rows, &mut Vec::new()).unwrap();
    let lengths: Vec<usize> = columns.iter().map(Column::len).collect();
    assert_eq!(lengths, [5, 1]);
    assert_eq!(columns[0].value(4).unwrap(), Value::Int64(3));
}

#[test]
fn what_is_not_supported_is_refused() {
    for key in ["preserve.additional.properties", "json.indent.output"] {
        let props = Props::from([(key.into(), "true".into())]);
        let error = JsonSchemaConfig::parse(&props).err().unwrap();
        assert!(error.to_string().contains(key));
    }
}

#[test]
fn payloads_are_held_against_their_schema_when_asked() {
    let mut format = format(&[("json.fail.invalid.schema", "true")]);
    let text = r#"{"type":"object","properties":{"a":{"type":"integer","maximum":5}}}"#;
    let schema = format.compile_reader(&schema_text(text), None).unwrap();
    let payloads = [r#"{"a":1}"#, r#"{"a":9}"#, r#"{"a":"x"}"#, "{}"];
    let rows: Vec<Row<'_>> =
        payloads.iter().map(|p| Row { schema, payload: Some(p.as_bytes()) }).collect();
    let mut failed = Vec::new();
    format.read(&rows, &mut failed).unwrap();
    let failed: Vec<(usize, String)> =
        failed.iter().map(|failed| (failed.row, failed.error.to_string())).collect();
    assert_eq!(failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2]);
    assert!(failed[0].1.contains("#/a: the number is too large"), "{}", failed[0].1);

    // Schemas that never end, and such that fork with each step, end.
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
        r##"{"not":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}"##,
    ] {
        let schema = schema_text(schema);
        let documents = parsed(&schema).unwrap();
        let mut validator = Validator::new(&documents);
        assert!(validator.check("1").is_err(), "{}", schema.text);
    }

    // What is written with a schema that the registry prescribes, too.
    let connect = Schema::struct_builder().field("a", builder(Kind::Int64).build()).build();
    let writer = format.compile_writer(Some(&connect), &schema_text(text)).unwrap();
    let row = |n| Value::Struct(Struct::new(Arc::clone(&connect), vec![Value::Int64(n)]));
    let column = Column::Rows { schema: Some(Arc::clone(&connect)), values: vec![row(5), row(6)] };
    let mut failed = Vec::new();
    let written = format.write(writer, &column, b"", &mut failed).unwrap();
    assert_eq!(written.value(0), br#"{"a":5}"#);
    assert_eq!(failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [1]);
}

#[test]
fn the_latest_schema_must_read_ours() {
    let format = format(&[]);
    let is_compatible = |ours: &str, latest: &str| {
        format.is_compatible(&schema_text(ours), &schema_text(latest)).unwrap()
    };
    let object = |kind: &str| format!(r#"{{"properties":{{"a":{{"type":"{kind}"}}}}}}"#);
    assert!(is_compatible(&object("integer"), &object("integer")));
    assert!(is_compatible(&object("integer"), &object("number")));
    assert!(!is_compatible(&object("number"), &object("integer")));
    assert!(!is_compatible(&object("string"), &object("integer")));
    assert!(!is_compatible(r#"{"type":["null","string"]}"#, r#"{"type":"string"}"#));
    // Names that the latest requires or does not allow.
    let ours = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let latest = |more: &str| {
        format!(
            r#"{{"type":"object","properties":{{"a":{{"type":"integer"}},"b":{{"type":"string"
               }},"c":{{"type":"string","default":"d"}}}}{more}}}"#
        )
    };
    for (more, expected) in [
        ("", true),
        (r#","required":["a","c"]"#, true),
        (r#","required":["b"]"#, false),
        (r#","additionalProperties":false"#, true),
    ] {
        assert_eq!(is_compatible(ours, &latest(more)), expected, "{more}");
    }
    let closed = r#"{"type":"object","properties":{"b":{"type":"string"}},
                    "additionalProperties":false}"#;
    assert!(!is_compatible(ours, closed));
    // Wherever the object stands.
    let within = |object: &str| {
        format!(
            r#"{{"type":"object","properties":{{"l":{{"type":"array","items":{{"oneOf":[
            {{"type":"null"}},{object}]}}}}}}}}"#
        )
    };
    assert!(!is_compatible(&within(ours), &within(closed)));
    assert!(is_compatible(&within(ours), &within(&latest(""))));
}

/// JSON has no NaN, and Java reads its numbers through `BigDecimal`, which has no `-0.0`.
fn plain(value: &Value) -> Value {
    match value {
        Value::Float32(n) => Value::Float32(n + 0.0),
        Value::Float64(n) => Value::Float64(n + 0.0),
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::Map(entries) => {
            let mut out: Vec<(Value, Value)> = Vec::new();
            for (key, value) in entries {
                let (key, value) = (plain(key), plain(value));
                match out.iter_mut().find(|(k, _)| *k == key) {
                    Some(entry) => entry.1 = value,
                    None => out.push((key, value)),
                }
            }
            Value::Map(out)
        }
        Value::Struct(s) => Value::Struct(Struct::new(
            Arc::clone(s.schema()),
            s.values().iter().map(plain).collect(),
        )),
        value => value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(column in Shape::default().finite().bare().columns()) {
        let schema = column.schema().unwrap();
        let written = write(&column);
        let payloads: Vec<Option<&[u8]>> =
            written.iter().map(|w| w.as_deref().map(str::as_bytes)).collect();
        let values = read(&text(schema), &payloads);
        for (row, value) in values.iter().enumerate() {
            prop_assert_eq!(value, &Ok(plain(&column.value(row).unwrap())), "{}", text(schema));
        }
        for form in forms(&column) {
            prop_assert_eq!(&write(&form), &written);
        }
    }

    #[test]
    fn schemas_survive(schema in Shape::default().finite().schemas()) {
        let text = text(&schema);
        let again = connect(&text);
        prop_assert_eq!(&self::text(&again), &text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let schema = r#"{"oneOf":[{"type":"array","items":{"type":"string"}},
            {"type":"object","connect.type":"map","additionalProperties":{"type":"integer"}}]}"#;
        prop_assert_eq!(read(schema, &[Some(&bytes)]).len(), 1);
    }

    #[test]
    fn any_payload_is_as_a_schema_says_or_not(text in "[\\[\\]{}:,\"ab0-9.\\-e ]{0,60}") {
        let schema = schema_text(
            r##"{"type":["object","array","number"],"items":{"$ref":"#"},"uniqueItems":true,
               "minimum":2,"multipleOf":0.5,"properties":{"a":{"$ref":"#"}},"required":["a"],
               "patternProperties":{"^b":{"anyOf":[{"$ref":"#"},{"format":"date"}]}}}"##,
        );
        let documents = parsed(&schema).unwrap();
        let _ = Validator::new(&documents).check(&text);
    }

    #[test]
    fn any_text_is_a_schema_or_not(text in "[\\[\\]{}:,\"a-f$#/0-9 ]{0,60}") {
        let _ = connect_with(&[], &text);
    }
}
