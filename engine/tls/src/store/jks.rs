//! Decides what Java's own key store format (JKS) holds, with the protection that the JDK's
//! `JavaKeyStore` and `KeyProtector` give it.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use rustls::pki_types::CertificateDer;

use super::{KeyEntry, MAX_ENTRIES, SealedKey, Store};
use crate::flaw::Flaw;

const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// What the JDK mixes into the digest of a store.
const SALT: &[u8] = b"Mighty Aphrodite";
const DIGEST: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1: how the JDK encrypts the keys of such a store.
pub(super) const KEY_PROTECTOR: &[u8] =
    &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

pub(super) fn is_jks(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

pub(super) fn read(bytes: &[u8], password: Option<&str>) -> Result<Store, Flaw> {
    let split = bytes.len().checked_sub(DIGEST).ok_or(ENDS_EARLY)?;
    let (content, expected) = bytes.split_at(split);
    if let Some(password) = password
        && digest(&[&utf16(password), SALT, content]) != expected
    {
        return Err(Flaw::Password);
    }
    let mut input = Input(content);
    input.take(MAGIC.len())?;
    let version = input.number()?;
    if !(1..=2).contains(&version) {
        return Err(Flaw::Unsupported(format!("version {version} of JKS").into()));
    }
    let count = input.number()? as usize;
    if count > MAX_ENTRIES {
        return Err(Flaw::Damaged("it claims to have more entries than any store has"));
    }
    let mut store = Store::default();
    for _ in 0..count {
        entry(&mut input, version, &mut store)?;
    }
    if !input.0.is_empty() {
        return Err(Flaw::Damaged("something follows its last entry"));
    }
    Ok(store)
}

fn entry(input: &mut Input<'_>, version: u32, store: &mut Store) -> Result<(), Flaw> {
    let kind = input.number()?;
    let alias = input.text()?;
    // When the entry was made.
    input.take(8)?;
    match kind {
        1 => {
            let key = SealedKey::Encrypted(input.bytes()?.to_vec());
            let mut chain = Vec::new();
            for _ in 0..input.number()? {
                chain.push(certificate(input, version)?);
            }
            store.keys.push(KeyEntry { alias, chain, key });
        }
        2 => store.trusted.push(certificate(input, version)?),
        _ => return Err(Flaw::Damaged("it holds an entry of an unknown kind")),
    }
    Ok(())
}

fn certificate(input: &mut Input<'_>, version: u32) -> Result<CertificateDer<'static>, Flaw> {
    if version == 2 && input.text()? != "X.509" {
        return Err(Flaw::Unsupported("a certificate that is not X.509".into()));
    }
    Ok(CertificateDer::from(input.bytes()?.to_vec()))
}

/// Undoes the JDK's `KeyProtector`: a stream of digests laid over the key, and one over the result.
pub(super) fn decrypt_key(sealed: &[u8], password: &str) -> Result<Vec<u8>, Flaw> {
    let end = sealed.len().checked_sub(DIGEST).filter(|end| *end >= DIGEST).ok_or(ENDS_EARLY)?;
    let (salt, encrypted, expected) = (&sealed[..DIGEST], &sealed[DIGEST..end], &sealed[end..]);
    let password = utf16(password);
    let mut key = Vec::with_capacity(encrypted.len());
    let mut pad = salt.to_vec();
    for chunk in encrypted.chunks(DIGEST) {
        pad = digest(&[&password, &pad]);
        key.extend(chunk.iter().zip(&pad).map(|(byte, pad)| byte ^ pad));
    }
    if digest(&[&password, &key]) == expected { Ok(key) } else { Err(Flaw::Password) }
}

fn digest(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

const ENDS_EARLY: Flaw = Flaw::Damaged("it ends too early");

/// Numbers and texts as Java's `DataOutputStream` writes them.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Flaw> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    /// Bytes behind their count.
    fn bytes(&mut self) -> Result<&'a [u8], Flaw> {
        let count = self.number()?;
        self.take(usize::try_from(count).map_err(|_| ENDS_EARLY)?)
    }

    /// Names are for people only, so Java's way to write rare characters does not matter.
    fn text(&mut self) -> Result<String, Flaw> {
        let count = self.take(2)?;
        let count = usize::from(u16::from_be_bytes([count[0], count[1]]));
        Ok(String::from_utf8_lossy(self.take(count)?).into_owned())
    }
}
