//! Decides when which batches go to which broker: one request at a time is made of what is ready
//! for it, and so many are in flight.
//!
//! The sender is one task on the I/O runtime. It waits for nothing but what may happen next: every
//! question to a broker is a task of its own that comes back as a [`Done`]. Batches that are full
//! were compressed by the caller; those that were not, but have lingered long enough, are
//! compressed on a thread that may block: no heartbeat on this runtime waits for a codec.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceResponse};
use millrace_api::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::batch::Batch;
use super::buffer::{Buffer, Found, Freed, Open, OpenBatch};
use super::partition::{Partition, Rules, expired};
use super::request::{Part, Terms};
use super::sequences::ProducerId;
use crate::native::backoff::Backoff;
use crate::native::client::{CallError, Client, check};
use crate::native::error::Failure;
use crate::native::metadata::Metadata;
use crate::native::net::{Connection, Pending};
use crate::native::settings::ProducerSettings;
use crate::native::transaction::Transaction;
use crate::record_batch::Compressor;
use crate::trouble::Trouble;

/// How long nothing happens at most.
const LOOK: Duration = Duration::from_secs(3_600);

/// Who the batches are from.
pub(super) enum Identity {
    /// Nobody in particular.
    Plain,
    /// An idempotent producer with an id of its own.
    Idempotent {
        producer: Option<ProducerId>,
        asking: Asking,
    },
    Transactional {
        transaction: Arc<Transaction>,
        is_adding: bool,
    },
}

/// A question that is asked now and then, not too often.
pub(super) struct Asking {
    pub(super) is_asked: bool,
    pub(super) not_before: Instant,
    backoff: Backoff,
}

impl Asking {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { is_asked: false, not_before: Instant::now(), backoff }
    }

    /// Whether to ask now; then it is asked.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let begins = !self.is_asked && now >= self.not_before;
        self.is_asked |= begins;
        begins
    }

    pub(super) fn end(&mut self, is_good: bool) {
        self.is_asked = false;
        if is_good {
            self.backoff.reset();
        }
        self.not_before = Instant::now() + self.backoff.next();
    }
}

/// What there is to a broker.
pub(super) struct Broker {
    pub(super) connection: Option<Arc<Connection>>,
    pub(super) opening: Asking,
    /// A request is being handed over to the connection: the next must not overtake it.
    pub(super) is_starting: bool,
    pub(super) in_flight: usize,
}

/// A request with what is needed when its answer comes.
pub(super) struct Request {
    pub(super) node: i32,
    pub(super) connection: Arc<Connection>,
    pub(super) parts: Vec<Part>,
}

/// What a job has become.
pub(super) struct Compressed {
    pub(super) slot: usize,
    pub(super) before: usize,
    pub(super) records: usize,
    pub(super) batch: Result<Batch>,
    /// The memory that it had before.
    pub(super) spare: Option<BytesMut>,
}

/// What has come to an end.
pub(super) enum Done {
    Opened(i32, Result<Arc<Connection>, Failure>),
    /// A request was handed over; none: nobody will answer it (`acks=0`).
    Started(Request, Result<Option<Pending<ProduceResponse>>, Failure>),
    Answered(Request, Result<ProduceResponse, Failure>),
    Refreshed(Result<Arc<Metadata>, Failure>),
    Identified(Result<ProducerId, CallError>),
    Added,
    Compressed(Compressor, Vec<Compressed>),
}

/// The task that sends.
pub(super) struct Sender {
    pub(super) client: Arc<Client>,
    pub(super) buffer: Arc<Buffer>,
    pub(super) settings: ProducerSettings,
    pub(super) terms: Arc<Terms>,
    pub(super) rules: Rules,
    pub(super) identity: Identity,
    pub(super) partitions: Vec<Partition>,
    /// Those that are not idle.
    pub(super) active: BTreeSet<usize>,
    pub(super) brokers: HashMap<i32, Broker>,
    /// What leaders were taken from.
    pub(super) metadata: Arc<Metadata>,
    pub(super) refreshing: Asking,
    /// A leader is missing, or somebody was not it.
    pub(super) wants_metadata: bool,
    pub(super) tasks: JoinSet<Done>,
    /// Away while it is used.
    pub(super) compressor: Option<Compressor>,
    /// Partitions whose open batch is being compressed, and what was closed after it.
    pub(super) compressing: BTreeMap<usize, Vec<Batch>>,
    pub(super) turn: usize,
    /// Something is not answered as it should be.
    pub(super) unsent: Trouble,
    pub(super) is_broken: bool,
}

