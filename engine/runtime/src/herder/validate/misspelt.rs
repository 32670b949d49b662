//! Decides which names in a new configuration are probably a mistake, and what was meant. It is for
//! the log alone: answers keep to Java's words, and unknown keys are passed on as in Java.

use std::collections::BTreeSet;

use millrace_api::config::ConfigInfos;
use millrace_api::{PluginKind, Props};

use super::framework::{CONVERTERS, class_kind};
use crate::catalog::Catalog;
use crate::config::client_keys;
use crate::config::connector::error_keys;
use crate::config::meant::{self, is_of_the_other_role, meant};

/// Warns of classes that are not there, and of keys that nobody knows but that look like others.
/// `infos` is what the validation found, if it found the connector.
pub(super) fn warn(catalog: &Catalog, props: &Props, infos: Option<&ConfigInfos>) {
    let name = props.get("name").map_or("", String::as_str);
    for absent in absent_classes(catalog, props) {
        tracing::warn!("connector {name}: {absent}");
    }
    for (key, converter) in keys_of_no_converter(props) {
        tracing::warn!(
            "connector {name}: {key} has no effect without {converter}: a connector that does not \
             name the class uses the worker's converter with the worker's keys"
        );
    }
    let Some(infos) = infos else { return };
    for told in unknown_keys(props, infos) {
        tracing::warn!("connector {name}: {told}");
    }
}

/// The keys of converters that the connector does not name.
fn keys_of_no_converter(props: &Props) -> Vec<(&str, &'static str)> {
    // The version may choose among the worker's.
    let of = |key: &&String, converter: &str| {
        let rest = key.strip_prefix(converter);
        rest.is_some_and(|rest| rest.starts_with('.') && rest != ".plugin.version")
    };
    let unnamed = CONVERTERS.into_iter().filter(|(converter, _)| !props.contains_key(*converter));
    unnamed
        .flat_map(|(converter, _)| {
            let keys = props.keys().filter(move |key| of(key, converter));
            keys.map(move |key| (key.as_str(), converter))
        })
        .collect()
}

fn absent_classes(catalog: &Catalog, props: &Props) -> Vec<String> {
    let absent = |(key, class): (&String, &String)| {
        let (kinds, class) = (kinds(key)?, class.trim());
        // A variable is not looked up for this; a class of another kind, or a name that several
        // classes have, is told apart in the answer.
        let known = |name: &str| catalog.plugins().iter().any(|p| name_fits(p, name));
        if class.contains("${") || known(class) {
            return None;
        }
        let of_kind = catalog.plugins().iter().filter(|p| kinds.contains(&p.kind()));
        let names = of_kind.map(|plugin| match class.contains('.') {
            true => plugin.class().to_owned(),
            false => short(plugin.class()).to_owned(),
        });
        let written = if class.contains('.') { class } else { short(class) };
        let meant = meant(&names.collect(), written);
        let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        Some(format!(
            "{key}: {class} is not built into Millrace; `millrace plugins` lists what is{meant}"
        ))
    };
    props.iter().filter_map(absent).collect()
}

/// Whether a name is that of a plugin, or of a class around plugins.
fn name_fits(plugin: &millrace_api::Plugin, name: &str) -> bool {
    let inner = || plugin.class().strip_prefix(name).is_some_and(|rest| rest.starts_with('$'));
    plugin.answers_to(name) || inner()
}

/// The kinds of plugins that a key names the class of.
fn kinds(key: &str) -> Option<Vec<PluginKind>> {
    if key == "connector.class" {
        return Some(vec![PluginKind::Source, PluginKind::Sink]);
    }
    let of_chain = |list: &str| {
        let alias = key.strip_prefix(list)?.strip_suffix(".type")?;
        (!alias.is_empty()).then(|| vec![class_kind(key)])
    };
    let of_converter = || CONVERTERS.iter().find(|(converter, _)| *converter == key);
    let of_converter = || of_converter().map(|(_, kind)| vec![*kind]);
    of_chain("transforms.").or_else(|| of_chain("predicates.")).or_else(of_converter)
}

/// The part of a class's name in which classes of a kind differ.
fn short(class: &str) -> &str {
    let simple = class.rsplit('.').next().unwrap_or(class);
    let simple = simple.strip_suffix("Connector").unwrap_or(simple);
    simple.strip_suffix("Converter").filter(|rest| !rest.is_empty()).unwrap_or(simple)
}

