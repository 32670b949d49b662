//! The source's offsets are Confluent's: as REST shows and changes them, and in an offset file that
//! goes from Java's connector to ours and back.
//!
//! Java's is Aiven's JDBC connector, which Maven Central does not have: `MILLRACE_TEST_JDBC_PLUGIN`
//! names a folder with its jars and PostgreSQL's driver.

use super::ids;
use crate::postgres::JSON;
use millrace_integration::client::Client;
use millrace_integration::connect::{Connect, Program, Properties};
use millrace_integration::postgres::{Postgres, postgres};
use millrace_integration::site::{PATIENCE, Site, properties, wait_for_task};
use millrace_integration::{topic, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const CONVERTERS: [(&str, &str); 4] = [
    ("key.converter", JSON),
    ("value.converter", JSON),
    ("key.converter.schemas.enable", "false"),
    ("value.converter.schemas.enable", "false"),
];

fn source(server: &Postgres, name: &str, table: &str, mode: &str) -> Properties {
    properties(&[
        ("name", name),
        ("connector.class", "io.aiven.connect.jdbc.JdbcSourceConnector"),
        ("tasks.max", "1"),
        ("connection.url", &server.jdbc_url()),
        ("table.whitelist", table),
        ("mode", mode),
        ("incrementing.column.name", "id"),
        ("timestamp.column.name", if mode.starts_with("timestamp") { "at" } else { "" }),
        ("topic.prefix", &format!("{name}-")),
        ("poll.interval.ms", "100"),
    ])
}

#[track_caller]
fn wait_for_count(site: &Site, topic: &str, count: usize) {
    let bootstrap = site.backend.bootstrap();
    wait_until(&format!("{count} records in {topic}"), PATIENCE, || {
        (topic::count(&bootstrap, topic) >= count as i64).then_some(())
    });
}

fn offsets(connect: &Connect, name: &str) -> Value {
    connect.rest("GET", &format!("/connectors/{name}/offsets"), None).body
}

/// Waits until the stored offset stands at this id.
#[track_caller]
fn wait_for_id(connect: &Connect, name: &str, id: usize) {
    wait_until(&format!("the offset {id}"), PATIENCE, || {
        let found = offsets(connect, name);
        (found.pointer("/offsets/0/offset/incrementing") == Some(&json!(id))).then_some(())
    });
}

#[test]
fn people_move_a_source_by_its_offsets() {
    let (site, server) = (Site::kafka(Client::any()), postgres());
    server.sql("create table moved (id bigserial primary key, a text)");
    server.sql("insert into moved (a) select 'x' from generate_series(1, 100)");
    let (name, topic) = ("jdbc-moved", "jdbc-moved-moved");
    site.backend.create_topic(topic, 1);
    let connect = site.start(&CONVERTERS, &[source(&server, name, "moved", "incrementing")]);
    wait_for_count(&site, topic, 100);
    wait_for_id(&connect, name, 100);
    let partition = json!({"protocol": "1", "table": "public.moved"});
    assert_eq!(offsets(&connect, name)["offsets"][0]["partition"], partition);

    let path = format!("/connectors/{name}/offsets");
    let change = |method: &str, body: Option<&Value>| {
        connect.rest("PUT", &format!("/connectors/{name}/stop"), None);
        wait_until("the stop", PATIENCE, || {
            let answer = connect.rest("GET", &format!("/connectors/{name}/status"), None).body;
            (answer["tasks"] == json!([])).then_some(())
        });
        let answer = connect.rest(method, &path, body.map(Value::to_string).as_deref());
        assert_eq!(answer.status, 200, "{answer:?}");
        connect.rest("PUT", &format!("/connectors/{name}/resume"), None);
        wait_for_task(&connect, name, "RUNNING");
    };
    let to =
        |id: i64| json!({"offsets": [{"partition": partition, "offset": {"incrementing": id}}]});
    change("PATCH", Some(&to(90)));
    wait_for_count(&site, topic, 110);
    change("DELETE", None);
    wait_for_count(&site, topic, 210);
    let expected = (1..=100).chain(91..=100).chain(1..=100);
    assert!(ids(&site, topic).into_iter().eq(expected), "{:?}", ids(&site, topic));
}

/// Each mode has a connector and a table of its own.
const MODES: [(&str, &str); 2] =
    [("jdbc-swap-ids", "incrementing"), ("jdbc-swap-times", "timestamp+incrementing")];
const TABLE: &str = "swapped";

#[test]
fn an_offset_file_goes_from_aivens_connector_and_back() {
    let Some(plugin) = std::env::var_os("MILLRACE_TEST_JDBC_PLUGIN") else {
        println!("skipped: MILLRACE_TEST_JDBC_PLUGIN names no folder with Java's JDBC connector");
        return;
    };
    let (site, server) = (Site::kafka(Client::any()), postgres());
    let path = copy_plugin(&site, plugin.as_ref());
    server.sql(
        "create table swapped (id bigserial primary key, at timestamp not null default now())",
    );
    MODES.iter().for_each(|(name, _)| site.backend.create_topic(&format!("{name}-{TABLE}"), 1));
    let connectors = MODES.map(|(name, mode)| source(&server, name, TABLE, mode));
    let stages = [Program::Java, site.millrace(), Program::Java, site.millrace()];
    let mut left = [Value::Null, Value::Null];
    for (stage, program) in stages.into_iter().enumerate() {
        let plugins = [("plugin.path", path.as_str())];
        let worker = [&CONVERTERS[..], if program == Program::Java { &plugins } else { &[] }];
        let connect = site.start_as(program, &worker.concat(), &connectors);
        // What the other has left is what this one finds.
        if stage > 0 {
            MODES.iter().for_each(|(name, _)| drop(wait_for_task(&connect, name, "RUNNING")));
            assert_eq!(MODES.map(|(name, _)| offsets(&connect, name)), left, "{program:?}");
        }
        // An id that nobody uses is remembered in our offsets, which Java has to understand.
        server.sql("select nextval('swapped_id_seq')");
        // Several a statement have the same time, and microseconds count.
        (0..20).for_each(|_| {
            server.sql("insert into swapped select from generate_series(1, 25)");
        });
        for (name, _) in MODES {
            wait_for_count(&site, &format!("{name}-{TABLE}"), (stage + 1) * 500);
            wait_for_id(&connect, name, server.sql("select max(id) from swapped").parse().unwrap());
        }
        left = MODES.map(|(name, _)| offsets(&connect, name));
        connect.stop();
    }
    for (name, _) in MODES {
        let found: Vec<String> =
            ids(&site, &format!("{name}-{TABLE}")).iter().map(i64::to_string).collect();
        let rows = server.sql("select id from swapped order by id");
        assert_eq!(found.join("\n"), rows, "{name}: each row once and in order");
    }
}

/// Java's worker runs in a container that sees the test's directory alone. Gives its `plugin.path`.
fn copy_plugin(site: &Site, jars: &Path) -> String {
    let folder = site.path("plugins/jdbc");
    fs::create_dir_all(&folder).unwrap();
    for jar in fs::read_dir(jars).unwrap().flatten() {
        fs::copy(jar.path(), folder.join(jar.file_name())).unwrap();
    }
    format!("/opt/kafka/plugins,{}", site.path("plugins").display())
}
