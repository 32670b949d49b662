//! Decides how source files look: length, module doc, forbidden words, reasons, and what each
//! connector brings.

use super::{hold, root};
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 800;
const LONGEST_LINE: usize = 100;

/// A file, its path from the repository's root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Lines before an inline test module, with their numbers from 1.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.take_while(|(_, line)| *line != "#[cfg(test)]" || self.is_test())
    }

    fn place(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {}", self.path, what.trim())
    }
}

/// All files below the root with one of these endings, build output left out.
fn sources(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), endings, &mut found);
    found.sort();
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("source files are UTF-8"),
        path: path.strip_prefix(root()).expect("found below the root").display().to_string(),
    };
    found.into_iter().map(read).collect()
}

fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folders are readable").flatten() {
        let (path, name) = (entry.path(), entry.file_name().display().to_string());
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn rust() -> Vec<Source> {
    sources(&[".rs"])
}

#[test]
fn files_are_short() {
    let product = rust().into_iter().filter(|source| !source.is_test());
    let counted = product.map(|source| (source.product_lines().count(), source.path));
    let long = counted.filter(|(lines, _)| *lines > LONGEST_FILE);
    let broken: Vec<String> = long.map(|(lines, path)| format!("{path}: {lines} lines")).collect();
    hold(
        "a file has at most 800 lines, tests not counted, and rather 600",
        "split it where one half needs not know the other; each half says in its `//!` what it decides",
        &broken,
    );
}

#[test]
fn lines_are_short() {
    let mut broken = Vec::new();
    for source in rust() {
        let mut lines = source.text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            // A text in quotes or an address cannot always be broken.
            let unbreakable = line.contains('"') || line.contains("://");
            // A config key's documentation is shown to users as it stands, and is Java's.
            let next = lines.peek().map_or("", |(_, next)| next.trim_start());
            let of_key = next.starts_with("#[config(") || next.starts_with("///");
            let shown = line.trim_start().starts_with("///") && of_key;
            if line.chars().count() > LONGEST_LINE && !unbreakable && !shown {
                broken.push(source.place(number + 1, line));
            }
        }
    }
    hold("a line has at most 100 characters", "break it; rustfmt leaves comments to us", &broken);
}

#[test]
fn each_file_says_what_it_decides() {
    let silent = rust().into_iter().filter(|source| !source.text.starts_with("//! "));
    let broken: Vec<String> = silent.map(|source| source.path).collect();
    hold(
        "each source file begins with a `//!` line",
        "write what the module decides, in one sentence; if that needs an `and`, split the module",
        &broken,
    );
}

#[test]
fn nothing_is_put_off() {
    // Written apart, or this file would break its own rule.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("dbg", "!")];
    let mut broken = Vec::new();
    for source in sources(&[".rs", ".toml", ".sh", ".properties", "Makefile", "Dockerfile"]) {
        for (number, line) in source.text.lines().enumerate() {
            let found = words.iter().any(|word| is_word(line, word));
            broken.extend(found.then(|| source.place(number + 1, line)));
        }
    }
    hold("nothing is left for later in the source", "do it now, or open an issue", &broken);
}

/// Whether `word` stands in `line` by itself, not inside a longer one.
fn is_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !(inside(before) || (word.ends_with(char::is_alphanumeric) && inside(after)))
    })
}

#[test]
fn each_exception_has_a_reason() {
    let mut broken = Vec::new();
    for source in rust() {
        for opening in [concat!("#[", "allow("), concat!("#![", "allow("), concat!("#[", "expect(")]
        {
            for (at, _) in source.text.match_indices(opening) {
                let attribute = source.text[at..].split("]\n").next().unwrap_or_default();
                if !attribute.contains("reason = \"") {
                    let line = source.text[..at].lines().count() + 1;
                    broken.push(source.place(line, attribute));
                }
            }
        }
    }
    hold(
        "each lint that is allowed has a reason",
        "add `reason = \"…\"`, or obey the lint",
        &broken,
    );
}

#[test]
fn unsafe_stays_where_it_must_be() {
    let allowing = rust().into_iter().filter(|source| {
        source.text.contains(concat!("allow(", "unsafe_code"))
            && !source.path.starts_with("engine/kafka/")
            && !source.path.starts_with("engine/threads/")
            && source.path != "benches/src/rdkafka_raw.rs"
    });
    let broken: Vec<String> = allowing.map(|source| source.path).collect();
    hold(
        "unsafe code is allowed around librdkafka's batch calls only, in engine/kafka and where they \
         are measured, and in engine/threads, which asks the system what nobody else does",
        "find the safe way, or a crate that has it",
        &broken,
    );
}

