//! The timestamp modes, on SQLite, PostgreSQL and MariaDB: which rows are read, in which order, and
//! the offsets that are Confluent's.

use millrace_api::Props;
use millrace_api::data::{SourceRecords, Value};
use millrace_testkit::plugin_host::{MemoryOffsets, run};
use serde_json::{Value as Json, json};

use crate::host::{ids, props, read, read_to_error, rows as rows_of, schema, task, task_from};
use crate::mariadb_server;
use crate::server::{Database, server};
use crate::sqlite::File;

/// A database of a test.
enum Base {
    Sqlite(File),
    Postgres(Database),
    MariaDb(mariadb_server::Database),
}

impl Base {
    async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(file) => file.execute(sql).await,
            Self::Postgres(database) => database.execute(sql).await,
            Self::MariaDb(database) => database.execute(sql).await,
        }
    }

    fn props(&self, more: &[(&str, &str)]) -> Props {
        let url = match self {
            Self::Sqlite(file) => file.url(),
            Self::Postgres(database) => database.url(),
            Self::MariaDb(database) => database.url(),
        };
        props(&url, more)
    }

    /// How offsets name the only table.
    fn table(&self) -> String {
        match self {
            Self::Sqlite(_) => "t".to_owned(),
            Self::Postgres(_) => "public.t".to_owned(),
            Self::MariaDb(database) => format!("{}.t", database.name()),
        }
    }
}

/// What a client sets is no reason to end with less than an error.
#[test]
fn times_beyond_all_calendars_are_read_on_from() {
    if let Some(server) = server() {
        run(async {
            let base = Base::Postgres(server.database("CREATE TABLE t (at timestamptz)").await);
            let zone = [("validate.non.null", "false"), ("db.timezone", "+02:00")];
            let props = base.props(
                &[&[("mode", "timestamp"), ("timestamp.column.name", "at")][..], &zone].concat(),
            );
            let offsets = MemoryOffsets::new();
            let map = |v: Json| v.as_object().unwrap().clone();
            let partition = map(json!({"protocol": "1", "table": base.table()}));
            offsets.store(partition, map(json!({"timestamp": i64::MAX})));
            let mut task = task_from(&props, &offsets).await.unwrap();
            assert!(task.poll().await.unwrap().is_empty());
        });
    }
}

/// Runs a test on each database that there is, each with these rows.
fn with(sql: &str, test: impl AsyncFn(Base)) {
    run(async {
        test(Base::Sqlite(File::new(sql).await)).await;
        if let Some(server) = server() {
            test(Base::Postgres(server.database(sql).await)).await;
        }
        if let Some(server) = mariadb_server::server() {
            // What is called so there has a zone, and ends in 2038.
            let sql = sql.replace("TIMESTAMP", "DATETIME(3) NULL");
            test(Base::MariaDb(server.database(&sql).await)).await;
        }
    });
}

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMP NOT NULL);";

fn table(rows: &str) -> String {
    format!("{TABLE} INSERT INTO t VALUES {rows}")
}

const BY_TIME: [(&str, &str); 2] = [("mode", "timestamp"), ("timestamp.column.name", "at")];
const BY_BOTH: [(&str, &str); 3] = [
    ("mode", "timestamp+incrementing"),
    ("timestamp.column.name", "AT"),
    ("incrementing.column.name", "id"),
];

/// Without what is kept of late rows.
fn offsets(runs: &[SourceRecords]) -> Vec<Json> {
    let offset = |run: &SourceRecords| {
        let mut offset = run.source_offset.clone().unwrap();
        offset.remove("millrace.unfinished");
        Json::Object(offset)
    };
    runs.iter().map(offset).collect()
}

/// 2024-01-01 and so many seconds.
fn at(seconds: i64, nanos: i64) -> Json {
    json!({"timestamp": (1_704_067_200 + seconds) * 1000 + nanos / 1_000_000,
           "timestamp_nanos": nanos})
}

