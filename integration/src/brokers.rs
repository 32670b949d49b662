//! Decides how a test gets a cluster of its own whose brokers fail one by one.
//!
//! Brokers are containers in a network of their own, each with an address that stays the same; the
//! test's clients reach them over the engine's bridge, and Java's clients join the network. So a
//! broker can be cut off from everybody, the other brokers included.

mod wire;

use crate::docker::{self, Network, docker, output};
use crate::wait_until;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a cluster may take to become whole again.
const PATIENCE: Duration = Duration::from_secs(90);

/// Internal topics have as many partitions, so that each broker coordinates something.
const INTERNAL_PARTITIONS: &str = "3";

/// One broker or three, in containers that are removed on drop.
#[derive(Debug)]
pub struct Brokers {
    nodes: Vec<Node>,
    cut: Cut,
    network: Network,
}

#[derive(Debug)]
struct Node {
    name: String,
    ip: String,
}

/// How packets are kept from a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// `DROP` in the tables of its network namespace, which needs root.
    Drop,
    /// Its interface is taken out of the bridge: nothing arrives and nothing answers either.
    Unplug,
}

impl Brokers {
    /// Starts `count` brokers, with these properties beside the usual ones, and waits until they
    /// are a cluster. Topics have as many replicas, at most three, and all but one must be in sync.
    pub fn start(count: u8, properties: &[(&str, &str)]) -> Self {
        Self::start_at(count, properties, |ip| format!("PLAINTEXT://{ip}:9092"))
    }

    /// The same with other listeners, of which clients are told what `advertised` makes of each
    /// broker's address. One of them is the usual one, for this harness and the brokers.
    pub fn start_at(
        count: u8,
        properties: &[(&str, &str)],
        advertised: impl Fn(&str) -> String,
    ) -> Self {
        let names: Vec<String> = (0..count).map(|_| docker::unique("broker")).collect();
        let network = Network::new(&names);
        let nodes = names.into_iter().zip(11..);
        let nodes = nodes.map(|(name, last)| Node { name, ip: network.address(last) }).collect();
        let brokers = Self { nodes, cut: Cut::choose(), network };
        for index in 0..brokers.len() {
            brokers.create(index, properties, &advertised(&brokers.nodes[index].ip));
        }
        brokers.wait_until_whole();
        brokers
    }

    fn create(&self, index: usize, more: &[(&str, &str)], advertised: &str) {
        let Node { name, ip } = &self.nodes[index];
        let mut command = Command::new("docker");
        command.args(["run", "--detach", "--name", name, "--label", &docker::label()]);
        command.args(["--network", self.network.name(), "--ip", ip]);
        let replicas = self.len().min(3).to_string();
        let in_sync = (self.len().min(3) - 1).max(1).to_string();
        let voters = self.nodes.iter().zip(1..).map(|(node, id)| format!("{id}@{}:9093", node.ip));
        let mut set = |key: &str, value: &str| {
            command.arg(format!("--env={}={value}", variable(key)));
        };
        set("node.id", &(index + 1).to_string());
        set("controller.quorum.voters", &voters.collect::<Vec<_>>().join(","));
        set("advertised.listeners", advertised);
        for topic in ["default", "offsets.topic", "transaction.state.log"] {
            set(&format!("{topic}.replication.factor"), &replicas);
        }
        for topic in ["offsets.topic", "transaction.state.log"] {
            set(&format!("{topic}.num.partitions"), INTERNAL_PARTITIONS);
        }
        set("min.insync.replicas", &in_sync);
        set("transaction.state.log.min.isr", &in_sync);
        // A broker that is gone is noticed after 9 s unless told.
        set("broker.session.timeout.ms", "2000");
        set("broker.heartbeat.interval.ms", "300");
        set("group.min.session.timeout.ms", "1000");
        // Of groups whose broker shares partitions out, as of the others in tests.
        set("group.consumer.min.session.timeout.ms", "1000");
        set("group.consumer.session.timeout.ms", "6000");
        set("group.consumer.min.heartbeat.interval.ms", "100");
        set("group.consumer.heartbeat.interval.ms", "500");
        set("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000");
        set("auto.create.topics.enable", "false");
        set("auto.leader.rebalance.enable", "false");
        set("heap.opts", "-Xms96m -Xmx320m");
        for (key, value) in more {
            set(key, value);
        }
        let output = command.arg(docker::image()).output().expect("docker starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "a broker does not start: {complaint}");
    }

    /// How many brokers there are.
    #[allow(clippy::len_without_is_empty, reason = "a cluster has at least one broker")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// All brokers, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = (0..self.len()).map(|index| self.address(index)).collect();
        addresses.join(",")
    }

