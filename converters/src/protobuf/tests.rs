//! What the format does: texts of schemas, schemas of texts, payloads both ways, bad input.

use millrace_api::config::{Config, Props};
use millrace_api::data::{Decimal, Kind, Schema, SchemaBuilder, Struct, Value};
use millrace_testkit::arbitrary::{Shape, forms};
use num_bigint::BigInt;
use proptest::prelude::*;
use protox::prost_reflect::prost::Message;
use protox::prost_reflect::{DynamicMessage, Value as ProtoValue};

use super::*;

type Keys = &'static [(&'static str, &'static str)];

fn format(props: Keys) -> ProtobufFormat {
    let props: Props = props.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    ProtobufFormat::new(&ProtobufConfig::parse(&props).unwrap())
}

fn text_with(props: Keys, schema: &SchemaRef) -> Result<String> {
    Ok(format(props).describe(Some(schema))?.schema.text.to_string())
}

fn text(schema: &SchemaRef) -> String {
    text_with(&[], schema).unwrap()
}

fn schema_text(text: &str) -> SchemaText {
    SchemaText { text: text.into(), references: Vec::new() }
}

fn proto3(text: &str) -> String {
    format!("syntax = \"proto3\"; {text}")
}

/// The Connect schema of the first message.
fn connect_with(props: Keys, text: &str) -> std::result::Result<SchemaRef, String> {
    let mut format = format(props);
    let schema = format.compile_reader(&schema_text(text), None).map_err(|e| e.trace())?;
    let found = format.find(schema, &[0]).map_err(|fault| fault.into_error(None).trace())?;
    let reader = found.reader;
    Ok(Arc::clone(&format.readers[reader].0))
}

fn connect(text: &str) -> SchemaRef {
    connect_with(&[], text).unwrap()
}

type Answer = std::result::Result<Value, String>;

/// Each row's value, or what is wrong with it. Payloads have their indexes.
fn read_with(props: Keys, schema: &str, payloads: &[Option<&[u8]>]) -> Vec<Answer> {
    let mut format = format(props);
    let schema = format.compile_reader(&schema_text(schema), None).unwrap();
    let rows: Vec<Row<'_>> =
        payloads.iter().map(|payload| Row { schema, payload: *payload }).collect();
    let mut failed = Vec::new();
    let columns = format.read(&rows, &mut failed).unwrap();
    let mut values: Vec<Answer> =
        columns.iter().flat_map(|c| c.rows().unwrap().into_owned()).map(Ok).collect();
    assert_eq!(values.len(), payloads.len());
    for RowError { row, error } in failed {
        assert_eq!(values[row], Ok(Value::Null));
        values[row] = Err(error.trace());
    }
    values
}

fn read(schema: &str, payloads: &[Option<&[u8]>]) -> Vec<Answer> {
    read_with(&[], schema, payloads)
}

/// The fields of a message that is alone.
fn fields(props: Keys, schema: &str, message: &[u8]) -> Vec<Value> {
    let payload = [&[0], message].concat();
    match read_with(props, schema, &[Some(&payload)]).remove(0) {
        Ok(Value::Struct(s)) => s.into_values(),
        other => panic!("{other:?}"),
    }
}

fn write_with(props: Keys, column: &Column) -> Vec<std::result::Result<Option<Vec<u8>>, String>> {
    let mut format = format(props);
    let described = format.describe(column.schema()).unwrap();
    let writer = format.compile_writer(column.schema(), &described.schema).unwrap();
    let mut failed = Vec::new();
    let opening = format.opening(writer);
    let rows = format.write(writer, column, &opening, &mut failed).unwrap();
    let mut out: Vec<_> = rows.iter().map(|row| Ok(row.map(<[u8]>::to_vec))).collect();
    for RowError { row, error } in failed {
        assert_eq!(out[row], Ok(None));
        out[row] = Err(error.trace());
    }
    out
}

fn builder(kind: Kind) -> SchemaBuilder {
    Schema::builder(kind)
}

fn tagged(builder: SchemaBuilder, tag: i32) -> SchemaRef {
    builder.optional().parameter(TAG, tag.to_string()).build()
}

