//! Decides which of `ssl.keystore.*` and `ssl.truststore.*` are used, and says what is wrong with
//! the files that they name.
//!
//! The rules are those of Java's `DefaultSslEngineFactory`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use millrace_api::{Error, Result};
use rustls::pki_types::CertificateDer;

use crate::flaw::Flaw;
use crate::store::Store;
use crate::{Identity, invalid, key, pem};

/// Larger than any store; a path may name a device.
const MAX_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// One of the two stores, by its keys.
struct Source {
    what: &'static str,
    kind: &'static str,
    location: &'static str,
    password: &'static str,
    /// The key that holds PEM text in place of a file.
    text: &'static str,
}

const KEYSTORE: Source = Source {
    what: "key store",
    kind: "ssl.keystore.type",
    location: "ssl.keystore.location",
    password: "ssl.keystore.password",
    text: "ssl.keystore.key",
};

const TRUSTSTORE: Source = Source {
    what: "trust store",
    kind: "ssl.truststore.type",
    location: "ssl.truststore.location",
    password: "ssl.truststore.password",
    text: "ssl.truststore.certificates",
};

const CHAIN: &str = "ssl.keystore.certificate.chain";
const KEY_PASSWORD: &str = "ssl.key.password";

/// The keys that name files.
pub(crate) const LOCATIONS: [&str; 2] = [KEYSTORE.location, TRUSTSTORE.location];

/// What a source turned out to be.
enum Content<'a> {
    /// Nothing is set.
    Nothing,
    /// The value of [`Source::text`].
    Inline(&'a str),
    /// A PEM file's text.
    Pem(String),
    Store(Store),
}

/// Who this side is.
pub(crate) fn identity<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<Identity>> {
    let key_password = get(KEY_PASSWORD).filter(|password| !password.is_empty());
    let from_pem = |key: &str, chain: &str, place: (&'static str, &'static str)| {
        let key = pem::key(key, key_password).map_err(|flaw| match (flaw, key_password) {
            (Flaw::Password, None) => Error::config(format!(
                "{}: the private key is encrypted: set {KEY_PASSWORD}",
                place.0
            )),
            (Flaw::Password, _) => wrong_key_password(KEY_PASSWORD, place.0),
            (flaw, _) => Error::config(format!("{}: {flaw}", place.0)),
        })?;
        let chain = pem::certificates(chain)
            .map_err(|flaw| Error::config(format!("{}: {flaw}", place.1)))?;
        Ok(Identity { chain, key })
    };
    let identity = match KEYSTORE.read(get)? {
        Content::Nothing if get(CHAIN).is_some() => {
            return Err(Error::config(format!("{CHAIN} is set, but ssl.keystore.key is not")));
        }
        Content::Nothing => return Ok(None),
        Content::Inline(key) => {
            let chain = get(CHAIN).ok_or_else(|| {
                Error::config(format!("ssl.keystore.key is set, but {CHAIN} is not"))
            })?;
            from_pem(key, chain, ("ssl.keystore.key", CHAIN))
        }
        Content::Pem(text) => from_pem(&text, &text, (KEYSTORE.location, KEYSTORE.location)),
        Content::Store(store) => from_store(&store, get),
    };
    identity.and_then(checked).map(Some).map_err(|error| KEYSTORE.located(error, get))
}

fn from_store<'a>(store: &Store, get: &impl Fn(&str) -> Option<&'a str>) -> Result<Identity> {
    // The order of the file is that of a hash table: the name is a choice people can make.
    let usable = store.keys.iter().filter(|entry| !entry.chain.is_empty());
    let entry = usable.min_by(|a, b| a.alias.cmp(&b.alias));
    let entry = entry.ok_or_else(|| {
        Error::config(format!(
            "{}: the key store holds no private key with a certificate; it may be a trust store \
             (keytool -list shows what it holds)",
            KEYSTORE.location
        ))
    })?;
    let alias = &entry.alias;
    if store.keys.len() > 1 {
        tracing::warn!("{}: several keys, that of {alias} is used", KEYSTORE.location);
    }
    let (from, password) = match get(KEY_PASSWORD).filter(|password| !password.is_empty()) {
        Some(password) => (KEY_PASSWORD, password),
        None => (KEYSTORE.password, get(KEYSTORE.password).unwrap_or_default()),
    };
    let key = entry.open(password).map_err(|flaw| match flaw {
        Flaw::Password => wrong_key_password(from, KEYSTORE.location).context("alias", alias),
        flaw => {
            let place = KEYSTORE.location;
            Error::config(format!("{place}: the private key cannot be read: {flaw}"))
                .context("alias", alias)
        }
    })?;
    Ok(Identity { chain: entry.chain.clone(), key })
}

fn wrong_key_password(from: &'static str, place: &'static str) -> Error {
    let way_out = match from {
        KEY_PASSWORD => "",
        _ => "; the key may have a password of its own: set ssl.key.password",
    };
    Error::config(format!("{place}: {from} does not open the private key{way_out}"))
}

