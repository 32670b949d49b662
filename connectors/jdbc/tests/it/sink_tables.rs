//! Tables that are missing, lack columns, or change while they are written to.

use millrace_api::data::{Column, Kind, Schema, Value};
use millrace_testkit::plugin_host::run;

use crate::sink_host::{Sink, int_keys, records, schema, sink_props, structs};
use crate::sink_sqlite::{order, orders, query};
use crate::sqlite::File;

const CREATE: [(&str, &str); 2] = [("auto.create", "true"), ("auto.evolve", "true")];

#[test]
fn what_must_be_done_by_hand_is_said() {
    run(async {
        let check = async |setup: &str, more: &[(&str, &str)], parts: &[&str]| {
            let file = File::new(setup).await;
            let props = sink_props(&file.url(), more);
            let record = [records(0, Column::nulls(1), orders(&[(1, "a")]))];
            let text = Sink::strict(&props).await.fail(&record).await;
            for part in parts {
                assert!(text.contains(part), "{part}: {text}");
            }
            let mut lenient = Sink::reporting(&props).await;
            lenient.write(&record).await;
            assert_eq!(lenient.reports.offsets(), [0]);
        };
        let missing = [
            "auto.create=false",
            "CREATE TABLE `orders` (\n`id` INTEGER NOT NULL,\n`name` TEXT NULL)",
        ];
        check("", &[], &missing).await;
        check(
            "CREATE VIEW orders AS SELECT 1 AS id, 2 AS name",
            &CREATE[1..],
            &["table.types (TABLE)"],
        )
        .await;
        let narrow = "CREATE TABLE orders (id INT)";
        let column =
            ["auto.evolve=false", "ALTER TABLE `orders` ADD `name` TEXT NULL", "table: orders"];
        check(narrow, &[], &column).await;
        let required = "CREATE TABLE orders (name INT)";
        check(required, &CREATE, &["not optional", "field: id", "ALTER TABLE"]).await;
        let view = "CREATE TABLE o (id INT); CREATE VIEW orders AS SELECT * FROM o";
        check(view, &[CREATE[1], ("table.types", "TABLE,VIEW")], &["a view lacks", "name"]).await;
    });
}

#[test]
fn columns_are_found_whatever_their_case() {
    run(async {
        let file = File::new("CREATE TABLE Orders (ID INT, \"name\" TEXT, NAME2 TEXT)").await;
        let mut sink = Sink::strict(&sink_props(&file.url(), &CREATE)).await;
        sink.write(&[records(0, Column::nulls(1), orders(&[(1, "a")]))]).await;
        assert_eq!(query(&file, "SELECT * FROM orders").await, "1|a|NULL");
        let twins = schema(&[("id", Kind::Int32, false), ("ID", Kind::Int32, false)]);
        let row = structs(&twins, vec![Some(vec![Value::Int32(1), Value::Int32(2)])]);
        let text = sink.fail(&[records(1, Column::nulls(1), row)]).await;
        // `ID` is a column of this very name, and `id` is no other.
        assert!(text.contains("two fields go to one column"), "{text}");
    });
}

#[test]
fn defaults_become_those_of_columns() {
    run(async {
        let file = File::new("CREATE TABLE orders (id INT)").await;
        let with = |kind, value: Value| Schema::builder(kind).default_value(value).unwrap().build();
        let schema = Schema::struct_builder()
            .field("id", Schema::builder(Kind::Int32).build())
            .field("n", with(Kind::Int32, Value::Int32(-5)))
            .field("t", with(Kind::String, "it's; DROP TABLE orders --".into()))
            .field("b", with(Kind::Boolean, Value::Boolean(true)))
            .field("x", with(Kind::Bytes, Value::Bytes(vec![0, 255].into())))
            .field("d", Schema::date_builder().default_value(Value::Date(1)).unwrap().build())
            .build();
        file.execute("INSERT INTO orders VALUES (1)").await;
        let mut sink = Sink::strict(&sink_props(&file.url(), &CREATE)).await;
        let row = vec![Value::Int32(2), Value::Int32(0), "".into(), Value::Boolean(false)];
        let row = [row, vec![Value::Bytes(vec![1].into()), Value::Date(2)]].concat();
        sink.write(&[records(0, Column::nulls(1), structs(&schema, vec![Some(row)]))]).await;
        let rows = query(&file, "SELECT id, n, t, b, hex(x), d FROM orders ORDER BY id").await;
        let expected = "1|-5|it's; DROP TABLE orders --|1|00FF|86400000;2|0||0|01|172800000";
        assert_eq!(rows, expected);
    });
}

