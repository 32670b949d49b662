//! What users configure: the worker, its connectors, and the Kafka clients of both.

pub(crate) mod clients;
pub(crate) mod connector;
pub(crate) mod plugins;
pub(crate) mod rest;
pub(crate) mod worker;