#[test]
fn names_say_what_a_thing_is() {
    let vague = ["Manager", "Helper", "Helpers", "Util", "Utils", "Impl"];
    let modules = ["util", "utils", "helper", "helpers", "common", "misc", "manager"];
    let mut broken = Vec::new();
    for source in rust() {
        for (number, line) in source.text.lines().enumerate() {
            let words: Vec<&str> = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|w| !w.is_empty())
                .collect();
            let wrong = words.windows(2).any(|pair| match pair[0] {
                "struct" | "enum" | "trait" | "type" => {
                    vague.iter().any(|end| pair[1].ends_with(end))
                }
                "mod" => modules.contains(&pair[1]),
                _ => false,
            });
            let code = !line.trim_start().starts_with("//");
            broken.extend((wrong && code).then(|| source.place(number + 1, line)));
        }
    }
    hold(
        "a name says what the thing is or does, not that it manages or helps",
        "name it after the one thing it decides",
        &broken,
    );
}

#[test]
fn http_is_served_in_rest_only() {
    let outside = |path: &str| {
        path.starts_with("engine/runtime/src/")
            && !path.contains("/src/rest/")
            && !path.ends_with("/src/rest.rs")
    };
    let naming = rust().into_iter().filter(|s| outside(&s.path) && s.text.contains("axum::"));
    let broken: Vec<String> = naming.map(|source| source.path).collect();
    hold("axum is named in runtime/src/rest only", "let the herder's interface carry it", &broken);
}

/// Modules of the runtime from the highest to the lowest; a module names only those after it.
const RUNTIME: [&str; 5] = ["rest", "herder", "worker", "task", "store"];

#[test]
fn the_runtimes_modules_form_layers() {
    let mut broken = Vec::new();
    for source in rust() {
        let Some(inner) = source.path.strip_prefix("engine/runtime/src/") else {
            continue;
        };
        let module = inner.split(['/', '.']).next().unwrap_or_default();
        let Some(rank) = RUNTIME.iter().position(|name| *name == module) else {
            continue;
        };
        for (number, line) in source.product_lines() {
            let upward = RUNTIME[..rank].iter().any(|above| {
                is_word(line, &format!("crate::{above}")) && !line.trim_start().starts_with("//")
            });
            broken.extend(upward.then(|| source.place(number, line)));
        }
    }
    hold(
        "in the runtime rest knows herder, herder worker, worker task, task store; never the other way",
        "hand the lower module what it needs as a parameter or a trait of its own",
        &broken,
    );
}

#[test]
fn records_are_no_json_values_in_the_task_loops() {
    let naming = rust().into_iter().filter(|source| {
        source.path.starts_with("engine/runtime/src/task/")
            && source.text.contains("serde_json::Value")
    });
    let broken: Vec<String> = naming.map(|source| source.path).collect();
    hold(
        "no value object a cell on a record's way",
        "work on columns, or on millrace_api's ValueRef",
        &broken,
    );
}

#[test]
fn each_connector_has_its_readme_and_runs_the_suites() {
    let mut broken = Vec::new();
    for entry in fs::read_dir(root().join("connectors")).expect("connectors/ exists").flatten() {
        let folder = entry.path();
        let name = entry.file_name().display().to_string();
        if !folder.join("README.md").exists() {
            broken.push(format!("connectors/{name}: no README.md"));
        }
        let mut files = Vec::new();
        walk(&folder, &[".rs"], &mut files);
        let calls = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.contains("source_suite!") || text.contains("sink_suite!")
        };
        if !files.iter().any(calls) {
            broken.push(format!("connectors/{name}: no call of source_suite! or sink_suite!"));
        }
    }
    hold(
        "each connector has a README.md and runs the testkit's suites",
        "write what it does and its offsets; call `millrace_testkit::source_suite!` or `sink_suite!` in tests/",
        &broken,
    );
}

/// Adding a connector must not mean looking for the places that list them all.
#[test]
fn a_connector_is_wired_in_two_files() {
    let wiring = ["worker/Cargo.toml", "worker/src/catalog.rs"];
    // Neither is the product: both name what they measure or try.
    let about = ["benches/", "integration/", "xtask/"];
    let mut broken = Vec::new();
    for entry in fs::read_dir(root().join("connectors")).expect("connectors/ exists").flatten() {
        let name = entry.file_name().display().to_string();
        let (package, library) = (format!("millrace-{name}"), format!("millrace_{name}"));
        let home = format!("connectors/{name}/");
        let naming = sources(&[".rs", "Cargo.toml"]).into_iter().filter(|source| {
            (source.text.contains(&package) || source.text.contains(&library))
                && !source.path.starts_with(&home)
                && !about.iter().any(|folder| source.path.starts_with(folder))
        });
        let found: Vec<String> = naming.map(|source| source.path).collect();
        if found != wiring {
            broken.push(format!("{package}: {}", found.join(", ")));
        }
    }
    hold(
        "a connector is named in worker/Cargo.toml and worker/src/catalog.rs, and nowhere else",
        "ask the catalog for what is there",
        &broken,
    );
}
