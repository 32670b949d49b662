//! The transformations as the worker uses them: Java's keys and messages, and rows ≡ columns.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;

use millrace_api::data::{
    Column, Decimal, Kind, Records, RowError, Schema, SchemaRef, Struct, Value, logical,
};
use millrace_api::{Error, Plugin, Props, Transformation};
use millrace_testkit::arbitrary::{
    Shape, by_member, json_columns, json_objects, json_texts, records, records_by_key,
    schemaless_columns,
};
use millrace_testkit::golden::assert_keys_recorded;
use millrace_testkit::plugin_host::{props, transformation};
use millrace_testkit::transform_suite;
use millrace_testkit::transform_suite::TransformFixture;
use num_bigint::BigInt;
use proptest::prelude::*;

fn plugin(name: &str) -> Plugin {
    let mut plugins = millrace_transforms::plugins().into_iter();
    plugins.find(|p| p.class().ends_with(name)).expect("the plugin is there")
}

#[test]
fn keys_are_javas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/golden/config");
    let of_kafka = |plugin: &Plugin| plugin.class().starts_with("org.apache.kafka.");
    for plugin in millrace_transforms::plugins().into_iter().filter(of_kafka) {
        assert_keys_recorded(&folder, &plugin);
    }
}

struct Fixture {
    name: &'static str,
    props: Props,
}

impl TransformFixture for Fixture {
    fn plugin(&self) -> Plugin {
        plugin(self.name)
    }

    fn props(&self) -> Props {
        self.props.clone()
    }

