//! Reads a dead letter queue from its beginning to its end, as that is when it is opened, and
//! writes letters back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray, UInt32Array};
use arrow::compute::take;
use millrace_api::config::properties;
use millrace_api::data::Fetched;
use millrace_api::{Error, Offsets, Result, TopicPartition};
use millrace_kafka::{
    Acknowledge, Cluster, Consumer, Isolation, OffsetSpec, Outgoing, Polled, Producer, Properties,
};

use super::letter::Letter;

/// How long to wait for records, or for their acknowledgement.
const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster that the arguments name.
pub(super) fn connect(
    worker: Option<PathBuf>,
    bootstrap_server: Option<String>,
    own: Vec<(String, String)>,
) -> Result<Arc<dyn Cluster>> {
    let mut settings = Properties::new();
    if let Some(file) = worker {
        let read = properties::read(&file).map_err(|e| e.context("file", file.display()))?;
        // Those of the worker's other clients have prefixes.
        settings.extend(read.into_iter().filter(|(key, _)| !key.contains("converter")));
    }
    settings.extend(bootstrap_server.map(|servers| ("bootstrap.servers".to_owned(), servers)));
    settings.extend(own);
    if !settings.contains_key("bootstrap.servers") {
        let message = "name the cluster with --worker or --bootstrap-server";
        return Err(Error::config(message));
    }
    millrace_kafka::connect(&settings)
}

/// A queue that is being read.
pub(super) struct Queue<'a> {
    cluster: &'a dyn Cluster,
    consumer: Box<dyn Consumer>,
    /// Where to stop: the partitions that are not read to their ends.
    ends: Offsets,
    next: Offsets,
    producer: Option<Box<dyn Producer>>,
    receipt: Arc<Receipt>,
}

impl<'a> Queue<'a> {
    pub(super) async fn open(cluster: &'a dyn Cluster, topic: &str) -> Result<Self> {
        let there = cluster.describe_topics(Some(&[topic])).await?;
        let count = there.get(topic).ok_or_else(|| {
            Error::new(millrace_api::ErrorKind::NotFound, "the topic is not there")
                .context("topic", topic)
        })?;
        let partitions: Vec<_> = (0..*count).map(|n| TopicPartition::new(topic, n)).collect();
        let isolation = Isolation::Committed;
        let next = cluster.list_offsets(&partitions, OffsetSpec::Earliest, isolation).await?;
        let mut ends = cluster.list_offsets(&partitions, OffsetSpec::Latest, isolation).await?;
        ends.retain(|partition, end| next.get(partition).is_some_and(|first| first < end));
        let settings = Properties::from([("isolation.level".into(), "read_committed".into())]);
        let mut consumer = cluster.consumer(&settings).await?;
        let begin = ends.keys().filter_map(|p| Some((p.clone(), *next.get(p)?)));
        consumer.assign(&begin.collect::<Vec<_>>()).await?;
        let receipt = Arc::new(Receipt::default());
        Ok(Self { cluster, consumer, ends, next, producer: None, receipt })
    }

