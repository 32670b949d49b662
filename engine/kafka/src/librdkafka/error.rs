//! Decides what a librdkafka or broker error code means to the worker.

use std::ffi::{CStr, c_char, c_int};

use millrace_api::{Error, ErrorKind};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;

// The same functions as in the bindings, but with plain numbers for error codes: a broker may
// send a code that the bindings' enum does not have.
unsafe extern "C" {
    fn rd_kafka_err2str(code: c_int) -> *const c_char;
    fn rd_kafka_err2name(code: c_int) -> *const c_char;
    pub(super) fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> c_int;
    pub(super) fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> c_int;
    pub(super) fn rd_kafka_ConfigResource_error(
        resource: *const sys::rd_kafka_ConfigResource_t,
    ) -> c_int;
    pub(super) fn rd_kafka_topic_result_error(result: *const sys::rd_kafka_topic_result_t)
    -> c_int;
}

/// No error.
pub(super) const NONE: i32 = Code::RD_KAFKA_RESP_ERR_NO_ERROR as i32;

/// Reads an error code that a struct of the bindings declares as an enum.
///
/// # Safety
///
/// `code` must point to an initialised field.
pub(super) unsafe fn read(code: *const Code) -> i32 {
    // SAFETY: the enum is four bytes wide, as C's is; reading it as a number accepts any code.
    unsafe { code.cast::<i32>().read() }
}

/// Copies a C string; an absent one is empty.
///
/// # Safety
///
/// `text` must be null or point to a string that ends in a zero byte.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller promises a C string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// What a code means, in librdkafka's words.
pub(super) fn describe(code: i32) -> String {
    // SAFETY: both functions return static strings for any number; an unknown code that needs
    // formatting is written to a buffer of this thread, which is copied at once.
    unsafe { format!("{} ({})", text(rd_kafka_err2str(code)), text(rd_kafka_err2name(code))) }
}

/// An error for a code: what was being done, and librdkafka's reason if it gave one.
pub(super) fn error(code: i32, what: &str, reason: &str) -> Error {
    let described = describe(code);
    let message = match reason {
        "" => format!("{what}: {described}"),
        reason => format!("{what}: {described}: {reason}"),
    };
    let error = Error::new(kind(code), message);
    if code == Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as i32 {
        return error.context(
            "remedy",
            "raise the producer's max.request.size and the topic's max.message.bytes, or make the \
             records smaller",
        );
    }
    error
}

const RETRIABLE: &[Code] = &[
    Code::RD_KAFKA_RESP_ERR__TRANSPORT,
    Code::RD_KAFKA_RESP_ERR__RESOLVE,
    Code::RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
    Code::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
    Code::RD_KAFKA_RESP_ERR__TIMED_OUT,
    Code::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
    Code::RD_KAFKA_RESP_ERR__QUEUE_FULL,
    Code::RD_KAFKA_RESP_ERR__WAIT_COORD,
    Code::RD_KAFKA_RESP_ERR__WAIT_CACHE,
    Code::RD_KAFKA_RESP_ERR__IN_PROGRESS,
    Code::RD_KAFKA_RESP_ERR__INTR,
    Code::RD_KAFKA_RESP_ERR__RETRY,
    Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
    Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
    Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    Code::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
    Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    Code::RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
    Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    Code::RD_KAFKA_RESP_ERR_LISTENER_NOT_FOUND,
    Code::RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    Code::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    Code::RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE,
    Code::RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
    Code::RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
];

const CONFLICT: &[Code] = &[
    Code::RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST,
    Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
    Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
    Code::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH,
    Code::RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS,
    Code::RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP,
    Code::RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC,
];

const CONFIG: &[Code] = &[
    Code::RD_KAFKA_RESP_ERR__INVALID_ARG,
    Code::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    Code::RD_KAFKA_RESP_ERR_INVALID_PARTITIONS,
    Code::RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR,
    Code::RD_KAFKA_RESP_ERR_INVALID_REPLICA_ASSIGNMENT,
    Code::RD_KAFKA_RESP_ERR_INVALID_CONFIG,
    Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
];

const DATA: &[Code] =
    &[Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Code::RD_KAFKA_RESP_ERR_INVALID_RECORD];

const NOT_FOUND: &[Code] = &[Code::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND];

/// What the worker does about a code.
pub(super) fn kind(code: i32) -> ErrorKind {
    let is_in = |codes: &[Code]| codes.iter().any(|known| *known as i32 == code);
    if is_in(RETRIABLE) {
        ErrorKind::Retriable
    } else if is_in(CONFLICT) {
        ErrorKind::Conflict
    } else if is_in(CONFIG) {
        ErrorKind::Config
    } else if is_in(DATA) {
        ErrorKind::Data
    } else if is_in(NOT_FOUND) {
        ErrorKind::NotFound
    } else {
        ErrorKind::Fatal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kinds_the_worker_needs() {
        for (code, expected) in [
            (Code::RD_KAFKA_RESP_ERR__TRANSPORT as i32, ErrorKind::Retriable),
            (Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION as i32, ErrorKind::Conflict),
            (Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS as i32, ErrorKind::Conflict),
            (Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as i32, ErrorKind::Data),
            (Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as i32, ErrorKind::Fatal),
            (12_345, ErrorKind::Fatal),
        ] {
            assert_eq!(kind(code), expected, "{}", describe(code));
        }
    }
}
