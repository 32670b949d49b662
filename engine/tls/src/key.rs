//! Decides whether a private key fits its certificate, and completes keys that Java left short.

use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::certificate::Certificate;
use crate::der::{CONSTRUCTED_0, CONSTRUCTED_1, Der, INTEGER, OCTET_STRING, OID, SEQUENCE, write};
use crate::flaw::Flaw;

/// 1.2.840.10045.2.1: keys on elliptic curves.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7 and 1.3.132.0.34: the curves that ring knows.
const CURVES: [&[u8]; 2] =
    [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], &[0x2b, 0x81, 0x04, 0x00, 0x22]];

/// The JDK writes keys on elliptic curves without the public half, which ring wants to see beside
/// the private one: it is taken from the certificate.
pub(crate) fn complete(
    key: PrivateKeyDer<'static>,
    certificate: &CertificateDer<'_>,
) -> PrivateKeyDer<'static> {
    match &key {
        PrivateKeyDer::Pkcs8(info) => {
            match with_public_half(info.secret_pkcs8_der(), certificate) {
                Ok(Some(completed)) => PrivateKeyDer::Pkcs8(completed.into()),
                _ => key,
            }
        }
        _ => key,
    }
}

fn with_public_half(info: &[u8], certificate: &[u8]) -> Result<Option<Vec<u8>>, Flaw> {
    let mut info = Der::new(info).inside(SEQUENCE)?;
    let version = info.element()?.whole;
    let algorithm = info.element()?;
    let private = info.content(OCTET_STRING)?;
    let mut parameters = Der::new(algorithm.content);
    if parameters.content(OID)? != EC || !CURVES.contains(&parameters.content(OID)?) {
        return Ok(None);
    }
    let mut private = Der::new(private).inside(SEQUENCE)?;
    let (private_version, secret) = (private.element()?, private.element()?);
    private.optional(CONSTRUCTED_0)?;
    if private_version.tag != INTEGER || !private.is_empty() {
        return Ok(None);
    }
    let public = write(CONSTRUCTED_1, Certificate::read(certificate)?.public_key);
    let private = write(SEQUENCE, &[private_version.whole, secret.whole, &public].concat());
    let private = write(OCTET_STRING, &private);
    Ok(Some(write(SEQUENCE, &[version, algorithm.whole, &private].concat())))
}

/// The key in PKCS #8 where it is one of SEC 1, as `openssl ec` writes them; others as they are.
pub(crate) fn wrapped(key: PrivateKeyDer<'static>) -> Result<PrivateKeyDer<'static>, Flaw> {
    let PrivateKeyDer::Sec1(sec1) = &key else {
        return Ok(key);
    };
    let sec1 = sec1.secret_sec1_der();
    let mut parts = Der::new(sec1).inside(SEQUENCE)?;
    let (_version, _secret) = (parts.element()?, parts.element()?);
    const NO_CURVE: Flaw = Flaw::Damaged("the key does not say which curve it is of");
    let curve = parts.optional(CONSTRUCTED_0)?.ok_or(NO_CURVE)?;
    let algorithm = write(SEQUENCE, &[&write(OID, EC), curve].concat());
    let private = write(OCTET_STRING, sec1);
    let info = write(SEQUENCE, &[&write(INTEGER, &[0])[..], &algorithm, &private].concat());
    Ok(PrivateKeyDer::Pkcs8(info.into()))
}

/// Whether a key belongs to the first certificate of its chain. Those of a kind that rustls does
/// not know pass: whoever uses them finds out.
pub(crate) fn fits(key: &PrivateKeyDer<'static>, chain: &[CertificateDer<'static>]) -> bool {
    match any_supported_type(key) {
        Ok(signer) => {
            let pair = CertifiedKey { cert: chain.to_vec(), key: signer, ocsp: None };
            let mismatch = Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
            Arc::new(pair).keys_match() != Err(mismatch)
        }
        // ring compares the halves of a key, and the public one may be the certificate's.
        Err(_) => !is_on_known_curve(key),
    }
}

fn is_on_known_curve(key: &PrivateKeyDer<'_>) -> bool {
    let parameters = || {
        let mut info = Der::new(key.secret_der()).inside(SEQUENCE)?;
        info.number()?;
        let mut algorithm = info.inside(SEQUENCE)?;
        Ok::<_, Flaw>((algorithm.content(OID)?.to_vec(), algorithm.content(OID)?.to_vec()))
    };
    parameters().is_ok_and(|(kind, curve)| kind == EC && CURVES.contains(&curve.as_slice()))
}
