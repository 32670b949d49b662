//! Decides whether we answer as Java Connect does: files under `golden/` hold questions and Java's
//! answers.
//!
//! - `config/CLASS.json`: what `GET /connector-plugins/CLASS/config` answers.
//! - `rest/*.json`, `validate/*.json`: requests in order, with status, headers and body of each
//!   answer.
//! - the table of client keys, `engine/runtime/src/config/client_keys.json`.
//! - `topics/*.json`: given files, topics and connectors, what topics and files hold afterwards.
//!
//! Recording asks Java the questions that are in the files and writes the answers beside them;
//! comparing asks Millrace. What differs from run to run is a placeholder on both sides: `{dir}`,
//! `{worker}`, `{version}`, `{trace}` and so on.

mod client_keys;
mod exchange;
mod flow;
mod json;

use crate::client::Client;
use crate::connect::{Connect, Program, Setup};
use exchange::Site;
use json::differences;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The plugins whose config definitions are compared.
const CLASSES: [&str; 41] = [
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.IntegerConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    "org.apache.kafka.connect.file.FileStreamSinkConnector",
    "org.apache.kafka.connect.file.FileStreamSourceConnector",
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    "org.apache.kafka.connect.storage.StringConverter",
    "org.apache.kafka.connect.transforms.Cast$Key",
    "org.apache.kafka.connect.transforms.Cast$Value",
    "org.apache.kafka.connect.transforms.DropHeaders",
    "org.apache.kafka.connect.transforms.ExtractField$Key",
    "org.apache.kafka.connect.transforms.ExtractField$Value",
    "org.apache.kafka.connect.transforms.Filter",
    "org.apache.kafka.connect.transforms.Flatten$Key",
    "org.apache.kafka.connect.transforms.Flatten$Value",
    "org.apache.kafka.connect.transforms.HeaderFrom$Key",
    "org.apache.kafka.connect.transforms.HeaderFrom$Value",
    "org.apache.kafka.connect.transforms.HoistField$Key",
    "org.apache.kafka.connect.transforms.HoistField$Value",
    "org.apache.kafka.connect.transforms.InsertField$Key",
    "org.apache.kafka.connect.transforms.InsertField$Value",
    "org.apache.kafka.connect.transforms.InsertHeader",
    "org.apache.kafka.connect.transforms.MaskField$Key",
    "org.apache.kafka.connect.transforms.MaskField$Value",
    "org.apache.kafka.connect.transforms.RegexRouter",
    "org.apache.kafka.connect.transforms.ReplaceField$Key",
    "org.apache.kafka.connect.transforms.ReplaceField$Value",
    "org.apache.kafka.connect.transforms.SetSchemaMetadata$Key",
    "org.apache.kafka.connect.transforms.SetSchemaMetadata$Value",
    "org.apache.kafka.connect.transforms.TimestampConverter$Key",
    "org.apache.kafka.connect.transforms.TimestampConverter$Value",
    "org.apache.kafka.connect.transforms.TimestampRouter",
    "org.apache.kafka.connect.transforms.ValueToKey",
    "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
    "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
];

/// Packages of plugins that are recommended. Of Java's we have `CLASSES`; Confluent's and Debezium's
/// it has not.
const PACKAGES: [&str; 6] = [
    "io.confluent.connect.",
    "io.debezium.",
    "org.apache.kafka.connect.converters.",
    "org.apache.kafka.connect.json.",
    "org.apache.kafka.connect.storage.",
    "org.apache.kafka.connect.transforms.",
];

/// Who is asked, and whether answers are written down or held against what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Java is asked; what it answers is the new golden file.
    Record,
    /// Java is asked whether it still answers so.
    Recheck,
    /// Millrace is asked, through this client where a broker is asked.
    Compare(Client),
}

impl Mode {
    fn program(self) -> Program {
        match self {
            Self::Record | Self::Recheck => Program::Java,
            Self::Compare(client) => Program::Millrace(client),
        }
    }

    /// Writes `answered` to `file`, or gives the differences to what is there.
    fn settle(self, file: &Path, answered: &Value) -> Vec<String> {
        match self {
            Self::Record => {
                json::write(file, answered);
                Vec::new()
            }
            Self::Recheck => differences(&json::read(file), answered),
            Self::Compare(_) => {
                let mut recorded = json::read(file);
                leave_out_absent(&mut recorded);
                // Where we are not compared, ours is a copy of Java's.
                let mut answered = answered.clone();
                leave_out_absent(&mut answered);
                differences(&recorded, &answered)
            }
        }
    }
}

