//! Decides how delivery reports become acknowledgements: counted per run, several in one call.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::Array;
use millrace_api::{Error, Result};
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr as Code;
use tokio::sync::Notify;

use super::error;
use super::native::{Client, Event, Queue, on_event};
use crate::{Acknowledge, Outgoing};

/// A run on its way. Each of its records carries a pointer to it; together, the records that are
/// not settled own one reference.
pub(super) struct Run {
    ack: Arc<dyn Acknowledge>,
    unsettled: AtomicUsize,
    /// What its topic has on its way.
    load: Arc<Load>,
    /// Chooses the partition of records without a key.
    pub(super) keyless: i32,
    /// Whether no record has a key, nor the run a partition: then one choice serves them all.
    pub(super) is_keyless: bool,
    /// Where the next records go: see [`Run::partition`].
    partition: AtomicI32,
}

/// librdkafka's word for "the partitioner decides".
const UNASSIGNED: i32 = -1;

impl Run {
    /// The opaque pointer for the run's records.
    pub(super) fn opaque(self: &Arc<Self>) -> *mut c_void {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// Where the run's next records go: what they ask for, or what was chosen for those without
    /// a key, or else what the partitioner will say.
    pub(super) fn partition(&self) -> i32 {
        self.partition.load(Ordering::Relaxed)
    }

    /// The partitioner was asked for a record without a key, and has chosen.
    pub(super) fn choose(&self, partition: i32) {
        if self.is_keyless {
            self.partition.store(partition, Ordering::Relaxed);
        }
    }

    /// The partitioner has learnt how many partitions the topic has.
    pub(super) fn spread(&self, partitions: i32) {
        self.load.partitions.store(usize::try_from(partitions).unwrap_or(1), Ordering::Relaxed);
    }

    /// What its topic has on its way.
    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    /// The run a record belongs to.
    ///
    /// # Safety
    ///
    /// `opaque` must come from [`Run::opaque`] and its record must not be settled before the
    /// returned reference is last used.
    pub(super) unsafe fn of<'a>(opaque: *mut c_void) -> &'a Self {
        // SAFETY: unsettled records own a reference, so the run is alive.
        unsafe { &*opaque.cast::<Self>() }
    }
}

/// The records of one topic that are not settled.
#[derive(Debug)]
pub(super) struct Load {
    topic: Arc<str>,
    records: AtomicUsize,
    /// Of the topic; 0 until the partitioner was asked.
    partitions: AtomicUsize,
}

impl Load {
    pub(super) fn new(topic: Arc<str>) -> Self {
        Self { topic, records: AtomicUsize::new(0), partitions: AtomicUsize::new(0) }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn partitions(&self) -> usize {
        self.partitions.load(Ordering::Relaxed).max(1)
    }
}

/// What became of records.
pub(super) enum Outcome<'a> {
    InLog,
    Failed(&'a Error),
    /// Taken back: nobody is told.
    Withdrawn,
}

/// The records a producer has not settled yet, and who waits for that.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    unsettled: AtomicUsize,
    closing: AtomicBool,
    /// Woken when reports came in: there may be room again, or nothing left.
    pub(super) progress: Notify,
}

impl Delivery {
    /// Takes a run of `records` on.
    pub(super) fn begin(
        &self,
        ack: Arc<dyn Acknowledge>,
        load: Arc<Load>,
        outgoing: &Outgoing,
        keyless: i32,
    ) -> Arc<Run> {
        let records = outgoing.values.len();
        self.unsettled.fetch_add(records, Ordering::SeqCst);
        load.records.fetch_add(records, Ordering::Relaxed);
        let run = Arc::new(Run {
            ack,
            unsettled: AtomicUsize::new(records),
            load,
            keyless,
            is_keyless: outgoing.partition.is_none() && outgoing.keys.null_count() == records,
            partition: AtomicI32::new(outgoing.partition.unwrap_or(UNASSIGNED)),
        });
        // The reference that the records own; the last one to be settled gives it back.
        let _ = Arc::into_raw(run.clone());
        run
    }

    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::SeqCst)
    }

    /// Settles records of a run.
    ///
    /// # Safety
    ///
    /// The caller must not have settled these records before: over its life, a run is settled for
    /// as many records as it began with.
    pub(super) unsafe fn settle(&self, run: *const Run, records: usize, outcome: &Outcome<'_>) {
        if records == 0 {
            return;
        }
        // SAFETY: unsettled records own a reference, so the run is alive.
        let alive = unsafe { &*run };
        match outcome {
            Outcome::InLog => alive.ack.acknowledged(records),
            Outcome::Failed(error) => alive.ack.failed(records, error),
            Outcome::Withdrawn => {}
        }
        alive.load.records.fetch_sub(records, Ordering::Relaxed);
        let before = alive.unsettled.fetch_sub(records, Ordering::SeqCst);
        debug_assert!(before >= records, "a run is settled once");
        if before == records {
            // SAFETY: these were the last records, so their reference is given back.
            drop(unsafe { Arc::from_raw(run) });
        }
        self.unsettled.fetch_sub(records, Ordering::SeqCst);
    }

    /// Settles the records of one report event. Neighbours of one run with one outcome are told
    /// in one call.
    pub(super) fn settle_reports(&self, event: &Event, client: &Client) {
        let mut messages = [std::ptr::null(); 256];
        let mut group: Option<Group> = None;
        loop {
            // SAFETY: the event is live and holds reports; the array has the size given.
            let count = unsafe {
                let (array, size) = (messages.as_mut_ptr(), messages.len());
                sys::rd_kafka_event_message_array(event.raw(), array, size)
            };
            for message in &messages[..count] {
                // SAFETY: the messages live as long as the event.
                let next = unsafe { Group::of(*message) };
                match &mut group {
                    Some(group) if group.takes(&next) => group.records += 1,
                    _ => self.settle_group(group.replace(next), client),
                }
            }
            if count < messages.len() {
                break;
            }
        }
        self.settle_group(group, client);
        self.progress.notify_one();
    }

    fn settle_group(&self, group: Option<Group>, client: &Client) {
        let Some(group) = group else {
            return;
        };
        let (run, records) = (group.run, group.records);
        // SAFETY: librdkafka reports each record that it took once, and only those; until they are
        // settled their run is alive.
        unsafe {
            match group.code {
                error::NONE => self.settle(run, records, &Outcome::InLog),
                _ => {
                    let error = failure(&group, (*run).load(), client);
                    self.settle(run, records, &Outcome::Failed(&error));
                }
            }
        }
    }

    /// Tells the thread to give up what is left.
    pub(super) fn close(&self, queue: &Queue) {
        self.closing.store(true, Ordering::SeqCst);
        queue.interrupt();
    }
}

