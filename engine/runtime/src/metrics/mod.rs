//! What the worker counts of itself, its connectors and its tasks.
//!
//! Whoever does something tells a [`TaskMetrics`], once a batch. What is made of it, averages and
//! rates, is computed when somebody asks.

mod sensor;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use self::sensor::{Sensor, Windows};
pub(crate) use self::task::{ErrorClass, Step, TaskMetrics};
use crate::status::State;
use crate::task::TaskId;

/// Milliseconds since the worker began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    fn millis(self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// How starts of connectors and tasks went: `connect-worker-metrics`.
pub(crate) struct Startups {
    clock: Clock,
    /// 1: succeeded; 0: failed.
    results: Mutex<(Sensor, Sensor)>,
}

impl Startups {
    pub(crate) fn connector_started(&self, well: bool) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.0.record(f64::from(u8::from(well)), self.clock.millis());
    }

    fn task_started(&self, well: bool) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.1.record(f64::from(u8::from(well)), self.clock.millis());
    }
}

/// The metrics of a worker.
pub(crate) struct Metrics {
    clock: Clock,
    windows: Windows,
    startups: Arc<Startups>,
    tasks: Mutex<BTreeMap<TaskId, Arc<TaskMetrics>>>,
    /// How often each task, or connector (without a number), was restarted since it was made.
    restarts: Mutex<BTreeMap<(Arc<str>, Option<usize>), u64>>,
}

impl Metrics {
    /// `millis` and `samples` are `metrics.sample.window.ms` and `metrics.num.samples`.
    pub(crate) fn new(millis: i64, samples: usize) -> Self {
        let clock = Clock(Instant::now());
        let windows = Windows { millis, samples };
        let results = Mutex::new((Sensor::new(windows), Sensor::new(windows)));
        Self {
            clock,
            windows,
            startups: Arc::new(Startups { clock, results }),
            tasks: Mutex::default(),
            restarts: Mutex::default(),
        }
    }

    pub(crate) fn startups(&self) -> &Startups {
        &self.startups
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<TaskMetrics>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts of a task that is being started, in this state, until the registration is dropped.
    pub(crate) fn register(self: &Arc<Self>, id: &TaskId, state: State) -> Registration {
        let (clock, startups) = (self.clock, Arc::clone(&self.startups));
        let task = Arc::new(TaskMetrics::new(id.clone(), self.windows, clock, startups, state));
        self.lock().insert(id.clone(), Arc::clone(&task));
        Registration { metrics: Arc::clone(self), task }
    }

    /// A task, or a connector itself, is being restarted, by whomever.
    pub(crate) fn restarted(&self, connector: &Arc<str>, task: Option<usize>) {
        let mut restarts = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        *restarts.entry((Arc::clone(connector), task)).or_default() += 1;
    }

    /// A connector was deleted.
    pub(crate) fn forget(&self, connector: &str) {
        let mut restarts = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        restarts.retain(|(name, _), _| &**name != connector);
    }
}

/// Keeps a task's metrics where they are asked for. Dropped, they are gone, unless the task has a
/// successor by then.
pub(crate) struct Registration {
    metrics: Arc<Metrics>,
    pub(crate) task: Arc<TaskMetrics>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut tasks = self.metrics.lock();
        if tasks.get(&self.task.id).is_some_and(|task| Arc::ptr_eq(task, &self.task)) {
            tasks.remove(&self.task.id);
        }
    }
}
