//! Offsets, topics and stopping, asked of Java 4.3.1.

use serde_json::json;

use super::client::Worker;
use super::{LINES, create};

const NOTHING: &str = "Partitions / offsets need to be provided for an alter offsets request";

#[tokio::test]
async fn offsets_of_a_stopped_connector_are_changed() {
    let worker = Worker::start().await;
    let body = create("a", LINES).replace("}}", "},\"initial_state\":\"stopped\"}");
    let made = worker.ask("POST /connectors", &body).await;
    assert_eq!((made.status, &made.json()["tasks"]), (201, &json!([])), "{}", made.text);
    let status = worker.ask("GET /connectors/a/status", "").await.json();
    assert_eq!(status["connector"]["state"], "STOPPED");
    let path = "/connectors/a/offsets";
    let read = async || worker.ask(&format!("GET {path}"), "").await.text;
    assert_eq!(read().await, r#"{"offsets":[]}"#);

    for none in ["{}", r#"{"offsets":null}"#, r#"{"offsets":[]}"#] {
        for connector in ["a", "nope"] {
            let request = format!("PATCH /connectors/{connector}/offsets");
            let answer = worker.ask(&request, none).await;
            assert_eq!((answer.status, &*answer.message()), (400, NOTHING));
        }
    }
    for unreadable in ["", "null", "[]", "x", r#"{"x":1}"#, r#"{"offsets":[null]}"#] {
        assert_eq!(worker.ask(&format!("PATCH {path}"), unreadable).await.status, 500);
    }
    for refused in ["DELETE /connectors/nope/offsets", "GET /connectors/nope/offsets"] {
        let answer = worker.ask(refused, "").await;
        assert_eq!((answer.status, &*answer.message()), (404, "Connector nope not found"));
    }
    let reset = worker.ask(&format!("DELETE {path}"), "").await;
    assert_eq!(reset.status, 200, "{}", reset.text);
    assert!(reset.json()["message"].as_str().unwrap().contains("reset"));

    assert_eq!(worker.send("PUT /connectors/a/resume", "", "").await.status, 202);
    let running = |answer: &super::client::Answer| answer.json()["tasks"][0]["state"] == "RUNNING";
    worker.ask_until("GET /connectors/a/status", "", running).await;
    let change = r#"{"offsets":[{"partition":{"file":"x"},"offset":{"position":5}}]}"#;
    for (request, body) in [("DELETE", ""), ("PATCH", change)] {
        let answer = worker.ask(&format!("{request} {path}"), body).await;
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.message(),
            "Connectors must be in the STOPPED state before their offsets can be modified. This \
             can be done for the specified connector by issuing a 'PUT' request to the \
             '/connectors/a/stop' endpoint"
        );
    }
    let stop = worker.send("PUT /connectors/a/stop", "", "").await;
    assert_eq!((stop.status, stop.text.as_str()), (204, ""));
    worker.stop().await;
}

#[tokio::test]
async fn configurations_are_patched() {
    let worker = Worker::start().await;
    assert_eq!(worker.ask("POST /connectors", &create("a", LINES)).await.status, 201);
    let patch = async |body: &str| worker.ask("PATCH /connectors/a/config", body).await;
    let answer = patch(r#"{"x":1}"#).await;
    assert_eq!((answer.status, &answer.json()["config"]["x"]), (200, &json!("1")));
    let answer = patch(r#"{"x":null,"name":"other"}"#).await;
    let config = answer.json()["config"].clone();
    assert_eq!((config.get("x"), &config["name"]), (None, &json!("other")));
    let invalid = patch(r#"{"topic":null}"#).await;
    assert_eq!(invalid.status, 400);
    assert!(invalid.message().contains("Missing required configuration \"topic\""));
    assert_eq!(worker.send("PATCH /connectors/a/config", "", "{}").await.status, 415);
    for unreadable in ["", "null", "[]", r#"{"x":{"a":1}}"#] {
        assert_eq!(patch(unreadable).await.status, 500);
    }
    let missing = worker.ask("PATCH /connectors/nope/config", "{}").await;
    assert_eq!((missing.status, &*missing.message()), (404, "Connector nope not found"));
    worker.stop().await;
}

#[tokio::test]
async fn topics_of_nobody_are_none() {
    let worker = Worker::start().await;
    let topics = worker.ask("GET /connectors/nope/topics", "").await;
    assert_eq!((topics.status, &*topics.text), (200, r#"{"nope":{"topics":[]}}"#));
    let reset = worker.send("PUT /connectors/nope/topics/reset", "", "").await;
    assert_eq!((reset.status, reset.text.as_str()), (202, ""));
    worker.stop().await;
}
