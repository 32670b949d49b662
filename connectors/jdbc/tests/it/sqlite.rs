//! SQLite: every declared type, both modes, and what goes wrong with tables and values.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::data::{Records, Value};
use millrace_api::{Plugin, Props};
use millrace_testkit::plugin_host::{MemoryOffsets, run};
use millrace_testkit::source_suite;
use millrace_testkit::source_suite::SourceFixture;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::host::{
    connector, ids, plugin, props, read, read_to_error, rows, schema, task, task_from, until,
};

/// A database file of one test.
pub(crate) struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    pub(crate) async fn new(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.db");
        let file = Self { _folder: folder, path };
        file.execute(sql).await;
        file
    }

    pub(crate) fn url(&self) -> String {
        format!("jdbc:sqlite:{}", self.path.display())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let mut connection = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            .connect()
            .await
            .unwrap();
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    pub(crate) fn props(&self, more: &[(&str, &str)]) -> Props {
        props(&self.url(), more)
    }
}

struct Shop(File);

impl Shop {
    fn new() -> Self {
        let sql = "CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)";
        Self(run(File::new(sql)))
    }
}

#[async_trait]
impl SourceFixture for Shop {
    fn plugin(&self) -> Plugin {
        plugin()
    }

    fn props(&self) -> Props {
        self.0.props(&[("mode", "incrementing"), ("batch.max.rows", "7")])
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

/// The id of a record, after a look at its other field.
pub(crate) fn number(records: &Records, row: usize) -> usize {
    assert_eq!(&*records.topic, "db-orders");
    let Value::Struct(fields) = records.value.value(row).unwrap() else { panic!("a struct") };
    let number = match fields.values()[0] {
        Value::Int32(id) => usize::try_from(id).unwrap(),
        Value::Int64(id) => usize::try_from(id).unwrap(),
        ref other => panic!("{other:?}"),
    };
    assert_eq!(fields.values()[1], format!("item {number}").as_str().into());
    number
}

source_suite!(suite, Shop::new());

#[test]
fn every_type_has_its_schema_and_its_values() {
    run(async {
        let file = File::new(
            "CREATE TABLE kinds (
                 id INTEGER PRIMARY KEY, tiny TINYINT, small SMALLINT NOT NULL, big BIGINT,
                 yes BOOLEAN, real REAL, price DECIMAL(10,2), name VARCHAR(20) NOT NULL,
                 raw BLOB, day DATE, clock TIME, moment TIMESTAMP, doc JSON, anything);
             INSERT INTO kinds VALUES (1, -3, 300, 1099511627776, 1, 0.1, 19.99, 'Zoé',
                 x'00ff', '2026-11-21', '23:59:59.5', '2026-11-21 10:00:00.123', '{\"a\":1}', 2.5);
             INSERT INTO kinds (id, small, name) VALUES (2, 1, '')",
        )
        .await;
        let props = file.props(&[("mode", "incrementing"), ("table.whitelist", "kinds")]);
        let runs = read(&mut *task(&props).await.unwrap(), 2).await;
        let expected = "kinds\nid INT32\ntiny? INT8\nsmall INT16\nbig? INT64\nyes? BOOLEAN\n\
            real? FLOAT64\nprice? BYTES Decimal scale=2,connect.decimal.precision=10\n\
            name STRING\nraw? BYTES\nday? INT32 Date\nclock? INT32 Time\n\
            moment? INT64 Timestamp\ndoc? STRING\nanything? FLOAT64\n";
        assert_eq!(schema(&runs[0]), expected);
        let rows = rows(&runs);
        let price = Value::Decimal(millrace_api::data::Decimal { unscaled: 1999.into(), scale: 2 });
        let first = [
            Value::Int32(1),
            Value::Int8(-3),
            Value::Int16(300),
            Value::Int64(1 << 40),
            Value::Boolean(true),
            Value::Float64(0.1),
            price,
            "Zoé".into(),
            Value::Bytes(vec![0, 255].into()),
            Value::Date(20_778),
            Value::Time(86_399_500),
            Value::Timestamp(1_795_255_200_123),
            "{\"a\":1}".into(),
            Value::Float64(2.5),
        ];
        assert_eq!(rows[0], first);
        assert!(rows[1][8..].iter().all(Value::is_null));
        let run = &runs[0];
        assert_eq!(&*run.records.topic, "db-kinds");
        assert!(run.records.key.is_null(0) && run.records.timestamps.is_none());
        let partition = json!({"protocol": "1", "table": "kinds"});
        assert_eq!(json!(*run.source_partition), partition);
        assert_eq!(json!(run.source_offset), json!({"incrementing": 2}));
    });
}

#[test]
fn bulk_reads_everything_again_without_offsets() {
    run(async {
        let file = File::new("CREATE TABLE t (id INT); INSERT INTO t VALUES (3), (1), (2)").await;
        let mut task = task(&file.props(&[("mode", "bulk")])).await.unwrap();
        let runs = read(&mut *task, 6).await;
        assert_eq!(ids(&runs), [3, 1, 2, 3, 1, 2]);
        assert_eq!(json!(*runs[0].source_partition), json!({"table": "t"}));
        assert!(runs[0].source_offset.is_none());
    });
}

#[test]
fn old_offsets_are_understood() {
    run(async {
        let file = File::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3), (4)",
        )
        .await;
        let props = file.props(&[("mode", "incrementing"), ("incrementing.column.name", "ID")]);
        let offsets = MemoryOffsets::new();
        let store = |partition: serde_json::Value, offset: serde_json::Value| {
            let map = |v: serde_json::Value| v.as_object().unwrap().clone();
            offsets.store(map(partition), map(offset));
        };
        store(json!({"table": "t"}), json!({"incrementing": 1, "timestamp": 5}));
        let mut old = task_from(&props, &offsets).await.unwrap();
        assert_eq!(ids(&read(&mut *old, 3).await), [2, 3, 4]);
        store(json!({"table": "t", "protocol": "1"}), json!({"incrementing": 3}));
        let mut new = task_from(&props, &offsets).await.unwrap();
        assert_eq!(ids(&read(&mut *new, 1).await), [4]);
        store(json!({"table": "t", "protocol": "1"}), json!({"incrementing": "x"}));
        let error = task_from(&props, &offsets).await.err().unwrap();
        assert!(error.to_string().contains("no whole number"), "{error}");
    });
}