impl Sender {
    pub(super) fn new(
        client: Arc<Client>,
        buffer: Arc<Buffer>,
        settings: ProducerSettings,
        transaction: Option<Arc<Transaction>>,
    ) -> Self {
        let asking = || Asking::new(client.backoff());
        let terms = Terms {
            transactional_id: settings.transactional_id.clone(),
            acks: settings.acks,
            timeout_ms: i32::try_from(client.request_timeout().as_millis()).unwrap_or(i32::MAX),
        };
        let rules = Rules {
            retries: settings.retries,
            in_flight: settings.in_flight,
            delivery_timeout: settings.delivery_timeout,
            is_transactional: transaction.is_some(),
        };
        let identity = match transaction {
            Some(transaction) => Identity::Transactional { transaction, is_adding: false },
            None if settings.idempotent => {
                Identity::Idempotent { producer: None, asking: asking() }
            }
            None => Identity::Plain,
        };
        let compressor = Compressor::new(settings.compression, settings.compression_level);
        Self {
            refreshing: asking(),
            metadata: client.metadata(),
            client,
            buffer,
            settings,
            terms: Arc::new(terms),
            rules,
            identity,
            partitions: Vec::new(),
            active: BTreeSet::new(),
            brokers: HashMap::new(),
            wants_metadata: false,
            tasks: JoinSet::new(),
            compressor: Some(compressor),
            compressing: BTreeMap::new(),
            turn: 0,
            unsent: Trouble::default(),
            is_broken: false,
        }
    }

