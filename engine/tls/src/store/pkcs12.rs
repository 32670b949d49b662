//! Decides what a PKCS #12 store (RFC 7292) holds, as the JDK reads it: a certificate is trusted
//! when it carries the JDK's mark, a key belongs to the certificate with the same local id.

use rustls::pki_types::CertificateDer;

use super::{KeyEntry, MAX_ENTRIES, Plain, SealedKey, Store};
use crate::certificate;
use crate::der::{BMP_STRING, CONSTRUCTED_0, Der, OCTET_STRING, OID, PRIMITIVE_0, SEQUENCE, SET};
use crate::encryption::{decrypt, dotted, verify_mac};
use crate::flaw::Flaw;

/// 1.2.840.113549.1.7.1: plain data.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.6: data encrypted with a password.
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// 1.2.840.113549.1.12.10.1: kinds of bags.
const BAGS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
/// 1.2.840.113549.1.9.22.1: an X.509 certificate.
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
/// 1.2.840.113549.1.9.20: what people call an entry.
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
/// 1.2.840.113549.1.9.21: what ties a key to its certificate.
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
/// 2.16.840.1.113894.746875.1.1: the JDK's mark of trusted certificates.
const TRUSTED: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];

#[derive(Default)]
struct Bags {
    keys: Vec<(Attributes, SealedKey)>,
    certificates: Vec<(Attributes, CertificateDer<'static>)>,
}

#[derive(Default)]
struct Attributes {
    name: Option<String>,
    id: Option<Vec<u8>>,
    is_trusted: bool,
}

/// Reads a store. Without a password neither its integrity nor what is encrypted can be read.
pub(super) fn read(bytes: &[u8], password: Option<&str>) -> Result<Store, Flaw> {
    const NOT_A_STORE: Flaw = Flaw::Damaged("it is neither PKCS #12 nor JKS");
    let mut store = Der::new(bytes).inside(SEQUENCE).map_err(|_| NOT_A_STORE)?;
    if store.number().map_err(|_| NOT_A_STORE)? != 3 {
        return Err(NOT_A_STORE);
    }
    let (kind, mut content) = content_info(&mut store)?;
    if kind != DATA {
        return Err(Flaw::Unsupported("a signature in place of a password".into()));
    }
    let safes = content.content(OCTET_STRING)?;
    match password {
        Some(password) if !store.is_empty() => {
            verify_mac(store.inside(SEQUENCE)?, safes, password)?;
        }
        _ => {}
    }
    let mut bags = Bags::default();
    let mut safes = Der::new(safes).inside(SEQUENCE)?;
    while !safes.is_empty() {
        safe(&mut safes, password, &mut bags)?;
    }
    Ok(entries(bags))
}

/// `ContentInfo`: the kind of what follows, and where it begins.
fn content_info<'a>(parent: &mut Der<'a>) -> Result<(&'a [u8], Der<'a>), Flaw> {
    let mut info = parent.inside(SEQUENCE)?;
    Ok((info.content(OID)?, info.inside(CONSTRUCTED_0)?))
}

fn safe(safes: &mut Der<'_>, password: Option<&str>, bags: &mut Bags) -> Result<(), Flaw> {
    let (kind, mut content) = content_info(safes)?;
    if kind == DATA {
        return safe_contents(content.content(OCTET_STRING)?, bags);
    }
    if kind != ENCRYPTED_DATA {
        return Err(Flaw::Unsupported(format!("the protection {}", dotted(kind)).into()));
    }
    // As the JDK: without a password what is encrypted stays unread.
    let Some(password) = password else { return Ok(()) };
    let mut data = content.inside(SEQUENCE)?;
    data.number()?;
    let mut encrypted = data.inside(SEQUENCE)?;
    encrypted.content(OID)?;
    let algorithm = encrypted.content(SEQUENCE)?;
    let decrypted = decrypt(algorithm, encrypted.content(PRIMITIVE_0)?, password)?;
    safe_contents(&decrypted, bags)
}

fn safe_contents(bytes: &[u8], bags: &mut Bags) -> Result<(), Flaw> {
    let mut contents = Der::new(bytes).inside(SEQUENCE)?;
    while !contents.is_empty() {
        if bags.keys.len() + bags.certificates.len() >= MAX_ENTRIES {
            return Err(Flaw::Damaged("it has more entries than any store has"));
        }
        let mut bag = contents.inside(SEQUENCE)?;
        let kind = bag.content(OID)?;
        let mut value = bag.inside(CONSTRUCTED_0)?;
        let attributes = match bag.optional(SET)? {
            Some(set) => attributes(Der::new(set))?,
            None => Attributes::default(),
        };
        match kind.strip_prefix(BAGS) {
            Some([1]) => {
                let key = value.element()?.whole.to_vec();
                bags.keys.push((attributes, SealedKey::Plain(Plain(key))));
            }
            Some([2]) => {
                let key = value.element()?.whole.to_vec();
                bags.keys.push((attributes, SealedKey::Encrypted(key)));
            }
            Some([3]) => {
                let mut certificate = value.inside(SEQUENCE)?;
                if certificate.content(OID)? == X509 {
                    let der = certificate.inside(CONSTRUCTED_0)?.content(OCTET_STRING)?;
                    bags.certificates.push((attributes, CertificateDer::from(der.to_vec())));
                }
            }
            // Revocation lists and secrets are of no use to TLS.
            _ => {}
        }
    }
    Ok(())
}

fn attributes(mut set: Der<'_>) -> Result<Attributes, Flaw> {
    let mut attributes = Attributes::default();
    while !set.is_empty() {
        let mut attribute = set.inside(SEQUENCE)?;
        let kind = attribute.content(OID)?;
        let mut values = attribute.inside(SET)?;
        match kind {
            FRIENDLY_NAME => {
                let text = values.content(BMP_STRING)?;
                let units = text.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]));
                let name = char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}'));
                attributes.name = Some(name.collect());
            }
            LOCAL_KEY_ID => attributes.id = Some(values.content(OCTET_STRING)?.to_vec()),
            TRUSTED => attributes.is_trusted = true,
            _ => {}
        }
    }
    Ok(attributes)
}

fn entries(bags: Bags) -> Store {
    let mut store = Store::default();
    let mut others = Vec::new();
    for (attributes, certificate) in &bags.certificates {
        if attributes.is_trusted {
            store.trusted.push(certificate.clone());
        } else {
            others.push(certificate.clone());
        }
    }
    for (attributes, key) in bags.keys {
        let own = bags.certificates.iter().find(|(other, _)| {
            !other.is_trusted && other.id.is_some() && other.id == attributes.id
        });
        let chain = match own {
            Some((_, certificate)) => certificate::chain(certificate.clone(), &others),
            None => Vec::new(),
        };
        store.keys.push(KeyEntry { alias: attributes.name.unwrap_or_default(), chain, key });
    }
    store.has_unmarked = store.keys.is_empty() && !others.is_empty();
    store
}
