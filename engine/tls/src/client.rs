//! Decides what a TLS client of ours says and accepts, from Java's settings, and when their files
//! are read again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use millrace_api::{Error, Result};
use rustls::{ClientConfig, RootCertStore};

use crate::trust::Verifier;
use crate::{TlsSettings, sources, suites};

/// What a client needs to connect over TLS: Java's `ssl.*` settings with the stores they name.
///
/// A store that is replaced while the client runs holds for connections made from then on, as
/// Kafka's brokers do it and its Java clients do not. One that cannot be read changes nothing: a
/// warning says why.
pub struct ClientTls {
    properties: BTreeMap<String, String>,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ClientConfig>,
    files: Vec<Stamp>,
}

/// What tells that a file is another one than before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// None where there is no file.
    changed: Option<(SystemTime, u64)>,
}

impl ClientTls {
    /// Reads the `ssl.*` keys of these properties, and the stores; others are passed over. Blocks as
    /// [`TlsSettings::read`] does.
    ///
    /// # Errors
    ///
    /// Those of [`TlsSettings::read`] and [`TlsSettings::client_config`].
    pub fn read(properties: &BTreeMap<String, String>) -> Result<Self> {
        let ours = properties.iter().filter(|(key, _)| crate::KEYS.contains(&key.as_str()));
        let properties: BTreeMap<_, _> =
            ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        // First, so that a change while the stores are read is seen the next time.
        let files = stamps(&properties);
        let config = TlsSettings::read(&properties)?.client_config()?;
        Ok(Self { properties, current: Mutex::new(Current { config, files }) })
    }

    /// What a new connection uses. Looks whether the stores have changed, and reads them again if
    /// so: blocks as [`ClientTls::read`] does.
    pub fn config(&self) -> Arc<ClientConfig> {
        let mut current = lock(&self.current);
        let files = stamps(&self.properties);
        if files != current.files {
            current.files = files;
            let read = TlsSettings::read(&self.properties);
            match read.and_then(|settings| settings.client_config()) {
                Ok(config) => {
                    tracing::info!("the stores of ssl.* have changed: new connections use them");
                    current.config = config;
                }
                Err(error) => tracing::warn!(
                    "the stores of ssl.* have changed, and cannot be used: new connections use \
                     what was read before ({error})"
                ),
            }
        }
        current.config.clone()
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stamps(properties: &BTreeMap<String, String>) -> Vec<Stamp> {
    let paths = sources::LOCATIONS.iter().filter_map(|key| properties.get(*key));
    paths
        .map(|path| path.trim())
        .filter(|path| !path.is_empty())
        .map(|path| {
            let file = std::fs::metadata(path).ok();
            let changed = file.and_then(|file| Some((file.modified().ok()?, file.len())));
            Stamp { path: path.into(), changed }
        })
        .collect()
}

pub(crate) fn config(settings: &TlsSettings) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(suites::provider(&settings.cipher_suites)?);
    let algorithms = provider.signature_verification_algorithms;
    let unusable =
        |why: &'static str| move |error: rustls::Error| Error::config(why).with_source(error);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&suites::versions(&settings.protocols))
        .map_err(unusable("ssl.cipher.suites has none for ssl.enabled.protocols"))?;
    let verifier = Verifier {
        roots: roots(settings)?,
        pinned: settings.trusted.clone().unwrap_or_default(),
        algorithms,
        verify_host_name: settings.verify_host_name,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &settings.identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(unusable("ssl.keystore: the key cannot be used for TLS"))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Whom the client trusts: the trust store, or the system's roots where there is none.
fn roots(settings: &TlsSettings) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(trusted) = &settings.trusted {
        let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
        if added == 0 {
            return Err(Error::config("ssl.truststore: no certificate in it can be used for TLS"));
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let error = Error::config(
        "this system has no certificates that are trusted (SSL_CERT_FILE names none either): set \
         ssl.truststore.location, or install the system's ca-certificates",
    );
    Err(match found.errors.into_iter().next() {
        Some(cause) => error.with_source(cause),
        None => error,
    })
}
