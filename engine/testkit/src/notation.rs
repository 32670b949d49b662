//! Decides how records are written down in the files that Java's answers are recorded in.
//!
//! A schema is a type (`"int64"`; `"int64?"` is optional; `"timestamp"` and `"decimal(2)"` are
//! logical types), or an object with `type` and whatever else it has. A value is what JSON has for
//! null, booleans, strings, int64 and lists, and an object for the others: `{"int32": 5}`,
//! `{"float64": "1.5"}`, `{"map": [[KEY, VALUE]]}`, `{"struct": [a value a field]}`.

use std::sync::Arc;

use arrow::buffer::ScalarBuffer;
use bytes::Bytes;
use millrace_api::data::{
    Column, Decimal, Field, Header, Headers, Kind, MILLIS_A_DAY, Records, Schema, SchemaBuilder,
    SchemaRef, Struct, Value, java_double, java_single, logical,
};
use serde_json::{Map, Value as Json, json};

/// A run of records that share topic, partition and schemas, as rows.
pub fn read_records(written: &[&Json]) -> Records {
    let first = written.first().expect("a run has records");
    let number = |record: &&Json, name: &str| record[name].as_i64();
    let column = |name: &str| {
        let schema = read_schema(&first[name][0]);
        let values = written.iter().map(|record| {
            let value = &record[name][1];
            read_value(schema.as_ref(), value)
        });
        Column::Rows { values: values.collect(), schema: schema.clone() }
    };
    let timestamp = |record| number(record, "timestamp").unwrap_or(Records::NO_TIMESTAMP);
    let offsets: Option<Vec<i64>> = written.iter().map(|record| number(record, "offset")).collect();
    Records {
        topic: first["topic"].as_str().expect("a topic").into(),
        partition: first["partition"].as_i64().map(|p| i32::try_from(p).expect("a partition")),
        key: column("key"),
        value: column("value"),
        timestamps: Some(written.iter().map(timestamp).collect()),
        headers: Headers::from_rows(written.iter().map(|record| read_headers(record)).collect()),
        offsets: offsets.map(ScalarBuffer::from),
        origins: None,
    }
}

fn read_headers(record: &Json) -> Vec<Header> {
    let header = |written: &Json| {
        let schema = read_schema(&written[1]);
        let value = read_value(schema.as_ref(), &written[2]);
        Header { key: written[0].as_str().expect("a name").into(), schema, value }
    };
    record["headers"].as_array().expect("a list").iter().map(header).collect()
}

/// One record of a run.
pub fn write_record(records: &Records, row: usize) -> Json {
    let cell = |column: &Column| {
        let value = column.value(row).expect("what comes out can be read");
        let schema = column.schema();
        json!([write_schema(schema), write_value(schema, &value)])
    };
    let headers = records.headers.row(row).iter().map(|header| {
        let schema = header.schema.as_ref();
        json!([&*header.key, write_schema(schema), write_value(schema, &header.value)])
    });
    let mut written = json!({
        "topic": &*records.topic,
        "partition": records.partition,
        "timestamp": records.timestamp(row),
        "key": cell(&records.key),
        "value": cell(&records.value),
        "headers": headers.collect::<Json>(),
    });
    if let Some(offsets) = &records.offsets {
        written["offset"] = offsets[row].into();
    }
    written
}

fn read_schema(written: &Json) -> Option<SchemaRef> {
    match written {
        Json::Null => None,
        Json::String(word) => Some(builder(word, written).build()),
        _ => {
            let word = written["type"].as_str().expect("a schema has a type");
            Some(with_attributes(builder(word, written), written).build())
        }
    }
}

fn builder(word: &str, written: &Json) -> SchemaBuilder {
    let (name, optional) = word.strip_suffix('?').map_or((word, false), |name| (name, true));
    let of = |part: &str| read_schema(&written[part]).expect("a schema of what it holds");
    let scale = name.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
    let builder = match (name, scale) {
        (_, Some(scale)) => Schema::decimal_builder(scale.parse().expect("a scale")),
        ("date", _) => Schema::date_builder(),
        ("time", _) => Schema::time_builder(),
        ("timestamp", _) => Schema::timestamp_builder(),
        ("array", _) => Schema::array_builder(of("values")),
        ("map", _) => Schema::map_builder(of("keys"), of("values")),
        _ => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name().to_lowercase() == name);
            Schema::builder(kind.unwrap_or_else(|| panic!("a type: {name}")))
        }
    };
    builder.with_optional(optional)
}

