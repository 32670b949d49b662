//! Decides what a client is told of the cluster: its one node, its topics, what it can do.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, DescribeClusterRequest,
    DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest,
    MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use millrace_api::ErrorKind;

use super::NODE_ID;
use super::api::{self, Call};
use super::error::{Refused, code};
use super::topics::{by_id, name_of};
use crate::embedded::topic_id::TopicId;
use crate::embedded::{Topic, check_name};
use crate::lock::lock;

/// Kafka's own limit for a time-out, and its word for the transactions of KIP-890.
const TRANSACTION_FEATURE: StrBytes = StrBytes::from_static_str("transaction.version");
/// The second part of KIP-890: an epoch per transaction, partitions added by producing.
const TRANSACTION_VERSION: i16 = 2;

pub(super) fn api_versions(call: &Call<'_>, _: ApiVersionsRequest) -> ApiVersionsResponse {
    let answer = ApiVersionsResponse::default().with_api_keys(api::versions());
    if call.version < 3 {
        return answer;
    }
    answer
        .with_supported_features(vec![
            SupportedFeatureKey::default()
                .with_name(TRANSACTION_FEATURE)
                .with_max_version(TRANSACTION_VERSION),
        ])
        .with_finalized_features_epoch(0)
        .with_finalized_features(vec![
            FinalizedFeatureKey::default()
                .with_name(TRANSACTION_FEATURE)
                .with_max_version_level(TRANSACTION_VERSION)
                .with_min_version_level(TRANSACTION_VERSION),
        ])
}

pub(super) fn metadata(call: &Call<'_>, request: MetadataRequest) -> MetadataResponse {
    let client = call.client;
    let brokers = client.nodes.ids().map(|node| {
        let (host, port) = client.address_of(node);
        let broker = MetadataResponseBroker::default().with_node_id(BrokerId(node));
        broker.with_host(host).with_port(port)
    });
    let wants_all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && call.version == 0,
    };
    let topics = match request.topics {
        Some(topics) if !wants_all => {
            let may_create = request.allow_auto_topic_creation;
            topics.into_iter().map(|topic| wanted_topic(call, topic, may_create)).collect()
        }
        _ => {
            let all = lock(&client.shared.topics);
            all.iter().map(|(name, topic)| described(call, name, topic)).collect()
        }
    };
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(StrBytes::from_string(client.shared.cluster_id.clone())))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics)
}

fn wanted_topic(
    call: &Call<'_>,
    wanted: MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    let Some(name) = wanted.name.filter(|name| !name.is_empty()) else {
        let id = TopicId(wanted.topic_id);
        return match by_id(&call.client.shared, id) {
            Some((name, topic)) => described(call, &name, &topic),
            None => MetadataResponseTopic::default()
                .with_error_code(ResponseError::UnknownTopicId.code())
                // Null only where the protocol has it.
                .with_name((call.version < 12).then(TopicName::default))
                .with_topic_id(id.0),
        };
    };
    match find_or_create(call, &name, may_create) {
        Ok(topic) => described(call, &name, &topic),
        Err(refused) => MetadataResponseTopic::default()
            .with_error_code(refused.code.code())
            .with_name(Some(name)),
    }
}

fn find_or_create(
    call: &Call<'_>,
    name: &str,
    may_create: bool,
) -> Result<std::sync::Arc<Topic>, Refused> {
    let shared = &call.client.shared;
    if check_name(name).is_err() {
        return Err(ResponseError::InvalidTopicException.into());
    }
    let found = match may_create {
        true => shared.topic_or_create(name),
        false => shared.topic(name),
    };
    found.map_err(|error| match error.kind() {
        ErrorKind::NotFound => ResponseError::UnknownTopicOrPartition.into(),
        _ => error.into(),
    })
}

fn described(call: &Call<'_>, name: &str, topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..topic.logs.len() as i32).map(|partition| {
        let (leader, epoch) = call.client.nodes.leader(name, partition);
        let described = MetadataResponsePartition::default()
            .with_partition_index(partition)
            .with_leader_id(BrokerId(leader))
            .with_replica_nodes(vec![BrokerId(leader)])
            .with_isr_nodes(vec![BrokerId(leader)]);
        match call.version {
            ..7 => described,
            _ => described.with_leader_epoch(epoch),
        }
    });
    let answer = MetadataResponseTopic::default()
        .with_name(Some(name_of(name)))
        .with_partitions(partitions.collect());
    match call.version {
        ..10 => answer,
        _ => answer.with_topic_id(topic.id.0),
    }
}

pub(super) fn describe(call: &Call<'_>, _: DescribeClusterRequest) -> DescribeClusterResponse {
    let client = call.client;
    let brokers = client.nodes.ids().map(|node| {
        let (host, port) = client.address_of(node);
        let broker = DescribeClusterBroker::default().with_broker_id(BrokerId(node));
        broker.with_host(host).with_port(port)
    });
    DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(client.shared.cluster_id.clone()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(brokers.collect())
}

pub(super) fn find_coordinator(
    call: &Call<'_>,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    const GROUP: i8 = 0;
    const TRANSACTION: i8 = 1;
    let client = call.client;
    let check = |key: &str| match request.key_type {
        GROUP | TRANSACTION if key.is_empty() => Err(ResponseError::InvalidRequest.into()),
        GROUP | TRANSACTION => Ok(()),
        _ => Err(Refused::new(
            ResponseError::InvalidRequest,
            "coordinators of groups and of transactions are known only",
        )),
    };
    if call.version < 4 {
        let result = check(&request.key);
        let answer = FindCoordinatorResponse::default().with_error_code(code(&result));
        return match result {
            Err(refused) if call.version > 0 => answer.with_error_message(refused.message()),
            Err(_) => answer,
            Ok(()) => answer
                .with_node_id(BrokerId(client.node))
                .with_host(client.host.clone())
                .with_port(client.port),
        };
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        let result = check(&key);
        let answer = Coordinator::default().with_error_code(code(&result)).with_key(key);
        match result {
            Err(refused) => answer.with_node_id(BrokerId(-1)).with_error_message(refused.message()),
            Ok(()) => answer
                .with_node_id(BrokerId(client.node))
                .with_host(client.host.clone())
                .with_port(client.port),
        }
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
