//! Decides how a test asks a cluster for what no client library in reach offers: to prefer other
//! leaders.

use bytes::{Buf as _, BytesMut};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, ElectLeadersRequest, RequestHeader,
    ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable as _, Encodable, HeaderVersion, Request, StrBytes};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MS: i32 = 30_000;

/// The order of replicas that partitions are to have; the first one is to lead.
type Preferred = [(String, i32, Vec<i32>)];

/// Gives partitions this order of replicas, and makes the first of each the leader.
pub(super) fn prefer(address: &str, preferred: &Preferred) {
    let name = |topic: &str| TopicName(StrBytes::from_string(topic.to_owned()));
    let topics = preferred.iter().map(|(topic, partition, replicas)| {
        let replicas = replicas.iter().copied().map(BrokerId).collect();
        let partition = ReassignablePartition::default()
            .with_partition_index(*partition)
            .with_replicas(Some(replicas));
        ReassignableTopic::default().with_name(name(topic)).with_partitions(vec![partition])
    });
    let request = AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(TIMEOUT_MS)
        .with_topics(merged(topics));
    let answer = call(address, 0, &request);
    assert_eq!(answer.error_code, 0, "reassignment: {:?}", answer.error_message);
    for (topic, partition) in answer
        .responses
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.as_str(), partition)))
    {
        let (index, why) = (partition.partition_index, &partition.error_message);
        assert_eq!(partition.error_code, 0, "reassignment of {topic}-{index}: {why:?}");
    }
    let topics = preferred.iter().map(|(topic, partition, _)| {
        TopicPartitions::default().with_topic(name(topic)).with_partitions(vec![*partition])
    });
    let request = ElectLeadersRequest::default()
        .with_topic_partitions(Some(topics.collect()))
        .with_timeout_ms(TIMEOUT_MS);
    let answer = call(address, 2, &request);
    assert_eq!(answer.error_code, 0, "election of leaders");
}

/// One entry a topic: of several with the same name the controller takes the last.
fn merged(topics: impl Iterator<Item = ReassignableTopic>) -> Vec<ReassignableTopic> {
    let mut merged: Vec<ReassignableTopic> = Vec::new();
    for topic in topics {
        match merged.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => merged.push(topic),
        }
    }
    merged
}

/// One request on a connection of its own.
fn call<R: Request>(address: &str, version: i16, request: &R) -> R::Response {
    let mut bytes = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(1);
    header.encode(&mut bytes, R::header_version(version)).expect("a header can be written");
    request.encode(&mut bytes, version).expect("a request can be written in its version");
    let told = exchange(address, &bytes);
    let mut frame = told.unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
    ResponseHeader::decode(&mut frame, R::Response::header_version(version))
        .expect("a response has a header");
    R::Response::decode(&mut frame, version).expect("a response is in its request's version")
}

fn exchange(address: &str, request: &[u8]) -> std::io::Result<bytes::Bytes> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    let length = u32::try_from(request.len()).expect("a request is short");
    connection.write_all(&length.to_be_bytes())?;
    connection.write_all(request)?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let mut frame = vec![0; (&length[..]).get_u32() as usize];
    connection.read_exact(&mut frame)?;
    Ok(frame.into())
}
