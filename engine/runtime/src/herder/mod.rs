//! What may be asked of a worker about its connectors: the one interface of REST and commands.

pub(crate) mod actor;
pub(crate) mod standalone;
pub(crate) mod validate;

use async_trait::async_trait;
use millrace_api::config::{ConfigInfos, ConfigKeyInfo};
use millrace_api::{PluginKind, Props, Result};
use serde::Serialize;

use crate::status::Status;

/// What a connector should be doing (`TargetState` in Java).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetState {
    /// Running.
    #[default]
    Started,
    /// Resting, with its tasks kept.
    Paused,
}

/// `ConnectorInfo` of the REST API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorInfo {
    /// The connector's name.
    pub name: String,
    /// Its configuration as written.
    pub config: Props,
    /// Its tasks.
    pub tasks: Vec<TaskReference>,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A task as the REST API names it (`ConnectorTaskId` in Java).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskReference {
    /// The connector's name.
    pub connector: String,
    /// The task's number.
    pub task: usize,
}

/// `TaskInfo` of the REST API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskInfo {
    /// Which task.
    pub id: TaskReference,
    /// Its configuration.
    pub config: Props,
}

/// `ConnectorStateInfo` of the REST API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorStatus {
    /// The connector's name.
    pub name: String,
    /// Its own state.
    pub connector: ConnectorState,
    /// Its tasks' states, by number.
    pub tasks: Vec<TaskState>,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A connector's state on the wire: members in Java's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorState {
    /// The state, worker, version and trace.
    #[serde(flatten)]
    pub status: Status,
}

/// A task's state on the wire: members in Java's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskState {
    /// The task's number.
    pub id: usize,
    /// The state, worker, version and trace.
    #[serde(flatten)]
    pub status: Status,
}

/// `PluginInfo` of the REST API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginInfo {
    /// The Java class name.
    pub class: &'static str,
    /// `source`, `sink`, `converter`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The plugin's version.
    pub version: &'static str,
}

/// What to restart (KIP-745). Without either flag only the connector is restarted, at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestartRequest {
    /// The tasks as well.
    pub include_tasks: bool,
    /// Only what has failed.
    pub only_failed: bool,
}

/// Runs connectors and answers for them (`Herder` in Java).
///
/// Errors carry Java's messages; their [kind](millrace_api::ErrorKind) says which HTTP status they
/// become. Nothing a plugin does may keep these calls from answering for other connectors.
#[async_trait]
pub trait Herder: Send + Sync {
    /// The names of all connectors, sorted.
    async fn connectors(&self) -> Result<Vec<String>>;

    /// A connector's configuration and tasks.
    async fn connector_info(&self, name: &str) -> Result<ConnectorInfo>;

    /// Creates a connector, or replaces its configuration when `replace` allows it. The flag says
    /// whether it was created. Returns once its tasks were started.
    async fn put_connector(
        &self,
        name: &str,
        config: Props,
        initial: Option<TargetState>,
        replace: bool,
    ) -> Result<(bool, ConnectorInfo)>;

    /// Stops a connector and forgets it; its offsets stay.
    async fn delete_connector(&self, name: &str) -> Result<()>;

    /// What a connector and its tasks are doing.
    async fn status(&self, name: &str) -> Result<ConnectorStatus>;

    /// A connector's tasks and their configurations.
    async fn tasks(&self, name: &str) -> Result<Vec<TaskInfo>>;

    /// What a task is doing.
    async fn task_status(&self, name: &str, task: usize) -> Result<TaskState>;

    /// Pauses or resumes a connector and its tasks. Returns at once.
    async fn set_target_state(&self, name: &str, state: TargetState) -> Result<()>;

    /// Restarts a connector, its tasks, or both. With either flag the answer is what will be
    /// restarted, and the restart goes on in the background.
    async fn restart(&self, name: &str, request: RestartRequest)
    -> Result<Option<ConnectorStatus>>;

    /// Restarts one task.
    async fn restart_task(&self, name: &str, task: usize) -> Result<()>;

    /// Every plugin; of a kind when `kinds` is not empty.
    fn plugins(&self, kinds: &[PluginKind]) -> Vec<PluginInfo>;

    /// A plugin's configuration keys.
    fn plugin_config(&self, name: &str) -> Result<Vec<ConfigKeyInfo>>;

    /// Checks a connector's configuration without opening anything.
    async fn validate(&self, config: &Props) -> Result<ConfigInfos>;

    /// The Kafka cluster's id.
    fn kafka_cluster_id(&self) -> String;
}
