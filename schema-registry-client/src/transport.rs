//! Decides whom a call goes to, how often it is repeated, and what the answer means.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Refusal;
use crate::http::{Answer, Http, Silence};
use crate::settings::without_user;
use crate::token::Tokens;
use crate::{Credentials, Error, Result, Secret, Settings};

const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
const ACCEPTED: &str = "application/vnd.schemaregistry.v1+json, \
                        application/vnd.schemaregistry+json;q=0.9, \
                        application/json;q=0.8";
/// How much of what a registry says against a request is repeated.
const MAX_SAID: usize = 2000;

/// A call of the API, without host and credentials.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// From the slash after the base URL on, with the query.
    pub(crate) path: String,
    pub(crate) body: Option<Bytes>,
}

/// One registry, behind one or several URLs.
pub(crate) struct Transport {
    http: Http,
    endpoints: Vec<Endpoint>,
    /// Who answered last.
    current: AtomicUsize,
    auth: Auth,
    headers: Vec<(HeaderName, HeaderValue)>,
    max_retries: u32,
    retry_wait: Duration,
    retry_max_wait: Duration,
}

struct Endpoint {
    /// Without user, and without slash at the end.
    base: String,
    /// The user that the URL named.
    user: Option<HeaderValue>,
}

enum Auth {
    Url,
    Header(HeaderValue),
    Tokens(Box<Tokens>),
}

