//! The APIs whose messages come from or go to a network, for golden tests and fuzz targets.

/// Calls the macro `$each` with the name and the request of each API. The corpora of the fuzz
/// targets count them from the first: new ones go to the end.
macro_rules! apis {
    ($each:ident) => {
        $each! {
            "AddOffsetsToTxn" AddOffsetsToTxnRequest,
            "AddPartitionsToTxn" AddPartitionsToTxnRequest,
            "ApiVersions" ApiVersionsRequest,
            "ConsumerGroupDescribe" ConsumerGroupDescribeRequest,
            "ConsumerGroupHeartbeat" ConsumerGroupHeartbeatRequest,
            "CreatePartitions" CreatePartitionsRequest,
            "CreateTopics" CreateTopicsRequest,
            "DeleteGroups" DeleteGroupsRequest,
            "DeleteRecords" DeleteRecordsRequest,
            "DeleteTopics" DeleteTopicsRequest,
            "DescribeCluster" DescribeClusterRequest,
            "DescribeConfigs" DescribeConfigsRequest,
            "DescribeGroups" DescribeGroupsRequest,
            "DescribeProducers" DescribeProducersRequest,
            "DescribeTransactions" DescribeTransactionsRequest,
            "EndTxn" EndTxnRequest,
            "Fetch" FetchRequest,
            "FindCoordinator" FindCoordinatorRequest,
            "Heartbeat" HeartbeatRequest,
            "IncrementalAlterConfigs" IncrementalAlterConfigsRequest,
            "InitProducerId" InitProducerIdRequest,
            "JoinGroup" JoinGroupRequest,
            "LeaveGroup" LeaveGroupRequest,
            "ListGroups" ListGroupsRequest,
            "ListOffsets" ListOffsetsRequest,
            "ListTransactions" ListTransactionsRequest,
            "Metadata" MetadataRequest,
            "OffsetCommit" OffsetCommitRequest,
            "OffsetDelete" OffsetDeleteRequest,
            "OffsetFetch" OffsetFetchRequest,
            "OffsetForLeaderEpoch" OffsetForLeaderEpochRequest,
            "Produce" ProduceRequest,
            "SaslAuthenticate" SaslAuthenticateRequest,
            "SaslHandshake" SaslHandshakeRequest,
            "SyncGroup" SyncGroupRequest,
            "TxnOffsetCommit" TxnOffsetCommitRequest,
        }
    };
}

pub(crate) use apis;
