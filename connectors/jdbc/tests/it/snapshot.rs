//! Tables that several readers read from their start. On PostgreSQL; skipped, with a message, where
//! none is installed.

use millrace_api::SourceTask;
use millrace_api::data::SourceRecords;
use millrace_testkit::plugin_host::{MemoryOffsets, run};
use serde_json::{Value as Json, json};
use sqlx::AssertSqlSafe;

use crate::host::{ids, props, read, task, task_from};
use crate::server::{Database, server};

/// 20,000 rows, ids from 0 to 59,998.
const TABLE: &str = "CREATE TABLE t (id bigserial PRIMARY KEY, filler text NOT NULL);
    INSERT INTO t SELECT 3 * i - i % 2, repeat('x', 100) FROM generate_series(0, 19999) i;
    SELECT setval('t_id_seq', 59999);
    ANALYZE t";
const ROWS: usize = 20_000;

const FOUR: [(&str, &str); 3] =
    [("snapshot.parallelism", "4"), ("snapshot.chunk.rows", "1500"), ("batch.max.rows", "400")];

fn with(test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(TABLE).await).await });
    }
}

fn mode(mode: &'static str) -> Vec<(&'static str, &'static str)> {
    [&FOUR[..], &[("mode", mode)]].concat()
}

/// Every id once, in any order.
fn assert_all(mut found: Vec<i64>) {
    found.sort_unstable();
    let expected: Vec<i64> = (0..20_000).map(|i| 3 * i - i % 2).collect();
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
}

fn last_offset(runs: &[SourceRecords]) -> Json {
    Json::Object(runs.last().unwrap().source_offset.clone().unwrap())
}

/// Polls for so many runs.
async fn runs(task: &mut dyn SourceTask, count: usize) -> Vec<SourceRecords> {
    let mut runs = Vec::new();
    while runs.len() < count {
        runs.extend(read(task, 1).await);
    }
    runs
}

#[test]
fn four_readers_give_every_row_once() {
    with(async |database| {
        let props = props(&database.url(), &mode("bulk"));
        let mut task = task(&props).await.unwrap();
        let first = read(&mut *task, ROWS).await;
        assert_all(ids(&first));
        assert_eq!(last_offset(&first), json!({"millrace.snapshot": "over"}));
        let second = read(&mut *task, ROWS).await;
        assert_all(ids(&second));
        let of_one = ids(&first[..1]);
        assert!(of_one.is_sorted() && of_one.len() == 400, "{of_one:?}");
        // One reader alone would go from one of the fourteen chunks to the next.
        let chunks = first.iter().map(|run| ids(std::slice::from_ref(run))[0] / 4500);
        let chunks: Vec<i64> = chunks.collect();
        let changes = chunks.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes > 20, "several chunks are read at once: {chunks:?}");
    });
}

#[test]
fn a_restart_goes_on_with_the_rest() {
    for name in ["bulk", "incrementing"] {
        with(async |database| {
            let props = props(&database.url(), &mode(name));
            let offsets = MemoryOffsets::new();
            let mut found = Vec::new();
            while found.len() < ROWS {
                let mut task = task_from(&props, &offsets).await.unwrap();
                for run in runs(&mut *task, 7).await {
                    if found.len() < ROWS {
                        found.extend(ids(std::slice::from_ref(&run)));
                        offsets.commit(&run);
                    }
                }
            }
            assert_all(found);
        });
    }
}

#[test]
fn readers_see_the_table_as_it_was_when_they_began() {
    with(async |database| {
        let props = props(&database.url(), &mode("bulk"));
        let mut task = task(&props).await.unwrap();
        let mut found = ids(&read(&mut *task, 1).await);
        database.execute("DELETE FROM t WHERE id % 4 = 0; UPDATE t SET filler = ''").await;
        let rest = read(&mut *task, ROWS - found.len()).await;
        assert!(rest.iter().all(|run| run.records.value.len() <= 400));
        found.extend(ids(&rest));
        assert_all(found);
        let again = ids(&read(&mut *task, 1).await);
        assert!(again.iter().all(|id| id % 4 != 0), "the next reading sees the table as it is");
    });
}

