//! Decides how a run is handed to librdkafka: a chunk a call while there is room, in order, and a
//! wait when there is none.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray};
use async_trait::async_trait;
use millrace_api::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use tokio::time::{Instant, timeout_at};

use super::delivery::{self, Delivery, Load, Outcome, Run};
use super::error::{self, rd_kafka_error_code};
use super::native::{Client, Queue, c_string, off_thread};
use super::settings::{Pace, Settings};
use super::transaction::{self, Operation};
use crate::partitioner::partition_of;
use crate::{Acknowledge, Outgoing, Producer, RawHeaders};

/// As many records are handed over in one call.
const CHUNK: usize = 1_024;

const QUEUE_FULL: i32 = Code::RD_KAFKA_RESP_ERR__QUEUE_FULL as i32;

/// A producer on librdkafka.
pub(super) struct RdKafkaProducer {
    topics: HashMap<Arc<str>, Topic>,
    chunk: Chunk,
    keyless: i32,
    max_block: Duration,
    pace: Pace,
    delivery: Arc<Delivery>,
    queue: Arc<Queue>,
    client: Arc<Client>,
}

impl RdKafkaProducer {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let client = Client::new(settings)?;
        let queue = Arc::new(Queue::of_producer(&client));
        let delivery = Arc::new(Delivery::default());
        delivery::start(queue.clone(), delivery.clone())?;
        // Producers that start together spread their first runs.
        let keyless = (client.raw().addr() >> 6) as i32;
        let (max_block, pace) = (settings.max_block, settings.pace);
        let (topics, chunk) = (HashMap::new(), Chunk::default());
        Ok(Self { topics, chunk, keyless, max_block, pace, delivery, queue, client })
    }

    fn open(&mut self, name: &Arc<str>) -> Result<()> {
        if self.topics.contains_key(name) {
            return Ok(());
        }
        let c_name = c_string(name);
        // SAFETY: the client is live; the handle is freed by `Topic`.
        let topic =
            unsafe { sys::rd_kafka_topic_new(self.client.raw(), c_name.as_ptr(), ptr::null_mut()) };
        let Some(topic) = NonNull::new(topic) else {
            // SAFETY: reads this thread's last error.
            let code = unsafe { sys::rd_kafka_last_error() } as i32;
            let error = self.client.error(code, "the topic cannot be opened", "");
            return Err(error.context("topic", name));
        };
        let load = Arc::new(Load::new(name.clone()));
        self.topics.insert(name.clone(), Topic { handle: topic, load });
        Ok(())
    }

    fn topic(&self, records: &Outgoing) -> &Topic {
        self.topics.get(&records.topic).expect("the send has opened the topic")
    }

    /// Hands these rows over, as long as there is room. Returns the first row that did not find
    /// any; rows refused for other reasons are settled.
    fn enqueue(&mut self, records: &Outgoing, rows: Range<usize>, run: &Arc<Run>) -> usize {
        let topic = self.topic(records).handle.as_ptr();
        let mut next = rows.start;
        while next < rows.end {
            // The first row of a run without keys shows where the others go: asking librdkafka's
            // partitioner for each costs more than to hand the row over.
            let end = if run.is_keyless && next == 0 { 1 } else { rows.end.min(next + CHUNK) };
            let reached = if is_plain(records) {
                self.enqueue_chunk(topic, records, next..end, run)
            } else {
                self.enqueue_each(topic, records, next..end, run)
            };
            next = reached;
            if reached < end {
                break;
            }
        }
        next
    }

    /// Rows without timestamps and headers go over in one call.
    fn enqueue_chunk(
        &mut self,
        topic: *mut sys::rd_kafka_topic_t,
        records: &Outgoing,
        rows: Range<usize>,
        run: &Arc<Run>,
    ) -> usize {
        let messages = &mut self.chunk.0;
        messages.clear();
        messages.extend(rows.clone().map(|row| {
            let (payload, len) = bytes(&records.values, row);
            let (key, key_len) = bytes(&records.keys, row);
            sys::rd_kafka_message_t {
                err: Code::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition: 0,
                payload,
                len,
                key,
                key_len,
                offset: 0,
                _private: run.opaque(),
            }
        }));
        let partition = run.partition();
        let count = i32::try_from(messages.len()).expect("a chunk is short");
        let copy = sys::RD_KAFKA_MSG_F_COPY;
        // SAFETY: the topic is live; librdkafka copies keys and values before it returns. The run
        // is alive while records of it are unsettled.
        let good = unsafe {
            sys::rd_kafka_produce_batch(topic, partition, copy, messages.as_mut_ptr(), count)
        };
        if good == count {
            return rows.end;
        }
        let mut refused = Refused::new(&self.delivery, run);
        for (row, message) in rows.clone().zip(&self.chunk.0) {
            // SAFETY: librdkafka has set the field.
            match unsafe { error::read(&raw const message.err) } {
                error::NONE => {}
                // Once the queue is full, librdkafka takes nothing more of the batch: what
                // follows is sent again from here, so that the order holds.
                QUEUE_FULL => return row,
                code => refused.add(code),
            }
        }
        rows.end
    }

    /// Rows with timestamps or headers need a call each.
    fn enqueue_each(
        &self,
        topic: *mut sys::rd_kafka_topic_t,
        records: &Outgoing,
        rows: Range<usize>,
        run: &Arc<Run>,
    ) -> usize {
        let mut refused = Refused::new(&self.delivery, run);
        for row in rows.clone() {
            match produce(&self.client, topic, records, row, run) {
                error::NONE => {}
                QUEUE_FULL => return row,
                code => refused.add(code),
            }
        }
        rows.end
    }
}

