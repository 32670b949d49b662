//! Checks a connector's configuration without opening anything: the framework's keys, those of
//! transformations and converters, and the connector's own
//! (`AbstractHerder.validateConnectorConfig` in Java).

use std::collections::BTreeMap;

use millrace_api::config::{
    ConfigDef, ConfigError, ConfigInfo, ConfigInfos, ConfigKey, ConfigValue, Importance,
    Recommender, Setting, Type, Width,
};
use millrace_api::{Error, ErrorKind, PluginKind, Props, Result};

use crate::catalog::Catalog;
use crate::config::clients::below;
use crate::config::connector::{check_sink, definition};
use crate::config::worker::WorkerConfig;

/// Checks a connector's configuration. An error means that there is nothing to check: no class, or
/// one that does not exist.
pub(crate) fn validate(
    catalog: &Catalog,
    worker: &WorkerConfig,
    props: &Props,
) -> Result<ConfigInfos> {
    let Some(class) = props.get("connector.class").map(|c| c.trim()) else {
        let shown: Vec<&str> = props.keys().map(String::as_str).collect();
        let shown = shown.join(", ");
        return Err(Error::config(format!(
            "Connector config {{{shown}}} contains no connector type"
        )));
    };
    let plugin = catalog.connector(class)?;
    let mut errors = Errors::default();
    let framework = with_worker_converters(catalog, worker, definition(plugin.kind()));
    let framework = with_chain(catalog, framework, props, &mut errors);
    let mut infos = ConfigInfos { name: class.to_owned(), ..ConfigInfos::default() };
    if plugin.kind() == PluginKind::Sink {
        errors.extend(check_sink(props));
    }
    for key in ["key.converter", "value.converter", "header.converter"] {
        check_converter(catalog, key, props, &mut errors);
    }
    errors.extend(plugin.validate(props));
    let own = plugin.config_def();
    let values = framework.validate(props);
    errors.add_to(&mut infos, &framework, values);
    let values = own.validate(props);
    errors.add_to(&mut infos, &own, values);
    let converters = ["header.converter", "key.converter", "value.converter"];
    for key in converters {
        add_converter(catalog, key, props, &mut infos);
    }
    errors.add_rest(&mut infos);
    Ok(infos)
}

/// Errors found beyond single keys, by key.
#[derive(Default)]
struct Errors(BTreeMap<String, Vec<String>>);

impl Errors {
    fn push(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.0.entry(key.into()).or_default().push(message.into());
    }

    fn extend(&mut self, errors: Vec<ConfigError>) {
        for error in errors {
            self.push(error.key, error.message);
        }
    }

    /// Adds keys of one definition to the answer, each with all that was found about it.
    fn add_to(&mut self, infos: &mut ConfigInfos, def: &ConfigDef, mut values: Vec<ConfigValue>) {
        for value in &mut values {
            value.errors.extend(self.0.remove(&value.name).unwrap_or_default());
        }
        append(infos, ConfigInfos::new("", def, values));
    }

    /// Errors of keys that nobody defines come first in the answer.
    fn add_rest(self, infos: &mut ConfigInfos) {
        for (key, messages) in self.0 {
            infos.error_count += messages.len();
            let value = ConfigValue { errors: messages, ..ConfigValue::new(key) };
            infos.configs.insert(0, ConfigInfo { definition: None, value: Some(value.into()) });
        }
    }
}

fn append(infos: &mut ConfigInfos, more: ConfigInfos) {
    infos.error_count += more.error_count;
    infos.configs.extend(more.configs);
    for group in more.groups {
        if !infos.groups.contains(&group) {
            infos.groups.push(group);
        }
    }
}

/// The converters that a connector gets when it names none, and those there are.
fn with_worker_converters(catalog: &Catalog, worker: &WorkerConfig, def: ConfigDef) -> ConfigDef {
    def.keys().iter().cloned().fold(ConfigDef::default(), |def, key| {
        let default = match key.name.as_str() {
            "key.converter" => &worker.key_converter,
            "value.converter" => &worker.value_converter,
            "header.converter" => &worker.header_converter,
            _ => return def.define(key),
        };
        let known = classes(catalog, converter_kind(&key.name));
        def.define(key.default(default.clone()).recommender(known))
    })
}

/// Recommends every class of this kind.
fn classes(catalog: &Catalog, kind: PluginKind) -> Recommender {
    let plugins = catalog.plugins().iter().filter(|plugin| plugin.kind() == kind);
    let mut classes: Vec<String> = plugins.map(|plugin| plugin.class().to_owned()).collect();
    classes.sort();
    Recommender::fixed(classes)
}

