//! Random histories: restarts, crashes, pauses and failures while records flow. Whatever happens,
//! every record arrives, in order, and repetitions follow only what was not committed.

use millrace_runtime::{Herder, RestartRequest, State, TargetState};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::fixture::{Fixture, until};
use crate::plugins::{Fault, lock, shared};

const COUNT: i64 = 3_000;

/// One history. The seed is in the name of everything, so it is in every message of a failure.
async fn history(seed: u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let (source, sink, topic) =
        (format!("source-{seed}"), format!("sink-{seed}"), format!("topic-{seed}"));
    let mut fixture = Fixture::start().await;
    let run = (1 + rng.next_u32() % 40).to_string();
    start(&fixture, &source, &sink, &topic, &run).await;
    let state = shared(&sink);
    for step in 0..12 {
        let seen = lock(&state).put_values().len();
        let target = (seen + 100).min(usize::try_from(COUNT).unwrap());
        until(&format!("progress at step {step} of seed {seed}"), async || {
            recover(&fixture, &sink).await;
            recover(&fixture, &source).await;
            distinct(&sink) >= target.min(usize::try_from(COUNT).unwrap())
                || lock(&state).put_values().len() >= target
        })
        .await;
        match rng.next_u32() % 7 {
            0 => {
                fixture.stop_worker().await;
                fixture.start_worker().await;
                start(&fixture, &source, &sink, &topic, &run).await;
            }
            1 => {
                fixture.crash_worker().await;
                fixture.start_worker().await;
                start(&fixture, &source, &sink, &topic, &run).await;
            }
            2 => drop(lock(&state).faults.insert("put", (1, Fault::Fatal))),
            3 => drop(lock(&state).faults.insert("put", (2, Fault::Retriable))),
            4 => drop(lock(&state).faults.insert("pre_commit", (1, Fault::Fatal))),
            5 => drop(lock(&shared(&source)).faults.insert("poll", (1, Fault::Panic))),
            _ => {
                for wish in [TargetState::Paused, TargetState::Started] {
                    fixture.worker().set_target_state(&sink, wish).await.unwrap();
                }
            }
        }
    }
    until(&format!("every record of seed {seed}"), async || {
        recover(&fixture, &sink).await;
        recover(&fixture, &source).await;
        distinct(&sink) == usize::try_from(COUNT).unwrap()
    })
    .await;
    fixture.stop_worker().await;
    assert_in_order(&source, &lock(&state).put_values(), seed);
}

async fn start(fixture: &Fixture, source: &str, sink: &str, topic: &str, run: &str) {
    fixture.source(source, topic, COUNT, &[("run", run)]).await;
    fixture.sink(sink, topic, &[]).await;
}

/// Restarts what has failed, as an operator would.
async fn recover(fixture: &Fixture, connector: &str) {
    let status = fixture.status(connector).await;
    if status.tasks.iter().any(|t| t.status.state == State::Failed) {
        let failed = RestartRequest { include_tasks: true, only_failed: true };
        fixture.worker().restart(connector, failed).await.unwrap();
    }
}

fn distinct(sink: &str) -> usize {
    let mut values = lock(&shared(sink)).put_values();
    values.sort();
    values.dedup();
    values.len()
}

/// First sightings come in the source's order: a repetition may go back, but never leaves a gap.
fn assert_in_order(source: &str, values: &[String], seed: u64) {
    let prefix = format!("{source}-0-");
    let mut next = 0;
    for value in values {
        let number: i64 = value.strip_prefix(&prefix).unwrap().parse().unwrap();
        assert!(number <= next, "seed {seed}: {number} came before {next}");
        next = next.max(number + 1);
    }
    assert_eq!(next, COUNT, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_lose_nothing_and_keep_order() {
    for seed in 0..12 {
        history(seed).await;
    }
}
