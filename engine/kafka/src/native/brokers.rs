//! Decides which connection a request takes: one per broker and lane, opened when it is needed and
//! again, ever more slowly, when it broke.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep_until};

use super::backoff::{Backoff, BackoffSettings};
use super::error::{Failure, FailureKind};
use super::net::{Address, Connection, ConnectionSettings, Counted, Dialer, Features};
use crate::Footprint;
use crate::lock::lock;

/// What a connection is for. Answers come in the order of the requests, so what may wait long must
/// not stand before what is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Fetch and produce requests.
    Data,
    /// Metadata, offsets of partitions, administration.
    Control,
    /// What group and transaction coordinators are asked, heartbeats above all.
    Coordinator,
    /// Requests that coordinators answer late on purpose: to join a group and to sync.
    Rebalance,
}

/// A broker by its id, or one of those that `bootstrap.servers` names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Peer {
    Node(i32),
    Bootstrap(Address),
}

/// What connections are opened with.
#[derive(Clone, Debug)]
pub(crate) struct BrokersSettings {
    /// `bootstrap.servers`
    pub(crate) bootstrap: Vec<Address>,
    pub(crate) connection: ConnectionSettings,
    /// `socket.connection.setup.timeout.ms`
    pub(crate) setup_timeout: Duration,
    /// `reconnect.backoff.ms` and `reconnect.backoff.max.ms`
    pub(crate) reconnect_backoff: BackoffSettings,
}

/// The brokers of a cluster and the connections to them.
#[derive(Debug)]
pub(crate) struct Brokers {
    settings: BrokersSettings,
    dialer: Arc<dyn Dialer>,
    io: Handle,
    footprint: Arc<Footprint>,
    nodes: Mutex<HashMap<i32, Address>>,
    slots: Mutex<HashMap<(Peer, Lane), Arc<Slot>>>,
    features: Mutex<Features>,
    /// Why a connection could not be opened, the last time one could not.
    failed: Mutex<Option<Failure>>,
    /// Where the next search for any broker begins.
    turn: AtomicUsize,
}

/// A place for one connection. Who holds it is opening it; the others wait and find it open.
#[derive(Debug)]
struct Slot(AsyncMutex<SlotState>);

#[derive(Debug)]
struct SlotState {
    connection: Option<Arc<Connection>>,
    backoff: Backoff,
    not_before: Instant,
}

impl Brokers {
    pub(crate) fn new(
        settings: BrokersSettings,
        dialer: Arc<dyn Dialer>,
        io: Handle,
        footprint: Arc<Footprint>,
    ) -> Self {
        let turn = AtomicUsize::new(fastrand::usize(..));
        let (nodes, slots, features, failed) = Default::default();
        Self { settings, dialer, io, footprint, nodes, slots, features, failed, turn }
    }

    /// Why the last connection that could not be opened could not.
    pub(crate) fn last_failure(&self) -> Option<Failure> {
        lock(&self.failed).clone()
    }

    /// The level of a feature of the cluster, as the broker said that knew most; 0 when it is off.
    pub(crate) fn feature(&self, name: &str) -> i16 {
        lock(&self.features).level(name)
    }

    /// What the cluster last said of its brokers. Connections to brokers that moved are forgotten.
    pub(crate) fn update(&self, nodes: HashMap<i32, Address>) {
        let mut known = lock(&self.nodes);
        lock(&self.slots).retain(|(peer, _), _| match peer {
            Peer::Node(id) => nodes.get(id) == known.get(id),
            Peer::Bootstrap(_) => nodes.is_empty(),
        });
        *known = nodes;
    }

    /// One broker that an answer named, such as a new leader (KIP-951) or a coordinator.
    pub(crate) fn learn(&self, id: i32, address: Address) {
        let mut known = lock(&self.nodes);
        if known.get(&id) != Some(&address) {
            lock(&self.slots).retain(|(peer, _), _| *peer != Peer::Node(id));
            known.insert(id, address);
        }
    }

    /// The connection to a broker; opens it if needed, and waits for its back-off first.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// After one attempt: callers know how long they want to go on.
    pub(crate) async fn connection(&self, id: i32, lane: Lane) -> Result<Arc<Connection>, Failure> {
        let Some(address) = lock(&self.nodes).get(&id).cloned() else {
            let why = format!("broker {id} is not among those that the cluster named");
            return Err(Failure::new(FailureKind::Disconnected, why));
        };
        let name = format!("{address} (id {id})");
        self.slot(Peer::Node(id), lane).connection(self, &address, name).await
    }

