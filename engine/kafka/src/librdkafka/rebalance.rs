//! Decides how a group's rebalance is carried from librdkafka's callback to the caller of `poll`
//! and completed afterwards, so that the caller can commit in between.

use std::ffi::{CStr, c_void};
use std::ptr;

use millrace_api::TopicPartition;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;

use super::context::Context;
use super::error::{rd_kafka_error_code, text};
use super::native::{Client, PartitionList, read_list};

/// What happens to the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Assigned,
    Revoked,
    Lost,
}

/// A rebalance that the group waits for us to complete.
#[derive(Debug)]
pub(super) struct Rebalance {
    pub(super) change: Change,
    pub(super) partitions: Vec<TopicPartition>,
    /// Whether the partitions come on top of (or are taken from) the others.
    pub(super) incremental: bool,
}

impl Rebalance {
    /// Tells librdkafka to go on. `starts` are the offsets to begin at, `OFFSET_INVALID` for the
    /// committed one.
    pub(super) fn complete(&self, client: &Client, start: impl Fn(&TopicPartition) -> i64) {
        let list = PartitionList::new(self.partitions.iter().map(|p| (p, start(p))));
        // SAFETY: client and list are live; librdkafka copies the list.
        unsafe { complete(client.raw(), self.change, self.incremental, list.raw()) }
    }
}

/// librdkafka calls this while we poll its queue.
pub(super) unsafe extern "C" fn on_rebalance(
    raw: *mut sys::rd_kafka_t,
    code: Code,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque pointer is the client's context, which outlives it.
    let context = unsafe { &*opaque.cast::<Context>() };
    // SAFETY: the client is live and we are on a thread that polls it, as these calls ask for.
    let (incremental, lost) = unsafe {
        let protocol = sys::rd_kafka_rebalance_protocol(raw);
        let incremental = !protocol.is_null() && CStr::from_ptr(protocol) == c"COOPERATIVE";
        (incremental, sys::rd_kafka_assignment_lost(raw) != 0)
    };
    let change = match (code, lost) {
        (Code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, _) => Change::Assigned,
        (_, true) => Change::Lost,
        (_, false) => Change::Revoked,
    };
    if context.is_closing() {
        // SAFETY: client and list are live.
        unsafe { complete(raw, change, incremental, partitions) };
        return;
    }
    // SAFETY: the list is live during the call.
    let partitions = unsafe { read_list(partitions) };
    let partitions = partitions.into_iter().map(|(partition, ..)| partition).collect();
    context.push_rebalance(Rebalance { change, partitions, incremental });
}

/// # Safety
///
/// Client and list must be live.
unsafe fn complete(
    raw: *mut sys::rd_kafka_t,
    change: Change,
    incremental: bool,
    list: *mut sys::rd_kafka_topic_partition_list_t,
) {
    // SAFETY: the caller promises live handles; the error, if any, is ours to free.
    unsafe {
        let error = match (change, incremental) {
            (Change::Assigned, true) => sys::rd_kafka_incremental_assign(raw, list),
            (_, true) => sys::rd_kafka_incremental_unassign(raw, list),
            (Change::Assigned, false) => {
                report(change, sys::rd_kafka_assign(raw, list) as i32, "");
                return;
            }
            (_, false) => {
                report(change, sys::rd_kafka_assign(raw, ptr::null()) as i32, "");
                return;
            }
        };
        if !error.is_null() {
            let reason = text(sys::rd_kafka_error_string(error));
            report(change, rd_kafka_error_code(error), &reason);
            sys::rd_kafka_error_destroy(error);
        }
    }
}

/// A refusal means that the group has moved on; librdkafka then rebalances again by itself.
fn report(change: Change, code: i32, reason: &str) {
    if code != super::error::NONE {
        let error = super::error::error(code, "the rebalance cannot be completed", reason);
        tracing::warn!("{error} (change: {change:?})");
    }
}
