//! Makes what a task needs from the class names in its configuration: converters and the
//! transformation chain.

use std::collections::BTreeSet;

use millrace_api::config::invalid_value;
use millrace_api::{
    Converter, ConverterRole, Error, HeaderConverter, Open, Plugin, PluginKind, Predicate, Props,
    Result,
};

use crate::catalog::Catalog;
use crate::config::clients::{below, names};
use crate::config::connector::{CommonConfig, ConnectorConfig};
use crate::config::meant::{is_of_the_other_role, meant};
use crate::config::worker::WorkerConfig;
use crate::metrics::{Part, Parts};
use crate::task::chain::{Step, TransformationChain};
use crate::task::serde::{Converters, Named};
use crate::watched::Watched;

/// Which class a connector's converter is, and where its keys are.
struct Choice<'a> {
    key: &'static str,
    class: &'a str,
    props: Props,
}

/// A converter that the connector names takes its keys from the connector, else class and keys
/// both come from the worker: they are never mixed.
fn choose<'a>(
    key: &'static str,
    own: Option<&'a str>,
    connector: &Props,
    worker: &'a WorkerConfig,
) -> Choice<'a> {
    let prefix = format!("{key}.");
    let (class, props) = match (own, key) {
        (Some(class), _) => (class, connector),
        (None, "key.converter") => (worker.key_converter.as_str(), &worker.props),
        (None, "value.converter") => (worker.value_converter.as_str(), &worker.props),
        (None, _) => (worker.header_converter.as_str(), &worker.props),
    };
    Choice { key, class, props: below(props, &prefix).collect() }
}

/// The converters of a connector's tasks.
pub(crate) fn converters(
    catalog: &Catalog,
    worker: &WorkerConfig,
    common: &CommonConfig,
    connector: &Props,
) -> Result<Converters> {
    let own = |class: &'_ Option<millrace_api::config::ClassName>| {
        class.as_ref().map(|c| c.as_str().to_owned())
    };
    let (key, value, header) =
        (own(&common.key_converter), own(&common.value_converter), own(&common.header_converter));
    let key = choose("key.converter", key.as_deref(), connector, worker);
    let value = choose("value.converter", value.as_deref(), connector, worker);
    let header = choose("header.converter", header.as_deref(), connector, worker);
    Ok(Converters {
        key: converter(catalog, &key, ConverterRole::Key)?,
        value: converter(catalog, &value, ConverterRole::Value)?,
        header: header_converter(catalog, &header)?,
    })
}

/// Fails unless the worker's own converters are there. Those that cannot be configured are an error in
/// the log alone, and keys that look misspelt a warning: as in Java the tasks that use them fail,
/// and connectors that bring their own do not.
pub(crate) fn check_worker_converters(catalog: &Catalog, worker: &WorkerConfig) -> Result<()> {
    for error in unusable_worker_converters(catalog, worker)? {
        tracing::error!("tasks with the worker's own converter will fail: {}", error.trace());
    }
    Ok(())
}

fn unusable_worker_converters(catalog: &Catalog, worker: &WorkerConfig) -> Result<Vec<Error>> {
    let none = Props::new();
    let mut unusable = Vec::new();
    for (key, role) in
        [("key.converter", ConverterRole::Key), ("value.converter", ConverterRole::Value)]
    {
        let choice = choose(key, None, &none, worker);
        let plugin = present(catalog, PluginKind::Converter, &choice)?;
        warn_of_misspelt_keys(plugin, &choice);
        unusable.extend(converter(catalog, &choice, role).err());
    }
    let choice = choose("header.converter", None, &none, worker);
    let plugin = present(catalog, PluginKind::HeaderConverter, &choice)?;
    warn_of_misspelt_keys(plugin, &choice);
    unusable.extend(header_converter(catalog, &choice).err());
    Ok(unusable.into_iter().map(|error| error.context("remedy", UNUSABLE)).collect())
}

const ABSENT: &str = "choose one that is built into Millrace; `millrace plugins` lists them";
const UNUSABLE: &str = "set the key in the worker's properties; `millrace plugins CLASS` says what \
                        the converter needs";

