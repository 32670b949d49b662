//! Decides how a TLS server of ours answers, from Java's settings.

use std::sync::Arc;

use millrace_api::{Error, Result};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::{ClientAuth, TlsSettings, suites};

pub(crate) fn config(settings: &TlsSettings, auth: ClientAuth) -> Result<Arc<ServerConfig>> {
    let identity = settings.identity.as_ref().ok_or_else(|| {
        Error::config("ssl.keystore.location is not set: a server needs a key and a certificate")
    })?;
    let provider = Arc::new(suites::provider(&settings.cipher_suites)?);
    let unusable =
        |why: &'static str| move |error: rustls::Error| Error::config(why).with_source(error);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&suites::versions(&settings.protocols))
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
