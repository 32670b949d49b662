//! Makes what a task needs from the class names in its configuration: converters and the
//! transformation chain.

use millrace_api::{
    Converter, ConverterRole, Error, HeaderConverter, Open, PluginKind, Predicate, Props, Result,
};

use crate::catalog::Catalog;
use crate::config::clients::below;
use crate::config::connector::CommonConfig;
use crate::config::worker::WorkerConfig;
use crate::task::chain::{Step, TransformationChain};
use crate::task::serde::{Converters, Named};

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

fn converter(
    catalog: &Catalog,
    choice: &Choice<'_>,
    role: ConverterRole,
) -> Result<Named<dyn Converter>> {
    let plugin = catalog.plugin(PluginKind::Converter, choice.key, choice.class)?;
    let Open::Converter(open) = plugin.open() else {
        unreachable!("the catalog was asked for a converter")
    };
    let converter = open(&choice.props, role).map_err(|e| e.context("below", choice.key))?;
    Ok(Named { class: plugin.class(), converter })
}

fn header_converter(catalog: &Catalog, choice: &Choice<'_>) -> Result<Named<dyn HeaderConverter>> {
    let plugin = catalog.plugin(PluginKind::HeaderConverter, choice.key, choice.class)?;
    let Open::HeaderConverter(open) = plugin.open() else {
        unreachable!("the catalog was asked for a header converter")
    };
    let converter = open(&choice.props).map_err(|e| e.context("below", choice.key))?;
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

/// Keys of a transformation that belong to the framework.
const FRAMEWORK_KEYS: [&str; 4] = ["type", "plugin.version", "predicate", "negate"];

fn step(catalog: &Catalog, alias: &str, connector: &Props) -> Result<Step> {
    let prefix = format!("transforms.{alias}.");
    let mut props: Props = below(connector, &prefix).collect();
    let own = FRAMEWORK_KEYS.map(|key| props.remove(key));
    let [class, _, predicate, negate] = own;
    let key = format!("{prefix}type");
    let class = class.ok_or_else(|| missing(&key))?;
    let plugin = catalog.plugin(PluginKind::Transformation, &key, class.trim())?;
    let Open::Transformation(open) = plugin.open() else {
        unreachable!("the catalog was asked for a transformation")
    };
    let transformation = open(&props).map_err(|e| e.context("below", &prefix))?;
    let negate = negate.is_some_and(|n| n.trim().eq_ignore_ascii_case("true"));
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
    let plugin = catalog.plugin(PluginKind::Predicate, &key, class.trim())?;
    let Open::Predicate(open) = plugin.open() else {
        unreachable!("the catalog was asked for a predicate")
    };
    open(&props).map_err(|e| e.context("below", &prefix))
}

fn missing(key: &str) -> Error {
    Error::config(format!("Missing required configuration \"{key}\" which has no default value."))
}
