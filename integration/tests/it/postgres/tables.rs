//! A database of a thousand tables: every one is read over few connections, and one that comes or
//! goes while the worker runs disturbs one task.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use millrace_integration::connect::Connect;
use millrace_integration::postgres::{Postgres, postgres};
use millrace_integration::site::{Site, properties};
use millrace_integration::wait_until;

use super::{JSON, LONG};

const TABLES: usize = 1_000;
const TASKS: usize = 10;
const INTERVAL: Duration = Duration::from_secs(2);
/// A busy machine restarts a task no faster.
const RESTART: Duration = Duration::from_secs(30);

/// What the connector's sessions in the database are, by their process.
fn sessions(server: &Postgres) -> BTreeSet<String> {
    let sql = "select pid from pg_stat_activity where application_name = 'thousand'";
    server.sql(sql).lines().map(str::to_owned).collect()
}

fn topics(connect: &Connect) -> BTreeSet<String> {
    let answer = connect.rest("GET", "/connectors/thousand/topics", None);
    let topics = answer.body["thousand"]["topics"].as_array().cloned().unwrap_or_default();
    topics.iter().filter_map(|topic| topic.as_str().map(str::to_owned)).collect()
}

/// The tables of each task.
fn dealt(connect: &Connect) -> Vec<String> {
    let answer = connect.rest("GET", "/connectors/thousand/tasks", None);
    let tasks = answer.body.as_array().cloned().unwrap_or_default();
    tasks.iter().map(|task| task["config"]["tables"].to_string()).collect()
}

#[test]
fn a_thousand_tables_and_one_more() {
    let (site, server) = (Site::embedded(), postgres());
    for hundred in 0..TABLES / 100 {
        server.sql(&format!(
            "do $$ begin for i in {}..{} loop
                 execute format('create table t%s (id serial primary key, a text)', i);
                 execute format('insert into t%s (a) values (''x'')', i);
             end loop; end $$",
            hundred * 100 + 1,
            (hundred + 1) * 100
        ));
    }
    let source = properties(&[
        ("name", "thousand"),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
        ("connection.url", &server.jdbc_url()),
        ("connection.ApplicationName", "thousand"),
        ("mode", "incrementing"),
        ("topic.prefix", "many-"),
        ("tasks.max", &TASKS.to_string()),
        ("table.poll.interval.ms", &INTERVAL.as_millis().to_string()),
    ]);
    let converters = [("key.converter", JSON), ("value.converter", JSON)];
    let connect = site.start(&converters, &[source]);
    wait_until("all tables to be read", LONG, || (topics(&connect).len() == TABLES).then_some(()));
    // One a task, and one that looks for tables.
    let before = sessions(&server);
    assert!(before.len() <= TASKS + 1, "{before:?}");

    let tasks = dealt(&connect);
    let start = Instant::now();
    server.sql("create table zz (id serial primary key, a text); insert into zz (a) values ('x')");
    wait_until("the new table", LONG, || topics(&connect).contains("many-zz").then_some(()));
    assert!(start.elapsed() < INTERVAL + RESTART, "{:?}", start.elapsed());
    let changed = |now: &[String]| tasks.iter().zip(now).filter(|(a, b)| a != b).count();
    assert_eq!(changed(&dealt(&connect)), 1);
    let kept = sessions(&server).intersection(&before).count();
    assert!(kept >= TASKS, "one of {TASKS} tasks connected anew: {kept} are as before");

    server.sql("drop table t999");
    wait_until("the table to be gone", LONG, || {
        dealt(&connect).iter().all(|tables| !tables.contains("t999\\\"")).then_some(())
    });
    for task in 0..TASKS {
        wait_until("all tasks", LONG, || {
            let path = format!("/connectors/thousand/tasks/{task}/status");
            (connect.rest("GET", &path, None).body["state"] == "RUNNING").then_some(())
        });
    }
    assert!(changed(&dealt(&connect)) <= 2);
    let kept = sessions(&server).intersection(&before).count();
    assert!(kept >= TASKS - 1, "two of {TASKS} tasks connected anew: {kept} are as before");
    assert!(connect.stop().success());
}
