//! Decides what the sender makes of what has come to an end: connections, answers, questions.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::ProduceResponse;
use millrace_api::{Error, Result};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::buffer::Freed;
use super::partition::{Settled, Verdict};
use super::request::Part;
use super::sender::{Compressed, Done, Identity, Request, Sender};
use super::sequences::ProducerId;
use super::{answer, verdict};
use crate::native::client::CallError;
use crate::native::error::Failure;
use crate::native::metadata::Metadata;
use crate::native::net::{Connection, Pending};
use crate::record_batch::{Compression, Compressor};

impl Sender {
    fn compressed(&mut self, done: Vec<Compressed>) {
        for Compressed { slot, before, records, batch, spare } in done {
            // While all it had was being compressed it looked idle.
            self.active.insert(slot);
            match batch {
                Ok(batch) => {
                    self.buffer.shrink(slot, before, batch.memory(), spare);
                    // It had nothing to send meanwhile.
                    self.active.insert(slot);
                    self.partitions[slot].push(batch);
                }
                Err(_) => self.buffer.release(slot, Freed { bytes: before, records, spare }),
            }
            for later in self.compressing.remove(&slot).unwrap_or_default() {
                self.active.insert(slot);
                self.partitions[slot].push(later);
            }
        }
    }

    pub(super) fn joined(&mut self, done: std::result::Result<Done, JoinError>) {
        match done {
            Ok(done) => self.done(done),
            // A request is lost with it, so nothing can be said of what it carried.
            Err(e) if e.is_panic() => {
                self.break_with(&Error::fatal("the producer's task has panicked").with_source(e));
            }
            Err(_) => {}
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Opened(node, opened) => self.opened(node, opened),
            Done::Started(request, started) => self.started(request, started),
            Done::Answered(request, answer) => self.answered(request, answer),
            Done::Refreshed(refreshed) => {
                // An election may take long: the waits grow.
                let has_leader = |metadata: &Metadata, slot: &usize| {
                    metadata.leader(&self.partitions[*slot].name).is_some()
                };
                let is_good = refreshed.as_ref().is_ok_and(|metadata| {
                    self.active.iter().all(|slot| has_leader(metadata, slot))
                });
                self.refreshing.end(is_good);
                if let Err(failure) = refreshed {
                    self.wants_metadata = true;
                    // Of what passes the client has told.
                    if !failure.is_passing() {
                        self.break_with(&failure.doing("the cluster cannot be asked for leaders"));
                    }
                }
            }
            Done::Identified(identified) => self.identified(identified),
            Done::Added => {
                if let Identity::Transactional { is_adding, .. } = &mut self.identity {
                    *is_adding = false;
                }
            }
            Done::Compressed(compressor, done) => {
                self.compressor = Some(compressor);
                self.compressed(done);
            }
        }
    }

    fn opened(&mut self, node: i32, opened: Result<Arc<Connection>, Failure>) {
        let Some(broker) = self.brokers.get_mut(&node) else {
            return;
        };
        broker.opening.end(opened.is_ok());
        match opened {
            Ok(connection) => {
                broker.connection = Some(connection);
            }
            Err(failure) => {
                self.wants_metadata = true;
                self.trouble(failure, "records cannot be sent");
            }
        }
    }

    /// What passes is told now and then; what does not ends the producer.
    fn trouble(&mut self, failure: Failure, what: &'static str) {
        if failure.is_passing() {
            self.tell(&failure.to_string(), what);
        } else {
            self.break_with(&failure.doing(what));
        }
    }

    fn tell(&mut self, why: &str, what: &str) {
        if self.unsent.is_news() {
            tracing::warn!("{what}, and will be tried again: {why}");
        }
    }

    fn started(
        &mut self,
        request: Request,
        started: Result<Option<Pending<ProduceResponse>>, Failure>,
    ) {
        if let Some(broker) = self.brokers.get_mut(&request.node) {
            broker.is_starting = false;
        }
        match started {
            Ok(Some(pending)) => {
                self.tasks.spawn(async move { Done::Answered(request, pending.response().await) });
            }
            // Nobody will say more.
            Ok(None) => self.answered(request, Ok(ProduceResponse::default())),
            Err(failure) => self.answered(request, Err(failure)),
        }
    }

    fn identified(&mut self, identified: Result<ProducerId, CallError>) {
        let Identity::Idempotent { producer, asking } = &mut self.identity else {
            return;
        };
        asking.end(identified.is_ok());
        match identified {
            Ok(new) => *producer = Some(new),
            Err(error) if error.is_passing() => {
                self.tell(&error.doing("no answer").to_string(), "a producer id cannot be had");
            }
            Err(error) => {
                let error = error.doing("a producer id cannot be had");
                self.break_with(&error.context("remedy", "or set enable.idempotence=false"));
            }
        }
    }

