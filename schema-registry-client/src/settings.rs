//! Decides what a client can be told, and what it assumes where it is told nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Who the client is to the registry.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Whoever the URL names (`https://user:password@host`), else nobody.
    #[default]
    Url,
    /// A user.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// Whoever has this token.
    Bearer(Secret),
    /// Whoever a token endpoint says it is.
    OAuth(OAuth),
}

/// How to get tokens by the OAuth grant `client_credentials`.
///
/// A token is used until shortly before it ends, or until the registry no longer accepts it.
#[derive(Clone, Debug)]
pub struct OAuth {
    /// The token endpoint.
    pub endpoint: String,
    /// The client's name there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// What the token shall be good for.
    pub scope: Option<String>,
    /// How long before its end a token is replaced, but at most half its life.
    pub renew_before: Duration,
}

impl OAuth {
    /// With the usual five minutes of [`renew_before`](Self::renew_before), and without scope.
    pub fn new(
        endpoint: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: Secret,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            client_id: client_id.into(),
            client_secret,
            scope: None,
            renew_before: Duration::from_secs(300),
        }
    }
}

/// An HTTP proxy. `https` goes through a tunnel (`CONNECT`), `http` by forwarding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What a [`Client`](crate::Client) is made of.
///
/// ```
/// use std::time::Duration;
/// use schema_registry_client::{Credentials, Secret, Settings};
///
/// let settings = Settings {
///     credentials: Credentials::Basic { user: "me".into(), password: Secret::new("secret") },
///     read_timeout: Duration::from_secs(10),
///     ..Settings::new(["https://one.example:8081", "https://two.example:8081"])
/// };
/// assert!(!format!("{settings:?}").contains("secret\""));
/// ```
#[derive(Clone)]
pub struct Settings {
    /// Base URLs of one registry. Another is asked when one cannot answer.
    pub urls: Vec<String>,
    /// Whether to begin with any of the URLs, so that clients spread.
    pub randomize_urls: bool,
    /// Who the client is.
    pub credentials: Credentials,
    /// Headers of every request; their values are not printed.
    pub headers: Vec<(String, Secret)>,
    /// For `https`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// None: directly.
    pub proxy: Option<Proxy>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, to its last byte.
    pub read_timeout: Duration,
    /// How often all URLs are asked again after the first time.
    pub max_retries: u32,
    /// The first wait before asking again; it doubles, with jitter.
    pub retry_wait: Duration,
    /// The longest wait.
    pub retry_max_wait: Duration,
    /// The longest body that is read.
    pub max_body_bytes: usize,
    /// How many answers to each kind of question are remembered.
    pub cache_capacity: usize,
    /// How many subjects' latest versions are remembered.
    pub latest_capacity: usize,
    /// How long the latest version of a subject is believed to be the latest; none: forever.
    pub latest_ttl: Option<Duration>,
    /// How many answers are remembered that there is nothing; of each kind.
    pub missing_capacity: usize,
    /// How long it is believed that there is no schema with an id or GUID; none: not at all.
    pub missing_id_ttl: Option<Duration>,
    /// How long it is believed that a subject has no such version; none: not at all.
    pub missing_version_ttl: Option<Duration>,
    /// How long it is believed that a subject does not have a schema; none: not at all.
    pub missing_schema_ttl: Option<Duration>,
}

impl Settings {
    /// The defaults of Confluent's client.
    pub fn new<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self {
            urls: urls.into_iter().map(Into::into).collect(),
            randomize_urls: false,
            credentials: Credentials::Url,
            headers: Vec::new(),
            tls: None,
            proxy: None,
            connect_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            max_retries: 3,
            retry_wait: Duration::from_secs(1),
            retry_max_wait: Duration::from_secs(20),
            max_body_bytes: 16 * 1024 * 1024,
            cache_capacity: 1000,
            latest_capacity: 1000,
            latest_ttl: None,
            missing_capacity: 10_000,
            missing_id_ttl: None,
            missing_version_ttl: None,
            missing_schema_ttl: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(|url| without_user(url)).collect();
        f.debug_struct("Settings")
            .field("urls", &urls)
            .field("credentials", &self.credentials)
            .field("proxy", &self.proxy)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("max_retries", &self.max_retries)
            .finish_non_exhaustive()
    }
}

/// A URL as it may be shown. Whatever stands before the last `@` may be of a password, in which
/// somebody has forgotten to escape `/`, `?` or `#`.
pub(crate) fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}
