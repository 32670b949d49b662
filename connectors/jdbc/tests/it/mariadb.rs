//! MariaDB: its types, lost connections, wrong passwords, and tables that change. Skipped, with a
//! message, where no server is installed.

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
use crate::mariadb_server::{Database, USER, secure_server, server};
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

fn decimal(unscaled: i64, scale: i32) -> Value {
    Value::Decimal(Decimal { unscaled: unscaled.into(), scale })
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec().into())
}

/// A type, a value of it in SQL, the field of its schema, and the value.
type Kind = (&'static str, &'static str, &'static str, Value);

fn numbers() -> Vec<Kind> {
    let (min, max) = (i64::MIN, i64::MAX);
    vec![
        ("tinyint", "-128", "INT8", Value::Int8(-128)),
        ("tinyint unsigned", "255", "INT16", Value::Int16(255)),
        ("tinyint(1)", "7", "INT8", Value::Int8(7)),
        ("tinyint(1) unsigned", "255", "INT16", Value::Int16(255)),
        ("boolean", "true", "INT8", Value::Int8(1)),
        ("smallint", "-32768", "INT16", Value::Int16(-32768)),
        ("smallint unsigned", "65535", "INT32", Value::Int32(65535)),
        ("mediumint", "-8388608", "INT32", Value::Int32(-8_388_608)),
        ("mediumint unsigned", "16777215", "INT64", Value::Int64(16_777_215)),
        ("int", "-2147483648", "INT32", Value::Int32(i32::MIN)),
        ("int(5) unsigned zerofill", "4294967295", "INT64", Value::Int64(4_294_967_295)),
        ("bigint", "-9223372036854775808", "INT64", Value::Int64(min)),
        ("bigint unsigned", "9223372036854775807", "INT64", Value::Int64(max)),
        ("float", "1.5", "FLOAT32", Value::Float32(1.5)),
        ("float unsigned", "0.25", "FLOAT32", Value::Float32(0.25)),
        ("double", "0.1", "FLOAT64", Value::Float64(0.1)),
        ("real", "-1e300", "FLOAT64", Value::Float64(-1e300)),
        (
            "decimal(10,2)",
            "-19.99",
            "BYTES Decimal scale=2,connect.decimal.precision=10",
            decimal(-1999, 2),
        ),
        (
            "numeric(5) unsigned",
            "12345",
            "BYTES Decimal scale=0,connect.decimal.precision=5",
            decimal(12345, 0),
        ),
        ("bit(1)", "b'1'", "INT8", Value::Int8(1)),
        ("bit(7)", "b'1111111'", "INT8", Value::Int8(127)),
        ("bit(8)", "b'11111111'", "INT16", Value::Int16(255)),
        ("bit(20)", "b'11111111111111111111'", "INT32", Value::Int32(0xf_ffff)),
        ("bit(64)", "9223372036854775807", "INT64", Value::Int64(max)),
    ]
}

fn times() -> Vec<Kind> {
    vec![
        ("date", "'2026-11-21'", "INT32 Date", Value::Date(20_778)),
        ("date", "'1000-01-01'", "INT32 Date", Value::Date(-354_280)),
        ("time", "'23:59:59'", "INT32 Time", Value::Time(86_399_000)),
        ("time(6)", "'23:59:59.500999'", "INT32 Time", Value::Time(86_399_500)),
        ("time", "'00:00:00'", "INT32 Time", Value::Time(0)),
        (
            "datetime",
            "'2026-11-21 10:00:00'",
            "INT64 Timestamp",
            Value::Timestamp(1_795_255_200_000),
        ),
        (
            "datetime(6)",
            "'2026-11-21 10:00:00.123456'",
            "INT64 Timestamp",
            Value::Timestamp(1_795_255_200_123),
        ),
        ("datetime", "'2026-11-21'", "INT64 Timestamp", Value::Timestamp(1_795_219_200_000)),
        // What another session wrote at 10:00 in its own zone, +03:00.
        (
            "timestamp(3) NULL",
            "'2026-11-21 10:00:00.123'",
            "INT64 Timestamp",
            Value::Timestamp(1_795_244_400_123),
        ),
        ("year", "2026", "INT32 Date", Value::Date(20_454)),
    ]
}

fn texts() -> Vec<Kind> {
    vec![
        ("char(4)", "'c'", "STRING", "c".into()),
        ("varchar(9)", "'Zoé'", "STRING", "Zoé".into()),
        ("varchar(9) CHARACTER SET latin1", "'Zoé'", "STRING", "Zoé".into()),
        ("varchar(9) COLLATE utf8mb4_bin", "'🦀'", "STRING", "🦀".into()),
        ("varchar(9) CHARACTER SET utf16", "'🦀'", "STRING", "🦀".into()),
        ("tinytext", "'a'", "STRING", "a".into()),
        ("text", "''", "STRING", "".into()),
        ("mediumtext COLLATE utf8mb4_bin", "'m'", "STRING", "m".into()),
        ("longtext", "repeat('x', 20)", "STRING", "xxxxxxxxxxxxxxxxxxxx".into()),
        ("enum('good','bad')", "'bad'", "STRING", "bad".into()),
        ("enum('good','bad') COLLATE utf8mb4_bin", "'bad'", "STRING", "bad".into()),
        ("set('a','b','c')", "'c,a'", "STRING", "a,c".into()),
        ("json", "'{\"a\": 1}'", "STRING", "{\"a\": 1}".into()),
        (
            "uuid",
            "'00112233-4455-6677-8899-aabbccddeeff'",
            "STRING",
            "00112233-4455-6677-8899-aabbccddeeff".into(),
        ),
        ("inet6", "'::1'", "STRING", "::1".into()),
        ("inet4", "'10.0.0.1'", "STRING", "10.0.0.1".into()),
        ("binary(3)", "'ab'", "BYTES", bytes(b"ab\0")),
        ("varbinary(9)", "x'00ff'", "BYTES", bytes(&[0, 255])),
        ("varchar(9) CHARACTER SET binary", "x'ff'", "BYTES", bytes(&[255])),
        ("tinyblob", "x'01'", "BYTES", bytes(&[1])),
        ("blob", "x''", "BYTES", bytes(&[])),
        ("longblob", "x'02'", "BYTES", bytes(&[2])),
        (
            "point",
            "ST_GeomFromText('POINT(1 2)')",
            "BYTES",
            bytes(&[
                0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x40,
            ]),
        ),
    ]
}

#[test]
fn every_type_has_its_schema_and_its_values() {
    let kinds = [numbers(), times(), texts()].concat();
    let columns: Vec<_> =
        kinds.iter().enumerate().map(|(i, (kind, ..))| format!("c{i} {kind}")).collect();
    let values: Vec<_> = kinds.iter().map(|(_, value, ..)| *value).collect();
    let sql = format!(
        "CREATE TABLE kinds (id int AUTO_INCREMENT PRIMARY KEY, {}, g int AS (id + 1));
         INSERT INTO kinds VALUES (NULL, {}, DEFAULT); INSERT INTO kinds (id) VALUES (NULL)",
        columns.join(", "),
        values.join(", ")
    );
    with(&sql, async |database| {
        for from in [("table.whitelist", "kinds"), ("query", "SELECT * FROM kinds")] {
            let more = [("mode", "incrementing"), ("incrementing.column.name", "id"), from];
            let props = props(&database.url(), &more);
            let runs = read(&mut *task(&props).await.unwrap(), 2).await;
            let schema = schema(&runs[0]);
            let mut lines = schema.lines().skip(2);
            let rows = rows(&runs);
            for (i, (kind, sql, field, value)) in kinds.iter().enumerate() {
                assert_eq!(lines.next(), Some(format!("c{i}? {field}").as_str()), "{kind}");
                assert_eq!(rows[0][i + 1], *value, "{kind} {sql}");
                assert_eq!(rows[1][i + 1], Value::Null, "{kind}");
            }
            assert_eq!(lines.next(), Some("g? INT32"));
        }
    });
}

#[test]
fn a_query_by_its_expressions() {
    let sql = "CREATE TABLE a (id bigint unsigned NOT NULL, n decimal(9,3), at timestamp NULL);
        CREATE TABLE b (id int NOT NULL, x varchar(9) NOT NULL);
        CREATE VIEW v AS SELECT id, n * 2 AS twice FROM a;
        INSERT INTO a VALUES (18446744073709551615, NULL, NULL), (1, 1.5, NULL);
        INSERT INTO b VALUES (1, 'x')";
    with(sql, async |database| {
        let read_query = async |query: &str, count: usize| {
            let more = [("mode", "bulk"), ("query", query)];
            let mut task = task(&props(&database.url(), &more)).await.unwrap();
            read(&mut *task, count).await
        };
        let query = "SELECT CAST(a.id AS DECIMAL(20,0)) AS big, a.n / 2 AS half, a.n, b.x,
            CONCAT(b.x, '!') AS t, UNHEX('ff') AS raw, 1 = 1 AS yes, NULL AS nothing, a.id = 1 AS e
            FROM a LEFT JOIN b ON a.id = b.id WHERE a.id > 0 ORDER BY a.id DESC; -- all";
        let runs = read_query(query.trim_end_matches("; -- all"), 2).await;
        assert_eq!(
            schema(&runs[0]),
            "-\nbig? BYTES Decimal scale=0,connect.decimal.precision=65\n\
             half? BYTES Decimal scale=7,connect.decimal.precision=65\n\
             n? BYTES Decimal scale=3,connect.decimal.precision=9\nx? STRING\nt? STRING\n\
             raw? BYTES\nyes? INT32\nnothing? STRING\ne? INT32\n"
        );
        let rows = rows(&runs);
        let Value::Decimal(big) = &rows[0][0] else { panic!("a decimal") };
        assert_eq!(big.to_plain_string(), "18446744073709551615");
        assert_eq!(rows[1][1], decimal(7_500_000, 7));
        assert_eq!(rows[1][3], "x".into());
        assert_eq!(rows[0][3], Value::Null);
        let runs = read_query("SELECT * FROM v WHERE id = 1", 1).await;
        assert_eq!(
            schema(&runs[0]),
            "-\nid INT64\ntwice? BYTES Decimal scale=3,connect.decimal.precision=65\n"
        );
        let more = [("mode", "bulk"), ("table.types", "VIEW,TABLE"), ("table.whitelist", "v")];
        let mut whole = task(&props(&database.url(), &more)).await.unwrap();
        let (before, error) = read_to_error(&mut *whole).await;
        assert!(before.is_empty());
        for part in ["18446744073709551615", "DECIMAL(20,0)", "column: id", "number 1", ".v"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    });
}

#[test]
fn settings_of_the_driver_choose_types() {
    let sql = "CREATE TABLE t (b tinyint(1) NOT NULL, y year NOT NULL, d date NOT NULL);
        INSERT INTO t VALUES (5, 1999, '2024-02-29')";
    with(sql, async |database| {
        let more = [
            ("mode", "bulk"),
            ("connection.transformedBitIsBoolean", "true"),
            ("connection.yearIsDateType", "false"),
        ];
        let mut task = task(&props(&database.url(), &more)).await.unwrap();
        let runs = read(&mut *task, 1).await;
        assert_eq!(schema(&runs[0]), "t\nb BOOLEAN\ny INT32\nd INT32 Date\n");
        let expected = [Value::Boolean(true), Value::Int32(1999), Value::Date(19_782)];
        assert_eq!(rows(&runs)[0], expected);
    });
}

#[test]
fn zero_dates() {
    let sql = "SET sql_mode = 'ALLOW_INVALID_DATES';
        CREATE TABLE t (id int PRIMARY KEY, d date NOT NULL, m datetime(3), y year);
        INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', 0), (2, '2024-00-10',
            '2024-05-00 01:00:00', 2024);
        CREATE TABLE odd (d date); INSERT INTO odd VALUES ('2024-02-31')";
    with(sql, async |database| {
        let base = [("mode", "incrementing"), ("incrementing.column.name", "id")];
        let with = |more: &[(&str, &str)]| props(&database.url(), &[&base[..], more].concat());
        let only_t = ("table.whitelist", "t");
        let mut refused = task(&with(&[only_t])).await.unwrap();
        let (_, error) = read_to_error(&mut *refused).await;
        for part in ["0000-00-00", "zeroDateTimeBehavior=convertToNull", "id = 1", "column: d"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let zero = |how| ("connection.zeroDateTimeBehavior", how);
        let mut as_null = task(&with(&[only_t, zero("convertToNull")])).await.unwrap();
        let runs = read(&mut *as_null, 2).await;
        assert_eq!(
            schema(&runs[0]),
            "t\nid INT32\nd? INT32 Date\nm? INT64 Timestamp\ny? INT32 Date\n"
        );
        assert_eq!(rows(&runs)[0][1..], [Value::Null, Value::Null, Value::Null]);
        assert_eq!(rows(&runs)[1][1..], [Value::Null, Value::Null, Value::Date(19_723)]);
        let calendar = ("date.calendar.system", "PROLEPTIC_GREGORIAN");
        let mut rounded = task(&with(&[only_t, zero("round"), calendar])).await.unwrap();
        let rows = rows(&read(&mut *rounded, 2).await);
        let (first_day, first) = (Value::Date(-719_162), Value::Timestamp(-62_135_596_800_000));
        assert_eq!(rows[0][1..], [first_day.clone(), first, first_day]);
        let may = Value::Timestamp(1_714_525_200_000);
        assert_eq!(rows[1][1..3], [Value::Date(19_732), may]);
        let odd = [("mode", "bulk"), ("table.whitelist", "odd")];
        let mut odd = task(&props(&database.url(), &odd)).await.unwrap();
        let (_, error) = read_to_error(&mut *odd).await;
        assert!(error.to_string().contains("2024-02-31, a day that there is not"), "{error}");
    });
}

#[test]
fn times_that_are_intervals_are_refused() {
    let sql = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a time)";
    with(sql, async |database| {
        for time in ["-00:00:01", "24:00:00", "838:59:59"] {
            database.execute(&format!("DELETE FROM t; INSERT INTO t (a) VALUES ('{time}')")).await;
            let mut task = task(&props(&database.url(), &[("mode", "bulk")])).await.unwrap();
            let (_, error) = read_to_error(&mut *task).await;
            assert!(error.to_string().contains("TIME_TO_SEC"), "{error}");
        }
    });
}

#[test]
fn values_past_16_mib_come_whole() {
    let sql = "SET GLOBAL max_allowed_packet = 67108864;
        CREATE TABLE t (id int PRIMARY KEY, x longtext)";
    with(sql, async |database| {
        database.execute("INSERT INTO t VALUES (1, repeat('é', 20000000)), (2, 'b')").await;
        let mut task = task(&props(&database.url(), &[("mode", "bulk")])).await.unwrap();
        let rows = rows(&read(&mut *task, 2).await);
        let Value::String(long) = &rows[0][1] else { panic!("a string") };
        assert_eq!(long.len(), 40_000_000);
        assert!(long.chars().all(|c| c == 'é'));
        assert_eq!(rows[1][1], "b".into());
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
        assert!(text.contains("user: millrace") && text.contains("SQLState: 28000"), "{text}");
        assert!(!text.contains("secret-but-wrong"), "{text}");
    });
}

#[test]
fn what_is_wrong_with_a_connection_is_said() {
    with("", async |database| {
        let check = async |url: &str, parts: &[&str]| {
            let more = [("mode", "bulk"), ("connection.attempts", "1")];
            let text = connector(&props(url, &more)).await.err().unwrap().trace();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        };
        check("jdbc:mariadb://127.0.0.1:1/shop", &["127.0.0.1:1", "connection.attempts: 1"]).await;
        check("jdbc:mysql://no.such.host.invalid/x", &["no.such.host.invalid:3306"]).await;
        let elsewhere = database.url().replace(&format!("/{}?", database.name()), "/nowhere?");
        check(&elsewhere, &["name an existing database", "1049"]).await;
        let tls = format!("{}&sslMode=REQUIRED", database.url());
        check(&tls, &["sslMode", "does not support TLS"]).await;
    });
}

const MANY: &str = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, x text);
    INSERT INTO t (x) SELECT repeat('x', 1000) FROM seq_1_to_20000";

