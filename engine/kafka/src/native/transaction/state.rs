//! Decides what a transactional producer may do next, as Java's `TransactionManager` does: which
//! errors end a transaction, and which end the producer.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError as Code;
use millrace_api::{Error, ErrorKind, Result, TopicPartition};

use crate::native::producer::ProducerId;

/// How far the transaction is.
#[derive(Debug)]
enum Phase {
    /// The transactional id is not registered yet.
    New,
    /// No transaction.
    Ready,
    /// Records may be sent.
    Open,
    Committing,
    Aborting,
    /// It can only be aborted.
    Failed(Error),
    /// The producer has to be replaced.
    Broken(Error),
}

/// A transactional producer's state.
#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    producer: Option<ProducerId>,
    /// Partitions need not be added, and every end gives a new epoch (KIP-890).
    is_second_version: bool,
    /// The same of the next transaction.
    offers_second_version: bool,
    /// Whether the coordinator gives a new epoch when it is asked (KIP-360).
    can_bump: bool,
    /// Brokers may miss sequence numbers, so the next transaction needs a new epoch.
    needs_bump: bool,
    /// Whether there is anything for the coordinator to end.
    has_begun: bool,
    added: BTreeSet<TopicPartition>,
    wanted: BTreeSet<TopicPartition>,
}

/// What a call on transactions waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native) enum Operation {
    Init,
    Commit,
    Abort,
}

