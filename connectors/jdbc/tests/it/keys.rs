//! Records' keys (`key.mode`, `key.fields`), on SQLite, PostgreSQL and MariaDB.

use millrace_api::Props;
use millrace_api::data::{SourceRecords, Value};
use millrace_testkit::plugin_host::run;

use crate::host::{props, read, read_to_error, schema_text, task};
use crate::mariadb_server;
use crate::server::server;
use crate::sqlite::File;

/// Runs a test with the URL of each database that there is, each with these rows.
fn with(sql: &str, test: impl AsyncFn(&str)) {
    run(async {
        let file = File::new(sql).await;
        test(&file.url()).await;
        if let Some(server) = server() {
            test(&server.database(sql).await.url()).await;
        }
        if let Some(server) = mariadb_server::server() {
            test(&server.database(sql).await.url()).await;
        }
    });
}

fn by_key(url: &str, table: &str, more: &[(&str, &str)]) -> Props {
    let table = [("mode", "bulk"), ("table.whitelist", table)];
    props(url, &[&table[..], more].concat())
}

const STRUCT: (&str, &str) = ("key.mode", "primary_key");
const BARE: (&str, &str) = ("key.mode", "primary_key_value");

/// What keys look like, and the keys.
fn keys(runs: &[SourceRecords]) -> (String, Vec<Value>) {
    let schema = runs[0].records.key.schema().map(schema_text).unwrap_or_default();
    let values = runs.iter().flat_map(|run| run.records.key.rows().unwrap().into_owned());
    (schema, values.collect())
}

fn fields(value: &Value) -> Vec<Value> {
    let Value::Struct(fields) = value else { panic!("{value:?} is no struct") };
    fields.values().to_vec()
}

const TABLES: &str = "
    CREATE TABLE one (name VARCHAR(9), id INTEGER PRIMARY KEY);
    INSERT INTO one VALUES ('a', 7), ('b', 8);
    CREATE TABLE two (n INTEGER, b VARCHAR(9) NOT NULL, a BIGINT NOT NULL, PRIMARY KEY (a, b));
    INSERT INTO two VALUES (1, 'x', 5);
    CREATE TABLE none (n INTEGER);
    INSERT INTO none VALUES (3)";

#[test]
fn the_primary_key_is_the_records_key() {
    with(TABLES, async |url| {
        let read_with = async |table, more: &[(&str, &str)], count| {
            let mut task = task(&by_key(url, table, more)).await.unwrap();
            keys(&read(&mut *task, count).await)
        };
        let (schema, found) = read_with("one", &[STRUCT], 2).await;
        assert_eq!(schema, "one.Key\nid INT32\n");
        let found: Vec<_> = found.iter().map(fields).collect();
        assert_eq!(found, [[Value::Int32(7)], [Value::Int32(8)]]);
        let (schema, found) = read_with("one", &[BARE], 2).await;
        assert_eq!((&*schema, found), ("INT32", vec![Value::Int32(7), Value::Int32(8)]));
        // In the order of the key, not of the table.
        let (schema, found) = read_with("two", &[STRUCT], 1).await;
        assert_eq!(schema, "two.Key\na INT64\nb STRING\n");
        assert_eq!(fields(&found[0]), [Value::Int64(5), "x".into()]);
        let named = [BARE, ("key.fields", "N")];
        assert_eq!(read_with("none", &named, 1).await, ("INT32?".into(), vec![Value::Int32(3)]));
        for (table, more) in [("none", STRUCT), ("one", ("key.mode", "none"))] {
            let (schema, found) = read_with(table, &[more], 1).await;
            assert!(schema.is_empty() && found.iter().all(Value::is_null));
        }
        let mut several = task(&by_key(url, "two", &[BARE])).await.unwrap();
        let text = read_to_error(&mut *several).await.1.to_string();
        assert!(text.contains("several columns") && text.contains("columns: a, b"), "{text}");
        let missing = [STRUCT, ("key.fields", "nr")];
        let mut missing = task(&by_key(url, "one", &missing)).await.unwrap();
        let text = read_to_error(&mut *missing).await.1.to_string();
        assert!(text.contains("key.fields: nr") && text.contains("one"), "{text}");
    });
}

#[test]
fn a_query_has_the_key_that_is_named() {
    with(TABLES, async |url| {
        let query = [("mode", "bulk"), STRUCT, ("query", "SELECT id AS nr, name FROM one")];
        let error = task(&props(url, &query)).await.err().unwrap().to_string();
        assert!(error.contains("key.fields"), "{error}");
        let named = [&query[..], &[("key.fields", "nr")]].concat();
        let (schema, found) = keys(&read(&mut *task(&props(url, &named)).await.unwrap(), 2).await);
        assert_eq!(schema.lines().next(), Some("-"));
        assert_eq!(fields(&found[1]).len(), 1);
    });
}

#[test]
fn keys_that_arrow_cannot_hold() {
    let Some(server) = server() else { return };
    run(async {
        let sql =
            "CREATE TABLE t (n numeric PRIMARY KEY, note text); INSERT INTO t VALUES (1.5, 'x')";
        let url = server.database(sql).await.url();
        let (_, found) =
            keys(&read(&mut *task(&by_key(&url, "t", &[STRUCT])).await.unwrap(), 1).await);
        let Value::Decimal(number) = &fields(&found[0])[0] else { panic!("a decimal") };
        assert!(number.to_plain_string().starts_with("1.50"));
    });
}
