//! Measurements that take minutes: what others lose beside plugins that misbehave, and whether
//! memory grows. `cargo test --release -p millrace-runtime --test it -- --ignored --nocapture soak`

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_kafka::embedded::{EmbeddedCluster, Settings};
use millrace_runtime::{Herder, State};

use crate::fixture::{Fixture, props, until};
use crate::plugins::{Fault, lock, shared};

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().strip_suffix(" kB").unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Records a second of the good one.
async fn rate(fixture: &Fixture, time: Duration) -> f64 {
    let (before, begun) = (fixture.end_offset("good").await, Instant::now());
    tokio::time::sleep(time).await;
    let records = fixture.end_offset("good").await - before;
    f64::from(i32::try_from(records).unwrap()) / begun.elapsed().as_secs_f64()
}

/// Each fault in turn, beside a source that has a pace of its own; a rate takes `SOAK_SECONDS`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, for a minute and a half"]
async fn what_others_lose() {
    let time = Duration::from_secs(number("SOAK_SECONDS", 10));
    let keys =
        [("task.shutdown.graceful.timeout.ms", "300"), ("plugin.memory.limit.bytes", "1200000000")];
    let directory = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::open(directory.path(), Settings::default()).unwrap();
    let fixture = Fixture::start_on(Arc::new(cluster), &keys).await;
    fixture.source("good", "good", i64::MAX / 2, &[("run", "500"), ("poll.ms", "5")]).await;
    fixture.wait_for_task("good", 0, State::Running).await;
    rate(&fixture, Duration::from_secs(3)).await;
    for fault in [Fault::Panic, Fault::Block, Fault::Hang, Fault::Loop, Fault::Leak] {
        let alone = rate(&fixture, time).await;
        let name = format!("soak-{fault:?}");
        lock(&shared(&name)).faults.insert("poll", (1_000_000, fault));
        let always = [
            ("errors.restart.policy", "always"),
            ("errors.restart.backoff.ms", "1000"),
            ("errors.restart.backoff.max.ms", "1000"),
        ];
        fixture.source(&name, "bad", 10, &always).await;
        // A loop has a third of the reporting time before it is slowed.
        tokio::time::sleep(Duration::from_secs(12)).await;
        let beside = rate(&fixture, time).await;
        let loss = 100.0 * (1.0 - beside / alone);
        println!("{fault:?}: {alone:.0} records/s alone, {beside:.0} beside it: {loss:.1} % less");
        let begun = Instant::now();
        fixture.worker().connectors().await.unwrap();
        fixture.worker().status(&name).await.unwrap();
        println!("  answers within {:?}", begun.elapsed());
        lock(&shared(&name)).is_released = true;
        fixture.worker().delete_connector(&name).await.unwrap();
    }
}

/// For `SOAK_SECONDS`: records in and out, one in a thousand poisoned, and a source's task that
/// crashes every `SOAK_CRASH_MS` and restarts by itself. What was sent is what was put or is in the
/// dead letter queue; memory is printed, and its slope after a third of the time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes minutes"]
async fn memory_stays_with_poison_and_crashes() {
    let time = Duration::from_secs(number("SOAK_SECONDS", 180));
    let crash = Duration::from_millis(number("SOAK_CRASH_MS", 10_000));
    let directory = tempfile::tempdir().unwrap();
    let cluster = EmbeddedCluster::open(directory.path(), Settings::default()).unwrap();
    let fixture = Fixture::start_on(Arc::new(cluster), &[]).await;
    let worker = fixture.worker();
    let count = i64::try_from(number("SOAK_RECORDS", 100_000_000)).unwrap();
    let always = [
        ("run", "100"),
        ("poll.ms", "5"),
        ("errors.restart.policy", "always"),
        ("errors.restart.backoff.ms", "100"),
        ("errors.restart.backoff.max.ms", "100"),
        ("errors.restart.max.per.hour", "100000"),
    ];
    fixture.source("crashing", "soak", count, &always).await;
    let mut sink = props(&[
        ("name", "eating"),
        ("connector.class", "CountingSink"),
        ("topics", "soak"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "soak-letters"),
        ("errors.deadletterqueue.topic.replication.factor", "1"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
        ("transforms", "poison"),
        ("transforms.poison.type", "test.DropEndingIn"),
        ("transforms.poison.marker", "nothing"),
        ("transforms.poison.poison", "777"),
    ]);
    sink.extend(props(&[("consumer.override.metadata.max.age.ms", "1000")]));
    worker.put_connector("eating", sink, None, false).await.unwrap();
    let (begun, mut next_crash, mut samples) = (Instant::now(), crash, Vec::new());
    while begun.elapsed() < time {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let elapsed = begun.elapsed();
        if elapsed >= next_crash {
            next_crash += crash;
            let kinds = [Fault::Fatal, Fault::Panic, Fault::Retriable];
            let kind = kinds[samples.len() % kinds.len()];
            lock(&shared("crashing")).faults.insert("poll", (1, kind));
        }
        samples.push((elapsed.as_secs_f64() / 60.0, resident()));
    }
    let crashes = worker.restarts("crashing").await.unwrap();
    println!("restarts within the hour: {}", crashes.parts[0].restarts_in_last_hour);
    let warm = &samples[samples.len() / 3..];
    println!("memory: {:.1} MB to {:.1} MB", warm[0].1, warm[warm.len() - 1].1);
    println!("slope after a third of the time: {:.2} MB/min", slope(warm));
    worker.delete_connector("crashing").await.unwrap();
    let sent = fixture.end_offset("soak").await;
    until("the sink to have all", async || {
        fixture.committed("connect-eating", "soak").await == Some(sent)
    })
    .await;
    let letters = fixture.end_offset("soak-letters").await;
    let put = lock(&shared("eating")).commits;
    println!("{sent} sent, {put} put, {letters} in the dead letter queue");
    assert_eq!(i64::try_from(put).unwrap() + letters, sent, "none is lost, none comes twice");
}

/// Least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = f64::from(u32::try_from(samples.len()).unwrap());
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|s| s.0), mean(|s| s.1));
    let above: f64 = samples.iter().map(|s| (s.0 - x) * (s.1 - y)).sum();
    let below: f64 = samples.iter().map(|s| (s.0 - x) * (s.0 - x)).sum();
    above / below
}
