//! What a row costs from SQLite to columns: the JDBC source, eight columns, mode `bulk`.

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_benches::clock::{Clock, criterion_of_long_passes, timed};
use millrace_benches::tasks::{drain, named, runtime, source};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

const ROWS: usize = 20_000;

/// The table, and rows that are the same each time.
fn sql() -> String {
    format!(
        "CREATE TABLE orders (
             id INTEGER PRIMARY KEY, customer TEXT NOT NULL, note TEXT, quantity INT NOT NULL,
             price REAL NOT NULL, paid BOOLEAN NOT NULL, created TIMESTAMP NOT NULL,
             sku TEXT NOT NULL);
         WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < {ROWS})
         INSERT INTO orders SELECT
             n, printf('customer-%08d', n * 7919 % 20000),
             iif(n % 2, NULL, printf('leave it at the %d. lock', n % 900)), 1 + n % 20,
             (n * 7919 % 100000) / 100.0, n % 4 > 0, 1763700000000 + 250 * n,
             printf('sku-%05d', n * 31 % 3000)
         FROM row"
    )
}

async fn create(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.expect("there is room for a database");
    let made = sqlx::raw_sql(AssertSqlSafe(sql())).execute(&mut connection).await;
    made.expect("the SQL is good");
    connection.close().await.expect("nothing is left to fail");
}

fn poll(c: &mut Criterion<Clock>) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("shop.db");
    let runtime = runtime();
    runtime.block_on(create(&path));
    let url = format!("jdbc:sqlite:{}", path.display());
    let plugin = named(millrace_jdbc::plugins(), "io.confluent.connect.jdbc.JdbcSourceConnector");
    let mut group = c.benchmark_group("jdbc_rows/sqlite");
    group.throughput(Throughput::Elements(ROWS as u64));
    for rows_a_batch in ["100", "1000"] {
        let keys = [
            ("connection.url", url.as_str()),
            ("mode", "bulk"),
            ("topic.prefix", "db-"),
            ("batch.max.rows", rows_a_batch),
        ];
        group.bench_function(BenchmarkId::from_parameter(rows_a_batch), |b| {
            b.iter_custom(|passes| {
                let mut total = Duration::ZERO;
                runtime.block_on(async {
                    for _ in 0..passes {
                        let mut task = source(&plugin, &keys).await;
                        timed(&mut total, drain(&mut *task, ROWS)).await;
                        task.stop().await.expect("nothing is left to fail");
                    }
                });
                total
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion_of_long_passes(); targets = poll);
criterion_main!(benches);