#[test]
fn a_position_never_lies_among_rows_of_the_same_time() {
    let rows = "(1, '2024-01-01 00:00:01'), (2, '2024-01-01 00:00:02.250'),
        (3, '2024-01-01 00:00:02.250'), (4, '2024-01-01 00:00:02.250'),
        (5, '2024-01-01 00:00:02.250'), (6, '2024-01-01 00:00:03')";
    with(&table(rows), async |base| {
        let props = base.props(&[&BY_TIME[..], &[("batch.max.rows", "2")]].concat());
        let mut reader = task(&props).await.unwrap();
        let runs = read(&mut *reader, 6).await;
        let mut all = ids(&runs);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5, 6]);
        assert_eq!(offsets(&runs), [at(1, 0), at(1, 0), at(3, 0)]);
        let partition = json!({"protocol": "1", "table": base.table()});
        assert_eq!(Json::Object((*runs[0].source_partition).clone()), partition);
        // Changed and new rows come, others do not come again.
        let now = match &base {
            Base::Sqlite(_) => "strftime('%Y-%m-%d %H:%M:%f', 'now')",
            Base::Postgres(_) => "now() AT TIME ZONE 'UTC'",
            Base::MariaDb(_) => "utc_timestamp(3)",
        };
        base.execute(&format!("UPDATE t SET at = {now} WHERE id = 2")).await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [2]);
        base.execute(&format!("INSERT INTO t VALUES (7, {now})")).await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [7]);
        // From the middle of the ties all of them come again.
        let stored = MemoryOffsets::new();
        let map = |v: Json| v.as_object().unwrap().clone();
        stored.store(map(partition), map(offsets(&runs)[1].clone()));
        let mut again = task_from(&props, &stored).await.unwrap();
        let mut first = ids(&read(&mut *again, 4).await)[..4].to_vec();
        first.sort_unstable();
        assert_eq!(first[..3], [3, 4, 5]);
    });
}

#[test]
fn ids_tell_rows_of_the_same_time_apart() {
    let rows = "(1, '2024-01-01 00:00:05'), (2, '2024-01-01 00:00:02.001'),
        (3, '2024-01-01 00:00:02.001'), (4, '2024-01-01 00:00:02.001')";
    with(&table(rows), async |base| {
        let props = base.props(&[&BY_BOTH[..], &[("batch.max.rows", "2")]].concat());
        let runs = read(&mut *task(&props).await.unwrap(), 4).await;
        assert_eq!(ids(&runs), [2, 3, 4, 1]);
        let with_id = |mut offset: Json, id: i64| {
            offset["incrementing"] = id.into();
            offset
        };
        let expected = [with_id(at(2, 1_000_000), 3), with_id(at(5, 0), 1)];
        assert_eq!(offsets(&runs), expected);
        let stored = MemoryOffsets::new();
        let map = |v: Json| v.as_object().unwrap().clone();
        let partition = json!({"protocol": "1", "table": base.table()});
        stored.store(map(partition), map(expected[0].clone()));
        let mut again = task_from(&props, &stored).await.unwrap();
        assert_eq!(ids(&read(&mut *again, 2).await), [4, 1]);
    });
}

#[test]
fn rows_of_the_future_and_of_the_delay_wait() {
    let rows = "(1, '2024-01-01 00:00:00'), (2, '2999-01-01 00:00:00')";
    with(&table(rows), async |base| {
        let mut reader = task(&base.props(&BY_TIME)).await.unwrap();
        assert_eq!(ids(&read(&mut *reader, 1).await), [1]);
        base.execute("UPDATE t SET at = '2024-01-01 00:00:09' WHERE id = 2").await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [2]);
        let century = ("timestamp.delay.interval.ms", "3155760000000");
        let mut late = task(&base.props(&[&BY_TIME[..], &[century]].concat())).await.unwrap();
        for _ in 0..2 {
            assert!(late.poll().await.unwrap().is_empty());
        }
    });
}

