//! What may be asked of a worker about its connectors: the one interface of REST and commands.

pub(crate) mod actor;
mod inbox;
mod offsets;
pub(crate) mod plugin_config;
pub(crate) mod standalone;
pub(crate) mod supervisor;
pub(crate) mod validate;

use async_trait::async_trait;
use millrace_api::config::{ConfigInfos, ConfigKeyInfo};
use millrace_api::{PluginKind, Props, Result};
use serde::Serialize;

use self::supervisor::Restarts;
use crate::failure::RecordPlace;
use crate::memory::MemoryReport;
use crate::metrics::MetricNames;
use crate::status::Status;
use crate::watchdog::Hung;

/// What a connector should be doing (`TargetState` in Java).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetState {
    /// Running.
    #[default]
    Started,
    /// Resting, with its tasks kept.
    Paused,
    /// Without tasks, so that its offsets may be changed (KIP-875).
    Stopped,
}

impl TargetState {
    /// What a create request calls this state, in any case (`InitialState` in Java).
    pub fn initial(text: &str) -> Option<Self> {
        match text.to_uppercase().as_str() {
            "RUNNING" => Some(Self::Started),
            "PAUSED" => Some(Self::Paused),
            "STOPPED" => Some(Self::Stopped),
            _ => None,
        }
    }
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

/// How far a connector got in one part of its source or topic (`ConnectorOffset` of the REST API).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectorOffset {
    /// A source partition, or `kafka_topic` and `kafka_partition`; none only in what a client
    /// sends.
    pub partition: Option<serde_json::Map<String, serde_json::Value>>,
    /// A source offset, or `kafka_offset`; none: deleted, or to be deleted.
    pub offset: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What a configuration is to become: a value replaces, none removes (KIP-477).
pub type Patch = std::collections::BTreeMap<String, Option<String>>;

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

    /// Changes some keys of a connector's configuration (KIP-477). Returns once its tasks were
    /// started anew.
    async fn patch_connector(&self, name: &str, patch: Patch) -> Result<ConnectorInfo>;

    /// Stops a connector and forgets it; its offsets stay.
    async fn delete_connector(&self, name: &str) -> Result<()>;

    /// What a connector and its tasks are doing.
    async fn status(&self, name: &str) -> Result<ConnectorStatus>;

    /// A connector's tasks and their configurations.
    async fn tasks(&self, name: &str) -> Result<Vec<TaskInfo>>;

    /// What a task is doing.
    async fn task_status(&self, name: &str, task: usize) -> Result<TaskState>;

    /// Pauses, resumes or stops a connector and its tasks. A stop returns once the tasks are gone,
    /// the others at once.
    async fn set_target_state(&self, name: &str, state: TargetState) -> Result<()>;

    /// Restarts a connector, its tasks, or both. With either flag the answer is what will be
    /// restarted, and the restart goes on in the background.
    async fn restart(&self, name: &str, request: RestartRequest)
    -> Result<Option<ConnectorStatus>>;

    /// Restarts one task.
    async fn restart_task(&self, name: &str, task: usize) -> Result<()>;

    /// What has failed of a connector, and what becomes of it.
    async fn restarts(&self, name: &str) -> Result<Restarts>;

    /// Leaves out the record at which a task has failed, which is to be named, and restarts the
    /// task. The answer says what was done.
    async fn skip(&self, name: &str, task: usize, record: RecordPlace) -> Result<String>;

    /// The topics that a connector's tasks have used since it was made or they were reset
    /// (KIP-558); none for a connector nobody knows.
    async fn active_topics(&self, name: &str) -> Result<Vec<String>>;

    /// Forgets which topics a connector has used.
    async fn reset_active_topics(&self, name: &str) -> Result<()>;

    /// How far a connector got: a source's stored offsets, or what a sink's group has committed.
    async fn offsets(&self, name: &str) -> Result<Vec<ConnectorOffset>>;

    /// Sets a stopped connector's offsets; the answer is Java's message about it (KIP-875).
    async fn alter_offsets(&self, name: &str, offsets: Vec<ConnectorOffset>) -> Result<String>;

    /// Deletes a stopped connector's offsets; the answer is Java's message about it (KIP-875).
    async fn reset_offsets(&self, name: &str) -> Result<String>;

    /// Every plugin; of a kind when `kinds` is not empty.
    fn plugins(&self, kinds: &[PluginKind]) -> Vec<PluginInfo>;

    /// A plugin's configuration keys; those of a version when one is given, as a Maven range, a
    /// version or `latest` (KIP-891).
    fn plugin_config(&self, name: &str, version: Option<&str>) -> Result<Vec<ConfigKeyInfo>>;

    /// Checks a connector's configuration, and changes nothing: when it is right by itself, the
    /// connector asks the system it is for. `nulls` are keys that were given with null, which are
    /// errors.
    async fn validate(&self, config: &Props, nulls: &[String]) -> Result<ConfigInfos>;

    /// What does not return from a call, and what was given up and is still there.
    async fn hung(&self) -> Result<Vec<Hung>>;

    /// Answers once the herder can take commands. While it cannot yet, the error is `Retriable`.
    async fn health(&self) -> Result<()>;

    /// What tasks hold in memory, and may hold.
    async fn memory(&self) -> Result<MemoryReport>;

    /// What Prometheus reads of this worker.
    async fn metrics(&self, names: MetricNames) -> String;

    /// The Kafka cluster's id.
    fn kafka_cluster_id(&self) -> String;
}
