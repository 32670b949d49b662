//! What the target makes of errors: whose fault they are, and what they say.

use millrace_api::ErrorKind;
use millrace_api::data::{Kind, Schema, Value};

use super::{Columns, Sink, connect, of, put, with};
use crate::calendar::Calendar;
use crate::dialect::target::{Action, TargetField, Write};
use crate::table::{Quoting, TableId};

fn one(name: &'static str, kind: Kind, value: Value) -> Columns {
    vec![(name, of(kind), vec![value])]
}

/// Inserts a value into the table `t`, and expects an error of a kind that says all this.
async fn fails(sink: &mut Sink, columns: Columns, kind: ErrorKind, parts: &[&str]) {
    let error = sink.insert("t", columns).await.unwrap_err();
    let shown = error.to_string();
    assert_eq!(error.kind(), kind, "{shown}");
    for part in parts {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn rows_that_do_not_fit_are_at_fault_themselves() {
    let sql = "CREATE TYPE mood AS ENUM ('good');
        CREATE TABLE t (id int PRIMARY KEY CHECK (id < 100), s smallint, r real, n numeric(4,1),
            v varchar(3), u uuid, j json, m mood, a inet, ts timestamp, b bit(2), k text,
            x text NOT NULL DEFAULT 'x', total int GENERATED ALWAYS AS (s * 2) STORED);
        CREATE INDEX ON t (k);
        INSERT INTO t (id) VALUES (1)";
    with(sql, async |mut sink| {
        let text = |name, value: &str| one(name, Kind::String, value.into());
        let double = |name, value| one(name, Kind::Float64, Value::Float64(value));
        let int = |name, value| one(name, Kind::Int64, Value::Int64(value));
        // Compresses badly, and is too long for a page of an index.
        let noise: String =
            (0..9_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let cases = [
            (int("id", 1), "23505", "t_pkey"),
            (int("id", 100), "23514", "t_id_check"),
            (int("id", 1 << 31), "22003", "column: id"),
            (int("s", -32_769), "22003", "column: s"),
            (double("r", 1e39), "22003", "column: r"),
            (double("r", 1e-50), "22003", "column: r"),
            (double("s", 40_000.0), "22003", "smallint"),
            (double("n", 1000.0), "22003", "numeric field overflow"),
            (text("v", "four"), "22001", "character varying(3)"),
            (text("u", "00112233-4455-6677-8899-aabbccddeef"), "22P02", "UUID"),
            (text("j", "{"), "22P02", "json"),
            (text("m", "bad"), "22P02", "mood"),
            (text("a", "10.0.0"), "22P02", "inet"),
            (text("b", "1"), "22026", "bit"),
            (text("k", "a\0b"), "22021", "column: k"),
            (text("k", &noise), "54000", "index row"),
            (one("x", Kind::String, Value::Null), "23502", "\"x\""),
        ];
        for (mut columns, state, part) in cases {
            if columns[0].0 != "id" {
                columns.push(("id", of(Kind::Int64), vec![Value::Int64(50)]));
            }
            fails(&mut sink, columns, ErrorKind::Data, &[state, part, "public.t"]).await;
        }
        let timestamp = Schema::timestamp_builder().optional().build();
        for millis in [i64::MAX, i64::MAX / 900, i64::MIN / 2, -220_000_000_000_000] {
            let mut columns = int("id", 50);
            columns.push(("ts", timestamp.clone(), vec![Value::Timestamp(millis)]));
            fails(&mut sink, columns, ErrorKind::Data, &["22008"]).await;
        }
        fails(&mut sink, int("total", 1), ErrorKind::Fatal, &["generated", "total"]).await;
        // The connection is none the worse for any of it.
        sink.insert("t", int("id", 2)).await.unwrap();
        assert_eq!(sink.rows("SELECT id::text FROM t ORDER BY id").await, ["1", "2"]);
    });
}

#[test]
fn values_are_not_repeated_where_they_are_sensitive() {
    let sql = "CREATE TABLE t (id text PRIMARY KEY, a inet); INSERT INTO t VALUES ('hunter2')";
    with(sql, async |mut sink| {
        let table = sink.describe("t").await;
        sink.target = connect(&sink.database, false).await;
        for (column, value) in [("id", "hunter2"), ("a", "hunter2"), ("id", "hunter2\0")] {
            let schema = of(Kind::String);
            let array = super::array(&schema, &[value.into()]);
            let field = TargetField { column: column.into(), schema, is_key: false };
            sink.target.execute("BEGIN").await.unwrap();
            let write = Write {
                action: Action::Insert,
                table: &table,
                fields: &[field],
                arrays: &[array],
                quoting: Quoting::Always('"'),
                calendar: &Calendar::default(),
                dates: &Calendar::default(),
            };
            let error = sink.target.write(&write).await.unwrap_err();
            assert!(!error.trace().contains("hunter2"), "{}", error.trace());
            assert!(error.to_string().contains("22") || error.to_string().contains("23505"));
            sink.target.execute("ROLLBACK").await.unwrap();
        }
    });
}

#[test]
fn tables_and_rights_are_nobody_elses_fault() {
    let sql = "CREATE TABLE t (id int, at timestamp, j json);
        CREATE TABLE theirs (id int); CREATE ROLE other;
        CREATE VIEW v AS SELECT DISTINCT id FROM t";
    with(sql, async |mut sink| {
        let int = |name| one(name, Kind::Int64, Value::Int64(1));
        fails(&mut sink, int("at"), ErrorKind::Fatal, &["42804", "cast it"]).await;
        let error = sink.insert("v", int("id")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Fatal && error.to_string().contains("55000"), "{error}");
        let error = sink.write(Action::Upsert, "t", int("!id")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Fatal, "{error}");
        assert!(error.to_string().contains("42P10") && error.to_string().contains("pk.fields"));
        let table = sink.describe("theirs").await;
        sink.target.execute("SET ROLE other").await.unwrap();
        let error = put(&mut *sink.target, Action::Insert, &table, &int("id")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Fatal && error.to_string().contains("42501"), "{error}");
        sink.target.execute("RESET ROLE").await.unwrap();
        sink.database.execute("DROP TABLE theirs").await;
        let error = put(&mut *sink.target, Action::Insert, &table, &int("id")).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Fatal && error.to_string().contains("42P01"), "{error}");
    });
}

#[test]
fn a_table_that_is_altered_meanwhile_takes_what_was_meant() {
    let sql = "CREATE TABLE t (id int8 PRIMARY KEY, n int8)";
    with(sql, async |mut sink| {
        let table = sink.describe("t").await;
        let row = |id| -> Columns {
            let value = |n| vec![Value::Int64(n)];
            vec![("!id", of(Kind::Int64), value(id)), ("n", of(Kind::Int64), value(7))]
        };
        // As long as an int8, or half of it, or of any length.
        for (i, kind) in (0..).zip(["int8", "float8", "real", "numeric", "text"]) {
            sink.database.execute(&format!("ALTER TABLE t ALTER n TYPE {kind}")).await;
            for (action, id) in [(Action::Insert, i), (Action::Upsert, 0), (Action::Update, i)] {
                put(&mut *sink.target, action, &table, &row(id)).await.unwrap();
            }
            let shown = sink.rows("SELECT DISTINCT n::text FROM t").await;
            assert_eq!(shown, ["7"], "{kind}");
        }
        sink.database.execute("ALTER TABLE t RENAME n TO m").await;
        let error = put(&mut *sink.target, Action::Insert, &table, &row(9)).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Fatal && error.to_string().contains("42703"), "{error}");
    });
}

#[test]
fn what_may_pass_is_worth_another_try() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)";
    with(sql, async |mut sink| {
        let table = sink.describe("t").await;
        let row = |id| -> Columns {
            let value = |n| vec![Value::Int32(n)];
            vec![("!id", of(Kind::Int32), value(id)), ("n", of(Kind::Int32), value(7))]
        };
        let is_passing = |result: Result<(), millrace_api::Error>, state: &str| {
            let error = result.unwrap_err();
            assert!(error.is_retriable() && error.to_string().contains(state), "{error}");
        };
        // Two that wait for each other.
        let mut other = connect(&sink.database, true).await;
        for target in [&mut sink.target, &mut other] {
            target.execute("SET deadlock_timeout TO '50ms'; BEGIN").await.unwrap();
        }
        put(&mut *sink.target, Action::Upsert, &table, &row(1)).await.unwrap();
        put(&mut *other, Action::Upsert, &table, &row(2)).await.unwrap();
        let (first, second) = (row(2), row(1));
        let (a, b) = tokio::join!(
            async {
                let put = put(&mut *sink.target, Action::Upsert, &table, &first).await;
                sink.target.execute("ROLLBACK").await.unwrap();
                put
            },
            async {
                let put = put(&mut *other, Action::Upsert, &table, &second).await;
                other.execute("ROLLBACK").await.unwrap();
                put
            }
        );
        is_passing(if a.is_err() { a } else { b }, "40P01");
        // One that comes too late.
        let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT n FROM t";
        sink.target.execute(begin).await.unwrap();
        sink.database.execute("UPDATE t SET n = 1").await;
        is_passing(put(&mut *sink.target, Action::Upsert, &table, &row(1)).await, "40001");
        sink.target.execute("ROLLBACK").await.unwrap();
        // One that has to wait for too long.
        other.execute("BEGIN; LOCK TABLE t").await.unwrap();
        for (setting, state) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
            sink.target.execute(&format!("BEGIN; SET LOCAL {setting} TO '50ms'")).await.unwrap();
            is_passing(put(&mut *sink.target, Action::Insert, &table, &row(3)).await, state);
            sink.target.execute("ROLLBACK").await.unwrap();
        }
        other.execute("ROLLBACK").await.unwrap();
        // One whose server process is ended.
        let pid = sink.rows("SELECT pg_backend_pid()::text").await.remove(0);
        sink.database.execute(&format!("SELECT pg_terminate_backend({pid}, 9000)")).await;
        is_passing(put(&mut *sink.target, Action::Insert, &table, &row(3)).await, "");
        sink.target = connect(&sink.database, true).await;
        sink.insert("t", row(3)).await.unwrap();
        let id = TableId::new(Some("public"), "t");
        assert_eq!(sink.describe("t").await.id, id);
    });
}