#[test]
fn reading_begins_where_configured() {
    let rows = "(1, '2024-01-01 00:00:00'), (2, '2024-01-01 00:00:10')";
    with(&table(rows), async |base| {
        let with =
            |initial| base.props(&[&BY_TIME[..], &[("timestamp.initial", initial)]].concat());
        let mut some = task(&with("1704067200000")).await.unwrap();
        assert_eq!(ids(&read(&mut *some, 1).await), [2]);
        let mut none = task(&with("-1")).await.unwrap();
        assert!(none.poll().await.unwrap().is_empty());
        let zone = ("db.timezone", "+02:00");
        let mut ahead = task(&base.props(&[&BY_TIME[..], &[zone]].concat())).await.unwrap();
        let runs = read(&mut *ahead, 2).await;
        assert_eq!(offsets(&runs), [at(10 - 7200, 0)]);
    });
}

#[test]
fn the_first_time_that_is_not_null_counts() {
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, changed TIMESTAMP, made TIMESTAMP);
        INSERT INTO t VALUES (1, NULL, '2024-01-01 00:00:03'),
            (2, '2024-01-01 00:00:02', '2024-01-01 00:00:01'), (3, NULL, NULL)";
    with(sql, async |base| {
        let both = [("mode", "timestamp"), ("timestamp.column.name", "changed, made")];
        let (_, error) = read_to_error(&mut *task(&base.props(&both)).await.unwrap()).await;
        let text = error.to_string();
        assert!(text.contains("validate.non.null") && text.contains("changed, made"), "{text}");
        let lenient = [&both[..], &[("validate.non.null", "false")]].concat();
        let runs = read(&mut *task(&base.props(&lenient)).await.unwrap(), 2).await;
        assert_eq!(ids(&runs), [2, 1]);
        let wrong = [("mode", "timestamp"), ("timestamp.column.name", "at")];
        let (_, error) = read_to_error(&mut *task(&base.props(&wrong)).await.unwrap()).await;
        assert!(error.to_string().contains("timestamp.column.name: at"), "{error}");
    });
}

#[test]
fn queries_are_read_by_time_too() {
    let rows = "(1, '2024-01-01 00:00:01'), (2, '2024-01-01 00:00:02')";
    with(&table(rows), async |base| {
        let query = ("query", "SELECT id, at AS w FROM t WHERE id < 9");
        let more = [("mode", "timestamp"), ("timestamp.column.name", "w"), query];
        let mut reader = task(&base.props(&more)).await.unwrap();
        let runs = read(&mut *reader, 2).await;
        assert_eq!((ids(&runs), offsets(&runs)), (vec![1, 2], vec![at(2, 0)]));
        base.execute("INSERT INTO t VALUES (3, '2024-01-01 00:00:03')").await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [3]);
    });
}

#[test]
fn tables_are_chosen_by_patterns_each_with_its_columns() {
    run(async {
        let file = File::new(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, at TIMESTAMP NOT NULL);
             CREATE TABLE order_items (nr INTEGER PRIMARY KEY, made TIMESTAMP NOT NULL);
             CREATE TABLE order_log (id INTEGER PRIMARY KEY);
             INSERT INTO orders VALUES (1, '2024-01-01 00:00:01');
             INSERT INTO order_items VALUES (7, '2024-01-01 00:00:02')",
        )
        .await;
        let with = |mapping| {
            let more = [
                ("mode", "timestamp+incrementing"),
                ("table.include.list", "order.*"),
                ("table.exclude.list", ".*_log"),
                ("timestamp.columns.mapping", mapping),
                ("incrementing.column.mapping", "orders:id, order_.*:nr"),
            ];
            props(&file.url(), &more)
        };
        let mut reader = task(&with("orders:[at],.*items:[made]")).await.unwrap();
        let runs = read(&mut *reader, 2).await;
        let mut all = ids(&runs);
        all.sort_unstable();
        assert_eq!(all, [1, 7]);
        let error = task(&with("orders:[at],order.*:[made]")).await.err().unwrap().to_string();
        assert!(error.contains("two entries") && error.contains("table: orders"), "{error}");
    });
}

