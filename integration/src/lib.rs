//! The harness of the integration tests: real servers, each started when first asked for and ended
//! with the test process.
//!
//! - [`site`]: what a test of a flow has to itself: a directory, and a log on either backend.
//! - [`broker`]: Kafka in a container, one shared by all tests or one of a test's own.
//! - [`brokers`]: a cluster of a test's own, whose brokers are killed, paused and cut off.
//! - [`proxy`]: a slow, silent or broken way to a broker.
//! - [`client`]: which of our Kafka clients a test drives.
//! - [`console`]: Java's console tools, as writers and readers that know nothing of us.
//! - [`drill`]: numbered records, groups and transactions while brokers fail, and what must hold.
//! - [`backend`]: the log, be it a broker's or embedded.
//! - [`traffic`]: reading and writing through the trait, with either of our clients.
//! - [`topic`]: what a topic holds, byte for byte; creating and filling topics.
//! - [`postgres`]: a throw-away PostgreSQL from the machine's own binaries.
//! - [`mariadb`]: the same of MariaDB.
//! - [`registry`]: a schema registry.
//! - [`security`]: a broker with TLS and SASL.
//! - [`connect`]: a Connect worker, ours or Java's, behind the same handle.
//! - [`canary`]: secrets that are planted, and looked for in everything that comes out.
//! - [`golden`]: what Java Connect answered, and whether we answer the same.
//!
//! Everything panics with a message that says what to do: a test has no better use for an error.

pub mod backend;
pub mod broker;
pub mod brokers;
pub mod canary;
pub mod client;
pub mod connect;
pub mod console;
pub mod docker;
pub mod drill;
pub mod golden;
pub mod leash;
pub mod mariadb;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod rest;
pub mod security;
pub mod site;
pub mod topic;
pub mod traffic;
mod wait;

pub use wait::wait_until;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::TcpListener;
use std::sync::{Mutex, OnceLock, PoisonError};
use tokio::runtime::Runtime;

/// Runs `future` to its end on the harness's own runtime; tests themselves are plain functions.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// The harness's own runtime.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Runtime::new().expect("a runtime needs only threads and a poll descriptor"))
}

/// A port of 127.0.0.1 that nobody listens on now. It is given out once: whoever asked for it may
/// need a while before it listens there.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

/// The name that our containers carry in the label `millrace.test`, so that CI removes its own
/// only.
fn test_run() -> String {
    std::env::var("MILLRACE_TEST_RUN").unwrap_or_else(|_| "dev".to_owned())
}
