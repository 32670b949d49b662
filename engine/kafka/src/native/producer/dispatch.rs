//! Decides what goes into the next request to each broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use millrace_api::Result;
use tokio::time::Instant;

use super::buffer::{Found, Open, OpenBatch};
use super::partition::Next;
use super::request::{self, Part, Terms};
use super::sender::{Asking, Broker, Compressed, Done, Identity, Request, Sender};
use crate::native::brokers::Lane;
use crate::native::error::Failure;
use crate::native::net::{Connection, Pending};
use crate::record_batch::{Compression, Compressor};

/// What is ready for one broker.
#[derive(Default)]
pub(super) struct Plan {
    closed: Vec<usize>,
    open: Vec<OpenBatch>,
    is_due: bool,
}

/// An open batch on its way to a thread that compresses it.
struct Job {
    slot: usize,
    open: Open,
    id: u64,
}

impl Sender {
    /// What is ready, by broker.
    pub(super) fn plan(
        &mut self,
        found: &Found,
        now: Instant,
        wake: &mut Instant,
    ) -> HashMap<i32, Plan> {
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
    pub(super) fn send_to(&mut self, node: i32, mut plan: Plan, now: Instant, wake: &mut Instant) {
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
            if let Ok(batch) = open.close(id, &mut none) {
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
                Compressed { slot, before, records, batch, spare: open.take_spare() }
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
        let mut request = Request { node, connection, parts };
        self.tasks.spawn(async move {
            let started = start(&mut request, &terms, is_first_version, longest).await;
            Done::Started(request, started)
        });
    }
}

/// Hands a request over.
async fn start(
    request: &mut Request,
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
    // From here on the body alone has them besides the batch, which gets its memory back whole.
    request.parts.iter_mut().for_each(|part| part.sent.bytes = Bytes::new());
    if terms.acks == 0 {
        connection.send_unanswered::<ProduceRequest>(version, body).await?;
        return Ok(None);
    }
    connection.start_encoded::<ProduceRequest>(longest, version, body).await.map(Some)
}
