//! Decides which database a configuration names: its URL, who connects, and driver settings.

use std::sync::Arc;

use millrace_api::config::{Password, Props};
use millrace_api::{Error, Result};

use crate::dialect::Dialect;
use crate::dialect::mysql::MySql;
use crate::dialect::postgres::Postgres;
use crate::dialect::sqlite::Sqlite;
use crate::url::JdbcUrl;

/// Java's names of dialects, for `dialect.name`.
pub(crate) const DIALECTS: [&str; 12] = [
    "",
    "Db2DatabaseDialect",
    "DerbyDatabaseDialect",
    "GenericDatabaseDialect",
    "MySqlDatabaseDialect",
    "OracleDatabaseDialect",
    "PostgreSqlDatabaseDialect",
    "SapHanaDatabaseDialect",
    "SqlServerDatabaseDialect",
    "SqliteDatabaseDialect",
    "SybaseDatabaseDialect",
    "VerticaDatabaseDialect",
];

/// The keys that say where a database is, of source and sink.
pub(crate) struct Database<'a> {
    pub(crate) url: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a Password>,
    /// `dialect.name`; empty: by the URL.
    pub(crate) dialect: &'a str,
}

impl Database<'_> {
    /// The database. `props` may hold driver settings as `connection.NAME`; what the URL says wins.
    pub(crate) fn open(&self, props: &Props) -> Result<Arc<dyn Dialect>> {
        const OURS: [&str; 5] = ["url", "user", "password", "attempts", "backoff.ms"];
        let mut url = JdbcUrl::parse(self.url.trim())?;
        let wanted = match &url {
            JdbcUrl::Postgres(_) => "PostgreSqlDatabaseDialect",
            JdbcUrl::MySql(_) => "MySqlDatabaseDialect",
            JdbcUrl::Sqlite(_) => "SqliteDatabaseDialect",
        };
        if !self.dialect.is_empty() && !self.dialect.eq_ignore_ascii_case(wanted) {
            let message = "dialect.name does not go with connection.url; leave it out";
            return Err(Error::config(message).context("dialect.name", self.dialect));
        }
        let settings = url.settings_mut();
        if let Some(user) = self.user {
            settings.add("user", user);
        }
        if let Some(password) = self.password {
            settings.add("password", password.value());
        }
        for (key, value) in props {
            if let Some(name) = key.strip_prefix("connection.").filter(|n| !OURS.contains(n)) {
                settings.add(name, value);
            }
        }
        Ok(match url {
            JdbcUrl::Postgres(url) => Arc::new(Postgres::new(&url)?),
            JdbcUrl::MySql(url) => Arc::new(MySql::new(&url)?),
            JdbcUrl::Sqlite(url) => Arc::new(Sqlite::new(&url)?),
        })
    }
}
