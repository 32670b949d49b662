//! A broker that is away for a while: nothing is lost, and nobody has to do anything.

use super::lines;
use millrace_integration::backend::Backend;
use millrace_integration::broker::Broker;
use millrace_integration::client::Client;
use millrace_integration::site::{PATIENCE, Site, file_sink, file_source, wait_for_task, with};
use millrace_integration::wait_until;
use std::time::{Duration, Instant};

/// How long the broker is away; `MILLRACE_OUTAGE_SECONDS` makes it longer.
fn outage() -> Duration {
    let seconds = std::env::var("MILLRACE_OUTAGE_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// Lines go on being written while the broker is away; gives how many there are then.
fn write_during_the_outage(site: &Site, from: usize) -> usize {
    let start = Instant::now();
    let mut written = from;
    wait_until("the end of the outage", 2 * outage() + PATIENCE, || {
        site.append("in.txt", lines(written..written + 100));
        written += 100;
        (start.elapsed() >= outage()).then_some(())
    });
    written
}

#[test]
fn away_in_the_middle() {
    Client::all().into_iter().for_each(away_in_the_middle_of);
}

fn away_in_the_middle_of(client: Client) {
    let broker = Broker::start();
    let site = Site::on(Backend::Kafka(broker.bootstrap().to_owned(), client));
    let sink = file_sink("outage-sink", "out.txt", "outage");
    let session = [
        ("consumer.override.session.timeout.ms", "6000"),
        ("consumer.override.heartbeat.interval.ms", "1000"),
    ];
    let connectors = [file_source("outage-source", "in.txt", "outage"), with(sink, &session)];
    let mut written = 1000;
    site.write("in.txt", lines(0..written));
    let connect = site.start(&[], &connectors);
    site.wait_for_lines("out.txt", written);

    // Frozen: connections stay open and nothing answers.
    broker.pause();
    written = write_during_the_outage(&site, written);
    broker.unpause();
    everything_arrives(&site, written);

    // Killed: connections break, and nobody listens.
    broker.kill();
    written = write_during_the_outage(&site, written);
    broker.restart();
    everything_arrives(&site, written);

    for connector in ["outage-source", "outage-sink"] {
        wait_for_task(&connect, connector, "RUNNING");
    }
    let log = site.read("worker.log");
    assert!(!log.contains("failed and stays so"), "{log}");
    assert!(connect.stop().success());
}

/// The last line is there, none is missing, and those that came twice came in order.
fn everything_arrives(site: &Site, written: usize) {
    let start = Instant::now();
    let last = format!("line {}\n", written - 1);
    wait_until("the last line", 2 * PATIENCE, || {
        site.read("out.txt").ends_with(&last).then_some(())
    });
    println!("caught up {:.1} s after the broker was back", start.elapsed().as_secs_f64());
    let mut next = 0;
    let content = site.read("out.txt");
    for line in content.lines() {
        let number: usize = line.strip_prefix("line ").unwrap().parse().unwrap();
        assert!(number <= next, "lines {next} to {number} are lost");
        next = number + 1;
    }
    assert_eq!(next, written);
    let repeated = content.lines().count() - written;
    println!("{written} lines, {repeated} repeated");
}