    fn answered(&mut self, request: Request, answer: Result<ProduceResponse, Failure>) {
        if let Some(broker) = self.brokers.get_mut(&request.node) {
            broker.in_flight -= 1;
        }
        match answer {
            Ok(answer) => {
                request.connection.throttle(answer.throttle_time_ms);
                answer::learn_leaders(&self.client, &request.parts, &answer);
                self.judge_all(&request, &answer);
            }
            Err(failure) => {
                self.wants_metadata = true;
                self.tell(&failure.to_string(), "records were not written");
                for part in &request.parts {
                    let retry_at = Instant::now() + self.retry_after(part);
                    self.judge(part, verdict::of_failure(&failure, retry_at));
                }
            }
        }
    }

    fn has_moved(&self, part: &Part, from: i32) -> bool {
        let leader = self.client.metadata().leader(&self.partitions[part.slot].name);
        leader.is_some_and(|(leader, _)| leader != from)
    }

    fn retry_after(&self, part: &Part) -> Duration {
        self.client.settings().retry_backoff.after(part.sent.attempts.saturating_sub(1))
    }

    fn judge_all(&mut self, request: &Request, answer: &ProduceResponse) {
        let answers = answer::by_partition(answer);
        for part in &request.parts {
            if self.settings.acks == 0 {
                self.judge(part, Verdict::Appended);
                continue;
            }
            let mut retry_at = Instant::now() + self.retry_after(part);
            let verdict = match answers.of(part) {
                Some(answer) => {
                    let is_elsewhere = verdict::is_elsewhere(answer.error_code);
                    self.wants_metadata |= is_elsewhere;
                    // A broker that knows the new leader saves the wait (KIP-951).
                    if is_elsewhere && self.has_moved(part, request.node) {
                        retry_at = Instant::now();
                    }
                    verdict::of_answer(answer, retry_at)
                }
                None => {
                    let why = "the broker's answer does not speak of them".to_owned();
                    Verdict::Again(retry_at, why)
                }
            };
            self.judge(part, verdict);
        }
    }

    fn judge(&mut self, part: &Part, verdict: Verdict) {
        if let Verdict::Again(_, why) = &verdict {
            let place = &self.partitions[part.slot].name;
            let what = format!("records for {place} were not written");
            self.tell(&why.clone(), &what);
        }
        let is_split = matches!(verdict, Verdict::TooLarge(_)) && self.split(part);
        if !is_split {
            let settled = self.partitions[part.slot].answered(&part.sent, verdict, Instant::now());
            self.settle(part.slot, settled);
        }
    }

    /// Makes two of a batch that is too large for its broker. That is rare, as later batches of the
    /// partition are smaller, so it is done here although it decompresses.
    fn split(&mut self, part: &Part) -> bool {
        let ids = [self.buffer.next_id(), self.buffer.next_id()];
        let (codec, level) = (self.settings.compression, self.settings.compression_level);
        let mut compressor = Compressor::new(codec, level);
        let partition = &mut self.partitions[part.slot];
        match partition.split(&part.sent, ids, &mut compressor) {
            Ok(Some(split)) => {
                tracing::warn!("a batch for {} is too large and is split", partition.name);
                self.buffer.shrink(part.slot, split.before, split.after, None);
                self.buffer.limit_batches(part.slot, split.most_bytes);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!("a batch cannot be split: {error}");
                false
            }
        }
    }

    /// Tells everybody what became of batches. One that failed fails its transaction.
    pub(super) fn settle(&mut self, slot: usize, settled: Vec<Settled>) {
        if let Identity::Transactional { transaction, .. } = &self.identity {
            for rejection in settled.iter().filter_map(|(_, outcome)| outcome.as_ref().err()) {
                transaction.batch_failed(rejection.code, &rejection.error);
            }
        }
        self.report(slot, settled);
    }

    /// Tells everybody what became of batches, and nothing else.
    pub(super) fn report(&mut self, slot: usize, settled: Vec<Settled>) {
        let is_plain = self.settings.compression == Compression::None;
        for (batch, outcome) in settled {
            let (bytes, records) = (batch.memory(), batch.records);
            if let Err(rejection) = &outcome {
                tracing::debug!("{records} records were not written: {}", rejection.error);
            }
            let spare = batch.settle(&outcome).filter(|_| is_plain);
            self.buffer.release(slot, Freed { bytes, records, spare });
        }
        self.active.insert(slot);
    }

    /// Ends what cannot be mended: nothing is sent any more.
    fn break_with(&mut self, error: &Error) {
        if !self.is_broken {
            self.is_broken = true;
            tracing::error!("the producer is given up: {error}");
        }
        self.buffer.break_with(error);
        if let Identity::Transactional { transaction, .. } = &self.identity {
            transaction.batch_failed(None, error);
        }
        self.give_up_all(error);
    }

    pub(super) fn give_up_all(&mut self, error: &Error) {
        let found = self.buffer.look(self.partitions.len());
        self.adopt(found, Instant::now());
        for slot in 0..self.partitions.len() {
            let settled = self.partitions[slot].give_up_all(error);
            self.settle(slot, settled);
            if let Some(open) = self.buffer.take_open(slot) {
                self.fail_open(slot, open, error);
            }
        }
    }
}
