//! Decides which source offsets may be committed: for each source partition, that of the last run
//! of the acknowledged prefix (`SubmittedRecords` in Java).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millrace_api::data::{SourceOffset, SourcePartition};
use millrace_api::{Error, ErrorKind, Result};
use millrace_kafka::Acknowledge;
use tokio::sync::Notify;

use crate::metrics::{ErrorClass, TaskMetrics};
use crate::store::offsets::Committable;

/// The runs of one task that were handed to the producer and whose offsets are not yet committed.
///
/// Invariant: an offset leaves [`SubmittedRecords::committable`] only after every record of its
/// run, and of all runs of its source partition submitted before, was acknowledged.
pub(crate) struct SubmittedRecords {
    /// The runs of each source partition in the order of submission.
    partitions: HashMap<Arc<SourcePartition>, VecDeque<Arc<Submitted>>>,
    outcome: Arc<Outcome>,
}

/// One run. The producer's thread counts it down.
pub(crate) struct Submitted {
    offset: Option<SourceOffset>,
    outstanding: AtomicUsize,
    since: Instant,
    /// Whether some of it will never be in the log.
    lost: AtomicBool,
    outcome: Arc<Outcome>,
}

/// What the producer's thread tells the task.
struct Outcome {
    tolerate: bool,
    failure: Mutex<Option<Error>>,
    settled: Notify,
    metrics: Arc<TaskMetrics>,
}

impl Acknowledge for Submitted {
    fn acknowledged(&self, records: usize) {
        self.outcome.metrics.written(records);
        self.done(records);
    }

    /// With `errors.tolerance=all` a lost record counts as done, so that offsets move past it: that
    /// is Java's rule for at-least-once sources. Else its run, and all after it, stay uncommitted,
    /// and the task fails, which is all that Java counts then.
    fn failed(&self, records: usize, error: &Error) {
        let (metrics, class) = (&self.outcome.metrics, ErrorClass::of(error));
        match self.outcome.tolerate {
            _ if self.is_lost() => self.fail(error),
            true => {
                tracing::error!(records, "records could not be sent and are skipped: {error}");
                metrics.failed(records, class);
                metrics.dropped(records);
                self.done(records);
            }
            false => {
                metrics.classed(records, class);
                self.fail(error);
            }
        }
    }
}

impl Submitted {
    /// So many records need not be waited for any more.
    pub(crate) fn done(&self, records: usize) {
        let before = self.outstanding.fetch_sub(records, Ordering::AcqRel);
        assert!(before >= records, "a record is acknowledged once");
        if before == records {
            self.outcome.metrics.delivered(self.since.elapsed());
            self.outcome.settled.notify_one();
        }
    }
}

impl SubmittedRecords {
    /// `tolerate`: `errors.tolerance` is `all`.
    pub(crate) fn new(tolerate: bool, metrics: &Arc<TaskMetrics>) -> Self {
        let (settled, metrics) = (Notify::new(), Arc::clone(metrics));
        let outcome = Outcome { tolerate, failure: Mutex::new(None), settled, metrics };
        Self { partitions: HashMap::new(), outcome: Arc::new(outcome) }
    }

    pub(crate) fn metrics(&self) -> Arc<TaskMetrics> {
        Arc::clone(&self.outcome.metrics)
    }

    /// Remembers a run of `records` records, before they are sent.
    pub(crate) fn submit(
        &mut self,
        partition: &Arc<SourcePartition>,
        offset: Option<SourceOffset>,
        records: usize,
    ) -> Arc<Submitted> {
        assert!(records > 0, "a run without records has nothing to acknowledge");
        let outstanding = AtomicUsize::new(records);
        let (lost, outcome) = (AtomicBool::new(false), Arc::clone(&self.outcome));
        let since = Instant::now();
        let run = Arc::new(Submitted { offset, outstanding, since, lost, outcome });
        self.partitions.entry(Arc::clone(partition)).or_default().push_back(Arc::clone(&run));
        run
    }

    /// The offset of the acknowledged prefix of every source partition that has moved; forgets the
    /// prefix.
    pub(crate) fn committable(&mut self) -> Vec<Committable> {
        let mut moved = Vec::new();
        for (partition, runs) in &mut self.partitions {
            let mut last = None;
            while runs.front().is_some_and(|run| run.is_acknowledged()) {
                last = runs.pop_front();
            }
            if let Some(run) = last {
                moved.push((Arc::clone(partition), run.offset.clone()));
            }
        }
        self.partitions.retain(|_, runs| !runs.is_empty());
        moved
    }

    /// The first error of the producer since the last call. The task fails with it.
    pub(crate) fn take_failure(&self) -> Result<()> {
        let mut failure = self.outcome.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.take() {
            None => Ok(()),
            Some(error) => {
                let kind = match error.kind() {
                    ErrorKind::Retriable => ErrorKind::Fatal,
                    kind => kind,
                };
                Err(Error::new(kind, "Unrecoverable exception from producer send callback")
                    .with_source(error))
            }
        }
    }

    /// Waits until nothing is in flight whose offset could still be committed, or the time is up.
    pub(crate) async fn settle(&self, timeout: Duration) {
        let settled = async {
            while !self.is_settled() {
                self.settled().await;
            }
        };
        if tokio::time::timeout(timeout, settled).await.is_err() {
            let runs: usize = self.partitions.values().map(|q| q.len()).sum();
            tracing::warn!(
                runs,
                "records are still not acknowledged; their offsets stay as they were"
            );
        }
    }

