//! What Java answers to requests that are odd, asked of Java 4.3.1.

use serde_json::json;

use super::client::Worker;
use super::{LINES, create};

const TEXT: &str = "Content-Type: text/plain\r\n";

#[tokio::test]
async fn refusals_come_in_javas_order() {
    let worker = Worker::start().await;
    let both = "Content-Type: text/plain\r\nAccept: text/plain\r\n";
    for (request, headers, status) in [
        ("GET /nowhere", both, 404),
        ("GET /connectors/x/tasks-config", "", 404),
        ("DELETE /connectors", both, 405),
        ("FOO /", "", 405),
        ("PATCH /", "", 405),
        ("GET /connectors", both, 415),
        ("GET /connectors", TEXT, 415),
        ("GET /admin/loggers", TEXT, 415),
        ("PATCH /connectors/x/config", "Content-Type: application/merge-patch+json\r\n", 415),
        ("GET /connectors", "Content-Type: foo\r\n", 400),
        ("GET /connectors/nope", "Accept: text/plain\r\n", 406),
        ("GET /health", "Accept: image/*\r\n", 406),
        ("GET /", "Accept: foo\r\n", 406),
    ] {
        let answer = worker.send(request, headers, "").await;
        assert_eq!(answer.status, status, "{request} {headers}");
        assert!(answer.message().starts_with(&format!("HTTP {status} ")));
        assert_eq!(answer.header("Content-Type"), None, "{request}");
    }
    for (request, headers) in [
        ("GET /", TEXT),
        ("GET /health", TEXT),
        ("OPTIONS /connectors", TEXT),
        ("OPTIONS /connectors", "Accept: text/plain\r\n"),
        ("GET /connectors", "Accept: \r\n"),
        ("GET /connectors", "Accept: application/*\r\n"),
        ("GET /connectors", "Accept: application/json;q=0\r\n"),
        ("GET /connectors", "Accept: text/html, */*;q=0.1\r\n"),
        ("GET /connectors", "Accept: text/html\r\nAccept: application/json\r\n"),
        ("GET /connectors?expand=%zz", ""),
    ] {
        let answer = worker.send(request, headers, "").await;
        assert_eq!(answer.status, 200, "{request} {headers}");
    }
    let accept = "Accept: application/json;charset=utf-8;q=0.5\r\n";
    let answer = worker.send("GET /connectors", accept, "").await;
    assert_eq!(answer.header("Content-Type"), Some("application/json;charset=utf-8"));
    worker.stop().await;
}

#[tokio::test]
async fn options_list_methods_in_javas_order() {
    let worker = Worker::start().await;
    for (path, methods) in [
        ("/", "HEAD, GET, OPTIONS"),
        ("/connectors/x", "HEAD, DELETE, GET, OPTIONS"),
        ("/connectors/x/config", "HEAD, GET, OPTIONS, PUT, PATCH"),
        ("/connectors/x/offsets/", "HEAD, DELETE, GET, OPTIONS, PATCH"),
        ("/connectors/x/tasks", "HEAD, POST, GET, OPTIONS"),
        ("/connectors/x/tasks/a/restart", "POST, OPTIONS"),
        ("/connectors/x/pause", "OPTIONS, PUT"),
        ("/admin/loggers/x", "HEAD, GET, OPTIONS, PUT"),
    ] {
        let answer = worker.send(&format!("OPTIONS {path}"), "", "").await;
        assert_eq!((answer.status, &*answer.text), (200, methods), "{path}");
        assert_eq!(answer.header("Allow"), Some(&*methods.replace(", ", ",")));
        assert_eq!(answer.header("Content-Type"), Some("text/plain"));
    }
    worker.stop().await;
}

#[tokio::test]
async fn what_only_clusters_do_fails() {
    let worker = Worker::start().await;
    let fence = worker.send("PUT /connectors/x/fence", "", "").await;
    assert_eq!(fence.status_line(), "HTTP/1.1 500 Server Error");
    assert_eq!(
        fence.message(),
        "Kafka Connect in standalone mode does not support exactly-once source connectors."
    );
    let tasks = worker.ask("POST /connectors/x/tasks", "[{}]").await;
    assert_eq!(
        tasks.message(),
        "Kafka Connect in standalone mode does not support externally setting task configurations."
    );
    for unreadable in ["", "{}", "[1]"] {
        let answer = worker.ask("POST /connectors/x/tasks", unreadable).await;
        assert_eq!(answer.status, 500);
        assert!(answer.message().contains("list of task configurations"));
    }
    worker.stop().await;
}

