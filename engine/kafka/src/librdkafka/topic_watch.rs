//! Decides when a consumer looks for topics again: those of a pattern as often as metadata age,
//! missing ones every few seconds, where librdkafka would wait for minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, Result};
use regex::Regex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::admin;
use super::native::{Client, off_thread};
use crate::Subscription;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long one look may take before it is tried anew.
const LOOK: Duration = Duration::from_secs(10);
/// How often a running look is asked for its result.
const GLANCE: Duration = Duration::from_millis(50);

type Topics = Result<BTreeMap<String, i32>>;

/// What a consumer wants to read.
#[derive(Debug)]
pub(super) struct TopicWatch {
    wanted: Wanted,
    max_age: Duration,
    pause: Duration,
    due: Option<Instant>,
    look: Option<oneshot::Receiver<Topics>>,
}

#[derive(Debug)]
enum Wanted {
    Topics(BTreeSet<String>),
    Pattern { pattern: Regex, exclude_internal: bool, found: BTreeSet<String> },
}

impl TopicWatch {
    /// Watches nothing.
    pub(super) fn idle(max_age: Duration) -> Self {
        Self::new(Wanted::Topics(BTreeSet::new()), max_age)
    }

    fn new(wanted: Wanted, max_age: Duration) -> Self {
        let max_age = max_age.max(FIRST_PAUSE);
        Self { wanted, max_age, pause: FIRST_PAUSE, due: None, look: None }
    }

    /// Watches the topics of partitions that were assigned by hand.
    pub(super) fn of_topics(topics: BTreeSet<String>, max_age: Duration) -> Self {
        Self::new(Wanted::Topics(topics), max_age)
    }

    pub(super) fn of_subscription(
        subscription: &Subscription,
        exclude_internal: bool,
        max_age: Duration,
    ) -> Result<Self> {
        match subscription {
            Subscription::Topics(topics) if topics.is_empty() => {
                Err(Error::config("there is no topic to subscribe to"))
            }
            Subscription::Topics(topics) => {
                Ok(Self::of_topics(topics.iter().cloned().collect(), max_age))
            }
            Subscription::Pattern(text) => {
                let pattern = Regex::new(&format!("^(?:{text})$")).map_err(|e| {
                    Error::config(format!("Invalid value {text}: it is no regular expression"))
                        .with_source(e)
                })?;
                let wanted = Wanted::Pattern { pattern, exclude_internal, found: BTreeSet::new() };
                let mut watch = Self::new(wanted, max_age);
                watch.due = Some(Instant::now());
                Ok(watch)
            }
        }
    }

    /// The topics to subscribe to as far as they are known.
    pub(super) fn topics(&self) -> &BTreeSet<String> {
        match &self.wanted {
            Wanted::Topics(topics) | Wanted::Pattern { found: topics, .. } => topics,
        }
    }

    /// A wanted topic does not exist: look for it soon.
    pub(super) fn missing(&mut self) {
        let soon = Instant::now() + self.pause;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// When to call [`TopicWatch::step`] again, if ever.
    pub(super) fn next_step(&self) -> Option<Instant> {
        match &self.look {
            Some(_) => Some(Instant::now() + GLANCE),
            None => self.due,
        }
    }

    /// Starts a look that is due or takes the result of one. `true` when the topics have changed.
    pub(super) fn step(&mut self, client: &Arc<Client>) -> bool {
        if let Some(look) = &mut self.look {
            match look.try_recv() {
                Ok(topics) => {
                    self.look = None;
                    return self.take(topics);
                }
                Err(oneshot::error::TryRecvError::Empty) => return false,
                Err(oneshot::error::TryRecvError::Closed) => self.look = None,
            }
        }
        if self.due.is_some_and(|due| due <= Instant::now()) {
            self.due = None;
            let (sender, receiver) = oneshot::channel();
            let client = client.clone();
            tokio::spawn(async move {
                // The look itself lets librdkafka's group see topics that are new.
                let topics = off_thread(move || admin::read_metadata(&client, LOOK)).await;
                let _ = sender.send(topics.flatten());
            });
            self.look = Some(receiver);
        }
        false
    }

    fn take(&mut self, topics: Topics) -> bool {
        let now = Instant::now();
        let Ok(topics) = topics else {
            self.due = Some(now + self.longer_pause());
            return false;
        };
        match &mut self.wanted {
            Wanted::Topics(wanted) => {
                if wanted.iter().all(|topic| topics.contains_key(topic)) {
                    self.pause = FIRST_PAUSE;
                } else {
                    self.due = Some(now + self.longer_pause());
                }
                false
            }
            Wanted::Pattern { pattern, exclude_internal, found } => {
                let matches = |topic: &String| {
                    let internal = topic == "__consumer_offsets" || topic == "__transaction_state";
                    !(*exclude_internal && internal) && pattern.is_match(topic)
                };
                let matching: BTreeSet<String> = topics.into_keys().filter(matches).collect();
                // librdkafka cannot be subscribed to nothing; what has vanished does no harm.
                let changed = !matching.is_empty() && matching != *found;
                if changed {
                    *found = matching;
                }
                let pause =
                    if self.topics().is_empty() { self.longer_pause() } else { self.max_age };
                self.due = Some(now + pause.min(self.max_age));
                changed
            }
        }
    }

    fn longer_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}
