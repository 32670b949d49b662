//! Rows that are committed after rows with higher ids were read: none is lost, where Confluent's
//! connector loses them. On PostgreSQL; skipped, with a message, where none is installed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millrace_api::data::SourceRecords;
use millrace_testkit::plugin_host::{MemoryOffsets, run};
use serde_json::{Value as Json, json};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::host::{ids, props, read, task, task_from};
use crate::server::{Database, server};

const TABLE: &str = "CREATE TABLE t (id bigserial PRIMARY KEY, writer int)";

fn with(test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(TABLE).await).await });
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

fn offset(run: &SourceRecords) -> Json {
    Json::Object(run.source_offset.clone().unwrap())
}

const INSERT: &str = "INSERT INTO t (writer) VALUES (1)";

#[test]
fn a_row_that_is_late_is_read_when_it_is_there() {
    with(async |database| {
        let safe = props(&database.url(), &[("mode", "incrementing")]);
        let unsafe_too = [("mode", "incrementing"), ("commit.safety", "off")];
        let mut safely = task(&safe).await.unwrap();
        let mut as_java = task(&props(&database.url(), &unsafe_too)).await.unwrap();
        let mut slow = database.connect().await;
        execute(&mut slow, &format!("BEGIN; {INSERT}; {INSERT}")).await;
        database.execute(INSERT).await;
        let runs = read(&mut *safely, 1).await;
        assert_eq!(ids(&runs), [3]);
        let gaps = json!([[0, 2]]);
        assert_eq!(offset(&runs[0]), json!({"incrementing": 3, "millrace.gaps": gaps}));
        assert_eq!(ids(&read(&mut *as_java, 1).await), [3]);
        execute(&mut slow, "COMMIT").await;
        let runs = read(&mut *safely, 2).await;
        assert_eq!(ids(&runs), [1, 2]);
        let last = offset(runs.last().unwrap());
        assert_eq!(last, json!({"incrementing": 3, "millrace.gaps": [[0, 0]]}));
        database.execute(INSERT).await;
        assert_eq!(ids(&read(&mut *safely, 1).await), [4]);
        assert_eq!(ids(&read(&mut *as_java, 1).await), [4], "the loss that this is about");
        // What was passed over is remembered by offsets.
        let offsets = MemoryOffsets::new();
        let map = |v: Json| v.as_object().unwrap().clone();
        let partition = map(json!({"protocol": "1", "table": "public.t"}));
        offsets.store(partition, map(json!({"incrementing": 4, "millrace.gaps": gaps})));
        let mut again = task_from(&safe, &offsets).await.unwrap();
        assert_eq!(ids(&read(&mut *again, 2).await), [1, 2]);
    });
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    with(async |database| {
        let more = [("mode", "incrementing"), ("commit.safety.grace.ms", "0")];
        let mut reader = task(&props(&database.url(), &more)).await.unwrap();
        let mut slow = database.connect().await;
        execute(&mut slow, &format!("BEGIN; {INSERT}")).await;
        database.execute(INSERT).await;
        read(&mut *reader, 1).await;
        execute(&mut slow, "ROLLBACK").await;
        let start = Instant::now();
        loop {
            database.execute(INSERT).await;
            let runs = read(&mut *reader, 1).await;
            if offset(runs.last().unwrap()).get("millrace.gaps").is_none() {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "they are still looked for");
        }
    });
}

/// Commits rows in transactions of random lengths, some of which are rolled back.
async fn write(database: Arc<Database>, writer: u64, transactions: u64) -> u64 {
    let mut connection = database.connect().await;
    let mut committed = 0;
    for i in 0..transactions {
        let chance = (writer * 7919 + i * 104_729) % 97;
        let rows = 1 + chance % 5;
        execute(&mut connection, "BEGIN").await;
        for _ in 0..rows {
            execute(&mut connection, INSERT).await;
            tokio::time::sleep(Duration::from_millis(chance % 7)).await;
        }
        let is_kept = !chance.is_multiple_of(9);
        execute(&mut connection, if is_kept { "COMMIT" } else { "ROLLBACK" }).await;
        committed += if is_kept { rows } else { 0 };
    }
    committed
}

/// How often each id came while writers write, with a reader that is ended in the middle again and
/// again, and begins from offsets of which the last ones were not stored.
async fn read_while_writing(database: Database, safety: &str) -> (u64, BTreeMap<i64, usize>) {
    const WRITERS: u64 = 16;
    let database = Arc::new(database);
    let writers: Vec<_> =
        (0..WRITERS).map(|w| tokio::spawn(write(Arc::clone(&database), w, 60))).collect();
    let is_done = Arc::new(AtomicBool::new(false));
    let waiter = tokio::spawn({
        let is_done = Arc::clone(&is_done);
        async move {
            let mut committed = 0;
            for writer in writers {
                committed += writer.await.unwrap();
            }
            is_done.store(true, Ordering::Release);
            committed
        }
    });
    let more = [
        ("mode", "incrementing"),
        ("commit.safety", safety),
        ("poll.interval.ms", "3"),
        ("batch.max.rows", "20"),
    ];
    let props = props(&database.url(), &more);
    let offsets = MemoryOffsets::new();
    let mut seen = BTreeMap::new();
    let mut after_the_end = 0;
    while after_the_end < 3 {
        after_the_end += usize::from(is_done.load(Ordering::Acquire));
        let mut reader = task_from(&props, &offsets).await.unwrap();
        let end = Instant::now() + Duration::from_millis(150);
        let mut stored = None;
        while Instant::now() < end {
            let Ok(runs) = tokio::time::timeout(Duration::from_millis(50), reader.poll()).await
            else {
                continue;
            };
            let runs = runs.unwrap();
            for id in ids(&runs) {
                *seen.entry(id).or_insert(0) += 1;
            }
            // The last ones are never stored: as when a worker is killed.
            let newest = runs.into_iter().last();
            if let Some(run) = std::mem::replace(&mut stored, newest) {
                offsets.store((*run.source_partition).clone(), run.source_offset.unwrap());
            }
        }
    }
    (waiter.await.unwrap(), seen)
}

#[test]
fn sixteen_writers_lose_no_row() {
    with(async |database| {
        let (committed, seen) = read_while_writing(database, "on").await;
        assert_eq!(seen.len() as u64, committed);
    });
}

/// The check above can fail.
#[test]
fn sixteen_writers_lose_rows_without_safety() {
    with(async |database| {
        let (committed, seen) = read_while_writing(database, "off").await;
        assert!((seen.len() as u64) < committed, "{committed} rows, all read");
    });
}
