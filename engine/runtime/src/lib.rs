//! The worker: runs connectors and tasks, keeps their offsets and states, and answers for them.

mod activity;
mod catalog;
mod config;
mod connector;
mod contain;
mod failure;
mod fence;
mod herder;
mod leaks;
mod log_levels;
mod memory;
mod metrics;
mod plugin_runtime;
mod preview;
mod rehearsal;
mod release;
pub mod rest;
mod secrets;
mod status;
mod store;
mod task;
mod topics;
mod watchdog;
mod watched;
mod worker;

pub use catalog::Catalog;
pub use config::worker::{WorkerConfig, resolve_variables};
pub use failure::RecordPlace;
pub use herder::standalone::StandaloneHerder;
pub use herder::supervisor::{Obstacle, PartRestarts, PastFailure, Restarts};
pub use herder::{
    ConnectorInfo, ConnectorOffset, ConnectorState, ConnectorStatus, Herder, Patch, PluginInfo,
    RestartRequest, TargetState, TaskInfo, TaskReference, TaskState,
};
pub use log_levels::{LoggerLevel, Loggers};
pub use memory::{MemoryReport, TaskMemory};
pub use metrics::MetricNames;
pub use preview::{Preview, Previewed};
pub use rehearsal::{Rehearsal, StepOutcome, StepTaken};
pub use secrets::without_secrets;
pub use status::{State, Status};
pub use store::offset_file::OffsetFile;
pub use store::offsets::OffsetStore;
pub use task::TaskId;
pub use watchdog::Hung;
