//! Which topics the producer asks for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::sending::{Acks, Cluster, PATIENCE, producer, run};
use crate::{Outgoing, Producer};

#[tokio::test(start_paused = true)]
async fn a_topic_that_nothing_is_sent_to_is_forgotten_until_something_is() {
    let cluster = Cluster::new(13, Duration::ZERO);
    let settings = [("metadata.max.age.ms", "1000"), ("metadata.max.idle.ms", "5000")];
    let mut producer = producer(&cluster, &settings);
    let acks = Arc::new(Acks::default());
    producer.send(&run(0, 0..1), acks.clone()).await.unwrap();
    for number in 0..10 {
        let other = Outgoing { topic: "u".into(), ..run(0, number..number + 1) };
        producer.send(&other, acks.clone()).await.unwrap();
        producer.flush(PATIENCE).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let asked = std::mem::take(&mut *cluster.asked.lock().unwrap());
    let both = asked.iter().filter(|names| names.len() == 2).count();
    assert!((3..=6).contains(&both), "{asked:?}");
    assert_eq!(asked.last().unwrap(), &["u"], "{asked:?}");
    producer.send(&run(0, 1..2), acks.clone()).await.unwrap();
    producer.flush(PATIENCE).await.unwrap();
    assert_eq!(cluster.records("t", 0), [0, 1]);
    assert_eq!(acks.counts(), (12, 0));
}
