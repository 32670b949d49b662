//! The worker: runs connectors and tasks, keeps their offsets and states, and answers for them.

mod catalog;
mod config;
mod herder;
pub mod rest;
mod status;
mod store;
mod task;
mod worker;

pub use catalog::Catalog;
pub use config::worker::{Listener, WorkerConfig};
pub use herder::standalone::StandaloneHerder;
pub use herder::{
    ConnectorInfo, ConnectorState, ConnectorStatus, Herder, PluginInfo, RestartRequest,
    TargetState, TaskInfo, TaskReference, TaskState,
};
pub use status::{State, Status};
pub use store::offset_file::OffsetFile;
pub use store::offsets::OffsetStore;
pub use task::TaskId;
