//! Decides which messages from the network are safe to decode: those whose counts fit their bytes.
//!
//! The decoders of `kafka-protocol` reserve memory for as many elements as an array claims to
//! have, before they read the first. Four bytes could so make a process ask for gigabytes, and be
//! ended when there are none. So each message is decoded through a reader that makes impossible
//! counts fail. What it takes for a count may be a number that means something else, such as a
//! time-out: then all counts are sound, and the message is decoded again as it is.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

/// Messages of up to this size may have arrays of as many elements; in longer ones the rest are
/// records.
const SMALL: usize = 8 << 20;
/// The most elements of an array in a longer message.
const MAX_ELEMENTS: usize = 1 << 20;
/// Counts may be beyond the end of the message by so much and still be refused by what follows:
/// the numbers of tagged fields are read the same way, and may be followed by little.
const SLACK: usize = 64;

/// Decodes a message of this version from the beginning of `bytes`.
///
/// # Errors
///
/// What is wrong with it, in words for a log.
pub fn decode<T: Decodable>(bytes: &mut Bytes, version: i16) -> Result<T, String> {
    let is_small = bytes.len() <= SMALL;
    let mut guarded =
        Guarded { bytes: bytes.clone(), is_small, rest: 0, withheld: None, is_altered: false };
    let message = T::decode(&mut guarded, version).map_err(|e| e.to_string())?;
    guarded.end().map_err(|e| e.to_string())?;
    if guarded.is_altered {
        return T::decode(bytes, version).map_err(|e| e.to_string());
    }
    *bytes = guarded.bytes;
    Ok(message)
}

/// Bytes of a message, whose large counts read as such that fail.
struct Guarded {
    bytes: Bytes,
    is_small: bool,
    /// How many bytes of a variable-length number are still to come.
    rest: usize,
    /// What was read as 0 and may be a length: so many bytes would be taken next.
    withheld: Option<Withheld>,
    /// Whether a number was read as another: a count would have failed since.
    is_altered: bool,
}

/// A number that was read as 0.
#[derive(Clone, Copy)]
enum Withheld {
    /// Of four bytes: it may mean something else, such as the id of a request or a session.
    Number(usize),
    /// Of as many as it needs: it is a length or a count.
    Length(usize),
}

impl Withheld {
    fn length(self) -> usize {
        match self {
            Self::Number(length) | Self::Length(length) => length,
        }
    }
}

impl Guarded {
    /// What reads as a count: `value`, or less where so many elements cannot be.
    fn count(&mut self, value: usize) -> usize {
        if !self.is_small && value > MAX_ELEMENTS && value <= self.bytes.len() {
            self.withheld = Some(Withheld::Number(value));
            return 0;
        }
        let most = self.bytes.len() + SLACK;
        self.is_altered |= value > most;
        value.min(most)
    }

    /// Something else is read than the bytes of a length that was withheld. An array's count would
    /// have its first element here.
    fn check(&mut self) -> Result<(), TryGetError> {
        self.rest = 0;
        if let Some(Withheld::Number(_)) = self.withheld {
            // Read on as a number. Had it been a count, what follows would hardly be a message.
            (self.withheld, self.is_altered) = (None, true);
        }
        self.end()
    }

    /// Whether the message may end here.
    fn end(&self) -> Result<(), TryGetError> {
        match self.withheld {
            None => Ok(()),
            Some(withheld) => {
                let (requested, available) = (withheld.length(), self.bytes.len());
                Err(TryGetError { requested, available })
            }
        }
    }

