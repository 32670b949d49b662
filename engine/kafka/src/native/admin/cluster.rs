//! Decides what is asked of the cluster as a whole.

use kafka_protocol::ResponseError;
use millrace_api::Result;

use super::super::client::{CallError, Client};
use super::Question;

/// The cluster's id. Brokers that have just started may not know it for a moment.
pub(in super::super) async fn cluster_id(client: &Client) -> Result<String> {
    let question = Question::new(client, "the cluster cannot be described", &[]);
    question
        .ask(|| async {
            let metadata = client.look_up(Some(&[])).await?;
            let starting = CallError::Refused(ResponseError::LeaderNotAvailable, None);
            metadata.cluster_id.ok_or(starting)
        })
        .await
}