    /// `host:port` of one broker.
    pub fn address(&self, index: usize) -> String {
        format!("{}:9092", self.nodes[index].ip)
    }

    /// The container of one broker, for `docker exec`.
    pub fn container(&self, index: usize) -> &str {
        &self.nodes[index].name
    }

    /// The network that Java's clients join.
    pub fn network(&self) -> &str {
        self.network.name()
    }

    /// What [`Brokers::cut_off`] does here, in words.
    pub fn how_cut(&self) -> &'static str {
        match self.cut {
            Cut::Drop => "packets dropped in the broker's network namespace",
            Cut::Unplug => "the broker's interface taken out of the bridge (no root: no DROP)",
        }
    }

    /// Kills a broker as `kill -9` does.
    pub fn kill(&self, index: usize) {
        docker(&["kill", &self.nodes[index].name]);
    }

    /// Ends a broker as an operator does: it hands its partitions over first.
    pub fn stop(&self, index: usize) {
        docker(&["stop", "--time", "30", &self.nodes[index].name]);
    }

    /// Starts a broker that was killed or stopped, with its data, and waits for nothing.
    pub fn start_again(&self, index: usize) {
        docker(&["start", &self.nodes[index].name]);
    }

    /// Freezes a broker: connections stay open, nothing answers.
    pub fn pause(&self, index: usize) {
        docker(&["pause", &self.nodes[index].name]);
    }

    /// Ends a [`pause`](Self::pause).
    pub fn unpause(&self, index: usize) {
        docker(&["unpause", &self.nodes[index].name]);
    }

    /// Lets no packet through to a broker or from it, be it a client's or another broker's.
    pub fn cut_off(&self, index: usize) {
        let name = &self.nodes[index].name;
        match self.cut {
            Cut::Drop => {
                for chain in ["INPUT", "OUTPUT"] {
                    in_namespace(name, &["-A", chain, "-j", "DROP"]);
                }
            }
            Cut::Unplug => {
                docker(&["network", "disconnect", self.network.name(), name]);
            }
        }
    }

    /// Ends a [`cut_off`](Self::cut_off).
    pub fn join(&self, index: usize) {
        let Node { name, ip } = &self.nodes[index];
        match self.cut {
            Cut::Drop => in_namespace(name, &["-F"]),
            Cut::Unplug => {
                docker(&["network", "connect", "--ip", ip, self.network.name(), name]);
            }
        }
    }

    /// Makes another broker the leader of each partition whose replicas are all in sync, the
    /// coordinators' included. Gives how many have another leader than before.
    #[track_caller]
    pub fn move_leaders(&self) -> usize {
        let metadata = self.client();
        let metadata = metadata.fetch_metadata(None, PATIENCE).expect("a whole cluster answers");
        let before = leaders(&metadata);
        let mut rotated = Vec::new();
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                let mut replicas = partition.replicas().to_vec();
                if partition.isr().len() < replicas.len() || replicas.len() < 2 {
                    continue;
                }
                let leads = replicas.iter().position(|id| *id == partition.leader());
                replicas.rotate_left(leads.map_or(0, |at| at + 1));
                rotated.push((topic.name().to_owned(), partition.id(), replicas));
            }
        }
        wire::prefer(&self.address(0), &rotated);
        let client = self.client();
        wait_until("other leaders", PATIENCE, || {
            let after = leaders(&client.fetch_metadata(None, Duration::from_secs(1)).ok()?);
            let moved = before.iter().filter(|(partition, leader)| {
                after.get(*partition).is_some_and(|after| after > &0 && after != *leader)
            });
            Some(moved.count()).filter(|moved| *moved > 0)
        })
    }

    /// Stops and starts each broker in turn, the next one when the cluster is whole.
    pub fn roll(&self) {
        for index in 0..self.len() {
            self.stop(index);
            self.start_again(index);
            self.wait_until_whole();
        }
    }

    /// Waits until all brokers are there and all replicas of all partitions are in sync.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        let client = self.client();
        wait_until("a whole cluster", PATIENCE, || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            let in_sync = |topic: &rdkafka::metadata::MetadataTopic| {
                let partitions = topic.partitions();
                partitions.iter().all(|p| p.leader() > 0 && p.isr().len() == p.replicas().len())
            };
            let whole = metadata.brokers().len() == self.len();
            (whole && metadata.topics().iter().all(in_sync)).then_some(())
        });
    }

    /// Who leads each partition and is in sync with it, in words.
    pub fn leaders(&self) -> String {
        let metadata = match self.client().fetch_metadata(None, Duration::from_secs(5)) {
            Ok(metadata) => metadata,
            Err(error) => return format!("no broker answers: {error}"),
        };
        let topics = metadata.topics().iter().map(|topic| {
            let partitions = topic.partitions().iter();
            let partitions = partitions.map(|p| format!("{} of {:?}", p.leader(), p.isr()));
            format!("{}: {}", topic.name(), partitions.collect::<Vec<_>>().join(", "))
        });
        topics.collect::<Vec<_>>().join("; ")
    }

    fn client(&self) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("reconnect.backoff.max.ms", "200")
            .set("socket.timeout.ms", "2000")
            .set("socket.connection.setup.timeout.ms", "1000")
            .create()
            .expect("the client's settings are right")
    }

    /// Writes down what each broker has of a topic's log, batch by batch, and of the coordinators'
    /// of transactions. Gives the files.
    pub fn dump(&self, topic: &str) -> Vec<PathBuf> {
        let tool = "/opt/kafka/bin/kafka-java org.apache.kafka.tools.DumpLogSegments";
        let logs = "/tmp/kraft-combined-logs";
        let script = format!(
            "for file in {logs}/{topic}-*/*.log; do {tool} --print-data-log --files $file; done; \
             for file in {logs}/__transaction_state-*/*.log; do \
             {tool} --transaction-log-decoder --files $file; done"
        );
        let dump = |node: &Node| {
            let file = std::env::temp_dir().join(format!("{}-{topic}.txt", node.name));
            let printed = output(&["exec", &node.name, "bash", "-c", &script]).stdout;
            std::fs::write(&file, printed).expect("temporary files can be written");
            file
        };
        self.nodes.iter().map(dump).collect()
    }

    /// Runs a Java program of Kafka's in a container of its own, told of the brokers, and gives what
    /// it printed.
    #[track_caller]
    pub fn java(&self, class: &str, arguments: &[&str]) -> String {
        let image = docker::image();
        let bootstrap = self.bootstrap();
        let mut all = vec!["run", "--rm", "--network", self.network.name()];
        all.extend(["--env", "KAFKA_LOG4J_ROOT_LOGLEVEL=ERROR", &image]);
        all.extend(["/opt/kafka/bin/kafka-java", class, "--bootstrap-server", &bootstrap]);
        all.extend(arguments);
        docker(&all)
    }
}