/// Adds the keys of the transformations and predicates that a configuration names.
fn with_chain(
    catalog: &Catalog,
    mut def: ConfigDef,
    props: &Props,
    errors: &mut Errors,
) -> ConfigDef {
    let sections = [
        ("transforms", "Transforms", PluginKind::Transformation),
        ("predicates", "Predicates", PluginKind::Predicate),
    ];
    for (list, group, kind) in sections {
        let aliases = props.get(list).map_or("", |v| v.trim());
        let mut seen = Vec::new();
        for alias in aliases.split(',').map(str::trim).filter(|a| !a.is_empty()) {
            if seen.contains(&alias) {
                continue;
            }
            seen.push(alias);
            let prefix = format!("{list}.{alias}.");
            let group = format!("{group}: {alias}");
            let key = format!("{prefix}type");
            def =
                def.define(type_key(&key, &group, alias, kind).recommender(classes(catalog, kind)));
            let mut own = match kind {
                PluginKind::Transformation => {
                    ConfigDef::default().define(negate_key()).define(predicate_key())
                }
                _ => ConfigDef::default(),
            };
            match props.get(&key).map(|class| catalog.plugin(kind, &key, class.trim())) {
                Some(Ok(plugin)) => {
                    let keys = plugin.config_def().keys().to_vec();
                    let keys = keys
                        .into_iter()
                        .filter(|key| !matches!(&*key.name, "negate" | "predicate"));
                    own = keys.fold(own, ConfigDef::define);
                }
                Some(Err(e)) => errors.push(&key, e.message()),
                None => {}
            }
            // The first two places are those of class and version.
            def = def.embed(&prefix, &group, 2, own);
            let given = |name: &str| props.contains_key(&format!("{prefix}{name}"));
            if kind == PluginKind::Transformation && given("negate") && !given("predicate") {
                errors.push(
                    key,
                    format!(
                        "Config '{prefix}negate' was provided but there is no config \
                         '{prefix}predicate' defining a predicate to be negated."
                    ),
                );
            }
        }
    }
    def
}

fn type_key(key: &str, group: &str, alias: &str, kind: PluginKind) -> ConfigKey {
    let (noun, title) = match kind {
        PluginKind::Predicate => ("predicate", "Predicate"),
        _ => ("transformation", "Transformation"),
    };
    ConfigKey::new(key, Type::Class)
        .importance(Importance::High)
        .documentation(format!("Class for the '{alias}' {noun}."))
        .group(group, 0)
        .width(Width::Long)
        .display_name(format!("{title} type for {alias}"))
}

fn negate_key() -> ConfigKey {
    ConfigKey::new("negate", Type::Boolean)
        .default(false)
        .importance(Importance::Medium)
        .documentation("Whether the configured predicate should be negated.")
}

fn predicate_key() -> ConfigKey {
    ConfigKey::new("predicate", Type::String)
        .default(Setting::Null)
        .importance(Importance::Medium)
        .documentation(
            "The alias of a predicate used to determine whether to apply this transformation.",
        )
}

fn converter_kind(key: &str) -> PluginKind {
    match key {
        "header.converter" => PluginKind::HeaderConverter,
        _ => PluginKind::Converter,
    }
}

fn check_converter(catalog: &Catalog, key: &str, props: &Props, errors: &mut Errors) {
    if let Some(class) = props.get(key)
        && let Err(e) = catalog.plugin(converter_kind(key), key, class.trim())
    {
        errors.push(key, e.message());
    }
}

/// Adds the keys of a converter that the connector itself names.
fn add_converter(catalog: &Catalog, key: &str, props: &Props, infos: &mut ConfigInfos) {
    let Some(plugin) = props
        .get(key)
        .and_then(|class| catalog.plugin(converter_kind(key), key, class.trim()).ok())
    else {
        return;
    };
    let prefix = format!("{key}.");
    let def = plugin.config_def();
    let mut own: Props = below(props, &prefix).collect();
    let role = key.trim_end_matches(".converter");
    own.insert("converter.type".into(), role.into());
    let mut more = ConfigInfos::new("", &def, def.validate(&own));
    for config in &mut more.configs {
        if let Some(definition) = &mut config.definition {
            definition.name.insert_str(0, &prefix);
        }
        if let Some(value) = &mut config.value {
            value.name.insert_str(0, &prefix);
        }
    }
    more.groups.sort_by_cached_key(|group| bucket(group));
    append(infos, more);
}

/// Where a string lies in a small Java `HashSet`, in which Java collects a converter's groups.
fn bucket(text: &str) -> u32 {
    let step = |hash: u32, unit: u16| hash.wrapping_mul(31).wrapping_add(u32::from(unit));
    let hash = text.encode_utf16().fold(0, step);
    (hash ^ (hash >> 16)) % 16
}

/// Fails with all that is wrong, as Java answers a create request with 400.
pub(crate) fn require_valid(infos: &ConfigInfos) -> Result<()> {
    if infos.error_count == 0 {
        return Ok(());
    }
    let values = infos.configs.iter().filter_map(|config| config.value.as_ref());
    let messages: Vec<&str> =
        values.flat_map(|value| value.errors.iter().map(String::as_str)).collect();
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "Connector configuration is invalid and contains the following {} error(s):\n{}\n\
             You can also find the above list of errors at the endpoint \
             `/connector-plugins/{{connectorType}}/config/validate`",
            infos.error_count,
            messages.join("\n")
        ),
    ))
}
