//! `docs/connectors/jdbc-*.md`: the tables of keys are the definitions'.

use std::fmt::Write;
use std::path::PathBuf;

use millrace_api::Plugin;
use millrace_api::config::ConfigKeyInfo;

use crate::host::plugin;
use crate::sink_host::sink_plugin;

const BEGIN: &str = "<!-- written by a test from the definitions -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn pages_for_people_are_current() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/connectors");
    for (plugin, name) in [(plugin(), "jdbc-source.md"), (sink_plugin(), "jdbc-sink.md")] {
        let path = folder.join(name);
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let expected = format!("{before}{BEGIN}{}{END}{after}", keys(&plugin));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, expected).unwrap();
        } else {
            assert!(
                page == expected,
                "{name} is old: UPDATE_EXPECT=1 cargo test -p millrace-jdbc --test it pages"
            );
        }
    }
}

/// A table a group.
fn keys(plugin: &Plugin) -> String {
    let mut text = String::new();
    let def = plugin.config_def();
    let internal = |name: &str| def.get(name).is_some_and(|key| key.internal);
    for group in def.groups() {
        writeln!(text, "\n### {group}\n\n| key | type, default | importance | |").unwrap();
        text.push_str("|---|---|---|---|\n");
        for info in def.infos() {
            if info.group.as_ref() == Some(&group) && !internal(&info.name) {
                text.push_str(&line(&info));
            }
        }
    }
    text.push('\n');
    text
}

fn line(info: &ConfigKeyInfo) -> String {
    let ConfigKeyInfo { name, value_type, importance, documentation, .. } = info;
    let default = match (&info.default_value, info.required) {
        (_, true) => "required".to_owned(),
        (None, _) => "none".to_owned(),
        (Some(text), _) if text.is_empty() || text == "[hidden]" => "empty".to_owned(),
        (Some(text), _) => format!("`{text}`"),
    };
    let (kind, importance) = (value_type.to_lowercase(), importance.to_lowercase());
    let documentation = documentation.replace('|', "\\|");
    format!("| `{name}` | {kind}, {default} | {importance} | {documentation} |\n")
}