    /// A connection to any broker: an open one, else the first that can be opened, beginning with
    /// those of the last metadata and ending with `bootstrap.servers`. Each is tried once.
    pub(crate) async fn any(&self, lane: Lane) -> Result<Arc<Connection>, Failure> {
        let peers = self.peers();
        for (peer, _) in &peers {
            if let Some(open) = self.slot(peer.clone(), lane).open() {
                return Ok(open);
            }
        }
        let mut last = Failure::new(FailureKind::Disconnected, "no broker is known");
        for (peer, address) in peers {
            let name = match &peer {
                Peer::Node(id) => format!("{address} (id {id})"),
                Peer::Bootstrap(_) => address.to_string(),
            };
            match self.slot(peer, lane).connection(self, &address, name).await {
                Ok(connection) => return Ok(connection),
                Err(failure) if failure.is_passing() => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    /// All brokers, from where the last search did not begin.
    fn peers(&self) -> Vec<(Peer, Address)> {
        let mut nodes: Vec<_> = lock(&self.nodes).clone().into_iter().collect();
        nodes.sort_unstable_by_key(|(id, _)| *id);
        let mut nodes: Vec<_> =
            nodes.into_iter().map(|(id, address)| (Peer::Node(id), address)).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if !nodes.is_empty() {
            let first = turn % nodes.len();
            nodes.rotate_left(first);
        }
        let mut bootstrap = self.settings.bootstrap.clone();
        bootstrap.rotate_left(turn % self.settings.bootstrap.len().max(1));
        let bootstrap = bootstrap.into_iter().map(|one| (Peer::Bootstrap(one.clone()), one));
        nodes.extend(bootstrap);
        nodes
    }

    fn slot(&self, peer: Peer, lane: Lane) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry((peer, lane)).or_insert_with(|| {
            let backoff = Backoff::new(self.settings.reconnect_backoff);
            let state = SlotState { connection: None, backoff, not_before: Instant::now() };
            Arc::new(Slot(AsyncMutex::new(state)))
        });
        slot.clone()
    }
}

impl Slot {
    /// The connection, if it is open and nobody is just opening it.
    fn open(&self) -> Option<Arc<Connection>> {
        let state = self.0.try_lock().ok()?;
        state.connection.clone().filter(|connection| !connection.is_closed())
    }

    async fn connection(
        &self,
        brokers: &Brokers,
        address: &Address,
        name: String,
    ) -> Result<Arc<Connection>, Failure> {
        let mut state = self.0.lock().await;
        if let Some(open) = state.connection.as_ref().filter(|one| !one.is_closed()) {
            return Ok(open.clone());
        }
        // One that opens and then breaks, as at a listener that wants SASL, was no success.
        if state.connection.take().is_some_and(|closed| closed.has_answered()) {
            state.backoff.reset();
            state.not_before = state.not_before.min(Instant::now() + state.backoff.next());
        }
        sleep_until(state.not_before).await;
        state.not_before = Instant::now() + state.backoff.next();
        let opened = open(brokers, address.clone(), name).await.inspect_err(|failure| {
            *lock(&brokers.failed) = Some(failure.clone());
        })?;
        lock(&brokers.features).learn(opened.versions().features());
        Ok(state.connection.insert(Arc::new(opened)).clone())
    }
}

/// Opens a connection on the I/O runtime: a socket belongs to the runtime on which it was made.
async fn open(brokers: &Brokers, address: Address, name: String) -> Result<Connection, Failure> {
    let (settings, dialer, io) =
        (brokers.settings.clone(), brokers.dialer.clone(), brokers.io.clone());
    let footprint = brokers.footprint.clone();
    let task = brokers.io.spawn(async move {
        let stream = dialer.dial(&address).await.map_err(|failure| failure.of_broker(&name))?;
        let stream = Box::new(Counted::new(stream, footprint));
        // As in Java, what is asked first is a request like others.
        let timeout = settings.setup_timeout.min(settings.connection.request_timeout);
        Connection::open(stream, name, settings.connection, timeout, &io).await
    });
    match task.await {
        Ok(opened) => opened,
        Err(e) => Err(Failure::new(FailureKind::Disconnected, format!("it cannot be opened: {e}"))),
    }
}
