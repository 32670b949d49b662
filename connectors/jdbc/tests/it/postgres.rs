//! PostgreSQL: its types, lost connections, wrong passwords, and tables that change. Skipped, with
//! a message, where no server is installed.

use std::ops::Range;

use async_trait::async_trait;
use millrace_api::data::{Decimal, Records, Value};
use millrace_api::{Plugin, Props};
use millrace_testkit::plugin_host::{MemoryOffsets, run};
use millrace_testkit::source_suite::{self, SourceFixture};
use serde_json::json;

use crate::host::{
    Lines, connector, ids, plugin, props, read, read_to_error, rows, schema, task, task_from,
};
use crate::server::{Database, USER, server};
use crate::sqlite::number;

/// Runs a test with a database that holds this, where there is a server.
fn with(sql: &str, test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(sql).await).await });
    }
}

struct Shop(Database);

#[async_trait]
impl SourceFixture for Shop {
    fn plugin(&self) -> Plugin {
        plugin()
    }

    fn props(&self) -> Props {
        let more =
            [("mode", "incrementing"), ("incrementing.column.name", "id"), ("batch.max.rows", "7")];
        props(&self.0.url(), &more)
    }

    async fn add(&self, numbers: Range<usize>) {
        let rows: Vec<_> = numbers.map(|n| format!("({n}, 'item {n}')")).collect();
        let sql = format!("INSERT INTO orders VALUES {}", rows.join(","));
        self.0.execute(&sql).await;
    }

    fn number(&self, records: &Records, row: usize) -> usize {
        number(records, row)
    }
}

/// The checks of `source_suite!`, each only where there is a server.
macro_rules! suite {
    ($($check:ident)+) => {$(
        #[test]
        fn $check() {
            let sql = "CREATE TABLE orders (id bigint PRIMARY KEY, item text)";
            if let Some(server) = server() {
                source_suite::$check(&Shop(run(server.database(sql))));
            }
        }
    )+};
}

suite! {
    everything_is_read_in_order
    reading_goes_on_from_any_committed_offset
    a_poll_without_news_is_empty
    a_dropped_poll_has_read_nothing
    a_task_stops_while_it_waits
    there_are_no_more_tasks_than_allowed
}

const KINDS: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN cents AS numeric(12,2) NOT NULL;
    CREATE TABLE kinds (
        id serial PRIMARY KEY, s smallint, b bigint NOT NULL, r real, d double precision,
        yes boolean, t text, v varchar(9), c char(4), u uuid, j json, jb jsonb, raw bytea,
        day date, clock time, clockz timetz, moment timestamp, momentz timestamptz,
        price numeric(10,2), whole numeric(5,0), cost cents DEFAULT 0, cash money, m mood,
        flag bit(1), o oid, many int[], span interval, place point);
    INSERT INTO kinds VALUES (1, -2, 3, 1.5, 0.1, true, 'Zoé', 'v', 'c',
        '00112233-4455-6677-8899-aabbccddeeff', '{\"a\": 1}', '{\"a\":1}', '\\x00ff',
        '2026-11-21', '23:59:59.5', '01:00:00+02', '2026-11-21 10:00:00.123456',
        '2026-11-21 10:00:00.123456+02', -19.99, 12345, 7.5, 1234.56, 'bad', B'1', 4000000000,
        '{1}', '1 day', '(1,2)');
    INSERT INTO kinds (id, b) VALUES (2, 9)";

const KINDS_SCHEMA: &str = "kinds\nid INT32\ns? INT16\nb INT64\nr? FLOAT32\nd? FLOAT64\n\
    yes? BOOLEAN\nt? STRING\nv? STRING\nc? STRING\nu? STRING\nj? STRING\njb? STRING\n\
    raw? BYTES\nday? INT32 Date\nclock? INT32 Time\nclockz? INT32 Time\n\
    moment? INT64 Timestamp\nmomentz? INT64 Timestamp\n\
    price? BYTES Decimal scale=2,connect.decimal.precision=10\n\
    whole? BYTES Decimal scale=0,connect.decimal.precision=5\n\
    cost BYTES Decimal scale=2,connect.decimal.precision=12\ncash? FLOAT64\nm? STRING\n\
    flag? BOOLEAN\no? INT64\n";

