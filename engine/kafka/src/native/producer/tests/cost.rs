//! What producing costs, against the broker that `MILLRACE_TEST_BOOTSTRAP` names: into the topic
//! `MILLRACE_COST_TOPIC`, which must be there, with the settings in `MILLRACE_COST_SETTINGS`.
//!
//! `cargo test --release -p millrace-kafka --lib -- --ignored --nocapture what_a_record_costs`

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::BinaryViewArray;
use millrace_api::Error;
use tokio::time::Instant;

use crate::native::NativeCluster;
use crate::native::usage::{cpu, measured, memory};
use crate::{Acknowledge, Cluster, Outgoing, Producer, Properties};

const RECORDS: usize = 5_000_000;
const RUN: usize = 2_000;
const RECORD_BYTES: usize = 100;

#[derive(Debug, Default)]
struct Acks {
    good: AtomicUsize,
}

impl Acknowledge for Acks {
    fn acknowledged(&self, records: usize) {
        self.good.fetch_add(records, Ordering::Relaxed);
    }

    fn failed(&self, _: usize, error: &Error) {
        panic!("{error}");
    }
}

/// Runs of values that compress about as text does.
fn runs(topic: &str) -> Vec<Outgoing> {
    let mut random = fastrand::Rng::with_seed(1);
    let words: Vec<String> =
        (0..500).map(|_| (0..random.usize(3..9)).map(|_| random.lowercase()).collect()).collect();
    let mut value = || {
        let mut value = String::new();
        while value.len() < RECORD_BYTES {
            value.push_str(&words[random.usize(..words.len())]);
            value.push(' ');
        }
        value.truncate(RECORD_BYTES);
        value
    };
    let run = |_| {
        let values: Vec<_> = (0..RUN).map(|_| Some(value())).collect();
        Outgoing {
            topic: topic.into(),
            partition: None,
            keys: BinaryViewArray::from_iter(vec![None::<&[u8]>; RUN]),
            values: BinaryViewArray::from_iter(values),
            timestamps: None,
            headers: Vec::new(),
        }
    };
    (0..20).map(run).collect()
}

async fn produce(cluster: &NativeCluster, runs: &[Outgoing], settings: &Properties) {
    let mut producer: Box<dyn Producer> = cluster.producer(settings).await.unwrap();
    let acks = Arc::new(Acks::default());
    // The most resident memory is counted anew.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (before, _) = memory();
    let (cpu_before, began) = (cpu(), Instant::now());
    for number in 0..RECORDS / RUN {
        producer.send(&runs[number % runs.len()], acks.clone()).await.unwrap();
    }
    producer.flush(Duration::from_secs(600)).await.unwrap();
    let (wall, cpu_after, (_, peak)) = (began.elapsed(), cpu(), memory());
    assert_eq!(acks.good.load(Ordering::SeqCst), RECORDS);
    let a_record = |time: Duration| time.as_nanos() as f64 / RECORDS as f64;
    println!(
        "{:.1} ns user, {:.1} ns system, {:.1} ns wall a record, {:.1} MiB over the baseline",
        a_record(cpu_after.0 - cpu_before.0),
        a_record(cpu_after.1 - cpu_before.1),
        a_record(wall),
        peak.saturating_sub(before) as f64 / 1024.0,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement, to be run alone and in release"]
async fn what_a_record_costs_to_send() {
    let (cluster, settings) = measured();
    let topic = std::env::var("MILLRACE_COST_TOPIC").unwrap();
    let runs = runs(&topic);
    for _ in 0..3 {
        produce(&cluster, &runs, &settings).await;
    }
}
