//! Decides whether a task that fails at a record again writes another letter of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::Array;
use millrace_api::Error;
use millrace_kafka::Acknowledge;
use tokio::time::Instant;

use super::{Origin, source};

/// For how long a letter is taken to be still in its queue, which deletes what is old.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The record of the last letter that each task of a connector has written as it failed: restarts
/// that fail there again have nothing to add.
#[derive(Default)]
pub(crate) struct LastLetters(Mutex<BTreeMap<usize, (u64, Instant)>>);

impl LastLetters {
    /// Another configuration may write to another queue.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn has(&self, task: usize, record: u64) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&task).copied();
        last.is_some_and(|(known, at)| known == record && at.elapsed() < KEPT)
    }
}

/// What a record is told by when it comes again; none where nobody knows what it was.
pub(super) fn identity(origin: Origin<'_>, row: usize) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match origin {
        Origin::Kafka(run) => {
            (&*run.topic_partition.topic, run.topic_partition.partition).hash(&mut hasher);
            let value = run.values.is_valid(row).then(|| run.values.value(row));
            (run.offsets[row], run.timestamps[row], value).hash(&mut hasher);
        }
        Origin::Source(run) => source::identity_text(run, row).hash(&mut hasher),
        Origin::Unknown => return None,
    }
    Some(hasher.finish())
}

/// Remembers a letter once it has arrived.
pub(super) struct Remember {
    pub(super) letters: Arc<LastLetters>,
    pub(super) task: usize,
    pub(super) record: u64,
    pub(super) then: Arc<dyn Acknowledge>,
}

impl Acknowledge for Remember {
    fn acknowledged(&self, records: usize) {
        let last = (self.record, Instant::now());
        let mut letters = self.letters.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters.insert(self.task, last);
        drop(letters);
        self.then.acknowledged(records);
    }

    fn failed(&self, records: usize, error: &Error) {
        self.then.failed(records, error);
    }
}