    /// Sends until the caller is gone. What is left then is reported as failed.
    pub(super) async fn run(mut self) {
        let mut metadata = self.client.watch_metadata();
        let buffer = self.buffer.clone();
        while let Some(wake) = self.step(Instant::now()) {
            tokio::select! {
                () = buffer.work.notified() => {}
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.joined(done);
                }
                // It lives as long as the client does.
                _ = metadata.changed() => {}
                () = sleep_until(wake) => {}
            }
            while let Some(done) = self.tasks.try_join_next() {
                self.joined(done);
            }
        }
        let closed = "the producer was closed before the records were acknowledged";
        self.give_up_all(&Error::fatal(closed));
    }

    /// Does what can be done now. Says when to look again at the latest; none when the caller is
    /// gone.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        let found = self.buffer.look(self.partitions.len());
        if found.is_closed {
            return None;
        }
        let mut wake = now + LOOK;
        let found = self.adopt(found, now);
        self.follow_leaders();
        self.expire(now, &mut wake);
        self.expire_open(&found, now, &mut wake);
        self.obey_transaction();
        self.repair();
        let may_send = self.identify(now, &mut wake);
        let plans = self.plan(&found, now, &mut wake);
        for (node, plan) in plans {
            if may_send {
                self.send_to(node, plan, now, &mut wake);
            }
        }
        self.ask_for_metadata(now, &mut wake);
        Some(wake)
    }

    /// Takes over what the caller has closed.
    pub(super) fn adopt(&mut self, mut found: Found, now: Instant) -> Found {
        let new = found.names.drain(..).map(|name| Partition::new(name, self.rules));
        let known = self.partitions.len();
        self.partitions.extend(new);
        for at in known..self.partitions.len() {
            self.find_leader(at);
        }
        for (slot, batch) in found.closed.drain(..) {
            self.active.insert(slot);
            self.partitions[slot].used_at = now;
            match self.compressing.get_mut(&slot) {
                Some(later) => later.push(batch),
                None => self.partitions[slot].push(batch),
            }
        }
        for open in &found.open {
            self.partitions[open.slot].used_at = now;
        }
        found
    }

    fn follow_leaders(&mut self) {
        let metadata = self.client.metadata();
        if !Arc::ptr_eq(&metadata, &self.metadata) {
            self.metadata = metadata;
            for slot in 0..self.partitions.len() {
                self.find_leader(slot);
            }
        }
    }

    fn find_leader(&mut self, slot: usize) {
        let partition = &mut self.partitions[slot];
        partition.leader = self.metadata.leader(&partition.name).map(|(leader, _)| leader);
    }

    fn expire(&mut self, now: Instant, wake: &mut Instant) {
        let late: Vec<_> = self.active.iter().copied().collect();
        for slot in late {
            match self.partitions[slot].expires_at() {
                Some(at) if at <= now => {
                    let settled = self.partitions[slot].expire(now);
                    self.settle(slot, settled);
                }
                Some(at) => *wake = at.min(*wake),
                None => {}
            }
        }
    }

    /// What is still open and older than `delivery.timeout.ms` is never sent: nothing says where
    /// to.
    fn expire_open(&mut self, found: &Found, now: Instant, wake: &mut Instant) {
        for OpenBatch { slot, since, .. } in &found.open {
            let at = *since + self.rules.delivery_timeout;
            if at > now {
                *wake = at.min(*wake);
            } else if let Some(open) = self.buffer.take_open(*slot) {
                let (name, records) = (&self.partitions[*slot].name, open.shares.records());
                let error = expired(records, name, now.duration_since(*since));
                if let Identity::Transactional { transaction, .. } = &self.identity {
                    transaction.batch_failed(None, &error);
                }
                self.fail_open(*slot, open, &error);
            }
        }
    }

    /// What a transaction that has failed or is given up has not sent is never sent.
    fn obey_transaction(&mut self) {
        let Identity::Transactional { transaction, .. } = &self.identity else {
            return;
        };
        let (mut open, mut settled) = (Vec::new(), Vec::new());
        let (buffer, partitions) = (&self.buffer, &mut self.partitions);
        let given_up = transaction.take_given_up(|error| {
            let mut lost_numbers = false;
            for (slot, partition) in partitions.iter_mut().enumerate() {
                open.extend(buffer.take_open(slot).map(|open| (slot, open)));
                let (given_up, has_gap) = partition.give_up_unsent(error);
                lost_numbers |= has_gap;
                settled.push((slot, given_up));
            }
            lost_numbers
        });
        let Some(error) = given_up else {
            return;
        };
        // Only now may the caller hear of it: with the last of it the transaction can end.
        for (slot, open) in open {
            self.fail_open(slot, open, &error);
        }
        for (slot, settled) in settled {
            self.report(slot, settled);
        }
    }

    pub(super) fn fail_open(&self, slot: usize, open: Open, error: &Error) {
        let (bytes, records) = (open.charge(), open.shares.records());
        open.shares.failed(&error.copied().into());
        self.buffer.release(slot, Freed { bytes, records, spare: None });
    }

    /// Gives a new epoch to partitions whose numbers have a gap.
    fn repair(&mut self) {
        for slot in self.active.iter().copied().collect::<Vec<_>>() {
            let partition = &mut self.partitions[slot];
            if !partition.needs_epoch() {
                continue;
            }
            match &mut self.identity {
                Identity::Plain => {}
                Identity::Idempotent { producer, .. } => {
                    if partition.producer() == *producer {
                        *producer = producer.and_then(next_epoch);
                    }
                    if let Some(producer) = producer {
                        tracing::debug!("{}: numbers begin anew as {producer:?}", partition.name);
                        partition.begin_epoch(*producer);
                    }
                }
                Identity::Transactional { transaction, .. } => {
                    transaction.lost_numbers();
                    if let Some(producer) = transaction.producer() {
                        partition.begin_epoch(producer);
                    }
                }
            }
        }
    }

    /// Sees to it that brokers know the producer. False while batches cannot be sent yet.
    fn identify(&mut self, now: Instant, wake: &mut Instant) -> bool {
        let client = self.client.clone();
        match &mut self.identity {
            Identity::Plain | Identity::Idempotent { producer: Some(_), .. } => true,
            Identity::Idempotent { asking, .. } => {
                if asking.begin(now) {
                    self.tasks.spawn(async move { Done::Identified(identify(&client).await) });
                } else if !asking.is_asked {
                    *wake = asking.not_before.min(*wake);
                }
                false
            }
            Identity::Transactional { transaction, .. } => transaction.producer().is_some(),
        }
    }

    fn ask_for_metadata(&mut self, now: Instant, wake: &mut Instant) {
        let is_old = !self.active.is_empty() && self.client.is_stale();
        if !is_old && !self.wants_metadata {
            return;
        }
        if self.refreshing.begin(now) {
            self.wants_metadata = false;
            self.follow_used(now);
            let client = self.client.clone();
            self.tasks.spawn(async move { Done::Refreshed(client.refresh().await) });
        } else if !self.refreshing.is_asked {
            *wake = self.refreshing.not_before.min(*wake);
        }
    }

    /// Topics that nothing was sent to for long are not asked for any more, so that one that was
    /// deleted is not made again for it. Whoever sends to one again, or just does, follows it.
    fn follow_used(&self, now: Instant) {
        let longest = self.settings.metadata_max_idle;
        let is_used = |partition: &&Partition| {
            !partition.is_idle() || now.duration_since(partition.used_at) < longest
        };
        let used = self.partitions.iter().filter(is_used);
        let used: BTreeSet<_> = used.map(|partition| &partition.name.topic).collect();
        let known = self.partitions.iter().map(|partition| &partition.name.topic);
        self.client.unfollow(known.filter(|topic| !used.contains(topic)));
        self.client.follow(used);
    }
}

fn next_epoch(producer: ProducerId) -> Option<ProducerId> {
    let epoch = producer.epoch.checked_add(1)?;
    // The last one is the brokers' own.
    (epoch < i16::MAX).then_some(ProducerId { epoch, ..producer })
}

/// Asks for an id of the producer's own.
async fn identify(client: &Client) -> Result<ProducerId, CallError> {
    let answer: InitProducerIdResponse = client
        .call_any(|_| {
            InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(i32::MAX)
        })
        .await?;
    check(answer.error_code, None)?;
    Ok(ProducerId { id: answer.producer_id.0, epoch: answer.producer_epoch })
}
