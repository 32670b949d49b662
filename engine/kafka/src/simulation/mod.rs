//! A Kafka cluster of several nodes inside one process, for tests: decides what goes wrong between
//! it and its clients, by a script or by chance.
//!
//! The nodes are [embedded servers](crate::embedded::Server) of one cluster in memory; clients are
//! the ones of production, on streams in memory. All of it runs on the runtime of the test: under
//! tokio's paused clock, hours of time-outs pass in a moment. What chance decides comes from a
//! seed, which belongs into the message of a test that fails.
//!
//! ```
//! use std::time::Duration;
//! use millrace_kafka::simulation::{Chances, Fate, Request, Simulation};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let simulation = Simulation::new(3, 42);
//! simulation.script(Request::Metadata, [Fate::AnswerLost, Fate::Late(Duration::from_secs(5))]);
//! simulation.set_chances(Chances { answer_lost: 50, ..Chances::default() });
//! let cluster = simulation.connect().unwrap();
//! let topics = cluster.describe_topics(None).await.unwrap();
//! assert!(topics.is_empty());
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use kafka_protocol::messages::ApiKey as Request;
use millrace_api::Result;
use tokio::io::duplex;
use tokio::runtime::Handle;

use crate::embedded::{EmbeddedCluster, Nodes, ServerSettings, node_host};
use crate::native::{Address, BoxedStream, Dialer, Failure, FailureKind, NativeCluster};
use crate::{Cluster, Properties};

mod network;
#[cfg(test)]
mod tests;
mod way;

use network::Network;

/// Every node has it, under a name of its own.
const PORT: u16 = 9092;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Arrives,
    /// Its answer, and all behind it, come so much later.
    Late(Duration),
    /// The connection breaks before the node has it.
    RequestLost,
    /// The node carries it out, and perhaps some that follow; then the connection breaks.
    AnswerLost,
    /// The connection breaks in the middle of the answer.
    CutShort,
    /// Nothing comes any more, but the connection stays open: half of it is gone.
    Stalls,
    /// The answer comes in small pieces, with pauses.
    Trickles,
}

/// How many requests of a thousand have which fate; the others arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    /// [`Fate::Late`] by up to a second.
    pub late: u32,
    /// [`Fate::RequestLost`]
    pub request_lost: u32,
    /// [`Fate::AnswerLost`]
    pub answer_lost: u32,
    /// [`Fate::CutShort`]
    pub cut_short: u32,
    /// [`Fate::Stalls`]
    pub stalls: u32,
    /// [`Fate::Trickles`]
    pub trickles: u32,
}

/// A cluster and the network to it.
pub struct Simulation {
    cluster: EmbeddedCluster,
    nodes: Arc<Nodes>,
    network: Arc<Network>,
}

impl Simulation {
    /// A cluster of so many nodes, in memory. Everything arrives until somebody says otherwise.
    pub fn new(nodes: i32, seed: u64) -> Self {
        Self {
            cluster: EmbeddedCluster::in_memory(),
            nodes: Arc::new(Nodes::new(nodes)),
            network: Arc::new(Network::new(seed)),
        }
    }

    /// The cluster itself, which no fault comes between: to prepare, and to look at what is true.
    pub fn truth(&self) -> &EmbeddedCluster {
        &self.cluster
    }

    /// The cluster as clients see it, through the network. They live on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// None that a test could cause.
    pub fn connect(&self) -> Result<NativeCluster> {
        let bootstrap: Vec<_> =
            self.nodes.ids().map(|node| format!("{}:{PORT}", node_host(node))).collect();
        let properties = Properties::from([("bootstrap.servers".to_owned(), bootstrap.join(","))]);
        let dialer = SimulatedDialer {
            cluster: self.cluster.clone(),
            nodes: self.nodes.clone(),
            network: self.network.clone(),
        };
        NativeCluster::through(&properties, Arc::new(dialer), Handle::current())
    }

    /// The next requests of this kind, on any connection, have these fates.
    pub fn script(&self, request: Request, fates: impl IntoIterator<Item = Fate>) {
        self.network.script(request, fates);
    }

    /// What chance does to requests that no script speaks of.
    pub fn set_chances(&self, chances: Chances) {
        self.network.set_chances(chances);
    }

    /// Gives a partition to the next node. Returns its id.
    pub fn move_leader(&self, topic: &str, partition: i32) -> i32 {
        self.nodes.move_leader(topic, partition)
    }

    /// Breaks all connections to a node, and refuses new ones until [`restart`](Self::restart).
    pub fn kill(&self, node: i32) {
        self.network.kill(node);
    }

    /// Ends [`kill`](Self::kill).
    pub fn restart(&self, node: i32) {
        self.network.restart(node);
    }

    /// How many requests had another fate than to arrive.
    pub fn faults(&self) -> usize {
        self.network.faults()
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("network", &self.network).finish_non_exhaustive()
    }
}

/// Opens streams to the nodes, each with the network in between.
#[derive(Debug)]
struct SimulatedDialer {
    cluster: EmbeddedCluster,
    nodes: Arc<Nodes>,
    network: Arc<Network>,
}

#[async_trait]
impl Dialer for SimulatedDialer {
    async fn dial(&self, address: &Address) -> Result<BoxedStream, Failure> {
        const BUFFER: usize = 64 << 10;
        let refused = |why| Failure::new(FailureKind::Disconnected, why);
        let node = self.nodes.ids().find(|node| node_host(*node) == address.host);
        let node = node.ok_or_else(|| refused("its name stands for no address"))?;
        let alive = self.network.alive(node).ok_or_else(|| refused("connection refused"))?;
        let (client, client_side) = duplex(BUFFER);
        let (server, server_side) = duplex(BUFFER);
        let advertised = Some((node_host(node), PORT));
        let settings = ServerSettings { advertised, ..ServerSettings::default() };
        let server_of = self.cluster.node(settings, node, self.nodes.clone());
        let network = self.network.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = server_of.serve_stream(server) => {}
                () = way::connect(client_side, server_side, &network) => {}
                () = alive.killed() => {}
            }
        });
        Ok(Box::new(client))
    }
}
