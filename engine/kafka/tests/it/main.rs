//! All backends, seen through `dyn Cluster` only.
#![allow(
    clippy::unwrap_used,
    reason = "tests may, but clippy only sees those that are not shared between tests"
)]

#[macro_use]
mod conformance;
#[macro_use]
mod fixture;
#[macro_use]
mod transactions;
#[cfg(feature = "rdkafka")]
mod broker;
#[cfg(feature = "rdkafka")]
mod consumer;
mod consumers;
mod embedded;
#[cfg(feature = "rdkafka")]
mod faults;
mod named;
mod native;
#[cfg(feature = "rdkafka")]
mod real;
#[cfg(feature = "rdkafka")]
mod served;
