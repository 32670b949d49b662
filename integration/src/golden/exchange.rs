//! Decides how a list of REST requests is replayed: in order, each waiting for its condition,
//! answers made comparable.
//!
//! A file is a list of objects. The first may be the worker's set-up, where the usual one does not
//! do: `about`, `worker` (keys), `files` (name to content), `environment`. All others are
//! exchanges.
//!
//! Questions: `about` (what is tried, for readers), `request` (`"GET /path"`), `with` (headers; the
//! content type is JSON unless it is null there), `body` (JSON) or `raw` (text), `until` (JSON
//! pointer to value: ask again until the answer has it; the pointer `status` is the HTTP status).
//! What counts: `keep` (`"errors"`: of a validation, only keys with errors; a list: these JSON
//! pointers only, or the plugins of these classes), `compare: "status"` (the message is in words of
//! Java's parser or names its classes, so ours may differ), `compare: "nothing"` (Java trips over
//! itself there). Answers: `status`, `headers`, `response`.
//!
//! In questions, set-ups and answers `{dir}` is the worker's directory, `{worker}` its listener,
//! `{admin}` another free port, `{run}` a name that no other run has, for topics and groups, and
//! `{version}` the version of the worker's plugins.

use super::json::replace;
use crate::connect::{Connect, Program, Properties, Setup};
use crate::rest::{self, Answer};
use crate::{free_port, wait_until};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Members whose values change from run to run or say who answers; `null` is kept.
const VOLATILE: [(&str, &str); 5] = [
    ("commit", "{commit}"),
    ("kafka_cluster_id", "{cluster}"),
    ("last_modified", "{time}"),
    ("trace", "{trace}"),
    ("version", "{version}"),
];

/// What a list of plugins follows in a message.
const PLUGINS: &str = "available connectors are: ";

/// Headers that say how an answer travels, not what it is.
const TRANSPORT: [&str; 5] =
    ["connection", "content-length", "date", "server", "transfer-encoding"];

