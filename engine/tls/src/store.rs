//! Decides what a key store or trust store holds, whatever its format: keys with their chains, and
//! certificates that are trusted.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::flaw::Flaw;

mod jks;
mod pkcs12;

/// More entries than any store has; a damaged one may claim millions.
const MAX_ENTRIES: usize = 100_000;

/// What a store holds, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) keys: Vec<KeyEntry>,
    /// Certificates that the store calls trusted.
    pub(crate) trusted: Vec<CertificateDer<'static>>,
    /// Whether certificates were left out for want of that mark, as PKCS #12 has it.
    pub(crate) has_unmarked: bool,
}

/// A private key, still encrypted as the store keeps it.
#[derive(Debug)]
pub(crate) struct KeyEntry {
    pub(crate) alias: String,
    /// The key's own certificate first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: SealedKey,
}

#[derive(Debug)]
enum SealedKey {
    /// PKCS #8's `EncryptedPrivateKeyInfo`, DER.
    Encrypted(Vec<u8>),
    /// PKCS #8, not encrypted.
    Plain(Plain),
}

/// A key that `Debug` does not show.
struct Plain(Vec<u8>);

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Store {
    /// Reads a store. Java tells the formats apart by the first bytes, whatever the type says, and
    /// so do we. Without a password the integrity of a JKS store is not checked, as in Java.
    pub(crate) fn read(bytes: &[u8], password: Option<&str>) -> Result<Self, Flaw> {
        if jks::is_jks(bytes) {
            return jks::read(bytes, password);
        }
        if bytes.starts_with(&[0xce, 0xce, 0xce, 0xce]) {
            return Err(Flaw::Unsupported("the format JCEKS".into()));
        }
        pkcs12::read(bytes, password)
    }
}

impl KeyEntry {
    /// The key, opened with its password.
    pub(crate) fn open(&self, password: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
        match &self.key {
            SealedKey::Encrypted(sealed) => decrypt_key(sealed, password),
            SealedKey::Plain(Plain(key)) => Ok(pkcs8(key.clone())),
        }
    }
}

/// Opens PKCS #8's `EncryptedPrivateKeyInfo`.
pub(crate) fn decrypt_key(sealed: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
    use crate::der::{Der, OCTET_STRING, OID, SEQUENCE};
    let mut parts = Der::new(sealed).inside(SEQUENCE)?;
    let algorithm = parts.content(SEQUENCE)?;
    let data = parts.content(OCTET_STRING)?;
    let key = if Der::new(algorithm).content(OID)? == jks::KEY_PROTECTOR {
        jks::decrypt_key(data, password)?
    } else {
        crate::encryption::decrypt(algorithm, data, password)?
    };
    // One wrong password in some hundreds leaves a padding that looks right.
    let mut info = Der::new(&key).inside(SEQUENCE).map_err(|_| Flaw::Password)?;
    info.number().map_err(|_| Flaw::Password)?;
    Ok(pkcs8(key))
}

fn pkcs8(key: Vec<u8>) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.into())
}
