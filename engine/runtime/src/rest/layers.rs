//! What happens around every request: who may ask, content types, size and speed of bodies, extra
//! headers, the access log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use hyper::ext::ReasonPhrase;
use tokio::time::timeout;

use super::Rest;
use super::auth::User;
use super::cors::CrossOrigin;
use super::error::RestError;
use super::headers::HeaderRules;

pub(super) const TEXT: &str = "text/plain";
const JSON: &str = "application/json";

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) peer: SocketAddr,
    /// It came over TLS.
    pub(super) https: bool,
}

/// What a request must fulfil to reach its handler.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) rest: Rest,
    pub(super) consumes_json: bool,
    /// Its handler reads the body: then one has to say that it is JSON.
    pub(super) reads_body: bool,
    /// The content type of answers; none when clients cannot choose.
    pub(super) produces: Option<&'static str>,
    /// Needs no user.
    pub(super) open: bool,
}

/// Judges a request in Java's order: the type of what it carries, the type it wants, who asks. Then
/// reads its body, within limits of size and time.
pub(super) async fn admit(
    State(guard): State<Guard>,
    request: Request,
    next: Next,
) -> Result<Response, RestError> {
    let headers = request.headers();
    if guard.consumes_json {
        require_json(headers)?;
    }
    let chosen = match guard.produces {
        Some(_) => Some(accepted(headers)?),
        None => None,
    };
    let mut user = None;
    if let Some(auth) = guard.rest.auth.as_ref().filter(|_| !guard.open) {
        match auth.admit(headers) {
            Ok(found) => user = found,
            Err(refused) => {
                let mut response = refused.into_response();
                if guard.produces.is_none() {
                    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
                }
                return Ok(response);
            }
        }
    }
    let request = match guard.consumes_json || guard.reads_body {
        true => with_whole_body(&guard, request).await?,
        false => request,
    };
    let mut response = next.run(request).await;
    let is_json = |value: &&mut HeaderValue| **value == JSON;
    if let Some(Some(chosen)) = chosen
        && let Some(value) = response.headers_mut().get_mut(CONTENT_TYPE).filter(is_json)
    {
        *value = chosen;
    }
    if let Some(user) = user {
        response.extensions_mut().insert(user);
    }
    Ok(response)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
}

/// Refuses what says it is anything but JSON, even when nothing is sent.
fn require_json(headers: &HeaderMap) -> Result<(), RestError> {
    let Some(given) = content_type(headers) else { return Ok(()) };
    let essence = given.split(';').next().unwrap_or_default().trim();
    match essence {
        JSON | "application/*" | "*/*" => Ok(()),
        _ if !essence.contains('/') => Err(RestError::bad_request()),
        _ => Err(RestError::unsupported_media_type()),
    }
}

/// Whether the client takes JSON; its own name for it where that has parameters, such as a
/// character set.
fn accepted(headers: &HeaderMap) -> Result<Option<HeaderValue>, RestError> {
    let mut ranges = headers.get_all(ACCEPT).iter().peekable();
    if ranges.peek().is_none() {
        return Ok(None);
    }
    let texts: Vec<_> = ranges.map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
    let all = texts.join(",");
    if all.trim().is_empty() {
        return Ok(None);
    }
    let mut taken = None;
    for range in all.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        match essence.as_str() {
            "*/*" | "*" | "application/*" => taken = taken.or(Some(None)),
            JSON => {
                let of_type = |p: &&str| !p.is_empty() && !p.to_ascii_lowercase().starts_with("q=");
                let parameters: Vec<_> = parts.filter(of_type).collect();
                let named = format!("{JSON};{}", parameters.join(";"));
                let named = HeaderValue::from_str(&named).ok().filter(|_| !parameters.is_empty());
                return Ok(named);
            }
            _ => {}
        }
    }
    taken.ok_or_else(RestError::not_acceptable)
}

/// Reads the body before the handler begins.
async fn with_whole_body(guard: &Guard, request: Request) -> Result<Request, RestError> {
    let (parts, body) = request.into_parts();
    let limits = &guard.rest.limits;
    let limit = limits.body_size;
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(RestError::too_large(limit));
    }
    let received = timeout(limits.body, receive(body, limit)).await;
    let bytes = received.map_err(|_| RestError::body_not_received())??;
    let is_json = || content_type(&parts.headers).is_some_and(|given| !given.contains('*'));
    if guard.consumes_json && guard.reads_body && !bytes.is_empty() && !is_json() {
        return Err(RestError::untyped_body());
    }
    Ok(Request::from_parts(parts, bytes.into()))
}

async fn receive(body: Body, limit: usize) -> Result<Bytes, RestError> {
    let mut chunks = body.into_data_stream();
    let mut received = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| RestError::body_not_received())?;
        if received.len() + chunk.len() > limit {
            return Err(RestError::too_large(limit));
        }
        received.extend_from_slice(&chunk);
    }
    Ok(received.into())
}

/// What every answer of the regular listeners says beside itself.
#[derive(Debug)]
pub(super) struct Decoration {
    pub(super) cross_origin: Option<CrossOrigin>,
    pub(super) headers: HeaderRules,
}

pub(super) async fn decorate(
    State(decoration): State<Arc<Decoration>>,
    request: Request,
    next: Next,
) -> Response {
    let cross_origin = decoration.cross_origin.as_ref();
    let asked = cross_origin.map(|cors| (cors, cors.ask(request.method(), request.headers())));
    let mut response = next.run(request).await;
    if let Some((cors, asked)) = asked {
        cors.answer(asked, response.headers_mut());
    }
    decoration.headers.apply(response.headers_mut());
    response
}

/// Logs who asked what and how it was answered, nearly as Java does. Bodies, queries and headers
/// may hold secrets and are left out, but for the name of the client's program.
pub(super) async fn log_access(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // A listener for IPv6 and IPv4 has clients of the latter at addresses of the former.
    let peer = request.extensions().get::<Origin>().map(|origin| origin.peer.ip().to_canonical());
    let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let program = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    let program = program.unwrap_or("-").replace('"', "'");
    let line = format!("{} {} {:?}", request.method(), request.uri().path(), request.version());
    let (method, mut response) = (request.method().clone(), next.run(request).await);
    let status = response.status();
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        response.extensions_mut().insert(ReasonPhrase::from_static(b"Server Error"));
    }
    let user = response.extensions().get::<User>();
    let user = user.map_or("-", |User(name)| name).escape_debug();
    let length = response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let length = length.filter(|_| method != Method::HEAD).unwrap_or("0");
    let took = begun.elapsed().as_millis();
    tracing::info!(
        "{peer} - {user} \"{line}\" {} {length} \"-\" \"{program}\" {took}",
        status.as_u16()
    );
    response
}
