//! Decides how tests read and write topics through the trait, with either of our clients.

use crate::client::Client;
use crate::topic::{self, Record};
use arrow::array::{Array as _, BinaryViewArray};
use arrow::buffer::ScalarBuffer;
use millrace_api::{Error, TopicPartition};
use millrace_kafka::{Acknowledge, Consumer, Fetched, Outgoing, Polled};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where reading begins and ends in each partition: the first offset, and one whose record, or a
/// later one, is the last.
pub type Spans = BTreeMap<i32, (i64, i64)>;

/// Reads a topic outside any group, by partition.
///
/// # Panics
/// When the ends do not come within a minute, with what came.
pub async fn read(
    client: Client,
    bootstrap: &str,
    topic: &str,
    spans: &Spans,
    properties: &[(&str, &str)],
) -> Vec<Record> {
    let mut reader = Reader::open(client, bootstrap, topic, spans, properties).await;
    reader.poll_for(PATIENCE).await;
    let (open, records) = (reader.open, reader.records);
    assert!(open.is_empty(), "{client}: {topic} does not reach {open:?}: {} came", records.len());
    topic::by_partition(records)
}

/// The same, as far as it comes in this time.
pub async fn glance(
    client: Client,
    bootstrap: &str,
    topic: &str,
    spans: &Spans,
    (properties, time): (&[(&str, &str)], Duration),
) -> Vec<Record> {
    let mut reader = Reader::open(client, bootstrap, topic, spans, properties).await;
    reader.poll_for(time).await;
    topic::by_partition(reader.records)
}

struct Reader {
    client: Client,
    consumer: Box<dyn Consumer>,
    /// The last offset of each partition whose end has not come.
    open: BTreeMap<i32, i64>,
    records: Vec<Record>,
}

impl Reader {
    async fn open(
        client: Client,
        bootstrap: &str,
        topic: &str,
        spans: &Spans,
        properties: &[(&str, &str)],
    ) -> Self {
        let cluster = client.connect(bootstrap, &[]);
        let consumer = cluster.consumer(&client.properties(properties)).await;
        let mut consumer = consumer.unwrap_or_else(|error| panic!("{client}: {}", error.trace()));
        let starts: Vec<_> =
            spans.iter().map(|(p, (start, _))| (TopicPartition::new(topic, *p), *start)).collect();
        consumer.assign(&starts).await.expect("existing partitions can be assigned");
        let open = spans.iter().map(|(p, (_, last))| (*p, *last)).collect();
        Self { client, consumer, open, records: Vec::new() }
    }

    /// Until all ends have come, or the time is up.
    async fn poll_for(&mut self, time: Duration) {
        let start = Instant::now();
        while !self.open.is_empty() && start.elapsed() < time {
            match self.consumer.poll(Duration::from_millis(200)).await {
                Ok(Polled::Records(runs)) => {
                    for run in &runs {
                        let partition = run.topic_partition.partition;
                        if self.open.get(&partition) <= run.offsets.last() {
                            self.open.remove(&partition);
                        }
                        unpack(run, &mut self.records);
                    }
                }
                Ok(other) => panic!("a consumer outside groups sees no rebalance: {other:?}"),
                Err(error) => panic!("{} cannot read: {}", self.client, error.trace()),
            }
        }
    }
}

/// The records of a run.
pub fn unpack(run: &Fetched, records: &mut Vec<Record>) {
    for row in 0..run.offsets.len() {
        let bytes =
            |array: &BinaryViewArray| array.is_valid(row).then(|| array.value(row).to_vec());
        let headers = run.headers.get(row).into_iter().flatten();
        records.push(Record {
            partition: run.topic_partition.partition,
            offset: run.offsets[row],
            timestamp: Some(run.timestamps[row]).filter(|t| *t >= 0),
            key: bytes(&run.keys),
            value: bytes(&run.values),
            headers: headers
                .map(|(k, v)| (k.to_string(), v.as_ref().map(|v| v.to_vec())))
                .collect(),
        });
    }
}

/// A run of these records; their offsets are ignored.
pub fn pack(topic: &str, partition: Option<i32>, records: &[Record]) -> Outgoing {
    let headers = |record: &Record| {
        let headers = record.headers.iter();
        headers.map(|(k, v)| (k.as_str().into(), v.clone().map(Into::into))).collect()
    };
    let has_headers = records.iter().any(|record| !record.headers.is_empty());
    let has_times = records.iter().any(|record| record.timestamp.is_some());
    let times = || records.iter().map(|record| record.timestamp.unwrap_or(-1)).collect::<Vec<_>>();
    Outgoing {
        topic: topic.into(),
        partition,
        keys: records.iter().map(|record| record.key.as_deref()).collect(),
        values: records.iter().map(|record| record.value.as_deref()).collect(),
        timestamps: has_times.then(|| ScalarBuffer::from(times())),
        headers: if has_headers { records.iter().map(headers).collect() } else { Vec::new() },
    }
}

/// Sends runs in order through one producer; all must arrive.
pub async fn write(
    client: Client,
    bootstrap: &str,
    runs: &[Outgoing],
    properties: &[(&str, &str)],
) {
    let cluster = client.connect(bootstrap, &[]);
    let producer = cluster.producer(&client.properties(properties)).await;
    let mut producer = producer.unwrap_or_else(|error| panic!("{client}: {}", error.trace()));
    let arrived = Arc::new(Arrived::default());
    for run in runs {
        let sent = producer.send(run, arrived.clone()).await;
        sent.unwrap_or_else(|error| panic!("{client} cannot send: {}", error.trace()));
    }
    let flushed = producer.flush(PATIENCE).await;
    flushed.unwrap_or_else(|error| panic!("{client} cannot flush: {}", error.trace()));
    let all: usize = runs.iter().map(|run| run.values.len()).sum();
    assert_eq!(arrived.0.load(SeqCst), all, "{client}: records that were acknowledged");
}

/// Counts what arrived.
#[derive(Debug, Default)]
struct Arrived(AtomicUsize);

impl Acknowledge for Arrived {
    fn acknowledged(&self, records: usize) {
        self.0.fetch_add(records, SeqCst);
    }

    fn failed(&self, records: usize, error: &Error) {
        // Panicking would take the producer's thread; the count that lacks them tells.
        eprintln!("{records} records were refused: {}", error.trace());
    }
}
