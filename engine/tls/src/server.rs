//! Decides how a TLS server of ours answers, from Java's settings.

use std::sync::Arc;

use millrace_api::{Error, Result};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::{ClientAuth, TlsSettings, invalid};

pub(crate) fn config(settings: &TlsSettings, auth: ClientAuth) -> Result<Arc<ServerConfig>> {
    let identity = settings.identity.as_ref().ok_or_else(|| {
        Error::config("ssl.keystore.location is not set: a server needs a key and a certificate")
    })?;
    let provider = Arc::new(provider(&settings.cipher_suites)?);
    let versions: Vec<&'static SupportedProtocolVersion> = [&TLS12, &TLS13]
        .into_iter()
        .zip(crate::PROTOCOLS)
        .filter(|(_, name)| settings.protocols.iter().any(|protocol| protocol == name))
        .map(|(version, _)| version)
        .collect();
    let unusable =
        |why: &'static str| move |error: rustls::Error| Error::config(why).with_source(error);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(unusable("ssl.cipher.suites has none for ssl.enabled.protocols"))?;
    let builder = match verifier(settings, auth, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let config = builder
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(unusable("ssl.keystore: the key cannot be used for TLS"))?;
    Ok(Arc::new(config))
}

/// rustls' ring provider with the wanted suites only, in its own order.
fn provider(wanted: &[String]) -> Result<CryptoProvider> {
    let mut provider = ring::default_provider();
    if wanted.is_empty() {
        return Ok(provider);
    }
    provider.cipher_suites.retain(|suite| {
        // rustls says TLS13_AES…, the registry of IANA says TLS_AES….
        let name = format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
        wanted.contains(&name)
    });
    if provider.cipher_suites.is_empty() {
        let why = "none of them is supported; those of TLS 1.3, and ECDHE with AES-GCM or \
                   ChaCha20 for TLS 1.2, are";
        return Err(invalid("ssl.cipher.suites", &wanted.join(","), why));
    }
    Ok(provider)
}

fn verifier(
    settings: &TlsSettings,
    auth: ClientAuth,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>> {
    if auth == ClientAuth::None {
        return Ok(None);
    }
    let trusted = settings.trusted.as_ref().ok_or_else(|| {
        Error::config(
            "ssl.truststore.location is not set: ssl.client.auth needs to know whose certificates \
             are trusted",
        )
    })?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
    if added == 0 {
        return Err(Error::config("ssl.truststore: no certificate in it can be used for TLS"));
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if auth == ClientAuth::Requested {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder
        .build()
        .map_err(|e| Error::config("ssl.truststore cannot be used").with_source(e))?;
    Ok(Some(verifier))
}
