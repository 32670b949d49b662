//! The sink under Debezium's name: its keys, and change events as they come from Debezium.

use std::sync::Arc;

use millrace_api::data::{Column, Kind, Schema, SchemaRef, Struct, Value};
use millrace_api::{Plugin, Props, SinkContext};
use millrace_testkit::plugin_host::run;

use crate::sink_host::{Sink, int_keys, records_of, schema, structs};
use crate::sink_sqlite::query;
use crate::sqlite::File;

fn debezium() -> Plugin {
    let mut plugins = millrace_jdbc::plugins().into_iter();
    let class = "io.debezium.connector.jdbc.JdbcSinkConnector";
    plugins.find(|p| p.class() == class).expect("the plugin is there")
}

fn props(url: &str, more: &[(&str, &str)]) -> Props {
    let pairs = [("connection.url", url), ("batch.linger.ms", "0")];
    pairs.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

async fn sink(props: &Props) -> Sink {
    let plugin = debezium();
    assert_eq!(plugin.validate(props).len(), 0, "{:?}", plugin.validate(props));
    Sink::of(&plugin, props, SinkContext::new("a'sink", None), Arc::default()).await
}

fn envelope(row: &SchemaRef) -> SchemaRef {
    Schema::struct_builder()
        .name("shop.public.orders.Envelope")
        .field("before", row.clone())
        .field("after", row.clone())
        .field("op", Schema::string(false))
        .build()
}

fn row() -> SchemaRef {
    let plain = schema(&[("id", Kind::Int32, false), ("name", Kind::String, true)]);
    let builder = Schema::struct_builder().optional();
    plain.fields().iter().fold(builder, |b, f| b.field(&*f.name, f.schema.clone())).build()
}

/// An event: what was done, and the name of the row afterwards.
fn event(op: &str, id: i32, name: Option<&str>) -> Vec<Value> {
    let row = row();
    let of =
        |name: &str| Value::Struct(Struct::new(row.clone(), vec![Value::Int32(id), name.into()]));
    let after = name.map_or(Value::Null, of);
    let before = if op == "c" { Value::Null } else { of("before") };
    vec![before, after, op.into()]
}

/// Created, read, updated, deleted with its tombstone, and a table that is emptied: as a run that
/// is columns, or one that is rows.
fn events(repeats: usize) -> (Column, Column) {
    let mut values = Vec::new();
    let mut keys = Vec::new();
    for _ in 0..repeats {
        values.extend([
            Some(event("c", 1, Some("a"))),
            Some(event("r", 2, Some("b"))),
            Some(event("u", 1, Some("a2"))),
            Some(event("d", 2, None)),
            None,
            Some(event("t", 0, None)),
        ]);
        keys.extend([1, 2, 1, 2, 2, 0]);
    }
    let schema = envelope(&row());
    let builder = Schema::struct_builder().optional();
    let fields = schema.fields().iter();
    let optional = fields.fold(builder, |b, f| b.field(&*f.name, f.schema.clone())).build();
    (int_keys(&keys), structs(&optional, values))
}

const KEYED: [(&str, &str); 5] = [
    ("insert.mode", "upsert"),
    ("primary.key.mode", "record_key"),
    ("primary.key.fields", "id"),
    ("schema.evolution", "basic"),
    ("connection.username", "any"),
];

#[test]
fn change_events_become_rows() {
    run(async {
        for repeats in [1, 8] {
            let (keys, values) = events(repeats);
            assert_eq!(matches!(values, Column::Typed { .. }), repeats > 1);
            let file = File::new("").await;
            let more = [&KEYED[..], &[("delete.enabled", "true")]].concat();
            let mut sink = sink(&props(&file.url(), &more)).await;
            sink.write(&[records_of("shop.public.orders", 0, keys, values)]).await;
            let all = "SELECT * FROM shop_public_orders ORDER BY id";
            assert_eq!(query(&file, all).await, "1|a2", "{repeats}");
        }
    });
}

#[test]
fn deletes_are_passed_over_unless_they_are_wanted() {
    run(async {
        let file = File::new("").await;
        let mut sink = sink(&props(&file.url(), &KEYED)).await;
        let (keys, values) = events(1);
        sink.write(&[records_of("orders", 0, keys, values)]).await;
        // Nothing but deletes.
        let values = structs(&envelope(&row()), vec![Some(event("d", 2, None))]);
        sink.write(&[records_of("orders", 6, int_keys(&[2]), values)]).await;
        assert_eq!(query(&file, "SELECT * FROM orders ORDER BY id").await, "1|a2;2|b");
    });
}

#[test]
fn rows_that_were_unwrapped_before_are_taken_as_they_are() {
    run(async {
        let file = File::new("").await;
        let mut sink = sink(&props(&file.url(), &KEYED)).await;
        let values = structs(&row(), vec![Some(vec![Value::Int32(7), "x".into()]), None]);
        sink.write(&[records_of("orders", 0, int_keys(&[7, 8]), values)]).await;
        assert_eq!(query(&file, "SELECT * FROM orders").await, "7|x");
    });
}

#[test]
fn debeziums_types_are_dates_and_times() {
    run(async {
        let of = |kind, name: &str| Schema::builder(kind).name(name).optional().build();
        let fields = [
            ("d", Kind::Int32, "io.debezium.time.Date", Value::Int32(1)),
            ("t", Kind::Int32, "io.debezium.time.Time", Value::Int32(1500)),
            ("ms", Kind::Int64, "io.debezium.time.Timestamp", Value::Int64(1500)),
            ("us", Kind::Int64, "io.debezium.time.MicroTimestamp", Value::Int64(2_500_000)),
            ("ns", Kind::Int64, "io.debezium.time.NanoTimestamp", Value::Int64(3_500_000_000)),
            (
                "z",
                Kind::String,
                "io.debezium.time.ZonedTimestamp",
                "1970-01-01T01:00:04+01:00".into(),
            ),
        ];
        let schema = fields.iter().fold(Schema::struct_builder(), |builder, field| {
            let (name, kind, schema, _) = field;
            builder.field(*name, of(*kind, schema))
        });
        let schema = schema.build();
        let row: Vec<Value> = fields.iter().map(|(_, _, _, value)| value.clone()).collect();
        let file = File::new("").await;
        let more = [("schema.evolution", "basic")];
        let mut sink = sink(&props(&file.url(), &more)).await;
        let nulls = vec![Value::Null; fields.len()];
        let values = structs(&schema, vec![Some(row), Some(nulls)]);
        sink.write(&[records_of("moments", 0, Column::nulls(2), values)]).await;
        let stored = query(&file, "SELECT * FROM moments").await;
        assert_eq!(stored, "86400000|1500|1500|2500|3500|4000;NULL|NULL|NULL|NULL|NULL|NULL");
        let types = "SELECT group_concat(type) FROM pragma_table_info('moments')";
        let types = query(&file, types).await;
        assert!(!types.contains("INT") && !types.contains("TEXT"), "{types}");
    });
}

#[test]
fn problems_are_told_in_debeziums_words() {
    let check = |more: &[(&str, &str)], key: &str, message: &str| {
        let found = debezium().validate(&props("jdbc:sqlite:x", more));
        let is_told = found.iter().any(|p| p.key == key && p.message.contains(message));
        assert!(is_told, "{key}: {found:?}");
    };
    check(&[("insert.mode", "upsert")], "primary.key.mode", "set primary.key.mode");
    check(&[("primary.key.mode", "record_header")], "primary.key.mode", "record_key");
    check(&[("truncate.enabled", "true")], "truncate.enabled", "passed over");
    check(&[("field.exclude.list", "a")], "field.exclude.list", "ReplaceField");
    check(&[("field.include.list", "t:a")], "field.include.list", "connector of its own");
    check(&[("collection.name.format", "${source.table}")], "collection.name.format", "map");
    check(&[("use.time.zone", "Nowhere")], "use.time.zone", "Nowhere");
    let def = debezium().config_def();
    for (key, default) in
        [("batch.size", "500"), ("flush.max.retries", "5"), ("quote.identifiers", "false")]
    {
        assert_eq!(def.get(key).unwrap().default.as_ref().unwrap().to_string(), default, "{key}");
    }
    for key in ["pk.mode", "auto.create", "max.retries", "date.timezone", "connection.user"] {
        assert!(def.get(key).is_none(), "{key}");
    }
}
