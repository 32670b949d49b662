//! What the derives make of structs and enums: the definition, and the typed values.
#![allow(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

use millrace_api::config::validators::{at_least, list_size_limit, non_empty_string, one_of};
use millrace_api::config::{
    ClassName, Config, ConfigDef, ConfigEnum, Importance, Password, Props, Recommender, Setting,
    Type, Validator, Width,
};

#[derive(Debug, PartialEq, Config)]
struct FileSourceConfig {
    /// Source filename. If not specified, the standard input will be used
    #[config(key = "file", importance = High, default = None)]
    file: Option<String>,
    /// The topic to publish data to
    #[config(key = "topic", importance = High, validate = non_empty_string)]
    topic: String,
    /// The maximum number of records the source task can read from the file
    /// each time it is polled
    #[config(key = "batch.size", importance = Low, default = 2000)]
    batch_size: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
enum Mode {
    Bulk,
    #[config(name = "timestamp+incrementing")]
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, ConfigEnum)]
#[config(ignore_case)]
enum Boundary {
    Poll,
    Interval,
}

const GROUP: &str = "Connector";
const DEFAULT_RETRIES: i16 = 3;

fn even() -> Validator {
    Validator::new("even", |value| match value.as_f64() {
        Some(n) if n % 2.0 == 0.0 => Ok(()),
        _ => Err("Value must be even".to_owned()),
    })
}

fn modes() -> Recommender {
    Recommender::fixed(["bulk"]).visible_if(|values| values.get::<bool>("on").unwrap_or(false))
}

/// One field of each type, and each attribute.
#[derive(Debug, PartialEq, Config)]
struct Everything {
    /// On.
    #[config(key = "on", default = true, group = "Database", dependents = ["mode"])]
    on: bool,
    /// First paragraph,
    /// going on.
    ///
    /// Second.
    #[config(key = "retries", importance = Medium, default = DEFAULT_RETRIES)]
    #[config(validate = at_least(0), group = GROUP, width = Short, display = "Retries")]
    retries: i16,
    /// Long.
    #[config(key = "long", default = 60_000, validate = even, group = GROUP)]
    long: i64,
    /// Double.
    #[config(key = "double", default = 0.5, group = GROUP, order = 7)]
    double: f64,
    /// List.
    #[config(key = "list", default = "a, b", validate = list_size_limit(3), group = GROUP)]
    list: Vec<String>,
    /// Secret.
    #[config(key = "password", default = "x", group = "Database")]
    password: Password,
    /// Class.
    #[config(key = "class", default = "a.B", internal)]
    class: ClassName,
    /// Mode.
    #[config(key = "mode", default = Mode::Bulk, recommender = modes)]
    mode: Mode,
    /// Boundary.
    #[config(key = "boundary")]
    boundary: Option<Boundary>,
    /// Optional, and not null unless said.
    #[config(key = "fallback", default = 5)]
    fallback: Option<i32>,
    /// Optional choice.
    #[config(key = "choice", validate = one_of(["a", "b"]).or_null())]
    choice: Option<String>,
    /// Optional list.
    #[config(key = "columns")]
    columns: Option<Vec<String>>,
    #[config(nested)]
    file: FileSourceConfig,
    #[config(nested, prefix = "second.")]
    second: FileSourceConfig,
}

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn message<T: Config>(pairs: &[(&str, &str)]) -> String {
    T::parse(&props(pairs)).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_definition_lists_what_the_struct_says() {
    let def = FileSourceConfig::config_def();
    let names: Vec<&str> = def.keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["file", "topic", "batch.size"]);
    let [file, topic, batch_size] = def.keys() else { panic!("three keys") };
    assert_eq!((file.value_type, file.default.clone()), (Type::String, Some(Setting::Null)));
    assert_eq!(
        file.documentation,
        "Source filename. If not specified, the standard input will be used"
    );
    assert!(topic.is_required());
    assert_eq!(topic.validator.as_ref().unwrap().to_string(), "non-empty string");
    assert_eq!(topic.importance, Importance::High);
    assert_eq!(batch_size.default, Some(Setting::Int(2000)));
    assert_eq!(
        batch_size.documentation,
        "The maximum number of records the source task can read from the file \
         each time it is polled"
    );
    assert_eq!(
        (topic.group.as_deref(), topic.order_in_group, topic.width),
        (None, -1, Width::None)
    );
}

