//! Decides which crate may name which: edges among ours, and homes of third parties that must not
//! spread.

use super::hold;
use super::metadata::{dependencies, ours, text};
use serde_json::Value;

const CONNECTORS: &str = "/connectors/";

/// What each of our crates may depend on. A crate that is not listed may depend on none of ours.
fn allowed(package: &Value) -> &'static [&'static str] {
    match text(package, "name") {
        "millrace-api" => &["millrace-derive"],
        "millrace-transforms" => &["millrace-api"],
        // `schema.registry.ssl.*` are Java's `ssl.*`, and those are read in one place.
        "millrace-converters" => &["millrace-api", "millrace-tls", "schema-registry-client"],
        // The log speaks the data model's `Error` and `TopicPartition`; a twin of each would only
        // be converted.
        "millrace-tls" => &["millrace-api"],
        "millrace-kafka" => &["millrace-api", "millrace-tls"],
        "millrace-runtime" => {
            &["millrace-api", "millrace-kafka", "millrace-threads", "millrace-tls"]
        }
        "millrace-testkit" => &["millrace-api", "millrace-runtime"],
        // Formats and their schema maps are written once.
        "millrace-lake" => &["millrace-api", "millrace-converters"],
        "millrace" | "millrace-benches" | "millrace-integration" => &["*"],
        "xtask" => &["millrace"],
        _ if text(package, "manifest_path").contains(CONNECTORS) => &["millrace-api"],
        _ => &[],
    }
}

/// What tests of a crate may use on top.
fn allowed_in_tests(package: &Value) -> &'static [&'static str] {
    match text(package, "name") {
        "millrace-api" | "millrace-derive" | "millrace-tls" => &["millrace-api"],
        "millrace-kafka" => &["millrace-api", "millrace-tls"],
        "millrace-runtime" => &[
            "millrace-converters",
            "millrace-file",
            // How recorded records are read and compared.
            "millrace-testkit",
            "millrace-transforms",
        ],
        // Plugins prove themselves with the testkit's suites; what a plugin test needs of the
        // worker is in there.
        _ => &["millrace-testkit", "millrace-converters"],
    }
}

#[test]
fn our_crates_depend_only_downwards() {
    let mut broken = Vec::new();
    for package in ours() {
        for (kind, more) in [(None, &[][..]), (Some("dev"), allowed_in_tests(package))] {
            let permitted = [allowed(package), more].concat();
            let wrong = dependencies(package, kind).into_iter().filter(|name| is_ours(name));
            let wrong = wrong.filter(|name| !permitted.contains(name) && !permitted.contains(&"*"));
            broken.extend(wrong.map(|name| format!("{} -> {name}", text(package, "name"))));
        }
    }
    hold(
        "the crates form layers: derive < api < kafka < runtime, plugins know the api alone, `millrace` joins them",
        "move the code to the layer that may know both sides, or pass the thing in; \
         a new edge is a design decision (docs/design) and a line in xtask/tests/tidy/crates.rs",
        &broken,
    );
}

fn is_ours(name: &str) -> bool {
    name == "millrace" || name.starts_with("millrace-") || name == "schema-registry-client"
}

/// Third parties, the crates that may name them, and why no other.
const HOMES: [(&str, &[&str], &str); 10] = [
    (
        "rdkafka",
        &["millrace-kafka", "millrace-integration", "millrace-benches"],
        "only engine/kafka speaks to Kafka, but for what it is compared with",
    ),
    (
        "kafka-protocol",
        &["millrace-kafka", "millrace-integration"],
        "only engine/kafka speaks to Kafka",
    ),
    ("axum", &["millrace-runtime"], "only runtime/src/rest serves HTTP"),
    (
        "sqlx",
        &["millrace-jdbc", "millrace", "millrace-benches"],
        "only the JDBC connector opens databases; quickstart's demo and its bench fill some",
    ),
    (
        "opendal",
        &["millrace-lake", "millrace-spooldir"],
        "only connectors to object stores name them",
    ),
    (
        "apache-avro",
        &["millrace-converters", "millrace-benches"],
        "Avro is read and written in one place; this is what that is held against",
    ),
    (
        "arrow-avro",
        &["millrace-benches"],
        "Avro is read and written in one place; this is what that is measured beside",
    ),
    ("protox", &["millrace-converters"], "texts of Protobuf are compiled in one place"),
    (
        "clap",
        &["millrace", "millrace-benches"],
        "only the binary and what measures it have a command line",
    ),
    (
        "testcontainers-modules",
        &["millrace-integration"],
        "only integration tests start containers",
    ),
];

#[test]
fn third_parties_stay_at_home() {
    let mut broken = Vec::new();
    for package in ours() {
        let name = text(package, "name");
        for kind in [None, Some("dev"), Some("build")] {
            for dependency in dependencies(package, kind) {
                let home = HOMES.iter().find(|(party, _, _)| *party == dependency);
                if let Some((party, homes, why)) =
                    home.filter(|(_, homes, _)| !homes.contains(&name))
                {
                    broken.push(format!(
                        "{name} -> {party} (at home in {}: {why})",
                        homes.join(", ")
                    ));
                }
            }
        }
    }
    hold(
        "a heavy third party has one home, so that it can be replaced",
        "use the home's own interface; if there is none, add it there",
        &broken,
    );
}

#[test]
fn the_pure_crates_do_not_know_tokio() {
    let pure = ["millrace-api", "millrace-derive", "millrace-transforms", "millrace-converters"];
    let with_tokio = ours()
        .filter(|package| pure.contains(&text(package, "name")))
        .filter(|package| dependencies(package, None).contains(&"tokio"));
    let broken: Vec<String> = with_tokio.map(|package| text(package, "name").to_owned()).collect();
    hold(
        "api, transforms and converters compute; they neither wait nor spawn",
        "do the waiting in the runtime or in `Converter::prepare`, and hand the result in",
        &broken,
    );
}

#[test]
fn dependencies_are_declared_in_the_workspace() {
    let mut broken = Vec::new();
    for package in ours() {
        let manifest = text(package, "manifest_path");
        let content = std::fs::read_to_string(manifest).expect("cargo names existing manifests");
        let mut in_dependencies = false;
        let own_version = content.lines().filter(|line| {
            let line = line.trim();
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            }
            if !in_dependencies {
                return false;
            }
            // A connector is named where it is wired in and nowhere else: adding one touches no
            // list at the top.
            let connector = line.contains("path = \"../connectors/");
            line.contains("version =")
                || !connector && (line.contains("= \"") || line.contains("path ="))
        });
        broken.extend(own_version.map(|line| format!("{manifest}: {line}")));
    }
    hold(
        "versions and features of dependencies are named once",
        "put the line into [workspace.dependencies] and write `x.workspace = true`",
        &broken,
    );
}