#[tokio::test]
async fn numbers_and_flags_are_read_as_by_java() {
    let worker = Worker::start().await;
    assert_eq!(worker.ask("POST /connectors", &create("a", LINES)).await.status, 201);
    let not_found = "HTTP 404 Not Found";
    for (request, message) in [
        ("GET /connectors/a/tasks/x/status", not_found),
        ("GET /connectors/a/tasks/99999999999/status", not_found),
        ("GET /connectors/a/tasks/-1/status", "No status found for task a--1"),
        ("GET /connectors/a/tasks/007/status", "No status found for task a-7"),
        ("POST /connectors/a/tasks/x/restart", not_found),
        ("POST /connectors/a/tasks/9/restart", "Task a-9 not found"),
        ("POST /connectors/a/tasks/-9/restart", "Task a--9 not found"),
    ] {
        let answer = worker.ask(request, "").await;
        assert_eq!((answer.status, &*answer.message()), (404, message), "{request}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    let count = async |query: &str| {
        let answer = worker.ask(&format!("GET /connector-plugins{query}"), "").await;
        answer.json().as_array().unwrap().len()
    };
    assert_eq!(count("?connectorsOnly=").await, count("").await);
    assert_eq!(count("?connectorsOnly").await, count("?connectorsOnly=true").await);
    assert!(count("?connectorsOnly=x").await > count("").await);
    let restart = worker.send("POST /connectors/a/restart?includeTasks=", "", "").await;
    assert_eq!(restart.status, 204);
    for nothing in ["?expand=", "?expand", "?expand=Status", "?expand=status,info"] {
        let answer = worker.ask(&format!("GET /connectors{nothing}"), "").await;
        assert_eq!(answer.json(), json!({"a": {}}), "{nothing}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn levels_are_set_and_refused_as_by_java() {
    let worker = Worker::start().await;
    let path = "/admin/loggers/org.rest.foo";
    assert_eq!(worker.ask("GET /admin/loggers", "").await.json(), json!({}));
    let missing = worker.ask(&format!("GET {path}"), "").await;
    assert_eq!((missing.status, &*missing.message()), (404, "Logger org.rest.foo not found."));
    let unspecified = "Desired 'level' parameter was not specified in request.";
    for (body, status, message) in [
        ("{}", 400, unspecified),
        (r#"{"level":null}"#, 400, unspecified),
        (r#"{"lev":"INFO"}"#, 400, unspecified),
        (r#"{"level":"zzz"}"#, 404, "invalid log level 'zzz'."),
        (r#"{"level":5}"#, 404, "invalid log level '5'."),
        (r#"{"level":""}"#, 500, "Illegal null or empty Level name."),
    ] {
        for scope in ["", "?scope=cluster"] {
            let answer = worker.ask(&format!("PUT {path}{scope}"), body).await;
            assert_eq!((answer.status, &*answer.message()), (status, message), "{body}");
        }
    }
    for unreadable in ["", "null", "[]", r#"{"level":{"a":1}}"#] {
        assert_eq!(worker.ask(&format!("PUT {path}"), unreadable).await.status, 500);
    }
    for (scope, status) in [
        ("", 200),
        ("?scope=worker", 200),
        ("?scope=zz", 200),
        ("?scope=", 200),
        ("?scope=cluster", 204),
        ("?scope=CLUSTER", 204),
    ] {
        let answer = worker.ask(&format!("PUT {path}{scope}"), r#"{"level":"debug"}"#).await;
        let expected = if status == 200 { json!(["org.rest.foo"]) } else { json!(null) };
        assert_eq!((answer.status, answer.json()), (status, expected), "{scope}");
    }
    let one = worker.ask(&format!("GET {path}"), "").await.text;
    assert_eq!(one, r#"{"level":"DEBUG","last_modified":1}"#);
    let all = worker.ask("GET /admin/loggers", "").await.text;
    assert_eq!(all, format!(r#"{{"org.rest.foo":{one}}}"#));
    worker.ask(&format!("PUT {path}"), r#"{"level":"OFF"}"#).await;
    assert_eq!(worker.ask("GET /admin/loggers", "").await.text, "{}");
    worker.stop().await;
}

#[tokio::test]
async fn tracking_of_topics_may_be_forbidden() {
    let paths = ["GET /connectors/x/topics", "PUT /connectors/x/topics/reset"];
    for (key, answers) in [
        ("topic.tracking.enable", [Some("Topic tracking is disabled."); 2]),
        ("topic.tracking.allow.reset", [None, Some("Topic tracking reset is disabled.")]),
    ] {
        let worker = Worker::configured(super::Limits::default(), &[(key, "false")]).await;
        for (request, refusal) in paths.iter().zip(answers) {
            let answer = worker.send(request, "", "").await;
            match refusal {
                Some(text) => assert_eq!((answer.status, &*answer.message()), (403, text)),
                None => assert_eq!(answer.text, r#"{"x":{"topics":[]}}"#),
            }
        }
        worker.stop().await;
    }
}
