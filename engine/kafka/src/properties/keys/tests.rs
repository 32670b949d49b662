//! Whether the table of keys is Java's, and the one for people ours.

use super::*;
use crate::properties::Reader;

/// One of Java's keys, as `java/ClientKeys.java` prints it.
pub(crate) struct JavaKey {
    pub(crate) role: Role,
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) default: &'static str,
    pub(crate) valid: &'static str,
}

pub(crate) fn java_keys() -> Vec<JavaKey> {
    let lines = include_str!("../java/keys.tsv").lines();
    lines
        .map(|line| {
            let [role, name, kind, default, valid] =
                line.split('\t').collect::<Vec<_>>()[..].try_into().expect("five columns");
            let role = [Producer, Consumer, Admin]
                .into_iter()
                .find(|known| known.name() == role)
                .expect("a client of Java's");
            JavaKey { role, name, kind, default, valid }
        })
        .collect()
}

#[test]
fn no_key_of_java_is_forgotten() {
    let java = java_keys();
    for key in &java {
        let known = find(key.name).unwrap_or_else(|| panic!("{} has no fate", key.name));
        assert!(known.roles.contains(&key.role), "{} of the {}", key.name, key.role.name());
        let kind = format!("{:?}", known.kind).to_uppercase();
        let is_text = !["BOOLEAN", "DOUBLE", "INT", "LONG", "SHORT"].contains(&key.kind);
        assert_eq!(kind, if is_text { "TEXT" } else { key.kind }, "{}", key.name);
    }
    let named = KEYS.iter().map(|key| key.roles.len()).sum::<usize>();
    assert_eq!(named, java.len(), "keys that Java does not have");
    assert!(KEYS.is_sorted_by_key(|key| key.name));
}

#[test]
fn unused_keys_are_named_with_the_reason() {
    let properties = [
        "no.such.key",
        "value.serializer",
        "metrics.context.a",
        "linger.ms",
        "interceptor.classes",
        "max.poll.records",
    ];
    let properties = properties.map(|key| (key.to_owned(), "1".to_owned())).into();
    let mut reader = Reader::new(&properties);
    reader.text("linger.ms");
    let unused = reader.unused(Producer, Backend::Librdkafka).unwrap();
    assert_eq!(unused.unknown, ["max.poll.records", "no.such.key"]);
    assert_eq!(unused.ignored, ["interceptor.classes is ignored: Java code cannot be loaded"]);
}

/// `docs/client-properties.md`.
#[test]
fn the_table_for_people_is_current() {
    let mut text = String::from(
        "# Properties of the Kafka clients\n\n\
         All keys of the producer, consumer and admin client of Kafka 4.3, and what becomes of \
         each. This page is\nwritten by a test from `engine/kafka/src/properties/keys.rs`; \
         `UPDATE_EXPECT=1 cargo test -p millrace-kafka --lib\nproperties` renews it.\n\n\
         Two clients reach a Kafka cluster, and the worker's property `kafka.client` chooses: \
         `native`, our own,\nunless told otherwise, or `librdkafka`, where the feature `rdkafka` \
         built it in. \"its x\" names the key of\nlibrdkafka that a key becomes there.\n\n\
         | key | clients | type, Java's default | `kafka.client=native` | \
         `kafka.client=librdkafka` |\n|---|---|---|---|---|\n",
    );
    let java = java_keys();
    for key in KEYS {
        let of_java: Vec<_> = java.iter().filter(|java| java.name == key.name).collect();
        let roles: Vec<_> = key.roles.iter().map(|role| role.name()).collect();
        let mut defaults: Vec<_> = of_java
            .iter()
            .map(|java| java.default.replace("class ", "").replace("org.apache.kafka.", "…"))
            .collect();
        defaults.dedup();
        let defaults = defaults.join(" or ");
        let [native, librdkafka] =
            [Backend::Native, Backend::Librdkafka].map(|backend| match key.fate(backend) {
                AsInJava => "as in Java".to_owned(),
                Translated(names) => format!("its {names}"),
                Ours(what) => what.to_owned(),
                Silent(why) => format!("without meaning: {why}"),
                Warned(why) => format!("ignored with a warning: {why}"),
            });
        let (name, kind, roles) = (key.name, of_java[0].kind.to_lowercase(), roles.join(", "));
        text +=
            &format!("| `{name}` | {roles} | {kind}, `{defaults}` | {native} | {librdkafka} |\n");
    }
    expect_test::expect_file!["../../../../../docs/client-properties.md"].assert_eq(&text);
}