#[test]
fn a_lost_connection_costs_no_row_and_repeats_none() {
    with(MANY, async |database| {
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let mut task = task(&props).await.unwrap();
        let mut runs = read(&mut *task, 3000).await;
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
        let mut interruptions = 0;
        while ids(&runs).last() != Some(&20_000) {
            match task.poll().await {
                Ok(polled) => runs.extend(polled),
                Err(error) => {
                    assert!(error.is_retriable(), "{error:?}");
                    assert!(error.to_string().contains(".t"), "{error}");
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
            let create = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY);
                INSERT INTO t VALUES (1)";
            database.execute(create).await;
            let props = props(&database.url(), &[("mode", mode)]);
            let mut task = task(&props).await.unwrap();
            read(&mut *task, 1).await;
            database.execute("DROP TABLE t").await;
            let text = read_to_error(&mut *task).await.1.to_string();
            for part in [part, ".t", "table.whitelist"] {
                assert!(text.contains(part), "{text}");
            }
        }
    });
}

#[test]
fn types_that_change_between_polls_are_seen() {
    let sql = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, n int);
        INSERT INTO t VALUES (1, 5)";
    with(sql, async |database| {
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let mut task = task(&props).await.unwrap();
        assert_eq!(schema(&read(&mut *task, 1).await[0]), "t\nid INT32\nn? INT32\n");
        let change = "ALTER TABLE t MODIFY n text, ADD z bit(1); INSERT INTO t VALUES (2, 'a', 1)";
        database.execute(change).await;
        let runs = read(&mut *task, 1).await;
        assert_eq!(schema(&runs[0]), "t\nid INT32\nn? STRING\nz? INT8\n");
        assert_eq!(rows(&runs), [[Value::Int32(2), "a".into(), Value::Int8(1)]]);
    });
}

