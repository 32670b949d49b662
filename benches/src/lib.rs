//! What all benches share: the clock they read, the data they move, and how they drive a task.

pub mod clock;
pub mod data;
pub mod rdkafka_raw;
pub mod tasks;
