//! Runs all connectors in this process; what they are is kept in memory, how far they got in the
//! offset file (`StandaloneHerder` in Java).
//!
//! Each connector has an actor of its own that carries out its commands one after the other, so a
//! connector that hangs keeps nobody else waiting. What REST reads is a snapshot beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::{ConfigInfos, ConfigKeyInfo};
use millrace_api::{Error, ErrorKind, PluginKind, Props, Result};
use millrace_kafka::Cluster;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::actor::{Change, Command, ConnectorActor, Reply, Shared, Snapshot, unknown_task};
use super::inbox::{COMMANDS, Inbox};
use super::plugin_config::plugin_config;
use super::supervisor::{PartId, Restarts, Supervisor};
use super::validate::{check_new, validate};
use super::{
    ConnectorInfo, ConnectorOffset, ConnectorState, ConnectorStatus, Herder, Patch, PluginInfo,
    RestartRequest, TargetState, TaskInfo, TaskReference, TaskState, offsets,
};
use crate::catalog::Catalog;
use crate::config::plugins::check_worker_converters;
use crate::config::variables::Resolved;
use crate::config::worker::WorkerConfig;
use crate::failure::RecordPlace;
use crate::memory::{Budget, MemoryReport};
use crate::metrics::{ConnectorView, MetricNames, Metrics};
use crate::plugin_runtime::PluginRuntime;
use crate::status::{ConnectorStatuses, State, Status, StatusStore};
use crate::store::offsets::OffsetStore;
use crate::topics::ActiveTopics;
use crate::watchdog::{self, Hung};
use crate::worker::Worker;

/// A worker by itself.
pub struct StandaloneHerder {
    worker: Arc<Worker>,
    cluster_id: String,
    connectors: Mutex<Connectors>,
}

#[derive(Default)]
struct Connectors {
    entries: BTreeMap<String, Entry>,
    /// Whether the worker is stopping, and takes no connectors any more.
    stopping: bool,
}

struct Entry {
    shared: Shared,
    commands: mpsc::Sender<Command>,
    stop: watch::Sender<bool>,
    actor: JoinHandle<()>,
}

/// Whether a name is free for a connector.
enum Place {
    New,
    Taken,
    /// Its connector is being deleted.
    Ending,
}

/// A worker that is dropped without being stopped ends as in a crash: nothing is committed.
impl Drop for Entry {
    fn drop(&mut self) {
        self.actor.abort();
    }
}

impl StandaloneHerder {
    /// Starts a worker. `worker_id` is the `host:port` its REST API is known by. Fails when the
    /// Kafka cluster does not answer, as Java does.
    pub async fn start(
        config: WorkerConfig,
        catalog: Catalog,
        cluster: Arc<dyn Cluster>,
        offsets: Arc<dyn OffsetStore>,
        worker_id: String,
    ) -> Result<Self> {
        check_worker_converters(&catalog, &config)?;
        let cluster_id = cluster.cluster_id().await?;
        let metrics = Metrics::new(config.metrics_windows, Budget::new(config.memory_budget));
        let admin = config.client_properties().remove("client.id");
        metrics.admin(admin.unwrap_or_else(|| worker_id.clone()), cluster.footprint());
        let worker = Worker {
            id: worker_id,
            catalog: Arc::new(catalog),
            config,
            cluster,
            offsets,
            statuses: Arc::new(StatusStore::default()),
            metrics: Arc::new(metrics),
            plugins: PluginRuntime::start()?,
        };
        let (jobs, statuses) = (worker.plugins.jobs(), Arc::clone(&worker.statuses));
        let WorkerConfig { hang_report, plugin_memory, .. } = worker.config;
        watchdog::watch(jobs, statuses, hang_report, plugin_memory)?;
        Ok(Self { worker: Arc::new(worker), cluster_id, connectors: Mutex::default() })
    }

