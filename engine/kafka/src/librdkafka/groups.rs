//! Decides how a consumer group's committed offsets are read and changed from outside the group.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use sys::rd_kafka_admin_op_t as Operation;

use super::admin::{Options, ask, offsets};
use super::error::{self, rd_kafka_error_code, text};
use super::native::{Client, PartitionList, c_string, read_list};

const INVALID: i64 = sys::RD_KAFKA_OFFSET_INVALID as i64;

/// What a group has committed of these partitions, or of all when they are none. Partitions
/// without a commit are absent.
pub(super) async fn committed(
    client: &Arc<Client>,
    group: &str,
    partitions: Option<&[TopicPartition]>,
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, i64>> {
    const WHAT: &str = "committed offsets cannot be read";
    if partitions.is_some_and(<[_]>::is_empty) {
        return Ok(BTreeMap::new());
    }
    let list = partitions.map(|all| PartitionList::new(all.iter().map(|p| (p, INVALID))));
    let name = c_string(group);
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let options = Options::new(client, operation, timeout);
        let list = list.as_ref().map_or(ptr::null(), |list| list.raw().cast_const());
        // SAFETY: all handles are live; librdkafka copies the request, which is then freed. No
        // list means all partitions.
        unsafe {
            let mut request = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), list);
            let (raw, queue, array) = (client.raw(), queue.raw(), &raw mut request);
            sys::rd_kafka_ListConsumerGroupOffsets(raw, array, 1, options.raw(), queue);
            sys::rd_kafka_ListConsumerGroupOffsets_destroy(request);
        }
    })
    .await
    .map_err(|e| e.context("group.id", group))?;
    // SAFETY: the event is a ListConsumerGroupOffsets result, whose groups live as long.
    let mut listed = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.raw());
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        read_groups(client, groups, count, WHAT).map_err(|e| e.context("group.id", group))?
    };
    listed.retain(|(_, offset, code)| *offset >= 0 || *code != error::NONE);
    offsets(client, listed, "the partition's committed offset cannot be read")
}

/// Sets offsets, then deletes those that are none.
pub(super) async fn alter(
    client: &Arc<Client>,
    group: &str,
    changes: &BTreeMap<TopicPartition, Option<i64>>,
    timeout: Duration,
) -> Result<()> {
    let set: Vec<_> = changes.iter().filter_map(|(tp, offset)| Some((tp, (*offset)?))).collect();
    let deleted: Vec<_> =
        changes.iter().filter(|(_, offset)| offset.is_none()).map(|(tp, _)| tp).collect();
    if !set.is_empty() {
        let list = PartitionList::new(set);
        let done = set_offsets(client, group, list, timeout).await;
        done.map_err(|e| e.context("group.id", group))?;
    }
    if !deleted.is_empty() {
        let list = PartitionList::new(deleted.into_iter().map(|tp| (tp, INVALID)));
        let done = delete_offsets(client, group, list, timeout).await;
        done.map_err(|e| e.context("group.id", group))?;
    }
    Ok(())
}

async fn set_offsets(
    client: &Arc<Client>,
    group: &str,
    list: PartitionList,
    timeout: Duration,
) -> Result<()> {
    const WHAT: &str = "committed offsets cannot be altered";
    let name = c_string(group);
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
        let options = Options::new(client, operation, timeout);
        // SAFETY: all handles are live; librdkafka copies the request, which is then freed.
        unsafe {
            let mut request =
                sys::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), list.raw());
            let (raw, queue, array) = (client.raw(), queue.raw(), &raw mut request);
            sys::rd_kafka_AlterConsumerGroupOffsets(raw, array, 1, options.raw(), queue);
            sys::rd_kafka_AlterConsumerGroupOffsets_destroy(request);
        }
    })
    .await?;
    // SAFETY: the event is an AlterConsumerGroupOffsets result, whose groups live as long.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(event.raw());
        let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
        check(client, WHAT, read_groups(client, groups, count, WHAT)?)
    }
}