    /// The next letters; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Fetched>>> {
        let begun = tokio::time::Instant::now();
        while !self.ends.is_empty() {
            let mut runs = match self.consumer.poll(Duration::from_secs(1)).await? {
                Polled::Records(runs) => runs,
                _ => Vec::new(),
            };
            for run in &runs {
                let Some(last) = run.offsets.last() else { continue };
                self.next.insert(run.topic_partition.clone(), last + 1);
            }
            if runs.is_empty() {
                // Behind the last record there may be offsets without any.
                let partitions: Vec<_> = self.ends.keys().cloned().collect();
                self.next.extend(self.consumer.position(&partitions).await?);
            }
            runs.retain_mut(|run| {
                let end = self.ends.get(&run.topic_partition);
                end.is_some_and(|end| cut(run, *end))
            });
            let next = &self.next;
            self.ends.retain(|partition, end| next.get(partition).is_none_or(|at| at < end));
            if !runs.is_empty() {
                return Ok(Some(runs));
            }
            if begun.elapsed() >= PATIENCE {
                return Err(Error::retriable("the queue's records do not come")
                    .context("partitions", self.ends.len()));
            }
        }
        Ok(None)
    }

    /// Writes records as they were before they became letters.
    pub(super) async fn write_back(
        &mut self,
        topic: &str,
        run: &Fetched,
        letters: &[Letter<'_>],
    ) -> Result<()> {
        let rows: UInt32Array = letters.iter().map(|l| u32::try_from(l.row()).ok()).collect();
        let pick = |cells: &BinaryViewArray| {
            let picked = take(cells, &rows, None).expect("the rows are the run's own");
            BinaryViewArray::from(picked.to_data())
        };
        let headers: Vec<_> = letters.iter().map(Letter::own_headers).collect();
        let records = Outgoing {
            topic: topic.into(),
            partition: None,
            keys: pick(&run.keys),
            values: pick(&run.values),
            timestamps: Some(letters.iter().map(Letter::timestamp).collect()),
            headers: if headers.iter().all(Vec::is_empty) { Vec::new() } else { headers },
        };
        if self.producer.is_none() {
            let settings = [("acks", "all"), ("enable.idempotence", "true")];
            let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
            self.producer = Some(self.cluster.producer(&BTreeMap::from(settings)).await?);
        }
        let producer = self.producer.as_mut().expect("it is there now");
        producer.send(&records, Arc::clone(&self.receipt) as Arc<dyn Acknowledge>).await
    }

    /// Waits until everything that was written back is in its topic.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if let Some(producer) = &mut self.producer {
            producer.flush(PATIENCE).await?;
        }
        let failure = self.receipt.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failure {
            None => Ok(()),
            Some(error) => Err(Error::fatal(
                "some records could not be written back: they are \
                                             still in the queue",
            )
            .with_source(error)),
        }
    }
}

/// Cuts off what came since the queue was opened, such as letters of records that were written back
/// and failed again. False: nothing is left.
fn cut(run: &mut Fetched, end: i64) -> bool {
    let count = run.offsets.partition_point(|offset| *offset < end);
    if count < run.offsets.len() {
        run.offsets = run.offsets.slice(0, count);
        run.timestamps = run.timestamps.slice(0, count);
        run.keys = run.keys.slice(0, count);
        run.values = run.values.slice(0, count);
        run.headers.truncate(count);
    }
    count > 0
}

/// The first record that could not be written.
#[derive(Default)]
struct Receipt(Mutex<Option<Error>>);

impl Acknowledge for Receipt {
    fn acknowledged(&self, _records: usize) {}

    fn failed(&self, _records: usize, error: &Error) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| error.copied());
    }
}

#[cfg(test)]
mod tests {
    use millrace_kafka::NewTopic;

    use super::*;

    struct Unheard;

    impl Acknowledge for Unheard {
        fn acknowledged(&self, _records: usize) {}

        fn failed(&self, _records: usize, error: &Error) {
            panic!("{error}");
        }
    }

    /// Writes letters with these values into both partitions.
    async fn write(cluster: &dyn Cluster, values: &[&str]) {
        let mut producer = cluster.producer(&Properties::new()).await.unwrap();
        for partition in 0..2 {
            let records = Outgoing {
                topic: "letters".into(),
                partition: Some(partition),
                keys: values.iter().map(|_| None::<&[u8]>).collect(),
                values: values.iter().map(|value| Some(value.as_bytes())).collect(),
                timestamps: None,
                headers: Vec::new(),
            };
            producer.send(&records, Arc::new(Unheard)).await.unwrap();
        }
        producer.flush(PATIENCE).await.unwrap();
    }

    #[tokio::test]
    async fn letters_that_come_while_a_queue_is_read_are_left_for_the_next_time() {
        let settings = [("bootstrap.servers".to_owned(), "embedded:".to_owned())];
        let cluster = connect(None, None, settings.to_vec()).unwrap();
        let topic = NewTopic {
            name: "letters".into(),
            partitions: Some(2),
            replication_factor: None,
            configs: BTreeMap::new(),
        };
        cluster.create_topic(&topic).await.unwrap();
        write(&*cluster, &["a", "b"]).await;
        let mut queue = Queue::open(&*cluster, "letters").await.unwrap();
        write(&*cluster, &["late"]).await;
        let mut found = Vec::new();
        while let Some(runs) = queue.next().await.unwrap() {
            write(&*cluster, &["later"]).await;
            for run in runs {
                assert_eq!(run.offsets.len(), run.values.len());
                found.extend(run.values.iter().map(|value| value.unwrap().to_vec()));
            }
        }
        found.sort();
        assert_eq!(found, [b"a", b"a", b"b", b"b"]);
    }
}
