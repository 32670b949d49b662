//! Decides what `sasl.oauthbearer.*`, `sasl.login.*` and the options of the login module mean to
//! OAUTHBEARER, with Java's names, defaults and complaints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use millrace_api::{Error, Result};
use millrace_tls::ClientTls;
use serde_json::{Map, json};

use super::assertion::{Algorithm, Assertion, Signed};
use super::http::Endpoint;
use super::jwt::ClaimNames;
use super::retriever::{Grant, Proof, Retriever};
use super::unsecured::{Unsecured, extensions};
use super::{Allowed, Extensions, Secret};
use crate::properties::jaas::Jaas;
use crate::properties::{Reader, invalid, millis};

/// How a client gets its tokens.
#[derive(Debug)]
pub(crate) struct LoginSettings {
    pub(super) retriever: Retriever,
    pub(super) claims: ClaimNames,
    pub(super) refresh: Refresh,
    pub(super) extensions: Extensions,
}

/// When a token is fetched anew (`sasl.login.refresh.*`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Refresh {
    pub(super) window_factor: f64,
    pub(super) window_jitter: f64,
    pub(super) min_period_ms: i64,
    pub(super) buffer_ms: i64,
}

impl Refresh {
    /// In how many milliseconds from `now_ms` a token is to be fetched anew
    /// (`ExpiringCredentialRefreshingLogin.refreshMs`). `random` lies in 0..1.
    pub(super) fn due_in(
        &self,
        issued_ms: Option<i64>,
        expires_ms: i64,
        now_ms: i64,
        random: f64,
    ) -> i64 {
        let part = self.window_factor + self.window_jitter * random;
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let part_of = |ms: i64| (ms as f64 * part) as i64;
        if now_ms + self.min_period_ms + self.buffer_ms > expires_ms {
            // The token is too short-lived for both.
            return part_of(expires_ms - now_ms);
        }
        let start_ms = issued_ms.unwrap_or(now_ms);
        let proposed_ms = start_ms + part_of(expires_ms - start_ms);
        let due_ms = if proposed_ms > expires_ms - self.buffer_ms {
            expires_ms - self.buffer_ms
        } else {
            proposed_ms.max(now_ms + self.min_period_ms)
        };
        (due_ms - now_ms).max(0)
    }
}

const PACKAGE: &str = "org.apache.kafka.common.security.oauthbearer.";
const HANDLER: &str = "sasl.login.callback.handler.class";
const URL: &str = "sasl.oauthbearer.token.endpoint.url";

/// Reads the keys for OAUTHBEARER. Blocks while it reads the stores of `ssl.*` options.
///
/// # Errors
///
/// `Config`, naming the key.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    jaas: &Jaas,
    allowed: &Allowed,
) -> Result<LoginSettings> {
    let mut name = |key, default: &str| {
        let name = reader.text(key).filter(|name| !name.is_empty()).unwrap_or(default);
        name.to_owned()
    };
    let claims = ClaimNames {
        scope: name("sasl.oauthbearer.scope.claim.name", "scope"),
        sub: name("sasl.oauthbearer.sub.claim.name", "sub"),
    };
    let refresh = Refresh {
        window_factor: reader.decimal("sasl.login.refresh.window.factor", 0.8, (0.5, 1.0))?,
        window_jitter: reader.decimal("sasl.login.refresh.window.jitter", 0.05, (0.0, 0.25))?,
        min_period_ms: 1_000 * seconds(reader, "sasl.login.refresh.min.period.seconds", 60, 900)?,
        buffer_ms: 1_000 * seconds(reader, "sasl.login.refresh.buffer.seconds", 300, 3_600)?,
    };
    validator(reader)?;
    let (retriever, extensions) = match reader.text(HANDLER).unwrap_or_default() {
        "" => unsecured(jaas)?,
        class => match class.strip_prefix(PACKAGE) {
            Some("internals.unsecured.OAuthBearerUnsecuredLoginCallbackHandler") => {
                unsecured(jaas)?
            }
            // The second one is its name before Kafka 4.
            Some("OAuthBearerLoginCallbackHandler" | "secured.OAuthBearerLoginCallbackHandler") => {
                (retriever(reader, jaas, allowed)?, extensions(jaas, "extension_")?)
            }
            _ => {
                let why = format!(
                    "Java code cannot be loaded: use {PACKAGE}OAuthBearerLoginCallbackHandler"
                );
                return Err(invalid(HANDLER, class, &why));
            }
        },
    };
    Ok(LoginSettings { retriever, claims, refresh, extensions })
}

fn unsecured(jaas: &Jaas) -> Result<(Retriever, Extensions)> {
    let (unsecured, extensions) = Unsecured::read(jaas)?;
    Ok((Retriever::Unsecured(unsecured), extensions))
}

