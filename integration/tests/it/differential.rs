//! The same topic read by everybody: librdkafka itself, our clients, and Java. The same records
//! written by everybody. The long form is `integration/drill differential`.

use fastrand::Rng;
use millrace_integration::brokers::Brokers;
use millrace_integration::client::Client;
use millrace_integration::console::{self, Reading};
use millrace_integration::topic::{self, Record};
use millrace_integration::traffic::{self, Spans};
use millrace_integration::{block_on, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{DefaultProducerContext, Producer as _, ThreadedProducer};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

mod random;

const PATIENCE: Duration = Duration::from_secs(30);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const PARTITIONS: i32 = 3;

type Rdkafka = ThreadedProducer<DefaultProducerContext>;

#[test]
fn all_see_the_same_records() {
    let brokers = broker();
    let seed = seed();
    let start = Instant::now();
    round(&brokers, seed, "short");
    println!("seed {seed}: {:.1?}", start.elapsed());
}

/// As many rounds as `integration/drill differential` asks for.
#[test]
#[ignore = "as long as one likes: integration/drill runs it"]
fn long() {
    let brokers = broker();
    let rounds = std::env::var("MILLRACE_DIFFERENTIAL_ROUNDS").ok();
    let rounds: u64 = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let first = seed();
    for seed in first..first + rounds {
        let start = Instant::now();
        round(&brokers, seed, &format!("long-{seed}"));
        println!("seed {seed}: {:.1?}", start.elapsed());
    }
}

/// A broker of our own, for a log cleaner that is in a hurry.
fn broker() -> Brokers {
    Brokers::start(1, &[("log.cleaner.backoff.ms", "100"), ("message.max.bytes", "2200000")])
}

fn seed() -> u64 {
    let seed = std::env::var("MILLRACE_DIFFERENTIAL_SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(0..1_000_000))
}

/// Each way to write, and all ways to read what came of it, at the same time.
fn round(brokers: &Brokers, seed: u64, name: &str) {
    println!("differential: seed {seed}");
    let all: [fn(&Scene<'_>); 6] =
        [written_by_librdkafka, compacted, written_by_java, written_by_us, partitioned, still_open];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(all)
            .map(|(number, part)| {
                let scene = Scene { brokers, seed: seed * 10 + number, name };
                scope.spawn(move || part(&scene))
            })
            .collect();
        let failed: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().err()).collect();
        assert!(failed.is_empty(), "seed {seed}: {} parts failed, see above", failed.len());
    });
}

struct Scene<'a> {
    brokers: &'a Brokers,
    seed: u64,
    name: &'a str,
}

