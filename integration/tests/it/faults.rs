//! Bad input and faults: what an operator reads, that at most one task fails, and that nothing
//! acknowledged is lost.

mod broker;
mod configuration;
mod damage;
mod disk;
mod records;
mod stopping;

use millrace_integration::connect::Connect;
use millrace_integration::site::{PATIENCE, Site, wait_for_task};
use millrace_integration::wait_until;

/// Lines `from` to `to`, numbered.
fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

/// The message of whoever failed has all these words.
#[track_caller]
fn tells(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in:\n{message}");
    }
}

/// Waits until the worker's log has these words.
#[track_caller]
fn wait_for_log(connect: &mut Connect, words: &str) {
    wait_until(&format!("{words:?} in the log"), PATIENCE, || {
        connect.process().log().contains(words).then_some(())
    });
}

/// Restarts a connector's failed task and waits until it runs.
#[track_caller]
fn restart(connect: &Connect, connector: &str) {
    let path = format!("/connectors/{connector}/tasks/0/restart");
    let answer = connect.rest("POST", &path, None);
    assert_eq!(answer.status, 204, "{answer:?}");
    wait_for_task(connect, connector, "RUNNING");
}

/// The values of a topic, as text.
fn values(site: &Site, topic: &str) -> Vec<String> {
    let records = site.backend.contents(topic).into_iter();
    records.map(|record| String::from_utf8(record.value.unwrap_or_default()).unwrap()).collect()
}
