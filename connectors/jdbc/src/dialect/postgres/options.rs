//! Translates the settings of a JDBC URL, by pgjdbc's names, into connection options.

use std::time::Duration;

use millrace_api::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::wire::{Access, Certificates};
use crate::url::{PostgresUrl, Settings, warn_of_unknown};

/// Settings of pgjdbc that mean nothing here: they tune that driver or its writing side, or are
/// always on.
const WITHOUT_EFFECT: &[&str] = &[
    "adaptiveFetch",
    "allowEncodingChanges",
    "assumeMinServerVersion",
    "autosave",
    "binaryTransfer",
    "characterEncoding",
    "defaultRowFetchSize",
    "loggerLevel",
    "logUnclosedConnections",
    "preferQueryMode",
    "prepareThreshold",
    "preparedStatementCacheQueries",
    "preparedStatementCacheSizeMiB",
    "reWriteBatchedInserts",
    "stringtype",
    "tcpKeepAlive",
    "tcpNoDelay",
    "useUnicode",
];

/// How to connect to each host of a URL.
pub(super) fn of_hosts(url: &PostgresUrl) -> Result<Vec<Access>> {
    let settings = &url.settings;
    let mut options = PgConnectOptions::new_without_pgpass()
        .ssl_mode(ssl_mode(settings)?)
        // A masked query must not be logged.
        .disable_statement_logging();
    for (name, value) in settings.iter() {
        options = match name {
            "user" => options.username(value),
            "password" => options.password(value),
            "ApplicationName" => options.application_name(value),
            "currentSchema" => options.options([("search_path", value)]),
            "sslrootcert" => options.ssl_root_cert(value),
            "sslcert" => options.ssl_client_cert(value),
            "sslkey" => options.ssl_client_key(value),
            "ssl" | "sslmode" | "connectTimeout" | "loginTimeout" | "socketTimeout" => options,
            _ => {
                if !WITHOUT_EFFECT.contains(&name) {
                    warn_of_unknown(name, value);
                }
                options
            }
        };
    }
    if let Some(database) = url.database.as_deref().or(settings.get("user")) {
        options = options.database(database);
    }
    // Options take these from the environment, too, and do not show what they took.
    let given = |setting: &str, variable: &str| {
        settings.get(setting).map(str::to_owned).or_else(|| std::env::var(variable).ok())
    };
    let password = given("password", "PGPASSWORD");
    let certificates = Certificates {
        root: given("sslrootcert", "PGSSLROOTCERT"),
        own: given("sslcert", "PGSSLCERT"),
        key: given("sslkey", "PGSSLKEY"),
    };
    let socket_timeout = seconds(settings, "socketTimeout")?;
    let of_host = |(host, port): &(String, u16)| Access {
        options: options.clone().host(host).port(*port),
        password: password.clone(),
        certificates: certificates.clone(),
        socket_timeout,
    };
    Ok(url.hosts.iter().map(of_host).collect())
}

fn ssl_mode(settings: &Settings) -> Result<PgSslMode> {
    if let Some(mode) = settings.get("sslmode") {
        return mode.parse().map_err(|_| {
            Error::config(
                "sslmode in connection.url must be disable, allow, prefer, require, verify-ca or \
                 verify-full",
            )
            .context("sslmode", mode)
        });
    }
    Ok(match settings.get("ssl") {
        Some("" | "true") => PgSslMode::VerifyFull,
        _ => PgSslMode::Prefer,
    })
}

/// How long one attempt may take.
pub(super) fn connect_timeout(settings: &Settings) -> Result<Duration> {
    const DEFAULT: Duration = Duration::from_secs(10);
    let login = seconds(settings, "loginTimeout")?;
    Ok(login.or(seconds(settings, "connectTimeout")?).unwrap_or(DEFAULT))
}

/// A time-out, where the URL has one: 0 stands for none.
fn seconds(settings: &Settings, name: &'static str) -> Result<Option<Duration>> {
    let Some(text) = settings.get(name) else { return Ok(None) };
    let number: u64 = text.parse().map_err(|_| {
        let message = "a time-out in connection.url must be a number of seconds";
        Error::config(message).context(name, text)
    })?;
    Ok((number > 0).then(|| Duration::from_secs(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::JdbcUrl;

    fn options(url: &str) -> Result<Vec<PgConnectOptions>> {
        let JdbcUrl::Postgres(url) = JdbcUrl::parse(url)? else { panic!("a PostgreSQL URL") };
        connect_timeout(&url.settings)?;
        Ok(of_hosts(&url)?.into_iter().map(|access| access.options).collect())
    }

    #[test]
    fn settings_take_effect() {
        let url = "jdbc:postgresql://a,b:7/shop?user=u&ssl=true&currentSchema=s";
        let hosts = options(url).unwrap();
        let seen: Vec<_> = hosts.iter().map(|o| (o.get_host(), o.get_port())).collect();
        assert_eq!(seen, [("a", 5432), ("b", 7)]);
        let first = &hosts[0];
        assert_eq!(first.get_username(), "u");
        assert_eq!(first.get_database(), Some("shop"));
        assert_eq!(first.get_options(), Some("-c search_path=s"));
        assert!(matches!(first.get_ssl_mode(), PgSslMode::VerifyFull));
        let plain = options("jdbc:postgresql:shop?sslmode=disable").unwrap();
        assert!(matches!(plain[0].get_ssl_mode(), PgSslMode::Disable));
        let unnamed = options("jdbc:postgresql://a/?user=u").unwrap();
        assert_eq!(unnamed[0].get_database(), Some("u"));
    }

    #[test]
    fn bad_settings_are_named() {
        let check = |url: &str, expected: &str| {
            let message = options(url).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check("jdbc:postgresql://a/b?sslmode=maybe", "sslmode: maybe");
        check("jdbc:postgresql://a/b?connectTimeout=soon", "connectTimeout: soon");
        check("jdbc:postgresql://a/b?socketTimeout=1s", "socketTimeout: 1s");
    }
}
