//! Compares what we answer with what Java answered, as recorded in files, and says where they
//! differ.

use std::fmt::Write as _;
use std::path::Path;

use millrace_api::{Plugin, PluginKind};
use serde_json::Value as Json;

/// So many differences are shown; one cause often has hundreds.
const SHOWN: usize = 40;

/// Reads a recorded file.
pub fn recorded(path: &Path) -> Json {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|e| panic!("cannot read the golden file {}: {e}", path.display()));
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("the golden file {} is not JSON: {e}", path.display()))
}

/// Panics with a list of differences unless the file holds the same JSON. The order of members in
/// objects is not compared.
pub fn assert_recorded(path: &Path, ours: &Json) {
    assert_same(path, &recorded(path), ours);
}

fn assert_same(path: &Path, java: &Json, ours: &Json) {
    let differences = differences(java, ours);
    if differences.is_empty() {
        return;
    }
    let mut message = format!("{} differences from {}:\n", differences.len(), path.display());
    for difference in differences.iter().take(SHOWN) {
        let _ = writeln!(message, "  {difference}");
    }
    if differences.len() > SHOWN {
        let _ = writeln!(message, "  and {} more", differences.len() - SHOWN);
    }
    panic!("{message}");
}

/// Panics unless Java's plugin of this class has the same keys, in the same order, with all their
/// attributes. `folder` holds a file a class: what `GET /connector-plugins/CLASS/config` answered.
pub fn assert_keys_recorded(folder: &Path, plugin: &Plugin) {
    let path = folder.join(format!("{}.json", plugin.class()));
    let Json::Array(mut java) = recorded(&path) else {
        panic!("the golden file {} is a list of keys", path.display());
    };
    if matches!(plugin.kind(), PluginKind::Source | PluginKind::Sink) {
        // Behind a connector's own keys Java lists those of every connector.
        let own = java.iter().position(|key| key["name"] == "name");
        java.truncate(own.unwrap_or(java.len()));
    }
    let ours = serde_json::to_value(plugin.config_def().infos()).expect("keys can be written");
    assert_same(&path, &Json::Array(java), &ours);
}

/// Where the two differ, a line each: the JSON pointer, then what stands on each side.
pub fn differences(java: &Json, ours: &Json) -> Vec<String> {
    let mut found = Vec::new();
    compare("", Some(java), Some(ours), &mut found);
    found
}

fn compare(at: &str, java: Option<&Json>, ours: Option<&Json>, found: &mut Vec<String>) {
    match (java, ours) {
        (Some(Json::Object(java)), Some(Json::Object(ours))) => {
            for (name, value) in java {
                compare(&format!("{at}/{name}"), Some(value), ours.get(name), found);
            }
            for (name, value) in ours.iter().filter(|(name, _)| !java.contains_key(*name)) {
                compare(&format!("{at}/{name}"), None, Some(value), found);
            }
        }
        (Some(Json::Array(java)), Some(Json::Array(ours))) => {
            for i in 0..java.len().max(ours.len()) {
                let at = format!("{at}/{}", place(i, java.get(i).or(ours.get(i))));
                compare(&at, java.get(i), ours.get(i), found);
            }
        }
        (java, ours) if java == ours => {}
        (java, ours) => {
            let at = if at.is_empty() { "/" } else { at };
            found.push(format!("{at}: Java has {}, we have {}", short(java), short(ours)));
        }
    }
}

/// An element's number, and its name if it has one, as definitions of keys do.
fn place(number: usize, element: Option<&Json>) -> String {
    let name = |json: &Json| json.get("name").and_then(Json::as_str).map(str::to_owned);
    match element.and_then(name) {
        Some(name) => format!("{number}({name})"),
        None => number.to_string(),
    }
}

fn short(json: Option<&Json>) -> String {
    const LONGEST: usize = 200;
    let Some(json) = json else {
        return "nothing".into();
    };
    let text = json.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_name_the_place_and_both_sides() {
        let java = json!({"configs": [{"name": "topic", "importance": "HIGH"}, 2], "x": null});
        let ours = json!({"configs": [{"importance": "LOW", "name": "topic"}], "y": 1, "x": null});
        assert_eq!(
            differences(&java, &ours),
            [
                "/configs/0(topic)/importance: Java has \"HIGH\", we have \"LOW\"",
                "/configs/1: Java has 2, we have nothing",
                "/y: Java has nothing, we have 1",
            ]
        );
        assert_eq!(differences(&java, &java), Vec::<String>::new());
        assert_eq!(differences(&json!(1), &json!(2)), ["/: Java has 1, we have 2"]);
    }

    #[test]
    #[should_panic(expected = "1 differences from")]
    fn a_file_that_differs_fails_the_test() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"a\": 1}").unwrap();
        assert_recorded(file.path(), &json!({"a": 1}));
        assert_recorded(file.path(), &json!({"a": 2}));
    }
}