/// Reports that follow each other and say the same of one run's records.
struct Group {
    run: *const Run,
    code: i32,
    /// Of the records that failed; -1 when they did not, or none was chosen.
    partition: i32,
    is_keyless: bool,
    records: usize,
}

impl Group {
    /// # Safety
    ///
    /// The message must be that of a delivery report, and live.
    unsafe fn of(message: *const sys::rd_kafka_message_t) -> Self {
        // SAFETY: the caller promises a live message; its opaque pointer is its run.
        let (run, code) = unsafe {
            let code = error::read(&raw const (*message).err);
            ((*message)._private.cast_const().cast::<Run>(), code)
        };
        let (partition, is_keyless) = match code {
            error::NONE => (UNASSIGNED, false),
            // SAFETY: as above.
            _ => unsafe { ((*message).partition, (*message).key.is_null()) },
        };
        Self { run, code, partition, is_keyless, records: 1 }
    }

    fn takes(&self, next: &Self) -> bool {
        let what = |group: &Self| (group.run, group.code, group.partition, group.is_keyless);
        what(self) == what(next)
    }
}

const WHAT: &str = "records were not written";

/// Why a topic did not take records.
pub(super) fn not_written(code: i32, topic: &str) -> Error {
    error::error(code, WHAT, "").context("topic", topic)
}

fn failure(group: &Group, load: &Load, client: &Client) -> Error {
    let code = group.code;
    const PURGED: &[Code] =
        &[Code::RD_KAFKA_RESP_ERR__PURGE_QUEUE, Code::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT];
    if PURGED.iter().any(|purged| *purged as i32 == code) {
        let closed = "the producer was closed before the records were acknowledged";
        return client.context().check(WHAT).err().unwrap_or_else(|| Error::fatal(closed));
    }
    let mut error = not_written(code, load.topic());
    if group.partition != UNASSIGNED {
        error = error.context("partition", group.partition);
    }
    if group.is_keyless && code == Code::RD_KAFKA_RESP_ERR_INVALID_RECORD as i32 {
        error = error.context("hint", "a compacted topic takes no record without a key");
    }
    error
}

/// Starts the thread that settles what librdkafka reports. It ends, with the client, after
/// [`Delivery::close`].
pub(super) fn start(queue: Arc<Queue>, delivery: Arc<Delivery>) -> Result<()> {
    thread::Builder::new()
        .name("kafka-reports".to_owned())
        .spawn(move || run(&queue, &delivery))
        .map_err(|e| Error::retriable("no thread for delivery reports").with_source(e))?;
    Ok(())
}

fn run(queue: &Queue, delivery: &Delivery) {
    const IDLE: Duration = Duration::from_secs(1);
    const GIVE_UP: Duration = Duration::from_secs(10);
    while !delivery.closing.load(Ordering::SeqCst) {
        if let Some(event) = queue.poll(IDLE) {
            on_event(queue, delivery, &event);
        }
        // What a broker refuses for good would wait for delivery.timeout.ms: for ever, in Connect.
        if delivery.unsettled() > 0 && queue.client().context().check("").is_err() {
            purge(queue.client());
        }
    }
    purge(queue.client());
    let end = Instant::now() + GIVE_UP;
    while delivery.unsettled() > 0 && Instant::now() < end {
        if let Some(event) = queue.poll(Duration::from_millis(100)) {
            on_event(queue, delivery, &event);
        }
    }
}

/// Gives up what is in the queue and in flight: it is reported as purged.
fn purge(client: &Client) {
    let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
    // SAFETY: the client is live.
    unsafe { sys::rd_kafka_purge(client.raw(), all) };
}