impl Scene<'_> {
    fn random(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    fn topic(&self, what: &str, configs: &[(&str, &str)]) -> String {
        let topic = format!("{what}-{}", self.name);
        let mut all = vec![("max.message.bytes", "2200000"), ("retention.ms", "-1")];
        all.extend(configs);
        topic::create_topic_with(&self.brokers.bootstrap(), &topic, PARTITIONS, &all);
        topic
    }

    fn librdkafka(&self, codec: &str, transactional_id: Option<&str>) -> Rdkafka {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers.bootstrap())
            .set("compression.codec", codec)
            .set("message.max.bytes", "2100000")
            .set("linger.ms", "20");
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        let producer: Rdkafka = config.create().unwrap();
        if transactional_id.is_some() {
            producer.init_transactions(PATIENCE).unwrap();
        }
        producer
    }

    /// A record at the end of each partition, by which readers know that they are there: the last
    /// offset may be that of a marker or of an aborted record.
    fn close(&self, topic: &str) {
        let end = |partition| {
            let key = Some(b"end".to_vec());
            Record { partition, key, value: Some(b"end".to_vec()), ..Record::default() }
        };
        let ends: Vec<Record> = (0..PARTITIONS).map(end).collect();
        topic::produce(&self.brokers.bootstrap(), topic, &ends);
    }

    /// Reads a topic in every way, and gives what all saw of what is committed.
    fn read_by_all(&self, topic: &str) -> Vec<Record> {
        let bootstrap = self.brokers.bootstrap();
        // Markers are written after a producer has heard that its transaction ends.
        wait_until("the ends of a topic", PATIENCE, || {
            let records = topic::contents(&bootstrap, topic);
            let ends = records.iter().filter(|record| record.key.as_deref() == Some(b"end"));
            (ends.count() == PARTITIONS as usize).then_some(())
        });
        let mut committed_records = Vec::new();
        for (isolation, committed) in [("read_uncommitted", false), ("read_committed", true)] {
            let expected =
                topic::contents_with(&bootstrap, topic, &[("isolation.level", isolation)]);
            let spans = spans(&expected);
            for client in Client::all() {
                let settings = [("isolation.level", isolation)];
                let seen = block_on(traffic::read(client, &bootstrap, topic, &spans, &settings));
                same(&expected, &seen, &format!("{topic}, {isolation}, {client}"));
                self.read_from_the_middle(client, topic, (isolation, &expected));
            }
            let (network, most) = (self.brokers.network(), expected.len());
            let bootstrap = &bootstrap;
            let reading = Reading { network, bootstrap, topic, committed, most };
            let seen = console::read(&reading);
            same(&expected, &seen, &format!("{topic}, {isolation}, java"));
            committed_records = expected;
        }
        committed_records
    }

    /// Begins at offsets within batches, with fetches of other sizes.
    fn read_from_the_middle(&self, client: Client, topic: &str, known: (&str, &[Record])) {
        let (isolation, expected) = known;
        let mut random = self.random();
        let mut spans = spans(expected);
        for (start, last) in spans.values_mut() {
            *start = random.i64(*start..=*last);
        }
        let fetch = random.usize(1..100_000).to_string();
        let settings = [
            ("isolation.level", isolation),
            ("max.partition.fetch.bytes", fetch.as_str()),
            ("max.poll.records", "7"),
        ];
        let bootstrap = self.brokers.bootstrap();
        let seen = block_on(traffic::read(client, &bootstrap, topic, &spans, &settings));
        let expected: Vec<Record> =
            expected.iter().filter(|r| r.offset >= spans[&r.partition].0).cloned().collect();
        same(&expected, &seen, &format!("{topic}, {isolation}, {client} from {spans:?}"));
    }
}

/// From the first record of each partition to its last.
fn spans(records: &[Record]) -> Spans {
    let mut spans = Spans::new();
    for record in records {
        let span = spans.entry(record.partition).or_insert((0, record.offset));
        span.1 = span.1.max(record.offset);
    }
    spans
}

#[track_caller]
fn same(expected: &[Record], seen: &[Record], who: &str) {
    for (expected, seen) in expected.iter().zip(seen) {
        assert!(expected == seen, "{who}:\nexpected {}\nseen     {}", told(expected), told(seen));
    }
    assert_eq!(expected.len(), seen.len(), "{who}: how many records there are");
}

/// A record in a line, however large.
fn told(record: &Record) -> String {
    let Record { partition, offset, timestamp, key, value, headers } = record;
    let bytes = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.as_ref();
        bytes.map(|bytes| {
            (bytes.len(), String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned())
        })
    };
    let headers: Vec<_> = headers.iter().map(|(key, value)| (key, bytes(value))).collect();
    let (key, value) = (bytes(key), bytes(value));
    format!("{partition}@{offset} {timestamp:?} {key:?} {value:?} {headers:?}")
}

