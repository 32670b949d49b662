//! Runs all connectors in this process; what they are is kept in memory, how far they got in the
//! offset file (`StandaloneHerder` in Java).
//!
//! Each connector has an actor of its own that carries out its commands one after the other, so a
//! connector that hangs keeps nobody else waiting. What REST reads is a snapshot beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millrace_api::config::{ConfigInfos, ConfigKeyInfo};
use millrace_api::{Error, ErrorKind, PluginKind, Props, Result};
use millrace_kafka::Cluster;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::validate::{require_valid, validate};
use super::{
    ConnectorInfo, ConnectorOffset, ConnectorState, ConnectorStatus, Herder, Patch, PluginInfo,
    RestartRequest, TargetState, TaskInfo, TaskReference, TaskState,
};
use crate::catalog::Catalog;
use crate::config::connector::definition;
use crate::config::worker::WorkerConfig;
use crate::herder::actor::{Command, ConnectorActor, Snapshot};
use crate::status::{ConnectorStatuses, State, Status, StatusStore};
use crate::store::offsets::OffsetStore;
use crate::worker::Worker;

/// Commands a connector's actor may have waiting. More would mean that somebody hammers a
/// connector that hangs; they wait for room.
const COMMANDS: usize = 16;

/// A worker by itself.
pub struct StandaloneHerder {
    worker: Arc<Worker>,
    cluster_id: String,
    connectors: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    snapshot: Arc<Mutex<Snapshot>>,
    commands: mpsc::Sender<Command>,
    stop: watch::Sender<bool>,
    actor: JoinHandle<()>,
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
        require_converters(&catalog, &config)?;
        let cluster_id = cluster.cluster_id().await?;
        let worker = Worker {
            id: worker_id,
            catalog: Arc::new(catalog),
            config,
            cluster,
            offsets,
            statuses: Arc::new(StatusStore::default()),
        };
        Ok(Self { worker: Arc::new(worker), cluster_id, connectors: Mutex::default() })
    }

    /// Stops all connectors: offsets of what is acknowledged are committed, as far as
    /// `task.shutdown.graceful.timeout.ms` allows.
    pub async fn stop(&self) {
        let mut entries = std::mem::take(&mut *self.lock());
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unknown(name: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("Connector {name} not found"))
    }

    fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let all = self.lock();
        let entry = all.get(name).ok_or_else(|| Self::unknown(name))?;
        Ok(entry.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn commands(&self, name: &str) -> Option<mpsc::Sender<Command>> {
        self.lock().get(name).map(|entry| entry.commands.clone())
    }

    /// Has the connector's actor carry a command out, and waits for its answer.
    async fn ask<T>(
        &self,
        name: &str,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
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

    /// Makes the entry of a new connector; false when it exists.
    fn add(&self, name: &str, state: TargetState) -> bool {
        let mut all = self.lock();
        if all.contains_key(name) {
            return false;
        }
        let snapshot = Arc::new(Mutex::new(Snapshot { state, ..Snapshot::default() }));
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (stop, stopping) = watch::channel(false);
        let (worker, shown) = (Arc::clone(&self.worker), Arc::clone(&snapshot));
        let actor = ConnectorActor::new(name, worker, shown, stopping);
        let actor = tokio::spawn(actor.run(inbox));
        all.insert(name.to_owned(), Entry { snapshot, commands, stop, actor });
        true
    }

    fn connector_status(&self, name: &str, statuses: ConnectorStatuses) -> Result<ConnectorStatus> {
        let missing =
            || Error::new(ErrorKind::NotFound, format!("No status found for connector {name}"));
        let kind = self.kind(&self.snapshot(name).map_err(|_| missing())?);
        let status = statuses.connector.ok_or_else(missing)?;
        let tasks = statuses.tasks.into_iter().map(|(id, status)| TaskState { id, status });
        Ok(ConnectorStatus {
            name: name.to_owned(),
            connector: ConnectorState { status },
            tasks: tasks.collect(),
            kind,
        })
    }
}

/// A worker whose own converters do not exist would fail every task.
fn require_converters(catalog: &Catalog, config: &WorkerConfig) -> Result<()> {
    let (converter, header) = (PluginKind::Converter, PluginKind::HeaderConverter);
    for (kind, key, class) in [
        (converter, "key.converter", &config.key_converter),
        (converter, "value.converter", &config.value_converter),
        (header, "header.converter", &config.header_converter),
    ] {
        catalog.plugin(kind, key, class.as_str())?;
    }
    Ok(())
}

fn reference(connector: &str, task: usize) -> TaskReference {
    TaskReference { connector: connector.to_owned(), task }
}

/// What a restart begins with: the parts to restart, and how the status will look.
fn plan(
    mut statuses: ConnectorStatuses,
    request: RestartRequest,
) -> (ConnectorStatuses, bool, Vec<usize>) {
    let picked = |status: &Status| !request.only_failed || status.state == State::Failed;
    let restarting = |status: &mut Status| status.state = State::Restarting;
    let connector = statuses.connector.as_mut().filter(|s| picked(s)).map(restarting).is_some();
    let mut tasks = Vec::new();
    if request.include_tasks {
        for (task, status) in statuses.tasks.iter_mut().filter(|(_, s)| picked(s)) {
            restarting(status);
            tasks.push(*task);
        }
    }
    (statuses, connector, tasks)
}

#[async_trait]
impl Herder for StandaloneHerder {
    async fn connectors(&self) -> Result<Vec<String>> {
        Ok(self.lock().keys().cloned().collect())
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
        require_valid(&validate(&self.worker.catalog, &self.worker.config, &config)?)?;
        let created = self.add(name, initial.unwrap_or_default());
        if !created && !replace {
            let message = format!("Connector {name} already exists");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.ask(name, |reply| Command::Configure { config, reply }).await?;
        Ok((created, self.connector_info(name).await?))
    }

    async fn patch_connector(&self, _name: &str, _patch: Patch) -> Result<ConnectorInfo> {
        Err(Error::fatal("not implemented yet"))
    }

    async fn active_topics(&self, _name: &str) -> Result<Vec<String>> {
        Err(Error::fatal("not implemented yet"))
    }

    async fn reset_active_topics(&self, _name: &str) -> Result<()> {
        Err(Error::fatal("not implemented yet"))
    }

    async fn offsets(&self, _name: &str) -> Result<Vec<ConnectorOffset>> {
        Err(Error::fatal("not implemented yet"))
    }

    async fn alter_offsets(&self, _name: &str, _offsets: Vec<ConnectorOffset>) -> Result<String> {
        Err(Error::fatal("not implemented yet"))
    }

    async fn reset_offsets(&self, _name: &str) -> Result<String> {
        Err(Error::fatal("not implemented yet"))
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }

    async fn delete_connector(&self, name: &str) -> Result<()> {
        let commands = {
            let all = self.lock();
            let entry = all.get(name).ok_or_else(|| Self::unknown(name))?;
            entry.stop.send_replace(true);
            entry.commands.clone()
        };
        // The name stays taken until the connector is gone: its successor must not meet it.
        commands.closed().await;
        let mut all = self.lock();
        // Another deletion may have been quicker; then the name may have a new owner by now.
        if !all.get(name).is_some_and(|entry| entry.commands.same_channel(&commands)) {
            return Err(Self::unknown(name));
        }
        all.remove(name);
        self.worker.statuses.forget(name);
        Ok(())
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
        let status = statuses.tasks.get(&task).cloned().ok_or_else(|| {
            let message = format!("No status found for task {name}-{task}");
            Error::new(ErrorKind::NotFound, message)
        })?;
        Ok(TaskState { id: task, status })
    }

    async fn set_target_state(&self, name: &str, state: TargetState) -> Result<()> {
        let unknown = || Error::new(ErrorKind::NotFound, format!("Unknown connector {name}"));
        let commands = self.commands(name).ok_or_else(unknown)?;
        commands.send(Command::Target(state)).await.map_err(|_| unknown())
    }

    async fn restart(
        &self,
        name: &str,
        request: RestartRequest,
    ) -> Result<Option<ConnectorStatus>> {
        if !request.include_tasks && !request.only_failed {
            self.ask(name, |reply| Command::RestartConnector(Some(reply))).await?;
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
        if connector {
            commands.send(Command::RestartConnector(None)).await.map_err(|_| unknown())?;
        }
        for task in tasks {
            let command = Command::RestartTask { task, reply: None };
            commands.send(command).await.map_err(|_| unknown())?;
        }
        self.connector_status(name, statuses).map(Some)
    }

    async fn restart_task(&self, name: &str, task: usize) -> Result<()> {
        if task >= self.snapshot(name)?.tasks.len() {
            let message = format!("Task {name}-{task} not found");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        self.ask(name, |reply| Command::RestartTask { task, reply: Some(reply) }).await
    }

    fn plugins(&self, kinds: &[PluginKind]) -> Vec<PluginInfo> {
        let all = self.worker.catalog.plugins().iter();
        all.filter(|p| kinds.is_empty() || kinds.contains(&p.kind()))
            .map(|p| PluginInfo { class: p.class(), kind: p.kind().name(), version: p.version() })
            .collect()
    }

    fn plugin_config(&self, name: &str, _version: Option<&str>) -> Result<Vec<ConfigKeyInfo>> {
        let plugin =
            self.worker.catalog.find(&PluginKind::ALL, name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("Unknown plugin {name}."))
            })?;
        let mut keys = plugin.config_def().infos();
        if matches!(plugin.kind(), PluginKind::Source | PluginKind::Sink) {
            let own: Vec<String> = keys.iter().map(|key| key.name.clone()).collect();
            let framework = definition(plugin.kind()).infos();
            keys.extend(framework.into_iter().filter(|key| !own.contains(&key.name)));
        }
        Ok(keys)
    }

    async fn validate(&self, config: &Props) -> Result<ConfigInfos> {
        validate(&self.worker.catalog, &self.worker.config, config)
    }

    fn kafka_cluster_id(&self) -> String {
        self.cluster_id.clone()
    }
}
