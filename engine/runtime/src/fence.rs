//! Keeps a task that was given up from writing: no offset, no record, no commit of its group.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, Result, TopicPartition};
use millrace_kafka::{Acknowledge, Consumer, Outgoing, Polled, Producer, Subscription};
use tokio::sync::{Mutex as AsyncMutex, RwLock};
use tokio::time::timeout;

use crate::store::offsets::OffsetStore;

/// How long what is under way may take to end once the fence is closed.
const PATIENCE: Duration = Duration::from_secs(10);

type Inner = AsyncMutex<Box<dyn Consumer>>;

/// What one run of a task writes through, until it is closed.
#[derive(Clone, Default)]
pub(crate) struct Fence(Arc<State>);

#[derive(Default)]
struct State {
    is_closed: AtomicBool,
    /// Held by who stores offsets: once it is had by who closes the fence, nobody does.
    storing: RwLock<()>,
    /// The task's member of its group, which leaves it whatever the task does; and with the task,
    /// should that end without a word.
    consumer: Mutex<Weak<Inner>>,
}

impl Fence {
    fn check(&self) -> Result<()> {
        match self.is_closed() {
            false => Ok(()),
            true => Err(Error::fatal("the task was given up, and may write nothing any more")),
        }
    }

    pub(crate) fn producer(&self, inner: Box<dyn Producer>) -> Box<dyn Producer> {
        Box::new(FencedProducer { inner, fence: self.clone() })
    }

    pub(crate) fn consumer(&self, inner: Box<dyn Consumer>) -> Box<dyn Consumer> {
        let inner = Arc::new(AsyncMutex::new(inner));
        let mut consumer = self.0.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        *consumer = Arc::downgrade(&inner);
        Box::new(FencedConsumer { inner, fence: self.clone() })
    }

    pub(crate) fn offsets(&self, inner: Arc<dyn OffsetStore>) -> Arc<dyn OffsetStore> {
        Arc::new(FencedOffsets { inner, fence: self.clone() })
    }

    /// Nothing new is written from here on.
    pub(crate) fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Acquire)
    }

    /// After [`close`](Self::close): returns once nothing is being written any more, and the task's
    /// group does not count on it; or after a while, should the cluster not answer.
    pub(crate) async fn settled(&self) {
        let consumer = self.0.consumer.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let leaving = async {
            let Some(consumer) = consumer else { return Ok(()) };
            consumer.lock().await.close().await
        };
        let left = timeout(PATIENCE, async { tokio::join!(leaving, self.0.storing.write()).0 });
        match left.await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("a task that was given up cannot leave its group: {e}"),
            Err(_) => tracing::warn!("a task that was given up is still writing, or in its group"),
        }
    }
}

struct FencedProducer {
    inner: Box<dyn Producer>,
    fence: Fence,
}

#[async_trait]
impl Producer for FencedProducer {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        self.fence.check()?;
        self.inner.send(records, ack).await
    }

    async fn flush(&mut self, timeout: Duration) -> Result<()> {
        self.inner.flush(timeout).await
    }

    async fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        self.fence.check()?;
        self.inner.init_transactions(timeout).await
    }

    fn begin_transaction(&mut self) -> Result<()> {
        self.fence.check()?;
        self.inner.begin_transaction()
    }

    async fn commit_transaction(&mut self, timeout: Duration) -> Result<()> {
        self.fence.check()?;
        self.inner.commit_transaction(timeout).await
    }

    async fn abort_transaction(&mut self, timeout: Duration) -> Result<()> {
        self.inner.abort_transaction(timeout).await
    }
}

struct FencedConsumer {
    inner: Arc<Inner>,
    fence: Fence,
}

impl FencedConsumer {
    /// The consumer, unless the fence was closed meanwhile.
    async fn inner(&self) -> Result<tokio::sync::MutexGuard<'_, Box<dyn Consumer>>> {
        let inner = self.inner.lock().await;
        self.fence.check().map(|()| inner)
    }

    /// Nobody else has it before the fence is closed.
    fn inner_now(&self) -> Result<tokio::sync::MutexGuard<'_, Box<dyn Consumer>>> {
        self.fence.check()?;
        let closing = |_| Error::fatal("the task was given up, and its consumer is closing");
        self.inner.try_lock().map_err(closing)
    }
}

#[async_trait]
impl Consumer for FencedConsumer {
    async fn subscribe(&mut self, subscription: &Subscription) -> Result<()> {
        self.inner().await?.subscribe(subscription).await
    }

    async fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<()> {
        self.inner().await?.assign(partitions).await
    }

    async fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        self.inner().await?.poll(timeout).await
    }

    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        self.inner().await?.position(partitions).await
    }

    async fn seek(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.inner().await?.seek(offsets).await
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner_now()?.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner_now()?.resume(partitions)
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.inner().await?.commit(offsets).await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner().await?.close().await
    }
}

struct FencedOffsets {
    inner: Arc<dyn OffsetStore>,
    fence: Fence,
}

#[async_trait]
impl OffsetStore for FencedOffsets {
    async fn get(&self, keys: Vec<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>> {
        self.inner.get(keys).await
    }

    async fn of_connector(&self, connector: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.inner.of_connector(connector).await
    }

    async fn set(&self, entries: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
        let _storing = self.fence.0.storing.read().await;
        self.fence.check()?;
        self.inner.set(entries).await
    }
}