async fn delete_offsets(
    client: &Arc<Client>,
    group: &str,
    list: PartitionList,
    timeout: Duration,
) -> Result<()> {
    const WHAT: &str = "committed offsets cannot be deleted";
    let name = c_string(group);
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS;
        let options = Options::new(client, operation, timeout);
        // SAFETY: all handles are live; librdkafka copies the request, which is then freed.
        unsafe {
            let mut request =
                sys::rd_kafka_DeleteConsumerGroupOffsets_new(name.as_ptr(), list.raw());
            let (raw, queue, array) = (client.raw(), queue.raw(), &raw mut request);
            sys::rd_kafka_DeleteConsumerGroupOffsets(raw, array, 1, options.raw(), queue);
            sys::rd_kafka_DeleteConsumerGroupOffsets_destroy(request);
        }
    })
    .await?;
    // SAFETY: the event is a DeleteConsumerGroupOffsets result, whose groups live as long.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DeleteConsumerGroupOffsets_result(event.raw());
        let groups = sys::rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &raw mut count);
        check(client, WHAT, read_groups(client, groups, count, WHAT)?)
    }
}

/// Deletes a group and all it has committed.
pub(super) async fn delete(client: &Arc<Client>, group: &str, timeout: Duration) -> Result<()> {
    const WHAT: &str = "the group cannot be deleted";
    let name = c_string(group);
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_DELETEGROUPS;
        let options = Options::new(client, operation, timeout);
        // SAFETY: all handles are live; librdkafka copies the request, which is then freed.
        unsafe {
            let mut request = sys::rd_kafka_DeleteGroup_new(name.as_ptr());
            let (raw, queue, array) = (client.raw(), queue.raw(), &raw mut request);
            sys::rd_kafka_DeleteGroups(raw, array, 1, options.raw(), queue);
            sys::rd_kafka_DeleteGroup_destroy(request);
        }
    })
    .await
    .map_err(|e| e.context("group.id", group))?;
    // SAFETY: the event is a DeleteGroups result, whose groups live as long.
    let deleted = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DeleteGroups_result(event.raw());
        let groups = sys::rd_kafka_DeleteGroups_result_groups(result, &raw mut count);
        read_groups(client, groups, count, WHAT)
    };
    deleted.map(drop).map_err(|e| e.context("group.id", group))
}

/// The partitions of an answer, unless it is an error as a whole.
///
/// # Safety
///
/// `groups` must hold `count` live results.
unsafe fn read_groups(
    client: &Client,
    groups: *mut *const sys::rd_kafka_group_result_t,
    count: usize,
    what: &str,
) -> Result<Vec<(TopicPartition, i64, i32)>> {
    let mut listed = Vec::new();
    for i in 0..count {
        // SAFETY: the caller promises `count` live results; what they lend is copied here.
        unsafe {
            let answer = *groups.add(i);
            let failure = sys::rd_kafka_group_result_error(answer);
            if !failure.is_null() {
                let reason = text(sys::rd_kafka_error_string(failure));
                return Err(client.error(rd_kafka_error_code(failure), what, &reason));
            }
            listed.extend(read_list(sys::rd_kafka_group_result_partitions(answer)));
        }
    }
    Ok(listed)
}

/// The first partition whose offset could not be changed.
fn check(client: &Client, what: &str, changed: Vec<(TopicPartition, i64, i32)>) -> Result<()> {
    const MISSING: i32 = Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32;
    let failed = changed.into_iter().find(|(.., code)| *code != error::NONE);
    let Some((partition, _, code)) = failed else {
        return Ok(());
    };
    let error = match code {
        MISSING => Error::new(ErrorKind::NotFound, format!("{what}: the partition does not exist")),
        code => client.error(code, what, ""),
    };
    Err(error.context("partition", partition))
}
