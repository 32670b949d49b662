//! Decides who owns librdkafka's handles and how its threads reach ours: one client, its queues
//! with their wake-ups, partition lists, logs.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millrace_api::{Error, Result, TopicPartition};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::context::Context;
use super::error::{self, rd_kafka_event_error, text};
use super::settings::{Setting, Settings};
use super::{brokers, delivery, producer, rebalance, trouble};
use crate::properties::Role;

/// A librdkafka client. Its threads live until the last owner drops it; the end of them is waited
/// for on a thread of its own, since that may take a while.
pub(super) struct Client {
    raw: NonNull<sys::rd_kafka_t>,
    context: Arc<Context>,
    bootstrap_servers: String,
}

// SAFETY: librdkafka's handle may be used from any thread, and from several at once.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("bootstrap_servers", &self.bootstrap_servers).finish()
    }
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Arc<Self>> {
        let conf = Conf::new(settings)?;
        let bootstrap_servers =
            CString::new(settings.bootstrap_servers.as_str()).map_err(|_| {
                Error::config(
                    "Invalid value for configuration bootstrap.servers: it holds a zero byte",
                )
            })?;
        let context = Arc::new(Context::new(bootstrap_servers));
        let kind = match settings.role {
            Role::Consumer => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            Role::Producer | Role::Admin => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
        };
        let mut reason = [0; 512];
        // SAFETY: `conf` is a live configuration. The context outlives the client: it is dropped
        // by `Drop` after the client's threads have ended. On success the client owns the conf.
        let raw = unsafe {
            sys::rd_kafka_conf_set_opaque(conf.0, Arc::as_ptr(&context).cast_mut().cast());
            sys::rd_kafka_new(kind, conf.0, reason.as_mut_ptr(), reason.len())
        };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: librdkafka wrote a C string into the buffer.
            let reason = trouble::in_java_words(&unsafe { text(reason.as_ptr()) });
            return Err(Error::config(format!("the Kafka client cannot be made: {reason}"))
                .context("bootstrap.servers", &settings.bootstrap_servers));
        };
        std::mem::forget(conf);
        if settings.role == Role::Consumer {
            // SAFETY: the client is a live consumer.
            unsafe { sys::rd_kafka_poll_set_consumer(raw.as_ptr()) };
        }
        let bootstrap_servers = settings.bootstrap_servers.clone();
        Ok(Arc::new(Self { raw, context, bootstrap_servers }))
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_t {
        self.raw.as_ptr()
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// An error that says which servers were asked and what went wrong with them last.
    pub(super) fn error(&self, code: i32, what: &str, reason: &str) -> Error {
        if let Err(refusal) = self.context.check(what) {
            return refusal.context("bootstrap.servers", &self.bootstrap_servers);
        }
        let error = error::error(code, what, reason);
        if !error.is_retriable() {
            return error;
        }
        let error = error.context("bootstrap.servers", &self.bootstrap_servers);
        match self.context.last_trouble() {
            trouble if trouble.is_empty() => error,
            trouble => error.context("last trouble", trouble),
        }
    }

    pub(super) fn timed_out(&self, what: &str, after: Duration) -> Error {
        let reason = format!("no answer within {} ms", after.as_millis());
        self.error(Code::RD_KAFKA_RESP_ERR__TIMED_OUT as i32, what, &reason)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.context.set_closing();
        let end = End { raw: self.raw, _context: self.context.clone() };
        // Without a thread the client leaks, which is better than a stuck worker.
        let _ = thread::Builder::new().name("kafka-close".to_owned()).spawn(move || end.run());
    }
}

/// A client whose threads remain to be ended.
struct End {
    raw: NonNull<sys::rd_kafka_t>,
    _context: Arc<Context>,
}

// SAFETY: as for `Client`; `End` is the only owner left.
unsafe impl Send for End {}

impl End {
    fn run(self) {
        // SAFETY: nobody else holds the handle any more; a consumer leaves its group in here.
        unsafe { sys::rd_kafka_destroy(self.raw.as_ptr()) }
    }
}

/// A configuration that nobody owns yet.
struct Conf(*mut sys::rd_kafka_conf_t);

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: the conf has not been handed to a client, or this would have been forgotten.
        unsafe { sys::rd_kafka_conf_destroy(self.0) }
    }
}

