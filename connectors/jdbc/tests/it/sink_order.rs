//! Whatever is gathered, left out and put in another order: the table is as if each record had been
//! written on its own.

use std::collections::BTreeSet;

use millrace_api::data::{Column, Kind, Schema, SchemaRef, SinkRecords, Value};
use millrace_testkit::plugin_host::{for_all, run};
use proptest::prelude::*;

use crate::mariadb_server;
use crate::server::{Database, server};
use crate::sink_host::{Sink, int_keys, records, schema, sink_props, structs};
use crate::sink_sqlite::query;
use crate::sqlite::File;

/// One record: its key, and which column it sets to what; none deletes.
#[derive(Clone, Debug)]
struct Change {
    key: i32,
    set: Option<(usize, i32)>,
}

/// Changes to few keys in two columns, in few runs. One value the table refuses.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let set = prop_oneof![
        1 => Just(None),
        3 => (0..2_usize, 0..12_i32).prop_map(Some),
    ];
    let change = (0..4_i32, set).prop_map(|(key, set)| Change { key, set });
    proptest::collection::vec(change, 1..40)
}

fn shape(column: usize) -> SchemaRef {
    schema(&[(["a", "b"][column], Kind::Int32, true)])
}

/// Runs of records of one schema each; a deletion is in the run of what is before it.
fn runs(changes: &[Change], keys: impl Fn(&[i32]) -> Column) -> Vec<SinkRecords> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < changes.len() {
        let column = changes[start..].iter().find_map(|c| c.set).map_or(0, |set| set.0);
        let same = |c: &&Change| c.set.is_none_or(|set| set.0 == column);
        let len = changes[start..].iter().take_while(same).count();
        let part = &changes[start..start + len];
        let numbers: Vec<i32> = part.iter().map(|c| c.key).collect();
        let values = part.iter().map(|c| c.set.map(|set| vec![Value::Int32(set.1)]));
        let values = structs(&shape(column), values.collect());
        runs.push(records(i64::try_from(start).unwrap(), keys(&numbers), values));
        start += len;
    }
    runs
}

const TABLE: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, a INT CHECK (a <> 7), \
                     b INT DEFAULT -1)";
const ROWS: &str = "INSERT INTO orders VALUES (0, 100, 100), (1, 100, 100)";

/// Writes runs. Gives the offsets that were reported.
async fn apply(url: &str, runs: &[SinkRecords], mode: &str, batch_size: &str) -> BTreeSet<i64> {
    let more = [
        ("insert.mode", mode),
        ("pk.mode", "record_key"),
        ("pk.fields", "id"),
        ("delete.enabled", "true"),
        ("batch.size", batch_size),
    ];
    let mut sink = Sink::reporting(&sink_props(url, &more)).await;
    sink.write(runs).await;
    sink.task.stop().await.unwrap();
    sink.reports.offsets().into_iter().collect()
}

async fn on_sqlite(runs: &[SinkRecords], mode: &str, size: &str) -> (String, BTreeSet<i64>) {
    let file = File::new(&format!("{TABLE}; {ROWS}")).await;
    let reported = apply(&file.url(), runs, mode, size).await;
    (query(&file, "SELECT * FROM orders ORDER BY id").await, reported)
}

async fn on_postgres(
    database: &Database,
    rows: &str,
    runs: &[SinkRecords],
    mode: &str,
    size: &str,
) -> (String, BTreeSet<i64>) {
    database.execute(&format!("TRUNCATE orders; {rows}")).await;
    let reported = apply(&database.url(), runs, mode, size).await;
    let mut connection = database.connect().await;
    let sql = "SELECT coalesce(string_agg(orders::text, ';' ORDER BY id), '') FROM orders";
    let text = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    (text, reported)
}

type Written = (String, BTreeSet<i64>);

/// A batch has written what single rows have.
fn check(single: &Written, batch: &Written, mode: &str) {
    assert_eq!(single.0, batch.0, "{mode}");
    // A row that a later one leaves nothing of need not be tried.
    assert!(batch.1.is_subset(&single.1), "{mode}: {:?} and {:?}", single.1, batch.1);
}

