//! One task from its first record to its last commit.

pub(crate) mod chain;
pub(crate) mod converted;
pub(crate) mod errors;
pub(crate) mod offsets;
pub(crate) mod patience;
mod put;
mod search;
pub(crate) mod serde;
pub(crate) mod sink;
pub(crate) mod skipped;
pub(crate) mod source;
pub(crate) mod topics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// The moment that [`Wishes::back_off`] waits.
const BACK_OFF: Duration = Duration::from_secs(1);

/// A task of a connector. Prints as Java's `ConnectorTaskId` does: `name-0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The connector's name.
    pub connector: Arc<str>,
    /// The task's number, from 0.
    pub task: usize,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connector, self.task)
    }
}

/// What a task should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Moving records.
    Run,
    /// Nothing, but keeping what it has.
    Pause,
    /// Committing and ending.
    Stop,
}

/// A task's end of its worker's wishes.
#[derive(Clone)]
pub(crate) struct Wishes(watch::Receiver<Wanted>);

impl Wishes {
    pub(crate) fn new(receiver: watch::Receiver<Wanted>) -> Self {
        Self(receiver)
    }

    /// What is wanted now. A worker that is gone wants its tasks to stop.
    pub(crate) fn now(&self) -> Wanted {
        if self.0.has_changed().is_err() { Wanted::Stop } else { *self.0.borrow() }
    }

    /// Waits a moment before something is repeated that failed for a passing reason; no longer
    /// than until told to stop.
    pub(crate) async fn back_off(&mut self) {
        self.pause(BACK_OFF).await;
    }

    /// Waits before something is repeated. False when told to stop meanwhile.
    pub(crate) async fn pause(&mut self, length: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(length) => true,
            _ = self.0.wait_for(|wanted| *wanted == Wanted::Stop) => false,
        }
    }

    /// Returns once told to stop.
    pub(crate) async fn stopped(&self) {
        let _ = self.0.clone().wait_for(|wanted| *wanted == Wanted::Stop).await;
    }

    /// Waits until something other than `known` is wanted, and returns it.
    pub(crate) async fn other_than(&mut self, known: Wanted) -> Wanted {
        match self.0.wait_for(|wanted| *wanted != known).await {
            Ok(wanted) => *wanted,
            Err(_) => Wanted::Stop,
        }
    }
}
