//! How a session is encrypted, and whom it trusts: by `sslmode` and the certificates of a URL.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use sqlx::postgres::PgSslMode;

/// What a URL says of certificates: files, or their text.
#[derive(Clone, Default)]
pub(in super::super) struct Certificates {
    pub(in super::super) root: Option<String>,
    pub(in super::super) own: Option<String>,
    pub(in super::super) key: Option<String>,
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Tls(error.into())
}

/// How to speak TLS to a server in this mode.
pub(super) async fn config(
    mode: PgSslMode,
    certificates: &Certificates,
) -> sqlx::Result<ClientConfig> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
    let trust = match mode {
        PgSslMode::VerifyCa => Trust::AnyName(verifier(certificates, provider).await?),
        PgSslMode::VerifyFull => Trust::Full(verifier(certificates, provider).await?),
        _ => Trust::Anybody(provider),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(trust));
    match (&certificates.own, &certificates.key) {
        (Some(own), Some(key)) => {
            let own = pem("sslcert", own).await?;
            let own: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&own).collect();
            let key = PrivateKeyDer::from_pem_slice(&pem("sslkey", key).await?).map_err(refused)?;
            builder.with_client_auth_cert(own.map_err(refused)?, key).map_err(refused)
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(refused("sslcert and sslkey in connection.url need each other")),
    }
}

/// Text that begins as PEM does is that, other text the name of a file.
async fn pem(setting: &str, place: &str) -> sqlx::Result<Vec<u8>> {
    match place.trim_start().starts_with("-----BEGIN") {
        true => Ok(place.as_bytes().to_vec()),
        false => {
            let read = tokio::fs::read(place).await;
            read.map_err(|error| refused(format!("cannot read the file of {setting}: {error}")))
        }
    }
}

async fn verifier(
    certificates: &Certificates,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> sqlx::Result<Arc<WebPkiServerVerifier>> {
    let roots = Arc::new(roots(certificates).await?);
    WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(refused)
}

/// Whom the URL names, and nobody else, as in libpq; whom the system trusts, where it names none.
async fn roots(certificates: &Certificates) -> sqlx::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &certificates.root {
        Some(root) => {
            for certificate in CertificateDer::pem_slice_iter(&pem("sslrootcert", root).await?) {
                roots.add(certificate.map_err(refused)?).map_err(refused)?;
            }
        }
        None => {
            let load = rustls_native_certs::load_native_certs;
            let of_system = tokio::task::spawn_blocking(load).await.map_err(refused)?;
            roots.add_parsable_certificates(of_system.certs);
        }
    }
    Ok(roots)
}

/// Whom a mode takes for the server.
#[derive(Debug)]
enum Trust {
    /// As libpq: the line is encrypted, nobody is asked who they are.
    Anybody(Arc<rustls::crypto::CryptoProvider>),
    /// Somebody with a certificate that is trusted, whatever its name.
    AnyName(Arc<WebPkiServerVerifier>),
    Full(Arc<WebPkiServerVerifier>),
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self {
            Self::Anybody(_) => Ok(ServerCertVerified::assertion()),
            Self::Full(verifier) => verifier.verify_server_cert(own, between, name, ocsp, now),
            Self::AnyName(verifier) => {
                match verifier.verify_server_cert(own, between, name, ocsp, now) {
                    Err(TlsError::InvalidCertificate(
                        CertificateError::NotValidForName
                        | CertificateError::NotValidForNameContext { .. },
                    )) => Ok(ServerCertVerified::assertion()),
                    verified => verified,
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        match self {
            Self::Anybody(provider) => rustls::crypto::verify_tls12_signature(
                message,
                own,
                signed,
                &provider.signature_verification_algorithms,
            ),
            Self::AnyName(v) | Self::Full(v) => v.verify_tls12_signature(message, own, signed),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        match self {
            Self::Anybody(provider) => rustls::crypto::verify_tls13_signature(
                message,
                own,
                signed,
                &provider.signature_verification_algorithms,
            ),
            Self::AnyName(v) | Self::Full(v) => v.verify_tls13_signature(message, own, signed),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self {
            Self::Anybody(provider) => {
                provider.signature_verification_algorithms.supported_schemes()
            }
            Self::AnyName(v) | Self::Full(v) => v.supported_verify_schemes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUMz8sBNcS08eXUF0AJ8XT22E+jCAwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGYSByb290MCAXDTI2MTEyMjE0MTMxNFoYDzIxMjYxMDI5MTQx
MzE0WjARMQ8wDQYDVQQDDAZhIHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASkGhlXLOKsTBQKjssTyuokWOjzUYDEdo3lnw6VmE2kDQm2YvM8YqM/+lnzb0CK
r0hxqQg0PIgMeJAepjAqnpWho1MwUTAdBgNVHQ4EFgQUVqo4o00XTmF3kE/L1mxk
eBDIblswHwYDVR0jBBgwFoAUVqo4o00XTmF3kE/L1mxkeBDIblswDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEA8SZMjI7fcfMA2VfSl2LMq85QesJW
oU+Ydcn/nTfaZSACIQCq+RsV18wxZRhl+02yujD/Qo9w8KeQWXqaFUI6Viw6Gg==
-----END CERTIFICATE-----";

    #[tokio::test]
    async fn a_root_that_is_named_is_the_only_one() {
        let named = Certificates { root: Some(ROOT.into()), ..Certificates::default() };
        assert_eq!(roots(&named).await.unwrap().len(), 1);
        let of_system = rustls_native_certs::load_native_certs().certs;
        let of_system = RootCertStore::empty().add_parsable_certificates(of_system).0;
        assert_eq!(roots(&Certificates::default()).await.unwrap().len(), of_system);
    }
}
