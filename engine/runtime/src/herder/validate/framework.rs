//! Decides which keys the framework has for a configuration: those of every connector with this
//! worker's defaults and suggestions, and those of the transformations and predicates it names
//! (`ConnectorConfig.enrichedConfigDef` and `enrich` in Java).

use millrace_api::config::{
    ConfigDef, ConfigError, ConfigKey, Importance, Recommender, Setting, Type, Width,
};
use millrace_api::{Plugin, PluginKind};

use super::Asked;
use crate::catalog::Class;
use crate::config::connector::{definition, plugin_version};
use crate::config::versions;

/// The keys of the three converters, and what they name.
pub(super) const CONVERTERS: [(&str, PluginKind); 3] = [
    ("key.converter", PluginKind::Converter),
    ("value.converter", PluginKind::Converter),
    ("header.converter", PluginKind::HeaderConverter),
];

/// The kind of plugin whose class is the value of a key.
pub(super) fn class_kind(key: &str) -> PluginKind {
    match key {
        "header.converter" => PluginKind::HeaderConverter,
        "key.converter" | "value.converter" => PluginKind::Converter,
        _ if key.starts_with("predicates.") => PluginKind::Predicate,
        _ => PluginKind::Transformation,
    }
}

/// The framework's keys, and what is wrong with the classes and versions that they have.
pub(super) struct Framework {
    pub(super) def: ConfigDef,
    pub(super) complaints: Vec<ConfigError>,
}

impl Asked<'_> {
    fn given(&self, key: &str) -> Option<&str> {
        self.props.get(key).map(String::as_str)
    }

    /// What the class of a key stands for; none when it has none.
    fn class(&self, kind: PluginKind, key: &str) -> Option<Class<'_>> {
        self.given(key).map(|name| self.catalog.class(kind, name.trim()))
    }

    /// Recommends every class of this kind.
    fn classes(&self, kind: PluginKind) -> Recommender {
        let plugins = self.catalog.plugins().iter().filter(|plugin| plugin.kind() == kind);
        Recommender::fixed(plugins.map(Plugin::class))
    }

    /// What Java says of the value of a key that should be the class of a plugin.
    fn class_complaint(&self, kind: PluginKind, key: &str) -> Option<String> {
        match self.class(kind, key)? {
            Class::Found(_) => None,
            Class::Unfit { complaint, .. } => Some(complaint),
            Class::Missing => {
                let name = self.given(key).unwrap_or_default();
                let reason = format!("Class {name} could not be found.");
                Some(format!("Invalid value {name} for configuration {key}: {reason}"))
            }
        }
    }
}

/// The framework's keys for a connector.
pub(super) fn framework(asked: Asked<'_>, plugin: &Plugin) -> Framework {
    let mut def = ConfigDef::default();
    for key in definition(plugin).keys() {
        def = def.define(with_worker(asked, key.clone(), plugin));
    }
    let mut framework = Framework { def, complaints: converter_complaints(asked) };
    framework.add_chain(asked, PluginKind::Transformation);
    framework.add_chain(asked, PluginKind::Predicate);
    framework
}

/// What is wrong with the classes of converters.
pub(super) fn converter_complaints(asked: Asked<'_>) -> Vec<ConfigError> {
    let complaint = |(key, kind): &(&str, PluginKind)| {
        let message = asked.class_complaint(*kind, key)?;
        Some(ConfigError { key: (*key).to_owned(), message })
    };
    CONVERTERS.iter().filter_map(complaint).collect()
}

/// A key of every connector with the defaults and suggestions of this worker.
fn with_worker(asked: Asked<'_>, key: ConfigKey, connector: &Plugin) -> ConfigKey {
    if key.name == "connector.plugin.version" {
        return key.recommender(Recommender::fixed([connector.version()]));
    }
    for (converter, kind) in CONVERTERS {
        if key.name == converter {
            let class = worker_converter(asked, converter);
            let class = asked.catalog.find(&[kind], class).map_or(class, |plugin| plugin.class());
            return key.default(class).recommender(asked.classes(kind));
        }
        if key.name.strip_suffix(".plugin.version") == Some(converter) {
            return with_version_of(asked, key, converter, kind);
        }
    }
    key
}

fn worker_converter<'a>(asked: Asked<'a>, key: &str) -> &'a str {
    match key {
        "key.converter" => asked.worker.key_converter.as_str(),
        "value.converter" => asked.worker.value_converter.as_str(),
        _ => asked.worker.header_converter.as_str(),
    }
}

/// The version key of a converter: by default that of the class in use; shown if there is one.
fn with_version_of(
    asked: Asked<'_>,
    version: ConfigKey,
    converter: &str,
    kind: PluginKind,
) -> ConfigKey {
    let version_of = |name: &str| match asked.catalog.class(kind, name.trim()) {
        Class::Found(plugin) => Some(plugin.version()),
        _ => None,
    };
    let of_worker = version_of(worker_converter(asked, converter));
    let own = asked.given(converter);
    let worker_default = asked.worker.props.get(&version.name).map(String::as_str).or(of_worker);
    let default = own.map_or(worker_default, version_of);
    let (shown, suggested) = match own {
        Some(name) => {
            let class = asked.catalog.class(kind, name.trim());
            (!matches!(class, Class::Missing), version_of(name))
        }
        None if asked.nulls.iter().any(|key| key == converter) => (false, None),
        None => (true, of_worker),
    };
    let suggestions = Recommender::fixed(suggested);
    version.default(default).recommender(suggestions.visible_if(move |_| shown))
}

impl Framework {
    fn complain(&mut self, key: &str, message: impl Into<String>) {
        self.complaints.push(ConfigError { key: key.to_owned(), message: message.into() });
    }

