//! Decides on which threads the sockets of all clients live: threads of their own, so that neither
//! tasks nor REST keep a heartbeat waiting.

use std::sync::Mutex;
use std::thread::available_parallelism;

use crate::lock::lock;
use millrace_api::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// More threads than this do not move more bytes.
const MOST: usize = 4;

/// The runtime of this process for Kafka's sockets. Made when it is first asked for; it lives as
/// long as the process.
pub(super) fn handle() -> Result<Handle> {
    static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);
    let mut runtime = lock(&RUNTIME);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    let threads = available_parallelism().map_or(1, usize::from).min(MOST);
    let new = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("kafka-io")
        .enable_all()
        .build()
        .map_err(|e| Error::fatal("cannot start threads for Kafka's sockets").with_source(e))?;
    Ok(runtime.insert(new).handle().clone())
}
