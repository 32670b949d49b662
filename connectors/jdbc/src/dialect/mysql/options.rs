//! Translates the settings of a JDBC URL, by the names of MySQL's and MariaDB's drivers, into
//! connection options, and into how types are read.

use std::time::Duration;

use millrace_api::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::dialect::mysql::decode::{Style, ZeroDates};
use crate::url::{MySqlUrl, Settings, warn_of_unknown};

/// Settings that are read below, in lower case.
const READ: &[&str] = &[
    "connecttimeout",
    "databaseterm",
    "nettimeoutforstreamingresults",
    "nullcatalogmeanscurrent",
    "nulldatabasemeanscurrent",
    "password",
    "requiressl",
    "serversslcert",
    "sessionvariables",
    "sockettimeout",
    "ssl-mode",
    "sslmode",
    "tinyint1isbit",
    "transformedbitisboolean",
    "trustcertificatekeystoretype",
    "trustcertificatekeystoreurl",
    "truststore",
    "trustservercertificate",
    "disablesslhostnameverification",
    "user",
    "usessl",
    "verifyservercertificate",
    "yearisdatetype",
    "zerodatetimebehavior",
];

/// Settings that mean nothing here, in lower case: they tune those drivers, or are as they should
/// be anyhow: rows are streamed, text is UTF-8, and sessions are in UTC.
const WITHOUT_EFFECT: &[&str] = &[
    "allowmultiqueries",
    "allowpublickeyretrieval",
    "autoreconnect",
    "cachecallablestmts",
    "cacheprepstmts",
    "cacheserverconfiguration",
    "characterencoding",
    "characterset",
    "connectioncollation",
    "connectiontimezone",
    "defaultfetchsize",
    "forceconnectiontimezonetosession",
    "jdbccomplianttruncation",
    "passwordcharacterencoding",
    "preparestmtcachesize",
    "prepstmtcachesize",
    "prepstmtcachesqllimit",
    "preserveinstants",
    "rewritebatchedstatements",
    "sendfractionalseconds",
    "servertimezone",
    "tcpkeepalive",
    "tcpnodelay",
    "timezone",
    "usebulkstmts",
    "usecompression",
    "usecursorfetch",
    "useinformationschema",
    "usejdbccomplianttimezoneshift",
    "uselegacydatetimecode",
    "uselocalsessionstate",
    "uselocaltransactionstate",
    "usemysqlmetadata",
    "useserverprepstmts",
    "useunicode",
];

/// All that a URL says.
pub(super) struct Options {
    /// One set of options a host, to be tried in this order.
    pub(super) hosts: Vec<MySqlConnectOptions>,
    /// How long one attempt may take.
    pub(super) connect_timeout: Duration,
    /// How long the server may keep silent while rows are read.
    pub(super) socket_timeout: Option<Duration>,
    /// What each session is told first.
    pub(super) session: Vec<String>,
    /// Whether tables are looked for in the URL's database alone unless `catalog.pattern` is set.
    pub(super) only_current: bool,
    /// Whether databases count as schemas (`schema.pattern`), not as catalogs.
    pub(super) databases_are_schemas: bool,
    pub(super) style: Style,
}

impl Options {
    /// Understands a URL.
    pub(super) fn new(url: &MySqlUrl) -> Result<Self> {
        let settings = &url.settings;
        for (name, value) in settings.iter() {
            let lower = name.to_ascii_lowercase();
            if !READ.contains(&lower.as_str()) && !WITHOUT_EFFECT.contains(&lower.as_str()) {
                warn_of_unknown(name, value);
            }
        }
        let means_current = |name| flag(settings, name, false);
        let millis = |name| millis(settings, name);
        Ok(Self {
            hosts: hosts(url)?,
            connect_timeout: millis("connectTimeout")?.unwrap_or(Duration::from_secs(10)),
            socket_timeout: millis("socketTimeout")?,
            session: session(settings)?,
            only_current: means_current("nullDatabaseMeansCurrent")
                || means_current("nullCatalogMeansCurrent"),
            databases_are_schemas: settings
                .get_any_case("databaseTerm")
                .is_some_and(|term| term.eq_ignore_ascii_case("SCHEMA")),
            style: style(settings)?,
        })
    }
}

