//! Runs a sink over a topic, sees that nothing of it is lost or doubled, and says what that took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, BinaryViewArray};
use bytes::Bytes;
use millrace_api::Error;
use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_kafka::{Acknowledge, Fetched, Outgoing};
use millrace_runtime::{Herder, State};
use rustix::time::{ClockId, clock_gettime};

use super::kinds::{LARGEST, Poison, Raw};
use super::registry;
use crate::errors::{each_run, letters};
use crate::fixture::Fixture;
use crate::plugins::{Event, lock, shared};

/// A worker, its log and its registry.
pub(super) struct Scene {
    fixture: Fixture,
    registry: String,
    _directory: Option<tempfile::TempDir>,
    drills: usize,
}

/// A topic that is filled.
#[derive(Clone, Copy)]
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) poison: Poison,
    pub(crate) count: usize,
    /// One record in so many is bad, or none where it is 0.
    pub(crate) every: usize,
}

impl Topic {
    fn is_bad(self, number: usize) -> bool {
        self.every > 0 && number % self.every == self.every / 2
    }

    /// How many of the first `count` records are bad.
    pub(super) fn bad(self, count: usize) -> usize {
        match self.every {
            0 => 0,
            every => (count + every - 1 - every / 2) / every,
        }
    }
}

/// What a drill took.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) time: Duration,
    /// Of the process, on all cores.
    pub(super) cpu: Duration,
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
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

/// Writes records to a partition; one in so many `twins` has a bad one's bytes.
pub(crate) async fn fill(fixture: &Fixture, topic: Topic, partition: i32, twins: usize) {
    let big = [("max.request.size".to_owned(), LARGEST.to_owned())];
    let mut producer = fixture.cluster.producer(&big.into()).await.unwrap();
    let is_twin = |number: usize| Topic { every: twins, ..topic }.is_bad(number);
    let sent = Arc::new(Sent::default());
    for start in (0..topic.count).step_by(500) {
        let raw = (start..topic.count.min(start + 500)).map(|number| match topic.poison {
            poison if topic.is_bad(number) => poison.bad(number),
            poison if is_twin(number) => poison.twin(number),
            poison => poison.good(number),
        });
        let raw: Vec<Raw> = raw.collect();
        let records = Outgoing {
            topic: topic.name.into(),
            partition: Some(partition),
            keys: raw.iter().map(|raw| raw.key.as_deref()).collect(),
            values: raw.iter().map(|raw| raw.value.as_deref()).collect(),
            timestamps: None,
            headers: raw.iter().map(|raw| raw.headers.clone()).collect(),
        };
        producer.send(&records, Arc::clone(&sent) as Arc<dyn Acknowledge>).await.unwrap();
    }
    producer.flush(Duration::from_secs(60)).await.unwrap();
    assert_eq!(sent.0.load(Ordering::SeqCst), topic.count);
}

impl Scene {
    pub(super) async fn in_memory() -> Self {
        Self::on(EmbeddedCluster::in_memory(), None).await
    }

