//! The REST API: what Kafka Connect answers over HTTP, asked of any [`Herder`].
//!
//! Paths, status codes, headers and texts are Java's, the odd ones included; what differs is listed
//! in `docs/compatibility.md`. Nothing in here knows how connectors are run.

mod body;
mod connectors;
mod error;
mod layers;
mod listen;
mod parameters;
mod plugins;
mod root;
mod serve;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use millrace_api::Result;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::error::RestError;
use crate::config::rest::Listener;
use crate::config::worker::WorkerConfig;
use crate::herder::Herder;

/// Changes under way at once, all clients together. More wait for their turn, as long as a request
/// may take: it needs that many requests to connectors that hang.
const CHANGES: usize = 1024;

/// What one client, or all of them, may take from the server.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long a request may wait for the herder. Java: 90 s.
    operation: Duration,
    /// How long the health check may. Java: 10 s.
    health: Duration,
    /// How long a connection may be idle, and a request's head take to arrive. Java: 90 s.
    head: Duration,
    /// How long a request's body may take to arrive.
    body: Duration,
    /// How many bytes a request's body may have.
    body_size: usize,
    /// Connections at once; more wait in the system's queue.
    connections: usize,
    /// How long requests under way may take to end once the worker stops.
    grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operation: Duration::from_secs(90),
            health: Duration::from_secs(10),
            head: Duration::from_secs(90),
            body: Duration::from_secs(30),
            body_size: 1 << 20,
            connections: 1024,
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves the REST API on the worker's listeners.
///
/// Binding comes first and by itself: the worker's id needs the port, and a port in use should stop
/// the worker before it has begun anything.
#[derive(Debug)]
pub struct RestServer {
    listeners: Vec<(Listener, TcpListener)>,
    limits: Limits,
}

impl RestServer {
    /// Binds all listeners. A host that is empty means all addresses of this machine. May resolve
    /// names, which blocks for a moment.
    pub fn bind(listeners: &[Listener]) -> Result<Self> {
        let bound =
            listeners.iter().map(|listener| Ok((listener.clone(), listen::bind(listener)?)));
        Ok(Self { listeners: bound.collect::<Result<_>>()?, limits: Limits::default() })
    }

    /// Where the API is served, in the order of the listeners.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.listeners.iter();
        sockets.filter_map(|(_, s)| s.local_addr().ok()).collect()
    }

    /// `host:port` by which others reach this worker, and by which statuses name it.
    pub fn worker_id(&self, config: &WorkerConfig) -> String {
        let first = self.listeners.first();
        let bound = first.and_then(|(_, socket)| socket.local_addr().ok());
        listen::advertised(
            config.rest.advertised_host.as_deref(),
            config.rest.advertised_port,
            first.map(|(listener, _)| listener.host.as_str()),
            bound.map_or(0, |address| address.port()),
        )
    }

    /// Serves until `shutdown` is ready. Requests under way then have a few seconds to end.
    pub async fn serve(
        self,
        herder: Arc<dyn Herder>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let router = router(Rest {
            herder,
            changes: Arc::new(Semaphore::new(CHANGES)),
            limits: self.limits,
        });
        let sockets = self.listeners.into_iter().map(|(_, socket)| socket);
        serve::serve(sockets.collect(), router, self.limits, shutdown).await
    }
}

fn router(rest: Rest) -> Router {
    let routes = connectors::routes()
        .merge(plugins::routes())
        .route_layer(from_fn(layers::json_only))
        .merge(root::routes())
        .layer(from_fn_with_state(rest.clone(), layers::whole_body))
        .fallback(|| async { RestError::no_such_path() })
        .method_not_allowed_fallback(|| async { RestError::method_not_allowed() })
        .with_state(rest);
    // Outside of the routes, since these say only at their end which methods they have.
    Router::new()
        .fallback_service(routes)
        .layer(from_fn(layers::describe_options))
        .layer(from_fn(layers::log_access))
}

/// What every handler has at hand.
#[derive(Clone)]
struct Rest {
    herder: Arc<dyn Herder>,
    changes: Arc<Semaphore>,
    limits: Limits,
}

impl Rest {
    /// Reads something that the herder has at hand.
    async fn read<T>(&self, reading: impl Future<Output = Result<T>>) -> Result<T, RestError> {
        let read = timeout(self.limits.operation, reading).await;
        Ok(read.map_err(|_| RestError::timed_out())??)
    }

    /// Has something done that a plugin may take part in. Once begun it goes on, even when the
    /// client goes away or its time is up: half a change would be worse than a late one. A plugin
    /// that panics costs this request alone.
    async fn carry_out<T, F>(
        &self,
        operation: impl FnOnce(Arc<dyn Herder>) -> F + Send + 'static,
    ) -> Result<T, RestError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let herder = Arc::clone(&self.herder);
        let changes = Arc::clone(&self.changes);
        let done = async {
            let turn = changes.acquire_owned().await;
            let task = tokio::spawn(async move {
                let result = operation(herder).await;
                drop(turn);
                result
            });
            task.await
        };
        let done = timeout(self.limits.operation, done).await;
        let done = done.map_err(|_| RestError::timed_out())?;
        Ok(done.map_err(|_| RestError::panicked())??)
    }
}
