//! Records that cannot be read, lines that cannot be records, files that change under the source.

use super::{lines, restart, tells, values};
use millrace_integration::connect::Properties;
use millrace_integration::site::{
    PATIENCE, Site, file_sink, file_source, properties, wait_for_task, with,
};
use millrace_integration::topic::Record;
use millrace_integration::wait_until;
use std::fs;

on_all_backends! {
    a_wrong_converter_fails_one_task_and_names_the_record
    invalid_json_fails_the_task_or_goes_to_the_dead_letter_queue
    a_line_that_no_record_can_hold_fails_the_task
    a_topic_that_does_not_exist_yet_is_waited_for
}

/// A topic of these values.
fn fill(site: &Site, topic: &str, values: impl Iterator<Item = String>) {
    site.backend.create_topic(topic, 1);
    let record = |value: String| Record { value: Some(value.into_bytes()), ..Record::default() };
    let records: Vec<Record> = values.map(record).collect();
    site.backend.produce(topic, &records);
}

fn json_sink(name: &str, file: &str, topic: &str) -> Properties {
    let json = [
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
    ];
    with(file_sink(name, file, topic), &json)
}

fn a_wrong_converter_fails_one_task_and_names_the_record(site: &Site) {
    fill(site, "wrong-converter", ["plain text".to_owned()].into_iter());
    let wrong = json_sink("wrong-converter-json", "json.txt", "wrong-converter");
    let right = file_sink("wrong-converter-text", "text.txt", "wrong-converter");
    let connect = site.start(&[], &[wrong, right]);
    let trace = wait_for_task(&connect, "wrong-converter-json", "FAILED");
    tells(&trace, &["JsonConverter", "VALUE_CONVERTER", "errors.tolerance"]);
    tells(&trace, &["topic: wrong-converter", "partition: 0", "offset: 0"]);
    site.wait_for_lines("text.txt", 1);
    assert_eq!(site.read("json.txt"), "");
}

