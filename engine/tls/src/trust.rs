//! Decides whether a server's certificate is good enough, as Java's PKIX trust decides it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::certificate::{self, Certificate};

/// What is wrong with a server's certificate, in words that name Java's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It begins to be valid later.
    NotYetValid,
    /// It was valid.
    Expired,
    /// Who signed it took it back.
    Revoked,
    /// Nobody who is trusted signed it.
    UnknownIssuer,
    /// It is for another host.
    OtherHost,
    /// Something else, which these words end.
    Other(String),
}

impl std::fmt::Display for Distrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotYetValid => "is not valid yet: check both clocks",
            Self::Expired => "has expired: the server needs a new one",
            Self::Revoked => "was revoked",
            Self::UnknownIssuer => {
                "is not signed by one that ssl.truststore.location trusts: put the certificate of \
                 its issuer there"
            }
            Self::OtherHost => {
                "is not for this host: connect to a name that it has (bootstrap.servers, and the \
                 broker's advertised.listeners), or set ssl.endpoint.identification.algorithm to \
                 nothing"
            }
            Self::Other(why) => return write!(f, "is refused: {why}"),
        })
    }
}

/// The certificate of a server that was refused: the cause of a connection's
/// [`CertificateError::Other`].
#[derive(Debug)]
pub struct RefusedCertificate {
    /// What is wrong with it.
    pub distrust: Distrust,
    /// What it says of itself; see [`describe_certificate`](crate::describe_certificate).
    pub certificate: String,
}

impl RefusedCertificate {
    /// What made rustls fail, if it was this.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
                cause.downcast_ref()
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for RefusedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its certificate {} ({})", self.distrust, self.certificate)
    }
}

impl std::error::Error for RefusedCertificate {}

#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) roots: RootCertStore,
    /// Java trusts what lies in the trust store itself, be it a CA's or not.
    pub(crate) pinned: Vec<CertificateDer<'static>>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    /// `ssl.endpoint.identification.algorithm` is not empty; without it the chain is still checked.
    pub(crate) verify_host_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, server_name, now).map_err(|distrust| {
            let certificate = certificate::describe(end_entity);
            let refused = Arc::new(RefusedCertificate { distrust, certificate });
            Error::InvalidCertificate(CertificateError::Other(OtherError(refused)))
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    fn check(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let parsed = ParsedCertificate::try_from(own).map_err(distrust)?;
        if self.pinned.iter().any(|pinned| pinned == own) {
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let (from, until) =
                Certificate::read(own).map_err(|flaw| Distrust::Other(flaw.to_string()))?.valid;
            if now > until {
                return Err(Distrust::Expired);
            } else if now < from {
                return Err(Distrust::NotYetValid);
            }
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                intermediates,
                now,
                self.algorithms.all,
            )
            .map_err(distrust)?;
        }
        if !self.verify_host_name || has_common_name(own, name) {
            return Ok(());
        }
        verify_server_name(&parsed, name).map_err(distrust)
    }
}

/// Whether a certificate without DNS names names the host as its subject: Java accepts that, since
/// `keytool -genkeypair` makes such certificates.
fn has_common_name(own: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(name) = name else { return false };
    let Ok(certificate) = Certificate::read(own) else { return false };
    let (false, Some(common)) = (certificate.has_dns_names, certificate.exact_common_name()) else {
        return false;
    };
    let name = name.as_ref();
    let wildcard = || {
        let (parent, (_, domain)) = (common.strip_prefix("*.")?, name.split_once('.')?);
        Some(parent.contains('.') && parent.eq_ignore_ascii_case(domain))
    };
    common.eq_ignore_ascii_case(name) || wildcard() == Some(true)
}

fn distrust(error: Error) -> Distrust {
    use CertificateError as Flaw;
    match error {
        Error::InvalidCertificate(flaw) => match flaw {
            Flaw::Expired | Flaw::ExpiredContext { .. } => Distrust::Expired,
            Flaw::NotValidYet | Flaw::NotValidYetContext { .. } => Distrust::NotYetValid,
            Flaw::Revoked => Distrust::Revoked,
            // A signature by another who has the issuer's name.
            Flaw::UnknownIssuer | Flaw::BadSignature => Distrust::UnknownIssuer,
            Flaw::NotValidForName | Flaw::NotValidForNameContext { .. } => Distrust::OtherHost,
            Flaw::Other(OtherError(cause)) => Distrust::Other(of_webpki(&format!("{cause:?}"))),
            flaw => Distrust::Other(flaw.to_string()),
        },
        error => Distrust::Other(error.to_string()),
    }
}

/// What webpki says of certificates that Java takes and it does not.
fn of_webpki(cause: &str) -> String {
    match cause {
        "UnsupportedCertVersion" => {
            "it is of X.509 version 1: make it anew with extensions, which openssl does with \
             -extfile or -addext (subjectAltName)"
        }
        "CaUsedAsEndEntity" => {
            "it is a CA's: give the server one that the CA has signed, or put this very \
             certificate into ssl.truststore.location"
        }
        other => other,
    }
    .to_owned()
}
