//! Decides how producers of transactions are fenced.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, TransactionalId};
use millrace_api::Result;

use super::super::client::{Client, CoordinatorOf, check};
use super::super::error::{Permission, Resource};
use super::{Question, coordinator, text};

/// Raises the epoch of each transactional id, one after the other, as Java's `fenceProducers` does:
/// what its producers had open is aborted, and what they send from then on is refused.
pub(in super::super) async fn fence_producers(
    client: &Client,
    transactional_ids: &[&str],
) -> Result<()> {
    for id in transactional_ids {
        fence(client, id).await.map_err(|e| e.context("transactional.id", id))?;
    }
    Ok(())
}

async fn fence(client: &Client, id: &str) -> Result<()> {
    let needed = [
        Permission::new("Write", Resource::TransactionalId(id)),
        Permission::new("IdempotentWrite", Resource::Cluster),
    ];
    // The coordinator takes the epoch up while it is still aborting, and then wants to be asked
    // again.
    let question = Question::new(client, "the producer cannot be fenced", &needed)
        .also_after(ResponseError::ConcurrentTransactions);
    let fenced = question.ask(|| async {
        let timeout = client.request_timeout().as_millis();
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(i32::try_from(timeout).unwrap_or(i32::MAX).max(1));
        let connection = coordinator(client, CoordinatorOf::Transaction, id).await?;
        let answer = connection.call(|_| request).await?;
        connection.throttle(answer.throttle_time_ms);
        check(answer.error_code, None)
    });
    fenced.await
}
