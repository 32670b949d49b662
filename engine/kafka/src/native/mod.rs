//! Kafka's protocol in our own words: the client that costs least a record, and the one that can
//! do what Connect needs of a cluster beyond reading and writing.
//!
//! From the socket up: `net` has connections, `brokers` one per broker and purpose, `client` asks
//! the cluster and keeps `metadata`. Producers, consumers and administration stand on `client`.
//! All that waits for sockets runs on threads of its own ([`io`]): a task that keeps its thread
//! busy costs no heartbeat.
#![allow(dead_code, reason = "producers, consumers and administration are being built on it")]

use std::sync::Arc;

use millrace_api::Result;
use tokio::runtime::Handle;

use crate::Properties;

mod backoff;
mod brokers;
mod client;
mod error;
mod group;
mod io;
mod metadata;
mod net;
mod settings;

#[cfg(test)]
mod tests;

use client::Client;
pub(crate) use net::Address;
use net::{Dialer, TcpDialer};
use settings::ClientSettings;

/// A Kafka cluster, reached through its protocol.
///
/// Opening one does not wait for a broker. Calls that ask the cluster something take at most
/// `default.api.timeout.ms` and then fail with a retriable error that names the broker.
#[derive(Debug)]
pub struct NativeCluster {
    admin: Arc<Client>,
    bootstrap_servers: String,
    dialing: Dialing,
    io: Handle,
}

/// How clients of this cluster open streams.
#[derive(Clone, Debug)]
enum Dialing {
    /// Over TCP, each with its own security settings.
    Tcp,
    /// As a test wants.
    Given(Arc<dyn Dialer>),
}

impl NativeCluster {
    /// A cluster from an admin client's properties under Java's names. Producers and consumers
    /// inherit `bootstrap.servers` and nothing else, as in Connect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](millrace_api::ErrorKind), naming the key.
    pub fn new(properties: &Properties) -> Result<Self> {
        Self::with(properties, Dialing::Tcp, io::handle()?)
    }

    /// The same over streams of the caller's, with the I/O where the caller wants it.
    fn with(properties: &Properties, dialing: Dialing, io: Handle) -> Result<Self> {
        let settings = ClientSettings::admin(properties)?;
        let bootstrap: Vec<_> = settings.bootstrap.iter().map(ToString::to_string).collect();
        let admin = Client::new(settings.clone(), dialing.dialer(&settings), io.clone());
        Ok(Self { admin, bootstrap_servers: bootstrap.join(","), dialing, io })
    }

    /// A client of its own for a producer or a consumer.
    fn client(&self, settings: &ClientSettings) -> Arc<Client> {
        Client::new(settings.clone(), self.dialing.dialer(settings), self.io.clone())
    }

    /// What a producer or a consumer inherits.
    fn inherited(&self, properties: &Properties) -> Properties {
        let mut properties = properties.clone();
        let servers = || self.bootstrap_servers.clone();
        properties.entry("bootstrap.servers".to_owned()).or_insert_with(servers);
        properties
    }
}

impl Dialing {
    fn dialer(&self, settings: &ClientSettings) -> Arc<dyn Dialer> {
        match self {
            Self::Tcp => Arc::new(TcpDialer::new(settings.socket.clone())),
            Self::Given(dialer) => dialer.clone(),
        }
    }
}
