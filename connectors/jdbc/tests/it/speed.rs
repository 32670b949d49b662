//! What a row costs: `cargo test --release -p millrace-jdbc -- --ignored --nocapture speed`.

use std::time::Instant;

use millrace_testkit::plugin_host::run;

use crate::host::{props, task};
use crate::server::server;
use crate::sqlite::File;

const ROWS: usize = 1_000_000;

/// Processor time of this process so far, in nanoseconds.
fn cpu() -> u128 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u128 = fields[11].parse::<u128>().unwrap() + fields[12].parse::<u128>().unwrap();
    ticks * 10_000_000
}

/// The most memory this process ever had, in MB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1024
}

async fn measure(name: &str, url: &str) -> String {
    let more =
        [("mode", "incrementing"), ("incrementing.column.name", "id"), ("batch.max.rows", "2000")];
    let mut task = task(&props(url, &more)).await.unwrap();
    let (wall, busy) = (Instant::now(), cpu());
    let mut rows = 0;
    while rows < ROWS {
        for run in task.poll().await.unwrap() {
            rows += run.records.len();
        }
    }
    let (wall, busy) = (wall.elapsed().as_nanos(), cpu() - busy);
    let each = |nanos: u128| nanos / ROWS as u128;
    format!(
        "{name}: {rows} rows, {} ns of processor and {} ns a row, peak {} MB",
        each(busy),
        each(wall),
        peak()
    )
}

#[test]
#[ignore = "measures; run it alone and in release"]
fn speed_of_postgres() {
    let sql = format!(
        "CREATE TABLE t AS SELECT i::int8 AS id, 'customer ' || i AS name,
             CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i % 100 END AS note,
             (i % 1000)::int4 AS n, i * 0.25::float8 AS f, i % 2 = 0 AS yes,
             timestamptz '2026-01-01' + i * interval '1 second' AS at, 'Berlin'::text AS city
         FROM generate_series(1, {ROWS}) AS i;
         ALTER TABLE t ALTER id SET NOT NULL, ADD PRIMARY KEY (id); VACUUM ANALYZE t"
    );
    if let Some(server) = server() {
        run(async {
            let database = server.database("").await;
            for statement in sql.split(';') {
                database.execute(statement).await;
            }
            println!("{}", measure("PostgreSQL", &database.url()).await);
        });
    }
}

#[test]
#[ignore = "measures; run it alone and in release"]
fn speed_of_sqlite() {
    run(async {
        let file = File::new(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, note TEXT, n INT, f REAL,
                 yes BOOLEAN, at TIMESTAMP, city TEXT);
             INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s
                 WHERE i < {ROWS})
             SELECT i, 'customer ' || i, CASE WHEN i % 3 THEN 'note ' || i % 100 END, i % 1000,
                 i * 0.25, i % 2, 1767225600000 + i * 1000, 'Berlin' FROM s"
        ))
        .await;
        println!("{}", measure("SQLite", &file.url()).await);
    });
}
