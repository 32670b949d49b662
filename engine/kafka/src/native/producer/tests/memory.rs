//! What a producer holds while brokers are slow.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::BinaryViewArray;
use tokio::time::Instant;

use super::sending::{Acks, CONNECT, Cluster, Fate, PATIENCE, producer, run};
use crate::native::producer::NativeProducer;
use crate::{Outgoing, Producer};

const KEY_BYTES: usize = 1_000;
const RUN: u32 = 50;

/// Records of a kilobyte.
fn large(partition: i32, round: u32) -> Outgoing {
    let keys = BinaryViewArray::from_iter(vec![Some(vec![b'k'; KEY_BYTES]); RUN as usize]);
    Outgoing { keys, ..run(partition, round * RUN..round * RUN + RUN) }
}

fn held(producer: &NativeProducer) -> usize {
    let (used, spare) = producer.buffer.memory();
    used + spare
}

async fn send(producer: &mut NativeProducer, partition: i32, rounds: u32) -> (Arc<Acks>, usize) {
    let (acks, mut most) = (Arc::new(Acks::default()), 0);
    for round in 0..rounds {
        producer.send(&large(partition, round), acks.clone()).await.unwrap();
        most = most.max(held(producer));
    }
    (acks, most)
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_not_further_ahead_than_helps() {
    const BATCH: usize = 300_000;
    for codec in ["none", "lz4"] {
        let cluster = Cluster::new(13, Duration::from_millis(50));
        let own = [("batch.size", "300000"), ("compression.type", codec)];
        let mut producer = producer(&cluster, &[&CONNECT[..], &own].concat());
        let began = Instant::now();
        let (acks, most) = send(&mut producer, 0, 400).await;
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts(), (400 * RUN as usize, 0));
        assert!(most < 6 * BATCH, "{codec}: {most} bytes");
        if codec == "none" {
            assert!(most > 4 * BATCH, "{most} bytes");
            // One batch an answer: the broker never waits for the caller.
            let answers = 400 * RUN as usize * KEY_BYTES / (BATCH - 2 * KEY_BYTES) + 2;
            let longest = Duration::from_millis(51) * answers as u32;
            assert!(began.elapsed() < longest, "{:?} of {longest:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_does_not_keep_other_partitions_waiting_for_long() {
    let cluster = Cluster::new(13, Duration::ZERO);
    cluster.fates.lock().unwrap().push_back(Fate::Silent);
    let mut producer = producer(&cluster, &[&CONNECT[..], &[("batch.size", "100000")]].concat());
    let began = Instant::now();
    let (_, most) = send(&mut producer, 0, 200).await;
    assert!(most > 10_000_000, "{most} bytes: buffer.memory is for this");
    let waited = began.elapsed();
    assert!((1_000..1_100).contains(&waited.as_millis()), "{waited:?}");
    send(&mut producer, 1, 10).await;
    assert_eq!(began.elapsed(), waited);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_a_batch_serves_the_next_and_goes_with_rest() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let mut producer = producer(&cluster, &[&CONNECT[..], &[("batch.size", "100000")]].concat());
    let mut before = None;
    for _ in 0..5 {
        send(&mut producer, 0, 10).await;
        producer.flush(PATIENCE).await.unwrap();
        let (used, spare) = producer.buffer.memory();
        assert_eq!(used, 0);
        assert!((90_000..200_000).contains(&spare), "one batch's: {spare}");
        assert!(before.is_none_or(|before| before == spare));
        before = Some(spare);
    }
}

/// What is used and not: batches that wait to be filled, to be sent, for an answer, and memory that
/// is kept.
#[tokio::test(start_paused = true)]
async fn buffer_memory_bounds_all_that_is_held() {
    const LIMIT: usize = 400_000;
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let cluster = Cluster::new(13, Duration::from_millis(5));
        let codec = if random.bool() { "none" } else { "zstd" };
        let own = [
            ("buffer.memory", "400000"),
            ("max.request.size", "200000"),
            ("batch.size", "60000"),
            ("compression.type", codec),
        ];
        let mut producer = producer(&cluster, &[&CONNECT[..], &own].concat());
        let acks = Arc::new(Acks::default());
        for _ in 0..100 {
            let records = match random.bool() {
                true => large(random.i32(0..4), 0),
                false => run(random.i32(0..4), 0..random.u32(1..500)),
            };
            producer.send(&records, acks.clone()).await.unwrap();
            let held = held(&producer);
            // The last record may need a little less than was reserved for it.
            assert!(held <= LIMIT + 4 * 64, "seed {seed}: {held} bytes");
        }
        producer.flush(PATIENCE).await.unwrap();
        assert_eq!(acks.counts().1, 0);
        assert_eq!(producer.buffer.memory().0, 0, "seed {seed}");
    }
}
