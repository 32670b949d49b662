//! Carries out the commands of one connector, one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_api::{Error, ErrorKind, PluginKind, Props, Result};
use tokio::sync::{mpsc, oneshot, watch};

use super::TargetState;
use crate::config::connector::ConnectorConfig;
use crate::status::{State, Status};
use crate::task::{TaskId, Wanted};
use crate::worker::{Requests, RunningConnector, RunningTask, TaskConfig, Worker, stop_tasks};

type Reply = oneshot::Sender<Result<()>>;

/// What may be asked of a connector.
pub(crate) enum Command {
    /// (Re)start with this configuration.
    Configure { config: Props, reply: Reply },
    /// Pause or resume.
    Target(TargetState),
    /// Restart the connector, not its tasks.
    RestartConnector(Option<Reply>),
    /// Restart one task.
    RestartTask { task: usize, reply: Option<Reply> },
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

/// A connector and its tasks.
pub(crate) struct ConnectorActor {
    name: Arc<str>,
    worker: Arc<Worker>,
    snapshot: Arc<Mutex<Snapshot>>,
    /// True once everything is to end, whatever else was asked for.
    stopping: watch::Receiver<bool>,
    /// What the connector that runs now asks for; that of its predecessors is not heard.
    requests: Arc<Requests>,
    connector: Option<RunningConnector>,
    tasks: Vec<RunningTask>,
}

impl ConnectorActor {
    pub(crate) fn new(
        name: &str,
        worker: Arc<Worker>,
        snapshot: Arc<Mutex<Snapshot>>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (name, requests) = (name.into(), Arc::default());
        Self { name, worker, snapshot, stopping, requests, connector: None, tasks: Vec::new() }
    }

    fn snapshot(&self) -> MutexGuard<'_, Snapshot> {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until told to stop, or until nobody can tell it anything any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let requests = Arc::clone(&self.requests);
            tokio::select! {
                biased;
                () = told(self.stopping.clone()) => return self.stop().await,
                command = commands.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => return self.stop().await,
                },
                () = requests.news.notified() => self.take_up_requests().await,
            }
        }
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Configure { config, reply } => {
                self.snapshot().config = config;
                self.halt().await;
                self.snapshot().tasks.clear();
                let _ = reply.send(self.start().await);
            }
            Command::Target(state) => self.set_target(state).await,
            Command::RestartConnector(reply) => {
                self.stop_connector().await;
                let started = self.start().await;
                if let Some(reply) = reply {
                    let _ = reply.send(started);
                }
            }
            Command::RestartTask { task, reply } => {
                self.restart_task(task).await;
                if let Some(reply) = reply {
                    let _ = reply.send(Ok(()));
                }
            }
        }
    }

    async fn stop(mut self) {
        self.halt().await;
        tracing::info!("stopped connector {}", self.name);
    }

    /// Starts the connector, unless it is paused, and its tasks. What fails is the connector's
    /// status, and the answer.
    async fn start(&mut self) -> Result<()> {
        if self.snapshot().state == TargetState::Paused {
            self.write_status(State::Paused, None);
            return Ok(());
        }
        let config = self.snapshot().config.clone();
        let requests = Arc::clone(&self.requests) as _;
        let start = self.worker.start_connector(&self.name, &config, requests);
        let started = unless(self.stopping.clone(), &self.name, start).await;
        let result = match started {
            Ok(connector) => {
                self.connector = Some(connector);
                self.write_status(State::Running, None);
                self.reconfigure_tasks().await
            }
            Err(e) => Err(e),
        };
        // One that was told to stop meanwhile has not failed.
        result.inspect_err(|e| {
            if !*self.stopping.borrow() {
                self.fail(e)
            }
        })
    }

    fn fail(&self, error: &Error) {
        tracing::error!("connector {} failed: {}", self.name, error.trace());
        self.write_status(State::Failed, Some(error.trace()));
    }

    fn write_status(&self, state: State, trace: Option<String>) {
        let plugin = self.worker.catalog.connector_of(&self.snapshot().config).ok();
        let status = Status { trace, ..self.worker.status(plugin, state) };
        self.worker.statuses.put_connector(&self.name, status);
    }

    /// Asks the connector for its tasks, and restarts them all if the answer has changed.
    async fn reconfigure_tasks(&mut self) -> Result<()> {
        let Some(connector) = &mut self.connector else {
            return Ok(());
        };
        let props = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).config.clone();
        let plugin = self.worker.catalog.connector_of(&props)?;
        let config = ConnectorConfig::parse(plugin.kind(), &props)?.common;
        let max = usize::try_from(config.tasks_max).unwrap_or(1);
        let configs = connector.task_configs(max);
        let mut tasks = unless(self.stopping.clone(), &self.name, configs).await?;
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
            complete(task, plugin.class(), plugin.kind(), &props);
        }
        if tasks != self.snapshot().tasks || self.tasks.len() != tasks.len() {
            self.halt_tasks().await;
            self.worker.statuses.forget_tasks(&self.name, tasks.len());
            self.snapshot().tasks = tasks;
            self.start_tasks();
        }
        Ok(())
    }

    fn start_tasks(&mut self) {
        let configs = self.snapshot().tasks.clone();
        self.tasks = (0..configs.len()).map(|task| self.start_task(task)).collect();
    }

    fn start_task(&self, task: usize) -> RunningTask {
        let Snapshot { config, tasks, state } = self.snapshot().clone();
        let id = TaskId { connector: Arc::clone(&self.name), task };
        let task = TaskConfig { id, connector: config, task: tasks[task].clone() };
        self.worker.start_task(task, wanted(state))
    }

    async fn restart_task(&mut self, task: usize) {
        if task >= self.tasks.len() {
            return;
        }
        let old = self.tasks.remove(task);
        stop_tasks(vec![old], self.worker.config.graceful_timeout).await;
        let new = self.start_task(task);
        self.tasks.insert(task, new);
    }

    async fn set_target(&mut self, state: TargetState) {
        if self.snapshot().state == state {
            return;
        }
        self.snapshot().state = state;
        for task in &self.tasks {
            task.want(wanted(state));
        }
        // As in Java, a paused connector is not there: it watches nothing.
        self.stop_connector().await;
        // A failure is in the status, which is where whoever resumed will look.
        let _ = self.start().await;
    }

    async fn take_up_requests(&mut self) {
        if let Some(error) = self.requests.take_error() {
            self.fail(&error);
        }
        if self.requests.take_reconfiguration()
            && let Err(e) = self.reconfigure_tasks().await
        {
            self.fail(&e);
        }
    }

    async fn stop_connector(&mut self) {
        self.requests = Arc::default();
        if let Some(connector) = self.connector.take() {
            connector.stop().await;
        }
    }

    /// Stops connector and tasks, side by side: a connector that hangs must not use up the time in
    /// which its tasks commit.
    async fn halt(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        let halted = stop_tasks(tasks, self.worker.config.graceful_timeout);
        tokio::join!(self.stop_connector(), halted);
    }

    async fn halt_tasks(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        stop_tasks(tasks, self.worker.config.graceful_timeout).await;
    }
}

/// What a plugin answers, unless it is to stop before: one that hangs can still be deleted.
async fn unless<T>(
    stopping: watch::Receiver<bool>,
    name: &str,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        answer = answer => answer,
        () = told(stopping) => {
            let message = format!("Connector {name} was stopped before it had started");
            Err(Error::new(ErrorKind::NotFound, message))
        }
    }
}

/// Returns once everything is to end, also because nobody is left to say so.
async fn told(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
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
