//! Checks a connector's configuration: the framework's keys, those of transformations and
//! converters, the connector's own, and what it overrides of its clients
//! (`AbstractHerder.validateConnectorConfig` in Java). Only when all of them are right is anybody
//! asked: the connector, whether its system agrees.

mod framework;
mod misspelt;
mod overrides;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use millrace_api::config::{
    ClassName, ConfigDef, ConfigError, ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValue,
    ConfigValueInfo, Setting, hash_map_order,
};
use millrace_api::{ConverterRole, Error, ErrorKind, Plugin, PluginKind, Props, Result, Verdict};

use crate::activity::{Whose, during};
use crate::catalog::{Catalog, Class};
use crate::config::clients::below;
use crate::config::connector::{check_sink, common_definition};
use crate::config::plugins::unusable;
use crate::config::restart;
use crate::config::variables::Resolved;
use crate::config::versions;
use crate::config::worker::WorkerConfig;
use crate::contain::contain;
use crate::worker::Worker;
use framework::{CONVERTERS, Framework, framework};

const NULL_VALUE: &str = "Null value can not be supplied as the configuration value.";

/// What a validation is about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    catalog: &'a Catalog,
    worker: &'a WorkerConfig,
    /// The configuration.
    props: &'a Props,
    /// Keys that were given with null, which no configuration may have.
    nulls: &'a [String],
}

/// Checks a connector's configuration as it is written: what its variables stand for is checked,
/// and not shown. An error means that there is nothing to check: no class, or one that does not
/// exist; or, as in Java, that a client would not even read an override.
///
/// A plugin has its say on the threads of connectors: one that panics or blocks harms nobody else.
pub(crate) async fn validate(
    worker: &Arc<Worker>,
    raw: &Props,
    nulls: &[String],
) -> Result<ConfigInfos> {
    let Resolved { props, redaction } = {
        let name = raw.get("name").map_or("", String::as_str);
        let whose = format!("connector {name}");
        worker.config.variables.resolve_and_warn_aside(&whose, raw).await?
    };
    let (shared, nulls) = (Arc::clone(worker), nulls.to_vec());
    let checking = contain(async move {
        let (catalog, worker) = (&*shared.catalog, &shared.config);
        let asked = Asked { catalog, worker, props: &props, nulls: &nulls };
        let mut infos = check(asked)?;
        if infos.error_count == 0 {
            verify(asked, &mut infos).await?;
        }
        Ok(infos)
    });
    let name = raw.get("name").map_or("", String::as_str);
    let mut checked = worker.plugins.spawn(Whose::Asked(name.into()), checking);
    let checked = tokio::time::timeout(LONGEST_VALIDATION, &mut checked).await;
    let checked = checked.unwrap_or_else(|_| Err(unanswered())).flatten();
    checked.map(|infos| redaction.infos(infos)).map_err(|e| redaction.error(e))
}

/// Fails unless a connector can have this configuration. What is misspelt in it is warned about.
pub(crate) async fn check_new(worker: &Arc<Worker>, raw: &Props) -> Result<()> {
    let checked = validate(worker, raw, &[]).await;
    misspelt::warn(&worker.catalog, raw, checked.as_ref().ok());
    require_valid(&checked?)
}

fn check(asked: Asked<'_>) -> Result<ConfigInfos> {
    let Asked { catalog, props, .. } = asked;
    let Some(class) = props.get("connector.class") else {
        // Java prints the values, too; some are secrets.
        let shown: Vec<&str> = props.keys().map(String::as_str).collect();
        let shown = shown.join(", ");
        return Err(Error::config(format!(
            "Connector config {{{shown}}} contains no connector type"
        )));
    };
    let plugin = catalog.connector(class.trim())?;
    let version = props.get("connector.plugin.version").map(String::as_str);
    let version = versions::requirement(version).map_err(Error::config)?;
    if let Err(complaint) = catalog.check_version(plugin, version.as_ref()) {
        return Ok(with_wrong_version(asked, class, plugin, &complaint));
    }
    let Framework { def, complaints } = framework(asked, plugin);
    let mut values = framework_values(asked, plugin, &def, complaints);
    let mut converters = Vec::new();
    for (key, kind) in [CONVERTERS[2], CONVERTERS[0], CONVERTERS[1]] {
        converters.extend(converter(asked, key, kind, &mut values));
    }
    let own = plugin.config_def();
    let own_values = own_values(asked, plugin, &own, &mut values);
    values.extend(own_values);
    let mut infos = reply::generate(class, &def.replaced_by(own), values);
    for part in overrides::validate(asked, plugin.kind())?.into_iter().chain(converters) {
        reply::append(&mut infos, part);
    }
    Ok(infos)
}

