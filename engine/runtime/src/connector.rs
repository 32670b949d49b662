//! One connector that runs: a job of its own on the threads of connectors (`WorkerConnector`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millrace_api::{Connector, ConnectorRequests, Error, Props, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::activity::Whose;
use crate::config::redaction::Redaction;
use crate::contain::contain;
use crate::plugin_runtime::{Job, PluginRuntime};
use crate::watched::Watched;

/// How long a connector may take to stop (`CONNECTOR_GRACEFUL_SHUTDOWN_TIMEOUT_MS`).
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A connector that was started. Dropping it gives it up: it ends at its next await.
pub(crate) struct RunningConnector {
    calls: mpsc::Sender<Call>,
    /// Dropped with it, so that it is given up.
    job: Job<()>,
    /// What its errors must not show.
    redaction: Redaction,
}

enum Call {
    TaskConfigs { tasks_max: usize, reply: oneshot::Sender<Result<Vec<Props>>> },
    Stop { reply: oneshot::Sender<Result<()>> },
}

impl RunningConnector {
    /// Starts a connector, by its constructor. A panic is an error like any other; none shows what
    /// `redaction` hides. Cancelled, it gives the connector up.
    pub(crate) async fn start(
        (plugins, name): (&PluginRuntime, &str),
        redaction: Redaction,
        open: impl Future<Output = Result<Box<dyn Connector>>> + Send + 'static,
    ) -> Result<Self> {
        let (calls, inbox) = mpsc::channel(1);
        let (started, outcome) = oneshot::channel();
        let job = plugins.spawn(Whose::Connector(name.into()), live(open, started, inbox));
        let mut running = Self { calls, job, redaction };
        match running.answer(async { outcome.await.ok() }).await {
            Ok(()) => Ok(running),
            Err(e) => {
                running.end(Instant::now() + STOP_TIMEOUT).await;
                Err(e)
            }
        }
    }

    /// The task configurations the connector wants now.
    pub(crate) async fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Props>> {
        self.call(|reply| Call::TaskConfigs { tasks_max, reply }).await
    }

    /// Stops the connector; one that takes too long is given up.
    pub(crate) async fn stop(mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        match timeout_at(deadline, self.call(|reply| Call::Stop { reply })).await {
            Ok(stopped) => {
                if let Err(e) = stopped {
                    tracing::error!("stopping the connector failed: {e}");
                }
                self.end(deadline).await;
            }
            Err(_) => tracing::error!("the connector does not stop and is given up"),
        }
    }

    /// Waits for one that has nothing left to do: else it would be given up as one that hangs.
    async fn end(&mut self, deadline: Instant) {
        let _ = timeout_at(deadline, &mut self.job).await;
    }

    async fn call<T>(
        &mut self,
        call: impl FnOnce(oneshot::Sender<Result<T>>) -> Call,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let calls = self.calls.clone();
        // One that does not return from its calls leaves no room for others.
        let answered = async move {
            calls.send(call(reply)).await.ok()?;
            answer.await.ok()
        };
        self.answer(answered).await
    }

    /// What the connector answers, unless it comes to its end before.
    async fn answer<T>(&mut self, answer: impl Future<Output = Option<Result<T>>>) -> Result<T> {
        tokio::select! {
            biased;
            Some(answer) = answer => answer.map_err(|e| self.redaction.error(e)),
            ended = &mut self.job => Err(ended.err().unwrap_or_else(gone)),
        }
    }

    /// An error of the connector, without the values of its configuration's variables.
    pub(crate) fn hide(&self, error: Error) -> Error {
        self.redaction.error(error)
    }
}

fn gone() -> Error {
    Error::fatal("the connector is not there any more")
}

/// A connector from its start to its end.
async fn live(
    open: impl Future<Output = Result<Box<dyn Connector>>>,
    started: oneshot::Sender<Result<()>>,
    mut calls: mpsc::Receiver<Call>,
) {
    let mut connector = match contain(open).await {
        Ok(connector) => Watched::new("", connector),
        Err(e) => return drop(started.send(Err(e))),
    };
    let _ = started.send(Ok(()));
    while let Some(call) = calls.recv().await {
        match call {
            Call::TaskConfigs { tasks_max, reply } => {
                let _ = reply.send(contain(connector.task_configs(tasks_max)).await);
            }
            Call::Stop { reply } => {
                let _ = reply.send(contain(connector.stop()).await);
                return;
            }
        }
    }
}

/// Remembers what a connector asks for until the herder takes it up.
#[derive(Default)]
pub(crate) struct Requests {
    raised: Mutex<Option<Error>>,
    reconfigure: AtomicBool,
    pub(crate) news: tokio::sync::Notify,
}

impl Requests {
    pub(crate) fn take_error(&self) -> Option<Error> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn take_reconfiguration(&self) -> bool {
        self.reconfigure.swap(false, Ordering::AcqRel)
    }
}

impl ConnectorRequests for Requests {
    fn request_task_reconfiguration(&self) {
        self.reconfigure.store(true, Ordering::Release);
        self.news.notify_one();
    }

    fn raise_error(&self, error: Error) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.news.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// Its thread does not come back.
    struct Silent;

    #[async_trait::async_trait]
    impl Connector for Silent {
        async fn task_configs(&mut self, _tasks_max: usize) -> Result<Vec<Props>> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_connector_that_was_made_to_fail_is_waited_for_no_more_however_often_it_is_asked() {
        let plugins = PluginRuntime::start().unwrap();
        let open = async { Ok(Box::new(Silent) as Box<dyn Connector>) };
        let running = RunningConnector::start((&plugins, "c"), Redaction::default(), open).await;
        let mut running = running.unwrap();
        plugins.jobs().all()[0].1.fail(Error::fatal("it takes too much"));
        for _ in 0..5 {
            let asked = timeout(Duration::from_secs(20), running.task_configs(1)).await;
            assert!(asked.expect("it is not waited for").is_err());
        }
    }
}
