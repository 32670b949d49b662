//! Decides how the cluster is asked: one request, one reply queue, a bounded wait.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use sys::rd_kafka_admin_op_t as Operation;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{self, rd_kafka_error_code, rd_kafka_topic_result_error, text};
use super::native::{Client, Event, PartitionList, Queue, c_string, off_thread, read_list};
use super::settings::OffsetReset;
use crate::{ClusterDescription, Isolation, NewTopic, Node, OffsetSpec};

/// Which record of a log is asked for, and for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    spec: i64,
    isolation: Isolation,
}

impl Start {
    pub(super) fn new(spec: OffsetSpec, isolation: Isolation) -> Self {
        use sys::rd_kafka_OffsetSpec_t as Spec;
        let spec = match spec {
            OffsetSpec::Latest => Spec::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
            OffsetSpec::Earliest => Spec::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
            OffsetSpec::MaxTimestamp => Spec::RD_KAFKA_OFFSET_SPEC_MAX_TIMESTAMP as i64,
            OffsetSpec::Timestamp(time) => time,
        };
        Self { spec, isolation }
    }

    /// Where `auto.offset.reset` begins, if it says.
    pub(super) fn of_reset(reset: OffsetReset, read_committed: bool) -> Option<Self> {
        let isolation = match read_committed {
            true => Isolation::Committed,
            false => Isolation::Uncommitted,
        };
        match reset {
            OffsetReset::Latest => Some(Self::new(OffsetSpec::Latest, isolation)),
            OffsetReset::Earliest => Some(Self::new(OffsetSpec::Earliest, isolation)),
            OffsetReset::None => None,
        }
    }
}

/// Options of a request, freed when dropped.
pub(super) struct Options(*mut sys::rd_kafka_AdminOptions_t);

impl Options {
    pub(super) fn raw(&self) -> *const sys::rd_kafka_AdminOptions_t {
        self.0
    }

    pub(super) fn new(client: &Client, operation: Operation, timeout: Duration) -> Self {
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).clamp(1, 3_600_000);
        // SAFETY: the client is live; `Drop` frees the options. The range of the timeout is legal.
        let options = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client.raw(), operation);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout, ptr::null_mut(), 0);
            options
        };
        assert!(!options.is_null(), "the operation is one librdkafka knows");
        Self(options)
    }

    fn isolation(self, isolation: Isolation) -> Self {
        use sys::rd_kafka_IsolationLevel_t as Level;
        let level = match isolation {
            Isolation::Committed => Level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            Isolation::Uncommitted => Level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        };
        // SAFETY: the options are live and for an operation that has this option.
        let refused = unsafe { sys::rd_kafka_AdminOptions_set_isolation_level(self.0, level) };
        debug_assert!(refused.is_null(), "ListOffsets has an isolation level");
        self
    }

    /// Lets the controller wait until the brokers know of a change.
    fn wait_for_brokers(self, timeout: Duration) -> Self {
        let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).clamp(1, 30_000);
        // SAFETY: the options are live and for an operation that has this option.
        unsafe {
            let none = ptr::null_mut();
            sys::rd_kafka_AdminOptions_set_operation_timeout(self.0, timeout, none, 0);
        }
        self
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the options are ours; librdkafka copies what it needs of them.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0) }
    }
}

/// How soon it is seen that a broker refuses the client.
const LOOK: Duration = Duration::from_millis(100);

/// Waits for the reply to a request that `send` has put on its way.
pub(super) async fn ask(
    client: &Arc<Client>,
    what: &str,
    timeout: Duration,
    send: impl FnOnce(&Queue),
) -> Result<Event> {
    let queue = Queue::new(client);
    send(&queue);
    // librdkafka answers by itself at the timeout; the rest is for its threads to get there.
    let deadline = Instant::now() + timeout + Duration::from_secs(1);
    let event = loop {
        // librdkafka goes on asking a broker that refuses it.
        let look = Instant::now() + LOOK;
        if let Some(event) = queue.reply(deadline.min(look)).await {
            break event;
        }
        if Instant::now() >= deadline || client.context().check(what).is_err() {
            return Err(client.timed_out(what, timeout));
        }
    };
    match event.error() {
        None => Ok(event),
        Some((code, reason)) => Err(client.error(code, what, &reason)),
    }
}