fn decimal(unscaled: i64, scale: i32) -> Value {
    Value::Decimal(Decimal { unscaled: unscaled.into(), scale })
}

#[test]
fn every_type_has_its_schema_and_its_values() {
    with(KINDS, async |database| {
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let runs = read(&mut *task(&props).await.unwrap(), 2).await;
        assert_eq!(schema(&runs[0]), KINDS_SCHEMA);
        let rows = rows(&runs);
        let first = [
            Value::Int32(1),
            Value::Int16(-2),
            Value::Int64(3),
            Value::Float32(1.5),
            Value::Float64(0.1),
            Value::Boolean(true),
            "Zoé".into(),
            "v".into(),
            "c   ".into(),
            "00112233-4455-6677-8899-aabbccddeeff".into(),
            "{\"a\": 1}".into(),
            "{\"a\": 1}".into(),
            Value::Bytes(vec![0, 255].into()),
            Value::Date(20_778),
            Value::Time(86_399_500),
            Value::Time(82_800_000),
            Value::Timestamp(1_795_255_200_123),
            Value::Timestamp(1_795_248_000_123),
            decimal(-1999, 2),
            decimal(12_345, 0),
            decimal(750, 2),
            Value::Float64(1234.56),
            "bad".into(),
            Value::Boolean(true),
            Value::Int64(4_000_000_000),
        ];
        assert_eq!(rows[0], first);
        assert_eq!((&rows[1][2], &rows[1][20]), (&Value::Int64(9), &decimal(0, 2)));
        assert_eq!(rows[1].iter().filter(|v| v.is_null()).count(), 22);
        let partition = json!({"protocol": "1", "table": "public.kinds"});
        assert_eq!(json!(*runs[0].source_partition), partition);
        let offset = json!({"incrementing": 2, "millrace.gaps": "[[0,0]]"});
        assert_eq!(json!(runs[0].source_offset), offset);
    });
}

const NUMBERS: &str = "
    CREATE TABLE t (a numeric(4,0), b numeric(18,0), c numeric(8,3), d numeric);
    INSERT INTO t VALUES (9999, 999999999999999999, 12345.678,
        123456789012345678901234567890.000000000000000000001), (NULL, -1, -0.001, 5)";

#[test]
fn numeric_mapping_and_numbers_without_a_scale() {
    with(NUMBERS, async |database| {
        let read_with = async |mapping: &str| {
            let more = [("mode", "bulk"), ("numeric.mapping", mapping)];
            let mut task = task(&props(&database.url(), &more)).await.unwrap();
            read(&mut *task, 2).await
        };
        let runs = read_with("precision_only").await;
        let bare = "d? BYTES Decimal scale=127,connect.decimal.precision=0\n";
        let exact = "c? BYTES Decimal scale=3,connect.decimal.precision=8\n";
        let whole = "a? INT16\nb? INT64\n";
        assert_eq!(schema(&runs[0]), format!("t\n{whole}{exact}{bare}"));
        let Value::Decimal(number) = &rows(&runs)[0][3] else { panic!("a decimal") };
        let text = number.to_plain_string();
        let text = text.trim_end_matches('0');
        assert_eq!(text, "123456789012345678901234567890.000000000000000000001");
        let runs = read_with("best_fit").await;
        assert_eq!(schema(&runs[0]), format!("t\n{whole}c? FLOAT64\n{bare}"));
        let expected =
            [Value::Int16(9999), Value::Int64(999_999_999_999_999_999), Value::Float64(12345.678)];
        assert_eq!(rows(&runs)[0][..3], expected);
        assert_eq!(rows(&runs)[1][2], Value::Float64(-0.001));
    });
}