#[test]
fn batches_are_as_good_as_single_rows() {
    for mode in ["upsert", "update", "insert"] {
        for_all(60, &changes(), |changes| {
            let runs = runs(&changes, int_keys);
            let single = run(on_sqlite(&runs, mode, "1"));
            check(&single, &run(on_sqlite(&runs, mode, "1000")), mode);
        });
    }
}

#[test]
fn batches_are_as_good_as_single_rows_on_postgres() {
    let Some(server) = server() else { return };
    let database = run(server.database(TABLE));
    for mode in ["upsert", "update", "insert"] {
        for_all(12, &changes(), |changes| {
            let runs = runs(&changes, int_keys);
            let single = run(on_postgres(&database, ROWS, &runs, mode, "1"));
            check(&single, &run(on_postgres(&database, ROWS, &runs, mode, "1000")), mode);
        });
    }
}

#[test]
fn keys_are_the_same_whatever_their_width() {
    run(async {
        let file = File::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, a INT, b INT)").await;
        let more = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
            ("delete.enabled", "true"),
        ];
        let mut sink = Sink::strict(&sink_props(&file.url(), &more)).await;
        let key = |kind, value: Value| {
            Column::from_values(Some(Schema::builder(kind).build()), vec![value])
        };
        let set = |column, value: Option<i32>| {
            structs(&shape(column), vec![value.map(|value| vec![Value::Int32(value)])])
        };
        // Text and number are the same key to the table, and nobody else knows.
        let batch = [
            records(0, key(Kind::Int32, Value::Int32(1)), set(0, Some(1))),
            records(1, key(Kind::Int64, Value::Int64(1)), set(0, Some(2))),
            records(2, key(Kind::String, "1".into()), set(0, Some(3))),
            records(3, key(Kind::String, "1".into()), set(1, None)),
            records(4, key(Kind::Int8, Value::Int8(1)), set(1, Some(4))),
        ];
        sink.write(&batch).await;
        assert_eq!(query(&file, "SELECT * FROM orders").await, "1|NULL|4");
    });
}

const LOW: &str = "aaaaaaaa-0000-0000-0000-000000000001";
const UP: &str = "AAAAAAAA-0000-0000-0000-000000000001";
const OTHER: &str = "bbbbbbbb-0000-0000-0000-000000000001";
const OTHER_UP: &str = "BBBBBBBB-0000-0000-0000-000000000001";

/// Two keys, each in two spellings.
fn spelled(keys: &[i32]) -> Column {
    let text = |key: &i32| Value::from([LOW, UP, OTHER, OTHER_UP][*key as usize]);
    Column::from_values(Some(Schema::string(false)), keys.iter().map(text).collect())
}

#[test]
fn batches_of_keys_spelled_anyhow_are_as_good_as_single_rows() {
    let table = TABLE.replace("INTEGER", "TEXT COLLATE NOCASE");
    let on_sqlite = async |runs: &[SinkRecords], mode: &str, size: &str| {
        let file =
            File::new(&format!("{table}; INSERT INTO orders VALUES ('{LOW}', 100, 100)")).await;
        let reported = apply(&file.url(), runs, mode, size).await;
        (query(&file, "SELECT lower(id), a, b FROM orders ORDER BY 1").await, reported)
    };
    for mode in ["upsert", "update", "insert"] {
        for_all(60, &changes(), |changes| {
            let runs = runs(&changes, spelled);
            let single = run(on_sqlite(&runs, mode, "1"));
            check(&single, &run(on_sqlite(&runs, mode, "1000")), mode);
        });
    }
}

#[test]
fn batches_of_keys_spelled_anyhow_are_as_good_as_single_rows_on_postgres() {
    let Some(server) = server() else { return };
    let database = run(server.database(&TABLE.replace("INTEGER", "uuid")));
    let rows = format!("INSERT INTO orders VALUES ('{LOW}', 100, 100)");
    for mode in ["upsert", "update", "insert"] {
        for_all(12, &changes(), |changes| {
            let runs = runs(&changes, spelled);
            let single = run(on_postgres(&database, &rows, &runs, mode, "1"));
            check(&single, &run(on_postgres(&database, &rows, &runs, mode, "1000")), mode);
        });
    }
}

