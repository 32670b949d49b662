//! How the client says who it is, and that nobody else hears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use schema_registry_client::{Client, Credentials, Error, OAuth, Proxy, Secret, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{impatient, quick};
use crate::server::{Asked, Reply, Server};

fn authorization(asked: &Asked) -> Option<&str> {
    asked.headers.get("authorization").map(String::as_str)
}

#[tokio::test]
async fn users_tokens_and_headers_are_sent() {
    let server = Server::start(|_| Reply::ok("[]")).await;
    let host = format!("127.0.0.1:{}", server.port);
    let with = |url: String, credentials: Credentials| Settings {
        credentials,
        headers: vec![("target-sr-cluster".into(), Secret::new("lsrc-1"))],
        ..quick(&[url])
    };
    let password = Secret::new("pass:word");
    let basic = Credentials::Basic { user: "me".into(), password };
    let bearer = Credentials::Bearer(Secret::new("abc"));
    for (url, credentials) in [
        (format!("http://{host}/"), Credentials::Url),
        (format!("http://me:p%40ss@{host}"), Credentials::Url),
        (format!("http://you:no@{host}/base/"), basic),
        (format!("http://{host}"), bearer),
    ] {
        let settings = with(url, credentials);
        let shown = format!("{settings:?}");
        assert!(
            !["p%40ss", "pass:word", "abc", "you:"].iter().any(|s| shown.contains(s)),
            "{shown}"
        );
        Client::new(settings).unwrap().subjects(false).await.unwrap();
    }
    let asked = server.asked();
    let sent: Vec<_> = asked.iter().map(authorization).collect();
    assert_eq!(
        sent,
        [None, Some("Basic bWU6cEBzcw=="), Some("Basic bWU6cGFzczp3b3Jk"), Some("Bearer abc")]
    );
    assert_eq!(asked[2].target, "/base/subjects?deleted=false");
    assert!(asked.iter().all(|asked| asked.headers["target-sr-cluster"] == "lsrc-1"));
}