/// With [verification](LONGEST_VERIFICATION), and before REST itself gives up after 90 s.
const LONGEST_VALIDATION: Duration = Duration::from_secs(75);

fn unanswered() -> Error {
    let seconds = LONGEST_VALIDATION.as_secs();
    Error::fatal(format!("the plugin did not say within {seconds} s whether this is valid"))
}

/// A connector that takes longer is not waited for: REST itself waits 90 s.
const LONGEST_VERIFICATION: Duration = Duration::from_secs(60);

/// What the connector hears from the system it is for.
async fn verify(asked: Asked<'_>, infos: &mut ConfigInfos) -> Result<()> {
    let plugin = asked.catalog.connector_of(asked.props)?;
    let verifying = async {
        let _call = during("verify", plugin.class());
        plugin.verify(asked.props.clone()).await
    };
    let verified = tokio::time::timeout(LONGEST_VERIFICATION, verifying);
    let verdict = match verified.await {
        Ok(verdict) => verdict?,
        Err(_) => {
            let seconds = LONGEST_VERIFICATION.as_secs();
            let message =
                format!("the connector did not say within {seconds} s whether this works");
            let key = "connector.class".to_owned();
            Verdict { errors: vec![ConfigError { key, message }], ..Verdict::default() }
        }
    };
    infos.error_count += verdict.errors.len();
    for ConfigError { key, message } in verdict.errors {
        match value_of(infos, &key) {
            Some(value) => value.errors.push(message),
            None => {
                let value = ConfigValue { errors: vec![message], ..ConfigValue::new(key) };
                infos.configs.push(ConfigInfo { definition: None, value: Some(value.into()) });
            }
        }
    }
    for (key, values) in verdict.recommended {
        if let Some(value) = value_of(infos, key) {
            value.recommended_values = values;
        }
    }
    Ok(())
}

fn value_of<'a>(infos: &'a mut ConfigInfos, key: &str) -> Option<&'a mut ConfigValueInfo> {
    let values = infos.configs.iter_mut().filter_map(|config| config.value.as_mut());
    values.into_iter().find(|value| value.name == key)
}

/// The answer when the connector has no such version: only what holds for every connector is
/// checked, and without suggestions.
fn with_wrong_version(
    asked: Asked<'_>,
    class: &str,
    plugin: &Plugin,
    complaint: &str,
) -> ConfigInfos {
    let def = common_definition(plugin);
    let mut values = def.validate_with_nulls(asked.props, asked.nulls);
    for error in framework::converter_complaints(asked) {
        complain(&mut values, error);
    }
    name_classes(asked, &mut values);
    for value in &mut values {
        match value.name.as_str() {
            "connector.class" => value.errors.push(complaint.to_owned()),
            "connector.plugin.version" => {
                value.errors.push(complaint.to_owned());
                value.recommended_values.push(plugin.version().into());
            }
            // There is nothing to choose from.
            name => value.visible = !name.ends_with(".plugin.version"),
        }
    }
    complain_of_nulls(asked, &mut values);
    reply::generate(class, &def, values)
}

fn framework_values(
    asked: Asked<'_>,
    plugin: &Plugin,
    def: &ConfigDef,
    complaints: Vec<ConfigError>,
) -> Vec<ConfigValue> {
    let mut values = def.validate_with_nulls(asked.props, asked.nulls);
    for error in complaints {
        complain(&mut values, error);
    }
    name_classes(asked, &mut values);
    if plugin.kind() == PluginKind::Sink {
        for error in check_sink(asked.props) {
            complain(&mut values, error);
        }
    }
    for error in restart::check(asked.props) {
        complain(&mut values, error);
    }
    complain_of_nulls(asked, &mut values);
    values
}

