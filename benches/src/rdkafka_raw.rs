//! Decides what librdkafka's best is: its batch calls, without a layer of ours between.
#![allow(unsafe_code, reason = "the calls that are measured have no safe form")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;

use millrace_api::{Error, Result};
use rdkafka::bindings as sys;

/// How many messages a call moves at most.
const BATCH: usize = 10_000;

/// What to move.
pub struct Raw<'a> {
    /// librdkafka's.
    pub properties: BTreeMap<String, String>,
    /// Where.
    pub topic: &'a str,
    /// How many it has.
    pub partitions: i32,
    /// How many to move.
    pub records: usize,
    /// The values to produce, over and over.
    pub values: &'a [&'a [u8]],
}

/// A client and its topic, until the process ends: to end them in order is not what is measured.
struct Handles {
    client: *mut sys::rd_kafka_t,
    topic: *mut sys::rd_kafka_topic_t,
}

impl Raw<'_> {
    fn open(&self, kind: sys::rd_kafka_type_t) -> Result<Handles> {
        let mut why = [0 as c_char; 512];
        // SAFETY: every pointer is a string that ends with 0, or came from the call before.
        unsafe {
            let conf = sys::rd_kafka_conf_new();
            for (key, value) in &self.properties {
                let (key, value) = (text(key)?, text(value)?);
                let set = sys::rd_kafka_conf_set(
                    conf,
                    key.as_ptr(),
                    value.as_ptr(),
                    why.as_mut_ptr(),
                    why.len(),
                );
                if set != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                    return Err(said(&why));
                }
            }
            let client = sys::rd_kafka_new(kind, conf, why.as_mut_ptr(), why.len());
            if client.is_null() {
                return Err(said(&why));
            }
            let name = text(self.topic)?;
            let topic = sys::rd_kafka_topic_new(client, name.as_ptr(), null_mut());
            if topic.is_null() {
                return Err(Error::fatal("librdkafka does not take the topic"));
            }
            Ok(Handles { client, topic })
        }
    }
}

/// Reads with `rd_kafka_consume_batch_queue`: how many records and bytes of values.
pub fn consume(raw: &Raw<'_>) -> Result<(usize, usize)> {
    let Handles { client, topic } = raw.open(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER)?;
    let mut messages = vec![null_mut(); BATCH];
    let (mut records, mut bytes) = (0, 0);
    // SAFETY: the handles live as long as the process; each message is read, then destroyed once.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        for partition in 0..raw.partitions {
            if sys::rd_kafka_consume_start_queue(topic, partition, 0, queue) != 0 {
                return Err(Error::fatal("librdkafka does not start"));
            }
        }
        while records < raw.records {
            let taken =
                sys::rd_kafka_consume_batch_queue(queue, 10_000, messages.as_mut_ptr(), BATCH);
            if taken <= 0 {
                return Err(Error::fatal("no records came").context("so far", records));
            }
            for message in &messages[..taken as usize] {
                if (**message).err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    records += 1;
                    bytes += (**message).len;
                }
                sys::rd_kafka_message_destroy(*message);
            }
        }
    }
    Ok((records, bytes))
}

/// Writes with `rd_kafka_produce_batch`, which copies nothing here: the values outlive it.
pub fn produce(raw: &Raw<'_>) -> Result<(usize, usize)> {
    let Handles { client, topic } = raw.open(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER)?;
    let (mut records, mut bytes) = (0, 0);
    let count = raw.values.len();
    let done = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    let full = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL;
    // SAFETY: a message of zeros is librdkafka's empty one; the values outlive `flush`.
    unsafe {
        let empty: sys::rd_kafka_message_t = std::mem::zeroed();
        let mut messages = Vec::with_capacity(count);
        for number in 0..raw.records / count {
            let partition = (number as i32 / 16) % raw.partitions;
            messages.extend(raw.values.iter().map(|value| sys::rd_kafka_message_t {
                payload: value.as_ptr().cast_mut().cast(),
                len: value.len(),
                ..empty
            }));
            while !messages.is_empty() {
                let (first, left) = (messages.as_mut_ptr(), messages.len() as i32);
                if sys::rd_kafka_produce_batch(topic, partition, 0, first, left) == left {
                    messages.clear();
                    break;
                }
                // Those that do not fit are anywhere in the batch.
                messages.retain(|message| message.err != done);
                if messages.iter().any(|message| message.err != full) {
                    return Err(Error::fatal("librdkafka refuses a record"));
                }
                sys::rd_kafka_poll(client, 1);
            }
            records += count;
            bytes += raw.values.iter().map(|value| value.len()).sum::<usize>();
        }
        if sys::rd_kafka_flush(client, 120_000) != done {
            return Err(Error::fatal("records were not sent in time"));
        }
    }
    Ok((records, bytes))
}

fn text(of: &str) -> Result<CString> {
    CString::new(of).map_err(|e| Error::config("a text with a zero").with_source(e))
}

fn said(why: &[c_char; 512]) -> Error {
    // SAFETY: librdkafka ends what it says with 0, within the array that it was given.
    let why = unsafe { CStr::from_ptr(why.as_ptr()) };
    Error::config(why.to_string_lossy().into_owned())
}
