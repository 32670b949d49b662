//! The lake sink: topics become Parquet or JSON files in a directory, each visible only when whole.
//!
//! One record's way: `task` sorts out what cannot be written, `format` turns a run's columns into
//! what files take, `partition` cuts the run into files where `rotation` says so, `naming` names
//! them, `store` makes them durable and visible. Offsets are committed for published files only.

mod clock;
mod config;
mod connector;
mod format;
mod naming;
mod partition;
mod rotation;
mod rules;
mod settings;
mod store;
mod task;

use millrace_api::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![Plugin::sink::<connector::LakeSink>()]
}
