//! The harness keeps its own promises: tests that lean on it fail for their own reasons.

use millrace_integration::broker::{Broker, kafka};
use millrace_integration::client::Client;
use millrace_integration::leash::Leash;
use millrace_integration::postgres::postgres;
use millrace_integration::process::Process;
use millrace_integration::topic::{self, Record};
use millrace_integration::wait_until;
use std::process::Command;
use std::time::Duration;

fn sample() -> Vec<Record> {
    let full = Record {
        key: Some(b"k".to_vec()),
        value: Some(vec![0, 159, 146, 150]),
        headers: vec![("a".to_owned(), Some(b"1".to_vec())), ("a".to_owned(), None)],
        timestamp: Some(1_700_000_000_123),
        partition: 1,
        offset: 0,
    };
    let tombstone = Record { key: Some(Vec::new()), value: None, offset: 1, ..full.clone() };
    let first = Record {
        partition: 0,
        value: Some(Vec::new()),
        key: None,
        headers: Vec::new(),
        ..full.clone()
    };
    vec![first, full, tombstone]
}

#[test]
fn a_topic_gives_back_its_bytes() {
    topic::create_topic(kafka(Client::any()), "servers-bytes", 2);
    topic::produce(kafka(Client::any()), "servers-bytes", &sample());
    assert_eq!(topic::contents(kafka(Client::any()), "servers-bytes"), sample());
    assert_eq!(topic::count(kafka(Client::any()), "servers-bytes"), 3);
    assert_eq!(topic::contents(kafka(Client::any()), "servers-no-such-topic"), []);
}

#[test]
fn a_private_broker_keeps_its_data_and_port_when_killed() {
    let broker = Broker::start();
    topic::create_topic(broker.bootstrap(), "kept", 2);
    topic::produce(broker.bootstrap(), "kept", &sample());
    broker.pause();
    broker.unpause();
    broker.kill();
    broker.restart();
    assert_eq!(topic::contents(broker.bootstrap(), "kept"), sample());
}

#[test]
fn postgres_answers_sql() {
    let server = postgres();
    server.sql("create table t as select i, i * 2 as twice from generate_series(1, 1000) i");
    assert_eq!(server.sql("select count(*), sum(twice) from t"), "1000|1001000");
    assert_eq!(server.sql("show wal_level"), "logical");
}

#[test]
fn a_process_is_measured_signalled_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let loops = "echo started; while :; do :; done";
    let mut process = Process::start(Command::new("sh").args(["-c", loops]), &log);
    wait_until("CPU use", Duration::from_secs(20), || (process.cpu_seconds() > 0.05).then_some(()));
    let (now, peak) = process.memory();
    assert!(now > 0 && peak >= now);
    assert_eq!(process.log(), "started\n");
    assert!(!process.terminate(Duration::from_secs(5)).success());
}

#[test]
fn a_leash_acts_when_dropped_and_not_when_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let [acted, spared] = ["acted", "spared"].map(|name| directory.path().join(name));
    drop(Leash::new(&format!("touch {}", acted.display())));
    Leash::new(&format!("touch {}", spared.display())).let_go();
    assert!(acted.exists());
    assert!(!spared.exists());
}