#[tokio::test]
async fn tokens_are_fetched_once_and_anew_when_refused() {
    let times = AtomicUsize::new(0);
    let tokens = Server::start(move |_| {
        let number = times.fetch_add(1, Ordering::Relaxed);
        Reply::ok(format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#))
            .after(Duration::from_millis(20))
    })
    .await;
    let registry = Server::start(|asked| match authorization(asked) {
        Some("Bearer t0") if asked.target.starts_with("/subjects") => Reply::ok("[]"),
        Some("Bearer t1") => Reply::ok("[]"),
        _ => Reply::error(401, 401, "who?"),
    })
    .await;
    let oauth = OAuth {
        scope: Some("read write".into()),
        ..OAuth::new(format!("{}/token?key=k", tokens.url()), "id", Secret::new("hush"))
    };
    let settings = Settings { credentials: Credentials::OAuth(oauth), ..quick(&[registry.url()]) };
    let client = Client::new(settings).unwrap();
    let (one, two) = tokio::join!(client.subjects(false), client.subjects(true));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(tokens.asked().len(), 1);
    let asked = &tokens.asked()[0];
    assert_eq!(asked.body, "grant_type=client_credentials&scope=read%20write");
    assert_eq!(authorization(asked), Some("Basic aWQ6aHVzaA=="));
    // The registry takes the first token back.
    client.contexts().await.unwrap();
    assert_eq!(tokens.asked().len(), 2);
}

#[tokio::test]
async fn tokens_are_renewed_before_their_end() {
    let tokens = Server::start(|_| Reply::ok(r#"{"access_token":"t","expires_in":1}"#)).await;
    let registry = Server::start(|_| Reply::ok("[]")).await;
    let oauth = OAuth::new(tokens.url(), "id", Secret::new("hush"));
    let settings = Settings { credentials: Credentials::OAuth(oauth), ..quick(&[registry.url()]) };
    let client = Client::new(settings).unwrap();
    client.subjects(false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    client.subjects(false).await.unwrap();
    assert_eq!(tokens.asked().len(), 2);
}

/// Some say that a token lives for ever, in seconds.
#[tokio::test]
async fn a_token_may_live_for_ever() {
    let tokens = Server::start(|_| {
        Reply::ok(format!(r#"{{"access_token":"t","expires_in":{}}}"#, u64::MAX))
    })
    .await;
    let registry = Server::start(|_| Reply::ok("[]")).await;
    let oauth = OAuth::new(tokens.url(), "id", Secret::new("hush"));
    let settings = Settings { credentials: Credentials::OAuth(oauth), ..quick(&[registry.url()]) };
    let client = Client::new(settings).unwrap();
    for _ in 0..2 {
        client.subjects(false).await.unwrap();
    }
    assert_eq!(tokens.asked().len(), 1);
}

#[tokio::test]
async fn what_a_token_endpoint_says_against_it_holds_no_secret() {
    let tokens = Server::start(|asked| {
        let echo = serde_json::json!({
            "error": "invalid_client",
            "error_description": authorization(asked),
        });
        Reply { status: 401, body: echo.to_string(), ..Reply::default() }
    })
    .await;
    let oauth = OAuth::new(format!("{}/token?key=k", tokens.url()), "id", Secret::new("hush"));
    let settings = Settings { credentials: Credentials::OAuth(oauth), ..quick(&[tokens.url()]) };
    let error = Client::new(settings).unwrap().subjects(false).await.unwrap_err();
    let said = format!("the token endpoint {}/token answers 401: invalid_client", tokens.url());
    assert_eq!(error, Error::Token(said));
    assert!(error.is_unauthorized() && !error.is_passing());
}

/// A page instead of a token says nothing of who we are.
#[tokio::test]
async fn a_token_endpoint_that_is_none_is_not_our_fault() {
    for (status, body) in [(404, ""), (302, ""), (200, "<html>"), (200, "{}")] {
        let tokens =
            Server::start(move |_| Reply { status, body: body.into(), ..Reply::default() }).await;
        let oauth = OAuth::new(tokens.url(), "id", Secret::new("hush"));
        let settings =
            Settings { credentials: Credentials::OAuth(oauth), ..quick(&[tokens.url()]) };
        let error = Client::new(settings).unwrap().subjects(false).await.unwrap_err();
        assert!(matches!(&error, Error::Answer { url, .. } if *url == tokens.url()), "{error}");
        assert!(error.to_string().contains("token endpoint") && !error.is_unauthorized());
    }
}

/// A token endpoint that hangs is waited for once, however many wait for a token.
#[tokio::test]
async fn a_failed_fetch_of_a_token_is_everybodys() {
    let tokens = Server::start(|_| Reply::ok("").after(Duration::from_secs(60))).await;
    let oauth = OAuth::new(tokens.url(), "id", Secret::new("hush"));
    let settings = Settings {
        credentials: Credentials::OAuth(oauth),
        max_retries: 0,
        ..impatient(&["http://127.0.0.1:1".to_owned()])
    };
    let client = Client::new(settings).unwrap();
    let all = (0..8).map(|id| client.schema_by_id(id, None));
    for one in futures_util::future::join_all(all).await {
        assert!(one.unwrap_err().is_passing());
    }
    assert_eq!(tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_proxy_is_told_whom_to_ask() {
    let proxy = Server::start(|asked| match asked.method.as_str() {
        // A tunnel is refused here: it is enough that it was asked for.
        "CONNECT" => Reply { status: 403, ..Reply::default() },
        _ => Reply::ok("[]"),
    })
    .await;
    let through = |url: &str| Settings {
        proxy: Some(Proxy { host: "127.0.0.1".into(), port: proxy.port }),
        max_retries: 0,
        ..quick(&[url.to_owned()])
    };
    let plain = Client::new(through("http://registry.invalid:8081")).unwrap();
    plain.subjects(false).await.unwrap();

    let secured = Settings { tls: Some(tls()), ..through("https://registry.invalid") };
    let error = Client::new(secured).unwrap().subjects(false).await.unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("tunnel"), "{error}");
    assert_eq!(
        proxy.lines(),
        ["GET http://registry.invalid:8081/subjects?deleted=false", "CONNECT registry.invalid:443"]
    );
}

fn tls() -> Arc<rustls::ClientConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let tls = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.into()
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    let settings = Settings { tls: Some(tls()), max_retries: 0, ..quick(&[url]) };
    let error = Client::new(settings).unwrap().subjects(false).await.unwrap_err();
    assert!(error.to_string().contains("write http:// instead of https://"), "{error}");
    let _ = plain.await.unwrap();
}
