//! Decides which settings may be shown in a log: what may be a secret is `[hidden]`.

use std::fmt::Write;

use millrace_api::config::Type;
use millrace_api::{ConfigDef, Props};

/// What names of secrets have in them. Rather a harmless value hidden than a secret shown.
const TELLTALES: &[&str] = &[
    "password",
    "passphrase",
    "passwd",
    "secret",
    "token",
    "credential",
    "jaas",
    "user.info",
    "userinfo",
    "api.key",
    "apikey",
    "access.key",
    "private.key",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.truststore.certificates",
    "authorization",
    "request.header.",
];

const HIDDEN: &str = "[hidden]";

/// A configuration as written, a line a key. Variables are shown, what they stand for is not.
pub(super) fn lines(def: &ConfigDef, raw: &Props) -> String {
    raw.iter().fold(String::new(), |mut lines, (key, value)| {
        let value = if is_secret(def, key, value) { HIDDEN } else { value };
        // Writing to a String cannot fail.
        let _ = write!(lines, "\n    {key} = {value}");
        lines
    })
}

fn is_secret(def: &ConfigDef, key: &str, value: &str) -> bool {
    let declared = def.get(key).is_some_and(|key| key.value_type == Type::Password);
    let key = key.to_ascii_lowercase().replace(['_', '-'], ".");
    declared || TELLTALES.iter().any(|tale| key.contains(tale)) || names_a_user(value)
}

/// `scheme://user:password@host`, where the password may hold what a URL's should not.
fn names_a_user(value: &str) -> bool {
    value.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

#[cfg(test)]
mod tests {
    use millrace_api::Config;

    use super::*;
    use crate::config::keys::StandaloneKeys;

    #[test]
    fn what_may_be_a_secret_is_hidden() {
        let secret = [
            "ssl.keystore.password",
            "ssl.key.password",
            "ssl.keystore.key",
            "ssl.truststore.certificates",
            "listeners.https.ssl.key.password",
            "sasl.jaas.config",
            "producer.sasl.jaas.config",
            "consumer.ssl.keystore.key",
            "admin.ssl.truststore.password",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "value.converter.basic.auth.user.info",
            "value.converter.request.header.X-Tenant",
            "my.API_KEY",
            "my.Token",
        ];
        for key in secret {
            let shown = lines(
                &StandaloneKeys::config_def(),
                &Props::from([(key.to_owned(), "canary".to_owned())]),
            );
            assert_eq!(shown, format!("\n    {key} = [hidden]"));
        }
        for (value, hidden) in [
            ("http://u:canary@host/x", true),
            ("a,https://u@host", true),
            ("http://u:can/ary#,?@host", true),
            ("http://host/x", false),
            ("me@host", false),
        ] {
            let raw = Props::from([("value.converter.url".to_owned(), value.to_owned())]);
            let shown = lines(&ConfigDef::default(), &raw);
            assert_eq!(shown.contains(HIDDEN), hidden, "{value}");
        }
    }
}
