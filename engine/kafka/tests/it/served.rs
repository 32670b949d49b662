//! The embedded cluster over Kafka's protocol: every promise of `Cluster`, through librdkafka.

use std::net::SocketAddr;

use millrace_kafka::Cluster;
use millrace_kafka::embedded::EmbeddedCluster;
use millrace_kafka::librdkafka::RdKafkaCluster;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fixture::*;

/// An embedded cluster that is served for as long as this lives.
pub(crate) struct Served {
    pub(crate) cluster: EmbeddedCluster,
    pub(crate) address: SocketAddr,
    client: RdKafkaCluster,
    server: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(cluster: EmbeddedCluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = cluster.clone();
        let server = tokio::spawn(async move { served.serve(listener).await.unwrap() });
        let properties = properties(&[("bootstrap.servers", &address.to_string())]);
        let client = RdKafkaCluster::new(&properties).unwrap();
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
        &self.client
    }
}

conformance!(Served::start(EmbeddedCluster::in_memory()).await);
