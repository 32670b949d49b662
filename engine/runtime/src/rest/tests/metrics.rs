//! What Prometheus asks, and who asks for memory.

use super::LINES;
use super::client::Worker;
use super::create;

#[tokio::test]
async fn metrics_are_text_whatever_is_accepted() {
    let worker = Worker::start().await;
    worker.ask("POST /connectors", &create("a\\\"b", LINES)).await;
    for accept in ["", "Accept: text/plain;version=0.0.4\r\n", "Accept: application/json\r\n"] {
        let answer = worker.send("GET /metrics", accept, "").await;
        assert_eq!(answer.status, 200, "{accept}");
        let format = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(answer.header("Content-Type"), Some(format));
        let status = "kafka_connect_connector_status{connector=\"a\\\"b\",status=\"running\"} 1\n";
        assert!(answer.text.contains(status), "{}", answer.text);
    }
    let other = worker.ask("GET /metrics?names=reporter", "").await;
    assert!(other.text.contains("kafka_connect_connector_metrics_status_info{"), "{}", other.text);
    let wrong = worker.ask("GET /metrics?names=mine", "").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.message().contains("names=reporter"), "{}", wrong.text);
    worker.stop().await;
}

#[tokio::test]
async fn memory_is_told_by_task() {
    let worker = Worker::start().await;
    worker.ask("POST /connectors", &create("lines", LINES)).await;
    let report = worker.ask("GET /ext/v1/memory", "").await.json();
    assert!(report["budget_bytes"].as_u64().unwrap() > 0);
    let task = &report["tasks"][0];
    assert_eq!((&task["connector"], &task["task"]), (&"lines".into(), &0.into()));
    assert_eq!(task["share_bytes"], report["budget_bytes"], "nobody else has a share");
    worker.stop().await;
}
