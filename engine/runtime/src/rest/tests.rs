//! The API over a real herder, an embedded cluster and a real socket.

mod client;
mod doors;
mod golden;
mod metrics;
mod odd;
mod offsets;
mod openapi;
mod plugins;

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::client::{PATIENCE, Worker};
use super::Limits;

const LINES: &str = r#"{"connector.class":"FileStreamSource","topic":"t"}"#;

fn create(name: &str, config: &str) -> String {
    format!(r#"{{"name":"{name}","config":{config}}}"#)
}

#[tokio::test]
async fn headers_and_bodies_are_javas() {
    let worker = Worker::start().await;
    let made = worker.ask("POST /connectors", &create(" a/b ", LINES)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let location = "http://connect.example:8083/connectors/a%2Fb";
    assert_eq!(made.header("Location"), Some(location));
    assert!(made.head.contains("\r\nContent-Type: "), "names of headers are written as by Java");
    assert_eq!(made.header("Content-Type"), Some("application/json"));

    let read = worker.ask("GET /connectors/a%2Fb", "").await;
    assert_eq!(read.json()["name"], "a/b");
    assert_eq!(read.json(), made.json());
    let head = worker.ask("HEAD /connectors/a%2Fb/", "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("Content-Length"), read.header("Content-Length"));

    for (request, status) in [
        ("PUT /connectors/a%2Fb/pause", 202),
        ("PUT /connectors/a%2Fb/resume", 202),
        ("POST /connectors/a%2Fb/restart", 204),
        ("DELETE /connectors/a%2Fb", 204),
    ] {
        let answer = worker.send(request, "", "").await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""), "{request}");
    }
    for (request, status) in [("GET /nowhere", 404), ("DELETE /connectors", 405)] {
        let answer = worker.ask(request, "").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("Content-Type"), None);
        answer.message();
    }
    let missing = worker.ask("GET /connectors/a%FFb", "").await;
    assert_eq!(missing.status, 404);
    worker.stop().await;
}

#[tokio::test]
async fn only_json_is_taken() {
    let worker = Worker::start().await;
    let body = create("a", LINES);
    let json = Some("application/json");
    for (headers, status, content) in [
        ("Content-Type: text/plain\r\n", 415, None),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415, None),
        ("", 415, json),
        ("Content-Type: Application/JSON; charset=utf-8\r\n", 201, json),
    ] {
        let answer = worker.send("POST /connectors", headers, &body).await;
        assert_eq!(answer.status, status, "{headers} {}", answer.text);
        assert_eq!(answer.header("Content-Type"), content);
    }
    // As `curl -X PUT -d ''` asks: Java refuses that as well.
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let refused = worker.send("PUT /connectors/a/pause", form, "").await;
    assert_eq!(refused.message(), "HTTP 415 Unsupported Media Type");
    worker.stop().await;
}

#[tokio::test]
async fn options_and_health() {
    let worker = Worker::start().await;
    let options = worker.send("OPTIONS /connectors", "", "").await;
    assert_eq!((options.status, &*options.text), (200, "HEAD, POST, GET, OPTIONS"));
    assert_eq!(options.header("Allow"), Some("HEAD,POST,GET,OPTIONS"));
    assert_eq!(worker.send("OPTIONS /nowhere", "", "").await.status, 404);
    let health = worker.ask("GET /health", "").await;
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["status"], "healthy");
    let root = worker.ask("GET /", "").await.json();
    assert_eq!(root["version"], "4.3.1");
    assert!(root["commit"].as_str().unwrap().starts_with("millrace-"));
    worker.stop().await;
}

