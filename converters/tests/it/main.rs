//! What every converter must do, run on ours, and Java's configuration keys.
#![allow(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

#[path = "../../../fuzz/src/avro.rs"]
mod fuzzed;
#[path = "../../../fuzz/src/json.rs"]
mod json;
mod keys;
#[path = "../../../fuzz/src/payloads.rs"]
mod payloads;
#[path = "../../../fuzz/src/plain.rs"]
mod plain;
mod wide;

use std::path::Path;
use std::sync::Arc;

use millrace_api::data::{Column, Kind, Schema, SchemaRef, Struct, Value};
use millrace_api::{Plugin, PluginKind, Props};
use millrace_testkit::arbitrary::{self, Shape};
use millrace_testkit::converter_suite;
use millrace_testkit::converter_suite::{Cell, ConverterFixture};
use millrace_testkit::golden::assert_keys_recorded;
use proptest::prelude::*;

fn plugin(class: &str) -> Plugin {
    let mut plugins = millrace_converters::plugins();
    plugins.retain(|p| p.kind() == PluginKind::Converter && p.answers_to(class));
    plugins.remove(0)
}

fn filled(values: Vec<Option<Value>>, schema: SchemaRef) -> Column {
    let values = values.into_iter().map(Option::unwrap_or_default);
    Column::from_values(Some(schema), values.collect())
}

/// Columns of one primitive type, a row in six null.
fn optional(schema: SchemaRef, values: BoxedStrategy<Value>) -> BoxedStrategy<Column> {
    prop::collection::vec(prop::option::weighted(0.84, values), 0..40)
        .prop_map(move |values| filled(values, Arc::clone(&schema)))
        .boxed()
}

struct Strings;

impl ConverterFixture for Strings {
    fn plugin(&self) -> Plugin {
        plugin("StringConverter")
    }

    fn props(&self) -> Props {
        Props::new()
    }

    fn columns(&self) -> BoxedStrategy<Column> {
        let texts = arbitrary::texts().prop_map(|s| Value::from(&*s)).boxed();
        optional(Schema::string(true), texts)
    }

    fn bad_row(&self) -> Option<&'static [u8]> {
        None
    }
}

struct Bytes;

impl ConverterFixture for Bytes {
    fn plugin(&self) -> Plugin {
        plugin("ByteArrayConverter")
    }

    fn props(&self) -> Props {
        Props::new()
    }

    fn columns(&self) -> BoxedStrategy<Column> {
        let bytes = prop::collection::vec(any::<u8>(), 0..30);
        let values = bytes.prop_map(|b| Value::Bytes(b.into())).boxed();
        optional(Schema::bytes(true), values)
    }

    fn bad_row(&self) -> Option<&'static [u8]> {
        None
    }
}

/// A converter of numbers or of booleans, and a length that no value has.
struct Primitive(&'static str, Kind);

impl ConverterFixture for Primitive {
    fn plugin(&self) -> Plugin {
        plugin(self.0)
    }

    fn props(&self) -> Props {
        Props::new()
    }

    fn columns(&self) -> BoxedStrategy<Column> {
        let schema = Schema::builder(self.1).optional().build();
        Shape::default().columns_of(&schema)
    }

    /// Of doubles that are no numbers, all are one.
    fn read_back(&self, (schema, value): Cell) -> Cell {
        match value {
            Value::Float64(n) if n.is_nan() => (schema, Value::Float64(f64::NAN)),
            value => (schema, value),
        }
    }

    fn bad_row(&self) -> Option<&'static [u8]> {
        Some(b"three")
    }
}

struct SchemalessJson;

impl ConverterFixture for SchemalessJson {
    fn plugin(&self) -> Plugin {
        plugin("JsonConverter")
    }

    fn props(&self) -> Props {
        Props::from([("schemas.enable".into(), "false".into())])
    }

    fn columns(&self) -> BoxedStrategy<Column> {
        prop_oneof![
            arbitrary::json_columns(arbitrary::json_texts(3)),
            arbitrary::schemaless_columns(3),
        ]
        .boxed()
    }

    fn read_back(&self, (schema, value): Cell) -> Cell {
        (schema, without_negative_zero(value))
    }

    fn bad_row(&self) -> Option<&'static [u8]> {
        Some(b"{\"a\":1,}")
    }
}

struct EnvelopedJson;

impl ConverterFixture for EnvelopedJson {
    fn plugin(&self) -> Plugin {
        plugin("JsonConverter")
    }

    fn props(&self) -> Props {
        Props::new()
    }

    fn columns(&self) -> BoxedStrategy<Column> {
        Shape::default().finite().bare().columns()
    }