    /// Looks, once something has changed, whether the task is to fail: as
    /// [`take_failure`](Self::take_failure), where there may be long to wait for something else.
    pub(crate) async fn failed(&self) -> Result<()> {
        self.settled().await;
        self.take_failure()
    }

    /// Returns when something has changed about what is in flight.
    async fn settled(&self) {
        self.outcome.settled.notified().await;
    }

    /// Whether waiting any longer could not make more offsets committable.
    pub(crate) fn is_settled(&self) -> bool {
        self.partitions.values().all(|runs| {
            // Nothing behind a lost run is ever committed.
            runs.iter().take_while(|run| !run.is_lost()).all(|run| run.is_acknowledged())
        })
    }
}

impl Submitted {
    /// Not all of the run will be handed to the producer, or arrive. What fails from now on stays
    /// outstanding, so the offset is never committed.
    pub(crate) fn abandon(&self) {
        self.lost.store(true, Ordering::Release);
        self.outcome.settled.notify_one();
    }

    /// The task is to fail with this error, and the run is not committed.
    pub(crate) fn fail(&self, error: &Error) {
        let mut failure = self.outcome.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.copied());
        drop(failure);
        self.abandon();
    }

    fn is_acknowledged(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// A run whose send may be given up: to be dropped before the send is, which reports its rest as
/// failed. That rest is read again, so nobody should be told that it is skipped.
pub(crate) struct AbandonedUnlessSent<'a>(pub(crate) Option<&'a Arc<Submitted>>);

impl Drop for AbandonedUnlessSent<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.0 {
            run.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(n: usize) -> Arc<SourcePartition> {
        let mut map = SourcePartition::new();
        map.insert("p".into(), n.into());
        Arc::new(map)
    }

    fn offset(n: usize) -> Option<SourceOffset> {
        let mut map = SourceOffset::new();
        map.insert("o".into(), n.into());
        Some(map)
    }

    fn number(map: &SourceOffset, key: &str) -> usize {
        usize::try_from(map[key].as_u64().unwrap()).unwrap()
    }

    #[test]
    fn an_offset_waits_for_all_before_it() {
        let mut submitted = SubmittedRecords::new(false, &TaskMetrics::apart());
        let runs: Vec<_> = (0..3).map(|i| submitted.submit(&partition(0), offset(i), 2)).collect();
        runs[1].acknowledged(2);
        assert!(submitted.committable().is_empty());
        runs[0].acknowledged(1);
        assert!(submitted.committable().is_empty());
        runs[0].acknowledged(1);
        assert_eq!(submitted.committable()[0].1, offset(1));
        assert!(submitted.committable().is_empty());
        runs[2].acknowledged(2);
        assert_eq!(submitted.committable()[0].1, offset(2));
    }

    #[test]
    fn a_lost_record_holds_its_partition_unless_tolerated() {
        for tolerate in [false, true] {
            let mut submitted = SubmittedRecords::new(tolerate, &TaskMetrics::apart());
            let first = submitted.submit(&partition(0), offset(0), 1);
            let second = submitted.submit(&partition(0), offset(1), 1);
            first.failed(1, &Error::fatal("too large"));
            second.acknowledged(1);
            assert_eq!(submitted.take_failure().is_ok(), tolerate);
            assert_eq!(submitted.committable().len(), usize::from(tolerate));
        }
    }

    /// A send that was given up is no tolerated failure: its records were never tried.
    #[test]
    fn an_abandoned_run_is_never_committed() {
        for tolerate in [false, true] {
            let mut submitted = SubmittedRecords::new(tolerate, &TaskMetrics::apart());
            let first = submitted.submit(&partition(0), offset(0), 1);
            let second = submitted.submit(&partition(0), offset(1), 5);
            second.acknowledged(2);
            second.abandon();
            second.failed(3, &Error::fatal("the send was given up"));
            assert!(!submitted.is_settled(), "the first run may still arrive");
            first.acknowledged(1);
            assert!(submitted.is_settled());
            assert_eq!(submitted.committable(), [(partition(0), offset(0))]);
            assert!(submitted.committable().is_empty());
        }
    }

    proptest! {
        /// Acknowledges in any order: what is committable is always the longest acknowledged
        /// prefix of each partition, as a model that looks at everything says.
        #[test]
        fn committable_is_the_acknowledged_prefix(
            runs in prop::collection::vec((0..3usize, 1..4usize), 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let mut submitted = SubmittedRecords::new(false, &TaskMetrics::apart());
            let acks: Vec<_> = runs.iter().enumerate()
                .map(|(i, (p, n))| submitted.submit(&partition(*p), offset(i), *n)).collect();
            let mut left: Vec<usize> = runs.iter().map(|(_, n)| *n).collect();
            let mut committed = [None; 3];
            for pick in order {
                let run = pick.index(runs.len());
                if left[run] == 0 { continue; }
                left[run] -= 1;
                acks[run].acknowledged(1);
                for (p, o) in submitted.committable() {
                    committed[number(&p, "p")] = Some(number(&o.unwrap(), "o"));
                }
                for (p, committed) in committed.iter().enumerate() {
                    let of_partition = (0..runs.len()).filter(|i| runs[*i].0 == p);
                    let prefix = of_partition.take_while(|i| left[*i] == 0).last();
                    prop_assert_eq!(*committed, prefix);
                }
            }
        }
    }
}
