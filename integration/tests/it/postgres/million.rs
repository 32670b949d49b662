//! The proof by numbers: a million rows, checksums by another reader, and what it cost.

use super::{Postgres, connectors, parquet_files, postgres, rows_in};
use millrace_integration::client::Client;
use millrace_integration::connect::Connect;
use millrace_integration::site::Site;
use millrace_integration::wait_until;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const ROWS: usize = 1_000_000;

/// A column, and how PostgreSQL and DuckDB write it in the same way.
const COLUMNS: [(&str, &str, &str); 9] = [
    ("id", "id::text", "id::varchar"),
    ("n", "n::text", "n::varchar"),
    ("name", "name", "name"),
    ("note", "note", "note"),
    ("ratio", "(ratio * 1024)::bigint::text", "(ratio * 1024)::bigint::varchar"),
    ("flag", "flag::text", "flag::varchar"),
    (
        "seen",
        "floor(extract(epoch from seen) * 1000)::bigint::text",
        "epoch_ms(seen)::bigint::varchar",
    ),
    ("price", "price::text", "price::varchar"),
    ("day", "day::text", "day::varchar"),
];

fn fill(server: &Postgres) {
    server.sql(
        "create table million (id bigint primary key, n int not null, name text not null,
            note text, ratio double precision, flag boolean, seen timestamptz,
            price numeric(12,2), day date)",
    );
    server.sql(&format!(
        "insert into million select i, (i::bigint * 7919) % 2000000 - 1000000, 'customer number ' || i,
            nullif('note ' || i % 17, 'note 3'), i / 1024.0, nullif(i % 3, 2) = 1,
            timestamptz '2020-01-01' + i * interval '1.618 seconds', (i % 1000000) * 12.34 - 5e6,
            date '1990-01-01' + i % 12000 from generate_series(1, {ROWS}) i"
    ));
}

#[test]
#[ignore = "a measurement: MILLRACE_BINARY=…/release/millrace, and python3 with duckdb"]
fn a_million_rows() {
    let (site, server) = (Site::kafka(Client::any()), postgres());
    fill(&server);
    let converters = [
        ("key.converter", super::JSON),
        ("value.converter", super::JSON),
        ("producer.compression.type", "lz4"),
    ];
    let more = [("batch.max.rows", "5000")];
    let start = Instant::now();
    let mut connect = site.start(&converters, &connectors(&site, &server, "million", &more));
    wait_until("a million rows in the lake", Duration::from_secs(600), || {
        let rows: usize = parquet_files(&site, "million").iter().map(rows_in).sum();
        (rows == ROWS).then_some(())
    });
    let wall = start.elapsed();
    report(&mut connect, wall);
    assert!(connect.stop().success());
    let found = by_duckdb(&site);
    let expected = by_postgres(&server);
    println!("columns: rows with a value, sum over them of the first 32 bits of md5");
    println!("  PostgreSQL {expected}\n  DuckDB     {found}");
    assert_eq!(found, expected);
}

fn report(connect: &mut Connect, wall: Duration) {
    let process = connect.process();
    let (_, peak) = process.memory();
    println!(
        "{ROWS} rows in {:.1} s from the worker's start, {:.1} CPU seconds, peak {} MB",
        wall.as_secs_f64(),
        process.cpu_seconds(),
        peak / 1_000_000
    );
    let mut threads: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", process.id())).unwrap().flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((name, fields)) = stat.rsplit_once(')') else { continue };
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap()).sum();
        let name = name.split_once('(').map_or("?", |(_, name)| name);
        let entry = threads.entry(name.to_owned()).or_default();
        *entry = (entry.0 + ticks / 100.0, entry.1 + 1);
    }
    for (name, (seconds, count)) in threads {
        println!("  {seconds:6.2} s in {count} thread(s) {name}");
    }
}

fn by_postgres(server: &Postgres) -> String {
    let columns = COLUMNS.map(|(_, text, _)| {
        let hash = format!("('x' || substr(md5({text}), 1, 8))::bit(32)::bigint");
        format!("count({text}) || ':' || sum({hash})")
    });
    server.sql(&format!("select count(*), {} from million", columns.join(", ")))
}

fn by_duckdb(site: &Site) -> String {
    let columns = COLUMNS.map(|(_, _, text)| {
        let hash = format!("('0x' || substr(md5({text}), 1, 8))::bigint");
        format!("count({text}) || ':' || sum({hash})")
    });
    let files = site.path("lake/topics/pg-million/partition=0/*.parquet");
    let sql =
        format!("select count(*), {} from read_parquet('{}')", columns.join(", "), files.display());
    let program = "import sys, duckdb\nprint(*duckdb.sql(sys.argv[1]).fetchall()[0], sep='|')";
    let output = Command::new("python3").args(["-c", program, &sql]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3 with duckdb is needed: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