impl Operation {
    pub(in crate::native) fn name(self) -> &'static str {
        match self {
            Self::Init => "init_transactions",
            Self::Commit => "commit_transaction",
            Self::Abort => "abort_transaction",
        }
    }
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::New,
            producer: None,
            is_second_version: false,
            offers_second_version: false,
            can_bump: false,
            needs_bump: false,
            has_begun: false,
            added: BTreeSet::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Takes note of what the cluster and the coordinator can do.
    pub(super) fn cluster_speaks(&mut self, is_second_version: bool, can_bump: bool) {
        self.can_bump = can_bump;
        self.offers_second_version = is_second_version;
    }

    /// Checks whether this may begin, and begins it.
    pub(super) fn begin_operation(&mut self, operation: Operation) -> Result<()> {
        let next = match (&self.phase, operation) {
            (Phase::Broken(error), _) => return Err(error.copied()),
            (Phase::New, Operation::Init) => return Ok(()),
            (Phase::Open, Operation::Commit) => Phase::Committing,
            (Phase::Failed(error), Operation::Commit) => return Err(must_abort(error)),
            (Phase::Open | Phase::Failed(_), Operation::Abort) => Phase::Aborting,
            _ => return Err(self.out_of_order(operation.name())),
        };
        if operation == Operation::Abort {
            self.wanted.clear();
        }
        self.phase = next;
        Ok(())
    }

    /// Begins a transaction.
    pub(super) fn begin(&mut self) -> Result<()> {
        match &self.phase {
            Phase::Ready => {
                self.phase = Phase::Open;
                Ok(())
            }
            Phase::Broken(error) => Err(error.copied()),
            Phase::Failed(error) => Err(must_abort(error)),
            _ => Err(self.out_of_order("begin_transaction")),
        }
    }

    /// Whether records may be sent.
    pub(super) fn check_send(&self) -> Result<()> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Broken(error) => Err(error.copied()),
            Phase::Failed(error) => Err(must_abort(error)),
            _ => Err(self.out_of_order("send")),
        }
    }

    fn out_of_order(&self, what: &'static str) -> Error {
        let now = match self.phase {
            Phase::New => "init_transactions comes first",
            Phase::Ready => "begin_transaction comes first",
            Phase::Open => "a transaction is open",
            Phase::Committing => "commit_transaction has not ended",
            Phase::Aborting => "abort_transaction has not ended",
            Phase::Failed(_) | Phase::Broken(_) => "the transaction has failed",
        };
        Error::fatal(format!("{what} cannot be called now: {now}"))
    }

    /// Who the producer is.
    pub(super) fn producer(&self) -> Option<ProducerId> {
        self.producer
    }

    /// The coordinator has said who the producer is: what it began is over.
    pub(super) fn registered(&mut self, producer: ProducerId) {
        self.producer = Some(producer);
        self.clear();
    }

    /// The coordinator has ended the transaction. True when a new epoch has to be asked for before
    /// the next.
    pub(super) fn ended(&mut self, producer: Option<ProducerId>) -> bool {
        if let Some(producer) = producer {
            self.producer = Some(producer);
            self.needs_bump = false;
        }
        // Nothing holds records of the second version back until the transaction before has ended
        // everywhere: with the epoch they had in the first, they would be taken for its records.
        if self.needs_bump || self.offers_second_version && !self.is_second_version {
            return true;
        }
        self.clear();
        false
    }

    fn clear(&mut self) {
        self.phase = Phase::Ready;
        self.is_second_version = self.offers_second_version;
        (self.needs_bump, self.has_begun) = (false, false);
        self.added.clear();
        self.wanted.clear();
    }

    /// Whether a batch may be sent to a partition now. One not yet added is wanted from now on.
    pub(super) fn admits(&mut self, partition: &TopicPartition) -> bool {
        if !matches!(self.phase, Phase::Open | Phase::Committing) {
            return false;
        }
        if self.is_second_version {
            self.has_begun = true;
            return true;
        }
        if self.added.contains(partition) {
            return true;
        }
        self.wanted.insert(partition.clone());
        false
    }

    /// Partitions that have to be added first.
    pub(super) fn wanted(&self) -> &BTreeSet<TopicPartition> {
        &self.wanted
    }

    pub(super) fn added(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.has_begun = true;
        self.wanted.retain(|partition| !partitions.contains(partition));
        self.added.extend(partitions);
    }

    pub(super) fn has_added(&self) -> bool {
        !self.added.is_empty()
    }

    /// Why nothing that is still buffered will be sent; none when it may be.
    pub(super) fn gives_up(&self) -> Option<Error> {
        match &self.phase {
            Phase::Failed(error) => Some(must_abort(error)),
            Phase::Broken(error) => Some(error.copied()),
            Phase::Aborting => Some(Error::new(ErrorKind::Conflict, "the transaction was aborted")),
            _ => None,
        }
    }

    /// A batch was not written, with this code if the broker said so.
    pub(super) fn batch_failed(&mut self, code: Option<Code>, error: &Error) {
        let is_fatal = code.is_some_and(|code| {
            matches!(
                code,
                Code::ProducerFenced
                    | Code::ClusterAuthorizationFailed
                    | Code::TransactionalIdAuthorizationFailed
                    | Code::InvalidProducerIdMapping
                    | Code::UnsupportedVersion
            )
        });
        self.needs_bump = true;
        match is_fatal {
            true => self.broke(error.copied()),
            false => self.failed(error),
        }
    }

    /// Sequence numbers were given out that brokers will never see.
    pub(super) fn lost_numbers(&mut self) {
        self.needs_bump = true;
    }

    /// The transaction can only be aborted.
    pub(super) fn failed(&mut self, error: &Error) {
        if matches!(self.phase, Phase::Open | Phase::Committing) {
            self.phase = Phase::Failed(error.copied());
        }
    }

    /// The producer has to be replaced.
    pub(super) fn broke(&mut self, error: Error) {
        if !matches!(self.phase, Phase::Broken(_)) {
            let kind = ErrorKind::Fatal;
            let error = match error.kind() {
                ErrorKind::Fatal => error,
                _ => Error::new(kind, error.message().to_owned()).with_source(error),
            };
            self.phase = Phase::Broken(error);
        }
    }

    pub(super) fn is_second_version(&self) -> bool {
        self.is_second_version
    }

    /// Whether the coordinator has something to end, and in which version.
    pub(super) fn end(&self) -> Option<bool> {
        self.has_begun.then_some(self.is_second_version)
    }

    /// Why the transaction did not end as it was to.
    pub(super) fn check_operation(&self) -> Result<()> {
        match &self.phase {
            Phase::Failed(error) => Err(must_abort(error)),
            Phase::Broken(error) => Err(error.copied()),
            _ => Ok(()),
        }
    }

    /// Whether a coordinator before Kafka 2.5 leaves a producer with lost numbers stuck.
    pub(super) fn can_bump(&self) -> bool {
        self.can_bump
    }
}

/// What a call hears once the transaction has failed.
fn must_abort(cause: &Error) -> Error {
    let what = "the transaction has failed and has to be aborted";
    Error::new(ErrorKind::Conflict, format!("{what}: {}", cause.message()))
        .with_source(cause.copied())
}

/// What the answer of a coordinator means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Ask again, at the coordinator that is to be looked for if it is another.
    Again { elsewhere: bool },
    /// The transaction can only be aborted.
    Abort,
    /// The producer has to be replaced.
    Broken,
}

impl Judgement {
    pub(super) fn of(code: Code) -> Self {
        match code {
            Code::NotCoordinator | Code::CoordinatorNotAvailable => Self::Again { elsewhere: true },
            Code::ConcurrentTransactions => Self::Again { elsewhere: false },
            code if code.is_retriable() => Self::Again { elsewhere: false },
            Code::TransactionAbortable
            | Code::TopicAuthorizationFailed
            | Code::OperationNotAttempted => Self::Abort,
            _ => Self::Broken,
        }
    }
}