#[test]
fn rights_that_are_missing_are_named() {
    with("CREATE TABLE t (id int, secret int)", async |database| {
        let name = database.name();
        let grant = format!(
            "CREATE USER reader_{name} IDENTIFIED BY 'r';
             GRANT SELECT (id) ON {name}.t TO reader_{name}"
        );
        database.execute(&grant).await;
        let user = format!("reader_{name}");
        let more =
            [("mode", "bulk"), ("connection.user", user.as_str()), ("connection.password", "r")];
        let mut task = task(&props(&database.bare_url(), &more)).await.unwrap();
        let (_, error) = read_to_error(&mut *task).await;
        assert!(error.to_string().contains("GRANT SELECT"), "{error}");
    });
}

const COUNTERS: &str = "
    CREATE TABLE nullable (id int);
    CREATE TABLE none (id int NOT NULL);
    CREATE TABLE words (id varchar(9) NOT NULL);
    INSERT INTO words VALUES ('5')";

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
        check("nullable", "id", &["may be NULL", ".nullable"]).await;
        check("none", "", &["no auto-increment column", ".none"]).await;
        check("none", "nr", &["no such column", "incrementing.column.name: nr"]).await;
        check("words", "id", &["must hold whole numbers", "column: id"]).await;
    });
}

#[test]
fn odd_names_tables_of_other_databases_and_offsets() {
    with("", async |database| {
        let other = format!("{}.my-shop", database.name());
        let sql = format!(
            "CREATE DATABASE `{other}`; CREATE TABLE `{other}`.`Or``de.rs` (
                 `I.d` bigint AUTO_INCREMENT PRIMARY KEY, `n.5` decimal(9,2));
             INSERT INTO `{other}`.`Or``de.rs` VALUES (1, 5), (2, NULL), (3, NULL)"
        );
        database.execute(&sql).await;
        let more = [("mode", "incrementing"), ("catalog.pattern", other.as_str())];
        let runs = read(&mut *task(&props(&database.url(), &more)).await.unwrap(), 3).await;
        assert_eq!(ids(&runs), [1, 2, 3]);
        assert_eq!(runs[0].source_partition["table"], format!("{other}.Or`de.rs"));
        assert_eq!(&*runs[0].records.topic, "db-Or`de.rs");
        let query = format!("SELECT * FROM `{other}`.`Or``de.rs` x WHERE x.`I.d` < 3");
        let more = [
            ("mode", "incrementing"),
            ("incrementing.column.name", "I.d"),
            ("query", query.as_str()),
        ];
        let runs = read(&mut *task(&props(&database.url(), &more)).await.unwrap(), 2).await;
        let decimal = "BYTES Decimal scale=2,connect.decimal.precision=9";
        assert_eq!(schema(&runs[0]), format!("-\nI.d INT64\nn.5? {decimal}\n"));
        let plain = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY); INSERT INTO t VALUES (7)";
        database.execute(plain).await;
        let props = props(&database.url(), &[("mode", "incrementing")]);
        let runs = read(&mut *task_from(&props, &MemoryOffsets::new()).await.unwrap(), 1).await;
        let table = format!("{}.t", database.name());
        assert_eq!(json!(*runs[0].source_partition), json!({"protocol": "1", "table": table}));
        assert_eq!(runs[0].source_offset.as_ref().unwrap()["incrementing"], 7);
    });
}