#[test]
fn tables_that_change_are_looked_up_again() {
    run(async {
        let file = File::new("").await;
        let mut sink = Sink::strict(&sink_props(&file.url(), &CREATE)).await;
        let put = async |sink: &mut Sink, offset: i32| {
            let value = orders(&[(offset, "a")]);
            sink.write(&[records(offset.into(), Column::nulls(1), value)]).await;
        };
        put(&mut sink, 0).await;
        file.execute("DROP TABLE orders").await;
        put(&mut sink, 1).await;
        assert_eq!(query(&file, "SELECT * FROM orders").await, "1|a");
        file.execute("ALTER TABLE orders RENAME name TO other").await;
        put(&mut sink, 2).await;
        assert_eq!(query(&file, "SELECT id, other, name FROM orders").await, "1|a|NULL;2|NULL|a");
        file.execute("DROP TABLE orders; CREATE TABLE orders (id INT)").await;
        let mut strict = Sink::strict(&sink_props(&file.url(), &[])).await;
        let narrow = schema(&[("id", Kind::Int32, false)]);
        let value = structs(&narrow, vec![Some(vec![Value::Int32(3)])]);
        strict.write(&[records(3, Column::nulls(1), value)]).await;
        // What fails for another reason fails once and for all.
        file.execute("DROP TABLE orders; CREATE VIEW orders AS SELECT 1 AS id").await;
        let value = structs(&narrow, vec![Some(vec![Value::Int32(4)])]);
        let text = strict.fail(&[records(4, Column::nulls(1), value)]).await;
        assert!(text.contains("table: orders"), "{text}");
    });
}

#[test]
fn whoever_creates_first_wins() {
    run(async {
        let file = File::new("").await;
        let props = sink_props(&file.url(), &CREATE);
        let (mut one, mut two) = (Sink::strict(&props).await, Sink::strict(&props).await);
        for round in 0..20 {
            let name = format!("c{round}");
            let schema = schema(&[("id", Kind::Int32, false), (&name, Kind::Int32, true)]);
            let row = || structs(&schema, vec![Some(vec![Value::Int32(1), Value::Null])]);
            let batch = || [records(round, Column::nulls(1), row())];
            let (first, second) = (batch(), batch());
            tokio::join!(one.write(&first), two.write(&second));
        }
        assert_eq!(query(&file, "SELECT count(*) FROM orders").await, "40");
    });
}

#[test]
fn a_table_that_nobody_created_yet_has_no_row_to_delete() {
    run(async {
        let file = File::new("").await;
        let more = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
            ("delete.enabled", "true"),
        ];
        let props = sink_props(&file.url(), &[&CREATE[..], &more].concat());
        let mut sink = Sink::strict(&props).await;
        sink.write(&[records(0, int_keys(&[1]), structs(&order(), vec![None]))]).await;
        assert_eq!(query(&file, "SELECT count(*) FROM sqlite_schema").await, "0");
        let values = structs(&order(), vec![Some(vec![Value::Int32(0), "a".into()]), None]);
        sink.write(&[records(1, int_keys(&[1, 2]), values)]).await;
        assert_eq!(query(&file, "SELECT * FROM orders").await, "1|a");
    });
}
