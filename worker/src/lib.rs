//! Where plugins meet the runtime: the catalog and the commands of the `millrace` binary.

pub mod catalog;
pub mod commands;
mod logging;

pub use logging::{LogFormat, start_logging};