#[test]
fn required_optional_and_wrong_values() {
    let config = FileSourceConfig::parse(&props(&[("topic", " t "), ("other", "x")])).unwrap();
    let expected = FileSourceConfig { file: None, topic: "t".to_owned(), batch_size: 2000 };
    assert_eq!(config, expected);

    for (given, expected) in [
        (&[][..], r#"Missing required configuration "topic" which has no default value."#),
        (&[("topic", "")], "Invalid value  for configuration topic: String must be non-empty"),
        (
            &[("topic", "t"), ("batch.size", "x")],
            "Invalid value x for configuration batch.size: Not a number of type INT",
        ),
    ] {
        assert_eq!(message::<FileSourceConfig>(given), expected);
    }
}

#[test]
fn each_type_and_attribute() {
    let def = Everything::config_def();
    let places: Vec<(&str, &str, i32)> = def
        .keys()
        .iter()
        .filter_map(|key| Some((&*key.name, key.group.as_deref()?, key.order_in_group)))
        .collect();
    assert_eq!(
        places,
        [
            ("on", "Database", 1),
            ("retries", "Connector", 1),
            ("long", "Connector", 2),
            ("double", "Connector", 7),
            ("list", "Connector", 8),
            ("password", "Database", 2),
        ]
    );
    let retries = def.get("retries").unwrap();
    assert_eq!(retries.documentation, "First paragraph, going on.\nSecond.");
    assert_eq!((retries.width, retries.display_name.as_str()), (Width::Short, "Retries"));
    assert_eq!((retries.value_type, &retries.default), (Type::Short, &Some(Setting::Short(3))));
    assert_eq!(def.get("on").unwrap().dependents, ["mode"]);
    assert!(def.get("class").unwrap().internal);
    let mode = def.get("mode").unwrap();
    assert_eq!(mode.validator.as_ref().unwrap().to_string(), "[bulk, timestamp+incrementing]");
    let last: Vec<&str> = def.keys()[12..].iter().map(|key| key.name.as_str()).collect();
    let expected =
        ["file", "topic", "batch.size", "second.file", "second.topic", "second.batch.size"];
    assert_eq!(last, expected);
}

#[test]
fn typed_values() {
    let base = [("topic", "t"), ("second.topic", "u")];
    let config = Everything::parse(&props(&base)).unwrap();
    assert_eq!((config.on, config.retries, config.long, config.double), (true, 3, 60_000, 0.5));
    assert_eq!(config.list, ["a", "b"]);
    assert_eq!((config.password.value(), config.class.as_str()), ("x", "a.B"));
    assert_eq!((config.mode, config.boundary, config.fallback), (Mode::Bulk, None, Some(5)));
    assert_eq!((config.file.topic.as_str(), config.second.topic.as_str()), ("t", "u"));
    assert!(!format!("{config:?}").contains("\"x\""), "the password shows");

    let mut given = props(&base);
    given.extend(props(&[("mode", "timestamp+incrementing"), ("boundary", "inTERval")]));
    given.extend(props(&[
        ("columns", ""),
        ("choice", "b"),
        ("on", "FALSE"),
        ("second.batch.size", "1"),
    ]));
    let config = Everything::parse(&given).unwrap();
    assert_eq!((config.mode, config.boundary), (Mode::Both, Some(Boundary::Interval)));
    assert_eq!((config.columns, config.choice), (Some(vec![]), Some("b".to_owned())));
    assert_eq!((config.on, config.second.batch_size, config.file.batch_size), (false, 1, 2000));
}

#[test]
fn rules_speak_up() {
    for (key, value, reason) in [
        ("mode", "Bulk", "String must be one of: bulk, timestamp+incrementing"),
        ("boundary", "x", "String must be one of (case insensitive): INTERVAL, POLL"),
        ("long", "3", "Value must be even"),
        ("retries", "-1", "Value must be at least 0"),
        ("choice", "c", "String must be one of: a, b"),
        ("second.batch.size", "", "Not a number of type INT"),
    ] {
        let given = [("topic", "t"), ("second.topic", "u"), (key, value)];
        let expected = format!("Invalid value {value} for configuration {key}: {reason}");
        assert_eq!(message::<Everything>(&given), expected);
    }
}

#[test]
fn recommenders_see_the_other_values() {
    let visible = |on: &str| {
        let found = Everything::config_def().validate(&props(&[("on", on)]));
        let mode = found.into_iter().find(|value| value.name == "mode").unwrap();
        assert_eq!(mode.recommended_values, [Setting::from("bulk")]);
        mode.visible
    };
    assert!(visible("true") && !visible("false"));
}

#[test]
fn embedded_keys_are_sorted_and_complain_without_prefix() {
    let def = ConfigDef::default().embed(
        "transforms.a.",
        "Transforms: a",
        4,
        FileSourceConfig::config_def(),
    );
    let names: Vec<(&str, i32)> =
        def.keys().iter().map(|key| (key.name.as_str(), key.order_in_group)).collect();
    assert_eq!(
        names,
        [("transforms.a.topic", 4), ("transforms.a.file", 5), ("transforms.a.batch.size", 6)]
    );
    let error = def.parse(&props(&[("transforms.a.topic", "")])).unwrap_err();
    assert_eq!(error.message(), "Invalid value  for configuration topic: String must be non-empty");
}