fn with_attributes(mut builder: SchemaBuilder, written: &Json) -> SchemaBuilder {
    if let Some(name) = written["name"].as_str() {
        builder = builder.name(name);
    }
    if let Some(version) = written["version"].as_i64() {
        builder = builder.version(i32::try_from(version).expect("a version"));
    }
    if let Some(doc) = written["doc"].as_str() {
        builder = builder.doc(doc);
    }
    for (name, value) in written["parameters"].as_object().into_iter().flatten() {
        builder = builder.parameter(name.as_str(), value.as_str().expect("a text"));
    }
    for field in written["fields"].as_array().into_iter().flatten() {
        let schema = read_schema(&field[1]).expect("a field has a schema");
        builder = builder.field(field[0].as_str().expect("a name"), schema);
    }
    if let Some(default) = written.get("default") {
        let schema = builder.clone().build();
        let default = read_value(Some(&schema), default);
        builder = builder.default_value(default).expect("the default fits");
    }
    builder
}

fn write_schema(schema: Option<&SchemaRef>) -> Json {
    let Some(schema) = schema else {
        return Json::Null;
    };
    let words = [kind_word(schema, false), kind_word(schema, true)];
    let is_primitive = !matches!(schema.kind(), Kind::Array | Kind::Map | Kind::Struct);
    if is_primitive && let Some(word) = words.iter().find(|word| says_all(word, schema)) {
        return word.as_str().into();
    }
    let mut written = Map::new();
    let mut set = |name: &str, value: Json| {
        if !value.is_null() {
            written.insert(name.to_owned(), value);
        }
    };
    set("type", words[0].as_str().into());
    set("name", schema.name().into());
    set("version", schema.version().into());
    set("doc", schema.doc().into());
    if !schema.parameters().is_empty() {
        let pairs = schema.parameters().iter();
        let parameters = pairs.map(|(name, value)| (name.to_string(), Json::from(&**value)));
        set("parameters", Json::Object(parameters.collect()));
    }
    if let Some(default) = schema.default() {
        set("default", write_value(Some(schema), default));
    }
    // Java's parser of header values makes arrays and maps of anything.
    if schema.kind() == Kind::Map {
        written.insert("keys".to_owned(), write_schema(schema.key_schema()));
    }
    if matches!(schema.kind(), Kind::Map | Kind::Array) {
        written.insert("values".to_owned(), write_schema(schema.value_schema()));
    }
    if schema.kind() == Kind::Struct {
        let field = |field: &Field| json!([&*field.name, write_schema(Some(&field.schema))]);
        written.insert("fields".to_owned(), schema.fields().iter().map(field).collect());
    }
    Json::Object(written)
}

fn says_all(word: &str, schema: &Schema) -> bool {
    read_schema(&word.into()).is_some_and(|plain| *plain == *schema)
}

fn kind_word(schema: &Schema, as_logical: bool) -> String {
    let kind = schema.kind().name().to_ascii_lowercase();
    let word = match schema.name().filter(|_| as_logical) {
        Some(logical::DECIMAL) => {
            schema.decimal_scale().map_or(kind, |scale| format!("decimal({scale})"))
        }
        Some(logical::DATE) => "date".to_owned(),
        Some(logical::TIME) => "time".to_owned(),
        Some(logical::TIMESTAMP) => "timestamp".to_owned(),
        _ => kind,
    };
    if schema.is_optional() { word + "?" } else { word }
}

fn read_value(schema: Option<&SchemaRef>, written: &Json) -> Value {
    match written {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Int64(number.as_i64().expect("an int64")),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            let schema = schema.and_then(|schema| schema.value_schema());
            Value::Array(items.iter().map(|item| read_value(schema, item)).collect())
        }
        Json::Object(only) => {
            let (kind, of) = only.iter().next().expect("a value has a kind");
            read_tagged(schema, kind, of)
        }
    }
}

