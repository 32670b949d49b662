//! Decides when which batches go to which broker: one request at a time is made of what is ready
//! for it, and so many are in flight.
//!
//! The sender is one task on the I/O runtime. It waits for nothing but what may happen next: every
//! question to a broker is a task of its own that comes back as a [`Done`]. Batches that are full
//! were compressed by the caller; those that were not, but have lingered long enough, are compressed
//! on a thread that may block, so that no heartbeat on this runtime waits for a codec.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse,
};
use millrace_api::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::batch::Batch;
use super::buffer::{Buffer, Found, Open, OpenBatch};
use super::partition::{Next, Partition, Rules};
use super::request::{self, Part, Terms};
use super::sequences::ProducerId;
use crate::native::backoff::Backoff;
use crate::native::brokers::Lane;
use crate::native::client::{CallError, Client, check};
use crate::native::error::Failure;
use crate::native::metadata::Metadata;
use crate::native::net::{Connection, Pending};
use crate::native::settings::ProducerSettings;
use crate::native::transaction::Transaction;
use crate::record_batch::{Compression, Compressor};

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
    is_asked: bool,
    not_before: Instant,
    backoff: Backoff,
}

impl Asking {
    fn new(backoff: Backoff) -> Self {
        Self { is_asked: false, not_before: Instant::now(), backoff }
    }

