//! Decides what is known about the keys of Kafka's clients, with which a connector may override the
//! worker's: those of `ProducerConfig`, `ConsumerConfig` and `AdminClientConfig` in Java.
//!
//! The table was recorded from Java (`cargo xtask golden`), documentation and all.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use millrace_api::config::{ConfigKeyInfo, Setting, Type};
use millrace_api::{Error, Result};
use serde::Deserialize;

/// A client that a connector's task or its worker opens for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Client {
    Producer,
    Consumer,
    Admin,
}

impl Client {
    /// What the keys with which the worker sets it for all connectors begin with.
    pub(crate) fn worker_prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.",
            Self::Consumer => "consumer.",
            Self::Admin => "admin.",
        }
    }

    /// What the keys with which a connector overrides its settings begin with.
    pub(crate) fn override_prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.override.",
            Self::Consumer => "consumer.override.",
            Self::Admin => "admin.override.",
        }
    }
}

/// What is known about one key of one client or of several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientKey {
    clients: Vec<Client>,
    name: String,
    #[serde(rename = "type")]
    value_type: String,
    required: bool,
    default_value: Option<String>,
    importance: String,
    documentation: String,
    #[serde(default)]
    pub(crate) group: Option<String>,
}

type Table = BTreeMap<(Client, String), &'static ClientKey>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let keys: Vec<ClientKey> = serde_json::from_str(include_str!("client_keys.json"))
        .expect("the table is part of the program, and a test reads it");
    // For the life of the process, as the table itself.
    let keys: &'static [ClientKey] = Vec::leak(keys);
    let of = |key: &'static ClientKey| {
        key.clients.iter().map(move |client| ((*client, key.name.clone()), key))
    };
    keys.iter().flat_map(of).collect()
});

/// What is known about a key of a client.
pub(crate) fn find(client: Client, key: &str) -> Option<&'static ClientKey> {
    TABLE.get(&(client, key.to_owned())).copied()
}

/// Every key with which the worker sets something for a client of all connectors.
pub(crate) fn worker_keys() -> impl Iterator<Item = String> {
    TABLE.keys().map(|(client, key)| format!("{}{key}", client.worker_prefix()))
}

/// Every key with which a connector overrides a setting of a client.
pub(crate) fn override_keys() -> impl Iterator<Item = String> {
    TABLE.keys().map(|(client, key)| format!("{}{key}", client.override_prefix()))
}

impl ClientKey {
    /// Parses a value by the key's type. Whether a class exists is for nobody here to say.
    pub(crate) fn parse(&self, text: &str) -> Result<Setting> {
        let value_type = match self.value_type.as_str() {
            "BOOLEAN" => Type::Boolean,
            "INT" => Type::Int,
            "SHORT" => Type::Short,
            "LONG" => Type::Long,
            "DOUBLE" => Type::Double,
            "LIST" => Type::List,
            "CLASS" => Type::Class,
            "PASSWORD" => Type::Password,
            "STRING" => Type::String,
            other => return Err(Error::fatal(format!("{} has type {other}", self.name))),
        };
        value_type.parse(&self.name, text)
    }

    /// The definition as REST shows it, for the key with this prefix.
    pub(crate) fn info(&self, prefix: &str) -> ConfigKeyInfo {
        ConfigKeyInfo {
            name: format!("{prefix}{}", self.name),
            value_type: self.value_type.clone(),
            required: self.required,
            default_value: self.default_value.clone(),
            importance: self.importance.clone(),
            documentation: self.documentation.clone(),
            group: self.group.clone(),
            order_in_group: -1,
            width: "NONE".to_owned(),
            display_name: self.name.clone(),
            dependents: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_type_we_parse() {
        for key in TABLE.values() {
            let parsed = ["1", "true"].map(|text| key.parse(text));
            assert!(parsed.iter().any(Result::is_ok), "{key:?}");
        }
        assert!(find(Client::Producer, "linger.ms").is_some());
        assert!(find(Client::Consumer, "linger.ms").is_none());
    }

    #[test]
    fn secrets_stay_hidden() {
        for key in ["sasl.jaas.config", "ssl.keystore.password", "ssl.keystore.key"] {
            let value = find(Client::Admin, key).unwrap().parse("secret").unwrap();
            assert_eq!(value.text().as_deref(), Some("[hidden]"), "{key}");
        }
    }
}