    /// With a log in a directory that goes with it: a million letters are too much for memory.
    pub(super) async fn on_disk() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = EmbeddedCluster::open(directory.path(), Settings::default()).unwrap();
        Self::on(cluster, Some(directory)).await
    }

    async fn on(cluster: EmbeddedCluster, directory: Option<tempfile::TempDir>) -> Self {
        // The time of a drill is known to that.
        let keys = [("offset.flush.interval.ms", "10")];
        let fixture = Fixture::start_on(Arc::new(cluster), &keys).await;
        let registry = registry::start().await;
        Self { fixture, registry, _directory: directory, drills: 0 }
    }

    /// Makes a topic and [fills](fill) it.
    pub(super) async fn fill(&self, topic: Topic, twins: usize) {
        self.fixture.create_topic(topic.name, 1).await;
        fill(&self.fixture, topic, 0, twins).await;
    }

    /// Deletes a topic.
    pub(super) async fn clear(&self, topic: &str) {
        self.fixture.cluster.delete_topic(topic).await.unwrap();
    }

    /// Runs a sink over a topic, with dead letters if it is tolerant.
    pub(super) async fn drill(&mut self, topic: Topic, is_tolerant: bool) -> Cost {
        self.drills += 1;
        let name = format!("{:?}-{}-{}-{}", topic.poison, topic.name, topic.count, self.drills);
        let mut config = topic.poison.config(&self.registry);
        config.extend(if is_tolerant { letters(&[]) } else { Vec::new() });
        let (began, cpu_before) = (Instant::now(), cpu());
        self.fixture.sink(&name, topic.name, &config).await;
        self.wait(&name, topic).await;
        let cost = Cost { time: began.elapsed(), cpu: cpu() - cpu_before };
        self.fixture.worker().delete_connector(&name).await.unwrap();
        self.check_delivered(&name, topic);
        if is_tolerant {
            self.check_letters(&name, topic).await;
            self.clear("letters").await;
        }
        cost
    }

    /// Runs a sink whose letters are larger than the queue's producer allows.
    pub(super) async fn drill_without_room(&self, topic: Topic) {
        let config = [Poison::CutJson.config(""), letters(&[])].concat();
        self.fixture.sink("no-room", topic.name, &config).await;
        self.fixture.wait_for_task("no-room", 0, State::Failed).await;
        let trace = self.fixture.status("no-room").await.tasks[0].status.trace.clone().unwrap();
        assert!(trace.contains("cannot write to the dead letter queue"), "{trace}");
        assert!(trace.contains("max.request.size"), "{trace}");
        let committed = self.fixture.committed("connect-no-room", topic.name).await;
        assert!(committed.is_none_or(|next| topic.bad(next as usize) == 0), "{committed:?}");
    }

    /// Until everything is committed. No offset is ever ahead of the letters before it.
    async fn wait(&self, name: &str, topic: Topic) {
        let (group, deadline) =
            (format!("connect-{name}"), Instant::now() + Duration::from_secs(600));
        loop {
            let committed = self.fixture.committed(&group, topic.name).await.unwrap_or_default();
            let letters = self.fixture.end_offset("letters").await;
            let committed = usize::try_from(committed).unwrap();
            let due = topic.bad(committed);
            assert!(usize::try_from(letters).unwrap() >= due, "{name}: {letters} of {due}");
            if committed == topic.count {
                return;
            }
            assert!(Instant::now() < deadline, "{name} takes too long");
            let state = self.fixture.state(name).await;
            assert_ne!(state, Some(State::Failed), "{name}: {:?}", self.fixture.status(name).await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Each good record was put, once and in order.
    fn check_delivered(&self, name: &str, topic: Topic) {
        let events = std::mem::take(&mut lock(&shared(name)).events);
        let put = events.iter().filter_map(|event| match event {
            Event::Put(_, records) => Some(records),
            _ => None,
        });
        let mut good = (0..topic.count).filter(|number| !topic.is_bad(*number));
        for (_, offset, value) in put.flatten() {
            let digits = value.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
            let number: usize = digits.and_then(|digits| digits.parse().ok()).expect(value);
            assert_eq!((good.next(), number), (Some(number), usize::try_from(*offset).unwrap()));
        }
        assert_eq!(good.next(), None, "{name}: was not delivered");
    }

    /// Each bad record is a letter, once and in order, as it was and with Java's headers.
    async fn check_letters(&self, name: &str, topic: Topic) {
        let mut bad = (0..topic.count).filter(|number| topic.is_bad(*number));
        let check = |run: Fetched| {
            for row in 0..run.offsets.len() {
                let number = bad.next().expect("a letter too many");
                let cell = |cells: &BinaryViewArray| {
                    cells.is_valid(row).then(|| cells.value(row).to_vec())
                };
                let letter = Raw {
                    key: cell(&run.keys),
                    value: cell(&run.values),
                    headers: run.headers[row].clone(),
                };
                check_letter(name, topic, number, letter);
            }
        };
        each_run(&self.fixture, "letters", check).await;
        assert_eq!(bad.next(), None, "{name}: is no letter");
    }
}

fn check_letter(name: &str, topic: Topic, number: usize, mut letter: Raw) {
    let sent = topic.poison.bad(number);
    let added = letter.headers.split_off(sent.headers.len());
    assert!(letter == sent, "{name}: {number} is not as it was");
    let (stage, class) = topic.poison.place();
    let number = number.to_string();
    let expected = [
        ("topic", topic.name),
        ("partition", "0"),
        ("offset", &number),
        ("connector.name", name),
        ("task.id", "0"),
        ("stage", stage),
        ("class.name", class),
        ("exception.class.name", "org.apache.kafka.connect.errors.DataException"),
    ];
    let text =
        |bytes: &Option<Bytes>| String::from_utf8_lossy(bytes.as_ref().unwrap()).into_owned();
    for ((key, value), (short, known)) in added.iter().zip(expected) {
        assert_eq!(key.strip_prefix("__connect.errors."), Some(short), "{name}");
        assert_eq!(text(value), known, "{name}: {short}");
    }
    let [(message, _), (trace, lines)] = &added[expected.len()..] else {
        panic!("{name}: {added:?}")
    };
    assert_eq!(&**message, "__connect.errors.exception.message");
    assert_eq!(&**trace, "__connect.errors.exception.stacktrace");
    assert!(text(lines).starts_with(expected[7].1), "{name}: {lines:?}");
}
