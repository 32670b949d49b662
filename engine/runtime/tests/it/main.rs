//! The engine's semantics, on a log in memory.
#![allow(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

/// As in the binary.
#[global_allocator]
static ALLOCATOR: millrace_threads::Allocator = millrace_threads::Allocator;

mod asking;
mod blocking;
mod clusters;
mod containment;
mod converters;
mod errors;
mod faults;
mod fixture;
mod herder;
mod letters;
mod losses;
mod memory;
mod metrics;
mod offsets;
mod overrides;
mod places;
mod plugins;
mod poison;
mod preview;
mod random;
mod refusals;
mod sink;
mod soak;
mod source;
mod states;
mod stuck;
mod supervisor;
mod topic_creation;
mod topics;
mod variables;