impl Drop for RdKafkaProducer {
    fn drop(&mut self) {
        self.delivery.close(&self.queue);
    }
}

#[async_trait]
impl Producer for RdKafkaProducer {
    async fn send(&mut self, records: &Outgoing, ack: Arc<dyn Acknowledge>) -> Result<()> {
        let total = records.values.len();
        if total == 0 {
            return Ok(());
        }
        self.client.context().check("records cannot be sent")?;
        self.open(&records.topic)?;
        self.keyless = self.keyless.wrapping_add(1);
        let load = self.topic(records).load.clone();
        let run = self.delivery.begin(ack, load, records, self.keyless);
        let mut rest = Rest { delivery: self.delivery.clone(), run: run.clone(), left: total };
        let deadline = Instant::now() + self.max_block;
        let most = most(self.pace, records);
        let mut next = 0;
        let mut pace_ends = Instant::now() + PACE;
        loop {
            // A cluster that does not answer is no reason to leave the buffer empty.
            let is_paced = Instant::now() < pace_ends.min(deadline);
            let most = if is_paced { most } else { usize::MAX };
            let on_their_way = run.load().records() - (total - next);
            let room = most.saturating_mul(run.load().partitions()).saturating_sub(on_their_way);
            let end = total.min(next.saturating_add(room.min(CHUNK)));
            let reached = self.enqueue(records, next..end, &run);
            rest.left = total - reached;
            if reached == total {
                return Ok(());
            }
            if reached > next {
                pace_ends = Instant::now() + PACE;
            }
            let is_full = reached < end;
            let has_moved = reached > next;
            next = reached;
            if has_moved && !is_full {
                continue;
            }
            if is_full && Instant::now() >= deadline {
                let error = self.full();
                if next == 0 {
                    rest.withdraw();
                    return Err(error);
                }
                // A part is taken over already, so the rest can only be reported.
                rest.fail(&error);
                return Ok(());
            }
            // Room is made by reports; the second look covers one that came in between.
            let look = Instant::now() + Duration::from_millis(200);
            let _ = timeout_at(deadline.min(look), self.delivery.progress.notified()).await;
        }
    }

    async fn flush(&mut self, timeout: Duration) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(250);
        let deadline = Instant::now() + timeout.min(Duration::from_secs(365 * 24 * 3600));
        loop {
            let unsettled = self.delivery.unsettled();
            if unsettled == 0 {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = self.client.timed_out("records are not acknowledged", timeout);
                return Err(error.context("records", unsettled));
            }
            // While it waits in there, librdkafka sends without lingering.
            let client = self.client.clone();
            let millis = i32::try_from(left.min(SLICE).as_millis()).unwrap_or(0).max(1);
            // SAFETY: the client is live; reports are settled by their own thread.
            off_thread(move || unsafe { sys::rd_kafka_flush(client.raw(), millis) }).await?;
            if self.delivery.unsettled() > 0 {
                let look = Instant::now() + Duration::from_millis(10);
                let _ = timeout_at(look, self.delivery.progress.notified()).await;
            }
        }
    }

    async fn init_transactions(&mut self, timeout: Duration) -> Result<()> {
        transaction::run(&self.client, Operation::Init, timeout).await
    }

    fn begin_transaction(&mut self) -> Result<()> {
        transaction::begin(&self.client)
    }

    async fn commit_transaction(&mut self, timeout: Duration) -> Result<()> {
        transaction::run(&self.client, Operation::Commit, timeout).await
    }

    async fn abort_transaction(&mut self, timeout: Duration) -> Result<()> {
        // Where the coordinator is still ending the transaction before, it has not yet taken the
        // partitions of this one: librdkafka would ask it to end what it does not know, and be over
        // (INVALID_TXN_STATE). Records that are written are known; others go with the abort.
        let _ = self.flush(timeout.min(transaction::SHORTEST)).await;
        transaction::run(&self.client, Operation::Abort, timeout).await
    }
}

