//! Who is asked next when somebody does not answer, and what bad answers are called.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schema_registry_client::{Client, Error, Schema, Settings, code};

use super::{client, impatient, quick};
use crate::server::{Reply, Server};

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port())
}

#[tokio::test]
async fn another_url_is_asked_and_kept() {
    let ill = Server::start(|_| Reply::error(503, 50001, "resting")).await;
    let well = Server::start(|_| Reply::ok("[]")).await;
    let client = client(&[nobody().await, ill.url(), well.url()]);
    for _ in 0..3 {
        client.subjects(false).await.unwrap();
    }
    assert_eq!((ill.asked().len(), well.asked().len()), (1, 3));
}

#[tokio::test]
async fn passing_trouble_is_repeated_and_no_other() {
    for (status, times) in [(500, 4), (502, 4), (503, 4), (429, 4), (408, 4), (400, 1), (501, 4)] {
        let server = Server::start(move |_| Reply::error(status, 50002, "no")).await;
        let error = client(&[server.url()]).subjects(false).await.unwrap_err();
        assert_eq!((server.asked().len(), error.is_passing()), (times, times > 1), "{status}");
        assert_eq!(error.code(), Some(50002));
    }
    let times = AtomicUsize::new(0);
    let recovering = Server::start(move |_| match times.fetch_add(1, Ordering::Relaxed) {
        0..3 => Reply::error(500, 50001, "starting"),
        _ => Reply::ok("[\"s\"]"),
    })
    .await;
    assert_eq!(client(&[recovering.url()]).subjects(false).await.unwrap(), ["s"]);

    let error = client(&[nobody().await]).subjects(false).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("onnection refused"), "{error}");
}

#[tokio::test]
async fn waits_grow_up_to_their_limit() {
    let server = Server::start(|_| Reply::error(500, 50001, "no")).await;
    let settings = Settings {
        max_retries: 4,
        retry_wait: Duration::from_millis(40),
        retry_max_wait: Duration::from_millis(80),
        ..quick(&[server.url()])
    };
    let begun = tokio::time::Instant::now();
    Client::new(settings).unwrap().subjects(false).await.unwrap_err();
    // 40, 80, 80 and 80, each less a half at most.
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(140) && waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn refusals_keep_the_registrys_words() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/schemas/ids/1?fetchMaxId=false" => Reply::error(404, 40403, "Schema 1 not found"),
        "/subjects/u/versions" => Reply::error(401, 40101, "Unauthorized"),
        "/subjects/i/versions" => Reply::error(409, 409, "incompatible: field a is gone"),
        "/subjects/b/versions" => Reply::error(422, 42201, "Invalid schema"),
        "/subjects/r/versions" => Reply::error(422, 42205, "Subject r is in read-only mode"),
        "/subjects/e/versions" => {
            Reply { status: 404, body: "Not Found".into(), ..Reply::default() }
        }
        _ => Reply { status: 403, body: "<html>go away".into(), ..Reply::default() },
    })
    .await;
    let client = client(&[server.url()]);
    let register = |subject: &'static str| {
        let client = client.clone();
        async move { client.register(subject, &Schema::avro("x").into(), false).await.unwrap_err() }
    };
    let missing = client.schema_by_id(1, None).await.unwrap_err();
    assert!(missing.is_not_found() && missing.is_verdict());
    let shown = format!(
        "the schema registry at {} answers 404: Schema 1 not found (code 40403)",
        server.url()
    );
    assert_eq!(missing.to_string(), shown);
    let unknown = register("u").await;
    assert!(unknown.is_unauthorized() && !unknown.is_verdict());
    let incompatible = register("i").await;
    assert!(incompatible.is_incompatible() && incompatible.is_verdict());
    assert!(incompatible.to_string().ends_with("answers 409: incompatible: field a is gone"));
    let invalid = register("b").await;
    assert!(invalid.code() == Some(code::INVALID_SCHEMA) && invalid.is_verdict());
    let read_only = register("r").await;
    assert!(read_only.is_not_permitted() && !read_only.is_verdict(), "it passes");
    // A gateway that knows no such path knows nothing of schemas.
    let elsewhere = register("e").await;
    assert!(!elsewhere.is_not_found() && !elsewhere.is_verdict(), "{elsewhere}");
    let forbidden = client.subjects(false).await.unwrap_err();
    assert!(forbidden.is_unauthorized() && !forbidden.to_string().contains("html"));
    // None was repeated.
    assert_eq!(server.asked().len(), 7);
}

