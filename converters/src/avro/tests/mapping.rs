//! Schemas and values by the rules of `AvroData`, worked out by hand.

use millrace_api::data::{Decimal, Kind, SchemaBuilder};

use super::*;

fn builder(kind: Kind) -> SchemaBuilder {
    Schema::builder(kind)
}

fn parameters(mut builder: SchemaBuilder, pairs: &[(&str, &str)]) -> SchemaBuilder {
    for (name, value) in pairs {
        builder = builder.parameter(*name, *value);
    }
    builder
}

/// Without the line breaks of this file.
fn flat(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

fn assert_text(props: &[(&str, &str)], schema: &SchemaRef, expected: &str) {
    let text = avro(props).describe(Some(schema)).unwrap().schema.text;
    assert_eq!(*text, flat(expected));
}

#[test]
fn kinds_are_told_by_properties_in_javas_order() {
    let cases = [
        (builder(Kind::Int8), r#"{"type":"int","connect.type":"int8"}"#),
        (builder(Kind::Int16).optional(), r#"["null",{"type":"int","connect.type":"int16"}]"#),
        (builder(Kind::Int32), r#""int""#),
        (builder(Kind::Int64).optional(), r#"["null","long"]"#),
        (
            builder(Kind::Float32).default_value(Value::Float32(0.1)).unwrap(),
            r#"{"type":"float","connect.default":0.1}"#,
        ),
        (
            builder(Kind::Float64).default_value(Value::Float64(1e30)).unwrap(),
            r#"{"type":"double","connect.default":1.0E30}"#,
        ),
        (
            builder(Kind::Boolean).doc("\u{1}\"d\u{1f600}"),
            "{\"type\":\"boolean\",\"connect.doc\":\"\\u0001\\\"d\u{1f600}\"}",
        ),
        (
            builder(Kind::String)
                .optional()
                .name("n.S")
                .version(3)
                .doc("d")
                .parameter("p", "q")
                .default_value(Value::from("x"))
                .unwrap(),
            r#"[{"type":"string","connect.doc":"d","connect.version":3,"connect.parameters":{"p":"q"},
                "connect.default":"x","connect.name":"n.S"},"null"]"#,
        ),
        (
            builder(Kind::Bytes).parameter("avro.java", "x"),
            r#"{"type":"bytes","connect.parameters":{"avro.java":"x"},"avro.java":"x"}"#,
        ),
        (
            Schema::decimal_builder(2),
            r#"{"type":"bytes","scale":2,"precision":64,"connect.version":1,
                "connect.parameters":{"scale":"2"},
                "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}"#,
        ),
        (
            Schema::decimal_builder(-2).parameter("connect.decimal.precision", "10"),
            r#"{"type":"bytes","scale":-2,"precision":10,"connect.version":1,
                "connect.parameters":{"scale":"-2","connect.decimal.precision":"10"},
                "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}"#,
        ),
        (
            Schema::date_builder(),
            r#"{"type":"int","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Date","logicalType":"date"}"#,
        ),
        (
            Schema::time_builder(),
            r#"{"type":"int","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Time","logicalType":"time-millis"}"#,
        ),
        (
            Schema::timestamp_builder(),
            r#"{"type":"long","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}"#,
        ),
        (
            parameters(builder(Kind::Bytes).name("x.F"), &[("connect.fixed.size", "2")]),
            r#"{"type":"fixed","name":"F","namespace":"x","size":2,
                "connect.parameters":{"connect.fixed.size":"2"},"connect.name":"x.F"}"#,
        ),
    ];
    for (schema, expected) in cases {
        let schema = schema.build();
        assert_text(&[], &schema, expected);
        assert_eq!(connect(&text_of(&schema)), schema, "and back");
    }
}

#[test]
fn maps_are_maps_or_pairs() {
    let map = |key: SchemaRef| Schema::map_builder(key, builder(Kind::Int32).optional().build());
    assert_text(
        &[],
        &map(Schema::string(false)).build(),
        r#"{"type":"map","values":["null","int"]}"#,
    );
    let pairs = r#"{"type":"array","items":{"type":"record","name":"MapEntry",
        "namespace":"io.confluent.connect.avro","fields":[{"name":"key","type":["null","string"],
        "default":null},{"name":"value","type":["null","int"],"default":null}]}}"#;
    let optional_keys = map(Schema::string(true)).build();
    assert_text(&[], &optional_keys, pairs);
    let allowed = [("allow.optional.map.keys", "true")];
    assert_text(&allowed, &optional_keys, r#"{"type":"map","values":["null","int"]}"#);
    let named = map(builder(Kind::Int64).build()).name("m.Map").build();
    let text = r#"{"type":"array","items":{"type":"record","name":"Map","namespace":"m",
        "fields":[{"name":"key","type":"long"},{"name":"value","type":["null","int"],
        "default":null}],"connect.internal.type":"MapEntry"},"connect.name":"m.Map"}"#;
    assert_text(&[], &named, text);
    assert_eq!(connect(&flat(text)), named);
}