/// `TIMESTAMP` is a point in time, whatever zones the server, its sessions and `db.timezone` have.
/// Without a fraction, a second is read when it is over.
#[test]
fn timestamps_have_their_zone() {
    let sql = "SET time_zone = '+05:30';
        CREATE TABLE t (id int PRIMARY KEY, at timestamp(6) NOT NULL, d datetime(6) NOT NULL);
        INSERT INTO t VALUES (1, '2024-01-01 05:30:01.000001', '2024-01-01 00:00:01.000001'),
            (2, '2024-01-01 05:30:01.000002', '2024-01-01 00:00:01.000002')";
    with(sql, async |database| {
        let check = async |column: &str, zone: &str, millis: i64| {
            let more = [
                ("mode", "timestamp"),
                ("timestamp.column.name", column),
                ("db.timezone", zone),
                ("connection.serverTimezone", "Asia/Kolkata"),
            ];
            let props = props(&database.url(), &more);
            let offsets = MemoryOffsets::new();
            let run =
                read(&mut *task_from(&props, &offsets).await.unwrap(), 2).await.pop().unwrap();
            let offset = run.source_offset.unwrap();
            assert_eq!(
                (&offset["timestamp"], &offset["timestamp_nanos"]),
                (&json!(millis), &json!(2000))
            );
            // From the first of them on, the second comes again.
            let mut before = offset.clone();
            before.insert("timestamp_nanos".to_owned(), json!(1000));
            offsets.store((*run.source_partition).clone(), before);
            let runs = read(&mut *task_from(&props, &offsets).await.unwrap(), 1).await;
            assert_eq!(ids(&runs), [2]);
            let value = match column {
                "at" => &rows(&runs)[0][1],
                _ => &rows(&runs)[0][2],
            };
            assert_eq!(*value, Value::Timestamp(millis));
        };
        let second = 1_704_067_201_000;
        check("at", "UTC", second).await;
        check("at", "+02:00", second).await;
        check("d", "UTC", second).await;
        check("d", "+02:00", second - 7_200_000).await;
        let mixed = [("mode", "timestamp"), ("timestamp.column.name", "at,d")];
        let mut both = task(&props(&database.url(), &mixed)).await.unwrap();
        assert_eq!(ids(&read(&mut *both, 2).await), [1, 2]);
        let zone = [&mixed[..], &[("db.timezone", "+02:00")]].concat();
        let mut refused = task(&props(&database.url(), &zone)).await.unwrap();
        let (_, error) = read_to_error(&mut *refused).await;
        assert!(error.to_string().contains("columns of one type"), "{error}");
    });
}