#[tokio::test]
async fn who_is_no_registry_is_found_out() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/contexts" => Reply {
            status: 302,
            location: Some("https://me:pw@login.example/x?token=1".into()),
            ..Reply::default()
        },
        "/schemas/types" => Reply::ok("<html>welcome</html>"),
        "/subjects?deleted=false" => Reply::ok(format!("[{}]", " ".repeat(5000))),
        _ => Reply::ok(""),
    })
    .await;
    let settings = Settings { max_body_bytes: 4096, ..quick(&[server.url()]) };
    let client = Client::new(settings).unwrap();
    let problem = |error: Error| match error {
        Error::Answer { problem, .. } => problem,
        other => panic!("{other}"),
    };
    let redirect = problem(client.contexts().await.unwrap_err());
    assert!(redirect.contains("a redirect to https://login.example/x;"), "{redirect}");
    assert!(problem(client.schema_types().await.unwrap_err()).contains("not what was asked for"));
    let long = problem(client.subjects(false).await.unwrap_err());
    assert_eq!(long, "the answer is longer than 4096 bytes");
    assert!(problem(client.versions("s").await.unwrap_err()).contains("null"));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn slow_answers_are_given_up() {
    let server = Server::start(|_| Reply::ok("[]").after(Duration::from_secs(60))).await;
    let client = Client::new(impatient(&[server.url()])).unwrap();
    let error = client.subjects(false).await.unwrap_err();
    assert!(
        error.is_passing() && error.to_string().ends_with("no answer within 400 ms"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 4);
}

/// Keeps the messages of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = self.0.lock().unwrap();
        event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            *text += &format!("{value:?}\n");
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Whoever waits hears of whom, long before the time is up.
#[tokio::test(start_paused = true)]
async fn a_silent_registry_is_told_of() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let server = Server::start(|_| Reply::ok("[]").after(Duration::from_secs(600))).await;
    let url = server.url().replace("//", "//me:secret@");
    let settings = Settings { max_retries: 0, ..Settings::new([url]) };
    let client = Client::new(settings).unwrap();
    let (one, two) = tokio::join!(client.subjects(false), client.subjects(true));
    assert!(one.is_err() && two.is_err());
    let said = warnings.0.lock().unwrap().clone();
    let first = format!("no answer from {} for 10 s; an attempt takes 120 s at most", server.url());
    assert!(said.starts_with(&first) && !said.contains("secret"), "{said}");
    // Every ten seconds, however many wait.
    assert!((10..=13).contains(&said.lines().count()), "{said}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_asked_for_again() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        for body in ["[\"s", "[\"s\"]"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    assert_eq!(client(&[url]).subjects(false).await.unwrap(), ["s"]);
    serving.await.unwrap();
}

#[test]
fn urls_are_checked() {
    for (url, why) in [
        ("localhost:8081", "begins with neither"),
        ("http://a b", "is no URL"),
        ("ftp://host", "begins with neither"),
        ("http://host/?a=b", "has a query"),
        ("http://me:s3cr#et@host", "http://host has an @ behind its host: write %40"),
        ("http://me:s3cr/et@host/path", "http://host/path has an @ behind its host"),
        ("https://host", "needs TLS"),
    ] {
        let error = Client::new(Settings::new([url])).unwrap_err();
        assert!(matches!(&error, Error::Settings(said) if said.contains(why)), "{url}: {error}");
    }
    assert!(Client::new(Settings::new::<&str>([])).is_err());
}
