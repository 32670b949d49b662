//! How the REST API is served: the worker's keys for it (`RestServerConfig` in Java).

use millrace_api::config::Validator;
use millrace_api::config::validators::{one_of, unique_list};
use millrace_api::{Config, Error, Props, Result};
use millrace_tls::ClientAuth;

/// The one REST extension there is.
const BASIC_AUTH: &str =
    "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";
const CLIENT_AUTH: &str = "ssl.client.auth";
const EMPTY_URL: &str = "Empty URL found when parsing listeners list.";

#[derive(Clone, Debug, Config)]
pub(crate) struct RestKeys {
    /// List of comma-separated URIs the REST API will listen on. The supported protocols are HTTP and HTTPS.
    #[config(key = "listeners", importance = Low, default = "http://:8083", validate = urls)]
    listeners: Vec<String>,
    /// If this is set, this is the hostname that will be given out to other workers to connect to.
    #[config(key = "rest.advertised.host.name", importance = Low)]
    rest_advertised_host_name: Option<String>,
    /// If this is set, this is the port that will be given out to other workers to connect to.
    #[config(key = "rest.advertised.port", importance = Low)]
    rest_advertised_port: Option<i32>,
    /// Sets the advertised listener (HTTP or HTTPS) which will be given to other workers to use.
    #[config(key = "rest.advertised.listener", importance = Low)]
    rest_advertised_listener: Option<String>,
    /// Origins that browsers may call the REST API from: patterns, separated by commas; `*` is any.
    #[config(key = "access.control.allow.origin", importance = Low, default = "")]
    allow_origin: String,
    /// Methods that pages of those origins may use; GET, POST and HEAD if it is empty.
    #[config(key = "access.control.allow.methods", importance = Low, default = "")]
    allow_methods: String,
    /// Rules for REST API HTTP response headers
    #[config(key = "response.http.headers.config", importance = Low, default = "")]
    response_headers: String,
    /// Whether https listeners ask clients for a certificate.
    #[config(key = "ssl.client.auth", importance = Low, default = "none")]
    #[config(validate = one_of(["required", "requested", "none"]))]
    ssl_client_auth: String,
    /// Comma-separated names of <code>ConnectRestExtension</code> classes, of which this worker has one: basic authentication.
    #[config(key = "rest.extension.classes", importance = Low, default = "")]
    #[config(validate = unique_list)]
    rest_extension_classes: Vec<String>,
    /// List of comma-separated URIs the Admin REST API will listen on. An empty string turns it off; by default it is served on the regular listeners.
    #[config(key = "admin.listeners", importance = Low, validate = unique_list().or_null())]
    admin_listeners: Option<Vec<String>>,
}

/// What Java demands of `listeners`, in its words.
fn urls() -> Validator {
    let example = "http://localhost:8080,https://localhost:8443.";
    let description = format!("List of comma-separated URLs, ex: {example}");
    Validator::with_message(description, move |_, value| {
        let items = value.as_list().unwrap_or_default();
        if items.is_empty() {
            return Err(Error::config(format!(
                "Invalid value for listeners, at least one URL is expected, ex: {example}"
            )));
        }
        match items.iter().any(|item| item.trim().is_empty()) {
            true => Err(Error::config(EMPTY_URL)),
            false => Ok(()),
        }
    })
}

/// How the REST API is served.
#[derive(Clone, Debug)]
pub(crate) struct RestConfig {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: AdminListeners,
    pub(crate) advertised_protocol: String,
    pub(crate) advertised_host: Option<String>,
    pub(crate) advertised_port: Option<u16>,
    pub(crate) allow_origin: String,
    pub(crate) allow_methods: String,
    pub(crate) response_headers: String,
    /// Whether requests need a user and a password.
    pub(crate) basic_auth: bool,
    pub(crate) tls: TlsKeys,
    pub(crate) admin_tls: TlsKeys,
}

/// Where loggers are administered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminListeners {
    /// On the listeners of everything else.
    Shared,
    /// Nowhere.
    Off,
    /// On these, which serve nothing else.
    Own(Vec<Listener>),
}

/// The `ssl.*` keys of some listeners.
#[derive(Clone, Default)]
pub(crate) struct TlsKeys {
    /// Without prefix. They hold passwords.
    pub(crate) props: Props,
    /// What the keys were written with.
    pub(crate) prefix: &'static str,
    pub(crate) client_auth: ClientAuth,
}

/// Without values.
impl std::fmt::Debug for TlsKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<_> = self.props.keys().collect();
        f.debug_struct("TlsKeys").field("keys", &keys).finish_non_exhaustive()
    }
}