impl Conf {
    fn new(settings: &Settings) -> Result<Self> {
        // SAFETY: allocates a configuration, which `Drop` frees.
        let conf = Self(unsafe { sys::rd_kafka_conf_new() });
        for setting in &settings.librdkafka {
            conf.set(setting)?;
        }
        // SAFETY: the conf is live and the callbacks have the signatures librdkafka asks for.
        unsafe {
            sys::rd_kafka_conf_set_log_cb(conf.0, Some(on_log));
            sys::rd_kafka_conf_set_ssl_cert_verify_cb(conf.0, Some(trouble::on_certificate));
            match settings.role {
                Role::Admin => {}
                Role::Producer => {
                    let events = sys::RD_KAFKA_EVENT_DR
                        | sys::RD_KAFKA_EVENT_ERROR
                        | sys::RD_KAFKA_EVENT_STATS;
                    sys::rd_kafka_conf_set_events(conf.0, events);
                    let topic = sys::rd_kafka_conf_get_default_topic_conf(conf.0);
                    assert!(!topic.is_null(), "acks made a topic configuration");
                    sys::rd_kafka_topic_conf_set_partitioner_cb(
                        topic,
                        Some(producer::on_partition),
                    );
                }
                Role::Consumer => {
                    sys::rd_kafka_conf_set_error_cb(conf.0, Some(on_error));
                    sys::rd_kafka_conf_set_stats_cb(conf.0, Some(brokers::on_statistics));
                    sys::rd_kafka_conf_set_rebalance_cb(conf.0, Some(rebalance::on_rebalance));
                }
            }
        }
        Ok(conf)
    }

    fn set(&self, setting: &Setting) -> Result<()> {
        let refused = |why: &str| {
            let value = if setting.secret { "[hidden]" } else { &setting.value };
            Error::config(format!(
                "Invalid value {value} for configuration {}: {why}",
                setting.java_key
            ))
        };
        let name = CString::new(setting.name).expect("names of settings hold no zero byte");
        let Ok(value) = CString::new(setting.value.as_str()) else {
            return Err(refused("it holds a zero byte"));
        };
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: the conf is live; name, value and buffer outlive the call.
        let result = unsafe {
            let (buffer, size) = (reason.as_mut_ptr(), reason.len());
            sys::rd_kafka_conf_set(self.0, name.as_ptr(), value.as_ptr(), buffer, size)
        };
        if result == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        if setting.secret {
            // librdkafka's reason repeats the value.
            return Err(refused("librdkafka refuses it"));
        }
        // SAFETY: librdkafka wrote a C string into the buffer.
        Err(refused(&unsafe { text(reason.as_ptr()) }))
    }
}

/// A queue of replies or records that wakes a task.
pub(super) struct Queue {
    raw: NonNull<sys::rd_kafka_queue_t>,
    wake: Arc<Notify>,
    // After the queue in the order of dropping: librdkafka wants queues gone before the client.
    client: Arc<Client>,
}

// SAFETY: queues are locked inside librdkafka and may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A new queue, for replies.
    pub(super) fn new(client: &Arc<Client>) -> Self {
        // SAFETY: the client is live.
        let raw = unsafe { sys::rd_kafka_queue_new(client.raw()) };
        Self::wrap(raw, client)
    }

    /// The queue on which a consumer gets records, errors and rebalances.
    pub(super) fn of_consumer(client: &Arc<Client>) -> Self {
        // SAFETY: the client is a live consumer with a group, so it has this queue.
        let raw = unsafe { sys::rd_kafka_queue_get_consumer(client.raw()) };
        Self::wrap(raw, client)
    }

    /// The queue on which a producer gets delivery reports and errors.
    pub(super) fn of_producer(client: &Arc<Client>) -> Self {
        // SAFETY: the client is live.
        let raw = unsafe { sys::rd_kafka_queue_get_main(client.raw()) };
        Self::wrap(raw, client)
    }

    fn wrap(raw: *mut sys::rd_kafka_queue_t, client: &Arc<Client>) -> Self {
        let raw = NonNull::new(raw).expect("librdkafka allocates a queue or aborts");
        let wake = Arc::new(Notify::new());
        // SAFETY: the notifier lives until `Drop` has taken the callback off again.
        unsafe {
            let opaque = Arc::as_ptr(&wake).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(on_ready), opaque);
        }
        Self { raw, wake, client: client.clone() }
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Returns when something was put into the empty queue, or at the deadline.
    pub(super) async fn wait(&self, deadline: Instant) {
        let _ = timeout_at(deadline, self.wake.notified()).await;
    }

    /// The next reply, if it comes in time.
    pub(super) async fn reply(&self, deadline: Instant) -> Option<Event> {
        loop {
            if let Some(event) = self.poll(Duration::ZERO) {
                return Some(event);
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.wait(deadline).await;
        }
    }

    /// The next event; blocks the thread for at most `timeout`.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Event> {
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is live; the event belongs to us.
        let event = unsafe { sys::rd_kafka_queue_poll(self.raw(), timeout) };
        NonNull::new(event).map(Event)
    }

    /// Ends a `poll` on another thread early.
    pub(super) fn interrupt(&self) {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_yield(self.raw()) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is live; once the callback is off, librdkafka (which calls it with the
        // queue locked) does not touch the notifier again.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.raw(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.raw());
        }
    }
}