impl RdKafkaProducer {
    fn full(&self) -> Error {
        let reason = "there is no room for the records; see buffer.memory and max.block.ms";
        self.client.error(QUEUE_FULL, "records cannot be sent", reason)
    }
}

fn is_plain(records: &Outgoing) -> bool {
    records.headers.is_empty()
        && records.timestamps.as_ref().is_none_or(|times| times.iter().all(|time| *time < 0))
}

fn bytes(column: &BinaryViewArray, row: usize) -> (*mut c_void, usize) {
    if column.is_null(row) {
        return (ptr::null_mut(), 0);
    }
    let bytes = column.value(row);
    (bytes.as_ptr().cast_mut().cast(), bytes.len())
}

/// Hands one row over with its timestamp and headers; returns librdkafka's code.
fn produce(
    client: &Client,
    topic: *mut sys::rd_kafka_topic_t,
    records: &Outgoing,
    row: usize,
    run: &Arc<Run>,
) -> i32 {
    use sys::rd_kafka_vtype_t as Kind;
    type Value = sys::rd_kafka_vu_s__bindgen_ty_1;
    let memory = |column: &BinaryViewArray| {
        let (ptr, size) = bytes(column, row);
        Value { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
    };
    let headers = records.headers.get(row).map_or(ptr::null_mut(), native_headers);
    let timestamp = records.timestamps.as_ref().map_or(-1, |times| times[row]);
    // librdkafka reads 0 as "now", and has no way to say 1 January 1970 itself.
    let timestamp = timestamp.max(0);
    let argument = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
    let arguments = [
        argument(Kind::RD_KAFKA_VTYPE_RKT, Value { rkt: topic }),
        argument(Kind::RD_KAFKA_VTYPE_PARTITION, Value { i32_: run.partition() }),
        argument(Kind::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: sys::RD_KAFKA_MSG_F_COPY }),
        argument(Kind::RD_KAFKA_VTYPE_KEY, memory(&records.keys)),
        argument(Kind::RD_KAFKA_VTYPE_VALUE, memory(&records.values)),
        argument(Kind::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: run.opaque() }),
        argument(Kind::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: timestamp }),
        argument(Kind::RD_KAFKA_VTYPE_HEADERS, Value { headers }),
    ];
    let count = if headers.is_null() { arguments.len() - 1 } else { arguments.len() };
    // SAFETY: each argument has the field that its kind reads; key and value are copied before the
    // call returns. The headers are librdkafka's after a success and ours after a failure.
    unsafe {
        let failure = sys::rd_kafka_produceva(client.raw(), arguments.as_ptr(), count);
        if failure.is_null() {
            return error::NONE;
        }
        let code = rd_kafka_error_code(failure);
        sys::rd_kafka_error_destroy(failure);
        if !headers.is_null() {
            sys::rd_kafka_headers_destroy(headers);
        }
        code
    }
}

fn native_headers(headers: &RawHeaders) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return ptr::null_mut();
    }
    // SAFETY: librdkafka copies names and values into the list it allocates here.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let (bytes, size) = match value {
                Some(value) => (value.as_ptr().cast(), isize_of(value.len())),
                None => (ptr::null(), 0),
            };
            let (name, length) = (name.as_ptr().cast(), isize_of(name.len()));
            sys::rd_kafka_header_add(list, name, length, bytes, size);
        }
        list
    }
}

fn isize_of(length: usize) -> isize {
    isize::try_from(length).expect("no slice is longer than isize::MAX")
}

