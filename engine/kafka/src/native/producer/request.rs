//! Decides how a produce request is written: by hand, so that the bytes of its batches go from the
//! buffer to the socket uncopied (Produce, versions 3 to 13).

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::partition::Sent;

/// From this version on topics go by their ids (KIP-516).
pub(super) const TOPIC_IDS: i16 = 13;
/// The last version in which partitions have to be added to a transaction first (KIP-890).
pub(super) const TRANSACTIONS_1: i16 = 11;
/// From this version on lengths are of variable length (KIP-482).
const FLEXIBLE: i16 = 9;

/// What requests have in common.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) transactional_id: Option<String>,
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
}

/// A batch of a request, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The number of its partition in the buffer.
    pub(super) slot: usize,
    pub(super) topic: Arc<str>,
    pub(super) topic_id: Uuid,
    pub(super) partition: i32,
    pub(super) sent: Sent,
}

/// The body of a request in pieces. Parts of one topic follow each other.
pub(super) fn encode(version: i16, terms: &Terms, parts: &[Part]) -> Vec<Bytes> {
    let topics: Vec<&[Part]> = parts.chunk_by(|a, b| a.topic == b.topic).collect();
    let mut body =
        Body { version, pieces: Vec::with_capacity(2 * parts.len() + 1), open: BytesMut::new() };
    body.nullable_string(terms.transactional_id.as_deref());
    body.open.put_i16(terms.acks);
    body.open.put_i32(terms.timeout_ms);
    body.count(topics.len());
    for parts in topics {
        match version {
            TOPIC_IDS.. => body.open.put_slice(parts[0].topic_id.as_bytes()),
            _ => body.string(&parts[0].topic),
        }
        body.count(parts.len());
        for part in parts {
            body.open.put_i32(part.partition);
            body.records(&part.sent.bytes);
            body.no_tags();
        }
        body.no_tags();
    }
    body.no_tags();
    body.close();
    body.pieces
}

struct Body {
    version: i16,
    pieces: Vec<Bytes>,
    open: BytesMut,
}

impl Body {
    fn is_flexible(&self) -> bool {
        self.version >= FLEXIBLE
    }

    fn count(&mut self, count: usize) {
        match self.is_flexible() {
            true => self.unsigned(count + 1),
            false => self.open.put_i32(count as i32),
        }
    }

    fn string(&mut self, text: &str) {
        match self.is_flexible() {
            true => self.unsigned(text.len() + 1),
            false => self.open.put_i16(text.len() as i16),
        }
        self.open.put_slice(text.as_bytes());
    }

    fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None if self.is_flexible() => self.open.put_u8(0),
            None => self.open.put_i16(-1),
        }
    }

    fn records(&mut self, bytes: &Bytes) {
        self.count(bytes.len());
        self.close();
        self.pieces.push(bytes.clone());
    }

    /// The end of a structure, without tagged fields.
    fn no_tags(&mut self) {
        if self.is_flexible() {
            self.open.put_u8(0);
        }
    }

    fn unsigned(&mut self, mut rest: usize) {
        while rest >= 0x80 {
            self.open.put_u8((rest as u8) | 0x80);
            rest >>= 7;
        }
        self.open.put_u8(rest as u8);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.pieces.push(self.open.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{ProduceRequest, TopicName, TransactionalId};
    use kafka_protocol::protocol::{Encodable, Message, StrBytes};

    use super::*;
    use crate::native::golden::java;

    fn part(topic: &str, id: u128, partition: i32, bytes: &[u8]) -> Part {
        let bytes = Bytes::copy_from_slice(bytes);
        let sent = Sent { id: 0, bytes, attempts: 1, end: None };
        Part { slot: 0, topic: topic.into(), topic_id: Uuid::from_u128(id), partition, sent }
    }

    fn expected(version: i16, terms: &Terms, parts: &[Part]) -> Bytes {
        let topics = parts.chunk_by(|a, b| a.topic == b.topic).map(|parts| {
            let partitions = parts.iter().map(|part| {
                PartitionProduceData::default()
                    .with_index(part.partition)
                    .with_records(Some(part.sent.bytes.clone()))
            });
            let topic = TopicProduceData::default().with_partition_data(partitions.collect());
            match version {
                13.. => topic.with_topic_id(parts[0].topic_id),
                _ => topic.with_name(TopicName(StrBytes::from_string(parts[0].topic.to_string()))),
            }
        });
        let id = terms.transactional_id.clone();
        let request = ProduceRequest::default()
            .with_acks(terms.acks)
            .with_timeout_ms(terms.timeout_ms)
            .with_transactional_id(id.map(|id| TransactionalId(StrBytes::from_string(id))))
            .with_topic_data(topics.collect());
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        bytes.freeze()
    }

    #[test]
    fn the_bytes_are_the_protocols_in_every_version() {
        let long = vec![7; 300];
        let parts = [
            part("a", 1, 0, b"x"),
            part("a", 1, 5, &long),
            part(&"b".repeat(200), 2, 1, b"batch"),
            part("c", 3, 0, b""),
        ];
        for version in ProduceRequest::VERSIONS.min..=ProduceRequest::VERSIONS.max {
            for id in [None, Some("t".to_owned())] {
                let terms = Terms { transactional_id: id, acks: -1, timeout_ms: 30_000 };
                for parts in [&parts[..], &parts[..1], &[]] {
                    let pieces = encode(version, &terms, parts).concat();
                    assert_eq!(pieces, expected(version, &terms, parts), "version {version}");
                }
            }
        }
    }

    #[test]
    fn every_version_is_written_as_java_writes_it() {
        let parts = [
            part("a", 1, 0, &[7; 1]),
            part("a", 1, 5, &[7; 300]),
            part(&"b".repeat(200), 2, 1, &[7; 5]),
            part("c", 3, 0, &[]),
        ];
        for version in 3..=13 {
            for (name, id) in [("produce", None), ("produce-in-transaction", Some("x".to_owned()))]
            {
                let terms = Terms { transactional_id: id, acks: -1, timeout_ms: 30_000 };
                let name = format!("{name}-{version}");
                assert_eq!(encode(version, &terms, &parts).concat(), java(&name), "{name}");
            }
        }
    }

    #[test]
    fn batches_are_not_copied() {
        let part = part("t", 1, 0, b"the bytes of a batch");
        let terms = Terms { transactional_id: None, acks: 1, timeout_ms: 1 };
        let pieces = encode(9, &terms, std::slice::from_ref(&part));
        assert!(pieces.iter().any(|piece| piece.as_ptr() == part.sent.bytes.as_ptr()));
    }
}