/// An event taken from a queue.
pub(super) struct Event(NonNull<sys::rd_kafka_event_t>);

// SAFETY: an event belongs to whoever took it and is tied to no thread.
unsafe impl Send for Event {}
// SAFETY: reading an event does not change it; the one call that does takes `&mut`.
unsafe impl Sync for Event {}

impl Event {
    pub(super) fn raw(&self) -> *mut sys::rd_kafka_event_t {
        self.0.as_ptr()
    }

    pub(super) fn kind(&self) -> i32 {
        // SAFETY: the event is live.
        unsafe { sys::rd_kafka_event_type(self.raw()) }
    }

    /// The client's statistics, JSON; empty for other events.
    pub(super) fn statistics(&self) -> String {
        // SAFETY: the event is live; its statistics live as long.
        unsafe { text(sys::rd_kafka_event_stats(self.raw())) }
    }

    /// The event's error code and reason, if it failed as a whole.
    pub(super) fn error(&self) -> Option<(i32, String)> {
        // SAFETY: the event is live; its reason lives as long.
        unsafe {
            match rd_kafka_event_error(self.raw()) {
                error::NONE => None,
                code => Some((code, text(sys::rd_kafka_event_error_string(self.raw())))),
            }
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and nothing borrowed from it is left.
        unsafe { sys::rd_kafka_event_destroy(self.raw()) }
    }
}

/// Topic partitions with offsets, in librdkafka's form.
pub(super) struct PartitionList(NonNull<sys::rd_kafka_topic_partition_list_t>);

// SAFETY: the list is plain memory with one owner.
unsafe impl Send for PartitionList {}

impl PartitionList {
    pub(super) fn new<'a>(items: impl IntoIterator<Item = (&'a TopicPartition, i64)>) -> Self {
        // SAFETY: allocates a list, which `Drop` frees.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(0) };
        let list = Self(NonNull::new(list).expect("librdkafka allocates a list or aborts"));
        for (partition, offset) in items {
            list.add(&partition.topic, partition.partition, offset);
        }
        list
    }

    pub(super) fn of_topics<'a>(topics: impl IntoIterator<Item = &'a str>) -> Self {
        let list = Self::new([]);
        for topic in topics {
            list.add(topic, -1, i64::from(sys::RD_KAFKA_OFFSET_INVALID));
        }
        list
    }

    fn add(&self, topic: &str, partition: i32, offset: i64) {
        let name = c_string(topic);
        // SAFETY: the list is live, and the entry it returns is until the next one is added.
        unsafe {
            let entry =
                sys::rd_kafka_topic_partition_list_add(self.raw(), name.as_ptr(), partition);
            (*entry).offset = offset;
        }
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(super) fn read(&self) -> Vec<(TopicPartition, i64, i32)> {
        // SAFETY: the list is live.
        unsafe { read_list(self.raw()) }
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: the list is ours.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.raw()) }
    }
}

/// Copies a list: partition, offset and error code of each entry.
///
/// # Safety
///
/// `list` must be null or a live list.
pub(super) unsafe fn read_list(
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> Vec<(TopicPartition, i64, i32)> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a live list has `cnt` entries, whose topics are C strings.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count)
            .map(|i| {
                let entry = (*list).elems.add(i);
                let partition = TopicPartition::new(text((*entry).topic), (*entry).partition);
                (partition, (*entry).offset, error::read(&raw const (*entry).err))
            })
            .collect()
    }
}

/// A name as C wants it. Kafka's names hold no zero byte; what follows one is cut off, and the
/// broker then does not know the name.
pub(super) fn c_string(name: &str) -> CString {
    let end = name.bytes().position(|byte| byte == 0).unwrap_or(name.len());
    CString::new(&name[..end]).expect("the zero byte has been cut off")
}

