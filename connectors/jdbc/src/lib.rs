//! Kafka Connect's JDBC connectors: source and sink for PostgreSQL, MySQL,
//! MariaDB and SQLite.
//!
//! Decides which plugins the crate offers. The way of a row: `source::task` starts a query,
//! `dialect::*` reads its rows from the wire into `cells`, `batch` makes them records. And of a
//! record: `sink::rows` makes it a row, `sink::batch` puts it in order with others,
//! `sink::writer` has `dialect::*` write them.

mod batch;
mod calendar;
mod cells;
mod cursor;
mod database;
mod dialect;
mod form;
mod gaps;
mod key;
mod numeric;
mod position;
mod settings;
mod sink;
mod source;
mod table;
mod unfinished;
mod url;

use millrace_api::Plugin;

/// The plugins of this crate.
pub fn plugins() -> Vec<Plugin> {
    vec![
        Plugin::source::<source::Confluent>(),
        Plugin::source::<source::Aiven>().without_aliases(),
        Plugin::sink::<sink::Confluent>(),
        Plugin::sink::<sink::Aiven>().without_aliases(),
        Plugin::sink::<sink::Debezium>().without_aliases(),
    ]
}
