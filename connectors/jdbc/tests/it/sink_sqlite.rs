//! The sink on SQLite: every mode, every kind of key, tables that are made and altered, rows that
//! are refused.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_api::data::{Column, Kind, SchemaRef, Value};
use millrace_api::{Plugin, Props};
use millrace_testkit::plugin_host::run;
use millrace_testkit::sink_suite;
use millrace_testkit::sink_suite::{SinkFixture, Tombstones};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::sink_host::{Sink, int_keys, records, schema, sink_plugin, sink_props, structs};
use crate::sqlite::File;

/// All rows of a query, as text: `1|a;2|NULL`.
pub(crate) async fn query(file: &File, sql: &str) -> String {
    let mut connection = SqliteConnectOptions::new().filename(file.path()).connect().await.unwrap();
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    let rows = query.fetch_all(&mut connection).await.unwrap();
    let text = |row: &sqlx::sqlite::SqliteRow| {
        let cell = |i| row.try_get_unchecked::<Option<String>, _>(i).unwrap();
        let cells = (0..row.len()).map(|i| cell(i).unwrap_or("NULL".to_owned()));
        cells.collect::<Vec<_>>().join("|")
    };
    rows.iter().map(text).collect::<Vec<_>>().join(";")
}

pub(crate) fn order() -> SchemaRef {
    schema(&[("id", Kind::Int32, false), ("name", Kind::String, true)])
}

/// Orders by id and name.
pub(crate) fn orders(rows: &[(i32, &str)]) -> Column {
    let row = |(id, name): &(i32, &str)| Some(vec![Value::Int32(*id), (*name).into()]);
    structs(&order(), rows.iter().map(row).collect())
}

const TABLE: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, more TEXT)";
const ALL: &str = "SELECT * FROM orders ORDER BY 1";

#[test]
fn rows_are_inserted() {
    run(async {
        let file = File::new(TABLE).await;
        let mut sink = Sink::strict(&sink_props(&file.url(), &[])).await;
        let values = orders(&[(2, "b"), (1, "a")]);
        sink.write(&[records(0, Column::nulls(2), values)]).await;
        assert_eq!(query(&file, ALL).await, "1|a|NULL;2|b|NULL");
    });
}

#[test]
fn rows_are_upserted_and_keep_what_is_not_written() {
    run(async {
        let file = File::new(TABLE).await;
        file.execute("INSERT INTO orders VALUES (1, 'x', 'kept'), (3, 'y', 'z')").await;
        let more = [("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id")];
        let mut sink = Sink::strict(&sink_props(&file.url(), &more)).await;
        let values = orders(&[(2, "b"), (1, "a"), (2, "c")]);
        sink.write(&[records(0, Column::nulls(3), values)]).await;
        assert_eq!(query(&file, ALL).await, "1|a|kept;2|c|NULL;3|y|z");
    });
}

#[test]
fn rows_are_deleted() {
    run(async {
        let file = File::new(TABLE).await;
        file.execute("INSERT INTO orders VALUES (1, 'x', 'y'), (2, 'x', 'y')").await;
        let more = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
            ("delete.enabled", "true"),
        ];
        let mut sink = Sink::strict(&sink_props(&file.url(), &more)).await;
        let row = |name: &str| Some(vec![Value::Int32(0), name.into()]);
        let values = structs(&order(), vec![row("a"), None, row("c"), None, row("d")]);
        sink.write(&[records(0, int_keys(&[5, 1, 4, 5, 1]), values)]).await;
        assert_eq!(query(&file, ALL).await, "1|d|NULL;2|x|y;4|c|NULL");
    });
}