/// Asks what the cluster is: a worker's first question, so that it says what it waits for.
pub(super) async fn describe_cluster(
    client: &Arc<Client>,
    timeout: Duration,
) -> Result<ClusterDescription> {
    const TELL: Duration = Duration::from_secs(10);
    let deadline = Instant::now() + timeout;
    let mut answer = pin!(ask_cluster(client, timeout));
    let error = loop {
        match timeout_at(Instant::now() + TELL, &mut answer).await {
            Ok(Ok(description)) => return Ok(description),
            Ok(Err(error)) => break error,
            Err(_) => tracing::warn!(
                "no broker of bootstrap.servers={} answers yet; giving up in {} s",
                client.bootstrap_servers(),
                deadline.saturating_duration_since(Instant::now()).as_secs_f32().round(),
            ),
        }
    };
    if !error.is_retriable() {
        return Err(error);
    }
    let remedy = "is a broker up, does bootstrap.servers name it, and is security.protocol that of \
                  its listener?";
    Err(error.context("remedy", remedy))
}

async fn ask_cluster(client: &Arc<Client>, timeout: Duration) -> Result<ClusterDescription> {
    let event = ask(client, "the cluster cannot be described", timeout, |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
        let options = Options::new(client, operation, timeout);
        // SAFETY: client, options and queue are live.
        unsafe { sys::rd_kafka_DescribeCluster(client.raw(), options.0, queue.raw()) }
    })
    .await?;
    // SAFETY: the event is a DescribeCluster result; what it lends is copied before it goes.
    Ok(unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event.raw());
        let controller = sys::rd_kafka_DescribeCluster_result_controller(result);
        let mut count = 0;
        let nodes = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        let mut nodes: Vec<_> = (0..count).map(|i| read_node(*nodes.add(i))).collect();
        nodes.sort_unstable_by_key(|node| node.id);
        ClusterDescription {
            id: text(sys::rd_kafka_DescribeCluster_result_cluster_id(result)),
            controller: (!controller.is_null()).then(|| sys::rd_kafka_Node_id(controller)),
            nodes,
        }
    })
}

/// # Safety
///
/// `node` must be live.
unsafe fn read_node(node: *const sys::rd_kafka_Node_t) -> Node {
    // SAFETY: the caller promises a live node; its texts are copied.
    unsafe {
        let rack = text(sys::rd_kafka_Node_rack(node));
        Node {
            id: sys::rd_kafka_Node_id(node),
            host: text(sys::rd_kafka_Node_host(node)),
            port: sys::rd_kafka_Node_port(node),
            rack: (!rack.is_empty()).then_some(rack),
        }
    }
}

pub(super) async fn describe_topics(
    client: &Arc<Client>,
    names: &[&str],
    timeout: Duration,
) -> Result<BTreeMap<String, i32>> {
    let event = ask(client, "topics cannot be described", timeout, |queue| {
        let names: Vec<CString> = names.iter().map(|name| c_string(name)).collect();
        let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = Options::new(client, operation, timeout);
        // SAFETY: all handles are live; librdkafka copies names and collection.
        unsafe {
            let array = names.as_mut_ptr();
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(array, names.len());
            sys::rd_kafka_DescribeTopics(client.raw(), topics, options.0, queue.raw());
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    })
    .await?;
    let mut described = BTreeMap::new();
    let mut count = 0;
    // SAFETY: the event is a DescribeTopics result; what it lends lives as long as it does.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.raw());
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for i in 0..count {
            let topic = *topics.add(i);
            let name = text(sys::rd_kafka_TopicDescription_name(topic));
            let failure = sys::rd_kafka_TopicDescription_error(topic);
            let code = if failure.is_null() { error::NONE } else { rd_kafka_error_code(failure) };
            if is_described(client, &name, code)? {
                let mut partitions = 0;
                sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                described.insert(name, i32::try_from(partitions).unwrap_or(i32::MAX));
            }
        }
    }
    Ok(described)
}

/// Whether a topic is there: a missing one is no error.
fn is_described(client: &Client, name: &str, code: i32) -> Result<bool> {
    const MISSING: &[Code] =
        &[Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC];
    match code {
        error::NONE => Ok(true),
        code if MISSING.iter().any(|missing| *missing as i32 == code) => Ok(false),
        code => Err(client.error(code, "the topic cannot be described", "").context("topic", name)),
    }
}

