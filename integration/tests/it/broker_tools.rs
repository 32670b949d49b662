//! `millrace broker` under the tools of others: Java's console and performance tools, those for
//! topics and groups, and kcat.

use millrace_integration::connect::millrace;
use millrace_integration::console::{self, HOST, Reading};
use millrace_integration::process::Process;
use millrace_integration::site::Site;
use millrace_integration::topic::{self, Record};
use millrace_integration::wait_until;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A broker of our own, and where it listens.
struct Broker {
    process: Process,
    bootstrap: String,
}

impl Broker {
    /// On a directory of the site's; an earlier one's data is there again.
    fn start(site: &Site) -> Self {
        let mut command = millrace();
        command.arg("broker").arg("--dir").arg(site.path("data")).args(["--port", "0"]);
        let log = site.path("broker.txt");
        let _ = std::fs::remove_file(&log);
        let process = Process::start(&mut command, &log);
        let bootstrap = wait_until("the broker to listen", PATIENCE, || {
            let log = process.log();
            let line = log.lines().find(|line| line.starts_with("Listening on "))?;
            line.split([' ', ',']).nth(2).map(str::to_owned)
        });
        Self { process, bootstrap }
    }

    #[track_caller]
    fn tool(&self, name: &str, arguments: &[&str], input: &str) -> String {
        let mut all = vec![name, "--bootstrap-server", &self.bootstrap];
        all.extend(arguments);
        String::from_utf8(console::tool(HOST, &all, input.as_bytes())).unwrap()
    }

    fn reading<'a>(&'a self, topic: &'a str, most: usize) -> Reading<'a> {
        Reading { network: HOST, bootstrap: &self.bootstrap, topic, committed: true, most }
    }
}

fn record(n: usize) -> Record {
    Record {
        key: Some(format!("key-{n}").into_bytes()),
        value: (!n.is_multiple_of(7)).then(|| format!("a value, number {n}").into_bytes()),
        headers: vec![("h".to_owned(), Some(vec![b'1'])), ("h".to_owned(), None)],
        ..Record::default()
    }
}

#[test]
fn javas_consoles_write_and_read_and_kill_9_loses_nothing() {
    let site = Site::embedded();
    let mut broker = Broker::start(&site);
    let created = broker.tool("topics", &["--create", "--topic", "t", "--partitions", "2"], "");
    assert!(created.contains("Created topic t"), "{created}");
    let sent: Vec<_> = (0..200).map(record).collect();
    console::write((HOST, &broker.bootstrap), "t", &["compression.type=zstd"], &sent);
    let check = |broker: &Broker| {
        let read = console::read(&broker.reading("t", 200));
        assert_eq!(read.len(), 200);
        for record in &sent {
            let same = |r: &&Record| r.key == record.key && r.value == record.value;
            let found = read.iter().filter(same).count();
            assert_eq!(found, 1, "{:?}", record.key);
        }
    };
    check(&broker);
    broker.process.kill();
    broker = Broker::start(&site);
    check(&broker);
    assert_eq!(topic::contents(&broker.bootstrap, "t").len(), 200);
    let ended = broker.process.terminate(PATIENCE);
    assert_eq!(ended.code(), Some(0), "{}", broker.process.log());
    assert!(broker.process.log().contains("Ended."), "{}", broker.process.log());
}