#[test]
fn tables_are_created_and_altered() {
    run(async {
        let file = File::new("").await;
        let more = [("auto.create", "true"), ("auto.evolve", "true"), ("pk.mode", "kafka")];
        let mut sink = Sink::strict(&sink_props(&file.url(), &more)).await;
        sink.write(&[records(7, Column::nulls(1), orders(&[(1, "a")]))]).await;
        assert_eq!(query(&file, ALL).await, "orders|0|7|1|a");
        let wider = schema(&[("id", Kind::Int64, false), ("price", Kind::Float64, true)]);
        let rows = vec![Some(vec![Value::Int64(1 << 40), Value::Float64(0.5)])];
        sink.write(&[records(8, Column::nulls(1), structs(&wider, rows))]).await;
        let expected = "orders|0|7|1|a|NULL;orders|0|8|1099511627776|NULL|0.5";
        assert_eq!(query(&file, ALL).await, expected);
        let sql = query(&file, "SELECT sql FROM sqlite_schema WHERE type = 'table'").await;
        assert_eq!(
            sql,
            "CREATE TABLE `orders` (\n`__connect_topic` TEXT NOT NULL,\n\
             `__connect_partition` INTEGER NOT NULL,\n`__connect_offset` INTEGER NOT NULL,\n\
             `id` INTEGER NOT NULL,\n`name` TEXT NULL, `price` REAL NULL,\n\
             PRIMARY KEY(`__connect_topic`,`__connect_partition`,`__connect_offset`))"
        );
    });
}

#[test]
fn one_bad_row_is_reported_and_the_others_are_written() {
    run(async {
        let file = File::new(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'x'))",
        )
        .await;
        let mut sink = Sink::reporting(&sink_props(&file.url(), &[])).await;
        let names: Vec<_> = (0..100).map(|i| if i % 33 == 7 { "x" } else { "y" }).collect();
        let rows: Vec<_> = (0..100).zip(names).collect();
        sink.write(&[records(0, Column::nulls(100), orders(&rows))]).await;
        assert_eq!(sink.reports.offsets(), [7, 40, 73]);
        assert_eq!(query(&file, "SELECT count(*), sum(id) FROM orders").await, "97|4830");
        let text = sink.reports.text();
        for part in ["CHECK constraint failed", "table: orders", "offset: 7", "SQLState: 275"] {
            assert!(text.contains(part), "{text}");
        }
        let mut strict = Sink::strict(&sink_props(&file.url(), &[])).await;
        let bad = [records(100, Column::nulls(2), orders(&[(200, "y"), (201, "x")]))];
        let text = strict.fail(&bad).await;
        assert!(text.contains("offset: 101"), "{text}");
        assert_eq!(query(&file, "SELECT count(*) FROM orders").await, "97");
    });
}

struct Plain(Arc<File>);

impl Plain {
    fn new() -> Self {
        let sql = "CREATE TABLE topic (record_value TEXT)";
        Self(Arc::new(run(File::new(sql))))
    }
}

#[async_trait]
impl SinkFixture for Plain {
    fn plugin(&self) -> Plugin {
        sink_plugin()
    }

    fn props(&self) -> Props {
        sink_props(&self.0.url(), &[])
    }

    async fn stored(&self) -> Vec<usize> {
        let rows = query(&self.0, "SELECT record_value FROM topic ORDER BY rowid").await;
        let number = |row: &str| row.strip_prefix("record ").unwrap().parse().unwrap();
        rows.split(';').filter(|row| !row.is_empty()).map(number).collect()
    }

    fn tombstones(&self) -> Tombstones {
        Tombstones::Refused
    }

    async fn break_target(&self) -> bool {
        self.0.execute("ALTER TABLE topic RENAME TO elsewhere").await;
        true
    }

    async fn mend_target(&self) {
        self.0.execute("ALTER TABLE elsewhere RENAME TO topic").await;
    }
}

sink_suite!(suite, Plain::new());

#[test]
fn what_triggers_say_is_repeated_where_values_may_be_shown() {
    run(async {
        let file = File::new(TABLE).await;
        file.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.name = 's3cret'
             BEGIN SELECT RAISE(ABORT, 'not s3cret'); END",
        )
        .await;
        for (hidden, shown) in [("true", false), ("false", true)] {
            let more = [("trim.sensitive.log", hidden)];
            let mut sink = Sink::strict(&sink_props(&file.url(), &more)).await;
            let text = sink.fail(&[records(0, Column::nulls(1), orders(&[(1, "s3cret")]))]).await;
            assert!(text.contains("SQLState: 1811"), "{text}");
            assert_eq!(text.contains("s3cret"), shown, "{text}");
        }
    });
}
