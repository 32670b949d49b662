//! Decides how a token endpoint is asked over HTTP, how often again, and what its answers mean
//! (`HttpJwtRetriever` in Java).

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use millrace_api::{Error, Result};
use millrace_tls::{ClientTls, RefusedCertificate};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::Secret;
use super::request::Form;
use crate::native::net::{BoxedStream, tls};

/// No token is longer.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How much of what an endpoint says against a request is shown.
const MAX_SHOWN: usize = 300;

/// A token endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// `sasl.oauthbearer.token.endpoint.url`
    pub(super) url: Uri,
    pub(super) host: String,
    /// For `https`: the options `ssl.*` of the login module, as in Java.
    pub(super) tls: Option<Arc<ClientTls>>,
    /// `sasl.login.connect.timeout.ms`
    pub(super) connect_timeout: Duration,
    /// `sasl.login.read.timeout.ms`: of the whole answer.
    pub(super) read_timeout: Duration,
    /// `sasl.login.retry.backoff.ms`
    pub(super) backoff: Duration,
    /// `sasl.login.retry.backoff.max.ms`: of all attempts together.
    pub(super) backoff_max: Duration,
}

/// Whether asking again may help.
enum Refusal {
    Passing(Error),
    Lasting(Error),
}

use Refusal::{Lasting, Passing};

impl Endpoint {
    /// Asks for a token; again, after ever longer waits, while `backoff_max` has not passed.
    ///
    /// # Errors
    ///
    /// `Retriable` when the endpoint cannot be reached or has trouble of its own, `Fatal` when it
    /// refuses. Names the endpoint, and repeats nothing that is secret.
    pub(super) async fn ask(&self, form: &Form) -> Result<Secret> {
        let end = Instant::now() + self.backoff_max;
        let mut wait = self.backoff;
        loop {
            let error = match self.ask_once(form).await {
                Ok(token) => return Ok(token),
                Err(Lasting(error)) => return Err(error.context("token endpoint", self)),
                Err(Passing(error)) => error.context("token endpoint", self),
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            tracing::debug!("no token yet, asking again: {}", error.copied());
            sleep(wait.min(left)).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn ask_once(&self, form: &Form) -> Result<Secret, Refusal> {
        let late = |what: &str, key: &str| {
            Passing(Error::retriable(format!("the token endpoint {what} (see {key})")))
        };
        let stream = timeout(self.connect_timeout, self.connect()).await;
        let stream = stream
            .map_err(|_| late("cannot be connected to in time", "sasl.login.connect.timeout.ms"))?;
        let answer = timeout(self.read_timeout, self.post(stream?, form)).await;
        let answer =
            answer.map_err(|_| late("does not answer in time", "sasl.login.read.timeout.ms"))?;
        let (status, body) = answer?;
        token(status, &body, form)
    }

    async fn connect(&self) -> Result<BoxedStream, Refusal> {
        let away = |e: std::io::Error| {
            Passing(Error::retriable("the token endpoint cannot be connected to").with_source(e))
        };
        let port = self.url.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((self.host.as_str(), port)).await.map_err(away)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|e| Lasting(Error::config("the token endpoint has no name").with_source(e)))?;
        let config = tls::config(tls).await;
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        match shaken {
            Ok(stream) => Ok(Box::new(stream)),
            Err(e) => Err(refused_by_tls(e)),
        }
    }

    async fn post(
        &self,
        stream: BoxedStream,
        form: &Form,
    ) -> Result<(StatusCode, Vec<u8>), Refusal> {
        let broken = |e: hyper::Error| {
            Passing(Error::retriable("the token endpoint does not answer").with_source(e))
        };
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.url.authority().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::post(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/json")
            .header(CACHE_CONTROL, "no-cache")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = &form.authorization {
            request = request.header(AUTHORIZATION, authorization.expose());
        }
        let request = request.body(form.body.expose().to_owned());
        let request = request.map_err(|_| {
            Lasting(Error::config("the token endpoint's URL or the credentials make no request"))
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            Ok((answer.status(), body(answer.into_body()).await?))
        };
        // The connection moves the bytes, and may end with the answer.
        let (mut answer, mut connection) = (pin!(answer), pin!(connection));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands behind may hold a key.
        f.write_str(self.url.to_string().split('?').next().unwrap_or_default())
    }
}

fn refused_by_tls(error: std::io::Error) -> Refusal {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let refused = cause.and_then(RefusedCertificate::of).map(ToString::to_string);
    match refused {
        Some(refused) => Lasting(Error::fatal(format!(
            "the token endpoint is not trusted: {refused}; ssl.* are options of the login module \
             in sasl.jaas.config here"
        ))),
        None => Passing(Error::retriable("the token endpoint speaks no TLS").with_source(error)),
    }
}

async fn body(mut body: Incoming) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut body = pin!(&mut body);
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|e| {
            Passing(Error::retriable("the token endpoint's answer ends too early").with_source(e))
        })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MAX_BODY_BYTES {
            let why = "the token endpoint's answer is longer than 1 MiB";
            return Err(Lasting(Error::fatal(why)));
        }
    }
    Ok(bytes)
}

/// What an answer means.
fn token(status: StatusCode, body: &[u8], form: &Form) -> Result<Secret, Refusal> {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    if status == StatusCode::OK || status == StatusCode::CREATED {
        let text = ["access_token", "id_token"].iter().find_map(|name| json.get(name)?.as_str());
        return text.map(str::trim).filter(|text| !text.is_empty()).map(Secret::new).ok_or_else(
            || Lasting(Error::fatal("The token endpoint response did not contain a valid JWT")),
        );
    }
    let field = |name: &str| json.get(name).and_then(Value::as_str);
    let said = match (field("error"), field("errorCode")) {
        (Some(error), _) => [Some(error), field("error_description")],
        (None, Some(code)) => [Some(code), field("errorSummary")],
        (None, None) => [None, None],
    };
    let said: Vec<_> = said.into_iter().flatten().collect();
    let said = shown(&said.join(" - "), form);
    let code = status.as_u16();
    let why = format!("the token endpoint answers {code}{said}");
    // As in Java; a redirect would lead to where nobody has allowed.
    if matches!(code, 300..=407 | 409..=415 | 501 | 505) {
        let error = Error::fatal(why);
        return Err(Lasting(match code {
            400 | 401 | 403 => error.context(
                "remedy",
                "see sasl.oauthbearer.client.credentials.*, sasl.oauthbearer.assertion.* and \
                 sasl.oauthbearer.scope",
            ),
            _ => error,
        }));
    }
    Err(Passing(Error::retriable(why)))
}

/// What an endpoint said, without what it was told in confidence.
fn shown(said: &str, form: &Form) -> String {
    let mut said = said.to_owned();
    for secret in form.secrets.iter().filter(|secret| !secret.expose().is_empty()) {
        said = said.replace(secret.expose(), "[hidden]");
    }
    let said: String = said.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    if said.is_empty() { said } else { format!(": {said}") }
}
