//! Decides how librdkafka's messages become runs: one copy into one buffer a topic partition, and
//! columns over it.

use std::collections::HashSet;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use arrow::array::BinaryViewArray;
use arrow::array::builder::{NullBufferBuilder, make_view};
use arrow::buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;
use millrace_api::TopicPartition;
use rdkafka::bindings as sys;

use super::error::{self, text};
use super::native::Queue;
use crate::{Fetched, RawHeaders};

/// A view addresses its buffer with 32 bits; a run stays well below.
const LONGEST_BUFFER: usize = 1 << 30;

/// What the consumer queue says besides records.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) code: i32,
    pub(super) reason: String,
    pub(super) topic: Option<Arc<str>>,
}

/// Messages taken from librdkafka, until they are copied. Kept between polls for its memory.
#[derive(Debug, Default)]
pub(super) struct Batch {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    names: HashSet<Arc<str>>,
}

// SAFETY: messages belong to whoever took them and are tied to no thread.
unsafe impl Send for Batch {}
// SAFETY: without `&mut` nothing follows the pointers.
unsafe impl Sync for Batch {}

impl Batch {
    pub(super) fn new(most: usize) -> Self {
        Self { messages: Vec::with_capacity(most), names: HashSet::new() }
    }

    /// Takes what the queue holds, without waiting, and serves its callbacks.
    pub(super) fn take(&mut self, queue: &Queue) -> (Vec<Fetched>, Vec<Trouble>) {
        debug_assert!(self.messages.is_empty(), "messages are freed in the call that took them");
        // SAFETY: the queue is live and the vector has room for as many pointers as asked for;
        // those returned are ours.
        unsafe {
            let (array, size) = (self.messages.as_mut_ptr(), self.messages.capacity());
            let count = sys::rd_kafka_consume_batch_queue(queue.raw(), 0, array, size);
            self.messages.set_len(usize::try_from(count).unwrap_or(0));
        }
        if self.messages.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let taken = self.copy();
        for message in self.messages.drain(..) {
            // SAFETY: the message is ours, and what was borrowed from it has been copied.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
        taken
    }

    fn copy(&mut self) -> (Vec<Fetched>, Vec<Trouble>) {
        let mut troubles = Vec::new();
        let mut sizes: Vec<Size> = Vec::new();
        let mut run_of = Vec::with_capacity(self.messages.len());
        let mut last = 0;
        for &message in &self.messages {
            // SAFETY: the message is live until `take` frees it.
            let message = unsafe { Message::new(message) };
            if message.code() != error::NONE {
                troubles.push(message.trouble(&mut self.names));
                run_of.push(usize::MAX);
                continue;
            }
            let (bytes, source) = (message.outlined(), message.source());
            if !sizes.get(last).is_some_and(|size| size.fits(source, bytes)) {
                last = match sizes.iter().position(|size| size.fits(source, bytes)) {
                    Some(run) => run,
                    None => {
                        sizes.push(Size { source, records: 0, bytes: 0 });
                        sizes.len() - 1
                    }
                };
            }
            sizes[last].records += 1;
            sizes[last].bytes += bytes;
            run_of.push(last);
        }
        let mut runs: Vec<Run> = sizes.iter().map(Run::new).collect();
        for (&message, run) in self.messages.iter().zip(run_of) {
            if let Some(run) = runs.get_mut(run) {
                // SAFETY: the message is live until `take` frees it.
                run.push(unsafe { Message::new(message) });
            }
        }
        let names = &mut self.names;
        (runs.into_iter().map(|run| run.finish(names)).collect(), troubles)
    }
}

/// A topic handle and a partition.
type Source = (*mut sys::rd_kafka_topic_t, i32);

/// How much of one run there will be.
struct Size {
    source: Source,
    records: usize,
    bytes: usize,
}

impl Size {
    fn fits(&self, source: Source, bytes: usize) -> bool {
        self.source == source && (self.bytes == 0 || self.bytes + bytes <= LONGEST_BUFFER)
    }
}

/// A live message.
#[derive(Clone, Copy)]
struct Message<'a>(&'a sys::rd_kafka_message_t);

impl<'a> Message<'a> {
    /// # Safety
    ///
    /// The message must live for `'a`.
    unsafe fn new(message: *const sys::rd_kafka_message_t) -> Self {
        // SAFETY: the caller promises a live message.
        Self(unsafe { &*message })
    }

    fn code(self) -> i32 {
        // SAFETY: the field is initialised.
        unsafe { error::read(&raw const self.0.err) }
    }

    fn source(self) -> Source {
        (self.0.rkt, self.0.partition)
    }

