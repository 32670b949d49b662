//! Decides which HTTP status an error becomes, and how it is written.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use millrace_api::{Error, ErrorKind};
use serde::Serialize;

/// An answer that is an error: `ErrorMessage` in Java.
#[derive(Debug)]
pub(super) struct RestError {
    status: StatusCode,
    message: String,
    /// Whether the answer says that it is JSON. Java's does not when no resource was found to
    /// answer the request.
    typed: bool,
    /// Whether the log has it already, with its causes.
    logged: bool,
}

#[derive(Serialize)]
struct ErrorMessage<'a> {
    error_code: u16,
    message: &'a str,
}

impl RestError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), typed: true, logged: false }
    }

    fn untyped(status: StatusCode, reason: &str) -> Self {
        Self { typed: false, ..Self::new(status, format!("HTTP {} {reason}", status.as_u16())) }
    }

    /// The server has no such path.
    pub(super) fn no_such_path() -> Self {
        Self::untyped(StatusCode::NOT_FOUND, "Not Found")
    }

    /// The path fits a resource, but what stands in it is no name or number.
    pub(super) fn not_found() -> Self {
        Self { typed: true, ..Self::no_such_path() }
    }

    /// The path has no such method.
    pub(super) fn method_not_allowed() -> Self {
        Self::untyped(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    }

    /// The request says that it is not JSON.
    pub(super) fn unsupported_media_type() -> Self {
        Self::untyped(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type")
    }

    /// There is a body, and nothing says what it is. Java notices later than a wrong type.
    pub(super) fn untyped_body() -> Self {
        Self { typed: true, ..Self::unsupported_media_type() }
    }

    /// The client takes no JSON.
    pub(super) fn not_acceptable() -> Self {
        Self::untyped(StatusCode::NOT_ACCEPTABLE, "Not Acceptable")
    }

    /// The request's head makes no sense.
    pub(super) fn bad_request() -> Self {
        Self::untyped(StatusCode::BAD_REQUEST, "Bad Request")
    }

    /// The worker's configuration forbids it.
    pub(super) fn forbidden(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// Only a cluster of workers does this.
    pub(super) fn not_in_standalone(what: &str) -> Self {
        let message = format!("Kafka Connect in standalone mode does not support {what}.");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The body is longer than this server reads.
    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("the request body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// The client took too long to send its body, or gave up.
    pub(super) fn body_not_received() -> Self {
        let message = "the request body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, message)
    }

    /// The body cannot be read. Java's parser trips over it: 500, where 400 would be right.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The herder did not answer in time.
    pub(super) fn timed_out() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Request timed out. The operation goes on; the connector's status tells how it ended",
        )
    }

    /// A plugin panicked on the way.
    pub(super) fn panicked() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "a plugin panicked; the worker's log has the place",
        )
    }

    /// What went wrong in a validation. Java gives it back from there with its class, as an error
    /// of the server: a bad request, or an override that its client cannot read.
    pub(super) fn in_validation(error: &Error) -> Self {
        let wrapped = match status(error.kind()) {
            StatusCode::BAD_REQUEST => {
                "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: "
            }
            _ if error.kind() == ErrorKind::Fatal => {
                "org.apache.kafka.common.config.ConfigException: "
            }
            _ => "",
        };
        let message = format!("{wrapped}{}", whole_message(error));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Config => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        // Retriable, Data, Fatal, and kinds to come.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The error with its causes, in one line.
fn whole_message(error: &Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        message = format!("{message}: {e}");
        cause = e.source();
    }
    message
}

impl From<Error> for RestError {
    fn from(error: Error) -> Self {
        let status = status(error.kind());
        if status != StatusCode::INTERNAL_SERVER_ERROR {
            return Self::new(status, error.to_string());
        }
        tracing::error!("REST request failed: {}", error.trace());
        Self { logged: true, ..Self::new(status, whole_message(&error)) }
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() && !self.logged {
            tracing::warn!("REST answers {}: {}", self.status.as_u16(), self.message);
        }
        let body = ErrorMessage { error_code: self.status.as_u16(), message: &self.message };
        let mut response = (self.status, Json(body)).into_response();
        if !self.typed {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        response
    }
}