fn present<'a>(catalog: &'a Catalog, kind: PluginKind, choice: &Choice<'_>) -> Result<&'a Plugin> {
    let plugin = catalog.plugin(kind, choice.key, choice.class);
    plugin.map_err(|e| e.context("remedy", ABSENT))
}

fn warn_of_misspelt_keys(plugin: &Plugin, choice: &Choice<'_>) {
    let key = choice.key;
    for (written, meant) in misspelt(plugin, choice) {
        tracing::warn!("unknown worker configuration {key}.{written}; did you mean {key}.{meant}?");
    }
}

/// The keys that a converter does not know, but that look like others.
fn misspelt(plugin: &Plugin, choice: &Choice<'_>) -> Vec<(String, String)> {
    let def = plugin.config_def();
    let own = def.keys().iter().map(|key| key.name.clone());
    let own = own.filter(|key| !is_of_the_other_role(choice.key, key));
    let known: BTreeSet<String> =
        own.chain(["converter.type", "plugin.version"].map(str::to_owned)).collect();
    let unknown = choice.props.keys().filter_map(|key| Some((key.clone(), meant(&known, key)?)));
    unknown.collect()
}

/// An error of a converter, with the keys that it names as the user writes them.
fn located(error: Error, plugin: &Plugin, choice: &Choice<'_>) -> Error {
    let named = keys_named(&error, plugin).into_iter();
    let named: Vec<String> = named.map(|key| format!("{}.{key}", choice.key)).collect();
    match named.is_empty() {
        true => error.context("below", choice.key),
        false => error.context("key", named.join(", ")),
    }
    .context("class", plugin.class())
}

/// The keys of a plugin that an error of it names.
fn keys_named(error: &Error, plugin: &Plugin) -> Vec<String> {
    let text = error.copied().to_string();
    let def = plugin.config_def();
    let named = def.keys().iter().filter(|key| names(&text, &key.name));
    named.map(|key| key.name.clone()).collect()
}

/// Whether a connector's own converter can be configured: what is wrong that no single key shows, and
/// the key that it is about, if it names one. Asks nobody.
pub(crate) fn unusable(
    plugin: &Plugin,
    props: &Props,
    role: ConverterRole,
) -> Option<(Option<String>, Error)> {
    let error = match plugin.open() {
        Open::Converter(open) => open(props, role).err(),
        Open::HeaderConverter(open) => open(props).err(),
        _ => unreachable!("the catalog was asked for a converter"),
    }?;
    Some((keys_named(&error, plugin).into_iter().next(), error))
}

fn converter(
    catalog: &Catalog,
    choice: &Choice<'_>,
    role: ConverterRole,
) -> Result<Named<dyn Converter>> {
    let plugin = catalog.plugin(PluginKind::Converter, choice.key, choice.class)?;
    let Open::Converter(open) = plugin.open() else {
        unreachable!("the catalog was asked for a converter")
    };
    let converter = open(&choice.props, role).map_err(|e| located(e, plugin, choice))?;
    let converter = Watched::new(plugin.class(), converter);
    Ok(Named { class: plugin.class(), converter })
}

fn header_converter(catalog: &Catalog, choice: &Choice<'_>) -> Result<Named<dyn HeaderConverter>> {
    let plugin = catalog.plugin(PluginKind::HeaderConverter, choice.key, choice.class)?;
    let Open::HeaderConverter(open) = plugin.open() else {
        unreachable!("the catalog was asked for a header converter")
    };
    let converter = open(&choice.props).map_err(|e| located(e, plugin, choice))?;
    Ok(Named { class: plugin.class(), converter })
}

/// The transformations of a connector's tasks, in the order of `transforms`.
pub(crate) fn chain(
    catalog: &Catalog,
    common: &CommonConfig,
    connector: &Props,
) -> Result<TransformationChain> {
    let step = |alias: &String| step(catalog, alias, connector);
    Ok(TransformationChain::new(common.transforms.iter().map(step).collect::<Result<_>>()?))
}