    /// Stops all connectors: offsets of what is acknowledged are committed, as far as
    /// `task.shutdown.graceful.timeout.ms` allows. From then on no connectors are made.
    pub async fn stop(&self) {
        let mut entries = {
            let mut all = self.lock();
            all.stopping = true;
            std::mem::take(&mut all.entries)
        };
        for entry in entries.values() {
            entry.stop.send_replace(true);
        }
        let grace = self.worker.config.graceful_timeout + Duration::from_secs(1);
        let deadline = Instant::now() + grace;
        for entry in entries.values_mut() {
            // An actor may be busy with a plugin that hangs; then its time is up with the others'.
            let _ = timeout_at(deadline, &mut entry.actor).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connectors> {
        self.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(name: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("Connector {name} not found"))
    }

    fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let all = self.lock();
        let entry = all.entries.get(name).ok_or_else(|| Self::unknown(name))?;
        Ok(entry.shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn commands(&self, name: &str) -> Option<mpsc::Sender<Command>> {
        self.lock().entries.get(name).map(|entry| entry.commands.clone())
    }

    /// Has the connector's actor carry a command out, and waits for its answer.
    async fn ask<T>(&self, name: &str, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let commands = self.commands(name).ok_or_else(|| Self::unknown(name))?;
        let (reply, answer) = oneshot::channel();
        commands.send(command(reply)).await.map_err(|_| Self::unknown(name))?;
        answer.await.map_err(|_| Self::unknown(name))?
    }

    fn info(&self, name: &str, snapshot: &Snapshot) -> ConnectorInfo {
        ConnectorInfo {
            name: name.to_owned(),
            config: snapshot.config.clone(),
            tasks: (0..snapshot.tasks.len()).map(|task| reference(name, task)).collect(),
            kind: self.kind(snapshot),
        }
    }

    fn kind(&self, snapshot: &Snapshot) -> &'static str {
        self.worker.catalog.connector_of(&snapshot.config).map_or("unknown", |p| p.kind().name())
    }

    /// Finds the entry of a connector, or makes a new one. One that comes while the worker stops
    /// would be left behind, and is refused.
    fn find_or_add(
        &self,
        name: &str,
        state: TargetState,
    ) -> Result<(Place, mpsc::Sender<Command>)> {
        let mut all = self.lock();
        if all.stopping {
            return Err(Error::retriable("the worker is stopping"));
        }
        if let Some(entry) = all.entries.get(name) {
            let place = if *entry.stop.borrow() { Place::Ending } else { Place::Taken };
            return Ok((place, entry.commands.clone()));
        }
        let snapshot = Arc::new(Mutex::new(Snapshot { state, ..Snapshot::default() }));
        let topics = Arc::new(ActiveTopics::default());
        let (jobs, whose) = (Arc::clone(self.worker.plugins.jobs()), name.to_owned());
        let supervisor = Supervisor::new(name, move |task| jobs.keeps_memory(&whose, task));
        let supervisor = Arc::new(Mutex::new(supervisor));
        let shared = Shared { snapshot, topics, supervisor };
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (stop, stopping) = watch::channel(false);
        let actor = ConnectorActor::new(
            name,
            Arc::clone(&self.worker),
            shared.clone(),
            Inbox::new(inbox, stopping),
        );
        let actor = tokio::spawn(actor.run());
        let entry = Entry { shared, commands: commands.clone(), stop, actor };
        all.entries.insert(name.to_owned(), entry);
        Ok((Place::New, commands))
    }

    /// Forgets a connector once it has ended: the name stays taken until then, since its successor
    /// must not meet it. By then the name may have a new owner, who stays.
    async fn forget(&self, name: &str, commands: &mpsc::Sender<Command>) {
        commands.closed().await;
        let mut all = self.lock();
        if all.entries.get(name).is_some_and(|entry| entry.commands.same_channel(commands)) {
            all.entries.remove(name);
            self.worker.statuses.forget(name);
            self.worker.metrics.forget(name);
        }
    }

    fn topics(&self, name: &str) -> Option<Arc<ActiveTopics>> {
        self.lock().entries.get(name).map(|entry| Arc::clone(&entry.shared.topics))
    }

    fn supervisor(&self, name: &str) -> Option<Arc<Mutex<Supervisor>>> {
        self.lock().entries.get(name).map(|entry| Arc::clone(&entry.shared.supervisor))
    }

    /// Adds to the trace of what has failed what becomes of it.
    fn remark(&self, name: &str, part: PartId, status: &mut Status) {
        let (State::Failed, Some(trace)) = (status.state, &mut status.trace) else { return };
        let Some(supervisor) = self.supervisor(name) else { return };
        let supervisor = supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remark) = supervisor.remark(part, Instant::now()) {
            trace.push('\n');
            trace.push_str(&remark);
        }
    }

    /// The connectors as metrics show them. One that has no status yet is not there yet.
    fn views(&self) -> Vec<ConnectorView> {
        let names: Vec<String> = self.lock().entries.keys().cloned().collect();
        let view = |name: String| {
            let snapshot = self.snapshot(&name).ok()?;
            let statuses = self.worker.statuses.of(&name)?;
            let plugin = self.worker.catalog.connector_of(&snapshot.config).ok();
            let class = plugin.map(|plugin| plugin.class().to_owned());
            Some(ConnectorView {
                kind: self.kind(&snapshot),
                class: class.or_else(|| snapshot.config.get("connector.class").cloned())?,
                version: plugin.map_or("unknown", |plugin| plugin.version()).to_owned(),
                state: statuses.connector?.state,
                tasks: statuses.tasks.values().map(|status| status.state).collect(),
                name,
            })
        };
        names.into_iter().filter_map(view).collect()
    }

    fn connector_status(&self, name: &str, statuses: ConnectorStatuses) -> Result<ConnectorStatus> {
        let missing =
            || Error::new(ErrorKind::NotFound, format!("No status found for connector {name}"));
        let kind = self.kind(&self.snapshot(name).map_err(|_| missing())?);
        let mut status = statuses.connector.ok_or_else(missing)?;
        self.remark(name, None, &mut status);
        let tasks = statuses.tasks.into_iter().map(|(id, mut status)| {
            self.remark(name, Some(id), &mut status);
            TaskState { id, status }
        });
        Ok(ConnectorStatus {
            name: name.to_owned(),
            connector: ConnectorState { status },
            tasks: tasks.collect(),
            kind,
        })
    }
}

fn reference(connector: &str, task: usize) -> TaskReference {
    TaskReference { connector: connector.to_owned(), task }
}

/// What a restart begins with: the parts to restart, and how the status will look.
fn plan(
    mut statuses: ConnectorStatuses,
    request: RestartRequest,
) -> (ConnectorStatuses, bool, BTreeSet<usize>) {
    let picked = |status: &Status| !request.only_failed || status.state == State::Failed;
    let restarting = |status: &mut Status| status.state = State::Restarting;
    let connector = statuses.connector.as_mut().filter(|s| picked(s)).map(restarting).is_some();
    let mut tasks = BTreeSet::new();
    if request.include_tasks {
        for (task, status) in statuses.tasks.iter_mut().filter(|(_, s)| picked(s)) {
            restarting(status);
            tasks.insert(*task);
        }
    }
    (statuses, connector, tasks)
}

#[async_trait]
impl Herder for StandaloneHerder {
    async fn connectors(&self) -> Result<Vec<String>> {
        Ok(self.lock().entries.keys().cloned().collect())
    }

