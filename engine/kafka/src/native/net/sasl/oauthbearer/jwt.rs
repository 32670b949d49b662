//! Decides what a client believes of its own token: what Java's `ClientJwtValidator` reads, without
//! the signature, which is for the broker to check.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millrace_api::{Error, Result};
use serde_json::Value;

use super::Secret;

/// A token, ready to be sent.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: Secret,
    /// When it was issued, milliseconds since 1970, if it says so.
    pub(super) issued_ms: Option<i64>,
    /// When it ends, milliseconds since 1970.
    pub(super) expires_ms: i64,
}

/// The names of claims that can be chosen.
#[derive(Clone, Debug)]
pub(super) struct ClaimNames {
    /// `sasl.oauthbearer.scope.claim.name`
    pub(super) scope: String,
    /// `sasl.oauthbearer.sub.claim.name`
    pub(super) sub: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { scope: "scope".to_owned(), sub: "sub".to_owned() }
    }
}

/// What is wrong with a token; says nothing of its content but the claim's name.
fn refused(why: impl std::fmt::Display) -> Error {
    Error::fatal(format!("Could not validate the access token: {why}"))
}

/// A token in its compact form, without the space around it.
///
/// # Errors
///
/// It is not one.
pub(super) fn compact(text: &str) -> Result<&str> {
    let text = text.trim();
    let parts: Vec<_> = text.split('.').collect();
    if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) {
        return Err(refused(
            "Malformed JWT provided; expected three sections (header, payload, and signature)",
        ));
    }
    Ok(text)
}

/// Reads a token in its compact form.
///
/// # Errors
///
/// It is not one, or lacks what brokers ask for.
pub(super) fn read(text: &str, names: &ClaimNames) -> Result<Token> {
    let text = compact(text)?;
    let payload = text.split('.').nth(1).expect("it has three sections").trim_end_matches('=');
    let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).ok();
    let claims = claims.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let Some(Value::Object(claims)) = claims else {
        return Err(refused("its payload is no JSON object"));
    };
    let seconds = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
            Some(seconds) if seconds >= 0.0 => Ok(Some((seconds * 1_000.0) as i64)),
            _ => Err(refused(format!("{name} value must be a number that is not negative"))),
        },
    };
    let expires_ms = seconds("exp")?.ok_or_else(|| refused("exp value must be non-null"))?;
    match claims.get(&names.sub) {
        Some(Value::String(subject)) if !subject.trim().is_empty() => {}
        _ => return Err(refused(format!("{} value must be a text", names.sub))),
    }
    if let Some(Value::Array(scopes)) = claims.get(&names.scope)
        && scopes.iter().any(|scope| !scope.is_string())
    {
        return Err(refused(format!("{} value must hold texts", names.scope)));
    }
    Ok(Token { value: Secret::new(text), issued_ms: seconds("iat")?, expires_ms })
}
