//! Decides what a token endpoint is asked: the forms of RFC 6749 §4.4 (client credentials) and of
//! RFC 7523 (assertions), as Kafka's Java clients write them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Secret;

/// One question.
#[derive(Debug)]
pub(super) struct Form {
    /// Of the header `Authorization`.
    pub(super) authorization: Option<Secret>,
    pub(super) body: Secret,
    /// What must not be repeated if the endpoint's answer holds it.
    pub(super) secrets: Vec<Secret>,
}

/// The grant `client_credentials`, the client's name proved by its secret.
pub(super) fn by_secret(id: &str, secret: &Secret, scope: Option<&str>, encode: bool) -> Form {
    let part = |text: &str| if encode { encoded(text) } else { text.to_owned() };
    let pair = format!("{}:{}", part(id), part(secret.expose()));
    let credentials = BASE64_STANDARD.encode(pair);
    let mut body = "grant_type=client_credentials".to_owned();
    if let Some(scope) = scope {
        body += &format!("&scope={}", part(scope));
    }
    Form {
        authorization: Some(Secret::new(format!("Basic {credentials}"))),
        body: Secret::new(body),
        secrets: vec![secret.clone(), Secret::new(credentials)],
    }
}

/// The grant `client_credentials`, the client's name proved by an assertion.
pub(super) fn by_assertion(assertion: &Secret, id: Option<&str>, scope: Option<&str>) -> Form {
    let mut body = format!(
        "client_assertion_type={}&client_assertion={}&grant_type=client_credentials",
        encoded("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        encoded(assertion.expose())
    );
    if let Some(id) = id {
        body += &format!("&client_id={}", encoded(id));
    }
    with_scope(body, assertion, scope)
}

/// The grant `jwt-bearer`.
pub(super) fn jwt_bearer(assertion: &Secret, scope: Option<&str>) -> Form {
    let grant = encoded("urn:ietf:params:oauth:grant-type:jwt-bearer");
    let body = format!("grant_type={grant}&assertion={}", encoded(assertion.expose()));
    with_scope(body, assertion, scope)
}

fn with_scope(mut body: String, assertion: &Secret, scope: Option<&str>) -> Form {
    if let Some(scope) = scope {
        body += &format!("&scope={}", encoded(scope));
    }
    Form { authorization: None, body: Secret::new(body), secrets: vec![assertion.clone()] }
}

/// As HTML forms are encoded (`URLEncoder` in Java).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}