/// Batches of all codecs and sizes, in transactions that were committed or aborted and outside.
fn written_by_librdkafka(scene: &Scene<'_>) {
    let mut random = scene.random();
    let times = ["CreateTime", "LogAppendTime"][random.usize(0..2)];
    let topic = scene.topic("by-librdkafka", &[("message.timestamp.type", times)]);
    let mut producers = BTreeMap::new();
    for burst in 0..16 {
        let (codec, transactional) = (CODECS[burst % 5], random.bool());
        let id = format!("{topic}-{codec}");
        let producer = producers
            .entry((codec, transactional))
            .or_insert_with(|| scene.librdkafka(codec, transactional.then_some(&id)));
        if transactional {
            producer.begin_transaction().unwrap();
        }
        for _ in 0..random.usize(1..4) {
            let partition = random.i32(0..PARTITIONS);
            let count = if random.u8(0..5) == 0 { 1_500 } else { random.usize(1..40) };
            let mut records = random::records(&mut random, partition, count.min(40));
            // A huge batch of small records.
            let small = (0..count.saturating_sub(40)).map(|n| Record {
                partition,
                value: Some(format!("small {n}").into_bytes()),
                ..Record::default()
            });
            records.extend(small);
            records.iter().for_each(|record| topic::send(producer, &topic, record));
            if random.bool() {
                producer.flush(PATIENCE).unwrap();
            }
        }
        // Else the records of an aborted transaction would never leave the producer.
        producer.flush(PATIENCE).unwrap();
        match (transactional, random.bool()) {
            (true, true) => producer.commit_transaction(PATIENCE).unwrap(),
            (true, false) => producer.abort_transaction(PATIENCE).unwrap(),
            (false, _) => {}
        }
    }
    let plain = scene.librdkafka(CODECS[random.usize(0..5)], None);
    topic::send(&plain, &topic, &random::large(&mut random, 0));
    plain.flush(PATIENCE).unwrap();
    scene.close(&topic);
    scene.read_by_all(&topic);
}

/// Batches out of which records are gone, and offsets that are no record's.
fn compacted(scene: &Scene<'_>) {
    let mut random = scene.random();
    let compact = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "50"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "0"),
    ];
    let topic = scene.topic("compacted", &compact);
    let producer = scene.librdkafka(CODECS[random.usize(0..5)], Some(&topic));
    let mut written = 0;
    for round in 0..4 {
        producer.begin_transaction().unwrap();
        for partition in 0..PARTITIONS {
            for mut record in random::records(&mut random, partition, 40) {
                record.key = Some(format!("key {}", random.u8(0..50)).into_bytes());
                topic::send(&producer, &topic, &record);
                written += 1;
            }
        }
        producer.flush(PATIENCE).unwrap();
        match round {
            1 => producer.abort_transaction(PATIENCE).unwrap(),
            _ => producer.commit_transaction(PATIENCE).unwrap(),
        }
        // The next batch opens a segment, and what lies before it is cleaned.
        block_on(async { tokio::time::sleep(Duration::from_millis(60)).await });
    }
    scene.close(&topic);
    let bootstrap = scene.brokers.bootstrap();
    let count = || {
        topic::contents_with(&bootstrap, &topic, &[("isolation.level", "read_uncommitted")]).len()
    };
    wait_until("the log cleaner", 3 * PATIENCE, || {
        block_on(async { tokio::time::sleep(Duration::from_millis(300)).await });
        // No longer at work: otherwise readers see different logs.
        let before = count();
        block_on(async { tokio::time::sleep(Duration::from_millis(700)).await });
        (before < written / 2 && count() == before).then_some(())
    });
    scene.read_by_all(&topic);
}

/// Java's own batches, with its headers and nulls.
fn written_by_java(scene: &Scene<'_>) {
    let mut random = scene.random();
    let topic = scene.topic("by-java", &[]);
    let bootstrap = scene.brokers.bootstrap();
    let records = random::lines(&mut random, 500);
    let codec = format!("compression.type={}", CODECS[random.usize(0..5)]);
    let batch = format!("batch.size={}", random.u32(100..200_000));
    let properties = [codec.as_str(), batch.as_str(), "linger.ms=50"];
    console::write((scene.brokers.network(), &bootstrap), &topic, &properties, &records);
    scene.close(&topic);
    let seen = scene.read_by_all(&topic);
    let ends = usize::try_from(PARTITIONS).unwrap();
    assert_eq!(seen.len(), records.len() + ends, "{topic}: {properties:?}");
    contains_all(&records, &seen, &topic);
}

/// Each record is there once: keys are unique.
fn contains_all(records: &[Record], seen: &[Record], who: &str) {
    let by_key: BTreeMap<_, _> = seen.iter().map(|record| (&record.key, record)).collect();
    for record in records {
        let found = by_key.get(&record.key).map(|found| Record {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            ..(*found).clone()
        });
        same(std::slice::from_ref(record), found.as_slice(), who);
    }
}

