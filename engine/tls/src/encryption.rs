//! Decides how a password opens what PKCS #5 and PKCS #12 encrypt (RFC 8018, RFC 7292), and how it
//! checks a PKCS #12 store as a whole.

use std::num::NonZeroU32;

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit, KeyIvInit};
use cbc::{Decryptor, cipher::BlockSizeUser};
use des::TdesEde3;
use rc2::Rc2;
use ring::{digest, hmac, pbkdf2};

use crate::der::{Der, INTEGER, OCTET_STRING, OID, SEQUENCE};
use crate::flaw::Flaw;

/// Java refuses more; ten times what tools write.
const MAX_ITERATIONS: u32 = 5_000_000;

/// 1.2.840.113549.1.5: PKCS #5.
const PKCS5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05];
/// 1.2.840.113549.1.12.1: PKCS #12's encryption schemes.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// 1.2.840.113549.2: digests and HMACs.
const HMACS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// 1.2.840.113549.3.7: triple DES in CBC mode.
const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07];
/// 2.16.840.1.101.3.4.1: AES.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
/// 2.16.840.1.101.3.4.2: SHA-2.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// 1.3.14.3.2.26: SHA-1.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];

/// What a key is derived for (RFC 7292, B.3).
#[derive(Clone, Copy)]
enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// Decrypts by the `AlgorithmIdentifier` whose content this is.
///
/// # Errors
///
/// [`Flaw::Password`] when what comes out is not padded as it should be, which is how a wrong
/// password shows, mostly.
pub(crate) fn decrypt(algorithm: &[u8], data: &[u8], password: &str) -> Result<Vec<u8>, Flaw> {
    let mut algorithm = Der::new(algorithm);
    let oid = algorithm.content(OID)?;
    if let Some([13]) = oid.strip_prefix(PKCS5) {
        return pbes2(algorithm.inside(SEQUENCE)?, data, password);
    }
    let Some(&[scheme]) = oid.strip_prefix(PKCS12_PBE) else {
        return Err(unsupported("the encryption algorithm", oid));
    };
    let mut parameters = algorithm.inside(SEQUENCE)?;
    let salt = parameters.content(OCTET_STRING)?;
    let rounds = iterations(&mut parameters)?.get();
    let key = |length| {
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        derive(sha1, password, salt, rounds, Purpose::Key).take(length)
    };
    let iv = derive(&digest::SHA1_FOR_LEGACY_USE_ONLY, password, salt, rounds, Purpose::Iv).take(8);
    match scheme {
        3 => cbc_decrypt::<TdesEde3>(&key(24), &iv, data),
        5 => rc2_decrypt(&key(16), 128, &iv, data),
        6 => rc2_decrypt(&key(5), 40, &iv, data),
        _ => Err(unsupported("the encryption algorithm", oid)),
    }
}

fn pbes2(mut parameters: Der<'_>, data: &[u8], password: &str) -> Result<Vec<u8>, Flaw> {
    let mut derivation = parameters.inside(SEQUENCE)?;
    let oid = derivation.content(OID)?;
    if oid.strip_prefix(PKCS5) != Some(&[12]) {
        return Err(unsupported("the key derivation", oid));
    }
    let mut pbkdf2 = derivation.inside(SEQUENCE)?;
    let salt = pbkdf2.content(OCTET_STRING)?;
    let rounds = iterations(&mut pbkdf2)?;
    // The key's length follows from the cipher.
    pbkdf2.optional(INTEGER)?;
    let hash = if pbkdf2.is_empty() {
        pbkdf2::PBKDF2_HMAC_SHA1
    } else {
        let oid = pbkdf2.inside(SEQUENCE)?.content(OID)?;
        match oid.strip_prefix(HMACS) {
            Some([7]) => pbkdf2::PBKDF2_HMAC_SHA1,
            Some([9]) => pbkdf2::PBKDF2_HMAC_SHA256,
            Some([10]) => pbkdf2::PBKDF2_HMAC_SHA384,
            Some([11]) => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err(unsupported("the key derivation's HMAC", oid)),
        }
    };
    let mut cipher = parameters.inside(SEQUENCE)?;
    let oid = cipher.content(OID)?;
    let iv = cipher.content(OCTET_STRING)?;
    let key = |length| {
        let mut key = vec![0; length];
        pbkdf2::derive(hash, rounds, salt, password.as_bytes(), &mut key);
        key
    };
    match (oid.strip_prefix(AES), oid) {
        (Some([2]), _) => cbc_decrypt::<Aes128>(&key(16), iv, data),
        (Some([22]), _) => cbc_decrypt::<Aes192>(&key(24), iv, data),
        (Some([42]), _) => cbc_decrypt::<Aes256>(&key(32), iv, data),
        (_, DES_EDE3_CBC) => cbc_decrypt::<TdesEde3>(&key(24), iv, data),
        _ => Err(unsupported("the cipher", oid)),
    }
}

