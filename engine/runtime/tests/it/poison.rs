//! Poison at every stage: each record that was sent is delivered or a dead letter, never both, and
//! never neither; and what that costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use millrace_api::Error;
use millrace_kafka::{Acknowledge, Outgoing};
use millrace_runtime::State;

use crate::errors::{letters, read};
use crate::fixture::Fixture;
use crate::plugins::{lock, shared};

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

/// Where and how records are bad.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Poison {
    /// JSON that ends too early.
    Truncated,
    /// Bytes that are no UTF-8.
    NoText,
    /// Deeper than anybody reads.
    Deep,
    /// A number that JSON has not.
    NotANumber,
    /// A transformation refuses them.
    Transformation,
    /// The sink reports them to its reporter.
    Reported,
    /// The same, and it waits until they are where they belong.
    Settled,
    /// The sink names them.
    Refused,
    /// The sink fails with the batch.
    Batch,
}

pub(crate) const ALL: [Poison; 8] = [
    Poison::Truncated,
    Poison::NoText,
    Poison::Deep,
    Poison::NotANumber,
    Poison::Transformation,
    Poison::Reported,
    Poison::Refused,
    Poison::Batch,
];

impl Poison {
    /// A record as it lies in Kafka; those that are no poison are JSON texts.
    fn value(self, number: usize, is_poison: bool) -> Vec<u8> {
        match self {
            _ if !is_poison => format!("\"{number}\"").into_bytes(),
            Self::Truncated => format!("{{\"number\":\"{number}").into_bytes(),
            Self::NoText => {
                [b"\"", &[0xff, 0xfe, 0x80][..], number.to_string().as_bytes(), b"\""].concat()
            }
            Self::Deep => "[".repeat(10_000).into_bytes(),
            Self::NotANumber => b"NaN.".to_vec(),
            _ => format!("\"{number}!\"").into_bytes(),
        }
    }

    pub(crate) fn config(self) -> Vec<(&'static str, &'static str)> {
        let base = [("value.converter", JSON), ("value.converter.schemas.enable", "false")];
        let of_sink = |by| vec![("poison", "!"), ("poison.by", by)];
        let own = match self {
            Self::Transformation => vec![
                ("transforms", "d"),
                ("transforms.d.type", "test.DropEndingIn"),
                ("transforms.d.marker", "none"),
                ("transforms.d.poison", "!"),
            ],
            Self::Reported => of_sink("report"),
            Self::Settled => of_sink("settle"),
            Self::Refused => of_sink("refuse"),
            Self::Batch => of_sink("fail"),
            _ => Vec::new(),
        };
        base.into_iter().chain(own).collect()
    }
}

/// Waits for everything that was sent.
#[derive(Default)]
struct Sent(AtomicUsize);

impl Acknowledge for Sent {
    fn acknowledged(&self, records: usize) {
        self.0.fetch_add(records, Ordering::SeqCst);
    }

    fn failed(&self, _records: usize, error: &Error) {
        panic!("{error}");
    }
}

/// Writes so many records of which one in `every` is poison; none where that is 0. Says how many
/// were.
pub(crate) async fn fill(
    fixture: &Fixture,
    poison: Poison,
    partition: i32,
    count: usize,
    every: usize,
) -> usize {
    let mut producer = fixture.cluster.producer(&Default::default()).await.unwrap();
    let is_poison = |number: usize| every > 0 && number % every == every / 2;
    let sent = Arc::new(Sent::default());
    for start in (0..count).step_by(1_000) {
        let numbers = start..count.min(start + 1_000);
        let values: Vec<_> =
            numbers.clone().map(|number| Some(poison.value(number, is_poison(number)))).collect();
        let records = Outgoing {
            topic: "poisoned".into(),
            partition: Some(partition),
            keys: values.iter().map(|_| None::<&[u8]>).collect(),
            values: values.iter().map(|value| value.as_deref()).collect(),
            timestamps: None,
            headers: Vec::new(),
        };
        producer.send(&records, Arc::clone(&sent) as Arc<dyn Acknowledge>).await.unwrap();
    }
    producer.flush(Duration::from_secs(60)).await.unwrap();
    assert_eq!(sent.0.load(Ordering::SeqCst), count);
    (0..count).filter(|number| is_poison(*number)).count()
}

/// Runs a sink over so many records. Gives the time that took.
async fn drill(poison: Poison, count: usize, every: usize, tolerant: bool) -> Duration {
    let fixture = Fixture::start().await;
    fixture.create_topic("poisoned", 1).await;
    let bad = fill(&fixture, poison, 0, count, every).await;
    let name = format!("{poison:?}-{count}-{every}-{tolerant}");
    let mut config = poison.config();
    config.extend(if tolerant { letters(&[]) } else { Vec::new() });
    let begun = Instant::now();
    fixture.sink(&name, "poisoned", &config).await;
    let deadline = begun + Duration::from_secs(600);
    let done = i64::try_from(count).unwrap();
    while fixture.committed(&format!("connect-{name}"), "poisoned").await != Some(done) {
        assert!(Instant::now() < deadline, "{name} takes too long");
        assert_ne!(fixture.state(&name).await, Some(State::Failed), "{name}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = begun.elapsed();
    let put = lock(&shared(&name)).put_values();
    assert_eq!(put.len() + bad, count, "{name}: each record is delivered or dead");
    let mut next = put.iter().map(|number| number.parse::<usize>().unwrap());
    assert!(next.all(|number| every == 0 || number % every != every / 2), "{name}");
    let dead: usize = match tolerant {
        true => read(&fixture, "letters").await.iter().map(|run| run.offsets.len()).sum(),
        false => 0,
    };
    assert_eq!(dead, bad, "{name}: each bad record is a letter, once");
    lock(&shared(&name)).events.clear();
    took
}

#[tokio::test]
async fn each_record_is_delivered_or_a_letter() {
    for poison in ALL {
        for every in [100, 1] {
            drill(poison, 2_000, every, true).await;
        }
    }
}

/// The long form prints what poison costs: `cargo test -p millrace-runtime --release -- --ignored
/// --nocapture poison`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and is to be looked at"]
async fn a_million_records_with_poison_of_each_kind() {
    let count = std::env::var("MILLRACE_POISON").map_or(1_000_000, |n| n.parse().unwrap());
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    for round in 0..3 {
        let plain = rate(drill(Poison::Refused, count, 0, false).await);
        let clean = rate(drill(Poison::Refused, count, 0, true).await);
        println!("clean, round {round}: {plain:.0}/s, with tolerance and a queue {clean:.0}/s");
    }
    for poison in ALL {
        let clean = rate(drill(poison, count, 0, true).await);
        for every in [1_000, 100, 1] {
            let poisoned = rate(drill(poison, count, every, true).await);
            let share = poisoned / clean * 100.0;
            println!("{poison:?}, one in {every}: {poisoned:.0}/s, {share:.0} % of clean");
        }
    }
}
