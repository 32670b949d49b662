//! The database of quickstart: a small shop, the same on every run.

use std::path::Path;

use millrace_api::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

/// The tables, in the order they are shown.
pub(super) const TABLES: [&str; 3] = ["customers", "orders", "order_lines"];

/// A SQLite database.
pub(super) struct Shop {
    pub(super) tables: Vec<Table>,
}

/// What a table holds.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) rows: u64,
    /// The sum of column `id`, to compare with what is read back.
    pub(super) id_sum: i64,
}

const SCHEMA: &str = "
CREATE TABLE customers (
    id INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, city TEXT,
    credit REAL NOT NULL, since TEXT NOT NULL);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY NOT NULL, customer_id INTEGER NOT NULL, placed_at TEXT NOT NULL,
    status TEXT NOT NULL, note TEXT);
CREATE TABLE order_lines (
    id INTEGER PRIMARY KEY NOT NULL, order_id INTEGER NOT NULL, product TEXT NOT NULL,
    quantity INTEGER NOT NULL, price REAL NOT NULL);
";

/// One row in ten is a customer, three are orders, six are order lines.
fn fill(rows: u64) -> [String; 3] {
    let (customers, orders) = (rows / 10, rows * 3 / 10);
    let lines = rows - customers - orders;
    let numbers = |count: u64| {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
    };
    [
        format!(
            "INSERT INTO customers {} SELECT i, 'Customer ' || i, 'c' || i || '@example.com', \
             CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN 'Zürich' WHEN 2 THEN 'Lagos' \
             WHEN 3 THEN 'Osaka' ELSE 'Lima' END, (i * 7919 % 100000) / 100.0, \
             date('2020-01-01', '+' || (i % 2000) || ' days') FROM n",
            numbers(customers)
        ),
        format!(
            "INSERT INTO orders {} SELECT i, 1 + i * 31 % {customers}, \
             datetime('2024-01-01', '+' || i || ' minutes'), \
             CASE i % 3 WHEN 0 THEN 'open' WHEN 1 THEN 'paid' ELSE 'shipped' END, \
             CASE WHEN i % 11 = 0 THEN 'leave at the door' END FROM n",
            numbers(orders)
        ),
        format!(
            "INSERT INTO order_lines {} SELECT i, 1 + i * 17 % {orders}, 'P-' || (i % 997), \
             1 + i % 9, (i * 104729 % 50000) / 100.0 FROM n",
            numbers(lines)
        ),
    ]
}

impl Shop {
    /// Makes the database with so many rows over all tables.
    pub(super) async fn create(path: &Path, rows: u64) -> Result<Self> {
        let failed = |e: sqlx::Error| {
            Error::fatal("cannot make the shop's database")
                .context("path", path.display())
                .context("remedy", "set TMPDIR to a directory with room for it")
                .with_source(e)
        };
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.map_err(failed)?;
        connection.execute(SCHEMA).await.map_err(failed)?;
        for statement in fill(rows) {
            // The text holds numbers of our own alone.
            connection.execute(AssertSqlSafe(statement)).await.map_err(failed)?;
        }
        let tables = count(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)?;
        Ok(Self { tables })
    }
}

async fn count(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for name in TABLES {
        let query = AssertSqlSafe(format!("SELECT count(*), sum(id) FROM {name}"));
        let row = connection.fetch_one(query).await?;
        let rows: i64 = row.try_get(0)?;
        let id_sum = row.try_get(1)?;
        tables.push(Table { name, rows: u64::try_from(rows).unwrap_or(0), id_sum });
    }
    Ok(tables)
}