/// Writes rows whose keys are texts, in one batch; none deletes.
async fn apply_texts(url: &str, mode: &str, rows: &[(&str, Option<i32>)]) {
    let more = [
        ("insert.mode", mode),
        ("pk.mode", "record_key"),
        ("pk.fields", "id"),
        ("delete.enabled", "true"),
    ];
    let keys = rows.iter().map(|(key, _)| Value::from(*key)).collect();
    let keys = Column::from_values(Some(Schema::string(false)), keys);
    let values = rows.iter().map(|(_, set)| set.map(|set| vec![Value::Int32(set)]));
    let values = structs(&shape(0), values.collect());
    let mut sink = Sink::strict(&sink_props(url, &more)).await;
    sink.write(&[records(0, keys, values)]).await;
    sink.task.stop().await.unwrap();
}

/// Changes to a row whose key is spelled in two ways: the mode, the rows, and what is in column `a`
/// of its row and of another in the end. The row is there with 0.
type Respelled = (&'static str, &'static [(&'static str, Option<i32>)], &'static str);
const RESPELLED: [Respelled; 4] = [
    ("upsert", &[(OTHER, Some(1)), (LOW, None), (UP, Some(2))], "2,1"),
    ("upsert", &[(LOW, Some(1)), (UP, Some(2)), (LOW, Some(3)), (UP, None)], ""),
    ("upsert", &[(LOW, Some(1)), (UP, Some(2))], "2"),
    ("update", &[(LOW, Some(1)), (UP, Some(2)), (OTHER, Some(3))], "2"),
];

#[test]
fn keys_that_are_equal_to_the_database_keep_their_order() {
    run(async {
        for (mode, rows, expected) in RESPELLED {
            let file = File::new(&format!(
                "CREATE TABLE orders (id TEXT COLLATE NOCASE PRIMARY KEY, a INT);
                 INSERT INTO orders VALUES ('{LOW}', 0)"
            ))
            .await;
            apply_texts(&file.url(), mode, rows).await;
            let sql = "SELECT coalesce(group_concat(a, ','), '') FROM \
                       (SELECT a FROM orders ORDER BY id)";
            assert_eq!(query(&file, sql).await, expected, "{mode} {rows:?}");
        }
    });
}

#[test]
fn keys_that_are_equal_to_the_database_keep_their_order_on_postgres() {
    let Some(server) = server() else { return };
    run(async {
        let database = server.database("CREATE TABLE orders (id uuid PRIMARY KEY, a INT)").await;
        for (mode, rows, expected) in RESPELLED {
            let before = format!("TRUNCATE orders; INSERT INTO orders VALUES ('{LOW}', 0)");
            database.execute(&before).await;
            apply_texts(&database.url(), mode, rows).await;
            let mut connection = database.connect().await;
            let sql = "SELECT coalesce(string_agg(a::text, ',' ORDER BY id), '') FROM orders";
            let text: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
            assert_eq!(text, expected, "{mode} {rows:?}");
        }
    });
}

#[test]
fn keys_that_are_equal_to_the_database_keep_their_order_on_mariadb() {
    let Some(server) = mariadb_server::server() else { return };
    run(async {
        let table = "CREATE TABLE orders (id VARCHAR(40) COLLATE utf8mb4_general_ci PRIMARY KEY, \
                     a INT)";
        let database = server.database(table).await;
        for (mode, rows, expected) in RESPELLED {
            database.execute("DELETE FROM orders").await;
            database.execute(&format!("INSERT INTO orders VALUES ('{LOW}', 0)")).await;
            apply_texts(&database.url(), mode, rows).await;
            let mut connection = database.connect().await;
            let sql = "SELECT CAST(coalesce(group_concat(a ORDER BY id), '') AS CHAR) FROM orders";
            let text: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
            assert_eq!(text, expected, "{mode} {rows:?}");
        }
    });
}
