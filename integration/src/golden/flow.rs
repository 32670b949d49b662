//! Decides how records are led through connectors and what is looked at afterwards: topics byte for
//! byte, files, states.
//!
//! A file has `given` (`worker` keys, `files`, `topics`, `connectors`), `wait` (`topics` and
//! `lines`: how many records or lines end the wait; `failed`: connectors whose task must fail), and
//! the `answer` (`topics`, `files`, `states`; `shapes`: partitions and configs of the topics that
//! `wait` lists there). It may have `spare`: pointers to parts of the answer
//! that we need not match, and why. Bytes are a string when they are UTF-8, else `{"hex": …}`.

use crate::connect::{Connect, Program, Properties, Setup};
use crate::topic::{self, Record};
use crate::wait_until;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// The header of dead letters of which the first line is kept: the others are places in the code.
const STACK_TRACE: &str = "__connect.errors.exception.stacktrace";

/// Runs the flow and gives the file's content with the answers.
pub(super) fn run(program: Program, directory: &Path, bootstrap: &str, file: &Value) -> Value {
    let given = &file["given"];
    for (name, content) in members(&given["files"]) {
        fs::write(directory.join(name), bytes(content)).expect("the scratch directory is writable");
    }
    for (name, records) in members(&given["topics"]) {
        topic::create_topic(bootstrap, name, 1);
        let records: Vec<Record> = records.as_array().into_iter().flatten().map(record).collect();
        topic::produce(bootstrap, name, &records);
    }
    let connectors = given["connectors"].as_array().into_iter().flatten().map(properties);
    let setup = Setup {
        directory,
        bootstrap,
        worker: properties(&given["worker"]),
        connectors: connectors.collect(),
    };
    let connect = Connect::standalone(program, &setup);
    wait(&connect, &setup, &file["wait"]);
    let states = states(&connect, &setup.connectors);
    // A sink's file is complete only after its worker has closed it.
    connect.stop();
    let mut answered = file.as_object().cloned().unwrap_or_default();
    answered.insert("answer".to_owned(), answer(&setup, &file["wait"], states));
    let mut answered = Value::Object(answered);
    if program != Program::Java {
        spare(&mut answered, file);
    }
    answered
}

/// Puts Java's own answer where ours is not compared.
fn spare(answered: &mut Value, recorded: &Value) {
    for (pointer, _) in members(&recorded["spare"]) {
        let place = answered.pointer_mut(pointer).expect("what is spared was answered");
        *place = recorded.pointer(pointer).expect("what is spared was recorded").clone();
    }
}

fn wait(connect: &Connect, setup: &Setup<'_>, wait: &Value) {
    for (name, count) in members(&wait["topics"]) {
        wait_until(&format!("{count} records in topic {name}"), PATIENCE, || {
            (topic::count(setup.bootstrap, name) >= count.as_i64()?).then_some(())
        });
    }
    for (name, count) in members(&wait["lines"]) {
        wait_until(&format!("{count} lines in file {name}"), PATIENCE, || {
            let content = fs::read(setup.directory.join(name)).ok()?;
            let lines = content.iter().filter(|byte| **byte == b'\n').count();
            (lines as i64 >= count.as_i64()?).then_some(())
        });
    }
    for name in wait["failed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        wait_until(&format!("a failed task of {name}"), PATIENCE, || {
            let status = connect.rest("GET", &format!("/connectors/{name}/status"), None);
            (status.body.pointer("/tasks/0/state")? == "FAILED").then_some(())
        });
    }
}

/// `RUNNING`, `FAILED` … of each connector and its tasks.
fn states(connect: &Connect, connectors: &[Properties]) -> Value {
    let mut states = Map::new();
    for name in connectors.iter().filter_map(|connector| connector.get("name")) {
        let status = connect.rest("GET", &format!("/connectors/{name}/status"), None).body;
        let tasks: Vec<Value> =
            status["tasks"].as_array().into_iter().flatten().map(|t| t["state"].clone()).collect();
        states.insert(
            name.clone(),
            json!({"connector": status["connector"]["state"], "tasks": tasks}),
        );
    }
    Value::Object(states)
}

fn answer(setup: &Setup<'_>, wait: &Value, states: Value) -> Value {
    let topics = members(&wait["topics"]).map(|(name, _)| {
        let records = topic::contents(setup.bootstrap, name);
        (name.clone(), records.iter().map(record_json).collect())
    });
    let files = members(&wait["lines"]).map(|(name, _)| {
        let content = fs::read(setup.directory.join(name)).expect("the file was waited for");
        (name.clone(), bytes_json(Some(&content)))
    });
    let mut answer = json!({
        "states": states,
        "topics": topics.collect::<Map<_, Value>>(),
        "files": files.collect::<Map<_, _>>(),
    });
    let shapes = shapes(setup, wait);
    if !shapes.is_empty() {
        answer["shapes"] = Value::Object(shapes);
    }
    answer
}

/// Partitions and configs of the topics that a file wants to know about.
fn shapes(setup: &Setup<'_>, wait: &Value) -> Map<String, Value> {
    let names = wait["shapes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let shape = |name: &str| {
        let (partitions, configs) = topic::shape(setup.bootstrap, name);
        (name.to_owned(), json!({"partitions": partitions, "configs": configs}))
    };
    names.map(shape).collect()
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn properties(object: &Value) -> Properties {
    let text = |value: &Value| value.as_str().expect("properties are strings").to_owned();
    members(object).map(|(key, value)| (key.clone(), text(value))).collect()
}

/// The timestamp is left out: it is the time of the run.
fn record_json(record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("key".to_owned(), bytes_json(record.key.as_deref()));
    object.insert("value".to_owned(), bytes_json(record.value.as_deref()));
    if !record.headers.is_empty() {
        let headers = record.headers.iter().map(|(key, value)| {
            let mut value = bytes_json(value.as_deref());
            if let (STACK_TRACE, Value::String(trace)) = (&**key, &mut value) {
                trace.truncate(trace.find('\n').unwrap_or(trace.len()));
            }
            json!([key, value])
        });
        object.insert("headers".to_owned(), headers.collect());
    }
    Value::Object(object)
}

fn record(object: &Value) -> Record {
    let optional = |value: &Value| (!value.is_null()).then(|| bytes(value));
    let headers =
        object["headers"].as_array().into_iter().flatten().map(|header| {
            (header[0].as_str().unwrap_or_default().to_owned(), optional(&header[1]))
        });
    Record {
        timestamp: object["timestamp"].as_i64(),
        key: optional(&object["key"]),
        value: optional(&object["value"]),
        headers: headers.collect(),
        ..Record::default()
    }
}

fn bytes_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => {
            json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()})
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let Some(hex) = value["hex"].as_str() else {
        return value.as_str().expect("bytes are a string or {hex}").as_bytes().to_vec();
    };
    let digits = hex.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("hex digits are ASCII");
        u8::from_str_radix(pair, 16).expect("bytes in hex are pairs of digits")
    });
    digits.collect()
}
