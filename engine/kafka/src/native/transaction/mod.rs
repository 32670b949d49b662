//! Decides how a producer's transactions are agreed on with their coordinator (KIP-98, KIP-360,
//! KIP-890).
//!
//! `state` says what may come next and what an error means; this file asks the coordinator, one
//! question at a time, again and again until there is an answer that decides.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::ResponseError as Code;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse,
};
use kafka_protocol::protocol::Request;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::brokers::Lane;
use super::client::{CallError, Client, CoordinatorOf, check};
use super::error::{Failure, FailureKind};
use super::net::Connection;
use super::producer::{Buffer, ProducerId};

mod requests;
mod state;

#[cfg(test)]
mod tests;

use crate::lock::lock;
pub(super) use state::Operation;
use state::{Judgement, State};

/// The last version of AddPartitionsToTxn that clients send; later ones are for brokers.
const ADD_PARTITIONS: i16 = 3;
/// The last version of EndTxn before KIP-890: later ones give a new epoch.
const END_1: i16 = 4;
/// How long to wait while the coordinator still ends the transaction before: that takes
/// milliseconds (as in Java).
const PREVIOUS_ENDS: Duration = Duration::from_millis(20);

/// The transactions of one producer.
pub(super) struct Transaction {
    client: Arc<Client>,
    id: String,
    timeout: Duration,
    state: Mutex<State>,
    coordinator: Mutex<Option<i32>>,
    /// Held while something is asked of the coordinator, to its answer: what it knows does not
    /// change meanwhile.
    asking: AsyncMutex<()>,
}

/// Why the coordinator did not do what it was asked.
enum Refusal {
    Abort(Error),
    Broken(Error),
}