const RANDOM: &str = "
    CREATE TABLE t AS SELECT i,
            ((random() - 0.5) * 10 ^ (i % 30))::numeric(38,8) AS n,
            timestamp '0044-03-15' + random() * interval '4000 years' AS m,
            date '0044-03-15' + (random() * 1000000)::int AS d
        FROM generate_series(1, 500) AS i;
    CREATE VIEW texts AS SELECT i, n::text AS n,
            floor(extract(epoch FROM m) * 1000)::int8::text AS m,
            (d - date '1970-01-01')::text AS d FROM t";

/// The server's own text of random numbers and times is what the binary forms are held against.
#[test]
fn binary_forms_say_what_the_servers_text_says() {
    with(RANDOM, async |database| {
        let read_table = async |table: &str| {
            let more = [
                ("mode", "bulk"),
                ("table.whitelist", table),
                ("table.types", "TABLE,VIEW"),
                ("date.calendar.system", "PROLEPTIC_GREGORIAN"),
            ];
            let mut task = task(&props(&database.url(), &more)).await.unwrap();
            rows(&read(&mut *task, 500).await)
        };
        let texts = read_table("texts").await;
        for (row, text) in read_table("t").await.iter().zip(texts) {
            let [_, Value::Decimal(n), Value::Timestamp(m), Value::Date(d)] = &row[..] else {
                panic!("{row:?}")
            };
            let found = [n.to_plain_string(), m.to_string(), d.to_string()];
            let found = found.map(|text| Value::from(text.as_str()));
            assert_eq!(found, text[1..]);
        }
    });
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    with("", async |database| {
        let more = [
            ("mode", "bulk"),
            ("connection.user", USER),
            ("connection.password", "secret-but-wrong"),
        ];
        let props = props(&database.bare_url(), &more);
        let text = connector(&props).await.err().unwrap().trace();
        assert!(text.contains("check connection.user and connection.password"), "{text}");
        assert!(text.contains("user: millrace"), "{text}");
        assert!(!text.contains("secret-but-wrong"), "{text}");
    });
}

#[test]
fn nobody_listens() {
    run(async {
        let more = [("mode", "bulk"), ("connection.attempts", "2")];
        let props = props("jdbc:postgresql://127.0.0.1:1/shop", &more);
        let text = connector(&props).await.err().unwrap().trace();
        assert!(text.contains("connection.attempts: 2"), "{text}");
        assert!(text.contains("127.0.0.1:1"), "{text}");
    });
}

const MANY: &str = "CREATE TABLE t (id serial PRIMARY KEY, x text);
    INSERT INTO t (x) SELECT repeat('x', 1000) FROM generate_series(1, 20000)";

