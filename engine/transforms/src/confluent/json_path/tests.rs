//! What the library JsonPath found, as `integration/oracle/json_path` recorded it.

use std::collections::BTreeSet;

use millrace_api::data::json;
use proptest::prelude::*;

use super::*;

fn array(found: Vec<&Value>) -> Value {
    Value::Array(found.into_iter().cloned().collect())
}

#[test]
fn paths_find_what_the_library_finds() {
    let golden = include_str!("../../../tests/golden/json_path.tsv");
    let mut document = Value::Null;
    let mut wrong = Vec::new();
    let mut refused = BTreeSet::new();
    for line in golden.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        if cells[0] == "-" {
            document = json::parse(cells[1]).unwrap();
            continue;
        }
        let ours = match parse::path(cells[1]).map(JsonPath) {
            Ok(path) => path.select(&document).map(array),
            Err(reason) => {
                if cells[2] != "invalid" {
                    refused.insert(format!("{}: {reason}", cells[1]));
                }
                continue;
            }
        };
        let is_same = match (cells[2], &ours) {
            ("missing", Err(Nothing::Missing)) | ("error", Err(Nothing::Primitive(_))) => true,
            ("missing" | "error" | "invalid", _) | (_, Err(_)) => false,
            (found, Ok(ours)) => json::parse(found).unwrap() == *ours,
        };
        if !is_same {
            wrong.push(format!("{line} <> {ours:?}"));
        }
    }
    assert!(golden.lines().count() > 300, "the file is there");
    assert_eq!(wrong, [""; 0], "{}", wrong.join("\n"));
    let refused: Vec<String> = refused.into_iter().collect();
    assert_eq!(
        refused,
        [
            "$..d: the deep scan '..' is not supported",
            "$..zz: the deep scan '..' is not supported",
            "$.b..c: the deep scan '..' is not supported",
            "$.b.l.length(): a function is not supported",
            "$.b.l[-1:]: a slice is not supported",
            "$.b.l[0,1]: a list of names, indexes or conditions is not supported",
            "$.b.l[0:2]: a slice is not supported",
            "$.b.l[:1]: a slice is not supported",
            "$.s.length(): a function is not supported",
            "$['a','s']: a list of names, indexes or conditions is not supported",
            "$[?(@.b.l contains 1)]: the operator contains is not supported",
            "$[?(@.e == [])]: an array or object in a condition is not supported",
            "$[?(@.e empty true)]: the operator empty is not supported",
            "$[?(@.l[*] == 1)]: a path in a condition that leads to many places is not supported",
            "$[?(@.s =~ 'str')]: expected a pattern between slashes at position 11",
            "$[?(@.s size 3)]: the operator size is not supported",
        ]
    );
}

#[test]
fn no_text_makes_the_parser_panic() {
    for text in
        ["$[?(@.é == 'é')]", "$.é['\u{1f600}']", "$[?(@.a =~ /\\", "$['", "$[?(((", "é", "$[--1]"]
    {
        let _ = parse::path(text);
    }
    assert!(parse::path(&format!("$[?({}@.a)]", "!".repeat(10_000))).is_err());
    assert!(parse::path(&format!("$[?({}@.a)]", "(".repeat(10_000))).is_err());
}

proptest! {
    #[test]
    fn no_path_panics(path in r"[$@.a-c0-9\[\]()?!=~<>&|'/\\*, énu{}-]{0,30}") {
        if let Ok(path) = parse::path(&path).map(JsonPath) {
            let _ = path.select(&json::parse(r#"{"a":{"b":[1,"c"]}}"#).unwrap());
        }
    }
}