/// The leader of each partition.
fn leaders(metadata: &Metadata) -> BTreeMap<(String, i32), i32> {
    let topics = metadata.topics().iter();
    let partitions = topics.flat_map(|topic| {
        let partitions = topic.partitions().iter();
        partitions.map(|p| ((topic.name().to_owned(), p.id()), p.leader()))
    });
    partitions.collect()
}

impl Cut {
    fn choose() -> Self {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let has = |tool: &str| {
            let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
            found.is_ok_and(|found| found.status.success())
        };
        match is_root && has("nsenter") && has("iptables") {
            true => Self::Drop,
            false => Self::Unplug,
        }
    }
}

/// Calls `iptables` in a container's network namespace.
fn in_namespace(container: &str, arguments: &[&str]) {
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", container]);
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid, "--net", "iptables", "--wait"]).args(arguments);
    let output = command.output().expect("nsenter starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "iptables {}: {complaint}", arguments.join(" "));
}

/// The environment variable that the image makes this key of: `.` is `_`, `-` is `___`.
pub(crate) fn variable(key: &str) -> String {
    format!("KAFKA_{}", key.replace('-', "___").replace('.', "_").to_uppercase())
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &self.nodes {
            let log = output(&["logs", "--tail", "2000", &node.name]).stdout;
            let log = String::from_utf8_lossy(&log);
            let troubles: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("] WARN") || line.contains("] ERROR"))
                .collect();
            eprintln!("--- {} ---", node.name);
            for line in troubles.iter().rev().take(10).rev() {
                eprintln!("{}", line.chars().take(300).collect::<String>());
            }
        }
    }
}
