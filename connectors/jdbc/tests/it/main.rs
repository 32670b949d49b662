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
mod mariadb_late;
mod mariadb_server;
mod pages;
mod people;
mod postgres;
mod server;
mod sink_host;
mod sink_mariadb;
mod sink_sqlite;
mod snapshot;
mod speed;
mod sqlite;
mod times;
mod verify;
mod watch;
