//! The sink on MariaDB: every mode, types, tables that are made and altered, rows that are refused,
//! and servers that break off. Skipped, with a message, where no server is installed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::data::{Column, Decimal, Kind, Schema, SchemaRef, Struct, Value};
use millrace_api::{Plugin, Props};
use millrace_testkit::plugin_host::run;
use millrace_testkit::sink_suite::{self, SinkFixture, Tombstones};
use sqlx::{AssertSqlSafe, Row};

use crate::host::Lines;
use crate::mariadb_server::{Database, server};
use crate::sink_host::{Sink, int_keys, records, schema, sink_plugin, sink_props, structs};

/// Runs a test with a database that holds this, where there is a server.
fn with(sql: &str, test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(sql).await).await });
    }
}

/// All rows of a query, as text: `1|a;2|NULL`.
async fn query(database: &Database, sql: &str) -> String {
    let mut connection = database.connect().await;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await;
    let text = |row: &sqlx::mysql::MySqlRow| {
        let cell = |i| {
            let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(i).unwrap();
            bytes.map_or("NULL".to_owned(), |bytes| String::from_utf8(bytes).unwrap())
        };
        (0..row.len()).map(cell).collect::<Vec<_>>().join("|")
    };
    rows.unwrap().iter().map(text).collect::<Vec<_>>().join(";")
}

fn order() -> SchemaRef {
    schema(&[("id", Kind::Int32, false), ("name", Kind::String, true)])
}

/// Orders by id and name.
fn orders(rows: &[(i32, &str)]) -> Column {
    let row = |(id, name): &(i32, &str)| Some(vec![Value::Int32(*id), (*name).into()]);
    structs(&order(), rows.iter().map(row).collect())
}

const TABLE: &str = "CREATE TABLE orders (id int PRIMARY KEY, name varchar(20), more text)";
const ALL: &str = "SELECT * FROM orders ORDER BY 1";
const BY_VALUE: [(&str, &str); 2] = [("pk.mode", "record_value"), ("pk.fields", "id")];

#[test]
fn rows_are_inserted_in_statements_of_all_sizes() {
    with(TABLE, async |database| {
        let mut sink = Sink::strict(&sink_props(&database.url(), &[])).await;
        let rows: Vec<_> = (0..1000).map(|id| (id, "x")).collect();
        sink.write(&[records(0, Column::nulls(1000), orders(&rows))]).await;
        let counted = query(&database, "SELECT count(*), sum(id), max(name) FROM orders").await;
        assert_eq!(counted, "1000|499500|x");
    });
}

