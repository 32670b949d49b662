//! Where plugins run: on threads of their own, so that one that blocks its thread keeps neither
//! REST nor the herder waiting.

use std::num::NonZero;
use std::thread::available_parallelism;

use millrace_api::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// With one thread, one plugin that blocks would stop all others.
const FEWEST_THREADS: usize = 2;

/// Threads on which connectors run, or tasks. Dropping it cancels what runs there and waits for
/// nothing: a thread that a plugin blocks ends with the process.
pub(crate) struct PluginRuntime(Option<Runtime>);

impl PluginRuntime {
    /// As many threads as run at once on this machine, each by this name.
    pub(crate) fn start(name: &'static str) -> Result<Self> {
        let threads = available_parallelism().map_or(FEWEST_THREADS, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(FEWEST_THREADS))
            .thread_name(name)
            .enable_all()
            .build();
        let failed = |e| Error::fatal("cannot start threads").context("name", name).with_source(e);
        runtime.map(|runtime| Self(Some(runtime))).map_err(failed)
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is taken when it is dropped").handle()
    }

    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.handle().spawn(future)
    }
}

impl Drop for PluginRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