#[tokio::test]
async fn plugins_are_listed_in_javas_order() {
    let worker = Worker::start().await;
    let list = async |query: &str| {
        let answer = worker.ask(&format!("GET /connector-plugins{query}"), "").await;
        let body = answer.json();
        let plugins = body.as_array().unwrap().iter();
        let kinds = plugins.map(|plugin| plugin["type"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list("").await, "sink source source");
    assert_eq!(list("?connectorsOnly=TRUE").await, "sink source source");
    let all = "sink source source converter header_converter";
    assert_eq!(list("?connectorsOnly=false").await, all);
    let keys = worker.ask("GET /connector-plugins/FileStreamSource/config", "").await;
    assert_eq!(keys.json()[0]["name"], "file");
    worker.stop().await;
}

#[tokio::test]
async fn nulls_are_refused_beside_what_else_is_wrong() {
    let worker = Worker::start().await;
    let config = r#"{"connector.class":"FileStreamSource","topic":null,"x":null,"batch.size":"y"}"#;
    let refusal = "Null value can not be supplied as the configuration value.";
    let answer = worker.ask("PUT /connectors/a/config", config).await;
    assert_eq!(answer.status, 400);
    let message = answer.message();
    assert!(message.starts_with(
        "Connector configuration is invalid and contains the following 2 error(s):\n"
    ));
    // As in Java, the connector's own keys may be null if its rule allows it.
    assert_eq!(message.matches(refusal).count(), 1, "{message}");
    assert!(message.contains("Not a number of type INT"), "{message}");

    let path = "PUT /connector-plugins/FileStreamSource/config/validate";
    let infos = worker.ask(path, config).await.json();
    assert_eq!(infos["error_count"], 3, "the name is missing as well");
    assert_eq!(infos["configs"][0]["value"]["name"], "x");
    assert_eq!(infos["configs"][0]["value"]["errors"], json!([refusal]));
    assert_eq!(infos["configs"][0]["definition"], json!(null));

    let nameless = r#"{"connector.class":"FileStreamSource","topic":"t","name":null}"#;
    assert_eq!(worker.ask("PUT /connectors/a/config", nameless).await.status, 201);
    worker.stop().await;
}

#[tokio::test]
async fn the_initial_state_is_taken_or_refused() {
    let worker = Worker::start().await;
    let body =
        |state: &str| format!(r#"{{"name":"a","config":{LINES},"initial_state":"{state}"}}"#);
    let refused = worker.ask("POST /connectors", &body("nowhere")).await;
    assert_eq!(refused.status, 500);
    assert!(refused.message().contains("STOPPED"));
    assert_eq!(worker.ask("POST /connectors", &body("paused")).await.status, 201);
    worker
        .ask_until("GET /connectors/a/status", "", |answer| {
            answer.json()["connector"]["state"] == "PAUSED"
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn connectors_that_do_not_start_keep_nobody_waiting() {
    let worker =
        Worker::start_with(Limits { operation: Duration::from_secs(3), ..Limits::default() }).await;
    let stubborn = |how: &str| format!(r#"{{"connector.class":"Stubborn","start":"{how}"}}"#);
    let hung = worker.ask("PUT /connectors/hung/config", &stubborn("hang")).await;
    assert_eq!(hung.status, 500);
    assert!(hung.message().starts_with("Request timed out"));
    // A second request waits behind the first; other connectors do not.
    let again = worker.ask("POST /connectors/hung/restart", "").await;
    assert!(again.message().starts_with("Request timed out"));
    assert_eq!(worker.ask("PUT /connectors/fine/config", LINES).await.status, 201);

    for how in ["panic", "fail"] {
        let request = format!("PUT /connectors/{how}/config");
        let answer = worker.ask(&request, &stubborn(how)).await;
        assert_eq!(answer.status, 500, "{}", answer.text);
        let status = format!("GET /connectors/{how}/status");
        let failed = |answer: &client::Answer| answer.json()["connector"]["state"] == "FAILED";
        worker.ask_until(&status, "", failed).await;
    }
    let listed = worker.ask("GET /connectors", "").await.json();
    assert_eq!(listed, json!(["fail", "fine", "hung", "panic"]));
    worker.stop().await;
}

#[tokio::test]
async fn what_clients_send_is_bounded() {
    let worker = Worker::start_with(Limits {
        body_size: 1000,
        head: Duration::from_secs(2),
        body: Duration::from_secs(2),
        connections: 2,
        ..Limits::default()
    })
    .await;
    let long = create(&"a".repeat(1000), LINES);
    assert_eq!(worker.ask("POST /connectors", &long).await.status, 413);
    let head = "POST /connectors HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let chunked = format!(
        "{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n",
        chunk = format_args!("1f5\r\n{}\r\n", " ".repeat(0x1f5))
    );
    assert_eq!(worker.raw(&chunked).await.status, 413);
    let slow = worker.raw(&format!("{head}Content-Length: 10\r\n\r\n{{")).await;
    assert_eq!(slow.status, 408);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(worker.raw(&many).await.status, 431);

    // Two connections that ask nothing fill the server until their time is up.
    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(TcpStream::connect(worker.address).await.unwrap());
    }
    idle[0].write_all(b"GET / HTT").await.unwrap();
    assert_eq!(worker.ask("GET /", "").await.status, 200);
    for mut stream in idle {
        let closed = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        closed.expect("the server closes idle connections").unwrap();
    }
    worker.stop().await;
}

#[tokio::test]
async fn stopping_ends_idle_connections_at_once() {
    let worker = Worker::start().await;
    let mut stream = TcpStream::connect(worker.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
    let address = worker.address;
    timeout(Limits::default().grace, worker.stop()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