/// Runs a call that blocks on a thread of its own, so that neither a worker thread nor the end of
/// the runtime waits for it. For rare calls: each makes a thread.
pub(super) async fn off_thread<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        let _ = sender.send(call());
    };
    thread::Builder::new()
        .name("kafka-call".to_owned())
        .spawn(run)
        .map_err(|e| Error::retriable("no thread for a call to Kafka").with_source(e))?;
    receiver.await.map_err(|e| Error::fatal("a call to Kafka panicked").with_source(e))
}

/// librdkafka calls this when a queue is no longer empty.
unsafe extern "C" fn on_ready(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `Queue` keeps its notifier alive while the callback is set.
    let wake = unsafe { &*opaque.cast::<Notify>() };
    wake.notify_one();
}

/// librdkafka reports errors that concern the client as a whole.
unsafe extern "C" fn on_error(
    raw: *mut sys::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque pointer is the client's context, which outlives it; the reason is a C
    // string that is copied here.
    let (context, reason) = unsafe { (&*opaque.cast::<Context>(), text(reason)) };
    note_error(raw, context, code, reason);
}

/// Logs an error of the client as a whole and keeps it if it lasts.
pub(super) fn note_error(raw: *mut sys::rd_kafka_t, context: &Context, code: i32, reason: String) {
    let refusal = trouble::refusal(&reason);
    let mut told = (code, trouble::in_java_words(&reason));
    if code == Code::RD_KAFKA_RESP_ERR__FATAL as i32 {
        let mut buffer: [c_char; 512] = [0; 512];
        // SAFETY: the client is live, as it is reporting; the buffer receives a C string.
        let cause =
            unsafe { sys::rd_kafka_fatal_error(raw, buffer.as_mut_ptr(), buffer.len()) } as i32;
        // SAFETY: as above.
        let cause_reason = unsafe { text(buffer.as_ptr()) };
        told = (code, format!("{}: {cause_reason}", error::describe(cause)));
    }
    let kind = error::describe(told.0);
    context.warn(&kind, &format!("{kind}: {}", told.1));
    match refusal {
        Some((code, reason)) => context.refuse(code, reason),
        None => context.note(told.0, told.1),
    }
}

/// librdkafka logs, from any of its threads.
unsafe extern "C" fn on_log(
    raw: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: both are C strings that live during the call.
    let (facility, line) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(line)) };
    let (facility, words) = (facility.to_string_lossy(), line.to_string_lossy());
    let line = trouble::in_java_words(&words);
    // SAFETY: a client that logs is live; its opaque pointer is our context, set before it began.
    let context = unsafe { sys::rd_kafka_opaque(raw).cast::<Context>().as_ref() };
    match (level, context) {
        (..=3, Some(context)) => {
            // A refusal is another kind of trouble than what passes.
            let kind = match trouble::refusal(&words) {
                Some((code, reason)) => {
                    context.refuse(code, reason);
                    format!("{facility} {code}")
                }
                None => {
                    context.remember(line.clone());
                    facility.to_string()
                }
            };
            context.warn(&kind, &format!("{facility}: {line}"));
        }
        (4, Some(context)) => context.warn(&facility, &format!("{facility}: {line}")),
        (..=4, None) => {
            tracing::warn!(target: "millrace_kafka::librdkafka", "{facility}: {line}");
        }
        (5 | 6, _) => {
            tracing::debug!(target: "millrace_kafka::librdkafka", "{facility}: {line}");
        }
        _ => tracing::trace!(target: "millrace_kafka::librdkafka", "{facility}: {line}"),
    }
}

/// Settles what a producer's event says. Errors go to the context.
pub(super) fn on_event(queue: &Queue, delivery: &delivery::Delivery, event: &Event) {
    match event.kind() {
        sys::RD_KAFKA_EVENT_DR => delivery.settle_reports(event, queue.client()),
        sys::RD_KAFKA_EVENT_ERROR => {
            if let Some((code, reason)) = event.error() {
                note_error(queue.client().raw(), queue.client().context(), code, reason);
            }
        }
        // SAFETY: the queue keeps its client alive.
        sys::RD_KAFKA_EVENT_STATS => unsafe {
            brokers::keep(queue.client().raw(), queue.client().context(), &event.statistics());
        },
        _ => {}
    }
}