/// All topics and their partition counts.
pub(super) async fn all_topics(
    client: &Arc<Client>,
    timeout: Duration,
) -> Result<BTreeMap<String, i32>> {
    const TRY: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let asked = client.clone();
        let answer = off_thread(move || read_metadata(&asked, left.min(TRY))).await?;
        match answer {
            Ok(topics) => return Ok(topics),
            Err(e) if !e.is_retriable() || left <= TRY => return Err(e),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// All topics, by a call that blocks. On a consumer it also lets the group see new topics.
pub(super) fn read_metadata(client: &Client, timeout: Duration) -> Result<BTreeMap<String, i32>> {
    let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: the client is live; on success librdkafka hands over the metadata.
    let code = unsafe {
        sys::rd_kafka_metadata(client.raw(), 1, ptr::null_mut(), &raw mut metadata, timeout)
    } as i32;
    if code != error::NONE {
        return Err(client.error(code, "topics cannot be listed", ""));
    }
    let mut topics = BTreeMap::new();
    // SAFETY: the metadata are ours until they are destroyed, after the last read.
    unsafe {
        let count = usize::try_from((*metadata).topic_cnt).unwrap_or(0);
        for i in 0..count {
            let topic = (*metadata).topics.add(i);
            if error::read(&raw const (*topic).err) == error::NONE {
                topics.insert(text((*topic).topic), (*topic).partition_cnt);
            }
        }
        sys::rd_kafka_metadata_destroy(metadata);
    }
    Ok(topics)
}

/// A topic to create, in librdkafka's form.
struct Description(*mut sys::rd_kafka_NewTopic_t);

// SAFETY: the description is plain memory with one owner.
unsafe impl Send for Description {}

impl Description {
    fn new(topic: &NewTopic) -> Result<Self> {
        let name = c_string(&topic.name);
        let partitions = topic.partitions.unwrap_or(-1);
        let replicas = topic.replication_factor.map_or(-1, i32::from);
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: name and buffer are live; the result is freed by `Drop`.
        let new = unsafe {
            let (buffer, size) = (reason.as_mut_ptr(), reason.len());
            sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replicas, buffer, size)
        };
        if new.is_null() {
            // SAFETY: librdkafka wrote a C string into the buffer.
            let reason = unsafe { text(reason.as_ptr()) };
            return Err(Error::config(format!("the topic cannot be created: {reason}"))
                .context("topic", &topic.name));
        }
        let new = Self(new);
        for (key, value) in &topic.configs {
            let (key, value) = (c_string(key), c_string(value));
            // SAFETY: the description is live; librdkafka copies both strings.
            unsafe { sys::rd_kafka_NewTopic_set_config(new.0, key.as_ptr(), value.as_ptr()) };
        }
        Ok(new)
    }

    /// The array of one that the request wants.
    fn array(&mut self) -> *mut *mut sys::rd_kafka_NewTopic_t {
        &raw mut self.0
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: the description is ours.
        unsafe { sys::rd_kafka_NewTopic_destroy(self.0) }
    }
}

pub(super) async fn create_topic(
    client: &Arc<Client>,
    topic: &NewTopic,
    timeout: Duration,
) -> Result<()> {
    const WHAT: &str = "the topic cannot be created";
    let mut description = Description::new(topic)?;
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        let options = Options::new(client, operation, timeout).wait_for_brokers(timeout);
        let array = description.array();
        // SAFETY: all handles are live; librdkafka copies the description.
        unsafe { sys::rd_kafka_CreateTopics(client.raw(), array, 1, options.0, queue.raw()) }
    })
    .await
    .map_err(|e| e.context("topic", &topic.name))?;
    // SAFETY: the event is a CreateTopics result.
    let failure = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_CreateTopics_result(event.raw());
        let topics = sys::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        first_failure(topics, count)
    };
    match failure {
        None => Ok(()),
        Some((code, reason)) => {
            Err(client.error(code, WHAT, &reason).context("topic", &topic.name))
        }
    }
}