#[test]
fn topics_and_groups_are_seen_and_changed_by_javas_tools() {
    let site = Site::embedded();
    let broker = Broker::start(&site);
    let compacted = ["--create", "--topic", "t", "--config", "cleanup.policy=compact"];
    broker.tool("topics", &compacted, "");
    broker.tool("topics", &["--alter", "--topic", "t", "--partitions", "3"], "");
    let described = broker.tool("topics", &["--describe", "--topic", "t"], "");
    for words in ["PartitionCount: 3", "cleanup.policy=compact", "Leader: 1", "TopicId: "] {
        assert!(described.contains(words), "{words}: {described}");
    }
    broker.tool(
        "configs",
        &["--alter", "--topic", "t", "--add-config", "segment.bytes=1048576"],
        "",
    );
    let configs = broker.tool("configs", &["--describe", "--topic", "t"], "");
    assert!(configs.contains("segment.bytes=1048576"), "{configs}");
    let lines: String = (0..30).map(|n| format!("{n}:x\n")).collect();
    let keyed = ["--topic", "t", "--reader-property", "parse.key=true"];
    let keyed = [&keyed[..], &["--reader-property", "key.separator=:"]].concat();
    broker.tool("console-producer", &keyed, &lines);
    let ends = broker.tool("get-offsets", &["--topic", "t"], "");
    let ends: i64 = ends.lines().filter_map(|l| l.rsplit(':').next()?.parse::<i64>().ok()).sum();
    assert_eq!(ends, 30);

    let group = ["--topic", "t", "--group", "g", "--from-beginning", "--max-messages", "30"];
    let read =
        broker.tool("console-consumer", &[&group[..], &["--timeout-ms", "20000"]].concat(), "");
    assert_eq!(read.lines().count(), 30, "{read}");
    let groups = broker.tool("consumer-groups", &["--list"], "");
    assert_eq!(groups.trim(), "g");
    let described = broker.tool("consumer-groups", &["--describe", "--group", "g"], "");
    let lag = |line: &str| -> Option<(i64, i64, i64)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((
            words.get(3)?.parse().ok()?,
            words.get(4)?.parse().ok()?,
            words.get(5)?.parse().ok()?,
        ))
    };
    let lags: Vec<_> = described.lines().filter_map(lag).collect();
    assert_eq!(lags.len(), 3, "{described}");
    assert!(lags.iter().all(|(at, end, lag)| at == end && *lag == 0), "{described}");
    let reset = ["--reset-offsets", "--group", "g", "--topic", "t", "--to-earliest", "--execute"];
    broker.tool("consumer-groups", &reset, "");
    let described = broker.tool("consumer-groups", &["--describe", "--group", "g"], "");
    let behind: i64 = described.lines().filter_map(lag).map(|(_, _, lag)| lag).sum();
    assert_eq!(behind, 30, "{described}");
    let deleted = broker.tool("consumer-groups", &["--delete", "--group", "g"], "");
    assert!(deleted.contains("successful"), "{deleted}");
    broker.tool("topics", &["--delete", "--topic", "t"], "");
    assert_eq!(broker.tool("topics", &["--list"], "").trim(), "");
}

#[test]
fn javas_performance_tools_run() {
    const COUNT: &str = "200000";
    let site = Site::embedded();
    let broker = Broker::start(&site);
    let bootstrap = broker.bootstrap.as_str();
    let produced = console::java(
        HOST,
        &[
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic",
            "perf",
            "--num-records",
            COUNT,
            "--record-size",
            "100",
            "--throughput",
            "-1",
            "--bootstrap-server",
            bootstrap,
        ],
    );
    let produced = String::from_utf8(produced).unwrap();
    assert!(produced.contains(&format!("{COUNT} records sent")), "{produced}");
    let consumed = console::java(
        HOST,
        &[
            "org.apache.kafka.tools.ConsumerPerformance",
            "--topic",
            "perf",
            "--num-records",
            COUNT,
            "--bootstrap-server",
            bootstrap,
        ],
    );
    let consumed = String::from_utf8(consumed).unwrap();
    // Among what it logs: start, end, megabytes, their rate, records, ….
    let counted = consumed.lines().find_map(|line| {
        let columns: Vec<&str> = line.split(", ").collect();
        let is_result = columns.len() == 10 && columns[2].parse::<f64>().is_ok();
        is_result.then(|| columns[4].to_owned())
    });
    assert_eq!(counted.as_deref(), Some(COUNT), "{consumed}");
}

/// A transaction of each kind, by the performance tool: they commit.
#[test]
fn javas_transactional_producer_commits() {
    let site = Site::embedded();
    let broker = Broker::start(&site);
    let produced = console::java(
        HOST,
        &[
            "org.apache.kafka.tools.ProducerPerformance",
            "--topic",
            "perf",
            "--num-records",
            "5000",
            "--record-size",
            "50",
            "--throughput",
            "5000",
            "--transactional-id",
            "tx",
            "--transaction-duration-ms",
            "100",
            "--bootstrap-server",
            &broker.bootstrap,
        ],
    );
    let produced = String::from_utf8(produced).unwrap();
    assert!(produced.contains("5000 records sent"), "{produced}");
    assert_eq!(console::read(&broker.reading("perf", 5000)).len(), 5000);
}

#[test]
fn kcat_lists_writes_and_reads() {
    let site = Site::embedded();
    let broker = Broker::start(&site);
    let lines: String = (0..1000).map(|n| format!("line {n}\n")).collect();
    site.write("lines.txt", &lines);
    let kcat = |arguments: &[&str]| {
        let mut command = Command::new("kcat");
        command.args(["-b", &broker.bootstrap]).args(arguments);
        let output = command.output().expect("kcat: `integration/setup.sh servers` installs it");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = site.path("lines.txt");
    kcat(&["-P", "-t", "k", "-p", "0", "-z", "lz4", "-l", file.to_str().unwrap()]);
    assert_eq!(kcat(&["-C", "-t", "k", "-o", "beginning", "-e", "-q"]), lines);
    let listed = kcat(&["-L"]);
    assert!(listed.contains("topic \"k\" with 1 partitions"), "{listed}");
    assert_eq!(kcat(&["-Q", "-t", "k:0:-1"]).trim(), "k [0] offset 1000");
}
