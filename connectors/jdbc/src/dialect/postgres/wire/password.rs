//! How a session proves who it is: passwords as they are, by MD5, and by SCRAM-SHA-256.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use super::message::broken;

/// A server that wants more rounds than this wants our time.
const MOST_ROUNDS: u32 = 1 << 20;
/// No channel is bound: TLS has checked whom we speak to, or was not asked to.
const NO_BINDING: &str = "n,,";

/// What PostgreSQL calls MD5: the password's and the user's digest, and that one's with the salt.
pub(super) fn md5(user: &str, password: &str, salt: &[u8]) -> String {
    let hexadecimal = |parts: [&[u8]; 2]| {
        let digest = parts.into_iter().fold(Md5::new(), |digest, part| digest.chain_update(part));
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let inner = hexadecimal([password.as_bytes(), user.as_bytes()]);
    format!("md5{}", hexadecimal([inner.as_bytes(), salt]))
}

/// An exchange by SCRAM-SHA-256 that was begun.
pub(super) struct Scram {
    password: String,
    nonce: String,
}

/// What is left to check: that the server knows the password, too.
#[derive(Debug)]
pub(super) struct Proven(hmac::Tag);

impl Scram {
    pub(super) fn new(password: &str) -> sqlx::Result<Self> {
        let mut nonce = [0; 18];
        let random = SystemRandom::new().fill(&mut nonce);
        random.map_err(|_| broken("this machine gives no random numbers"))?;
        Ok(Self::with_nonce(password, BASE64.encode(nonce)))
    }

    fn with_nonce(password: &str, nonce: String) -> Self {
        // As the server does it: what cannot be prepared is taken as it is.
        let prepared = stringprep::saslprep(password).map_or(password.into(), |text| text);
        Self { password: prepared.into_owned(), nonce }
    }

    fn first_bare(&self) -> String {
        // The user is the one that the session began with.
        format!("n=,r={}", self.nonce)
    }

    /// The first message.
    pub(super) fn first(&self) -> String {
        format!("{NO_BINDING}{}", self.first_bare())
    }

    /// The answer to the server's first message. Takes as long as the server wants.
    pub(super) fn answer(&self, challenge: &str) -> sqlx::Result<(String, Proven)> {
        let part = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let parts = part("r=").zip(part("s=")).zip(part("i="));
        let ((nonce, salt), rounds) = parts.ok_or_else(|| broken("SCRAM without its parts"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(broken("SCRAM with another nonce than ours"));
        }
        let salt =
            BASE64.decode(salt).map_err(|_| broken("SCRAM with a salt that is not BASE64"))?;
        let rounds = rounds.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= MOST_ROUNDS);
        let rounds = rounds.ok_or_else(|| broken("SCRAM with more rounds than make sense"))?;
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let secret = self.password.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, secret, &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);

        let last = format!("c={},r={nonce}", BASE64.encode(NO_BINDING));
        let all = format!("{},{challenge},{last}", self.first_bare());
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let stored_key = hmac::Key::new(hmac::HMAC_SHA256, stored_key.as_ref());
        let signature = hmac::sign(&stored_key, all.as_bytes());
        let both = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = both.map(|(key, signature)| key ^ signature).collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref());
        let expected = hmac::sign(&server_key, all.as_bytes());
        Ok((format!("{last},p={}", BASE64.encode(proof)), Proven(expected)))
    }
}

impl Proven {
    /// Checks the server's last message.
    pub(super) fn check(&self, last: &str) -> sqlx::Result<()> {
        let signature = last.split(',').find_map(|part| part.strip_prefix("v="));
        let signature = signature.and_then(|text| BASE64.decode(text).ok());
        match signature {
            Some(signature) if signature == self.0.as_ref() => Ok(()),
            _ => Err(broken("the server does not prove that it knows the password")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_as_the_server_has_it() {
        // select 'md5' || md5(md5('secret' || 'me') || 'abcd')
        assert_eq!(md5("me", "secret", b"abcd"), "md5144b723776673e7e3ec447c5b47dd7a5");
    }

    /// The example of RFC 7677, but for the user, whom PostgreSQL leaves out.
    #[test]
    fn scram() {
        let scram = Scram::with_nonce("pencil", "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (answer, proven) = scram.answer(challenge).unwrap();
        assert!(
            answer.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=")
        );
        assert!(proven.check("v=AAAA").is_err() && proven.check("").is_err());
    }

    #[test]
    fn challenges_that_are_none() {
        let scram = Scram::with_nonce("pencil", "abc".into());
        for challenge in [
            "",
            "r=abcd",
            "r=abc,s=AAAA,i=1",
            "r=xbcd,s=AAAA,i=1",
            "r=abcd,s=!,i=1",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=4294967295",
            "r=abcd,s=AAAA,i=-1",
        ] {
            assert!(scram.answer(challenge).is_err(), "{challenge}");
        }
        assert!(scram.answer("r=abcd,s=AAAA,i=1").is_ok());
    }
}