/// What a task is made of, for those who look at it. Of steps only those that are plugins: who is
/// to use the others complains.
pub(crate) fn parts(
    catalog: &Catalog,
    worker: &WorkerConfig,
    connector: &ConnectorConfig,
    task: &Props,
) -> Result<Parts> {
    let (common, props) = (&connector.common, &connector.props);
    let plugin = catalog.connector_of(props)?;
    let (class, version) = (plugin.class().to_owned(), plugin.version().to_owned());
    let kind = plugin.kind();
    let task_class = task.get("task.class").cloned().unwrap_or_default();
    let mut words = vec![class, version.clone(), kind.name().to_owned(), task_class, version];
    let own = [&common.key_converter, &common.value_converter, &common.header_converter];
    for (key, own) in ["key.converter", "value.converter", "header.converter"].into_iter().zip(own)
    {
        let choice = choose(key, own.as_ref().map(|class| class.as_str()), props, worker);
        let kind = match key {
            "header.converter" => PluginKind::HeaderConverter,
            _ => PluginKind::Converter,
        };
        let converter = catalog.plugin(kind, key, choice.class)?;
        words.extend([converter.class().to_owned(), converter.version().to_owned()]);
    }
    let part = |kind, prefix: &str, alias: &String| {
        let class = props.get(&format!("{prefix}.{alias}.type"))?;
        let plugin = catalog.find(&[kind], class.trim())?;
        Some(Part { alias: alias.clone(), class: plugin.class(), version: plugin.version() })
    };
    let transform = |alias| part(PluginKind::Transformation, "transforms", alias);
    let predicate = |alias| part(PluginKind::Predicate, "predicates", alias);
    Ok(Parts {
        kind,
        words: words.try_into().expect("a class and a version each, and the kind"),
        transforms: common.transforms.iter().flat_map(transform).collect(),
        predicates: common.predicates.iter().flat_map(predicate).collect(),
    })
}

/// The keys that the transformations and predicates of a configuration have, as far as their
/// classes are known.
pub(crate) fn chain_keys(catalog: &Catalog, connector: &Props) -> BTreeSet<String> {
    let of_class = |(key, class): (&String, &String)| {
        let prefix = key.strip_suffix("type")?;
        let kind = match prefix.split_once('.')? {
            ("transforms", _) => PluginKind::Transformation,
            ("predicates", _) => PluginKind::Predicate,
            _ => return None,
        };
        let def = catalog.find(&[kind], class.trim())?.config_def();
        let own = def.keys().iter().map(|key| key.name.clone());
        let all = own.chain(FRAMEWORK_KEYS.map(str::to_owned));
        Some(all.map(|key| format!("{prefix}{key}")).collect::<Vec<_>>())
    };
    connector.iter().filter_map(of_class).flatten().collect()
}

/// Keys of a transformation that belong to the framework.
const FRAMEWORK_KEYS: [&str; 4] = ["type", "plugin.version", "predicate", "negate"];

/// One of them.
pub(crate) fn step(catalog: &Catalog, alias: &str, connector: &Props) -> Result<Step> {
    let prefix = format!("transforms.{alias}.");
    let mut props: Props = below(connector, &prefix).collect();
    let own = FRAMEWORK_KEYS.map(|key| props.remove(key));
    let [class, _, predicate, negate] = own;
    let key = format!("{prefix}type");
    let class = class.ok_or_else(|| missing(&key))?;
    let plugin = catalog.plugin(PluginKind::Transformation, &key, class.trim());
    let plugin = plugin.map_err(|e| e.context("remedy", ABSENT))?;
    let Open::Transformation(open) = plugin.open() else {
        unreachable!("the catalog was asked for a transformation")
    };
    let transformation = open(&props).map_err(|e| e.context("below", &prefix))?;
    let transformation = Watched::new(plugin.class(), transformation);
    let negate = match negate.as_deref().map_or("false", str::trim) {
        text if text.eq_ignore_ascii_case("true") => true,
        text if text.eq_ignore_ascii_case("false") => false,
        text => {
            let reason = "Expected value to be either true or false";
            return Err(invalid_value(&format!("{prefix}negate"), text, reason));
        }
    };
    let predicate = match predicate {
        Some(alias) => Some((open_predicate(catalog, alias.trim(), connector)?, negate)),
        None => None,
    };
    Ok(Step { class: plugin.class(), transformation, predicate })
}

