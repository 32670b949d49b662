//! The embedded cluster over Kafka's protocol: every promise of `Cluster`, through each client that
//! is built in. The native client needs no other broker to show what it can.

use std::net::SocketAddr;
use std::sync::Arc;

use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::{Cluster, connect};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fixture::*;

/// An embedded cluster that is served for as long as this lives.
pub(crate) struct Served {
    pub(crate) cluster: EmbeddedCluster,
    pub(crate) address: SocketAddr,
    client: Arc<dyn Cluster>,
    server: JoinHandle<()>,
}

impl Served {
    /// Serves it, for this `kafka.client`.
    pub(crate) async fn start(cluster: EmbeddedCluster, client: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = cluster.clone();
        let server = tokio::spawn(async move { served.serve(listener).await.unwrap() });
        let servers = address.to_string();
        let client =
            connect(&properties(&[("bootstrap.servers", &servers), ("kafka.client", client)]));
        let client = client.unwrap();
        Self { cluster, address, client, server }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Holder for Served {
    fn cluster(&self) -> &dyn Cluster {
        &*self.client
    }
}

#[cfg(feature = "rdkafka")]
mod to_librdkafka {
    use super::*;

    conformance!(Served::start(EmbeddedCluster::in_memory(), "librdkafka").await);
}

mod to_native {
    use super::*;

    conformance!(Served::start(EmbeddedCluster::in_memory(), "native").await);
    conformance!(Served::start(EmbeddedCluster::in_memory(), "native").await;
        create_partitions alter_topic_configs delete_records
        seek_and_pause_before_fetching_begins
        a_pause_in_the_middle_holds_back_what_was_fetched_ahead
        cooperative_members_keep_what_they_have
    );
    transactions!(Served::start(EmbeddedCluster::in_memory(), "native").await);
    transactions!(Served::start(EmbeddedCluster::in_memory(), "native").await; fenced_from_outside);
}
