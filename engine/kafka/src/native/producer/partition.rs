//! Decides in which order the batches of one partition are sent, and sent again: as they were
//! closed, whatever is answered (KIP-98, KIP-360; Java's `Sender` and `TransactionManager`).
//!
//! Batches wait in a queue, get their sequence numbers when they are first sent, and are then
//! unacknowledged until every batch before them has its answer. While one of those waits to be sent
//! again, only the first of them may go: the others follow it one by one, with the numbers they
//! have. New numbers, in a new epoch, are given only when nothing of the partition is in flight and
//! the broker has said that it misses what is before the first: nothing is ever written twice.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use millrace_api::{Error, TopicPartition};
use tokio::time::Instant;

use super::batch::{Batch, Place, Rejection};
use super::sequences::{ProducerId, Sequences};
use crate::record_batch::Compressor;

/// What a partition would have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A batch with so many bytes.
    Send(usize),
    /// A batch, but not before this time.
    At(Instant),
    /// Nothing before an answer.
    Blocked,
    /// Nothing is closed; what is open may go.
    Empty,
}

/// Whether sequence numbers have to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Repair {
    No,
    /// A batch was given up. Those after it show whether the broker has it.
    IfGap,
    /// The broker misses it.
    Yes,
}

/// What an answer says of a batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is in the log, perhaps since an earlier try.
    Appended,
    /// It may be taken if it is sent again at this time.
    Again(Instant, String),
    /// The broker misses what comes before it, or has forgotten the producer.
    OutOfOrder(Rejection),
    /// It has more bytes than the topic allows.
    TooLarge(Rejection),
    /// It will not be taken.
    Rejected(Rejection),
}

/// A batch as it went into a request.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: u64,
    pub(super) bytes: Bytes,
    /// How often it was sent, this time included.
    pub(super) attempts: u32,
    /// The producer and the sequence number after the last record.
    pub(super) end: Option<(ProducerId, i32)>,
}

/// A batch whose fate is known.
pub(super) type Settled = (Batch, Result<(), Rejection>);

/// What splitting a batch has brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// The memory it had.
    pub(super) before: usize,
    /// That of its parts.
    pub(super) after: usize,
    /// Half of what it had before compression.
    pub(super) most_bytes: usize,
}

/// How batches are sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// `retries`
    pub(super) retries: u32,
    /// How many requests may be in flight with batches of one partition.
    pub(super) in_flight: usize,
    pub(super) delivery_timeout: Duration,
    pub(super) is_transactional: bool,
}

/// One partition, as the sender sees it.
pub(super) struct Partition {
    pub(super) name: TopicPartition,
    pub(super) leader: Option<i32>,
    /// When there was last something to send to it.
    pub(super) used_at: Instant,
    rules: Rules,
    queue: VecDeque<Batch>,
    unacknowledged: VecDeque<Batch>,
    /// Requests without an answer, also those whose batch was given up.
    in_flight: usize,
    sequences: Option<Sequences>,
    repair: Repair,
}

impl Partition {
    pub(super) fn new(name: TopicPartition, rules: Rules) -> Self {
        Self {
            name,
            leader: None,
            used_at: Instant::now(),
            rules,
            queue: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            in_flight: 0,
            sequences: None,
            repair: Repair::No,
        }
    }

    /// The next batch in the order of the partition.
    pub(super) fn push(&mut self, batch: Batch) {
        self.queue.push_back(batch);
    }