#[test]
fn a_schema_that_changes_is_seen_at_the_next_query() {
    run(async {
        let file =
            File::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
        let mut task = task(&file.props(&[("mode", "incrementing")])).await.unwrap();
        assert_eq!(schema(&read(&mut *task, 1).await[0]), "t\nid INT32\n");
        file.execute("ALTER TABLE t ADD COLUMN name TEXT; INSERT INTO t VALUES (2, 'b')").await;
        let runs = read(&mut *task, 1).await;
        assert_eq!(schema(&runs[0]), "t\nid INT32\nname? STRING\n");
        assert_eq!(rows(&runs), [[Value::Int32(2), "b".into()]]);
    });
}

#[test]
fn a_dropped_table_is_named_with_what_to_do() {
    run(async {
        for (mode, part) in [("incrementing", "not there any more"), ("bulk", "dropped")] {
            let file =
                File::new("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
                    .await;
            let mut task = task(&file.props(&[("mode", mode)])).await.unwrap();
            read(&mut *task, 1).await;
            file.execute("DROP TABLE t").await;
            let (_, error) = read_to_error(&mut *task).await;
            let text = error.to_string();
            for part in [part, "t", "table.whitelist"] {
                assert!(text.contains(part), "{text}");
            }
        }
    });
}

#[test]
fn null_in_the_incrementing_column() {
    run(async {
        let file =
            File::new("CREATE TABLE t (n INT, x TEXT); INSERT INTO t VALUES (NULL, 'a'), (1, 'b')")
                .await;
        let named = [("mode", "incrementing"), ("incrementing.column.name", "n")];
        let (_, error) = read_to_error(&mut *task(&file.props(&named)).await.unwrap()).await;
        let text = error.to_string();
        for part in ["may be NULL", "table: t", "column: n", "validate.non.null=false"] {
            assert!(text.contains(part), "{text}");
        }
        let lenient = [named[0], named[1], ("validate.non.null", "false")];
        let runs = read(&mut *task(&file.props(&lenient)).await.unwrap(), 1).await;
        assert_eq!(ids(&runs), [1]);
    });
}

#[test]
fn a_number_too_big_for_its_type() {
    run(async {
        let file = File::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT);
             INSERT INTO t VALUES (1, 5), (2, 6), (3, 1099511627776), (4, 7)",
        )
        .await;
        let props = file.props(&[("mode", "incrementing")]);
        let (before, error) = read_to_error(&mut *task(&props).await.unwrap()).await;
        assert_eq!(ids(&before), [1, 2]);
        let text = error.to_string();
        for part in [
            "column n holds 1099511627776, a number too big for its type INT32",
            "declare the column BIGINT",
            "row: id = 3",
            "table: t",
        ] {
            assert!(text.contains(part), "{text}");
        }
        // A table whose numbers are big from the start is an int64, as with Java's driver.
        let offsets = MemoryOffsets::new();
        offsets.commit(before.last().unwrap());
        let runs = read(&mut *task_from(&props, &offsets).await.unwrap(), 2).await;
        assert_eq!(ids(&runs), [3, 4]);
    });
}

