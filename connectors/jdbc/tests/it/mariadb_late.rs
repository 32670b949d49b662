//! Rows that are committed late on MariaDB: none is lost, where Confluent's connector loses them.
//! Skipped, with a message, where no server is installed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_testkit::plugin_host::{MemoryOffsets, run};
use serde_json::{Value as Json, json};
use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::host::{ids, props, read, task, task_from};
use crate::late::{offset, patience, read_for};
use crate::mariadb_server::{Database, server};

const TABLE: &str = "CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, writer int,
    at datetime NOT NULL DEFAULT utc_timestamp(), KEY (at))";
const INSERT: &str = "INSERT INTO t (writer) VALUES (1)";
const BY_ID: &[(&str, &str)] = &[("mode", "incrementing")];
const BY_TIME: &[(&str, &str)] = &[("mode", "timestamp"), ("timestamp.column.name", "at")];
const BY_BOTH: &[(&str, &str)] = &[
    ("mode", "timestamp+incrementing"),
    ("timestamp.column.name", "at"),
    ("incrementing.column.name", "id"),
];

fn with(test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(TABLE).await).await });
    }
}

async fn execute(connection: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

#[test]
fn a_row_that_is_late_is_read_when_it_is_there() {
    with(async |database| {
        let safe = props(&database.url(), BY_ID);
        let unsafe_too = [BY_ID, &[("commit.safety", "off")]].concat();
        let mut safely = task(&safe).await.unwrap();
        let mut as_java = task(&props(&database.url(), &unsafe_too)).await.unwrap();
        let mut slow = database.connect().await;
        execute(&mut slow, &format!("BEGIN; {INSERT}; {INSERT}")).await;
        database.execute(INSERT).await;
        let runs = read(&mut *safely, 1).await;
        assert_eq!(ids(&runs), [3]);
        let gaps = "[[0,2]]";
        assert_eq!(offset(&runs[0]), json!({"incrementing": 3, "millrace.gaps": gaps}));
        assert_eq!(ids(&read(&mut *as_java, 1).await), [3]);
        execute(&mut slow, "COMMIT").await;
        assert_eq!(ids(&read(&mut *safely, 2).await), [1, 2]);
        database.execute(INSERT).await;
        assert_eq!(ids(&read(&mut *safely, 1).await), [4]);
        assert_eq!(ids(&read(&mut *as_java, 1).await), [4], "the loss that this is about");
        let offsets = MemoryOffsets::new();
        let map = |v: Json| v.as_object().unwrap().clone();
        let table = format!("{}.t", database.name());
        let partition = map(json!({"protocol": "1", "table": table}));
        offsets.store(partition, map(json!({"incrementing": 4, "millrace.gaps": gaps})));
        let mut again = task_from(&safe, &offsets).await.unwrap();
        assert_eq!(ids(&read(&mut *again, 2).await), [1, 2]);
    });
}

/// Until the gaps of the first rows are forgotten.
async fn forgotten(database: &Database, url: &str) {
    let grace = ("commit.safety.grace.ms", "0");
    let mut reader = task(&props(url, &[BY_ID, &[grace]].concat())).await.unwrap();
    let mut slow = database.connect().await;
    execute(&mut slow, &format!("BEGIN; {INSERT}")).await;
    database.execute(INSERT).await;
    read(&mut *reader, 1).await;
    let has_gaps = async |reader: &mut dyn millrace_api::SourceTask| {
        database.execute(INSERT).await;
        let runs = read(reader, 1).await;
        offset(runs.last().unwrap()).get("millrace.gaps").is_some()
    };
    // Nothing but the grace is left to a reader without rights.
    if !url.contains("reader_") {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            assert!(has_gaps(&mut *reader).await, "the row may still come");
        }
    }
    execute(&mut slow, "ROLLBACK").await;
    let start = Instant::now();
    while has_gaps(&mut *reader).await {
        assert!(start.elapsed() < Duration::from_secs(20), "they are still looked for");
    }
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    with(async |database| {
        forgotten(&database, &database.url()).await;
        // Others may look at the transactions all the time.
        let mut nosy = database.connect().await;
        let looking = tokio::spawn(async move {
            loop {
                execute(&mut nosy, "SELECT trx_id FROM information_schema.innodb_trx").await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        let mut reader = task(&props(&database.url(), BY_ID)).await.unwrap();
        assert!(!ids(&read(&mut *reader, 1).await).is_empty());
        looking.abort();
    });
}

#[test]
fn without_the_right_process_the_grace_is_left() {
    with(async |database| {
        let name = database.name();
        let grant = format!(
            "CREATE USER reader_{name} IDENTIFIED BY 'r';
             GRANT SELECT ON {name}.* TO reader_{name}"
        );
        database.execute(&grant).await;
        let url = format!("{}&user=reader_{name}&password=r", database.bare_url());
        forgotten(&database, &url).await;
    });
}

/// Commits rows in transactions of random lengths, some of which are rolled back.
async fn write(database: Arc<Database>, writer: u64, is_slow: bool) -> u64 {
    let mut connection = database.connect().await;
    let mut committed = 0;
    let (transactions, pause) = if is_slow { (6, 60) } else { (40, 1) };
    for i in 0..transactions {
        let chance = (writer * 7919 + i * 104_729) % 97;
        let rows = 1 + chance % 5;
        execute(&mut connection, "BEGIN").await;
        for _ in 0..rows {
            execute(&mut connection, INSERT).await;
            tokio::time::sleep(Duration::from_millis(chance % 17 * pause)).await;
        }
        let is_kept = !chance.is_multiple_of(9);
        execute(&mut connection, if is_kept { "COMMIT" } else { "ROLLBACK" }).await;
        committed += if is_kept { rows } else { 0 };
    }
    committed
}

/// How many rows were committed, and how many came to a reader that is ended again and again, and
/// begins from offsets of which the last ones were not stored.
async fn drill(database: Database, mode: &[(&str, &str)], safety: &str) -> (u64, u64) {
    let database = Arc::new(database);
    // Times are in seconds.
    let is_slow = mode != BY_ID;
    let write = |writer| tokio::spawn(write(Arc::clone(&database), writer, is_slow));
    let writers: Vec<_> = (0..16).map(write).collect();
    let quick = [("commit.safety", safety), ("poll.interval.ms", "3"), ("batch.max.rows", "20")];
    let props = props(&database.url(), &[mode, &quick].concat());
    let offsets = MemoryOffsets::new();
    let mut seen = BTreeMap::new();
    while !writers.iter().all(|writer| writer.is_finished()) {
        let mut reader = task_from(&props, &offsets).await.unwrap();
        read_for(&mut *reader, Duration::from_millis(400), &offsets, &mut seen).await;
    }
    let mut committed = 0;
    for writer in writers {
        committed += writer.await.unwrap();
    }
    let end = Instant::now() + patience(safety);
    while (seen.len() as u64) < committed && Instant::now() < end {
        let mut reader = task_from(&props, &offsets).await.unwrap();
        read_for(&mut *reader, Duration::from_secs(1), &offsets, &mut seen).await;
    }
    (committed, seen.len() as u64)
}

#[test]
fn sixteen_writers_lose_no_row() {
    for mode in [BY_ID, BY_TIME, BY_BOTH] {
        with(async |database| {
            let (committed, seen) = drill(database, mode, "on").await;
            assert_eq!(seen, committed, "{mode:?}");
        });
    }
}

/// The check above can fail.
#[test]
fn sixteen_writers_lose_rows_without_safety() {
    for mode in [BY_ID, BY_TIME, BY_BOTH] {
        with(async |database| {
            let (committed, seen) = drill(database, mode, "off").await;
            assert!(seen < committed, "{mode:?}: {committed} rows, all read");
        });
    }
}
