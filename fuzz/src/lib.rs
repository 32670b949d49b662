//! What is fuzzed: every decoder of bytes that come from somebody else. Each function takes any
//! bytes and must come back. `engine/kafka/tests/corpus.rs` calls them with what the fuzzer has
//! found.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Request;
use millrace_kafka::guard;
use millrace_kafka::record_batch::{Compression, HEADER_LENGTH, Limits, Reader};

#[path = "../../engine/kafka/tests/messages/apis.rs"]
mod apis;

/// A decoder by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("consumer_protocol", consumer_protocol),
    ("gzip", gzip),
    ("headers", headers),
    ("lz4", lz4),
    ("record_batches", record_batches),
    ("requests", requests),
    ("responses", responses),
    ("snappy", snappy),
    ("zstd", zstd),
];

/// Batches as a fetch response or a log file has them. Checksums are not compared: they would keep
/// everything from the parser.
pub fn record_batches(data: &[u8]) {
    let limits = Limits {
        max_decompressed_bytes: 1 << 20,
        max_run_bytes: 4 << 20,
        check_crcs: false,
        ..Limits::default()
    };
    let bytes = Bytes::copy_from_slice(data);
    let mut reader = Reader::new(limits);
    let read = reader.read(&bytes, 0);
    assert!(read.is_err() || read.is_ok_and(|length| length <= bytes.len()));
    let columns = reader.finish();
    assert_eq!(columns.timestamps.len(), columns.len());
    assert_eq!(columns.keys.iter().count(), columns.len());
    assert_eq!(columns.values.iter().count(), columns.len());
}

pub fn gzip(data: &[u8]) {
    compressed(Compression::Gzip, data);
}

pub fn snappy(data: &[u8]) {
    compressed(Compression::Snappy, data);
}

pub fn lz4(data: &[u8]) {
    compressed(Compression::Lz4, data);
}

pub fn zstd(data: &[u8]) {
    compressed(Compression::Zstd, data);
}

/// The records of a batch of two, compressed.
fn compressed(compression: Compression, records: &[u8]) {
    let bits = Compression::ALL.iter().position(|one| *one == compression).unwrap_or_default();
    let mut batch = vec![0; HEADER_LENGTH];
    let length = (HEADER_LENGTH - 12 + records.len()) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    batch[22] = bits as u8;
    batch[26] = 1; // the last offset
    batch[60] = 2; // the count
    batch.extend_from_slice(records);
    record_batches(&batch);
}

/// What members of a group tell each other through the broker.
pub fn consumer_protocol(data: &[u8]) {
    millrace_kafka::read_each_kind(&Bytes::copy_from_slice(data));
}

/// Headers of requests and responses; the first byte says which, and their version.
pub fn headers(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = Bytes::copy_from_slice(rest);
    let version = i16::from(which >> 1 & 3);
    let _ = match which & 1 {
        0 => guard::decode::<RequestHeader>(&mut bytes, version).map(drop),
        _ => guard::decode::<ResponseHeader>(&mut bytes, version).map(drop),
    };
}

/// Requests; the first byte says of which API, the second their version.
pub fn requests(data: &[u8]) {
    if let [api, version, rest @ ..] = data {
        message(true, *api, *version, Bytes::copy_from_slice(rest));
    }
}

/// Responses in the same way.
pub fn responses(data: &[u8]) {
    if let [api, version, rest @ ..] = data {
        message(false, *api, *version, Bytes::copy_from_slice(rest));
    }
}

fn decode<R: Request>(is_request: bool, version: u8, mut bytes: Bytes) {
    let version = i16::from(version);
    let _ = match is_request {
        true => guard::decode::<R>(&mut bytes, version).map(drop),
        false => guard::decode::<R::Response>(&mut bytes, version).map(drop),
    };
}

macro_rules! define {
    ($($name:literal $request:ident,)*) => {
        fn message(is_request: bool, api: u8, version: u8, bytes: Bytes) {
            type Decode = fn(bool, u8, Bytes);
            const APIS: &[Decode] = &[$(decode::<$request>),*];
            if let Some(decode) = APIS.get(usize::from(api)) {
                decode(is_request, version, bytes);
            }
        }
    };
}

apis::apis!(define);
