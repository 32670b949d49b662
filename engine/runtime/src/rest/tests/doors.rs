//! Who reaches what: listeners, TLS, users, other sites' pages, extra headers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::client::{Answer, PATIENCE, Worker};
use super::{LINES, Limits, create};
use crate::rest::auth::BasicAuth;

const GET: &str = "GET /admin/loggers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const ROOT: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn loggers_are_administered_where_configured() {
    for (key, shared, own) in
        [(None, 200, None), (Some(""), 404, None), (Some("http://127.0.0.1:0"), 404, Some(200))]
    {
        let keys: Vec<_> = key.iter().map(|value| ("admin.listeners", *value)).collect();
        let worker = Worker::configured(Limits::default(), &keys).await;
        assert_eq!(worker.raw(GET).await.status, shared);
        assert_eq!(worker.raw(ROOT).await.status, 200);
        assert_eq!(worker.addresses.len(), 1 + own.iter().count());
        if let Some(status) = own {
            let admin = worker.addresses[1];
            assert_eq!(worker.raw_at(admin, GET).await.status, status);
            assert_eq!(worker.raw_at(admin, ROOT).await.status, 404);
        }
        worker.stop().await;
    }
}

#[tokio::test]
async fn headers_are_added_to_all_answers_of_regular_listeners() {
    let worker = Worker::configured(
        Limits::default(),
        &[
            ("listeners", "http://127.0.0.1:0, HTTP://localhost:0"),
            ("admin.listeners", "http://127.0.0.1:0"),
            (
                "response.http.headers.config",
                "\"set Cache-Control: no-cache, no-store\", add X-A:b",
            ),
            ("access.control.allow.origin", "http://good.example"),
            ("access.control.allow.methods", "GET,PUT"),
        ],
    )
    .await;
    for address in &worker.addresses[..2] {
        for request in [ROOT, &ROOT.replace("/ HTTP", "/nowhere HTTP")] {
            let answer = worker.raw_at(*address, request).await;
            assert_eq!(answer.headers("Cache-Control"), ["no-cache, no-store"]);
            assert_eq!(answer.headers("X-A"), ["b"]);
            assert_eq!(answer.header("Vary"), Some("Origin"));
        }
    }
    let admin = worker.raw_at(worker.addresses[2], GET).await;
    assert_eq!((admin.header("X-A"), admin.header("Vary")), (None, None));

    let origin = "Origin: http://good.example\r\n";
    let preflight = format!("{origin}Access-Control-Request-Method: PUT\r\n");
    let answer = worker.send("OPTIONS /connectors", &preflight, "").await;
    // It reaches the application.
    assert_eq!((answer.status, &*answer.text), (200, "HEAD, POST, GET, OPTIONS"));
    for (header, value) in [
        ("Access-Control-Allow-Origin", "http://good.example"),
        ("Access-Control-Allow-Methods", "GET,PUT"),
        ("Access-Control-Allow-Headers", "Content-Type"),
        ("Access-Control-Max-Age", "60"),
    ] {
        assert_eq!(answer.header(header), Some(value));
    }
    let simple = worker.send("GET /connectors", origin, "").await;
    assert_eq!(simple.header("Access-Control-Allow-Origin"), Some("http://good.example"));
    assert_eq!(simple.header("Access-Control-Allow-Methods"), None);
    let other = worker.send("GET /connectors", "Origin: http://bad.example\r\n", "").await;
    assert_eq!((other.status, other.header("Access-Control-Allow-Origin")), (200, None));
    worker.stop().await;
}

#[tokio::test]
async fn users_are_asked_for_their_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let (jaas, users) = (directory.path().join("jaas"), directory.path().join("users"));
    std::fs::write(&users, "admin=pw\n").unwrap();
    let module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
    let section = format!("KafkaConnect {{ {module} required file=\"{}\"; }};", users.display());
    std::fs::write(&jaas, section).unwrap();
    let auth = Arc::new(BasicAuth::from_jaas(&jaas).unwrap());
    let admin = [("admin.listeners", "http://127.0.0.1:0")];
    let separate = Worker::adapted(&admin, |server| server.auth = Some(Arc::clone(&auth))).await;
    // As in Java: the extension is not for listeners of their own.
    assert_eq!(separate.raw_at(separate.addresses[1], GET).await.status, 200);
    assert_eq!(separate.raw(ROOT).await.status, 401);
    separate.stop().await;
    let worker = Worker::adapted(&[], |server| server.auth = Some(auth)).await;

    let good = "Authorization: Basic YWRtaW46cHc=\r\n";
    assert_eq!(worker.send("GET /connectors", good, "").await.status, 200);
    let json = Some("application/json");
    for (request, content) in [
        ("GET /", json),
        ("GET /connectors", json),
        ("GET /openapi.json", json),
        ("PUT /admin/loggers/root", json),
        ("DELETE /connectors/x", json),
        ("OPTIONS /connectors", Some("text/plain")),
    ] {
        for wrong in ["", "Authorization: Basic YWRtaW46cHg=\r\n"] {
            let answer = worker.send(request, wrong, "").await;
            assert_eq!(answer.status, 401, "{request}");
            assert_eq!(answer.text, "User cannot access the resource.");
            assert_eq!(answer.header("Content-Type"), content);
        }
    }
    // As in Java, these come first; and workers of a cluster sign their requests instead.
    for (request, headers, status) in [
        ("GET /nowhere", "", 404),
        ("DELETE /connectors", "", 405),
        ("GET /connectors", "Accept: text/plain\r\n", 406),
        ("GET /connectors", "Content-Type: text/plain\r\n", 415),
        ("PUT /connectors/x/fence", "", 500),
    ] {
        assert_eq!(worker.send(request, headers, "").await.status, status, "{request}");
    }
    worker.stop().await;
}

