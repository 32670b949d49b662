//! `millrace standalone`: what `connect-standalone.sh` does, with its arguments and exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use millrace_api::config::properties;
use millrace_api::{Error, Props, Result};
use millrace_runtime::rest::RestServer;
use millrace_runtime::{Herder, OffsetFile, StandaloneHerder, TargetState, WorkerConfig};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::catalog::catalog;
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
    /// The worker's properties.
    worker_properties: PathBuf,
    /// A connector each: a .properties file, or JSON.
    connectors: Vec<PathBuf>,
}

/// Runs until told to end.
pub async fn run(arguments: Arguments) -> ExitCode {
    let worker = match Worker::start(&arguments.worker_properties).await {
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
    async fn start(path: &Path) -> Result<Self> {
        let config = WorkerConfig::parse(properties::read(path)?)
            .map_err(|e| e.context("file", path.display()))?;
        let offsets = Arc::new(OffsetFile::open(&config.offset_file)?);
        let server = RestServer::bind(config.listeners())?;
        let worker_id = server.worker_id(&config);
        let servers = config.bootstrap_servers().join(",");
        tracing::info!("connecting to bootstrap.servers={servers}");
        let cluster = millrace_kafka::connect(&config.client_properties())?;
        let herder =
            StandaloneHerder::start(config, catalog(), cluster, offsets, worker_id.clone()).await?;
        let herder = Arc::new(herder);
        let (stop_rest, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let rest = tokio::spawn(server.serve(Arc::clone(&herder) as Arc<dyn Herder>, shutdown));
        tracing::info!("Kafka Connect started: REST on http://{worker_id}/");
        Ok(Self { herder, rest, stop_rest })
    }

    async fn create(&self, file: &Path) -> Result<()> {
        let (name, config, state) = read_connector(file)?;
        let (_, info) = self.herder.put_connector(&name, config, state, false).await?;
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

/// A connector file: a flat JSON object with a name, a JSON create request, or properties.
fn read_connector(path: &Path) -> Result<(String, Props, Option<TargetState>)> {
    let failed = |e: std::io::Error| {
        Error::config("cannot read the connector file")
            .context("file", path.display())
            .with_source(e)
    };
    let bytes = fs::read(path).map_err(failed)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match serde_json::from_slice(text) {
        Ok(Value::Object(json)) => {
            return from_json(json).map_err(|e| e.context("file", path.display()));
        }
        // No key of a properties file begins with a brace.
        Err(e) if text.trim_ascii_start().starts_with(b"{") => {
            return Err(Error::config("the connector file is not valid JSON")
                .context("file", path.display())
                .with_source(e));
        }
        _ => {}
    }
    let props = properties::read(path)?;
    let name = props.get("name").map(|n| n.trim().to_owned()).filter(|n| !n.is_empty());
    let name = name.ok_or_else(|| no_name().context("file", path.display()))?;
    Ok((name, props, None))
}

fn no_name() -> Error {
    Error::config("Missing required configuration \"name\" which has no default value.")
}

fn from_json(mut json: Map<String, Value>) -> Result<(String, Props, Option<TargetState>)> {
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    let name = json.get("name").cloned().and_then(text).ok_or_else(no_name)?;
    let Some(Value::Object(config)) = json.remove("config") else {
        return Ok((name, strings(json)?, None));
    };
    let mut config = strings(config)?;
    let inner = config.entry("name".to_owned()).or_insert_with(|| name.clone());
    if *inner != name {
        let message = format!("config.name is {inner}, but name is {name}");
        return Err(Error::config(message).context("remedy", "write the same name in both"));
    }
    let state = match json.remove("initial_state").and_then(text) {
        None => None,
        Some(state) if state.eq_ignore_ascii_case("running") => Some(TargetState::Started),
        Some(state) if state.eq_ignore_ascii_case("paused") => Some(TargetState::Paused),
        Some(state) => {
            return Err(Error::config(format!("initial_state is {state}"))
                .context("remedy", "use RUNNING or PAUSED"));
        }
    };
    Ok((name, config, state))
}

fn strings(json: Map<String, Value>) -> Result<Props> {
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) => Ok((key, number.to_string())),
        Value::Bool(flag) => Ok((key, flag.to_string())),
        _ => Err(Error::config(format!("the value of {key} is not a string"))
            .context("remedy", "write every value as a string")),
    };
    json.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<(String, Props, Option<TargetState>)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read_connector(file.path())
    }

    #[test]
    fn connectors_are_read_in_all_three_forms() {
        for text in [
            "name=c\nconnector.class=X\n",
            r#"{"name":"c","connector.class":"X"}"#,
            r#"{"name":"c","config":{"connector.class":"X"},"initial_state":"paused"}"#,
        ] {
            let (name, props, state) = read(text).unwrap();
            assert_eq!((name.as_str(), props["connector.class"].as_str()), ("c", "X"));
            assert_eq!(state.is_some(), text.contains("initial_state"));
        }
    }

    #[test]
    fn wrong_files_are_refused_with_their_name() {
        for text in ["connector.class=X\n", r#"{"name":"a","config":{"name":"b"}}"#, "{\"a\":"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("file: "), "{error}");
        }
    }
}
