//! Which topics a connector uses (KIP-558).
//!
//! It costs nothing a record: what moves records asks once a run, and looks no further unless the
//! topic changes or the list was reset.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_kafka::Acknowledge;

/// The topics one connector has used since it was made, or they were reset.
#[derive(Debug, Default)]
pub(crate) struct ActiveTopics {
    names: Mutex<BTreeSet<Arc<str>>>,
    /// Whoever told of a topic before the last one has to tell again.
    resets: AtomicU64,
}

impl ActiveTopics {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().iter().map(ToString::to_string).collect()
    }

    /// Forgets them. Those that are used after it come again.
    pub(crate) fn reset(&self) {
        let mut names = self.lock();
        self.resets.fetch_add(1, Ordering::AcqRel);
        names.clear();
    }
}

/// One topic, as one task uses it.
#[derive(Debug)]
pub(crate) struct TopicUse {
    topic: Arc<str>,
    all: Arc<ActiveTopics>,
    /// How many resets there had been, and one, when the topic was told; 0: never told.
    told: AtomicU64,
}

impl TopicUse {
    /// The topic is being used.
    pub(crate) fn tell(&self) {
        let now = self.all.resets.load(Ordering::Acquire) + 1;
        if self.told.load(Ordering::Relaxed) != now {
            self.all.lock().insert(Arc::clone(&self.topic));
            self.told.store(now, Ordering::Relaxed);
        }
    }
}

/// The topics one task uses; nothing when they are not tracked (`topic.tracking.enable`).
#[derive(Debug)]
pub(crate) struct TopicUses {
    all: Option<Arc<ActiveTopics>>,
    last: Option<Arc<TopicUse>>,
    uses: BTreeMap<Arc<str>, Arc<TopicUse>>,
}

impl TopicUses {
    pub(crate) fn new(all: Option<Arc<ActiveTopics>>) -> Self {
        Self { all, last: None, uses: BTreeMap::new() }
    }

    fn of(&mut self, topic: &Arc<str>) -> Option<&Arc<TopicUse>> {
        let all = self.all.as_ref()?;
        if self.last.as_ref().is_none_or(|last| last.topic != *topic) {
            let new = || TopicUse {
                topic: Arc::clone(topic),
                all: Arc::clone(all),
                told: AtomicU64::new(0),
            };
            let found = self.uses.entry(Arc::clone(topic)).or_insert_with(|| Arc::new(new()));
            self.last = Some(Arc::clone(found));
        }
        self.last.as_ref()
    }

    /// A run of this topic was read.
    pub(crate) fn tell(&mut self, topic: &Arc<str>) {
        if let Some(topic) = self.of(topic) {
            topic.tell();
        }
    }

    /// Tells of the topic once something of a run is acknowledged.
    pub(crate) fn when_acknowledged(
        &mut self,
        topic: &Arc<str>,
        run: Arc<dyn Acknowledge>,
    ) -> Arc<dyn Acknowledge> {
        match self.of(topic) {
            Some(topic) => Arc::new(Told { topic: Arc::clone(topic), run }),
            None => run,
        }
    }
}

/// A run that tells of its topic.
struct Told {
    topic: Arc<TopicUse>,
    run: Arc<dyn Acknowledge>,
}

impl Acknowledge for Told {
    fn acknowledged(&self, records: usize) {
        self.topic.tell();
        self.run.acknowledged(records);
    }

    fn failed(&self, records: usize, error: &millrace_api::Error) {
        self.run.failed(records, error);
    }

    fn failed_row(&self, row: usize, error: &millrace_api::Error) {
        self.run.failed_row(row, error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_told_once_and_again_after_a_reset() {
        let all = Arc::new(ActiveTopics::default());
        let (a, b) = (Arc::from("a"), Arc::from("b"));
        let mut uses = TopicUses::new(Some(Arc::clone(&all)));
        for topic in [&b, &a, &b, &a] {
            uses.tell(topic);
        }
        assert_eq!(all.names(), ["a", "b"]);
        all.reset();
        assert!(all.names().is_empty());
        uses.tell(&a);
        assert_eq!(all.names(), ["a"], "b was not used since");
        assert!(TopicUses::new(None).of(&a).is_none());
    }
}