#[test]
fn records_have_names_docs_and_defaults() {
    let inner = |p: &str| Schema::struct_builder().name("n.s.I").parameter("tag", p);
    let record_doc = "io.confluent.connect.avro.record.doc";
    let field_doc = "io.confluent.connect.avro.field.doc.a";
    let schema = Schema::struct_builder()
        .name("n.s.O")
        .version(3)
        .parameter(record_doc, "rd")
        .parameter(field_doc, "fd")
        .field("a", inner("1").build())
        .field("b", inner("2").optional().build())
        .field("c", Schema::array_builder(inner("1").build()).build())
        .field("d", Schema::struct_builder().name("m.I").build())
        .field("e", Schema::struct_builder().optional().build())
        .field("f", Schema::struct_builder().field("x", Schema::string(false)).build())
        .build();
    let text = r#"{"type":"record","name":"O","namespace":"n.s","doc":"rd","fields":[
        {"name":"a","type":{"type":"record","name":"I","fields":[],"connect.parameters":{"tag":"1"},
        "connect.name":"n.s.I"},"doc":"fd"},
        {"name":"b","type":["null","I"],"default":null,"connect.parameters":{"tag":"2"}},
        {"name":"c","type":{"type":"array","items":"I"}},
        {"name":"d","type":{"type":"record","name":"I","namespace":"m","fields":[],
        "connect.name":"m.I"}},
        {"name":"e","type":["null",{"type":"record","name":"ConnectDefault",
        "namespace":"io.confluent.connect.avro","fields":[]}],"default":null},
        {"name":"f","type":{"type":"record","name":"ConnectDefault2",
        "namespace":"io.confluent.connect.avro","fields":[{"name":"x","type":"string"}]}}],
        "connect.version":3,
        "connect.parameters":{"io.confluent.connect.avro.record.doc":"rd",
        "io.confluent.connect.avro.field.doc.a":"fd"},"connect.name":"n.s.O"}"#;
    assert_text(&[], &schema, text);
    assert_eq!(connect(&flat(text)), schema);
    let described = avro(&[]).describe(Some(&schema)).unwrap();
    assert_eq!(described.record_name.as_deref(), Some("n.s.O"));
}