fn store(name: &str) -> String {
    let stores = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tls/tests/stores");
    stores.join(name).display().to_string()
}

/// Asks over TLS, as a client that trusts the CA of the test stores.
async fn ask_over_tls(worker: &Worker, request: &str) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(store("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let exchange = async {
        let stream = TcpStream::connect(worker.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    Answer::parse(&timeout(PATIENCE, exchange).await.expect("an answer in time"))
}

#[tokio::test]
async fn https_is_served_and_bad_handshakes_cost_only_themselves() {
    let limits = Limits { handshake: Duration::from_secs(3), ..Limits::default() };
    let worker = Worker::configured(
        limits,
        &[
            ("listeners", "https://127.0.0.1:0"),
            ("listeners.https.ssl.keystore.location", &store("server.p12")),
            ("listeners.https.ssl.keystore.type", "PKCS12"),
            ("listeners.https.ssl.keystore.password", "store-secret"),
        ],
    )
    .await;
    // One that says nothing, one that does not speak TLS, one that goes away in the middle.
    let mut silent = TcpStream::connect(worker.address).await.unwrap();
    let mut plain = TcpStream::connect(worker.address).await.unwrap();
    plain.write_all(ROOT.as_bytes()).await.unwrap();
    let mut gone = TcpStream::connect(worker.address).await.unwrap();
    gone.write_all(&[22, 3, 1, 2]).await.unwrap();
    drop(gone);

    let body = create("a", LINES);
    let request = format!(
        "POST /connectors HTTP/1.1\r\nHost: connect.example:8443\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let made = ask_over_tls(&worker, &request).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("Location"), Some("https://connect.example:8443/connectors/a"));

    let mut alert = Vec::new();
    let refused = timeout(PATIENCE, plain.read_to_end(&mut alert)).await;
    let _ = refused.expect("the connection is closed");
    assert!(!alert.starts_with(b"HTTP"), "{alert:?}");
    let hung = timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await;
    let _ = hung.expect("a handshake that hangs is ended");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_is_known_by_what_is_advertised() {
    let keys = [
        ("listeners", "http://127.0.0.1:0,http://localhost:0"),
        ("rest.advertised.host.name", "foo.example"),
        ("rest.advertised.port", "99"),
    ];
    let worker = Worker::configured(Limits::default(), &keys).await;
    assert_eq!(worker.id, "foo.example:99");
    worker.stop().await;
    let worker = Worker::configured(Limits::default(), &keys[..1]).await;
    assert_eq!(worker.id, worker.address.to_string());
    worker.stop().await;
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<String>>);

impl tracing::field::Visit for Lines {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        let _ = writeln!(self.0.lock().unwrap(), "{value:?}");
    }
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::Id {
        span.record(&mut self.clone());
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

/// Whatever the level, ours or of the crates that serve.
#[tokio::test]
async fn the_access_log_holds_no_secrets() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let worker = Worker::start().await;
    let headers = "Content-Type: application/json\r\nAuthorization: Basic canary1\r\n\
                   Referer: http://a/?canary2\r\nUser-Agent: curl \"8\"\r\nCookie: canary3\r\n";
    for (request, body) in [
        ("GET /connectors?password=canary4", ""),
        ("POST /connectors", r#"{"name":"a","config":{"password":"canary5"}}"#),
        ("POST /connectors", r#"{"name":"a","config":{"password":["canary6"]}}"#),
        (
            "PUT /connectors/a/config",
            r#"{"connector.class":"FileStreamSource","topic":"t","password":"canary7"}"#,
        ),
        ("PATCH /connectors/a/config", r#"{"password":"canary8""#),
        (
            "PATCH /connectors/a/offsets",
            r#"{"offsets":[{"partition":{"x":"canary9"},"offset":1}]}"#,
        ),
    ] {
        worker.send(request, headers, body).await;
    }
    worker.stop().await;
    let logged = lines.0.lock().unwrap().clone();
    let line = "127.0.0.1 - - \"GET /connectors HTTP/1.1\" 200 2 \"-\" \"curl '8'\" ";
    assert!(logged.contains(line), "{logged}");
    assert!(!logged.contains("canary"), "{logged}");
}