    fn key(self) -> Option<&'a [u8]> {
        slice(self.0.key, self.0.key_len)
    }

    fn value(self) -> Option<&'a [u8]> {
        slice(self.0.payload, self.0.len)
    }

    /// How many bytes go into the run's buffer; short ones live in their views.
    fn outlined(self) -> usize {
        let length = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) if bytes.len() > 12 => bytes.len(),
            _ => 0,
        };
        length(self.key()) + length(self.value())
    }

    fn timestamp(self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live; the result is -1 when there is no timestamp.
        unsafe { sys::rd_kafka_message_timestamp(self.0, &raw mut kind) }
    }

    fn headers(self) -> RawHeaders {
        let mut headers = ptr::null_mut();
        let mut read = RawHeaders::new();
        // SAFETY: the message is live, and owns the headers and what they lend.
        unsafe {
            let found = sys::rd_kafka_message_headers(self.0, &raw mut headers) as i32;
            if found != error::NONE {
                return read;
            }
            for i in 0..sys::rd_kafka_header_cnt(headers) {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let (name_out, value_out) = (&raw mut name, &raw mut value);
                sys::rd_kafka_header_get_all(headers, i, name_out, value_out, &raw mut size);
                let value = slice(value, size).map(Bytes::copy_from_slice);
                read.push((text(name).into(), value));
            }
        }
        read
    }

    fn trouble(self, names: &mut HashSet<Arc<str>>) -> Trouble {
        // SAFETY: the message is live; an error message's text is its payload.
        let reason = unsafe { text(sys::rd_kafka_message_errstr(self.0)) };
        let topic = (!self.0.rkt.is_null()).then(|| name_of(self.0.rkt, names));
        Trouble { code: self.code(), reason, topic }
    }
}

fn slice<'a>(bytes: *const c_void, length: usize) -> Option<&'a [u8]> {
    if bytes.is_null() {
        return None;
    }
    // SAFETY: librdkafka gives pointers together with their lengths; they live as long as the
    // message, which outlives the uses in this file.
    Some(unsafe { std::slice::from_raw_parts(bytes.cast(), length) })
}

/// The topic's name, allocated once a topic.
fn name_of(topic: *mut sys::rd_kafka_topic_t, names: &mut HashSet<Arc<str>>) -> Arc<str> {
    // SAFETY: the topic handle lives as long as the message that named it, or the consumer.
    let name = unsafe { text(sys::rd_kafka_topic_name(topic)) };
    if let Some(known) = names.get(name.as_str()) {
        return known.clone();
    }
    let name: Arc<str> = name.into();
    names.insert(name.clone());
    name
}

/// A run being filled.
struct Run {
    source: Source,
    records: usize,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    keys: Column,
    values: Column,
    buffer: Vec<u8>,
    headers: Vec<RawHeaders>,
}

struct Column {
    views: Vec<u128>,
    nulls: NullBufferBuilder,
}

impl Column {
    fn new(records: usize) -> Self {
        Self { views: Vec::with_capacity(records), nulls: NullBufferBuilder::new(records) }
    }

    fn push(&mut self, bytes: Option<&[u8]>, buffer: &mut Vec<u8>) {
        let Some(bytes) = bytes else {
            self.views.push(0);
            self.nulls.append_null();
            return;
        };
        let at = u32::try_from(buffer.len()).expect("a run's buffer stays below 4 GiB");
        self.views.push(make_view(bytes, 0, at));
        self.nulls.append_non_null();
        if bytes.len() > 12 {
            buffer.extend_from_slice(bytes);
        }
    }

    fn finish(mut self, buffers: &Arc<[Buffer]>) -> BinaryViewArray {
        let views = ScalarBuffer::from(self.views);
        // SAFETY: each view is inline or addresses bytes that were appended to buffer 0 at the
        // offset it holds.
        unsafe { BinaryViewArray::new_unchecked(views, buffers.clone(), self.nulls.finish()) }
    }
}

impl Run {
    fn new(size: &Size) -> Self {
        Self {
            source: size.source,
            records: size.records,
            offsets: Vec::with_capacity(size.records),
            timestamps: Vec::with_capacity(size.records),
            keys: Column::new(size.records),
            values: Column::new(size.records),
            buffer: Vec::with_capacity(size.bytes),
            headers: Vec::new(),
        }
    }

    fn push(&mut self, message: Message<'_>) {
        self.offsets.push(message.0.offset);
        self.timestamps.push(message.timestamp());
        self.keys.push(message.key(), &mut self.buffer);
        self.values.push(message.value(), &mut self.buffer);
        let headers = message.headers();
        if !headers.is_empty() && self.headers.is_empty() {
            self.headers.reserve(self.records);
            self.headers.resize(self.offsets.len() - 1, RawHeaders::new());
        }
        if !headers.is_empty() || !self.headers.is_empty() {
            self.headers.push(headers);
        }
    }

    fn finish(self, names: &mut HashSet<Arc<str>>) -> Fetched {
        let buffers: Arc<[Buffer]> = match self.buffer {
            empty if empty.is_empty() => [].into(),
            buffer => [Buffer::from_vec(buffer)].into(),
        };
        let (topic, partition) = self.source;
        Fetched {
            topic_partition: TopicPartition::new(name_of(topic, names), partition),
            offsets: self.offsets.into(),
            timestamps: self.timestamps.into(),
            keys: self.keys.finish(&buffers),
            values: self.values.finish(&buffers),
            headers: self.headers,
        }
    }
}