fn validator(reader: &mut Reader<'_>) -> Result<()> {
    const KEY: &str = "sasl.oauthbearer.jwt.validator.class";
    match reader.text(KEY).unwrap_or_default() {
        "" => Ok(()),
        class => match class.strip_prefix(PACKAGE) {
            Some("DefaultJwtValidator" | "ClientJwtValidator") => Ok(()),
            _ => {
                let why = "Java code cannot be loaded: leave the key out";
                Err(invalid(KEY, class, why))
            }
        },
    }
}

fn retriever(reader: &mut Reader<'_>, jaas: &Jaas, allowed: &Allowed) -> Result<Retriever> {
    const KEY: &str = "sasl.oauthbearer.jwt.retriever.class";
    let url = Url::read(reader, allowed)?;
    let class = reader.text(KEY).filter(|class| !class.is_empty());
    let class = class.unwrap_or("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever");
    let grant = match (class.strip_prefix(PACKAGE), &url) {
        (Some("FileJwtRetriever" | "DefaultJwtRetriever"), Url::File(path)) => {
            return Ok(Retriever::File(path.clone()));
        }
        (Some("FileJwtRetriever"), Url::Http(url)) => {
            return Err(invalid(URL, &url.to_string(), "FileJwtRetriever needs a URL of file://"));
        }
        (Some("DefaultJwtRetriever" | "ClientCredentialsJwtRetriever"), _) => {
            client_credentials(reader, jaas, allowed)?
        }
        (Some("JwtBearerJwtRetriever"), _) => {
            let scope = text(reader, "sasl.oauthbearer.scope");
            Grant { proof: Proof::JwtBearer(assertion(reader, allowed)?), scope }
        }
        _ => {
            let why = "Java code cannot be loaded: use DefaultJwtRetriever, FileJwtRetriever, \
                       ClientCredentialsJwtRetriever or JwtBearerJwtRetriever of \
                       org.apache.kafka.common.security.oauthbearer";
            return Err(invalid(KEY, class, why));
        }
    };
    match url {
        Url::Http(url) => Ok(Retriever::Endpoint(Box::new(endpoint(reader, jaas, url)?), grant)),
        Url::File(path) => {
            let path = format!("file://{}", path.display());
            Err(invalid(URL, &path, &format!("{class} needs a URL of http:// or https://")))
        }
    }
}

/// `sasl.oauthbearer.token.endpoint.url`
enum Url {
    File(PathBuf),
    Http(Uri),
}

impl Url {
    fn read(reader: &mut Reader<'_>, allowed: &Allowed) -> Result<Self> {
        let Some(url) = reader.text(URL).filter(|url| !url.is_empty()) else {
            let why = format!("The OAuth configuration option {URL} value is required");
            return Err(Error::config(why));
        };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(invalid(URL, url, "the URL has no protocol: use https, http or file"));
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            allowed.check_url(URL, url)?;
            let path = rest.strip_prefix("//").unwrap_or(rest);
            let path = path.strip_prefix("localhost").unwrap_or(path);
            return existing(URL, PathBuf::from(path)).map(Self::File);
        }
        if !matches!(scheme.as_str(), "http" | "https") {
            let why = "only \"http\", \"https\", and \"file\" protocol are supported";
            return Err(invalid(URL, &format!("{scheme}:…"), why));
        }
        let parsed = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some());
        let parsed = parsed.ok_or_else(|| invalid(URL, "[hidden]", "the URL is malformed"))?;
        if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let why = "names and passwords do not belong into the URL: use \
                       sasl.oauthbearer.client.credentials.*";
            return Err(invalid(URL, "[hidden]", why));
        }
        allowed.check_url(URL, url)?;
        Ok(Self::Http(parsed))
    }
}

fn endpoint(reader: &mut Reader<'_>, jaas: &Jaas, url: Uri) -> Result<Endpoint> {
    let options = jaas.options().iter().filter(|(name, _)| name.starts_with("ssl."));
    let options: BTreeMap<_, _> =
        options.map(|(name, value)| (name.clone(), value.clone())).collect();
    let tls = match url.scheme_str() {
        Some("https") => {
            let read = ClientTls::read(&options);
            Some(Arc::new(read.map_err(|e| e.context("options of", "sasl.jaas.config"))?))
        }
        _ => None,
    };
    let mut wait = |key, default| Ok::<_, Error>(millis(reader.number(key, 0)?.unwrap_or(default)));
    let backoff = wait("sasl.login.retry.backoff.ms", 100)?;
    let backoff_max = wait("sasl.login.retry.backoff.max.ms", 10_000)?;
    // Java waits without end unless told otherwise.
    let connect_timeout = wait("sasl.login.connect.timeout.ms", 10_000)?;
    let read_timeout = wait("sasl.login.read.timeout.ms", 30_000)?;
    if backoff_max < backoff {
        return Err(Error::config(
            "sasl.login.retry.backoff.max.ms is less than sasl.login.retry.backoff.ms",
        ));
    }
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let at_least = Duration::from_millis(1);
    Ok(Endpoint {
        url,
        host,
        tls,
        connect_timeout: connect_timeout.max(at_least),
        read_timeout: read_timeout.max(at_least),
        backoff: backoff.max(at_least),
        backoff_max,
    })
}