impl RestConfig {
    /// `props` are the worker's, for what stands under prefixes.
    pub(crate) fn new(keys: RestKeys, props: &Props) -> Result<Self> {
        let advertised_port = keys.rest_advertised_port.map(|port| {
            u16::try_from(port).map_err(|_| {
                let message = "Invalid value {} for configuration rest.advertised.port: ";
                let message = message.replace("{}", &port.to_string());
                Error::config(format!("{message}the port must be from 0 to 65535"))
            })
        });
        let admin = match &keys.admin_listeners {
            None => AdminListeners::Shared,
            Some(none) if none.is_empty() => AdminListeners::Off,
            Some(own) => AdminListeners::Own(parse_listeners("admin.listeners", own)?),
        };
        Ok(Self {
            listeners: parse_listeners("listeners", &keys.listeners)?,
            admin,
            advertised_protocol: advertised_protocol(&keys),
            advertised_host: keys.rest_advertised_host_name,
            advertised_port: advertised_port.transpose()?,
            allow_origin: keys.allow_origin,
            allow_methods: keys.allow_methods,
            response_headers: keys.response_headers,
            basic_auth: basic_auth(&keys.rest_extension_classes)?,
            tls: TlsKeys::below("listeners.https.", props, &keys.ssl_client_auth)?,
            admin_tls: TlsKeys::below("admin.listeners.https.", props, &keys.ssl_client_auth)?,
        })
    }
}

/// http where it is served, whatever comes first.
fn advertised_protocol(keys: &RestKeys) -> String {
    if let Some(protocol) = &keys.rest_advertised_listener {
        return protocol.to_lowercase();
    }
    let listeners = keys.listeners.join(",").to_lowercase();
    let only_https = !listeners.contains("http://") && listeners.contains("https://");
    if only_https { "https".to_owned() } else { "http".to_owned() }
}

/// Whether basic authentication is asked for. Other extensions are code that is not here: a worker
/// without them might be open where it was closed.
fn basic_auth(classes: &[String]) -> Result<bool> {
    match classes.iter().find(|class| *class != BASIC_AUTH) {
        Some(class) => Err(Error::config(format!(
            "Failed to find any class that implements interface \
             org.apache.kafka.connect.rest.ConnectRestExtension and which name matches {class}"
        ))
        .context("key", "rest.extension.classes")
        .context("available", BASIC_AUTH)),
        None => Ok(!classes.is_empty()),
    }
}

impl TlsKeys {
    /// The keys below a prefix if there are any, else the worker's own: never both. `plain` is the
    /// worker's own `ssl.client.auth`.
    fn below(prefix: &'static str, props: &Props, plain: &str) -> Result<Self> {
        let own = props
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
        let mut own: Props = own.collect();
        let (plain, written) = if own.is_empty() { (plain, "") } else { ("none", prefix) };
        if own.is_empty() {
            let plain = props.iter().filter(|(key, _)| key.starts_with("ssl."));
            own = plain.map(|(key, value)| (key.clone(), value.clone())).collect();
        }
        let client_auth = match own.get(CLIENT_AUTH).map_or(plain, |value| value.trim()) {
            "none" => ClientAuth::None,
            "requested" => ClientAuth::Requested,
            "required" => ClientAuth::Required,
            other => {
                return Err(Error::config(format!(
                    "Invalid value {other} for configuration {prefix}{CLIENT_AUTH}: String must be \
                     one of: required, requested, none"
                )));
            }
        };
        Ok(Self { props: own, prefix: written, client_auth })
    }
}

/// Where the REST API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// https, else http.
    pub(crate) https: bool,
    /// The host, without brackets; empty listens on all addresses.
    pub(crate) host: String,
    /// The port; 0 takes a free one.
    pub(crate) port: u16,
}

