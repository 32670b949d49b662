//! Parsing, rules, messages and the shape of answers, against what Java 4.3.1 answered. The files
//! in `tests/data` are recorded by the Java program beside them.

use super::validators::*;
use super::*;
use serde_json::Value as Json;
use std::path::Path;

fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn type_named(name: &str) -> Type {
    use Type::*;
    let types = [Boolean, String, Int, Short, Long, Double, List, Class, Password];
    types.into_iter().find(|t| t.to_string() == name).unwrap()
}

fn rule_named(name: &str) -> Option<Validator> {
    let greek = "a b c alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu";
    Some(match name {
        "" => return None,
        "between(1, 10)" => between(1, 10),
        "between(0.0, 1.0)" => between(0.0, 1.0),
        "at_least(1)" => at_least(1),
        "at_least(0L)" => at_least(0_i64),
        "one_of(a, b)" => one_of(["a", "b"]),
        "one_of_ignore_case(3)" => one_of_ignore_case(["interval", "poll", "connector"]),
        "one_of_ignore_case(2)" => one_of_ignore_case(["requested", "required"]),
        "one_of_ignore_case(15)" => one_of_ignore_case(greek.split(' ')),
        "one_of_ignore_case(bucket)" => one_of_ignore_case(["BB", "AA", "Q", "a", "aa"]),
        "non_empty_string" => non_empty_string(),
        "without_control_chars" => non_empty_string_without_control_chars(),
        "non_null" => non_null(),
        "list_size_limit(2)" => list_size_limit(2),
        "list_of(a, b)" => list_of(["a", "b"]),
        "non_empty_list_of(a, b)" => non_empty_list_of(["a", "b"]),
        "unique_list" => unique_list(),
        "non_empty_list" => non_empty_list(),
        "or_null(non_empty_list)" => non_empty_list().or_null(),
        "all_of" => all_of([non_empty_string(), one_of(["a", "b"])]),
        other => panic!("no rule {other}"),
    })
}

#[test]
fn settings_and_messages_are_those_of_java() {
    let lines = recorded("settings.jsonl");
    for line in lines.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let rule = rule_named(case["rule"].as_str().unwrap());
        let printed = rule.as_ref().map_or("null".to_owned(), ToString::to_string);
        assert_eq!(case["prints"], printed.as_str(), "{line}");
        let mut key = ConfigKey::new("k", type_named(case["type"].as_str().unwrap()));
        key.validator = rule;
        let def = ConfigDef::default().define(key);
        let given: Props =
            case["text"].as_str().map(|t| ("k".into(), t.into())).into_iter().collect();

        match def.parse(&given) {
            Ok(values) => {
                let text = values.setting("k").unwrap().text();
                assert_eq!(case["parsed"].as_str(), text.as_deref(), "{line}");
            }
            Err(error) => {
                assert_eq!(error.kind(), crate::ErrorKind::Config);
                assert_eq!(case["error"], error.to_string().as_str(), "{line}");
            }
        }
        let found = def.validate(&given).remove(0);
        assert_eq!(case["value"].as_str(), found.value.text().as_deref(), "{line}");
        assert_eq!(case["errors"], Json::from(found.errors), "{line}");
    }
    assert!(lines.lines().count() > 150);
}

#[test]
fn answers_are_those_of_java() {
    let child = ConfigDef::default()
        .define(low("zlow", Type::Int).default(1).validator(at_least(0)))
        .define(low("ahigh", Type::String).importance(Importance::High).default(Setting::Null))
        .define(low("req", Type::String).validator(non_empty_string()))
        .define(
            grouped("g2", Type::String, "G", 9, "Late")
                .importance(Importance::High)
                .width(Width::Long)
                .default(""),
        )
        .define(
            grouped("g1", Type::String, "G", 3, "Gee")
                .width(Width::Long)
                .default("")
                .dependents(["zlow"]),
        );
    let outer = ConfigDef::default()
        .define(low("first", Type::String).importance(Importance::High))
        .embed("t.a.", "Transforms: a", 2, child);

    let suggest = || {
        Recommender::fixed(["p", "q"])
            .visible_if(|values| values.setting("c").is_some_and(|c| !c.is_null()))
    };
    let high = |name, value_type, order, display| {
        grouped(name, value_type, "G", order, display)
            .width(Width::Short)
            .importance(Importance::High)
    };
    let dependent = ConfigDef::default()
        .define(high("a", Type::String, 1, "A").default("").dependents(["c", "gone"]))
        .define(high("b", Type::String, 2, "B").default("").dependents(["c"]))
        .define(high("c", Type::Int, 3, "C").recommender(suggest()))
        .define(grouped("l", Type::List, "G2", 1, "L").default("x,y").recommender(suggest()))
        .define(low("pw", Type::Password).default("dflt"))
        .define(low("cl", Type::Class).default("java.util.Map$Entry"));

    let answer = |def: &ConfigDef, given: &[(&str, &str)]| {
        ConfigInfos::new("C", def, def.validate(&props(given)))
    };
    let ours = [
        answer(&outer, &[("t.a.zlow", "-1"), ("t.a.req", "")]),
        answer(&dependent, &[("c", "x"), ("pw", "s3")]),
        answer(&dependent, &[("c", "1"), ("l", "")]),
    ];
    // As text, so that the order of the fields counts.
    let java: Json = serde_json::from_str(&recorded("infos.json")).unwrap();
    let ours: Json = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&ours).unwrap(),
        serde_json::to_string_pretty(&java).unwrap()
    );
    let error = dependent.parse(&Props::new()).unwrap_err();
    assert_eq!(
        error.message(),
        "Some configurations in are referred in the dependents, but not defined: gone"
    );
}

