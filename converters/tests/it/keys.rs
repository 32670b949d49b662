//! The keys of the converters: as Confluent's and Kafka's define them, and as pages for people say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use millrace_api::config::ConfigKeyInfo;
use millrace_api::{Plugin, PluginKind};

/// Keys that Confluent's converters read without a definition.
const UNDEFINED_THERE: &[&str] = &[
    "avro.fail.on.trailing.data",
    "missing.cache.size",
    "missing.id.cache.ttl.sec",
    "missing.schema.cache.ttl.sec",
    "missing.version.cache.ttl.sec",
    "sasl.jaas.config",
    "schema.backup.enabled",
    "schema.registry.bearer.auth.client.secret",
    "schema.registry.bearer.auth.token",
];

fn with_registry() -> impl Iterator<Item = Plugin> {
    let plugins = millrace_converters::plugins().into_iter();
    plugins.filter(|plugin| plugin.class().starts_with("io.confluent."))
}

fn alias(plugin: &Plugin) -> &'static str {
    plugin.class().rsplit('.').next().unwrap()
}

/// `registry_keys.tsv`: converter (`*`: each), key, type, default and importance in Confluent's
/// definitions (8.5), which its converters parse, though they do not answer with them by REST.
#[test]
fn keys_are_confluents() {
    let table: Vec<Vec<&str>> = include_str!("../data/registry_keys.tsv")
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    for plugin in with_registry() {
        let infos = plugin.config_def().infos();
        let mut ours: BTreeMap<&str, &ConfigKeyInfo> =
            infos.iter().map(|info| (&*info.name, info)).collect();
        let of_plugin = |line: &&Vec<&str>| line[0] == "*" || line[0] == alias(&plugin);
        for line in table.iter().filter(of_plugin) {
            let [_, key, kind, default, importance] = line[..] else { panic!("{line:?}") };
            let info = ours.remove(key).unwrap_or_else(|| panic!("{}: no {key}", plugin.class()));
            assert_eq!((&*info.value_type, &*info.importance), (kind, importance), "{key}");
            assert_eq!(info.required, default == "required", "{key}");
            let default = Some(default).filter(|d| !["null", "required"].contains(d));
            assert_eq!(info.default_value.as_deref(), default, "{key}");
        }
        let rest: Vec<&str> = ours.into_keys().collect();
        assert!(rest.iter().all(|key| UNDEFINED_THERE.contains(key)), "{rest:?}");
    }
}

/// What authenticates is a password, which no answer shows.
#[test]
fn secrets_are_passwords() {
    let words = ["password", "user.info", "auth.token", "secret", "jaas", "keystore.key"];
    for plugin in with_registry() {
        for info in plugin.config_def().infos() {
            if words.iter().any(|word| info.name.ends_with(word) || info.name.contains("jaas")) {
                assert_eq!(info.value_type, "PASSWORD", "{}", info.name);
            }
        }
        let def = plugin.config_def();
        let given = ["basic.auth.user.info", "bearer.auth.client.secret"]
            .map(|key| (key.to_owned(), "canary:1".to_owned()));
        let shown = format!("{:?}", def.validate(&given.into()));
        assert!(!shown.contains("canary"), "{shown}");
    }
}

/// `docs/converters/`: a page a converter.
#[test]
fn pages_for_people_are_current() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/converters");
    let mut pages = Vec::new();
    for plugin in millrace_converters::plugins() {
        // Those that are header converters as well have the same keys; `converter.type` alone is
        // none that users write.
        let infos = plugin.config_def().infos();
        let name = format!("{}.md", alias(&plugin));
        if plugin.kind() == PluginKind::Converter && infos.len() > 1 {
            expect_test::expect_file![folder.join(&name)].assert_eq(&page(&plugin, &infos));
            pages.push(name);
        }
    }
    let there = std::fs::read_dir(&folder).unwrap();
    let mut there: Vec<_> = there.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    pages.push("README.md".into());
    pages.sort();
    assert_eq!(there, pages);
}

fn page(plugin: &Plugin, infos: &[ConfigKeyInfo]) -> String {
    let (alias, class) = (alias(plugin), plugin.class());
    let mut page = format!(
        "# {alias}\n\n`{class}`. Each key is written behind `key.converter.` or \
         `value.converter.`, in the\nworker's or a connector's configuration. This page is written \
         by a test from the definitions;\n`UPDATE_EXPECT=1 cargo test -p millrace-converters \
         --test it keys` renews it.\n\n| key | type, default | importance | |\n|---|---|---|---|\n"
    );
    for info in infos {
        let ConfigKeyInfo { name, value_type, importance, documentation, .. } = info;
        let default = match (&info.default_value, info.required) {
            (_, true) => "required".to_owned(),
            (None, _) => "none".to_owned(),
            (Some(text), _) if text.is_empty() || text == "[hidden]" => "empty".to_owned(),
            (Some(text), _) => format!("`{text}`"),
        };
        let (kind, importance) = (value_type.to_lowercase(), importance.to_lowercase());
        let documentation = documentation.replace('|', "\\|");
        writeln!(page, "| `{name}` | {kind}, {default} | {importance} | {documentation} |")
            .unwrap();
    }
    page
}