#[test]
fn several_readers_give_every_row_once() {
    with(MANY, async |database| {
        database.execute("DELETE FROM t WHERE id BETWEEN 5000 AND 9000").await;
        let more = [
            ("mode", "incrementing"),
            ("snapshot.parallelism", "4"),
            ("snapshot.chunk.rows", "1000"),
        ];
        let mut task = task(&props(&database.url(), &more)).await.unwrap();
        let mut found = ids(&read(&mut *task, 15_999).await);
        found.sort_unstable();
        let expected: Vec<i64> = (1..5000).chain(9001..=20_000).collect();
        assert_eq!(found, expected);
        database.execute("INSERT INTO t VALUES (20001, 'new')").await;
        assert_eq!(ids(&read(&mut *task, 1).await), [20_001]);
    });
}

#[test]
fn a_validation_hears_what_is_wrong() {
    let sql = "CREATE TABLE a (id int, at datetime); INSERT INTO a VALUES (2, NULL), (1, NULL)";
    with(sql, async |database| {
        let problem = async |more: &[(&str, &str)]| {
            let errors = plugin().verify(props(&database.url(), more)).await.unwrap().errors;
            errors.into_iter().map(|e| format!("{}: {}", e.key, e.message)).collect::<String>()
        };
        let bulk = ("mode", "bulk");
        let limited = ("query", "SELECT * FROM a ORDER BY id LIMIT 9;");
        assert_eq!(problem(&[bulk]).await, "");
        assert_eq!(problem(&[bulk, limited]).await, "");
        let mut ordered = task(&props(&database.url(), &[bulk, limited])).await.unwrap();
        assert_eq!(ids(&read(&mut *ordered, 2).await), [1, 2], "the order of a query is kept");
        let wrong = problem(&[bulk, ("query", "SELECT nr FROM a")]).await;
        assert!(wrong.starts_with("query: ") && wrong.contains("Unknown column"), "{wrong}");
        let by_time = [("mode", "timestamp"), ("timestamp.column.name", "w"), limited];
        let missing = problem(&by_time).await;
        assert!(missing.contains("timestamp.column.name: w"), "{missing}");
        let refused = [bulk, ("connection.url", "jdbc:mysql://127.0.0.1:1/a")];
        let refused = problem(&refused).await;
        assert!(refused.starts_with("connection.url: Could not connect to database"), "{refused}");
    });
}

