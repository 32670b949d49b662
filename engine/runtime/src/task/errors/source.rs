//! Decides how a record of a source is shown: in a log line as Java's `SourceRecord.toString` has
//! it, in a dead letter as JSON.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_api::data::{Column, Header, Schema, SchemaRef, SourceRecords, Value};
use serde_json::{Map, Value as Json, json};

/// Where the record came from, as JSON text.
pub(super) fn partition_text(run: &SourceRecords) -> String {
    text(&Json::Object((*run.source_partition).clone()))
}

/// Where the source goes on after the run, as JSON text.
pub(super) fn offset_text(run: &SourceRecords) -> String {
    text(&offset(run))
}

fn offset(run: &SourceRecords) -> Json {
    run.source_offset.clone().map_or(Json::Null, Json::Object)
}

fn text(value: &Json) -> String {
    serde_json::to_string(value).expect("its keys are texts")
}

/// The key of a dead letter: that of the record as JSON; none where it has none.
pub(super) fn key_text(run: &SourceRecords, row: usize) -> Option<Vec<u8>> {
    let key = &run.records.key;
    (!key.is_null(row)).then(|| text(&cell(key, row)).into_bytes())
}

/// What tells a record from others when it is polled again: not the time, nor the end of the batch
/// that it is in.
pub(super) fn identity_text(run: &SourceRecords, row: usize) -> String {
    let mut record = record(run, row);
    record["timestamp"].take();
    record["sourceOffset"].take();
    text(&record)
}

/// The value of a dead letter: the whole record as it was polled.
pub(super) fn record_text(run: &SourceRecords, row: usize) -> Vec<u8> {
    text(&record(run, row)).into_bytes()
}

fn record(run: &SourceRecords, row: usize) -> Json {
    let records = &run.records;
    let headers = records.headers.row(row).iter().map(|header| {
        let Header { key, schema, value } = header;
        json!({ "key": &**key, "schema": schema_json(schema.as_ref()), "value": json_of(value) })
    });
    json!({
        "topic": &*records.topic,
        "partition": records.partition,
        "timestamp": records.timestamp(row),
        "keySchema": schema_json(records.key.schema()),
        "key": cell(&records.key, row),
        "valueSchema": schema_json(records.value.schema()),
        "value": cell(&records.value, row),
        "headers": headers.collect::<Vec<_>>(),
        "sourcePartition": &*run.source_partition,
        "sourceOffset": offset(run),
    })
}

/// A cell that cannot be read is shown by what is wrong with it: the record has failed anyway.
fn cell(column: &Column, row: usize) -> Json {
    match column.value(row) {
        Ok(value) => json_of(&value),
        Err(error) => json!({ "unreadable": error.to_string() }),
    }
}

/// Numbers that JSON has not become texts, bytes base64, and maps whose keys are no texts pairs, as
/// with `JsonConverter`.
fn json_of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int8(n) => json!(n),
        Value::Int16(n) => json!(n),
        Value::Int32(n) => json!(n),
        Value::Int64(n) => json!(n),
        Value::Float32(n) if n.is_finite() => json!(n),
        Value::Float64(n) if n.is_finite() => json!(n),
        Value::Boolean(b) => json!(b),
        Value::String(s) => json!(&**s),
        Value::Bytes(b) => json!(STANDARD.encode(b)),
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => map_of(entries),
        Value::Struct(fields) => {
            let names = fields.schema().fields().iter().map(|field| field.name.to_string());
            Json::Object(names.zip(fields.values().iter().map(json_of)).collect())
        }
        Value::Decimal(decimal) => json!(decimal.to_plain_string()),
        Value::Date(n) | Value::Time(n) => json!(n),
        Value::Timestamp(n) => json!(n),
        Value::Float32(_) | Value::Float64(_) => json!(value.to_string()),
    }
}

fn map_of(entries: &[(Value, Value)]) -> Json {
    let named = entries.iter().map(|(key, value)| match key {
        Value::String(key) => Some((key.to_string(), json_of(value))),
        _ => None,
    });
    match named.collect::<Option<Map<String, Json>>>() {
        Some(map) => Json::Object(map),
        None => entries.iter().map(|(key, value)| json!([json_of(key), json_of(value)])).collect(),
    }
}

/// Enough to read the values by: names and kinds.
fn schema_json(schema: Option<&SchemaRef>) -> Json {
    let Some(schema) = schema else { return Json::Null };
    let mut json = json!({
        "type": schema.kind().name().to_lowercase(),
        "optional": schema.is_optional(),
    });
    if let Some(name) = schema.name() {
        json["name"] = json!(name);
    }
    if !schema.fields().is_empty() {
        let fields = schema.fields().iter().map(|field| {
            let mut json = schema_json(Some(&field.schema));
            json["field"] = json!(&*field.name);
            json
        });
        json["fields"] = fields.collect();
    }
    json
}