fn read_tagged(schema: Option<&SchemaRef>, kind: &str, of: &Json) -> Value {
    fn narrow<T: TryFrom<i64>>(of: &Json) -> T {
        let number = of.as_i64().and_then(|number| T::try_from(number).ok());
        number.unwrap_or_else(|| panic!("a number in its range: {of}"))
    }
    let text = || of.as_str().expect("a text");
    match kind {
        "int8" => Value::Int8(narrow(of)),
        "int16" => Value::Int16(narrow(of)),
        "int32" => Value::Int32(narrow(of)),
        "date" => Value::Date(narrow(of)),
        "time" => Value::Time(narrow(of)),
        "timestamp" => Value::Timestamp(narrow(of)),
        "float32" => Value::Float32(text().parse().expect("a number")),
        "float64" => Value::Float64(text().parse().expect("a number")),
        "bytes" => {
            let digits = text();
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal");
            Value::Bytes(Bytes::from_iter((0..digits.len()).step_by(2).map(byte)))
        }
        "decimal" => {
            let (unscaled, scale) = text().split_once(':').expect("digits and scale");
            let unscaled = unscaled.parse().expect("digits");
            Value::Decimal(Decimal { unscaled, scale: scale.parse().expect("a scale") })
        }
        "map" => {
            let key = schema.and_then(|schema| schema.key_schema());
            let value = schema.and_then(|schema| schema.value_schema());
            let entries = of.as_array().expect("entries").iter();
            let read = |entry: &Json| (read_value(key, &entry[0]), read_value(value, &entry[1]));
            Value::Map(entries.map(read).collect())
        }
        "struct" => {
            let schema = schema.expect("a struct has a schema");
            let values = schema.fields().iter().zip(of.as_array().expect("values"));
            let read = |(field, value): (&Field, &Json)| read_value(Some(&field.schema), value);
            Value::Struct(Struct::new(Arc::clone(schema), values.map(read).collect()))
        }
        _ => panic!("a kind of value: {kind}"),
    }
}

fn write_value(schema: Option<&SchemaRef>, value: &Value) -> Json {
    let part = |value: &Value| {
        let schema = schema.and_then(|schema| schema.value_schema());
        write_value(schema, value)
    };
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::String(text) => Json::from(&**text),
        Value::Int64(number) => json!(number),
        Value::Int8(number) => json!({"int8": number}),
        Value::Int16(number) => json!({"int16": number}),
        Value::Int32(number) => json!({"int32": number}),
        Value::Float32(number) => json!({"float32": java_single(*number)}),
        Value::Float64(number) => json!({"float64": java_double(*number)}),
        Value::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"bytes": digits})
        }
        Value::Decimal(number) => {
            json!({"decimal": format!("{}:{}", number.unscaled, number.scale)})
        }
        // Without a schema Java cannot tell the three apart.
        Value::Date(days) if schema.is_none() => {
            json!({"timestamp": i64::from(*days) * MILLIS_A_DAY})
        }
        Value::Time(millis) if schema.is_none() => json!({"timestamp": millis}),
        Value::Date(days) => json!({"date": days}),
        Value::Time(millis) => json!({"time": millis}),
        Value::Timestamp(millis) => json!({"timestamp": millis}),
        Value::Array(items) => items.iter().map(part).collect(),
        Value::Map(entries) => {
            let key = schema.and_then(|schema| schema.key_schema());
            let entry = |(k, value): &(Value, Value)| json!([write_value(key, k), part(value)]);
            let mut entries: Vec<Json> = entries.iter().map(entry).collect();
            // Java's hash maps have no order.
            entries.sort_by_cached_key(|entry| entry[0].to_string());
            json!({"map": entries})
        }
        Value::Struct(row) => {
            let values = row.schema().fields().iter().zip(row.values());
            let values = values.map(|(field, value)| write_value(Some(&field.schema), value));
            let mut written = json!({"struct": values.collect::<Json>()});
            if schema != Some(row.schema()) {
                written["schema"] = write_schema(Some(row.schema()));
            }
            written
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{Shape, records, schemaless_columns};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_again(
            records in prop_oneof![
                records(Shape::default().columns()),
                records(schemaless_columns(2)),
            ]
        ) {
            for row in 0..records.len() {
                let written = write_record(&records, row);
                prop_assert_eq!(write_record(&read_records(&[&written]), 0), written);
            }
        }
    }
}
