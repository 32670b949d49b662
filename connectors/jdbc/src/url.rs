//! Decides what a JDBC URL means: which database, where it is, and with which driver settings.
//!
//! A URL may hold a password, so no message here shows more of it than what stands before `?`.

use std::path::PathBuf;

use millrace_api::{Error, Result};

/// A parsed `connection.url`.
#[derive(Debug, PartialEq)]
pub(crate) enum JdbcUrl {
    Postgres(PostgresUrl),
    MySql(MySqlUrl),
    Sqlite(SqliteUrl),
}

/// Where a PostgreSQL server is. The settings still have the names that pgjdbc gives them.
#[derive(Debug, PartialEq)]
pub(crate) struct PostgresUrl {
    /// Host and port, to be tried in this order.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) database: Option<String>,
    pub(crate) settings: Settings,
}

/// Where a MySQL or MariaDB server is. The settings still have the names of the two drivers.
#[derive(Debug, PartialEq)]
pub(crate) struct MySqlUrl {
    /// Host and port, to be tried in this order.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) database: Option<String>,
    pub(crate) settings: Settings,
}

/// Where a SQLite database is.
#[derive(Debug, PartialEq)]
pub(crate) struct SqliteUrl {
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
}

/// Driver settings by name; the first of a name counts.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Settings(Vec<(String, String)>);

/// Shows names only: values may be secret.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Settings {
    fn parse(text: &str) -> Result<Self> {
        let mut settings = Vec::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            settings.push((percent_decode(name)?, percent_decode(value)?));
        }
        Ok(Self(settings))
    }

    /// One setting.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One setting whatever its case: the drivers of MySQL read names so.
    pub(crate) fn get_any_case(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Adds a setting unless the URL has it: what the URL says wins, as in pgjdbc.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl JdbcUrl {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let Some((driver, rest)) = url.strip_prefix("jdbc:").and_then(|u| u.split_once(':')) else {
            let message = "connection.url is not a JDBC URL; it must look like \
                           jdbc:postgresql://host:port/database, jdbc:mysql://host:port/database \
                           or jdbc:sqlite:/path/to/file";
            return Err(Error::config(message).context("connection.url", shown(url)));
        };
        let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
        let settings = Settings::parse(settings)?;
        match driver {
            "postgresql" => postgres(place, settings).map(Self::Postgres),
            "mysql" | "mariadb" => mysql(place, settings).map(Self::MySql),
            "sqlite" => sqlite(place, settings).map(Self::Sqlite),
            _ => Err(Error::config(
                "no driver for this connection.url; supported are jdbc:postgresql:, jdbc:mysql:, \
                 jdbc:mariadb: and jdbc:sqlite:",
            )
            .context("connection.url", shown(url))),
        }
    }

    /// The driver settings.
    pub(crate) fn settings_mut(&mut self) -> &mut Settings {
        match self {
            Self::Postgres(url) => &mut url.settings,
            Self::MySql(url) => &mut url.settings,
            Self::Sqlite(url) => &mut url.settings,
        }
    }
}

/// Says that a setting is not used. What follows a `&` in a password looks like one, and no driver
/// has settings with other characters than these.
pub(crate) fn warn_of_unknown(name: &str, value: &str) {
    let may_be_shown =
        !value.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    match may_be_shown {
        true => tracing::warn!("setting {name} of connection.url is not known and ignored"),
        false => tracing::warn!(
            "a setting of connection.url is not known and ignored; in values write & as %26"
        ),
    }
}

/// As much of a URL as may be shown: no settings, and nothing that may be a password before `@`.
fn shown(url: &str) -> &str {
    let end = match url.contains('@') {
        true => url.find(':').map_or(0, |colon| colon + 1),
        false => url.find(['?', ';']).unwrap_or(url.len()),
    };
    &url[..end]
}

const POSTGRES_PORT: u16 = 5432;
const MYSQL_PORT: u16 = 3306;

