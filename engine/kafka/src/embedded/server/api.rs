//! Decides which requests are served, in which versions, and who answers them.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{
    Encodable, HeaderVersion, Message, Request, StrBytes, VersionRange,
};

use super::{
    Client, cluster, configs, fetch, groups, inspect, list_offsets, offsets, produce, topics,
    transactions,
};
use crate::guard;

/// Key, version and correlation id: every request begins with these bytes.
pub(super) const SHORTEST_HEADER: usize = 8;

/// Why a request cannot be read; its connection is closed, as nobody knows what comes next.
#[derive(Debug)]
pub(super) struct Malformed(String);

impl Malformed {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One request, but for its content.
pub(super) struct Call<'a> {
    pub(super) client: &'a Client,
    pub(super) version: i16,
    pub(super) client_id: StrBytes,
    correlation_id: i32,
}

/// Lists what is served. An answer that does not come at once is `later`.
macro_rules! served {
    (
        at once { $($key:ident: $request:ident => $module:ident::$handler:ident,)* }
        later {
            $($late_key:ident: $late_request:ident => $late_module:ident::$late_handler:ident,)*
        }
    ) => {
        /// What is served, and in which versions.
        const SERVED: &[(ApiKey, VersionRange)] = &[
            $((ApiKey::$key, $request::VERSIONS),)*
            $((ApiKey::$late_key, $late_request::VERSIONS),)*
        ];

        /// An empty request of every kind and version.
        #[cfg(test)]
        pub(super) fn samples() -> Vec<(ApiKey, i16, Bytes)> {
            let mut samples = Vec::new();
            $(sample::<$request>(ApiKey::$key, &mut samples);)*
            $(sample::<$late_request>(ApiKey::$late_key, &mut samples);)*
            samples
        }

        async fn dispatch(
            key: ApiKey,
            call: &Call<'_>,
            body: Bytes,
        ) -> Result<Option<BytesMut>, Malformed> {
            match key {
                $(ApiKey::$key => {
                    let request = call.decode::<$request>(body)?;
                    call.encode::<$request>($module::$handler(call, request))
                })*
                $(ApiKey::$late_key => {
                    let request = call.decode::<$late_request>(body)?;
                    call.encode::<$late_request>($late_module::$late_handler(call, request).await)
                })*
                other => Err(Malformed::new(format!("{other:?} is not served"))),
            }
        }
    };
}

served! {
    at once {
        Produce: ProduceRequest => produce::produce,
        ListOffsets: ListOffsetsRequest => list_offsets::list_offsets,
        OffsetForLeaderEpoch: OffsetForLeaderEpochRequest => list_offsets::end_of_epoch,
        Metadata: MetadataRequest => cluster::metadata,
        ApiVersions: ApiVersionsRequest => cluster::api_versions,
        DescribeCluster: DescribeClusterRequest => cluster::describe,
        FindCoordinator: FindCoordinatorRequest => cluster::find_coordinator,
        CreateTopics: CreateTopicsRequest => topics::create,
        DeleteTopics: DeleteTopicsRequest => topics::delete,
        CreatePartitions: CreatePartitionsRequest => topics::create_partitions,
        DeleteRecords: DeleteRecordsRequest => topics::delete_records,
        ListPartitionReassignments: ListPartitionReassignmentsRequest => topics::reassignments,
        DescribeConfigs: DescribeConfigsRequest => configs::describe,
        AlterConfigs: AlterConfigsRequest => configs::alter,
        IncrementalAlterConfigs: IncrementalAlterConfigsRequest => configs::alter_incrementally,
        Heartbeat: HeartbeatRequest => groups::heartbeat,
        LeaveGroup: LeaveGroupRequest => groups::leave,
        ListGroups: ListGroupsRequest => groups::list,
        DescribeGroups: DescribeGroupsRequest => groups::describe,
        DeleteGroups: DeleteGroupsRequest => groups::delete,
        OffsetCommit: OffsetCommitRequest => offsets::commit,
        OffsetFetch: OffsetFetchRequest => offsets::fetch,
        OffsetDelete: OffsetDeleteRequest => offsets::delete,
        InitProducerId: InitProducerIdRequest => transactions::init_producer_id,
        AddPartitionsToTxn: AddPartitionsToTxnRequest => transactions::add_partitions,
        AddOffsetsToTxn: AddOffsetsToTxnRequest => transactions::add_offsets,
        TxnOffsetCommit: TxnOffsetCommitRequest => transactions::commit_offsets,
        EndTxn: EndTxnRequest => transactions::end,
        DescribeProducers: DescribeProducersRequest => inspect::producers,
        ListTransactions: ListTransactionsRequest => inspect::list,
        DescribeTransactions: DescribeTransactionsRequest => inspect::describe,
    }
    later {
        Fetch: FetchRequest => fetch::fetch,
        JoinGroup: JoinGroupRequest => groups::join,
        SyncGroup: SyncGroupRequest => groups::sync,
    }
}

