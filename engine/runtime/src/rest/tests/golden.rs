//! Replays the exchanges that were recorded from Java Connect (`integration/golden`), with test
//! plugins of the same names. The words of Java's parser and of its trips are not compared, as
//! marked there.

use std::path::Path;

use serde_json::{Value, json};

use super::client::{Answer, Worker};

/// What changes from run to run, and what it is in the files.
const VOLATILE: [(&str, &str); 4] = [
    ("commit", "{commit}"),
    ("kafka_cluster_id", "{cluster}"),
    ("trace", "{trace}"),
    ("version", "{version}"),
];

#[tokio::test]
async fn lifecycle() {
    replay("rest/lifecycle.json", |_| true).await;
}

#[tokio::test]
async fn bad_creation() {
    replay("rest/bad-creation.json", |_| true).await;
}

#[tokio::test]
async fn unknown_things() {
    replay("rest/unknown.json", |_| true).await;
}

#[tokio::test]
async fn a_failed_task() {
    replay("rest/failed-task.json", |_| true).await;
}

/// What validation refuses altogether: the rest needs the real plugins.
#[tokio::test]
async fn validations_that_fail() {
    for file in ["validate/bad-source.json", "validate/bad-sink.json"] {
        replay(file, |exchange| exchange["status"] != 200).await;
    }
}

async fn replay(file: &str, wanted: impl Fn(&Value) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/golden");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let exchanges: Vec<Value> = serde_json::from_str(&text).unwrap();
    let worker = Worker::start().await;
    let mut wrong = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| wanted(exchange)) {
        wrong.extend(differences(&worker, exchange).await);
    }
    worker.stop().await;
    assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
}

async fn differences(worker: &Worker, exchange: &Value) -> Option<String> {
    let directory = worker.directory.path().display().to_string();
    let request = exchange["request"].as_str().unwrap();
    let body = match (&exchange["raw"], &exchange["body"]) {
        (Value::String(raw), _) => raw.clone(),
        (_, Value::Null) => String::new(),
        (_, body) => body.to_string().replace("{dir}", &directory),
    };
    let mut exchange = exchange.clone();
    spare_values(&mut exchange["response"]);
    let until = |answer: &Answer| meets(answer, &exchange["until"]);
    let answer = worker.ask_until(request, &body, until).await;
    let text = answer.text.replace(&directory, "{dir}");
    let text = text.replace(&worker.id, "{worker}");
    let compared = match exchange["compare"].as_str() {
        None => [json!(answer.status), comparable(&text)],
        Some("status") => [json!(answer.status), exchange["response"].clone()],
        _ => [exchange["status"].clone(), exchange["response"].clone()],
    };
    let recorded = [exchange["status"].clone(), exchange["response"].clone()];
    let same = compared == recorded;
    (!same).then(|| format!("{request} {body}\n  Java {recorded:?}\n  ours {compared:?}"))
}

/// Java's message repeats a configuration with its values, secrets among them; ours names the keys.
fn spare_values(response: &mut Value) {
    let Some(Value::String(message)) = response.get_mut("message") else {
        return;
    };
    if message.ends_with("contains no connector type") {
        let values = regex::Regex::new("=[^,}]*").unwrap();
        *message = values.replace_all(message, "").into_owned();
    }
}

fn meets(answer: &Answer, until: &Value) -> bool {
    let mut conditions = until.as_object().into_iter().flatten();
    conditions.all(|(pointer, wanted)| match pointer.as_str() {
        "status" => *wanted == json!(answer.status),
        pointer => answer.json().pointer(pointer) == Some(wanted),
    })
}

fn comparable(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    let mut body = serde_json::from_str(text).unwrap();
    normalise(&mut body);
    body
}

fn normalise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(members) => {
            for (name, placeholder) in VOLATILE {
                if let Some(text @ Value::String(_)) = members.get_mut(name) {
                    *text = json!(placeholder);
                }
            }
            members.values_mut().for_each(normalise);
        }
        _ => {}
    }
}
