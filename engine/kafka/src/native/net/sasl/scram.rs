//! Decides what SCRAM says and whom it believes (RFC 5802, RFC 7677): each side proves that it
//! knows the password, and neither shows it.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use millrace_api::{Error, Result};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use super::{Exchange, Secret, wrong};
use crate::lock::lock;

/// Fewer make passwords cheap to guess; Java's clients refuse them too.
const LEAST_ITERATIONS: u32 = 4_096;
/// More only cost the client time; Kafka's brokers keep 16,384 at most.
const MOST_ITERATIONS: u32 = 100_000;

/// The hash behind a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// A user and a password, or a delegation token and its HMAC.
#[derive(Debug)]
pub(crate) struct Scram {
    algorithm: Algorithm,
    user: String,
    password: Secret,
    /// `tokenauth=true`: the password is a delegation token's (KIP-48).
    is_token: bool,
    /// What the password became with the last salt, which is what takes time.
    salted: Mutex<Option<Salted>>,
}

/// A salted password.
#[derive(Clone)]
struct Salted {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    key: Vec<u8>,
}

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Scram {
    pub(crate) fn new(algorithm: Algorithm, user: &str, password: &str, is_token: bool) -> Self {
        let (user, password) = (user.to_owned(), Secret::new(password));
        Self { algorithm, user, password, is_token, salted: Mutex::default() }
    }

    pub(super) fn mechanism(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Sha256 => "SCRAM-SHA-256",
            Algorithm::Sha512 => "SCRAM-SHA-512",
        }
    }

    pub(super) fn exchange(self: Arc<Self>) -> Result<impl Exchange + use<>> {
        let mut nonce = [0; 24];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| Error::retriable("the system gives no random numbers"))?;
        Ok(self.exchange_with(BASE64_STANDARD.encode(nonce)))
    }

    fn exchange_with(self: Arc<Self>, nonce: String) -> ScramExchange {
        // As Java, which prepares neither names nor passwords (SASLprep): their bytes count.
        let name = self.user.replace('=', "=3D").replace(',', "=2C");
        let token = if self.is_token { ",tokenauth=true" } else { "" };
        let first = format!("n={name},r={nonce}{token}");
        ScramExchange { scram: self, nonce, step: Step::First { first } }
    }

    /// The password, salted as the server wants it.
    fn salted(&self, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let known = lock(&self.salted).clone();
        if let Some(known) = known
            && (known.salt.as_slice(), known.iterations) == (salt, iterations)
        {
            return known.key;
        }
        let mut key = vec![0; self.algorithm.digest().output_len()];
        let password = self.password.expose().as_bytes();
        pbkdf2::derive(self.algorithm.pbkdf2(), iterations, salt, password, &mut key);
        let new = Salted { salt: salt.to_vec(), iterations, key: key.clone() };
        *lock(&self.salted) = Some(new);
        key
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.algorithm.hmac(), key), message)
    }
}

struct ScramExchange {
    scram: Arc<Scram>,
    nonce: String,
    step: Step,
}

enum Step {
    /// The first message without its header, which the proof covers.
    First {
        first: String,
    },
    /// What the server has to sign to be believed, and with what.
    Final {
        key: hmac::Key,
        message: String,
    },
    Done,
}

/// The header of the first message: no channel binding, no other name to act under.
const HEADER: &str = "n,,";

impl Exchange for ScramExchange {
    fn first(&mut self) -> Bytes {
        match &self.step {
            Step::First { first } => Bytes::from(format!("{HEADER}{first}")),
            _ => Bytes::new(),
        }
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Option<Bytes>> {
        let text = std::str::from_utf8(challenge)
            .map_err(|_| self.wrong("the broker's message is no text"))?;
        match std::mem::replace(&mut self.step, Step::Done) {
            Step::First { first } => self.prove(&first, text).map(Some),
            Step::Final { key, message } => self.believe(&key, &message, text).map(|()| None),
            Step::Done => Err(self.wrong("the broker goes on behind the end")),
        }
    }
}

impl ScramExchange {
    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        wrong(self.scram.mechanism(), what)
    }

