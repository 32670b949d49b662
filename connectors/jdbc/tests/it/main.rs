//! The JDBC source as the worker drives it, on SQLite files, and PostgreSQL and MariaDB servers
//! of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aiven;
mod complex;
mod config;
mod host;
mod keys;
mod late;
mod mariadb;
mod mariadb_decimals;
mod mariadb_late;
mod mariadb_server;
mod masked;
mod modes;
mod pages;
mod people;
mod postgres;
mod postgres_sessions;
mod server;
mod sink_config;
mod sink_debezium;
mod sink_faults;
mod sink_host;
mod sink_letters;
mod sink_mariadb;
mod sink_names;
mod sink_once;
mod sink_order;
mod sink_postgres;
mod sink_sqlite;
mod sink_tables;
mod sink_values;
mod snapshot;
mod speed;
mod sqlite;
mod time_columns;
mod times;
mod verify;
mod watch;