#[test]
fn a_lost_connection_costs_no_row_and_repeats_none() {
    with(MANY, async |database| {
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let mut task = task(&props).await.unwrap();
        let mut runs = read(&mut *task, 3000).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.execute(kill).await;
        let mut interruptions = 0;
        while ids(&runs).last() != Some(&20_000) {
            match task.poll().await {
                Ok(polled) => runs.extend(polled),
                Err(error) => {
                    assert!(error.is_retriable(), "{error:?}");
                    assert!(error.to_string().contains("public.t"), "{error}");
                    interruptions += 1;
                }
            }
        }
        assert_eq!(interruptions, 1);
        assert_eq!(ids(&runs), (1..=20_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_table_dropped_between_polls_is_named_with_what_to_do() {
    with("", async |database| {
        for (mode, part) in [("incrementing", "not there any more"), ("bulk", "dropped")] {
            let create = "CREATE TABLE t (id serial); INSERT INTO t VALUES (1)";
            database.execute(create).await;
            let props = props(&database.url(), &[("mode", mode)]);
            let mut task = task(&props).await.unwrap();
            read(&mut *task, 1).await;
            database.execute("DROP TABLE t").await;
            let text = read_to_error(&mut *task).await.1.to_string();
            for part in [part, "public.t", "table.whitelist"] {
                assert!(text.contains(part), "{text}");
            }
        }
    });
}

/// The lock that a reader holds keeps a table from changing half-way.
#[test]
fn a_table_that_is_being_read_stays_as_it_is() {
    with(MANY, async |database| {
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let mut task = task(&props).await.unwrap();
        let mut runs = read(&mut *task, 1000).await;
        let blocked = "SET lock_timeout = 50; DROP TABLE t";
        assert!(database.try_execute(blocked).await.is_err());
        runs.extend(read(&mut *task, 19_000).await);
        assert_eq!(ids(&runs), (1..=20_000).collect::<Vec<_>>());
    });
}

#[test]
fn types_that_change_between_polls_are_seen() {
    let sql = "CREATE TABLE t (id serial, n int); INSERT INTO t VALUES (1, 5)";
    with(sql, async |database| {
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let mut task = task(&props).await.unwrap();
        assert_eq!(schema(&read(&mut *task, 1).await[0]), "t\nid INT32\nn? INT32\n");
        let change = "ALTER TABLE t ALTER n TYPE text, ADD z boolean;
            INSERT INTO t VALUES (2, 'a')";
        database.execute(change).await;
        let runs = read(&mut *task, 1).await;
        assert_eq!(schema(&runs[0]), "t\nid INT32\nn? STRING\nz? BOOLEAN\n");
        assert_eq!(rows(&runs), [[Value::Int32(2), "a".into(), Value::Null]]);
    });
}

/// One reader goes on through all that is done to its table.
#[test]
fn a_table_that_is_altered_is_read_on() {
    let sql = "CREATE TABLE t (id serial PRIMARY KEY, n int, at timestamptz DEFAULT now());
        INSERT INTO t (n) VALUES (1)";
    with(sql, async |database| {
        let check = async |mode: &[(&str, &str)]| {
            let mut task = task(&props(&database.url(), mode)).await.unwrap();
            let mut expect = async |change: &str, fields: &str, values: &[Value]| {
                for statement in change.split(';') {
                    database.execute(statement).await;
                }
                let runs = read(&mut *task, 1).await;
                let found = schema(runs.last().unwrap());
                let found: Vec<&str> =
                    found.lines().skip(2).filter(|l| !l.contains("at?")).collect();
                assert_eq!(found.join(", "), fields, "{change}");
                let row = rows(&runs).pop().unwrap();
                let values_of_row: Vec<_> = row.into_iter().skip(1).collect();
                assert!(values.iter().all(|value| values_of_row.contains(value)), "{change}");
            };
            expect("SELECT 1", "n? INT32", &[Value::Int32(1)]).await;
            let add = "ALTER TABLE t ADD extra text DEFAULT 'new'; INSERT INTO t (n) VALUES (2)";
            expect(add, "n? INT32, extra? STRING", &[Value::Int32(2), "new".into()]).await;
            let rename = "ALTER TABLE t RENAME n TO number; INSERT INTO t (number) VALUES (3)";
            expect(rename, "number? INT32, extra? STRING", &[Value::Int32(3)]).await;
            let widen = "ALTER TABLE t ALTER number TYPE bigint;
                INSERT INTO t (number) VALUES (5000000000)";
            let five = Value::Int64(5_000_000_000);
            expect(widen, "number? INT64, extra? STRING", &[five]).await;
            let drop = "ALTER TABLE t DROP extra; INSERT INTO t (number) VALUES (6)";
            expect(drop, "number? INT64", &[Value::Int64(6)]).await;
            let replace = "ALTER TABLE t RENAME TO gone; CREATE TABLE t (id int PRIMARY KEY
                    GENERATED ALWAYS AS IDENTITY (START 900), word text,
                    at timestamptz DEFAULT now()); INSERT INTO t (word) VALUES ('again')";
            expect(replace, "word? STRING", &["again".into()]).await;
            let wrong = "ALTER TABLE t RENAME id TO key; ALTER TABLE t RENAME at TO written";
            for statement in wrong.split(';') {
                database.execute(statement).await;
            }
            let text = read_to_error(&mut *task).await.1.to_string();
            assert!(text.contains("public.t") && text.contains(".column.name"), "{text}");
            let again = "DROP TABLE t; DROP TABLE gone";
            for statement in again.split(';').chain(sql_statements(sql)) {
                database.execute(statement).await;
            }
        };
        let lenient = ("validate.non.null", "false");
        check(&[("mode", "incrementing"), ("incrementing.column.name", "id")]).await;
        check(&[
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "at"),
            ("incrementing.column.name", "id"),
            // An ALTER that rewrites the table has rows of the last minute come again.
            ("commit.safety.grace.ms", "0"),
            lenient,
        ])
        .await;
        // Dropped while it is polled: said, with the way out.
        let by_time = [("mode", "timestamp"), ("timestamp.column.name", "at"), lenient];
        for mode in [&by_time[..], &[("mode", "bulk")]] {
            let mut task = task(&props(&database.url(), mode)).await.unwrap();
            read(&mut *task, 1).await;
            database.execute("DROP TABLE t").await;
            let text = read_to_error(&mut *task).await.1.to_string();
            assert!(text.contains("public.t") && text.contains("table.whitelist"), "{text}");
            for statement in sql_statements(sql) {
                database.execute(statement).await;
            }
        }
    });
}

fn sql_statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(';')
}

#[test]
fn an_index_that_is_missing_is_named_once() {
    let sql =
        "CREATE TABLE t (id int NOT NULL, \"At\" timestamptz, made timestamptz NOT NULL, x text);
        INSERT INTO t SELECT i, now(), now(), repeat('x', 200) FROM generate_series(1, 6000) i";
    with(sql, async |database| {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let check = async |mode: &[(&str, &str)], index: &str| {
            let props = props(&database.url(), mode);
            let mut reader = task(&props).await.unwrap();
            for _ in 0..3 {
                reader.poll().await.unwrap();
            }
            let found = lines.take().matches("run: CREATE INDEX").count();
            assert_eq!(found, 1, "{mode:?}");
            database.execute(index).await;
            let mut reader = task(&props).await.unwrap();
            reader.poll().await.unwrap();
            let lines = lines.take();
            assert!(!lines.contains("run: CREATE INDEX"), "{lines}");
        };
        check(
            &[("mode", "incrementing"), ("incrementing.column.name", "id")],
            r#"CREATE INDEX ON "public"."t" ("id")"#,
        )
        .await;
        check(
            &[("mode", "timestamp"), ("timestamp.column.name", "At,made")],
            r#"CREATE INDEX ON "public"."t" (COALESCE("At", "made"))"#,
        )
        .await;
        let both = [
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "made"),
            ("incrementing.column.name", "id"),
        ];
        check(&both, r#"CREATE INDEX ON "public"."t" ("made", "id")"#).await;
    });
}

#[test]
fn transactions_have_the_isolation_that_is_asked_for() {
    with("", async |database| {
        for (mode, level) in [
            ("DEFAULT", "read committed"),
            ("READ_UNCOMMITTED", "read uncommitted"),
            ("READ_COMMITTED", "read committed"),
            ("repeatable_read", "repeatable read"),
            ("SERIALIZABLE", "serializable"),
        ] {
            let more = [
                ("mode", "bulk"),
                ("query", "SELECT current_setting('transaction_isolation') AS level"),
                ("transaction.isolation.mode", mode),
            ];
            let runs = read(&mut *task(&props(&database.url(), &more)).await.unwrap(), 1).await;
            assert_eq!(rows(&runs)[0], [level.into()], "{mode}");
        }
    });
}

#[test]
fn rights_that_are_missing_are_named() {
    let sql = "CREATE TABLE t (id serial); CREATE ROLE reader LOGIN PASSWORD 'r'";
    with(sql, async |database| {
        let more = [("mode", "bulk"), ("connection.user", "reader"), ("connection.password", "r")];
        let mut task = task(&props(&database.bare_url(), &more)).await.unwrap();
        let (_, error) = read_to_error(&mut *task).await;
        assert!(error.to_string().contains("GRANT SELECT"), "{error}");
    });
}

const COUNTERS: &str = "
    CREATE TABLE nullable (id int);
    CREATE TABLE none (id int NOT NULL);
    CREATE TABLE words (id text NOT NULL);
    INSERT INTO words VALUES ('a')";

#[test]
fn the_incrementing_column() {
    with(COUNTERS, async |database| {
        let check = async |table: &str, column: &str, parts: &[&str]| {
            let more = [
                ("mode", "incrementing"),
                ("table.whitelist", table),
                ("incrementing.column.name", column),
            ];
            let mut task = task(&props(&database.url(), &more)).await.unwrap();
            let text = read_to_error(&mut *task).await.1.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        check("nullable", "id", &["may be NULL", "table: public.nullable"]).await;
        check("none", "", &["no auto-increment column", "public.none"]).await;
        check("none", "nr", &["no such column", "incrementing.column.name: nr"]).await;
        check("words", "id", &["public.words", "is no number"]).await;
    });
}

const ODD_NAMES: &str = r#"
    CREATE SCHEMA "My Shop";
    CREATE TABLE "My Shop"."Or""ders" ("Id" bigserial PRIMARY KEY);
    INSERT INTO "My Shop"."Or""ders" SELECT generate_series(1, 3);
    CREATE TABLE note (id int PRIMARY KEY, x text NOT NULL);
    INSERT INTO note VALUES (2, 'b')"#;

#[test]
fn queries_and_odd_names() {
    with(ODD_NAMES, async |database| {
        let more = [("mode", "incrementing"), ("schema.pattern", "My%")];
        let mut all = task(&props(&database.url(), &more)).await.unwrap();
        let runs = read(&mut *all, 3).await;
        assert_eq!(ids(&runs), [1, 2, 3]);
        assert_eq!(runs[0].source_partition["table"], "My Shop.Or\"ders");
        assert_eq!(&*runs[0].records.topic, "db-Or\"ders");
        let query = r#"SELECT o."Id" AS id, n.x FROM "My Shop"."Or""ders" o
            LEFT JOIN note n ON n.id = o."Id" WHERE o."Id" < 3;"#;
        let more = [("mode", "incrementing"), ("incrementing.column.name", "id"), ("query", query)];
        let mut joined = task(&props(&database.url(), &more)).await.unwrap();
        let runs = read(&mut *joined, 2).await;
        assert_eq!(schema(&runs[0]), "-\nid? INT64\nx? STRING\n");
        assert_eq!(rows(&runs)[1], [Value::Int64(2), "b".into()]);
    });
}

/// Java's driver decides whether its offsets name the database: 42.7.4 does not, 42.7.5 does.
#[test]
fn offsets_that_name_the_database_are_found_and_stay_where_they_are() {
    let sql = "CREATE TABLE t (id serial); INSERT INTO t VALUES (1), (2), (3)";
    with(sql, async |database| {
        let map = |v: serde_json::Value| v.as_object().unwrap().clone();
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let offsets = MemoryOffsets::new();
        let partition = json!({"protocol": "1", "table": format!("{}.public.t", database.name)});
        offsets.store(map(partition.clone()), map(json!({"incrementing": 1})));
        let runs = read(&mut *task_from(&props, &offsets).await.unwrap(), 2).await;
        assert_eq!(ids(&runs), [2, 3]);
        assert_eq!(json!(*runs[0].source_partition), partition);
        let usual = json!({"protocol": "1", "table": "public.t"});
        offsets.store(map(usual.clone()), map(json!({"incrementing": 2})));
        let runs = read(&mut *task_from(&props, &offsets).await.unwrap(), 1).await;
        assert_eq!(ids(&runs), [3]);
        assert_eq!(json!(*runs[0].source_partition), usual);
    });
}

#[test]
fn two_schemas_with_a_table_of_one_name() {
    let sql = "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (id serial);
        CREATE TABLE b.t (id serial); INSERT INTO b.t VALUES (7)";
    with(sql, async |database| {
        let mode = ("mode", "incrementing");
        let both = props(&database.url(), &[mode]);
        let error = connector(&both).await.err().unwrap();
        assert!(error.to_string().contains("share a topic"), "{error}");
        let one = props(&database.url(), &[mode, ("table.whitelist", "b.t")]);
        let offsets = MemoryOffsets::new();
        let runs = read(&mut *task_from(&one, &offsets).await.unwrap(), 1).await;
        assert_eq!(ids(&runs), [7]);
    });
}