    /// The proof for what the server wants proved: `r=NONCE,s=SALT,i=ITERATIONS`.
    fn prove(&mut self, first: &str, server: &str) -> Result<Bytes> {
        let malformed = || self.wrong("the broker's first message is not one of SCRAM");
        if server.starts_with("m=") {
            return Err(self.wrong("the broker asks for an extension that nobody knows"));
        }
        let mut fields = server.split(',');
        let mut field = |name: &str| {
            let field = fields.next().and_then(|field| field.strip_prefix(name));
            field.and_then(|field| field.strip_prefix('='))
        };
        let nonce = field("r").ok_or_else(malformed)?;
        let salt = field("s").ok_or_else(malformed)?;
        let iterations = field("i").ok_or_else(malformed)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(self.wrong("the broker's nonce does not begin with ours"));
        }
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| malformed())?;
        let iterations: u32 = iterations.parse().map_err(|_| malformed())?;
        if !(LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(self.wrong(format!(
                "the broker asks for {iterations} iterations; {LEAST_ITERATIONS} to \
                 {MOST_ITERATIONS} are accepted: give the user a new credential on the broker"
            )));
        }
        let iterations = NonZeroU32::new(iterations).expect("it is at least 4,096");

        let scram = &self.scram;
        let salted = scram.salted(&salt, iterations);
        let last = format!("c={},r={nonce}", BASE64_STANDARD.encode(HEADER));
        let message = format!("{first},{server},{last}");
        let client_key = scram.hmac(&salted, b"Client Key");
        let stored_key = digest::digest(scram.algorithm.digest(), client_key.as_ref());
        let signature = scram.hmac(stored_key.as_ref(), message.as_bytes());
        let pairs = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = pairs.map(|(a, b)| a ^ b).collect();
        let server_key = scram.hmac(&salted, b"Server Key");
        let key = hmac::Key::new(scram.algorithm.hmac(), server_key.as_ref());
        self.step = Step::Final { key, message };
        Ok(Bytes::from(format!("{last},p={}", BASE64_STANDARD.encode(proof))))
    }

    /// Whether the server knows the password too: `v=SIGNATURE`, or `e=ERROR`.
    fn believe(&self, key: &hmac::Key, message: &str, server: &str) -> Result<()> {
        let field = server.split(',').next().unwrap_or_default();
        if let Some(error) = field.strip_prefix("e=") {
            return Err(self.wrong(format!("the broker refuses: {error}")));
        }
        let theirs = field.strip_prefix("v=").and_then(|text| BASE64_STANDARD.decode(text).ok());
        match theirs {
            Some(theirs) if hmac::verify(key, message.as_bytes(), &theirs).is_ok() => Ok(()),
            Some(_) => Err(self.wrong(
                "the broker does not prove that it knows the user's credential: it is not the \
                 broker it says it is",
            )),
            None => Err(self.wrong("the broker's last message is not one of SCRAM")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, password, nonce, the server's first, ours, the server's last.
    struct Vector(Algorithm, &'static str, &'static str, [&'static str; 3]);

    /// RFC 7677 §3; the one for SHA-512 is computed from its inputs with Python's hashlib.
    const VECTORS: [Vector; 2] = [
        Vector(
            Algorithm::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            [
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,\
                 i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        ),
        Vector(
            Algorithm::Sha512,
            "rOprNGfwEbeRWgbNEkqO",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            [
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,\
                 i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw\
                 +3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
                "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0\
                 vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
            ],
        ),
    ];

    fn scram(algorithm: Algorithm, nonce: &str) -> ScramExchange {
        let scram = Scram::new(algorithm, "user", "pencil", false);
        Arc::new(scram).exchange_with(nonce.to_owned())
    }

    #[test]
    fn messages_are_those_of_the_rfc() {
        for Vector(algorithm, nonce, first, [challenge, answer, last]) in VECTORS {
            let mut exchange = scram(algorithm, nonce);
            assert_eq!(exchange.first(), first);
            let ours = exchange.answer(challenge.as_bytes()).unwrap();
            assert_eq!(ours.unwrap(), answer);
            assert_eq!(exchange.answer(last.as_bytes()).unwrap(), None);
            exchange.answer(last.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn a_server_that_is_not_the_one_is_told_apart() {
        let Vector(algorithm, nonce, _, [challenge, _, last]) = &VECTORS[0];
        let challenge = |from: &str, to: &str| {
            let changed = challenge.replace(from, to);
            assert_ne!(changed, *challenge, "{from}");
            scram(*algorithm, nonce).answer(changed.as_bytes()).unwrap_err().to_string()
        };
        for (from, to, expected) in [
            ("rOprNGfwEbeRWgbNEkqO%", "otherNonce%", "nonce does not begin with ours"),
            ("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "", "nonce does not begin with ours"),
            ("i=4096", "i=4095", "asks for 4095 iterations; 4096 to 100000 are accepted"),
            ("i=4096", "i=100001", "give the user a new credential on the broker"),
            ("i=4096", "i=-1", "not one of SCRAM"),
            ("i=4096", "i=4294967296", "not one of SCRAM"),
            ("s=W22Z", "s=!", "not one of SCRAM"),
            ("s=", "x=", "not one of SCRAM"),
            ("r=", "m=ext,r=", "an extension that nobody knows"),
        ] {
            let error = challenge(from, to);
            assert!(error.contains(expected) && error.contains("SCRAM-SHA-256"), "{error}");
        }
        for (theirs, expected) in [
            ("e=invalid-proof", "the broker refuses: invalid-proof"),
            ("v=AAAA", "it is not the broker it says it is"),
            (&last.replace("6rri", "6rrj"), "it is not the broker it says it is"),
            ("", "last message is not one of SCRAM"),
            ("v=!", "last message is not one of SCRAM"),
        ] {
            let mut exchange = scram(*algorithm, nonce);
            exchange.answer(VECTORS[0].3[0].as_bytes()).unwrap();
            let error = exchange.answer(theirs.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        scram(*algorithm, nonce).answer(&[0xff]).unwrap_err();
    }

    #[test]
    fn names_are_escaped_and_tokens_marked() {
        let token = Scram::new(Algorithm::Sha512, "a=b,c", "hush", true);
        assert!(!format!("{token:?}").contains("hush"));
        let mut exchange = Arc::new(token).exchange_with("N".to_owned());
        assert_eq!(exchange.first(), "n,,n=a=3Db=2Cc,r=N,tokenauth=true");
        let plain = Arc::new(Scram::new(Algorithm::Sha512, "a", "b", false));
        let (mut one, mut two) = (plain.clone().exchange().unwrap(), plain.exchange().unwrap());
        assert_ne!(one.first(), two.first(), "nonces differ");
    }
}
