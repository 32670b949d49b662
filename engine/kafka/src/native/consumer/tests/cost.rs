//! What consuming costs, against the broker that `MILLRACE_TEST_BOOTSTRAP` names: topics in
//! `MILLRACE_COST_TOPICS`, all their partitions from the beginning to the end.
//!
//! `cargo test --release -p millrace-kafka --lib -- --ignored --nocapture what_a_record_costs`

use std::fs;
use std::time::Duration;

use millrace_api::TopicPartition;
use tokio::time::Instant;

use crate::native::NativeCluster;
use crate::native::usage::{cpu, measured, memory};
use crate::{Cluster, Consumer, Polled, Properties};

async fn consume(cluster: &NativeCluster, topic: &str, settings: &Properties) {
    let partitions = cluster.describe_topics(Some(&[topic])).await.unwrap()[topic];
    let all: Vec<_> = (0..partitions).map(|p| TopicPartition::new(topic, p)).collect();
    let ends = cluster.end_offsets(&all).await.unwrap();
    let mut consumer: Box<dyn Consumer> = cluster.consumer(settings).await.unwrap();
    let from: Vec<_> = all.iter().map(|tp| (tp.clone(), 0)).collect();
    // The most resident memory is counted anew.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (before, _) = memory();
    let (cpu_before, began) = (cpu(), Instant::now());
    consumer.assign(&from).await.unwrap();
    let (mut records, mut runs, mut polls) = (0, 0, 0);
    let most = ends.values().sum::<i64>() as usize;
    while records < most {
        let Polled::Records(polled) = consumer.poll(Duration::from_secs(5)).await.unwrap() else {
            panic!("nobody rebalances");
        };
        assert!(!polled.is_empty(), "{records} of {most} records came");
        polls += 1;
        runs += polled.len();
        records += polled.iter().map(|run| run.offsets.len()).sum::<usize>();
    }
    let (wall, cpu_after, (_, peak)) = (began.elapsed(), cpu(), memory());
    let a_record = |time: Duration| time.as_nanos() as f64 / records as f64;
    println!(
        "{topic}: {records} records, {:.1} ns user, {:.1} ns system, {:.1} ns wall a record, \
         {} records a run, {} a poll, {:.1} MiB over the baseline",
        a_record(cpu_after.0 - cpu_before.0),
        a_record(cpu_after.1 - cpu_before.1),
        a_record(wall),
        records / runs.max(1),
        records / polls.max(1),
        peak.saturating_sub(before) as f64 / 1024.0,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement, to be run alone and in release"]
async fn what_a_record_costs() {
    let (cluster, settings) = measured();
    let topics = std::env::var("MILLRACE_COST_TOPICS").unwrap();
    for topic in topics.split_whitespace() {
        for _ in 0..3 {
            consume(&cluster, topic, &settings).await;
        }
    }
}