fn low(name: &str, value_type: Type) -> ConfigKey {
    ConfigKey::new(name, value_type).importance(Importance::Low).documentation("d")
}

fn grouped(name: &str, value_type: Type, group: &str, order: i32, display: &str) -> ConfigKey {
    low(name, value_type).group(group, order).display_name(display)
}

#[test]
fn keys_in_a_circle_end() {
    let def = ConfigDef::default()
        .define(low("root", Type::Int).dependents(["a"]))
        .define(low("a", Type::Int).dependents(["b"]))
        .define(low("b", Type::Int).dependents(["a"]));
    let found = def.validate(&props(&[("root", "1"), ("a", "x"), ("b", "2")]));
    let errors: Vec<usize> = found.iter().map(|value| value.errors.len()).collect();
    assert_eq!(errors, [0, 1, 0]);
}

#[test]
fn nested_keys_keep_their_order_and_groups() {
    let child =
        ConfigDef::default().define(low("b", Type::Int).group("G", 1).dependents(["a"])).define(
            low("a", Type::Int)
                .default(3)
                .validator(at_least(1))
                .recommender(Recommender::new(|values| Ok(vec![values.get::<i32>("b")?.into()]))),
        );
    let def = ConfigDef::default().define(low("z", Type::Int).default(0)).nest("sub.", child);
    let names: Vec<&str> = def.keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["z", "sub.b", "sub.a"]);
    assert_eq!(def.get("sub.b").unwrap().group.as_deref(), Some("G"));
    assert_eq!(def.get("sub.a").unwrap().display_name, "sub.a");

    let found = def.validate(&props(&[("sub.b", "7"), ("sub.a", "0")]));
    let error = "Invalid value 0 for configuration sub.a: Value must be at least 1";
    assert_eq!(found[2].errors, [error]);
    assert_eq!(found[2].recommended_values, [Setting::Int(7)]);
}

#[test]
fn a_failing_recommender_is_an_error_of_its_key() {
    let key = low("k", Type::Int)
        .default(1)
        .recommender(Recommender::new(|v| v.get::<String>("k").map(|text| vec![text.into()])));
    let found = ConfigDef::default().define(key).validate(&Props::new()).remove(0);
    assert_eq!(found.errors, ["configuration k is 1, which is no alloc::string::String"]);
}

#[test]
#[should_panic(expected = "Configuration k is defined twice.")]
fn a_key_is_defined_once() {
    let _ = ConfigDef::default().define(low("k", Type::Int)).define(low("k", Type::Long));
}

#[test]
#[should_panic(expected = "Invalid value 0 for configuration k: Value must be at least 1")]
fn a_default_keeps_the_rule() {
    let _ = ConfigDef::default().define(low("k", Type::Int).default(0).validator(at_least(1)));
}

#[test]
fn secrets_stay_hidden() {
    let def = ConfigDef::default().define(low("pw", Type::Password));
    let values = def.parse(&props(&[("pw", " hunter2 ")])).unwrap();
    let shown = format!("{values:?} {def:?} {:?}", def.validate(&props(&[("pw", "hunter2")])));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(values.get::<Password>("pw").unwrap().value(), "hunter2");
    let error = invalid_value("pw", values.setting("pw").unwrap(), "no");
    assert_eq!(error.message(), "Invalid value [hidden] for configuration pw: no");
}

