//! A registry that is away for a while: what is known goes on, all else waits and is delivered.

use std::time::{Duration, Instant};

use millrace_integration::block_on;
use millrace_integration::registry::Registry;
use millrace_integration::site::{Site, file_sink, file_source, wait_for_task, with};
use schema_registry_client::{Client, Schema, Settings};

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";

#[test]
fn a_registry_that_is_away_loses_nothing() {
    away_for(Duration::from_secs(15));
}

#[test]
#[ignore = "the same for a whole minute"]
fn a_registry_that_is_away_for_a_minute_loses_nothing() {
    away_for(Duration::from_secs(60));
}

/// Rows of a topic, in the order in which they are written.
fn rows(topic: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{topic}-{number:03}")).collect()
}

/// Lines that are Avro strings with this id, as bytes that a file of lines can hold.
fn framed(id: i32, rows: &[String]) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in rows {
        lines.extend([0].into_iter().chain(id.to_be_bytes()));
        lines.push(u8::try_from(2 * row.len()).unwrap());
        lines.extend(row.as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// Two topics with a schema each, of which the sink has met one; and a source that begins to write
/// while nobody can tell it an id.
fn away_for(time: Duration) {
    let mut registry = Registry::start();
    let client = Client::new(Settings::new([registry.url()])).unwrap();
    let register = |subject: &str, schema: &str| {
        block_on(client.register(subject, &Schema::avro(schema).into(), false)).unwrap().id
    };
    let known = register("known-value", r#"{"type":"string","doc":"known"}"#);
    let late = register("late-value", r#"{"type":"string","doc":"late"}"#);
    assert_ne!(known, late);

    let site = Site::embedded();
    let url = registry.url();
    let avro = [
        ("value.converter", AVRO),
        ("value.converter.schema.registry.url", &*url),
        ("value.converter.http.connect.timeout.ms", "2000"),
        ("errors.tolerance", "all"),
    ];
    for file in ["known", "late", "written"] {
        site.write(file, "");
    }
    let path = |name: &str| site.path(name).display().to_string();
    let connectors = [
        file_source("known", &path("known"), "known"),
        file_source("late", &path("late"), "late"),
        with(file_sink("out", &path("out.txt"), "known,late"), &avro),
        with(file_source("written", &path("written"), "written"), &avro),
        with(file_sink("read", &path("read.txt"), "written"), &avro),
    ];
    let mut connect = site.start(&[], &connectors);
    site.append("known", framed(known, &rows("known", 0..50)));
    site.wait_for_lines("out.txt", 50);

    registry.kill();
    let begun = Instant::now();
    site.append("written", rows("written", 0..50).join("\n") + "\n");
    let mut count = 50;
    while begun.elapsed() < time {
        site.append("late", framed(late, &rows("late", count - 50..count)));
        // Cached ids go on beside what waits.
        site.append("known", framed(known, &rows("known", count..count + 50)));
        count += 50;
        site.wait_for_lines("out.txt", count);
    }
    assert!(!site.read("out.txt").contains("late"));
    let log = connect.process().log();
    let told = |line: &&str| line.contains("WARN") && line.contains("wait") && line.contains(&url);
    let warnings = log.lines().filter(told).count() as u64;
    // Two tasks wait, and say so every ten seconds.
    let most = 2 * (begun.elapsed().as_secs() / 10 + 1);
    assert!((2..=most).contains(&warnings), "{warnings} of at most {most}:\n{log}");
    for task in ["out", "written"] {
        wait_for_task(&connect, task, "RUNNING");
    }

    registry.restart();
    site.wait_for_lines("out.txt", 2 * count - 50);
    let out = site.read("out.txt");
    let of = |topic: &str| out.lines().filter(|line| line.starts_with(topic)).collect::<Vec<_>>();
    assert_eq!(of("known"), rows("known", 0..count));
    assert_eq!(of("late"), rows("late", 0..count - 50));
    site.wait_for_lines("read.txt", 50);
    assert_eq!(site.read("read.txt").lines().collect::<Vec<_>>(), rows("written", 0..50));
    connect.stop();
}
