//! Decides what a client's error means to the worker: fail the rows concerned, wait, or fail the
//! task.

use millrace_api::{Error, ErrorKind};
use schema_registry_client as client;

/// The registry's own word on a schema is the row's fault: `what`. All else is nobody's row's: it is
/// waited until somebody answers as a registry does, but not until credentials mend themselves.
pub(super) fn from_client(what: &'static str, error: client::Error) -> Error {
    let ours = match &error {
        error if error.is_verdict() => Error::data(what),
        error if error.is_unauthorized() => {
            Error::fatal("the schema registry refuses these credentials")
        }
        client::Error::Settings(_) => Error::fatal("the schema registry cannot be asked"),
        error if error.is_not_permitted() => {
            Error::retriable("the schema registry takes no new schemas for now")
        }
        _ => Error::retriable("the schema registry gives no answer that can be used"),
    };
    let ours = match remedy(&error) {
        Some(remedy) => ours.context("remedy", remedy),
        None => ours,
    };
    ours.with_source(error)
}

/// Whether an error is none of a row's.
pub(super) fn is_the_tasks(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Retriable | ErrorKind::Fatal)
}

fn remedy(error: &client::Error) -> Option<&'static str> {
    if error.is_unauthorized() {
        return Some(
            "see basic.auth.* and bearer.auth.*, and what the registry allows this user; then \
             restart the task",
        );
    }
    if error.is_passing() {
        return Some("is the schema registry running, and schema.registry.url its address?");
    }
    if error.is_not_permitted() {
        return Some("the mode of the subject or of the registry forbids it: set it to READWRITE");
    }
    if !error.is_verdict() {
        return Some(
            "is schema.registry.url the base URL of a schema registry's API, with the whole path, \
             and nothing between that redirects or answers for it?",
        );
    }
    match error.code()? {
        client::code::INCOMPATIBLE_SCHEMA => Some(
            "keep the data compatible with the subject's other versions, or change the subject's \
             compatibility level",
        ),
        client::code::SUBJECT_NOT_FOUND
        | client::code::VERSION_NOT_FOUND
        | client::code::SCHEMA_NOT_FOUND => {
            Some("is this the registry that the schema was registered with?")
        }
        client::code::INVALID_SCHEMA => Some(
            "see what the registry says of the schema; Apicurio takes no JSON Schema of a bare \
             value, which HoistField makes a record of",
        ),
        _ => None,
    }
}
