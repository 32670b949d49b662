//! Decides what is asked of the cluster as a whole.

use kafka_protocol::ResponseError;
use millrace_api::Result;
use tokio::time::{Duration, Instant, timeout_at};

use super::super::client::{CallError, Client};
use super::super::metadata::Metadata;
use super::Question;
use crate::{ClusterDescription, Node};

/// After so long it is said that no broker answers.
const TELL: Duration = Duration::from_secs(10);

/// The cluster's id, controller and brokers: a worker's first question, so that the log says what
/// it waits for.
pub(in super::super) async fn describe_cluster(client: &Client) -> Result<ClusterDescription> {
    let question = Question::new(client, "the cluster cannot be described", &[]);
    let deadline = question.deadline;
    let asked = question.ask(|| async { describe(client.look_up(Some(&[])).await?) });
    let mut asked = std::pin::pin!(asked);
    let error = loop {
        match timeout_at(Instant::now() + TELL, &mut asked).await {
            Ok(Ok(description)) => return Ok(description),
            Ok(Err(error)) => break error,
            Err(_) => client.tell_of_waiting(deadline),
        }
    };
    if !error.is_retriable() {
        return Err(error);
    }
    let remedy = "is a broker up, does bootstrap.servers name it, and is security.protocol that of \
                  its listener?";
    Err(error.context("bootstrap.servers", client.bootstrap_servers()).context("remedy", remedy))
}

fn describe(metadata: Metadata) -> Result<ClusterDescription, CallError> {
    // A broker that has just started may not know it for a moment.
    let starting = CallError::Refused(ResponseError::LeaderNotAvailable, None);
    let id = metadata.cluster_id.ok_or(starting)?;
    let nodes = metadata.brokers.into_iter().map(|(id, broker)| Node {
        id,
        host: broker.address.host,
        port: broker.address.port,
        rack: broker.rack,
    });
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_unstable_by_key(|node| node.id);
    Ok(ClusterDescription { id, controller: metadata.controller, nodes })
}