fn invalid_json_fails_the_task_or_goes_to_the_dead_letter_queue(site: &Site) {
    let value = |number| match number {
        500 => "{\"broken\":".to_owned(),
        number => number.to_string(),
    };
    fill(site, "invalid", (0..1000).map(value));
    let sink = json_sink("invalid-sink", "out.txt", "invalid");
    let connect = site.start(&[], &[sink]);
    let trace = wait_for_task(&connect, "invalid-sink", "FAILED");
    tells(&trace, &["topic: invalid", "partition: 0", "offset: 500"]);
    assert!(site.path("out.txt").exists());

    let tolerant = properties(&[
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "invalid-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ]);
    let mut config = json_sink("invalid-sink", "out.txt", "invalid");
    config.extend(tolerant);
    let body = serde_json::to_string(&config).unwrap();
    let answer = connect.rest("PUT", "/connectors/invalid-sink/config", Some(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
    site.wait_for_lines("out.txt", 999);
    assert!(connect.stop().success());
    let expected: String =
        (0..1000).filter(|n| *n != 500).map(|number| format!("{number}\n")).collect();
    assert_eq!(site.read("out.txt"), expected);
    let [letter] = &site.backend.contents("invalid-letters")[..] else {
        panic!("one record cannot be read");
    };
    assert_eq!(letter.value.as_deref(), Some(&b"{\"broken\":"[..]));
    let header = |name: &str| {
        let header = letter.headers.iter().find(|(key, _)| key == name);
        let (_, value) = header.unwrap_or_else(|| panic!("{name} is missing"));
        String::from_utf8(value.clone().unwrap()).unwrap()
    };
    assert_eq!(header("__connect.errors.topic"), "invalid");
    assert_eq!(header("__connect.errors.offset"), "500");
    assert_eq!(header("__connect.errors.stage"), "VALUE_CONVERTER");
}

fn a_line_that_no_record_can_hold_fails_the_task(site: &Site) {
    // Longer than what is read at once, and not too long for a record.
    let long = "x".repeat(600 << 10);
    site.write("in.txt", format!("short\n{long}\nlast\n"));
    let source = file_source("long-source", "in.txt", "long");
    let connect = site.start(&[], &[source, file_sink("long-sink", "out.txt", "long")]);
    site.wait_for_lines("out.txt", 3);
    assert!(site.read("out.txt") == site.read("in.txt"), "a long line is a line like others");

    // A producer's `max.request.size` is 1 MiB.
    let position = fs::metadata(site.path("in.txt")).unwrap().len();
    site.append("in.txt", format!("{}\nbehind\n", "y".repeat(3 << 20)));
    let trace = wait_for_task(&connect, "long-source", "FAILED");
    tells(&trace, &["max.request.size"]);
    wait_for_task(&connect, "long-sink", "RUNNING");

    // With more room nothing is missing.
    let source = file_source("long-source", "in.txt", "long");
    let room = [("producer.override.max.request.size", "4000000")];
    let body = serde_json::to_string(&with(source, &room)).unwrap();
    if site.backend.name() == "embedded" {
        let answer = connect.rest("PUT", "/connectors/long-source/config", Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
        // What followed it may have come through the first time, as with Java.
        let end = format!("{}\nbehind\n", "y".repeat(3 << 20));
        wait_until("the longest line", PATIENCE, || {
            site.read("out.txt").ends_with(&end).then_some(())
        });
        assert!(site.read("out.txt").starts_with(&format!("short\n{long}\nlast\n")));
    } else {
        // This broker takes no larger ones, whatever the producer may send.
        site.wait_for_position(position);
    }
}

/// A file that has no line ends at all.
#[test]
fn a_line_longer_than_memory_should_hold() {
    let site = Site::embedded();
    site.write("in.txt", "one\n");
    site.append("in.txt", vec![b'x'; 65 << 20]);
    let connect = site.start(&[], &[file_source("endless", "in.txt", "endless")]);
    let trace = wait_for_task(&connect, "endless", "FAILED");
    tells(&trace, &["in.txt", "position: 4", "limit in bytes: 67108864"]);
    assert!(connect.stop().success());
    assert_eq!(values(&site, "endless"), ["one"]);
}

fn a_topic_that_does_not_exist_yet_is_waited_for(site: &Site) {
    let connect = site.start(&[], &[file_sink("absent-sink", "out.txt", "absent")]);
    wait_for_task(&connect, "absent-sink", "RUNNING");
    site.write("in.txt", lines(0..10));
    let source = file_source("absent-source", "in.txt", "absent");
    let body = serde_json::json!({"name": "absent-source", "config": source}).to_string();
    let answer = connect.rest("POST", "/connectors", Some(&body));
    assert_eq!(answer.status, 201, "{answer:?}");
    site.wait_for_lines("out.txt", 10);
    assert_eq!(site.read("out.txt"), lines(0..10));
}

#[test]
fn a_file_that_is_truncated_or_replaced_while_it_is_read() {
    let site = Site::embedded();
    let source = file_source("changing-source", "in.txt", "changing");
    // A file that comes later is waited for.
    let connect = site.start(&[], &[source, file_sink("changing-sink", "out.txt", "changing")]);
    wait_for_task(&connect, "changing-source", "RUNNING");
    site.write("in.txt", lines(0..100));
    site.wait_for_lines("out.txt", 100);
    // Truncated: the same file, shorter.
    site.write("in.txt", lines(100..110));
    site.wait_for_lines("out.txt", 110);
    // Replaced, as log rotation does it; the old one's last lines are read first.
    site.append("in.txt", lines(110..120));
    fs::rename(site.path("in.txt"), site.path("in.txt.1")).unwrap();
    site.write("in.txt", lines(120..130));
    site.wait_for_lines("out.txt", 130);
    assert!(connect.stop().success());
    assert_eq!(site.read("out.txt"), lines(0..130));
}

#[test]
fn a_file_that_was_truncated_while_nobody_read_it() {
    let site = Site::embedded();
    let connectors =
        [file_source("cut-source", "in.txt", "cut"), file_sink("cut-sink", "o", "cut")];
    site.write("in.txt", lines(0..100));
    let connect = site.start(&[], &connectors);
    site.wait_for_lines("o", 100);
    assert!(connect.stop().success());
    site.write("in.txt", lines(0..3));
    let connect = site.start(&[], &connectors);
    let trace = wait_for_task(&connect, "cut-source", "FAILED");
    tells(&trace, &["in.txt", "position: 790", "length: 21", "restore it"]);
    // Restored, it goes on where it was.
    site.write("in.txt", lines(0..105));
    restart(&connect, "cut-source");
    site.wait_for_lines("o", 105);
    assert!(connect.stop().success());
    assert_eq!(site.read("o"), lines(0..105));
}
