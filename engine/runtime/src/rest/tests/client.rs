//! A worker with its REST server on a free port, and the plainest of HTTP clients.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
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
use crate::{Catalog, Herder, OffsetFile, StandaloneHerder, WorkerConfig};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// An HTTP answer.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) text: String,
}

impl Answer {
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
}

/// A worker that answers.
pub(super) struct Worker {
    pub(super) address: SocketAddr,
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
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut server = RestServer::bind(config.listeners()).unwrap();
        server.limits = limits;
        let address = server.addresses()[0];
        let id = server.worker_id(&config);
        let offsets = Arc::new(OffsetFile::open(&config.offset_file).unwrap());
        let cluster = Arc::new(EmbeddedCluster::in_memory());
        let catalog = Catalog::new(plugins::all());
        let herder = StandaloneHerder::start(config, catalog, cluster, offsets, id.clone()).await;
        let herder = Arc::new(herder.unwrap());
        let (stop, stopping) = oneshot::channel();
        let stopping = async { stopping.await.unwrap_or(()) };
        let served = tokio::spawn(server.serve(Arc::clone(&herder) as Arc<dyn Herder>, stopping));
        Self { address, id, directory, herder, stop, served }
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
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = timeout(PATIENCE, exchange).await.expect("an answer in time");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), text: text.to_owned() }
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

fn config(directory: &Path) -> WorkerConfig {
    let offsets = directory.join("connect.offsets").display().to_string();
    let props = [
        ("bootstrap.servers", "embedded:"),
        ("key.converter", plugins::STRING_CONVERTER),
        ("value.converter", plugins::STRING_CONVERTER),
        ("offset.storage.file.filename", offsets.as_str()),
        ("listeners", "http://127.0.0.1:0"),
        ("task.shutdown.graceful.timeout.ms", "1000"),
    ];
    let props = props.map(|(key, value)| (key.to_owned(), value.to_owned()));
    WorkerConfig::parse(props.into()).unwrap()
}
