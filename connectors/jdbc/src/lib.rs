//! Kafka Connect's JDBC connector: the source for PostgreSQL and SQLite.
//!
//! Decides which plugins the crate offers. The way of a row: `source::task` starts a query,
//! `dialect::*` reads its rows from the wire into `cells`, `batch` makes them records.

mod batch;
mod calendar;
mod cells;
mod cursor;
mod database;
mod dialect;
mod form;
mod gaps;
mod numeric;
mod position;
mod source;
mod table;
mod unfinished;
mod url;

use millrace_api::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![Plugin::source::<source::Confluent>(), Plugin::source::<source::Aiven>().without_aliases()]
}
