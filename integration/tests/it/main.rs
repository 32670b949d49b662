//! One binary for all tests that need servers: linking is what costs on a small machine.

mod golden;
mod servers;