fn postgres(place: &str, settings: Settings) -> Result<PostgresUrl> {
    let Some(place) = place.strip_prefix("//") else {
        return Ok(PostgresUrl {
            hosts: vec![("localhost".into(), POSTGRES_PORT)],
            database: named(place)?,
            settings,
        });
    };
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    if hosts.contains('@') {
        let message = "connection.url has a user before its host; use connection.user and \
                       connection.password";
        return Err(Error::config(message));
    }
    let hosts = hosts.split(',').map(|host| host_and_port(host, POSTGRES_PORT));
    Ok(PostgresUrl { hosts: hosts.collect::<Result<_>>()?, database: named(database)?, settings })
}

fn named(database: &str) -> Result<Option<String>> {
    let name = percent_decode(database)?;
    Ok(Some(name).filter(|n| !n.is_empty()))
}

/// What may stand before `//`: how the drivers choose among several hosts. All are tried in order.
const HOST_MODES: [&str; 6] =
    ["loadbalance:", "replication:", "sequential:", "failover:", "aurora:", "load-balance-read:"];

fn mysql(place: &str, mut settings: Settings) -> Result<MySqlUrl> {
    let place = HOST_MODES.iter().find_map(|mode| place.strip_prefix(mode)).unwrap_or(place);
    let place = place.strip_prefix("//").ok_or_else(|| {
        Error::config("connection.url must look like jdbc:mysql://host:port/database")
    })?;
    let (hosts, database) = place.rsplit_once('/').unwrap_or((place, ""));
    let hosts = match hosts.rsplit_once('@') {
        Some((credentials, hosts)) => {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            settings.add("user", &percent_decode(user)?);
            settings.add("password", &percent_decode(password)?);
            hosts
        }
        None => hosts,
    };
    let host = |text| match str::strip_prefix(text, "address=") {
        Some(address) => mysql_address(address),
        None => host_and_port(text, MYSQL_PORT),
    };
    let hosts = hosts.split(',').map(host).collect::<Result<_>>()?;
    Ok(MySqlUrl { hosts, database: named(database)?, settings })
}

/// `(host=db)(port=3306)`; other parts of such an address tell replicas from their primary.
fn mysql_address(text: &str) -> Result<(String, u16)> {
    let part = |name: &str| {
        let mut parts = text.split(['(', ')']).filter_map(|part| part.split_once('='));
        parts.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let (host, port) = (part("host").unwrap_or_default(), part("port").unwrap_or("3306"));
    host_and_port(&format!("[{host}]:{port}"), MYSQL_PORT)
}

fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16)> {
    let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((v6, rest)) => (v6, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| {
            Error::config("the port in connection.url is not a number from 0 to 65535")
                .context("port", shown(port))
        })?,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((percent_decode(host)?, port))
}

fn sqlite(place: &str, settings: Settings) -> Result<SqliteUrl> {
    let path = place.strip_prefix("file:").unwrap_or(place);
    if path.is_empty() || path == ":memory:" {
        let message = "connection.url names a SQLite database in memory, which nobody else can \
                       fill; name a file: jdbc:sqlite:/path/to/file";
        return Err(Error::config(message));
    }
    Ok(SqliteUrl { path: PathBuf::from(path), settings })
}