/// A worker that is asked, and what placeholders mean there.
pub(super) struct Site {
    connect: Connect,
    program: Program,
    /// Placeholder and value.
    places: [(&'static str, String); 5],
}

impl Site {
    /// Starts the worker that a file asks for.
    pub(super) fn start(program: Program, directory: &Path, bootstrap: &str, file: &Value) -> Self {
        let admin = free_port();
        let mut places = [
            ("{dir}", directory.display().to_string()),
            ("{worker}", String::new()),
            ("{admin}", format!("127.0.0.1:{admin}")),
            ("{run}", format!("r{admin}")),
            ("{version}", String::new()),
        ];
        let wanted = setup(file);
        for (name, content) in properties(&wanted["files"], &places) {
            fs::write(directory.join(name), content).expect("the scratch directory is writable");
        }
        let worker = properties(&wanted["worker"], &places);
        let environment = properties(&wanted["environment"], &places);
        let bootstrap = fill(bootstrap, &places);
        let setup = Setup { directory, bootstrap: &bootstrap, worker, connectors: Vec::new() };
        let mut connect = Connect::begin_with(program, &setup, &environment);
        connect.wait_for_rest();
        places[1].1 = connect.address().to_owned();
        places[4].1 = plugin_version(&connect);
        Self { connect, program, places }
    }

    /// Sends the requests of `file` and gives them back with the answers. What the file leaves
    /// behind is deleted.
    pub(super) fn run(&self, file: &Value) -> Value {
        let list = file.as_array().expect("a file of exchanges is a list");
        let answered = list.iter().map(|question| {
            if question["request"].is_null() {
                return question.clone();
            }
            let mut exchange = self.ask(question);
            if self.program != Program::Java {
                spare(&mut exchange, question);
            }
            exchange
        });
        let answered = answered.collect();
        for name in
            self.connect.rest("GET", "/connectors", None).body.as_array().into_iter().flatten()
        {
            let name = name.as_str().expect("names are strings");
            self.connect.rest("DELETE", &format!("/connectors/{}", encoded(name)), None);
        }
        answered
    }

    fn ask(&self, question: &Value) -> Value {
        let line = self.filled(question["request"].as_str().expect("a request is text"));
        let (method, path) = line.split_once(' ').expect("a request is a method and a path");
        // A path behind a placeholder is another listener's.
        let url = match path.starts_with('/') {
            true => format!("http://{}{path}", self.connect.address()),
            false => format!("http://{path}"),
        };
        let body = match (&question["raw"], &question["body"]) {
            (Value::String(raw), _) => Some(self.filled(raw)),
            (_, Value::Null) => None,
            (_, body) => Some(self.filled(&body.to_string())),
        };
        let headers = self.headers(&question["with"]);
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let until = serde_json::from_str(&self.filled(&question["until"].to_string()));
        let until: Value = until.expect("what stands for placeholders needs no escapes");
        let deadline = Instant::now() + PATIENCE;
        let mut answer = wait_until(&line, 2 * PATIENCE, || {
            let answer = rest::send(method, &url, &headers, body.as_deref());
            // No answer is one too: nobody listens there, or the connection was closed.
            let answer = answer.unwrap_or_else(|_| Answer {
                status: 0,
                headers: BTreeMap::new(),
                body: Value::Null,
            });
            let waits = !meets(&answer, &until) && Instant::now() < deadline;
            (!waits).then_some(answer)
        });
        // An answer of ours that never came to fit is a difference like any other.
        assert!(
            self.program != Program::Java || meets(&answer, &until),
            "waited in vain for {line} until {until}: {answer:?}"
        );
        normalise(&mut answer.body);
        sort_lists(&mut answer.body);
        sort_methods(method, &mut answer);
        keep(&mut answer.body, &question["keep"]);
        let mut headers = json!(answer.headers);
        for (placeholder, value) in &self.places {
            replace(&mut answer.body, value, placeholder);
            replace(&mut headers, value, placeholder);
        }
        let mut exchange = question.as_object().cloned().unwrap_or_default();
        exchange.insert("status".to_owned(), json!(answer.status));
        exchange.insert("headers".to_owned(), headers);
        exchange.insert("response".to_owned(), answer.body);
        Value::Object(exchange)
    }

    fn headers(&self, with: &Value) -> Properties {
        let mut headers = Properties::from([("Content-Type".into(), "application/json".into())]);
        for (name, value) in with.as_object().into_iter().flatten() {
            match value.as_str() {
                Some(value) => headers.insert(name.clone(), self.filled(value)),
                None => headers.remove(name),
            };
        }
        headers
    }

    fn filled(&self, text: &str) -> String {
        fill(text, &self.places)
    }
}

/// The version of a worker's plugins, which is one for all; what never occurs, if it does not tell.
pub(super) fn plugin_version(connect: &Connect) -> String {
    let plugins = connect.rest("GET", "/connector-plugins", None).body;
    plugins[0]["version"].as_str().unwrap_or("\0").to_owned()
}

/// The set-up that a file asks for; files with the same one share a worker.
pub(super) fn setup(file: &Value) -> Value {
    let first = file.get(0).filter(|first| first["request"].is_null());
    first.cloned().unwrap_or_default()
}

fn fill(text: &str, places: &[(&str, String)]) -> String {
    places
        .iter()
        .fold(text.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
}

fn properties(object: &Value, places: &[(&str, String)]) -> Properties {
    let members = object.as_object().into_iter().flatten();
    let text = |value: &Value| fill(value.as_str().expect("set-ups are strings"), places);
    members.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A name as a segment of a path.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Puts Java's own answer where ours is not compared.
fn spare(exchange: &mut Value, recorded: &Value) {
    const ALL: [&str; 3] = ["/headers", "/response", "/status"];
    let mut spared: Vec<&str> = match recorded["compare"].as_str() {
        _ if is_of_jetty(recorded) => ALL.to_vec(),
        None => Vec::new(),
        // An error keeps its code, and has a message.
        Some("status") if recorded["response"]["error_code"].is_number() => {
            vec!["/response/message"]
        }
        Some("status") => vec!["/response"],
        Some("nothing") => ALL.to_vec(),
        Some(other) => panic!("compare is status or nothing, not {other}"),
    };
    spared.extend(recorded["spare"].as_object().into_iter().flatten().map(|(p, _)| p.as_str()));
    // Ours says which methods there are, as HTTP wants it.
    if recorded["status"] == 405
        && let Some(headers) = exchange["headers"].as_object_mut()
    {
        headers.remove("allow");
    }
    for pointer in spared {
        if let Some(place) = exchange.pointer_mut(pointer) {
            *place = recorded.pointer(pointer).cloned().unwrap_or_default();
        }
    }
}

/// Whether Java's HTTP server refused the request before Connect saw it: its own page, or nothing,
/// that nobody may cache.
fn is_of_jetty(recorded: &Value) -> bool {
    recorded["status"] == 400
        && recorded["headers"]["cache-control"] == "must-revalidate,no-cache,no-store"
}

/// Whether the answer has what `until` asks for.
fn meets(answer: &Answer, until: &Value) -> bool {
    until.as_object().into_iter().flatten().all(|(pointer, wanted)| match pointer.as_str() {
        "status" => *wanted == json!(answer.status),
        pointer => answer.body.pointer(pointer) == Some(wanted),
    })
}

fn normalise(value: &mut Value) {
    match value {
        // Whose list it is differs, and Java's own order from run to run.
        Value::String(text) => {
            if let Some((words, _)) = text.split_once(PLUGINS) {
                *text = format!("{words}{PLUGINS}{{plugins}}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(members) => {
            for (name, placeholder) in VOLATILE {
                if let Some(text @ (Value::String(_) | Value::Number(_))) = members.get_mut(name) {
                    *text = json!(placeholder);
                }
            }
            members.values_mut().for_each(normalise);
        }
        _ => {}
    }
}

/// Lists of connectors and of offsets come in the order of Java's hash maps: here they are sorted.
fn sort_lists(body: &mut Value) {
    if let Some(Value::Array(offsets)) = body.get_mut("offsets") {
        offsets.sort_by_key(Value::to_string);
    }
    if let Value::Array(items) = body
        && items.iter().all(Value::is_string)
    {
        items.sort_by_key(Value::to_string);
    }
}

/// Leaves out headers of the transport. The methods a path has come in the order of Java's hash
/// sets: here they are sorted.
fn sort_methods(method: &str, answer: &mut Answer) {
    answer.headers.retain(|name, _| !TRANSPORT.contains(&name.as_str()));
    let sorted = |text: &str, separator: &str| {
        let mut methods: Vec<&str> = text.split(',').map(str::trim).collect();
        methods.sort_unstable();
        methods.join(separator)
    };
    for name in ["allow", "access-control-allow-methods"] {
        if let Some(methods) = answer.headers.get_mut(name) {
            *methods = sorted(methods, ",");
        }
    }
    if let (true, Value::String(text)) = (method == "OPTIONS", &mut answer.body) {
        *text = sorted(text, ", ");
    }
}

/// Reduces an answer to what a question keeps of it.
fn keep(body: &mut Value, kept: &Value) {
    let Some(list) = kept.as_array() else {
        if kept == "errors" {
            keep_errors(body);
        }
        return;
    };
    let is_kept = |item: &Value| list.contains(&item["class"]);
    match body {
        Value::Array(plugins) if plugins.iter().any(is_kept) => plugins.retain(is_kept),
        _ => {
            let parts = list.iter().filter_map(Value::as_str);
            let parts = parts.map(|p| (p.to_owned(), body.pointer(p).cloned().unwrap_or_default()));
            *body = Value::Object(parts.collect());
        }
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
