//! The other process: a client that asks one question, or works until it is ended.

use millrace_api::{Error, TopicPartition};
use millrace_integration::block_on;
use millrace_integration::client::Client;
use millrace_integration::topic::Record;
use millrace_integration::traffic;
use millrace_kafka::{Acknowledge, Polled, Subscription};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};

pub(super) const CLIENT: &str = "MILLRACE_WORKER_CLIENT";
pub(super) const WORK: &str = "MILLRACE_WORKER_WORK";
pub(super) const BOOTSTRAP: &str = "MILLRACE_WORKER_BOOTSTRAP";

/// Time-outs that let a test of a fault end soon.
const SOON: [(&str, &str); 4] = [
    ("request.timeout.ms", "2000"),
    ("default.api.timeout.ms", "5000"),
    ("reconnect.backoff.max.ms", "500"),
    ("retry.backoff.max.ms", "500"),
];

/// The topic of this client's work.
pub(super) fn topic(client: Client) -> String {
    format!("work-{client}")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the test that starts this"))
}

#[test]
#[ignore = "a process that other tests start"]
fn run() {
    let client = match variable(CLIENT).as_str() {
        "native" => Client::Native,
        _ => Client::Librdkafka,
    };
    let bootstrap = variable(BOOTSTRAP);
    match variable(WORK).as_str() {
        "ask" => ask(client, &bootstrap),
        _ => block_on(work(client, &bootstrap)),
    }
}

/// One call, and what it cost: seconds, part of a core, memory in MiB, kind and text of the error.
fn ask(client: Client, bootstrap: &str) {
    let cluster = client.connect(bootstrap, &SOON);
    let (start, used, memory) = (Instant::now(), cpu_seconds(), peak());
    let answer = block_on(cluster.describe_topics(None));
    let seconds = start.elapsed().as_secs_f64();
    let core = (cpu_seconds() - used) / seconds;
    let mebibytes = (peak() - memory) / 1024.0;
    let error = answer.expect_err("an impostor has no topics");
    let (kind, text) = (error.kind(), error.trace().to_string().replace('\n', " "));
    println!("answer: {seconds:.2} {core:.3} {mebibytes:.1} {kind:?} {text}");
}

/// CPU of this process: fields 14 and 15 behind the name in brackets, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// The most memory that this process ever held, in KiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What the parts got done.
#[derive(Default)]
struct Done {
    produced: AtomicU64,
    consumed: AtomicU64,
    grouped: AtomicU64,
    errors: AtomicU64,
}

impl Done {
    fn failed(&self, what: &str, error: &Error) {
        self.errors.fetch_add(1, SeqCst);
        println!("{what}: {:?}: {}", error.kind(), error.trace());
    }
}

impl Acknowledge for Done {
    fn acknowledged(&self, records: usize) {
        self.produced.fetch_add(records as u64, SeqCst);
    }

    fn failed(&self, _records: usize, error: &Error) {
        Done::failed(self, "record", error);
    }
}

/// Produces twenty records a second, and reads them alone and as a group; tells of it until ended.
async fn work(client: Client, bootstrap: &str) {
    let done = Arc::new(Done::default());
    let parts = [
        tokio::spawn(produce(client, bootstrap.to_owned(), done.clone())),
        tokio::spawn(consume(client, bootstrap.to_owned(), done.clone(), None)),
        tokio::spawn(consume(client, bootstrap.to_owned(), done.clone(), Some("work"))),
    ];
    loop {
        let Done { produced, consumed, grouped, errors } = &*done;
        let [produced, consumed, grouped, errors] =
            [produced, consumed, grouped, errors].map(|count| count.load(SeqCst));
        println!("told: {produced} {consumed} {grouped} {errors}");
        assert!(!parts.iter().any(|part| part.is_finished()), "a part of the work failed");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn produce(client: Client, bootstrap: String, done: Arc<Done>) {
    let cluster = client.connect(&bootstrap, &[]);
    let mut properties = client.properties(&SOON);
    properties.insert("delivery.timeout.ms".to_owned(), "60000".to_owned());
    let mut producer = cluster.producer(&properties).await.unwrap();
    let record = Record { value: Some(vec![b'v'; 200]), ..Record::default() };
    let run = traffic::pack(&topic(client), Some(0), &[record]);
    let mut tick = interval(Duration::from_millis(50));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = producer.send(&run, done.clone()).await {
            Done::failed(&done, "send", &error);
        }
    }
}

async fn consume(client: Client, bootstrap: String, done: Arc<Done>, group: Option<&str>) {
    let cluster = client.connect(&bootstrap, &[]);
    let mut properties = client.properties(&SOON);
    let more = [
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "1000"),
    ];
    properties.extend(more.map(|(key, value)| (key.to_owned(), value.to_owned())));
    if let Some(group) = group {
        properties.insert("group.id".to_owned(), format!("{group}-{client}"));
    }
    let mut consumer = cluster.consumer(&properties).await.unwrap();
    let count = match group {
        Some(_) => {
            let topics = Subscription::Topics(vec![topic(client)]);
            consumer.subscribe(&topics).await.unwrap();
            &done.grouped
        }
        None => {
            consumer.assign(&[(TopicPartition::new(topic(client), 0), 0)]).await.unwrap();
            &done.consumed
        }
    };
    loop {
        match consumer.poll(Duration::from_millis(500)).await {
            Ok(Polled::Records(runs)) => {
                let records: usize = runs.iter().map(|run| run.offsets.len()).sum();
                count.fetch_add(records as u64, SeqCst);
            }
            Ok(_) => {}
            Err(error) => {
                Done::failed(&done, "poll", &error);
                // Some errors are there at once, again and again.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