fn order() -> SchemaRef {
    let color = builder(Kind::String)
        .name("Color")
        .parameter(ENUM, "Color")
        .parameter(format!("{ENUM}.RED"), "0")
        .parameter(format!("{ENUM}.GREEN"), "1")
        .build();
    let union = Schema::struct_builder()
        .name("io.confluent.connect.protobuf.Union.choice")
        .optional()
        .field("a", tagged(builder(Kind::String), 11))
        .field("b", tagged(builder(Kind::Int64), 12))
        .build();
    let inner = Schema::struct_builder().name("x.Inner").field("b", Schema::bytes(true)).build();
    let tags = Schema::map_builder(Schema::string(false), builder(Kind::Int32).build());
    Schema::struct_builder()
        .name("shop.Order")
        .field("small", builder(Kind::Int8).build())
        .field("id", builder(Kind::Int64).optional().build())
        .field("price", Schema::decimal_builder(2).parameter(PRECISION, "8").build())
        .field("at", Schema::timestamp_builder().optional().build())
        .field("inner", inner)
        .field("tags", tags.name("my_tags").build())
        .field("list", Schema::array_builder(builder(Kind::Float64).build()).build())
        .field("color", color)
        .field("choice_0", union)
        .field("u", builder(Kind::Int64).parameter(TYPE, "uint32").build())
        .build()
}

/// Worked out from the rules that Java's converter prints by.
const ORDER: &str = r#"syntax = "proto3";
package shop;

import "confluent/type/decimal.proto";
import "google/protobuf/timestamp.proto";

message Order {
  int32 small = 1 [(confluent.field_meta) = {
    params: [
      {
        key: "connect.type",
        value: "int8"
      }
    ]
  }];
  int64 id = 2;
  confluent.type.Decimal price = 3 [(confluent.field_meta) = {
    params: [
      {
        value: "8",
        key: "precision"
      },
      {
        value: "2",
        key: "scale"
      }
    ]
  }];
  google.protobuf.Timestamp at = 4;
  Inner inner = 5;
  repeated MyTagsEntry tags = 6;
  repeated double list = 7;
  Color color = 8;
  uint32 u = 10;

  oneof choice {
    string a = 11;
    int64 b = 12;
  }

  message Inner {
    bytes b = 1;
  }
  message MyTagsEntry {
    string key = 1;
    int32 value = 2;
  }
  enum Color {
    RED = 0;
    GREEN = 1;
  }
}
"#;

#[test]
fn schemas_are_printed_as_in_java() {
    let schema = order();
    assert_eq!(text(&schema), ORDER);
    let mut format = format(&[]);
    let described = format.describe(Some(&schema)).unwrap();
    assert_eq!(described.record_name.as_deref(), Some("shop.Order"));
    assert!(format.compile_writer(Some(&schema), &described.schema).is_ok());
}

#[test]
fn nullables_are_optional_or_wrapped_as_asked() {
    let schema = Schema::struct_builder()
        .field("a", Schema::string(true))
        .field("b", builder(Kind::Int32).build())
        .build();
    let body = |text: String| text.split_once("{\n").unwrap().1.to_owned();
    assert_eq!(body(text(&schema)), "  string a = 1;\n  int32 b = 2;\n}\n");
    const OPTIONAL: Keys = &[("optional.for.nullables", "true")];
    const WRAPPED: Keys = &[("wrapper.for.nullables", "true")];
    let optional = body(text_with(OPTIONAL, &schema).unwrap());
    assert_eq!(optional, "  optional string a = 1;\n  int32 b = 2;\n}\n");
    let wrapped = body(text_with(WRAPPED, &schema).unwrap());
    assert_eq!(wrapped, "  google.protobuf.StringValue a = 1;\n  int32 b = 2;\n}\n");
    let row = |text| {
        let values = vec![text, Value::Int32(0)];
        Value::Struct(Struct::new(Arc::clone(&schema), values))
    };
    let column =
        Column::from_values(Some(Arc::clone(&schema)), vec![row(Value::Null), row("".into())]);
    for (props, expected) in [
        // Null and empty are the same on the wire.
        (&[][..], [vec![0], vec![0]]),
        (OPTIONAL, [vec![0], vec![0, 10, 0]]),
        (WRAPPED, [vec![0], vec![0, 10, 0]]),
    ] {
        let written: Vec<_> =
            write_with(props, &column).into_iter().map(|w| w.unwrap().unwrap()).collect();
        assert_eq!(written, expected);
        let payloads: Vec<Option<&[u8]>> = written.iter().map(|w| Some(&w[..])).collect();
        let values = read_with(props, &text_with(props, &schema).unwrap(), &payloads);
        let first = |answer: &Answer| match answer {
            Ok(Value::Struct(s)) => s.values()[0].clone(),
            other => panic!("{other:?}"),
        };
        let null = if props.is_empty() { Value::from("") } else { Value::Null };
        assert_eq!([first(&values[0]), first(&values[1])], [null, "".into()]);
    }
}

