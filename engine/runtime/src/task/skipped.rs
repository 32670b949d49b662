//! Leaves out records that somebody has asked to be skipped, since a task cannot get past them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::{Error, Offsets, Result, TopicPartition};
use millrace_kafka::{Consumer, Fetched, Polled, Subscription};
use tokio::task::JoinHandle;

use crate::task::errors::ErrorPolicy;

/// Records of a connector that are to be skipped at once. More would be a matter for
/// `errors.tolerance`.
const MOST: usize = 100;

type Place = (TopicPartition, i64);

/// The records that the tasks of a connector skip.
#[derive(Default)]
pub(crate) struct Skips(Mutex<BTreeMap<Place, Skip>>);

#[derive(Clone)]
struct Skip {
    /// What the task has said of it.
    why: String,
    /// Its letter is in the queue, if there is one: a task that comes to it again, since it fails
    /// behind it, sends no other.
    is_buried: bool,
}

impl Skips {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Skip>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, place: Place, why: &str) -> Result<()> {
        let mut places = self.lock();
        if places.len() >= MOST {
            return Err(Error::config(format!("{MOST} records of this connector are skipped"))
                .context("remedy", "have such records skipped by errors.tolerance=all"));
        }
        places.entry(place).or_insert_with(|| Skip { why: why.to_owned(), is_buried: false });
        Ok(())
    }

    fn buried(&self, place: &Place) {
        if let Some(skip) = self.lock().get_mut(place) {
            skip.is_buried = true;
        }
    }

    /// Another configuration may deal with what the last one could not.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// What lies before the offset from which a partition is read on does not come again.
    fn forget_before(&self, partition: &TopicPartition, offset: i64) {
        self.lock().retain(|(p, at), _| p != partition || *at >= offset);
    }

    /// The first row of a run that is to be skipped.
    fn first_in(&self, run: &Fetched) -> Option<(usize, Skip)> {
        let places = self.lock();
        let first = (run.topic_partition.clone(), *run.offsets.first()?);
        let last = (run.topic_partition.clone(), *run.offsets.last()?);
        let mut within = places.range(first..=last);
        within.find_map(|((_, offset), skip)| {
            Some((run.offsets.binary_search(offset).ok()?, skip.clone()))
        })
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// A sink task's consumer that brings no record that is to be skipped. It goes to the dead letter
/// queue, if there is one, before an offset behind it is committed.
pub(crate) struct SkippingConsumer {
    inner: Box<dyn Consumer>,
    skips: Arc<Skips>,
    left_out: LeftOut,
    /// Fetched, and kept until the rest of it is returned: a poll may be dropped.
    fetched: Vec<Fetched>,
    /// Where each partition was read first, or is committed.
    committed: BTreeMap<TopicPartition, i64>,
}

/// The records that were left out, on their way to the dead letter queue.
struct LeftOut {
    skips: Arc<Skips>,
    errors: Arc<ErrorPolicy>,
    /// A letter that is being sent, whoever waits for it: one that is dropped half-way is lost.
    sending: Option<(Place, JoinHandle<Result<()>>)>,
    /// Those whose letters are sent, and that are not yet committed.
    sent: BTreeSet<Place>,
}

impl LeftOut {
    /// Returns once a record is in the queue, if there is one. Repeated, it sends no other letter.
    async fn add(&mut self, run: &Fetched, row: usize, skip: Skip) -> Result<()> {
        let place = (run.topic_partition.clone(), run.offsets[row]);
        let Skip { why, is_buried } = skip;
        if is_buried {
            self.sent.insert(place);
            return Ok(());
        }
        if !self.sent.contains(&place) {
            let sending = self.sending.take().filter(|(of, _)| *of == place);
            let (_, sending) = self.sending.insert(sending.unwrap_or_else(|| {
                let (errors, record) = (Arc::clone(&self.errors), slice(run, row, row + 1));
                let send = async move { errors.skip(&record, 0, why).await };
                (place.clone(), tokio::spawn(send))
            }));
            let sent = sending.await;
            self.sending = None;
            sent.map_err(|e| Error::fatal("a dead letter was not sent").with_source(e))??;
            tracing::warn!("skipping offset {} of {}, as asked", place.1, place.0);
            self.sent.insert(place.clone());
        }
        self.errors.settle(None).await?;
        self.skips.buried(&place);
        Ok(())
    }
}

impl SkippingConsumer {
    pub(crate) fn around(
        inner: Box<dyn Consumer>,
        skips: Arc<Skips>,
        errors: Arc<ErrorPolicy>,
    ) -> Box<dyn Consumer> {
        let (sending, sent) = (None, BTreeSet::new());
        let left_out = LeftOut { skips: Arc::clone(&skips), errors, sending, sent };
        let (fetched, committed) = (Vec::new(), BTreeMap::new());
        Box::new(Self { inner, skips, left_out, fetched, committed })
    }

    /// What of the runs remains, once each of the others is where it belongs.
    async fn remaining(&mut self) -> Result<Vec<Fetched>> {
        let mut remaining = Vec::with_capacity(self.fetched.len());
        for run in &self.fetched {
            let mut rest = run.clone();
            while let Some((row, skip)) = self.skips.first_in(&rest) {
                self.left_out.add(&rest, row, skip).await?;
                let after = slice(&rest, row + 1, rest.offsets.len());
                remaining.push(slice(&rest, 0, row));
                rest = after;
            }
            remaining.push(rest);
        }
        remaining.retain(|run| !run.offsets.is_empty());
        Ok(remaining)
    }

    /// The offset to commit instead: behind what is skipped.
    fn past(&self, partition: &TopicPartition, mut offset: i64) -> i64 {
        while self.left_out.sent.contains(&(partition.clone(), offset)) {
            offset += 1;
        }
        offset
    }

    /// Commits past records before which everything is committed: nothing that comes may bring the
    /// task to do it.
    async fn commit_past(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let moved = partitions.iter().filter_map(|partition| {
            let committed = *self.committed.get(partition)?;
            let behind = self.past(partition, committed);
            (behind != committed).then(|| (partition.clone(), behind))
        });
        let moved: Offsets = moved.collect();
        if moved.is_empty() {
            return Ok(());
        }
        self.commit(&moved).await
    }

    /// Forgets what is committed of a partition: another record may come at the same offset, and
    /// whoever reads all of it again wants all of it. Not before what was fetched is returned.
    fn forget_committed(&mut self, partition: &TopicPartition) {
        if let Some(committed) = self.committed.get(partition)
            && self.fetched.is_empty()
        {
            self.skips.forget_before(partition, *committed);
            self.left_out.sent.retain(|(p, at)| p != partition || at >= committed);
        }
    }
}

/// Some rows of a run.
fn slice(run: &Fetched, from: usize, to: usize) -> Fetched {
    let length = to - from;
    Fetched {
        topic_partition: run.topic_partition.clone(),
        offsets: run.offsets.slice(from, length),
        timestamps: run.timestamps.slice(from, length),
        keys: run.keys.slice(from, length),
        values: run.values.slice(from, length),
        headers: run.headers.get(from..to).map(<[_]>::to_vec).unwrap_or_default(),
    }
}

#[async_trait]
impl Consumer for SkippingConsumer {
    async fn subscribe(&mut self, subscription: &Subscription) -> Result<()> {
        self.inner.subscribe(subscription).await
    }

    async fn assign(&mut self, partitions: &[(TopicPartition, i64)]) -> Result<()> {
        self.inner.assign(partitions).await
    }

    async fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        if self.fetched.is_empty() {
            match self.inner.poll(timeout).await? {
                Polled::Records(runs) if self.skips.is_empty() => {
                    return Ok(Polled::Records(runs));
                }
                Polled::Records(runs) => self.fetched = runs,
                other => return Ok(other),
            }
        }
        let partitions: Vec<_> = self.fetched.iter().map(|r| r.topic_partition.clone()).collect();
        let remaining = self.remaining().await?;
        if let Err(e) = self.commit_past(&partitions).await {
            tracing::warn!("cannot commit past a record that is skipped, the next will: {e}");
        }
        self.fetched.clear();
        partitions.iter().for_each(|partition| self.forget_committed(partition));
        Ok(Polled::Records(remaining))
    }

    async fn position(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let positions = self.inner.position(partitions).await?;
        self.committed.extend(positions.iter().map(|(p, offset)| (p.clone(), *offset)));
        Ok(positions)
    }

    async fn seek(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        self.fetched.retain(|run| !offsets.contains_key(&run.topic_partition));
        self.inner.seek(offsets).await?;
        self.committed.extend(offsets.iter().map(|(p, offset)| (p.clone(), *offset)));
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner.resume(partitions)
    }

    async fn commit(&mut self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        let behind = |(p, offset): (&TopicPartition, &i64)| (p.clone(), self.past(p, *offset));
        let offsets: Offsets = offsets.iter().map(behind).collect();
        self.inner.commit(&offsets).await?;
        let partitions: Vec<_> = offsets.keys().cloned().collect();
        self.committed.extend(offsets);
        partitions.iter().for_each(|partition| self.forget_committed(partition));
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests;
