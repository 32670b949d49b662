//! Decides which source offsets may be committed: for each source partition, that of the last run
//! of the acknowledged prefix (`SubmittedRecords` in Java).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millrace_api::data::{SourceOffset, SourcePartition};
use millrace_api::{Error, ErrorKind, Result};
use millrace_kafka::Acknowledge;
use tokio::sync::Notify;

use crate::store::offsets::Committable;

/// The runs of one task that were handed to the producer and whose offsets are not yet committed.
///
/// Invariant: an offset leaves [`SubmittedRecords::committable`] only after every record of its
/// run, and of all runs of its source partition submitted before, was acknowledged.
pub(crate) struct SubmittedRecords {
    partitions: HashMap<String, Queue>,
    outcome: Arc<Outcome>,
}

/// The runs of one source partition in the order of submission.
struct Queue {
    partition: Arc<SourcePartition>,
    runs: VecDeque<Arc<Submitted>>,
}

/// One run. The producer's thread counts it down.
pub(crate) struct Submitted {
    offset: Option<SourceOffset>,
    outstanding: AtomicUsize,
    outcome: Arc<Outcome>,
}

/// What the producer's thread tells the task.
struct Outcome {
    tolerate: bool,
    failure: Mutex<Option<Error>>,
    failures: AtomicUsize,
    settled: Notify,
}

impl Acknowledge for Submitted {
    fn acknowledged(&self, records: usize) {
        let before = self.outstanding.fetch_sub(records, Ordering::AcqRel);
        assert!(before >= records, "a record is acknowledged once");
        if before == records {
            self.outcome.settled.notify_one();
        }
    }

    /// With `errors.tolerance=all` a lost record counts as done, so that offsets move past it: that
    /// is Java's rule for at-least-once sources. Else its run, and all after it, stay uncommitted.
    fn failed(&self, records: usize, error: &Error) {
        self.outcome.failures.fetch_add(records, Ordering::Relaxed);
        if self.outcome.tolerate {
            tracing::error!(records, "records could not be sent and are skipped: {error}");
            return self.acknowledged(records);
        }
        let mut failure = self.outcome.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| copy(error));
        self.outcome.settled.notify_one();
    }
}

/// Errors are not clonable, since their causes are not: the copy's message says them.
fn copy(error: &Error) -> Error {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let message = causes.fold(error.to_string(), |message, cause| format!("{message}: {cause}"));
    Error::new(error.kind(), message)
}

impl SubmittedRecords {
    /// `tolerate`: `errors.tolerance` is `all`.
    pub(crate) fn new(tolerate: bool) -> Self {
        let outcome = Outcome {
            tolerate,
            failure: Mutex::new(None),
            failures: AtomicUsize::new(0),
            settled: Notify::new(),
        };
        Self { partitions: HashMap::new(), outcome: Arc::new(outcome) }
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
        let run = Arc::new(Submitted { offset, outstanding, outcome: Arc::clone(&self.outcome) });
        let key = serde_json::to_string(&**partition).expect("a map of JSON values is JSON");
        let queue = self
            .partitions
            .entry(key)
            .or_insert_with(|| Queue { partition: Arc::clone(partition), runs: VecDeque::new() });
        queue.runs.push_back(Arc::clone(&run));
        run
    }

    /// The offset of the acknowledged prefix of every source partition that has moved; forgets the
    /// prefix.
    pub(crate) fn committable(&mut self) -> Vec<Committable> {
        let mut moved = Vec::new();
        for queue in self.partitions.values_mut() {
            let mut last = None;
            while queue.runs.front().is_some_and(|run| run.is_acknowledged()) {
                last = queue.runs.pop_front();
            }
            if let Some(run) = last {
                moved.push((Arc::clone(&queue.partition), run.offset.clone()));
            }
        }
        self.partitions.retain(|_, queue| !queue.runs.is_empty());
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

    /// Waits until every run is acknowledged, one has failed, or the time is up.
    pub(crate) async fn settle(&self, timeout: Duration) {
        let settled = async {
            while !self.is_settled() {
                self.outcome.settled.notified().await;
            }
        };
        if tokio::time::timeout(timeout, settled).await.is_err() {
            let runs: usize = self.partitions.values().map(|q| q.runs.len()).sum();
            tracing::warn!(
                runs,
                "records are still not acknowledged; their offsets stay as they were"
            );
        }
    }

    /// Whether nothing is in flight any more, or something was lost for good.
    pub(crate) fn is_settled(&self) -> bool {
        self.outcome.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
            || self.partitions.values().flat_map(|q| &q.runs).all(|run| run.is_acknowledged())
    }
}

impl Submitted {
    fn is_acknowledged(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
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
        let mut submitted = SubmittedRecords::new(false);
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
            let mut submitted = SubmittedRecords::new(tolerate);
            let first = submitted.submit(&partition(0), offset(0), 1);
            let second = submitted.submit(&partition(0), offset(1), 1);
            first.failed(1, &Error::fatal("too large"));
            second.acknowledged(1);
            assert_eq!(submitted.take_failure().is_ok(), tolerate);
            assert_eq!(submitted.committable().len(), usize::from(tolerate));
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
            let mut submitted = SubmittedRecords::new(false);
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
