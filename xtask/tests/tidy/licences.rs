//! Decides which licences we may ship, and shows when a second version of a crate comes in.

use super::metadata::{metadata, packages, text};
use super::{hold, root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Licences that let anybody ship the binary; none asks for more than a notice.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[test]
fn licences_are_permissive() {
    let bad = packages().filter(|package| !permitted(text(package, "license")));
    let broken: Vec<String> = bad
        .map(|p| format!("{} {}: \"{}\"", text(p, "name"), text(p, "version"), text(p, "license")))
        .collect();
    hold(
        "what we build on has a licence of the allow-list",
        "choose another crate; or, when the licence asks for no more than a notice, add it to ALLOWED",
        &broken,
    );
}

/// Whether an SPDX expression leaves us a permitted choice. `/` is an old way to write OR.
fn permitted(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut permitted = all_of(rest);
    while let ["OR", tail @ ..] = rest {
        *rest = tail;
        permitted |= all_of(rest);
    }
    permitted
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut permitted = one(rest);
    while let ["AND", tail @ ..] = rest {
        *rest = tail;
        permitted &= one(rest);
    }
    permitted
}

fn one(rest: &mut &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let permitted = any_of(rest);
            *rest = rest.split_first().map_or(&[], |(_, tail)| tail);
            permitted
        }
        [licence, "WITH", exception, tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(&format!("{licence} WITH {exception}").as_str())
                || ALLOWED.contains(licence)
        }
        [licence, tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(licence)
        }
        [] => false,
    }
}

#[test]
fn licence_expressions_are_read_rightly() {
    for good in
        ["MIT", "MIT/GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-3.0 OR (MIT AND ISC)"]
    {
        assert!(permitted(good), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT AND (AGPL-3.0 OR SSPL-1.0)"] {
        assert!(!permitted(bad), "{bad}");
    }
}

/// The list is a ratchet: each line is a known cost in build time and binary size.
#[test]
fn second_versions_are_known() {
    let file = root().join("xtask/tests/tidy/duplicates.txt");
    let found = duplicates();
    if std::env::var_os("UPDATE_DUPLICATES").is_some() {
        fs::write(&file, found.iter().map(|line| format!("{line}\n")).collect::<String>())
            .expect("the list is writable");
    }
    let known = fs::read_to_string(&file).unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().collect();
    let new = found.iter().filter(|line| !known.contains(line.as_str()));
    let broken: Vec<String> = new.cloned().collect();
    hold(
        "the product holds no second version of a crate that nobody looked at",
        "ask with `cargo tree -i NAME@VERSION` who wants it and unify versions; where that cannot be, \
         UPDATE_DUPLICATES=1 cargo test -p xtask",
        &broken,
    );
}

/// `name: versions` of what the binary links more than once, build tools and tests left out.
fn duplicates() -> Vec<String> {
    let graph = metadata();
    let nodes: BTreeMap<&str, &serde_json::Value> = graph["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| (text(node, "id"), node))
        .collect();
    let binary = packages().find(|package| text(package, "name") == "millrace");
    let mut queue = vec![text(binary.expect("the workspace has the binary"), "id")];
    let mut linked = BTreeSet::new();
    while let Some(id) = queue.pop() {
        if linked.insert(id) {
            let edges = nodes[id]["deps"].as_array().into_iter().flatten();
            let normal = edges.filter(|edge| {
                let kinds = edge["dep_kinds"].as_array().into_iter().flatten();
                kinds.into_iter().any(|kind| kind["kind"].is_null())
            });
            queue.extend(normal.map(|edge| text(edge, "pkg")));
        }
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages().filter(|package| linked.contains(text(package, "id"))) {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let line = |(name, versions): (&str, BTreeSet<&str>)| {
        format!("{name}: {}", versions.into_iter().collect::<Vec<_>>().join(", "))
    };
    versions.into_iter().map(line).collect()
}
