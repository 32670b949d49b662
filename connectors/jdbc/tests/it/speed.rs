//! What a row costs: `cargo test --release -p millrace-jdbc -- --ignored --nocapture speed`.

use std::time::Instant;

use millrace_api::data::{Column, Kind, Value};
use millrace_testkit::plugin_host::run;

use crate::host::{props, task};
use crate::mariadb_server;
use crate::server::server;
use crate::sink_host::{Sink, records, schema, sink_props, structs};
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

const MARIADB: &str = "
    CREATE TABLE t (id bigint PRIMARY KEY, name varchar(40), note text, n int, f double,
        yes boolean, at timestamp NULL, city text)";

#[test]
#[ignore = "measures; run it alone and in release"]
fn speed_of_mariadb() {
    let Some(server) = mariadb_server::server() else { return };
    run(async {
        let database = server.database(MARIADB).await;
        let fill = format!(
            "INSERT INTO t SELECT seq, concat('customer ', seq),
                 if(seq % 3, concat('note ', seq % 100), NULL), seq % 1000, seq * 0.25, seq % 2,
                 timestamp '2026-01-01 00:00:00' + INTERVAL seq SECOND, 'Berlin' FROM seq_1_to_{ROWS}"
        );
        database.execute(&fill).await;
        println!("{}", measure("MariaDB", &database.url()).await);
    });
}

/// A tenth of the rows, in polls of 2,000.
#[test]
#[ignore = "measures; run it alone and in release"]
fn speed_of_mariadb_sink() {
    let Some(server) = mariadb_server::server() else { return };
    let shape = schema(&[
        ("id", Kind::Int64, false),
        ("name", Kind::String, true),
        ("note", Kind::String, true),
        ("n", Kind::Int32, true),
        ("f", Kind::Float64, true),
        ("yes", Kind::Boolean, true),
        ("city", Kind::String, true),
    ]);
    let row = |id: i64| {
        let name = format!("customer {id}");
        let n = i32::try_from(id % 1000).unwrap();
        let (f, yes) = (Value::Float64(id as f64 * 0.25), Value::Boolean(id % 2 == 0));
        let texts = ["note".into(), Value::Int32(n), f, yes, "Berlin".into()];
        Some([vec![Value::Int64(id), name.as_str().into()], texts.to_vec()].concat())
    };
    let rows = i64::try_from(ROWS / 10).unwrap();
    let runs: Vec<_> = (0..rows)
        .step_by(2000)
        .map(|first| {
            let values = structs(&shape, (first..first + 2000).map(row).collect());
            [records(first, Column::nulls(2000), values)]
        })
        .collect();
    run(async {
        let database = server.database(&MARIADB.replace(" t ", " orders ")).await;
        for mode in ["insert", "upsert", "update"] {
            let more = [("insert.mode", mode), ("pk.mode", "record_value"), ("pk.fields", "id")];
            let mut sink = Sink::strict(&sink_props(&database.url(), &more)).await;
            let (wall, busy) = (Instant::now(), cpu());
            for run in &runs {
                sink.write(run).await;
            }
            let each = |nanos: u128| nanos / rows as u128;
            let (wall, busy) = (each(wall.elapsed().as_nanos()), each(cpu() - busy));
            println!("{mode}: {rows} rows, {busy} ns of processor and {wall} ns a row");
        }
    });
}