/// Takes plugins that only Java has out of what is recommended: the one difference that counts
/// nowhere, besides the versions of plugins.
fn leave_out_absent(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(leave_out_absent),
        Value::Object(members) => {
            if let Some(Value::Array(classes)) = members.get_mut("recommended_values") {
                classes.retain(|class| !is_absent(class.as_str().unwrap_or_default()));
            }
            members.values_mut().for_each(leave_out_absent);
        }
        _ => {}
    }
}

fn is_absent(class: &str) -> bool {
    PACKAGES.iter().any(|package| class.starts_with(package)) && !CLASSES.contains(&class)
}

/// The config definitions of every class in `CLASSES`.
#[track_caller]
pub fn config_definitions(mode: Mode, bootstrap: &str) {
    let directory = scratch();
    let connect = worker(mode, directory.path(), bootstrap);
    let version = exchange::plugin_version(&connect);
    let mut wrong = Vec::new();
    for class in CLASSES {
        let file = golden("config").join(format!("{class}.json"));
        if !is_wanted(&file) {
            continue;
        }
        let mut answer = connect.rest("GET", &format!("/connector-plugins/{class}/config"), None);
        json::replace(&mut answer.body, &version, "{version}");
        let found = match answer.status {
            200 => mode.settle(&file, &answer.body),
            status => vec![format!("status {status}: {}", answer.body)],
        };
        wrong.extend(found.into_iter().map(|difference| format!("{class} {difference}")));
    }
    report(&wrong);
}

/// The definitions of the keys of Kafka's clients, which the runtime carries as a table.
#[track_caller]
pub fn client_keys(mode: Mode, bootstrap: &str) {
    let directory = scratch();
    let connect = worker(mode, directory.path(), bootstrap);
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/runtime/src/config/client_keys.json");
    if is_wanted(&file) {
        report(&mode.settle(&file, &client_keys::ask(&connect, &json::read(&file))));
    }
}

/// A golden file, for tests that lead the same input another way.
pub fn recorded(file: &str) -> Value {
    json::read(&golden(file))
}

/// The requests in the files of `golden/FOLDER`. Files that ask for the same set-up share a worker;
/// names in them differ.
#[track_caller]
pub fn exchanges(mode: Mode, folder: &str, bootstrap: &str) {
    let mut sites = BTreeMap::new();
    each_file(folder, |file| {
        let asked = json::read(file);
        let (site, _) = sites.entry(exchange::setup(&asked).to_string()).or_insert_with(|| {
            let directory = scratch();
            let site = Site::start(mode.program(), directory.path(), bootstrap, &asked);
            (site, directory)
        });
        mode.settle(file, &site.run(&asked))
    });
}

/// The flows in `golden/topics`, each on a worker of its own. Topics and connectors of different
/// files differ in name.
#[track_caller]
pub fn flows(mode: Mode, bootstrap: &str) {
    each_file("topics", |file| {
        let directory = scratch();
        let answered = flow::run(mode.program(), directory.path(), bootstrap, &json::read(file));
        mode.settle(file, &answered)
    });
}

/// Names the only files to record or compare, by a part of their name: `cargo xtask golden PART`.
const ONLY: &str = "MILLRACE_GOLDEN";

fn is_wanted(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    std::env::var(ONLY).map_or(true, |part| name.contains(&part))
}

#[track_caller]
fn each_file(folder: &str, mut settle: impl FnMut(&Path) -> Vec<String>) {
    let entries = fs::read_dir(golden(folder)).expect("golden folders are part of the repository");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    assert!(!files.is_empty(), "golden/{folder} holds no file");
    files.retain(|file| is_wanted(file));
    files.sort();
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().display();
        wrong.extend(
            settle(file).into_iter().map(|difference| format!("{folder}/{name} {difference}")),
        );
    }
    report(&wrong);
}

#[track_caller]
fn report(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} differences to Java's answers (`cargo xtask golden` records them anew):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn worker(mode: Mode, directory: &Path, bootstrap: &str) -> Connect {
    let setup = Setup { directory, bootstrap, worker: Default::default(), connectors: Vec::new() };
    Connect::standalone(mode.program(), &setup)
}

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder)
}

fn scratch() -> tempfile::TempDir {
    let made = tempfile::Builder::new().prefix("millrace-golden-").tempdir();
    made.expect("the temporary directory is writable")
}
