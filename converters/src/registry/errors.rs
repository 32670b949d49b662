//! Decides what a client's error means to the worker: wait, or fail the rows concerned.

use millrace_api::Error;
use schema_registry_client as client;

/// Passing trouble is retriable; all else is the row's.
pub(super) fn from_client(what: &'static str, error: client::Error) -> Error {
    let remedy = remedy(&error);
    let ours = match error.is_passing() {
        true => Error::retriable(what),
        false => Error::data(what),
    };
    let ours = match remedy {
        Some(remedy) => ours.context("remedy", remedy),
        None => ours,
    };
    ours.with_source(error)
}

fn remedy(error: &client::Error) -> Option<&'static str> {
    if error.is_unauthorized() {
        return Some("see basic.auth.* and bearer.auth.*, and what the registry allows this user");
    }
    match error.refusal()?.code {
        client::code::INCOMPATIBLE_SCHEMA => Some(
            "keep the data compatible with the subject's other versions, or change the subject's \
             compatibility level",
        ),
        client::code::SUBJECT_NOT_FOUND
        | client::code::VERSION_NOT_FOUND
        | client::code::SCHEMA_NOT_FOUND => {
            Some("is this the registry that the schema was registered with?")
        }
        client::code::OPERATION_NOT_PERMITTED => {
            Some("the mode of the subject or of the registry forbids it")
        }
        _ => None,
    }
}
