//! The REST API: what Kafka Connect answers over HTTP, asked of any [`Herder`].
//!
//! Paths, status codes, headers and texts are Java's, the odd ones included; what differs is listed
//! in `docs/compatibility.md`. Nothing in here knows how connectors are run.

mod auth;
mod body;
mod connectors;
mod cors;
mod error;
mod ext;
mod headers;
mod layers;
mod listen;
mod loggers;
mod metrics;
mod offsets;
mod openapi;
mod operation;
mod parameters;
mod plugins;
mod root;
mod serve;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Json, Router};
use millrace_api::Result;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::auth::BasicAuth;
use self::cors::CrossOrigin;
use self::error::RestError;
use self::headers::HeaderRules;
use self::layers::Decoration;
use self::listen::Socket;
use self::operation::Operation;
use self::serve::Door;
use crate::config::rest::{AdminListeners, RestConfig};
use crate::config::worker::WorkerConfig;
use crate::herder::Herder;
use crate::log_levels::Loggers;

type Answer<T> = Result<Json<T>, RestError>;
type SharedHerder = Arc<dyn Herder>;

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
    /// How long a TLS handshake may take.
    handshake: Duration,
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
            handshake: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_size: 1 << 20,
            connections: 1024,
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves the REST API on the worker's listeners.
///
/// Binding comes first and by itself: the worker's id needs the port, and a port in use, a key store
/// that cannot be read or a file of users that is not there should stop the worker before it has
/// begun anything.
#[derive(Debug)]
pub struct RestServer {
    /// The regular listeners.
    sockets: Vec<Socket>,
    /// Those for administration alone.
    admin_sockets: Vec<Socket>,
    /// Whether loggers are administered on the regular listeners.
    shares_admin: bool,
    auth: Option<Arc<BasicAuth>>,
    decoration: Arc<Decoration>,
    topic_tracking: bool,
    topic_tracking_reset: bool,
    limits: Limits,
}

impl RestServer {
    /// Binds all listeners and reads the files that serving needs. May resolve names, which blocks
    /// for a moment.
    pub fn bind(config: &WorkerConfig) -> Result<Self> {
        let rest: &RestConfig = &config.rest;
        let auth = rest.basic_auth.then(BasicAuth::from_environment).transpose()?;
        let own = match &rest.admin {
            AdminListeners::Own(listeners) => listeners.as_slice(),
            AdminListeners::Shared | AdminListeners::Off => &[],
        };
        if auth.is_some() && !own.is_empty() {
            tracing::warn!(
                "admin.listeners ask nobody for a password, as in Java: choose addresses that only \
                 operators reach"
            );
        }
        let decoration = Decoration {
            cross_origin: CrossOrigin::new(&rest.allow_origin, &rest.allow_methods)?,
            headers: HeaderRules::parse(&rest.response_headers).map_err(headers::explained)?,
        };
        Ok(Self {
            sockets: listen::bind_all("listeners", &rest.listeners, &rest.tls)?,
            admin_sockets: listen::bind_all("admin.listeners", own, &rest.admin_tls)?,
            shares_admin: rest.admin == AdminListeners::Shared,
            auth: auth.map(Arc::new),
            decoration: Arc::new(decoration),
            topic_tracking: config.topic_tracking,
            topic_tracking_reset: config.topic_tracking_reset,
            limits: Limits::default(),
        })
    }

    /// Where the API is served, in the order of the listeners; then where loggers are administered,
    /// if that is elsewhere.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.sockets.iter().chain(&self.admin_sockets);
        sockets.map(|socket| socket.address).collect()
    }

    /// Where the API is served as URLs, in the same order, for people to read.
    pub fn urls(&self) -> Vec<String> {
        let regular = self.sockets.iter().map(Socket::url);
        let admin = self.admin_sockets.iter().map(|socket| format!("{} (admin)", socket.url()));
        regular.chain(admin).collect()
    }

    /// `host:port` by which others reach this worker, and by which statuses name it.
    pub fn worker_id(&self, config: &WorkerConfig) -> String {
        listen::advertised(&config.rest, &self.sockets)
    }

    /// The address that others are told, such as `https://host:port/`.
    pub fn advertised_url(&self, config: &WorkerConfig) -> String {
        format!("{}://{}/", config.rest.advertised_protocol, self.worker_id(config))
    }

    /// Serves until `shutdown` is ready. Requests under way then have a few seconds to end.
    pub async fn serve(
        self,
        herder: Arc<dyn Herder>,
        loggers: Arc<dyn Loggers>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let limits = self.limits;
        let rest = Rest {
            herder,
            loggers,
            auth: self.auth,
            changes: Arc::new(Semaphore::new(CHANGES)),
            topic_tracking: self.topic_tracking,
            topic_tracking_reset: self.topic_tracking_reset,
            limits,
        };
        let mut operations = operations();
        if self.shares_admin {
            operations.extend(loggers::operations());
        }
        operations.push(openapi::operation(&operations));
        let regular = router(&rest, operations)
            .layer(from_fn_with_state(self.decoration, layers::decorate))
            .layer(from_fn(layers::log_access));
        let open = Rest { auth: None, ..rest };
        let administration = loggers::operations().into_iter().chain(metrics::operations());
        let admin = router(&open, administration.collect()).layer(from_fn(layers::log_access));
        let door = |router: &Router| {
            let router = router.clone();
            move |socket| Door { socket, router: router.clone() }
        };
        let doors = self.sockets.into_iter().map(door(&regular));
        let doors = doors.chain(self.admin_sockets.into_iter().map(door(&admin)));
        serve::serve(doors.collect(), limits, shutdown).await
    }
}

/// What is served on the regular listeners in any case.
fn operations() -> Vec<Operation> {
    let all = [root::operations(), connectors::operations(), offsets::operations()];
    let more = [plugins::operations(), ext::operations(), metrics::operations()];
    all.into_iter().chain(more).flatten().collect()
}

/// The operations behind one fallback, so that layers lie around what is not found too.
fn router(rest: &Rest, operations: Vec<Operation>) -> Router {
    Router::new().fallback_service(operation::router(rest, operations))
}

/// What every handler has at hand.
#[derive(Clone)]
struct Rest {
    herder: SharedHerder,
    loggers: Arc<dyn Loggers>,
    /// None when everybody may ask.
    auth: Option<Arc<BasicAuth>>,
    changes: Arc<Semaphore>,
    topic_tracking: bool,
    topic_tracking_reset: bool,
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
        operation: impl FnOnce(SharedHerder) -> F + Send + 'static,
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
