//! Decides which client settings a connector may override (`ConnectorClientConfigOverridePolicy`
//! in Java).

use millrace_api::config::validators::unique_list;
use millrace_api::{Config, Error, Props, Result};

/// Which `producer.override.*`, `consumer.override.*` and `admin.override.*` are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OverridePolicy {
    All,
    None,
    Principal,
    /// These names (KIP-1188).
    Allowlist(Vec<String>),
}

#[derive(Config)]
struct AllowlistKeys {
    /// The client settings that connectors may override, without the prefixes.
    #[config(key = "connector.client.config.override.allowlist", importance = Medium)]
    #[config(default = "", validate = unique_list)]
    allowlist: Vec<String>,
}

/// What the `Principal` policy allows.
const PRINCIPAL: [&str; 3] = ["sasl.jaas.config", "sasl.mechanism", "security.protocol"];

impl OverridePolicy {
    /// The policy called `name`: a class name or one of Java's aliases. The worker's `props` hold
    /// the list of the allowlist policy.
    pub(crate) fn new(name: &str, props: &Props) -> Result<Self> {
        let simple = name.strip_prefix("org.apache.kafka.connect.connector.policy.");
        let simple = simple.filter(|s| s.ends_with(CLASS)).unwrap_or(name);
        match simple.strip_suffix(CLASS).unwrap_or(simple) {
            "All" => Ok(Self::All),
            "None" => Ok(Self::None),
            "Principal" => {
                tracing::warn!(
                    "the Principal override policy is deprecated; use Allowlist with \
                     connector.client.config.override.allowlist={}",
                    PRINCIPAL.join(",")
                );
                Ok(Self::Principal)
            }
            "Allowlist" => Ok(Self::Allowlist(AllowlistKeys::parse(props)?.allowlist)),
            _ => Err(Error::config(format!(
                "Failed to find any class that implements ConnectorClientConfigOverridePolicy and \
                 which name matches {name}"
            ))
            .context("key", "connector.client.config.override.policy")
            .context("remedy", "use All, None, Principal or Allowlist")),
        }
    }

    /// What is wrong with overriding `key`, given without its prefix; none if it is allowed.
    pub(crate) fn check(&self, key: &str) -> Option<String> {
        let (name, allowed) = match self {
            Self::All => return None,
            Self::None => ("None", false),
            Self::Principal => ("Principal", PRINCIPAL.contains(&key)),
            Self::Allowlist(list) => ("Allowlist", list.iter().any(|k| k == key)),
        };
        let message = || {
            format!(
                "The '{name}' policy does not allow '{key}' to be overridden in the connector \
                 configuration."
            )
        };
        (!allowed).then(message)
    }
}

const CLASS: &str = "ConnectorClientConfigOverridePolicy";

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "connector.client.config.override.allowlist";

    fn policy(name: &str, list: &str) -> Result<OverridePolicy> {
        OverridePolicy::new(name, &Props::from([(LIST.to_owned(), list.to_owned())]))
    }

    /// As Java 4.3.1 answers.
    #[test]
    fn policies_allow_what_javas_do() {
        let keys = ["acks", "Linger.ms", "linger.ms", "sasl.jaas.config"];
        for (name, list, allowed) in [
            ("All", "acks,,x", &keys[..]),
            ("None", "acks", &[]),
            ("Principal", "acks", &["sasl.jaas.config"]),
            ("Allowlist", "acks, linger.ms,acks", &["acks", "linger.ms"]),
            ("Allowlist", "", &[]),
        ] {
            let class = format!("org.apache.kafka.connect.connector.policy.{name}{CLASS}");
            for spelling in [name.to_owned(), format!("{name}{CLASS}"), class] {
                let policy = policy(&spelling, list).unwrap();
                for key in keys {
                    let complaint = format!(
                        "The '{name}' policy does not allow '{key}' to be overridden in the \
                         connector configuration."
                    );
                    let expected = (!allowed.contains(&key)).then_some(complaint);
                    assert_eq!(policy.check(key), expected, "{spelling} {key}");
                }
            }
        }
    }

    #[test]
    fn unknown_policies_and_bad_lists_are_refused() {
        for name in ["", "all", "Al", "org.apache.kafka.connect.connector.policy.All", "x.All"] {
            let error = policy(name, "").unwrap_err().to_string();
            assert!(error.contains("override.policy") && error.contains("Allowlist"), "{error}");
        }
        let error = policy("Allowlist", "a,,b").unwrap_err();
        assert_eq!(error.message(), format!("Configuration '{LIST}' values must not be empty."));
    }
}
