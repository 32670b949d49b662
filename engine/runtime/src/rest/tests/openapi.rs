//! The document describes what is served, and what is served is described.

use std::collections::BTreeSet;

use serde_json::Value;

use super::client::Worker;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"];

fn methods(path: &Value) -> BTreeSet<String> {
    path.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect()
}

/// Each operation of the document answers; each method that a path lists is in the document.
#[tokio::test]
async fn document_and_router_agree() {
    let worker = Worker::start().await;
    let document = worker.ask("GET /openapi.json", "").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 28, "{:?}", paths.keys());
    for (path, operations) in paths {
        let asked = path.replace("{task}", "0").replace(['{', '}'], "");
        let described = methods(operations);
        let listed = worker.send(&format!("OPTIONS {asked}"), "", "").await;
        let listed: BTreeSet<_> = listed.text.split(", ").map(str::to_owned).collect();
        let implied = ["HEAD", "OPTIONS"].map(str::to_owned);
        let served: BTreeSet<_> =
            listed.into_iter().filter(|method| !implied.contains(method)).collect();
        assert_eq!(served, described, "{path}");
        for method in METHODS {
            let answer = worker.send(&format!("{method} {asked}"), "", "").await;
            let known = described.contains(method)
                || method == "OPTIONS"
                || method == "HEAD" && described.contains("GET");
            assert_eq!(answer.status != 405, known, "{method} {path}");
            // What is not found, if anything, is a connector.
            let unrouted = answer.status == 404 && answer.header("Content-Type").is_none();
            assert!(!unrouted, "{method} {path}");
            if let Some(operation) = operations.get(method.to_lowercase()) {
                let documented = &operation["responses"][answer.status.to_string()];
                assert!(documented.is_object(), "{method} {path} {}", answer.status);
            }
        }
    }
    worker.stop().await;
}

/// Whatever the document refers to is in it; identifiers are unique.
#[tokio::test]
async fn the_document_is_whole() {
    let worker = Worker::start().await;
    let document = worker.ask("GET /openapi.json", "").await.json();
    let mut references = Vec::new();
    collect(&document, "$ref", &mut references);
    assert!(references.len() > 50);
    let mut used = BTreeSet::new();
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
        used.insert(pointer.rsplit('/').next().unwrap().to_owned());
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let defined: BTreeSet<_> = schemas.keys().cloned().collect();
    assert_eq!(used, defined, "schemas that nobody uses");
    let mut ids = Vec::new();
    collect(&document, "operationId", &mut ids);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let mut summaries = Vec::new();
    collect(&document, "summary", &mut summaries);
    assert!(summaries.iter().all(|summary| !summary.is_empty()));
    worker.stop().await;
}

fn collect(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match member {
                    Value::String(text) if key == name => found.push(text.clone()),
                    member => collect(member, name, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        _ => {}
    }
}