/// librdkafka asks for the partition of a record: on our thread, or on its own once it has heard
/// how many partitions there are.
pub(super) unsafe extern "C" fn on_partition(
    topic: *const sys::rd_kafka_topic_t,
    key: *const c_void,
    key_length: usize,
    partitions: i32,
    _: *mut c_void,
    opaque: *mut c_void,
) -> i32 {
    // SAFETY: the record is not settled yet, so its run is alive.
    let run = unsafe { Run::of(opaque) };
    run.spread(partitions);
    if !key.is_null() {
        // SAFETY: the key lives during the call.
        let key = unsafe { std::slice::from_raw_parts(key.cast::<u8>(), key_length) };
        return partition_of(key, partitions);
    }
    // Records that have waited for the topic's metadata follow the first of their run, whatever
    // partitions have found a leader since.
    if let chosen @ 0.. = run.partition() {
        return chosen;
    }
    let first = run.keyless.rem_euclid(partitions);
    let mut candidates = (first..partitions).chain(0..first);
    // SAFETY: librdkafka allows this call from a partitioner, and only there.
    let available = |p: &i32| unsafe { sys::rd_kafka_topic_partition_available(topic, *p) } != 0;
    let chosen = candidates.find(available).unwrap_or(first);
    run.choose(chosen);
    chosen
}

/// How long records wait for those before them, when nothing of those is acknowledged.
const PACE: Duration = Duration::from_secs(1);

/// How many records of a partition are handed to librdkafka at once: those of the requests that it
/// may have in flight, and most of the batch that comes next. Were it all of that batch, it would
/// be ready to send, and librdkafka's thread would ask without a pause whether it may: with one
/// request in flight, that took half of all the time a source needed.
fn most(pace: Pace, records: &Outgoing) -> usize {
    let bytes = |column: &BinaryViewArray| column.lengths().map(|n| n as usize).sum::<usize>();
    let total = bytes(&records.keys) + bytes(&records.values);
    let record = (total / records.values.len()).max(1);
    let batch = (pace.batch_bytes / record).clamp(1, pace.batch_records);
    pace.requests_in_flight.saturating_mul(batch) + batch * 9 / 10 + 1
}

/// A topic handle.
struct Topic {
    handle: NonNull<sys::rd_kafka_topic_t>,
    load: Arc<Load>,
}

// SAFETY: topic handles may be used from any thread.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours; librdkafka keeps the topic while it has records for it.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) }
    }
}

/// The array for a batch call, kept for its memory. Its pointers are good during a call only.
#[derive(Default)]
struct Chunk(Vec<sys::rd_kafka_message_t>);

// SAFETY: between calls the pointers in it are not followed.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

/// Records librdkafka refused at once; told in as few calls as there are reasons in a row.
struct Refused<'a> {
    delivery: &'a Delivery,
    run: &'a Arc<Run>,
    code: i32,
    records: usize,
}

impl<'a> Refused<'a> {
    fn new(delivery: &'a Delivery, run: &'a Arc<Run>) -> Self {
        Self { delivery, run, code: error::NONE, records: 0 }
    }

    fn add(&mut self, code: i32) {
        if code != self.code {
            self.tell();
            self.code = code;
        }
        self.records += 1;
    }

    fn tell(&mut self) {
        let records = std::mem::take(&mut self.records);
        if records == 0 {
            return;
        }
        let error = delivery::not_written(self.code, self.run.load().topic());
        // SAFETY: librdkafka has not taken these records, so it will not report them.
        unsafe {
            let run = Arc::as_ptr(self.run);
            self.delivery.settle(run, records, &Outcome::Failed(&error));
        }
    }
}

impl Drop for Refused<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}

/// The part of a run that librdkafka has not been handed. Whatever ends the send, also that it is
/// dropped, it is settled.
struct Rest {
    delivery: Arc<Delivery>,
    run: Arc<Run>,
    left: usize,
}

impl Rest {
    fn withdraw(&mut self) {
        self.settle(&Outcome::Withdrawn);
    }

    fn fail(&mut self, error: &Error) {
        self.settle(&Outcome::Failed(error));
    }

    fn settle(&mut self, outcome: &Outcome<'_>) {
        let left = std::mem::take(&mut self.left);
        // SAFETY: these records were never handed over, and `left` is 0 from now on.
        unsafe { self.delivery.settle(Arc::as_ptr(&self.run), left, outcome) }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.left > 0 {
            self.fail(&Error::fatal("the send was given up before the records were handed over"));
        }
    }
}
