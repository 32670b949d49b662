//! Kafka clients whose peer is slow, silent, broken or no broker at all: an error that names the
//! place within the time-outs, no busy loop, and everything goes on when the peer is well again.
//!
//! The client runs in a process of its own, so that its CPU can be told from the test's.

use millrace_integration::brokers::Brokers;
use millrace_integration::client::Client;
use millrace_integration::free_port;
use millrace_integration::process::Process;
use millrace_integration::proxy::{Impostor, Pretender, Proxy, Way};
use millrace_integration::wait_until;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod acl;
mod worker;

const PATIENCE: Duration = Duration::from_secs(60);

/// The most a client may use of a core while it can do nothing.
fn most(client: Client) -> f64 {
    match client {
        Client::Native => 0.05,
        // The thread of a broker that does not answer spins while its producer has records to send
        // (librdkafka 2.12: half a core).
        Client::Librdkafka => 0.8,
    }
}

/// How long a fault lasts in which CPU is measured: long enough for the kernel's ticks of 10 ms.
const FAULT: Duration = Duration::from_secs(5);

/// A client at work in a process of its own.
struct Worker {
    process: Process,
    _directory: TempDir,
}

/// What a worker last told: what it got done, and what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    produced: u64,
    consumed: u64,
    grouped: u64,
    errors: u64,
}

impl Told {
    fn is_ahead_of(&self, earlier: &Self, by: u64) -> bool {
        self.produced >= earlier.produced + by
            && self.consumed >= earlier.consumed + by
            && self.grouped >= earlier.grouped + by
    }
}

impl Worker {
    /// Starts what `worker::run` does: this binary again, with one test.
    fn start(client: Client, work: &str, bootstrap: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "bad_peers::worker::run", "--nocapture"]);
        command.envs([
            (worker::CLIENT, client.name()),
            (worker::WORK, work),
            (worker::BOOTSTRAP, bootstrap),
        ]);
        let process = Process::start(&mut command, &directory.path().join("log.txt"));
        Self { process, _directory: directory }
    }

    fn told(&self) -> Told {
        let log = self.process.log();
        let line = log.lines().rev().find_map(|line| line.strip_prefix("told: "));
        let mut numbers = line.unwrap_or_default().split(' ').map(|n| n.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Told { produced: next(), consumed: next(), grouped: next(), errors: next() }
    }

    /// Waits until all its parts have got on by so much.
    #[track_caller]
    fn gets_on(&self, what: &str, by: u64) {
        let earlier = self.told();
        let log = || self.process.log();
        let start = Instant::now();
        while !self.told().is_ahead_of(&earlier, by) {
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: {earlier:?}, {:?}\n{}",
                self.told(),
                log()
            );
            millrace_integration::block_on(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
            });
        }
        println!("{what}: gets on after {:.1?}", start.elapsed());
    }

    /// The errors it told of, each once, with how often it did.
    fn errors(&self) -> String {
        let log = self.process.log();
        let mut counts = BTreeMap::new();
        for line in log.lines().filter(|line| !line.starts_with("told: ")) {
            let words: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
            counts.entry(words).or_insert((0, line)).0 += 1;
        }
        let lines = counts.values().map(|(count, line)| format!("    {count} × {line}\n"));
        lines.collect()
    }

    /// The part of a core that it uses from now on, and the busiest threads in words.
    fn core(&self, time: Duration) -> (f64, String) {
        let (start, used) = (Instant::now(), self.process.cpu_seconds());
        let threads = self.process.cpu_seconds_of_threads();
        wait_until("the end of a fault", 2 * time, || (start.elapsed() >= time).then_some(()));
        let core = (self.process.cpu_seconds() - used) / start.elapsed().as_secs_f64();
        let mut busiest: Vec<(String, f64)> = self
            .process
            .cpu_seconds_of_threads()
            .into_iter()
            .map(|(id, (name, cpu))| {
                (name, cpu - threads.get(&id).map_or(0.0, |(_, before)| *before))
            })
            .collect();
        busiest.sort_by(|a, b| b.1.total_cmp(&a.1));
        busiest.truncate(3);
        (core, format!("{core:.3} of a core, {busiest:.2?}"))
    }
}

/// Nobody who only looks like a broker makes a client hang, spin, or take memory.
#[test]
fn impostors_are_told_in_time() {
    let kinds = [
        Impostor::Mute,
        Impostor::HangsUp,
        Impostor::SpeaksHttp,
        Impostor::Babbles,
        Impostor::StopsMidFrame,
        Impostor::PromisesMuch,
        Impostor::PromisesLess,
        Impostor::SaysNothing,
    ];
    for client in Client::all() {
        // All at once: each only waits.
        let workers: Vec<_> = kinds
            .iter()
            .map(|kind| {
                let pretender = Pretender::start(*kind);
                let worker = Worker::start(client, "ask", &pretender.address());
                (*kind, pretender, worker)
            })
            .collect();
        for (kind, pretender, mut worker) in workers {
            let status = worker.process.wait(PATIENCE);
            let log = worker.process.log();
            assert!(status.success(), "{client}, {kind:?}: {log}");
            let answer = log.lines().find_map(|line| line.strip_prefix("answer: "));
            let answer = answer.unwrap_or_else(|| panic!("{client}, {kind:?}: {log}"));
            println!("{client}, {kind:?}, {} connections: {answer}", pretender.connections());
            judge(&format!("{client}, {kind:?}"), answer, &pretender.address(), most(client));
            let calls = pretender.connections();
            assert!((1..=40).contains(&calls), "{client}, {kind:?}: {calls} connections in 5 s");
        }
    }
}