    /// Whether it has no batches at all, nor waits for answers.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.unacknowledged.is_empty() && self.in_flight == 0
    }

    /// What it would have sent.
    pub(super) fn next(&self, now: Instant) -> Next {
        if self.repair == Repair::Yes {
            return Next::Blocked;
        }
        let waits = |batch: &Batch| matches!(batch.place, Place::Waiting(_));
        if self.unacknowledged.iter().any(waits) {
            let first = &self.unacknowledged[0];
            return match first.place {
                Place::Waiting(at) if at > now => Next::At(at),
                Place::Waiting(_) => Next::Send(first.len()),
                Place::InFlight | Place::Done(_) => Next::Blocked,
            };
        }
        let outstanding = self.unacknowledged.len().max(self.in_flight);
        if self.repair != Repair::No || outstanding >= self.rules.in_flight {
            return Next::Blocked;
        }
        self.queue.front().map_or(Next::Empty, |batch| Next::Send(batch.len()))
    }

    /// Takes the batch that [`next`](Self::next) has announced. `producer` is none unless it is
    /// idempotent.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub(super) fn take(&mut self, producer: Option<ProducerId>) -> Sent {
        let again =
            matches!(self.unacknowledged.front(), Some(Batch { place: Place::Waiting(_), .. }));
        if !again {
            let new = self.queue.pop_front().expect("a batch was announced");
            self.unacknowledged.push_back(new);
        }
        let is_alone = self.unacknowledged.len() == 1 && self.in_flight == 0;
        let at = if again { 0 } else { self.unacknowledged.len() - 1 };
        let batch = &mut self.unacknowledged[at];
        if let Some(producer) = producer.filter(|_| batch.sequence.is_none()) {
            let sequences = self.sequences.get_or_insert_with(|| Sequences::new(producer));
            // What is unacknowledged stays in the epoch it began in.
            if sequences.producer != producer && is_alone {
                *sequences = Sequences::new(producer);
            }
            batch.sequence = Some(sequences.assign(batch.records));
        }
        batch.attempts += 1;
        batch.place = Place::InFlight;
        self.in_flight += 1;
        let bytes = batch.sealed(self.rules.is_transactional);
        Sent { id: batch.id, bytes, attempts: batch.attempts, end: batch.next_sequence() }
    }

    /// Takes note of an answer; returns what is settled by it, in order.
    pub(super) fn answered(&mut self, sent: &Sent, verdict: Verdict, now: Instant) -> Vec<Settled> {
        self.in_flight -= 1;
        if let (Verdict::Appended, Some(end), Some(sequences)) =
            (&verdict, sent.end, &mut self.sequences)
        {
            sequences.acknowledge(end);
        }
        // Else it was given up meanwhile.
        if let Some(at) = self.unacknowledged.iter().position(|batch| batch.id == sent.id) {
            self.judge(at, verdict, now);
        }
        self.settled()
    }

    fn judge(&mut self, at: usize, verdict: Verdict, now: Instant) {
        let rules = self.rules;
        let batch = &mut self.unacknowledged[at];
        let rejection = match verdict {
            Verdict::Appended => {
                batch.place = Place::Done(Ok(()));
                return;
            }
            Verdict::Again(not_before, why) if batch.attempts <= rules.retries => {
                batch.place = Place::Waiting(not_before);
                batch.trouble = Some(why);
                return;
            }
            Verdict::Again(_, why) => {
                Rejection::from(Error::retriable(format!("records were not written: {why}")))
            }
            Verdict::OutOfOrder(_) if at > 0 && batch.sequence.is_some() => {
                batch.place = Place::Waiting(now);
                return;
            }
            Verdict::OutOfOrder(rejection)
                if batch.sequence.is_some() && !rules.is_transactional =>
            {
                batch.trouble = Some(rejection.error.message().to_owned());
                batch.place = Place::Waiting(now);
                self.repair = Repair::Yes;
                return;
            }
            Verdict::OutOfOrder(rejection)
            | Verdict::TooLarge(rejection)
            | Verdict::Rejected(rejection) => rejection,
        };
        self.give_up(at, rejection);
    }

    fn give_up(&mut self, at: usize, rejection: Rejection) {
        let batch = &mut self.unacknowledged[at];
        let place = |error: Error| {
            error.context("topic", &self.name.topic).context("partition", self.name.partition)
        };
        let Rejection { error, code, records } = rejection;
        let records = records.into_iter().map(|(row, error)| (row, place(error))).collect();
        batch.place = Place::Done(Err(Rejection { error: place(error), code, records }));
        if batch.sequence.is_some() {
            self.repair = self.repair.max(Repair::IfGap);
        }
    }

    /// Takes out what is settled: nobody hears of a batch before those ahead of it are settled.
    fn settled(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some(Batch { place: Place::Done(_), .. }) = self.unacknowledged.front() {
            let Some(mut batch) = self.unacknowledged.pop_front() else { break };
            let place = std::mem::replace(&mut batch.place, Place::InFlight);
            if let Place::Done(outcome) = place {
                settled.push((batch, outcome));
            }
        }
        settled
    }

    /// Puts two batches in the place of one that was too large, if it has two records. Its answer
    /// is dealt with then. Says how it was split.
    pub(super) fn split(
        &mut self,
        sent: &Sent,
        ids: [u64; 2],
        compressor: &mut Compressor,
    ) -> Result<Option<Split>, Error> {
        let Some(at) = self.unacknowledged.iter().position(|batch| batch.id == sent.id) else {
            return Ok(None);
        };
        let batch = &mut self.unacknowledged[at];
        if batch.records < 2 {
            return Ok(None);
        }
        let before = batch.memory();
        let ([first, second], most_bytes) = batch.split(ids, compressor)?;
        let split = Split { before, after: first.memory() + second.memory(), most_bytes };
        self.unacknowledged[at] = second;
        self.unacknowledged.insert(at, first);
        self.in_flight -= 1;
        Ok(Some(split))
    }

    /// Gives up what is older than `delivery.timeout.ms`.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Settled> {
        let timeout = self.rules.delivery_timeout;
        let is_late = |batch: &Batch| now.duration_since(batch.created) >= timeout;
        while self.queue.front().is_some_and(is_late) && self.unacknowledged.iter().all(is_late) {
            let late = self.queue.pop_front().expect("it was just seen");
            self.unacknowledged.push_back(late);
        }
        for at in 0..self.unacknowledged.len() {
            let batch = &self.unacknowledged[at];
            if is_late(batch) && !matches!(batch.place, Place::Done(_)) {
                let age = now.duration_since(batch.created);
                let mut error = expired(batch.records, &self.name, age);
                if let Some(trouble) = &batch.trouble {
                    error = error.context("last trouble", trouble);
                }
                self.give_up(at, error.into());
            }
        }
        self.settled()
    }

    /// When its oldest batch expires.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let oldest = self.unacknowledged.front().or(self.queue.front())?;
        oldest.created.checked_add(self.rules.delivery_timeout)
    }

    /// Whether the sequence numbers have to begin anew, in a new epoch: nothing is in flight, and
    /// the broker misses numbers.
    pub(super) fn needs_epoch(&mut self) -> bool {
        if self.in_flight > 0 {
            return false;
        }
        match self.repair {
            Repair::No => false,
            Repair::Yes => true,
            // The first of those after it goes and shows what the broker has.
            Repair::IfGap if !self.unacknowledged.is_empty() => false,
            Repair::IfGap => {
                let has_gap = self.sequences.is_some_and(|s| s.next != s.acknowledged);
                if !has_gap {
                    self.repair = Repair::No;
                }
                has_gap
            }
        }
    }

    /// The epoch of its numbers.
    pub(super) fn producer(&self) -> Option<ProducerId> {
        self.sequences.map(|sequences| sequences.producer)
    }

    /// Begins numbers anew.
    pub(super) fn begin_epoch(&mut self, producer: ProducerId) {
        self.sequences = Some(Sequences::new(producer));
        self.repair = Repair::No;
        for batch in &mut self.unacknowledged {
            batch.sequence = None;
        }
    }

    /// Takes out all that is not in flight. True when sequence numbers went with it.
    pub(super) fn give_up_unsent(&mut self, error: &Error) -> (Vec<Settled>, bool) {
        let mut has_gap = false;
        for at in 0..self.unacknowledged.len() {
            if let Place::Waiting(_) = self.unacknowledged[at].place {
                has_gap |= self.unacknowledged[at].sequence.is_some();
                self.give_up(at, error.copied().into());
            }
        }
        for mut batch in self.queue.drain(..) {
            batch.place = Place::Done(Err(error.copied().into()));
            self.unacknowledged.push_back(batch);
        }
        (self.settled(), has_gap)
    }

    /// Takes out all that it has.
    pub(super) fn give_up_all(&mut self, error: &Error) -> Vec<Settled> {
        for at in 0..self.unacknowledged.len() {
            if !matches!(self.unacknowledged[at].place, Place::Done(_)) {
                self.give_up(at, error.copied().into());
            }
        }
        self.give_up_unsent(error).0
    }
}

/// Java's words.
pub(super) fn expired(records: usize, name: &TopicPartition, age: Duration) -> Error {
    Error::retriable(format!(
        "Expiring {records} record(s) for {name}:{} ms has passed since batch creation \
         (delivery.timeout.ms)",
        age.as_millis()
    ))
}
