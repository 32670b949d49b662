//! Rows that are committed after rows with higher ids were read: none is lost, where Confluent's
//! connector loses them. On PostgreSQL; skipped, with a message, where none is installed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::SourceTask;
use millrace_api::data::SourceRecords;
use millrace_testkit::plugin_host::{MemoryOffsets, run};
use serde_json::{Value as Json, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::task::JoinHandle;

use crate::host::{ids, props, read, task, task_from};
use crate::server::{Database, server};

const TABLE: &str = "CREATE TABLE t (id bigserial PRIMARY KEY, writer int)";

/// A user that may read, and is not told what others do.
const READER: &str = "
    DO $$BEGIN CREATE ROLE late_reader LOGIN PASSWORD 'r';
        EXCEPTION WHEN duplicate_object OR unique_violation THEN END$$;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO late_reader";

fn reader_url(database: &Database) -> String {
    format!("{}?user=late_reader&password=r", database.bare_url())
}

fn with(test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(&format!("{TABLE};{READER}")).await).await });
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

pub(crate) fn offset(run: &SourceRecords) -> Json {
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
        let gaps = "[[0,2]]";
        assert_eq!(offset(&runs[0]), json!({"incrementing": 3, "millrace.gaps": gaps}));
        assert_eq!(ids(&read(&mut *as_java, 1).await), [3]);
        execute(&mut slow, "COMMIT").await;
        let runs = read(&mut *safely, 2).await;
        assert_eq!(ids(&runs), [1, 2]);
        let last = offset(runs.last().unwrap());
        assert_eq!(last, json!({"incrementing": 3, "millrace.gaps": "[[0,0]]"}));
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
fn a_row_that_is_late_comes_once_where_ids_count_by_two() {
    with(async |database| {
        database.execute("ALTER SEQUENCE t_id_seq INCREMENT BY 2").await;
        let more = [("mode", "incrementing"), ("commit.safety.grace.ms", "500")];
        let mut reader = task(&props(&database.url(), &more)).await.unwrap();
        let mut slow = database.connect().await;
        execute(&mut slow, &format!("BEGIN; {INSERT}; SAVEPOINT a; {INSERT}; ROLLBACK TO a")).await;
        let many = "INSERT INTO t (writer) SELECT 2 FROM generate_series(1, 5000)";
        database.execute(many).await;
        let mut came = ids(&read(&mut *reader, 5_000).await);
        execute(&mut slow, "COMMIT").await;
        // The row of the transaction, and what comes when the others were looked at again.
        let start = Instant::now();
        let mut last = Json::Null;
        while start.elapsed() < Duration::from_secs(20) {
            database.execute("INSERT INTO t (writer) VALUES (3)").await;
            let runs = read(&mut *reader, 1).await;
            came.extend(ids(&runs));
            last = offset(runs.last().unwrap());
            if last.get("millrace.gaps").is_none_or(|gaps| gaps.as_str().unwrap().len() < 200) {
                break;
            }
        }
        assert!(came.contains(&1), "the late row: {last}");
        let written = came.len();
        came.sort_unstable();
        came.dedup();
        assert_eq!(came.len(), written, "none came twice");
        let all = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM t").fetch_one(&mut slow);
        assert_eq!(usize::try_from(all.await.unwrap()).unwrap(), written);
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

/// What writers write and a reader reads.
#[derive(Clone)]
struct Drill {
    mode: &'static [(&'static str, &'static str)],
    safety: &'static str,
    /// What is done for a row.
    row: &'static str,
    transactions: u64,
    /// The longest pause of a writer between two rows.
    pause: u64,
}

const BY_ID: Drill = Drill {
    mode: &[("mode", "incrementing")],
    safety: "on",
    row: INSERT,
    transactions: 60,
    pause: 7,
};

impl Drill {
    /// Commits rows in transactions of random lengths, some of which are rolled back.
    async fn write(&self, database: Arc<Database>, writer: u64) -> u64 {
        let mut connection = database.connect().await;
        let mut committed = 0;
        for i in 0..self.transactions {
            let chance = (writer * 7919 + i * 104_729) % 97;
            let rows = 1 + chance % 5;
            execute(&mut connection, "BEGIN").await;
            for _ in 0..rows {
                execute(&mut connection, self.row).await;
                tokio::time::sleep(Duration::from_millis(chance % self.pause)).await;
            }
            let is_kept = !chance.is_multiple_of(9);
            execute(&mut connection, if is_kept { "COMMIT" } else { "ROLLBACK" }).await;
            committed += if is_kept { rows } else { 0 };
        }
        committed
    }

    /// How many rows were committed, and how often each id came while writers wrote, with a reader
    /// that is ended in the middle again and again, and begins from offsets of which the last ones
    /// were not stored.
    async fn run(self, database: Database) -> (u64, BTreeMap<i64, usize>) {
        const WRITERS: u64 = 16;
        let database = Arc::new(database);
        let writer = |number| {
            let (drill, database) = (self.clone(), Arc::clone(&database));
            tokio::spawn(async move { drill.write(database, number).await })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let quick = [
            ("commit.safety", self.safety),
            ("poll.interval.ms", "3"),
            ("batch.max.rows", "20"),
            // Above the moment between taking the time and being a transaction; below most of them.
            ("commit.safety.grace.ms", if self.mode.len() == 1 { "60000" } else { "20" }),
        ];
        let props = props(&reader_url(&database), &[self.mode, &quick].concat());
        let offsets = MemoryOffsets::new();
        let mut seen = BTreeMap::new();
        while !writers.iter().all(JoinHandle::is_finished) {
            let mut reader = task_from(&props, &offsets).await.unwrap();
            read_for(&mut *reader, Duration::from_millis(150), &offsets, &mut seen).await;
        }
        let mut committed = 0;
        for writer in writers {
            committed += writer.await.unwrap();
        }
        let end = Instant::now() + patience(self.safety);
        while (seen.len() as u64) < committed && Instant::now() < end {
            let mut reader = task_from(&props, &offsets).await.unwrap();
            read_for(&mut *reader, Duration::from_millis(500), &offsets, &mut seen).await;
        }
        (committed, seen)
    }
}

/// How long rows are waited for when all are written: what is lost comes never, and what is not
/// comes as soon as a server lets it that may be busy with other tests.
pub(crate) fn patience(safety: &str) -> Duration {
    Duration::from_secs(if safety == "on" { 180 } else { 4 })
}

/// Polls for so long, with polls that are dropped in the middle.
pub(crate) async fn read_for(
    reader: &mut dyn SourceTask,
    time: Duration,
    offsets: &MemoryOffsets,
    seen: &mut BTreeMap<i64, usize>,
) {
    let end = Instant::now() + time;
    let mut stored = None;
    while Instant::now() < end {
        let Ok(runs) = tokio::time::timeout(Duration::from_millis(50), reader.poll()).await else {
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

#[test]
fn sixteen_writers_lose_no_row() {
    with(async |database| {
        let (committed, seen) = BY_ID.run(database).await;
        assert_eq!(seen.len() as u64, committed);
    });
}

/// The check above can fail.
#[test]
fn sixteen_writers_lose_rows_without_safety() {
    with(async |database| {
        let (committed, seen) = Drill { safety: "off", ..BY_ID }.run(database).await;
        assert!((seen.len() as u64) < committed, "{committed} rows, all read");
    });
}

const TIMES: &str = "
    CREATE TABLE t (id bigserial PRIMARY KEY, begun timestamptz NOT NULL DEFAULT now(),
        written timestamptz NOT NULL DEFAULT clock_timestamp(), n int);
    CREATE INDEX ON t (begun);
    CREATE INDEX ON t (written);
    CREATE VIEW v AS SELECT * FROM t";

fn with_times(test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(&format!("{TIMES};{READER}")).await).await });
    }
}

const BEGUN: &[(&str, &str)] = &[("mode", "timestamp"), ("timestamp.column.name", "begun")];
const WRITTEN: &[(&str, &str)] = &[("mode", "timestamp"), ("timestamp.column.name", "written")];
const BEGUN_AND_ID: &[(&str, &str)] = &[
    ("mode", "timestamp+incrementing"),
    ("timestamp.column.name", "begun"),
    ("incrementing.column.name", "id"),
];
const WRITTEN_AND_ID: &[(&str, &str)] = &[
    ("mode", "timestamp+incrementing"),
    ("timestamp.column.name", "written"),
    ("incrementing.column.name", "id"),
];

/// Rows of transactions of up to 400 ms, each in a savepoint of its own.
const BY_TIME: Drill = Drill {
    mode: BEGUN,
    safety: "on",
    row: "SAVEPOINT s; INSERT INTO t DEFAULT VALUES; RELEASE s",
    transactions: 20,
    pause: 97,
};

#[test]
fn no_row_is_lost_by_its_time() {
    for mode in [BEGUN, WRITTEN, BEGUN_AND_ID, WRITTEN_AND_ID] {
        with_times(async |database| {
            let (committed, seen) = Drill { mode, ..BY_TIME }.run(database).await;
            assert_eq!(seen.len() as u64, committed, "{mode:?}");
        });
    }
}

/// The check above can fail.
#[test]
fn rows_are_lost_by_their_time_without_safety() {
    for mode in [BEGUN, WRITTEN, BEGUN_AND_ID, WRITTEN_AND_ID] {
        with_times(async |database| {
            let (committed, seen) = Drill { mode, safety: "off", ..BY_TIME }.run(database).await;
            assert!((seen.len() as u64) < committed, "{mode:?}: {committed} rows, all read");
        });
    }
}

/// A view has no transactions in its rows.
#[test]
fn no_row_of_a_view_is_lost() {
    for mode in [BEGUN, WRITTEN_AND_ID] {
        with_times(async |database| {
            let view =
                [mode, &[("table.types", "VIEW"), ("validate.non.null", "false")]].concat().leak();
            let (committed, seen) = Drill { mode: view, ..BY_TIME }.run(database).await;
            assert_eq!(seen.len() as u64, committed, "{mode:?}");
        });
    }
}

#[test]
fn a_late_row_comes_once_however_long_its_transaction_takes() {
    with_times(async |database| {
        let grace = ("commit.safety.grace.ms", "0");
        let every = |interval| {
            let pause = ("poll.interval.ms", interval);
            props(&database.url(), &[BEGUN_AND_ID, &[grace, pause]].concat())
        };
        let props = every("200");
        let offsets = MemoryOffsets::new();
        let mut reader = task_from(&props, &offsets).await.unwrap();
        let mut slow = database.connect().await;
        let mut slower = database.connect().await;
        execute(&mut slower, "BEGIN; SELECT now()").await;
        execute(&mut slow, "BEGIN; SAVEPOINT s; INSERT INTO t DEFAULT VALUES; RELEASE s").await;
        for id in 2..20 {
            database.execute("INSERT INTO t DEFAULT VALUES").await;
            let runs = read(&mut *reader, 1).await;
            assert_eq!(ids(&runs), [id]);
            let run = runs.into_iter().last().unwrap();
            offsets.store((*run.source_partition).clone(), run.source_offset.unwrap());
            if id % 5 == 0 {
                reader = task_from(&props, &offsets).await.unwrap();
            }
        }
        execute(&mut slow, "COMMIT").await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [1]);
        execute(&mut slower, "INSERT INTO t DEFAULT VALUES; COMMIT").await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [20]);
        // A crowd of short ones, without a restart: those come twice that are committed between
        // two statements of a reading, which on a busy machine are not close together.
        let mut reader = task_from(&every("2000"), &offsets).await.unwrap();
        let drill = Drill { transactions: 60, ..BY_TIME };
        let database = Arc::new(database);
        let write = |number| {
            let (drill, database) = (drill.clone(), Arc::clone(&database));
            tokio::spawn(async move { drill.write(database, number).await })
        };
        let writers: Vec<_> = (0..8).map(write).collect();
        let mut seen = BTreeMap::new();
        while !writers.iter().all(JoinHandle::is_finished) {
            let time = Duration::from_millis(150);
            read_for(&mut *reader, time, &MemoryOffsets::new(), &mut seen).await;
        }
        let twice = seen.values().sum::<usize>() - seen.len();
        assert!(twice < seen.len() / 10, "{twice} rows came again");
    });
}

/// Clocks of applications differ from the database's: the grace is for them as well.
#[test]
fn times_of_other_clocks_may_be_off_by_the_grace() {
    with_times(async |database| {
        let with =
            |grace| props(&database.url(), &[BEGUN, &[("commit.safety.grace.ms", grace)]].concat());
        let mut patient = task(&with("60000")).await.unwrap();
        let mut hasty = task(&with("1000")).await.unwrap();
        let insert = |ago: &str| {
            format!("INSERT INTO t (begun) VALUES (clock_timestamp() - interval '{ago}')")
        };
        database.execute(&insert("1 ms")).await;
        for reader in [&mut patient, &mut hasty] {
            assert_eq!(ids(&read(&mut **reader, 1).await), [1]);
        }
        database.execute(&insert("30 s")).await;
        assert_eq!(ids(&read(&mut *patient, 1).await), [2]);
        database.execute(&insert("1 ms")).await;
        assert_eq!(ids(&read(&mut *patient, 1).await), [3]);
        assert_eq!(ids(&read(&mut *hasty, 1).await), [3], "30 seconds are more than its grace");
    });
}

#[test]
fn all_late_rows_are_read_whatever_the_limit() {
    for mode in [BEGUN, &[("mode", "incrementing")]] {
        with_times(async |database| {
            let limit = [("query.suffix", "LIMIT 2"), ("batch.max.rows", "1")];
            let props = props(&database.url(), &[mode, &limit].concat());
            let mut reader = task(&props).await.unwrap();
            let mut slow = database.connect().await;
            execute(&mut slow, "BEGIN; INSERT INTO t (n) SELECT generate_series(1, 5)").await;
            database.execute("INSERT INTO t DEFAULT VALUES").await;
            assert_eq!(ids(&read(&mut *reader, 1).await), [6]);
            execute(&mut slow, "COMMIT").await;
            let mut late = ids(&read(&mut *reader, 5).await);
            late.sort_unstable();
            assert_eq!(late, [1, 2, 3, 4, 5]);
        });
    }
}

/// Rows of a view wait for the oldest transaction, but not for others that read for Millrace.
#[test]
fn only_who_may_write_holds_rows_back() {
    with_times(async |database| {
        let view = [("table.types", "VIEW"), ("validate.non.null", "false")];
        let props = props(&database.url(), &[BEGUN, &view].concat());
        let mut reader = task(&props).await.unwrap();
        let mut other = database.connect().await;
        execute(&mut other, "BEGIN").await;
        execute(&mut other, "SELECT /* millrace reads */ 1").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        database.execute("INSERT INTO t DEFAULT VALUES").await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [1]);
        execute(&mut other, "SELECT 1").await;
        database.execute("INSERT INTO t DEFAULT VALUES").await;
        for _ in 0..3 {
            assert!(reader.poll().await.unwrap().is_empty());
        }
        execute(&mut other, "COMMIT").await;
        assert_eq!(ids(&read(&mut *reader, 1).await), [2]);
    });
}

/// How often the table was read as a whole so far, and how many entries of its indexes were.
async fn scans(database: &Database) -> (i64, i64) {
    let sql = "SELECT s.seq_scan, (SELECT sum(i.idx_tup_read)::bigint
                   FROM pg_stat_user_indexes i WHERE i.relid = s.relid)
               FROM pg_stat_user_tables s";
    let row = sqlx::query(sql).fetch_one(&mut database.connect().await).await.unwrap();
    (row.get(0), row.get(1))
}