#[test]
fn incrementing_goes_on_behind_the_snapshot_and_misses_no_late_row() {
    with(async |database| {
        let sql = "BEGIN; INSERT INTO t VALUES (30001, 'late')";
        let mut slow = database.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut slow).await.unwrap();
        // Gaps everywhere would push the late one out of what is remembered.
        database.execute("UPDATE t SET id = 100000 + (id + 1) / 3 WHERE id > 30000").await;
        database.execute("DELETE FROM t WHERE id < 30000 AND id % 400 <> 0").await;
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM t");
        let left = left.fetch_one(&mut database.connect().await).await.unwrap();
        let left = usize::try_from(left).unwrap();
        let mut task = task(&props(&database.url(), &mode("incrementing"))).await.unwrap();
        let runs = read(&mut *task, left).await;
        assert_eq!(ids(&runs).len(), left);
        let offset = last_offset(&runs);
        assert!(offset["incrementing"].as_i64() > Some(100_000), "{offset}");
        assert_eq!(offset.get("millrace.snapshot"), None);
        sqlx::raw_sql("COMMIT").execute(&mut slow).await.unwrap();
        assert_eq!(ids(&read(&mut *task, 1).await), [30_001]);
        database.execute("INSERT INTO t VALUES (200000, 'new')").await;
        assert_eq!(ids(&read(&mut *task, 1).await), [200_000]);
    });
}

/// Late rows among ids of which a snapshot saw none.
async fn late(there: &str, first: i64, last: i64) {
    let Some(server) = server() else { return };
    let sql = format!(
        "CREATE TABLE t (id bigserial PRIMARY KEY, filler text NOT NULL);
         INSERT INTO t SELECT i, 'x' FROM generate_series(1, 1000) i WHERE {there}; ANALYZE t"
    );
    let database = server.database(&sql).await;
    let mut slow = database.connect().await;
    let sql = format!("BEGIN; INSERT INTO t SELECT i, '' FROM generate_series({first}, {last}) i");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut slow).await.unwrap();
    let more =
        [("snapshot.parallelism", "4"), ("snapshot.chunk.rows", "50"), ("mode", "incrementing")];
    let mut task = task(&props(&database.url(), &more)).await.unwrap();
    let count = usize::try_from(last - first + 1).unwrap();
    read(&mut *task, 1000 - count).await;
    assert!(task.poll().await.unwrap().is_empty());
    sqlx::raw_sql("COMMIT").execute(&mut slow).await.unwrap();
    let expected: Vec<i64> = (first..=last).collect();
    assert_eq!(ids(&read(&mut *task, count).await), expected);
}

#[test]
fn late_rows_come_where_whole_chunks_had_none() {
    run(late("i <= 300 OR i > 700", 301, 700));
}

#[test]
fn late_rows_come_below_the_first_one() {
    run(late("i > 100", 1, 100));
}

#[test]
fn progress_by_another_column_is_no_progress() {
    with(async |database| {
        let sql = "ALTER TABLE t ADD n bigint; UPDATE t SET n = 60000 - id;
                   ALTER TABLE t ALTER n SET NOT NULL; CREATE INDEX ON t (n); ANALYZE t";
        database.execute(sql).await;
        let offsets = MemoryOffsets::new();
        let by_id = props(&database.url(), &mode("incrementing"));
        let mut task = task_from(&by_id, &offsets).await.unwrap();
        for run in runs(&mut *task, 7).await {
            offsets.commit(&run);
        }
        let by_n = [&mode("incrementing")[..], &[("incrementing.column.name", "n")]].concat();
        let mut task = task_from(&props(&database.url(), &by_n), &offsets).await.unwrap();
        assert_all(ids(&read(&mut *task, ROWS).await));
    });
}

#[test]
fn small_and_empty_tables_need_no_more_readers() {
    with(async |database| {
        database.execute("DELETE FROM t").await;
        let props = props(&database.url(), &mode("incrementing"));
        let mut task = task(&props).await.unwrap();
        for _ in 0..3 {
            assert!(task.poll().await.unwrap().is_empty());
        }
        database.execute("INSERT INTO t VALUES (7, '')").await;
        assert_eq!(ids(&read(&mut *task, 1).await), [7]);
    });
}

#[test]
fn a_table_without_numbers_is_read_by_one() {
    with(async |database| {
        let sql = "CREATE TABLE u (name text PRIMARY KEY, n int);
                   INSERT INTO u SELECT 'n' || i, i FROM generate_series(1, 1000) i";
        database.execute(sql).await;
        let more = [&mode("bulk")[..], &[("table.whitelist", "u")]].concat();
        let mut task = task(&props(&database.url(), &more)).await.unwrap();
        let runs = read(&mut *task, 1000).await;
        assert_eq!(runs.iter().map(|run| run.records.len()).sum::<usize>(), 1000);
        assert_eq!(runs[0].source_offset, None);
    });
}
