//! Kafka clients whose peer is slow, silent, broken or no broker at all: an error that names the
//! place within the time-outs, no busy loop, and everything goes on when the peer is well again.
//!
//! The client runs in a process of its own, so that its CPU can be told from the test's.

use millrace_integration::brokers::Brokers;
use millrace_integration::client::Client;
use millrace_integration::process::Process;
use millrace_integration::proxy::{Impostor, Pretender, Proxy, Way};
use millrace_integration::{block_on, free_port, topic, wait_until};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod acl;
mod worker;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a client uses no more of a core than it may while it can do nothing.
fn is_idle(client: Client, core: f64) -> bool {
    match client {
        Client::Native => core < 0.05,
        // We cannot mend it from outside.
        Client::Librdkafka => {
            println!(
                "{client}: {core:.2} of a core, not bounded: the thread of a broker that does not \
                 answer spins while its producer has records to send (librdkafka 2.12)"
            );
            true
        }
    }
}

/// How long a fault lasts in which CPU is measured: long enough for the kernel's ticks of 10 ms.
const FAULT: Duration = Duration::from_secs(3);

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
            block_on(async {
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

    /// How much CPU it has used, and each of its threads.
    fn used(&self) -> (f64, BTreeMap<u32, (String, f64)>) {
        (self.process.cpu_seconds(), self.process.cpu_seconds_of_threads())
    }
}

/// What each worker does for a time: the part of a core that it uses, the busiest threads in words,
/// and how far it gets.
fn observe(workers: &[(Client, Worker)], time: Duration) -> Vec<(f64, String, Told)> {
    let (start, before) = (Instant::now(), workers.iter().map(|(_, worker)| worker.used()));
    let before: Vec<_> = before.collect();
    let told: Vec<Told> = workers.iter().map(|(_, worker)| worker.told()).collect();
    wait_until("the end of a fault", 2 * time, || (start.elapsed() >= time).then_some(()));
    let seconds = start.elapsed().as_secs_f64();
    let each = workers.iter().zip(before).zip(told);
    each.map(|(((_, worker), (cpu, threads)), told)| {
        let (now, threads_now) = worker.used();
        let core = (now - cpu) / seconds;
        let busy = |(id, (name, cpu)): (u32, (String, f64))| {
            (name, cpu - threads.get(&id).map_or(0.0, |(_, before)| *before))
        };
        let mut busiest: Vec<_> = threads_now.into_iter().map(busy).collect();
        busiest.sort_by(|a, b| b.1.total_cmp(&a.1));
        busiest.truncate(3);
        let words = format!("{core:.3} of a core, {busiest:.2?}, {told:?} to {:?}", worker.told());
        (core, words, told)
    })
    .collect()
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
    // All at once: each only waits.
    let mut workers = Vec::new();
    for client in Client::all() {
        for kind in kinds {
            let pretender = Pretender::start(kind);
            let worker = Worker::start(client, "ask", &pretender.address());
            workers.push((client, kind, pretender, worker));
        }
    }
    let mut wrong = Vec::new();
    for (client, kind, pretender, mut worker) in workers {
        let who = format!("{client}, {kind:?}, {} connections", pretender.connections());
        let status = worker.process.wait(PATIENCE);
        let log = worker.process.log();
        let answer = log.lines().find_map(|line| line.strip_prefix("answer: "));
        let complaint = match answer.filter(|_| status.success()) {
            Some(answer) => judge(answer, &pretender, client),
            None => Some("does not end well"),
        };
        let answer = answer.unwrap_or(&log);
        println!("{who}: {answer}");
        wrong.extend(complaint.map(|complaint| format!("{who} {complaint}: {answer}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong about `SECONDS CORE MEBIBYTES KIND TEXT` of a call that had five seconds.
fn judge(answer: &str, pretender: &Pretender, client: Client) -> Option<&'static str> {
    let mut parts = answer.splitn(5, ' ');
    let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok()).unwrap();
    let (seconds, core, mebibytes) = (number(), number(), number());
    let (kind, text) = (parts.next().unwrap(), parts.next().unwrap());
    let complaints = [
        (seconds > 10.0, "takes too long"),
        (seconds > 1.0 && !is_idle(client, core), "takes CPU"),
        (mebibytes > 50.0, "takes memory"),
        (kind != "Retriable" && kind != "Fatal", "is of a wrong kind"),
        (!text.contains(&pretender.address()), "does not name the address"),
        (!(1..=40).contains(&pretender.connections()), "connects too often"),
    ];
    complaints.into_iter().find_map(|(is_wrong, complaint)| is_wrong.then_some(complaint))
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
    let start = |client| {
        let topic = worker::topic(client);
        topic::create_topic(&scene.brokers.bootstrap(), &topic, 1);
        (client, Worker::start(client, "work", &scene.proxy.address()))
    };
    let workers: Vec<_> = Client::all().into_iter().map(start).collect();
    get_on(&workers, "the beginning");
    for ((client, _), (_, words, _)) in workers.iter().zip(observe(&workers, FAULT)) {
        println!("{client}, while all is well: {words}");
    }
    for way in [Way::Stalled, Way::Silent, Way::Reset, Way::Cut, Way::Slow(2_000)] {
        go_bad(&scene, &workers, way);
    }
    throttle(&scene, &workers);
    // The last, as librdkafka complains for a while of what it read.
    go_bad(&scene, &workers, Way::Garbled);
    for (client, worker) in &workers {
        let told = worker.errors();
        println!("{client} told:\n{told}");
        let is_seen = ["checksum", "CRC"].iter().any(|word| told.contains(word));
        assert!(is_seen, "{client} did not see that records were garbled:\n{told}");
    }
}

#[track_caller]
fn get_on(workers: &[(Client, Worker)], after: &str) {
    for (client, worker) in workers {
        worker.gets_on(&format!("{client}, after {after}"), 20);
    }
}

/// The way goes bad for a while, and then is well again.
fn go_bad(scene: &Scene, workers: &[(Client, Worker)], way: Way) {
    let connections = scene.proxy.connections();
    scene.proxy.set(way);
    let seen = observe(workers, FAULT);
    let connections = scene.proxy.connections() - connections;
    scene.proxy.set(Way::Open);
    for ((client, _), (core, words, _)) in workers.iter().zip(seen) {
        println!("{client}, {way:?}: {words}; {connections} connections of all");
        assert!(is_idle(*client, core), "{client}, {way:?}: {words}");
    }
    // Three clients with up to three lanes each, and back-offs from 50 to 500 ms.
    assert!(connections <= 100 * workers.len(), "{way:?}: {connections} connections");
    get_on(workers, &format!("{way:?}"));
}

/// The broker asks clients to wait: they wait, and nothing fails.
fn throttle(scene: &Scene, workers: &[(Client, Worker)]) {
    let alter = |what: &str, value: &str| {
        let entity = ["--entity-type", "clients", "--entity-default"];
        let arguments = [&["--alter", what, value][..], &entity].concat();
        scene.brokers.java("kafka.admin.ConfigCommand", &arguments);
    };
    alter("--add-config", "producer_byte_rate=1500,consumer_byte_rate=1500");
    let seen = observe(workers, FAULT);
    alter("--delete-config", "producer_byte_rate,consumer_byte_rate");
    for ((client, worker), (core, words, before)) in workers.iter().zip(seen) {
        println!("{client}, throttled: {words}");
        assert!(is_idle(*client, core), "{client}, throttled: {words}");
        let told = worker.errors();
        assert_eq!(before.errors, worker.told().errors, "{client}: throttling is no error\n{told}");
    }
    get_on(workers, "throttling");
}