    /// Whether to ask now; then it is asked.
    fn begin(&mut self, now: Instant) -> bool {
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

/// An open batch on its way to a thread that compresses it.
struct Job {
    slot: usize,
    open: Open,
    id: u64,
}

/// What a job has become.
pub(super) struct Compressed {
    pub(super) slot: usize,
    pub(super) before: usize,
    pub(super) records: usize,
    pub(super) batch: Result<(Batch, Option<BytesMut>)>,
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
    pub(super) told: Option<Instant>,
    pub(super) is_broken: bool,
}

/// What is ready for one broker.
#[derive(Default)]
struct Plan {
    closed: Vec<usize>,
    open: Vec<OpenBatch>,
    is_due: bool,
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
            told: None,
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
        let found = self.adopt(found);
        self.follow_leaders();
        self.expire(now, &mut wake);
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
    pub(super) fn adopt(&mut self, mut found: Found) -> Found {
        let new = found.names.drain(..).map(|name| Partition::new(name, self.rules));
        let known = self.partitions.len();
        self.partitions.extend(new);
        for at in known..self.partitions.len() {
            self.find_leader(at);
        }
        for (slot, batch) in found.closed.drain(..) {
            self.active.insert(slot);
            match self.compressing.get_mut(&slot) {
                Some(later) => later.push(batch),
                None => self.partitions[slot].push(batch),
            }
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

    /// What a transaction that has failed or is given up has not sent is never sent.
    fn obey_transaction(&mut self) {
        let Identity::Transactional { transaction, .. } = &self.identity else {
            return;
        };
        let (transaction, Some(error)) = (transaction.clone(), transaction.gives_up()) else {
            return;
        };
        for slot in 0..self.partitions.len() {
            if let Some(open) = self.buffer.take_open(slot) {
                self.fail_open(open, &error);
            }
            let (settled, has_gap) = self.partitions[slot].give_up_unsent(&error);
            if has_gap {
                transaction.lost_numbers();
            }
            self.report(slot, settled);
        }
    }

    pub(super) fn fail_open(&self, open: Open, error: &Error) {
        let (bytes, records) = (open.charge(), open.shares.records());
        open.shares.failed(&error.copied().into());
        self.buffer.release(bytes, records, None);
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

    /// What is ready, by broker.
    fn plan(&mut self, found: &Found, now: Instant, wake: &mut Instant) -> HashMap<i32, Plan> {
        let mut plans: HashMap<i32, Plan> = HashMap::new();
        let mut idle = Vec::new();
        for slot in &self.active {
            let partition = &self.partitions[*slot];
            match partition.next(now) {
                Next::Send(_) => match partition.leader {
                    Some(leader) => plans.entry(leader).or_default().closed.push(*slot),
                    None => self.wants_metadata = true,
                },
                Next::At(at) => *wake = at.min(*wake),
                Next::Empty if partition.is_idle() => idle.push(*slot),
                Next::Blocked | Next::Empty => {}
            }
        }
        for slot in idle {
            self.active.remove(&slot);
        }
        for open in &found.open {
            let partition = &self.partitions[open.slot];
            if self.compressing.contains_key(&open.slot) || partition.next(now) != Next::Empty {
                continue;
            }
            let is_due = found.is_urgent || open.due <= now;
            if !is_due {
                *wake = open.due.min(*wake);
            }
            match partition.leader {
                Some(leader) => {
                    let plan = plans.entry(leader).or_default();
                    plan.is_due |= is_due;
                    plan.open.push(*open);
                }
                None => self.wants_metadata |= is_due,
            }
        }
        plans.retain(|_, plan| plan.is_due || !plan.closed.is_empty());
        plans
    }

    /// Makes requests of what is ready for a broker, as many as may be in flight.
    fn send_to(&mut self, node: i32, mut plan: Plan, now: Instant, wake: &mut Instant) {
        let Some(connection) = self.connection_to(node, now, wake) else {
            return;
        };
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        if !plan.closed.is_empty() {
            let first = turn % plan.closed.len();
            plan.closed.rotate_left(first);
        }
        let mut parts = Vec::new();
        let mut bytes = 0;
        for slot in plan.closed {
            let Next::Send(length) = self.partitions[slot].next(now) else {
                continue;
            };
            if bytes + length > self.settings.max_request_bytes && !parts.is_empty() {
                break;
            }
            if let Some(part) = self.take(slot) {
                bytes += length;
                parts.push(part);
            }
        }
        if self.settings.compression != Compression::None {
            self.compress(plan.open);
        } else {
            self.take_open(plan.open, bytes, now, &mut parts);
        }
        if !parts.is_empty() {
            self.start(node, connection, parts);
        }
    }

    /// The connection to a broker that may get a request now.
    fn connection_to(
        &mut self,
        node: i32,
        now: Instant,
        wake: &mut Instant,
    ) -> Option<Arc<Connection>> {
        let client = &self.client;
        let broker = self.brokers.entry(node).or_insert_with(|| Broker {
            connection: None,
            opening: Asking::new(client.backoff()),
            is_starting: false,
            in_flight: 0,
        });
        if broker.connection.as_ref().is_some_and(|connection| connection.is_closed()) {
            broker.connection = None;
        }
        if broker.connection.is_none() {
            if broker.opening.begin(now) {
                let client = client.clone();
                let open =
                    async move { Done::Opened(node, client.connection(node, Lane::Data).await) };
                self.tasks.spawn(open);
            } else if !broker.opening.is_asked {
                *wake = broker.opening.not_before.min(*wake);
            }
        }
        let is_free = !broker.is_starting && broker.in_flight < self.settings.in_flight;
        broker.connection.clone().filter(|_| is_free)
    }

    /// Takes the next closed batch of a partition, if its transaction lets it go.
    fn take(&mut self, slot: usize) -> Option<Part> {
        let partition = &mut self.partitions[slot];
        let producer = match &self.identity {
            Identity::Plain => None,
            Identity::Idempotent { producer, .. } => *producer,
            Identity::Transactional { transaction, .. } => {
                if !transaction.admits(&partition.name) {
                    self.add_partitions();
                    return None;
                }
                transaction.producer()
            }
        };
        let topic = self.metadata.topics.get(&*partition.name.topic);
        Some(Part {
            slot,
            topic: partition.name.topic.clone(),
            topic_id: topic.map_or_else(uuid::Uuid::nil, |topic| topic.id),
            partition: partition.name.partition,
            sent: partition.take(producer),
        })
    }

    fn add_partitions(&mut self) {
        if let Identity::Transactional { transaction, is_adding } = &mut self.identity
            && !*is_adding
            && transaction.has_wanted()
        {
            *is_adding = true;
            let transaction = transaction.clone();
            self.tasks.spawn(async move {
                transaction.add_partitions().await;
                Done::Added
            });
        }
    }

    /// Adds open batches to a request, as many as fit.
    fn take_open(
        &mut self,
        open: Vec<OpenBatch>,
        mut bytes: usize,
        now: Instant,
        parts: &mut Vec<Part>,
    ) {
        let mut none = Compressor::new(Compression::None, None);
        for OpenBatch { slot, bytes: length, .. } in open {
            if bytes + length > self.settings.max_request_bytes && !parts.is_empty() {
                break;
            }
            let Some(mut open) = self.buffer.take_open(slot) else {
                continue;
            };
            let id = self.buffer.next_id();
            // Without a codec there is nothing that fails.
            if let Ok((batch, _)) = open.close(id, &mut none) {
                bytes += batch.len();
                self.active.insert(slot);
                self.partitions[slot].push(batch);
            }
            if matches!(self.partitions[slot].next(now), Next::Send(_))
                && let Some(part) = self.take(slot)
            {
                parts.push(part);
            }
        }
    }

    /// Has open batches compressed, which comes back as closed ones.
    fn compress(&mut self, open: Vec<OpenBatch>) {
        let Some(mut compressor) = self.compressor.take() else {
            return;
        };
        let mut jobs = Vec::new();
        for OpenBatch { slot, .. } in open {
            if let Some(open) = self.buffer.take_open(slot) {
                let id = self.buffer.next_id();
                self.compressing.insert(slot, Vec::new());
                self.active.insert(slot);
                jobs.push(Job { slot, open, id });
            }
        }
        if jobs.is_empty() {
            self.compressor = Some(compressor);
            return;
        }
        self.tasks.spawn_blocking(move || {
            let done = jobs.into_iter().map(|Job { slot, mut open, id }| {
                let (before, records) = (open.charge(), open.shares.records());
                let batch = open.close(id, &mut compressor);
                Compressed { slot, before, records, batch }
            });
            let done = done.collect();
            Done::Compressed(compressor, done)
        });
    }

    fn start(&mut self, node: i32, connection: Arc<Connection>, mut parts: Vec<Part>) {
        parts.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        if let Some(broker) = self.brokers.get_mut(&node) {
            broker.in_flight += 1;
            broker.is_starting = true;
        }
        let terms = self.terms.clone();
        let is_first_version = match &self.identity {
            Identity::Transactional { transaction, .. } => !transaction.is_second_version(),
            _ => false,
        };
        let longest = self.client.request_timeout();
        let request = Request { node, connection, parts };
        self.tasks.spawn(async move {
            let started = start(&request, &terms, is_first_version, longest).await;
            Done::Started(request, started)
        });
    }

    fn ask_for_metadata(&mut self, now: Instant, wake: &mut Instant) {
        if !self.wants_metadata && !(self.client.is_stale() && !self.active.is_empty()) {
            return;
        }
        if self.refreshing.begin(now) {
            self.wants_metadata = false;
            let client = self.client.clone();
            self.tasks.spawn(async move { Done::Refreshed(client.refresh().await) });
        } else if !self.refreshing.is_asked {
            *wake = self.refreshing.not_before.min(*wake);
        }
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

/// Hands a request over.
async fn start(
    request: &Request,
    terms: &Terms,
    is_first_version: bool,
    longest: Duration,
) -> Result<Option<Pending<ProduceResponse>>, Failure> {
    let connection = &request.connection;
    let mut version = connection.version_of::<ProduceRequest>()?;
    if terms.transactional_id.is_some() && is_first_version {
        version = version.min(request::TRANSACTIONS_1);
    }
    if request.parts.iter().any(|part| part.topic_id.is_nil()) {
        version = version.min(request::TOPIC_IDS - 1);
    }
    let body = request::encode(version, terms, &request.parts);
    if terms.acks == 0 {
        connection.send_unanswered::<ProduceRequest>(version, body).await?;
        return Ok(None);
    }
    connection.start_encoded::<ProduceRequest>(longest, version, body).await.map(Some)
}
