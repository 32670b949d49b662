//! The late-commit drill: sixteen writers fill a table in transactions of random lengths, some of
//! which are rolled back, so that rows appear below others that were read before; and the worker
//! that reads them is killed again and again. Every row arrives, in both modes
//! that read by id. With `commit.safety=off` some do
//! not, as with Confluent's connector: so the drill can see a loss.
//!
//! `MILLRACE_DRILL_ROWS`, `MILLRACE_DRILL_KILLS` and `MILLRACE_DRILL_SEED` make other drills.

use super::ids as ids_in;
use crate::postgres::JSON;
use fastrand::Rng;
use millrace_integration::client::Client;
use millrace_integration::connect::{Connect, Properties};
use millrace_integration::postgres::{Postgres, postgres};
use millrace_integration::process::Process;
use millrace_integration::site::{PATIENCE, Site, properties};
use millrace_integration::wait_until;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

const WRITERS: usize = 16;

const TABLE: &str = "
    create table late (id bigserial primary key, writer int not null,
        written timestamptz not null default clock_timestamp());
    create index on late (written, id)";

/// Topic and connector, mode, `commit.safety`.
const SOURCES: [(&str, &str, &str); 4] = [
    ("ids-on", "incrementing", "on"),
    ("times-on", "timestamp+incrementing", "on"),
    ("ids-off", "incrementing", "off"),
    ("times-off", "timestamp+incrementing", "off"),
];

#[test]
fn rows_that_are_committed_late_arrive_though_the_worker_is_killed() {
    drill(20_000, 3, Duration::from_secs(2));
}

#[test]
#[ignore = "minutes: 500,000 rows and 20 kills, with MILLRACE_BINARY=…/release/millrace"]
fn long() {
    drill(500_000, 20, Duration::from_secs(6));
}

fn drill(rows: usize, kills: usize, longest_life: Duration) {
    let variable = |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let rows = variable("MILLRACE_DRILL_ROWS").map_or(rows, |rows: u64| rows as usize);
    let kills = variable("MILLRACE_DRILL_KILLS").map_or(kills, |kills: u64| kills as usize);
    let seed = variable("MILLRACE_DRILL_SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000));
    println!("MILLRACE_DRILL_SEED={seed}");
    let (site, server) = (Site::kafka(Client::Native), postgres());
    server.sql(TABLE);
    let prefix = format!("late-{seed}-{rows}-");
    SOURCES
        .iter()
        .for_each(|(name, ..)| site.backend.create_topic(&format!("{prefix}{name}-late"), 1));
    let start = Instant::now();
    let mut random = Rng::with_seed(seed);
    let mut writers = writers(&site, &server, rows, &mut random);
    for _ in 0..kills {
        let mut worker = begin(&site, &server, &prefix);
        let life = longest_life.mul_f64(random.f64());
        let born = Instant::now();
        wait_until("the worker's time to end", 2 * PATIENCE, || {
            assert!(worker.process().exited().is_none(), "{}", worker.process().log());
            (born.elapsed() >= life).then_some(())
        });
        worker.process().kill();
    }
    let mut worker = begin(&site, &server, &prefix);
    worker.wait_for_rest();
    for writer in &mut writers {
        assert!(writer.wait(20 * PATIENCE).success(), "{}", writer.log());
    }
    let written = start.elapsed();
    let report = check(&site, &server, &prefix, &worker);
    let report = format!(
        "late-commit drill: seed {seed}, {kills} kills, written in {:.1} s, {report}, \
         {:.1} s in all\n",
        written.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    // Past the test runner, which shows only what failed.
    let _ = std::io::stderr().write_all(report.as_bytes());
}

/// Starts them. Together they commit at least so many rows.
fn writers(site: &Site, server: &Postgres, rows: usize, random: &mut Rng) -> Vec<Process> {
    let start = |writer| {
        let file = site.path(&format!("writer-{writer}.sql"));
        std::fs::write(&file, script(writer, rows.div_ceil(WRITERS), random)).unwrap();
        server.run_script(&file, &site.path(&format!("writer-{writer}.log")))
    };
    (0..WRITERS).map(start).collect()
}

fn script(writer: usize, rows: usize, random: &mut Rng) -> String {
    let (mut script, mut committed) = (String::new(), 0);
    while committed < rows {
        let mut inserted = 0;
        script.push_str("begin;\n");
        for _ in 0..random.usize(1..=4) {
            let count = random.usize(1..=8);
            inserted += count;
            // One in two hundred waits long.
            let most = if random.u8(..) == 0 { 2.0 } else { 0.02 };
            writeln!(
                script,
                "insert into late (writer) select {writer} from generate_series(1, {count}); \
                 select pg_sleep({:.4});",
                random.f64() * most
            )
            .unwrap();
        }
        let is_kept = random.usize(..10) > 0;
        script.push_str(if is_kept { "commit;\n" } else { "rollback;\n" });
        committed += if is_kept { inserted } else { 0 };
    }
    script
}

fn begin(site: &Site, server: &Postgres, prefix: &str) -> Connect {
    let worker = [
        ("offset.flush.interval.ms", "200"),
        ("key.converter", JSON),
        ("value.converter", JSON),
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
    ];
    let sources: Vec<Properties> = SOURCES
        .iter()
        .map(|(name, mode, safety)| {
            properties(&[
                ("name", &format!("{prefix}{name}")),
                ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
                ("connection.url", &server.jdbc_url()),
                ("table.whitelist", "late"),
                ("mode", mode),
                ("incrementing.column.name", "id"),
                ("timestamp.column.name", "written"),
                ("commit.safety", safety),
                ("topic.prefix", &format!("{prefix}{name}-")),
                ("poll.interval.ms", "10"),
                ("batch.max.rows", "100"),
            ])
        })
        .collect();
    site.begin(&worker, &sources)
}

/// Waits until all is there that must be, and says what was lost where something may.
fn check(site: &Site, server: &Postgres, prefix: &str, worker: &Connect) -> String {
    // Once this one has come, nothing below it is on its way any more.
    let last = server.sql("insert into late (writer) values (-1) returning id").parse().unwrap();
    let ids = server.sql("select id from late");
    let ids: BTreeSet<i64> = ids.lines().map(|id| id.parse().unwrap()).collect();
    let mut report = format!("{} rows", ids.len());
    for (name, _, safety) in SOURCES {
        let (connector, topic) = (format!("{prefix}{name}"), format!("{prefix}{name}-late"));
        let end = Instant::now() + 2 * PATIENCE;
        let (seen, records) = wait_until(&format!("{name} to be whole"), 3 * PATIENCE, || {
            require_running(worker, &connector);
            let all = ids_in(site, &topic);
            let seen: BTreeSet<i64> = all.iter().copied().collect();
            let is_whole =
                if safety == "on" { seen.len() >= ids.len() } else { seen.contains(&last) };
            (is_whole || Instant::now() > end).then_some((seen, all.len()))
        });
        let lost: Vec<&i64> = ids.difference(&seen).collect();
        let first = &lost[..lost.len().min(10)];
        assert!(seen.is_subset(&ids), "{name} has rows that were rolled back");
        write!(report, "; {name}: {} lost, {} repeated", lost.len(), records - seen.len()).unwrap();
        assert_eq!(lost.is_empty(), safety == "on", "{name}: {} lost, as {first:?}", lost.len());
    }
    report
}

fn require_running(worker: &Connect, connector: &str) {
    let status = worker.rest("GET", &format!("/connectors/{connector}/status"), None).body;
    let trace = status.pointer("/tasks/0/trace");
    assert!(trace.is_none(), "{connector}: {}", trace.unwrap());
}
