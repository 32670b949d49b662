//! Decides how a stream becomes an encrypted one, and what a broken stream says to a person: which
//! of Java's keys to look at.

use std::io;
use std::sync::Arc;

use millrace_tls::{ClientTls, RefusedCertificate};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, Error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::native::error::{Failure, FailureKind};

/// What connections made now use. Stores that have changed are read on a thread that may wait.
pub(crate) async fn config(tls: &Arc<ClientTls>) -> Arc<ClientConfig> {
    let reading = tls.clone();
    match tokio::task::spawn_blocking(move || reading.config()).await {
        Ok(config) => config,
        // The runtime ends, and all with it.
        Err(_) => tls.config(),
    }
}

/// Agrees with a broker on encryption, and makes sure of its certificate.
pub(super) async fn encrypted<S: AsyncRead + AsyncWrite + Unpin>(
    tls: &Arc<ClientTls>,
    host: &str,
    stream: S,
) -> Result<TlsStream<S>, Failure> {
    // Java's clients leave out the dot that ends a full name, and certificates have none.
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(|_| {
        let why = format!("{host} is no name that a certificate can be for: see bootstrap.servers");
        Failure::new(FailureKind::Refused, why)
    })?;
    let connector = TlsConnector::from(config(tls).await);
    connector.connect(name, stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Failure::new(
            FailureKind::Disconnected,
            "it has closed the connection while TLS was agreed on: does it speak TLS on this port? \
             See security.protocol and bootstrap.servers",
        ),
        _ => failure(&error),
    })
}

/// What begins an answer in TLS to a request that was not: an alert.
#[derive(Debug)]
pub(super) struct AnswersInTls;

impl AnswersInTls {
    /// Whether the first bytes of an answer are those of a TLS alert.
    pub(super) fn begins(prefix: [u8; 4]) -> bool {
        matches!(prefix, [0x15, 0x03, 0..=4, _])
    }
}

impl std::fmt::Display for AnswersInTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it speaks TLS on this port: set security.protocol to SSL or SASL_SSL")
    }
}

impl std::error::Error for AnswersInTls {}

/// Why a stream broke. What repeating does not mend is [`Refused`](FailureKind::Refused).
pub(super) fn failure(error: &io::Error) -> Failure {
    let refused = |why: String| Failure::new(FailureKind::Refused, why);
    if let Some(cause) = error.get_ref() {
        if let Some(tls) = cause.downcast_ref::<Error>() {
            return of_tls(tls);
        }
        if cause.is::<AnswersInTls>() {
            return refused(AnswersInTls.to_string());
        }
    }
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it has closed the connection".to_owned(),
        _ => format!("the connection is broken: {error}"),
    };
    Failure::new(FailureKind::Disconnected, why)
}

fn of_tls(error: &Error) -> Failure {
    use AlertDescription as Alert;
    if let Some(certificate) = RefusedCertificate::of(error) {
        return Failure::new(FailureKind::Refused, certificate.to_string());
    }
    let advice = match error {
        Error::AlertReceived(Alert::CertificateRequired) => {
            "it asks for a certificate of this client: set ssl.keystore.location, to one whose \
             issuer the broker trusts"
        }
        Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => "it refuses this client's certificate, or the lack of one: see ssl.keystore.location",
        Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => {
            "no protocol or cipher suits both sides, or it asks for a certificate: see \
             ssl.enabled.protocols, ssl.cipher.suites and ssl.keystore.location"
        }
        Error::InvalidMessage(_) => {
            "it does not speak TLS on this port: see security.protocol and bootstrap.servers"
        }
        // A broker that is stopped may end so too.
        other => {
            let why = format!("the connection is broken: {other}");
            return Failure::new(FailureKind::Disconnected, why);
        }
    };
    Failure::new(FailureKind::Refused, format!("{advice} ({error})"))
}
