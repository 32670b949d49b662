//! The producer without a cluster: `order` plays with one partition, `sending` with all of the
//! producer and brokers of a few lines, under a clock that only waits move.

mod cost;
mod order;
mod sending;