/// `SECONDS CORE MEBIBYTES KIND TEXT` of a call that had five seconds.
#[track_caller]
fn judge(who: &str, answer: &str, address: &str, most: f64) {
    let mut parts = answer.splitn(5, ' ');
    let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok()).unwrap();
    let (seconds, core, mebibytes) = (number(), number(), number());
    let (kind, text) = (parts.next().unwrap(), parts.next().unwrap());
    assert!(seconds < 12.0, "{who}: {answer}");
    assert!(seconds < 1.0 || core < most, "{who}: {answer}");
    assert!(mebibytes < 50.0, "{who}: {answer}");
    assert!(kind == "Retriable" || kind == "Fatal", "{who}: {answer}");
    assert!(text.contains(address), "{who} does not name {address}: {answer}");
}

/// A broker behind a way that goes bad, and a client at work on it.
struct Scene {
    brokers: Brokers,
    proxy: Proxy,
}

impl Scene {
    fn new() -> Self {
        let port = free_port();
        let brokers = Brokers::start_at(
            1,
            &[
                (
                    "listeners",
                    "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093,WAY://0.0.0.0:9094",
                ),
                (
                    "listener.security.protocol.map",
                    "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,WAY:PLAINTEXT",
                ),
                ("inter.broker.listener.name", "PLAINTEXT"),
            ],
            |ip| format!("PLAINTEXT://{ip}:9092,WAY://127.0.0.1:{port}"),
        );
        let target = brokers.address(0).replace(":9092", ":9094");
        Self { proxy: Proxy::start(port, target), brokers }
    }
}

#[test]
fn a_bad_way_costs_no_cpu_and_heals() {
    let scene = Scene::new();
    for client in Client::all() {
        let topic = worker::topic(client);
        millrace_integration::topic::create_topic(&scene.brokers.bootstrap(), &topic, 1);
        let worker = Worker::start(client, "work", &scene.proxy.address());
        worker.gets_on(&format!("{client}: at the beginning"), 20);
        println!("{client}: {} while all is well", worker.core(FAULT).1);
        for way in [Way::Stalled, Way::Silent, Way::Reset, Way::Cut, Way::Slow(2_000)] {
            goes_bad(&scene, client, &worker, way);
        }
        throttled(&scene, client, &worker);
        // The last, as librdkafka complains for a while of what it read.
        goes_bad(&scene, client, &worker, Way::Garbled);
        println!("{client} told:\n{}", worker.errors());
    }
}

/// The way goes bad for a while, and then is well again.
fn goes_bad(scene: &Scene, client: Client, worker: &Worker, way: Way) {
    let (before, connections) = (worker.told(), scene.proxy.connections());
    scene.proxy.set(way);
    let (core, cpu) = worker.core(FAULT);
    let connections = scene.proxy.connections() - connections;
    let after = worker.told();
    println!("{client}, {way:?}: {cpu}, {connections} connections, {before:?} {after:?}");
    scene.proxy.set(Way::Open);
    worker.gets_on(&format!("{client}, after {way:?}"), 20);
    assert!(core < most(client), "{client}, {way:?}: {cpu}");
    assert!(connections <= 100, "{client}, {way:?}: {connections} connections in 5 s");
}

/// The broker asks a client to wait: it waits, and nothing fails.
fn throttled(scene: &Scene, client: Client, worker: &Worker) {
    let quota = "producer_byte_rate=1500,consumer_byte_rate=1500";
    let entity = ["--entity-type", "clients", "--entity-default"];
    let alter = |what: &str, value: &str| {
        let mut arguments = vec!["--alter", what, value];
        arguments.extend(entity);
        scene.brokers.java("kafka.admin.ConfigCommand", &arguments);
    };
    alter("--add-config", quota);
    let before = worker.told();
    let (core, cpu) = worker.core(FAULT);
    let after = worker.told();
    println!("{client}, throttled: {cpu}, {before:?} {after:?}");
    alter("--delete-config", "producer_byte_rate,consumer_byte_rate");
    worker.gets_on(&format!("{client}, after throttling"), 20);
    assert!(core < most(client), "{client}, throttled: {cpu}");
    let told = worker.errors();
    assert_eq!(before.errors, after.errors, "{client}: throttling is no error\n{told}");
}
