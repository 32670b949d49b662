//! Decides how members of a consumer group write down what they subscribe to and what each is
//! given: Java's `ConsumerProtocol`, versions 0 to 3.
//!
//! The broker passes these bytes on without reading them, so they are as trustworthy as whoever
//! may join the group: counts are checked against what is left before anything is reserved.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use millrace_api::{Error, Result, TopicPartition};

/// The newest version, which we write. Who knows older ones only reads as far as it can.
const VERSION: i16 = 3;

/// What a member tells the leader (`ConsumerPartitionAssignor.Subscription`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// Names only: a pattern was resolved by the member itself.
    pub(crate) topics: Vec<Arc<str>>,
    /// What the assignor of the member adds.
    pub(crate) user_data: Option<Bytes>,
    /// What the member has and keeps over the rebalance, from version 1.
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation in which it got that, from version 2; none: it never had any.
    pub(crate) generation: Option<i32>,
    /// `client.rack`, from version 3.
    pub(crate) rack: Option<Arc<str>>,
}

impl Subscription {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(VERSION);
        let mut topics: Vec<_> = self.topics.iter().collect();
        topics.sort();
        put_count(&mut out, topics.len());
        topics.into_iter().for_each(|topic| put_string(&mut out, topic));
        put_user_data(&mut out, self.user_data.as_ref());
        put_partitions(&mut out, &self.owned);
        out.put_i32(self.generation.unwrap_or(-1));
        match &self.rack {
            Some(rack) => put_string(&mut out, rack),
            None => out.put_i16(-1),
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self> {
        let mut input = Input { bytes, what: "subscription" };
        let version = input.version()?;
        let topics = (0..input.count()?).map(|_| input.string()).collect::<Result<_>>()?;
        let mut read = Self { topics, user_data: input.user_data()?, ..Self::default() };
        if version >= 1 {
            read.owned = input.partitions()?;
        }
        if version >= 2 {
            read.generation = Some(input.i32()?).filter(|generation| *generation >= 0);
        }
        if version >= 3 {
            read.rack = input.optional_string()?.filter(|rack| !rack.is_empty());
        }
        Ok(read)
    }
}

/// What the leader gives a member (`ConsumerPartitionAssignor.Assignment`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) user_data: Option<Bytes>,
}

impl Assignment {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(VERSION);
        put_partitions(&mut out, &self.partitions);
        put_user_data(&mut out, self.user_data.as_ref());
        out.freeze()
    }

    /// No bytes at all are an empty assignment: what a leader sends that left the member out.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut input = Input { bytes, what: "assignment" };
        input.version()?;
        Ok(Self { partitions: input.partitions()?, user_data: input.user_data()? })
    }
}

/// What members with Java's `StickyAssignor` add to their subscription, since they give up all
/// they own before they join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StickyUserData {
    pub(crate) partitions: Vec<TopicPartition>,
    /// Absent from members older than Kafka 2.3.
    pub(crate) generation: Option<i32>,
}

impl StickyUserData {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        put_partitions(&mut out, &self.partitions);
        if let Some(generation) = self.generation {
            out.put_i32(generation);
        }
        out.freeze()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self> {
        let mut input = Input { bytes, what: "sticky assignor's user data" };
        Ok(Self { partitions: input.partitions()?, generation: input.i32().ok() })
    }
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_i32(i32::try_from(count).expect("a group has fewer than two billion of anything"));
}

fn put_string(out: &mut BytesMut, text: &str) {
    let length = i16::try_from(text.len()).expect("topics and racks have short names");
    out.put_i16(length);
    out.put_slice(text.as_bytes());
}

fn put_user_data(out: &mut BytesMut, user_data: Option<&Bytes>) {
    match user_data {
        Some(bytes) => {
            put_count(out, bytes.len());
            out.put_slice(bytes);
        }
        None => out.put_i32(-1),
    }
}

fn put_partitions(out: &mut BytesMut, partitions: &[TopicPartition]) {
    let mut sorted: Vec<_> = partitions.iter().collect();
    sorted.sort();
    let topics = sorted.chunk_by(|a, b| a.topic == b.topic);
    put_count(out, topics.clone().count());
    for of_topic in topics {
        put_string(out, &of_topic[0].topic);
        put_count(out, of_topic.len());
        of_topic.iter().for_each(|tp| out.put_i32(tp.partition));
    }
}

/// Reads what another member wrote.
struct Input {
    bytes: Bytes,
    what: &'static str,
}

impl Input {
    fn bad(&self, wrong: &str) -> Error {
        Error::fatal(format!("a {} of the group cannot be read: {wrong}", self.what))
    }

    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.bytes.len() {
            return Err(self.bad("it ends too early"));
        }
        Ok(self.bytes.split_to(length))
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(self.take(2)?.get_i16())
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(self.take(4)?.get_i32())
    }

    /// Versions only ever add fields, so a newer one is read as far as we know it.
    fn version(&mut self) -> Result<i16> {
        match self.i16()? {
            version if version < 0 => Err(self.bad("its version is negative")),
            version => Ok(version),
        }
    }

    /// The length of a list, every element of which takes a byte at least.
    fn count(&mut self) -> Result<usize> {
        let count = self.i32()?;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.bytes.len())
            .ok_or_else(|| self.bad("a list is longer than the bytes"))
    }

    fn optional_string(&mut self) -> Result<Option<Arc<str>>> {
        let length = self.i16()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| self.bad("a length is negative"))?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.bad("a name is not UTF-8"))?;
        Ok(Some(text.into()))
    }

    fn string(&mut self) -> Result<Arc<str>> {
        self.optional_string()?.ok_or_else(|| self.bad("a name is missing"))
    }

    fn user_data(&mut self) -> Result<Option<Bytes>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length =
                    usize::try_from(length).map_err(|_| self.bad("a length is negative"))?;
                self.take(length).map(Some)
            }
        }
    }

    fn partitions(&mut self) -> Result<Vec<TopicPartition>> {
        let mut partitions = Vec::new();
        for _ in 0..self.count()? {
            let topic = self.string()?;
            for _ in 0..self.count()? {
                partitions.push(TopicPartition::new(topic.clone(), self.i32()?));
            }
        }
        Ok(partitions)
    }
}

/// Reads bytes of another member as each kind of them, for a fuzz target: what can be read stays
/// what it is when it is written and read again.
///
/// # Panics
///
/// When it does not.
pub fn read_each_kind(bytes: &Bytes) {
    stays(bytes, Subscription::decode, Subscription::encode);
    stays(bytes, Assignment::decode, Assignment::encode);
    stays(bytes, StickyUserData::decode, StickyUserData::encode);
}

fn stays<T>(bytes: &Bytes, decode: fn(Bytes) -> Result<T>, encode: fn(&T) -> Bytes) {
    if let Ok(read) = decode(bytes.clone()) {
        let written = encode(&read);
        let again = decode(written.clone()).map(|read| encode(&read));
        assert_eq!(again.ok(), Some(written), "what we write");
    }
}

#[cfg(test)]
mod tests;
