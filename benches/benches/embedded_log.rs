//! What a record costs in the embedded log, sent and polled, in memory and in a directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_api::Error;
use millrace_benches::clock::{Clock, criterion_of_long_passes, timed};
use millrace_benches::data::{TOPIC, bytes, partition};
use millrace_benches::tasks::runtime;
use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_kafka::{Acknowledge, Cluster, NewTopic, Outgoing, Polled, Properties};
use tempfile::TempDir;

const RECORDS: usize = 1_000_000;
const RECORDS_A_RUN: usize = 2_000;
const VALUE_BYTES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with an empty topic, and the directory that it is in, if it is in one.
struct Log {
    cluster: EmbeddedCluster,
    _directory: Option<TempDir>,
}

impl Log {
    async fn new(in_memory: bool) -> Self {
        let (cluster, directory) = if in_memory {
            (EmbeddedCluster::in_memory(), None)
        } else {
            let directory = tempfile::tempdir().expect("there is room for a folder");
            let cluster = EmbeddedCluster::open(directory.path(), Settings::default());
            (cluster.expect("the directory is empty"), Some(directory))
        };
        let topic = NewTopic {
            name: TOPIC.into(),
            partitions: Some(1),
            replication_factor: None,
            configs: Properties::new(),
        };
        cluster.create_topic(&topic).await.expect("the topic is new");
        Self { cluster, _directory: directory }
    }

    /// Sends all records and waits until they are in the log.
    async fn fill(&self, run: &Outgoing, total: &mut Duration) {
        let mut producer =
            self.cluster.producer(&Properties::new()).await.expect("the defaults are good");
        let counted = Arc::<Counted>::default();
        timed(total, async {
            for _ in 0..RECORDS / RECORDS_A_RUN {
                let ack = Arc::clone(&counted);
                producer.send(run, ack).await.expect("there is room for the records");
            }
            producer.flush(PATIENCE).await.expect("the log takes them all");
        })
        .await;
        assert_eq!(counted.0.load(Ordering::Relaxed), RECORDS, "each record is acknowledged");
    }

    /// Polls all records as the worker does, at most 500 at a time.
    async fn drain(&self, total: &mut Duration) {
        let mut consumer =
            self.cluster.consumer(&Properties::new()).await.expect("the defaults are good");
        consumer.assign(&[(partition(), 0)]).await.expect("the partition is there");
        let mut seen = 0;
        timed(total, async {
            while seen < RECORDS {
                match consumer.poll(PATIENCE).await.expect("the log is whole") {
                    Polled::Records(runs) => {
                        seen += runs.iter().map(|run| run.offsets.len()).sum::<usize>();
                    }
                    other => panic!("{other:?} outside of a group"),
                }
            }
        })
        .await;
        assert_eq!(seen, RECORDS, "there is nothing else in the log");
    }
}

/// Counts what is in the log.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Acknowledge for Counted {
    fn acknowledged(&self, records: usize) {
        self.0.fetch_add(records, Ordering::Relaxed);
    }

    fn failed(&self, records: usize, error: &Error) {
        panic!("{records} records failed: {error}");
    }
}

fn run() -> Outgoing {
    let values = bytes(RECORDS_A_RUN, VALUE_BYTES);
    Outgoing {
        topic: TOPIC.into(),
        partition: Some(0),
        keys: BinaryViewArray::new_null(values.len()),
        values,
        timestamps: None,
        headers: Vec::new(),
    }
}

const PLACES: [(&str, bool); 2] = [("memory", true), ("directory", false)];

fn send(c: &mut Criterion<Clock>) {
    let run = run();
    let runtime = runtime();
    let mut group = c.benchmark_group("embedded_log/send");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (place, in_memory) in PLACES {
        group.bench_function(BenchmarkId::from_parameter(place), |b| {
            b.iter_custom(|passes| {
                let mut total = Duration::ZERO;
                runtime.block_on(async {
                    for _ in 0..passes {
                        Log::new(in_memory).await.fill(&run, &mut total).await;
                    }
                });
                total
            });
        });
    }
    group.finish();
}

fn poll(c: &mut Criterion<Clock>) {
    let run = run();
    let runtime = runtime();
    let mut group = c.benchmark_group("embedded_log/poll");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (place, in_memory) in PLACES {
        let log = runtime.block_on(async {
            let log = Log::new(in_memory).await;
            let mut unread = Duration::ZERO;
            log.fill(&run, &mut unread).await;
            log
        });
        group.bench_function(BenchmarkId::from_parameter(place), |b| {
            b.iter_custom(|passes| {
                let mut total = Duration::ZERO;
                runtime.block_on(async {
                    for _ in 0..passes {
                        log.drain(&mut total).await;
                    }
                });
                total
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = criterion_of_long_passes(); targets = send, poll);
criterion_main!(benches);