fn hosts(url: &MySqlUrl) -> Result<Vec<MySqlConnectOptions>> {
    let settings = &url.settings;
    let mode = ssl_mode(settings)?;
    let mut options = MySqlConnectOptions::new()
        .ssl_mode(mode)
        // Queries of users mean what they mean to the server.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        // A masked query must not be logged.
        .disable_statement_logging();
    if let Some(user) = settings.get_any_case("user") {
        options = options.username(user);
    }
    if let Some(password) = settings.get_any_case("password") {
        options = options.password(password);
    }
    if let Some(database) = &url.database {
        options = options.database(database);
    }
    if let Some(certificates) = trusted(settings, mode)? {
        options = options.ssl_ca(certificates);
    }
    let of_host = |(host, port): &(String, u16)| options.clone().host(host).port(*port);
    Ok(url.hosts.iter().map(of_host).collect())
}

/// A setting that is true or false; empty, as in `?useSSL`, is true.
fn flag(settings: &Settings, name: &str, default: bool) -> bool {
    match settings.get_any_case(name).map(str::to_ascii_lowercase).as_deref() {
        None => default,
        Some("" | "true" | "yes" | "1") => true,
        Some(_) => false,
    }
}

/// MySQL's and MariaDB's names of modes; where there is none, the flags of older drivers.
fn ssl_mode(settings: &Settings) -> Result<MySqlSslMode> {
    let named = ["sslMode", "ssl-mode"].into_iter().find_map(|name| settings.get_any_case(name));
    if let Some(mode) = named {
        return match mode.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" | "disable" | "false" | "0" => Ok(MySqlSslMode::Disabled),
            "preferred" => Ok(MySqlSslMode::Preferred),
            "required" | "trust" => Ok(MySqlSslMode::Required),
            "verify-ca" => Ok(MySqlSslMode::VerifyCa),
            "verify-identity" | "verify-full" | "true" | "1" => Ok(MySqlSslMode::VerifyIdentity),
            _ => Err(Error::config(
                "sslMode in connection.url must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or \
                 VERIFY_IDENTITY, or MariaDB's disable, trust, verify-ca or verify-full",
            )
            .context("sslMode", mode)),
        };
    }
    let is_on = flag(settings, "useSSL", false);
    let trusts = flag(settings, "trustServerCertificate", false);
    Ok(if settings.get_any_case("useSSL").is_some() && !is_on {
        MySqlSslMode::Disabled
    } else if flag(settings, "verifyServerCertificate", false) {
        MySqlSslMode::VerifyCa
    } else if settings.get_any_case("serverSslCert").is_some() && is_on && !trusts {
        match flag(settings, "disableSslHostnameVerification", false) {
            true => MySqlSslMode::VerifyCa,
            false => MySqlSslMode::VerifyIdentity,
        }
    } else if flag(settings, "requireSSL", false) || (is_on && trusts) {
        MySqlSslMode::Required
    } else {
        MySqlSslMode::Preferred
    })
}

/// The file of certificates that a server's is checked against. Java's key stores are refused
/// where they would be looked at.
fn trusted(settings: &Settings, mode: MySqlSslMode) -> Result<Option<String>> {
    let names = ["serverSslCert", "trustCertificateKeyStoreUrl", "trustStore"];
    let found = names.into_iter().find_map(|name| Some((name, settings.get_any_case(name)?)));
    let Some((name, url)) = found else { return Ok(None) };
    if !matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity) {
        return Ok(None);
    }
    let path = url.strip_prefix("file:").unwrap_or(url);
    let path = path.strip_prefix("//").unwrap_or(path);
    let kind = settings.get_any_case("trustCertificateKeyStoreType").unwrap_or_default();
    let ends = |end: &str| path.to_ascii_lowercase().ends_with(end);
    if kind.eq_ignore_ascii_case("JKS")
        || kind.eq_ignore_ascii_case("PKCS12")
        || [".jks", ".p12", ".pfx", ".keystore", ".truststore"].into_iter().any(ends)
    {
        let message = "certificates that are trusted must be in a PEM file; export them with \
                       keytool -exportcert -rfc and name that file in serverSslCert";
        return Err(Error::config(message).context(name, url));
    }
    Ok(Some(path.to_owned()))
}

/// A time in milliseconds; 0 stands for none.
fn millis(settings: &Settings, name: &'static str) -> Result<Option<Duration>> {
    match settings.get_any_case(name).map(str::parse) {
        None | Some(Ok(0)) => Ok(None),
        Some(Ok(millis)) => Ok(Some(Duration::from_millis(millis))),
        Some(Err(_)) => {
            let message = "a time-out in connection.url must be a number of milliseconds";
            let value = settings.get_any_case(name).unwrap_or_default();
            Err(Error::config(message).context(name, value))
        }
    }
}

