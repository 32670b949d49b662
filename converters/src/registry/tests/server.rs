//! A registry of a few lines, on a thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// A schema, its type and rules, and the subject it was registered with.
struct Entry {
    subject: String,
    text: String,
    schema_type: &'static str,
    rules: Value,
    references: Value,
}

#[derive(Default)]
struct State {
    /// Ids count from 1.
    schemas: Vec<Entry>,
    asked: Vec<String>,
    /// Whatever is asked is answered so, if it is not 0.
    status: u16,
    /// How long an answer takes.
    delay: Duration,
    /// It knows no GUIDs, as Apicurio.
    has_no_guids: bool,
}

pub(super) struct Registry {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { port, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Versions of `t-value`.
    pub(super) fn add(&self, texts: &[&str]) {
        self.add_to("t-value", texts);
    }

    pub(super) fn add_to(&self, subject: &str, texts: &[&str]) {
        let mut state = self.state.lock().unwrap();
        for text in texts {
            state.register(subject, text);
        }
    }

    /// The last schema was never there.
    pub(super) fn forget_last(&self) {
        self.state.lock().unwrap().schemas.pop();
    }

    pub(super) fn set_type(&self, id: usize, schema_type: &'static str) {
        self.state.lock().unwrap().schemas[id - 1].schema_type = schema_type;
    }

    pub(super) fn set_rules(&self, id: usize, rules: &str) {
        self.state.lock().unwrap().schemas[id - 1].rules = serde_json::from_str(rules).unwrap();
    }

    /// Names, and the schemas that they refer to.
    pub(super) fn set_references(&self, id: usize, references: &[(&str, usize)]) {
        let mut state = self.state.lock().unwrap();
        let reference = |(name, to): &(&str, usize)| json!({"name": name, "subject": state.schemas[to - 1].subject, "version": to});
        let references = references.iter().map(reference).collect();
        state.schemas[id - 1].references = references;
    }

    pub(super) fn answer_all(&self, status: u16) {
        self.state.lock().unwrap().status = status;
    }

    pub(super) fn answer_after(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    pub(super) fn know_no_guids(&self) {
        self.state.lock().unwrap().has_no_guids = true;
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

impl State {
    fn register(&mut self, subject: &str, text: &str) -> usize {
        let known = self.schemas.iter().position(|e| e.subject == subject && e.text == text);
        known.map_or_else(
            || {
                let (subject, text) = (subject.to_owned(), text.to_owned());
                let (rules, references) = (Value::Null, Value::Null);
                self.schemas.push(Entry { subject, text, schema_type: "AVRO", rules, references });
                self.schemas.len()
            },
            |at| at + 1,
        )
    }

    fn schema(&self, id: usize) -> (u16, Value) {
        let Some(entry) = id.checked_sub(1).and_then(|at| self.schemas.get(at)) else {
            return (404, json!({"error_code": 40403, "message": "Schema not found"}));
        };
        let body = json!({
            "schema": entry.text, "schemaType": entry.schema_type, "ruleSet": entry.rules,
            "references": entry.references, "subject": entry.subject, "version": id, "id": id, "guid": guid(id),
        });
        (200, body)
    }

    fn answer(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.asked.push(format!("{method} {target}"));
        match self.status {
            0 => {}
            200 => return (200, json!("<html>")),
            // Not the registry's 404: it has a code of its own.
            404 => return (404, json!({"message": "no such path"})),
            422 => return (422, json!({"error_code": 42201, "message": "so be it"})),
            status => return (status, json!({"error_code": status, "message": "so be it"})),
        }
        let path: Vec<_> = target.split('?').next().unwrap().split('/').skip(1).collect();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = body["schema"].as_str().unwrap_or_default();
        match (method, &*path) {
            ("GET", ["schemas", "ids", id]) => self.schema(id.parse().unwrap()),
            ("GET", ["schemas", "types"]) => (200, json!(["AVRO"])),
            ("GET", ["schemas", "guids", _]) if self.has_no_guids => (404, json!({})),
            ("GET", ["schemas", "guids", guid]) => {
                self.schema(guid.rsplit('-').next().unwrap().parse().unwrap())
            }
            ("GET", ["subjects", subject, "versions", "latest"]) => {
                let last = self.schemas.iter().rposition(|entry| entry.subject == *subject);
                self.schema(last.map_or(0, |at| at + 1))
            }
            ("GET", ["subjects", _, "versions", version]) => self.schema(version.parse().unwrap()),
            ("POST", ["subjects", subject, "versions"]) => {
                let id = self.register(subject, text);
                (200, json!({"id": id, "ruleSet": self.schemas[id - 1].rules}))
            }
            ("POST", ["subjects", subject]) => {
                let known = |e: &Entry| e.subject == *subject && e.text == text;
                self.schema(self.schemas.iter().position(known).map_or(0, |at| at + 1))
            }
            _ => panic!("{method} {target}"),
        }
    }
}

fn guid(id: usize) -> String {
    format!("00000000-0000-0000-0000-{id:012}")
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut first) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.to_ascii_lowercase().strip_prefix("content-length:") {
                Some(value) => length = value.trim().parse().unwrap(),
                None if first.is_empty() => first = line.to_owned(),
                None => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let body = String::from_utf8(body).unwrap();
        let delay = state.lock().unwrap().delay;
        wait(delay);
        let (status, answer) = state.lock().unwrap().answer(method, target, &body);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", answer.len());
        let mut stream = stream;
        if stream.write_all(format!("{head}{answer}").as_bytes()).is_err() {
            return;
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a registry that is slow, on a thread of its own")]
fn wait(delay: Duration) {
    std::thread::sleep(delay);
}
