//! Which records become rows, and which columns they have: modes of the key, values of every type,
//! records that cannot be written.

use millrace_api::data::{Column, Decimal, Kind, Schema, SchemaRef, Struct, Value};
use millrace_testkit::plugin_host::run;

use crate::sink_host::{Sink, int_keys, records, records_of, schema, sink_props, structs};
use crate::sink_sqlite::{order, orders, query};
use crate::sqlite::File;

/// The table after one put into an empty database, and what was reported.
async fn stored(more: &[(&str, &str)], key: Column, value: Column) -> (String, String) {
    let file = File::new("").await;
    let mut all = vec![("auto.create", "true"), ("auto.evolve", "true")];
    all.extend(more);
    let mut sink = Sink::reporting(&sink_props(&file.url(), &all)).await;
    sink.write(&[records(0, key, value)]).await;
    let tables = query(&file, "SELECT name FROM sqlite_schema WHERE type = 'table'").await;
    let mut text = String::new();
    for table in tables.split(';').filter(|name| !name.is_empty()) {
        let columns = format!(
            "SELECT group_concat(name || iif(pk, '*', '')) FROM pragma_table_info('{table}')"
        );
        let columns = query(&file, &columns).await;
        let rows = query(&file, &format!("SELECT * FROM \"{table}\" ORDER BY rowid")).await;
        text.push_str(&format!("{table}({columns}) {rows}"));
    }
    (text, sink.reports.text())
}

#[test]
fn keys_of_every_mode() {
    run(async {
        let struct_key = schema(&[("z", Kind::String, false), ("id", Kind::Int32, false)]);
        let struct_keys = || structs(&struct_key, vec![Some(vec!["k".into(), Value::Int32(9)])]);
        let value = || orders(&[(1, "a")]);
        let check = async |more: &[(&str, &str)], key: Column, expected: &str| {
            let (table, reported) = stored(more, key, value()).await;
            assert_eq!((table.as_str(), reported.as_str()), (expected, ""), "{more:?}");
        };
        check(&[], Column::nulls(1), "orders(id,name) 1|a").await;
        let kafka = "orders(__connect_topic*,__connect_partition*,__connect_offset*,id,name) \
                     orders|0|0|1|a";
        check(&[("pk.mode", "kafka")], Column::nulls(1), kafka).await;
        let named = [("pk.mode", "KAFKA"), ("pk.fields", "t,p,o")];
        check(&named, Column::nulls(1), "orders(t*,p*,o*,id,name) orders|0|0|1|a").await;
        let key = [("pk.mode", "record_key")];
        // The key's field of a name is written, in the place of the value's.
        check(&key, struct_keys(), "orders(id*,name,z*) 9|a|k").await;
        let one = [("pk.mode", "record_key"), ("pk.fields", "z")];
        check(&one, struct_keys(), "orders(id,name,z*) 1|a|k").await;
        check(
            &[("pk.mode", "record_key"), ("pk.fields", "no")],
            int_keys(&[7]),
            "orders(id,name,no*) 1|a|7",
        )
        .await;
        let value_key = [("pk.mode", "record_value"), ("pk.fields", "name")];
        check(&value_key, Column::nulls(1), "orders(id,name*) 1|a").await;
        check(&[("pk.mode", "record_value")], Column::nulls(1), "orders(id*,name*) 1|a").await;
        let listed = [("fields.whitelist", "name"), ("pk.mode", "record_key"), ("pk.fields", "id")];
        check(&listed, int_keys(&[7]), "orders(id*,name) 7|a").await;
    });
}