#[test]
fn tls_as_the_url_wants_it() {
    let Some((server, authority)) = secure_server() else { return };
    run(async {
        let database = server.database("").await;
        let query = "SELECT variable_value FROM information_schema.session_status
            WHERE variable_name = 'SSL_CIPHER'";
        let authority = format!("serverSslCert={}", authority.display());
        let with = |settings: &str| {
            let url = format!("{}&{settings}", database.url()).replace("AUTHORITY", &authority);
            props(&url, &[("mode", "bulk"), ("query", query), ("connection.attempts", "1")])
        };
        let cipher = async |settings: &str| {
            let mut reader = task(&with(settings)).await.unwrap();
            match rows(&read(&mut *reader, 1).await).remove(0).remove(0) {
                Value::String(cipher) => cipher.to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(cipher("useSSL=false").await, "");
        for settings in [
            "",
            "sslMode=REQUIRED",
            "sslMode=VERIFY_CA&AUTHORITY",
            "sslMode=verify-full&AUTHORITY",
            "useSsl=true&AUTHORITY",
        ] {
            assert!(!cipher(settings).await.is_empty(), "{settings}");
        }
        let verified = with("sslMode=VERIFY_CA");
        let errors = plugin().verify(verified).await.unwrap().errors;
        assert!(errors[0].message.contains("serverSslCert"), "{errors:?}");
        let elsewhere = with("sslMode=VERIFY_IDENTITY&AUTHORITY");
        let url = elsewhere["connection.url"].replace("127.0.0.1", "localhost");
        let mut elsewhere = elsewhere.clone();
        elsewhere.insert("connection.url".to_owned(), url);
        let errors = plugin().verify(elsewhere).await.unwrap().errors;
        assert!(errors[0].message.contains("sslMode"), "{errors:?}");
    });
}

#[test]
fn an_index_that_is_missing_is_named_once() {
    let sql = "CREATE TABLE t (id int NOT NULL, at datetime NOT NULL, x text);
        INSERT INTO t SELECT seq, '2024-01-01', repeat('x', 50) FROM seq_1_to_20000;
        ANALYZE TABLE t";
    with(sql, async |database| {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let both = [
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "at"),
            ("incrementing.column.name", "id"),
        ];
        for (mode, columns) in
            [(&both[..], "(`at`, `id`)"), (&[("mode", "incrementing"), both[2]], "(`id`)")]
        {
            let props = props(&database.url(), mode);
            let mut reader = task(&props).await.unwrap();
            for _ in 0..3 {
                reader.poll().await.unwrap();
            }
            // Who reads a table keeps it as it is.
            drop(reader);
            let index = format!("ALTER TABLE `{}`.`t` ADD INDEX {columns}", database.name());
            let found = lines.take();
            assert_eq!(found.matches(&format!("run: {index}")).count(), 1, "{found}");
            database.execute(&index).await;
            task(&props).await.unwrap().poll().await.unwrap();
            assert!(!lines.take().contains("run: ALTER"));
        }
    });
}