#[test]
fn rows_are_upserted_and_keep_what_is_not_written() {
    with(TABLE, async |database| {
        database.execute("INSERT INTO orders VALUES (1, 'x', 'kept'), (3, 'y', 'z')").await;
        let more = [&[("insert.mode", "upsert")], &BY_VALUE[..]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let values = orders(&[(2, "b"), (1, "a"), (2, "c")]);
        sink.write(&[records(0, Column::nulls(3), values)]).await;
        assert_eq!(query(&database, ALL).await, "1|a|kept;2|c|NULL;3|y|z");
        // A field that is all of the key has nothing to set.
        let only = schema(&[("id", Kind::Int32, false)]);
        let rows = vec![Some(vec![Value::Int32(3)]), Some(vec![Value::Int32(9)])];
        sink.write(&[records(3, Column::nulls(2), structs(&only, rows))]).await;
        assert_eq!(query(&database, ALL).await, "1|a|kept;2|c|NULL;3|y|z;9|NULL|NULL");
    });
}

#[test]
fn rows_are_updated_and_others_left_out() {
    with(TABLE, async |database| {
        database.execute("INSERT INTO orders VALUES (1, 'x', 'kept')").await;
        let more = [&[("insert.mode", "update")], &BY_VALUE[..]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        sink.write(&[records(0, Column::nulls(2), orders(&[(2, "b"), (1, "a")]))]).await;
        assert_eq!(query(&database, ALL).await, "1|a|kept");
    });
}

#[test]
fn rows_are_deleted() {
    with(TABLE, async |database| {
        database.execute("INSERT INTO orders VALUES (1, 'x', 'y'), (2, 'x', 'y')").await;
        let more = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
            ("delete.enabled", "true"),
        ];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let row = |name: &str| Some(vec![Value::Int32(0), name.into()]);
        let values = structs(&order(), vec![row("a"), None, row("c"), None, row("d")]);
        sink.write(&[records(0, int_keys(&[5, 1, 4, 5, 1]), values)]).await;
        assert_eq!(query(&database, ALL).await, "1|d|NULL;2|x|y;4|c|NULL");
    });
}

#[test]
fn rows_are_deleted_by_keys_of_several_columns() {
    let sql = "CREATE TABLE orders (a int, b varchar(9), x int, PRIMARY KEY (a, b));
        INSERT INTO orders SELECT seq, seq, seq FROM seq_1_to_500";
    with(sql, async |database| {
        let more = [("pk.mode", "record_key"), ("delete.enabled", "true")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let key = schema(&[("a", Kind::Int32, false), ("b", Kind::String, false)]);
        let row = |i: i32| Some(vec![Value::Int32(i), i.to_string().as_str().into()]);
        let keys = structs(&key, (2..=499).map(row).collect());
        sink.write(&[records(0, keys, Column::nulls(498))]).await;
        assert_eq!(query(&database, "SELECT a, b FROM orders ORDER BY a").await, "1|1;500|500");
    });
}

#[test]
fn tables_are_created_and_altered() {
    with("", async |database| {
        let more = [("auto.create", "true"), ("auto.evolve", "true"), ("pk.mode", "kafka")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        sink.write(&[records(7, Column::nulls(1), orders(&[(1, "a")]))]).await;
        assert_eq!(query(&database, ALL).await, "orders|0|7|1|a");
        let wider = schema(&[("id", Kind::Int64, false), ("price", Kind::Float64, true)]);
        let rows = vec![Some(vec![Value::Int64(1 << 30), Value::Float64(0.5)])];
        sink.write(&[records(8, Column::nulls(1), structs(&wider, rows))]).await;
        let expected = "orders|0|7|1|a|NULL;orders|0|8|1073741824|NULL|0.5";
        assert_eq!(query(&database, ALL).await, expected);
        let columns = "SELECT column_name, column_type, is_nullable, column_key
            FROM information_schema.columns WHERE table_schema = database() ORDER BY
            ordinal_position";
        assert_eq!(
            query(&database, columns).await,
            "__connect_topic|varchar(255)|NO|PRI;__connect_partition|int(11)|NO|PRI;\
             __connect_offset|bigint(20)|NO|PRI;id|int(11)|NO|;name|text|YES|;price|double|YES|"
        );
    });
}

/// Keys in Kafka that differ in case, accents or what stands behind them are different keys.
#[test]
fn keys_that_are_texts_are_told_apart() {
    with("", async |database| {
        let more = [
            ("auto.create", "true"),
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "k"),
        ];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let keys = ["a", "A", "ä", "aä"].map(Value::from).to_vec();
        let keys = Column::from_values(Some(Schema::string(false)), keys);
        let value = schema(&[("n", Kind::Int32, false)]);
        let rows = (0..4).map(|n| Some(vec![Value::Int32(n)])).collect();
        sink.write(&[records(0, keys, structs(&value, rows))]).await;
        assert_eq!(
            query(&database, "SELECT n, k FROM orders ORDER BY n").await,
            "0|a;1|A;2|ä;3|aä"
        );
    });
}

/// A schema, a value, the type that `auto.create` gives it, and the server's text of the value.
fn kinds() -> Vec<(SchemaRef, Value, &'static str, &'static str)> {
    let of = |kind| Schema::builder(kind).optional().build();
    let decimal = |scale| Schema::decimal_builder(scale).optional().build();
    let number =
        |unscaled: i64, scale| Value::Decimal(Decimal { unscaled: unscaled.into(), scale });
    vec![
        (of(Kind::Int8), Value::Int8(-128), "tinyint(4)", "-128"),
        (of(Kind::Int16), Value::Int16(-32768), "smallint(6)", "-32768"),
        (of(Kind::Int32), Value::Int32(i32::MIN), "int(11)", "-2147483648"),
        (of(Kind::Int64), Value::Int64(i64::MAX), "bigint(20)", "9223372036854775807"),
        (of(Kind::Float32), Value::Float32(1.5), "float", "1.5"),
        (of(Kind::Float64), Value::Float64(0.1), "double", "0.1"),
        (of(Kind::Boolean), Value::Boolean(true), "tinyint(4)", "1"),
        (of(Kind::String), "Zoé '\\🦀".into(), "text", "Zoé '\\🦀"),
        (of(Kind::Bytes), Value::Bytes(b"a\0b".to_vec().into()), "varbinary(1024)", "a\0b"),
        (decimal(2), number(-1999, 2), "decimal(65,2)", "-19.99"),
        (decimal(0), number(5, 0), "decimal(65,0)", "5"),
        (decimal(-2), number(5, -2), "decimal(65,0)", "500"),
        (decimal(31), number(1, 31), "text", "0.0000000000000000000000000000001"),
        (Schema::date_builder().optional().build(), Value::Date(20_778), "date", "2026-11-21"),
        (
            Schema::time_builder().optional().build(),
            Value::Time(86_399_500),
            "time(3)",
            "23:59:59.500",
        ),
        (
            Schema::timestamp_builder().optional().build(),
            Value::Timestamp(1_795_255_200_123),
            "datetime(3)",
            "2026-11-21 10:00:00.123",
        ),
        // 1000-01-01 by its name, as Java has it.
        (Schema::date_builder().optional().build(), Value::Date(-354_280), "date", "1000-01-01"),
    ]
}

#[test]
fn every_type_is_created_and_written() {
    with("", async |database| {
        let more = [("auto.create", "true")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let kinds = kinds();
        let mut builder = Schema::struct_builder();
        for (i, (schema, ..)) in kinds.iter().enumerate() {
            builder = builder.field(format!("c{i:02}"), SchemaRef::clone(schema));
        }
        let all = builder.build();
        let values = kinds.iter().map(|(_, value, ..)| value.clone()).collect();
        let nulls = vec![Value::Null; kinds.len()];
        let rows = vec![Some(nulls), Some(values)];
        sink.write(&[records(0, Column::nulls(2), structs(&all, rows))]).await;
        let types = "SELECT column_type FROM information_schema.columns
            WHERE table_schema = database() ORDER BY ordinal_position";
        let types = query(&database, types).await;
        let row = query(&database, "SELECT * FROM orders WHERE c00 IS NOT NULL").await;
        let nulls = query(&database, "SELECT * FROM orders WHERE c00 IS NULL").await;
        let found = types.split(';').zip(row.split('|')).zip(nulls.split('|'));
        for (((kind, value), null), (schema, _, expected, text)) in found.zip(&kinds) {
            assert_eq!((kind, value, null), (*expected, *text, "NULL"), "{schema:?}");
        }
    });
}

#[test]
fn every_type_is_updated_in_statements_of_many_rows() {
    let kinds = kinds();
    let columns: Vec<_> =
        kinds.iter().enumerate().map(|(i, (_, _, kind, _))| format!("c{i:02} {kind}")).collect();
    let sql = format!(
        "CREATE TABLE orders (a int, b varchar(9), {}, PRIMARY KEY (a, b));
         INSERT INTO orders (a, b, c00) VALUES (1, 'x', 7), (1, 'y', 7), (2, 'x', 7), (2, 'y', 7)",
        columns.join(", ")
    );
    with(&sql, async |database| {
        let more = [("insert.mode", "update"), ("pk.mode", "record_value"), ("pk.fields", "a,b")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let mut builder = Schema::struct_builder()
            .field("a", Schema::builder(Kind::Int32).build())
            .field("b", Schema::string(false));
        for (i, (schema, ..)) in kinds.iter().enumerate() {
            builder = builder.field(format!("c{i:02}"), SchemaRef::clone(schema));
        }
        let all = builder.build();
        let row = |a, b: &str, is_null: bool| {
            let value = |(_, value, ..): &(_, Value, _, _)| match is_null {
                true => Value::Null,
                false => value.clone(),
            };
            let keys = vec![Value::Int32(a), b.into()];
            Some([keys, kinds.iter().map(value).collect()].concat())
        };
        let rows =
            vec![row(1, "x", false), row(1, "y", true), row(2, "x", false), row(3, "z", false)];
        sink.write(&[records(0, Column::nulls(4), structs(&all, rows))]).await;
        let texts: Vec<_> = kinds.iter().map(|(.., text)| *text).collect();
        let (texts, nulls) = (texts.join("|"), vec!["NULL"; kinds.len() - 1].join("|"));
        assert_eq!(
            query(&database, ALL).await,
            format!("1|x|{texts};1|y|NULL|{nulls};2|x|{texts};2|y|7|{nulls}")
        );
    });
}

/// A point in time goes into a `TIMESTAMP` as it is, and into a `DATETIME` on the clock of
/// `db.timezone`.
#[test]
fn times_and_zones() {
    let sql = "CREATE TABLE orders (at timestamp(3) NULL, d datetime(3), t time(3))";
    with(sql, async |database| {
        let zone = [("db.timezone", "+02:00")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &zone)).await;
        let timestamp = Schema::timestamp_builder().build();
        let all = Schema::struct_builder()
            .field("at", SchemaRef::clone(&timestamp))
            .field("d", timestamp)
            .field("t", Schema::time_builder().build())
            .build();
        let moment = || Value::Timestamp(1_795_255_200_123);
        let rows = vec![Some(vec![moment(), moment(), Value::Time(1)])];
        sink.write(&[records(0, Column::nulls(1), structs(&all, rows))]).await;
        let found = "SELECT cast(unix_timestamp(at) * 1000 AS SIGNED), d, t FROM orders";
        let expected = "1795255200123|2026-11-21 12:00:00.123|02:00:00.001";
        assert_eq!(query(&database, found).await, expected);
    });
}

#[test]
fn defaults_are_written_whatever_they_hold() {
    with("", async |database| {
        let more = [("auto.create", "true"), ("auto.evolve", "true")];
        let mode = ("connection.sessionVariables", "sql_mode='NO_BACKSLASH_ESCAPES'");
        let props = sink_props(&database.url(), &[&more[..], &[mode]].concat());
        let mut sink = Sink::strict(&props).await;
        sink.write(&[records(0, Column::nulls(1), orders(&[(1, "a")]))]).await;
        let text = "it's '' \\' \\ a \" `default`; DROP TABLE orders -- ü\n\\";
        let with_default =
            |kind, value: Value| Schema::builder(kind).default_value(value).unwrap().build();
        let wider = Schema::struct_builder()
            .field("id", Schema::builder(Kind::Int32).build())
            .field("text", with_default(Kind::String, text.into()))
            .field("raw", with_default(Kind::Bytes, Value::Bytes(vec![0, 39].into())))
            .field("yes", with_default(Kind::Boolean, Value::Boolean(true)))
            .field("f", with_default(Kind::Float64, Value::Float64(-1e100)))
            .build();
        let row = [
            Value::Int32(2),
            "x".into(),
            Value::Bytes(vec![1].into()),
            Value::Boolean(false),
            Value::Float64(0.0),
        ];
        let value = Value::Struct(Struct::new(SchemaRef::clone(&wider), row.to_vec()));
        let column = Column::from_values(Some(wider), vec![value]);
        sink.write(&[records(1, Column::nulls(1), column)]).await;
        let found = "SELECT text, hex(raw), yes, f FROM orders WHERE id = 1";
        assert_eq!(query(&database, found).await, format!("{text}|0027|1|-1e100"));
    });
}

#[test]
fn one_bad_row_is_reported_and_the_others_are_written() {
    let sql = "CREATE TABLE orders (id int PRIMARY KEY,
        name varchar(3) NOT NULL CHECK (name <> 'x'))";
    with(sql, async |database| {
        let mut sink = Sink::reporting(&sink_props(&database.url(), &[])).await;
        let name = |i: i32| match i {
            7 => "x",
            40 => "long",
            _ => "y",
        };
        let mut rows: Vec<_> = (0..100).map(|i| (i, name(i))).collect();
        rows[73].0 = 5;
        sink.write(&[records(0, Column::nulls(100), orders(&rows))]).await;
        assert_eq!(sink.reports.offsets(), [7, 40, 73]);
        assert_eq!(query(&database, "SELECT count(*) FROM orders").await, "97");
        let text = sink.reports.text();
        for part in [
            "CONSTRAINT",
            "table: orders",
            "offset: 7",
            "SQLState: 23000",
            "number: 1062",
            "Data too long",
            "SQLState: 22001",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let hidden = [("trim.sensitive.log", "true")];
        let mut strict = Sink::strict(&sink_props(&database.url(), &hidden)).await;
        let bad = [records(100, Column::nulls(2), orders(&[(200, "y"), (5, "z")]))];
        let text = strict.fail(&bad).await;
        assert!(text.contains("offset: 101") && !text.contains("Duplicate entry"), "{text}");
        assert_eq!(query(&database, "SELECT count(*) FROM orders").await, "97");
    });
}

#[test]
fn values_that_mysql_has_not_are_one_rows_fault() {
    let sql = "CREATE TABLE orders (id tinyint, f double, d datetime)";
    with(sql, async |database| {
        let mut sink = Sink::reporting(&sink_props(&database.url(), &[])).await;
        let all = Schema::struct_builder()
            .field("id", Schema::builder(Kind::Int32).build())
            .field("f", Schema::builder(Kind::Float64).build())
            .field("d", Schema::timestamp_builder().build())
            .build();
        let row = |id, f, d| Some(vec![Value::Int32(id), Value::Float64(f), Value::Timestamp(d)]);
        let rows = vec![
            row(1, 0.0, 0),
            row(300, 0.0, 0),
            row(2, f64::NAN, 0),
            row(3, 0.0, 300_000_000_000_000),
            row(4, 0.0, i64::MAX),
            row(5, 1.0, 0),
        ];
        sink.write(&[records(0, Column::nulls(6), structs(&all, rows))]).await;
        assert_eq!(sink.reports.offsets(), [1, 2, 3, 4]);
        assert_eq!(query(&database, "SELECT id FROM orders ORDER BY 1").await, "1;5");
        let text = sink.reports.text();
        for part in ["Out of range", "NaN", "column: f", "years 0 to 9999", "column: d"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}

#[test]
fn rows_are_packed_into_what_the_server_takes() {
    with("CREATE TABLE orders (id int, name longtext)", async |database| {
        let mut sink = Sink::reporting(&sink_props(&database.url(), &[])).await;
        let long = "x".repeat(3_000_000);
        let rows: Vec<_> = (0..8).map(|id| (id, long.as_str())).collect();
        sink.write(&[records(0, Column::nulls(8), orders(&rows))]).await;
        let sizes = query(&database, "SELECT count(*), min(length(name)) FROM orders").await;
        assert_eq!(sizes, "8|3000000");
        let longer = "x".repeat(70 << 20);
        sink.write(&[records(8, Column::nulls(2), orders(&[(9, &longer), (10, "x")]))]).await;
        assert_eq!(sink.reports.offsets(), [8]);
        assert!(sink.reports.text().contains("raise its max_allowed_packet"));
        assert_eq!(query(&database, "SELECT max(id) FROM orders").await, "10");
    });
}

#[test]
fn an_upsert_needs_a_key_of_the_table() {
    with("CREATE TABLE orders (id int, name text)", async |database| {
        let more = [&[("insert.mode", "upsert")], &BY_VALUE[..]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let text = sink.fail(&[records(0, Column::nulls(1), orders(&[(1, "a")]))]).await;
        assert!(text.contains("ADD PRIMARY KEY") && text.contains("orders"), "{text}");
        database.execute("ALTER TABLE orders ADD UNIQUE (id)").await;
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let rows = orders(&[(1, "a"), (1, "b")]);
        sink.write(&[records(0, Column::nulls(2), rows)]).await;
        assert_eq!(query(&database, ALL).await, "1|b");
    });
}

#[test]
fn a_second_unique_index_is_warned_about() {
    let table = "CREATE TABLE orders (id int PRIMARY KEY, name varchar(20) UNIQUE, n int UNIQUE); \
                 INSERT INTO orders VALUES (1, 'a', 1)";
    with(table, async |database| {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let more = [&[("insert.mode", "upsert")], &BY_VALUE[..]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        for (offset, id) in [(0, 2), (1, 3)] {
            sink.write(&[records(offset, Column::nulls(1), orders(&[(id, "a")]))]).await;
        }
        assert_eq!(query(&database, ALL).await, "1|a|1");
        let found = lines.take();
        let about = found.matches("beside the columns of pk.fields").count();
        assert_eq!((about, found.contains("unique index of name beside")), (1, true), "{found}");
    });
}

#[test]
fn deadlocks_locks_and_killed_sessions_pass() {
    with(TABLE, async |database| {
        database.execute("INSERT INTO orders VALUES (1, 'x', NULL), (2, 'x', NULL)").await;
        let wait = ("connection.sessionVariables", "innodb_lock_wait_timeout=1");
        let more = [&[("insert.mode", "upsert"), wait], &BY_VALUE[..]].concat();
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let mut other = database.connect().await;
        sqlx::raw_sql("BEGIN; UPDATE orders SET more = 'o' WHERE id = 2")
            .execute(&mut other)
            .await
            .unwrap();
        let unlock = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        });
        sink.write(&[records(0, Column::nulls(2), orders(&[(1, "a"), (2, "b")]))]).await;
        unlock.await.unwrap();
        assert_eq!(query(&database, ALL).await, "1|a|NULL;2|b|o");
        let kill = format!(
            "BEGIN NOT ATOMIC
                 FOR p IN (SELECT id FROM information_schema.processlist
                           WHERE db = '{}' AND id <> connection_id()) DO
                     KILL p.id;
                 END FOR;
             END",
            database.name()
        );
        database.execute(&kill).await;
        sink.write(&[records(2, Column::nulls(1), orders(&[(3, "c")]))]).await;
        assert_eq!(query(&database, ALL).await, "1|a|NULL;2|b|o;3|c|NULL");
    });
}

#[test]
fn names_are_never_sql() {
    with("CREATE TABLE canary (x int)", async |database| {
        let more = [
            ("auto.create", "true"),
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "k`\"'; DROP TABLE canary; --#"),
        ];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        let value = schema(&[
            ("`) VALUES (1); DROP TABLE canary; --#", Kind::Int32, true),
            ("a.b\\", Kind::Int32, true),
            ("日本", Kind::Int32, true),
        ]);
        let rows = vec![Some(vec![Value::Int32(1), Value::Int32(2), Value::Int32(3)])];
        sink.write(&[records(0, int_keys(&[7]), structs(&value, rows))]).await;
        assert_eq!(query(&database, ALL).await, "1|2|3|7");
        assert_eq!(query(&database, "SELECT count(*) FROM canary").await, "0");
    });
}

#[test]
fn each_record_is_written_once() {
    with(TABLE, async |database| {
        let more = [("exactly.once", "transactional")];
        let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
        sink.write(&[records(0, Column::nulls(2), orders(&[(1, "a"), (2, "b")]))]).await;
        drop(sink);
        let mut again = Sink::strict(&sink_props(&database.url(), &more)).await;
        let rows = orders(&[(1, "a"), (2, "b"), (3, "c")]);
        again.write(&[records(0, Column::nulls(3), rows)]).await;
        assert_eq!(query(&database, ALL).await, "1|a|NULL;2|b|NULL;3|c|NULL");
    });
}

struct Plain(Arc<Database>);

#[async_trait]
impl SinkFixture for Plain {
    fn plugin(&self) -> Plugin {
        sink_plugin()
    }

    fn props(&self) -> Props {
        sink_props(&self.0.url(), &[])
    }

    async fn stored(&self) -> Vec<usize> {
        let rows = query(&self.0, "SELECT record_value FROM topic ORDER BY nr").await;
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

/// The checks of `sink_suite!`, each only where there is a server.
macro_rules! suite {
    ($($check:ident)+) => {$(
        #[test]
        fn $check() {
            let sql = "CREATE TABLE topic (nr int AUTO_INCREMENT PRIMARY KEY, record_value text)";
            if let Some(server) = server() {
                sink_suite::$check(&Plain(Arc::new(run(server.database(sql)))));
            }
        }
    )+};
}

suite! {
    a_task_opens_closes_and_stops_without_records
    empty_puts_change_nothing
    what_is_committed_is_stored
    records_come_again_after_a_crash
    records_come_again_to_the_same_task
    a_partition_moves_away_and_back
    a_partition_is_lost
    tombstones_are_taken_or_refused
    keys_may_be_null_or_not
    a_broken_target_loses_nothing
}
