//! Decides what librdkafka's answers about transactions mean.

use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, ErrorKind, Result};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;

use super::error::{self, rd_kafka_error_code, text};
use super::native::{Client, off_thread};

/// A commit is given so long at least. One whose answer comes while nobody waits for it librdkafka
/// takes for an abort (`rd_kafka_txn_endtxn_complete` looks at the call that is under way), and has
/// the next call fail for good.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);

/// What is asked of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Init,
    Commit,
    Abort,
}

/// Begins a transaction. That only changes librdkafka's state.
pub(super) fn begin(client: &Client) -> Result<()> {
    // SAFETY: the client is live; the answer is ours.
    let answer = unsafe { sys::rd_kafka_begin_transaction(client.raw()) };
    // SAFETY: it is an answer that nobody has taken yet.
    unsafe { read(client, answer, "a transaction cannot be begun") }
}

/// Carries an operation out on a thread of its own, as librdkafka blocks until there is an answer.
pub(super) async fn run(
    client: &Arc<Client>,
    operation: Operation,
    timeout: Duration,
) -> Result<()> {
    let timeout = match operation {
        Operation::Commit => timeout.max(SHORTEST),
        Operation::Init | Operation::Abort => timeout,
    };
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let client = client.clone();
    let call = move || {
        let raw = client.raw();
        // SAFETY: the client is live while this runs; reports of records, which commit and abort
        // wait for, are served by the producer's own thread. The answer is ours.
        unsafe {
            let (answer, what) = match operation {
                Operation::Init => (
                    sys::rd_kafka_init_transactions(raw, millis),
                    "the transactional id cannot be registered",
                ),
                Operation::Commit => (
                    sys::rd_kafka_commit_transaction(raw, millis),
                    "the transaction cannot be committed",
                ),
                Operation::Abort => (
                    sys::rd_kafka_abort_transaction(raw, millis),
                    "the transaction cannot be aborted",
                ),
            };
            read(&client, answer, what)
        }
    };
    off_thread(call).await?
}

/// Takes an answer: no error, or one that says what is left to do.
///
/// # Safety
///
/// `answer` must be null or an error that is the caller's; it is gone afterwards.
unsafe fn read(
    client: &Client,
    answer: *mut sys::rd_kafka_error_t,
    what: &'static str,
) -> Result<()> {
    if answer.is_null() {
        return Ok(());
    }
    // SAFETY: the caller gives a live error, which is destroyed once all is read.
    let (code, reason, is_fatal, is_retriable, must_abort) = unsafe {
        let read = (
            rd_kafka_error_code(answer),
            text(sys::rd_kafka_error_string(answer)),
            sys::rd_kafka_error_is_fatal(answer) != 0,
            sys::rd_kafka_error_is_retriable(answer) != 0,
            sys::rd_kafka_error_txn_requires_abort(answer) != 0,
        );
        sys::rd_kafka_error_destroy(answer);
        read
    };
    if code == Code::RD_KAFKA_RESP_ERR__NOT_CONFIGURED as i32 {
        return Err(crate::not_transactional());
    }
    let kind = match (is_fatal, must_abort, is_retriable) {
        (false, true, _) => ErrorKind::Conflict,
        (false, false, true) => ErrorKind::Retriable,
        _ => ErrorKind::Fatal,
    };
    let error = Error::new(kind, format!("{what}: {}: {reason}", error::describe(code)));
    // A broker that refuses the client says more than librdkafka, which waits for another answer.
    Err(client.context().check(what).err().unwrap_or(error))
}