impl Listener {
    /// `http` or `https`.
    pub(crate) fn protocol(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

fn parse_listeners(key: &'static str, texts: &[String]) -> Result<Vec<Listener>> {
    // A user does not belong there, and might come with a password.
    let shown = |text: &str| if text.contains('@') { "[hidden]" } else { text }.to_owned();
    let parse =
        |text: &String| parse_listener(text.trim()).map_err(|e| e.context(key, shown(text)));
    texts.iter().map(parse).collect()
}

/// `protocol://host:port`; the host may be left out, or be an address in brackets.
fn parse_listener(text: &str) -> Result<Listener> {
    let malformed =
        || Error::config("Listener doesn't have the right format (protocol://hostname:port).");
    let (protocol, place) = text.rsplit_once("://").ok_or_else(malformed)?;
    let (host, port) = place.rsplit_once(':').ok_or_else(malformed)?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let of_a_host = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
    let digits = port.strip_prefix('-').unwrap_or(port);
    if !host.chars().all(of_a_host)
        || digits.is_empty()
        || !digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(malformed());
    }
    let https = match protocol.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => {
            let message = "Listener protocol must be either \"http\" or \"https\".";
            return Err(Error::config(message));
        }
    };
    let port = port.parse().map_err(|_| {
        Error::config(format!("port out of range:{port}; it must be from 0 to 65535"))
    })?;
    Ok(Listener { https, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use millrace_api::ConfigDef;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<RestConfig> {
        let props: Props = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let def: ConfigDef = RestKeys::config_def();
        RestConfig::new(RestKeys::from_values(&def.parse(&props)?)?, &props)
    }

    /// Asked of Java 4.3.1.
    #[test]
    fn wrong_values_are_refused_in_javas_words() {
        let malformed = "Listener doesn't have the right format (protocol://hostname:port).";
        let protocol = "Listener protocol must be either \"http\" or \"https\".";
        for (key, value, message) in [
            ("listeners", "8083", malformed),
            ("listeners", "ftp://:1", protocol),
            ("listeners", "xhttp://localhost:0", protocol),
            ("listeners", "http://localhost", malformed),
            ("listeners", "http://localhost:0/x", malformed),
            ("listeners", "http://user@localhost:0", malformed),
            ("listeners", "http://localhost:99999", "port out of range:99999"),
            ("listeners", "http://localhost:-1", "port out of range:-1"),
            (
                "listeners",
                "",
                "Invalid value for listeners, at least one URL is expected, ex: http",
            ),
            ("listeners", " , ", EMPTY_URL),
            ("listeners", "http://a:1,,http://b:2", EMPTY_URL),
            ("admin.listeners", "x", malformed),
            ("admin.listeners", " , ", "Configuration 'admin.listeners' values must not be empty."),
            (
                "ssl.client.auth",
                "REQUIRED",
                "Invalid value REQUIRED for configuration ssl.client.auth: String must be one of: \
                 required, requested, none",
            ),
            (
                "rest.extension.classes",
                "a,,b",
                "Configuration 'rest.extension.classes' values must not be empty.",
            ),
            ("rest.extension.classes", "org.example.Other", "Failed to find any class that impl"),
            ("rest.advertised.port", "-5", "Invalid value -5 for configuration rest.advertised"),
        ] {
            let error = parse(&[(key, value)]).unwrap_err().to_string();
            assert!(error.starts_with(message), "{key}={value}: {error}");
        }
    }

    #[test]
    fn listeners_are_read_as_in_java() {
        let config = parse(&[("listeners", "HTTP://[::1]:0, https://a-b.example:8443")]).unwrap();
        let listener = |https, host: &str, port| Listener { https, host: host.into(), port };
        assert_eq!(
            config.listeners,
            [listener(false, "::1", 0), listener(true, "a-b.example", 8443)]
        );
        assert_eq!(config.advertised_protocol, "http");
        let https = parse(&[("listeners", "https://:1")]).unwrap();
        assert_eq!(https.advertised_protocol, "https");
        assert_eq!(parse(&[]).unwrap().admin, AdminListeners::Shared);
        assert_eq!(parse(&[("admin.listeners", " ")]).unwrap().admin, AdminListeners::Off);
        let own = parse(&[("admin.listeners", "http://a:1")]).unwrap();
        assert_eq!(own.admin, AdminListeners::Own(vec![listener(false, "a", 1)]));
        assert!(parse(&[("rest.extension.classes", BASIC_AUTH)]).unwrap().basic_auth);
    }

    #[test]
    fn tls_keys_come_all_from_the_prefix_or_all_from_the_worker() {
        let plain = [("ssl.keystore.location", "plain"), ("ssl.client.auth", "required")];
        let config = parse(&plain).unwrap();
        assert_eq!(config.tls.props["ssl.keystore.location"], "plain");
        assert_eq!(config.tls.client_auth, ClientAuth::Required);
        let mut both = plain.to_vec();
        both.push(("listeners.https.ssl.keystore.password", "secret"));
        let config = parse(&both).unwrap();
        assert_eq!(config.tls.props.keys().collect::<Vec<_>>(), ["ssl.keystore.password"]);
        assert_eq!(config.tls.client_auth, ClientAuth::None);
        assert_eq!(config.admin_tls.client_auth, ClientAuth::Required);
        assert!(!format!("{config:?}").contains("secret"));
        parse(&[("listeners.https.ssl.client.auth", "x")]).unwrap_err();
    }
}
