//! Decides what Java does in a drill: members of our groups. Beside them, how other
//! programs tell what a topic holds.

use super::Stop;
use super::members::Protocol;
use super::numbers::Numbers;
use crate::docker::{self, output};
use crate::leash::Leash;
use crate::wait_until;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Members of a group that run `VerifiableConsumer`, which tells each range of offsets that it was
/// given before it commits it.
pub(super) struct Members {
    pub(super) numbers: Arc<Numbers>,
    pub(super) network: String,
    pub(super) bootstrap: String,
    pub(super) group: String,
    pub(super) protocol: Protocol,
}

impl Members {
    /// Keeps a place in the group: one member after the other until told to stop.
    pub(super) fn keep(&self, stop: &Stop, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        while !stop.is_set() {
            let life = Duration::from_millis(random.u64(15_000..30_000));
            let mut java = self.start();
            let lines = BufReader::new(java.child.stdout.take().expect("its output is a pipe"));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for line in lines.lines().map_while(Result::ok) {
                        self.hear(&line);
                    }
                });
                let start = Instant::now();
                wait_until("the end of a Java member's life", 2 * life, || {
                    let over = stop.is_set() || start.elapsed() > life;
                    let gone = java.child.try_wait().is_ok_and(|ended| ended.is_some());
                    (over || gone).then_some(())
                });
                // Asks it to leave the group, and ends it when the brokers do not let it.
                let _ = output(&["stop", "--time", "10", &java.name]);
                let _ = java.child.wait();
            });
        }
    }

    fn start(&self) -> Java {
        let mut options = vec![
            ["--bootstrap-server", &self.bootstrap],
            ["--topic", &self.numbers.topic],
            ["--group-id", &self.group],
            ["--reset-policy", "earliest"],
        ];
        options.extend(match self.protocol {
            Protocol::Classic(assignor) => {
                vec![["--assignment-strategy", assignor], ["--session-timeout", "6000"]]
            }
            Protocol::Consumer => vec![["--group-protocol", "consumer"]],
        });
        Java::start(&self.network, "org.apache.kafka.tools.VerifiableConsumer", &options)
    }

    /// A line that `VerifiableConsumer` printed.
    fn hear(&self, line: &str) {
        let Ok(told) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let tally = &self.numbers.tally;
        match told["name"].as_str() {
            Some("startup_complete") => tally.joined(),
            Some("partitions_assigned") => tally.assigned(),
            Some("partitions_revoked") => tally.revoked(),
            Some("offsets_committed") if told["success"] == true => tally.committed(),
            Some("offsets_committed") => {
                let error = told["error"].as_str().unwrap_or_default();
                tally.refused_with("java: commit", "refused", error);
            }
            Some("records_consumed") => {
                for part in told["partitions"].as_array().into_iter().flatten() {
                    self.given(part);
                }
            }
            _ => {}
        }
    }

    fn given(&self, part: &Value) {
        let number = |key: &str| part[key].as_i64().unwrap_or(-1);
        let (first, last) = (number("minOffset"), number("maxOffset"));
        let partition = i32::try_from(number("partition")).unwrap_or(-1);
        if number("count") != last - first + 1 {
            let tally = &self.numbers.tally;
            tally.violation(format!("java: {} of {first}..={last}", number("count")));
        }
        self.numbers.deliver(partition, first..last + 1);
    }
}

/// A Java program in a container.
struct Java {
    name: String,
    child: Child,
    _leash: Leash,
}

impl Java {
    fn start(network: &str, class: &str, options: &[[&str; 2]]) -> Self {
        let name = docker::unique("java");
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--name", &name, "--label", &docker::label()]);
        command.args(["--network", network, "--env", "KAFKA_HEAP_OPTS=-Xmx128m"]);
        command.arg("--env=KAFKA_LOG4J_ROOT_LOGLEVEL=ERROR").arg(docker::image());
        command.args(["/opt/kafka/bin/kafka-java", class]).args(options.iter().flatten());
        let leash = Leash::new(&format!("docker rm -f {name}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = child.spawn().expect("docker starts");
        Self { name, child, _leash: leash }
    }
}

/// What a topic holds as kcat sees it: partition, offset, and value.
pub(super) fn read_by_kcat(bootstrap: &str, topic: &str) -> Vec<(i32, i64, String)> {
    let mut command = Command::new("kcat");
    command.args(["-C", "-q", "-e", "-b", bootstrap, "-t", topic, "-o", "beginning"]);
    command.args(["-X", "isolation.level=read_committed", "-f", "%p\\t%o\\t%s\\n"]);
    let output = command.output().expect("kcat: `integration/setup.sh servers` installs it");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat cannot read {topic}: {complaint}");
    let line = |line: &str| {
        let mut fields = line.splitn(3, '\t');
        let partition = fields.next()?.parse().ok()?;
        let offset = fields.next()?.parse().ok()?;
        Some((partition, offset, fields.next()?.to_owned()))
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut records: Vec<_> = printed.lines().filter_map(line).collect();
    records.sort_by_key(|(partition, ..)| *partition);
    records
}

/// How many of these records each partition holds.
pub(super) fn counts(records: &[(i32, i64, String)]) -> BTreeMap<i32, i64> {
    let mut counts = BTreeMap::new();
    for (partition, ..) in records {
        *counts.entry(*partition).or_insert(0) += 1;
    }
    counts
}