    async fn connector_info(&self, name: &str) -> Result<ConnectorInfo> {
        Ok(self.info(name, &self.snapshot(name)?))
    }

    async fn put_connector(
        &self,
        name: &str,
        config: Props,
        initial: Option<TargetState>,
        replace: bool,
    ) -> Result<(bool, ConnectorInfo)> {
        check_new(&self.worker, &config).await?;
        loop {
            let (place, commands) = self.find_or_add(name, initial.unwrap_or_default())?;
            match place {
                Place::Taken if !replace => {
                    let message = format!("Connector {name} already exists");
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                Place::Ending => {}
                Place::New | Place::Taken => {
                    let change = Change::Replace(config.clone());
                    let (reply, answer) = oneshot::channel();
                    let _ = commands.send(Command::Configure { change, reply }).await;
                    if let Ok(configured) = answer.await {
                        configured?;
                        let created = matches!(place, Place::New);
                        return Ok((created, self.connector_info(name).await?));
                    }
                }
            }
            // It is being deleted. As in Java, that is one thing, and to make it anew another.
            self.forget(name, &commands).await;
        }
    }

    async fn patch_connector(&self, name: &str, patch: Patch) -> Result<ConnectorInfo> {
        let change = Change::Patch(patch);
        self.ask(name, |reply| Command::Configure { change, reply }).await?;
        self.connector_info(name).await
    }

    async fn active_topics(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.topics(name).map(|topics| topics.names()).unwrap_or_default())
    }

    async fn reset_active_topics(&self, name: &str) -> Result<()> {
        if let Some(topics) = self.topics(name) {
            topics.reset();
        }
        Ok(())
    }

    async fn offsets(&self, name: &str) -> Result<Vec<ConnectorOffset>> {
        let config = self.snapshot(name)?.config;
        let Resolved { props, redaction } =
            self.worker.config.variables.resolve_aside(&config).await?;
        offsets::read(&self.worker, name, &props).await.map_err(|e| redaction.error(e))
    }

    async fn alter_offsets(&self, name: &str, offsets: Vec<ConnectorOffset>) -> Result<String> {
        let wanted = Some(offsets);
        self.ask(name, |reply| Command::ChangeOffsets { wanted, reply }).await
    }

    async fn reset_offsets(&self, name: &str) -> Result<String> {
        self.ask(name, |reply| Command::ChangeOffsets { wanted: None, reply }).await
    }

    async fn restarts(&self, name: &str) -> Result<Restarts> {
        let supervisor = self.supervisor(name).ok_or_else(|| Self::unknown(name))?;
        let supervisor = supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(supervisor.restarts(Instant::now()))
    }

    async fn skip(&self, name: &str, task: usize, record: RecordPlace) -> Result<String> {
        self.ask(name, |reply| Command::Skip { task, record, reply }).await
    }