#[test]
fn messages_become_connect_schemas_as_in_java() {
    let schema = connect(&proto3(
        "package p; message M { int32 a = 1; uint64 b = 3; repeated string c = 4; \
         oneof o { string x = 5; bool y = 6; } map<string, int64> m = 7; E e = 8; \
         optional int32 q = 9; N n = 10; enum E { ZERO = 0; ONE = 1; } \
         message N { bytes v = 1; } }",
    ));
    assert_eq!(schema.name(), Some("M"));
    let names: Vec<&str> = schema.fields().iter().map(|f| &*f.name).collect();
    assert_eq!(names, ["o_0", "a", "b", "c", "m", "e", "q", "n"]);
    let field = |name: &str| Arc::clone(&schema.field(name).unwrap().1.schema);
    assert_eq!(*field("a"), *tagged(builder(Kind::Int32), 1));
    assert_eq!(
        *field("b"),
        *builder(Kind::Int64).parameter(TYPE, "uint64").optional().parameter(TAG, "3").build()
    );
    assert_eq!(*field("c"), *tagged(Schema::array_builder(Schema::string(true)), 4));
    assert_eq!(field("o_0").name(), Some("io.confluent.connect.protobuf.Union.o"));
    assert_eq!(*field("o_0").field("y").unwrap().1.schema, *tagged(builder(Kind::Boolean), 6));
    assert_eq!(field("m").name(), Some("m"));
    assert_eq!(field("e").parameter(&format!("{ENUM}.ONE")), Some("1"));
    assert_eq!(field("n").name(), Some("N"));
    const ENHANCED: Keys = &[
        ("enhanced.protobuf.schema.support", "true"),
        ("generate.index.for.unions", "false"),
        ("int.for.enums", "true"),
    ];
    let schema = connect_with(
        ENHANCED,
        &proto3("package p; enum E { Z = 0; } message M { oneof o { E e = 1; } }"),
    );
    let schema = schema.unwrap();
    assert_eq!(schema.name(), Some("p.M"));
    let union = &schema.field("o").unwrap().1.schema;
    assert_eq!(union.name(), Some("io.confluent.connect.protobuf.Union.p.M.o"));
    assert_eq!(union.fields()[0].schema.kind(), Kind::Int32);
    const FLAT: Keys = &[("flatten.unions", "true")];
    let flat = connect_with(FLAT, &proto3("message M { oneof o { int32 e = 1; } }")).unwrap();
    assert_eq!(&*flat.fields()[0].name, "e");
}

/// What `protobuf`'s own reflection writes, in every type.
#[test]
fn all_types_are_read_as_reflection_writes_them() {
    let schema = proto3(
        "message M { double d = 1; float f = 2; int32 i = 3; int64 l = 4; uint32 u = 5; \
         uint64 ul = 6; sint32 s = 7; sint64 sl = 8; fixed32 x = 9; fixed64 xl = 10; \
         sfixed32 y = 11; sfixed64 yl = 12; bool b = 13; string t = 14; bytes by = 15; \
         repeated sint32 p = 16; repeated string r = 17; map<int32, string> m = 18; E e = 300; \
         enum E { Z = 0; ONE = 1; } }",
    );
    let file = compile(&schema_text(&schema)).unwrap();
    let mut message = DynamicMessage::new(file.messages().next().unwrap());
    let mut set = |name: &str, value| message.set_field_by_name(name, value);
    set("d", ProtoValue::F64(-1.5));
    set("f", ProtoValue::F32(2.5));
    set("i", ProtoValue::I32(-3));
    set("l", ProtoValue::I64(i64::MIN));
    set("u", ProtoValue::U32(u32::MAX));
    set("ul", ProtoValue::U64(u64::MAX));
    set("s", ProtoValue::I32(i32::MIN));
    set("sl", ProtoValue::I64(-8));
    set("x", ProtoValue::U32(u32::MAX));
    set("xl", ProtoValue::U64(10));
    set("y", ProtoValue::I32(-11));
    set("yl", ProtoValue::I64(-12));
    set("b", ProtoValue::Bool(true));
    set("t", ProtoValue::String("text".into()));
    set("by", ProtoValue::Bytes(b"\xff".as_slice().into()));
    set("p", ProtoValue::List(vec![ProtoValue::I32(-1), ProtoValue::I32(64)]));
    set("r", ProtoValue::List(vec![ProtoValue::String("a".into())]));
    let key = protox::prost_reflect::MapKey::I32(5);
    set("m", ProtoValue::Map([(key, ProtoValue::String("five".into()))].into()));
    set("e", ProtoValue::EnumNumber(1));
    let bytes = message.encode_to_vec();
    let expected = vec![
        Value::Float64(-1.5),
        Value::Float32(2.5),
        Value::Int32(-3),
        Value::Int64(i64::MIN),
        Value::Int64(u32::MAX.into()),
        Value::Int64(-1),
        Value::Int32(i32::MIN),
        Value::Int64(-8),
        Value::Int64(u32::MAX.into()),
        Value::Int64(10),
        Value::Int32(-11),
        Value::Int64(-12),
        Value::Boolean(true),
        "text".into(),
        Value::Bytes(b"\xff".as_slice().into()),
        Value::Array(vec![Value::Int32(-1), Value::Int32(64)]),
        Value::Array(vec!["a".into()]),
        Value::Map(vec![(Value::Int32(5), "five".into())]),
        "ONE".into(),
    ];
    assert_eq!(fields(&[], &schema, &bytes), expected);
    // The same data, written with the same schema, are the same bytes.
    let mut format = format(&[]);
    let text = schema_text(&schema);
    let compiled = format.compile_reader(&text, None).unwrap();
    let payload = [&[0], &bytes[..]].concat();
    let rows = [Row { schema: compiled, payload: Some(&payload) }];
    let column = format.read(&rows, &mut Vec::new()).unwrap().remove(0);
    let writer = format.compile_writer(column.schema(), &text).unwrap();
    let written = format.write(writer, &column, &format.opening(writer), &mut Vec::new()).unwrap();
    assert_eq!(written.value(0), payload);
}

