//! The engine's semantics, on a log in memory.
#![allow(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

mod fixture;
mod herder;
mod plugins;
mod random;
mod sink;
mod source;
mod stuck;