    /// Adds the keys of the transformations or predicates that the configuration names.
    fn add_chain(&mut self, asked: Asked<'_>, kind: PluginKind) {
        let list = match kind {
            PluginKind::Predicate => "predicates",
            _ => "transforms",
        };
        let Some(aliases) = asked.given(list) else {
            return;
        };
        let parsed = Type::List.parse(list, aliases);
        let mut aliases =
            parsed.ok().and_then(|l| l.as_list().map(<[_]>::to_vec)).unwrap_or_default();
        let mut seen = std::collections::HashSet::new();
        aliases.retain(|alias| seen.insert(alias.clone()));
        for alias in &aliases {
            self.add_alias(asked, kind, &Alias::new(kind, list, alias));
        }
    }

    fn add_alias(&mut self, asked: Asked<'_>, kind: PluginKind, alias: &Alias<'_>) {
        let plugin = match asked.class(kind, &alias.class_key) {
            Some(Class::Found(plugin)) => Some(plugin),
            _ => None,
        };
        let def = std::mem::take(&mut self.def);
        self.def = def
            .define(alias.class().recommender(asked.classes(kind)))
            .define(alias.version(plugin.map(Plugin::version)));
        let usable = self.check_alias(asked, kind, alias, plugin);
        if let Some(plugin) = usable {
            let implicit = match kind {
                PluginKind::Transformation => {
                    ConfigDef::default().define(predicate_key()).define(negate_key())
                }
                _ => ConfigDef::default(),
            };
            // The implicit keys mask the plugin's.
            let def = implicit.completed_by(plugin.config_def());
            // The first two places are those of class and version.
            self.def = std::mem::take(&mut self.def).embed(&alias.prefix, &alias.group, 2, def);
        }
    }

    /// Says what is wrong with class and version; the plugin, if its keys are to be shown.
    fn check_alias<'a>(
        &mut self,
        asked: Asked<'_>,
        kind: PluginKind,
        alias: &Alias<'_>,
        plugin: Option<&'a Plugin>,
    ) -> Option<&'a Plugin> {
        let complaint = asked.class_complaint(kind, &alias.class_key);
        let missing = matches!(asked.class(kind, &alias.class_key), Some(Class::Missing));
        let (unknown, unfit) = if missing { (complaint, None) } else { (None, complaint) };
        self.complaints.extend(unknown.map(|message| alias.complaint(message)));
        let wrong_version = match versions::requirement(asked.given(&alias.version_key)) {
            // The rule of the version's key says so, too.
            Err(complaint) => Some(complaint),
            Ok(range) => plugin.and_then(|plugin| {
                let complaint = asked.catalog.check_version(plugin, range.as_ref()).err()?;
                self.complain(&alias.version_key, &complaint);
                Some(complaint)
            }),
        };
        if let Some(complaint) = wrong_version {
            if !missing {
                self.complain(&alias.class_key, complaint);
            }
            return None;
        }
        let key = |name: &str| format!("{}{name}", alias.prefix);
        let (negate, predicate) = (key("negate"), key("predicate"));
        let has = |key: &String| asked.props.contains_key(key) || asked.nulls.contains(key);
        if kind == PluginKind::Transformation && has(&negate) && !has(&predicate) {
            self.complain(
                &alias.class_key,
                format!(
                    "Config '{negate}' was provided but there is no config '{predicate}' \
                     defining a predicate to be negated."
                ),
            );
        } else {
            self.complaints.extend(unfit.map(|message| alias.complaint(message)));
        }
        plugin
    }
}

/// A transformation or predicate by the name that a configuration gives it.
struct Alias<'a> {
    alias: &'a str,
    noun: &'static str,
    title: &'static str,
    prefix: String,
    group: String,
    class_key: String,
    version_key: String,
}

impl<'a> Alias<'a> {
    fn new(kind: PluginKind, list: &str, alias: &'a str) -> Self {
        let (noun, title, group) = match kind {
            PluginKind::Predicate => ("predicate", "Predicate", "Predicates"),
            _ => ("transformation", "Transformation", "Transforms"),
        };
        let prefix = format!("{list}.{alias}.");
        Self {
            alias,
            noun,
            title,
            group: format!("{group}: {alias}"),
            class_key: format!("{prefix}type"),
            version_key: format!("{prefix}plugin.version"),
            prefix,
        }
    }

    fn complaint(&self, message: String) -> ConfigError {
        ConfigError { key: self.class_key.clone(), message }
    }

    fn class(&self) -> ConfigKey {
        ConfigKey::new(&self.class_key, Type::Class)
            .importance(Importance::High)
            .documentation(format!("Class for the '{}' {}.", self.alias, self.noun))
            .group(&self.group, 0)
            .width(Width::Long)
            .display_name(format!("{} type for {}", self.title, self.alias))
    }

    fn version(&self, latest: Option<&'static str>) -> ConfigKey {
        ConfigKey::new(&self.version_key, Type::String)
            .default(latest)
            .validator(plugin_version())
            .importance(Importance::High)
            .documentation(format!("Version of the '{}' {}.", self.alias, self.noun))
            .group(&self.group, 1)
            .width(Width::Long)
            .display_name(format!("{} version for {}", self.title, self.alias))
            .recommender(Recommender::fixed(latest))
    }
}

fn negate_key() -> ConfigKey {
    ConfigKey::new("negate", Type::Boolean)
        .default(false)
        .documentation("Whether the configured predicate should be negated.")
}

fn predicate_key() -> ConfigKey {
    ConfigKey::new("predicate", Type::String).default(Setting::Null).documentation(
        "The alias of a predicate used to determine whether to apply this transformation.",
    )
}
