//! `millrace standalone`: what `connect-standalone.sh` does, with its arguments and exit codes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use millrace_api::config::properties;
use millrace_api::{ErrorKind, Props, Result};
use millrace_runtime::rest::RestServer;
use millrace_runtime::{Herder, Loggers, OffsetFile, StandaloneHerder, WorkerConfig};
use tokio::sync::oneshot;

use crate::catalog::catalog;
use crate::commands::connector_file::ConnectorFile;
use crate::commands::told_to_end;

/// Run a worker by itself, as connect-standalone.sh does.
///
/// Exit codes are Java's: 0 when told to end, 1 for wrong arguments, 2 when the worker cannot
/// start, 3 when a connector file is wrong.
#[derive(Args)]
#[command(after_help = "\
Examples:
  millrace standalone connect-standalone.properties connect-file-source.properties
  millrace standalone worker.properties          (connectors come by REST)
  millrace standalone worker.properties orders.json")]
pub struct Arguments {
    /// The worker's properties; "" stands for none.
    worker_properties: OsString,
    /// A connector each: a .properties file, or JSON (its settings, or a create request).
    connectors: Vec<PathBuf>,
}

/// Runs until told to end.
pub async fn run(arguments: Arguments, loggers: Arc<dyn Loggers>) -> ExitCode {
    let path = Path::new(&arguments.worker_properties);
    let worker = match Worker::start(path, loggers).await {
        Ok(worker) => worker,
        Err(e) => {
            tracing::error!("the worker cannot start: {}", e.trace());
            return ExitCode::from(2);
        }
    };
    let code = worker.run(&arguments.connectors).await;
    worker.stop().await;
    code
}

/// A worker and its REST API.
struct Worker {
    herder: Arc<StandaloneHerder>,
    rest: tokio::task::JoinHandle<Result<()>>,
    stop_rest: oneshot::Sender<()>,
}

impl Worker {
    async fn start(path: &Path, loggers: Arc<dyn Loggers>) -> Result<Self> {
        // As in Java, an empty path stands for no properties.
        let props = match path.as_os_str().is_empty() {
            true => Props::new(),
            false => properties::read(path)?,
        };
        let config = WorkerConfig::parse(props).map_err(|e| e.context("file", path.display()))?;
        let offsets = Arc::new(OffsetFile::open(&config.offset_file)?);
        let server = RestServer::bind(&config)?;
        let (worker_id, url) = (server.worker_id(&config), server.advertised_url(&config));
        let listeners = server.urls().join(", ");
        let servers = config.bootstrap_servers().join(",");
        tracing::info!("connecting to bootstrap.servers={servers}");
        let cluster = millrace_kafka::connect(&config.client_properties())
            .map_err(|e| e.context("file", path.display()))?;
        let herder = StandaloneHerder::start(config, catalog(), cluster, offsets, worker_id);
        // A converter that is not there is the file's fault.
        let herder = herder.await.map_err(|e| match e.kind() {
            ErrorKind::Config => e.context("file", path.display()),
            _ => e,
        })?;
        let herder = Arc::new(herder);
        let (stop_rest, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = server.serve(Arc::clone(&herder) as Arc<dyn Herder>, loggers, shutdown);
        let rest = tokio::spawn(served);
        tracing::info!("Kafka Connect started: REST on {url}, listening on {listeners}");
        Ok(Self { herder, rest, stop_rest })
    }

    async fn create(&self, file: &Path) -> Result<()> {
        let ConnectorFile { name, config, initial } = ConnectorFile::read(file)?;
        let (_, info) = self.herder.put_connector(&name, config, initial, false).await?;
        tracing::info!("created connector {} with {} task(s)", info.name, info.tasks.len());
        Ok(())
    }

    /// Creates the connectors and waits to be told to end. That may come while one of them is
    /// still starting: those that run already must be stopped in order.
    async fn run(&self, connectors: &[PathBuf]) -> ExitCode {
        let end = match told_to_end() {
            Ok(end) => end,
            Err(e) => {
                tracing::error!("cannot wait for signals: {e}");
                return ExitCode::from(2);
            }
        };
        tokio::pin!(end);
        for file in connectors {
            let created = tokio::select! {
                biased;
                () = &mut end => return ExitCode::SUCCESS,
                created = self.create(file) => created,
            };
            if let Err(e) = created {
                tracing::error!("stopping, since {} is wrong: {}", file.display(), e.trace());
                return ExitCode::from(3);
            }
        }
        end.await;
        ExitCode::SUCCESS
    }

    async fn stop(self) {
        tracing::info!("stopping");
        let _ = self.stop_rest.send(());
        self.herder.stop().await;
        let _ = self.rest.await;
        tracing::info!("stopped");
    }
}