fn client_credentials(reader: &mut Reader<'_>, jaas: &Jaas, allowed: &Allowed) -> Result<Grant> {
    const ID: &str = "sasl.oauthbearer.client.credentials.client.id";
    const SECRET: &str = "sasl.oauthbearer.client.credentials.client.secret";
    let scope = either(reader, jaas, "sasl.oauthbearer.scope", "scope");
    let id = either(reader, jaas, ID, "clientId");
    let encode = reader.boolean("sasl.oauthbearer.header.urlencode")?.unwrap_or(false);
    let has_file = text(reader, "sasl.oauthbearer.assertion.file").is_some();
    if has_file || text(reader, "sasl.oauthbearer.assertion.claim.iss").is_some() {
        let assertion = assertion(reader, allowed)?;
        return Ok(Grant { proof: Proof::Assertion { id, assertion }, scope });
    }
    let missing = |key: &str, option: &str| {
        Error::config(format!(
            "Could not find OAuth configuration for {key} or OAuth JAAS configuration for {option}"
        ))
    };
    let id = id.ok_or_else(|| missing(ID, "clientId"))?;
    let secret = either(reader, jaas, SECRET, "clientSecret");
    let secret = Secret::new(secret.ok_or_else(|| missing(SECRET, "clientSecret"))?);
    Ok(Grant { proof: Proof::Secret { id, secret, encode }, scope })
}

/// A key, or the option of the login module that it stands for since Kafka 4.1.
fn either(reader: &mut Reader<'_>, jaas: &Jaas, key: &'static str, option: &str) -> Option<String> {
    let by_key = text(reader, key);
    let by_option = jaas.get(option).map(str::trim).filter(|value| !value.is_empty());
    match (by_key, by_option) {
        (Some(value), None) => Some(value),
        (Some(value), Some(_)) => {
            tracing::warn!("sasl.jaas.config: the option {option} is ignored, since {key} is set");
            Some(value)
        }
        (None, by_option) => by_option.map(str::to_owned),
    }
}

fn assertion(reader: &mut Reader<'_>, allowed: &Allowed) -> Result<Assertion> {
    const ALGORITHM: &str = "sasl.oauthbearer.assertion.algorithm";
    const KEY: &str = "sasl.oauthbearer.assertion.private.key.file";
    let file = |reader: &mut Reader<'_>, key: &'static str| match text(reader, key) {
        None => Ok(None),
        Some(path) => {
            let path = absolute(&path).unwrap_or_else(|_| path.into());
            allowed.check_file(key, &path.display().to_string())?;
            existing(key, path).map(Some)
        }
    };
    if let Some(path) = file(reader, "sasl.oauthbearer.assertion.file")? {
        return Ok(Assertion::File(path));
    }
    let algorithm = match reader.choice(ALGORITHM, &["ES256", "RS256"])? {
        Some("ES256") => Algorithm::Es256,
        _ => Algorithm::Rs256,
    };
    let key = file(reader, KEY)?;
    let key = key.ok_or_else(|| {
        Error::config(format!("The OAuth configuration option {KEY} value is required"))
    })?;
    let template = file(reader, "sasl.oauthbearer.assertion.template.file")?;
    let passphrase = text(reader, "sasl.oauthbearer.assertion.private.key.passphrase");
    let mut claims = Map::new();
    for (claim, key) in [
        ("aud", "sasl.oauthbearer.assertion.claim.aud"),
        ("iss", "sasl.oauthbearer.assertion.claim.iss"),
        ("sub", "sasl.oauthbearer.assertion.claim.sub"),
    ] {
        if let Some(value) = text(reader, key) {
            claims.insert(claim.to_owned(), json!(value));
        }
    }
    Ok(Assertion::Signed(Box::new(Signed {
        algorithm,
        key,
        passphrase: passphrase.map(Secret::new),
        claims,
        template,
        exp_seconds: seconds(reader, "sasl.oauthbearer.assertion.claim.exp.seconds", 300, 86_400)?,
        nbf_seconds: seconds(reader, "sasl.oauthbearer.assertion.claim.nbf.seconds", 60, 3_600)?,
        has_jti: reader.boolean("sasl.oauthbearer.assertion.claim.jti.include")?.unwrap_or(false),
    })))
}

/// A file that is there.
fn existing(key: &str, path: PathBuf) -> Result<PathBuf> {
    let why = match std::fs::metadata(Path::new(&path)) {
        Ok(found) if found.is_dir() => "it is a directory, not a file".to_owned(),
        Ok(_) => return Ok(path),
        Err(e) => format!("the file cannot be read: {e}"),
    };
    Err(invalid(key, &path.display().to_string(), &why))
}

fn text(reader: &mut Reader<'_>, key: &'static str) -> Option<String> {
    reader.text(key).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn seconds(reader: &mut Reader<'_>, key: &'static str, default: i64, most: i64) -> Result<i64> {
    reader.number_within(key, (0, most)).map(|number| number.unwrap_or(default))
}