#[test]
fn unknown_keys_come_with_the_nearest_known_one() {
    let def = ["topics", "topics.regex", "file", "batch.size", "tasks.max"]
        .into_iter()
        .fold(ConfigDef::default(), |def, name| def.define(low(name, Type::String)));
    let nearest = |given: &str| {
        let unknown = def.unknown_keys(&props(&[(given, "")]));
        unknown.first().map(|unknown| unknown.nearest.clone().unwrap_or_default())
    };
    for (given, expected) in [
        ("topics", None),
        ("topcis", Some("topics")),
        ("topic", Some("topics")),
        ("Topics", Some("topics")),
        ("batchsize", Some("batch.size")),
        ("batch_size", Some("batch.size")),
        ("task.max", Some("tasks.max")),
        ("connection.url", Some("")),
        ("", Some("")),
    ] {
        assert_eq!(nearest(given).as_deref(), expected, "{given}");
    }
}

#[test]
fn urls() {
    let rule = url(["http", "https"]);
    let check = |text: &str| rule.ensure_valid("u", &text.into()).map_err(|e| e.to_string());
    for fine in ["http://a", "HTTPS://a:1/b"] {
        assert_eq!(check(fine), Ok(()));
    }
    for bad in ["", "a", "ftp://a", "http://", "http:///", "http://a b"] {
        let reason = "Not a URL; write SCHEME://… with one of these schemes: http, https";
        let message = format!("Invalid value {bad} for configuration u: {reason}");
        assert_eq!(check(bad), Err(message));
    }
}

mod properties_files {
    use super::super::properties::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_read_as_in_java() {
        for line in recorded("properties.jsonl").lines() {
            let case: Json = serde_json::from_str(line).unwrap();
            let bytes: Vec<u8> = case["text"].as_str().unwrap().chars().map(|c| c as u8).collect();
            match parse_latin1(&bytes, "x.properties") {
                Ok(props) => assert_eq!(case["props"], serde_json::json!(props), "{line}"),
                Err(error) => {
                    let java = case["error"].as_str().unwrap_or_else(|| panic!("{line} {error}"));
                    let java = java.trim_end_matches('.');
                    assert!(error.message().starts_with(java), "{line} {error}");
                }
            }
        }
    }

    #[test]
    fn errors_name_file_and_line() {
        let error = parse("# one\na=b\\\n  c\n\nd = \\\n  \\u12\n", "w.properties").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Malformed \\uxxxx encoding; write four hexadecimal digits after \\u, \
             or double the backslash (file: w.properties, line: 5)"
        );
        let error = parse("a=\\ud83d", "w.properties").unwrap_err().to_string();
        assert!(error.contains("surrogate") && error.ends_with("line: 1)"), "{error}");
        let error = read("/no/such.properties").unwrap_err().to_string();
        assert!(error.ends_with("(file: /no/such.properties)"), "{error}");
    }

    const TEXT: &str = "\\PC{0,9}|[ =:#!\\\\\t\n\r\x0cäß😀az]{0,12}";

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            pairs in proptest::collection::btree_map(TEXT, TEXT, 0..5)
        ) {
            let text = to_text(&pairs);
            prop_assert!(text.is_ascii());
            prop_assert_eq!(parse(&text, "x").unwrap(), pairs.clone());
            prop_assert_eq!(parse_latin1(text.as_bytes(), "x").unwrap(), pairs);
        }

        #[test]
        fn no_text_is_too_odd(text in "[\\\\u0-9a#!=: \t\n\r\x0c]{0,40}|\\PC{0,40}") {
            let _ = parse(&text, "x");
        }

        #[test]
        fn parsing_and_validating_agree(text in "[-+0-9a-eE., \tdfx]{0,9}|true|\\PC{0,9}") {
            for name in ["BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS"] {
                let def = ConfigDef::default().define(low("k", type_named(name)));
                let given = props(&[("k", &text)]);
                let found = def.validate(&given).remove(0);
                match def.parse(&given) {
                    Ok(values) => {
                        prop_assert_eq!(&found.errors, &Vec::<String>::new());
                        let value = values.setting("k").unwrap();
                        prop_assert_eq!(value.to_string(), found.value.to_string());
                        // What REST shows can be configured again.
                        let again = props(&[("k", &value.text().unwrap_or_default())]);
                        let again = def.parse(&again).unwrap();
                        let again = again.setting("k").unwrap();
                        prop_assert_eq!(again.to_string(), value.to_string());
                    }
                    Err(error) => prop_assert_eq!(found.errors, [error.to_string()]),
                }
            }
        }
    }
}