#[test]
fn zones_whose_clocks_are_changed() {
    let rows = "(1, '2026-03-29 02:30:00'), (2, '2026-10-25 01:30:00'),
        (3, '2026-10-25 02:30:00'), (4, '2026-07-01 12:00:00')";
    with(&table(rows), async |base| {
        let zone = ("db.timezone", "Europe/Berlin");
        let bulk = base.props(&[("mode", "bulk"), zone]);
        let runs = read(&mut *task(&bulk).await.unwrap(), 4).await;
        let found = rows_of(&runs);
        let minute = |text: &str| {
            let second = text.parse::<jiff::Timestamp>().unwrap().as_second();
            Value::Timestamp(second * 1000)
        };
        // Never shown: the rule before. Shown twice: the second time.
        assert_eq!(found[0][1], minute("2026-03-29T01:30:00Z"));
        assert_eq!(found[1][1], minute("2026-10-24T23:30:00Z"));
        assert_eq!(found[2][1], minute("2026-10-25T01:30:00Z"));
        assert_eq!(found[3][1], minute("2026-07-01T10:00:00Z"));
        let past = [zone, ("timestamp.initial", "1783000000000")];
        let props = base.props(&[&BY_TIME[..], &past].concat());
        let mut reader = task(&props).await.unwrap();
        if matches!(base, Base::Sqlite(_)) {
            let (_, error) = read_to_error(&mut *reader).await;
            assert!(error.to_string().contains("db.timezone"), "{error}");
            return;
        }
        // 2026-07-02 13:46:40 in UTC, after the row of July.
        let runs = read(&mut *reader, 2).await;
        assert_eq!(ids(&runs), [2, 3]);
        let last = offsets(&runs).pop().unwrap();
        assert_eq!(last["timestamp"], 1_792_891_800_000_i64);
    });
}

#[test]
fn times_in_every_granularity() {
    let rows = "(1, '2026-07-01 12:00:00.123')";
    with(&table(rows), async |base| {
        let utc = 1_782_900_000_123_i64;
        let cases = [
            ("micros_long", "INT64", Value::Int64(utc * 1000)),
            ("micros_string", "STRING", (utc * 1000).to_string().as_str().into()),
            ("micros_iso_datetime_string", "STRING", "2026-07-01T12:00:00.123000".into()),
            ("nanos_long", "INT64", Value::Int64(utc * 1_000_000)),
            ("nanos_string", "STRING", (utc * 1_000_000).to_string().as_str().into()),
            ("NANOS_ISO_DATETIME_STRING", "STRING", "2026-07-01T12:00:00.123000000".into()),
            ("connect_logical", "INT64 Timestamp", Value::Timestamp(utc)),
        ];
        for (granularity, kind, expected) in cases {
            let more = [("timestamp.granularity", granularity), ("db.timezone", "+02:00")];
            let props = base.props(&[&BY_TIME[..], &more].concat());
            let runs = read(&mut *task(&props).await.unwrap(), 1).await;
            let line = format!("at {kind}");
            assert!(schema(&runs[0]).lines().any(|l| l == line), "{}", schema(&runs[0]));
            assert_eq!(rows_of(&runs)[0][1], expected, "{granularity}");
            assert_eq!(offsets(&runs)[0]["timestamp"], utc);
        }
    });
}

/// All that PostgreSQL keeps of a time.
#[test]
fn microseconds_are_kept_where_they_are_asked_for() {
    let Some(server) = server() else { return };
    run(async {
        let sql = "CREATE TABLE t (id int, at timestamp, z timestamptz, many timestamptz[]);
            INSERT INTO t VALUES (1, '2026-07-01 12:00:00.123456', '2026-07-01 12:00:00.654321+02',
                '{2026-07-01 12:00:00.000001+00}'), (2, 'infinity', NULL, NULL)";
        let database = server.database(sql).await;
        let more = [
            ("mode", "bulk"),
            ("timestamp.granularity", "micros_long"),
            ("sql.complex.types.enable", "true"),
        ];
        let mut reader = task(&props(&database.url(), &more)).await.unwrap();
        let (runs, error) = read_to_error(&mut *reader).await;
        let many = Value::Array(vec![Value::Int64(1_782_907_200_000_001)]);
        let expected =
            [Value::Int64(1_782_907_200_123_456), Value::Int64(1_782_900_000_654_321), many];
        assert_eq!(rows_of(&runs)[0][1..], expected);
        assert!(error.to_string().contains("timestamp.granularity"), "{error}");
    });
}