    /// The number at the beginning, and how many bytes it has; none when it is longer than it
    /// could be.
    fn peek_varint(&self) -> Option<(usize, usize)> {
        let mut value = 0_u64;
        for (i, byte) in self.bytes.iter().take(5).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Some((usize::try_from(value).unwrap_or(usize::MAX), i + 1));
            }
        }
        None
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.rest = 0;
        self.bytes.advance(count);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.check()?;
        let value = self.bytes.try_get_i32()?;
        match usize::try_from(value) {
            Err(_) => Ok(value),
            Ok(count) => Ok(i32::try_from(self.count(count)).unwrap_or(i32::MAX)),
        }
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        if self.rest > 0 {
            self.rest -= 1;
            return self.bytes.try_get_u8();
        }
        self.check()?;
        let available = self.bytes.len();
        let Some((value, length)) = self.peek_varint() else {
            return Err(TryGetError { requested: 5, available });
        };
        // Lengths count from 1.
        let count = value.saturating_sub(1);
        if count > available + SLACK {
            return Err(TryGetError { requested: value, available });
        }
        if !self.is_small && count > MAX_ELEMENTS {
            self.bytes.advance(length);
            self.withheld = Some(Withheld::Length(count));
            return Ok(1);
        }
        self.rest = length - 1;
        self.bytes.try_get_u8()
    }

    fn try_get_i16(&mut self) -> Result<i16, TryGetError> {
        self.check()?;
        self.bytes.try_get_i16()
    }

    fn try_get_i64(&mut self) -> Result<i64, TryGetError> {
        self.check()?;
        self.bytes.try_get_i64()
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        self.rest = 0;
        let size = match self.withheld.take() {
            Some(withheld) if size == 0 => withheld.length(),
            Some(_) => return Err(NotEnoughBytesError),
            None => size,
        };
        if size > self.bytes.len() {
            return Err(NotEnoughBytesError);
        }
        Ok(self.bytes.split_to(size))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::fetch_response::{self, FetchableTopicResponse};
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{FetchResponse, MetadataRequest, ProduceRequest};
    use kafka_protocol::protocol::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn produce(records: usize) -> ProduceRequest {
        let data = PartitionProduceData::default().with_records(Some(vec![7; records].into()));
        let topic = TopicProduceData::default().with_partition_data(vec![data]);
        ProduceRequest::default().with_timeout_ms(30_000).with_topic_data(vec![topic])
    }

    #[test]
    fn what_is_sound_reads_as_without_a_guard() {
        for records in [0, 100, MAX_ELEMENTS - 1, MAX_ELEMENTS + 5, SMALL + 5] {
            for version in [8, 9, 12] {
                let request = produce(records);
                let mut bytes = BytesMut::new();
                request.encode(&mut bytes, version).unwrap();
                let read = decode::<ProduceRequest>(&mut bytes.freeze(), version).unwrap();
                assert_eq!(read, request);
            }
        }
    }

    #[test]
    fn large_numbers_are_no_counts() {
        let records = Some(vec![7; SMALL + 5].into());
        let data = fetch_response::PartitionData::default().with_records(records);
        let topic = FetchableTopicResponse::default().with_partitions(vec![data]);
        for version in [10, 12] {
            let response = FetchResponse::default()
                .with_session_id(5_000_000)
                .with_responses(vec![topic.clone()]);
            let mut bytes = BytesMut::new();
            response.encode(&mut bytes, version).unwrap();
            let mut bytes = bytes.freeze();
            assert_eq!(decode::<FetchResponse>(&mut bytes, version).unwrap(), response);
        }
    }

    #[test]
    fn an_array_longer_than_its_message_is_refused_before_memory_is_reserved() {
        let mut bytes = BytesMut::new();
        bytes.put_i32(i32::MAX);
        bytes.put_slice(&[0; 20]);
        assert!(decode::<MetadataRequest>(&mut bytes.freeze(), 1).is_err());
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        bytes.put_slice(&[0; 20]);
        assert!(decode::<MetadataRequest>(&mut bytes.freeze(), 9).is_err());
        for version in [8, 9] {
            let mut bytes = BytesMut::new();
            produce(0).encode(&mut bytes, version).unwrap();
            // Behind a null id, acks and the time-out comes the count of topics.
            let at = if version == 8 { 2 + 2 + 4 } else { 1 + 2 + 4 };
            bytes.truncate(at);
            match version {
                8 => bytes.put_i32(20 << 20),
                _ => bytes.put_slice(&[0x81, 0x80, 0x80, 0x0a]),
            }
            bytes.put_slice(&vec![0; 20 << 20]);
            assert!(decode::<ProduceRequest>(&mut bytes.freeze(), version).is_err(), "{version}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_ends_in_a_message_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            version in 3_i16..13,
        ) {
            let _ = decode::<ProduceRequest>(&mut Bytes::from(bytes), version);
        }
    }
}
