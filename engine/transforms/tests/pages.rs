//! `docs/transformations.md` and `docs/transformations-debezium.md`: the tables of keys are the
//! definitions', and the examples of the first are true. Those of the other are run by
//! `worker/tests/it.rs`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use millrace_api::config::ConfigKeyInfo;
use millrace_api::data::{Column, Records, json};
use millrace_api::{Plugin, Props};
use millrace_testkit::plugin_host::transformation;

const KAFKAS: &str = "org.apache.kafka.connect.transforms.";
const CONFLUENTS: &str = "io.confluent.connect.transforms.";
const DEBEZIUMS: &str = "io.debezium.transforms.";

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// The name that a section has: of two classes for keys and values there is one. None for plugins
/// of others.
fn name(plugin: &Plugin) -> Option<String> {
    let class = plugin.class();
    let short = class.rsplit('.').next().unwrap().split('$').next().unwrap();
    if class.starts_with(CONFLUENTS) {
        return Some(format!("Confluent's {short}"));
    }
    [KAFKAS, DEBEZIUMS].iter().any(|package| class.starts_with(package)).then(|| short.to_owned())
}

/// The one for values of a section's.
fn plugin(section: &str) -> Plugin {
    let plugins = millrace_transforms::plugins().into_iter();
    let named = plugins.filter(|plugin| name(plugin).as_deref() == Some(section));
    named.max_by_key(|plugin| plugin.class().ends_with("$Value")).expect("a section is a plugin's")
}

#[test]
fn the_keys_of_all_of_kafkas_and_confluents_are_on_the_page() {
    assert_keys_shown("transformations.md", |class| !class.starts_with(DEBEZIUMS));
}

#[test]
fn the_keys_of_all_of_debeziums_are_on_the_page() {
    assert_keys_shown("transformations-debezium.md", |class| class.starts_with(DEBEZIUMS));
}

fn assert_keys_shown(file: &str, is_there: fn(&str) -> bool) {
    let text = fs::read_to_string(page(file)).unwrap();
    let mut expected = text.clone();
    let plugins = millrace_transforms::plugins();
    let mut shown = BTreeSet::new();
    for plugin in plugins.iter().filter(|plugin| is_there(plugin.class())) {
        let Some(name) = name(plugin).filter(|name| shown.insert(name.clone())) else {
            continue;
        };
        let begin = format!("<!-- keys of {name} -->\n");
        let (before, rest) =
            expected.split_once(&begin).unwrap_or_else(|| panic!("{name} has a section"));
        let (_, after) = rest.split_once("<!-- end -->\n").unwrap();
        expected = format!("{before}{begin}{}<!-- end -->\n{after}", keys(plugin));
    }
    assert_eq!(text.matches("<!-- keys of ").count(), shown.len());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(page(file), expected).unwrap();
    } else {
        let renew = "UPDATE_EXPECT=1 cargo test -p millrace-transforms --test pages";
        assert!(text == expected, "docs/{file} is old: {renew}");
    }
}

fn keys(plugin: &Plugin) -> String {
    let infos = plugin.config_def().infos();
    if infos.is_empty() {
        return "It has no keys.\n".to_owned();
    }
    let mut text = "| key | type, default | importance | |\n|---|---|---|---|\n".to_owned();
    for info in infos {
        let ConfigKeyInfo { name, value_type, importance, documentation, .. } = &info;
        let default = match (&info.default_value, info.required) {
            (_, true) => "required".to_owned(),
            (None, _) => "none".to_owned(),
            (Some(text), _) if text.is_empty() => "empty".to_owned(),
            (Some(text), _) => format!("`{text}`"),
        };
        let (kind, importance) = (value_type.to_lowercase(), importance.to_lowercase());
        let documentation = documentation.replace('|', "\\|");
        writeln!(text, "| `{name}` | {kind}, {default} | {importance} | {documentation} |")
            .unwrap();
    }
    text
}

/// An example is a block of keys, then of values before and after, or what else became of the
/// record.
#[test]
fn the_examples_are_true() {
    let text = fs::read_to_string(page("transformations.md")).unwrap();
    let mut run = 0;
    for section in text.split("\n### ").skip(1) {
        let name = section.lines().next().unwrap();
        for block in section.split("```text\n").skip(1) {
            let block = block.split("```").next().unwrap();
            run += example(name, block);
        }
    }
    assert!(run >= 10, "examples were found");
}

fn example(name: &str, block: &str) -> usize {
    let (examples, keys): (Vec<&str>, Vec<&str>) =
        block.lines().partition(|line| line.contains("  →  "));
    let pairs = keys.iter().map(|line| line.split_once(" = ").unwrap());
    let props: Props = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut transformation = transformation(&plugin(name), &props).unwrap();
    for line in &examples {
        let (before, after) = line.split_once("  →  ").unwrap();
        let column = Column::Json([Some(before)].into_iter().collect());
        let mut failed = Vec::new();
        let runs = transformation.apply(Records::new("topic", column), &mut failed).unwrap();
        if let Some(words) = after.strip_prefix("refused: ") {
            assert_eq!(failed[0].error.to_string(), words, "{name}");
        } else if let Some(topic) = after.strip_prefix("topic ") {
            assert_eq!(&*runs[0].topic, topic, "{name}: {before}");
        } else if *after == *"dropped" {
            assert!(runs.is_empty() && failed.is_empty(), "{name}: {before}");
        } else {
            let value = runs[0].value.value(0).unwrap();
            assert_eq!(value, json::parse(after).unwrap(), "{name}: {before}");
        }
    }
    examples.len()
}
