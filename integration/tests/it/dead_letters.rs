//! Dead letters through the binary: a database sink that gathers rows over many polls reports the
//! ones its database refuses, `millrace dlq` shows them and writes them back, and a worker that is
//! killed loses none.

use std::process::Command;
use std::time::Duration;

use millrace_integration::connect::{Properties, millrace};
use millrace_integration::site::{PATIENCE, Site, properties};
use millrace_integration::topic::Record;
use millrace_integration::wait_until;

const SCHEMA: &str = r#"{"type":"struct","optional":false,"fields":[
    {"field":"id","type":"int32","optional":false},
    {"field":"name","type":"string","optional":true}]}"#;

/// A record; one in fifty has no name, which the table wants.
fn record(id: usize) -> Record {
    let name = if id % 50 == 7 { "null".to_owned() } else { format!("\"n{id}\"") };
    let value = format!("{{\"schema\":{SCHEMA},\"payload\":{{\"id\":{id},\"name\":{name}}}}}");
    Record { value: Some(value.into_bytes()), ..Record::default() }
}

fn sink(site: &Site) -> Properties {
    let url = format!("jdbc:sqlite:{}", site.path("target.db").display());
    properties(&[
        ("name", "lingering"),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
        ("tasks.max", "1"),
        ("topics", "people"),
        ("connection.url", &url),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
        // Rows wait over several polls, for longer than each of them is remembered.
        ("batch.size", "700"),
        ("batch.linger.ms", "400"),
        ("consumer.override.max.poll.records", "100"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "people-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ])
}

fn create_table(site: &Site) {
    let sql = "create table people(id integer primary key, name text not null)";
    let made = Command::new("sqlite3").arg(site.path("target.db")).arg(sql).status().unwrap();
    assert!(made.success());
}

fn rows(site: &Site) -> usize {
    let sql = "select count(*) from people";
    let asked = Command::new("sqlite3").arg(site.path("target.db")).arg(sql).output().unwrap();
    String::from_utf8_lossy(&asked.stdout).trim().parse().unwrap_or(0)
}

fn dlq(site: &Site, arguments: &[&str]) -> String {
    let log = format!("embedded:{}", site.path("log").display());
    let mut command = millrace();
    command.args(["dlq", "--bootstrap-server", &log]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Of 2000 records 40 are refused by the database, long after the poll that brought them.
#[test]
fn a_sink_that_gathers_rows_reports_those_that_are_refused() {
    const COUNT: usize = 2_000;
    let site = Site::embedded();
    create_table(&site);
    site.backend.create_topic("people", 1);
    site.backend.produce("people", &(0..COUNT).map(record).collect::<Vec<_>>());
    let connect = site.start(&[], &[sink(&site)]);
    let (good, bad) = (COUNT - COUNT / 50, COUNT / 50);
    wait_until("all rows", PATIENCE, || (rows(&site) == good).then_some(()));
    assert!(connect.stop().success());
    let letters = site.backend.contents("people-letters");
    let values: Vec<_> = letters.iter().map(|letter| letter.value.clone()).collect();
    let expected: Vec<_> =
        (0..COUNT).filter(|id| id % 50 == 7).map(|id| record(id).value).collect();
    assert_eq!(values, expected, "with the bytes that they came with");

    let listed = dlq(&site, &["ls", "people-letters"]);
    let causes: Vec<&str> = listed.lines().skip(1).collect();
    assert_eq!(causes.len(), 1, "{listed}");
    for part in ["40", "lingering", "TASK_PUT", "SinkTask", "0:0"] {
        assert!(causes[0].contains(part), "{listed}");
    }
    let shown = dlq(&site, &["show", "people-letters", "-n", "1", "--offsets", "3.."]);
    for part in ["offset 3", "  topic: people", "  offset: 157", "NOT NULL", "\"id\":157"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(dlq(&site, &["show", "people-letters", "--stage", "NONE"]), "");
    let tried = dlq(&site, &["replay", "people-letters", "--dry-run"]);
    assert_eq!(tried, "40 records would be written to people\n");
    let replayed = dlq(&site, &["replay", "people-letters", "--offsets", "..5"]);
    assert_eq!(replayed, "5 records were written to people\n");
    let all = site.backend.contents("people");
    assert_eq!(all.len(), COUNT + 5);
    assert!(all[COUNT..].iter().all(|record| record.headers.is_empty()));
    assert_eq!(all[COUNT].value, record(7).value);
    let elsewhere = dlq(&site, &["replay", "people-letters", "--to", "mended"]);
    assert_eq!(elsewhere, "40 records were written to mended\n");
    assert_eq!(bad, site.backend.contents("mended").len());
}

/// Lines that are no numbers fail in a transformation. However often the worker is killed, each line
/// is a record or a letter in the end.
#[test]
#[allow(clippy::disallowed_methods, reason = "it kills at moments that nothing tells")]
fn a_killed_source_loses_no_letter() {
    const LINES: usize = 60_000;
    let site = Site::embedded();
    let line = |n: usize| if n % 10 == 3 { format!("no number {n}") } else { n.to_string() };
    let source = properties(&[
        ("name", "numbers"),
        ("connector.class", "FileStreamSource"),
        ("tasks.max", "1"),
        ("file", &site.path("in.txt").display().to_string()),
        ("topic", "numbers"),
        ("transforms", "cast"),
        ("transforms.cast.type", "org.apache.kafka.connect.transforms.Cast$Value"),
        ("transforms.cast.spec", "int64"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "no-numbers"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
    ]);
    let kills = 6;
    site.write("in.txt", "");
    for kill in 0..kills {
        let worker = [("offset.flush.interval.ms", "100")];
        let mut connect = site.start(&worker, std::slice::from_ref(&source));
        let part = LINES / kills;
        for piece in 0..20 {
            let numbers = part * kill + part * piece / 20..part * kill + part * (piece + 1) / 20;
            let text: String = numbers.map(|n| line(n) + "\n").collect();
            site.append("in.txt", text);
            std::thread::sleep(Duration::from_millis(10));
        }
        // Somewhere within a commit's interval.
        std::thread::sleep(Duration::from_millis(37 * kill as u64 % 100));
        connect.process().kill();
    }
    let connect = site.start(&[], std::slice::from_ref(&source));
    site.wait_for_position(std::fs::metadata(site.path("in.txt")).unwrap().len());
    assert!(connect.stop().success());
    let mut seen = vec![0_u32; LINES];
    for record in site.backend.contents("numbers") {
        let text = String::from_utf8(record.value.unwrap()).unwrap();
        seen[text.parse::<usize>().unwrap()] += 1;
    }
    for letter in site.backend.contents("no-numbers") {
        let letter: serde_json::Value = serde_json::from_slice(&letter.value.unwrap()).unwrap();
        let number = letter["value"].as_str().unwrap().strip_prefix("no number ").unwrap();
        seen[number.parse::<usize>().unwrap()] += 1;
    }
    let lost: Vec<usize> = (0..LINES).filter(|n| seen[*n] == 0).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