/// The connector's own keys. What it says of keys that are not its own goes to the framework's.
fn own_values(
    asked: Asked<'_>,
    plugin: &Plugin,
    own: &ConfigDef,
    framework: &mut Vec<ConfigValue>,
) -> Vec<ConfigValue> {
    let mut values = own.validate_with_nulls(asked.props, asked.nulls);
    let complaints = {
        let _call = during("validate", plugin.class());
        plugin.validate(asked.props)
    };
    for error in complaints {
        match own.get(&error.key) {
            Some(_) => complain(&mut values, error),
            None => complain(framework, error),
        }
    }
    values
}

/// Adds an error to what was found about its key, which may be nothing so far.
fn complain(values: &mut Vec<ConfigValue>, error: ConfigError) {
    match values.iter_mut().find(|value| value.name == error.key) {
        Some(value) => value.errors.push(error.message),
        None => {
            let errors = vec![error.message];
            values.push(ConfigValue { errors, ..ConfigValue::new(error.key) });
        }
    }
}

/// Keys that nobody defines come in the order in which Java's map happens to give them back.
fn complain_of_nulls(asked: Asked<'_>, values: &mut Vec<ConfigValue>) {
    for key in asked.nulls {
        complain(values, ConfigError { key: key.clone(), message: NULL_VALUE.to_owned() });
    }
    hash_map_order(values, |value| &value.name);
}

/// Puts the full name of a class for what the user wrote, and null for one that nobody knows.
fn name_classes(asked: Asked<'_>, values: &mut [ConfigValue]) {
    for value in values {
        if let Setting::Class(name) = &value.value {
            value.value =
                match asked.catalog.class(framework::class_kind(&value.name), name.as_str()) {
                    Class::Found(plugin) => ClassName::new(plugin.class()).into(),
                    Class::Unfit { class, .. } => ClassName::new(class).into(),
                    Class::Missing => Setting::Null,
                };
        }
    }
}

/// The keys of a converter that the connector itself names, if its class and version are fine.
fn converter(
    asked: Asked<'_>,
    key: &str,
    kind: PluginKind,
    values: &mut Vec<ConfigValue>,
) -> Option<ConfigInfos> {
    let class = asked.props.get(key)?;
    let version_key = format!("{key}.plugin.version");
    let keys = [key, version_key.as_str()];
    if values.iter().any(|v| keys.contains(&v.name.as_str()) && !v.errors.is_empty()) {
        return None;
    }
    let Class::Found(plugin) = asked.catalog.class(kind, class.trim()) else {
        return None;
    };
    let required = versions::requirement(asked.props.get(&version_key).map(String::as_str));
    if let Err(message) = asked.catalog.check_version(plugin, required.ok()?.as_ref()) {
        for key in keys {
            complain(values, ConfigError { key: key.to_owned(), message: message.clone() });
        }
        return None;
    }
    let prefix = format!("{key}.");
    let mut own: Props = below(asked.props, &prefix).collect();
    let role = key.trim_end_matches(".converter");
    own.entry("converter.type".into()).or_insert_with(|| role.into());
    let nulls: Vec<String> =
        asked.nulls.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
    let def = plugin.config_def();
    let framework = values;
    let mut values = def.validate_with_nulls(&own, &nulls);
    hash_map_order(&mut values, |value| &value.name);
    if values.iter().all(|value| value.errors.is_empty())
        && let Some((about, error)) = unusable(plugin, &own, converter_role(key))
    {
        let message = error.to_string();
        match about {
            Some(key) => complain(&mut values, ConfigError { key, message }),
            None => complain(framework, ConfigError { key: key.to_owned(), message }),
        }
    }
    let definition = |name: &str| {
        let mut info = ConfigKeyInfo::from(def.get(name)?);
        info.name.insert_str(0, &prefix);
        Some(info)
    };
    Some(reply::prefixed(&prefix, values, definition))
}

fn converter_role(key: &str) -> ConverterRole {
    match key {
        "key.converter" => ConverterRole::Key,
        _ => ConverterRole::Value,
    }
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
