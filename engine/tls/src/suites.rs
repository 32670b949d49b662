//! Decides which protocols and cipher suites rustls uses, from Java's names for them.

use millrace_api::Result;
use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};

use crate::invalid;

/// The versions that `ssl.enabled.protocols` names.
pub(crate) fn versions(protocols: &[String]) -> Vec<&'static SupportedProtocolVersion> {
    [&TLS12, &TLS13]
        .into_iter()
        .zip(crate::PROTOCOLS)
        .filter(|(_, name)| protocols.iter().any(|protocol| protocol == name))
        .map(|(version, _)| version)
        .collect()
}

/// rustls' ring provider with the wanted suites only, in its own order.
pub(crate) fn provider(wanted: &[String]) -> Result<CryptoProvider> {
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
