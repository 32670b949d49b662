//! Carries out the commands of one connector, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_api::{Error, ErrorKind, PluginKind, Props, Result, TopicPartition};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::inbox::Inbox;
use super::supervisor::{PartId, Supervisor};
use super::validate::check_new;
use super::{ConnectorOffset, Patch, TargetState, offsets};
use crate::config::connector::ConnectorConfig;
use crate::config::restart::RestartPolicy;
use crate::config::variables::{Resolved, put_back};
use crate::connector::{Requests, RunningConnector};
use crate::failure::{Failure, RecordPlace};
use crate::status::{State, Status};
use crate::task::errors::last::LastLetters;
use crate::task::skipped::Skips;
use crate::task::{TaskId, Wanted};
use crate::topics::ActiveTopics;
use crate::worker::{RunningTask, TaskConfig, Worker, stop_tasks};

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What may be asked of a connector.
pub(crate) enum Command {
    /// (Re)start with a new configuration.
    Configure { change: Change, reply: Reply<()> },
    /// Run, pause or stop.
    Target { state: TargetState, reply: Reply<()> },
    /// Restart the connector, not its tasks.
    RestartConnector(Reply<()>),
    /// Restart what a plan names.
    Restart { connector: bool, tasks: BTreeSet<usize> },
    /// Restart one task.
    RestartTask { task: usize, reply: Reply<()> },
    /// Skip the record at which a task has failed, and restart the task.
    Skip { task: usize, record: RecordPlace, reply: Reply<String> },
    /// Set offsets, or delete all.
    ChangeOffsets { wanted: Option<Vec<ConnectorOffset>>, reply: Reply<String> },
}

impl Command {
    /// Whether it makes up for a connector that has not answered yet.
    pub(crate) fn replaces(&self) -> bool {
        match self {
            Self::Configure { .. } | Self::Target { .. } | Self::RestartConnector(_) => true,
            Self::Restart { connector, .. } => *connector,
            Self::RestartTask { .. } | Self::Skip { .. } | Self::ChangeOffsets { .. } => false,
        }
    }
}

/// What becomes of a configuration.
pub(crate) enum Change {
    /// All of it is new, and valid.
    Replace(Props),
    /// Some of it changes.
    Patch(Patch),
}

/// What REST reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// As written.
    pub(crate) config: Props,
    /// The tasks' configurations.
    pub(crate) tasks: Vec<Props>,
    pub(crate) state: TargetState,
}

/// What an actor lets others see.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<Mutex<Snapshot>>,
    pub(crate) topics: Arc<ActiveTopics>,
    pub(crate) supervisor: Arc<Mutex<Supervisor>>,
}

/// A connector and its tasks.
pub(crate) struct ConnectorActor {
    name: Arc<str>,
    worker: Arc<Worker>,
    snapshot: Arc<Mutex<Snapshot>>,
    topics: Arc<ActiveTopics>,
    supervisor: Arc<Mutex<Supervisor>>,
    /// What its tasks leave out.
    skips: Arc<Skips>,
    /// What these have written to the dead letter queue as they failed.
    last_letters: Arc<LastLetters>,
    /// Told when a task has failed.
    failures: Arc<Notify>,
    inbox: Inbox,
    /// What the connector that runs now asks for; that of its predecessors is not heard.
    requests: Arc<Requests>,
    connector: Option<RunningConnector>,
    /// As in Java, a connector that failed is neither paused nor resumed.
    failed: bool,
    tasks: BTreeMap<usize, RunningTask>,
    /// The connector's configuration when the tasks were made.
    applied: Props,
}

impl ConnectorActor {
    pub(crate) fn new(name: &str, worker: Arc<Worker>, shared: Shared, inbox: Inbox) -> Self {
        let Shared { snapshot, topics, supervisor } = shared;
        Self {
            name: name.into(),
            worker,
            snapshot,
            topics,
            supervisor,
            skips: Arc::default(),
            last_letters: Arc::default(),
            failures: Arc::default(),
            inbox,
            requests: Arc::default(),
            connector: None,
            failed: false,
            tasks: BTreeMap::new(),
            applied: Props::new(),
        }
    }

    fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until told to stop, or until nobody can tell it anything any more.
    pub(crate) async fn run(mut self) {
        loop {
            let (requests, failures) = (Arc::clone(&self.requests), Arc::clone(&self.failures));
            let next = self.supervisor().next();
            let due = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = self.inbox.next() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => break,
                },
                () = requests.news.notified() => self.take_up_requests().await,
                () = failures.notified() => self.take_up_failures(),
                () = due => self.restart_due().await,
            }
        }
        self.halt().await;
        tracing::info!("stopped connector {}", self.name);
    }

    async fn carry_out(&mut self, command: Command) {
        // Whoever commands knows of them.
        self.take_up_failures();
        match command {
            Command::Configure { change, reply } => {
                let _ = reply.send(self.configure(change).await);
            }
            Command::Target { state, reply } => {
                self.set_target(state).await;
                let _ = reply.send(Ok(()));
            }
            Command::RestartConnector(reply) => {
                self.worker.metrics.restarted(&self.name, None);
                self.by_hand(None);
                self.stop_connector().await;
                let _ = reply.send(self.start_and_configure().await);
            }
            Command::Restart { connector, tasks } => {
                let parts = tasks.iter().map(|task| Some(*task)).chain(connector.then_some(None));
                parts.for_each(|part| self.by_hand(part));
                self.restart(connector, tasks).await;
            }
            Command::RestartTask { task, reply } => {
                self.by_hand(Some(task));
                let _ = reply.send(self.restart_task(task).await);
            }
            Command::Skip { task, record, reply } => {
                let _ = reply.send(self.skip(task, record).await);
            }
            Command::ChangeOffsets { wanted, reply } => {
                let _ = reply.send(self.change_offsets(wanted).await);
            }
        }
    }

    /// Gives the connector another configuration. As in Java, tasks that it leaves as they are
    /// work on; those of a paused connector change when it is resumed.
    async fn configure(&mut self, change: Change) -> Result<()> {
        let config = match change {
            Change::Replace(config) => config,
            Change::Patch(patch) => {
                let config = patched(self.snapshot().config.clone(), patch);
                let checked = check_new(&self.worker, &config);
                self.inbox.unless_replaced(&self.name, checked).await?;
                config
            }
        };
        self.stop_connector().await;
        let policy = self.restart_policy(&config).await;
        self.supervisor().configure(policy);
        self.skips.clear();
        self.last_letters.clear();
        self.snapshot().config = config;
        self.start_and_configure().await
    }

    /// Where variables cannot be resolved the start fails, and says so.
    async fn restart_policy(&mut self, config: &Props) -> RestartPolicy {
        let of_worker = &self.worker.config.props;
        let resolving = self.worker.config.variables.resolve_aside(config);
        let resolved = self.inbox.unless_replaced(&self.name, resolving).await;
        let policy = resolved.and_then(|own| RestartPolicy::of(&own.props, of_worker));
        policy.or_else(|_| RestartPolicy::of(&Props::new(), of_worker)).unwrap_or_default()
    }

    /// Somebody restarts a part.
    fn by_hand(&self, part: PartId) {
        self.supervisor().restarted_by_hand(part);
    }

    /// Has the supervisor decide about tasks that have failed.
    fn take_up_failures(&mut self) {
        for (task, running) in &self.tasks {
            if let Some(failure) = running.take_failure() {
                self.supervise(Some(*task), failure);
            }
        }
    }

    fn supervise(&self, part: PartId, failure: Failure) {
        let now = Instant::now();
        let mut supervisor = self.supervisor();
        supervisor.failed(part, failure, now);
        if let Some(remark) = supervisor.remark(part, now) {
            let name = &self.name;
            match part {
                Some(task) => tracing::warn!("task {name}-{task} has failed. {remark}"),
                None => tracing::warn!("connector {name} has failed. {remark}"),
            }
        }
    }

    /// Restarts what the supervisor says is to be restarted now.
    async fn restart_due(&mut self) {
        let due = self.supervisor().take_due(Instant::now());
        let tasks: BTreeSet<usize> = due.iter().copied().flatten().collect();
        if due.contains(&None) {
            self.worker.metrics.restarted(&self.name, None);
            self.stop_connector().await;
            self.write_status(State::Restarting, None);
            // A failure is in the status, and the supervisor's again.
            let _ = self.start_and_configure().await;
        }
        self.restart(false, tasks).await;
    }

    /// Starts the connector, and its tasks where they change. What fails is the connector's
    /// status, and the answer.
    async fn start_and_configure(&mut self) -> Result<()> {
        self.start().await?;
        let configured = self.reconfigure_tasks().await;
        self.noted(configured)
    }

    /// Starts the connector, unless it is to rest.
    async fn start(&mut self) -> Result<()> {
        self.failed = false;
        let Snapshot { config, state, .. } = self.snapshot().clone();
        let rest = match state {
            TargetState::Started => None,
            TargetState::Paused => Some(State::Paused),
            TargetState::Stopped => Some(State::Stopped),
        };
        if let Some(state) = rest {
            self.write_status(state, None);
            return Ok(());
        }
        let requests = Arc::clone(&self.requests) as _;
        let start = self.worker.start_connector(&self.name, &config, requests);
        let started = self.inbox.unless_replaced(&self.name, start).await;
        if !self.inbox.is_stopping() {
            self.worker.metrics.startups().connector_started(started.is_ok());
        }
        let started = started.map(|connector| {
            self.connector = Some(connector);
            self.write_status(State::Running, None);
        });
        self.noted(started)
    }

    /// Makes a failure the connector's. One that was told to stop meanwhile has not failed.
    fn noted(&mut self, result: Result<()>) -> Result<()> {
        if let Err(e) = &result
            && !self.inbox.is_stopping()
        {
            self.fail(e);
        }
        result
    }

    fn fail(&mut self, error: &Error) {
        self.failed = true;
        tracing::error!("connector {} failed: {}", self.name, error.trace());
        self.write_status(State::Failed, Some(error.trace()));
        self.supervise(None, Failure::of(error));
    }

    fn write_status(&self, state: State, trace: Option<String>) {
        let plugin = self.worker.catalog.connector_of(&self.snapshot().config).ok();
        let status = Status { trace, ..self.worker.status(plugin, state) };
        self.worker.statuses.put_connector(&self.name, status);
    }

    /// Asks the connector for its tasks, and goes over to them.
    async fn reconfigure_tasks(&mut self) -> Result<()> {
        let Some(connector) = &mut self.connector else {
            return Ok(());
        };
        let props = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).config.clone();
        let variables = &self.worker.config.variables;
        let resolving = variables.resolve_aside(&props);
        let Resolved { props: resolved, redaction } =
            self.inbox.unless_replaced(&self.name, resolving).await?;
        let hidden = |e| redaction.error(e);
        let plugin = self.worker.catalog.connector_of(&resolved).map_err(hidden)?;
        let config = ConnectorConfig::parse(plugin.kind(), &resolved).map_err(hidden)?.common;
        let max = usize::try_from(config.tasks_max).unwrap_or(1);
        let configs = connector.task_configs(max);
        let mut tasks = self.inbox.unless_replaced(&self.name, configs).await?;
        if tasks.len() > max {
            let message = format!(
                "The connector {} has generated {} tasks, which is greater than {max}, the maximum \
                 number of tasks it is configured to create.",
                self.name,
                tasks.len()
            );
            if config.tasks_max_enforce {
                return Err(Error::fatal(message).context("remedy", "raise tasks.max"));
            }
            tracing::warn!("{message}");
        }
        for task in &mut tasks {
            complete(task, plugin.class(), plugin.kind(), &resolved);
            put_back(&props, task);
        }
        self.replace_tasks(tasks, props).await;
        Ok(())
    }

    /// Goes over to these tasks. Those whose configuration stays as it is work on, unless the
    /// connector's has changed: they know nothing of the others. What is to end has ended before
    /// anything new starts: a share of the source may go from one task to another.
    async fn replace_tasks(&mut self, tasks: Vec<Props>, applied: Props) {
        let old = self.snapshot().tasks.clone();
        let stay = applied == self.applied;
        let stays = |task: &usize| stay && tasks.get(*task) == old.get(*task);
        let numbers = 0..tasks.len().max(old.len());
        let changed: Vec<usize> = numbers.filter(|task| !stays(task)).collect();
        if changed.is_empty() {
            return;
        }
        let count = tasks.len();
        self.end_tasks(&changed, count).await;
        tracing::info!("connector {}: task(s) {changed:?} change, of {count}", self.name);
        self.worker.statuses.forget_tasks(&self.name, count);
        self.snapshot().tasks = tasks;
        self.applied = applied;
        changed.into_iter().filter(|task| *task < count).for_each(|task| self.start_task(task));
    }

    fn start_task(&mut self, task: usize) {
        let id = TaskId { connector: Arc::clone(&self.name), task };
        let topics = self.worker.config.topic_tracking.then(|| Arc::clone(&self.topics));
        let (skips, failures) = (Arc::clone(&self.skips), Arc::clone(&self.failures));
        // Not the whole of it: there may be a thousand tasks.
        let (config, state) = {
            let Snapshot { config, tasks, state } = &*self.snapshot();
            let (connector, task) = (config.clone(), tasks[task].clone());
            let last_letters = Arc::clone(&self.last_letters);
            (TaskConfig { id, connector, task, topics, skips, last_letters, failures }, *state)
        };
        self.tasks.insert(task, self.worker.start_task(config, wanted(state)));
    }

    /// Ends tasks of which others take the place; there are so many then. One that fails as it ends
    /// has failed all the same.
    async fn end_tasks(&mut self, tasks: &[usize], count: usize) {
        let mut ending: Vec<(usize, RunningTask)> =
            tasks.iter().filter_map(|task| self.tasks.remove_entry(task)).collect();
        let running = ending.iter_mut().map(|(_, running)| running);
        stop_tasks(running, self.worker.config.graceful_timeout).await;
        let mut supervisor = self.supervisor();
        for (task, ended) in &ending {
            if let Some(failure) = ended.take_failure() {
                supervisor.failed(Some(*task), failure, Instant::now());
            }
        }
        supervisor.replaced(tasks, count);
    }

    async fn restart_task(&mut self, task: usize) -> Result<()> {
        let count = self.snapshot().tasks.len();
        if task >= count {
            return Err(unknown_task(&self.name, task));
        }
        self.worker.metrics.restarted(&self.name, Some(task));
        self.end_tasks(&[task], count).await;
        self.start_task(task);
        Ok(())
    }

    /// Has the tasks leave out a record that one of them cannot get past: it has to be the one at
    /// which that has failed.
    async fn skip(&mut self, task: usize, record: RecordPlace) -> Result<String> {
        if task >= self.snapshot().tasks.len() {
            return Err(unknown_task(&self.name, task));
        }
        let name = Arc::clone(&self.name);
        let why = self.supervisor().obstacle(task, &record)?;
        let RecordPlace::Topic { topic, partition, offset } = &record else {
            let message = "the worker cannot skip a record of a source, whose place is the \
                           connector's own: mend it in the source, or have such records skipped by \
                           errors.tolerance=all";
            return Err(Error::config(message).context("record", &record));
        };
        let place = TopicPartition::new(topic.as_str(), *partition);
        self.skips.add((place, *offset), &why)?;
        let message = format!("task {name}-{task} skips the record at {record}, as asked");
        tracing::warn!("{message}; it had failed there: {why}");
        self.by_hand(Some(task));
        self.restart_task(task).await?;
        Ok(message)
    }

    /// Restarts what a plan names. A task that is gone meanwhile is left out.
    async fn restart(&mut self, connector: bool, mut tasks: BTreeSet<usize>) {
        tasks.retain(|task| self.tasks.contains_key(task));
        let ending: Vec<usize> = tasks.iter().copied().collect();
        let count = self.snapshot().tasks.len();
        let old = if connector { self.take_connector() } else { None };
        tokio::join!(stop(old), self.end_tasks(&ending, count));
        for task in &tasks {
            self.worker.statuses.restarting(&self.name, *task);
            self.worker.metrics.restarted(&self.name, Some(*task));
        }
        if connector {
            self.write_status(State::Restarting, None);
            self.worker.metrics.restarted(&self.name, None);
            // A failure is in the status, which is where whoever restarted will look.
            let _ = self.start().await;
        }
        tasks.into_iter().for_each(|task| self.start_task(task));
    }

    async fn set_target(&mut self, state: TargetState) {
        let before = std::mem::replace(&mut self.snapshot().state, state);
        self.supervisor().rest(state != TargetState::Started);
        if state == TargetState::Stopped {
            self.supervisor().begin_anew();
            self.halt().await;
            // Offsets may be set now.
            self.skips.clear();
            self.snapshot().tasks.clear();
            self.worker.statuses.forget_tasks(&self.name, 0);
            self.failed = false;
            self.write_status(State::Stopped, None);
        }
        if state == TargetState::Stopped || before == state {
            return;
        }
        // Tasks whose configuration is old are made anew instead of running for a moment.
        if state == TargetState::Paused || self.applied == self.snapshot().config {
            self.want(wanted(state));
        }
        if self.failed {
            tracing::warn!(
                "connector {} has failed and is left so until it is restarted",
                self.name
            );
            return;
        }
        // As in Java, a paused connector is not there: it watches nothing.
        self.stop_connector().await;
        // A failure is in the status, which is where whoever resumed will look.
        let _ = self.start_and_configure().await;
        self.want(wanted(state));
    }

    fn want(&self, wanted: Wanted) {
        self.tasks.values().for_each(|task| task.want(wanted));
    }

    async fn change_offsets(&mut self, wanted: Option<Vec<ConnectorOffset>>) -> Result<String> {
        let Snapshot { config, tasks, state } = self.snapshot().clone();
        if state != TargetState::Stopped || !tasks.is_empty() {
            let message = format!(
                "Connectors must be in the STOPPED state before their offsets can be modified. \
                 This can be done for the specified connector by issuing a 'PUT' request to the \
                 '/connectors/{}/stop' endpoint",
                self.name
            );
            return Err(Error::config(message));
        }
        let resolving = self.worker.config.variables.resolve_aside(&config);
        let Resolved { props, redaction } =
            self.inbox.unless_replaced(&self.name, resolving).await?;
        let changed = offsets::change(&self.worker, &self.name, &props, wanted);
        let changed = self.inbox.unless_replaced(&self.name, changed).await;
        changed.map_err(|e| redaction.error(e))
    }

    async fn take_up_requests(&mut self) {
        if let Some(mut error) = self.requests.take_error() {
            if let Some(connector) = &self.connector {
                error = connector.hide(error);
            }
            self.fail(&error);
        }
        if self.requests.take_reconfiguration() {
            let configured = self.reconfigure_tasks().await;
            // Nobody waits for it: the status says how it went.
            let _ = self.noted(configured);
        }
    }

    fn take_connector(&mut self) -> Option<RunningConnector> {
        self.requests = Arc::default();
        self.connector.take()
    }

    async fn stop_connector(&mut self) {
        stop(self.take_connector()).await;
    }

    /// Stops connector and tasks, side by side: a connector that hangs must not use up the time in
    /// which its tasks commit.
    async fn halt(&mut self) {
        let connector = self.take_connector();
        tokio::join!(stop(connector), self.halt_tasks());
    }

    async fn halt_tasks(&mut self) {
        let mut tasks = std::mem::take(&mut self.tasks);
        stop_tasks(tasks.values_mut(), self.worker.config.graceful_timeout).await;
    }
}