/// `%41` is `A`, `+` is a space, as `java.net.URLDecoder` has it.
fn percent_decode(text: &str) -> Result<String> {
    let broken = || Error::config("connection.url has a broken % sequence; write % itself as %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = digit().zip(digit()).ok_or_else(broken)?;
                u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(url: &str) -> PostgresUrl {
        match JdbcUrl::parse(url).unwrap() {
            JdbcUrl::Postgres(url) => url,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn postgres_urls() {
        let check = |url: &str, hosts: &[(&str, u16)], database: Option<&str>| {
            let parsed = postgres(url);
            let expected: Vec<_> = hosts.iter().map(|(h, p)| ((*h).to_owned(), *p)).collect();
            assert_eq!(parsed.hosts, expected, "{url}");
            assert_eq!(parsed.database.as_deref(), database, "{url}");
        };
        check("jdbc:postgresql://db/shop", &[("db", 5432)], Some("shop"));
        check("jdbc:postgresql://db:5433/shop?ssl=true", &[("db", 5433)], Some("shop"));
        check("jdbc:postgresql://a,b:1/x", &[("a", 5432), ("b", 1)], Some("x"));
        check("jdbc:postgresql://[::1]:5433/x", &[("::1", 5433)], Some("x"));
        check("jdbc:postgresql://[::1]/", &[("::1", 5432)], None);
        check("jdbc:postgresql:shop", &[("localhost", 5432)], Some("shop"));
        check("jdbc:postgresql:///my%20shop", &[("localhost", 5432)], Some("my shop"));
        check("jdbc:postgresql://db", &[("db", 5432)], None);
    }

    #[test]
    fn settings_are_decoded_and_the_url_wins() {
        let mut url = postgres("jdbc:postgresql://db/x?user=a%40b&password=p%26q+r&ssl");
        assert_eq!(url.settings.get("user"), Some("a@b"));
        assert_eq!(url.settings.get("password"), Some("p&q r"));
        assert_eq!(url.settings.get("ssl"), Some(""));
        url.settings.add("user", "other");
        url.settings.add("ApplicationName", "millrace");
        assert_eq!(url.settings.get("user"), Some("a@b"));
        assert_eq!(url.settings.get("ApplicationName"), Some("millrace"));
    }

    #[test]
    fn mysql_urls() {
        let check = |url: &str, hosts: &[(&str, u16)], database: Option<&str>| {
            let JdbcUrl::MySql(parsed) = JdbcUrl::parse(url).unwrap() else { panic!("{url}") };
            let expected: Vec<_> = hosts.iter().map(|(h, p)| ((*h).to_owned(), *p)).collect();
            assert_eq!(parsed.hosts, expected, "{url}");
            assert_eq!(parsed.database.as_deref(), database, "{url}");
            parsed.settings
        };
        check("jdbc:mysql://db/shop?useSSL=false", &[("db", 3306)], Some("shop"));
        check("jdbc:mariadb://a:1,b/shop", &[("a", 1), ("b", 3306)], Some("shop"));
        check("jdbc:mysql:loadbalance://a,b/x", &[("a", 3306), ("b", 3306)], Some("x"));
        check("jdbc:mysql://[::1]:7/", &[("::1", 7)], None);
        check("jdbc:mysql://db", &[("db", 3306)], None);
        let address = "jdbc:mariadb://address=(host=a)(port=7)(type=master),address=(host=b)/x";
        check(address, &[("a", 7), ("b", 3306)], Some("x"));
        let settings = check("jdbc:mysql://u:p%40@db/x?UseSSL=true", &[("db", 3306)], Some("x"));
        assert_eq!((settings.get("user"), settings.get("password")), (Some("u"), Some("p@")));
        assert_eq!(settings.get_any_case("useSSL"), Some("true"));
    }

    #[test]
    fn sqlite_urls() {
        let check = |url: &str, path: &str| match JdbcUrl::parse(url).unwrap() {
            JdbcUrl::Sqlite(url) => assert_eq!(url.path, PathBuf::from(path)),
            other => panic!("{other:?}"),
        };
        check("jdbc:sqlite:/data/shop.db", "/data/shop.db");
        check("jdbc:sqlite:shop.db?busy_timeout=10", "shop.db");
        check("jdbc:sqlite:file:/data/shop.db", "/data/shop.db");
        // A path is no query: nothing in it is decoded.
        check("jdbc:sqlite:/data/a+b%20c.db", "/data/a+b%20c.db");
    }

    #[test]
    fn refusals_say_what_to_write_and_hide_secrets() {
        let check = |url: &str, expected: &str| {
            let message = JdbcUrl::parse(url).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        };
        check("postgres://u:hunter2@db/x", "must look like");
        check("jdbc:postgresql://u:hunter2@db:5432/x", "connection.user");
        check("jdbc:oracle:thin:u/hunter2@//db", "supported are");
        check("jdbc:oracle:thin:@db?password=hunter2", "supported are");
        check("jdbc:sqlserver://db;password=hunter2", "supported are");
        check("jdbc:postgresql://db:http/x?password=hunter2", "port");
        check("jdbc:postgresql://db/x?password=hunter2%zz", "%25");
        check("jdbc:mysql:db/x?password=hunter2", "jdbc:mysql://host");
        check("jdbc:mysql://u:hunter2@db:x/x", "port");
        check("jdbc:sqlite::memory:", "name a file");
        check("", "must look like");
    }
}