impl Transaction {
    pub(super) fn new(client: Arc<Client>, id: String, timeout: Duration) -> Arc<Self> {
        let (state, coordinator) = (Mutex::new(State::new()), Mutex::default());
        Arc::new(Self { client, id, timeout, state, coordinator, asking: AsyncMutex::new(()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Begins a transaction.
    pub(super) fn begin(&self) -> Result<()> {
        self.state().begin().map_err(|error| self.named(error))
    }

    /// Whether records may be sent.
    pub(super) fn check_send(&self) -> Result<()> {
        self.state().check_send().map_err(|error| self.named(error))
    }

    /// Whether an operation may begin; it has begun then.
    pub(super) fn begin_operation(&self, operation: Operation) -> Result<()> {
        self.state().begin_operation(operation).map_err(|error| self.named(error))
    }

    pub(super) fn producer(&self) -> Option<ProducerId> {
        self.state().producer()
    }

    /// Whether a batch may be sent to a partition now.
    pub(super) fn admits(&self, partition: &TopicPartition) -> bool {
        self.state().admits(partition)
    }

    /// Whether batches go in the second version of transactions.
    pub(super) fn is_second_version(&self) -> bool {
        self.state().is_second_version()
    }

    /// Whether partitions wait to be added.
    pub(super) fn has_wanted(&self) -> bool {
        !self.state().wanted().is_empty()
    }

    /// Has what is still buffered taken out when none of it will be sent, and says why. No
    /// transaction begins meanwhile, so nothing of the next one is taken. `take` says whether
    /// sequence numbers went with it.
    pub(super) fn take_given_up(&self, take: impl FnOnce(&Error) -> bool) -> Option<Error> {
        let mut state = self.state();
        let error = state.gives_up().map(|error| self.named(error))?;
        if take(&error) {
            state.lost_numbers();
        }
        Some(error)
    }

    /// A batch was not written.
    pub(super) fn batch_failed(&self, code: Option<Code>, error: &Error) {
        self.state().batch_failed(code, error);
    }

    /// Sequence numbers were given out that brokers will never see.
    pub(super) fn lost_numbers(&self) {
        self.state().lost_numbers();
    }

    fn named(&self, error: Error) -> Error {
        error.context("transactional.id", &self.id)
    }

    /// Carries out what [`begin_operation`](Self::begin_operation) began. Not cancel-safe: it is to
    /// be run to its end.
    pub(super) async fn run(&self, operation: Operation, buffer: &Buffer) -> Result<()> {
        let done = match operation {
            Operation::Init => {
                let _asking = self.asking.lock().await;
                self.register().await
            }
            Operation::Commit => self.end(true, buffer).await,
            Operation::Abort => self.end(false, buffer).await,
        };
        done.map_err(|error| self.named(error))
    }

    /// Registers the transactional id, or asks for the next epoch. The caller holds `asking`.
    async fn register(&self) -> Result<()> {
        let before = self.state().producer();
        let build = |version| requests::init(&self.id, self.timeout, before, version);
        let read = |answer: &InitProducerIdResponse| check(answer.error_code, None);
        let what = "the transactional id cannot be registered";
        let answer = self.ask(i16::MAX, &build, &read, what).await;
        let answer = answer.map_err(|refusal| self.refused(refusal))?;
        let producer = ProducerId { id: answer.producer_id.0, epoch: answer.producer_epoch };
        self.state().registered(producer);
        Ok(())
    }

    /// Waits for what is on its way, then ends the transaction.
    async fn end(&self, commit: bool, buffer: &Buffer) -> Result<()> {
        let for_ever = Instant::now() + Duration::from_secs(365 * 24 * 3_600);
        buffer.settled(for_ever).await;
        // Partitions that are being added are known to the coordinator, or not, from here on.
        let _asking = self.asking.lock().await;
        self.state().check_operation()?;
        let Some(is_second_version) = self.state().end() else {
            return self.ended(None).await;
        };
        let producer = self.state().producer().unwrap_or(ProducerId { id: -1, epoch: -1 });
        let build = |_| requests::end(&self.id, producer, commit);
        let read = |answer: &EndTxnResponse| check(answer.error_code, None);
        let most = if is_second_version { i16::MAX } else { END_1 };
        let what = match commit {
            true => "the transaction cannot be committed",
            false => "the transaction cannot be aborted",
        };
        let answer = self.ask(most, &build, &read, what).await;
        let answer = answer.map_err(|refusal| self.refused(refusal))?;
        // Older versions say nothing.
        let next = ProducerId { id: answer.producer_id.0, epoch: answer.producer_epoch };
        self.ended(Some(next).filter(|next| is_second_version && next.id >= 0)).await
    }

    async fn ended(&self, producer: Option<ProducerId>) -> Result<()> {
        if !self.state().ended(producer) {
            return Ok(());
        }
        if !self.state().can_bump() {
            let error = Error::fatal(
                "the brokers miss records of the aborted transaction, and need Kafka 2.5 or newer \
                 to go on",
            );
            return Err(self.refused(Refusal::Broken(error)));
        }
        self.register().await
    }

    /// Adds the partitions that are wanted to the transaction.
    pub(super) async fn add_partitions(&self) {
        let _asking = self.asking.lock().await;
        let partitions = self.state().wanted().clone();
        let Some(producer) = self.producer().filter(|_| !partitions.is_empty()) else {
            return;
        };
        let build = |_| requests::add(&self.id, producer, &partitions);
        let what = "partitions cannot be added to the transaction";
        match self.ask(ADD_PARTITIONS, &build, &check_added, what).await {
            Ok(_) => self.state().added(partitions),
            Err(refusal) => {
                self.refused(refusal);
            }
        }
    }

    /// Takes note of a refusal; returns what the caller hears.
    fn refused(&self, refusal: Refusal) -> Error {
        let mut state = self.state();
        match refusal {
            Refusal::Abort(error) => state.failed(&error),
            Refusal::Broken(error) => state.broke(error),
        }
        state.check_operation().err().unwrap_or_else(|| {
            Error::new(ErrorKind::Conflict, "the transaction has failed and has to be aborted")
        })
    }

    /// Asks the coordinator until it has decided. The caller holds `asking`.
    async fn ask<R: Request>(
        &self,
        most: i16,
        build: &(dyn Fn(i16) -> R + Sync),
        read: &(dyn Fn(&R::Response) -> Result<(), CallError> + Sync),
        what: &'static str,
    ) -> Result<R::Response, Refusal> {
        let is_adding = R::KEY == AddPartitionsToTxnRequest::KEY;
        let mut backoff = self.client.backoff();
        loop {
            let error = match self.ask_once(most, build).await {
                Ok(answer) => match read(&answer) {
                    Ok(()) => return Ok(answer),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::debug!("{what}: {error:?}");
            self.wait(&error, is_adding, &mut backoff, what).await?;
        }
    }

    async fn ask_once<R: Request>(
        &self,
        most: i16,
        build: &(dyn Fn(i16) -> R + Sync),
    ) -> Result<R::Response, CallError> {
        let known = *self.coordinator();
        let node = match known {
            Some(node) => node,
            None => {
                let found = self.client.find_coordinator(CoordinatorOf::Transaction, &self.id);
                let found = found.await?;
                *self.coordinator() = Some(found);
                found
            }
        };
        let connection = self.client.connection(node, Lane::Coordinator).await?;
        let versions = connection.versions();
        let can_bump =
            versions.of::<InitProducerIdRequest>().is_ok_and(|v| v >= requests::EPOCH_BUMP);
        let is_second_version = self.client.feature("transaction.version") >= 2;
        self.state().cluster_speaks(is_second_version, can_bump);
        Ok(call(&connection, most, build, self.client.request_timeout()).await?)
    }

    fn coordinator(&self) -> MutexGuard<'_, Option<i32>> {
        lock(&self.coordinator)
    }

    /// Waits before the next try, if there is to be one.
    async fn wait(
        &self,
        error: &CallError,
        is_adding: bool,
        backoff: &mut Backoff,
        what: &'static str,
    ) -> Result<(), Refusal> {
        if is_adding && self.state().gives_up().is_some() {
            // Who aborts does not wait for partitions that may never be there.
            return Err(Refusal::Abort(error.clone().doing(what)));
        }
        let judgement = match error {
            CallError::Failed(failure) if failure.is_passing() => {
                Judgement::Again { elsewhere: true }
            }
            CallError::Failed(_) => Judgement::Broken,
            CallError::Refused(code, _) => Judgement::of(*code),
        };
        let elsewhere = match judgement {
            Judgement::Again { elsewhere } => elsewhere,
            Judgement::Abort => return Err(Refusal::Abort(error.clone().doing(what))),
            Judgement::Broken => return Err(Refusal::Broken(error.clone().doing(what))),
        };
        if elsewhere {
            *self.coordinator() = None;
        }
        // The first partition is often too early by the end of the transaction before.
        let is_early = is_adding
            && error.code() == Some(Code::ConcurrentTransactions)
            && !self.state().has_added();
        sleep(if is_early { PREVIOUS_ENDS } else { backoff.next() }).await;
        Ok(())
    }
}

/// One question in a version of at most `most`.
async fn call<R: Request>(
    connection: &Connection,
    most: i16,
    build: &(dyn Fn(i16) -> R + Sync),
    longest: Duration,
) -> Result<R::Response, Failure> {
    let version = connection.version_of::<R>()?.min(most);
    let mut body = BytesMut::new();
    build(version).encode(&mut body, version).map_err(|e| {
        let why = format!("request {} cannot be written in version {version}: {e}", R::KEY);
        Failure::new(FailureKind::Unsupported, why).of_broker(connection.broker())
    })?;
    let body = vec![body.freeze()];
    connection.start_encoded::<R>(longest, version, body).await?.response().await
}

/// All partitions were added, or none: the one that is to blame is told.
fn check_added(answer: &AddPartitionsToTxnResponse) -> Result<(), CallError> {
    let topics = answer.results_by_topic_v3_and_below.iter();
    let mut errors = topics.flat_map(|topic| {
        topic.results_by_partition.iter().filter_map(|one| {
            let code = Code::try_from_code(one.partition_error_code)?;
            let place = format!("{}-{}: {code}", topic.name.0, one.partition_index);
            Some((code, place))
        })
    });
    let first = errors.find(|(code, _)| *code != Code::OperationNotAttempted);
    match first {
        None => Ok(()),
        Some((code, words)) => Err(CallError::Refused(code, Some(words))),
    }
}
