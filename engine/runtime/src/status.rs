//! What connectors and tasks are doing, as `GET /connectors/C/status` tells it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_api::Error;
use serde::Serialize;

use crate::metrics::TaskMetrics;
use crate::task::TaskId;

/// The state of a connector or a task (`AbstractStatus.State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Nobody runs it.
    Unassigned,
    /// It works.
    Running,
    /// It rests until resumed.
    Paused,
    /// It ended with an error and stays so until restarted.
    Failed,
    /// It is being restarted.
    Restarting,
    /// It was stopped: it has no tasks and its offsets may be changed.
    Stopped,
}

impl State {
    /// As metrics call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "unassigned",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
        }
    }
}

/// A state, who is in it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The state.
    pub state: State,
    /// `host:port` of the worker.
    pub worker_id: String,
    /// The plugin's version.
    pub version: Option<String>,
    /// The error that led to [`State::Failed`]; or what one that works does not return from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// A connector's status and its tasks'.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectorStatuses {
    pub(crate) connector: Option<Status>,
    pub(crate) tasks: BTreeMap<usize, Status>,
}

/// All statuses of this worker, in memory.
#[derive(Default)]
pub(crate) struct StatusStore(Mutex<BTreeMap<String, ConnectorStatuses>>);

impl StatusStore {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ConnectorStatuses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, connector: &str) -> Option<ConnectorStatuses> {
        self.lock().get(connector).cloned()
    }

    pub(crate) fn put_connector(&self, connector: &str, status: Status) {
        self.lock().entry(connector.to_owned()).or_default().connector = Some(status);
    }

    /// Stores a task's status unless its writer was cancelled: looked up under the lock, so that
    /// nothing is written after the cancellation, whoever it was that came first.
    fn put_task(&self, id: &TaskId, status: Status, cancelled: &AtomicBool) {
        let mut all = self.lock();
        if !cancelled.load(Ordering::Acquire) {
            all.entry(id.connector.to_string()).or_default().tasks.insert(id.task, status);
        }
    }

    /// Says of a task that it is being restarted.
    pub(crate) fn restarting(&self, connector: &str, task: usize) {
        let mut all = self.lock();
        let status = all.get_mut(connector).and_then(|statuses| statuses.tasks.get_mut(&task));
        if let Some(status) = status {
            (status.state, status.trace) = (State::Restarting, None);
        }
    }

    /// Adds a word to the status of one that works, or takes it back.
    pub(crate) fn remark(&self, connector: &str, task: Option<usize>, remark: Option<String>) {
        let mut all = self.lock();
        let Some(statuses) = all.get_mut(connector) else { return };
        let status = match task {
            Some(task) => statuses.tasks.get_mut(&task),
            None => statuses.connector.as_mut(),
        };
        let works = |status: &&mut Status| matches!(status.state, State::Running | State::Paused);
        if let Some(status) = status.filter(works) {
            status.trace = remark;
        }
    }

    /// Forgets tasks numbered from `first` on.
    pub(crate) fn forget_tasks(&self, connector: &str, first: usize) {
        if let Some(statuses) = self.lock().get_mut(connector) {
            statuses.tasks.retain(|task, _| *task < first);
        }
    }

    pub(crate) fn forget(&self, connector: &str) {
        self.lock().remove(connector);
    }
}

/// Writes the status of one run of one task. Once cancelled it writes nothing: a task that was
/// given up must not speak over its successor.
#[derive(Clone)]
pub(crate) struct StatusWriter {
    id: TaskId,
    store: Arc<StatusStore>,
    template: Status,
    metrics: Arc<TaskMetrics>,
    cancelled: Arc<AtomicBool>,
}

impl StatusWriter {
    /// `template` names worker and version.
    pub(crate) fn new(
        id: TaskId,
        store: Arc<StatusStore>,
        template: Status,
        metrics: Arc<TaskMetrics>,
    ) -> Self {
        Self { id, store, template, metrics, cancelled: Arc::default() }
    }

    /// The metrics of the same run of the task.
    pub(crate) fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }

    pub(crate) fn task(&self) -> &TaskId {
        &self.id
    }

    pub(crate) fn write(&self, state: State) {
        self.put(Status { state, trace: None, ..self.template.clone() });
    }

    pub(crate) fn write_failure(&self, error: &Error) {
        let trace = Some(error.trace());
        self.put(Status { state: State::Failed, trace, ..self.template.clone() });
    }

    fn put(&self, status: Status) {
        self.metrics.entered(status.state);
        self.store.put_task(&self.id, status, &self.cancelled);
    }

    pub(crate) fn cancel(&self) {
        let _writing = self.store.lock();
        self.cancelled.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_writer_is_silent() {
        let store = Arc::new(StatusStore::default());
        let id = TaskId { connector: "c".into(), task: 0 };
        let (state, worker_id) = (State::Unassigned, "w:0".to_owned());
        let template = Status { state, worker_id, version: None, trace: None };
        let writer = StatusWriter::new(id, Arc::clone(&store), template, TaskMetrics::apart());
        writer.write(State::Running);
        writer.cancel();
        writer.write_failure(&Error::fatal("too late"));
        assert_eq!(store.of("c").unwrap().tasks[&0].state, State::Running);
        store.forget("c");
        writer.write(State::Unassigned);
        assert!(store.of("c").is_none(), "a deleted connector has no status");
    }
}
