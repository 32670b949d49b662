//! Decides how a transactional producer goes from transaction to transaction, and who may speak for
//! it (`TransactionCoordinator` in Kafka, with both protocols of KIP-890).
//!
//! Everything here is a synchronous function of its inputs; time is one of them. A transaction that
//! ends is decided first, then [stored](store), then marked in its partitions, then done: whenever
//! the process is stopped, the next one goes on from what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use millrace_api::TopicPartition;
use tokio::time::Instant;

use super::marker::Marker;
use super::offsets::Committed;

pub(super) mod store;

#[cfg(test)]
mod tests;

/// The last epoch of a producer's id; one more is left for a marker that fences it.
const LAST_EPOCH: i16 = i16::MAX - 1;
const NO_EPOCH: i16 = -1;

/// The longest that a transaction may take (`transaction.max.timeout.ms`).
const MAX_TIMEOUT: Duration = Duration::from_secs(900);

/// How long to wait before an end that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is being done with a producer's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl State {
    /// Kafka's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }

    fn is_ending(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }
}

/// A producer's id and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProducerEpoch {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// What is known about one transactional id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transaction {
    pub(super) producer: ProducerEpoch,
    /// The one before: a client that has missed an answer still has it.
    last: Option<ProducerEpoch>,
    pub(super) timeout: Duration,
    pub(super) state: State,
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// What groups will have committed when it commits. A group may be in it with nothing yet.
    offsets: BTreeMap<String, BTreeMap<TopicPartition, Committed>>,
    /// Who the next transaction is of, while this one ends.
    next: Option<ProducerEpoch>,
    /// When it is aborted, or when its end is tried again.
    deadline: Option<Instant>,
}

/// The end of a transaction, to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ending {
    pub(super) marker: Marker,
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// What groups have committed with it.
    pub(super) offsets: BTreeMap<String, BTreeMap<TopicPartition, Committed>>,
}

/// What a request for a producer's id comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    Ready(ProducerEpoch),
    /// The transaction that was open has to be aborted first.
    Ends,
    /// A new id is needed.
    WantsId,
}

/// How a transaction is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) is_commit: bool,
    /// The next transaction has the next epoch, and so an answer that was lost can be told from a
    /// mistake (KIP-890, second part).
    pub(super) bumps: bool,
}

/// What a request to end a transaction comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is decided, and has to be written.
    Ends,
    /// It was done before; the answer was lost.
    Done(ProducerEpoch),
    /// A new id is needed: the epochs of this one are used up.
    WantsId,
}

/// All transactional ids.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    all: BTreeMap<String, Transaction>,
}

impl Transactions {
    /// Goes on with what was stored.
    pub(super) fn restore(&mut self, id: String, mut transaction: Transaction, now: Instant) {
        transaction.deadline = match transaction.state {
            State::Ongoing => Some(now + transaction.timeout),
            state if state.is_ending() => Some(now),
            _ => None,
        };
        self.all.insert(id, transaction);
    }

    pub(super) fn get(&self, id: &str) -> Option<&Transaction> {
        self.all.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.all.iter()
    }

    /// Gives a producer its id and a new epoch, so that earlier ones are fenced. `current` is what
    /// the producer has, if it has any (KIP-360); `new_id` an id that nobody has had.
    pub(super) fn init(
        &mut self,
        id: &str,
        timeout: Duration,
        current: Option<ProducerEpoch>,
        new_id: Option<i64>,
    ) -> Result<Init, ResponseError> {
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let Some(transaction) = self.all.get_mut(id) else {
            let Some(new_id) = new_id else {
                return Ok(Init::WantsId);
            };
            let producer = ProducerEpoch { id: new_id, epoch: 0 };
            self.all.insert(id.to_owned(), Transaction::new(producer, timeout));
            return Ok(Init::Ready(producer));
        };
        if transaction.state.is_ending() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let producer = transaction.producer;
        if let Some(current) = current.filter(|current| *current != producer) {
            return match transaction.last == Some(current) {
                true => Ok(Init::Ready(producer)),
                false => Err(ResponseError::ProducerFenced),
            };
        }
        if transaction.state == State::Ongoing {
            transaction.fence();
            return Ok(Init::Ends);
        }
        let next = match producer.epoch {
            ..LAST_EPOCH => ProducerEpoch { epoch: producer.epoch + 1, ..producer },
            _ => match new_id {
                Some(id) => ProducerEpoch { id, epoch: 0 },
                None => return Ok(Init::WantsId),
            },
        };
        transaction.last = current;
        transaction.producer = next;
        transaction.timeout = timeout;
        transaction.state = State::Empty;
        Ok(Init::Ready(next))
    }