async fn stop(connector: Option<RunningConnector>) {
    if let Some(connector) = connector {
        connector.stop().await;
    }
}

pub(crate) fn unknown_task(connector: &str, task: usize) -> Error {
    Error::new(ErrorKind::NotFound, format!("Task {connector}-{task} not found"))
}

/// A configuration with some keys set, and some removed (`ConnectUtils.patchConfig`).
fn patched(mut config: Props, patch: Patch) -> Props {
    for (key, value) in patch {
        match value {
            Some(value) => drop(config.insert(key, value)),
            None => drop(config.remove(&key)),
        }
    }
    config
}

fn wanted(state: TargetState) -> Wanted {
    match state {
        TargetState::Started => Wanted::Run,
        TargetState::Paused | TargetState::Stopped => Wanted::Pause,
    }
}

/// Adds what Java adds to a task's configuration.
fn complete(task: &mut Props, class: &str, kind: PluginKind, connector: &Props) {
    let task_class = format!("{}Task", class.strip_suffix("Connector").unwrap_or(class));
    task.insert("task.class".into(), task_class);
    if kind == PluginKind::Sink {
        for key in ["topics", "topics.regex"] {
            if let Some(value) = connector.get(key) {
                task.insert(key.into(), value.clone());
            }
        }
    }
}