#[cfg(test)]
fn sample<R: Request + Default>(key: ApiKey, samples: &mut Vec<(ApiKey, i16, Bytes)>) {
    for version in R::VERSIONS.min..=R::VERSIONS.max {
        let mut body = BytesMut::new();
        R::default().encode(&mut body, version).expect("an empty request fits every version");
        samples.push((key, version, body.freeze()));
    }
}

/// What is served, as clients are told.
pub(super) fn versions() -> Vec<ApiVersion> {
    let served = SERVED.iter().map(|(key, versions)| {
        let version = ApiVersion::default();
        // Versions that Kafka 4 does not serve either, but names: librdkafka tells from them
        // which codecs a broker knows (KAFKA-18659).
        let min = if *key == ApiKey::Produce { 0 } else { versions.min };
        version.with_api_key(*key as i16).with_min_version(min).with_max_version(versions.max)
    });
    served.collect()
}

/// Answers a request; none where the client wants no answer.
pub(super) async fn answer(client: &Client, frame: Bytes) -> Result<Option<BytesMut>, Malformed> {
    let Some((head, _)) = frame.split_first_chunk::<SHORTEST_HEADER>() else {
        return Err(Malformed::new("it is shorter than a header"));
    };
    let number = i16::from_be_bytes([head[0], head[1]]);
    let version = i16::from_be_bytes([head[2], head[3]]);
    let correlation_id = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let served = SERVED.iter().find(|(key, _)| *key as i16 == number);
    let Some((key, versions)) = served else {
        return Err(Malformed::new(format!("API {number} is not served")));
    };
    let mut call = Call { client, version, client_id: StrBytes::new(), correlation_id };
    if !(versions.min..=versions.max).contains(&version) {
        if *key == ApiKey::ApiVersions {
            return call.refuse_version().map(Some);
        }
        return Err(Malformed::new(format!("version {version} of {key:?} is not served")));
    }
    let mut body = frame;
    let header_version = key.request_header_version(version);
    let header: RequestHeader = guard::decode(&mut body, header_version)
        .map_err(|e| Malformed::new(format!("the header of {key:?}: {e}")))?;
    call.client_id = header.client_id.unwrap_or_default();
    dispatch(*key, &call, body).await
}

impl Call<'_> {
    /// Bytes behind the request are passed over, as brokers do: librdkafka leaves three of them
    /// when it asks for all topics.
    fn decode<R: Request>(&self, mut body: Bytes) -> Result<R, Malformed> {
        guard::decode::<R>(&mut body, self.version)
            .map_err(|e| Malformed::new(format!("API {} v{}: {e}", R::KEY, self.version)))
    }

    /// The answer as it goes over the wire.
    fn encode<R: Request>(
        &self,
        answer: impl Into<Option<R::Response>>,
    ) -> Result<Option<BytesMut>, Malformed> {
        match answer.into() {
            None => Ok(None),
            Some(answer) => self.frame(&answer, self.version).map(Some),
        }
    }

    fn frame<R>(&self, answer: &R, version: i16) -> Result<BytesMut, Malformed>
    where
        R: Encodable + HeaderVersion,
    {
        let failed = |e: &dyn fmt::Display| {
            Malformed::new(format!("the answer does not fit version {version}: {e}"))
        };
        let size = answer.compute_size(version).map_err(|e| failed(&e))?;
        let mut bytes = BytesMut::with_capacity(size + 16);
        bytes.put_i32(0);
        ResponseHeader::default()
            .with_correlation_id(self.correlation_id)
            .encode(&mut bytes, R::header_version(version))
            .and_then(|()| answer.encode(&mut bytes, version))
            .map_err(|e| failed(&e))?;
        let length = i32::try_from(bytes.len() - 4).map_err(|e| failed(&e))?;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        Ok(bytes)
    }

    /// A client that asks for the versions in one that is too new is told in the oldest.
    fn refuse_version(&self) -> Result<BytesMut, Malformed> {
        let answer = ApiVersionsResponse::default()
            .with_error_code(ResponseError::UnsupportedVersion.code())
            .with_api_keys(versions());
        self.frame(&answer, 0)
    }
}
