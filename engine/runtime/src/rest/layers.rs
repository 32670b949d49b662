//! What happens around every request: content types, size and speed of bodies, OPTIONS, the access
//! log.

use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::Rest;
use super::error::RestError;

/// Refuses requests that say they carry anything but JSON, whatever their method, as Java does.
pub(super) async fn json_only(request: Request, next: Next) -> Response {
    match content_type(request.headers()) {
        Some(given) if !is_json(&given) => RestError::unsupported_media_type().into_response(),
        _ => next.run(request).await,
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?;
    Some(String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    matches!(essence, "application/json" | "application/*" | "*/*")
}

/// Reads the body before the handler begins, within limits of size and time. A body without a
/// content type is refused.
pub(super) async fn whole_body(
    State(rest): State<Rest>,
    request: Request,
    next: Next,
) -> Result<Response, RestError> {
    let (parts, body) = request.into_parts();
    let limit = rest.limits.body_size;
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(RestError::too_large(limit));
    }
    let received = timeout(rest.limits.body, receive(body, limit)).await;
    let bytes = received.map_err(|_| RestError::body_not_received())??;
    if !bytes.is_empty() && content_type(&parts.headers).is_none() {
        return Err(RestError::unsupported_media_type());
    }
    Ok(next.run(Request::from_parts(parts, bytes.into())).await)
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

/// Answers OPTIONS with the methods a path has.
pub(super) async fn describe_options(request: Request, next: Next) -> Response {
    let asked = request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    if !asked || response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allowed = response.headers().get(ALLOW);
    let allowed = allowed.and_then(|methods| methods.to_str().ok());
    let methods = format!("{},OPTIONS", allowed.unwrap_or_default());
    let text = methods.replace(',', ", ");
    ([(ALLOW, methods), (CONTENT_TYPE, "text/plain".into())], text).into_response()
}

/// Logs what was asked and answered. Bodies, queries and headers may hold secrets and are left out.
pub(super) async fn log_access(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let line = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::info!("{line} {status} {} ms", begun.elapsed().as_millis());
    response
}
