//! Decides what Java does in a drill: members of our groups. Beside them, how other
//! programs tell what a topic holds.

use super::Stop;
use super::commits::Holding;
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
            let mut member = Life {
                numbers: &self.numbers,
                holding: Holding::new(self.numbers.clone(), &java.name),
                consumed: 0,
            };
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    for line in lines.lines().map_while(Result::ok) {
                        member.hear(&line);
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
}

/// One member, as it tells of itself.
struct Life<'a> {
    numbers: &'a Numbers,
    holding: Holding,
    /// When it was last given records: it commits them afterwards.
    consumed: i64,
}

impl Life<'_> {
    /// A line that `VerifiableConsumer` printed.
    fn hear(&mut self, line: &str) {
        let Ok(told) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let at = number(&told, "timestamp");
        let each = |list: &str| told[list].as_array().cloned().unwrap_or_default();
        let tally = &self.numbers.tally;
        match told["name"].as_str() {
            Some("startup_complete") => tally.joined(),
            Some("partitions_assigned") => {
                tally.assigned();
                let assigned = each("partitions");
                assigned.iter().for_each(|part| self.holding.assigned(partition(part), at));
            }
            Some("partitions_revoked") => {
                tally.revoked();
                let revoked = each("partitions");
                revoked.iter().for_each(|part| self.holding.gone(partition(part)));
            }
            Some("offsets_committed") => {
                let offsets = each("offsets");
                let offsets = offsets.iter().map(|part| (partition(part), number(part, "offset")));
                let accepted = (told["success"] == true).then_some(at);
                self.holding.committed(&offsets.collect(), self.consumed, accepted);
                match accepted {
                    Some(_) => tally.committed(),
                    None => {
                        let error = told["error"].as_str().unwrap_or_default();
                        tally.refused_with("java: commit", "refused", error);
                    }
                }
            }
            Some("records_consumed") => {
                self.consumed = at;
                each("partitions").iter().for_each(|part| self.given(part));
            }
            _ => {}
        }
    }

    fn given(&mut self, part: &Value) {
        let (first, last) = (number(part, "minOffset"), number(part, "maxOffset"));
        let count = number(part, "count");
        if count != last - first + 1 {
            self.numbers.tally.violation(format!("java: {count} of {first}..={last}"));
        }
        self.holding.given(partition(part), first, last);
        self.numbers.deliver(partition(part), first..last + 1);
    }
}

fn number(told: &Value, key: &str) -> i64 {
    told[key].as_i64().unwrap_or(-1)
}

fn partition(told: &Value) -> i32 {
    i32::try_from(number(told, "partition")).unwrap_or(-1)
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
