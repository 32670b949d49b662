//! Java's `ssl.*` settings: decides which certificates, keys, protocols and ciphers they name,
//! whether they lie in PEM, PKCS #12 or JKS.
//!
//! The Kafka clients and the REST API read their TLS settings here, so that a store that works for
//! one works for the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::{Error, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who this side is: a certificate chain, its own first, and the key.
#[derive(Debug)]
pub struct Identity {
    /// DER, this side's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// DER, decrypted.
    pub key: PrivateKeyDer<'static>,
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
    /// `ssl.enabled.protocols`, such as `TLSv1.3`.
    pub protocols: Vec<String>,
    /// `ssl.cipher.suites` under their IANA names; empty: all that are safe.
    pub cipher_suites: Vec<String>,
}

impl TlsSettings {
    /// Reads the `ssl.*` keys. Errors name the key, the file and what is wrong with it; no password
    /// is ever part of them.
    pub fn read(properties: &BTreeMap<String, String>) -> Result<Self> {
        let _ = properties;
        Err(Error::fatal("not implemented yet"))
    }

    /// What a server needs to answer over TLS.
    pub fn server_config(&self, client_auth: ClientAuth) -> Result<Arc<rustls::ServerConfig>> {
        let _ = client_auth;
        Err(Error::fatal("not implemented yet"))
    }
}