    fn records(&self) -> BoxedStrategy<Records> {
        let data = prop_oneof![
            with_nulls(Shape::default().columns()),
            with_nulls(Shape::default().columns_of(&known_fields())),
            with_nulls(Shape::default().struct_columns()),
            Shape::default().beyond_arrow().struct_columns(),
            json_columns(json_objects(2)),
            json_columns(odd_objects()),
            json_columns(alike_objects()),
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

/// A struct whose fields have the names that transformations are told.
fn known_fields() -> SchemaRef {
    let inner = Schema::struct_builder()
        .field("x", Schema::builder(Kind::Int64).default_value(Value::Int64(7)).unwrap().build())
        .field("y.z", Schema::timestamp_builder().optional().build())
        .optional();
    Schema::struct_builder()
        .optional()
        .name("known")
        .field("0", Schema::string(true))
        .field("1", Schema::builder(Kind::Float64).build())
        .field(
            "topic",
            Schema::builder(Kind::String).optional().default_value("d".into()).unwrap().build(),
        )
        .field("in", inner.build())
        .field("z", Schema::date_builder().default_value(Value::Date(3)).unwrap().build())
        .field("list", Schema::array_builder(Schema::string(true)).optional().build())
        .build()
}

/// Objects whose names meet those that are inserted.
fn odd_objects() -> BoxedStrategy<String> {
    let member = prop_oneof![
        Just("\"0\": 1"),
        Just("\"topic\" :{}"),
        Just("\"\\u0030\":[\"0\"]"),
        Just("\"a\\\"\":\"\\\\\""),
        Just("\"z\":null"),
        Just("\"in\":{\"x\":[1], \"y.z\":{}}"),
        Just("\"in\":7"),
    ];
    prop::collection::vec(member, 0..4)
        .prop_map(|members| format!("{{{} }}", members.join(" , ")))
        .boxed()
}

/// Objects that all have the same two names, with values that casts and masks take, refuse, or
/// cannot write as JSON.
fn alike_objects() -> BoxedStrategy<String> {
    let value = || {
        prop_oneof![
            4 => Just("1"),
            1 => Just("\"x\""),
            1 => Just("\"NaN\""),
            1 => Just("\"3\""),
            1 => Just("-0.0"),
            1 => Just("null"),
            1 => Just("{}"),
            1 => Just("[]"),
        ]
    };
    (value(), value()).prop_map(|(a, z)| format!("{{\"0\":{a},\"z\":{z}}}")).boxed()
}

/// Nulls where the schema forbids them too, as values and in fields of structs.
fn with_nulls(columns: BoxedStrategy<Column>) -> BoxedStrategy<Column> {
    (columns, any::<u64>())
        .prop_map(|(column, bits)| {
            let mut values = column.rows().unwrap().into_owned();
            for (row, value) in values.iter_mut().enumerate() {
                match (bits >> (row % 16 * 4)) & 15 {
                    0 => *value = Value::Null,
                    n @ 1..3 => {
                        if let Value::Struct(s) = value {
                            let mut fields = s.values().to_vec();
                            let place = n as usize % fields.len().max(1);
                            fields.get_mut(place).map(std::mem::take);
                            *value = Value::Struct(Struct::new(Arc::clone(s.schema()), fields));
                        }
                    }
                    _ => {}
                }
            }
            Column::from_values(column.schema().cloned(), values)
        })
        .boxed()
}

fn hoist(name: &'static str) -> Fixture {
    let props = props([("field", "a \"quoted\" name")]);
    Fixture { name, props }
}

transform_suite!(hoist_field_value, hoist("HoistField$Value"));
transform_suite!(hoist_field_key, hoist("HoistField$Key"));

fn insert<const N: usize>(name: &'static str, pairs: [(&str, &str); N]) -> Fixture {
    let props = props(pairs);
    Fixture { name, props }
}

fn all_fields(name: &'static str) -> Fixture {
    let pairs = [
        ("topic.field", "topic"),
        ("partition.field", "partition!"),
        ("offset.field", "offset?"),
        ("timestamp.field", "\u{1f600}"),
        ("static.field", "0"),
        ("static.value", "any \"text\"\t!"),
    ];
    insert(name, pairs)
}

transform_suite!(insert_field_value, all_fields("InsertField$Value"));
transform_suite!(insert_field_key, all_fields("InsertField$Key"));
transform_suite!(
    insert_field_without_defaults,
    insert(
        "InsertField$Value",
        [
            ("timestamp.field", "topic"),
            ("static.field", "topic?"),
            ("static.value", "later"),
            ("replace.null.with.default", "false"),
        ]
    )
);
transform_suite!(
    insert_field_static,
    insert("InsertField$Value", [("static.field", "0!"), ("static.value", "v")])
);

fn with<const N: usize>(name: &'static str, pairs: [(&str, &str); N]) -> Fixture {
    Fixture { name, props: props(pairs) }
}

transform_suite!(
    replace_field_value,
    with("ReplaceField$Value", [("exclude", "1"), ("renames", "0:topic,2:\"2\"")])
);
transform_suite!(
    replace_field_key,
    with("ReplaceField$Key", [("include", "1,0,z"), ("replace.null.with.default", "false")])
);
transform_suite!(
    replace_field_that_meets_others,
    with("ReplaceField$Value", [("renames", "0:1,topic:z,a\":0"), ("exclude", "1")])
);

transform_suite!(extract_field_value, with("ExtractField$Value", [("field", "0")]));
transform_suite!(
    extract_field_key,
    with("ExtractField$Key", [("field", "z"), ("replace.null.with.default", "false")])
);
transform_suite!(
    extract_field_within,
    with("ExtractField$Value", [("field", "in.`y.z`"), ("field.syntax.version", "v2")])
);
transform_suite!(
    extract_field_within_texts,
    with("ExtractField$Value", [("field", "in.x"), ("field.syntax.version", "V2")])
);
transform_suite!(value_to_key, with("ValueToKey", [("fields", "topic,in,0,a\"")]));
transform_suite!(
    value_to_key_without_defaults,
    with("ValueToKey", [("fields", "z"), ("replace.null.with.default", "false")])
);

const ALL_KNOWN: &str = "0,1,topic,z,list,2,3,4,a\"";

transform_suite!(mask_field_value, with("MaskField$Value", [("fields", ALL_KNOWN)]));
transform_suite!(
    mask_field_key,
    with(
        "MaskField$Key",
        [
            ("fields", "0,1,topic"),
            ("replacement", "-12.5e1"),
            ("replace.null.with.default", "false")
        ]
    )
);
transform_suite!(
    mask_field_with_text,
    with("MaskField$Value", [("fields", "0,z"), ("replacement", "\"*\"")])
);
transform_suite!(
    set_schema_metadata_value,
    with("SetSchemaMetadata$Value", [("schema.name", logical::TIMESTAMP)])
);
transform_suite!(
    set_schema_metadata_key,
    with(
        "SetSchemaMetadata$Key",
        [("schema.version", "4"), ("replace.null.with.default", "false")]
    )
);
transform_suite!(
    header_from_value,
    with("HeaderFrom$Value", [("fields", "0,0"), ("headers", "a,b"), ("operation", "copy")])
);
transform_suite!(
    header_from_key,
    with("HeaderFrom$Key", [("fields", "0,topic"), ("headers", "h,h"), ("operation", "move")])
);
transform_suite!(
    header_from_without_defaults,
    with(
        "HeaderFrom$Value",
        [
            ("fields", "0"),
            ("headers", "h"),
            ("operation", "move"),
            ("replace.null.with.default", "false"),
        ]
    )
);
transform_suite!(drop_headers, with("DropHeaders", [("headers", "a,b")]));
transform_suite!(insert_header, with("InsertHeader", [("header", "a"), ("value.literal", "[1]")]));
transform_suite!(timestamp_router, with("TimestampRouter", [("timestamp.format", "yyyyMMddHHS")]));

transform_suite!(
    cast_to_int8,
    with("Cast$Value", [("spec", "0:int8,1:int8,topic:int8,z:int8,2:int8,3:int8")])
);
transform_suite!(
    cast_to_int16,
    with("Cast$Value", [("spec", "0:int16,1:int16,topic:int16,z:int16,2:int16,3:int16")])
);
transform_suite!(
    cast_to_int32,
    with("Cast$Value", [("spec", "0:int32,1:int32,topic:int32,z:int32,2:int32,3:int32")])
);
transform_suite!(
    cast_to_int64,
    with("Cast$Value", [("spec", "0:int64,1:int64,topic:int64,z:int64,2:int64,3:int64")])
);
transform_suite!(
    cast_to_float32,
    with(
        "Cast$Value",
        [("spec", "0:float32,1:float32,topic:float32,z:float32,2:float32,3:float32")]
    )
);
transform_suite!(
    cast_to_float64,
    with(
        "Cast$Value",
        [("spec", "0:float64,1:float64,topic:float64,z:float64,2:float64,3:float64")]
    )
);
transform_suite!(
    cast_to_boolean,
    with(
        "Cast$Value",
        [("spec", "0:boolean,1:boolean,topic:boolean,z:boolean,2:boolean,3:boolean")]
    )
);
transform_suite!(
    cast_to_string,
    with("Cast$Value", [("spec", "0:string,1:string,topic:string,z:string,2:string,3:string")])
);
transform_suite!(cast_whole_value, with("Cast$Value", [("spec", "int64")]));
transform_suite!(
    cast_whole_key,
    with("Cast$Key", [("spec", "string"), ("replace.null.with.default", "false")])
);

transform_suite!(flatten_value, with("Flatten$Value", []));
transform_suite!(flatten_key, with("Flatten$Key", [("delimiter", "")]));

transform_suite!(
    timestamp_converter_to_unix,
    with(
        "TimestampConverter$Value",
        [("field", "z"), ("target.type", "unix"), ("unix.precision", "nanoseconds")]
    )
);
transform_suite!(
    timestamp_converter_to_text,
    with(
        "TimestampConverter$Value",
        [("field", "z"), ("target.type", "string"), ("format", "yyyy-MM-dd HH:mm")]
    )
);
transform_suite!(
    timestamp_converter_of_text,
    with("TimestampConverter$Value", [("field", "0"), ("target.type", "unix"), ("format", "yy")])
);
transform_suite!(
    timestamp_converter_to_date,
    with(
        "TimestampConverter$Value",
        [("field", "0"), ("target.type", "Date"), ("unix.precision", "microseconds")]
    )
);
transform_suite!(
    timestamp_converter_of_no_moments,
    with("TimestampConverter$Value", [("field", "1"), ("target.type", "Time")])
);
transform_suite!(
    timestamp_converter_of_missing,
    with(
        "TimestampConverter$Key",
        [("field", "none"), ("target.type", "unix"), ("replace.null.with.default", "false")]
    )
);
transform_suite!(
    timestamp_converter_of_any_moment,
    with("TimestampConverter$Value", [("target.type", "string"), ("format", "YYYY-ww G y D F E")])
);
transform_suite!(
    timestamp_converter_of_whole_value,
    with("TimestampConverter$Value", [("target.type", "Timestamp"), ("unix.precision", "seconds")])
);
transform_suite!(
    timestamp_converter_of_whole_key,
    with("TimestampConverter$Key", [("target.type", "Time"), ("format", "y")])
);

fn apply(fixture: &Fixture, records: Records) -> (Vec<Records>, Vec<String>) {
    let mut transformation: Box<dyn Transformation> =
        transformation(&fixture.plugin(), &fixture.props()).unwrap();
    let mut failed: Vec<RowError> = Vec::new();
    let runs = transformation.apply(records, &mut failed).unwrap();
    let failed = failed.iter().map(|f| format!("{}: {}", f.row, f.error));
    (runs, failed.collect())
}

fn error(name: &'static str, props: Props) -> Error {
    transformation(&plugin(name), &props).map(|_| ()).unwrap_err()
}

fn struct_of(name: &str, schema: &SchemaRef) -> SchemaRef {
    Schema::struct_builder().field(name, Arc::clone(schema)).build()
}

fn texts(run: &Records) -> Vec<String> {
    let rows = run.value.rows().unwrap();
    rows.iter().map(ToString::to_string).collect()
}

#[test]
fn hoist_wraps_null_where_it_may() {
    let fixture = insert("HoistField$Value", [("field", "f")]);
    let optional = Schema::string(true);
    let values = vec![Value::from("x"), Value::Null];
    let (runs, failed) = apply(
        &fixture,
        Records::new("t", Column::from_values(Some(Arc::clone(&optional)), values.clone())),
    );
    assert_eq!(failed, [""; 0]);
    assert_eq!(runs[0].value.schema(), Some(&struct_of("f", &optional)));
    assert_eq!(texts(&runs[0]), ["Struct{f=x}", "Struct{}"]);

    let (runs, failed) = apply(
        &fixture,
        Records::new("t", Column::from_values(Some(Schema::string(false)), values)),
    );
    let message = "1: Invalid value: null used for required field: \"f\", schema type: STRING";
    assert_eq!(failed, [message]);
    assert_eq!(texts(&runs[0]), ["Struct{f=x}"]);

    let json = Column::Json([Some("[1]"), None, Some("null")].into_iter().collect());
    let (runs, _) = apply(&fixture, Records::new("t", json));
    assert_eq!(texts(&runs[0]), ["{f=[1]}", "{f=null}", "{f=null}"]);
}

#[test]
fn hoist_needs_a_field() {
    let error = error("HoistField$Key", Props::new());
    let message = "Missing required configuration \"field\" which has no default value.";
    assert_eq!(error.message(), message);
}

#[test]
fn insert_needs_something_to_insert() {
    let name = "InsertField$Value";
    assert_eq!(error(name, Props::new()).to_string(), "No field insertion configured");
    let message = "Invalid value null for configuration static.value: \
                   No value specified for static field: s";
    assert_eq!(error(name, props([("static.field", "s!")])).to_string(), message);
}

/// Sixteen rows and more are columns, fewer are rows.
#[test]
fn inserted_fields_have_javas_schemas() {
    let fixture = all_fields("InsertField$Value");
    let schema = Schema::struct_builder()
        .optional()
        .name("com.example.Line")
        .version(3)
        .doc("a line")
        .parameter("k", "v")
        .field("line", Schema::string(false))
        .build();
    for rows in [1, 20] {
        let line = Struct::new(Arc::clone(&schema), vec![Value::from("x")]);
        let values = vec![Value::Struct(line); rows];
        let mut records = Records::new("t", Column::from_values(Some(schema.clone()), values));
        records.partition = Some(4);
        records.offsets = Some((100..100 + rows as i64).collect());
        records.timestamps = Some(vec![1_700_000_000_123; rows].into());
        let (runs, failed) = apply(&fixture, records);
        assert_eq!(failed, [""; 0]);
        let extended = runs[0].value.schema().unwrap();
        assert!(!extended.is_optional(), "as in Java");
        assert_eq!((extended.name(), extended.version()), (Some("com.example.Line"), Some(3)));
        assert_eq!((extended.doc(), extended.parameter("k")), (Some("a line"), Some("v")));
        let described: Vec<_> = extended.fields()[1..]
            .iter()
            .map(|f| (&*f.name, f.schema.kind(), f.schema.is_optional(), f.schema.name()))
            .collect();
        let expected = [
            ("topic", Kind::String, true, None),
            ("partition", Kind::Int32, false, None),
            ("offset", Kind::Int64, true, None),
            ("\u{1f600}", Kind::Int64, true, Some(logical::TIMESTAMP)),
            ("0", Kind::String, true, None),
        ];
        assert_eq!(described, expected);
        let Value::Struct(first) = runs[0].value.value(0).unwrap() else { panic!("a struct") };
        assert_eq!(
            first.values()[1..],
            [
                Value::from("t"),
                Value::Int32(4),
                Value::Int64(100),
                Value::Timestamp(1_700_000_000_123),
                Value::from("any \"text\"\t!"),
            ]
        );
    }
}

#[test]
fn insert_refuses_what_java_refuses() {
    let fixture = insert("InsertField$Value", [("topic.field", "t"), ("offset.field", "o")]);
    let no_map = "Only Map objects supported in absence of schema for [field insertion], found: ";
    let no_sink = "Only SinkRecord supported for [field insertion], found: \
                   org.apache.kafka.connect.source.SourceRecord";
    let json = Column::Json([Some("[]"), None, Some("{}"), Some("1.5")].into_iter().collect());
    let (runs, failed) = apply(&fixture, Records::new("t", json));
    let expected = [
        format!("0: {no_map}java.util.ArrayList"),
        format!("2: {no_sink}"),
        format!("3: {no_map}java.lang.Double"),
    ];
    assert_eq!(failed, expected);
    assert_eq!(texts(&runs[0]), ["null"]);

    let text = Column::from_values(Some(Schema::string(false)), vec![Value::from("x")]);
    let (runs, failed) = apply(&fixture, Records::new("t", text));
    let message = "0: Only Struct objects supported for [field insertion], found: java.lang.String";
    assert_eq!((runs.len(), failed), (0, vec![message.to_owned()]));

    let schema = struct_of("t", &Schema::string(true));
    let value = Value::Struct(Struct::new(Arc::clone(&schema), vec![Value::Null]));
    let column = Column::from_values(Some(schema), vec![value]);
    let (_, failed) = apply(&fixture, Records::new("t", column));
    assert_eq!(failed, ["0: Cannot create field because of field name duplication t"]);
}

/// Java looks a value up by the new name of its field, and then asks whether it fits.
#[test]
fn an_excluded_field_may_give_its_value_to_another() {
    let fixture = with("ReplaceField$Value", [("exclude", "old"), ("renames", "old:new")]);
    let made = |old: (SchemaRef, Value), rows: usize| {
        let schema = Schema::struct_builder().field("old", old.0);
        let schema = schema.field("new", Schema::string(false)).build();
        let row = Struct::new(Arc::clone(&schema), vec![old.1, "new".into()]);
        let column = Column::from_values(Some(schema), vec![Value::Struct(row); rows]);
        let (runs, failed) = apply(&fixture, Records::new("t", column));
        runs.first().map_or_else(|| failed[0].clone(), |run| texts(run)[0].clone())
    };
    for rows in [1, 20] {
        assert_eq!(made((Schema::string(true), "old".into()), rows), "Struct{new=old}");
        let null = "0: Invalid value: null used for required field: \"new\", schema type: STRING";
        assert_eq!(made((Schema::string(true), Value::Null), rows), null);
        let list = Schema::array_builder(Schema::string(false)).build();
        let message = "0: Invalid Java object for schema with type STRING: \
                       class java.util.ArrayList for field: \"new\"";
        assert_eq!(made((list, Value::Array(Vec::new())), rows), message);
    }
}

/// The name stays when the whole is cast, and asks for Java's class of that name.
#[test]
fn the_default_of_a_logical_type_is_not_cast() {
    let default = Value::Decimal(Decimal { unscaled: 1.into(), scale: 2 });
    let schema = Schema::decimal_builder(2).default_value(default.clone()).unwrap().build();
    let column = Column::from_values(Some(schema), vec![default]);
    let cast = transformation(&plugin("Cast$Value"), &props([("spec", "boolean")]));
    let mut failed = Vec::new();
    cast.unwrap().apply(Records::new("t", column), &mut failed).unwrap();
    let error = &failed[0].error;
    assert_eq!(error.message(), "Invalid default value");
    assert_eq!(error.java_class(), "org.apache.kafka.connect.errors.SchemaBuilderException");
}

/// Arrow has no decimal of more than 76 digits, so the column cannot hold its own default.
#[test]
fn a_default_that_no_array_holds_is_used_all_the_same() {
    let long = Value::Decimal(Decimal { unscaled: BigInt::from(10).pow(80), scale: 2 });
    let amount = Schema::decimal_builder(2).optional().default_value(long.clone()).unwrap();
    let schema = Schema::struct_builder().field("a", amount.build());
    let schema = schema.field("z", Schema::string(true)).build();
    let row = Value::Struct(Struct::new(Arc::clone(&schema), vec![Value::Null, Value::Null]));
    let moves = [("operation", "move"), ("fields", "z"), ("headers", "z")];
    for (name, pairs) in [
        ("ReplaceField$Value", &[("exclude", "b")][..]),
        ("InsertField$Value", &[("topic.field", "b")]),
        ("Flatten$Value", &[("delimiter", "_")]),
        ("HeaderFrom$Value", &moves),
    ] {
        let column = Column::from_values(Some(Arc::clone(&schema)), vec![row.clone(); 20]);
        assert!(matches!(column, Column::Typed { .. }));
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let fixture = Fixture { name, props: pairs.iter().map(own).collect() };
        let (runs, failed) = apply(&fixture, Records::new("t", column));
        assert_eq!(failed, [""; 0]);
        let Value::Struct(first) = runs[0].value.value(0).unwrap() else { panic!("a struct") };
        assert_eq!(first.values()[0], long, "{name}");
    }
}

/// What nothing can be made of costs its records, and not the task.
#[test]
fn a_schema_that_has_no_header_to_move_refuses_its_records() {
    let moves = [("operation", "move"), ("fields", "a"), ("headers", "a")];
    let fixture = with("HeaderFrom$Value", moves);
    let schema = Schema::struct_builder().field("a", Schema::string(true));
    let schema = schema.field("", Schema::string(true)).build();
    let row = Struct::new(Arc::clone(&schema), vec!["x".into(), "y".into()]);
    let column = Column::from_values(Some(schema), vec![Value::Struct(row); 2]);
    let (runs, failed) = apply(&fixture, Records::new("t", column));
    assert!(runs.is_empty());
    assert_eq!(failed, ["0: fieldName cannot be null.", "1: fieldName cannot be null."]);
}

#[test]
fn null_values_keep_their_schema_and_their_place() {
    let fixture = insert("InsertField$Value", [("topic.field", "t")]);
    let schema = Schema::struct_builder().field("a", Schema::string(true)).optional().build();
    let row = |a: &str| Value::Struct(Struct::new(Arc::clone(&schema), vec![Value::from(a)]));
    let mut values = vec![row("x"); 20];
    values[7] = Value::Null;
    let records = Records::new("t", Column::from_values(Some(Arc::clone(&schema)), values));
    let (runs, failed) = apply(&fixture, records);
    assert_eq!(failed, [""; 0]);
    assert_eq!(runs.iter().map(Records::len).collect::<Vec<_>>(), [7, 1, 12]);
    assert_eq!(runs[1].value.schema(), Some(&schema));
    assert_eq!(texts(&runs[2])[0], "Struct{a=x,t=t}");
}

/// Where one row of JSON objects is refused, the others need not become text again.
#[test]
fn objects_stay_by_member_where_a_row_is_refused() {
    let mut rows = [Some(r#"{"n":1,"t":"x"}"#); 3];
    let no_map = |purpose| {
        format!("1: Only Map objects supported in absence of schema for [{purpose}], found: null")
    };
    for (fixture, bad, why) in [
        (with("ValueToKey", [("fields", "n")]), None, no_map("copying fields from value to key")),
        (with("MaskField$Value", [("fields", "t")]), None, no_map("mask fields")),
        (
            with("Cast$Value", [("spec", "n:int64")]),
            Some(r#"{"n":"x","t":"y"}"#),
            "1: Value (x) was out of range for requested data type".to_owned(),
        ),
    ] {
        rows[1] = bad;
        let column = by_member(&Column::Json(rows.iter().copied().collect())).unwrap();
        let (runs, failed) = apply(&fixture, Records::new("t", column));
        assert_eq!(failed, [why]);
        let made = match fixture.name {
            "ValueToKey" => &runs[0].key,
            _ => &runs[0].value,
        };
        assert!(matches!(made, Column::Objects(_)), "{}: {made:?}", fixture.name);
        assert_eq!(runs[0].len(), 2);
    }
}
