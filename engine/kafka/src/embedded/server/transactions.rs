//! Decides what a client is told that asks for a producer's id or for a transaction, and carries
//! out what the transactions' state decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use millrace_api::{Result as ApiResult, TopicPartition};
use tokio::time::Instant;

use super::api::Call;
use super::error::Refused;
use super::offsets;
use crate::embedded::Shared;
use crate::embedded::coordinator::Identity;
use crate::embedded::log::NotAppended;
use crate::embedded::offsets::Committed;
use crate::embedded::transactions::{End, Init, Outcome, ProducerEpoch, Transactions};
use crate::lock::lock;
use crate::record_batch::BatchHeader;

/// From this version on a batch adds its partition to the transaction (KIP-890, second part).
const PRODUCE_ADDS: i16 = 12;
/// From this version on a producer is told that it may go on after an abort.
const PRODUCE_KNOWS_ABORTABLE: i16 = 11;
/// The same for a commit of offsets.
const OFFSETS_KNOW_ABORTABLE: i16 = 4;
/// From this version on a commit of offsets adds its group.
const OFFSETS_ADD: i16 = 5;
/// From this version on each transaction has its epoch.
const END_BUMPS: i16 = 5;

/// A code, where clients of earlier versions know another for the same.
fn fenced(error: ResponseError, since: i16, version: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if version < since => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

fn producer(id: ProducerId, epoch: i16) -> ProducerEpoch {
    ProducerEpoch { id: id.0, epoch }
}

fn storage(error: millrace_api::Error) -> ResponseError {
    Refused::from(error).code
}

pub(super) fn init_producer_id(
    call: &Call<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let shared = &call.client.shared;
    let given = match &request.transactional_id {
        None => shared.next_producer_id().map(|id| ProducerEpoch { id, epoch: 0 }).map_err(storage),
        Some(id) if id.is_empty() => Err(ResponseError::InvalidRequest),
        Some(id) => {
            let timeout = u64::try_from(request.transaction_timeout_ms).unwrap_or(0);
            let current = ProducerEpoch::of(request.producer_id.0, request.producer_epoch);
            shared.init_transactions(id, Duration::from_millis(timeout), current)
        }
    };
    match given {
        Ok(given) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(given.id))
            .with_producer_epoch(given.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(fenced(error, 4, call.version).code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

/// Whether a batch may go into this partition. As long as the guard lives its transaction does not
/// end: else the batch would begin another that nobody ends.
pub(super) fn admit<'a>(
    call: &'a Call<'_>,
    id: Option<&str>,
    header: &BatchHeader,
    (topic, partition): (&str, i32),
) -> Result<MutexGuard<'a, Transactions>, Refused> {
    let id = id.ok_or(ResponseError::InvalidTxnState)?;
    let shared = &call.client.shared;
    let from = ProducerEpoch { id: header.producer_id, epoch: header.producer_epoch };
    let tp = TopicPartition::new(topic, partition);
    let mut transactions = lock(&shared.transactions);
    let result = match call.version {
        ..PRODUCE_ADDS => transactions.check(id, from, &tp),
        _ => shared.add_to_transaction(&mut transactions, id, from, [tp].into()),
    };
    match result {
        Ok(()) => Ok(transactions),
        Err(ResponseError::InvalidTxnState) if call.version >= PRODUCE_KNOWS_ABORTABLE => {
            Err(ResponseError::TransactionAbortable.into())
        }
        // Producers know no other code for it here.
        Err(error) => Err(fenced(error, i16::MAX, call.version).into()),
    }
}

pub(super) fn add_partitions(
    call: &Call<'_>,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if call.version < 4 {
        let from = producer(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
        let id = request.v3_and_below_transactional_id.as_str();
        let results = added(call, id, from, request.v3_and_below_topics, false);
        return AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results);
    }
    let results = request.transactions.into_iter().map(|transaction| {
        let from = producer(transaction.producer_id, transaction.producer_epoch);
        let id = transaction.transactional_id.as_str();
        let results = added(call, id, from, transaction.topics, transaction.verify_only);
        AddPartitionsToTxnResult::default()
            .with_topic_results(results)
            .with_transactional_id(transaction.transactional_id)
    });
    AddPartitionsToTxnResponse::default().with_results_by_transaction(results.collect())
}

/// All of them, or none.
fn added(
    call: &Call<'_>,
    id: &str,
    from: ProducerEpoch,
    topics: Vec<AddPartitionsToTxnTopic>,
    verify_only: bool,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let shared = &call.client.shared;
    let of = |topic: &TopicName, partition: i32| TopicPartition::new(topic.as_str(), partition);
    let partitions = topics.iter().flat_map(|t| t.partitions.iter().map(|p| of(&t.name, *p)));
    let partitions: BTreeSet<_> = partitions.collect();
    let missing: BTreeSet<_> =
        partitions.iter().filter(|tp| shared.log(tp).is_err()).cloned().collect();
    let mut transactions = lock(&shared.transactions);
    let result = if !missing.is_empty() {
        Err(ResponseError::OperationNotAttempted)
    } else if verify_only {
        partitions.iter().try_for_each(|tp| transactions.check(id, from, tp))
    } else {
        shared.add_to_transaction(&mut transactions, id, from, partitions)
    };
    drop(transactions);
    let code = code(result.map_err(|error| fenced(error, 2, call.version)));
    let results = topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|partition| {
            let code = match missing.contains(&of(&topic.name, *partition)) {
                true => ResponseError::UnknownTopicOrPartition.code(),
                false => code,
            };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code)
        });
        let results = results.collect();
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name)
            .with_results_by_partition(results)
    });
    results.collect()
}

