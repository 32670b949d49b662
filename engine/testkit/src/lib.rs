//! What tests of plugins are built from: data of every shape, the suites each plugin must pass, and
//! comparison with what Java answered. For tests only: everything here panics on what is wrong.
//!
//! A plugin's `tests/it.rs` implements the fixture trait of its suite and calls the suite's macro:
//!
//! ```text
//! struct Lines(tempfile::TempDir);
//! impl SourceFixture for Lines { … }
//! source_suite!(file_stream_source, Lines::new());
//! ```
#![deny(missing_docs)]

pub mod arbitrary;
pub mod converter_suite;
pub mod golden;
pub mod notation;
pub mod plugin_host;
pub mod recorded;
pub mod sink_suite;
pub mod source_suite;
pub mod transform_suite;