/// A record in a log line.
pub(super) struct Shown<'a>(pub(super) &'a SourceRecords, pub(super) usize);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(run, row) = *self;
        let (records, value) =
            (&run.records, |column: &Column| column.value(row).unwrap_or(Value::Null));
        let offset = run.source_offset.as_ref();
        write!(
            f,
            "SourceRecord{{sourcePartition={}, sourceOffset={}}} ConnectRecord{{topic='{}', \
             kafkaPartition={}, key={}, keySchema={}, value={}, valueSchema={}, timestamp={}, \
             headers=ConnectHeaders(headers=",
            JavaMap(Some(&*run.source_partition)),
            JavaMap(offset),
            records.topic,
            OrNull(records.partition),
            value(&records.key),
            OrNull(records.key.schema().map(|schema| JavaSchema(schema))),
            value(&records.value),
            OrNull(records.value.schema().map(|schema| JavaSchema(schema))),
            OrNull(records.timestamp(row)),
        )?;
        let headers = records.headers.row(row);
        for (i, Header { key, schema, value }) in headers.iter().enumerate() {
            let schema = OrNull(schema.as_ref().map(|schema| JavaSchema(schema)));
            let before = if i == 0 { "[" } else { ", " };
            write!(f, "{before}ConnectHeader(key={key}, value={value}, schema={schema})")?;
        }
        f.write_str(if headers.is_empty() { ")}" } else { "])}" })
    }
}

struct OrNull<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// `ConnectSchema.toString`.
struct JavaSchema<'a>(&'a Schema);

impl fmt::Display for JavaSchema<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.kind().name();
        match self.0.name() {
            Some(name) => write!(f, "Schema{{{name}:{kind}}}"),
            None => write!(f, "Schema{{{kind}}}"),
        }
    }
}

/// A map of plain values, as Java prints it.
struct JavaMap<'a>(Option<&'a Map<String, Json>>);

impl fmt::Display for JavaMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(map) = self.0 else { return f.write_str("null") };
        f.write_str("{")?;
        for (i, (key, value)) in map.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match value {
                Json::String(text) => write!(f, "{comma}{key}={text}")?,
                value => write!(f, "{comma}{key}={value}")?,
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millrace_api::data::{Headers, Kind, Records, Struct};

    use super::*;

    fn run() -> SourceRecords {
        let schema = Schema::struct_builder()
            .name("Order")
            .field("id", Schema::builder(Kind::Int64).build())
            .field("price", Schema::builder(Kind::Float64).optional().build())
            .build();
        let row = |id, price| Value::Struct(Struct::new(Arc::clone(&schema), vec![id, price]));
        let values =
            vec![row(Value::Int64(7), Value::Float64(f64::NAN)), row(Value::Int64(8), Value::Null)];
        let mut records =
            Records::new("orders", Column::Rows { schema: Some(Arc::clone(&schema)), values });
        let keys = vec![Value::Bytes(vec![1, 255].into()), Value::Null];
        records.key = Column::Rows { schema: None, values: keys };
        records.timestamps = Some(vec![5, Records::NO_TIMESTAMP].into());
        let header =
            Header { key: "h".into(), schema: Some(Schema::string(false)), value: "v".into() };
        records.headers = Headers::from_rows(vec![vec![header], Vec::new()]);
        let object = |json: Json| json.as_object().unwrap().clone();
        SourceRecords {
            records,
            source_partition: Arc::new(object(json!({ "table": "orders" }))),
            source_offset: Some(object(json!({ "id": 8 }))),
        }
    }

    #[test]
    fn a_record_is_json_that_can_be_read_again() {
        let read = |row| serde_json::from_slice::<Json>(&record_text(&run(), row)).unwrap();
        let first = read(0);
        assert_eq!(first["value"], json!({ "id": 7, "price": "NaN" }));
        assert_eq!((&first["key"], &first["timestamp"]), (&json!("Af8="), &json!(5)));
        assert_eq!(first["valueSchema"]["fields"][1]["field"], "price");
        assert_eq!(first["headers"][0]["value"], "v");
        assert_eq!(first["sourcePartition"], json!({ "table": "orders" }));
        assert_eq!(first["sourceOffset"], json!({ "id": 8 }));
        assert!(read(1)["timestamp"].is_null() && key_text(&run(), 1).is_none());
    }

    #[test]
    fn a_log_line_shows_it_as_java_does() {
        assert_eq!(
            Shown(&run(), 1).to_string(),
            "SourceRecord{sourcePartition={table=orders}, sourceOffset={id=8}} \
             ConnectRecord{topic='orders', kafkaPartition=null, key=null, keySchema=null, \
             value=Struct{id=8}, valueSchema=Schema{Order:STRUCT}, timestamp=null, \
             headers=ConnectHeaders(headers=)}"
        );
        let first = Shown(&run(), 0).to_string();
        let header = "headers=[ConnectHeader(key=h, value=v, schema=Schema{STRING})])}";
        assert!(first.ends_with(header), "{first}");
    }
}
