//! Decides how tests use Java's console tools: as writers and readers that know nothing of us, byte
//! for byte.

use crate::docker;
use crate::leash::Leash;
use crate::topic::{self, Record};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Printed where Java has nothing, and between what it prints: bytes that no test writes.
const NULL: &str = "\u{1}nul\u{2}";
const COLUMN: &str = "\u{1}col\u{2}";
const LINE: &str = "\u{1}end\u{2}";
const HEADER: &str = "\u{1}hdr\u{2}";

/// The network, in the engine's words, of brokers that listen on this machine's loopback.
pub const HOST: &str = "host";

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Where the containers of Java's tools run: [`HOST`], or the network of the brokers.
    pub network: &'a str,
    pub bootstrap: &'a str,
    pub topic: &'a str,
    /// Whether records of transactions that are open or aborted are left out.
    pub committed: bool,
    /// Reading ends with so many records, or when none came for a while.
    pub most: usize,
}

/// All records of a topic as `ConsoleConsumer` sees them, by partition.
#[track_caller]
pub fn read(reading: &Reading<'_>) -> Vec<Record> {
    let isolation = ["read_uncommitted", "read_committed"][usize::from(reading.committed)];
    let most = reading.most.max(1).to_string();
    let mut arguments = vec!["console-consumer", "--bootstrap-server", reading.bootstrap];
    arguments.extend(["--topic", reading.topic, "--from-beginning", "--max-messages", &most]);
    arguments.extend(["--timeout-ms", "15000", "--isolation-level", isolation]);
    let what = ["timestamp", "partition", "offset", "headers", "key"];
    let what = what.map(|what| format!("print.{what}=true"));
    let separators = [
        format!("key.separator={COLUMN}"),
        format!("line.separator={LINE}"),
        format!("headers.separator={HEADER}"),
        format!("null.literal={NULL}"),
    ];
    for property in what.iter().chain(&separators) {
        arguments.extend(["--formatter-property", property]);
    }
    let printed = tool(reading.network, &arguments, &[]);
    topic::by_partition(split(&printed, LINE).into_iter().map(record).collect())
}

/// Appends records as `ConsoleProducer` does: partition and timestamp are Java's choice. Keys,
/// values and headers have to be text.
#[track_caller]
pub fn write(
    (network, bootstrap): (&str, &str),
    topic: &str,
    properties: &[&str],
    records: &[Record],
) {
    let mut arguments = vec!["console-producer", "--bootstrap-server", bootstrap];
    arguments.extend(["--topic", topic]);
    let reader = [
        "parse.key=true".to_owned(),
        "parse.headers=true".to_owned(),
        format!("key.separator={COLUMN}"),
        format!("headers.delimiter={COLUMN}"),
        format!("headers.separator={HEADER}"),
        format!("null.marker={NULL}"),
    ];
    for property in &reader {
        arguments.extend(["--reader-property", property]);
    }
    for property in properties {
        arguments.extend(["--command-property", property]);
    }
    let mut input = Vec::new();
    let text = |bytes: &Option<Vec<u8>>| bytes.clone().unwrap_or_else(|| NULL.into());
    for record in records {
        let headers =
            record.headers.iter().map(|(key, value)| [key.as_bytes(), b":", &text(value)].concat());
        // A line without headers says so as a null does.
        let headers = match record.headers.is_empty() {
            true => NULL.into(),
            false => headers.collect::<Vec<_>>().join(HEADER.as_bytes()),
        };
        let columns = [headers, text(&record.key), text(&record.value)];
        input.extend(columns.join(COLUMN.as_bytes()));
        input.push(b'\n');
    }
    tool(network, &arguments, &input);
}

/// Runs a tool of the image with this input, and gives what it printed. The first argument is its
/// name: `topics`, `consumer-groups`, ….
#[track_caller]
pub fn tool(network: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    run(network, "/opt/kafka/bin/kafka-tool", arguments, input)
}

/// Runs a class of Kafka's, whose name is the first argument, and gives what it printed.
#[track_caller]
pub fn java(network: &str, arguments: &[&str]) -> Vec<u8> {
    run(network, "/opt/kafka/bin/kafka-java", arguments, &[])
}

#[track_caller]
fn run(network: &str, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let name = docker::unique("console");
    let _leash = Leash::new(&format!("docker rm -f {name}"));
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--interactive", "--name", &name, "--label", &docker::label()]);
    // Header names are printed, and standard input is read, in the encoding of the terminal.
    let encodings = ["file", "stdout", "sun.stdout"].map(|of| format!("-D{of}.encoding=UTF-8"));
    command.args(["--env", &format!("KAFKA_OPTS={}", encodings.join(" "))]);
    command.args(["--network", network, &docker::image(), program]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("docker starts");
    let mut pipe = child.stdin.take().expect("its input is a pipe");
    let output = std::thread::scope(|scope| {
        // An error says that the tool is gone, and its own words are better than ours.
        scope.spawn(move || drop(pipe.write_all(input)));
        child.wait_with_output().expect("a child can be waited for")
    });
    // ConsoleConsumer ends with an error when the time is up, which the count of records tells.
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || complaint.contains("TimeoutException"),
        "{}: {complaint}",
        arguments[0]
    );
    output.stdout
}

/// The pieces that each end with `separator`.
fn split<'a>(mut bytes: &'a [u8], separator: &str) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while let Some(at) = find(bytes, separator) {
        pieces.push(&bytes[..at]);
        bytes = &bytes[at + separator.len()..];
    }
    pieces
}

fn find(bytes: &[u8], separator: &str) -> Option<usize> {
    let separator = separator.as_bytes();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == separator[0]) {
        if bytes[from + at..].starts_with(separator) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// A record from `TYPE:TIME, Partition:P, Offset:O, headers, key, value`.
fn record(line: &[u8]) -> Record {
    let line = [line, COLUMN.as_bytes()].concat();
    let columns = split(&line, COLUMN);
    let told = || String::from_utf8_lossy(&line).chars().take(200).collect::<String>();
    let [time, partition, offset, headers, key, value] = columns[..] else {
        panic!("ConsoleConsumer printed {} columns: {}", columns.len(), told());
    };
    let number = |column: &[u8]| {
        let text = String::from_utf8_lossy(column);
        let number = text.rsplit_once(':').and_then(|(_, number)| number.parse::<i64>().ok());
        number.unwrap_or_else(|| panic!("ConsoleConsumer printed {text} for a number: {}", told()))
    };
    let bytes = |column: &[u8]| (column != NULL.as_bytes()).then(|| column.to_vec());
    let header = |header: &[u8]| {
        let at = header.iter().position(|byte| *byte == b':').expect("a header has a colon");
        (String::from_utf8_lossy(&header[..at]).into_owned(), bytes(&header[at + 1..]))
    };
    let headers = match headers {
        b"NO_HEADERS" => Vec::new(),
        headers => {
            split(&[headers, HEADER.as_bytes()].concat(), HEADER).into_iter().map(header).collect()
        }
    };
    Record {
        partition: i32::try_from(number(partition)).expect("partitions are 32 bits"),
        offset: number(offset),
        timestamp: (time != b"NO_TIMESTAMP").then(|| number(time)),
        key: bytes(key),
        value: bytes(value),
        headers,
    }
}