    async fn hung(&self) -> Result<Vec<Hung>> {
        Ok(watchdog::hung(self.worker.plugins.jobs(), self.worker.config.hang_report))
    }

    async fn memory(&self) -> Result<MemoryReport> {
        Ok(self.worker.metrics.budget().report())
    }

    async fn metrics(&self, names: MetricNames) -> String {
        self.worker.metrics.text(&self.views(), names)
    }

    async fn health(&self) -> Result<()> {
        match self.lock().stopping {
            true => Err(Error::retriable("the worker is stopping")),
            false => Ok(()),
        }
    }

    async fn delete_connector(&self, name: &str) -> Result<()> {
        let (commands, ending) = {
            let all = self.lock();
            let entry = all.entries.get(name).ok_or_else(|| Self::unknown(name))?;
            (entry.commands.clone(), entry.stop.send_replace(true))
        };
        self.forget(name, &commands).await;
        match ending {
            // Another deletion was quicker.
            true => Err(Self::unknown(name)),
            false => Ok(()),
        }
    }

    async fn status(&self, name: &str) -> Result<ConnectorStatus> {
        self.connector_status(name, self.worker.statuses.of(name).unwrap_or_default())
    }

    async fn tasks(&self, name: &str) -> Result<Vec<TaskInfo>> {
        let tasks = self.snapshot(name)?.tasks.into_iter().enumerate();
        Ok(tasks.map(|(task, config)| TaskInfo { id: reference(name, task), config }).collect())
    }

    async fn task_status(&self, name: &str, task: usize) -> Result<TaskState> {
        let statuses = self.worker.statuses.of(name).unwrap_or_default();
        let mut status = statuses.tasks.get(&task).cloned().ok_or_else(|| {
            let message = format!("No status found for task {name}-{task}");
            Error::new(ErrorKind::NotFound, message)
        })?;
        self.remark(name, Some(task), &mut status);
        Ok(TaskState { id: task, status })
    }

    async fn set_target_state(&self, name: &str, state: TargetState) -> Result<()> {
        let unknown = || match state {
            // As in Java: an error of its own, and of the server.
            TargetState::Stopped => Error::fatal(format!("No connector `{name}` configured")),
            _ => Error::new(ErrorKind::NotFound, format!("Unknown connector {name}")),
        };
        let commands = self.commands(name).ok_or_else(unknown)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Target { state, reply };
        commands.send(command).await.map_err(|_| unknown())?;
        match state {
            TargetState::Stopped => answer.await.map_err(|_| unknown())?,
            _ => Ok(()),
        }
    }

    async fn restart(
        &self,
        name: &str,
        request: RestartRequest,
    ) -> Result<Option<ConnectorStatus>> {
        if !request.include_tasks && !request.only_failed {
            self.ask(name, Command::RestartConnector).await?;
            return Ok(None);
        }
        let unknown = || Error::new(ErrorKind::NotFound, format!("Unknown connector: {name}"));
        let commands = self.commands(name).ok_or_else(unknown)?;
        let missing = || {
            let message = format!("Status for connector {name} not found");
            Error::new(ErrorKind::NotFound, message)
        };
        let statuses = self.worker.statuses.of(name).ok_or_else(missing)?;
        let (statuses, connector, tasks) = plan(statuses, request);
        // Said before it begins, so that nobody takes the old run for the new one.
        for task in &tasks {
            self.worker.statuses.restarting(name, *task);
        }
        let command = Command::Restart { connector, tasks };
        commands.send(command).await.map_err(|_| unknown())?;
        self.connector_status(name, statuses).map(Some)
    }

    async fn restart_task(&self, name: &str, task: usize) -> Result<()> {
        if task >= self.snapshot(name)?.tasks.len() {
            return Err(unknown_task(name, task));
        }
        self.ask(name, |reply| Command::RestartTask { task, reply }).await
    }

    fn plugins(&self, kinds: &[PluginKind]) -> Vec<PluginInfo> {
        let all = self.worker.catalog.plugins().iter();
        all.filter(|p| kinds.is_empty() || kinds.contains(&p.kind()))
            .map(|p| PluginInfo { class: p.class(), kind: p.kind().name(), version: p.version() })
            .collect()
    }

    fn plugin_config(&self, name: &str, version: Option<&str>) -> Result<Vec<ConfigKeyInfo>> {
        plugin_config(&self.worker.catalog, name, version)
    }

    async fn validate(&self, config: &Props, nulls: &[String]) -> Result<ConfigInfos> {
        validate(&self.worker, config, nulls).await
    }

    fn kafka_cluster_id(&self) -> String {
        self.cluster_id.clone()
    }
}