fn cbc_decrypt<C>(key: &[u8], iv: &[u8], data: &[u8]) -> Result<Vec<u8>, Flaw>
where
    C: BlockCipherDecrypt + BlockSizeUser + KeyInit,
{
    const DAMAGED: Flaw = Flaw::Damaged("its cipher's initial value has a wrong length");
    let cipher = Decryptor::<C>::new_from_slices(key, iv).map_err(|_| DAMAGED)?;
    cipher.decrypt_padded_vec::<Pkcs7>(data).map_err(|_| Flaw::Password)
}

fn rc2_decrypt(key: &[u8], bits: usize, iv: &[u8], data: &[u8]) -> Result<Vec<u8>, Flaw> {
    const DAMAGED: Flaw = Flaw::Damaged("its cipher's initial value has a wrong length");
    let cipher = Rc2::new_with_eff_key_len(key, bits);
    let cipher = Decryptor::inner_iv_slice_init(cipher, iv).map_err(|_| DAMAGED)?;
    cipher.decrypt_padded_vec::<Pkcs7>(data).map_err(|_| Flaw::Password)
}

/// Checks the `MacData` of a PKCS #12 store, whose content this is.
pub(crate) fn verify_mac(mac: Der<'_>, data: &[u8], password: &str) -> Result<(), Flaw> {
    let mut mac = mac;
    let mut info = mac.inside(SEQUENCE)?;
    let oid = info.inside(SEQUENCE)?.content(OID)?;
    let (hash, hmac) = match (oid, oid.strip_prefix(SHA2)) {
        (SHA1, _) => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        (_, Some([1])) => (&digest::SHA256, hmac::HMAC_SHA256),
        (_, Some([2])) => (&digest::SHA384, hmac::HMAC_SHA384),
        (_, Some([3])) => (&digest::SHA512, hmac::HMAC_SHA512),
        _ => return Err(unsupported("the integrity check", oid)),
    };
    let expected = info.content(OCTET_STRING)?;
    let salt = mac.content(OCTET_STRING)?;
    let rounds = if mac.is_empty() { 1 } else { iterations(&mut mac)?.get() };
    let key = derive(hash, password, salt, rounds, Purpose::Mac).take(hash.output_len());
    hmac::verify(&hmac::Key::new(hmac, &key), data, expected).map_err(|_| Flaw::Password)
}

fn iterations(parameters: &mut Der<'_>) -> Result<NonZeroU32, Flaw> {
    let count = parameters.number()?;
    NonZeroU32::new(count)
        .filter(|count| count.get() <= MAX_ITERATIONS)
        .ok_or(Flaw::Damaged("its number of iterations is out of range"))
}

/// The bytes that PKCS #12 derives from a password (RFC 7292, B.2), one block of the digest; no
/// caller needs a key longer than two.
fn derive(
    hash: &'static digest::Algorithm,
    password: &str,
    salt: &[u8],
    rounds: u32,
    purpose: Purpose,
) -> Derived {
    let block = hash.block_len();
    let password: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let repeated = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(block) * block;
        bytes.iter().copied().cycle().take(length).collect()
    };
    let input = [repeated(salt), repeated(&password)].concat();
    Derived { hash, diversifier: vec![purpose as u8; block], input, rounds }
}

struct Derived {
    hash: &'static digest::Algorithm,
    diversifier: Vec<u8>,
    input: Vec<u8>,
    rounds: u32,
}

impl Derived {
    fn take(mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + self.hash.output_len());
        while out.len() < length {
            let mut context = digest::Context::new(self.hash);
            context.update(&self.diversifier);
            context.update(&self.input);
            let mut sum = context.finish();
            for _ in 1..self.rounds {
                sum = digest::digest(self.hash, sum.as_ref());
            }
            out.extend_from_slice(sum.as_ref());
            self.stir(sum.as_ref());
        }
        out.truncate(length);
        out
    }

    /// Adds the digest, repeated, and one to each block of the input.
    fn stir(&mut self, sum: &[u8]) {
        let block = self.hash.block_len();
        for chunk in self.input.chunks_mut(block) {
            let mut carry = 1;
            for (i, byte) in chunk.iter_mut().enumerate().rev() {
                let total = u16::from(*byte) + u16::from(sum[i % sum.len()]) + carry;
                *byte = (total & 0xff) as u8;
                carry = total >> 8;
            }
        }
    }
}

fn unsupported(what: &str, oid: &[u8]) -> Flaw {
    Flaw::Unsupported(format!("{what} {}", dotted(oid)).into())
}

/// An object identifier as people write it.
pub(crate) fn dotted(oid: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut number: u64 = 0;
    for byte in oid.iter().take(32) {
        number = (number & (u64::MAX >> 8)) << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if parts.is_empty() {
                let first = (number / 40).min(2);
                parts.push(first.to_string());
                number -= first * 40;
            }
            parts.push(number.to_string());
            number = 0;
        }
    }
    parts.join(".")
}
