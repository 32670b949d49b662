//! What the columns of the timestamp modes may hold: no row is passed over without a word.

use std::time::{Duration, SystemTime};

use millrace_api::SourceTask;
use millrace_testkit::plugin_host::run;

use crate::host::{Lines, ids, props, read, read_to_error, task};
use crate::mariadb_server;
use crate::server::{Database, server};
use crate::sqlite::File;

const BY_TIME: [(&str, &str); 2] = [("mode", "timestamp"), ("timestamp.column.name", "at")];

fn with(sql: &str, test: impl AsyncFnOnce(Database)) {
    if let Some(server) = server() {
        run(async { test(server.database(sql).await).await });
    }
}

/// What comes in the next polls.
async fn rest(task: &mut dyn SourceTask) -> Vec<i64> {
    let mut found = Vec::new();
    for _ in 0..3 {
        found.extend(ids(&task.poll().await.unwrap()));
    }
    found
}

/// Time since 1970.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

/// False where the second was over before its row had been looked for, as on a busy machine.
async fn a_second_is_waited_for() -> bool {
    let file = File::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY,
            at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )
    .await;
    let mut task = task(&file.props(&BY_TIME)).await.unwrap();
    // At the beginning of a second.
    tokio::time::sleep(Duration::from_millis(1050 - u64::from(now().subsec_millis()))).await;
    let second = now().as_secs();
    file.execute("INSERT INTO t (id) VALUES (1)").await;
    let first = tokio::time::timeout(Duration::from_millis(300), task.poll()).await;
    if now().as_secs() != second {
        return false;
    }
    assert!(first.is_err(), "the second is not over");
    file.execute("INSERT INTO t (id) VALUES (2)").await;
    assert_eq!(ids(&read(&mut *task, 2).await), [1, 2]);
    true
}

#[test]
fn sqlites_current_second_is_waited_for() {
    run(async {
        for _ in 0..10 {
            if a_second_is_waited_for().await {
                return;
            }
        }
        panic!("no second was long enough");
    });
}

#[test]
fn times_that_sqlite_cannot_read_are_warned_about() {
    run(async {
        let file = File::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, at TIMESTAMP);
             INSERT INTO t VALUES (1, '2026-01-01 10:00:00'), (2, '2026-01-01T10:00:00+0200'),
                (3, '01.01.2026 10:00'), (4, NULL)",
        )
        .await;
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let leave_null_out = [("validate.non.null", "false")];
        let props = file.props(&[&BY_TIME[..], &leave_null_out].concat());
        let mut task = task(&props).await.unwrap();
        assert_eq!(ids(&read(&mut *task, 1).await), [1]);
        assert!(rest(&mut *task).await.is_empty());
        let lines = lines.take();
        assert_eq!(lines.matches("2 rows of t are not read").count(), 1, "{lines}");
    });
}

#[test]
fn columns_that_do_not_say_when_are_refused() {
    let refused = async |url: &str, column: &str| {
        let by = [("mode", "timestamp"), ("timestamp.column.name", column)];
        let mut task = task(&props(url, &by)).await.unwrap();
        let (runs, error) = read_to_error(&mut *task).await;
        assert!(runs.is_empty());
        error.trace()
    };
    const SQL: &str = "CREATE TABLE t (id int NOT NULL, at varchar(40) NOT NULL);
        INSERT INTO t VALUES (1, '2026-01-01 10:00:00')";
    with(SQL, async |database| {
        let error = refused(&database.url(), "at").await;
        assert!(error.contains("does not say when") && error.contains("varchar"), "{error}");
    });
    if let Some(server) = mariadb_server::server() {
        run(async {
            let error = refused(&server.database(SQL).await.url(), "at").await;
            assert!(error.contains("does not say when") && error.contains("VARCHAR"), "{error}");
        });
    }
}

#[test]
fn columns_with_and_without_a_zone_are_not_compared_under_another_zone() {
    let sql = "CREATE TABLE t (id int, u timestamp, c timestamptz NOT NULL DEFAULT now());
        INSERT INTO t VALUES (1, NULL, now() - interval '1 h')";
    with(sql, async |database| {
        let by = [("mode", "timestamp"), ("timestamp.column.name", "u,c")];
        let elsewhere = [&by[..], &[("db.timezone", "-05:00")]].concat();
        let mut refused = task(&props(&database.url(), &elsewhere)).await.unwrap();
        let (_, error) = read_to_error(&mut *refused).await;
        assert!(error.to_string().contains("db.timezone"), "{error}");
        let mut task = task(&props(&database.url(), &by)).await.unwrap();
        assert_eq!(ids(&read(&mut *task, 1).await), [1]);
        let insert = "INSERT INTO t VALUES (2, now() AT TIME ZONE 'UTC' - interval '10 min')";
        database.execute(insert).await;
        assert_eq!(ids(&read(&mut *task, 1).await), [2]);
    });
}

/// The rows of one time come in one reading, however few a LIMIT lets in.
#[test]
fn a_limit_does_not_cut_rows_of_one_time() {
    const ROWS: &str = "
        INSERT INTO t VALUES (1, '2026-01-01 10:00:00'), (2, '2026-01-01 10:00:01'),
            (3, '2026-01-01 10:00:01'), (4, '2026-01-01 10:00:01'), (5, '2026-01-01 10:00:02')";
    let check = async |url: &str| {
        let limit = [("query.suffix", "LIMIT 2"), ("poll.interval.ms", "1500")];
        let mut task = task(&props(url, &[&BY_TIME[..], &limit].concat())).await.unwrap();
        let mut found = ids(&read(&mut *task, 4).await);
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3, 4]);
        assert!(task.poll().await.unwrap().is_empty(), "the limit ended the reading");
        assert_eq!(ids(&read(&mut *task, 1).await), [5]);
        assert!(rest(&mut *task).await.is_empty());
    };
    run(async {
        let sql = |kind: &str| format!("CREATE TABLE t (id int, at {kind} NOT NULL); {ROWS}");
        check(&File::new(&sql("TIMESTAMP")).await.url()).await;
        if let Some(server) = server() {
            check(&server.database(&sql("timestamptz")).await.url()).await;
        }
        if let Some(server) = mariadb_server::server() {
            check(&server.database(&sql("datetime")).await.url()).await;
        }
    });
}