pub(super) fn add_offsets(
    call: &Call<'_>,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let shared = &call.client.shared;
    let from = producer(request.producer_id, request.producer_epoch);
    let id = request.transactional_id.as_str();
    let mut transactions = lock(&shared.transactions);
    let result = transactions
        .add_group(id, from, &request.group_id, Instant::now())
        .and_then(|()| shared.store_transaction(&transactions, id).map_err(storage));
    drop(transactions);
    shared.clock.changed();
    let code = code(result.map_err(|error| fenced(error, 2, call.version)));
    AddOffsetsToTxnResponse::default().with_error_code(code)
}

pub(super) fn commit_offsets(
    call: &Call<'_>,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let mut offsets = BTreeMap::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        topics.push((topic.name.clone(), checked(call, topic, &mut offsets)));
    }
    let result = written(call, &request, offsets);
    let topics = topics.into_iter().map(|(name, codes)| {
        let partitions = codes.into_iter().map(|(index, code)| {
            let code = result.as_ref().err().map_or(code, |error| error.code());
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code)
        });
        let partitions = partitions.collect();
        TxnOffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// The code of each partition; those that may be committed join the offsets.
fn checked(
    call: &Call<'_>,
    topic: &TxnOffsetCommitRequestTopic,
    offsets: &mut BTreeMap<TopicPartition, Committed>,
) -> Vec<(i32, i16)> {
    let codes = topic.partitions.iter().map(|partition| {
        let plain = OffsetCommitRequestPartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_committed_metadata(partition.committed_metadata.clone());
        let code = match offsets::checked(&call.client.shared, &topic.name, plain) {
            Ok((tp, committed)) => {
                offsets.extend(committed.map(|committed| (tp, committed)));
                0
            }
            Err(error) => error.code(),
        };
        (partition.partition_index, code)
    });
    codes.collect()
}

fn written(
    call: &Call<'_>,
    request: &TxnOffsetCommitRequest,
    offsets: BTreeMap<TopicPartition, Committed>,
) -> Result<(), ResponseError> {
    let shared = &call.client.shared;
    let from = Identity {
        member_id: request.member_id.clone(),
        instance_id: request.group_instance_id.clone(),
        generation: request.generation_id,
    };
    let (id, group) = (request.transactional_id.as_str(), request.group_id.as_str());
    let producer = producer(request.producer_id, request.producer_epoch);
    // Not held any longer: `groups` comes after `topics`, and that after `transactions`.
    if !lock(&shared.groups).members(group).is_empty() {
        return Err(ResponseError::UnknownMemberId);
    }
    lock(&shared.coordinator).check_commit(&request.group_id, &from, true, Instant::now())?;
    let mut transactions = lock(&shared.transactions);
    let known = |error| match error {
        ResponseError::InvalidTxnState if call.version >= OFFSETS_KNOW_ABORTABLE => {
            ResponseError::TransactionAbortable
        }
        error => fenced(error, i16::MAX, call.version),
    };
    if call.version >= OFFSETS_ADD {
        transactions.add_group(id, producer, group, Instant::now()).map_err(known)?;
        shared.clock.changed();
    }
    transactions.commit_offsets(id, producer, group, offsets).map_err(known)?;
    shared.store_transaction(&transactions, id).map_err(storage)
}

pub(super) fn end(call: &Call<'_>, request: EndTxnRequest) -> EndTxnResponse {
    let from = producer(request.producer_id, request.producer_epoch);
    let bumps = call.version >= END_BUMPS;
    let outcome = Outcome { is_commit: request.committed, bumps };
    let id = request.transactional_id.as_str();
    let result = call.client.shared.end_transaction(id, from, outcome);
    match result {
        Ok(next) if bumps => EndTxnResponse::default()
            .with_producer_id(ProducerId(next.id))
            .with_producer_epoch(next.epoch),
        Ok(_) => EndTxnResponse::default(),
        Err(error) => {
            EndTxnResponse::default().with_error_code(fenced(error, 2, call.version).code())
        }
    }
}

impl Shared {
    /// What transactions may soon have committed for a group.
    pub(super) fn pending_offsets(&self, group: &str) -> BTreeSet<TopicPartition> {
        lock(&self.transactions).pending_offsets(group)
    }

    pub(in crate::embedded) fn init_transactions(
        &self,
        id: &str,
        timeout: Duration,
        current: Option<ProducerEpoch>,
    ) -> Result<ProducerEpoch, ResponseError> {
        let mut transactions = lock(&self.transactions);
        let (mut current, mut new_id) = (current, None);
        loop {
            match transactions.init(id, timeout, current, new_id)? {
                Init::Ready(given) => {
                    self.store_transaction(&transactions, id).map_err(storage)?;
                    return Ok(given);
                }
                Init::WantsId => new_id = Some(self.next_producer_id().map_err(storage)?),
                Init::Ends => {
                    self.finish(&mut transactions, id)?;
                    // It was the current one: its epoch is another now.
                    current = None;
                }
            }
        }
    }

    fn add_to_transaction(
        &self,
        transactions: &mut Transactions,
        id: &str,
        from: ProducerEpoch,
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<(), ResponseError> {
        if transactions.add(id, from, partitions, Instant::now())? {
            self.store_transaction(transactions, id).map_err(storage)?;
            self.clock.changed();
        }
        Ok(())
    }

    fn end_transaction(
        &self,
        id: &str,
        from: ProducerEpoch,
        outcome: Outcome,
    ) -> Result<ProducerEpoch, ResponseError> {
        let mut transactions = lock(&self.transactions);
        let mut new_id = None;
        loop {
            match transactions.end(id, from, outcome, new_id)? {
                End::Done(next) => return Ok(next),
                End::WantsId => new_id = Some(self.next_producer_id().map_err(storage)?),
                End::Ends => {
                    self.finish(&mut transactions, id)?;
                    return Ok(transactions.get(id).map_or(from, |found| found.producer));
                }
            }
        }
    }

    /// Writes the end of a transaction that is decided.
    fn finish(&self, transactions: &mut Transactions, id: &str) -> Result<(), ResponseError> {
        let written = self.write_end(transactions, id);
        if let Err(error) = written {
            tracing::error!(%error, transactional.id = id, "a transaction cannot be ended yet");
            transactions.retry(id, Instant::now());
            self.clock.changed();
            return Err(ResponseError::KafkaStorageError);
        }
        Ok(())
    }

    fn write_end(&self, transactions: &mut Transactions, id: &str) -> ApiResult<()> {
        let Some(ending) = transactions.ending(id) else {
            return Ok(());
        };
        // From here on the next process would do the same.
        self.store_transaction(transactions, id)?;
        for tp in &ending.partitions {
            // Deleted since.
            let Ok(log) = self.log(tp) else { continue };
            match log.append_marker(&ending.marker) {
                Ok(()) => {}
                // A later one is there: this end was written already.
                Err(NotAppended::Refused(_)) => {}
                Err(NotAppended::Failed(error)) => return Err(error),
            }
        }
        for (group, offsets) in ending.offsets {
            let commits = offsets.into_iter().filter(|(tp, _)| self.log(tp).is_ok());
            let commits = commits.map(|(tp, committed)| (tp, Some(committed))).collect();
            self.offsets.write(&group, commits)?;
        }
        transactions.completed(id);
        self.store_transaction(transactions, id)
    }

    fn store_transaction(&self, transactions: &Transactions, id: &str) -> ApiResult<()> {
        match transactions.get(id) {
            Some(transaction) => self.transaction_store.save(id, transaction),
            None => Ok(()),
        }
    }

    /// Ends what has taken too long or could not be written before, and says when to look again.
    pub(super) fn tick_transactions(&self, now: Instant) -> Option<Instant> {
        let mut transactions = lock(&self.transactions);
        for id in transactions.expire(now) {
            // Told by `finish`, and tried again.
            if self.finish(&mut transactions, &id).is_ok() {
                tracing::info!(transactional.id = id, "a transaction has ended by itself");
            }
        }
        transactions.next_deadline()
    }
}