    /// Adds partitions to a transaction; the first begin it. Says whether that changes anything.
    pub(super) fn add(
        &mut self,
        id: &str,
        from: ProducerEpoch,
        partitions: impl IntoIterator<Item = TopicPartition>,
        now: Instant,
    ) -> Result<bool, ResponseError> {
        let transaction = self.begun(id, from, now)?;
        let (was_ongoing, before) =
            (transaction.state == State::Ongoing, transaction.partitions.len());
        transaction.state = State::Ongoing;
        transaction.partitions.extend(partitions);
        Ok(!was_ongoing || transaction.partitions.len() > before)
    }

    /// Adds a group, whose offsets are to be committed with the transaction.
    pub(super) fn add_group(
        &mut self,
        id: &str,
        from: ProducerEpoch,
        group: &str,
        now: Instant,
    ) -> Result<(), ResponseError> {
        let transaction = self.begun(id, from, now)?;
        transaction.state = State::Ongoing;
        transaction.offsets.entry(group.to_owned()).or_default();
        Ok(())
    }

    /// Whether a batch for this partition belongs to the producer's transaction.
    pub(super) fn check(
        &self,
        id: &str,
        from: ProducerEpoch,
        partition: &TopicPartition,
    ) -> Result<(), ResponseError> {
        let transaction = self.all.get(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        transaction.check(from)?;
        match transaction.state == State::Ongoing && transaction.partitions.contains(partition) {
            true => Ok(()),
            false => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Takes note of what a group is to have committed. The group was added before.
    pub(super) fn commit_offsets(
        &mut self,
        id: &str,
        from: ProducerEpoch,
        group: &str,
        offsets: BTreeMap<TopicPartition, Committed>,
    ) -> Result<(), ResponseError> {
        let found = self.all.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        found.check(from)?;
        let is_ongoing = found.state == State::Ongoing;
        let of_group = found.offsets.get_mut(group).filter(|_| is_ongoing);
        of_group.ok_or(ResponseError::InvalidTxnState)?.extend(offsets);
        Ok(())
    }

    /// The partitions for which a group may soon have committed something else.
    pub(super) fn pending_offsets(&self, group: &str) -> BTreeSet<TopicPartition> {
        let pending = self.all.values().filter_map(|transaction| transaction.offsets.get(group));
        pending.flat_map(|offsets| offsets.keys().cloned()).collect()
    }

    /// Commits or aborts. `new_id`: an id that nobody has had.
    pub(super) fn end(
        &mut self,
        id: &str,
        from: ProducerEpoch,
        Outcome { is_commit, bumps }: Outcome,
        new_id: Option<i64>,
    ) -> Result<End, ResponseError> {
        let found = self.all.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        let done = if is_commit { State::CompleteCommit } else { State::CompleteAbort };
        if bumps && found.last == Some(from) && found.state == done {
            return Ok(End::Done(found.producer));
        }
        found.check(from)?;
        match found.state {
            State::PrepareCommit | State::PrepareAbort => {
                return Err(ResponseError::ConcurrentTransactions);
            }
            State::Ongoing => {}
            // Nothing was sent, but the client wants a new epoch.
            _ if bumps && !is_commit => {}
            state if !bumps && state == done => return Ok(End::Done(found.producer)),
            _ => return Err(ResponseError::InvalidTxnState),
        }
        let next = match from.epoch {
            _ if !bumps => from,
            ..LAST_EPOCH => ProducerEpoch { epoch: from.epoch + 1, ..from },
            _ => match new_id {
                Some(id) => ProducerEpoch { id, epoch: 0 },
                None => return Ok(End::WantsId),
            },
        };
        found.state = if is_commit { State::PrepareCommit } else { State::PrepareAbort };
        found.last = bumps.then_some(from);
        found.next = Some(next);
        if bumps {
            found.producer.epoch += 1;
        }
        Ok(End::Ends)
    }

    /// Aborts what has taken too long, and fences its producer; also names ends to be tried again.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let mut expired = Vec::new();
        for (id, transaction) in &mut self.all {
            if transaction.deadline.is_some_and(|deadline| deadline <= now) {
                if transaction.state == State::Ongoing {
                    transaction.fence();
                }
                transaction.deadline = Some(now + RETRY);
                expired.push(id.clone());
            }
        }
        expired
    }

    /// When something will be due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.all.values().filter_map(|transaction| transaction.deadline).min()
    }

    /// What is to be written for a transaction that was decided; none when there is nothing.
    pub(super) fn ending(&self, id: &str) -> Option<Ending> {
        let transaction = self.all.get(id).filter(|found| found.state.is_ending())?;
        let is_commit = transaction.state == State::PrepareCommit;
        let ProducerEpoch { id: producer_id, epoch: producer_epoch } = transaction.producer;
        Some(Ending {
            marker: Marker { producer_id, producer_epoch, is_commit },
            partitions: transaction.partitions.clone(),
            offsets: if is_commit { transaction.offsets.clone() } else { BTreeMap::new() },
        })
    }

    /// Takes note that the end is written.
    pub(super) fn completed(&mut self, id: &str) {
        let Some(transaction) = self.all.get_mut(id) else {
            return;
        };
        transaction.state = match transaction.state {
            State::PrepareCommit => State::CompleteCommit,
            State::PrepareAbort => State::CompleteAbort,
            state => state,
        };
        transaction.producer = transaction.next.take().unwrap_or(transaction.producer);
        transaction.partitions.clear();
        transaction.offsets.clear();
        transaction.deadline = None;
    }

    /// Has an end that could not be written tried again.
    pub(super) fn retry(&mut self, id: &str, now: Instant) {
        if let Some(transaction) = self.all.get_mut(id).filter(|found| found.state.is_ending()) {
            transaction.deadline = Some(now + RETRY);
        }
    }

    /// One that may begin or go on.
    fn begun(
        &mut self,
        id: &str,
        from: ProducerEpoch,
        now: Instant,
    ) -> Result<&mut Transaction, ResponseError> {
        let found = self.all.get_mut(id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        found.check(from)?;
        match found.state {
            State::PrepareCommit | State::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            State::Ongoing => Ok(found),
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                found.deadline = Some(now + found.timeout);
                Ok(found)
            }
        }
    }
}

impl Transaction {
    fn new(producer: ProducerEpoch, timeout: Duration) -> Self {
        Self {
            producer,
            last: None,
            timeout,
            state: State::Empty,
            partitions: BTreeSet::new(),
            offsets: BTreeMap::new(),
            next: None,
            deadline: None,
        }
    }

    fn check(&self, from: ProducerEpoch) -> Result<(), ResponseError> {
        if from.id != self.producer.id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        match from.epoch == self.producer.epoch {
            true => Ok(()),
            false => Err(ResponseError::ProducerFenced),
        }
    }

    /// Aborts with an epoch that the producer does not have.
    fn fence(&mut self) {
        self.producer.epoch = self.producer.epoch.saturating_add(1);
        self.last = None;
        self.next = Some(self.producer);
        self.state = State::PrepareAbort;
    }
}

impl ProducerEpoch {
    /// As requests say it: none when they have -1.
    pub(super) fn of(id: i64, epoch: i16) -> Option<Self> {
        (id >= 0 && epoch > NO_EPOCH).then_some(Self { id, epoch })
    }
}