#[test]
fn enums_stay_enums_where_that_is_wished() {
    let name = "io.confluent.connect.avro.Enum";
    let pairs = [
        ("io.confluent.connect.avro.enum.doc.Color", "cd"),
        ("io.confluent.connect.avro.enum.default.Color", "RED"),
        (name, "x.Color"),
        ("io.confluent.connect.avro.Enum.RED", "RED"),
        ("io.confluent.connect.avro.Enum.BLUE", "BLUE"),
    ];
    let schema = parameters(builder(Kind::String).name("x.Color"), &pairs).build();
    let shown = r#""connect.parameters":{"io.confluent.connect.avro.enum.doc.Color":"cd",
        "io.confluent.connect.avro.enum.default.Color":"RED",
        "io.confluent.connect.avro.Enum":"x.Color","io.confluent.connect.avro.Enum.RED":"RED",
        "io.confluent.connect.avro.Enum.BLUE":"BLUE"},"connect.name":"x.Color"}"#;
    assert_text(&[], &schema, &format!(r#"{{"type":"string",{shown}"#));
    let text = format!(
        r#"{{"type":"enum","name":"Color","namespace":"x","doc":"cd","symbols":["RED","BLUE"],
        "default":"RED",{shown}"#
    );
    let enhanced = [("enhanced.avro.schema.support", "true")];
    assert_text(&enhanced, &schema, &text);
    let bare = r#"{"type":"enum","name":"Color","namespace":"x","doc":"cd","symbols":["RED","BLUE"],"default":"RED"}"#;
    assert_eq!(connect(bare), schema);
    let general = connect_with(&[("generalized.sum.type.support", "true")], bare).unwrap().unwrap();
    assert_eq!(general.parameter("org.apache.kafka.connect.data.Enum.BLUE"), Some("1"));
}

#[test]
fn unions_are_structs_of_which_one_field_is_set() {
    let text = r#"["null","int",{"type":"record","name":"a.X","fields":[]},{"type":"fixed","name":"b.Y","size":1}]"#;
    let names = |props: &[(&str, &str)]| {
        let schema = connect_with(props, text).unwrap().unwrap();
        assert!(schema.is_optional());
        let names = schema.fields().iter().map(|f| f.name.to_string());
        format!("{} {}", schema.name().unwrap(), names.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(names(&[]), "io.confluent.connect.avro.Union int X Y");
    let enhanced = ("enhanced.avro.schema.support", "true");
    assert_eq!(names(&[enhanced]), "io.confluent.connect.avro.Union int a.X b.Y");
    let general = ("generalized.sum.type.support", "true");
    let expected =
        "connect_union_0 connect_union_field_1 connect_union_field_2 connect_union_field_3";
    assert_eq!(names(&[general]), expected);
    for props in [&[][..], &[enhanced], &[general]] {
        let mut avro = avro(props);
        let reader = avro.compile_reader(&schema_text(text), None).unwrap();
        let rows: [&[u8]; 4] = [&[0], &[2, 7], &[4], &[6, 9]];
        let values = read(&mut avro, reader, &rows.map(Some).repeat(5));
        let schema = avro.readers[reader.0].schema.clone().unwrap();
        let values: Vec<Value> = values.into_iter().map(std::result::Result::unwrap).collect();
        let column = Column::from_values(Some(schema), values);
        let (again, written) = write(&mut avro, &column);
        assert!(again.text.starts_with(r#"["null","int",{"type":"record","name":"X""#));
        let expected = rows.map(Some);
        assert_eq!(payloads(&written)[1..4], expected[1..]);
        assert_eq!(payloads(&written)[0], None, "an optional null is a tombstone");
    }
    let twice =
        r#"[{"type":"fixed","name":"a.X","size":1},{"type":"fixed","name":"b.X","size":1}]"#;
    let error = connect_with(&[], twice).unwrap_err().to_string();
    assert!(error.contains("Multiple union schemas map") && error.contains("enhanced"), "{error}");
}

#[test]
fn defaults_are_of_the_field_or_of_the_type() {
    let text = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":"int","default":5},
        {"name":"b","type":["string","null"],"default":"x"},
        {"name":"c","type":[{"type":"string","connect.default":"y"},"null"],"default":"y"},
        {"name":"d","type":{"type":"long","connect.default":7},"default":7},
        {"name":"e","type":"string","default":5},
        {"name":"f","type":["int","string"],"default":3},
        {"name":"g","type":{"type":"bytes","logicalType":"decimal","scale":1},"default":"\u0001\u00ff"}]}"#;
    let schema = connect(text);
    let default = |name: &str| schema.field(name).unwrap().1.schema.default().cloned();
    assert_eq!(default("a"), Some(Value::Int32(5)));
    assert_eq!(default("b"), None, "Java forgets defaults of unions");
    assert_eq!(default("c"), Some(Value::from("y")));
    assert_eq!(default("d"), Some(Value::from(7)));
    assert_eq!(default("e"), None);
    let Some(Value::Struct(choice)) = default("f") else { panic!("no struct") };
    assert_eq!(choice.values(), [Value::Int32(3), Value::Null]);
    let number = Decimal { unscaled: 511.into(), scale: 1 };
    assert_eq!(default("g"), Some(Value::Decimal(number)));
    let flag = |name: &str| {
        let field = &schema.field(name).unwrap().1.schema;
        field.parameter("io.confluent.connect.avro.field.default").is_some()
    };
    assert_eq!(["a", "b", "d", "e", "f"].map(flag), [true, false, false, false, true]);
    let again = text_of(&schema);
    assert!(again.contains(r#"{"name":"a","type":"int","default":5}"#), "{again}");
}

#[test]
fn nulls_are_defaults_unless_they_are_to_stay() {
    let field = builder(Kind::Int32).optional().default_value(Value::Int32(5)).unwrap().build();
    let schema = Schema::struct_builder().field("a", field).build();
    let column = || {
        let values = vec![record(&schema, vec![Value::Null]); 20];
        Column::from_values(Some(Arc::clone(&schema)), values)
    };
    let (_, rows) = write(&mut avro(&[]), &column());
    assert_eq!(rows.value(0), [b'#', 0, 10]);
    let ignored = [("ignore.default.for.nullables", "true")];
    let (_, rows) = write(&mut avro(&ignored), &column());
    assert_eq!(rows.value(0), [b'#', 2]);
}

#[test]
fn bytes_alone_have_no_length() {
    let values = vec![Value::Bytes(b"ab".as_slice().into()); 20];
    let column = Column::from_values(Some(Schema::bytes(false)), values);
    let mut avro = avro(&[]);
    let (schema, rows) = write(&mut avro, &column);
    assert_eq!(rows.value(3), b"#ab");
    let reader = avro.compile_reader(&schema, None).unwrap();
    let read_back = read(&mut avro, reader, &[Some(&b""[..]), Some(b"abc")].repeat(10));
    assert_eq!(read_back[0], Ok(Value::Bytes(b"".as_slice().into())));
    assert_eq!(read_back[1], Ok(Value::Bytes(b"abc".as_slice().into())));
    // Behind a union they are bytes like all others.
    assert_eq!(
        read_one(r#"["null","bytes"]"#, &[2, 4, 1, 2]),
        Ok(Value::Bytes(b"\x01\x02".as_slice().into()))
    );
}

#[test]
fn names_that_avro_does_not_allow_are_refused_or_scrubbed() {
    let schema = Schema::struct_builder().name("1\u{e9}.x y").field("a b", Schema::string(false));
    let schema = schema.field("9", Schema::string(false)).build();
    let error = avro(&[]).describe(Some(&schema)).unwrap_err().to_string();
    assert!(error.contains("scrub.invalid.names=true"), "{error}");
    let expected = r#"{"type":"record","name":"x_y","namespace":"x1_C3_A9","fields":[
        {"name":"a_b","type":"string"},{"name":"x9","type":"string"}],"connect.name":"1é.x y"}"#;
    assert_text(&[("scrub.invalid.names", "true")], &schema, expected);
}

#[test]
fn two_schemas_of_one_name_are_refused() {
    let map = |key: SchemaBuilder| Schema::map_builder(key.build(), Schema::string(false)).build();
    let others = [
        [builder(Kind::Int32), builder(Kind::Int64)],
        [Schema::date_builder(), builder(Kind::Int32)],
        [Schema::date_builder(), Schema::time_builder()],
        [Schema::decimal_builder(1), Schema::decimal_builder(2)],
    ];
    for [key, other] in others {
        let schema = Schema::struct_builder()
            .field("a", map(key.clone()))
            .field("b", map(key))
            .field("c", map(other))
            .build();
        let error = avro(&[]).describe(Some(&schema)).unwrap_err().to_string();
        assert!(error.contains("one name") && error.contains("field: c"), "{error}");
    }
}

#[test]
fn versions_come_from_the_subject() {
    let version = |text: &str| {
        let mut avro = avro(&[]);
        let reader = avro.compile_reader(&schema_text(text), Some(4)).unwrap();
        avro.readers[reader.0].schema.as_ref().unwrap().version()
    };
    let record = r#"{"type":"record","name":"R","fields":[]}"#;
    assert_eq!(version(record), Some(4));
    assert_eq!(version(&record.replace("[]", r#"[],"connect.version":2"#)), Some(2));
    assert_eq!(version(r#"{"type":"int","logicalType":"date"}"#), Some(1));
    assert_eq!(version(r#"["null","int"]"#), None);
}

#[test]
fn prescribed_schemas_may_know_more() {
    let schema = Schema::struct_builder()
        .field("a", builder(Kind::Int32).build())
        .field("b", builder(Kind::Float32).optional().build())
        .build();
    let field = |name: &str, rest: &str| format!(r#"{{"name":"{name}","type":{rest}}}"#);
    let text = |fields: &[String]| {
        format!(r#"{{"type":"record","name":"P","fields":[{}]}}"#, fields.join(","))
    };
    let (a, b) = (field("a", r#"["string","long","null"]"#), field("b", r#"["double","null"]"#));
    let more = field("c", r#"["null","string"],"default":null"#);
    let wider = text(&[more, b.clone(), a.clone()]);
    let mut avro = avro(&[]);
    let values = vec![record(&schema, vec![Value::Int32(3), Value::Float32(0.5)]); 20];
    for column in
        millrace_testkit::arbitrary::forms(&Column::from_values(Some(schema.clone()), values))
    {
        let writer = avro.compile_writer(Some(&schema), &schema_text(&wider)).unwrap();
        let rows = avro.write(writer, &column, b"", &mut Vec::new()).unwrap();
        assert_eq!(rows.value(9), [&[0, 0][..], &0.5_f64.to_le_bytes(), &[2, 6]].concat());
    }
    let cases = [
        (text(std::slice::from_ref(&a)), "the data have a field that the Avro schema has not"),
        (text(&[a.clone(), b.clone(), field("c", r#""int""#)]), "without default"),
        (text(&[field("a", r#""string""#), b.clone()]), "do not fit the Avro schema"),
        (r#""int""#.to_owned(), "do not fit the Avro schema"),
    ];
    for (text, complaint) in cases {
        let error = avro.compile_writer(Some(&schema), &schema_text(&text)).unwrap_err();
        assert!(error.to_string().contains(complaint), "{text}: {error}");
    }
    let micros = schema_text(r#"{"type":"long","logicalType":"timestamp-micros"}"#);
    let error = avro.compile_writer(Some(&Schema::timestamp_builder().build()), &micros);
    assert!(error.unwrap_err().to_string().contains("logicalType: timestamp-micros"));
}

#[test]
fn equal_schemas_of_several_writers_share_a_column() {
    let text = |members: &str, doc: &str| {
        format!(
            r#"{{"type":"record","name":"R","aliases":["{doc}"],"fields":[{{"name":"a","type":{members}}}]}}"#
        )
    };
    let mut avro = avro(&[]);
    let mut compile = |text: String| avro.compile_reader(&schema_text(&text), None).unwrap();
    let first = compile(text(r#"["null","int"]"#, "x"));
    let second = compile(text(r#"["int","null"]"#, "y"));
    let third = compile(text(r#"["int","string"]"#, "z"));
    let row = |schema, payload: &'static [u8]| Row { schema, payload: Some(payload) };
    let mut rows = [row(first, &[2, 2]), row(second, &[0, 4])].repeat(20);
    rows.push(row(third, &[0, 6]));
    rows.push(Row { schema: first, payload: None });
    let columns = avro.read(&rows, &mut Vec::new()).unwrap();
    assert_eq!(columns.iter().map(Column::len).collect::<Vec<_>>(), [40, 2]);
    assert!(matches!(columns[0], Column::Typed { .. }));
    let Value::Struct(s) = columns[0].value(21).unwrap() else { panic!("no struct") };
    assert_eq!(s.values(), [Value::Int32(2)]);
}

#[test]
fn a_latest_schema_must_read_ours() {
    let text = |fields: &str| {
        schema_text(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#))
    };
    let a = r#"{"name":"a","type":"int"}"#;
    let cases = [
        (a, a, true),
        (a, r#"{"name":"a","type":"long"}"#, true),
        (r#"{"name":"a","type":"long"}"#, a, false),
        (a, r#"{"name":"b","aliases":["a"],"type":["null","int"]}"#, true),
        (a, r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#, false),
        (a, r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":1}"#, true),
        (r#"{"name":"a","type":["null","int"]}"#, a, false),
        (
            r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["A","B"]}}"#,
            r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["A"]}}"#,
            false,
        ),
        (
            r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["A","B"]}}"#,
            r#"{"name":"a","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}}"#,
            true,
        ),
        (r#"{"name":"a","type":["null","R"]}"#, r#"{"name":"a","type":["null","R","int"]}"#, true),
    ];
    for (ours, latest, expected) in cases {
        let compatible = avro(&[]).is_compatible(&text(ours), &text(latest)).unwrap();
        assert_eq!(compatible, expected, "{latest} reads {ours}");
    }
}

#[test]
fn rows_that_do_not_fit_cost_one_row() {
    let field = builder(Kind::Bytes).name("f.F").parameter("connect.fixed.size", "2").build();
    let schema = Schema::struct_builder().field("f", field).build();
    let value = |bytes: &'static [u8]| record(&schema, vec![Value::Bytes(bytes.into())]);
    let mut values = vec![value(b"ab"); 20];
    values[3] = value(b"abc");
    values[5] = Value::Null;
    let column = Column::from_values(Some(schema.clone()), values);
    for column in millrace_testkit::arbitrary::forms(&column) {
        let mut avro = avro(&[]);
        let text = avro.describe(Some(&schema)).unwrap().schema;
        let writer = avro.compile_writer(Some(&schema), &text).unwrap();
        let mut failed = Vec::new();
        let rows = avro.write(writer, &column, b"#", &mut failed).unwrap();
        let failed: Vec<_> = failed.iter().map(|f| (f.row, f.error.to_string())).collect();
        assert_eq!(failed[0], (3, "a fixed of 2 bytes cannot hold 3 bytes (field: f)".into()));
        assert_eq!(failed[1], (5, "Found null value for non-optional schema".into()));
        assert_eq!((failed.len(), rows.value(4), rows.value(6)), (2, &b"#ab"[..], &b"#ab"[..]));
    }
}
