//! Decides what PEM text (RFC 7468) holds, as leniently as Kafka: the parts may stand on one line,
//! as they do in a properties file.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::flaw::Flaw;
use crate::store::decrypt_key;

/// One part: what its first line calls it, and what it holds.
struct Part<'a> {
    label: &'a str,
    der: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

fn parts(text: &str) -> Result<Vec<Part<'_>>, Flaw> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        const OPEN: Flaw = Flaw::Damaged("a part of the PEM text has no end");
        let (label, behind) = behind.split_once(DASHES).ok_or(OPEN)?;
        let (body, behind) = behind.split_once("-----END ").ok_or(OPEN)?;
        let (end, behind) = behind.split_once(DASHES).ok_or(OPEN)?;
        if end != label {
            return Err(Flaw::Damaged("a part of the PEM text ends as another"));
        }
        if body.contains("Proc-Type:") {
            return Err(Flaw::Unsupported(
                "the old encryption of OpenSSL (convert it with: openssl pkcs8 -topk8)".into(),
            ));
        }
        let digits: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let der = BASE64_STANDARD
            .decode(digits)
            .map_err(|_| Flaw::Damaged("a part of the PEM text is not base64"))?;
        parts.push(Part { label, der });
        rest = behind;
    }
    Ok(parts)
}

/// All certificates, in their order; at least one.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let certificates: Vec<_> = parts(text)?
        .into_iter()
        .filter(|part| matches!(part.label, "CERTIFICATE" | "X509 CERTIFICATE"))
        .map(|part| CertificateDer::from(part.der))
        .collect();
    if certificates.is_empty() {
        return Err(Flaw::Damaged("no PEM certificate is in it (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

/// The one private key, decrypted if need be.
pub(crate) fn key(text: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, Flaw> {
    for Part { label, der } in parts(text)? {
        return match label {
            "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(der.into())),
            "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(der.into())),
            "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(der.into())),
            "ENCRYPTED PRIVATE KEY" => match password {
                Some(password) => decrypt_key(&der, password),
                None => Err(Flaw::Password),
            },
            _ => continue,
        };
    }
    Err(Flaw::Damaged("no PEM private key is in it (-----BEGIN PRIVATE KEY-----)"))
}

/// Whether this is PEM text.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// DER as PEM.
pub(crate) fn write(label: &str, der: &[u8]) -> String {
    let digits = BASE64_STANDARD.encode(der);
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    for line in digits.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    text + "-----END " + label + "-----\n"
}
