//! Decides what tools see of producers and transactions (`kafka-transactions`).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{
    TopicData, TransactionState as Described,
};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use millrace_api::TopicPartition;

use super::api::Call;
use super::topics::name_of;
use crate::lock::lock;

pub(super) fn producers(
    call: &Call<'_>,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let answer = PartitionResponse::default().with_partition_index(*index);
            let tp = TopicPartition::new(topic.name.as_str(), *index);
            let Ok(log) = call.client.shared.log(&tp) else {
                return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            let producers = log.producers().into_iter().map(|producer| {
                ProducerState::default()
                    .with_producer_id(ProducerId(producer.producer_id))
                    .with_producer_epoch(i32::from(producer.epoch))
                    .with_last_sequence(producer.last_sequence)
                    .with_last_timestamp(producer.last_timestamp)
                    .with_current_txn_start_offset(producer.open_since.unwrap_or(-1))
            });
            answer.with_active_producers(producers.collect())
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_partitions(partitions).with_name(topic.name)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

pub(super) fn list(call: &Call<'_>, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let transactions = lock(&call.client.shared.transactions);
    let states = &request.state_filters;
    let ids = &request.producer_id_filters;
    let wanted = transactions.all().filter(|(_, found)| {
        (states.is_empty() || states.iter().any(|state| &**state == found.state.name()))
            && (ids.is_empty() || ids.iter().any(|id| id.0 == found.producer.id))
    });
    let listed = wanted.map(|(id, found)| {
        Listed::default()
            .with_transactional_id(TransactionalId(StrBytes::from_string(id.clone())))
            .with_producer_id(ProducerId(found.producer.id))
            .with_transaction_state(StrBytes::from_static_str(found.state.name()))
    });
    ListTransactionsResponse::default().with_transaction_states(listed.collect())
}

pub(super) fn describe(
    call: &Call<'_>,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let transactions = lock(&call.client.shared.transactions);
    let described = request.transactional_ids.into_iter().map(|id| {
        let Some(found) = transactions.get(&id) else {
            let code = ResponseError::TransactionalIdNotFound.code();
            return Described::default().with_transactional_id(id).with_error_code(code);
        };
        let topics = found.partitions.iter().map(|tp| {
            TopicData::default().with_topic(name_of(&tp.topic)).with_partitions(vec![tp.partition])
        });
        Described::default()
            .with_transactional_id(id)
            .with_transaction_state(StrBytes::from_static_str(found.state.name()))
            .with_transaction_timeout_ms(i32::try_from(found.timeout.as_millis()).unwrap_or(-1))
            .with_transaction_start_time_ms(-1)
            .with_producer_id(ProducerId(found.producer.id))
            .with_producer_epoch(found.producer.epoch)
            .with_topics(topics.collect())
    });
    DescribeTransactionsResponse::default().with_transaction_states(described.collect())
}
