//! What the worker counts of itself, its connectors and its tasks.
//!
//! Whoever does something tells a [`TaskMetrics`], once a batch. What is made of it, averages and
//! rates, is computed when somebody asks.

mod clients;
mod connect;
mod exposition;
mod histogram;
mod own;
#[cfg(test)]
mod page;
mod process;
mod sensor;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use millrace_kafka::Footprint;
use tokio::time::Instant;

use self::connect::TaskView;
use self::exposition::Exposition;
pub use self::exposition::MetricNames;
use self::sensor::{Sensor, Windows};
pub(crate) use self::task::{ErrorClass, Part, Parts, Step, TaskMetrics};
use crate::memory::Budget;
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
        self.results().0.record(f64::from(u8::from(well)), self.clock.millis());
    }

    fn results(&self) -> MutexGuard<'_, (Sensor, Sensor)> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task_started(&self, well: bool) {
        self.results().1.record(f64::from(u8::from(well)), self.clock.millis());
    }
}

/// The metrics of a worker.
pub(crate) struct Metrics {
    clock: Clock,
    start: SystemTime,
    windows: Windows,
    startups: Arc<Startups>,
    budget: Arc<Budget>,
    /// The worker's own client, and its name.
    admin: OnceLock<(String, Arc<Footprint>)>,
    tasks: Mutex<BTreeMap<TaskId, Arc<TaskMetrics>>>,
    /// How often each task, or connector (without a number), was restarted since it was made.
    restarts: Mutex<Restarts>,
}

type Restarts = BTreeMap<(Arc<str>, Option<usize>), u64>;

/// A connector, for one look at it.
pub(crate) struct ConnectorView {
    pub(crate) name: String,
    /// `source`, `sink` or `unknown`.
    pub(crate) kind: &'static str,
    pub(crate) class: String,
    pub(crate) version: String,
    pub(crate) state: State,
    /// Its tasks' states.
    pub(crate) tasks: Vec<State>,
}

impl Metrics {
    /// `millis` and `samples` are `metrics.sample.window.ms` and `metrics.num.samples`.
    pub(crate) fn new((millis, samples): (i64, usize), budget: Arc<Budget>) -> Self {
        let clock = Clock(Instant::now());
        let windows = Windows { millis, samples };
        let results = Mutex::new((Sensor::new(windows), Sensor::new(windows)));
        Self {
            clock,
            start: SystemTime::now(),
            windows,
            startups: Arc::new(Startups { clock, results }),
            budget,
            admin: OnceLock::new(),
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
        let worker = (self.clock, Arc::clone(&self.startups));
        let share = self.budget.share(id);
        let task = Arc::new(TaskMetrics::new(id.clone(), self.windows, worker, share, state));
        self.lock().insert(id.clone(), Arc::clone(&task));
        Registration { metrics: Arc::clone(self), task }
    }

    /// What tasks hold, and may hold.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The worker asks the cluster through this client.
    pub(crate) fn admin(&self, id: String, footprint: Arc<Footprint>) {
        let _ = self.admin.set((id, footprint));
    }

    fn restarts(&self) -> MutexGuard<'_, Restarts> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Prometheus reads.
    pub(crate) fn text(&self, connectors: &[ConnectorView], names: MetricNames) -> String {
        let mut text = Exposition::new(names);
        self.add_worker(&mut text, connectors);
        for connector in connectors {
            connect::add_connector(&mut text, connector);
        }
        let tasks: Vec<_> = self.lock().values().cloned().collect();
        for task in tasks {
            let number = task.id.task.to_string();
            let labels = [("connector", &*task.id.connector), ("task", number.as_str())];
            let view = TaskView::new(&task, self.clock.millis());
            connect::add_task(&mut text, &view, &labels);
            own::add_task(&mut text, &view, &labels);
            for client in task.share().clients() {
                clients::add_of_task(&mut text, &view, &client);
            }
        }
        if let Some((id, footprint)) = self.admin.get() {
            clients::add_worker(&mut text, id, footprint, self.start);
        }
        own::add_memory(&mut text, &self.budget);
        own::add_restarts(&mut text, self);
        process::add(&mut text);
        text.finish()
    }

    /// A task, or a connector itself, is being restarted, by whomever.
    pub(crate) fn restarted(&self, connector: &Arc<str>, task: Option<usize>) {
        *self.restarts().entry((Arc::clone(connector), task)).or_default() += 1;
    }

    /// A connector was deleted.
    pub(crate) fn forget(&self, connector: &str) {
        self.restarts().retain(|(name, _), _| &**name != connector);
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