/// A key and a certificate that do not belong together would fail at the first connection only.
fn checked(identity: Identity) -> Result<Identity> {
    let Identity { chain, key } = identity;
    let key = match chain.first() {
        Some(own) => key::complete(key, own),
        None => key,
    };
    if !key::fits(&key, &chain) {
        return Err(Error::config(
            "ssl.keystore: the private key does not belong to the first certificate of its chain",
        ));
    }
    Ok(Identity { chain, key })
}

/// Whom this side trusts.
pub(crate) fn trusted<'a>(
    get: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let from_pem = |text: &str, place: &str| {
        pem::certificates(text).map_err(|flaw| Error::config(format!("{place}: {flaw}")))
    };
    let trusted = match TRUSTSTORE.read(get)? {
        Content::Nothing => return Ok(None),
        Content::Inline(text) => from_pem(text, TRUSTSTORE.text),
        Content::Pem(text) => from_pem(&text, TRUSTSTORE.location),
        Content::Store(store) => {
            // As Java: the certificate of a key of one's own is trusted too, what signed it is not.
            let own = store.keys.iter().filter_map(|entry| entry.chain.first());
            let trusted: Vec<_> = store.trusted.iter().chain(own).cloned().collect();
            if trusted.is_empty() { Err(nothing_trusted(&store, get)) } else { Ok(trusted) }
        }
    };
    trusted.map(Some).map_err(|error| TRUSTSTORE.located(error, get))
}

fn nothing_trusted<'a>(store: &Store, get: &impl Fn(&str) -> Option<&'a str>) -> Error {
    let why = if store.has_unmarked {
        "its certificates are not marked as trusted; import them with keytool -importcert, export \
         them with openssl pkcs12 -jdktrust anyExtendedKeyUsage, or use PEM"
    } else if get(TRUSTSTORE.password).is_none() {
        "without ssl.truststore.password the certificates in it cannot be read"
    } else {
        "it is empty"
    };
    Error::config(format!(
        "{}: the trust store holds no trusted certificate: {why}",
        TRUSTSTORE.location
    ))
}

impl Source {
    fn read<'a>(&self, get: &impl Fn(&str) -> Option<&'a str>) -> Result<Content<'a>> {
        let kind = get(self.kind).filter(|kind| !kind.is_empty()).unwrap_or("JKS");
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if !["JKS", "PKCS12", "PEM"].into_iter().any(is) {
            return Err(invalid(self.kind, kind, "use JKS, PKCS12 or PEM"));
        }
        let location = get(self.location).filter(|location| !location.is_empty());
        let password = get(self.password).filter(|password| !password.is_empty());
        let broken = |why: String| Err(Error::config(why));
        if is("PEM") && password.is_some() {
            let key = self.password;
            return broken(format!("{key} cannot be used with PEM: leave it out"));
        }
        match (get(self.text), location) {
            (Some(_), _) if !is("PEM") => {
                broken(format!("{} can be used only with {}=PEM", self.text, self.kind))
            }
            (Some(_), Some(_)) => {
                broken(format!("{} and {} are both set: use one", self.text, self.location))
            }
            (Some(text), None) => Ok(Content::Inline(text)),
            (None, None) if password.is_some() => {
                broken(format!("{} is set, but {} is not", self.password, self.location))
            }
            (None, None) => Ok(Content::Nothing),
            (None, Some(_)) if self.text == KEYSTORE.text && !is("PEM") && password.is_none() => {
                broken(format!("{} is set, but {} is not", self.location, self.password))
            }
            (None, Some(path)) => {
                self.file(path, password, is("PEM")).map_err(|error| self.located(error, get))
            }
        }
    }

    fn file(&self, path: &str, password: Option<&str>, is_pem: bool) -> Result<Content<'static>> {
        let Self { what, kind, location, .. } = self;
        let bytes = self.bytes(path)?;
        if pem::is_pem(&bytes) && !is_pem {
            return Err(Error::config(format!("{location}: the {what} is PEM: set {kind}=PEM")));
        }
        if is_pem {
            let text = String::from_utf8(bytes).ok().filter(|text| pem::is_pem(text.as_bytes()));
            return text.map(Content::Pem).ok_or_else(|| {
                Error::config(format!(
                    "{location}: the {what} is not PEM: set {kind} to JKS or PKCS12"
                ))
            });
        }
        Store::read(&bytes, password).map(Content::Store).map_err(|flaw| match flaw {
            Flaw::Password => {
                let key = self.password;
                Error::config(format!("{location}: {key} does not open the {what}: {flaw}"))
            }
            flaw => Error::config(format!("{location}: the {what} cannot be read: {flaw}")),
        })
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let Self { what, location, .. } = self;
        let unreadable = |error: std::io::Error| {
            let hint = if Path::new(path).is_relative() {
                "; the path is relative to the directory in which the worker was started"
            } else {
                ""
            };
            Error::config(format!("{location}: the {what} cannot be read{hint}")).with_source(error)
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::config(format!(
                "{location}: the file is larger than any {what} (10 MiB)"
            )));
        }
        Ok(bytes)
    }

    /// The error with the path of the file, if there is one.
    fn located<'a>(&self, error: Error, get: &impl Fn(&str) -> Option<&'a str>) -> Error {
        match get(self.location) {
            Some(path) if !error.to_string().contains(path) => error.context("file", path),
            _ => error,
        }
    }
}
