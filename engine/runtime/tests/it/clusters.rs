//! The log in memory with producers of a test's own: those that a real cluster may make of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, Result, TopicPartition};
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{
    Acknowledge, Cluster, ClusterDescription, Consumer, Isolation, NewTopic, OffsetSpec, Outgoing,
    Producer, Properties,
};
use tokio::sync::watch;

type Wrap = Box<dyn Fn(Box<dyn Producer>) -> Box<dyn Producer> + Send + Sync>;
type Offsets = BTreeMap<TopicPartition, i64>;

/// A log in memory whose producers are made of its own.
pub(crate) struct WithProducers {
    inner: EmbeddedCluster,
    wrap: Wrap,
}

/// A log in memory with these producers.
pub(crate) fn with_producers(
    wrap: impl Fn(Box<dyn Producer>) -> Box<dyn Producer> + Send + Sync + 'static,
) -> Arc<dyn Cluster> {
    Arc::new(WithProducers { inner: EmbeddedCluster::in_memory(), wrap: Box::new(wrap) })
}

#[async_trait]
impl Cluster for WithProducers {
    async fn producer(&self, properties: &Properties) -> Result<Box<dyn Producer>> {
        Ok((self.wrap)(self.inner.producer(properties).await?))
    }

    async fn group_offsets(&self, group: &str) -> Result<Offsets> {
        self.inner.group_offsets(group).await
    }

    async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        self.inner.alter_group_offsets(group, offsets).await
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        self.inner.delete_group(group).await
    }

    async fn consumer(&self, properties: &Properties) -> Result<Box<dyn Consumer>> {
        self.inner.consumer(properties).await
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        self.inner.describe_cluster().await
    }

    async fn describe_topics(&self, topics: Option<&[&str]>) -> Result<BTreeMap<String, i32>> {
        self.inner.describe_topics(topics).await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        self.inner.create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.inner.delete_topic(topic).await
    }

    async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Offsets> {
        self.inner.list_offsets(partitions, spec, isolation).await
    }

    async fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Result<Offsets> {
        self.inner.committed(group, partitions).await
    }
}

/// Rows that found no room; given up they are lost, as the librdkafka producer reports them.
pub(crate) struct Rest(pub(crate) Arc<dyn Acknowledge>, pub(crate) usize);

impl Drop for Rest {
    fn drop(&mut self) {
        if self.1 == 0 {
            return;
        }
        self.0.failed(self.1, &Error::fatal("the send was given up"));
    }
}

/// What becomes of what is sent to the topic `letters`; all else goes its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Queue {
    /// It is written and acknowledged.
    Open,
    /// It is written, and not acknowledged.
    Silent,
    /// It finds no room, and waits for some.
    Full,
    /// It is not written, and reported as lost.
    Broken,
}

type Held = Vec<(Arc<dyn Acknowledge>, usize)>;

/// The state of the dead letter queue, as a test likes it.
#[derive(Clone)]
pub(crate) struct Gate {
    queue: watch::Sender<Queue>,
    held: Arc<Mutex<Held>>,
    waiting: Arc<AtomicUsize>,
}

impl Gate {
    /// A cluster whose queue is in this state.
    pub(crate) fn cluster(queue: Queue) -> (Self, Arc<dyn Cluster>) {
        let (queue, held, waiting) = (watch::Sender::new(queue), Arc::default(), Arc::default());
        let gate = Self { queue, held, waiting };
        let of_producers = gate.clone();
        let gated = move |inner| -> Box<dyn Producer> {
            let gate = of_producers.clone();
            Box::new(GatedProducer { inner, gate, has_letters: false })
        };
        (gate, with_producers(gated))
    }

    /// Changes the state; says what was kept back until now.
    pub(crate) fn set(&self, queue: Queue) {
        self.queue.send_replace(queue);
        self.let_go();
    }

    fn let_go(&self) {
        let is_broken = *self.queue.borrow() == Queue::Broken;
        for (ack, records) in std::mem::take(&mut *self.lock()) {
            match is_broken {
                true => ack.failed(records, &Error::fatal("the queue is gone")),
                false => ack.acknowledged(records),
            }
        }
    }

    /// How often somebody has waited for room.
    pub(crate) fn waits(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// How many letters wait for their acknowledgement.
    pub(crate) fn held(&self) -> usize {
        self.lock().iter().map(|(_, records)| records).sum()
    }

    /// Waits until the queue is in another state than this one.
    async fn other_than(&self, queue: Queue) {
        let mut queues = self.queue.subscribe();
        queues.wait_for(|now| *now != queue).await.expect("the gate is ours");
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the gate that a letter is in the log, and its sender when the gate says so.
struct Behind(Gate, Arc<dyn Acknowledge>);

impl Acknowledge for Behind {
    fn acknowledged(&self, records: usize) {
        self.0.lock().push((Arc::clone(&self.1), records));
    }

    fn failed(&self, records: usize, error: &Error) {
        self.1.failed(records, error);
    }
}

struct GatedProducer {
    inner: Box<dyn Producer>,
    gate: Gate,
    /// Whether it has sent letters.
    has_letters: bool,
}

#[async_trait]
impl Producer for GatedProducer {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        let now = *self.gate.queue.borrow();
        if &*records.topic != "letters" || now == Queue::Open {
            return self.inner.send(records, ack).await;
        }
        self.has_letters = true;
        let mut rest = Rest(ack, records.values.iter().count());
        if now == Queue::Full {
            self.gate.waiting.fetch_add(1, Ordering::SeqCst);
            self.gate.other_than(Queue::Full).await;
        }
        if *self.gate.queue.borrow() == Queue::Broken {
            return Ok(());
        }
        let behind = Arc::new(Behind(self.gate.clone(), Arc::clone(&rest.0)));
        rest.1 = 0;
        self.inner.send(records, behind).await?;
        if *self.gate.queue.borrow() != Queue::Silent {
            self.gate.let_go();
        }
        Ok(())
    }

    async fn flush(&mut self, timeout: Duration) -> Result<()> {
        let (gate, has_letters) = (self.gate.clone(), self.has_letters);
        let is_through = async move {
            while has_letters && gate.held() > 0 {
                gate.other_than(Queue::Silent).await;
            }
        };
        let late = |_| Error::retriable("letters are not acknowledged in time");
        tokio::time::timeout(timeout, is_through).await.map_err(late)
    }
}