impl Transport {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let endpoints: Vec<_> =
            settings.urls.iter().map(|url| endpoint(url)).collect::<Result<_>>()?;
        if endpoints.is_empty() {
            return Err(Error::Settings("no URL of a schema registry is given".into()));
        }
        let auth = match &settings.credentials {
            Credentials::Url => Auth::Url,
            Credentials::Basic { user, password } => Auth::Header(basic(user, password.expose())),
            Credentials::Bearer(token) => Auth::Header(bearer(token)?),
            Credentials::OAuth(oauth) => Auth::Tokens(Box::new(Tokens::new(oauth.clone())?)),
        };
        let secured = endpoints.iter().any(|endpoint| endpoint.base.starts_with("https:"))
            || matches!(&auth, Auth::Tokens(tokens) if tokens.need_tls());
        if secured && settings.tls.is_none() {
            let why = "https needs TLS settings: give a rustls::ClientConfig";
            return Err(Error::Settings(why.into()));
        }
        let headers = settings.headers.iter().map(|(name, value)| header(name, value));
        let first = if settings.randomize_urls { fastrand::usize(..endpoints.len()) } else { 0 };
        Ok(Self {
            http: Http::new(settings)?,
            endpoints,
            current: AtomicUsize::new(first),
            auth,
            headers: headers.collect::<Result<_>>()?,
            max_retries: settings.max_retries,
            retry_wait: settings.retry_wait,
            retry_max_wait: settings.retry_max_wait,
        })
    }

    /// Makes a call: at every URL in turn while the trouble may pass, and all of that again after
    /// ever longer waits.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let mut retries = 0;
        loop {
            let error = match self.round(&call).await {
                Ok((base, body)) => return parsed(base, &body),
                Err(error) if error.is_passing() && retries < self.max_retries => error,
                Err(error) => return Err(error),
            };
            let wait = self.pause(retries);
            retries += 1;
            tracing::debug!("asking again in {} ms: {error}", wait.as_millis());
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks each URL once, from the one that answered last on.
    async fn round(&self, call: &Call) -> Result<(&str, Bytes)> {
        let first = self.current.load(Ordering::Relaxed);
        let count = self.endpoints.len();
        let mut last = None;
        for index in (first..first + count).map(|index| index % count) {
            let endpoint = &self.endpoints[index];
            match self.once(endpoint, call).await {
                Err(error) if error.is_passing() => last = Some(error),
                answer => {
                    self.current.store(index, Ordering::Relaxed);
                    return answer.map(|body| (endpoint.base.as_str(), body));
                }
            }
        }
        Err(last.expect("there is at least one URL"))
    }

    async fn once(&self, endpoint: &Endpoint, call: &Call) -> Result<Bytes> {
        let token = match &self.auth {
            Auth::Tokens(tokens) => Some((tokens, tokens.token(&self.http).await?)),
            _ => None,
        };
        let answer = self.exchange(endpoint, call, token.as_ref().map(|(_, token)| token)).await?;
        let answer = match token {
            // It may have been taken back before its end.
            Some((tokens, token)) if answer.status.as_u16() == 401 => {
                tokens.forget(&token).await;
                let token = tokens.token(&self.http).await?;
                self.exchange(endpoint, call, Some(&token)).await?
            }
            _ => answer,
        };
        understood(&endpoint.base, answer)
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        token: Option<&Secret>,
    ) -> Result<Answer> {
        let authorization = match (&self.auth, token) {
            (_, Some(token)) => Some(bearer(token)?),
            (Auth::Header(header), None) => Some(header.clone()),
            (_, None) => endpoint.user.clone(),
        };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", endpoint.base, call.path))
            .header(ACCEPT, ACCEPTED);
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, CONTENT);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(call.body.clone().unwrap_or_default()));
        let request =
            request.map_err(|e| Error::Settings(format!("this makes no request: {e}")))?;
        let url = || endpoint.base.clone();
        self.http.exchange(request).await.map_err(|silence| match silence {
            Silence::Passing(cause) => Error::Unavailable { url: url(), cause },
            Silence::Lasting(problem) => Error::Answer { url: url(), problem },
        })
    }

    /// Twice as long each time, less up to a half by chance, so that clients do not come at once.
    fn pause(&self, retries: u32) -> Duration {
        let factor = 1_u32.checked_shl(retries).unwrap_or(u32::MAX);
        let wait = self.retry_wait.saturating_mul(factor).min(self.retry_max_wait);
        wait.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

fn endpoint(url: &str) -> Result<Endpoint> {
    let shown = without_user(url);
    let wrong = |why: &str| Error::Settings(format!("the schema registry's URL {shown} {why}"));
    let trimmed = url.trim().trim_end_matches('/');
    let base = without_user(trimmed);
    let uri = base.parse::<Uri>().map_err(|_| wrong("is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("begins with neither http:// nor https://"));
    }
    let rest = &trimmed[trimmed.find("://").map_or(0, |at| at + 3)..];
    if rest.rfind('@') > rest.find(['/', '?', '#']) && rest.contains(['/', '?', '#']) {
        return Err(wrong(
            "has an @ behind its host: write %40 for it, and %2F, %3F and %23 for /, ? and # in a password",
        ));
    }
    if uri.query().is_some() || base.contains('#') {
        return Err(wrong("has a query; give the base URL"));
    }
    let authority = &trimmed[trimmed.find("://").map_or(0, |at| at + 3)..];
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    let user = authority.rsplit_once('@').map(|(user, _)| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        basic(&decoded(name), &decoded(password))
    });
    Ok(Endpoint { base, user })
}

fn basic(user: &str, password: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    ))
    .expect("base64 makes a header");
    value.set_sensitive(true);
    value
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose().trim()));
    let mut value =
        value.map_err(|_| Error::Settings("the bearer token holds what no header may".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue)> {
    let wrong = || Error::Settings(format!("{name} and its value make no header"));
    let header = HeaderName::try_from(name).map_err(|_| wrong())?;
    let mut value = HeaderValue::try_from(value.expose()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((header, value))
}

/// The body of an answer that is a success.
fn understood(base: &str, answer: Answer) -> Result<Bytes> {
    let odd = |problem: String| Error::Answer { url: base.to_owned(), problem };
    let status = answer.status.as_u16();
    match status {
        200..=299 => Ok(answer.body),
        300..=399 => {
            let to = answer.location.as_deref().map(without_user).unwrap_or_default();
            let to = to.split('?').next().unwrap_or_default();
            Err(odd(format!(
                "it answers {status}, a redirect to {to}; redirects are not followed: give the \
                 address of the registry itself"
            )))
        }
        _ => Err(Error::Refused(refusal(base, status, &answer.body))),
    }
}

fn refusal(base: &str, status: u16, body: &[u8]) -> Refusal {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = json.get("error_code").and_then(Value::as_i64);
    let code = code.and_then(|code| i32::try_from(code).ok()).unwrap_or_else(|| status.into());
    let said = json.get("message").and_then(Value::as_str).unwrap_or_default();
    let said = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let message = said.take(MAX_SAID).collect();
    Refusal { status, code, message, url: base.to_owned() }
}

fn parsed<T: DeserializeOwned>(base: &str, body: &[u8]) -> Result<T> {
    // What is deleted for good may leave nothing to say.
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body).map_err(|e| Error::Answer {
        url: base.to_owned(),
        problem: format!("its answer is not what was asked for: {e}"),
    })
}

/// As a part of a path or query: all but what RFC 3986 calls unreserved is escaped.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.filter(|_| *first == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&out).into_owned()
}
