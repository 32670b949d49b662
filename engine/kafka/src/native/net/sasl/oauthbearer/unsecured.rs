//! Decides what a token looks like that nobody has signed: its claims are the options of the login
//! module (`OAuthBearerUnsecuredLoginCallbackHandler` in Java). For development.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millrace_api::Result;
use serde_json::{Map, Value, json};

use super::jwt::Token;
use super::{Extensions, Secret};
use crate::properties::jaas::{Jaas, broken};

/// The claims, and for how long a token holds.
#[derive(Debug)]
pub(super) struct Unsecured {
    claims: Map<String, Value>,
    lifetime_ms: i64,
}

const EXTENSION: &str = "unsecuredLoginExtension_";

impl Unsecured {
    /// Reads the options `unsecuredLogin…`.
    pub(super) fn read(jaas: &Jaas) -> Result<(Self, Extensions)> {
        let options = jaas.options();
        if options.keys().all(|name| name.starts_with(EXTENSION)) {
            return Err(broken(
                "the login module has no option that makes a token: give \
                 unsecuredLoginStringClaim_sub, or set sasl.login.callback.handler.class to \
                 org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
            ));
        }
        let name = |option: &str, default: &'static str| {
            jaas.get(option).map(str::trim).filter(|name| !name.is_empty()).unwrap_or(default)
        };
        let principal = name("unsecuredLoginPrincipalClaimName", "sub");
        let scope = name("unsecuredLoginScopeClaimName", "scope");
        let seconds = jaas.get("unsecuredLoginLifetimeSeconds").unwrap_or("3600").trim();
        let seconds =
            seconds.parse::<i64>().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                broken("unsecuredLoginLifetimeSeconds is not a number of seconds above 0")
            })?;
        let claims = claims(options)?;
        if claims.get(principal).and_then(Value::as_str).is_none_or(|name| name.trim().is_empty()) {
            return Err(broken(format!(
                "the token names nobody: give unsecuredLoginStringClaim_{principal}"
            )));
        }
        let is_text = |value: &Value| value.is_string();
        match claims.get(scope) {
            None | Some(Value::String(_)) => {}
            Some(Value::Array(scopes)) if scopes.iter().all(is_text) => {}
            Some(_) => return Err(broken(format!("the claim {scope} is no text and no list"))),
        }
        let extensions = extensions(jaas, EXTENSION)?;
        Ok((Self { claims, lifetime_ms: seconds.saturating_mul(1_000) }, extensions))
    }

    /// A token that begins now.
    pub(super) fn token(&self, now_ms: i64) -> Token {
        let expires_ms = now_ms.saturating_add(self.lifetime_ms);
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        let mut claims = Map::new();
        claims.insert("exp".to_owned(), json!(seconds(expires_ms)));
        claims.insert("iat".to_owned(), json!(seconds(now_ms)));
        claims.extend(self.claims.clone());
        let part = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let value = format!("{}.{}.", part(&json!({"alg": "none"})), part(&Value::Object(claims)));
        Token { value: Secret::new(value), issued_ms: Some(now_ms), expires_ms }
    }
}

fn claims<'a>(
    options: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<Map<String, Value>> {
    let mut claims = Map::new();
    for (option, value) in options {
        let claim = |prefix: &str| option.strip_prefix(prefix).filter(|name| !name.is_empty());
        let (name, value) = if let Some(name) = claim("unsecuredLoginStringClaim_") {
            (name, json!(value))
        } else if let Some(name) = claim("unsecuredLoginNumberClaim_") {
            let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            (name, json!(number.ok_or_else(|| broken(format!("{option} is not a number")))?))
        } else if let Some(name) = claim("unsecuredLoginListClaim_") {
            (name, list(value))
        } else {
            continue;
        };
        if matches!(name, "iat" | "exp") {
            return Err(broken(format!("Cannot explicitly set the '{name}' claim")));
        }
        claims.insert(name.to_owned(), value);
    }
    Ok(claims)
}

/// A list begins with what separates it: `|a|b`.
fn list(text: &str) -> Value {
    let mut rest = text.chars();
    match rest.next() {
        Some(separator) if !rest.as_str().is_empty() => {
            json!(rest.as_str().split(separator).collect::<Vec<_>>())
        }
        _ => json!([]),
    }
}

/// The options that begin with `prefix`: what goes with the token.
pub(super) fn extensions(jaas: &Jaas, prefix: &str) -> Result<Extensions> {
    let named = jaas.options().iter();
    let named = named.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
    named
        .map(|(name, value)| {
            let is_visible = |c: char| matches!(c, '\x21'..='\x7e' | ' ' | '\t' | '\r' | '\n');
            if name == "auth" {
                Err(broken("Extension name auth is reserved"))
            } else if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic()) {
                Err(broken(format!("Extension name {name} is invalid: letters only")))
            } else if value.is_empty() || !value.chars().all(is_visible) {
                Err(broken(format!("the value of extension {name} is invalid: ASCII only")))
            } else {
                Ok((name.to_owned(), value.clone()))
            }
        })
        .collect()
}
