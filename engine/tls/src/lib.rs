//! Java's `ssl.*` settings: decides which certificates, keys, protocols and ciphers they name,
//! whether they lie in PEM, PKCS #12 or JKS.
//!
//! The Kafka clients and the REST API read their TLS settings here, so that a store that works for
//! one works for the other. Nothing is written anywhere, and files are read once, by
//! [`TlsSettings::read`]; [`ClientTls`] reads them again when they change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use millrace_api::{Error, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

mod certificate;
mod client;
mod der;
mod encryption;
mod flaw;
mod key;
mod pem;
mod server;
mod sources;
mod store;
mod suites;
#[cfg(test)]
mod tests;
mod trust;

pub use client::ClientTls;
pub use trust::{Distrust, RefusedCertificate};

/// Who this side is: a certificate chain, its own first, and the key.
#[derive(Debug)]
pub struct Identity {
    /// DER, this side's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// DER, decrypted.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The chain as PEM text.
    pub fn chain_pem(&self) -> String {
        certificates_pem(&self.chain)
    }

    /// The key as PEM text, not encrypted: a secret.
    pub fn key_pem(&self) -> String {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem::write(label, self.key.secret_der())
    }
}

/// Certificates as PEM text.
pub fn certificates_pem(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|certificate| pem::write("CERTIFICATE", certificate)).collect()
}

/// The one private key in PEM text, decrypted with the password if need be: PKCS #8, which SEC 1 is
/// made into, or PKCS #1.
///
/// # Errors
///
/// [`ErrorKind::Config`](millrace_api::ErrorKind), saying what is wrong and nothing of the content.
pub fn private_key_pem(text: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>> {
    pem::key(text, password).and_then(key::wrapped).map_err(|flaw| match (&flaw, password) {
        (flaw::Flaw::Password, None) => Error::config("the private key is encrypted"),
        _ => Error::config(format!("the private key cannot be read: {flaw}")),
    })
}

/// What people need to know of a certificate (DER) that was refused: whose it is, who signed it,
/// from when to when it is valid. Empty when it cannot be read.
pub fn describe_certificate(der: &[u8]) -> String {
    certificate::describe(der)
}

/// Whether a server asks its clients for a certificate (`ssl.client.auth`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// It does not.
    #[default]
    None,
    /// It asks, and goes on without.
    Requested,
    /// It asks, and refuses those that have none.
    Required,
}

/// What `ssl.*` says, with all files read.
#[derive(Debug)]
pub struct TlsSettings {
    /// `ssl.keystore.*`; none when there is no key store.
    pub identity: Option<Identity>,
    /// `ssl.truststore.*`; none when there is no trust store: then the system's roots are trusted.
    pub trusted: Option<Vec<CertificateDer<'static>>>,
    /// `ssl.endpoint.identification.algorithm` is not empty.
    pub verify_host_name: bool,
    /// `ssl.enabled.protocols`: `TLSv1.2`, `TLSv1.3` or both.
    pub protocols: Vec<String>,
    /// `ssl.cipher.suites` under their IANA names; empty: all that are safe.
    pub cipher_suites: Vec<String>,
}