pub(super) async fn delete_topic(
    client: &Arc<Client>,
    topic: &str,
    timeout: Duration,
) -> Result<()> {
    const WHAT: &str = "the topic cannot be deleted";
    let name = c_string(topic);
    let event = ask(client, WHAT, timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS;
        let options = Options::new(client, operation, timeout).wait_for_brokers(timeout);
        // SAFETY: all handles are live; librdkafka copies the request, which is then freed.
        unsafe {
            let mut request = sys::rd_kafka_DeleteTopic_new(name.as_ptr());
            let array = &raw mut request;
            sys::rd_kafka_DeleteTopics(client.raw(), array, 1, options.0, queue.raw());
            sys::rd_kafka_DeleteTopic_destroy(request);
        }
    })
    .await
    .map_err(|e| e.context("topic", topic))?;
    // SAFETY: the event is a DeleteTopics result.
    let failure = unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_DeleteTopics_result(event.raw());
        let topics = sys::rd_kafka_DeleteTopics_result_topics(result, &raw mut count);
        first_failure(topics, count)
    };
    match failure {
        None => Ok(()),
        Some((code, _)) if code == Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32 => {
            let error = Error::new(ErrorKind::NotFound, "the topic to delete does not exist");
            Err(error.context("topic", topic))
        }
        Some((code, reason)) => Err(client.error(code, WHAT, &reason).context("topic", topic)),
    }
}

/// # Safety
///
/// `topics` must hold `count` live results.
unsafe fn first_failure(
    topics: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> Option<(i32, String)> {
    (0..count).find_map(|i| {
        // SAFETY: the caller promises `count` live results.
        unsafe {
            let topic = *topics.add(i);
            match rd_kafka_topic_result_error(topic) {
                error::NONE => None,
                code => Some((code, text(sys::rd_kafka_topic_result_error_string(topic)))),
            }
        }
    })
}

/// The offset at one end of each partition.
pub(super) async fn list_offsets(
    client: &Arc<Client>,
    partitions: &[TopicPartition],
    start: Start,
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, i64>> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = PartitionList::new(partitions.iter().map(|p| (p, start.spec)));
    let event = ask(client, "offsets cannot be listed", timeout, move |queue| {
        let operation = Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        let options = Options::new(client, operation, timeout);
        let options = options.isolation(start.isolation);
        // SAFETY: all handles are live; librdkafka copies the list.
        unsafe { sys::rd_kafka_ListOffsets(client.raw(), list.raw(), options.0, queue.raw()) }
    })
    .await?;
    let mut listed = Vec::new();
    // SAFETY: the event is a ListOffsets result; what it lends lives as long as it does.
    unsafe {
        let mut count = 0;
        let result = sys::rd_kafka_event_ListOffsets_result(event.raw());
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        for i in 0..count {
            let entry = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(i));
            let partition = TopicPartition::new(text((*entry).topic), (*entry).partition);
            listed.push((partition, (*entry).offset, error::read(&raw const (*entry).err)));
        }
    }
    offsets(client, listed, "the partition's offset cannot be listed")
}

/// The offsets of an answer, unless one of its partitions failed.
pub(super) fn offsets(
    client: &Client,
    listed: Vec<(TopicPartition, i64, i32)>,
    what: &str,
) -> Result<BTreeMap<TopicPartition, i64>> {
    let mut offsets = BTreeMap::new();
    for (partition, offset, code) in listed {
        if code != error::NONE {
            return Err(client.error(code, what, "").context("partition", partition));
        }
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

/// Commits a group's offsets from one of its members.
pub(super) async fn commit(
    client: &Arc<Client>,
    offsets: &BTreeMap<TopicPartition, i64>,
    timeout: Duration,
) -> Result<()> {
    const WHAT: &str = "offsets were not committed";
    let list = PartitionList::new(offsets.iter().map(|(p, offset)| (p, *offset)));
    let queue = Queue::new(client);
    // SAFETY: all handles are live; librdkafka copies the list. Without a callback the answer is
    // an event on the queue.
    let code = unsafe {
        let (raw, list) = (client.raw(), list.raw());
        sys::rd_kafka_commit_queue(raw, list, queue.raw(), None, ptr::null_mut())
    } as i32;
    if code != error::NONE {
        return Err(client.error(code, WHAT, ""));
    }
    let Some(event) = queue.reply(Instant::now() + timeout).await else {
        return Err(client.timed_out(WHAT, timeout));
    };
    // The whole may fail because of one partition, so the partitions' own errors come first.
    // SAFETY: the event is the answer to a commit; its list lives as long as it does.
    let answers = unsafe { read_list(sys::rd_kafka_event_topic_partition_list(event.raw())) };
    for (partition, offset, code) in answers {
        if code != error::NONE {
            let error = client.error(code, WHAT, "");
            return Err(error.context("partition", partition).context("offset", offset));
        }
    }
    match event.error() {
        None => Ok(()),
        Some((code, _)) => Err(client.error(code, WHAT, "")),
    }
}