#[test]
fn records_that_cannot_be_rows_are_reported_alone() {
    run(async {
        let check = async |more: &[(&str, &str)], key: Column, value: Column, parts: &[&str]| {
            let (table, reported) = stored(more, key, value).await;
            assert!(table.is_empty(), "{table}");
            for part in
                [parts, &["DataException", "topic: orders", "partition: 0", "offset: 0"]].concat()
            {
                assert!(reported.contains(part), "{part}: {reported}");
            }
        };
        let value = || orders(&[(1, "a")]);
        let by_key = [("pk.mode", "record_key"), ("pk.fields", "k")];
        check(&by_key, Column::nulls(1), value(), &["needs a key with a schema"]).await;
        let null = Column::from_values(Some(Schema::string(true)), vec![Value::Null]);
        check(&by_key, null, value(), &["there is none"]).await;
        let two = [("pk.mode", "record_key"), ("pk.fields", "a,b")];
        check(&two, int_keys(&[1]), value(), &["exactly one PK column", "[a, b]"]).await;
        let unknown = [("pk.mode", "record_value"), ("pk.fields", "nope")];
        check(&unknown, Column::nulls(1), value(), &["has not", "field: nope"]).await;
        let plain = Column::Json(arrow::array::StringViewArray::from(vec![r#"{"id":1}"#]));
        check(&[], Column::nulls(1), plain, &["no schema", "schemas.enable=true"]).await;
        let none = structs(&order(), vec![None]);
        check(&[], Column::nulls(1), none, &["delete.enabled=true"]).await;
        let number =
            Column::from_values(Some(Schema::builder(Kind::Int32).build()), vec![Value::Int32(1)]);
        check(&[], Column::nulls(1), number, &["HoistField", "value: INT32"]).await;
        let inner = Schema::struct_builder().field("deep", order()).build();
        let deep = Value::Struct(Struct::new(order(), vec![Value::Int32(1), Value::Null]));
        let nested = structs(&inner, vec![Some(vec![deep])]);
        check(&[], Column::nulls(1), nested, &["no type for a field", "field: deep", "Flatten"])
            .await;
        let decimal = Schema::decimal_builder(200_000_000).with_optional(true).build();
        let small = Decimal { unscaled: 1.into(), scale: 200_000_000 };
        let decimals = Schema::struct_builder().field("n", decimal).build();
        let decimals = structs(&decimals, vec![Some(vec![Value::Decimal(small)])]);
        check(&[], Column::nulls(1), decimals, &["field: n", "scale: 200000000"]).await;
        let nothing = [("fields.whitelist", "other")];
        check(&nothing, Column::nulls(1), value(), &["no field", "fields.whitelist"]).await;
        let upsert =
            [("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "name")];
        let no_name = structs(&order(), vec![Some(vec![Value::Int32(1), Value::Null])]);
        check(&upsert, Column::nulls(1), no_name, &["field of the key is null", "field: name"])
            .await;
    });
}

#[test]
fn only_the_records_at_fault_are_reported() {
    run(async {
        let file =
            File::new("CREATE TABLE orders (k INTEGER PRIMARY KEY, id INT, name TEXT)").await;
        let more = [("pk.mode", "record_key"), ("pk.fields", "k")];
        let mut sink = Sink::reporting(&sink_props(&file.url(), &more)).await;
        let row = |id: i32| Some(vec![Value::Int32(id), "x".into()]);
        let values =
            structs(&order(), (0..40).map(|i| if i % 7 == 3 { None } else { row(i) }).collect());
        let keys =
            (0..40).map(|i| if i % 11 == 5 { Value::Null } else { Value::Int32(i) }).collect();
        let keys = Column::from_values(Some(Schema::builder(Kind::Int32).optional().build()), keys);
        sink.write(&[records(100, keys, values)]).await;
        let bad: Vec<i64> =
            (0..40).filter(|i| i % 7 == 3 || i % 11 == 5).map(|i| i + 100).collect();
        let mut reported = sink.reports.offsets();
        reported.sort_unstable();
        assert_eq!(reported, bad);
        let left = query(&file, "SELECT count(*), sum(id) FROM orders WHERE k = id").await;
        let good: Vec<i64> = (0..40).filter(|i| i % 7 != 3 && i % 11 != 5).collect();
        assert_eq!(left, format!("{}|{}", good.len(), good.iter().sum::<i64>()));
    });
}

#[test]
fn plain_texts_go_into_a_column_of_their_own() {
    run(async {
        let text = || Column::from_values(Some(Schema::string(false)), vec!["hi".into()]);
        let (table, _) = stored(&[], Column::nulls(1), text()).await;
        assert_eq!(table, "orders(record_value) hi");
        let more = [
            ("string.output.value.column.name", "body"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
        ];
        let (table, _) = stored(&more, int_keys(&[3]), text()).await;
        assert_eq!(table, "orders(body,id*) hi|3");
        let (table, reported) =
            stored(&[("fields.whitelist", "x")], Column::nulls(1), text()).await;
        assert!(table.is_empty() && reported.contains("plain STRING"), "{table} {reported}");
    });
}

fn decimal(text: &str, scale: i32) -> Value {
    Value::Decimal(Decimal { unscaled: text.parse().unwrap(), scale })
}

#[test]
fn values_of_every_type() {
    run(async {
        let fields: Vec<(&str, SchemaRef, Value)> = vec![
            ("i8", Schema::builder(Kind::Int8).build(), Value::Int8(-8)),
            ("i16", Schema::builder(Kind::Int16).build(), Value::Int16(-16)),
            ("i64", Schema::builder(Kind::Int64).build(), Value::Int64(i64::MIN)),
            ("f32", Schema::builder(Kind::Float32).build(), Value::Float32(0.5)),
            ("f64", Schema::builder(Kind::Float64).build(), Value::Float64(0.1)),
            ("yes", Schema::builder(Kind::Boolean).build(), Value::Boolean(true)),
            ("text", Schema::string(false), "Zoé 'x'".into()),
            ("raw", Schema::bytes(false), Value::Bytes(vec![0x4f, 0x4b].into())),
            ("day", Schema::date_builder().build(), Value::Date(-1)),
            ("clock", Schema::time_builder().build(), Value::Time(1500)),
            ("at", Schema::timestamp_builder().build(), Value::Timestamp(1_700_000_000_123)),
            ("price", Schema::decimal_builder(2).build(), decimal("1999", 2)),
            ("none", Schema::string(true), Value::Null),
        ];
        let add = |builder: millrace_api::data::SchemaBuilder, f: &(&str, SchemaRef, Value)| {
            builder.field(f.0, f.1.clone())
        };
        let schema = fields.iter().fold(Schema::struct_builder(), add).build();
        let expected = "orders(i8,i16,i64,f32,f64,yes,text,raw,day,clock,at,price,none) \
                        -8|-16|-9223372036854775808|0.5|0.1|1|Zoé 'x'|OK|-86400000|1500|\
                        1700000000123|19.99|NULL";
        let row: Vec<Value> = fields.iter().map(|f| f.2.clone()).collect();
        // One row goes as values, many as columns.
        for rows in [1, 40] {
            let values = structs(&schema, vec![Some(row.clone()); rows]);
            let (table, reported) = stored(&[], Column::nulls(rows), values).await;
            assert_eq!(reported, "");
            let rows =
                vec![expected.split(' ').skip(1).collect::<Vec<_>>().join(" "); rows].join(";");
            assert_eq!(table, format!("{} {rows}", expected.split(' ').next().unwrap()));
        }
    });
}

#[test]
fn numbers_that_arrow_cannot_hold() {
    run(async {
        let schema = Schema::struct_builder()
            .field("id", Schema::builder(Kind::Int32).build())
            .field("n", Schema::decimal_builder(0).optional().build())
            .build();
        let big = "9".repeat(100);
        let row = |id, n| Some(vec![Value::Int32(id), n]);
        let rows = vec![row(1, decimal("5", 0)), row(2, decimal(&big, 0)), row(3, Value::Null)];
        let file = File::new("CREATE TABLE orders (id INT, n TEXT)").await;
        let mut sink = Sink::strict(&sink_props(&file.url(), &[])).await;
        let small = structs(&schema, vec![row(0, decimal("7", 0)); 20]);
        sink.write(&[
            records(0, Column::nulls(20), small),
            records(20, Column::nulls(3), structs(&schema, rows)),
        ])
        .await;
        let expected = format!("0|7;1|5;2|{big};3|NULL");
        assert_eq!(query(&file, "SELECT DISTINCT * FROM orders ORDER BY id").await, expected);
    });
}

#[test]
fn defaults_stand_for_null_or_not() {
    run(async {
        let name = Schema::builder(Kind::String).optional();
        let name = name.default_value("it's".into()).unwrap().build();
        let schema = Schema::struct_builder()
            .field("id", Schema::builder(Kind::Int32).build())
            .field("name", name)
            .build();
        let row = |id, name| Some(vec![Value::Int32(id), name]);
        let values = || structs(&schema, vec![row(1, Value::Null), row(2, "x".into())]);
        let (table, _) = stored(&[], Column::nulls(2), values()).await;
        assert_eq!(table, "orders(id,name) 1|it's;2|x");
        let more = [("replace.null.with.default", "false")];
        let (table, _) = stored(&more, Column::nulls(2), values()).await;
        assert_eq!(table, "orders(id,name) 1|NULL;2|x");
    });
}

#[test]
fn numbers_and_texts_are_written_as_times() {
    run(async {
        let schema = schema(&[("a", Kind::Int64, true), ("b", Kind::String, true)]);
        let more = [("timestamp.fields.list", "a,b")];
        let row = vec![Value::Int64(1_500_000), "1970-01-01T00:00:02Z".into()];
        let values =
            || structs(&schema, vec![Some(row.clone()), Some(vec![Value::Null, Value::Null])]);
        let (table, reported) = stored(&more, Column::nulls(2), values()).await;
        assert_eq!((table.as_str(), reported.as_str()), ("orders(a,b) 1500|2000;NULL|NULL", ""));
        let nanos = [more[0], ("timestamp.precision.mode", "nanoseconds")];
        let (table, _) = stored(&nanos, Column::nulls(2), values()).await;
        assert_eq!(table, "orders(a,b) 1|2000;NULL|NULL");
        let bad = structs(&schema, vec![Some(vec![Value::Null, "soon".into()])]);
        let (_, reported) = stored(&more, Column::nulls(1), bad).await;
        assert!(reported.contains("ISO 8601") && reported.contains("field: b"), "{reported}");
    });
}

#[test]
fn topics_choose_tables() {
    run(async {
        let file = File::new("").await;
        let more = [
            ("auto.create", "true"),
            ("table.name.format", "t_${topic}"),
            ("table.name.map", r"db[.](\w+):${1}_copy"),
        ];
        let mut sink = Sink::strict(&sink_props(&file.url(), &more)).await;
        let value = || orders(&[(1, "a")]);
        let runs = [
            records_of("x", 0, Column::nulls(1), value()),
            records_of("db.y", 1, Column::nulls(1), value()),
        ];
        sink.write(&runs).await;
        let tables = query(&file, "SELECT name FROM sqlite_schema ORDER BY 1").await;
        assert_eq!(tables, "t_x;y_copy");
        let mut sink = Sink::reporting(&sink_props(&file.url(), &[])).await;
        sink.write(&[records_of("a.b", 2, Column::nulls(1), value())]).await;
        assert!(sink.reports.text().contains("table.name.map"), "{}", sink.reports.text());
    });
}