    fn read_back(&self, (schema, value): Cell) -> Cell {
        (schema, without_negative_zero(value))
    }

    fn bad_row(&self) -> Option<&'static [u8]> {
        Some(b"{\"schema\":{\"type\":\"int\"},\"payload\":1}")
    }
}

/// Java reads JSON's numbers through `BigDecimal`, which has none.
fn without_negative_zero(value: Value) -> Value {
    match value {
        Value::Float32(n) => Value::Float32(n + 0.0),
        Value::Float64(n) => Value::Float64(n + 0.0),
        Value::Array(items) => Value::Array(items.into_iter().map(without_negative_zero).collect()),
        Value::Map(entries) => {
            let mut out: Vec<(Value, Value)> = Vec::new();
            for (key, value) in entries {
                let (key, value) = (without_negative_zero(key), without_negative_zero(value));
                match out.iter_mut().find(|(k, _)| *k == key) {
                    Some(entry) => entry.1 = value,
                    None => out.push((key, value)),
                }
            }
            Value::Map(out)
        }
        Value::Struct(s) => {
            let schema = Arc::clone(s.schema());
            let values = s.into_values().into_iter().map(without_negative_zero);
            Value::Struct(Struct::new(schema, values.collect()))
        }
        value => value,
    }
}

converter_suite!(strings, super::Strings);
converter_suite!(bytes, super::Bytes);
converter_suite!(booleans, Primitive("BooleanConverter", Kind::Boolean));
converter_suite!(shorts, Primitive("ShortConverter", Kind::Int16));
converter_suite!(integers, Primitive("IntegerConverter", Kind::Int32));
converter_suite!(longs, Primitive("LongConverter", Kind::Int64));
converter_suite!(floats, Primitive("FloatConverter", Kind::Float32));
converter_suite!(doubles, Primitive("DoubleConverter", Kind::Float64));
converter_suite!(schemaless_json, super::SchemalessJson);
converter_suite!(enveloped_json, super::EnvelopedJson);

#[test]
fn keys_are_javas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration/golden/config");
    let mut compared = 0;
    for plugin in millrace_converters::plugins() {
        if folder.join(format!("{}.json", plugin.class())).exists() {
            assert_keys_recorded(&folder, &plugin);
            compared += 1;
        }
    }
    assert_eq!(compared, 19, "nine classes for both, and one for headers alone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Short and small bytes are whole values more often than others.
    #[test]
    fn avro_payloads_are_read_as_by_apache_avro(
        schema in 0..6_u8,
        payload in prop::collection::vec(prop_oneof![4 => 0..8_u8, 1 => any::<u8>()], 0..40),
    ) {
        fuzzed::avro(&[&[schema][..], &payload].concat());
    }

    /// Pieces of JSON are whole more often than letters.
    #[test]
    fn payloads_of_json_schema_are_read_alone_as_in_columns(
        schema in 0..3_u8,
        pieces in prop::collection::vec(prop::sample::select(&JSON_PIECES[..]), 0..14),
    ) {
        payloads::json_schema(&[&[schema][..], pieces.concat().as_bytes()].concat());
    }

    /// Pieces of JSON are whole more often than letters.
    #[test]
    fn json_is_read_alone_as_among_others(
        schema in 0..5_u8,
        pieces in prop::collection::vec(prop::sample::select(&JSON_PIECES[..]), 0..14),
    ) {
        json::json(&[&[schema][..], pieces.concat().as_bytes()].concat());
    }

    /// Tags, lengths and small numbers look alike.
    #[test]
    fn messages_are_read_alone_as_in_columns(
        schema in 0..3_u8,
        message in prop::collection::vec(prop_oneof![9 => 0..0x60_u8, 1 => any::<u8>()], 0..24),
    ) {
        payloads::protobuf(&[&[schema, 0][..], &message].concat());
    }
}

const JSON_PIECES: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\":",
    "\"b\":",
    "\"c\":",
    "\"d\":",
    "\"e\":",
    "\"x\":1",
    "\"y\":true",
    "null",
    "1",
    "-1.5e3",
    "\"t\"",
    "\"YQ==\"",
    "\"\\u00e9\"",
    " ",
];

/// A decoder by its name.
type Target = (&'static str, fn(&[u8]));

/// What the fuzzer has found to be different.
#[test]
fn corpora_are_read_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let targets: [Target; 4] = [
        ("avro", fuzzed::avro),
        ("json", json::json),
        ("json_schema", payloads::json_schema),
        ("protobuf", payloads::protobuf),
    ];
    for (name, target) in targets {
        let files: Vec<_> = std::fs::read_dir(folder.join(name)).unwrap().collect();
        assert!(files.len() > 100, "{name} has {} inputs", files.len());
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
