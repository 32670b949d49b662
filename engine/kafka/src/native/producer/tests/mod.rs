//! The producer without a cluster: `order` plays with one partition, `sending` with all of the
//! producer and brokers of a few lines, under a clock that only waits move; `memory` looks at what
//! it holds meanwhile.

mod cost;
mod memory;
mod order;
mod sending;
mod topics;
mod transactions;
