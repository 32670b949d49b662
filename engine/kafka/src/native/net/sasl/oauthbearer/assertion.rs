//! Decides what an assertion claims, and signs it (RFC 7523, KIP-1139): a token that a client makes
//! to be given a token.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millrace_api::{Error, Result};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, RsaKeyPair};
use serde_json::{Map, Value, json};

use super::{Secret, jwt, now_ms};

/// Larger than any key, template or token.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// `sasl.oauthbearer.assertion.algorithm`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Where an assertion comes from. Files are read each time: they may change.
#[derive(Debug)]
pub(super) enum Assertion {
    /// `sasl.oauthbearer.assertion.file`
    File(PathBuf),
    /// Made and signed here.
    Signed(Box<Signed>),
}

/// How an assertion is made.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) algorithm: Algorithm,
    /// `sasl.oauthbearer.assertion.private.key.file`
    pub(super) key: PathBuf,
    /// `sasl.oauthbearer.assertion.private.key.passphrase`
    pub(super) passphrase: Option<Secret>,
    /// `sasl.oauthbearer.assertion.claim.aud`, `.iss` and `.sub`
    pub(super) claims: Map<String, Value>,
    /// `sasl.oauthbearer.assertion.template.file`
    pub(super) template: Option<PathBuf>,
    /// `sasl.oauthbearer.assertion.claim.exp.seconds`
    pub(super) exp_seconds: i64,
    /// `sasl.oauthbearer.assertion.claim.nbf.seconds`
    pub(super) nbf_seconds: i64,
    /// `sasl.oauthbearer.assertion.claim.jti.include`
    pub(super) has_jti: bool,
}

impl Assertion {
    /// The assertion in its compact form.
    pub(super) async fn make(&self) -> Result<Secret> {
        match self {
            Self::File(path) => {
                let text = file(path, "sasl.oauthbearer.assertion.file").await?;
                let token = jwt::compact(text.expose())
                    .map_err(|error| error.context("file", path.display()))?;
                Ok(Secret::new(token))
            }
            Self::Signed(signed) => signed.make().await,
        }
    }
}

impl Signed {
    async fn make(&self) -> Result<Secret> {
        let key = file(&self.key, "sasl.oauthbearer.assertion.private.key.file").await?;
        let template = match &self.template {
            Some(path) => {
                let key = "sasl.oauthbearer.assertion.template.file";
                let text = file(path, key).await?;
                let parsed = serde_json::from_str::<Value>(text.expose()).ok();
                let broken = || {
                    Error::fatal(format!("{key}: it holds no JSON object"))
                        .context("file", path.display())
                };
                parsed.filter(Value::is_object).ok_or_else(broken)?
            }
            None => Value::Null,
        };
        let part = |object: Map<String, Value>| {
            BASE64_URL_SAFE_NO_PAD.encode(Value::Object(object).to_string())
        };
        let (header, payload) = self.parts(&template, now_ms() / 1_000)?;
        let content = format!("{}.{}", part(header), part(payload));
        let signature = self.sign(key.expose(), content.as_bytes()).map_err(|error| {
            error.context("file", self.key.display()).context(
                "remedy",
                "give a PEM private key that fits sasl.oauthbearer.assertion.algorithm; one of an \
                 elliptic curve needs its public half too, which openssl ec adds",
            )
        })?;
        Ok(Secret::new(format!("{content}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }

    /// Header and payload. What stands further down replaces what stands above, as in Java.
    fn parts(
        &self,
        template: &Value,
        now_seconds: i64,
    ) -> Result<(Map<String, Value>, Map<String, Value>)> {
        let of_template =
            |name: &str| template.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut header = of_template("header");
        header.insert("alg".to_owned(), json!(self.algorithm.name()));
        header.insert("typ".to_owned(), json!("JWT"));
        let mut payload = self.claims.clone();
        payload.extend(of_template("payload"));
        payload.insert("iat".to_owned(), json!(now_seconds));
        payload.insert("exp".to_owned(), json!(now_seconds + self.exp_seconds));
        payload.insert("nbf".to_owned(), json!(now_seconds - self.nbf_seconds));
        if self.has_jti {
            let mut random = [0; 16];
            let rng = SystemRandom::new();
            let none = |_| Error::retriable("the system gives no random numbers");
            rng.fill(&mut random).map_err(none)?;
            let id = uuid::Builder::from_random_bytes(random).into_uuid();
            payload.insert("jti".to_owned(), json!(id.to_string()));
        }
        Ok((header, payload))
    }

    fn sign(&self, pem: &str, content: &[u8]) -> Result<Vec<u8>> {
        let passphrase = self.passphrase.as_ref().map(Secret::expose);
        let key = millrace_tls::private_key_pem(pem, passphrase)?;
        let der = key.secret_der();
        let unfit = |error: ring::error::KeyRejected| {
            Error::fatal(format!(
                "sasl.oauthbearer.assertion.private.key.file: the key is not one for {}: {error}",
                self.algorithm.name()
            ))
        };
        let failed = |_| Error::fatal("the assertion cannot be signed");
        let rng = SystemRandom::new();
        match self.algorithm {
            Algorithm::Rs256 => {
                let key = RsaKeyPair::from_pkcs8(der).or_else(|error| {
                    // PKCS #1, which openssl once wrote.
                    RsaKeyPair::from_der(der).map_err(|_| error)
                });
                let key = key.map_err(unfit)?;
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &rng, content, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Algorithm::Es256 => {
                let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                let key = EcdsaKeyPair::from_pkcs8(algorithm, der, &rng).map_err(unfit)?;
                Ok(key.sign(&rng, content).map_err(failed)?.as_ref().to_vec())
            }
        }
    }
}

/// The text of a file that a key names.
///
/// # Errors
///
/// `Retriable` where there is no file: it may be being replaced.
pub(super) async fn file(path: &Path, key: &str) -> Result<Secret> {
    let broken = |error: Error| error.context("file", path.display());
    let (path, name) = (path.to_owned(), key.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    match read.await {
        Ok(Ok(text)) if text.len() as u64 <= MAX_FILE_BYTES => Ok(Secret::new(text)),
        Ok(Ok(_)) => Err(broken(Error::fatal(format!("{name}: the file is larger than 1 MiB")))),
        Ok(Err(e)) => {
            let what = format!("{name}: the file cannot be read");
            Err(broken(Error::retriable(what).with_source(e)))
        }
        Err(e) => Err(broken(Error::retriable(name).with_source(e))),
    }
}