/// What our clients write, with every codec.
fn written_by_us(scene: &Scene<'_>) {
    for client in Client::all() {
        let mut random = scene.random();
        let topic = scene.topic(&format!("by-us-{client}"), &[]);
        let mut sent = Vec::new();
        for codec in CODECS {
            let mut batches = Vec::new();
            for partition in 0..PARTITIONS {
                let count = random.usize(1..60);
                let mut records = random::records(&mut random, partition, count);
                if random.bool() {
                    // Runs without headers and timestamps take another way.
                    records.iter_mut().for_each(|r| (r.headers, r.timestamp) = (Vec::new(), None));
                }
                if codec == CODECS[random.usize(0..5)] {
                    records.push(random::large(&mut random, partition));
                }
                let cut = random.usize(0..=records.len());
                for run in [&records[..cut], &records[cut..]] {
                    batches.push(traffic::pack(&topic, Some(partition), run));
                }
                sent.extend(records);
            }
            let size = random.u32(1..300_000).to_string();
            let settings = [
                ("compression.type", codec),
                ("batch.size", size.as_str()),
                ("max.request.size", "2100000"),
                ("linger.ms", "10"),
            ];
            block_on(traffic::write(client, &scene.brokers.bootstrap(), &batches, &settings));
        }
        scene.close(&topic);
        let mut seen = scene.read_by_all(&topic);
        // What was sent is what is there, in order; where no time was given it is the producer's.
        sent.sort_by_key(|record| record.partition);
        seen.retain(|record| record.key.as_deref() != Some(b"end"));
        for (sent, seen) in sent.iter_mut().zip(&seen) {
            sent.offset = seen.offset;
            sent.timestamp = sent.timestamp.or(seen.timestamp);
        }
        same(&sent, &seen, &format!("{topic}: sent and seen"));
    }
}

/// A key belongs to the partition that Java gives it.
fn partitioned(scene: &Scene<'_>) {
    let mut random = scene.random();
    let bootstrap = scene.brokers.bootstrap();
    let records = random::lines(&mut random, 300);
    let places = |topic: &str| {
        let records = topic::contents(&bootstrap, topic).into_iter();
        records.map(|record| (record.key, record.partition)).collect::<BTreeMap<_, _>>()
    };
    let topic = scene.topic("places-java", &[]);
    console::write((scene.brokers.network(), &bootstrap), &topic, &[], &records);
    let expected = places(&topic);
    assert_eq!(expected.len(), records.len());
    for client in Client::all() {
        let topic = scene.topic(&format!("places-{client}"), &[]);
        let run = traffic::pack(&topic, None, &records);
        block_on(traffic::write(client, &bootstrap, &[run], &[]));
        assert_eq!(places(&topic), expected, "{client} and Java place keys differently");
    }
}

/// Of a transaction that is open nothing is seen, and nothing of what lies behind it.
fn still_open(scene: &Scene<'_>) {
    let mut random = scene.random();
    let topic = scene.topic("open", &[]);
    let bootstrap = scene.brokers.bootstrap();
    let plain = scene.librdkafka("none", None);
    let open = scene.librdkafka("lz4", Some(&topic));
    let mut fill = |producer: &Rdkafka| {
        for partition in 0..PARTITIONS {
            for record in random::records(&mut random, partition, 5) {
                topic::send(producer, &topic, &record);
            }
        }
        producer.flush(PATIENCE).unwrap();
    };
    fill(&plain);
    open.begin_transaction().unwrap();
    fill(&open);
    fill(&plain);
    scene.close(&topic);
    let all = topic::contents_with(&bootstrap, &topic, &[("isolation.level", "read_uncommitted")]);
    let before: Vec<Record> = all.iter().filter(|record| record.offset < 5).cloned().collect();
    for client in Client::all() {
        let settings = [("isolation.level", "read_committed")];
        let time = (&settings[..], Duration::from_secs(2));
        let seen = block_on(traffic::glance(client, &bootstrap, &topic, &spans(&all), time));
        same(&before, &seen, &format!("{topic}, {client}"));
    }
    match random.bool() {
        true => open.commit_transaction(PATIENCE).unwrap(),
        false => open.abort_transaction(PATIENCE).unwrap(),
    }
    scene.read_by_all(&topic);
}
