//! Decides when what is due is done: time-outs of groups and transactions, while somebody serves.

use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::embedded::Shared;
use crate::lock::lock;

/// A cluster's clock. It runs while anybody holds a [`Running`].
#[derive(Debug, Default)]
pub(in crate::embedded) struct Clock {
    /// Rung when something may be due earlier than before.
    changed: Arc<Notify>,
    running: Mutex<Weak<Running>>,
}

/// Stops the clock when the last of them is dropped.
#[derive(Debug)]
pub(super) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Clock {
    /// Has the clock look again at what is due when.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }
}

/// Starts a cluster's clock, unless it runs.
pub(super) fn run(shared: &Arc<Shared>) -> Arc<Running> {
    let mut running = lock(&shared.clock.running);
    if let Some(running) = running.upgrade() {
        return running;
    }
    let task = tokio::spawn(tick(Arc::downgrade(shared), shared.clock.changed.clone()));
    let new = Arc::new(Running(task.abort_handle()));
    *running = Arc::downgrade(&new);
    new
}

async fn tick(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let Some(cluster) = shared.upgrade() else {
            return;
        };
        let next = cluster.tick(Instant::now());
        drop(cluster);
        match next {
            None => changed.notified().await,
            Some(next) => tokio::select! {
                () = sleep_until(next) => {}
                () = changed.notified() => {}
            },
        }
    }
}

impl Shared {
    /// Does what is due, and says when something will be.
    fn tick(&self, now: Instant) -> Option<Instant> {
        let groups = {
            let mut coordinator = lock(&self.coordinator);
            coordinator.tick(now);
            coordinator.next_deadline()
        };
        let transactions = self.tick_transactions(now);
        groups.into_iter().chain(transactions).min()
    }
}