/// What there is to say of the keys that nobody defines.
fn unknown_keys(props: &Props, infos: &ConfigInfos) -> Vec<String> {
    let defined = infos.configs.iter().filter_map(|config| config.definition.as_ref());
    let names = defined.map(|definition| definition.name.clone());
    let ours = client_keys::override_keys().chain(error_keys());
    let mut known: BTreeSet<String> = names.chain(ours).collect();
    let does_nothing = |key: &str| {
        CONVERTERS.iter().any(|(converter, _)| {
            let own = key.strip_prefix(converter).and_then(|rest| rest.strip_prefix('.'));
            own.is_some_and(|own| is_of_the_other_role(converter, own))
        })
    };
    known.retain(|key| !does_nothing(key));
    // Groups of topics have any names, and without a converter its keys are nobody's.
    let elsewhere = |key: &str| {
        let of_converter = |(converter, _): &(&str, _)| {
            key.strip_prefix(converter).is_some_and(|rest| rest.starts_with('.'))
                && !props.contains_key(*converter)
        };
        key.starts_with("topic.creation.") || key == "name" || CONVERTERS.iter().any(of_converter)
    };
    meant::unknown_keys(&known, props.keys().filter(|key| !elsewhere(key)))
}

#[cfg(test)]
mod tests {
    use millrace_api::config::{ConfigDef, ConfigInfos, ConfigKey, Type};

    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_is_for_keys_does_nothing_for_values() {
        let strategies = ["key.subject.name.strategy", "value.subject.name.strategy"];
        let names = strategies.map(|name| format!("value.converter.{name}"));
        let keys = names.iter().map(|name| ConfigKey::new(name.as_str(), Type::String));
        let def = keys.into_iter().fold(ConfigDef::default(), ConfigDef::define);
        let infos = ConfigInfos::new("c", &def, def.validate(&Props::new()));
        for wrong in ["subject.name.strategy", "key.subject.name.strategy"] {
            let wrong = format!("value.converter.{wrong}");
            let given = props(&[("value.converter", "c"), (&wrong, "x")]);
            let told = format!("unknown key {wrong}; did you mean {}?", names[1]);
            assert_eq!(unknown_keys(&given, &infos), [told]);
        }
    }

    #[test]
    fn keys_that_look_like_others_are_told() {
        let names = ["errors.tolerance", "batch.size", "transforms.a.field", "name", "topics"];
        let keys = names.map(|name| ConfigKey::new(name, Type::String));
        let def = keys.into_iter().fold(ConfigDef::default(), ConfigDef::define);
        let infos = ConfigInfos::new("c", &def, def.validate(&Props::new()));
        let given = props(&[
            ("name", "n"),
            ("batch.size", "1"),
            ("batch.siz", "1"),
            ("error.tolerance", "all"),
            ("errors.deadletterqueue.topic", "dlq"),
            ("transforms.a.feld", "f"),
            ("producer.override.lingr.ms", "1"),
            ("producer.override.linger.ms", "1"),
            ("producer.override.quite.another", "1"),
            ("value.converter.schemas.enable", "false"),
            ("transforms.a.other", "x"),
            ("for.the.plugin", "x"),
        ]);
        let expected = [
            ("batch.siz", "batch.size"),
            ("error.tolerance", "errors.tolerance"),
            ("errors.deadletterqueue.topic", "errors.deadletterqueue.topic.name"),
            ("producer.override.lingr.ms", "producer.override.linger.ms"),
            ("transforms.a.feld", "transforms.a.field"),
        ];
        let told = expected.map(|(key, meant)| format!("unknown key {key}; did you mean {meant}?"));
        assert_eq!(unknown_keys(&given, &infos), told);
    }

    #[test]
    fn keys_of_a_converter_that_is_not_named_are_told() {
        let url = "value.converter.schema.registry.url";
        let given = props(&[("key.converter", "x"), ("key.converter.y", "z"), (url, "u")]);
        assert_eq!(keys_of_no_converter(&given), [(url, "value.converter")]);
    }

    #[test]
    fn absent_classes_are_told() {
        let catalog = Catalog::new(millrace_converters::plugins());
        let told = |key: &str, class: &str| absent_classes(&catalog, &props(&[(key, class)]));
        let absent = |class: &str| {
            format!("{class} is not built into Millrace; `millrace plugins` lists what is")
        };
        let json = "org.apache.kafka.connect.json.JsonConverter";
        for (class, meant) in [
            ("JsnConverter", "Json"),
            ("org.apache.kafka.connect.json.JsonConvertor", json),
            ("org.apache.kafka.connect.jsn.JsonConverter", json),
        ] {
            let message = format!("value.converter: {}; did you mean {meant}?", absent(class));
            assert_eq!(told("value.converter", class), [message]);
        }
        for class in [json, "JsonConverter", "Json", "${env:CONVERTER}"] {
            assert!(told("value.converter", class).is_empty(), "{class}");
        }
        for key in ["connector.class", "transforms.a.type", "predicates.a.type"] {
            assert_eq!(told(key, "org.example.X"), [format!("{key}: {}", absent("org.example.X"))]);
        }
        assert!(told("transforms.a.field", "org.example.X").is_empty());
    }
}