/// The keys that [`TlsSettings::read`] looks at; it knows no others.
pub const KEYS: &[&str] = &[
    "ssl.cipher.suites",
    "ssl.enabled.protocols",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.factory.class",
    "ssl.key.password",
    "ssl.keymanager.algorithm",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

impl TlsSettings {
    /// Reads the `ssl.*` keys with Java's names, meanings and defaults; others are passed over.
    /// Blocks while it reads the stores that they name, each of 10 MiB at most.
    ///
    /// A certificate that is expired or not yet valid is warned about, with its date: whether it is
    /// good enough decides the other side.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind), naming the key, the file and what is wrong
    /// with it; no password is ever part of them.
    pub fn read(properties: &BTreeMap<String, String>) -> Result<Self> {
        let get = |key: &str| properties.get(key).map(|value| value.trim());
        replaced_parts(&get)?;
        let settings = Self {
            identity: sources::identity(&get)?,
            trusted: sources::trusted(&get)?,
            verify_host_name: verify_host_name(get("ssl.endpoint.identification.algorithm"))?,
            protocols: protocols(get("ssl.protocol"), get("ssl.enabled.protocols"))?,
            cipher_suites: list(get("ssl.cipher.suites")),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for complaint in settings.outdated(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) {
            tracing::warn!("{complaint}");
        }
        Ok(settings)
    }

    /// What a server needs to answer over TLS, with rustls and its ring provider.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind): there is no key store, the key is of a kind
    /// that rustls does not know, no cipher suite is left, or clients shall have certificates and
    /// there is no trust store.
    pub fn server_config(&self, client_auth: ClientAuth) -> Result<Arc<rustls::ServerConfig>> {
        server::config(self, client_auth)
    }

    /// What a client needs to connect over TLS, with rustls and its ring provider: the trust store,
    /// or the system's roots where there is none, and the identity for servers that ask for one.
    ///
    /// Without [`verify_host_name`](Self::verify_host_name) the chain is still checked. A
    /// certificate that is refused is told of by a [`RefusedCertificate`]. Blocks while it reads the
    /// system's roots.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind): nobody is trusted, the key is of a kind that
    /// rustls does not know, or no cipher suite is left.
    pub fn client_config(&self) -> Result<Arc<rustls::ClientConfig>> {
        client::config(self)
    }

    /// The certificates that are not valid at `now`, seconds since 1970.
    fn outdated(&self, now: i64) -> Vec<String> {
        let own = self.identity.iter().flat_map(|identity| &identity.chain);
        let own = own.map(|certificate| ("ssl.keystore", certificate));
        let trusted = self.trusted.iter().flatten();
        let trusted = trusted.map(|certificate| ("ssl.truststore", certificate));
        own.chain(trusted)
            .filter_map(|(place, certificate)| {
                let complaint = certificate::complaint(certificate, now)?;
                Some(format!("{place}: {complaint}"))
            })
            .collect()
    }
}

/// An error of this crate for somebody who wrote its keys below a prefix, as those of
/// `listeners.https.`: the keys that it names get the prefix.
#[must_use]
pub fn below(prefix: &str, error: &Error) -> Error {
    error.rewritten(&|words| {
        let mut text = String::with_capacity(words.len());
        let mut rest = words;
        while let Some(at) = rest.find("ssl.") {
            let (before, found) = rest.split_at(at);
            text += before;
            // Not what is a part of a path.
            let begins = matches!(text.chars().next_back(), None | Some(' ' | '(' | '"'));
            if begins
                && ["ssl.keystore", "ssl.truststore"]
                    .iter()
                    .chain(KEYS)
                    .any(|key| found.starts_with(key))
            {
                text += prefix;
            }
            let (key, after) = found.split_at("ssl.".len());
            text += key;
            rest = after;
        }
        text + rest
    })
}

/// Java's complaint about a value.
fn invalid(key: &str, value: &str, why: &str) -> Error {
    Error::config(format!("Invalid value {value} for configuration {key}: {why}"))
}

/// The keys with which Java users replace parts of its TLS. What replaces the checks is refused,
/// since leaving it out could open what it closes; the rest changes how, not what.
fn replaced_parts<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<()> {
    const FACTORY: &str = "org.apache.kafka.common.security.ssl.DefaultSslEngineFactory";
    const CHECKING: [(&str, &[&str]); 2] = [
        ("ssl.engine.factory.class", &[FACTORY]),
        ("ssl.trustmanager.algorithm", &["PKIX", "SunX509", "X509", "SunPKIX", "X.509"]),
    ];
    for (key, accepted) in CHECKING {
        if let Some(value) = get(key).filter(|value| !value.is_empty())
            && !accepted.contains(&value)
        {
            let why = "Java code cannot be loaded; leave the key out, and give certificates by \
                       ssl.keystore.* and ssl.truststore.*";
            return Err(invalid(key, value, why));
        }
    }
    if let Some(value) = get("ssl.provider").filter(|value| !value.is_empty()) {
        tracing::warn!("ssl.provider={value} is ignored: there are no Java security providers");
    }
    Ok(())
}

fn verify_host_name(algorithm: Option<&str>) -> Result<bool> {
    match algorithm {
        Some("") => Ok(false),
        None => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("https") => Ok(true),
        Some(text) => {
            let key = "ssl.endpoint.identification.algorithm";
            Err(invalid(key, text, "use https, or nothing to check no host name"))
        }
    }
}

const PROTOCOLS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];
/// What Java may still be told to speak, and nobody should.
const OLD_PROTOCOLS: [&str; 5] = ["SSLv2Hello", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1"];

fn protocols(context: Option<&str>, enabled: Option<&str>) -> Result<Vec<String>> {
    // In Java this names the kind of context, whose protocols the other key then replaces.
    match context {
        None | Some("" | "TLS" | "TLSv1.2" | "TLSv1.3") => {}
        Some(other) => {
            let why = "use TLSv1.3 or TLSv1.2; older protocols are not supported";
            return Err(invalid("ssl.protocol", other, why));
        }
    }
    let enabled = list(enabled);
    if enabled.is_empty() {
        return Ok(PROTOCOLS.map(str::to_owned).to_vec());
    }
    let key = "ssl.enabled.protocols";
    let unknown = |name: &&String| {
        !PROTOCOLS.contains(&name.as_str()) && !OLD_PROTOCOLS.contains(&name.as_str())
    };
    if let Some(name) = enabled.iter().find(unknown) {
        return Err(invalid(key, name, "use TLSv1.2, TLSv1.3 or both"));
    }
    let (kept, old): (Vec<_>, Vec<_>) =
        enabled.into_iter().partition(|name| PROTOCOLS.contains(&name.as_str()));
    let old = old.join(",");
    if kept.is_empty() {
        return Err(invalid(key, &old, "use TLSv1.2, TLSv1.3 or both; older ones are not safe"));
    }
    if !old.is_empty() {
        tracing::warn!("{key}: {old} is left out, it is not safe");
    }
    Ok(kept)
}

fn list(text: Option<&str>) -> Vec<String> {
    let names = text.unwrap_or_default().split(',').map(str::trim);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
