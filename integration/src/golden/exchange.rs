//! Decides how a list of REST requests is replayed: in order, each waiting for its condition,
//! answers made comparable.
//!
//! A file is a list of objects. Questions: `request` (`"GET /path"`), `body` (JSON) or `raw`
//! (text), `until` (JSON pointer to value: ask again until the answer has it), `keep: "errors"` (of
//! a validation, only keys with errors), `compare: "status"` (the words are Java's parser's or name
//! its classes, so ours may differ), `compare: "nothing"` (Java trips over itself there). Answers:
//! `status`, `response`.

use super::json::replace;
use crate::connect::{Connect, Program};
use crate::rest::Answer;
use crate::wait_until;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Members whose values change from run to run or say who answers; `null` is kept.
const VOLATILE: [(&str, &str); 4] = [
    ("commit", "{commit}"),
    ("kafka_cluster_id", "{cluster}"),
    ("trace", "{trace}"),
    ("version", "{version}"),
];

/// Sends the requests of `questions` and gives them back with the answers.
pub(super) fn run(program: Program, connect: &Connect, directory: &Path, asked: &Value) -> Value {
    let list = asked.as_array().expect("a file of exchanges is a list");
    let directory = directory.display().to_string();
    let answered = list.iter().map(|question| {
        let mut exchange = ask(connect, &directory, question);
        if program == Program::Millrace {
            spare(&mut exchange, question);
        }
        exchange
    });
    answered.collect()
}

/// Puts Java's own answer where ours is not compared.
fn spare(exchange: &mut Value, recorded: &Value) {
    let spared: &[&str] = match recorded["compare"].as_str() {
        None => &[],
        Some("status") => &["response"],
        Some("nothing") => &["response", "status"],
        Some(other) => panic!("compare is status or nothing, not {other}"),
    };
    for member in spared {
        exchange[*member] = recorded[*member].clone();
    }
}

fn ask(connect: &Connect, directory: &str, question: &Value) -> Value {
    let line = question["request"].as_str().expect("an exchange has a request");
    let (method, path) = line.split_once(' ').expect("a request is a method and a path");
    let body = match (&question["raw"], &question["body"]) {
        (Value::String(raw), _) => Some(raw.clone()),
        (_, Value::Null) => None,
        (_, body) => Some(body.to_string().replace("{dir}", directory)),
    };
    let mut last = None;
    let what = format!("{line} until {}", question["until"]);
    let mut answer = wait_until(&what, PATIENCE, || {
        let answer = connect.rest(method, path, body.as_deref());
        let fits = meets(&answer, &question["until"]);
        last = Some(answer.clone());
        fits.then_some(answer)
    });
    normalise(&mut answer.body);
    replace(&mut answer.body, directory, "{dir}");
    replace(&mut answer.body, connect.address(), "{worker}");
    if question["keep"] == "errors" {
        keep_errors(&mut answer.body);
    }
    let mut exchange = question.as_object().cloned().unwrap_or_default();
    exchange.insert("status".to_owned(), json!(answer.status));
    exchange.insert("response".to_owned(), answer.body);
    Value::Object(exchange)
}

/// Whether the answer has what `until` asks for; the pointer `/status` alone means the HTTP status.
fn meets(answer: &Answer, until: &Value) -> bool {
    until.as_object().into_iter().flatten().all(|(pointer, wanted)| match pointer.as_str() {
        "status" => *wanted == json!(answer.status),
        pointer => answer.body.pointer(pointer) == Some(wanted),
    })
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

/// Replaces a validation's `configs` by its errors. The keys themselves are in another file
/// already.
fn keep_errors(body: &mut Value) {
    let Some(members) = body.as_object_mut() else {
        return;
    };
    let Some(configs) = members.remove("configs") else {
        return;
    };
    let mut errors = Map::new();
    for config in configs.as_array().into_iter().flatten() {
        let value = &config["value"];
        if value["errors"].as_array().is_some_and(|list| !list.is_empty()) {
            errors.insert(
                value["name"].as_str().unwrap_or_default().to_owned(),
                value["errors"].clone(),
            );
        }
    }
    members.insert("errors".to_owned(), Value::Object(errors));
}