fn open_predicate(catalog: &Catalog, alias: &str, connector: &Props) -> Result<Box<dyn Predicate>> {
    let prefix = format!("predicates.{alias}.");
    let mut props: Props = below(connector, &prefix).collect();
    props.remove("plugin.version");
    let key = format!("{prefix}type");
    let class = props.remove("type").ok_or_else(|| missing(&key))?;
    let plugin = catalog.plugin(PluginKind::Predicate, &key, class.trim());
    let plugin = plugin.map_err(|e| e.context("remedy", ABSENT))?;
    let Open::Predicate(open) = plugin.open() else {
        unreachable!("the catalog was asked for a predicate")
    };
    let predicate = open(&props).map_err(|e| e.context("below", &prefix))?;
    Ok(Watched::new(plugin.class(), predicate))
}

fn missing(key: &str) -> Error {
    Error::config(format!("Missing required configuration \"{key}\" which has no default value."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
    const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";

    /// What is wrong with the converters of a worker that has these keys beside Avro for values.
    fn checked(extra: &[(&str, &str)]) -> Result<Vec<Error>> {
        let keys = [
            ("bootstrap.servers", "b:1"),
            ("key.converter", STRING),
            ("value.converter", AVRO),
            ("offset.storage.file.filename", "f"),
        ];
        let keys = keys.iter().chain(extra).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let worker = WorkerConfig::parse(keys.collect()).unwrap();
        unusable_worker_converters(&Catalog::new(millrace_converters::plugins()), &worker)
    }

    #[test]
    fn a_worker_with_converters_that_cannot_work_says_what_is_wrong() {
        const URL: (&str, &str) = ("value.converter.schema.registry.url", "https://r");
        assert!(checked(&[URL]).unwrap().is_empty());
        for (extra, words) in [
            (&[][..], "key: value.converter.schema.registry.url, class: io.confluent"),
            (
                &[URL, ("value.converter.schema.registry.ssl.truststore.location", "/no/ca.pem")],
                "/no/ca.pem",
            ),
            (
                &[URL, ("value.converter.auto.register.schemas", "maybe")],
                "Invalid value maybe for configuration auto.register.schemas: Expected value to \
                 be either true or false (key: value.converter.auto.register.schemas",
            ),
            (&[URL, ("key.converter.converter.encoding", "x")], "key.converter.converter.encoding"),
            (&[(URL.0, "host:1")], "key: value.converter.schema.registry.url"),
        ] {
            let errors = checked(extra).unwrap();
            let trace = errors[0].trace();
            assert!(errors.len() == 1 && trace.contains(words), "{words}: {trace}");
            assert!(trace.contains("remedy"), "{trace}");
        }
        let error = checked(&[URL, ("header.converter", "x.Y")]).unwrap_err();
        assert_eq!(error.kind(), millrace_api::ErrorKind::Config);
        assert!(error.to_string().contains("header.converter"), "{error}");
    }

    #[test]
    fn keys_of_converters_that_look_misspelt_are_found() {
        let catalog = Catalog::new(millrace_converters::plugins());
        let plugin = catalog.find(&[PluginKind::Converter], AVRO).unwrap();
        let one = |key: &str| {
            let props = Props::from([(key.to_owned(), String::new())]);
            misspelt(plugin, &Choice { key: "value.converter", class: AVRO, props })
        };
        for (key, meant) in [
            ("schema.registry.ulr", "schema.registry.url"),
            ("auto.register.schema", "auto.register.schemas"),
            ("basic.auth.userinfo", "basic.auth.user.info"),
            ("schema.registry.ssl.trustore.location", "schema.registry.ssl.truststore.location"),
            ("enhanced.avro.shema.support", "enhanced.avro.schema.support"),
            ("subject.name.strategy", "value.subject.name.strategy"),
            ("key.subject.name.strategy", "value.subject.name.strategy"),
        ] {
            assert_eq!(one(key), [(key.to_owned(), meant.to_owned())]);
        }
        // What others of Confluent's clients know, and what has two names.
        for key in [
            "plugin.version",
            "converter.type",
            "request.header.Authorization",
            "schema.registry.basic.auth.credentials.source",
            "schema.registry.proxy.host",
            "ssl.truststore.location",
            "specific.avro.reader",
            "bearer.auth.uami.endpoint.query",
            "use.apache.http.client",
            "schemas.enable",
            "for.somebody.else",
        ] {
            assert_eq!(one(key), [], "{key}");
        }
    }
}
