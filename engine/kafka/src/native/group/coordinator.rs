//! Decides which broker is asked about a group: the one that coordinates it, looked for again
//! whenever it does not answer or says that it is another.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::Request;

use crate::lock::lock;
use crate::native::brokers::Lane;
use crate::native::client::{CallError, Client, CoordinatorOf};

/// The coordinator of one group.
#[derive(Debug)]
pub(crate) struct Coordinator {
    client: Arc<Client>,
    group: String,
    known: Mutex<Option<i32>>,
}

impl Coordinator {
    /// One that nobody has looked for yet.
    pub(crate) fn new(client: Arc<Client>, group: impl Into<String>) -> Self {
        Self { client, group: group.into(), known: Mutex::default() }
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The group's id.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// Asks once, and looks for the coordinator before if it is not known. The caller hands errors
    /// that the answer holds to [`Coordinator::heed`]. Cancel-safe: the request goes its way.
    pub(crate) async fn call<R: Request>(
        &self,
        lane: Lane,
        longest: Duration,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, CallError> {
        let known = *self.known();
        let node = match known {
            Some(node) => node,
            None => {
                let found = self.client.find_coordinator(CoordinatorOf::Group, &self.group).await?;
                *self.known().insert(found)
            }
        };
        let asked = async {
            let connection = self.client.connection(node, lane).await?;
            connection.call_within(longest, build).await
        };
        asked.await.map_err(|failure| {
            self.forget();
            CallError::Failed(failure)
        })
    }

    /// Looks for the coordinator again if the error says that it is elsewhere.
    pub(crate) fn heed(&self, error: &CallError) {
        use ResponseError::{CoordinatorNotAvailable, NotCoordinator};
        if matches!(error.code(), Some(NotCoordinator | CoordinatorNotAvailable)) {
            self.forget();
        }
    }

    fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<i32>> {
        lock(&self.known)
    }
}