#[test]
fn what_is_not_there_is_zero_or_null() {
    let schema = proto3(
        "message M { int32 a = 1; optional int32 b = 2; string c = 3; N n = 4; \
         repeated int32 r = 5; map<string, N> m = 6; oneof o { int32 x = 7; } \
         message N { int32 v = 1; } }",
    );
    let values = fields(&[], &schema, b"");
    assert_eq!(values[..3], [Value::Null, Value::Int32(0), Value::Null]);
    assert_eq!(values[3..5], ["".into(), Value::Null]);
    assert_eq!(values[5..], [Value::Array(vec![]), Value::Map(vec![])]);
    const STRUCTS: Keys = &[("generate.struct.for.nulls", "true")];
    assert!(matches!(fields(STRUCTS, &schema, b"")[4], Value::Struct(_)));
    let proto2 = "syntax = \"proto2\"; message M { optional int32 a = 1 [default = 7]; }";
    assert_eq!(fields(&[], proto2, b""), [Value::Null]);
    const OLD: Keys = &[("optional.for.proto2", "false")];
    assert_eq!(fields(OLD, proto2, b""), [Value::Int32(7)]);
    let required = "syntax = \"proto2\"; message M { required int32 a = 1; }";
    assert!(read(required, &[Some(&[0])])[0].as_ref().unwrap_err().contains("required"));
}

