//! Serves an embedded cluster over Kafka's protocol: decides who may connect, and what the cluster
//! says its address is.
//!
//! One node, number 1, which leads every partition and coordinates everything. There is neither
//! encryption nor authentication: a listener belongs on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use millrace_api::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{EmbeddedCluster, Shared};
use crate::trouble::Trouble;

mod api;
pub(super) mod clock;
mod cluster;
pub(super) mod configs;
mod connection;
mod error;
mod fetch;
mod groups;
mod inspect;
mod list_offsets;
pub(crate) mod nodes;
mod offsets;
mod produce;
mod topics;
mod transactions;

#[cfg(test)]
mod tests;

use connection::Connection;
use nodes::Nodes;

/// The id of the only node.
const NODE_ID: i32 = 1;
/// Which term of its leadership it is in: it was always the leader.
const LEADER_EPOCH: i32 = 0;

/// How an [`EmbeddedCluster`] is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// The most connections at a time; one more is closed at once (`max.connections`).
    pub max_connections: usize,
    /// A connection without a request for so long is closed (`connections.max.idle.ms`).
    pub max_idle: Duration,
    /// The most bytes of a request with records (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// Host and port that clients are told to connect to. None: where they are connected already,
    /// and `localhost:9092` on a stream without an address.
    pub advertised: Option<(String, u16)>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_connections: 1000,
            max_idle: Duration::from_secs(600),
            max_request_bytes: 100 << 20,
            advertised: None,
        }
    }
}

/// Serves a cluster. Clones share its limits.
#[derive(Clone, Debug)]
pub struct Server {
    cluster: EmbeddedCluster,
    settings: Arc<ServerSettings>,
    slots: Arc<Semaphore>,
    /// Which of the cluster's nodes this is, and which there are.
    node: i32,
    nodes: Arc<Nodes>,
    /// Somebody speaks TLS.
    encrypted: Arc<Trouble>,
}

impl EmbeddedCluster {
    /// A server for this cluster; see [`Server::serve`] and [`Server::serve_stream`].
    pub fn server(&self, settings: ServerSettings) -> Server {
        self.node(settings, NODE_ID, Arc::new(Nodes::new(1)))
    }

    /// A server for one of several nodes.
    pub(crate) fn node(&self, settings: ServerSettings, node: i32, nodes: Arc<Nodes>) -> Server {
        let slots = Arc::new(Semaphore::new(settings.max_connections));
        let (cluster, settings, encrypted) = (self.clone(), Arc::new(settings), Arc::default());
        Server { cluster, settings, slots, node, nodes, encrypted }
    }

    /// Serves clients that connect to this listener, with the default settings.
    ///
    /// # Errors
    ///
    /// As [`Server::serve`].
    pub async fn serve(&self, listener: TcpListener) -> Result<()> {
        self.server(ServerSettings::default()).serve(listener).await
    }

    /// Serves one client, with the default settings, until it closes its end or the future is
    /// dropped. The cluster says that it is at `localhost:9092`.
    pub async fn serve_stream<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.server(ServerSettings::default()).serve_stream(stream).await;
    }
}

impl Server {
    /// Serves clients that connect to this listener, until the future is dropped, which closes all
    /// their connections.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind) when others than this machine could connect.
    pub async fn serve(&self, listener: TcpListener) -> Result<()> {
        let address = listener.local_addr().map_err(|e| {
            Error::fatal("the listener of the embedded cluster has no address").with_source(e)
        })?;
        check_loopback(address)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        // Answers are written whole.
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                        }
                        let at = stream.local_addr().unwrap_or(address);
                        let server = self.clone();
                        connections.spawn(async move {
                            server.connection(stream, peer.to_string(), at).await;
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the embedded cluster cannot accept a connection");
                        // Out of files, most likely: others have to close theirs first.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves one client until it closes its end or the future is dropped.
    pub async fn serve_stream<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9092));
        self.connection(stream, "a stream in this process".to_owned(), nowhere).await;
    }

    async fn connection<S>(&self, stream: S, peer: String, at: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Ok(_slot) = self.slots.try_acquire() else {
            tracing::warn!(
                peer,
                max.connections = self.settings.max_connections,
                "a connection to the embedded cluster is closed: there are too many"
            );
            return;
        };
        let _clock = clock::run(&self.cluster.0);
        let (host, port) = match &self.settings.advertised {
            Some((host, port)) => (host.clone(), *port),
            None => (at.ip().to_string(), at.port()),
        };
        let client = Client {
            shared: self.cluster.0.clone(),
            host: StrBytes::from_string(host),
            port: i32::from(port),
            peer,
            node: self.node,
            nodes: self.nodes.clone(),
            encrypted: self.encrypted.clone(),
        };
        Connection::new(stream, client, self.settings.clone()).run().await;
    }
}

/// Who is connected, and to what.
struct Client {
    shared: Arc<Shared>,
    /// The host that the cluster says it is at.
    host: StrBytes,
    port: i32,
    peer: String,
    node: i32,
    nodes: Arc<Nodes>,
    encrypted: Arc<Trouble>,
}

impl Client {
    /// Where a node is: of one, where it says; of several, at a name of its own.
    fn address_of(&self, node: i32) -> (StrBytes, i32) {
        match node == self.node {
            true => (self.host.clone(), self.port),
            false => (StrBytes::from_string(nodes::host(node)), self.port),
        }
    }

    /// The peer without its port.
    fn host_of_peer(&self) -> &str {
        self.peer.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host)
    }
}

/// Refuses addresses that other machines could connect to.
fn check_loopback(address: SocketAddr) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Error::config(
        "the embedded cluster is served on loopback only, as it knows neither encryption nor \
         authentication: bind 127.0.0.1 or ::1, or use a Kafka cluster",
    )
    .context("address", address))
}
