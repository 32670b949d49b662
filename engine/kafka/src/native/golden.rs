//! What requests look like that Java writes, for the tests of those that write ours.

use bytes::BytesMut;
use kafka_protocol::protocol::Encodable;

/// What kafka-clients wrote, by the name in `java/requests.txt`.
pub(super) fn java(name: &str) -> Vec<u8> {
    let lines = include_str!("java/requests.txt").lines();
    let mut found = lines.filter_map(|line| line.split_once(' ').filter(|line| line.0 == name));
    let hex = found.next().unwrap_or_else(|| panic!("{name} is missing")).1;
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// What we write.
pub(super) fn bytes(request: &impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    request.encode(&mut out, version).unwrap();
    out.to_vec()
}
