//! Decides what a validation says about the client settings that a connector overrides
//! (`validateClientOverrides` in Java).

use millrace_api::config::{ConfigInfos, ConfigValue, Setting, hash_map_order};
use millrace_api::{Error, PluginKind, Result};

use super::{Asked, reply};
use crate::config::client_keys::{self, Client};
use crate::config::connector::{has_dead_letter_queue, uses_topic_creation};

/// The overrides of each client that such a connector has, in the order of the answer.
///
/// As in Java, a value that its client could not even read fails the whole validation.
pub(super) fn validate(asked: Asked<'_>, kind: PluginKind) -> Result<Vec<ConfigInfos>> {
    let is_sink = kind == PluginKind::Sink;
    let dead_letters = is_sink && has_dead_letter_queue(asked.props);
    let uses_admin = match is_sink {
        true => dead_letters,
        false => uses_topic_creation(asked.props),
    };
    let clients = [
        (Client::Producer, !is_sink || dead_letters),
        (Client::Consumer, is_sink),
        (Client::Admin, uses_admin),
    ];
    let used = clients.into_iter().filter(|(_, used)| *used);
    used.map(|(client, _)| overrides(asked, client)).collect()
}

fn overrides(asked: Asked<'_>, client: Client) -> Result<ConfigInfos> {
    let prefix = client.override_prefix();
    let given = asked.props.iter().map(|(key, value)| (key, Some(value)));
    let nulls = asked.nulls.iter().map(|key| (key, None));
    // Java takes them from one hash map into the next.
    let mut given: Vec<_> = given.chain(nulls).collect();
    hash_map_order(&mut given, |(key, _)| key);
    let mut values = Vec::new();
    for (key, text) in given {
        if let Some(key) = key.strip_prefix(prefix) {
            values.push(value(asked, client, key, text)?);
        }
    }
    hash_map_order(&mut values, |value| &value.name);
    let definition = |key: &str| client_keys::find(client, key).map(|known| known.info(prefix));
    Ok(reply::prefixed(prefix, values, definition))
}

fn value(
    asked: Asked<'_>,
    client: Client,
    key: &str,
    text: Option<&String>,
) -> Result<ConfigValue> {
    let value = match (text, client_keys::find(client, key)) {
        (None, _) => Setting::Null,
        (Some(text), None) => Setting::String(text.clone()),
        (Some(text), Some(known)) => known.parse(text).map_err(|e| Error::fatal(e.to_string()))?,
    };
    let objection = asked.worker.policy.check(key);
    Ok(ConfigValue { value, errors: objection.into_iter().collect(), ..ConfigValue::new(key) })
}