#[test]
fn the_last_counts_and_pieces_of_messages_are_merged() {
    let schema = proto3(
        "message M { int32 a = 1; N n = 2; oneof o { int32 x = 3; string y = 4; } \
         map<int32, int32> m = 5; message N { int32 v = 1; repeated int32 w = 2; } }",
    );
    let message = [
        &[0x08, 1, 0x08, 2][..],
        &[0x12, 4, 0x08, 1, 0x10, 5, 0x12, 4, 0x08, 3, 0x10, 6],
        &[0x18, 9, 0x22, 1, b'q'],
        &[0x2a, 4, 8, 1, 16, 1, 0x2a, 4, 8, 2, 16, 2, 0x2a, 4, 8, 1, 16, 3],
        // Unknown: a field, and a known one of another type.
        &[0xf8, 0x07, 1, 0x0d, 0, 0, 0, 0],
    ]
    .concat();
    let values = fields(&[], &schema, &message);
    let part = |value: &Value| match value {
        Value::Struct(s) => s.values().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(part(&values[0]), [Value::Null, "q".into()]);
    assert_eq!(values[1], Value::Int32(2));
    let list = Value::Array(vec![Value::Int32(5), Value::Int32(6)]);
    assert_eq!(part(&values[2]), [Value::Int32(3), list]);
    let entries = [(2, 2), (1, 3)].map(|(k, v)| (Value::Int32(k), Value::Int32(v)));
    assert_eq!(values[3], Value::Map(entries.to_vec()));
}

#[test]
fn a_bad_row_costs_one_row() {
    let schema = proto3(
        "message M { string t = 1; repeated int64 p = 2; N n = 3; \
         google.protobuf.Timestamp at = 4; message N { M2 m = 1; } message M2 { int32 i = 1; } } \
         import \"google/protobuf/timestamp.proto\";",
    );
    let good: &[u8] = &[0, 0x0a, 1, b'g', 0x12, 2, 1, 2, 0x1a, 4, 0x0a, 2, 0x08, 5];
    let deep = [&[0][..], &[0x0b; 10_000]].concat();
    let long = [&[0][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    let bad: [&[u8]; 14] = [
        b"",
        &[1],
        &[2, 0x80],
        &[2, 4],
        &[4, 0, 8],
        &[0xfe, 0xff, 0xff, 0xff, 0x0f],
        &[0, 0x0a],
        &[0, 0x0a, 1, 0xff],
        &[0, 0x12, 2, 1, 0x80],
        &[0, 0x1a, 4, 0x0a, 9, 0x08, 5],
        &[0, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0, 0x22, 6, 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &deep,
        &long,
    ];
    for (i, bad) in bad.into_iter().enumerate() {
        let mut payloads = vec![Some(good); 20];
        payloads[3] = None;
        payloads[7] = Some(bad);
        let values = read(&schema, &payloads);
        assert!(values[7].is_err(), "case {i}");
        for (row, value) in values.iter().enumerate().filter(|(row, _)| *row != 7) {
            assert_eq!(value == &Ok(Value::Null), row == 3, "row {row} {value:?}");
            assert_eq!(*value, values[if row == 3 { 3 } else { 0 }]);
        }
    }
}

#[test]
fn indexes_choose_the_message() {
    let schema = proto3("message A { int32 a = 1; } message B { message C { string c = 1; } }");
    let payloads: [&[u8]; 4] = [&[0, 8, 7], &[2, 0, 8, 7], &[4, 2, 0, 0x0a, 1, b'x'], &[2, 2]];
    let rows = read(&schema, &payloads.map(Some));
    let name = |answer: &Answer| match answer {
        Ok(Value::Struct(s)) => s.schema().name().map(str::to_owned),
        other => panic!("{other:?}"),
    };
    let names: Vec<_> = rows.iter().map(|row| name(row).unwrap()).collect();
    assert_eq!(names, ["A", "A", "C", "B"]);
    // And are written.
    let mut format = format(&[]);
    let inner = Schema::struct_builder().name("B.C").field("c", Schema::string(true)).build();
    let writer = format.compile_writer(Some(&inner), &schema_text(&schema)).unwrap();
    let row = Value::Struct(Struct::new(Arc::clone(&inner), vec!["x".into()]));
    let column = Column::Rows { schema: Some(inner), values: vec![row, Value::Null] };
    assert_eq!(format.opening(writer), [4, 2, 0]);
    let written = format.write(writer, &column, b"#", &mut Vec::new()).unwrap();
    let rows: Vec<_> = written.iter().collect();
    assert_eq!(rows, [Some(&[b'#', 0x0a, 1, b'x'][..]), None]);
}

#[test]
fn what_a_prescribed_schema_requires_is_there() {
    let mut format = format(&[]);
    let connect = Schema::struct_builder()
        .name("M")
        .field("a", Schema::builder(Kind::Int64).optional().build())
        .build();
    let proto2 =
        |fields: &str| schema_text(&format!("syntax = \"proto2\"; message M {{ {fields} }}"));
    let latest = proto2("required int64 a = 1; required int64 b = 2;");
    let error = format.compile_writer(Some(&connect), &latest).unwrap_err();
    assert!(error.to_string().contains("M.b"), "{error}");
    let latest = proto2("required int64 a = 1; optional int64 b = 2;");
    let writer = format.compile_writer(Some(&connect), &latest).unwrap();
    let row = |a| Value::Struct(Struct::new(Arc::clone(&connect), vec![a]));
    let values = vec![row(Value::Int64(0)), row(Value::Null)];
    let column = Column::Rows { schema: Some(Arc::clone(&connect)), values };
    let mut failed = Vec::new();
    let written = format.write(writer, &column, b"", &mut failed).unwrap();
    assert_eq!(written.value(0), [8, 0]);
    assert_eq!(failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [1]);
}

#[test]
fn logical_types_are_messages() {
    let schema = Schema::struct_builder()
        .field("d", Schema::decimal_builder(2).build())
        .field("day", Schema::date_builder().build())
        .field("t", Schema::time_builder().build())
        .field("ts", Schema::timestamp_builder().build())
        .build();
    let decimal = |n: i64| Value::Decimal(Decimal { unscaled: BigInt::from(n), scale: 2 });
    let row = |d: i64, day, t, ts| {
        let values = vec![decimal(d), Value::Date(day), Value::Time(t), Value::Timestamp(ts)];
        Value::Struct(Struct::new(Arc::clone(&schema), values))
    };
    let values = vec![
        row(-12_345, 0, 0, 0),
        row(0, -719_162, 86_399_999, -1),
        row(i64::MAX, 2_932_896, 1, 253_402_300_799_999),
        row(1, 59, 3_600_000, 1_700_000_000_123),
    ];
    let column = Column::from_values(Some(Arc::clone(&schema)), values.clone());
    let written = write_with(&[], &column);
    let payloads: Vec<Option<&[u8]>> =
        written.iter().map(|w| w.as_ref().unwrap().as_deref()).collect();
    let read = read(&text(&schema), &payloads);
    for (read, written) in read.iter().zip(&values) {
        let (Ok(Value::Struct(read)), Value::Struct(written)) = (read, written) else {
            panic!("{read:?}")
        };
        assert_eq!(read.values(), written.values());
    }
    // -123.45: two bytes of number, five digits, two of them after the point; 1970-01-01.
    let message = payloads[0].unwrap();
    assert_eq!(message[1..11], [0x0a, 8, 0x0a, 2, 0xcf, 0xc7, 0x10, 5, 0x18, 2]);
    assert_eq!(message[11..], [0x12, 7, 0x08, 0xb2, 0x0f, 0x10, 1, 0x18, 1, 0x1a, 0, 0x22, 0]);
}

#[test]
fn decimals_take_the_scale_of_their_field_or_fail() {
    let decimal = |scale: &str| {
        proto3(&format!(
            "import \"confluent/type/decimal.proto\"; message M {{ confluent.type.Decimal d = 1 \
             [(confluent.field_meta) = {{ \
             params: [{{ value: \"{scale}\", key: \"scale\" }}] }}]; }}"
        ))
    };
    // 12.50 in every case; and more digits than Arrow holds.
    let payload: &[u8] = &[0, 0x0a, 6, 0x0a, 2, 0x04, 0xe2, 0x18, 2];
    let unscaled = |scale| match read(&decimal(scale), &[Some(payload)]).remove(0) {
        Ok(Value::Struct(s)) => match &s.values()[0] {
            Value::Decimal(d) => Ok(d.unscaled.clone()),
            other => panic!("{other:?}"),
        },
        Ok(other) => panic!("{other:?}"),
        Err(trace) => Err(trace),
    };
    assert_eq!(unscaled("2"), Ok(BigInt::from(1250)));
    assert_eq!(unscaled("3"), Ok(BigInt::from(12_500)));
    assert_eq!(unscaled("1"), Ok(BigInt::from(125)));
    assert!(unscaled("0").unwrap_err().contains("digits after the point"));
    let huge = [&[0, 0x0a, 42, 0x0a, 40][..], &[0x7f; 40]].concat();
    assert!(read(&decimal("0"), &[Some(&huge)])[0].as_ref().unwrap_err().contains("76 digits"));
    assert!(connect_with(&[], &decimal("77")).unwrap_err().contains("between 0 and 76"));
}

#[test]
fn schemas_that_cannot_be_are_refused() {
    let cases = [
        ("message M { M m = 1; }", "recursive"),
        (
            "import \"google/protobuf/struct.proto\"; message M { google.protobuf.Struct s = 1; }",
            "recursive",
        ),
        ("message M { int32 o_0 = 1; oneof o { int32 x = 2; } }", "two fields"),
        ("enum E { A = 0; }", "no message"),
    ];
    for (text, why) in cases {
        let trace = connect_with(&[], &proto3(text)).unwrap_err();
        assert!(trace.contains(why), "{text}: {trace}");
    }
    let levels: String =
        (0..40).map(|i| format!("message L{i} {{ L{0} a = 1; L{0} b = 2; }} ", i + 1)).collect();
    let bomb = proto3(&format!("{levels} message L40 {{ int32 x = 1; }}"));
    assert!(connect_with(&[], &bomb).unwrap_err().contains("too many fields"));
    // What cannot be read is found out once, not with every row.
    let mut known = format(&[]);
    let schema = known.compile_reader(&schema_text(&bomb), None).unwrap();
    let mut failed = Vec::new();
    known.read(&[Row { schema, payload: Some(&[0]) }; 3], &mut failed).unwrap();
    assert_eq!(failed.len(), 3);
    assert!(known.schemas[0].messages[&vec![0]].is_err());
    let nested = Schema::array_builder(Schema::array_builder(Schema::string(true)).build()).build();
    let nested = Schema::struct_builder().field("a", nested).build();
    for schema in [nested, Schema::array_builder(Schema::string(true)).build()] {
        assert!(format(&[]).describe(Some(&schema)).is_err());
    }
    assert!(format(&[]).describe(None).is_err());
}

#[test]
fn primitives_are_wrapper_messages() {
    let schema = Schema::string(true);
    let column = Column::Rows {
        schema: Some(Arc::clone(&schema)),
        values: vec!["a".into(), "".into(), Value::Null],
    };
    let written = write_with(&[], &column);
    assert_eq!(written, [Ok(Some(vec![2, 14, 0x0a, 1, b'a'])), Ok(Some(vec![2, 14])), Ok(None)]);
    let payloads: Vec<Option<&[u8]>> =
        written.iter().map(|w| w.as_ref().unwrap().as_deref()).collect();
    let values = read(&text(&schema), &payloads);
    assert_eq!(values, [Ok("a".into()), Ok("".into()), Ok(Value::Null)]);
}

#[test]
fn rows_that_cannot_be_written_fail_alone() {
    let color = builder(Kind::String)
        .name("Color")
        .parameter(ENUM, "Color")
        .parameter(format!("{ENUM}.RED"), "0")
        .build();
    let list = Schema::array_builder(Schema::string(true)).build();
    let decimal = Schema::decimal_builder(0).optional().build();
    let schema =
        Schema::struct_builder().field("c", color).field("l", list).field("d", decimal).build();
    let row = |color: &str, item: Value, digits: u32| {
        let unscaled = BigInt::from(10).pow(digits);
        let decimal = Value::Decimal(Decimal { unscaled, scale: 0 });
        let values = vec![color.into(), Value::Array(vec![item]), decimal];
        Value::Struct(Struct::new(Arc::clone(&schema), values))
    };
    let good = row("RED", "x".into(), 5);
    let bad = [row("BLUE", "x".into(), 5), row("RED", Value::Null, 5), row("RED", "x".into(), 90)];
    for bad in bad {
        let values = vec![good.clone(), bad, good.clone()];
        let column = Column::Rows { schema: Some(Arc::clone(&schema)), values };
        let written = write_with(&[], &column);
        assert!(written[1].is_err());
        assert!(written[0].is_ok() && written[0] == written[2]);
    }
}

#[test]
fn the_latest_schema_must_read_ours() {
    let format = format(&[]);
    let is_compatible = |ours: &str, latest: &str| {
        let (ours, latest) = (proto3(ours), proto3(latest));
        format.is_compatible(&schema_text(&ours), &schema_text(&latest)).unwrap()
    };
    let message = |fields: &str| format!("message M {{ {fields} }}");
    let ours = message("int32 a = 1; string b = 2;");
    assert!(is_compatible(&ours, &ours));
    assert!(is_compatible(&ours, &message("int64 a = 1;")));
    assert!(!is_compatible(&ours, &message("string a = 1;")));
    assert!(!is_compatible(&ours, &message("repeated int32 a = 1;")));
    assert!(!is_compatible(&ours, "message Other {}"));
}

/// What the wire cannot tell from null, and the schema does not say, is not compared.
fn plain(value: &Value, schema: &Schema) -> Value {
    match value {
        Value::Null => match schema.kind() {
            _ if schema.name().is_some_and(|n| n.starts_with("org.apache")) => Value::Null,
            Kind::Int8 => Value::Int8(0),
            Kind::Int16 => Value::Int16(0),
            Kind::Int32 => Value::Int32(0),
            Kind::Int64 => Value::Int64(0),
            Kind::Float32 => Value::Float32(0.0),
            Kind::Float64 => Value::Float64(0.0),
            Kind::Boolean => Value::Boolean(false),
            Kind::String => "".into(),
            Kind::Bytes => Value::Bytes(Default::default()),
            Kind::Array => Value::Array(vec![]),
            Kind::Map => Value::Map(vec![]),
            Kind::Struct => Value::Null,
        },
        Value::Struct(s) => {
            let fields = s.schema().fields().iter().zip(s.values());
            Value::Array(fields.map(|(field, value)| plain(value, &field.schema)).collect())
        }
        Value::Array(items) => {
            let schema = schema.value_schema().unwrap();
            Value::Array(items.iter().map(|item| plain(item, schema)).collect())
        }
        Value::Map(entries) => {
            let (key, value) = (schema.key_schema().unwrap(), schema.value_schema().unwrap());
            Value::Map(entries.iter().map(|(k, v)| (plain(k, key), plain(v, value))).collect())
        }
        value => value.clone(),
    }
}

/// Arrays of arrays and of maps, maps of those, and keys that are no plain values have no
/// likeness.
fn is_simple(schema: &Schema, inside: bool) -> bool {
    let required = |schema: Option<&SchemaRef>| {
        schema.is_some_and(|schema| !schema.is_optional() && is_simple(schema, true))
    };
    match schema.kind() {
        Kind::Array => !inside && required(schema.value_schema()),
        Kind::Map => {
            let plain = |s: &SchemaRef| {
                !matches!(s.kind(), Kind::Array | Kind::Map | Kind::Struct | Kind::Bytes)
                    && !matches!(s.kind(), Kind::Float32 | Kind::Float64)
                    && s.name().is_none()
            };
            !inside && schema.key_schema().is_some_and(plain) && required(schema.value_schema())
        }
        Kind::Struct => {
            let mut names = std::collections::HashSet::new();
            schema.fields().iter().all(|field| {
                let name = field.name.to_ascii_lowercase().replace('_', "");
                let is_name = field.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && field.name.starts_with(|c: char| c.is_ascii_alphabetic());
                is_name && names.insert(name) && is_simple(&field.schema, false)
            })
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_global_rejects: 100_000,
        ..ProptestConfig::with_cases(48)
    })]

    #[test]
    fn what_is_written_is_read_back(column in Shape::default().bare().struct_columns()) {
        let schema = column.schema().unwrap();
        prop_assume!(is_simple(schema, false) && !schema.fields().is_empty());
        let written = write_with(&[], &column);
        let payloads: Vec<Option<&[u8]>> =
            written.iter().map(|w| w.as_ref().unwrap().as_deref()).collect();
        let text = text(schema);
        let values = read(&text, &payloads);
        for (row, value) in values.iter().enumerate() {
            let written = plain(&column.value(row).unwrap(), schema);
            let value = value.as_ref().unwrap();
            let value = match value {
                Value::Struct(s) => plain(value, &s.schema().clone()),
                value => value.clone(),
            };
            prop_assert_eq!(value, written, "{}", text);
        }
        for form in forms(&column) {
            prop_assert_eq!(&write_with(&[], &form), &written);
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let schema = proto3(
            "message M { string a = 1; repeated M2 b = 2; map<int32, string> c = 3; \
             oneof o { M2 d = 4; sint64 e = 5; } \
             message M2 { repeated fixed32 f = 1; bool g = 2; } }",
        );
        prop_assert_eq!(read(&schema, &[Some(&bytes)]).len(), 1);
    }

    #[test]
    fn any_text_is_a_schema_or_not(text in "(message|enum|oneof|map|[{}<>=;,\"a-c0-3 ]){0,40}") {
        let _ = connect_with(&[], &text);
    }
}

/// Indexes count the messages of the writer's schema; its message is found by name in the other.
#[test]
fn what_was_written_is_read_as_the_message_of_that_name() {
    let written = proto3("message A { string x = 1; } message B { string y = 1; }");
    let wanted = proto3("message New { int32 n = 1; } message A { string z = 1; int32 n = 2; }");
    let mut format = format(&[]);
    let (written, wanted) = (schema_text(&written), schema_text(&wanted));
    let schema = format.compile_resolver(&written, &wanted, Some(7)).unwrap();
    let rows = [&b"\0\x0a\x01a"[..], b"\x02\x02\x0a\x01b"];
    let rows = rows.map(|payload| Row { schema, payload: Some(payload) });
    let mut failed = Vec::new();
    let columns = format.read(&rows, &mut failed).unwrap();
    let read = columns[0].value(0).unwrap().to_string();
    assert_eq!(read, "Struct{z=a,n=0}");
    assert_eq!(columns[0].schema().and_then(|schema| schema.version()), Some(7));
    assert_eq!(failed.len(), 1);
    let said = failed[0].error.trace();
    assert!(failed[0].row == 1 && said.contains("has no message B"), "{said}");
}
