//! What users configure: the worker, its connectors, and the Kafka clients of both.

pub(crate) mod client_keys;
pub(crate) mod clients;
pub(crate) mod connector;
mod keys;
pub(crate) mod meant;
pub(crate) mod plugins;
pub(crate) mod policy;
mod providers;
pub(crate) mod redaction;
pub(crate) mod rest;
pub(crate) mod restart;
mod shown;
pub(crate) mod variables;
pub(crate) mod versions;
pub(crate) mod worker;
