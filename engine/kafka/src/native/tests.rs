//! The client against a broker that a test plays itself, over streams in memory.

use std::sync::Arc;

use kafka_protocol::messages::MetadataRequest;
use tokio::runtime::Handle;

use super::client::Client;
use super::net::TcpDialer;
use super::settings::ClientSettings;
use crate::Properties;

/// The client of a real broker, when there is one.
fn real() -> Option<Arc<Client>> {
    let servers = std::env::var("MILLRACE_TEST_BOOTSTRAP").ok()?;
    let properties = Properties::from([("bootstrap.servers".to_owned(), servers)]);
    let settings = ClientSettings::admin(&properties).unwrap();
    let dialer = Arc::new(TcpDialer::new(settings.socket.clone(), settings.security.tls.clone()));
    Some(Client::new(settings, dialer, Handle::current()))
}

#[tokio::test]
async fn a_real_broker_answers() {
    let Some(client) = real() else {
        return;
    };
    let metadata = client.refresh().await.unwrap();
    assert!(metadata.cluster_id.is_some());
    assert!(!metadata.brokers.is_empty());
    let all = client.call_any(|_| MetadataRequest::default().with_topics(None)).await.unwrap();
    assert_eq!(all.brokers.len(), metadata.brokers.len());
    let group = client.retrying(client.api_deadline(), || {
        client.find_coordinator(super::client::CoordinatorOf::Group, "lead-group")
    });
    assert!(metadata.brokers.contains_key(&group.await.unwrap()));
}