/// What a session is told: how long it waits for a reader that is slow, and `sessionVariables`.
fn session(settings: &Settings) -> Result<Vec<String>> {
    const NAME: &str = "netTimeoutForStreamingResults";
    let seconds = settings.get_any_case(NAME).unwrap_or("600");
    let seconds: u32 = seconds.parse().map_err(|_| {
        let message = "netTimeoutForStreamingResults in connection.url must be a number of seconds";
        Error::config(message).context(NAME, seconds)
    })?;
    let mut statements = Vec::new();
    if seconds > 0 {
        statements.push(format!("SET SESSION net_write_timeout = {seconds}"));
    }
    if let Some(variables) = settings.get_any_case("sessionVariables") {
        statements.push(format!("SET {variables}"));
    }
    Ok(statements)
}

fn style(settings: &Settings) -> Result<Style> {
    let zero = settings.get_any_case("zeroDateTimeBehavior").unwrap_or("exception");
    let zero_dates = match zero.to_ascii_lowercase().replace('_', "").as_str() {
        "exception" => ZeroDates::Refused,
        "converttonull" => ZeroDates::Null,
        "round" => ZeroDates::Rounded,
        _ => {
            let message = "zeroDateTimeBehavior in connection.url must be exception, \
                           convertToNull or round";
            return Err(Error::config(message).context("zeroDateTimeBehavior", zero));
        }
    };
    Ok(Style {
        tiny_is_boolean: flag(settings, "tinyInt1isBit", true)
            && flag(settings, "transformedBitIsBoolean", false),
        year_is_date: flag(settings, "yearIsDateType", true),
        zero_dates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::JdbcUrl;

    fn options(url: &str) -> Result<Options> {
        let JdbcUrl::MySql(url) = JdbcUrl::parse(url)? else { panic!("a URL of MySQL") };
        Options::new(&url)
    }

    #[test]
    fn settings_take_effect() {
        let url = "jdbc:mysql://a,b:7/shop?USER=u&connectTimeout=2500&socketTimeout=0\
                   &sessionVariables=a=1,@b=2&zeroDateTimeBehavior=CONVERT_TO_NULL\
                   &yearIsDateType=false&transformedBitIsBoolean=true&databaseTerm=schema";
        let options = options(url).unwrap();
        let hosts: Vec<_> = options.hosts.iter().map(|o| (o.get_host(), o.get_port())).collect();
        assert_eq!(hosts, [("a", 3306), ("b", 7)]);
        assert_eq!(options.hosts[0].get_username(), "u");
        assert_eq!(options.hosts[0].get_database(), Some("shop"));
        assert_eq!(options.connect_timeout, Duration::from_millis(2500));
        assert_eq!(options.socket_timeout, None);
        assert_eq!(options.session[1], "SET a=1,@b=2");
        assert!(options.databases_are_schemas && !options.only_current);
        let expected =
            Style { tiny_is_boolean: true, year_is_date: false, zero_dates: ZeroDates::Null };
        assert_eq!(options.style, expected);
    }

    #[test]
    fn modes_of_both_drivers() {
        let check = |settings: &str, expected: &str| {
            let options = options(&format!("jdbc:mysql://a/b?{settings}")).unwrap();
            let mode = options.hosts[0].get_ssl_mode();
            assert_eq!(format!("{mode:?}"), expected, "{settings}");
        };
        check("", "Preferred");
        check("useSSL=false", "Disabled");
        check("useSSL=true", "Preferred");
        check("useSSL", "Preferred");
        check("useSSL=true&requireSSL=true", "Required");
        check("requireSSL=true", "Required");
        check("useSSL=true&verifyServerCertificate=true", "VerifyCa");
        check("sslMode=VERIFY_IDENTITY&useSSL=false", "VerifyIdentity");
        check("sslMode=trust", "Required");
        check("sslMode=verify-full", "VerifyIdentity");
        check("ssl-mode=REQUIRED", "Required");
        check("useSsl=true&serverSslCert=/ca.pem", "VerifyIdentity");
        check("useSsl=true&serverSslCert=/ca.pem&disableSslHostnameVerification=true", "VerifyCa");
        check("useSsl=true&trustServerCertificate=true", "Required");
    }

    #[test]
    fn bad_settings_are_named() {
        let check = |settings: &str, expected: &str| {
            let error = options(&format!("jdbc:mysql://a/b?{settings}")).err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("sslMode=maybe", "sslMode: maybe");
        check("connectTimeout=soon", "connectTimeout: soon");
        check("zeroDateTimeBehavior=x", "convertToNull");
        check("netTimeoutForStreamingResults=x", "number of seconds");
        check("sslMode=VERIFY_CA&trustCertificateKeyStoreUrl=file:/a.jks", "PEM");
        options("jdbc:mysql://a/b?trustCertificateKeyStoreUrl=file:/a.jks").unwrap();
    }
}
