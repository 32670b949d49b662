//! Decides which client of which registry a converter uses: what its keys mean, and that converters
//! with the same share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use millrace_api::config::Props;
use millrace_api::{Error, Result};
use millrace_tls::ClientTls;
use schema_registry_client::{Client, Credentials, OAuth, Proxy, Secret, Settings};

use super::config::RegistryConfig;

/// What keys begin with that name a header of every request.
const HEADERS: &str = "request.header.";

/// What the keys of a client begin with. Converters that agree in these have one client.
const CLIENT_KEYS: [&str; 15] = [
    "basic.auth.",
    "bearer.auth.",
    "http.connect.timeout.ms",
    "http.read.timeout.ms",
    "latest.cache.",
    "max.retries",
    "max.schemas.per.subject",
    "missing.",
    "proxy.",
    HEADERS,
    "retries.",
    "sasl.",
    "schema.registry.url",
    "ssl.",
    "url.randomize",
];

type Clients = HashMap<Vec<(String, String)>, Weak<Client>>;

/// The client for these properties, whose aliases are resolved; the one that another converter of
/// this process has, if it has one. Nobody is asked yet, but stores of certificates are read.
pub(super) fn client(props: &Props, config: &RegistryConfig) -> Result<Arc<Client>> {
    static CLIENTS: Mutex<Option<Clients>> = Mutex::new(None);
    let ours = |key: &str| CLIENT_KEYS.iter().any(|begin| key.starts_with(begin));
    let key: Vec<_> =
        props.iter().filter(|(key, _)| ours(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let clients = clients.get_or_insert_default();
    clients.retain(|_, client| client.strong_count() > 0);
    if let Some(client) = clients.get(&key).and_then(Weak::upgrade) {
        return Ok(client);
    }
    let client = Client::new(settings(props, config)?);
    let client = client.map_err(|e| {
        let error = Error::config("the schema registry's settings cannot be used");
        match e.to_string().contains("URL") {
            true => error.context("see", "schema.registry.url"),
            false => error,
        }
        .with_source(e)
    })?;
    let client = Arc::new(client);
    clients.insert(key, Arc::downgrade(&client));
    Ok(client)
}

/// So many seconds, or none.
pub(super) fn seconds(seconds: i32) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

fn settings(props: &Props, config: &RegistryConfig) -> Result<Settings> {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let size = |size: i32| usize::try_from(size).unwrap_or(0);
    let http = &config.http;
    let secured = |url: &String| url.trim().to_ascii_lowercase().starts_with("https:");
    let endpoint = config.bearer.endpoint.iter();
    let tls = match config.urls.iter().chain(endpoint).any(secured) {
        true => Some(ClientTls::read(props)?.config()),
        false => None,
    };
    if let Some(url) = config.urls.iter().find(|url| url.starts_with("mock://")) {
        return Err(Error::config(format!(
            "Invalid value {url} for configuration schema.registry.url: there is no registry in \
             this process; give the URL of one"
        )));
    }
    let proxy = match (config.http.proxy_host.trim(), u16::try_from(config.http.proxy_port)) {
        ("", _) => None,
        (host, Ok(port)) => Some(Proxy { host: host.to_owned(), port }),
        (_, Err(_)) => return Err(Error::config("proxy.host is given, and proxy.port is no port")),
    };
    Ok(Settings {
        randomize_urls: config.randomize,
        credentials: credentials(props, config)?,
        headers: headers(props, config),
        tls,
        proxy,
        connect_timeout: millis(http.connect_timeout_ms),
        read_timeout: millis(http.read_timeout_ms),
        max_retries: u32::try_from(http.max_retries).unwrap_or(0),
        retry_wait: millis(http.retries_wait_ms),
        retry_max_wait: millis(http.retries_max_wait_ms),
        cache_capacity: size(config.max_schemas),
        latest_capacity: size(config.latest_size),
        latest_ttl: seconds(config.latest_ttl_sec),
        missing_capacity: size(http.missing_size),
        missing_id_ttl: seconds(http.missing_id_ttl_sec),
        missing_version_ttl: seconds(http.missing_version_ttl_sec),
        missing_schema_ttl: seconds(http.missing_schema_ttl_sec),
        ..Settings::new(config.urls.iter().map(|url| url.trim()))
    })
}

/// Basic, bearer or neither. As in Java, the two sources exclude each other; a secret without its
/// source is used all the same.
fn credentials(props: &Props, config: &RegistryConfig) -> Result<Credentials> {
    const BASIC: &str = "basic.auth.credentials.source";
    const BEARER: &str = "bearer.auth.credentials.source";
    let given = |key: &str| props.get(key).is_some_and(|value| !value.trim().is_empty());
    match (given(BASIC), given(BEARER)) {
        (true, true) => {
            Err(Error::config(format!("Only one of '{BASIC}' and '{BEARER}' may be specified")))
        }
        (false, true) => bearer(config),
        (false, false) if !config.bearer.token.value().is_empty() => bearer(config),
        (false, false) if !config.user_info.value().is_empty() => user_info(config),
        _ => match config.basic_source.trim() {
            "URL" => Ok(Credentials::Url),
            "USER_INFO" => user_info(config),
            "SASL_INHERIT" => inherited(config),
            other => Err(invalid(BASIC, other, "use URL, USER_INFO or SASL_INHERIT")),
        },
    }
}

fn user_info(config: &RegistryConfig) -> Result<Credentials> {
    let pair = config.user_info.value().split_once(':');
    let (user, password) = pair.ok_or_else(|| {
        Error::config("basic.auth.user.info has to be a user and a password: user:password")
    })?;
    Ok(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

fn inherited(config: &RegistryConfig) -> Result<Credentials> {
    let jaas = config.sasl_jaas_config.as_ref().map(|jaas| jaas.value()).unwrap_or_default();
    match (jaas_option(jaas, "username"), jaas_option(jaas, "password")) {
        (Some(user), Some(password)) => {
            Ok(Credentials::Basic { user, password: Secret::new(password) })
        }
        _ => Err(Error::config(
            "basic.auth.credentials.source is SASL_INHERIT, and sasl.jaas.config of the converter \
             names no username and password",
        )),
    }
}

/// The value of an option in a login module's line: `name="value"`, with `\` before what would end
/// it.
fn jaas_option(jaas: &str, name: &str) -> Option<String> {
    let begins = |at: &usize| jaas[..*at].ends_with(|c: char| c.is_whitespace());
    let (at, _) = jaas.match_indices(name).find(|(at, _)| begins(at))?;
    let rest = jaas[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let mut value = String::new();
    match rest.strip_prefix('"') {
        Some(quoted) => {
            let mut characters = quoted.chars();
            loop {
                match characters.next()? {
                    '"' => return Some(value),
                    '\\' => value.push(characters.next()?),
                    other => value.push(other),
                }
            }
        }
        None => Some(rest.split([' ', ';']).next().unwrap_or_default().to_owned()),
    }
}

fn bearer(config: &RegistryConfig) -> Result<Credentials> {
    let bearer = &config.bearer;
    match bearer.source.trim() {
        "STATIC_TOKEN" if bearer.token.value().trim().is_empty() => Err(Error::config(
            "bearer.auth.credentials.source is STATIC_TOKEN, and bearer.auth.token is missing",
        )),
        "STATIC_TOKEN" => Ok(Credentials::Bearer(Secret::new(bearer.token.value()))),
        "OAUTHBEARER" => {
            let missing = |key: &str| {
                Error::config(format!(
                    "bearer.auth.credentials.source is OAUTHBEARER, and {key} is missing"
                ))
            };
            let endpoint = bearer.endpoint.clone();
            let id = bearer.client_id.clone();
            let secret = bearer.client_secret.as_ref().map(|secret| Secret::new(secret.value()));
            let oauth = OAuth::new(
                endpoint.ok_or_else(|| missing("bearer.auth.issuer.endpoint.url"))?,
                id.ok_or_else(|| missing("bearer.auth.client.id"))?,
                secret.ok_or_else(|| missing("bearer.auth.client.secret"))?,
            );
            let buffer = u64::try_from(bearer.expiry_buffer_seconds).unwrap_or(0);
            Ok(Credentials::OAuth(OAuth {
                scope: bearer.scope.clone().filter(|scope| !scope.trim().is_empty()),
                renew_before: Duration::from_secs(buffer),
                ..oauth
            }))
        }
        other => {
            Err(invalid("bearer.auth.credentials.source", other, "use STATIC_TOKEN or OAUTHBEARER"))
        }
    }
}

fn headers(props: &Props, config: &RegistryConfig) -> Vec<(String, Secret)> {
    let bearer = &config.bearer;
    let named = [
        ("target-sr-cluster", &bearer.logical_cluster),
        ("Confluent-Identity-Pool-Id", &bearer.identity_pool),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let own = props.iter().filter_map(|(key, value)| Some((key.strip_prefix(HEADERS)?, &**value)));
    let given = named.chain(own).filter(|(name, value)| !name.is_empty() && !value.is_empty());
    given.map(|(name, value)| (name.to_owned(), Secret::new(value))).collect()
}

fn invalid(key: &str, value: &str, why: &str) -> Error {
    Error::config(format!("Invalid value {value} for configuration {key}: {why}"))
}

#[cfg(test)]
mod tests {
    use millrace_api::config::Config;

    use super::*;
    use crate::registry::config::with_aliases;

    fn read(text: &str) -> Result<(Settings, Arc<Client>)> {
        let text = format!("schema.registry.url=http://localhost:1\n{text}");
        let props = with_aliases(&millrace_api::config::properties::parse(&text, "test")?);
        let config = RegistryConfig::parse(&props)?;
        Ok((settings(&props, &config)?, client(&props, &config)?))
    }

    #[test]
    fn credentials_come_from_where_java_takes_them() {
        let jaas = "sasl.jaas.config=a.Login required  username=\"me\" password=\"p\\\\\"w\";";
        for (text, kind) in [
            ("", "Url"),
            ("basic.auth.credentials.source=USER_INFO\nbasic.auth.user.info=me:p:w", "Basic"),
            ("schema.registry.basic.auth.user.info=me:pw", "Basic"),
            (&format!("basic.auth.credentials.source=SASL_INHERIT\n{jaas}"), "Basic"),
            ("bearer.auth.token=t", "Bearer"),
            (
                "bearer.auth.credentials.source=OAUTHBEARER\nbearer.auth.client.id=i\n\
                 bearer.auth.client.secret=s\nbearer.auth.issuer.endpoint.url=http://x/t",
                "OAuth",
            ),
        ] {
            let (settings, _) = read(text).map_err(|e| e.trace()).unwrap();
            let shown = format!("{:?}", settings.credentials);
            assert!(shown.starts_with(kind), "{text}: {shown}");
        }
        assert_eq!(jaas_option(jaas, "password").as_deref(), Some("p\\"));
        assert_eq!(jaas_option("x username=a;", "username").as_deref(), Some("a"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key() {
        for (text, said) in [
            (
                "basic.auth.credentials.source=URL\nbearer.auth.credentials.source=STATIC_TOKEN",
                "Only one of",
            ),
            ("basic.auth.credentials.source=USER_INFO", "user:password"),
            ("basic.auth.credentials.source=SASL_INHERIT", "sasl.jaas.config"),
            ("basic.auth.credentials.source=LDAP", "use URL, USER_INFO or SASL_INHERIT"),
            ("bearer.auth.credentials.source=STATIC_TOKEN", "bearer.auth.token"),
            ("bearer.auth.credentials.source=OAUTHBEARER", "bearer.auth.issuer.endpoint.url"),
            ("bearer.auth.credentials.source=UAMI", "use STATIC_TOKEN or OAUTHBEARER"),
            ("proxy.host=p", "proxy.port"),
            ("schema.registry.url=mock://s", "mock://s"),
            (
                "schema.registry.url=https://x\nschema.registry.ssl.truststore.location=/none",
                "/none",
            ),
            ("schema.registry.url=x:1", "begins with neither"),
            ("max.retries=-1", "max.retries"),
        ] {
            let error = read(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(error.kind(), millrace_api::ErrorKind::Config, "{text}");
            assert!(error.trace().contains(said), "{text}: {}", error.trace());
        }
    }

    #[test]
    fn headers_of_requests_are_taken_from_their_keys() {
        let text = "request.header.X-Tenant=a\nrequest.header.=b\nbearer.auth.logical.cluster=c";
        let (settings, _) = read(text).unwrap();
        let names: Vec<_> = settings.headers.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["target-sr-cluster", "X-Tenant"]);
    }

    #[test]
    fn converters_with_the_same_keys_share_a_client() {
        let (_, one) = read("max.retries=7\nsubject=a").unwrap();
        let (_, same) = read("max.retries=7\nsubject=b").unwrap();
        let (_, other) = read("max.retries=8").unwrap();
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    }
}
