//! A worker with its REST server on a free port, and the plainest of HTTP clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millrace_kafka::embedded::EmbeddedCluster;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::plugins;
use crate::rest::{Limits, RestServer};
use crate::{Catalog, Herder, LoggerLevel, Loggers, OffsetFile, StandaloneHerder, WorkerConfig};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// An HTTP answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn parse(answer: &str) -> Self {
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), text: text.to_owned() }
    }

    /// The body as JSON; null when there is none.
    pub(super) fn json(&self) -> Value {
        match self.text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap(),
        }
    }

    pub(super) fn message(&self) -> String {
        let body = self.json();
        assert_eq!(body["error_code"], self.status);
        body["message"].as_str().unwrap().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// All values of a header.
    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    pub(super) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// A worker that answers.
pub(super) struct Worker {
    pub(super) address: SocketAddr,
    /// Of all listeners.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) id: String,
    pub(super) directory: TempDir,
    herder: Arc<StandaloneHerder>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<millrace_api::Result<()>>,
}

impl Worker {
    pub(super) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(super) async fn start_with(limits: Limits) -> Self {
        Self::configured(limits, &[]).await
    }

    /// With more keys in the worker's configuration.
    pub(super) async fn configured(limits: Limits, keys: &[(&str, &str)]) -> Self {
        Self::adapted(keys, |server| server.limits = limits).await
    }

    /// With changes to the server before it serves.
    pub(super) async fn adapted(
        keys: &[(&str, &str)],
        adapt: impl FnOnce(&mut RestServer),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path(), keys);
        let mut server = RestServer::bind(&config).unwrap();
        adapt(&mut server);
        let addresses = server.addresses();
        let address = addresses[0];
        let id = server.worker_id(&config);
        let offsets = Arc::new(OffsetFile::open(&config.offset_file).unwrap());
        let cluster = Arc::new(EmbeddedCluster::in_memory());
        let catalog = Catalog::new(plugins::all());
        let herder = StandaloneHerder::start(config, catalog, cluster, offsets, id.clone()).await;
        let herder = Arc::new(herder.unwrap());
        let (stop, stopping) = oneshot::channel();
        let stopping = async { stopping.await.unwrap_or(()) };
        let shared = Arc::clone(&herder) as Arc<dyn Herder>;
        let served = tokio::spawn(server.serve(shared, Arc::new(Levels::default()), stopping));
        Self { address, addresses, id, directory, herder, stop, served }
    }

    /// Ends the server, and shows that it ends.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.served).await.expect("the server ends in time").unwrap().unwrap();
        self.herder.stop().await;
    }

    /// Asks as a client that sends JSON.
    pub(super) async fn ask(&self, request: &str, body: &str) -> Answer {
        self.send(request, "Content-Type: application/json\r\n", body).await
    }

    /// Asks with these header lines.
    pub(super) async fn send(&self, request: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        self.raw(&format!(
            "{request} HTTP/1.1\r\nHost: connect.example:8083\r\nConnection: close\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// Sends these bytes, and reads until the server closes.
    pub(super) async fn raw(&self, request: &str) -> Answer {
        self.raw_at(self.address, request).await
    }

    /// Sends these bytes to one of the listeners.
    pub(super) async fn raw_at(&self, address: SocketAddr, request: &str) -> Answer {
        let exchange = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = timeout(PATIENCE, exchange).await.expect("an answer in time");
        Answer::parse(&answer)
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn ask_until(
        &self,
        request: &str,
        body: &str,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(request, body).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{request}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn config(directory: &Path, keys: &[(&str, &str)]) -> WorkerConfig {
    let offsets = directory.join("connect.offsets").display().to_string();
    let props = [
        ("bootstrap.servers", "embedded:"),
        ("key.converter", plugins::STRING_CONVERTER),
        ("value.converter", plugins::STRING_CONVERTER),
        ("offset.storage.file.filename", offsets.as_str()),
        ("listeners", "http://127.0.0.1:0"),
        ("task.shutdown.graceful.timeout.ms", "1000"),
    ];
    let props = props.iter().chain(keys);
    let props = props.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    WorkerConfig::parse(props.collect()).unwrap()
}

/// Loggers that change nothing.
#[derive(Default)]
struct Levels(Mutex<BTreeMap<String, LoggerLevel>>);

impl Loggers for Levels {
    fn all(&self) -> Vec<(String, LoggerLevel)> {
        self.0.lock().unwrap().iter().map(|(name, level)| (name.clone(), level.clone())).collect()
    }

    fn get(&self, name: &str) -> Option<LoggerLevel> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn set(&self, namespace: &str, level: &str) -> Vec<String> {
        let logger = LoggerLevel { level: level.to_owned(), last_modified: Some(1) };
        self.0.lock().unwrap().insert(namespace.to_owned(), logger);
        vec![namespace.to_owned()]
    }
}
