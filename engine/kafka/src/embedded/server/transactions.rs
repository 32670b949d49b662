//! Decides what a client is told that asks for a producer's id or for a transaction.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::api::Call;
use super::error::Refused;
use crate::record_batch::BatchHeader;

pub(super) fn init_producer_id(
    call: &Call<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if request.transactional_id.is_some() {
        return InitProducerIdResponse::default()
            .with_error_code(ResponseError::TransactionalIdAuthorizationFailed.code());
    }
    match call.client.shared.next_producer_id() {
        Ok(id) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(Refused::from(error).code.code())
            .with_producer_id(ProducerId(-1)),
    }
}

/// Whether a transaction takes this batch into this partition.
pub(super) fn admit(
    _: &Call<'_>,
    _: Option<&str>,
    _: &BatchHeader,
    _: (&str, i32),
) -> Result<(), Refused> {
    Err(ResponseError::InvalidTxnState.into())
}

impl crate::embedded::Shared {
    pub(super) fn pending_offsets(
        &self,
        _group: &str,
    ) -> std::collections::BTreeSet<millrace_api::TopicPartition> {
        std::collections::BTreeSet::new()
    }
}