/// What is asked at each poll reads the end of an index, however many rows there are.
#[test]
fn late_rows_are_found_by_an_index() {
    with_times(async |database| {
        let fill = "INSERT INTO t (begun) SELECT now() - i * interval '1 minute'
                        FROM generate_series(1, 100000) AS i";
        database.execute(fill).await;
        database.execute("ANALYZE t").await;
        let props = props(&database.url(), BEGUN_AND_ID);
        let offsets = MemoryOffsets::new();
        let mut reader = task_from(&props, &offsets).await.unwrap();
        let run = read(&mut *reader, 100_000).await.pop().unwrap();
        offsets.store((*run.source_partition).clone(), run.source_offset.unwrap());
        reader.stop().await.unwrap();
        // A session tells what it did when it ends.
        let start = Instant::now();
        let mut before = (0, 0);
        while before.1 < 100_000 && start.elapsed() < Duration::from_secs(5) {
            before = scans(&database).await;
        }
        let mut reader = task_from(&props, &offsets).await.unwrap();
        for _ in 0..5 {
            database.execute("INSERT INTO t DEFAULT VALUES").await;
            read(&mut *reader, 1).await;
        }
        reader.stop().await.unwrap();
        let mut after = before;
        while after == before {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing was read");
            after = scans(&database).await;
        }
        assert!(after.0 == before.0 && after.1 - before.1 < 1000, "{before:?} {after:?}");
    });
}