#[test]
fn values_of_another_type_are_not_shown() {
    run(async {
        let file = File::new("CREATE TABLE t (n INT); INSERT INTO t VALUES (1), ('hunter2')").await;
        let mut task = task(&file.props(&[("mode", "bulk")])).await.unwrap();
        let (before, error) = read_to_error(&mut *task).await;
        assert_eq!(ids(&before), [1]);
        let text = error.to_string();
        assert!(text.contains("column n holds a TEXT"), "{text}");
        assert!(text.contains("number 2 of the result"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    });
}

#[test]
fn queries_may_have_a_where_of_their_own() {
    run(async {
        let file = File::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT NOT NULL);
             INSERT INTO t VALUES (1, 5), (2, 6), (3, 5)",
        )
        .await;
        let props = file.props(&[
            ("mode", "incrementing"),
            ("incrementing.column.name", "id"),
            ("query", "SELECT id, n, n * 2 AS twice FROM t WHERE n = 5 -- only these"),
        ]);
        let mut task = task(&props).await.unwrap();
        let runs = read(&mut *task, 2).await;
        assert_eq!(ids(&runs), [1, 3]);
        assert_eq!(schema(&runs[0]), "-\nid INT32\nn INT32\ntwice? INT64\n");
        assert_eq!(&*runs[0].records.topic, "db-");
        assert_eq!(json!(*runs[0].source_partition), json!({"query": "query"}));
        file.execute("INSERT INTO t VALUES (4, 6), (5, 5)").await;
        assert_eq!(ids(&read(&mut *task, 1).await), [5]);
    });
}

#[test]
fn tables_are_chosen_and_dealt() {
    run(async {
        let file = File::new(
            "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY);
             CREATE TABLE `c,d` (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW v AS SELECT 1",
        )
        .await;
        let dealt = async |more: &[(&str, &str)], max: usize| {
            let mut all = vec![("mode", "incrementing")];
            all.extend(more);
            let (mut connector, _) = connector(&file.props(&all)).await.unwrap();
            let configs = connector.task_configs(max).await.unwrap();
            configs.iter().map(|c| c["tables"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(dealt(&[], 2).await, ["`a`,`b`", "`c,d`"]);
        assert_eq!(dealt(&[], 9).await, ["`a`", "`b`", "`c,d`"]);
        assert_eq!(dealt(&[("table.whitelist", "b,nothing")], 9).await, ["`b`"]);
        assert_eq!(dealt(&[("table.blacklist", "b,`a`")], 9).await, ["`c,d`"]);
        assert_eq!(dealt(&[("table.types", "VIEW")], 9).await, ["`v`"]);
        assert_eq!(dealt(&[("table.whitelist", "nothing")], 9).await, [""]);
        let none = file.props(&[("mode", "bulk"), ("table.whitelist", "nothing")]);
        let error = task(&none).await.err().unwrap().to_string();
        assert!(error.contains("was not assigned a table nor a query"), "{error}");
    });
}

#[test]
fn tables_that_come_and_go_are_noticed() {
    run(async {
        let file = File::new("CREATE TABLE a (id INTEGER PRIMARY KEY)").await;
        let props = file.props(&[("mode", "bulk"), ("table.poll.interval.ms", "20")]);
        let (mut connector, requests) = connector(&props).await.unwrap();
        let asked = |times: usize| {
            let requests = Arc::clone(&requests);
            async move { until(|| *requests.reconfigurations.lock().unwrap() == times).await }
        };
        assert_eq!(connector.task_configs(1).await.unwrap()[0]["tables"], "`a`");
        file.execute("CREATE TABLE b (id INTEGER)").await;
        asked(1).await;
        assert_eq!(connector.task_configs(1).await.unwrap()[0]["tables"], "`b`,`a`");
        file.execute("DROP TABLE a").await;
        asked(2).await;
        assert_eq!(connector.task_configs(1).await.unwrap()[0]["tables"], "`b`");
        connector.stop().await.unwrap();
        assert!(requests.errors.lock().unwrap().is_empty());
    });
}

#[test]
fn files_that_cannot_be_read() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let start = async |name: &str| {
            let url = format!("jdbc:sqlite:{}", folder.path().join(name).display());
            let started = connector(&props(&url, &[("mode", "bulk")])).await;
            started.err().unwrap().to_string()
        };
        let missing = start("missing.db").await;
        assert!(missing.contains("missing.db") && missing.contains("existing file"), "{missing}");
        assert!(!folder.path().join("missing.db").exists());
        std::fs::write(folder.path().join("text.db"), "no database ".repeat(500)).unwrap();
        let text = start("text.db").await;
        assert!(text.contains("no SQLite database"), "{text}");
    });
}

#[test]
fn a_batch_is_cut_at_a_mebibyte() {
    run(async {
        let file = File::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB);
             INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                 WHERE i < 30) SELECT i, zeroblob(200000) FROM n",
        )
        .await;
        let mut task = task(&file.props(&[("mode", "incrementing")])).await.unwrap();
        let runs = read(&mut *task, 30).await;
        let sizes: Vec<_> = runs.iter().map(|r| r.records.len()).collect();
        assert_eq!(sizes, [6; 5]);
        assert_eq!(ids(&runs), (1..=30).collect::<Vec<_>>());
    });
}
